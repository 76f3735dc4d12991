/* The pump: what streams goes to disk, and is shown when it is there.
 *
 * One command at a time takes everything every stream has said since the last one. While it is on its way more arrives,
 * which is what batches the text under load without a timer; with many streams a few milliseconds of gathering are added
 * so that a commit carries enough rows, and more of them while the store is behind. */
#include "relay/relay_priv.h"

#define PAUSE_BYTES (256 << 10) /* said but not yet on disk: then the provider is not read; half of it goes on */

void relay_behind(struct relay *r, bool behind) { r->is_behind = behind; }

bool relay_pump_due(const struct relay *r) { return r->pump == NULL && !LIST_EMPTY(&r->dirty); }

void relay_pump(struct relay *r, struct now now)
{
	if (!relay_pump_due(r)) return;
	if (now.boot_ms < r->gather_boot_ms) {
		r->next_due_ms = MIN(r->next_due_ms, r->gather_boot_ms);
		return;
	}
	struct cmd_chunks *c = xcalloc(1, sizeof *c);
	size_t cap = 0, bytes = sizeof *c;
	struct job *j;
	LIST_FOREACH (j, &r->dirty, in_dirty) cap += TURN_KINDS;
	store_op_init(&c->op, cmd_chunks_run, NULL, 0, now.wall_ms);
	c->op.repeatable = true;
	c->list = arena_alloc(&c->op.arena, xmul(cap, sizeof *c->list));
	while ((j = LIST_FIRST(&r->dirty)) != NULL) {
		for (int k = 0; k < TURN_KINDS; k++) {
			struct str all = buf_str(&j->turn.said[k]);
			if (all.n == j->sent[k]) continue;
			struct str text = str_n(all.p + j->sent[k], all.n - j->sent[k]);
			c->list[c->n++] = (struct chunk){.request = j->row,
							 .attempt = j->request.attempt,
							 .kind = (enum stream_kind)k,
							 .offset = (int64_t)j->sent[k],
							 .text = arena_str(&c->op.arena, text)};
			j->sent[k] = all.n;
			bytes += text.n + sizeof(struct chunk);
		}
		job_clear_dirty(j);
	}
	c->op.bytes = bytes;
	r->pump = c;
	r->pump_boot_ms = now.boot_ms;
	EFFECT(r, submit, &c->op);
}

void relay_publish_upto(struct relay *r, struct job *j, int kind, size_t upto)
{
	if (upto <= j->shown[kind]) return;
	struct delta d = {.job = j,
			  .kind = (enum stream_kind)kind,
			  .attempt = j->request.attempt,
			  .offset = (int64_t)j->shown[kind],
			  .text = str_n(j->turn.said[kind].p + j->shown[kind], upto - j->shown[kind])};
	j->shown[kind] = upto;
	EFFECT(r, publish, &d);
}

/* A disk that is slower than the provider slows the provider down. */
void relay_throttle(struct relay *r, struct job *j)
{
	size_t behind = 0;
	for (int k = 0; k < TURN_KINDS; k++) behind += j->turn.said[k].n - j->shown[k];
	bool pause = behind > (j->paused ? PAUSE_BYTES / 2 : PAUSE_BYTES);
	if (pause == j->paused || j->call == NULL) return;
	j->paused = pause;
	EFFECT(r, call_pause, j->call, pause);
}

static int64_t slots_in_use(const struct relay *r)
{
	int64_t n = 0;
	for (size_t i = 0; i < r->config.nproviders; i++) n += r->providers[i].running;
	return n;
}

void relay_chunks_committed(struct relay *r, struct cmd_chunks *c, struct now now)
{
	bool current = r->pump == c;
	if (current) r->pump = NULL;
	for (size_t i = 0; i < c->n; i++) {
		const struct chunk *k = &c->list[i];
		struct job *j;
		HASH_FIND(by_row, r->by_row, &k->request, sizeof k->request, j);
		if (j == NULL || j->request.attempt != k->attempt || (j->where != RUNNING && j->where != ENDING))
			continue;
		if (c->op.err == OK) {
			r->last_chunk = MAX(r->last_chunk, k->id);
			if (j->first_chunk == 0) j->first_chunk = k->id;
			relay_publish_upto(r, j, (int)k->kind, (size_t)k->offset + k->text.n);
			relay_throttle(r, j);
		} else if (j->where == RUNNING && current) {
			/* Not on disk, so not shown: it goes with the next try. */
			j->sent[k->kind] = MIN(j->sent[k->kind], (size_t)k->offset);
			job_mark_dirty(r, j);
		}
	}
	if (c->op.err != OK) r->gather_boot_ms = now.boot_ms + COMMAND_RETRY_MS;
	else if (r->is_behind) r->gather_boot_ms = now.boot_ms + RELAY_BEHIND_MS;
	else r->gather_boot_ms = slots_in_use(r) > RELAY_BUSY_STREAMS ? now.boot_ms + RELAY_GATHER_MS : 0;
}
