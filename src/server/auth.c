/* Who is asking.
 *
 * A device shows its token as `Authorization: Bearer`, or, in a browser, as the HttpOnly, SameSite=Strict cookie that
 * pairing set. net/ has already refused foreign Hosts and Origins; here a cookie is believed only together with an Origin
 * or on a plain GET, which SameSite=Strict keeps from other sites. The token's SHA-256 is looked up on a reader. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "server/stream.h"

#define COOKIE "roost"

struct auth {
	struct task task;
	struct cmd_auth cmd;
	struct server *server;
	struct http_req *req;
	void (*then)(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred);
};

static void auth_gone(struct task *t) { CONTAINER_OF(t, struct auth, task)->req = NULL; }

static bool find_token(const struct http_req *r, unsigned char hash[32])
{
	struct str h = http_header(r, "authorization");
	if (h.n > 7 && str_eq_nocase(str_n(h.p, 7), STR("Bearer "))) return token_hash(str_n(h.p + 7, h.n - 7), hash);
	struct str cookie = http_cookie(r, COOKIE);
	bool safe = http_header(r, "origin").p != NULL || str_eq(http_method(r), STR("GET")) ||
		    str_eq(http_method(r), STR("HEAD"));
	bool upgrade = http_header(r, "upgrade").p != NULL;
	if (upgrade && http_header(r, "origin").p == NULL) safe = false;
	return cookie.p != NULL && safe && token_hash(cookie, hash);
}

bool auth_is_shown(const struct http_req *r)
{
	unsigned char hash[32];
	return find_token(r, hash);
}

static void auth_done(struct store_op *op)
{
	struct auth *a = op->ctx;
	struct server *s = a->server;
	struct http_req *r = a->req;
	struct cred_row *cred = &a->cmd.cred;
	if (r != NULL) http_set_data(r, NULL);
	if (op->err == OK) {
		struct live_user *u = live_user_get(s, cred, &a->cmd.home);
		if (r != NULL) a->then(s, r, u, cred);
	} else if (r != NULL) {
		http_answer_error(r, op->err == ERR_NOT_FOUND ? ERR_UNAUTHORIZED : op->err, &op->info);
	}
	store_op_release(op);
	free(a);
}

/* There is no store before the daemon is ready, and none once it stops, while its connections still end. */
static bool is_refused_now(const struct server *s, struct http_req *r)
{
	if (s->ready && !s->stopping) return false;
	http_answer_error(r, s->stopping ? ERR_SHUTTING_DOWN : ERR_UNAVAILABLE, NULL);
	return true;
}

void auth_request(struct server *s, struct http_req *r,
		  void (*then)(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred))
{
	unsigned char hash[32];
	if (is_refused_now(s, r)) return;
	if (!find_token(r, hash)) {
		http_answer_error(r, ERR_UNAUTHORIZED, NULL);
		return;
	}
	struct auth *a = xcalloc(1, sizeof *a);
	a->task.gone = auth_gone;
	a->server = s;
	a->req = r;
	a->then = then;
	memcpy(a->cmd.hash, hash, sizeof hash);
	store_op_init(&a->cmd.op, cmd_auth_run, auth_done, 0, clock_wall_ms());
	a->cmd.op.ctx = a;
	http_set_data(r, &a->task);
	store_read(s->store, &a->cmd.op);
}

/* ---- pairing ---------------------------------------------------------------------------------------------------- */

struct pairing {
	struct task task;
	struct cmd_pair_take cmd;
	struct server *server;
	struct http_req *req;
	struct json_doc *doc;
	unsigned char code_hash[32];
	char token[TOKEN_LEN + 1], peer[64];
};

static void pairing_gone(struct task *t) { CONTAINER_OF(t, struct pairing, task)->req = NULL; }

static void pairing_answer(struct pairing *p)
{
	char cookie[160];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "token", str_n(p->token, TOKEN_LEN));
	jw_kstr(&w, "userId", p->cmd.out_user.id);
	jw_kstr(&w, "userName", p->cmd.out_user.name);
	jw_kstr(&w, "deviceId", p->cmd.device.device_id);
	jw_obj_end(&w);
	struct buf h = BUF_INIT(sizeof cookie);
	buf_addf(&h, "Set-Cookie: " COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=315360000%s\r\n", p->token,
		 http_is_secure(p->req) ? "; Secure" : "");
	http_answer(p->req, 200, "application/json", h.p, buf_str(&b));
	buf_release(&h);
	buf_release(&b);
}

static void pairing_done(struct store_op *op)
{
	struct pairing *p = op->ctx;
	struct server *s = p->server;
	if (p->req != NULL) http_set_data(p->req, NULL);
	if (op->err == OK) {
		if (s->journal != NULL)
			journal_event(s->journal, "device.paired", EVS("userId", p->cmd.out_user.id),
				      EVS("deviceId", p->cmd.device.device_id),
				      EVS("platform", p->cmd.device.platform));
		if (p->req != NULL) pairing_answer(p);
	} else {
		if (op->err == ERR_PAIRING) guess_failed(s->guesses, str_c(p->peer), clock_boot_ms());
		if (p->req != NULL) http_answer_error(p->req, op->err, &op->info);
	}
	json_free(p->doc);
	secret_wipe(p->token, sizeof p->token);
	store_op_release(op);
	free(p);
}

static enum err read_pairing(struct pairing *p, struct http_req *r, struct errinfo *info)
{
	struct str code;
	struct device_info *d = &p->cmd.device;
	if (!str_starts(http_header(r, "content-type"), STR("application/json"))) return ERR_BAD_MEDIA_TYPE;
	enum err e = json_parse(http_body(r), &p->doc, info);
	if (e != OK) return e;
	const struct json *in = json_root(p->doc);
	if (json_type(in) != JSON_OBJ) return err_set(info, ERR_BAD_FRAME, "the body must be a JSON object");
	if (!json_want_str(in, "code", 0, &code, info) || !json_want_str(in, "deviceId", 0, &d->device_id, info) ||
	    !json_want_str(in, "name", JSON_OPTIONAL, &d->name, info) ||
	    !json_want_str(in, "platform", JSON_OPTIONAL, &d->platform, info) ||
	    !json_want_str(in, "appVersion", JSON_OPTIONAL, &d->app_version, info))
		return info->err;
	if (!name_is_valid(d->device_id))
		return err_set(info, ERR_BAD_FIELD, "\"deviceId\" must be 1 to %d letters, digits or ._-:@+",
			       NAME_MAX_LEN);
	if (d->name.n > 200 || d->platform.n > 60 || d->app_version.n > 60)
		return err_set(info, ERR_BAD_FIELD, "\"name\" may have 200 bytes, \"platform\" and \"appVersion\" 60");
	return pair_code_hash(code, p->code_hash) ? OK : ERR_PAIRING;
}

void auth_pair(struct server *s, struct http_req *r)
{
	struct errinfo info = {0};
	struct str peer = http_peer(r);
	if (is_refused_now(s, r)) return;
	int64_t wait = guess_wait_ms(s->guesses, peer, clock_boot_ms());
	if (wait > 0) {
		(void)err_set(&info, ERR_RATE_LIMITED, "pairingTries (%lld) wrong codes came from this address; wait",
			      (long long)s->config->limits.pairing_tries);
		info.retry_after_ms = wait;
		http_answer_error(r, ERR_RATE_LIMITED, &info);
		return;
	}
	struct pairing *p = xcalloc(1, sizeof *p);
	p->task.gone = pairing_gone;
	p->server = s;
	p->req = r;
	(void)str_copy(str_n(peer.p, MIN(peer.n, sizeof p->peer - 1)), p->peer, sizeof p->peer);
	enum err e = read_pairing(p, r, &info);
	if (e != OK) {
		if (e == ERR_PAIRING) guess_failed(s->guesses, peer, clock_boot_ms());
		http_answer_error(r, e, &info);
		json_free(p->doc);
		free(p);
		return;
	}
	token_new(p->token);
	(void)token_hash(str_n(p->token, TOKEN_LEN), p->cmd.token_hash);
	p->cmd.code_hash = p->code_hash;
	p->cmd.devices_max = s->config->limits.devices_per_user;
	store_op_init(&p->cmd.op, cmd_pair_take_run, pairing_done, 0, clock_wall_ms());
	p->cmd.op.ctx = p;
	p->cmd.op.bytes = sizeof *p;
	http_set_data(r, &p->task);
	store_submit(s->store, &p->cmd.op);
}

/* ---- leaving ---------------------------------------------------------------------------------------------------- */

void auth_kick(struct server *s, int64_t user, uint32_t principal)
{
	struct peer *c, *next;
	for (c = LIST_FIRST(&s->peers); c != NULL; c = next) {
		next = LIST_NEXT(c, in_server);
		if (c->sub.user->user == user && (principal == 0 || c->sub.principal == principal))
			peer_close(c, CLOSE_REVOKED, "revoked");
	}
	feed_kick(s, user, principal);
	stream_kick(s, user, principal);
}

struct leaving {
	struct task task;
	struct cmd_revoke cmd;
	struct server *server;
	struct http_req *req;
	char device_id[NAME_MAX_LEN + 1];
};

static void leaving_gone(struct task *t) { CONTAINER_OF(t, struct leaving, task)->req = NULL; }

static void leaving_done(struct store_op *op)
{
	struct leaving *l = op->ctx;
	if (op->err == OK) auth_kick(l->server, l->cmd.out_user, l->cmd.out_principal);
	if (l->req != NULL) {
		http_set_data(l->req, NULL);
		if (op->err == OK)
			http_answer(l->req, 200, "application/json",
				    "Set-Cookie: " COOKIE "=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0\r\n",
				    STR("{}"));
		else http_answer_error(l->req, op->err, &op->info);
	}
	store_op_release(op);
	free(l);
}

void auth_unpair(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred)
{
	struct leaving *l = xcalloc(1, sizeof *l);
	l->task.gone = leaving_gone;
	l->server = s;
	l->req = r;
	(void)str_copy(cred->device_id, l->device_id, sizeof l->device_id);
	l->cmd.user_no = u->user;
	l->cmd.device_id = str_c(l->device_id);
	store_op_init(&l->cmd.op, cmd_revoke_run, leaving_done, cred->principal, clock_wall_ms());
	l->cmd.op.ctx = l;
	http_set_data(r, &l->task);
	store_submit(s->store, &l->cmd.op);
}
