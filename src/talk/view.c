#include "talk/view.h"

static const struct str role_names[] = {STR_INIT("user"), STR_INIT("assistant"), STR_INIT("system")};

struct str talk_role_name(enum talk_role role) { return role_names[role]; }

bool talk_role_parse(struct str name, enum talk_role *out)
{
	for (size_t i = 0; i < ARRAY_LEN(role_names); i++) {
		if (!str_eq(name, role_names[i])) continue;
		*out = (enum talk_role)i;
		return true;
	}
	return false;
}

void view_begin(struct view *v, struct arena *arena, int64_t window_bytes)
{
	*v = (struct view){.arena = arena, .left = window_bytes};
}

static void append(struct view *v, enum talk_role role, struct str text, struct str parts)
{
	if (v->n == v->cap) {
		size_t cap = MAX(v->cap * 2, (size_t)16);
		struct talk_message *list = arena_alloc(v->arena, xmul(cap, sizeof *list));
		if (v->n > 0) memcpy(list, v->list, v->n * sizeof *list);
		v->list = list;
		v->cap = cap;
	}
	v->list[v->n++] = (struct talk_message){role, arena_str(v->arena, text), arena_str(v->arena, parts)};
}

bool view_add(struct view *v, enum talk_role role, struct str text, struct str parts)
{
	int64_t bytes = (int64_t)(text.n + parts.n);
	v->is_cut = v->started && bytes > v->left;
	if (v->is_cut) return false;
	v->started = true;
	v->left -= bytes;
	if (bytes > 0) append(v, role, text, parts);
	return true;
}

void view_end(struct view *v, struct str system_prompt)
{
	if (system_prompt.n > 0) append(v, ROLE_SYSTEM, system_prompt, STR(""));
	for (size_t i = 0, j = v->n; i + 1 < j; i++) {
		struct talk_message tmp = v->list[i];
		v->list[i] = v->list[--j];
		v->list[j] = tmp;
	}
}
