/* The session this device has joined, as the daemon tells it live: who is primary, who else sits here, who holds the
 * lock, what waits in the queue, how the automatic run stands.
 *
 * It begins with the answer to session:join and lives as long as that seat; what it knows is the daemon's word of a
 * moment ago and is only for showing, because the daemon judges every act by itself. Pure: no timers, no sockets. */

import type { Auto, Frame, Lock, Primary, Queue } from "./wire";

export class Room {
	sessionId: string | null; // null before the conversation's first message
	primary: Primary;
	lock: Lock | null;
	joined: string[]; // device ids, in the order in which they would become primary
	queue: Queue | null = null;
	auto: Auto | null = null;

	constructor(
		readonly conversationId: string,
		state: Frame,
	) {
		this.sessionId = (state.session as { name?: string } | null | undefined)?.name ?? null;
		this.primary = (state.primary as Primary | undefined) ?? { deviceId: null, term: 0 };
		this.lock = (state.lock as Lock | null | undefined) ?? null;
		this.joined = (state.joined as string[] | undefined) ?? [];
	}

	/* Takes a frame that is about this session; false when it is not. */
	hear(frame: Frame): boolean {
		if (frame.type === "session:presence" && frame.conversationId === this.conversationId) {
			const gone = [...(frame.left as string[]), ...(frame.joined as string[])];
			this.joined = this.joined.filter((one) => !gone.includes(one)).concat(frame.joined as string[]);
			return true;
		}
		if (this.sessionId === null || frame.sessionId !== this.sessionId) return false;
		switch (frame.type) {
			case "device:primary":
				if ((frame.term as number) >= this.primary.term) this.primary = frame as unknown as Primary;
				return true;
			case "session:locked":
				this.lock = frame as unknown as Lock;
				return true;
			case "session:unlocked":
				this.lock = null;
				return true;
			case "queue:state":
				this.queue = frame as unknown as Queue;
				return true;
			case "auto:state":
				this.auto = frame as unknown as Auto;
				this.hear({ ...(frame.primary as Primary), type: "device:primary", sessionId: this.sessionId });
				return true;
			default:
				return false;
		}
	}

	/* The other device that holds the lock at this moment, if one does. */
	lockedBy(deviceId: string, nowMs: number): Lock | null {
		const isOthers = this.lock !== null && this.lock.deviceId !== deviceId;
		return isOthers && Date.parse(this.lock!.expiresAt) > nowMs ? this.lock : null;
	}
}
