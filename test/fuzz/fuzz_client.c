/* A hostile daemon. Each line of the input is a step of a device: a line that begins with "{" is a frame (its "@" stands
 * for the id of the device's last frame), another is a wish or an event by its first letter. Whatever comes: no crash,
 * every frame sent is JSON, and what a person typed leaves the outbox only through an ack of its own or a discard. */
#include "client/core.h"
#include "record/record.h"

#include <sys/queue.h>

struct row {
	char key[CORE_KEY_MAX + 2], *value;
	LIST_ENTRY(row) link;
};

struct shell {
	struct core *c;
	struct core_now now;
	LIST_HEAD(, row) rows;
	int64_t last_id;
	bool is_up, wants_up, wants_down;
};

static struct row *row_find(struct shell *s, enum core_table table, struct str key)
{
	struct row *r;
	LIST_FOREACH (r, &s->rows, link)
		if (r->key[0] == (char)('0' + table) && str_eq(str_c(r->key + 1), key)) break;
	return r;
}

static void row_remove(struct row *r)
{
	LIST_REMOVE(r, link);
	free(r->value);
	free(r);
}

static bool on_persist(void *ctx, const struct core_batch *b)
{
	struct shell *s = ctx;
	for (size_t i = 0; i < b->nrows; i++) {
		const struct core_row *n = &b->rows[i];
		struct row *r = row_find(s, n->table, n->key);
		if (r != NULL) row_remove(r);
		if (n->value.p == NULL) continue;
		ASSERT_CMP(n->key.n, <=, CORE_KEY_MAX);
		r = xcalloc(1, sizeof *r);
		r->key[0] = (char)('0' + n->table);
		memcpy(r->key + 1, n->key.p, n->key.n);
		r->value = str_dup(n->value);
		LIST_INSERT_HEAD(&s->rows, r, link);
	}
	return b->number % 3 != 0; /* some become durable later */
}

static bool on_read(void *ctx, enum core_table table, struct str key, struct buf *out)
{
	struct row *r = row_find(ctx, table, key);
	if (r != NULL) buf_add_str(out, str_c(r->value));
	return r != NULL;
}

static void on_send(void *ctx, struct str frame)
{
	struct shell *s = ctx;
	struct json_doc *doc;
	ASSERT(s->is_up);
	ASSERT(json_parse(frame, &doc, NULL) == OK);
	(void)json_int(json_get(json_root(doc), "id"), &s->last_id);
	json_free(doc);
}

static void on_connect(void *ctx) { ((struct shell *)ctx)->wants_up = true; }
static void on_disconnect(void *ctx) { ((struct shell *)ctx)->wants_down = true; }

static void on_event(void *ctx, const struct core_event *e)
{
	(void)ctx;
	if (e->entry != NULL && e->entry->state == CORE_GONE)
		ASSERT(e->entry->why == OK || e->entry->why == ERR_CANCELLED || e->entry->automatic);
}

static void check(struct shell *s)
{
	struct core_entry e = {.number = 0};
	struct core_status is = core_status(s->c);
	int64_t n = 0;
	while (core_outbox_next(s->c, e.number, &e)) n++;
	ASSERT_CMP(n, ==, is.pending + is.held);
	(void)core_next_ms(s->c);
}

static void frame(struct shell *s, struct str line)
{
	struct buf b = BUF_INIT(1 << 20);
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == '@') buf_add_int(&b, s->last_id);
		else buf_add_char(&b, line.p[i]);
	core_frame(s->c, buf_str(&b), s->now);
	buf_release(&b);
}

static void view(struct shell *s, struct str name)
{
	struct buf b = BUF_INIT(64 << 20);
	struct json_doc *doc;
	static const struct str types[] = {STR_INIT("Message"), STR_INIT("Project"), STR_INIT("Session")};
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		buf_clear(&b);
		if (!core_view(s->c, types[i], name, &b).exists) continue;
		ASSERT(json_parse(buf_str(&b), &doc, NULL) == OK);
		json_free(doc);
	}
	buf_release(&b);
}

static void wish(struct shell *s, char what, struct str rest)
{
	struct core_message m = {
		.conversation = STR("c"), .text = rest, .automatic = what == 'a', .request = STR("{}")};
	struct core_entry e;
	switch (what) {
	case 'a':
	case 's': (void)core_send(s->c, &m, s->now, NULL, NULL); break;
	case 'p': (void)core_save(s->c, STR("Project"), STR("p"), rest, s->now, NULL, NULL); break;
	case 'm': (void)core_save(s->c, STR("Message"), STR("m"), rest, s->now, NULL, NULL); break;
	case 'x': (void)core_remove(s->c, STR("Project"), STR("p"), s->now, NULL); break;
	case 'k': (void)core_clear(s->c, CORE_OF_CONVERSATION, STR("c"), s->now, NULL); break;
	case 'f': (void)core_forget_session(s->c, rest, s->now, NULL); break;
	case 'j': (void)core_join(s->c, STR("c"), s->now, NULL); break;
	case 'l': core_leave(s->c, STR("c"), s->now); break;
	case 'o': (void)core_lock(s->c, STR("c"), 3000, 0, s->now); break;
	case 'u': (void)core_unlock(s->c, STR("c"), s->now); break;
	case 'q': (void)core_primary(s->c, STR("c"), CORE_TAKE, STR(""), s->now); break;
	case 'n': core_nudge(s->c, s->now); break;
	case 'v': view(s, rest); break;
	case 'r':
		if (core_outbox_next(s->c, 0, &e) && rest.n > 0)
			(void)core_resolve(s->c, e.number, (enum core_resolution)(rest.p[0] & 3), s->now, NULL);
		break;
	default: break;
	}
}

static void change(struct shell *s, char what, struct str rest)
{
	struct core_entry e;
	if (!core_outbox_next(s->c, 0, &e)) return;
	char *name = str_dup(e.name);
	if (what == 'e') (void)core_edit(s->c, str_c(name), rest, s->now, NULL);
	else (void)core_delete(s->c, str_c(name), s->now, NULL);
	free(name);
}

static void step(struct shell *s, struct str line)
{
	if (line.n == 0) return;
	struct str rest = str_n(line.p + 1, line.n - 1);
	s->now.boot_ms += 7;
	switch (line.p[0]) {
	case '{': frame(s, line); break;
	case 'c':
		if (s->wants_up) {
			s->wants_up = false;
			s->is_up = true;
			core_connected(s->c, s->now);
		}
		break;
	case 'd':
		s->wants_up = s->wants_down = s->is_up = false;
		core_disconnected(s->c, rest.n > 0 && rest.p[0] == '9' ? 1009 : 1006,
				  rest.n > 0 && rest.p[0] == 'x' ? ERR_CURSOR_EXPIRED : OK, NULL, s->now);
		break;
	case 't':
		s->now.boot_ms += rest.n > 0 ? (int64_t)(unsigned char)rest.p[0] * 100 : 100;
		core_tick(s->c, s->now);
		for (int i = 0; i < 3 && core_next_ms(s->c) <= s->now.boot_ms; i++) core_tick(s->c, s->now);
		ASSERT_CMP(core_next_ms(s->c), >, s->now.boot_ms); /* or the app's loop would turn for ever */
		break;
	case 'e':
	case 'y': change(s, line.p[0], rest); break;
	default: wish(s, line.p[0], rest); break;
	}
	if (s->wants_down) {
		s->wants_down = s->is_up = s->wants_up = false;
		core_disconnected(s->c, 1000, OK, NULL, s->now);
	}
	check(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct core_hooks hooks = {.send = on_send,
						.persist = on_persist,
						.read = on_read,
						.connect = on_connect,
						.disconnect = on_disconnect,
						.event = on_event};
	struct shell s = {.now = {.boot_ms = 1000, .wall_ms = 1767323045000}};
	struct core_options o = {.device_id = STR("me"), .foreground = true};
	const char *p = (const char *)data;
	LIST_INIT(&s.rows);
	rng_seed(&o.rng, 1);
	s.c = core_new(&o, &hooks, &s);
	core_start(s.c, s.now);
	for (size_t at = 0; at < n;) {
		const char *nl = memchr(p + at, '\n', n - at);
		size_t end = nl != NULL ? (size_t)(nl - p) : n;
		step(&s, str_n(p + at, end - at));
		at = end + 1;
	}
	core_free(s.c);
	while (!LIST_EMPTY(&s.rows)) row_remove(LIST_FIRST(&s.rows));
	return 0;
}
