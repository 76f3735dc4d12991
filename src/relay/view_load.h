/* Fills a job's view from the conversation as this transaction sees it: what was committed when the attempt was claimed
 * is exactly what the provider is given.
 *
 * The message to answer comes last. Replies that were committed after it belong before it when they answer earlier
 * messages (two messages sent in a row); later messages and their replies are left out (a retry of an old request). */
#ifndef ROOST_RELAY_VIEW_LOAD_H
#define ROOST_RELAY_VIEW_LOAD_H

#include "relay/commands.h"

MUST_USE enum err view_load(struct txn *t, int64_t window_bytes, struct job_info *job);

#endif
