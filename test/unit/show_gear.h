/* What the tests of displays share: an experiment made by hand, its events, and somewhere for stdout to go: a file, or a
 * terminal whose screen can be read. */
#ifndef TEST_UNIT_SHOW_GEAR_H
#define TEST_UNIT_SHOW_GEAR_H

#include <fcntl.h>
#include <math.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/show.h"
#include "cli/term.h"

#define AT_US 1767323045678901 /* 2026-01-02T03:04:05.678901Z */
#define SCREEN_ROWS 400
#define SCREEN_COLUMNS 200

static struct config config;
static struct spec spec;
static struct manifest manifest;
static struct show_about about;
static int own_stdout = -1;

/* ---- an experiment ---------------------------------------------------------------------------------------------- */

static void make_experiment(size_t conversations)
{
	char id[16];
	config_init(&config);
	spec_init(&spec, &config);
	spec.nagents = 2;
	spec.turns = 3;
	spec.agents[0].asked = spec.agents[0].model = STR("local:one");
	spec.agents[1].asked = spec.agents[1].model = STR("local:two");
	manifest_init(&manifest);
	manifest.experiment_id = STR("experiment_1a2b3c4d");
	manifest.name = STR("bold-heron");
	for (size_t i = 0; i < conversations; i++) {
		snprintf(id, sizeof id, "conv_%08zx", i + 1);
		(void)manifest_add(&manifest, id);
	}
	about = (struct show_about){&spec, &manifest, "/tmp/out/bold-heron_1a2b3c4d", false};
}

static void free_experiment(void)
{
	manifest_release(&manifest);
	spec_release(&spec);
	config_release(&config);
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

#define SET(type, field, value) (e.v[LF(type, field)] = (value))

static struct lab_event event_of(enum lab_type type)
{
	struct lab_event e = {.type = type, .at_us = AT_US, .experiment_id = manifest.experiment_id};
	if (type != LE_EXPERIMENT_COMPLETE) e.v[0] = lv_str(STR("conv_00000001"));
	return e;
}

static inline struct lab_event start_event(const char *prompt)
{
	static const struct lab_agent a = {.id = STR_INIT("agent_a"),
					   .model = STR_INIT("local:one"),
					   .display_name = STR_INIT("Ada"),
					   .temperature = 0.5};
	static const struct lab_agent b = {.id = STR_INIT("agent_b"),
					   .model = STR_INIT("local:two"),
					   .display_name = STR_INIT("Bob"),
					   .temperature = 0.5};
	struct lab_event e = event_of(LE_CONVERSATION_START);
	SET(ConversationStartEvent, agent_a, lv_agent(&a));
	SET(ConversationStartEvent, agent_b, lv_agent(&b));
	SET(ConversationStartEvent, max_turns, lv_int(3));
	SET(ConversationStartEvent, initial_prompt, lv_str(str_c(prompt)));
	SET(ConversationStartEvent, prompt_tag, lv_str(STR("[HUMAN]")));
	return e;
}

static inline struct lab_event chunk_event(const char *agent, struct str text)
{
	struct lab_event e = event_of(LE_MESSAGE_CHUNK);
	SET(MessageChunkEvent, agent_id, lv_str(str_c(agent)));
	SET(MessageChunkEvent, chunk, lv_str(text));
	return e;
}

/* The message is valid until the next call. */
static inline struct lab_event message_event(const char *agent, struct str text)
{
	static struct lab_message m;
	struct lab_event e = event_of(LE_MESSAGE_COMPLETE);
	m = (struct lab_message){.role = STR("assistant"), .content = text, .agent_id = str_c(agent), .at_us = AT_US};
	SET(MessageCompleteEvent, agent_id, lv_str(str_c(agent)));
	SET(MessageCompleteEvent, message, lv_message(&m));
	SET(MessageCompleteEvent, turn_number, lv_int(0));
	SET(MessageCompleteEvent, total_tokens, lv_int(42));
	SET(MessageCompleteEvent, duration_ms, lv_int(1234));
	return e;
}

static inline struct lab_event turn_event(int64_t turn, double score)
{
	struct lab_event e = event_of(LE_TURN_COMPLETE);
	SET(TurnCompleteEvent, turn_number, lv_int(turn));
	SET(TurnCompleteEvent, convergence_score, lv_real(score));
	return e;
}

static inline struct lab_event end_event(const char *status, const char *reason, const char *error)
{
	struct lab_event e = event_of(LE_CONVERSATION_END);
	SET(ConversationEndEvent, total_turns, lv_int(1));
	SET(ConversationEndEvent, status, lv_str(str_c(status)));
	SET(ConversationEndEvent, reason, lv_str(str_c(reason)));
	SET(ConversationEndEvent, error, lv_str(error != NULL ? str_c(error) : STR_NONE));
	SET(ConversationEndEvent, duration_ms, lv_int(2500));
	return e;
}

/* ---- stdout in a file ------------------------------------------------------------------------------------------- */

static void take_stdout(int fd)
{
	fflush(stdout);
	own_stdout = dup(STDOUT_FILENO);
	assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
	close(fd);
}

static void give_stdout_back(void)
{
	fflush(stdout);
	assert_int_equal(dup2(own_stdout, STDOUT_FILENO), STDOUT_FILENO);
	close(own_stdout);
}

static inline int file_begin(void)
{
	char path[] = "/tmp/roost-show-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	take_stdout(dup(fd));
	return fd;
}

/* All that was written, as a heap string. */
static inline char *file_end(int fd)
{
	give_stdout_back();
	off_t n = lseek(fd, 0, SEEK_END);
	char *text = xcalloc((size_t)n + 1, 1);
	assert_int_equal(pread(fd, text, (size_t)n, 0), n);
	close(fd);
	return text;
}

/* ---- stdout in a terminal --------------------------------------------------------------------------------------- */

/* As much of a terminal as displays need. Rows that scroll out are kept. */
struct screen_seen {
	int master;
	size_t columns;
	char *cells[SCREEN_ROWS][SCREEN_COLUMNS]; /* NULL: blank */
	size_t row, column, rows;
};
static struct screen_seen seen;

static inline void screen_begin(size_t columns)
{
	int slave;
	struct termios raw;
	struct winsize size = {.ws_row = 40, .ws_col = (unsigned short)columns};
	memset(&seen, 0, sizeof seen);
	seen.columns = columns;
	memset(&raw, 0, sizeof raw);
	cfmakeraw(&raw);
	assert_int_equal(openpty(&seen.master, &slave, NULL, &raw, &size), 0);
	assert_int_equal(fcntl(seen.master, F_SETFL, O_NONBLOCK), 0);
	take_stdout(slave);
}

static inline void screen_resize(size_t columns)
{
	struct winsize size = {.ws_row = 40, .ws_col = (unsigned short)columns};
	seen.columns = columns;
	assert_int_equal(ioctl(seen.master, TIOCSWINSZ, &size), 0);
}

static void erase_below(void)
{
	for (size_t r = seen.row; r < SCREEN_ROWS; r++)
		for (size_t c = r == seen.row ? seen.column : 0; c < SCREEN_COLUMNS; c++) {
			free(seen.cells[r][c]);
			seen.cells[r][c] = NULL;
		}
}

static void next_row(void)
{
	seen.row++;
	seen.column = 0;
	seen.rows = MAX(seen.rows, seen.row);
	assert_true(seen.row < SCREEN_ROWS);
}

/* To the last cell that was written. */
static void join_cell(struct str ch)
{
	struct buf b = BUF_INIT(1000);
	size_t c = seen.column;
	while (c > 0 && seen.cells[seen.row][c - 1] == NULL) c--;
	assert_true(c > 0);
	buf_add_str(&b, str_c(seen.cells[seen.row][c - 1]));
	buf_add_str(&b, ch);
	buf_add_char(&b, '\0');
	free(seen.cells[seen.row][c - 1]);
	seen.cells[seen.row][c - 1] = buf_take(&b, NULL);
}

/* One character; what has no width belongs to the cell before it. */
static void put_cell(struct str ch, int width)
{
	if (width == 0) {
		join_cell(ch);
		return;
	}
	if (seen.column + (size_t)width > seen.columns) next_row();
	assert_true(seen.column < SCREEN_COLUMNS);
	free(seen.cells[seen.row][seen.column]);
	seen.cells[seen.row][seen.column] = str_dup(ch);
	seen.column += (size_t)width;
}

/* An escape sequence; returns its bytes. Nothing but what displays may use. */
static size_t obey(struct str t)
{
	size_t n = 2;
	assert_true(t.n >= 3 && t.p[1] == '[');
	while (n < t.n && (t.p[n] < 0x40 || t.p[n] > 0x7e)) n++;
	switch (t.p[n]) {
	case 'A':
		assert_true(seen.row > 0);
		seen.row--;
		break;
	case 'J': erase_below(); break;
	case 'm': break;
	default: fail_msg("ESC [ %c", t.p[n]);
	}
	return n + 1;
}

static inline void screen_read(void)
{
	char bytes[65536];
	ssize_t got;
	fflush(stdout);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	while ((got = read(seen.master, bytes, sizeof bytes)) > 0) buf_add(&b, bytes, (size_t)got);
	for (size_t i = 0, n; i < b.n; i += n) {
		struct str rest = str_n(b.p + i, b.n - i);
		n = 1;
		if (rest.p[0] == '\n') next_row();
		else if (rest.p[0] == '\r') seen.column = 0;
		else if (rest.p[0] == '\033') n = obey(rest);
		else {
			int width = term_char(rest, &n);
			assert_true((unsigned char)rest.p[0] >= 0x20);
			put_cell(str_n(rest.p, n), width);
		}
	}
	buf_release(&b);
}

/* All rows, without blanks at their ends. */
static inline char *screen_text(void)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	screen_read();
	for (size_t r = 0; r <= seen.rows; r++) {
		size_t last = 0;
		for (size_t c = 0; c < SCREEN_COLUMNS; c++)
			if (seen.cells[r][c] != NULL && strcmp(seen.cells[r][c], " ") != 0) last = c + 1;
		for (size_t c = 0; c < last; c++) {
			const char *cell = seen.cells[r][c];
			int width = 1;
			size_t n;
			if (cell != NULL) width = term_char(str_c(cell), &n);
			buf_add_str(&b, cell != NULL ? str_c(cell) : STR(" "));
			c += width > 1;
		}
		buf_add_char(&b, '\n');
	}
	while (b.n > 1 && b.p[b.n - 1] == '\n' && b.p[b.n - 2] == '\n') b.n--;
	buf_add_char(&b, '\0');
	return buf_take(&b, NULL);
}

static inline void screen_end(void)
{
	give_stdout_back();
	close(seen.master);
	seen.row = seen.column = 0;
	erase_below();
}

static inline void assert_shown(const char *text, const char *part)
{
	bool is_there = strstr(text, part) != NULL;
	if (!is_there) fprintf(stderr, "not shown:\n%s\nbut:\n%s\n", part, text);
	assert_true(is_there);
}

static inline void assert_same_text(char *got, const char *want)
{
	bool is_same = strcmp(got, want) == 0;
	if (!is_same) fprintf(stderr, "shown:\n%s\nwanted:\n%s\n", got, want);
	free(got);
	assert_true(is_same);
}

#endif
