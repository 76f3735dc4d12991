/* Cleaning up: what a rule takes, what always stays, and that nothing half is left. */
#include "experiment_gear.h"

#include <time.h>

#include "lab/cleanup.h"

#define NOW_MS 2000000000000
#define DAY_MS 86400000LL

/* An experiment that ended `days` ago, with a file of `bytes`. */
static void put(const char *base, const char *status, int days, size_t bytes)
{
	char text[300], ended[40], path[600];
	int64_t at_ms = NOW_MS - days * DAY_MS;
	struct timespec times[2] = {{.tv_sec = at_ms / 1000}, {.tv_sec = at_ms / 1000}};
	time_t t = at_ms / 1000;
	struct tm tm;
	gmtime_r(&t, &tm);
	strftime(ended, sizeof ended, "%Y-%m-%dT%H:%M:%SZ", &tm);
	snprintf(text, sizeof text, "{\"experiment_id\":\"experiment_%s\",\"status\":\"%s\",\"completed_at\":\"%s\"}",
		 strrchr(base, '_') + 1, status, ended);
	put_experiment(base, text);
	snprintf(path, sizeof path, "%s/events_conv_00000001.jsonl", in_scratch(base));
	put_file(path, "");
	assert_int_equal(truncate(path, (off_t)bytes), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_scratch(base), times, 0), 0);
}

static struct cleanup_plan plan(struct cleanup_rule rule)
{
	struct cleanup_plan p;
	enum err e = cleanup_plan(scratch, &rule, NOW_MS, &p, &info);
	if (e != OK) print_error("%s\n", info.text);
	assert_int_equal(e, OK);
	return p;
}

/* The names that the rule takes, the oldest first, with blanks between. */
static void expect_taken(struct cleanup_rule rule, const char *names)
{
	struct cleanup_plan p = plan(rule);
	struct buf b = BUF_INIT(4096);
	for (size_t i = 0; i < p.n; i++) buf_addf(&b, "%s%s", i > 0 ? " " : "", p.list[i].name);
	assert_string_equal(b.n > 0 ? b.p : "", names);
	buf_release(&b);
	cleanup_plan_release(&p);
}

static void put_five(void)
{
	put("one_00000001", "completed", 50, 1000);
	put("two_00000002", "failed", 40, 5000);
	put("three_00000003", "interrupted", 30, 100);
	put("four_00000004", "running", 20, 9000); /* nobody runs it */
	put("five_00000005", "completed", 10, 7000);
}

static void a_rule_takes_what_fulfils_all_of_it(void **state)
{
	(void)state;
	put_five();
	expect_taken((struct cleanup_rule){0}, "one two three four five");
	expect_taken((struct cleanup_rule){.older_ms = 25 * DAY_MS}, "one two three");
	expect_taken((struct cleanup_rule){.older_ms = 30 * DAY_MS}, "one two three");
	expect_taken((struct cleanup_rule){.older_ms = 30 * DAY_MS + 1}, "one two");
	expect_taken((struct cleanup_rule){.larger_bytes = 4000}, "two four five");
	expect_taken((struct cleanup_rule){.keep = 2}, "one two three");
	expect_taken((struct cleanup_rule){.keep = 9}, "");
	expect_taken((struct cleanup_rule){.statuses = 1U << EXPERIMENT_FAILED}, "two");
	expect_taken((struct cleanup_rule){.statuses = 1U << EXPERIMENT_INTERRUPTED}, "three four");
	expect_taken((struct cleanup_rule){.older_ms = 25 * DAY_MS, .larger_bytes = 500, .keep = 1}, "one two");
}

static void a_plan_knows_the_bytes_and_changes_nothing(void **state)
{
	(void)state;
	struct stat st;
	put("one_00000001", "completed", 50, 1000);
	assert_int_equal(stat(in_scratch("one_00000001/manifest.json"), &st), 0);
	struct cleanup_plan p = plan((struct cleanup_rule){0});
	assert_int_equal(p.n, 1);
	assert_int_equal(p.list[0].bytes, 1000 + st.st_size);
	assert_int_equal(p.bytes, 1000 + st.st_size);
	assert_true(is_there(in_scratch("one_00000001/events_conv_00000001.jsonl")));
	assert_false(is_there(in_scratch("one_00000001/run.lock")));
	cleanup_plan_release(&p);
}

static void what_is_no_experiment_stays(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_scratch("photos_00000001"), 0700), 0);
	put_file(in_scratch("photos_00000001/cat.jpg"), "meow");
	assert_int_equal(mkdir(in_scratch("linked_00000002"), 0700), 0);
	assert_int_equal(symlink("/dev/null", in_scratch("linked_00000002/manifest.json")), 0);
	struct cleanup_plan p = plan((struct cleanup_rule){0});
	assert_int_equal(p.n, 0);
	assert_int_equal(p.strange, 2);
	cleanup_plan_release(&p);
}

static void one_whose_manifest_cannot_be_read_goes_only_when_asked_for(void **state)
{
	(void)state;
	put_experiment("broken_00000001", "{");
	expect_taken((struct cleanup_rule){.statuses = 1U << EXPERIMENT_FAILED}, "");
	expect_taken((struct cleanup_rule){0}, "");
	expect_taken((struct cleanup_rule){.unreadable = true}, "broken");
}

static void hold(void *arg)
{
	struct place p;
	int fd;
	if (place_find(scratch, str_c(arg), &p, NULL) != OK || place_lock(&p, &fd, NULL) != OK) _exit(1);
}

static void one_that_runs_stays(void **state)
{
	(void)state;
	put("one_00000001", "running", 50, 1000);
	struct cleanup_plan before = plan((struct cleanup_rule){0});
	assert_int_equal(before.n, 1);
	struct helper h = helper_start(hold, (char[]){"one"});
	struct cleanup_plan p = plan((struct cleanup_rule){0});
	assert_int_equal(p.n, 0);
	assert_int_equal(p.running, 1);
	/* begun between the plan and the removal */
	assert_int_equal(cleanup_remove(&before.list[0], &info), ERR_LOCKED);
	assert_true(is_there(in_scratch("one_00000001/events_conv_00000001.jsonl")));
	helper_end(&h);
	cleanup_plan_release(&p);
	cleanup_plan_release(&before);
}

static void one_that_has_changed_since_the_plan_stays(void **state)
{
	(void)state;
	put("one_00000001", "completed", 50, 1000);
	struct cleanup_plan p = plan((struct cleanup_rule){0});
	struct timespec later[2] = {{.tv_sec = 5}, {.tv_sec = 5}};
	assert_int_equal(utimensat(AT_FDCWD, in_scratch("one_00000001/manifest.json"), later, 0), 0);
	assert_int_equal(cleanup_remove(&p.list[0], &info), ERR_CONFLICT);
	assert_true(is_there(in_scratch("one_00000001/manifest.json")));
	cleanup_plan_release(&p);
}

static void removing_takes_all_of_it_and_follows_no_link(void **state)
{
	(void)state;
	put("one_00000001", "completed", 50, 1000);
	put("two_00000002", "completed", 50, 1000);
	assert_int_equal(mkdir(in_scratch("outside"), 0700), 0);
	put_file(in_scratch("outside/precious"), "x");
	assert_int_equal(mkdir(in_scratch("one_00000001/images"), 0700), 0);
	put_file(in_scratch("one_00000001/images/a.png"), "x");
	assert_int_equal(symlink(in_scratch("outside"), in_scratch("one_00000001/link")), 0);
	assert_int_equal(symlink(in_scratch("outside/precious"), in_scratch("one_00000001/images/link")), 0);
	struct cleanup_plan p = plan((struct cleanup_rule){.keep = 0});
	assert_int_equal(p.n, 2);
	for (size_t i = 0; i < p.n; i++)
		if (strcmp(p.list[i].name, "one") == 0) assert_int_equal(cleanup_remove(&p.list[i], &info), OK);
	assert_false(is_there(in_scratch("one_00000001")));
	assert_false(is_there(in_scratch(".gone-one_00000001")));
	assert_true(is_there(in_scratch("two_00000002/manifest.json")));
	assert_true(is_there(in_scratch("outside/precious")));
	assert_int_equal(rmdir(in_scratch(".running")), 0); /* no mark is left */
	cleanup_plan_release(&p);
}

static enum err remove_it(void *item) { return cleanup_remove(item, NULL); }

static void killed_at_any_system_call_it_leaves_a_whole_experiment_or_none(void **state)
{
	(void)state;
	int n = 1, wholes = 0, gones = 0;
	for (;; n++) {
		put("one_00000001", "completed", 50, 1000);
		struct cleanup_plan p = plan((struct cleanup_rule){0});
		assert_int_equal(p.n, 1);
		assert_int_equal(p.nleftovers, 0);
		bool died = killed_at_call(n, remove_it, &p.list[0]);
		cleanup_plan_release(&p);
		p = plan((struct cleanup_rule){0});
		bool is_whole = is_there(in_scratch("one_00000001/manifest.json")) &&
				is_there(in_scratch("one_00000001/events_conv_00000001.jsonl"));
		assert_int_equal(is_there(in_scratch("one_00000001")), is_whole);
		assert_int_equal(p.n, is_whole);
		wholes += is_whole;
		gones += !is_whole;
		for (size_t i = 0; i < p.nleftovers; i++)
			assert_int_equal(cleanup_remove_leftover(p.leftovers[i], &info), OK);
		for (size_t i = 0; i < p.n; i++) assert_int_equal(cleanup_remove(&p.list[i], &info), OK);
		cleanup_plan_release(&p);
		assert_false(is_there(in_scratch("one_00000001")));
		assert_false(is_there(in_scratch(".gone-one_00000001")));
		if (!died) break;
	}
	print_message("killed at %d system calls: %d whole, %d gone\n", n - 1, wholes, gones);
	assert_true(wholes > 5 && gones > 5);
}

static enum err lock_it(void *place)
{
	int fd;
	return place_lock(place, &fd, NULL);
}

/* One who is about to run it is stopped at every system call, while it is removed. */
static void either_it_is_removed_or_it_runs(void **state)
{
	(void)state;
	int removed = 0, runs = 0;
	for (int n = 1, status = 0;; n++) {
		put("one_00000001", "completed", 50, 1000);
		struct cleanup_plan p = plan((struct cleanup_rule){0});
		struct place place = {.dir = p.list[0].dir, .name = p.list[0].name};
		pid_t runner = stopped_at_call(n, lock_it, &place, &status);
		enum err e = cleanup_remove(&p.list[0], &info);
		if (runner != 0) status = go_on(runner);
		cleanup_plan_release(&p);
		assert_int_equal(is_there(in_scratch("one_00000001/manifest.json")), e != OK);
		if (runner == 0) break; /* it has run and ended before */
		assert_int_equal(status, e == OK ? 1 : 0);
		if (e != OK) assert_int_equal(e, ERR_LOCKED);
		removed += e == OK;
		runs += e != OK;
		remove_tree(in_scratch("one_00000001"));
	}
	print_message("%d removed, %d ran\n", removed, runs);
	assert_true(removed > 1 && runs > 5);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, scratch_make, scratch_remove)
	const struct CMUnitTest tests[] = {
		T(a_rule_takes_what_fulfils_all_of_it),
		T(a_plan_knows_the_bytes_and_changes_nothing),
		T(what_is_no_experiment_stays),
		T(one_whose_manifest_cannot_be_read_goes_only_when_asked_for),
		T(one_that_runs_stays),
		T(one_that_has_changed_since_the_plan_stays),
		T(removing_takes_all_of_it_and_follows_no_link),
		T(killed_at_any_system_call_it_leaves_a_whole_experiment_or_none),
		T(either_it_is_removed_or_it_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
