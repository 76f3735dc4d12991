/* The simulated world: one seed, one clock, one list of what happens next.
 *
 * Everything that happens is an event at a time; equal times go by the order in which they were planned. Nothing else
 * moves the clock. Three streams of random numbers come from the seed: `pick` for what people, networks and disks do,
 * one for the scheduler, and one for what the kernel's getrandom gives the program under test, so that a new draw in
 * one place does not change the others.
 *
 * Every event of interest is noted: the notes are hashed (two runs of a seed must have the same hash), the last are
 * kept for the report of a failure, and with --trace each is printed. */
#ifndef ROOST_SIM_WORLD_H
#define ROOST_SIM_WORLD_H

#include "base/buf.h"
#include "base/id.h"

#define MS 1000LL /* in simulated microseconds */
#define SECOND 1000000LL

/* Faults in the program under test that the simulator can plant in its twins, to prove that it would notice. */
#define PLANT_MAP(X)                                                                                                   \
	X(PLANT_NONE, "none", "no fault")                                                                              \
	X(PLANT_EARLY_ACK, "early-ack", "a sync says it is done before anything is on disk")                           \
	X(PLANT_NO_DEDUP, "no-dedup", "a message id that is there already is taken for a new one")                     \
	X(PLANT_NO_FENCE, "no-fence", "an attempt that was superseded may end its request")                            \
	X(PLANT_NO_TERM, "no-term", "automatic messages are taken from any device")                                    \
	X(PLANT_LOST_PAGE, "lost-page", "a page of the feed is lost while its cursor is kept")                         \
	X(PLANT_KEPT_SEAT, "kept-seat", "a device keeps the seats its hello does not name")                            \
	X(PLANT_NO_RUN, "no-run", "an automatic message is taken whatever became of its run and answer")               \
	X(PLANT_OPEN_DOOR, "open-door", "a revoked device stays what it was")
enum plant {
#define X(sym, name, what) sym,
	PLANT_MAP(X)
#undef X
};

struct world_options {
	uint64_t seed;
	int64_t steps;
	bool trace;
	enum plant plant;
	const char *dir; /* a directory of this process's own, for the few files that are real */
};

void world_open(const struct world_options *o);
const struct world_options *world_options(void);
bool planted(enum plant p); /* and the plan has begun: world_count_step */

/* ---- time ---- */
int64_t now_us(void);  /* boot time: never jumps */
int64_t wall_us(void); /* boot time plus the error of the wall clock */
void wall_jump(int64_t by_us);

typedef void (*event_fn)(void *arg);
void at(int64_t time_us, event_fn fn, void *arg);
static inline void after(int64_t wait_us, event_fn fn, void *arg) { at(now_us() + wait_us, fn, arg); }
/* Runs the next event; false when there is none before `until_us`, and then it is that late. */
bool world_step(int64_t until_us);

/* ---- chance ---- */
uint64_t pick(uint64_t n);                    /* 0 … n-1 */
int64_t pick_between(int64_t lo, int64_t hi); /* both may come */
bool chance(unsigned per_thousand);
int64_t sched_between(int64_t lo, int64_t hi); /* the scheduler's own stream */
void entropy(void *p, size_t n);               /* what the kernel gives */

/* ---- what happened ---- */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t world_hash(void);
int64_t world_notes(void);
void world_count_step(void); /* one operation of the plan began */
int64_t world_steps(void);
/* An invariant does not hold: prints the seed, the step, the invariant, the last events and how to see it again, and
 * ends this process with status 1. */
_Noreturn void broken(const char *invariant, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define EXPECT(invariant, cond, ...) ((cond) ? (void)0 : broken((invariant), __VA_ARGS__))

#endif
