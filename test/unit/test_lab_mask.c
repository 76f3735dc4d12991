/* What masking finds in a text, what it leaves, and that no text makes it slow. */
#include "event/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/utf8.h"

static void check(const char *in, const char *expected)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	mask_text(&b, str_c(in));
	if (!str_eq(buf_str(&b), str_c(expected))) {
		print_error("of    \"%s\"\ncame  \"%.*s\"\nnot   \"%s\"\n", in, STR_ARG(buf_str(&b)), expected);
		fail();
	}
	buf_release(&b);
}

static void email_addresses_are_masked(void **state)
{
	(void)state;
	check("mail jo.doe+x@mail.example.co.uk, please", "mail [email], please");
	check("bob@example.com", "[email]");
	check("<bob@example.com>", "<[email]>");
	check("mailto:bob_1@example.com.", "mailto:[email].");
	check("(bob@example.com)", "([email])");
	check("a@b.co b@c.io", "[email] [email]");
	check("o'brien@example.ie and 'quoted@example.ie'", "[email] and '[email]'");
	check("jos\xc3\xa9@example.com", "[email]");
	check("\xe2\x80\x9c"
	      "bob@example.com\xe2\x80\x9d",
	      "\xe2\x80\x9c[email]\xe2\x80\x9d");
	check("bob@b\xc3\xbc"
	      "cher.example",
	      "[email]");
	check("1234567@qq.com", "[email]");
	check("x=bob@example.com&y", "x=[email]&y");
}

static void phone_numbers_are_masked(void **state)
{
	(void)state;
	check("+1 555 123 4567", "[phone]");
	check("+1 (212) 555-0123 ext 4", "[phone] ext 4");
	check("call (212) 555-0123.", "call [phone].");
	check("212-555-0123, 212.555.0123; 212 555 0123", "[phone], [phone]; [phone]");
	check("1-212-555-0123", "[phone]");
	check("2125550123", "[phone]");
	check("+442079460958", "[phone]");
	check("+44 (0)20 7946 0958", "[phone]");
	check("020 7946 0958 is it", "[phone] is it");
	check("020 7946 0958 2 times", "[phone] 2 times");
	check("06 12 34 56 78", "[phone]");
	check("01.23.45.67.89 is it", "[phone] is it");
	check("030/1234567", "[phone]");
	check("0171-1234567", "[phone]");
	check("01711234567", "[phone]");
	check("0043 1 234 5678", "[phone]");
	check("tel:+49-30-901820", "tel:[phone]");
}

static void card_numbers_are_masked(void **state)
{
	(void)state;
	check("4111111111111111", "[card]");
	check("4111 1111 1111 1111", "[card]");
	check("4111-1111-1111-1111 12/29", "[card] 12/29");
	check("5500 0000 0000 0004.", "[card].");
	check("3782 822463 10005", "[card]");
	check("6011000990139424 and 2223003122003222", "[card] and [card]");
	check("pay 4111 1111 1111 1111 2024", "pay [card] 2024");
}

static void ibans_are_masked(void **state)
{
	(void)state;
	check("DE89 3704 0044 0532 0130 00", "[iban]");
	check("DE89370400440532013000 now", "[iban] now");
	check("GB82 WEST 1234 5698 7654 32 OK", "[iban] OK");
	check("NO93 8601 1117 947,", "[iban],");
	check("MT84MALT011000012345MTLCAST001S", "[iban]");
}

static void ip_addresses_are_masked(void **state)
{
	(void)state;
	check("at 192.168.1.20:8080", "at [ip]:8080");
	check("10.0.0.1.", "[ip].");
	check("2001:db8::8a2e:370:7334", "[ip]");
	check("[2001:db8::1]:443", "[[ip]]:443");
	check("from fe80::1ff:fe23:4567:890a.", "from [ip].");
	check("::1 and ::ffff:10.1.2.3", "[ip] and [ip]");
	check("ip:2001:0db8:0000:0000:0000:ff00:0042:8329", "ip:[ip]");
}

static void keys_are_masked(void **state)
{
	(void)state;
	check("sk-abcdefghijklmnop1234", "[key]");
	check("sk-ant-api03-AbC_dEf-0123456789, yes", "[key], yes");
	check("sk-proj-0123456789abcdefABCDEF.", "[key].");
	check("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[key]");
	check("xai-0123456789abcdefgh", "[key]");
	check("ghp_0123456789abcdefghijklmnopqrstuvwxyz", "[key]");
	check("github_pat_11ABCDEFG0abcdefghijkl", "[key]");
	check("AKIAIOSFODNN7EXAMPLE", "[key]");
	check("hf_abcdefghijklmnopqrstuvWXYZ", "[key]");
	check("xoxb-123456789012-abcdef", "[key]");
	check("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl!", "[key]!");
	check("Authorization: Bearer abcdef0123456789abcdef01", "Authorization: Bearer [key]");
	check("API_KEY=0123456789abcdef0123456789abcdef", "API_KEY=[key]");
	check("\"token\": \"q83vEjRWeJCrze8SNFZ4kKvN7w==\"", "\"token\": \"[key]\"");
	check("my key is 0123456789abcdef0123456789abcdef.", "my key is [key].");
	check("clientSecret: 9f86d081884c7d659a2feaa0c55ad015", "clientSecret: [key]");
	check("-----BEGIN RSA PRIVATE KEY-----\nMIIB\nAAAA\n-----END RSA PRIVATE KEY-----\nrest", "[key]\nrest");
	check("a -----BEGIN PRIVATE KEY-----\nMIIB and it was cut", "a [key]");
}

static void harmless_texts_stay_as_they_are(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		"Plain words, and nothing else.",
		"3.14159265358979 and 0.5551234567 and 2.7182818284590452",
		"0.333333333333 0.4111111111111111",
		"On 2026-01-02 03:04:05, on 02.01.2026 10:30, on 06/12/2024 10:30",
		"In 1969, 1984 and 2001; 1,234,567,890 of them; 10 000 000",
		"epoch 1767323045 or 1767323045678",
		"version 1.2.3 or 1.2.3.4.5",
		"version 999.1.1.1",
		"4111111111111112",
		"order 12345678",
		"user@localhost and @mention and a @ b.c and x@y",
		"12:34:56 and 1:2",
		"std::vector<int> Foo::bar std::u8::MAX cafe",
		"sk-learn-based-approaches",
		"the key to success is understanding everybody",
		"a token of appreciation: internationalisation",
		"GB82 WEST 1234 5698 7654 33",
		"AB12 is no account",
		"123e4567-e89b-12d3-a456-426614174000",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
		"\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xf0\x9f\x90\xa6 \xe2\x80\x94 gr\xc3\xbc\xc3\x9f",
		"1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"\xff\xfe broken \x80 bytes @\xff.com",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) check(texts[i], texts[i]);
}

static void what_is_masked_twice_does_not_change_any_more(void **state)
{
	(void)state;
	struct buf once = BUF_INIT(BUF_NO_LIMIT);
	mask_text(
		&once,
		STR("bob@example.com 4111111111111111 ::1 +1 555 123 4567 token 0123456789abcdef0123 DE89370400440532013000"));
	assert_string_equal(once.p, "[email] [card] [ip] [phone] token [key] [iban]");
	check(once.p, once.p);
	buf_release(&once);
}

static int64_t cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Half a million bytes of what each form begins with, over and over: with quadratic time each would take minutes. */
static void no_text_takes_more_than_linear_time(void **state)
{
	(void)state;
	static const char *const pieces[] = {
		"a",           "1",
		"@",           "a@",
		"a.",          "a-",
		"1 ",          "1-",
		"1.",          "+",
		"+1",          "(1",
		":",           "a:",
		"1:",          "::1",
		"sk-",         "eyJ-",
		"key ",        "key=",
		"key=a",       "A1",
		"AA11",        "AA11 ",
		"-----BEGIN ", "-----BEGIN PRIVATE KEY",
		"a@b.",        "a@1.",
		"\xc3\xa9",    "\xc3\xa9@",
		"bearer ",     "0 00 ",
		"1.1.1.",      "-",
		"a@b@c.",      "key.",
		"key=1.",      "sk-1.",
		"sk-a.",       "ya29.",
		"SG.",         "key is ",
	};
	enum { TOTAL = 1 << 19 };
	char *text = xmalloc(TOTAL);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		size_t n = strlen(pieces[i]);
		for (size_t k = 0; k < TOTAL; k++) text[k] = pieces[i][k % n];
		int64_t begun = cpu_ms();
		mask_text(&b, str_n(text, TOTAL));
		if (cpu_ms() - begun > 15000) fail_msg("%s takes %lld ms", pieces[i], (long long)(cpu_ms() - begun));
		buf_release(&b);
	}
	free(text);
}

/* Whatever is in it, a text stays UTF-8, and a private thing between two others is found. */
static void mixtures_stay_characters(void **state)
{
	(void)state;
	static const char *const pieces[] = {"bob@example.com",
					     "4111111111111111",
					     "\xc3\xa9",
					     "\xf0\x9f\x90\xa6",
					     " ",
					     ".",
					     "@",
					     "key",
					     "\xe2\x80\x9c",
					     "1",
					     "-",
					     ":",
					     "+1 555 123 4567",
					     "x",
					     "::1",
					     "=",
					     "\n"};
	struct rng rng;
	rng_seed(&rng, 5);
	for (int i = 0; i < 20000; i++) {
		struct buf in = BUF_INIT(BUF_NO_LIMIT), out = BUF_INIT(BUF_NO_LIMIT);
		for (uint64_t n = rng_below(&rng, 12); n > 0; n--)
			buf_add_str(&in, str_c(pieces[rng_below(&rng, ARRAY_LEN(pieces))]));
		buf_add_str(&in, STR("\nann@example.org\n"));
		mask_text(&out, buf_str(&in));
		if (!utf8_is_valid(buf_str(&out)) || strstr(out.p, "ann@") != NULL) fail_msg("%s: %s", in.p, out.p);
		buf_release(&in);
		buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(email_addresses_are_masked),
		cmocka_unit_test(phone_numbers_are_masked),
		cmocka_unit_test(card_numbers_are_masked),
		cmocka_unit_test(ibans_are_masked),
		cmocka_unit_test(ip_addresses_are_masked),
		cmocka_unit_test(keys_are_masked),
		cmocka_unit_test(harmless_texts_stay_as_they_are),
		cmocka_unit_test(what_is_masked_twice_does_not_change_any_more),
		cmocka_unit_test(no_text_takes_more_than_linear_time),
		cmocka_unit_test(mixtures_stay_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
