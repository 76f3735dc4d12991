/* One conversation: its messages in the daemon's order, the answers that are running, and what waits to be sent. A
 * request that ended without an answer stays under its question. */

import { Fragment, type VNode } from "preact";
import { AutoLine } from "./auto";
import { Composer } from "./composer";
import { Quiet } from "./controls";
import { Head } from "./head";
import { useLayoutEffect, useRef, useState } from "./hooks";
import { Running, Settled, Waiting } from "./message";
import { Sheets, type Shown } from "./sheets";
import { QueueLine } from "./strip";
import { shortTime } from "./words";
import type { Home, RequestView } from "../home";
import { isRunning, type Message } from "../wire";

const PAGE = 100; // messages drawn at first, and with every "Earlier messages"
const NEAR_PX = 80; // this close to the end, the view follows new text

/* Between the messages of two sessions, and behind the last when its session is over: who ended it. */
function Cleared({ home, sessionId }: { home: Home; sessionId: string | undefined }): VNode {
	const { killedBy, killedAt } = home.records.session(sessionId ?? "")?.fields ?? {};
	return (
		<p class="cleared">
			Cleared
			{killedBy && ` on ${home.nameOf(killedBy)}`}
			{killedAt && `, ${shortTime(killedAt)}`}
		</p>
	);
}

/* The messages that this device shows: not those hidden on it, nor those it has just deleted. */
function isShown(home: Home, message: Message): boolean {
	const isHidden = message.fields.hiddenBy?.includes(home.deviceId) ?? false;
	return !isHidden && home.writer.pending(message)?.frame.type !== "message:delete";
}

interface MessagesProps {
	home: Home;
	messages: Message[];
	ended: RequestView[];
	onActions: (message: Message) => void;
}

function Messages({ home, messages, ended, onActions }: MessagesProps): VNode {
	const lastSession = messages.at(-1)?.fields.sessionId;
	return (
		<>
			{messages.map((one, i) => (
				<Fragment key={one.name}>
					{i > 0 && one.fields.sessionId !== messages[i - 1]!.fields.sessionId && (
						<Cleared home={home} sessionId={messages[i - 1]!.fields.sessionId} />
					)}
					<Settled
						home={home}
						message={one}
						device={home.records.device(one.created.deviceId)?.fields.name ?? ""}
						ending={home.ending(one)}
						edit={home.writer.pending(one)}
						isConflicted={home.records.revisions(one.name, "text").some((old) => old.fields.conflict)}
						onActions={onActions}
					/>
					{ended.map(
						(view) =>
							view.messageId === one.name && <Running key={view.requestId} home={home} view={view} />,
					)}
				</Fragment>
			))}
			{home.records.session(lastSession ?? "")?.fields.state === "killed" && (
				<Cleared home={home} sessionId={lastSession} />
			)}
		</>
	);
}

/* Keeps the end in view while a person is there, and leaves them alone while they read further up. */
function useFollow(key: string) {
	const box = useRef<HTMLDivElement>(null);
	const isFollowing = useRef(true);
	const [isAway, setAway] = useState(false);
	const onScroll = () => {
		const { scrollHeight, scrollTop, clientHeight } = box.current!;
		isFollowing.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
		setAway(!isFollowing.current);
	};
	const toEnd = () => {
		isFollowing.current = true;
		box.current!.scrollTop = box.current!.scrollHeight;
		setAway(false);
	};
	useLayoutEffect(() => {
		isFollowing.current = true;
	}, [key]);
	useLayoutEffect(() => {
		if (isFollowing.current && box.current) box.current.scrollTop = box.current.scrollHeight;
	});
	return { box, onScroll, isAway, toEnd };
}

export function Thread({ home, id }: { home: Home; id: string }): VNode {
	const [shown, setShown] = useState(PAGE);
	const [sheet, setSheet] = useState<Shown | null>(null);
	const { box, onScroll, isAway, toEnd } = useFollow(id);
	useLayoutEffect(() => {
		setShown(PAGE);
		setSheet(null);
	}, [id]);

	const open = home.openRequests(id);
	const running = open.filter((view) => isRunning(view.state));
	const all = home.records.messages(id);
	const entries = home.writer.outbox
		.of(id)
		.filter((entry) =>
			entry.frame.type === "message:send" ? !home.records.message(entry.id) : entry.error !== undefined,
		);

	return (
		<section class="thread" aria-label="Conversation">
			<Head home={home} id={id} show={setSheet} />
			<div class="messages" ref={box} onScroll={onScroll} tabIndex={0}>
				<div role="log" aria-live="polite" aria-busy={running.length > 0}>
					{all.length > shown && (
						<Quiet class="quiet earlier" onClick={() => setShown(shown + PAGE)}>
							Earlier messages
						</Quiet>
					)}
					<Messages
						home={home}
						messages={all.slice(-shown).filter((one) => isShown(home, one))}
						ended={open.filter((view) => !isRunning(view.state))}
						onActions={(message) => setSheet({ what: "message", name: message.name })}
					/>
					{running.map((view) => (
						<Running key={view.requestId} home={home} view={view} />
					))}
					{entries.map((entry) => (
						<Waiting key={entry.id} home={home} entry={entry} />
					))}
				</div>
			</div>
			<div class="strips">
				{isAway && (
					<button type="button" class="toend" onClick={toEnd}>
						Latest ↓
					</button>
				)}
				<AutoLine home={home} show={setSheet} />
				<QueueLine home={home} show={setSheet} />
			</div>
			<Composer key={id} home={home} id={id} running={running} onSent={toEnd} />
			{sheet && <Sheets home={home} id={id} at={sheet} show={setSheet} />}
		</section>
	);
}
