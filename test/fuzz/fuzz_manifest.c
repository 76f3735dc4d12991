/* Any bytes as manifest.json: they are refused with a sentence, or read, and what was read says the same when it is
 * written and read again, whole and without its conversations. */
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "lab/manifest.h"

static char dir[] = "/dev/shm/roost-fuzz-XXXXXX";
static char path[sizeof dir + 20];

static void remove_dir(void)
{
	unlink(path);
	rmdir(dir);
}

static void put(struct str text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ASSERT_CMP(write(fd, text.p, text.n), ==, (ssize_t)text.n);
	close(fd);
}

static void expect_same_tokens(const struct manifest_tokens *a, const struct manifest_tokens *b)
{
	ASSERT_CMP(a->prompt, ==, b->prompt);
	ASSERT_CMP(a->completion, ==, b->completion);
	ASSERT_CMP(a->cost_ticks, ==, b->cost_ticks);
	ASSERT_CMP(a->estimated, ==, b->estimated);
}

static void expect_same(const struct manifest *a, const struct manifest *b, bool with_conversations)
{
	ASSERT(str_eq(a->experiment_id, b->experiment_id) && str_eq(a->name, b->name));
	ASSERT_CMP(a->status, ==, b->status);
	ASSERT_CMP(a->created_ms, ==, b->created_ms);
	ASSERT_CMP(a->seed, ==, b->seed);
	ASSERT_CMP(a->nagents, ==, b->nagents);
	expect_same_tokens(&a->total, &b->total);
	for (size_t i = 0; i < ARRAY_LEN(a->count); i++) ASSERT_CMP(a->count[i], ==, b->count[i]);
	ASSERT_CMP(b->n, ==, with_conversations ? a->n : 0);
	for (size_t i = 0; i < b->n; i++) {
		const struct manifest_conversation *x = &a->list[i], *y = &b->list[i];
		ASSERT(strcmp(x->id, y->id) == 0 && strcmp(x->error, y->error) == 0);
		ASSERT_CMP(x->status, ==, y->status);
		ASSERT_CMP(x->turns, ==, y->turns);
		ASSERT_CMP(isnan(x->convergence), ==, isnan(y->convergence));
		for (size_t k = 0; k < a->nagents; k++) expect_same_tokens(&x->tokens[k], &y->tokens[k]);
	}
}

/* Ids are cut to what we make; two that were different before may be one then, which no JSON may hold. */
static bool has_twice(const struct manifest *m)
{
	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(m->list[i].id, m->list[k].id) == 0) return true;
	return false;
}

static void write_and_read(const struct manifest *m)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	struct manifest again;
	struct errinfo info = {0};
	manifest_init(&again);
	manifest_print(m, &text);
	put(buf_str(&text));
	ASSERT_CMP(manifest_load(&again, dir, true, &info), ==, OK);
	expect_same(m, &again, true);
	ASSERT_CMP(manifest_load(&again, dir, false, &info), ==, OK);
	expect_same(m, &again, false);
	manifest_release(&again);
	buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static bool made;
	struct manifest m;
	struct errinfo info = {0};
	if (!made && (mkdtemp(dir) == NULL || atexit(remove_dir) != 0)) return 0;
	made = true;
	snprintf(path, sizeof path, "%s/" MANIFEST_FILE, dir);
	put(str_n((const char *)data, n));
	manifest_init(&m);
	if (manifest_load(&m, dir, false, &info) != OK) {
		ASSERT(info.text[0] != '\0');
		ASSERT_CMP(manifest_load(&m, dir, true, NULL), !=, OK);
	} else {
		ASSERT_CMP(m.n, ==, 0);
		if (manifest_load(&m, dir, true, &info) == OK && !has_twice(&m)) write_and_read(&m);
	}
	manifest_release(&m);
	return 0;
}
