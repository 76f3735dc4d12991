/* What agents ask people: who may ask, whose answer counts, and what becomes of a question whose attempt is over. */
#include "relay_rig.h"

#include "relay/permission.h"

#define TWO_HOURS 7200000

struct asked {
	struct cmd_permission_ask cmd;
	bool done;
	char id[64];
};
static void ask_done(struct store_op *op) { CONTAINER_OF(op, struct asked, cmd.op)->done = true; }

static void wait_for(struct rig *r, const bool *done)
{
	while (!*done) {
		while (sem_wait(&r->f.woken) != 0) {
		}
		store_poll(r->f.store);
	}
}

static enum err ask(struct rig *r, struct asked *a, int64_t attempt, int64_t incarnation, const char *input)
{
	*a = (struct asked){0};
	store_op_init(&a->cmd.op, cmd_permission_ask_run, ask_done, 0, r->f.now_ms++);
	a->cmd.row = job_row(r->calls[0].job);
	a->cmd.attempt = attempt;
	a->cmd.incarnation = incarnation;
	a->cmd.tool = STR("Write");
	a->cmd.input = str_c(input);
	a->cmd.wait_ms = TWO_HOURS;
	store_submit(r->f.store, &a->cmd.op);
	wait_for(r, &a->done);
	enum err e = a->cmd.op.err;
	if (e == OK) assert_true(str_copy(a->cmd.permission_id, a->id, sizeof a->id));
	store_op_release(&a->cmd.op);
	return e;
}

struct answered {
	struct cmd_permission_answer cmd;
	bool done;
};
static void answer_done(struct store_op *op) { CONTAINER_OF(op, struct answered, cmd.op)->done = true; }

static enum err answer(struct rig *r, const char *id, int64_t user, bool allow)
{
	struct answered a = {0};
	store_op_init(&a.cmd.op, cmd_permission_answer_run, answer_done, 0, r->f.now_ms++);
	a.cmd.user = user;
	a.cmd.principal = r->f.actor;
	a.cmd.device_id = STR("d1");
	a.cmd.permission_id = str_c(id);
	a.cmd.allow = allow;
	a.cmd.message = STR("");
	store_submit(r->f.store, &a.cmd.op);
	wait_for(r, &a.done);
	enum err e = a.cmd.op.err;
	store_op_release(&a.cmd.op);
	return e;
}

static bool is(struct rig *r, const char *id, const char *needle) { return has(r, "Permission", str_c(id), needle); }

static void only_the_running_attempt_may_ask(void **state)
{
	struct rig r;
	struct asked a;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	assert_int_equal(ask(&r, &a, 2, r.incarnation, "{}"), ERR_SUPERSEDED);
	assert_int_equal(ask(&r, &a, 1, r.incarnation + 1, "{}"), ERR_SUPERSEDED);
	assert_int_equal(ask(&r, &a, 1, r.incarnation, "{\"n\":1}"), OK);
	assert_true(is(&r, a.id, "\"state\":\"open\""));
	assert_true(is(&r, a.id, "\"input\":{\"n\":1}"));
	assert_true(is(&r, a.id, "\"conversationId\":\"c1\""));
	rig_release(&r);
}

static void an_input_that_would_be_nested_too_deep_is_not_recorded(void **state)
{
	struct rig r;
	struct asked a;
	struct buf deep = BUF_INIT(BUF_NO_LIMIT);
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	for (int i = 0; i < JSON_DEPTH_MAX - 2; i++) buf_add_str(&deep, STR("{\"a\":"));
	buf_add_char(&deep, '1');
	for (int i = 0; i < JSON_DEPTH_MAX - 2; i++) buf_add_char(&deep, '}');
	assert_int_equal(ask(&r, &a, 1, r.incarnation, deep.p), ERR_BAD_FIELD);
	buf_release(&deep);
	rig_release(&r);
}

static void the_first_answer_counts_and_another_user_has_none(void **state)
{
	struct rig r;
	struct asked a, b;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	assert_int_equal(ask(&r, &a, 1, r.incarnation, "{}"), OK);
	assert_int_equal(ask(&r, &b, 1, r.incarnation, "{}"), OK);
	assert_string_not_equal(a.id, b.id);
	assert_int_equal(answer(&r, a.id, r.f.user + 1, true), ERR_NOT_FOUND);
	assert_int_equal(answer(&r, a.id, r.f.user, false), OK);
	assert_int_equal(answer(&r, a.id, r.f.user, true), ERR_ANSWERED);
	assert_true(is(&r, a.id, "\"state\":\"denied\""));
	assert_true(is(&r, a.id, "\"by\":\"d1\""));
	assert_true(is(&r, b.id, "\"state\":\"open\""));
	assert_int_equal(answer(&r, "nothing", r.f.user, true), ERR_NOT_FOUND);
	rig_release(&r);
}

static void the_commit_that_ends_an_attempt_expires_what_is_open(void **state)
{
	struct rig r;
	struct asked a, b, late;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	assert_int_equal(ask(&r, &a, 1, r.incarnation, "{}"), OK);
	assert_int_equal(ask(&r, &b, 1, r.incarnation, "{}"), OK);
	assert_int_equal(answer(&r, a.id, r.f.user, true), OK);
	text(&r, 0, "hi");
	fail_call(&r, 0, FAIL_CUT, 0);
	assert_true(is(&r, a.id, "\"state\":\"allowed\""));
	assert_true(is(&r, b.id, "\"state\":\"expired\""));
	assert_int_equal(answer(&r, b.id, r.f.user, true), ERR_BAD_STATE);
	assert_int_equal(ask(&r, &late, 1, r.incarnation, "{}"), ERR_SUPERSEDED);
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_running_attempt_may_ask),
		cmocka_unit_test(an_input_that_would_be_nested_too_deep_is_not_recorded),
		cmocka_unit_test(the_first_answer_counts_and_another_user_has_none),
		cmocka_unit_test(the_commit_that_ends_an_attempt_expires_what_is_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
