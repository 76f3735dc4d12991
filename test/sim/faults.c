/* What goes wrong. Every fault is mended by another, later one, or by plan_calm. */
#include "sim/disk.h"
#include "sim/fiber.h"
#include "sim/house.h"
#include "sim/plan.h"
#include "sim/zombie.h"

/* The kinds of ways a device has to the daemon. */
static const struct path ways[] = {
	{.delay_us = 60, .jitter_us = 100},                         /* the same house */
	{.delay_us = 2 * MS, .jitter_us = 4 * MS, .lost = 2},       /* the same town */
	{.delay_us = 40 * MS, .jitter_us = 60 * MS, .lost = 50},    /* a train */
	{.delay_us = 200 * MS, .jitter_us = 300 * MS, .lost = 100}, /* the other side of the world, in a lift */
};

void plan_network(struct device *d)
{
	bool down = d->path.down, asleep = d->path.asleep;
	d->path = ways[pick(ARRAY_LEN(ways))];
	d->path.down = down;
	d->path.asleep = asleep;
}

static void restart(void *arg)
{
	(void)arg;
	house_start();
}

static void restart_later(void)
{
	after(chance(700) ? pick_between(1, 300 * MS) : pick_between(0, 4 * SECOND), restart, NULL);
}

static void fault_kill(void)
{
	house_kill();
	restart_later();
}

static void fault_power(void)
{
	house_power_cut();
	restart_later();
}

static void restart_when_over(void *arg)
{
	(void)arg;
	if (house_runs()) after(20 * MS, restart_when_over, NULL);
	else house_start();
}

static void fault_stop(void)
{
	house_stop();
	restart_when_over(NULL);
}

static void fault_break(void)
{
	struct device *d = plan_device();
	if (d == NULL || d->wire == NULL) return;
	note("%s: its connection breaks", d->name);
	wire_break(d->wire);
}

static void fault_partition(void)
{
	struct device *d = plan_device();
	if (d == NULL) return;
	d->path.down = !d->path.down;
	note("%s: the network is %s", d->name, d->path.down ? "gone" : "back");
}

static void fault_move(void)
{
	struct device *d = plan_device();
	if (d != NULL) plan_network(d);
}

static void fault_sleep(void)
{
	struct device *d = plan_device();
	if (d != NULL) device_sleep(d, !d->path.asleep);
}

static void fault_crash(void)
{
	struct device *d = plan_device();
	if (d != NULL) device_crash(d);
}

static void fault_clock(void)
{
	int64_t by = pick_between(-600 * SECOND, 600 * SECOND);
	note("the wall clock jumps by %lld ms", (long long)(by / MS));
	wall_jump(by);
}

static void fault_disk(void)
{
	bool slow = chance(500);
	note("the disk is %s", slow ? "slow" : "fast");
	disk_set_slow(slow);
}

static void fault_zombie(void)
{
	if (house_runs()) zombies_rise(house_up_us());
}

const struct op fault_ops[] = {
	{"kill", 3, fault_kill},    {"power cut", 3, fault_power},     {"stop", 1, fault_stop},
	{"break", 12, fault_break}, {"partition", 8, fault_partition}, {"move", 4, fault_move},
	{"sleep", 8, fault_sleep},  {"crash", 10, fault_crash},        {"clock", 2, fault_clock},
	{"disk", 3, fault_disk},    {"zombie", 10, fault_zombie},
};
const size_t fault_op_count = ARRAY_LEN(fault_ops);

void plan_calm(void)
{
	note("the faults stop");
	disk_set_slow(false);
	restart_when_over(NULL);
	for (int i = 0; i < plan.ndevices + plan.nrevoked; i++) {
		struct device *d = i < plan.ndevices ? plan.devices[i] : plan.revoked[i - plan.ndevices];
		d->path.down = false;
		d->path = ways[0];
		device_sleep(d, false);
		device_online(d, true);
	}
}
