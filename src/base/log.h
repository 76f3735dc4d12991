/* What the daemon tells its operator on stderr: one line an event, `TIME LEVEL what`. Everything that is not printable
 * is escaped here, so that no peer can write to the terminal or forge a line. Never message text, never a secret; what
 * happens to requests is in the journal instead (event/). Any thread. */
#ifndef ROOST_BASE_LOG_H
#define ROOST_BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
void log_set_level(enum log_level level); /* LOG_INFO unless set */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
