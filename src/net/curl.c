#include "net/curl.h"

#include <dlfcn.h>
#include <pthread.h>

#include "base/base.h"

#define SONAME "libcurl.so.4"
#define PACKAGE "libcurl4" /* Debian 13 has it as libcurl4t64, and apt knows it by this name too */

struct curl_table libcurl;

static const struct function {
	const char *name;
	size_t at; /* in the table */
} functions[] = {
#define X(name) {"curl_" #name, offsetof(struct curl_table, name)},
	CURL_MAP(X)
#undef X
};

static enum err load(const char *soname, struct curl_table *out, struct errinfo *info)
{
	struct curl_table t = {0};
	/* Bound as a whole and now: what is missing below it shows here, and not in the middle of a call. */
	void *lib = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
	if (lib == NULL)
		return err_set(info, ERR_UNAVAILABLE, "HTTP requests need %s (Debian's package %s): %.120s", soname,
			       PACKAGE, dlerror());
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		void *p = dlsym(lib, functions[i].name);
		if (p == NULL)
			return err_set(info, ERR_UNAVAILABLE, "%s has no %s; it should be that of Debian's package %s",
				       soname, functions[i].name, PACKAGE);
		/* ISO C has no cast from an object's address to a function's; POSIX makes both the same bytes. */
		memcpy((char *)&t + functions[i].at, &p, sizeof p);
	}
	*out = t;
	return OK;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct errinfo failure;
static enum err loaded;

static void load_once(void) { loaded = load(SONAME, &libcurl, &failure); }

enum err curl_load(struct errinfo *info)
{
	pthread_once(&once, load_once);
	return loaded == OK ? OK : err_set(info, loaded, "%s", failure.text);
}
