/* Rooms: the conversations that devices have joined, and what those devices are shown there: running answers, and what is
 * told to all of them. Loop thread only. */
#ifndef ROOST_SERVER_STREAM_H
#define ROOST_SERVER_STREAM_H

#include "server/server.h"

/* A conversation that devices have joined, and one device's place in it. A room may be there before its conversation. */
struct room {
	char *key; /* "<user number>/<conversation id>" */
	LIST_HEAD(, join) joins;
	UT_hash_handle hh;
};
struct join {
	struct peer *peer;
	struct room *room;
	char *session_id;   /* as it was joined, for session:leave; "" unknown */
	bool watches_queue; /* asked with queue:list, and is told when the queue changes by itself */
	char *dropped;      /* request whose stream this device was too slow for; NULL none */
	int64_t dropped_attempt;
	bool is_quiet; /* session:join is not answered yet: nothing is sent before that */
	LIST_ENTRY(join) in_room, in_peer;
};

struct room *room_find(struct server *s, int64_t user, struct str conversation_id); /* NULL: nobody has joined */
void stream_publish(void *ctx, const struct delta *d);                              /* work hook */
void stream_state(void *ctx, struct job *j);                                        /* work hook */
/* The device's place in a conversation, made when it has none; NULL past limits.joined_sessions. A new one hears nothing
 * until stream_joined, which adds what is running to the answer, sends it, and then everything from its beginning. */
struct join *stream_join(struct peer *c, struct str conversation_id, struct str session_id);
void stream_joined(struct call *call, struct join *j, struct jw *w, int64_t conv);
struct join *stream_find(struct peer *c, struct str conversation_id);
/* By the one that is not STR_NONE; the session as it was joined. */
struct join *stream_find_joined(struct peer *c, struct str conversation_id, struct str session_id);
struct str stream_conversation(const struct join *j);
void stream_leave(struct join *j);
void stream_stopped_call(struct call *c, struct str request_id); /* answered when the request has stopped */
void stream_move(struct peer *from, struct peer *to);            /* a device's new connection takes over its rooms */
void stream_kick(struct server *s, int64_t user, uint32_t principal); /* HTTP followers of auth_kick */
void stream_http(struct server *s, struct http_req *r, struct live_user *u, uint32_t principal,
		 struct str request_id); /* GET …/stream */
void write_request_state(struct server *s, struct jw *w, const struct job_info *info);
void write_job_state(struct server *s, struct jw *w, const struct job *j);

/* A frame to every device that has joined the conversation. */
void stream_tell(struct server *s, int64_t user, struct str conversation_id, struct frame *f);
/* Those who joined the killed session are in the next one now. */
void stream_cleared(struct server *s, int64_t user, struct str conversation_id, struct str killed_id,
		    struct str next_id);

#endif
