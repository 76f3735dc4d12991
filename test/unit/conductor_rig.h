/* A conductor with a log in memory, agents that answer by a script, and a clock that is told. Events go through the lines
 * of an event file and back, so that what is replayed is what a file would have held. */
#ifndef ROOST_TEST_CONDUCTOR_RIG_H
#define ROOST_TEST_CONDUCTOR_RIG_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "event/lab_line.h"
#include "talk/rebuild.h"

#define RIG_EVENTS_MAX 4096

/* What was logged. */
struct rig_log {
	struct arena memory;
	struct lab_event list[RIG_EVENTS_MAX];
	size_t n;
};

/* The answer to a view; `text` into `b`. */
typedef struct str (*rig_script)(const struct conductor_view *view, struct conductor_step step, struct buf *b);

struct rig {
	struct conductor_agent agents[LAB_AGENTS_MAX];
	struct conductor_config config;
	struct conductor *c;
	struct rig_log log;
	struct conductor_clock now;
	rig_script script;
	struct str thinking;
	size_t nviews;
	struct arena memory; /* of views */
};

static inline void rig_log_release(struct rig_log *log)
{
	arena_clear(&log->memory);
	log->n = 0;
}

static inline void rig_event(void *ctx, struct lab_event *e)
{
	struct rig_log *log = ctx;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	assert_in_range(log->n, 0, RIG_EVENTS_MAX - 1);
	e->seq = (int64_t)log->n + 1;
	lab_line_write(&b, e, REDACT_NONE);
	assert_false(b.failed);
	struct str line = arena_str(&log->memory, str_n(b.p, b.n - 1));
	buf_release(&b);
	assert_int_equal(lab_line_read(&log->memory, line, &log->list[log->n++], NULL), OK);
}

/* "a0", "b0", "a1", …: short, and never alike. */
static inline struct str rig_counts(const struct conductor_view *view, struct conductor_step step, struct buf *b)
{
	(void)view;
	(void)buf_addf(b, "%c%lld", 'a' + step.agent, (long long)step.turn);
	return buf_str(b);
}

/* Says what it was given, in a hash: agents that saw something else say something else. */
static inline struct str rig_mirrors(const struct conductor_view *view, struct conductor_step step, struct buf *b)
{
	char hex[SHA256_HEX_LEN + 1];
	hex_encode(view->sha256, SHA256_LEN, hex);
	(void)buf_addf(b, "%c%lld of %zu: %s", 'a' + step.agent, (long long)step.turn, view->n, hex);
	return buf_str(b);
}

static inline void rig_init(struct rig *r, size_t nagents)
{
	static const char *const names[] = {"Ada", "Ben", "Cleo", "Dan", "Eve", "Fay", "Gus", "Hal"};
	memset(r, 0, sizeof *r);
	for (size_t i = 0; i < nagents; i++) {
		r->agents[i] = (struct conductor_agent){.model = STR("local:test"),
							.model_title = STR("Test"),
							.name = str_c(names[i]),
							.family = STR("local"),
							.temperature = (double)NAN,
							.thinking_budget = INT64_MIN};
	}
	r->config = (struct conductor_config){.id = STR("conv_00000001"),
					      .experiment_id = STR("exp_1"),
					      .agents = r->agents,
					      .nagents = nagents,
					      .prompt = STR("Talk."),
					      .max_turns = 3,
					      .threshold = (double)NAN,
					      .seed = 42};
	r->script = rig_counts;
	r->now = (struct conductor_clock){1000000, 1000};
}

static inline void rig_start(struct rig *r) { r->c = conductor_new(&r->config, rig_event, &r->log); }

static inline void rig_stop(struct rig *r)
{
	conductor_free(r->c);
	r->c = NULL;
	rig_log_release(&r->log);
	arena_clear(&r->memory);
}

/* A conductor that has seen the first n events of a log, and a log of its own that begins with them. */
static inline void rig_restart(struct rig *r, const struct rig_log *from, size_t n)
{
	rig_start(r);
	for (size_t i = 0; i < n; i++) {
		if (!conductor_replay(r->c, &from->list[i]))
			fail_msg("event %zu, %s, is refused", i, lab_rows[from->list[i].type].name);
		struct lab_event e = from->list[i];
		rig_event(&r->log, &e);
	}
}

static inline struct conductor_step rig_next(struct rig *r)
{
	r->now.wall_us += 1000;
	r->now.boot_ms += 1;
	return conductor_next(r->c, r->now);
}

static inline struct conductor_answer rig_answer(struct str text)
{
	return (struct conductor_answer){.text = text,
					 .input_tokens = 7,
					 .output_tokens = 3,
					 .thinking_tokens = INT64_MIN,
					 .cache_read_tokens = INT64_MIN,
					 .cache_write_tokens = INT64_MIN,
					 .cost_ticks = INT64_MIN,
					 .provider = STR("local"),
					 .duration_ms = 5,
					 .first_token_ms = 2,
					 .tokens_per_minute_limit = INT64_MIN,
					 .usage_rate = (double)NAN};
}

/* Asks: the view is made and told. False when it did not fit. */
static inline bool rig_ask(struct rig *r, struct conductor_view *view)
{
	if (conductor_view(r->c, &r->memory, r->now, view) != OK) return false;
	conductor_asked(r->c, 1, view, r->now);
	r->nviews++;
	return true;
}

static inline void rig_reply(struct rig *r, struct str text)
{
	struct conductor_answer a = rig_answer(text);
	a.thinking = r->thinking;
	conductor_answered(r->c, &a, r->now);
}

/* One message, or nothing when none is due. What came instead is returned. */
static inline struct conductor_step rig_message(struct rig *r)
{
	struct conductor_view view;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct conductor_step step = rig_next(r);
	if (step.what == CONDUCTOR_CALL && rig_ask(r, &view)) rig_reply(r, r->script(&view, step, &b));
	buf_release(&b);
	return step;
}

/* To the end, or to a pause. */
static inline void rig_run(struct rig *r)
{
	while (rig_message(r).what == CONDUCTOR_CALL) continue;
}

/* ---- what is in a log -------------------------------------------------------------------------------------------- */

static inline size_t log_count(const struct rig_log *log, enum lab_type type)
{
	size_t n = 0;
	for (size_t i = 0; i < log->n; i++) n += log->list[i].type == type;
	return n;
}

/* The i-th event of a type, from 0. */
static inline const struct lab_event *log_find(const struct rig_log *log, enum lab_type type, size_t i)
{
	for (size_t k = 0; k < log->n; k++)
		if (log->list[k].type == type && i-- == 0) return &log->list[k];
	fail_msg("there is no such %s", lab_rows[type].name);
	return NULL;
}

static inline void assert_str(struct str got, const char *want)
{
	if (!str_eq(got, str_c(want))) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(got), want);
}

/* All messages, one a line: "a0 text", injected ones "a<0 text", the human's "- text". */
static inline void write_messages(const struct conductor *c, struct buf *b)
{
	for (size_t i = 0; i < conductor_messages(c); i++) {
		struct inherited m = conductor_message(c, i);
		if (m.agent < 0) (void)buf_add_char(b, '-');
		else (void)buf_addf(b, "%c%s%lld", 'a' + m.agent, m.is_injected ? "<" : "", (long long)m.turn);
		(void)buf_addf(b, " %.*s\n", STR_ARG(m.text));
	}
}

/* A view, one message a line: "user text". Its hash is over these messages and nothing else. */
static inline void assert_view(const struct conductor_view *view, const char *want)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT), whole = BUF_INIT(BUF_NO_LIMIT);
	unsigned char sha[SHA256_LEN];
	for (size_t i = 0; i < view->n; i++) {
		(void)buf_add_str(&whole, talk_role_name(view->list[i].role));
		(void)buf_add_char(&whole, 0);
		(void)buf_add_str(&whole, view->list[i].text);
		(void)buf_add_char(&whole, 0);
	}
	sha256(buf_str(&whole), sha);
	buf_release(&whole);
	assert_memory_equal(sha, view->sha256, sizeof sha);
	for (size_t i = 0; i < view->n; i++) {
		struct str role = talk_role_name(view->list[i].role);
		(void)buf_addf(&b, "%.*s %.*s\n", STR_ARG(role), STR_ARG(view->list[i].text));
	}
	assert_str(buf_str(&b), want);
	buf_release(&b);
}

/* Every request of the log can be made again from the log alone. */
static inline size_t assert_rebuilds(const struct rig_log *log)
{
	struct rebuild *b = rebuild_new();
	struct arena memory = {0};
	struct conductor_view view;
	struct errinfo info = {0};
	size_t n = 0;
	for (size_t i = 0; i < log->n; i++) {
		const struct lab_event *e = &log->list[i];
		if (rebuild_event(b, e, &info) != OK) fail_msg("%s", info.text);
		if (e->type != LE_MESSAGE_REQUEST) continue;
		if (rebuild_request(b, e, &memory, &view, &info) != OK) fail_msg("%s", info.text);
		n++;
	}
	arena_clear(&memory);
	rebuild_free(b);
	return n;
}

#endif
