#include "record/run.h"

#include "base/clock.h"

static const struct {
	struct str name;
	int64_t messages, ms;
} modes[] = {
#define X(sym, name, messages, ms) {STR_INIT(name), messages, ms},
	RUN_MODE_MAP(X)
#undef X
};
static const struct {
	struct str name;
	bool device;
} reasons[] = {
#define X(sym, name, device) {STR_INIT(name), device},
	RUN_REASON_MAP(X)
#undef X
};
static const struct str states[] = {
	[RUN_NONE] = STR_INIT("none"),
	[RUN_RUNNING] = STR_INIT("running"),
	[RUN_PAUSED] = STR_INIT("paused"),
	[RUN_STOPPED] = STR_INIT("stopped"),
};

struct str run_mode_name(enum run_mode m) { return modes[m].name; }
struct str run_state_name(enum run_state s) { return states[s]; }
struct str run_reason_name(enum run_reason r) { return reasons[r].name; }
bool run_reason_of_device(enum run_reason r) { return reasons[r].device; }

bool run_mode_find(struct str name, enum run_mode *out)
{
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (!str_eq(name, modes[i].name)) continue;
		*out = (enum run_mode)i;
		return true;
	}
	return false;
}

bool run_reason_find(struct str name, enum run_reason *out)
{
	for (size_t i = 1; i < ARRAY_LEN(reasons); i++) {
		if (!str_eq(name, reasons[i].name)) continue;
		*out = (enum run_reason)i;
		return true;
	}
	return false;
}

void run_defaults(enum run_mode m, int64_t *out_messages, int64_t *out_ms)
{
	*out_messages = modes[m].messages;
	*out_ms = modes[m].ms;
}

/* ---- as JSON ---------------------------------------------------------------------------------------------------- */

static struct str text_of(const struct json *in, const char *key)
{
	struct str s;
	return json_str(json_get(in, key), &s) ? s : STR("");
}

static int64_t number_of(const struct json *in, const char *key)
{
	int64_t n = 0;
	(void)json_int(json_get(in, key), &n);
	return n;
}

static int64_t time_of(const struct json *in, const char *key)
{
	int64_t at = 0;
	(void)time_parse(text_of(in, key), &at);
	return at;
}

void run_read(struct run *r, const struct json *in)
{
	struct str state = text_of(in, "state");
	const struct json *params = json_get(in, "params");
	*r = (struct run){.state = RUN_NONE};
	for (size_t i = RUN_RUNNING; i < ARRAY_LEN(states); i++)
		if (str_eq(state, states[i])) r->state = (enum run_state)i;
	if (!run_mode_find(text_of(in, "mode"), &r->mode)) r->state = RUN_NONE;
	(void)run_reason_find(text_of(in, "reason"), &r->reason);
	r->number = number_of(in, "run");
	r->sent = number_of(in, "sent");
	r->max_messages = number_of(in, "maxMessages");
	r->max_ms = number_of(in, "maxMs");
	r->all = str_eq(text_of(in, "priority"), STR("all"));
	r->started_ms = time_of(in, "startedAt");
	r->started_by = text_of(in, "startedBy");
	r->driver = text_of(in, "deviceId");
	r->term = number_of(in, "term");
	r->answered = text_of(in, "answeredId");
	r->answered_ord = number_of(in, "answeredOrd");
	r->last_message = text_of(in, "lastMessageId");
	r->steps = number_of(in, "steps");
	r->params = json_type(params) == JSON_OBJ ? params : NULL;
	r->elapsed_ms = number_of(in, "elapsedMs");
	r->since_wall = time_of(in, "sinceAt");
	r->since = number_of(in, "sinceMs");
	r->owner = number_of(in, "owner");
}

void run_write(struct jw *w, const struct run *r)
{
	jw_obj(w);
	jw_kint(w, "run", r->number);
	jw_kstr(w, "mode", run_mode_name(r->mode));
	jw_kstr(w, "state", run_state_name(r->state));
	jw_kint(w, "sent", r->sent);
	jw_kint(w, "maxMessages", r->max_messages);
	jw_kint(w, "maxMs", r->max_ms);
	if (r->all) jw_kstr(w, "priority", STR("all"));
	if (r->reason != REASON_NONE) jw_kstr(w, "reason", run_reason_name(r->reason));
	jw_ktime(w, "startedAt", r->started_ms);
	jw_kstr(w, "startedBy", r->started_by);
	if (r->driver.n > 0) jw_kstr(w, "deviceId", r->driver);
	jw_kint(w, "term", r->term);
	if (r->answered.n > 0) jw_kstr(w, "answeredId", r->answered);
	if (r->answered_ord > 0) jw_kint(w, "answeredOrd", r->answered_ord);
	if (r->last_message.n > 0) jw_kstr(w, "lastMessageId", r->last_message);
	jw_kint(w, "steps", r->steps);
	if (r->params != NULL) {
		jw_key(w, "params");
		jw_value(w, r->params);
	}
	jw_kint(w, "elapsedMs", r->elapsed_ms);
	jw_ktime(w, "sinceAt", r->since_wall);
	jw_kint(w, "sinceMs", r->since);
	jw_kint(w, "owner", r->owner);
	jw_obj_end(w);
}

/* ---- the clock and the limits ----------------------------------------------------------------------------------- */

int64_t run_elapsed(const struct run *r, const struct run_clock *now)
{
	if (r->state != RUN_RUNNING) return r->elapsed_ms;
	bool same_life = r->owner == now->incarnation;
	int64_t more = same_life ? now->boot_ms - r->since : now->wall_ms - r->since_wall;
	return r->elapsed_ms + MAX(0, more);
}

void run_settle(struct run *r, const struct run_clock *now)
{
	r->elapsed_ms = run_elapsed(r, now);
	r->since_wall = now->wall_ms;
	r->since = now->boot_ms;
	r->owner = now->incarnation;
}

enum run_reason run_limit(const struct run *r, int64_t sent, int64_t elapsed_ms)
{
	bool messages = sent >= r->max_messages, time = elapsed_ms >= r->max_ms;
	if (r->all && !(messages && time)) return REASON_NONE;
	return messages ? REASON_MESSAGE_LIMIT : time ? REASON_TIME_LIMIT : REASON_NONE;
}

int64_t run_left_ms(const struct run *r, const struct run_clock *now)
{
	if (r->state != RUN_RUNNING || (r->all && r->sent < r->max_messages)) return -1;
	return MAX(0, r->max_ms - run_elapsed(r, now));
}
