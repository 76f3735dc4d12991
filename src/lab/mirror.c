/* Which experiments there are, which of them are followed, and what is news of them. */
#include "lab/mirror.h"

#include <pthread.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hash.h"
#include "lab/mirror_priv.h"
#include "lab/place_priv.h"

#define DEAD_LOOKS 2
#define SETTLED_MS 2000 /* of a directory that changed later, the time of its next change may be the same */
#define FIELDS_MAX ((size_t)1 << 20)

struct mirror {
	char *output;
	const struct limits *limits;
	pthread_mutex_t place; /* calls to place_*, which are for one thread at a time */
	struct mirrored *all;
	LIST_HEAD(, mirrored) open;
	TAILQ_HEAD(, mirrored) news;
	uint64_t look;         /* number of the running look */
	int64_t listed_ms;     /* wall time before which the last listing began; at first that of our beginning */
	struct timespec since; /* the output's time at the last listing; 0 it is to be listed again */
};

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct mirror *mirror_new(char *output, const struct limits *limits)
{
	struct mirror *m = xcalloc(1, sizeof *m);
	m->output = output;
	m->limits = limits;
	m->listed_ms = clock_wall_ms();
	pthread_mutex_init(&m->place, NULL);
	LIST_INIT(&m->open);
	TAILQ_INIT(&m->news);
	return m;
}

void mirror_free(struct mirror *m)
{
	struct mirrored *e, *tmp;
	if (m == NULL) return;
	HASH_ITER (hh, m->all, e, tmp) {
		HASH_DEL(m->all, e);
		mirror_state_free(e->open);
		buf_release(&e->state);
		buf_release(&e->presence);
		free(e);
	}
	pthread_mutex_destroy(&m->place);
	free(m->output);
	free(m);
}

static struct mirrored *find(const struct mirror *m, const char *id)
{
	struct mirrored *e;
	HASH_FIND_STR(m->all, id, e);
	return e;
}

static struct mirrored *get(struct mirror *m, const char *id)
{
	struct mirrored *e = find(m, id);
	if (e != NULL) return e;
	e = xcalloc(1, sizeof *e);
	(void)str_copy(str_c(id), e->id, sizeof e->id);
	buf_init(&e->state, FIELDS_MAX);
	buf_init(&e->presence, FIELDS_MAX);
	HASH_ADD_STR(m->all, id, e);
	return e;
}

/* It is followed until it is over. */
static void follow(struct mirror *m, struct mirrored *e)
{
	if (e->open != NULL) return;
	e->open = xcalloc(1, sizeof *e->open);
	LIST_INSERT_HEAD(&m->open, e, in_open);
}

static void let_go(struct mirrored *e)
{
	LIST_REMOVE(e, in_open);
	mirror_state_free(e->open);
	e->open = NULL;
}

void mirror_known(struct mirror *m, struct str id, int64_t user, bool is_open, bool is_gone)
{
	char name[sizeof((struct mirrored *)NULL)->id];
	if (!str_copy(id, name, sizeof name)) return;
	struct mirrored *e = get(m, name);
	e->user = user;
	e->is_gone = is_gone;
	if (is_open && !is_gone) follow(m, e);
}

/* ---- news ------------------------------------------------------------------------------------------------------- */

static void tell(struct mirror *m, struct mirrored *e)
{
	if (e->has_news) return;
	e->has_news = true;
	TAILQ_INSERT_TAIL(&m->news, e, in_news);
}

struct mirrored *mirror_next(struct mirror *m, struct mirrored *last)
{
	return last == NULL ? TAILQ_FIRST(&m->news) : TAILQ_NEXT(last, in_news);
}

void mirror_took(struct mirror *m, struct mirrored *e)
{
	TAILQ_REMOVE(&m->news, e, in_news);
	e->has_news = false;
	buf_release(&e->state);
	buf_release(&e->presence);
}

/* What is to be saved, unless it is what was to be saved last. */
static void tell_state(struct mirror *m, struct mirrored *e, bool is_killed)
{
	struct buf b = BUF_INIT(FIELDS_MAX);
	mirror_write(e->open, e->id, is_killed, &b);
	uint64_t hash = hash64(buf_str(&b), 0);
	if (!b.failed && hash != e->open->written) {
		e->open->written = hash;
		buf_clear(&e->state);
		buf_add_str(&e->state, buf_str(&b));
		tell(m, e);
	}
	buf_release(&b);
}

static void tell_presence(struct mirror *m, struct mirrored *e, struct str fields)
{
	buf_clear(&e->presence);
	buf_add_str(&e->presence, fields);
	tell(m, e);
}

/* ---- a look ----------------------------------------------------------------------------------------------------- */

static void at(struct mirrored *e, const char *dir)
{
	if (e->open == NULL || (e->open->dir != NULL && strcmp(e->open->dir, dir) == 0)) return;
	free(e->open->dir);
	e->open->dir = xstrdup(dir);
}

static enum err look_who_runs(struct mirror *m)
{
	struct place_list l;
	pthread_mutex_lock(&m->place);
	enum err e = place_running(m->output, &l, NULL);
	pthread_mutex_unlock(&m->place);
	for (size_t i = 0; e == OK && i < l.n; i++) {
		if (l.list[i].id[0] == '\0') continue;
		struct mirrored *x = get(m, l.list[i].id);
		x->ran = m->look;
		follow(m, x);
		at(x, l.list[i].dir);
	}
	if (e == OK) place_list_release(&l);
	return e;
}

static void find_gone(struct mirror *m)
{
	struct mirrored *e, *tmp;
	HASH_ITER (hh, m->all, e, tmp) {
		bool is_gone = e->listed != m->look && e->ran != m->look;
		if (is_gone == e->is_gone) continue;
		e->is_gone = is_gone;
		if (is_gone && e->open != NULL) {
			tell_presence(m, e, STR("{\"gone\":true,\"status\":\"interrupted\",\"live\":[]}"));
			let_go(e);
		} else {
			tell_presence(m, e, is_gone ? STR("{\"gone\":true}") : STR("{\"gone\":null}"));
		}
	}
}

/* All of them. Those that were made since the last listing are followed, also when they are over; what was only moved
 * here is older. */
static enum err list_all(struct mirror *m)
{
	struct place_list l;
	int64_t now_ms = clock_wall_ms();
	pthread_mutex_lock(&m->place);
	enum err e = place_list(m->output, &l, NULL);
	pthread_mutex_unlock(&m->place);
	if (e != OK) return e;
	for (size_t i = 0; i < l.n; i++) {
		bool is_new = l.list[i].changed_ms >= m->listed_ms - SETTLED_MS && find(m, l.list[i].id) == NULL;
		struct mirrored *x = get(m, l.list[i].id);
		x->listed = m->look;
		if (is_new) follow(m, x);
		at(x, l.list[i].dir);
	}
	place_list_release(&l);
	find_gone(m);
	m->listed_ms = now_ms;
	return OK;
}

/* An output that is not there, or not now, says nothing about what was in it. */
static void look_what_is_there(struct mirror *m)
{
	struct stat st;
	if (stat(m->output, &st) != 0) return;
	if (st.st_mtim.tv_sec == m->since.tv_sec && st.st_mtim.tv_nsec == m->since.tv_nsec) return;
	bool is_settled = clock_wall_ms() - place_changed_ms(&st) > SETTLED_MS;
	enum err e = list_all(m);
	m->since = e == OK && is_settled ? st.st_mtim : (struct timespec){0};
}

/* Nobody runs it and there is no manifest: the next listing tells whether the directory went with it. */
static void end_without_manifest(struct mirror *m, struct mirrored *e)
{
	m->since = (struct timespec){0};
	if (e->open->dead == DEAD_LOOKS) return;
	tell_presence(m, e, STR("{\"status\":\"interrupted\",\"live\":[]}"));
	let_go(e);
}

static void look_at_one(struct mirror *m, struct mirrored *e)
{
	struct mirror_state *s = e->open;
	bool runs = e->ran == m->look;
	s->dead = runs ? 0 : s->dead + 1;
	bool is_there = s->dir != NULL && mirror_read(s, e->id, m->limits);
	bool is_over = !runs && mirror_is_over(s), is_killed = !runs && !is_over && s->dead >= DEAD_LOOKS;
	if (is_killed && !is_there) {
		end_without_manifest(m, e);
		return;
	}
	if (is_there && (runs || is_over || is_killed)) tell_state(m, e, is_killed);
	if (is_over || is_killed) let_go(e);
}

void mirror_look(struct mirror *m)
{
	struct mirrored *e, *tmp;
	m->look++;
	if (look_who_runs(m) != OK) return;
	look_what_is_there(m);
	for (e = LIST_FIRST(&m->open); e != NULL; e = tmp) {
		tmp = LIST_NEXT(e, in_open);
		look_at_one(m, e);
	}
}

/* ---- telling one ------------------------------------------------------------------------------------------------ */

enum err mirror_tell(struct mirror *m, struct str id, enum place_ask what, struct errinfo *info)
{
	struct place_list l;
	bool is_there = false;
	pthread_mutex_lock(&m->place);
	enum err e = place_running(m->output, &l, info);
	for (size_t i = 0; e == OK && !is_there && i < l.n; i++) {
		is_there = str_eq(str_c(l.list[i].id), id);
		if (is_there) e = place_tell(l.list[i].dir, what, info);
	}
	pthread_mutex_unlock(&m->place);
	place_list_release(&l);
	if (e == OK && !is_there)
		e = err_set(info, ERR_BAD_STATE, "experiment %.*s does not run", (int)MIN(id.n, (size_t)40), id.p);
	return e;
}
