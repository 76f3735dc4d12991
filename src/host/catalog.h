/* Which models can be asked now, and what a person means by a model's name.
 *
 * A provider serves the models its configuration lists. Without such a list it serves what it tells itself: it is asked
 * at the start, for `roost models --live`, and when somebody names a model nobody serves, then at most once a minute.
 * Until it has told, any name that carries its own ("studio:qwen3") is passed on to it. What is known of a model
 * (provider/models.h) comes from the built-in table, the person's models.json in the data directory and the provider's
 * list, the first that says something.
 *
 * A name is resolved when a message is sent: exact id, alias, family; over what is served and nothing else. A request's
 * model is what it resolved to and stays that.
 *
 * Everything on the loop thread, but catalog_about and what a book says, which any may ask; what catalog_about returns
 * lives as long as the catalog. */
#ifndef ROOST_HOST_CATALOG_H
#define ROOST_HOST_CATALOG_H

#include "host/providers.h"
#include "provider/models.h"
#include "relay/defaults.h"

struct catalog;

struct catalog_options {
	struct providers *providers; /* must outlive the catalog, which it knows from now on */
	const char *own_path;        /* the person's models.json; it may be absent */
	const char *default_model;   /* "": the first chat model of the first provider that has one */
	/* Rules for models nobody serves, the first that fits: "default", "ASKED -> MODEL", ASKED may be "*". */
	const char *const *fallback; /* NULL-terminated */
};
/* ERR_CONFIG says what is wrong with models.json or a rule. */
MUST_USE enum err catalog_new(const struct catalog_options *o, struct catalog **out, struct errinfo *info);
/* Ends what is under way; who waits is told. Before providers_free. */
void catalog_stop(struct catalog *c);
void catalog_free(struct catalog *c); /* when no call is left that another thread may be making */

/* Asks the providers without a list for theirs, those whose last answer is older than max_age_ms (0: all). `done` comes
 * from the loop when all that are being asked have answered or failed; false, and no `done`, when there is nothing to
 * wait for. `done` may be NULL. */
#define CATALOG_AGE_MS 60000
bool catalog_look(struct catalog *c, int64_t max_age_ms, void (*done)(void *ctx), void *ctx);

/* What a name means. */
enum resolved_by { BY_ID, BY_ALIAS, BY_FAMILY, BY_DEFAULT, BY_FALLBACK };
struct resolved {
	char id[256]; /* "provider:wire" */
	enum resolved_by by;
};
/* `asked`: STR_NONE is the default. ERR_MODEL_UNKNOWN names what is near. */
MUST_USE enum err catalog_resolve(const struct catalog *c, struct str asked, struct resolved *out,
				  struct errinfo *info);
const char *resolved_by_name(enum resolved_by by);

/* What is known of a provider's model; NULL nothing. `index` is the provider's. */
const struct model_info *catalog_about(struct catalog *c, int index, struct str wire);

/* The catalog for who reads people's defaults. */
struct model_book catalog_book(struct catalog *c);

/* "models":[{"id","provider","default", and what model_write says}]: what is served, as a member for devices. */
void catalog_write(const struct catalog *c, struct jw *w);
/* For the machine's owner the whole object, with "configured" and "chat" in each, and "providers":[{"name","listedAt",
 * "error"}] behind them. `all`: also what nobody serves and what is not for conversations. */
void catalog_write_all(const struct catalog *c, bool all, struct buf *out);

#endif
