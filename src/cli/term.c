#include "cli/term.h"

#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "base/utf8.h"

void term_init(void)
{
	setlocale(LC_CTYPE, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

bool term_is_tty(FILE *f) { return isatty(fileno(f)) == 1; }

bool term_has_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	if (no != NULL && no[0] != '\0') return false;
	return term_is_tty(f) && term != NULL && strcmp(term, "dumb") != 0;
}

const char *term_style(FILE *f, enum term_style style)
{
	static const char *const escapes[] = {
		[TERM_PLAIN] = "\033[0m", [TERM_BOLD] = "\033[1m",   [TERM_DIM] = "\033[2m",
		[TERM_RED] = "\033[31m",  [TERM_GREEN] = "\033[32m", [TERM_CYAN] = "\033[36m",
	};
	return term_has_colour(f) ? escapes[style] : "";
}

int term_columns(int fd)
{
	struct winsize w;
	return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* The first character of a text that isn't empty: its code point and length in bytes; -1 and 1 when its bytes are not
 * UTF-8. */
static int32_t first_char(struct str text, size_t *out_bytes)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	*out_bytes = 1;
	if (n > text.n || !utf8_is_valid(str_n(text.p, n))) return -1;
	*out_bytes = n;
	int32_t c = n == 1 ? p[0] : p[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) c = (c << 6) | (p[i] & 0x3f);
	return c;
}

void term_clean(struct buf *out, struct str text, int flags)
{
	for (size_t i = 0; i < text.n;) {
		size_t n;
		int32_t c = first_char(str_n(text.p + i, text.n - i), &n);
		bool is_blank = c == '\n' || c == '\t';
		bool is_control = (c >= 0 && c < 0x20) || (c >= 0x7f && c < 0xa0);
		if (c < 0) buf_add_str(out, STR("\xef\xbf\xbd"));
		else if (is_blank && (flags & TERM_ONE_LINE)) buf_add_char(out, ' ');
		else if (is_blank || !is_control) buf_add(out, text.p + i, n);
		i += n;
	}
}

/* Unicode's default-ignorable characters and those that order text, which DerivedCoreProperties.txt and the table of
 * bidirectional classes list; blanks that are no space. */
static bool is_unseen(int32_t c)
{
	static const struct {
		int32_t from, to;
	} ranges[] = {
		{0x00, 0x09},       {0x0b, 0x1f},       {0x7f, 0x9f},        {0xad, 0xad},     {0x34f, 0x34f},
		{0x61c, 0x61c},     {0x115f, 0x1160},   {0x17b4, 0x17b5},    {0x180b, 0x180f}, {0x200b, 0x200f},
		{0x2028, 0x202e},   {0x2060, 0x206f},   {0x2800, 0x2800},    {0x3164, 0x3164}, {0xe000, 0xf8ff},
		{0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},    {0xfff0, 0xfffb}, {0x1bca0, 0x1bca3},
		{0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff},
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (c >= ranges[i].from && c <= ranges[i].to) return true;
	return false;
}

void term_visible(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.n;) {
		size_t n;
		int32_t c = first_char(str_n(text.p + i, text.n - i), &n);
		if (c < 0) buf_add_str(out, STR("\xef\xbf\xbd"));
		else if (is_unseen(c)) buf_addf(out, "\\u{%x}", (unsigned)c);
		else buf_add(out, text.p + i, n);
		i += n;
	}
}

void term_put(FILE *f, struct str text, int flags)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	term_clean(&b, text, flags);
	fwrite(buf_str(&b).p, 1, b.n, f);
	buf_release(&b);
}

int term_char(struct str text, size_t *out_bytes)
{
	int32_t c = first_char(text, out_bytes);
	if (c < 0) return 1;
	int columns = wcwidth((wchar_t)c);
	return columns < 0 ? 0 : columns;
}

size_t term_width(struct str text)
{
	size_t columns = 0;
	for (size_t i = 0, n; i < text.n; i += n) columns += (size_t)term_char(str_n(text.p + i, text.n - i), &n);
	return columns;
}

size_t term_fit(struct str text, size_t columns)
{
	size_t used = 0, i = 0;
	for (size_t n; i < text.n; i += n) {
		used += (size_t)term_char(str_n(text.p + i, text.n - i), &n);
		if (used > columns) break;
	}
	return i;
}

void term_bytes(int64_t bytes, char out[TERM_WORD])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB"};
	double v = (double)bytes / 1000;
	size_t u = 0;
	for (; v >= 999.95 && u + 1 < ARRAY_LEN(units); u++) v /= 1000;
	if (bytes < 1000) snprintf(out, TERM_WORD, "%lld B", (long long)bytes);
	else snprintf(out, TERM_WORD, "%.1f %s", v, units[u]);
}

void term_duration(int64_t ms, char out[TERM_WORD])
{
	long long s = ms / 1000;
	if (ms < 1000) snprintf(out, TERM_WORD, "%lld ms", (long long)ms);
	else if (s < 60) snprintf(out, TERM_WORD, "%lld.%lld s", s, (long long)(ms % 1000 / 100));
	else if (s < 3600) snprintf(out, TERM_WORD, "%lld min %lld s", s / 60, s % 60);
	else if (s < 86400) snprintf(out, TERM_WORD, "%lld h %lld min", s / 3600, s % 3600 / 60);
	else snprintf(out, TERM_WORD, "%lld d %lld h", s / 86400, s % 86400 / 3600);
}

void term_time(int64_t wall_ms, char out[TERM_WORD])
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	if (localtime_r(&t, &tm) == NULL || strftime(out, TERM_WORD, "%Y-%m-%d %H:%M:%S", &tm) == 0) out[0] = '\0';
}

void table_init(struct table *t, size_t columns)
{
	ASSERT(columns > 0 && columns <= TABLE_COLUMNS);
	*t = (struct table){.columns = columns};
}

void table_add(struct table *t, struct str cell)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	term_clean(&b, cell, TERM_ONE_LINE);
	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 32 : t->cap * 2;
		t->cells = xrealloc(t->cells, xmul(t->cap, sizeof *t->cells));
	}
	t->cells[t->n++] = str_dup(buf_str(&b));
	buf_release(&b);
}

void table_print(const struct table *t, FILE *f)
{
	size_t width[TABLE_COLUMNS] = {0};
	for (size_t i = 0; i < t->n; i++)
		width[i % t->columns] = MAX(width[i % t->columns], term_width(str_c(t->cells[i])));
	for (size_t i = 0; i < t->n; i++) {
		size_t column = i % t->columns;
		bool is_last = column + 1 == t->columns;
		if (i == 0) fputs(term_style(f, TERM_BOLD), f);
		fputs(t->cells[i], f);
		if (i + 1 == t->columns) fputs(term_style(f, TERM_PLAIN), f);
		if (is_last) fputc('\n', f);
		else fprintf(f, "%*s", (int)(width[column] - term_width(str_c(t->cells[i])) + 2), "");
	}
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->n; i++) free(t->cells[i]);
	free(t->cells);
	*t = (struct table){0};
}
