/* Events for tests: one of each type with every field set, and their comparison. */
#ifndef TEST_UNIT_LAB_GEAR_H
#define TEST_UNIT_LAB_GEAR_H

#include "event/lab_line.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SAMPLE_US 1767323045678901 /* 2026-01-02T03:04:05.678901Z */

static const struct lab_message sample_message = {
	.role = STR_INIT("assistant"),
	.content = STR_INIT(
		"canary message \"\\\n\t\r\b\x01\x1f\x7f \xe2\x80\xa8\xe2\x80\xa9 gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0 \xf0\x9f\x90\xa6"),
	.agent_id = STR_INIT("agent_a"),
	.at_us = SAMPLE_US + 1,
};
static const struct lab_agent sample_agent = {
	.id = STR_INIT("agent_b"),
	.model = STR_INIT("local:test"),
	.display_name = STR_INIT("canary name"),
	.model_display_name = STR_INIT("Test"),
	.temperature = 0.1,
	.thinking_enabled = true,
	.thinking_budget = 2048,
};

enum sample { SAMPLE_SET, SAMPLE_NULL, SAMPLE_ABSENT };

/* A value of that kind which is different for every `i`. */
static inline struct lab_value sample_value(enum lab_kind kind, size_t i)
{
	static const struct str texts[] = {STR_INIT("canary \xf0\x9f\x90\xa6 one"), STR_INIT("canary\ntwo"),
					   STR_INIT("")};
	static const struct str json[] = {STR_INIT("{\"n\":1.50,\"list\":[1,null,\"a\\nb\"]}"), STR_INIT("[]")};
	static const double reals[] = {0.1, -1e300, 0, 12345678901234.5};
	switch (kind) {
	case LK_TEXT: return lv_str(texts[i % ARRAY_LEN(texts)]);
	case LK_STR:
	case LK_HASH: return lv_str(i % 2 == 0 ? STR("plain \"\\ \xc3\xa9") : STR("other"));
	case LK_INT: return lv_int(i % 2 == 0 ? INT64_MAX - (int64_t)i : -(int64_t)i);
	case LK_REAL: return lv_real(reals[i % ARRAY_LEN(reals)]);
	case LK_BOOL: return lv_bool(i % 2 == 0);
	case LK_JSON: return lv_json(json[i % ARRAY_LEN(json)]);
	case LK_MESSAGE: return lv_message(&sample_message);
	case LK_AGENT: return lv_agent(&sample_agent);
	}
	return (struct lab_value){.is = LV_ABSENT};
}

/* An event whose fields are all as `how` says, but for the one at `other`, which is set. */
static inline struct lab_event sample_event(enum lab_type type, enum sample how, size_t other)
{
	struct lab_event e = {
		.type = type, .at_us = SAMPLE_US, .seq = 7, .experiment_id = STR_INIT("experiment_1a2b3c4d")};
	const struct lab_row *row = &lab_rows[type];
	for (size_t i = 0; i < row->nfields; i++) {
		if (how == SAMPLE_SET || i == other) e.v[i] = sample_value(row->fields[i].kind, i);
		else e.v[i].is = how == SAMPLE_NULL ? LV_NULL : LV_ABSENT;
		if (strcmp(row->fields[i].name, "experiment_id") != 0) continue;
		e.experiment_id = e.v[i].is == LV_STR ? e.v[i].u.s : STR_NONE;
	}
	return e;
}

static inline void assert_str(struct str a, struct str b)
{
	if (str_eq(a, b) && (a.p == NULL) == (b.p == NULL)) return;
	print_error("\"%.*s\"\nis not\n\"%.*s\"\n", STR_ARG(a), STR_ARG(b));
	fail();
}

static inline void assert_real(double a, double b)
{
	bool is_same = isnan(a) ? isnan(b) : a >= b && a <= b;
	if (!is_same) fail_msg("%.17g is not %.17g", a, b);
}

static inline void assert_same_value(const struct lab_value *a, const struct lab_value *b)
{
	assert_int_equal(a->is, b->is);
	switch (a->is) {
	case LV_ABSENT:
	case LV_NULL: return;
	case LV_STR:
	case LV_JSON: assert_str(a->u.s, b->u.s); return;
	case LV_INT: assert_int_equal(a->u.i, b->u.i); return;
	case LV_REAL: assert_real(a->u.r, b->u.r); return;
	case LV_BOOL: assert_int_equal(a->u.b, b->u.b); return;
	case LV_MESSAGE:
		assert_str(a->u.message->role, b->u.message->role);
		assert_str(a->u.message->content, b->u.message->content);
		assert_str(a->u.message->agent_id, b->u.message->agent_id);
		assert_int_equal(a->u.message->at_us, b->u.message->at_us);
		return;
	case LV_AGENT:
		assert_str(a->u.agent->id, b->u.agent->id);
		assert_str(a->u.agent->model, b->u.agent->model);
		assert_str(a->u.agent->display_name, b->u.agent->display_name);
		assert_str(a->u.agent->model_display_name, b->u.agent->model_display_name);
		assert_real(a->u.agent->temperature, b->u.agent->temperature);
		assert_int_equal(a->u.agent->thinking_enabled, b->u.agent->thinking_enabled);
		assert_int_equal(a->u.agent->thinking_budget, b->u.agent->thinking_budget);
	}
}

static inline void assert_same_event(const struct lab_event *a, const struct lab_event *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->at_us, b->at_us);
	assert_int_equal(a->seq, b->seq);
	assert_str(a->experiment_id, b->experiment_id);
	for (size_t i = 0; i < LAB_FIELDS_MAX; i++) assert_same_value(&a->v[i], &b->v[i]);
}

#endif
