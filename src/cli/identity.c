#include "cli/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"

#define STATE_BYTES_MAX ((size_t)1 << 20)

/* Locks in chat.lock: byte 0 while chat.json is rewritten, byte 1 + index while a terminal uses that entry. They end
 * with the process, however it ends. */
static bool lock_byte(int fd, size_t at, bool wait)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
	return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l) == 0;
}

static void unlock_byte(int fd, size_t at)
{
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
	(void)fcntl(fd, F_OFD_SETLK, &l);
}

static enum err make_dirs(struct cli *c, char *path)
{
	for (char *slash = path; slash != NULL;) {
		slash = strchr(slash + 1, '/');
		if (slash != NULL) *slash = '\0';
		enum err e = OK;
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			e = err_set(&c->info, ERR_IO, "%.160s: %s", path, strerror(errno));
		if (slash != NULL) *slash = '/';
		if (e != OK) return e;
	}
	return OK;
}

/* $XDG_STATE_HOME/roost/<name>; makes the directory. */
static enum err state_path(struct cli *c, const char *name, struct buf *out)
{
	const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (base != NULL && base[0] == '/') buf_add_str(out, str_c(base));
	else if (home != NULL && home[0] == '/') buf_addf(out, "%s/.local/state", home);
	else
		return err_set(&c->info, ERR_CONFIG,
			       "neither XDG_STATE_HOME nor HOME says where to keep the terminal's credential");
	buf_add_str(out, STR("/roost"));
	enum err e = out->failed ? err_set(&c->info, ERR_IO, "the path of %s is too long", name) : make_dirs(c, out->p);
	if (e == OK && !buf_addf(out, "/%s", name)) e = err_set(&c->info, ERR_IO, "the path of %s is too long", name);
	return e;
}

/* The parsed file; *out NULL when there is none yet. */
static enum err state_read(struct cli *c, const char *path, struct json_doc **out)
{
	struct buf text = BUF_INIT(STATE_BYTES_MAX);
	char piece[4096];
	ssize_t n;
	*out = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) return OK;
	if (fd < 0) return err_set(&c->info, ERR_IO, "%.160s: %s", path, strerror(errno));
	while ((n = read(fd, piece, sizeof piece)) > 0) buf_add(&text, piece, (size_t)n);
	close(fd);
	enum err e = json_parse(buf_str(&text), out, NULL);
	if (e != OK)
		e = err_set(&c->info, e, "%.160s is damaged; remove it, and this terminal becomes a new device", path);
	if (text.n > 0) secret_wipe(text.p, text.n);
	buf_release(&text);
	return e;
}

static void write_entry(struct jw *w, const struct identity *i)
{
	jw_obj(w);
	jw_kstr(w, "at", str_c(i->at));
	jw_kstr(w, "user", str_c(i->user));
	jw_kstr(w, "deviceId", str_c(i->device_id));
	jw_kstr(w, "name", str_c(i->name));
	jw_kstr(w, "token", str_c(i->token));
	jw_kstr(w, "cursor", str_c(i->cursor));
	jw_obj_end(w);
}

/* The new text goes to a file beside it and takes its place in one step. */
static enum err state_write(struct cli *c, const char *path, struct str text)
{
	struct buf next = BUF_INIT(4096);
	enum err e = OK;
	buf_addf(&next, "%s.new", path);
	int fd = open(next.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) != 0 || rename(next.p, path) != 0)
		e = err_set(&c->info, ERR_IO, "%.160s: %s", path, strerror(errno));
	if (fd >= 0) close(fd);
	buf_release(&next);
	return e;
}

static enum err save_locked(struct cli *c, const struct identity *i, const char *path)
{
	struct json_doc *doc;
	struct buf text = BUF_INIT(STATE_BYTES_MAX);
	struct jw w = JW(&text);
	size_t n = 0;
	enum err e = state_read(c, path, &doc);
	if (e != OK) return e;
	jw_obj(&w);
	jw_key(&w, "devices");
	jw_arr(&w);
	for (struct json_iter it = json_iter(json_get(json_root(doc), "devices")); json_next(&it); n++) {
		if (n == i->index) write_entry(&w, i);
		else jw_value(&w, it.val);
	}
	if (n <= i->index) write_entry(&w, i);
	jw_arr_end(&w);
	jw_obj_end(&w);
	buf_add_char(&text, '\n');
	e = text.failed ? err_set(&c->info, ERR_TOO_LARGE, "%.160s is full; remove it", path)
			: state_write(c, path, buf_str(&text));
	if (text.p != NULL) secret_wipe(text.p, text.n);
	buf_release(&text);
	json_free(doc);
	return e;
}

enum err identity_save(struct cli *c, const struct identity *i)
{
	struct buf path = BUF_INIT(4096);
	enum err e = state_path(c, "chat.json", &path);
	if (e == OK && !lock_byte(i->lock, 0, true))
		e = err_set(&c->info, ERR_IO, "%.160s: %s", path.p, strerror(errno));
	if (e == OK) e = save_locked(c, i, path.p);
	unlock_byte(i->lock, 0);
	buf_release(&path);
	return e;
}

/* "laptop terminal", "laptop terminal 2" */
static char *terminal_name(size_t nth)
{
	char host[65] = "", name[100];
	if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') snprintf(host, sizeof host, "this machine's");
	if (nth == 0) snprintf(name, sizeof name, "%s terminal", host);
	else snprintf(name, sizeof name, "%s terminal %zu", host, nth + 1);
	return xstrdup(name);
}

/* The first entry of this daemon and user that no other terminal holds, or the place of a new one. */
static void pick(struct identity *i, const struct json *devices)
{
	size_t n = 0, nth = 0;
	struct json_iter it = json_iter(devices);
	for (; json_next(&it); n++) {
		if (!str_eq(cli_text(it.val, "at"), str_c(i->at)) || !str_eq(cli_text(it.val, "user"), str_c(i->user)))
			continue;
		if (lock_byte(i->lock, n + 1, false)) break;
		nth++;
	}
	i->index = n;
	if (n < json_len(devices)) {
		i->device_id = str_dup(cli_text(it.val, "deviceId"));
		i->name = str_dup(cli_text(it.val, "name"));
		i->token = str_dup(cli_text(it.val, "token"));
		i->cursor = str_dup(cli_text(it.val, "cursor"));
		return;
	}
	struct id id = id_new(clock_wall_ms());
	(void)lock_byte(i->lock, n + 1, false); /* free: the entry did not exist until now, and byte 0 is held */
	i->device_id = xstrdup(id.s);
	i->name = terminal_name(nth);
	i->token = xstrdup("");
	i->cursor = xstrdup("");
}

enum err identity_take(struct cli *c, const char *url, const char *user, struct identity *out)
{
	struct buf path = BUF_INIT(4096), lock = BUF_INIT(4096);
	struct json_doc *doc = NULL;
	*out = (struct identity){.lock = -1, .is_url = url != NULL};
	out->at = xstrdup(url != NULL ? url : c->config.data_dir);
	out->user = xstrdup(user != NULL ? user : "");
	enum err e = state_path(c, "chat.json", &path);
	if (e == OK) e = state_path(c, "chat.lock", &lock);
	if (e == OK) out->lock = open(lock.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e == OK && (out->lock < 0 || !lock_byte(out->lock, 0, true)))
		e = err_set(&c->info, ERR_IO, "%.160s: %s", lock.p, strerror(errno));
	if (e == OK) e = state_read(c, path.p, &doc);
	if (e == OK) {
		pick(out, json_get(json_root(doc), "devices"));
		if (out->index >= json_len(json_get(json_root(doc), "devices"))) e = save_locked(c, out, path.p);
	}
	if (out->lock >= 0) unlock_byte(out->lock, 0);
	json_free(doc);
	buf_release(&path);
	buf_release(&lock);
	return e;
}

enum err identity_prove(struct cli *c, struct identity *i, const char *code)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc;
	enum err e;
	if (i->is_url && code == NULL)
		return err_set(&c->info, ERR_UNAUTHORIZED,
			       "this terminal is not paired with %.120s; give a code of `roost pair` with --code",
			       i->at);
	jw_obj(&w);
	if (i->is_url) jw_kstr(&w, "code", str_c(code));
	else if (i->user[0] != '\0') jw_kstr(&w, "user", str_c(i->user));
	jw_kstr(&w, "deviceId", str_c(i->device_id));
	jw_kstr(&w, "name", str_c(i->name));
	jw_kstr(&w, "platform", STR("terminal"));
	jw_obj_end(&w);
	e = i->is_url ? remote_call(c, "POST", i->at, "/api/v1/pair", buf_str(&body), &doc)
		      : operator_call(c, "POST", "chat-device", buf_str(&body), OPERATOR_MS, &doc);
	if (e == OK) {
		free(i->token);
		i->token = str_dup(cli_text(json_root(doc), "token"));
		json_free(doc);
		e = identity_save(c, i);
	}
	buf_release(&body);
	return e;
}

void identity_release(struct identity *i)
{
	if (i->token != NULL) secret_wipe(i->token, strlen(i->token));
	free(i->at);
	free(i->user);
	free(i->device_id);
	free(i->name);
	free(i->token);
	free(i->cursor);
	if (i->lock >= 0) close(i->lock);
	*i = (struct identity){.lock = -1};
}
