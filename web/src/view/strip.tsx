/* The lines between the messages and the composer: what the session does by itself, and what waits in its queue. Each
 * is there only while there is something to say. */

import type { VNode } from "preact";
import type { Shown } from "./sheets";
import type { Home } from "../home";

interface LineProps {
	home: Home;
	show: (sheet: Shown) => void;
}

/* The room of the open conversation, while what it knows is true. */
function live(home: Home) {
	return home.link === "up" && home.room?.conversationId === home.openId ? home.room : null;
}

/* Why a run stands still, for a person; the daemon's word where that says it. */
const REASON_TEXT: { [reason: string]: string } = {
	manual: "paused by hand",
	error: "errors",
	showstopper: "needs a person",
	low_confidence: "nothing to say",
};

/* An automatic run that is not over. The page cannot drive one: when it is primary, it says so. */
export function AutoLine({ home, show }: LineProps): VNode | null {
	const room = live(home);
	const auto = room?.auto;
	if (!room || !auto || (auto.state !== "running" && auto.state !== "paused")) return null;
	const { sessionId } = room;
	const { deviceId } = room.primary;
	const isHere = deviceId === home.deviceId;
	const act = (type: string) => void home.act({ type, sessionId });
	const by = deviceId === null || isHere ? "" : ` by ${home.nameOf(deviceId)}`;
	const state =
		auto.state === "paused"
			? `paused: ${REASON_TEXT[auto.reason ?? ""] ?? auto.reason}`
			: isHere
				? "waits for a device that can drive it"
				: "";
	return (
		<div class="strip" role="group" aria-label="Automatic run">
			<span>
				Automatic run{by}, {auto.sent} of {auto.limits.maxMessages}
				{state && `; ${state}`}
			</span>
			{isHere && auto.state === "running" && (
				<button type="button" class="quiet" onClick={() => show({ what: "driver" })}>
					Hand over
				</button>
			)}
			{auto.state === "running" ? (
				<button type="button" class="quiet" aria-label="Pause the run" onClick={() => act("auto:pause")}>
					Pause
				</button>
			) : (
				<button type="button" class="quiet" aria-label="Resume the run" onClick={() => act("auto:resume")}>
					Resume
				</button>
			)}
			<button type="button" class="quiet danger" aria-label="End the run" onClick={() => act("auto:stop")}>
				End
			</button>
		</div>
	);
}

/* More than one request waits, or none is begun. */
export function QueueLine({ home, show }: LineProps): VNode | null {
	const room = live(home);
	const queue = room?.queue;
	if (!room || !queue || (queue.waiting.length < 2 && !queue.paused)) return null;
	const { sessionId } = room;
	const n = queue.waiting.length;
	return (
		<div class="strip" role="group" aria-label="Queue">
			<button type="button" class="quiet" aria-haspopup="dialog" onClick={() => show({ what: "queue" })}>
				{n} waiting{queue.paused && ", paused"}
			</button>
			<QueueButtons home={home} sessionId={sessionId!} isPaused={queue.paused} waiting={n} />
		</div>
	);
}

export function QueueButtons(props: { home: Home; sessionId: string; isPaused: boolean; waiting: number }): VNode {
	const { home, sessionId, isPaused, waiting } = props;
	const act = (type: string) => void home.act({ type, sessionId });
	return (
		<>
			{isPaused ? (
				<button type="button" class="quiet" aria-label="Resume the queue" onClick={() => act("queue:resume")}>
					Resume
				</button>
			) : (
				<button type="button" class="quiet" aria-label="Pause the queue" onClick={() => act("queue:pause")}>
					Pause
				</button>
			)}
			<button
				type="button"
				class="quiet"
				aria-label="Clear the queue"
				disabled={waiting === 0}
				onClick={() => act("queue:clear")}
			>
				Clear
			</button>
		</>
	);
}
