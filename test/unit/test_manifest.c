/* manifest.json: what it says, that it always parses, when it is written, and reading those of Pidgin. */
#include "experiment_gear.h"

#include <math.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "lab/manifest.h"

#define MANY 2000

static struct manifest m;

static int setup(void **state)
{
	manifest_init(&m);
	return scratch_make(state);
}

static int teardown(void **state)
{
	manifest_release(&m);
	return scratch_remove(state);
}

static void save(void)
{
	enum err e = manifest_save(&m, scratch, clock_boot_ms(), &info);
	if (e != OK) print_error("%s\n", info.text);
	assert_int_equal(e, OK);
}

static struct manifest load(bool with_conversations)
{
	struct manifest got;
	manifest_init(&got);
	enum err e = manifest_load(&got, scratch, with_conversations, &info);
	if (e != OK) print_error("%s\n", info.text);
	assert_int_equal(e, OK);
	return got;
}

/* An experiment with `n` conversations in all states. */
static void fill(size_t n)
{
	static const struct manifest_tokens spent = {.prompt = 100,
						     .completion = 20,
						     .thinking = 5,
						     .cost_ticks = 7000,
						     .reported_ticks = 3000,
						     .estimated = true};
	m.experiment_id = STR("experiment_1a2b3c4d");
	m.name = STR("a \"name\"\n");
	m.config = STR("{\"agent_a_model\":\"local:test\",\"max_turns\":20}");
	m.agent_models[0] = STR("local:test");
	m.agent_models[1] = STR("gpt-4.1");
	m.nagents = 2;
	m.status = EXPERIMENT_RUNNING;
	m.created_ms = 1767323045678;
	m.started_ms = 1767323046000;
	m.seed = UINT64_MAX;
	m.redacted = true;
	m.pid = 4321;
	snprintf(m.error, sizeof m.error, "it went wrong");
	for (size_t i = 0; i < n; i++) {
		char id[16];
		snprintf(id, sizeof id, "conv_%08x", (unsigned)i);
		struct manifest_conversation *c = manifest_add(&m, id);
		manifest_set(&m, c, (enum lab_status)(i % (LAB_INTERRUPTED + 1)));
		manifest_spend(&m, c, 0, &spent);
		manifest_spend(&m, c, 1, &spent);
		manifest_spend(&m, c, 1, &spent);
		c->turns = (int64_t)i;
		c->lines = 12;
		c->messages = 7;
		c->started_ms = 1767323046001;
		c->updated_ms = 1767323047000;
		c->convergence = 0.25;
		c->truncations = 1;
		c->errors = 2;
		c->retries = 3;
	}
	if (n > LAB_FAILED) {
		snprintf(m.list[LAB_FAILED].error, sizeof m.list[0].error, "no answer");
		m.list[LAB_FAILED].reason = "api_error";
		m.list[LAB_FAILED].ended_ms = 1767323048000;
		m.list[LAB_FAILED].convergence = (double)NAN;
	}
}

/* ---- what it says ----------------------------------------------------------------------------------------------- */

static void expect_keys(const struct json *obj, const char *const *keys)
{
	size_t i = 0;
	for (struct json_iter it = json_iter(obj); json_next(&it); i++) {
		assert_non_null(keys[i]);
		if (!str_eq(it.key, str_c(keys[i]))) fail_msg("%.*s stands where %s belongs", STR_ARG(it.key), keys[i]);
	}
	assert_null(keys[i]);
}

static void keys_and_their_order_are_those_of_pidgin_and_ours_behind_them(void **state)
{
	(void)state;
	static const char *const top[] = {"experiment_id",
					  "name",
					  "created_at",
					  "config",
					  "total_conversations",
					  "status",
					  "conversations",
					  "started_at",
					  "completed_conversations",
					  "failed_conversations",
					  "running_conversations",
					  "completed_at",
					  "error",
					  "interrupted_conversations",
					  "agents",
					  "token_usage",
					  "seed",
					  "redacted",
					  "pid",
					  NULL};
	static const char *const one[] = {
		"status",   "jsonl",      "last_line", "total_turns", "last_updated", "error",  "token_usage", "reason",
		"messages", "started_at", "ended_at",  "convergence", "truncations",  "errors", "retries",     NULL};
	static const char *const usage[] = {"agent_a", "agent_b", "total", NULL};
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc;
	struct str s;
	int64_t total;
	fill(LAB_INTERRUPTED + 1);
	manifest_print(&m, &text);
	assert_int_equal(json_parse(buf_str(&text), &doc, &info), OK);
	const struct json *list = json_get(json_root(doc), "conversations");
	const struct json *failed = json_get(list, "conv_00000003");
	expect_keys(json_root(doc), top);
	expect_keys(failed, one);
	expect_keys(json_get(failed, "token_usage"), usage);
	assert_true(json_str(json_get(failed, "status"), &s) && str_eq(s, STR("failed")));
	assert_true(json_str(json_get(failed, "jsonl"), &s) && str_eq(s, STR("events_conv_00000003.jsonl")));
	assert_true(json_int(json_get(json_get(failed, "token_usage"), "total"), &total) && total == 360);
	json_free(doc);
	buf_release(&text);
}

static void expect_tokens(const struct manifest_tokens *a, const struct manifest_tokens *b)
{
	assert_int_equal(a->prompt, b->prompt);
	assert_int_equal(a->completion, b->completion);
	assert_int_equal(a->thinking, b->thinking);
	assert_int_equal(a->cost_ticks, b->cost_ticks);
	assert_int_equal(a->reported_ticks, b->reported_ticks);
	assert_int_equal(a->unpriced, b->unpriced);
	assert_int_equal(a->estimated, b->estimated);
}

static void expect_conversation(const struct manifest_conversation *a, const struct manifest_conversation *b)
{
	assert_string_equal(a->id, b->id);
	assert_int_equal(a->status, b->status);
	assert_string_equal(a->reason != NULL ? a->reason : "", b->reason != NULL ? b->reason : "");
	assert_string_equal(a->error, b->error);
	assert_int_equal(a->turns, b->turns);
	assert_int_equal(a->lines, b->lines);
	assert_int_equal(a->messages, b->messages);
	assert_int_equal(a->started_ms, b->started_ms);
	assert_int_equal(a->updated_ms, b->updated_ms);
	assert_int_equal(a->ended_ms, b->ended_ms);
	assert_true(isnan(a->convergence) ? isnan(b->convergence) : fabs(a->convergence - b->convergence) < 1e-15);
	assert_int_equal(a->truncations, b->truncations);
	assert_int_equal(a->errors, b->errors);
	assert_int_equal(a->retries, b->retries);
	for (size_t i = 0; i < MANIFEST_AGENTS; i++) expect_tokens(&a->tokens[i], &b->tokens[i]);
}

static void expect_head(const struct manifest *got)
{
	assert_true(str_eq(got->experiment_id, m.experiment_id));
	assert_true(str_eq(got->name, m.name));
	assert_true(str_eq(got->config, m.config));
	assert_int_equal(got->nagents, m.nagents);
	for (size_t i = 0; i < m.nagents; i++) assert_true(str_eq(got->agent_models[i], m.agent_models[i]));
	assert_int_equal(got->status, m.status);
	assert_int_equal(got->created_ms, m.created_ms);
	assert_int_equal(got->started_ms, m.started_ms);
	assert_int_equal(got->completed_ms, m.completed_ms);
	assert_string_equal(got->error, m.error);
	assert_true(got->seed == m.seed);
	assert_int_equal(got->redacted, m.redacted);
	assert_int_equal(got->pid, m.pid);
	for (size_t i = 0; i <= LAB_INTERRUPTED; i++) assert_int_equal(got->count[i], m.count[i]);
	assert_int_equal(manifest_total(got), manifest_total(&m));
	expect_tokens(&got->total, &m.total);
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	fill(23);
	save();
	struct manifest got = load(true);
	expect_head(&got);
	assert_int_equal(got.n, m.n);
	for (size_t i = 0; i < m.n; i++) expect_conversation(&got.list[i], &m.list[i]);
	assert_int_equal(manifest_due(&got), INT64_MAX);
	manifest_release(&got);
}

static void one_without_conversations_is_whole_too(void **state)
{
	(void)state;
	fill(0);
	save();
	struct manifest got = load(true);
	expect_head(&got);
	manifest_release(&got);
	got = load(false);
	expect_head(&got);
	manifest_release(&got);
}

static void every_status_has_a_name_that_reads_back(void **state)
{
	(void)state;
	for (int s = 0; s <= EXPERIMENT_INTERRUPTED; s++) {
		m.status = (enum experiment_status)s;
		save();
		struct manifest got = load(false);
		assert_int_equal(got.status, s);
		manifest_release(&got);
	}
}

static void a_sentence_that_was_cut_inside_a_character_does_not_spoil_the_file(void **state)
{
	(void)state;
	fill(1);
	snprintf(m.error, sizeof m.error, "na\xc3");
	snprintf(m.list[0].error, sizeof m.list[0].error, "caf\xc3\xa9 \xe9\xb3");
	save();
	struct manifest got = load(true);
	assert_string_equal(got.error, "na");
	assert_string_equal(got.list[0].error, "caf\xc3\xa9 ");
	manifest_release(&got);
}

static void counts_follow_the_conversations(void **state)
{
	(void)state;
	(void)manifest_add(&m, "conv_00000001");
	(void)manifest_add(&m, "conv_00000002");
	struct manifest_conversation *c = &m.list[0];
	manifest_set(&m, c, LAB_RUNNING);
	assert_int_equal(m.count[LAB_CREATED], 1);
	assert_int_equal(m.count[LAB_RUNNING], 1);
	manifest_set(&m, c, LAB_COMPLETED);
	assert_int_equal(m.count[LAB_RUNNING], 0);
	assert_int_equal(m.count[LAB_COMPLETED], 1);
	assert_int_equal(manifest_total(&m), 2);
	assert_ptr_equal(manifest_find(&m, STR("conv_00000002")), &m.list[1]);
	assert_null(manifest_find(&m, STR("conv_00000003")));
}

/* ---- counts without the conversations --------------------------------------------------------------------------- */

static void the_counts_of_a_large_one_come_without_its_conversations(void **state)
{
	(void)state;
	fill(MANY);
	save();
	struct manifest got = load(false);
	expect_head(&got);
	assert_int_equal(got.n, 0);
	manifest_release(&got);
	/* not even looked at: there are none any more where they were */
	struct stat st;
	assert_int_equal(stat(in_scratch("manifest.json"), &st), 0);
	assert_true(st.st_size > 400000);
	int fd = open(in_scratch("manifest.json"), O_WRONLY);
	assert_int_equal(pwrite(fd, "\1\1", 2, st.st_size / 2), 2);
	close(fd);
	got = load(false);
	expect_head(&got);
	manifest_release(&got);
	manifest_init(&got);
	assert_int_equal(manifest_load(&got, scratch, true, &info), ERR_BAD_JSON);
}

static void a_large_one_of_another_shape_is_read_as_a_whole(void **state)
{
	(void)state;
	struct buf text = BUF_INIT(BUF_NO_LIMIT), flat = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc;
	fill(MANY);
	manifest_print(&m, &text);
	assert_int_equal(json_parse(buf_str(&text), &doc, &info), OK);
	json_write(&flat, json_root(doc));
	put_file(in_scratch("manifest.json"), flat.p);
	struct manifest got = load(false);
	expect_head(&got);
	manifest_release(&got);
	json_free(doc);
	buf_release(&text);
	buf_release(&flat);
}

/* ---- Pidgin's --------------------------------------------------------------------------------------------------- */

static const char pidgins[] =
	"{\n  \"experiment_id\": \"experiment_0badcafe\",\n  \"name\": \"clever-fox\",\n"
	"  \"created_at\": \"2025-07-01T10:20:30.456789\",\n"
	"  \"config\": {\n    \"agent_a_model\": \"claude\",\n    \"agent_b_model\": \"gpt-4o\"\n  },\n"
	"  \"total_conversations\": 3,\n  \"status\": \"post_processing\",\n  \"conversations\": {\n"
	"    \"conv_00000001\": {\n      \"status\": \"context_limit_reached\",\n      \"jsonl\": \"events_conv_00000001.jsonl\",\n"
	"      \"last_line\": 31,\n      \"total_turns\": 4,\n      \"last_updated\": \"2025-07-01T10:21:00\",\n"
	"      \"token_usage\": {\n        \"agent_a\": {\n          \"prompt_tokens\": 10,\n"
	"          \"completion_tokens\": 5,\n          \"total_tokens\": 15,\n          \"model\": \"claude-opus\"\n"
	"        },\n        \"total\": 15\n      }\n    },\n"
	"    \"conv_00000002\": {\n      \"status\": \"api_error\",\n      \"error\": \"no\",\n      \"total_turns\": 1\n    },\n"
	"    \"conv_00000003\": {\n      \"status\": \"user_interrupt\"\n    }\n  },\n"
	"  \"started_at\": \"2025-07-01T10:20:31\",\n  \"completed_conversations\": 1,\n  \"failed_conversations\": 1,\n"
	"  \"running_conversations\": 0\n}";

static void a_manifest_of_pidgin_is_read(void **state)
{
	(void)state;
	put_file(in_scratch("manifest.json"), pidgins);
	struct manifest got = load(true);
	assert_int_equal(got.status, EXPERIMENT_RUNNING);
	assert_true(str_eq(got.name, STR("clever-fox")));
	assert_int_equal(got.created_ms, 1751365230456);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.list[0].status, LAB_COMPLETED);
	assert_string_equal(got.list[0].reason, "context_limit_reached");
	assert_int_equal(got.list[0].updated_ms, 1751365260000);
	assert_int_equal(got.list[0].turns, 4);
	assert_int_equal(got.list[1].status, LAB_FAILED);
	assert_string_equal(got.list[1].error, "no");
	assert_int_equal(got.list[2].status, LAB_INTERRUPTED);
	assert_int_equal(got.count[LAB_COMPLETED], 1);
	assert_int_equal(got.total.prompt, 10);
	assert_int_equal(got.total.completion, 5);
	assert_true(str_eq(got.agent_models[0], STR("claude")));
	assert_true(str_eq(got.agent_models[1], STR("gpt-4o")));
	manifest_release(&got);
	got = load(false);
	assert_int_equal(manifest_total(&got), 3);
	manifest_release(&got);
}

/* ---- what is no manifest ---------------------------------------------------------------------------------------- */

static void what_is_no_manifest_is_refused_with_a_sentence(void **state)
{
	(void)state;
	static const char *const bad[] = {"",
					  "{",
					  "[]",
					  "{\"status\":\"dreaming\"}",
					  "{}",
					  "{\"status\":\"running\"} x",
					  "{\"status\":\"running\",\"name\":\"\xff\"}"};
	struct manifest got;
	manifest_init(&got);
	assert_int_equal(manifest_load(&got, scratch, true, &info), ERR_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put_file(in_scratch("manifest.json"), bad[i]);
		info = (struct errinfo){0};
		assert_int_equal(manifest_load(&got, scratch, true, &info), ERR_BAD_JSON);
		assert_true(info.text[0] != '\0');
		assert_int_equal(manifest_load(&got, scratch, false, &info), ERR_BAD_JSON);
	}
	assert_int_equal(got.n, 0);
}

static void a_link_or_a_pipe_is_not_followed(void **state)
{
	(void)state;
	struct manifest got;
	manifest_init(&got);
	put_file(in_scratch("secret"), "{\"status\":\"running\"}");
	assert_int_equal(symlink(in_scratch("secret"), in_scratch("manifest.json")), 0);
	assert_int_equal(manifest_load(&got, scratch, true, &info), ERR_IO);
	assert_int_equal(unlink(in_scratch("manifest.json")), 0);
	assert_int_equal(mkfifo(in_scratch("manifest.json"), 0600), 0);
	assert_int_equal(manifest_load(&got, scratch, true, &info), ERR_BAD_JSON);
}

/* ---- when it is written ----------------------------------------------------------------------------------------- */

static void it_is_due_by_time_and_only_when_something_changed(void **state)
{
	(void)state;
	assert_int_equal(manifest_due(&m), INT64_MAX);
	manifest_touch(&m);
	assert_true(manifest_due(&m) <= clock_boot_ms());
	save();
	assert_int_equal(manifest_due(&m), INT64_MAX);
	assert_int_equal(manifest_save(&m, scratch, 1000000, &info), OK);
	manifest_touch(&m);
	assert_int_equal(manifest_due(&m), 1000000 + m.took_ms + MAX(50 * m.took_ms, 250));
	assert_true(m.took_ms >= 1);
	/* a large one takes longer to write, and waits longer */
	while (m.took_ms <= 5) {
		fill(10000);
		assert_int_equal(manifest_save(&m, scratch, 1000000, &info), OK);
	}
	manifest_touch(&m);
	assert_int_equal(manifest_due(&m), 1000000 + 51 * m.took_ms);
}

static void when_it_cannot_be_written_the_old_one_stays_and_it_is_tried_again(void **state)
{
	(void)state;
	struct rlimit old, little = {.rlim_cur = 100};
	fill(3);
	m.status = EXPERIMENT_CREATED;
	save();
	m.status = EXPERIMENT_RUNNING;
	manifest_touch(&m);
	getrlimit(RLIMIT_FSIZE, &old);
	little.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &little);
	enum err e = manifest_save(&m, scratch, 5000, &info);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(e, ERR_STORAGE_FULL);
	assert_non_null(strstr(info.text, "manifest.json"));
	assert_true(manifest_due(&m) > 5000 && manifest_due(&m) < INT64_MAX);
	assert_false(is_there(in_scratch("manifest.json.new")));
	struct manifest got = load(true);
	assert_int_equal(got.status, EXPERIMENT_CREATED);
	manifest_release(&got);
	assert_int_equal(manifest_save(&m, in_scratch("nowhere"), 0, &info), ERR_IO);
}

/* ---- it always parses ------------------------------------------------------------------------------------------- */

static void a_reader_beside_a_writer_never_sees_a_part(void **state)
{
	(void)state;
	fill(40);
	save();
	pid_t writer = fork();
	if (writer == 0)
		for (int i = 0;; i++) { /* each one shorter or longer than the one before */
			m.n = (size_t)(i * 7 % 40);
			if (manifest_save(&m, scratch, 0, NULL) != OK) _exit(1);
		}
	size_t changes = 0, last = 0;
	for (int i = 0; i < 100000 && changes < 300; i++) {
		struct manifest got = load(true);
		changes += got.n != last;
		last = got.n;
		manifest_release(&got);
	}
	assert_int_equal(kill(writer, SIGKILL), 0);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	assert_int_equal(changes, 300);
}

static enum err save_with(void *turns)
{
	m.list[0].turns = *(int64_t *)turns;
	return manifest_save(&m, scratch, 0, NULL);
}

static void killed_at_any_system_call_of_a_save_it_is_the_old_or_the_new_one(void **state)
{
	(void)state;
	int olds = 0, news = 0;
	int64_t n = 1;
	fill(5);
	m.status = EXPERIMENT_COMPLETED; /* the save that syncs the directory too */
	m.list[0].turns = 0;
	save();
	for (int64_t before = 0; killed_at_call((int)n, save_with, &n); n++) {
		struct manifest got = load(true);
		assert_int_equal(got.n, 5);
		assert_true(got.list[0].turns == before || got.list[0].turns == n);
		olds += got.list[0].turns == before;
		news += got.list[0].turns == n;
		before = got.list[0].turns;
		manifest_release(&got);
	}
	print_message("killed at %d system calls: %d old, %d new\n", (int)n - 1, olds, news);
	assert_true(olds >= 5 && news >= 1);
	save();
	struct manifest got = load(true);
	assert_false(is_there(in_scratch("manifest.json.new")));
	manifest_release(&got);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(keys_and_their_order_are_those_of_pidgin_and_ours_behind_them),
		T(what_is_written_is_read_again),
		T(one_without_conversations_is_whole_too),
		T(every_status_has_a_name_that_reads_back),
		T(a_sentence_that_was_cut_inside_a_character_does_not_spoil_the_file),
		T(counts_follow_the_conversations),
		T(the_counts_of_a_large_one_come_without_its_conversations),
		T(a_large_one_of_another_shape_is_read_as_a_whole),
		T(a_manifest_of_pidgin_is_read),
		T(what_is_no_manifest_is_refused_with_a_sentence),
		T(a_link_or_a_pipe_is_not_followed),
		T(it_is_due_by_time_and_only_when_something_changed),
		T(when_it_cannot_be_written_the_old_one_stays_and_it_is_tried_again),
		T(a_reader_beside_a_writer_never_sees_a_part),
		T(killed_at_any_system_call_of_a_save_it_is_the_old_or_the_new_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
