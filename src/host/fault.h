/* Planted faults: how the tests prove that the harnesses can fail and that recovery works. They exist only in builds with
 * ROOST_TEST_FAULTS; otherwise fault_is() is constant false and the code behind it is gone.
 *
 * A value may be a list, separated by commas.
 *
 *   ROOST_TEST_FREEZE=nudge   a committed request is not told to the relay        (the sweep must find it)
 *   ROOST_TEST_FREEZE=sweep   the first sweep's answer is lost                    (the watchdog must start another)
 *   ROOST_TEST_FREEZE=worker  what the first provider call says is lost           (the watchdog must end the attempt)
 *   ROOST_TEST_FREEZE=stream  the first pump command's answer is lost             (the watchdog must pump again)
 *   ROOST_TEST_EARLY_ACK=1    acks leave before the commit                        (the power-cut test must go red)
 *   ROOST_TEST_WEAK_SYNC=1    the store does not sync each commit                 (the power-cut test must go red) */
#ifndef ROOST_HOST_FAULT_H
#define ROOST_HOST_FAULT_H

#include "base/base.h"

#ifdef ROOST_TEST_FAULTS
static inline bool fault_is(const char *variable, const char *value)
{
	size_t n = strlen(value);
	for (const char *v = getenv(variable); v != NULL; v = strchr(v, ',') != NULL ? strchr(v, ',') + 1 : NULL)
		if (strncmp(v, value, n) == 0 && (v[n] == '\0' || v[n] == ',')) return true;
	return false;
}
#else
static inline bool fault_is(const char *variable, const char *value)
{
	(void)variable;
	(void)value;
	return false;
}
#endif

#endif
