/* roost dimensions: the fragments that a prompt can be put together from, and the presets of awareness. */
#include "cli/cli.h"
#include "cli/term.h"
#include "lab/spec.h"

static const struct cli_option options[] = {
	{"awareness", 'w', NULL, "list the presets of --awareness instead", NULL},
	OPTION_JSON,
	OPTION_END,
};

static void print_json(const struct spec_fragment *list)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_arr(&w);
	for (const struct spec_fragment *f = list; f->name != NULL; f++) {
		jw_obj(&w);
		if (f->group != NULL) jw_kstr(&w, "group", str_c(f->group));
		jw_kstr(&w, "name", str_c(f->name));
		jw_kstr(&w, "what", str_c(f->what));
		jw_kstr(&w, "text", str_c(f->text));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_release(&b);
}

static void print_table(const struct spec_fragment *list)
{
	bool has_groups = list->group != NULL;
	struct table t;
	table_init(&t, has_groups ? 3 : 2);
	if (has_groups) table_add(&t, STR("GROUP"));
	table_add(&t, STR("NAME"));
	table_add(&t, STR("WHAT"));
	for (const struct spec_fragment *f = list; f->name != NULL; f++) {
		bool is_first = f == list || (has_groups && strcmp(f->group, f[-1].group) != 0);
		if (has_groups) table_add(&t, is_first ? str_c(f->group) : STR(""));
		table_add(&t, str_c(f->name));
		table_add(&t, str_c(f->what));
	}
	table_print(&t, stdout);
	table_release(&t);
}

static int run(struct cli *c)
{
	const struct spec_fragment *list = cli_switch(c, "awareness") ? awareness_presets : dimension_table;
	if (cli_switch(c, "json")) print_json(list);
	else print_table(list);
	return 0;
}

const struct cli_command cmd_dimensions = {
	.name = "dimensions",
	.summary = "list what an experiment's prompt can be put together from",
	.args = "",
	.about =
		"Lists the fragments that the key `dimensions` of an experiment, or `roost run --dimensions`, puts in\n"
		"front of its prompt: at most one of each group, with colons between them. --json has their texts.",
	.example = "roost dimensions\n"
		   "roost run -a local:test -b local:test --dimensions peers:philosophy:calm\n"
		   "roost dimensions --awareness --json",
	.options = options,
	.run = run,
};
