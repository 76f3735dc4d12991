/* What people and their apps do. Each operation takes a device, and does nothing when that one cannot. */
#include "sim/app.h"
#include "sim/book.h"
#include "sim/house.h"
#include "sim/plan.h"

static int64_t counter;

/* Members of a frame, put together anew for each. */
static struct buf members = {.max = BUF_NO_LIMIT};
#define MEMBERS(...) (buf_clear(&members), (void)buf_addf(&members, __VA_ARGS__), buf_str(&members))

static struct seat *joined_seat(struct device *d)
{
	struct seat *found = NULL;
	uint64_t n = 0;
	for (size_t i = 0; i < DEVICE_JOINS; i++)
		if (d->seats[i].joined && d->seats[i].session[0] != '\0' && pick(++n) == 0) found = &d->seats[i];
	return found;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* What is asked of local:test, as JSON. */
static void put_request(struct buf *b)
{
	static const char *const errors[] = {"busy", "down", "cut", "refused"};
	(void)buf_addf(b, ",\"request\":{\"model\":\"local:test\",\"params\":{\"tokens\":%d,\"delayMs\":%d",
		       (int)pick_between(1, 60), (int)pick_between(0, 300));
	if (chance(600)) (void)buf_addf(b, ",\"tokensPerSecond\":%d", (int)pick_between(20, 400));
	if (chance(200)) (void)buf_addf(b, ",\"thinking\":%d", (int)pick_between(1, 20));
	if (chance(250))
		(void)buf_addf(b, ",\"error\":\"%s\",\"failAfter\":%d,\"failTimes\":%d",
			       errors[pick(ARRAY_LEN(errors))], (int)pick(20), (int)pick(4));
	(void)buf_addf(b, "}}");
}

static void send_text(struct device *d, struct str conversation, struct str session, const char *text, bool asks,
		      const char *more, bool automatic, int64_t term)
{
	char id[40];
	if (d->app != NULL) {
		buf_clear(&members);
		if (asks) put_request(&members);
		struct str request = buf_str(&members); /* ,"request":{…} */
		const char *brace = asks ? strchr(members.p, '{') : NULL;
		if (brace != NULL) request = str_n(brace, members.n - (size_t)(brace - members.p));
		char where[48], what[48];
		(void)str_copy(conversation, where, sizeof where);
		(void)str_copy(session, what, sizeof what);
		counter++;
		app_send(d, where, what, text, request, automatic, term);
		return;
	}
	(void)snprintf(id, sizeof id, "msg-%d-%lld", d->number, (long long)++counter);
	(void)MEMBERS("\"messageId\":\"%s\",\"text\":\"%s\"%s", id, text, more);
	if (session.n > 0) (void)buf_addf(&members, ",\"sessionId\":\"%.*s\"", STR_ARG(session));
	else (void)buf_addf(&members, ",\"conversationId\":\"%.*s\"", STR_ARG(conversation));
	if (asks) put_request(&members);
	book_typed(str_c(d->id), str_c(id), conversation, str_c(text), automatic, term);
	(void)device_wish(d, "message:send", buf_str(&members), id);
}

static void op_send(void)
{
	char text[80];
	struct device *d = plan_device();
	if (d == NULL) return;
	(void)snprintf(text, sizeof text, "%s says %lld%s", d->name, (long long)counter, chance(50) ? " grüße ✓" : "");
	send_text(d, plan_conversation(d), STR(""), text, chance(500), "", false, 0);
}

static void op_send_to_session(void)
{
	char text[80];
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	if (s == NULL) return;
	(void)snprintf(text, sizeof text, "%s here %lld", d->name, (long long)counter);
	send_text(d, str_c(s->conversation), str_c(s->session), text, chance(300), "", false, 0);
}

/* The same words on two devices, a moment apart. */
static void op_send_same(void)
{
	struct device *a = plan_device(), *b = plan_device();
	char text[80], conversation[40];
	if (a == NULL || b == NULL || a->user != b->user) return;
	(void)str_copy(plan_conversation(a), conversation, sizeof conversation);
	(void)snprintf(text, sizeof text, "the same %lld", (long long)counter);
	send_text(a, str_c(conversation), STR(""), text, false, "", false, 0);
	send_text(b, str_c(conversation), STR(""), text, false, chance(300) ? ",\"force\":true" : "", false, 0);
}

/* A device that believes it is primary, or does not care, sends by itself. */
static void op_send_automatic(void)
{
	char text[80], more[60];
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	const struct lead *lead = s != NULL ? device_lead(d, s->session) : NULL;
	if (lead == NULL || lead->term == 0) return;
	if (!str_eq(str_c(lead->primary), str_c(d->id)) && chance(700)) return;
	(void)snprintf(text, sizeof text, "%s by itself %lld", d->name, (long long)counter);
	(void)snprintf(more, sizeof more, ",\"auto\":true,\"term\":%lld", (long long)lead->term);
	send_text(d, str_c(s->conversation), str_c(s->session), text, false, more, true, lead->term);
}

/* A message of the person's that this device knows. */
static const char *known_message(const struct device *d)
{
	const char *found = NULL;
	uint64_t n = 0;
	for (const struct kept *k = d->records; k != NULL; k = k->hh.next)
		if (strncmp(k->key, "Message/", 8) == 0 && !k->deleted && book_is_acked(str_c(k->key + 8)) &&
		    pick(++n) == 0)
			found = k->key + 8;
	return found;
}

static void op_edit(void)
{
	char text[80];
	struct device *d = plan_device();
	const char *id = d != NULL ? known_message(d) : NULL;
	if (id == NULL) return;
	(void)snprintf(text, sizeof text, "%s corrects %lld", d->name, (long long)++counter);
	if (d->app != NULL) {
		app_edit(d, id, text);
		return;
	}
	book_edited(str_c(id), str_c(text));
	device_wish_edit(d, id, text);
}

static void op_delete(void)
{
	struct device *d = plan_device();
	const char *id = d != NULL ? known_message(d) : NULL;
	if (id == NULL) return;
	if (d->app != NULL) {
		app_delete(d, id);
		return;
	}
	book_deleted(str_c(id));
	(void)device_wish(d, "message:delete", MEMBERS("\"messageId\":\"%s\"", id), NULL);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void op_rename(void)
{
	struct device *d = plan_device();
	struct str c = d != NULL ? plan_conversation(d) : STR_NONE;
	if (d == NULL || device_kept(d, "Conversation", c) == NULL) return;
	if (d->app != NULL) {
		char fields[60], name[48];
		(void)str_copy(c, name, sizeof name);
		(void)snprintf(fields, sizeof fields, "{\"title\":\"title %lld\"}", (long long)++counter);
		app_save(d, "Conversation", name, fields);
		return;
	}
	(void)device_wish(
		d, "record:save",
		MEMBERS("\"policy\":\"%s\",\"records\":[{\"type\":\"Conversation\",\"name\":\"%.*s\",\"fields\":{"
			"\"title\":\"title %lld\"}}]",
			chance(500) ? "changedKeys" : "merge", STR_ARG(c), (long long)++counter),
		NULL);
}

static void op_mark(void)
{
	struct device *d = plan_device();
	const char *id = d != NULL ? known_message(d) : NULL;
	if (id == NULL) return;
	if (d->app != NULL) {
		char fields[80];
		(void)snprintf(fields, sizeof fields, "{\"tags\":{\"add\":[\"t%d\"],\"remove\":[\"t%d\"]}}",
			       (int)pick(4), (int)pick(4) + 4);
		app_save(d, "Message", id, fields);
		return;
	}
	(void)device_wish(
		d, "record:save",
		MEMBERS("\"policy\":\"changedKeys\",\"records\":[{\"type\":\"Message\",\"name\":\"%s\",\"fields\":{"
			"\"tags\":[\"t%d\"]}}]",
			id, (int)pick(4)),
		NULL);
}

static void op_project(void)
{
	struct device *d = plan_device();
	if (d == NULL) return;
	if (d->app != NULL) {
		char name[40], fields[60];
		(void)snprintf(name, sizeof name, "project-%d-%d", d->user, (int)pick(3));
		(void)snprintf(fields, sizeof fields, "{\"title\":\"p%lld\",\"path\":\"/p\"}", (long long)++counter);
		if (chance(150)) app_remove(d, "Project", name);
		else app_save(d, "Project", name, fields);
		return;
	}
	(void)device_wish(
		d, "record:save",
		MEMBERS("\"policy\":\"allKeys\",\"records\":[{\"type\":\"Project\",\"name\":\"project-%d-%d\","
			"%s\"fields\":{\"title\":\"p%lld\",\"path\":\"/p\"}}]",
			d->user, (int)pick(3), chance(150) ? "\"deleted\":true," : "", (long long)++counter),
		NULL);
}

/* A conversation is put into a project, which may be there or not. */
static void op_file(void)
{
	char fields[60], name[48];
	struct device *d = plan_device();
	struct str c = d != NULL ? plan_conversation(d) : STR_NONE;
	if (d == NULL || device_kept(d, "Conversation", c) == NULL) return;
	(void)str_copy(c, name, sizeof name);
	(void)snprintf(fields, sizeof fields, "{\"projectId\":\"project-%d-%d\"}", d->user, (int)pick(3));
	if (d->app != NULL) app_save(d, "Conversation", name, fields);
	else
		(void)device_wish(d, "record:save",
				  MEMBERS("\"policy\":\"changedKeys\",\"records\":[{\"type\":\"Conversation\","
					  "\"name\":\"%s\",\"fields\":%s}]",
					  name, fields),
				  NULL);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static void op_join(void)
{
	struct device *d = plan_device();
	struct str c = d != NULL ? plan_conversation(d) : STR_NONE;
	struct seat *s = d != NULL ? device_seat(d, c, true) : NULL;
	if (s == NULL) return;
	s->wanted = true;
	if (d->app != NULL) {
		char conversation[48];
		(void)str_copy(c, conversation, sizeof conversation);
		app_join(d, conversation);
		return;
	}
	(void)device_say(d, "session:join", MEMBERS("\"conversationId\":\"%.*s\"", STR_ARG(c)));
}

static void op_leave(void)
{
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	if (s != NULL) device_leave(d, s);
}

static void op_clear(void)
{
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	if (s == NULL) return;
	if (d->app != NULL) {
		app_clear(d, false, s->session);
		return;
	}
	(void)device_wish(d, "session:clear", MEMBERS("\"sessionId\":\"%s\"", s->session), NULL);
}

static void op_clear_project(void)
{
	char id[40];
	struct device *d = plan_device();
	if (d == NULL) return;
	(void)snprintf(id, sizeof id, "project-%d-%d", d->user, (int)pick(3));
	if (d->app != NULL) app_clear(d, true, id);
	else (void)device_wish(d, "session:clear", MEMBERS("\"projectId\":\"%s\"", id), NULL);
}

static void op_primary(void)
{
	static const char *const actions[] = {"\"request\"", "\"request\",\"take\":true", "\"release\"",
					      "\"transfer\""};
	struct device *d = plan_device(), *to = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	size_t action = pick(ARRAY_LEN(actions));
	if (s == NULL || to == NULL) return;
	(void)MEMBERS("\"sessionId\":\"%s\",\"action\":%s", s->session, actions[action]);
	if (action == 3) (void)buf_addf(&members, ",\"toDeviceId\":\"%s\"", to->id);
	(void)device_say(d, "device:primary", buf_str(&members));
}

static void op_typing(void)
{
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	if (s != NULL) (void)device_say(d, "session:typing", MEMBERS("\"sessionId\":\"%s\"", s->session));
}

static void op_lock(void)
{
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	if (s == NULL) return;
	int64_t ttl_ms = pick_between(100, 3000), wait_ms = chance(500) ? 0 : pick_between(1, 3000);
	if (d->app != NULL) app_lock(d, s->session, ttl_ms, wait_ms);
	else
		(void)device_say(d, "session:lock",
				 MEMBERS("\"sessionId\":\"%s\",\"ttlMs\":%lld,\"waitMs\":%lld", s->session,
					 (long long)ttl_ms, (long long)wait_ms));
}

static void op_unlock(void)
{
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	if (s == NULL) return;
	if (d->app != NULL) app_unlock(d, s->session);
	else (void)device_say(d, "session:unlock", MEMBERS("\"sessionId\":\"%s\"", s->session));
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static const char *known_request(const struct device *d)
{
	const char *found = NULL;
	uint64_t n = 0;
	for (const struct kept *k = d->records; k != NULL; k = k->hh.next)
		if (strncmp(k->key, "Request/", 8) == 0 && pick(++n) == 0) found = k->key + 8;
	return found;
}

static void ask_of_request(const char *type)
{
	struct device *d = plan_device();
	const char *id = d != NULL ? known_request(d) : NULL;
	if (id != NULL) (void)device_say(d, type, MEMBERS("\"requestId\":\"%s\"", id));
}

static void op_stop(void) { ask_of_request("request:stop"); }
static void op_retry(void) { ask_of_request("request:retry"); }
static void op_get(void) { ask_of_request("request:get"); }

/* From somewhere in what was streamed of it, of one attempt or another. */
static void op_attach(void)
{
	static const char *const kinds[] = {"text", "thinking"};
	struct device *d = plan_device();
	const char *id = d != NULL ? known_request(d) : NULL, *kind = kinds[chance(200)];
	int64_t attempt = chance(700) ? 1 : pick_between(1, 4);
	if (id == NULL) return;
	int64_t shown = book_streamed(str_c(id), attempt, str_c(kind));
	(void)device_say(d, "message:attach",
			 MEMBERS("\"requestId\":\"%s\",\"attempt\":%lld,\"kind\":\"%s\",\"offset\":%lld", id,
				 (long long)attempt, kind, (long long)(chance(500) ? 0 : pick((uint64_t)shown + 1))));
}

static void op_queue(void)
{
	static const char *const verbs[] = {"queue:list",  "queue:pause",  "queue:resume",
					    "queue:clear", "queue:remove", "queue:reorder"};
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	const char *id = d != NULL ? known_request(d) : NULL;
	size_t verb = pick(ARRAY_LEN(verbs));
	if (s == NULL || id == NULL) return;
	(void)device_say(d, verbs[verb],
			 verb < 4 ? MEMBERS("\"sessionId\":\"%s\"", s->session)
				  : MEMBERS("\"sessionId\":\"%s\",\"requestId\":\"%s\",\"priority\":%d", s->session, id,
					    (int)pick(3)));
}

static void op_auto(void)
{
	static const char *const verbs[] = {"auto:start", "auto:start", "auto:pause", "auto:resume", "auto:stop"};
	static const char *const modes[] = {"messages", "smart_stop", "until_completion", "hybrid", "time"};
	struct device *d = plan_device();
	struct seat *s = d != NULL ? joined_seat(d) : NULL;
	size_t verb = pick(ARRAY_LEN(verbs));
	if (s == NULL) return;
	(void)MEMBERS("\"sessionId\":\"%s\"", s->session);
	if (verb < 2)
		(void)buf_addf(&members,
			       ",\"mode\":\"%s\",\"limits\":{\"maxMessages\":%d,\"maxMs\":%d},\"params\":{\"request\":"
			       "{\"model\":\"local:test\",\"params\":{\"tokens\":%d}},\"opening\":\"let us begin\"}",
			       modes[pick(ARRAY_LEN(modes))], (int)pick_between(1, 8), (int)pick_between(1000, 30000),
			       (int)pick_between(1, 30));
	(void)device_say(d, verbs[verb], buf_str(&members));
	/* A run goes on from an answer. */
	if (verb < 2) send_text(d, str_c(s->conversation), str_c(s->session), "what is next?", true, "", false, 0);
}

/* ---- devices ----------------------------------------------------------------------------------------------------- */

static void op_online(void)
{
	struct device *d = plan_device();
	if (d != NULL) device_online(d, chance(600));
}

static void op_sync(void)
{
	struct device *d = plan_device();
	if (d == NULL) return;
	(void)device_say(d, "session:sync",
			 d->cursor[0] != '\0' ? MEMBERS("\"cursor\":\"%s\"", d->cursor) : MEMBERS("%s", ""));
}

static void op_list(void)
{
	struct device *d = plan_device();
	if (d != NULL) (void)device_say(d, "device:list", STR(""));
}

static void op_query(void)
{
	struct device *d = plan_device();
	if (d != NULL) (void)device_say(d, "record:query", STR("\"recordType\":\"Message\",\"limit\":10"));
}

static void op_revoke(void)
{
	struct device *d = plan_device(), *other = plan_device();
	if (d == NULL || other == NULL || d->user != other->user || plan.nrevoked == REVOKED_MAX) return;
	other->is_doomed |= device_say(d, "device:revoke", MEMBERS("\"deviceId\":\"%s\"", other->id));
}

static void op_give_up(void)
{
	struct device *d = plan_device();
	if (d != NULL && d->app != NULL) app_resolve_held(d, false);
	else if (d != NULL) device_release_held(d);
}

const struct op people_ops[] = {
	{"send", 30, op_send},
	{"send to session", 8, op_send_to_session},
	{"send the same", 6, op_send_same},
	{"send automatically", 8, op_send_automatic},
	{"edit", 6, op_edit},
	{"delete", 2, op_delete},
	{"rename", 4, op_rename},
	{"mark", 4, op_mark},
	{"project", 3, op_project},
	{"join", 14, op_join},
	{"leave", 3, op_leave},
	{"clear", 2, op_clear},
	{"file", 2, op_file},
	{"clear a project", 1, op_clear_project},
	{"primary", 6, op_primary},
	{"typing", 2, op_typing},
	{"lock", 4, op_lock},
	{"unlock", 3, op_unlock},
	{"stop", 4, op_stop},
	{"retry", 4, op_retry},
	{"get", 1, op_get},
	{"queue", 4, op_queue},
	{"attach", 4, op_attach},
	{"auto", 12, op_auto},
	{"online", 8, op_online},
	{"sync", 2, op_sync},
	{"list", 1, op_list},
	{"query", 1, op_query},
	{"revoke", 1, op_revoke},
	{"give up", 2, op_give_up},
};
const size_t people_op_count = ARRAY_LEN(people_ops);
