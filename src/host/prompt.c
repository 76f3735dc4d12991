#include "host/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "provider/models.h"
#include "provider/text.h"
#include "provider/tokens.h"

#define SMALL_BYTES ((size_t)64 << 10)
#define ATTACHED_BYTES_MAX ((int64_t)45 << 20) /* in base64 they fit WIRE_BODY_MAX */
#define SUMMARY_TOKENS ((int64_t)1024)         /* at most, of a summary; a quarter of the room when that is less */

struct prompt {
	struct arena arena;
	struct prompt_spec spec;
	struct prompt_made made;
	struct call_message *messages; /* all, then those that stay */
	size_t nmessages;
	struct json_doc *params_doc;
	struct params params;
	struct json_doc **docs; /* of the parts, one a message; NULL none */
	int64_t attached_bytes;
};

/* ---- life -------------------------------------------------------------------------------------------------------- */

struct prompt *prompt_new(const struct prompt_spec *spec)
{
	struct prompt *p = xcalloc(1, sizeof *p);
	p->spec = *spec;
	struct str *copied[] = {&p->spec.base_url, &p->spec.model,   &p->spec.params,
				&p->spec.data_dir, &p->spec.summary, &p->spec.session};
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) *copied[i] = arena_str(&p->arena, *copied[i]);
	struct prompt_message *list = arena_alloc(&p->arena, xmul(MAX(spec->nmessages, (size_t)1), sizeof *list));
	for (size_t i = 0; i < spec->nmessages; i++) {
		const struct prompt_message *m = &spec->messages[i];
		list[i] = (struct prompt_message){arena_str(&p->arena, m->role), arena_str(&p->arena, m->text),
						  arena_str(&p->arena, m->parts)};
	}
	p->spec.messages = list;
	p->docs = arena_zalloc(&p->arena, xmul(MAX(spec->nmessages, (size_t)1), sizeof(struct json_doc *)));
	return p;
}

static void forget_made(struct prompt *p)
{
	wire_request_release(&p->made.request);
	for (size_t i = 0; i < p->spec.nmessages; i++) {
		json_free(p->docs[i]);
		p->docs[i] = NULL;
	}
	json_free(p->params_doc);
	p->params_doc = NULL;
	p->made = (struct prompt_made){0};
	p->attached_bytes = 0;
}

void prompt_free(struct prompt *p)
{
	if (p == NULL) return;
	forget_made(p);
	arena_clear(&p->arena);
	free(p);
}

const struct prompt_made *prompt_made(const struct prompt *p) { return &p->made; }
void prompt_drop_session(struct prompt *p) { p->spec.session = STR(""); }
void prompt_set_summary(struct prompt *p, struct str summary) { p->spec.summary = arena_str(&p->arena, summary); }

bool prompt_is_small(const struct prompt *p)
{
	size_t bytes = 0;
	for (size_t i = 0; i < p->spec.nmessages; i++) {
		const struct prompt_message *m = &p->spec.messages[i];
		bytes += m->text.n + m->parts.n;
		if (memmem(m->parts.p, m->parts.n, "\"sha256\"", 8) != NULL) return false;
	}
	return bytes <= SMALL_BYTES;
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static struct str get(const struct json *o, const char *key)
{
	struct str s = STR("");
	(void)json_str(json_get(o, key), &s);
	return s;
}

/* The whole of an attachment. Who may see it was decided when the message was sent. */
static enum err read_attachment(struct prompt *p, struct str hash, struct str *out, struct errinfo *info)
{
	char path[4096];
	struct stat st;
	enum err e = OK;
	unsigned char raw[SHA256_LEN];
	if (!hex_decode(hash, raw, sizeof raw)) return err_set(info, ERR_BAD_FIELD, "a part's \"sha256\" is none");
	(void)snprintf(path, sizeof path, "%.*s/assets/%.2s/%.*s", STR_ARG(p->spec.data_dir), hash.p, STR_ARG(hash));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		e = err_set(info, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "attachment %.*s can't be read: %s",
			    STR_ARG(hash), strerror(errno));
		goto out;
	}
	p->attached_bytes += st.st_size;
	if (p->attached_bytes > ATTACHED_BYTES_MAX) {
		e = err_set(info, ERR_TOO_LARGE, "the conversation's attachments are larger than %lld bytes together",
			    (long long)ATTACHED_BYTES_MAX);
		goto out;
	}
	char *bytes = arena_alloc(&p->arena, (size_t)st.st_size + 1);
	size_t n = 0;
	ssize_t got = 1;
	while (n < (size_t)st.st_size && got > 0) {
		got = read(fd, bytes + n, (size_t)st.st_size - n);
		if (got > 0) n += (size_t)got;
		else if (got < 0 && errno == EINTR) got = 1;
	}
	if (n < (size_t)st.st_size) e = err_set(info, ERR_IO, "attachment %.*s can't be read", STR_ARG(hash));
	*out = str_n(bytes, n);
out:
	if (fd >= 0) close(fd);
	return e;
}

static enum err make_attachment(struct prompt *p, const struct json *part, struct call_part *out, struct errinfo *info)
{
	struct str bytes = STR("");
	enum err e = read_attachment(p, get(part, "sha256"), &bytes, info);
	if (e != OK) return e;
	*out = (struct call_part){.name = get(part, "name"), .media_type = get(part, "mediaType"), .bytes = bytes};
	if (out->media_type.n == 0) out->media_type = STR("application/octet-stream");
	if (out->name.n == 0) out->name = STR("attachment");
	out->kind = attachment_kind(out->media_type);
	if (out->kind != PART_TEXT) return OK;
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&text, "%.*s:\n", STR_ARG(out->name));
	text_repair(bytes, &text);
	*out = (struct call_part){.kind = PART_TEXT, .text = arena_str(&p->arena, buf_str(&text))};
	buf_release(&text);
	return OK;
}

/* A tool call's arguments: mostly an object; a string is what a model made up instead. */
static struct str arguments(struct prompt *p, const struct json *v)
{
	struct str s;
	if (json_str(v, &s)) return s;
	return v == NULL ? STR("{}") : json_text(&p->arena, v);
}

/* *is_one: false when the part is not for a model. */
static enum err make_part(struct prompt *p, const struct json *part, struct call_part *out, bool *is_one,
			  struct errinfo *info)
{
	struct str type = get(part, "type");
	*is_one = true;
	if (json_get(part, "sha256") != NULL) return make_attachment(p, part, out, info);
	*out = (struct call_part){
		.text = get(part, "text"), .id = get(part, "id"), .name = get(part, "name"), .seal = get(part, "seal")};
	if (str_eq(type, STR("tool_call"))) {
		out->kind = PART_TOOL_CALL;
		out->text = arguments(p, json_get(part, "arguments"));
	} else if (str_eq(type, STR("tool_result"))) {
		out->kind = PART_TOOL_RESULT;
		(void)json_bool(json_get(part, "isError"), &out->is_error);
	} else if (str_eq(type, STR("thinking"))) {
		out->kind = PART_THINKING;
	} else {
		out->kind = PART_TEXT;
		*is_one = str_eq(type, STR("text")) && out->text.n > 0;
	}
	return OK;
}

static enum err make_message(struct prompt *p, size_t nth, struct errinfo *info)
{
	const struct prompt_message *m = &p->spec.messages[nth];
	struct call_message *to = &p->messages[nth];
	enum err e = OK;
	*to = (struct call_message){.role = m->role, .text = m->text};
	if (m->parts.n == 0) return OK;
	if (json_parse(m->parts, &p->docs[nth], NULL) != OK)
		return err_set(info, ERR_CORRUPT, "a message's parts are no JSON");
	const struct json *list = json_root(p->docs[nth]);
	struct call_part *parts = arena_alloc(&p->arena, xmul(MAX(json_len(list), (size_t)1), sizeof *parts));
	for (struct json_iter it = json_iter(list); e == OK && json_next(&it);) {
		bool is_one;
		e = make_part(p, it.val, &parts[to->nparts], &is_one, info);
		to->nparts += e == OK && is_one;
	}
	to->parts = parts;
	return e;
}

/* ---- the window -------------------------------------------------------------------------------------------------- */

static struct context_message weigh(const struct call_message *m, struct str family, struct str model)
{
	struct context_message c = {.tokens = tokens_message(family, model, m),
				    .is_pinned = str_eq(m->role, STR("system")),
				    .may_begin = str_eq(m->role, STR("user"))};
	for (size_t i = 0; i < m->nparts; i++)
		if (m->parts[i].kind == PART_TOOL_RESULT) c.may_begin = false;
	return c;
}

/* Asked for, and kept free for it. */
static int64_t summary_tokens(const struct prompt *p) { return MAX(MIN(SUMMARY_TOKENS, p->made.room / 4), (int64_t)1); }

static enum err refuse(const struct prompt *p, enum context_rule rule, struct errinfo *info)
{
	const struct context_plan *plan = &p->made.context;
	if (rule == CONTEXT_REFUSE && plan->fits)
		return err_set(info, ERR_TOO_LARGE,
			       "the conversation is longer than limits.contextBytes; params.context says refuse");
	if (rule == CONTEXT_REFUSE)
		return err_set(info, ERR_TOO_LARGE,
			       "the conversation is about %lld tokens and the model has room for %lld; "
			       "params.context says refuse",
			       (long long)plan->all, (long long)p->made.room);
	return err_set(info, ERR_TOO_LARGE,
		       "the last message alone is more than the %lld tokens the model has room for",
		       (long long)p->made.room);
}

/* Leaves out what the rule says. */
static enum err fit(struct prompt *p, struct errinfo *info)
{
	const struct model_info *about = p->spec.about;
	struct str family = about != NULL ? about->family : STR_NONE;
	int64_t besides = tokens_params(family, &p->params);
	enum context_rule rule = CONTEXT_DROP;
	p->made.is_cut = p->spec.is_cut;
	struct context_message *list = arena_alloc(&p->arena, xmul(MAX(p->nmessages, (size_t)1), sizeof *list));
	for (size_t i = 0; i < p->nmessages; i++) list[i] = weigh(&p->messages[i], family, p->spec.model);
	if (param_given(&p->params, P_CONTEXT)) (void)context_rule_parse(param_text(&p->params, P_CONTEXT), &rule);
	if (about != NULL)
		p->made.room = context_room(about->window, about->max_output, param_int(&p->params, P_MAX_TOKENS));
	if (p->made.room > 0) p->made.room = MAX(p->made.room - besides, (int64_t)1);
	context_plan(list, p->nmessages, p->made.room, rule == CONTEXT_SUMMARISE ? summary_tokens(p) : 0, rule,
		     &p->made.context);
	if (!p->made.context.fits || (rule == CONTEXT_REFUSE && p->spec.is_cut)) return refuse(p, rule, info);
	p->made.input_tokens = p->made.context.tokens + besides;
	p->made.wants_summary = rule == CONTEXT_SUMMARISE && p->made.context.left_out > 0 && p->spec.summary.p == NULL;
	return OK;
}

/* What stays, with the summary in front of it. */
static void leave_out(struct prompt *p)
{
	struct call_message *stay = arena_alloc(&p->arena, xmul(p->nmessages + 1, sizeof *stay));
	size_t n = 0;
	if (p->made.context.left_out == 0) return;
	if (p->spec.summary.p != NULL) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		buf_addf(&b, "What was said before, in short:\n%.*s", STR_ARG(p->spec.summary));
		stay[n++] = (struct call_message){.role = STR("system"), .text = arena_str(&p->arena, buf_str(&b))};
		buf_release(&b);
	}
	for (size_t i = 0; i < p->nmessages; i++)
		if (i >= p->made.context.first || str_eq(p->messages[i].role, STR("system")))
			stay[n++] = p->messages[i];
	p->messages = stay;
	p->nmessages = n;
}

/* Asks for a summary of what is left out, in the place of the conversation. */
static enum err build_summary(struct prompt *p, struct errinfo *info)
{
	static const char order[] =
		"Summarise the conversation that follows, for yourself: you will go on with it and not "
		"see it again. Keep names, numbers, decisions, open questions and what the person wants. "
		"At most 600 words, no introduction.\n\n";
	struct buf text = BUF_INIT(BUF_NO_LIMIT), options = BUF_INIT(BUF_NO_LIMIT);
	struct sha256 *h = sha256_new();
	struct json_doc *doc = NULL;
	struct params params;
	buf_add_str(&text, STR(order));
	for (size_t i = 0; i < p->made.context.first; i++)
		if (!str_eq(p->messages[i].role, STR("system")))
			buf_addf(&text, "%.*s: %.*s\n\n", STR_ARG(p->messages[i].role), STR_ARG(p->messages[i].text));
	sha256_add(h, p->spec.model);
	sha256_add(h, buf_str(&text));
	sha256_end(h, p->made.summary_key);
	p->made.input_tokens = TOKENS_PER_MESSAGE + tokens_text(p->spec.about->family, buf_str(&text));
	buf_addf(&options, "{\"maxTokens\":%lld}", (long long)summary_tokens(p));
	struct call_message message = {.role = STR("user"), .text = buf_str(&text)};
	struct provider_ask ask = {.base_url = p->spec.base_url,
				   .key = p->spec.key,
				   .model = p->spec.model,
				   .about = p->spec.about,
				   .messages = &message,
				   .nmessages = 1,
				   .params = &params,
				   .command = p->spec.command};
	enum err e = json_parse(buf_str(&options), &doc, info);
	if (e == OK) e = params_read(json_root(doc), &params, info);
	if (e == OK) e = p->spec.dialect->build(&ask, &p->made.request, info);
	json_free(doc);
	buf_release(&text);
	buf_release(&options);
	return e;
}

static enum err build(struct prompt *p, struct errinfo *info)
{
	struct provider_ask ask = {.base_url = p->spec.base_url,
				   .key = p->spec.key,
				   .model = p->spec.model,
				   .about = p->spec.about,
				   .messages = p->messages,
				   .nmessages = p->nmessages,
				   .params = &p->params,
				   .command = p->spec.command,
				   .session = p->spec.session};
	return p->spec.dialect->build(&ask, &p->made.request, info);
}

enum err prompt_make(struct prompt *p, struct errinfo *info)
{
	enum err e = OK;
	forget_made(p);
	p->messages = arena_alloc(&p->arena, xmul(MAX(p->spec.nmessages, (size_t)1), sizeof *p->messages));
	p->nmessages = p->spec.nmessages;
	if (p->spec.params.n > 0) e = json_parse(p->spec.params, &p->params_doc, info);
	if (e == OK) e = params_read(json_root(p->params_doc), &p->params, info);
	for (size_t i = 0; i < p->nmessages && e == OK; i++) e = make_message(p, i, info);
	if (e == OK) e = model_check(p->spec.about, &p->params, p->messages, p->nmessages, info);
	if (e == OK) e = fit(p, info);
	if (e != OK) return e;
	if (p->made.wants_summary) return build_summary(p, info);
	leave_out(p);
	return build(p, info);
}
