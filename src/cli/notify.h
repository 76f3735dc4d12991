/* A word to somebody who is not looking: a desktop notification, or the terminal's bell where there is none. */
#ifndef ROOST_CLI_NOTIFY_H
#define ROOST_CLI_NOTIFY_H

#include "base/base.h"

/* Runs notify-send (or osascript) with arguments only, never a shell, and does not wait for what it does; when it cannot
 * show anything, and where there is none, the bell rings if stderr is a terminal. Texts are cleaned and cut to one line of
 * 200 characters. */
void notify(struct str from, struct str title, struct str text);

#endif
