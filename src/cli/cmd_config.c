/* roost config: an example of the configuration with every key explained, and whether a file is one. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lab/spec.h"

static const struct cli_option options[] = {
	{"check", 'c', NULL, "read the file and tell what is wrong with it", NULL},
	{"path", 'p', NULL, "print where the file is, whether it exists or not", NULL},
	{"write", 'w', NULL, "make the file, with every key at its default", NULL},
	{"force", 'f', NULL, "with --write: replace the file when it exists", NULL},
	OPTION_END,
};

/* What the lab reads of it, as an experiment would: the preset, the file. */
static enum err check_lab(struct cli *c)
{
	const bool is_remote[LAB_AGENTS_MAX] = {false};
	struct spec s;
	spec_init(&s, &c->config);
	s.agents[0].asked = s.agents[1].asked = STR("local:test");
	enum err e = spec_complete(&s, is_remote, &c->info);
	spec_release(&s);
	return e;
}

static int check(struct cli *c, const char *path, bool is_named)
{
	enum err e = config_load(&c->config, path, &c->info);
	if (e == ERR_NOT_FOUND && !is_named) {
		printf("there is no %s: the defaults hold\n", path);
		return 0;
	}
	if (e == ERR_NOT_FOUND) e = err_set(&c->info, ERR_CONFIG, "there is no file %.200s", path);
	if (e == OK) e = config_check(&c->config, &c->info);
	if (e == OK) e = check_lab(c);
	if (e != OK) return cli_fail(c, e, &c->info);
	printf("%s is fine\n", path);
	return 0;
}

/* The directories above a file. */
static bool make_parents(const char *path)
{
	char *copy = xstrdup(path);
	bool ok = true;
	for (char *slash = copy; ok && (slash = strchr(slash + 1, '/')) != NULL;) {
		*slash = '\0';
		ok = mkdir(copy, 0700) == 0 || errno == EEXIST;
		*slash = '/';
	}
	free(copy);
	return ok;
}

static bool write_example(const struct config *config, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (f == NULL) {
		if (fd >= 0) close(fd);
		return false;
	}
	config_print(config, f);
	bool ok = fflush(f) == 0 && fsync(fd) == 0;
	return fclose(f) == 0 && ok;
}

/* Whole or not at all: a new file is linked, or renamed, to its name. */
static int make(struct cli *c, const char *path, bool replace)
{
	struct buf other = BUF_INIT(BUF_NO_LIMIT);
	enum err e = OK;
	buf_addf(&other, "%s.%d", path, (int)getpid());
	bool ok = make_parents(path) && write_example(&c->config, other.p) &&
		  (replace ? rename(other.p, path) : link(other.p, path)) == 0;
	int os = errno;
	if (!ok && os == EEXIST) e = err_set(&c->info, ERR_EXISTS, "%.200s exists; --force replaces it", path);
	else if (!ok)
		e = err_set(&c->info, os_has_no_room(os) ? ERR_STORAGE_FULL : ERR_READ_ONLY, "%.200s: %s", path,
			    strerror(os));
	if (!ok || !replace) (void)unlink(other.p);
	buf_release(&other);
	if (e != OK) return cli_fail(c, e, &c->info);
	printf("%s is written\n", path);
	return 0;
}

static int run(struct cli *c)
{
	bool is_named = c->nargs > 0;
	const char *path = is_named ? c->args[0] : config_default_path(&c->config);
	bool to_check = cli_switch(c, "check"), to_tell = cli_switch(c, "path"), to_write = cli_switch(c, "write");
	if (to_check + to_tell + to_write > 1) return cli_usage(c, "--check, --path and --write exclude each other");
	if (cli_switch(c, "force") && !to_write) return cli_usage(c, "--force is for --write");
	if (is_named && !to_check && !to_write) return cli_usage(c, "a FILE is for --check and --write");
	if (to_check) return check(c, path, is_named);
	if (to_write) return make(c, path, cli_switch(c, "force"));
	if (to_tell) printf("%s\n", path);
	else config_print(&c->config, stdout);
	return 0;
}

const struct cli_command cmd_config = {
	.name = "config",
	.summary = "show, write or check the configuration",
	.args = "[FILE]",
	.about =
		"Prints a configuration with every key at its default and a line that says what it is: an example to\n"
		"begin with. What is in force with all options is shown by `roost serve --print-config`.\n"
		"\n"
		"--check reads a configuration and says what is wrong with it, with the line and the nearest key that\n"
		"there is. FILE is $XDG_CONFIG_HOME/roost/roost.yaml by default.",
	.example = "roost config --write\n"
		   "roost config --check\n"
		   "roost config --check other.yaml",
	.options = options,
	.args_max = 1,
	.run = run,
};
