/* roost serve: the daemon, in the foreground. */
#include "cli/cli.h"
#include "host/implied.h"
#include "server/daemon.h"

static const struct cli_option options[] = {
	OPTION_DATA,
	{"listen", 'l', "ADDR:PORT", "where to listen; may be repeated; port 0: the system chooses", "127.0.0.1:8787"},
	{"provider", 'p', "NAME=URL", "a provider at this address, which also tells what it speaks; may be repeated",
	 NULL},
	{"config", 'c', "FILE", "the configuration", "$XDG_CONFIG_HOME/roost/roost.yaml, when it exists"},
	{"log-level", 0, "LEVEL", "error, warn, info or debug", "info"},
	{"print-config", 0, NULL, "print the configuration that would be in force, with what each key means, and exit",
	 NULL},
	OPTION_END,
};

static enum err add_providers(struct cli *c)
{
	const char *lines[CLI_OPTIONS_MAX + 1];
	int n = 0;
	while ((lines[n] = cli_option_nth(c, "provider", n)) != NULL) n++;
	log_set_level(c->config.log_level);
	return implied_providers(&c->config, lines, &c->info);
}

static enum err load(struct cli *c)
{
	enum err e = cli_load_config(c);
	const char *level = cli_option(c, "log-level");
	int n = 0;
	if (e == OK && level != NULL) e = config_set(&c->config, "logLevel", level, &c->info);
	while (cli_option_nth(c, "listen", n) != NULL) n++;
	if (e == OK && n > 0) {
		const char **listen = arena_zalloc(&c->config.memory, xmul((size_t)n + 1, sizeof *listen));
		for (int i = 0; i < n; i++) listen[i] = cli_option_nth(c, "listen", i);
		c->config.listen = listen;
	}
	if (e == OK) e = add_providers(c);
	return e == OK ? config_check(&c->config, &c->info) : e;
}

static int run(struct cli *c)
{
	enum err e = load(c);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "print-config")) {
		config_print(&c->config, stdout);
		return 0;
	}
	return daemon_run(&c->config, &c->info);
}

const struct cli_command cmd_serve = {
	.name = "serve",
	.summary = "run the daemon",
	.args = "",
	.about = "Runs the daemon in the foreground until SIGTERM or SIGINT. It prints one line for each address it\n"
		 "listens on; on its first start on loopback also a link and a code to pair the first device with.\n"
		 "\n"
		 "Without configured providers those answer whose API key is found: in the environment\n"
		 "(ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY, XAI_API_KEY, OLLAMA_API_KEY), or stored with\n"
		 "`roost keys set`. --provider adds one by its address.\n"
		 "\n"
		 "One daemon runs per data directory. Beyond loopback it wants TLS of its own (tlsCert, tlsKey) or a\n"
		 "declared proxy that ends it (trustProxy).",
	.example = "roost serve\n"
		   "roost serve --data /srv/roost --listen 127.0.0.1:9000\n"
		   "roost serve --provider ollama=http://127.0.0.1:11434\n"
		   "roost serve --print-config > ~/.config/roost/roost.yaml",
	.options = options,
	.run = run,
};
