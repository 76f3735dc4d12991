/* What an event costs the manifest, with one conversation in it and with ten thousand, and what a save takes.
 *
 *     bench_manifest [--conversations 10000] [--parallel 16] [--seconds 2] [--dir DIR]
 *
 * Events come as a run has them: `parallel` conversations go on at a time, ten turns each, then the next ones; each event
 * spends, sets a status now and then, and touches, and the manifest is saved whenever it is due, to DIR, on a running
 * clock. Both sizes take turns so that a slower minute of the machine is one for both. `line` is the same with the event's
 * own line made and hashed, which is what an event costs a run at the least. Prints
 * {"conversations","nsOne","nsMany","ratio","lineNsOne","lineNsMany","lineRatio","saveMsOne","saveMsMany","saveBytes",
 * "savesOne","savesMany"}. */
#include <ftw.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "gear/args.h"
#include "gear/stats.h"
#include "lab/manifest.h"

#define SLICE_NS (NS_PER_SEC / 4) /* of one size before the other has its turn; the shortest time between two saves */
#define EVENTS_EACH 80            /* ten turns of two agents, four events a message */
#define LOOK_AT_CLOCK 64          /* events between two looks */

struct side {
	struct manifest m;
	char dir[256];
	size_t parallel, first, next; /* of those that go on, and the number of the event */
	int64_t events, ns, saves;
	struct samples save_ns;
};

static char line[1024];

static void make(struct side *s, size_t n, size_t parallel, const char *dir, const char *name)
{
	manifest_init(&s->m);
	s->parallel = MIN(parallel, n);
	snprintf(s->dir, sizeof s->dir, "%s/%s", dir, name);
	s->m.experiment_id = STR("experiment_00000001");
	s->m.name = STR("bench");
	s->m.status = EXPERIMENT_RUNNING;
	s->m.nagents = 2;
	s->m.agent_models[0] = s->m.agent_models[1] = STR("local:test");
	for (size_t i = 0; i < n; i++) {
		char id[16];
		snprintf(id, sizeof id, "conv_%08x", (unsigned)i);
		(void)manifest_add(&s->m, id);
	}
}

static void event(struct side *s)
{
	static const struct manifest_tokens spent = {.prompt = 120, .completion = 250, .cost_ticks = 9000};
	size_t k = s->next++;
	struct manifest_conversation *c = &s->m.list[(s->first + k % s->parallel) % s->m.n];
	if (k / s->parallel == 0) manifest_set(&s->m, c, LAB_RUNNING);
	manifest_spend(&s->m, c, (int)(k & 1), &spent);
	c->lines++;
	manifest_touch(&s->m);
	if (s->next < s->parallel * EVENTS_EACH) return;
	for (size_t i = 0; i < s->parallel; i++)
		manifest_set(&s->m, &s->m.list[(s->first + i) % s->m.n], LAB_COMPLETED);
	s->first += s->parallel;
	s->next = 0;
}

static void save_when_due(struct side *s)
{
	struct errinfo info = {0};
	int64_t boot_ms = clock_boot_ms();
	if (manifest_due(&s->m) > boot_ms) return;
	int64_t begun_ns = now_ns();
	if (manifest_save(&s->m, s->dir, boot_ms, &info) != OK) die(74, "%s", info.text);
	samples_add(&s->save_ns, now_ns() - begun_ns);
	s->saves++;
}

static volatile uint64_t sink; /* nothing is computed for nobody */

static void slice(struct side *s, bool with_line)
{
	int64_t begun_ns = now_ns(), end_ns = begun_ns + SLICE_NS;
	while (now_ns() < end_ns) {
		for (int i = 0; i < LOOK_AT_CLOCK; i++) {
			event(s);
			if (!with_line) continue;
			struct buf b = BUF_INIT(BUF_NO_LIMIT);
			struct jw w = JW(&b);
			jw_obj(&w);
			jw_kint(&w, "seq", s->events + i);
			jw_kstr(&w, "content", str_n(line, sizeof line));
			jw_obj_end(&w);
			sink = sink + hash64(buf_str(&b), 0);
			buf_release(&b);
		}
		s->events += LOOK_AT_CLOCK;
		save_when_due(s);
	}
	s->ns += now_ns() - begun_ns;
}

/* Nanoseconds per event of both, saves included. */
static void measure(struct side *one, struct side *many, int64_t ns, bool with_line, double out[2])
{
	one->events = many->events = one->ns = many->ns = 0;
	for (int64_t end_ns = now_ns() + ns; now_ns() < end_ns;) {
		slice(one, with_line);
		slice(many, with_line);
	}
	out[0] = (double)one->ns / (double)one->events;
	out[1] = (double)many->ns / (double)many->events;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	size_t n = (size_t)args_int(&args, "conversations", 10000), parallel = (size_t)args_int(&args, "parallel", 16);
	int64_t ns = args_int(&args, "seconds", 2) * NS_PER_SEC;
	const char *where = args_text(&args, "dir", "/tmp");
	args_done(&args);

	static struct side one, many;
	char dir[200];
	double bare[2], lines[2];
	struct stat st;
	memset(line, 'a', sizeof line);
	snprintf(dir, sizeof dir, "%s/bench-manifest-XXXXXX", where);
	if (mkdtemp(dir) == NULL) die(73, "%s cannot be made", dir);
	make(&one, 1, parallel, dir, "one");
	make(&many, n, parallel, dir, "many");
	if (mkdir(one.dir, 0700) != 0 || mkdir(many.dir, 0700) != 0) die(73, "%s cannot be made", one.dir);
	measure(&one, &many, ns, false, bare);
	measure(&one, &many, ns, true, lines);
	struct buf path = BUF_INIT(4096);
	buf_addf(&path, "%s/" MANIFEST_FILE, many.dir);
	if (stat(path.p, &st) != 0) die(74, "%s is gone", path.p);
	printf("{\"conversations\":%zu,\"nsOne\":%.1f,\"nsMany\":%.1f,\"ratio\":%.3f,\"lineNsOne\":%.1f,\"lineNsMany\":%.1f,"
	       "\"lineRatio\":%.3f,\"saveMsOne\":%.2f,\"saveMsMany\":%.2f,\"saveBytes\":%lld,\"savesOne\":%lld,"
	       "\"savesMany\":%lld}\n",
	       n, bare[0], bare[1], bare[1] / bare[0], lines[0], lines[1], lines[1] / lines[0],
	       (double)samples_at(&one.save_ns, 0.5) / 1e6, (double)samples_at(&many.save_ns, 0.5) / 1e6,
	       (long long)st.st_size, (long long)one.saves, (long long)many.saves);
	buf_release(&path);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
