/* A word to somebody who is not looking: a desktop notification, or the terminal's bell where there is none. */
#ifndef ROOST_CLI_NOTIFY_H
#define ROOST_CLI_NOTIFY_H

#include "base/base.h"

/* Runs notify-send (or osascript) with arguments only, never a shell, and waits for nothing. Texts are cleaned and cut. */
void notify(struct str from, struct str title, struct str text);

#endif
