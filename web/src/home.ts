/* The page's one object: what this device knows, what it is doing about it, and what a person may ask of it.
 *
 * It owns the records, the running answers, the joined session and the link, and turns frames into changes
 * of them. Screens read it and call its verbs; after any change it tells its watcher, at most once per frame of the
 * display.
 *
 * What a person writes or changes is the writer's (writer.ts) and goes out through the outbox. What only makes sense
 * now, such as taking over a session or pausing its queue, is asked of the daemon directly and needs the link. Clearing
 * is of the second kind: what is written after it is meant for the next session, whose id the daemon makes. */

import { Db } from "./db";
import { deviceGuess, uuid7 } from "./ids";
import { Link, type LinkOwner } from "./link";
import { Records } from "./records";
import { Room } from "./room";
import { Streams, type Stream } from "./streams";
import { served } from "./why";
import { Writer, type WriterHost } from "./writer";
import {
	isRunning,
	sentence,
	WireError,
	type Delta,
	type DeviceState,
	type Frame,
	type Message,
	type Model,
	type Pacing,
	type Permission,
	type Request,
	type RequestPush,
	type RequestState,
	type Revision,
	type Session,
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
	errorClass: string; // of the attempt that failed last, "" not known yet
	nextTryAt: string | null;
	pacing: Pacing | null;
	provider: string; // who serves the model
	model: string; // who is to answer,
	insteadOf: string; // in the place of whom, "" as was asked
}

/* What the page remembers about itself, in localStorage. No secret is among it. */
const KEY_DEVICE = "roost.deviceId";
const KEY_USER = "roost.userId";
const KEY_NAME = "roost.deviceName";
const KEY_MODEL = "roost.model";
const KEY_PARAMS = "roost.params";
const KEY_SYNCED = "roost.syncedAt";

const ACK_MS = 1000; // device:ack at most this often
const TYPING_MS = 1000; // session:typing at most this often
const RENEW_MS = [1000, 20_000] as const; // the shortest and the longest wait before our lock is renewed
const LOOK_MS = 2000; // a request that should have begun is looked at so long after
export const CALM_MS = 500; // a tap is not for a question that has stood where it stands for less

export const FOLLOWS_TYPING = "followsTyping"; // the setting `primary` of a conversation

function post(path: string, body: object): Promise<Response> {
	const headers = { "Content-Type": "application/json" };
	return fetch(`/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

const kept = localStorage; // only what is no secret

export class Home implements LinkOwner, WriterHost {
	phase: Phase = "loading";
	link: LinkState = "connecting";
	notice = ""; // why the pairing screen is shown, or what went wrong last
	models: Model[] = [];
	devices: DeviceState[] = []; // of this user; empty until they were told
	room: Room | null = null; // the session of the open conversation, once joined
	isSyncing = false; // the feed is behind
	syncedAt = Number(kept.getItem(KEY_SYNCED)); // wall ms; when the feed last was not; 0: never
	openId: string | null = null; // the conversation on the screen
	stopping = new Set<string>(); // requests a stop was asked for
	answering = new Set<string>(); // questions an answer was sent to
	askedAt = 0; // wall ms; when a question last came or went
	skewMs = 0; // what the daemon's clock is ahead of ours
	readonly records = new Records();
	readonly streams = new Streams();
	readonly writer = new Writer(this, this.records);

	#watcher: () => void;
	#db: Db | null = null;
	#socket: Link;
	#cursor: string | null = null;
	#limits: Record<string, number> = {};
	#pushes = new Map<string, RequestPush>();
	#joining: string | null = null;
	#joinedFor: string | undefined; // the conversation's session as it was known here when it was joined
	#typedAt = 0;
	#ackTimer = 0;
	#lockTimer = 0;
	#lookTimer = 0;
	#drawTimer = 0;

	constructor(watcher: () => void) {
		this.#watcher = watcher;
		this.#socket = new Link(this);
	}

	/* ---- this device ---- */

	get deviceId(): string {
		return kept.getItem(KEY_DEVICE) ?? "";
	}

	get userId(): string {
		return kept.getItem(KEY_USER) ?? "";
	}

	get deviceName(): string {
		return kept.getItem(KEY_NAME) ?? deviceGuess(navigator.userAgent);
	}

	/* Parameters given along with every request, as the person wrote them: a JSON object, or nothing. */
	get paramsText(): string {
		return kept.getItem(KEY_PARAMS) ?? "";
	}

	set paramsText(text: string) {
		if (text.trim() === "") kept.removeItem(KEY_PARAMS);
		else kept.setItem(KEY_PARAMS, text);
		this.changed();
	}

	chooseModel(id: string): void {
		kept.setItem(KEY_MODEL, id);
		this.changed();
	}

	/* The model the next message goes to: chosen here, else the conversation's, else the daemon's default. */
	modelFor(conversationId: string): string | null {
		const isAnyone = this.models.length === 0; // not asked yet: offline, what was chosen last is still right
		const known = (id: string) => isAnyone || this.models.some((model) => model.id === id);
		const own = this.records.conversation(conversationId)?.fields.model;
		const chosen = kept.getItem(KEY_MODEL);
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
		const userId = me?.userId ?? this.userId;
		if (me) {
			kept.setItem(KEY_DEVICE, me.deviceId);
			kept.setItem(KEY_USER, me.userId);
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
		if (!this.deviceId) kept.setItem(KEY_DEVICE, uuid7());
		kept.setItem(KEY_NAME, name);
		const answer = await post("pair", { code, deviceId: this.deviceId, name, platform: "web" });
		const body = (await answer.json()) as { error?: Record<string, unknown>; userId?: string; deviceId?: string };
		if (!answer.ok || !body.userId) throw new WireError(body.error ?? { code: `http_${answer.status}` });
		if (body.deviceId) kept.setItem(KEY_DEVICE, body.deviceId);
		kept.setItem(KEY_USER, body.userId);
		await this.#enter(body.userId);
	}

	/* Revokes this device's credential and forgets what it stored. */
	async unpair(): Promise<void> {
		const answer = await post("unpair", {});
		if (!answer.ok && answer.status !== 401) throw new WireError({ code: `http_${answer.status}` });
		this.#socket.stop();
		kept.removeItem(KEY_DEVICE);
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
		for (const record of stored.records) this.#take(record);
		this.#cursor = stored.cursor;
		this.writer.outbox.load(this.#db, stored.outbox);
		this.phase = "ready";
		this.notice = "";
		this.link = "connecting";
		this.#socket.start();
		this.changed();
	}

	/* The credential is gone. What was stored goes with it, except what was typed and never arrived. */
	async #unpaired(notice: string): Promise<void> {
		if (!this.#db && this.userId) this.#db = await Db.open(this.userId);
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
		this.answering.clear();
		this.devices = [];
		this.room = null;
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
			joined: this.openId === null ? [] : [this.openId],
		};
		if (this.#cursor !== null) frame.cursor = this.#cursor;
		return frame;
	}

	welcome(frame: Frame): void {
		this.link = "up";
		this.#limits = (frame.limits ?? {}) as Record<string, number>;
		this.skewMs = Date.parse(String(frame.serverTime)) - Date.now() || 0;
		this.isSyncing = true;
		this.room = null;
		this.#joining = null;
		this.writer.outbox.flush();
		void this.#join();
		void this.#loadModels();
		void this.loadDevices();
		this.changed();
	}

	down(): void {
		this.link = "down";
		this.stopping.clear();
		this.answering.clear();
		this.changed();
	}

	replaced(): void {
		this.link = "replaced";
		this.changed();
	}

	unauthorized(): void {
		kept.removeItem(KEY_DEVICE);
		void this.#unpaired("This device was removed. Pair it again to go on.");
	}

	frame(frame: Frame): void {
		if (frame.type === "session:changes")
			this.#applyChanges(frame.records as WireRecord[], frame.cursor as string, frame.more === true);
		else if (frame.type === "message:delta") this.#applyDelta(frame as unknown as Delta);
		else if (frame.type === "message:reset") this.#applyReset(frame.requestId as string, frame.attempt as number);
		else if (frame.type === "request:state") this.#applyPush(frame as unknown as RequestPush);
		else if (frame.type === "session:cleared") this.#rejoin(frame.conversationId as string);
		else if (frame.type === "device:changed") this.#applyDevices(frame.devices as DeviceState[]);
		else if (frame.type === "message:duplicate") this.#applyDuplicate(frame);
		else if (frame.type === "error") this.#applyError(new WireError(frame));
		else if (this.room?.hear(frame) && frame.type === "session:locked") this.#keepLock();
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

	#applyChanges(records: WireRecord[], cursor: string, hasMore: boolean): void {
		const taken: WireRecord[] = [];
		for (const record of records) {
			taken.push(...this.#applyRecord(record));
			if (record.type === "Revision") this.#noteConflict(record as unknown as Revision);
		}
		this.#cursor = cursor;
		this.isSyncing = hasMore;
		if (!hasMore) this.syncedAt = Date.now();
		void this.#store(taken, cursor);
		void this.#join();
	}

	/* Takes a record, and returns what changes in this device's copy because of it. */
	#applyRecord(record: WireRecord): WireRecord[] {
		const session = this.records.session(String(record.fields.sessionId ?? ""));
		if (session && this.#isForgotten(session)) record = { ...record, deleted: true };
		this.#take(record);
		if (record.type === "Session" && this.#isForgotten(record as unknown as Session)) {
			const { conversationId } = (record as unknown as Session).fields;
			const forgotten = this.records.sessionsOf(conversationId).filter((one) => this.#isForgotten(one));
			return [record, ...forgotten.flatMap((one) => this.records.dropSession(one.name))];
		}
		if (record.type === "Request") this.#applyRequestRecord(record as unknown as Request);
		if (record.type === "Permission") this.#applyQuestion(record as unknown as Permission);
		if (record.type === "Message") {
			const { role, requestId, attempt } = (record as unknown as Message).fields;
			if (role === "assistant" && requestId) this.streams.settle(requestId, attempt ?? Infinity);
		}
		return [record];
	}

	#take(record: WireRecord): void {
		this.records.apply(record);
		this.writer.see(record);
	}

	/* A person who clears here is done with that session and those before it: this device drops its copy of them. Where
	 * somebody else cleared it stays. */
	#isForgotten({ fields }: Session): boolean {
		if (fields.state !== "killed") return false;
		const isHere = (one: Session) => one.fields.killedBy === this.deviceId;
		return this.records
			.sessionsOf(fields.conversationId)
			.some((one) => isHere(one) && one.fields.killedAt! >= fields.killedAt!);
	}

	#noteConflict({ fields, deleted }: Revision): void {
		if (deleted || !fields.conflict || this.isSyncing || fields.conversationId !== this.openId) return;
		if (this.notice === "") this.notice = "Two devices changed the same text; the history has both.";
	}

	/* Of two views of a request the later one counts; they come over one connection, in order. Of the same state a push
	 * says more, and may come before the record. */
	#applyRequestRecord({ name, fields }: Request): void {
		const push = this.#pushes.get(name);
		const isSame = push?.attempt === fields.attempt && push.state === fields.state;
		if (push && push.attempt <= fields.attempt && !isSame) this.#pushes.delete(name);
		this.#settle(name, fields.state);
	}

	#applyPush(push: RequestPush): void {
		const known = this.requestView(push.requestId);
		if (known && known.attempt > push.attempt) return;
		this.#pushes.set(push.requestId, push);
		this.#settle(push.requestId, push.state);
		if (push.pacing) this.#lookLater(push.requestId, Date.parse(push.pacing.untilAt));
	}

	/* It is told once why a request waits. Whether that still holds when its time has come is asked for. */
	#lookLater(requestId: string, atMs: number): void {
		clearTimeout(this.#lookTimer);
		const wait = Math.max(0, atMs - Date.now() - this.skewMs) + LOOK_MS;
		this.#lookTimer = window.setTimeout(() => {
			const view = this.requestView(requestId);
			if (view?.state === "queued") this.#look({ type: "request:get", requestId });
		}, wait);
	}

	/* Asks for what is told again only when it changes. Without an answer what is known stays. */
	#look(frame: Frame): Promise<void> {
		return this.#socket.ask(frame).then(
			(answer) => this.frame(answer),
			() => undefined,
		);
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
			kept.setItem(KEY_SYNCED, String(this.syncedAt));
			if (this.#cursor !== null) this.#socket.send({ type: "device:ack", cursor: this.#cursor });
		}, ACK_MS);
	}

	/* ---- running answers ---- */

	requestView(requestId: string): RequestView | undefined {
		const record = this.records.request(requestId);
		if (!record) return undefined;
		const push = this.#pushes.get(requestId);
		const seen = push ?? record.fields;
		const last = record.fields.attempts?.at(-1);
		const { model, insteadOf } = served({ ...record.fields, servingModel: seen.servingModel });
		return {
			requestId,
			messageId: record.fields.messageId,
			state: seen.state,
			attempt: seen.attempt,
			error: seen.error ?? null,
			errorClass: (last?.attempt === seen.attempt && last.error?.class) || "",
			nextTryAt: seen.nextTryAt ?? null,
			pacing: push?.pacing ?? null,
			provider: push?.provider || model.split(":")[0]!,
			model,
			insteadOf,
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
		if (!(await this.act({ type: "request:stop", requestId }))) this.stopping.delete(requestId);
	}

	async retry(requestId: string): Promise<void> {
		this.streams.drop(requestId);
		await this.act({ type: "request:retry", requestId });
	}

	/* ---- questions of agents ---- */

	#applyQuestion({ name, fields }: Permission): void {
		if (fields.state !== "open") this.answering.delete(name);
		this.askedAt = Date.now();
		window.setTimeout(() => this.changed(), CALM_MS + 20);
	}

	/* Says for the person whether an agent may do what it asked for. Too late, the error tells what became of it. */
	async answerQuestion(permissionId: string, allow: boolean): Promise<void> {
		this.answering.add(permissionId);
		this.changed();
		try {
			const { record } = await this.#socket.ask({ type: "permission:answer", permissionId, allow });
			await this.keep([record as WireRecord]);
		} catch (error) {
			const { record } = (error as WireError).details;
			if (record) await this.keep([record as WireRecord]);
			this.complain(error as WireError);
		}
		this.answering.delete(permissionId);
		this.changed();
	}

	/* Asks something of the daemon that makes sense only now. The answer is taken like a push; an error goes to the
	 * notice, and null is returned. */
	async act(frame: Frame): Promise<Frame | null> {
		let answer: Frame | null = null;
		try {
			answer = await this.#socket.ask(frame);
			this.frame(answer);
		} catch (error) {
			this.complain(error as WireError);
		}
		this.changed();
		return answer;
	}

	/* The same, of the session that is open. */
	inSession(type: string, fields: object = {}): Promise<Frame | null> {
		return this.act({ type, sessionId: this.room?.sessionId, ...fields });
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

	/* Joins the open conversation's session, once the daemon knows the conversation, and leaves the one before. Joins
	 * again when the conversation has got another session. */
	async #join(): Promise<void> {
		const wanted = this.openId;
		if (this.link !== "up") return;
		if (this.room && this.room.conversationId !== wanted) {
			this.#socket.send({ type: "session:leave", conversationId: this.room.conversationId });
			this.streams.clear();
			this.room = null;
		}
		const conversation = wanted === null ? undefined : this.records.conversation(wanted);
		if (wanted === null || !conversation || this.#joining === wanted) return;
		const current = conversation.fields.currentSessionId;
		if (this.room && (current === this.#joinedFor || current === this.room.sessionId)) return;
		this.#joining = wanted;
		this.#joinedFor = current;
		try {
			this.#joinedAs(wanted, await this.#socket.ask({ type: "session:join", conversationId: wanted }));
		} catch (error) {
			this.complain(error as WireError);
		} finally {
			if (this.#joining === wanted) this.#joining = null;
		}
		if (this.openId !== wanted) void this.#join();
		this.changed();
	}

	#joinedAs(conversationId: string, state: Frame): void {
		this.room = new Room(conversationId, state);
		const running = (state.running ?? []) as { requestId: string; attempt: number }[];
		for (const one of running) this.streams.open(one.requestId, one.attempt);
		for (const requestId of this.streams.requests()) {
			if (!running.some((one) => one.requestId === requestId)) this.streams.drop(requestId);
		}
		const { sessionId } = this.room;
		if (sessionId === null) return;
		this.#keepLock();
		/* When the session was cleared meanwhile, it is joined anew. */
		void this.#look({ type: "auto:state", sessionId });
		void this.#look({ type: "queue:list", sessionId }).then(() => {
			const first = this.room?.queue?.waiting[0];
			if (first?.state === "queued") void this.#look({ type: "request:get", requestId: first.requestId });
		});
	}

	/* The session was cleared: the conversation has another one now. */
	#rejoin(conversationId: string): void {
		if (this.room?.conversationId === conversationId) this.room = null;
		void this.#join();
	}

	/* Tells the daemon that a person types here, where that decides who drives. */
	typed(): void {
		const { room } = this;
		const isFollowing =
			room && this.writer.conversation(room.conversationId)?.fields.settings?.primary === FOLLOWS_TYPING;
		if (!isFollowing || room.sessionId === null || room.primary.deviceId === this.deviceId) return;
		if (Date.now() - this.#typedAt < TYPING_MS) return;
		this.#typedAt = Date.now();
		this.#socket.send({ type: "session:typing", sessionId: room.sessionId });
	}

	/* A lock of this device is its person's until they free it, leave the conversation or close the page: it is renewed
	 * after a third of its lease. The daemon's clock may not be ours, so that is held within bounds. */
	#keepLock(): void {
		clearTimeout(this.#lockTimer);
		const { room } = this;
		const isOurs = () => this.room === room && room?.lock?.deviceId === this.deviceId;
		if (!isOurs()) return;
		const third = (Date.parse(room!.lock!.expiresAt) - Date.now()) / 3;
		const wait = Math.min(Math.max(third, RENEW_MS[0]), RENEW_MS[1]);
		this.#lockTimer = window.setTimeout(() => isOurs() && void this.inSession("session:lock"), wait);
	}

	/* Ends what was said so far in all conversations of a project. */
	async clearProject(projectId: string): Promise<void> {
		const answer = await this.act({ type: "session:clear", projectId });
		const refused = (answer?.refused ?? []) as { conversationId: string; holder: string }[];
		if (refused.length === 0) return;
		const titles = refused.map((one) => this.writer.conversation(one.conversationId)?.fields.title ?? "one");
		this.notice = `${this.nameOf(refused[0]!.holder)} holds a lock; not cleared: ${titles.join(", ").slice(0, 200)}`;
	}

	/* ---- devices ---- */

	async loadDevices(): Promise<void> {
		try {
			this.devices = (await this.#socket.ask({ type: "device:list" })).devices as DeviceState[];
		} catch {
			return;
		}
		this.changed();
	}

	#applyDevices(changes: DeviceState[]): void {
		if (changes.some((change) => !this.devices.some((one) => one.deviceId === change.deviceId))) {
			void this.loadDevices();
		}
		this.devices = this.devices.map((one) => ({
			...one,
			...changes.find((change) => change.deviceId === one.deviceId),
		}));
	}

	async revoke(deviceId: string): Promise<void> {
		await this.act({ type: "device:revoke", deviceId });
		await this.loadDevices();
	}

	nameOf(deviceId: string): string {
		const told = this.devices.find((one) => one.deviceId === deviceId)?.name;
		return this.records.device(deviceId)?.fields.name || told || "another device";
	}

	#applyDuplicate(frame: Frame): void {
		const text = this.records.message(frame.messageId as string)?.fields.text.trim().slice(0, 40) ?? "";
		const name = this.nameOf(frame.deviceId as string);
		this.notice = `${name} sent the same as this device, and it was held there: “${text}”`;
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

	/* ---- the writer's host ---- */

	isUp(): boolean {
		return this.link === "up";
	}

	ask(frame: Frame): Promise<Frame> {
		return this.#socket.ask(frame);
	}

	tell(notice: string): void {
		this.notice = notice;
	}

	/* Tells an error, unless it is that the link is down, which is seen anyway. */
	complain({ code, message }: WireError): void {
		if (code !== "link_down") this.notice = sentence(message);
	}

	async keep(records: WireRecord[]): Promise<void> {
		await this.#store(
			records.flatMap((record) => this.#applyRecord(record)),
			null,
		);
	}

	requestFields(conversationId: string): { model?: string; params?: object } {
		const request: { model?: string; params?: object } = {};
		const params = parseParams(this.paramsText);
		const model = this.modelFor(conversationId);
		if (model !== null) request.model = model;
		if (params !== null) request.params = params;
		return request;
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
