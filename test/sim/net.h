/* The simulated network, from the devices' side and the world's. The daemon's side is net/http.h itself.
 *
 * A path is one machine's way to the daemon: delay, jitter, loss (which TCP turns into delay), and whether anything gets
 * through at all. A wire is one WebSocket connection over a path. As TCP promises, what arrives on a wire arrives in
 * order and once; what is under way when a wire breaks is lost, and how much of it was nobody is told. */
#ifndef ROOST_SIM_NET_H
#define ROOST_SIM_NET_H

#include "sim/world.h"

struct path {
	int64_t delay_us, jitter_us; /* one way */
	unsigned lost;               /* of a thousand pieces, how many TCP must send again */
	bool down;                   /* nothing gets through, and nobody is told */
	bool asleep;                 /* the machine at its end does nothing */
};

struct wire;
struct wire_hooks {
	void (*open)(void *ctx);
	void (*text)(void *ctx, struct str text);
	/* The last call. 1000–4999: the code of a close; 100–599: the status that refused the upgrade; 0: it broke. */
	void (*closed)(void *ctx, int code);
};
struct wire *wire_dial(struct path *p, struct str token, const struct wire_hooks *hooks, void *ctx);
void wire_send(struct wire *w, struct str text);
bool wire_answers(const struct wire *w); /* a ping of the transport would come back */
/* The device lets go without a goodbye; no hook is called any more. `silent`: its machine is gone too, so that the
 * daemon must find out by itself. */
void wire_abandon(struct wire *w, bool silent);
void wire_break(struct wire *w); /* by something between: both ends hear of it, each in its time */

typedef void (*http_fn)(void *ctx, int status, struct str body); /* status 0: no answer came */
/* One HTTP request. `token` may be STR_NONE; `local`: over the Unix socket, with the operator's rights. */
void http_ask(struct path *p, const char *method, const char *path, struct str token, struct str body, bool local,
	      http_fn then, void *ctx);

void net_daemon_died(void); /* every wire breaks, nothing listens */
bool net_listens(void);
size_t net_wires_open(void); /* as the daemon has them */

/* The loop's side. */
bool net_has_input(void);
void net_dispatch(void); /* on the loop: gives the daemon what arrived */
void loop_wake(void);
void loop_signal(int signum);
void loop_forget(void);

#endif
