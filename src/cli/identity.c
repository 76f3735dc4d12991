#include "cli/identity.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

#define TERMINALS_MAX 99 /* at once, of one daemon and user */
#define KEY_BYTES 8

enum err identity_err(int error, struct errinfo *info)
{
	const char *code = roost_error_code(error);
	if (error == ROOST_OK) return OK;
	return err_set(info, err_from_code(code, (uint32_t)strlen(code)), "%s", roost_last_error());
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

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

/* $XDG_STATE_HOME/roost/chat; makes it. */
static enum err state_dir(struct cli *c, struct buf *out)
{
	const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (base != NULL && base[0] == '/') buf_add_str(out, str_c(base));
	else if (home != NULL && home[0] == '/') buf_addf(out, "%s/.local/state", home);
	else
		return err_set(&c->info, ERR_CONFIG,
			       "neither XDG_STATE_HOME nor HOME says where to keep what this terminal knows");
	if (!buf_add_str(out, STR("/roost/chat")))
		return err_set(&c->info, ERR_IO, "the path of this terminal's file is too long");
	return make_dirs(c, out->p);
}

/* One file name for each daemon and user, whatever characters are in them. */
static void key_of(const struct identity *i, char out[2 * KEY_BYTES + 1])
{
	unsigned char hash[SHA256_LEN];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add(&b, i->at, strlen(i->at) + 1);
	buf_add_str(&b, str_c(i->user));
	sha256(buf_str(&b), hash);
	hex_encode(hash, KEY_BYTES, out);
	buf_release(&b);
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

/* "laptop terminal", "laptop terminal 2" */
static char *terminal_name(int nth)
{
	char host[65] = "", name[100];
	if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') snprintf(host, sizeof host, "this machine's");
	if (nth == 1) snprintf(name, sizeof name, "%s terminal", host);
	else snprintf(name, sizeof name, "%s terminal %d", host, nth);
	return xstrdup(name);
}

static enum err open_file(struct cli *c, const struct identity *i, const roost_options *like, const char *path,
			  const char *name, roost **out)
{
	struct buf socket = BUF_INIT(4096);
	buf_addf(&socket, "%s/roost.sock", i->at);
	roost_options o = {
		.size = sizeof o,
		.path = path,
		.url = i->is_url ? i->at : NULL,
		.socket_path = i->is_url ? NULL : socket.p,
		.name = name,
		.platform = "terminal",
		.app_version = roost_version(),
		.foreground = like->foreground,
		.stopped = 1,
		.loop = like->loop,
		.event = like->event,
		.ctx = like->ctx,
	};
	enum err e = identity_err(roost_open(&o, out), &c->info);
	buf_release(&socket);
	return e;
}

static bool has_waiting(const roost *device)
{
	roost_status_t s = {.size = sizeof s};
	return roost_status(device, &s) == ROOST_OK && s.pending + s.held > 0;
}

/* In place of the one taken before. */
static void take(struct identity *i, roost *device, char *name)
{
	roost_close(i->device);
	free(i->name);
	i->device = device;
	i->name = name;
}

static enum err pick(struct cli *c, const char *dir, const roost_options *like, struct identity *i)
{
	char key[2 * KEY_BYTES + 1];
	struct buf path = BUF_INIT(4096);
	enum err e = OK;
	bool is_over = false;
	key_of(i, key);
	for (int nth = 1; nth <= TERMINALS_MAX && e == OK && !is_over; nth++) {
		roost *device = NULL;
		buf_clear(&path);
		if (!buf_addf(&path, "%s/%s-%d.db", dir, key, nth)) break;
		if (i->device != NULL && access(path.p, F_OK) != 0) break;
		char *name = terminal_name(nth);
		e = open_file(c, i, like, path.p, name, &device);
		if (e == OK && (i->device == NULL || has_waiting(device))) {
			is_over = has_waiting(device);
			take(i, device, name);
			continue;
		}
		if (e == ERR_LOCKED || i->device != NULL) e = OK; /* another terminal's, or one not needed */
		roost_close(device);
		free(name);
	}
	if (e == OK && i->device == NULL)
		e = err_set(&c->info, ERR_TOO_MANY, "%d terminals are open already", TERMINALS_MAX);
	buf_release(&path);
	return e;
}

enum err identity_open(struct cli *c, const char *url, const char *user, const roost_options *like,
		       struct identity *out)
{
	struct buf dir = BUF_INIT(4096);
	*out = (struct identity){.is_url = url != NULL};
	out->at = xstrdup(url != NULL ? url : c->config.data_dir);
	out->user = xstrdup(user != NULL ? user : "");
	enum err e = state_dir(c, &dir);
	if (e == OK) e = pick(c, dir.p, like, out);
	buf_release(&dir);
	return e;
}

enum err identity_prove(struct cli *c, struct identity *i, const char *code)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc = NULL;
	if (i->is_url && code == NULL)
		return err_set(&c->info, ERR_UNAUTHORIZED,
			       "this terminal is not paired with %.120s; give a code of `roost pair` with --code",
			       i->at);
	if (i->is_url) return identity_err(roost_pair(i->device, code), &c->info);
	jw_obj(&w);
	if (i->user[0] != '\0') jw_kstr(&w, "user", str_c(i->user));
	jw_kstr(&w, "deviceId", str_c(roost_device_id(i->device)));
	jw_kstr(&w, "name", str_c(i->name));
	jw_kstr(&w, "platform", STR("terminal"));
	jw_obj_end(&w);
	enum err e = operator_call(c, "POST", "chat-device", buf_str(&body), OPERATOR_MS, &doc);
	buf_release(&body);
	if (e != OK) return e;
	char *token = str_dup(cli_text(json_root(doc), "token"));
	e = identity_err(roost_set_token(i->device, token), &c->info);
	secret_wipe(token, strlen(token));
	free(token);
	json_free(doc);
	return e;
}

void identity_release(struct identity *i)
{
	roost_close(i->device);
	free(i->at);
	free(i->user);
	free(i->name);
	*i = (struct identity){0};
}
