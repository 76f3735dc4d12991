/* Awareness: what a model is told of its role, and what it is told on the way.
 *
 * A preset is a text. A file is a preset to begin with (base) and prompts for turns:
 *
 *   name: curious
 *   base: basic
 *   prompts:
 *     0: {both: "Speak of tides."}          behind the base, in the system prompt
 *     5: {agent_a: "Disagree from now on."} a message of its own before that turn's answer, for its agent alone
 *
 * Pidgin's rules for whom: at turn 0 `both` goes before an agent's own text, later the agent's own goes before `both`. */
#include "lab/spec_priv.h"

#define TURNS_MAX 100000

const struct spec_fragment awareness_presets[] = {
	{NULL, "none", "nothing", ""},
	{NULL, "basic", "that the other one is a model too",
	 "You are an AI model, and you are talking with another AI model."},
	{NULL, "firm", "that no person takes part",
	 "You are an AI model. Whoever answers you is an AI model as well and not a person, however its messages look. "
	 "No person reads along."},
	{NULL, "research", "which models they are, and to explore freely",
	 "You are {me}, and you are talking with {others}. No person takes part in this conversation. It is recorded for "
	 "research into how models talk with each other. Choose your subjects freely and follow the ideas that come up."},
	{NULL, "backrooms", "that nothing needs to be kept to",
	 "You are connected to another AI model, and no person will step in. Nothing is expected here: punctuation is "
	 "optional, and so is meaning. Drawings in ASCII are welcome."},
	{NULL, NULL, NULL, NULL},
};

/* Every form of it is one that chosen_name (talk/conductor.h) finds. */
static const char NAME_WISH[] =
	"Choose a name of two to eight letters for yourself. In your first message tell it with "
	"the words \"Call me\" and the name.";

static bool is_file_name(struct str value)
{
	return (value.n > 5 && str_eq(str_n(value.p + value.n - 5, 5), STR(".yaml"))) ||
	       (value.n > 4 && str_eq(str_n(value.p + value.n - 4, 4), STR(".yml")));
}

enum err awareness_named(struct str value, struct errinfo *info)
{
	if (fragment_find(awareness_presets, value) != NULL || awareness_is_given(value) || is_file_name(value))
		return OK;
	struct near near = {.asked = value};
	char text[NEAR_TEXT];
	for (const struct spec_fragment *p = awareness_presets; p->name != NULL; p++) near_try(&near, p->name);
	return err_set(info, ERR_CONFIG,
		       "\"%.*s\" is neither none, basic, firm, research or backrooms nor a file that ends in .yaml%s",
		       (int)MIN(value.n, 60), value.p, near_text(&near, text));
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static enum err check_turn(const struct yaml_value *turn, const char *name, struct errinfo *info)
{
	int64_t n;
	if (!str_to_int(turn->key, &n) || n < 0 || n > TURNS_MAX)
		return yaml_wrong(info, name, turn->line, "\"%.*s\" is no turn; it must be a whole number from 0 to %d",
				  (int)MIN(turn->key.n, 60), turn->key.p, TURNS_MAX);
	if (turn->kind != YAML_MAP || turn->n == 0)
		return yaml_wrong(info, name, turn->line, "turn %lld must be a mapping of agent_a, agent_b or both",
				  (long long)n);
	for (const struct yaml_value *v = turn->first; v != NULL; v = v->next) {
		if (!str_eq(v->key, STR("both")) && lab_agent_find(v->key) < 0)
			return yaml_wrong(info, name, v->line,
					  "unknown key \"%.*s\"; a turn's prompt is for agent_a, agent_b or both",
					  (int)MIN(v->key.n, 60), v->key.p);
		if (v->kind != YAML_SCALAR || yaml_is_null(v) || v->text.n == 0)
			return yaml_wrong(info, name, v->line, "the prompt for %.*s must be a text", STR_ARG(v->key));
	}
	return OK;
}

static enum err check_member(const struct yaml_value *v, const char *name, struct errinfo *info)
{
	static const char *const keys[] = {"name", "base", "prompts"};
	struct near near = {.asked = v->key};
	char text[NEAR_TEXT];
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) near_try(&near, keys[i]);
	bool is_prompts = str_eq(v->key, STR("prompts"));
	if (!is_prompts && !str_eq(v->key, STR("name")) && !str_eq(v->key, STR("base")))
		return yaml_wrong(info, name, v->line, "unknown key \"%.*s\"%s", (int)MIN(v->key.n, 60), v->key.p,
				  near_text(&near, text));
	if (!is_prompts && v->kind != YAML_SCALAR)
		return yaml_wrong(info, name, v->line, "%.*s must be a text", STR_ARG(v->key));
	if (str_eq(v->key, STR("base")) && !yaml_is_null(v) && fragment_find(awareness_presets, v->text) == NULL)
		return yaml_wrong(info, name, v->line,
				  "base is \"%.*s\"; it must be none, basic, firm, research or backrooms",
				  (int)MIN(v->text.n, 60), v->text.p);
	if (is_prompts && v->kind != YAML_MAP)
		return yaml_wrong(info, name, v->line, "prompts must be a mapping of turns");
	enum err e = OK;
	for (const struct yaml_value *turn = v->first; is_prompts && turn != NULL && e == OK; turn = turn->next)
		e = check_turn(turn, name, info);
	return e;
}

enum err awareness_check(const struct yaml_value *root, const char *name, struct errinfo *info)
{
	if (root == NULL || root->kind != YAML_MAP)
		return yaml_wrong(info, name, root != NULL ? root->line : 0,
				  "an awareness file is a mapping with the keys name, base and prompts");
	enum err e = OK;
	for (const struct yaml_value *v = root->first; v != NULL && e == OK; v = v->next)
		e = check_member(v, name, info);
	if (e == OK && yaml_get(root, "prompts") == NULL)
		e = yaml_wrong(info, name, root->line, "an awareness file needs prompts");
	return e;
}

/* The tree of an agent's file, or of what is in its place. */
static enum err read_tree(struct spec *s, struct spec_agent *a, struct arena *memory, struct yaml_value **out,
			  struct errinfo *info)
{
	struct buf text = BUF_INIT(YAML_BYTES_MAX);
	const char *name = "awareness";
	struct str given = a->awareness_read.p != NULL ? a->awareness_read : a->awareness;
	enum err e = OK;
	*out = NULL;
	if (awareness_is_given(given)) {
		yaml_add_safe(&text, given);
	} else {
		name = given.p;
		e = spec_file(name, &text, info);
	}
	if (e == OK) e = yaml_read(memory, buf_str(&text), name, out, info);
	if (e == OK) e = awareness_check(*out, name, info);
	if (e == OK && *out != NULL && (*out)->next != NULL)
		e = yaml_wrong(info, name, (*out)->next->line, "a second document");
	if (e == OK && a->awareness_read.p == NULL) {
		struct jw w = JW(&text);
		buf_clear(&text);
		yaml_json(*out, &w);
		a->awareness_read = arena_str(&s->memory, buf_str(&text));
	}
	buf_release(&text);
	return e;
}

/* ---- prompts ----------------------------------------------------------------------------------------------------- */

static struct str model_of(const struct spec_agent *a) { return a->model.n > 0 ? a->model : a->asked; }

static void add_others(const struct spec *s, size_t agent, struct buf *b)
{
	size_t left = s->nagents - 1;
	for (size_t i = 0; i < s->nagents; i++) {
		if (i == agent) continue;
		buf_add_str(b, model_of(&s->agents[i]));
		left--;
		if (left > 0) buf_add_str(b, left == 1 ? STR(" and ") : STR(", "));
	}
}

static void add_preset(const struct spec *s, size_t agent, const char *text, struct buf *b)
{
	for (const char *p = text; *p != '\0';) {
		if (strncmp(p, "{me}", 4) == 0) {
			buf_add_str(b, model_of(&s->agents[agent]));
			p += 4;
		} else if (strncmp(p, "{others}", 8) == 0) {
			add_others(s, agent, b);
			p += 8;
		} else {
			buf_add_char(b, *p++);
		}
	}
}

static void add_paragraph(struct buf *b, struct str text)
{
	if (b->n > 0) buf_add_str(b, STR("\n\n"));
	buf_add_str(b, text);
}

static void inject(struct spec *s, size_t agent, int64_t turn, struct str text)
{
	if ((s->ninjections & (s->ninjections - 1)) == 0) { /* full: 0, 1, 2, 4, … */
		struct injection *more = arena_alloc(&s->memory, MAX(1, 2 * s->ninjections) * sizeof *more);
		if (s->ninjections > 0) memcpy(more, s->injections, s->ninjections * sizeof *more);
		s->injections = more;
	}
	s->injections[s->ninjections++] =
		(struct injection){.turn = turn, .agent = (int)agent, .text = arena_str(&s->memory, text)};
}

static void add_prompts(struct spec *s, size_t agent, const struct yaml_value *prompts, struct buf *b)
{
	for (const struct yaml_value *v = prompts->first; v != NULL; v = v->next) {
		const struct yaml_value *own = yaml_get(v, lab_agent_ids[agent]), *both = yaml_get(v, "both");
		int64_t turn = 0;
		ASSERT(str_to_int(v->key, &turn));
		const struct yaml_value *text = turn == 0 && both != NULL ? both : own != NULL ? own : both;
		if (text == NULL) continue;
		if (turn == 0) add_paragraph(b, text->text);
		else inject(s, agent, turn, text->text);
	}
}

enum err awareness_apply(struct spec *s, size_t agent, struct errinfo *info)
{
	struct spec_agent *a = &s->agents[agent];
	struct arena memory = {0};
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	const struct spec_fragment *preset = fragment_find(awareness_presets, a->awareness);
	struct yaml_value *file = NULL;
	enum err e = preset != NULL ? OK : awareness_named(a->awareness, info);
	if (e == OK && preset == NULL) e = read_tree(s, a, &memory, &file, info);
	if (e == OK && file != NULL) {
		const struct yaml_value *base = yaml_get(file, "base");
		if (base != NULL) preset = fragment_find(awareness_presets, base->text);
	}
	if (e == OK && preset != NULL) add_preset(s, agent, preset->text, &b);
	if (e == OK && file != NULL) add_prompts(s, agent, yaml_get(file, "prompts"), &b);
	if (e == OK && s->choose_names) add_paragraph(&b, STR(NAME_WISH));
	if (e == OK) a->prompt = arena_str(&s->memory, buf_str(&b));
	buf_release(&b);
	arena_clear(&memory);
	return e;
}
