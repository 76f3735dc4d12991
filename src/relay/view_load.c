#include "relay/view_load.h"

#include "device/session.h"
#include "provider/tokens.h"

/* One message, as far as the view cares. */
struct seen {
	struct str text, parts, session, status, parent; /* parts: JSON */
	enum talk_role role;
};

struct walk {
	struct view view;
	struct arena *arena;
	struct str session_id; /* only messages of this session: a cleared one is not context any more */
	struct str message_id; /* the one to answer */
	int64_t ord;           /* its place */
	struct str *later;     /* names of messages of people after it */
	size_t nlater, cap;
};

static enum err look(const struct record *r, struct arena *arena, struct seen *out, struct json_doc **doc)
{
	struct str role = STR("");
	*out = (struct seen){
		.text = STR(""), .parts = STR(""), .session = STR(""), .status = STR(""), .parent = STR("")};
	if (json_parse(r->fields, doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *o = json_root(*doc);
	(void)json_str(json_get(o, "text"), &out->text);
	(void)json_str(json_get(o, "role"), &role);
	if (json_type(json_get(o, "parts")) == JSON_ARR) out->parts = json_text(arena, json_get(o, "parts"));
	(void)json_str(json_get(o, "sessionId"), &out->session);
	(void)json_str(json_get(o, "status"), &out->status);
	(void)json_str(json_get(o, "parent"), &out->parent);
	return talk_role_parse(role, &out->role) ? OK : ERR_CORRUPT;
}

static bool is_later(const struct walk *k, struct str name)
{
	for (size_t i = 0; i < k->nlater; i++)
		if (str_eq(k->later[i], name)) return true;
	return false;
}

static enum err note_later(void *ctx, const struct record *r)
{
	struct walk *k = ctx;
	struct seen m;
	struct json_doc *doc = NULL;
	if (r->ord <= k->ord) return ERR_CANCELLED;
	if (r->deleted) return OK;
	enum err e = look(r, k->arena, &m, &doc);
	if (e == OK && m.role != ROLE_ASSISTANT) {
		if (k->nlater == k->cap) {
			k->cap = MAX(k->cap * 2, (size_t)8);
			struct str *more = arena_alloc(k->arena, xmul(k->cap, sizeof *more));
			if (k->nlater > 0) memcpy(more, k->later, k->nlater * sizeof *more);
			k->later = more;
		}
		k->later[k->nlater++] = arena_str(k->arena, r->name);
	}
	json_free(doc);
	return e;
}

static enum err add_message(void *ctx, const struct record *r)
{
	struct walk *k = ctx;
	struct seen m;
	struct json_doc *doc = NULL;
	if (r->deleted || str_eq(r->name, k->message_id)) return OK;
	enum err e = look(r, k->arena, &m, &doc);
	if (e == OK) {
		bool after = r->ord > k->ord && (m.role != ROLE_ASSISTANT || is_later(k, m.parent));
		/* What a failed attempt left behind is for people, not for the next attempt. */
		bool counts = !after && str_eq(m.session, k->session_id) && !str_eq(m.status, STR("failed"));
		if (counts && !view_add(&k->view, m.role, m.text, m.parts)) e = ERR_CANCELLED;
	}
	json_free(doc);
	return e;
}

/* What the agents that answered in this session call it. */
static enum err load_agents(struct txn *t, struct job_info *job)
{
	struct record r;
	struct session s;
	enum err e = session_find(t, job->user, job->request.session_id, &r, &s, NULL);
	job->agents = e == OK ? s.agents : STR_NONE;
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err view_load(struct txn *t, int64_t window_bytes, struct job_info *job)
{
	struct walk k = {
		.arena = txn_arena(t), .session_id = job->request.session_id, .message_id = job->request.message_id};
	struct record r;
	struct seen m;
	struct json_doc *doc = NULL;
	enum err e = txn_get(t, job->zone, RT_MESSAGE, job->request.message_id, &r);
	if (e == ERR_NOT_FOUND) return ERR_CORRUPT;
	if (e != OK) return e;
	view_begin(&k.view, k.arena, window_bytes);
	k.ord = r.ord;
	if (!r.deleted) {
		e = look(&r, k.arena, &m, &doc);
		if (e == OK) (void)view_add(&k.view, m.role, m.text, m.parts);
		json_free(doc);
	}
	if (e == OK) e = txn_messages(t, job->zone, job->conv, 0, INT64_MAX, note_later, &k);
	if (e == OK || e == ERR_CANCELLED) e = txn_messages(t, job->zone, job->conv, 0, INT64_MAX, add_message, &k);
	if (e != OK && e != ERR_CANCELLED) return e;
	view_end(&k.view, STR_NONE);
	e = load_agents(t, job);
	if (e != OK) return e;
	job->messages = k.view.list;
	job->nmessages = k.view.n;
	job->is_cut = k.view.is_cut;
	return OK;
}

int64_t view_tokens(const struct job_info *job, struct str family)
{
	int64_t sum = tokens_text(family, job->request.params);
	for (size_t i = 0; i < job->nmessages; i++) {
		const struct talk_message *m = &job->messages[i];
		sum += tokens_text(family, m->text) + tokens_text(family, m->parts) + TOKENS_PER_MESSAGE;
	}
	return sum;
}
