/* Users, their credentials and pairing codes, and who refers to an attachment. */
#include "store/store.h"

#include "store_fixture.h"

static enum err users_run(struct txn *t, void *ctx)
{
	(void)ctx;
	struct user_row u, v;
	assert_int_equal(txn_user_add(t, STR("bob"), &u), OK);
	assert_int_equal(txn_user_add(t, STR("bob"), &v), ERR_EXISTS);
	assert_int_equal(txn_user_add(t, STR("no spaces"), &v), ERR_BAD_FIELD);
	assert_int_equal(txn_user_find(t, u.id, &v), OK);
	assert_int_equal(v.user, u.user);
	assert_int_equal(txn_user_disable(t, u.user, true), OK);
	assert_int_equal(txn_user_find(t, STR("bob"), &v), OK);
	assert_true(v.disabled);
	assert_int_equal(txn_user_disable(t, 999, true), ERR_NOT_FOUND);
	return OK;
}
static enum err count_user(void *ctx, const struct user_row *u)
{
	(void)u;
	++*(int *)ctx;
	return OK;
}
static enum err users_list_run(struct txn *t, void *ctx) { return txn_users(t, count_user, ctx); }

static void users_are_added_found_and_disabled(void **state)
{
	struct fixture *f = *state;
	int n = 0;
	assert_int_equal(run(f, users_run, NULL), OK);
	assert_int_equal(run_on_reader(f, users_list_run, &n), OK);
	assert_int_equal(n, 2);
	assert_healthy(f);
}

static enum err count_cred(void *ctx, const struct cred_row *c)
{
	*(int *)ctx += c->revoked ? 100 : 1;
	return OK;
}
static enum err creds_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	unsigned char a[32] = {1}, b[32] = {2}, none[32] = {3};
	struct cred_row c;
	int n = 0;
	assert_int_equal(txn_cred_add(t, f->actor, a), OK);
	assert_int_equal(txn_cred_add(t, f->actor, b), OK);
	assert_int_equal(txn_cred_find(t, a, &c), OK);
	assert_true(c.principal == f->actor && !c.revoked && str_eq(c.user_name, STR("ann")) &&
		    str_eq(c.device_id, STR("phone")));
	assert_int_equal(txn_cred_find(t, none, &c), ERR_NOT_FOUND);
	assert_int_equal(txn_cred_revoke(t, f->actor), OK);
	assert_int_equal(txn_cred_find(t, b, &c), OK);
	assert_true(c.revoked);
	assert_int_equal(txn_cred_revoke(t, 999), ERR_NOT_FOUND);
	assert_int_equal(txn_creds(t, 0, count_cred, &n), OK);
	assert_int_equal(n, 200);
	assert_int_equal(txn_creds(t, f->user + 1, count_cred, &n), OK);
	assert_int_equal(n, 200);
	return OK;
}
static void credentials_are_found_by_hash_and_revoked_together(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, creds_run, f), OK);
	assert_healthy(f);
}

static enum err pair_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	unsigned char live[32] = {1}, old[32] = {2};
	int64_t user;
	assert_int_equal(txn_pair_add(t, live, f->user, txn_now_ms(t) + 1000), OK);
	assert_int_equal(txn_pair_add(t, old, f->user, txn_now_ms(t)), OK);
	assert_int_equal(txn_pair_add(t, old, 999, txn_now_ms(t)), ERR_NOT_FOUND);
	assert_int_equal(txn_pair_take(t, old, &user), ERR_PAIRING);
	assert_int_equal(txn_pair_take(t, live, &user), OK);
	assert_int_equal(user, f->user);
	assert_int_equal(txn_pair_take(t, live, &user), ERR_PAIRING);
	return OK;
}
static void a_pairing_code_works_once_and_in_time(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, pair_run, f), OK);
}

static enum err count_asset(void *ctx, const struct asset_row *a)
{
	*(int64_t *)ctx += a->size;
	return OK;
}
static enum err assets_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct asset_row a = {.hash = {1}, .user = f->user, .size = 10, .created_ms = 100}, b = a;
	unsigned char none[32] = {9};
	int64_t sum = 0;
	b.hash[0] = 2;
	b.size = 5;
	assert_int_equal(txn_asset_add(t, &a), OK);
	assert_int_equal(txn_asset_add(t, &b), OK);
	assert_int_equal(txn_asset_ref(t, f->user, a.hash, 1), OK);
	assert_int_equal(txn_asset_ref(t, f->user, none, 1), ERR_NOT_FOUND);
	assert_int_equal(txn_asset_ref(t, f->user + 1, a.hash, 1), ERR_NOT_FOUND);
	assert_int_equal(txn_assets_unreferenced(t, 101, count_asset, &sum), OK);
	assert_int_equal(sum, 5);
	b.created_ms = 200;
	assert_int_equal(txn_asset_add(t, &b), OK);
	sum = 0;
	assert_int_equal(txn_assets_unreferenced(t, 101, count_asset, &sum), OK);
	assert_int_equal(sum, 0);
	assert_int_equal(txn_asset_get(t, f->user, a.hash, &b), OK);
	assert_true(b.refs == 1 && b.size == 10);
	assert_int_equal(txn_asset_exists(t, a.hash), OK);
	assert_int_equal(txn_asset_drop(t, f->user, a.hash), OK);
	assert_int_equal(txn_asset_exists(t, a.hash), ERR_NOT_FOUND);
	return OK;
}
static void attachments_are_counted_per_user(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, assets_run, f), OK);
	assert_healthy(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(users_are_added_found_and_disabled),
		T(credentials_are_found_by_hash_and_revoked_together),
		T(a_pairing_code_works_once_and_in_time),
		T(attachments_are_counted_per_user),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
