/* The drivers of a device: one for each joined conversation whose automatic runs the app lets it drive. They hear what
 * the core tells, and have their turn whenever it is left. */
#include "client/driver.h"
#include "client/shell.h"

#define SHOWN 20 /* newest messages that a new driver is shown: more than its engine looks back */

struct drive {
	LIST_ENTRY(drive) link;
	struct roost *c;
	char *conversation;
	struct driver *driver;
};

static void ask(void *ctx, const struct auto_intent *i)
{
	struct drive *d = ctx;
	tell_ask(d->c, str_c(d->conversation), i->parent, i->answer, i->sent);
}

/* ---- what was here before --------------------------------------------------------------------------------------- */

static bool keep_name(void *ctx, struct str name)
{
	struct buf *names = ctx;
	return buf_add_str(names, name) && buf_add_char(names, '\n');
}

static void show(struct drive *d, struct str type, struct str name)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	struct core_view v = core_view(d->c->core, type, name, &b);
	if (v.exists && !v.deleted && json_parse(buf_str(&b), &doc, NULL) == OK)
		driver_record(d->driver, json_root(doc));
	json_free(doc);
	buf_release(&b);
}

/* The last `most` lines. */
static struct str tail(struct str lines, int most)
{
	size_t at = lines.n;
	while (at > 0 && (lines.p[at - 1] != '\n' || at == lines.n || --most > 0)) at--;
	return str_n(lines.p + at, lines.n - at);
}

static enum err show_newest(struct drive *d, struct str type, struct errinfo *info)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	enum err e = disk_names(d->c->disk, type, str_c(d->conversation), keep_name, &b, info);
	struct str names = tail(buf_str(&b), SHOWN);
	while (e == OK && names.n > 0) {
		size_t n = (size_t)((const char *)memchr(names.p, '\n', names.n) - names.p);
		show(d, type, str_n(names.p, n));
		names = str_n(names.p + n + 1, names.n - n - 1);
	}
	buf_release(&b);
	return e;
}

static enum err begin(struct drive *d, struct errinfo *info)
{
	static const struct driver_hooks hooks = {.ask = ask};
	d->driver = driver_new(d->c->core, str_c(d->conversation), d->c->event != NULL ? &hooks : NULL, d);
	enum err e = show_newest(d, STR("Session"), info);
	return e == OK ? show_newest(d, STR("Message"), info) : e;
}

/* ---- which conversations ----------------------------------------------------------------------------------------- */

static struct drive *find(struct roost *c, struct str conversation)
{
	struct drive *d;
	LIST_FOREACH (d, &c->drives, link)
		if (str_eq(str_c(d->conversation), conversation)) return d;
	return NULL;
}

static void drive_free(struct drive *d)
{
	LIST_REMOVE(d, link);
	driver_free(d->driver);
	free(d->conversation);
	free(d);
}

enum err drives_on(struct roost *c, struct str conversation, struct errinfo *info)
{
	struct core_seat seat;
	if (!core_seat(c->core, conversation, &seat) || !str_eq(seat.conversation, conversation))
		return err_set(info, ERR_NOT_JOINED, "join the conversation before its runs are driven");
	if (find(c, conversation) != NULL) return OK;
	struct drive *d = xcalloc(1, sizeof *d);
	d->c = c;
	d->conversation = str_dup(conversation);
	LIST_INSERT_HEAD(&c->drives, d, link);
	enum err e = begin(d, info);
	if (e != OK) drive_free(d);
	return e;
}

void drives_off(struct roost *c, struct str conversation)
{
	struct drive *d = find(c, conversation);
	if (d != NULL) drive_free(d);
}

void drives_forget(struct roost *c)
{
	while (!LIST_EMPTY(&c->drives)) drive_free(LIST_FIRST(&c->drives));
}

void drives_again(struct roost *c)
{
	struct drive *d;
	LIST_FOREACH (d, &c->drives, link) {
		struct errinfo info;
		driver_free(d->driver);
		(void)!begin(d, &info); /* what could not be read is told when it changes */
	}
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

void drives_event(struct roost *c, const struct core_event *e)
{
	struct drive *d;
	LIST_FOREACH (d, &c->drives, link) driver_event(d->driver, e);
}

void drives_step(struct roost *c)
{
	struct drive *d;
	LIST_FOREACH (d, &c->drives, link) driver_step(d->driver, shell_now());
}

int64_t drives_next_ms(const struct roost *c)
{
	int64_t next = INT64_MAX;
	struct drive *d;
	LIST_FOREACH (d, &c->drives, link) next = MIN(next, driver_next_ms(d->driver));
	return next;
}

void drives_text(struct roost *c, struct str conversation, struct str answer, struct str text)
{
	struct drive *d = find(c, conversation);
	if (d != NULL) driver_text(d->driver, answer, text);
}
