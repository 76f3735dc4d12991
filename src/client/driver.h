/* The engine of automatic runs (client/auto.h) at work on a device's core, for one joined conversation.
 *
 * Hand it every event of the core, from the core's event hook, and call driver_step after the call that caused them. It
 * sends through the outbox, one message at a time, with what the engine found to say, and asks for pauses and stops;
 * while this device is not primary it only watches. What must be exact is the daemon's to judge, so nothing here is
 * kept over a restart of the app.
 *
 * Pure, as the core is; one thread. */
#ifndef ROOST_CLIENT_DRIVER_H
#define ROOST_CLIENT_DRIVER_H

#include "client/auto.h"
#include "client/core.h"

struct driver;
struct driver_hooks {
	/* The app is to find a text for the answer `i->parent` and give it to driver_text, now or later. NULL: there is none
	 * to be had, and the run pauses. Strings live until it returns. */
	void (*ask)(void *ctx, const struct auto_intent *i);
};
/* The conversation should be joined (core_join). `h` may be NULL. */
struct driver *driver_new(struct core *c, struct str conversation, const struct driver_hooks *h, void *ctx);
void driver_free(struct driver *d);

/* From the hook: reads only. */
void driver_event(struct driver *d, const struct core_event *e);
/* A record that was here before the driver was, as on the wire: the Session, and the newest messages. */
void driver_record(struct driver *d, const struct json *record);
/* What the app found; empty: nothing. */
void driver_text(struct driver *d, struct str answer_id, struct str text);
/* Does what is due; not from a hook. Call it also at or soon after driver_next_ms (boot time; INT64_MAX: no need). */
void driver_step(struct driver *d, struct core_now now);
int64_t driver_next_ms(const struct driver *d);

#endif
