/* roost log: the journal, read from its files, with or without a daemon.
 *
 * Following watches the journal's directory with inotify; each change reads on from the last number seen, and so does
 * every second without one, so a lost notification only costs that second. */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/term.h"
#include "event/journal.h"

#define POLL_MS 1000
#define EVENT_COLUMNS 24

static const struct cli_option options[] = {
	OPTION_DATA,
	{"follow", 'f', NULL, "go on with what happens from now on, until interrupted", NULL},
	{"request", 'r', "ID", "only what happened to this request", NULL},
	{"since", 's', "TIME", "only events after this time, RFC 3339, or this long ago: 90s, 10m, 2h, 7d", "all"},
	{"json", 'j', NULL, "print the journal's own lines", NULL},
	OPTION_END,
};

struct reader {
	struct str request; /* STR_NONE: every event */
	bool json;
	int64_t last_n;
};

/* 90s, 10m, 2h, 7d ago, or a time. */
static bool parse_since(const char *text, int64_t now_ms, int64_t *out_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	struct str s = str_c(text);
	int64_t n, span;
	if (time_parse(s, out_ms)) return true;
	for (size_t i = 0; i < ARRAY_LEN(units) && s.n > 1; i++) {
		if (s.p[s.n - 1] != units[i].unit || !str_to_int(str_n(s.p, s.n - 1), &n)) continue;
		if (n < 0 || __builtin_mul_overflow(n, units[i].ms, &span)) return false;
		*out_ms = MAX(now_ms - span, 0);
		return true;
	}
	return false;
}

/* "2026-01-02 03:04:05.678  request.claimed   requestId=… attempt=1" in local time. */
static void print_event(const struct json *event)
{
	int64_t at;
	char when[TERM_WORD] = "";
	if (time_parse(cli_text(event, "at"), &at)) {
		size_t n;
		term_time(at, when);
		n = strlen(when);
		snprintf(when + n, sizeof when - n, ".%03d", (int)(at % 1000));
	}
	struct str type = cli_text(event, "event");
	printf("%s%s%s  ", term_style(stdout, TERM_DIM), when, term_style(stdout, TERM_PLAIN));
	term_put(stdout, type, TERM_ONE_LINE);
	printf("%*s", MAX(1, EVENT_COLUMNS - (int)MIN(type.n, (size_t)EVENT_COLUMNS)), "");
	for (struct json_iter it = json_iter(event); json_next(&it);) {
		if (str_eq(it.key, STR("at")) || str_eq(it.key, STR("n")) || str_eq(it.key, STR("event"))) continue;
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		struct str text;
		bool is_word = json_str(it.val, &text) && text.n > 0 && memchr(text.p, ' ', text.n) == NULL;
		buf_add_char(&b, ' ');
		buf_add_str(&b, it.key);
		buf_add_char(&b, '=');
		if (is_word) buf_add_str(&b, text);
		else json_write(&b, it.val);
		term_put(stdout, buf_str(&b), TERM_ONE_LINE);
		buf_release(&b);
	}
	putchar('\n');
}

static enum err read_line(void *ctx, int64_t n, struct str line)
{
	struct reader *r = ctx;
	struct json_doc *doc;
	r->last_n = n;
	if (json_parse(line, &doc, NULL) != OK) return OK; /* journal_read has counted it */
	const struct json *event = json_root(doc);
	if (r->request.p == NULL || str_eq(cli_text(event, "requestId"), r->request)) {
		if (r->json) printf("%.*s\n", STR_ARG(line));
		else print_event(event);
	}
	json_free(doc);
	return ferror(stdout) ? ERR_IO : OK;
}

/* Reads on for ever. */
static enum err follow(struct cli *c, const char *dir, int64_t since_ms, struct reader *r)
{
	enum err e = OK;
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (fd >= 0 && inotify_add_watch(fd, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) p.events = 0;
	while (e == OK) {
		char changes[4096];
		int64_t bad;
		if (fflush(stdout) != 0) return err_set(&c->info, ERR_IO, "standard output could not be written");
		poll(&p, 1, POLL_MS);
		while (fd >= 0 && read(fd, changes, sizeof changes) > 0)
			;
		e = journal_read(dir, r->last_n, since_ms, read_line, r, &bad, &c->info);
	}
	close(fd);
	return e;
}

static int run(struct cli *c)
{
	struct reader r = {.request = str_c(cli_option(c, "request")), .json = cli_switch(c, "json")};
	struct buf dir = BUF_INIT(4096);
	struct stat st;
	int64_t since_ms = 0, bad = 0;
	const char *since = cli_option(c, "since");
	if (since != NULL && !parse_since(since, clock_wall_ms(), &since_ms))
		return cli_usage(
			c, "--since %.60s is neither a time (2026-01-02T03:04:05Z) nor a while (90s, 10m, 2h, 7d)",
			since);
	enum err e = cli_load_config(c);
	if (e != OK) return cli_fail(c, e, &c->info);
	buf_addf(&dir, "%s/journal", c->config.data_dir);
	if (stat(dir.p, &st) != 0) e = err_set(&c->info, ERR_NOT_FOUND, "%.150s: %s", dir.p, strerror(errno));
	else e = journal_read(dir.p, 0, since_ms, read_line, &r, &bad, &c->info);
	if (e == OK && bad > 0) fprintf(stderr, "roost log: %lld damaged lines were skipped\n", (long long)bad);
	if (e == OK && cli_switch(c, "follow")) e = follow(c, dir.p, since_ms, &r);
	buf_release(&dir);
	return e == OK ? 0 : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_log = {
	.name = "log",
	.summary = "read the journal of what happened",
	.args = "",
	.about = "Prints the journal, one event a line: when, what, and its details. The journal tells every step of\n"
		 "every request and never holds the text of a message. It is read from its files, so no daemon is\n"
		 "needed. Times are local; --json gives the lines as they were written, in UTC.",
	.example = "roost log --since 10m\n"
		   "roost log --follow --request 0193d3a0-7c1e-7000-8000-2b6f3f1a9c55\n"
		   "roost log --json | jq -r 'select(.event == \"request.failed\")'",
	.options = options,
	.run = run,
};
