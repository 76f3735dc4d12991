/* Reading stops at the end of the turn that is asked for: what comes behind it may be torn, damaged or of any kind. Only
 * events that messages are made of are taken, in the order they stand in, and each must fit those before it, so a line
 * that is missing can't leave a gap in what was said.
 *
 * The copy that is changed is made by writing the source's spec and reading it: what can't be kept as a spec (it is
 * larger than one may be) is refused here and not when the branch is resumed. */
#include "lab/branch.h"

#include <math.h>
#include <unistd.h>

#include "event/lab_log.h"
#include "lab/manifest.h"
#include "lab/place_priv.h"
#include "lab/place_words.h"
#include "lab/spec_priv.h"
#include "talk/rebuild.h"

#define SPEC_FILE "spec.yaml"

/* ---- which conversation ------------------------------------------------------------------------------------------- */

static char *log_path(const struct branch *b)
{
	char name[sizeof b->conversation + 16];
	(void)snprintf(name, sizeof name, "events_%s.jsonl", b->conversation);
	return place_join(b->place.dir, name);
}

static bool is_conversation_here(struct branch *b, struct str asked)
{
	for (size_t i = 0; i < asked.n; i++) {
		char c = asked.p[i];
		bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
		if (!is_plain && c != '-') return false;
	}
	if (!str_copy(asked, b->conversation, sizeof b->conversation)) return false;
	char *path = log_path(b);
	bool is_there = access(path, F_OK) == 0;
	free(path);
	return is_there;
}

/* The experiment was named, and not the conversation. */
static enum err only_conversation(struct branch *b, const struct manifest *m, struct errinfo *info)
{
	if (m->n == 0) return err_set(info, ERR_NOT_FOUND, "%s has no conversation", b->place.name);
	if (m->n > 1)
		return err_set(info, ERR_CONFLICT, "%s has %zu conversations: name one of them, as %s; %s lists them",
			       b->place.name, m->n, m->list[0].id, "roost experiment show");
	(void)str_copy(str_c(m->list[0].id), b->conversation, sizeof b->conversation);
	return OK;
}

static enum err find_conversation(struct branch *b, struct str asked, struct manifest *m, struct errinfo *info)
{
	struct errinfo why = {0};
	/* The log alone is enough for a conversation that is named. */
	enum err e = manifest_load(m, b->place.dir, true, &why);
	if (e == OK && m->redacted)
		return err_set(info, ERR_BAD_STATE, "%s cannot be branched: its texts were redacted (--redact)",
			       b->place.name);
	if (is_conversation_here(b, asked)) return OK;
	return e == OK ? only_conversation(b, m, info) : err_set(info, e, "%s", err_sentence(&why, e));
}

/* ---- its log ------------------------------------------------------------------------------------------------------ */

struct reading {
	struct rebuild *rebuild;
	struct spec *spec; /* what the beginning says goes there; NULL: it is known */
	struct str prompts[LAB_AGENTS_MAX];
	int64_t want;     /* turns; -1 all */
	bool has_them;    /* the reading ended there */
	bool is_redacted; /* a text is not there */
	struct errinfo *info;
};

static int64_t turns_of(const struct rebuild *r)
{
	struct conductor_state state;
	if (rebuild_conductor(r) == NULL) return -1;
	conductor_state(rebuild_conductor(r), &state);
	return state.turns;
}

static bool makes_messages(enum lab_type type)
{
	switch (type) {
	case LE_SYSTEM_PROMPT:
	case LE_CONVERSATION_START:
	case LE_CONVERSATION_BRANCHED:
	case LE_INITIAL_MESSAGE:
	case LE_TURN_START:
	case LE_PROMPT_INJECTED:
	case LE_MESSAGE_COMPLETE:
	case LE_TURN_COMPLETE: return true;
	default: return false;
	}
}

static bool is_redacted(const struct lab_event *e)
{
	const struct lab_message *m = e->type == LE_MESSAGE_COMPLETE ? lab_message(e, LF(MessageCompleteEvent, message))
				      : e->type == LE_INITIAL_MESSAGE ? lab_message(e, LF(InitialMessageEvent, message))
								      : NULL;
	if (e->type == LE_PROMPT_INJECTED) return e->v[LF(PromptInjectedEvent, prompt)].is != LV_STR;
	return m != NULL && m->content.p == NULL;
}

static void agent_of_start(struct spec *s, int agent, const struct lab_event *e, int field)
{
	const struct lab_agent *a = lab_agent(e, field);
	if (a == NULL) return;
	s->agents[agent].asked = arena_str(&s->memory, a->model);
	s->agents[agent].temperature = a->temperature;
	s->agents[agent].thinks = a->thinking_enabled;
	if (a->thinking_enabled) s->agents[agent].thinking_budget = a->thinking_budget;
}

/* What the log's beginning says of the spec. */
static void take_beginning(struct reading *r, const struct lab_event *e)
{
	struct spec *s = r->spec;
	if (e->type == LE_SYSTEM_PROMPT) {
		int agent = lab_agent_find(lab_str(e, LF(SystemPromptEvent, agent_id)));
		if (agent >= 0) r->prompts[agent] = arena_str(&s->memory, lab_str(e, LF(SystemPromptEvent, prompt)));
	}
	if (e->type != LE_CONVERSATION_START) return;
	agent_of_start(s, 0, e, LF(ConversationStartEvent, agent_a));
	agent_of_start(s, 1, e, LF(ConversationStartEvent, agent_b));
	int64_t turns = lab_int(e, LF(ConversationStartEvent, max_turns), 0);
	if (turns > 0) s->turns = turns;
	struct json_doc *ids = NULL; /* of more than two; their models stand in the manifest */
	if (json_parse(lab_str(e, LF(ConversationStartEvent, agents)), &ids, NULL) != OK) return;
	size_t n = json_len(json_root(ids));
	if (n > 2 && n <= LAB_AGENTS_MAX) s->nagents = n;
	json_free(ids);
}

static enum err on_event(void *ctx, const struct lab_event *e)
{
	struct reading *r = ctx;
	if (!makes_messages(e->type)) return OK;
	if (is_redacted(e)) {
		r->is_redacted = true;
		return ERR_BAD_STATE;
	}
	if (r->spec != NULL) take_beginning(r, e);
	enum err err = rebuild_event(r->rebuild, e, r->info);
	if (err != OK) return err;
	if (r->want < 0 || turns_of(r->rebuild) < r->want) return OK;
	r->has_them = true;
	return ERR_CANCELLED;
}

static enum err check_turns(const struct branch *b, const struct reading *r, struct errinfo *info)
{
	int64_t turns = turns_of(r->rebuild);
	if (turns < 0)
		return err_set(info, ERR_BAD_STATE, "%s cannot be branched: no turn of it has begun", b->conversation);
	if (r->want > turns)
		return err_set(info, ERR_USAGE, "--turn is %lld, but %s has %lld complete turns", (long long)r->want,
			       b->conversation, (long long)turns);
	return OK;
}

static enum err read_log(const struct branch *b, struct reading *r, struct errinfo *info)
{
	struct lab_file_end end = {0};
	struct errinfo why = {0};
	char *path = log_path(b);
	r->info = &why;
	enum err e = lab_file_read(path, 0, on_event, r, &end, info);
	if (r->has_them) e = OK;
	if (e == OK && end.bad_lines > 0)
		e = err_set(info, ERR_CORRUPT, "%.150s: line %lld is damaged", path, (long long)end.first_bad);
	else if (r->is_redacted)
		e = err_set(info, e, "%s cannot be branched: its texts were redacted (--redact)", b->conversation);
	else if (e != OK && why.text[0] != '\0') e = err_set(info, ERR_CORRUPT, "%.100s: %.120s", path, why.text);
	r->info = NULL; /* it ends here */
	free(path);
	return e == OK ? check_turns(b, r, info) : e;
}

/* What was said up to that turn. A person's words stand before the turn they belong to. */
static void take_over(struct branch *b, const struct rebuild *r)
{
	const struct conductor *c = rebuild_conductor(r);
	struct spec *s = &b->from;
	size_t n = conductor_messages(c);
	s->inherited = arena_alloc(&s->memory, xmul(MAX(n, (size_t)1), sizeof *s->inherited));
	s->ninherited = 0;
	for (size_t i = 0; i < n; i++) {
		struct inherited m = conductor_message(c, i);
		if (m.turn > b->turns || (m.turn == b->turns && m.agent >= 0)) continue;
		m.text = arena_str(&s->memory, m.text);
		s->inherited[s->ninherited++] = m;
	}
	s->branch_turn = b->turns;
	s->branch_conversation = arena_str(&s->memory, str_c(b->conversation));
	s->branch_experiment = arena_str(&s->memory, str_c(b->place.id));
	s->parameter_changes = STR("");
}

/* ---- its spec ----------------------------------------------------------------------------------------------------- */

/* The keys of a manifest's config that a branch goes on with, beside the agents. */
static const enum spec_symbol kept[] = {SPEC_TURNS,        SPEC_TEMPERATURE,      SPEC_THINK,
					SPEC_THINK_BUDGET, SPEC_THRESHOLD,        SPEC_ACTION,
					SPEC_PROFILE,      SPEC_ALLOW_TRUNCATION, SPEC_SEED};

static enum err take_member(struct spec *s, const struct json_iter *it, struct errinfo *info)
{
	int agent;
	struct str text;
	struct errinfo why = {0};
	struct arena memory = {0};
	bool is_kept = false;
	const struct spec_row *row = spec_row_of_key(it->key, &agent);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) is_kept |= row == &spec_rows[kept[i]];
	if (!is_kept || json_type(it->val) == JSON_NULL) return OK;
	if (!json_str(it->val, &text)) text = json_text(&memory, it->val);
	enum err e = spec_set(s, row, agent, text, &why);
	if (e != OK) e = err_set(info, ERR_CONFIG, MANIFEST_FILE ": %.*s: %s", STR_ARG(it->key), err_sentence(&why, e));
	arena_clear(&memory);
	return e;
}

/* More than two agents stand nowhere else. */
static void take_agents(struct spec *s, const struct json *agents)
{
	size_t n = 0;
	if (json_len(agents) < 2 || json_len(agents) > LAB_AGENTS_MAX) return;
	for (struct json_iter it = json_iter(agents); json_next(&it); n++) {
		struct str model = STR("");
		(void)json_str(it.val, &model);
		s->agents[n].asked = arena_str(&s->memory, model);
	}
	s->nagents = n;
}

static enum err take_config(struct spec *s, struct str config, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	bool thinks = false;
	if (config.n == 0 || json_parse(config, &doc, NULL) != OK) return OK;
	enum err e = OK;
	take_agents(s, json_get(json_root(doc), "agents"));
	for (struct json_iter it = json_iter(json_root(doc)); e == OK && json_next(&it);) e = take_member(s, &it, info);
	for (size_t i = 0; i < s->nagents; i++) thinks |= s->agents[i].thinks;
	for (size_t i = 0; i < s->nagents && !thinks; i++) s->agents[i].thinking_budget = INT64_MIN;
	json_free(doc);
	return e;
}

/* The very system prompts it had, as an awareness that is given in place. Names that were to be chosen are part of them. */
static void take_prompts(struct spec *s, const struct reading *r)
{
	for (size_t i = 0; i < s->nagents; i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		struct jw w = JW(&b);
		s->agents[i].awareness = STR("none");
		if (r->prompts[i].n == 0) continue;
		buf_add_str(&b, STR("{\"prompts\":{\"0\":"));
		jw_obj(&w);
		jw_kstr(&w, lab_agent_ids[i], r->prompts[i]);
		jw_obj_end(&w);
		buf_add_str(&b, STR("}}"));
		s->agents[i].awareness = arena_str(&s->memory, buf_str(&b));
		buf_release(&b);
	}
}

static enum err load_spec(struct branch *b, const char *path, const struct config *config, struct errinfo *info)
{
	struct spec *list = NULL;
	size_t n = 0;
	enum err e = spec_load(path, config, &list, &n, info);
	if (e == OK && n != 1) e = err_set(info, ERR_CONFIG, "%.200s holds %zu specs", path, n);
	if (e == OK) b->from = list[0];
	for (size_t i = 0; i < n && e != OK; i++) spec_release(&list[i]);
	free(list);
	return e;
}

/* How it is shown, kept and repeated is this time's affair. */
static void forget_occasion(struct spec *s, const struct config *config)
{
	struct spec usual;
	spec_init(&usual, config);
	s->name = s->output = STR("");
	s->display = usual.display;
	s->repetitions = usual.repetitions;
	s->max_parallel = usual.max_parallel;
	s->notify = usual.notify;
	s->redact = usual.redact;
	s->show_system_prompts = false;
	spec_release(&usual);
}

static enum err read_source(struct branch *b, int64_t turn, const struct manifest *m, const struct config *config,
			    struct errinfo *info)
{
	struct reading r = {.want = turn};
	char *path = place_join(b->place.dir, SPEC_FILE);
	bool has_spec = access(path, F_OK) == 0;
	enum err e = OK;
	r.rebuild = rebuild_new();
	if (has_spec) e = load_spec(b, path, config, info);
	else {
		spec_init(&b->from, config);
		r.spec = &b->from;
	}
	if (e == OK) e = read_log(b, &r, info);
	if (e == OK && !has_spec) e = take_config(&b->from, m->config, info);
	if (e == OK) {
		b->turns = turn >= 0 ? turn : turns_of(r.rebuild);
		if (!has_spec) take_prompts(&b->from, &r);
		take_over(b, r.rebuild);
		forget_occasion(&b->from, config);
	}
	rebuild_free(r.rebuild);
	free(path);
	return e;
}

enum err branch_open(const char *output, struct str asked, int64_t turn, const struct config *config,
		     struct branch *out, struct errinfo *info)
{
	struct manifest m;
	*out = (struct branch){0};
	enum err e = place_find(output, asked, &out->place, info);
	if (e != OK) return e;
	manifest_init(&m);
	e = find_conversation(out, asked, &m, info);
	if (e == OK) e = read_source(out, turn, &m, config, info);
	manifest_release(&m);
	if (e != OK) branch_close(out);
	return e;
}

void branch_close(struct branch *b)
{
	spec_release(&b->from);
	place_release(&b->place);
}

/* ---- what is changed ---------------------------------------------------------------------------------------------- */

enum err branch_begin(const struct branch *b, const struct config *config, struct spec *out, struct errinfo *info)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	struct spec *list = NULL;
	struct errinfo why = {0};
	size_t n = 0;
	spec_write(&b->from, &text);
	enum err e = spec_parse(buf_str(&text), SPEC_FILE, config, &list, &n, &why);
	buf_release(&text);
	if (e != OK)
		return err_set(info, e, "%s cannot be kept as a spec: %.180s", b->conversation, err_sentence(&why, e));
	*out = list[0];
	free(list);
	for (size_t i = 0; i < LAB_AGENTS_MAX; i++) out->agents[i].own = 0;
	return OK;
}

/* The rows whose change is worth telling, beside the models. */
static const enum spec_symbol compared[] = {SPEC_TURNS,        SPEC_TEMPERATURE,      SPEC_THINK,  SPEC_THINK_BUDGET,
					    SPEC_AWARENESS,    SPEC_THRESHOLD,        SPEC_ACTION, SPEC_PROFILE,
					    SPEC_CHOOSE_NAMES, SPEC_ALLOW_TRUNCATION, SPEC_SEED};

static void number(struct jw *w, double v, bool is_there)
{
	if (is_there) jw_real(w, v);
	else jw_null(w);
}

static void awareness(struct jw *w, const struct spec_agent *a, enum redaction r)
{
	if (a->awareness_read.p != NULL) redaction_write(w, a->awareness_read, r);
	else jw_str(w, a->awareness);
}

/* A value of a spec as JSON; of texts no more than the redaction lets through. */
static void value(struct jw *w, const struct spec *s, enum spec_symbol row, size_t agent, enum redaction r)
{
	const struct spec_agent *a = &s->agents[agent];
	switch (row) {
	case SPEC_AGENT_A: jw_str(w, a->asked); return;
	case SPEC_TURNS: jw_int(w, s->turns); return;
	case SPEC_TEMPERATURE: number(w, a->temperature, !isnan(a->temperature)); return;
	case SPEC_THINK: jw_bool(w, a->thinks); return;
	case SPEC_THINK_BUDGET: number(w, (double)a->thinking_budget, a->thinking_budget != INT64_MIN); return;
	case SPEC_AWARENESS: awareness(w, a, r); return;
	case SPEC_THRESHOLD: number(w, s->threshold, !isnan(s->threshold)); return;
	case SPEC_ACTION: jw_str(w, str_c(convergence_action_name(s->action))); return;
	case SPEC_PROFILE: jw_str(w, s->profile); return;
	case SPEC_CHOOSE_NAMES: jw_bool(w, s->choose_names); return;
	case SPEC_ALLOW_TRUNCATION: jw_bool(w, s->allow_truncation); return;
	default: ASSERT_CMP(row, ==, SPEC_SEED); number(w, (double)s->seed, s->has_seed);
	}
}

static void compare(struct jw *w, const struct spec *from, const struct spec *to, enum spec_symbol row, size_t agent,
		    const char *name)
{
	struct buf texts[2] = {BUF_INIT(BUF_NO_LIMIT), BUF_INIT(BUF_NO_LIMIT)};
	enum redaction r = to->redact == REDACT_DROP ? REDACT_DROP : REDACT_HASH;
	for (int i = 0; i < 2; i++) {
		struct jw one = JW(&texts[i]);
		value(&one, i == 0 ? from : to, row, agent, REDACT_HASH);
	}
	if (!str_eq(buf_str(&texts[0]), buf_str(&texts[1]))) {
		jw_key(w, name);
		jw_obj(w);
		jw_key(w, "from");
		value(w, from, row, agent, r);
		jw_key(w, "to");
		value(w, to, row, agent, r);
		jw_obj_end(w);
	}
	buf_release(&texts[0]);
	buf_release(&texts[1]);
}

/* {name: {from, to}} */
static struct str changes(const struct spec *from, struct spec *to)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	for (size_t i = 0; i < to->nagents; i++) compare(&w, from, to, SPEC_AGENT_A, i, lab_agent_ids[i]);
	for (size_t i = 0; i < ARRAY_LEN(compared); i++) {
		const struct spec_row *row = &spec_rows[compared[i]];
		for (size_t k = 0; k < (row->per_agent ? to->nagents : 1); k++) {
			char name[64];
			(void)snprintf(name, sizeof name, row->per_agent ? "%s_%c" : "%s", row->key,
				       (char)('a' + (int)k));
			compare(&w, from, to, compared[i], k, name);
		}
	}
	jw_obj_end(&w);
	struct str text = b.n > 2 ? arena_str(&to->memory, buf_str(&b)) : STR("");
	buf_release(&b);
	return text;
}

/* ---- the end of it ------------------------------------------------------------------------------------------------ */

static enum err check_max_turns(const struct branch *b, bool has_turns, struct spec *s, struct errinfo *info)
{
	if (s->turns > b->turns) return OK;
	if (has_turns)
		return err_set(info, ERR_USAGE,
			       "--max-turns is %lld, which counts the %lld turns that are taken over; it must be more, "
			       "or --turn less",
			       (long long)s->turns, (long long)b->turns);
	s->turns = MIN(b->turns + s->turns, (int64_t)spec_rows[SPEC_TURNS].hi);
	if (s->turns > b->turns) return OK;
	return err_set(info, ERR_USAGE, "%s has as many turns as there may be; see --turn", b->conversation);
}

static bool is_taken(const struct place_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->list[i].name, name) == 0) return true;
	return false;
}

/* NAME-branch, NAME-branch-2, …: short enough to be a directory's name as it is. */
static enum err choose_name(const struct branch *b, const char *output, struct spec *s, struct errinfo *info)
{
	struct place_list all;
	struct buf name = BUF_INIT(BUF_NO_LIMIT);
	struct str stem = str_c(b->place.name);
	enum err e = place_list(output, &all, info);
	for (int i = 1; e == OK && (i == 1 || is_taken(&all, name.p)); i++) {
		char suffix[24] = "-branch";
		if (i > 1) (void)snprintf(suffix, sizeof suffix, "-branch-%d", i);
		buf_clear(&name);
		buf_add(&name, stem.p, MIN(stem.n, PLACE_NAME_MAX - strlen(suffix)));
		buf_add_str(&name, str_c(suffix));
	}
	if (e == OK) s->name = arena_str(&s->memory, buf_str(&name));
	buf_release(&name);
	place_list_release(&all);
	return e;
}

enum err branch_end(struct branch *b, const char *output, bool has_turns, struct spec *s, struct errinfo *info)
{
	enum err e = check_max_turns(b, has_turns, s, info);
	for (size_t i = 0; i < s->nagents && e == OK; i++) e = awareness_apply(&b->from, i, info);
	for (size_t i = 0; i < s->nagents && e == OK; i++) e = awareness_apply(s, i, info);
	if (e == OK) s->parameter_changes = changes(&b->from, s);
	/* a name is a text too */
	bool hides = s->redact == REDACT_HASH || s->redact == REDACT_DROP;
	if (e == OK && s->name.n == 0 && !hides) e = choose_name(b, output, s, info);
	return e;
}
