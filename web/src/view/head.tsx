/* The head of a conversation: its title, who drives its session, and the way to its menu. */

import type { VNode } from "preact";
import { titleOf } from "./list";
import type { Shown } from "./sheets";
import type { Home } from "../home";
import { go } from "../route";

function driver(home: Home): string {
	const { room } = home;
	if (home.link !== "up" || !room || room.sessionId === null) return "";
	const { deviceId } = room.primary;
	if (deviceId === null) return "Nobody drives";
	return deviceId === home.deviceId ? "This device drives" : `${home.nameOf(deviceId)} drives`;
}

export function Head({ home, id, show }: { home: Home; id: string; show: (sheet: Shown) => void }): VNode {
	const who = driver(home);
	return (
		<header>
			<button type="button" class="quiet back" aria-label="Back to the list" onClick={() => go({ screen: "list" })}>
				‹
			</button>
			<h2>
				<button
					type="button"
					class="quiet driver"
					aria-haspopup="dialog"
					disabled={who === ""}
					onClick={() => show({ what: "driver" })}
				>
					<span dir="auto">{titleOf(home, id)}</span>
					{who !== "" && <small>{who}</small>}
				</button>
			</h2>
			<button
				type="button"
				class="quiet more"
				aria-label="Conversation menu"
				aria-haspopup="dialog"
				disabled={!home.records.conversation(id)}
				onClick={() => show({ what: "menu" })}
			>
				⋯
			</button>
		</header>
	);
}
