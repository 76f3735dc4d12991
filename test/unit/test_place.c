/* Experiments' directories: their names, finding one by what a person says, and who runs it. */
#include "experiment_gear.h"

#include <poll.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "lab/manifest.h"
#include "lab/place.h"

#define MANY 10000

static struct place made(const char *name)
{
	struct place p;
	enum err e = place_make(scratch, str_c(name), &p, &info);
	if (e != OK) print_error("%s\n", info.text);
	assert_int_equal(e, OK);
	return p;
}

static const char *base_of(const struct place *p) { return strrchr(p->dir, '/') + 1; }

/* ---- names ------------------------------------------------------------------------------------------------------ */

static void a_made_place_is_a_private_directory_named_by_name_and_id(void **state)
{
	(void)state;
	struct stat st;
	struct place p = made("first-try");
	assert_int_equal(lstat(p.dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_string_equal(p.name, "first-try");
	assert_memory_equal(p.id, "experiment_", 11);
	assert_int_equal(strlen(p.id), 19);
	char expected[64];
	snprintf(expected, sizeof expected, "first-try_%s", p.id + 11);
	assert_string_equal(base_of(&p), expected);
	place_release(&p);
}

static void a_directory_holds_thirty_safe_characters_of_a_name(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"a name/with ../slashes", "a-name-with-..-slashes"},
		{"..", "experiment"},
		{".hidden", "hidden"},
		{"-q", "q"},
		{"caf\xc3\xa9 au lait", "caf-au-lait"},
		{"\xe9\xb3\xa5", "experiment"},
		{"0123456789012345678901234567890123456789", "012345678901234567890123456789"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct place p = made(rows[i][0]);
		const char *base = base_of(&p);
		assert_int_equal(strlen(base), strlen(rows[i][1]) + 9);
		assert_memory_equal(base, rows[i][1], strlen(rows[i][1]));
		assert_string_equal(p.name, rows[i][0]);
		place_release(&p);
	}
}

static void a_name_that_cannot_be_shown_is_refused(void **state)
{
	(void)state;
	struct place p;
	char longer[202];
	memset(longer, 'a', sizeof longer);
	assert_int_equal(place_make(scratch, STR("a\033[2J"), &p, &info), ERR_USAGE);
	assert_int_equal(place_make(scratch, STR("a\xff"), &p, &info), ERR_USAGE);
	assert_int_equal(place_make(scratch, str_n(longer, 201), &p, &info), ERR_USAGE);
	assert_int_equal(place_make(scratch, str_n(longer, 200), &p, &info), OK);
	place_release(&p);
}

static void a_taken_name_is_refused(void **state)
{
	(void)state;
	struct place p = made("twice"), other;
	assert_int_equal(place_make(scratch, STR("twice"), &other, &info), ERR_EXISTS);
	assert_non_null(strstr(info.text, "twice"));
	place_release(&p);
}

static void names_that_only_look_alike_as_directories_are_both_free(void **state)
{
	(void)state;
	struct place other;
	put_experiment("a-b_00000001",
		       "{\"experiment_id\":\"experiment_00000001\",\"name\":\"a b\",\"status\":\"created\"}");
	assert_int_equal(place_make(scratch, STR("a b"), &other, &info), ERR_EXISTS);
	struct place p = made("a/b");
	place_release(&p);
}

static void random_names_are_two_words_and_differ(void **state)
{
	(void)state;
	char names[40][31];
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct place p = made("");
		const char *dash = strchr(p.name, '-');
		assert_non_null(dash);
		assert_true(strlen(p.name) <= 30 && dash != p.name && dash[1] != '\0');
		for (size_t k = 0; k < i; k++) assert_string_not_equal(names[k], p.name);
		snprintf(names[i], sizeof names[i], "%s", p.name);
		place_release(&p);
	}
}

static void two_that_begin_at_once_do_not_both_get_a_name(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		pid_t pids[8];
		int winners = 0, go[2], status;
		char name[24], byte;
		snprintf(name, sizeof name, "contested-%d", round);
		assert_int_equal(pipe(go), 0);
		for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
			pids[i] = fork();
			if (pids[i] != 0) continue;
			struct place p;
			close(go[1]);
			if (read(go[0], &byte, 1) != 0) _exit(2); /* until all are there */
			_exit(place_make(scratch, str_c(name), &p, NULL) == OK ? 0 : 1);
		}
		close(go[0]);
		close(go[1]);
		for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
			assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
			winners += status == 0;
		}
		assert_int_equal(winners, 1);
	}
}

static void an_output_that_cannot_be_made_is_named(void **state)
{
	(void)state;
	struct place p;
	put_file(in_scratch("file"), "");
	assert_int_equal(place_make(in_scratch("file/below"), STR("x"), &p, &info), ERR_IO);
	assert_non_null(strstr(info.text, "file"));
	assert_null(p.dir);
}

static void output_is_the_option_then_the_environment_then_the_configuration_then_the_data_directory(void **state)
{
	(void)state;
	struct config c;
	char *path, cwd[512], expected[600];
	config_init(&c);
	c.data_dir = "/data";
	c.lab_output = "";
	unsetenv("ROOST_OUTPUT_DIR");
	assert_string_equal(path = place_output(&c, NULL), "/data/experiments");
	free(path);
	c.lab_output = "/configured";
	assert_string_equal(path = place_output(&c, NULL), "/configured");
	free(path);
	setenv("ROOST_OUTPUT_DIR", "/from/environment/", 1);
	assert_string_equal(path = place_output(&c, ""), "/from/environment");
	free(path);
	assert_string_equal(path = place_output(&c, "/option"), "/option");
	free(path);
	assert_non_null(getcwd(cwd, sizeof cwd));
	snprintf(expected, sizeof expected, "%s/here", cwd);
	assert_string_equal(path = place_output(&c, "here"), expected);
	free(path);
	unsetenv("ROOST_OUTPUT_DIR");
	config_release(&c);
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

static void a_list_has_experiments_only_and_the_newest_first(void **state)
{
	(void)state;
	static const char *const old_to_new[] = {"old_0000000a", "middle_0000000b", "new_0000000c"};
	struct place_list l;
	for (size_t i = 0; i < ARRAY_LEN(old_to_new); i++) {
		struct timespec times[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_sec = 1000 + (time_t)i}};
		assert_int_equal(mkdir(in_scratch(old_to_new[i]), 0700), 0);
		assert_int_equal(utimensat(AT_FDCWD, in_scratch(old_to_new[i]), times, 0), 0);
	}
	assert_int_equal(mkdir(in_scratch("other"), 0700), 0);
	assert_int_equal(mkdir(in_scratch(".gone_0000000d"), 0700), 0);
	assert_int_equal(mkdir(in_scratch("upper_0000000D"), 0700), 0);
	assert_int_equal(mkdir(in_scratch("\033[2J_0000000d"), 0700), 0);
	assert_int_equal(mkdir(in_scratch("\xff_0000000d"), 0700), 0);
	put_file(in_scratch("file_0000000e"), "");
	assert_int_equal(symlink("/tmp", in_scratch("link_0000000f")), 0);
	assert_int_equal(place_list(scratch, &l, &info), OK);
	assert_int_equal(l.n, 3);
	for (size_t i = 0; i < 3; i++) assert_string_equal(l.list[i].dir, in_scratch(old_to_new[2 - i]));
	assert_string_equal(l.list[0].id, "experiment_0000000c");
	assert_string_equal(l.list[0].name, "new");
	assert_int_equal(l.list[0].changed_ms, 1002000);
	place_list_release(&l);
	assert_int_equal(place_list(in_scratch("nowhere"), &l, &info), OK);
	assert_int_equal(l.n, 0);
}

/* Opening a pipe that nobody writes to would never end. */
static void ten_thousand_are_listed_without_opening_any(void **state)
{
	(void)state;
	struct place_list l;
	char name[40];
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "many_%08x", (unsigned)i);
		assert_int_equal(mkdir(in_scratch(name), 0700), 0);
	}
	assert_int_equal(mkfifo(in_scratch("many_00000007/" MANIFEST_FILE), 0600), 0);
	assert_int_equal(place_list(scratch, &l, &info), OK);
	assert_int_equal(l.n, MANY);
	place_list_release(&l);
}

/* ---- finding ---------------------------------------------------------------------------------------------------- */

static int found(const char *asked, const char *base)
{
	struct place p;
	enum err e = place_find(scratch, str_c(asked), &p, &info);
	if (e == OK) {
		assert_string_equal(base_of(&p), base);
		assert_memory_equal(p.dir, scratch, strlen(scratch));
	}
	place_release(&p);
	return (int)e;
}

static void put_three(void)
{
	put_experiment("calm-wren_1a2b3c4d", "{\"status\":\"completed\"}");
	put_experiment("calm-owl_1a99aaaa", "{\"status\":\"completed\"}");
	put_experiment("calm_77777777", "{\"status\":\"completed\"}");
	put_file(in_scratch("calm-owl_1a99aaaa/events_conv_deadbeef.jsonl"), "");
}

static void an_experiment_is_found_by_all_its_names(void **state)
{
	(void)state;
	static const char *const ways[] = {"experiment_1a2b3c4d", "1a2b3c4d",  "1a2",
					   "experiment_1a2",      "calm-wren", "calm-w",
					   "calm-wren_1a2b3c4d"};
	put_three();
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) assert_int_equal(found(ways[i], "calm-wren_1a2b3c4d"), OK);
	assert_int_equal(found("conv_deadbeef", "calm-owl_1a99aaaa"), OK);
	assert_int_equal(found(in_scratch("calm-owl_1a99aaaa/"), "calm-owl_1a99aaaa"), OK);
}

static void a_whole_name_beats_the_beginnings_of_others(void **state)
{
	(void)state;
	put_three();
	assert_int_equal(found("calm", "calm_77777777"), OK);
}

static void what_fits_several_names_them(void **state)
{
	(void)state;
	put_three();
	assert_int_equal(found("calm-", ""), ERR_CONFLICT);
	assert_non_null(strstr(info.text, "calm-wren_1a2b3c4d"));
	assert_non_null(strstr(info.text, "calm-owl_1a99aaaa"));
	assert_null(strstr(info.text, "calm_77777777"));
	assert_int_equal(found("1a", ""), ERR_CONFLICT);
}

static void what_fits_none_is_an_error_that_says_so(void **state)
{
	(void)state;
	put_three();
	assert_int_equal(found("storm", ""), ERR_NOT_FOUND);
	assert_non_null(strstr(info.text, "storm"));
	assert_int_equal(found("", ""), ERR_USAGE);
	assert_int_equal(found("conv_00000000", ""), ERR_NOT_FOUND);
	assert_int_equal(found("../calm", ""), ERR_NOT_FOUND);
	assert_int_equal(mkdir(in_scratch("plain"), 0700), 0);
	assert_int_equal(found(in_scratch("plain/"), ""), ERR_NOT_FOUND);
	assert_non_null(strstr(info.text, "manifest.json"));
}

static void a_copy_under_another_name_has_the_id_of_its_manifest(void **state)
{
	(void)state;
	struct place p;
	put_experiment("backup", "{\"experiment_id\":\"experiment_12345678\",\"status\":\"completed\"}");
	assert_int_equal(place_find("/nonexistent", str_c(in_scratch("backup/")), &p, &info), OK);
	assert_string_equal(p.id, "experiment_12345678");
	place_release(&p);
}

/* ---- who runs it ------------------------------------------------------------------------------------------------ */

static void lock_it(void *arg)
{
	int fd;
	if (place_lock(arg, &fd, NULL) != OK) _exit(1);
}

static size_t running(const char *output)
{
	struct place_list l;
	assert_int_equal(place_running(output, &l, &info), OK);
	size_t n = l.n;
	place_list_release(&l);
	return n;
}

static void one_that_runs_is_locked_listed_and_known_by_its_pid(void **state)
{
	(void)state;
	struct place p = made("runs");
	struct place_list l;
	int fd;
	assert_int_equal(place_pid(p.dir), 0);
	struct helper h = helper_start(lock_it, &p);
	assert_int_equal(place_pid(p.dir), h.pid);
	assert_int_equal(place_lock(&p, &fd, &info), ERR_LOCKED);
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)h.pid);
	assert_non_null(strstr(info.text, pid));
	assert_int_equal(place_running(scratch, &l, &info), OK);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.list[0].dir, p.dir);
	assert_string_equal(l.list[0].id, p.id);
	place_list_release(&l);
	assert_int_equal(running(NULL), 1);
	assert_int_equal(helper_end(&h), 0);
	assert_int_equal(place_pid(p.dir), 0);
	place_release(&p);
}

static void a_killed_one_runs_no_more_and_its_marks_go(void **state)
{
	(void)state;
	struct place p = made("killed");
	struct helper h = helper_start(lock_it, &p);
	kill(h.pid, SIGKILL);
	assert_true(WIFSIGNALED(helper_end(&h)));
	assert_int_equal(place_pid(p.dir), 0);
	assert_int_equal(running(scratch), 0);
	assert_int_equal(running(NULL), 0);
	assert_int_equal(rmdir(in_scratch(".running")), 0); /* it is empty */
	int fd;
	assert_int_equal(place_lock(&p, &fd, &info), OK);
	place_unlock(&p, fd);
	place_release(&p);
}

static void looking_at_ones_own_lock_does_not_drop_it(void **state)
{
	(void)state;
	struct place p = made("mine");
	int fd, again, status;
	assert_int_equal(place_lock(&p, &fd, &info), OK);
	assert_int_equal(place_pid(p.dir), getpid());
	assert_int_equal(running(scratch), 1);
	assert_int_equal(running(NULL), 1);
	assert_int_equal(place_lock(&p, &again, &info), ERR_LOCKED);
	pid_t child = fork();
	if (child == 0) {
		/* the list of what this process holds was copied, the locks were not */
		char *path = NULL;
		if (asprintf(&path, "%s/run.lock", p.dir) < 0) _exit(1);
		struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
		_exit(fcntl(open(path, O_RDWR), F_SETLK, &f) != 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	place_unlock(&p, fd);
	assert_int_equal(place_pid(p.dir), 0);
	assert_int_equal(running(scratch), 0);
	assert_false(is_there(in_scratch(".running/x")));
	place_release(&p);
}

static enum err look(void *arg)
{
	struct place_list l;
	(void)arg;
	enum err e = place_running(scratch, &l, NULL);
	place_list_release(&l);
	return e;
}

/* One who looks and is about to remove the mark of a killed one is stopped at every system call, while the next one begins
 * to run. That one may have to wait for him. */
static void a_mark_is_not_lost_while_others_look(void **state)
{
	(void)state;
	struct place p = made("watched");
	for (int n = 1, status = 0;; n++) {
		struct helper killed = helper_start(lock_it, &p);
		kill(killed.pid, SIGKILL);
		helper_end(&killed);
		pid_t looker = stopped_at_call(n, look, NULL, &status);
		struct helper h = helper_begin(lock_it, &p);
		struct pollfd ready = {.fd = h.ready, .events = POLLIN};
		poll(&ready, 1, 100);
		if (looker != 0) assert_int_equal(go_on(looker), 0);
		helper_wait(&h);
		assert_int_equal(running(scratch), 1);
		assert_int_equal(helper_end(&h), 0);
		if (looker != 0) continue;
		assert_true(n > 10);
		break;
	}
	place_release(&p);
}

static void one_that_was_removed_cannot_be_locked(void **state)
{
	(void)state;
	struct place p = made("removed");
	int fd;
	assert_int_equal(rmdir(p.dir), 0);
	assert_int_equal(place_lock(&p, &fd, &info), ERR_IO);
	assert_non_null(strstr(info.text, p.dir));
	place_release(&p);
}

static void one_that_runs_in_another_output_is_found(void **state)
{
	(void)state;
	struct place p = made("elsewhere"), q;
	int fd;
	assert_int_equal(place_find("/nonexistent", STR("elsewhere"), &q, &info), ERR_NOT_FOUND);
	assert_int_equal(place_lock(&p, &fd, &info), OK);
	assert_int_equal(place_find("/nonexistent", STR("elsewhere"), &q, &info), OK);
	assert_string_equal(q.dir, p.dir);
	place_unlock(&p, fd);
	place_release(&q);
	place_release(&p);
}

static void on_signal(int sig) { _exit(100 + sig); }

static void lock_and_expect(void *arg)
{
	struct sigaction a = {.sa_handler = on_signal};
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig != SIGCHLD) sigaction(sig, &a, NULL);
	lock_it(arg);
}

static void telling_sends_the_signal_to_who_holds_the_lock(void **state)
{
	(void)state;
	static const enum place_ask asks[] = {PLACE_STOP, PLACE_FINISH, PLACE_PAUSE, PLACE_RESUME};
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	struct place p = made("told");
	assert_int_equal(place_tell(p.dir, PLACE_STOP, &info), ERR_BAD_STATE);
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		struct helper h = helper_start(lock_and_expect, &p);
		assert_int_equal(place_tell(p.dir, asks[i], &info), OK);
		assert_true(place_wait(p.dir, 10000));
		int status = helper_end(&h);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 100 + signals[i]);
	}
	struct helper h = helper_start(lock_it, &p);
	assert_int_equal(place_tell(p.dir, PLACE_KILL, &info), OK);
	int status = helper_end(&h);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(place_tell(p.dir, PLACE_KILL, &info), ERR_BAD_STATE);
	place_release(&p);
}

static void waiting_ends_with_the_run_or_with_the_time(void **state)
{
	(void)state;
	struct place p = made("waited-for");
	assert_true(place_wait(p.dir, 0));
	struct helper h = helper_start(lock_it, &p);
	int64_t begun_ms = clock_boot_ms();
	assert_false(place_wait(p.dir, 100));
	assert_true(clock_boot_ms() - begun_ms >= 100);
	kill(h.pid, SIGKILL);
	assert_true(place_wait(p.dir, 10000));
	helper_end(&h);
	place_release(&p);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)
	const struct CMUnitTest tests[] = {
		T(a_made_place_is_a_private_directory_named_by_name_and_id),
		T(a_directory_holds_thirty_safe_characters_of_a_name),
		T(a_name_that_cannot_be_shown_is_refused),
		T(a_taken_name_is_refused),
		T(names_that_only_look_alike_as_directories_are_both_free),
		T(random_names_are_two_words_and_differ),
		T(two_that_begin_at_once_do_not_both_get_a_name),
		T(an_output_that_cannot_be_made_is_named),
		T(output_is_the_option_then_the_environment_then_the_configuration_then_the_data_directory),
		T(a_list_has_experiments_only_and_the_newest_first),
		T(ten_thousand_are_listed_without_opening_any),
		T(an_experiment_is_found_by_all_its_names),
		T(a_whole_name_beats_the_beginnings_of_others),
		T(what_fits_several_names_them),
		T(what_fits_none_is_an_error_that_says_so),
		T(a_copy_under_another_name_has_the_id_of_its_manifest),
		T(one_that_runs_is_locked_listed_and_known_by_its_pid),
		T(a_killed_one_runs_no_more_and_its_marks_go),
		T(looking_at_ones_own_lock_does_not_drop_it),
		T(a_mark_is_not_lost_while_others_look),
		T(one_that_was_removed_cannot_be_locked),
		T(one_that_runs_in_another_output_is_found),
		T(telling_sends_the_signal_to_who_holds_the_lock),
		T(waiting_ends_with_the_run_or_with_the_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
