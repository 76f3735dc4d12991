#include "client/driver.h"

#define AGAIN_MS                                                                                                       \
	1000 /* what could not be done is tried again this much later, or when the conversation is joined anew */

struct driver {
	struct core *core;
	char *conversation;
	struct auto_engine *engine;
	const struct driver_hooks *hooks;
	void *ctx;
	core_op op;       /* the pause or stop that is under way, 0 none */
	bool is_missed;   /* something could not be asked for, or its answer never came */
	int64_t again_ms; /* boot time of the next try, with is_missed; 0 not settled yet */
};

struct driver *driver_new(struct core *c, struct str conversation, const struct driver_hooks *h, void *ctx)
{
	struct driver *d = xcalloc(1, sizeof *d);
	struct core_seat seat;
	d->core = c;
	d->conversation = str_dup(conversation);
	d->engine = auto_new();
	d->hooks = h;
	d->ctx = ctx;
	if (core_seat(c, conversation, &seat)) auto_primary(d->engine, seat.is_primary, seat.term);
	return d;
}

void driver_free(struct driver *d)
{
	if (d == NULL) return;
	auto_free(d->engine);
	free(d->conversation);
	free(d);
}

/* ---- what comes in ---------------------------------------------------------------------------------------------- */

static struct str text_of(const struct json *in, const char *key)
{
	struct str s;
	return json_str(json_get(in, key), &s) ? s : STR("");
}

static void message(struct driver *d, struct str name, const struct json *fields)
{
	struct auto_message m = {.id = name,
				 .role = text_of(fields, "role"),
				 .status = text_of(fields, "status"),
				 .text = text_of(fields, "text")};
	if (json_int(json_get(fields, "ord"), &m.ord)) auto_message(d->engine, &m);
}

/* A request that failed for good counts at the place of the message it should have answered. */
static void request(struct driver *d, const struct json *fields)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	int64_t ord;
	if (!str_eq(text_of(fields, "state"), STR("failed"))) return;
	struct core_view v = core_view(d->core, STR("Message"), text_of(fields, "messageId"), &b);
	if (v.exists && json_parse(buf_str(&b), &doc, NULL) == OK &&
	    json_int(json_get(json_get(json_root(doc), "fields"), "ord"), &ord))
		auto_failed(d->engine, ord);
	json_free(doc);
	buf_release(&b);
}

void driver_record(struct driver *d, const struct json *record)
{
	struct str type = text_of(record, "type");
	const struct json *fields = json_get(record, "fields");
	if (!str_eq(text_of(fields, "conversationId"), str_c(d->conversation))) return;
	if (str_eq(type, STR("Message"))) message(d, text_of(record, "name"), fields);
	else if (str_eq(type, STR("Request"))) request(d, fields);
	else if (str_eq(type, STR("Session")) && str_eq(text_of(fields, "state"), STR("active")))
		auto_run(d->engine, json_get(fields, "auto"));
}

static void try_again(struct driver *d)
{
	if (d->is_missed) auto_again(d->engine);
	d->is_missed = false;
	d->again_ms = 0;
}

void driver_event(struct driver *d, const struct core_event *e)
{
	struct core_seat seat;
	bool is_here = str_eq(e->conversation, str_c(d->conversation));
	switch (e->kind) {
	case CORE_EV_RECORD: driver_record(d, e->json); break;
	case CORE_EV_PRIMARY:
		if (is_here) auto_primary(d->engine, e->mine, e->number);
		break;
	case CORE_EV_JOINED:
		if (!is_here) break;
		if (core_seat(d->core, e->conversation, &seat)) auto_primary(d->engine, seat.is_primary, seat.term);
		try_again(d);
		break;
	case CORE_EV_ANSWER:
		if (d->op == 0 || e->number != (int64_t)d->op) break;
		d->op = 0;
		d->is_missed = e->err == ERR_UNAVAILABLE || err_retryable(e->err);
		break;
	default: break;
	}
}

void driver_text(struct driver *d, struct str answer_id, struct str text) { auto_text(d->engine, answer_id, text); }

/* ---- what goes out ---------------------------------------------------------------------------------------------- */

/* A message that the daemon has not answered may be the one that follows the newest answer. */
static bool has_one_under_way(const struct driver *d)
{
	struct core_entry e;
	for (uint64_t after = 0; core_outbox_next(d->core, after, &e); after = e.number)
		if (e.automatic && str_eq(e.conversation, str_c(d->conversation))) return true;
	return false;
}

static void stand_still(struct driver *d, const struct auto_intent *i, struct core_now now)
{
	struct core_seat seat;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	if (!core_seat(d->core, str_c(d->conversation), &seat)) return;
	jw_obj(&w);
	jw_kstr(&w, "sessionId", seat.session);
	jw_kstr(&w, "reason", run_reason_name(i->reason));
	jw_kint(&w, "term", i->term);
	jw_obj_end(&w);
	d->op = core_call(d->core, i->what == AUTO_STOP ? STR("auto:stop") : STR("auto:pause"), buf_str(&b), now);
	d->is_missed = d->op == 0;
	buf_release(&b);
}

static void send(struct driver *d, const struct auto_intent *i, struct core_now now)
{
	struct errinfo info;
	struct core_message m = {.conversation = str_c(d->conversation),
				 .text = i->text,
				 .parent = i->parent,
				 .request = i->request,
				 .automatic = true};
	/* Not primary any more: the event that says so is on its way. A full outbox: at the next chance. */
	enum err e = core_send(d->core, &m, now, NULL, &info);
	d->is_missed = e != OK;
}

void driver_step(struct driver *d, struct core_now now)
{
	if (d->is_missed && d->again_ms != 0 && now.boot_ms >= d->again_ms) try_again(d);
	if (d->op != 0 || has_one_under_way(d)) return;
	bool has_asker = d->hooks != NULL && d->hooks->ask != NULL;
	struct auto_intent i = auto_next(d->engine);
	if (i.what == AUTO_ASK && !has_asker) {
		auto_text(d->engine, i.parent, STR(""));
		i = auto_next(d->engine);
	}
	switch (i.what) {
	case AUTO_NOTHING: break;
	case AUTO_ASK:
		if (has_asker) d->hooks->ask(d->ctx, &i);
		break;
	case AUTO_SEND: send(d, &i, now); break;
	case AUTO_PAUSE:
	case AUTO_STOP: stand_still(d, &i, now); break;
	}
	if (d->is_missed && d->again_ms == 0) d->again_ms = now.boot_ms + AGAIN_MS;
}

int64_t driver_next_ms(const struct driver *d) { return d->again_ms != 0 ? d->again_ms : INT64_MAX; }
