/* Being found by mDNS: when, with what, and that nothing depends on Avahi. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "host/config.h"
#include "host/mdns.h"

static void it_is_shown_only_beyond_loopback_and_when_wanted(void **state)
{
	(void)state;
	static const struct {
		const char *listen[4];
		bool off;
		int wanted;
	} cases[] = {
		{{"127.0.0.1:8787"}, false, -1},
		{{"127.0.0.1:8787", "[::1]:8787", "localhost:80"}, false, -1},
		{{"0.0.0.0:8787"}, false, 0},
		{{"[::]:8787"}, false, 0},
		{{"127.0.0.1:8787", "192.168.1.5:8787"}, false, 1},
		{{"192.168.1.5:8787", "127.0.0.1:8787", "10.0.0.1:1"}, false, 0},
		{{"0.0.0.0:8787"}, true, -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config c;
		config_init(&c);
		assert_true(c.mdns);
		c.listen = cases[i].listen;
		if (cases[i].off) c.mdns = false;
		if (mdns_wanted(&c) != cases[i].wanted) fail_msg("%s: %d", cases[i].listen[0], mdns_wanted(&c));
		config_release(&c);
	}
}

static void its_text_says_version_protocol_tls_and_path(void **state)
{
	(void)state;
	struct mdns_txt t;
	mdns_txt_make(&t, "1.2.3", true);
	static const char *const expected[] = {"version=1.2.3", "protocol=1", "tls=1", "path=/api/v1"};
	assert_int_equal(t.n, ARRAY_LEN(expected));
	for (size_t i = 0; i < t.n; i++) assert_string_equal(t.text[i], expected[i]);
	mdns_txt_make(&t, "a version that is longer than anybody would ever make a version", false);
	assert_string_equal(t.text[2], "tls=0");
	assert_int_equal(strlen(t.text[0]), sizeof "version=" - 1 + 40);
}

/* How often the event stands in the journal of this directory. */
static int count_in_journal(const char *dir, const char *event)
{
	char path[200], text[4096] = "";
	int n = 0;
	snprintf(path, sizeof path, "%s/current.jsonl", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	if (fd >= 0) close(fd);
	text[MAX(got, 0)] = '\0';
	for (const char *p = text; (p = strstr(p, event)) != NULL; p++) n++;
	return n;
}

static void without_avahi_it_is_noted_once_and_holds_nothing_up(void **state)
{
	(void)state;
	char dir[] = "/tmp/roost-mdns-XXXXXX", path[200];
	struct limits limits;
	struct journal *j = NULL;
	struct errinfo info = {0};
	limits_default(&limits);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
	assert_int_equal(journal_open(dir, &limits, &j, &info), OK);
	int64_t begin = clock_boot_ms();
	struct mdns *m = mdns_publish(8787, true, j);
	assert_true(clock_boot_ms() - begin < 1000);
	for (int i = 0; i < 500 && count_in_journal(dir, "mdns.unavailable") == 0; i++) usleep(10000);
	usleep(200000);
	begin = clock_boot_ms();
	mdns_stop(m);
	assert_true(clock_boot_ms() - begin < 900);
	mdns_stop(NULL);
	journal_close(j);
	assert_int_equal(count_in_journal(dir, "mdns.unavailable"), 1);
	assert_int_equal(count_in_journal(dir, "mdns.published"), 0);
	snprintf(path, sizeof path, "%s/current.jsonl", dir);
	unlink(path);
	rmdir(dir);
}

static void never(void *ctx, const struct mdns_found *f)
{
	(void)ctx, (void)f;
	fail_msg("something was found");
}

static void looking_without_avahi_says_so(void **state)
{
	(void)state;
	struct errinfo info = {0};
	assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
	assert_int_equal(mdns_browse(1000, never, NULL, &info), ERR_UNAVAILABLE);
	assert_non_null(strstr(info.text, "Avahi"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_shown_only_beyond_loopback_and_when_wanted),
		cmocka_unit_test(its_text_says_version_protocol_tls_and_path),
		cmocka_unit_test(without_avahi_it_is_noted_once_and_holds_nothing_up),
		cmocka_unit_test(looking_without_avahi_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
