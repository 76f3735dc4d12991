/* A text as a QR code, for a phone to read off a terminal. Needs a terminal that shows UTF-8; on anything else
 * (a file, a pipe, the system's log) nothing is printed. */
#ifndef ROOST_HOST_QR_H
#define ROOST_HOST_QR_H

#include <stdio.h>

void qr_print(FILE *out, const char *text);

#endif
