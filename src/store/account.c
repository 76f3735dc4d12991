/* Users, credentials, pairing codes, and whose attachments are whose. Secrets are here only as SHA-256. */
#include "base/hash.h"
#include "base/id.h"
#include "store/txn.h"

static struct str hash_str(const unsigned char hash[SHA256_LEN]) { return str_n((const char *)hash, SHA256_LEN); }

static enum err bad_row(struct txn *t, const char *what, int64_t n)
{
	return err_set(&t->op->info, ERR_CORRUPT, "%s %lld fails its checksum; run: roost doctor", what, (long long)n);
}

/* ---- users ---- */

static uint64_t user_sum(const struct user_row *u)
{
	return sum_str(sum_str(SUM_INTS(SUM_USER, u->user, u->disabled, u->created_ms), u->id), u->name);
}

static enum err user_load(struct txn *t, const struct q *q, struct user_row *out)
{
	struct arena *a = txn_arena(t);
	*out = (struct user_row){.user = q_get_int(q, 0),
				 .id = q_copy_str(q, 1, a),
				 .name = q_copy_str(q, 2, a),
				 .disabled = q_get_int(q, 3) != 0,
				 .created_ms = q_get_int(q, 4)};
	return (uint64_t)q_get_int(q, 5) == user_sum(out) ? OK : bad_row(t, "user", out->user);
}

enum err txn_user_add(struct txn *t, struct str name, struct user_row *out)
{
	if (!name_is_valid(name))
		return err_set(&t->op->info, ERR_BAD_FIELD,
			       "a user's name is 1–255 characters of A–Z a–z 0–9 . _ - : @ +");
	struct id id = id_new(txn_now_ms(t));
	enum err e = txn_user_find(t, name, out);
	if (e == OK) return err_set(&t->op->info, ERR_EXISTS, "there is a user %.*s already", STR_ARG(name));
	if (e == ERR_NOT_FOUND) e = txn_touch(t);
	if (e != OK) return e;
	*out = (struct user_row){.user = t->next_user++,
				 .id = arena_str(txn_arena(t), id_str(&id)),
				 .name = arena_str(txn_arena(t), name),
				 .created_ms = txn_now_ms(t)};
	struct q q = q_begin(t->db, SQL_USER_ADD);
	q_int(&q, out->user);
	q_text(&q, out->id);
	q_text(&q, out->name);
	q_int(&q, 0);
	q_int(&q, out->created_ms);
	q_int(&q, (int64_t)user_sum(out));
	return q_run(&q);
}

static enum err user_one(struct txn *t, struct q *q, struct user_row *out)
{
	enum err loaded = q_row(q) ? user_load(t, q, out) : ERR_NOT_FOUND;
	enum err e = q_end(q);
	return e != OK ? e : loaded;
}

enum err txn_user_find(struct txn *t, struct str name_or_id, struct user_row *out)
{
	struct q q = q_begin(t->db, SQL_USER_FIND);
	q_text(&q, name_or_id);
	return user_one(t, &q, out);
}

enum err txn_user_by_number(struct txn *t, int64_t user, struct user_row *out)
{
	struct q q = q_begin(t->db, SQL_USER_GET);
	q_int(&q, user);
	return user_one(t, &q, out);
}

enum err txn_user_disable(struct txn *t, int64_t user, bool disabled)
{
	struct user_row u;
	enum err e = txn_user_by_number(t, user, &u);
	if (e == OK) e = txn_touch(t);
	if (e != OK) return e;
	u.disabled = disabled;
	struct q q = q_begin(t->db, SQL_USER_SET);
	q_int(&q, user);
	q_int(&q, disabled);
	q_int(&q, (int64_t)user_sum(&u));
	return q_run(&q);
}

enum err txn_users(struct txn *t, user_fn fn, void *ctx)
{
	enum err bad = OK;
	struct q q = q_begin(t->db, SQL_USER_LIST);
	while (bad == OK && q_row(&q)) {
		struct user_row u;
		bad = user_load(t, &q, &u);
		if (bad == OK) bad = fn(ctx, &u);
	}
	enum err e = q_end(&q);
	return e != OK ? e : bad;
}

/* ---- credentials ---- */

static uint64_t cred_sum(struct str hash, const struct cred_row *c)
{
	return sum_str(SUM_INTS(SUM_CRED, c->principal, c->revoked, c->created_ms), hash);
}

enum err txn_cred_add(struct txn *t, uint32_t principal, const unsigned char hash[32])
{
	struct cred_row c = {.principal = principal, .created_ms = txn_now_ms(t)};
	enum err e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_CRED_ADD);
	q_blob(&q, hash_str(hash));
	q_int(&q, principal);
	q_int(&q, 0);
	q_int(&q, c.created_ms);
	q_int(&q, (int64_t)cred_sum(hash_str(hash), &c));
	return q_run(&q);
}

/* The row alone; whose it is comes later, when the statement is done. */
static enum err cred_load(struct txn *t, const struct q *q, struct cred_row *out, struct str *out_hash)
{
	*out_hash = q_copy_str(q, 0, txn_arena(t));
	*out = (struct cred_row){
		.principal = (uint32_t)q_get_int(q, 1), .revoked = q_get_int(q, 2) != 0, .created_ms = q_get_int(q, 3)};
	return (uint64_t)q_get_int(q, 4) == cred_sum(*out_hash, out)
		       ? OK
		       : bad_row(t, "a credential of principal", out->principal);
}

static enum err cred_owner(struct txn *t, struct cred_row *c)
{
	struct user_row u;
	const struct principal *p = intern_principal(t->intern, c->principal);
	if (p == NULL) return bad_row(t, "principal", c->principal);
	enum err e = txn_user_by_number(t, p->user, &u);
	if (e != OK) return e == ERR_NOT_FOUND ? bad_row(t, "user", p->user) : e;
	c->user = p->user;
	c->user_id = u.id;
	c->user_name = u.name;
	c->device_id = p->device_id;
	c->user_disabled = u.disabled;
	return OK;
}

enum err txn_cred_find(struct txn *t, const unsigned char hash[32], struct cred_row *out)
{
	struct str h;
	struct q q = q_begin(t->db, SQL_CRED_GET);
	q_blob(&q, hash_str(hash));
	enum err loaded = q_row(&q) ? cred_load(t, &q, out, &h) : ERR_NOT_FOUND;
	enum err e = q_end(&q);
	if (e == OK) e = loaded;
	return e == OK ? cred_owner(t, out) : e;
}

struct cred_page {
	struct cred_row *list;
	struct str *hashes;
	size_t n, cap;
};

static enum err cred_collect(struct txn *t, struct q *q, struct cred_page *p)
{
	enum err bad = OK;
	while (bad == OK && q_row(q)) {
		if (p->n == p->cap) {
			p->cap = MAX(p->cap * 2, (size_t)16);
			p->list = xrealloc(p->list, xmul(p->cap, sizeof *p->list));
			p->hashes = xrealloc(p->hashes, xmul(p->cap, sizeof *p->hashes));
		}
		bad = cred_load(t, q, &p->list[p->n], &p->hashes[p->n]);
		if (bad == OK) p->n++;
	}
	enum err e = q_end(q);
	return e != OK ? e : bad;
}

static void cred_page_release(struct cred_page *p)
{
	free(p->list);
	free(p->hashes);
}

enum err txn_cred_revoke(struct txn *t, uint32_t principal)
{
	struct cred_page p = {0};
	struct q q = q_begin(t->db, SQL_CRED_OF);
	q_int(&q, principal);
	enum err e = cred_collect(t, &q, &p);
	if (e == OK) e = p.n > 0 ? txn_touch(t) : ERR_NOT_FOUND;
	for (size_t i = 0; e == OK && i < p.n; i++) {
		p.list[i].revoked = true;
		q = q_begin(t->db, SQL_CRED_SET);
		q_blob(&q, p.hashes[i]);
		q_int(&q, 1);
		q_int(&q, (int64_t)cred_sum(p.hashes[i], &p.list[i]));
		e = q_run(&q);
	}
	cred_page_release(&p);
	return e;
}

enum err txn_creds(struct txn *t, int64_t user, cred_fn fn, void *ctx)
{
	struct cred_page p = {0};
	struct q q = q_begin(t->db, user == 0 ? SQL_CRED_LIST : SQL_CRED_LIST_USER);
	if (user != 0) q_int(&q, user);
	enum err e = cred_collect(t, &q, &p);
	for (size_t i = 0; e == OK && i < p.n; i++) {
		e = cred_owner(t, &p.list[i]);
		if (e == OK) e = fn(ctx, &p.list[i]);
	}
	cred_page_release(&p);
	return e;
}

/* ---- pairing ---- */

static uint64_t pair_sum(struct str hash, int64_t user, int64_t expires_ms)
{
	return sum_str(SUM_INTS(SUM_PAIR, user, expires_ms), hash);
}

enum err txn_pair_add(struct txn *t, const unsigned char hash[32], int64_t user, int64_t expires_ms)
{
	struct user_row u;
	enum err e = txn_user_by_number(t, user, &u);
	if (e == OK) e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_PAIR_ADD);
	q_blob(&q, hash_str(hash));
	q_int(&q, user);
	q_int(&q, expires_ms);
	q_int(&q, (int64_t)pair_sum(hash_str(hash), user, expires_ms));
	return q_run(&q);
}

enum err txn_pair_take(struct txn *t, const unsigned char hash[32], int64_t *out_user)
{
	int64_t expires_ms = 0;
	bool good = false;
	enum err e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_PAIR_SWEEP);
	q_int(&q, txn_now_ms(t));
	e = q_run(&q);
	if (e != OK) return e;
	q = q_begin(t->db, SQL_PAIR_GET);
	q_blob(&q, hash_str(hash));
	bool found = q_row(&q);
	if (found) {
		*out_user = q_get_int(&q, 0);
		expires_ms = q_get_int(&q, 1);
		good = (uint64_t)q_get_int(&q, 2) == pair_sum(hash_str(hash), *out_user, expires_ms);
	}
	e = q_end(&q);
	if (e == OK && !found) e = ERR_PAIRING;
	if (e == OK && !good) e = bad_row(t, "a pairing code of user", *out_user);
	if (e != OK) return e;
	q = q_begin(t->db, SQL_PAIR_DROP);
	q_blob(&q, hash_str(hash));
	return q_run(&q);
}

/* ---- attachments ---- */

static uint64_t asset_sum(const struct asset_row *a)
{
	return sum_str(SUM_INTS(SUM_ASSET, a->user, a->size, a->created_ms, a->refs), hash_str(a->hash));
}

static enum err asset_write(struct txn *t, const struct asset_row *a)
{
	enum err e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_ASSET_PUT);
	q_int(&q, a->user);
	q_blob(&q, hash_str(a->hash));
	q_int(&q, a->size);
	q_int(&q, a->created_ms);
	q_int(&q, a->refs);
	q_int(&q, (int64_t)asset_sum(a));
	return q_run(&q);
}

enum err txn_asset_get(struct txn *t, int64_t user, const unsigned char hash[32], struct asset_row *out)
{
	struct q q = q_begin(t->db, SQL_ASSET_GET);
	q_int(&q, user);
	q_blob(&q, hash_str(hash));
	bool found = q_row(&q), good = false;
	if (found) {
		*out = (struct asset_row){.user = user,
					  .size = q_get_int(&q, 0),
					  .created_ms = q_get_int(&q, 1),
					  .refs = q_get_int(&q, 2)};
		memcpy(out->hash, hash, SHA256_LEN);
		good = (uint64_t)q_get_int(&q, 3) == asset_sum(out);
	}
	enum err e = q_end(&q);
	if (e != OK) return e;
	if (!found) return ERR_NOT_FOUND;
	return good ? OK : bad_row(t, "an attachment of user", user);
}

enum err txn_asset_add(struct txn *t, const struct asset_row *a)
{
	struct asset_row row = *a, have;
	enum err e = txn_asset_get(t, a->user, a->hash, &have);
	if (e != OK && e != ERR_NOT_FOUND) return e;
	row.refs = e == OK ? have.refs : 0;
	return asset_write(t, &row);
}

enum err txn_asset_ref(struct txn *t, int64_t user, const unsigned char hash[32], int64_t delta)
{
	struct asset_row a;
	enum err e = txn_asset_get(t, user, hash, &a);
	if (e != OK) return e;
	a.refs = MAX(a.refs + delta, (int64_t)0);
	return asset_write(t, &a);
}

enum err txn_assets_unreferenced(struct txn *t, int64_t created_before_ms, asset_fn fn, void *ctx)
{
	struct asset_row *list = NULL;
	size_t n = 0;
	enum err bad = OK;
	struct q q = q_begin(t->db, SQL_ASSET_UNUSED);
	q_int(&q, created_before_ms);
	while (bad == OK && q_row(&q)) {
		if (n % 64 == 0) list = xrealloc(list, xmul(n + 64, sizeof *list));
		struct str hash = q_get_str(&q, 1);
		struct asset_row *a = &list[n];
		*a = (struct asset_row){.user = q_get_int(&q, 0),
					.size = q_get_int(&q, 2),
					.created_ms = q_get_int(&q, 3),
					.refs = q_get_int(&q, 4)};
		if (hash.n == SHA256_LEN) memcpy(a->hash, hash.p, SHA256_LEN);
		if ((uint64_t)q_get_int(&q, 5) == asset_sum(a)) n++;
		else bad = bad_row(t, "an attachment of user", a->user);
	}
	enum err e = q_end(&q);
	if (e == OK) e = bad;
	for (size_t i = 0; e == OK && i < n; i++) e = fn(ctx, &list[i]);
	free(list);
	return e;
}

enum err txn_asset_drop(struct txn *t, int64_t user, const unsigned char hash[32])
{
	enum err e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_ASSET_DROP);
	q_int(&q, user);
	q_blob(&q, hash_str(hash));
	return q_run(&q);
}

enum err txn_asset_exists(struct txn *t, const unsigned char hash[32])
{
	struct q q = q_begin(t->db, SQL_ASSET_ANY);
	q_blob(&q, hash_str(hash));
	bool found = q_row(&q);
	enum err e = q_end(&q);
	return e == OK && !found ? ERR_NOT_FOUND : e;
}
