/* Which word of a text is the name that its writer chose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "talk/conductor.h"

struct sample {
	const char *text, *name; /* NULL: none */
};

static void check(const struct sample *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct str got = chosen_name(str_c(list[i].text));
		if (str_eq(got, str_c(list[i].name)) && (list[i].name == NULL) == (got.p == NULL)) continue;
		fail_msg("\"%s\" gives \"%.*s\"", list[i].text, STR_ARG(got));
	}
}

static void a_phrase_that_says_so_is_followed_by_a_name(void **state)
{
	(void)state;
	static const struct sample list[] = {
		{"Call me Zed.", "Zed"},
		{"Hello! You can call me zed, if you like.", "zed"},
		{"CALL  ME\nZED", "ZED"},
		{"My name is Nova and I like rivers.", "Nova"},
		{"my name is 'Nova'", "Nova"},
		{"I'll go by Echo.", "Echo"},
		{"I\xe2\x80\x99ll go by Echo.", "Echo"},
		{"I will go by simply Echo.", "Echo"},
		{"I'll be Rex today.", "Rex"},
		{"I choose Sage!", "Sage"},
		{"I'll choose the name Sage.", "Sage"},
		{"I select [Pi-] no, I select [Pixel].", "Pi"},
		{"I am Orion, pleased to meet you.", "Orion"},
		{"I'm Orion.", "Orion"},
		{"Zed here! What shall we talk about?", "Zed"},
		{"**Zed** here.", "Zed"},
		{"Name: Zed", "Zed"},
	};
	check(list, ARRAY_LEN(list));
}

static void brackets_quotes_and_emphasis_are_not_part_of_it(void **state)
{
	(void)state;
	static const struct sample list[] = {
		{"Call me [Zed].", "Zed"},
		{"Call me **Zed**.", "Zed"},
		{"Call me __Zed__.", "Zed"},
		{"Call me \"Zed\".", "Zed"},
		{"Call me \xe2\x80\x9cZed\xe2\x80\x9d.", "Zed"},
		{"Call me \xc2\xabZed\xc2\xbb.", "Zed"},
		{"I am **zed**.", "zed"},
		{"Call me `[\"Zed\"]`", "Zed"},
		{"Let it be \"Juno\".", "Juno"},
		{"Let it be [Juno].", "Juno"},
	};
	check(list, ARRAY_LEN(list));
}

static void ordinary_speech_holds_no_name(void **state)
{
	(void)state;
	static const struct sample list[] = {
		{"", NULL},
		{"Good day.", NULL},
		{"I am going to think about it.", NULL},
		{"I'm not sure.", NULL},
		{"I'll be happy to talk.", NULL},
		{"I choose to wait.", NULL},
		{"I am an AI.", NULL},
		{"Call me when you are ready.", NULL},
		{"Call me back!", NULL},
		{"Right here, right now.", NULL},
		{"What do you mean by \"yes\"?", NULL},
		{"[HUMAN] said so.", NULL},
		{"The iambic line \"am\" scans.", NULL},
		{"Recall men of old.", NULL},
		{"Ziam Bolt went home.", NULL},
		{"call me", NULL},
		{"call me ", NULL},
	};
	check(list, ARRAY_LEN(list));
}

static void a_name_has_two_to_eight_characters(void **state)
{
	(void)state;
	static const struct sample list[] = {
		{"Call me Z.", NULL},
		{"Call me Io.", "Io"},
		{"Call me Eightabc.", "Eightabc"},
		{"Call me Nineabcde.", NULL},
		{"Call me \xc3\x89lo\xc3\xafse\xe2\x80\xa6", "\xc3\x89lo\xc3\xafse"}, /* Éloïse… */
		{"Call me \xe6\x98\x9f\xe6\xb2\xb3", "\xe6\x98\x9f\xe6\xb2\xb3"},     /* two characters, six bytes */
		{"Call me R2D2.", "R2D2"},
	};
	check(list, ARRAY_LEN(list));
}

static void sure_phrases_win_wherever_they_stand(void **state)
{
	(void)state;
	static const struct sample list[] = {
		{"I am Claude, but call me Zed.", "Zed"},
		{"\"Quoted\" words aside, I am Orion.", "Orion"},
		{"I am going now. I am Orion.", "Orion"},
		{"Call me when you can. Call me Zed.", "Zed"},
	};
	check(list, ARRAY_LEN(list));
}

/* Every cut of every text: nothing is read behind the end. */
static void broken_text_is_read_no_further_than_it_goes(void **state)
{
	(void)state;
	static const char *const texts[] = {"Call me \xe2\x80\x9cZed\xe2\x80\x9d here",
					    "I\xe2\x80\x99ll choose the name [\xc3\x89lo]",
					    "\xff\xfe call me \xff\xff\xff", "_ _ ___ call me ___"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t n = 0; n <= strlen(texts[i]); n++) {
			char *copy = xmalloc(n + (n == 0));
			memcpy(copy, texts[i], n);
			struct str name = chosen_name(str_n(copy, n));
			assert_true(name.n == 0 || (name.p >= copy && name.p + name.n <= copy + n));
			free(copy);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_phrase_that_says_so_is_followed_by_a_name),
		cmocka_unit_test(brackets_quotes_and_emphasis_are_not_part_of_it),
		cmocka_unit_test(ordinary_speech_holds_no_name),
		cmocka_unit_test(a_name_has_two_to_eight_characters),
		cmocka_unit_test(sure_phrases_win_wherever_they_stand),
		cmocka_unit_test(broken_text_is_read_no_further_than_it_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
