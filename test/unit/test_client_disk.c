/* A device's file: what is put is there, before and after the flush, over a reopening, and on a disk that refuses. */
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/disk.h"

#include <roost.h>

static char path[64];
static struct disk *disk;
static struct errinfo info;

static void open_disk(void) { assert_int_equal(disk_open(path, &disk, &info), OK); }

static int setup(void **state)
{
	(void)state;
	snprintf(path, sizeof path, "/tmp/test_client_disk.%d", (int)getpid());
	open_disk();
	return 0;
}

static int teardown(void **state)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
	(void)state;
	disk_close(disk);
	disk = NULL;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[80];
		snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
		unlink(name);
	}
	return 0;
}

static uint64_t number;

static void put(const struct core_row *rows, size_t n, uint32_t drop_below, const char *forget)
{
	struct core_batch b = {++number, rows, n, drop_below, str_c(forget)};
	disk_put(disk, &b);
}

static void put_meta(const char *key, const char *value)
{
	struct core_row row = {.table = CORE_META, .key = str_c(key), .value = str_c(value)};
	put(&row, 1, 0, "");
}

static void put_message(const char *name, const char *session, int64_t ord, uint32_t generation)
{
	char key[80];
	snprintf(key, sizeof key, "Message/%s", name);
	struct core_row row = {
		.table = CORE_RECORD,
		.key = str_c(key),
		.value = str_c(name),
		.type = STR("Message"),
		.name = str_c(name),
		.conversation = STR("c"),
		.session = str_c(session),
		.ord = ord,
		.generation = generation,
	};
	put(&row, 1, 0, "");
}

static void flush(void)
{
	uint64_t durable = 0;
	assert_int_equal(disk_flush(disk, &durable, &info), OK);
	assert_int_equal(durable, number);
	assert_false(disk_is_dirty(disk));
}

/* NULL: there is none. */
static void expect(enum core_table table, const char *key, const char *value)
{
	struct buf b = BUF_INIT(1000);
	bool is_found;
	assert_int_equal(disk_read(disk, table, str_c(key), &is_found, &b, &info), OK);
	assert_int_equal(is_found, value != NULL);
	if (value != NULL) assert_string_equal(buf_str(&b).p, value);
	buf_release(&b);
}

static bool add_name(void *ctx, struct str name) { return buf_add_str(ctx, name) && buf_add_char(ctx, ' '); }

static void expect_names(const char *conversation, const char *names)
{
	struct buf b = BUF_INIT(1000);
	assert_int_equal(disk_names(disk, STR("Message"), str_c(conversation), add_name, &b, &info), OK);
	assert_string_equal(buf_str(&b).p, names);
	buf_release(&b);
}

static void reopen(void)
{
	disk_close(disk);
	open_disk();
}

static void what_is_put_is_read_before_the_flush_and_kept_after_it(void **state)
{
	(void)state;
	put_meta("cursor", "1");
	put_meta("cursor", "2");
	expect(CORE_META, "cursor", "2");
	flush();
	put_meta("cursor", "3");
	reopen(); /* not flushed */
	expect(CORE_META, "cursor", "2");
	expect(CORE_OUTBOX, "cursor", NULL);
	struct core_row gone = {.table = CORE_META, .key = STR("cursor")};
	put(&gone, 1, 0, "");
	flush();
	expect(CORE_META, "cursor", NULL);
}

static void names_come_in_the_order_of_their_places(void **state)
{
	(void)state;
	put_message("a", "s1", 3, 1);
	put_message("b", "s1", 1, 1);
	put_message("c", "s2", 2, 1);
	flush();
	expect_names("c", "b c a ");
	expect_names("", "a b c ");
	expect_names("other", "");
}

static void a_session_is_forgotten_and_old_generations_are_dropped(void **state)
{
	(void)state;
	put_message("a", "s1", 1, 1);
	put_message("b", "s2", 2, 1);
	put_message("c", "s2", 3, 2);
	put(NULL, 0, 0, "s1");
	expect(CORE_RECORD, "Message/a", NULL);
	put(NULL, 0, 2, "");
	flush();
	expect_names("c", "c ");
}

static void batches_can_be_taken_back_until_they_are_flushed(void **state)
{
	(void)state;
	put_meta("a", "1");
	uint64_t kept = number;
	put_meta("a", "2");
	put_meta("b", "2");
	disk_take_back(disk, kept);
	expect(CORE_META, "a", "1");
	expect(CORE_META, "b", NULL);
	number = kept;
	flush();
	expect(CORE_META, "a", "1");
}

/* A full disk, by a limit on the size of files: everything stays readable and becomes durable later. */
static void a_full_disk_loses_nothing(void **state)
{
	struct rlimit before, full;
	uint64_t durable = 0;
	static char big[300000];
	(void)state;
	memset(big, 'x', sizeof big - 1);
	put_message("old", "s1", 1, 1);
	flush();
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	full = before;
	full.rlim_cur = 100000;
	setrlimit(RLIMIT_FSIZE, &full);
	put_meta("big", big);
	put_message("new", "s2", 2, 2);
	assert_int_equal(disk_flush(disk, &durable, &info), ERR_STORAGE_FULL);
	assert_true(disk_is_dirty(disk));
	put(NULL, 0, 0, "s1");
	expect(CORE_RECORD, "Message/new", "new");
	expect(CORE_RECORD, "Message/old", NULL);
	put(NULL, 0, 3, "");
	expect(CORE_RECORD, "Message/new", NULL);
	put_meta("small", "1");
	expect(CORE_META, "small", "1");
	assert_int_equal(disk_flush(disk, &durable, &info), ERR_STORAGE_FULL);
	setrlimit(RLIMIT_FSIZE, &before);
	flush();
	reopen();
	expect(CORE_META, "small", "1");
	expect_names("", "");
}

static void a_file_is_for_its_owner_and_for_one_process(void **state)
{
	struct disk *second;
	struct stat s;
	char pid[24];
	(void)state;
	stat(path, &s);
	assert_int_equal(s.st_mode & 0777, 0600);
	assert_int_equal(disk_open(path, &second, &info), ERR_LOCKED);
	snprintf(pid, sizeof pid, "process %d", (int)getpid());
	assert_non_null(strstr(info.text, pid));
	assert_null(second);
}

static void spoil(const char *sql)
{
	sqlite3 *h;
	disk_close(disk);
	disk = NULL;
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(h);
}

static void a_newer_file_and_a_strange_one_are_refused(void **state)
{
	(void)state;
	spoil("PRAGMA user_version=99");
	assert_int_equal(disk_open(path, &disk, &info), ERR_NEWER_SCHEMA);
	assert_null(disk);
	spoil("PRAGMA user_version=1; PRAGMA application_id=1");
	assert_int_equal(disk_open(path, &disk, &info), ERR_CORRUPT);
	FILE *f = fopen(path, "we");
	for (int i = 0; i < 1000; i++) fputs("no database", f);
	fclose(f);
	assert_int_equal(disk_open(path, &disk, &info), ERR_CORRUPT);
}

static void the_migrations_are_on_record(void **state)
{
	sqlite3_stmt *st;
	sqlite3 *h;
	(void)state;
	disk_close(disk);
	disk = NULL;
	sqlite3_open(path, &h);
	sqlite3_prepare_v2(h, "SELECT version FROM migration", -1, &st, NULL);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(st, 0), 1);
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
	sqlite3_close(h);
}

/* roost.h's numbers are for ever; the table of err.h may be in any order. */
static void the_public_errors_are_those_of_the_table(void **state)
{
	static const struct {
		int number;
		const char *code, *text;
	} rows[] = {
#define X(sym, code, http, exit, retry, text) {ROOST_##sym, code, text},
		ERR_MAP(X)
#undef X
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(roost_error_code(rows[i].number), rows[i].code);
		assert_string_equal(roost_strerror(rows[i].number), rows[i].text);
		for (size_t k = 0; k < i; k++) assert_int_not_equal(rows[k].number, rows[i].number);
	}
	assert_string_equal(roost_error_code(-1), "internal");
	assert_string_equal(roost_error_code(100000), "internal");
}

static void what_makes_no_sense_is_refused_with_a_sentence(void **state)
{
	roost *c = (roost *)&state;
	roost_options o = {.size = sizeof o};
	char id[ROOST_ID_SIZE];
	assert_int_equal(roost_open(NULL, &c), ROOST_ERR_USAGE);
	assert_null(c);
	assert_int_equal(roost_open(&o, &c), ROOST_ERR_USAGE);
	assert_string_equal(roost_last_error(), "roost_open: options have no path");
	o.path = path;
	assert_int_equal(roost_open(&o, &c), ROOST_ERR_USAGE);
	o.url = "http://127.0.0.1:1";
	assert_int_equal(roost_open(&o, &c), ROOST_ERR_LOCKED);
	disk_close(disk);
	disk = NULL;
	assert_int_equal(roost_open(&o, &c), ROOST_OK);
	assert_int_equal(roost_send(c, NULL, id), ROOST_ERR_USAGE);
	assert_int_equal(roost_send(NULL, &(roost_message){.size = sizeof(roost_message), .text = "x"}, id),
			 ROOST_ERR_USAGE);
	assert_int_equal(roost_clear(c, 7, "x"), ROOST_ERR_USAGE);
	assert_int_equal(roost_call(c, "ping", "[]", NULL), ROOST_ERR_BAD_FIELD);
	assert_int_equal(roost_call(c, "ping", NULL, NULL), ROOST_ERR_UNAVAILABLE);
	assert_int_equal(roost_read(c, "Message", "none", NULL, NULL), ROOST_ERR_NOT_FOUND);
	assert_int_equal(roost_start(c), ROOST_ERR_UNAUTHORIZED);
	roost_close(c);
	roost_close(NULL);
}

int main(void)
{
#define DISK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		DISK_TEST(what_is_put_is_read_before_the_flush_and_kept_after_it),
		DISK_TEST(names_come_in_the_order_of_their_places),
		DISK_TEST(a_session_is_forgotten_and_old_generations_are_dropped),
		DISK_TEST(batches_can_be_taken_back_until_they_are_flushed),
		DISK_TEST(a_full_disk_loses_nothing),
		DISK_TEST(a_file_is_for_its_owner_and_for_one_process),
		DISK_TEST(a_newer_file_and_a_strange_one_are_refused),
		DISK_TEST(the_migrations_are_on_record),
		cmocka_unit_test(the_public_errors_are_those_of_the_table),
		DISK_TEST(what_makes_no_sense_is_refused_with_a_sentence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
