#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t now_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_wall_ms(void) { return now_ns(CLOCK_REALTIME) / 1000000; }
int64_t clock_boot_ms(void) { return now_ns(CLOCK_BOOTTIME) / 1000000; }
int64_t clock_boot_us(void) { return now_ns(CLOCK_BOOTTIME) / 1000; }

/* Days since 1970-01-01 to a civil date and back: the proleptic Gregorian calendar in 400-year eras that start on
 * 1 March, so that the leap day is the last of a year. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static void put_digits(char *p, int64_t v, int n)
{
	while (n-- > 0) {
		p[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

void time_format(int64_t ms, char out[TIME_TEXT_LEN + 1])
{
	if (ms < 0) ms = 0;
	if (ms > 253402300799999) ms = 253402300799999;
	int64_t days = ms / 86400000, rest = ms % 86400000;
	int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	int64_t d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9, y = yoe + era * 400 + (m <= 2);
	memcpy(out, "0000-00-00T00:00:00.000Z", TIME_TEXT_LEN + 1);
	put_digits(out, y, 4);
	put_digits(out + 5, m, 2);
	put_digits(out + 8, d, 2);
	put_digits(out + 11, rest / 3600000, 2);
	put_digits(out + 14, rest / 60000 % 60, 2);
	put_digits(out + 17, rest / 1000 % 60, 2);
	put_digits(out + 20, rest % 1000, 3);
}

static bool take_digits(struct str *s, int n, int64_t *out)
{
	if (s->n < (size_t)n) return false;
	*out = 0;
	for (int i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9') return false;
		*out = *out * 10 + (s->p[i] - '0');
	}
	s->p += n;
	s->n -= (size_t)n;
	return true;
}

static bool take_char(struct str *s, const char *any)
{
	if (s->n == 0 || s->p[0] == '\0' || strchr(any, s->p[0]) == NULL) return false;
	s->p++;
	s->n--;
	return true;
}

bool time_parse(struct str s, int64_t *out)
{
	int64_t y, mo, d, h, mi, sec, ms = 0, off_h = 0, off_m = 0;
	if (!take_digits(&s, 4, &y) || !take_char(&s, "-") || !take_digits(&s, 2, &mo) || !take_char(&s, "-") ||
	    !take_digits(&s, 2, &d) || !take_char(&s, "Tt ") || !take_digits(&s, 2, &h) || !take_char(&s, ":") ||
	    !take_digits(&s, 2, &mi) || !take_char(&s, ":") || !take_digits(&s, 2, &sec))
		return false;
	if (mo < 1 || mo > 12 || d < 1 || h > 23 || mi > 59 || sec > 60) return false;
	int64_t next = mo < 12 ? days_from_civil(y, mo + 1, 1) : days_from_civil(y + 1, 1, 1);
	if (d > next - days_from_civil(y, mo, 1)) return false;
	if (take_char(&s, ".")) {
		int n = 0;
		for (int64_t digit; take_digits(&s, 1, &digit); n++)
			if (n < 3) ms = ms * 10 + digit;
		if (n == 0) return false;
		for (; n < 3; n++) ms *= 10;
	}
	int64_t sign = 0;
	if (!take_char(&s, "Zz")) {
		if (s.n == 0 || (s.p[0] != '+' && s.p[0] != '-')) return false;
		sign = s.p[0] == '+' ? 1 : -1;
		s.p++;
		s.n--;
		if (!take_digits(&s, 2, &off_h) || !take_char(&s, ":") || !take_digits(&s, 2, &off_m) || off_h > 23 ||
		    off_m > 59)
			return false;
	}
	if (s.n != 0) return false;
	*out = ((days_from_civil(y, mo, d) * 24 + h - sign * off_h) * 60 + mi - sign * off_m) * 60000 + sec * 1000 + ms;
	return true;
}
