/* For tests of the store: records put and read, a zone and its feed, in one line each. */
#ifndef TEST_STORE_GEAR_H
#define TEST_STORE_GEAR_H

#include "store_fixture.h"

/* ---- small commands ---- */

struct put {
	struct fixture *f;
	uint32_t type;
	const char *name, *fields;
	int64_t conv, ord;
	int32_t state;
	struct record rec; /* out; its strings are gone */
	enum err then;     /* what the command returns after the put */
};

__attribute__((unused)) static enum err put_run(struct txn *t, void *ctx)
{
	struct put *p = ctx;
	struct record r = {.zone = p->f->zone, .type = p->type, .name = str_c(p->name), .conv = p->conv, .ord = p->ord};
	enum err e = txn_get(t, r.zone, r.type, r.name, &r);
	if (e != OK && e != ERR_NOT_FOUND) return e;
	r.zone = p->f->zone;
	r.type = p->type;
	r.name = str_c(p->name);
	r.fields = str_c(p->fields);
	r.state = p->state;
	e = txn_put(t, &r);
	p->rec = r;
	return e != OK ? e : p->then;
}

__attribute__((unused)) static enum err put(struct fixture *f, uint32_t type, const char *name, const char *fields)
{
	struct put p = {.f = f, .type = type, .name = name, .fields = fields};
	return run(f, put_run, &p);
}

struct get {
	struct fixture *f;
	uint32_t type;
	const char *name;
	struct record rec; /* out, in f->keep */
};

__attribute__((unused)) static enum err get_run(struct txn *t, void *ctx)
{
	struct get *g = ctx;
	enum err e = txn_get(t, g->f->zone, g->type, str_c(g->name), &g->rec);
	if (e != OK) return e;
	g->rec.name = arena_str(&g->f->keep, g->rec.name);
	g->rec.fields = arena_str(&g->f->keep, g->rec.fields);
	g->rec.origin = arena_str(&g->f->keep, g->rec.origin);
	return OK;
}

__attribute__((unused)) static enum err get(struct fixture *f, uint32_t type, const char *name, struct record *out)
{
	struct get g = {.f = f, .type = type, .name = name};
	enum err e = run(f, get_run, &g);
	if (out != NULL) *out = g.rec;
	return e;
}

__attribute__((unused)) static enum err remove_run(struct txn *t, void *ctx)
{
	struct get *g = ctx;
	enum err e = txn_get(t, g->f->zone, g->type, str_c(g->name), &g->rec);
	return e == OK ? txn_delete(t, &g->rec) : e;
}

__attribute__((unused)) static enum err zone_run(struct txn *t, void *ctx)
{
	struct zone_info *zi = ctx;
	return txn_zone_info(t, zi->zone, zi);
}

__attribute__((unused)) static struct zone_info zone_of(struct fixture *f)
{
	struct zone_info zi = {.zone = f->zone};
	assert_int_equal(run(f, zone_run, &zi), OK);
	return zi;
}

/* A conversation and n messages in it; returns its row. */
__attribute__((unused)) static int64_t talk(struct fixture *f, const char *conv_name, int n)
{
	struct put c = {.f = f, .type = RT_CONVERSATION, .name = conv_name, .fields = "{\"title\":\"t\"}"};
	assert_int_equal(run(f, put_run, &c), OK);
	for (int i = 1; i <= n; i++) {
		char name[80];
		(void)snprintf(name, sizeof name, "%s-m%d", conv_name, i);
		struct put m = {.f = f,
				.type = RT_MESSAGE,
				.name = name,
				.fields = "{\"text\":\"hello\"}",
				.conv = c.rec.row,
				.ord = i};
		assert_int_equal(run(f, put_run, &m), OK);
	}
	return c.rec.row;
}

/* ---- reading ---- */

struct feed {
	struct fixture *f;
	int64_t after, upto, limit;
	int64_t seqs[600], groups[600];
	size_t n;
	int64_t out_seq;
	bool more;
};
__attribute__((unused)) static enum err feed_add(void *ctx, const struct record *r)
{
	struct feed *fd = ctx;
	fd->seqs[fd->n] = r->seq;
	fd->groups[fd->n++] = r->group;
	return OK;
}
__attribute__((unused)) static enum err feed_run(struct txn *t, void *ctx)
{
	struct feed *fd = ctx;
	fd->n = 0;
	return txn_feed(t, fd->f->zone, fd->after, fd->upto, fd->limit, feed_add, fd, &fd->out_seq, &fd->more);
}

__attribute__((unused)) static enum err status_run(struct txn *t, void *ctx) { return txn_status(t, ctx); }

#endif
