/* The device's core against a small daemon, under a seed: connections break, answers are lost or come late, batches wait
 * and are lost with the process, wishes come at any time. Two devices share the daemon. What must hold in every step:
 * a cursor never goes back within a generation, and what this device was told is durable or refused is not lost. When the
 * trouble ends, everything wished is at the daemon exactly once, in the order of each conversation, or waits for the
 * person; and the devices hold what the daemon holds. */
#include "client/core.h"
#include "core_gear.h"
#include "record/merge.h"

#define DEVICES 2
#define CONVERSATIONS 3
#define RECORDS_MAX 2000
#define WISHES_MAX 2000

/* ---- the daemon ------------------------------------------------------------------------------------------------- */

struct stored {
	char type[16], name[ID_LEN + 1], conversation[8];
	char *text;   /* of a Message; the fields of others */
	char *origin; /* of a Message: what was first sent */
	char stamp[STAMP_CAP];
	int64_t place;
	int ord, device;
};

struct frame_out {
	char *text;
	TAILQ_ENTRY(frame_out) link;
};

static struct {
	struct stored rec[RECORDS_MAX];
	size_t nrec;
	int64_t place;
	int ords[CONVERSATIONS];
	uint64_t epoch;
	struct rng rng;
	int trouble; /* percent */
} daemon_is;

struct wish {
	char id[ID_LEN + 1];
	int device, conversation;
	uint64_t batch; /* durable with it */
	int order;
	bool is_lost;  /* the process died before it was durable */
	bool was_held; /* and so went to the end of the line */
};

static struct wish wishes[WISHES_MAX];
static size_t nwishes;
static int order; /* of wishes */

struct device {
	struct gear *g;
	bool connected;
	int64_t sent_place;    /* of the live feed */
	struct gear_rows safe; /* the disk as of `durable` */
	uint64_t durable;
	int64_t last_place;
	TAILQ_HEAD(, frame_out) inbox; /* of the device: frames under way to it */
};
static struct device devices[DEVICES];

static uint64_t below(uint64_t n) { return rng_below(&daemon_is.rng, n); }
static bool happens(int percent) { return below(100) < (uint64_t)percent; }

static struct stored *find(struct str type, struct str name)
{
	for (size_t i = 0; i < daemon_is.nrec; i++)
		if (str_eq(str_c(daemon_is.rec[i].name), name) && str_eq(str_c(daemon_is.rec[i].type), type))
			return &daemon_is.rec[i];
	return NULL;
}

static void write_stored(struct jw *w, const struct stored *r)
{
	char tag[TAG_CAP], device[16];
	snprintf(device, sizeof device, "d%d", r->device);
	jw_obj(w);
	jw_kstr(w, "type", str_c(r->type));
	jw_kstr(w, "name", str_c(r->name));
	jw_kstr(w, "changeTag", str_n(tag, tag_format(r->place, tag)));
	jw_key(w, "modified");
	jw_obj(w);
	jw_kstr(w, "deviceId", str_c(device));
	jw_obj_end(w);
	jw_kbool(w, "deleted", false);
	if (strcmp(r->type, "Message") != 0) {
		jw_kraw(w, "fields", str_c(r->text));
	} else {
		jw_key(w, "fields");
		jw_obj(w);
		jw_kstr(w, "conversationId", str_c(r->conversation));
		jw_kstr(w, "text", str_c(r->text));
		jw_kint(w, "ord", r->ord);
		if (r->stamp[0] != '\0') {
			jw_key(w, "stamps");
			jw_obj(w);
			jw_kstr(w, "text", str_c(r->stamp));
			jw_obj_end(w);
		}
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static void post(struct device *d, struct buf *b)
{
	struct frame_out *f = xcalloc(1, sizeof *f);
	f->text = str_dup(buf_str(b));
	TAILQ_INSERT_TAIL(&d->inbox, f, link);
	buf_release(b);
}

static void post_changes(struct device *d, int64_t after, int64_t limit, int64_t re, int spared)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	char cursor[CURSOR_CAP];
	int64_t n = 0, upto = daemon_is.place;
	jw_obj(&w);
	jw_kstr(&w, "type", STR("session:changes"));
	if (re != 0) jw_kint(&w, "re", re);
	jw_key(&w, "records");
	jw_arr(&w);
	for (int64_t place = after + 1; place <= daemon_is.place; place++)
		for (size_t i = 0; i < daemon_is.nrec; i++) {
			const struct stored *r = &daemon_is.rec[i];
			if (r->place != place || r->device == spared) continue;
			if (n++ == limit) upto = MIN(upto, place - 1);
			if (n <= limit) write_stored(&w, r);
		}
	jw_arr_end(&w);
	cursor_format(daemon_is.epoch, upto, cursor);
	jw_kstr(&w, "cursor", str_c(cursor));
	jw_kbool(&w, "more", upto < daemon_is.place);
	jw_obj_end(&w);
	post(d, &b);
	if (re == 0) d->sent_place = upto;
}

/* To everybody connected, sparing the author its own. */
static void push_all(int author)
{
	for (int i = 0; i < DEVICES; i++)
		if (devices[i].connected && devices[i].sent_place >= daemon_is.place - 1)
			post_changes(&devices[i], devices[i].sent_place, 1000, 0, i == author ? author : -1);
}

static struct jw answer_begin(struct buf *b, const char *type, int64_t re)
{
	buf_init(b, BUF_NO_LIMIT);
	struct jw w = JW(b);
	jw_obj(&w);
	jw_kstr(&w, "type", str_c(type));
	jw_kint(&w, "re", re);
	return w;
}

static struct str member(const struct json *f, const char *key)
{
	struct str s = STR("");
	(void)json_str(json_get(f, key), &s);
	return s;
}

static void refuse(struct device *d, int64_t re, const char *code, bool retryable)
{
	struct buf b;
	struct jw w = answer_begin(&b, "error", re);
	jw_kstr(&w, "code", str_c(code));
	jw_kbool(&w, "retryable", retryable);
	jw_obj_end(&w);
	post(d, &b);
}

static struct stored *store_new(const char *type, struct str name, int device)
{
	struct stored *r = &daemon_is.rec[daemon_is.nrec++];
	assert_true(daemon_is.nrec < RECORDS_MAX);
	memset(r, 0, sizeof *r);
	assert_true(str_copy(str_c(type), r->type, sizeof r->type) && str_copy(name, r->name, sizeof r->name));
	r->device = device;
	return r;
}

static void on_send(struct device *d, int author, int64_t re, const struct json *f)
{
	struct str id = member(f, "messageId"), conversation = member(f, "conversationId");
	struct stored *r = find(STR("Message"), id);
	bool is_new = r == NULL;
	struct buf b;
	char tag[TAG_CAP];
	if (is_new && json_get(f, "force") == NULL && happens(daemon_is.trouble / 4)) {
		refuse(d, re, "duplicate_message", false);
		return;
	}
	if (is_new && happens(daemon_is.trouble / 2)) {
		refuse(d, re, happens(50) ? "overloaded" : "session_locked", true);
		return;
	}
	if (is_new) {
		r = store_new("Message", id, author);
		assert_true(str_copy(conversation, r->conversation, sizeof r->conversation));
		r->text = str_dup(member(f, "text"));
		r->origin = xstrdup(r->text);
		r->place = ++daemon_is.place;
		r->ord = ++daemon_is.ords[conversation.p[1] - '0'];
	} else {
		assert_true(str_eq(str_c(r->origin), member(f, "text"))); /* the same id is the same message */
	}
	struct jw w = answer_begin(&b, "message:ack", re);
	jw_kstr(&w, "messageId", id);
	jw_kbool(&w, "duplicate", !is_new);
	jw_kstr(&w, "changeTag", str_n(tag, tag_format(r->place, tag)));
	jw_kstr(&w, "sessionId", STR("s"));
	jw_kint(&w, "ord", r->ord);
	jw_obj_end(&w);
	post(d, &b);
	if (is_new) push_all(author);
}

static void on_edit(struct device *d, int author, int64_t re, const struct json *f)
{
	struct stored *r = find(STR("Message"), member(f, "messageId"));
	struct str stamp = member(f, "stamp");
	struct buf b;
	assert_non_null(r); /* an edit never comes before its message */
	bool wins = stamp_cmp(stamp, str_c(r->stamp)) > 0;
	if (wins) {
		free(r->text);
		r->text = str_dup(member(f, "text"));
		assert_true(str_copy(stamp, r->stamp, sizeof r->stamp));
		r->place = ++daemon_is.place;
		r->device = author;
	}
	struct jw w = answer_begin(&b, "message:ack", re);
	jw_kstr(&w, "messageId", str_c(r->name));
	jw_key(&w, "record");
	write_stored(&w, r);
	jw_obj_end(&w);
	post(d, &b);
	if (wins) push_all(author);
}

/* The same merge that the daemon has. */
static void on_save(struct device *d, int author, int64_t re, const struct json *f)
{
	struct json_iter it = json_iter(json_get(f, "records"));
	assert_true(json_next(&it));
	struct str type = member(it.val, "type"), name = member(it.val, "name");
	struct stored *r = find(type, name);
	struct arena arena = {0};
	struct merge_result result;
	struct merge_edit edit = {.fields = json_get(it.val, "fields"),
				  .stamp = member(it.val, "stamp"),
				  .base = json_get(it.val, "base")};
	struct buf b;
	if (r == NULL) {
		r = store_new("Project", name, author);
		r->text = xstrdup("{}");
	}
	assert_int_equal(merge_apply(RT_PROJECT, str_c(r->text), &edit, 1 << 20, &arena, &result, NULL), OK);
	if (result.changed) {
		free(r->text);
		r->text = str_dup(result.fields);
		r->place = ++daemon_is.place;
		r->device = author;
	}
	struct jw w = answer_begin(&b, "record:saved", re);
	jw_key(&w, "results");
	jw_arr(&w);
	jw_obj(&w);
	jw_key(&w, "record");
	write_stored(&w, r);
	jw_obj_end(&w);
	jw_arr_end(&w);
	jw_obj_end(&w);
	post(d, &b);
	if (result.changed) push_all(author);
	arena_clear(&arena);
}

static void on_hello(struct device *d, int64_t re, const struct json *f)
{
	struct buf b;
	char cursor[CURSOR_CAP];
	uint64_t epoch = daemon_is.epoch;
	int64_t at = 0;
	struct str given = member(f, "cursor");
	if (given.n > 0 && (!cursor_parse(given, &epoch, &at) || epoch != daemon_is.epoch)) {
		refuse(d, re, "cursor_expired", false);
		return;
	}
	struct jw w = answer_begin(&b, "device:welcome", re);
	cursor_format(daemon_is.epoch, daemon_is.place, cursor);
	jw_kstr(&w, "userId", STR("u"));
	jw_kstr(&w, "cursor", str_c(cursor));
	jw_obj_end(&w);
	post(d, &b);
	do {
		post_changes(d, at, 3, 0, -1);
		at = d->sent_place;
	} while (at < daemon_is.place);
	d->connected = true;
}

/* Only what is on the disk is acknowledged. */
static void check_durable(const struct device *d, uint64_t epoch, int64_t place)
{
	const struct gear_row *r;
	uint64_t kept_epoch;
	int64_t kept = -1;
	TAILQ_FOREACH (r, d->g->defers ? &d->safe : &d->g->rows, link)
		if (r->table == CORE_META && strcmp(r->key, "cursor") == 0)
			assert_true(cursor_parse(str_c(r->value), &kept_epoch, &kept) && kept_epoch == epoch);
	assert_true(kept >= place);
}

static void serve(int i, struct str text)
{
	struct device *d = &devices[i];
	struct json_doc *doc;
	int64_t id = 0, at = 0;
	uint64_t epoch;
	assert_int_equal(json_parse(text, &doc, NULL), OK);
	const struct json *f = json_root(doc);
	struct str type = member(f, "type");
	(void)json_int(json_get(f, "id"), &id);
	if (str_eq(type, STR("device:hello"))) {
		on_hello(d, id, f);
	} else if (str_eq(type, STR("message:send"))) {
		on_send(d, i, id, f);
	} else if (str_eq(type, STR("message:edit"))) {
		on_edit(d, i, id, f);
	} else if (str_eq(type, STR("record:save"))) {
		on_save(d, i, id, f);
	} else if (str_eq(type, STR("session:sync"))) {
		if (!cursor_parse(member(f, "cursor"), &epoch, &at) || epoch != daemon_is.epoch)
			refuse(d, id, "cursor_expired", false);
		else post_changes(d, at, 3, id, -1);
	} else if (str_eq(type, STR("device:ack"))) {
		assert_true(cursor_parse(member(f, "cursor"), &epoch, &at));
		check_durable(d, epoch, at);
	} else if (str_eq(type, STR("ping"))) {
		struct buf b = BUF_INIT(100);
		buf_add_str(&b, STR("{\"type\":\"pong\"}"));
		post(d, &b);
	}
	json_free(doc);
}

/* ---- devices ---------------------------------------------------------------------------------------------------- */

static void copy_rows(struct gear_rows *to, const struct gear_rows *from)
{
	struct gear_row *r;
	gear_rows_clear(to);
	TAILQ_FOREACH (r, from, link) {
		struct gear_row *n = xcalloc(1, sizeof *n);
		*n = *r;
		n->key = xstrdup(r->key);
		n->value = xstrdup(r->value);
		n->type = xstrdup(r->type);
		n->session = xstrdup(r->session);
		TAILQ_INSERT_TAIL(to, n, link);
	}
}

static void inbox_clear(struct device *d)
{
	struct frame_out *f;
	while ((f = TAILQ_FIRST(&d->inbox)) != NULL) {
		TAILQ_REMOVE(&d->inbox, f, link);
		free(f->text);
		free(f);
	}
}

static void become_durable(struct device *d)
{
	copy_rows(&d->safe, &d->g->rows);
	d->durable = d->g->handed;
	gear_durable(d->g);
}

static void cut(struct device *d)
{
	inbox_clear(d);
	buf_clear(&d->g->frames);
	d->connected = false;
	core_disconnected(d->g->c, 1006, ERR_UNAVAILABLE, NULL, d->g->now);
}

static void crash(int i)
{
	struct device *d = &devices[i];
	for (size_t k = 0; k < nwishes; k++)
		if (wishes[k].device == i && wishes[k].batch > d->durable) wishes[k].is_lost = true;
		else if (wishes[k].device == i) wishes[k].batch = 0;
	inbox_clear(d);
	buf_clear(&d->g->frames);
	d->connected = false;
	copy_rows(&d->g->rows, &d->safe);
	gear_reboot(d->g);
	d->durable = 0;
	d->last_place = 0;
	d->g->connects = 0;
	core_start(d->g->c, d->g->now);
}

static void on_event(struct gear *g, const struct core_event *e)
{
	(void)g;
	if (e->entry == NULL || e->entry->state != CORE_HELD) return;
	assert_int_equal(e->entry->kind, CORE_SEND);
	for (size_t k = 0; k < nwishes; k++)
		if (str_eq(str_c(wishes[k].id), e->entry->name)) wishes[k].was_held = true;
}

/* The person says "send anyway". */
static void resolve(struct device *d)
{
	struct core_entry e = {.number = 0};
	while (core_outbox_next(d->g->c, e.number, &e)) {
		if (e.state != CORE_HELD) continue;
		assert_int_equal(core_resolve(d->g->c, e.number, CORE_SEND_ANYWAY, d->g->now, NULL), OK);
		return;
	}
}

static void edit(struct device *d)
{
	char text[40];
	const struct wish *w = &wishes[below(nwishes)];
	snprintf(text, sizeof text, "edit %d", ++order);
	enum err e = core_edit(d->g->c, str_c(w->id), str_c(text), d->g->now, NULL);
	assert_true(e == OK || e == ERR_NOT_FOUND); /* not here yet, or lost */
}

static void wish(int i)
{
	struct device *d = &devices[i];
	char text[40], conversation[4];
	int which = (int)below(CONVERSATIONS);
	if (happens(20) && nwishes > 0) {
		edit(d);
		return;
	}
	snprintf(conversation, sizeof conversation, "c%d", which);
	if (happens(25)) {
		static const char *const fields[] = {"title", "path", "note"};
		snprintf(text, sizeof text, "{\"%s\":\"%d\"}", fields[below(3)], ++order);
		assert_int_equal(core_save(d->g->c, STR("Project"), STR("p"), str_c(text), d->g->now, NULL, NULL), OK);
		return;
	}
	struct wish *w = &wishes[nwishes++];
	assert_true(nwishes < WISHES_MAX);
	struct id id;
	snprintf(text, sizeof text, "text %d", order);
	struct core_message m = {.conversation = str_c(conversation), .text = str_c(text)};
	assert_int_equal(core_send(d->g->c, &m, d->g->now, &id, NULL), OK);
	*w = (struct wish){.device = i, .conversation = which, .order = ++order, .batch = d->g->handed};
	assert_true(str_copy(id_str(&id), w->id, sizeof w->id));
}

/* What the device sent reaches the daemon, in order. */
static void deliver_up(int i)
{
	struct device *d = &devices[i];
	struct buf frames = d->g->frames;
	buf_init(&d->g->frames, BUF_NO_LIMIT);
	for (size_t at = 0; at < frames.n;) {
		const char *nl = memchr(frames.p + at, '\n', frames.n - at);
		serve(i, str_n(frames.p + at, (size_t)(nl - frames.p) - at));
		at = (size_t)(nl - frames.p) + 1;
	}
	buf_release(&frames);
}

/* One frame of the daemon reaches the device; some twice. */
static void deliver_down(struct device *d)
{
	struct frame_out *f = TAILQ_FIRST(&d->inbox);
	if (f == NULL) return;
	TAILQ_REMOVE(&d->inbox, f, link);
	core_frame(d->g->c, str_c(f->text), d->g->now);
	if (happens(daemon_is.trouble / 3)) core_frame(d->g->c, str_c(f->text), d->g->now);
	free(f->text);
	free(f);
}

static void link_follow(struct device *d)
{
	if (d->g->connects == 0) return;
	d->g->connects = 0;
	if (happens(daemon_is.trouble)) cut(d);
	else core_connected(d->g->c, d->g->now);
}

static void check_cursor(struct device *d)
{
	uint64_t epoch;
	int64_t place = 0;
	struct core_status s = core_status(d->g->c);
	if (s.cursor.n == 0 || !cursor_parse(s.cursor, &epoch, &place)) {
		d->last_place = 0;
		return;
	}
	if (epoch == daemon_is.epoch) {
		assert_true(place >= d->last_place || s.syncing);
		assert_true(place <= daemon_is.place);
		d->last_place = place;
	}
}

static void step(int i)
{
	struct device *d = &devices[i];
	int64_t ms = (int64_t)below(60);
	d->g->now.boot_ms += ms;
	d->g->now.wall_ms += ms;
	gear_tick(d->g);
	link_follow(d);
	if (happens(60)) deliver_up(i);
	for (uint64_t n = below(4); n > 0; n--) deliver_down(d);
	if (happens(50)) become_durable(d);
	if (happens(daemon_is.trouble / 8) && core_status(d->g->c).online) cut(d);
	check_cursor(d);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void calm_down(void)
{
	daemon_is.trouble = 0;
	for (int i = 0; i < DEVICES; i++) devices[i].g->defers = false;
	int rested = 0; /* what is quiet now may be about to hear of another's last word */
	for (int n = 0; n < 4000; n++) {
		bool quiet = true;
		for (int i = 0; i < DEVICES; i++) {
			step(i);
			deliver_up(i);
			become_durable(&devices[i]);
			struct core_status s = core_status(devices[i].g->c);
			resolve(&devices[i]);
			quiet &= s.online && s.pending == 0 && s.held == 0 && !s.syncing &&
				 TAILQ_EMPTY(&devices[i].inbox) && devices[i].last_place == daemon_is.place;
		}
		rested = quiet ? rested + 1 : 0;
		if (rested == 3) return;
	}
	fail_msg("the devices have not come to rest");
}

static void check_end(void)
{
	int last[DEVICES][CONVERSATIONS] = {{0}};
	for (size_t k = 0; k < nwishes; k++) {
		const struct wish *w = &wishes[k];
		struct stored *r = find(STR("Message"), str_c(w->id));
		if (w->is_lost && r == NULL) continue;
		assert_non_null(r);
		if (w->was_held) continue;
		assert_true(r->ord > last[w->device][w->conversation]); /* in the order they were typed */
		last[w->device][w->conversation] = r->ord;
	}
	for (int i = 0; i < DEVICES; i++) {
		assert_int_equal(core_status(devices[i].g->c).held, 0);
		for (size_t k = 0; k < daemon_is.nrec; k++) {
			const struct stored *r = &daemon_is.rec[k];
			struct buf b = BUF_INIT(BUF_NO_LIMIT);
			struct json_doc *doc, *own;
			struct core_view v = core_view(devices[i].g->c, str_c(r->type), str_c(r->name), &b);
			assert_true(v.exists && !v.deleted);
			assert_int_equal(json_parse(buf_str(&b), &doc, NULL), OK);
			const struct json *fields = json_get(json_root(doc), "fields");
			if (strcmp(r->type, "Message") == 0) {
				assert_true(str_eq(member(fields, "text"), str_c(r->text)));
			} else {
				assert_int_equal(json_parse(str_c(r->text), &own, NULL), OK);
				assert_true(json_equal(fields, json_root(own)));
				json_free(own);
			}
			json_free(doc);
			buf_release(&b);
		}
	}
}

/* What a run was, in a number. */
static uint64_t run(uint64_t seed)
{
	uint64_t sum = seed;
	memset(&daemon_is, 0, sizeof daemon_is);
	daemon_is.epoch = 7;
	daemon_is.trouble = (int)(seed % 4) * 12;
	rng_seed(&daemon_is.rng, seed);
	nwishes = 0;
	order = 0;
	for (int i = 0; i < DEVICES; i++) {
		char name[16];
		struct device *d = &devices[i];
		memset(d, 0, sizeof *d);
		TAILQ_INIT(&d->inbox);
		TAILQ_INIT(&d->safe);
		snprintf(name, sizeof name, "d%d", i);
		d->g = gear_new(name, seed * 100 + (uint64_t)i * 50);
		d->g->quiet = d->g->defers = true;
		d->g->on_event = on_event;
		core_start(d->g->c, d->g->now);
	}
	for (int n = 0; n < 250; n++) {
		int i = (int)below(DEVICES);
		if (happens(30)) wish(i);
		if (happens(10)) resolve(&devices[i]);
		step(i);
		if (happens(daemon_is.trouble / 12)) crash(i);
		if (daemon_is.trouble > 0 && n == 125 && seed % 3 == 0) { /* the daemon's store was restored */
			daemon_is.epoch++;
			for (int k = 0; k < DEVICES; k++)
				if (devices[k].connected) cut(&devices[k]);
		}
	}
	calm_down();
	check_end();
	for (size_t k = 0; k < daemon_is.nrec; k++) {
		for (const char *p = daemon_is.rec[k].name; *p != '\0'; p++)
			sum = (sum ^ (unsigned char)*p) * 1099511628211u;
		sum += (uint64_t)daemon_is.rec[k].place;
		free(daemon_is.rec[k].text);
		free(daemon_is.rec[k].origin);
	}
	for (int i = 0; i < DEVICES; i++) {
		inbox_clear(&devices[i]);
		gear_rows_clear(&devices[i].safe);
		gear_free(devices[i].g);
	}
	return sum;
}

static void nothing_wished_is_lost_doubled_or_out_of_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++) {
		(void)run(seed);
	}
}

static void the_same_seed_is_the_same_run(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) assert_int_equal(run(seed), run(seed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_wished_is_lost_doubled_or_out_of_order),
		cmocka_unit_test(the_same_seed_is_the_same_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
