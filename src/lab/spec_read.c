/* Specs from files.
 *
 * Each document of a file is a spec, or with `matrix:` as many as its lists have combinations. A cell of a matrix is
 * made by reading the document again with one value of each list, so a key means the same inside of it and outside.
 * What that takes is bounded by the cells, and by the cells times the document's size. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lab/spec_priv.h"

#define CELLS_BYTES_MAX (64u << 20)

struct seen {
	const struct yaml_value *at[SPEC_ROWS][LAB_AGENTS_MAX + 1]; /* where a row was given: for all, for an agent */
};

struct reading {
	const char *name; /* of the file */
	struct str dir;
	const struct config *config;
	struct errinfo *info;
	struct spec *list;
	size_t n, cap;
};

static enum err wrong_value(const struct reading *r, const struct yaml_value *v, const char *must)
{
	return yaml_wrong(r->info, r->name, v->line, "%.*s must be %s", (int)MIN(v->key.n, 60), v->key.p, must);
}

/* What a value's setter said, as a fault of the file's. */
static enum err placed(const struct reading *r, const struct yaml_value *v, enum err e, const struct errinfo *why)
{
	return e == OK ? OK : yaml_wrong(r->info, r->name, v->line, "%s", err_sentence(why, e));
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static enum err read_list(const struct reading *r, const struct put *p, const struct yaml_value *v)
{
	struct str list[64];
	size_t n = 0;
	if (v->kind == YAML_SCALAR) return put_text(p, v->text);
	for (const struct yaml_value *in = v->first; in != NULL; in = in->next) {
		if (v->kind != YAML_LIST || in->kind != YAML_SCALAR || n == ARRAY_LEN(list))
			return wrong_value(r, v, "a list of words");
		list[n++] = in->text;
	}
	return put_list(p, list, n);
}

static enum err read_weights(const struct reading *r, const struct put *p, const struct yaml_value *v)
{
	struct convergence_weights w = {0};
	if (v->kind != YAML_MAP) return wrong_value(r, v, "a mapping of numbers");
	for (const struct yaml_value *in = v->first; in != NULL; in = in->next) {
		struct near near = {.asked = in->key};
		char text[NEAR_TEXT], number[32], *end = number;
		size_t i = 0;
		while (i < WEIGHTS && !str_eq(in->key, str_c(weight_names[i]))) near_try(&near, weight_names[i++]);
		if (i == WEIGHTS)
			return yaml_wrong(r->info, r->name, in->line, "unknown weight \"%.*s\"%s",
					  (int)MIN(in->key.n, 60), in->key.p, near_text(&near, text));
		if (in->kind == YAML_SCALAR && in->text.n > 0 && str_copy(in->text, number, sizeof number) &&
		    strspn(number, "0123456789.") == in->text.n)
			*weight_at(&w, i) = strtod(number, &end);
		if (end == number || *end != '\0') return wrong_value(r, in, "a number from 0 to 1");
	}
	return put_weights(p, &w);
}

/* A mapping that is kept as JSON. */
static enum err read_object(const struct reading *r, const struct put *p, const struct yaml_value *v)
{
	struct buf json = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&json);
	enum err e = OK;
	if (v->kind != YAML_MAP) return wrong_value(r, v, "a mapping");
	yaml_json(v, &w);
	if (p->row == SPEC_PARAMS) e = put_params(p, buf_str(&json));
	else put_awareness(p, buf_str(&json));
	buf_release(&json);
	return e;
}

static enum err read_branch(const struct reading *r, struct spec *s, const struct yaml_value *v)
{
	if (v->kind != YAML_MAP) return wrong_value(r, v, "a mapping of conversation_id, turn and experiment_id");
	s->branch_turn = 0;
	for (const struct yaml_value *in = v->first; in != NULL; in = in->next) {
		bool is_scalar = in->kind == YAML_SCALAR;
		if (yaml_is_null(in)) continue;
		if (str_eq(in->key, STR("conversation_id")) && is_scalar) {
			s->branch_conversation = arena_str(&s->memory, in->text);
		} else if (str_eq(in->key, STR("experiment_id")) && is_scalar) {
			s->branch_experiment = arena_str(&s->memory, in->text);
		} else if (str_eq(in->key, STR("turn"))) {
			if (!is_scalar || !str_to_int(in->text, &s->branch_turn) || s->branch_turn < 0)
				return wrong_value(r, in, "a whole number");
		} else if (str_eq(in->key, STR("parameter_changes")) && in->kind == YAML_MAP) {
			struct buf json = BUF_INIT(BUF_NO_LIMIT);
			struct jw w = JW(&json);
			yaml_json(in, &w);
			s->parameter_changes = arena_str(&s->memory, buf_str(&json));
			buf_release(&json);
		} else {
			return yaml_wrong(r->info, r->name, in->line,
					  "%.*s is no text of branch_from, which has conversation_id, turn, "
					  "experiment_id and parameter_changes",
					  (int)MIN(in->key.n, 60), in->key.p);
		}
	}
	if (s->branch_conversation.n == 0) return wrong_value(r, v, "a mapping with a conversation_id");
	return OK;
}

/* One of initial_messages. A role alone says little: Pidgin's files call the prompt "user" and every answer "assistant",
 * a transcript of one participant's view alternates. So a first "user" is the person's, and what follows are the agents'
 * answers in their order, unless `agent` says whose they are. */
static enum err read_message(const struct reading *r, const struct yaml_value *v, size_t nth, int next_agent,
			     struct inherited *out, bool *out_skip)
{
	if (v->kind != YAML_MAP)
		return yaml_wrong(r->info, r->name, v->line, "each of initial_messages must be a mapping");
	const struct yaml_value *role = NULL, *content = NULL, *agent = NULL, *injected = NULL;
	for (const struct yaml_value *in = v->first; in != NULL; in = in->next) {
		const struct yaml_value **at = str_eq(in->key, STR("role"))      ? &role
					       : str_eq(in->key, STR("content")) ? &content
					       : str_eq(in->key, STR("agent")) || str_eq(in->key, STR("agent_id"))
						       ? &agent
					       : str_eq(in->key, STR("injected")) ? &injected
										  : NULL;
		if (at == NULL)
			return yaml_wrong(r->info, r->name, in->line,
					  "unknown key \"%.*s\"; a message has role, content, agent and injected",
					  (int)MIN(in->key.n, 60), in->key.p);
		if (in->kind != YAML_SCALAR) return wrong_value(r, in, "a text");
		*at = in;
	}
	if (role == NULL || content == NULL)
		return yaml_wrong(r->info, r->name, v->line, "a message needs role and content");
	*out_skip = str_eq(role->text, STR("system"));
	if (!*out_skip && !str_eq(role->text, STR("user")) && !str_eq(role->text, STR("assistant")))
		return wrong_value(r, role, "user, assistant or system");
	out->agent = nth == 0 && str_eq(role->text, STR("user")) ? -1 : next_agent;
	if (agent != NULL && !yaml_is_null(agent)) {
		out->agent = lab_agent_find(agent->text);
		if (out->agent < 0 && !str_eq(agent->text, STR("human")))
			return wrong_value(r, agent, "human, agent_a, agent_b, …");
	}
	if (injected != NULL && !yaml_flag(injected->text, &out->is_injected))
		return wrong_value(r, injected, "true or false");
	if (out->is_injected && out->agent < 0) return wrong_value(r, injected, "false where no agent is named");
	out->text = content->text;
	return OK;
}

/* After all other keys: the number of agents counts. */
static enum err read_messages(const struct reading *r, struct spec *s, const struct yaml_value *v)
{
	size_t nanswers = 0;
	if (v->kind != YAML_LIST) return wrong_value(r, v, "a list of messages");
	s->inherited = arena_alloc(&s->memory, MAX(v->n, 1) * sizeof *s->inherited);
	for (const struct yaml_value *in = v->first; in != NULL; in = in->next) {
		struct inherited m = {0};
		bool skip = false;
		enum err e = read_message(r, in, s->ninherited, (int)(nanswers % s->nagents), &m, &skip);
		if (e != OK) return e;
		if (skip) continue;
		m.text = arena_str(&s->memory, m.text);
		if (m.agent >= 0 && !m.is_injected) nanswers++;
		s->inherited[s->ninherited++] = m;
	}
	struct errinfo why = {0};
	enum err e = spec_count_inherited(s, &why);
	return placed(r, v, e, &why);
}

enum err spec_count_inherited(struct spec *s, struct errinfo *info)
{
	size_t n = 0;
	for (size_t i = 0; i < s->ninherited; i++) {
		struct inherited *m = &s->inherited[i];
		m->turn = (int64_t)(n / s->nagents);
		if (m->agent < 0) continue;
		if ((size_t)m->agent != n % s->nagents)
			return err_set(info, ERR_CONFIG,
				       "message %zu of initial_messages is %s's, where it is %s's turn", i + 1,
				       lab_agent_ids[m->agent], lab_agent_ids[n % s->nagents]);
		if (!m->is_injected) n++;
	}
	if (n % s->nagents != 0)
		return err_set(info, ERR_CONFIG, "initial_messages end within a turn: %zu answers of %zu agents", n,
			       s->nagents);
	int64_t turns = (int64_t)(n / s->nagents);
	/* Pidgin counts from 0, to the last turn that is taken over */
	if (s->branch_conversation.n > 0 && s->branch_turn != turns && s->branch_turn + 1 != turns)
		return err_set(info, ERR_CONFIG, "branch_from is at turn %lld, but initial_messages hold %lld turns",
			       (long long)s->branch_turn, (long long)turns);
	s->branch_turn = turns;
	return OK;
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

static enum err unknown_key(const struct reading *r, const struct yaml_value *v)
{
	struct near near = {.asked = v->key};
	char text[NEAR_TEXT];
	for (const struct spec_row *row = spec_rows; row < spec_rows + SPEC_ROWS; row++) {
		near_try(&near, row->key);
		if (row->also != NULL) near_try(&near, row->also);
	}
	return yaml_wrong(r->info, r->name, v->line, "unknown key \"%.*s\"%s", (int)MIN(v->key.n, 60), v->key.p,
			  near_text(&near, text));
}

/* Two keys of which one document has only one, besides one key under two names. */
static const enum spec_symbol exclusive[][2] = {
	{SPEC_AGENTS, SPEC_AGENT_A}, {SPEC_AGENTS, SPEC_AGENT_B}, {SPEC_DISPLAY, SPEC_QUIET},
	{SPEC_DISPLAY, SPEC_TAIL},   {SPEC_QUIET, SPEC_TAIL},
};

static enum err see(const struct reading *r, struct seen *seen, const struct yaml_value *v, enum spec_symbol row,
		    int agent)
{
	const struct yaml_value **at = &seen->at[row][agent + 1], *other = *at;
	*at = v;
	for (size_t i = 0; i < ARRAY_LEN(exclusive) && other == NULL; i++)
		for (size_t j = 0; j < 2 && other == NULL; j++)
			if (exclusive[i][j] == row) other = seen->at[exclusive[i][1 - j]][0];
	if (other == NULL) return OK;
	return yaml_wrong(r->info, r->name, v->line, "%.*s and %.*s (line %d) can't both be given", STR_ARG(v->key),
			  STR_ARG(other->key), other->line);
}

/* One key of a document, or one value of a matrix (`key` is the list's then). */
static enum err read_member(const struct reading *r, struct spec *s, struct seen *seen, const struct yaml_value *v)
{
	int agent;
	char said[64];
	struct errinfo why = {0};
	const struct spec_row *row = spec_row_of_key(v->key, &agent);
	if (row == NULL) return unknown_key(r, v);
	enum err e = see(r, seen, v, (enum spec_symbol)(row - spec_rows), agent);
	if (e != OK || yaml_is_null(v)) return e;
	(void)str_copy(v->key, said, sizeof said);
	struct put p = {.spec = s,
			.row = (enum spec_symbol)(row - spec_rows),
			.agent = agent,
			.said = said,
			.dir = r->dir,
			.info = &why};
	bool is_given = p.row == SPEC_AWARENESS && v->kind == YAML_MAP;
	if (is_given) e = awareness_check(v, r->name, r->info);
	if (e != OK) return e;
	switch (is_given ? SK_OBJECT : row->kind) {
	case SK_LIST: e = read_list(r, &p, v); break;
	case SK_WEIGHTS: e = read_weights(r, &p, v); break;
	case SK_OBJECT: e = read_object(r, &p, v); break;
	case SK_BRANCH: return read_branch(r, s, v);
	case SK_MESSAGES:
	case SK_MATRIX: return OK; /* when all else is known */
	default:
		if (v->kind != YAML_SCALAR) return wrong_value(r, v, "one value");
		/* an option's "" is a switch that was given */
		bool is_empty = v->text.n == 0 && row->kind != SK_TEXT;
		e = is_empty ? wrong_value(r, v, "a value") : put_text(&p, v->text);
	}
	/* ERR_CONFIG: it has its place already */
	return e == ERR_CONFIG ? e : placed(r, v, e, &why);
}

/* A value of a matrix in the place of its list. */
static enum err read_cell_value(const struct reading *r, struct spec *s, struct seen *seen,
				const struct yaml_value *list, size_t nth)
{
	const struct yaml_value *v = list->first;
	while (nth-- > 0) v = v->next;
	struct yaml_value member = *v;
	member.key = list->key;
	member.next = NULL;
	int agent;
	enum err e = read_member(r, s, seen, &member);
	const struct spec_row *row = spec_row_of_key(list->key, &agent);
	if (e == OK) seen->at[row - spec_rows][agent + 1] = list; /* `member` is gone when the next one looks */
	return e;
}

static enum err check_matrix(const struct reading *r, const struct yaml_value *doc, const struct yaml_value *matrix,
			     size_t *out_cells)
{
	size_t cells = 1;
	if (matrix->kind != YAML_MAP || matrix->n == 0) return wrong_value(r, matrix, "a mapping of lists");
	for (const struct yaml_value *v = matrix->first; v != NULL; v = v->next) {
		int agent;
		const struct spec_row *row = spec_row_of_key(v->key, &agent);
		if (row == NULL) return unknown_key(r, v);
		bool may = row->kind < SK_BRANCH && row != &spec_rows[SPEC_NAME];
		if (!may) return yaml_wrong(r->info, r->name, v->line, "%s can't be in a matrix", row->key);
		if (v->kind != YAML_LIST || v->n == 0) return wrong_value(r, v, "a list of values in a matrix");
		cells *= v->n;
		if (cells > SPEC_CELLS_MAX || cells * doc->bytes > CELLS_BYTES_MAX)
			return yaml_wrong(r->info, r->name, v->line,
					  "the matrix makes too many experiments; at most %d, and %u bytes of specs",
					  SPEC_CELLS_MAX, CELLS_BYTES_MAX);
	}
	*out_cells = cells;
	return OK;
}

static enum err number_name(const struct reading *r, const struct yaml_value *doc, struct spec *s, size_t number)
{
	struct buf name = BUF_INIT(BUF_NO_LIMIT);
	enum err e = OK;
	buf_addf(&name, "%.*s-%zu", STR_ARG(s->name), number);
	if ((double)name.n > spec_rows[SPEC_NAME].hi)
		e = yaml_wrong(r->info, r->name, doc->line, "the name is too long to get a -%zu of the matrix", number);
	s->name = arena_str(&s->memory, buf_str(&name));
	buf_release(&name);
	return e;
}

static enum err read_cell(const struct reading *r, const struct yaml_value *doc, const struct yaml_value *matrix,
			  size_t cell, size_t cells, struct spec *s)
{
	struct seen seen = {0};
	struct errinfo why = {0};
	enum err e = OK;
	size_t left = cell, span = cells;
	for (const struct yaml_value *v = doc->first; v != NULL && e == OK; v = v->next)
		e = read_member(r, s, &seen, v);
	for (const struct yaml_value *v = matrix != NULL ? matrix->first : NULL; v != NULL && e == OK; v = v->next) {
		span /= v->n;
		e = read_cell_value(r, s, &seen, v, left / span);
		left %= span;
	}
	if (e == OK) e = placed(r, doc, spec_check_agents(s, &why), &why);
	const struct yaml_value *messages = seen.at[SPEC_INITIAL_MESSAGES][0];
	if (e == OK && messages != NULL && !yaml_is_null(messages)) e = read_messages(r, s, messages);
	if (e == OK && matrix != NULL && s->name.n > 0) e = number_name(r, doc, s, cell + 1);
	return e;
}

static enum err read_document(struct reading *r, const struct yaml_value *doc)
{
	if (yaml_is_null(doc)) return yaml_wrong(r->info, r->name, doc->line, "an empty spec");
	if (doc->kind != YAML_MAP)
		return yaml_wrong(r->info, r->name, doc->line, "a spec is a mapping of keys, as agent_a: local:test");
	const struct yaml_value *matrix = yaml_get(doc, spec_rows[SPEC_MATRIX].key);
	size_t cells = 1;
	enum err e = OK;
	if (matrix != NULL && yaml_is_null(matrix)) matrix = NULL;
	if (matrix != NULL) e = check_matrix(r, doc, matrix, &cells);
	if (e == OK && r->n + cells > SPEC_CELLS_MAX)
		e = yaml_wrong(r->info, r->name, doc->line, "more than %d experiments in one file", SPEC_CELLS_MAX);
	for (size_t i = 0; i < cells && e == OK; i++) {
		if (r->n == r->cap) {
			r->cap = MAX(r->cap * 2, 1);
			r->list = xrealloc(r->list, xmul(r->cap, sizeof *r->list));
		}
		spec_init(&r->list[r->n++], r->config);
		e = read_cell(r, doc, matrix, i, cells, &r->list[r->n - 1]);
	}
	return e;
}

enum err spec_parse(struct str yaml, const char *name, const struct config *config, struct spec **out, size_t *out_n,
		    struct errinfo *info)
{
	struct arena memory = {0};
	struct yaml_value *documents = NULL;
	const char *slash = strrchr(name, '/');
	struct reading r = {.name = name,
			    .dir = slash != NULL ? str_n(name, (size_t)(slash + 1 - name)) : STR(""),
			    .config = config,
			    .info = info};
	*out = NULL;
	*out_n = 0;
	enum err e = yaml_read(&memory, yaml, name, &documents, info);
	if (e == OK && documents == NULL) e = yaml_wrong(info, name, 0, "an empty spec");
	for (const struct yaml_value *d = documents; d != NULL && e == OK; d = d->next) e = read_document(&r, d);
	arena_clear(&memory);
	if (e == OK) {
		*out = r.list;
		*out_n = r.n;
		return OK;
	}
	for (size_t i = 0; i < r.n; i++) spec_release(&r.list[i]);
	free(r.list);
	return e;
}

enum err spec_file(const char *path, struct buf *out, struct errinfo *info)
{
	enum err e = OK;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return err_set(info, ERR_CONFIG, "%.180s: %s", path, strerror(errno));
	for (;;) {
		char piece[8192];
		ssize_t n = read(fd, piece, sizeof piece);
		if (n < 0) e = err_set(info, ERR_CONFIG, "%.180s: %s", path, strerror(errno));
		else if (n > 0 && (out->n + (size_t)n > YAML_BYTES_MAX || !buf_add(out, piece, (size_t)n)))
			e = err_set(info, ERR_CONFIG, "%.180s: larger than %u bytes", path, YAML_BYTES_MAX);
		if (n <= 0 || e != OK) break;
	}
	close(fd);
	return e;
}

enum err spec_load(const char *path, const struct config *config, struct spec **out, size_t *out_n,
		   struct errinfo *info)
{
	struct buf text = BUF_INIT(YAML_BYTES_MAX);
	enum err e = spec_file(path, &text, info);
	*out = NULL;
	*out_n = 0;
	if (e == OK) e = spec_parse(buf_str(&text), path, config, out, out_n, info);
	buf_release(&text);
	return e;
}
