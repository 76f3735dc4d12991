#include "host/mdns.h"

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/simple-watch.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define STOP_MS 1000

int mdns_wanted(const struct config *c)
{
	struct str addr;
	int port;
	if (!c->mdns) return -1;
	for (int i = 0; c->listen[i] != NULL; i++)
		if (config_split_address(str_c(c->listen[i]), &addr, &port) && !config_is_loopback(addr)) return i;
	return -1;
}

void mdns_txt_make(struct mdns_txt *t, const char *version, bool tls)
{
	t->n = 0;
	snprintf(t->text[t->n++], sizeof t->text[0], "version=%.40s", version);
	snprintf(t->text[t->n++], sizeof t->text[0], "protocol=1");
	snprintf(t->text[t->n++], sizeof t->text[0], "tls=%d", tls);
	snprintf(t->text[t->n++], sizeof t->text[0], "path=/api/v1");
}

/* ---- publishing ------------------------------------------------------------------------------------------------- */

struct mdns {
	pthread_t thread;
	struct journal *journal;
	int port;
	bool tls;
	pthread_mutex_t lock; /* `stop` and `poll`; the rest is the thread's own */
	pthread_cond_t stopped;
	bool stop;
	AvahiSimplePoll *poll; /* while Avahi is spoken with */
	AvahiEntryGroup *group;
	char *name;     /* Avahi's memory */
	bool is_failed; /* this try is over */
	bool was_noted; /* that Avahi is missing, since it was last there */
	int error;      /* of the last failure */
};

static void fail(struct mdns *m, AvahiClient *client)
{
	m->error = avahi_client_errno(client);
	m->is_failed = true;
}

static void on_group(AvahiEntryGroup *g, AvahiEntryGroupState state, void *ctx);

/* Under m->name, or under the next name while that is taken on this machine. */
static void publish(struct mdns *m, AvahiClient *client)
{
	struct mdns_txt txt;
	AvahiStringList *list = NULL;
	int e = AVAHI_OK;
	mdns_txt_make(&txt, ROOST_VERSION, m->tls);
	for (size_t i = 0; i < txt.n; i++) list = avahi_string_list_add(list, txt.text[i]);
	if (m->name == NULL) m->name = avahi_strdup_printf("Roost on %.40s", avahi_client_get_host_name(client));
	if (m->group == NULL) m->group = avahi_entry_group_new(client, on_group, m);
	do {
		if (e == AVAHI_ERR_COLLISION) {
			char *next = avahi_alternative_service_name(m->name);
			avahi_free(m->name);
			m->name = next;
		}
		e = m->group == NULL ? avahi_client_errno(client)
				     : avahi_entry_group_add_service_strlst(m->group, AVAHI_IF_UNSPEC,
									    AVAHI_PROTO_UNSPEC, 0, m->name, MDNS_TYPE,
									    NULL, NULL, (uint16_t)m->port, list);
	} while (e == AVAHI_ERR_COLLISION);
	if (e == AVAHI_OK) e = avahi_entry_group_commit(m->group);
	avahi_string_list_free(list);
	if (e != AVAHI_OK) fail(m, client);
}

static void on_group(AvahiEntryGroup *g, AvahiEntryGroupState state, void *ctx)
{
	struct mdns *m = ctx;
	AvahiClient *client = avahi_entry_group_get_client(g);
	m->group = g; /* it is called before avahi_entry_group_new returns, too */
	if (state == AVAHI_ENTRY_GROUP_ESTABLISHED) {
		m->was_noted = false;
		journal_event(m->journal, "mdns.published", EVS("name", str_c(m->name)), EVI("port", m->port));
	} else if (state == AVAHI_ENTRY_GROUP_COLLISION) {
		char *next = avahi_alternative_service_name(m->name);
		avahi_free(m->name);
		m->name = next;
		avahi_entry_group_reset(g);
		publish(m, client);
	} else if (state == AVAHI_ENTRY_GROUP_FAILURE) {
		fail(m, client);
	}
}

static void on_client(AvahiClient *client, AvahiClientState state, void *ctx)
{
	struct mdns *m = ctx;
	if (state == AVAHI_CLIENT_S_RUNNING) publish(m, client);
	else if (state == AVAHI_CLIENT_FAILURE) fail(m, client);
	else if (m->group != NULL) avahi_entry_group_reset(m->group); /* the host's own name is being settled */
}

static bool is_stopping(struct mdns *m)
{
	pthread_mutex_lock(&m->lock);
	bool stop = m->stop;
	pthread_mutex_unlock(&m->lock);
	return stop;
}

/* mdns_stop wakes the poll only through this pointer. */
static void set_poll(struct mdns *m, AvahiSimplePoll *poll)
{
	pthread_mutex_lock(&m->lock);
	m->poll = poll;
	pthread_mutex_unlock(&m->lock);
}

/* One try: until it fails or is to end. */
static void speak(struct mdns *m)
{
	AvahiSimplePoll *poll = avahi_simple_poll_new();
	m->is_failed = false;
	m->error = AVAHI_ERR_NO_MEMORY;
	if (poll == NULL) return;
	AvahiClient *client = avahi_client_new(avahi_simple_poll_get(poll), 0, on_client, m, &m->error);
	set_poll(m, poll);
	while (client != NULL && !m->is_failed && !is_stopping(m))
		if (avahi_simple_poll_iterate(poll, -1) != 0) break;
	set_poll(m, NULL);
	if (client != NULL) avahi_client_free(client); /* its group with it */
	m->group = NULL;
	avahi_simple_poll_free(poll);
}

static void wait_for_next_try(struct mdns *m)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += MDNS_RETRY_MS / 1000;
	pthread_mutex_lock(&m->lock);
	while (!m->stop && pthread_cond_timedwait(&m->stopped, &m->lock, &until) == 0) continue;
	pthread_mutex_unlock(&m->lock);
}

static void *thread_main(void *arg)
{
	struct mdns *m = arg;
	while (!is_stopping(m)) {
		speak(m);
		if (is_stopping(m)) break;
		if (!m->was_noted) {
			log_warn("the local network cannot find this daemon (Avahi: %s); it is tried again",
				 avahi_strerror(m->error));
			journal_event(m->journal, "mdns.unavailable", EVS("error", str_c(avahi_strerror(m->error))));
		}
		m->was_noted = true;
		wait_for_next_try(m);
	}
	return NULL;
}

struct mdns *mdns_publish(int port, bool tls, struct journal *j)
{
	struct mdns *m = xcalloc(1, sizeof *m);
	pthread_condattr_t attr;
	m->port = port;
	m->tls = tls;
	m->journal = j;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->stopped, &attr);
	pthread_condattr_destroy(&attr);
	int e = pthread_create(&m->thread, NULL, thread_main, m);
	if (e != 0) die(71, "no thread: %s", strerror(e));
	return m;
}

void mdns_stop(struct mdns *m)
{
	struct timespec until;
	if (m == NULL) return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_signal(&m->stopped);
	if (m->poll != NULL) avahi_simple_poll_wakeup(m->poll);
	pthread_mutex_unlock(&m->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_MS / 1000;
	if (pthread_timedjoin_np(m->thread, NULL, &until) != 0)
		return; /* it waits for Avahi and still needs its memory */
	avahi_free(m->name);
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->stopped);
	free(m);
}

/* ---- looking for others ----------------------------------------------------------------------------------------- */

struct browsing {
	AvahiClient *client;
	void (*found)(void *ctx, const struct mdns_found *f);
	void *ctx;
	bool is_failed;
};

/* The value of a key; "" none. The list's memory. */
static struct str txt_value(AvahiStringList *txt, const char *key)
{
	AvahiStringList *item = avahi_string_list_find(txt, key);
	if (item == NULL) return STR("");
	struct str text = str_n((const char *)avahi_string_list_get_text(item), avahi_string_list_get_size(item));
	size_t skip = MIN(strlen(key) + 1, text.n);
	return str_n(text.p + skip, text.n - skip);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are Avahi's */
static void on_resolved(AvahiServiceResolver *r, AvahiIfIndex interface, AvahiProtocol protocol,
			AvahiResolverEvent event, const char *name, const char *type, const char *domain,
			const char *host, const AvahiAddress *address, uint16_t port, AvahiStringList *txt,
			AvahiLookupResultFlags flags, void *ctx)
{
	struct browsing *b = ctx;
	char text[AVAHI_ADDRESS_STR_MAX + IF_NAMESIZE + 1];
	(void)protocol, (void)type, (void)domain, (void)flags;
	if (event == AVAHI_RESOLVER_FOUND) {
		struct mdns_found f = {.name = str_c(name),
				       .host = str_c(host),
				       .port = port,
				       .is_v6 = address->proto == AVAHI_PROTO_INET6,
				       .tls = str_eq(txt_value(txt, "tls"), STR("1")),
				       .version = txt_value(txt, "version"),
				       .path = txt_value(txt, "path")};
		avahi_address_snprint(text, AVAHI_ADDRESS_STR_MAX, address);
		char link[IF_NAMESIZE];
		bool is_local = f.is_v6 && strncmp(text, "fe80:", 5) == 0;
		if (is_local && if_indextoname((unsigned)interface, link) != NULL) {
			size_t n = strlen(text);
			snprintf(text + n, sizeof text - n, "%%%s", link);
		}
		f.address = str_c(text);
		(void)str_to_int(txt_value(txt, "protocol"), &f.protocol);
		b->found(b->ctx, &f);
	}
	avahi_service_resolver_free(r);
}

static void on_browsed(AvahiServiceBrowser *sb, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event,
		       const char *name, const char *type, const char *domain, AvahiLookupResultFlags flags, void *ctx)
{
	struct browsing *b = ctx;
	(void)sb, (void)flags;
	if (event == AVAHI_BROWSER_FAILURE) b->is_failed = true;
	if (event != AVAHI_BROWSER_NEW) return;
	/* It reports to on_resolved, which frees it; one that cannot be made is a service that is not shown. */
	(void)avahi_service_resolver_new(b->client, interface, protocol, name, type, domain, AVAHI_PROTO_UNSPEC, 0,
					 on_resolved, b);
}

static void on_browsing_client(AvahiClient *client, AvahiClientState state, void *ctx)
{
	(void)client;
	if (state == AVAHI_CLIENT_FAILURE) ((struct browsing *)ctx)->is_failed = true;
}

enum err mdns_browse(int64_t wait_ms, void (*found)(void *ctx, const struct mdns_found *f), void *ctx,
		     struct errinfo *info)
{
	struct browsing b = {.found = found, .ctx = ctx};
	int error = AVAHI_ERR_NO_MEMORY;
	int64_t end = clock_boot_ms() + wait_ms;
	AvahiSimplePoll *poll = avahi_simple_poll_new();
	AvahiServiceBrowser *browser = NULL;
	if (poll != NULL) b.client = avahi_client_new(avahi_simple_poll_get(poll), 0, on_browsing_client, &b, &error);
	if (b.client != NULL)
		browser = avahi_service_browser_new(b.client, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, MDNS_TYPE, NULL, 0,
						    on_browsed, &b);
	if (b.client != NULL && browser == NULL) error = avahi_client_errno(b.client);
	for (int64_t left; browser != NULL && !b.is_failed && (left = end - clock_boot_ms()) > 0;)
		if (avahi_simple_poll_iterate(poll, (int)MIN(left, 1000)) != 0) b.is_failed = true;
	if (b.is_failed) error = avahi_client_errno(b.client);
	bool is_good = browser != NULL && !b.is_failed;
	if (b.client != NULL) avahi_client_free(b.client); /* browser and resolvers with it */
	if (poll != NULL) avahi_simple_poll_free(poll);
	return is_good ? OK
		       : err_set(info, ERR_UNAVAILABLE,
				 "Avahi, which finds daemons on the network, does not answer: %s",
				 avahi_strerror(error));
}
