/* The list of conversations, newest first. */

import type { VNode } from "preact";
import { Quiet } from "./controls";
import { memo, useState } from "./hooks";
import { shortTime, syncState } from "./words";
import type { Entry } from "../db";
import { uuid7 } from "../ids";
import type { Home } from "../home";
import { go } from "../route";
import type { Conversation } from "../wire";

export function titleOf(home: Home, conversationId: string): string {
	const title = home.writer.conversation(conversationId)?.fields.title;
	if (title) return title;
	const first = home.writer.outbox.of(conversationId).find((entry) => entry.frame.type === "message:send");
	return (first?.frame.text as string | undefined)?.slice(0, 80) ?? "New conversation";
}

export function newConversation(): void {
	go({ screen: "thread", id: uuid7() });
}

const PAGE = 200; // conversations drawn at first, and with every "Older"

interface EntriesProps {
	home: Home;
	conversations: readonly Conversation[];
	entries: readonly Entry[]; // of the outbox: changes that wait are shown
	openId: string | null;
	asking: string; // the conversations where an agent waits for an answer
}

/* Drawn again only when a conversation or its newest message changed, not with every piece of an answer. */
const Entries = memo(
	({ home, conversations }: EntriesProps) => {
		const [shown, setShown] = useState(PAGE);
		const all = conversations.map((one) => home.writer.conversation(one.name) ?? one);
		const inUse = all.filter((one) => !one.fields.archived);
		const archived = all.filter((one) => one.fields.archived);
		const sorted = [...inUse.filter((one) => one.fields.pinned), ...inUse.filter((one) => !one.fields.pinned)];
		return (
			<>
				<Links home={home} conversations={sorted.slice(0, shown)} />
				{sorted.length > shown && (
					<Quiet onClick={() => setShown(shown + PAGE)}>Older</Quiet>
				)}
				{archived.length > 0 && (
					<details>
						<summary>Archived ({archived.length})</summary>
						<Links home={home} conversations={archived.slice(0, PAGE)} />
					</details>
				)}
			</>
		);
	},
	(a, b) =>
		a.conversations === b.conversations &&
		a.entries === b.entries &&
		a.openId === b.openId &&
		a.asking === b.asking,
);

function askingIn(home: Home): string[] {
	return home.records.questions().map((one) => one.fields.conversationId);
}

export function Links({ home, conversations }: { home: Home; conversations: Conversation[] }): VNode {
	const asking = askingIn(home);
	return (
		<ul class="links">
			{conversations.map((one) => (
				<li key={one.name}>
					<a
						href={`#c=${encodeURIComponent(one.name)}`}
						aria-current={home.openId === one.name ? "page" : undefined}
					>
						<span class="title" dir="auto">
							{titleOf(home, one.name)}
						</span>
						{asking.includes(one.name) && <small class="mark">asks you</small>}
						{one.fields.pinned && <small>pinned</small>}
						<time dateTime={home.records.touchedAt(one)}>{shortTime(home.records.touchedAt(one))}</time>
					</a>
				</li>
			))}
		</ul>
	);
}

export function List({ home }: { home: Home }): VNode {
	const conversations = home.records.conversations();
	return (
		<nav class="list" aria-label="Conversations">
			<header>
				<h1>Roost</h1>
				<Quiet onClick={() => go({ screen: "projects" })}>Projects</Quiet>
				<Quiet onClick={() => go({ screen: "settings" })}>Settings</Quiet>
				<button type="button" class="primary" onClick={newConversation}>
					New
				</button>
			</header>
			{conversations.length === 0 && <p class="empty">No conversations yet.</p>}
			<Entries
				home={home}
				conversations={conversations}
				entries={home.writer.outbox.entries}
				openId={home.openId}
				asking={askingIn(home).join()}
			/>
			<p class="sync">{syncState(home)}</p>
		</nav>
	);
}
