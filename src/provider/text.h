/* Text from outside, made fit for inside. Pure. */
#ifndef ROOST_PROVIDER_TEXT_H
#define ROOST_PROVIDER_TEXT_H

#include "base/buf.h"

/* Appends `s` as valid UTF-8: each longest run of bytes that cannot be part of a character becomes one U+FFFD, as
 * Unicode (chapter 3, "maximal subparts") and browsers do it. */
void text_repair(struct str s, struct buf *out);
/* Appends JSON text repaired so that the strict reader takes it: the bytes as above, and escapes of half a surrogate
 * pair become that of U+FFFD. */
void text_repair_json(struct str s, struct buf *out);

#define TEXT_CLEAN_MAX 200
/* A sentence of a provider, for an error: one line of valid UTF-8 without control characters, at most TEXT_CLEAN_MAX
 * bytes, in which every run of 8 or more bytes that also stands in `key` is covered up. `out` ends in NUL. */
void text_clean(struct str s, struct str key, char out[TEXT_CLEAN_MAX + 1]);

#endif
