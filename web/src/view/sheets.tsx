/* What a conversation shows in its sheet: its menu, who drives, its queue, and what can be done with a message. */

import { Fragment, type VNode } from "preact";
import { useEffect, useState } from "./hooks";
import { titleOf } from "./list";
import { Sheet } from "./sheet";
import { QueueButtons } from "./strip";
import { shortTime } from "./words";
import { FOLLOWS_TYPING, type Home } from "../home";
import type { Message, QueueEntry, Revision } from "../wire";

export type Shown =
	| { what: "menu" | "rename" | "clear" | "driver" | "queue" }
	| { what: "message" | "edit" | "delete" | "history"; name: string };

interface PartProps {
	home: Home;
	id: string; // the conversation
	show: (sheet: Shown) => void;
	close: () => void;
}

function Item(props: { text: string; onClick: () => void; disabled?: boolean; isDanger?: boolean }): VNode {
	const { text, onClick, disabled, isDanger } = props;
	return (
		<button type="button" class={isDanger ? "item danger" : "item"} disabled={disabled} onClick={onClick}>
			{text}
		</button>
	);
}

/* ---- the conversation ---- */

function Menu({ home, id, show, close }: PartProps): VNode {
	const { pinned, archived, settings } = home.writer.conversation(id)?.fields ?? {};
	const isFollowing = settings?.primary === FOLLOWS_TYPING;
	const hasSession = home.link === "up" && home.room?.sessionId != null;
	const change = (fields: { pinned?: boolean; archived?: boolean }) => {
		void home.writer.change(id, fields);
		close();
	};
	return (
		<>
			<Item text="Rename" onClick={() => show({ what: "rename" })} />
			<Item text={pinned ? "Unpin" : "Pin"} onClick={() => change({ pinned: !pinned })} />
			<Item text={archived ? "Take out of the archive" : "Archive"} onClick={() => change({ archived: !archived })} />
			<button
				type="button"
				class="item"
				role="switch"
				aria-checked={isFollowing}
				onClick={() => void home.writer.change(id, { settings: { primary: isFollowing ? null : FOLLOWS_TYPING } })}
			>
				The device I type on drives
			</button>
			<Item text="Queue" disabled={!hasSession} onClick={() => show({ what: "queue" })} />
			<Item text="New session" disabled={!hasSession} onClick={() => show({ what: "clear" })} />
		</>
	);
}

function Rename({ home, id, close }: PartProps): VNode {
	const [title, setTitle] = useState(titleOf(home, id));
	const save = (text: string) => {
		if (text.trim() !== "") void home.writer.change(id, { title: text.trim() });
		close();
	};
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				save(title);
			}}
		>
			<input
				aria-label="Title"
				value={title}
				maxLength={200}
				dir="auto"
				onInput={(event) => setTitle(event.currentTarget.value)}
			/>
			<div class="row">
				<button type="submit" class="primary" disabled={title.trim() === ""}>
					Save
				</button>
			</div>
			<Past home={home} recordName={id} field="title" onRestore={save} />
		</form>
	);
}

function Clear({ home, close }: PartProps): VNode {
	return (
		<>
			<p>
				A running answer is stopped, and the model starts without what was said. This device drops its copy; other
				devices keep theirs until they clear it.
			</p>
			<div class="row">
				<button type="button" onClick={close}>
					Cancel
				</button>
				<button
					type="button"
					class="primary"
					onClick={() => {
						void home.clear();
						close();
					}}
				>
					Start a new session
				</button>
			</div>
		</>
	);
}

function Driver({ home, close }: PartProps): VNode {
	const { room } = home;
	if (!room) return <p>This conversation has no session yet.</p>;
	const isHere = room.primary.deviceId === home.deviceId;
	const others = room.joined.filter((one) => one !== home.deviceId);
	const act = (action: object) => {
		void home.act({ type: "device:primary", sessionId: room.sessionId, ...action });
		close();
	};
	return (
		<>
			<p>Every device can write. The one that drives the session also sends its automatic messages.</p>
			{!isHere && <Item text="Drive from here" onClick={() => act({ action: "request", take: true })} />}
			{isHere &&
				others.map((one) => (
					<Item
						key={one}
						text={`Hand over to ${home.nameOf(one)}`}
						onClick={() => act({ action: "transfer", toDeviceId: one })}
					/>
				))}
			{isHere && others.length === 0 && <p>No other device has this conversation open.</p>}
		</>
	);
}

/* ---- the queue ---- */

const CLASS_TEXT = ["goes first", "", "can wait"]; // by priority

function QueueItem({ home, entry, isRunning }: { home: Home; entry: QueueEntry; isRunning: boolean }): VNode {
	const { sessionId } = home.room!;
	const { requestId, messageId, priority } = entry;
	const text = home.records.message(messageId)?.fields.text.slice(0, 80) ?? "";
	const mark = isRunning ? "being answered" : entry.state === "retrying" ? "tried again" : CLASS_TEXT[priority];
	return (
		<li>
			<span dir="auto">{text}</span>
			{mark && <small>{mark}</small>}
			{!isRunning && priority > 0 && (
				<button
					type="button"
					class="quiet"
					aria-label={`Earlier: ${text}`}
					onClick={() => void home.act({ type: "queue:reorder", sessionId, requestId, priority: priority - 1 })}
				>
					↑
				</button>
			)}
			{!isRunning && (
				<button
					type="button"
					class="quiet"
					aria-label={`Remove: ${text}`}
					onClick={() => void home.act({ type: "queue:remove", sessionId, requestId })}
				>
					Remove
				</button>
			)}
		</li>
	);
}

function QueueList({ home }: PartProps): VNode {
	const { room } = home;
	if (!room?.queue || room.sessionId === null) return <p>Nothing is known of the queue while offline.</p>;
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
				<QueueButtons home={home} sessionId={room.sessionId} isPaused={paused} waiting={waiting.length} />
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
					<button type="button" class="quiet" onClick={() => onRestore(one.fields.value as string)}>
						Restore
					</button>
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
		<>
			<p>The message is deleted on every device.</p>
			<div class="row">
				<button type="button" onClick={close}>
					Cancel
				</button>
				<button
					type="button"
					class="danger"
					onClick={() => {
						void home.writer.remove(message);
						close();
					}}
				>
					Delete for everybody
				</button>
			</div>
		</>
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

const TITLE = {
	menu: "Conversation",
	rename: "Rename",
	clear: "New session",
	driver: "Who drives",
	queue: "Queue",
	message: "Message",
	edit: "Edit",
	delete: "Delete",
	history: "History",
};

const PARTS = { menu: Menu, rename: Rename, clear: Clear, driver: Driver, queue: QueueList };
const MESSAGE_PARTS = { message: Actions, edit: Edit, delete: Delete, history: History };

interface SheetsProps {
	home: Home;
	id: string;
	at: Shown;
	show: (sheet: Shown | null) => void;
}

export function Sheets({ home, id, at, show }: SheetsProps): VNode {
	const close = () => document.querySelector<HTMLDialogElement>("dialog[open]")?.close();
	const part = { home, id, show, close };
	const content = () => {
		if (!("name" in at)) {
			const Part = PARTS[at.what];
			return <Part {...part} />;
		}
		const message = home.records.message(at.name);
		const Part = MESSAGE_PARTS[at.what];
		return message ? <Part {...part} message={message} /> : <p>This message was deleted.</p>;
	};
	return (
		<Sheet title={TITLE[at.what]} onClose={() => show(null)}>
			<Fragment key={at.what}>{content()}</Fragment>
		</Sheet>
	);
}
