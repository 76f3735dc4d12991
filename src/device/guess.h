/* Guessing is slow: how many wrong tries an address has made lately. Pure; the caller tells the time. An address has
 * `most` failures in any window of GUESS_WINDOW_MS; then it is refused until the window has moved on. Memory is bounded:
 * GUESS_ADDRESSES are remembered, the one idle longest goes first. */
#ifndef ROOST_DEVICE_GUESS_H
#define ROOST_DEVICE_GUESS_H

#include "base/base.h"

#define GUESS_WINDOW_MS 600000
#define GUESS_ADDRESSES 1024

struct guess;
struct guess *guess_new(int64_t most);
void guess_free(struct guess *g);
/* 0 when a try is allowed, else how many ms to wait. */
int64_t guess_wait_ms(struct guess *g, struct str address, int64_t now_ms);
void guess_failed(struct guess *g, struct str address, int64_t now_ms);

#endif
