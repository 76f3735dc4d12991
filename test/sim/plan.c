#include "sim/plan.h"

#include "sim/house.h"

struct plan plan;

struct device *plan_device(void)
{
	struct device *d = plan.devices[pick((uint64_t)plan.ndevices)];
	return d->state == DEVICE_UNPAIRED ? NULL : d;
}

struct str plan_conversation(const struct device *d)
{
	static char id[40];
	(void)snprintf(id, sizeof id, "conv-%d-%d", d->user, (int)pick(CONVERSATIONS));
	return str_c(id);
}

void run_until(int64_t until_us)
{
	while (world_step(until_us)) {
	}
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

static void nothing(void *ctx, int status, struct str body)
{
	(void)ctx;
	(void)status;
	(void)body;
}

static struct device *new_device(int user)
{
	struct device *d = device_new(plan.nmade++, user);
	d->is_app = !plan.calm && chance(500); /* one that comes at the end is the measure of the others */
	plan_network(d);
	return d;
}

void plan_add_device(int user)
{
	struct device *d = plan.devices[plan.ndevices++] = new_device(user);
	device_pair(d);
}

void plan_revoked(struct str device_id)
{
	for (int i = 0; i < plan.ndevices; i++) {
		struct device *d = plan.devices[i];
		if (!str_eq(str_c(d->id), device_id)) continue;
		note("%s: is revoked", d->name);
		d->revoked_on = d->connection;
		plan.revoked[plan.nrevoked++] = d;
		d = plan.devices[i] = new_device(d->user);
		d->came_late = true;
		device_pair(d);
		return;
	}
}

static void begin(void)
{
	static struct path here = {.delay_us = 10};
	house_start();
	run_until(now_us() + SECOND);
	plan.nusers = chance(300) ? 2 : 1;
	for (int u = 0; u < plan.nusers; u++) {
		char body[40];
		(void)snprintf(body, sizeof body, "{\"name\":\"user%d\"}", u);
		http_ask(&here, "POST", "/api/v1/operator/users", STR_NONE, str_c(body), true, nothing, NULL);
	}
	run_until(now_us() + SECOND);
	int n = (int)pick_between(2, DEVICES_MAX);
	for (int i = 0; i < n; i++) plan_add_device(i < 2 ? 0 : (int)pick((uint64_t)plan.nusers));
	for (int i = 0; i < 60; i++) {
		bool all = true;
		run_until(now_us() + SECOND);
		for (int k = 0; k < plan.ndevices; k++) all = all && plan.devices[k]->state == DEVICE_READY;
		if (all) return;
	}
	broken("everybody converges", "not every device could pair and connect");
}

/* ---- the middle -------------------------------------------------------------------------------------------------- */

static unsigned weights[2][64];

static const struct op *choose(const struct op *ops, size_t n, const unsigned *weight)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++) sum += weight[i];
	if (sum == 0) return NULL;
	uint64_t at_weight = pick(sum);
	for (size_t i = 0; i < n; i++) {
		if (at_weight < weight[i]) return &ops[i];
		at_weight -= weight[i];
	}
	return NULL;
}

/* Every seed has a temper of its own: some operations often, some never. */
static void draw_weights(const struct op *ops, size_t n, unsigned *weight)
{
	static const unsigned factor[] = {0, 1, 1, 1, 4};
	ASSERT_CMP(n, <=, ARRAY_LEN(weights[0]));
	for (size_t i = 0; i < n; i++) weight[i] = ops[i].weight * factor[pick(ARRAY_LEN(factor))];
}

static int64_t gap(unsigned pace)
{
	uint64_t luck = pick(100);
	if (luck < 30) return pick_between(0, 2 * MS);
	if (luck < 80) return pick_between(0, 60 * MS * (int64_t)pace);
	return luck < 98 ? pick_between(0, 400 * MS) : pick_between(0, 6 * SECOND);
}

static void middle(void)
{
	unsigned faults = (unsigned)pick(300), pace = (unsigned)pick_between(1, 3);
	draw_weights(people_ops, people_op_count, weights[0]);
	draw_weights(fault_ops, fault_op_count, weights[1]);
	for (int64_t i = 0; i < world_options()->steps; i++) {
		bool fault = chance(faults);
		const struct op *op = fault ? choose(fault_ops, fault_op_count, weights[1])
					    : choose(people_ops, people_op_count, weights[0]);
		world_count_step();
		if (op != NULL) op->fn();
		run_until(now_us() + gap(pace));
	}
}

void plan_run(int64_t *lost_bytes)
{
	begin();
	middle();
	finale(lost_bytes);
}
