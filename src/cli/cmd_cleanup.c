/* roost cleanup: removing experiments that nobody needs any more. It shows what would go, and removes it when told so. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/experiments.h"
#include "cli/term.h"
#include "lab/cleanup.h"

#define ANALYZE "roost-analyze"
#define DATABASE "experiments.duckdb"

static const struct cli_option options[] = {
	OPTIONS_PLACE,
	{"older-than", 0, "AGE", "those that ended so long ago: 12h, 30d, 8w", NULL},
	{"larger-than", 0, "SIZE", "those with more bytes: 500MB, 2GiB", NULL},
	{"status", 's', "STATUS,...", "those with one of these: failed, interrupted, completed, …, unreadable", NULL},
	{"keep", 'k', "N", "the newest N stay in any case", NULL},
	{"all", 'a', NULL, "all that do not run", NULL},
	{"yes", 'y', NULL, "do it; otherwise nothing is changed", NULL},
	OPTION_JSON,
	OPTION_END,
};

/* ---- the rule --------------------------------------------------------------------------------------------------- */

struct unit {
	const char *name;
	int64_t factor;
};
static const struct unit ages[] = {
	{"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {"w", 604800000}, {NULL, 0},
};
static const struct unit sizes[] = {
	{"B", 1},           {"kB", 1000},          {"KB", 1000},       {"MB", 1000000},
	{"GB", 1000000000}, {"TB", 1000000000000}, {"KiB", 1LL << 10}, {"MiB", 1LL << 20},
	{"GiB", 1LL << 30}, {"TiB", 1LL << 40},    {NULL, 0},
};

/* A whole number from 1 and a unit. */
static bool parse_with_unit(const char *text, const struct unit *units, int64_t *out)
{
	size_t n = strspn(text, "0123456789");
	int64_t v;
	if (!str_to_int(str_n(text, n), &v) || v < 1) return false;
	for (const struct unit *u = units; u->name != NULL; u++)
		if (strcmp(u->name, text + n) == 0) return !__builtin_mul_overflow(v, u->factor, out);
	return false;
}

static enum err add_status(struct cli *c, struct str name, struct cleanup_rule *r)
{
	enum experiment_status s;
	if (str_eq(name, STR("unreadable"))) r->unreadable = true;
	else if (!experiment_status_parse(name, &s) || s == EXPERIMENT_RUNNING || s == EXPERIMENT_PAUSED)
		return err_set(&c->info, ERR_USAGE,
			       "--status \"%.*s\": it is created, completed, completed_with_failures, failed, "
			       "interrupted or unreadable",
			       (int)MIN(name.n, (size_t)40), name.p);
	else r->statuses |= 1U << s;
	return OK;
}

static enum err add_statuses(struct cli *c, struct cleanup_rule *r)
{
	enum err e = OK;
	const char *list;
	for (int i = 0; (list = cli_option_nth(c, "status", i)) != NULL && e == OK; i++)
		for (size_t n; e == OK && list != NULL; list = list[n] == ',' ? list + n + 1 : NULL) {
			n = strcspn(list, ",");
			e = add_status(c, str_n(list, n), r);
		}
	return e;
}

static enum err rule_of_line(struct cli *c, struct cleanup_rule *r)
{
	const char *age = cli_option(c, "older-than"), *size = cli_option(c, "larger-than"),
		   *keep = cli_option(c, "keep");
	int64_t n = 0;
	*r = (struct cleanup_rule){0};
	if (age != NULL && !parse_with_unit(age, ages, &r->older_ms))
		return err_set(&c->info, ERR_USAGE, "--older-than takes a number and its unit, as in 12h, 30d or 8w");
	if (size != NULL && !parse_with_unit(size, sizes, &r->larger_bytes))
		return err_set(&c->info, ERR_USAGE, "--larger-than takes a number and its unit, as in 500MB or 2GiB");
	if (keep != NULL && (!str_to_int(str_c(keep), &n) || n < 0))
		return err_set(&c->info, ERR_USAGE, "--keep takes a number from 0");
	r->keep = (size_t)n;
	bool is_limited = age != NULL || size != NULL || keep != NULL || cli_switch(c, "status");
	if (!is_limited && !cli_switch(c, "all"))
		return err_set(&c->info, ERR_USAGE,
			       "say which: --older-than, --larger-than, --status, --keep, or --all for every one");
	if (is_limited && cli_switch(c, "all"))
		return err_set(&c->info, ERR_USAGE, "--all is all; it takes no condition beside it");
	return add_statuses(c, r);
}

/* ---- the database ----------------------------------------------------------------------------------------------- */

/* The analysis executable beside this one, or its name for a search in PATH. Free it. */
static char *analyze_path(void)
{
	char self[PATH_MAX], *path = NULL;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n > 0) {
		self[n] = '\0';
		char *slash = strrchr(self, '/');
		if (asprintf(&path, "%.*s/" ANALYZE, (int)(slash - self), self) < 0) die(71, "out of memory");
		if (access(path, X_OK) == 0) return path;
		free(path);
	}
	return xstrdup(ANALYZE);
}

static int64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

/* It has no shell and gets the path as one argument. */
static enum err run_analyze(const char *database, struct errinfo *info)
{
	char *program = analyze_path(), *argv[] = {ANALYZE, "compact", (char *)(uintptr_t)database, NULL};
	pid_t pid;
	int how = 0;
	enum err e = OK;
	fflush(stdout);
	int os = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
	if (os != 0) e = err_set(info, ERR_NOT_FOUND, ANALYZE " cannot be started: %s", strerror(os));
	while (e == OK && waitpid(pid, &how, 0) < 0)
		if (errno != EINTR) e = err_set(info, ERR_INTERNAL, ANALYZE " got lost");
	if (e == OK && how != 0)
		e = err_set(info, ERR_INTERNAL, ANALYZE " could not compact %.150s (status %d)", database,
			    WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how));
	free(program);
	return e;
}

/* "" nothing was to be done. */
static enum err compact(struct cli *c, const char *output, bool is_real, struct buf *said)
{
	char *database = NULL, before[TERM_WORD], after[TERM_WORD];
	enum err e = OK;
	if (asprintf(&database, "%s/" DATABASE, output) < 0) die(71, "out of memory");
	int64_t bytes = size_of(database);
	term_bytes(bytes, before);
	if (bytes < 0) buf_add_str(said, STR("there is no database to compact"));
	else if (!is_real) buf_addf(said, "%s (%s) would be compacted", DATABASE, before);
	else {
		e = run_analyze(database, &c->info);
		term_bytes(size_of(database), after);
		if (e == OK) buf_addf(said, "%s compacted: %s, before %s", DATABASE, after, before);
	}
	free(database);
	return e;
}

/* ---- telling and doing ------------------------------------------------------------------------------------------ */

static void print_plan(const struct cleanup_plan *p)
{
	static const char *const heads[] = {"ID", "NAME", "STATUS", "ENDED", "SIZE"};
	struct table t;
	char word[TERM_WORD];
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (size_t i = 0; i < p->n; i++) {
		const struct cleanup_item *item = &p->list[i];
		table_add(&t, str_c(strchr(item->id, '_') + 1));
		table_add(&t, str_c(item->name));
		table_add(&t, str_c(item->words));
		term_time(item->changed_ms, word);
		table_add(&t, str_c(word));
		term_bytes(item->bytes, word);
		table_add(&t, str_c(word));
	}
	if (p->n > 0) table_print(&t, stdout);
	for (size_t i = 0; i < p->nleftovers; i++) printf("left by an earlier clean-up: %s\n", p->leftovers[i]);
	table_release(&t);
}

struct done {
	size_t removed, stayed;
	int64_t bytes;
	enum err err; /* the first one */
};

static void took(struct cli *c, struct done *d, enum err e, int64_t bytes)
{
	if (e == OK) {
		d->removed++;
		d->bytes += bytes;
		return;
	}
	d->stayed++;
	if (d->err == OK) d->err = e;
	cli_fail(c, e, &c->info);
}

static void remove_all(struct cli *c, const struct cleanup_plan *p, struct done *d)
{
	for (size_t i = 0; i < p->n; i++) {
		c->info = (struct errinfo){0};
		took(c, d, cleanup_remove(&p->list[i], &c->info), p->list[i].bytes);
	}
	for (size_t i = 0; i < p->nleftovers; i++) {
		c->info = (struct errinfo){0};
		enum err e = cleanup_remove_leftover(p->leftovers[i], &c->info);
		if (e == OK) continue;
		if (d->err == OK) d->err = e;
		cli_fail(c, e, &c->info);
	}
}

static void say_others(const struct cleanup_plan *p)
{
	printf("%zu other%s stay%s", p->kept, p->kept == 1 ? "" : "s", p->kept == 1 ? "s" : "");
	if (p->running > 0) printf("; %zu of them run%s", p->running, p->running == 1 ? "s" : "");
	if (p->strange > 0)
		printf("; %zu director%s without a manifest %s left alone", p->strange, p->strange == 1 ? "y" : "ies",
		       p->strange == 1 ? "is" : "are");
	putchar('\n');
}

static void print_json(const struct cleanup_plan *p, const struct done *d, bool is_real, struct str database)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kbool(&w, "dryRun", !is_real);
	jw_key(&w, "experiments");
	jw_arr(&w);
	for (size_t i = 0; i < p->n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "id", str_c(p->list[i].id));
		jw_kstr(&w, "name", str_c(p->list[i].name));
		jw_kstr(&w, "dir", str_c(p->list[i].dir));
		jw_kstr(&w, "status", str_c(p->list[i].words));
		jw_kint(&w, "bytes", p->list[i].bytes);
		jw_ktime(&w, "endedAt", p->list[i].changed_ms);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_kint(&w, "bytes", p->bytes);
	jw_kint(&w, "kept", (int64_t)p->kept);
	jw_kint(&w, "running", (int64_t)p->running);
	jw_kint(&w, "withoutManifest", (int64_t)p->strange);
	jw_kint(&w, "leftovers", (int64_t)p->nleftovers);
	jw_kint(&w, "removed", (int64_t)d->removed);
	jw_kint(&w, "removedBytes", d->bytes);
	jw_kint(&w, "failed", (int64_t)d->stayed);
	jw_kstr(&w, "database", database);
	jw_obj_end(&w);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_release(&b);
}

static void print_end(const struct cleanup_plan *p, const struct done *d, bool is_real, struct str database)
{
	char size[TERM_WORD];
	size_t n = is_real ? d->removed : p->n;
	term_bytes(is_real ? d->bytes : p->bytes, size);
	if (is_real) printf("%zu experiment%s removed, %s", n, n == 1 ? "" : "s", size);
	else
		printf("%zu experiment%s would be removed, %s (%lld bytes)", n, n == 1 ? "" : "s", size,
		       (long long)p->bytes);
	printf("; ");
	say_others(p);
	printf("%.*s\n", STR_ARG(database));
	if (!is_real && (p->n > 0 || p->nleftovers > 0)) printf("nothing was changed; --yes does it\n");
}

static int run(struct cli *c)
{
	struct cleanup_rule rule;
	struct cleanup_plan plan = {0};
	struct done done = {0};
	struct buf database = BUF_INIT(4096);
	bool is_real = cli_switch(c, "yes");
	char *output = NULL;
	enum err e = rule_of_line(c, &rule);
	if (e == OK) e = cli_load_config(c);
	if (e == OK) {
		output = experiments_output(c);
		e = cleanup_plan(output, &rule, clock_wall_ms(), &plan, &c->info);
	}
	if (e != OK) {
		free(output);
		return cli_fail(c, e, &c->info);
	}
	if (!cli_switch(c, "json")) print_plan(&plan);
	if (is_real) remove_all(c, &plan, &done);
	c->info = (struct errinfo){0};
	e = compact(c, output, is_real, &database);
	if (e != OK) {
		cli_fail(c, e, &c->info);
		if (done.err == OK) done.err = e;
	}
	if (cli_switch(c, "json")) print_json(&plan, &done, is_real, buf_str(&database));
	else print_end(&plan, &done, is_real, buf_str(&database));
	cleanup_plan_release(&plan);
	buf_release(&database);
	free(output);
	return err_exit(done.err);
}

const struct cli_command cmd_cleanup = {
	.name = "cleanup",
	.summary = "remove old experiments; shows first what would go",
	.args = "",
	.about =
		"Shows which experiments fulfil all the conditions that are given, and how many bytes they are. With --yes\n"
		"they are removed. One that runs stays, and so does every directory that is no experiment. What an earlier\n"
		"clean-up left unfinished is removed as well.\n"
		"\n"
		"Afterwards the database of imported experiments is compacted, when there is one, by roost-analyze.",
	.example = "roost cleanup --older-than 30d --status failed,interrupted\n"
		   "roost cleanup --larger-than 500MB --keep 20 --yes",
	.options = options,
	.run = run,
};
