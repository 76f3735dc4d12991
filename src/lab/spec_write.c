/* Specs as text: YAML that reads as the same spec, and the manifest's `config`.
 *
 * Everything is written, the defaults too, so that a kept spec means the same under another configuration; only what is
 * not there at all (no temperature, no seed) is left out. Models stand as they were resolved, and an awareness file as it
 * was read: neither may change under an experiment that is resumed. */
#include <math.h>

#include "lab/spec_priv.h"

/* ---- YAML -------------------------------------------------------------------------------------------------------- */

static struct str model_of(const struct spec_agent *a)
{
	if (a->model.n > 0) return a->model;
	return a->asked.n > 0 ? a->asked : STR("");
}
static struct str prompt_of(const struct spec *s) { return s->asked_prompt.p != NULL ? s->asked_prompt : s->prompt; }

static void key(struct buf *b, const char *name) { buf_addf(b, "%s: ", name); }

static void line_str(struct buf *b, const char *name, struct str v)
{
	struct jw w = JW(b);
	key(b, name);
	jw_str(&w, v);
	buf_add_char(b, '\n');
}

static void line_real(struct buf *b, const char *name, double v)
{
	struct jw w = JW(b);
	key(b, name);
	if (isnan(v)) buf_add_str(b, STR("none"));
	else jw_real(&w, v);
	buf_add_char(b, '\n');
}

static void line_texts(struct buf *b, const char *name, const struct str *list, size_t n)
{
	struct jw w = JW(b);
	key(b, name);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) jw_str(&w, list[i]);
	jw_arr_end(&w);
	buf_add_char(b, '\n');
}

static void write_agents(const struct spec *s, struct buf *b)
{
	struct str models[LAB_AGENTS_MAX] = {STR_NONE};
	for (size_t i = 0; i < s->nagents; i++) models[i] = model_of(&s->agents[i]);
	if (s->nagents > 2) {
		line_texts(b, spec_rows[SPEC_AGENTS].key, models, s->nagents);
		return;
	}
	if (models[0].n > 0) line_str(b, spec_rows[SPEC_AGENT_A].key, models[0]);
	if (models[1].n > 0) line_str(b, spec_rows[SPEC_AGENT_B].key, models[1]);
}

/* One agent's value of a row as YAML, "" when it has none. */
static void agent_value(const struct spec_row *row, const struct spec_agent *a, struct buf *out)
{
	struct jw w = JW(out);
	const void *at = (const char *)a + row->offset;
	double real = (double)NAN;
	int64_t number = INT64_MIN;
	buf_clear(out);
	switch (row->kind) {
	case SK_REAL:
		memcpy(&real, at, sizeof real);
		if (!isnan(real)) jw_real(&w, real);
		break;
	case SK_INT:
		memcpy(&number, at, sizeof number);
		if (number != INT64_MIN) jw_int(&w, number);
		break;
	case SK_FLAG: jw_bool(&w, *(const bool *)at); break;
	case SK_OBJECT: buf_add_str(out, *(const struct str *)at); break;
	default:
		if (row == &spec_rows[SPEC_AWARENESS] && a->awareness_read.p != NULL)
			buf_add_str(out, a->awareness_read);
		else if (awareness_is_given(a->awareness)) buf_add_str(out, a->awareness);
		else jw_str(&w, a->awareness);
	}
}

/* One line when all agents have the same, else one for each that has something. */
static void write_each(const struct spec *s, const struct spec_row *row, struct buf *b)
{
	struct buf first = BUF_INIT(BUF_NO_LIMIT), other = BUF_INIT(BUF_NO_LIMIT);
	bool all_same = true;
	agent_value(row, &s->agents[0], &first);
	for (size_t i = 1; i < s->nagents; i++) {
		agent_value(row, &s->agents[i], &other);
		all_same &= str_eq(buf_str(&first), buf_str(&other));
	}
	for (size_t i = 0; i < (all_same ? 1 : s->nagents); i++) {
		agent_value(row, &s->agents[i], &other);
		if (other.n == 0) continue;
		buf_addf(b, "%s%s%.1s: ", row->key, all_same ? "" : "_", all_same ? "" : (char[]){(char)('a' + i), 0});
		buf_add_str(b, buf_str(&other));
		buf_add_char(b, '\n');
	}
	buf_release(&first);
	buf_release(&other);
}

static void write_branch(const struct spec *s, struct buf *b)
{
	struct jw w = JW(b);
	if (s->branch_conversation.n > 0) {
		key(b, spec_rows[SPEC_BRANCH_FROM].key);
		jw_obj(&w);
		jw_kstr(&w, "conversation_id", s->branch_conversation);
		jw_kint(&w, "turn", s->branch_turn);
		if (s->branch_experiment.n > 0) jw_kstr(&w, "experiment_id", s->branch_experiment);
		if (s->parameter_changes.n > 0) jw_kraw(&w, "parameter_changes", s->parameter_changes);
		jw_obj_end(&w);
		buf_add_char(b, '\n');
	}
	if (s->ninherited == 0) return;
	buf_addf(b, "%s:\n", spec_rows[SPEC_INITIAL_MESSAGES].key);
	for (size_t i = 0; i < s->ninherited; i++) {
		const struct inherited *m = &s->inherited[i];
		w = JW(b);
		buf_add_str(b, STR("  - "));
		jw_obj(&w);
		jw_kstr(&w, "role", m->agent < 0 || m->is_injected ? STR("user") : STR("assistant"));
		jw_kstr(&w, "agent", m->agent < 0 ? STR("human") : str_c(lab_agent_ids[m->agent]));
		if (m->is_injected) jw_kbool(&w, "injected", true);
		jw_kstr(&w, "content", m->text);
		jw_obj_end(&w);
		buf_add_char(b, '\n');
	}
}

static void write_weights(const struct spec *s, struct buf *b)
{
	struct convergence_weights weights = s->weights;
	struct jw w = JW(b);
	key(b, spec_rows[SPEC_WEIGHTS].key);
	jw_obj(&w);
	for (size_t i = 0; i < WEIGHTS; i++) {
		jw_key(&w, weight_names[i]);
		jw_real(&w, *weight_at(&weights, i));
	}
	jw_obj_end(&w);
	buf_add_char(b, '\n');
}

/* The rows that have no rule of their own. */
static void write_plain(const struct spec *s, const struct spec_row *row, struct buf *b)
{
	const void *at = (const char *)s + row->offset;
	int64_t number;
	switch (row->kind) {
	case SK_INT:
		memcpy(&number, at, sizeof number);
		buf_addf(b, "%s: %lld\n", row->key, (long long)number);
		return;
	case SK_FLAG: buf_addf(b, "%s: %s\n", row->key, *(const bool *)at ? "true" : "false"); return;
	default: line_str(b, row->key, *(const struct str *)at);
	}
}

static void write_row(const struct spec *s, enum spec_symbol symbol, struct buf *b)
{
	const struct spec_row *row = &spec_rows[symbol];
	bool is_custom = convergence_profile_find(s->profile) == PROFILE_COUNT;
	switch (symbol) {
	case SPEC_AGENT_A: write_agents(s, b); return;
	case SPEC_AGENT_B:
	case SPEC_AGENTS:
	case SPEC_QUIET:
	case SPEC_TAIL:
	case SPEC_BRANCH_FROM:
	case SPEC_MATRIX: return; /* told elsewhere, or taken apart */
	case SPEC_INITIAL_MESSAGES: write_branch(s, b); return;
	case SPEC_NAME:
		if (s->name.n > 0) line_str(b, row->key, s->name);
		return;
	case SPEC_OUTPUT:
		if (s->output.n > 0) line_str(b, row->key, s->output);
		return;
	case SPEC_PROMPT: line_str(b, row->key, prompt_of(s)); return;
	case SPEC_DIMENSIONS:
		if (s->ndimensions > 0) line_texts(b, row->key, s->dimensions, s->ndimensions);
		return;
	case SPEC_THRESHOLD:
		if (s->has_threshold) line_real(b, row->key, s->threshold);
		return;
	case SPEC_ACTION: line_str(b, row->key, str_c(convergence_action_name(s->action))); return;
	case SPEC_PROFILE: /* weights alone say custom */
		if (s->has_profile || !s->has_weights) line_str(b, row->key, s->profile);
		return;
	case SPEC_WEIGHTS:
		if (s->has_weights || is_custom) write_weights(s, b);
		return;
	case SPEC_SEED:
		if (s->has_seed) write_plain(s, row, b);
		return;
	case SPEC_REDACT: line_str(b, row->key, str_c(redaction_name(s->redact))); return;
	default:
		if (row->per_agent) write_each(s, row, b);
		else write_plain(s, row, b);
	}
}

void spec_write(const struct spec *s, struct buf *out)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int i = 0; i < SPEC_ROWS; i++) write_row(s, (enum spec_symbol)i, &b);
	yaml_add_safe(out, buf_str(&b));
	buf_release(&b);
}

/* ---- the manifest's config --------------------------------------------------------------------------------------- */

static void kreal(struct jw *w, const char *name, double v)
{
	jw_key(w, name);
	jw_real(w, v);
}

static void kredacted(struct jw *w, const char *name, struct str v, enum redaction r)
{
	jw_key(w, name);
	redaction_write(w, v, r);
}

/* A preset, the path of a file, or the name of what was given in place. */
static struct str awareness_name(const struct spec_agent *a)
{
	return awareness_is_given(a->awareness) ? STR("custom") : a->awareness;
}

/* Parameters may hold texts (stop words, tools): their members stay, their strings are redacted. */
static void put_redacted(struct jw *w, const struct json *v, enum redaction r)
{
	struct str s;
	bool is_object = json_type(v) == JSON_OBJ;
	if (r == REDACT_NONE || (json_type(v) != JSON_STR && json_type(v) != JSON_ARR && !is_object)) {
		jw_value(w, v);
		return;
	}
	if (json_str(v, &s)) {
		redaction_write(w, s, r);
		return;
	}
	if (is_object) jw_obj(w);
	else jw_arr(w);
	for (struct json_iter it = json_iter(v); json_next(&it);) {
		if (is_object) jw_key_str(w, it.key);
		put_redacted(w, it.val, r);
	}
	if (is_object) jw_obj_end(w);
	else jw_arr_end(w);
}

static void config_params(const struct spec *s, struct jw *w)
{
	jw_key(w, "params");
	jw_arr(w);
	for (size_t i = 0; i < s->nagents; i++) {
		struct json_doc *doc = NULL;
		if (s->agents[i].params.n > 0 && json_parse(s->agents[i].params, &doc, NULL) == OK)
			put_redacted(w, json_root(doc), s->redact);
		else jw_null(w);
		json_free(doc);
	}
	jw_arr_end(w);
}

/* KEY, KEY_a, KEY_b as Pidgin has them: the first is what both have, null when they differ. */
static void config_temperatures(const struct spec *s, struct jw *w)
{
	double a = s->agents[0].temperature, b = s->agents[1].temperature;
	bool is_same = (isnan(a) && isnan(b)) || (a >= b && a <= b);
	kreal(w, "temperature", is_same ? a : (double)NAN);
	kreal(w, "temperature_a", a);
	kreal(w, "temperature_b", b);
}

static void config_thinking(const struct spec *s, struct jw *w)
{
	const struct spec_agent *a = &s->agents[0], *b = &s->agents[1];
	jw_kbool(w, "think", a->thinks && b->thinks);
	jw_kbool(w, "think_a", a->thinks);
	jw_kbool(w, "think_b", b->thinks);
	jw_key(w, "think_budget");
	int64_t budget = a->thinks && a->thinking_budget != INT64_MIN ? a->thinking_budget : b->thinking_budget;
	if (budget == INT64_MIN) jw_null(w);
	else jw_int(w, budget);
}

static void config_awareness(const struct spec *s, struct jw *w)
{
	struct str a = awareness_name(&s->agents[0]), b = awareness_name(&s->agents[1]);
	jw_kstr(w, "awareness", str_eq(a, b) ? a : STR("custom"));
	jw_kstr(w, "awareness_a", a);
	jw_kstr(w, "awareness_b", b);
}

static void config_branch(const struct spec *s, struct jw *w)
{
	bool is_branch = s->branch_conversation.n > 0;
	jw_key(w, "branch_from_conversation");
	if (is_branch) jw_str(w, s->branch_conversation);
	else jw_null(w);
	jw_key(w, "branch_from_turn");
	if (is_branch) jw_int(w, s->branch_turn);
	else jw_null(w);
	jw_key(w, "branch_messages"); /* the events have them */
	jw_null(w);
}

/* What Pidgin has no key for. */
static void config_own(const struct spec *s, struct jw *w)
{
	struct convergence_weights weights = s->weights;
	jw_key(w, "agents");
	jw_arr(w);
	for (size_t i = 0; i < s->nagents; i++) jw_str(w, model_of(&s->agents[i]));
	jw_arr_end(w);
	jw_key(w, "dimensions");
	jw_arr(w);
	for (size_t i = 0; i < s->ndimensions; i++) jw_str(w, s->dimensions[i]);
	jw_arr_end(w);
	jw_kstr(w, "convergence_profile", s->profile);
	jw_key(w, "convergence_weights");
	jw_obj(w);
	for (size_t i = 0; i < WEIGHTS; i++) kreal(w, weight_names[i], *weight_at(&weights, i));
	jw_obj_end(w);
	config_params(s, w);
	jw_kbool(w, "meditation", s->meditation);
	jw_kbool(w, "show_system_prompts", s->show_system_prompts);
	jw_kbool(w, "notify", s->notify);
	jw_kstr(w, "redact", str_c(redaction_name(s->redact)));
	jw_key(w, "seed");
	if (s->has_seed) jw_int(w, (int64_t)s->seed);
	else jw_null(w);
	jw_key(w, "branch_from_experiment");
	if (s->branch_experiment.n > 0) jw_str(w, s->branch_experiment);
	else jw_null(w);
	jw_kint(w, "inherited_messages", (int64_t)s->ninherited);
}

void spec_write_config(const struct spec *s, struct jw *w)
{
	enum redaction r = s->redact;
	jw_obj(w);
	jw_kstr(w, "name", s->name);
	jw_kstr(w, "agent_a_model", model_of(&s->agents[0]));
	jw_kstr(w, "agent_b_model", model_of(&s->agents[1]));
	kredacted(w, "custom_prompt", prompt_of(s), r);
	jw_kint(w, "max_turns", s->turns);
	jw_kint(w, "repetitions", s->repetitions);
	config_temperatures(s, w);
	config_thinking(s, w);
	config_awareness(s, w);
	jw_kint(w, "max_parallel", s->max_parallel);
	jw_kbool(w, "choose_names", s->choose_names);
	kreal(w, "convergence_threshold", s->threshold);
	jw_kstr(w, "convergence_action", str_c(convergence_action_name(s->action)));
	jw_kstr(w, "display_mode", s->display);
	kredacted(w, "prompt_tag", s->prompt_tag, r);
	jw_kbool(w, "allow_truncation", s->allow_truncation);
	config_branch(s, w);
	jw_key(w, "metadata");
	jw_null(w);
	config_own(s, w);
	jw_obj_end(w);
}
