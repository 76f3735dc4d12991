/* Names for experiments that nobody named: "quiet-heron". */
#ifndef ROOST_LAB_PLACE_WORDS_H
#define ROOST_LAB_PLACE_WORDS_H

#include "base/base.h"

#define PLACE_NAME_MAX 30 /* bytes of a name in a directory's name */

/* An adjective and a noun; from the eighth try on with a number behind them, for those who have used up the others. */
void place_random_name(int attempt, char out[PLACE_NAME_MAX + 1]);

#endif
