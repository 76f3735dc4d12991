/* Reading event files: whole, torn, damaged, followed, and of others; and how large they are. */
#include "event/lab_log.h"

#undef LAB_LINE_MAX
#define LAB_LINE_MAX ((size_t)4 << 20)
#include "event/lab_file.c" /* NOLINT(bugprone-suspicious-include): with a limit that a test can reach */

#include "lab_gear.h"

#include <sys/resource.h>

static char path[] = "/tmp/roost-lab-file-XXXXXX";
static int file; /* the same, open for all tests: closing it each time would wait for the disk */

static int make_file(void **state)
{
	(void)state;
	file = mkstemp(path);
	return file >= 0 ? 0 : -1;
}

static int remove_file(void **state)
{
	(void)state;
	close(file);
	return unlink(path);
}

static void put(const void *bytes, size_t n)
{
	assert_int_equal(pwrite(file, bytes, n, 0), n);
	assert_int_equal(ftruncate(file, (off_t)n), 0);
}

struct seen {
	int64_t n, first_seq, last_seq;
	int64_t stop_after; /* 0 never */
	enum lab_type last;
};

static enum err see(void *ctx, const struct lab_event *e)
{
	struct seen *s = ctx;
	if (s->n++ == 0) s->first_seq = e->seq;
	s->last_seq = e->seq;
	s->last = e->type;
	return s->n == s->stop_after ? ERR_CANCELLED : OK;
}

static struct seen read_from(int64_t from, struct lab_file_end *end)
{
	struct seen s = {0};
	assert_int_equal(lab_file_read(path, from, see, &s, end, NULL), OK);
	return s;
}

static struct seen read_text(const char *text, size_t n, struct lab_file_end *end)
{
	put(text, n);
	return read_from(0, end);
}

/* One event of each type. */
static struct buf all_lines(void)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int t = 0; t < LAB_TYPE_COUNT; t++) {
		struct lab_event e = sample_event((enum lab_type)t, SAMPLE_SET, 0);
		e.seq = t + 1;
		lab_line_write(&b, &e, REDACT_NONE);
	}
	return b;
}

static void a_whole_file_is_told_in_order(void **state)
{
	(void)state;
	struct buf b = all_lines();
	struct lab_file_end end;
	struct seen s = read_text(b.p, b.n, &end);
	assert_int_equal(s.n, LAB_TYPE_COUNT);
	assert_int_equal(s.first_seq, 1);
	assert_int_equal(end.lines, LAB_TYPE_COUNT);
	assert_int_equal(end.last_seq, LAB_TYPE_COUNT);
	assert_int_equal(end.good_bytes, b.n);
	assert_int_equal(end.bad_lines + end.first_bad + end.torn_bytes, 0);
	buf_release(&b);
}

/* Wherever the file ends: the lines before that are told, and the rest is reported. Of a line whose newline alone is
 * missing nobody knows whether it is whole, unless it has no number: nobody goes on with such a file. */
static void check_every_cut(const struct buf *b, bool has_numbers)
{
	size_t last = 0, lines = 0;
	struct str text = buf_str(b);
	for (size_t n = 0; n <= text.n; n++) {
		struct lab_file_end end;
		if (n > 0 && text.p[n - 1] == '\n') {
			last = n;
			lines++;
		}
		bool lacks_newline = !has_numbers && n < text.n && text.p[n] == '\n';
		put(text.p, n);
		struct seen s = read_from(0, &end);
		assert_int_equal(s.n, lines + lacks_newline);
		assert_int_equal(end.lines, s.n);
		assert_int_equal(end.bad_lines, 0);
		assert_int_equal(end.good_bytes, lacks_newline ? n : last);
		assert_int_equal(end.torn_bytes, n - (size_t)end.good_bytes);
	}
}

static void a_file_cut_at_any_byte_keeps_its_whole_lines_and_tells_the_rest(void **state)
{
	(void)state;
	struct buf b = all_lines();
	check_every_cut(&b, true);
	buf_release(&b);
}

static struct buf pidgin_file(void)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int fd = open(ROOST_SOURCE_DIR "/test/unit/fixtures/pidgin_events.jsonl", O_RDONLY);
	assert_true(fd >= 0 && buf_reserve(&b, 64 << 10));
	b.n = (size_t)read(fd, b.p, 64 << 10);
	close(fd);
	assert_in_range(b.n, 5000, 60000);
	return b;
}

static void a_file_of_pidgin_cut_at_any_byte_does_too(void **state)
{
	(void)state;
	struct buf b = pidgin_file();
	check_every_cut(&b, false);
	buf_release(&b);
}

static void damaged_lines_are_counted_and_passed_over(void **state)
{
	(void)state;
	struct buf b = all_lines();
	struct lab_file_end end;
	char *second = strchr(b.p, '\n') + 1, *third = strchr(second, '\n') + 1;
	second[20] ^= 1;
	memset(strchr(third, '\n') + 1, 0, 40);
	struct seen s = read_text(b.p, b.n, &end);
	assert_int_equal(s.n, LAB_TYPE_COUNT - 2);
	assert_int_equal(end.bad_lines, 2);
	assert_int_equal(end.first_bad, 2);
	assert_int_equal(end.last_seq, LAB_TYPE_COUNT);
	assert_int_equal(end.torn_bytes, 0);
	buf_release(&b);
}

static void bad_lines_at_the_end_are_behind_the_last_good_one(void **state)
{
	(void)state;
	struct buf b = all_lines();
	struct lab_file_end end;
	size_t good = b.n;
	buf_add(&b, "\0\0\0\0\n\nnonsense\nhalf", 20);
	struct seen s = read_text(b.p, b.n, &end);
	assert_int_equal(s.n, LAB_TYPE_COUNT);
	assert_int_equal(end.bad_lines, 2);
	assert_int_equal(end.first_bad, LAB_TYPE_COUNT + 1);
	assert_int_equal(end.good_bytes, good);
	assert_int_equal(end.torn_bytes, 20);
	buf_release(&b);
}

static void blank_lines_and_other_line_ends_are_fine(void **state)
{
	(void)state;
	static const char text[] =
		"\n\r\n{\"event_type\":\"TurnStartEvent\"}\r\n \t\n{\"event_type\":\"ErrorEvent\"}\r\n\r\n  ";
	struct lab_file_end end;
	struct seen s = read_text(text, sizeof text - 1, &end);
	assert_int_equal(s.n, 2);
	assert_int_equal(end.bad_lines + end.torn_bytes, 0);
	assert_int_equal(end.good_bytes, sizeof text - 1);
}

static void lines_of_types_that_nobody_knows_are_good_and_not_told(void **state)
{
	(void)state;
	static const char text[] =
		"{\"event_type\":\"TurnStartEvent\"}\n{\"event_type\":\"FutureEvent\",\"x\":[1]}\n{}\n";
	struct lab_file_end end;
	struct seen s = read_text(text, sizeof text - 1, &end);
	assert_int_equal(s.n, 1);
	assert_int_equal(end.lines, 3);
	assert_int_equal(end.bad_lines + end.torn_bytes, 0);
}

static void an_empty_file_has_nothing(void **state)
{
	(void)state;
	struct lab_file_end end;
	struct seen s = read_text("", 0, &end);
	assert_int_equal(s.n + end.lines + end.good_bytes + end.torn_bytes, 0);
}

static void a_file_is_followed_from_where_its_good_lines_end(void **state)
{
	(void)state;
	struct buf b = all_lines();
	struct lab_file_end end = {0};
	int64_t told = 0, from = 0;
	for (size_t n = 0; n <= b.n; n += 97) {
		put(b.p, n);
		struct seen s = read_from(from, &end);
		if (s.n > 0) assert_int_equal(s.first_seq, told + 1);
		told += s.n;
		from = end.good_bytes;
	}
	put(b.p, b.n);
	told += read_from(from, &end).n;
	assert_int_equal(told, LAB_TYPE_COUNT);
	assert_int_equal(end.good_bytes, b.n);
	buf_release(&b);
}

static void an_error_of_the_reader_ends_it(void **state)
{
	(void)state;
	struct buf b = all_lines();
	struct lab_file_end end;
	struct seen s = {.stop_after = 3};
	put(b.p, b.n);
	assert_int_equal(lab_file_read(path, 0, see, &s, &end, NULL), ERR_CANCELLED);
	assert_int_equal(s.n, 3);
	buf_release(&b);
}

static void what_cannot_be_read_is_told(void **state)
{
	(void)state;
	struct lab_file_end end;
	struct seen s = {0};
	struct errinfo info = {0};
	assert_int_equal(lab_file_read("/nonexistent/events.jsonl", 0, see, &s, &end, &info), ERR_NOT_FOUND);
	assert_int_equal(lab_file_read("/tmp", 0, see, &s, &end, &info), ERR_IO);
	assert_non_null(strstr(info.text, "/tmp cannot be read"));
}

/* A hole in the file stands for a line of NUL bytes that no limit allows. */
static void a_line_beyond_the_limit_is_a_bad_one_and_needs_no_memory(void **state)
{
	(void)state;
	struct lab_file_end end;
	struct rusage before, after;
	off_t hole = (off_t)LAB_LINE_MAX * 64;
	put("{\"event_type\":\"TurnStartEvent\"}\n", 32);
	assert_int_equal(pwrite(file, "\n{\"event_type\":\"ErrorEvent\"}\n", 29, 32 + hole), 29);
	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	struct seen s = read_from(0, &end);
	assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.last, LE_ERROR);
	assert_int_equal(end.bad_lines, 1);
	assert_int_equal(end.first_bad, 2);
	assert_int_equal(end.good_bytes, 32 + hole + 29);
	assert_true(after.ru_maxrss - before.ru_maxrss < (long)(LAB_LINE_MAX * 16 / 1024));
	assert_int_equal(ftruncate(file, 32 + hole), 0);
	s = read_from(0, &end);
	assert_int_equal(s.n, 1);
	assert_int_equal(end.good_bytes, 32);
	assert_int_equal(end.torn_bytes, hole);
}

static void a_long_line_within_the_limit_is_read(void **state)
{
	(void)state;
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	struct lab_event e = {.type = LE_SYSTEM_PROMPT, .seq = 1};
	struct lab_file_end end;
	char *prompt = xmalloc(3 << 20);
	memset(prompt, 'x', 3 << 20);
	e.v[LF(SystemPromptEvent, prompt)] = lv_str(str_n(prompt, 3 << 20));
	lab_line_write(&text, &e, REDACT_NONE);
	e.seq = 2;
	lab_line_write(&text, &e, REDACT_NONE);
	struct seen s = read_text(text.p, text.n, &end);
	assert_int_equal(s.n, 2);
	assert_int_equal(end.last_seq, 2);
	free(prompt);
	buf_release(&text);
}

/* ---- size -------------------------------------------------------------------------------------------------------- */

static struct lab_event of_agent(enum lab_type type, int agent, int turn)
{
	struct lab_event e = {.type = type};
	for (size_t i = 0; i < lab_rows[type].nfields; i++) {
		if (strcmp(lab_rows[type].fields[i].name, "conversation_id") == 0)
			e.v[i] = lv_str(STR("conv_1a2b3c4d"));
		if (strcmp(lab_rows[type].fields[i].name, "agent_id") == 0)
			e.v[i] = lv_str(str_c(lab_agent_ids[agent]));
		if (strcmp(lab_rows[type].fields[i].name, "turn_number") == 0) e.v[i] = lv_int(turn);
	}
	return e;
}

/* What one agent's message writes: the request, the message and its tokens. */
static void add_message(struct lab_log *log, int agent, int turn, struct str text)
{
	static const char sha[] = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
	struct lab_event e = of_agent(LE_MESSAGE_REQUEST, agent, turn);
	e.v[LF(MessageRequestEvent, history_length)] = lv_int(2 * turn + agent + 1);
	e.v[LF(MessageRequestEvent, history_dropped)] = lv_int(0);
	e.v[LF(MessageRequestEvent, history_sha256)] = lv_str(STR(sha));
	e.v[LF(MessageRequestEvent, temperature)] = lv_real(0.7);
	e.v[LF(MessageRequestEvent, allow_truncation)] = lv_bool(false);
	e.v[LF(MessageRequestEvent, thinking_enabled)] = lv_bool(false);
	e.v[LF(MessageRequestEvent, thinking_budget)] = lv_int(INT64_MIN);
	e.v[LF(MessageRequestEvent, attempt)] = lv_int(1);
	e.v[LF(MessageRequestEvent, model)] = lv_str(STR("anthropic:claude-sonnet-4-20250514"));
	e.v[LF(MessageRequestEvent, seed)] = lv_int(1234567890123456789);
	lab_log_add(log, &e);

	const struct lab_message m = {STR("assistant"), text, str_c(lab_agent_ids[agent]), SAMPLE_US};
	e = of_agent(LE_MESSAGE_COMPLETE, agent, turn);
	e.v[LF(MessageCompleteEvent, message)] = lv_message(&m);
	for (int i = LF(MessageCompleteEvent, prompt_tokens); i <= LF(MessageCompleteEvent, duration_ms); i++)
		e.v[i] = lv_int(123456);
	e.v[LF(MessageCompleteEvent, tokens_estimated)] = lv_bool(false);
	e.v[LF(MessageCompleteEvent, finish_reason)] = lv_str(STR("end_turn"));
	e.v[LF(MessageCompleteEvent, request_id)] = lv_str(STR("req_011CQ9yzkJhqUqfWTC5dXyZp"));
	e.v[LF(MessageCompleteEvent, first_token_ms)] = lv_int(812);
	lab_log_add(log, &e);

	e = of_agent(LE_TOKEN_USAGE, agent, turn);
	for (size_t i = 0; i < lab_rows[LE_TOKEN_USAGE].nfields; i++)
		if (lab_rows[LE_TOKEN_USAGE].fields[i].kind == LK_INT) e.v[i] = lv_int(1234567);
	e.v[LF(TokenUsageEvent, provider)] = lv_str(STR("anthropic"));
	e.v[LF(TokenUsageEvent, model)] = lv_str(STR("anthropic:claude-sonnet-4-20250514"));
	e.v[LF(TokenUsageEvent, current_usage_rate)] = lv_real(123456.75);
	e.v[LF(TokenUsageEvent, cost_reported)] = lv_bool(false);
	lab_log_add(log, &e);
}

static void add_turn(struct lab_log *log, int turn, struct str text)
{
	static const char spoken[] =
		"{\"agent_a_message\":{\"seq\":12345,\"sha256\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"},"
		"\"agent_b_message\":{\"seq\":12348,\"sha256\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}}";
	static const char parts[] = "{\"score\":0.42,\"content\":0.123456789012345,\"structure\":0.123456789012345,"
				    "\"sentences\":0.123456789012345,\"length\":0.123456789012345,"
				    "\"punctuation\":0.123456789012345}";
	struct lab_event e = of_agent(LE_TURN_START, 0, turn);
	lab_log_add(log, &e);
	add_message(log, 0, turn, text);
	add_message(log, 1, turn, text);
	e = of_agent(LE_TURN_COMPLETE, 0, turn);
	e.v[LF(TurnCompleteEvent, turn)] = lv_json(STR(spoken));
	e.v[LF(TurnCompleteEvent, convergence_score)] = lv_real(0.42);
	e.v[LF(TurnCompleteEvent, convergence)] = lv_json(STR(parts));
	lab_log_add(log, &e);
}

/* 200 turns of two agents that say a kilobyte each time: every event of a conversation with all that its lines can have. */
static void a_conversation_of_200_turns_takes_two_megabytes_at_most(void **state)
{
	(void)state;
	char said[1024];
	struct lab_writer *w = lab_writer_new(&(struct lab_writer_options){.sync_ms = 1000});
	struct lab_log *log;
	struct lab_file_end end;
	put("", 0);
	assert_int_equal(lab_log_open(w,
				      &(struct lab_log_options){
					      .path = path, .experiment_id = STR("experiment_1a2b3c4d"), .next_seq = 1},
				      &log, NULL),
			 OK);
	for (size_t i = 0; i < sizeof said; i++) said[i] = "Well, \"why\" not?\n"[i % 17];
	for (int turn = 0; turn < 200; turn++) add_turn(log, turn, str_n(said, sizeof said));
	int64_t bytes = lab_log_bytes(log);
	lab_log_close(log);
	assert_int_equal(lab_writer_free(w, NULL), OK);
	struct seen s = read_from(0, &end);
	assert_int_equal(s.n, 200 * 8);
	assert_int_equal(end.good_bytes, bytes);
	if (bytes > 2000000) fail_msg("%lld bytes", (long long)bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file_is_told_in_order),
		cmocka_unit_test(a_file_cut_at_any_byte_keeps_its_whole_lines_and_tells_the_rest),
		cmocka_unit_test(a_file_of_pidgin_cut_at_any_byte_does_too),
		cmocka_unit_test(damaged_lines_are_counted_and_passed_over),
		cmocka_unit_test(bad_lines_at_the_end_are_behind_the_last_good_one),
		cmocka_unit_test(blank_lines_and_other_line_ends_are_fine),
		cmocka_unit_test(lines_of_types_that_nobody_knows_are_good_and_not_told),
		cmocka_unit_test(an_empty_file_has_nothing),
		cmocka_unit_test(a_file_is_followed_from_where_its_good_lines_end),
		cmocka_unit_test(an_error_of_the_reader_ends_it),
		cmocka_unit_test(what_cannot_be_read_is_told),
		cmocka_unit_test(a_line_beyond_the_limit_is_a_bad_one_and_needs_no_memory),
		cmocka_unit_test(a_long_line_within_the_limit_is_read),
		cmocka_unit_test(a_conversation_of_200_turns_takes_two_megabytes_at_most),
	};
	return cmocka_run_group_tests(tests, make_file, remove_file);
}
