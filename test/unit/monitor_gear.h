/* What the tests of the monitor share: a model, its rows, its frames as text, events. */
#ifndef TEST_UNIT_MONITOR_GEAR_H
#define TEST_UNIT_MONITOR_GEAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/monitor_draw.h"
#include "cli/term.h"

static struct monitor m;
static struct canvas canvas;

static struct monitor_row *row(const char *name)
{
	for (size_t i = 0; i < m.nrows; i++)
		if (strcmp(m.rows[i]->name, name) == 0) return m.rows[i];
	fail_msg("no row %s", name);
	return NULL;
}

static struct lab_event event_of(enum lab_type type, const char *conversation, int64_t at_ms)
{
	struct lab_event e = {.type = type, .at_us = at_ms * 1000};
	e.v[0] = lv_str(str_c(conversation));
	return e;
}

/* The frame as text, a line for each row. */
static char *frame(int rows, int cols)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	size_t n;
	monitor_draw(&m, &canvas, rows, cols);
	for (int i = 0; i < rows; i++) {
		size_t begin = b.n;
		canvas_row(&canvas, i, &b);
		assert_true(term_width(str_n(buf_str(&b).p + begin, b.n - begin)) <= (size_t)cols);
		buf_add_char(&b, '\n');
	}
	canvas_release(&canvas);
	return buf_take(&b, &n);
}

static void assert_frame(int rows, int cols, const char *part, bool is_there)
{
	char *text = frame(rows, cols);
	if ((strstr(text, part) != NULL) != is_there)
		fail_msg("\"%s\" is %sin\n%s", part, is_there ? "not " : "", text);
	free(text);
}

#endif
