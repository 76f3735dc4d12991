/* queue:list and what changes a session's queue; and the news of it.
 *
 * Whoever changes a queue is answered with the queue as it is after that commit, and every other device that has joined
 * the conversation gets the same as a frame. What changes it by itself (a send, a claim, an answer) is told to the joined
 * devices that have asked with queue:list, at most once in QUEUE_PUSH_MS per conversation: a watch remembers that there is
 * news and the timer reads the queue once for all of them.
 *
 * A list is read on a reader, whose snapshot may be older than a change that was already told. Nobody may be shown the
 * older one after the newer: when a change was told since the read began, it is done again behind the writer. */
#include "base/clock.h"
#include "relay/queue.h"
#include "server/call.h"
#include "server/stream.h"

#define QUEUE_PUSH_MS 200

/* A conversation whose queue somebody watches. */
struct queue_watch {
	char *key;        /* as a room's */
	char *session_id; /* the last one that had news */
	char *conversation_id;
	int64_t user;
	int64_t next_boot_ms; /* not told again before */
	bool is_due, is_reading;
	UT_hash_handle hh;
};

struct asking {
	struct cmd_queue cmd;
	struct server *server;
	struct call *call;    /* NULL: a push */
	struct json_doc *doc; /* the command's strings are views of it */
	char *key;            /* of the watch, for a push */
	int64_t changes;      /* s->queue_changes when the read began */
	bool is_read, stop_running;
};

static void submit(struct asking *a)
{
	a->changes = a->server->queue_changes;
	if (a->is_read) store_read(a->server->store, &a->cmd.op);
	else store_submit(a->server->store, &a->cmd.op);
}

/* True when it is on its way once more, behind everything that was told meanwhile. */
static bool ask_again(struct asking *a)
{
	if (!a->is_read || a->changes == a->server->queue_changes || a->server->stopping) return false;
	a->is_read = false;
	submit(a);
	return true;
}

static void asking_free(struct asking *a)
{
	json_free(a->doc);
	store_op_release(&a->cmd.op);
	free(a->key);
	free(a);
}

static void write_state(struct jw *w, const struct cmd_queue *c)
{
	jw_kstr(w, "sessionId", c->session_id);
	queue_write(w, c);
}

static struct frame *state_frame(const struct cmd_queue *c)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("queue:state"));
	write_state(&w, c);
	jw_obj_end(&w);
	return frame_take(&b);
}

/* To the devices in the room (NULL: there are none), or only to those that watch; `but` may be NULL. */
static void tell(const struct room *room, const struct cmd_queue *c, bool watching_only, const struct peer *but)
{
	if (room == NULL) return;
	struct frame *f = state_frame(c);
	for (struct join *j = LIST_FIRST(&room->joins), *next; j != NULL; j = next) {
		next = LIST_NEXT(j, in_room);
		if (j->peer == but || (watching_only && !j->watches_queue)) continue;
		peer_send(j->peer, f);
	}
	frame_unref(f);
}

/* ---- watches ---------------------------------------------------------------------------------------------------- */

static void watch_free(struct server *s, struct queue_watch *w)
{
	HASH_DEL(s->queue_watches, w);
	free(w->key);
	free(w->conversation_id);
	free(w->session_id);
	free(w);
}

void queue_watches_free(struct server *s)
{
	struct queue_watch *w, *tmp;
	HASH_ITER (hh, s->queue_watches, w, tmp) watch_free(s, w);
}

static struct queue_watch *watch_find(struct server *s, const char *key)
{
	struct queue_watch *w;
	HASH_FIND_STR(s->queue_watches, key, w);
	return w;
}

/* The asker's place in the room of that conversation, NULL when it has not joined. */
static struct join *join_in(const struct call *c, struct str conversation_id)
{
	struct room *room = room_find(c->server, c->user->user, conversation_id);
	struct join *j = NULL;
	if (room == NULL || c->peer == NULL) return NULL;
	LIST_FOREACH (j, &room->joins, in_room)
		if (j->peer == c->peer) break;
	return j;
}

static void watch(struct call *c, const struct cmd_queue *cmd)
{
	struct join *j = join_in(c, cmd->conversation_id);
	if (j == NULL) return;
	j->watches_queue = true;
	if (watch_find(c->server, j->room->key) != NULL) return;
	struct queue_watch *w = xcalloc(1, sizeof *w);
	w->key = str_dup(str_c(j->room->key));
	w->conversation_id = str_dup(cmd->conversation_id);
	w->session_id = str_dup(cmd->session_id);
	w->user = c->user->user;
	HASH_ADD_KEYPTR(hh, c->server->queue_watches, w->key, strlen(w->key), w);
}

static void arm(struct server *s);

static void push_done(struct store_op *op)
{
	struct asking *a = op->ctx;
	struct server *s = a->server;
	if (ask_again(a)) return;
	struct queue_watch *w = watch_find(s, a->key);
	if (w != NULL) {
		struct room *room = room_find(s, w->user, str_c(w->conversation_id));
		w->is_reading = false;
		/* A session that was cleared meanwhile has no queue to tell of. */
		if (op->err == OK) tell(room, &a->cmd, true, NULL);
		arm(s);
	}
	asking_free(a);
}

static void push(struct server *s, struct queue_watch *w)
{
	struct asking *a = xcalloc(1, sizeof *a);
	a->server = s;
	a->is_read = true;
	a->key = str_dup(str_c(w->key));
	w->is_due = false;
	w->is_reading = true;
	w->next_boot_ms = clock_boot_ms() + QUEUE_PUSH_MS;
	store_op_init(&a->cmd.op, cmd_queue_run, push_done, 0, clock_wall_ms());
	a->cmd.op.ctx = a;
	a->cmd.op.repeatable = true;
	a->cmd.verb = QUEUE_LIST;
	a->cmd.user = w->user;
	a->cmd.session_id = arena_str(&a->cmd.op.arena, str_c(w->session_id));
	submit(a);
}

static void on_timer(uv_timer_t *t)
{
	struct server *s = t->data;
	struct queue_watch *w, *tmp;
	int64_t now = clock_boot_ms();
	if (s->stopping) return;
	HASH_ITER (hh, s->queue_watches, w, tmp)
		if (w->is_due && !w->is_reading && w->next_boot_ms <= now) push(s, w);
	arm(s);
}

/* The timer for the earliest news that may be told. */
static void arm(struct server *s)
{
	int64_t first = INT64_MAX, now = clock_boot_ms();
	for (struct queue_watch *w = s->queue_watches; w != NULL; w = w->hh.next)
		if (w->is_due && !w->is_reading) first = MIN(first, w->next_boot_ms);
	if (first == INT64_MAX || s->stopping) return;
	uv_update_time(&s->loop);
	uv_timer_start(&s->queue_timer, on_timer, (uint64_t)MAX(0, first - now), 0);
}

void queue_news(struct server *s, const struct room *room, const struct job *job)
{
	struct queue_watch *w = s->queue_watches != NULL ? watch_find(s, room->key) : NULL;
	if (w == NULL) return;
	struct str session = job_request(job)->session_id;
	if (!str_eq(str_c(w->session_id), session)) {
		free(w->session_id);
		w->session_id = str_dup(session);
	}
	if (w->is_due) return;
	w->is_due = true;
	arm(s);
}

void queue_left(struct server *s, const struct room *room)
{
	const struct join *j;
	struct queue_watch *w = watch_find(s, room->key);
	LIST_FOREACH (j, &room->joins, in_room)
		if (j->watches_queue) return;
	if (w != NULL) watch_free(s, w);
}

int64_t queues_watched(const struct server *s) { return (int64_t)HASH_COUNT(s->queue_watches); }

void queue_open(struct server *s)
{
	uv_timer_init(&s->loop, &s->queue_timer);
	s->queue_timer.data = s;
}

/* ---- the verbs -------------------------------------------------------------------------------------------------- */

static void refuse(struct call *c, const struct cmd_queue *cmd)
{
	struct buf extra = BUF_INIT(300);
	struct jw w = JW(&extra);
	if (cmd->op.err == ERR_SESSION_KILLED && cmd->next_id.n > 0) jw_kstr(&w, "sessionId", cmd->next_id);
	call_fail(c, cmd->op.err, &cmd->op.info, buf_str(&extra));
	buf_release(&extra);
}

/* After a change: the relay, and the devices in the room. */
void queue_changed(struct server *s, const struct cmd_queue *cmd, bool stop_running, const struct peer *asker)
{
	if (s->stopping) return;
	s->queue_changes++;
	queue_tell_relay(cmd, work_relay(s->work), work_now(s->work));
	for (size_t i = 0; stop_running && i < cmd->running.n; i++)
		(void)relay_stop(work_relay(s->work), cmd->running.list[i].request_id, work_now(s->work));
	work_kick(s->work);
	tell(room_find(s, cmd->user, cmd->conversation_id), cmd, false, asker);
}

static void asking_done(struct store_op *op)
{
	struct asking *a = op->ctx;
	struct call *c = a->call;
	if (ask_again(a)) return;
	if (op->err != OK) {
		refuse(c, &a->cmd);
		asking_free(a);
		return;
	}
	const struct peer *asker = c->peer;
	if (a->cmd.verb == QUEUE_LIST) watch(c, &a->cmd);
	struct jw w = call_begin(c, "queue:state");
	write_state(&w, &a->cmd);
	struct server *s = a->server;
	call_reply(c, &w);
	if (a->cmd.verb != QUEUE_LIST) queue_changed(s, &a->cmd, a->stop_running, asker);
	asking_free(a);
}

static bool read_asking(struct asking *a, const struct json *in, struct errinfo *info)
{
	struct cmd_queue *c = &a->cmd;
	int64_t priority = PRIORITY_NORMAL;
	if (!json_want_str(in, "sessionId", 0, &c->session_id, info)) return false;
	if (c->verb == QUEUE_CLEAR && !json_want_bool(in, "running", JSON_OPTIONAL, &a->stop_running, info))
		return false;
	bool names_one = c->verb == QUEUE_REMOVE || c->verb == QUEUE_REORDER;
	if (names_one && !json_want_str(in, "requestId", 0, &c->request_id, info)) return false;
	if (c->verb == QUEUE_REORDER && !json_want_int(in, "priority", 0, PRIORITY_HIGH, PRIORITY_LOW, &priority, info))
		return false;
	c->priority = (int)priority;
	return true;
}

static void ask(struct call *c, enum queue_verb verb)
{
	struct errinfo info = {0};
	if (verb != QUEUE_LIST && call_refuse_busy(c)) return;
	struct asking *a = xcalloc(1, sizeof *a);
	a->server = c->server;
	a->call = c;
	a->is_read = verb == QUEUE_LIST;
	/* On the daemon's account: the asking device is to hear of the records too. */
	store_op_init(&a->cmd.op, cmd_queue_run, asking_done, 0, clock_wall_ms());
	a->cmd.op.ctx = a;
	a->cmd.op.repeatable = true;
	a->cmd.op.bytes = sizeof *a;
	a->cmd.verb = verb;
	a->cmd.user = c->user->user;
	a->cmd.incarnation = store_incarnation(c->server->store);
	if (!read_asking(a, c->in, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		asking_free(a);
		return;
	}
	a->doc = c->doc;
	c->doc = NULL;
	submit(a);
}

void verb_queue_list(struct call *c) { ask(c, QUEUE_LIST); }
void verb_queue_pause(struct call *c) { ask(c, QUEUE_PAUSE); }
void verb_queue_resume(struct call *c) { ask(c, QUEUE_RESUME); }
void verb_queue_clear(struct call *c) { ask(c, QUEUE_CLEAR); }
void verb_queue_remove(struct call *c) { ask(c, QUEUE_REMOVE); }
void verb_queue_reorder(struct call *c) { ask(c, QUEUE_REORDER); }
