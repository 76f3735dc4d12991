#include "host/kinds.h"

#include <ctype.h>

/* clang-format off */
const struct provider_kind provider_kinds[] = {
	{.name = "anthropic", .dialect = "anthropic", .base_url = "https://api.anthropic.com", .path = "",
	 .key_url = "https://api.anthropic.com", .env = {"ANTHROPIC_API_KEY"}},
	{.name = "openai", .dialect = "openai-responses", .base_url = "https://api.openai.com/v1", .path = "/v1",
	 .key_url = "https://api.openai.com/v1", .env = {"OPENAI_API_KEY"}},
	{.name = "google", .dialect = "gemini", .base_url = "https://generativelanguage.googleapis.com/v1beta",
	 .path = "/v1beta", .key_url = "https://generativelanguage.googleapis.com/v1beta",
	 .env = {"GEMINI_API_KEY", "GOOGLE_API_KEY"}},
	{.name = "xai", .dialect = "openai-responses", .base_url = "https://api.x.ai/v1", .path = "/v1",
	 .key_url = "https://api.x.ai/v1", .env = {"XAI_API_KEY"}},
	/* One on this machine needs no key: the key is for the one in the cloud. */
	{.name = "ollama", .dialect = "ollama", .base_url = "http://127.0.0.1:11434", .path = "",
	 .key_url = "https://ollama.com", .env = {"OLLAMA_API_KEY"}, .port = 11434, .is_local = true},
	{.name = "lmstudio", .dialect = "openai", .base_url = "http://127.0.0.1:1234/v1", .path = "/v1",
	 .key_url = "", .port = 1234, .is_local = true},
	{.name = "llamacpp", .dialect = "openai", .base_url = "http://127.0.0.1:8080/v1", .path = "/v1",
	 .key_url = "", .port = 8080, .is_local = true},
	{.name = "compatible", .dialect = "openai", .base_url = "", .path = "", .key_url = ""},
	{0},
};
/* clang-format on */

const struct provider_kind *kind_find(struct str name)
{
	for (const struct provider_kind *k = provider_kinds; k->name != NULL; k++)
		if (str_eq(name, str_c(k->name))) return k;
	return NULL;
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

/* The length of "https://" or "http://", 0 for anything else. */
static size_t scheme_len(struct str url)
{
	static const struct str schemes[] = {STR_INIT("https://"), STR_INIT("http://")};
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (url.n > schemes[i].n && str_eq_nocase(str_n(url.p, schemes[i].n), schemes[i])) return schemes[i].n;
	return 0;
}

/* Host and port; what follows begins at its end. */
static struct str authority(struct str url, size_t scheme)
{
	size_t end = scheme;
	while (end < url.n && strchr("/?#\\", url.p[end]) == NULL) end++;
	return str_n(url.p + scheme, end - scheme);
}

bool url_origin(struct str url, char out[ORIGIN_MAX])
{
	size_t scheme = scheme_len(url);
	out[0] = '\0';
	if (scheme == 0) return false;
	struct str at = authority(url, scheme), own = scheme == 8 ? STR(":443") : STR(":80");
	if (at.n > own.n && str_eq(str_n(at.p + at.n - own.n, own.n), own)) at.n -= own.n;
	if (at.n == 0 || memchr(at.p, '@', at.n) != NULL || !str_copy(str_n(url.p, scheme + at.n), out, ORIGIN_MAX))
		return false;
	for (char *s = out; *s != '\0'; s++) *s = (char)tolower((unsigned char)*s);
	return true;
}

bool same_origin(struct str a, struct str b)
{
	char one[ORIGIN_MAX], other[ORIGIN_MAX];
	return url_origin(a, one) && url_origin(b, other) && strcmp(one, other) == 0;
}

/* What follows host and port, without slashes at its end. */
static struct str path_of(struct str url)
{
	size_t scheme = scheme_len(url);
	struct str at = authority(url, scheme);
	struct str path = str_n(at.p + at.n, url.n - scheme - at.n);
	while (path.n > 0 && path.p[path.n - 1] == '/') path.n--;
	return path;
}

const struct provider_kind *kind_guess(struct str url)
{
	char origin[ORIGIN_MAX];
	bool is_url = url_origin(url, origin);
	const char *colon = strrchr(origin, ':');
	int64_t port;
	if (is_url && !str_to_int(str_c(colon + 1), &port)) port = 0;
	for (const struct provider_kind *k = provider_kinds; is_url && k->name != NULL; k++) {
		/* What Ollama serves under another path than its own is OpenAI's API. */
		bool fits = path_of(url).n == 0 || str_eq(path_of(url), str_c(k->path));
		if (fits && (same_origin(url, str_c(k->key_url)) || (k->port != 0 && k->port == port))) return k;
	}
	return kind_find(STR("compatible"));
}

const struct provider_kind *kind_of_line(struct str name, struct str url, bool *by_name)
{
	const struct provider_kind *k = kind_guess(url), *named = kind_find(name);
	bool is_open = k->base_url[0] == '\0' && path_of(url).n == 0;
	*by_name = is_open && named != NULL && named->is_local;
	return *by_name ? named : k;
}

char *kind_complete_url(const struct provider_kind *k, struct str url)
{
	bool is_bare = scheme_len(url) > 0 && path_of(url).n == 0;
	while (is_bare && url.n > 0 && url.p[url.n - 1] == '/') url.n--;
	const char *path = is_bare ? k->path : "";
	size_t n = url.n + strlen(path) + 1;
	char *out = xmalloc(n);
	(void)snprintf(out, n, "%.*s%s", STR_ARG(url), path);
	return out;
}
