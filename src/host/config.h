/* The daemon's configuration: a YAML file, then the command line over it.
 *
 * Every key stands in one table (CONFIG_MAP below, providers' keys in config.c, limits in base/limits.h). The parser,
 * the sentences about mistakes, what `roost serve --print-config` prints and the reference in docs/operations.md come
 * from it. An unknown key is an error that names its neighbours; every error names the line. Numbers are plain
 * integers, in the unit the key's name or comment says.
 *
 * A struct config owns its strings (one arena) and is not changed once the daemon runs. Not thread-safe. */
#ifndef ROOST_HOST_CONFIG_H
#define ROOST_HOST_CONFIG_H

#include "base/arena.h"
#include "base/limits.h"
#include "base/log.h"
#include "host/providers.h"

/* CFG_TEXT "" is none; CFG_PATH is text where "~/" is the home directory and a relative path is beside the file that
 * holds the key; CFG_LIST is a list of texts; CFG_FLAG true or false; CFG_LEVEL error, warn, info or debug; CFG_INT and
 * CFG_REAL are numbers with a range (of a CFG_REAL NaN is none) and CFG_WORD one of a few words: both stand in config.c;
 * CFG_PRESET is a word, or a path when it ends in .yaml or .yml; CFG_WEIGHTS a list of five numbers whose sum is 1, or
 * an empty one. */
enum config_kind {
	CFG_TEXT,
	CFG_PATH,
	CFG_LIST,
	CFG_FLAG,
	CFG_LEVEL,
	CFG_INT,
	CFG_REAL,
	CFG_WORD,
	CFG_PRESET,
	CFG_WEIGHTS
};

/*        field          key             kind       what it is */
#define CONFIG_MAP(X)                                                                                                  \
	X(data_dir, "data", CFG_PATH, "the directory that holds everything the daemon keeps")                          \
	X(listen, "listen", CFG_LIST, "addresses to listen on, ADDR:PORT each; port 0: the system chooses")            \
	X(tls_cert, "tlsCert", CFG_PATH, "PEM file with the certificate chain; with tlsKey every address speaks TLS")  \
	X(tls_key, "tlsKey", CFG_PATH, "PEM file with the certificate's key")                                          \
	X(hosts, "hosts", CFG_LIST, "Host names to answer to, besides IP addresses and localhost")                     \
	X(origins, "origins", CFG_LIST, "web origins that may use a device's cookie, besides the daemon's own")        \
	X(trust_proxy, "trustProxy", CFG_FLAG, "a proxy on this machine ends TLS: believe its X-Forwarded headers")    \
	X(deflate, "deflate", CFG_FLAG, "offer WebSocket compression (permessage-deflate)")                            \
	X(default_model, "defaultModel", CFG_TEXT,                                                                     \
	  "the model that answers when a request names none; by default the first one of the first provider")          \
	X(model_fallback, "modelFallback", CFG_LIST,                                                                   \
	  "what answers for a model that nobody serves: \"default\", or \"ASKED -> MODEL\"; by default nothing does")  \
	X(user_budget, "userBudget", CFG_TEXT,                                                                         \
	  "what one user may spend a day (UTC), in USD, as 5.00/day; by default there is no limit")                    \
	X(log_level, "logLevel", CFG_LEVEL, "what goes to stderr: error, warn, info or debug")                         \
	X(mdns, "mdns", CFG_FLAG,                                                                                      \
	  "show the daemon on the local network (_roost._tcp) when it listens beyond loopback")                        \
	X(journal, "journal", CFG_FLAG, "keep the journal of events that `roost log` reads")                           \
	X(lab_output, "labOutput", CFG_PATH,                                                                           \
	  "where experiments are kept; by default in experiments/ of the data directory")                              \
	X(lab_turns, "labTurns", CFG_INT, "turns of an experiment's conversation that names no number of them")        \
	X(lab_threshold, "labThreshold", CFG_REAL,                                                                     \
	  "convergence at which something is done; none: 0.95 when a model is called over a network, else never")      \
	X(lab_action, "labAction", CFG_WORD, "what is done there: stop, pause, notify, warn or continue")              \
	X(lab_profile, "labProfile", CFG_WORD,                                                                         \
	  "how convergence is weighed: balanced, structural, semantic, strict, or custom by labWeights")               \
	X(lab_weights, "labWeights", CFG_WEIGHTS,                                                                      \
	  "weights of content, structure, sentences, length and punctuation, in this order; their sum is 1")           \
	X(lab_awareness, "labAwareness", CFG_PRESET, "what models are told of their role: a preset or a YAML file")    \
	X(lab_redact, "labRedact", CFG_WORD, "what becomes of texts in experiments' files: off, hash, drop, mask-pii") \
	X(lab_user, "labUser", CFG_TEXT,                                                                               \
	  "the user whose devices see and stop experiments; by default the only one there is")                         \
	X(lab_notify, "labNotify", CFG_FLAG, "show a notification when an experiment ends")                            \
	X(lab_prompt_tag, "labPromptTag", CFG_TEXT, "stands before a person's prompt, for the models to see")          \
	X(lab_max_parallel, "labMaxParallel", CFG_INT, "conversations of an experiment that are held at once")         \
	X(lab_sync_ms, "labSyncMs", CFG_INT, "milliseconds in which an event is on disk at the latest")

struct config {
	struct arena memory;            /* owns every string and array below */
	const char *data_dir;           /* absolute */
	const char *const *listen;      /* NULL-terminated, at least one; so are the other lists, which may be empty */
	const char *tls_cert, *tls_key; /* "" none */
	const char *const *hosts;
	const char *const *origins;
	bool trust_proxy, deflate, mdns, journal;
	const char *default_model; /* "" the first one of the first provider */
	const char *const *model_fallback;
	const char *user_budget; /* "" none */
	enum log_level log_level;
	const char *lab_output; /* "" none */
	const char *lab_user;   /* name or id; "" the only one */
	int64_t lab_turns, lab_max_parallel, lab_sync_ms;
	double lab_threshold; /* NaN none */
	const char *lab_action, *lab_profile, *lab_awareness, *lab_redact, *lab_prompt_tag;
	const char *const *lab_weights; /* five numbers or none */
	bool lab_notify;
	const struct provider_config *providers;
	size_t nproviders;
	struct limits limits;
};

/* The built-in defaults; the data directory comes from the environment (XDG_DATA_HOME, HOME). Release it afterwards. */
void config_init(struct config *c);
void config_release(struct config *c);

/* $XDG_CONFIG_HOME/roost/roost.yaml, in the configuration's memory. */
const char *config_default_path(struct config *c);
/* Reads a file over what `c` holds. ERR_CONFIG with file and line; ERR_NOT_FOUND when there is no such file. */
MUST_USE enum err config_load(struct config *c, const char *path, struct errinfo *info);
/* The same from memory. `name` stands in the errors; relative paths are taken from its directory. */
MUST_USE enum err config_parse(struct config *c, struct str yaml, const char *name, struct errinfo *info);
/* One top-level key from the command line; a list gets `value` as its only element. Relative paths are taken from the
 * working directory. */
MUST_USE enum err config_set(struct config *c, const char *key, const char *value, struct errinfo *info);
/* What no single key can tell: half a TLS pair, an address beyond loopback without TLS or a declared proxy, … */
MUST_USE enum err config_check(const struct config *c, struct errinfo *info);
/* The whole configuration as YAML, each key after a comment that says what it is. Reading it gives `c` again. */
void config_print(const struct config *c, FILE *out);

/* Splits ADDR:PORT ("127.0.0.1:8787", "[::1]:0", "localhost:80"); false when it is not one. `addr` has no brackets. */
bool config_split_address(struct str text, struct str *out_addr, int *out_port);
bool config_is_loopback(struct str addr);

#endif
