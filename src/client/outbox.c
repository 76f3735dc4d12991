/* The outbox: what the person wished and the daemon has not confirmed.
 *
 * Order. An entry stands in up to two lanes: that of its record, and, for a message or a clear, that of its conversation.
 * It may be sent when it is first in all its lanes, its batch is durable and its wait is over; so of each lane at most
 * one entry is under way, and a refusal in the middle cannot swap two messages. Different lanes go side by side, up to
 * WINDOW entries. Each step costs the same however long the outbox is.
 *
 * Why not several of one lane at once: acks come in order, but what is refused and passes by itself (a lock that ends, a
 * full queue or disk) may pass between two of them. The second would be stored, the first come behind it, and a message's
 * place is for ever. It would take a daemon that refuses a message whose predecessor it does not have.
 *
 * Held. What only a person can decide leaves its lanes, and those behind it go on. A message keeps its place in its own
 * record's lane: edits of a message that the daemon does not have wait for it, and go when it goes. A held entry that is
 * tried again goes to the end of the line, under a new number, and takes along what waits for it.
 *
 * Maybe. From the first send on, the daemon may have an entry, until it refuses it. After a restart of this process that
 * is so of every entry that was not held: that it was sent is not written down, which would cost a commit per message.
 * What may be there is never changed in place and never discarded; it is sent again as it was. */
#include "client/core_priv.h"

#define WINDOW 32            /* entries under way at once */
#define ENTRIES_MAX 10000    /* of one outbox: outboxEntries */
#define BYTES_MAX (64 << 20) /* of their texts: outboxBytes */

/* ---- the texts of an entry -------------------------------------------------------------------------------------- */

#define TEXT(member)                                                                                                   \
	{                                                                                                              \
#member, offsetof(struct entry, member)                                                                \
	}
static const struct {
	const char *key;
	size_t offset;
} entry_texts[] = {
	TEXT(type),    TEXT(name),   TEXT(conversation), TEXT(session), TEXT(text),     TEXT(parts), TEXT(parent),
	TEXT(request), TEXT(fields), TEXT(stamp),        TEXT(base),    TEXT(sentence), TEXT(other), TEXT(device),
};

static char **text_at(const struct entry *e, size_t i)
{
	return (char **)((char *)(uintptr_t)e + entry_texts[i].offset);
}

static size_t texts_size(const struct entry *e)
{
	size_t n = sizeof *e;
	for (size_t i = 0; i < ARRAY_LEN(entry_texts); i++) n += strlen(*text_at(e, i)) + 1;
	return n;
}

struct entry *entry_new(struct core *c, enum core_kind kind, struct str type, struct str name)
{
	struct entry *e = xcalloc(1, sizeof *e);
	e->kind = kind;
	e->created_ms = c->now.wall_ms;
	for (size_t i = 0; i < ARRAY_LEN(entry_texts); i++) text_set(text_at(e, i), STR(""));
	text_set(&e->type, type);
	text_set(&e->name, name);
	return e;
}

void entry_free_unlinked(struct entry *e)
{
	if (e == NULL) return;
	for (size_t i = 0; i < ARRAY_LEN(entry_texts); i++) free(*text_at(e, i));
	free(e);
}

/* ---- its row ---------------------------------------------------------------------------------------------------- */

static const char *const kind_words[] = {"send", "edit", "delete", "save", "clear"};

static struct str number_key(uint64_t number, char out[24])
{
	return str_n(out, (size_t)snprintf(out, 24, "%016llu", (unsigned long long)number));
}

void entry_keep(struct core *c, struct entry *e)
{
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	struct jw w = JW(&b);
	char key[24];
	jw_obj(&w);
	jw_kstr(&w, "kind", str_c(kind_words[e->kind]));
	for (size_t i = 0; i < ARRAY_LEN(entry_texts); i++)
		if (**text_at(e, i) != '\0') jw_kstr(&w, entry_texts[i].key, str_c(*text_at(e, i)));
	if (e->term != 0) jw_kint(&w, "term", e->term);
	if (e->age_ms != 0) jw_kint(&w, "age", e->age_ms);
	if (e->automatic) jw_kbool(&w, "auto", true);
	if (e->force) jw_kbool(&w, "force", true);
	if (e->state == CORE_HELD) jw_kstr(&w, "held", str_c(err_code(e->why)));
	jw_kint(&w, "at", e->created_ms);
	jw_obj_end(&w);
	row_put(c, &(struct core_row){.table = CORE_OUTBOX, .key = number_key(e->number, key), .value = buf_str(&b)});
	e->batch = c->batch + 1;
	c->outbox_bytes -= e->bytes;
	e->bytes = texts_size(e);
	c->outbox_bytes += e->bytes;
	buf_release(&b);
}

static void entry_unkeep(struct core *c, const struct entry *e)
{
	char key[24];
	row_put(c, &(struct core_row){.table = CORE_OUTBOX, .key = number_key(e->number, key), .value = STR_NONE});
}

enum err entry_parse(struct core *c, const struct core_row *row, struct entry **out, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct entry *e = NULL;
	int64_t number = 0;
	size_t kind = 0;
	enum err result = json_parse(row->value, &doc, info);
	const struct json *v = json_root(doc);
	struct str word = text_of(v, "kind"), held = text_of(v, "held");
	if (result != OK) goto out;
	while (kind < ARRAY_LEN(kind_words) && !str_eq(str_c(kind_words[kind]), word)) kind++;
	if (kind == ARRAY_LEN(kind_words) || !str_to_int(row->key, &number) || number <= 0 ||
	    !name_is_valid(text_of(v, "name")) || !name_is_valid(text_of(v, "type"))) {
		result = ERR_CORRUPT;
		goto out;
	}
	e = entry_new(c, (enum core_kind)kind, STR(""), STR(""));
	for (size_t i = 0; i < ARRAY_LEN(entry_texts); i++) text_set(text_at(e, i), text_of(v, entry_texts[i].key));
	e->number = (uint64_t)number;
	e->term = int_of(v, "term");
	e->age_ms = int_of(v, "age");
	e->created_ms = int_of(v, "at");
	e->automatic = bool_of(v, "auto");
	e->force = bool_of(v, "force");
	if (held.n > 0) {
		e->state = CORE_HELD;
		e->why = err_from_code(held.p, (uint32_t)held.n);
	}
	e->is_maybe = e->state != CORE_HELD;
out:
	json_free(doc);
	*out = e;
	return result;
}

/* ---- lanes ------------------------------------------------------------------------------------------------------ */

struct key {
	char p[CORE_KEY_MAX + 2];
	size_t n;
};

static struct key record_lane_key(struct str type, struct str name)
{
	struct key k;
	k.n = (size_t)snprintf(k.p, sizeof k.p, "r%.*s/%.*s", STR_ARG(type), STR_ARG(name));
	ASSERT_CMP(k.n, <, sizeof k.p);
	return k;
}

static struct key conversation_lane_key(struct str conversation)
{
	struct key k;
	k.n = (size_t)snprintf(k.p, sizeof k.p, "c%.*s", STR_ARG(conversation));
	ASSERT_CMP(k.n, <, sizeof k.p);
	return k;
}

static struct lane *lane_find(const struct core *c, const struct key *k)
{
	struct lane *l;
	HASH_FIND(hh, c->lanes, k->p, k->n, l);
	return l;
}

struct lane *lane_of_record(const struct core *c, struct str type, struct str name)
{
	struct key k = record_lane_key(type, name);
	return lane_find(c, &k);
}

struct lane *lane_of_conversation(const struct core *c, struct str conversation)
{
	struct key k = conversation_lane_key(conversation);
	return lane_find(c, &k);
}

static void ready_leave(struct core *c, struct entry *e)
{
	if (e->is_ready) TAILQ_REMOVE(&c->ready, e, ready);
	e->is_ready = false;
}

/* Into core.ready, in the order of numbers, when nothing is before it any more. */
static void ready_look(struct core *c, struct entry *e)
{
	struct entry *before;
	if (e->is_ready || e->state != CORE_PENDING) return;
	for (int i = 0; i < LANES; i++)
		if (e->in[i].lane != NULL && TAILQ_FIRST(&e->in[i].lane->links) != &e->in[i]) return;
	e->is_ready = true;
	TAILQ_FOREACH_REVERSE(before, &c->ready, entries, ready)
	if (before->number < e->number) break;
	if (before != NULL) TAILQ_INSERT_AFTER(&c->ready, before, e, ready);
	else TAILQ_INSERT_HEAD(&c->ready, e, ready);
}

static void lane_enter(struct core *c, struct entry *e, int which, const struct key *k)
{
	struct lane *l = lane_find(c, k);
	if (e->in[which].lane != NULL) return;
	if (l == NULL) {
		l = xcalloc(1, sizeof *l + k->n + 1);
		memcpy(l->key, k->p, k->n);
		TAILQ_INIT(&l->links);
		HASH_ADD(hh, c->lanes, key, k->n, l);
	}
	e->in[which].entry = e;
	e->in[which].lane = l;
	l->clears += e->kind == CORE_CLEAR;
	TAILQ_INSERT_TAIL(&l->links, &e->in[which], link);
}

static void lane_leave(struct core *c, struct entry *e, int which)
{
	struct lane *l = e->in[which].lane;
	if (l == NULL) return;
	TAILQ_REMOVE(&l->links, &e->in[which], link);
	e->in[which].lane = NULL;
	l->clears -= e->kind == CORE_CLEAR;
	struct lane_link *first = TAILQ_FIRST(&l->links);
	if (first != NULL) {
		ready_look(c, first->entry);
	} else {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the analyser cannot follow uthash */
		HASH_DEL(c->lanes, l);
		free(l);
	}
}

static void lanes_enter(struct core *c, struct entry *e)
{
	struct str type = str_c(e->type), name = str_c(e->name), conversation = str_c(e->conversation);
	if (e->state != CORE_HELD || e->kind == CORE_SEND) {
		struct key k = record_lane_key(type, name);
		lane_enter(c, e, LANE_RECORD, &k);
	}
	/* A rename does not overtake the message that makes the conversation. */
	if (str_eq(type, STR("Conversation")) && e->kind != CORE_CLEAR) conversation = name;
	else if (e->kind != CORE_SEND && e->kind != CORE_CLEAR) conversation = STR("");
	if (e->state != CORE_HELD && conversation.n > 0) {
		struct key k = conversation_lane_key(conversation);
		lane_enter(c, e, LANE_CONVERSATION, &k);
	}
	ready_look(c, e);
}

/* A held message keeps its place among what concerns the message. */
static void lanes_leave(struct core *c, struct entry *e)
{
	ready_leave(c, e);
	lane_leave(c, e, LANE_CONVERSATION);
	if (e->state != CORE_HELD || e->kind != CORE_SEND) lane_leave(c, e, LANE_RECORD);
}

/* ---- finding and telling ---------------------------------------------------------------------------------------- */

struct entry *outbox_message(const struct core *c, struct str message)
{
	struct lane *l = lane_of_record(c, STR("Message"), message);
	struct lane_link *k;
	if (l == NULL) return NULL;
	TAILQ_FOREACH (k, &l->links, link)
		if (k->entry->kind == CORE_SEND) return k->entry;
	return NULL;
}

struct entry *entry_of(const struct core *c, uint64_t number)
{
	struct entry *e;
	TAILQ_FOREACH (e, &c->outbox, link)
		if (e->number == number) return e;
	return NULL;
}

void entry_describe(const struct core *c, const struct entry *e, struct core_entry *out)
{
	(void)c;
	*out = (struct core_entry){
		.number = e->number,
		.kind = e->kind,
		.state = e->state,
		.type = str_c(e->type),
		.name = str_c(e->name),
		.conversation = str_c(e->conversation),
		.session = str_c(e->session),
		.text = str_c(e->text),
		.automatic = e->automatic,
		.why = e->why,
		.sentence = str_c(e->sentence),
		.other = str_c(e->other),
		.device = str_c(e->device),
		.age_ms = e->age_ms,
		.created_ms = e->created_ms,
		.next_ms = e->next_ms,
		.request = e->state == CORE_GONE && e->why == OK && e->kind == CORE_SEND ? str_c(e->other) : STR(""),
	};
}

void entry_tell(struct core *c, const struct entry *e)
{
	struct core_entry told;
	entry_describe(c, e, &told);
	c->is_dirty = true;
	tell(c, (struct core_event){
			.kind = CORE_EV_ENTRY, .type = told.type, .name = told.name, .entry = &told, .mine = true});
}

bool core_outbox_next(const struct core *c, uint64_t after, struct core_entry *out)
{
	const struct entry *e;
	TAILQ_FOREACH (e, &c->outbox, link) {
		if (e->number <= after) continue;
		entry_describe(c, e, out);
		return true;
	}
	return false;
}

bool core_outbox_find(const struct core *c, struct str type, struct str name, struct core_entry *out)
{
	const struct entry *e;
	TAILQ_FOREACH (e, &c->outbox, link) {
		if (!str_eq(str_c(e->name), name) || !str_eq(str_c(e->type), type)) continue;
		entry_describe(c, e, out);
		return true;
	}
	return false;
}

/* ---- coming and going ------------------------------------------------------------------------------------------- */

static void count(struct core *c, const struct entry *e, int by)
{
	if (e->state == CORE_HELD) c->nheld += by;
	else c->npending += by;
	c->is_dirty = true;
}

void outbox_load(struct core *c, struct entry *e)
{
	struct entry *last = TAILQ_LAST(&c->outbox, entries);
	if (last != NULL && last->number >= e->number) { /* twice, or not in order: the earlier one stands */
		entry_free_unlinked(e);
		return;
	}
	e->bytes = texts_size(e);
	c->outbox_bytes += e->bytes;
	c->next_number = e->number + 1;
	TAILQ_INSERT_TAIL(&c->outbox, e, link);
	count(c, e, 1);
	lanes_enter(c, e);
}

static void entry_number(struct core *c, struct entry *e)
{
	e->number = c->next_number++;
	TAILQ_INSERT_TAIL(&c->outbox, e, link);
	entry_keep(c, e);
	lanes_enter(c, e);
}

enum err entry_add(struct core *c, struct entry *e, struct errinfo *info)
{
	enum err result = entry_check(c, e, info);
	size_t bytes = texts_size(e);
	if (result == OK && c->npending + c->nheld >= ENTRIES_MAX)
		result = err_set(info, ERR_TOO_MANY, "the outbox holds outboxEntries = %d wishes already", ENTRIES_MAX);
	if (result == OK && c->outbox_bytes + bytes > BYTES_MAX)
		result = err_set(info, ERR_TOO_MANY, "the outbox holds outboxBytes = %d already", BYTES_MAX);
	if (result != OK) {
		entry_free_unlinked(e);
		return result;
	}
	count(c, e, 1);
	entry_number(c, e);
	entry_tell(c, e);
	return OK;
}

/* Its answer, if one still comes, is of no more interest. */
static void entry_unask(struct core *c, struct entry *e)
{
	struct ask *a;
	if (e->ask == 0) return;
	HASH_FIND(hh, c->asks, &e->ask, sizeof e->ask, a);
	if (a != NULL) a->entry = NULL;
	e->ask = 0;
}

void entry_unsent(struct core *c, struct entry *e)
{
	if (e->state != CORE_SENT) return;
	entry_unask(c, e);
	e->state = CORE_PENDING;
	c->nsent--;
	ready_look(c, e);
}

static void entry_drop(struct core *c, struct entry *e, enum err why)
{
	entry_unsent(c, e);
	entry_unkeep(c, e);
	count(c, e, -1);
	e->state = CORE_GONE;
	e->why = why;
	if (why == OK) text_set(&e->sentence, STR(""));
	lanes_leave(c, e);
	TAILQ_REMOVE(&c->outbox, e, link);
	c->outbox_bytes -= e->bytes;
	entry_tell(c, e);
	entry_free_unlinked(e);
}

void entry_remove(struct core *c, struct entry *e, enum err why)
{
	struct lane *l = e->kind == CORE_SEND && why == ERR_CANCELLED ? e->in[LANE_RECORD].lane : NULL;
	struct lane_link *last;
	while (l != NULL && (last = TAILQ_LAST(&l->links, lane_links)) != NULL && last->entry != e)
		entry_drop(c, last->entry, why);
	entry_drop(c, e, why);
}

void entry_hold(struct core *c, struct entry *e, enum err why, struct str sentence)
{
	entry_unsent(c, e);
	count(c, e, -1);
	e->state = CORE_HELD;
	count(c, e, 1);
	e->why = why;
	e->is_maybe = false;
	e->next_ms = 0;
	text_set(&e->sentence, sentence);
	lanes_leave(c, e);
	entry_keep(c, e);
	entry_tell(c, e);
}

void entry_wait(struct core *c, struct entry *e, enum err why, struct str sentence, int64_t until_ms)
{
	entry_unsent(c, e);
	e->why = why;
	e->is_maybe = false;
	e->tries++;
	e->next_ms = until_ms;
	text_set(&e->sentence, sentence);
	entry_tell(c, e);
}

void entry_wake(struct core *c, struct entry *e)
{
	(void)c;
	if (e->state == CORE_PENDING) e->next_ms = 0;
}

/* To the end of the line with everything that waits for it, in the order it waits. */
void entry_requeue(struct core *c, struct entry *e)
{
	struct entries moving = TAILQ_HEAD_INITIALIZER(moving);
	struct lane *l = e->in[LANE_RECORD].lane;
	struct lane_link *k;
	ASSERT_CMP(e->state, ==, CORE_HELD);
	count(c, e, -1);
	e->state = CORE_PENDING;
	e->why = OK;
	e->tries = 0;
	text_set(&e->sentence, STR(""));
	count(c, e, 1);
	if (l == NULL) { /* not a message: nothing waits for it */
		TAILQ_REMOVE(&c->outbox, e, link);
		TAILQ_INSERT_TAIL(&moving, e, link);
	}
	while (l != NULL && (k = TAILQ_FIRST(&l->links)) != NULL) {
		struct entry *next = k->entry;
		bool is_last = TAILQ_NEXT(k, link) == NULL;
		TAILQ_REMOVE(&c->outbox, next, link);
		TAILQ_INSERT_TAIL(&moving, next, link);
		TAILQ_REMOVE(&l->links, k, link);
		k->lane = NULL;
		ready_leave(c, next);
		lane_leave(c, next, LANE_CONVERSATION);
		if (!is_last) continue;
		HASH_DEL(c->lanes, l);
		free(l);
		l = NULL;
	}
	while ((e = TAILQ_FIRST(&moving)) != NULL) {
		TAILQ_REMOVE(&moving, e, link);
		entry_unkeep(c, e);
		entry_number(c, e);
		entry_tell(c, e);
	}
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void put_text(struct jw *w, const char *key, const char *value)
{
	if (value[0] != '\0') jw_kstr(w, key, str_c(value));
}

static void put_raw(struct jw *w, const char *key, const char *value)
{
	if (value[0] != '\0') jw_kraw(w, key, str_c(value));
}

static void write_send(struct jw *w, const struct entry *e)
{
	jw_kstr(w, "messageId", str_c(e->name));
	put_text(w, "conversationId", e->conversation);
	put_text(w, "sessionId", e->session);
	jw_kstr(w, "text", str_c(e->text));
	put_raw(w, "parts", e->parts);
	put_text(w, "parent", e->parent);
	if (e->automatic) {
		jw_kbool(w, "auto", true);
		jw_kint(w, "term", e->term);
	}
	if (e->force) jw_kbool(w, "force", true);
	put_raw(w, "request", e->request);
}

static void write_edit(struct jw *w, const struct entry *e)
{
	jw_kstr(w, "messageId", str_c(e->name));
	jw_kstr(w, "text", str_c(e->text));
	put_text(w, "base", e->base);
	jw_kstr(w, "stamp", str_c(e->stamp));
}

static void write_delete(struct jw *w, const struct entry *e)
{
	jw_kstr(w, "messageId", str_c(e->name));
	put_text(w, "base", e->base);
	jw_kstr(w, "stamp", str_c(e->stamp));
}

static void write_save(struct jw *w, const struct entry *e)
{
	jw_kstr(w, "policy", str_c(e->stamp[0] != '\0' ? "merge" : "changedKeys"));
	jw_key(w, "records");
	jw_arr(w);
	jw_obj(w);
	jw_kstr(w, "type", str_c(e->type));
	jw_kstr(w, "name", str_c(e->name));
	if (e->fields[0] != '\0') jw_kraw(w, "fields", str_c(e->fields));
	else jw_kbool(w, "deleted", true);
	put_text(w, "stamp", e->stamp);
	put_raw(w, "base", e->base);
	jw_obj_end(w);
	jw_arr_end(w);
}

static void write_clear(struct jw *w, const struct entry *e)
{
	bool is_project = strcmp(e->type, "Project") == 0, is_session = strcmp(e->type, "Session") == 0;
	jw_kstr(w, is_project ? "projectId" : is_session ? "sessionId" : "conversationId", str_c(e->name));
}

static const struct {
	const char *frame;
	void (*write)(struct jw *w, const struct entry *e);
} kinds[] = {
	[CORE_SEND] = {"message:send", write_send},       [CORE_EDIT] = {"message:edit", write_edit},
	[CORE_DELETE] = {"message:delete", write_delete}, [CORE_SAVE] = {"record:save", write_save},
	[CORE_CLEAR] = {"session:clear", write_clear},
};

/* What escaping makes of a text can be six times as long: only the frame itself tells whether it fits. */
enum err entry_check(struct core *c, const struct entry *e, struct errinfo *info)
{
	struct buf b;
	enum err result = OK;
	struct jw w = frame_plain(&b, kinds[e->kind].frame);
	jw_kint(&w, "id", INT64_MAX);
	kinds[e->kind].write(&w, e);
	jw_obj_end(&w);
	if (b.failed || (int64_t)b.n > c->limits.frame_bytes)
		result = err_set(info, ERR_TOO_LARGE, "%s of %zu bytes; the limit frameBytes is %lld",
				 kinds[e->kind].frame, b.n, (long long)c->limits.frame_bytes);
	buf_release(&b);
	return result;
}

static void entry_send(struct core *c, struct entry *e)
{
	struct ask *a;
	struct buf b;
	ready_leave(c, e);
	e->state = CORE_SENT;
	e->is_maybe = true;
	c->nsent++;
	struct jw w = frame_begin(c, &b, kinds[e->kind].frame, ASK_ENTRY, &a);
	a->entry = e;
	e->ask = a->id;
	kinds[e->kind].write(&w, e);
	frame_send(c, &w);
}

void outbox_flush(struct core *c)
{
	struct entry *e, *next;
	c->outbox_wake_ms = NEVER;
	if (!c->is_welcome || c->link != LINK_UP) return;
	if (c->now.boot_ms < c->pause_ms) {
		if (!TAILQ_EMPTY(&c->ready)) c->outbox_wake_ms = c->pause_ms;
		return;
	}
	for (e = TAILQ_FIRST(&c->ready); e != NULL && c->nsent < WINDOW; e = next) {
		next = TAILQ_NEXT(e, ready);
		if (e->batch > c->durable) continue;
		if (e->next_ms > c->now.boot_ms) c->outbox_wake_ms = MIN(c->outbox_wake_ms, e->next_ms);
		else entry_send(c, e);
	}
}

void outbox_offline(struct core *c)
{
	struct entry *e;
	TAILQ_FOREACH (e, &c->outbox, link) {
		entry_unsent(c, e);
		e->next_ms = 0;
	}
	c->pause_ms = 0;
	ASSERT_CMP(c->nsent, ==, 0);
}

void outbox_free(struct core *c)
{
	struct entry *e;
	while ((e = TAILQ_FIRST(&c->outbox)) != NULL) {
		ready_leave(c, e);
		for (int i = 0; i < LANES; i++) lane_leave(c, e, i);
		TAILQ_REMOVE(&c->outbox, e, link);
		entry_free_unlinked(e);
	}
}
