#include "host/providers.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "host/call_priv.h"

#define KEY_MAX 4096 /* bytes of a key file */
#define LOCAL_CONCURRENCY 4096

/* ---- registry ---------------------------------------------------------------------------------------------------- */

const struct provider *find_provider(const struct providers *p, struct str model, struct str *out_model)
{
	const char *colon = model.n > 0 ? memchr(model.p, ':', model.n) : NULL;
	if (colon == NULL) return NULL;
	struct str name = str_n(model.p, (size_t)(colon - model.p));
	*out_model = str_n(colon + 1, model.n - name.n - 1);
	for (size_t i = 0; i < p->n; i++) {
		const struct provider *prov = &p->list[i];
		if (!str_eq(name, str_c(prov->name))) continue;
		if (prov->models == NULL) return out_model->n > 0 ? prov : NULL;
		for (char **m = prov->models; *m != NULL; m++)
			if (str_eq(*out_model, str_c(*m))) return prov;
		return NULL;
	}
	return NULL;
}

int providers_index(const struct providers *p, struct str model)
{
	struct str id;
	const struct provider *prov = find_provider(p, model, &id);
	return prov != NULL ? (int)(prov - p->list) : -1;
}

size_t providers_count(const struct providers *p) { return p->n; }

int64_t providers_concurrency(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	return p->list[index].concurrency;
}

struct str providers_name(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	return str_c(p->list[index].name);
}

static void model_json(struct jw *w, const struct provider *prov, struct str model, struct str default_model)
{
	struct buf id = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&id, "%s:%.*s", prov->name, STR_ARG(model));
	jw_obj(w);
	jw_kstr(w, "id", buf_str(&id));
	jw_kstr(w, "provider", str_c(prov->name));
	jw_kbool(w, "default", str_eq(buf_str(&id), default_model));
	jw_obj_end(w);
	buf_release(&id);
}

void providers_models_json(const struct providers *p, struct str default_model, struct buf *out)
{
	struct jw w = JW(out);
	struct str id = STR_NONE;
	const struct provider *of_default = find_provider(p, default_model, &id);
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	for (size_t i = 0; i < p->n; i++) {
		const struct provider *prov = &p->list[i];
		for (char **m = prov->models; m != NULL && *m != NULL; m++)
			model_json(&w, prov, str_c(*m), default_model);
		if (prov->models == NULL && prov == of_default) model_json(&w, prov, id, default_model);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
}

/* ---- configuration ----------------------------------------------------------------------------------------------- */

static enum err check_name(const struct provider_config *cfg, struct errinfo *info)
{
	const char *name = cfg->name != NULL ? cfg->name : "";
	for (const char *s = name; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && *s != '-' && *s != '_' && *s != '.')
			return err_set(info, ERR_CONFIG,
				       "providers: the name \"%.40s\" may hold only letters, digits and . _ -", name);
	if (*name == '\0' || strlen(name) > 64)
		return err_set(info, ERR_CONFIG, "providers: a name has 1 to 64 characters");
	if (strcmp(name, "local") == 0)
		return err_set(info, ERR_CONFIG, "providers: \"local\" is built in; choose another name");
	return OK;
}

/* An absolute http or https URL with a host and without what a request line must not carry or a log would show. */
static enum err set_base_url(struct provider *prov, const char *url, struct errinfo *info)
{
	size_t scheme = url == NULL                        ? 0
			: strncmp(url, "https://", 8) == 0 ? 8
			: strncmp(url, "http://", 7) == 0  ? 7
							   : 0;
	if (scheme == 0)
		return err_set(info, ERR_CONFIG, "providers.%s.baseUrl must begin with http:// or https://",
			       prov->name);
	size_t host = strcspn(url + scheme, "/?#");
	if (host == 0) return err_set(info, ERR_CONFIG, "providers.%s.baseUrl names no host", prov->name);
	if (memchr(url + scheme, '@', host) != NULL)
		return err_set(info, ERR_CONFIG, "providers.%s.baseUrl must hold no credentials; use keyFile",
			       prov->name);
	for (const char *s = url; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '?' || *s == '#' || *s == '\\')
			return err_set(info, ERR_CONFIG,
				       "providers.%s.baseUrl holds a space, \"?\", \"#\" or another odd character",
				       prov->name);
	if (scheme == 7 && !prov->allow_private)
		return err_set(info, ERR_CONFIG,
			       "providers.%s.baseUrl is plain http, which is for this machine and private "
			       "networks only: set allowPrivate, or use https",
			       prov->name);
	size_t n = strlen(url);
	while (url[n - 1] == '/') n--;
	prov->base_url = str_dup(str_n(url, n));
	return OK;
}

/* The key is one line of printable ASCII in a file nobody else may read. */
static enum err read_key(struct provider *prov, const char *path, struct errinfo *info)
{
	char text[KEY_MAX + 1];
	struct stat st;
	enum err e = OK;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0) {
		e = err_set(info, ERR_CONFIG, "providers.%s.keyFile cannot be opened: %s", prov->name, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0) {
		e = err_set(info, ERR_CONFIG,
			    "providers.%s.keyFile must be a file that only you can read (chmod 600); its mode is %04o",
			    prov->name, (unsigned)st.st_mode & 07777);
		goto out;
	}
	n = read(fd, text, sizeof text);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' ')) n--;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f) n = -1;
	if (n <= 0 || n > KEY_MAX) {
		e = err_set(info, ERR_CONFIG,
			    "providers.%s.keyFile must hold the key alone, in one line of at most %d characters",
			    prov->name, KEY_MAX);
		goto out;
	}
	prov->key = str_dup(str_n(text, (size_t)n));
out:
	secret_wipe(text, sizeof text);
	if (fd >= 0) close(fd);
	return e;
}

static char **copy_models(const char *const *models)
{
	if (models == NULL) return NULL;
	size_t n = 0;
	while (models[n] != NULL) n++;
	char **copy = xcalloc(n + 1, sizeof *copy);
	for (size_t i = 0; i < n; i++) copy[i] = xstrdup(models[i]);
	return copy;
}

static enum err set_provider(const struct providers *p, struct provider *prov, const struct provider_config *cfg,
			     struct errinfo *info)
{
	enum err e = check_name(cfg, info);
	if (e != OK) return e;
	for (const struct provider *other = p->list; other < prov; other++)
		if (strcmp(other->name, cfg->name) == 0)
			return err_set(info, ERR_CONFIG, "providers: there are two of the name \"%s\"", cfg->name);
	struct str dialect = str_c(cfg->dialect);
	prov->name = xstrdup(cfg->name);
	prov->models = copy_models(cfg->models);
	prov->allow_private = cfg->allow_private;
	prov->concurrency = cfg->concurrency > 0 ? cfg->concurrency : p->limits->running_per_provider;
	prov->dialect = dialect_find(dialect);
	if (str_eq(dialect, STR("local"))) prov->source = SOURCE_TEST;
	else if (str_eq(dialect, STR("silent"))) prov->source = SOURCE_SILENT;
	else if (prov->dialect == NULL)
		return err_set(info, ERR_CONFIG, "providers.%s.dialect must be one of: openai, local, silent",
			       cfg->name);
	if (prov->source != SOURCE_REMOTE) return OK;
	e = set_base_url(prov, cfg->base_url, info);
	return e == OK && cfg->key_file != NULL ? read_key(prov, cfg->key_file, info) : e;
}

enum err providers_new(uv_loop_t *loop, const struct limits *limits, const struct provider_config *configs, size_t n,
		       struct providers **out, struct errinfo *info)
{
	static const char *const local_models[] = {"test", "silent", NULL};
	struct providers *p = xcalloc(1, sizeof *p);
	enum err e = http_client_new(loop, &p->http, info);
	p->loop = loop;
	p->limits = limits;
	TAILQ_INIT(&p->calls);
	p->list = xcalloc(n + 1, sizeof *p->list);
	p->list[0] = (struct provider){.name = xstrdup("local"),
				       .models = copy_models(local_models),
				       .source = SOURCE_TEST,
				       .concurrency = LOCAL_CONCURRENCY};
	p->n = 1;
	for (size_t i = 0; i < n && e == OK; i++) e = set_provider(p, &p->list[p->n++], &configs[i], info);
	*out = p;
	if (e == OK) return OK;
	*out = NULL;
	providers_free(p);
	return e;
}

void providers_free(struct providers *p)
{
	if (p == NULL) return;
	while (!TAILQ_EMPTY(&p->calls)) provider_call_cancel(TAILQ_FIRST(&p->calls));
	http_client_free(p->http);
	for (size_t i = 0; i < p->n; i++) {
		struct provider *prov = &p->list[i];
		if (prov->key != NULL) secret_wipe(prov->key, strlen(prov->key));
		for (char **m = prov->models; m != NULL && *m != NULL; m++) free(*m);
		free(prov->models);
		free(prov->key);
		free(prov->base_url);
		free(prov->name);
	}
	free(p->list);
	free(p);
}
