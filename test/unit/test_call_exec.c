/* Agents as the loop sees them: paused, cancelled, talkative, deaf, and left behind. Each agent is a line of shell. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/call_priv.h"

#define SAY(text)                                                                                                      \
	"echo '{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"" text "\"}]}}';"
#define DONE "echo '{\"type\":\"result\",\"subtype\":\"success\",\"result\":\"done\"}';"

/* clang-format off */
static const struct {
	const char *name, *script;
} agents[] = {
	{"counts", "cat >/dev/null; i=0; while [ $i -lt 200 ]; do " SAY("x") " i=$((i+1)); done; " DONE},
	{"deaf",   DONE},
	{"loud",   "head -c 1000000 /dev/zero | tr '\\0' 'e' >&2; exit 4"},
	{"floods", "cat >/dev/null; while :; do " SAY("xxxxxxxxxxxxxxxxxxxx") " done"},
	{"stays",  "echo '{\"type\":\"system\",\"session_id\":\"'$$'\"}'; " SAY("pid") " trap '' TERM; while :; do sleep 1; done"},
	{"closes", SAY("bye") " exec >&-; while :; do sleep 1; done"},
};
/* clang-format on */

struct fixture {
	uv_loop_t loop;
	struct limits limits;
	struct providers *providers;
	char dir[32];
};

struct told {
	struct provider_call *call;
	bool cancel_at_text, cancelled, done;
	struct buf text;
	struct call_outcome o;
	pid_t pid;
};

static void on_text(void *ctx, enum stream_kind kind, struct str text)
{
	struct told *t = ctx;
	assert_false(t->done || t->cancelled);
	assert_int_equal(kind, STREAM_TEXT);
	buf_add_str(&t->text, text);
	int64_t pid = 0;
	(void)str_to_int(agent_session(t->call->answer), &pid);
	t->pid = (pid_t)pid;
	if (!t->cancel_at_text) return;
	provider_call_cancel(t->call);
	t->cancelled = true;
}

static void on_done(void *ctx, const struct call_outcome *o)
{
	struct told *t = ctx;
	assert_false(t->done || t->cancelled);
	t->done = true;
	t->o = *o;
}

static const struct call_hooks hooks = {.text = on_text, .done = on_done};

static void start(struct fixture *f, struct told *t, const char *model, struct str text)
{
	const struct prompt_message message = {STR("user"), text, STR("")};
	struct call_spec spec = {.model = str_c(model),
				 .messages = &message,
				 .nmessages = 1,
				 .params = STR(""),
				 .data_dir = str_c(f->dir),
				 .conversation = STR("1/c")};
	t->text = BUF_INIT(BUF_NO_LIMIT);
	t->call = provider_call_start(f->providers, &spec, &hooks, t);
}

static void on_late(uv_timer_t *timer) { *(bool *)timer->data = true; }

/* Turns the loop until `what` holds; false when it did not for so long. */
static bool run_until(struct fixture *f, const bool *what, uint64_t ms)
{
	bool late = false;
	uv_timer_t timer;
	uv_timer_init(&f->loop, &timer);
	timer.data = &late;
	uv_timer_start(&timer, on_late, ms, 0);
	while (!*what && !late) uv_run(&f->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	return *what;
}

static bool run_until_none(struct fixture *f)
{
	bool never = false;
	for (int i = 0; i < 500 && !LIST_EMPTY(&f->providers->children); i++) (void)run_until(f, &never, 10);
	return LIST_EMPTY(&f->providers->children);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	struct provider_config configs[ARRAY_LEN(agents)];
	const char *commands[ARRAY_LEN(agents)][4];
	struct errinfo info;
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&f->loop);
	limits_default(&f->limits);
	f->limits.agent_grace_ms = 200;
	f->limits.provider_body_bytes = 100000;
	assert_true(str_copy(STR("/tmp/roost-test-exec-XXXXXX"), f->dir, sizeof f->dir));
	assert_non_null(mkdtemp(f->dir));
	for (size_t i = 0; i < ARRAY_LEN(agents); i++) {
		commands[i][0] = "sh";
		commands[i][1] = "-c";
		commands[i][2] = agents[i].script;
		commands[i][3] = NULL;
		configs[i] =
			(struct provider_config){.name = agents[i].name, .dialect = "exec", .command = commands[i]};
	}
	if (providers_new(&f->loop, &f->limits, configs, ARRAY_LEN(configs), &f->providers, &info) != OK) return -1;
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	providers_free(f->providers);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	assert_int_equal(nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(f);
	return 0;
}

static void a_paused_agent_is_not_read_and_loses_nothing(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	start(f, &t, "counts:m", STR("go"));
	provider_call_pause(t.call, true);
	assert_false(run_until(f, &t.done, 150));
	assert_int_equal(t.text.n, 0);
	provider_call_pause(t.call, false);
	assert_true(run_until(f, &t.done, 10000));
	assert_int_equal(t.o.err, OK);
	assert_int_equal(t.text.n, 200 + 199 * 2);
	buf_release(&t.text);
}

static void an_agent_that_reads_nothing_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	char *text = xcalloc(1, 2000000);
	memset(text, 'a', 2000000);
	start(f, &t, "deaf:m", str_n(text, 2000000));
	assert_true(run_until(f, &t.done, 10000));
	assert_int_equal(t.o.err, OK);
	assert_string_equal(t.text.p, "done");
	free(text);
	buf_release(&t.text);
}

static void what_it_writes_to_standard_error_is_kept_in_bounds(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	start(f, &t, "loud:m", STR("go"));
	assert_true(run_until(f, &t.done, 10000));
	assert_int_equal(t.o.err, ERR_PROVIDER);
	assert_non_null(strstr(t.o.info.text, "status 4: eeee"));
	buf_release(&t.text);
}

static void one_that_floods_breaks_a_limit_and_is_ended(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	start(f, &t, "floods:m", STR("go"));
	assert_true(run_until(f, &t.done, 10000));
	assert_int_equal(t.o.err, ERR_PROVIDER_LIMIT);
	assert_non_null(strstr(t.o.info.text, "providerBodyBytes"));
	assert_true(run_until_none(f));
	buf_release(&t.text);
}

static void after_a_cancel_nothing_comes_and_the_agent_is_ended(void **state)
{
	struct fixture *f = *state;
	struct told t = {.cancel_at_text = true};
	start(f, &t, "stays:m", STR("go"));
	assert_true(run_until(f, &t.cancelled, 10000));
	assert_true(t.pid > 1);
	assert_true(run_until_none(f));
	assert_true(kill(t.pid, 0) < 0 && errno == ESRCH);
	buf_release(&t.text);
}

static void one_that_closed_its_output_is_asked_to_end(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	start(f, &t, "closes:m", STR("go"));
	assert_true(run_until(f, &t.done, 10000));
	assert_int_equal(t.o.err, ERR_PROVIDER);
	assert_non_null(strstr(t.o.info.text, "signal 15"));
	buf_release(&t.text);
}

static void nothing_runs_when_the_providers_are_gone(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	bool never = false;
	start(f, &t, "stays:m", STR("go"));
	for (int i = 0; i < 500 && t.pid == 0; i++) (void)run_until(f, &never, 10);
	assert_int_equal(kill(t.pid, 0), 0);
	provider_call_cancel(t.call);
	providers_free(f->providers);
	f->providers = NULL;
	assert_true(kill(t.pid, 0) < 0 && errno == ESRCH);
	buf_release(&t.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_paused_agent_is_not_read_and_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(an_agent_that_reads_nothing_is_not_waited_for, setup, teardown),
		cmocka_unit_test_setup_teardown(what_it_writes_to_standard_error_is_kept_in_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_floods_breaks_a_limit_and_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(after_a_cancel_nothing_comes_and_the_agent_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_closed_its_output_is_asked_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_runs_when_the_providers_are_gone, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
