/* One conversation: its messages in the daemon's order, the answers that are running, and what waits to be sent. A
 * request that ended without an answer stays under its question. */

import { Fragment, type VNode } from "preact";
import { AutoLine } from "./auto";
import { Composer } from "./composer";
import { Quiet } from "./controls";
import { Head } from "./head";
import { useLayoutEffect, useRef, useState } from "./hooks";
import { Running, Settled, Waiting } from "./message";
import { Answered, Question, questionText } from "./question";
import { Sheets, type Shown } from "./sheets";
import { QueueLine } from "./strip";
import { shortTime } from "./words";
import type { Home, RequestView } from "../home";
import { remarks } from "../why";
import { isRunning, type Message, type Permission } from "../wire";

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

/* What is to be said of an answer besides its text. What its request cost stands with the newest. */
function remarksOf(home: Home, message: Message): string {
	const { role, requestId, attempt } = message.fields;
	const request = role === "assistant" && requestId ? home.records.request(requestId) : undefined;
	if (!request) return "";
	const { cost, ...fields } = request.fields;
	const isLast = home.records.answer(requestId!) === message;
	return remarks(isLast ? { ...fields, cost } : fields, attempt).join("\n");
}

interface MessagesProps {
	home: Home;
	messages: Message[];
	ended: RequestView[];
	asked: Permission[]; // questions that are over
	onActions: (message: Message) => void;
}

function Messages({ home, messages, ended, asked, onActions }: MessagesProps): VNode {
	const lastSession = messages.at(-1)?.fields.sessionId;
	const questionOf = ({ fields }: Permission) => home.records.request(fields.requestId)?.fields.messageId;
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
						remarks={remarksOf(home, one)}
						edit={home.writer.pending(one)}
						isConflicted={home.records.revisions(one.name, "text").some((old) => old.fields.conflict)}
						onActions={onActions}
					/>
					{asked.map(
						(each) =>
							questionOf(each) === one.name && <Answered key={each.name} home={home} permission={each} />,
					)}
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
	const asked = home.records.permissionsOf(id);
	const questions = asked.filter((one) => one.fields.state === "open");
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
						asked={asked.filter((one) => one.fields.state !== "open")}
						onActions={(message) => setSheet({ what: "message", name: message.name })}
					/>
					{running.map((view) => (
						<Running key={view.requestId} home={home} view={view} />
					))}
					{questions.map((one) => (
						<Question key={one.name} home={home} permission={one} />
					))}
					{entries.map((entry) => (
						<Waiting key={entry.id} home={home} entry={entry} />
					))}
				</div>
			</div>
			<p class="unseen" role="alert">
				{questions[0] && questionText(home, questions[0])}
			</p>
			<div class="strips">
				{isAway && (
					<button type="button" class="toend" onClick={toEnd}>
						{questions.length > 0 ? "A question" : "Latest"} ↓
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
