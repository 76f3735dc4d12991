/* Automatic runs in the writer: what is counted, what is refused, what the trail says. */
#include "client/auto.h"
#include "device/automatic.h"

#include "unit/store_fixture.h"

struct world {
	struct fixture f;
	int64_t conv; /* row */
	int64_t ord;
	struct run_clock clock;
	struct automatic_refusal refusal;
	struct run run;      /* as of the last look; strings in f.keep */
	struct str run_text; /* the same as JSON */
	char text[64];
};

/* ---- gear ------------------------------------------------------------------------------------------------------- */

static enum err make_session(struct txn *t, void *ctx)
{
	struct world *w = ctx;
	struct record conv = {.zone = w->f.zone, .type = RT_CONVERSATION, .name = STR("c"), .fields = STR("{}")};
	enum err e = txn_put(t, &conv);
	struct record r = {.zone = w->f.zone, .type = RT_SESSION, .name = STR("s"), .conv = conv.row};
	w->conv = conv.row;
	session_write(&(struct session){.conversation_id = STR("c"),
					.primary = STR("phone"),
					.term = 1,
					.killed_by = STR(""),
					.automatic = STR_NONE},
		      &r, txn_arena(t));
	return e == OK ? txn_put(t, &r) : e;
}

struct message {
	struct world *w;
	const char *id, *role;
};

static enum err put_message(struct txn *t, void *ctx)
{
	struct message *m = ctx;
	struct record r = {.zone = m->w->f.zone,
			   .type = RT_MESSAGE,
			   .name = str_c(m->id),
			   .conv = m->w->conv,
			   .ord = m->w->ord + 1};
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "{\"role\":\"%s\",\"text\":\"x\"}", m->role);
	r.fields = arena_str(txn_arena(t), buf_str(&b));
	buf_release(&b);
	return txn_put(t, &r);
}

static void said(struct world *w, const char *role, const char *id)
{
	struct message m = {w, id, role};
	assert_int_equal(run(&w->f, put_message, &m), OK);
	w->ord++;
}

struct sending {
	struct world *w;
	const char *id, *parent;
};

/* What relay/send.c does about an automatic message. */
static enum err send_automatic(struct txn *t, void *ctx)
{
	struct sending *m = ctx;
	struct world *w = m->w;
	struct record r;
	struct session s;
	struct errinfo info = {0};
	struct automatic a = {t, t->op, &w->f.limits, w->clock};
	enum err e = session_find(t, w->f.user, STR("s"), &r, &s, &info);
	struct automatic_message am = {str_c(m->id), str_c(m->parent), s.primary};
	if (e == OK) e = automatic_judge(&a, &s, w->f.zone, w->conv, &am, &w->refusal);
	if (w->refusal.message_id.p != NULL) {
		(void)str_copy(w->refusal.message_id, w->text, sizeof w->text);
		w->refusal.message_id = str_c(w->text);
	}
	struct message put = {w, m->id, "user"};
	if (e == OK) e = put_message(t, &put);
	return e == OK ? automatic_sent(&a, &r, &s, &am) : e;
}

static enum err sent(struct world *w, const char *id, const char *parent)
{
	struct sending m = {w, id, parent};
	enum err e = run(&w->f, send_automatic, &m);
	if (e == OK) w->ord++;
	return e;
}

struct asked {
	struct cmd_automatic cmd;
	struct call wait;
};
static void asked_done(struct store_op *op) { CONTAINER_OF(op, struct asked, cmd.op)->wait.done = true; }

static enum err act(struct world *w, enum automatic_action action, void (*more)(struct cmd_automatic *c))
{
	struct asked a = {0};
	struct cmd_automatic *c = &a.cmd;
	uint32_t actor = action == AUTOMATIC_EXPIRE ? 0 : w->f.actor;
	store_op_init(&c->op, cmd_automatic_run, asked_done, actor, w->f.now_ms++);
	c->user = w->f.user;
	c->session_id = STR("s");
	c->action = action;
	c->reason = REASON_MANUAL;
	c->mode = RUN_MESSAGES;
	c->max_messages = 3;
	c->limits = &w->f.limits;
	c->clock = w->clock;
	if (more != NULL) more(c);
	store_submit(w->f.store, &c->op);
	await(&w->f, &a.wait);
	enum err e = c->op.err;
	struct json_doc *doc = NULL;
	if (e == ERR_SESSION_KILLED) assert_true(str_eq(c->session.next_id, STR("s3")));
	struct str text = c->run.p != NULL ? arena_str(&w->f.keep, c->run) : STR("{}");
	w->run_text = text;
	if (json_parse(text, &doc, NULL) == OK) run_read(&w->run, json_root(doc));
	w->run.answered = arena_str(&w->f.keep, w->run.answered);
	w->run.last_message = arena_str(&w->f.keep, w->run.last_message);
	w->run.driver = arena_str(&w->f.keep, w->run.driver);
	w->run.params = NULL;
	json_free(doc);
	store_op_release(&c->op);
	return e;
}

static const struct run *look(struct world *w)
{
	assert_int_equal(act(w, AUTOMATIC_LOOK, NULL), OK);
	return &w->run;
}

/* Another device becomes primary, or the session is killed. */
struct change_of {
	struct world *w;
	const char *primary;
	bool kill;
};
static enum err change_session(struct txn *t, void *ctx)
{
	struct change_of *c = ctx;
	struct record r;
	struct session s;
	struct errinfo info = {0};
	enum err e = session_find(t, c->w->f.user, STR("s"), &r, &s, &info);
	if (e != OK) return e;
	if (c->primary != NULL) {
		s.primary = str_c(c->primary);
		s.term++;
	}
	if (c->kill) {
		struct automatic a = {t, t->op, &c->w->f.limits, c->w->clock};
		e = automatic_end(&a, &r, &s, REASON_CLEARED, STR("phone"));
		s.is_killed = true;
		s.next_id = STR("s2");
	}
	session_write(&s, &r, txn_arena(t));
	if (e == OK) e = txn_put(t, &r);
	/* And cleared once more. */
	s.next_id = STR("s3");
	s.automatic = STR_NONE;
	for (int i = 0; i < 2 && e == OK && c->kill; i++) {
		struct record next = {.zone = r.zone, .type = RT_SESSION, .conv = r.conv};
		next.name = i == 0 ? STR("s2") : STR("s3");
		session_write(&s, &next, txn_arena(t));
		e = txn_put(t, &next);
		s.is_killed = false;
	}
	if (e == OK && c->kill) {
		e = txn_get_row(t, r.conv, &r);
		r.fields = STR("{\"currentSessionId\":\"s3\"}");
		if (e == OK) e = txn_put(t, &r);
	}
	return e;
}

static void hand_over(struct world *w, const char *device)
{
	struct change_of c = {w, device, false};
	assert_int_equal(run(&w->f, change_session, &c), OK);
}

/* The trail as "action:reason:device:term:message …". */
struct trail {
	struct world *w;
	struct buf text;
};
static enum err add_step(void *ctx, const struct record *r)
{
	struct buf *b = ctx;
	struct json_doc *doc = NULL;
	struct str action = STR(""), reason = STR(""), device = STR(""), message = STR("");
	int64_t term = 0, n = 0;
	assert_int_equal(json_parse(r->fields, &doc, NULL), OK);
	const struct json *f = json_root(doc);
	assert_true(json_str(json_get(f, "action"), &action));
	assert_true(json_int(json_get(f, "n"), &n));
	(void)json_str(json_get(f, "reason"), &reason);
	(void)json_str(json_get(f, "deviceId"), &device);
	(void)json_str(json_get(f, "messageId"), &message);
	(void)json_int(json_get(f, "term"), &term);
	buf_addf(b, "%lld %.*s:%.*s:%.*s:%lld:%.*s\n", (long long)n, STR_ARG(action), STR_ARG(reason), STR_ARG(device),
		 (long long)term, STR_ARG(message));
	json_free(doc);
	return OK;
}
static enum err read_trail(struct txn *t, void *ctx)
{
	struct trail *tr = ctx;
	struct json_doc *filter = NULL, *sort = NULL;
	struct errinfo info = {0};
	struct str cursor;
	assert_int_equal(json_parse(STR("[{\"field\":\"sessionId\",\"op\":\"eq\",\"value\":\"s\"}]"), &filter, NULL),
			 OK);
	assert_int_equal(json_parse(STR("[{\"field\":\"n\",\"ascending\":true}]"), &sort, NULL), OK);
	struct query q = {.type = STR("AutoStep"), .filter = json_root(filter), .sort = json_root(sort)};
	enum err e = txn_query(t, tr->w->f.zone, &q, add_step, &tr->text, &cursor, &info);
	json_free(filter);
	json_free(sort);
	return e;
}
static void expect_trail(struct world *w, const char *expected)
{
	struct trail tr = {w, BUF_INIT(BUF_NO_LIMIT)};
	assert_int_equal(run_on_reader(&w->f, read_trail, &tr), OK);
	assert_string_equal(buf_str(&tr.text).p, expected);
	buf_release(&tr.text);
}

static int begin(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	fixture_init(&w->f);
	w->clock = (struct run_clock){w->f.now_ms, 1000, 1};
	assert_int_equal(run(&w->f, make_session, w), OK);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	assert_healthy(&w->f);
	fixture_release(&w->f);
	free(w);
	return 0;
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void without_a_run_nothing_automatic_is_stored(void **state)
{
	struct world *w = *state;
	said(w, "assistant", "a1");
	assert_int_equal(sent(w, "m1", "a1"), ERR_AUTO_STOPPED);
	assert_int_equal(w->refusal.state, RUN_NONE);
	assert_int_equal(act(w, AUTOMATIC_PAUSE, NULL), ERR_AUTO_STOPPED);
	assert_int_equal(act(w, AUTOMATIC_RESUME, NULL), ERR_AUTO_STOPPED);
	assert_int_equal(act(w, AUTOMATIC_STOP, NULL), ERR_AUTO_STOPPED);
	expect_trail(w, "");
}

static void the_last_message_of_the_limit_ends_the_run_in_its_commit(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	said(w, "assistant", "a1");
	assert_int_equal(sent(w, "m1", "a1"), OK);
	said(w, "assistant", "a2");
	assert_int_equal(sent(w, "m2", "a2"), OK);
	said(w, "assistant", "a3");
	assert_int_equal(look(w)->state, RUN_RUNNING);
	assert_int_equal(sent(w, "m3", "a3"), OK);
	assert_int_equal(look(w)->state, RUN_STOPPED);
	assert_int_equal(w->run.reason, REASON_MESSAGE_LIMIT);
	assert_int_equal(w->run.sent, 3);
	said(w, "assistant", "a4");
	assert_int_equal(sent(w, "m4", "a4"), ERR_AUTO_STOPPED);
	assert_int_equal(w->refusal.reason, REASON_MESSAGE_LIMIT);
	assert_int_equal(w->refusal.sent, 3);
	expect_trail(w, "1 started::phone:1:\n2 sent::phone:1:m1\n3 sent::phone:1:m2\n4 sent::phone:1:m3\n"
			"5 stopped:message_limit:phone:1:\n");
}

static void an_answer_is_followed_once_by_whomever(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	said(w, "assistant", "a1");
	assert_int_equal(sent(w, "m1", "a1"), OK);
	assert_int_equal(sent(w, "m2", "a1"), ERR_ANSWERED);
	assert_true(str_eq(w->refusal.message_id, STR("m1")));
	hand_over(w, "tablet");
	assert_int_equal(sent(w, "m3", "a1"), ERR_ANSWERED);
	said(w, "assistant", "a2");
	said(w, "assistant", "a3");
	assert_int_equal(sent(w, "m4", "a3"), OK);
	assert_int_equal(sent(w, "m5", "a2"), ERR_ANSWERED); /* passed over */
	assert_int_equal(look(w)->sent, 2);
	assert_true(str_eq(w->run.answered, STR("a3")));
	expect_trail(w, "1 started::phone:1:\n2 sent::phone:1:m1\n3 handed_over::tablet:2:\n4 sent::tablet:2:m4\n");
}

static enum err delete_message(struct txn *t, void *ctx)
{
	struct message *m = ctx;
	struct record r;
	enum err e = txn_get(t, m->w->f.zone, RT_MESSAGE, str_c(m->id), &r);
	return e == OK ? txn_delete(t, &r) : e;
}

static void an_answer_stays_followed_when_what_followed_is_deleted(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	said(w, "assistant", "a1");
	assert_int_equal(sent(w, "m1", "a1"), OK);
	assert_int_equal(run(&w->f, delete_message, &(struct message){w, "m1", "user"}), OK);
	assert_int_equal(sent(w, "m2", "a1"), ERR_ANSWERED);
	assert_true(str_eq(w->refusal.message_id, STR("m1")));
}

static void a_person_who_was_first_is_not_talked_over(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	said(w, "assistant", "a1");
	said(w, "user", "p1");
	assert_int_equal(sent(w, "m1", "a1"), ERR_ANSWERED);
	assert_true(str_eq(w->refusal.message_id, STR("p1")));
	assert_int_equal(look(w)->sent, 0);
}

static void what_it_follows_must_be_an_answer_of_the_conversation(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	said(w, "user", "p1");
	assert_int_equal(sent(w, "m1", "p1"), ERR_BAD_FIELD);
	assert_int_equal(sent(w, "m1", "nothing"), ERR_NOT_FOUND);
	assert_int_equal(sent(w, "m1", NULL), OK); /* the run's first may open */
	assert_int_equal(sent(w, "m2", NULL), ERR_BAD_FIELD);
}

static void a_refused_message_leaves_nothing(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	said(w, "assistant", "a1");
	assert_int_equal(act(w, AUTOMATIC_PAUSE, NULL), OK);
	assert_int_equal(sent(w, "m1", "a1"), ERR_AUTO_STOPPED);
	assert_int_equal(w->refusal.state, RUN_PAUSED);
	assert_int_equal(w->refusal.reason, REASON_MANUAL);
	assert_int_equal(act(w, AUTOMATIC_RESUME, NULL), OK);
	assert_int_equal(sent(w, "m1", "a1"), OK);
	expect_trail(w, "1 started::phone:1:\n2 paused:manual:phone:1:\n3 resumed::phone:1:\n4 sent::phone:1:m1\n");
}

static void asking_for_what_is_so_changes_nothing(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	assert_int_equal(act(w, AUTOMATIC_RESUME, NULL), OK);
	assert_int_equal(act(w, AUTOMATIC_START, NULL), ERR_BAD_STATE);
	assert_int_equal(act(w, AUTOMATIC_PAUSE, NULL), OK);
	assert_int_equal(act(w, AUTOMATIC_PAUSE, NULL), OK);
	assert_int_equal(act(w, AUTOMATIC_START, NULL), ERR_BAD_STATE);
	assert_int_equal(act(w, AUTOMATIC_STOP, NULL), OK);
	assert_int_equal(act(w, AUTOMATIC_STOP, NULL), OK);
	assert_int_equal(act(w, AUTOMATIC_RESUME, NULL), ERR_AUTO_STOPPED);
	expect_trail(w, "1 started::phone:1:\n2 paused:manual:phone:1:\n3 stopped:manual:phone:1:\n");
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	assert_int_equal(w->run.number, 2);
	assert_int_equal(w->run.sent, 0);
	assert_int_equal(w->run.steps, 4);
}

static void while_nobody_drives_nobody_took_over(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	hand_over(w, "");
	assert_int_equal(act(w, AUTOMATIC_PAUSE, NULL), OK);
	hand_over(w, "tablet");
	assert_int_equal(act(w, AUTOMATIC_RESUME, NULL), OK);
	expect_trail(w,
		     "1 started::phone:1:\n2 paused:manual:phone:2:\n3 handed_over::tablet:3:\n4 resumed::phone:3:\n");
}

static void as_driver_of(struct cmd_automatic *c)
{
	c->is_driver = true;
	c->term = 1;
	c->reason = REASON_STUCK;
}

static void a_driver_of_before_does_not_stop_its_successor(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	hand_over(w, "tablet");
	assert_int_equal(act(w, AUTOMATIC_STOP, as_driver_of), ERR_NOT_PRIMARY);
	assert_int_equal(look(w)->state, RUN_RUNNING);
	hand_over(w, "phone");
	assert_int_equal(act(w, AUTOMATIC_PAUSE, as_driver_of), ERR_NOT_PRIMARY); /* the term is 3 now */
	assert_int_equal(act(w, AUTOMATIC_STOP, NULL), OK);                       /* a person may */
}

static void for_a_second(struct cmd_automatic *c)
{
	c->mode = RUN_TIME;
	c->max_messages = 0;
	c->max_ms = 1000;
}

static void running_time_ends_a_run_and_pauses_do_not_count(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, for_a_second), OK);
	assert_int_equal(w->run.max_messages, w->f.limits.auto_messages);
	w->clock.boot_ms += 600;
	assert_int_equal(act(w, AUTOMATIC_PAUSE, NULL), OK);
	w->clock.boot_ms += 100000;
	assert_int_equal(act(w, AUTOMATIC_RESUME, NULL), OK);
	w->clock.boot_ms += 399;
	assert_int_equal(act(w, AUTOMATIC_EXPIRE, NULL), OK);
	assert_int_equal(w->run.state, RUN_RUNNING);
	said(w, "assistant", "a1");
	w->clock.boot_ms += 1;
	assert_int_equal(sent(w, "m1", "a1"), ERR_AUTO_STOPPED);
	assert_int_equal(w->refusal.state, RUN_RUNNING);
	assert_int_equal(w->refusal.reason, REASON_TIME_LIMIT);
	assert_int_equal(act(w, AUTOMATIC_EXPIRE, NULL), OK);
	assert_int_equal(w->run.state, RUN_STOPPED);
	assert_int_equal(w->run.reason, REASON_TIME_LIMIT);
	assert_int_equal(w->run.elapsed_ms, 1000);
	expect_trail(w,
		     "1 started::phone:1:\n2 paused:manual:phone:1:\n3 resumed::phone:1:\n4 stopped:time_limit::1:\n");
}

static void of_both(struct cmd_automatic *c)
{
	c->mode = RUN_HYBRID;
	c->max_messages = 1;
	c->max_ms = 1000;
	c->all = true;
}

static void a_hybrid_of_all_ends_when_both_limits_are_reached(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, of_both), OK);
	said(w, "assistant", "a1");
	assert_int_equal(sent(w, "m1", "a1"), OK);
	said(w, "assistant", "a2");
	assert_int_equal(sent(w, "m2", "a2"), OK);
	w->clock.boot_ms += 1000;
	assert_int_equal(act(w, AUTOMATIC_EXPIRE, NULL), OK);
	assert_int_equal(w->run.state, RUN_STOPPED);
	assert_int_equal(w->run.sent, 2);
}

static void the_daemons_own_limit_holds_for_every_run(void **state)
{
	struct world *w = *state;
	w->f.limits.auto_messages = 2;
	assert_int_equal(act(w, AUTOMATIC_START, of_both), OK);
	said(w, "assistant", "a1");
	assert_int_equal(sent(w, "m1", "a1"), OK);
	said(w, "assistant", "a2");
	assert_int_equal(sent(w, "m2", "a2"), OK);
	assert_int_equal(look(w)->state, RUN_STOPPED);
}

static void a_cleared_session_ends_its_run(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	struct change_of c = {w, NULL, true};
	assert_int_equal(run(&w->f, change_session, &c), OK);
	assert_int_equal(look(w)->state, RUN_STOPPED);
	assert_int_equal(w->run.reason, REASON_CLEARED);
	assert_int_equal(act(w, AUTOMATIC_START, NULL), ERR_SESSION_KILLED);
	expect_trail(w, "1 started::phone:1:\n2 stopped:cleared:phone:1:\n");
}

static void a_run_goes_on_after_a_restart(void **state)
{
	struct world *w = *state;
	assert_int_equal(act(w, AUTOMATIC_START, NULL), OK);
	said(w, "assistant", "a1");
	assert_int_equal(sent(w, "m1", "a1"), OK);
	store_close(w->f.store);
	fixture_open(&w->f);
	w->clock = (struct run_clock){w->clock.wall_ms + 500, 3, 2};
	assert_int_equal(look(w)->sent, 1);
	assert_int_equal(sent(w, "m2", "a1"), ERR_ANSWERED);
	said(w, "assistant", "a2");
	assert_int_equal(sent(w, "m2", "a2"), OK);
	assert_int_equal(look(w)->elapsed_ms, 500);
}

/* ---- with the engine that drives it ------------------------------------------------------------------------------- */

static void of_twenty(struct cmd_automatic *c) { c->max_messages = 20; }

/* What a device hears: the session's run and the newest message. */
static void hears(struct world *w, struct auto_engine *e, const char *role, const char *id)
{
	struct json_doc *doc = NULL;
	struct auto_message m = {str_c(id), str_c(role), STR("complete"), STR("Something new."), w->ord};
	assert_int_equal(json_parse(w->run_text, &doc, NULL), OK);
	auto_run(e, json_root(doc));
	auto_message(e, &m);
	json_free(doc);
}

/* One device does what its engine says; how many messages that made. */
static int drives(struct world *w, struct auto_engine *e, int round)
{
	char id[24], parent[24];
	static int n;
	struct auto_intent i = auto_next(e);
	if (i.what == AUTO_NOTHING) return 0;
	assert_int_equal(i.what, AUTO_SEND);
	snprintf(id, sizeof id, "m%d-%d", round, n++);
	assert_true(str_copy(i.parent, parent, sizeof parent));
	return sent(w, id, parent) == OK;
}

static void two_engines_and_a_hand_over_make_exactly_twenty(void **state)
{
	struct world *w = *state;
	struct auto_engine *phone = auto_new(), *tablet = auto_new();
	int total = 0;
	assert_int_equal(act(w, AUTOMATIC_START, of_twenty), OK);
	auto_primary(phone, true, 1);
	for (int round = 1; round <= 25; round++) {
		char id[24];
		snprintf(id, sizeof id, "a%d", round);
		said(w, "assistant", id);
		(void)look(w);
		hears(w, phone, "assistant", id);
		hears(w, tablet, "assistant", id);
		int made = drives(w, phone, round);
		if (round == 7) {
			/* The phone has just sent and is gone; the tablet has not heard of what it sent. */
			hand_over(w, "tablet");
			auto_primary(tablet, true, 2);
		}
		made += drives(w, tablet, round);
		assert_int_equal(made, round <= 20);
		total += made;
	}
	assert_int_equal(total, 20);
	assert_int_equal(look(w)->sent, 20);
	assert_int_equal(w->run.reason, REASON_MESSAGE_LIMIT);
	auto_free(phone);
	auto_free(tablet);
}

#define E(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		E(without_a_run_nothing_automatic_is_stored),
		E(the_last_message_of_the_limit_ends_the_run_in_its_commit),
		E(an_answer_is_followed_once_by_whomever),
		E(an_answer_stays_followed_when_what_followed_is_deleted),
		E(a_person_who_was_first_is_not_talked_over),
		E(what_it_follows_must_be_an_answer_of_the_conversation),
		E(a_refused_message_leaves_nothing),
		E(asking_for_what_is_so_changes_nothing),
		E(while_nobody_drives_nobody_took_over),
		E(a_driver_of_before_does_not_stop_its_successor),
		E(running_time_ends_a_run_and_pauses_do_not_count),
		E(a_hybrid_of_all_ends_when_both_limits_are_reached),
		E(the_daemons_own_limit_holds_for_every_run),
		E(a_cleared_session_ends_its_run),
		E(a_run_goes_on_after_a_restart),
		E(two_engines_and_a_hand_over_make_exactly_twenty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
