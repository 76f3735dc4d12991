/* What a person writes and changes on this device: messages, edits, deletions, a conversation's title and settings,
 * projects.
 *
 * Each becomes an entry of the outbox, and screens show it at once as if the daemon had it already: pending() lays an
 * edit over its message, conversation() and project() lay changes over a record. Edits carry a stamp and the stamp of
 * what their maker saw, so edits of two devices that had not heard of each other meet in the daemon and merge there; a
 * text that loses is kept as a revision. */

import type { Entry } from "./db";
import { uuid7 } from "./ids";
import { Outbox, type OutboxOwner } from "./outbox";
import type { Records } from "./records";
import { latestStamp, makeStamp, stampOf } from "./stamps";
import {
	WireError,
	type Conversation,
	type Frame,
	type Message,
	type Project,
	type WireRecord,
} from "./wire";

const KEY_STAMP = "roost.stamp"; // in localStorage: the last stamp made here; all tabs of this device share it

/* What a person may change of a conversation or, the first two, of a project. */
export interface Change {
	title?: string;
	state?: "active" | "archived";
	pinned?: boolean;
	archived?: boolean;
	projectId?: string | null;
	settings?: { primary: string | null };
}

type Changed = "Conversation" | "Project";
type Save = { type: Changed; stamp: string; base: object; fields: Change };

export interface WriterHost {
	readonly deviceId: string;
	readonly userId: string;
	isUp(): boolean;
	ask(frame: Frame): Promise<Frame>;
	keep(records: WireRecord[]): Promise<void>; // into this device's copy
	requestFields(conversationId: string): object; // what goes along when an answer is asked for
	tell(notice: string): void;
	complain(error: WireError): void;
	changed(): void;
}

export class Writer implements OutboxOwner {
	readonly outbox = new Outbox(this);
	#host: WriterHost;
	#records: Records;
	#lastStamp = ""; // the latest seen in any record

	constructor(host: WriterHost, records: Records) {
		this.#host = host;
		this.#records = records;
	}

	/* Every record this device hears of: what is written next is later than its edits. */
	see(record: WireRecord): void {
		const stamp = latestStamp(record);
		if (stamp > this.#lastStamp) this.#lastStamp = stamp;
	}

	/* The message is meant for the session that the person sees. */
	async send(conversationId: string, text: string): Promise<void> {
		const request = this.#host.requestFields(conversationId);
		const messageId = uuid7();
		const frame: Frame = { type: "message:send", messageId, conversationId, text, request };
		const sessionId = this.#records.conversation(conversationId)?.fields.currentSessionId;
		if (sessionId !== undefined) frame.sessionId = sessionId;
		await this.#post(conversationId, messageId, frame);
	}

	async edit(message: Message, text: string): Promise<void> {
		const frame = { type: "message:edit", messageId: message.name, text, ...this.#stamps(message) };
		await this.#post(message.fields.conversationId, uuid7(), frame);
	}

	async remove(message: Message): Promise<void> {
		const frame = { type: "message:delete", messageId: message.name, ...this.#stamps(message) };
		await this.#post(message.fields.conversationId, uuid7(), frame);
	}

	/* Changes a record, or makes it; of its settings only those given, null takes one away. */
	async change(type: Changed, name: string, fields: Change): Promise<void> {
		const seen = type === "Project" ? this.project(name) : this.conversation(name);
		const base: Record<string, string> = {};
		for (const field of Object.keys(fields)) {
			if (field !== "settings") base[field] = stampOf(seen, field);
		}
		for (const setting of Object.keys(fields.settings ?? {})) {
			base[`settings.${setting}`] = stampOf(seen, `settings.${setting}`);
		}
		const record = { type, name, stamp: this.#stamp(), base, fields };
		await this.#post(name, uuid7(), { type: "record:save", policy: "merge", records: [record] });
	}

	/* The stamp of an edit made now, and of the text its maker sees: the last edit that waits here, else the stored. */
	#stamps(message: Message): { stamp: string; base: string } {
		const pending = this.pending(message)?.frame.stamp;
		const base = typeof pending === "string" ? pending : stampOf(message, "text");
		return { stamp: this.#stamp(), base };
	}

	#stamp(): string {
		const made = localStorage.getItem(KEY_STAMP) ?? "";
		const stamp = makeStamp(Date.now(), made > this.#lastStamp ? made : this.#lastStamp, this.#host.deviceId);
		localStorage.setItem(KEY_STAMP, stamp);
		return stamp;
	}

	async #post(conversationId: string, id: string, frame: Frame): Promise<void> {
		await this.outbox.add({ id, conversationId, at: new Date().toISOString(), frame });
	}

	/* The edit or deletion of a message that waits to be sent and was not refused; the last of several. */
	pending(message: Message): Entry | undefined {
		return this.outbox
			.of(message.fields.conversationId)
			.filter(({ id, frame, error }) => frame.messageId === message.name && id !== message.name && !error)
			.at(-1);
	}

	/* A conversation with the changes that wait to be sent. */
	conversation(conversationId: string): Conversation | undefined {
		const stored = this.#records.conversation(conversationId);
		return stored && this.#changed(stored);
	}

	/* A project in the same way; it may be one that the daemon does not have yet. */
	project(name: string): Project | undefined {
		const isNew = this.#saves(name).length > 0;
		const stored = this.#records.project(name) ?? (isNew ? ({ name, fields: {} } as Project) : undefined);
		return stored && this.#changed(stored);
	}

	/* All projects, by their titles. */
	projects(): Project[] {
		const names = new Set([...this.#records.projects(), ...this.projectEntries().map((one) => one.conversationId)]);
		const found = [...names].flatMap((name) => this.project(name) ?? []);
		return found.sort((a, b) => (a.fields.title ?? "").localeCompare(b.fields.title ?? ""));
	}

	/* What waits in the outbox for projects. */
	projectEntries(): Entry[] {
		return this.outbox.entries.filter(({ frame }) => (frame.records as Save[] | undefined)?.[0]?.type === "Project");
	}

	/* The changes of a record that wait to be sent and were not refused. */
	#saves(name: string): Save[] {
		const entries = this.outbox.of(name).filter(({ frame, error }) => frame.type === "record:save" && !error);
		return entries.map(({ frame }) => (frame.records as [Save])[0]);
	}

	#changed<R extends Conversation | Project>(stored: R): R {
		const saves = this.#saves(stored.name);
		if (saves.length === 0) return stored;
		const fields: Record<string, unknown> = { ...stored.fields };
		const stamps: Record<string, unknown> = { ...stored.fields.stamps };
		for (const save of saves) {
			const settings = { ...(fields.settings as object), ...save.fields.settings };
			Object.assign(fields, save.fields, { settings });
			for (const field of Object.keys(save.base)) stamps[field] = save.stamp;
		}
		return { ...stored, fields: { ...fields, stamps } } as R;
	}

	/* Sends what was refused once more: a duplicate all the same, a message for a session that was cleared into the one
	 * of now, an edit of such a message as a message of its own. */
	async sendAgain(old: Entry): Promise<void> {
		const { id, conversationId, at, error } = old;
		const frame = { ...old.frame };
		let newId = id;
		if (error?.code === "session_killed" && frame.type === "message:edit") {
			this.outbox.drop(id);
			await this.send(conversationId, frame.text as string);
			return;
		}
		if (error?.code === "duplicate_message") frame.force = true;
		if (error?.code === "message_id_reused") frame.messageId = newId = uuid7();
		if (error?.code === "session_killed") {
			const current = this.#records.conversation(conversationId)?.fields.currentSessionId;
			frame.sessionId = current === frame.sessionId ? error.sessionId : current;
		}
		await this.outbox.replace(old, { id: newId, conversationId, at, frame });
	}

	async delivered(entry: Entry, answer: Frame): Promise<void> {
		if (entry.frame.type === "message:send") {
			await this.#sent(entry, answer);
			return;
		}
		type Outcome = { record?: WireRecord; error?: Record<string, unknown>; conflicts?: { kept: string }[] };
		const outcome = (entry.frame.type === "record:save" ? (answer.results as Outcome[])[0] : answer) as Outcome;
		if (outcome.error) throw new WireError(outcome.error);
		if (outcome.record) await this.#host.keep([outcome.record]);
		const kept = outcome.conflicts?.[0]?.kept;
		if (kept === "ours") this.#host.tell("Another device changed this too. Yours is shown; the history has the other.");
		if (kept === "theirs") this.#host.tell("Another device changed this later. That is shown; the history has yours.");
		this.outbox.drop(entry.id);
	}

	/* The ack says where the message stands in its conversation; with that its record is made here. */
	async #sent(entry: Entry, ack: Frame): Promise<void> {
		const { messageId, conversationId, text, sessionId } = entry.frame;
		if (!this.#records.message(messageId as string)) {
			const at = typeof ack.at === "string" ? ack.at : entry.at;
			const origin = { at, userId: this.#host.userId, deviceId: this.#host.deviceId };
			const record: WireRecord = {
				type: "Message",
				name: messageId as string,
				changeTag: String(ack.changeTag ?? ""),
				created: origin,
				modified: origin,
				fields: {
					conversationId,
					sessionId: ack.sessionId ?? sessionId,
					ord: ack.ord,
					role: "user",
					text,
					status: "complete",
				},
			};
			await this.#host.keep([record]);
		}
		this.outbox.drop(entry.id);
	}

	/* Fetches the revisions of a record that the feed has not brought: those of this device's own edits. */
	async loadRevisions(recordName: string): Promise<void> {
		const filter = [{ field: "recordName", op: "eq", value: recordName }];
		try {
			const found = await this.#host.ask({ type: "record:query", recordType: "Revision", filter, limit: 200 });
			await this.#host.keep(found.records as WireRecord[]);
		} catch (error) {
			this.#host.complain(error as WireError);
		}
		this.#host.changed();
	}

	/* ---- the outbox's owner ---- */

	isUp(): boolean {
		return this.#host.isUp();
	}

	ask(frame: Frame): Promise<Frame> {
		return this.#host.ask(frame);
	}

	tell(notice: string): void {
		this.#host.tell(notice);
	}

	changed(): void {
		this.#host.changed();
	}
}
