/* Whether the providers take their keys: each is asked for its list of models, which costs nothing. Told are where a key
 * was found, its last characters, what the provider says of it, and the limits in the answer's head. On the loop thread. */
#ifndef ROOST_HOST_KEYCHECK_H
#define ROOST_HOST_KEYCHECK_H

#include "host/providers.h"

#define KEY_CHECK_MS 5000 /* a provider may take this long */

struct key_check;

/* `json` is {"keys":[{"provider","baseUrl","from","where","ends","state","error","limits":[{"of","limit","remaining"}]}]}
 * with one element for each provider over a network. state: valid, refused, missing (it wants a key and there is none),
 * not_needed, unreachable, failed. Comes once, from the loop or from providers_free; what was not answered by then is
 * "unreachable". */
typedef void (*key_check_done)(void *ctx, struct str json);
void key_check_start(struct providers *p, key_check_done done, void *ctx);
void key_check_end(struct key_check *k); /* at once, with what is known */

#endif
