#include "host/qr.h"

#include <qrencode.h>
#include <unistd.h>

#include "base/base.h"

#define QUIET 2 /* light modules around the code; readers manage with two of the four that the standard asks for */

static bool is_dark(const QRcode *qr, int x, int y)
{
	if (x < 0 || y < 0 || x >= qr->width || y >= qr->width) return false;
	return (qr->data[y * qr->width + x] & 1) != 0;
}

/* Two rows of modules make one row of characters: half blocks draw the light modules. With colour they are white on
 * black whatever the terminal's own are; without, the terminal is taken to be dark, as most are. */
void qr_print(FILE *out, const char *text)
{
	static const char *const blocks[2][2] = {{" ", "\xe2\x96\x84"},
						 {"\xe2\x96\x80", "\xe2\x96\x88"}}; /* [top][bottom] */
	const char *no_colour = getenv("NO_COLOR");
	bool colour = no_colour == NULL || no_colour[0] == '\0';
	if (isatty(fileno(out)) != 1) return;
	QRcode *qr = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
	if (qr == NULL) return; /* longer than any code holds; the text itself is always printed too */
	for (int y = -QUIET; y < qr->width + QUIET; y += 2) {
		if (colour) fputs("\033[97;40m", out);
		for (int x = -QUIET; x < qr->width + QUIET; x++)
			fputs(blocks[!is_dark(qr, x, y)][!is_dark(qr, x, y + 1)], out);
		fputs(colour ? "\033[0m\n" : "\n", out);
	}
	QRcode_free(qr);
}
