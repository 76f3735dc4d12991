/* A notification reaches the program for it with its texts as they are, and the bell rings where there is none. */
#include "experiment_gear.h"

#include <errno.h>
#include <pty.h>
#include <termios.h>
#include <time.h>

#include "base/clock.h"
#include "cli/notify.h"
#include "cli/term.h"

#define SOON_MS 20000

/* A program in the scratch directory, which is all of PATH but for what its script needs. */
static void program_is(const char *name, const char *script)
{
	char text[600];
	FILE *f = fopen(in_scratch(name), "w");
	assert_non_null(f);
	snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
	fputs(text, f);
	assert_int_equal(fchmod(fileno(f), 0700), 0);
	fclose(f);
	setenv("PATH", scratch, 1);
	setenv("OUT", in_scratch("out"), 1);
}

/* The arguments that it was given, once it has put them in place. */
static char *arguments(void)
{
	int64_t end_ms = clock_boot_ms() + SOON_MS;
	static char text[8192];
	while (access(in_scratch("out"), R_OK) != 0) {
		assert_true(clock_boot_ms() < end_ms);
		(void)usleep(2000);
	}
	FILE *f = fopen(in_scratch("out"), "r");
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	return text;
}

#define KEEP_ARGUMENTS "for a; do printf '[%s]\\n' \"$a\"; done >\"$OUT.new\"; exec /bin/mv \"$OUT.new\" \"$OUT\""

static void texts_are_arguments_and_nothing_else(void **state)
{
	(void)state;
	program_is("notify-send", KEEP_ARGUMENTS);
	notify(STR("roost"), STR("-u \"$(id)\""), STR("a <b>;\n`id` & \033[2J done"));
	assert_string_equal(arguments(), "[-a]\n[roost]\n[--]\n[-u \"$(id)\"]\n[a &lt;b>; `id` &amp; [2J done]\n");
}

static void a_long_text_is_cut_at_200_characters(void **state)
{
	(void)state;
	char text[2000] = "";
	for (int i = 0; i < 900; i++) memcpy(text + strlen(text), "é", 3);
	program_is("notify-send", KEEP_ARGUMENTS);
	notify(STR("roost"), STR("x"), str_c(text));
	const char *body = strrchr(arguments(), '[');
	assert_int_equal(strlen(body), 1 + 2 * 200 + 2);
}

static void osascript_is_taken_where_there_is_no_notify_send(void **state)
{
	(void)state;
	program_is("osascript", KEEP_ARGUMENTS);
	notify(STR("roost"), STR("title"), STR("text \" & quit"));
	assert_non_null(strstr(arguments(), "[--]\n[title]\n[text \" & quit]\n"));
}

static void nobody_is_waited_for_and_no_zombie_stays(void **state)
{
	(void)state;
	int gate[2];
	assert_int_equal(mkfifo(in_scratch("gate"), 0600), 0);
	gate[0] = open(in_scratch("gate"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	gate[1] = open(in_scratch("gate"), O_WRONLY | O_CLOEXEC);
	setenv("GATE", in_scratch("gate"), 1);
	program_is("notify-send", "read go <\"$GATE\"; " KEEP_ARGUMENTS);
	notify(STR("roost"), STR("x"), STR("y")); /* returns although the program waits */
	assert_int_not_equal(access(in_scratch("out"), F_OK), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(write(gate[1], "go\n", 3), 3);
	(void)arguments();
	close(gate[0]);
	close(gate[1]);
}

/* What stderr, a terminal, is sent. */
static char bell_of(void)
{
	int master, slave, own = dup(STDERR_FILENO);
	struct termios raw = {0};
	char c = '\0';
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	assert_int_equal(openpty(&master, &slave, NULL, &raw, NULL), 0);
	dup2(slave, STDERR_FILENO);
	close(slave);
	notify(STR("roost"), STR("x"), STR("y"));
	assert_int_equal(read(master, &c, 1), 1);
	dup2(own, STDERR_FILENO);
	close(own);
	close(master);
	return c;
}

static void the_bell_rings_where_nothing_can_be_shown(void **state)
{
	(void)state;
	setenv("PATH", scratch, 1);
	assert_int_equal(bell_of(), '\a');
	program_is("notify-send", "exit 1");
	assert_int_equal(bell_of(), '\a');
}

int main(void)
{
	term_init();
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)
	const struct CMUnitTest tests[] = {
		T(texts_are_arguments_and_nothing_else),
		T(a_long_text_is_cut_at_200_characters),
		T(osascript_is_taken_where_there_is_no_notify_send),
		T(nobody_is_waited_for_and_no_zombie_stays),
		T(the_bell_rings_where_nothing_can_be_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
