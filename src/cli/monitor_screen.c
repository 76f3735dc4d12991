#include "cli/monitor_screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/monitor_model.h"

#include <ncurses.h>
#include <term.h>
#undef OK /* ncurses' own, of the same value as ours */

#define ESCAPE_MS 25 /* an escape that nothing follows for so long is the key */

static SCREEN *screen;
static struct canvas last; /* what the terminal shows; no cells: nobody knows */
static bool has_colour;

/* The colours of enum canvas_style as pairs. */
static const struct {
	unsigned style;
	short pair, colour;
} colours[] = {
	{CANVAS_RED, 1, COLOR_RED},
	{CANVAS_GREEN, 2, COLOR_GREEN},
	{CANVAS_YELLOW, 3, COLOR_YELLOW},
	{CANVAS_CYAN, 4, COLOR_CYAN},
};

static void colours_begin(void)
{
	const char *no = getenv("NO_COLOR");
	has_colour = (no == NULL || no[0] == '\0') && has_colors() && start_color() == 0;
	if (!has_colour) return;
	short back = use_default_colors() == 0 ? -1 : COLOR_BLACK;
	for (size_t i = 0; i < ARRAY_LEN(colours); i++) init_pair(colours[i].pair, colours[i].colour, back);
}

bool monitor_screen_can(void)
{
	const char *term = getenv("TERM");
	int error = 0;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return false;
	if (term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0) return false;
	if (setupterm(term, STDOUT_FILENO, &error) != 0) return false;
	char *place = cursor_address; /* can the cursor be put anywhere? */
	bool is_able = place != NULL && place != (char *)-1;
	del_curterm(cur_term);
	return is_able;
}

bool monitor_screen_begin(void)
{
	screen = newterm(NULL, stdout, stdin);
	if (screen == NULL) return false;
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	set_escdelay(ESCAPE_MS);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	colours_begin();
	return true;
}

void monitor_screen_end(void)
{
	endwin();
	delscreen(screen);
	screen = NULL;
	canvas_release(&last);
}

void monitor_screen_redraw(void)
{
	canvas_release(&last);
	clearok(stdscr, TRUE);
}

void monitor_screen_size(int *out_rows, int *out_cols)
{
	struct winsize w;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 && w.ws_col > 0 &&
	    (w.ws_row != LINES || w.ws_col != COLS)) {
		resizeterm(w.ws_row, w.ws_col);
		monitor_screen_redraw();
	}
	*out_rows = LINES;
	*out_cols = COLS;
}

static void put_cell(int row, int col, const struct canvas_cell *cell)
{
	attr_t attr = A_NORMAL;
	short pair = 0;
	cchar_t out;
	if (cell->style & CANVAS_BOLD) attr |= A_BOLD;
	if (cell->style & CANVAS_DIM) attr |= A_DIM;
	if (cell->style & CANVAS_REVERSE) attr |= A_REVERSE;
	for (size_t i = 0; has_colour && i < ARRAY_LEN(colours); i++)
		if (cell->style & colours[i].style) pair = colours[i].pair;
	if (setcchar(&out, cell->text, attr, pair, NULL) == 0) mvadd_wch(row, col, &out);
}

static void keep(const struct canvas *c)
{
	size_t size = (size_t)c->rows * (size_t)c->cols * sizeof *c->cells;
	if (last.cells == NULL || last.rows != c->rows || last.cols != c->cols) canvas_begin(&last, c->rows, c->cols);
	memcpy(last.cells, c->cells, size);
}

void monitor_screen_show(const struct canvas *c)
{
	bool is_known = last.cells != NULL && last.rows == c->rows && last.cols == c->cols;
	size_t width = (size_t)c->cols;
	for (int row = 0; row < c->rows; row++) {
		const struct canvas_cell *cells = &c->cells[(size_t)row * width];
		if (is_known && memcmp(cells, &last.cells[(size_t)row * width], width * sizeof *cells) == 0) continue;
		move(row, 0);
		clrtoeol();
		for (int col = 0; col < c->cols; col++)
			if (cells[col].text[0] != 0) put_cell(row, col, &cells[col]);
	}
	refresh();
	keep(c);
}

int32_t monitor_screen_key(void)
{
	static const struct {
		wint_t code;
		int32_t key;
	} codes[] = {
		{KEY_UP, MK_UP},           {KEY_DOWN, MK_DOWN},   {KEY_PPAGE, MK_PAGE_UP},
		{KEY_NPAGE, MK_PAGE_DOWN}, {KEY_HOME, MK_HOME},   {KEY_END, MK_END},
		{KEY_BTAB, MK_BACK_TAB},   {KEY_ENTER, MK_ENTER}, {KEY_BACKSPACE, MK_BACKSPACE},
	};
	for (;;) {
		wint_t code = 0;
		int got = get_wch(&code);
		if (got == ERR) return 0;
		for (size_t i = 0; got == KEY_CODE_YES && i < ARRAY_LEN(codes); i++)
			if (codes[i].code == code) return codes[i].key;
		if (got == KEY_CODE_YES || code == 0) continue; /* a key that means nothing here */
		switch (code) {
		case '\t': return MK_TAB;
		case '\r':
		case '\n': return MK_ENTER;
		case 27: return MK_ESCAPE;
		case 8:
		case 127: return MK_BACKSPACE;
		case 'L' & 31: return MK_REDRAW;
		default: return (int32_t)code;
		}
	}
}
