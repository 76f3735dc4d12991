/* What a text tells of a person or opens a door, replaced by its kind: e-mail addresses by [email], phone numbers by
 * [phone], payment cards' numbers by [card], IBANs by [iban], IP addresses by [ip], keys and tokens by [key].
 *
 * It knows these by their form alone, names and postal addresses have none. Where form leaves a doubt (ten digits in a
 * row), it takes the text for private. The time is linear in the text's length, whatever stands in it. Pure. */
#ifndef ROOST_EVENT_MASK_H
#define ROOST_EVENT_MASK_H

#include "base/buf.h"

/* Appends the text, masked. Bytes that are no UTF-8 stay as they are. */
void mask_text(struct buf *out, struct str text);

#endif
