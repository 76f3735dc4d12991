/* The local copy of the feed.
 *
 * Two ways bring changes. The connection is live: what is committed is pushed, in feed order, from the cursor the hello
 * named. And a sync asks for what is behind the cursor, page by page, because a push may be lost with its connection and
 * a person wants to know that what they see is all there is. Each begins at or before our cursor and is without gaps, so
 * the cursor is the farther of the two, and a record that comes again, or comes late from an older page, is known by its
 * change tag: places only grow. The cursor is kept in the same batch as the records before it.
 *
 * What asks for a sync: the start (the hello is one), coming to the foreground, something sent or received (those within
 * SYNC_GATHER_MS are one reason), another session, 30 s in the foreground, a nudge. A reason while a sync is under way is
 * part of it; offline there is none, the next hello is the sync.
 *
 * A cursor that has expired begins a new generation. Records of the new one replace what is there as they come, and
 * when the last page has come, what is still of an old generation was not in the feed any more and goes. Both the
 * generation and "still at it" are rows, so a crash in between goes on where it was. The outbox is not touched. */
#include "client/core_priv.h"

#include "base/utf8.h"
#include "record/merge.h"

#define ACTIVE_MS 30000
#define ACK_MS 500           /* acknowledgements within this time are one */
#define AGAIN_MS 5000        /* after a sync that was refused */
#define SYNCED_KEPT_MS 60000 /* "synced at" alone is written at most so often */

/* ---- cursors ---------------------------------------------------------------------------------------------------- */

static int64_t place_of(struct str cursor)
{
	uint64_t epoch;
	int64_t place;
	return cursor_parse(cursor, &epoch, &place) ? place : 0;
}

static void cursor_set(struct core *c, struct str cursor)
{
	text_set(&c->cursor, cursor);
	row_meta(c, "cursor", cursor.n > 0 ? cursor : STR_NONE);
	c->cursor_batch = c->batch + 1;
	if (c->ack_due_ms == NEVER && cursor.n > 0) c->ack_due_ms = c->now.boot_ms + ACK_MS;
}

/* True when it is farther than ours. Cursors of two stores cannot be compared: the daemon's newer word counts. */
static bool cursor_take(struct core *c, struct str cursor)
{
	uint64_t epoch, ours = 0;
	int64_t place, at = 0;
	if (!cursor_parse(cursor, &epoch, &place)) return false;
	bool has = cursor_parse(str_c(c->cursor), &ours, &at);
	if (has && epoch == ours && place <= at) return false;
	cursor_set(c, cursor);
	return true;
}

/* ---- stored records --------------------------------------------------------------------------------------------- */

struct str record_key(struct str type, struct str name, char out[CORE_KEY_MAX + 1])
{
	int n = snprintf(out, CORE_KEY_MAX + 1, "%.*s/%.*s", STR_ARG(type), STR_ARG(name));
	ASSERT_CMP(n, <=, CORE_KEY_MAX);
	return str_n(out, (size_t)n);
}

/* "<generation> <place> <json>" */
bool record_row_parse(struct str value, struct record_row *out)
{
	const char *first = value.n > 0 ? memchr(value.p, ' ', value.n) : NULL;
	if (first == NULL) return false;
	struct str rest = str_n(first + 1, value.n - (size_t)(first + 1 - value.p));
	const char *second = rest.n > 0 ? memchr(rest.p, ' ', rest.n) : NULL;
	int64_t generation;
	if (second == NULL) return false;
	if (!str_to_int(str_n(value.p, (size_t)(first - value.p)), &generation) || generation < 0 ||
	    generation > UINT32_MAX)
		return false;
	if (!str_to_int(str_n(rest.p, (size_t)(second - rest.p)), &out->place)) return false;
	out->generation = (uint32_t)generation;
	out->json = str_n(second + 1, rest.n - (size_t)(second + 1 - rest.p));
	return true;
}

struct json_doc *record_read(const struct core *c, struct str type, struct str name)
{
	char key[CORE_KEY_MAX + 1];
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	struct json_doc *doc = NULL;
	struct record_row row;
	if (type.n + name.n + 1 > CORE_KEY_MAX) return NULL;
	if (row_read(c, CORE_RECORD, record_key(type, name, key), &b) && record_row_parse(buf_str(&b), &row) &&
	    json_parse(row.json, &doc, NULL) != OK)
		doc = NULL;
	buf_release(&b);
	return doc;
}

static void record_store(struct core *c, struct str key, int64_t place, struct str json, const struct json *record)
{
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	const struct json *fields = json_get(record, "fields");
	buf_addf(&b, "%u %lld ", c->generation, (long long)place);
	buf_add_str(&b, json);
	row_put(c, &(struct core_row){
			   .table = CORE_RECORD,
			   .key = key,
			   .value = buf_str(&b),
			   .type = text_of(record, "type"),
			   .name = text_of(record, "name"),
			   .conversation = text_of(fields, "conversationId"),
			   .session = text_of(fields, "sessionId"),
			   .ord = int_of(fields, "ord"),
			   .deleted = bool_of(record, "deleted"),
			   .generation = c->generation,
		   });
	buf_release(&b);
}

/* ---- what a record means to the rest ---------------------------------------------------------------------------- */

static void note_conflict(struct core *c, struct str name, const struct json *fields)
{
	if (!bool_of(fields, "conflict")) return;
	c->nconflicts++;
	row_meta_int(c, "conflicts", c->nconflicts);
	c->is_dirty = true;
	tell(c, (struct core_event){.kind = CORE_EV_CONFLICT,
				    .type = text_of(fields, "recordType"),
				    .name = text_of(fields, "recordName"),
				    .field = text_of(fields, "field"),
				    .device = text_of(fields, "deviceId"),
				    .other = name,
				    .json = fields,
				    .mine = str_eq(text_of(fields, "deviceId"), str_c(c->device_id))});
}

static void record_mean(struct core *c, struct str type, struct str name, const struct json *fields, bool is_new)
{
	struct str latest = merge_latest(fields);
	if (stamp_cmp(latest, str_c(c->stamp)) > 0 && stamp_is_valid(latest)) {
		text_set(&c->stamp, latest);
		row_meta(c, "stamp", latest);
	}
	if (str_eq(type, STR("Session")) || str_eq(type, STR("Conversation"))) {
		seat_record(c, type, name, fields);
	} else if (str_eq(type, STR("Message"))) {
		stream_committed(c, fields);
	} else if (str_eq(type, STR("Request"))) {
		tell(c, (struct core_event){.kind = CORE_EV_REQUEST,
					    .name = name,
					    .conversation = text_of(fields, "conversationId"),
					    .text = text_of(fields, "state"),
					    .json = fields});
		core_stream_state(c, name, fields);
	} else if (str_eq(type, STR("Revision")) && is_new && c->synced_ms > 0 && !c->is_resyncing) {
		note_conflict(c, name, fields);
	}
}

/* ---- records in ------------------------------------------------------------------------------------------------- */

static bool is_someone_elses_news(const struct core *c, struct str type, const struct json *record)
{
	bool matters = str_eq(type, STR("Message")) || str_eq(type, STR("Session"));
	return matters && !str_eq(text_of(json_get(record, "modified"), "deviceId"), str_c(c->device_id));
}

bool record_apply(struct core *c, const struct json *record, bool is_live)
{
	struct str type = text_of(record, "type"), name = text_of(record, "name"), tag = text_of(record, "changeTag");
	const struct json *fields = json_get(record, "fields");
	char key_text[CORE_KEY_MAX + 1];
	int64_t place;
	if (type.n > 64 || !name_is_valid(type) || !name_is_valid(name) || json_type(fields) != JSON_OBJ) return false;
	if (!tag_parse(tag, &place)) place = 0;
	if (str_eq(type, STR("Message")) && is_forgotten(c, text_of(fields, "sessionId"))) return true;
	struct buf json = BUF_INIT(ROW_BYTES_MAX), before = BUF_INIT(ROW_BYTES_MAX);
	struct str key = record_key(type, name, key_text);
	struct record_row old = {0};
	bool has = row_read(c, CORE_RECORD, key, &before) && record_row_parse(buf_str(&before), &old);
	bool is_older = has && old.generation == c->generation && place > 0 && place < old.place;
	json_write(&json, record);
	bool is_same = has && str_eq(old.json, buf_str(&json));
	if (!is_older && !(is_same && old.generation == c->generation))
		record_store(c, key, place, buf_str(&json), record);
	if (!is_older && !is_same) {
		c->nsynced++;
		if (is_live && is_someone_elses_news(c, type, record)) sync_want(c, SYNC_GATHER_MS);
		tell(c, (struct core_event){.kind = CORE_EV_RECORD,
					    .type = type,
					    .name = name,
					    .conversation = text_of(fields, "conversationId"),
					    .session = text_of(fields, "sessionId"),
					    .device = text_of(json_get(record, "created"), "deviceId"),
					    .json = record,
					    .mine = str_eq(text_of(json_get(record, "modified"), "deviceId"),
							   str_c(c->device_id))});
		record_mean(c, type, name, fields, !has);
	}
	buf_release(&json);
	buf_release(&before);
	return true;
}

void record_apply_text(struct core *c, struct str json)
{
	struct json_doc *doc;
	if (json_parse(json, &doc, NULL) != OK) return;
	(void)record_apply(c, json_root(doc), false);
	json_free(doc);
}

/* ---- forgotten sessions ----------------------------------------------------------------------------------------- */

bool is_forgotten(const struct core *c, struct str session)
{
	struct forgotten *f = NULL;
	if (c->forgotten != NULL) HASH_FIND(hh, c->forgotten, session.p, session.n, f);
	return f != NULL;
}

void forgotten_add(struct core *c, struct str session)
{
	if (is_forgotten(c, session)) return;
	struct forgotten *f = xcalloc(1, sizeof *f + session.n + 1);
	memcpy(f->session, session.p, session.n);
	HASH_ADD(hh, c->forgotten, session, session.n, f);
}

/* ---- hello and pages -------------------------------------------------------------------------------------------- */

static void sync_started(struct core *c)
{
	c->is_syncing = true;
	c->is_dirty = true;
	c->sync_due_ms = NEVER;
	c->active_ms = c->now.boot_ms + ACTIVE_MS;
	c->nsynced = 0;
	c->syncs++;
	c->sync_from = c->sync_to = place_of(str_c(c->cursor));
}

void sync_hello(struct core *c)
{
	struct buf b;
	c->is_greeting = true;
	if (!c->is_syncing) sync_started(c);
	struct jw w = frame_begin(c, &b, "device:hello", ASK_HELLO, NULL);
	jw_kstr(&w, "deviceId", str_c(c->device_id));
	jw_kint(&w, "protocol", 1);
	if (c->name[0] != '\0') jw_kstr(&w, "name", str_c(c->name));
	if (c->platform[0] != '\0') jw_kstr(&w, "platform", str_c(c->platform));
	if (c->app_version[0] != '\0') jw_kstr(&w, "appVersion", str_c(c->app_version));
	if (c->cursor[0] != '\0') jw_kstr(&w, "cursor", str_c(c->cursor));
	seats_hello(c, &w);
	frame_send(c, &w);
}

void sync_welcome(struct core *c, const struct json *f)
{
	c->sync_from = place_of(str_c(c->cursor));
	c->sync_to = place_of(text_of(f, "cursor"));
}

static void sync_page(struct core *c, struct str cursor)
{
	struct buf b;
	struct jw w = frame_begin(c, &b, "session:sync", ASK_SYNC, NULL);
	if (cursor.n > 0) jw_kstr(&w, "cursor", cursor);
	jw_kint(&w, "limit", c->limits.page_records);
	frame_send(c, &w);
}

static void sync_end(struct core *c)
{
	bool was_all = c->is_resyncing && c->is_greeting;
	int64_t n = c->nsynced;
	c->is_greeting = c->is_syncing = false;
	if (was_all) {
		c->is_resyncing = false;
		c->drop_below = c->generation;
		row_meta(c, "resync", STR_NONE);
	}
	/* A sync that brought nothing is no reason to write to the disk. */
	if (c->rows != NULL || c->now.wall_ms - c->synced_ms > SYNCED_KEPT_MS)
		row_meta_int(c, "synced", c->now.wall_ms);
	c->synced_ms = c->now.wall_ms;
	if (c->ack_due_ms != NEVER) c->ack_due_ms = c->now.boot_ms;
	c->is_dirty = true;
	if (was_all) tell(c, (struct core_event){.kind = CORE_EV_RESYNCED});
	tell(c, (struct core_event){.kind = CORE_EV_SYNCED, .number = n});
}

void sync_changes(struct core *c, const struct ask *a, const struct json *f)
{
	struct str cursor = text_of(f, "cursor");
	bool more = bool_of(f, "more"), is_live = a == NULL && !c->is_greeting;
	for (struct json_iter it = json_iter(json_get(f, "records")); json_next(&it);)
		(void)record_apply(c, it.val, is_live);
	bool moved = cursor_take(c, cursor);
	c->is_dirty |= c->is_syncing;
	if (a != NULL && more && moved) sync_page(c, cursor);
	else if (a != NULL || (c->is_greeting && !more)) sync_end(c);
}

void sync_expired(struct core *c)
{
	c->generation++;
	row_meta_int(c, "generation", c->generation);
	row_meta_int(c, "resync", 1);
	c->is_resyncing = true;
	cursor_set(c, STR(""));
	c->ack_due_ms = NEVER;
}

void sync_refused(struct core *c, enum err e, const struct errinfo *info)
{
	c->is_syncing = false;
	c->is_dirty = true;
	if (e == ERR_CURSOR_EXPIRED && c->cursor[0] != '\0') {
		sync_expired(c);
		link_restart(c); /* the feed of this connection is behind the new beginning */
	} else {
		c->sync_due_ms = c->now.boot_ms + MAX(AGAIN_MS, info->retry_after_ms);
	}
}

/* ---- when ------------------------------------------------------------------------------------------------------- */

void sync_want(struct core *c, int64_t in_ms)
{
	if (c->is_welcome && !c->is_syncing) c->sync_due_ms = MIN(c->sync_due_ms, c->now.boot_ms + in_ms);
}

void sync_offline(struct core *c)
{
	c->is_greeting = c->is_syncing = false;
	c->sync_due_ms = c->ack_due_ms = c->active_ms = NEVER;
}

static bool ack_may_go(const struct core *c) { return c->cursor[0] != '\0' && c->cursor_batch <= c->durable; }

static void ack_send(struct core *c)
{
	struct buf b;
	c->ack_due_ms = NEVER;
	struct jw w = frame_plain(&b, "device:ack");
	jw_kstr(&w, "cursor", str_c(c->cursor));
	frame_send(c, &w);
}

void core_sync_tick(struct core *c)
{
	int64_t now = c->now.boot_ms;
	if (!c->is_welcome || c->link != LINK_UP) return;
	if (c->is_front && now >= c->active_ms) sync_want(c, 0);
	if (!c->is_syncing && now >= c->sync_due_ms) {
		sync_started(c);
		sync_page(c, str_c(c->cursor));
	}
	if (now >= c->ack_due_ms && ack_may_go(c)) ack_send(c);
}

int64_t sync_next_ms(const struct core *c)
{
	int64_t at = NEVER;
	if (!c->is_welcome || c->link != LINK_UP) return at;
	if (!c->is_syncing) at = MIN(c->sync_due_ms, c->is_front ? c->active_ms : NEVER);
	return ack_may_go(c) ? MIN(at, c->ack_due_ms) : at;
}

int sync_percent(const struct core *c)
{
	int64_t all = c->sync_to - c->sync_from, done = place_of(str_c(c->cursor)) - c->sync_from;
	if (!c->is_syncing) return 100;
	if (all <= 0) return -1;
	return (int)MIN(100, MAX(0, (double)done * 100.0 / (double)all));
}
