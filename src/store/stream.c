/* Streams: the text of running answers as a log of chunks, of finished attempts as one row each.
 *
 * A chunk is what arrived of one answer between two commits. The log only grows at its end and is cut at its beginning,
 * so a commit with a thousand running answers dirties the last few pages of one table. */
#include "store/txn.h"

#define CHUNK_PAGE 256

static uint64_t chunk_sum(const struct chunk *c)
{
	return sum_str(SUM_INTS(SUM_CHUNK, c->id, c->request, c->attempt, c->kind, c->offset), c->text);
}

enum err txn_chunk_add(struct txn *t, struct chunk *c)
{
	enum err e = txn_touch(t);
	if (e != OK) return e;
	c->id = t->next_chunk++;
	struct q q = q_begin(t->db, SQL_CHUNK_ADD);
	q_int(&q, c->id);
	q_int(&q, c->request);
	q_int(&q, c->attempt);
	q_int(&q, c->kind);
	q_int(&q, c->offset);
	q_text(&q, c->text);
	q_int(&q, (int64_t)chunk_sum(c));
	return q_run(&q);
}

/* One page into the list; *out_n of them. */
static enum err chunk_page(struct txn *t, int64_t after, struct chunk *list, size_t *out_n)
{
	size_t n = 0;
	enum err bad = OK;
	struct q q = q_begin(t->db, SQL_CHUNK_PAGE);
	q_int(&q, after);
	q_int(&q, CHUNK_PAGE);
	while (bad == OK && q_row(&q)) {
		struct chunk *c = &list[n++];
		*c = (struct chunk){q_get_int(&q, 0), q_get_int(&q, 1),
				    q_get_int(&q, 2), (enum stream_kind)q_get_int(&q, 3),
				    q_get_int(&q, 4), q_copy_str(&q, 5, txn_arena(t))};
		if (chunk_sum(c) != (uint64_t)q_get_int(&q, 6))
			bad = err_set(&t->op->info, ERR_CORRUPT,
				      "chunk %lld of request %lld fails its checksum; run: roost doctor",
				      (long long)c->id, (long long)c->request);
	}
	enum err e = q_end(&q);
	*out_n = n;
	return e != OK ? e : bad;
}

enum err txn_chunks(struct txn *t, chunk_fn fn, void *ctx)
{
	struct chunk *list = arena_alloc(txn_arena(t), CHUNK_PAGE * sizeof *list);
	int64_t after = 0;
	size_t n = CHUNK_PAGE;
	enum err e = OK;
	while (e == OK && n == CHUNK_PAGE) {
		e = chunk_page(t, after, list, &n);
		for (size_t i = 0; e == OK && i < n; i++) e = fn(ctx, &list[i]);
		if (n > 0) after = list[n - 1].id;
	}
	return e;
}

enum err txn_chunks_trim(struct txn *t, int64_t below_id)
{
	enum err e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_CHUNK_TRIM);
	q_int(&q, below_id);
	return q_run(&q);
}

static uint64_t stream_sum(const struct stream_row *s, int64_t closed_ms)
{
	uint64_t sum = SUM_INTS(SUM_STREAM, s->request, s->attempt, s->kind, closed_ms);
	return sum_str(sum_str(sum, s->status), s->text);
}

enum err txn_stream_close(struct txn *t, const struct stream_row *s)
{
	enum err e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_STREAM_ADD);
	q_int(&q, s->request);
	q_int(&q, s->attempt);
	q_int(&q, s->kind);
	q_text(&q, s->status);
	q_int(&q, txn_now_ms(t));
	q_text(&q, s->text);
	q_int(&q, (int64_t)stream_sum(s, txn_now_ms(t)));
	return q_run(&q);
}

enum err txn_stream_get(struct txn *t, int64_t request, int64_t attempt, enum stream_kind kind, struct stream_row *out)
{
	struct q q = q_begin(t->db, SQL_STREAM_GET);
	q_int(&q, request);
	q_int(&q, attempt);
	q_int(&q, kind);
	bool found = q_row(&q), good = false;
	if (found) {
		*out = (struct stream_row){.request = request,
					   .attempt = attempt,
					   .kind = kind,
					   .status = q_copy_str(&q, 0, txn_arena(t)),
					   .text = q_copy_str(&q, 2, txn_arena(t))};
		good = (uint64_t)q_get_int(&q, 3) == stream_sum(out, q_get_int(&q, 1));
	}
	enum err e = q_end(&q);
	if (e != OK) return e;
	if (!found) return ERR_NOT_FOUND;
	return good ? OK
		    : err_set(&t->op->info, ERR_CORRUPT, "stream %lld.%lld fails its checksum; run: roost doctor",
			      (long long)request, (long long)attempt);
}
