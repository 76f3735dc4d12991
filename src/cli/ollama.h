/* Help with Ollama, for who names one of its models: starting its server, fetching the model.
 *
 * Each is one command, which is shown as it will be run and is run only after a yes on the terminal; the usual answer is
 * no. It is started with arguments, never through a shell, and what came of it is written to DATA/ollama.log. Nothing is
 * ever installed. Where nobody can be asked, the error says what to do. */
#ifndef ROOST_CLI_OLLAMA_H
#define ROOST_CLI_OLLAMA_H

#include "cli/offline.h"

/* As offline_resolve, and when what is meant is a model of an Ollama on this machine that does not run or does not have
 * it, offers what is missing and tries again. The error is in c->info. */
MUST_USE enum err ollama_resolve(struct cli *c, struct offline *o, struct str asked, struct resolved *out);

#endif
