/* The table of events against the sources: whatever is told to the journal is in it, with the fields it lists. */
#include "event/events.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/buf.h"

static const char *const families[] = {"daemon.", "device.", "request.", "watchdog.", "store.", "backup.", "journal."};

struct scan {
	int types, fields; /* looked at */
	int wrong;
};

static void complain(struct scan *s, const char *path, const char *what, struct str name)
{
	print_error("%s: %s \"%.*s\"\n", path, what, STR_ARG(name));
	s->wrong++;
}

/* Is it "family.name", as only an event's type is written? */
static bool is_type(struct str s)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct str f = str_c(families[i]);
		if (!str_starts(s, f) || s.n == f.n) continue;
		for (size_t k = f.n; k < s.n; k++)
			if (!((s.p[k] >= 'a' && s.p[k] <= 'z') || (s.p[k] >= 'A' && s.p[k] <= 'Z'))) return false;
		return true;
	}
	return false;
}

/* The string literal that begins at p, without its quotes; STR_NONE when none does. */
static struct str literal_at(const char *p)
{
	if (*p != '"') return STR_NONE;
	const char *end = p + 1;
	while (*end != '"' && *end != '\0' && *end != '\n') end += *end == '\\' && end[1] != '\0' ? 2 : 1;
	return str_n(p + 1, (size_t)(end - p) - 1);
}

static void check_fields(const char *path, const struct event_row *row, const char *call, struct scan *s)
{
	const char *end = strchr(call, ';');
	for (const char *p = call; (p = strstr(p, "EV")) != NULL && p < end; p += 2) {
		struct str key = p[2] != '\0' && p[3] == '(' ? literal_at(p + 4) : STR_NONE;
		if (key.p == NULL) continue;
		s->fields++;
		if (!event_has_field(row, key)) complain(s, path, row->type, key);
	}
}

static void check_source(const char *path, const char *text, struct scan *s)
{
	for (const char *p = text; *p != '\0'; p++) {
		struct str lit = literal_at(p);
		if (lit.p == NULL) continue;
		if (is_type(lit)) {
			const struct event_row *row = event_find(lit);
			s->types++;
			if (row == NULL) complain(s, path, "not in event/events.h:", lit);
			else check_fields(path, row, p, s);
		}
		p = lit.p + lit.n;
	}
}

static void scan_file(const char *path, struct scan *s)
{
	char piece[4096];
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	FILE *in = fopen(path, "re");
	assert_non_null(in);
	for (size_t n; (n = fread(piece, 1, sizeof piece, in)) > 0;) buf_add(&text, piece, n);
	fclose(in);
	if (text.n > 0) check_source(path, text.p, s);
	buf_release(&text);
}

static void scan_dir(const char *dir, struct scan *s)
{
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct buf path = BUF_INIT(4096);
		size_t n = strlen(e->d_name);
		buf_addf(&path, "%s/%s", dir, e->d_name);
		if (e->d_type == DT_DIR && e->d_name[0] != '.') scan_dir(path.p, s);
		if (n > 2 && strcmp(e->d_name + n - 2, ".c") == 0) scan_file(path.p, s);
		buf_release(&path);
	}
	closedir(d);
}

static void whatever_is_told_is_in_the_table(void **state)
{
	(void)state;
	struct scan s = {0};
	scan_dir(ROOST_SOURCE_DIR "/src", &s);
	assert_int_equal(s.wrong, 0);
	assert_true(s.types > 10 && s.fields > 5);
}

static void the_scan_sees_what_is_not(void **state)
{
	(void)state;
	assert_true(is_type(STR("request.unheardOf")));
	assert_null(event_find(STR("request.unheardOf")));
	assert_false(is_type(STR("store.c: x")));
	assert_false(event_has_field(event_find(STR("device.paired")), STR("device")));
	assert_true(event_has_field(event_find(STR("device.paired")), STR("deviceId")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_is_told_is_in_the_table),
		cmocka_unit_test(the_scan_sees_what_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
