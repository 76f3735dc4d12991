/* Asks a provider which models it has, page by page (provider/listing.h).
 *
 * A list that has more pages than limits.listing_pages, more than LISTING_MAX models, or that leads nowhere is cut, and so
 * is one of which a page fails; what was read by then is told with the reason. All pages together have ten seconds. On the
 * loop thread. */
#ifndef ROOST_HOST_LISTER_H
#define ROOST_HOST_LISTER_H

#include "host/call_priv.h"
#include "provider/listing.h"

struct lister;

struct told {
	struct arena memory; /* of the list; whoever wants to keep it takes it and leaves an empty one */
	struct listed *list; /* each model once; NULL: not even one page was read */
	size_t n;
	char error[160]; /* why there is none, or not all of it; "" that is all */
};

/* `done` comes once, from the loop and never from inside this; the lister is gone then. NULL, and no `done`: this dialect
 * has no listing. */
struct lister *lister_start(const struct providers *p, const struct provider *of,
			    void (*done)(void *ctx, struct told *told), void *ctx);
void lister_cancel(struct lister *l); /* without `done` */

#endif
