#include "provider/cost.h"

/* Adds tokens × price to *sum. False: it can't be known. */
static bool add(int64_t *sum, int64_t tokens, int64_t price)
{
	int64_t cost;
	if (tokens == 0) return true;
	if (tokens < 0 || price < 0) return false;
	if (__builtin_mul_overflow(tokens, price, &cost) || __builtin_add_overflow(*sum, cost, sum)) *sum = INT64_MAX;
	return true;
}

int64_t cost_of(const struct call_usage *usage, const struct model_price *price)
{
	int64_t sum = 0;
	if (usage->cost_ticks >= 0) return usage->cost_ticks;
	if (price == NULL || usage->input_tokens < 0) return -1;
	/* Counts come from outside: the parts of the input may be said to be more than the whole. */
	int64_t read = MIN(MAX(usage->cache_read_tokens, 0), usage->input_tokens);
	int64_t written = MIN(MAX(usage->cache_write_tokens, 0), usage->input_tokens - read);
	bool known = add(&sum, usage->input_tokens - read - written, price->input) &&
		     add(&sum, read, price->cache_read) && add(&sum, written, price->cache_write) &&
		     add(&sum, usage->output_tokens, price->output);
	return known ? sum : -1;
}
