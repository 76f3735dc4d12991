/* What needs no credential: the web page, /healthz and /readyz; and /metrics for the operator and for loopback. */
#include "server/assets.h"

#include "base/clock.h"
#include "server/server.h"

static void answer_asset(struct http_req *r, const struct asset *a)
{
	struct buf h = BUF_INIT(512);
	bool script = str_eq(str_c(a->path), STR("/sw.js"));
	/* Names do not change when contents do, so the browser asks each time and is told 304. */
	buf_addf(&h, "ETag: %s\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n%s", a->etag,
		 script ? "Service-Worker-Allowed: /\r\n" : "");
	struct str seen = http_header(r, "if-none-match"), accept = http_header(r, "accept-encoding");
	struct str body = str_n((const char *)a->body, a->len);
	bool gzip = a->gzip != NULL && accept.p != NULL && memmem(accept.p, accept.n, "gzip", 4) != NULL;
	if (seen.p != NULL && str_eq(seen, str_c(a->etag))) http_answer_static(r, 304, a->type, h.p, STR(""), NULL);
	else if (gzip) http_answer_static(r, 200, a->type, h.p, str_n((const char *)a->gzip, a->gzip_len), "gzip");
	else http_answer_static(r, 200, a->type, h.p, body, NULL);
	buf_release(&h);
}

static const struct asset *find_asset(struct str path)
{
	if (str_eq(path, STR("/"))) path = STR("/index.html");
	for (size_t i = 0; i < assets_len; i++)
		if (str_eq(path, str_c(assets[i].path))) return &assets[i];
	return NULL;
}

/* OpenMetrics: names in the field's form, units in the names, one line of help each. */
static void metric(struct buf *b, const char *name, const char *kind, const char *help, int64_t value)
{
	const char *suffix = strcmp(kind, "counter") == 0 ? "_total" : "";
	buf_addf(b, "# TYPE roost_%s %s\n# HELP roost_%s %s\nroost_%s%s %lld\n", name, kind, name, help, name, suffix,
		 (long long)value);
}

static void metrics(struct server *s, struct http_req *r)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct http_stats hs;
	struct relay_counts rc;
	http_stats(s->http, &hs);
	relay_counts(work_relay(s->work), &rc);
	metric(&b, "uptime_seconds", "gauge", "Time since the daemon was ready.",
	       (clock_boot_ms() - s->started_boot_ms) / 1000);
	metric(&b, "devices_online", "gauge", "Devices with an open WebSocket.", s->nonline);
	metric(&b, "connections_open", "gauge", "Open HTTP and WebSocket connections.", hs.open);
	metric(&b, "connections_accepted", "counter", "Connections accepted since the start.", hs.accepted);
	metric(&b, "connections_refused", "counter", "Connections refused at a limit since the start.", hs.refused);
	metric(&b, "http_requests", "counter", "HTTP requests since the start.", hs.requests);
	metric(&b, "received_bytes", "counter", "Bytes received from clients since the start.", hs.bytes_in);
	metric(&b, "sent_bytes", "counter", "Bytes sent to clients since the start.", hs.bytes_out);
	metric(&b, "duplicates_refused", "counter", "Messages refused because another device just sent the same.",
	       s->nduplicates);
	metric(&b, "primary_changes", "counter", "Changes of a session's primary device since the start.",
	       s->nprimaries);
	metric(&b, "requests_open", "gauge", "Requests that are not finished.", rc.open);
	metric(&b, "requests_running", "gauge", "Requests with an attempt under way.", rc.running);
	metric(&b, "requests_retrying", "gauge", "Requests that wait for their next attempt.", rc.retrying);
	metric(&b, "requests_waiting", "gauge", "Requests that wait for their turn.", rc.waiting);
	metric(&b, "requests_held", "gauge", "Waiting or retrying requests of sessions whose queue is paused.",
	       rc.held);
	metric(&b, "queues_watched", "gauge", "Conversations whose queue a joined device follows.", queues_watched(s));
	metric(&b, "store_queue_bytes", "gauge", "Commands that wait for the disk.",
	       (int64_t)store_queue_bytes(s->store));
	buf_addf(&b, "# EOF\n");
	http_answer(r, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", NULL, buf_str(&b));
	buf_release(&b);
}

bool page_request(struct server *s, struct http_req *r)
{
	struct str path = http_path(r);
	bool get = str_eq(http_method(r), STR("GET")) || str_eq(http_method(r), STR("HEAD"));
	if (!get) return false;
	if (str_eq(path, STR("/healthz"))) {
		http_answer(r, 200, "text/plain", NULL, STR("ok\n"));
	} else if (str_eq(path, STR("/readyz"))) {
		bool ready = s->ready && !s->stopping;
		http_answer(r, ready ? 200 : 503, "text/plain", NULL, ready ? STR("ready\n") : STR("not ready\n"));
	} else if (str_eq(path, STR("/metrics")) && http_is_loopback(r) && s->ready && !s->stopping) {
		metrics(s, r);
	} else {
		const struct asset *a = find_asset(path);
		if (a == NULL) return false;
		answer_asset(r, a);
	}
	return true;
}
