/* The head of a conversation: its title, who drives its session and who has locked it, and the way to its menu. */

import type { VNode } from "preact";
import { Back, Quiet } from "./controls";
import { titleOf } from "./list";
import type { Shown } from "./sheets";
import type { Home } from "../home";

function driver(home: Home): string {
	const { room } = home;
	if (home.link !== "up" || !room || room.sessionId === null) return "";
	const { primary, lock } = room;
	const isHere = (one: string) => one === home.deviceId;
	const by = lock && (isHere(lock.deviceId) ? "this device" : home.nameOf(lock.deviceId));
	const { deviceId } = primary;
	const who = deviceId === null ? "Nobody" : isHere(deviceId) ? "This device" : home.nameOf(deviceId);
	return `${who} drives${by ? ` · locked by ${by}` : ""}`;
}

export function Head({ home, id, show }: { home: Home; id: string; show: (sheet: Shown) => void }): VNode {
	const who = driver(home);
	return (
		<header>
			<Back />
			<h2>
				<Quiet
					class="quiet driver"
					aria-haspopup="dialog"
					disabled={who === ""}
					onClick={() => show({ what: "driver" })}
				>
					<span dir="auto">{titleOf(home, id)}</span>
					{who !== "" && <small>{who}</small>}
				</Quiet>
			</h2>
			<Quiet
				class="quiet more"
				aria-label="Conversation menu"
				aria-haspopup="dialog"
				disabled={!home.records.conversation(id)}
				onClick={() => show({ what: "menu" })}
			>
				⋯
			</Quiet>
		</header>
	);
}
