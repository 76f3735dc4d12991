/* How a file becomes a struct config
 *
 * libcyaml turns the text into `struct raw` by a schema that is built from the tables at run time. Two of its habits
 * shape this file. It reads "16M" as the integer 16 and "maybe" as true, so the schema takes every scalar as text and
 * the conversions are done here. And it reports a fault only through its log, as the sentence first and then a trace
 * from the innermost place outwards, so `fault` keeps the sentence and the first line number. For a value that is
 * refused here the line is found again in the text (line_of_key), which works for anything but flow style.
 *
 * Nothing of `c` changes unless the whole file is good: config_parse fills a copy. */
#include "host/config.h"

#include <arpa/inet.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/near.h"
#include "host/kinds.h"
#include "metrics/convergence.h"
#include "provider/provider.h"
#include "relay/budget.h"

#define FILE_BYTES_MAX (1 << 20)
#define NEAR_MAX 3
#define PER_MINUTE_MAX 1000000000LL

/* ---- the tables ------------------------------------------------------------------------------------------------- */

static const struct config_row {
	const char *key;
	enum config_kind kind;
	size_t offset; /* in struct config */
	const char *what;
} rows[] = {
#define X(field, key, kind, what) {key, kind, offsetof(struct config, field), what},
	CONFIG_MAP(X)
#undef X
};
enum { ROWS = ARRAY_LEN(rows) };

/* What a CFG_INT or CFG_REAL may be, or a CFG_WORD; the first word is the default. */
static const struct config_range {
	const char *key;
	double lo, hi;
	const char *words[6]; /* ends with NULL */
} ranges[] = {
	{"labTurns", 1, 100000, {NULL}},
	{"labThreshold", 0, 1, {NULL}},
	{"labMaxParallel", 1, 1000, {NULL}},
	{"labSyncMs", 0, 60000, {NULL}},
	{"labAction", 0, 0, {"stop", "pause", "notify", "warn", "continue"}},
	{"labProfile", 0, 0, {"balanced", "structural", "semantic", "strict", "custom"}},
	{"labRedact", 0, 0, {"off", "hash", "drop", "mask-pii"}},
};

/* The keys of one element of `providers`. */
#define KINDS "anthropic, openai, google, xai, ollama, lmstudio, llamacpp, compatible"
#define DIALECTS "openai, openai-responses, anthropic, gemini, ollama, exec, local, silent"
enum {
	P_NAME,
	P_KIND,
	P_DIALECT,
	P_URL,
	P_KEY_FILE,
	P_KEY_ENV,
	P_PROXY,
	P_MODELS,
	P_CONCURRENCY,
	P_REQUESTS,
	P_TOKENS,
	P_MODEL_LIMITS,
	P_BUDGET,
	P_PRIVATE,
	P_COMMAND,
	P_PATH,
	P_ENV,
	P_KEYS
};
static const struct {
	const char *key, *what;
	bool is_list;
} provider_keys[P_KEYS] = {
	[P_NAME] = {"name", "first half of its models' ids, as in NAME:MODEL", false},
	[P_KIND] = {"kind", "gives what is left out: " KINDS "; by default what baseUrl looks like", false},
	[P_DIALECT] = {"dialect", DIALECTS, false},
	[P_URL] = {"baseUrl", "where its API is, as http://127.0.0.1:1234/v1", false},
	[P_KEY_FILE] = {"keyFile", "file of mode 0600 that holds the API key; none: see Keys", false},
	[P_KEY_ENV] = {"keyEnv", "environment variable that holds the API key; none: its kind's", false},
	[P_PROXY] = {"proxy", "proxy to reach it through, as http://10.0.0.1:3128; none by default", false},
	[P_MODELS] = {"models", "models it serves, without its name; none: those it lists", true},
	[P_CONCURRENCY] = {"concurrency", "calls at once; 0: limits.runningPerProvider", false},
	[P_REQUESTS] = {"requestsPerMinute", "requests a minute to all its models together; 0: no limit", false},
	[P_TOKENS] = {"tokensPerMinute", "tokens a minute, of questions and answers; 0: no limit", false},
	[P_MODEL_LIMITS] = {"modelLimits", "limits of single models, each as MODEL REQUESTS TOKENS a minute", true},
	[P_BUDGET] = {"budget", "what it may cost all users a day (UTC), in USD, as 20.00/day; none: no limit", false},
	[P_PRIVATE] = {"allowPrivate", "whether baseUrl may be on loopback or a private network", false},
	[P_COMMAND] = {"command", "exec: the program and its arguments; {model} and {system} stand for themselves",
		       true},
	[P_PATH] = {"path", "exec: absolute directories in which the program is looked for, as /usr/bin:/bin", false},
	[P_ENV] = {"env", "exec: names of the daemon's environment variables that it is given", true},
};
static const char *const local_dialects[] = {"exec", "local", "silent"}; /* besides those of provider/ */
static const char *const levels[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

/* ---- what libcyaml fills ---------------------------------------------------------------------------------------- */

struct raw_value {
	char *text; /* NULL: not in the file */
	char **list;
	uint32_t nlist;
};

struct raw_provider {
	struct raw_value keys[P_KEYS];
};

enum { LIMITS_MAX = 64 };
struct raw {
	struct raw_value keys[ROWS];
	struct raw_provider *providers;
	uint32_t nproviders;
	char *limits[LIMITS_MAX];
};

/* Where libcyaml found a fault. */
struct fault {
	char what[160];
	int line; /* 0 unknown */
};

struct schema {
	cyaml_schema_field_t keys[ROWS + 3], provider[P_KEYS + 1], limits[LIMITS_MAX + 1];
	cyaml_schema_value_t text, provider_value, top;
};

static cyaml_schema_field_t text_field(const char *key, size_t offset)
{
	return (cyaml_schema_field_t){
		.key = key,
		.data_offset = (uint32_t)offset,
		.value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, 0, CYAML_UNLIMITED)},
	};
}

static cyaml_schema_field_t list_field(const char *key, size_t offset, size_t count_offset,
				       const cyaml_schema_value_t *entry, size_t entry_size)
{
	return (cyaml_schema_field_t){
		.key = key,
		.data_offset = (uint32_t)offset,
		.count_offset = (uint32_t)count_offset,
		.count_size = sizeof(uint32_t),
		.value = {.type = CYAML_SEQUENCE,
			  .flags = (enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL),
			  .data_size = (uint32_t)entry_size,
			  .sequence = {.entry = entry, .min = 0, .max = CYAML_UNLIMITED}},
	};
}

static cyaml_schema_field_t value_field(struct schema *s, const char *key, bool is_list, size_t offset)
{
	if (!is_list) return text_field(key, offset + offsetof(struct raw_value, text));
	return list_field(key, offset + offsetof(struct raw_value, list), offset + offsetof(struct raw_value, nlist),
			  &s->text, sizeof(char *));
}

/* Arrays of fields end with a zero one, which is what the caller's memory holds. */
static void schema_build(struct schema *s)
{
	ASSERT_CMP(limit_count, <=, LIMITS_MAX);
	*s = (struct schema){.text = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CYAML_UNLIMITED)}};
	for (size_t i = 0; i < P_KEYS; i++)
		s->provider[i] =
			value_field(s, provider_keys[i].key, provider_keys[i].is_list, i * sizeof(struct raw_value));
	s->provider_value =
		(cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_provider, s->provider)};
	for (size_t i = 0; i < limit_count; i++) s->limits[i] = text_field(limit_rows[i].key, i * sizeof(char *));
	for (size_t i = 0; i < ROWS; i++)
		s->keys[i] = value_field(s, rows[i].key, rows[i].kind == CFG_LIST || rows[i].kind == CFG_WEIGHTS,
					 offsetof(struct raw, keys) + i * sizeof(struct raw_value));
	s->keys[ROWS] = list_field("providers", offsetof(struct raw, providers), offsetof(struct raw, nproviders),
				   &s->provider_value, sizeof(struct raw_provider));
	s->keys[ROWS + 1] = (cyaml_schema_field_t){
		.key = "limits",
		.data_offset = offsetof(struct raw, limits),
		.value = {.type = CYAML_MAPPING,
			  .flags = CYAML_FLAG_OPTIONAL,
			  .data_size = sizeof(((struct raw *)NULL)->limits),
			  .mapping = {.fields = s->limits}},
	};
	s->top = (cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw, s->keys)};
}

/* libcyaml's log: see the top of this file. */
__attribute__((format(printf, 3, 0))) static void fault_log(cyaml_log_t level, void *ctx, const char *fmt, va_list ap)
{
	(void)level;
	struct fault *f = ctx;
	char line[256];
	vsnprintf(line, sizeof line, fmt, ap);
	line[strcspn(line, "\n")] = '\0';
	const char *place = strstr(line, "(line: ");
	if (place != NULL) {
		if (f->line == 0) f->line = (int)strtol(place + strlen("(line: "), NULL, 10);
	} else if (f->what[0] == '\0' && strstr(line, "Backtrace") == NULL) {
		const char *what = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
		snprintf(f->what, sizeof f->what, "%.*s", (int)sizeof f->what - 1, what);
	}
}

/* ---- mistakes, kindly ------------------------------------------------------------------------------------------- */

/* Appends the nearest known keys: " (did you mean …?)". Keys of all levels are looked at, with their parent's name. */
static void add_near(struct buf *b, struct str key)
{
	struct near_key {
		size_t d;
		const char *parent, *key;
	} near[NEAR_MAX];
	size_t n = 0;
	for (size_t i = 0; i < ROWS + 2 + P_KEYS + limit_count; i++) {
		struct near_key k = {.parent = ""};
		if (i < ROWS) k.key = rows[i].key;
		else if (i < ROWS + 2) k.key = i == ROWS ? "providers" : "limits";
		else if (i < ROWS + 2 + P_KEYS) k.parent = "providers[].", k.key = provider_keys[i - ROWS - 2].key;
		else k.parent = "limits.", k.key = limit_rows[i - ROWS - 2 - P_KEYS].key;
		k.d = near_distance(key, str_c(k.key));
		if (k.d > MAX(key.n, strlen(k.key)) / 2) continue;
		size_t at = n;
		while (at > 0 && near[at - 1].d > k.d) at--;
		if (at == NEAR_MAX) continue;
		if (n < NEAR_MAX) n++;
		memmove(near + at + 1, near + at, (n - at - 1) * sizeof *near);
		near[at] = k;
	}
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s%s%s",
			 i == 0       ? "; did you mean "
			 : i + 1 == n ? " or "
				      : ", ",
			 near[i].parent, near[i].key);
	if (n > 0) buf_add_char(b, '?');
}

/* The 1-based line of `key:` inside section `parent` ("" top), counting the nth occurrence (0 first) for lists of
 * mappings; 0 when it isn't found. */
static int line_of_key(struct str yaml, const char *parent, const char *key, size_t nth)
{
	bool inside = parent[0] == '\0';
	int line = 0;
	for (size_t at = 0; at < yaml.n;) {
		const char *nl = memchr(yaml.p + at, '\n', yaml.n - at);
		size_t end = nl != NULL ? (size_t)(nl - yaml.p) : yaml.n;
		struct str text = str_n(yaml.p + at, end - at);
		at = end + 1;
		line++;
		bool top = text.n > 0 && strchr(" -#\t", text.p[0]) == NULL;
		if (parent[0] != '\0' && top) inside = str_starts(text, str_c(parent));
		if (!inside || (parent[0] == '\0') != top) continue;
		while (text.n > 0 && strchr(" -", text.p[0]) != NULL) text = str_n(text.p + 1, text.n - 1);
		if (!str_starts(text, str_c(key)) || text.n <= strlen(key) || text.p[strlen(key)] != ':') continue;
		if (nth-- == 0) return line;
	}
	return 0;
}

/* What a parse works on, so that its helpers can name places. */
struct reading {
	struct config *c;
	struct str yaml;
	const char *name; /* of the file */
	struct errinfo *info;
};

static enum err wrong(const struct reading *r, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static enum err wrong(const struct reading *r, int line, const char *fmt, ...)
{
	char what[sizeof r->info->text];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if (r->name == NULL) return err_set(r->info, ERR_CONFIG, "%s", what);
	if (line == 0) return err_set(r->info, ERR_CONFIG, "%s: %s", r->name, what);
	return err_set(r->info, ERR_CONFIG, "%s:%d: %s", r->name, line, what);
}

static enum err fault_error(const struct reading *r, const struct fault *f, cyaml_err_t e)
{
	static const char UNEXPECTED[] = "Unexpected key: ";
	if (strncmp(f->what, UNEXPECTED, sizeof UNEXPECTED - 1) != 0)
		return wrong(r, f->line, "%s", f->what[0] != '\0' ? f->what : cyaml_strerror(e));
	const char *key = f->what + sizeof UNEXPECTED - 1;
	struct buf near = BUF_INIT(160);
	add_near(&near, str_c(key));
	int line = line_of_key(r->yaml, "", key, 0);
	enum err err =
		wrong(r, line != 0 ? line : f->line, "there is no key \"%.60s\"%.*s", key, STR_ARG(buf_str(&near)));
	buf_release(&near);
	return err;
}

/* ---- conversions ------------------------------------------------------------------------------------------------ */

static const char *keep(struct config *c, struct str s) { return arena_str(&c->memory, s).p; }

/* No control characters, C1 and the two non-characters of the BMP included: YAML could not hold them as they are, and
 * no path, name or address has any use for them. */
static bool is_plain(const char *s)
{
	ASSERT(s != NULL);
	for (const unsigned char *p = (const unsigned char *)s; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f) return false;
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) return false;
		if (*p == 0xef && p[1] == 0xbf && p[2] >= 0xbe) return false;
	}
	return true;
}

static bool is_value_plain(const struct raw_value *v)
{
	bool plain = v->text == NULL || is_plain(v->text);
	for (size_t i = 0; i < v->nlist && plain; i++) plain = is_plain(v->list[i]);
	return plain;
}

static bool is_none(const char *s) { return s[0] == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0; }

static const struct config_range *range_of(const struct config_row *row)
{
	size_t i = 0;
	while (i < ARRAY_LEN(ranges) && strcmp(ranges[i].key, row->key) != 0) i++;
	ASSERT_CMP(i, <, ARRAY_LEN(ranges)); /* every number and word of the table has its range */
	return &ranges[i];
}

static enum err set_number(const struct reading *r, const struct config_row *row, const char *text, int line)
{
	const struct config_range *range = range_of(row);
	void *field = (char *)r->c + row->offset;
	if (row->kind == CFG_INT) {
		if (str_to_int(str_c(text), field) && (double)*(int64_t *)field >= range->lo &&
		    (double)*(int64_t *)field <= range->hi)
			return OK;
		return wrong(r, line, "%s is \"%.40s\"; it must be a whole number from %.0f to %.0f", row->key, text,
			     range->lo, range->hi);
	}
	char *end;
	bool none = is_none(text) || strcmp(text, "none") == 0;
	double v = none ? (double)NAN : strtod(text, &end);
	if (!none && (*end != '\0' || !(v >= range->lo && v <= range->hi)))
		return wrong(r, line, "%s is \"%.40s\"; it must be a number from %g to %g, or none", row->key, text,
			     range->lo, range->hi);
	*(double *)field = v;
	return OK;
}

static enum err set_word(const struct reading *r, const struct config_row *row, const char *text, int line)
{
	char may[100] = "";
	for (const char *const *w = range_of(row)->words; *w != NULL; w++) {
		if (strcmp(*w, text) == 0) {
			*(const char **)(void *)((char *)r->c + row->offset) = *w;
			return OK;
		}
		size_t n = strlen(may);
		snprintf(may + n, sizeof may - n, "%s%s", n > 0 ? ", " : "", *w);
	}
	return wrong(r, line, "%s is \"%.40s\"; it must be one of %s", row->key, text, may);
}

/* An absolute path, with "~/" and the directory of the file resolved; "" stays. */
static const char *keep_path(struct config *c, const char *file, const char *path)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	const char *home = getenv("HOME");
	const char *slash = file != NULL ? strrchr(file, '/') : NULL;
	if (path[0] == '~' && path[1] == '/' && home != NULL) {
		buf_addf(&b, "%s%s", home, path + 1);
	} else {
		bool is_file_relative = path[0] != '/' && slash != NULL;
		if (path[0] != '/' && !(is_file_relative && file[0] == '/')) {
			char *cwd = getcwd(NULL, 0);
			buf_addf(&b, "%s/", cwd != NULL ? cwd : "");
			free(cwd);
		}
		if (is_file_relative) buf_add(&b, file, (size_t)(slash + 1 - file));
		buf_add_str(&b, str_c(path));
	}
	const char *kept = keep(c, buf_str(&b));
	buf_release(&b);
	return kept;
}

static const char *const *keep_list(struct config *c, char *const *list, size_t n)
{
	const char **kept = arena_zalloc(&c->memory, xmul(n + 1, sizeof *kept));
	for (size_t i = 0; i < n; i++) kept[i] = keep(c, str_c(list[i]));
	return kept;
}

static bool to_flag(const char *text, bool *out)
{
	*out = strcmp(text, "true") == 0;
	return *out || strcmp(text, "false") == 0;
}

static int index_of(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], word) == 0) return (int)i;
	return -1;
}

static enum err set_weights(const struct reading *r, const struct config_row *row, const struct raw_value *v, int line)
{
	struct convergence_weights w = {0};
	struct errinfo why = {0};
	double *const at[] = {&w.content, &w.structure, &w.sentences, &w.length, &w.punctuation};
	char *end = NULL;
	bool is_number = true;
	for (size_t i = 0; i < v->nlist && i < ARRAY_LEN(at) && is_number; i++) {
		*at[i] = strtod(v->list[i], &end);
		is_number = v->list[i][0] != '\0' && strspn(v->list[i], "0123456789.eE-+") == strlen(v->list[i]) &&
			    *end == '\0';
	}
	if (v->nlist > 0 && (v->nlist != ARRAY_LEN(at) || !is_number))
		return wrong(r, line, "%s must be a list of five numbers", row->key);
	enum err e = v->nlist > 0 ? convergence_weights_check(&w, &why) : OK;
	if (e != OK) return wrong(r, line, "%s: %s", row->key, err_sentence(&why, e));
	*(const char *const **)(void *)((char *)r->c + row->offset) = keep_list(r->c, v->list, v->nlist);
	return OK;
}

static bool is_yaml_path(const char *s)
{
	size_t n = strlen(s);
	return (n > 5 && strcmp(s + n - 5, ".yaml") == 0) || (n > 4 && strcmp(s + n - 4, ".yml") == 0);
}

/* Sets one key of the table. */
static enum err set_row(const struct reading *r, const struct config_row *row, const struct raw_value *v, int line)
{
	void *field = (char *)r->c + row->offset;
	if (!is_value_plain(v)) return wrong(r, line, "%s holds a control character", row->key);
	switch (row->kind) {
	case CFG_TEXT: *(const char **)field = keep(r->c, is_none(v->text) ? STR("") : str_c(v->text)); return OK;
	case CFG_PATH: *(const char **)field = is_none(v->text) ? "" : keep_path(r->c, r->name, v->text); return OK;
	case CFG_LIST: *(const char *const **)field = keep_list(r->c, v->list, v->nlist); return OK;
	case CFG_FLAG:
		if (to_flag(v->text, field)) return OK;
		return wrong(r, line, "%s is \"%.40s\"; it must be true or false", row->key, v->text);
	case CFG_INT:
	case CFG_REAL: return set_number(r, row, v->text, line);
	case CFG_WORD: return set_word(r, row, v->text, line);
	case CFG_PRESET:
		*(const char **)field = is_yaml_path(v->text) ? keep_path(r->c, r->name, v->text)
					: is_none(v->text)    ? "none"
							      : keep(r->c, str_c(v->text));
		return OK;
	case CFG_WEIGHTS: return set_weights(r, row, v, line);
	case CFG_LEVEL: break;
	}
	int level = index_of(levels, ARRAY_LEN(levels), v->text);
	if (level < 0)
		return wrong(r, line, "%s is \"%.40s\"; it must be error, warn, info or debug", row->key, v->text);
	*(enum log_level *)field = (enum log_level)level;
	return OK;
}

static enum err set_limit(const struct reading *r, size_t i, const char *text)
{
	int64_t value;
	const char *key = limit_rows[i].key;
	int line = line_of_key(r->yaml, "limits", key, 0);
	if (!str_to_int(str_c(text), &value))
		return wrong(r, line, "limits.%s is \"%.40s\"; it must be a whole number (of %s)", key, text,
			     limit_rows[i].unit);
	struct errinfo why = {0};
	enum err e = limits_set(&r->c->limits, str_c(key), value, &why);
	return e == OK ? OK : wrong(r, line, "%s", err_sentence(&why, e));
}

static bool is_provider_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_");
	return n > 0 && n <= 40 && s[n] == '\0';
}

/* What is left out comes from the kind: the one that is named, else the one the address looks like when no dialect was
 * chosen. A local kind may be on private addresses, unless this is the one its makers run. */
static void apply_kind(struct config *c, const char *text[P_KEYS])
{
	bool is_named = text[P_KIND][0] != '\0';
	const struct provider_kind *k = kind_find(str_c(text[P_KIND]));
	if (!is_named && text[P_DIALECT][0] == '\0' && text[P_URL][0] != '\0') k = kind_guess(str_c(text[P_URL]));
	if (k == NULL) return;
	char *url = kind_complete_url(k, str_c(text[P_URL][0] != '\0' ? text[P_URL] : k->base_url));
	text[P_URL] = keep(c, str_c(url));
	free(url);
	text[P_KIND] = k->name;
	if (text[P_NAME][0] == '\0') text[P_NAME] = k->name;
	if (text[P_DIALECT][0] == '\0') text[P_DIALECT] = k->dialect;
	if (is_named && k->is_local && text[P_PRIVATE][0] == '\0' &&
	    !same_origin(str_c(text[P_URL]), str_c(k->key_url)))
		text[P_PRIVATE] = "true";
}

static enum err set_provider(const struct reading *r, const struct raw_provider *raw, size_t nth,
			     struct provider_config *p)
{
	const char *text[P_KEYS];
	int line = line_of_key(r->yaml, "providers", "name", nth);
	for (size_t i = 0; i < P_KEYS; i++) {
		text[i] = raw->keys[i].text != NULL ? raw->keys[i].text : "";
		if (!is_value_plain(&raw->keys[i]))
			return wrong(r, line, "providers[%zu].%s holds a control character", nth, provider_keys[i].key);
	}
	if (text[P_KIND][0] != '\0' && kind_find(str_c(text[P_KIND])) == NULL)
		return wrong(r, line, "providers[%zu].kind is \"%.40s\"; it must be one of " KINDS, nth, text[P_KIND]);
	apply_kind(r->c, text);
	if (!is_provider_name(text[P_NAME]))
		return wrong(r, line, "providers[%zu].name is \"%.40s\"; it must be 1 to 40 of a-z, 0-9, - and _", nth,
			     text[P_NAME]);
	if (strcmp(text[P_NAME], "local") == 0)
		return wrong(r, line, "providers[%zu].name: \"local\" is the built-in provider's", nth);
	bool is_program = raw->keys[P_COMMAND].nlist > 0;
	const char *dialect = text[P_DIALECT][0] != '\0' ? text[P_DIALECT] : is_program ? "exec" : "openai";
	bool is_remote = dialect_find(str_c(dialect)) != NULL;
	if (!is_remote && index_of(local_dialects, ARRAY_LEN(local_dialects), dialect) < 0)
		return wrong(r, line, "providers[%zu].dialect is \"%.40s\"; it must be one of " DIALECTS, nth, dialect);
	const char *url = text[P_URL];
	bool is_http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
	if (!is_http && is_remote)
		return wrong(r, line, "providers[%zu].baseUrl must begin with http:// or https://", nth);
	int64_t concurrency = 0;
	if (text[P_CONCURRENCY][0] != '\0' &&
	    (!str_to_int(str_c(text[P_CONCURRENCY]), &concurrency) || concurrency < 0 || concurrency > 4096))
		return wrong(r, line, "providers[%zu].concurrency must be a whole number from 0 to 4096", nth);
	bool allow_private = false;
	if (text[P_PRIVATE][0] != '\0' && !to_flag(text[P_PRIVATE], &allow_private))
		return wrong(r, line, "providers[%zu].allowPrivate must be true or false", nth);
	int64_t per_minute[2] = {0};
	for (size_t i = 0; i < ARRAY_LEN(per_minute); i++) {
		const char *t = text[P_REQUESTS + i];
		if (t[0] != '\0' &&
		    (!str_to_int(str_c(t), &per_minute[i]) || per_minute[i] < 0 || per_minute[i] > PER_MINUTE_MAX))
			return wrong(r, line, "providers[%zu].%s must be a whole number from 0 to %lld", nth,
				     provider_keys[P_REQUESTS + i].key, (long long)PER_MINUTE_MAX);
	}
	int64_t ticks;
	if (!is_none(text[P_BUDGET]) && !budget_parse(str_c(text[P_BUDGET]), &ticks))
		return wrong(r, line, "providers[%zu].budget is \"%.40s\"; it must be USD a day, as 20.00/day", nth,
			     text[P_BUDGET]);
	const struct raw_value *models = &raw->keys[P_MODELS], *limits = &raw->keys[P_MODEL_LIMITS];
	const struct raw_value *command = &raw->keys[P_COMMAND], *env = &raw->keys[P_ENV];
	*p = (struct provider_config){
		.name = keep(r->c, str_c(text[P_NAME])),
		.dialect = keep(r->c, str_c(dialect)),
		.kind = text[P_KIND][0] != '\0' ? keep(r->c, str_c(text[P_KIND])) : NULL,
		.base_url = keep(r->c, str_c(url)),
		.key_env = is_none(text[P_KEY_ENV]) ? NULL : keep(r->c, str_c(text[P_KEY_ENV])),
		.proxy = is_none(text[P_PROXY]) ? NULL : keep(r->c, str_c(text[P_PROXY])),
		.key_file = is_none(text[P_KEY_FILE]) ? NULL : keep_path(r->c, r->name, text[P_KEY_FILE]),
		.models = models->nlist > 0 ? keep_list(r->c, models->list, models->nlist) : NULL,
		.concurrency = concurrency,
		.requests_per_minute = per_minute[0],
		.tokens_per_minute = per_minute[1],
		.model_limits = limits->nlist > 0 ? keep_list(r->c, limits->list, limits->nlist) : NULL,
		.budget = is_none(text[P_BUDGET]) ? NULL : keep(r->c, str_c(text[P_BUDGET])),
		.allow_private = allow_private,
		.command = command->nlist > 0 ? keep_list(r->c, command->list, command->nlist) : NULL,
		.path = is_none(text[P_PATH]) ? NULL : keep(r->c, str_c(text[P_PATH])),
		.env = env->nlist > 0 ? keep_list(r->c, env->list, env->nlist) : NULL,
	};
	return OK;
}

static enum err set_providers(const struct reading *r, const struct raw *raw)
{
	struct provider_config *p = arena_zalloc(&r->c->memory, xmul(raw->nproviders, sizeof *p));
	for (size_t i = 0; i < raw->nproviders; i++) {
		enum err e = set_provider(r, &raw->providers[i], i, &p[i]);
		if (e != OK) return e;
		for (size_t j = 0; j < i; j++)
			if (strcmp(p[i].name, p[j].name) == 0)
				return wrong(r, line_of_key(r->yaml, "providers", "name", i),
					     "two providers are named \"%s\"", p[i].name);
	}
	r->c->providers = p;
	r->c->nproviders = raw->nproviders;
	return OK;
}

static enum err set_all(const struct reading *r, const struct raw *raw)
{
	enum err e = OK;
	for (size_t i = 0; i < ROWS && e == OK; i++) {
		const struct raw_value *v = &raw->keys[i];
		if (v->text != NULL || v->list != NULL)
			e = set_row(r, &rows[i], v, line_of_key(r->yaml, "", rows[i].key, 0));
	}
	for (size_t i = 0; i < limit_count && e == OK; i++)
		if (raw->limits[i] != NULL) e = set_limit(r, i, raw->limits[i]);
	if (e == OK && raw->providers != NULL) e = set_providers(r, raw);
	return e;
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

/* $XDG_…_HOME/roost, or the place under HOME that the XDG rules name. */
static const char *xdg_dir(struct config *c, const char *variable, const char *under_home)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	const char *base = getenv(variable), *home = getenv("HOME");
	if (base != NULL && base[0] == '/') buf_addf(&b, "%s/roost", base);
	else buf_addf(&b, "%s/%s/roost", home != NULL && home[0] == '/' ? home : "", under_home);
	const char *dir = keep(c, buf_str(&b));
	buf_release(&b);
	return dir;
}

void config_init(struct config *c)
{
	static const char *const nothing[] = {NULL}, *const here[] = {"127.0.0.1:8787", NULL};
	*c = (struct config){
		.listen = here,
		.tls_cert = "",
		.tls_key = "",
		.hosts = nothing,
		.origins = nothing,
		.mdns = true,
		.journal = true,
		.default_model = "",
		.user_budget = "",
		.model_fallback = nothing,
		.log_level = LOG_INFO,
		.lab_output = "",
		.lab_user = "",
		.lab_turns = 20,
		.lab_threshold = (double)NAN,
		.lab_action = "stop",
		.lab_profile = "balanced",
		.lab_weights = nothing,
		.lab_awareness = "basic",
		.lab_redact = "off",
		.lab_prompt_tag = "[HUMAN]",
		.lab_max_parallel = 1,
		.lab_sync_ms = 1000,
	};
	c->data_dir = xdg_dir(c, "XDG_DATA_HOME", ".local/share");
	limits_default(&c->limits);
}

void config_release(struct config *c)
{
	arena_clear(&c->memory);
	*c = (struct config){0};
}

const char *config_default_path(struct config *c)
{
	const char *dir = xdg_dir(c, "XDG_CONFIG_HOME", ".config");
	size_t size = strlen(dir) + sizeof "/roost.yaml";
	char *path = arena_alloc(&c->memory, size);
	snprintf(path, size, "%s/roost.yaml", dir);
	return path;
}

enum err config_parse(struct config *c, struct str yaml, const char *name, struct errinfo *info)
{
	struct config next = *c; /* strings made on the way stay in the arena, whoever ends up pointing to them */
	struct reading r = {.c = &next, .yaml = yaml, .name = name, .info = info};
	struct fault fault = {.line = 0};
	cyaml_config_t yaml_config = {
		.log_fn = fault_log,
		.log_ctx = &fault,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	struct schema schema;
	struct raw *raw = NULL;
	enum err e = OK;

	schema_build(&schema);
	if (memchr(yaml.p, '\0', yaml.n) != NULL) return wrong(&r, 0, "the file holds a NUL byte");
	cyaml_err_t ce = cyaml_load_data((const uint8_t *)yaml.p, yaml.n, &yaml_config, &schema.top,
					 (cyaml_data_t **)&raw, NULL);
	if (ce != CYAML_OK) e = fault_error(&r, &fault, ce);
	else if (raw != NULL) e = set_all(&r, raw);
	if (e == OK) *c = next;
	else c->memory = next.memory;
	if (raw != NULL) cyaml_free(&yaml_config, &schema.top, raw, 0);
	return e;
}

enum err config_load(struct config *c, const char *path, struct errinfo *info)
{
	enum err e = OK;
	struct buf text = BUF_INIT(FILE_BYTES_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) return err_set(info, ERR_NOT_FOUND, "there is no configuration file %s", path);
	if (fd < 0) return err_set(info, ERR_CONFIG, "%s: %s", path, strerror(errno));
	for (;;) {
		char piece[8192];
		ssize_t n = read(fd, piece, sizeof piece);
		if (n < 0) e = err_set(info, ERR_CONFIG, "%s: %s", path, strerror(errno));
		else if (n > 0 && !buf_add(&text, piece, (size_t)n))
			e = err_set(info, ERR_CONFIG, "%s: larger than %d bytes", path, FILE_BYTES_MAX);
		if (n <= 0 || e != OK) break;
	}
	close(fd);
	if (e == OK) e = config_parse(c, buf_str(&text), path, info);
	buf_release(&text);
	return e;
}

enum err config_set(struct config *c, const char *key, const char *value, struct errinfo *info)
{
	struct reading r = {.c = c, .info = info};
	char *text = xstrdup(value);
	struct raw_value v = {.text = text, .list = &text, .nlist = 1};
	enum err e = err_set(info, ERR_CONFIG, "there is no key \"%.60s\"", key);
	for (size_t i = 0; i < ROWS; i++)
		if (strcmp(rows[i].key, key) == 0) e = set_row(&r, &rows[i], &v, 0);
	free(text);
	return e;
}

bool config_split_address(struct str text, struct str *out_addr, int *out_port)
{
	const char *colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;
	int64_t port;
	if (colon == NULL) return false;
	struct str addr = str_n(text.p, (size_t)(colon - text.p));
	if (!str_to_int(str_n(colon + 1, text.n - addr.n - 1), &port) || port < 0 || port > 65535) return false;
	if (addr.n > 2 && addr.p[0] == '[' && addr.p[addr.n - 1] == ']') addr = str_n(addr.p + 1, addr.n - 2);
	else if (addr.n == 0 || memchr(addr.p, ':', addr.n) != NULL) return false;
	*out_addr = addr;
	*out_port = (int)port;
	return true;
}

bool config_is_loopback(struct str addr)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;
	if (str_eq_nocase(addr, STR("localhost"))) return true;
	if (!str_copy(addr, text, sizeof text)) return false;
	if (inet_pton(AF_INET, text, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

enum err config_check(const struct config *c, struct errinfo *info)
{
	bool tls = c->tls_cert[0] != '\0';
	if (tls != (c->tls_key[0] != '\0'))
		return err_set(info, ERR_CONFIG, "tlsCert and tlsKey belong together; %s is missing",
			       tls ? "tlsKey" : "tlsCert");
	if (c->listen[0] == NULL) return err_set(info, ERR_CONFIG, "listen is empty; it needs at least one ADDR:PORT");
	for (size_t i = 0; c->listen[i] != NULL; i++) {
		struct str addr;
		int port;
		if (!config_split_address(str_c(c->listen[i]), &addr, &port))
			return err_set(info, ERR_CONFIG,
				       "listen: \"%.80s\" is not ADDR:PORT (127.0.0.1:8787, [::1]:8787)", c->listen[i]);
		if (!config_is_loopback(addr) && !tls && !c->trust_proxy)
			return err_set(
				info, ERR_CONFIG,
				"listen: %.80s is beyond loopback, where credentials would travel in the clear; set tlsCert and "
				"tlsKey, or trustProxy when a proxy ends TLS",
				c->listen[i]);
	}
	int64_t ticks;
	if (c->user_budget[0] != '\0' && !budget_parse(str_c(c->user_budget), &ticks))
		return err_set(info, ERR_CONFIG, "userBudget is \"%.40s\"; it must be USD a day, as 5.00/day",
			       c->user_budget);
	if (strlen(c->data_dir) + sizeof "/roost.sock" > 108)
		return err_set(info, ERR_CONFIG,
			       "the data directory's path is too long for a Unix socket in it (96 bytes): %.100s",
			       c->data_dir);
	return OK;
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

/* JSON's strings are YAML's double-quoted ones. */
static void print_text(FILE *out, const char *text)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_str(&w, str_c(text));
	fprintf(out, "%.*s", STR_ARG(buf_str(&b)));
	buf_release(&b);
}

static void print_real(double v, FILE *out)
{
	struct buf b = BUF_INIT(64);
	struct jw w = JW(&b);
	if (isnan(v)) buf_add_str(&b, STR("none"));
	else jw_real(&w, v);
	fprintf(out, "%.*s\n", STR_ARG(buf_str(&b)));
	buf_release(&b);
}

static void print_list(FILE *out, const char *const *list)
{
	fputc('[', out);
	for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
		if (i > 0) fputs(", ", out);
		print_text(out, list[i]);
	}
	fputs("]\n", out);
}

static void print_row(const struct config *c, const struct config_row *row, FILE *out)
{
	const void *field = (const char *)c + row->offset;
	fprintf(out, "# %s\n%s: ", row->what, row->key);
	switch (row->kind) {
	case CFG_TEXT:
	case CFG_PATH:
	case CFG_PRESET:
		print_text(out, *(const char *const *)field);
		fputc('\n', out);
		break;
	case CFG_LIST:
	case CFG_WEIGHTS: print_list(out, *(const char *const *const *)field); break;
	case CFG_FLAG: fputs(*(const bool *)field ? "true\n" : "false\n", out); break;
	case CFG_LEVEL: fprintf(out, "%s\n", levels[*(const enum log_level *)field]); break;
	case CFG_INT: fprintf(out, "%lld\n", (long long)*(const int64_t *)field); break;
	case CFG_REAL: print_real(*(const double *)field, out); break;
	case CFG_WORD: fprintf(out, "%s\n", *(const char *const *)field); break;
	}
}

static void print_provider(const struct provider_config *p, FILE *out)
{
	const char *texts[P_KEYS] = {[P_NAME] = p->name,
				     [P_DIALECT] = p->dialect,
				     [P_URL] = p->base_url,
				     [P_KIND] = p->kind != NULL ? p->kind : "",
				     [P_KEY_FILE] = p->key_file != NULL ? p->key_file : "",
				     [P_KEY_ENV] = p->key_env != NULL ? p->key_env : "",
				     [P_PROXY] = p->proxy != NULL ? p->proxy : "",
				     [P_BUDGET] = p->budget != NULL ? p->budget : "",
				     [P_PATH] = p->path != NULL ? p->path : ""};
	for (size_t i = 0; i < P_KEYS; i++) {
		fprintf(out, "%s%s: ", i == 0 ? "  - " : "    ", provider_keys[i].key);
		if (i == P_MODELS) print_list(out, p->models);
		else if (i == P_MODEL_LIMITS) print_list(out, p->model_limits);
		else if (i == P_COMMAND) print_list(out, p->command);
		else if (i == P_ENV) print_list(out, p->env);
		else if (i == P_REQUESTS) fprintf(out, "%lld\n", (long long)p->requests_per_minute);
		else if (i == P_TOKENS) fprintf(out, "%lld\n", (long long)p->tokens_per_minute);
		else if (i == P_CONCURRENCY) fprintf(out, "%lld\n", (long long)p->concurrency);
		else if (i == P_PRIVATE) fputs(p->allow_private ? "true\n" : "false\n", out);
		else print_text(out, texts[i]), fputc('\n', out);
	}
}

void config_print(const struct config *c, FILE *out)
{
	for (size_t i = 0; i < ROWS; i++) {
		print_row(c, &rows[i], out);
		fputc('\n', out);
	}
	fputs("# who serves models, besides the built-in local:test and local:silent; a list of\n", out);
	for (size_t i = 0; i < P_KEYS; i++) fprintf(out, "#   %-12s %s\n", provider_keys[i].key, provider_keys[i].what);
	fputs(c->nproviders == 0 ? "providers: []\n" : "providers:\n", out);
	for (size_t i = 0; i < c->nproviders; i++) print_provider(&c->providers[i], out);
	fputs("\nlimits:\n", out);
	for (size_t i = 0; i < limit_count; i++) {
		const struct limit_row *l = &limit_rows[i];
		int64_t value;
		memcpy(&value, (const char *)&c->limits + l->offset, sizeof value);
		fprintf(out, "  # %s: %s (%lld to %lld)\n  %s: %lld\n", l->unit, l->what, (long long)l->lo,
			(long long)l->hi, l->key, (long long)value);
	}
}
