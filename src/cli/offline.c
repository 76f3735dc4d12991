#include "cli/offline.h"

#include "host/implied.h"
#include "host/kinds.h"

enum err offline_open(struct cli *c, const char *const *lines, struct offline *out)
{
	struct buf own = BUF_INIT(4096);
	const struct config *cfg = &c->config;
	*out = (struct offline){0};
	log_set_level(LOG_WARN);
	enum err e = implied_providers(&c->config, lines, &c->info);
	if (e != OK) return e;
	if (uv_loop_init(&out->loop) != 0) return err_set(&c->info, ERR_INTERNAL, "no event loop");
	out->is_open = true;
	buf_addf(&own, "%s/models.json", cfg->data_dir);
	e = providers_new(&out->loop, &cfg->limits, cfg->providers, cfg->nproviders, &out->providers, &c->info);
	if (e == OK) {
		struct catalog_options o = {.providers = out->providers,
					    .own_path = own.p,
					    .default_model = cfg->default_model,
					    .fallback = cfg->model_fallback};
		e = catalog_new(&o, &out->catalog, &c->info);
	}
	buf_release(&own);
	if (e != OK) offline_close(out);
	return e;
}

void offline_close(struct offline *o)
{
	if (!o->is_open) return;
	if (o->catalog != NULL) catalog_stop(o->catalog);
	if (o->providers != NULL) providers_free(o->providers);
	while (uv_loop_close(&o->loop) == UV_EBUSY) uv_run(&o->loop, UV_RUN_ONCE);
	if (o->catalog != NULL) catalog_free(o->catalog);
	*o = (struct offline){0};
}

static void on_listed(void *ctx) { *(bool *)ctx = true; }

/* The key that would make a known model's provider answer. */
static void say_key(struct str asked, struct errinfo *info)
{
	struct models *table = NULL;
	if (models_new(models_built_in, STR_NONE, &table, NULL) != OK) return;
	const struct model_info *about = models_resolve(table, asked);
	const struct provider_kind *kind = about != NULL ? kind_find(about->provider) : NULL;
	if (kind != NULL && kind->env[0] != NULL && !kind->is_local)
		(void)err_set(info, ERR_MODEL_UNKNOWN,
			      "%.*s is a model of %s, and there is no key for it: set %s, or run: roost keys set %s; "
			      "local:test needs none",
			      STR_ARG(about->name), kind->name, kind->env[0], kind->name);
	else if (kind != NULL && kind->is_local)
		(void)err_set(
			info, ERR_MODEL_UNKNOWN,
			"%.*s is a model for %s: tell where it is with --provider %s=%s; local:test needs nothing",
			STR_ARG(about->name), kind->name, kind->name, kind->base_url);
	models_free(table);
}

enum err offline_resolve(struct offline *o, struct str asked, struct resolved *out, struct errinfo *info)
{
	bool listed = false;
	enum err e = catalog_resolve(o->catalog, asked, out, info);
	if (e != ERR_MODEL_UNKNOWN) return e;
	if (catalog_look(o->catalog, CATALOG_AGE_MS, on_listed, &listed))
		while (!listed) uv_run(&o->loop, UV_RUN_ONCE);
	e = catalog_resolve(o->catalog, asked, out, info);
	if (e == ERR_MODEL_UNKNOWN) say_key(asked, info);
	return e;
}
