/* The live score: equal to the figures of others, the same however long the conversation was, and moved by each of its
 * weights. */
#include "metrics/convergence.h"
#include "metrics_gear.h"

#include <math.h>

static const struct convergence_weights *weights_of(enum convergence_profile p)
{
	return &convergence_profiles[p].weights;
}

/* A conversation of two, whose messages alternate. */
static struct convergence_score score_of(enum convergence_profile profile, const char *const texts[], size_t n)
{
	struct convergence *c = convergence_new(2, weights_of(profile));
	for (size_t i = 0; i < n; i++) convergence_add(c, i % 2, str_c(texts[i]));
	struct convergence_score s = convergence_score(c);
	convergence_free(c);
	return s;
}

static struct convergence_score score_two(const char *a, const char *b)
{
	const char *const texts[] = {a, b};
	return score_of(PROFILE_BALANCED, texts, 2);
}

static void every_profile_gives_the_score_of_published_runs(void **state)
{
	(void)state;
	struct json_doc *doc = read_figures();
	struct str name;
	for (enum convergence_profile p = 0; p < PROFILE_COUNT; p++) {
		struct json_iter profiles = json_iter(json_get(json_root(doc), "profiles"));
		for (size_t i = 0; i <= (size_t)p; i++) assert_true(json_next(&profiles));
		assert_true(json_str(profiles.val, &name));
		assert_int_equal(convergence_profile_find(name), p);
		for (struct json_iter c = json_iter(json_get(json_root(doc), "conversations")); json_next(&c);) {
			struct convergence *live = convergence_new(2, weights_of(p));
			for (struct json_iter t = json_iter(c.val); json_next(&t);) {
				struct str trend;
				struct json_iter want = json_iter(json_get(t.val, "live"));
				for (size_t i = 0; i <= (size_t)p; i++) assert_true(json_next(&want));
				convergence_add(live, 0, member(t.val, "a"));
				convergence_add(live, 1, member(t.val, "b"));
				struct convergence_score s = convergence_turn(live);
				assert_true(s.known && s.score == real(want.val));
				if (p == PROFILE_BALANCED && json_str(json_get(t.val, "trend"), &trend))
					assert_true(
						str_eq(trend, str_c(convergence_trend_name(convergence_trend(live)))));
			}
			convergence_free(live);
		}
	}
	json_free(doc);
}

static void equal_messages_score_one(void **state)
{
	(void)state;
	uint64_t seed = 4;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int i = 0; i < 200; i++) {
		write_message(&seed, 40, &b);
		for (enum convergence_profile p = 0; p < PROFILE_COUNT; p++) {
			struct convergence *c = convergence_new(2, weights_of(p));
			convergence_add(c, 0, buf_str(&b));
			convergence_add(c, 1, buf_str(&b));
			assert_true(convergence_score(c).score == 1 && convergence_score(c).content == 1);
			convergence_free(c);
		}
	}
	assert_true(score_two("Yes.", " YES.\n").score == 1);
	buf_release(&b);
}

static void every_profile_changes_the_score(void **state)
{
	(void)state;
	static const char *const texts[] = {"Rivers carve valleys. It rains; perhaps it will stop, who knows?",
					    "- one\n- two\n\nValleys, rivers and towns! 1. Rain"};
	double raw[PROFILE_COUNT];
	for (enum convergence_profile p = 0; p < PROFILE_COUNT; p++) {
		raw[p] = score_of(p, texts, 2).raw;
		for (size_t k = 0; k < (size_t)p; k++) assert_true(fabs(raw[p] - raw[k]) > 0.005);
	}
}

/* With all the weight on one part the score is that part. */
static void every_weight_counts_its_own_part(void **state)
{
	(void)state;
	struct convergence_weights w;
	double *const weights[] = {&w.content, &w.structure, &w.sentences, &w.length, &w.punctuation};
	for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
		w = (struct convergence_weights){0};
		*weights[i] = 1;
		struct convergence *c = convergence_new(2, &w);
		convergence_add(c, 0, STR("One? Two, three. Four"));
		convergence_add(c, 1, STR("- one\n- two\n\nThree, four! Five. Six, two?"));
		struct convergence_score s = convergence_score(c);
		const double parts[] = {s.content, s.structure, s.sentences, s.length, s.punctuation};
		assert_true(s.raw == parts[i] && s.raw > 0 && s.raw < 1);
		for (size_t k = 0; k < i; k++) assert_true(fabs(parts[i] - parts[k]) > 1e-6);
		convergence_free(c);
	}
}

static void the_parts_are_what_the_document_says(void **state)
{
	(void)state;
	assert_true(score_two("abcd", "bcde").content == 3.0 / 5); /* letters of short texts */
	assert_true(score_two("abcd", "xxabcdxx").content == 0.5); /* one holds the other */
	assert_true(score_two("abcd", "").content == 0);
	assert_true(score_two("one two three four five six seven eight nine ten eleven", "two one").content ==
		    2.0 / 11);
	assert_true(score_two("a. b", "a. b. c").sentences == 2.0 / 3);
	assert_true(score_two("One.", "One two").sentences == 0); /* a single sentence with its stop counts none */
	assert_true(score_two("abc", "abcdef").length == 0.5);
	assert_true(score_two("\u4f60\u597d", "abcd").length == 0.5); /* in code points */
	assert_true(score_two("- a\n  - b\nc - d", "x\n * y").structure == 3.5 / 4);
	assert_true(score_two("1. a 2. b", "12. c").structure == 3.5 / 4);
	assert_true(score_two("a?", "b").structure == 3.0 / 4);
	assert_true(score_two("``````", "```").structure == 3.5 / 4);
	assert_true(score_two("a\n\nb", "a").structure == 3.5 / 4);
	assert_true(score_two("a\n\n\n \n\nb", "a\n\nb c").structure == 1); /* empty lines are one */
	assert_true(score_two("a-b", "a\u2014c").punctuation == 1);
	assert_true(score_two("a,b!", "a,b,").punctuation == (0 + 0.5 + 1 + 1 + 1) / 5);
	assert_true(score_two("", "").score == 1);
	assert_true(score_two("x", "").punctuation == 1 && score_two("", "x").punctuation == 1);
}

static void labels_that_models_copy_are_not_compared(void **state)
{
	(void)state;
	assert_true(score_two("**Agent A**: \n hello", "**Agent B** hello").score == 1);
	assert_true(score_two("**Agent A**:**Agent B**: x **Agent A** y", "x  y").score == 1);
	assert_true(score_two("**Agent C**: hello", "hello").score < 1);
	/* what only the removal brought together stays */
	assert_true(score_two("**Agent **Agent A**A** x", "**Agent A** x").content < 1);
}

static void a_turn_that_lies_half_way_is_rounded_as_its_double_is(void **state)
{
	(void)state;
	struct convergence_weights w = {.content = 1};
	/* 1/8 of eight letters is exact: 0.125 goes to the even digit, 0.12; 3/8 to 0.38 */
	static const char *const pairs[][2] = {{"abcd", "aefgh"}, {"abcde", "abcfgh"}};
	static const double want[] = {0.12, 0.38};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct convergence *c = convergence_new(2, &w);
		for (size_t k = 0; k < 2; k++) convergence_add(c, k, str_c(pairs[i][k]));
		assert_true(convergence_score(c).raw * 8 == (double)(2 * i + 1));
		assert_true(convergence_score(c).score == want[i]);
		convergence_free(c);
	}
}

/* Messages as they were said, to tell the end of them to another one. */
enum { MOST = 300 };
struct told {
	char *text[MOST];
	size_t agent[MOST], n;
};

static bool same(struct convergence_score a, struct convergence_score b)
{
	return a.known == b.known && a.score == b.score && a.raw == b.raw && a.content == b.content &&
	       a.structure == b.structure && a.sentences == b.sentences && a.length == b.length &&
	       a.punctuation == b.punctuation;
}

/* The score after all of it is that of the last ten messages told to a new one. */
static void only_the_window_counts(void **state)
{
	(void)state;
	uint64_t seed = 5;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct told t = {0};
	struct convergence *all = convergence_new(2, weights_of(PROFILE_STRICT));
	size_t unknown = 0;
	for (; t.n < MOST; t.n++) {
		write_message(&seed, 30, &b);
		/* the agents alternate at first, then one speaks much more than the other */
		t.agent[t.n] = t.n < MOST / 2 ? t.n % 2 : below(&seed, 6) == 0;
		t.text[t.n] = str_dup(buf_str(&b));
		convergence_add(all, t.agent[t.n], str_c(t.text[t.n]));
		struct convergence *fresh = convergence_new(2, weights_of(PROFILE_STRICT));
		for (size_t i = t.n + 1 > CONVERGENCE_WINDOW ? t.n + 1 - CONVERGENCE_WINDOW : 0; i <= t.n; i++)
			convergence_add(fresh, t.agent[i], str_c(t.text[i]));
		assert_true(same(convergence_score(all), convergence_score(fresh)));
		unknown += !convergence_score(all).known;
		convergence_free(fresh);
	}
	assert_true(unknown > 1 && unknown < MOST / 4); /* one side was silent for ten messages now and then */
	for (size_t i = 0; i < t.n; i++) free(t.text[i]);
	convergence_free(all);
	buf_release(&b);
}

/* The eleventh message back must not count: only it differs. */
static void the_window_is_ten_messages_of_both(void **state)
{
	(void)state;
	for (size_t back = 9; back <= 11; back++) {
		struct convergence_score s[2];
		for (size_t k = 0; k < 2; k++) {
			struct convergence *c = convergence_new(2, weights_of(PROFILE_BALANCED));
			for (size_t i = 0; i < 12; i++) {
				bool differs = k == 1 && 12 - i == back;
				convergence_add(c, i % 2,
						differs ? STR("What? Why, when?")
						: i % 2 ? STR("So. I")
							: STR("We. Go"));
			}
			s[k] = convergence_score(c);
			convergence_free(c);
		}
		assert_int_equal(same(s[0], s[1]), back > CONVERGENCE_WINDOW);
	}
}

static void who_has_not_spoken_is_compared_with_nobody(void **state)
{
	(void)state;
	struct convergence *c = convergence_new(3, weights_of(PROFILE_BALANCED));
	assert_false(convergence_turn(c).known);
	convergence_add(c, 0, STR("hello"));
	assert_false(convergence_turn(c).known);
	assert_true(convergence_turn(c).score == 0);
	assert_int_equal(convergence_trend(c), TREND_UNKNOWN);
	convergence_add(c, 2, STR("hello"));
	assert_true(convergence_turn(c).known && convergence_score(c).score == 1);
	convergence_free(c);
}

static void sum_up(struct convergence_score *sum, struct convergence_score s)
{
	sum->raw += s.raw;
	sum->content += s.content;
	sum->structure += s.structure;
	sum->sentences += s.sentences;
	sum->length += s.length;
	sum->punctuation += s.punctuation;
}

static void of_many_agents_the_score_is_the_mean_of_their_pairs(void **state)
{
	(void)state;
	enum { AGENTS = 4, PAIRS = AGENTS * (AGENTS - 1) / 2 };
	uint64_t seed = 6;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct convergence *all = convergence_new(AGENTS, weights_of(PROFILE_SEMANTIC)), *pairs[AGENTS][AGENTS];
	for (size_t i = 0; i < AGENTS; i++)
		for (size_t k = i + 1; k < AGENTS; k++) pairs[i][k] = convergence_new(2, weights_of(PROFILE_SEMANTIC));
	for (size_t turn = 0; turn < 30; turn++) {
		struct convergence_score sum = {0}, whole;
		for (size_t i = 0; i < AGENTS; i++) {
			write_message(&seed, 30, &b);
			convergence_add(all, i, buf_str(&b));
			for (size_t k = 0; k < AGENTS; k++)
				if (k != i) convergence_add(pairs[MIN(i, k)][MAX(i, k)], i > k, buf_str(&b));
		}
		for (size_t i = 0; i < AGENTS; i++)
			for (size_t k = i + 1; k < AGENTS; k++) sum_up(&sum, convergence_score(pairs[i][k]));
		whole = convergence_score(all);
		assert_true(whole.raw == sum.raw / PAIRS && whole.content == sum.content / PAIRS);
		assert_true(whole.structure == sum.structure / PAIRS && whole.sentences == sum.sentences / PAIRS);
		assert_true(whole.length == sum.length / PAIRS && whole.punctuation == sum.punctuation / PAIRS);
		assert_true(fabs(whole.score - whole.raw) <= 0.005);
	}
	for (size_t i = 0; i < AGENTS; i++)
		for (size_t k = i + 1; k < AGENTS; k++) convergence_free(pairs[i][k]);
	convergence_free(all);
	buf_release(&b);
}

static void a_trend_is_read_from_three_turns(void **state)
{
	(void)state;
	struct convergence_weights w = {.content = 1};
	/* of ten letters as many are shared as the row says */
	static const struct {
		size_t shared[3];
		enum convergence_trend trend;
	} rows[] = {
		{{1, 3, 5}, TREND_INCREASING},  {{5, 3, 1}, TREND_DECREASING},  {{4, 4, 4}, TREND_STABLE},
		{{4, 8, 4}, TREND_FLUCTUATING}, {{4, 4, 8}, TREND_FLUCTUATING}, {{8, 8, 4}, TREND_FLUCTUATING},
		{{8, 4, 4}, TREND_FLUCTUATING}, {{4, 8, 8}, TREND_FLUCTUATING},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct convergence *c = convergence_new(2, &w);
		for (size_t t = 0; t < 3; t++) {
			char text[12] = "ABCDEFGHIJ";
			assert_int_equal(convergence_trend(c), TREND_UNKNOWN);
			memcpy(text, "abcdefghij", rows[i].shared[t]);
			for (size_t k = rows[i].shared[t]; k < 10; k++) text[k] = (char)('0' + k);
			convergence_add(c, 0, STR("jihgfedcba"));
			convergence_add(c, 1, str_c(text));
			(void)convergence_turn(c);
		}
		assert_int_equal(convergence_trend(c), rows[i].trend);
		convergence_free(c);
	}
}

static void an_arrow_is_steep_from_a_twentieth_on(void **state)
{
	(void)state;
	assert_string_equal(convergence_arrow_text(convergence_arrow(0.5, 0.56)), "↑↑");
	assert_string_equal(convergence_arrow_text(convergence_arrow(0.5, 0.54)), "↑");
	assert_string_equal(convergence_arrow_text(convergence_arrow(0.5, 0.5)), "→");
	assert_string_equal(convergence_arrow_text(convergence_arrow(0.5, 0.46)), "↓");
	assert_string_equal(convergence_arrow_text(convergence_arrow(0.5, 0.44)), "↓↓");
}

static void weights_that_do_not_add_up_are_named_with_their_sum(void **state)
{
	(void)state;
	struct errinfo info = {0};
	struct convergence_weights w = {0.3, 0.2, 0.2, 0.2, 0.2};
	assert_int_equal(convergence_weights_check(&w, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "1.100"));
	w = (struct convergence_weights){0.3, 0.2, 0.2, 0.2, 0.1009};
	assert_int_equal(convergence_weights_check(&w, &info), OK);
	w = (struct convergence_weights){0.3, 0.2, 0.2, 0.2, 0.0989};
	assert_int_equal(convergence_weights_check(&w, &info), ERR_CONFIG);
	w = (struct convergence_weights){1.2, 0, 0, 0, -0.2};
	assert_int_equal(convergence_weights_check(&w, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "content"));
	w = (struct convergence_weights){1, 0, (double)NAN, 0, 0};
	assert_int_equal(convergence_weights_check(&w, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "sentences"));
	for (enum convergence_profile p = 0; p < PROFILE_COUNT; p++)
		assert_int_equal(convergence_weights_check(weights_of(p), NULL), OK);
	assert_int_equal(convergence_profile_find(STR("custom")), PROFILE_COUNT);
}

static void texts_of_every_kind_and_size_have_a_score(void **state)
{
	(void)state;
	struct buf a = BUF_INIT(BUF_NO_LIMIT), b = BUF_INIT(BUF_NO_LIMIT);
	for (size_t i = 0; a.n < 1 << 20; i++) {
		buf_addf(&a, "w%zu. ", i);
		buf_addf(&b, "\xe4\xbd\xa0%zu! \n\n\n", i);
	}
	struct convergence *c = convergence_new(2, weights_of(PROFILE_BALANCED));
	convergence_add(c, 0, buf_str(&a));
	convergence_add(c, 1, buf_str(&b));
	struct convergence_score s = convergence_score(c);
	assert_true(s.known && s.score > 0 && s.score < 1 && s.content == 0);
	convergence_add(c, 1, STR("\xff\xfe\xf0\x9f"));
	convergence_add(c, 0, STR("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
	assert_true(convergence_score(c).score == 1);
	convergence_free(c);
	buf_release(&a);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_profile_gives_the_score_of_published_runs),
		cmocka_unit_test(equal_messages_score_one),
		cmocka_unit_test(every_profile_changes_the_score),
		cmocka_unit_test(every_weight_counts_its_own_part),
		cmocka_unit_test(the_parts_are_what_the_document_says),
		cmocka_unit_test(labels_that_models_copy_are_not_compared),
		cmocka_unit_test(a_turn_that_lies_half_way_is_rounded_as_its_double_is),
		cmocka_unit_test(only_the_window_counts),
		cmocka_unit_test(the_window_is_ten_messages_of_both),
		cmocka_unit_test(who_has_not_spoken_is_compared_with_nobody),
		cmocka_unit_test(of_many_agents_the_score_is_the_mean_of_their_pairs),
		cmocka_unit_test(a_trend_is_read_from_three_turns),
		cmocka_unit_test(an_arrow_is_steep_from_a_twentieth_on),
		cmocka_unit_test(weights_that_do_not_add_up_are_named_with_their_sum),
		cmocka_unit_test(texts_of_every_kind_and_size_have_a_score),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
