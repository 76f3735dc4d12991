#include "provider/sse.h"

void sse_init(struct sse *s, size_t max_event_bytes)
{
	*s = (struct sse){.line = BUF_INIT(max_event_bytes),
			  .name = BUF_INIT(max_event_bytes),
			  .data = BUF_INIT(max_event_bytes)};
}

void sse_release(struct sse *s)
{
	buf_release(&s->line);
	buf_release(&s->name);
	buf_release(&s->data);
}

static enum err too_long(const struct sse *s, struct errinfo *info)
{
	return err_set(info, ERR_PROVIDER_LIMIT, "the provider sent an event longer than %zu bytes", s->line.max);
}

/* An empty line: the event is complete. *go is what its reader said. */
static void dispatch(struct sse *s, sse_fn fn, void *ctx, bool *go)
{
	struct str data = s->lone.n > 0 ? s->lone : buf_str(&s->data);
	if (s->has_data) *go = fn(ctx, (struct sse_event){buf_str(&s->name), data});
	s->lone = STR("");
	buf_clear(&s->name);
	buf_clear(&s->data);
	s->has_data = s->bare = false;
}

/* The only data line so far is kept as a view, since mostly no other follows. Its copy is made when one does, and when
 * the piece ends that it lies in; it can't be too long for the buffer, being shorter than the longest line. */
static void keep_lone(struct sse *s)
{
	if (s->lone.n > 0) buf_add_str(&s->data, s->lone);
	s->lone = STR("");
}

static bool take_data(struct sse *s, struct str value, bool lasting)
{
	keep_lone(s);
	bool more = s->has_data;
	s->has_data = true;
	if (more) buf_add_char(&s->data, '\n');
	else if (lasting) s->lone = value;
	return s->lone.n > 0 || buf_add_str(&s->data, value);
}

/* The value of a field of that name: behind the colon and one space, "" without a colon. */
static bool is_field(struct str line, struct str name, struct str *value)
{
	if (*line.p != *name.p || !str_starts(line, name)) return false;
	*value = str_n(line.p + name.n, line.n - name.n);
	if (value->n == 0) return true;
	if (*value->p != ':') return false;
	size_t skip = value->n > 1 && value->p[1] == ' ' ? 2 : 1;
	*value = str_n(value->p + skip, value->n - skip);
	return true;
}

/* `lasting`: the line's bytes are there until the piece ends. */
static bool take_line(struct sse *s, struct str line, bool lasting, sse_fn fn, void *ctx, bool *go)
{
	struct str value;
	if (!s->after_first && str_starts(line, STR("\xef\xbb\xbf"))) line = str_n(line.p + 3, line.n - 3);
	s->after_first = true;
	if (line.n == 0) {
		dispatch(s, fn, ctx, go);
		return true;
	}
	if (*line.p == '{' && !s->has_data) s->bare = true;
	if (s->bare) return take_data(s, line, lasting);
	if (is_field(line, STR("data"), &value)) return take_data(s, value, lasting);
	if (!is_field(line, STR("event"), &value)) return true;
	buf_clear(&s->name);
	return buf_add_str(&s->name, value);
}

/* A piece's next LF and next CR; its end when there is none. Each is looked for once and not for every line. */
struct ends {
	const char *lf, *cr;
};

static const char *find(struct str t, char c)
{
	const char *p = memchr(t.p, c, t.n);
	return p != NULL ? p : t.p + t.n;
}

/* Where the line at the front of `t` ends; t.n when it does not. */
static size_t line_end(struct str t, struct ends *next)
{
	if (next->lf < t.p) next->lf = find(t, '\n');
	if (next->cr < t.p) next->cr = find(t, '\r');
	return (size_t)(MIN(next->lf, next->cr) - t.p);
}

static enum err feed_lines(struct sse *s, struct str t, sse_fn fn, void *ctx, struct errinfo *info)
{
	if (t.n == 0) return OK;
	struct ends next = {find(t, '\n'), find(t, '\r')};
	bool go = true;
	while (go && t.n > 0) {
		if (s->after_cr && t.p[0] == '\n') t = str_n(t.p + 1, t.n - 1);
		s->after_cr = false;
		size_t n = line_end(t, &next);
		if (n == t.n) return buf_add_str(&s->line, t) ? OK : too_long(s, info);
		s->after_cr = t.p[n] == '\r';
		struct str line = str_n(t.p, n);
		t = str_n(t.p + n + 1, t.n - n - 1);
		bool joined = s->line.n > 0; /* the line began in an earlier piece */
		if (joined) {
			if (!buf_add_str(&s->line, line)) return too_long(s, info);
			line = buf_str(&s->line);
		}
		if (line.n > s->line.max || !take_line(s, line, !joined, fn, ctx, &go)) return too_long(s, info);
		if (joined) buf_clear(&s->line);
	}
	return OK;
}

enum err sse_feed(struct sse *s, struct str t, sse_fn fn, void *ctx, struct errinfo *info)
{
	enum err e = feed_lines(s, t, fn, ctx, info);
	keep_lone(s);
	return e;
}

enum err sse_end(struct sse *s, sse_fn fn, void *ctx, struct errinfo *info)
{
	bool go = true;
	if (s->line.n > 0 && !take_line(s, buf_str(&s->line), false, fn, ctx, &go)) return too_long(s, info);
	buf_clear(&s->line);
	dispatch(s, fn, ctx, &go);
	return OK;
}
