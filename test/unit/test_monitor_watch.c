/* What the monitor reads, and what it does not read again. */
#include "experiment_gear.h"
#include "monitor_gear.h"

#include <time.h>

#include "base/clock.h"
#include "cli/monitor_watch.h"
#include "event/lab_line.h"

static struct watch *watch;

static int files_make(void **state)
{
	if (scratch_make(state) != 0) return -1;
	term_init();
	monitor_init(&m, scratch, clock_boot_ms(), clock_wall_ms());
	watch = watch_new(&m);
	return 0;
}

static int files_remove(void **state)
{
	watch_free(watch);
	monitor_release(&m);
	return scratch_remove(state);
}

static void look_around(void)
{
	monitor_clock(&m, clock_boot_ms(), clock_wall_ms());
	watch_tick(watch);
	while (watch_idle(watch, 1000)) continue;
}

static void put_events(const char *base, const char *conversation, int n, const char *text, const char *mode)
{
	char path[700];
	snprintf(path, sizeof path, "%s/events_%s.jsonl", in_scratch(base), conversation);
	FILE *f = fopen(path, mode);
	assert_non_null(f);
	for (int i = 0; i < n; i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		struct lab_event e = event_of(LE_API_ERROR, conversation, clock_wall_ms());
		e.seq = i + 1;
		e.v[LF(APIErrorEvent, error_type)] = lv_str(STR("server"));
		e.v[LF(APIErrorEvent, error_message)] = lv_str(str_c(text));
		lab_line_write(&b, &e, REDACT_NONE);
		fwrite(b.p, 1, b.n, f);
		buf_release(&b);
	}
	fclose(f);
}

#define RUNNING(turns)                                                                                                        \
	"{\"experiment_id\":\"experiment_00000001\",\"name\":\"live\",\"status\":\"running\",\"config\":{\"max_turns\":9},"   \
	"\"total_conversations\":1,\"running_conversations\":1,\"conversations\":{\"conv_00000001\":{\"status\":\"running\"," \
	"\"total_turns\":" turns "}}}"
#define OVER                                                                                                           \
	"{\"status\":\"completed\",\"conversations\":{\"conv_1\":{\"status\":\"completed\"},\"conv_2\":{\"status\":"   \
	"\"completed\"}}}"

static void hold(void *dir)
{
	struct place p = {.dir = dir, .name = (char *)"live"};
	int fd;
	if (place_lock(&p, &fd, NULL) != OK) _exit(4);
}

static void damaged_and_missing_manifests_are_rows_that_say_so(void **state)
{
	(void)state;
	put_experiment("good_00000001", OVER);
	put_experiment("broken_00000002", "{\"status\":");
	put_experiment("odd_00000003", "{\"status\":\"\\u001b[2J\"}");
	assert_int_equal(mkdir(in_scratch("empty_00000004"), 0700), 0);
	assert_int_equal(mkdir(in_scratch("pipe_00000005"), 0700), 0);
	assert_int_equal(mkfifo(in_scratch("pipe_00000005/manifest.json"), 0600), 0);
	look_around();
	assert_int_equal(m.nrows, 5);
	assert_int_equal(m.nunread, 0);
	assert_int_equal(row("good")->is, ROW_READ);
	const char *const bad[] = {"broken", "odd", "empty", "pipe"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(row(bad[i])->is, ROW_DAMAGED);
		assert_true(row(bad[i])->error[0] != '\0');
	}
	assert_frame(30, 100, "unreadable", true);
}

static void no_directory_is_told_and_found_once_it_is_there(void **state)
{
	(void)state;
	remove_tree(scratch);
	look_around();
	assert_int_equal(m.nrows, 0);
	assert_frame(20, 80, "there is no directory", true);
	assert_int_equal(mkdir(scratch, 0700), 0);
	look_around();
	assert_frame(20, 80, "start one with: roost run", true);
	put_experiment("good_00000001", OVER);
	look_around();
	assert_int_equal(m.nrows, 1);
	assert_string_equal(m.trouble, "");
}

static void a_manifest_that_did_not_change_is_not_read_again(void **state)
{
	(void)state;
	put_experiment("good_00000001", OVER);
	look_around();
	/* Another text of the same size, time and file: only who reads it again sees it. */
	struct stat st;
	char *path = strdup(in_scratch("good_00000001/manifest.json"));
	assert_int_equal(stat(path, &st), 0);
	char *other = strdup(OVER);
	memcpy(strstr(other, "completed\"},"), "failed\"   ", 10);
	put_file(path, other);
	assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
	row("good")->due_boot_ms = 0;
	look_around();
	assert_int_equal(row("good")->count[LAB_COMPLETED], 2);
	assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
	row("good")->due_boot_ms = 0;
	look_around();
	assert_int_equal(row("good")->count[LAB_COMPLETED], 1);
	free(other);
	free(path);
}

static void one_that_runs_is_followed_and_its_end_is_seen(void **state)
{
	(void)state;
	put_experiment("live_00000001", RUNNING("3"));
	put_events("live_00000001", "conv_00000001", 2, "first", "w");
	char *dir = strdup(in_scratch("live_00000001"));
	struct helper h = helper_start(hold, dir);
	look_around();
	look_around();
	struct monitor_row *r = row("live");
	assert_true(r->runs);
	assert_int_equal(r->turns, 3);
	assert_int_equal(r->left_turns, 6);
	assert_int_equal(m.nerrors, 2);
	put_events("live_00000001", "conv_00000001", 1, "second", "a");
	look_around();
	assert_int_equal(m.nerrors, 3); /* each once */
	assert_string_equal(m.errors[0].text, "second");
	put_file(in_scratch("live_00000001/manifest.json"), RUNNING("4"));
	r->due_boot_ms = 0;
	look_around();
	assert_int_equal(r->turns, 4);
	/* Killed: the manifest still says that it runs. */
	assert_int_equal(helper_end(&h), 0);
	r->due_boot_ms = 0;
	look_around();
	assert_false(r->runs);
	assert_string_equal(monitor_row_words(r), "killed");
	free(dir);
}

static void of_a_long_event_file_only_its_end_is_read(void **state)
{
	(void)state;
	char text[1000];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	put_experiment("live_00000001", RUNNING("3"));
	put_events("live_00000001", "conv_00000001", 150, text, "w");
	char *dir = strdup(in_scratch("live_00000001"));
	struct helper h = helper_start(hold, dir);
	look_around();
	look_around();
	assert_in_range(m.nerrors, 40, 64);
	assert_int_equal(helper_end(&h), 0);
	free(dir);
}

static void conversations_with_odd_names_open_no_other_file(void **state)
{
	(void)state;
	put_experiment("live_00000001",
		       "{\"status\":\"running\",\"conversations\":{\"/../../x\":{\"status\":\"running\"}}}");
	put_events("live_00000001", "conv_00000001", 1, "first", "w");
	assert_int_equal(mkdir(in_scratch("live_00000001/events_"), 0700), 0);
	assert_int_equal(rename(in_scratch("live_00000001/events_conv_00000001.jsonl"), in_scratch("x.jsonl")), 0);
	char *dir = strdup(in_scratch("live_00000001"));
	struct helper h = helper_start(hold, dir);
	look_around();
	look_around();
	assert_int_equal(m.nerrors, 0);
	monitor_key(&m, MK_ENTER);
	monitor_key(&m, MK_ENTER);
	assert_true(m.in_messages);
	look_around();
	assert_int_equal(m.nmessages, 0);
	assert_int_equal(helper_end(&h), 0);
	free(dir);
}

static void the_messages_of_the_opened_conversation_follow_its_file(void **state)
{
	(void)state;
	put_experiment("live_00000001", RUNNING("3"));
	put_events("live_00000001", "conv_00000001", 1, "first", "w");
	look_around();
	monitor_key(&m, MK_ENTER);
	monitor_key(&m, MK_ENTER);
	look_around();
	assert_int_equal(m.nmessages, 1);
	put_events("live_00000001", "conv_00000001", 1, "second", "a");
	look_around();
	assert_int_equal(m.nmessages, 2);
	assert_non_null(strstr(m.messages[1].text, "second"));
	put_events("live_00000001", "conv_00000001", 1, "anew", "w"); /* another file in its place */
	look_around();
	assert_frame(20, 80, "anew", true);
}

static void an_experiment_that_is_removed_while_it_is_open_goes(void **state)
{
	(void)state;
	put_experiment("live_00000001", RUNNING("3"));
	put_experiment("good_00000002", OVER);
	put_events("live_00000001", "conv_00000001", 1, "first", "w");
	look_around();
	while (strcmp(m.chosen->name, "live") != 0) monitor_key(&m, MK_DOWN);
	look_around();
	monitor_key(&m, MK_ENTER);
	monitor_key(&m, MK_ENTER);
	look_around();
	assert_int_equal(m.nmessages, 1);
	remove_tree(in_scratch("live_00000001"));
	monitor_put_list(&m, &(struct place_list){0}); /* nothing points to what is gone */
	assert_null(m.manifest_of);
	assert_null(m.chosen);
	look_around();
	assert_int_equal(m.nrows, 1);
	assert_frame(20, 80, "an experiment that is gone", true);
	monitor_key(&m, MK_ESCAPE);
	look_around();
	assert_string_equal(m.chosen->name, "good");
}

static void a_snapshot_is_one_json_object(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc;
	int64_t n;
	put_experiment("good_00000001", OVER);
	put_experiment("broken_00000002", "\x1b[2J");
	look_around();
	monitor_print_json(&m, &b);
	assert_int_equal(json_parse(buf_str(&b), &doc, &info), OK);
	assert_int_equal(json_len(json_get(json_root(doc), "experiments")), 2);
	assert_true(json_int(json_get(json_root(doc), "done"), &n));
	assert_int_equal(n, 2);
	json_free(doc);
	buf_release(&b);
}

#define FILES(test) cmocka_unit_test_setup_teardown(test, files_make, files_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES(damaged_and_missing_manifests_are_rows_that_say_so),
		FILES(no_directory_is_told_and_found_once_it_is_there),
		FILES(a_manifest_that_did_not_change_is_not_read_again),
		FILES(one_that_runs_is_followed_and_its_end_is_seen),
		FILES(of_a_long_event_file_only_its_end_is_read),
		FILES(conversations_with_odd_names_open_no_other_file),
		FILES(the_messages_of_the_opened_conversation_follow_its_file),
		FILES(an_experiment_that_is_removed_while_it_is_open_goes),
		FILES(a_snapshot_is_one_json_object),
	};
	return cmocka_run_group_tests_name("monitor_watch", tests, NULL, NULL);
}
