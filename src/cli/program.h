/* Other people's programs that are started with arguments, never through a shell. */
#ifndef ROOST_CLI_PROGRAM_H
#define ROOST_CLI_PROGRAM_H

#include "base/base.h"

#define PROGRAM_PATH 4096

/* Looks through the absolute directories of $PATH. False: there is none that may be run. */
bool program_find(const char *name, char out[PROGRAM_PATH]);

#endif
