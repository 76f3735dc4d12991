/* How large an image is, and how many tokens a model makes of one that large.
 *
 * Only the head of a PNG, JPEG, GIF or WebP file is looked at, and it is hostile: nothing is read beyond its end, a JPEG's
 * segments are followed only so far, and a size that no vendor takes is none. Pure. */
#ifndef ROOST_PROVIDER_IMAGE_H
#define ROOST_PROVIDER_IMAGE_H

#include "base/base.h"

#define IMAGE_SIDE_MAX 65535 /* pixels */

struct image_size {
	int64_t width, height; /* pixels, 1 to IMAGE_SIDE_MAX */
};
/* False: it is no such file, or its head is damaged. */
bool image_size(struct str bytes, struct image_size *out);

/* The tokens of an image of that size for a model of the family: by its vendor's published rule, or `usual` where there is
 * none. `model`: its name at the provider, which chooses among a family's rules; may be "". */
int64_t image_tokens(struct str family, struct str model, struct image_size size, int64_t usual);

#endif
