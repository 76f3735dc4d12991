/* The experiment as a whole: which conversations are held, who calls, what the manifest says, how it ends.
 *
 * Conversations are taken up in their order as places become free, and let go of when they are over, so what an experiment
 * needs in memory does not grow with how many there are but for the manifest's entries. Calls begin in one place, the pump,
 * once in each turn of the loop: answers that came in the same turn are all in the line by then, and no callback of a call
 * begins another. A stop, a pause and its end are only noted where they are asked for and done there too, so that they may
 * be asked for anywhere, in a hook as well. When the writer is behind by PENDING_MAX the pump waits for it. */
#include "base/clock.h"

#include <dirent.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "lab/run_priv.h"

#define PENDING_MAX ((size_t)32 << 20)
#define BEHIND_MS 2
#define TAKEN_UP_MAX ((size_t)32) /* in one turn of the loop: each is read that an earlier run began */
#define HANDLES 5                 /* of libuv's, in struct run */

struct conductor_clock run_clock(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (struct conductor_clock){(int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000, clock_boot_ms()};
}

struct now run_now(void) { return (struct now){clock_wall_ms(), clock_boot_ms()}; }

void run_wake(struct run *r) { r->is_awake = true; }

/* ---- the manifest ----------------------------------------------------------------------------------------------- */

static void save_manifest(struct run *r)
{
	struct errinfo info = {0};
	enum err e = manifest_save(&r->manifest, r->o.place->dir, clock_boot_ms(), &info);
	if (e != OK) run_fail(r, e, &info);
}

static void set_status(struct run *r, enum experiment_status s)
{
	r->manifest.status = s;
	manifest_touch(&r->manifest);
	save_manifest(r);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static enum experiment_status final_status(const struct run *r)
{
	const size_t *n = r->manifest.count;
	if (r->is_broken) return EXPERIMENT_INTERRUPTED;
	if (n[LAB_COMPLETED] == r->manifest.n) return EXPERIMENT_COMPLETED;
	if (r->stopping && (n[LAB_INTERRUPTED] > 0 || n[LAB_CREATED] > 0 || n[LAB_RUNNING] > 0))
		return EXPERIMENT_INTERRUPTED;
	return n[LAB_COMPLETED] > 0 ? EXPERIMENT_WITH_FAILURES : EXPERIMENT_FAILED;
}

static void tell_complete(struct run *r)
{
	struct lab_event e = {.type = LE_EXPERIMENT_COMPLETE, .at_us = run_clock().wall_us};
	const size_t *n = r->manifest.count;
	if (r->o.hooks.event == NULL) return;
	e.v[LF(ExperimentCompleteEvent, experiment_id)] = lv_str(r->manifest.experiment_id);
	e.v[LF(ExperimentCompleteEvent, total_conversations)] = lv_int((int64_t)r->manifest.n);
	e.v[LF(ExperimentCompleteEvent, completed_conversations)] = lv_int((int64_t)n[LAB_COMPLETED]);
	e.v[LF(ExperimentCompleteEvent, failed_conversations)] = lv_int((int64_t)n[LAB_FAILED]);
	e.v[LF(ExperimentCompleteEvent, status)] = lv_str(str_c(experiment_status_name(r->manifest.status)));
	r->o.hooks.event(r->o.ctx, 0, &e);
}

/* Every line is on disk before the manifest says that it is over. */
static void on_over(uv_timer_t *t)
{
	struct run *r = t->data;
	struct errinfo info = {0};
	enum err e = lab_writer_flush(r->writer, &info);
	if (e != OK) run_fail(r, e, &info);
	r->manifest.completed_ms = clock_wall_ms();
	r->manifest.pid = 0;
	if (r->error != OK && r->manifest.error[0] == '\0')
		snprintf(r->manifest.error, sizeof r->manifest.error, "%s",
			 r->o.spec->redact == REDACT_NONE ? err_sentence(&r->info, r->error) : err_code(r->error));
	set_status(r, final_status(r));
	tell_complete(r);
	r->o.hooks.ended(r->o.ctx);
}

static void end_when_empty(struct run *r)
{
	bool more = r->next < r->manifest.n && !r->stopping;
	if (r->ntalkers > 0 || more || r->ended) return;
	r->ended = true;
	uv_timer_start(&r->over, on_over, 0, 0);
}

void run_talker_ended(struct run *r, struct talker *t)
{
	TAILQ_REMOVE(&r->talkers, t, link);
	r->ntalkers--;
	talker_free(t);
	run_wake(r);
}

void run_fail(struct run *r, enum err e, const struct errinfo *info)
{
	if (!r->is_broken) {
		r->error = e;
		r->info = *info;
	}
	r->is_broken = r->stopping = r->cut = r->stop_due = true;
	run_wake(r);
}

/* ---- taking up, and the line ------------------------------------------------------------------------------------ */

static bool is_over(const struct talker *t)
{
	struct conductor_state s;
	conductor_state(t->conductor, &s);
	return str_eq(str_c(s.status), STR("completed"));
}

/* A file that is damaged is one conversation's misfortune; everything else is all conversations'. */
static void cannot_take_up(struct run *r, size_t index, enum err e, const struct errinfo *info)
{
	if (e != ERR_CORRUPT && e != ERR_EXISTS) {
		run_fail(r, e, info);
		return;
	}
	told_lost(r, index, err_sentence(info, e));
	if (r->error != OK) return;
	r->error = e;
	r->info = *info;
}

static void take_up_next(struct run *r)
{
	struct errinfo info = {0};
	enum err e;
	struct talker *t = talker_new(r, r->next++, &e, &info);
	TAILQ_INSERT_TAIL(&r->talkers, t, link);
	r->ntalkers++;
	if (e != OK) cannot_take_up(r, t->index, e, &info);
	if (e != OK || is_over(t)) run_talker_ended(r, t);
	else talker_step(t);
}

static void take_up(struct run *r)
{
	for (size_t i = 0; i < TAKEN_UP_MAX; i++) {
		if (r->stopping || r->paused || r->next == r->manifest.n) return;
		if (r->ntalkers >= (size_t)r->o.spec->max_parallel) return;
		take_up_next(r);
	}
	run_wake(r); /* there may be more */
}

static void tell_held(void *ctx, struct pace_waiter *w)
{
	struct run *r = ctx;
	struct talker *t = CONTAINER_OF(w, struct talker, place);
	struct lab_event e = {.type = LE_RATE_LIMIT_PACE};
	int64_t now_ms = clock_boot_ms();
	if (strcmp(w->waits_for, "slots") == 0 || w->until_boot_ms - now_ms < 100) return;
	w->told = true;
	e.v[LF(RateLimitPaceEvent, conversation_id)] = lv_str(str_c(r->manifest.list[t->index].id));
	e.v[LF(RateLimitPaceEvent, provider)] = lv_str(providers_name(r->o.providers, r->agents[t->agent].provider));
	e.v[LF(RateLimitPaceEvent, wait_time)] = lv_real((double)(w->until_boot_ms - now_ms) / 1000);
	e.v[LF(RateLimitPaceEvent, reason)] = lv_str(str_c(w->waits_for));
	e.v[LF(RateLimitPaceEvent, agent_id)] = lv_str(str_c(lab_agent_ids[t->agent]));
	conductor_tell(t->conductor, &e);
}

/* What has been said is in its file before the next message is asked for: a run that is killed at any moment never pays
 * for a message twice that another one has answered. */
static void go(struct run *r, struct talker *t)
{
	if (!r->agents[t->agent].is_paid_for || lab_writer_reached(r->writer, t->mark)) {
		talker_go(t);
		return;
	}
	t->is_held = true;
	TAILQ_INSERT_TAIL(&r->held, t, held_link);
}

static void go_on(struct run *r)
{
	struct talker *t, *next;
	for (t = TAILQ_FIRST(&r->held); t != NULL; t = next) {
		next = TAILQ_NEXT(t, held_link);
		if (!lab_writer_reached(r->writer, t->mark)) break; /* those behind it came later */
		run_release(r, t);
		talker_go(t);
	}
}

void run_release(struct run *r, struct talker *t)
{
	if (!t->is_held) return;
	t->is_held = false;
	TAILQ_REMOVE(&r->held, t, held_link);
}

/* Lets go whoever may; when to look again. */
static int64_t call_up(struct run *r)
{
	struct pace_waiter *w;
	int64_t due = INT64_MAX;
	while (lab_writer_pending(r->writer) < PENDING_MAX) {
		w = pace_next(r->pace, clock_boot_ms(), &due);
		if (w == NULL) {
			pace_each_held(r->pace, tell_held, r);
			return due;
		}
		go(r, CONTAINER_OF(w, struct talker, place));
	}
	return clock_boot_ms() + BEHIND_MS;
}

/* Does what was asked for since. */
static void obey(struct run *r)
{
	bool stops = r->stop_due, pauses = r->wish == WISH_PAUSE, resumes = r->wish == WISH_RESUME;
	struct talker *t, *next;
	r->stop_due = false;
	r->wish = WISH_NONE;
	if (!stops && !pauses && !resumes) return;
	for (t = TAILQ_FIRST(&r->talkers); t != NULL; t = next) {
		next = TAILQ_NEXT(t, link);
		if (stops) talker_stop(t, r->cut);
		else if (pauses) talker_pause(t);
		else talker_resume(t);
	}
}

/* Paused is also what has nobody left who goes on: every conversation that has a place has paused by itself. */
static void tell_paused(struct run *r)
{
	bool is_paused = r->paused || (r->ntalkers > 0 && r->npaused == r->ntalkers);
	enum experiment_status s = is_paused ? EXPERIMENT_PAUSED : EXPERIMENT_RUNNING;
	if (s != r->manifest.status && !r->stopping) set_status(r, s);
}

static void on_tick(uv_timer_t *t)
{
	struct run *r = t->data;
	if (manifest_due(&r->manifest) <= clock_boot_ms()) save_manifest(r);
	run_wake(r);
}

static void on_pump(uv_prepare_t *p)
{
	struct run *r = p->data;
	int64_t now_ms = clock_boot_ms(), due;
	if (!r->is_awake || r->ended) return;
	r->is_awake = false;
	obey(r);
	take_up(r);
	go_on(r);
	due = MIN(call_up(r), manifest_due(&r->manifest));
	tell_paused(r);
	end_when_empty(r);
	if (due != INT64_MAX) uv_timer_start(&r->tick, on_tick, (uint64_t)MAX(due - now_ms, 1), 0);
	if (r->is_awake) uv_timer_start(&r->tick, on_tick, 0, 0);
}

/* ---- from outside ----------------------------------------------------------------------------------------------- */

static void wake_now(struct run *r)
{
	run_wake(r);
	uv_timer_start(&r->tick, on_tick, 0, 0);
}

void run_start(struct run *r)
{
	r->manifest.started_ms = r->manifest.started_ms > 0 ? r->manifest.started_ms : clock_wall_ms();
	set_status(r, EXPERIMENT_RUNNING);
	wake_now(r);
}

void run_stop(struct run *r, bool cut)
{
	if (r->ended) return;
	r->stopping = r->stop_due = true;
	r->cut = r->cut || cut;
	wake_now(r);
}

void run_pause(struct run *r)
{
	if (r->paused || r->stopping || r->ended) return;
	r->paused = true;
	r->wish = WISH_PAUSE;
	wake_now(r);
}

void run_resume(struct run *r)
{
	if (r->stopping || r->ended) return;
	r->paused = false;
	r->wish = WISH_RESUME;
	wake_now(r);
}

const struct manifest *run_manifest(const struct run *r) { return &r->manifest; }

enum err run_error(const struct run *r, struct errinfo *info)
{
	*info = r->info;
	return r->error;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void on_disk(uv_async_t *a)
{
	struct run *r = a->data;
	run_fail(r, r->disk_info.err, &r->disk_info);
}

static void on_wrote(uv_async_t *a) { run_wake(a->data); }

/* On the writer's thread, once: the loop looks after uv_async_send. */
static void disk_failed(void *ctx, enum err e, const struct errinfo *info)
{
	struct run *r = ctx;
	r->disk_info = *info;
	r->disk_info.err = e;
	uv_async_send(&r->disk);
}

static void disk_wrote(void *ctx)
{
	struct run *r = ctx;
	uv_async_send(&r->wrote);
}

/* Without leave to leave something out the provider's side must not do it either. */
static struct str request_params(const struct spec *s, size_t i, int64_t max_output, struct arena *memory)
{
	struct str own = spec_request_params(&s->agents[i], max_output, memory);
	struct buf b = BUF_INIT(1 << 20);
	struct json_doc *doc = NULL;
	bool has_rule = own.n > 0 && json_parse(own, &doc, NULL) == OK && json_get(json_root(doc), "context") != NULL;
	json_free(doc);
	if (own.n == 0) own = STR("{}");
	if (s->allow_truncation || has_rule) return own;
	buf_add_str(&b, STR("{\"context\":\"refuse\""));
	if (own.n > 2) buf_add_char(&b, ',');
	buf_add_str(&b, str_n(own.p + 1, own.n - 1));
	own = arena_str(memory, buf_str(&b));
	buf_release(&b);
	return own;
}

/* What the registry knows a model to refuse is refused before anything is asked. */
static enum err check_params(const struct spec *s, size_t i, const struct model_info *about, struct run_agent *a,
			     struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct params p;
	struct errinfo why = {0};
	enum err e = json_parse(a->params, &doc, &why);
	if (e == OK) e = params_read(json_root(doc), &p, &why);
	if (e == OK) e = model_check(about, &p, NULL, 0, &why);
	if (e == OK && param_given(&p, P_MAX_TOKENS)) a->max_tokens = param_int(&p, P_MAX_TOKENS);
	json_free(doc);
	if (e == OK) return OK;
	return err_set(info, ERR_USAGE, "%s (%.*s): %s", lab_agent_ids[i], STR_ARG(s->agents[i].model),
		       err_sentence(&why, e));
}

/* The others have no parameter for it. */
static bool dialect_takes_seed(struct str dialect)
{
	static const struct str those[] = {STR_INIT("openai"), STR_INIT("gemini"), STR_INIT("ollama")};
	for (size_t i = 0; i < ARRAY_LEN(those); i++)
		if (str_eq(dialect, those[i])) return true;
	return false;
}

/* All there is to know of an agent but its gate. */
static enum err look_at_agent(const struct providers *providers, struct catalog *catalog, const struct spec *s,
			      size_t i, struct arena *memory, struct run_agent *a, struct errinfo *info)
{
	struct str provider, wire, model = s->agents[i].model;
	a->provider = providers_index(providers, model);
	if (a->provider < 0)
		return err_set(info, ERR_MODEL_UNKNOWN, "%s: no provider serves the model \"%.*s\"", lab_agent_ids[i],
			       STR_ARG(model));
	(void)model_split(model, &provider, &wire);
	const struct model_info *about = catalog_about(catalog, a->provider, wire);
	a->is_paid_for = providers_is_remote(providers, a->provider) || providers_is_agent(providers, a->provider);
	a->title = about != NULL && about->title.n > 0 ? about->title : model;
	if (about != NULL) {
		a->family = about->family;
		a->window = about->window;
		a->max_output = about->max_output;
	}
	a->takes_seed = s->has_seed && dialect_takes_seed(providers_dialect(providers, a->provider)) &&
			!model_cannot(about, CAN_SEED);
	a->params = request_params(s, i, a->max_output, memory);
	return check_params(s, i, about, a, info);
}

enum err run_check(const struct providers *providers, struct catalog *catalog, const struct spec *s,
		   struct errinfo *info)
{
	struct arena memory = {0};
	enum err e = OK;
	for (size_t i = 0; i < s->nagents && e == OK; i++) {
		struct run_agent a = {0};
		e = look_at_agent(providers, catalog, s, i, &memory, &a, info);
	}
	arena_clear(&memory);
	return e;
}

static enum err set_agent(struct run *r, size_t i, struct errinfo *info)
{
	struct run_agent *a = &r->agents[i];
	struct rate_limits configured = {0}, usual = {0};
	struct str model = r->o.spec->agents[i].model;
	enum err e = look_at_agent(r->o.providers, r->o.catalog, r->o.spec, i, &r->memory, a, info);
	if (e != OK) return e;
	providers_limits(r->o.providers, model, &configured, &usual);
	a->gate = pace_gate(r->pace, model, a->provider, &configured, &usual);
	return OK;
}

static void open_line(struct run *r)
{
	size_t n = providers_count(r->o.providers);
	struct pace_provider *list = xcalloc(n, sizeof *list);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct pace_provider){.concurrency = providers_concurrency(r->o.providers, (int)i),
						 .limits = providers_limits_of_all(r->o.providers, (int)i),
						 .has_circuit = providers_is_remote(r->o.providers, (int)i)};
	r->pace = pace_new(r->o.limits, list, n);
	free(list);
}

/* ConversationStartEvent.config: what of the spec is no text. */
static struct str conversation_config(struct run *r)
{
	const struct spec *s = r->o.spec;
	struct buf b = BUF_INIT(1 << 20);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kint(&w, "max_turns", s->turns);
	jw_key(&w, "models");
	jw_arr(&w);
	for (size_t i = 0; i < s->nagents; i++) jw_str(&w, s->agents[i].model);
	jw_arr_end(&w);
	for (size_t i = 0; i < s->nagents; i++) {
		char key[32];
		snprintf(key, sizeof key, "temperature_%c", (char)('a' + (int)i));
		jw_key(&w, key);
		jw_real(&w, s->agents[i].temperature);
	}
	jw_kbool(&w, "choose_names", s->choose_names);
	jw_kbool(&w, "allow_truncation", s->allow_truncation);
	jw_kstr(&w, "convergence_profile", s->profile);
	jw_key(&w, "convergence_threshold");
	jw_real(&w, s->threshold);
	jw_kstr(&w, "convergence_action", str_c(convergence_action_name(s->action)));
	jw_obj_end(&w);
	struct str text = arena_str(&r->memory, buf_str(&b));
	buf_release(&b);
	return text;
}

/* A new experiment's manifest. Ids are a walk over all 32-bit numbers, so that no two are the same. */
static void fill_manifest(struct run *r)
{
	const struct spec *s = r->o.spec;
	struct manifest *m = &r->manifest;
	struct buf b = BUF_INIT(64 << 20);
	struct jw w = JW(&b);
	uint32_t id = (uint32_t)random_u64();
	m->experiment_id = arena_str(&m->memory, str_c(r->o.place->id));
	m->name = arena_str(&m->memory, str_c(r->o.place->name));
	spec_write_config(s, &w);
	m->config = arena_str(&m->memory, buf_str(&b));
	buf_release(&b);
	m->created_ms = clock_wall_ms();
	m->seed = s->has_seed ? (uint64_t)s->seed : random_u64() >> 11;
	m->redacted = s->redact != REDACT_NONE;
	for (int64_t i = 0; i < s->repetitions; i++) {
		char name[16];
		snprintf(name, sizeof name, "conv_%08x", (unsigned)id);
		(void)manifest_add(m, name);
		id += 0x9e3779b1U;
	}
}

static bool has_events(const char *dir)
{
	DIR *d = opendir(dir);
	bool found = false;
	if (d == NULL) return true; /* nobody knows */
	for (struct dirent *entry; (entry = readdir(d)) != NULL && !found;)
		found = strncmp(entry->d_name, "events_", 7) == 0;
	closedir(d);
	return found;
}

/* What the earlier run left. Nobody holds a conversation now; the sums are those of the conversations. */
static void take_over(struct manifest *m)
{
	bool unpriced = m->total.unpriced, estimated = m->total.estimated;
	m->total = (struct manifest_tokens){.unpriced = unpriced, .estimated = estimated};
	for (size_t i = 0; i < m->n; i++) {
		struct manifest_conversation *c = &m->list[i];
		if (c->status == LAB_RUNNING) manifest_set(m, c, LAB_INTERRUPTED);
		for (size_t k = 0; k < MANIFEST_AGENTS; k++) manifest_tokens_add(&m->total, &c->tokens[k]);
	}
	m->error[0] = '\0';
	m->completed_ms = 0;
}

static enum err read_manifest(struct run *r, struct errinfo *info)
{
	struct manifest *m = &r->manifest;
	enum err e = manifest_load(m, r->o.place->dir, true, info);
	if (e == ERR_NOT_FOUND && !has_events(r->o.place->dir)) { /* it was killed before it began */
		fill_manifest(r);
		return OK;
	}
	if (e == OK && m->redacted)
		e = err_set(info, ERR_BAD_STATE, "%s cannot be continued: its texts were redacted (--redact)",
			    r->o.place->name);
	else if (e == OK && (int64_t)m->n != r->o.spec->repetitions)
		e = err_set(info, ERR_CORRUPT, "%s/" MANIFEST_FILE " has %zu conversations and not %lld",
			    r->o.place->dir, m->n, (long long)r->o.spec->repetitions);
	if (e == OK) take_over(m);
	return e;
}

enum err run_new(const struct run_options *o, struct run **out, struct errinfo *info)
{
	struct run *r = xcalloc(1, sizeof *r);
	struct lab_writer_options wo = {.sync_ms = o->sync_ms, .failed = disk_failed, .written = disk_wrote, .ctx = r};
	enum err e = OK;
	r->o = *o;
	TAILQ_INIT(&r->talkers);
	TAILQ_INIT(&r->held);
	manifest_init(&r->manifest);
	rng_seed(&r->rng, random_u64());
	open_line(r);
	uv_timer_init(o->loop, &r->tick);
	uv_timer_init(o->loop, &r->over);
	uv_prepare_init(o->loop, &r->pump);
	(void)uv_async_init(o->loop, &r->disk, on_disk);
	(void)uv_async_init(o->loop, &r->wrote, on_wrote);
	r->tick.data = r->over.data = r->pump.data = r->disk.data = r->wrote.data = r;
	r->writer = lab_writer_new(&wo);
	uv_prepare_start(&r->pump, on_pump);
	if (o->resume) e = read_manifest(r, info);
	else fill_manifest(r);
	r->manifest.nagents = o->spec->nagents;
	r->manifest.pid = (int)getpid();
	for (size_t i = 0; i < o->spec->nagents; i++) r->manifest.agent_models[i] = o->spec->agents[i].model;
	r->conversation_config = conversation_config(r);
	for (size_t i = 0; i < o->spec->nagents && e == OK; i++) e = set_agent(r, i, info);
	if (e != OK) {
		run_free(r);
		return e;
	}
	*out = r;
	return OK;
}

static void on_handle_closed(uv_handle_t *h)
{
	struct run *r = h->data;
	if (++r->nclosed < HANDLES) return;
	manifest_release(&r->manifest);
	arena_clear(&r->memory);
	free(r);
}

void run_free(struct run *r)
{
	struct errinfo info;
	if (r == NULL) return;
	if (lab_writer_free(r->writer, &info) != OK && r->error == OK) r->error = info.err;
	pace_free(r->pace);
	uv_close((uv_handle_t *)&r->tick, on_handle_closed);
	uv_close((uv_handle_t *)&r->over, on_handle_closed);
	uv_close((uv_handle_t *)&r->pump, on_handle_closed);
	uv_close((uv_handle_t *)&r->disk, on_handle_closed);
	uv_close((uv_handle_t *)&r->wrote, on_handle_closed);
}
