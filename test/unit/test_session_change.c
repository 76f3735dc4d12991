/* The judge of primaries and locks: cmd_session_change on a real store, each condition by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "store_fixture.h"

#include "device/pairing.h"
#include "device/session_change.h"

#define THIS_RUN 7

/* A change and how it went; strings that outlive the command. */
struct trial {
	struct cmd_session_change cmd;
	enum err err;
	char id[16], primary[16], holder[16];
	int64_t term, fence;
};

static enum err put(struct txn *t, struct fixture *f, uint32_t type, const char *name, const char *fields)
{
	struct record r = {.zone = f->zone, .type = type, .name = str_c(name), .fields = str_c(fields)}, conv;
	enum err e = OK;
	if (type == RT_SESSION) {
		e = txn_get(t, f->zone, RT_CONVERSATION, STR("c"), &conv);
		r.conv = conv.row;
	}
	return e == OK ? txn_put(t, &r) : e;
}

static enum err make_session(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	enum err e = put(t, f, RT_DEVICE, "phone", "{\"name\":\"Phone\"}");
	if (e == OK) e = put(t, f, RT_DEVICE, "laptop", "{}");
	if (e == OK)
		e = put(t, f, RT_CONVERSATION, "c",
			"{\"currentSessionId\":\"s\",\"settings\":{\"primary\":\"followsTyping\"}}");
	if (e == OK) e = put(t, f, RT_SESSION, "s", "{\"conversationId\":\"c\",\"state\":\"active\",\"kept\":1}");
	return e;
}

static int with_session(void **state)
{
	(void)setup(state);
	struct fixture *f = *state;
	assert_int_equal(run(f, make_session, f), OK);
	return 0;
}

static enum err change_run(struct txn *t, void *ctx)
{
	struct trial *x = ctx;
	x->err = cmd_session_change_run(t, &x->cmd.op);
	assert_true(str_copy(x->cmd.now.id, x->id, sizeof x->id));
	assert_true(str_copy(x->cmd.now.primary, x->primary, sizeof x->primary));
	assert_true(str_copy(x->cmd.holder, x->holder, sizeof x->holder));
	x->term = x->cmd.now.term;
	x->fence = x->cmd.now.fence;
	return x->err;
}

static struct trial change(struct fixture *f, int64_t incarnation, const struct seats_change *c)
{
	struct trial x = {.cmd = {.change = *c, .incarnation = incarnation, .expires_wall_ms = 1700000030000}};
	x.cmd.change.user = f->user;
	if (x.cmd.change.session_id.p == NULL) x.cmd.change.session_id = STR("s");
	enum err e = run(f, change_run, &x);
	assert_int_equal(e, x.err);
	return x;
}

#define PRIMARY(who, at) (&(struct seats_change){.kind = SEATS_PRIMARY, .device_id = STR(who), .expect = (at)})
#define LOCK(who, at)                                                                                                  \
	(&(struct seats_change){.kind = SEATS_LOCK, .device_id = STR(who), .expect = (at), .until_ms = 5000})

static enum err read_fields(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct record r;
	enum err e = txn_get(t, f->zone, RT_SESSION, STR("s"), &r);
	if (e == OK) assert_true(str_copy(r.fields, f->info.text, sizeof f->info.text));
	return e;
}

static void expect_in_record(struct fixture *f, const char *needle, bool is_there)
{
	struct call c;
	call_init(f, &c, read_fields, f);
	store_read(f->store, &c.op);
	await(f, &c);
	store_op_release(&c.op);
	assert_int_equal(strstr(f->info.text, needle) != NULL, is_there);
}

static void each_change_raises_the_term_by_one(void **state)
{
	struct fixture *f = *state;
	struct trial x = change(f, THIS_RUN, PRIMARY("phone", 0));
	assert_int_equal(x.err, OK);
	assert_string_equal(x.primary, "phone");
	assert_int_equal(x.term, 1);
	x = change(f, THIS_RUN, PRIMARY("laptop", 1));
	assert_int_equal(x.term, 2);
	x = change(f, THIS_RUN, PRIMARY("", 2));
	assert_int_equal(x.term, 3);
	expect_in_record(f, "primaryDeviceId", false);
	expect_in_record(f, "\"kept\":1", true); /* what this program does not know stays */
}

static void stale_term_changes_nothing_and_learns_the_current_one(void **state)
{
	struct fixture *f = *state;
	(void)change(f, THIS_RUN, PRIMARY("phone", 0));
	for (int64_t stale = -1; stale < 4; stale++) {
		if (stale == 1) continue;
		struct trial x = change(f, THIS_RUN, PRIMARY("laptop", stale));
		assert_int_equal(x.err, ERR_CONFLICT);
		assert_string_equal(x.primary, "phone");
		assert_int_equal(x.term, 1);
	}
	expect_in_record(f, "\"term\":1", true);
}

static void fences_grow_with_holders_and_not_with_renewals(void **state)
{
	struct fixture *f = *state;
	struct trial x = change(f, THIS_RUN, LOCK("phone", 0));
	assert_int_equal(x.fence, 1);
	struct seats_change again = *LOCK("phone", 1);
	again.is_renewal = true;
	x = change(f, THIS_RUN, &again);
	assert_int_equal(x.fence, 1);
	x = change(f, THIS_RUN, LOCK("laptop", 0));
	assert_int_equal(x.err, ERR_CONFLICT);
	x = change(f, THIS_RUN, LOCK("laptop", 1)); /* passed on in one commit */
	assert_int_equal(x.fence, 2);
	assert_string_equal(x.holder, "laptop");
	x = change(f, THIS_RUN, LOCK("", 2));
	assert_int_equal(x.fence, 2);
	assert_string_equal(x.holder, "");
	expect_in_record(f, "\"lock\"", false);
	again = *LOCK("phone", 2);
	again.is_renewal = true; /* of a lock it does not hold: a new holder */
	x = change(f, THIS_RUN, &again);
	assert_int_equal(x.fence, 3);
}

static void lease_of_another_incarnation_goes_with_any_change(void **state)
{
	struct fixture *f = *state;
	(void)change(f, THIS_RUN, LOCK("phone", 0));
	(void)change(f, THIS_RUN, PRIMARY("phone", 0));
	expect_in_record(f, "\"lock\"", true);
	struct trial x = change(f, THIS_RUN + 1, PRIMARY("laptop", 1));
	assert_int_equal(x.err, OK);
	assert_int_equal(x.fence, 1);
	expect_in_record(f, "\"lock\"", false);
}

static enum err kill_session(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct record r, conv;
	enum err e = txn_get(t, f->zone, RT_SESSION, STR("s"), &r);
	r.fields = STR("{\"conversationId\":\"c\",\"state\":\"killed\",\"nextSessionId\":\"s2\",\"term\":1}");
	if (e == OK) e = txn_put(t, &r);
	if (e == OK)
		e = put(t, f, RT_SESSION, "s2",
			"{\"conversationId\":\"c\",\"state\":\"killed\",\"nextSessionId\":\"s3\",\"term\":2}");
	if (e == OK)
		e = put(t, f, RT_SESSION, "s3",
			"{\"conversationId\":\"c\",\"state\":\"active\",\"primaryDeviceId\":\"laptop\",\"term\":4}");
	if (e == OK) e = txn_get_row(t, r.conv, &conv);
	conv.fields = STR("{\"currentSessionId\":\"s3\"}");
	if (e == OK) e = txn_put(t, &conv);
	return e;
}

static void killed_session_names_the_one_that_lives_now(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, kill_session, f), OK);
	struct trial x = change(f, THIS_RUN, PRIMARY("phone", 1));
	assert_int_equal(x.err, ERR_SESSION_KILLED);
	assert_string_equal(x.id, "s3");
	assert_string_equal(x.primary, "laptop");
	assert_int_equal(x.term, 4);
	expect_in_record(f, "\"term\":1", true);
}

static enum err revoke_phone(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct record r;
	enum err e = txn_get(t, f->zone, RT_DEVICE, STR("phone"), &r);
	return e == OK ? txn_delete(t, &r) : e;
}

static void revoked_or_unknown_device_becomes_nothing(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, revoke_phone, f), OK);
	assert_int_equal(change(f, THIS_RUN, PRIMARY("phone", 0)).err, ERR_NOT_FOUND);
	assert_int_equal(change(f, THIS_RUN, LOCK("phone", 0)).err, ERR_NOT_FOUND);
	assert_int_equal(change(f, THIS_RUN, PRIMARY("stranger", 0)).err, ERR_NOT_FOUND);
	assert_int_equal(change(f, THIS_RUN, PRIMARY("laptop", 0)).err, OK);
}

static void session_that_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct seats_change c = *PRIMARY("phone", 0);
	c.session_id = STR("none");
	assert_int_equal(change(f, THIS_RUN, &c).err, ERR_NOT_FOUND);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

struct looking {
	struct cmd_session_look cmd;
	const char *record, *current; /* expected; NULL none */
};

static enum err look_run(struct txn *t, void *ctx)
{
	struct looking *l = ctx;
	enum err e = cmd_session_look_run(t, &l->cmd.op);
	assert_int_equal(l->cmd.has_session, l->record != NULL);
	if (l->record != NULL) assert_true(str_eq(l->cmd.record.name, str_c(l->record)));
	assert_true(str_eq(l->cmd.seat.id, str_c(l->current != NULL ? l->current : "")));
	return e;
}

static enum err look(struct fixture *f, struct str conversation, struct str session, const char *record,
		     const char *current, struct looking *l)
{
	*l = (struct looking){.cmd = {.user = f->user, .conversation_id = conversation, .session_id = session},
			      .record = record,
			      .current = current};
	return run_on_reader(f, look_run, l);
}

static void join_finds_the_current_session_whatever_was_named(void **state)
{
	struct fixture *f = *state;
	struct looking l;
	assert_int_equal(look(f, STR("c"), STR_NONE, "s", "s", &l), OK);
	assert_true(l.cmd.follows && !l.cmd.is_killed && l.cmd.conv != 0);
	assert_int_equal(look(f, STR("not yet"), STR_NONE, NULL, NULL, &l), OK);
	assert_true(l.cmd.conv == 0);
	assert_int_equal(look(f, STR_NONE, STR("none"), NULL, NULL, &l), ERR_NOT_FOUND);
	assert_int_equal(look(f, STR_NONE, STR("s"), "s", "s", &l), OK);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, with_session, teardown)
	const struct CMUnitTest tests[] = {
		T(each_change_raises_the_term_by_one),
		T(stale_term_changes_nothing_and_learns_the_current_one),
		T(fences_grow_with_holders_and_not_with_renewals),
		T(lease_of_another_incarnation_goes_with_any_change),
		T(killed_session_names_the_one_that_lives_now),
		T(revoked_or_unknown_device_becomes_nothing),
		T(session_that_is_not_there),
		T(join_finds_the_current_session_whatever_was_named),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
