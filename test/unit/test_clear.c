/* session:clear over a real store and a real relay: what it leaves, what it stops, and what a killed session takes. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "relay_rig.h"

#include "device/session.h"
#include "relay/view_load.h"

struct clear {
	struct cmd_clear cmd;
	bool done;
	char killed[64], now[64], holder[64];
};

static enum err clear_run(struct txn *t, struct store_op *op)
{
	struct clear *k = CONTAINER_OF(op, struct clear, cmd.op);
	enum err e = cmd_clear_run(t, op);
	(void)str_copy(k->cmd.list[0].killed_id, k->killed, sizeof k->killed);
	(void)str_copy(k->cmd.list[0].session_id, k->now, sizeof k->now);
	(void)str_copy(k->cmd.list[0].refusal.device_id, k->holder, sizeof k->holder);
	return e;
}
static void clear_done(struct store_op *op) { CONTAINER_OF(op, struct clear, cmd.op)->done = true; }

/* Clears as a device would; the relay hears of it when `tell`. Release the op. */
static enum err clear_as(struct rig *r, struct clear *k, const char *device, const char *session, const char *conv,
			 const char *project, bool tell)
{
	k->done = false;
	store_op_init(&k->cmd.op, clear_run, clear_done, 0, r->f.now_ms++);
	k->cmd.op.bytes = 100;
	k->cmd.op.repeatable = true;
	k->cmd.user = r->f.user;
	k->cmd.device_id = str_c(device);
	k->cmd.session_id = session != NULL ? str_c(session) : STR_NONE;
	k->cmd.conversation_id = conv != NULL ? str_c(conv) : STR_NONE;
	k->cmd.project_id = project != NULL ? str_c(project) : STR_NONE;
	k->cmd.boot_ms = r->boot_ms;
	k->cmd.incarnation = r->incarnation;
	k->cmd.limits = &r->f.limits;
	store_submit(r->f.store, &k->cmd.op);
	while (!k->done) {
		while (sem_wait(&r->f.woken) != 0) {
		}
		store_poll(r->f.store);
	}
	for (size_t i = 0; tell && k->cmd.op.err == OK && i < k->cmd.n; i++) {
		const struct cleared *c = &k->cmd.list[i];
		for (size_t q = 0; q < c->nstopped; q++) relay_dropped(r->relay, &c->stopped[q], rig_now(r));
		if (c->is_new) (void)relay_stop_session(r->relay, r->f.user, c->killed_id, STR_NONE, rig_now(r));
	}
	if (tell) settle(r);
	return k->cmd.op.err;
}

static enum err clear(struct rig *r, struct clear *k, const char *conv)
{
	memset(k, 0, sizeof *k);
	enum err e = clear_as(r, k, "phone", NULL, conv, NULL, true);
	store_op_release(&k->cmd.op);
	return e;
}

/* And the relay does not hear of it. */
static void clear_behind(struct rig *r, struct clear *k, const char *conv)
{
	memset(k, 0, sizeof *k);
	assert_int_equal(clear_as(r, k, "phone", NULL, conv, NULL, false), OK);
	store_op_release(&k->cmd.op);
}

static int64_t open_now(struct rig *r)
{
	struct relay_counts counts;
	relay_counts(r->relay, &counts);
	return counts.open;
}

struct change_session {
	struct rig *r;
	const char *id;
	void (*change)(struct rig *r, struct session *s);
};
static enum err change_run(struct txn *t, void *ctx)
{
	struct change_session *c = ctx;
	struct record rec;
	struct session s;
	enum err e = session_find(t, c->r->f.user, str_c(c->id), &rec, &s, NULL);
	if (e != OK) return e;
	c->change(c->r, &s);
	session_write(&s, &rec, txn_arena(t));
	return txn_put(t, &rec);
}
static void change(struct rig *r, const char *id, void (*fn)(struct rig *r, struct session *s))
{
	struct change_session c = {r, id, fn};
	assert_int_equal(run(&r->f, change_run, &c), OK);
}

static void first_session(const char *conv, char out[ID_LEN + 1])
{
	struct id id = id_derive(str_c(conv), "session");
	memcpy(out, id.s, sizeof id.s);
}

static void it_kills_the_session_and_opens_the_next(void **state)
{
	struct rig r;
	struct clear k;
	char first[ID_LEN + 1];
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "hello");
	end(&r, 0, OK, false);
	assert_int_equal(clear(&r, &k, "c1"), OK);
	assert_string_equal(k.killed, first);
	assert_string_not_equal(k.now, first);
	assert_true(has(&r, "Session", str_c(first), "\"state\":\"killed\""));
	assert_true(has(&r, "Session", str_c(first), "\"killedBy\":\"phone\""));
	assert_true(has(&r, "Session", str_c(first), "\"killedAt\":\"2023"));
	assert_true(has(&r, "Session", str_c(first), k.now));
	assert_true(has(&r, "Session", str_c(k.now), "\"state\":\"active\""));
	assert_true(has(&r, "Conversation", STR("c1"), k.now));
	rig_release(&r);
}

struct finding {
	struct rig *r;
	const char *session;
	struct str newest;
	int64_t steps; /* of SQLite's machine */
};

static int one_step(void *ctx)
{
	((struct finding *)ctx)->steps++;
	return 0;
}

static enum err newest_run(struct txn *t, void *ctx)
{
	struct finding *l = ctx;
	struct record r;
	struct session s;
	sqlite3_progress_handler(t->db->h, 1, one_step, l);
	enum err e = session_find(t, l->r->f.user, str_c(l->session), &r, &s, NULL);
	if (e == OK) e = session_newest(t, r.conv, &l->newest);
	sqlite3_progress_handler(t->db->h, 0, NULL, NULL);
	l->newest = arena_str(&l->r->f.keep, l->newest);
	return e;
}

static enum err delete_conversation(struct txn *t, void *ctx)
{
	struct rig *r = ctx;
	struct record conv;
	enum err e = txn_get(t, r->f.zone, RT_CONVERSATION, STR("c1"), &conv);
	return e == OK ? txn_delete(t, &conv) : e;
}

static void of_a_deleted_conversation_the_session_after_the_killed_one_is_named(void **state)
{
	struct rig r;
	struct clear k;
	char first[ID_LEN + 1];
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "hello");
	end(&r, 0, OK, false);
	assert_int_equal(clear(&r, &k, "c1"), OK);
	assert_int_equal(run(&r.f, delete_conversation, &r), OK);
	struct finding l = {.r = &r, .session = first, .newest = STR("as it was")};
	assert_int_equal(run(&r.f, newest_run, &l), OK);
	assert_true(str_eq(l.newest, STR("as it was")));
	rig_release(&r);
}

static void pause_and_lock(struct rig *r, struct session *s)
{
	s->queue_paused = true;
	s->lock = (struct session_lock){STR("phone"), 1, r->incarnation, r->boot_ms + 60000, r->f.now_ms + 60000};
}

static void the_killed_session_holds_no_lock_and_no_pause_nor_does_the_next(void **state)
{
	struct rig r;
	struct clear k;
	char first[ID_LEN + 1];
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "hello");
	end(&r, 0, OK, false);
	change(&r, first, pause_and_lock);
	assert_true(has(&r, "Session", str_c(first), "\"queuePaused\":true"));
	assert_int_equal(clear(&r, &k, "c1"), OK); /* by the phone */
	const char *const ids[] = {first, k.now};
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		assert_true(has(&r, "Session", str_c(ids[i]), "\"state\":"));
		assert_false(has(&r, "Session", str_c(ids[i]), "\"queuePaused\":true"));
		assert_false(has(&r, "Session", str_c(ids[i]), "\"untilMs\""));
	}
	rig_release(&r);
}

static void a_second_clear_of_a_killed_session_changes_nothing_and_names_the_newest(void **state)
{
	struct rig r;
	struct clear k, k2, again;
	char first[ID_LEN + 1];
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "hello");
	end(&r, 0, OK, false);
	assert_int_equal(clear(&r, &k, "c1"), OK);
	assert_int_equal(clear(&r, &k2, "c1"), OK);
	assert_string_equal(k2.killed, k.now);
	memset(&again, 0, sizeof again);
	assert_int_equal(clear_as(&r, &again, "phone", first, NULL, NULL, true), OK);
	assert_string_equal(again.killed, first);
	assert_string_equal(again.now, k2.now);
	assert_false(again.cmd.list[0].is_new);
	assert_true(STAILQ_EMPTY(&again.cmd.op.changes));
	store_op_release(&again.cmd.op);
	rig_release(&r);
}

static void the_newest_of_many_sessions_is_found_at_once(void **state)
{
	struct rig r;
	struct clear k;
	char first[ID_LEN + 1];
	int64_t after_one = 0;
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "hello");
	end(&r, 0, OK, false);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(clear(&r, &k, "c1"), OK);
		struct finding l = {.r = &r, .session = first, .newest = STR_NONE};
		assert_int_equal(run(&r.f, newest_run, &l), OK);
		assert_true(str_eq(l.newest, str_c(k.now)));
		if (i == 0) after_one = l.steps;
		assert_true(l.steps <= 2 * after_one);
	}
	rig_release(&r);
}

static void what_runs_is_cut_what_waits_is_stopped_and_the_next_session_is_free(void **state)
{
	struct rig r;
	struct clear k;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "one");
	say(&r, "m2", "c1", "two");
	say(&r, "m3", "c1", "three");
	text(&r, 0, "some text");
	assert_int_equal(r.ncalls, 1);
	assert_int_equal(clear(&r, &k, "c1"), OK);
	assert_false(r.calls[0].live);
	const char *const ids[] = {"m1", "m2", "m3"};
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) assert_true(request_has(&r, ids[i], "\"state\":\"stopped\""));
	assert_int_equal(open_now(&r), 0);
	say(&r, "m4", "c1", "anew");
	assert_int_equal(r.ncalls, 2);
	assert_int_equal(r.calls[1].nmessages, 1); /* nothing of the killed session is context */
	end(&r, 1, OK, false);
	assert_true(request_has(&r, "m4", k.now));
	rig_release(&r);
}

static struct stream_row kept;
static char kept_text[64];
static enum err stream_run(struct txn *t, void *ctx)
{
	enum err e = txn_stream_get(t, *(int64_t *)ctx, 1, STREAM_TEXT, &kept);
	if (e == OK) (void)str_copy(kept.text, kept_text, sizeof kept_text);
	return e;
}

static void a_reply_that_comes_after_the_kill_is_not_written_into_it(void **state)
{
	struct rig r;
	struct clear k;
	(void)state;
	for (int how = 0; how < 3; how++) {
		rig_init(&r, 1);
		say(&r, "m1", "c1", "hello");
		text(&r, 0, "too late");
		int64_t row = job_row(r.calls[0].job);
		clear_behind(&r, &k, "c1");
		end(&r, 0, how == 0 ? OK : ERR_PROVIDER_CUT, how == 1); /* done, to be tried again, failed */
		r.boot_ms += 3600000;
		settle(&r);
		assert_int_equal(r.ncalls, 1);
		assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
		assert_false(reply_has(&r, "m1", ""));
		struct id q = request_of("m1"), partial = id_derive(id_str(&q), "partial.1");
		assert_false(has(&r, "Message", id_str(&partial), ""));
		assert_int_equal(run_on_reader(&r.f, stream_run, &row), OK);
		assert_string_equal(kept_text, "too late");
		rig_release(&r);
	}
}

static void a_crash_right_after_the_commit_still_stops_everything(void **state)
{
	struct rig r;
	struct clear k;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "one");
	say(&r, "m2", "c1", "two");
	text(&r, 0, "begun");
	clear_behind(&r, &k, "c1");
	reopen(&r);
	settle(&r);
	r.boot_ms += 3600000;
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
	assert_true(request_has(&r, "m2", "\"state\":\"stopped\""));
	assert_false(reply_has(&r, "m1", ""));
	rig_release(&r);
}

/* The relay may still believe in a request when its session was killed behind its back. */
static void a_claim_in_a_killed_session_stops_the_request(void **state)
{
	struct rig r;
	struct sent s;
	struct clear k;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m0", "c0", "takes the slot");
	assert_int_equal(send_as(&r, &s, r.f.user, r.f.actor, "m1", "c1", "waits", true), OK);
	store_op_release(&s.cmd.op);
	settle(&r);
	/* Killed, but its request is open again, as if the stop had been lost. */
	clear_behind(&r, &k, "c1");
	end(&r, 0, OK, false);
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
	say(&r, "m2", "c1", "next");
	assert_int_equal(r.ncalls, 2);
	rig_release(&r);
}

static enum err reopen_request(struct txn *t, void *ctx)
{
	struct rig *r = ctx;
	struct id id = request_of("m1");
	struct record rec;
	struct request q;
	enum err e = txn_get(t, r->f.zone, RT_REQUEST, id_str(&id), &rec);
	if (e == OK) e = request_read(&q, &rec, txn_arena(t));
	if (e != OK) return e;
	q.state = RQ_QUEUED;
	q.stop_requested = false;
	request_write(&q, &rec, txn_arena(t));
	return txn_put(t, &rec);
}

static void an_open_request_of_a_killed_session_is_stopped_when_it_is_taken_up(void **state)
{
	struct rig r;
	struct clear k;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "one");
	end(&r, 0, OK, false);
	assert_int_equal(clear(&r, &k, "c1"), OK);
	assert_int_equal(run(&r.f, reopen_request, &r), OK);
	reopen(&r);
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
	assert_int_equal(open_now(&r), 0);
	rig_release(&r);
}

static enum err retry_run(struct txn *t, void *ctx)
{
	struct cmd_retry *c = ctx;
	enum err e = cmd_retry_run(t, &c->op);
	static char next[64];
	(void)str_copy(c->next_id, next, sizeof next);
	c->next_id = str_c(next);
	return e;
}

static void sends_and_retries_into_it_name_the_newest_session(void **state)
{
	struct rig r;
	struct sent s;
	struct clear k;
	char first[ID_LEN + 1];
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "one");
	end(&r, 0, ERR_PROVIDER, false);
	for (int i = 0; i < 3; i++) assert_int_equal(clear(&r, &k, "c1"), OK);
	struct id q = request_of("m1");
	struct cmd_retry retry = {.user = r.f.user, .request_id = id_str(&q)};
	assert_int_equal(run(&r.f, retry_run, &retry), ERR_SESSION_KILLED);
	assert_true(str_eq(retry.next_id, str_c(k.now)));
	assert_int_equal(send_as(&r, &s, r.f.user, r.f.actor, "m2", "c1", "ok", true), OK);
	store_op_release(&s.cmd.op);
	settle(&r);
	assert_true(has(&r, "Message", STR("m2"), k.now));
	rig_release(&r);
}

static void lock_by_laptop(struct rig *r, struct session *s)
{
	s->fence = 7;
	s->lock = (struct session_lock){STR("laptop"), 7, r->incarnation, r->boot_ms + 1000, r->f.now_ms + 1000};
}

static void it_is_refused_while_another_device_holds_the_lock(void **state)
{
	struct rig r;
	struct clear k;
	char first[ID_LEN + 1];
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "hello");
	change(&r, first, lock_by_laptop);
	assert_int_equal(clear(&r, &k, "c1"), ERR_SESSION_LOCKED);
	assert_string_equal(k.holder, "laptop");
	assert_true(has(&r, "Session", str_c(first), "\"state\":\"active\""));
	assert_true(r.calls[0].live);
	memset(&k, 0, sizeof k);
	assert_int_equal(clear_as(&r, &k, "laptop", first, NULL, NULL, true), OK);
	store_op_release(&k.cmd.op);
	assert_true(has(&r, "Session", str_c(k.now), "\"fence\":7"));
	assert_false(has(&r, "Session", str_c(k.now), "lock"));
	change(&r, k.now, lock_by_laptop);
	r.boot_ms += 1000;
	assert_int_equal(clear(&r, &k, "c1"), OK); /* the lease ran out */
	rig_release(&r);
}

static void primary_is_laptop(struct rig *r, struct session *s)
{
	(void)r;
	s->primary = STR("laptop");
	s->term = 4;
	s->queue_paused = true;
}

static void the_primary_stays_under_the_next_term_and_the_queue_is_not_paused(void **state)
{
	struct rig r;
	struct clear k;
	char first[ID_LEN + 1];
	(void)state;
	rig_init(&r, 1);
	first_session("c1", first);
	say(&r, "m1", "c1", "hello");
	change(&r, first, primary_is_laptop);
	assert_int_equal(clear(&r, &k, "c1"), OK);
	assert_true(has(&r, "Session", str_c(k.now), "\"primaryDeviceId\":\"laptop\""));
	assert_true(has(&r, "Session", str_c(k.now), "\"term\":5"));
	assert_false(has(&r, "Session", str_c(k.now), "queuePaused"));
	assert_false(has(&r, "Session", str_c(first), "primaryDeviceId"));
	rig_release(&r);
}

struct join_project {
	struct rig *r;
	char conv[16];
};
static enum err join_project_run(struct txn *t, void *ctx)
{
	struct join_project *p = ctx;
	struct record rec;
	struct json_doc *doc = NULL;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	enum err e = txn_get(t, p->r->f.zone, RT_CONVERSATION, str_c(p->conv), &rec);
	bool is_new = e == ERR_NOT_FOUND;
	if (is_new)
		rec = (struct record){
			.zone = p->r->f.zone, .type = RT_CONVERSATION, .name = str_c(p->conv), .fields = STR("{}")};
	if (is_new) e = OK;
	if (e == OK) e = json_parse(STR("{\"projectId\":\"p1\"}"), &doc, NULL);
	if (e == OK) e = fields_merge(rec.fields, json_root(doc), POLICY_CHANGED_KEYS, &b, NULL);
	rec.fields = arena_str(txn_arena(t), buf_str(&b));
	json_free(doc);
	buf_release(&b);
	return e == OK ? txn_put(t, &rec) : e;
}

static void a_project_is_cleared_in_steps_and_locked_conversations_are_left_out(void **state)
{
	struct rig r;
	struct clear k;
	char id[32], first[ID_LEN + 1], cursor[200];
	size_t done = 0, refused = 0, steps = 0;
	(void)state;
	rig_init(&r, 1);
	enum { N = 21 };
	for (int i = 0; i < N; i++) {
		struct join_project p = {.r = &r};
		struct sent s;
		(void)snprintf(p.conv, sizeof p.conv, "c%d", i);
		(void)snprintf(id, sizeof id, "m%d", i);
		if (i != 5) { /* that one has no session yet */
			assert_int_equal(send_as(&r, &s, r.f.user, r.f.actor, id, p.conv, "hi", false), OK);
			store_op_release(&s.cmd.op);
		}
		assert_int_equal(run(&r.f, join_project_run, &p), OK);
	}
	first_session("c3", first);
	change(&r, first, lock_by_laptop);
	memset(&k, 0, sizeof k);
	k.cmd.cursor = STR_NONE;
	do {
		assert_int_equal(clear_as(&r, &k, "phone", NULL, NULL, "p1", true), OK);
		assert_in_range(k.cmd.n, 0, CLEAR_STEP);
		for (size_t i = 0; i < k.cmd.n; i++) {
			const struct cleared *c = &k.cmd.list[i];
			if (c->err == ERR_SESSION_LOCKED) refused++;
			else done++;
			assert_int_equal(c->err == OK, c->is_new);
		}
		steps++;
		bool more = k.cmd.next_cursor.p != NULL;
		(void)str_copy(k.cmd.next_cursor, cursor, sizeof cursor);
		store_op_release(&k.cmd.op);
		k.cmd.cursor = more ? str_c(cursor) : STR_NONE;
	} while (k.cmd.cursor.p != NULL);
	assert_int_equal(done, N - 2);
	assert_int_equal(refused, 1);
	assert_in_range(steps, 3, 4);
	for (int i = 0; i < N; i++) {
		char conv[16];
		(void)snprintf(conv, sizeof conv, "c%d", i);
		first_session(conv, first);
		assert_int_equal(has(&r, "Session", str_c(first), "\"state\":\"killed\""), i != 3 && i != 5);
	}
	assert_int_equal(clear_as(&r, &k, "phone", NULL, NULL, "p2", true), ERR_NOT_FOUND);
	store_op_release(&k.cmd.op);
	rig_release(&r);
}

static void what_is_not_there_is_not_found(void **state)
{
	struct rig r;
	struct clear k;
	(void)state;
	rig_init(&r, 1);
	assert_int_equal(clear(&r, &k, "nowhere"), ERR_NOT_FOUND);
	memset(&k, 0, sizeof k);
	assert_int_equal(clear_as(&r, &k, "phone", "nowhere", NULL, NULL, true), ERR_NOT_FOUND);
	store_op_release(&k.cmd.op);
	struct join_project p = {&r, "empty"};
	assert_int_equal(run(&r.f, join_project_run, &p), OK);
	assert_int_equal(clear(&r, &k, "empty"), ERR_NOT_FOUND);
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_kills_the_session_and_opens_the_next),
		cmocka_unit_test(of_a_deleted_conversation_the_session_after_the_killed_one_is_named),
		cmocka_unit_test(the_killed_session_holds_no_lock_and_no_pause_nor_does_the_next),
		cmocka_unit_test(a_second_clear_of_a_killed_session_changes_nothing_and_names_the_newest),
		cmocka_unit_test(the_newest_of_many_sessions_is_found_at_once),
		cmocka_unit_test(what_runs_is_cut_what_waits_is_stopped_and_the_next_session_is_free),
		cmocka_unit_test(a_reply_that_comes_after_the_kill_is_not_written_into_it),
		cmocka_unit_test(a_crash_right_after_the_commit_still_stops_everything),
		cmocka_unit_test(a_claim_in_a_killed_session_stops_the_request),
		cmocka_unit_test(an_open_request_of_a_killed_session_is_stopped_when_it_is_taken_up),
		cmocka_unit_test(sends_and_retries_into_it_name_the_newest_session),
		cmocka_unit_test(it_is_refused_while_another_device_holds_the_lock),
		cmocka_unit_test(the_primary_stays_under_the_next_term_and_the_queue_is_not_paused),
		cmocka_unit_test(a_project_is_cleared_in_steps_and_locked_conversations_are_left_out),
		cmocka_unit_test(what_is_not_there_is_not_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
