/* What `roost monitor` shows: experiments, the conversations of one, errors, the relay's queues; which of them, in which
 * order, and where the cursor is.
 *
 * The model is told everything: what there is on disk (monitor_watch.h reads it), what time it is, what key was pressed.
 * It neither reads nor draws, so all of it is tested without a terminal. Texts are kept as they came; drawing cleans them
 * (monitor_canvas.h). One thread. */
#ifndef ROOST_CLI_MONITOR_MODEL_H
#define ROOST_CLI_MONITOR_MODEL_H

#include <uthash.h>

#include "event/lab.h"
#include "lab/look.h"
#include "lab/place.h"

/* ---- experiments ------------------------------------------------------------------------------------------------ */

struct monitor_row {
	char *dir, *name;
	char id[32];
	int64_t changed_ms; /* wall time */
	enum { ROW_UNREAD, ROW_READ, ROW_DAMAGED } is;
	bool runs; /* somebody has its lock */
	bool is_killed;
	enum experiment_status status;
	size_t count[LAB_INTERRUPTED + 1]; /* conversations by status */
	int64_t turns, messages;           /* of all conversations; -1 unknown */
	int64_t left_turns, max_turns;     /* at most; 0 unknown */
	struct manifest_tokens total;
	int64_t started_ms, completed_ms; /* wall time, 0 not yet */
	char *models;                     /* "a, b"; NULL unknown */
	char error[200];                  /* its own, or why it cannot be read */
	struct {
		int64_t boot_ms, turns;
	} since, middle; /* what its speed is measured from, and what comes after that */

	int64_t file_ns, file_bytes, file_inode; /* the manifest that was read */
	int64_t due_boot_ms;                     /* it is not read again before */
	uint64_t seen;                           /* the listing that had it */
	UT_hash_handle hh;                       /* by dir */
};

/* ---- the others ------------------------------------------------------------------------------------------------- */

enum error_outcome { ERROR_PENDING, ERROR_RETRYING, ERROR_RESOLVED, ERROR_FINAL };
struct monitor_error {
	int64_t at_ms; /* wall time */
	char experiment[32], conversation[16], agent[16];
	char provider[40], type[40], text[240];
	enum error_outcome outcome;
};
#define MONITOR_ERRORS 200 /* kept, the newest */

enum monitor_message_kind { MESSAGE_SAID, MESSAGE_TOLD, MESSAGE_ERROR };
struct monitor_message {
	enum monitor_message_kind is;
	int64_t at_ms; /* wall time, 0 unknown */
	char who[32];
	char *text;
};
#define MONITOR_MESSAGES 100
#define MONITOR_TEXT_MAX ((size_t)16 << 10) /* bytes of one that are kept */

struct monitor_queue {
	char session[40], user[40];
	bool is_paused;
	int64_t running, waiting, dead;
};
#define MONITOR_QUEUES 100
struct monitor_relay {
	enum { RELAY_UNKNOWN, RELAY_NONE, RELAY_UP } is;
	char why[160]; /* RELAY_NONE */
	int64_t running, waiting, dead;
	size_t n, all;
	struct monitor_queue list[MONITOR_QUEUES];
};

/* ---- the model -------------------------------------------------------------------------------------------------- */

enum monitor_panel { PANEL_EXPERIMENTS, PANEL_CONVERSATIONS, PANEL_ERRORS, PANEL_RELAY, PANEL_COUNT };
enum monitor_only { ONLY_ALL, ONLY_RUNNING, ONLY_COMPLETED, ONLY_FAILED, ONLY_INTERRUPTED, ONLY_COUNT };
enum monitor_order { ORDER_NEWEST, ORDER_NAME, ORDER_TOKENS, ORDER_COST, ORDER_COUNT };
extern const char *const monitor_only_names[ONLY_COUNT], *const monitor_order_names[ORDER_COUNT];

#define MONITOR_FILTER 64
struct monitor_list {
	size_t n, at, top, page; /* entries shown, the chosen one, the first on the screen, how many fit there */
	char filter[MONITOR_FILTER];
	enum monitor_only only;
};

#define RATE_SECONDS 60
struct monitor {
	int64_t boot_ms, wall_ms, begun_boot_ms;
	const char *output;
	char trouble[240]; /* why experiments cannot be listed; "" */
	bool is_listed;

	struct monitor_row *by_dir, **rows, **shown;
	size_t nrows, rows_cap, nunread;
	bool is_unsorted;
	uint64_t listing;
	struct monitor_row *chosen; /* the one under the cursor; NULL none */
	bool is_moved;              /* somebody put the cursor there; else it is on the first one, whichever that is */

	struct manifest manifest; /* with the conversations of manifest_of */
	const struct monitor_row *manifest_of;
	uint32_t *conversations; /* indexes into manifest.list, as they are shown */

	struct monitor_error errors[MONITOR_ERRORS]; /* the newest first */
	size_t nerrors;
	size_t errors_shown[MONITOR_ERRORS];

	struct monitor_relay relay;

	bool in_messages, is_help, is_typing; /* what is on the screen; typing a filter */
	char asked[32];                       /* the experiment whose stop has to be confirmed; "" none */
	struct monitor_row *messages_of;
	char conversation[16]; /* whose messages are shown */
	struct monitor_message messages[MONITOR_MESSAGES];
	size_t nmessages;
	size_t lines_up, lines_page; /* scrolled up so far; lines on the screen */

	enum monitor_panel focus;
	enum monitor_order order;
	struct monitor_list list[PANEL_COUNT];

	char notice[240];
	bool notice_is_bad;
	int64_t notice_until_ms; /* boot time */

	struct {
		int64_t second, tokens, messages, conversations;
	} rate[RATE_SECONDS]; /* by boot second */
};

void monitor_init(struct monitor *m, const char *output, int64_t boot_ms, int64_t wall_ms);
void monitor_release(struct monitor *m);
void monitor_clock(struct monitor *m, int64_t boot_ms, int64_t wall_ms);

/* What there is. Rows that are gone go; pointers to the others stay good. */
void monitor_put_list(struct monitor *m, const struct place_list *l);
/* Those that run, some of which may be new. */
void monitor_put_running(struct monitor *m, const struct place_list *l);
/* What a row's manifest says. `l` keeps what is its own. */
void monitor_put_look(struct monitor *m, struct monitor_row *r, const struct look *l);
void monitor_put_damaged(struct monitor *m, struct monitor_row *r, const char *why);
/* Takes the manifest over, with conversations. */
void monitor_put_conversations(struct monitor *m, const struct monitor_row *r, struct manifest *taken);
/* An event of an experiment that runs: errors, and what became of them. */
void monitor_put_event(struct monitor *m, const struct monitor_row *r, const struct lab_event *e);
/* An event of the conversation whose messages are shown. */
void monitor_put_message(struct monitor *m, const struct lab_event *e);
void monitor_forget_messages(struct monitor *m);
void monitor_put_relay(struct monitor *m, const struct monitor_relay *r);
void monitor_say(struct monitor *m, bool is_bad, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* After a change: what is shown, and where the cursors are in it. */
void monitor_arrange(struct monitor *m);
/* So many entries of a panel fit on the screen. */
void monitor_fit(struct monitor *m, enum monitor_panel p, size_t page);
const struct monitor_row *monitor_row_of(const struct monitor *m, const char *id);           /* NULL: gone */
const struct manifest_conversation *monitor_conversation(const struct monitor *m, size_t i); /* of those shown */

/* ---- figures ---------------------------------------------------------------------------------------------------- */

struct monitor_sum {
	size_t experiments, running, paused, damaged, unread;
	size_t conversations, done, failed; /* done: over, whatever its end */
	size_t live_done, live;             /* the same of experiments that run */
	struct manifest_tokens tokens;
	int64_t eta_ms; /* of all that run; -1 unknown */
};
struct monitor_sum monitor_sum(const struct monitor *m);
/* Per minute, from what changed while the monitor looked; -1: it has looked too short a time. */
struct monitor_rates {
	double tokens, messages, conversations;
};
struct monitor_rates monitor_rates(const struct monitor *m);
/* Until its end when it goes on like this and no conversation ends early; -1 unknown. */
int64_t monitor_eta_ms(const struct monitor *m, const struct monitor_row *r);
size_t monitor_row_total(const struct monitor_row *r);
size_t monitor_row_done(const struct monitor_row *r);
const char *monitor_row_words(const struct monitor_row *r); /* its status, at most 13 columns */

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/* A character, or one of these. */
enum {
	MK_UP = -100,
	MK_DOWN,
	MK_PAGE_UP,
	MK_PAGE_DOWN,
	MK_HOME,
	MK_END,
	MK_TAB,
	MK_BACK_TAB,
	MK_ENTER,
	MK_ESCAPE,
	MK_BACKSPACE,
	MK_REDRAW
};
struct monitor_wish {
	enum { WISH_NONE, WISH_QUIT, WISH_TELL, WISH_REDRAW } is;
	enum place_ask ask;            /* WISH_TELL */
	const struct monitor_row *row; /* whom */
};
/* Does what the key means for what is shown; the wish is what is left to do. */
struct monitor_wish monitor_key(struct monitor *m, int32_t key);

#endif
