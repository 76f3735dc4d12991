/* The models, as devices and the machine's owner are told them. */
#include "server/call.h"
#include "server/operator.h"

void verb_model_list(struct call *c)
{
	struct jw w = call_begin(c, "model:list");
	catalog_write(c->server->catalog, &w);
	call_reply(c, &w);
}

/* GET models, which `roost models` shows. Query: all=1 what nobody serves too, live=1 the providers are asked first. */

static void models_told(void *ctx)
{
	struct ask *a = ctx;
	catalog_write_all(a->server->catalog, a->flag, &a->out);
	ask_end(a, OK, NULL);
}

void ask_models(struct server *s, struct ask *a)
{
	a->flag = str_eq(http_query(a->req, "all"), STR("1"));
	bool live = str_eq(http_query(a->req, "live"), STR("1"));
	if (!live || !catalog_look(s->catalog, 0, models_told, a)) models_told(a);
}
