/* A hostile log and an erratic caller. The first line chooses the conversation's kind; after it a line that begins with
 * "{" is an event of an earlier run, another is what the caller does, by its first letter. Whatever comes: no crash, what
 * was accepted once is accepted again, a conversation ends once, and its requests can be rebuilt from its log. */
#include <math.h>

#include "event/lab_line.h"
#include "talk/rebuild.h"

#define EVENTS_MAX 200

struct world {
	struct conductor_agent agents[LAB_AGENTS_MAX];
	struct injection injections[2];
	struct inherited inherited[2];
	struct conductor_config config;
	struct conductor *c;
	struct conductor_clock now;
	struct arena memory;
	struct lab_event log[EVENTS_MAX];
	size_t n, nends;
	bool is_running; /* it was asked for the first step */
	bool is_hostile; /* the log is not all its own */
};

static void keep(void *ctx, struct lab_event *e)
{
	struct world *w = ctx;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	w->nends += e->type == LE_CONVERSATION_END;
	ASSERT_CMP(w->nends, <=, 1);
	if (w->n == EVENTS_MAX) return;
	e->seq = (int64_t)w->n + 1;
	lab_line_write(&b, e, REDACT_NONE);
	struct str line = arena_str(&w->memory, str_n(b.p, b.n - 1));
	buf_release(&b);
	ASSERT_CMP(lab_line_read(&w->memory, line, &w->log[w->n++], NULL), ==, OK);
}

static void setup(struct world *w, unsigned kind)
{
	memset(w, 0, sizeof *w);
	for (size_t i = 0; i < LAB_AGENTS_MAX; i++)
		w->agents[i] = (struct conductor_agent){.model = STR("m"),
							.name = STR("Name"),
							.temperature = (double)NAN,
							.window = kind & 16 ? 120 : 0,
							.max_tokens = 40,
							.system_prompt = i % 2 == 0 ? STR("You are one.") : STR("")};
	w->injections[0] = (struct injection){0, -1, STR("Think.")};
	w->injections[1] = (struct injection){1, 0, STR("Think again.")};
	w->inherited[0] = (struct inherited){.agent = -1, .text = STR("Talk.")};
	w->inherited[1] = (struct inherited){.agent = 0, .text = STR("Call me Zed.")};
	w->config = (struct conductor_config){.id = STR("c"),
					      .agents = w->agents,
					      .nagents = kind % LAB_AGENTS_MAX + 1,
					      .prompt_tag = STR("[H]"),
					      .max_turns = 4,
					      .threshold = 0.5,
					      .action = (enum convergence_action)(kind % 5),
					      .choose_names = (kind & 8) != 0,
					      .allow_truncation = (kind & 32) != 0,
					      .injections = w->injections,
					      .ninjections = ARRAY_LEN(w->injections),
					      .inherited = w->inherited,
					      .ninherited = kind & 64 ? ARRAY_LEN(w->inherited) : 0,
					      .inherited_turns = 1,
					      .with_metrics = (kind & 128) != 0};
	w->c = conductor_new(&w->config, keep, w);
}

/* The process has ended; another one takes over its log. */
static void restart(struct world *w)
{
	conductor_free(w->c);
	w->c = conductor_new(&w->config, keep, w);
	for (size_t i = 0; i < w->n; i++) ASSERT(conductor_replay(w->c, &w->log[i]));
	w->nends = 0;
	w->is_running = false;
}

static void take_event(struct world *w, struct str line)
{
	struct lab_event e;
	if (w->n == EVENTS_MAX || lab_line_read(&w->memory, line, &e, NULL) != OK) return;
	if (w->is_running) restart(w);
	if (!conductor_replay(w->c, &e)) return;
	w->log[w->n++] = e;
	w->is_hostile = true;
}

static void call(struct world *w, struct str text)
{
	struct arena arena = {0};
	struct conductor_view view;
	struct conductor_answer a = {
		.text = text, .input_tokens = INT64_MIN, .output_tokens = 3, .thinking = STR("hm")};
	struct conductor_step step = conductor_next(w->c, w->now);
	if (step.what == CONDUCTOR_CALL && conductor_view(w->c, &arena, w->now, &view) == OK) {
		ASSERT_CMP(view.dropped, <=, view.history);
		conductor_asked(w->c, 1, &view, w->now);
	}
	if (conductor_next(w->c, w->now).what == CONDUCTOR_BUSY && text.n > 0) conductor_answered(w->c, &a, w->now);
	arena_clear(&arena);
}

static void act(struct world *w, struct str line)
{
	struct str rest = {line.p + 1, line.n - 1};
	w->now.boot_ms++;
	if (w->n == EVENTS_MAX) return;
	if (line.p[0] == 'k') {
		restart(w);
		return;
	}
	/* A pause before the first step leaves it where events can still come. */
	w->is_running |= line.p[0] != 'p' && line.p[0] != 'u';
	switch (line.p[0]) {
	case 'c': call(w, rest); break;
	case 's': conductor_stop(w->c, "user", w->now); break;
	case 'x': conductor_cut(w->c, rest, w->now); break;
	case 'f': conductor_failed(w->c, rest.n % 2 ? "api_error" : "context_limit_reached", rest, w->now); break;
	case 'p': conductor_pause(w->c, w->now); break;
	case 'u': conductor_resume(w->c, w->now); break;
	default: (void)conductor_next(w->c, w->now); break;
	}
}

static void rebuild_all(const struct world *w)
{
	struct rebuild *r = rebuild_new();
	struct arena arena = {0};
	struct conductor_view view;
	for (size_t i = 0; i < w->n; i++) {
		enum err err = rebuild_event(r, &w->log[i], NULL);
		ASSERT(err == OK || w->is_hostile);
		if (w->log[i].type != LE_MESSAGE_REQUEST) continue;
		err = rebuild_request(r, &w->log[i], &arena, &view, NULL);
		ASSERT(err == OK || w->is_hostile);
	}
	arena_clear(&arena);
	rebuild_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct world w;
	if (n == 0 || n > 20000) return 0;
	setup(&w, data[0]);
	struct str rest = {(const char *)data + 1, n - 1};
	while (rest.n > 0) {
		const char *end = memchr(rest.p, '\n', rest.n);
		struct str line = {rest.p, end == NULL ? rest.n : (size_t)(end - rest.p)};
		rest = (struct str){line.p + line.n + (end != NULL), rest.n - line.n - (end != NULL)};
		if (line.n == 0) continue;
		if (line.p[0] == '{') take_event(&w, line);
		else act(&w, line);
	}
	rebuild_all(&w);
	(void)chosen_name(str_n((const char *)data, n));
	conductor_free(w.c);
	arena_clear(&w.memory);
	return 0;
}
