#include "event/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/id.h"
#include "event/events.h"
#include "event/line.h"

struct fixture {
	char dir[64];
	struct limits limits;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	snprintf(f->dir, sizeof f->dir, "/tmp/roost-journal-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	limits_default(&f->limits);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	DIR *d = opendir(f->dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(f->dir);
	free(f);
	return 0;
}

static struct journal *open_it(struct fixture *f)
{
	struct journal *j;
	struct errinfo info = {0};
	enum err e = journal_open(f->dir, &f->limits, &j, &info);
	if (e != OK) print_error("%s\n", info.text);
	assert_int_equal(e, OK);
	return j;
}

static void tell(struct journal *j, int from, int n)
{
	for (int i = from; i < from + n; i++)
		journal_event(j, "request.claimed", EVS("requestId", STR("r-1")), EVI("attempt", i),
			      EVS("gone", STR_NONE));
}

struct seen {
	int64_t count, first, last, bad;
	bool in_order;
	struct buf text;
	int64_t stop_after;
};

static enum err see(void *ctx, int64_t n, struct str line)
{
	struct seen *s = ctx;
	struct json_doc *doc;
	assert_int_equal(json_parse(line, &doc, NULL), OK);
	int64_t stored;
	assert_true(json_int(json_get(json_root(doc), "n"), &stored) && stored == n);
	json_free(doc);
	if (s->count == 0) s->first = n;
	else s->in_order = s->in_order && n == s->last + 1;
	s->last = n;
	s->count++;
	buf_add_str(&s->text, line);
	buf_add_char(&s->text, '\n');
	return s->stop_after > 0 && s->count == s->stop_after ? ERR_CANCELLED : OK;
}

static struct seen read_it(struct fixture *f, int64_t after_n, int64_t since_ms)
{
	struct seen s = {.in_order = true, .text = BUF_INIT(BUF_NO_LIMIT)};
	buf_add(&s.text, "", 0);
	assert_int_equal(journal_read(f->dir, after_n, since_ms, see, &s, &s.bad, NULL), OK);
	return s;
}

static void path_of(struct fixture *f, const char *name, char out[128]) { snprintf(out, 128, "%s/%s", f->dir, name); }

static void append_bytes(struct fixture *f, const void *p, size_t n)
{
	char path[128];
	path_of(f, "current.jsonl", path);
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

static void lines_are_json_numbered_and_read_back(void **state)
{
	struct fixture *f = *state;
	struct journal *j = open_it(f);
	journal_event(j, "daemon.started", EVS("version", STR("1\"\n\x1b\xe2\x80\xa8")), EVI("pid", -5),
		      EVB("weak", true));
	tell(j, 1, 3);
	journal_flush(j);
	struct seen s = read_it(f, 0, 0);
	assert_int_equal(s.count, 4);
	assert_int_equal(s.first, 1);
	assert_true(s.in_order && s.bad == 0);
	assert_non_null(strstr(
		s.text.p,
		",\"event\":\"daemon.started\",\"version\":\"1\\\"\\n\\u001b\\u2028\",\"pid\":-5,\"weak\":true,\"sum\":\""));
	assert_null(strstr(s.text.p, "gone"));
	buf_release(&s.text);
	journal_close(j);
}

static void numbers_go_on_after_a_restart(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 3; i++) {
		struct journal *j = open_it(f);
		tell(j, 0, 5);
		journal_close(j);
	}
	struct seen s = read_it(f, 0, 0);
	assert_int_equal(s.count, 15);
	assert_int_equal(s.last, 15);
	assert_true(s.in_order);
	buf_release(&s.text);
	s = read_it(f, 12, 0);
	assert_int_equal(s.first, 13);
	assert_int_equal(s.count, 3);
	buf_release(&s.text);
	s = read_it(f, 0, clock_wall_ms() + 60000);
	assert_int_equal(s.count, 0);
	buf_release(&s.text);
	s = read_it(f, 0, clock_wall_ms() - 60000);
	assert_int_equal(s.count, 15);
	buf_release(&s.text);
}

static int count_files(struct fixture *f, int64_t *out_bytes)
{
	int n = 0;
	DIR *d = opendir(f->dir);
	*out_bytes = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct stat st;
		if (e->d_name[0] == '.') continue;
		assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		*out_bytes += st.st_size;
		n++;
	}
	closedir(d);
	return n;
}

static void files_rotate_and_the_oldest_go(void **state)
{
	struct fixture *f = *state;
	int64_t bytes;
	f->limits.journal_bytes = 4096;
	f->limits.journal_files = 3;
	struct journal *j = open_it(f);
	for (int i = 0; i < 40; i++) {
		tell(j, 0, 10);
		journal_flush(j);
	}
	journal_close(j);
	assert_int_equal(count_files(f, &bytes), 3);
	assert_in_range(bytes, 4096, 3 * 4096);
	struct seen s = read_it(f, 0, 0);
	assert_true(s.in_order && s.first > 1);
	assert_int_equal(s.last, 400);
	buf_release(&s.text);
	j = open_it(f);
	tell(j, 0, 1);
	journal_close(j);
	s = read_it(f, 399, 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.last, 401);
	buf_release(&s.text);
}

/* Every way a power cut may leave the last line: any length of it, with and without NUL bytes after it. */
static void every_torn_end_is_moved_away(void **state)
{
	struct fixture *f = *state;
	struct buf line = BUF_INIT(1000);
	char path[128];
	int64_t expect = 0;
	path_of(f, "current.jsonl.torn", path);
	struct journal *j = open_it(f);
	tell(j, 0, 2);
	journal_close(j);
	expect = 2;
	line_write(&line, clock_wall_ms(), 999, STR(",\"event\":\"x\""));
	for (size_t n = 1; n < line.n; n++) {
		unlink(path);
		append_bytes(f, line.p, n);
		if (n % 2 == 0) append_bytes(f, "\0\0\0\0\0\n\0", 7);
		struct stat st;
		j = open_it(f);
		tell(j, 0, 1);
		journal_close(j);
		expect += 2; /* journal.repaired and ours */
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, n + (n % 2 == 0 ? 7 : 0));
	}
	struct seen s = read_it(f, 0, 0);
	assert_int_equal(s.last, expect);
	assert_int_equal(s.count, expect);
	assert_true(s.in_order && s.bad == 0);
	buf_release(&s.text);
	buf_release(&line);
}

static void damage_in_the_middle_is_counted_and_skipped(void **state)
{
	struct fixture *f = *state;
	char path[128];
	struct journal *j = open_it(f);
	tell(j, 0, 20);
	journal_close(j);
	path_of(f, "current.jsonl", path);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "X", 1, 300), 1);
	close(fd);
	struct seen s = read_it(f, 0, 0);
	assert_int_equal(s.count, 19);
	assert_int_equal(s.bad, 1);
	buf_release(&s.text);
	j = open_it(f);
	tell(j, 0, 1);
	journal_close(j);
	s = read_it(f, 20, 0);
	assert_int_equal(s.first, 21);
	buf_release(&s.text);
}

static void a_line_still_being_written_is_left_out(void **state)
{
	struct fixture *f = *state;
	struct journal *j = open_it(f);
	tell(j, 0, 2);
	journal_close(j);
	append_bytes(f, "{\"at\":\"20", 9);
	struct seen s = read_it(f, 0, 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.bad, 0);
	buf_release(&s.text);
}

static void a_reader_can_stop_and_a_missing_journal_is_told(void **state)
{
	struct fixture *f = *state;
	struct journal *j = open_it(f);
	tell(j, 0, 5);
	journal_close(j);
	struct seen s = {.stop_after = 2, .text = BUF_INIT(BUF_NO_LIMIT)};
	assert_int_equal(journal_read(f->dir, 0, 0, see, &s, NULL, NULL), ERR_CANCELLED);
	assert_int_equal(s.count, 2);
	buf_release(&s.text);
	assert_int_equal(journal_read("/nonexistent", 0, 0, see, &s, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(journal_open("/nonexistent/dir", &f->limits, &j, NULL), ERR_IO);
}

/* RLIMIT_FSIZE stands for a full disk: a write comes back short or fails. */
static void a_full_disk_drops_lines_and_says_so_later(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, full = {1500, 1500};
	struct journal *j = open_it(f);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	full.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	tell(j, 0, 50);
	journal_flush(j);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	tell(j, 100, 1);
	journal_flush(j);
	journal_close(j);
	struct seen s = read_it(f, 0, 0);
	assert_true(s.in_order && s.bad == 0);
	assert_in_range(s.count, 5, 20);
	const char *dropped = strstr(s.text.p, "\"event\":\"journal.dropped\",\"count\":");
	assert_non_null(dropped);
	assert_int_equal(strtol(dropped + 34, NULL, 10), 50 - (s.count - 2));
	assert_non_null(strstr(dropped, "\"attempt\":100"));
	assert_non_null(strstr(dropped, "disk full"));
	buf_release(&s.text);
}

static void dropped_lines_are_told_without_a_new_event(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, full;
	struct journal *j = open_it(f);
	tell(j, 0, 1);
	journal_flush(j);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	full = (struct rlimit){10, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	tell(j, 0, 1);
	journal_flush(j);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	struct seen s = {0};
	for (int i = 0; i < 30 && s.count < 2; i++) {
		usleep(100000);
		buf_release(&s.text);
		s = read_it(f, 0, 0);
	}
	assert_non_null(strstr(s.text.p, "journal.dropped"));
	buf_release(&s.text);
	journal_close(j);
}

static void numbers_go_on_without_the_current_file(void **state)
{
	struct fixture *f = *state;
	char path[128];
	f->limits.journal_bytes = 4096;
	struct journal *j = open_it(f);
	tell(j, 0, 60);
	journal_close(j);
	struct seen s = read_it(f, 0, 0);
	buf_release(&s.text);
	path_of(f, "current.jsonl", path);
	assert_int_equal(unlink(path), 0);
	struct seen rotated = read_it(f, 0, 0);
	assert_true(rotated.last > 1 && rotated.last < s.last);
	buf_release(&rotated.text);
	j = open_it(f);
	tell(j, 0, 1);
	journal_close(j);
	s = read_it(f, rotated.last, 0);
	assert_int_equal(s.first, rotated.last + 1);
	assert_int_equal(s.count, 1);
	buf_release(&s.text);
}

/* A reader that is slow: while it looks at its first line, the file it will open last is rotated away. */
struct slow {
	struct journal *j;
	int64_t count, last;
};

static enum err see_slowly(void *ctx, int64_t n, struct str line)
{
	struct slow *s = ctx;
	(void)line;
	if (s->count++ == 0) {
		tell(s->j, 0, 200);
		journal_flush(s->j);
	}
	assert_int_equal(n, s->last + 1);
	s->last = n;
	return OK;
}

static void nothing_is_missed_when_files_rotate_under_a_reader(void **state)
{
	struct fixture *f = *state;
	f->limits.journal_bytes = 4096;
	f->limits.journal_files = 100;
	struct slow s = {.j = open_it(f)};
	tell(s.j, 0, 60);
	journal_flush(s.j);
	assert_int_equal(journal_read(f->dir, 0, 0, see_slowly, &s, NULL, NULL), OK);
	assert_int_equal(s.last, 260);
	journal_close(s.j);
}

static void *tell_many(void *ctx)
{
	tell(ctx, 0, 500);
	return NULL;
}

struct reading {
	struct fixture *f;
	int rounds;
};

static void *read_while_written(void *ctx)
{
	struct reading *r = ctx;
	int64_t last = 0;
	for (int i = 0; i < r->rounds; i++) {
		struct seen s = read_it(r->f, last, 0);
		assert_true(s.in_order && s.bad == 0);
		if (s.count > 0) {
			assert_int_equal(s.first, last + 1);
			last = s.last;
		}
		buf_release(&s.text);
	}
	return NULL;
}

static void many_threads_tell_while_others_read_and_files_rotate(void **state)
{
	struct fixture *f = *state;
	f->limits.journal_bytes = 8192;
	f->limits.journal_files = 1000;
	struct journal *j = open_it(f);
	struct reading reading = {f, 40};
	pthread_t t[4], reader;
	assert_int_equal(pthread_create(&reader, NULL, read_while_written, &reading), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) assert_int_equal(pthread_create(&t[i], NULL, tell_many, j), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) pthread_join(t[i], NULL);
	pthread_join(reader, NULL);
	journal_close(j);
	struct seen s = read_it(f, 0, 0);
	assert_int_equal(s.count, 2000);
	assert_true(s.in_order && s.bad == 0);
	buf_release(&s.text);
}

static void note_tail(void *ctx, int64_t n, struct str line)
{
	int64_t seen_n;
	struct str at;
	assert_true(journal_check_line(line, &seen_n, &at) && seen_n == n);
	++*(int *)ctx;
}

static void the_tail_sees_every_line(void **state)
{
	struct fixture *f = *state;
	int n = 0;
	struct journal *j = open_it(f);
	journal_set_tail(j, note_tail, &n);
	tell(j, 0, 7);
	journal_close(j);
	assert_int_equal(n, 7);
}

static void a_null_journal_takes_everything(void **state)
{
	(void)state;
	tell(NULL, 0, 2);
	journal_flush(NULL);
	journal_close(NULL);
}

static void event_types_are_unique_and_findable(void **state)
{
	(void)state;
	for (size_t i = 0; i < event_count; i++) {
		assert_ptr_equal(event_find(str_c(event_rows[i].type)), &event_rows[i]);
		assert_non_null(strchr(event_rows[i].type, '.'));
	}
	assert_null(event_find(STR("no.such")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_are_json_numbered_and_read_back),
		TEST(numbers_go_on_after_a_restart),
		TEST(files_rotate_and_the_oldest_go),
		TEST(every_torn_end_is_moved_away),
		TEST(damage_in_the_middle_is_counted_and_skipped),
		TEST(a_line_still_being_written_is_left_out),
		TEST(a_reader_can_stop_and_a_missing_journal_is_told),
		TEST(a_full_disk_drops_lines_and_says_so_later),
		TEST(dropped_lines_are_told_without_a_new_event),
		TEST(numbers_go_on_without_the_current_file),
		TEST(nothing_is_missed_when_files_rotate_under_a_reader),
		TEST(many_threads_tell_while_others_read_and_files_rotate),
		TEST(the_tail_sees_every_line),
		TEST(a_null_journal_takes_everything),
		TEST(event_types_are_unique_and_findable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
