/* What happens in a run: who is there, what people do, what goes wrong, and how it must end.
 *
 * To add an operation: a function and a row in the table in people.c (what people do) or faults.c (what goes wrong). To
 * add an invariant: if it is about what devices are told, a judgement in book.c; if it is about the end, one in finale.c. */
#ifndef ROOST_SIM_PLAN_H
#define ROOST_SIM_PLAN_H

#include "sim/device.h"

#define DEVICES_MAX 8
#define REVOKED_MAX 8
#define CONVERSATIONS 3

struct op {
	const char *name;
	unsigned weight;
	void (*fn)(void);
};
extern const struct op people_ops[];
extern const size_t people_op_count;
extern const struct op fault_ops[];
extern const size_t fault_op_count;

struct plan {
	struct device *devices[DEVICES_MAX + 2];
	struct device *revoked[REVOKED_MAX];
	int ndevices, nrevoked, nusers, nmade;
	bool calm; /* the faults have stopped */
};
extern struct plan plan;

/* Runs one seed from the first start to the comparison at the end; returns when everything held. Typed bytes that are
 * nowhere any more are added to *lost_bytes, before that ends the run. */
void plan_run(int64_t *lost_bytes);

struct device *plan_device(void);                     /* any that is paired */
struct str plan_conversation(const struct device *d); /* one of its user's; dies with the next call */
void plan_add_device(int user);                       /* pairs it; it is connected soon */
void plan_revoked(struct str device_id);              /* it is; another one is paired in its place */
void run_until(int64_t until_us);
void finale(int64_t *lost_bytes);    /* finale.c: the faults stop, and what must hold then */
void plan_calm(void);                /* faults.c: everything is whole again */
void plan_network(struct device *d); /* faults.c: gives a device its way to the daemon */

#endif
