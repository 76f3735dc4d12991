#include "client/auto.h"

#include <inttypes.h>

#define HISTORY 5     /* answers and failures that are remembered */
#define ERRORS_LOOP 3 /* so many of them */
#define WINDOW_MIN 2  /* stuckWindow */
#define WINDOW_DEF 3
#define SENSITIVITY 3

static const struct {
	enum completion completion;
	int running; /* in so many answers one after the other; a stronger one is enough by itself */
	double likeness;
} sensitivities[] = {
	{COMPLETION_STRONG, 2, 0.95},  {COMPLETION_STRONG, 1, 0.9}, {COMPLETION_MODERATE, 2, 0.8},
	{COMPLETION_MODERATE, 1, 0.8}, {COMPLETION_WEAK, 1, 0.7},
};

static const struct str stop_phrases[] = {STR_INIT("TASK_COMPLETE"), STR_INIT("NO_MORE_WORK"), STR_INIT("FINISHED"),
					  STR_INIT("ALL_DONE"), STR_INIT("STOP_AUTO")};

/* What is said when a run names neither rules nor templates nor a model. */
static const struct {
	enum intent intent;
	struct str say;
} own_templates[] = {
	{INTENT_UNKNOWN, STR_INIT("Please continue with the next step.")},
	{INTENT_ERROR, STR_INIT("Please find the cause of that error, fix it, and continue.")},
	{INTENT_CLARIFICATION, STR_INIT("Use your best judgement and continue.")},
	{INTENT_WAITING, STR_INIT("Yes, please go on.")},
	{INTENT_COMPLETION,
	 STR_INIT("What is the next step? Continue with it, or say TASK_COMPLETE when nothing is left.")},
	{INTENT_PROGRESS, STR_INIT("Good. Please continue.")},
};

/* An answer, or a failure in the place of one. */
struct past {
	int64_t ord;
	bool failed;
	struct reading reading;
	struct word_set words;
};

struct auto_engine {
	struct json_doc *doc; /* of the run */
	struct run run;
	bool is_primary;
	int64_t term;
	struct past past[HISTORY]; /* by place, newest last */
	size_t npast;
	char *answer_id; /* of the newest answer, NULL none */
	struct buf answer;
	int64_t answer_ord, user_ord; /* newest places, 0 none */
	int64_t failed_ord;           /* place of the message whose request failed last */
	int64_t handled_ord;          /* answer that was dealt with; -1: the opening */
	int64_t handled_failure;      /* place of the failure that was */
	bool asked;                   /* the app was asked for a text to the newest answer */
	bool has_text;
	struct buf text, request, because;
};

struct auto_engine *auto_new(void)
{
	struct auto_engine *e = xcalloc(1, sizeof *e);
	buf_init(&e->answer, BUF_NO_LIMIT);
	buf_init(&e->text, BUF_NO_LIMIT);
	buf_init(&e->request, BUF_NO_LIMIT);
	buf_init(&e->because, BUF_NO_LIMIT);
	return e;
}

void auto_free(struct auto_engine *e)
{
	if (e == NULL) return;
	for (size_t i = 0; i < e->npast; i++) word_set_release(&e->past[i].words);
	json_free(e->doc);
	free(e->answer_id);
	buf_release(&e->answer);
	buf_release(&e->text);
	buf_release(&e->request);
	buf_release(&e->because);
	free(e);
}

/* ---- what the device knows -------------------------------------------------------------------------------------- */

void auto_again(struct auto_engine *e)
{
	e->handled_ord = 0;
	e->asked = e->has_text = false;
}

void auto_run(struct auto_engine *e, const struct json *automatic)
{
	struct run was = e->run;
	struct json_doc *doc = NULL;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (automatic != NULL) json_write(&b, automatic);
	if (json_parse(automatic != NULL ? buf_str(&b) : STR("{}"), &doc, NULL) != OK) doc = NULL;
	buf_release(&b);
	run_read(&e->run, json_root(doc));
	/* A run that is begun or taken up again looks at the newest answer once more. */
	bool is_new = was.number != e->run.number || (was.state != RUN_RUNNING && e->run.state == RUN_RUNNING);
	if (is_new) auto_again(e);
	/* Who resumes a run knows of the failure that it paused for. */
	if (was.state == RUN_PAUSED && e->run.state == RUN_RUNNING) e->handled_failure = e->failed_ord;
	json_free(e->doc);
	e->doc = doc;
}

void auto_primary(struct auto_engine *e, bool is_primary, int64_t term)
{
	if (e->is_primary == is_primary && e->term == term) return;
	e->is_primary = is_primary;
	e->term = term;
	auto_again(e);
}

/* The entry at this place, made in its order; NULL when it is there already or too old to matter. */
static struct past *remember(struct auto_engine *e, int64_t ord)
{
	size_t at = e->npast;
	while (at > 0 && e->past[at - 1].ord > ord) at--;
	if (at > 0 && e->past[at - 1].ord == ord) return NULL;
	if (e->npast == HISTORY) {
		if (at == 0) return NULL;
		word_set_release(&e->past[0].words);
		memmove(e->past, e->past + 1, (HISTORY - 1) * sizeof *e->past);
		e->npast--;
		at--;
	}
	memmove(e->past + at + 1, e->past + at, (e->npast - at) * sizeof *e->past);
	e->npast++;
	e->past[at] = (struct past){.ord = ord};
	return &e->past[at];
}

void auto_message(struct auto_engine *e, const struct auto_message *m)
{
	if (str_eq(m->role, STR("user"))) {
		e->user_ord = MAX(e->user_ord, m->ord);
		return;
	}
	if (!str_eq(m->role, STR("assistant")) || !str_eq(m->status, STR("complete"))) return;
	struct past *p = remember(e, m->ord);
	if (p == NULL) return;
	text_read(m->text, &p->reading);
	word_set_make(&p->words, m->text);
	if (m->ord <= e->answer_ord) return;
	e->answer_ord = m->ord;
	e->asked = e->has_text = false;
	free(e->answer_id);
	e->answer_id = str_dup(m->id);
	buf_clear(&e->answer);
	buf_add_str(&e->answer, m->text);
}

void auto_failed(struct auto_engine *e, int64_t ord)
{
	struct past *p = remember(e, ord);
	if (p != NULL) p->failed = true;
	e->failed_ord = MAX(e->failed_ord, ord);
}

void auto_text(struct auto_engine *e, struct str answer_id, struct str text)
{
	if (!e->asked || e->answer_id == NULL || !str_eq(answer_id, str_c(e->answer_id))) return;
	e->has_text = true;
	e->handled_ord = 0;
	buf_clear(&e->text);
	buf_add_str(&e->text, text);
}

/* ---- the params ------------------------------------------------------------------------------------------------- */

static const struct json *param(const struct auto_engine *e, const char *name) { return json_get(e->run.params, name); }

static int64_t param_int(const struct auto_engine *e, const char *name, int64_t lo, int64_t hi, int64_t def)
{
	int64_t v;
	return json_int(param(e, name), &v) && v >= lo && v <= hi ? v : def;
}

/* The stop phrase that the answer holds, "" none. */
static struct str stop_phrase(const struct auto_engine *e)
{
	const struct json *own = param(e, "stopPhrases");
	struct str text = buf_str(&e->answer), phrase;
	if (json_type(own) == JSON_ARR) {
		for (struct json_iter it = json_iter(own); json_next(&it);)
			if (json_str(it.val, &phrase) && text_says_exactly(text, phrase)) return phrase;
		return STR("");
	}
	for (size_t i = 0; i < ARRAY_LEN(stop_phrases); i++)
		if (text_says_exactly(text, stop_phrases[i])) return stop_phrases[i];
	return STR("");
}

/* ---- when to stop ----------------------------------------------------------------------------------------------- */

static bool content_counts(const struct run *r)
{
	return r->mode == RUN_SMART_STOP || r->mode == RUN_UNTIL_COMPLETION || (r->mode == RUN_HYBRID && !r->all);
}

static bool is_error_loop(const struct auto_engine *e)
{
	int n = 0;
	for (size_t i = 0; i < e->npast; i++) n += e->past[i].failed || e->past[i].reading.intent == INTENT_ERROR;
	return n >= ERRORS_LOOP;
}

static bool is_complete(const struct auto_engine *e)
{
	const struct past *last = &e->past[e->npast - 1];
	enum completion now = last->reading.completion;
	if (e->run.mode == RUN_UNTIL_COMPLETION) return now == COMPLETION_STRONG;
	size_t i = (size_t)param_int(e, "sensitivity", 1, ARRAY_LEN(sensitivities), SENSITIVITY) - 1;
	enum completion wanted = sensitivities[i].completion;
	if (now < wanted) return false;
	if (now > wanted || sensitivities[i].running == 1) return true;
	return e->npast > 1 && !last[-1].failed && last[-1].reading.completion >= wanted;
}

static bool is_stuck(const struct auto_engine *e)
{
	size_t window = (size_t)param_int(e, "stuckWindow", WINDOW_MIN, HISTORY, WINDOW_DEF);
	size_t i = (size_t)param_int(e, "sensitivity", 1, ARRAY_LEN(sensitivities), SENSITIVITY) - 1;
	if (e->npast < window) return false;
	for (size_t at = e->npast - window; at < e->npast; at++) {
		if (e->past[at].failed) return false;
		if (at == e->npast - window) continue;
		double likeness = word_set_similarity(&e->past[at - 1].words, &e->past[at].words);
		if (likeness <= sensitivities[i].likeness) return false;
	}
	return true;
}

/* Conditions 1 to 5. */
static enum run_reason reason_to_stop(struct auto_engine *e)
{
	const struct reading *r = &e->past[e->npast - 1].reading;
	struct str phrase = stop_phrase(e);
	buf_clear(&e->because);
	if (r->showstopper.n > 0) {
		buf_add_str(&e->because, r->showstopper);
		return REASON_SHOWSTOPPER;
	}
	if (phrase.n > 0) {
		buf_add_str(&e->because, phrase);
		return REASON_COMPLETION;
	}
	if (is_error_loop(e)) return REASON_ERROR;
	if (!content_counts(&e->run)) return REASON_NONE;
	if (is_complete(e)) return REASON_COMPLETION;
	return is_stuck(e) ? REASON_STUCK : REASON_NONE;
}

/* ---- what to say ------------------------------------------------------------------------------------------------ */

/* The value of {name}; appended. False: there is none. */
static bool add_var(struct auto_engine *e, enum intent intent, struct str name)
{
	struct str text;
	if (str_eq(name, STR("sent"))) return buf_addf(&e->text, "%" PRId64, e->run.sent);
	if (str_eq(name, STR("max"))) return buf_addf(&e->text, "%" PRId64, e->run.max_messages);
	if (str_eq(name, STR("mode"))) return buf_add_str(&e->text, run_mode_name(e->run.mode));
	if (str_eq(name, STR("intent"))) return buf_add_str(&e->text, intent_name(intent));
	return json_str(json_getn(param(e, "vars"), name), &text) && buf_add_str(&e->text, text);
}

static void fill_in(struct auto_engine *e, enum intent intent, struct str say)
{
	buf_clear(&e->text);
	while (say.n > 0) {
		const char *end = say.p[0] == '{' ? memchr(say.p, '}', say.n) : NULL;
		size_t n = end != NULL ? (size_t)(end - say.p) + 1 : 1;
		bool is_var = end != NULL && add_var(e, intent, str_n(say.p + 1, n - 2));
		if (!is_var) buf_add_char(&e->text, say.p[0]);
		if (!is_var) n = 1;
		say = str_n(say.p + n, say.n - n);
	}
}

static bool rule_fits(const struct json *when, struct str answer)
{
	struct str phrase;
	if (json_str(when, &phrase)) return str_eq(phrase, STR("*")) || text_says(answer, phrase);
	for (struct json_iter it = json_iter(when); json_next(&it);)
		if (rule_fits(it.val, answer)) return true;
	return false;
}

static bool by_rule(const struct auto_engine *e, struct str *out)
{
	for (struct json_iter it = json_iter(param(e, "rules")); json_next(&it);)
		if (rule_fits(json_get(it.val, "when"), buf_str(&e->answer)) && json_str(json_get(it.val, "say"), out))
			return true;
	return false;
}

/* Is it a template for this intent (INTENT_UNKNOWN: for any)? Then what it says. */
static bool template_for(const struct json *v, enum intent intent, struct str *out)
{
	struct str name;
	enum intent is_for;
	if (json_str(v, out)) return intent == INTENT_UNKNOWN;
	if (!json_str(json_get(v, "say"), out)) return false;
	if (!json_str(json_get(v, "for"), &name)) return intent == INTENT_UNKNOWN;
	return intent_find(name, &is_for) && is_for == intent;
}

static bool template_in_turn(const struct auto_engine *e, enum intent intent, struct str *out)
{
	int64_t n = 0;
	struct str say;
	for (struct json_iter it = json_iter(param(e, "templates")); json_next(&it);)
		n += template_for(it.val, intent, &say);
	int64_t turn = n > 0 ? e->run.sent % n : 0;
	for (struct json_iter it = json_iter(param(e, "templates")); n > 0 && json_next(&it);) {
		if (!template_for(it.val, intent, &say) || turn-- > 0) continue;
		*out = say;
		return true;
	}
	return false;
}

static bool asks_model(const struct auto_engine *e)
{
	bool wants = false;
	return json_bool(param(e, "model"), &wants) && wants;
}

static bool find_words(const struct auto_engine *e, enum intent intent, struct str *out)
{
	if (by_rule(e, out) || template_in_turn(e, intent, out)) return true;
	if (intent != INTENT_UNKNOWN && template_in_turn(e, INTENT_UNKNOWN, out)) return true;
	if (asks_model(e) || json_type(param(e, "rules")) == JSON_ARR || json_type(param(e, "templates")) == JSON_ARR)
		return false;
	*out = own_templates[intent].say;
	return true;
}

/* ---- what to do ------------------------------------------------------------------------------------------------- */

static struct auto_intent stand(struct auto_engine *e, enum auto_what what, enum run_reason reason)
{
	return (struct auto_intent){.what = what, .reason = reason, .term = e->term, .because = buf_str(&e->because)};
}

static struct auto_intent say(struct auto_engine *e, struct str parent)
{
	const struct json *request = param(e, "request");
	buf_clear(&e->request);
	if (json_type(request) == JSON_OBJ) json_write(&e->request, request);
	else buf_add_str(&e->request, STR("{}"));
	return (struct auto_intent){.what = AUTO_SEND,
				    .text = buf_str(&e->text),
				    .parent = parent,
				    .request = buf_str(&e->request),
				    .term = e->term,
				    .because = STR("")};
}

/* Condition 6. */
static struct auto_intent answer(struct auto_engine *e)
{
	const struct reading *r = &e->past[e->npast - 1].reading;
	struct str words, id = str_c(e->answer_id);
	struct auto_intent out;
	buf_clear(&e->because);
	if (e->has_text) {
		out = e->text.n > 0 ? say(e, id) : stand(e, AUTO_PAUSE, REASON_LOW_CONFIDENCE);
	} else if (find_words(e, r->intent, &words)) {
		fill_in(e, r->intent, words);
		out = say(e, id);
	} else if (asks_model(e)) {
		e->asked = true;
		out = stand(e, AUTO_ASK, REASON_NONE);
		out.parent = id;
		out.answer = buf_str(&e->answer);
		out.sent = e->run.sent;
		out.max_messages = e->run.max_messages;
	} else {
		out = stand(e, AUTO_PAUSE, REASON_LOW_CONFIDENCE);
	}
	out.reading = *r;
	return out;
}

static struct auto_intent open_conversation(struct auto_engine *e)
{
	struct str opening;
	if (e->handled_ord == -1 || e->run.sent > 0 || !json_str(param(e, "opening"), &opening) || opening.n == 0)
		return (struct auto_intent){.what = AUTO_NOTHING};
	e->handled_ord = -1;
	fill_in(e, INTENT_UNKNOWN, opening);
	return say(e, STR(""));
}

struct auto_intent auto_next(struct auto_engine *e)
{
	struct auto_intent out = {.what = AUTO_NOTHING};
	if (e->run.state != RUN_RUNNING || !e->is_primary) return out;
	if (e->answer_ord == 0 && e->user_ord == 0) return open_conversation(e);
	/* The newest thing decides: a failed request, an answer, or a message that waits for its answer. */
	bool has_failed = e->failed_ord > e->answer_ord && e->failed_ord >= e->user_ord;
	if (has_failed && e->handled_failure < e->failed_ord) {
		e->handled_failure = e->failed_ord;
		buf_clear(&e->because);
		return stand(e, is_error_loop(e) ? AUTO_STOP : AUTO_PAUSE, REASON_ERROR);
	}
	if (has_failed || e->answer_ord <= e->user_ord || e->answer_ord <= e->run.answered_ord ||
	    e->handled_ord >= e->answer_ord)
		return out;
	e->handled_ord = e->answer_ord;
	if (e->has_text) return answer(e);
	enum run_reason reason = reason_to_stop(e);
	if (reason == REASON_NONE) return answer(e);
	out = stand(e, AUTO_STOP, reason);
	out.reading = e->past[e->npast - 1].reading;
	return out;
}
