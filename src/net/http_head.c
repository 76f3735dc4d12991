#include "net/http_head.h"

#include <arpa/inet.h>

#include "base/utf8.h"

static struct str trim(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) s = str_n(s.p + 1, s.n - 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
	return s;
}

/* Cuts the part before the next `sep` off *rest; false when nothing is left. */
static bool cut(struct str *rest, char sep, struct str *part)
{
	if (rest->n == 0) return false;
	const char *end = memchr(rest->p, sep, rest->n);
	size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n, skip = end != NULL ? n + 1 : n;
	*part = str_n(rest->p, n);
	*rest = str_n(rest->p + skip, rest->n - skip);
	return true;
}

/* ---- Host and Origin --------------------------------------------------------------------------------------------- */

bool authority_parse(struct str s, struct authority *out)
{
	struct str port = STR_NONE;
	const char *p;
	*out = (struct authority){0};
	if (s.n > 0 && s.p[0] == '[') {
		p = memchr(s.p, ']', s.n);
		if (p == NULL) return false;
		out->is_ipv6 = true;
		out->name = str_n(s.p + 1, (size_t)(p - s.p) - 1);
		port = str_n(p + 1, s.n - (size_t)(p - s.p) - 1);
		if (port.n > 0 && port.p[0] != ':') return false;
	} else {
		p = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
		out->name = p != NULL ? str_n(s.p, (size_t)(p - s.p)) : s;
		if (p != NULL) port = str_n(p, s.n - (size_t)(p - s.p));
	}
	if (out->name.n == 0) return false;
	if (port.n == 0) return true;
	int64_t number;
	port = str_n(port.p + 1, port.n - 1);
	if (port.n == 0 || port.p[0] == '-' || !str_to_int(port, &number) || number < 1 || number > 65535) return false;
	out->port = (uint16_t)number;
	return true;
}

static bool is_ip(const struct authority *a)
{
	char text[64];
	struct in6_addr addr;
	return str_copy(a->name, text, sizeof text) && inet_pton(a->is_ipv6 ? AF_INET6 : AF_INET, text, &addr) == 1;
}

bool host_is_allowed(struct str host, const char *const *hosts)
{
	struct authority a;
	if (!authority_parse(host, &a)) return false;
	if (is_ip(&a)) return true;
	if (a.is_ipv6) return false;
	if (str_eq_nocase(a.name, STR("localhost"))) return true;
	for (; hosts != NULL && *hosts != NULL; hosts++)
		if (str_eq_nocase(a.name, str_c(*hosts))) return true;
	return false;
}

/* "scheme://host[:port]" in its parts, the port filled in. */
static bool origin_parse(struct str s, bool *is_secure, struct authority *a)
{
	struct str https = STR("https://"), http = STR("http://");
	*is_secure = s.n > https.n && str_eq_nocase(str_n(s.p, https.n), https);
	if (!*is_secure && !(s.n > http.n && str_eq_nocase(str_n(s.p, http.n), http))) return false;
	size_t n = *is_secure ? https.n : http.n;
	if (!authority_parse(str_n(s.p + n, s.n - n), a)) return false;
	if (a->port == 0) a->port = *is_secure ? 443 : 80;
	return true;
}

bool origin_is_allowed(struct str origin, struct str host, bool is_secure, const char *const *origins)
{
	struct authority ours, theirs;
	bool theirs_secure;
	for (; origins != NULL && *origins != NULL; origins++)
		if (str_eq_nocase(origin, str_c(*origins))) return true;
	if (!origin_parse(origin, &theirs_secure, &theirs) || !authority_parse(host, &ours)) return false;
	if (ours.port == 0) ours.port = is_secure ? 443 : 80;
	return theirs_secure == is_secure && theirs.port == ours.port && theirs.is_ipv6 == ours.is_ipv6 &&
	       str_eq_nocase(theirs.name, ours.name);
}

/* ---- the target -------------------------------------------------------------------------------------------------- */

static int hex(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes percent escapes into `out` (room for s.n); NULL and a reason when s is not fine. */
static const char *decode(struct str s, bool is_query, char *out, size_t *out_n)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '#') return "a fragment in the target";
		if (c == '%') {
			if (s.n - i < 3 || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
				return "a bad percent-encoding in the target";
			c = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
			i += 2;
			if (c == '/' && !is_query) return "an encoded slash in the path";
		} else if (c == '+' && is_query) {
			c = ' ';
		}
		if (c == '\0') return "a NUL in the target";
		if (((unsigned char)c < 0x20 || c == 0x7f) && !is_query) return "a control character in the path";
		out[n++] = c;
	}
	*out_n = n;
	return utf8_is_valid(str_n(out, n)) ? NULL : "the target is not valid UTF-8";
}

static bool has_dotdot(struct str path)
{
	struct str part;
	while (cut(&path, '/', &part))
		if (str_eq(part, STR(".."))) return true;
	return false;
}

/* "http://host/path" → "/path", when the host is the one of the Host header. */
static bool strip_authority(struct str *target, struct str host)
{
	struct str scheme[] = {{"http://", 7}, {"https://", 8}};
	for (size_t i = 0; i < ARRAY_LEN(scheme); i++) {
		if (target->n < scheme[i].n || !str_eq_nocase(str_n(target->p, scheme[i].n), scheme[i])) continue;
		struct str rest = str_n(target->p + scheme[i].n, target->n - scheme[i].n);
		const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
		if (slash == NULL || !str_eq_nocase(str_n(rest.p, (size_t)(slash - rest.p)), host)) return false;
		*target = str_n(slash, rest.n - (size_t)(slash - rest.p));
		return true;
	}
	return true;
}

enum err target_parse(struct str target, struct str host, struct arena *a, struct str *path, struct str *query,
		      struct errinfo *info)
{
	if (!strip_authority(&target, host))
		return err_set(info, ERR_BAD_REQUEST, "the target's authority is not that of the Host header");
	if (target.n == 0 || target.p[0] != '/') return err_set(info, ERR_BAD_REQUEST, "the target is not a path");
	const char *mark = memchr(target.p, '?', target.n), *why;
	size_t n = mark != NULL ? (size_t)(mark - target.p) : target.n;
	char *out = arena_alloc(a, target.n);
	*query = mark != NULL ? str_n(mark + 1, target.n - n - 1) : STR_NONE;
	if ((why = decode(*query, true, out, &path->n)) != NULL ||
	    (why = decode(str_n(target.p, n), false, out, &path->n)) != NULL)
		return err_set(info, ERR_BAD_REQUEST, "%s", why);
	path->p = out;
	if (has_dotdot(*path)) return err_set(info, ERR_BAD_REQUEST, "\"..\" in the path");
	return OK;
}

struct str query_get(struct str query, struct str name, struct arena *a)
{
	struct str part, key;
	while (cut(&query, '&', &part)) {
		struct str value = part;
		char *out = arena_alloc(a, part.n + 1);
		size_t n;
		if (!cut(&value, '=', &key) || decode(key, true, out, &n) != NULL || !str_eq(str_n(out, n), name))
			continue;
		return decode(value, true, out, &n) == NULL ? str_n(out, n) : STR_NONE;
	}
	return STR_NONE;
}

struct str cookie_get(struct str header, struct str name)
{
	struct str part, key;
	while (cut(&header, ';', &part)) {
		struct str value = trim(part);
		if (cut(&value, '=', &key) && str_eq(key, name)) return value;
	}
	return STR_NONE;
}

/* ---- Accept-Encoding --------------------------------------------------------------------------------------------- */

/* Whether the parameters of one coding refuse it: q=0, q=0.0 … */
static bool is_refused(struct str params)
{
	struct str part;
	while (cut(&params, ';', &part)) {
		part = trim(part);
		if (part.n < 3 || (part.p[0] | 32) != 'q' || part.p[1] != '=') continue;
		for (size_t i = 2; i < part.n; i++)
			if (part.p[i] != '0' && part.p[i] != '.') return false;
		return true;
	}
	return false;
}

enum encoding encoding_accepted(struct str header)
{
	enum encoding best = ENCODING_IDENTITY;
	struct str item, coding;
	while (cut(&header, ',', &item)) {
		if (!cut(&item, ';', &coding) || is_refused(item)) continue;
		coding = trim(coding);
		if (str_eq_nocase(coding, STR("zstd"))) best = ENCODING_ZSTD;
		if (str_eq_nocase(coding, STR("gzip")) && best == ENCODING_IDENTITY) best = ENCODING_GZIP;
	}
	return best;
}
