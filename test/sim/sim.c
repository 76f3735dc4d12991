/* sim --seeds A..B: whole systems under a seed each, see world.h. Every seed runs in a process of its own, so that a
 * seed is the same run whatever ran before it; a seed that fails prints its report and how to see it again. */
#include <getopt.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/book.h"
#include "sim/disk.h"
#include "sim/house.h"
#include "sim/plan.h"

#define STEPS 120
#define SEED_SECONDS 120 /* of real time */
#define SEED_BYTES ((rlim_t)2 << 30)

struct args {
	uint64_t from, to;
	int64_t operations; /* go on until so many were done */
	struct world_options world;
	bool print_hash, print_figures;
};

/* What all seeds did together; the processes share it. */
static struct figures {
	int64_t seeds, converged, operations, typed_bytes, lost_bytes;
} * figures;

static void usage(FILE *to)
{
	(void)fprintf(to, "usage: sim --seeds A..B [--steps N] [--plant NAME] [--trace] [--hash]\n"
			  "           [--operations N] [--figures]\n"
			  "  --operations N  goes on with the next seeds until so many operations were done\n"
			  "  --figures       one line of JSON at the end\n  --plant NAME  ");
#define X(sym, name, what) (void)fprintf(to, "%s (%s); ", name, what);
	PLANT_MAP(X)
#undef X
	(void)fprintf(to, "\n");
}

static bool parse_seeds(const char *text, struct args *a)
{
	int64_t from, to;
	const char *dots = strstr(text, "..");
	if (dots == NULL || !str_to_int(str_n(text, (size_t)(dots - text)), &from) ||
	    !str_to_int(str_c(dots + 2), &to) || from < 0 || to < from)
		return false;
	a->from = (uint64_t)from;
	a->to = (uint64_t)to;
	return true;
}

static bool parse_plant(const char *text, enum plant *out)
{
#define X(sym, name, what)                                                                                             \
	if (strcmp(text, name) == 0) {                                                                                 \
		*out = sym;                                                                                            \
		return true;                                                                                           \
	}
	PLANT_MAP(X)
#undef X
	return false;
}

static bool parse(int argc, char **argv, struct args *a)
{
	static const struct option options[] = {
		{"seeds", required_argument, NULL, 's'},
		{"steps", required_argument, NULL, 'n'},
		{"plant", required_argument, NULL, 'p'},
		{"trace", no_argument, NULL, 't'},
		{"hash", no_argument, NULL, 'h'},
		{"figures", no_argument, NULL, 'f'},
		{"operations", required_argument, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	*a = (struct args){.from = 1, .to = 0, .world.steps = STEPS};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 's':
			if (!parse_seeds(optarg, a)) return false;
			break;
		case 'n':
			if (!str_to_int(str_c(optarg), &a->world.steps)) return false;
			break;
		case 'p':
			if (!parse_plant(optarg, &a->world.plant)) return false;
			break;
		case 't': a->world.trace = true; break;
		case 'h': a->print_hash = true; break;
		case 'f': a->print_figures = true; break;
		case 'o':
			if (!str_to_int(str_c(optarg), &a->operations)) return false;
			break;
		default: return false;
		}
	}
	return optind == argc && a->to >= a->from;
}

int __real_setrlimit(int what, const struct rlimit *limit);

/* A run that goes wrong must not take the machine with it. */
static void limit_process(void)
{
	(void)alarm(SEED_SECONDS);
#ifndef __SANITIZE_ADDRESS__
	(void)__real_setrlimit(RLIMIT_AS, &(struct rlimit){SEED_BYTES, SEED_BYTES});
#endif
}

static _Noreturn void run_seed(const struct args *a, uint64_t seed)
{
	struct world_options o = a->world;
	o.seed = seed;
	limit_process();
	world_open(&o);
	disk_open();
	house_open();
	plan_run(&figures->lost_bytes);
	figures->converged++;
	figures->operations += world_steps();
	figures->typed_bytes += book_typed_bytes();
	if (a->print_hash)
		printf("seed %llu hash %016llx events %lld facts %zu starts %lld syncs %lld simulated %lld ms\n",
		       (unsigned long long)seed, (unsigned long long)world_hash(), (long long)world_notes(),
		       book_size(), (long long)house_lives(), (long long)disk_syncs(),
		       (long long)(now_us() / MS - 3600000));
	(void)fflush(stdout);
	_Exit(0);
}

/* Directory for the few real files of a run: the lock, and the empty file that the store makes before SQLite opens it. */
static bool make_dir(char *out, size_t cap)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(out, cap, "%s/roost-sim-XXXXXX", base);
	return mkdtemp(out) != NULL;
}

static void remove_dir(const char *dir)
{
	static const char *const names[] = {"roost.db", "roost.lock"};
	char path[300];
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

int main(int argc, char **argv)
{
	struct args a;
	char dir[64];
	uint64_t failed = 0;
	if (!parse(argc, argv, &a)) {
		usage(stderr);
		return 64;
	}
	if (!make_dir(dir, sizeof dir)) die(70, "no directory for a run's files");
	a.world.dir = dir;
	figures = mmap(NULL, sizeof *figures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (figures == MAP_FAILED) die(70, "no memory to share");
	for (uint64_t seed = a.from; seed <= a.to || figures->operations < a.operations; seed++) {
		int status;
		figures->seeds++;
		(void)fflush(stdout);
		pid_t child = fork();
		if (child == 0) run_seed(&a, seed);
		if (child < 0 || waitpid(child, &status, 0) != child) die(70, "no process for a seed");
		if (status == 0) continue;
		failed++;
		if (WIFSIGNALED(status) || WEXITSTATUS(status) != 1)
			printf("seed %llu ended by %s %d; again: ./dev sim --seeds %llu..%llu --steps %lld --trace\n",
			       (unsigned long long)seed, WIFSIGNALED(status) ? "signal" : "status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (unsigned long long)seed,
			       (unsigned long long)seed, (long long)a.world.steps);
	}
	remove_dir(dir);
	if (a.print_figures)
		printf("{\"seeds\":%lld,\"converged\":%lld,\"operations\":%lld,\"typedBytes\":%lld,\"lostBytes\":%lld}\n",
		       (long long)figures->seeds, (long long)figures->converged, (long long)figures->operations,
		       (long long)figures->typed_bytes, (long long)figures->lost_bytes);
	else printf("%lld seeds, %llu failed\n", (long long)figures->seeds, (unsigned long long)failed);
	return failed > 0;
}
