/* GET keys: what `roost keys check` shows; every provider is asked whether it takes its key. */
#include "host/keycheck.h"
#include "server/operator.h"

static void checked(void *ctx, struct str json)
{
	struct ask *a = ctx;
	buf_add_str(&a->out, json);
	ask_end(a, OK, NULL);
}

void ask_keys(struct server *s, struct ask *a) { key_check_start(s->providers, checked, a); }
