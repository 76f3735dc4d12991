#include "provider/local.h"

#include "base/hash.h"

/* clang-format off */
const struct local_fault local_faults[] = {
	{"down",    ERR_PROVIDER_DOWN,    true,  0},
	{"timeout", ERR_PROVIDER_TIMEOUT, true,  0},
	{"busy",    ERR_PROVIDER_BUSY,    true,  100},
	{"cut",     ERR_PROVIDER_CUT,     true,  0},
	{"error",   ERR_PROVIDER,         true,  0},
	{"refused", ERR_PROVIDER_REFUSED, false, 0},
	{"hang",    OK,                   false, 0},
};
/* clang-format on */
const size_t local_fault_count = ARRAY_LEN(local_faults);

static enum err find_fault(struct str name, const struct local_fault **out, struct errinfo *info)
{
	struct buf names = BUF_INIT(200);
	for (size_t i = 0; i < local_fault_count; i++) {
		*out = &local_faults[i];
		if (str_eq(name, str_c((*out)->name))) {
			buf_release(&names);
			return OK;
		}
		buf_addf(&names, "%s%s", i > 0 ? ", " : "", (*out)->name);
	}
	*out = NULL;
	enum err e = err_set(info, ERR_BAD_FIELD, "params.error must be one of: %s", names.p);
	buf_release(&names);
	return e;
}

enum err local_plan(const struct json *params, int64_t attempt, struct local_plan *out, struct errinfo *info)
{
	*out = (struct local_plan){.tokens = 64};
	struct str error = STR("");
	int64_t fail_times = 0;
	const struct json *rate = json_get(params, "tokensPerSecond");
	if (!json_want_int(params, "tokens", JSON_OPTIONAL, 1, 100000, &out->tokens, info) ||
	    !json_want_int(params, "thinking", JSON_OPTIONAL, 0, 100000, &out->thinking, info) ||
	    !json_want_int(params, "delayMs", JSON_OPTIONAL, 0, 3600000, &out->delay_ms, info) ||
	    !json_want_int(params, "failAfter", JSON_OPTIONAL, 0, 200000, &out->fail_after, info) ||
	    !json_want_int(params, "failTimes", JSON_OPTIONAL, 0, 1000, &fail_times, info) ||
	    !json_want_str(params, "error", JSON_OPTIONAL, &error, info))
		return ERR_BAD_FIELD;
	if (json_type(rate) != JSON_NONE && json_type(rate) != JSON_NULL &&
	    (!json_real(rate, &out->tokens_per_second) ||
	     !(out->tokens_per_second >= 0 && out->tokens_per_second <= 10000)))
		return err_set(info, ERR_BAD_FIELD, "\"tokensPerSecond\" must be a number from 0 to 10000");
	if (error.n == 0) return OK;
	enum err e = find_fault(error, &out->fault, info);
	if (fail_times > 0 && MAX(attempt, 1) > fail_times) out->fault = NULL;
	return e;
}

/* What pigeons talk about. A few words are longer in bytes than in characters, so that offsets are put to the test. */
/* clang-format off */
static const char *const words[] = {
	"a", "above", "again", "air", "always", "and", "answer", "arrives", "barn", "beam", "before", "bird",
	"branch", "breeze", "bridge", "café", "calls", "carry", "cliff", "cloud", "coast", "comes", "distance",
	"door", "down", "dusk", "early", "east", "edge", "every", "falls", "far", "feather", "field", "finds",
	"flight", "flock", "follows", "from", "garden", "gentle", "grain", "harbour", "hears", "hedge", "high",
	"home", "house", "keeps", "lands", "late", "leaves", "letter", "light", "little", "loft", "long", "low",
	"meadow", "message", "mirrors", "moon", "morning", "naïve", "near", "nest", "never", "night", "noon", "north",
	"of", "old", "once", "orchard", "over", "pace", "patient", "perch", "pigeon", "quiet", "rain", "reads",
	"rests", "returns", "ridge", "river", "road", "roof", "roost", "season", "señor", "shade", "shore", "slow",
	"small", "smoke", "soft", "south", "spring", "steady", "stone", "storm", "summer", "swift", "tells", "the",
	"then", "through", "tide", "tower", "town", "turns", "under", "valley", "village", "waits", "water",
	"weather", "west", "where", "wind", "window", "wing", "winter", "with", "word", "writes", "Zürich", "→",
};
/* clang-format on */

void local_text_init(struct local_text *t, uint64_t seed, struct str last_user_message)
{
	*t = (struct local_text){0};
	rng_seed(&t->rng, hash64(last_user_message, seed));
}

void local_text_next(struct local_text *t, bool is_last, struct buf *out)
{
	const char *word = words[rng_below(&t->rng, ARRAY_LEN(words))];
	bool is_first = t->left_in_sentence == 0;
	if (is_first) t->left_in_sentence = 4 + (int64_t)rng_below(&t->rng, 9);
	if (t->begun) buf_add_char(out, ' ');
	t->begun = true;
	if (is_first && *word >= 'a' && *word <= 'z') buf_add_char(out, (char)(*word++ - 'a' + 'A'));
	buf_add_str(out, str_c(word));
	t->left_in_sentence--;
	if (is_last) *t = (struct local_text){.rng = t->rng};
	if (t->left_in_sentence == 0) buf_add_char(out, '.');
}
