/* The page's one object: what this device knows, what it is doing about it, and what a person may ask of it.
 *
 * It owns the records, the running answers, the outbox and the link, and turns frames into changes of them. Screens
 * read it and call its verbs; after any change it tells its watcher, at most once per frame of the display.
 *
 * A message's way out: written to the outbox, sent, acked by the daemon once it is on disk there, and only then taken
 * from the outbox. Until the ack it is sent again, with the same id, after every reconnect; the daemon answers an id it
 * knows with the first ack. A refusal keeps the text here until the person decides. */

import { Db, type Draft } from "./db";
import { deviceGuess, uuid7 } from "./ids";
import { Link, type LinkOwner } from "./link";
import { Records } from "./records";
import { Streams, type Stream } from "./streams";
import {
	isRunning,
	sentence,
	WireError,
	type Delta,
	type Frame,
	type Message,
	type Model,
	type Request,
	type RequestPush,
	type RequestState,
	type StreamKind,
	type WireRecord,
} from "./wire";

declare const VERSION: string; // set by the bundler

export type Phase = "loading" | "pairing" | "ready";
export type LinkState = "connecting" | "up" | "down" | "replaced";

/* A request as it stands: the record, or what was pushed about it since. */
export interface RequestView {
	requestId: string;
	messageId: string;
	state: RequestState;
	attempt: number;
	error: unknown;
	nextTryAt: string | null;
}

/* What the page remembers about itself, in localStorage. No secret is among it. */
const KEY_DEVICE = "roost.deviceId";
const KEY_USER = "roost.userId";
const KEY_NAME = "roost.deviceName";
const KEY_MODEL = "roost.model";
const KEY_PARAMS = "roost.params";

const ACK_MS = 1000; // device:ack at most this often
const RESEND_MS = 3000; // before a message refused for a passing reason is tried again

export class Home implements LinkOwner {
	phase: Phase = "loading";
	link: LinkState = "connecting";
	notice = ""; // why the pairing screen is shown, or what went wrong last
	models: Model[] = [];
	outbox: Draft[] = [];
	openId: string | null = null; // the conversation on the screen
	stopping = new Set<string>(); // requests a stop was asked for
	readonly records = new Records();
	readonly streams = new Streams();

	#watcher: () => void;
	#db: Db | null = null;
	#socket: Link;
	#cursor: string | null = null;
	#limits: Record<string, number> = {};
	#pushes = new Map<string, RequestPush>();
	#joined: { conversationId: string; sessionId: string } | null = null;
	#joining: string | null = null;
	#inFlight = new Set<string>(); // messages sent on this connection and not answered yet
	#acked = new Set<string>(); // acked, but the record has not come yet
	#ackTimer = 0;
	#drawTimer = 0;

	constructor(watcher: () => void) {
		this.#watcher = watcher;
		this.#socket = new Link(this);
	}

	/* ---- this device ---- */

	get deviceId(): string {
		return localStorage.getItem(KEY_DEVICE) ?? "";
	}

	get deviceName(): string {
		return localStorage.getItem(KEY_NAME) ?? deviceGuess(navigator.userAgent);
	}

	/* Parameters given along with every request, as the person wrote them: a JSON object, or nothing. */
	get paramsText(): string {
		return localStorage.getItem(KEY_PARAMS) ?? "";
	}

	set paramsText(text: string) {
		if (text.trim() === "") localStorage.removeItem(KEY_PARAMS);
		else localStorage.setItem(KEY_PARAMS, text);
		this.changed();
	}

	chooseModel(id: string): void {
		localStorage.setItem(KEY_MODEL, id);
		this.changed();
	}

	/* The model the next message goes to: chosen here, else the conversation's, else the daemon's default. */
	modelFor(conversationId: string): string | null {
		const isAnyone = this.models.length === 0; // not asked yet: offline, what was chosen last is still right
		const known = (id: string) => isAnyone || this.models.some((model) => model.id === id);
		const own = this.records.conversation(conversationId)?.fields.model;
		const chosen = localStorage.getItem(KEY_MODEL);
		if (chosen && known(chosen)) return chosen;
		if (own && known(own)) return own;
		return (this.models.find((model) => model.default) ?? this.models[0])?.id ?? null;
	}

	/* ---- coming and going ---- */

	async start(): Promise<void> {
		let me: { userId: string; deviceId: string } | null = null;
		try {
			const answer = await fetch("/api/v1/me", { cache: "no-store" });
			if (answer.ok) me = (await answer.json()) as { userId: string; deviceId: string };
			else if (answer.status === 401) {
				await this.#unpaired("");
				return;
			}
		} catch {
			me = null;
		}
		const userId = me?.userId ?? localStorage.getItem(KEY_USER);
		if (me) {
			localStorage.setItem(KEY_DEVICE, me.deviceId);
			localStorage.setItem(KEY_USER, me.userId);
		}
		if (!userId) {
			this.phase = "pairing";
			this.notice = "The daemon does not answer.";
			this.changed();
			return;
		}
		await this.#enter(userId);
	}

	/* Spends a pairing code. The token in the answer is not kept: the cookie set beside it is the credential. */
	async pair(code: string, name: string): Promise<void> {
		if (!this.deviceId) localStorage.setItem(KEY_DEVICE, uuid7());
		localStorage.setItem(KEY_NAME, name);
		const answer = await fetch("/api/v1/pair", {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: JSON.stringify({ code, deviceId: this.deviceId, name, platform: "web" }),
		});
		const body = (await answer.json()) as { error?: Record<string, unknown>; userId?: string; deviceId?: string };
		if (!answer.ok || !body.userId) throw new WireError(body.error ?? { code: `http_${answer.status}` });
		if (body.deviceId) localStorage.setItem(KEY_DEVICE, body.deviceId);
		localStorage.setItem(KEY_USER, body.userId);
		await this.#enter(body.userId);
	}

	/* Revokes this device's credential and forgets what it stored. */
	async unpair(): Promise<void> {
		const answer = await fetch("/api/v1/unpair", {
			method: "POST",
			headers: { "Content-Type": "application/json" },
			body: "{}",
		});
		if (!answer.ok && answer.status !== 401) throw new WireError({ code: `http_${answer.status}` });
		this.#socket.stop();
		localStorage.removeItem(KEY_DEVICE);
		sessionStorage.clear();
		await this.#unpaired("This device is no longer paired.");
	}

	/* Takes the connection back from another tab. */
	useHere(): void {
		this.link = "connecting";
		this.#socket.start();
		this.changed();
	}

	async #enter(userId: string): Promise<void> {
		this.#db?.close();
		this.#db = await Db.open(userId);
		const stored = await this.#db.load();
		this.records.clear();
		for (const record of stored.records) this.records.apply(record);
		this.#cursor = stored.cursor;
		this.outbox = stored.outbox;
		this.phase = "ready";
		this.notice = "";
		this.link = "connecting";
		this.#socket.start();
		this.changed();
	}

	/* The credential is gone. What was stored goes with it, except what was typed and never arrived. */
	async #unpaired(notice: string): Promise<void> {
		const userId = localStorage.getItem(KEY_USER);
		if (!this.#db && userId) this.#db = await Db.open(userId);
		this.#forgetLive();
		this.records.clear();
		this.#cursor = null;
		this.phase = "pairing";
		this.notice = notice;
		this.changed();
		await this.#db?.forget();
	}

	#forgetLive(): void {
		this.streams.clear();
		this.#pushes.clear();
		this.stopping.clear();
		this.#inFlight.clear();
		this.#joined = null;
		this.#joining = null;
	}

	/* ---- the link's owner ---- */

	hello(): Frame {
		const frame: Frame = {
			type: "device:hello",
			deviceId: this.deviceId,
			platform: "web",
			name: this.deviceName,
			appVersion: VERSION,
			protocol: 1,
		};
		if (this.#cursor !== null) frame.cursor = this.#cursor;
		return frame;
	}

	welcome(frame: Frame): void {
		this.link = "up";
		this.#limits = (frame.limits ?? {}) as Record<string, number>;
		this.#inFlight.clear();
		this.#joined = null;
		this.#joining = null;
		this.#flush();
		void this.#join();
		void this.#loadModels();
		this.changed();
	}

	down(): void {
		this.link = "down";
		this.stopping.clear();
		this.changed();
	}

	replaced(): void {
		this.link = "replaced";
		this.changed();
	}

	unauthorized(): void {
		localStorage.removeItem(KEY_DEVICE);
		void this.#unpaired("This device was removed. Pair it again to go on.");
	}

	frame(frame: Frame): void {
		if (frame.type === "session:changes")
			this.#applyChanges(frame.records as WireRecord[], frame.cursor as string);
		else if (frame.type === "message:delta") this.#applyDelta(frame as unknown as Delta);
		else if (frame.type === "message:reset") this.#applyReset(frame.requestId as string, frame.attempt as number);
		else if (frame.type === "request:state") this.#applyPush(frame as unknown as RequestPush);
		else if (frame.type === "session:cleared") void this.#rejoin();
		else if (frame.type === "error") this.#applyError(new WireError(frame));
		this.changed();
	}

	#applyError(error: WireError): void {
		if (error.code === "cursor_expired") {
			this.#cursor = null;
			this.records.clear();
			void this.#db?.forget();
			this.#socket.restart();
		} else {
			this.notice = sentence(error.message);
		}
	}

	/* ---- records ---- */

	#applyChanges(records: WireRecord[], cursor: string): void {
		for (const record of records) this.#applyRecord(record);
		this.#cursor = cursor;
		void this.#store(records, cursor);
		void this.#join();
	}

	#applyRecord(record: WireRecord): void {
		this.records.apply(record);
		if (record.type === "Request") this.#applyRequestRecord(record as unknown as Request);
		if (record.type !== "Message") return;
		const message = record as unknown as Message;
		const { role, requestId, attempt } = message.fields;
		if (role === "assistant" && requestId) this.streams.settle(requestId, attempt ?? Infinity);
		if (this.#acked.delete(message.name)) this.#dropDraft(message.name);
	}

	/* Of two views of a request the later one counts; they come over one connection, in order. */
	#applyRequestRecord(request: Request): void {
		const push = this.#pushes.get(request.name);
		if (push && push.attempt <= request.fields.attempt) this.#pushes.delete(request.name);
		this.#settle(request.name, request.fields.state);
	}

	#applyPush(push: RequestPush): void {
		const known = this.requestView(push.requestId);
		if (known && known.attempt > push.attempt) return;
		this.#pushes.set(push.requestId, push);
		this.#settle(push.requestId, push.state);
	}

	#settle(requestId: string, state: RequestState): void {
		if (!isRunning(state)) this.stopping.delete(requestId);
	}

	async #store(records: WireRecord[], cursor: string | null): Promise<void> {
		try {
			await this.#db?.apply(records, cursor);
		} catch {
			this.notice = "This browser refuses to store more; what is new is kept only until the page closes.";
			return;
		}
		if (cursor === null || this.#ackTimer !== 0) return;
		this.#ackTimer = window.setTimeout(() => {
			this.#ackTimer = 0;
			if (this.#cursor !== null) this.#socket.send({ type: "device:ack", cursor: this.#cursor });
		}, ACK_MS);
	}

	/* ---- running answers ---- */

	requestView(requestId: string): RequestView | undefined {
		const record = this.records.request(requestId);
		if (!record) return undefined;
		const seen = this.#pushes.get(requestId) ?? record.fields;
		return {
			requestId,
			messageId: record.fields.messageId,
			state: seen.state,
			attempt: seen.attempt,
			error: seen.error ?? null,
			nextTryAt: seen.nextTryAt ?? null,
		};
	}

	/* How the attempt that left `message` ended, when that was the last one and it did not end well. */
	ending(message: Message): RequestView | null {
		const { role, requestId, attempt } = message.fields;
		const view = role === "assistant" && requestId ? this.requestView(requestId) : undefined;
		return view && !isRunning(view.state) && view.state !== "done" && view.attempt === attempt ? view : null;
	}

	/* The requests of a conversation that run, or ended and left nothing to read; oldest first. */
	openRequests(conversationId: string): RequestView[] {
		const views: RequestView[] = [];
		for (const record of this.records.requestsOf(conversationId)) {
			const view = this.requestView(record.name)!;
			if (view.state === "done") continue;
			if (!isRunning(view.state) && this.records.answer(record.name)?.fields.attempt === view.attempt) continue;
			views.push(view);
		}
		return views.sort((a, b) => (a.requestId < b.requestId ? -1 : 1));
	}

	#applyDelta(delta: Delta): void {
		const view = this.requestView(delta.requestId);
		if (view && !isRunning(view.state) && delta.attempt <= view.attempt) return;
		if (this.streams.push(delta) === "gap") {
			const stream = this.streams.get(delta.requestId)!;
			void this.#attach(stream, delta.kind === "thinking" ? "thinking" : "text");
		}
	}

	#applyReset(requestId: string, attempt: number): void {
		const hadThinking = (this.streams.get(requestId)?.bytes.thinking ?? 0) > 0;
		const stream = this.streams.reset(requestId, attempt);
		if (!stream) return;
		void this.#attach(stream, "text");
		if (hadThinking) void this.#attach(stream, "thinking");
	}

	/* Asks for the rest of a stream. The answer is deltas like any other, the first of which may name the question. */
	async #attach(stream: Stream, kind: StreamKind): Promise<void> {
		if (stream.isAttaching[kind]) return;
		stream.isAttaching[kind] = true;
		const { requestId, attempt } = stream;
		try {
			const offset = stream.bytes[kind];
			const answer = await this.#socket.ask({ type: "message:attach", requestId, attempt, kind, offset });
			if (answer.type === "message:delta") this.frame(answer);
		} catch (error) {
			stream.isAttaching[kind] = false;
			const newer = error instanceof WireError ? error.details.attempt : undefined;
			if (error instanceof WireError && error.code === "attempt_superseded" && typeof newer === "number") {
				void this.#attach(this.streams.open(requestId, newer), kind);
			}
		}
	}

	async stop(requestId: string): Promise<void> {
		this.stopping.add(requestId);
		this.changed();
		await this.#act({ type: "request:stop", requestId });
	}

	async retry(requestId: string): Promise<void> {
		this.streams.drop(requestId);
		await this.#act({ type: "request:retry", requestId });
	}

	/* A verb on a request: the answer is its state, an error goes to the notice. */
	async #act(frame: Frame): Promise<void> {
		try {
			const answer = await this.#socket.ask(frame);
			if (answer.type === "request:state") this.#applyPush(answer as unknown as RequestPush);
		} catch (error) {
			this.stopping.delete(frame.requestId as string);
			this.notice = sentence((error as WireError).message);
		}
		this.changed();
	}

	dismiss(): void {
		this.notice = "";
		this.changed();
	}

	/* ---- the open conversation ---- */

	open(conversationId: string | null): void {
		if (this.openId === conversationId) return;
		this.openId = conversationId;
		this.notice = "";
		void this.#join();
		this.changed();
	}

	/* Joins the open conversation's session, once the daemon knows the conversation, and leaves the one before. */
	async #join(): Promise<void> {
		const wanted = this.openId;
		if (this.link !== "up") return;
		if (this.#joined && this.#joined.conversationId !== wanted) {
			this.#socket.send({ type: "session:leave", sessionId: this.#joined.sessionId });
			this.streams.clear();
			this.#joined = null;
		}
		if (wanted === null || this.#joined || this.#joining === wanted || !this.records.conversation(wanted)) return;
		this.#joining = wanted;
		try {
			this.#joinedAs(wanted, await this.#socket.ask({ type: "session:join", conversationId: wanted }));
		} catch (error) {
			if ((error as WireError).code !== "link_down") this.notice = sentence((error as WireError).message);
		} finally {
			if (this.#joining === wanted) this.#joining = null;
		}
		if (this.openId !== wanted) void this.#join();
		this.changed();
	}

	#joinedAs(conversationId: string, state: Frame): void {
		const session = state.session as { name?: string; sessionId?: string } | undefined;
		this.#joined = { conversationId, sessionId: session?.name ?? session?.sessionId ?? "" };
		const running = (state.running ?? []) as { requestId: string; attempt: number }[];
		for (const one of running) this.streams.open(one.requestId, one.attempt);
		for (const requestId of this.streams.requests()) {
			if (!running.some((one) => one.requestId === requestId)) this.streams.drop(requestId);
		}
	}

	/* The session was cleared: the conversation has another one now. */
	async #rejoin(): Promise<void> {
		this.#joined = null;
		await this.#join();
	}

	async #loadModels(): Promise<void> {
		try {
			const answer = await fetch("/api/v1/models");
			if (answer.ok) this.models = ((await answer.json()) as { models: Model[] }).models;
		} catch {
			return;
		}
		this.changed();
	}

	/* ---- sending ---- */

	/* Why this text cannot be sent, or "" when it can. */
	refusal(text: string): string {
		const limit = this.#limits.textBytes ?? 0;
		const bytes = limit > 0 && text.length * 3 > limit ? new TextEncoder().encode(text).length : 0;
		return bytes > limit ? `This is ${bytes} bytes; the daemon takes at most ${limit} in one message.` : "";
	}

	async send(conversationId: string, text: string): Promise<void> {
		const params = parseParams(this.paramsText);
		const model = this.modelFor(conversationId);
		const request: Draft["request"] = {};
		if (model !== null) request.model = model;
		if (params !== null) request.params = params;
		const draft: Draft = {
			messageId: uuid7(),
			conversationId,
			text,
			request,
			at: new Date().toISOString(),
		};
		this.outbox = [...this.outbox, draft];
		this.changed();
		await this.#keep(draft);
		this.#deliver(draft);
	}

	async #keep(draft: Draft): Promise<void> {
		try {
			await this.#db?.putDraft(draft);
		} catch {
			this.notice =
				"This browser refuses to store the message; it is lost if the page closes before it is sent.";
		}
	}

	/* Sends a refused message once more: under its old id, or a new one when the id itself was refused. */
	async sendAgain(old: Draft): Promise<void> {
		const draft: Draft = { ...old };
		delete draft.error;
		if (old.error?.code === "duplicate_message") draft.isForced = true;
		if (old.error?.code === "message_id_reused") draft.messageId = uuid7();
		this.outbox = this.outbox.map((one) => (one === old ? draft : one));
		if (draft.messageId !== old.messageId) await this.#db?.dropDraft(old.messageId);
		await this.#keep(draft);
		this.#deliver(draft);
		this.changed();
	}

	discard(draft: Draft): void {
		this.#dropDraft(draft.messageId);
		this.changed();
	}

	isAcked(draft: Draft): boolean {
		return this.#acked.has(draft.messageId);
	}

	/* After a (re)connect: everything that waits and was not refused, in the order it was typed. */
	#flush(): void {
		for (const draft of this.outbox) {
			if (!draft.error) this.#deliver(draft);
		}
	}

	#deliver(draft: Draft): void {
		if (this.link !== "up" || this.#inFlight.has(draft.messageId)) return;
		this.#inFlight.add(draft.messageId);
		const frame: Frame = {
			type: "message:send",
			messageId: draft.messageId,
			conversationId: draft.conversationId,
			text: draft.text,
			request: draft.request,
		};
		if (draft.isForced) frame.force = true;
		this.#socket.ask(frame).then(
			(ack) => this.#delivered(draft, ack),
			(error: WireError) => this.#undelivered(draft, error),
		);
	}

	/* The ack says where the message stands in the conversation; with that its record can be made here. An ack without
	 * it leaves the message in the outbox, marked as sent, until the record comes by itself. */
	#delivered(draft: Draft, ack: Frame): void {
		this.#inFlight.delete(draft.messageId);
		if (this.records.message(draft.messageId)) {
			this.#dropDraft(draft.messageId);
		} else if (typeof ack.ord === "number") {
			const origin = {
				at: typeof ack.at === "string" ? ack.at : draft.at,
				userId: localStorage.getItem(KEY_USER) ?? "",
				deviceId: this.deviceId,
			};
			const record: WireRecord = {
				type: "Message",
				name: draft.messageId,
				changeTag: String(ack.changeTag ?? ""),
				created: origin,
				modified: origin,
				fields: {
					conversationId: draft.conversationId,
					sessionId: ack.sessionId,
					ord: ack.ord,
					role: "user",
					text: draft.text,
					status: "complete",
				},
			};
			this.#applyRecord(record);
			void this.#store([record], null).then(() => this.#dropDraft(draft.messageId));
		} else {
			this.#acked.add(draft.messageId);
		}
		this.changed();
	}

	#undelivered(draft: Draft, error: WireError): void {
		this.#inFlight.delete(draft.messageId);
		if (error.code === "link_down") return;
		if (error.retryable) {
			this.notice = `Not sent yet: ${error.message}.`;
			window.setTimeout(
				() => {
					if (this.outbox.includes(draft)) this.#deliver(draft);
				},
				Math.max(RESEND_MS, error.retryAfterMs),
			);
		} else {
			const refused: Draft = { ...draft, error: { code: error.code, message: error.message } };
			this.outbox = this.outbox.map((one) => (one.messageId === draft.messageId ? refused : one));
			void this.#keep(refused);
		}
		this.changed();
	}

	#dropDraft(messageId: string): void {
		this.#acked.delete(messageId);
		this.outbox = this.outbox.filter((draft) => draft.messageId !== messageId);
		void this.#db?.dropDraft(messageId);
		this.changed();
	}

	/* ---- telling the screen ---- */

	/* Draws soon: with the display's next frame, or a few times a second where nobody looks. */
	changed(): void {
		if (this.#drawTimer !== 0) return;
		const draw = () => {
			this.#drawTimer = 0;
			this.#watcher();
		};
		this.#drawTimer = document.hidden ? window.setTimeout(draw, 250) : requestAnimationFrame(draw);
	}
}

/* The JSON object in `text`, or null when there is none. */
export function parseParams(text: string): Record<string, unknown> | null {
	try {
		const value: unknown = JSON.parse(text);
		return value !== null && typeof value === "object" && !Array.isArray(value)
			? (value as Record<string, unknown>)
			: null;
	} catch {
		return null;
	}
}
