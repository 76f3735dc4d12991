/* A session's queue: order, pause, and what people do to it, over a real store; and every interleaving of two workers on
 * one request. */
#include "relay_rig.h"

#include "device/session.h"
#include "relay/queue.h"

/* ---- asking ---- */

struct asked {
	struct cmd_queue cmd;
	bool done;
};
static void asked_done(struct store_op *op) { CONTAINER_OF(op, struct asked, cmd.op)->done = true; }

/* Does what a verb does: the command, then what it tells the relay. By session or by conversation. Release its op. */
static enum err queue_of(struct rig *r, struct asked *a, enum queue_verb verb, struct str session, struct str conv,
			 struct str request, int priority)
{
	*a = (struct asked){0};
	store_op_init(&a->cmd.op, cmd_queue_run, asked_done, 0, r->f.now_ms++);
	a->cmd.verb = verb;
	a->cmd.user = r->f.user;
	a->cmd.session_id = session;
	a->cmd.of_conversation = conv;
	a->cmd.request_id = request;
	a->cmd.priority = priority;
	a->cmd.incarnation = r->incarnation;
	store_submit(r->f.store, &a->cmd.op);
	while (!a->done) {
		while (sem_wait(&r->f.woken) != 0) {
		}
		store_poll(r->f.store);
	}
	if (a->cmd.op.err == OK) queue_tell_relay(&a->cmd, r->relay, rig_now(r));
	settle(r);
	return a->cmd.op.err;
}

static enum err queue(struct rig *r, struct asked *a, enum queue_verb verb, const char *conv, struct str request,
		      int priority)
{
	return queue_of(r, a, verb, STR_NONE, str_c(conv), request, priority);
}

static enum err queue_do(struct rig *r, enum queue_verb verb, const char *conv, const char *message, int priority)
{
	struct asked a;
	struct id id = message != NULL ? request_of(message) : (struct id){0};
	enum err e = queue(r, &a, verb, conv, message != NULL ? id_str(&id) : STR_NONE, priority);
	store_op_release(&a.cmd.op);
	return e;
}

/* The call says "t" and is done. */
static void answer(struct rig *r, size_t call)
{
	text(r, call, "t");
	end(r, call, OK, false);
}

/* The messages of a list, "m1 m2 ". */
static const char *names(const struct queue_list *l)
{
	static char out[2000];
	size_t n = 0;
	out[0] = '\0';
	for (size_t i = 0; i < l->n && n + 40 < sizeof out; i++)
		n += (size_t)snprintf(out + n, sizeof out - n, "%.*s ", STR_ARG(l->list[i].request.message_id));
	return out;
}

static void assert_waiting(struct rig *r, const char *conv, const char *wanted)
{
	struct asked a;
	assert_int_equal(queue(r, &a, QUEUE_LIST, conv, STR_NONE, 0), OK);
	assert_string_equal(names(&a.cmd.waiting), wanted);
	store_op_release(&a.cmd.op);
}

static void say_as(struct rig *r, const char *id, const char *conv, int priority)
{
	r->priority = priority;
	say(r, id, conv, id);
	r->priority = PRIORITY_NORMAL;
}

/* Ends what runs, one after the other, and asserts in which order they were begun. */
static void assert_runs(struct rig *r, size_t from, const char *const *wanted, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(r->ncalls, from + i + 1);
		assert_string_equal(r->calls[from + i].text, wanted[i]);
		text(r, from + i, "t");
		end(r, from + i, OK, false);
	}
	assert_int_equal(r->ncalls, from + n);
}

/* ---- order ---- */

static void classes_go_before_each_other_and_each_is_first_come_first_served(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "first", "c", "first");
	say_as(&r, "low1", "c", PRIORITY_LOW);
	say_as(&r, "high1", "c", PRIORITY_HIGH);
	say(&r, "normal1", "c", "normal1");
	say_as(&r, "high2", "c", PRIORITY_HIGH);
	say_as(&r, "low2", "c", PRIORITY_LOW);
	say_as(&r, "high3", "c", PRIORITY_HIGH);
	say(&r, "normal2", "c", "normal2");
	assert_int_equal(r.ncalls, 1); /* what runs is not interrupted by a higher class */
	assert_waiting(&r, "c", "high1 high2 high3 normal1 normal2 low1 low2 ");
	static const char *const order[] = {"first", "high1", "high2", "high3", "normal1", "normal2", "low1", "low2"};
	assert_runs(&r, 0, order, ARRAY_LEN(order));
	rig_release(&r);
}

static void the_class_is_in_the_record_when_it_is_not_the_normal_one(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say_as(&r, "m2", "c", PRIORITY_LOW);
	assert_false(request_has(&r, "m1", "priority"));
	assert_true(request_has(&r, "m2", "\"priority\":2"));
	rig_release(&r);
}

static void one_that_waits_can_be_moved_while_another_runs(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say(&r, "m2", "c", "m2");
	say(&r, "m3", "c", "m3");
	say(&r, "m4", "c", "m4");
	assert_int_equal(queue_do(&r, QUEUE_REORDER, "c", "m4", PRIORITY_HIGH), OK);
	assert_int_equal(queue_do(&r, QUEUE_REORDER, "c", "m2", PRIORITY_LOW), OK);
	assert_waiting(&r, "c", "m4 m3 m2 ");
	/* Back among the normal ones it stands where its message was committed. */
	assert_int_equal(queue_do(&r, QUEUE_REORDER, "c", "m2", PRIORITY_NORMAL), OK);
	assert_waiting(&r, "c", "m4 m2 m3 ");
	assert_int_equal(queue_do(&r, QUEUE_REORDER, "c", "m1", PRIORITY_LOW), ERR_BAD_STATE);
	static const char *const order[] = {"m1", "m4", "m2", "m3"};
	assert_runs(&r, 0, order, ARRAY_LEN(order));
	assert_int_equal(queue_do(&r, QUEUE_REORDER, "c", "m1", PRIORITY_LOW), ERR_BAD_STATE);
	rig_release(&r);
}

static void one_that_backs_off_keeps_its_place_and_only_a_higher_class_passes_it(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say(&r, "m2", "c", "m2");
	end(&r, 0, ERR_PROVIDER_DOWN, true);
	assert_int_equal(r.ncalls, 1); /* m2 does not pass */
	assert_waiting(&r, "c", "m1 m2 ");
	say_as(&r, "urgent", "c", PRIORITY_HIGH);
	assert_int_equal(r.ncalls, 2);
	assert_string_equal(r.calls[1].text, "urgent");
	answer(&r, 1);
	assert_int_equal(r.ncalls, 2);
	r.boot_ms += 60000;
	settle(&r);
	assert_int_equal(r.ncalls, 3);
	assert_string_equal(r.calls[2].text, "m1");
	rig_release(&r);
}

static void sessions_run_in_parallel_and_a_paused_one_holds_up_no_other(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 2);
	say(&r, "a1", "ca", "a1");
	say(&r, "b1", "cb", "b1");
	assert_int_equal(r.ncalls, 2);
	assert_int_equal(queue_do(&r, QUEUE_PAUSE, "ca", NULL, 0), OK);
	say(&r, "a2", "ca", "a2");
	say(&r, "b2", "cb", "b2");
	answer(&r, 0);
	answer(&r, 1);
	assert_int_equal(r.ncalls, 3);
	assert_string_equal(r.calls[2].text, "b2");
	rig_release(&r);
}

/* ---- pause ---- */

static void a_paused_queue_begins_nothing_and_what_runs_goes_on(void **state)
{
	struct rig r;
	struct relay_counts n;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say(&r, "m2", "c", "m2");
	assert_int_equal(queue_do(&r, QUEUE_PAUSE, "c", NULL, 0), OK);
	assert_true(r.calls[0].live);
	answer(&r, 0);
	assert_true(reply_has(&r, "m1", "\"text\":\"t\""));
	assert_int_equal(r.ncalls, 1);
	say_as(&r, "m3", "c", PRIORITY_HIGH);
	assert_int_equal(r.ncalls, 1);
	relay_counts(r.relay, &n);
	assert_int_equal(n.waiting, 2);
	assert_int_equal(n.held, 2);
	assert_int_equal(queue_do(&r, QUEUE_RESUME, "c", NULL, 0), OK);
	static const char *const order[] = {"m3", "m2"};
	assert_runs(&r, 1, order, ARRAY_LEN(order));
	rig_release(&r);
}

static void a_send_into_a_paused_empty_queue_waits_although_a_slot_is_free(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	answer(&r, 0);
	assert_int_equal(queue_do(&r, QUEUE_PAUSE, "c", NULL, 0), OK);
	say(&r, "m2", "c", "m2");
	assert_int_equal(r.ncalls, 1);
	assert_true(request_has(&r, "m2", "\"state\":\"queued\""));
	assert_int_equal(relay_running_on(r.relay, 0), 0);
	assert_int_equal(queue_do(&r, QUEUE_RESUME, "c", NULL, 0), OK);
	assert_int_equal(r.ncalls, 2);
	rig_release(&r);
}

static void one_that_backs_off_in_a_paused_queue_stays_until_it_is_resumed(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	end(&r, 0, ERR_PROVIDER_DOWN, true);
	assert_int_equal(queue_do(&r, QUEUE_PAUSE, "c", NULL, 0), OK);
	r.boot_ms += 3600000;
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	assert_int_equal(queue_do(&r, QUEUE_RESUME, "c", NULL, 0), OK);
	assert_int_equal(r.ncalls, 2);
	rig_release(&r);
}

static void pausing_and_resuming_twice_changes_nothing(void **state)
{
	struct rig r;
	struct asked a;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	static const enum queue_verb verbs[] = {QUEUE_RESUME, QUEUE_PAUSE, QUEUE_PAUSE, QUEUE_RESUME, QUEUE_RESUME};
	static const bool changes[] = {false, true, false, true, false};
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		assert_int_equal(queue(&r, &a, verbs[i], "c", STR_NONE, 0), OK);
		assert_int_equal(a.cmd.changed, changes[i]);
		assert_int_equal(a.cmd.paused, verbs[i] == QUEUE_PAUSE);
		store_op_release(&a.cmd.op);
	}
	rig_release(&r);
}

static void queue_order_classes_and_pause_are_as_before_in_a_new_daemon(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say(&r, "m2", "c", "m2");
	say_as(&r, "low", "c", PRIORITY_LOW);
	say_as(&r, "high", "c", PRIORITY_HIGH);
	say(&r, "m3", "c", "m3");
	assert_int_equal(queue_do(&r, QUEUE_REORDER, "c", "m3", PRIORITY_HIGH), OK);
	assert_int_equal(queue_do(&r, QUEUE_PAUSE, "c", NULL, 0), OK);
	reopen(&r);
	assert_int_equal(r.ncalls, 1); /* the interrupted one is queued again and held like the others */
	assert_waiting(&r, "c", "high m3 m1 m2 low ");
	reopen(&r);
	assert_int_equal(queue_do(&r, QUEUE_RESUME, "c", NULL, 0), OK);
	static const char *const order[] = {"high", "m3", "m1", "m2", "low"};
	assert_runs(&r, 1, order, ARRAY_LEN(order));
	assert_healthy(&r.f);
	rig_release(&r);
}

/* ---- clear and remove ---- */

static void clear_stops_what_waits_and_keeps_its_messages_and_what_runs(void **state)
{
	struct rig r;
	struct asked a;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say(&r, "m2", "c", "m2");
	say_as(&r, "m3", "c", PRIORITY_HIGH);
	say(&r, "x1", "other", "x1");
	assert_int_equal(queue(&r, &a, QUEUE_CLEAR, "c", STR_NONE, 0), OK);
	assert_string_equal(names(&a.cmd.stopped), "m3 m2 ");
	assert_int_equal(a.cmd.waiting.n, 0);
	assert_string_equal(names(&a.cmd.running), "m1 ");
	store_op_release(&a.cmd.op);
	assert_true(request_has(&r, "m2", "\"state\":\"stopped\""));
	assert_true(has(&r, "Message", STR("m2"), "\"text\":\"m2\""));
	answer(&r, 0);
	assert_true(reply_has(&r, "m1", "\"text\":\"t\""));
	assert_int_equal(r.ncalls, 2);
	assert_true(r.calls[1].live);
	/* An empty queue is cleared as well. */
	assert_int_equal(queue(&r, &a, QUEUE_CLEAR, "c", STR_NONE, 0), OK);
	assert_false(a.cmd.changed);
	store_op_release(&a.cmd.op);
	rig_release(&r);
}

/* The removal is on disk, and the relay has not heard of it when somebody stops the request. */
static void a_stop_that_comes_behind_a_removal_is_told_how_it_ended(void **state)
{
	struct rig r;
	struct asked a = {0};
	struct id id = request_of("m2");
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say(&r, "m2", "c", "m2");
	store_op_init(&a.cmd.op, cmd_queue_run, asked_done, 0, r.f.now_ms++);
	a.cmd.verb = QUEUE_REMOVE;
	a.cmd.user = r.f.user;
	a.cmd.of_conversation = STR("c");
	a.cmd.request_id = id_str(&id);
	a.cmd.incarnation = r.incarnation;
	store_submit(r.f.store, &a.cmd.op);
	r.told[0] = '\0';
	assert_true(relay_stop(r.relay, id_str(&id), rig_now(&r)));
	settle(&r);
	while (!a.done) store_poll(r.f.store);
	assert_int_equal(a.cmd.op.err, OK);
	assert_string_equal(r.told, "stopped");
	queue_tell_relay(&a.cmd, r.relay, rig_now(&r));
	settle(&r);
	assert_null(relay_find(r.relay, id_str(&id)));
	store_op_release(&a.cmd.op);
	rig_release(&r);
}

static void remove_stops_one_that_waits_and_nothing_else(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	say(&r, "m2", "c", "m2");
	say(&r, "m3", "c", "m3");
	say(&r, "x1", "other", "x1");
	assert_int_equal(queue_do(&r, QUEUE_REMOVE, "c", "m2", 0), OK);
	assert_int_equal(queue_do(&r, QUEUE_REMOVE, "c", "m2", 0), ERR_BAD_STATE);
	assert_int_equal(queue_do(&r, QUEUE_REMOVE, "c", "m1", 0), ERR_BAD_STATE);
	assert_int_equal(queue_do(&r, QUEUE_REMOVE, "c", "x1", 0), ERR_NOT_FOUND);
	assert_int_equal(queue_do(&r, QUEUE_REMOVE, "c", "nothing", 0), ERR_NOT_FOUND);
	assert_waiting(&r, "c", "m3 ");
	assert_true(request_has(&r, "m2", "\"state\":\"stopped\""));
	answer(&r, 0);
	assert_int_equal(r.ncalls, 3);
	assert_string_equal(r.calls[2].text, "m3");
	rig_release(&r);
}

static void one_that_backs_off_can_be_removed(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	end(&r, 0, ERR_PROVIDER_DOWN, true);
	assert_int_equal(queue_do(&r, QUEUE_REMOVE, "c", "m1", 0), OK);
	r.boot_ms += 3600000;
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
	rig_release(&r);
}

struct overtaking {
	struct asked asked;
	struct rig *r;
};
static void overtaking_done(struct store_op *op)
{
	struct overtaking *o = CONTAINER_OF(op, struct overtaking, asked.cmd.op);
	o->asked.done = true;
	queue_tell_relay(&o->asked.cmd, o->r->relay, rig_now(o->r));
}

static void a_clear_that_overtakes_a_claim_leaves_nothing_behind(void **state)
{
	struct rig r;
	struct overtaking o = {.r = &r};
	struct relay_counts n;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "m1");
	answer(&r, 0);
	assert_int_equal(queue_do(&r, QUEUE_PAUSE, "c", NULL, 0), OK);
	say(&r, "m2", "c", "m2");
	/* The clear is at the store when the request is claimed, and comes back first. */
	struct asked list;
	assert_int_equal(queue(&r, &list, QUEUE_LIST, "c", STR_NONE, 0), OK);
	store_op_init(&o.asked.cmd.op, cmd_queue_run, overtaking_done, 0, r.f.now_ms++);
	o.asked.cmd.verb = QUEUE_CLEAR;
	o.asked.cmd.user = r.f.user;
	o.asked.cmd.of_conversation = STR("c");
	o.asked.cmd.incarnation = r.incarnation;
	store_submit(r.f.store, &o.asked.cmd.op);
	relay_hold(r.relay, list.cmd.conv, list.cmd.session_id, false, rig_now(&r));
	assert_int_equal(r.outstanding, 1);
	settle(&r);
	assert_true(o.asked.done);
	assert_int_equal(r.ncalls, 1);
	relay_counts(r.relay, &n);
	assert_int_equal(n.open, 0);
	assert_int_equal(relay_running_on(r.relay, 0), 0);
	assert_true(request_has(&r, "m2", "\"state\":\"stopped\""));
	store_op_release(&list.cmd.op);
	store_op_release(&o.asked.cmd.op);
	rig_release(&r);
}

/* ---- dead letters ---- */

static enum err retry_run(struct txn *t, void *ctx)
{
	struct cmd_retry *c = ctx;
	return cmd_retry_run(t, &c->op);
}

static void dead_letters_are_the_failed_ones_newest_first_and_retry_takes_one_out(void **state)
{
	struct rig r;
	struct asked a;
	(void)state;
	rig_init(&r, 4);
	for (size_t i = 0; i < 3; i++) {
		static const char *const ids[] = {"m1", "m2", "m3"};
		say(&r, ids[i], "c", ids[i]);
		end(&r, i, ERR_PROVIDER_REFUSED, false);
	}
	say(&r, "x1", "other", "x1");
	end(&r, 3, ERR_PROVIDER_REFUSED, false);
	assert_int_equal(queue(&r, &a, QUEUE_LIST, "c", STR_NONE, 0), OK);
	assert_string_equal(names(&a.cmd.dead), "m3 m2 m1 ");
	assert_true(str_eq(a.cmd.dead.list[0].request.error_code, STR("provider_refused")));
	assert_false(a.cmd.dead_more);
	store_op_release(&a.cmd.op);
	struct id id = request_of("m2");
	struct cmd_retry again = {.user = r.f.user, .request_id = id_str(&id)};
	struct call c;
	call_init(&r.f, &c, retry_run, &again);
	c.op.repeatable = false;
	store_submit(r.f.store, &c.op);
	await(&r.f, &c);
	assert_int_equal(c.op.err, OK);
	relay_admit(r.relay, &again.job, -1, rig_now(&r));
	store_op_release(&c.op);
	settle(&r);
	assert_int_equal(r.ncalls, 5);
	assert_int_equal(queue(&r, &a, QUEUE_LIST, "c", STR_NONE, 0), OK);
	assert_string_equal(names(&a.cmd.dead), "m3 m1 ");
	assert_string_equal(names(&a.cmd.running), "m2 ");
	store_op_release(&a.cmd.op);
	rig_release(&r);
}

static void at_most_so_many_dead_letters_are_shown(void **state)
{
	struct rig r;
	struct asked a;
	char id[16], newest[16];
	(void)state;
	rig_init(&r, 4);
	for (int i = 0; i <= QUEUE_DEAD_MAX; i++) {
		(void)snprintf(id, sizeof id, "d%d", i);
		say(&r, id, "c", id);
		end(&r, (size_t)i, ERR_PROVIDER_REFUSED, false);
	}
	assert_int_equal(queue(&r, &a, QUEUE_LIST, "c", STR_NONE, 0), OK);
	assert_int_equal(a.cmd.dead.n, QUEUE_DEAD_MAX);
	assert_true(a.cmd.dead_more);
	(void)snprintf(newest, sizeof newest, "d%d", QUEUE_DEAD_MAX);
	assert_true(str_eq(a.cmd.dead.list[0].request.message_id, str_c(newest)));
	store_op_release(&a.cmd.op);
	rig_release(&r);
}

/* ---- refusals ---- */

static enum err kill_run(struct txn *t, void *ctx)
{
	struct rig *r = ctx;
	struct record rec;
	struct session s;
	struct id id = id_derive(STR("c"), "session");
	enum err e = session_find(t, r->f.user, id_str(&id), &rec, &s, NULL);
	if (e != OK) return e;
	s.is_killed = true;
	s.killed_by = STR("phone");
	s.next_id = STR("after");
	session_write(&s, &rec, txn_arena(t));
	e = txn_put(t, &rec);
	/* And cleared once more. */
	s.next_id = STR("newest");
	for (int i = 0; i < 2 && e == OK; i++) {
		struct record next = {.zone = rec.zone, .type = RT_SESSION, .conv = rec.conv};
		next.name = i == 0 ? STR("after") : STR("newest");
		session_write(&s, &next, txn_arena(t));
		e = txn_put(t, &next);
		s.is_killed = false;
	}
	if (e == OK) e = txn_get_row(t, rec.conv, &rec);
	rec.fields = STR("{\"currentSessionId\":\"newest\"}");
	return e == OK ? txn_put(t, &rec) : e;
}

static void unknown_and_killed_sessions_are_refused_by_name(void **state)
{
	struct rig r;
	struct asked a;
	struct id first = id_derive(STR("c"), "session");
	(void)state;
	rig_init(&r, 4);
	static const enum queue_verb verbs[] = {QUEUE_LIST,  QUEUE_PAUSE,  QUEUE_RESUME,
						QUEUE_CLEAR, QUEUE_REMOVE, QUEUE_REORDER};
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		assert_int_equal(queue_do(&r, verbs[i], "nowhere", "m1", 1), ERR_NOT_FOUND);
	say(&r, "m1", "c", "m1");
	assert_int_equal(run(&r.f, kill_run, &r), OK);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		assert_int_equal(queue_of(&r, &a, verbs[i], id_str(&first), STR_NONE, STR_NONE, 1), ERR_SESSION_KILLED);
		assert_true(str_eq(a.cmd.next_id, STR("newest")));
		store_op_release(&a.cmd.op);
	}
	r.f.user++; /* another user's session looks like none */
	assert_int_equal(queue_do(&r, QUEUE_PAUSE, "c", NULL, 0), ERR_NOT_FOUND);
	r.f.user--;
	rig_release(&r);
}

/* ---- two workers, one request: every interleaving ----
 *
 * A worker is a daemon's incarnation. It claims, it ends the attempt it believes to have (with a reply, or to try again),
 * and it takes an attempt of the other's for lost. What it knows may be as old as its own last look. Every sequence of
 * STEPS such steps runs over the real commands, beside a model of what must come out: one reply at most, only from the
 * attempt that has the fence, and the request is open until then. */

#define STEPS 6
#define AT_ONCE 300 /* sequences in one command of the store */

enum step { CLAIM, REPLY, TRY_AGAIN, GIVE_UP_OTHER, STEP_KINDS };

struct model {
	enum request_state state;
	int64_t attempt, owner;
	struct {
		int64_t attempt; /* the one it believes to run; 0 none */
		int64_t seen;    /* the last it saw */
	} worker[2];
	int replies;
};

struct explored {
	int64_t user;
	int64_t sequences, replies, refused;
	int steps[STEPS]; /* the sequence: worker * STEP_KINDS + step; the next one to run */
	bool is_over;
	bool break_fence; /* the control: a finish that names the current attempt whatever it believes */
	char wrong[200];
};

static enum err make_request(struct txn *t, struct explored *x, int64_t n, struct job_info *job)
{
	char *name = arena_alloc(txn_arena(t), 24);
	(void)snprintf(name, 24, "x%lld", (long long)n);
	static struct limits limits;
	limits_default(&limits);
	struct cmd_send c = {.user = x->user,
			     .user_id = STR("u"),
			     .message_id = str_c(name),
			     .conversation_id = str_c(name),
			     .session_id = STR_NONE,
			     .text = STR("hello"),
			     .parts = STR_NONE,
			     .parent = STR_NONE,
			     .wants_answer = true,
			     .limits = &limits,
			     .wanted = {.model = STR("m"), .params = STR("")},
			     .priority = PRIORITY_NORMAL,
			     .incarnation = 1,
			     .context_bytes = 1000,
			     .open_max = 100};
	enum err e = cmd_send_run(t, &c.op);
	*job = c.job;
	return e;
}

static enum err finish_step(struct txn *t, const struct explored *x, const struct job_info *job, enum finish_as as,
			    int64_t incarnation, int64_t attempt, int64_t current)
{
	struct cmd_finish c = {.as = as,
			       .row = job->row,
			       .attempt = x->break_fence ? current : attempt,
			       .incarnation = incarnation,
			       .text = STR("answer"),
			       .thinking = STR(""),
			       .error_text = STR(""),
			       .finish_reason = STR(""),
			       .max_attempts = 100,
			       .provider_id = STR(""),
			       .usage = USAGE_UNKNOWN};
	return cmd_finish_run(t, &c.op);
}

/* One step of the model and of the store; whether both say the same. */
static bool step(struct txn *t, struct explored *x, const struct job_info *job, struct model *m, int w, enum step what)
{
	int64_t me = 1 + w;
	bool ok, is_open = request_is_open(m->state);
	enum err e;
	if (what == CLAIM) {
		struct cmd_claim c = {.row = job->row, .incarnation = me, .context_bytes = 1000};
		e = cmd_claim_run(t, &c.op);
		ok = is_open && m->state != RQ_CLAIMED;
		if (ok) {
			m->state = RQ_CLAIMED;
			m->owner = me;
			m->worker[w].attempt = ++m->attempt;
		}
		m->worker[w].seen = m->attempt;
	} else if (what == GIVE_UP_OTHER) {
		e = finish_step(t, x, job, FINISH_RECOVER, me, m->worker[w].seen, m->attempt);
		ok = m->state == RQ_CLAIMED && m->owner != me && m->worker[w].seen == m->attempt;
		if (ok) m->state = RQ_QUEUED;
	} else {
		enum finish_as as = what == REPLY ? FINISH_DONE : FINISH_RETRY;
		e = finish_step(t, x, job, as, me, m->worker[w].attempt, m->attempt);
		ok = m->state == RQ_CLAIMED && m->owner == me && m->worker[w].attempt == m->attempt;
		if (ok) m->state = what == REPLY ? RQ_DONE : RQ_RETRYING;
		m->replies += ok && what == REPLY;
		m->worker[w].attempt = 0;
	}
	x->refused += e != OK;
	return (e == OK) == ok && (e == OK || e == ERR_BAD_STATE || e == ERR_SUPERSEDED);
}

struct replies {
	int n;
};
static enum err count_reply(void *ctx, const struct record *r)
{
	((struct replies *)ctx)->n += memmem(r->fields.p, r->fields.n, "assistant", 9) != NULL;
	return OK;
}

static bool run_sequence(struct txn *t, struct explored *x)
{
	struct job_info job, end;
	struct record r;
	struct model m = {.state = RQ_QUEUED};
	struct replies replies = {0};
	if (make_request(t, x, x->sequences, &job) != OK) return false;
	bool ok = true;
	for (int i = 0; ok && i < STEPS; i++)
		ok = step(t, x, &job, &m, x->steps[i] / STEP_KINDS, (enum step)(x->steps[i] % STEP_KINDS));
	ok = ok && txn_get_row(t, job.row, &r) == OK && request_load(t, &r, &end) == OK;
	ok = ok && end.request.state == m.state && end.request.attempt == m.attempt;
	ok = ok && txn_messages(t, job.zone, job.conv, 0, 100, count_reply, &replies) == OK;
	x->replies += replies.n;
	return ok && replies.n == m.replies && replies.n <= 1 && (replies.n == 1) == (m.state == RQ_DONE);
}

/* The next sequence, leaving out those in which a worker ends an attempt that it never had. */
static void advance(struct explored *x)
{
	for (;;) {
		int i = STEPS - 1;
		while (i >= 0 && ++x->steps[i] == 2 * STEP_KINDS) x->steps[i--] = 0;
		if (i < 0) {
			x->is_over = true;
			return;
		}
		bool has_tried[2] = {false, false}, is_possible = true;
		for (i = 0; i < STEPS; i++) {
			int w = x->steps[i] / STEP_KINDS;
			if (x->steps[i] % STEP_KINDS == CLAIM) has_tried[w] = true;
			else is_possible = is_possible && has_tried[w];
		}
		/* By symmetry the first worker begins. */
		if (is_possible && x->steps[0] / STEP_KINDS == 0) return;
	}
}

static enum err explore_some(struct txn *t, void *ctx)
{
	struct explored *x = ctx;
	for (int i = 0; i < AT_ONCE && !x->is_over && x->wrong[0] == '\0'; i++) {
		if (!run_sequence(t, x)) {
			size_t n = 0;
			for (int k = 0; k < STEPS; k++)
				n += (size_t)snprintf(x->wrong + n, sizeof x->wrong - n, "worker %d step %d, ",
						      x->steps[k] / STEP_KINDS, x->steps[k] % STEP_KINDS);
		}
		x->sequences++;
		advance(x);
	}
	return OK;
}

static void explore(struct rig *r, struct explored *x)
{
	struct call c;
	x->user = r->f.user;
	while (!x->is_over && x->wrong[0] == '\0') {
		call_init(&r->f, &c, explore_some, x);
		c.op.repeatable = false;
		store_submit(r->f.store, &c.op);
		assert_int_equal(finish_call(&r->f, &c), OK);
	}
}

static void two_workers_never_make_two_replies_nor_lose_a_request(void **state)
{
	struct rig r;
	struct explored x = {0};
	(void)state;
	rig_init(&r, 1);
	explore(&r, &x);
	if (x.wrong[0] != '\0') fail_msg("after %lld sequences: %s", (long long)x.sequences, x.wrong);
	print_message("%lld interleavings, %lld replies, %lld refusals\n", (long long)x.sequences, (long long)x.replies,
		      (long long)x.refused);
	assert_true(x.sequences > 1000 && x.replies > 100);
	rig_release(&r);
}

static void without_the_fence_the_exploration_finds_a_wrong_reply(void **state)
{
	struct rig r;
	struct explored x = {.break_fence = true};
	(void)state;
	rig_init(&r, 1);
	explore(&r, &x);
	assert_true(x.wrong[0] != '\0');
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_go_before_each_other_and_each_is_first_come_first_served),
		cmocka_unit_test(the_class_is_in_the_record_when_it_is_not_the_normal_one),
		cmocka_unit_test(one_that_waits_can_be_moved_while_another_runs),
		cmocka_unit_test(one_that_backs_off_keeps_its_place_and_only_a_higher_class_passes_it),
		cmocka_unit_test(sessions_run_in_parallel_and_a_paused_one_holds_up_no_other),
		cmocka_unit_test(a_paused_queue_begins_nothing_and_what_runs_goes_on),
		cmocka_unit_test(a_send_into_a_paused_empty_queue_waits_although_a_slot_is_free),
		cmocka_unit_test(one_that_backs_off_in_a_paused_queue_stays_until_it_is_resumed),
		cmocka_unit_test(pausing_and_resuming_twice_changes_nothing),
		cmocka_unit_test(queue_order_classes_and_pause_are_as_before_in_a_new_daemon),
		cmocka_unit_test(clear_stops_what_waits_and_keeps_its_messages_and_what_runs),
		cmocka_unit_test(remove_stops_one_that_waits_and_nothing_else),
		cmocka_unit_test(a_stop_that_comes_behind_a_removal_is_told_how_it_ended),
		cmocka_unit_test(one_that_backs_off_can_be_removed),
		cmocka_unit_test(a_clear_that_overtakes_a_claim_leaves_nothing_behind),
		cmocka_unit_test(dead_letters_are_the_failed_ones_newest_first_and_retry_takes_one_out),
		cmocka_unit_test(at_most_so_many_dead_letters_are_shown),
		cmocka_unit_test(unknown_and_killed_sessions_are_refused_by_name),
		cmocka_unit_test(two_workers_never_make_two_replies_nor_lose_a_request),
		cmocka_unit_test(without_the_fence_the_exploration_finds_a_wrong_reply),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
