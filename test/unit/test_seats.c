/* Who is primary: the rules of device/seats.h, one by one. */
#include "seats_gear.h"

#include "device/seats.h"

/* ---- the primary ------------------------------------------------------------------------------------------------ */

static void first_joined_device_is_primary_at_once(void **state)
{
	struct rig *r = *state;
	struct token *t = join(r, "a");
	assert_int_equal(t->e, WAITING); /* told when it is settled */
	commit(r);
	assert_int_equal(t->e, OK);
	assert_string_equal(t->primary, "a");
	expect_primary(r, "a", 1);
	expect_log(r, "came a;primary a 1;");
}

static void second_device_does_not_become_primary_and_is_refused_while_one_exists(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *t = ask(r, "b", SEATS_REQUEST, "");
	assert_int_equal(t->e, ERR_PRIMARY_EXISTS);
	assert_string_equal(t->primary, "a");
	assert_int_equal(t->term, 1);
	expect_primary(r, "a", 1);
}

static void primary_that_asks_again_is_confirmed_without_a_commit(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *t = ask(r, "a", SEATS_REQUEST, "");
	assert_int_equal(t->e, OK);
	assert_int_equal(t->term, 1);
	assert_int_equal(r->nqueue, 0);
}

static void take_over_raises_the_term_and_is_told(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *t = ask(r, "b", SEATS_TAKE, "");
	assert_int_equal(t->e, WAITING);
	commit(r);
	assert_int_equal(t->e, OK);
	assert_int_equal(t->term, 2);
	expect_log(r, "primary b 2;");
}

static void of_ten_that_ask_at_once_one_is_granted_and_all_hear_the_same_holder(void **state)
{
	struct rig *r = *state;
	struct token *t[10];
	join_all(r, "abcdefghij");
	assert_int_equal(ask(r, "a", SEATS_RELEASE, "")->e,
			 WAITING); /* b will be next; all ask before that is committed */
	int granted = 0;
	for (int i = 0; i < 10; i++) {
		char id[2] = {(char)('a' + i), '\0'};
		t[i] = ask(r, id, SEATS_REQUEST, "");
	}
	commit(r);
	for (int i = 0; i < 10; i++) {
		assert_true(t[i]->e == OK || t[i]->e == ERR_PRIMARY_EXISTS);
		granted += t[i]->e == OK;
		assert_string_equal(t[i]->primary, "b");
		assert_int_equal(t[i]->term, 2);
	}
	assert_int_equal(granted, 1);
}

static void transfer_by_the_primary_to_a_joined_device(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	struct token *t = ask(r, "a", SEATS_TRANSFER, "c");
	commit(r);
	assert_int_equal(t->e, OK);
	expect_primary(r, "c", 2);
	expect_log(r, "primary c 2;");
}

static void transfer_is_refused_from_others_to_strangers_and_to_the_silent(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	struct token *t = ask(r, "b", SEATS_TRANSFER, "c");
	assert_int_equal(t->e, ERR_NOT_PRIMARY);
	assert_string_equal(t->primary, "a");
	assert_int_equal(ask(r, "a", SEATS_TRANSFER, "z")->e, ERR_NOT_JOINED);
	assert_int_equal(ask(r, "a", SEATS_TRANSFER, "a")->e, OK); /* changes nothing */
	(void)ask(r, "a", SEATS_TRANSFER, "b");
	commit(r);
	pass_time(r, 2 * HEARTBEAT, "b"); /* b freezes: c … */
	commit(r);
	pass_time(r, HEARTBEAT, "b");
	assert_string_equal(r->row.primary, "a");
	assert_int_equal(ask(r, "a", SEATS_TRANSFER, "b")->e, ERR_OFFLINE);
}

static void release_hands_over_to_the_next_and_stands_at_the_end(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	assert_int_equal(ask(r, "b", SEATS_RELEASE, "")->e, ERR_NOT_PRIMARY);
	struct token *t = ask(r, "a", SEATS_RELEASE, "");
	commit(r);
	assert_int_equal(t->e, OK);
	assert_string_equal(t->primary, "b");
	expect_joined(r, "bca");
	lose(r, "b");
	commit(r);
	expect_primary(r, "c", 3);
}

static void release_by_the_only_one_leaves_nobody_until_somebody_comes(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	struct token *t = ask(r, "a", SEATS_RELEASE, "");
	commit(r);
	assert_int_equal(t->e, OK);
	expect_primary(r, "", 2);
	pass_time(r, 60000, "");
	commit(r);
	expect_primary(r, "", 2);
	(void)join(r, "b");
	commit(r);
	expect_primary(r, "b", 3); /* not the one that gave it up */
}

static void only_one_may_ask_for_it_back(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	(void)ask(r, "a", SEATS_RELEASE, "");
	commit(r);
	struct token *t = ask(r, "a", SEATS_REQUEST, "");
	commit(r);
	assert_int_equal(t->e, OK);
	expect_primary(r, "a", 3);
}

static void leaving_hands_over_in_join_order(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	leave(r, "a");
	commit(r);
	expect_log(r, "went a;primary b 2;");
	leave(r, "b");
	commit(r);
	expect_primary(r, "c", 3);
}

static void the_last_to_leave_clears_the_primary_but_a_lost_connection_does_not(void **state)
{
	struct rig *r = *state;
	struct seats_state st;
	join_all(r, "a");
	lose(r, "a");
	assert_int_equal(r->nqueue, 0);
	assert_string_equal(r->row.primary, "a");
	join_all(r, "a");
	expect_primary(r, "a", 1); /* it was all the time */
	leave(r, "a");
	commit(r);
	assert_string_equal(r->row.primary, "");
	assert_int_equal(r->row.term, 2);
	pass_time(r, 2 * GRACE, "");
	assert_false(seats_find(r->seats, 1, STR("s"), &st)); /* nothing is kept of it */
}

static void after_the_only_one_was_lost_the_next_to_come_is_primary_at_once(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	lose(r, "a");
	(void)join(r, "b");
	commit(r);
	expect_primary(r, "b", 2);
}

static void lost_socket_of_the_primary_elects_the_next_at_once(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	lose(r, "a");
	assert_int_equal(r->nqueue, 1);
	commit(r);
	expect_log(r, "went a;primary b 2;");
	assert_false(seats_is_joined(r->seats, 1, STR("a"), STR("s")));
}

static void revoked_primary_is_replaced_or_cleared(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	seats_revoked(r->seats, 1, STR("a"), r->now);
	commit(r);
	expect_primary(r, "b", 2);
	seats_revoked(r->seats, 1, STR("b"), r->now);
	commit(r);
	assert_string_equal(r->row.primary, "");
}

static void silent_primary_is_replaced_within_a_heartbeat_and_a_grain(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	int64_t frozen_at = r->now;
	while (r->nqueue == 0 && r->now < frozen_at + 3 * HEARTBEAT) pass_time(r, 10, "a");
	assert_in_range(r->now - frozen_at, HEARTBEAT, HEARTBEAT + 100);
	commit(r);
	expect_primary(r, "b", 2);
	assert_true(seats_is_joined(r->seats, 1, STR("a"), STR("s"))); /* it keeps its seat */
}

static void pongs_alone_keep_a_primary_alive(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	pass_time(r, 20 * HEARTBEAT, "");
	assert_int_equal(r->nqueue, 0);
	expect_primary(r, "a", 1);
	assert_in_range(r->pings[0], 30, 45); /* twice per heartbeat */
	assert_int_equal(r->pings[1], 0);     /* others are not pinged so often */
}

static void primary_alone_is_not_pinged_and_not_timed_out(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	pass_time(r, 100 * HEARTBEAT, "a");
	assert_int_equal(r->pings[0], 0);
	expect_primary(r, "a", 1);
	assert_true(seats_next_ms(r->seats) == INT64_MAX); /* and nothing wakes the loop */
}

static void long_silence_before_somebody_joined_does_not_count(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	pass_time(r, 100 * HEARTBEAT, "a");
	join_all(r, "b");
	pass_time(r, HEARTBEAT - 100, "a");
	assert_int_equal(r->nqueue, 0);
	assert_int_equal(r->pings[0] > 0, 1);
	pass_time(r, 300, "a");
	commit(r);
	expect_primary(r, "b", 2);
}

static void timed_out_device_that_returns_goes_to_the_end_and_disturbs_nobody(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	pass_time(r, HEARTBEAT + 200, "a");
	commit(r);
	expect_primary(r, "b", 2);
	hear(r, "a");
	commit(r);
	expect_primary(r, "b", 2);
	expect_joined(r, "bca");
	/* Its late close takes nothing from its successor. */
	lose(r, "a");
	commit(r);
	expect_primary(r, "b", 2);
}

static void when_this_process_stood_still_nobody_was_silent(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	pass_time(r, 1000, "");
	r->now += 60000; /* suspended */
	seats_tick(r->seats, r->now);
	assert_int_equal(r->nqueue, 0);
	pass_time(r, HEARTBEAT + 200, "a");
	assert_int_equal(r->nqueue, 1);
}

static void all_silent_then_the_first_heard_is_primary(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	pass_time(r, HEARTBEAT + 200, "ab");
	commit(r);
	pass_time(r, HEARTBEAT + 200, "ab"); /* b has nobody alive behind it: it stays */
	commit(r);
	expect_primary(r, "b", 2);
	lose(r, "b");
	assert_int_equal(r->nqueue, 0);
	hear(r, "a");
	commit(r);
	expect_primary(r, "a", 3);
}

static void second_connection_of_the_device_is_no_input_and_joining_again_changes_nothing(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *t = join(r, "a");
	assert_int_equal(t->e, OK);
	expect_joined(r, "ab");
	expect_log(r, "");
	expect_primary(r, "a", 1);
}

static void device_can_be_primary_of_several_sessions(void **state)
{
	struct rig *r = *state;
	struct joined_list l = {""};
	struct seats_session other = {STR("t"), STR(""), 0, 0};
	join_all(r, "a");
	struct token *t = token(r);
	seats_join(r->seats, 1, STR("a"), STR("d"), &other, false, t, r->now);
	assert_int_equal(r->nqueue, 1);
	struct seats_result out = {SEATS_PRIMARY, r->queue[0].c.serial, 1, STR("t"), OK, {STR("t"), STR("a"), 1, 0},
				   STR("")};
	r->nqueue = 0;
	seats_committed(r->seats, &out, r->now);
	seats_each_primary(r->seats, 1, STR("a"), add_joined, &l);
	assert_string_equal(l.text, "st");
	lose(r, "a");
}

static void other_users_see_and_change_nothing(void **state)
{
	struct rig *r = *state;
	struct seats_state st;
	join_all(r, "ab");
	assert_false(seats_find(r->seats, 2, STR("s"), &st));
	struct token *t = token(r);
	seats_ask(r->seats, 2, STR("a"), STR("s"), SEATS_TAKE, STR(""), t, r->now);
	assert_int_equal(t->e, ERR_NOT_JOINED);
	seats_lost(r->seats, 2, STR("a"), r->now);
	seats_leave(r->seats, 2, STR("a"), STR("c"), r->now);
	seats_revoked(r->seats, 2, STR("a"), r->now);
	assert_int_equal(r->nqueue, 0);
	expect_primary(r, "a", 1);
	/* The same names of another user are another session. */
	struct seats_session theirs = {STR("s"), STR(""), 0, 0};
	seats_join(r->seats, 2, STR("a"), STR("c"), &theirs, false, token(r), r->now);
	assert_int_equal(r->nqueue, 1);
	assert_int_equal(r->queue[0].c.user, 2);
	r->nqueue = 0;
	expect_primary(r, "a", 1);
}

static void who_has_not_joined_may_not_ask(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	assert_int_equal(ask(r, "z", SEATS_TAKE, "")->e, ERR_NOT_JOINED);
	assert_int_equal(lock(r, "z", 1000, 0)->e, ERR_NOT_JOINED);
	struct token *t = token(r);
	seats_ask(r->seats, 1, STR("a"), STR("unknown"), SEATS_TAKE, STR(""), t, r->now);
	assert_int_equal(t->e, ERR_NOT_JOINED);
	seats_leave(r->seats, 1, STR("z"), STR("c"), r->now);
	seats_lost(r->seats, 1, STR("nobody"), r->now);
	seats_heard(r->seats, 1, STR("nobody"), r->now);
	seats_typed(r->seats, 1, STR("nobody"), STR("s"), r->now);
}

/* ---- the daemon starts again ------------------------------------------------------------------------------------ */

static void after_a_restart_the_old_primary_returns_with_its_term(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	restart(r);
	struct token *t = join(r, "b");
	assert_int_equal(t->e, OK); /* answered at once: nobody is elected yet */
	pass_time(r, GRACE - 500, "");
	assert_int_equal(r->nqueue, 0);
	(void)join(r, "a");
	pass_time(r, 2 * GRACE, "");
	assert_int_equal(r->nqueue, 0);
	expect_primary(r, "a", 1);
}

static void after_the_grace_the_next_is_elected(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	restart(r);
	(void)join(r, "b");
	int64_t from = r->now;
	while (r->nqueue == 0 && r->now < from + 3 * GRACE) pass_time(r, 10, "");
	assert_in_range(r->now - from, GRACE - 10, GRACE + 100);
	commit(r);
	expect_primary(r, "b", 2);
}

static void grace_is_no_obstacle_for_who_asks(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	restart(r);
	(void)join(r, "b");
	struct token *t = ask(r, "b", SEATS_REQUEST, "");
	commit(r);
	assert_int_equal(t->e, OK);
	expect_primary(r, "b", 2);
	join_all(r, "a");
	expect_primary(r, "b", 2);
}

static void returned_primary_that_is_lost_again_has_no_second_grace(void **state)
{
	struct rig *r = *state;
	join_all(r, "a");
	restart(r);
	join_all(r, "a");
	lose(r, "a");
	(void)join(r, "b");
	commit(r);
	expect_primary(r, "b", 2);
}

static void stopping_keeps_every_primary(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *held = lock(r, "a", 1000, 0);
	commit(r);
	assert_int_equal(held->e, OK);
	struct token *waits = lock(r, "b", 1000, 5000);
	seats_stop(r->seats);
	assert_int_equal(waits->e, ERR_SHUTTING_DOWN);
	assert_int_equal(ask(r, "b", SEATS_TAKE, "")->e, ERR_SHUTTING_DOWN);
	lose(r, "a");
	leave(r, "b");
	assert_int_equal(r->nqueue, 0);
	assert_string_equal(r->row.primary, "a");
}

static void device_that_leaves_before_it_is_made_primary_leaves_nobody_behind(void **state)
{
	struct rig *r = *state;
	(void)join(r, "a");
	leave(r, "a");
	commit(r);
	assert_string_equal(r->row.primary, "");
	assert_int_equal(r->row.term, 2);
}

/* ---- the writer says no ----------------------------------------------------------------------------------------- */

static void stale_proposal_is_dropped_and_looked_at_again(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *t = ask(r, "b", SEATS_TAKE, "");
	r->row.term = 7; /* somebody else was faster */
	memcpy(r->row.primary, "a", 2);
	commit_one(r);
	assert_int_equal(t->e, WAITING);
	expect_log(r, "primary a 7;");
	commit(r);
	assert_int_equal(t->e, OK);
	expect_primary(r, "b", 8);
}

static void full_disk_fails_the_question_and_elections_are_tried_again(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	r->disk = ERR_STORAGE_FULL;
	struct token *t = ask(r, "b", SEATS_TAKE, "");
	commit(r);
	assert_int_equal(t->e, ERR_STORAGE_FULL);
	lose(r, "a");
	commit(r);
	struct token *j = join(r, "c");
	assert_int_equal(j->e, OK); /* joining works meanwhile */
	for (int i = 0; i < 3; i++) {
		pass_time(r, 1100, "");
		commit(r);
	}
	assert_string_equal(r->row.primary, "a");
	r->disk = OK;
	pass_time(r, 1100, "");
	commit(r);
	expect_primary(r, "b", 2);
}

static void asker_that_leaves_before_the_commit_is_answered_and_the_next_follows(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	struct token *t = ask(r, "c", SEATS_TAKE, "");
	lose(r, "c");
	assert_int_equal(t->e, ERR_NOT_JOINED);
	commit(r);
	expect_primary(r, "a", 3); /* c under term 2, gone, then the first in line */
	expect_log(r, "went c;primary c 2;primary a 3;");
}

static void silent_primary_that_could_not_be_replaced_is_no_obstacle_for_who_asks(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	r->disk = ERR_STORAGE_FULL;
	pass_time(r, HEARTBEAT + 200, "a");
	commit(r);
	r->disk = OK;
	struct token *t = ask(r, "c", SEATS_REQUEST, "");
	commit(r);
	assert_int_equal(t->e, OK);
	assert_string_equal(t->primary, "c");
}

static void outcome_of_another_proposal_is_not_taken_for_this_one(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	struct token *t = ask(r, "b", SEATS_TAKE, "");
	struct seats_result other = {
		SEATS_PRIMARY, r->queue[0].c.serial + 1, 1, STR("s"), OK, {STR("s"), STR("b"), 2, 0}, STR("")};
	seats_committed(r->seats, &other, r->now);
	assert_int_equal(t->e, WAITING);
	expect_primary(r, "a", 1);
	commit(r);
	expect_primary(r, "b", 2);
}

/* ---- sessions come and end -------------------------------------------------------------------------------------- */

static void devices_that_joined_before_the_first_message_get_their_seats(void **state)
{
	struct rig *r = *state;
	struct token *t = join_in(r, 1, "a", "new", false);
	assert_int_equal(t->e, OK);
	(void)join_in(r, 1, "b", "new", false);
	assert_int_equal(r->nqueue, 0);
	struct seats_session first = {STR("s"), STR(""), 0, 0};
	seats_session(r->seats, 1, STR("new"), &first, r->now);
	assert_int_equal(r->nqueue, 1);
	assert_string_equal(r->queue[0].device, "a");
	commit(r);
	assert_string_equal(r->row.primary, "a");
}

static void clear_moves_everybody_and_keeps_a_living_primary(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	(void)ask(r, "b", SEATS_TAKE, "");
	commit(r);
	struct token *held = lock(r, "c", 60000, 0), *waits;
	commit(r);
	waits = lock(r, "a", 1000, 60000);
	assert_int_equal(held->e, OK);
	struct token *late = ask(r, "a", SEATS_TAKE, "");
	r->row.is_killed = true;
	r->next = (struct row){.id = "s2", .primary = "b", .term = 3};
	r->log[0] = '\0';
	struct seats_session next = read_row(&r->next);
	seats_cleared(r->seats, 1, STR("s"), &next, r->now);
	assert_int_equal(waits->e, ERR_SESSION_KILLED);
	assert_string_equal(waits->session, "s2");
	assert_int_equal(late->e, ERR_SESSION_KILLED);
	commit(r); /* the late proposal finds the killed session: nothing comes of it */
	expect_log(r, "primary b 3;");
	struct seats_state st;
	assert_true(seats_find(r->seats, 1, STR("s2"), &st));
	assert_true(str_eq(st.primary, STR("b")) && st.holder.n == 0);
	assert_false(seats_find(r->seats, 1, STR("s"), &st));
	expect_joined(r, "abc");
	lose(r, "b");
	commit(r);
	assert_string_equal(r->next.primary, "a");
	assert_int_equal(r->next.term, 4);
}

static void killed_session_met_in_the_writer_moves_too(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	r->row.is_killed = true;
	r->next = (struct row){.id = "s2", .primary = "", .term = 2};
	struct token *t = ask(r, "b", SEATS_TAKE, "");
	commit_one(r);
	assert_int_equal(t->e, ERR_SESSION_KILLED);
	assert_string_equal(t->session, "s2");
	commit(r);
	assert_string_equal(r->next.primary, "a");
}

/* ---- following who types ---------------------------------------------------------------------------------------- */

static void typing_moves_primacy_only_where_the_setting_says_so(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	pass_time(r, 2000, "");
	type(r, "b");
	assert_int_equal(r->nqueue, 0);
	seats_follow(r->seats, 1, STR("c"), true, r->now);
	type(r, "b");
	commit(r);
	expect_primary(r, "b", 2);
}

static void typing_on_two_devices_changes_at_most_once_a_second(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	seats_follow(r->seats, 1, STR("c"), true, r->now);
	int64_t from = r->row.term;
	for (int i = 0; i < 500; i++) { /* 10 s, both type all the time */
		pass_time(r, 20, "");
		type(r, i % 2 == 0 ? "a" : "b");
		commit(r);
	}
	assert_in_range(r->row.term - from, 3, 10);
}

static void last_key_pressed_within_the_second_still_counts(void **state)
{
	struct rig *r = *state;
	join_all(r, "ab");
	seats_follow(r->seats, 1, STR("c"), true, r->now);
	type(r, "b"); /* a became primary just now */
	commit(r);
	assert_string_equal(r->row.primary, "a");
	pass_time(r, 1100, "");
	commit(r);
	expect_primary(r, "b", 2);
}

static void who_typed_and_left_is_forgotten(void **state)
{
	struct rig *r = *state;
	join_all(r, "abc");
	seats_follow(r->seats, 1, STR("c"), true, r->now);
	type(r, "b");
	lose(r, "b");
	pass_time(r, 1100, "");
	assert_int_equal(r->nqueue, 0);
	expect_primary(r, "a", 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(first_joined_device_is_primary_at_once),
		T(second_device_does_not_become_primary_and_is_refused_while_one_exists),
		T(primary_that_asks_again_is_confirmed_without_a_commit),
		T(take_over_raises_the_term_and_is_told),
		T(of_ten_that_ask_at_once_one_is_granted_and_all_hear_the_same_holder),
		T(transfer_by_the_primary_to_a_joined_device),
		T(transfer_is_refused_from_others_to_strangers_and_to_the_silent),
		T(release_hands_over_to_the_next_and_stands_at_the_end),
		T(release_by_the_only_one_leaves_nobody_until_somebody_comes),
		T(only_one_may_ask_for_it_back),
		T(leaving_hands_over_in_join_order),
		T(the_last_to_leave_clears_the_primary_but_a_lost_connection_does_not),
		T(after_the_only_one_was_lost_the_next_to_come_is_primary_at_once),
		T(lost_socket_of_the_primary_elects_the_next_at_once),
		T(revoked_primary_is_replaced_or_cleared),
		T(silent_primary_is_replaced_within_a_heartbeat_and_a_grain),
		T(pongs_alone_keep_a_primary_alive),
		T(primary_alone_is_not_pinged_and_not_timed_out),
		T(long_silence_before_somebody_joined_does_not_count),
		T(timed_out_device_that_returns_goes_to_the_end_and_disturbs_nobody),
		T(when_this_process_stood_still_nobody_was_silent),
		T(all_silent_then_the_first_heard_is_primary),
		T(second_connection_of_the_device_is_no_input_and_joining_again_changes_nothing),
		T(device_can_be_primary_of_several_sessions),
		T(other_users_see_and_change_nothing),
		T(who_has_not_joined_may_not_ask),
		T(after_a_restart_the_old_primary_returns_with_its_term),
		T(after_the_grace_the_next_is_elected),
		T(grace_is_no_obstacle_for_who_asks),
		T(returned_primary_that_is_lost_again_has_no_second_grace),
		T(stopping_keeps_every_primary),
		T(stale_proposal_is_dropped_and_looked_at_again),
		T(full_disk_fails_the_question_and_elections_are_tried_again),
		T(asker_that_leaves_before_the_commit_is_answered_and_the_next_follows),
		T(devices_that_joined_before_the_first_message_get_their_seats),
		T(clear_moves_everybody_and_keeps_a_living_primary),
		T(killed_session_met_in_the_writer_moves_too),
		T(typing_moves_primacy_only_where_the_setting_says_so),
		T(typing_on_two_devices_changes_at_most_once_a_second),
		T(last_key_pressed_within_the_second_still_counts),
		T(device_that_leaves_before_it_is_made_primary_leaves_nobody_behind),
		T(silent_primary_that_could_not_be_replaced_is_no_obstacle_for_who_asks),
		T(outcome_of_another_proposal_is_not_taken_for_this_one),
		T(who_typed_and_left_is_forgotten),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
