/* A command-line agent's question whether it may use a tool, and what became of it.
 *
 * What it wants to do is what the agent says, and it may mean harm: all of it is shown, as text, and characters that do
 * not show themselves or turn the order of others round are written as their numbers. */

import type { VNode } from "preact";
import { Quiet } from "./controls";
import { useNow, useState } from "./hooks";
import { shortTime } from "./words";
import { CALM_MS, type Home } from "../home";
import type { Permission } from "../wire";
import { left, served } from "../why";

const FOLDED_LINES = 12;
const FOLDED_LENGTH = 600;

const UNSEEN = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{DI}\p{Co}\p{Cs}]/gu;

/* Text of which a person sees each character. */
export function visible(text: string): string {
	return text.replace(UNSEEN, (one) => `\\u{${one.codePointAt(0)!.toString(16)}}`);
}

/* The first lines of a text that is too long to be looked at without being asked for. */
function folded(text: string): string {
	const lines = text.slice(0, FOLDED_LENGTH).split("\n").slice(0, FOLDED_LINES).join("\n");
	return text.length <= FOLDED_LENGTH + 100 && text.split("\n").length <= FOLDED_LINES + 2 ? text : lines;
}

function Input({ input }: { input: unknown }): VNode {
	const [isOpen, setOpen] = useState(false);
	const all = visible(JSON.stringify(input, null, 2) ?? "");
	const short = folded(all);
	const rest = all.length - short.length;
	return (
		<>
			<pre tabIndex={0} aria-label="What it would do">
				<code dir="ltr">
					{isOpen ? all : short}
					{!isOpen && rest > 0 && "…"}
				</code>
			</pre>
			{rest > 0 && (
				<Quiet aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
					{isOpen ? "Show less" : `Show all: ${rest} more characters`}
				</Quiet>
			)}
		</>
	);
}

function whoAsks(home: Home, { fields }: Permission): string {
	return served(home.records.request(fields.requestId)?.fields ?? {}).model || "The agent";
}

/* The same as a sentence. */
export function questionText(home: Home, permission: Permission): string {
	return `${whoAsks(home, permission)} asks whether it may use ${visible(permission.fields.tool)}`;
}

function Timer({ home, until }: { home: Home; until: string }): VNode {
	const ms = Date.parse(until) - useNow() - home.skewMs;
	return <small role="timer">{ms > 0 ? `Refused in ${left(ms)}` : "Its time is over"}</small>;
}

/* An open one. Whether its time is over is the daemon's to say. */
export function Question({ home, permission }: { home: Home; permission: Permission }): VNode {
	const { name, fields } = permission;
	const isCalm = Date.now() - home.askedAt >= CALM_MS;
	const canAnswer = home.link === "up" && isCalm && !home.answering.has(name);
	const answer = (event: Event, allow: boolean) => {
		if (!canAnswer) return;
		(event.currentTarget as HTMLElement).closest<HTMLElement>(".messages")?.focus({ preventScroll: true });
		void home.answerQuestion(name, allow);
	};
	const tool = visible(fields.tool);
	return (
		<section class="question" aria-label={questionText(home, permission)} data-permission={name}>
			<p>
				<b>{whoAsks(home, permission)}</b> asks whether it may use <b dir="auto">{tool}</b>
			</p>
			<Input input={fields.input} />
			<div class="row">
				{home.link === "up" ? <Timer home={home} until={fields.expiresAt} /> : <small>Needs the connection</small>}
				<button type="button" aria-label={`Refuse ${tool}`} aria-disabled={!canAnswer} onClick={(e) => answer(e, false)}>
					Refuse
				</button>
				<button
					type="button"
					class="primary"
					aria-label={`Allow ${tool}`}
					aria-disabled={!canAnswer}
					onClick={(e) => answer(e, true)}
				>
					Allow
				</button>
			</div>
		</section>
	);
}

const ENDED_TEXT = { open: "", allowed: "allowed", denied: "refused", expired: "not answered" };

/* One that is over: a line, with what was asked in it. */
export function Answered({ home, permission }: { home: Home; permission: Permission }): VNode {
	const { tool, input, state, by, answeredAt, askedAt } = permission.fields;
	const who = by === home.deviceId ? "this device" : by && home.nameOf(by);
	return (
		<details class="answered" data-permission={permission.name}>
			<summary>
				<span dir="auto">{visible(tool)}</span>: {ENDED_TEXT[state]}
				{who && ` on ${who}`}, {shortTime(answeredAt ?? askedAt)}
			</summary>
			<Input input={input} />
		</details>
	);
}
