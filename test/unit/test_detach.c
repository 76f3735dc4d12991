/* Starting the background process: what reaches it, what it can say, and what nobody else can see. The program starts
 * itself: as `roost run --in ID` it is the background process and does what the spec it got says. */
#include "experiment_gear.h"

#include <dirent.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/json.h"
#include "lab/detach.h"

#define LONG_MS 20000

/* ---- the background process ------------------------------------------------------------------------------------- */

static size_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
	closedir(d);
	return n - 1; /* of the directory */
}

static void put_whole_file(struct jw *w, const char *key, const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : 0;
	close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0') text[i] = ' ';
	jw_kstr(w, key, str_n(text, (size_t)MAX(n, 0)));
}

/* DIR/seen: what the process finds around it. */
static void write_seen(const struct detach_order *o, size_t at_start)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT), path = BUF_INIT(4096);
	struct jw w = JW(&b);
	struct sigaction hup, term;
	char stdin_is[64] = "";
	ssize_t n = readlink("/proc/self/fd/0", stdin_is, sizeof stdin_is - 1);
	sigaction(SIGHUP, NULL, &hup);
	sigaction(SIGTERM, NULL, &term);
	jw_obj(&w);
	jw_kstr(&w, "id", str_c(o->place.id));
	jw_kstr(&w, "name", str_c(o->place.name));
	jw_kbool(&w, "resume", o->resume);
	jw_kstr(&w, "config", o->config_file != NULL ? str_c(o->config_file) : STR("none"));
	jw_kstr(&w, "data", o->data_dir != NULL ? str_c(o->data_dir) : STR("none"));
	jw_kint(&w, "specBytes", (int64_t)o->spec.n);
	jw_kint(&w, "descriptors", (int64_t)at_start);
	jw_kstr(&w, "stdin", str_n(stdin_is, (size_t)MAX(n, 0)));
	jw_kbool(&w, "leads", getsid(0) == getpid());
	jw_kbool(&w, "hangUpIgnored", hup.sa_handler == SIG_IGN);
	jw_kbool(&w, "termDefault", term.sa_handler == SIG_DFL);
	jw_kstr(&w, "key", getenv("CANARY_API_KEY") != NULL ? str_c(getenv("CANARY_API_KEY")) : STR("none"));
	put_whole_file(&w, "line", "/proc/self/cmdline");
	jw_obj_end(&w);
	buf_addf(&path, "%s/seen", o->place.dir);
	put_file(path.p, b.p);
	buf_release(&b);
	buf_release(&path);
}

static int background(void)
{
	struct detach_order o;
	struct errinfo why = {0};
	size_t at_start = descriptors();
	if (detach_receive(&o, &why) != OK) return 1;
	if (str_starts(o.spec, STR("exit"))) return 1;
	if (str_starts(o.spec, STR("silent")))
		for (;;) pause();
	if (str_starts(o.spec, STR("fail"))) {
		detach_tell(err_set(&why, ERR_MODEL_UNKNOWN, "nobody serves \"canary\""), &why);
		return 65;
	}
	write_seen(&o, at_start);
	printf("said on stdout\n");
	fflush(stdout);
	fprintf(stderr, "said on stderr\n");
	detach_tell(OK, NULL);
	int others[2], unread = 0;
	if (pipe(others) != 0) return 1; /* its ends have the numbers that are free now */
	detach_tell(ERR_INTERNAL, NULL);
	detach_order_release(&o);
	return ioctl(others[0], FIONREAD, &unread) != 0 || unread != 0 ? 1 : 0;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static struct detach_order order(const char *spec)
{
	static char dir[600], name[] = "a \"name\"";
	struct detach_order o = {.spec = str_c(spec)};
	snprintf(dir, sizeof dir, "%s", in_scratch("a_1a2b3c4d"));
	o.place = (struct place){.dir = dir, .id = "experiment_1a2b3c4d", .name = name};
	if (!is_there(o.place.dir)) assert_int_equal(mkdir(o.place.dir, 0700), 0);
	return o;
}

static struct json_doc *seen(void)
{
	char text[16384];
	struct json_doc *doc;
	int fd = open(in_scratch("a_1a2b3c4d/seen"), O_RDONLY);
	assert_true(fd >= 0);
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	assert_int_equal(json_parse(str_n(text, (size_t)MAX(n, 0)), &doc, &info), OK);
	return doc;
}

static void expect_text(const struct json_doc *doc, const char *key, const char *value)
{
	struct str s = STR("");
	assert_true(json_str(json_get(json_root(doc), key), &s));
	if (!str_eq(s, str_c(value))) fail_msg("%s is %.*s and not %s", key, STR_ARG(s), value);
}

static void expect_int(const struct json_doc *doc, const char *key, int64_t value)
{
	int64_t v = -1;
	assert_true(json_int(json_get(json_root(doc), key), &v));
	assert_int_equal(v, value);
}

static void expect_true(const struct json_doc *doc, const char *key)
{
	bool v = false;
	assert_true(json_bool(json_get(json_root(doc), key), &v));
	if (!v) fail_msg("%s is false", key);
}

static void start(const struct detach_order *o)
{
	int pid, status;
	enum err e = detach_start(o, LONG_MS, &pid, &info);
	if (e != OK) print_error("%s\n", info.text);
	assert_int_equal(e, OK);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void the_order_arrives_whole_and_not_by_the_arguments(void **state)
{
	(void)state;
	size_t n = (size_t)3 << 20;
	char *big = xmalloc(n);
	memset(big, '\n', n);
	memcpy(big, "prompt: \"canary\" \\\t\xc3\xa9", 22);
	struct detach_order o = order("");
	o.spec = str_n(big, n);
	o.resume = true;
	o.config_file = (char[]){"/etc/roost.yaml"};
	int other = open("/dev/null", O_RDONLY); /* without CLOEXEC: somebody else's */
	start(&o);
	close(other);
	struct json_doc *doc = seen();
	expect_text(doc, "id", "experiment_1a2b3c4d");
	expect_text(doc, "name", "a \"name\"");
	expect_text(doc, "config", "/etc/roost.yaml");
	expect_text(doc, "data", "none");
	expect_true(doc, "resume");
	expect_int(doc, "specBytes", (int64_t)n);
	expect_text(doc, "line", "roost run --in experiment_1a2b3c4d ");
	expect_int(doc, "descriptors", 4);
	expect_text(doc, "stdin", "/dev/null");
	expect_true(doc, "leads");
	expect_true(doc, "hangUpIgnored");
	json_free(doc);
	free(big);
}

static void ignored_signals_are_not_handed_on(void **state)
{
	(void)state;
	struct detach_order o = order("go");
	signal(SIGTERM, SIG_IGN);
	start(&o);
	signal(SIGTERM, SIG_DFL);
	struct json_doc *doc = seen();
	expect_true(doc, "termDefault");
	json_free(doc);
}

static void what_it_prints_is_in_a_private_log(void **state)
{
	(void)state;
	struct stat st;
	char text[200] = "";
	struct detach_order o = order("go");
	start(&o);
	start(&o);
	int fd = open(in_scratch("a_1a2b3c4d/" DETACH_LOG), O_RDONLY);
	assert_true(read(fd, text, sizeof text - 1) > 0);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_string_equal(text, "said on stdout\nsaid on stderr\nsaid on stdout\nsaid on stderr\n");
}

static void the_kept_environment_is_handed_on_when_ours_was_wiped(void **state)
{
	(void)state;
	struct detach_order o = order("go");
	setenv("CANARY_API_KEY", "sk-canary", 1);
	detach_keep_environment();
	char *ours = getenv("CANARY_API_KEY");
	assert_non_null(ours);
	if (ours != NULL) memset(ours, 0, strlen("sk-canary"));
	for (int i = 0; i < 2; i++) { /* one spec after another */
		start(&o);
		struct json_doc *doc = seen();
		expect_text(doc, "key", "sk-canary");
		json_free(doc);
	}
	detach_forget_environment();
	start(&o);
	struct json_doc *doc = seen();
	expect_text(doc, "key", "");
	json_free(doc);
	unsetenv("CANARY_API_KEY");
}

static void why_it_cannot_begin_is_what_the_command_says(void **state)
{
	(void)state;
	int pid;
	struct detach_order o = order("fail");
	assert_int_equal(detach_start(&o, LONG_MS, &pid, &info), ERR_MODEL_UNKNOWN);
	assert_string_equal(info.text, "nobody serves \"canary\"");
	waitpid(pid, NULL, 0);
}

static void one_that_ends_without_a_word_is_an_error_that_names_the_log(void **state)
{
	(void)state;
	int pid;
	struct detach_order o = order("exit");
	assert_int_equal(detach_start(&o, LONG_MS, &pid, &info), ERR_INTERNAL);
	assert_non_null(strstr(info.text, "a_1a2b3c4d/" DETACH_LOG));
	waitpid(pid, NULL, 0);
}

static void one_that_never_says_anything_is_given_up_and_told_to_end(void **state)
{
	(void)state;
	int pid, status;
	struct detach_order o = order("silent");
	int64_t begun_ms = clock_boot_ms();
	assert_int_equal(detach_start(&o, 200, &pid, &info), ERR_TIMEOUT);
	assert_true(clock_boot_ms() - begun_ms >= 200);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void a_directory_that_is_gone_is_an_error(void **state)
{
	(void)state;
	int pid;
	struct detach_order o = order("go");
	assert_int_equal(rmdir(o.place.dir), 0);
	assert_int_equal(detach_start(&o, LONG_MS, &pid, &info), ERR_IO);
	assert_non_null(strstr(info.text, "a_1a2b3c4d"));
}

static void nobody_else_can_pretend_to_be_the_command(void **state)
{
	(void)state;
	struct detach_order o;
	assert_int_equal(detach_receive(&o, &info), ERR_USAGE);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "run") == 0 && strcmp(argv[2], "--in") == 0) return background();
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)
	const struct CMUnitTest tests[] = {
		T(the_order_arrives_whole_and_not_by_the_arguments),
		T(ignored_signals_are_not_handed_on),
		T(what_it_prints_is_in_a_private_log),
		T(the_kept_environment_is_handed_on_when_ours_was_wiped),
		T(why_it_cannot_begin_is_what_the_command_says),
		T(one_that_ends_without_a_word_is_an_error_that_names_the_log),
		T(one_that_never_says_anything_is_given_up_and_told_to_end),
		T(a_directory_that_is_gone_is_an_error),
		T(nobody_else_can_pretend_to_be_the_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
