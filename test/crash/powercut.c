/* powercut cuts the power of a recorded run at many places and looks at what is left.
 *
 *   powercut check LOG SENT STATES SEED SCRATCH    makes STATES states in directories below SCRATCH, verifies each and
 *                                                  prints one JSON object with what it found
 *   powercut make LOG SENT INDEX SEED DIR          writes the first draw of state INDEX into DIR and prints what had been
 *                                                  promised there, for a real daemon to be started on
 *
 * LOG is what `tracer record` wrote (log.h) while a daemon was under load; SENT is the clients' own record, one JSON
 * object a line for every message they ever sent: {"messageId","conversationId","text","answer"}. images.h says which
 * states there are, promises.h what a daemon owes.
 *
 * Each state must open, and then
 *  1. every message that was acked before the cut is there, with its text, and its request too;
 *  2. everything that was shown is there: streamed text, pushed records, credentials, attachments;
 *  3. after the clients have sent all their messages again, acked or not, each is there exactly once, and those that
 *     were acked were answered as duplicates;
 *  4. the offline check of the whole store finds nothing. */
#include <dirent.h>
#include <ftw.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <time.h>
#include <uthash.h>

#include "crash/images.h"
#include "crash/promises.h"
#include "device/pairing.h"
#include "relay/commands.h"
#include "relay/request.h"

#define WORKERS 2
#define DRAWS 4
#define EXAMPLES 5
#define OP_SECONDS 60

struct sent {
	struct str id, conversation, text;
	bool answer;
};

struct load {
	struct images images;
	struct promises promises;
	struct sent *sent;
	size_t nsent;
};

enum fault { FAULT_CORRUPT, FAULT_LOST_ACK, FAULT_LOST_SHOWN, FAULT_DUPLICATE, FAULTS };
static const char *const fault_names[FAULTS] = {"corrupt", "lostAcks", "lostShown", "duplicates"};

/* What one worker found; sent to the parent as it is. */
struct verdict {
	uint64_t states, distinct;
	uint64_t faulty[FAULTS]; /* states with such a fault */
	char examples[EXAMPLES][200];
	size_t nexamples;
};

/* ---- looking into a store --------------------------------------------------------------------------------------- */

struct seen {
	char key[320]; /* "Type/name", or "row/attempt/kind" for a stream */
	struct record rec;
	struct str text; /* a Message's, or a stream's */
	UT_hash_handle hh;
};

/* The whole store in memory, and what is wrong with it. */
struct survey {
	struct store_op op;
	const struct load *load;
	const char *dir; /* the state */
	size_t cut;
	bool after_retry;
	struct seen *records, *streams;
	size_t user_messages;
	bool fault[FAULTS];
	char what[200];
};

static void fault_at(struct survey *s, enum fault f, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fault_at(struct survey *s, enum fault f, const char *fmt, ...)
{
	va_list ap;
	if (s->what[0] == '\0') {
		va_start(ap, fmt);
		vsnprintf(s->what, sizeof s->what, fmt, ap);
		va_end(ap);
	}
	s->fault[f] = true;
}

static struct seen *seen_find(struct seen *table, const char *key)
{
	struct seen *found;
	HASH_FIND_STR(table, key, found);
	return found;
}

static struct seen *record_find(const struct survey *s, struct str type, struct str name)
{
	char key[sizeof((struct seen *)0)->key];
	snprintf(key, sizeof key, "%.*s/%.*s", STR_ARG(type), STR_ARG(name));
	return seen_find(s->records, key);
}

static enum err see_record(void *ctx, const struct record *r)
{
	struct survey *s = ctx;
	struct seen *seen = arena_zalloc(&s->op.arena, sizeof *seen);
	struct json_doc *doc;
	struct str text, role;
	snprintf(seen->key, sizeof seen->key, "%.*s/%.*s", STR_ARG(r->type_name), STR_ARG(r->name));
	seen->rec = *r;
	if (r->type == RT_MESSAGE && json_parse(r->fields, &doc, NULL) == OK) {
		if (json_str(json_get(json_root(doc), "text"), &text)) seen->text = arena_str(&s->op.arena, text);
		if (json_str(json_get(json_root(doc), "role"), &role) && str_eq(role, STR("user"))) s->user_messages++;
		json_free(doc);
	}
	if (seen_find(s->records, seen->key) != NULL)
		fault_at(s, FAULT_DUPLICATE, "%s stands twice in the feed", seen->key);
	else HASH_ADD_STR(s->records, key, seen);
	return OK;
}

static void stream_key(char *key, size_t cap, int64_t request, int64_t attempt, enum stream_kind kind)
{
	snprintf(key, cap, "%lld/%lld/%d", (long long)request, (long long)attempt, (int)kind);
}

static struct seen *stream_add(struct survey *s, const char *key)
{
	struct seen *seen = arena_zalloc(&s->op.arena, sizeof *seen);
	snprintf(seen->key, sizeof seen->key, "%s", key);
	HASH_ADD_STR(s->streams, key, seen);
	return seen;
}

static enum err see_chunk(void *ctx, const struct chunk *c)
{
	struct survey *s = ctx;
	char key[80];
	stream_key(key, sizeof key, c->request, c->attempt, c->kind);
	struct seen *seen = seen_find(s->streams, key);
	if (seen == NULL) seen = stream_add(s, key);
	if (c->offset != (int64_t)seen->text.n) {
		fault_at(s, FAULT_LOST_SHOWN, "stream %s has a chunk at %lld after %zu bytes", key,
			 (long long)c->offset, seen->text.n);
		return OK;
	}
	char *p = arena_alloc(&s->op.arena, seen->text.n + c->text.n + 1);
	if (seen->text.n > 0) memcpy(p, seen->text.p, seen->text.n);
	if (c->text.n > 0) memcpy(p + seen->text.n, c->text.p, c->text.n);
	seen->text = str_n(p, seen->text.n + c->text.n);
	return OK;
}

static enum err see_user(void *ctx, const struct user_row *u)
{
	*(int64_t *)ctx = u->user;
	return OK;
}

static enum err see_all(struct txn *t, struct survey *s)
{
	struct zone_info zi = {0};
	int64_t user = 0, after = 0;
	uint32_t zone;
	bool more = true;
	enum err e = txn_users(t, see_user, &user);
	if (e == OK) e = txn_chunks(t, see_chunk, s);
	if (e != OK || user == 0) return e;
	e = txn_zone(t, user, ZONE_HOME, false, &zone);
	if (e == ERR_NOT_FOUND) return OK;
	if (e == OK) e = txn_zone_info(t, zone, &zi);
	while (e == OK && more) e = txn_feed(t, zone, after, zi.seq, 500, see_record, s, &after, &more);
	return e;
}

/* ---- the promises ----------------------------------------------------------------------------------------------- */

static void check_ack(struct survey *s, const struct promise *p)
{
	struct seen *m = record_find(s, STR("Message"), p->id);
	if (m == NULL) fault_at(s, FAULT_LOST_ACK, "acked message %.*s is gone", STR_ARG(p->id));
	else if (p->request.p != NULL && record_find(s, STR("Request"), p->request) == NULL)
		fault_at(s, FAULT_LOST_ACK, "acked request %.*s is gone", STR_ARG(p->request));
}

/* The text of a finished attempt: in its own stream, or, when it became the reply, in that message. */
static struct str closed_text(struct txn *t, struct survey *s, const struct promise *p, const struct record *r)
{
	struct stream_row row;
	struct request q;
	if (txn_stream_get(t, r->row, p->attempt, p->stream, &row) == OK) return row.text;
	if (request_read(&q, r, &s->op.arena) != OK || q.state != RQ_DONE || q.attempt != p->attempt) return STR("");
	const struct seen *reply = record_find(s, STR("Message"), q.reply_id);
	return reply != NULL && p->stream == STREAM_TEXT ? reply->text : STR("");
}

static void check_delta(struct txn *t, struct survey *s, const struct promise *p)
{
	char key[80];
	struct seen *request = record_find(s, STR("Request"), p->id);
	if (request == NULL) {
		fault_at(s, FAULT_LOST_SHOWN, "request %.*s of shown text is gone", STR_ARG(p->id));
		return;
	}
	stream_key(key, sizeof key, request->rec.row, p->attempt, p->stream);
	struct seen *stream = seen_find(s->streams, key);
	size_t from = (size_t)p->number;
	if (stream == NULL) stream = stream_add(s, key);
	if (stream->text.n < from + p->text.n) { /* the log's chunks stay for a while after the attempt was closed */
		struct str closed = closed_text(t, s, p, &request->rec);
		if (closed.n > stream->text.n) stream->text = arena_str(&s->op.arena, closed);
	}
	if (stream->text.n < from + p->text.n || memcmp(stream->text.p + from, p->text.p, p->text.n) != 0)
		fault_at(s, FAULT_LOST_SHOWN, "shown text of %.*s, attempt %lld, bytes %zu to %zu: %zu bytes are left",
			 STR_ARG(p->id), (long long)p->attempt, from, from + p->text.n, stream->text.n);
}

static void check_record(struct survey *s, const struct promise *p)
{
	struct seen *r = record_find(s, p->type, p->id);
	if (r == NULL || r->rec.seq < p->number)
		fault_at(s, FAULT_LOST_SHOWN, "pushed %.*s %.*s is %s", STR_ARG(p->type), STR_ARG(p->id),
			 r == NULL ? "gone" : "older than shown");
}

static void check_token(struct txn *t, struct survey *s, const struct promise *p)
{
	unsigned char hash[SHA256_LEN];
	struct cred_row row;
	if (!token_hash(p->id, hash) || txn_cred_find(t, hash, &row) != OK)
		fault_at(s, FAULT_LOST_SHOWN, "a credential that was handed out is gone");
}

static void check_asset(struct txn *t, struct survey *s, const struct promise *p)
{
	char path[PATH_MAX], bytes[1 << 16];
	unsigned char want[SHA256_LEN], got[SHA256_LEN] = {0};
	snprintf(path, sizeof path, "%s/assets/%.2s/%.*s", s->dir, p->id.p, STR_ARG(p->id));
	FILE *f = fopen(path, "re");
	if (f != NULL) {
		sha256(str_n(bytes, fread(bytes, 1, sizeof bytes, f)), got);
		fclose(f);
	}
	if (!hex_decode(p->id, want, sizeof want) || memcmp(want, got, sizeof want) != 0 ||
	    txn_asset_exists(t, want) != OK)
		fault_at(s, FAULT_LOST_SHOWN, "attachment %.*s was taken and is %s", STR_ARG(p->id),
			 f == NULL ? "gone" : "damaged or nobody's");
}

static void check_sent(struct survey *s)
{
	const struct load *load = s->load;
	for (size_t i = 0; i < load->nsent; i++) {
		struct seen *m = record_find(s, STR("Message"), load->sent[i].id);
		if (m == NULL && s->after_retry)
			fault_at(s, FAULT_LOST_ACK, "message %.*s was sent again and is not there",
				 STR_ARG(load->sent[i].id));
		else if (m != NULL && !str_eq(m->text, load->sent[i].text))
			fault_at(s, FAULT_CORRUPT, "message %.*s has another text", STR_ARG(load->sent[i].id));
	}
	if (s->user_messages > load->nsent || (s->after_retry && s->user_messages != load->nsent))
		fault_at(s, FAULT_DUPLICATE, "%zu messages of people where %zu were sent", s->user_messages,
			 load->nsent);
}

static enum err survey_run(struct txn *t, struct store_op *op)
{
	struct survey *s = CONTAINER_OF(op, struct survey, op);
	const struct promises *ps = &s->load->promises;
	enum err e = see_all(t, s);
	for (size_t i = 0; e == OK && i < ps->n && ps->list[i].at < s->cut; i++) {
		const struct promise *p = &ps->list[i];
		switch (p->kind) {
		case P_ACK: check_ack(s, p); break;
		case P_DELTA: check_delta(t, s, p); break;
		case P_RECORD: check_record(s, p); break;
		case P_TOKEN: check_token(t, s, p); break;
		case P_ASSET: check_asset(t, s, p); break;
		case P_KINDS: break;
		}
	}
	if (e == OK) check_sent(s);
	return e;
}

/* ---- one state -------------------------------------------------------------------------------------------------- */

static sem_t wakeups;
static size_t ops_done;
static bool store_died;

static void on_wake(void *ctx)
{
	(void)ctx;
	sem_post(&wakeups);
}

static void on_fatal(void *ctx, enum err e, const char *what)
{
	(void)ctx, (void)e, (void)what;
	store_died = true;
	sem_post(&wakeups);
}

static void on_done(struct store_op *op)
{
	(void)op;
	ops_done++;
}

/* Until `n` more operations are done; false when the store died or hangs. */
static bool wait_done(struct store *st, size_t n)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += OP_SECONDS;
	for (size_t goal = ops_done + n; ops_done < goal; store_poll(st)) {
		if (ops_done < goal && sem_timedwait(&wakeups, &until) != 0 && errno == ETIMEDOUT) return false;
		if (store_died) return false;
	}
	return true;
}

static bool survey(struct store *st, struct survey *s)
{
	store_op_init(&s->op, survey_run, on_done, 0, 1);
	store_read(st, &s->op);
	if (!wait_done(st, 1)) fault_at(s, FAULT_CORRUPT, "the store stopped");
	else if (s->op.err != OK) fault_at(s, FAULT_CORRUPT, "reading: %s", err_sentence(&s->op.info, s->op.err));
	HASH_CLEAR(hh, s->records);
	HASH_CLEAR(hh, s->streams);
	store_op_release(&s->op);
	return !s->fault[FAULT_CORRUPT];
}

struct who {
	struct store_op op;
	int64_t user;
	uint32_t principal;
};

static enum err who_run(struct txn *t, struct store_op *op)
{
	struct who *w = CONTAINER_OF(op, struct who, op);
	enum err e = txn_users(t, see_user, &w->user);
	if (e == OK && w->user != 0) e = txn_principal(t, w->user, STR("sends-again"), &w->principal);
	return e;
}

static bool was_acked(const struct promises *ps, size_t cut, struct str id)
{
	for (size_t i = 0; i < ps->n && ps->list[i].at < cut; i++)
		if (ps->list[i].kind == P_ACK && str_eq(ps->list[i].id, id)) return true;
	return false;
}

/* The clients come back and send everything again. False when there is nobody to send for yet. */
static bool send_again(struct store *st, const struct load *load, struct survey *s)
{
	struct who who = {0};
	store_op_init(&who.op, who_run, on_done, 0, 1);
	store_submit(st, &who.op);
	bool fine = wait_done(st, 1) && who.op.err == OK && who.user != 0;
	store_op_release(&who.op);
	if (!fine) return false;
	struct cmd_send *sends = xcalloc(load->nsent, sizeof *sends);
	for (size_t i = 0; i < load->nsent; i++) {
		struct cmd_send *c = &sends[i];
		const struct sent *m = &load->sent[i];
		store_op_init(&c->op, cmd_send_run, on_done, who.principal, 1);
		c->user = who.user;
		c->message_id = m->id;
		c->conversation_id = m->conversation;
		c->text = m->text;
		c->wants_answer = m->answer;
		c->wanted = (struct wanted){.model = m->answer ? STR("local:test") : STR(""), .params = STR("")};
		c->incarnation = store_incarnation(st);
		c->context_bytes = 1 << 16;
		c->open_max = INT64_MAX;
		store_submit(st, &c->op);
	}
	if (!wait_done(st, load->nsent)) fault_at(s, FAULT_CORRUPT, "the store stopped while messages were sent again");
	for (size_t i = 0; i < load->nsent; i++) {
		struct cmd_send *c = &sends[i];
		if (c->op.err != OK)
			fault_at(s, FAULT_CORRUPT, "sending %.*s again: %s", STR_ARG(c->message_id),
				 err_sentence(&c->op.info, c->op.err));
		else if (!c->duplicate && was_acked(&load->promises, s->cut, c->message_id))
			fault_at(s, FAULT_LOST_ACK, "acked message %.*s was new when it came again",
				 STR_ARG(c->message_id));
		store_op_release(&c->op);
	}
	free(sends);
	return true;
}

static void on_finding(void *ctx, bool bad, const char *what)
{
	if (bad) fault_at(ctx, FAULT_CORRUPT, "check: %s", what);
}

static void verify(const struct load *load, const char *dir, struct survey *s)
{
	struct limits limits;
	struct store *st;
	struct errinfo info = {0};
	limits_default(&limits);
	struct store_options o = {.dir = dir, .limits = &limits, .wake = on_wake, .fatal = on_fatal};
	enum err e = store_open(&o, &st, &info);
	if (e != OK) {
		fault_at(s, FAULT_CORRUPT, "opening: %s", err_sentence(&info, e));
		return;
	}
	if (survey(st, s) && send_again(st, load, s)) {
		s->after_retry = true;
		s->user_messages = 0;
		survey(st, s);
	}
	store_close(st);
	if (store_check(dir, NULL, on_finding, s, &info) != OK) fault_at(s, FAULT_CORRUPT, "check: %s", info.text);
}

/* ---- many states ------------------------------------------------------------------------------------------------ */

struct trial {
	size_t index, cut;
	uint64_t seed;
};

static int by_cut(const void *a, const void *b)
{
	const struct trial *x = a, *y = b;
	return x->cut != y->cut ? (x->cut > y->cut) - (x->cut < y->cut) : (x->index > y->index) - (x->index < y->index);
}

static struct trial trial_of(const struct load *load, uint64_t seed, size_t index)
{
	struct rng r;
	rng_seed(&r, seed + index * 0x9e3779b97f4a7c15u);
	size_t cut = 1 + rng_below(&r, load->images.nrecords);
	return (struct trial){index, cut, rng_next(&r)};
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind;
	return where->level == 0 ? 0 : remove(path);
}

static void empty_dir(const char *dir)
{
	if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) die(74, "%s: %s", dir, strerror(errno));
}

static void run_trials(struct load *load, const struct trial *trials, size_t n, const char *dir, struct verdict *v)
{
	struct print {
		uint64_t key;
		UT_hash_handle hh;
	} *prints = NULL, *same;
	if (mkdir(dir, 0700) != 0 && errno != EEXIST) die(73, "%s: %s", dir, strerror(errno));
	sem_init(&wakeups, 0, 0);
	for (size_t i = 0; i < n; i++) {
		struct survey s = {.load = load, .dir = dir, .cut = trials[i].cut};
		struct rng r;
		rng_seed(&r, trials[i].seed);
		images_advance(&load->images, trials[i].cut);
		for (int draw = 0; draw < DRAWS; draw++) { /* a state that was seen already is drawn again */
			empty_dir(dir);
			uint64_t print = images_make(&load->images, &r, dir);
			HASH_FIND(hh, prints, &print, sizeof print, same);
			if (same != NULL) continue;
			same = xcalloc(1, sizeof *same);
			same->key = print;
			HASH_ADD(hh, prints, key, sizeof same->key, same);
			v->distinct++;
			break;
		}
		store_died = false;
		verify(load, dir, &s);
		v->states++;
		for (size_t f = 0; f < FAULTS; f++) v->faulty[f] += s.fault[f];
		if (s.what[0] != '\0' && v->nexamples < EXAMPLES)
			snprintf(v->examples[v->nexamples++], sizeof v->examples[0], "state %zu, cut %zu: %.150s",
				 trials[i].index, trials[i].cut, s.what);
	}
	empty_dir(dir);
}

static void print_verdict(const struct load *load, const struct verdict *v)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	size_t counts[P_KINDS] = {0};
	for (size_t i = 0; i < load->promises.n; i++) counts[load->promises.list[i].kind]++;
	jw_obj(&w);
	jw_kint(&w, "states", (int64_t)v->states);
	jw_kint(&w, "distinct", (int64_t)v->distinct);
	jw_kint(&w, "records", (int64_t)load->images.nrecords);
	jw_kint(&w, "sent", (int64_t)load->nsent);
	jw_kint(&w, "acks", (int64_t)counts[P_ACK]);
	jw_kint(&w, "deltas", (int64_t)counts[P_DELTA]);
	jw_kint(&w, "pushed", (int64_t)counts[P_RECORD]);
	jw_kint(&w, "tokens", (int64_t)counts[P_TOKEN]);
	jw_kint(&w, "assets", (int64_t)counts[P_ASSET]);
	for (size_t f = 0; f < FAULTS; f++) jw_kint(&w, fault_names[f], (int64_t)v->faulty[f]);
	jw_key(&w, "examples");
	jw_arr(&w);
	for (size_t i = 0; i < v->nexamples; i++) jw_str(&w, str_c(v->examples[i]));
	jw_arr_end(&w);
	jw_obj_end(&w);
	printf("%s\n", b.p);
	buf_release(&b);
}

static void check(struct load *load, size_t states, uint64_t seed, const char *scratch)
{
	struct trial *trials = xcalloc(states, sizeof *trials);
	struct verdict all = {0}, part;
	int ends[WORKERS][2];
	for (size_t i = 0; i < states; i++) trials[i] = trial_of(load, seed, i);
	qsort(trials, states, sizeof *trials, by_cut);
	for (size_t k = 0; k < WORKERS; k++) {
		if (pipe(ends[k]) != 0) die(71, "pipe: %s", strerror(errno));
		pid_t pid = fork();
		if (pid < 0) die(71, "fork: %s", strerror(errno));
		if (pid > 0) {
			close(ends[k][1]);
			continue;
		}
		char dir[PATH_MAX];
		size_t from = states * k / WORKERS, to = states * (k + 1) / WORKERS;
		memset(&part, 0, sizeof part);
		snprintf(dir, sizeof dir, "%s/state%zu", scratch, k);
		run_trials(load, trials + from, to - from, dir, &part);
		_exit(write(ends[k][1], &part, sizeof part) == (ssize_t)sizeof part ? 0 : 74);
	}
	for (size_t k = 0; k < WORKERS; k++) {
		size_t got = 0;
		for (ssize_t n;
		     got < sizeof part && (n = read(ends[k][0], (char *)&part + got, sizeof part - got)) > 0;)
			got += (size_t)n;
		if (got != sizeof part) die(70, "a worker died; run it again with one state to see why");
		all.states += part.states;
		all.distinct += part.distinct;
		for (size_t f = 0; f < FAULTS; f++) all.faulty[f] += part.faulty[f];
		for (size_t i = 0; i < part.nexamples && all.nexamples < EXAMPLES; i++)
			memcpy(all.examples[all.nexamples++], part.examples[i], sizeof part.examples[i]);
	}
	while (wait(NULL) > 0) {
	}
	free(trials);
	print_verdict(load, &all);
}

/* For a real daemon: the state, and the ids and tokens it must know. */
static void make(struct load *load, size_t index, uint64_t seed, const char *dir)
{
	struct trial t = trial_of(load, seed, index);
	struct rng r;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	rng_seed(&r, t.seed);
	images_advance(&load->images, t.cut);
	images_make(&load->images, &r, dir);
	jw_obj(&w);
	jw_kint(&w, "cut", (int64_t)t.cut);
	for (int kind = 0; kind < 2; kind++) {
		jw_key(&w, kind == 0 ? "acked" : "tokens");
		jw_arr(&w);
		for (size_t i = 0; i < load->promises.n && load->promises.list[i].at < t.cut; i++)
			if (load->promises.list[i].kind == (kind == 0 ? P_ACK : P_TOKEN))
				jw_str(&w, load->promises.list[i].id);
		jw_arr_end(&w);
	}
	jw_obj_end(&w);
	printf("%s\n", b.p);
	buf_release(&b);
}

static void sent_read(struct load *load, const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	FILE *f = fopen(path, "re");
	if (f == NULL) die(66, "%s: %s", path, strerror(errno));
	for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
		struct json_doc *doc;
		struct sent *m = PUSH(load->sent, load->nsent);
		struct arena *arena = &load->promises.arena;
		if (json_parse(str_n(line, (size_t)n), &doc, NULL) != OK ||
		    !json_str(json_get(json_root(doc), "messageId"), &m->id) ||
		    !json_str(json_get(json_root(doc), "conversationId"), &m->conversation) ||
		    !json_str(json_get(json_root(doc), "text"), &m->text) ||
		    !json_bool(json_get(json_root(doc), "answer"), &m->answer))
			die(65, "%s: line %zu is not a sent message", path, load->nsent);
		m->id = arena_str(arena, m->id);
		m->conversation = arena_str(arena, m->conversation);
		m->text = arena_str(arena, m->text);
		json_free(doc);
	}
	free(line);
	fclose(f);
}

int main(int argc, char **argv)
{
	static struct load load;
	int64_t number, seed;
	if (argc != 7 || !str_to_int(str_c(argv[4]), &number) || !str_to_int(str_c(argv[5]), &seed) || number < 0)
		die(64, "usage: powercut check LOG SENT STATES SEED SCRATCH | make LOG SENT INDEX SEED DIR");
	images_read(&load.images, argv[2]);
	images_plan(&load.images);
	promises_read(&load.promises, &load.images);
	sent_read(&load, argv[3]);
	if (strcmp(argv[1], "check") == 0) check(&load, (size_t)number, (uint64_t)seed, argv[6]);
	else make(&load, (size_t)number, (uint64_t)seed, argv[6]);
	return 0;
}
