/* Whole runs in one process: a loop, local providers, a scratch directory, and somebody who does something at the n-th
 * event. What the files hold afterwards is read back and must be consistent however the run ended. */
#ifndef TEST_UNIT_RUN_RIG_H
#define TEST_UNIT_RUN_RIG_H

#include <math.h>
#include <sys/resource.h>
#include <uv.h>

#include "base/hash.h"
#include "host/config.h"
#include "lab/run_priv.h"
#include "unit/experiment_gear.h"

#define RIG_CONVERSATIONS 64
#define RIG_HANG_MS 20000

struct rig {
	uv_loop_t loop;
	struct config config;
	struct providers *providers;
	struct catalog *catalog;
	struct spec spec;
	struct place place;
	struct run *run;
	int64_t sync_ms;

	/* What is done when: at event number `at` (from 1), or at the first one of a type. */
	void (*act)(struct rig *r, size_t conversation, const struct lab_event *e);
	void (*watch)(struct rig *r, size_t conversation, const struct lab_event *e); /* each event */
	size_t at;
	enum lab_type at_type; /* when `at` is 0 */
	bool acted;

	size_t nevents, count[LAB_TYPE_COUNT], turns_of_loop;
	bool ended;
	uv_timer_t hang, later;
	uv_check_t check;
	enum err error;
	struct errinfo info;
};

/* ---- providers and specs ---------------------------------------------------------------------------------------- */

static const struct provider_config rig_providers[] = {
	{.name = "one", .dialect = "local", .concurrency = 1},
	{.name = "rare", .dialect = "local", .requests_per_minute = 1},
	{.name = "mute", .dialect = "silent"},
};

static void rig_open(struct rig *r)
{
	*r = (struct rig){.sync_ms = 1000};
	config_init(&r->config);
	r->config.limits.backoff_ms = 2;
	r->config.limits.backoff_max_ms = 4;
	assert_int_equal(uv_loop_init(&r->loop), 0);
	assert_int_equal(providers_new(&r->loop, &r->config.limits, rig_providers, ARRAY_LEN(rig_providers),
				       &r->providers, &info),
			 OK);
	const char *own = in_scratch("models.json");
	struct catalog_options o = {.providers = r->providers, .own_path = own, .default_model = "", .fallback = NULL};
	assert_int_equal(catalog_new(&o, &r->catalog, &info), OK);
}

/* The experiment: a name for its directory, and its spec. */
static void rig_spec(struct rig *r, const char *yaml)
{
	struct spec *list = NULL;
	size_t n = 0;
	bool is_remote[LAB_AGENTS_MAX] = {false};
	spec_release(&r->spec);
	if (spec_parse(str_c(yaml), "/x/spec.yaml", &r->config, &list, &n, &info) != OK) fail_msg("%s", info.text);
	r->spec = list[0];
	free(list);
	spec_agents(&r->spec, STR("local:test"));
	for (size_t i = 0; i < r->spec.nagents; i++) r->spec.agents[i].model = r->spec.agents[i].asked;
	assert_int_equal(spec_complete(&r->spec, is_remote, &info), OK);
}

static void rig_place(struct rig *r, const char *name)
{
	place_release(&r->place);
	assert_int_equal(place_make(scratch, str_c(name), &r->place, &info), OK);
}

static void rig_close(struct rig *r)
{
	if (r->run != NULL) return; /* a test that failed in the middle: its loop would never end */
	catalog_stop(r->catalog);
	providers_free(r->providers);
	while (uv_loop_close(&r->loop) == UV_EBUSY) uv_run(&r->loop, UV_RUN_ONCE);
	catalog_free(r->catalog);
	spec_release(&r->spec);
	place_release(&r->place);
	config_release(&r->config);
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static void rig_event(void *ctx, size_t conversation, const struct lab_event *e)
{
	struct rig *r = ctx;
	r->nevents++;
	r->count[e->type]++;
	assert_false(r->ended);
	if (r->watch != NULL) r->watch(r, conversation, e);
	if (r->acted || r->act == NULL || (r->at > 0 ? r->nevents != r->at : e->type != r->at_type)) return;
	r->acted = true;
	r->act(r, conversation, e);
}

static void rig_ended(void *ctx)
{
	struct rig *r = ctx;
	assert_false(r->ended);
	r->ended = true;
}

static void rig_on_hang(uv_timer_t *t)
{
	struct rig *r = t->data;
	fail_msg("the run does not end: %zu events, act at %zu", r->nevents, r->at);
}

static void rig_on_check(uv_check_t *c) { ((struct rig *)c->data)->turns_of_loop++; }

static enum err rig_new(struct rig *r, bool resume)
{
	struct run_options o = {.loop = &r->loop,
				.limits = &r->config.limits,
				.providers = r->providers,
				.catalog = r->catalog,
				.spec = &r->spec,
				.place = &r->place,
				.resume = resume,
				.chunks = true,
				.sync_ms = r->sync_ms,
				.hooks = {rig_event, rig_ended},
				.ctx = r};
	r->nevents = r->turns_of_loop = 0;
	memset(r->count, 0, sizeof r->count);
	r->ended = r->acted = false;
	info = (struct errinfo){0};
	return run_new(&o, &r->run, &info);
}

/* From run_start to the end. The run stays, for who wants to look at it; rig_free. */
static void rig_go(struct rig *r)
{
	uv_timer_init(&r->loop, &r->hang);
	uv_timer_init(&r->loop, &r->later);
	uv_check_init(&r->loop, &r->check);
	r->hang.data = r->later.data = r->check.data = r;
	uv_timer_start(&r->hang, rig_on_hang, RIG_HANG_MS, 0);
	uv_check_start(&r->check, rig_on_check);
	run_start(r->run);
	while (!r->ended) uv_run(&r->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&r->hang, NULL);
	uv_close((uv_handle_t *)&r->later, NULL);
	uv_close((uv_handle_t *)&r->check, NULL);
	r->error = run_error(r->run, &r->info);
}

static void rig_free(struct rig *r)
{
	run_free(r->run);
	r->run = NULL;
	uv_run(&r->loop, UV_RUN_NOWAIT);
}

static void rig_run(struct rig *r, bool resume)
{
	if (rig_new(r, resume) != OK) fail_msg("%s", info.text);
	rig_go(r);
	rig_free(r);
}

/* ---- what is in the files --------------------------------------------------------------------------------------- */

struct told_file {
	int64_t lines, requests, attempt, retries, errors, turns, messages, tokens;
	bool in_request, has_end, stopped, cut;
	char status[20], reason[32];
	uint64_t texts; /* a hash of all messages */
	struct lab_file_end end;
};

static enum err rig_on_line(void *ctx, const struct lab_event *e)
{
	struct told_file *f = ctx;
	f->lines++;
	assert_int_equal(e->seq, f->lines);
	f->has_end = e->type == LE_CONVERSATION_END;
	switch (e->type) {
	case LE_MESSAGE_REQUEST:
		assert_false(f->stopped);
		f->requests++;
		f->attempt = lab_int(e, LF(MessageRequestEvent, attempt), 0);
		f->retries += f->attempt > 1;
		break;
	case LE_INTERRUPT_REQUEST:
		f->stopped = str_eq(lab_str(e, LF(InterruptRequestEvent, interrupt_source)), STR("user"));
		break;
	case LE_CONVERSATION_PAUSED:
	case LE_CONVERSATION_RESUMED: f->stopped = false; break;
	case LE_API_ERROR:
		assert_int_equal(lab_int(e, LF(APIErrorEvent, retry_count), -1), f->attempt - 1);
		f->errors++;
		break;
	case LE_TURN_COMPLETE: f->turns++; break;
	case LE_TOKEN_USAGE: f->tokens += lab_int(e, LF(TokenUsageEvent, tokens_used), 0); break;
	case LE_MESSAGE_COMPLETE:
		f->messages++;
		f->texts = hash64(lab_message(e, LF(MessageCompleteEvent, message))->content, f->texts);
		break;
	case LE_MESSAGE_CHUNK: fail(); break;
	case LE_CONVERSATION_END:
		assert_true(str_copy(lab_str(e, LF(ConversationEndEvent, status)), f->status, sizeof f->status));
		assert_true(str_copy(lab_str(e, LF(ConversationEndEvent, reason)), f->reason, sizeof f->reason));
		break;
	default: break;
	}
	return OK;
}

static const char *rig_path(const struct rig *r, const char *id)
{
	static char path[512];
	snprintf(path, sizeof path, "%s/events_%s.jsonl", r->place.dir, id);
	return path;
}

static enum err rig_file(const struct rig *r, const char *id, struct told_file *f)
{
	*f = (struct told_file){0};
	enum err e = lab_file_read(rig_path(r, id), 0, rig_on_line, f, &f->end, &info);
	assert_true(e == OK || e == ERR_NOT_FOUND);
	return e;
}

/* The manifest and the files of a run that has ended say the same. Returns the manifest; release it. */
static struct manifest rig_verify(const struct rig *r)
{
	struct manifest m;
	struct manifest_tokens sum = {0};
	manifest_init(&m);
	if (manifest_load(&m, r->place.dir, true, &info) != OK) fail_msg("%s", info.text);
	assert_int_equal(m.pid, 0);
	assert_int_equal(m.count[LAB_RUNNING], 0);
	assert_true(m.completed_ms > 0);
	for (size_t i = 0; i < m.n; i++) {
		const struct manifest_conversation *c = &m.list[i];
		struct told_file f;
		int64_t tokens = 0;
		if (rig_file(r, c->id, &f) == ERR_NOT_FOUND) {
			assert_int_equal(c->status, LAB_CREATED);
			continue;
		}
		assert_int_equal(f.end.bad_lines, 0);
		assert_int_equal(f.end.torn_bytes, 0);
		assert_true(f.has_end);
		assert_string_equal(lab_status_name(c->status), f.status);
		assert_string_equal(c->reason, f.reason);
		assert_int_equal(c->lines, f.lines);
		assert_int_equal(c->turns, f.turns);
		assert_int_equal(c->messages, f.messages);
		assert_int_equal(c->errors, f.errors);
		assert_int_equal(c->retries, f.retries);
		for (size_t k = 0; k < m.nagents; k++) {
			tokens += c->tokens[k].prompt + c->tokens[k].completion;
			manifest_tokens_add(&sum, &c->tokens[k]);
		}
		assert_int_equal(tokens, f.tokens);
	}
	assert_int_equal(m.total.prompt, sum.prompt);
	assert_int_equal(m.total.completion, sum.completion);
	assert_int_equal(m.total.cost_ticks, sum.cost_ticks);
	return m;
}

/* Ended so. */
static void rig_verify_as(const struct rig *r, enum experiment_status status)
{
	struct manifest m = rig_verify(r);
	assert_string_equal(experiment_status_name(m.status), experiment_status_name(status));
	manifest_release(&m);
}

/* What was said, in all conversations. */
static uint64_t rig_texts(const struct rig *r)
{
	struct manifest m;
	uint64_t all = 0;
	manifest_init(&m);
	assert_int_equal(manifest_load(&m, r->place.dir, true, &info), OK);
	for (size_t i = 0; i < m.n; i++) {
		struct told_file f;
		assert_int_equal(rig_file(r, m.list[i].id, &f), OK);
		all = all * 31 + f.texts;
	}
	manifest_release(&m);
	return all;
}

#endif
