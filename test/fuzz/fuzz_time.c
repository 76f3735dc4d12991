/* Times: any text is refused or is a moment that, when it can be written, reads back as itself; and numbers, which are as
 * small a parser. */
#include "base/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str s = str_n((const char *)data, n);
	char text[TIME_TEXT_LEN + 1];
	int64_t ms, back, v;
	if (time_parse(s, &ms) && ms >= 0) {
		time_format(ms, text);
		ASSERT(time_parse(str_c(text), &back));
		if (ms <= 253402300799999) ASSERT_CMP(ms, ==, back);
	}
	if (str_to_int(s, &v)) {
		char number[24];
		int len = snprintf(number, sizeof number, "%lld", (long long)v);
		ASSERT(v == 0 || str_eq_nocase(str_n(number, (size_t)len), s) || memchr(s.p, '0', s.n) != NULL);
	}
	return 0;
}
