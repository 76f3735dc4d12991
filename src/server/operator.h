/* Inside the operator's routes: what operator.c and operator_*.c share. One thread, the loop's; what a command's run
 * touches is the command's own until it is done. */
#ifndef ROOST_SERVER_OPERATOR_H
#define ROOST_SERVER_OPERATOR_H

#include "server/server.h"

/* One question: a store op, and what the answer is made from. */
struct ask {
	struct task task;
	struct server *server;
	struct http_req *req; /* NULL: the client left */
	struct json_doc *doc;
	struct buf out;
	union {
		struct store_op op;
		struct cmd_pair_make make;
		struct cmd_pair_take take;
		struct cmd_revoke revoke;
	} u;
	void (*answer)(struct ask *a); /* fills out after a success */
	struct str name;               /* views of doc */
	int64_t user_no, n;
	bool flag;
	char day[16]; /* of GET usage */
	char code[PAIR_CODE_LEN + 1], token[TOKEN_LEN + 1];
	struct store_status status;
	struct jw w;
};
/* Makes the question's store op. */
void ask_op(struct ask *a, enum err (*run)(struct txn *, struct store_op *));
/* Answers with a->out, or with the error, and frees it. */
void ask_end(struct ask *a, enum err e, const struct errinfo *info);

/* The handlers of routes that stand in files of their own. */
void ask_queues(struct server *s, struct ask *a);  /* GET queue */
void ask_queue(struct server *s, struct ask *a);   /* POST queue */
void ask_history(struct server *s, struct ask *a); /* GET history */
void ask_restore(struct server *s, struct ask *a); /* POST history/restore */
void ask_models(struct server *s, struct ask *a);  /* GET models */
void ask_keys(struct server *s, struct ask *a);    /* GET keys */
void ask_usage(struct server *s, struct ask *a);   /* GET usage */
void ask_budgets(struct server *s, struct ask *a); /* GET budget */
void ask_budget(struct server *s, struct ask *a);  /* POST budget */

#endif
