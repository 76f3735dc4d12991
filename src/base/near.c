#include "base/near.h"

size_t near_distance(struct str a, struct str b)
{
	size_t row[NEAR_LONG + 1];
	if (a.n > NEAR_LONG || b.n > NEAR_LONG) return NEAR_LONG;
	for (size_t j = 0; j <= b.n; j++) row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t above = row[j];
			bool same = str_eq_nocase(str_n(a.p + i - 1, 1), str_n(b.p + j - 1, 1));
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, diagonal + (same ? 0 : 1));
			diagonal = above;
		}
	}
	return row[b.n];
}
