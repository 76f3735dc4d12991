/* Directories and names.
 *
 * Whether a name is taken is decided while the output directory is locked (flock on it), so that two runs that begin at
 * once under one name do not both get it. A directory's name holds only what no shell, URL or terminal notices; when that
 * is not the whole name, the manifests of those with the same directory name are asked for theirs. */
#include "lab/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/utf8.h"
#include "lab/manifest.h"
#include "lab/place_priv.h"
#include "lab/place_words.h"

#define ID_PREFIX "experiment_"
#define DIGITS 8
#define NAME_BYTES_MAX 200
#define NAME_TRIES 64
#define CANDIDATES_TOLD 4

/* ---- paths ------------------------------------------------------------------------------------------------------ */

char *place_join(const char *dir, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0) die(err_exit(ERR_NOMEM), "out of memory");
	return path;
}

static char *absolute(const char *path)
{
	char *cwd = path[0] == '/' ? NULL : get_current_dir_name();
	char *out = cwd == NULL ? xstrdup(path) : place_join(cwd, path);
	free(cwd);
	size_t n = strlen(out);
	while (n > 1 && out[n - 1] == '/') out[--n] = '\0';
	return out;
}

char *place_output(const struct config *config, const char *output)
{
	const char *named = getenv("ROOST_OUTPUT_DIR");
	if (output != NULL && output[0] != '\0') return absolute(output);
	if (named != NULL && named[0] != '\0') return absolute(named);
	if (config->lab_output[0] != '\0') return absolute(config->lab_output);
	return place_join(config->data_dir, "experiments");
}

enum err place_err(const char *what, const char *path, int os, struct errinfo *info)
{
	enum err e = os_has_no_room(os)                           ? ERR_STORAGE_FULL
		     : os == EROFS || os == EACCES || os == EPERM ? ERR_READ_ONLY
								  : ERR_IO;
	return err_set(info, e, "%.150s cannot be %s: %s", path, what, strerror(os));
}

/* mkdir -p */
enum err place_make_dirs(const char *path, struct errinfo *info)
{
	char *copy = xstrdup(path);
	enum err e = OK;
	for (char *p = copy + 1; e == OK; p++) {
		if (*p != '/' && *p != '\0') continue;
		char was = *p;
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST) e = place_err("made", copy, errno, info);
		if (was == '\0') break;
		*p = was;
	}
	free(copy);
	return e;
}

/* ---- directories' names ----------------------------------------------------------------------------------------- */

static bool is_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) return false;
	return true;
}

/* Nothing that a terminal would obey, or that is no text. */
static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) return false;
	return utf8_is_valid(s);
}

/* NAME_ID8; the length of NAME, 0 when it is no experiment's directory. */
static size_t name_length(const char *base)
{
	size_t n = strlen(base);
	if (base[0] == '.' || n < DIGITS + 2 || base[n - DIGITS - 1] != '_') return 0;
	return is_hex(base + n - DIGITS, DIGITS) && is_plain(str_n(base, n)) ? n - DIGITS - 1 : 0;
}

/* What of a name stands in its directory's: letters, digits, dot, dash and underscore; a dash for a run of others. */
static void safe_name(struct str name, char out[PLACE_NAME_MAX + 1])
{
	size_t n = 0;
	for (size_t i = 0; i < name.n && n < PLACE_NAME_MAX; i++) {
		char c = name.p[i];
		bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (is_letter || c == '_' || (c == '.' && n > 0)) out[n++] = c;
		else if (n > 0 && out[n - 1] != '-') out[n++] = '-';
	}
	while (n > 0 && (out[n - 1] == '-' || out[n - 1] == '.')) n--;
	out[n] = '\0';
	if (n == 0) snprintf(out, PLACE_NAME_MAX + 1, "experiment");
}

static void place_set(struct place *p, const char *dir)
{
	const char *slash = strrchr(dir, '/'), *base = slash != NULL ? slash + 1 : dir;
	size_t n = name_length(base);
	struct str name = n > 0 ? str_n(base, n) : str_c(base);
	*p = (struct place){.dir = xstrdup(dir), .name = str_dup(is_plain(name) ? name : STR("experiment"))};
	if (n > 0) snprintf(p->id, sizeof p->id, ID_PREFIX "%s", base + n + 1);
}

void place_release(struct place *p)
{
	free(p->dir);
	free(p->name);
	*p = (struct place){0};
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

void place_list_add(struct place_list *l, const char *dir, int64_t changed_ms)
{
	struct place p;
	if (l->n == l->cap) {
		l->cap = MAX(l->cap * 2, (size_t)16);
		l->list = xrealloc(l->list, xmul(l->cap, sizeof *l->list));
	}
	place_set(&p, dir);
	struct place_entry *e = &l->list[l->n++];
	*e = (struct place_entry){.dir = p.dir, .name = p.name, .changed_ms = changed_ms};
	memcpy(e->id, p.id, sizeof e->id);
}

static int newest_first(const void *a, const void *b)
{
	const struct place_entry *x = a, *y = b;
	if (x->changed_ms != y->changed_ms) return x->changed_ms < y->changed_ms ? 1 : -1;
	return strcmp(x->dir, y->dir);
}

void place_list_sort(struct place_list *l)
{
	if (l->n > 0) qsort(l->list, l->n, sizeof *l->list, newest_first);
}

enum err place_list(const char *output, struct place_list *out, struct errinfo *info)
{
	*out = (struct place_list){0};
	DIR *d = opendir(output);
	if (d == NULL) return errno == ENOENT ? OK : place_err("read", output, errno, info);
	struct buf path = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&path, "%s/", output);
	size_t base = path.n;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct stat st;
		if (name_length(e->d_name) == 0 || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN)) continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) continue;
		path.n = base;
		buf_add_str(&path, str_c(e->d_name));
		place_list_add(out, path.p, place_changed_ms(&st));
	}
	buf_release(&path);
	closedir(d);
	place_list_sort(out);
	return OK;
}

void place_list_release(struct place_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->list[i].dir);
		free(l->list[i].name);
	}
	free(l->list);
	*l = (struct place_list){0};
}

/* ---- making one ------------------------------------------------------------------------------------------------- */

static bool has_name(const struct place_entry *e, struct str name)
{
	struct manifest m;
	bool is_it;
	manifest_init(&m);
	if (manifest_load(&m, e->dir, false, NULL) == OK && m.name.n > 0) is_it = str_eq(m.name, name);
	else is_it = str_eq(str_c(e->name), name);
	manifest_release(&m);
	return is_it;
}

/* Is there an experiment of that name? `safe` is what a directory makes of it. */
static bool is_taken(const struct place_list *l, const char *safe, struct str name)
{
	bool is_whole = str_eq(str_c(safe), name);
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->list[i].name, safe) == 0 && (is_whole || has_name(&l->list[i], name))) return true;
	return false;
}

static bool is_id_taken(const struct place_list *l, const char *id)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->list[i].id, id) == 0) return true;
	return false;
}

static enum err choose_name(const struct place_list *l, struct str asked, char safe[PLACE_NAME_MAX + 1], char **out,
			    struct errinfo *info)
{
	if (asked.n > 0) {
		safe_name(asked, safe);
		if (is_taken(l, safe, asked))
			return err_set(info, ERR_EXISTS, "there is an experiment named \"%.*s\"", STR_ARG(asked));
		*out = str_dup(asked);
		return OK;
	}
	int attempt = 0;
	do place_random_name(attempt++, safe);
	while (attempt < NAME_TRIES && is_taken(l, safe, str_c(safe)));
	*out = xstrdup(safe);
	return OK;
}

static enum err name_check(struct str name, struct errinfo *info)
{
	if (name.n > NAME_BYTES_MAX) return err_set(info, ERR_USAGE, "a name has at most %d bytes", NAME_BYTES_MAX);
	if (!is_plain(name)) return err_set(info, ERR_USAGE, "the name holds a control character, or is not UTF-8");
	return OK;
}

/* The output directory is locked. */
static enum err make_locked(const char *output, int outfd, struct str name, struct place *out, struct errinfo *info)
{
	struct place_list all;
	char safe[PLACE_NAME_MAX + 1], base[PLACE_NAME_MAX + DIGITS + 2];
	enum err e = place_list(output, &all, info);
	if (e == OK) e = choose_name(&all, name, safe, &out->name, info);
	if (e == OK) {
		do snprintf(out->id, sizeof out->id, ID_PREFIX "%08x", (unsigned)(random_u64() & 0xffffffff));
		while (is_id_taken(&all, out->id));
		snprintf(base, sizeof base, "%s_%s", safe, out->id + strlen(ID_PREFIX));
		out->dir = place_join(output, base);
		if (mkdirat(outfd, base, 0700) != 0) e = place_err("made", out->dir, errno, info);
		else if (fsync(outfd) != 0) e = place_err("synced", output, errno, info);
	}
	place_list_release(&all);
	return e;
}

enum err place_make(const char *output, struct str name, struct place *out, struct errinfo *info)
{
	*out = (struct place){0};
	int fd = -1;
	enum err e = name_check(name, info);
	if (e == OK) e = place_make_dirs(output, info);
	if (e != OK) return e;
	fd = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) != 0) e = place_err("opened", output, errno, info);
	if (e == OK) e = make_locked(output, fd, name, out, info);
	if (fd >= 0) close(fd);
	if (e != OK) place_release(out);
	return e;
}

/* ---- finding one ------------------------------------------------------------------------------------------------ */

/* How well a text fits; the greatest wins. */
enum fit { FIT_NOT, FIT_BEGINNING, FIT_NAME, FIT_ID, FIT_DIRECTORY };

static enum fit fit_of(const struct place_entry *e, struct str asked)
{
	struct str id = str_c(e->id), digits = str_c(e->id + strlen(ID_PREFIX)), name = str_c(e->name);
	struct str base = str_c(strrchr(e->dir, '/') + 1);
	if (str_eq(base, asked)) return FIT_DIRECTORY;
	if (str_eq(id, asked) || str_eq(digits, asked)) return FIT_ID;
	if (str_eq(name, asked)) return FIT_NAME;
	bool is_beginning = str_starts(id, asked) || str_starts(digits, asked) || str_starts(base, asked);
	return is_beginning ? FIT_BEGINNING : FIT_NOT;
}

static bool has_conversation(const struct place_entry *e, struct str asked)
{
	struct buf path = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&path, "%s/events_%.*s.jsonl", e->dir, STR_ARG(asked));
	bool is_there = access(path.p, F_OK) == 0;
	buf_release(&path);
	return is_there;
}

static enum err several(const struct place_list *l, const enum fit *fits, enum fit best, struct str asked,
			struct errinfo *info)
{
	char names[180];
	size_t n = 0, told = 0, all = 0;
	names[0] = '\0';
	for (size_t i = 0; i < l->n; i++) {
		if (fits[i] != best) continue;
		if (all++ >= CANDIDATES_TOLD) continue;
		const char *base = strrchr(l->list[i].dir, '/') + 1;
		int put = snprintf(names + n, sizeof names - n, "%s%s", told > 0 ? ", " : "", base);
		if (put < 0 || (size_t)put >= sizeof names - n) {
			names[n] = '\0';
			break;
		}
		n += (size_t)put;
		told++;
	}
	return err_set(info, ERR_CONFLICT, "\"%.*s\" may be %s%s", (int)MIN(asked.n, (size_t)30), asked.p, names,
		       all > told ? ", …" : "");
}

/* In one list. ERR_NOT_FOUND without a sentence. */
static enum err find_in(const struct place_list *l, struct str asked, struct place *out, struct errinfo *info)
{
	enum fit best = FIT_NOT, *fits = xcalloc(l->n + 1, sizeof *fits);
	bool is_conversation = str_starts(asked, STR("conv_")) && memchr(asked.p, '/', asked.n) == NULL;
	size_t count = 0, last = 0;
	for (size_t i = 0; i < l->n; i++) {
		fits[i] = fit_of(&l->list[i], asked);
		if (is_conversation && fits[i] < FIT_ID && has_conversation(&l->list[i], asked)) fits[i] = FIT_ID;
		if (fits[i] > best) count = 0;
		best = MAX(best, fits[i]);
		if (fits[i] != best || best == FIT_NOT) continue;
		last = i;
		count++;
	}
	enum err e = ERR_NOT_FOUND;
	if (count > 1) e = several(l, fits, best, asked, info);
	else if (count == 1) {
		place_set(out, l->list[last].dir);
		e = OK;
	}
	free(fits);
	return e;
}

/* A copy under another name: only its manifest knows. */
static void id_from_manifest(struct place *p)
{
	struct manifest m;
	manifest_init(&m);
	if (manifest_load(&m, p->dir, false, NULL) == OK) str_copy(m.experiment_id, p->id, sizeof p->id);
	manifest_release(&m);
}

/* A directory named by its path. */
static enum err find_path(struct str asked, struct place *out, struct errinfo *info)
{
	char *path = str_dup(asked), *real = realpath(path, NULL), *manifest = NULL;
	enum err e = OK;
	if (real == NULL) e = err_set(info, ERR_NOT_FOUND, "there is no directory %.180s", path);
	if (e == OK) {
		manifest = place_join(real, MANIFEST_FILE);
		if (access(manifest, F_OK) != 0)
			e = err_set(info, ERR_NOT_FOUND, "%.180s is no experiment: it has no " MANIFEST_FILE, real);
	}
	if (e == OK && real != NULL) place_set(out, real);
	if (e == OK && out->id[0] == '\0') id_from_manifest(out);
	free(manifest);
	free(real);
	free(path);
	return e;
}

enum err place_find(const char *output, struct str asked, struct place *out, struct errinfo *info)
{
	struct place_list l = {0};
	*out = (struct place){0};
	if (asked.n == 0) return err_set(info, ERR_USAGE, "an experiment's id or name is empty");
	if (memchr(asked.p, '\0', asked.n) != NULL) return err_set(info, ERR_USAGE, "an id or name holds a NUL");
	if (memchr(asked.p, '/', asked.n) != NULL || str_eq(asked, STR("."))) return find_path(asked, out, info);
	enum err e = place_list(output, &l, info);
	if (e == OK) e = find_in(&l, asked, out, info);
	if (e == ERR_NOT_FOUND) { /* one that runs elsewhere */
		place_list_release(&l);
		e = place_running(NULL, &l, info);
		if (e == OK) e = find_in(&l, asked, out, info);
		if (e == ERR_NOT_FOUND)
			e = err_set(info, e, "no experiment in %.120s is \"%.*s\"", output,
				    (int)MIN(asked.n, (size_t)60), asked.p);
	}
	place_list_release(&l);
	return e;
}
