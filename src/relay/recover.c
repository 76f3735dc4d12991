/* When the relay's picture is not what is on disk: at the start, and when something was lost on the way.
 *
 * At the start the chunk log and the open requests are all there is. An attempt of an earlier daemon is closed with what
 * the log holds of it, and its request is queued again. Later, the sweep compares the open requests on disk with the jobs
 * here and takes up what is missing; the watchdog ends attempts that show no sign of life and starts the pump again when
 * its command never came back. */
#include "relay/relay_priv.h"

#define PUMP_STUCK_MS 10000
#define LEASE_SLACK_MS 10000 /* beyond every deadline of the call itself */

void relay_forget_left_overs(struct relay *r)
{
	struct left_over *o, *tmp;
	HASH_ITER (hh, r->left_over, o, tmp) {
		HASH_DELETE(hh, r->left_over, o);
		for (int k = 0; k < TURN_KINDS; k++) buf_release(&o->said[k]);
		free(o);
	}
}

void relay_forget_suspects(struct relay *r)
{
	struct suspect *s, *tmp;
	HASH_ITER (hh, r->suspects, s, tmp) {
		HASH_DELETE(hh, r->suspects, s);
		free(s);
	}
}

/* ---- at the start ----------------------------------------------------------------------------------------------- */

void relay_recover_chunk(struct relay *r, const struct chunk *c)
{
	struct left_over *o;
	r->last_chunk = MAX(r->last_chunk, c->id);
	HASH_FIND(hh, r->left_over, &c->request, sizeof c->request, o);
	if (o != NULL && o->attempt > c->attempt) return;
	if (o == NULL) {
		o = xcalloc(1, sizeof *o);
		o->row = c->request;
		for (int k = 0; k < TURN_KINDS; k++) buf_init(&o->said[k], (size_t)r->config.limits->answer_bytes);
		HASH_ADD(hh, r->left_over, row, sizeof o->row, o);
	}
	if (o->attempt != c->attempt)
		for (int k = 0; k < TURN_KINDS; k++) buf_clear(&o->said[k]);
	o->attempt = c->attempt;
	/* A chunk that was committed twice (the pump was given up on and came back) repeats bytes we have. */
	struct buf *b = &o->said[c->kind];
	if ((size_t)c->offset > b->n || (size_t)c->offset + c->text.n <= b->n) return;
	size_t known = b->n - (size_t)c->offset;
	(void)buf_add(b, c->text.p + known, c->text.n - known);
}

void relay_recover_job(struct relay *r, const struct job_info *info, struct now now)
{
	struct job *j = job_new(r, info, now);
	struct left_over *o;
	job_recount(j, now);
	if (info->request.state != RQ_CLAIMED) {
		bool waits = info->request.state == RQ_RETRYING;
		int64_t wait = info->request.next_try_ms - now.wall_ms;
		j->where = waits ? WAITING : QUEUED;
		if (waits) job_set_due(r, j, now.boot_ms + MAX(0, MIN(wait, r->config.limits->retry_horizon_ms)));
		lane_settle(r, j->lane);
		return;
	}
	lane_to_head(j);
	HASH_FIND(hh, r->left_over, &info->row, sizeof info->row, o);
	if (o != NULL && o->attempt == info->request.attempt)
		for (int k = 0; k < TURN_KINDS; k++) (void)buf_add_str(&j->turn.said[k], buf_str(&o->said[k]));
	j->turn.times = (struct turn_times){.claimed = info->request.last_started_ms, .done = now.wall_ms};
	struct cmd_finish *c = job_finish_new(r, j, FINISH_RECOVER);
	c->err = ERR_PROVIDER_CUT;
	c->error_text = STR("the daemon stopped while this attempt was running");
	relay_submit_finish(r, j, c, now);
	/* Somebody who waits behind it may have been read first, as the next. */
	lane_settle(r, j->lane);
}

void relay_start(struct relay *r, struct now now)
{
	relay_forget_left_overs(r);
	for (size_t i = 0; i < r->config.nproviders; i++) relay_schedule(r, (int)i, now);
}

/* ---- the sweep and the watchdog --------------------------------------------------------------------------------- */

/* Seen open on disk, but not here: once may be a request that ended after the list was read; twice is a lost one. */
static bool missing_twice(struct suspect **before, struct suspect **now_missing, int64_t row)
{
	struct suspect *s;
	HASH_FIND(hh, *before, &row, sizeof row, s);
	if (s != NULL) return true;
	s = xcalloc(1, sizeof *s);
	s->row = row;
	HASH_ADD(hh, *now_missing, row, sizeof s->row, s);
	return false;
}

size_t relay_sweep(struct relay *r, const struct job_info *list, size_t n, struct now now)
{
	struct suspect *missing = NULL;
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		struct job *j;
		HASH_FIND(by_row, r->by_row, &list[i].row, sizeof list[i].row, j);
		if (j != NULL || !missing_twice(&r->suspects, &missing, list[i].row)) continue;
		found++;
		if (list[i].request.state != RQ_CLAIMED) {
			relay_admit(r, &list[i], -1, now);
			relay_note(r, "request.found", relay_find(r, list[i].request_id), OK, STR_NONE);
			continue;
		}
		/* Claimed by us and forgotten: end that attempt and let it wait for the next. */
		j = job_new(r, &list[i], now);
		lane_to_head(j);
		j->turn.retry_boot_ms = now.boot_ms;
		struct cmd_finish *c = job_finish_new(r, j, FINISH_RETRY);
		c->err = ERR_PROVIDER_CUT;
		c->error_text = STR("the attempt was lost");
		relay_note(r, "request.found", j, OK, STR_NONE);
		relay_submit_finish(r, j, c, now);
	}
	relay_forget_suspects(r);
	r->suspects = missing;
	return found;
}

/* How long an attempt may go without a sign of life: longer than each deadline of the call itself, so only a lost call
 * gets here. */
static int64_t lease_ms(const struct relay *r, const struct job *j)
{
	const struct limits *l = r->config.limits;
	if (r->providers[j->provider].is_agent) return l->answer_ms + LEASE_SLACK_MS;
	int64_t wait = j->turn.phase == TURN_STREAMING ? l->stream_idle_ms : l->connect_ms + l->first_token_ms;
	return wait + LEASE_SLACK_MS;
}

size_t relay_watch(struct relay *r, struct now now)
{
	size_t touched = 0;
	struct job *j, *tmp;
	HASH_ITER (by_id, r->by_id, j, tmp) {
		if (j->where != RUNNING || now.boot_ms - j->turn.progress_boot_ms < lease_ms(r, j)) continue;
		struct errinfo info;
		(void)err_set(&info, ERR_PROVIDER_TIMEOUT, "the attempt showed no sign of life for %lld ms",
			      (long long)(now.boot_ms - j->turn.progress_boot_ms));
		relay_note(r, "watchdog.worker", j, ERR_PROVIDER_TIMEOUT, STR_NONE);
		relay_give_up(r, j, ERR_PROVIDER_TIMEOUT, true, &info, now);
		touched++;
	}
	if (r->pump != NULL && now.boot_ms - r->pump_boot_ms >= PUMP_STUCK_MS) {
		/* The command may be gone, so it is not looked at. What was not shown is sent again; if the command comes back
		 * after all, its rows only repeat what the others hold. */
		for (j = r->by_id; j != NULL; j = j->by_id.next) {
			if (j->where != RUNNING) continue;
			for (int k = 0; k < TURN_KINDS; k++) {
				if (j->sent[k] == j->shown[k]) continue;
				j->sent[k] = j->shown[k];
				job_mark_dirty(r, j);
			}
		}
		relay_note(r, "watchdog.stream", NULL, OK, STR_NONE);
		r->pump = NULL;
		relay_pump(r, now);
		touched++;
	}
	return touched;
}
