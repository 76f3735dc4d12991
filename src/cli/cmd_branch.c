/* roost branch: an experiment that goes on from a conversation of another. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/offline.h"
#include "cli/run_specs.h"
#include "cli/term.h"
#include "lab/branch.h"

/* What the messages that are taken over have decided already. Parsed all the same, so that the refusal says why. */
#define IS_DECIDED(sym)                                                                                                \
	((sym) == SPEC_PROMPT || (sym) == SPEC_DIMENSIONS || (sym) == SPEC_PROMPT_TAG || (sym) == SPEC_MEDITATION ||   \
	 (sym) == SPEC_TURNS)
#define BRANCH_OPTION(sym, field, key, also, option, each, letter, arg, kind, lo, hi, def, what)                       \
	{option, IS_DECIDED(sym) ? 0 : (letter), arg, IS_DECIDED(sym) ? NULL : (what), NULL},

#define BRANCH_OPTIONS_EACH(sym, field, key, also, option, each, letter, arg, kind, lo, hi, def, what)                 \
	SPEC_OPTIONS_EACH(sym, field, key, also, option, each, letter, arg, kind, lo, hi, NULL, what)

static const struct cli_option options[] = {
	{"turn", 0, "N", "take over the first N turns", "all that are complete"},
	{"max-turns", 't', "N", "turns in all, those taken over too", "the source's"},
	{"spec", 's', "FILE", "write the branch as a spec instead of running it", NULL},
	{"run", 0, NULL, "with --spec: run it too", NULL},
	{"force", 'f', NULL, "with --spec: replace the file", NULL},
	SPEC_MAP(BRANCH_OPTION, BRANCH_OPTIONS_EACH, SPEC_NO_OPTION, SPEC_NO_OPTION) OPTIONS_RUN,
	OPTION_END,
};

/* Its option has another name here, since a turn is something else. */
static enum err check_line(struct cli *c)
{
	static const enum spec_symbol decided[] = {SPEC_PROMPT, SPEC_DIMENSIONS, SPEC_PROMPT_TAG, SPEC_MEDITATION};
	for (size_t i = 0; i < ARRAY_LEN(decided); i++)
		if (cli_switch(c, spec_rows[decided[i]].option))
			return err_set(&c->info, ERR_USAGE,
				       "--%s is for a conversation's beginning, which is taken over here",
				       spec_rows[decided[i]].option);
	for (int i = 0; i < c->ngiven; i++)
		if (strcmp(c->given[i].name, "max-turns") == 0) c->given[i].name = spec_rows[SPEC_TURNS].option;
	if (cli_switch(c, "quiet") && cli_switch(c, "tail"))
		return err_set(&c->info, ERR_USAGE, "--quiet and --tail contradict each other");
	if (!cli_switch(c, "spec") && (cli_switch(c, "run") || cli_switch(c, "force")))
		return err_set(&c->info, ERR_USAGE, "--run and --force are for --spec");
	return OK;
}

static enum err turn_of_line(struct cli *c, int64_t *out)
{
	const char *text = cli_option(c, "turn");
	*out = -1;
	if (text == NULL || (str_to_int(str_c(text), out) && *out >= 0)) return OK;
	return err_set(&c->info, ERR_USAGE, "--turn is \"%.60s\"; it must be a whole number from 0", text);
}

/* What asks models, when something does: naming them, or the run. */
static enum err open_once(struct cli *c, struct offline *off) { return off->is_open ? OK : run_open(c, off); }

/* Names as their ids, so that what is told to have changed is what answers then. */
static enum err resolve_models(struct cli *c, struct offline *off, struct spec *s)
{
	enum err e = OK;
	for (size_t i = 0; i < 2 && e == OK; i++) {
		struct resolved r;
		if (!cli_switch(c, i == 0 ? "agent-a" : "agent-b")) continue;
		e = open_once(c, off);
		if (e == OK) e = offline_resolve(off, s->agents[i].asked, &r, &c->info);
		if (e == OK) s->agents[i].asked = arena_str(&s->memory, str_c(r.id));
	}
	return e;
}

static enum err change(struct cli *c, struct offline *off, struct spec *s)
{
	const char *profile = cli_option(c, spec_rows[SPEC_PROFILE].option);
	enum err e = run_apply_line(c, s);
	/* weights are those of the profile that was */
	if (e == OK && profile != NULL && strcmp(profile, "custom") != 0) s->has_weights = false;
	return e == OK ? resolve_models(c, off, s) : e;
}

/* ---- what is told ------------------------------------------------------------------------------------------------- */

static void tell_value(const struct json *v)
{
	struct arena memory = {0};
	struct str text;
	int64_t bytes;
	if (json_type(v) == JSON_OBJ && json_int(json_get(v, "bytes"), &bytes))
		fprintf(stderr, "a text of %lld bytes", (long long)bytes);
	else if (json_type(v) == JSON_NULL) fputs("none", stderr);
	else term_put(stderr, json_str(v, &text) ? text : json_text(&memory, v), TERM_ONE_LINE);
	arena_clear(&memory);
}

/* On stderr: what runs writes on stdout. */
static void tell(const struct branch *b, const struct spec *s)
{
	struct json_doc *doc = NULL;
	bool is_one = s->ninherited == 1;
	if (s->name.n > 0) term_put(stderr, s->name, TERM_ONE_LINE);
	fputs(s->name.n > 0 ? " goes on from " : "this goes on from ", stderr);
	term_put(stderr, str_c(b->place.name), TERM_ONE_LINE);
	fprintf(stderr, " (%s) after turn %lld, with %zu message%s\n", b->conversation, (long long)b->turns,
		s->ninherited, is_one ? "" : "s");
	if (s->parameter_changes.n == 0 || json_parse(s->parameter_changes, &doc, NULL) != OK) return;
	for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
		fprintf(stderr, "  %.*s: ", STR_ARG(it.key));
		tell_value(json_get(it.val, "from"));
		fputs(" -> ", stderr);
		tell_value(json_get(it.val, "to"));
		fputc('\n', stderr);
	}
	json_free(doc);
}

/* ---- the spec as a file ------------------------------------------------------------------------------------------- */

static enum err save(struct cli *c, const struct spec *s, const char *path)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int how = cli_switch(c, "force") ? O_TRUNC : O_EXCL;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0600);
	if (fd < 0 && errno == EEXIST) return err_set(&c->info, ERR_EXISTS, "%.180s exists; --force replaces it", path);
	spec_write(s, &b);
	bool ok = fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n && fsync(fd) == 0;
	int os = errno;
	if (fd >= 0 && close(fd) != 0 && ok) {
		ok = false;
		os = errno;
	}
	buf_release(&b);
	if (ok) return OK;
	return err_set(&c->info, os_has_no_room(os) ? ERR_STORAGE_FULL : ERR_IO, "%.150s cannot be written: %s", path,
		       strerror(os));
}

static int use(struct cli *c, struct offline *off, const struct branch *b, struct spec *s)
{
	const char *path = cli_option(c, "spec");
	tell(b, s);
	enum err e = path != NULL ? save(c, s, path) : OK;
	if (e == OK && path != NULL && !cli_switch(c, "run")) return 0;
	if (e == OK) e = open_once(c, off);
	return e == OK ? run_specs(c, off, s, 1) : cli_fail(c, e, &c->info);
}

static int run(struct cli *c)
{
	struct branch b = {0};
	struct spec s = {0};
	struct offline off = {0};
	int64_t turn;
	char *output = NULL;
	enum err e = check_line(c);
	if (e == OK) e = turn_of_line(c, &turn);
	if (e == OK) e = cli_load_config(c);
	if (e == OK) output = place_output(&c->config, cli_option(c, "output"));
	if (e == OK) e = branch_open(output, str_c(c->args[0]), turn, &c->config, &b, &c->info);
	if (e == OK) e = branch_begin(&b, &c->config, &s, &c->info);
	if (e == OK) e = change(c, &off, &s);
	if (e == OK) e = branch_end(&b, output, cli_switch(c, spec_rows[SPEC_TURNS].option), &s, &c->info);
	int status = e == OK ? use(c, &off, &b, &s) : cli_fail(c, e, &c->info);
	offline_close(&off);
	spec_release(&s);
	branch_close(&b);
	free(output);
	return status;
}

const struct cli_command cmd_branch = {
	.name = "branch",
	.summary = "go on from a conversation, with something changed",
	.args = "CONVERSATION",
	.args_min = 1,
	.args_max = 1,
	.about =
		"Begins an experiment with what was said in a conversation of another one, up to the end of a turn, and\n"
		"with its spec, over which the options go. CONVERSATION is an id as conv_1a2b3c4d, or what means an\n"
		"experiment that has only one. It may be running, interrupted, failed or over, a branch itself, or Pidgin's.\n"
		"\n"
		"When nothing is changed, the models are given at first the very messages they were given there. What was\n"
		"changed is told, and noted in the branch. Where the source has made all its turns, as many again are made\n"
		"unless --max-turns says how many it is in all. Its name is the source's with -branch behind it.\n"
		"\n"
		"A spec that --spec writes holds the messages too: roost run takes it, also where the source is not.\n"
		"Experiments whose texts were redacted cannot be branched.",
	.example = "roost branch conv_1a2b3c4d --turn 3 --temp-b 1.2\n"
		   "roost branch bold-heron -b claude --name bolder --repetitions 5\n"
		   "roost branch conv_1a2b3c4d --turn 10 --spec ten.yaml",
	.options = options,
	.run = run,
};
