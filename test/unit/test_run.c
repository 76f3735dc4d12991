/* A run from its start to its end: stopped, paused and killed at each of its events, continued, with a disk that is full
 * and files that are damaged. */
#include "lab/run.h"
#include "unit/run_rig.h"

/* Each message fails once, half said; the provider answers one at a time, so there is a line. */
#define RESTLESS                                                                                                       \
	"{agent_a: 'one:m', agent_b: 'one:m', turns: 2, repetitions: 3, max_parallel: 2, seed: 5, prompt: hello, "     \
	"params: {tokens: 40, error: cut, failAfter: 20, failTimes: 1}}"
#define SHORT "{agent_a: 'local:test', agent_b: 'local:test', turns: 2, repetitions: 3, seed: 5, params: {tokens: 5}}"

static struct rig rig;

static int setup(void **state)
{
	if (scratch_make(state) != 0) return -1;
	rig_open(&rig);
	return 0;
}

static int teardown(void **state)
{
	rig_close(&rig);
	return scratch_remove(state);
}

/* ---- every verb at every event ---------------------------------------------------------------------------------- */

static void finish(struct rig *r) { run_stop(r->run, false); }
static void cut(struct rig *r) { run_stop(r->run, true); }
static void finish_then_cut(struct rig *r)
{
	finish(r);
	cut(r);
	cut(r);
}
static void cut_then_finish(struct rig *r)
{
	cut(r);
	finish(r);
}
static void pause_and_go_on(struct rig *r)
{
	run_pause(r->run);
	run_pause(r->run);
	run_resume(r->run);
}
static void pause_then_finish(struct rig *r)
{
	run_pause(r->run);
	finish(r);
	run_resume(r->run);
	run_pause(r->run);
}
static void go_on_twice(struct rig *r)
{
	run_resume(r->run);
	run_resume(r->run);
}
static void go_on_later(uv_timer_t *t) { run_resume(((struct rig *)t->data)->run); }
static void pause_a_while(struct rig *r)
{
	run_pause(r->run);
	uv_timer_start(&r->later, go_on_later, 8, 0);
}
static void stop_later(uv_timer_t *t) { run_stop(((struct rig *)t->data)->run, false); }
static void pause_then_stop_later(struct rig *r)
{
	run_pause(r->run);
	uv_timer_start(&r->later, stop_later, 8, 0);
}

static const struct verb {
	void (*act)(struct rig *r);
	bool ends; /* before all was said, unless it comes too late */
} verbs[] = {
	{finish, true},          {cut, true},
	{finish_then_cut, true}, {pause_and_go_on, false},
	{pause_a_while, false},  {pause_then_finish, true},
	{go_on_twice, false},    {pause_then_stop_later, true},
	{cut_then_finish, true},
};

static const struct verb *verb;

static void on_later(uv_timer_t *t) { verb->act(t->data); }

static void act_in_the_hook(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)conversation;
	(void)e;
	verb->act(r);
}

static void act_from_the_loop(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)conversation;
	(void)e;
	uv_timer_start(&r->later, on_later, 0, 0);
}

static void act_in_a_while(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)conversation;
	(void)e;
	uv_timer_start(&r->later, on_later, 40, 0);
}

/* Continued with nobody in its way, it ends as the undisturbed one did. */
static void goes_on_to(uint64_t texts)
{
	rig.act = NULL;
	rig_run(&rig, true);
	assert_int_equal(rig.error, OK);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
	assert_true(rig_texts(&rig) == texts);
}

static void check_verb(size_t at, bool in_hook, uint64_t texts)
{
	char name[64];
	snprintf(name, sizeof name, "v%zu-%zu-%d", (size_t)(verb - verbs), at, in_hook);
	rig_place(&rig, name);
	rig.at = at;
	rig.act = in_hook ? act_in_the_hook : act_from_the_loop;
	rig_run(&rig, false);
	assert_int_equal(rig.error, OK);
	struct manifest m = rig_verify(&rig);
	bool is_complete = m.status == EXPERIMENT_COMPLETED;
	if (!is_complete) assert_int_equal(m.status, EXPERIMENT_INTERRUPTED);
	if (!verb->ends) assert_true(is_complete);
	/* Whoever is not in flight ends at once. */
	if (verb->ends && at <= 40) {
		assert_int_equal(m.count[LAB_COMPLETED], 0);
		assert_in_range(m.count[LAB_CREATED], 1, 2);
	}
	manifest_release(&m);
	goes_on_to(texts);
}

static void a_run_ends_well_whatever_is_asked_of_it_and_whenever(void **state)
{
	(void)state;
	rig_spec(&rig, RESTLESS);
	rig_place(&rig, "whole");
	rig_run(&rig, false);
	size_t all = rig.nevents;
	uint64_t texts = rig_texts(&rig);
	assert_true(all > 100);
	for (size_t v = 0; v < ARRAY_LEN(verbs); v++) {
		verb = &verbs[v];
		for (size_t at = 1 + v % 3; at <= all; at += 7) check_verb(at, (at + v) % 2 == 0, texts);
	}
}

/* ---- what would never end by itself ----------------------------------------------------------------------------- */

static int64_t partial_bytes;

static void note_cut(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)r;
	(void)conversation;
	if (e->type == LE_MESSAGE_CUT) partial_bytes = lab_int(e, LF(MessageCutEvent, partial_bytes), -1);
}

static const struct endless {
	const char *name, *model, *params;
	enum lab_type at;
	bool can_finish; /* no message is in flight: nobody waits for one */
	bool is_half;    /* something was said, and is spent */
} endless[] = {
	{"asked", "local:test", "{delayMs: 3600000}", LE_MESSAGE_REQUEST, false, false},
	{"speaking", "local:test", "{tokens: 1000, tokensPerSecond: 20}", LE_MESSAGE_CHUNK, false, true},
	{"backing-off", "local:test", "{error: cut, failAfter: 9}", LE_API_ERROR, true, false},
	{"in-line-again", "rare:m", "{error: cut, failAfter: 9}", LE_RATE_LIMIT_PACE, true, false},
};

static void check_endless(const struct endless *t, const struct verb *v)
{
	char text[256], name[64];
	snprintf(text, sizeof text, "{agent_a: '%s', agent_b: '%s', params: %s}", t->model, t->model, t->params);
	snprintf(name, sizeof name, "%s%zu", t->name, (size_t)(v - verbs));
	rig_spec(&rig, text);
	rig_place(&rig, name);
	rig.config.limits.backoff_ms = t->at == LE_API_ERROR ? 3600000 : 2;
	rig.config.limits.backoff_max_ms = rig.config.limits.backoff_ms;
	partial_bytes = -1;
	verb = v;
	rig.at_type = t->at;
	rig.act = act_from_the_loop;
	rig.watch = note_cut;
	rig_run(&rig, false);
	assert_int_equal(rig.error, OK);
	rig_verify_as(&rig, EXPERIMENT_INTERRUPTED);
	assert_int_equal(rig.count[LE_MESSAGE_CUT], 1);
	assert_int_equal(rig.count[LE_INTERRUPT_REQUEST], 1);
	assert_int_equal(rig.count[LE_TOKEN_USAGE], t->is_half || t->can_finish);
	assert_true(t->is_half ? partial_bytes > 0 : partial_bytes == 0);
}

static void what_would_never_end_is_cut_in_every_phase(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(endless); i++) {
		for (size_t v = 0; v < ARRAY_LEN(verbs); v++) {
			bool cuts = verbs[v].act == cut || verbs[v].act == finish_then_cut ||
				    verbs[v].act == cut_then_finish;
			bool finishes = verbs[v].act == finish || verbs[v].act == pause_then_finish;
			if (cuts || (finishes && endless[i].can_finish)) check_endless(&endless[i], &verbs[v]);
		}
	}
}

static void the_message_in_flight_is_finished(void **state)
{
	(void)state;
	rig_spec(&rig, "{agent_a: 'local:test', agent_b: 'local:test', repetitions: 3, max_parallel: 2, "
		       "params: {tokens: 5, delayMs: 150}}");
	rig_place(&rig, "finished");
	verb = &verbs[0];
	rig.at_type = LE_MESSAGE_REQUEST;
	rig.act = act_in_a_while;
	rig_run(&rig, false);
	rig_verify_as(&rig, EXPERIMENT_INTERRUPTED);
	assert_int_equal(rig.count[LE_MESSAGE_CUT], 0);
	assert_int_equal(rig.count[LE_MESSAGE_COMPLETE], rig.count[LE_MESSAGE_REQUEST]);
	assert_int_equal(rig.count[LE_CONVERSATION_END], 2);
}

/* ---- killed ----------------------------------------------------------------------------------------------------- */

/* Sometimes just behind a manifest that says who was running. */
static void die_here(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)conversation;
	(void)e;
	if (r->at % 2 == 0) assert_int_equal(manifest_save(&r->run->manifest, r->place.dir, 0, &info), OK);
	_exit(7);
}

/* In a process of its own, which ends without a word at event number `at`. */
static void run_killed(size_t at)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		rig_open(&rig);
		rig_spec(&rig, RESTLESS);
		rig_place(&rig, "killed");
		rig.at = at;
		rig.act = die_here;
		rig_run(&rig, false);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(place_find(scratch, STR("killed"), &rig.place, &info), OK);
}

static void what_was_killed_at_any_event_goes_on_and_leaves_nobody_running(void **state)
{
	(void)state;
	rig_spec(&rig, RESTLESS);
	rig_place(&rig, "whole");
	rig_run(&rig, false);
	size_t all = rig.nevents;
	uint64_t texts = rig_texts(&rig);
	for (size_t at = 1; at < all; at += 9) {
		place_release(&rig.place);
		run_killed(at);
		/* One that ends at once takes up nobody, and says of nobody that he runs. */
		assert_int_equal(rig_new(&rig, true), OK);
		run_stop(rig.run, true);
		rig_go(&rig);
		rig_free(&rig);
		struct manifest m;
		manifest_init(&m);
		assert_int_equal(manifest_load(&m, rig.place.dir, true, &info), OK);
		assert_int_equal(m.count[LAB_RUNNING], 0);
		manifest_release(&m);
		rig.spec.max_parallel = 1 + (int64_t)(at % 3);
		rig_run(&rig, true);
		rig_verify_as(&rig, EXPERIMENT_COMPLETED);
		assert_true(rig_texts(&rig) == texts);
		remove_tree(rig.place.dir);
	}
}

static void what_was_killed_before_it_had_a_manifest_begins(void **state)
{
	(void)state;
	rig_spec(&rig, SHORT);
	rig_place(&rig, "unbegun");
	rig_run(&rig, true);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
}

static void a_manifest_that_is_gone_or_short_is_refused(void **state)
{
	(void)state;
	char path[512];
	rig_spec(&rig, SHORT);
	rig_place(&rig, "lost");
	rig_run(&rig, false);
	rig.spec.repetitions = 4;
	assert_int_equal(rig_new(&rig, true), ERR_CORRUPT);
	assert_non_null(strstr(info.text, "3 conversations and not 4"));
	rig.spec.repetitions = 3;
	snprintf(path, sizeof path, "%s/" MANIFEST_FILE, rig.place.dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rig_new(&rig, true), ERR_NOT_FOUND);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static char second[16]; /* id of a conversation */

static void note_second(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)e;
	if (conversation == 1) (void)str_copy(str_c(run_manifest(r->run)->list[1].id), second, sizeof second);
}

static void a_damaged_file_fails_its_conversation_and_no_other(void **state)
{
	(void)state;
	rig_spec(&rig, SHORT);
	rig_place(&rig, "damaged");
	rig.watch = note_second;
	rig.at_type = LE_MESSAGE_COMPLETE; /* of the first conversation */
	rig.act = act_in_the_hook;
	verb = &verbs[1];
	rig_run(&rig, false);
	rig.act = NULL;
	rig_run(&rig, true);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);

	const char *path = rig_path(&rig, second);
	int fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "XXXX", 4, 40), 4);
	close(fd);
	assert_int_equal(rig_new(&rig, true), OK);
	rig_go(&rig);
	assert_int_equal(rig.error, ERR_CORRUPT);
	assert_non_null(strstr(rig.info.text, "line 1"));
	const struct manifest *m = run_manifest(rig.run);
	assert_int_equal(m->status, EXPERIMENT_WITH_FAILURES);
	assert_int_equal(m->count[LAB_COMPLETED], 2);
	assert_int_equal(m->list[1].status, LAB_FAILED);
	assert_string_equal(m->list[1].reason, "exception");
	assert_non_null(strstr(m->list[1].error, "line 1"));
	rig_free(&rig);
}

static void limit_files(int64_t bytes)
{
	struct rlimit l;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes < 0 ? l.rlim_max : (rlim_t)bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void fill_disk(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)r;
	(void)conversation;
	(void)e;
	limit_files(1000);
}

static void a_full_disk_ends_it_as_interrupted_and_later_it_goes_on(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	rig_spec(&rig, RESTLESS);
	rig_place(&rig, "roomy");
	rig_run(&rig, false);
	size_t all = rig.nevents;
	uint64_t texts = rig_texts(&rig);
	for (size_t at = 1; at < all; at += 7) {
		char name[64];
		snprintf(name, sizeof name, "tight%zu", at);
		rig_place(&rig, name);
		rig.at = at;
		rig.act = fill_disk;
		if (rig_new(&rig, false) != OK) fail_msg("%s", info.text);
		rig_go(&rig);
		limit_files(-1);
		assert_int_equal(rig.error, ERR_STORAGE_FULL);
		assert_int_equal(run_manifest(rig.run)->status, EXPERIMENT_INTERRUPTED);
		assert_true(run_manifest(rig.run)->error[0] != '\0');
		rig_free(&rig);
		goes_on_to(texts);
	}
}

static void a_full_disk_cuts_what_would_take_long(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	rig_spec(&rig, "{agent_a: 'local:test', agent_b: 'local:test', turns: 1000, repetitions: 9, max_parallel: 3, "
		       "params: {tokens: 5}}");
	rig_place(&rig, "long");
	rig.at = 30;
	rig.act = fill_disk;
	assert_int_equal(rig_new(&rig, false), OK);
	rig_go(&rig);
	limit_files(-1);
	rig_free(&rig);
	assert_int_equal(rig.error, ERR_STORAGE_FULL);
	assert_true(rig.count[LE_MESSAGE_REQUEST] < 1000);
	assert_int_equal(rig.count[LE_CONVERSATION_END], 3);
}

static size_t ended_conversations;

static void fill_disk_at_the_end(struct rig *r, size_t conversation, const struct lab_event *e)
{
	ended_conversations += e->type == LE_CONVERSATION_END;
	if (ended_conversations == 3) fill_disk(r, conversation, e);
}

static void a_disk_that_is_full_when_all_is_said_is_no_completed_experiment(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	ended_conversations = 0;
	rig_spec(&rig, SHORT);
	rig_place(&rig, "late");
	rig.watch = fill_disk_at_the_end;
	assert_int_equal(rig_new(&rig, false), OK);
	rig_go(&rig);
	limit_files(-1);
	assert_int_equal(rig.error, ERR_STORAGE_FULL);
	assert_int_equal(run_manifest(rig.run)->status, EXPERIMENT_INTERRUPTED);
	rig_free(&rig);
	rig.watch = NULL;
	rig_run(&rig, true);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
}

/* All that was said before is in the file when a paid model is asked. */
static void look_at_request(struct rig *r, size_t conversation, const struct lab_event *e)
{
	struct told_file f;
	if (e->type != LE_MESSAGE_REQUEST) return;
	assert_int_equal(rig_file(r, run_manifest(r->run)->list[conversation].id, &f), OK);
	assert_true(f.lines >= e->seq - 1);
}

static void a_paid_model_is_asked_when_what_was_said_is_in_the_file(void **state)
{
	(void)state;
	rig_spec(&rig, SHORT);
	rig.spec.max_parallel = 3;
	rig_place(&rig, "paid");
	assert_int_equal(rig_new(&rig, false), OK);
	for (size_t i = 0; i < 2; i++) rig.run->agents[i].is_paid_for = true;
	rig.watch = look_at_request;
	rig_go(&rig);
	rig_free(&rig);
	assert_int_equal(rig.count[LE_MESSAGE_REQUEST], 12);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
}

/* Asked for while its message waits for the file. */
static void stop_held(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)conversation;
	if (e->type == LE_TURN_START && r->count[LE_TURN_START] == 3) verb->act(r);
}

static void what_waits_for_the_file_can_be_stopped_and_paused(void **state)
{
	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(verbs); v++) {
		char name[64];
		verb = &verbs[v];
		snprintf(name, sizeof name, "held%zu", v);
		rig_spec(&rig, SHORT);
		rig.spec.max_parallel = 3;
		rig_place(&rig, name);
		assert_int_equal(rig_new(&rig, false), OK);
		for (size_t i = 0; i < 2; i++) rig.run->agents[i].is_paid_for = true;
		rig.watch = stop_held;
		rig_go(&rig);
		rig_free(&rig);
		rig_verify_as(&rig, verb->ends ? EXPERIMENT_INTERRUPTED : EXPERIMENT_COMPLETED);
	}
}

/* ---- what the manifest says meanwhile --------------------------------------------------------------------------- */

static void look_at_resumption(struct rig *r, size_t conversation, const struct lab_event *e)
{
	const struct manifest_conversation *c = &run_manifest(r->run)->list[conversation];
	if (e->type != LE_CONVERSATION_RESUMED) return;
	assert_null(c->reason);
	assert_string_equal(c->error, "");
	assert_int_equal(c->ended_ms, 0);
	assert_int_equal(c->status, LAB_RUNNING);
}

static void failed_conversations_are_tried_again_and_have_failed_no_more(void **state)
{
	(void)state;
	rig_spec(&rig, "{agent_a: 'local:test', agent_b: 'local:test', turns: 1, repetitions: 2, seed: 5, "
		       "params: {tokens: 5, error: refused}}");
	rig_place(&rig, "failing");
	rig_run(&rig, false);
	assert_int_equal(rig.error, ERR_PROVIDER_REFUSED);
	struct manifest m = rig_verify(&rig);
	assert_int_equal(m.status, EXPERIMENT_FAILED);
	assert_int_equal(m.count[LAB_FAILED], 2);
	assert_string_equal(m.list[0].reason, "api_error");
	assert_non_null(strstr(m.list[0].error, "refused"));
	assert_int_equal(m.list[0].errors, 1);
	assert_true(m.error[0] != '\0');
	manifest_release(&m);
	rig_spec(&rig, "{agent_a: 'local:test', agent_b: 'local:test', turns: 1, repetitions: 2, seed: 5, "
		       "params: {tokens: 5}}");
	rig.watch = look_at_resumption;
	rig_run(&rig, true);
	assert_int_equal(rig.error, OK);
	assert_int_equal(rig.count[LE_CONVERSATION_RESUMED], 2);
	m = rig_verify(&rig);
	assert_int_equal(m.status, EXPERIMENT_COMPLETED);
	assert_string_equal(m.error, "");
	manifest_release(&m);
}

static void one_that_fails_leaves_the_others_alone(void **state)
{
	(void)state;
	rig_spec(&rig,
		 "{agent_a: 'local:test', agent_b: 'local:test', turns: 1, repetitions: 3, max_parallel: 3, seed: 5, "
		 "params: {tokens: 5, error: down, failTimes: 3}}");
	rig.config.limits.attempts = 4;
	rig_place(&rig, "down");
	rig_run(&rig, false);
	struct manifest m = rig_verify(&rig);
	assert_int_equal(m.status, EXPERIMENT_COMPLETED);
	assert_int_equal(m.list[2].errors, 6);
	assert_int_equal(m.list[2].retries, 6);
	manifest_release(&m);
	rig.config.limits.attempts = 3;
	rig_place(&rig, "downer");
	rig_run(&rig, false);
	rig_verify_as(&rig, EXPERIMENT_FAILED);
	assert_int_equal(rig.count[LE_API_ERROR], 9);
	assert_int_equal(rig.error, ERR_PROVIDER_DOWN);
}

static void tokens_that_were_estimated_are_told_so(void **state)
{
	(void)state;
	rig_spec(&rig, SHORT);
	rig_place(&rig, "estimated");
	rig_run(&rig, false);
	struct manifest m = rig_verify(&rig);
	assert_true(m.total.estimated);
	assert_true(m.list[0].tokens[1].estimated);
	assert_true(m.list[2].tokens[0].prompt > 0 && m.list[2].tokens[0].completion > 0);
	manifest_release(&m);
}

static void conversations_of_one_seed_differ_and_runs_of_one_seed_do_not(void **state)
{
	(void)state;
	struct told_file f[2];
	uint64_t texts[2];
	rig_spec(&rig, SHORT);
	for (size_t i = 0; i < 2; i++) {
		rig_place(&rig, i == 0 ? "once" : "again");
		rig_run(&rig, false);
		texts[i] = rig_texts(&rig);
	}
	assert_true(texts[0] == texts[1]);
	struct manifest m = rig_verify(&rig);
	for (size_t i = 0; i < 2; i++) assert_int_equal(rig_file(&rig, m.list[i].id, &f[i]), OK);
	assert_true(f[0].texts != f[1].texts);
	manifest_release(&m);
}

static void sums_of_a_manifest_that_was_wrong_are_right_again(void **state)
{
	(void)state;
	rig_spec(&rig, SHORT);
	rig_place(&rig, "wrong");
	rig.at = 20;
	rig.act = act_in_the_hook;
	verb = &verbs[1];
	rig_run(&rig, false);
	struct manifest m = rig_verify(&rig);
	m.total.prompt = 1;
	m.list[0].tokens[0].prompt += 5;
	m.list[0].turns = 77;
	assert_int_equal(manifest_save(&m, rig.place.dir, 0, &info), OK);
	manifest_release(&m);
	rig.act = NULL;
	rig_run(&rig, true);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
}

/* ---- pauses ----------------------------------------------------------------------------------------------------- */

static size_t seen_paused;

static void look_for_pause(uv_timer_t *t)
{
	struct rig *r = t->data;
	struct manifest m;
	manifest_init(&m);
	assert_int_equal(manifest_load(&m, r->place.dir, false, &info), OK);
	if (m.status == EXPERIMENT_PAUSED && r->run->wish == WISH_NONE) {
		assert_true(r->count[LE_CONVERSATION_PAUSED] == r->count[LE_CONVERSATION_RESUMED] + 2);
		seen_paused++;
		run_resume(r->run);
	}
	manifest_release(&m);
}

static void begin_to_look(struct rig *r, size_t conversation, const struct lab_event *e)
{
	(void)conversation;
	(void)e;
	uv_timer_start(&r->later, look_for_pause, 1, 1);
}

static void an_experiment_is_paused_when_all_its_conversations_have_converged_and_goes_on(void **state)
{
	(void)state;
	rig_spec(&rig, "{agent_a: 'mute:x', agent_b: 'mute:x', turns: 3, repetitions: 4, max_parallel: 2, "
		       "convergence_threshold: 0.9, convergence_action: pause}");
	rig_place(&rig, "converged");
	seen_paused = 0;
	rig.at = 1;
	rig.act = begin_to_look;
	rig_run(&rig, false);
	assert_int_equal(seen_paused, 2);
	assert_int_equal(rig.count[LE_CONVERGENCE_REACHED], 4);
	assert_int_equal(rig.count[LE_CONVERSATION_PAUSED], 4);
	assert_int_equal(rig.count[LE_CONVERSATION_RESUMED], 4);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
}

static void nothing_is_asked_while_it_is_paused(void **state)
{
	(void)state;
	rig_spec(&rig, RESTLESS);
	rig_place(&rig, "paused");
	assert_int_equal(rig_new(&rig, false), OK);
	verb = &(struct verb){.act = cut};
	run_pause(rig.run);
	uv_timer_init(&rig.loop, &rig.later);
	rig.later.data = &rig;
	run_start(rig.run);
	uv_timer_start(&rig.later, on_later, 30, 0);
	while (!rig.ended) uv_run(&rig.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&rig.later, NULL);
	rig_free(&rig);
	assert_int_equal(rig.nevents, 1); /* ExperimentCompleteEvent */
	rig_verify_as(&rig, EXPERIMENT_INTERRUPTED);
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static void the_loop_rests_while_a_model_thinks(void **state)
{
	(void)state;
	rig_spec(&rig, "{agent_a: 'local:test', agent_b: 'local:test', turns: 1, params: {tokens: 5, delayMs: 400}}");
	rig_place(&rig, "resting");
	rig_run(&rig, false);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
	assert_true(rig.turns_of_loop < 60);
}

static void completed_conversations_are_passed_over_a_few_at_a_time(void **state)
{
	(void)state;
	rig_spec(&rig, "{agent_a: 'mute:x', agent_b: 'mute:x', turns: 1, repetitions: 200, max_parallel: 200}");
	rig_place(&rig, "many");
	rig_run(&rig, false);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
	rig_run(&rig, true);
	rig_verify_as(&rig, EXPERIMENT_COMPLETED);
	assert_int_equal(rig.nevents, 1);
	assert_in_range(rig.turns_of_loop, 200 / 32, 40);
}

static void who_waits_for_a_rate_is_told_once(void **state)
{
	(void)state;
	rig_spec(&rig, "{agent_a: 'rare:m', agent_b: 'rare:m', turns: 1, repetitions: 2, max_parallel: 2}");
	rig_place(&rig, "rare");
	verb = &(struct verb){.act = finish};
	assert_int_equal(rig_new(&rig, false), OK);
	rig.at_type = LE_RATE_LIMIT_PACE;
	rig.act = act_in_a_while;
	rig_go(&rig);
	rig_free(&rig);
	assert_int_equal(rig.count[LE_MESSAGE_COMPLETE], 1); /* so much has happened meanwhile */
	assert_int_equal(rig.count[LE_RATE_LIMIT_PACE], 1);
	assert_int_equal(rig.count[LE_MESSAGE_REQUEST], 1);
	rig_verify_as(&rig, EXPERIMENT_INTERRUPTED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_run_ends_well_whatever_is_asked_of_it_and_whenever),
		T(what_would_never_end_is_cut_in_every_phase),
		T(the_message_in_flight_is_finished),
		T(what_was_killed_at_any_event_goes_on_and_leaves_nobody_running),
		T(what_was_killed_before_it_had_a_manifest_begins),
		T(a_manifest_that_is_gone_or_short_is_refused),
		T(a_damaged_file_fails_its_conversation_and_no_other),
		T(a_full_disk_ends_it_as_interrupted_and_later_it_goes_on),
		T(a_full_disk_cuts_what_would_take_long),
		T(a_disk_that_is_full_when_all_is_said_is_no_completed_experiment),
		T(a_paid_model_is_asked_when_what_was_said_is_in_the_file),
		T(what_waits_for_the_file_can_be_stopped_and_paused),
		T(failed_conversations_are_tried_again_and_have_failed_no_more),
		T(one_that_fails_leaves_the_others_alone),
		T(tokens_that_were_estimated_are_told_so),
		T(conversations_of_one_seed_differ_and_runs_of_one_seed_do_not),
		T(sums_of_a_manifest_that_was_wrong_are_right_again),
		T(an_experiment_is_paused_when_all_its_conversations_have_converged_and_goes_on),
		T(nothing_is_asked_while_it_is_paused),
		T(the_loop_rests_while_a_model_thinks),
		T(completed_conversations_are_passed_over_a_few_at_a_time),
		T(who_waits_for_a_rate_is_told_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
