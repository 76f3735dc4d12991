#include "talk/context.h"

#include "provider/params.h"

bool context_rule_parse(struct str name, enum context_rule *out)
{
	for (size_t i = 0; param_contexts[i] != NULL; i++) {
		if (!str_eq(name, str_c(param_contexts[i]))) continue;
		*out = (enum context_rule)i;
		return true;
	}
	return false;
}

int64_t context_room(int64_t window, int64_t max_output, int64_t max_tokens)
{
	int64_t quarter = window / 4;
	if (window <= 0) return 0;
	if (max_tokens <= 0) max_tokens = max_output > 0 ? MIN(max_output, quarter) : quarter;
	return MAX(window - max_tokens, 1);
}

void context_plan(const struct context_message *list, size_t n, int64_t room, int64_t reserve, enum context_rule rule,
		  struct context_plan *out)
{
	int64_t pinned = 0;
	*out = (struct context_plan){.fits = true};
	for (size_t i = 0; i < n; i++) {
		out->all += list[i].tokens;
		if (list[i].is_pinned) pinned += list[i].tokens;
	}
	out->tokens = out->all;
	if (room <= 0 || out->all <= room) return;
	/* The longest end of the conversation that fits, beginning where a conversation may begin. */
	size_t first = n;
	int64_t kept = pinned + reserve;
	for (size_t i = n; i-- > 0 && (list[i].is_pinned || kept + list[i].tokens <= room);) {
		if (list[i].is_pinned) continue;
		kept += list[i].tokens;
		if (!list[i].may_begin) continue;
		first = i;
		out->tokens = kept - reserve;
	}
	out->first = first;
	for (size_t i = 0; i < first; i++) out->left_out += !list[i].is_pinned;
	out->fits = rule != CONTEXT_REFUSE && first < n;
}
