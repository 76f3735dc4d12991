/* Attachments by hash: PUT and GET /api/v1/assets/{sha256}.
 *
 * An upload is streamed to DIR/assets/tmp/<user>-<sha256>, hashed when it is whole, checked against the name it came under, synced,
 * and renamed to DIR/assets/ab/<sha256>; then its directory is synced, and only then the store notes whose it is and the
 * answer leaves. The same bytes are stored once, whoever sends them; each user needs to have sent them to read them.
 * What no message refers to is collected after limits.asset_keep_ms. An upload that broke off is continued with
 * `Content-Range: bytes FROM-TO/TOTAL`: the partial file is named after user and hash, a piece that is not the last is
 * answered with 202 and how much is here, and one that would leave a hole is refused with the same figure.
 *
 * Disk work here is on the loop: writes go to the page cache; the one fsync runs on libuv's pool. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "server/server.h"

struct upload {
	struct task task;
	struct server *server;
	struct http_req *req; /* NULL: the client left */
	struct live_user *user;
	unsigned char hash[32];
	char hex[SHA256_HEX_LEN + 1];
	char part[512], final[512];
	int fd;
	int64_t received, total; /* total -1: whatever comes */
	enum err err;
	struct errinfo info;
	bool body_done, working;
	uv_work_t work;
	struct {
		struct store_op op;
		struct asset_row row;
	} note;
};

static void path_of(const struct server *s, const char *hex, char *out, size_t cap)
{
	snprintf(out, cap, "%s/assets/%.2s/%s", s->config->data_dir, hex, hex);
}

static void part_of(const struct server *s, int64_t user, const char *hex, char *out, size_t cap)
{
	snprintf(out, cap, "%s/assets/tmp/%lld-%s", s->config->data_dir, (long long)user, hex);
}

static void upload_free(struct upload *u)
{
	if (u->fd >= 0) close(u->fd);
	free(u);
}

static void upload_gone(struct task *t)
{
	struct upload *u = CONTAINER_OF(t, struct upload, task);
	u->req = NULL;
	/* What arrived stays, to be continued; tidied up with the other leftovers. */
	if (!u->working && u->user != NULL) upload_free(u);
}

static void upload_answer(struct upload *u)
{
	if (u->req != NULL) {
		http_set_data(u->req, NULL);
		if (u->err == OK) {
			struct buf b = BUF_INIT(256);
			struct jw w = JW(&b);
			jw_obj(&w);
			jw_kstr(&w, "sha256", str_n(u->hex, SHA256_HEX_LEN));
			jw_kint(&w, "size", u->note.row.size);
			jw_obj_end(&w);
			http_answer(u->req, 201, "application/json", NULL, buf_str(&b));
			buf_release(&b);
		} else {
			http_answer_error(u->req, u->err, &u->info);
		}
	}
	upload_free(u);
}

static enum err note_run(struct txn *t, struct store_op *op)
{
	struct upload *u = op->ctx;
	return txn_asset_add(t, &u->note.row);
}

static void note_done(struct store_op *op)
{
	struct upload *u = op->ctx;
	u->err = op->err;
	u->info = op->info;
	store_op_release(op);
	upload_answer(u);
}

static enum err disk_error(struct upload *u, const char *what)
{
	if (os_has_no_room(errno)) return err_set(&u->info, ERR_STORAGE_FULL, "the disk is full; nothing was stored");
	return err_set(&u->info, ERR_IO, "%s: %s", what, strerror(errno));
}

static int sync_dir(const char *file)
{
	char dir[512];
	(void)str_copy(str_n(file, (size_t)(strrchr(file, '/') - file)), dir, sizeof dir);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) return -1;
	int r = fsync(fd);
	close(fd);
	return r;
}

/* On libuv's pool: hash the whole file, check, sync, put in place. */
static void finish_work(uv_work_t *w)
{
	struct upload *u = w->data;
	unsigned char got[32], chunk[65536];
	char dir[512];
	struct sha256 *h = sha256_new();
	ssize_t n;
	int64_t size = 0;
	while ((n = pread(u->fd, chunk, sizeof chunk, size)) > 0) {
		sha256_add(h, str_n((const char *)chunk, (size_t)n));
		size += n;
	}
	sha256_end(h, got);
	if (n < 0) {
		u->err = disk_error(u, "reading the upload");
		return;
	}
	if (memcmp(got, u->hash, sizeof got) != 0) {
		(void)unlink(u->part);
		u->err = err_set(&u->info, ERR_BAD_FIELD,
				 "the body's SHA-256 is not the one in the address; nothing was stored");
		return;
	}
	u->note.row.size = size;
	snprintf(dir, sizeof dir, "%s/assets/%.2s", u->server->config->data_dir, u->hex);
	if (fsync(u->fd) != 0) {
		u->err = disk_error(u, "syncing the upload");
		(void)unlink(u->part); /* its pages may be gone: never sync them a second time */
		return;
	}
	/* Each name on the way must be durable: of assets/ itself, of the directory in it, of the file. */
	char top[512];
	snprintf(top, sizeof top, "%s/assets", u->server->config->data_dir);
	if ((mkdir(dir, 0700) != 0 && errno != EEXIST) || sync_dir(top) != 0 || sync_dir(dir) != 0 ||
	    rename(u->part, u->final) != 0 || sync_dir(u->final) != 0)
		u->err = disk_error(u, "storing the upload");
}

static void finish_done(uv_work_t *w, int status)
{
	struct upload *u = w->data;
	(void)status;
	u->working = false;
	if (u->err == OK && u->server->stopping) u->err = ERR_SHUTTING_DOWN;
	if (u->err != OK) {
		upload_answer(u);
		return;
	}
	memcpy(u->note.row.hash, u->hash, sizeof u->hash);
	u->note.row.user = u->user->user;
	u->note.row.created_ms = clock_wall_ms();
	store_op_init(&u->note.op, note_run, note_done, 0, clock_wall_ms());
	u->note.op.ctx = u;
	u->working = true;
	store_submit(u->server->store, &u->note.op);
}

static void finish(struct upload *u)
{
	u->working = true;
	u->work.data = u;
	uv_queue_work(&u->server->loop, &u->work, finish_work, finish_done);
}

static void write_piece(void *ctx, struct http_req *r, struct str piece)
{
	(void)ctx;
	struct upload *u = CONTAINER_OF((struct task *)http_data(r), struct upload, task);
	while (piece.n > 0 && u->err == OK) {
		ssize_t n = pwrite(u->fd, piece.p, piece.n, u->received);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) {
			u->err = disk_error(u, "writing the upload");
			return;
		}
		u->received += n;
		piece.p += n;
		piece.n -= (size_t)n;
	}
}

/* Takes the decimal number at the beginning of `s`, and what `then` names behind it. */
static bool take_number(struct str *s, struct str then, int64_t *out)
{
	size_t n = 0;
	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9') n++;
	struct str rest = str_n(s->p + n, s->n - n);
	if (!str_to_int(str_n(s->p, n), out) || !str_starts(rest, then)) return false;
	*s = str_n(rest.p + then.n, rest.n - then.n);
	return true;
}

static bool take(struct str *s, struct str what)
{
	if (!str_starts(*s, what)) return false;
	*s = str_n(s->p + what.n, s->n - what.n);
	return true;
}

/* Content-Range: bytes FROM-TO/TOTAL. Without one the body is the whole. */
static enum err read_range(struct upload *u, struct http_req *r)
{
	struct str h = http_header(r, "content-range");
	int64_t from, to, total;
	u->total = -1;
	if (h.p == NULL) return OK;
	if (!take(&h, STR("bytes ")) || !take_number(&h, STR("-"), &from) || !take_number(&h, STR("/"), &to) ||
	    !take_number(&h, STR(""), &total) || h.n > 0 || to < from || total <= to)
		return err_set(&u->info, ERR_BAD_FIELD, "Content-Range must be: bytes FROM-TO/TOTAL");
	struct stat st;
	int64_t have = stat(u->part, &st) == 0 ? (int64_t)st.st_size : 0;
	if (from > have)
		return err_set(&u->info, ERR_BAD_FIELD, "%lld bytes are here; Content-Range must not begin after them",
			       (long long)have);
	if (total > u->server->config->limits.asset_bytes)
		return err_set(&u->info, ERR_TOO_LARGE, "an attachment may have assetBytes (%lld bytes)",
			       (long long)u->server->config->limits.asset_bytes);
	u->received = from;
	u->total = total;
	return OK;
}

/* Opens the partial file and takes its lock, so that one upload at a time writes it: whoever finishes moves the file away
 * while it holds the lock, and who opened it just before finds another file, or none, under the name. */
static enum err open_part(struct upload *u)
{
	struct stat mine, named;
	u->fd = open(u->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (u->fd < 0) return disk_error(u, "storing the upload");
	if (flock(u->fd, LOCK_EX | LOCK_NB) != 0 || fstat(u->fd, &mine) != 0 || stat(u->part, &named) != 0 ||
	    mine.st_ino != named.st_ino)
		return err_set(&u->info, ERR_TOO_MANY, "another upload of this attachment is under way");
	if (u->received == 0 && ftruncate(u->fd, 0) != 0) return disk_error(u, "storing the upload");
	return OK;
}

static void upload_start(struct server *s, struct http_req *r, struct live_user *user, const struct cred_row *cred)
{
	struct str hex = str_n(http_path(r).p + strlen("/api/v1/assets/"), http_path(r).n - strlen("/api/v1/assets/"));
	struct upload *u = xcalloc(1, sizeof *u);
	char dir[512];
	(void)cred;
	u->task.gone = upload_gone;
	u->server = s;
	u->req = r;
	u->user = user;
	u->fd = -1;
	if (!hex_decode(hex, u->hash, sizeof u->hash)) {
		u->err = err_set(&u->info, ERR_BAD_FIELD, "the address must end in 64 lower-case hex digits");
		upload_answer(u);
		return;
	}
	(void)str_copy(hex, u->hex, sizeof u->hex);
	path_of(s, u->hex, u->final, sizeof u->final);
	part_of(s, user->user, u->hex, u->part, sizeof u->part);
	snprintf(dir, sizeof dir, "%s/assets", s->config->data_dir);
	(void)mkdir(dir, 0700);
	snprintf(dir, sizeof dir, "%s/assets/tmp", s->config->data_dir);
	(void)mkdir(dir, 0700);
	u->err = read_range(u, r);
	if (u->err == OK) u->err = open_part(u);
	if (u->err != OK) {
		upload_answer(u);
		return;
	}
	http_set_data(r, &u->task);
	http_sink(r, s->config->limits.asset_bytes, write_piece);
	http_resume(r);
}

void upload_head(struct server *s, struct http_req *r, struct str hex)
{
	(void)hex;
	/* The body waits in the socket until we know whose it is. */
	http_pause(r);
	auth_request(s, r, upload_start);
}

void upload_end(struct http_req *r)
{
	struct task *t = http_data(r);
	if (t == NULL) return; /* answered already */
	struct upload *u = CONTAINER_OF(t, struct upload, task);
	if (u->err == OK && u->total >= 0 && u->received < u->total) {
		/* More is to come in another request. */
		char header[80];
		struct buf b = BUF_INIT(128);
		snprintf(header, sizeof header, "X-Roost-Received: %lld\r\n", (long long)u->received);
		buf_addf(&b, "{\"received\":%lld}", (long long)u->received);
		http_set_data(r, NULL);
		http_answer(r, 202, "application/json", header, buf_str(&b));
		buf_release(&b);
		upload_free(u);
		return;
	}
	if (u->err != OK) upload_answer(u);
	else finish(u);
}

/* ---- GET -------------------------------------------------------------------------------------------------------- */

struct download {
	struct task task;
	struct store_op op;
	struct server *server;
	struct http_req *req;
	struct live_user *user;
	struct asset_row row;
	unsigned char hash[32];
	char hex[SHA256_HEX_LEN + 1];
};

static void download_gone(struct task *t) { CONTAINER_OF(t, struct download, task)->req = NULL; }

static enum err download_run(struct txn *t, struct store_op *op)
{
	struct download *d = op->ctx;
	return txn_asset_get(t, d->user->user, d->hash, &d->row);
}

/* Range: bytes=FROM-[TO]; anything else is no range of ours, and answered whole. */
static bool read_wanted(struct str h, int64_t size, int64_t *from, int64_t *to)
{
	*to = size - 1;
	if (!take(&h, STR("bytes=")) || !take_number(&h, STR("-"), from)) return false;
	if (h.n > 0 && (!take_number(&h, STR(""), to) || h.n > 0)) return false;
	*to = MIN(*to, size - 1);
	return *from <= *to;
}

static void send_file(struct download *d, int fd)
{
	char header[200];
	int64_t from, to;
	int status = 206;
	if (!read_wanted(http_header(d->req, "range"), d->row.size, &from, &to)) {
		from = 0;
		to = d->row.size - 1;
		status = 200;
	}
	int len = snprintf(header, sizeof header,
			   "ETag: \"%s\"\r\nAccept-Ranges: bytes\r\nCache-Control: private, immutable\r\n", d->hex);
	if (status == 206)
		snprintf(header + len, sizeof header - (size_t)len, "Content-Range: bytes %lld-%lld/%lld\r\n",
			 (long long)from, (long long)to, (long long)d->row.size);
	/* A download, whatever it is: never a page of this origin. */
	http_answer_file(d->req, "application/octet-stream", header, fd, from, to - from + 1, status);
}

static void download_done(struct store_op *op)
{
	struct download *d = op->ctx;
	if (d->req != NULL) {
		char path[512];
		int fd = -1;
		enum err e = op->err;
		http_set_data(d->req, NULL);
		path_of(d->server, d->hex, path, sizeof path);
		if (e == OK && (fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0) e = ERR_NOT_FOUND;
		if (e == OK) send_file(d, fd);
		else http_answer_error(d->req, e, &op->info);
	}
	store_op_release(op);
	free(d);
}

void upload_get(struct server *s, struct http_req *r, struct live_user *u, struct str hex)
{
	struct download *d = xcalloc(1, sizeof *d);
	if (!hex_decode(hex, d->hash, sizeof d->hash)) {
		free(d);
		http_answer_error(r, ERR_NOT_FOUND, NULL);
		return;
	}
	(void)str_copy(hex, d->hex, sizeof d->hex);
	d->task.gone = download_gone;
	d->server = s;
	d->req = r;
	d->user = u;
	store_op_init(&d->op, download_run, download_done, 0, clock_wall_ms());
	d->op.ctx = d;
	http_set_data(r, &d->task);
	store_read(s->store, &d->op);
}

/* ---- collecting ------------------------------------------------------------------------------------------------- */

struct collecting {
	struct store_op op;
	struct server *server;
	int64_t before_ms;
	struct asset_row list[64];
	bool last_owner[64];
	size_t n;
};

static enum err add_garbage(void *ctx, const struct asset_row *a)
{
	struct collecting *c = ctx;
	c->list[c->n++] = *a;
	return c->n == ARRAY_LEN(c->list) ? ERR_CANCELLED : OK;
}

static enum err collecting_run(struct txn *t, struct store_op *op)
{
	struct collecting *c = op->ctx;
	enum err e = txn_assets_unreferenced(t, c->before_ms, add_garbage, c);
	if (e == ERR_CANCELLED) e = OK;
	for (size_t i = 0; i < c->n && e == OK; i++) {
		e = txn_asset_drop(t, c->list[i].user, c->list[i].hash);
		if (e != OK) break;
		enum err other = txn_asset_exists(t, c->list[i].hash);
		c->last_owner[i] = other == ERR_NOT_FOUND;
		if (other != OK && other != ERR_NOT_FOUND) e = other;
	}
	return e;
}

static void collecting_done(struct store_op *op)
{
	struct collecting *c = op->ctx;
	for (size_t i = 0; i < c->n && op->err == OK; i++) {
		char hex[SHA256_HEX_LEN + 1], path[512];
		if (!c->last_owner[i]) continue;
		hex_encode(c->list[i].hash, 32, hex);
		path_of(c->server, hex, path, sizeof path);
		if (unlink(path) != 0 && errno != ENOENT) log_warn("cannot remove %s: %s", path, strerror(errno));
	}
	store_op_release(op);
	free(c);
}

/* Uploads that were begun and not gone on with for as long as an attachment nobody refers to may stay. */
static void drop_leftovers(const struct server *s, int64_t before_ms)
{
	char dir[512], path[1024];
	struct stat st;
	struct dirent *e;
	snprintf(dir, sizeof dir, "%s/assets/tmp", s->config->data_dir);
	DIR *d = opendir(dir);
	if (d == NULL) return;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.') continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (stat(path, &st) == 0 && (int64_t)st.st_mtime * 1000 < before_ms) (void)unlink(path);
	}
	closedir(d);
}

void upload_collect(struct server *s)
{
	struct collecting *c = xcalloc(1, sizeof *c);
	c->server = s;
	c->before_ms = clock_wall_ms() - s->config->limits.asset_keep_ms;
	drop_leftovers(s, c->before_ms);
	store_op_init(&c->op, collecting_run, collecting_done, 0, clock_wall_ms());
	c->op.ctx = c;
	store_submit(s->store, &c->op);
}
