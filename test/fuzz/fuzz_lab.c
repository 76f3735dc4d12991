/* Any bytes as an event file, and as a text that is masked. What the reader counts adds up; an event that was read is
 * written and read again without a change, and redacted it still is a line. */
#include <fcntl.h>
#include <unistd.h>

#include "base/utf8.h"
#include "event/lab_log.h"
#include "event/mask.h"

static char path[] = "/dev/shm/roost-fuzz-XXXXXX";

static void check_redacted(const struct lab_event *e)
{
	for (int r = REDACT_MASK; r <= REDACT_DROP; r++) {
		struct arena arena = {0};
		struct lab_event back;
		struct buf line = BUF_INIT(BUF_NO_LIMIT);
		lab_line_write(&line, e, (enum redaction)r);
		ASSERT_CMP(lab_line_read(&arena, str_n(line.p, line.n - 1), &back, NULL), ==, OK);
		buf_release(&line);
		arena_clear(&arena);
	}
}

static enum err see(void *ctx, const struct lab_event *event)
{
	struct arena arena = {0};
	struct lab_event e = *event, back;
	struct buf line = BUF_INIT(BUF_NO_LIMIT), again = BUF_INIT(BUF_NO_LIMIT);
	++*(int64_t *)ctx;
	e.seq = 1;
	lab_line_write(&line, &e, REDACT_NONE);
	ASSERT(memchr(line.p, '\n', line.n) == line.p + line.n - 1);
	ASSERT_CMP(lab_line_read(&arena, str_n(line.p, line.n - 1), &back, NULL), ==, OK);
	lab_line_write(&again, &back, REDACT_NONE);
	ASSERT(str_eq(buf_str(&line), buf_str(&again)));
	check_redacted(&e);
	buf_release(&line);
	buf_release(&again);
	arena_clear(&arena);
	return OK;
}

static void check_mask(struct str text)
{
	struct buf masked = BUF_INIT(BUF_NO_LIMIT);
	mask_text(&masked, text);
	if (utf8_is_valid(text)) ASSERT(utf8_is_valid(buf_str(&masked)));
	buf_release(&masked);
}

static void remove_file(void) { unlink(path); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static int fd = -1;
	struct lab_file_end end;
	int64_t told = 0, newlines = 0;
	if (fd < 0 && ((fd = mkstemp(path)) < 0 || atexit(remove_file) != 0)) return 0;
	ASSERT_CMP(pwrite(fd, data, n, 0), ==, (ssize_t)n);
	ASSERT_CMP(ftruncate(fd, (off_t)n), ==, 0);
	for (size_t i = 0; i < n; i++) newlines += data[i] == '\n';
	ASSERT_CMP(lab_file_read(path, 0, see, &told, &end, NULL), ==, OK);
	ASSERT_CMP(end.good_bytes + end.torn_bytes, ==, n);
	ASSERT_CMP(end.lines + end.bad_lines, <=, newlines + 1);
	ASSERT_CMP(told, <=, end.lines);
	ASSERT((end.bad_lines == 0) == (end.first_bad == 0));
	check_mask(str_n((const char *)data, n));
	return 0;
}
