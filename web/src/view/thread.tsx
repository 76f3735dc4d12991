/* One conversation: its messages in the daemon's order, the answers that are running, and what waits to be sent. A
 * request that ended without an answer stays under its question. */

import { Fragment, type VNode } from "preact";
import { Composer } from "./composer";
import { memo, useLayoutEffect, useNow, useRef, useState } from "./hooks";
import { newConversation, shortTime, titleOf } from "./list";
import { Markdown } from "./text";
import type { Draft } from "../db";
import type { Home, RequestView } from "../home";
import { go } from "../route";
import { errorText, isRunning, sentence, type Message } from "../wire";

const PAGE = 100; // messages drawn at first, and with every "Earlier messages"
const NEAR_PX = 80; // this close to the end, the view follows new text

const STATE_TEXT: { [state: string]: string } = {
	queued: "Waiting for its turn",
	claimed: "Waiting for the model",
	streaming: "Answering",
	retrying: "The model failed",
	failed: "No answer",
	stopped: "Stopped",
};

/* A settled message. Drawn again only when its record, its sender's name or its attempt's ending changed. */
const Settled = memo(
	({ home, message, device, ending }: SettledProps) => {
		const { role, text, status, model } = message.fields;
		return (
			<article class={role} data-message={message.name} data-status={status}>
				<div class="body">{role === "user" ? <p dir="auto">{text}</p> : <Markdown text={text} />}</div>
				<footer>
					{status === "interrupted" && <span class="mark">Stopped</span>}
					{status === "failed" && <span class="mark">Broke off. {sentence(errorText(ending?.error))}</span>}
					<span>{role === "user" ? device : (model ?? "")}</span>
					<time dateTime={message.created.at}>{shortTime(message.created.at)}</time>
					{ending && (
						<button type="button" class="quiet retry" onClick={() => void home.retry(ending.requestId)}>
							Try again
						</button>
					)}
				</footer>
			</article>
		);
	},
	(a, b) => a.message === b.message && a.device === b.device && a.ending?.state === b.ending?.state,
);

interface SettledProps {
	home: Home;
	message: Message;
	device: string;
	ending: RequestView | null; // of the attempt that left this message, when it may be tried again
}

function Countdown({ until }: { until: string }): VNode {
	const seconds = Math.max(0, Math.ceil((Date.parse(until) - useNow()) / 1000));
	return <>{seconds > 0 ? `; next try in ${seconds} s` : "; trying again"}</>;
}

/* A request without a final answer: its text so far, what it waits for, and the way to stop or retry it. */
function Running({ home, view }: { home: Home; view: RequestView }): VNode {
	const stream = home.streams.get(view.requestId);
	const hasText = stream !== undefined && stream.text !== "";
	const canStop = isRunning(view.state);
	const isStopping = home.stopping.has(view.requestId);
	/* On disk a streaming request is a claimed one; its text says more. */
	const state = hasText && view.state === "claimed" ? "streaming" : view.state;
	const error = view.state === "stopped" ? "" : errorText(view.error);
	return (
		<article class="assistant running" data-request={view.requestId} data-state={view.state}>
			{stream && stream.thinking !== "" && (
				<details class="thinking">
					<summary>Thinking</summary>
					<Markdown text={stream.thinking} />
				</details>
			)}
			{hasText && (
				<div class="body">
					<Markdown text={stream.text} />
				</div>
			)}
			<footer>
				<span class={canStop ? "state live" : "state failed"}>
					{isStopping ? "Stopping" : STATE_TEXT[state]}
					{error && `: ${error}`}
					{view.state === "retrying" && view.nextTryAt && <Countdown until={view.nextTryAt} />}
				</span>
				{canStop ? (
					<button
						type="button"
						class="quiet stop"
						disabled={isStopping}
						onClick={() => void home.stop(view.requestId)}
					>
						Stop
					</button>
				) : (
					<button type="button" class="quiet retry" onClick={() => void home.retry(view.requestId)}>
						Try again
					</button>
				)}
			</footer>
		</article>
	);
}

/* A message of this device that the daemon has not got yet, or refused. */
function Waiting({ home, draft }: { home: Home; draft: Draft }): VNode {
	return (
		<article class={draft.error ? "user refused" : "user pending"} data-message={draft.messageId}>
			<div class="body">
				<p dir="auto">{draft.text}</p>
			</div>
			<footer>
				{draft.error ? (
					<>
						<span class="state failed" role="alert">
							Not sent: {draft.error.message}
						</span>
						<button type="button" class="quiet" onClick={() => void home.sendAgain(draft)}>
							{draft.error.code === "duplicate_message" ? "Send anyway" : "Send again"}
						</button>
						<button type="button" class="quiet" onClick={() => home.discard(draft)}>
							Discard
						</button>
					</>
				) : (
					<span class="state">
						{home.isAcked(draft) ? "Sent" : home.link === "up" ? "Sending" : "Waiting to be sent"}
					</span>
				)}
			</footer>
		</article>
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
	const { box, onScroll, isAway, toEnd } = useFollow(id);
	useLayoutEffect(() => setShown(PAGE), [id]);

	const open = home.openRequests(id);
	const running = open.filter((view) => isRunning(view.state));
	const ended = open.filter((view) => !isRunning(view.state));
	const all = home.records.messages(id);
	const messages = all.slice(-shown);
	const drafts = home.outbox.filter(
		(draft) => draft.conversationId === id && !home.records.message(draft.messageId),
	);

	return (
		<section class="thread" aria-label="Conversation">
			<header>
				<button
					type="button"
					class="quiet back"
					aria-label="Back to the list"
					onClick={() => go({ screen: "list" })}
				>
					‹
				</button>
				<h2 dir="auto">{titleOf(home, id)}</h2>
				<button type="button" class="quiet narrow" onClick={newConversation}>
					New
				</button>
			</header>
			<div class="messages" ref={box} onScroll={onScroll} tabIndex={0}>
				<div role="log" aria-live="polite" aria-busy={running.length > 0}>
					{all.length > shown && (
						<button type="button" class="quiet earlier" onClick={() => setShown(shown + PAGE)}>
							Earlier messages
						</button>
					)}
					{messages.map((one, i) => (
						<Fragment key={one.name}>
							{i > 0 && one.fields.sessionId !== messages[i - 1]!.fields.sessionId && (
								<hr title="The session was cleared here" />
							)}
							<Settled
								home={home}
								message={one}
								device={home.records.device(one.created.deviceId)?.fields.name ?? ""}
								ending={home.ending(one)}
							/>
							{ended.map(
								(view) =>
									view.messageId === one.name && (
										<Running key={view.requestId} home={home} view={view} />
									),
							)}
						</Fragment>
					))}
					{running.map((view) => (
						<Running key={view.requestId} home={home} view={view} />
					))}
					{drafts.map((draft) => (
						<Waiting key={draft.messageId} home={home} draft={draft} />
					))}
				</div>
			</div>
			{isAway && (
				<button type="button" class="toend" onClick={toEnd}>
					Latest ↓
				</button>
			)}
			<Composer key={id} home={home} id={id} running={running} onSent={toEnd} />
		</section>
	);
}
