/* Who holds a session's lock: the rules of device/seats.h, one by one. */
#include "seats_gear.h"

#include "device/seats.h"

/* ---- the lock --------------------------------------------------------------------------------------------------- */

static void lock_is_granted_renewed_and_refused_to_others(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *t = lock(r, "b", 10000, 0);
	commit(r);
	assert_int_equal(t->e, OK);
	assert_int_equal(t->fence, 1);
	struct token *no = lock(r, "a", 10000, 0);
	assert_int_equal(no->e, ERR_SESSION_LOCKED);
	assert_string_equal(no->holder, "b");
	pass_time(r, 6000, "");
	t = lock(r, "b", 10000, 0);
	commit(r);
	assert_int_equal(t->fence, 1); /* renewed */
	pass_time(r, 6000, "");
	assert_int_equal(lock(r, "a", 10000, 0)->e, ERR_SESSION_LOCKED);
}

static void lock_ends_with_its_lease_and_is_told(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	(void)lock(r, "b", 3000, 0);
	commit(r);
	expect_log(r, "lock b 1;");
	pass_time(r, 3100, "");
	commit(r);
	expect_log(r, "lock - 1;");
	struct token *t = lock(r, "a", 3000, 0);
	commit(r);
	assert_int_equal(t->fence, 2);
}

static void lease_is_cut_to_the_limit(void **state)
{
	struct rig *r = *state;
	struct seats_state st;
	join_all(r, "a");
	(void)lock(r, "a", 1000 * 1000 * 1000, 0);
	commit(r);
	assert_true(seats_find(r->seats, 1, STR("s"), &st));
	assert_int_equal(st.until_ms, r->now + r->limits.lock_ms);
}

static void waiting_is_fair_and_ends_with_unlock_leave_loss_and_expiry(void **state)
{
	struct rig *r = *state;
	join_all(r, "abcde");
	(void)lock(r, "a", 60000, 0);
	struct token *b = lock(r, "b", 60000, 50000), *c = lock(r, "c", 60000, 50000), *d = lock(r, "d", 1000, 50000),
		     *e = lock(r, "e", 60000, 50000);
	commit(r);
	assert_int_equal(b->e, WAITING);
	struct token *u = unlock(r, "a", 1);
	commit(r);
	assert_int_equal(u->e, OK);
	assert_int_equal(b->e, OK);
	assert_int_equal(b->fence, 2);
	leave(r, "b");
	commit(r);
	assert_int_equal(c->e, OK);
	lose(r, "c");
	commit(r);
	assert_int_equal(d->e, OK);
	assert_int_equal(d->fence, 4);
	pass_time(r, 1100, "");
	commit(r);
	assert_int_equal(e->e, OK);
	assert_int_equal(e->fence, 5);
}

static void nobody_overtakes_the_line(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	(void)lock(r, "a", 60000, 0);
	commit(r);
	struct token *b = lock(r, "b", 60000, 50000);
	(void)unlock(r, "a", 0);
	struct token *c = lock(r, "c", 60000, 0); /* asks while the lock changes hands */
	commit(r);
	assert_int_equal(b->e, OK);
	assert_int_equal(c->e, ERR_SESSION_LOCKED);
	assert_string_equal(c->holder, "b");
}

static void waiting_ends_after_its_time_and_past_the_limit(void **state)
{
	struct rig *r = *state;
	r->limits.lock_waiters = 1;
	join_all(r, "abc");
	(void)lock(r, "a", 60000, 0);
	commit(r);
	struct token *b = lock(r, "b", 60000, 2000), *c = lock(r, "c", 60000, 2000);
	assert_int_equal(c->e, ERR_TOO_MANY);
	pass_time(r, 1900, "");
	assert_int_equal(b->e, WAITING);
	pass_time(r, 200, "");
	assert_int_equal(b->e, ERR_SESSION_LOCKED);
	assert_string_equal(b->holder, "a");
}

static void who_asks_again_has_one_place_in_line(void **state)
{
	struct rig *r = *state;
	r->limits.lock_waiters = 2;
	join_all(r, "abc");
	(void)lock(r, "a", 60000, 0);
	commit(r);
	struct token *first = lock(r, "b", 60000, 2000), *again = lock(r, "b", 60000, 50000);
	struct token *c = lock(r, "c", 60000, 50000); /* there is room for it */
	assert_int_equal(first->e, ERR_SESSION_LOCKED);
	assert_string_equal(first->holder, "a");
	pass_time(r, 3000, ""); /* it is the later question's time that counts */
	assert_int_equal(again->e, WAITING);
	(void)unlock(r, "a", 0);
	commit(r);
	assert_int_equal(again->e, OK);
	assert_int_equal(c->e, WAITING);
	(void)unlock(r, "b", 0);
	commit(r);
	assert_int_equal(c->e, OK);
	assert_int_equal(c->fence, 3);
}

static void unlock_needs_the_holder_and_its_fence(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	assert_int_equal(unlock(r, "a", 0)->e, ERR_NOT_HOLDER);
	(void)lock(r, "a", 60000, 0);
	commit(r);
	assert_int_equal(unlock(r, "b", 0)->e, ERR_NOT_HOLDER);
	assert_int_equal(unlock(r, "a", 9)->e, ERR_NOT_HOLDER);
	struct token *t = unlock(r, "a", 1);
	commit(r);
	assert_int_equal(t->e, OK);
	expect_log(r, "lock a 1;lock - 1;");
}

static void unlock_that_is_not_on_disk_is_not_answered(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	(void)lock(r, "a", 60000, 0);
	commit(r);
	struct token *b = lock(r, "b", 60000, 50000), *u = unlock(r, "a", 0);
	assert_int_equal(u->e, WAITING);
	r->disk = ERR_STORAGE_FULL;
	commit(r);
	assert_int_equal(u->e, ERR_STORAGE_FULL);
	assert_int_equal(b->e, ERR_STORAGE_FULL);
	assert_int_equal(lock(r, "b", 60000, 0)->e, ERR_SESSION_LOCKED); /* a still holds it */
}

static void fences_grow_over_restarts(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	(void)lock(r, "a", 60000, 0);
	commit(r);
	restart(r);
	join_all(r, "ab");
	struct token *t = lock(r, "b", 60000, 0); /* the lease of before is void */
	commit(r);
	assert_int_equal(t->e, OK);
	assert_int_equal(t->fence, 2);
}

static void line_stays_fair_when_a_fence_was_not_known(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	(void)lock(r, "a", 60000, 0);
	commit(r);
	struct token *b = lock(r, "b", 60000, 50000), *c = lock(r, "c", 60000, 50000), *u = unlock(r, "a", 0);
	r->row.fence = 9;
	commit(r);
	assert_int_equal(u->e, ERR_NOT_HOLDER);
	assert_int_equal(b->e, OK);
	assert_int_equal(b->fence, 10);
	assert_int_equal(c->e, WAITING);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(lock_is_granted_renewed_and_refused_to_others),
		T(lock_ends_with_its_lease_and_is_told),
		T(lease_is_cut_to_the_limit),
		T(waiting_is_fair_and_ends_with_unlock_leave_loss_and_expiry),
		T(nobody_overtakes_the_line),
		T(waiting_ends_after_its_time_and_past_the_limit),
		T(who_asks_again_has_one_place_in_line),
		T(unlock_needs_the_holder_and_its_fence),
		T(unlock_that_is_not_on_disk_is_not_answered),
		T(fences_grow_over_restarts),
		T(line_stays_fair_when_a_fence_was_not_known),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
