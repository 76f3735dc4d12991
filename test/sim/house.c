#include "sim/house.h"

#include <signal.h>

#include "server/daemon.h"
#include "sim/disk.h"
#include "sim/fiber.h"
#include "sim/net.h"
#include "sim/zombie.h"

static struct config config;
static bool runs;
static int64_t lives, started_us;

/* Limits that a simulated minute can reach; 0 leaves the default. */
static const struct {
	const char *key;
	int64_t value;
} short_limits[] = {
	{"pingMs", 4000},         {"backoffMs", 100},
	{"backoffMaxMs", 1000},   {"primaryGraceMs", 1500},
	{"heartbeatMs", 2000},    {"lockMs", 3000},
	{"duplicateMs", 2000},    {"firstTokenMs", 3000},
	{"streamIdleMs", 2000},   {"deviceQueueBytes", 16384},
	{"pageRecords", 20},      {"attempts", 3},
	{"retryHorizonMs", 8000},
};

void house_open(void)
{
	static const char *const none[] = {NULL};
	struct errinfo info;
	config_init(&config);
	config.data_dir = world_options()->dir;
	config.listen = none;
	config.journal = false;
	for (size_t i = 0; i < ARRAY_LEN(short_limits); i++) {
		enum err e = limits_set(&config.limits, str_c(short_limits[i].key), short_limits[i].value, &info);
		if (e != OK) die(70, "%s", err_sentence(&info, e));
	}
}

const struct limits *house_limits(void) { return &config.limits; }
bool house_runs(void) { return runs; }
int64_t house_lives(void) { return lives; }
int64_t house_up_us(void) { return now_us() - started_us; }

static void *loop_main(void *arg)
{
	struct errinfo info = {0};
	int64_t life = lives;
	(void)arg;
	int status = daemon_run(&config, &info);
	note("daemon: ended by itself, status %d", status);
	EXPECT("the daemon starts and stops cleanly", status == 0, "status %d: %s", status, info.text);
	if (life == lives) runs = false;
	zombies_daemon_died();
	net_daemon_died();
	return NULL;
}

void house_start(void)
{
	if (runs) return;
	runs = true;
	lives++;
	started_us = now_us();
	note("daemon: start %lld", (long long)lives);
	(void)fiber_new(loop_main, NULL);
}

static void forget(void)
{
	runs = false;
	fibers_forget();
	loop_forget();
	zombies_daemon_died();
	net_daemon_died();
}

void house_kill(void)
{
	if (!runs) return;
	note("daemon: killed");
	forget();
	disk_process_died();
}

void house_power_cut(void)
{
	if (!runs) return;
	note("daemon: power cut");
	forget();
	disk_power_failed();
}

void house_stop(void)
{
	if (!runs) return;
	note("daemon: asked to stop");
	loop_signal(SIGTERM);
}
