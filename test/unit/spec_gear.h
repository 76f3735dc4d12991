/* What the tests of specs share. */
#ifndef TEST_SPEC_GEAR_H
#define TEST_SPEC_GEAR_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lab/spec.h"

#define assert_real(a, b) assert_memory_equal(&(double){a}, &(double){b}, sizeof(double))

/* The text of a spec, for the caller to free. */
static inline char *written(const struct spec *s)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	spec_write(s, &b);
	return buf_take(&b, NULL);
}

/* The manifest's config, likewise. */
static inline char *configured(const struct spec *s)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	spec_write_config(s, &w);
	return buf_take(&b, NULL);
}

/* The only spec of a text; fails the test when there is none. */
static inline struct spec parsed(const struct config *config, const char *yaml)
{
	struct errinfo info = {0};
	struct spec *list = NULL, one;
	size_t n = 0;
	if (spec_parse(str_c(yaml), "/x/spec.yaml", config, &list, &n, &info) != OK)
		fail_msg("%s\n%s", info.text, yaml);
	assert_int_equal(n, 1);
	one = list[0];
	free(list);
	return one;
}

/* Sets an option as the command line would; false and a sentence when it is refused. */
static inline bool option(struct spec *s, const char *name, const char *value, struct errinfo *info)
{
	int agent;
	const struct spec_row *row = spec_row_of_option(str_c(name), &agent);
	*info = (struct errinfo){0};
	assert_non_null(row);
	return spec_set(s, row, agent, str_c(value), info) == OK;
}

#endif
