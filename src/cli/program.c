#include "cli/program.h"

#include <sys/stat.h>
#include <unistd.h>

bool program_find(const char *name, char out[PROGRAM_PATH])
{
	const char *path = getenv("PATH");
	struct stat st;
	for (const char *p = path != NULL ? path : "/usr/bin:/bin"; *p != '\0';) {
		size_t n = strcspn(p, ":");
		int len = p[0] == '/' ? snprintf(out, PROGRAM_PATH, "%.*s/%s", (int)n, p, name) : -1;
		if (len > 0 && len < PROGRAM_PATH && access(out, X_OK) == 0 && stat(out, &st) == 0 &&
		    S_ISREG(st.st_mode))
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}
