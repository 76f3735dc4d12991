/* roost discover: the daemons on the local network, by mDNS. */
#include "cli/cli.h"
#include "cli/term.h"
#include "host/mdns.h"

#define TIMEOUT_MS 2000
#define TIMEOUT_MAX_MS 60000

static const struct cli_option options[] = {
	OPTION_JSON,
	{"timeout", 't', "MS", "how long to look, in milliseconds", "2000"},
	OPTION_END,
};

struct listing {
	bool json;
	size_t n;
};

static void write_url(struct buf *b, const struct mdns_found *f)
{
	buf_addf(b, "%s://%s%.*s%s:%d", f->tls ? "https" : "http", f->is_v6 ? "[" : "", STR_ARG(f->address),
		 f->is_v6 ? "]" : "", f->port);
}

/* What is on the network is anybody's: shown, but never believed to be harmless text. */
static void show(void *ctx, const struct mdns_found *f)
{
	struct listing *l = ctx;
	struct buf url = BUF_INIT(300);
	write_url(&url, f);
	l->n++;
	if (l->json) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		struct jw w = JW(&b);
		jw_obj(&w);
		jw_kstr(&w, "name", f->name);
		jw_kstr(&w, "url", buf_str(&url));
		jw_kstr(&w, "host", f->host);
		jw_kstr(&w, "address", f->address);
		jw_kint(&w, "port", f->port);
		jw_kbool(&w, "tls", f->tls);
		jw_kstr(&w, "version", f->version);
		jw_kint(&w, "protocol", f->protocol);
		jw_kstr(&w, "path", f->path);
		jw_obj_end(&w);
		printf("%.*s\n", STR_ARG(buf_str(&b)));
		buf_release(&b);
	} else {
		term_put(stdout, buf_str(&url), TERM_ONE_LINE);
		printf("  ");
		term_put(stdout, f->name, TERM_ONE_LINE);
		printf("  ");
		term_put(stdout, f->version, TERM_ONE_LINE);
		putchar('\n');
	}
	fflush(stdout);
	buf_release(&url);
}

static int run(struct cli *c)
{
	struct listing l = {.json = cli_switch(c, "json")};
	const char *text = cli_option(c, "timeout");
	int64_t wait_ms = TIMEOUT_MS;
	if (text != NULL && (!str_to_int(str_c(text), &wait_ms) || wait_ms < 1 || wait_ms > TIMEOUT_MAX_MS))
		return cli_usage(c, "--timeout is \"%s\"; it must be 1 to %d milliseconds", text, TIMEOUT_MAX_MS);
	enum err e = mdns_browse(wait_ms, show, &l, &c->info);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (l.n == 0 && !l.json) fprintf(stderr, "roost discover: no daemon shows itself on this network\n");
	return 0;
}

const struct cli_command cmd_discover = {
	.name = "discover",
	.summary = "find daemons on the local network",
	.args = "",
	.about =
		"Lists the daemons that show themselves on the local network by mDNS (_roost._tcp), one line for each\n"
		"address: where it is, its name, its version. It needs Avahi on this machine.\n"
		"\n"
		"A daemon shows itself when it listens beyond loopback, unless its configuration says mdns: false.\n"
		"Anybody on the network can show anything; what you find is not yet what you trust.",
	.example = "roost discover\n"
		   "roost discover --json --timeout 5000",
	.options = options,
	.run = run,
};
