/* A benchmark program's arguments: `--name value` pairs, every one of which must be asked for. */
#ifndef BENCH_GEAR_ARGS_H
#define BENCH_GEAR_ARGS_H

#include "base/base.h"

struct args {
	int argc;
	char **argv;
	unsigned long long asked; /* a bit for each argument that was looked up */
};

/* The value, or `otherwise`; with `otherwise` NULL or ARG_NEEDED the program ends when it is not given. */
#define ARG_NEEDED INT64_MIN
const char *args_text(struct args *a, const char *name, const char *otherwise);
int64_t args_int(struct args *a, const char *name, int64_t otherwise);
/* Ends the program when an argument was given that nobody asked for. */
void args_done(const struct args *a);

#endif
