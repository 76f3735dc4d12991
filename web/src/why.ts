/* Why a request waits, and what is to be said of an answer besides its text: in words, for a person.
 *
 * Pure. What is known comes from the Request record and from what is pushed about it. */

import type { Attempt, Pacing, RequestFields } from "./wire";

const TICKS_PER_USD = 1e10;

/* What a provider has too little of, by what the request waits for. */
const LIMIT_TEXT: { [why: string]: string } = {
	requests: "requests",
	tokens: "tokens",
	input_tokens: "tokens in",
	output_tokens: "tokens out",
};

/* Classes of errors that are tried again; of others the error's own sentence says enough. */
const CLASS_TEXT: { [name: string]: string } = {
	network: "not reached",
	timeout: "too slow",
	interrupted: "broken off",
	server_error: "failed",
	rate_limit: "rate limit",
	overloaded: "overloaded",
};

/* Who is to answer, and instead of whom when that is not who was asked. */
export function served(fields: Partial<RequestFields>): { model: string; insteadOf: string } {
	const { model, servingModel, modelAsked, modelBy } = fields;
	const asked = (modelBy === "fallback" && modelAsked) || model || "";
	const by = servingModel || model || "";
	return { model: by, insteadOf: by === asked ? "" : asked };
}

/* "12 s", "3 min", "2 h": what is left of a wait, never less than it is. */
export function left(ms: number): string {
	const s = Math.ceil(ms / 1000);
	if (s < 120) return `${s} s`;
	return s < 7200 ? `${Math.ceil(s / 60)} min` : `${Math.ceil(s / 3600)} h`;
}

/* "openai takes no more requests this minute; next try in 12 s" */
export function paced({ untilAt, why }: Pacing, provider: string, nowMs: number): string {
	const ms = Date.parse(untilAt) - nowMs;
	const who = provider || "the provider";
	const what =
		why === "circuit"
			? `${who} does not work and is left alone`
			: `${who} takes no more ${LIMIT_TEXT[why] ?? "calls"} this minute`;
	return `${what}; ${ms > 0 ? `next try in ${left(ms)}` : "it goes soon"}`;
}

interface Failure {
	attempt: number; // that failed
	errorClass: string;
	nextTryAt: string | null;
}

/* "Trying again in 8 s (attempt 3: overloaded)" */
export function again({ attempt, errorClass, nextTryAt }: Failure, nowMs: number): string {
	const ms = nextTryAt === null ? 0 : Date.parse(nextTryAt) - nowMs;
	const what = CLASS_TEXT[errorClass];
	return `Trying again${ms > 0 ? ` in ${left(ms)}` : ""} (attempt ${attempt + 1}${what ? `: ${what}` : ""})`;
}

/* What of the conversation the model was not given. */
export function unfit(context: Attempt["context"]): string {
	if (!context) return "";
	const { leftOut, summarised, cut } = context;
	if (leftOut === 0) return cut ? "older messages did not fit" : "";
	const n = `${leftOut}${cut ? " or more" : ""} older ${leftOut === 1 ? "message" : "messages"}`;
	return summarised ? `${n} given as a summary` : `${n} did not fit`;
}

/* "$0.12"; "about" when it was counted here, "at least" when of a part nobody knows. */
export function price(cost: RequestFields["cost"]): string {
	if (!cost || cost.ticks <= 0) return "";
	const usd = cost.ticks / TICKS_PER_USD;
	if (usd < 0.0001) return "less than $0.0001";
	const sum = `$${usd.toFixed(4).replace(/0{1,2}$/, "")}`;
	return cost.partial ? `at least ${sum}` : cost.reported ? sum : `about ${sum}`;
}

/* Of an answer that attempt `attempt` gave. */
export function remarks(fields: RequestFields, attempt: number | undefined): string[] {
	const { insteadOf } = served(fields);
	const one = fields.attempts?.find((each) => each.attempt === attempt);
	return [
		insteadOf && `instead of ${insteadOf}`,
		unfit(one?.context),
		one?.agentSessionLost && "told the whole conversation again",
		price(fields.cost),
	].filter((text): text is string => !!text);
}
