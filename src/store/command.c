/* Commands inside the writer's transaction.
 *
 * A command that fails must leave nothing, so before its first write there must be a place to go back to. A savepoint is
 * one, but it makes SQLite copy every page that is changed after it, which for a small command costs a quarter of its
 * time. So neighbours share one place, and the transaction's own beginning serves as long as it can:
 *
 *  1. Commands that are `repeatable` and follow each other form a group; one that is not is a group by itself.
 *  2. A group's place to go back to is fixed at its first write: the beginning of the transaction while nothing was
 *     written in it, else a savepoint.
 *  3. A command that fails before it wrote anything needs nothing taken back.
 *  4. When one fails after it wrote, the whole group is taken back, and then each of it, that one included, runs again
 *     as a group by itself. Commands in front of it meet the same state as the first time, so they end the same way;
 *     only numbers that are given out from memory differ. A batch runs at most twice, however many commands fail.
 *
 * The zone counters go back together with the rows (zones_undo), and so do the op's changes. */
#include "store/txn.h"

static enum err step(struct db *db, enum sql which)
{
	struct q q = q_begin(db, which);
	return q_run(&q);
}

bool command_spoilt(const struct txn *t)
{
	return t->db->full || t->db->fatal != OK || sqlite3_get_autocommit(t->db->h) != 0;
}

enum err txn_touch(struct txn *t)
{
	ASSERT(t->db->is_writer);
	t->wrote = true;
	if (t->back != BACK_NOWHERE) return OK;
	enum err e = t->has_kept ? step(t->db, SQL_SAVEPOINT) : OK;
	if (e != OK) return e;
	t->back = t->has_kept ? BACK_TO_SAVEPOINT : BACK_TO_BEGIN;
	t->undo_from = t->zones.nlog;
	t->zones.mark++;
	return OK;
}

/* Runs it once; nothing is taken back yet. */
static void run(struct txn *t, struct store_op *op)
{
	t->op = op;
	t->command++;
	t->wrote = false;
	op->err = op->run(t, op);
	if (op->err != OK) STAILQ_INIT(&op->changes);
}

/* Ends the group: what it wrote stays, or is taken back. */
static void end_group(struct txn *t, bool keep)
{
	enum err e = OK;
	if (!keep) zones_undo(&t->zones, t->undo_from);
	if (t->back == BACK_TO_SAVEPOINT) {
		if (!keep) e = step(t->db, SQL_ROLLBACK_TO);
		if (e == OK) e = step(t->db, SQL_RELEASE);
	} else if (t->back == BACK_TO_BEGIN && !keep) {
		e = step(t->db, SQL_ROLLBACK);
		if (e == OK) e = step(t->db, SQL_BEGIN_WRITE);
	}
	if (e != OK) t->db->full = true; /* whatever it was, the batch is spoilt */
	if (keep && t->back != BACK_NOWHERE) t->has_kept = true;
	t->back = BACK_NOWHERE;
	t->ngroup = 0;
}

static void run_each_alone(struct txn *t, struct store_op *first, const struct store_op *last)
{
	for (struct store_op *op = first;; op = STAILQ_NEXT(op, link)) {
		STAILQ_INIT(&op->changes);
		op->info = (struct errinfo){0};
		run(t, op);
		if (command_spoilt(t)) return;
		end_group(t, op->err == OK || !t->wrote);
		if (op == last) return;
	}
}

void command_run(struct txn *t, struct store_op *op)
{
	if (!op->repeatable) end_group(t, true);
	if (t->ngroup++ == 0) t->group = op;
	run(t, op);
	if (command_spoilt(t)) return;
	if (op->err != OK && t->wrote) {
		bool alone = t->ngroup == 1;
		end_group(t, false);
		if (!alone) run_each_alone(t, t->group, op);
	}
	if (!op->repeatable) end_group(t, true);
}

void command_end(struct txn *t) { end_group(t, true); }

void command_reset(struct txn *t)
{
	t->back = BACK_NOWHERE;
	t->has_kept = false;
	t->ngroup = 0;
}

/* ---- a part of a command ---- */

enum err txn_part_begin(struct txn *t, struct txn_part *p)
{
	const struct change *c;
	size_t n = 0;
	*p = (struct txn_part){.wrote = t->wrote};
	enum err e = txn_touch(t);
	if (e == OK) e = step(t->db, SQL_SAVEPOINT);
	STAILQ_FOREACH (c, &t->op->changes, link) n++;
	p->undo_from = t->zones.nlog;
	p->nchanges = n;
	p->changes = arena_alloc(txn_arena(t), xmul(n, sizeof *p->changes));
	n = 0;
	STAILQ_FOREACH (c, &t->op->changes, link) p->changes[n++] = *c;
	t->zones.mark++;
	return e;
}

static void restore_changes(struct txn *t, struct txn_part *p)
{
	STAILQ_INIT(&t->op->changes);
	for (size_t i = 0; i < p->nchanges; i++) STAILQ_INSERT_TAIL(&t->op->changes, &p->changes[i], link);
}

enum err txn_part_end(struct txn *t, struct txn_part *p, bool keep)
{
	enum err e = OK;
	if (!keep) {
		zones_undo(&t->zones, p->undo_from);
		restore_changes(t, p);
		t->wrote = p->wrote;
		e = step(t->db, SQL_ROLLBACK_TO);
	}
	enum err released = step(t->db, SQL_RELEASE);
	return e != OK ? e : released;
}
