/* The table behind the content net, and what counts as the same text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/id.h"
#include "device/duplicate.h"

static struct duplicate_key key_of(const char *text)
{
	struct duplicate_key k;
	duplicate_key(1, STR("s"), str_c(text), STR_NONE, &k);
	return k;
}

static bool same(const char *a, const char *b)
{
	struct duplicate_key x = key_of(a), y = key_of(b);
	return memcmp(&x, &y, sizeof x) == 0;
}

static void add(struct duplicates *d, const char *text, uint32_t device, int64_t row, int64_t at)
{
	duplicates_add(d, &(struct duplicate_entry){key_of(text), row, at, device, 0});
}

static int64_t find(struct duplicates *d, const char *text, uint32_t device)
{
	struct duplicate_key k = key_of(text);
	const struct duplicate_entry *e = duplicates_find(d, &k, device);
	return e != NULL ? e->row : 0;
}

/* Until nothing more comes back. */
static void expire(struct duplicates *d, int64_t since)
{
	size_t n;
	do {
		n = duplicates_count(d);
		duplicates_expire(d, since);
	} while (duplicates_count(d) < n);
}

static void same_content_has_the_same_key_and_other_content_another(void **state)
{
	(void)state;
	assert_true(same("hello", "hello"));
	assert_false(same("hello", "hellO"));
	assert_false(same("a b", "ab"));
	assert_false(same("", "a"));
	struct duplicate_key a, b;
	duplicate_key(1, STR("s"), STR("x"), STR_NONE, &a);
	duplicate_key(2, STR("s"), STR("x"), STR_NONE, &b);
	assert_memory_not_equal(&a, &b, sizeof a); /* another user */
	duplicate_key(1, STR("t"), STR("x"), STR_NONE, &b);
	assert_memory_not_equal(&a, &b, sizeof a); /* another session */
	duplicate_key(1, STR("sx"), STR(""), STR_NONE, &b);
	assert_memory_not_equal(&a, &b, sizeof a); /* the same bytes, divided elsewhere */
}

static void white_space_at_the_ends_does_not_count(void **state)
{
	(void)state;
	assert_true(same("yes", "yes "));
	assert_true(same("yes", "\t\r\n yes\n"));
	assert_true(same("yes", "\u00a0yes\u2003\u3000"));
	assert_true(same("yes", "yes\xc2\x85\u2028\u2029"));
	assert_false(same("yes no", "yes  no"));
	assert_true(same("   ", ""));
	assert_true(same("\u00e9 ", "\u00e9"));
}

static void composed_and_decomposed_text_is_the_same(void **state)
{
	(void)state;
	assert_true(same("caf\u00e9", "cafe\u0301"));
	assert_true(same("\u1e69", "s\u0323\u0307"));
	assert_true(same("\u1e69", "s\u0307\u0323"));
	assert_true(same("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"));
	assert_true(same("cafe\u0301 ", "  caf\u00e9"));
	assert_true(same("\u0439", "\u0438\u0306"));
	assert_false(same("\ufb01", "fi")); /* compatibility forms look different */
	assert_false(same("\u4f60\u597d", "\u4f60"));
}

static void attachments_count_by_their_bytes_and_order(void **state)
{
	(void)state;
	const char *parts[] = {
		"[{\"sha256\":\"aa\",\"name\":\"x\",\"mimeType\":\"image/png\"}]",
		"[{\"sha256\":\"aa\",\"name\":\"other\",\"type\":\"image/png\",\"size\":1}]",
		"[{\"sha256\":\"ab\",\"name\":\"x\",\"mimeType\":\"image/png\"}]",
		"[{\"sha256\":\"aa\"},{\"sha256\":\"ab\"}]",
		"[{\"sha256\":\"ab\"},{\"sha256\":\"aa\"}]",
		"[{\"quote\":\"aa\"}]",
		"[{\"quote\":\"ab\"}]",
	};
	struct duplicate_key k[7], none;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) duplicate_key(1, STR("s"), STR("x"), str_c(parts[i]), &k[i]);
	duplicate_key(1, STR("s"), STR("x"), STR_NONE, &none);
	assert_memory_equal(&k[0], &k[1], sizeof k[0]);
	for (size_t i = 1; i < ARRAY_LEN(parts); i++) {
		assert_memory_not_equal(&k[i], &none, sizeof none);
		for (size_t j = i + 1; j < ARRAY_LEN(parts); j++) assert_memory_not_equal(&k[i], &k[j], sizeof k[0]);
	}
}

static void an_entry_is_found_for_other_devices_until_it_is_too_old(void **state)
{
	(void)state;
	struct duplicates *d = duplicates_new(100, 5);
	assert_int_equal(duplicates_start_ms(d), 5);
	add(d, "a", 1, 11, 1000);
	assert_int_equal(find(d, "a", 2), 11);
	assert_int_equal(find(d, "a", 1), 0);
	assert_int_equal(find(d, "b", 2), 0);
	duplicates_expire(d, 6000 - 5000);
	assert_int_equal(find(d, "a", 2), 11);
	duplicates_expire(d, 6001 - 5000);
	assert_int_equal(find(d, "a", 2), 0);
	assert_int_equal(duplicates_count(d), 0);
	duplicates_free(d);
}

static void a_device_that_said_the_same_may_say_it_again(void **state)
{
	(void)state;
	struct duplicates *d = duplicates_new(100, 0);
	add(d, "yes", 1, 11, 1000);
	add(d, "yes", 2, 12, 1500); /* with force */
	assert_int_equal(find(d, "yes", 1), 0);
	assert_int_equal(find(d, "yes", 2), 0);
	assert_int_equal(find(d, "yes", 3), 12);
	add(d, "yes", 1, 13, 2000);
	assert_int_equal(find(d, "yes", 3), 13);
	duplicates_expire(d, 1600); /* the first entry of 1 was replaced: only that of 2 goes */
	assert_int_equal(find(d, "yes", 2), 13);
	duplicates_free(d);
}

static void a_dropped_entry_is_not_found_and_its_place_goes_with_time(void **state)
{
	(void)state;
	struct duplicates *d = duplicates_new(100, 0);
	add(d, "a", 1, 11, 1000);
	add(d, "b", 1, 12, 1000);
	struct duplicate_key k = key_of("a");
	duplicates_drop(d, duplicates_find(d, &k, 2));
	assert_int_equal(find(d, "a", 2), 0);
	assert_int_equal(find(d, "b", 2), 12);
	assert_int_equal(duplicates_count(d), 2);
	duplicates_expire(d, 1001);
	assert_int_equal(duplicates_count(d), 0);
	duplicates_free(d);
}

static void past_the_limit_the_oldest_is_forgotten(void **state)
{
	(void)state;
	char text[32];
	for (int64_t most = 16; most <= 3000; most += 1492) {
		struct duplicates *d = duplicates_new(most, 0);
		for (int64_t i = 0; i < 3 * most; i++) {
			(void)snprintf(text, sizeof text, "%lld", (long long)i);
			add(d, text, 1, i + 1, i);
			assert_int_equal(find(d, text, 2), i + 1);
			if (i < most) continue;
			(void)snprintf(text, sizeof text, "%lld", (long long)i - most);
			assert_int_equal(find(d, text, 2), 0);
			(void)snprintf(text, sizeof text, "%lld", (long long)i - most + 1);
			assert_int_equal(find(d, text, 2), i - most + 2);
		}
		assert_int_equal(duplicates_count(d), most);
		duplicates_free(d);
	}
}

static void memory_follows_what_is_in_it(void **state)
{
	(void)state;
	char text[32];
	struct duplicates *d = duplicates_new(1 << 20, 0);
	size_t idle = duplicates_bytes(d);
	assert_in_range(idle, 1, 32 << 10);
	for (int64_t i = 0; i < 100000; i++) {
		(void)snprintf(text, sizeof text, "%lld", (long long)i);
		add(d, text, 1, i + 1, i);
	}
	assert_in_range(duplicates_bytes(d), 100000 * 40, 100000 * 50);
	duplicates_expire(d, 99000);
	assert_in_range(duplicates_count(d), 99900, 99999); /* a few at once, */
	assert_int_equal(find(d, "98999", 2), 0);           /* but none of them is found */
	expire(d, 99000);
	assert_in_range(duplicates_bytes(d), 1000 * 40, 1000 * 40 + (200 << 10));
	for (int64_t i = 99000; i < 100000; i++) {
		(void)snprintf(text, sizeof text, "%lld", (long long)i);
		assert_int_equal(find(d, text, 2), i + 1);
	}
	duplicates_expire(d, 100000); /* nothing is younger */
	assert_int_equal(duplicates_count(d), 0);
	assert_in_range(duplicates_bytes(d), 1, idle + (10 << 10));
	add(d, "again", 1, 7, 100001);
	assert_int_equal(find(d, "again", 2), 7);
	duplicates_free(d);
}

/* Against a plain list, with few texts, so that every chain and every age is met. */
#define MODEL 4096
static struct duplicate_entry model[MODEL];

static int64_t model_find(size_t n, const struct duplicate_key *k, uint32_t device, int64_t since)
{
	int64_t row = 0;
	for (size_t i = 0; i < n; i++) {
		const struct duplicate_entry *e = &model[i];
		if (e->row == 0 || e->boot_ms < since || memcmp(&e->key, k, sizeof *k) != 0) continue;
		if (e->device == device) return 0;
		row = e->row;
	}
	return row;
}

static void it_agrees_with_a_plain_list(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct duplicates *d = duplicates_new(MODEL, 0);
		struct rng rng;
		rng_seed(&rng, seed);
		int64_t now = 0;
		for (size_t n = 0; n < MODEL; n++) {
			char text[8];
			(void)snprintf(text, sizeof text, "%d", (int)rng_below(&rng, seed < 10 ? 10 : 2000));
			uint32_t device = 1 + (uint32_t)rng_below(&rng, 3);
			struct duplicate_key k = key_of(text);
			now += (int64_t)rng_below(&rng, 4);
			duplicates_expire(d, now - 1000);
			const struct duplicate_entry *e = duplicates_find(d, &k, device);
			int64_t expect = model_find(n, &k, device, now - 1000);
			assert_int_equal(e != NULL ? e->row : 0, expect);
			model[n] = (struct duplicate_entry){k, 0, now, device, 0};
			if (e != NULL && rng_below(&rng, 2) == 0) {
				for (size_t i = 0; i < n; i++)
					if (model[i].row == expect) model[i].row = 0;
				duplicates_drop(d, e);
			} else {
				for (size_t i = 0; i < n; i++)
					if (model[i].device == device && memcmp(&model[i].key, &k, sizeof k) == 0)
						model[i].row = 0;
				model[n].row = (int64_t)n + 1;
				duplicates_add(d, &model[n]);
			}
		}
		duplicates_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_content_has_the_same_key_and_other_content_another),
		cmocka_unit_test(white_space_at_the_ends_does_not_count),
		cmocka_unit_test(composed_and_decomposed_text_is_the_same),
		cmocka_unit_test(attachments_count_by_their_bytes_and_order),
		cmocka_unit_test(an_entry_is_found_for_other_devices_until_it_is_too_old),
		cmocka_unit_test(a_device_that_said_the_same_may_say_it_again),
		cmocka_unit_test(a_dropped_entry_is_not_found_and_its_place_goes_with_time),
		cmocka_unit_test(past_the_limit_the_oldest_is_forgotten),
		cmocka_unit_test(memory_follows_what_is_in_it),
		cmocka_unit_test(it_agrees_with_a_plain_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
