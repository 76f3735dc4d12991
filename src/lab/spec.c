#include "lab/spec.h"

#include <math.h>
#include <unistd.h>

#include "base/near.h"
#include "base/utf8.h"
#include "lab/spec_priv.h"
#include "provider/params.h"

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define ROW(sym, struct_, of, field_, key_, also_, option_, each_, letter_, arg_, kind_, lo_, hi_, def_, what_)        \
	[sym] = {.key = key_,                                                                                          \
		 .also = also_,                                                                                        \
		 .option = option_,                                                                                    \
		 .each = each_,                                                                                        \
		 .letter = letter_,                                                                                    \
		 .arg = arg_,                                                                                          \
		 .kind = kind_,                                                                                        \
		 .per_agent = of,                                                                                      \
		 .lo = lo_,                                                                                            \
		 .hi = hi_,                                                                                            \
		 .def = def_,                                                                                          \
		 .what = what_,                                                                                        \
		 .offset = offsetof(struct struct_, field_)},
#define OF_ALL(sym, ...) ROW(sym, spec, false, __VA_ARGS__)
#define OF_EACH(sym, ...) ROW(sym, spec_agent, true, __VA_ARGS__)
const struct spec_row spec_rows[SPEC_ROWS] = {SPEC_MAP(OF_ALL, OF_EACH, OF_ALL, OF_EACH)};
_Static_assert(SPEC_ROWS <= 64, "spec_agent.own has a bit for each row");

const char *const weight_names[WEIGHTS] = {"content", "structure", "sentences", "length", "punctuation"};
const char *const display_names[] = {"chat", "tail", "quiet", "json", "none", NULL};

int spec_agent_letter(char letter, size_t agents)
{
	return letter >= 'a' && (size_t)(letter - 'a') < agents ? letter - 'a' : -1;
}

/* Is `name` the stem, or the stem, a separator and an agent's letter? */
static bool is_named(struct str name, const char *stem, char separator, size_t agents, int *agent)
{
	if (stem == NULL || !str_starts(name, str_c(stem))) return false;
	struct str rest = str_n(name.p + strlen(stem), name.n - strlen(stem));
	*agent = rest.n == 2 && rest.p[0] == separator ? spec_agent_letter(rest.p[1], agents) : -1;
	return rest.n == 0 || *agent >= 0;
}

const struct spec_row *spec_row_of_option(struct str option, int *agent)
{
	for (const struct spec_row *r = spec_rows; r < spec_rows + SPEC_ROWS; r++) {
		*agent = -1;
		if (r->option == NULL) continue;
		if (str_eq(option, str_c(r->option))) return r;
		if (r->per_agent && is_named(option, r->each, '-', 2, agent) && *agent >= 0) return r;
	}
	return NULL;
}

const struct spec_row *spec_row_of_key(struct str key, int *agent)
{
	for (const struct spec_row *r = spec_rows; r < spec_rows + SPEC_ROWS; r++) {
		size_t agents = r->per_agent ? LAB_AGENTS_MAX : 0;
		if (is_named(key, r->key, '_', agents, agent) || is_named(key, r->also, '_', agents, agent)) return r;
	}
	return NULL;
}

/* ---- near words -------------------------------------------------------------------------------------------------- */

void near_try(struct near *n, const char *word)
{
	size_t d = near_distance(n->asked, str_c(word));
	if (d > MAX(n->asked.n, strlen(word)) / 2 || (n->word != NULL && d >= n->distance)) return;
	n->word = word;
	n->distance = d;
}

const char *near_text(const struct near *n, char out[NEAR_TEXT])
{
	out[0] = '\0';
	if (n->word != NULL) (void)snprintf(out, NEAR_TEXT, "; did you mean %s?", n->word);
	return out;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static enum err wrong(const struct put *p, struct str value, const char *may)
{
	return err_set(p->info, ERR_USAGE, "%s is \"%.*s\"; it must be %s", p->said, (int)MIN(value.n, 60), value.p,
		       may);
}

static void *field_of(const struct put *p, size_t agent)
{
	const struct spec_row *row = &spec_rows[p->row];
	return (row->per_agent ? (char *)&p->spec->agents[agent] : (char *)p->spec) + row->offset;
}

/* Into the field, or into that of every agent that has none of its own. */
static void store(const struct put *p, const void *value, size_t size)
{
	uint64_t own = (uint64_t)1 << p->row;
	if (!spec_rows[p->row].per_agent) {
		memcpy(field_of(p, 0), value, size);
		return;
	}
	for (size_t i = 0; i < LAB_AGENTS_MAX; i++) {
		struct spec_agent *a = &p->spec->agents[i];
		if (p->agent >= 0 ? (size_t)p->agent != i : (a->own & own) != 0) continue;
		memcpy(field_of(p, i), value, size);
		if (p->agent >= 0) a->own |= own;
	}
}

static void store_text(const struct put *p, struct str value)
{
	struct str kept = arena_str(&p->spec->memory, value);
	store(p, &kept, sizeof kept);
}

static enum err put_int(const struct put *p, struct str value)
{
	const struct spec_row *row = &spec_rows[p->row];
	int64_t v;
	char may[80];
	if (!str_to_int(value, &v) || (double)v < row->lo || (double)v > row->hi) {
		(void)snprintf(may, sizeof may, "a whole number from %.0f to %.0f", row->lo, row->hi);
		return wrong(p, value, may);
	}
	store(p, &v, sizeof v);
	if (p->row == SPEC_SEED) p->spec->has_seed = true;
	return OK;
}

static bool to_real(struct str text, double *out)
{
	char copy[64], *end;
	if (text.n == 0 || strchr("+-.0123456789", text.p[0]) == NULL || !str_copy(text, copy, sizeof copy))
		return false;
	if (strspn(copy, "+-.0123456789eE") != text.n) return false;
	*out = strtod(copy, &end);
	return *end == '\0' && isfinite(*out);
}

static enum err put_real(const struct put *p, struct str value)
{
	const struct spec_row *row = &spec_rows[p->row];
	bool may_be_none = p->row == SPEC_THRESHOLD;
	double v = (double)NAN;
	char may[80];
	if (!(may_be_none && str_eq(value, STR("none"))) && !(to_real(value, &v) && v >= row->lo && v <= row->hi)) {
		(void)snprintf(may, sizeof may, "a number from %g to %g%s", row->lo, row->hi,
			       may_be_none ? ", or none" : "");
		return wrong(p, value, may);
	}
	store(p, &v, sizeof v);
	if (may_be_none) p->spec->has_threshold = true;
	return OK;
}

static enum err put_flag(const struct put *p, struct str value)
{
	bool on = true;
	if (value.n > 0 && !yaml_flag(value, &on)) return wrong(p, value, "true or false");
	if (p->row != SPEC_QUIET && p->row != SPEC_TAIL) {
		store(p, &on, sizeof on);
		return OK;
	}
	struct str shown = p->row == SPEC_QUIET ? STR("quiet") : STR("tail");
	if (on) p->spec->display = shown;
	else if (str_eq(p->spec->display, shown)) p->spec->display = STR("chat");
	return OK;
}

static enum err put_word(const struct put *p, struct str value)
{
	struct spec *s = p->spec;
	switch (p->row) {
	case SPEC_ACTION:
		if (!convergence_action_parse(value, &s->action))
			return wrong(p, value, "stop, pause, notify, warn or continue");
		s->has_action = true;
		return OK;
	case SPEC_PROFILE:
		if (convergence_profile_find(value) == PROFILE_COUNT && !str_eq(value, STR("custom")))
			return wrong(p, value, "balanced, structural, semantic, strict or custom");
		s->has_profile = true;
		store_text(p, value);
		return OK;
	case SPEC_REDACT:
		if (value.n == 0) value = STR("hash");
		return redaction_parse(value, &s->redact) ? OK : wrong(p, value, "hash, drop, mask-pii or off");
	default: break;
	}
	ASSERT_CMP(p->row, ==, SPEC_DISPLAY);
	for (const char *const *d = display_names; *d != NULL; d++) {
		if (!str_eq(value, str_c(*d))) continue;
		s->display = str_c(*d);
		return OK;
	}
	return wrong(p, value, "chat, tail, quiet, json or none");
}

/* An absolute path in the spec's memory. */
static struct str keep_path(const struct put *p, struct str path)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	const char *home = getenv("HOME");
	if (str_starts(path, STR("~/")) && home != NULL) {
		buf_addf(&b, "%s%.*s", home, (int)path.n - 1, path.p + 1);
	} else {
		bool dir_is_whole = p->dir.n > 0 && p->dir.p[0] == '/';
		if (path.p[0] != '/' && !dir_is_whole) {
			char *cwd = getcwd(NULL, 0);
			buf_addf(&b, "%s/", cwd != NULL ? cwd : "");
			free(cwd);
		}
		if (path.p[0] != '/') buf_add_str(&b, p->dir);
		buf_add_str(&b, path);
	}
	struct str kept = arena_str(&p->spec->memory, buf_str(&b));
	buf_release(&b);
	return kept;
}

static bool is_one_line(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) return false;
	return true;
}

static enum err check_words(const struct put *p, struct str value)
{
	const struct spec_row *row = &spec_rows[p->row];
	bool is_line = p->row != SPEC_PROMPT && p->row != SPEC_PROMPT_TAG;
	if ((double)value.n < row->lo || (double)value.n > row->hi)
		return err_set(p->info, ERR_USAGE, "%s has %zu bytes; it must have from %.0f to %.0f", p->said, value.n,
			       row->lo, row->hi);
	if (!utf8_is_valid(value) || memchr(value.p, '\0', value.n) != NULL)
		return err_set(p->info, ERR_USAGE, "%s is not UTF-8", p->said);
	if (is_line && !is_one_line(value)) return err_set(p->info, ERR_USAGE, "%s must be one line", p->said);
	if (p->row != SPEC_AWARENESS) return OK;
	struct errinfo why = {0};
	enum err e = awareness_named(value, &why);
	return e == OK ? OK : err_set(p->info, ERR_USAGE, "%s: %s", p->said, err_sentence(&why, e));
}

static enum err put_words(const struct put *p, struct str value)
{
	enum err e = check_words(p, value);
	if (e != OK) return e;
	bool is_file = p->row == SPEC_AWARENESS && !awareness_is_given(value) &&
		       fragment_find(awareness_presets, value) == NULL;
	if (is_file || (p->row == SPEC_OUTPUT && value.n > 0)) value = keep_path(p, value);
	if ((double)value.n > spec_rows[p->row].hi)
		return err_set(p->info, ERR_USAGE, "%s is too long a path", p->said);
	store_text(p, value);
	return OK;
}

/* What an option gives as a list. */
static enum err put_split(const struct put *p, struct str value)
{
	struct str list[16];
	size_t n = 0;
	for (size_t at = 0; at <= value.n;) {
		size_t end = at;
		while (end < value.n && value.p[end] != ':' && value.p[end] != ',') end++;
		if (end > at) {
			if (n == ARRAY_LEN(list)) return wrong(p, value, "at most 16 of them");
			list[n++] = str_n(value.p + at, end - at);
		}
		at = end + 1;
	}
	return put_list(p, list, n);
}

enum err put_text(const struct put *p, struct str value)
{
	switch (spec_rows[p->row].kind) {
	case SK_TEXT: return put_words(p, value);
	case SK_WORD: return put_word(p, value);
	case SK_INT: return put_int(p, value);
	case SK_REAL: return put_real(p, value);
	case SK_FLAG: return put_flag(p, value);
	case SK_LIST: return put_split(p, value);
	default: return wrong(p, value, "in a file");
	}
}

static enum err put_agents(const struct put *p, const struct str *list, size_t n)
{
	struct put one = *p;
	one.row = SPEC_AGENT_A;
	for (size_t i = 0; i < n; i++) {
		if (list[i].n == 0) return err_set(p->info, ERR_USAGE, "%s names a model \"\"", p->said);
		enum err e = check_words(&one, list[i]);
		if (e != OK) return e;
	}
	for (size_t i = 0; i < n; i++) p->spec->agents[i].asked = arena_str(&p->spec->memory, list[i]);
	p->spec->nagents = n;
	return OK;
}

enum err put_list(const struct put *p, const struct str *list, size_t n)
{
	struct spec *s = p->spec;
	const struct spec_row *row = &spec_rows[p->row];
	if ((double)n < row->lo || (double)n > row->hi)
		return err_set(p->info, ERR_USAGE, "%s are %zu; they must be from %.0f to %.0f", p->said, n, row->lo,
			       row->hi);
	if (p->row == SPEC_AGENTS) return put_agents(p, list, n);
	struct errinfo why = {0};
	enum err e = dimensions_check(list, n, &why);
	if (e != OK) return err_set(p->info, ERR_USAGE, "%s: %s", p->said, err_sentence(&why, e));
	s->dimensions = arena_alloc(&s->memory, MAX(n, 1) * sizeof *s->dimensions);
	s->ndimensions = n;
	for (size_t i = 0; i < n; i++) s->dimensions[i] = arena_str(&s->memory, list[i]);
	return OK;
}

enum err put_weights(const struct put *p, const struct convergence_weights *w)
{
	struct errinfo why = {0};
	enum err e = convergence_weights_check(w, &why);
	if (e != OK) return err_set(p->info, ERR_USAGE, "%s: %s", p->said, err_sentence(&why, e));
	p->spec->weights = *w;
	p->spec->has_weights = true;
	return OK;
}

/* Parameters that have keys of their own. */
static const struct {
	enum param param;
	const char *key;
} keyed[] = {{P_TEMPERATURE, "temperature"},
	     {P_THINKING, "think"},
	     {P_THINKING_BUDGET, "think_budget"},
	     {P_SEED, "seed"},
	     {P_SYSTEM, "awareness"}};

enum err put_params(const struct put *p, struct str json)
{
	struct json_doc *doc = NULL;
	struct params params;
	struct errinfo why = {0};
	enum err e = json_parse(json, &doc, &why);
	if (e == OK && json_type(json_root(doc)) != JSON_OBJ) e = err_set(&why, ERR_USAGE, "it must be a mapping");
	if (e == OK) e = params_read(json_root(doc), &params, &why);
	for (size_t i = 0; i < ARRAY_LEN(keyed) && e == OK; i++)
		if (param_given(&params, keyed[i].param))
			e = err_set(&why, ERR_USAGE, "%s is given with the key %s", param_rows[keyed[i].param].name,
				    keyed[i].key);
	json_free(doc);
	if (e != OK) return err_set(p->info, ERR_USAGE, "%s: %s", p->said, err_sentence(&why, e));
	store_text(p, json);
	return OK;
}

void put_awareness(const struct put *p, struct str json) { store_text(p, json); }

enum err spec_set(struct spec *s, const struct spec_row *row, int agent, struct str value, struct errinfo *info)
{
	char said[64];
	bool is_each = agent >= 0 && row->per_agent;
	(void)snprintf(said, sizeof said, "--%s%s%c", is_each ? row->each : row->option, is_each ? "-" : "",
		       is_each ? 'a' + agent : '\0');
	struct put p = {
		.spec = s, .row = (enum spec_symbol)(row - spec_rows), .agent = agent, .said = said, .info = info};
	return put_text(&p, value);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static struct str keep(struct spec *s, const char *text) { return arena_str(&s->memory, str_c(text)); }

/* The configuration has checked these itself; what it can't check (awareness) is told by spec_complete. */
static void init_lab(struct spec *s, const struct config *c)
{
	s->turns = c->lab_turns;
	s->max_parallel = c->lab_max_parallel;
	s->threshold = c->lab_threshold;
	s->has_threshold = !isnan(c->lab_threshold);
	s->notify = c->lab_notify;
	s->prompt_tag = keep(s, c->lab_prompt_tag);
	s->profile = keep(s, c->lab_profile);
	ASSERT(convergence_action_parse(str_c(c->lab_action), &s->action));
	ASSERT(redaction_parse(str_c(c->lab_redact), &s->redact));
	for (size_t i = 0; i < WEIGHTS && c->lab_weights[i] != NULL; i++)
		ASSERT(to_real(str_c(c->lab_weights[i]), weight_at(&s->weights, i)));
	struct str awareness = keep(s, c->lab_awareness);
	for (size_t i = 0; i < LAB_AGENTS_MAX; i++) s->agents[i].awareness = awareness;
}

void spec_init(struct spec *s, const struct config *config)
{
	*s = (struct spec){
		.name = STR(""),
		.nagents = 2,
		.prompt = STR(""),
		.repetitions = 1,
		.display = STR("chat"),
		.output = STR(""),
		.branch_conversation = STR(""),
		.branch_experiment = STR(""),
		.branch_turn = -1,
		.parameter_changes = STR(""),
	};
	for (size_t i = 0; i < LAB_AGENTS_MAX; i++)
		s->agents[i] = (struct spec_agent){
			.temperature = (double)NAN, .thinking_budget = INT64_MIN, .params = STR(""), .prompt = STR("")};
	init_lab(s, config);
}

void spec_release(struct spec *s)
{
	arena_clear(&s->memory);
	*s = (struct spec){0};
}

void spec_agents(struct spec *s, struct str default_model)
{
	if (!s->meditation) return;
	if (s->agents[0].asked.n == 0 && default_model.n > 0) s->agents[0].asked = arena_str(&s->memory, default_model);
	if (s->agents[1].asked.n == 0) s->agents[1].asked = STR("local:silent");
}
