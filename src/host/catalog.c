/* How the list of what is served is made
 *
 * `served` is made again whenever a provider told its models: for each provider, in their order, its configured list, or
 * the one it told, or (when it has told none yet) what the table knows of its kind. Entries of the person's own file are
 * added to the provider they name. Each refers to a model_info of this provider's own, put together from the table and
 * the listing; those are made once and never changed or freed, since a call on another thread may be reading one. Their
 * number is bounded, and beyond that nothing is known of a model.
 *
 * Only the loop changes the catalog, and it takes the lock to do so: the writer reads it there, for the names in people's
 * defaults. */
#include "host/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/near.h"
#include "host/call_priv.h"
#include "host/lister.h"

#define OWN_BYTES_MAX ((size_t)1 << 20)
#define INFOS_MAX 20000
#define NEAR_MAX 3
#define NEAR_LOOKED 2000 /* models among which near ones are looked for */

/* ---- what there is ----------------------------------------------------------------------------------------------- */

struct info {
	struct model_info about; /* its id is "provider:wire" */
	bool is_served;
	const struct model_info *known; /* the table's; NULL none */
	UT_hash_handle hh;
};

struct served {
	int provider;
	struct str wire;
	struct info *info; /* NULL: there were too many */
	bool is_chat, is_listed;
};

/* What one provider told. */
struct shelf {
	struct catalog *owner;
	int provider;
	const char *kind; /* of provider, as the table names it; "" none */
	struct arena memory;
	struct listed *list;
	size_t n;
	bool was_read;         /* list is what it told last */
	int64_t asked_boot_ms; /* when it was asked last; INT64_MIN never */
	int64_t read_wall_ms;  /* when it told; 0 never */
	char error[160];       /* why it did not, or not all of them; "" it did */
	struct lister *lister; /* it is being asked */
};

struct waiter {
	void (*done)(void *ctx);
	void *ctx;
	struct waiter *next;
};

struct rule {
	struct str asked, model; /* views of the configuration */
};

struct catalog {
	pthread_mutex_t lock; /* what another thread reads: served, infos, and of a shelf lister and was_read */
	struct providers *providers;
	struct models *models;
	struct str default_model;
	struct rule *rules;
	size_t nrules;
	struct shelf *shelves; /* one for each provider */
	size_t nshelves;
	struct served *served;
	size_t nserved, cap;
	struct info *infos;
	struct arena memory; /* of infos */
	size_t ninfos;       /* made so far */
	struct waiter *waiters;
	size_t nasking;
	bool stopped;
};

/* Whose models they are, whatever the person called it. */
static const char *kind_of(const struct provider *p)
{
	static const char *const kinds[][2] = {
		{"https://api.anthropic.com", "anthropic"},
		{"https://api.openai.com", "openai"},
		{"https://generativelanguage.googleapis.com", "google"},
		{"https://api.x.ai", "xai"},
	};
	if (p->source != SOURCE_REMOTE) return "local";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i][0]);
		if (strncmp(p->base_url, kinds[i][0], n) == 0 && (p->base_url[n] == '/' || p->base_url[n] == '\0'))
			return kinds[i][1];
	}
	return strcmp(p->dialect->name, "ollama") == 0 ? "ollama" : "";
}

/* What the person said of the provider by its own name counts before what is known of its kind. */
static const struct model_info *known_of(const struct catalog *c, int provider, struct str wire)
{
	const char *kind = c->shelves[provider].kind;
	const struct model_info *m = models_of(c->models, str_c(c->providers->list[provider].name), wire);
	return m == NULL && *kind != '\0' ? models_of(c->models, str_c(kind), wire) : m;
}

/* Puts together what is known. What the table does not say of sizes, the provider may. */
static struct info *make_info(struct catalog *c, int provider, struct str wire, const struct listed *listed,
			      struct str id)
{
	struct info *at = arena_zalloc(&c->memory, sizeof *at);
	struct model_info *m = &at->about;
	at->known = known_of(c, provider, wire);
	if (at->known != NULL) *m = *at->known;
	m->id = arena_str(&c->memory, id);
	m->provider = str_n(m->id.p, id.n - wire.n - 1);
	m->wire = str_n(m->id.p + id.n - wire.n, wire.n);
	if (m->name.n == 0) m->name = m->wire;
	if (listed != NULL && m->window == 0) m->window = listed->window;
	if (listed != NULL && m->max_output == 0) m->max_output = listed->max_output;
	if (listed != NULL && m->title.n == 0) m->title = arena_str(&c->memory, listed->title);
	c->ninfos++;
	return at;
}

/* A listing that says more than was known makes a new one. */
static struct info *info_of(struct catalog *c, int provider, struct str wire, const struct listed *listed)
{
	struct info *at;
	struct buf id = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&id, "%s:%.*s", c->providers->list[provider].name, STR_ARG(wire));
	HASH_FIND(hh, c->infos, id.p, id.n, at);
	bool is_news = at != NULL && listed != NULL &&
		       ((at->about.window == 0 && listed->window > 0) ||
			(at->about.max_output == 0 && listed->max_output > 0));
	if ((at == NULL || is_news) && c->ninfos < INFOS_MAX) {
		if (at != NULL) HASH_DEL(c->infos, at);
		at = make_info(c, provider, wire, listed, buf_str(&id));
		HASH_ADD_KEYPTR(hh, c->infos, at->about.id.p, at->about.id.n, at);
	}
	buf_release(&id);
	return at;
}

static void serve(struct catalog *c, int provider, struct str wire, const struct listed *listed)
{
	if (c->nserved == c->cap) {
		c->cap = MAX(c->cap * 2, (size_t)64);
		c->served = xrealloc(c->served, xmul(c->cap, sizeof *c->served));
	}
	c->served[c->nserved++] = (struct served){
		.provider = provider,
		.wire = wire,
		.info = info_of(c, provider, wire, listed),
		.is_chat = listed == NULL || listed->is_chat,
		.is_listed = listed != NULL,
	};
	if (c->served[c->nserved - 1].info != NULL) c->served[c->nserved - 1].info->is_served = true;
}

static bool is_served(const struct catalog *c, int provider, struct str wire)
{
	for (size_t i = 0; i < c->nserved; i++)
		if (c->served[i].provider == provider && str_eq(c->served[i].wire, wire)) return true;
	return false;
}

/* The table's models of this provider: all that are sold when it has told none, else the person's own. */
static void serve_known(struct catalog *c, const struct shelf *s, bool only_own)
{
	struct str name = str_c(c->providers->list[s->provider].name);
	for (size_t i = 0; i < models_count(c->models); i++) {
		const struct model_info *m = models_at(c->models, i);
		if (!str_eq(m->provider, name) && !str_eq(m->provider, str_c(s->kind))) continue;
		if ((only_own && !m->overrides) || m->retired || is_served(c, s->provider, m->wire)) continue;
		serve(c, s->provider, m->wire, NULL);
	}
}

static void make_served(struct catalog *c)
{
	for (size_t i = 0; i < c->nserved; i++)
		if (c->served[i].info != NULL) c->served[i].info->is_served = false;
	c->nserved = 0;
	for (size_t i = 0; i < c->providers->n; i++) {
		struct shelf *s = &c->shelves[i];
		char **configured = c->providers->list[i].models;
		for (char **m = configured; m != NULL && *m != NULL; m++) serve(c, (int)i, str_c(*m), NULL);
		for (size_t k = 0; k < s->n && configured == NULL; k++) serve(c, (int)i, s->list[k].wire, &s->list[k]);
		if (configured == NULL && c->providers->list[i].source == SOURCE_REMOTE) serve_known(c, s, s->was_read);
	}
}

static void set_lister(struct shelf *s, struct lister *l)
{
	pthread_mutex_lock(&s->owner->lock);
	s->lister = l;
	pthread_mutex_unlock(&s->owner->lock);
}

const struct model_info *catalog_about(struct catalog *c, int index, struct str wire)
{
	ASSERT(index >= 0 && (size_t)index < c->providers->n);
	struct info *at;
	struct buf id = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&id, "%s:%.*s", c->providers->list[index].name, STR_ARG(wire));
	pthread_mutex_lock(&c->lock);
	HASH_FIND(hh, c->infos, id.p, id.n, at);
	pthread_mutex_unlock(&c->lock);
	buf_release(&id);
	return at != NULL ? &at->about : known_of(c, index, wire);
}

/* ---- asking the providers ---------------------------------------------------------------------------------------- */

static void tell_waiters(struct catalog *c)
{
	struct waiter *list = c->waiters;
	c->waiters = NULL;
	while (list != NULL) {
		struct waiter *w = list;
		list = w->next;
		w->done(w->ctx);
		free(w);
	}
}

/* What it told becomes what it serves. */
static void take_list(struct shelf *s, struct told *told)
{
	pthread_mutex_lock(&s->owner->lock);
	arena_clear(&s->memory);
	s->memory = told->memory;
	s->list = told->list;
	s->n = told->n;
	s->was_read = true;
	make_served(s->owner);
	pthread_mutex_unlock(&s->owner->lock);
	told->memory = (struct arena){0};
	s->read_wall_ms = clock_wall_ms();
	log_info("%s serves %zu models", s->owner->providers->list[s->provider].name, s->n);
}

static void on_told(void *ctx, struct told *told)
{
	struct shelf *s = ctx;
	struct catalog *c = s->owner;
	bool has_list = told->list != NULL;
	set_lister(s, NULL);
	memcpy(s->error, told->error, sizeof s->error);
	if (s->error[0] != '\0')
		log_warn("%s did not tell %s models: %s", c->providers->list[s->provider].name,
			 has_list ? "all its" : "its", s->error);
	if (has_list) take_list(s, told);
	if (--c->nasking == 0) tell_waiters(c);
}

static void ask_shelf(struct shelf *s)
{
	struct catalog *c = s->owner;
	struct lister *l = lister_start(c->providers, &c->providers->list[s->provider], on_told, s);
	s->asked_boot_ms = clock_boot_ms();
	s->error[0] = '\0';
	c->nasking += l != NULL;
	set_lister(s, l);
}

bool catalog_look(struct catalog *c, int64_t max_age_ms, void (*done)(void *ctx), void *ctx)
{
	int64_t now = clock_boot_ms();
	if (c->stopped) return false;
	for (size_t i = 0; i < c->providers->n; i++) {
		struct shelf *s = &c->shelves[i];
		const struct provider *p = &c->providers->list[i];
		bool tells = p->source == SOURCE_REMOTE && p->models == NULL;
		bool due = s->asked_boot_ms == INT64_MIN || now - s->asked_boot_ms >= max_age_ms;
		if (tells && due && s->lister == NULL) ask_shelf(s);
	}
	if (c->nasking == 0) return false;
	if (done == NULL) return true;
	struct waiter *w = xmalloc(sizeof *w), **end = &c->waiters;
	*w = (struct waiter){done, ctx, NULL};
	while (*end != NULL) end = &(*end)->next;
	*end = w;
	return true;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

const char *resolved_by_name(enum resolved_by by)
{
	static const char *const names[] = {
		[BY_ID] = "id",           [BY_ALIAS] = "alias",       [BY_FAMILY] = "family",
		[BY_DEFAULT] = "default", [BY_FALLBACK] = "fallback",
	};
	return names[by];
}

/* The provider a name begins with, -1 none; *rest is what follows. */
static int prefix_of(const struct catalog *c, struct str asked, struct str *rest)
{
	struct str name, model;
	*rest = asked;
	if (!model_split(asked, &name, &model)) return -1;
	for (size_t i = 0; i < c->providers->n; i++) {
		if (!str_eq(name, str_c(c->providers->list[i].name))) continue;
		*rest = model;
		return (int)i;
	}
	return -1;
}

static struct model_match match_served(const struct served *s, struct str asked)
{
	struct str latest = STR(":latest"), name = s->info != NULL ? s->info->about.name : s->wire;
	struct model_match m = model_match(asked, name, s->wire, s->info != NULL ? &s->info->about : NULL);
	bool is_latest = s->wire.n == asked.n + latest.n && str_starts(s->wire, asked) &&
			 str_eq(str_n(s->wire.p + asked.n, latest.n), latest);
	if (is_latest) m.how = MATCH_ID; /* Ollama's way to say nothing */
	if (!s->is_chat && m.how < MATCH_ID) m.how = MATCH_NONE;
	return m;
}

static bool set_id(struct resolved *out, const struct provider *p, struct str wire)
{
	int n = snprintf(out->id, sizeof out->id, "%s:%.*s", p->name, STR_ARG(wire));
	return n > 0 && (size_t)n < sizeof out->id;
}

/* By what is served. False: nobody serves it. */
static bool resolve_served(const struct catalog *c, struct str asked, struct resolved *out)
{
	static const enum resolved_by hows[] = {
		[MATCH_FAMILY] = BY_FAMILY, [MATCH_ALIAS] = BY_ALIAS, [MATCH_ID] = BY_ID};
	const struct served *best = NULL;
	struct model_match best_match = {.how = MATCH_NONE};
	struct str rest;
	struct info *exact;
	HASH_FIND(hh, c->infos, asked.p, asked.n, exact);
	if (exact != NULL && exact->is_served) {
		out->by = BY_ID;
		return str_copy(asked, out->id, sizeof out->id);
	}
	int only = prefix_of(c, asked, &rest);
	for (size_t i = 0; i < c->nserved; i++) {
		const struct served *s = &c->served[i];
		if (only >= 0 && s->provider != only) continue;
		struct model_match m = match_served(s, rest);
		if (!model_match_better(m, best_match)) continue;
		best = s;
		best_match = m;
	}
	if (best != NULL) {
		out->by = hows[best_match.how];
		return set_id(out, &c->providers->list[best->provider], best->wire);
	}
	if (only < 0 || rest.n == 0) return false;
	const struct provider *p = &c->providers->list[only];
	if (p->models != NULL || c->shelves[only].was_read) return false;
	out->by = BY_ID;
	return set_id(out, p, rest);
}

/* The first chat model of the first provider that has one; local:test when the person has configured nobody. One that is
 * being asked for the first time is waited for. */
static bool resolve_first(const struct catalog *c, struct resolved *out)
{
	out->by = BY_DEFAULT;
	for (size_t i = 1; i < c->providers->n; i++) {
		const struct shelf *s = &c->shelves[i];
		if (s->lister != NULL && !s->was_read) return false;
		for (size_t k = 0; k < c->nserved; k++) {
			const struct served *at = &c->served[k];
			bool is_sure = at->is_listed || c->providers->list[i].models != NULL;
			if (at->provider == (int)i && at->is_chat && is_sure)
				return set_id(out, &c->providers->list[i], at->wire);
		}
	}
	return c->providers->n == 1 && set_id(out, &c->providers->list[0], STR("test"));
}

static bool resolve_default(const struct catalog *c, struct resolved *out)
{
	bool found = c->default_model.n > 0 ? resolve_served(c, c->default_model, out) : resolve_first(c, out);
	out->by = BY_DEFAULT;
	return found;
}

/* The first rule for it. */
static bool resolve_fallback(const struct catalog *c, struct str asked, struct resolved *out)
{
	for (size_t i = 0; i < c->nrules; i++) {
		const struct rule *r = &c->rules[i];
		if (!str_eq(r->asked, STR("*")) && !str_eq(r->asked, asked)) continue;
		bool found =
			str_eq(r->model, STR("default")) ? resolve_default(c, out) : resolve_served(c, r->model, out);
		out->by = BY_FALLBACK;
		return found;
	}
	return false;
}

struct near {
	size_t d;
	struct str id;
};

static void add_near(struct near *list, size_t *n, size_t d, struct str id)
{
	size_t at = *n;
	while (at > 0 && list[at - 1].d > d) at--;
	if (at == NEAR_MAX) return;
	if (*n < NEAR_MAX) ++*n;
	memmove(list + at + 1, list + at, (*n - at - 1) * sizeof *list);
	list[at] = (struct near){d, id};
}

static enum err unknown_model(const struct catalog *c, struct str asked, struct errinfo *info)
{
	struct near near[NEAR_MAX];
	size_t n = 0;
	struct str rest;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)prefix_of(c, asked, &rest);
	for (size_t i = 0; i < MIN(c->nserved, (size_t)NEAR_LOOKED); i++) {
		const struct served *s = &c->served[i];
		if (s->info == NULL || !s->is_chat) continue;
		const struct model_info *m = &s->info->about;
		size_t d = MIN(near_distance(rest, m->wire), near_distance(rest, m->name));
		if (d <= MAX(rest.n, m->name.n) / 2) add_near(near, &n, d, m->id);
	}
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s%.*s", i == 0 ? "; did you mean " : i + 1 == n ? " or " : ", ", STR_ARG(near[i].id));
	enum err e = err_set(info, ERR_MODEL_UNKNOWN, "no provider serves the model \"%.*s\"%.*s%s",
			     (int)MIN(asked.n, (size_t)100), asked.p, STR_ARG(buf_str(&b)),
			     n > 0 ? "?" : "; GET /api/v1/models lists them");
	buf_release(&b);
	return e;
}

/* Why there is no default: of the first provider that should have told. */
static enum err no_default(const struct catalog *c, struct errinfo *info)
{
	if (c->default_model.n > 0) return unknown_model(c, c->default_model, info);
	for (size_t i = 1; i < c->providers->n; i++)
		if (c->shelves[i].error[0] != '\0')
			return err_set(info, ERR_MODEL_UNKNOWN,
				       "the request names no model, and %s did not tell its: %s",
				       c->providers->list[i].name, c->shelves[i].error);
	return err_set(info, ERR_MODEL_UNKNOWN, "the request names no model, and no provider has told one yet");
}

enum err catalog_resolve(const struct catalog *c, struct str asked, struct resolved *out, struct errinfo *info)
{
	*out = (struct resolved){.by = BY_ID};
	if (asked.p == NULL) return resolve_default(c, out) ? OK : no_default(c, info);
	if (resolve_served(c, asked, out) || resolve_fallback(c, asked, out)) return OK;
	return unknown_model(c, asked, info);
}

static enum err resolve_anywhere(void *ctx, struct str asked, struct meant *out, struct errinfo *info)
{
	struct catalog *c = ctx;
	struct resolved r;
	pthread_mutex_lock(&c->lock);
	enum err e = catalog_resolve(c, asked, &r, info);
	pthread_mutex_unlock(&c->lock);
	if (e != OK) return e;
	memcpy(out->id, r.id, sizeof out->id);
	out->by = resolved_by_name(r.by);
	return OK;
}

static const struct model_info *about_anywhere(void *ctx, struct str id)
{
	struct catalog *c = ctx;
	struct str wire;
	int provider = prefix_of(c, id, &wire);
	return provider < 0 ? NULL : catalog_about(c, provider, wire);
}

static bool has_own_params(void *ctx, struct str id)
{
	const struct catalog *c = ctx;
	struct str wire;
	int provider = prefix_of(c, id, &wire);
	enum source source = provider < 0 ? SOURCE_REMOTE : c->providers->list[provider].source;
	return source == SOURCE_TEST || source == SOURCE_SILENT;
}

struct model_book catalog_book(struct catalog *c)
{
	return (struct model_book){resolve_anywhere, about_anywhere, has_own_params, c};
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

static void write_one(struct jw *w, const struct catalog *c, const struct served *s, const char *default_id)
{
	const struct provider *p = &c->providers->list[s->provider];
	struct buf id = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&id, "%s:%.*s", p->name, STR_ARG(s->wire));
	jw_obj(w);
	jw_kstr(w, "id", buf_str(&id));
	jw_kstr(w, "provider", str_c(p->name));
	jw_kbool(w, "default", str_eq(buf_str(&id), str_c(default_id)));
	model_write(w, s->info != NULL ? &s->info->about : NULL, clock_wall_ms());
	buf_release(&id);
}

/* The default may be a name its provider takes without having told it. */
static void write_default(struct jw *w, const struct catalog *c, const char *id)
{
	struct str wire;
	int provider = prefix_of(c, str_c(id), &wire);
	if (provider < 0 || is_served(c, provider, wire)) return;
	write_one(w, c, &(struct served){.provider = provider, .wire = wire}, id);
	jw_obj_end(w);
}

void catalog_write(const struct catalog *c, struct jw *w)
{
	struct resolved def;
	if (!resolve_default(c, &def)) def.id[0] = '\0';
	jw_key(w, "models");
	jw_arr(w);
	for (size_t i = 0; i < c->nserved; i++) {
		if (!c->served[i].is_chat) continue;
		write_one(w, c, &c->served[i], def.id);
		jw_obj_end(w);
	}
	write_default(w, c, def.id);
	jw_arr_end(w);
}

static bool is_anybodys(const struct catalog *c, const struct model_info *m)
{
	for (size_t i = 0; i < c->nserved; i++)
		if (c->served[i].info != NULL && c->served[i].info->known == m) return true;
	return false;
}

static void write_unserved(struct jw *w, const struct catalog *c)
{
	for (size_t i = 0; i < models_count(c->models); i++) {
		const struct model_info *m = models_at(c->models, i);
		if (is_anybodys(c, m)) continue;
		jw_obj(w);
		jw_kstr(w, "id", m->id);
		jw_kstr(w, "provider", m->provider);
		jw_kbool(w, "default", false);
		model_write(w, m, clock_wall_ms());
		jw_kbool(w, "configured", false);
		jw_kbool(w, "chat", true);
		jw_obj_end(w);
	}
}

static void write_shelves(struct jw *w, const struct catalog *c)
{
	jw_key(w, "providers");
	jw_arr(w);
	for (size_t i = 0; i < c->providers->n; i++) {
		const struct shelf *s = &c->shelves[i];
		jw_obj(w);
		jw_kstr(w, "name", str_c(c->providers->list[i].name));
		jw_key(w, "listedAt");
		if (s->read_wall_ms != 0) jw_time(w, s->read_wall_ms);
		else jw_null(w);
		jw_key(w, "error");
		if (s->error[0] != '\0') jw_str(w, str_c(s->error));
		else jw_null(w);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

void catalog_write_all(const struct catalog *c, bool all, struct buf *out)
{
	struct jw w = JW(out);
	struct resolved def;
	if (!resolve_default(c, &def)) def.id[0] = '\0';
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	for (size_t i = 0; i < c->nserved; i++) {
		if (!c->served[i].is_chat && !all) continue;
		write_one(&w, c, &c->served[i], def.id);
		jw_kbool(&w, "configured", true);
		jw_kbool(&w, "chat", c->served[i].is_chat);
		jw_obj_end(&w);
	}
	if (all) write_unserved(&w, c);
	jw_arr_end(&w);
	write_shelves(&w, c);
	jw_obj_end(&w);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* The person's file; absent is fine. */
static enum err read_own(const char *path, struct buf *out, struct errinfo *info)
{
	enum err e = OK;
	ssize_t n;
	char piece[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) return errno == ENOENT ? OK : err_set(info, ERR_CONFIG, "%s: %s", path, strerror(errno));
	while (e == OK && (n = read(fd, piece, sizeof piece)) != 0) {
		if (n < 0) e = err_set(info, ERR_CONFIG, "%s: %s", path, strerror(errno));
		else if (!buf_add(out, piece, (size_t)n))
			e = err_set(info, ERR_CONFIG, "%s: larger than %zu bytes", path, OWN_BYTES_MAX);
	}
	close(fd);
	return e;
}

static enum err load_models(struct catalog *c, const char *path, struct errinfo *info)
{
	struct buf own = BUF_INIT(OWN_BYTES_MAX);
	struct errinfo why = {0};
	enum err e = read_own(path, &own, info);
	if (e != OK) goto out;
	e = models_new(models_built_in, own.n > 0 ? buf_str(&own) : STR_NONE, &c->models, &why);
	if (e != OK) e = err_set(info, ERR_CONFIG, "%s: %s", path, err_sentence(&why, e));
out:
	buf_release(&own);
	return e;
}

static struct str trim(struct str s)
{
	while (s.n > 0 && s.p[s.n - 1] == ' ') s.n--;
	while (s.n > 0 && *s.p == ' ') s = str_n(s.p + 1, s.n - 1);
	return s;
}

static enum err read_rules(struct catalog *c, const char *const *list, struct errinfo *info)
{
	size_t n = 0;
	while (list != NULL && list[n] != NULL) n++;
	c->rules = xcalloc(MAX(n, (size_t)1), sizeof *c->rules);
	for (size_t i = 0; i < n; i++) {
		struct rule *r = &c->rules[i];
		const char *arrow = strstr(list[i], "->");
		*r = (struct rule){STR("*"), trim(str_c(list[i]))};
		if (arrow != NULL) {
			r->asked = trim(str_n(list[i], (size_t)(arrow - list[i])));
			r->model = trim(str_c(arrow + 2));
		}
		if (r->asked.n == 0 || r->model.n == 0 || (arrow == NULL && !str_eq(r->model, STR("default"))))
			return err_set(info, ERR_CONFIG,
				       "modelFallback: \"%.80s\" is neither \"default\" nor \"ASKED -> MODEL\"",
				       list[i]);
	}
	c->nrules = n;
	return OK;
}

enum err catalog_new(const struct catalog_options *o, struct catalog **out, struct errinfo *info)
{
	struct catalog *c = xcalloc(1, sizeof *c);
	struct providers *p = o->providers;
	pthread_mutex_init(&c->lock, NULL);
	c->providers = p;
	c->default_model = str_c(o->default_model);
	c->nshelves = p->n;
	c->shelves = xcalloc(p->n, sizeof *c->shelves);
	for (size_t i = 0; i < p->n; i++)
		c->shelves[i] = (struct shelf){
			.owner = c, .provider = (int)i, .kind = kind_of(&p->list[i]), .asked_boot_ms = INT64_MIN};
	enum err e = load_models(c, o->own_path, info);
	if (e == OK) e = read_rules(c, o->fallback, info);
	*out = NULL;
	if (e != OK) {
		catalog_free(c);
		return e;
	}
	make_served(c);
	p->catalog = c;
	*out = c;
	return OK;
}

void catalog_stop(struct catalog *c)
{
	if (c->stopped) return;
	c->stopped = true;
	for (size_t i = 0; i < c->providers->n; i++) {
		struct shelf *s = &c->shelves[i];
		if (s->lister != NULL) lister_cancel(s->lister);
		set_lister(s, NULL);
	}
	c->nasking = 0;
	tell_waiters(c);
	c->providers->catalog = NULL;
}

void catalog_free(struct catalog *c)
{
	if (c == NULL) return;
	for (size_t i = 0; i < c->nshelves; i++) arena_clear(&c->shelves[i].memory);
	HASH_CLEAR(hh, c->infos);
	arena_clear(&c->memory);
	models_free(c->models);
	free(c->shelves);
	free(c->served);
	free(c->rules);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
