/* The web page's files, as they were when the program was built.
 *
 * The table is generated from web/ by cmake/embed.mjs and lives in read-only memory for the life of the process. It is
 * empty (assets_len 0) in a build without Node. Paths start with '/' and are sorted bytewise; the page itself is
 * "/index.html". */
#ifndef ROOST_SERVER_ASSETS_H
#define ROOST_SERVER_ASSETS_H

#include <stddef.h>

struct asset {
	const char *path;          /* "/app.js" */
	const char *type;          /* the Content-Type */
	const char *etag;          /* a strong ETag with its quotes, made of the content */
	const unsigned char *body; /* len bytes */
	size_t len;
	const unsigned char *gzip; /* the same gzipped, or NULL when that would save nothing */
	size_t gzip_len;
};

extern const struct asset assets[];
extern const size_t assets_len;

#endif
