#include "cli/run_specs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/ollama.h"
#include "cli/run_one.h"
#include "cli/term.h"
#include "lab/detach.h"
#include "lab/manifest.h"
#include "lab/run.h"

#define LISTED_MAX 40
#define DETACH_MS 10000
#define SPEC_NAME "spec.yaml"
#define SPEC_PART SPEC_NAME ".new"

enum err run_apply_line(struct cli *c, struct spec *s)
{
	enum err e = OK;
	for (int i = 0; i < c->ngiven && e == OK; i++) {
		int agent = -1;
		const struct spec_row *row = spec_row_of_option(str_c(c->given[i].name), &agent);
		if (row != NULL) e = spec_set(s, row, agent, str_c(c->given[i].value), &c->info);
	}
	return e;
}

static void provider_lines(struct cli *c, const char **lines)
{
	int n = 0;
	while ((lines[n] = cli_option_nth(c, "provider", n)) != NULL) n++;
}

/* ---- which models ----------------------------------------------------------------------------------------------- */

/* The chat models that can be asked now, numbered. */
static void list_models(struct offline *off, struct str *ids, size_t *n, struct arena *memory)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	catalog_write_all(off->catalog, false, &text);
	*n = 0;
	if (json_parse(buf_str(&text), &doc, NULL) == OK)
		for (struct json_iter it = json_iter(json_get(json_root(doc), "models"));
		     json_next(&it) && *n < LISTED_MAX;) {
			ids[*n] = arena_str(memory, cli_text(it.val, "id"));
			printf("%3zu  ", *n + 1);
			term_put(stdout, ids[(*n)++], TERM_ONE_LINE);
			putchar('\n');
		}
	json_free(doc);
	buf_release(&text);
}

/* On a terminal a person chooses; elsewhere nobody is asked. */
static enum err choose_model(struct cli *c, struct offline *off, struct spec *s, size_t i)
{
	struct str ids[LISTED_MAX];
	size_t n;
	char line[300];
	int64_t number;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return err_set(&c->info, ERR_USAGE,
			       "%s has no model: name it with --%s (local:test needs no key; see roost models)",
			       lab_agent_ids[i], i == 0 ? "agent-a" : "agent-b");
	printf("Models:\n");
	list_models(off, ids, &n, &s->memory);
	printf("%s, by number or name: ", lab_agent_ids[i]);
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL) return err_set(&c->info, ERR_CANCELLED, "no model was chosen");
	line[strcspn(line, "\n")] = '\0';
	if (str_to_int(str_c(line), &number) && number >= 1 && number <= (int64_t)n)
		s->agents[i].asked = ids[number - 1];
	else s->agents[i].asked = arena_str(&s->memory, str_c(line));
	return line[0] == '\0' ? err_set(&c->info, ERR_CANCELLED, "no model was chosen") : OK;
}

static enum err prepare(struct cli *c, struct offline *off, struct spec *s)
{
	bool is_remote[LAB_AGENTS_MAX];
	struct resolved usual = {0};
	enum err e = OK;
	if (s->meditation && s->agents[0].asked.n == 0) e = offline_resolve(off, STR_NONE, &usual, &c->info);
	spec_agents(s, str_c(usual.id));
	for (size_t i = 0; i < s->nagents && e == OK; i++) {
		struct resolved r;
		if (s->agents[i].asked.n == 0) e = choose_model(c, off, s, i);
		if (e == OK) e = ollama_resolve(c, off, s->agents[i].asked, &r);
		if (e != OK) break;
		s->agents[i].model = arena_str(&s->memory, str_c(r.id));
		is_remote[i] = providers_is_remote(off->providers, providers_index(off->providers, str_c(r.id)));
	}
	if (e == OK) e = spec_complete(s, is_remote, &c->info);
	return e == OK ? run_check(off->providers, off->catalog, s, &c->info) : e;
}

/* ---- one experiment --------------------------------------------------------------------------------------------- */

static char *path_in(const struct place *p, const char *name)
{
	size_t cap = strlen(p->dir) + strlen(name) + 2;
	char *path = xmalloc(cap);
	(void)snprintf(path, cap, "%s/%s", p->dir, name);
	return path;
}

/* What was asked for, beside what came of it. There from the first to the last byte or not at all. */
static enum err keep_spec(const struct spec *s, const struct place *p, struct errinfo *info)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	char *path = path_in(p, SPEC_NAME);
	char *part = path_in(p, SPEC_PART);
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	spec_write(s, &b);
	if (fd >= 0) errno = ENOSPC; /* of half a write */
	bool ok = fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n && fsync(fd) == 0 && rename(part, path) == 0;
	enum err e =
		ok ? OK
		   : err_set(info, os_has_no_room(errno) ? ERR_STORAGE_FULL : ERR_IO, "%s: %s", path, strerror(errno));
	if (fd >= 0) close(fd);
	free(part);
	free(path);
	buf_release(&b);
	return e;
}

static const struct show_kind *display_of(struct cli *c, const struct spec *s, bool is_detached)
{
	if (is_detached) return &show_quiet;
	if (cli_switch(c, "json")) return &show_json;
	const struct show_kind *k = show_find(s->display);
	return k != NULL ? k : &show_quiet;
}

/* In a directory that is made and not yet locked. */
static int run_in(struct cli *c, struct offline *off, struct spec *s, struct place *p, bool resume, bool is_detached,
		  int *out_asked)
{
	int fd = -1, status;
	*out_asked = 0;
	run_ignore_pauses();
	enum err e = place_lock(p, &fd, &c->info);
	if (e == OK && !resume && s->redact == REDACT_NONE) e = keep_spec(s, p, &c->info);
	if (is_detached && e != OK) detach_tell(e, &c->info);
	struct run_one one = {.offline = off,
			      .spec = s,
			      .place = p,
			      .show = display_of(c, s, is_detached),
			      .resume = resume,
			      .is_detached = is_detached};
	status = e == OK ? run_one(c, &one, out_asked) : cli_fail(c, e, &c->info);
	if (fd >= 0) place_unlock(p, fd);
	return status;
}

/* A name is a text too: a redacted experiment gets one that is made up. */
static enum err make_place(struct cli *c, struct spec *s, struct place *p)
{
	bool hides = s->redact == REDACT_HASH || s->redact == REDACT_DROP;
	if (hides && s->name.n > 0) s->name = STR("");
	char *output = place_output(&c->config, s->output.n > 0 ? s->output.p : NULL);
	enum err e = place_make(output, s->name, p, &c->info);
	if (e == OK) s->name = arena_str(&s->memory, str_c(p->name));
	if (e == OK && hides) fprintf(stderr, "texts are not kept, nor is a name: this experiment is %s\n", p->name);
	free(output);
	return e;
}

static bool is_quiet(const struct spec *s) { return str_eq(s->display, STR("quiet")); }

/* As one file of specs. */
static void write_specs(const struct spec *specs, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0) buf_add_str(out, STR("---\n"));
		spec_write(&specs[i], out);
	}
}

/* Starts the background process for a place and tells where it is; what more specs there are gets places of its own. */
static int detach(struct cli *c, struct place *p, const struct spec *specs, size_t n, bool resume)
{
	const char *lines[CLI_OPTIONS_MAX + 1];
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	int pid;
	provider_lines(c, lines);
	write_specs(specs, n, &text);
	struct detach_order order = {.place = *p,
				     .resume = resume,
				     .config_file = (char *)(uintptr_t)cli_option(c, "config"),
				     .data_dir = (char *)(uintptr_t)cli_option(c, "data"),
				     .providers = lines,
				     .spec = buf_str(&text)};
	enum err e = detach_start(&order, DETACH_MS, &pid, &c->info);
	buf_release(&text);
	if (e != OK) return cli_fail(c, e, &c->info);
	printf("%s runs in the background as %s (pid %d)\n", p->name, p->id, pid);
	printf("  watch it: roost monitor    its state: roost experiment show %s    end it: roost stop %s\n", p->id,
	       p->id);
	printf("  files: %s\n", p->dir);
	if (n > 1) printf("  %zu more experiments follow it, one after another\n", n - 1);
	return 0;
}

/* What never began leaves nothing behind, and its name is free again. */
static void discard_unbegun(const struct place *p)
{
	static const char *const files[] = {SPEC_NAME, SPEC_PART, DETACH_LOG, "run.lock"};
	int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) return;
	if (faccessat(dir, MANIFEST_FILE, F_OK, 0) != 0) {
		for (size_t i = 0; i < ARRAY_LEN(files); i++) (void)unlinkat(dir, files[i], 0);
		(void)rmdir(p->dir);
	}
	close(dir);
}

static int start(struct cli *c, struct offline *off, struct spec *s, bool is_detached, int *out_asked)
{
	struct place p;
	enum err e = make_place(c, s, &p);
	if (e != OK) return cli_fail(c, e, &c->info);
	int status = run_in(c, off, s, &p, false, is_detached, out_asked);
	discard_unbegun(&p);
	place_release(&p);
	return status;
}

/* One after another; somebody who wants an end wants no next one. */
static int start_all(struct cli *c, struct offline *off, struct spec *specs, size_t n, bool is_detached)
{
	int status = 0;
	int asked = 0;
	for (size_t i = 0; i < n; i++) {
		if (asked != 0) return asked;
		int one = start(c, off, &specs[i], is_detached, &asked);
		if (status == 0 || one >= 128) status = one;
	}
	return status;
}

static int start_detached(struct cli *c, struct spec *specs, size_t n)
{
	struct place p;
	enum err e = make_place(c, &specs[0], &p);
	if (e != OK) return cli_fail(c, e, &c->info);
	int status = detach(c, &p, specs, n, false);
	if (status != 0) discard_unbegun(&p);
	place_release(&p);
	return status;
}

static int dry_run(const struct spec *specs, size_t n)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	write_specs(specs, n, &b);
	fwrite(buf_str(&b).p, 1, b.n, stdout);
	buf_release(&b);
	return 0;
}

enum err run_open(struct cli *c, struct offline *out)
{
	const char *lines[CLI_OPTIONS_MAX + 1];
	provider_lines(c, lines);
	detach_keep_environment();
	return offline_open(c, lines, out);
}

int run_specs(struct cli *c, struct offline *off, struct spec *specs, size_t n)
{
	bool is_detached = is_quiet(&specs[0]);
	enum err e = OK;
	for (size_t i = 0; i < n && e == OK; i++) e = prepare(c, off, &specs[i]);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "dry-run")) return dry_run(specs, n);
	if (is_detached) return start_detached(c, specs, n);
	detach_forget_environment(); /* it has the keys */
	return start_all(c, off, specs, n, false);
}

/* ---- other ways in ---------------------------------------------------------------------------------------------- */

/* An experiment that can be continued has kept its texts, and what was asked for. */
static enum err check_resumable(const struct place *p, const char *spec_path, struct errinfo *info)
{
	struct manifest m;
	manifest_init(&m);
	enum err e = manifest_load(&m, p->dir, false, info);
	if (e == ERR_NOT_FOUND && access(spec_path, R_OK) == 0) e = OK; /* it may have been killed before it had one */
	else if (e == OK && m.redacted)
		e = err_set(info, ERR_BAD_STATE, "%s cannot be continued: its texts were redacted (--redact)", p->name);
	else if (e == OK && access(spec_path, R_OK) != 0)
		e = err_set(info, ERR_BAD_STATE, "%s cannot be continued: it has no " SPEC_NAME, p->name);
	manifest_release(&m);
	return e;
}

/* How it is shown and how many conversations are held at once may change; what it is may not. */
static enum err apply_to_begun(struct cli *c, struct spec *s)
{
	static const enum spec_symbol may[] = {SPEC_QUIET, SPEC_TAIL, SPEC_NOTIFY, SPEC_MAX_PARALLEL,
					       SPEC_SHOW_SYSTEM_PROMPTS};
	enum err e = OK;
	for (int i = 0; i < c->ngiven && e == OK; i++) {
		int agent;
		bool is_fine = false;
		const struct spec_row *row = spec_row_of_option(str_c(c->given[i].name), &agent);
		if (row == NULL || row == &spec_rows[SPEC_OUTPUT]) continue;
		for (size_t j = 0; j < ARRAY_LEN(may); j++) is_fine = is_fine || row == &spec_rows[may[j]];
		if (is_fine) e = spec_set(s, row, agent, str_c(c->given[i].value), &c->info);
		else
			e = err_set(&c->info, ERR_USAGE,
				    "--%s cannot change an experiment that has begun; see roost branch",
				    c->given[i].name);
	}
	return e;
}

static int resume_in(struct cli *c, struct place *p)
{
	const char *lines[CLI_OPTIONS_MAX + 1];
	struct spec *specs = NULL;
	size_t n = 0;
	struct offline off = {0};
	int status;
	int asked;
	char *path = path_in(p, SPEC_NAME);
	enum err e = check_resumable(p, path, &c->info);
	if (e == OK) e = spec_load(path, &c->config, &specs, &n, &c->info);
	if (e == OK) e = apply_to_begun(c, &specs[0]);
	if (e == OK && is_quiet(&specs[0])) {
		status = detach(c, p, &specs[0], 1, true);
		goto out;
	}
	provider_lines(c, lines);
	if (e == OK) e = offline_open(c, lines, &off);
	if (e == OK) e = prepare(c, &off, &specs[0]);
	if (e != OK) status = cli_fail(c, e, &c->info);
	else status = run_in(c, &off, &specs[0], p, true, false, &asked);
	offline_close(&off);
out:
	for (size_t i = 0; i < n; i++) spec_release(&specs[i]);
	free(specs);
	free(path);
	return status;
}

int run_resumed(struct cli *c, const char *asked)
{
	struct place p;
	char *output = place_output(&c->config, cli_option(c, "output"));
	enum err e = place_find(output, str_c(asked), &p, &c->info);
	free(output);
	if (e != OK) return cli_fail(c, e, &c->info);
	int status = resume_in(c, &p);
	place_release(&p);
	return status;
}

static enum err load_for(struct cli *c, const struct detach_order *o)
{
	enum err e = OK;
	const char *path = o->config_file != NULL ? o->config_file : config_default_path(&c->config);
	e = config_load(&c->config, path, &c->info);
	if (e == ERR_NOT_FOUND && o->config_file == NULL) e = OK;
	if (e == OK && o->data_dir != NULL) e = config_set(&c->config, "data", o->data_dir, &c->info);
	return e;
}

int run_detached(struct cli *c)
{
	struct detach_order o;
	struct spec *specs = NULL;
	size_t n = 0;
	struct offline off = {0};
	int status;
	int asked;
	enum err e = detach_receive(&o, &c->info);
	if (e != OK) return cli_fail(c, e, &c->info);
	e = load_for(c, &o);
	if (e == OK) e = spec_parse(o.spec, SPEC_NAME, &c->config, &specs, &n, &c->info);
	if (e == OK) e = offline_open(c, o.providers, &off);
	for (size_t i = 0; i < n && e == OK; i++) e = prepare(c, &off, &specs[i]);
	if (e != OK) {
		detach_tell(e, &c->info);
		status = err_exit(e);
	} else {
		status = run_in(c, &off, &specs[0], &o.place, o.resume, true, &asked);
		if (asked == 0) status = MAX(status, start_all(c, &off, specs + 1, n - 1, true));
		else if (n > 1) status = asked;
	}
	offline_close(&off);
	for (size_t i = 0; i < n; i++) spec_release(&specs[i]);
	free(specs);
	detach_order_release(&o);
	return status;
}
