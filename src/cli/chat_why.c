/* What a request waits for, and what is to be said of an answer besides its text.
 *
 * libroost tells the states of a request as they are pushed and as they are stored, so the same news may come twice: what
 * was told is noted in the answer. A push knows the pacing and the provider, the stored record the attempts. */
#include "base/clock.h"
#include "cli/chat.h"
#include "provider/cost.h"
#include "relay/budget.h"

#define CENT_OF_CENT_TICKS (TICKS_PER_USD / 10000)

static void replace(char **field, struct str value)
{
	free(*field);
	*field = str_dup(value);
}

static int64_t number(const struct json *obj, const char *key)
{
	int64_t n = 0;
	(void)json_int(json_get(obj, key), &n);
	return n;
}

static bool is_true(const struct json *obj, const char *key)
{
	bool b = false;
	return json_bool(json_get(obj, key), &b) && b;
}

/* ---- while it waits ---------------------------------------------------------------------------------------------- */

static const char *limit_text(struct str why)
{
	static const char *const names[][2] = {{"requests", "requests"},
					       {"tokens", "tokens"},
					       {"input_tokens", "tokens in"},
					       {"output_tokens", "tokens out"}};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(why, str_c(names[i][0]))) return names[i][1];
	return "calls";
}

static void tell_pacing(struct chat *c, struct chat_answer *a, const struct json *fields)
{
	const struct json *pacing = json_get(fields, "pacing");
	struct str why = cli_text(pacing, "why"), provider = cli_text(fields, "provider");
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int64_t at = 0;
	if (!time_parse(cli_text(pacing, "untilAt"), &at) || at == a->paced_at) return;
	a->paced_at = at;
	if (provider.n == 0) provider = STR("the provider");
	int64_t wait_s = (MAX(at - clock_wall_ms(), 0) + 999) / 1000;
	buf_addf(&b, "(waiting: %.*s ", (int)MIN(provider.n, (size_t)100), provider.p);
	if (str_eq(why, STR("circuit"))) buf_add_str(&b, STR("does not work and is left alone"));
	else buf_addf(&b, "takes no more %s this minute", limit_text(why));
	buf_addf(&b, "; next try in %lld s)", (long long)wait_s);
	buf_add_char(&b, '\0');
	chat_answer_note(c, a, b.p);
	buf_release(&b);
}

/* Who is to answer, and instead of whom. */
static void note_models(struct chat_answer *a, const struct json *fields)
{
	struct str model = cli_text(fields, "model"), serving = cli_text(fields, "servingModel");
	struct str asked = cli_text(fields, "modelAsked");
	bool is_fallback = asked.n > 0 && str_eq(cli_text(fields, "modelBy"), STR("fallback"));
	if (model.n == 0) return;
	replace(&a->asked, is_fallback ? asked : model);
	replace(&a->by, serving.n > 0 ? serving : model);
}

static bool is_instead(const struct chat_answer *a) { return a->by != NULL && strcmp(a->by, a->asked) != 0; }

static void tell_models(struct chat *c, struct chat_answer *a)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (!is_instead(a) || a->is_by_told) return;
	a->is_by_told = true;
	buf_addf(&b, "(%.200s is asked instead of %.200s)", a->by, a->asked);
	buf_add_char(&b, '\0');
	chat_answer_note(c, a, b.p);
	buf_release(&b);
}

void chat_why_again(const struct chat_answer *a, struct buf *out)
{
	if (a->tried > 0) buf_addf(out, ", attempt %lld", (long long)a->tried + 1);
	if (is_instead(a)) buf_addf(out, ", %.200s instead of %.200s", a->by, a->asked);
}

/* ---- when it is there -------------------------------------------------------------------------------------------- */

static void begin_remark(struct buf *b) { buf_add_str(b, b->n == 0 ? STR("(") : STR("; ")); }

static void add_context(struct buf *b, const struct json *context)
{
	int64_t n = number(context, "leftOut");
	bool is_cut = is_true(context, "cut");
	if (context == NULL || (n == 0 && !is_cut)) return;
	begin_remark(b);
	if (n > 0) buf_addf(b, "%lld%s ", (long long)n, is_cut ? " or more" : "");
	buf_addf(b, "older %s %s", n == 1 ? "message" : "messages",
		 is_true(context, "summarised") ? "given as a summary" : "did not fit");
}

/* To four digits, which is what a person wants to know. */
static void add_cost(struct buf *b, const struct json *cost)
{
	int64_t ticks = number(cost, "ticks");
	if (ticks <= 0) return;
	begin_remark(b);
	if (ticks < CENT_OF_CENT_TICKS) {
		buf_add_str(b, STR("less than $0.0001"));
		return;
	}
	buf_add_str(b, is_true(cost, "partial")    ? STR("at least ")
		       : is_true(cost, "reported") ? STR("")
						   : STR("about "));
	budget_write(b, (ticks + CENT_OF_CENT_TICKS / 2) / CENT_OF_CENT_TICKS * CENT_OF_CENT_TICKS);
}

/* What it cost is for a person; a script reads it from the record, or from `roost usage`. */
static void tell_remarks(struct chat *c, struct chat_answer *a, const struct json *fields)
{
	const struct json *attempts = json_get(fields, "attempts"), *last = NULL;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (attempts == NULL || a->is_remarked) return; /* a push, which does not have them */
	a->is_remarked = true;
	for (struct json_iter it = json_iter(attempts); json_next(&it);) last = it.val;
	if (is_instead(a)) {
		begin_remark(&b);
		buf_addf(&b, "%.200s answered instead of %.200s", a->by, a->asked);
	}
	add_context(&b, json_get(last, "context"));
	if (is_true(last, "agentSessionLost")) {
		begin_remark(&b);
		buf_add_str(&b, STR("told the whole conversation again"));
	}
	if (c->screen != NULL) add_cost(&b, json_get(fields, "cost"));
	if (b.n > 0) {
		buf_add(&b, ")", 2);
		chat_answer_note(c, a, b.p);
	}
	buf_release(&b);
}

void chat_why(struct chat *c, struct chat_answer *a, const char *state, const struct json *fields)
{
	a->tried = MAX(a->tried, number(fields, "attempt"));
	note_models(a, fields);
	if (strcmp(state, "queued") == 0) {
		a->is_remarked = a->is_by_told = false; /* it may have been asked for again */
		tell_pacing(c, a, fields);
	} else if (strcmp(state, "claimed") == 0) {
		tell_models(c, a);
	} else if (strcmp(state, "done") == 0) {
		tell_remarks(c, a, fields);
	}
}
