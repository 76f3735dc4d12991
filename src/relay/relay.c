/* The relay's state machine. relay.h says what it promises; this is how.
 *
 * A job is an open request. Where it is:
 *
 *   QUEUED ──slot──▶ CLAIMING ──committed──▶ RUNNING ──call ended──▶ ENDING ──committed──▶ gone
 *     ▲                 │ (refused: gone,        │                      │
 *     │                 │  the sweep finds it)   └──stop──▶ ENDING      ├──▶ WAITING (backoff; no slot)
 *     └──── due ────────┴────────────────────────────────── WAITING ◀───┘
 *
 * Jobs of a conversation stand in a lane, oldest first; only the head of a lane moves. A lane whose head is QUEUED is
 * ready and stands in its user's list at the head's provider; users with ready lanes stand in the provider's ring. A free
 * slot takes the first user of the ring and the first lane of that user, and both go to the back.
 *
 * A slot is held from CLAIMING (or from the reservation of a send) until the call is over, not until that is committed.
 *
 * The pump: one command at a time takes everything every stream has said since the last one. While it is on its way more
 * arrives, which is what batches the text under load without a timer; with many streams a few milliseconds of gathering
 * are added so that a commit carries enough rows. */
#include "relay/relay.h"

#include <uthash.h>

#define COMMAND_RETRY_MS 1000 /* a command that met a full disk is tried again this much later */
#define PUMP_STUCK_MS 10000
#define PAUSE_BYTES (256 << 10) /* said but not yet on disk: then the provider is not read; half of it goes on */
#define LEASE_SLACK_MS 10000    /* beyond every deadline of the call itself */

enum where { QUEUED, CLAIMING, RUNNING, ENDING, WAITING };

struct lane;
struct job {
	struct arena arena; /* the strings of `request` */
	struct str id;
	int64_t row, conv, user;
	uint32_t zone;
	struct request request;
	struct turn turn;
	enum where where;
	int provider;
	bool holds_slot, stop_wanted, dirty, paused;
	void *call;               /* while RUNNING */
	size_t sent[TURN_KINDS];  /* bytes handed to the pump */
	size_t shown[TURN_KINDS]; /* bytes committed and published */
	int64_t first_chunk;      /* id of this attempt's first chunk, 0 none yet */
	int64_t due_boot_ms;      /* WAITING, or ENDING whose command must be tried again; 0 none */
	struct cmd_finish *retry_finish;
	enum err end_err; /* of the attempt that is ENDING */
	struct lane *lane;
	TAILQ_ENTRY(job) in_lane;
	LIST_ENTRY(job) in_dirty;
	LIST_ENTRY(job) in_due;
	UT_hash_handle by_id, by_row;
};
TAILQ_HEAD(job_queue, job);
LIST_HEAD(job_list, job);

struct rank;
struct lane { /* a conversation with open requests */
	int64_t conv;
	char *name; /* the conversation's id */
	struct job_queue jobs;
	struct rank *ready; /* the user's list it stands in, NULL when it is not ready */
	TAILQ_ENTRY(lane) in_rank;
	UT_hash_handle hh, by_name;
};
TAILQ_HEAD(lane_queue, lane);

struct rank_key {
	int64_t user, provider;
};
struct rank { /* a user with ready lanes at one provider */
	struct rank_key key;
	struct lane_queue lanes;
	TAILQ_ENTRY(rank) in_ring;
	UT_hash_handle hh;
};
TAILQ_HEAD(rank_queue, rank);

struct slots {
	int64_t running, most;
	struct rank_queue ring;
};

struct left_over { /* what the chunk log holds of an attempt whose daemon is gone */
	int64_t row, attempt;
	struct buf said[TURN_KINDS];
	UT_hash_handle hh;
};

struct suspect { /* open on disk, unknown here, as of the last sweep */
	int64_t row;
	UT_hash_handle hh;
};

struct relay {
	struct relay_config config;
	struct rng rng;
	struct slots *providers;
	struct job *by_id, *by_row;
	struct lane *lanes, *lanes_by_name;
	struct rank *ranks;
	struct job_list dirty, due;
	struct left_over *left_over;
	struct suspect *suspects;
	int64_t next_due_ms; /* not after the earliest due_boot_ms */
	struct cmd_chunks *pump;
	int64_t pump_boot_ms;   /* when it was submitted */
	int64_t gather_boot_ms; /* earliest time for the next one */
	int64_t last_chunk;     /* highest id seen */
};

#define EFFECT(r, name, ...) (r)->config.effects->name((r)->config.ctx, __VA_ARGS__)

static void note(struct relay *r, const char *type, const struct job *j, enum err e, struct str detail)
{
	EFFECT(r, event, type, j, e, detail);
}

/* ---- making and ending ------------------------------------------------------------------------------------------ */

struct relay *relay_new(const struct relay_config *c)
{
	struct relay *r = xcalloc(1, sizeof *r);
	r->config = *c;
	rng_seed(&r->rng, c->seed);
	r->providers = xcalloc(c->nproviders, sizeof *r->providers);
	for (size_t i = 0; i < c->nproviders; i++) {
		r->providers[i].most = c->slots[i];
		TAILQ_INIT(&r->providers[i].ring);
	}
	LIST_INIT(&r->dirty);
	LIST_INIT(&r->due);
	r->next_due_ms = INT64_MAX;
	return r;
}

static void set_due(struct relay *r, struct job *j, int64_t boot_ms)
{
	if (j->due_boot_ms == 0) LIST_INSERT_HEAD(&r->due, j, in_due);
	j->due_boot_ms = MAX(boot_ms, 1);
	r->next_due_ms = MIN(r->next_due_ms, j->due_boot_ms);
}

static void clear_due(struct job *j)
{
	if (j->due_boot_ms != 0) LIST_REMOVE(j, in_due);
	j->due_boot_ms = 0;
}

static void clear_dirty(struct job *j)
{
	if (j->dirty) LIST_REMOVE(j, in_dirty);
	j->dirty = false;
}

/* Copies what the job keeps of `q` out of an op's arena. */
static void take_request(struct job *j, const struct request *q)
{
	struct arena fresh = {0};
	j->request = *q;
	struct str *strings[] = {&j->request.conversation_id, &j->request.session_id, &j->request.message_id,
				 &j->request.reply_id,        &j->request.device_id,  &j->request.model,
				 &j->request.params,          &j->request.error_code, &j->request.error_text};
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) *strings[i] = arena_str(&fresh, *strings[i]);
	j->request.attempts = STR("");
	arena_clear(&j->arena);
	j->arena = fresh;
}

static struct lane *lane_of(struct relay *r, int64_t conv, struct str name)
{
	struct lane *l;
	HASH_FIND(hh, r->lanes, &conv, sizeof conv, l);
	if (l != NULL) return l;
	l = xcalloc(1, sizeof *l);
	l->conv = conv;
	l->name = str_dup(name);
	TAILQ_INIT(&l->jobs);
	HASH_ADD(hh, r->lanes, conv, sizeof l->conv, l);
	HASH_ADD_KEYPTR(by_name, r->lanes_by_name, l->name, name.n, l);
	return l;
}

static void lane_unready(struct relay *r, struct lane *l)
{
	struct rank *k = l->ready;
	if (k == NULL) return;
	TAILQ_REMOVE(&k->lanes, l, in_rank);
	l->ready = NULL;
	if (!TAILQ_EMPTY(&k->lanes)) return;
	TAILQ_REMOVE(&r->providers[k->key.provider].ring, k, in_ring);
	HASH_DELETE(hh, r->ranks, k);
	free(k);
}

/* Puts the lane where its head belongs: ready when that is QUEUED, nowhere otherwise. */
static void lane_settle(struct relay *r, struct lane *l)
{
	struct job *head = TAILQ_FIRST(&l->jobs);
	if (head == NULL) {
		lane_unready(r, l);
		HASH_DELETE(hh, r->lanes, l);
		HASH_DELETE(by_name, r->lanes_by_name, l);
		free(l->name);
		free(l);
		return;
	}
	if (head->where != QUEUED) {
		lane_unready(r, l);
		return;
	}
	if (l->ready != NULL) return;
	struct rank_key key = {head->user, head->provider};
	struct rank *k;
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): two int64_t, every byte is set */
	HASH_FIND(hh, r->ranks, &key, sizeof key, k);
	if (k == NULL) {
		k = xcalloc(1, sizeof *k);
		k->key = key;
		TAILQ_INIT(&k->lanes);
		HASH_ADD(hh, r->ranks, key, sizeof k->key, k);
		TAILQ_INSERT_TAIL(&r->providers[key.provider].ring, k, in_ring);
	}
	TAILQ_INSERT_TAIL(&k->lanes, l, in_rank);
	l->ready = k;
}

static struct job *job_new(struct relay *r, const struct job_info *info, int provider)
{
	struct job *j = xcalloc(1, sizeof *j);
	j->id = str_n(str_dup(info->request_id), info->request_id.n);
	j->row = info->row;
	j->conv = info->conv;
	j->user = info->user;
	j->zone = info->zone;
	j->provider = provider;
	take_request(j, &info->request);
	turn_init(&j->turn, info->request.attempt, info->request.base, r->config.limits);
	HASH_ADD_KEYPTR(by_id, r->by_id, j->id.p, j->id.n, j);
	HASH_ADD(by_row, r->by_row, row, sizeof j->row, j);
	j->lane = lane_of(r, j->conv, j->request.conversation_id);
	TAILQ_INSERT_TAIL(&j->lane->jobs, j, in_lane);
	return j;
}

static void release_slot(struct relay *r, struct job *j)
{
	if (!j->holds_slot) return;
	j->holds_slot = false;
	r->providers[j->provider].running--;
}

static void cut_call(struct relay *r, struct job *j)
{
	if (j->call != NULL) EFFECT(r, call_cancel, j->call);
	j->call = NULL;
	release_slot(r, j);
}

static void job_free(struct relay *r, struct job *j)
{
	cut_call(r, j);
	clear_due(j);
	clear_dirty(j);
	HASH_DELETE(by_id, r->by_id, j);
	HASH_DELETE(by_row, r->by_row, j);
	struct lane *l = j->lane;
	lane_unready(r, l);
	TAILQ_REMOVE(&l->jobs, j, in_lane);
	turn_release(&j->turn);
	arena_clear(&j->arena);
	free((void *)(uintptr_t)j->id.p);
	free(j->retry_finish);
	free(j);
	lane_settle(r, l);
}

void relay_halt(struct relay *r)
{
	for (struct job *j = r->by_id; j != NULL; j = j->by_id.next) cut_call(r, j);
}

void relay_free(struct relay *r)
{
	struct left_over *o, *otmp;
	struct suspect *s, *stmp;
	while (r->by_id != NULL) job_free(r, r->by_id);
	HASH_ITER (hh, r->left_over, o, otmp) {
		HASH_DELETE(hh, r->left_over, o);
		for (int k = 0; k < TURN_KINDS; k++) buf_release(&o->said[k]);
		free(o);
	}
	HASH_ITER (hh, r->suspects, s, stmp) {
		HASH_DELETE(hh, r->suspects, s);
		free(s);
	}
	free(r->providers);
	free(r);
}

/* ---- ending an attempt ------------------------------------------------------------------------------------------ */

static void submit_finish(struct relay *r, struct job *j, struct cmd_finish *c, struct now now)
{
	store_op_init(&c->op, cmd_finish_run, NULL, 0, now.wall_ms);
	c->op.repeatable = true;
	c->op.bytes = sizeof *c + c->text.n + c->thinking.n;
	j->where = ENDING;
	EFFECT(r, submit, &c->op);
}

/* The texts are views of the turn's buffers, which do not change while the job is ENDING. */
static struct cmd_finish *finish_new(struct relay *r, struct job *j, enum finish_as as)
{
	struct cmd_finish *c = xcalloc(1, sizeof *c);
	c->as = as;
	c->row = j->row;
	c->attempt = j->request.attempt;
	c->incarnation = r->config.incarnation;
	c->times = j->turn.times;
	c->text = buf_str(&j->turn.said[TURN_TEXT]);
	c->thinking = buf_str(&j->turn.said[TURN_THINKING]);
	c->error_text = STR("");
	c->finish_reason = STR("");
	c->input_tokens = c->output_tokens = -1;
	c->max_attempts = r->config.limits->attempts;
	return c;
}

static void end_stopped(struct relay *r, struct job *j, struct now now)
{
	cut_call(r, j);
	clear_due(j);
	clear_dirty(j);
	if (j->where == RUNNING) turn_stop(&j->turn, now);
	else
		for (int k = 0; k < TURN_KINDS; k++) buf_clear(&j->turn.said[k]);
	struct cmd_finish *c = finish_new(r, j, FINISH_STOPPED);
	c->input_tokens = j->request.input_tokens;
	c->output_tokens = j->request.output_tokens;
	submit_finish(r, j, c, now);
	lane_settle(r, j->lane);
}

bool relay_stop(struct relay *r, struct str request_id, struct now now)
{
	struct job *j = relay_find(r, request_id);
	if (j == NULL) return false;
	if (j->stop_wanted) return true;
	j->stop_wanted = true;
	note(r, "request.stopRequested", j, OK, STR_NONE);
	/* CLAIMING and ENDING have a command on its way; what comes back from it sees stop_wanted. */
	if (j->where == QUEUED || j->where == RUNNING || j->where == WAITING) end_stopped(r, j, now);
	return true;
}

size_t relay_stop_session(struct relay *r, int64_t user, struct str session_id, struct str conversation_id,
			  struct now now)
{
	struct job *j, *tmp;
	size_t n = 0;
	HASH_ITER (by_id, r->by_id, j, tmp) {
		const struct request *q = &j->request;
		if (j->user != user || (session_id.p != NULL && !str_eq(q->session_id, session_id)) ||
		    (conversation_id.p != NULL && !str_eq(q->conversation_id, conversation_id)))
			continue;
		n += !j->stop_wanted;
		(void)relay_stop(r, j->id, now);
	}
	return n;
}

/* ---- claiming and running --------------------------------------------------------------------------------------- */

static void claim(struct relay *r, struct job *j, struct now now)
{
	struct cmd_claim *c = xcalloc(1, sizeof *c);
	j->where = CLAIMING;
	j->holds_slot = true;
	r->providers[j->provider].running++;
	c->row = j->row;
	c->incarnation = r->config.incarnation;
	c->context_bytes = r->config.limits->context_bytes;
	store_op_init(&c->op, cmd_claim_run, NULL, 0, now.wall_ms);
	c->op.repeatable = true;
	c->op.bytes = sizeof *c;
	EFFECT(r, submit, &c->op);
}

static void schedule(struct relay *r, int provider, struct now now)
{
	struct slots *s = &r->providers[provider];
	while (s->running < s->most && !TAILQ_EMPTY(&s->ring)) {
		struct rank *k = TAILQ_FIRST(&s->ring);
		struct lane *l = TAILQ_FIRST(&k->lanes);
		struct job *j = TAILQ_FIRST(&l->jobs);
		TAILQ_REMOVE(&s->ring, k, in_ring);
		TAILQ_INSERT_TAIL(&s->ring, k, in_ring);
		lane_unready(r, l);
		claim(r, j, now);
	}
}

static void run(struct relay *r, struct job *j, const struct job_info *info, struct now now)
{
	take_request(j, &info->request);
	turn_begin(&j->turn, info->request.attempt, now);
	memset(j->sent, 0, sizeof j->sent);
	memset(j->shown, 0, sizeof j->shown);
	j->first_chunk = 0;
	j->paused = false;
	j->where = RUNNING;
	note(r, "request.claimed", j, OK, STR_NONE);
	if (j->stop_wanted) {
		end_stopped(r, j, now);
		return;
	}
	j->call = EFFECT(r, call_start, j, info->messages, info->nmessages);
	EFFECT(r, state, j);
}

/* A disk that is slower than the provider slows the provider down. */
static void throttle(struct relay *r, struct job *j)
{
	size_t behind = 0;
	for (int k = 0; k < TURN_KINDS; k++) behind += j->turn.said[k].n - j->shown[k];
	bool pause = behind > (j->paused ? PAUSE_BYTES / 2 : PAUSE_BYTES);
	if (pause == j->paused || j->call == NULL) return;
	j->paused = pause;
	EFFECT(r, call_pause, j->call, pause);
}

/* Ends a call from this side. */
static void give_up(struct relay *r, struct job *j, enum err e, bool retryable, const struct errinfo *info,
		    struct now now)
{
	struct call_end end = {.err = e,
			       .retryable = retryable,
			       .info = info,
			       .input_tokens = -1,
			       .output_tokens = -1,
			       .finish_reason = STR("")};
	cut_call(r, j);
	relay_call_done(r, j, &end, now);
}

void relay_call_connected(struct relay *r, struct job *j, struct now now)
{
	if (j->where != RUNNING) return;
	turn_connected(&j->turn, now);
	note(r, "request.connected", j, OK, STR_NONE);
}

void relay_call_text(struct relay *r, struct job *j, enum stream_kind kind, struct str text, struct now now)
{
	if (j->where != RUNNING || text.n == 0) return;
	bool first = j->turn.phase != TURN_STREAMING;
	if (turn_said(&j->turn, (int)kind, text, now) != OK) {
		struct errinfo info;
		(void)err_set(&info, ERR_PROVIDER_LIMIT, "the answer is longer than answerBytes (%lld bytes)",
			      (long long)r->config.limits->answer_bytes);
		give_up(r, j, ERR_PROVIDER_LIMIT, false, &info, now);
		return;
	}
	if (first) {
		note(r, "request.firstToken", j, OK, STR_NONE);
		EFFECT(r, state, j);
	}
	if (!j->dirty) LIST_INSERT_HEAD(&r->dirty, j, in_dirty);
	j->dirty = true;
	throttle(r, j);
}

void relay_call_done(struct relay *r, struct job *j, const struct call_end *end, struct now now)
{
	enum err e = end->err;
	if (j->where != RUNNING) return;
	j->call = NULL;
	release_slot(r, j);
	clear_dirty(j);
	int64_t after = end->info != NULL && e != OK ? end->info->retry_after_ms : 0;
	enum turn_phase next = turn_ended(&j->turn, e, end->retryable, after, r->config.limits, &r->rng, now);
	struct cmd_finish *c = finish_new(r, j,
					  next == TURN_DONE      ? FINISH_DONE
					  : next == TURN_BACKOFF ? FINISH_RETRY
								 : FINISH_FAILED);
	c->err = e;
	if (e != OK) {
		j->request.error_text = arena_str(&j->arena, str_c(err_sentence(end->info, e)));
		j->request.error_code = str_c(err_code(e));
		c->error_text = j->request.error_text;
	}
	c->finish_reason = arena_str(&j->arena, end->finish_reason);
	c->input_tokens = end->input_tokens;
	c->output_tokens = end->output_tokens;
	c->usage_estimated = end->usage_estimated;
	c->next_try_ms = next == TURN_BACKOFF ? now.wall_ms + (j->turn.retry_boot_ms - now.boot_ms) : 0;
	j->end_err = e;
	submit_finish(r, j, c, now);
	schedule(r, j->provider, now);
}

/* ---- the pump --------------------------------------------------------------------------------------------------- */

bool relay_pump_due(const struct relay *r) { return r->pump == NULL && !LIST_EMPTY(&r->dirty); }

void relay_pump(struct relay *r, struct now now)
{
	if (!relay_pump_due(r)) return;
	if (now.boot_ms < r->gather_boot_ms) {
		r->next_due_ms = MIN(r->next_due_ms, r->gather_boot_ms);
		return;
	}
	struct cmd_chunks *c = xcalloc(1, sizeof *c);
	size_t cap = 0, bytes = sizeof *c;
	struct job *j;
	LIST_FOREACH (j, &r->dirty, in_dirty) cap += TURN_KINDS;
	store_op_init(&c->op, cmd_chunks_run, NULL, 0, now.wall_ms);
	c->op.repeatable = true;
	c->list = arena_alloc(&c->op.arena, xmul(cap, sizeof *c->list));
	while ((j = LIST_FIRST(&r->dirty)) != NULL) {
		for (int k = 0; k < TURN_KINDS; k++) {
			struct str all = buf_str(&j->turn.said[k]);
			if (all.n == j->sent[k]) continue;
			struct str text = str_n(all.p + j->sent[k], all.n - j->sent[k]);
			c->list[c->n++] = (struct chunk){.request = j->row,
							 .attempt = j->request.attempt,
							 .kind = (enum stream_kind)k,
							 .offset = (int64_t)j->sent[k],
							 .text = arena_str(&c->op.arena, text)};
			j->sent[k] = all.n;
			bytes += text.n + sizeof(struct chunk);
		}
		clear_dirty(j);
	}
	c->op.bytes = bytes;
	r->pump = c;
	r->pump_boot_ms = now.boot_ms;
	EFFECT(r, submit, &c->op);
}

static void publish(struct relay *r, struct job *j, int kind, size_t upto)
{
	if (upto <= j->shown[kind]) return;
	struct delta d = {.job = j,
			  .kind = (enum stream_kind)kind,
			  .attempt = j->request.attempt,
			  .offset = (int64_t)j->shown[kind],
			  .text = str_n(j->turn.said[kind].p + j->shown[kind], upto - j->shown[kind])};
	j->shown[kind] = upto;
	EFFECT(r, publish, &d);
}

static int64_t slots_in_use(const struct relay *r)
{
	int64_t n = 0;
	for (size_t i = 0; i < r->config.nproviders; i++) n += r->providers[i].running;
	return n;
}

static void chunks_committed(struct relay *r, struct cmd_chunks *c, struct now now)
{
	bool current = r->pump == c;
	if (current) r->pump = NULL;
	for (size_t i = 0; i < c->n; i++) {
		const struct chunk *k = &c->list[i];
		struct job *j;
		HASH_FIND(by_row, r->by_row, &k->request, sizeof k->request, j);
		if (j == NULL || j->request.attempt != k->attempt || (j->where != RUNNING && j->where != ENDING))
			continue;
		if (c->op.err == OK) {
			r->last_chunk = MAX(r->last_chunk, k->id);
			if (j->first_chunk == 0) j->first_chunk = k->id;
			publish(r, j, (int)k->kind, (size_t)k->offset + k->text.n);
			throttle(r, j);
		} else if (j->where == RUNNING && current) {
			/* Not on disk, so not shown: it goes with the next try. */
			j->sent[k->kind] = MIN(j->sent[k->kind], (size_t)k->offset);
			if (!j->dirty) LIST_INSERT_HEAD(&r->dirty, j, in_dirty);
			j->dirty = true;
		}
	}
	if (c->op.err != OK) r->gather_boot_ms = now.boot_ms + COMMAND_RETRY_MS;
	else r->gather_boot_ms = slots_in_use(r) > RELAY_BUSY_STREAMS ? now.boot_ms + RELAY_GATHER_MS : 0;
}

/* ---- what comes back from the store ----------------------------------------------------------------------------- */

static void claim_committed(struct relay *r, struct cmd_claim *c, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &c->row, sizeof c->row, j);
	if (j == NULL || j->where != CLAIMING) return;
	int provider = j->provider;
	if (c->op.err == OK) {
		run(r, j, &c->job, now);
		return;
	}
	release_slot(r, j);
	if (err_retryable(c->op.err)) {
		j->where = WAITING;
		if (j->stop_wanted) end_stopped(r, j, now);
		else set_due(r, j, now.boot_ms + COMMAND_RETRY_MS);
	} else {
		/* Our picture was wrong. If the request is still open the sweep brings it back. */
		job_free(r, j);
	}
	schedule(r, provider, now);
}

/* The request waits for its next attempt: what the failed one said is closed, and a new stream will begin. */
static void wait_again(struct relay *r, struct job *j, const struct job_info *info, int64_t due_boot_ms, struct now now)
{
	take_request(j, &info->request);
	for (int k = 0; k < TURN_KINDS; k++) buf_clear(&j->turn.said[k]);
	j->where = info->request.state == RQ_RETRYING ? WAITING : QUEUED;
	if (j->stop_wanted) {
		end_stopped(r, j, now);
		return;
	}
	if (j->where == WAITING) set_due(r, j, due_boot_ms);
	EFFECT(r, state, j);
	lane_settle(r, j->lane);
}

static void finish_committed(struct relay *r, struct cmd_finish *c, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &c->row, sizeof c->row, j);
	if (j == NULL || j->where != ENDING) return;
	int provider = j->provider;
	if (err_retryable(c->op.err)) {
		if (c->as == FINISH_STOPPED) EFFECT(r, state, j);
		j->retry_finish = xmalloc(sizeof *c);
		*j->retry_finish = *c;
		set_due(r, j, now.boot_ms + COMMAND_RETRY_MS);
		return;
	}
	if (c->op.err != OK) {
		note(r, "request.superseded", j, c->op.err, STR_NONE);
		job_free(r, j);
		schedule(r, provider, now);
		return;
	}
	enum request_state state = c->job.request.state;
	if (state == RQ_DONE)
		for (int k = 0; k < TURN_KINDS; k++) publish(r, j, k, j->turn.said[k].n);
	static const char *const types[] = {[RQ_QUEUED] = "request.recovered", [RQ_RETRYING] = "request.retrying",
					    [RQ_DONE] = "request.done",        [RQ_FAILED] = "request.failed",
					    [RQ_STOPPED] = "request.stopped",  [RQ_CLAIMED] = "request.claimed"};
	note(r, types[state], j, c->err, c->error_text);
	if (request_is_open(state)) {
		wait_again(r, j, &c->job, j->turn.retry_boot_ms, now);
	} else {
		take_request(j, &c->job.request);
		EFFECT(r, state, j);
		job_free(r, j);
	}
	schedule(r, provider, now);
}

void relay_drop_op(struct store_op *op)
{
	store_op_release(op);
	if (op->run == cmd_chunks_run) free(CONTAINER_OF(op, struct cmd_chunks, op));
	else if (op->run == cmd_claim_run) free(CONTAINER_OF(op, struct cmd_claim, op));
	else free(CONTAINER_OF(op, struct cmd_finish, op));
}

void relay_committed(struct relay *r, struct store_op *op, struct now now)
{
	if (op->run == cmd_chunks_run) chunks_committed(r, CONTAINER_OF(op, struct cmd_chunks, op), now);
	else if (op->run == cmd_claim_run) claim_committed(r, CONTAINER_OF(op, struct cmd_claim, op), now);
	else finish_committed(r, CONTAINER_OF(op, struct cmd_finish, op), now);
	relay_drop_op(op);
}

/* ---- new work --------------------------------------------------------------------------------------------------- */

bool relay_reserve(struct relay *r, struct str conversation_id, struct str model, int *out_provider)
{
	int p = r->config.provider_of(r->config.ctx, model);
	*out_provider = p;
	if (p < 0) return false;
	struct slots *s = &r->providers[p];
	if (s->running >= s->most || !TAILQ_EMPTY(&s->ring)) return false;
	/* The row is not known before the commit. Another user's conversation of the same name only costs the shortcut. */
	struct lane *l;
	HASH_FIND(by_name, r->lanes_by_name, conversation_id.p, conversation_id.n, l);
	if (l != NULL) return false;
	s->running++;
	return true;
}

void relay_unreserve(struct relay *r, int provider, struct now now)
{
	r->providers[provider].running--;
	schedule(r, provider, now);
}

void relay_admit(struct relay *r, const struct job_info *info, int reserved, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &info->row, sizeof info->row, j);
	int provider = r->config.provider_of(r->config.ctx, info->request.model);
	if (j == NULL && request_is_open(info->request.state)) {
		/* An unknown model waits at the first provider and fails there with its name. */
		j = job_new(r, info, provider < 0 ? 0 : provider);
		note(r, "request.queued", j, OK, STR_NONE);
		if (info->request.state == RQ_CLAIMED && reserved >= 0) {
			j->provider = reserved;
			j->holds_slot = true;
			run(r, j, info, now);
			return;
		}
		j->where = QUEUED;
		EFFECT(r, state, j);
		lane_settle(r, j->lane);
	}
	if (reserved >= 0) relay_unreserve(r, reserved, now);
	else if (j != NULL) schedule(r, j->provider, now);
}

/* ---- recovery --------------------------------------------------------------------------------------------------- */

void relay_recover_chunk(struct relay *r, const struct chunk *c)
{
	struct left_over *o;
	r->last_chunk = MAX(r->last_chunk, c->id);
	HASH_FIND(hh, r->left_over, &c->request, sizeof c->request, o);
	if (o != NULL && o->attempt > c->attempt) return;
	if (o == NULL) {
		o = xcalloc(1, sizeof *o);
		o->row = c->request;
		for (int k = 0; k < TURN_KINDS; k++) buf_init(&o->said[k], (size_t)r->config.limits->answer_bytes);
		HASH_ADD(hh, r->left_over, row, sizeof o->row, o);
	}
	if (o->attempt != c->attempt)
		for (int k = 0; k < TURN_KINDS; k++) buf_clear(&o->said[k]);
	o->attempt = c->attempt;
	/* A chunk that was committed twice (the pump was given up on and came back) repeats bytes we have. */
	struct buf *b = &o->said[c->kind];
	if ((size_t)c->offset > b->n || (size_t)c->offset + c->text.n <= b->n) return;
	size_t known = b->n - (size_t)c->offset;
	(void)buf_add(b, c->text.p + known, c->text.n - known);
}

void relay_recover_job(struct relay *r, const struct job_info *info, struct now now)
{
	int provider = r->config.provider_of(r->config.ctx, info->request.model);
	struct job *j = job_new(r, info, provider < 0 ? 0 : provider);
	struct left_over *o;
	if (info->request.state != RQ_CLAIMED) {
		bool waits = info->request.state == RQ_RETRYING;
		int64_t wait = info->request.next_try_ms - now.wall_ms;
		j->where = waits ? WAITING : QUEUED;
		if (waits) set_due(r, j, now.boot_ms + MAX(0, MIN(wait, r->config.limits->backoff_max_ms)));
		lane_settle(r, j->lane);
		return;
	}
	HASH_FIND(hh, r->left_over, &info->row, sizeof info->row, o);
	if (o != NULL && o->attempt == info->request.attempt)
		for (int k = 0; k < TURN_KINDS; k++) (void)buf_add_str(&j->turn.said[k], buf_str(&o->said[k]));
	j->turn.times = (struct turn_times){.claimed = info->request.last_started_ms, .done = now.wall_ms};
	struct cmd_finish *c = finish_new(r, j, FINISH_RECOVER);
	c->err = ERR_PROVIDER_CUT;
	c->error_text = STR("the daemon stopped while this attempt was running");
	submit_finish(r, j, c, now);
}

void relay_start(struct relay *r, struct now now)
{
	struct left_over *o, *tmp;
	HASH_ITER (hh, r->left_over, o, tmp) {
		HASH_DELETE(hh, r->left_over, o);
		for (int k = 0; k < TURN_KINDS; k++) buf_release(&o->said[k]);
		free(o);
	}
	for (size_t i = 0; i < r->config.nproviders; i++) schedule(r, (int)i, now);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

int64_t relay_next_ms(const struct relay *r) { return r->next_due_ms; }

static void job_due(struct relay *r, struct job *j, struct now now)
{
	clear_due(j);
	if (j->where == ENDING) {
		struct cmd_finish *c = j->retry_finish;
		j->retry_finish = NULL;
		submit_finish(r, j, c, now);
	} else if (j->where == WAITING) {
		j->where = QUEUED;
		lane_settle(r, j->lane);
		schedule(r, j->provider, now);
	}
}

void relay_tick(struct relay *r, struct now now)
{
	if (now.boot_ms >= r->next_due_ms) {
		r->next_due_ms = INT64_MAX;
		for (struct job *j = LIST_FIRST(&r->due), *next; j != NULL; j = next) {
			next = LIST_NEXT(j, in_due);
			if (j->due_boot_ms <= now.boot_ms) job_due(r, j, now);
			else r->next_due_ms = MIN(r->next_due_ms, j->due_boot_ms);
		}
	}
	relay_pump(r, now);
}

/* Seen open on disk, but not here: once may be a request that ended after the list was read; twice is a lost one. */
static bool missing_twice(struct suspect **before, struct suspect **now_missing, int64_t row)
{
	struct suspect *s;
	HASH_FIND(hh, *before, &row, sizeof row, s);
	if (s != NULL) return true;
	s = xcalloc(1, sizeof *s);
	s->row = row;
	HASH_ADD(hh, *now_missing, row, sizeof s->row, s);
	return false;
}

size_t relay_sweep(struct relay *r, const struct job_info *list, size_t n, struct now now)
{
	struct suspect *missing = NULL, *s, *tmp;
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		struct job *j;
		HASH_FIND(by_row, r->by_row, &list[i].row, sizeof list[i].row, j);
		if (j != NULL || !missing_twice(&r->suspects, &missing, list[i].row)) continue;
		found++;
		if (list[i].request.state != RQ_CLAIMED) {
			relay_admit(r, &list[i], -1, now);
			note(r, "request.found", relay_find(r, list[i].request_id), OK, STR_NONE);
			continue;
		}
		/* Claimed by us and forgotten: end that attempt and let it wait for the next. */
		int provider = r->config.provider_of(r->config.ctx, list[i].request.model);
		j = job_new(r, &list[i], provider < 0 ? 0 : provider);
		j->turn.retry_boot_ms = now.boot_ms;
		struct cmd_finish *c = finish_new(r, j, FINISH_RETRY);
		c->err = ERR_PROVIDER_CUT;
		c->error_text = STR("the attempt was lost");
		note(r, "request.found", j, OK, STR_NONE);
		submit_finish(r, j, c, now);
	}
	HASH_ITER (hh, r->suspects, s, tmp) {
		HASH_DELETE(hh, r->suspects, s);
		free(s);
	}
	r->suspects = missing;
	return found;
}

/* How long an attempt may go without a sign of life: longer than each deadline of the call itself, so only a lost call
 * gets here. */
static int64_t lease_ms(const struct relay *r, const struct job *j)
{
	const struct limits *l = r->config.limits;
	int64_t wait = j->turn.phase == TURN_STREAMING ? l->stream_idle_ms : l->connect_ms + l->first_token_ms;
	return wait + LEASE_SLACK_MS;
}

size_t relay_watch(struct relay *r, struct now now)
{
	size_t touched = 0;
	struct job *j, *tmp;
	HASH_ITER (by_id, r->by_id, j, tmp) {
		if (j->where != RUNNING || now.boot_ms - j->turn.progress_boot_ms < lease_ms(r, j)) continue;
		struct errinfo info;
		(void)err_set(&info, ERR_PROVIDER_TIMEOUT, "the attempt showed no sign of life for %lld ms",
			      (long long)(now.boot_ms - j->turn.progress_boot_ms));
		note(r, "watchdog.worker", j, ERR_PROVIDER_TIMEOUT, STR_NONE);
		give_up(r, j, ERR_PROVIDER_TIMEOUT, true, &info, now);
		touched++;
	}
	if (r->pump != NULL && now.boot_ms - r->pump_boot_ms >= PUMP_STUCK_MS) {
		/* The command may be gone, so it is not looked at. What was not shown is sent again; if the command comes back
		 * after all, its rows only repeat what the others hold. */
		for (j = r->by_id; j != NULL; j = j->by_id.next) {
			if (j->where != RUNNING) continue;
			for (int k = 0; k < TURN_KINDS; k++) {
				if (j->sent[k] == j->shown[k]) continue;
				j->sent[k] = j->shown[k];
				if (!j->dirty) LIST_INSERT_HEAD(&r->dirty, j, in_dirty);
				j->dirty = true;
			}
		}
		note(r, "watchdog.stream", NULL, OK, STR_NONE);
		r->pump = NULL;
		relay_pump(r, now);
		touched++;
	}
	return touched;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

struct job *relay_find(struct relay *r, struct str id)
{
	struct job *j;
	HASH_FIND(by_id, r->by_id, id.p, id.n, j);
	return j;
}

void relay_counts(const struct relay *r, struct relay_counts *out)
{
	*out = (struct relay_counts){0};
	for (struct job *j = r->by_id; j != NULL; j = j->by_id.next) {
		out->open++;
		out->running += j->where == RUNNING;
		out->waiting += j->where == QUEUED || j->where == CLAIMING;
		out->retrying += j->where == WAITING;
		out->streams += j->where == RUNNING && j->turn.phase == TURN_STREAMING;
	}
}

int64_t relay_running_on(const struct relay *r, int provider) { return r->providers[provider].running; }

void relay_each_running(struct relay *r, int64_t conv, void (*fn)(void *ctx, struct job *j), void *ctx)
{
	struct lane *l;
	HASH_FIND(hh, r->lanes, &conv, sizeof conv, l);
	if (l == NULL) return;
	struct job *j;
	TAILQ_FOREACH (j, &l->jobs, in_lane)
		if (j->where == RUNNING || j->where == ENDING) fn(ctx, j);
}

int64_t relay_first_chunk(const struct relay *r)
{
	int64_t first = r->last_chunk + 1;
	for (struct job *j = r->by_id; j != NULL; j = j->by_id.next)
		if ((j->where == RUNNING || j->where == ENDING) && j->first_chunk != 0)
			first = MIN(first, j->first_chunk);
	return first;
}

struct str job_request_id(const struct job *j) { return j->id; }
int64_t job_user(const struct job *j) { return j->user; }
int64_t job_conv(const struct job *j) { return j->conv; }
int64_t job_row(const struct job *j) { return j->row; }
const struct request *job_request(const struct job *j) { return &j->request; }
const struct turn *job_turn(const struct job *j) { return &j->turn; }
int job_provider(const struct job *j) { return j->provider; }

struct str job_state_name(const struct job *j)
{
	if (j->stop_wanted && j->where == ENDING) return request_state_name(RQ_STOPPED);
	if (j->where == RUNNING && j->turn.phase == TURN_STREAMING) return STR("streaming");
	return request_state_name(j->request.state);
}

int64_t job_shown(const struct job *j, enum stream_kind kind) { return (int64_t)j->shown[kind]; }

int64_t job_retry_wall_ms(const struct job *j) { return j->request.state == RQ_RETRYING ? j->request.next_try_ms : 0; }
