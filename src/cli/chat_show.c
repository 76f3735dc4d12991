#include "cli/chat.h"

void chat_show(struct chat *c, enum term_style style, struct str text, int flags)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (style != TERM_PLAIN) buf_add_str(&b, str_c(term_style(stdout, style)));
	term_clean(&b, text, flags);
	if (style != TERM_PLAIN) buf_add_str(&b, str_c(term_style(stdout, TERM_PLAIN)));
	if (c->screen != NULL) screen_write(c->screen, buf_str(&b));
	else fwrite(buf_str(&b).p, 1, b.n, stdout), fflush(stdout);
	buf_release(&b);
}

void chat_note(struct chat *c, enum term_style style, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (c->screen == NULL) {
		fflush(stdout);
		fprintf(stderr, "%s%s", c->in_answer && c->streams ? "\n" : "", "roost chat: ");
		term_put(stderr, str_c(text), TERM_ONE_LINE);
		fputc('\n', stderr);
	} else {
		screen_fresh_line(c->screen);
		chat_show(c, style, str_c(text), TERM_ONE_LINE);
		screen_fresh_line(c->screen);
	}
	c->in_answer = false;
}

void chat_show_said(struct chat *c, struct str who, bool mine, struct str text)
{
	if (c->screen == NULL) return;
	screen_fresh_line(c->screen);
	if (mine || who.n > 0) {
		chat_show(c, TERM_CYAN, mine ? STR(">") : who, TERM_ONE_LINE);
		chat_show(c, TERM_CYAN, mine ? STR(" ") : STR("> "), 0);
	}
	chat_show(c, TERM_PLAIN, text, 0);
	screen_fresh_line(c->screen);
	c->in_answer = false;
}

void chat_show_row(struct chat *c, int number, const char *before, struct str text)
{
	struct buf line = BUF_INIT(BUF_NO_LIMIT);
	if (c->screen != NULL) screen_fresh_line(c->screen);
	buf_addf(&line, "%3d  %s  ", number, before);
	chat_show(c, TERM_DIM, buf_str(&line), TERM_ONE_LINE);
	chat_show(c, TERM_PLAIN, text, TERM_ONE_LINE);
	chat_show(c, TERM_PLAIN, STR("\n"), 0);
	buf_release(&line);
}

static int read_name(void *ctx, const roost_record *r)
{
	struct json_doc *doc = NULL;
	if (json_parse(str_n(r->json, r->json_size), &doc, NULL) != OK) return 0;
	struct str name = cli_text(json_get(json_root(doc), "fields"), "name");
	if (name.n > 0) *(char **)ctx = str_dup(name);
	json_free(doc);
	return 0;
}

char *chat_device_name(const struct chat *c, const char *id)
{
	char *name = NULL;
	(void)roost_read(c->device, "Device", id, read_name, &name);
	return name != NULL ? name : xstrdup("another device");
}
