/* Who drives: how soon the devices of a session know their new primary.
 *
 *     bench_lead --port P --devices FILE --how transfer|lost|silent [--rounds 200]
 *
 * The devices (three of one user, say) join one session. transfer: the primary hands over to the next, and the clock
 * stops when both have been told. lost: the primary's socket is closed. silent: the primary freezes: nothing that the
 * daemon sends it is read or answered any more. In both the clock stops when the device that follows has been told, and
 * the one that was gone comes back before the next round. Prints {"rounds","known":{…}}. */
#include <sys/epoll.h>

#include "gear/args.h"
#include "gear/message.h"

#define LIMIT_NS (60 * NS_PER_SEC)

struct seat {
	char primary[64]; /* as this device was told last */
	int64_t term, told_ns;
	bool is_joined;
};

static struct loop loop;
static struct device *devices;
static struct seat *seats;
static size_t ndevices;
static struct id conversation;
static char session[64];
static int port;

static void learn(struct seat *s, struct str frame)
{
	/* In session:state the primary comes behind the session's own fields. */
	const char *at = memmem(frame.p, frame.n, "\"primary\":{", 11);
	struct str part = at ? str_n(at, (size_t)(frame.p + frame.n - at)) : frame;
	int64_t term = frame_int(part, "term", -1);
	if (term <= s->term) return;
	s->term = term;
	s->told_ns = now_ns();
	if (!str_copy(frame_field(part, "deviceId"), s->primary, sizeof(s->primary))) die(70, "a long device id");
}

static void take_frame(struct device *d, struct str frame)
{
	struct seat *s = d->ctx;
	if (frame_is(frame, "session:changes")) {
		device_keep_cursor(d, frame);
	} else if (frame_is(frame, "session:state")) {
		s->is_joined = true;
		learn(s, frame);
		const char *at = memmem(frame.p, frame.n, "\"session\":{", 11);
		if (at && !str_copy(frame_field(str_n(at, (size_t)(frame.p + frame.n - at)), "name"), session,
				    sizeof(session)))
			die(70, "a long session id");
	} else if (frame_is(frame, "device:primary")) {
		learn(s, frame);
	}
}

static void device_gone(struct device *d) { ((struct seat *)d->ctx)->is_joined = false; }

static bool is_joined(void *ctx) { return ((struct seat *)ctx)->is_joined; }
static bool is_ready(void *ctx) { return ((struct device *)ctx)->state == DEVICE_READY; }

static void join(size_t i)
{
	device_sendf(&devices[i], "{\"type\":\"session:join\",\"conversationId\":\"%s\"}", conversation.s);
	devices_wait(&loop, LIMIT_NS, is_joined, &seats[i], "session:join");
}

static size_t primary_of(size_t witness)
{
	for (size_t i = 0; i < ndevices; i++)
		if (strcmp(devices[i].id, seats[witness].primary) == 0) return i;
	return ndevices;
}

static bool all_agree(void *ctx)
{
	(void)ctx;
	for (size_t i = 0; i < ndevices; i++)
		if (seats[i].term != seats[0].term || primary_of(i) == ndevices) return false;
	return true;
}

struct change {
	size_t from, to; /* to: ndevices, whoever it is */
	bool both;
	int64_t term; /* before it */
	int64_t known_ns;
};

static bool is_known(void *ctx)
{
	struct change *c = ctx;
	int64_t last = 0;
	for (size_t i = 0; i < ndevices; i++) {
		bool matters = c->both ? i == c->from || i == c->to : i != c->from && primary_of(i) == i;
		if (!matters) continue;
		if (seats[i].term <= c->term) return false;
		last = MAX(last, seats[i].told_ns);
	}
	c->known_ns = last;
	return last != 0;
}

/* From now on nothing this device is sent is read. */
static void freeze(struct device *d) { epoll_ctl(loop.epoll_fd, EPOLL_CTL_DEL, d->conn.fd, NULL); }

static void come_back(size_t i)
{
	if (devices[i].state != DEVICE_CLOSED) devices_close(&devices[i], 1);
	seats[i].is_joined = false;
	loop_round(&loop, 0); /* the old connection is forgotten */
	device_connect(&loop, &devices[i], port);
	devices_wait(&loop, LIMIT_NS, is_ready, &devices[i], "reconnect");
	join(i);
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL), *how = args_text(&a, "how", NULL);
	int64_t rounds = args_int(&a, "rounds", 200);
	args_done(&a);
	bool transfer = strcmp(how, "transfer") == 0, silent = strcmp(how, "silent") == 0;
	if (!transfer && !silent && strcmp(how, "lost") != 0) die(64, "--how is transfer, lost or silent");

	struct samples known = {0};
	loop_init(&loop);
	devices = devices_load(file, &ndevices);
	if (ndevices < 2) die(65, "nobody to hand over to");
	seats = xcalloc(ndevices, sizeof(*seats));
	devices_connect(&loop, devices, ndevices, port, 8);
	struct id *made = conversations_make(&loop, devices, 1, 1);
	conversation = made[0];
	free(made);
	for (size_t i = 0; i < ndevices; i++) {
		devices[i].on_frame = take_frame;
		devices[i].on_lost = device_gone;
		devices[i].ctx = &seats[i];
		join(i);
	}
	for (int64_t round = 0; round < rounds; round++) {
		devices_wait(&loop, LIMIT_NS, all_agree, NULL, "everybody to know the primary");
		size_t from = primary_of(0), to = (from + 1) % ndevices;
		struct change c = {.from = from, .to = to, .both = transfer, .term = seats[from].term};
		int64_t begun_ns = now_ns();
		if (transfer)
			device_sendf(&devices[from],
				     "{\"type\":\"device:primary\",\"sessionId\":\"%s\",\"action\":\"transfer\","
				     "\"toDeviceId\":\"%s\"}",
				     session, devices[to].id);
		else if (silent) freeze(&devices[from]);
		else devices_close(&devices[from], 1);
		devices_wait(&loop, LIMIT_NS, is_known, &c, how);
		samples_add(&known, c.known_ns - begun_ns);
		if (!transfer) come_back(from);
	}
	printf("{\"rounds\":%lld,", (long long)rounds);
	samples_print(&known, "known", stdout);
	puts("}");
	return 0;
}
