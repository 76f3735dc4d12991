/* What a conversation shows in its sheet: its menu, who drives and who alone writes, its queue, and what can be done
 * with a message. */

import { Fragment, type VNode } from "preact";
import { AutoSheet } from "./auto";
import { Ask, Item, Quiet, Title } from "./controls";
import { useEffect, useState } from "./hooks";
import { titleOf } from "./list";
import { Sheet } from "./sheet";
import { QueueButtons } from "./strip";
import { exactTime, shortTime } from "./words";
import { FOLLOWS_TYPING, type Home } from "../home";
import type { Message, QueueEntry, Revision } from "../wire";

export type Shown =
	| { what: "menu" | "rename" | "project" | "clear" | "driver" | "auto" | "queue" }
	| { what: "message" | "edit" | "delete" | "history"; name: string };

export interface PartProps {
	home: Home;
	id: string; // the conversation
	show: (sheet: Shown) => void;
	close: () => void;
}

/* ---- the conversation ---- */

function Menu({ home, id, show, close }: PartProps): VNode {
	const { pinned, archived, settings } = home.writer.conversation(id)?.fields ?? {};
	const isFollowing = settings?.primary === FOLLOWS_TYPING;
	const hasSession = home.link === "up" && home.room?.sessionId != null;
	const change = (fields: { pinned?: boolean; archived?: boolean }) => {
		void home.writer.change("Conversation", id, fields);
		close();
	};
	const needsRoom = (text: string, what: "queue" | "auto" | "clear") => (
		<Item text={text} disabled={!hasSession} onClick={() => show({ what })} />
	);
	return (
		<>
			<Item text="Rename" onClick={() => show({ what: "rename" })} />
			<Item text="Project" onClick={() => show({ what: "project" })} />
			<Item text={pinned ? "Unpin" : "Pin"} onClick={() => change({ pinned: !pinned })} />
			<Item text={archived ? "Take out of the archive" : "Archive"} onClick={() => change({ archived: !archived })} />
			<Quiet
				class="item"
				role="switch"
				aria-checked={isFollowing}
				onClick={() => {
					const primary = isFollowing ? null : FOLLOWS_TYPING;
					void home.writer.change("Conversation", id, { settings: { primary } });
				}}
			>
				The device I type on drives
			</Quiet>
			{needsRoom("Queue", "queue")}
			{needsRoom("Automatic run", "auto")}
			{needsRoom("New session", "clear")}
			{home.link !== "up" && <p>The queue, automatic runs and new sessions need the connection.</p>}
		</>
	);
}

function Rename({ home, id, close }: PartProps): VNode {
	const save = (title: string) => {
		if (title !== "") void home.writer.change("Conversation", id, { title });
		close();
	};
	return (
		<>
			<Title label="Title" verb="Save" title={titleOf(home, id)} onTitle={save} />
			<Past home={home} recordName={id} field="title" onRestore={save} />
		</>
	);
}

function InProject({ home, id, close }: PartProps): VNode {
	const current = home.writer.conversation(id)?.fields.projectId;
	const projects = home.writer.projects().filter((one) => one.fields.state !== "archived" || one.name === current);
	const put = (projectId: string | null) => {
		void home.writer.change("Conversation", id, { projectId });
		close();
	};
	return (
		<>
			{projects.map(({ name, fields }) => (
				<Item key={name} text={`${name === current ? "✓ " : ""}${fields.title ?? ""}`} onClick={() => put(name)} />
			))}
			{current && <Item text="Take out of its project" onClick={() => put(null)} />}
			{projects.length === 0 && <p>There are no projects; the list's Projects makes one.</p>}
		</>
	);
}

function Clear({ home, close }: PartProps): VNode {
	return (
		<Ask
			text={`A running answer is stopped, and the model starts without what was said. This device drops its copy; other
				devices keep theirs until they clear it.`}
			yes="Start a new session"
			onNo={close}
			onYes={() => {
				void home.inSession("session:clear");
				close();
			}}
		/>
	);
}

/* Who drives, and who alone may write. */
function Driver({ home, close }: PartProps): VNode {
	const { room } = home;
	if (!room) return <p>This conversation has no session yet.</p>;
	const isHere = room.primary.deviceId === home.deviceId;
	const others = room.joined.filter((one) => one !== home.deviceId);
	const { lock } = room;
	const act = (type: string, fields?: object) => {
		void home.inSession(type, fields);
		close();
	};
	return (
		<>
			<p>The device that drives the session also sends its automatic messages.</p>
			{!isHere && (
				<Item text="Drive from here" onClick={() => act("device:primary", { action: "request", take: true })} />
			)}
			{isHere &&
				others.map((one) => (
					<Item
						key={one}
						text={`Hand over to ${home.nameOf(one)}`}
						onClick={() => act("device:primary", { action: "transfer", toDeviceId: one })}
					/>
				))}
			{isHere && others.length === 0 && <p>No other device has this conversation open.</p>}
			{lock && lock.deviceId !== home.deviceId ? (
				<p>
					{home.nameOf(lock.deviceId)} alone may write, until {exactTime(lock.expiresAt)} or longer.
				</p>
			) : (
				<>
					<p>{lock ? "This device alone may write, while this page is open." : "Every device can write."}</p>
					<Item
						text={lock ? "Let every device write" : "Let only this device write"}
						onClick={() => act(lock ? "session:unlock" : "session:lock")}
					/>
				</>
			)}
		</>
	);
}

/* ---- the queue ---- */

const CLASS_TEXT = ["goes first", "", "can wait"]; // by priority

function QueueItem({ home, entry, isRunning }: { home: Home; entry: QueueEntry; isRunning: boolean }): VNode {
	const { requestId, messageId, priority } = entry;
	const text = home.records.message(messageId)?.fields.text.slice(0, 80) ?? "";
	const mark = isRunning ? "being answered" : entry.state === "retrying" ? "tried again" : CLASS_TEXT[priority];
	return (
		<li>
			<span dir="auto">{text}</span>
			{mark && <small>{mark}</small>}
			{!isRunning && priority > 0 && (
				<Quiet
					aria-label={`Earlier: ${text}`}
					onClick={() => void home.inSession("queue:reorder", { requestId, priority: priority - 1 })}
				>
					↑
				</Quiet>
			)}
			{!isRunning && (
				<Quiet aria-label={`Remove: ${text}`} onClick={() => void home.inSession("queue:remove", { requestId })}>
					Remove
				</Quiet>
			)}
		</li>
	);
}

function QueueList({ home }: PartProps): VNode {
	const { room } = home;
	if (!room?.queue) return <p>Nothing is known of the queue while offline.</p>;
	const { running, waiting, paused } = room.queue;
	return (
		<>
			{running.length + waiting.length === 0 && <p>Nothing waits.</p>}
			<ol>
				{running.map((entry) => (
					<QueueItem key={entry.requestId} home={home} entry={entry} isRunning />
				))}
				{waiting.map((entry) => (
					<QueueItem key={entry.requestId} home={home} entry={entry} isRunning={false} />
				))}
			</ol>
			<div class="row">
				{paused && <p>Paused: nothing is begun.</p>}
				<QueueButtons home={home} isPaused={paused} waiting={waiting.length} />
			</div>
		</>
	);
}

/* ---- a message ---- */

/* What a text was before, or would have been, each with a way to bring it back. */
function Past(props: { home: Home; recordName: string; field: string; onRestore: (text: string) => void }): VNode {
	const { home, recordName, field, onRestore } = props;
	useEffect(() => void home.writer.loadRevisions(recordName), [recordName]);
	const found = home.records.revisions(recordName, field).filter((one) => typeof one.fields.value === "string");
	return (
		<ul>
			{found.map((one: Revision) => (
				<li key={one.name}>
					<span dir="auto">{one.fields.value as string}</span>
					<small>
						{one.fields.deviceId && `${home.nameOf(one.fields.deviceId)}, `}
						{shortTime(one.fields.at)}
						{one.fields.conflict && "; written at the same time, and lost to a later one"}
					</small>
					<Quiet onClick={() => onRestore(one.fields.value as string)}>Restore</Quiet>
				</li>
			))}
		</ul>
	);
}

type MessageProps = PartProps & { message: Message };

/* The text as this device shows it. */
function textOf(home: Home, message: Message): string {
	return (home.writer.pending(message)?.frame.text as string | undefined) ?? message.fields.text;
}

function Actions({ home, message, show, close }: MessageProps): VNode {
	const { name } = message;
	const isKilled = home.records.session(message.fields.sessionId ?? "")?.fields.state === "killed";
	const copy = () => {
		void navigator.clipboard?.writeText(textOf(home, message));
		close();
	};
	return (
		<>
			{navigator.clipboard && <Item text="Copy" onClick={copy} />}
			{message.fields.role === "user" && (
				<Item text="Edit" disabled={isKilled} onClick={() => show({ what: "edit", name })} />
			)}
			{message.fields.editedAt && <Item text="History" onClick={() => show({ what: "history", name })} />}
			<Item text="Delete" isDanger onClick={() => show({ what: "delete", name })} />
		</>
	);
}

function Edit({ home, message, close }: MessageProps): VNode {
	const [text, setText] = useState(() => textOf(home, message));
	const problem = home.refusal(text);
	const save = () => {
		if (text !== textOf(home, message)) void home.writer.edit(message, text);
		close();
	};
	return (
		<>
			<textarea
				aria-label="Text"
				rows={Math.min(8, Math.max(3, text.split("\n").length))}
				dir="auto"
				value={text}
				onInput={(event) => setText(event.currentTarget.value)}
			/>
			<p role="alert" class="error">
				{problem}
			</p>
			<p>
				<small>An answer that is there stays as it is.</small>
			</p>
			<div class="row">
				<button type="button" class="primary" disabled={text.trim() === "" || problem !== ""} onClick={save}>
					Save
				</button>
			</div>
		</>
	);
}

function Delete({ home, message, close }: MessageProps): VNode {
	return (
		<Ask
			text="The message is deleted on every device."
			yes="Delete for everybody"
			isDanger
			onNo={close}
			onYes={() => {
				void home.writer.remove(message);
				close();
			}}
		/>
	);
}

function History({ home, message, close }: MessageProps): VNode {
	const restore = (text: string) => {
		void home.writer.edit(message, text);
		close();
	};
	return <Past home={home} recordName={message.name} field="text" onRestore={restore} />;
}

/* ---- which is shown ---- */

/* Of each the title, and what draws it. */
const PARTS = {
	menu: ["Conversation", Menu],
	rename: ["Rename", Rename],
	project: ["Project", InProject],
	clear: ["New session", Clear],
	driver: ["Who drives", Driver],
	auto: ["Automatic run", AutoSheet],
	queue: ["Queue", QueueList],
} as const;
const MESSAGE_PARTS = {
	message: ["Message", Actions],
	edit: ["Edit", Edit],
	delete: ["Delete", Delete],
	history: ["History", History],
} as const;

interface SheetsProps {
	home: Home;
	id: string;
	at: Shown;
	show: (sheet: Shown | null) => void;
}

export function Sheets({ home, id, at, show }: SheetsProps): VNode {
	const close = () => document.querySelector<HTMLDialogElement>("dialog[open]")?.close();
	const part = { home, id, show, close };
	const draw = (): [string, VNode] => {
		if (!("name" in at)) {
			const [title, Part] = PARTS[at.what];
			return [title, <Part {...part} />];
		}
		const message = home.records.message(at.name);
		const [title, Part] = MESSAGE_PARTS[at.what];
		return [title, message ? <Part {...part} message={message} /> : <p>This message was deleted.</p>];
	};
	const [title, content] = draw();
	return (
		<Sheet title={title} onClose={() => show(null)}>
			<Fragment key={at.what}>{content}</Fragment>
		</Sheet>
	);
}
