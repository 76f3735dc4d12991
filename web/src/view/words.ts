/* Sentences that several screens need: when, who, why not. */

import type { Refusal } from "../db";
import type { Home } from "../home";

/* "14:05" today, "Mon" this week, a date before. */
export function shortTime(at: string, nowMs: number = Date.now()): string {
	const then = new Date(at);
	if (isNaN(then.getTime())) return "";
	const days = Math.floor(
		(new Date(nowMs).setHours(0, 0, 0, 0) - new Date(then).setHours(0, 0, 0, 0)) / 86_400_000,
	);
	if (days <= 0) return then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
	if (days < 7) return then.toLocaleDateString([], { weekday: "short" });
	return then.toLocaleDateString([], { day: "numeric", month: "short" });
}

/* "14:05:09", for what lasts seconds. */
export function exactTime(at: string): string {
	return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function count(n: number, one: string, many: string): string {
	return `${n} ${n === 1 ? one : many}`;
}

/* Why an entry of the outbox is held. */
export function reason(home: Home, error: Refusal): string {
	if (error.code === "duplicate_message" && error.deviceId && error.ageMs !== undefined) {
		return `${home.nameOf(error.deviceId)} sent the same ${(error.ageMs / 1000).toFixed(1)} s before`;
	}
	if (error.code === "session_killed") return "the session was cleared meanwhile";
	if (error.code === "session_locked" && error.holder && error.expiresAt) {
		return `${home.nameOf(error.holder)} holds the session until ${exactTime(error.expiresAt)}`;
	}
	return error.message;
}

/* How this device stands to the daemon, in a few words. */
export function syncState(home: Home): string {
	const held = home.writer.outbox.held;
	const waiting = home.writer.outbox.entries.length - held;
	const parts: string[] = [];
	if (home.link !== "up") parts.push(home.link === "connecting" ? "Connecting" : "Offline");
	else if (home.isSyncing) parts.push("Syncing");
	if (waiting > 0) parts.push(home.link === "up" ? `sending ${waiting}` : `${waiting} to be sent`);
	if (held > 0) parts.push(`${held} held for you`);
	if (home.syncedAt > 0) parts.push(`synced ${shortTime(new Date(home.syncedAt).toISOString())}`);
	const text = parts.join(" · ");
	return text === "" ? "" : text[0]!.toUpperCase() + text.slice(1);
}
