#include "gear/args.h"

static const char *args_find(struct args *a, const char *name)
{
	if (a->argc > 64) die(64, "too many arguments");
	for (int i = 1; i + 1 < a->argc; i += 2) {
		if (strncmp(a->argv[i], "--", 2) != 0 || strcmp(a->argv[i] + 2, name) != 0) continue;
		a->asked |= 3ULL << i;
		return a->argv[i + 1];
	}
	return NULL;
}

const char *args_text(struct args *a, const char *name, const char *otherwise)
{
	const char *found = args_find(a, name);

	if (!found && !otherwise) die(64, "%s: --%s is missing", a->argv[0], name);
	return found ? found : otherwise;
}

int64_t args_int(struct args *a, const char *name, int64_t otherwise)
{
	const char *found = args_find(a, name);
	int64_t out = otherwise;

	if (found ? !str_to_int(str_c(found), &out) : otherwise == ARG_NEEDED)
		die(64, "%s: --%s wants a number", a->argv[0], name);
	return out;
}

void args_done(const struct args *a)
{
	for (int i = 1; i < a->argc; i++)
		if (!(a->asked >> i & 1)) die(64, "%s: what is %s?", a->argv[0], a->argv[i]);
}
