/* What the machine's owner may ask: /api/v1/operator/… over the Unix socket in the data directory, whose mode (0600) is the
 * credential. Over TCP these addresses do not exist. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "server/operator.h"

static void ask_gone(struct task *t) { CONTAINER_OF(t, struct ask, task)->req = NULL; }

static struct ask *ask_new(struct server *s, struct http_req *r)
{
	struct ask *a = xcalloc(1, sizeof *a);
	a->task.gone = ask_gone;
	a->server = s;
	a->req = r;
	buf_init(&a->out, BUF_NO_LIMIT);
	a->w = JW(&a->out);
	http_set_data(r, &a->task);
	return a;
}

void ask_end(struct ask *a, enum err e, const struct errinfo *info)
{
	if (a->req != NULL) {
		http_set_data(a->req, NULL);
		if (e == OK)
			http_answer(a->req, 200, "application/json", NULL, a->out.n > 0 ? buf_str(&a->out) : STR("{}"));
		else http_answer_error(a->req, e, info);
	}
	json_free(a->doc);
	buf_release(&a->out);
	secret_wipe(a->token, sizeof a->token);
	free(a);
}

static void ask_done(struct store_op *op)
{
	struct ask *a = op->ctx;
	struct errinfo info = op->info;
	enum err e = op->err;
	if (e == OK && a->answer != NULL) a->answer(a);
	store_op_release(op);
	ask_end(a, e, &info);
}

void ask_op(struct ask *a, enum err (*run)(struct txn *, struct store_op *))
{
	store_op_init(&a->u.op, run, ask_done, 0, clock_wall_ms());
	a->u.op.ctx = a;
	a->u.op.bytes = sizeof *a;
}

/* ---- status ----------------------------------------------------------------------------------------------------- */

static int64_t status_line(const char *key)
{
	/* "RssAnon:	    1234 kB" of /proc/self/status. */
	char line[200];
	int64_t kb = 0;
	size_t n = strlen(key);
	FILE *f = fopen("/proc/self/status", "re");
	if (f == NULL) return 0;
	while (kb == 0 && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, key, n) == 0 && line[n] == ':') kb = strtoll(line + n + 1, NULL, 10);
	fclose(f);
	return kb * 1024;
}

static enum err status_run(struct txn *t, struct store_op *op)
{
	return txn_status(t, &((struct ask *)op->ctx)->status);
}

static void write_store(struct jw *w, const struct store_status *st)
{
	jw_key(w, "store");
	jw_obj(w);
	jw_kint(w, "databaseBytes", st->db_bytes);
	jw_kint(w, "walBytes", st->wal_bytes);
	jw_kint(w, "records", st->records);
	jw_kint(w, "tombstones", st->tombstones);
	jw_kint(w, "chunks", st->chunks);
	jw_kint(w, "chunkBytes", st->chunk_bytes);
	jw_kint(w, "streams", st->streams);
	jw_kint(w, "zones", st->zones);
	jw_kint(w, "users", st->users);
	jw_kint(w, "devices", st->devices);
	jw_kint(w, "assets", st->assets);
	jw_kint(w, "commits", st->commits);
	jw_kint(w, "commands", st->commands);
	jw_kint(w, "checkpoints", st->checkpoints);
	jw_kint(w, "queueBytes", st->queue_bytes);
	jw_kint(w, "schemaVersion", st->schema_version);
	jw_obj_end(w);
}

static void write_sessions(struct jw *w, const struct seats *seats)
{
	struct seats_count n = seats_count(seats);
	jw_key(w, "sessions");
	jw_obj(w);
	jw_kint(w, "joined", n.joined);
	jw_kint(w, "withPrimary", n.with_primary);
	jw_kint(w, "locked", n.locked);
	jw_kint(w, "waitingForLock", n.waiting);
	jw_obj_end(w);
}

static void write_provider(const struct server *s, struct jw *w, int i)
{
	struct relay_provider p;
	relay_provider(work_relay(s->work), i, work_now(s->work), &p);
	jw_obj(w);
	jw_kstr(w, "name", providers_name(s->providers, i));
	jw_kint(w, "running", p.running);
	jw_kint(w, "slots", providers_concurrency(s->providers, i));
	jw_kstr(w, "circuit", str_c(circuit_state_name(p.circuit)));
	if (p.since_wall_ms != 0) jw_ktime(w, "troubledSince", p.since_wall_ms);
	if (p.probe_wall_ms != 0) jw_ktime(w, "nextProbeAt", p.probe_wall_ms);
	if (p.pacing.until_wall_ms != 0) {
		jw_key(w, "pacing");
		jw_obj(w);
		jw_ktime(w, "untilAt", p.pacing.until_wall_ms);
		jw_kstr(w, "why", p.pacing.why);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static void status_answer(struct ask *a)
{
	struct server *s = a->server;
	struct jw *w = &a->w;
	struct http_stats hs;
	struct relay_counts rc;
	http_stats(s->http, &hs);
	relay_counts(work_relay(s->work), &rc);
	jw_obj(w);
	jw_kstr(w, "version", STR(ROOST_VERSION));
	jw_kint(w, "pid", getpid());
	jw_kstr(w, "dataDir", str_c(s->config->data_dir));
	jw_key(w, "listen");
	jw_arr(w);
	jw_str(w, str_c(s->listen_url));
	jw_arr_end(w);
	jw_ktime(w, "startedAt", s->started_wall_ms);
	jw_kint(w, "uptimeMs", clock_boot_ms() - s->started_boot_ms);
	jw_kint(w, "incarnation", store_incarnation(s->store));
	write_store(w, &a->status);
	jw_key(w, "devices");
	jw_obj(w);
	jw_kint(w, "online", s->nonline);
	jw_kint(w, "known", a->status.devices);
	jw_obj_end(w);
	write_sessions(w, s->seats);
	jw_key(w, "requests");
	jw_obj(w);
	jw_kint(w, "open", rc.open);
	jw_kint(w, "running", rc.running);
	jw_kint(w, "waiting", rc.waiting);
	jw_kint(w, "retrying", rc.retrying);
	jw_obj_end(w);
	jw_key(w, "providers");
	jw_arr(w);
	for (size_t i = 0; i < providers_count(s->providers); i++) write_provider(s, w, (int)i);
	jw_arr_end(w);
	jw_key(w, "memory");
	jw_obj(w);
	jw_kint(w, "rssBytes", status_line("VmRSS"));
	jw_kint(w, "anonBytes", status_line("RssAnon"));
	jw_obj_end(w);
	jw_key(w, "connections");
	jw_obj(w);
	jw_kint(w, "open", hs.open);
	jw_kint(w, "websockets", hs.websockets);
	jw_kint(w, "accepted", hs.accepted);
	jw_kint(w, "refused", hs.refused);
	jw_kint(w, "requests", hs.requests);
	jw_obj_end(w);
	jw_obj_end(w);
}

static void ask_status(struct server *s, struct ask *a)
{
	ask_op(a, status_run);
	a->answer = status_answer;
	store_read(s->store, &a->u.op);
}

/* ---- pairing ---------------------------------------------------------------------------------------------------- */

static void make_answer(struct ask *a)
{
	char link[200];
	jw_obj(&a->w);
	jw_kstr(&a->w, "code", str_n(a->code, PAIR_CODE_LEN));
	snprintf(link, sizeof link, "%s/#pair=%s", a->server->listen_url, a->code);
	jw_kstr(&a->w, "link", str_c(link));
	jw_ktime(&a->w, "expiresAt", a->u.make.expires_ms);
	jw_kstr(&a->w, "userName", a->u.make.out_user.name);
	jw_obj_end(&a->w);
}

static void ask_pair(struct server *s, struct ask *a)
{
	struct str user = STR_NONE;
	struct errinfo info = {0};
	if (!json_want_str(json_root(a->doc), "user", JSON_OPTIONAL, &user, &info)) {
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	pair_code_new(a->code);
	ask_op(a, cmd_pair_make_run);
	(void)pair_code_hash(str_n(a->code, PAIR_CODE_LEN), a->u.make.hash);
	a->u.make.user = user;
	a->u.make.expires_ms = clock_wall_ms() + s->config->limits.pairing_ms;
	a->answer = make_answer;
	store_submit(s->store, &a->u.op);
}

static void take_answer(struct ask *a)
{
	jw_obj(&a->w);
	jw_kstr(&a->w, "token", str_n(a->token, TOKEN_LEN));
	jw_kstr(&a->w, "userId", a->u.take.out_user.id);
	jw_kstr(&a->w, "userName", a->u.take.out_user.name);
	jw_kstr(&a->w, "deviceId", a->u.take.device.device_id);
	jw_obj_end(&a->w);
}

static void ask_chat_device(struct server *s, struct ask *a)
{
	const struct json *in = json_root(a->doc);
	struct errinfo info = {0};
	struct device_info d = {.platform = STR("terminal"), .app_version = STR(ROOST_VERSION)};
	struct str user = STR_NONE;
	if (!json_want_str(in, "deviceId", 0, &d.device_id, &info) || !json_want_str(in, "name", 0, &d.name, &info) ||
	    !json_want_str(in, "user", JSON_OPTIONAL, &user, &info) || !name_is_valid(d.device_id)) {
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	token_new(a->token);
	ask_op(a, cmd_pair_take_run);
	a->u.take.user = user;
	a->u.take.device = d;
	a->u.take.devices_max = s->config->limits.devices_per_user;
	(void)token_hash(str_n(a->token, TOKEN_LEN), a->u.take.token_hash);
	a->answer = take_answer;
	store_submit(s->store, &a->u.op);
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

static void write_user(struct jw *w, const struct user_row *u)
{
	jw_obj(w);
	jw_kstr(w, "userId", u->id);
	jw_kstr(w, "name", u->name);
	jw_kbool(w, "disabled", u->disabled);
	jw_ktime(w, "createdAt", u->created_ms);
	jw_obj_end(w);
}

static enum err add_user_row(void *ctx, const struct user_row *u)
{
	write_user(ctx, u);
	return OK;
}

static enum err users_run(struct txn *t, struct store_op *op)
{
	struct ask *a = op->ctx;
	jw_obj(&a->w);
	jw_key(&a->w, "users");
	jw_arr(&a->w);
	enum err e = txn_users(t, add_user_row, &a->w);
	jw_arr_end(&a->w);
	jw_obj_end(&a->w);
	return e;
}

static void ask_users(struct server *s, struct ask *a)
{
	ask_op(a, users_run);
	store_read(s->store, &a->u.op);
}

static enum err user_add_run(struct txn *t, struct store_op *op)
{
	struct ask *a = op->ctx;
	struct user_row u;
	enum err e = txn_user_add(t, a->name, &u);
	if (e == ERR_EXISTS) return err_set(&op->info, e, "there is a user %.*s already", STR_ARG(a->name));
	if (e == OK) write_user(&a->w, &u);
	return e;
}

static void ask_user_add(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	if (!json_want_str(json_root(a->doc), "name", 0, &a->name, &info) || !name_is_valid(a->name) ||
	    a->name.n > 64) {
		(void)err_set(&info, ERR_BAD_FIELD, "\"name\" must be 1 to 64 letters, digits or ._-:@+");
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	ask_op(a, user_add_run);
	store_submit(s->store, &a->u.op);
}

static enum err user_disable_run(struct txn *t, struct store_op *op)
{
	struct ask *a = op->ctx;
	struct user_row u;
	enum err e = txn_user_find(t, a->name, &u);
	if (e == ERR_NOT_FOUND) return err_set(&op->info, e, "there is no user %.*s", STR_ARG(a->name));
	if (e == OK) e = txn_user_disable(t, u.user, a->flag);
	a->user_no = u.user;
	u.disabled = a->flag;
	if (e == OK) write_user(&a->w, &u);
	return e;
}

static void disabled_answer(struct ask *a)
{
	if (!a->flag) return;
	auth_kick(a->server, a->user_no, 0);
	(void)relay_stop_session(work_relay(a->server->work), a->user_no, STR_NONE, STR_NONE,
				 work_now(a->server->work));
	work_kick(a->server->work);
}

static void ask_user_disable(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	a->flag = true;
	if (!json_want_str(json_root(a->doc), "user", 0, &a->name, &info) ||
	    !json_want_bool(json_root(a->doc), "disabled", JSON_OPTIONAL, &a->flag, &info)) {
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	ask_op(a, user_disable_run);
	a->answer = disabled_answer;
	store_submit(s->store, &a->u.op);
}

/* ---- devices ---------------------------------------------------------------------------------------------------- */

struct device_walk {
	struct ask *a;
	struct txn *t;
};

static bool is_online(const struct server *s, uint32_t principal)
{
	struct peer *c;
	LIST_FOREACH (c, &s->peers, in_server)
		if (c->sub.principal == principal && c->hello) return true;
	return false;
}

static enum err add_cred(void *ctx, const struct cred_row *c)
{
	struct device_walk *k = ctx;
	struct jw *w = &k->a->w;
	struct record r;
	uint32_t zone;
	enum err e = txn_zone(k->t, c->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(k->t, zone, RT_DEVICE, c->device_id, &r);
	if (e != OK && e != ERR_NOT_FOUND) return e;
	struct device_fields d;
	device_fields_read(&d, e == OK ? r.fields : STR("{}"));
	jw_obj(w);
	jw_kstr(w, "deviceId", c->device_id);
	jw_kstr(w, "user", c->user_name);
	jw_kstr(w, "name", d.name);
	jw_kstr(w, "platform", d.platform);
	jw_kint(w, "principal", c->principal);
	if (d.last_seen.n > 0) jw_kstr(w, "lastSeen", d.last_seen);
	jw_kbool(w, "revoked", c->revoked);
	jw_ktime(w, "pairedAt", c->created_ms);
	jw_obj_end(w);
	device_fields_release(&d);
	return OK;
}

static enum err devices_run(struct txn *t, struct store_op *op)
{
	struct ask *a = op->ctx;
	struct device_walk k = {a, t};
	struct user_row u = {0};
	enum err e = a->name.p != NULL ? txn_user_find(t, a->name, &u) : OK;
	if (e == ERR_NOT_FOUND) return err_set(&op->info, e, "there is no user %.*s", STR_ARG(a->name));
	jw_arr(&a->w);
	if (e == OK) e = txn_creds(t, u.user, add_cred, &k);
	jw_arr_end(&a->w);
	return e;
}

/* Who is online is known to the loop only: the list is written again with it. */
static void devices_answer(struct ask *a)
{
	struct json_doc *doc = NULL;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	if (json_parse(buf_str(&a->out), &doc, NULL) != OK) return;
	jw_obj(&w);
	jw_key(&w, "devices");
	jw_arr(&w);
	for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
		int64_t principal = 0;
		bool revoked = false;
		(void)json_int(json_get(it.val, "principal"), &principal);
		(void)json_bool(json_get(it.val, "revoked"), &revoked);
		jw_obj(&w);
		for (struct json_iter m = json_iter(it.val); json_next(&m);) {
			if (str_eq(m.key, STR("principal"))) continue;
			jw_key_str(&w, m.key);
			jw_value(&w, m.val);
		}
		jw_kbool(&w, "online", !revoked && is_online(a->server, (uint32_t)principal));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	json_free(doc);
	buf_release(&a->out);
	a->out = b;
}

static void ask_devices(struct server *s, struct ask *a)
{
	a->name = http_query(a->req, "user");
	ask_op(a, devices_run);
	a->answer = devices_answer;
	if (a->name.p != NULL) a->name = arena_str(&a->u.op.arena, a->name);
	store_read(s->store, &a->u.op);
}

static void revoke_answer(struct ask *a)
{
	struct server *s = a->server;
	auth_kick(s, a->u.revoke.out_user, a->u.revoke.out_principal);
	if (s->journal != NULL) journal_event(s->journal, "device.revoked", EVS("deviceId", a->u.revoke.device_id));
}

static void ask_revoke(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	struct str user = STR_NONE, device;
	if (!json_want_str(json_root(a->doc), "deviceId", 0, &device, &info) ||
	    !json_want_str(json_root(a->doc), "user", JSON_OPTIONAL, &user, &info)) {
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	ask_op(a, cmd_revoke_run);
	a->u.revoke.user = user;
	a->u.revoke.device_id = device;
	a->answer = revoke_answer;
	store_submit(s->store, &a->u.op);
}

/* ---- backup, doctor --------------------------------------------------------------------------------------------- */

static enum err backup_run(struct txn *t, struct store_op *op)
{
	(void)t;
	struct ask *a = op->ctx;
	char path[1024];
	if (!str_copy(a->name, path, sizeof path) || path[0] != '/')
		return err_set(&op->info, ERR_BAD_FIELD, "\"path\" must be an absolute path of at most 1023 bytes");
	enum err e = store_backup(a->server->store, path, &op->info);
	struct stat st = {0};
	if (e == OK && stat(path, &st) != 0) e = ERR_IO;
	if (e != OK) return e;
	jw_obj(&a->w);
	jw_kstr(&a->w, "path", a->name);
	jw_kint(&a->w, "bytes", st.st_size);
	jw_obj_end(&a->w);
	return OK;
}

static void ask_backup(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	if (!json_want_str(json_root(a->doc), "path", 0, &a->name, &info)) {
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	ask_op(a, backup_run);
	if (s->journal != NULL) journal_event(s->journal, "backup.started", EVS("path", a->name));
	store_read(s->store, &a->u.op);
}

static void add_finding(void *ctx, bool bad, const char *what)
{
	struct ask *a = ctx;
	jw_obj(&a->w);
	jw_kbool(&a->w, "bad", bad);
	jw_kstr(&a->w, "what", str_c(what));
	jw_obj_end(&a->w);
}

static enum err doctor_run(struct txn *t, struct store_op *op)
{
	(void)t;
	struct ask *a = op->ctx;
	jw_obj(&a->w);
	jw_key(&a->w, "findings");
	jw_arr(&a->w);
	enum err e = store_check(a->server->config->data_dir, a->server->store, add_finding, a, &op->info);
	jw_arr_end(&a->w);
	jw_kbool(&a->w, "ok", e == OK);
	jw_obj_end(&a->w);
	return e == ERR_CORRUPT ? OK : e;
}

static void ask_doctor(struct server *s, struct ask *a)
{
	ask_op(a, doctor_run);
	store_read(s->store, &a->u.op);
}

/* ---- routes ----------------------------------------------------------------------------------------------------- */

static const struct {
	const char *method, *name;
	void (*fn)(struct server *s, struct ask *a);
} routes[] = {
	{"GET", "status", ask_status},
	{"POST", "pair", ask_pair},
	{"POST", "chat-device", ask_chat_device},
	{"GET", "users", ask_users},
	{"POST", "users", ask_user_add},
	{"POST", "users/disable", ask_user_disable},
	{"GET", "devices", ask_devices},
	{"POST", "devices/revoke", ask_revoke},
	{"GET", "queue", ask_queues},
	{"POST", "queue", ask_queue},
	{"GET", "history", ask_history},
	{"POST", "history/restore", ask_restore},
	{"POST", "backup", ask_backup},
	{"GET", "doctor", ask_doctor},
	{"GET", "models", ask_models},
	{"GET", "keys", ask_keys},
	{"GET", "usage", ask_usage},
	{"GET", "budget", ask_budgets},
	{"POST", "budget", ask_budget},
};

bool operator_request(struct server *s, struct http_req *r)
{
	struct str prefix = STR("/api/v1/operator/"), path = http_path(r);
	if (!str_starts(path, prefix) || !http_is_local(r)) return false;
	struct str name = str_n(path.p + prefix.n, path.n - prefix.n);
	if (!s->ready || s->stopping) {
		http_answer_error(r, s->stopping ? ERR_SHUTTING_DOWN : ERR_UNAVAILABLE, NULL);
		return true;
	}
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!str_eq(name, str_c(routes[i].name))) continue;
		known = true;
		if (!str_eq(http_method(r), str_c(routes[i].method))) continue;
		struct ask *a = ask_new(s, r);
		struct errinfo info = {0};
		enum err e = OK;
		if (str_eq(http_method(r), STR("POST")))
			e = json_parse(http_body(r).n > 0 ? http_body(r) : STR("{}"), &a->doc, &info);
		if (e == OK && a->doc != NULL && json_type(json_root(a->doc)) != JSON_OBJ) e = ERR_BAD_FRAME;
		if (e != OK) ask_end(a, e, &info);
		else routes[i].fn(s, a);
		return true;
	}
	http_answer_error(r, known ? ERR_METHOD : ERR_NOT_FOUND, NULL);
	return true;
}
