/* What travels between the page and the daemon: the frames and records of device protocol v1 that the page uses.
 *
 * Types only describe what the daemon promises; nothing here is trusted for safety. Text from a record or a delta is
 * only ever put into text nodes. */

export interface Origin {
	at: string; // RFC 3339, UTC
	userId: string;
	deviceId: string;
}

export interface WireRecord<F = Record<string, unknown>> {
	type: string;
	name: string;
	changeTag: string;
	created: Origin;
	modified: Origin;
	deleted?: boolean;
	fields: F;
}

export interface MessageFields {
	conversationId: string;
	sessionId?: string;
	ord: number;
	role: "user" | "assistant" | "system";
	text: string;
	requestId?: string | null; // the request that asks for an answer to it, or that it answers
	attempt?: number; // of an answer: which try it came from
	status?: "complete" | "interrupted" | "failed";
	model?: string | null;
}

export interface ConversationFields {
	title?: string;
	currentSessionId?: string;
	model?: string | null;
}

export interface SessionFields {
	conversationId: string;
	state: "active" | "killed";
}

export interface RequestFields {
	conversationId: string;
	messageId: string; // the message to be answered
	replyId?: string | null;
	state: RequestState;
	attempt: number;
	stopRequested?: boolean;
	error?: unknown;
	nextTryAt?: string | null;
	model?: string | null;
}

export interface DeviceFields {
	name?: string;
	platform?: string;
	lastSeen?: string;
}

export type Message = WireRecord<MessageFields>;
export type Conversation = WireRecord<ConversationFields>;
export type Request = WireRecord<RequestFields>;
export type Device = WireRecord<DeviceFields>;

export type RequestState = "queued" | "claimed" | "streaming" | "retrying" | "done" | "failed" | "stopped";

export type StreamKind = "text" | "thinking";

export interface Delta {
	requestId: string;
	messageId?: string;
	attempt: number;
	offset: number; // UTF-8 bytes from the start of this attempt's text of this kind
	text: string;
	kind: StreamKind;
}

export interface RequestPush {
	requestId: string;
	state: RequestState;
	attempt: number;
	error?: unknown;
	nextTryAt?: string | null;
	model?: string | null;
}

export interface Frame {
	type: string;
	id?: number;
	re?: number;
	[field: string]: unknown;
}

export interface Model {
	id: string;
	provider?: string;
	default?: boolean;
}

/* An error frame, or the HTTP twin's {"error":{…}}. `details` is the whole object, for the fields a code adds. */
export class WireError extends Error {
	code: string;
	retryable: boolean;
	retryAfterMs: number;
	details: Record<string, unknown>;

	constructor(from: Record<string, unknown>) {
		super(
			typeof from.message === "string" && from.message !== ""
				? from.message
				: String(from.code ?? "unknown error"),
		);
		this.code = String(from.code ?? "internal");
		this.retryable = from.retryable === true;
		this.retryAfterMs = typeof from.retryAfterMs === "number" ? from.retryAfterMs : 0;
		this.details = from;
	}
}

/* The sentence in a request's `error`, which is an object {code, message} or a plain string. */
export function errorText(error: unknown): string {
	if (typeof error === "string") return error;
	if (error !== null && typeof error === "object") {
		const { message, code } = error as { message?: unknown; code?: unknown };
		if (typeof message === "string" && message !== "") return message;
		if (typeof code === "string") return code;
	}
	return "";
}

/* An error's text as a sentence for a person: the daemon's own have no capital and no stop. */
export function sentence(text: string): string {
	return text === "" ? "" : text[0]!.toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/* States in which there is something to stop. */
export function isRunning(state: RequestState): boolean {
	return state === "queued" || state === "claimed" || state === "streaming" || state === "retrying";
}
