/* What the daemon says to an entry of the outbox.
 *
 * Taken: the entry leaves the outbox, and what it became is kept as a record in the same batch, because the feed spares a
 * device the records it saved itself. An ack that carries the record is believed; that of a message does not, and
 * is completed from the entry, which has everything but the place.
 *
 * Refused: the table below. What passes by itself is tried again, all of it or the one entry; what needs a person is
 * held; an automatic message that may not be sent (nobody typed it) goes, and this device stands down. */
#include "client/core_priv.h"

#include "record/record.h"

enum fate {
	FATE_ALL_WAIT, /* the daemon is in trouble: nothing is sent for a while */
	FATE_WAITS,    /* this one is tried again */
	FATE_HELD,
	FATE_STANDS_DOWN /* automatic only; what a person sent is held */
};

static const struct {
	enum err err;
	enum fate fate;
} fates[] = {
	{ERR_OVERLOADED, FATE_ALL_WAIT},
	{ERR_SHUTTING_DOWN, FATE_ALL_WAIT},
	{ERR_STORAGE_FULL, FATE_ALL_WAIT},
	{ERR_RATE_LIMITED, FATE_ALL_WAIT},
	{ERR_NOMEM, FATE_ALL_WAIT},
	{ERR_SESSION_LOCKED, FATE_WAITS},
	{ERR_TOO_MANY, FATE_WAITS},
	{ERR_DUPLICATE, FATE_HELD},
	{ERR_SESSION_KILLED, FATE_STANDS_DOWN},
	{ERR_NOT_PRIMARY, FATE_STANDS_DOWN},
	{ERR_AUTO_STOPPED, FATE_STANDS_DOWN},
	{ERR_ANSWERED, FATE_STANDS_DOWN},
};

#define WAIT_FIRST_MS 500
#define WAIT_MOST_MS 30000

/* ---- refused ---------------------------------------------------------------------------------------------------- */

static enum fate fate_of(enum err e, bool retryable)
{
	for (size_t i = 0; i < ARRAY_LEN(fates); i++)
		if (fates[i].err == e) return fates[i].fate;
	return retryable ? FATE_ALL_WAIT : FATE_HELD;
}

/* What was to be deleted or cleared is so already. */
static bool is_done_anyway(const struct entry *e, enum err err)
{
	bool deletes = e->kind == CORE_DELETE || (e->kind == CORE_SAVE && e->fields[0] == '\0');
	return (deletes && err == ERR_NOT_FOUND) || (e->kind == CORE_CLEAR && err == ERR_SESSION_KILLED);
}

static void note_details(struct entry *e, enum err err, const struct json *error)
{
	struct str device = text_of(error, err == ERR_SESSION_LOCKED ? "holder" : "deviceId");
	struct str other = text_of(error, err == ERR_SESSION_KILLED ? "sessionId" : "messageId");
	text_set(&e->device, device);
	text_set(&e->other, other);
	e->age_ms = int_of(error, "ageMs");
}

void answer_refused(struct core *c, struct entry *e, const struct json *error)
{
	struct errinfo info;
	bool retryable;
	enum err err = read_error(error, &info, &retryable);
	struct str sentence = str_c(err_sentence(&info, err));
	const struct json *server_record = json_get(error, "serverRecord");
	if (server_record != NULL) (void)record_apply(c, server_record, true);
	if (is_done_anyway(e, err)) {
		entry_remove(c, e, OK);
		return;
	}
	enum fate fate = fate_of(err, retryable);
	int64_t wait;
	if (fate != FATE_ALL_WAIT) note_details(e, err, error);
	switch (fate) {
	case FATE_ALL_WAIT:
		wait = backoff_ms(c, ++c->pauses, WAIT_FIRST_MS, WAIT_MOST_MS);
		c->pause_ms = c->now.boot_ms + MAX(wait, info.retry_after_ms);
		entry_wait(c, e, err, sentence, c->pause_ms);
		break;
	case FATE_WAITS:
		wait = backoff_ms(c, e->tries + 1, WAIT_FIRST_MS, WAIT_MOST_MS);
		entry_wait(c, e, err, sentence, c->now.boot_ms + MAX(wait, info.retry_after_ms));
		break;
	case FATE_STANDS_DOWN:
		if (e->automatic) {
			if (err == ERR_NOT_PRIMARY) seat_stand_down(c, str_c(e->session), error);
			text_set(&e->sentence, sentence);
			entry_remove(c, e, err);
			break;
		}
		entry_hold(c, e, err, sentence);
		break;
	case FATE_HELD:
		if (e->automatic && err == ERR_DUPLICATE) entry_remove(c, e, err);
		else entry_hold(c, e, err, sentence);
		break;
	}
}

/* ---- taken ------------------------------------------------------------------------------------------------------ */

static void put_me(struct core *c, struct jw *w, const char *key, struct str at)
{
	jw_key(w, key);
	jw_obj(w);
	jw_kstr(w, "at", at);
	jw_kstr(w, "userId", str_c(c->user));
	jw_kstr(w, "deviceId", str_c(c->device_id));
	jw_obj_end(w);
}

/* The feed may have brought it already: then what it said stands. */
static bool is_here(const struct core *c, const struct entry *e, const struct json *ack)
{
	char key[CORE_KEY_MAX + 1];
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	struct record_row row;
	int64_t place;
	bool here = tag_parse(text_of(ack, "changeTag"), &place) &&
		    row_read(c, CORE_RECORD, record_key(str_c(e->type), str_c(e->name), key), &b) &&
		    record_row_parse(buf_str(&b), &row) && row.generation == c->generation && row.place >= place;
	buf_release(&b);
	return here;
}

/* The message as the daemon stored it. */
static void sent_record(struct core *c, const struct entry *e, const struct json *ack)
{
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	struct jw w = JW(&b);
	struct str request = text_of(ack, "requestId"), at = text_of(ack, "at");
	jw_obj(&w);
	jw_kstr(&w, "type", STR("Message"));
	jw_kstr(&w, "name", str_c(e->name));
	jw_kstr(&w, "changeTag", text_of(ack, "changeTag"));
	put_me(c, &w, "created", at);
	put_me(c, &w, "modified", at);
	jw_kbool(&w, "deleted", false);
	jw_key(&w, "fields");
	jw_obj(&w);
	jw_kstr(&w, "conversationId", str_c(e->conversation));
	jw_kstr(&w, "sessionId", text_of(ack, "sessionId"));
	jw_kint(&w, "ord", int_of(ack, "ord"));
	jw_kstr(&w, "role", STR("user"));
	jw_kstr(&w, "text", str_c(e->text));
	if (e->parts[0] != '\0') jw_kraw(&w, "parts", str_c(e->parts));
	if (e->parent[0] != '\0') jw_kstr(&w, "parent", str_c(e->parent));
	if (e->automatic) jw_kbool(&w, "auto", true);
	if (request.n > 0) jw_kstr(&w, "requestId", request);
	jw_kstr(&w, "status", STR("complete"));
	jw_obj_end(&w);
	jw_obj_end(&w);
	record_apply_text(c, buf_str(&b));
	buf_release(&b);
}

static void on_ack(struct core *c, struct entry *e, const struct json *f)
{
	const struct json *record = json_get(f, "record");
	struct str request = text_of(f, "requestId");
	if (!str_eq(text_of(f, "messageId"), str_c(e->name))) return;
	if (e->kind == CORE_SEND) seat_learn(c, str_c(e->conversation), text_of(f, "sessionId"));
	if (record != NULL) (void)record_apply(c, record, false);
	else if (e->kind == CORE_SEND && !is_here(c, e, f)) sent_record(c, e, f);
	if (request.n > 0 && name_is_valid(request)) stream_mine(c, request, str_c(e->conversation));
	text_set(&e->other, name_is_valid(request) ? request : STR(""));
	entry_remove(c, e, OK);
	sync_want(c, SYNC_GATHER_MS);
}

static void on_saved(struct core *c, struct entry *e, const struct json *f)
{
	struct json_iter it = json_iter(json_get(f, "results"));
	if (!json_next(&it)) return;
	const struct json *error = json_get(it.val, "error");
	if (error != NULL) {
		answer_refused(c, e, error);
		return;
	}
	if (!record_apply(c, json_get(it.val, "record"), false)) return;
	entry_remove(c, e, OK);
	sync_want(c, SYNC_GATHER_MS);
}

/* Of a project, conversations whose lock another device holds are left: each is a wish of its own from now on. */
static void clear_later(struct core *c, const struct json *refused)
{
	for (struct json_iter it = json_iter(refused); json_next(&it);) {
		struct str conversation = text_of(it.val, "conversationId");
		if (!name_is_valid(conversation)) continue;
		struct entry *e = entry_new(c, CORE_CLEAR, STR("Conversation"), conversation);
		text_set(&e->conversation, conversation);
		if (entry_add(c, e, NULL) != OK) return;
	}
}

static void on_cleared(struct core *c, struct entry *e, const struct json *f)
{
	seat_cleared(c, f);
	clear_later(c, json_get(f, "refused"));
	entry_remove(c, e, OK);
	sync_want(c, SYNC_GATHER_MS);
}

/* An answer of another kind than was asked for answers nothing: the entry stays, and is sent again when the connection
 * is. */
void answer_entry(struct core *c, struct entry *e, struct str type, const struct json *f)
{
	c->pauses = 0;
	if (e->kind == CORE_SAVE && str_eq(type, STR("record:saved"))) on_saved(c, e, f);
	else if (e->kind == CORE_CLEAR && str_eq(type, STR("session:cleared"))) on_cleared(c, e, f);
	else if (e->kind <= CORE_DELETE && str_eq(type, STR("message:ack"))) on_ack(c, e, f);
}
