#include "event/events.h"

const struct event_row event_rows[] = {
#define X(type, fields, when) {type, fields, when},
	EVENT_MAP(X)
#undef X
};
const size_t event_count = ARRAY_LEN(event_rows);

const struct event_row *event_find(struct str type)
{
	for (size_t i = 0; i < event_count; i++)
		if (str_eq(type, str_c(event_rows[i].type))) return &event_rows[i];
	return NULL;
}

bool event_has_field(const struct event_row *row, struct str field)
{
	for (const char *p = row->fields; *p != '\0';) {
		size_t n = strcspn(p, " ");
		if (str_eq(str_n(p, n), field)) return true;
		p += n + (p[n] == ' ');
	}
	return false;
}
