/* One conversation of a run: its conductor says what is next; here it is done.
 *
 * A message goes through: its view is made; a place in the line (talk/pace.h); the call; when that fails, talk/turn.h says
 * whether and when it is tried again, from a new place in the line. What a failed attempt said is never used. What follows
 * an answer is done in the call's own callback, but for the next call: the run's pump begins that. */
#include "base/clock.h"
#include "base/hash.h"
#include "lab/run_priv.h"
#include "provider/models.h"
#include "talk/retry.h"

/* ---- events ----------------------------------------------------------------------------------------------------- */

static void note_pause(struct talker *t, enum lab_type type)
{
	bool is_paused = type == LE_CONVERSATION_PAUSED;
	bool is_other = type != LE_CONVERSATION_RESUMED && type != LE_CONVERSATION_END;
	if (t->is_paused == is_paused || (!is_paused && is_other)) return;
	t->is_paused = is_paused;
	if (is_paused) t->run->npaused++;
	else t->run->npaused--;
	run_wake(t->run);
}

static void on_event(void *ctx, struct lab_event *e)
{
	struct talker *t = ctx;
	struct run *r = t->run;
	if (e->at_us == 0) e->at_us = run_clock().wall_us;
	if (t->log != NULL) (void)lab_log_add(t->log, e);
	told(r, t->index, e);
	note_pause(t, e->type);
	if (r->o.hooks.event != NULL) r->o.hooks.event(r->o.ctx, t->index, e);
}

static struct str own_id(const struct talker *t) { return str_c(t->run->manifest.list[t->index].id); }

static struct str provider_of(const struct talker *t)
{
	return providers_name(t->run->o.providers, t->run->agents[t->agent].provider);
}

/* Displays see text as it comes; files do not. */
static void tell_chunk(struct talker *t, struct str text)
{
	struct run *r = t->run;
	struct lab_event e = {.type = LE_MESSAGE_CHUNK, .at_us = run_clock().wall_us};
	if (!r->o.chunks || r->o.hooks.event == NULL) return;
	e.v[LF(MessageChunkEvent, conversation_id)] = lv_str(own_id(t));
	e.v[LF(MessageChunkEvent, agent_id)] = lv_str(str_c(lab_agent_ids[t->agent]));
	e.v[LF(MessageChunkEvent, chunk)] = lv_str(text);
	e.v[LF(MessageChunkEvent, chunk_index)] = lv_int(t->chunks++);
	e.v[LF(MessageChunkEvent, elapsed_ms)] = lv_int(clock_boot_us() / 1000 - t->asked_us / 1000);
	r->o.hooks.event(r->o.ctx, t->index, &e);
}

static void tell_error(struct talker *t, const struct call_outcome *o, int64_t next_try_ms)
{
	struct lab_event e = {.type = LE_API_ERROR};
	if (o->fail == FAIL_TIMEOUT) {
		e.type = LE_PROVIDER_TIMEOUT;
		e.v[LF(ProviderTimeoutEvent, conversation_id)] = lv_str(own_id(t));
		e.v[LF(ProviderTimeoutEvent, error_type)] = lv_str(str_c(fail_name(o->fail)));
		e.v[LF(ProviderTimeoutEvent, error_message)] = lv_str(str_c(err_sentence(&o->info, o->err)));
		e.v[LF(ProviderTimeoutEvent, agent_id)] = lv_str(str_c(lab_agent_ids[t->agent]));
		e.v[LF(ProviderTimeoutEvent, provider)] = lv_str(provider_of(t));
		e.v[LF(ProviderTimeoutEvent, timeout_seconds)] =
			lv_real((double)(run_now().wall_ms - t->turn.times.claimed) / 1000);
	} else {
		e.v[LF(APIErrorEvent, conversation_id)] = lv_str(own_id(t));
		e.v[LF(APIErrorEvent, error_type)] = lv_str(str_c(fail_name(o->fail)));
		e.v[LF(APIErrorEvent, error_message)] = lv_str(str_c(err_sentence(&o->info, o->err)));
		e.v[LF(APIErrorEvent, agent_id)] = lv_str(str_c(lab_agent_ids[t->agent]));
		e.v[LF(APIErrorEvent, provider)] = lv_str(provider_of(t));
		e.v[LF(APIErrorEvent, error_code)] = lv_str(str_c(err_code(o->err)));
		e.v[LF(APIErrorEvent, retryable)] = lv_bool(next_try_ms >= 0);
		e.v[LF(APIErrorEvent, retry_count)] = lv_int(t->turn.attempt - 1);
		e.v[LF(APIErrorEvent, next_try_ms)] = lv_int(next_try_ms >= 0 ? next_try_ms : INT64_MIN);
		e.v[LF(APIErrorEvent, partial_bytes)] = lv_int((int64_t)t->turn.said[TURN_TEXT].n);
	}
	conductor_tell(t->conductor, &e);
}

static int64_t known_or_not(int64_t n) { return n >= 0 ? n : INT64_MIN; }

/* What a call used, as the conductor is told it, with what is on the model's account. */
static struct conductor_answer usage_of(const struct talker *t, const struct call_usage *u)
{
	int64_t limit, used;
	pace_tokens(t->run->agents[t->agent].gate, run_now().boot_ms, &limit, &used);
	return (struct conductor_answer){.input_tokens = known_or_not(u->input_tokens),
					 .output_tokens = known_or_not(u->output_tokens),
					 .thinking_tokens = known_or_not(u->thinking_tokens),
					 .cache_read_tokens = known_or_not(u->cache_read_tokens),
					 .cache_write_tokens = known_or_not(u->cache_write_tokens),
					 .cost_ticks = known_or_not(u->cost_ticks),
					 .is_estimated = u->estimated,
					 .cost_reported = u->is_billed,
					 .provider = provider_of(t),
					 .tokens_per_minute_limit = limit > 0 ? limit : INT64_MIN,
					 .usage_rate = (double)used};
}

/* What a failed attempt cost is spent all the same. */
static void tell_spent(struct talker *t, const struct call_usage *u)
{
	struct conductor_answer a = usage_of(t, u);
	conductor_spent(t->conductor, &a, run_clock());
}

/* ---- a message -------------------------------------------------------------------------------------------------- */

static void message_over(struct talker *t)
{
	t->phase = TALKER_IDLE;
	turn_release(&t->turn);
	arena_clear(&t->memory);
}

static void enter_line(struct talker *t)
{
	const struct run_agent *a = &t->run->agents[t->agent];
	t->phase = TALKER_WAITS;
	t->mark = lab_writer_mark(t->run->writer);
	pace_wait(t->run->pace, a->gate, &t->place, t->view.tokens, charge_answer_tokens(a->max_tokens));
	run_wake(t->run);
}

static void fail_for_good(struct talker *t, const struct call_outcome *o)
{
	const char *reason = o->fail == FAIL_TIMEOUT   ? "timeout"
			     : retry_is_ride(o->fail)  ? "rate_limit"
			     : o->fail == FAIL_CONTEXT ? "context_limit_reached"
						       : "api_error";
	struct run *r = t->run;
	if (r->error == OK) {
		r->error = o->err;
		r->info = o->info;
	}
	message_over(t);
	conductor_failed(t->conductor, reason, str_c(err_sentence(&o->info, o->err)), run_clock());
}

static void on_backoff(uv_timer_t *timer)
{
	struct talker *t = timer->data;
	if (t->phase == TALKER_BACKS_OFF) enter_line(t);
}

static void on_failed(struct talker *t, const struct call_outcome *o)
{
	struct run *r = t->run;
	struct turn_end end = {o->fail, o->retryable, o->info.retry_after_ms, false};
	struct now now = run_now();
	bool falls_back;
	const char *why;
	enum turn_phase p = turn_ended(&t->turn, &end, r->o.limits, &r->rng, now, &falls_back, &why);
	int64_t wait_ms = p == TURN_BACKOFF && !r->stopping ? MAX(t->turn.retry_boot_ms - now.boot_ms, 0) : -1;
	tell_error(t, o, wait_ms);
	tell_spent(t, &o->usage);
	if (wait_ms >= 0) {
		t->phase = TALKER_BACKS_OFF;
		uv_timer_start(&t->backoff, on_backoff, (uint64_t)wait_ms, 0);
	} else if (r->stopping && p == TURN_BACKOFF) {
		message_over(t);
		conductor_cut(t->conductor, STR(""), run_clock());
	} else {
		fail_for_good(t, o);
	}
}

static void on_complete(struct talker *t, const struct call_outcome *o)
{
	struct run *r = t->run;
	struct now now = run_now();
	struct conductor_answer a = usage_of(t, &o->usage);
	a.text = buf_str(&t->turn.said[TURN_TEXT]);
	a.thinking = buf_str(&t->turn.said[TURN_THINKING]);
	a.finish_reason = o->finish_reason;
	a.request_id = o->request_id;
	a.duration_ms = (clock_boot_us() - t->asked_us) / 1000;
	a.first_token_ms =
		t->turn.times.first_token > 0 ? t->turn.times.first_token - t->turn.times.claimed : INT64_MIN;
	(void)turn_ended(&t->turn, &(struct turn_end){0}, r->o.limits, &r->rng, now, &(bool){false},
			 &(const char *){NULL});
	t->phase = TALKER_IDLE;
	conductor_answered(t->conductor, &a, run_clock());
	message_over(t);
}

static void on_done(void *ctx, const struct call_outcome *o)
{
	struct talker *t = ctx;
	struct run *r = t->run;
	bool said = t->turn.said[TURN_TEXT].n + t->turn.said[TURN_THINKING].n > 0;
	t->call = NULL;
	if (o->agent_session.n > 0) (void)str_copy(o->agent_session, t->sessions[t->agent], AGENT_SESSIONS);
	pace_ended(r->pace, &t->place, o->fail, o->usage.input_tokens, o->usage.output_tokens, said, run_now().boot_ms);
	run_wake(r);
	if (o->err == OK) on_complete(t, o);
	else on_failed(t, o);
	if (t->phase == TALKER_IDLE) talker_step(t);
}

static void on_connected(void *ctx) { turn_connected(&((struct talker *)ctx)->turn, run_now()); }

static void on_rates(void *ctx, const struct rates *seen)
{
	struct talker *t = ctx;
	pace_learn(&t->place, seen, run_now().boot_ms);
}

static void on_text(void *ctx, enum stream_kind kind, struct str text)
{
	struct talker *t = ctx;
	int k = kind == STREAM_THINKING ? TURN_THINKING : TURN_TEXT;
	if (turn_said(&t->turn, k, text, run_now()) != OK) return; /* the call's own limit is the same */
	if (k == TURN_TEXT) tell_chunk(t, text);
}

/* A session of a command-line agent goes on where the same agent of the same conversation ended. */
static struct str sessions_json(struct talker *t)
{
	struct buf b = BUF_INIT(4096);
	struct jw w = JW(&b);
	if (t->sessions[t->agent][0] == '\0') return STR("");
	jw_obj(&w);
	jw_key_str(&w, provider_of(t));
	jw_str(&w, str_c(t->sessions[t->agent]));
	jw_obj_end(&w);
	struct str text = arena_str(&t->memory, buf_str(&b));
	buf_release(&b);
	return text;
}

/* The agent's parameters, and what only this message has. */
static struct str params_of(struct talker *t)
{
	const struct run_agent *a = &t->run->agents[t->agent];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (!a->takes_seed) return a->params;
	buf_addf(&b, "{\"seed\":%llu%s", (unsigned long long)t->view.seed, a->params.n > 2 ? "," : "");
	buf_add_str(&b, str_n(a->params.p + 1, a->params.n - 1));
	struct str text = arena_str(&t->memory, buf_str(&b));
	buf_release(&b);
	return text;
}

void talker_go(struct talker *t)
{
	static const struct call_hooks hooks = {
		.connected = on_connected, .rates = on_rates, .text = on_text, .done = on_done};
	struct run *r = t->run;
	struct prompt_message *list = arena_alloc(&t->memory, xmul(MAX(t->view.n, (size_t)1), sizeof *list));
	char name[64];
	for (size_t i = 0; i < t->view.n; i++)
		list[i] = (struct prompt_message){talk_role_name(t->view.list[i].role), t->view.list[i].text,
						  t->view.list[i].parts};
	snprintf(name, sizeof name, "%s-%s", r->manifest.list[t->index].id, lab_agent_ids[t->agent]);
	turn_begin(&t->turn, t->turn.attempt + 1, run_now());
	conductor_asked(t->conductor, t->turn.attempt, &t->view, run_clock());
	t->phase = TALKER_CALLS;
	t->chunks = 0;
	struct call_spec spec = {.model = r->o.spec->agents[t->agent].model,
				 .messages = list,
				 .nmessages = t->view.n,
				 .params = params_of(t),
				 .data_dir = STR(""),
				 .seed = t->view.seed,
				 .attempt = t->turn.attempt,
				 .conversation = str_c(name),
				 .agent_sessions = sessions_json(t)};
	t->call = provider_call_start(r->o.providers, &spec, &hooks, t);
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static void begin_message(struct talker *t, const struct conductor_step *s)
{
	t->agent = s->agent;
	t->turn_number = s->turn;
	if (conductor_view(t->conductor, &t->memory, run_clock(), &t->view) != OK) {
		arena_clear(&t->memory);
		return; /* the conversation has ended */
	}
	turn_init(&t->turn, 0, 0, t->run->o.limits);
	t->asked_us = clock_boot_us();
	enter_line(t);
}

void talker_step(struct talker *t)
{
	struct conductor_step s;
	do {
		s = conductor_next(t->conductor, run_clock());
		if (s.what == CONDUCTOR_CALL) begin_message(t, &s);
	} while (s.what == CONDUCTOR_CALL && t->phase == TALKER_IDLE);
	if (s.what == CONDUCTOR_ENDED) run_talker_ended(t->run, t);
}

/* What has not been asked for need not be. */
static void leave_line(struct talker *t)
{
	if (t->phase != TALKER_WAITS || t->turn.attempt > 0) return;
	run_release(t->run, t);
	pace_cut(t->run->pace, &t->place, false, run_now().boot_ms);
	message_over(t);
}

void talker_pause(struct talker *t)
{
	conductor_pause(t->conductor, run_clock());
	leave_line(t);
	if (t->phase == TALKER_IDLE) talker_step(t);
}

void talker_resume(struct talker *t)
{
	conductor_resume(t->conductor, run_clock());
	if (t->phase == TALKER_IDLE) talker_step(t);
}

/* What had come is spent. */
static void drop_call(struct talker *t)
{
	struct call_usage used;
	if (t->call == NULL) return;
	provider_call_used(t->call, &used);
	provider_call_cancel(t->call);
	t->call = NULL;
	tell_spent(t, &used);
}

void talker_stop(struct talker *t, bool cut)
{
	bool is_out = t->phase == TALKER_CALLS;
	conductor_stop(t->conductor, "user", run_clock());
	if (is_out && !cut) return; /* after its message */
	leave_line(t);
	if (t->phase != TALKER_IDLE) {
		drop_call(t);
		run_release(t->run, t);
		pace_cut(t->run->pace, &t->place, is_out, run_now().boot_ms);
		uv_timer_stop(&t->backoff);
		conductor_cut(t->conductor, is_out ? buf_str(&t->turn.said[TURN_TEXT]) : STR(""), run_clock());
		message_over(t);
	}
	talker_step(t);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static struct conductor *make_conductor(struct talker *t)
{
	struct run *r = t->run;
	const struct spec *s = r->o.spec;
	struct conductor_agent agents[LAB_AGENTS_MAX];
	char seed_of[64];
	for (size_t i = 0; i < s->nagents; i++) {
		const struct spec_agent *a = &s->agents[i];
		agents[i] = (struct conductor_agent){.model = a->model,
						     .model_title = r->agents[i].title,
						     .name = r->agents[i].title,
						     .system_prompt = a->prompt,
						     .provider = providers_name(r->o.providers, r->agents[i].provider),
						     .temperature = a->temperature,
						     .thinks = a->thinks,
						     .thinking_budget = a->thinking_budget,
						     .family = r->agents[i].family,
						     .window = r->agents[i].window,
						     .max_output = r->agents[i].max_output,
						     .max_tokens = r->agents[i].max_tokens};
	}
	snprintf(seed_of, sizeof seed_of, "conversation %zu", t->index);
	struct conductor_config c = {.id = own_id(t),
				     .experiment_id = r->manifest.experiment_id,
				     .agents = agents,
				     .nagents = s->nagents,
				     .prompt = s->prompt,
				     .prompt_tag = s->prompt_tag,
				     .max_turns = s->turns,
				     .threshold = s->threshold,
				     .action = s->action,
				     .weights = s->weights,
				     .profile = s->profile,
				     .choose_names = s->choose_names,
				     .allow_truncation = s->allow_truncation,
				     .injections = s->injections,
				     .ninjections = s->ninjections,
				     .seed = hash64(str_c(seed_of), r->manifest.seed) >> 1,
				     .config_json = r->conversation_config,
				     .inherited = s->inherited,
				     .ninherited = s->ninherited,
				     .inherited_turns = MAX(s->branch_turn, 0),
				     .source_conversation = s->branch_conversation,
				     .source_experiment = s->branch_experiment,
				     .changes_json = s->parameter_changes,
				     .with_metrics = s->redact != REDACT_NONE,
				     .without_hashes = s->redact == REDACT_DROP};
	return conductor_new(&c, on_event, t);
}

struct reading {
	struct talker *t;
	bool odd; /* the events do not fit each other */
};

static enum err on_read(void *ctx, const struct lab_event *e)
{
	struct reading *rd = ctx;
	if (!conductor_replay(rd->t->conductor, e)) {
		rd->odd = true;
		return ERR_CORRUPT;
	}
	told(rd->t->run, rd->t->index, e);
	return OK;
}

/* Reads what an earlier run wrote. */
static enum err read_back(struct talker *t, const char *path, struct lab_file_end *end, struct errinfo *info)
{
	struct reading rd = {.t = t};
	told_forget(t->run, t->index);
	enum err e = lab_file_read(path, 0, on_read, &rd, end, info);
	if (e == ERR_NOT_FOUND) {
		*end = (struct lab_file_end){0};
		return OK;
	}
	/* What follows a damaged line need not fit what is before it. */
	if ((e == OK || rd.odd) && end->bad_lines > 0)
		return err_set(info, ERR_CORRUPT, "%s: line %lld is damaged", path, (long long)end->first_bad);
	if (rd.odd) return err_set(info, ERR_CORRUPT, "%s: its events do not fit each other", path);
	return e;
}

static enum err open_log(struct talker *t, struct errinfo *info)
{
	struct run *r = t->run;
	struct lab_file_end end = {0};
	enum err e = OK;
	size_t cap = strlen(r->o.place->dir) + 64;
	char *path = xmalloc(cap);
	snprintf(path, cap, "%s/events_%s.jsonl", r->o.place->dir, r->manifest.list[t->index].id);
	if (r->o.resume) e = read_back(t, path, &end, info);
	if (e == OK) {
		struct lab_log_options lo = {.path = path,
					     .experiment_id = r->manifest.experiment_id,
					     .redaction = r->o.spec->redact,
					     .next_seq = end.last_seq + 1,
					     .good_bytes = end.good_bytes};
		e = lab_log_open(r->writer, &lo, &t->log, info);
	}
	free(path);
	return e;
}

struct talker *talker_new(struct run *r, size_t index, enum err *out_err, struct errinfo *info)
{
	struct talker *t = xcalloc(1, sizeof *t);
	t->run = r;
	t->index = index;
	uv_timer_init(r->o.loop, &t->backoff);
	t->backoff.data = t;
	t->conductor = make_conductor(t);
	*out_err = open_log(t, info);
	return t;
}

static void on_closed(uv_handle_t *h)
{
	struct talker *t = h->data;
	conductor_free(t->conductor);
	arena_clear(&t->memory);
	free(t);
}

void talker_free(struct talker *t)
{
	ASSERT(t->call == NULL);
	lab_log_close(t->log);
	t->log = NULL;
	uv_close((uv_handle_t *)&t->backoff, on_closed);
}
