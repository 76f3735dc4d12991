#include "host/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "store/txn.h"

#define FILE_MAX (KEY_MAX + ORIGIN_MAX + 8)
#define ENDS_FROM 20 /* characters a key has before its last four are shown */

const char *key_from_name(enum key_from f)
{
	static const char *const names[] = {[KEY_NONE] = "none",
					    [KEY_FILE] = "keyFile",
					    [KEY_CREDENTIAL] = "credential",
					    [KEY_STORED] = "stored",
					    [KEY_ENVIRONMENT] = "environment"};
	return names[f];
}

void key_ends(const char *key, char out[16])
{
	size_t n = key != NULL ? strlen(key) : 0;
	(void)snprintf(out, 16, "%s%s", n >= ENDS_FROM ? "…" : "", n >= ENDS_FROM ? key + n - 4 : "");
}

bool key_name_is_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
	return n > 0 && n <= 64 && name[n] == '\0';
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum strict { ONLY_OURS, ANY_MODE };

/* Printable ASCII, which is all that may stand in a header. */
static bool is_key(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f) return false;
	return s.n > 0 && s.n <= KEY_MAX;
}

static struct str first_line(struct str *rest)
{
	const char *end = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
	struct str line = str_n(rest->p, end != NULL ? (size_t)(end - rest->p) : rest->n);
	*rest = str_n(rest->p + line.n, rest->n - line.n);
	if (rest->n > 0) *rest = str_n(rest->p + 1, rest->n - 1);
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' ')) line.n--;
	return line;
}

/* Reads a file of a key and, in a second line, an origin (only where `origin` is not NULL). `what` names it in errors.
 * ERR_NOT_FOUND: there is none. */
static enum err read_file(const char *path, const char *what, enum strict strict, char **out_key, char *origin,
			  struct errinfo *info)
{
	char text[FILE_MAX + 1];
	struct stat st;
	enum err e = OK;
	ssize_t n = 0;
	size_t len = 0;
	*out_key = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0) {
		e = errno == ENOENT ? ERR_NOT_FOUND : ERR_CONFIG;
		e = err_set(info, e, "%s cannot be opened: %s", what, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || (strict == ONLY_OURS && (st.st_mode & 077) != 0)) {
		e = err_set(info, ERR_CONFIG, "%s must be a file that only you can read (chmod 600); its mode is %04o",
			    what, (unsigned)st.st_mode & 07777);
		goto out;
	}
	while (len < sizeof text && (n = read(fd, text + len, sizeof text - len)) > 0) len += (size_t)n;
	struct str rest = str_n(text, n < 0 ? 0 : len), key = first_line(&rest), second = STR("");
	if (origin != NULL) second = first_line(&rest);
	while (rest.n > 0 && strchr("\r\n ", rest.p[rest.n - 1]) != NULL) rest.n--;
	if (!is_key(key) || rest.n > 0) {
		e = err_set(info, ERR_CONFIG, "%s must hold the key alone, in one line of at most %d characters", what,
			    KEY_MAX);
		goto out;
	}
	if (origin != NULL) (void)url_origin(second, origin);
	*out_key = str_dup(key);
out:
	secret_wipe(text, sizeof text);
	if (fd >= 0) close(fd);
	return e;
}

/* ---- the places -------------------------------------------------------------------------------------------------- */

/* Whether the kind's own key belongs where this provider is. */
static bool is_at_home(const struct key_ask *ask)
{
	return ask->kind != NULL && same_origin(str_c(ask->base_url), str_c(ask->kind->key_url));
}

static void note_elsewhere(const struct key_ask *ask, const char *origin, struct key_found *out)
{
	char here[ORIGIN_MAX];
	(void)url_origin(str_c(ask->base_url), here);
	if (origin[0] == '\0')
		(void)snprintf(out->note, sizeof out->note,
			       "the stored key of %s names no address it is for; run: roost keys set %s", ask->name,
			       ask->name);
	else
		(void)snprintf(out->note, sizeof out->note,
			       "the stored key of %s is for %.60s and not for %.60s; run: roost keys set %s", ask->name,
			       origin, here, ask->name);
}

static enum err find_file(const struct key_ask *ask, struct key_found *out, struct errinfo *info)
{
	char what[120];
	if (ask->key_file == NULL) return OK;
	(void)snprintf(what, sizeof what, "providers.%.64s.keyFile", ask->name);
	(void)snprintf(out->where, sizeof out->where, "the file %.360s", ask->key_file);
	enum err e = read_file(ask->key_file, what, ONLY_OURS, &out->key, NULL, info);
	return e == ERR_NOT_FOUND ? ERR_CONFIG : e;
}

/* systemd gives the service's user its access through an ACL, which shows as a mode for the group. */
static enum err find_credential(const struct key_ask *ask, struct key_found *out, struct errinfo *info)
{
	char path[300], what[360];
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	if (dir == NULL || dir[0] != '/') return OK;
	if ((size_t)snprintf(path, sizeof path, "%s/%s.key", dir, ask->name) >= sizeof path) return OK;
	(void)snprintf(what, sizeof what, "systemd's credential %s", path);
	enum err e = read_file(path, what, ANY_MODE, &out->key, NULL, info);
	if (e == ERR_NOT_FOUND) return OK;
	(void)snprintf(out->where, sizeof out->where, "%s", what);
	return e;
}

static enum err find_stored(const struct key_ask *ask, struct key_found *out, struct errinfo *info)
{
	char path[300], what[360], origin[ORIGIN_MAX] = "", here[ORIGIN_MAX];
	char *key = NULL;
	if (ask->key_dir == NULL || !key_name_is_valid(ask->name)) return OK;
	if ((size_t)snprintf(path, sizeof path, "%s/%s", ask->key_dir, ask->name) >= sizeof path) return OK;
	(void)snprintf(what, sizeof what, "the stored key %s", path);
	enum err e = read_file(path, what, ONLY_OURS, &key, origin, info);
	if (e == ERR_NOT_FOUND) return OK;
	if (e != OK || key == NULL) return e;
	if (url_origin(str_c(ask->base_url), here) && strcmp(here, origin) == 0) {
		out->key = key;
		(void)snprintf(out->where, sizeof out->where, "%s", what);
		return OK;
	}
	secret_wipe(key, strlen(key));
	free(key);
	note_elsewhere(ask, origin, out);
	return OK;
}

static enum err find_environment(const struct key_ask *ask, struct key_found *out, struct errinfo *info)
{
	const char *names[3] = {ask->key_env};
	size_t n = ask->key_env != NULL;
	for (size_t i = 0; n == 0 && is_at_home(ask) && i < ARRAY_LEN(ask->kind->env); i++)
		names[i] = ask->kind->env[i];
	for (size_t i = 0; names[i] != NULL; i++) {
		struct str value = str_c(getenv(names[i]));
		while (value.n > 0 && strchr("\r\n ", value.p[value.n - 1]) != NULL) value.n--;
		if (value.n == 0) continue;
		(void)snprintf(out->where, sizeof out->where, "the environment variable %s", names[i]);
		if (!is_key(value))
			return err_set(info, ERR_CONFIG, "%s must hold the key alone, at most %d characters of ASCII",
				       out->where, KEY_MAX);
		out->key = str_dup(value);
		return OK;
	}
	return OK;
}

enum err keys_find(const struct key_ask *ask, struct key_found *out, struct errinfo *info)
{
	static const struct {
		enum key_from from;
		enum err (*find)(const struct key_ask *ask, struct key_found *out, struct errinfo *info);
	} places[] = {
		{KEY_FILE, find_file},
		{KEY_CREDENTIAL, find_credential},
		{KEY_STORED, find_stored},
		{KEY_ENVIRONMENT, find_environment},
	};
	enum err e = OK;
	*out = (struct key_found){.from = KEY_NONE};
	for (size_t i = 0; i < ARRAY_LEN(places) && e == OK && out->key == NULL && out->note[0] == '\0'; i++) {
		e = places[i].find(ask, out, info);
		if (out->key != NULL) out->from = places[i].from;
	}
	return e;
}

void key_found_release(struct key_found *f)
{
	if (f->key != NULL) secret_wipe(f->key, strlen(f->key));
	free(f->key);
	f->key = NULL;
}

void keys_advice(const struct key_ask *ask, char *out, size_t cap)
{
	const char *variable = ask->key_env != NULL ? ask->key_env : is_at_home(ask) ? ask->kind->env[0] : NULL;
	if (variable != NULL) (void)snprintf(out, cap, "set %s, or run: roost keys set %s", variable, ask->name);
	else (void)snprintf(out, cap, "run: roost keys set %s", ask->name);
}

/* getenv points into the block the kernel shows; unsetenv would only drop the pointer. */
static void wipe_variable(const char *name)
{
	char *value = getenv(name);
	if (value != NULL) secret_wipe(value, strlen(value));
}

void keys_wipe_environment(const char *const *more)
{
	for (const struct provider_kind *k = provider_kinds; k->name != NULL; k++)
		for (size_t i = 0; i < ARRAY_LEN(k->env); i++)
			if (k->env[i] != NULL) wipe_variable(k->env[i]);
	for (; more != NULL && *more != NULL; more++) wipe_variable(*more);
}

/* ---- stored keys ------------------------------------------------------------------------------------------------- */

static enum err no_write(const char *path, struct errinfo *info)
{
	return err_set(info, errno == ENOSPC || errno == EDQUOT ? ERR_STORAGE_FULL : ERR_IO, "%s: %s", path,
		       strerror(errno));
}

static bool write_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0) return false;
		s = str_n(s.p + n, s.n - (size_t)n);
	}
	return true;
}

/* What root stores is for the daemon that runs as the data directory's owner. */
static bool give_to_owner(const char *key_dir, int fd)
{
	char above[420];
	struct stat st;
	if (geteuid() != 0) return true;
	(void)snprintf(above, sizeof above, "%s/..", key_dir);
	return stat(above, &st) == 0 && chown(key_dir, st.st_uid, st.st_gid) == 0 &&
	       fchown(fd, st.st_uid, st.st_gid) == 0;
}

enum err keys_store(const char *key_dir, const char *name, const char *origin, struct str key, struct errinfo *info)
{
	char path[400] = "", temporary[400] = "";
	enum err e = OK;
	int fd = -1;
	if (!key_name_is_valid(name))
		return err_set(info, ERR_USAGE, "\"%.64s\" is no provider's name: letters, digits, - and _", name);
	if (!is_key(key))
		return err_set(info, ERR_USAGE, "a key is one line of at most %d characters, without spaces", KEY_MAX);
	if ((size_t)snprintf(path, sizeof path, "%s/%s", key_dir, name) >= sizeof path - 8)
		return err_set(info, ERR_CONFIG, "the data directory's path is too long");
	(void)snprintf(temporary, sizeof temporary, "%s/.new", key_dir);
	if ((e = dir_make(key_dir, info)) != OK) return e;
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || !give_to_owner(key_dir, fd) || !write_all(fd, key) || !write_all(fd, STR("\n")) ||
	    !write_all(fd, str_c(origin)) || !write_all(fd, STR("\n")) || fsync(fd) != 0 ||
	    rename(temporary, path) != 0)
		e = no_write(path, info);
	else e = dir_sync(key_dir, info);
	if (e != OK && fd >= 0) (void)unlink(temporary);
	if (fd >= 0) close(fd);
	return e;
}

enum err keys_remove(const char *key_dir, const char *name, struct errinfo *info)
{
	char path[400];
	if (!key_name_is_valid(name) || (size_t)snprintf(path, sizeof path, "%s/%s", key_dir, name) >= sizeof path ||
	    unlink(path) != 0) {
		if (!key_name_is_valid(name) || errno == ENOENT)
			return err_set(info, ERR_NOT_FOUND, "no key of \"%.64s\" is stored", name);
		return no_write(path, info);
	}
	return OK;
}

static int is_shown(const struct dirent *d) { return key_name_is_valid(d->d_name); }

void keys_each(const char *key_dir, void (*each)(void *ctx, const char *name, const char *origin, const char *bad),
	       void *ctx)
{
	struct dirent **list;
	int n = scandir(key_dir, &list, is_shown, alphasort);
	for (int i = 0; i < n; i++) {
		char path[700], origin[ORIGIN_MAX] = "";
		char *key;
		struct errinfo why = {0};
		(void)snprintf(path, sizeof path, "%.400s/%.255s", key_dir, list[i]->d_name);
		enum err e = read_file(path, path, ONLY_OURS, &key, origin, &why);
		each(ctx, list[i]->d_name, origin, e != OK ? err_sentence(&why, e) : "");
		if (key != NULL) secret_wipe(key, strlen(key));
		free(key);
		free(list[i]);
	}
	if (n >= 0) free(list);
}
