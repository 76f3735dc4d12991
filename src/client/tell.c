/* Events are copied when the core tells them and delivered when it has been left, so that an app may call anything from
 * its callback. An event and all its strings are one arena. */
#include "base/clock.h"
#include "client/shell.h"

struct told {
	TAILQ_ENTRY(told) link;
	struct arena arena; /* of everything but this */
	roost_event event;
	roost_entry entry;
};

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static const int numbers[] = {
#define X(sym, code, http, exit, retry, text) [sym] = ROOST_##sym,
	ERR_MAP(X)
#undef X
};

int tell_error(enum err e) { return numbers[e]; }

enum err tell_code(int error)
{
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] == error) return (enum err)i;
	return ERR_INTERNAL;
}

int64_t tell_wall(int64_t boot_ms)
{
	if (boot_ms == 0 || boot_ms == INT64_MAX) return 0;
	return boot_ms - clock_boot_ms() + clock_wall_ms();
}

static const int kinds[] = {
	[CORE_EV_ONLINE] = ROOST_EV_ONLINE,     [CORE_EV_OFFLINE] = ROOST_EV_OFFLINE,
	[CORE_EV_STOPPED] = ROOST_EV_STOPPED,   [CORE_EV_STATUS] = ROOST_EV_STATUS,
	[CORE_EV_SYNCED] = ROOST_EV_SYNCED,     [CORE_EV_RESYNCED] = ROOST_EV_RESYNCED,
	[CORE_EV_RECORD] = ROOST_EV_RECORD,     [CORE_EV_ENTRY] = ROOST_EV_ENTRY,
	[CORE_EV_CONFLICT] = ROOST_EV_CONFLICT, [CORE_EV_DUPLICATE] = ROOST_EV_DUPLICATE,
	[CORE_EV_REQUEST] = ROOST_EV_REQUEST,   [CORE_EV_TEXT] = ROOST_EV_TEXT,
	[CORE_EV_THINKING] = ROOST_EV_THINKING, [CORE_EV_AGAIN] = ROOST_EV_AGAIN,
	[CORE_EV_WAITING] = ROOST_EV_WAITING,   [CORE_EV_END] = ROOST_EV_END,
	[CORE_EV_JOINED] = ROOST_EV_JOINED,     [CORE_EV_PRIMARY] = ROOST_EV_PRIMARY,
	[CORE_EV_LOCK] = ROOST_EV_LOCK,         [CORE_EV_CLEARED] = ROOST_EV_CLEARED,
	[CORE_EV_ANSWER] = ROOST_EV_ANSWER,     [CORE_EV_PUSH] = ROOST_EV_PUSH,
};

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static const char *text(struct arena *a, struct str s) { return s.n > 0 ? arena_str(a, s).p : ""; }

static const char *sentence(struct arena *a, const struct errinfo *info, enum err e)
{
	return e == OK ? "" : text(a, str_c(err_sentence(info, e)));
}

void tell_entry(struct arena *a, const struct core_entry *from, roost_entry *out)
{
	*out = (roost_entry){
		.number = from->number,
		.wish = (int)from->kind,
		.state = (int)from->state,
		.type = text(a, from->type),
		.name = text(a, from->name),
		.conversation = text(a, from->conversation),
		.session = text(a, from->session),
		.text = text(a, from->text),
		.automatic = from->automatic,
		.why = tell_error(from->why),
		.sentence = text(a, from->sentence),
		.other = text(a, from->other),
		.device = text(a, from->device),
		.request = text(a, from->request),
		.age_ms = from->age_ms,
		.created_at = from->created_ms,
	};
}

static struct told *queue(struct roost *c)
{
	struct told *t = xcalloc(1, sizeof *t);
	roost_event *e = &t->event;
	e->sentence = e->type = e->name = e->conversation = e->session = e->device = e->other = e->field = e->text =
		e->json = "";
	TAILQ_INSERT_TAIL(&c->told, t, link);
	return t;
}

static void copy_json(struct told *t, const struct json *v)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	json_write(&b, v);
	t->event.json = text(&t->arena, buf_str(&b));
	t->event.json_size = b.n;
	buf_release(&b);
}

void tell_core(struct roost *c, const struct core_event *from)
{
	if (c->event == NULL) return;
	struct told *t = queue(c);
	struct arena *a = &t->arena;
	roost_event *e = &t->event;
	bool is_boot_time = from->kind == CORE_EV_OFFLINE;
	e->kind = kinds[from->kind];
	e->error = tell_error(from->err);
	e->sentence = sentence(a, from->info, from->err);
	e->type = text(a, from->type);
	e->name = text(a, from->name);
	e->conversation = text(a, from->conversation);
	e->session = text(a, from->session);
	e->device = text(a, from->device);
	e->other = text(a, from->other);
	e->field = text(a, from->field);
	e->text = text(a, from->text);
	e->text_size = from->text.n;
	e->number = from->number;
	e->at = is_boot_time ? tell_wall(from->at_ms) : from->at_ms;
	e->mine = from->mine;
	if (from->json != NULL) copy_json(t, from->json);
	if (from->entry == NULL) return;
	tell_entry(a, from->entry, &t->entry);
	e->entry = &t->entry;
}

void tell_own(struct roost *c, int kind, enum err err, const char *why, struct str device)
{
	if (c->event == NULL) return;
	struct told *t = queue(c);
	t->event.kind = kind;
	t->event.error = tell_error(err);
	if (err != OK) t->event.sentence = text(&t->arena, str_c(why));
	t->event.device = text(&t->arena, device);
}

void tell_ask(struct roost *c, struct str conversation, struct str answer, struct str words, int64_t sent)
{
	if (c->event == NULL) return;
	struct told *t = queue(c);
	t->event.kind = ROOST_EV_ASK;
	t->event.conversation = text(&t->arena, conversation);
	t->event.name = text(&t->arena, answer);
	t->event.text = text(&t->arena, words);
	t->event.text_size = words.n;
	t->event.number = sent;
}

/* ---- delivery ---------------------------------------------------------------------------------------------------- */

static struct told *take(struct roost *c)
{
	struct told *t = TAILQ_FIRST(&c->told);
	if (t != NULL) TAILQ_REMOVE(&c->told, t, link);
	return t;
}

static void told_free(struct told *t)
{
	arena_clear(&t->arena);
	free(t);
}

/* What the callbacks cause is told in the next round: the loop has its turn in between. */
void tell_all(struct roost *c)
{
	struct told *last = TAILQ_LAST(&c->told, told_list), *t;
	if (last == NULL || c->is_telling) return;
	c->is_telling = true;
	do {
		t = take(c);
		c->event(c->ctx, &t->event);
		bool is_last = t == last;
		told_free(t);
		if (is_last) break;
	} while (true);
	c->is_telling = false;
}

void tell_forget(struct roost *c)
{
	struct told *t;
	while ((t = take(c)) != NULL) told_free(t);
}
