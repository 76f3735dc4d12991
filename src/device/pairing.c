#include "device/pairing.h"

#include <openssl/evp.h>

#include "base/hash.h"
#include "base/id.h"

static const char alphabet[] = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"; /* 32: no 0 O 1 I */

void pair_code_new(char out[PAIR_CODE_LEN + 1])
{
	unsigned char rnd[8];
	random_bytes(rnd, sizeof rnd);
	for (size_t i = 0, o = 0; i < sizeof rnd; i++) {
		if (i == 4) out[o++] = '-';
		out[o++] = alphabet[rnd[i] & 31];
	}
	out[PAIR_CODE_LEN] = '\0';
}

bool pair_code_hash(struct str typed, unsigned char out[32])
{
	char plain[8];
	size_t n = 0;
	for (size_t i = 0; i < typed.n; i++) {
		char c = typed.p[i];
		if (c == '-' || c == ' ') continue;
		if (c >= 'a' && c <= 'z') c = (char)(c - 32);
		if (n == sizeof plain || c == '\0' || strchr(alphabet, c) == NULL) return false;
		plain[n++] = c;
	}
	if (n != sizeof plain) return false;
	sha256(str_n(plain, n), out);
	return true;
}

void token_new(char out[TOKEN_LEN + 1])
{
	unsigned char rnd[32], b64[48];
	random_bytes(rnd, sizeof rnd);
	EVP_EncodeBlock(b64, rnd, sizeof rnd); /* 44 characters, the last one '=' */
	memcpy(out, "rst_", 4);
	for (size_t i = 0; i < 43; i++) {
		char c = (char)b64[i];
		out[4 + i] = c == '+' ? '-' : c == '/' ? '_' : c;
	}
	out[TOKEN_LEN] = '\0';
	secret_wipe(rnd, sizeof rnd);
	secret_wipe(b64, sizeof b64);
}

bool token_hash(struct str token, unsigned char out[32])
{
	if (token.n != TOKEN_LEN || !str_starts(token, STR("rst_"))) return false;
	sha256(token, out);
	return true;
}

static enum err first_user(void *ctx, const struct user_row *u)
{
	struct user_row *out = ctx;
	if (out->user != 0) return ERR_TOO_MANY;
	*out = *u;
	return OK;
}

/* The named user; without a name the only one, who is made when there is none yet. */
static enum err find_user(struct txn *t, struct str name, struct user_row *out, struct errinfo *info)
{
	enum err e;
	if (name.p != NULL) {
		e = txn_user_find(t, name, out);
		if (e == ERR_NOT_FOUND)
			return err_set(info, e, "there is no user %.*s; add one with: roost users add NAME",
				       (int)MIN(name.n, (size_t)60), name.p);
		if (e == OK && out->disabled) return err_set(info, ERR_FORBIDDEN, "this user is disabled");
		return e;
	}
	*out = (struct user_row){0};
	e = txn_users(t, first_user, out);
	if (e == ERR_TOO_MANY)
		return err_set(info, ERR_BAD_FIELD, "there are several users; say which one with: --user NAME");
	if (e == OK && out->user == 0) e = txn_user_add(t, STR("me"), out);
	return e;
}

enum err cmd_pair_make_run(struct txn *t, struct store_op *op)
{
	struct cmd_pair_make *c = CONTAINER_OF(op, struct cmd_pair_make, op);
	enum err e = find_user(t, c->user, &c->out_user, &op->info);
	return e == OK ? txn_pair_add(t, c->hash, c->out_user.user, c->expires_ms) : e;
}

struct others {
	uint32_t but;
	int64_t n;
};

static enum err count_others(void *ctx, const struct cred_row *r)
{
	struct others *o = ctx;
	o->n += !r->revoked && r->principal != o->but;
	return OK;
}

void device_fields_read(struct device_fields *d, struct str fields)
{
	*d = (struct device_fields){STR(""), STR(""), STR(""), STR(""), NULL};
	if (json_parse(fields, &d->doc, NULL) != OK) return;
	const struct json *in = json_root(d->doc);
	(void)json_str(json_get(in, "name"), &d->name);
	(void)json_str(json_get(in, "platform"), &d->platform);
	(void)json_str(json_get(in, "appVersion"), &d->app_version);
	(void)json_str(json_get(in, "lastSeen"), &d->last_seen);
}

void device_fields_release(struct device_fields *d) { json_free(d->doc); }

/* The Device record's fields from what the device says, over what is stored. */
static enum err put_device(struct txn *t, int64_t user, const struct device_info *d, int64_t last_seen_ms)
{
	uint32_t zone;
	struct record r;
	struct json_doc *doc = NULL;
	struct buf patch = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	enum err e = txn_zone(t, user, ZONE_HOME, true, &zone);
	if (e != OK) goto out;
	e = txn_get(t, zone, RT_DEVICE, d->device_id, &r);
	if (e == ERR_NOT_FOUND) {
		r = (struct record){.zone = zone, .type = RT_DEVICE, .name = d->device_id, .fields = STR("{}")};
		e = OK;
	}
	if (e != OK) goto out;
	struct jw w = JW(&patch);
	jw_obj(&w);
	if (d->name.n > 0) jw_kstr(&w, "name", d->name);
	if (d->platform.n > 0) jw_kstr(&w, "platform", d->platform);
	if (d->app_version.n > 0) jw_kstr(&w, "appVersion", d->app_version);
	if (last_seen_ms != 0) jw_ktime(&w, "lastSeen", last_seen_ms);
	jw_obj_end(&w);
	e = json_parse(buf_str(&patch), &doc, NULL);
	if (e == OK) e = fields_merge(r.fields, json_root(doc), POLICY_CHANGED_KEYS, &merged, NULL);
	if (e != OK) goto out;
	if (r.row == 0 || r.deleted || !str_eq(r.fields, buf_str(&merged))) {
		r.fields = arena_str(txn_arena(t), buf_str(&merged));
		r.deleted = false;
		e = txn_put(t, &r);
	}
out:
	json_free(doc);
	buf_release(&patch);
	buf_release(&merged);
	return e;
}

enum err cmd_pair_take_run(struct txn *t, struct store_op *op)
{
	struct cmd_pair_take *c = CONTAINER_OF(op, struct cmd_pair_take, op);
	int64_t user = 0;
	struct others others = {0};
	enum err e = OK;
	if (c->code_hash != NULL) {
		e = txn_pair_take(t, c->code_hash, &user);
		if (e != OK) return e;
		e = txn_user_by_number(t, user, &c->out_user);
		if (e == OK && c->out_user.disabled) e = ERR_PAIRING;
	} else {
		e = find_user(t, c->user, &c->out_user, &op->info);
	}
	if (e != OK) return e;
	user = c->out_user.user;
	e = txn_principal(t, user, c->device.device_id, &others.but);
	if (e == OK) e = txn_creds(t, user, count_others, &others);
	if (e == OK && others.n >= c->devices_max)
		return err_set(&op->info, ERR_TOO_MANY,
			       "this user has devicesPerUser (%lld) devices; revoke one with: roost devices revoke",
			       (long long)c->devices_max);
	if (e == OK) e = txn_cred_revoke(t, others.but); /* a device has one credential: pairing again replaces it */
	if (e == ERR_NOT_FOUND) e = OK;
	if (e == OK) e = txn_cred_add(t, others.but, c->token_hash);
	if (e == OK) e = put_device(t, user, &c->device, txn_now_ms(t));
	return e;
}

enum err cmd_device_seen_run(struct txn *t, struct store_op *op)
{
	struct cmd_device_seen *c = CONTAINER_OF(op, struct cmd_device_seen, op);
	return put_device(t, c->user, &c->device, c->last_seen_ms);
}

enum err cmd_revoke_run(struct txn *t, struct store_op *op)
{
	struct cmd_revoke *c = CONTAINER_OF(op, struct cmd_revoke, op);
	struct user_row u = {.user = c->user_no};
	uint32_t zone;
	struct record r;
	enum err e = u.user != 0 ? OK : find_user(t, c->user, &u, &op->info);
	if (e != OK) return e;
	c->out_user = u.user;
	e = txn_zone(t, u.user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_DEVICE, c->device_id, &r);
	if (e == ERR_NOT_FOUND || (e == OK && r.deleted))
		return err_set(&op->info, ERR_NOT_FOUND, "there is no device %.*s",
			       (int)MIN(c->device_id.n, (size_t)60), c->device_id.p);
	if (e == OK) e = txn_principal(t, u.user, c->device_id, &c->out_principal);
	if (e == OK) e = txn_cred_revoke(t, c->out_principal);
	if (e == OK) e = txn_delete(t, &r);
	if (e == OK) e = txn_get(t, zone, RT_SYNC_STATE, c->device_id, &r);
	if (e == OK && !r.deleted) e = txn_delete(t, &r);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err cmd_auth_run(struct txn *t, struct store_op *op)
{
	struct cmd_auth *c = CONTAINER_OF(op, struct cmd_auth, op);
	uint32_t zone;
	enum err e = txn_cred_find(t, c->hash, &c->cred);
	if (e == ERR_NOT_FOUND || (e == OK && (c->cred.revoked || c->cred.user_disabled))) return ERR_UNAUTHORIZED;
	if (e == OK) e = txn_zone(t, c->cred.user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_zone_info(t, zone, &c->home);
	return e;
}
