/* The parts of a thread: a settled message, a request that has no final answer, and what waits in the outbox. */

import type { VNode } from "preact";
import { Quiet } from "./controls";
import { memo, useNow } from "./hooks";
import { Markdown } from "./text";
import { reason, shortTime } from "./words";
import type { Entry } from "../db";
import type { Home, RequestView } from "../home";
import { again, paced } from "../why";
import { errorText, isRunning, sentence, type Message } from "../wire";

const STATE_TEXT: { [state: string]: string } = {
	queued: "Waiting for its turn",
	claimed: "Waiting for the model",
	streaming: "Answering",
	failed: "No answer",
	stopped: "Stopped",
};

interface SettledProps {
	home: Home;
	message: Message;
	device: string;
	ending: RequestView | null; // of the attempt that left this message, when it may be tried again
	remarks: string; // on an answer: who gave it, what it cost, what its model was not given; parted by line feeds
	edit: Entry | undefined; // of this device, not sent yet
	isConflicted: boolean; // its history has a text that lost unseen
	onActions: (message: Message) => void;
}

/* A settled message. Drawn again only when something that it shows changed. */
export const Settled = memo(
	({ home, message, device, ending, remarks, edit, isConflicted, onActions }: SettledProps) => {
		const { role, status, model, auto, editedAt } = message.fields;
		const text = edit ? (edit.frame.text as string) : message.fields.text;
		return (
			<article class={edit ? `${role} pending` : role} data-message={message.name} data-status={status}>
				<div class="body">{role === "user" ? <p dir="auto">{text}</p> : <Markdown text={text} />}</div>
				<footer>
					{status === "interrupted" && <span class="mark">Stopped</span>}
					{status === "failed" && <span class="mark">Broke off. {sentence(errorText(ending?.error))}</span>}
					{edit && <span class="state">Edit not sent yet</span>}
					{auto && <span>automatic</span>}
					<span>{role === "user" ? device : (model ?? "")}</span>
					{remarks !== "" && remarks.split("\n").map((text) => <span key={text}>{text}</span>)}
					<time dateTime={message.created.at}>{shortTime(message.created.at)}</time>
					{editedAt && !edit && <span>{isConflicted ? "edited on two devices" : "edited"}</span>}
					{ending && (
						<Quiet class="quiet retry" onClick={() => void home.retry(ending.requestId)}>
							Try again
						</Quiet>
					)}
					<Quiet
						class="quiet more"
						aria-label="Message actions"
						aria-haspopup="dialog"
						onClick={() => onActions(message)}
					>
						⋯
					</Quiet>
				</footer>
			</article>
		);
	},
	(a, b) =>
		a.message === b.message &&
		a.device === b.device &&
		a.ending?.state === b.ending?.state &&
		a.remarks === b.remarks &&
		a.edit === b.edit &&
		a.isConflicted === b.isConflicted,
);

/* What a request that is not over is doing, or what it waits for. */
function Doing({ home, view, state }: { home: Home; view: RequestView; state: string }): VNode {
	const now = useNow() + home.skewMs;
	if (isRunning(view.state) && home.records.questions().some((one) => one.fields.requestId === view.requestId)) {
		return <>Waiting for your answer</>;
	}
	const instead = view.insteadOf && `${view.model} instead of ${view.insteadOf}`;
	if (state === "retrying") return <>{again(view, now) + (instead && `, ${instead}`)}</>;
	if (state === "queued" && view.pacing) return <>Waiting: {paced(view.pacing, view.provider, now)}</>;
	return <>{STATE_TEXT[state] + (instead && `: ${instead}`)}</>;
}

/* A request without a final answer: its text so far, what it waits for, and the way to stop or retry it. */
export function Running({ home, view }: { home: Home; view: RequestView }): VNode {
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
					{isStopping ? "Stopping" : <Doing home={home} view={view} state={state} />}
					{error && `: ${error}`}
				</span>
				{canStop ? (
					<Quiet
						class="quiet stop"
						disabled={isStopping}
						onClick={() => void home.stop(view.requestId)}
					>
						Stop
					</Quiet>
				) : (
					<Quiet class="quiet retry" onClick={() => void home.retry(view.requestId)}>
						Try again
					</Quiet>
				)}
			</footer>
		</article>
	);
}

/* What is said of an entry that was refused, by what it is. */
const REFUSED_TEXT: { [type: string]: string } = {
	"message:send": "Not sent",
	"message:edit": "Edit not saved",
	"message:delete": "Not deleted",
	"record:save": "Change not saved",
};

const AGAIN_TEXT: { [code: string]: string } = {
	duplicate_message: "Send anyway",
	session_killed: "Send to the new session",
};

/* A message of this device that the daemon has not got yet, or anything of this device that it refused. */
export function Waiting({ home, entry }: { home: Home; entry: Entry }): VNode {
	const { frame, error } = entry;
	const text = typeof frame.text === "string" ? frame.text : "";
	return (
		<article class={error ? "user refused" : "user pending"} data-message={entry.id}>
			{text !== "" && (
				<div class="body">
					<p dir="auto">{text}</p>
				</div>
			)}
			<footer>
				{error ? (
					<>
						<span class="state failed" role="alert">
							{REFUSED_TEXT[frame.type]}: {reason(home, error)}
						</span>
						<Quiet onClick={() => void home.writer.sendAgain(entry)}>
							{AGAIN_TEXT[error.code] ?? "Send again"}
						</Quiet>
						<Quiet onClick={() => home.writer.outbox.drop(entry.id)}>
							Discard
						</Quiet>
					</>
				) : (
					<span class="state">{home.link === "up" ? "Sending" : "Waiting to be sent"}</span>
				)}
			</footer>
		</article>
	);
}
