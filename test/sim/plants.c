/* Faults planted in the program under test, where its own parts call each other (--wrap): the simulator must notice each
 * of them. And the zombie: a worker that was thought dead and says again how its attempt ended. Without a plant nothing
 * here changes anything. */
#include "base/clock.h"
#include "device/automatic.h"
#include "device/pairing.h"
#include "relay/commands.h"
#include "relay/relay.h"
#include "server/server.h"
#include "sim/house.h"
#include "sim/zombie.h"

enum err __real_cmd_send_run(struct txn *t, struct store_op *op);
enum err __wrap_cmd_send_run(struct txn *t, struct store_op *op);
enum err __real_cmd_finish_run(struct txn *t, struct store_op *op);
enum err __wrap_cmd_finish_run(struct txn *t, struct store_op *op);
void __real_store_submit(struct store *s, struct store_op *op);
void __wrap_store_submit(struct store *s, struct store_op *op);

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* The id is there already, and the message is stored a second time. */
static void forget_id(struct txn *t, struct cmd_send *c)
{
	uint32_t zone;
	struct record old;
	if (txn_zone(t, c->user, ZONE_HOME, false, &zone) != OK) return;
	while (txn_get(t, zone, RT_MESSAGE, c->message_id, &old) == OK) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		(void)buf_addf(&b, "%.*s+", STR_ARG(c->message_id));
		c->message_id = arena_str(txn_arena(t), buf_str(&b));
		buf_release(&b);
	}
}

enum err __wrap_cmd_send_run(struct txn *t, struct store_op *op)
{
	struct cmd_send *c = CONTAINER_OF(op, struct cmd_send, op);
	struct str id = c->message_id;
	if (planted(PLANT_NO_TERM)) c->automatic = false;
	if (planted(PLANT_NO_DEDUP)) forget_id(t, c);
	enum err e = __real_cmd_send_run(t, op);
	c->message_id = id;
	return e;
}

/* ---- devices and what they drive --------------------------------------------------------------------------------- */

void __real_session_leave(struct peer *p, struct join *j);
void __wrap_session_leave(struct peer *p, struct join *j);
enum err __real_cmd_revoke_run(struct txn *t, struct store_op *op);
enum err __wrap_cmd_revoke_run(struct txn *t, struct store_op *op);
enum err __real_automatic_judge(const struct automatic *a, const struct session *s, uint32_t zone, int64_t conv,
				const struct automatic_message *m, struct automatic_refusal *out);
enum err __wrap_automatic_judge(const struct automatic *a, const struct session *s, uint32_t zone, int64_t conv,
				const struct automatic_message *m, struct automatic_refusal *out);

/* Only a hello leaves from another file than the function's own. */
void __wrap_session_leave(struct peer *p, struct join *j)
{
	if (!planted(PLANT_KEPT_SEAT)) __real_session_leave(p, j);
}

enum err __wrap_cmd_revoke_run(struct txn *t, struct store_op *op)
{
	return planted(PLANT_OPEN_DOOR) ? OK : __real_cmd_revoke_run(t, op);
}

enum err __wrap_automatic_judge(const struct automatic *a, const struct session *s, uint32_t zone, int64_t conv,
				const struct automatic_message *m, struct automatic_refusal *out)
{
	enum err e = __real_automatic_judge(a, s, zone, conv, m, out);
	return planted(PLANT_NO_RUN) && (e == ERR_AUTO_STOPPED || e == ERR_ANSWERED) ? OK : e;
}

/* ---- zombies ----------------------------------------------------------------------------------------------------- */

/* An attempt that some worker had. */
struct zombie {
	int64_t row, attempt, incarnation;
	int64_t life; /* of the daemon, in which it ran */
	bool spent;   /* it has ended */
};

#define ZOMBIES 16
static struct zombie zombies[ZOMBIES];
static uint64_t nzombies;
static struct store *store;

void __real_relay_committed(struct relay *r, struct store_op *op, struct now now);
void __wrap_relay_committed(struct relay *r, struct store_op *op, struct now now);

static struct zombie *attempt_of(int64_t row, int64_t attempt, int64_t incarnation)
{
	struct zombie *z;
	for (size_t i = 0; i < ZOMBIES; i++) {
		z = &zombies[i];
		if (z->row == row && z->attempt == attempt && z->incarnation == incarnation) return z;
	}
	z = &zombies[nzombies++ % ZOMBIES];
	*z = (struct zombie){.row = row, .attempt = attempt, .incarnation = incarnation, .life = house_lives()};
	return z;
}

void __wrap_store_submit(struct store *s, struct store_op *op)
{
	store = s;
	__real_store_submit(s, op);
}

void __wrap_relay_committed(struct relay *r, struct store_op *op, struct now now)
{
	if (op->err == OK && op->run == __wrap_cmd_finish_run) {
		const struct cmd_finish *c = CONTAINER_OF(op, struct cmd_finish, op);
		attempt_of(c->row, c->attempt, c->incarnation)->spent = true;
	} else if (op->err == OK && op->run == cmd_claim_run) {
		const struct cmd_claim *c = CONTAINER_OF(op, struct cmd_claim, op);
		(void)attempt_of(c->row, c->job.request.attempt, c->incarnation);
	}
	__real_relay_committed(r, op, now);
}

enum err __wrap_cmd_finish_run(struct txn *t, struct store_op *op)
{
	struct cmd_finish *c = CONTAINER_OF(op, struct cmd_finish, op);
	struct record r;
	struct request q;
	if (planted(PLANT_NO_FENCE) && txn_get_row(t, c->row, &r) == OK && request_read(&q, &r, txn_arena(t)) == OK) {
		c->attempt = q.attempt;
		c->incarnation = q.owner;
	}
	return __real_cmd_finish_run(t, op);
}

struct rising {
	struct cmd_finish cmd;
	int64_t attempt;
};

static void risen(struct store_op *op)
{
	struct rising *r = op->ctx;
	note("a zombie of attempt %lld says it is done: %s", (long long)r->attempt, err_code(op->err));
	EXPECT("an attempt that is over ends nothing", op->err != OK,
	       "attempt %lld of row %lld was over, and could end it", (long long)r->attempt, (long long)r->cmd.row);
	store_op_release(op);
	free(r);
}

static void rise(const struct zombie *z)
{
	struct rising *r = xcalloc(1, sizeof *r);
	r->attempt = z->attempt;
	store_op_init(&r->cmd.op, __wrap_cmd_finish_run, risen, 0, clock_wall_ms());
	r->cmd.op.ctx = r;
	r->cmd.as = FINISH_DONE;
	r->cmd.row = z->row;
	r->cmd.attempt = z->attempt;
	r->cmd.incarnation = z->incarnation;
	r->cmd.text = STR("what a zombie says");
	r->cmd.finish_reason = STR("stop");
	__real_store_submit(store, &r->cmd.op);
}

void zombies_rise(int64_t up_us)
{
	for (const struct zombie *z = zombies; store != NULL && z < zombies + ZOMBIES; z++) {
		/* A daemon that has just started first ends what ran before it. */
		bool over = z->spent || (z->life != house_lives() && up_us > 2 * SECOND);
		if (z->row != 0 && over) rise(z);
	}
}

void zombies_daemon_died(void) { store = NULL; }
