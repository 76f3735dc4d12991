#include "host/providers.h"

#include <ctype.h>

#include "base/hash.h"
#include "base/log.h"
#include "host/call_priv.h"
#include "host/keycheck.h"
#include "host/keys.h"

#define LOCAL_CONCURRENCY 4096

/* ---- registry ---------------------------------------------------------------------------------------------------- */

const struct provider *find_provider(const struct providers *p, struct str model, struct str *out_model)
{
	struct str name;
	if (!model_split(model, &name, out_model)) return NULL;
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

struct str providers_dialect(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	const struct dialect *d = p->list[index].dialect;
	return d != NULL ? str_c(d->name) : STR("");
}

/* ---- rate limits ------------------------------------------------------------------------------------------------- */

/* "MODEL REQUESTS TOKENS": the name ends at the last blank but one. */
struct model_limits {
	struct str model;
	struct rate_limits limits;
};

static bool read_limits(const char *text, struct model_limits *out)
{
	struct str rest = str_c(text);
	static const enum rate order[] = {RATE_TOKENS, RATE_REQUESTS}; /* from the end */
	*out = (struct model_limits){0};
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		const char *blank = rest.n > 0 ? memrchr(rest.p, ' ', rest.n) : NULL;
		int64_t n;
		if (blank == NULL) return false;
		struct str number = str_n(blank + 1, rest.n - (size_t)(blank + 1 - rest.p));
		if (!str_to_int(number, &n) || n < 0) return false;
		out->limits.of[order[i]] = n;
		rest.n = (size_t)(blank - rest.p);
	}
	out->model = rest;
	return rest.n > 0;
}

bool providers_is_agent(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	return p->list[index].source == SOURCE_EXEC;
}

bool providers_is_remote(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	return p->list[index].source == SOURCE_REMOTE;
}

struct rate_limits providers_limits_of_all(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	return p->list[index].limits;
}

void providers_limits(const struct providers *p, struct str model, struct rate_limits *configured,
		      struct rate_limits *usual)
{
	struct str id;
	struct model_limits line;
	const struct provider *prov = find_provider(p, model, &id);
	*configured = *usual = (struct rate_limits){0};
	if (prov == NULL) return;
	if (prov->base_url != NULL) *usual = rates_usual(str_c(prov->base_url));
	for (char **m = prov->model_limits; m != NULL && *m != NULL; m++)
		if (read_limits(*m, &line) && str_eq(line.model, id)) *configured = line.limits;
	/* A limit that was chosen for all models stands in for what is usual for one. */
	for (int r = 0; r < RATE_COUNT; r++)
		if (prov->limits.of[r] > 0 || configured->of[r] > 0) usual->of[r] = 0;
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

/* Of a proxy only the address is kept from the target's: TLS to the provider goes through it unread. */
static enum err set_proxy(struct provider *prov, const char *proxy, struct errinfo *info)
{
	static const struct str schemes[] = {STR_INIT("http://"), STR_INIT("https://"), STR_INIT("socks5h://")};
	bool known = false;
	if (proxy == NULL) return OK;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) known |= str_starts(str_c(proxy), schemes[i]);
	if (!known || strpbrk(proxy, "@ ?#") != NULL)
		return err_set(info, ERR_CONFIG,
			       "providers.%s.proxy must begin with http://, https:// or socks5h://, and hold no "
			       "credentials",
			       prov->name);
	if (!str_starts(str_c(prov->base_url), STR("https://")))
		return err_set(info, ERR_CONFIG,
			       "providers.%s.proxy: a proxy is used for https only; its baseUrl is plain http",
			       prov->name);
	prov->proxy = xstrdup(proxy);
	return OK;
}

/* What is said of it when the provider refuses it. */
static enum err find_key(struct provider *prov, const struct provider_config *cfg, struct errinfo *info)
{
	char advice[200];
	struct key_found found;
	struct key_ask ask = {.name = prov->name,
			      .base_url = prov->base_url,
			      .kind = cfg->kind != NULL ? kind_find(str_c(cfg->kind))
							: kind_guess(str_c(prov->base_url)),
			      .key_file = cfg->key_file,
			      .key_env = cfg->key_env,
			      .key_dir = cfg->key_dir};
	struct buf says = BUF_INIT(BUF_NO_LIMIT);
	enum err e = keys_find(&ask, &found, info);
	if (e != OK) return e;
	keys_advice(&ask, advice, sizeof advice);
	if (found.key != NULL) buf_addf(&says, "the key came from %s", found.where);
	else if (found.note[0] != '\0') buf_addf(&says, "%s", found.note);
	else buf_addf(&says, "there is no key for it: %s", advice);
	if (found.note[0] != '\0') log_warn("%s", found.note);
	prov->key = found.key;
	prov->key_from = key_from_name(found.from);
	prov->key_says = str_dup(buf_str(&says));
	buf_release(&says);
	return OK;
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

/* ---- agents ------------------------------------------------------------------------------------------------------ */

#define USUAL_PATH "/usr/local/bin:/usr/bin:/bin"

static enum err check_path(const struct provider *prov, struct errinfo *info)
{
	for (const char *dir = prov->path; *dir != '\0'; dir += strspn(dir, ":")) {
		if (*dir != '/')
			return err_set(info, ERR_CONFIG,
				       "providers.%s.path must be absolute directories with \":\" between them",
				       prov->name);
		dir += strcspn(dir, ":");
	}
	return OK;
}

static enum err check_command(const struct provider *prov, struct errinfo *info)
{
	if (prov->command == NULL || prov->command[0] == NULL || prov->command[0][0] == '\0')
		return err_set(info, ERR_CONFIG,
			       "providers.%s.command is missing: a list of the program and its arguments", prov->name);
	if (prov->command[0][0] != '/' && strchr(prov->command[0], '/') != NULL)
		return err_set(info, ERR_CONFIG,
			       "providers.%s.command must begin with an absolute path, or with a name that is looked "
			       "for in its path",
			       prov->name);
	return prov->command[0][0] == '/' ? OK : check_path(prov, info);
}

static char *env_entry(const char *name, const char *value)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "%s=%s", name, value);
	return buf_take(&b, NULL);
}

/* All that an agent gets of our environment: where people put things, what they speak, and what was asked for. */
static char **make_env(const char *path, const char *const *names)
{
	static const char *const always[] = {"HOME", "LANG"};
	size_t n = 0, extra = 0;
	while (names != NULL && names[extra] != NULL) extra++;
	char **env = xcalloc(extra + ARRAY_LEN(always) + 3, sizeof *env);
	env[n++] = env_entry("PATH", path);
	env[n++] = env_entry("TERM", "dumb");
	for (size_t i = 0; i < ARRAY_LEN(always) + extra; i++) {
		const char *name = i < ARRAY_LEN(always) ? always[i] : names[i - ARRAY_LEN(always)];
		const char *value = getenv(name);
		if (value != NULL) env[n++] = env_entry(name, value);
	}
	return env;
}

/* What was given to it on purpose is as good as a key, and covered up in what it says of errors. */
static char *secrets_of(const char *const *names)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (; names != NULL && *names != NULL; names++) {
		const char *value = getenv(*names);
		if (value != NULL) buf_addf(&b, "%s\n", value);
	}
	return buf_take(&b, NULL);
}

static enum err set_agent(struct provider *prov, const struct provider_config *cfg, struct errinfo *info)
{
	prov->dialect = &dialect_exec;
	prov->command = copy_models(cfg->command);
	prov->path = xstrdup(cfg->path != NULL ? cfg->path : USUAL_PATH);
	prov->env = make_env(prov->path, cfg->env);
	prov->key = secrets_of(cfg->env);
	for (const char *const *name = cfg->env; name != NULL && *name != NULL; name++)
		if (**name == '\0' || strchr(*name, '=') != NULL)
			return err_set(info, ERR_CONFIG, "providers.%s.env holds names of variables, not \"%.40s\"",
				       prov->name, *name);
	return check_command(prov, info);
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
	prov->model_limits = copy_models(cfg->model_limits);
	prov->limits.of[RATE_REQUESTS] = cfg->requests_per_minute;
	prov->limits.of[RATE_TOKENS] = cfg->tokens_per_minute;
	prov->allow_private = cfg->allow_private;
	prov->concurrency = cfg->concurrency > 0 ? cfg->concurrency : p->limits->running_per_provider;
	prov->dialect = dialect_find(dialect);
	if (str_eq(dialect, STR("local"))) prov->source = SOURCE_TEST;
	else if (str_eq(dialect, STR("silent"))) prov->source = SOURCE_SILENT;
	else if (str_eq(dialect, STR("exec"))) prov->source = SOURCE_EXEC;
	else if (prov->dialect == NULL)
		return err_set(info, ERR_CONFIG,
			       "providers.%s.dialect must be one of: openai, openai-responses, anthropic, gemini, "
			       "ollama, local, silent, exec",
			       cfg->name);
	struct model_limits line;
	for (char **m = prov->model_limits; m != NULL && *m != NULL; m++)
		if (!read_limits(*m, &line))
			return err_set(info, ERR_CONFIG,
				       "providers.%s.modelLimits: \"%.60s\" is not MODEL REQUESTS TOKENS, as in "
				       "\"gpt-5 500 30000\"",
				       cfg->name, *m);
	if (prov->source == SOURCE_EXEC) return set_agent(prov, cfg, info);
	if (prov->source != SOURCE_REMOTE) return OK;
	e = set_base_url(prov, cfg->base_url, info);
	if (e == OK) e = set_proxy(prov, cfg->proxy, info);
	return e == OK ? find_key(prov, cfg, info) : e;
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
	LIST_INIT(&p->children);
	p->list = xcalloc(n + 1, sizeof *p->list);
	p->list[0] = (struct provider){.name = xstrdup("local"),
				       .models = copy_models(local_models),
				       .source = SOURCE_TEST,
				       .concurrency = LOCAL_CONCURRENCY};
	p->n = 1;
	for (size_t i = 0; i < n && e == OK; i++) e = set_provider(p, &p->list[p->n++], &configs[i], info);
	for (size_t i = 0; i < n; i++) keys_wipe_environment((const char *const[]){configs[i].key_env, NULL});
	keys_wipe_environment(NULL);
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
	while (p->checks != NULL) key_check_end(p->checks);
	http_client_free(p->http);
	summaries_free(p);
	children_kill(&p->children);
	for (size_t i = 0; i < p->n; i++) {
		struct provider *prov = &p->list[i];
		if (prov->key != NULL) secret_wipe(prov->key, strlen(prov->key));
		for (char **m = prov->models; m != NULL && *m != NULL; m++) free(*m);
		for (char **m = prov->model_limits; m != NULL && *m != NULL; m++) free(*m);
		for (char **c = prov->command; c != NULL && *c != NULL; c++) free(*c);
		for (char **v = prov->env; v != NULL && *v != NULL; v++) {
			secret_wipe(*v, strlen(*v));
			free(*v);
		}
		free(prov->command);
		free(prov->env);
		free(prov->path);
		free(prov->models);
		free(prov->model_limits);
		free(prov->key);
		free(prov->key_says);
		free(prov->proxy);
		free(prov->base_url);
		free(prov->name);
	}
	free(p->list);
	free(p);
}
