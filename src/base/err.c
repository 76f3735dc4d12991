#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/utf8.h"

static const struct row {
	const char *code, *text;
	int http, exit;
	bool retry;
} rows[ERR_COUNT] = {
#define X(sym, code, http, exit, retry, text) {code, text, http, exit, retry},
	ERR_MAP(X)
#undef X
};

static const struct row *row_of(enum err e) { return (unsigned)e < ERR_COUNT ? &rows[e] : &rows[ERR_INTERNAL]; }

const char *err_code(enum err e) { return row_of(e)->code; }
int err_http(enum err e) { return row_of(e)->http; }
int err_exit(enum err e) { return row_of(e)->exit; }
bool err_retryable(enum err e) { return row_of(e)->retry; }
const char *err_text(enum err e) { return row_of(e)->text; }

bool os_has_no_room(int os) { return os == ENOSPC || os == EDQUOT || os == EFBIG; }

enum err err_from_code(const char *code, uint32_t len)
{
	for (unsigned i = 0; i < ERR_COUNT; i++)
		if (strlen(rows[i].code) == len && memcmp(rows[i].code, code, len) == 0) return (enum err)i;
	return ERR_INTERNAL;
}

/* What a peer sent may be quoted in a sentence, and may have been cut: nothing but whole, printable characters stays. */
static void make_printable(char *s)
{
	for (size_t n = strlen(s), len; n > 0; s += len, n -= len) {
		unsigned char c = (unsigned char)*s;
		for (len = 1; len <= 4 && len <= n && !utf8_is_valid(str_n(s, len)); len++) {
		}
		if (len > 4 || len > n) len = 1;
		bool c1 = len == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0;
		if (c1) s[1] = '?';
		if (c1 || (len == 1 && (c < 0x20 || c > 0x7e))) *s = '?';
	}
}

enum err err_set(struct errinfo *info, enum err e, const char *fmt, ...)
{
	if (info == NULL) return e;
	va_list ap;
	va_start(ap, fmt);
	info->err = e;
	info->retry_after_ms = 0;
	vsnprintf(info->text, sizeof info->text, fmt, ap);
	va_end(ap);
	make_printable(info->text);
	return e;
}

const char *err_sentence(const struct errinfo *info, enum err e)
{
	return info != NULL && info->err == e && info->text[0] != '\0' ? info->text : err_text(e);
}
