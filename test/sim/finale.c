/* How a run must end: the faults stop, and within a bounded time everybody has converged. Then a device that is paired
 * anew says what is stored, and every other one is compared with it. */
#include "sim/app.h"
#include "sim/book.h"
#include "sim/plan.h"

#define CALM_MOST (180 * SECOND) /* in which everybody must have converged */

static struct str field(const struct kept *k, const char *name, struct buf *to)
{
	struct json_doc *doc;
	struct str s;
	buf_clear(to);
	if (k->fields == NULL || json_parse(str_c(k->fields), &doc, NULL) != OK) return STR("");
	if (json_str(json_get(json_root(doc), name), &s)) (void)buf_add_str(to, s);
	json_free(doc);
	return buf_str(to);
}

static bool starts(const struct kept *k, const char *prefix) { return strncmp(k->key, prefix, strlen(prefix)) == 0; }

/* Requests that are still being worked on, as this device has them. */
static const struct kept *open_request(const struct device *d)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	const struct kept *k;
	for (k = d->records; k != NULL; k = k->hh.next) {
		if (!starts(k, "Request/") || k->deleted) continue;
		struct str state = field(k, "state", &b);
		if (!str_eq(state, STR("done")) && !str_eq(state, STR("failed")) && !str_eq(state, STR("stopped")))
			break;
	}
	buf_release(&b);
	return k;
}

/* NULL when everybody is where they should be, or what is still missing. */
static const char *unfinished(const struct device **who, bool requests)
{
	for (int i = 0; i < plan.ndevices; i++) {
		const struct device *d = *who = plan.devices[i];
		if (!device_is_quiet(d))
			return d->state != DEVICE_READY   ? "is not connected"
			       : !d->caught_up            ? "has not caught up"
			       : !TAILQ_EMPTY(&d->wishes) ? "has something to send"
							  : "waits for an answer";
		for (int j = 0; j < i; j++)
			if (plan.devices[j]->user == d->user && plan.devices[j]->place != d->place)
				return "is not where the others are";
		if (requests && open_request(d) != NULL) return "has a request that is open";
	}
	for (int i = 0; i < plan.nrevoked; i++) {
		*who = plan.revoked[i];
		if (!plan.revoked[i]->is_out) return "was revoked, and has not been turned away";
	}
	return NULL;
}

static void converge(bool requests)
{
	int64_t until = now_us() + CALM_MOST;
	const struct device *who = NULL;
	const char *what = "";
	do {
		for (int i = 0; i < plan.ndevices; i++) {
			device_release_held(plan.devices[i]);
			device_unlock(plan.devices[i]);
		}
		run_until(now_us() + 500 * MS);
		what = unfinished(&who, requests);
	} while (what != NULL && now_us() < until);
	EXPECT("everybody converges", what == NULL, "after %lld s without faults %s %s (place %lld)",
	       (long long)(CALM_MOST / SECOND), who->name, what, (long long)who->place);
}

/* A person goes on with what was paused: else its requests stay open, and should. */
static void resume_queues(void)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int u = 0; u < plan.nusers; u++) {
		struct device *d = plan.devices[0];
		for (int i = 0; i < plan.ndevices; i++)
			if (plan.devices[i]->user == u) d = plan.devices[i];
		for (const struct kept *k = d->records; k != NULL && d->user == u; k = k->hh.next) {
			if (!starts(k, "Session/") || k->deleted) continue;
			buf_clear(&b);
			(void)buf_addf(&b, "\"sessionId\":\"%s\"", k->key + strlen("Session/"));
			if (d->app != NULL) (void)app_say(d, "queue:resume", buf_str(&b));
			else (void)device_wish(d, "queue:resume", buf_str(&b), NULL);
		}
	}
	buf_release(&b);
}

/* Devices that are paired after a session was cleared are not shown what was in it. */
static bool was_cleared(const struct device *d, const struct kept *k)
{
	struct buf mine = BUF_INIT(BUF_NO_LIMIT), other = BUF_INIT(BUF_NO_LIMIT);
	struct str conversation = field(k, "conversationId", &mine);
	bool cleared = false;
	for (const struct kept *s = d->records; s != NULL && !cleared; s = s->hh.next)
		cleared = starts(s, "Session/") && str_eq(field(s, "conversationId", &other), conversation) &&
			  str_eq(field(s, "state", &other), STR("killed"));
	buf_release(&mine);
	buf_release(&other);
	return cleared;
}

/* What libroost's core holds, besides what it was told. It forgets a session that its person cleared. */
static void check_app(const struct device *late, const struct device *d, const struct kept *k)
{
	const char *slash = strchr(k->key, '/');
	struct str type = str_n(k->key, (size_t)(slash - k->key));
	EXPECT("all devices hold the same",
	       d->app == NULL || was_cleared(late, k) || app_holds(d, type, str_c(slash + 1), k->seq),
	       "the core of %s does not have %s of place %lld", d->name, k->key, (long long)k->seq);
}

/* What a device that was just paired is told is what is stored. */
static void compare(const struct device *late, const struct device *d)
{
	for (const struct kept *k = late->records; k != NULL; k = k->hh.next) {
		struct kept *mine;
		/* What the daemon writes of a device's own progress is that device's, which is not told what it knows. */
		if (k->deleted || (starts(k, "SyncState/") && strcmp(k->key + 10, d->id) == 0)) continue;
		HASH_FIND(hh, d->records, k->key, strlen(k->key), mine);
		EXPECT("nothing acknowledged is lost, on any device", mine != NULL, "%s does not have %s (place %lld)",
		       d->name, k->key, (long long)k->seq);
		check_app(late, d, k);
		EXPECT("all devices hold the same", mine->seq == k->seq, "%s has %s of place %lld, stored is %lld",
		       d->name, k->key, (long long)mine->seq, (long long)k->seq);
	}
	for (const struct kept *k = d->records; k != NULL; k = k->hh.next) {
		struct kept *stored;
		HASH_FIND(hh, late->records, k->key, strlen(k->key), stored);
		if (k->deleted || stored != NULL || k->fields == NULL || was_cleared(d, k)) continue;
		broken("all devices hold the same", "%s has %s of place %lld, which is not stored", d->name, k->key,
		       (long long)k->seq);
	}
}

/* Every message that was acknowledged is there, unless somebody deleted it or cleared its session. */
static void check_message(void *ctx, const struct book_message *m)
{
	const int *nlate = ctx;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (!m->acked || m->deleted) return;
	for (int i = 0; i < *nlate; i++) {
		const struct device *d = plan.devices[i];
		char of[16];
		(void)snprintf(of, sizeof of, "conv-%d-", d->user);
		if (d->came_late || !str_starts(m->conversation, str_c(of))) continue;
		const struct kept *k = device_kept(d, "Message", m->id);
		const struct kept *conversation = device_kept(d, "Conversation", m->conversation);
		EXPECT("nothing acknowledged is lost, on any device",
		       k != NULL || conversation == NULL || conversation->deleted, "%s does not have message %.*s",
		       d->name, STR_ARG(m->id));
		if (m->request.n == 0 || conversation == NULL || conversation->deleted) continue;
		const struct kept *q = device_kept(d, "Request", m->request);
		EXPECT("every request ends in a reply or an error", q != NULL, "%s does not have request %.*s", d->name,
		       STR_ARG(m->request));
		if (!q->deleted && str_eq(field(q, "state", &b), STR("done"))) {
			struct str reply = field(q, "replyId", &b);
			EXPECT("every request ends in a reply or an error", device_kept(d, "Message", reply) != NULL,
			       "request %.*s is done, and %s does not have its reply %.*s", STR_ARG(m->request),
			       d->name, STR_ARG(reply));
		}
	}
	buf_release(&b);
}

/* Every text that was typed and acknowledged is the message's, or one of its revisions, unless somebody who saw it
 * deleted the message. */
struct texts {
	int ndevices; /* those that were there from the beginning */
	int64_t lost_bytes;
	char sentence[300];
};

static void check_text(void *ctx, const struct book_text *t)
{
	struct texts *all = ctx;
	char of[16];
	for (int i = 0; i < all->ndevices; i++) {
		const struct device *d = plan.devices[i];
		(void)snprintf(of, sizeof of, "conv-%d-", d->user);
		if (d->came_late || !str_starts(t->conversation, str_c(of))) continue;
		const struct kept *m = device_kept(d, "Message", t->message);
		const struct kept *conversation = device_kept(d, "Conversation", t->conversation);
		if (m == NULL || m->deleted || conversation == NULL || conversation->deleted) continue;
		if (device_has_text(d, t->message, t->text)) continue;
		all->lost_bytes += (int64_t)t->text.n;
		(void)snprintf(all->sentence, sizeof all->sentence,
			       "%s has \"%.*s\" neither as the text of message %.*s nor as a revision", d->name,
			       STR_ARG(t->text), STR_ARG(t->message));
		return;
	}
}

/* A session whose only device had given it up has no primary until somebody asks; so everybody asks. */
static void ask_for_primaries(void)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int i = 0; i < plan.ndevices; i++)
		for (size_t k = 0; k < DEVICE_JOINS; k++) {
			const struct seat *s = &plan.devices[i]->seats[k];
			if (!s->joined || s->session[0] == '\0') continue;
			buf_clear(&b);
			(void)buf_addf(&b, "\"sessionId\":\"%s\",\"action\":\"request\"", s->session);
			(void)device_say(plan.devices[i], "device:primary", buf_str(&b));
		}
	buf_release(&b);
	converge(true);
}

/* Does this device know who drives the session, and is that one there? */
static void check_seat(const struct device *d, const struct seat *s)
{
	const struct lead *mine = device_lead(d, s->session);
	bool is_here = false;
	for (int i = 0; i < plan.ndevices; i++) {
		struct device *o = plan.devices[i];
		const struct seat *other = device_seat(o, str_c(s->conversation), false);
		if (other == NULL || !other->joined) continue;
		const struct lead *theirs = device_lead(o, other->session);
		is_here = is_here || strcmp(o->id, mine->primary) == 0;
		EXPECT("where devices are joined, one is primary",
		       strcmp(other->session, s->session) == 0 && theirs->term == mine->term &&
			       strcmp(theirs->primary, mine->primary) == 0,
		       "in %s, %s has %s as primary of %s in term %lld, %s has %s of %s in term %lld", s->conversation,
		       d->name, mine->primary, s->session, (long long)mine->term, o->name, theirs->primary,
		       other->session, (long long)theirs->term);
	}
	EXPECT("where devices are joined, one is primary", is_here,
	       "in %s, %s has \"%s\" as primary, which is not there", s->conversation, d->name, mine->primary);
}

static void check_primaries(void)
{
	for (int i = 0; i < plan.ndevices; i++)
		for (size_t k = 0; k < DEVICE_JOINS; k++) {
			const struct seat *s = &plan.devices[i]->seats[k];
			if (s->joined && s->session[0] != '\0') check_seat(plan.devices[i], s);
		}
}

/* A session that was said to be cleared is so for everybody. */
static void check_cleared(void *ctx, struct str session)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)ctx;
	for (int i = 0; i < plan.ndevices; i++) {
		const struct kept *k = device_kept(plan.devices[i], "Session", session);
		EXPECT("a cleared session is cleared everywhere",
		       k == NULL || k->deleted || str_eq(field(k, "state", &b), STR("killed")),
		       "%s has session %.*s as %s", plan.devices[i]->name, STR_ARG(session), b.p);
	}
	buf_release(&b);
}

void finale(int64_t *lost_bytes)
{
	int n = plan.ndevices;
	plan.calm = true;
	plan_calm();
	converge(false);
	resume_queues();
	converge(true);
	ask_for_primaries();
	check_primaries();
	book_cleared_each(check_cleared, NULL);
	book_check_steps();
	note("everybody has converged");
	for (int u = 0; u < plan.nusers; u++) plan_add_device(u);
	converge(true);
	for (int i = 0; i < n; i++)
		for (int u = 0; u < plan.nusers; u++)
			if (plan.devices[n + u]->user == plan.devices[i]->user)
				compare(plan.devices[n + u], plan.devices[i]);
	book_messages(check_message, &n);
	struct texts texts = {.ndevices = n};
	book_texts(check_text, &texts);
	*lost_bytes += texts.lost_bytes;
	EXPECT("nothing that was typed is lost", texts.lost_bytes == 0, "%s", texts.sentence);
}
