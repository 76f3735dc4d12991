/* The list of conversations, newest first. */

import type { VNode } from "preact";
import { memo, useState } from "./hooks";
import { uuid7 } from "../ids";
import type { Home } from "../home";
import { go } from "../route";
import type { Conversation } from "../wire";

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

export function titleOf(home: Home, conversationId: string): string {
	const title = home.records.conversation(conversationId)?.fields.title;
	if (title) return title;
	return (
		home.outbox.find((draft) => draft.conversationId === conversationId)?.text.slice(0, 80) ?? "New conversation"
	);
}

export function newConversation(): void {
	go({ screen: "thread", id: uuid7() });
}

const PAGE = 200; // conversations drawn at first, and with every "Older"

/* Drawn again only when a conversation or its newest message changed, not with every piece of an answer. */
const Entries = memo(
	({ home, conversations }: { home: Home; conversations: readonly Conversation[]; openId: string | null }) => {
		const [shown, setShown] = useState(PAGE);
		return (
			<>
				<ul>
					{conversations.slice(0, shown).map((one) => (
						<li key={one.name}>
							<a
								href={`#c=${encodeURIComponent(one.name)}`}
								aria-current={home.openId === one.name ? "page" : undefined}
							>
								<span class="title" dir="auto">
									{titleOf(home, one.name)}
								</span>
								<time dateTime={home.records.touchedAt(one)}>
									{shortTime(home.records.touchedAt(one))}
								</time>
							</a>
						</li>
					))}
				</ul>
				{conversations.length > shown && (
					<button type="button" class="quiet" onClick={() => setShown(shown + PAGE)}>
						Older
					</button>
				)}
			</>
		);
	},
	(a, b) => a.conversations === b.conversations && a.openId === b.openId,
);

export function List({ home }: { home: Home }): VNode {
	const conversations = home.records.conversations();
	return (
		<nav class="list" aria-label="Conversations">
			<header>
				<h1>Roost</h1>
				<button type="button" class="quiet" onClick={() => go({ screen: "settings" })}>
					Settings
				</button>
				<button type="button" class="primary" onClick={newConversation}>
					New
				</button>
			</header>
			{conversations.length === 0 && <p class="empty">No conversations yet.</p>}
			<Entries home={home} conversations={conversations} openId={home.openId} />
		</nav>
	);
}
