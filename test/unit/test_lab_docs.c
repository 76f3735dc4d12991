/* docs/events.md and docs/events.schema.json are what the table of events says, and the schema takes what the writer
 * writes. `test_lab_docs --write` makes them anew. */
#include "event/lab_line.h"

#include "lab_gear.h"

#define PAGE ROOST_SOURCE_DIR "/docs/events.md"
#define SCHEMA ROOST_SOURCE_DIR "/docs/events.schema.json"
#define HEADING "## Types\n"

static struct buf read_file(const char *path)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	char piece[4096];
	FILE *f = fopen(path, "r");
	if (f == NULL) fail_msg("%s cannot be read", path);
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_add(&b, piece, n);
	(void)fclose(f);
	return b;
}

static void write_file(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "w");
	if (f == NULL || fwrite(b->p, 1, b->n, f) != b->n || fclose(f) != 0) die(74, "%s cannot be written", path);
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static const char *const kind_names[] = {
	[LK_STR] = "string",      [LK_TEXT] = "text",    [LK_INT] = "whole number",
	[LK_REAL] = "number",     [LK_BOOL] = "boolean", [LK_JSON] = "JSON",
	[LK_MESSAGE] = "message", [LK_AGENT] = "agent",  [LK_HASH] = "hash",
};

/* What stands behind its heading. */
static struct buf make_types(void)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b,
		    STR(HEADING
			"\nMade from the table in `src/event/lab.h` by `build/release/bin/test_lab_docs --write`.\n"));
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		const struct lab_row *row = &lab_rows[t];
		buf_addf(&b, "\n### %s\n\n%c%s.\n\n| field | type | what |\n|---|---|---|\n", row->name,
			 row->when[0] >= 'a' && row->when[0] <= 'z' ? row->when[0] - 32 : row->when[0], row->when + 1);
		for (size_t i = 0; i < row->nfields; i++)
			buf_addf(&b, "| `%s` | %s | %s |\n", row->fields[i].name, kind_names[row->fields[i].kind],
				 row->fields[i].what);
	}
	return b;
}

static size_t heading_of(const struct buf *page)
{
	const char *at = strstr(buf_str(page).p, "\n" HEADING);
	return at == NULL ? page->n : (size_t)(at - page->p) + 1;
}

static void the_page_has_what_the_table_says(void **state)
{
	(void)state;
	struct buf page = read_file(PAGE), types = make_types();
	size_t at = heading_of(&page);
	struct str all = buf_str(&page);
	assert_str(str_n(all.p + at, all.n - at), buf_str(&types));
	buf_release(&page);
	buf_release(&types);
}

/* ---- the schema -------------------------------------------------------------------------------------------------- */

static const char fixed_part[] =
	"{\n"
	"\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\n"
	"\"title\":\"A line of an event file of Roost's lab\",\n"
	"\"$comment\":\"Made from the table in src/event/lab.h by build/release/bin/test_lab_docs --write\",\n"
	"\"$defs\":{\n"
	"\"string\":{\"type\":[\"string\",\"null\"]},\n"
	"\"integer\":{\"type\":[\"integer\",\"null\"]},\n"
	"\"number\":{\"type\":[\"number\",\"null\"]},\n"
	"\"boolean\":{\"type\":[\"boolean\",\"null\"]},\n"
	"\"json\":{},\n"
	"\"time\":{\"type\":[\"string\",\"null\"],\"pattern\":\"^\\\\d{4}-\\\\d\\\\d-\\\\d\\\\dT\\\\d\\\\d:\\\\d\\\\d:\\\\d\\\\d\\\\.\\\\d{6}\\\\+00:00$\"},\n"
	"\"redacted\":{\"type\":\"object\",\"properties\":{\"chars\":{\"type\":\"integer\",\"minimum\":0},\"bytes\":{\"type\":\"integer\",\"minimum\":0},"
	"\"sha256\":{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{64}$\"}},\"required\":[\"chars\",\"bytes\"],\"additionalProperties\":false},\n"
	"\"text\":{\"oneOf\":[{\"$ref\":\"#/$defs/string\"},{\"$ref\":\"#/$defs/redacted\"}]},\n"
	"\"message\":{\"oneOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"properties\":{\"role\":{\"$ref\":\"#/$defs/string\"},\"content\":{\"$ref\":\"#/$defs/text\"},"
	"\"agent_id\":{\"$ref\":\"#/$defs/string\"},\"timestamp\":{\"$ref\":\"#/$defs/time\"}},\"required\":[\"role\",\"content\",\"agent_id\",\"timestamp\"],"
	"\"additionalProperties\":false}]},\n"
	"\"agent\":{\"oneOf\":[{\"type\":\"null\"},{\"type\":\"object\",\"properties\":{\"id\":{\"$ref\":\"#/$defs/string\"},\"model\":{\"$ref\":\"#/$defs/string\"},"
	"\"display_name\":{\"$ref\":\"#/$defs/text\"},\"model_display_name\":{\"$ref\":\"#/$defs/string\"},\"temperature\":{\"$ref\":\"#/$defs/number\"},"
	"\"thinking_enabled\":{\"$ref\":\"#/$defs/boolean\"},\"thinking_budget\":{\"$ref\":\"#/$defs/integer\"}},"
	"\"required\":[\"id\",\"model\",\"display_name\",\"model_display_name\",\"temperature\",\"thinking_enabled\",\"thinking_budget\"],"
	"\"additionalProperties\":false}]},\n";

static const char *const kind_defs[] = {
	[LK_STR] = "string",      [LK_TEXT] = "text",    [LK_INT] = "integer",
	[LK_REAL] = "number",     [LK_BOOL] = "boolean", [LK_JSON] = "json",
	[LK_MESSAGE] = "message", [LK_AGENT] = "agent",  [LK_HASH] = "string",
};

static void put_ref(struct jw *w, const char *def)
{
	char ref[80];
	snprintf(ref, sizeof ref, "#/$defs/%s", def);
	jw_obj(w);
	jw_kstr(w, "$ref", str_c(ref));
	jw_obj_end(w);
}

/* One line for a type; an editor folds it, and a change of the table is a change of one line. */
static void put_type(struct buf *b, const struct lab_row *row)
{
	struct jw w = JW(b);
	jw_obj(&w);
	jw_kstr(&w, "description", str_c(row->when));
	jw_kstr(&w, "type", STR("object"));
	jw_key(&w, "properties");
	jw_obj(&w);
	for (size_t i = 0; i < row->nfields; i++) {
		jw_key(&w, row->fields[i].name);
		put_ref(&w, kind_defs[row->fields[i].kind]);
	}
	jw_key(&w, "timestamp");
	put_ref(&w, "time");
	jw_kraw(&w, "event_type", STR("{\"const\":"));
	w.comma = false;
	jw_str(&w, str_c(row->name));
	buf_add_char(b, '}');
	bool has_experiment = false;
	for (size_t i = 0; i < row->nfields; i++)
		has_experiment = has_experiment || strcmp(row->fields[i].name, "experiment_id") == 0;
	if (!has_experiment) jw_kraw(&w, "experiment_id", STR("{\"$ref\":\"#/$defs/string\"}"));
	jw_kraw(&w, "seq", STR("{\"type\":\"integer\",\"minimum\":0}"));
	jw_kraw(&w, "sum", STR("{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{8}$\"}"));
	jw_obj_end(&w);
	jw_kraw(&w, "required",
		has_experiment ? STR("[\"timestamp\",\"event_type\",\"seq\",\"sum\"]")
			       : STR("[\"timestamp\",\"event_type\",\"experiment_id\",\"seq\",\"sum\"]"));
	jw_kbool(&w, "additionalProperties", false);
	jw_obj_end(&w);
}

static struct buf make_schema(void)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, str_c(fixed_part));
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		buf_addf(&b, "\"%s\":", lab_rows[t].name);
		put_type(&b, &lab_rows[t]);
		buf_add_str(&b, t + 1 < LAB_TYPE_COUNT ? STR(",\n") : STR("\n},\n\"oneOf\":[\n"));
	}
	for (int t = 0; t < LAB_TYPE_COUNT; t++)
		buf_addf(&b, "{\"$ref\":\"#/$defs/%s\"}%s\n", lab_rows[t].name,
			 t + 1 < LAB_TYPE_COUNT ? "," : "\n]\n}");
	return b;
}

static void the_schema_is_what_the_table_says(void **state)
{
	(void)state;
	struct buf file = read_file(SCHEMA), made = make_schema();
	assert_str(buf_str(&file), buf_str(&made));
	buf_release(&file);
	buf_release(&made);
}

/* ---- what the schema takes --------------------------------------------------------------------------------------- */

static bool is_type(const struct json *v, struct str name)
{
	static const char *const names[] = {
		[JSON_NONE] = "",       [JSON_NULL] = "null",  [JSON_BOOL] = "boolean", [JSON_INT] = "integer",
		[JSON_REAL] = "number", [JSON_STR] = "string", [JSON_ARR] = "array",    [JSON_OBJ] = "object",
	};
	enum json_type type = json_type(v);
	return str_eq(name, str_c(names[type])) || (type == JSON_INT && str_eq(name, STR("number")));
}

static bool has_type(const struct json *v, const struct json *types)
{
	struct str name;
	if (types == NULL) return true;
	if (json_str(types, &name)) return is_type(v, name);
	for (struct json_iter it = json_iter(types); json_next(&it);)
		if (json_str(it.val, &name) && is_type(v, name)) return true;
	return false;
}

static bool takes(const struct json *root, const struct json *schema, const struct json *v);

static bool takes_members(const struct json *root, const struct json *schema, const struct json *v)
{
	const struct json *properties = json_get(schema, "properties");
	bool others = true;
	(void)json_bool(json_get(schema, "additionalProperties"), &others);
	for (struct json_iter it = json_iter(v); json_next(&it);) {
		const struct json *of = json_getn(properties, it.key);
		if (of == NULL ? !others : !takes(root, of, it.val)) return false;
	}
	struct str name;
	for (struct json_iter it = json_iter(json_get(schema, "required")); json_next(&it);)
		if (!json_str(it.val, &name) || json_getn(v, name) == NULL) return false;
	return true;
}

/* As much of JSON Schema as ours uses, but for patterns. */
static bool takes(const struct json *root, const struct json *schema, const struct json *v)
{
	struct str ref;
	int64_t minimum, value;
	if (json_str(json_get(schema, "$ref"), &ref)) {
		assert_true(str_starts(ref, STR("#/$defs/")));
		const struct json *def = json_getn(json_get(root, "$defs"), str_n(ref.p + 8, ref.n - 8));
		assert_non_null(def);
		return takes(root, def, v);
	}
	const struct json *one_of = json_get(schema, "oneOf");
	if (one_of != NULL) {
		int n = 0;
		for (struct json_iter it = json_iter(one_of); json_next(&it);) n += takes(root, it.val, v);
		return n == 1;
	}
	if (json_get(schema, "const") != NULL && !json_equal(json_get(schema, "const"), v)) return false;
	if (json_int(json_get(schema, "minimum"), &minimum) && json_int(v, &value) && value < minimum) return false;
	return has_type(v, json_get(schema, "type")) &&
	       (json_type(v) != JSON_OBJ || json_get(schema, "properties") == NULL || takes_members(root, schema, v));
}

static bool schema_takes(const struct json *schema, struct str line)
{
	struct json_doc *doc;
	if (json_parse(line, &doc, NULL) != OK) fail_msg("%.*s", STR_ARG(line));
	bool taken = takes(schema, schema, json_root(doc));
	json_free(doc);
	return taken;
}

static void the_schema_takes_every_line_that_is_written(void **state)
{
	(void)state;
	struct buf text = read_file(SCHEMA), line = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *schema;
	assert_int_equal(json_parse(buf_str(&text), &schema, NULL), OK);
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		for (int how = SAMPLE_SET; how <= SAMPLE_ABSENT; how++) {
			for (int r = REDACT_NONE; r <= REDACT_DROP; r++) {
				struct lab_event e = sample_event((enum lab_type)t, (enum sample)how, SIZE_MAX);
				buf_clear(&line);
				lab_line_write(&line, &e, (enum redaction)r);
				if (!schema_takes(json_root(schema), buf_str(&line))) fail_msg("%s", line.p);
			}
		}
	}
	json_free(schema);
	buf_release(&text);
	buf_release(&line);
}

static void the_schema_refuses_what_is_not_written(void **state)
{
	(void)state;
#define END ",\"timestamp\":null,\"experiment_id\":null,\"seq\":1,\"sum\":\"00000000\"}"
	static const struct {
		bool ok;
		struct str line;
	} cases[] = {
		{true, STR_INIT("{\"turn_number\":1,\"event_type\":\"TurnStartEvent\"" END)},
		{false, STR_INIT("{\"turn_number\":\"1\",\"event_type\":\"TurnStartEvent\"" END)},
		{false, STR_INIT("{\"turn_number\":1.5,\"event_type\":\"TurnStartEvent\"" END)},
		{false, STR_INIT("{\"turn\":1,\"event_type\":\"TurnStartEvent\"" END)},
		{false, STR_INIT("{\"turn_number\":1,\"event_type\":\"TurnStart\"" END)},
		{false,
		 STR_INIT("{\"event_type\":\"TurnStartEvent\",\"experiment_id\":null,\"seq\":1,\"sum\":\"00000000\"}")},
		{false, STR_INIT("{\"message\":{\"role\":\"user\"},\"event_type\":\"MessageCompleteEvent\"" END)},
		{false, STR_INIT("{\"chunk\":{\"chars\":1},\"event_type\":\"MessageChunkEvent\"" END)},
	};
	struct buf text = read_file(SCHEMA);
	struct json_doc *schema;
	assert_int_equal(json_parse(buf_str(&text), &schema, NULL), OK);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(schema_takes(json_root(schema), cases[i].line), cases[i].ok);
	json_free(schema);
	buf_release(&text);
}

static void every_kind_has_a_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kind_names); i++) assert_true(kind_names[i] != NULL && kind_defs[i] != NULL);
	assert_int_equal(ARRAY_LEN(kind_names), LK_HASH + 1);
	assert_int_equal(ARRAY_LEN(kind_defs), LK_HASH + 1);
}

static int write_all(void)
{
	struct buf page = read_file(PAGE), types = make_types(), schema = make_schema();
	page.n = heading_of(&page);
	buf_add_str(&page, buf_str(&types));
	write_file(PAGE, &page);
	write_file(SCHEMA, &schema);
	buf_release(&page);
	buf_release(&types);
	buf_release(&schema);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--write") == 0) return write_all();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_has_a_name),
		cmocka_unit_test(the_page_has_what_the_table_says),
		cmocka_unit_test(the_schema_is_what_the_table_says),
		cmocka_unit_test(the_schema_takes_every_line_that_is_written),
		cmocka_unit_test(the_schema_refuses_what_is_not_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
