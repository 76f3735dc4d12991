/* A device that runs libroost's own core (src/client), on a simulated disk.
 *
 * Its outbox, cursor, merging, joins and retries are the core's, the automatic runs it drives are client/driver.h's; what
 * goes over its wire is watched (device.h) like any other device's. The disk makes batches durable a little later, in order; a crash loses those that were not. */
#ifndef ROOST_SIM_APP_H
#define ROOST_SIM_APP_H

#include "sim/device.h"

void app_new(struct device *d); /* d->app; it is offline */
/* The wire's news, from device.c. */
void app_opened(struct device *d);
void app_heard(struct device *d, struct str text);
void app_closed(struct device *d, int code); /* 401: it was not even let in */

void app_online(struct device *d, bool wants);
void app_crash(struct device *d);
void app_wake(struct device *d); /* its machine slept */
bool app_is_quiet(const struct device *d);
void app_resolve_held(struct device *d, bool discard); /* the person decides; else by chance */

/* What people do. `request` is a JSON object, "" none. */
void app_send(struct device *d, const char *conversation, const char *session, const char *text, struct str request,
	      bool automatic, int64_t term);
void app_edit(struct device *d, const char *message, const char *text);
void app_delete(struct device *d, const char *message);
void app_save(struct device *d, const char *type, const char *name, const char *fields);
void app_remove(struct device *d, const char *type, const char *name);
void app_join(struct device *d, const char *conversation);
void app_leave(struct device *d, const char *conversation);
void app_clear(struct device *d, bool is_project, const char *id); /* else a session */
void app_lock(struct device *d, const char *session, int64_t ttl_ms, int64_t wait_ms);
void app_unlock(struct device *d, const char *where); /* if it holds it; renewed until then */
bool app_say(struct device *d, const char *type, struct str members);

/* Does it hold this record, with this change tag? */
bool app_holds(const struct device *d, struct str type, struct str name, int64_t seq);

#endif
