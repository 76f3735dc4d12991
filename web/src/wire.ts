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
	auto?: boolean; // no person wrote it
	stamps?: Stamps;
	editedAt?: string;
	hiddenBy?: string[]; // devices that do not show it
}

/* Of each field its stamp; of a field that is a set, the stamp of each element. */
export type Stamps = { [field: string]: string | { [element: string]: string } };

export interface ConversationFields {
	title?: string;
	currentSessionId?: string;
	model?: string | null;
	pinned?: boolean;
	archived?: boolean;
	projectId?: string | null;
	settings?: { primary?: string };
	stamps?: Stamps;
}

export interface ProjectFields {
	title?: string;
	state?: "active" | "archived";
	stamps?: Stamps;
}

export interface SessionFields {
	conversationId: string;
	state: "active" | "killed";
	killedAt?: string;
	killedBy?: string; // the device
}

/* A value that a field of a record does not hold any more, or never did. */
export interface RevisionFields {
	recordType: string;
	recordName: string;
	conversationId?: string;
	field: string;
	value: unknown;
	stamp: string;
	deviceId: string;
	at: string;
	conflict?: boolean; // nobody had seen it when it lost its place
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
	servingModel?: string; // who answers instead of `model`
	modelAsked?: string; // the name that became `model`, when it was another,
	modelBy?: string; // and how: id, alias, family, fallback
	cost?: { ticks: number; reported: boolean; partial?: boolean }; // of all attempts; 10⁻¹⁰ USD
	attempts?: Attempt[]; // those that ended, the last of them
}

/* One try at a request that is over. */
export interface Attempt {
	attempt: number;
	context?: { leftOut: number; summarised: boolean; cut?: boolean }; // what of the conversation did not fit
	agentSessionLost?: boolean; // a command-line agent had forgotten the conversation
	error?: { class?: string };
}

/* A command-line agent's question whether it may use a tool. */
export interface PermissionFields {
	requestId: string;
	conversationId: string;
	sessionId?: string;
	tool: string;
	input: unknown; // the tool's
	askedAt: string;
	expiresAt: string; // then it is refused
	state: "open" | "allowed" | "denied" | "expired";
	by?: string; // the device that answered
	answeredAt?: string;
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
export type Session = WireRecord<SessionFields>;
export type Project = WireRecord<ProjectFields>;
export type Revision = WireRecord<RevisionFields>;
export type Permission = WireRecord<PermissionFields>;

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
	servingModel?: string;
	provider?: string;
	pacing?: Pacing;
}

/* What a request waits for besides its turn: a limit a minute, or a provider that does not work (`circuit`). */
export interface Pacing {
	untilAt: string; // the earliest that it can be
	why: "requests" | "tokens" | "input_tokens" | "output_tokens" | "circuit";
}

export interface Frame {
	type: string;
	id?: number;
	re?: number;
	[field: string]: unknown;
}

/* A device of the user as device:list tells it. */
export interface DeviceState {
	deviceId: string;
	name: string;
	platform: string;
	online: boolean;
	lastSeen: string;
	primaryOf: string[];
}

export interface Primary {
	deviceId: string | null;
	term: number;
}

export interface Lock {
	deviceId: string;
	fence: number;
	expiresAt: string;
}

export interface QueueEntry {
	requestId: string;
	messageId: string;
	deviceId?: string;
	state: RequestState;
	priority: number; // 0 goes first, 2 last
}

export interface Queue {
	paused: boolean;
	running: QueueEntry[];
	waiting: QueueEntry[]; // first the one that is next
	dead: QueueEntry[];
}

/* An automatic run, as auto:state tells it. */
export interface Auto {
	state: "none" | "running" | "paused" | "stopped";
	sent: number;
	limits: { maxMessages: number };
	reason?: string;
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
