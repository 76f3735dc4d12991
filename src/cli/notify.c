#include "cli/notify.h"

void notify(struct str from, struct str title, struct str text)
{
	(void)from;
	(void)title;
	(void)text;
}
