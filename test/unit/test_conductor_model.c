/* Many conversations of random kinds, with random trouble: calls that fail, stops, cuts, pauses, and deaths of the process
 * at any event, of which the last few may be lost. Whatever happens to it, a conversation says in the end what it would
 * have said undisturbed, and its log tells that once.
 *
 * The agents say what they see (in a hash), so whoever saw something else is known by its words. What makes this a test is
 * that it finds faults: each plant below breaks one call between the conductor's own files, which are built into this
 * program for that. ROOST_SEED and ROOST_ROUNDS choose others than the usual. */
/* NOLINTBEGIN(bugprone-suspicious-include): the plants stand between these files */
#include "talk/conductor_tell.c"
#include "talk/conductor_view.c"

#include "base/id.h"
#include "unit/conductor_rig.h"

enum plant {
	PLANT_NONE,
	PLANT_TURN_TWICE,
	PLANT_NO_END,
	PLANT_INJECT_AGAIN,
	PLANT_FORGET_SAID,
	PLANT_FORGET_CHECK,
	PLANT_COUNT
};
static enum plant planted;

static void planted_turn_complete(struct conductor *c, struct conductor_clock now)
{
	tell_turn_complete(c, now);
	if (planted == PLANT_TURN_TWICE) tell_turn_complete(c, now);
}

static void planted_end(struct conductor *c, struct conductor_clock now)
{
	if (planted != PLANT_NO_END) tell_end(c, now);
}

/* A restart forgets what was given before it. */
static const struct injection *planted_injection(const struct conductor *c, int64_t turn, int agent, size_t i)
{
	bool is_again = planted == PLANT_INJECT_AGAIN && c->is_restored && i == 1;
	return conductor_injection(c, turn, agent, is_again ? 0 : i);
}

#define tell_turn_complete(c, now) planted_turn_complete(c, now)
#define tell_end(c, now) planted_end(c, now)
#define conductor_injection(c, turn, agent, i) planted_injection(c, turn, agent, i)
#include "talk/conductor.c"

static void planted_said(struct conductor *c, struct str text, int64_t seq)
{
	bool forgets = planted == PLANT_FORGET_SAID && c->agent == 1 && text.n % 8 == 0;
	conductor_said(c, forgets ? STR("…") : text, seq);
}

static void planted_turned(struct conductor *c)
{
	conductor_turned(c);
	if (planted == PLANT_FORGET_CHECK) c->check_due = false;
}

#define conductor_said(c, text, seq) planted_said(c, text, seq)
#define conductor_turned(c) planted_turned(c)
#include "talk/conductor_replay.c"
/* NOLINTEND(bugprone-suspicious-include) */

/* ---- a conversation ---------------------------------------------------------------------------------------------- */

static struct rig world, reference;
static const char *problem; /* the first thing that was wrong; NULL nothing */

static void check(bool is_right, const char *what)
{
	if (!is_right && problem == NULL) problem = what;
}

/* Now and then all agree, and sometimes somebody says a name. */
static struct str answers(const struct conductor_view *view, struct conductor_step step, struct buf *b)
{
	unsigned char dice = view->sha256[0];
	if (step.turn % 3 == 2) {
		(void)buf_addf(b, "Yes, we agree on that %d.", dice & 1);
		return buf_str(b);
	}
	if (dice % 4 == 0) (void)buf_addf(b, "Call me Nova%d. ", dice % 8);
	for (int i = 0; i < dice % 16; i++) (void)buf_addf(b, "word ");
	return rig_mirrors(view, step, b);
}

struct kind {
	size_t nagents;
	int64_t turns;
	struct injection injections[4];
	size_t ninjections;
	bool names, truncates, has_prompts, thinks;
	int64_t window;
	enum convergence_action action;
	double threshold;
};

static void choose_kind(struct kind *k, struct rng *rng)
{
	static const char *const texts[] = {"Think of rivers.", "Be brief.", "Ask something.", "Now end."};
	memset(k, 0, sizeof *k);
	k->nagents = rng_below(rng, 4) > 0 ? 2 : 1 + rng_below(rng, LAB_AGENTS_MAX);
	k->turns = 1 + (int64_t)rng_below(rng, 6);
	k->ninjections = rng_below(rng, ARRAY_LEN(k->injections) + 1);
	for (size_t i = 0; i < k->ninjections; i++) {
		int agent = (int)rng_below(rng, k->nagents + 1) - 1;
		k->injections[i] =
			(struct injection){(int64_t)rng_below(rng, (uint64_t)k->turns), agent, str_c(texts[i])};
	}
	k->names = rng_below(rng, 2);
	k->has_prompts = rng_below(rng, 2);
	k->thinks = rng_below(rng, 4) == 0;
	k->window = rng_below(rng, 3) == 0 ? 150 + (int64_t)rng_below(rng, 300) : 0;
	k->truncates = rng_below(rng, 4) > 0;
	k->action = (enum convergence_action)rng_below(rng, 5);
	k->threshold = rng_below(rng, 2) ? (double)NAN : 0.6 + 0.1 * (double)rng_below(rng, 4);
}

static void init(struct rig *r, const struct kind *k)
{
	static const char *const prompts[] = {"You are the first.", "You are the second."};
	rig_init(r, k->nagents);
	for (size_t i = 0; i < k->nagents && k->has_prompts; i++) r->agents[i].system_prompt = str_c(prompts[i % 2]);
	for (size_t i = 0; i < k->nagents; i++) r->agents[i].window = i % 2 == 0 ? k->window : 0;
	r->config.max_turns = k->turns;
	r->config.injections = k->injections;
	r->config.ninjections = k->ninjections;
	r->config.choose_names = k->names;
	r->config.allow_truncation = k->truncates;
	r->config.action = k->action;
	r->config.threshold = k->threshold;
	if (k->thinks) r->thinking = STR("Hm.");
	r->script = answers;
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

/* The process is gone, and with it the last events. The conversation that took a refused event is not looked at further. */
static void die_and_come_back(const struct kind *k, struct rng *rng)
{
	static struct rig_log old;
	old = world.log;
	conductor_free(world.c);
	size_t lost = rng_below(rng, 4);
	old.n -= MIN(lost, old.n);
	size_t nviews = world.nviews;
	arena_clear(&world.memory);
	init(&world, k);
	world.nviews = nviews;
	rig_start(&world);
	for (size_t i = 0; i < old.n && problem == NULL; i++) {
		struct lab_event e = old.list[i];
		check(conductor_replay(world.c, &e), "an event of its own is refused");
		rig_event(&world.log, &e);
	}
	rig_log_release(&old);
}

static bool is_over(void)
{
	struct conductor_state s;
	conductor_state(world.c, &s);
	return str_eq(str_c(s.status), STR("completed"));
}

/* One step of somebody; true while there may be another. */
static void step(const struct kind *k, struct rng *rng, bool is_calm)
{
	struct conductor_view view;
	struct conductor_step what = rig_next(&world);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	uint64_t dice = is_calm ? 100 : rng_below(rng, 30);
	if (dice == 0) conductor_stop(world.c, "user", world.now);
	if (dice == 1) conductor_pause(world.c, world.now);
	if (dice == 2) conductor_failed(world.c, "api_error", STR("gone"), world.now);
	if (dice <= 2) what = rig_next(&world);
	switch (what.what) {
	case CONDUCTOR_CALL:
		if (!rig_ask(&world, &view)) break;
		if (dice == 3) conductor_stop(world.c, "user", world.now);
		if (dice == 4) conductor_pause(world.c, world.now);
		if (dice == 5) conductor_failed(world.c, "timeout", STR("slow"), world.now);
		else if (dice == 6) conductor_cut(world.c, STR("Yes, we"), world.now);
		else if (dice > 8) rig_reply(&world, answers(&view, what, &b));
		else die_and_come_back(k, rng); /* while it waits */
		break;
	case CONDUCTOR_PAUSED: conductor_resume(world.c, world.now); break;
	case CONDUCTOR_ENDED: die_and_come_back(k, rng); break; /* somebody resumes it */
	case CONDUCTOR_BUSY: check(false, "a call is out that nobody made"); break;
	}
	if (dice == 9 || dice == 10) die_and_come_back(k, rng);
	buf_release(&b);
}

/* ---- what must hold ---------------------------------------------------------------------------------------------- */

static void check_log(const struct rig_log *log)
{
	int64_t turns = 0, started = 0, messages = 0;
	size_t names[LAB_AGENTS_MAX] = {0};
	for (size_t i = 0; i < log->n && problem == NULL; i++) {
		const struct lab_event *e = &log->list[i];
		if (e->type == LE_TURN_START)
			check(lab_int(e, LF(TurnStartEvent, turn_number), -1) == started++, "turns start");
		if (e->type == LE_TURN_COMPLETE)
			check(lab_int(e, LF(TurnCompleteEvent, turn_number), -1) == turns++, "turns end");
		if (e->type == LE_NAME_CHOSEN)
			check(names[lab_agent_find(lab_str(e, LF(NameChosenEvent, agent_id)))]++ == 0,
			      "a name is chosen once");
		messages += e->type == LE_MESSAGE_COMPLETE;
	}
	struct conductor_state s;
	conductor_state(world.c, &s);
	check(s.turns == turns, "turns are counted");
	check(s.messages == messages, "messages are counted");
	check(log->n > 0 && log->list[log->n - 1].type == LE_CONVERSATION_END, "the end is the last");
	check(log_count(log, LE_CONVERSATION_START) == 1, "there is one start");
	check(log_count(log, LE_PROMPT_INJECTED) == log_count(&reference.log, LE_PROMPT_INJECTED),
	      "prompts are given once");
	check(log_count(log, LE_CONVERGENCE_REACHED) == log_count(&reference.log, LE_CONVERGENCE_REACHED),
	      "it is told once");
}

static void check_rebuilt(const struct rig_log *log)
{
	struct rebuild *b = rebuild_new();
	struct arena memory = {0};
	struct conductor_view view;
	for (size_t i = 0; i < log->n && problem == NULL; i++) {
		const struct lab_event *e = &log->list[i];
		check(rebuild_event(b, e, NULL) == OK, "the log holds together");
		if (e->type != LE_MESSAGE_REQUEST) continue;
		check(rebuild_request(b, e, &memory, &view, NULL) == OK, "requests can be rebuilt");
	}
	arena_clear(&memory);
	rebuild_free(b);
}

static void check_words(void)
{
	struct buf got = BUF_INIT(BUF_NO_LIMIT), want = BUF_INIT(BUF_NO_LIMIT);
	struct conductor_state a, b;
	write_messages(world.c, &got);
	write_messages(reference.c, &want);
	conductor_state(world.c, &a);
	conductor_state(reference.c, &b);
	check(str_eq(buf_str(&got), buf_str(&want)), "the words are the same");
	check(a.reason != NULL && b.reason != NULL && str_eq(str_c(a.reason), str_c(b.reason)),
	      "it ends for the same reason");
	for (int i = 0; i < (int)reference.config.nagents; i++)
		check(str_eq(conductor_name(world.c, i), conductor_name(reference.c, i)), "the names are the same");
	buf_release(&got);
	buf_release(&want);
}

/* One conversation, undisturbed and disturbed; NULL when all is well. */
static const char *play(uint64_t seed)
{
	struct rng rng;
	struct kind k;
	problem = NULL;
	rng_seed(&rng, seed);
	choose_kind(&k, &rng);
	init(&reference, &k);
	rig_start(&reference);
	enum plant plant = planted;
	planted = PLANT_NONE;
	while (rig_message(&reference).what != CONDUCTOR_ENDED) conductor_resume(reference.c, reference.now);
	planted = plant;
	init(&world, &k);
	rig_start(&world);
	for (int i = 0; !is_over() && problem == NULL; i++) step(&k, &rng, i > 200);
	if (problem == NULL) check_log(&world.log);
	if (problem == NULL) check_rebuilt(&world.log);
	if (problem == NULL) check_words();
	rig_stop(&world);
	rig_stop(&reference);
	return problem;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);
	return s != NULL ? strtoull(s, NULL, 0) : otherwise;
}

static void a_disturbed_conversation_says_the_same(void **state)
{
	(void)state;
	uint64_t seed = number("ROOST_SEED", 1), rounds = number("ROOST_ROUNDS", 500);
	planted = PLANT_NONE;
	for (uint64_t i = 0; i < rounds; i++) {
		const char *wrong = play(seed + i);
		if (wrong != NULL) fail_msg("seed %llu: not so: %s", (unsigned long long)(seed + i), wrong);
	}
}

static void each_planted_fault_is_found(void **state)
{
	(void)state;
	for (planted = PLANT_NONE + 1; planted < PLANT_COUNT; planted++) {
		bool is_found = false;
		for (uint64_t i = 1; i < 500 && !is_found; i++) is_found = play(i) != NULL;
		if (!is_found) fail_msg("plant %d is not found", planted);
	}
	planted = PLANT_NONE;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disturbed_conversation_says_the_same),
		cmocka_unit_test(each_planted_fault_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
