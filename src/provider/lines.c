#include "provider/lines.h"

void lines_init(struct lines *l, size_t max_line_bytes) { buf_init(&l->line, max_line_bytes); }
void lines_release(struct lines *l) { buf_release(&l->line); }

static enum err too_long(const struct lines *l, struct errinfo *info)
{
	return err_set(info, ERR_PROVIDER_LIMIT, "the provider sent a line longer than %zu bytes", l->line.max);
}

static bool deliver(struct str line, line_fn fn, void *ctx)
{
	if (line.n > 0 && line.p[line.n - 1] == '\r') line.n--;
	return line.n == 0 || fn(ctx, line);
}

enum err lines_feed(struct lines *l, struct str t, line_fn fn, void *ctx, struct errinfo *info)
{
	bool go = true;
	while (go && t.n > 0) {
		const char *nl = memchr(t.p, '\n', t.n);
		if (nl == NULL) return buf_add_str(&l->line, t) ? OK : too_long(l, info);
		struct str line = str_n(t.p, (size_t)(nl - t.p));
		t = str_n(nl + 1, t.n - line.n - 1);
		if (line.n > l->line.max - l->line.n) return too_long(l, info);
		if (l->line.n == 0) {
			go = deliver(line, fn, ctx);
			continue;
		}
		buf_add_str(&l->line, line);
		go = deliver(buf_str(&l->line), fn, ctx);
		buf_clear(&l->line);
	}
	return OK;
}

void lines_end(struct lines *l, line_fn fn, void *ctx)
{
	(void)deliver(buf_str(&l->line), fn, ctx);
	buf_clear(&l->line);
}
