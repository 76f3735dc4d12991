/* Whose model is it, does its server run, does that have it: the first is told by the configuration and by what is known of
 * models, the second by a connection, the third by the server's own list, which the catalog asks for. A server that is
 * elsewhere is somebody else's affair. */
#include "cli/ollama.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/program.h"
#include "host/kinds.h"
#include "host/providers.h"
#include "store/txn.h"

#define SERVE_MS 15000
#define POLL_MS 50
#define WIRE_MAX 200

/* An Ollama server of the configuration, and the model that is asked of it. */
struct ollama {
	const struct provider_config *provider;
	char wire[WIRE_MAX];        /* "qwen3:0.6b" */
	char authority[ORIGIN_MAX]; /* "127.0.0.1:11434" */
};

/* ---- what is meant ---------------------------------------------------------------------------------------------- */

static bool is_local(const char *authority)
{
	static const char *const hosts[] = {"127.0.0.1:", "localhost:", "[::1]:"};
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strncmp(authority, hosts[i], strlen(hosts[i])) == 0) return true;
	return false;
}

static bool authority_of(const struct provider_config *p, char out[ORIGIN_MAX])
{
	char origin[ORIGIN_MAX];
	const char *slashes = url_origin(str_c(p->base_url), origin) ? strstr(origin, "://") : NULL;
	return slashes != NULL && str_copy(str_c(slashes + 3), out, ORIGIN_MAX) && is_local(out);
}

/* What may stand in an argument: a name as Ollama has them, which begins with no dash. */
static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!is_letter && (i == 0 || strchr("._:/-", c) == NULL)) return false;
	}
	return s.n > 0;
}

/* The first local Ollama, or the one of that name. */
static const struct provider_config *find_provider(const struct config *config, struct str name)
{
	char authority[ORIGIN_MAX];
	for (size_t i = 0; i < config->nproviders; i++) {
		const struct provider_config *p = &config->providers[i];
		bool fits = name.p == NULL || str_eq(name, str_c(p->name));
		if (fits && strcmp(p->dialect, "ollama") == 0 && p->models == NULL && authority_of(p, authority))
			return p;
	}
	return NULL;
}

/* False: it is no model for an Ollama on this machine. */
static bool find_wanted(const struct config *config, struct str asked, struct ollama *out)
{
	struct models *known = NULL;
	struct str name, wire;
	*out = (struct ollama){0};
	if (model_split(asked, &name, &wire)) out->provider = find_provider(config, name);
	else wire = asked;
	enum err e = models_new(models_built_in, STR_NONE, &known, NULL);
	const struct model_info *about = e == OK ? models_resolve(known, out->provider != NULL ? wire : asked) : NULL;
	if (about != NULL && str_eq(about->provider, STR("ollama"))) {
		wire = about->wire;
		if (out->provider == NULL) out->provider = find_provider(config, STR_NONE);
	}
	bool found = out->provider != NULL && is_name(wire) && str_copy(wire, out->wire, sizeof out->wire) &&
		     authority_of(out->provider, out->authority);
	if (e == OK) models_free(known);
	return found;
}

/* ---- its server ------------------------------------------------------------------------------------------------- */

/* To one address of this machine, so it is known at once. */
static bool connects(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0;
	if (fd >= 0) close(fd);
	return ok;
}

static bool runs(const struct ollama *w)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	const char *colon = strrchr(w->authority, ':');
	char host[ORIGIN_MAX];
	bool ok = false;
	struct str name = str_n(w->authority, (size_t)(colon - w->authority));
	if (name.n > 1 && name.p[0] == '[') name = str_n(name.p + 1, name.n - 2);
	if (!str_copy(name, host, sizeof host) || getaddrinfo(host, colon + 1, &hints, &list) != 0) return false;
	for (const struct addrinfo *a = list; a != NULL && !ok; a = a->ai_next) ok = connects(a);
	freeaddrinfo(list);
	return ok;
}

/* ---- its commands ----------------------------------------------------------------------------------------------- */

/* -1 when there is no place for it, which keeps nobody from the command. */
static int open_log(const struct config *config)
{
	struct buf path = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&path, "%s/ollama.log", config->data_dir);
	enum err e = dir_make(config->data_dir, NULL);
	int fd = e != OK ? -1 : open(path.p, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	buf_release(&path);
	return fd;
}

static void log_command(int log, const char *command, const char *became)
{
	char line[600], at[TIME_TEXT_LEN + 1];
	time_format(clock_wall_ms(), at);
	int n = snprintf(line, sizeof line, "%s %s: %s\n", at, command, became);
	if (log < 0 || n <= 0) return;
	ssize_t written = write(log, line, MIN((size_t)n, sizeof line - 1));
	(void)written;
}

/* Ours, with the address of the server that is meant. */
static char **environment_for(const struct ollama *w)
{
	size_t n = 0, k = 0;
	struct buf host = BUF_INIT(BUF_NO_LIMIT);
	while (environ[n] != NULL) n++;
	char **env = xcalloc(n + 2, sizeof *env);
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "OLLAMA_HOST=", 12) != 0) env[k++] = xstrdup(environ[i]);
	buf_addf(&host, "OLLAMA_HOST=%s", w->authority);
	env[k] = str_dup(buf_str(&host));
	buf_release(&host);
	return env;
}

static void environment_free(char **env)
{
	for (size_t i = 0; env[i] != NULL; i++) free(env[i]);
	free(env);
}

/* A server goes on when this command ends: it gets a session of its own, and the log for its words. 0 or an errno. */
static int start(const char *path, char *const *argv, char **env, bool is_server, int log, pid_t *out_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, usual;
	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	sigaddset(&usual, SIGXFSZ);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(
		&attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (is_server ? POSIX_SPAWN_SETSID : 0)));
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &usual);
	if (is_server) {
		posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
		posix_spawn_file_actions_adddup2(&files, log >= 0 ? log : STDIN_FILENO, STDOUT_FILENO);
		posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
	} else {
		posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO); /* ours is for results */
	}
	int os = posix_spawn(out_pid, path, &files, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return os;
}

static void describe_end(int status, char *out, size_t size)
{
	if (WIFEXITED(status)) snprintf(out, size, "exit status %d", WEXITSTATUS(status));
	else snprintf(out, size, "killed by signal %d", WTERMSIG(status));
}

static enum err wait_for(pid_t pid, int log, const char *command, struct errinfo *info)
{
	int status = 0;
	char became[64];
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
	describe_end(status, became, sizeof became);
	log_command(log, command, became);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return OK;
	return err_set(info, ERR_PROVIDER_DOWN, "%s: %s", command, became);
}

static enum err wait_for_server(const struct ollama *w, pid_t pid, int log, const char *command, struct errinfo *info)
{
	int status = 0;
	char became[64];
	int64_t end_ms = clock_boot_ms() + SERVE_MS;
	while (clock_boot_ms() < end_ms) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			describe_end(status, became, sizeof became);
			log_command(log, command, became);
			return err_set(info, ERR_PROVIDER_DOWN, "%s: %s; see ollama.log in the data directory", command,
				       became);
		}
		if (runs(w)) {
			snprintf(became, sizeof became, "runs as pid %d", (int)pid);
			log_command(log, command, became);
			fprintf(stderr, "%s %s; it goes on when this ends\n", command, became);
			return OK;
		}
		(void)poll(NULL, 0, POLL_MS);
	}
	log_command(log, command, "does not answer");
	return err_set(info, ERR_PROVIDER_DOWN, "%s does not answer at %s", command, w->authority);
}

static bool ask(const char *what, const char *command)
{
	char line[64];
	fflush(stdout);
	fprintf(stderr, "%s\n  %s\nRun this command? [y/N] ", what, command);
	fflush(stderr);
	if (fgets(line, sizeof line, stdin) == NULL) {
		fputc('\n', stderr);
		return false;
	}
	line[strcspn(line, "\n")] = '\0';
	return str_eq_nocase(str_c(line), STR("y")) || str_eq_nocase(str_c(line), STR("yes"));
}

/* Shows the one command that is missing, asks, and runs it. The error says what to do. */
static enum err offer(struct cli *c, const struct ollama *w, bool is_running)
{
	char path[PROGRAM_PATH], command[WIRE_MAX + 32], what[2 * ORIGIN_MAX];
	char *serve[] = {"ollama", "serve", NULL}, *pull[] = {"ollama", "pull", (char *)(uintptr_t)w->wire, NULL};
	pid_t pid = -1;
	if (is_running) {
		snprintf(what, sizeof what, "Ollama at %s does not have %s", w->authority, w->wire);
		snprintf(command, sizeof command, "ollama pull %s", w->wire);
	} else {
		snprintf(what, sizeof what, "no Ollama answers at %s", w->authority);
		snprintf(command, sizeof command, "ollama serve");
	}
	if (!program_find("ollama", path))
		return err_set(&c->info, ERR_MODEL_UNKNOWN,
			       "%s, and there is no program ollama; it can be had at ollama.com", what);
	if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1 || !ask(what, command))
		return err_set(&c->info, ERR_MODEL_UNKNOWN, "%s; run: %s", what, command);
	int log = open_log(&c->config);
	char **env = environment_for(w);
	int os = start(path, is_running ? pull : serve, env, !is_running, log, &pid);
	enum err e = OK;
	if (os != 0) e = err_set(&c->info, ERR_PROVIDER_DOWN, "%s cannot be started: %s", path, strerror(os));
	else if (is_running) e = wait_for(pid, log, command, &c->info);
	else e = wait_for_server(w, pid, log, command, &c->info);
	environment_free(env);
	if (log >= 0) close(log);
	return e;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static void on_listed(void *ctx) { *(bool *)ctx = true; }

static void ask_for_lists(struct offline *o, int64_t max_age_ms)
{
	bool listed = false;
	if (!catalog_look(o->catalog, max_age_ms, on_listed, &listed)) return;
	while (!listed) uv_run(&o->loop, UV_RUN_ONCE);
}

static bool is_served_by(const struct resolved *r, const struct provider_config *p)
{
	struct str name, wire;
	return model_split(str_c(r->id), &name, &wire) && str_eq(name, str_c(p->name));
}

enum err ollama_resolve(struct cli *c, struct offline *o, struct str asked, struct resolved *out)
{
	struct ollama w;
	enum err e = offline_resolve(o, asked, out, &c->info);
	if ((e != OK && e != ERR_MODEL_UNKNOWN) || !find_wanted(&c->config, asked, &w)) return e;
	if (e == OK && !is_served_by(out, w.provider)) return OK;
	if (!runs(&w)) {
		e = offer(c, &w, false);
		if (e != OK) return e;
		ask_for_lists(o, 0);
	} else {
		ask_for_lists(o, CATALOG_AGE_MS);
	}
	/* With its list at hand, only what it has is known. */
	e = offline_resolve(o, asked, out, &c->info);
	if (e != ERR_MODEL_UNKNOWN) return e;
	e = offer(c, &w, true);
	if (e != OK) return e;
	ask_for_lists(o, 0);
	return offline_resolve(o, asked, out, &c->info);
}
