/* manifest.json: an experiment's state for whoever looks from outside.
 *
 * The events are the truth; this is their summary, and what a resumption does not read. It is written whole to
 * manifest.json.new, synced and renamed, so a reader always finds one that parses. Between changes of the experiment's own
 * state it is written by time and not by event: manifest_touch costs the same whatever there is in it, and manifest_due
 * says when to write, so that writing takes at most a fiftieth of the time however many conversations there are.
 *
 * Keys and their order are Pidgin's, ours behind them. */
#ifndef ROOST_LAB_MANIFEST_H
#define ROOST_LAB_MANIFEST_H

#include "base/arena.h"
#include "base/json.h"

#define MANIFEST_FILE "manifest.json"

enum experiment_status {
	EXPERIMENT_CREATED,
	EXPERIMENT_RUNNING,
	EXPERIMENT_PAUSED,
	EXPERIMENT_COMPLETED,
	EXPERIMENT_WITH_FAILURES, /* "completed_with_failures" */
	EXPERIMENT_FAILED,
	EXPERIMENT_INTERRUPTED
};
const char *experiment_status_name(enum experiment_status s);
bool experiment_status_parse(struct str name, enum experiment_status *out);

enum lab_status { LAB_CREATED, LAB_RUNNING, LAB_COMPLETED, LAB_FAILED, LAB_INTERRUPTED };
const char *lab_status_name(enum lab_status s);
bool lab_status_parse(struct str name, enum lab_status *out);

struct manifest_tokens {
	int64_t prompt, completion, thinking;
	int64_t cost_ticks;     /* reported and made of prices together */
	int64_t reported_ticks; /* of those, what providers said */
	bool unpriced;          /* some of it nobody knows the price of */
	bool estimated;         /* some tokens were estimated */
};

#define MANIFEST_AGENTS 8
struct manifest_conversation {
	char id[16]; /* "conv_1a2b3c4d" */
	enum lab_status status;
	const char *reason; /* of conductor_reasons; NULL not over */
	char error[200];
	int64_t turns, lines, messages;
	int64_t started_ms, updated_ms, ended_ms; /* wall time, 0 not yet */
	double convergence;                       /* NaN none */
	int64_t truncations, errors, retries;
	struct manifest_tokens tokens[MANIFEST_AGENTS];
};

struct manifest {
	struct arena memory;
	struct str experiment_id, name, config; /* config: JSON */
	struct str agent_models[MANIFEST_AGENTS];
	size_t nagents;
	enum experiment_status status;
	int64_t created_ms, started_ms, completed_ms;
	char error[300];
	uint64_t seed;
	bool redacted;
	int pid; /* of the run; for people */
	struct manifest_conversation *list;
	size_t n, cap;
	size_t count[LAB_INTERRUPTED + 1]; /* by status, kept by manifest_set */
	struct manifest_tokens total;
	bool is_dirty;
	int64_t due_boot_ms, took_ms;
};

void manifest_init(struct manifest *m);
void manifest_release(struct manifest *m);
/* The conversation, created, until the next one is added: the list may move then. */
struct manifest_conversation *manifest_add(struct manifest *m, const char *id);
struct manifest_conversation *manifest_find(struct manifest *m, struct str id); /* NULL; linear */
/* A conversation's new status: counts follow. */
void manifest_set(struct manifest *m, struct manifest_conversation *c, enum lab_status status);
/* Tokens of one answer. */
void manifest_spend(struct manifest *m, struct manifest_conversation *c, int agent, const struct manifest_tokens *t);
void manifest_tokens_add(struct manifest_tokens *to, const struct manifest_tokens *t);
/* Something changed. */
void manifest_touch(struct manifest *m);
/* Conversations, also when they were not loaded. */
size_t manifest_total(const struct manifest *m);
/* When it is to be written next, boot ms; INT64_MAX: nothing to write. */
int64_t manifest_due(const struct manifest *m);

void manifest_print(const struct manifest *m, struct buf *out);
/* Writes it now. ERR_STORAGE_FULL, ERR_IO: the old one stays. */
MUST_USE enum err manifest_save(struct manifest *m, const char *dir, int64_t boot_ms, struct errinfo *info);
/* Reads one, ours or Pidgin's, over what `m` held. ERR_NOT_FOUND, ERR_BAD_JSON, ERR_IO. `with_conversations` false reads
 * everything but them, from a large file without reading all of it; the counts are there, n is 0. */
MUST_USE enum err manifest_load(struct manifest *m, const char *dir, bool with_conversations, struct errinfo *info);

#endif
