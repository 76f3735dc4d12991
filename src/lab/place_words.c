#include "lab/place_words.h"

#include "base/id.h"

#define PLAIN_TRIES 8

static const char *const adjectives[] = {
	"amber",  "ancient", "autumn",  "bold",   "brave",  "breezy",  "bright", "brisk",   "calm",    "candid",
	"cheery", "clear",   "clever",  "copper", "cosy",   "curious", "dapper", "dawning", "distant", "dusky",
	"eager",  "early",   "earnest", "fabled", "fleet",  "frosty",  "gentle", "gilded",  "golden",  "grand",
	"hardy",  "hidden",  "honest",  "humble", "hushed", "ivory",   "jolly",  "keen",    "kindly",  "lively",
	"lofty",  "lucid",   "lunar",   "mellow", "merry",  "misty",   "nimble", "patient", "placid",  "plucky",
	"proud",  "quick",   "quiet",   "rustic", "silver", "steady",  "sturdy", "sunny",   "swift",   "tidy",
	"vivid",  "warm",    "wistful", "woolly",
};
static const char *const nouns[] = {
	"acorn",   "alder",   "aspen",  "barn",   "beacon", "birch",  "bramble", "brook",   "cedar",  "cliff",
	"clover",  "comet",   "cove",   "crane",  "curlew", "dipper", "dove",    "eaves",   "egret",  "elm",
	"ember",   "falcon",  "fern",   "finch",  "fjord",  "garden", "glade",   "grove",   "gull",   "harbor",
	"hawk",    "hazel",   "heron",  "hollow", "ibis",   "island", "jackdaw", "kestrel", "lagoon", "lantern",
	"lark",    "linnet",  "magpie", "maple",  "marsh",  "martin", "meadow",  "merlin",  "moor",   "nest",
	"osprey",  "owl",     "pine",   "plover", "rafter", "raven",  "river",   "robin",   "rook",   "shore",
	"sparrow", "swallow", "thrush", "wren",
};

void place_random_name(int attempt, char out[PLACE_NAME_MAX + 1])
{
	uint64_t r = random_u64();
	const char *adjective = adjectives[(r & 0xffff) % ARRAY_LEN(adjectives)];
	const char *noun = nouns[(r >> 16 & 0xffff) % ARRAY_LEN(nouns)];
	if (attempt < PLAIN_TRIES) snprintf(out, PLACE_NAME_MAX + 1, "%s-%s", adjective, noun);
	else snprintf(out, PLACE_NAME_MAX + 1, "%s-%s-%u", adjective, noun, (unsigned)(r >> 32) % 1000000);
}
