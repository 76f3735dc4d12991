#include "base/err.h"

#include <stdio.h>
#include <string.h>

#include "base/base.h"

static const struct row {
	const char *code, *text;
	int http, exit;
	bool retry;
} rows[ERR_COUNT] = {
#define X(sym, code, http, exit, retry, text) {code, text, http, exit, retry},
    ERR_MAP(X)
#undef X
};

static const struct row *row_of(enum err e)
{
	return (unsigned)e < ERR_COUNT ? &rows[e] : &rows[ERR_INTERNAL];
}

const char *err_code(enum err e) { return row_of(e)->code; }
int err_http(enum err e) { return row_of(e)->http; }
int err_exit(enum err e) { return row_of(e)->exit; }
bool err_retryable(enum err e) { return row_of(e)->retry; }
const char *err_text(enum err e) { return row_of(e)->text; }

enum err err_from_code(const char *code, uint32_t len)
{
	for (unsigned i = 0; i < ERR_COUNT; i++)
		if (strlen(rows[i].code) == len && memcmp(rows[i].code, code, len) == 0) return (enum err)i;
	return ERR_INTERNAL;
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
	return e;
}

const char *err_sentence(const struct errinfo *info, enum err e)
{
	return info != NULL && info->err == e && info->text[0] != '\0' ? info->text : err_text(e);
}
