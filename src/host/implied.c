#include "host/implied.h"

#include "host/keys.h"

#define KINDS_MAX 16

struct list {
	struct provider_config *of;
	size_t n, cap;
};

static bool has_name(const struct list *l, struct str name)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(str_c(l->of[i].name), name)) return true;
	return false;
}

static struct provider_config *add(struct list *l)
{
	ASSERT_CMP(l->n, <, l->cap);
	return &l->of[l->n++];
}

/* Plain http is for machines of one's own; that the address is one of them is what typing it says. */
static enum err add_line(struct config *c, struct list *l, const char *line, struct errinfo *info)
{
	const char *equals = strchr(line, '=');
	struct str name = str_n(line, equals != NULL ? (size_t)(equals - line) : 0);
	if (name.n == 0 || equals[1] == '\0')
		return err_set(info, ERR_USAGE,
			       "--provider \"%.80s\" is not NAME=URL, as in ollama=http://127.0.0.1:11434", line);
	if (has_name(l, name))
		return err_set(info, ERR_USAGE, "--provider: there are two of the name \"%.*s\"", (int)MIN(name.n, 64),
			       name.p);
	struct str url = str_c(equals + 1);
	bool by_name;
	const struct provider_kind *k = kind_of_line(name, url, &by_name);
	char *whole = kind_complete_url(k, url);
	struct provider_config *p = add(l);
	*p = (struct provider_config){
		.name = arena_str(&c->memory, name).p,
		.kind = k->name,
		.dialect = k->dialect,
		.base_url = arena_str(&c->memory, str_c(whole)).p,
		.allow_private = str_starts(url, STR("http://")),
	};
	free(whole);
	log_info("%s: by its %s it is taken for the kind \"%s\", which speaks \"%s\"", p->name,
		 by_name ? "name" : "address", k->name, k->dialect);
	return OK;
}

/* The kind at its makers' own address, when there is a key for it. */
static enum err add_kind(const struct provider_kind *k, const char *key_dir, struct list *l, struct errinfo *info)
{
	struct key_found found;
	struct key_ask ask = {.name = k->name, .base_url = k->key_url, .kind = k, .key_dir = key_dir};
	if (k->key_url[0] == '\0' || has_name(l, str_c(k->name))) return OK;
	enum err e = keys_find(&ask, &found, info);
	if (e != OK) return e;
	if (found.note[0] != '\0') log_warn("%s", found.note);
	if (found.key != NULL) {
		*add(l) = (struct provider_config){
			.name = k->name, .kind = k->name, .dialect = k->dialect, .base_url = k->key_url};
		log_info("%s: there is a provider of this name, since its key is %s", k->name, found.where);
	}
	key_found_release(&found);
	return OK;
}

enum err implied_providers(struct config *c, const char *const *lines, struct errinfo *info)
{
	struct list l = {0};
	size_t nlines = 0;
	enum err e = OK;
	while (lines != NULL && lines[nlines] != NULL) nlines++;
	l.cap = nlines + c->nproviders + KINDS_MAX;
	l.of = arena_zalloc(&c->memory, xmul(l.cap, sizeof *l.of));
	struct buf dir = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&dir, "%s/keys", c->data_dir);
	const char *key_dir = arena_str(&c->memory, buf_str(&dir)).p;
	buf_release(&dir);
	for (size_t i = 0; i < nlines && e == OK; i++) e = add_line(c, &l, lines[i], info);
	for (size_t i = 0; i < c->nproviders && e == OK; i++) {
		if (has_name(&l, str_c(c->providers[i].name)))
			e = err_set(info, ERR_USAGE, "--provider: \"%s\" is configured already", c->providers[i].name);
		else *add(&l) = c->providers[i];
	}
	for (const struct provider_kind *k = provider_kinds; k->name != NULL && c->nproviders == 0 && e == OK; k++)
		e = add_kind(k, key_dir, &l, info);
	if (e != OK) return e;
	for (size_t i = 0; i < l.n; i++) l.of[i].key_dir = key_dir;
	c->providers = l.of;
	c->nproviders = l.n;
	return OK;
}
