/* The writer of event files: order, many files, restarts, disks that are full, slow or broken, and a process that is
 * killed. The system's calls go through here, so that a test may have them fail. */
#include "event/lab_log.h"

#include "lab_gear.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- the system -------------------------------------------------------------------------------------------------- */

static struct {
	_Atomic int64_t room;   /* bytes the disk still takes; -1 as many as come */
	_Atomic int sync_error; /* what fdatasync and syncfs answer, an errno */
	_Atomic bool is_bitty;  /* each write takes three bytes at most, and every other one is interrupted */
	_Atomic int interrupted;
	_Atomic int fdatasyncs, syncfss, fsyncs, writes;
} os;

ssize_t writev(int fd, const struct iovec *iovec, int count)
{
	struct iovec first = iovec[0];
	os.writes++;
	if (os.is_bitty && os.interrupted++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	if (os.is_bitty) first.iov_len = MIN(first.iov_len, (size_t)3);
	if (os.room == 0) {
		errno = ENOSPC;
		return -1;
	}
	if (os.room > 0) {
		first.iov_len = MIN(first.iov_len, (size_t)os.room);
		os.room -= (int64_t)first.iov_len;
	}
	if (os.is_bitty || os.room >= 0) return (ssize_t)syscall(SYS_write, fd, first.iov_base, first.iov_len);
	return (ssize_t)syscall(SYS_writev, fd, iovec, count);
}

static int answer_sync(void)
{
	errno = os.sync_error;
	return os.sync_error != 0 ? -1 : 0;
}

int fdatasync(int fildes)
{
	(void)fildes;
	os.fdatasyncs++;
	return answer_sync();
}

int syncfs(int fd)
{
	(void)fd;
	os.syncfss++;
	return answer_sync();
}

int fsync(int fd)
{
	(void)fd;
	os.fsyncs++;
	return 0;
}

/* ---- a directory and a writer ------------------------------------------------------------------------------------ */

struct fixture {
	char dir[64];
	struct lab_writer *writer;
	_Atomic int written;
	_Atomic int failures;
	_Atomic int error; /* the last one */
};

static void note_failure(void *ctx, enum err e, const struct errinfo *info)
{
	struct fixture *f = ctx;
	assert_true(info->err == e && info->text[0] != '\0');
	f->error = (int)e;
	f->failures++;
}

static void note_written(void *ctx) { ((struct fixture *)ctx)->written++; }

static void start(struct fixture *f, int64_t sync_ms, size_t max_bytes)
{
	f->writer = lab_writer_new(&(struct lab_writer_options){
		.sync_ms = sync_ms, .max_bytes = max_bytes, .failed = note_failure, .written = note_written, .ctx = f});
}

static void end(struct fixture *f)
{
	struct errinfo info = {0};
	if (lab_writer_free(f->writer, &info) != OK) fail_msg("%s", info.text);
	f->writer = NULL;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	snprintf(f->dir, sizeof f->dir, "/tmp/roost-lab-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	memset(&os, 0, sizeof os);
	os.room = -1;
	start(f, 1000, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->writer != NULL && lab_writer_free(f->writer, NULL) != OK) print_error("the writer had failed\n");
	DIR *d = opendir(f->dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(f->dir);
	free(f);
	return 0;
}

static const char *path_of(const struct fixture *f, int file)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/events_%d.jsonl", f->dir, file);
	return path;
}

static enum err try_open(struct fixture *f, int file, int64_t next_seq, int64_t good_bytes, struct lab_log **out,
			 struct errinfo *info)
{
	const struct lab_log_options o = {.path = path_of(f, file),
					  .experiment_id = STR_INIT("experiment_1a2b3c4d"),
					  .next_seq = next_seq,
					  .good_bytes = good_bytes};
	return lab_log_open(f->writer, &o, out, info);
}

static struct lab_log *open_log(struct fixture *f, int file)
{
	struct lab_log *l;
	struct errinfo info = {0};
	if (try_open(f, file, 1, 0, &l, &info) != OK) fail_msg("%s", info.text);
	return l;
}

static int64_t tell(struct lab_log *l, int64_t turn)
{
	struct lab_event e = {.type = LE_TURN_START};
	e.v[LF(TurnStartEvent, conversation_id)] = lv_str(STR("conv_1a2b3c4d"));
	e.v[LF(TurnStartEvent, turn_number)] = lv_int(turn);
	return lab_log_add(l, &e);
}

static void flush(struct fixture *f)
{
	struct errinfo info = {0};
	if (lab_writer_flush(f->writer, &info) != OK) fail_msg("%s", info.text);
}

/* Waits for a condition that another thread brings about. */
#define UNTIL(condition)                                                                                               \
	for (int64_t limit_ms = clock_boot_ms() + 20000; !(condition); usleep(1000))                                   \
		if (clock_boot_ms() > limit_ms) fail_msg("it never came to %s", #condition)

/* Of all that is there at once, not of what a round happens to find. */
static void flush_at_once(struct fixture *f)
{
	UNTIL(lab_writer_pending(f->writer) == 0);
	flush(f);
}

static int64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static enum err see_next(void *ctx, const struct lab_event *e)
{
	int64_t *turn = ctx;
	assert_int_equal(e->type, LE_TURN_START);
	assert_int_equal(lab_int(e, LF(TurnStartEvent, turn_number), -1), *turn);
	assert_int_equal(e->seq, *turn + 1);
	++*turn;
	return OK;
}

/* Its lines are TurnStartEvents from 0 on without a hole; how many. */
static int64_t count_lines(const struct fixture *f, int file, struct lab_file_end *end)
{
	int64_t turn = 0;
	assert_int_equal(lab_file_read(path_of(f, file), 0, see_next, &turn, end, NULL), OK);
	assert_int_equal(end->bad_lines, 0);
	assert_int_equal(end->last_seq, turn);
	return turn;
}

static void assert_whole(const struct fixture *f, int file, int64_t lines)
{
	struct lab_file_end end;
	assert_int_equal(count_lines(f, file, &end), lines);
	assert_int_equal(end.torn_bytes, 0);
	assert_int_equal(end.good_bytes, size_of(path_of(f, file)));
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void lines_of_many_files_stay_in_their_files_and_order(void **state)
{
	struct fixture *f = *state;
	struct lab_log *logs[7];
	for (int i = 0; i < 7; i++) logs[i] = open_log(f, i);
	for (int64_t n = 0; n < 7 * 300; n++) assert_int_equal(tell(logs[n % 7], n / 7), n / 7 + 1);
	flush(f);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(size_of(path_of(f, i)), lab_log_bytes(logs[i]));
		assert_whole(f, i, 300);
		lab_log_close(logs[i]);
	}
	assert_int_equal(lab_writer_pending(f->writer), 0);
	end(f);
}

static enum err see_filled(void *ctx, const struct lab_event *e)
{
	int *n = ctx;
	int64_t now_ms = clock_wall_ms();
	assert_int_equal(e->seq, ++*n);
	assert_str(e->experiment_id, STR("experiment_1a2b3c4d"));
	if (*n == 2) assert_int_equal(e->at_us, SAMPLE_US);
	else assert_in_range(e->at_us / 1000, now_ms - 60000, now_ms);
	return OK;
}

static void number_time_and_experiment_are_filled_in(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	struct lab_file_end end;
	struct lab_event first = {.type = LE_TURN_START}, second = {.type = LE_CONVERSATION_END, .at_us = SAMPLE_US};
	int n = 0;
	assert_int_equal(lab_log_add(l, &first), 1);
	assert_int_equal(lab_log_add(l, &second), 2);
	lab_log_close(l);
	flush(f);
	assert_int_equal(lab_file_read(path_of(f, 0), 0, see_filled, &n, &end, NULL), OK);
	assert_int_equal(n, 2);
}

/* The process may open three more than it has. */
static struct rlimit allow_three_files(void)
{
	struct rlimit old, few;
	int lowest = dup(STDIN_FILENO);
	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){(rlim_t)lowest + 3, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	return old;
}

static void check_few_descriptors(struct fixture *f, int files)
{
	struct lab_log *logs[600];
	for (int i = 0; i < files; i++) logs[i] = open_log(f, i);
	struct rlimit old = allow_three_files();
	enum err e = OK;
	for (int64_t turn = 0; turn < 3 && e == OK; turn++) {
		for (int i = 0; i < files; i++) tell(logs[i], turn);
		e = lab_writer_flush(f->writer, NULL);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(e, OK);
	for (int i = 0; i < files; i++) tell(logs[i], 3);
	for (int i = 0; i < files; i++) lab_log_close(logs[i]);
	end(f);
	for (int i = 0; i < files; i++) assert_whole(f, i, 4);
}

static void more_files_are_written_than_may_be_open(void **state) { check_few_descriptors(*state, 600); }
static void few_files_are_synced_when_none_may_be_opened(void **state) { check_few_descriptors(*state, 12); }

static void what_is_closed_is_written_all_the_same(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 300; i++) {
		struct lab_log *l = open_log(f, i);
		tell(l, 0);
		tell(l, 1);
		lab_log_close(l);
	}
	lab_log_close(NULL);
	lab_log_close(open_log(f, 300));
	end(f);
	for (int i = 0; i < 300; i++) assert_whole(f, i, 2);
	assert_whole(f, 300, 0);
}

static void an_end_without_a_close_writes_everything(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	for (int64_t i = 0; i < 1000; i++) tell(l, i);
	end(f);
	assert_whole(f, 0, 1000);
}

static void writes_that_come_short_or_are_interrupted_lose_nothing(void **state)
{
	struct fixture *f = *state;
	struct lab_log *a = open_log(f, 0), *b = open_log(f, 1);
	os.is_bitty = true;
	for (int64_t i = 0; i < 40; i++) {
		tell(a, i);
		tell(b, i);
	}
	flush(f);
	assert_whole(f, 0, 40);
	assert_whole(f, 1, 40);
	assert_int_equal(f->failures, 0);
}

static void lines_of_one_step_go_out_together(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	for (int64_t i = 0; i < 200; i++) tell(l, i);
	flush(f);
	assert_in_range(os.writes, 1, 20);
}

static void a_mark_is_reached_when_the_lines_before_it_are_in_their_files(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	assert_true(lab_writer_reached(f->writer, lab_writer_mark(f->writer)));
	os.room = 0;
	tell(l, 0);
	int64_t mark = lab_writer_mark(f->writer);
	assert_false(lab_writer_reached(f->writer, mark));
	UNTIL(f->failures == 1);
	assert_false(lab_writer_reached(f->writer, mark));
	assert_int_equal(f->written, 0);
	os.room = -1;
	lab_writer_retry(f->writer);
	UNTIL(f->written == 1);
	assert_true(lab_writer_reached(f->writer, mark));
	assert_whole(f, 0, 1);
	assert_int_equal(os.fdatasyncs, 0);
}

/* ---- syncing ----------------------------------------------------------------------------------------------------- */

static void a_flush_syncs_each_file_and_the_directory_of_new_ones_once(void **state)
{
	struct fixture *f = *state;
	end(f);
	start(f, 3600000, 0);
	struct lab_log *a = open_log(f, 0), *b = open_log(f, 1);
	tell(a, 0);
	tell(b, 0);
	flush_at_once(f);
	assert_int_equal(os.fdatasyncs, 2);
	assert_int_equal(os.fsyncs, 1);
	tell(a, 1);
	flush(f);
	assert_int_equal(os.fdatasyncs, 3);
	assert_int_equal(os.fsyncs, 1);
	flush(f);
	assert_int_equal(os.fdatasyncs, 3);
}

static void what_was_written_is_synced_after_its_time(void **state)
{
	struct fixture *f = *state;
	end(f);
	start(f, 50, 0);
	struct lab_log *l = open_log(f, 0);
	int64_t begun_ms = clock_boot_ms();
	tell(l, 0);
	UNTIL(os.fdatasyncs == 1);
	assert_true(clock_boot_ms() - begun_ms >= 50);
	tell(l, 1);
	UNTIL(os.fdatasyncs == 2);
	assert_whole(f, 0, 2);
}

static void every_round_is_synced_when_no_time_is_given(void **state)
{
	struct fixture *f = *state;
	end(f);
	start(f, 0, 0);
	struct lab_log *l = open_log(f, 0);
	for (int i = 0; i < 5; i++) {
		tell(l, i);
		UNTIL(os.fdatasyncs == i + 1);
	}
}

static void many_files_are_synced_with_one_call(void **state)
{
	struct fixture *f = *state;
	end(f);
	start(f, 3600000, 0);
	for (int i = 0; i < 400; i++) tell(open_log(f, i), 0);
	flush_at_once(f);
	assert_int_equal(os.syncfss, 1);
	assert_int_equal(os.fdatasyncs, 0);
}

static void after_a_failed_sync_nothing_is_believed(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	struct errinfo info = {0};
	tell(l, 0);
	os.sync_error = EIO;
	assert_int_equal(lab_writer_flush(f->writer, &info), ERR_IO);
	assert_non_null(strstr(info.text, "synced"));
	os.sync_error = 0;
	UNTIL(f->failures == 1); /* it may still be telling */
	lab_writer_retry(f->writer);
	tell(l, 1);
	assert_int_equal(lab_writer_flush(f->writer, NULL), ERR_IO);
	assert_int_equal(f->failures, 1);
	assert_int_equal(lab_writer_free(f->writer, &info), ERR_IO);
	f->writer = NULL;
}

/* ---- full disks -------------------------------------------------------------------------------------------------- */

static void a_full_disk_stops_the_writing_until_a_retry_and_nothing_is_doubled(void **state)
{
	struct fixture *f = *state;
	struct lab_log *a = open_log(f, 0), *b = open_log(f, 1);
	for (int room = 0; room < 400; room += 7) {
		int64_t turn = room / 7 * 2;
		struct errinfo info = {0};
		os.room = room;
		tell(a, turn);
		tell(b, turn);
		tell(a, turn + 1);
		tell(b, turn + 1);
		int failures = f->failures;
		assert_int_equal(lab_writer_flush(f->writer, &info), ERR_STORAGE_FULL);
		assert_non_null(strstr(info.text, "events_"));
		UNTIL(f->failures == failures + 1);
		assert_int_equal(f->error, ERR_STORAGE_FULL);
		assert_true(lab_writer_pending(f->writer) > 0);
		assert_int_equal(lab_writer_flush(f->writer, NULL), ERR_STORAGE_FULL);
		lab_writer_retry(f->writer);
		if (room == 0) UNTIL(f->failures == failures + 2);
		os.room = -1;
		lab_writer_retry(f->writer);
		flush(f);
		assert_int_equal(lab_writer_pending(f->writer), 0);
	}
	assert_whole(f, 0, 2 * (400 / 7 + 1));
	assert_whole(f, 1, 2 * (400 / 7 + 1));
	lab_log_close(a);
	lab_log_close(b);
	end(f);
}

/* RLIMIT_FSIZE stands for a disk, the system's own this time. */
static void a_limit_of_the_system_is_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, full;
	struct lab_log *l = open_log(f, 0);
	struct lab_file_end end_of_file;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	full = (struct rlimit){1000, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	for (int64_t i = 0; i < 20; i++) tell(l, i);
	assert_int_equal(lab_writer_flush(f->writer, NULL), ERR_STORAGE_FULL);
	assert_int_equal(size_of(path_of(f, 0)), 1000);
	assert_in_range(count_lines(f, 0, &end_of_file), 3, 10);
	assert_true(end_of_file.torn_bytes > 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	lab_writer_retry(f->writer);
	flush(f);
	assert_whole(f, 0, 20);
}

static void the_end_tries_once_more_and_tells_what_stopped_it(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	struct errinfo info = {0};
	tell(l, 0);
	flush(f);
	os.room = 0;
	tell(l, 1);
	assert_int_equal(lab_writer_flush(f->writer, NULL), ERR_STORAGE_FULL);
	lab_log_close(l);
	assert_int_equal(lab_writer_free(f->writer, &info), ERR_STORAGE_FULL);
	assert_non_null(strstr(info.text, "events_0.jsonl cannot be written"));
	assert_whole(f, 0, 1);

	start(f, 1000, 0);
	assert_int_equal(try_open(f, 0, 2, size_of(path_of(f, 0)), &l, NULL), OK);
	tell(l, 1);
	assert_int_equal(lab_writer_flush(f->writer, NULL), ERR_STORAGE_FULL);
	os.room = -1;
	end(f);
	assert_whole(f, 0, 2);
}

static void lines_beyond_the_maximum_are_lost_and_that_is_told(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	end(f);
	start(f, 1000, 2000);
	struct lab_log *l = open_log(f, 0);
	os.room = 0;
	for (int64_t i = 0; i < 100; i++) tell(l, i);
	assert_in_range(lab_writer_pending(f->writer), 1, 2000);
	UNTIL(f->failures == 2); /* the full disk and the overrun, in whatever order */
	assert_false(lab_writer_reached(f->writer, 0));
	os.room = -1;
	lab_writer_retry(f->writer);
	assert_int_equal(lab_writer_flush(f->writer, &info), ERR_OVERLOADED);
	lab_log_close(l);
	assert_int_equal(lab_writer_free(f->writer, &info), ERR_OVERLOADED);
	f->writer = NULL;
	struct lab_file_end end_of_file;
	assert_in_range(count_lines(f, 0, &end_of_file), 1, 20);
	assert_int_equal(end_of_file.torn_bytes, 0);
}

static void a_file_that_went_away_stops_the_writing(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	struct lab_log *l = open_log(f, 0);
	unlink(path_of(f, 0));
	tell(l, 0);
	assert_int_equal(lab_writer_flush(f->writer, &info), ERR_IO);
	assert_non_null(strstr(info.text, "cannot be opened: No such file"));
	assert_int_equal(lab_writer_free(f->writer, NULL), ERR_IO);
	f->writer = NULL;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void append(const char *path, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_true(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	close(fd);
}

static void a_new_file_is_private_and_must_be_new(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	struct lab_log *l = open_log(f, 0);
	struct errinfo info = {0};
	assert_int_equal(stat(path_of(f, 0), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	tell(l, 0);
	flush(f);
	assert_int_equal(try_open(f, 0, 1, 0, &l, &info), ERR_EXISTS);
	assert_null(l);
	assert_int_equal(symlink("/etc/hostname", path_of(f, 1)), 0);
	assert_int_not_equal(try_open(f, 1, 1, 0, &l, &info), OK);
	assert_int_equal(try_open(f, 2, 9, 100, &l, &info), ERR_IO);
	assert_whole(f, 0, 1);
}

static void a_torn_end_is_moved_away_and_the_numbers_go_on(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	struct lab_file_end found;
	char torn[160];
	snprintf(torn, sizeof torn, "%s.torn", path_of(f, 0));
	tell(l, 0);
	tell(l, 1);
	end(f);
	append(path_of(f, 0), "{\"conversation_id\":\"con", 23);
	assert_int_equal(count_lines(f, 0, &found), 2);
	assert_int_equal(found.torn_bytes, 23);
	for (int again = 0; again < 2; again++) {
		start(f, 1000, 0);
		assert_int_equal(try_open(f, 0, found.last_seq + 1, found.good_bytes, &l, NULL), OK);
		assert_int_equal(lab_log_bytes(l), found.good_bytes);
		assert_int_equal(tell(l, found.last_seq), found.last_seq + 1);
		lab_log_close(l);
		end(f);
		assert_int_equal(count_lines(f, 0, &found), 3 + again);
		assert_int_equal(found.torn_bytes, 0);
	}
	assert_int_equal(size_of(torn), 23);
}

static void a_file_that_lost_lines_is_not_gone_on_with(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	struct errinfo info = {0};
	tell(l, 0);
	flush(f);
	int64_t size = size_of(path_of(f, 0));
	assert_int_equal(try_open(f, 0, 3, size + 1, &l, &info), ERR_CORRUPT);
	assert_int_equal(size_of(path_of(f, 0)), size);
}

static void a_file_in_which_no_line_was_finished_begins_anew(void **state)
{
	struct fixture *f = *state;
	struct lab_log *l = open_log(f, 0);
	lab_log_close(l);
	lab_log_close(open_log(f, 0));
	append(path_of(f, 0), "{\"conversation", 14);
	l = open_log(f, 0);
	tell(l, 0);
	lab_log_close(l);
	end(f);
	assert_whole(f, 0, 1);
}

/* ---- killed ------------------------------------------------------------------------------------------------------ */

static void write_for_ever(struct fixture *f, int64_t seq, int64_t good_bytes)
{
	struct lab_log *l;
	start(f, 1, 0);
	if (try_open(f, 0, seq, good_bytes, &l, NULL) != OK) _exit(1);
	for (int64_t turn = seq - 1;; turn++) {
		tell(l, turn);
		while (lab_writer_pending(f->writer) > 100000) usleep(100);
	}
}

/* What a killed process left is a beginning without a hole, and the next process goes on where it ends. */
static void a_killed_process_leaves_lines_without_a_hole(void **state)
{
	struct fixture *f = *state;
	struct lab_file_end found = {0};
	int64_t lines = 0;
	end(f);
	for (int round = 0; round < 5; round++) {
		int64_t size = MAX(size_of(path_of(f, 0)), (int64_t)0);
		int status;
		pid_t pid = fork();
		if (pid == 0) write_for_ever(f, found.last_seq + 1, found.good_bytes);
		UNTIL(size_of(path_of(f, 0)) > size + 100000);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		int64_t now = count_lines(f, 0, &found);
		assert_true(now > lines);
		lines = now;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_killed_process_leaves_lines_without_a_hole),
		TEST(lines_of_many_files_stay_in_their_files_and_order),
		TEST(number_time_and_experiment_are_filled_in),
		TEST(more_files_are_written_than_may_be_open),
		TEST(few_files_are_synced_when_none_may_be_opened),
		TEST(what_is_closed_is_written_all_the_same),
		TEST(an_end_without_a_close_writes_everything),
		TEST(writes_that_come_short_or_are_interrupted_lose_nothing),
		TEST(lines_of_one_step_go_out_together),
		TEST(a_mark_is_reached_when_the_lines_before_it_are_in_their_files),
		TEST(a_flush_syncs_each_file_and_the_directory_of_new_ones_once),
		TEST(what_was_written_is_synced_after_its_time),
		TEST(every_round_is_synced_when_no_time_is_given),
		TEST(many_files_are_synced_with_one_call),
		TEST(after_a_failed_sync_nothing_is_believed),
		TEST(a_full_disk_stops_the_writing_until_a_retry_and_nothing_is_doubled),
		TEST(a_limit_of_the_system_is_a_full_disk),
		TEST(the_end_tries_once_more_and_tells_what_stopped_it),
		TEST(lines_beyond_the_maximum_are_lost_and_that_is_told),
		TEST(a_file_that_went_away_stops_the_writing),
		TEST(a_new_file_is_private_and_must_be_new),
		TEST(a_torn_end_is_moved_away_and_the_numbers_go_on),
		TEST(a_file_that_lost_lines_is_not_gone_on_with),
		TEST(a_file_in_which_no_line_was_finished_begins_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
