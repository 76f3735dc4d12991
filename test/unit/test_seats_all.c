/* All small cases of device/seats.h.
 *
 * Every state that three devices, the writer and the clock can reach in `depth` inputs is reached once (states that look
 * the same inside are one), by playing the inputs that lead to it from the start. In each one the rules are checked, and
 * then everything that is under way is let finish and the rules of rest are checked. */
#include "seats_gear.h"

#include "base/buf.h"
#include "base/hash.h"
#include "device/seats.h"

struct path {
	unsigned char in[12];
	uint8_t n;
};

struct explorer {
	const char *const *inputs;
	size_t ninputs, depth;
	bool after_restart; /* the record names a primary of before */
	uint64_t *seen;
	size_t nseen, cap;
	struct path *todo;
	size_t head, tail, todo_cap;
};

static bool see(struct explorer *x, uint64_t h)
{
	if ((x->nseen + 1) * 2 > x->cap) {
		size_t cap = MAX(x->cap * 2, (size_t)1024);
		uint64_t *bigger = xcalloc(cap, sizeof *bigger);
		for (size_t i = 0; i < x->cap; i++)
			for (size_t k = x->seen[i] & (cap - 1); x->seen[i] != 0; k = (k + 1) & (cap - 1))
				if (bigger[k] == 0) {
					bigger[k] = x->seen[i];
					break;
				}
		free(x->seen);
		x->seen = bigger;
		x->cap = cap;
	}
	h |= h == 0;
	size_t k = h & (x->cap - 1);
	for (; x->seen[k] != 0; k = (k + 1) & (x->cap - 1))
		if (x->seen[k] == h) return false;
	x->seen[k] = h;
	x->nseen++;
	return true;
}

/* Everything that can make a difference later, times as distances. */
static void add_asks(struct buf *b, const struct ask_list *l, int64_t now)
{
	const struct ask *a;
	TAILQ_FOREACH (a, l, link)
		buf_addf(b, "%d%s%d%s%lld/", a->kind, a->by->guest->id, a->action, a->to != NULL ? a->to : "",
			 (long long)(a->give_up_ms > 0 ? a->give_up_ms - now : 0));
	buf_add_char(b, '|');
}

static uint64_t fingerprint(const struct rig *r)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	const struct guest *g;
	const struct seating *t;
	const struct seat *k;
	buf_addf(&b, "%s%s%d%lld|", r->row.primary, r->row.holder, r->now >= r->seats->grace_until_ms,
		 (long long)(r->row.fence > 0));
	for (size_t i = 0; i < r->nqueue; i++)
		buf_addf(&b, "%d%s%lld/", r->queue[i].c.kind, r->queue[i].device,
			 (long long)(r->queue[i].c.expect -
				     (r->queue[i].c.kind == SEATS_PRIMARY ? r->row.term : r->row.fence)));
	TAILQ_FOREACH (g, &r->seats->all_guests, in_all)
		buf_addf(&b, "%s%d%d%lld/", g->id, g->is_silent, g->watched_ms != 0,
			 (long long)MIN(r->now - MAX(g->heard_ms, g->watched_ms), 2 * HEARTBEAT));
	TAILQ_FOREACH (t, &r->seats->all_seatings, in_all) {
		TAILQ_FOREACH (k, &t->line, in_line) buf_addf(&b, "%s", k->guest->id);
		buf_addf(&b, "|%s%lld%d%d%d%s%d%lld|%s%lld%s%d%d%lld|", t->primary, (long long)(t->term - r->row.term),
			 t->has_returned, t->is_leaving, t->is_vacant, t->typed != NULL ? t->typed->guest->id : "",
			 t->move.serial != 0, (long long)MAX(0, t->retry_ms - r->now), t->holder,
			 (long long)MAX(0, t->until_ms - r->now), t->pass.device_id != NULL ? t->pass.device_id : "",
			 t->pass.serial != 0, t->pass.unlock != NULL, (long long)MAX(0, t->lock_retry_ms - r->now));
		add_asks(&b, &t->asks, r->now);
		add_asks(&b, &t->lock_asks, r->now);
		add_asks(&b, &t->waiting, r->now);
	}
	unsigned char sum[SHA256_LEN];
	uint64_t h;
	sha256(buf_str(&b), sum);
	memcpy(&h, sum, sizeof h);
	buf_release(&b);
	return h;
}

/* "Ja" join a, "La" leave, "Xa" lost, "Ha" heard, "Qa" request, "Ta" take, "Ra" release, "Mab" transfer a to b,
 * "Ka" lock, "Wa" lock and wait, "Ua" unlock, "C" the writer takes one, "F" it refuses one, "S" somebody else changes the
 * primary, "t" time passes and whoever is not heard is silent, "g" a short time. */
static void play(struct rig *r, const char *in)
{
	const char d[2] = {in[1], '\0'}, to[2] = {in[1] != '\0' ? in[2] : '\0', '\0'};
	switch (in[0]) {
	case 'J': (void)join(r, d); break;
	case 'L': leave(r, d); break;
	case 'X': lose(r, d); break;
	case 'H': hear(r, d); break;
	case 'Q': (void)ask(r, d, SEATS_REQUEST, ""); break;
	case 'T': (void)ask(r, d, SEATS_TAKE, ""); break;
	case 'R': (void)ask(r, d, SEATS_RELEASE, ""); break;
	case 'M': (void)ask(r, d, SEATS_TRANSFER, to); break;
	case 'K': (void)lock(r, d, 3000, 0); break;
	case 'W': (void)lock(r, d, 3000, 9000); break;
	case 'U': (void)unlock(r, d, 0); break;
	case 'C':
		if (r->nqueue > 0) commit_one(r);
		break;
	case 'F':
		r->disk = ERR_STORAGE_FULL;
		if (r->nqueue > 0) commit_one(r);
		r->disk = OK;
		break;
	case 'S':
		r->row.term++;
		memcpy(r->row.primary, "z", 2);
		break;
	case 't': pass_time(r, HEARTBEAT + 100, "abc"); break;
	case 'g': pass_time(r, 1600, ""); break;
	default: fail();
	}
}

/* One proposal of a kind at a time; what was told is what was committed. */
static void check_always(const struct rig *r)
{
	int moves = 0, passes = 0;
	for (size_t i = 0; i < r->nqueue; i++) {
		moves += r->queue[i].c.kind == SEATS_PRIMARY;
		passes += r->queue[i].c.kind == SEATS_LOCK;
	}
	assert_true(moves <= 1 && passes <= 1);
	assert_true(r->told_term <= r->row.term);
	if (r->told_term == r->row.term && r->told_term > 0) assert_string_equal(r->told_primary, r->row.primary);
}

static void check_at_rest(struct rig *r)
{
	/* "S" is news that only a proposal or the feed brings; the feed does now. */
	struct seats_session is = read_row(&r->row);
	seats_session(r->seats, 1, STR("c"), &is, r->now);
	for (int i = 0; i < 8; i++) {
		commit(r);
		pass_time(r, GRACE, "");
	}
	commit(r);
	assert_true(seats_are_settled(r->seats));
	assert_int_equal(r->nanswered, r->ntokens);
	struct seating *t = seats_conversation(r->seats, 1, STR("c"));
	if (t == NULL) return;
	assert_string_equal(t->holder, r->row.holder);
	assert_string_equal(t->holder, ""); /* every lease is over by now */
	assert_true(TAILQ_EMPTY(&t->waiting));
	if (seats_next_live(t, NULL) == NULL) return;
	assert_int_equal(t->term, r->row.term);
	assert_string_equal(t->primary, r->row.primary);
	if (t->is_vacant) assert_string_equal(t->primary, "");
	else assert_true(seats_is_live(seats_seat_of(r->seats, t, t->primary)));
}

static void replay(const struct explorer *x, const struct path *p, struct rig *r)
{
	rig_init(r);
	if (x->after_restart) {
		memcpy(r->row.primary, "c", 2);
		r->row.term = 5;
		r->told_term = 5;
		memcpy(r->told_primary, "c", 2);
	}
	for (uint8_t i = 0; i < p->n; i++) play(r, x->inputs[p->in[i]]);
}

static void check_all(struct explorer *x, const struct path *p)
{
	struct rig *r = xcalloc(1, sizeof *r);
	replay(x, p, r);
	check_always(r);
	bool is_new = see(x, fingerprint(r));
	if (is_new && p->n < x->depth) {
		if (x->tail == x->todo_cap) {
			x->todo_cap = MAX(x->todo_cap * 2, (size_t)1024);
			x->todo = xrealloc(x->todo, x->todo_cap * sizeof *x->todo);
		}
		x->todo[x->tail++] = *p;
	}
	if (is_new) check_at_rest(r);
	seats_free(r->seats);
	assert_int_equal(r->nanswered, r->ntokens);
	free(r);
}

static void explore(struct explorer *x)
{
	check_all(x, &(struct path){.n = 0});
	while (x->head < x->tail) {
		struct path p = x->todo[x->head++];
		p.n++;
		for (size_t i = 0; i < x->ninputs; i++) {
			p.in[p.n - 1] = (unsigned char)i;
			check_all(x, &p);
		}
	}
	print_message("%zu states\n", x->nseen);
	free(x->seen);
	free(x->todo);
}

static void every_order_of_what_three_devices_can_do_to_the_primary(void **state)
{
	static const char *const inputs[] = {"Ja", "Jb", "Jc", "La", "Lb", "Xa",  "Xb",  "Xc", "Ha", "Hb", "Qa",
					     "Qb", "Ta", "Tb", "Ra", "Rb", "Mab", "Mbc", "C",  "F",  "S",  "t"};
	(void)state;
	struct explorer x = {.inputs = inputs, .ninputs = ARRAY_LEN(inputs), .depth = 6};
	explore(&x);
}

static void every_order_after_a_restart_with_a_primary_of_before(void **state)
{
	static const char *const inputs[] = {"Ja", "Jb", "Jc", "La",  "Lc", "Xa", "Xc",
					     "Qa", "Tb", "Rc", "Mca", "C",  "t",  "g"};
	(void)state;
	struct explorer x = {.inputs = inputs, .ninputs = ARRAY_LEN(inputs), .depth = 6, .after_restart = true};
	explore(&x);
}

static void every_order_of_what_three_devices_can_do_to_the_lock(void **state)
{
	static const char *const inputs[] = {"Ja", "Jb", "Jc", "La", "Xb", "Ka", "Kb", "Wa",
					     "Wb", "Wc", "Ua", "Ub", "C",  "F",  "g"};
	(void)state;
	struct explorer x = {.inputs = inputs, .ninputs = ARRAY_LEN(inputs), .depth = 6};
	explore(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_order_of_what_three_devices_can_do_to_the_primary),
		cmocka_unit_test(every_order_after_a_restart_with_a_primary_of_before),
		cmocka_unit_test(every_order_of_what_three_devices_can_do_to_the_lock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
