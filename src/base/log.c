#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static atomic_int max_level = LOG_INFO;

void log_set_level(enum log_level level) { max_level = (int)level; }

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	if ((int)level > max_level) return;
	char text[1024], line[sizeof text * 4 + 64], when[TIME_TEXT_LEN + 1];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	time_format(clock_wall_ms(), when);
	size_t n = (size_t)snprintf(line, sizeof line, "%s %s ", when, names[level]);
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p >= 0x20 && *p < 0x7f) line[n++] = (char)*p;
		else n += (size_t)snprintf(line + n, 5, "\\x%02x", *p);
	}
	line[n++] = '\n';
	ssize_t ignored = write(STDERR_FILENO, line, n);
	(void)ignored;
}
