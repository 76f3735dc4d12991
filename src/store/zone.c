/* Principals, types and zones: what has a number. See txn.h for how the writer keeps zone counters. */
#include "base/id.h"
#include "store/txn.h"

/* ---- numbers every thread may look up ---- */

void intern_init(struct intern *in)
{
	*in = (struct intern){0};
	ASSERT(pthread_mutex_init(&in->lock, NULL) == 0);
}

void intern_release(struct intern *in)
{
	free(in->principals);
	free(in->types);
	arena_clear(&in->arena);
	(void)pthread_mutex_destroy(&in->lock);
}

static void intern_add_principal(struct intern *in, const struct principal *p)
{
	(void)pthread_mutex_lock(&in->lock);
	struct principal *copy = arena_alloc(&in->arena, sizeof *copy);
	*copy = *p;
	copy->user_id = arena_str(&in->arena, p->user_id);
	copy->device_id = arena_str(&in->arena, p->device_id);
	if (p->id > in->principal_cap) {
		size_t cap = MAX(in->principal_cap * 2, (size_t)p->id + 64);
		in->principals = xrealloc(in->principals, xmul(cap, sizeof(const struct principal *)));
		in->principal_cap = cap;
	}
	for (; in->nprincipals < p->id; in->nprincipals++) in->principals[in->nprincipals] = NULL;
	in->principals[p->id - 1] = copy;
	(void)pthread_mutex_unlock(&in->lock);
}

static void intern_add_type(struct intern *in, uint32_t type, struct str name)
{
	(void)pthread_mutex_lock(&in->lock);
	size_t i = type - RT_FIRST_OWN;
	if (i >= in->type_cap) {
		in->type_cap = MAX(in->type_cap * 2, i + 16);
		in->types = xrealloc(in->types, xmul(in->type_cap, sizeof *in->types));
	}
	for (; in->ntypes <= i; in->ntypes++) in->types[in->ntypes] = STR_NONE;
	in->types[i] = arena_str(&in->arena, name);
	(void)pthread_mutex_unlock(&in->lock);
}

const struct principal *intern_principal(struct intern *in, uint32_t id)
{
	(void)pthread_mutex_lock(&in->lock);
	const struct principal *p = id > 0 && id <= in->nprincipals ? in->principals[id - 1] : NULL;
	(void)pthread_mutex_unlock(&in->lock);
	return p;
}

struct str intern_type(struct intern *in, uint32_t type)
{
	struct str name = record_type_name(type);
	if (name.p != NULL || type < RT_FIRST_OWN) return name;
	(void)pthread_mutex_lock(&in->lock);
	if (type - RT_FIRST_OWN < in->ntypes) name = in->types[type - RT_FIRST_OWN];
	(void)pthread_mutex_unlock(&in->lock);
	return name;
}

static uint64_t principal_sum(int64_t id, int64_t user, struct str device)
{
	return sum_str(SUM_INTS(SUM_PRINCIPAL, id, user), device);
}

enum err intern_load(struct intern *in, struct db *db, struct errinfo *info)
{
	enum err bad = OK;
	struct q q = q_begin(db, SQL_PRINCIPAL_LIST);
	while (bad == OK && q_row(&q)) {
		struct principal p = {.id = (uint32_t)q_get_int(&q, 0),
				      .user = q_get_int(&q, 1),
				      .user_id = q_get_str(&q, 2),
				      .device_id = q_get_str(&q, 3)};
		if ((uint64_t)q_get_int(&q, 4) != principal_sum(p.id, p.user, p.device_id))
			bad = err_set(info, ERR_CORRUPT, "principal %u fails its checksum", p.id);
		else intern_add_principal(in, &p);
	}
	enum err e = q_end(&q);
	if (e != OK || bad != OK) return e != OK ? e : bad;
	q = q_begin(db, SQL_TYPE_LIST);
	while (q_row(&q)) intern_add_type(in, (uint32_t)q_get_int(&q, 0), q_get_str(&q, 1));
	return q_end(&q);
}

enum err txn_principal_get(struct txn *t, uint32_t id, const struct principal **out)
{
	*out = intern_principal(t->intern, id);
	return *out != NULL ? OK : ERR_NOT_FOUND;
}

enum err txn_actor(struct txn *t, const struct principal **out) { return txn_principal_get(t, t->op->actor, out); }

enum err txn_newest_principal(struct txn *t, uint32_t *out)
{
	struct q q = q_begin(t->db, SQL_PRINCIPAL_NEWEST);
	*out = q_row(&q) ? (uint32_t)q_get_int(&q, 0) : 0;
	return q_end(&q);
}

enum err txn_principal(struct txn *t, int64_t user, struct str device_id, uint32_t *out)
{
	struct q q = q_begin(t->db, SQL_PRINCIPAL_FIND);
	q_int(&q, user);
	q_text(&q, device_id);
	bool found = q_row(&q);
	if (found) *out = (uint32_t)q_get_int(&q, 0);
	enum err e = q_end(&q);
	if (e != OK || found) return e;
	if (!t->db->is_writer) return ERR_NOT_FOUND;
	q = q_begin(t->db, SQL_USER_GET);
	q_int(&q, user);
	struct principal p = {.id = (uint32_t)t->intern->nprincipals + 1, .user = user, .device_id = device_id};
	if (q_row(&q)) p.user_id = q_copy_str(&q, 1, txn_arena(t));
	e = q_end(&q);
	if (e == OK && p.user_id.p == NULL) e = ERR_NOT_FOUND;
	if (e == OK) e = txn_touch(t);
	if (e != OK) return e;
	q = q_begin(t->db, SQL_PRINCIPAL_ADD);
	q_int(&q, p.id);
	q_int(&q, user);
	q_text(&q, device_id);
	q_int(&q, (int64_t)principal_sum(p.id, user, device_id));
	e = q_run(&q);
	if (e != OK) return e;
	intern_add_principal(t->intern, &p);
	*out = p.id;
	return OK;
}

enum err txn_type(struct txn *t, struct str name, bool create, uint32_t *out)
{
	*out = record_type_number(name);
	if (*out != 0) return OK;
	struct q q = q_begin(t->db, SQL_TYPE_FIND);
	q_text(&q, name);
	bool found = q_row(&q);
	if (found) *out = (uint32_t)q_get_int(&q, 0);
	enum err e = q_end(&q);
	if (e != OK || found) return e;
	if (!create) return ERR_NOT_FOUND;
	if (!name_is_valid(name))
		return err_set(&t->op->info, ERR_BAD_FIELD,
			       "a record type is 1–255 characters of A–Z a–z 0–9 . _ - : @ +");
	if ((int64_t)t->intern->ntypes >= t->limits->own_types)
		return err_set(&t->op->info, ERR_TOO_MANY,
			       "there are ownTypes (%lld) record types of applications already",
			       (long long)t->limits->own_types);
	e = txn_touch(t);
	if (e != OK) return e;
	uint32_t type = RT_FIRST_OWN + (uint32_t)t->intern->ntypes;
	q = q_begin(t->db, SQL_TYPE_ADD);
	q_int(&q, type);
	q_text(&q, name);
	e = q_run(&q);
	if (e != OK) return e;
	intern_add_type(t->intern, type, name);
	*out = type;
	return OK;
}

/* ---- zones ---- */

static uint64_t zone_sum(uint32_t id, int64_t user, struct str name, const struct zone_counts *c)
{
	return sum_str(SUM_INTS(SUM_ZONE, id, user, c->seq, c->floor, c->records, (int64_t)c->hash), name);
}

/* Reads the row of a zone from the table; name in the op's arena. */
static enum err zone_read(struct txn *t, uint32_t id, struct zone *out)
{
	struct q q = q_begin(t->db, SQL_ZONE_GET);
	q_int(&q, id);
	bool found = q_row(&q), good = false;
	if (found) {
		*out = (struct zone){
			.id = id,
			.user = q_get_int(&q, 1),
			.name = q_copy_str(&q, 2, txn_arena(t)),
			.now = {q_get_int(&q, 3), q_get_int(&q, 4), q_get_int(&q, 5), (uint64_t)q_get_int(&q, 6)}};
		good = (uint64_t)q_get_int(&q, 7) == zone_sum(id, out->user, out->name, &out->now);
	}
	enum err e = q_end(&q);
	if (e != OK) return e;
	if (!found) return ERR_NOT_FOUND;
	return good ? OK : err_set(&t->op->info, ERR_CORRUPT, "zone %u fails its checksum; run: roost doctor", id);
}

static struct zone *zone_keep(struct zones *zs, const struct zone *z)
{
	struct zone *kept = xmalloc(sizeof *kept);
	*kept = *z;
	kept->name = str_n(str_dup(z->name), z->name.n);
	HASH_ADD(hh, zs->by_id, id, sizeof kept->id, kept);
	return kept;
}

static void zone_forget(struct zones *zs, struct zone *z)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the analyser cannot follow uthash */
	HASH_DEL(zs->by_id, z);
	free((char *)(uintptr_t)z->name.p);
	free(z);
}

void zones_release(struct zones *zs)
{
	struct zone *z, *next;
	HASH_ITER (hh, zs->by_id, z, next) zone_forget(zs, z);
	free(zs->log);
}

enum err zone_get(struct txn *t, uint32_t id, struct zone **out)
{
	ASSERT(t->db->is_writer);
	HASH_FIND(hh, t->zones.by_id, &id, sizeof id, *out);
	if (*out != NULL) return OK;
	struct zone z;
	enum err e = zone_read(t, id, &z);
	if (e == OK) *out = zone_keep(&t->zones, &z);
	return e;
}

static void note(struct zones *zs, struct zone *z, bool created)
{
	if (zs->nlog == zs->cap) {
		zs->cap = MAX(zs->cap * 2, (size_t)64);
		zs->log = xrealloc(zs->log, xmul(zs->cap, sizeof *zs->log));
	}
	zs->log[zs->nlog++] = (struct zone_undo){.zone = z, .was = z->now, .created = created};
	z->mark = zs->mark;
	z->is_dirty = true;
}

void zone_touch(struct txn *t, struct zone *z)
{
	if (z->mark != t->zones.mark) note(&t->zones, z, false);
}

void zones_undo(struct zones *zs, size_t nlog)
{
	while (zs->nlog > nlog) {
		struct zone_undo *u = &zs->log[--zs->nlog];
		u->zone->now = u->was;
		if (u->created) zone_forget(zs, u->zone);
	}
	zs->mark++;
}

enum err zones_write(struct txn *t)
{
	for (size_t i = 0; i < t->zones.nlog; i++) {
		struct zone *z = t->zones.log[i].zone;
		if (!z->is_dirty) continue;
		z->is_dirty = false;
		struct q q = q_begin(t->db, SQL_ZONE_SET);
		q_int(&q, z->id);
		q_int(&q, z->now.seq);
		q_int(&q, z->now.floor);
		q_int(&q, z->now.records);
		q_int(&q, (int64_t)z->now.hash);
		q_int(&q, (int64_t)zone_sum(z->id, z->user, z->name, &z->now));
		enum err e = q_run(&q);
		if (e != OK) return e;
	}
	return OK;
}

void zones_committed(struct zones *zs)
{
	zs->nlog = 0;
	zs->mark++;
}

static enum err zone_make(struct txn *t, int64_t user, struct str name, uint32_t *out)
{
	if (!name_is_valid(name)) return err_set(&t->op->info, ERR_BAD_FIELD, "this is no name for a zone");
	struct q q = q_begin(t->db, SQL_ZONE_COUNT);
	q_int(&q, user);
	int64_t have = q_row(&q) ? q_get_int(&q, 0) : 0;
	enum err e = q_end(&q);
	/* What a user spends is entered whatever applications have made. */
	if (e == OK && have >= t->limits->zones_per_user && !str_eq(name, STR("usage")))
		e = err_set(&t->op->info, ERR_TOO_MANY, "this user has %lld zones already (zonesPerUser)",
			    (long long)have);
	if (e == OK) e = txn_touch(t);
	if (e != OK) return e;
	struct zone z = {.id = t->zones.next_id++, .user = user, .name = name};
	q = q_begin(t->db, SQL_ZONE_ADD);
	q_int(&q, z.id);
	q_int(&q, user);
	q_text(&q, name);
	q_int(&q, (int64_t)zone_sum(z.id, user, name, &z.now));
	e = q_run(&q);
	if (e != OK) return e;
	note(&t->zones, zone_keep(&t->zones, &z), true);
	*out = z.id;
	return OK;
}

enum err txn_zone(struct txn *t, int64_t user, struct str name, bool create, uint32_t *out)
{
	struct q q = q_begin(t->db, SQL_ZONE_FIND);
	q_int(&q, user);
	q_text(&q, name);
	bool found = q_row(&q);
	if (found) *out = (uint32_t)q_get_int(&q, 0);
	enum err e = q_end(&q);
	if (e != OK || found) return e;
	if (!create) return ERR_NOT_FOUND;
	/* The principal of the user's daemon is there before its first zone, so that a zone may keep its number. */
	uint32_t daemon;
	e = txn_principal(t, user, STR(""), &daemon);
	return e == OK ? zone_make(t, user, name, out) : e;
}

enum err txn_zone_info(struct txn *t, uint32_t zone, struct zone_info *out)
{
	struct zone *z, read;
	enum err e = t->db->is_writer ? zone_get(t, zone, &z) : zone_read(t, zone, z = &read);
	if (e != OK) return e;
	*out = (struct zone_info){.zone = zone,
				  .user = z->user,
				  .name = arena_str(txn_arena(t), z->name),
				  .seq = z->now.seq,
				  .floor = z->now.floor,
				  .records = z->now.records,
				  .hash = z->now.hash};
	return OK;
}
