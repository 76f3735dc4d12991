/* Lines of event files: written and read back, redacted, and as Pidgin wrote them. */
#include "lab_gear.h"

#include "base/hash.h"
#include "event/line.h"

static struct buf write_line(const struct lab_event *e, enum redaction r)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	lab_line_write(&b, e, r);
	assert_true(b.n > 0 && b.p[b.n - 1] == '\n');
	assert_ptr_equal(memchr(b.p, '\n', b.n), b.p + b.n - 1);
	return b;
}

static struct str without_newline(const struct buf *b) { return str_n(b->p, b->n - 1); }

static void assert_reads_back(const struct lab_event *e)
{
	struct arena arena = {0};
	struct lab_event back;
	struct errinfo info = {0};
	struct buf line = write_line(e, REDACT_NONE);
	if (lab_line_read(&arena, without_newline(&line), &back, &info) != OK) fail_msg("%s: %s", info.text, line.p);
	assert_same_event(e, &back);
	arena_clear(&arena);
	buf_release(&line);
}

static void every_event_reads_back_with_each_field_set_null_and_absent(void **state)
{
	(void)state;
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		for (size_t i = 0; i <= lab_rows[t].nfields; i++) {
			struct lab_event null = sample_event((enum lab_type)t, SAMPLE_NULL, i),
					 absent = sample_event((enum lab_type)t, SAMPLE_ABSENT, i);
			assert_reads_back(&null);
			assert_reads_back(&absent);
		}
		struct lab_event full = sample_event((enum lab_type)t, SAMPLE_SET, 0);
		assert_reads_back(&full);
	}
}

static void agents_and_messages_without_anything_read_back(void **state)
{
	(void)state;
	const struct lab_agent agent = {.temperature = (double)NAN, .thinking_budget = INT64_MIN};
	const struct lab_message message = {.content = STR_INIT("")};
	struct lab_event e = {.type = LE_CONVERSATION_START, .seq = 1};
	e.v[LF(ConversationStartEvent, agent_a)] = lv_agent(&agent);
	assert_reads_back(&e);
	e = (struct lab_event){.type = LE_MESSAGE_COMPLETE, .seq = 1};
	e.v[LF(MessageCompleteEvent, message)] = lv_message(&message);
	assert_reads_back(&e);
}

static void a_line_is_as_its_readers_know_it(void **state)
{
	(void)state;
	struct lab_event e = {.type = LE_TURN_START, .at_us = SAMPLE_US, .seq = 12};
	e.v[LF(TurnStartEvent, conversation_id)] = lv_str(STR("conv_1a2b3c4d"));
	e.v[LF(TurnStartEvent, turn_number)] = lv_int(3);
	struct buf b = write_line(&e, REDACT_NONE);
	static const char expected[] = "{\"conversation_id\":\"conv_1a2b3c4d\",\"turn_number\":3,"
				       "\"timestamp\":\"2026-01-02T03:04:05.678901+00:00\","
				       "\"event_type\":\"TurnStartEvent\",\"experiment_id\":null,\"seq\":12,\"sum\":\"";
	assert_memory_equal(b.p, expected, sizeof expected - 1);
	assert_int_equal(b.n, sizeof expected - 1 + 8 + 3);
	assert_int_equal(line_check_sum(without_newline(&b)), LINE_SUM_RIGHT);
	buf_release(&b);
}

/* Fields in the table's order, then timestamp, event_type, experiment_id unless it is a field, seq, sum. */
static void keys_stand_in_the_tables_order(void **state)
{
	(void)state;
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		const struct lab_row *row = &lab_rows[t];
		struct lab_event e = sample_event((enum lab_type)t, SAMPLE_SET, 0);
		struct buf b = write_line(&e, REDACT_NONE);
		struct json_doc *doc;
		size_t i = 0, rest = 0;
		bool has_experiment = false;
		assert_int_equal(json_parse(without_newline(&b), &doc, NULL), OK);
		for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
			static const char *const ends[] = {"timestamp", "event_type", "experiment_id", "seq", "sum"};
			if (i < row->nfields) {
				has_experiment = has_experiment || str_eq(it.key, STR("experiment_id"));
				assert_str(it.key, str_c(row->fields[i++].name));
				continue;
			}
			if (has_experiment && rest == 2) rest++;
			assert_true(rest < ARRAY_LEN(ends));
			assert_str(it.key, str_c(ends[rest++]));
		}
		assert_int_equal(rest, 5);
		json_free(doc);
		buf_release(&b);
	}
}

static void types_are_found_with_and_without_their_ending(void **state)
{
	(void)state;
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		struct str name = str_c(lab_rows[t].name);
		enum lab_type found = LAB_TYPE_COUNT;
		assert_true(lab_type_find(name, &found));
		assert_int_equal(found, t);
		if (t == LE_CONVERSATION_CREATED) continue;
		found = LAB_TYPE_COUNT;
		assert_true(lab_type_find(str_n(name.p, name.n - 5), &found));
		assert_int_equal(found, t);
	}
	enum lab_type none;
	assert_false(lab_type_find(STR("NoSuchEvent"), &none));
	assert_false(lab_type_find(STR(""), &none));
	assert_false(lab_type_find(STR("Turn"), &none));
}

static void broken_characters_do_not_break_the_line(void **state)
{
	(void)state;
	static const struct {
		struct str in, out;
	} cases[] = {
		{STR_INIT("a\xff"
			  "b"),
		 STR_INIT("a\xef\xbf\xbd"
			  "b")},
		{STR_INIT("\xe2\x82"), STR_INIT("\xef\xbf\xbd\xef\xbf\xbd")},
		{STR_INIT("\xe2\x82"
			  "A\xe2\x82\xac"),
		 STR_INIT("\xef\xbf\xbd\xef\xbf\xbd"
			  "A\xe2\x82\xac")},
		{STR_INIT("\xed\xa0\x80"), STR_INIT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
		{STR_INIT("ok\xf0\x9f\x90\xa6\xf0\x9f\x90"),
		 STR_INIT("ok\xf0\x9f\x90\xa6\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct lab_event e = {.type = LE_ERROR, .seq = 1}, back;
		e.v[LF(ErrorEvent, error_message)] = lv_str(cases[i].in);
		struct buf b = write_line(&e, REDACT_NONE);
		assert_int_equal(lab_line_read(&arena, without_newline(&b), &back, NULL), OK);
		assert_str(lab_str(&back, LF(ErrorEvent, error_message)), cases[i].out);
		buf_release(&b);
		arena_clear(&arena);
	}
}

static void json_with_newlines_stays_one_line(void **state)
{
	(void)state;
	struct lab_event e = {.type = LE_CONVERSATION_START, .seq = 1}, back;
	struct arena arena = {0};
	e.v[LF(ConversationStartEvent, config)] = lv_json(STR("{\n\t\"max_turns\": 3\n}"));
	struct buf b = write_line(&e, REDACT_NONE);
	assert_int_equal(lab_line_read(&arena, without_newline(&b), &back, NULL), OK);
	assert_str(lab_str(&back, LF(ConversationStartEvent, config)), STR("{\"max_turns\":3}"));
	buf_release(&b);
	arena_clear(&arena);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void a_line_with_any_byte_changed_or_missing_is_refused(void **state)
{
	(void)state;
	struct lab_event e = sample_event(LE_MESSAGE_COMPLETE, SAMPLE_SET, 0), back;
	struct buf b = write_line(&e, REDACT_NONE);
	struct str line = without_newline(&b);
	struct arena arena = {0};
	for (size_t i = 0; i < line.n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
			assert_int_not_equal(lab_line_read(&arena, line, &back, NULL), OK);
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
		}
		assert_int_not_equal(lab_line_read(&arena, str_n(line.p, i), &back, NULL), OK);
		if (i > 0) assert_int_not_equal(lab_line_read(&arena, str_n(line.p + i, line.n - i), &back, NULL), OK);
		arena_clear(&arena);
	}
	buf_release(&b);
}

static void what_is_wrong_with_a_line_has_a_name(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum err err;
	} cases[] = {
		{"", ERR_BAD_JSON},
		{"nonsense", ERR_BAD_JSON},
		{"{\"event_type\":\"TurnStartEvent\"", ERR_BAD_JSON},
		{"[1]", ERR_BAD_JSON},
		{"null", ERR_BAD_JSON},
		{"{}", ERR_UNKNOWN_TYPE},
		{"{\"event_type\":7}", ERR_UNKNOWN_TYPE},
		{"{\"event_type\":\"FutureEvent\",\"timestamp\":\"2026-01-02T03:04:05+00:00\"}", ERR_UNKNOWN_TYPE},
		{"{\"event_type\":\"TurnStartEvent\",\"seq\":3}", ERR_CORRUPT},
		{"{\"event_type\":\"TurnStartEvent\",\"sum\":\"00000000\"}", ERR_CORRUPT},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct lab_event e;
		struct errinfo info = {0};
		assert_int_equal(lab_line_read(&arena, str_c(cases[i].line), &e, &info), cases[i].err);
		assert_int_equal(info.err, cases[i].err);
		assert_int_equal(e.type, LAB_TYPE_COUNT);
		if (i == 7) assert_int_equal(e.at_us, 1767323045000000);
		arena_clear(&arena);
	}
}

/* ---- redaction --------------------------------------------------------------------------------------------------- */

static const char canary[] = "canary";

/* Every text of an event, with JSON that holds some where texts may be. */
static struct lab_event event_with_texts(enum lab_type type)
{
	static const struct str json =
		STR_INIT("{\"max_turns\":3,\"initial_prompt\":\"canary\",\"prompt_tag\":\"canary\","
			 "\"agents\":[{\"display_name\":\"canary\",\"model\":\"m\"}],"
			 "\"prompt\":{\"from\":\"canary\",\"to\":[\"canary\"]},"
			 "\"turn\":{\"content\":\"canary\",\"sha256\":\"5ca1ab1e\"}}");
	struct lab_event e = sample_event(type, SAMPLE_SET, 0);
	for (size_t i = 0; i < lab_rows[type].nfields; i++) {
		if (lab_rows[type].fields[i].kind == LK_TEXT) e.v[i] = lv_str(STR("canary \xf0\x9f\x90\xa6"));
		if (lab_rows[type].fields[i].kind == LK_JSON) e.v[i] = lv_json(json);
		if (lab_rows[type].fields[i].kind == LK_HASH) e.v[i] = lv_str(STR("5ca1ab1e"));
	}
	return e;
}

static bool has(const struct buf *b, const char *text) { return memmem(b->p, b->n, text, strlen(text)) != NULL; }

static void no_text_is_left_where_it_is_hashed_or_dropped(void **state)
{
	(void)state;
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		struct lab_event e = event_with_texts((enum lab_type)t), back;
		struct arena arena = {0};
		for (int r = REDACT_HASH; r <= REDACT_DROP; r++) {
			struct buf b = write_line(&e, (enum redaction)r);
			if (has(&b, canary)) fail_msg("%s", b.p);
			if (r == REDACT_DROP && (has(&b, "5ca1ab1e") || has(&b, "sha256"))) fail_msg("%s", b.p);
			assert_int_equal(lab_line_read(&arena, without_newline(&b), &back, NULL), OK);
			for (size_t i = 0; i < lab_rows[t].nfields; i++) {
				enum lab_kind kind = lab_rows[t].fields[i].kind;
				if (kind == LK_TEXT) assert_int_equal(back.v[i].is, LV_ABSENT);
				if (kind == LK_MESSAGE) assert_null(back.v[i].u.message->content.p);
				if (kind == LK_AGENT) assert_null(back.v[i].u.agent->display_name.p);
				if (kind == LK_AGENT) assert_str(back.v[i].u.agent->model_display_name, STR("Test"));
				if (kind == LK_JSON)
					assert_non_null(
						memmem(back.v[i].u.s.p, back.v[i].u.s.n, "\"max_turns\":3", 13));
			}
			arena_clear(&arena);
			buf_release(&b);
		}
		struct buf open = write_line(&e, REDACT_NONE);
		for (size_t i = 0; i < lab_rows[t].nfields; i++)
			if (lab_rows[t].fields[i].kind == LK_TEXT) assert_true(has(&open, canary));
		buf_release(&open);
	}
}

static void lengths_and_hashes_stand_for_texts(void **state)
{
	(void)state;
	unsigned char hash[SHA256_LEN];
	char hex[SHA256_HEX_LEN + 1], expected[200];
	struct str text = STR("canary \xf0\x9f\x90\xa6");
	struct lab_event e = {.type = LE_NAME_CHOSEN, .seq = 1};
	e.v[LF(NameChosenEvent, chosen_name)] = lv_str(text);
	e.v[LF(NameChosenEvent, previous_name)] = lv_str(STR_NONE);
	sha256(text, hash);
	hex_encode(hash, SHA256_LEN, hex);
	struct buf b = write_line(&e, REDACT_HASH);
	snprintf(expected, sizeof expected,
		 "\"chosen_name\":{\"chars\":8,\"bytes\":11,\"sha256\":\"%s\"},\"previous_name\":null", hex);
	assert_true(has(&b, expected));
	buf_release(&b);
	b = write_line(&e, REDACT_DROP);
	assert_true(has(&b, "\"chosen_name\":{\"chars\":8,\"bytes\":11},\"previous_name\":null"));
	buf_release(&b);
}

static void masked_texts_stay_but_for_what_is_private(void **state)
{
	(void)state;
	const struct lab_message message = {.role = STR_INIT("user"),
					    .content = STR_INIT("write to canary@example.com\nnow")};
	struct lab_event e = {.type = LE_MESSAGE_COMPLETE, .seq = 1}, back;
	struct arena arena = {0};
	e.v[LF(MessageCompleteEvent, message)] = lv_message(&message);
	struct buf b = write_line(&e, REDACT_MASK);
	assert_int_equal(lab_line_read(&arena, without_newline(&b), &back, NULL), OK);
	assert_str(lab_message(&back, LF(MessageCompleteEvent, message))->content, STR("write to [email]\nnow"));
	buf_release(&b);
	arena_clear(&arena);
}

static void redactions_have_names(void **state)
{
	(void)state;
	enum redaction r = REDACT_NONE;
	for (int i = REDACT_NONE; i <= REDACT_DROP; i++) {
		assert_true(redaction_parse(str_c(redaction_name((enum redaction)i)), &r));
		assert_int_equal(r, i);
	}
	assert_true(redaction_parse(STR("mask-pii"), &r));
	assert_int_equal(r, REDACT_MASK);
	assert_false(redaction_parse(STR("mask"), &r));
}

/* ---- Pidgin's ---------------------------------------------------------------------------------------------------- */

/* The fixture's line with that number, from 1. */
static struct lab_event read_pidgin(struct arena *arena, int number)
{
	static char text[32 << 10];
	FILE *f = fopen(ROOST_SOURCE_DIR "/test/unit/fixtures/pidgin_events.jsonl", "r");
	struct lab_event e;
	struct errinfo info = {0};
	assert_non_null(f);
	for (int i = 0; i < number; i++) assert_non_null(fgets(text, sizeof text, f));
	(void)fclose(f);
	if (lab_line_read(arena, str_n(text, strcspn(text, "\n")), &e, &info) != OK)
		fail_msg("%d: %s", number, info.text);
	assert_int_equal(e.seq, 0);
	assert_true(e.at_us > 0);
	return e;
}

static void pidgins_start_is_read(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lab_event e = read_pidgin(&arena, 3);
	assert_int_equal(e.type, LE_CONVERSATION_START);
	assert_int_equal(e.at_us, 1752484321000611);
	assert_str(e.experiment_id, STR("experiment_c81d0b77"));
	assert_str(lab_str(&e, LF(ConversationStartEvent, initial_prompt)),
		   STR("Let's talk about caf\xc3\xa9s \xf0\x9f\x90\xa6"));
	assert_int_equal(lab_int(&e, LF(ConversationStartEvent, max_turns), 0), 2);
	assert_int_equal(e.v[LF(ConversationStartEvent, temperature_a)].is, LV_NULL);
	const struct lab_agent *a = lab_agent(&e, LF(ConversationStartEvent, agent_a)),
			       *b = lab_agent(&e, LF(ConversationStartEvent, agent_b));
	assert_str(a->model, STR("claude-sonnet-4"));
	assert_real(a->temperature, 0.7);
	assert_true(a->thinking_enabled && a->thinking_budget == 10000);
	assert_true(isnan(b->temperature) && !b->thinking_enabled && b->thinking_budget == INT64_MIN);
	arena_clear(&arena);
}

static void pidgins_messages_have_times_without_a_zone(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lab_event e = read_pidgin(&arena, 7);
	const struct lab_message *m = lab_message(&e, LF(MessageCompleteEvent, message));
	assert_str(m->content, STR("Gladly.\n\nWhich city?"));
	assert_str(m->agent_id, STR("agent_a"));
	assert_int_equal(m->at_us, 1752491522312006);
	assert_int_equal(lab_int(&e, LF(MessageCompleteEvent, completion_tokens), -1), 7);
	assert_int_equal(lab_int(&e, LF(MessageCompleteEvent, turn_number), -1), -1);
	assert_null(e.experiment_id.p);
	arena_clear(&arena);
}

static void pidgins_turn_is_kept_as_it_is(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lab_event e = read_pidgin(&arena, 13);
	struct json_doc *doc;
	struct str s = STR_NONE;
	assert_int_equal(e.v[LF(TurnCompleteEvent, convergence_score)].is, LV_NULL);
	assert_int_equal(json_parse(lab_str(&e, LF(TurnCompleteEvent, turn)), &doc, NULL), OK);
	assert_true(json_str(json_get(json_get(json_root(doc), "agent_b_message"), "content"), &s));
	assert_str(s, STR("Vienna, of course."));
	json_free(doc);
	arena_clear(&arena);
}

static void pidgins_old_events_have_their_fields_in_data(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lab_event e = read_pidgin(&arena, 19);
	assert_int_equal(e.type, LE_CONVERSATION_CREATED);
	assert_str(lab_str(&e, LF(ConversationCreated, conversation_id)), STR("conv_0badcafe"));
	assert_str(lab_str(&e, LF(ConversationCreated, experiment_id)), STR("exp_11223344"));
	assert_int_equal(e.at_us, 1746208800250000);
	e = read_pidgin(&arena, 20);
	assert_int_equal(e.type, LE_TURN_COMPLETE);
	assert_int_equal(lab_int(&e, LF(TurnCompleteEvent, turn_number), -1), 4);
	assert_real(lab_real(&e, LF(TurnCompleteEvent, convergence_score)), 0.25);
	assert_int_equal(e.at_us, 1746208809000000);
	arena_clear(&arena);
}

static void every_line_of_pidgin_is_read_with_its_type(void **state)
{
	(void)state;
	static const enum lab_type types[] = {
		LE_SYSTEM_PROMPT,         LE_SYSTEM_PROMPT,     LE_CONVERSATION_START,   LE_TURN_START,
		LE_MESSAGE_REQUEST,       LE_THINKING_COMPLETE, LE_MESSAGE_COMPLETE,     LE_TOKEN_USAGE,
		LE_RATE_LIMIT_PACE,       LE_API_ERROR,         LE_PROVIDER_TIMEOUT,     LE_MESSAGE_COMPLETE,
		LE_TURN_COMPLETE,         LE_CONTEXT_LIMIT,     LE_INTERRUPT_REQUEST,    LE_CONVERSATION_PAUSED,
		LE_CONVERSATION_BRANCHED, LE_CONVERSATION_END,  LE_CONVERSATION_CREATED, LE_TURN_COMPLETE,
	};
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct arena arena = {0};
		struct lab_event e = read_pidgin(&arena, (int)i + 1);
		assert_int_equal(e.type, types[i]);
		if (i < 18) assert_str(lab_str(&e, 0), STR("conv_5f0c2a9e"));
		arena_clear(&arena);
	}
}

static void what_python_writes_and_json_has_not_is_read(void **state)
{
	(void)state;
	static const struct {
		struct str line, text;
	} cases[] = {
		{STR_INIT(
			 "{\"event_type\":\"ErrorEvent\",\"x\":[NaN,-Infinity,Infinity,{\"NaN\":NaN}],\"error_message\":\"NaN Infinity\"}"),
		 STR_INIT("NaN Infinity")},
		{STR_INIT("{\"event_type\":\"ErrorEvent\",\"x\":NaN,\"error_message\":\"a \\\" NaN \\\\\"}"),
		 STR_INIT("a \" NaN \\")},
		{STR_INIT("{\"event_type\":\"ErrorEvent\",\"error_message\":\"a\\ud83d b\\udc26\"}"),
		 STR_INIT("a\xef\xbf\xbd b\xef\xbf\xbd")},
		{STR_INIT("{\"event_type\":\"ErrorEvent\",\"error_message\":\"\\ud83d\\ud83d\\udc26\\u00e9\"}"),
		 STR_INIT("\xef\xbf\xbd\xf0\x9f\x90\xa6\xc3\xa9")},
		{STR_INIT("{\"event_type\":\"ErrorEvent\",\"error_message\":\"crlf\"}\r"), STR_INIT("crlf")},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct lab_event e;
		assert_int_equal(lab_line_read(&arena, cases[i].line, &e, NULL), OK);
		assert_str(lab_str(&e, LF(ErrorEvent, error_message)), cases[i].text);
		arena_clear(&arena);
	}
}

static void values_of_another_type_are_absent(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct lab_event e;
	struct str line =
		STR("{\"event_type\":\"APIErrorEvent\",\"error_type\":5,\"retryable\":\"yes\",\"retry_count\":1.5,"
		    "\"agent_id\":{\"a\":1},\"partial_bytes\":3.0,\"timestamp\":\"yesterday\",\"more\":[{}]}");
	assert_int_equal(lab_line_read(&arena, line, &e, NULL), OK);
	assert_int_equal(e.v[LF(APIErrorEvent, error_type)].is, LV_ABSENT);
	assert_int_equal(e.v[LF(APIErrorEvent, retryable)].is, LV_ABSENT);
	assert_int_equal(e.v[LF(APIErrorEvent, retry_count)].is, LV_ABSENT);
	assert_int_equal(e.v[LF(APIErrorEvent, agent_id)].is, LV_ABSENT);
	assert_int_equal(lab_int(&e, LF(APIErrorEvent, partial_bytes), 0), 3);
	assert_int_equal(e.at_us, 0);
	arena_clear(&arena);
}

static void times_are_read_to_the_microsecond_in_any_zone(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t us;
	} cases[] = {
		{"2026-01-02T03:04:05.678901+00:00", SAMPLE_US},
		{"2026-01-02T03:04:05.678901Z", SAMPLE_US},
		{"2026-01-02T03:04:05.678901", SAMPLE_US},
		{"2026-01-02 03:04:05.678901", SAMPLE_US},
		{"2026-01-02T05:34:05.678901+02:30", SAMPLE_US},
		{"2026-01-01T19:04:05.678901-08:00", SAMPLE_US},
		{"2026-01-02T03:04:05.6789", SAMPLE_US - 1},
		{"2026-01-02T03:04:05.678901999Z", SAMPLE_US},
		{"2026-01-02T03:04:05", SAMPLE_US - 678901},
		{"2026-01-02T03:04:05+00:00", SAMPLE_US - 678901},
		{"2026-01-02T03:04", 0},
		{"2026-13-02T03:04:05", 0},
		{"2026-01-02T03:04:05.678901 and much more of it than a time can have", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct lab_event e;
		char line[300];
		snprintf(line, sizeof line, "{\"event_type\":\"ErrorEvent\",\"timestamp\":\"%s\"}", cases[i].text);
		assert_int_equal(lab_line_read(&arena, str_c(line), &e, NULL), OK);
		assert_int_equal(e.at_us, cases[i].us);
		arena_clear(&arena);
	}
}

static void agents_have_ids(void **state)
{
	(void)state;
	assert_int_equal(lab_agent_find(STR("agent_a")), 0);
	assert_int_equal(lab_agent_find(STR("agent_h")), 7);
	assert_int_equal(lab_agent_find(STR("agent_i")), -1);
	assert_int_equal(lab_agent_find(STR("human")), -1);
	assert_int_equal(lab_agent_find(STR_NONE), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_reads_back_with_each_field_set_null_and_absent),
		cmocka_unit_test(agents_and_messages_without_anything_read_back),
		cmocka_unit_test(a_line_is_as_its_readers_know_it),
		cmocka_unit_test(keys_stand_in_the_tables_order),
		cmocka_unit_test(types_are_found_with_and_without_their_ending),
		cmocka_unit_test(broken_characters_do_not_break_the_line),
		cmocka_unit_test(json_with_newlines_stays_one_line),
		cmocka_unit_test(a_line_with_any_byte_changed_or_missing_is_refused),
		cmocka_unit_test(what_is_wrong_with_a_line_has_a_name),
		cmocka_unit_test(no_text_is_left_where_it_is_hashed_or_dropped),
		cmocka_unit_test(lengths_and_hashes_stand_for_texts),
		cmocka_unit_test(masked_texts_stay_but_for_what_is_private),
		cmocka_unit_test(redactions_have_names),
		cmocka_unit_test(pidgins_start_is_read),
		cmocka_unit_test(pidgins_messages_have_times_without_a_zone),
		cmocka_unit_test(pidgins_turn_is_kept_as_it_is),
		cmocka_unit_test(pidgins_old_events_have_their_fields_in_data),
		cmocka_unit_test(every_line_of_pidgin_is_read_with_its_type),
		cmocka_unit_test(what_python_writes_and_json_has_not_is_read),
		cmocka_unit_test(values_of_another_type_are_absent),
		cmocka_unit_test(times_are_read_to_the_microsecond_in_any_zone),
		cmocka_unit_test(agents_have_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
