/* The line above the composer that tells what waits in the session's queue, and its buttons. It is there only while
 * there is something to say. */

import type { VNode } from "preact";
import { Quiet } from "./controls";
import type { Shown } from "./sheets";
import type { Home } from "../home";

/* The room of the open conversation, while what it knows is true. */
export function live(home: Home) {
	return home.link === "up" && home.room?.conversationId === home.openId ? home.room : null;
}

/* More than one request waits, or none is begun. */
export function QueueLine({ home, show }: { home: Home; show: (sheet: Shown) => void }): VNode | null {
	const queue = live(home)?.queue;
	if (!queue || (queue.waiting.length < 2 && !queue.paused)) return null;
	const n = queue.waiting.length;
	return (
		<div class="strip" role="group" aria-label="Queue">
			<Quiet aria-haspopup="dialog" onClick={() => show({ what: "queue" })}>
				{n} waiting{queue.paused && ", paused"}
			</Quiet>
			<QueueButtons home={home} isPaused={queue.paused} waiting={n} />
		</div>
	);
}

export function QueueButtons(props: { home: Home; isPaused: boolean; waiting: number }): VNode {
	const { home, isPaused, waiting } = props;
	const verb = isPaused ? "Resume" : "Pause";
	return (
		<>
			<Quiet aria-label={`${verb} the queue`} onClick={() => void home.inSession(`queue:${verb.toLowerCase()}`)}>
				{verb}
			</Quiet>
			<Quiet aria-label="Clear the queue" disabled={waiting === 0} onClick={() => void home.inSession("queue:clear")}>
				Clear
			</Quiet>
		</>
	);
}
