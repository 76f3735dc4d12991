/* Dimensions: short fragments, one of each group, that a prompt is put together from. */
#include "lab/spec_priv.h"

const struct spec_fragment dimension_table[] = {
	{"context", "peers", "two equals who think a subject through",
	 "The two of you are peers who think a subject through together."},
	{"context", "teaching", "one explains, the other learns",
	 "One of you explains the subject and the other learns it by asking."},
	{"context", "debate", "opposite sides, fairly argued",
	 "Take opposite sides and argue them fairly; give way where the other has the better reason."},
	{"context", "interview", "one asks, the other tells", "One of you interviews the other with open questions."},
	{"context", "collaboration", "something is made together",
	 "Make something together; each message adds a piece or improves one."},
	{"context", "neutral", "a conversation without roles", "Have a conversation, without any roles."},
	{"topic", "philosophy", "basic questions of mind and being",
	 "The subject is philosophy: what there is, what can be known, and how to live."},
	{"topic", "language", "how words mean", "The subject is language and how words come to mean something."},
	{"topic", "science", "how nature works", "The subject is science: how nature works and how we find out."},
	{"topic", "creativity", "where new ideas come from",
	 "The subject is creativity: where something new comes from."},
	{"topic", "meta", "the conversation itself", "The subject is this conversation itself, as it goes."},
	{"topic", "puzzles", "problems with a solution",
	 "The subject is puzzles: set problems that have a solution and solve them."},
	{"topic", "thoughts", "imagined cases that test an idea",
	 "The subject is thought experiments: imagine a case and see what follows from it."},
	{"mode", "analytical", "step by step", "Go step by step and say what each step rests on."},
	{"mode", "intuitive", "by association", "Follow associations and trust a first impression."},
	{"mode", "exploratory", "wide rather than deep", "Go wide rather than deep and follow what is unexpected."},
	{"mode", "focused", "one question to its end", "Stay with one question until it is settled."},
	{"energy", "calm", "unhurried", "Be calm and take your time."},
	{"energy", "engaged", "attentive", "Be attentive and respond to what was just said."},
	{"energy", "passionate", "with conviction", "Speak with conviction about what matters to you."},
	{"tone", "casual", "everyday words", "Use everyday words."},
	{"tone", "professional", "to the point", "Be polite and to the point."},
	{"tone", "academic", "terms and sources", "Use exact terms and name your sources."},
	{NULL, NULL, NULL, NULL},
};

const struct spec_fragment *fragment_find(const struct spec_fragment *list, struct str name)
{
	for (const struct spec_fragment *f = list; f->name != NULL; f++)
		if (str_eq(name, str_c(f->name))) return f;
	return NULL;
}

enum err dimensions_check(const struct str *list, size_t n, struct errinfo *info)
{
	for (size_t i = 0; i < n; i++) {
		const struct spec_fragment *f = fragment_find(dimension_table, list[i]);
		if (f == NULL) {
			struct near near = {.asked = list[i]};
			char text[NEAR_TEXT];
			for (const struct spec_fragment *d = dimension_table; d->name != NULL; d++)
				near_try(&near, d->name);
			return err_set(info, ERR_CONFIG, "there is no dimension \"%.*s\"%s", (int)MIN(list[i].n, 60),
				       list[i].p, near_text(&near, text));
		}
		for (size_t j = 0; j < i; j++) {
			const struct spec_fragment *other = fragment_find(dimension_table, list[j]);
			if (other != NULL && strcmp(other->group, f->group) == 0)
				return err_set(info, ERR_CONFIG, "%s and %s are both a %s; give one", other->name,
					       f->name, f->group);
		}
	}
	return OK;
}

struct str dimensions_prompt(struct spec *s, struct str prompt)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (const struct spec_fragment *f = dimension_table; f->name != NULL; f++)
		for (size_t i = 0; i < s->ndimensions; i++)
			if (str_eq(s->dimensions[i], str_c(f->name))) buf_addf(&b, "%s%s", b.n > 0 ? " " : "", f->text);
	if (b.n > 0 && prompt.n > 0) buf_add_str(&b, STR("\n\n"));
	buf_add_str(&b, prompt);
	struct str made = arena_str(&s->memory, buf_str(&b));
	buf_release(&b);
	return made;
}
