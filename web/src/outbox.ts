/* What a person did on this device and the daemon has not acknowledged: messages, edits, deletions, changes of records.
 *
 * An entry is on disk before its frame is first sent, and is sent again, the same, after every reconnect until it is
 * answered; ids and stamps make the repeats harmless. Entries go in the order in which they were made. A refusal for a
 * passing reason is tried again; any other holds the entry for the person, with the reason, and those behind it go on.
 * Nothing held is ever sent anywhere without a person saying so. */

import type { Db, Entry, Refusal } from "./db";
import { WireError, type Frame } from "./wire";

const RESEND_MS = 3000; // before an entry refused for a passing reason is sent again

export interface OutboxOwner {
	isUp(): boolean;
	ask(frame: Frame): Promise<Frame>;
	delivered(entry: Entry, answer: Frame): Promise<void>; // throws a WireError when the answer holds a refusal
	tell(notice: string): void;
	changed(): void;
}

function refusal({ code, message, details }: WireError): Refusal {
	const kept: Refusal = { code, message };
	for (const field of ["deviceId", "holder", "expiresAt", "sessionId"] as const) {
		if (typeof details[field] === "string") kept[field] = details[field];
	}
	if (typeof details.ageMs === "number") kept.ageMs = details.ageMs;
	return kept;
}

export class Outbox {
	entries: readonly Entry[] = []; // another array after every change
	#owner: OutboxOwner;
	#db: Db | null = null;
	#inFlight = new Set<string>(); // sent on this connection and not answered yet

	constructor(owner: OutboxOwner) {
		this.#owner = owner;
	}

	load(db: Db, entries: Entry[]): void {
		this.#db = db;
		this.entries = entries;
	}

	/* The entries of one conversation, oldest first. */
	of(conversationId: string): Entry[] {
		return this.entries.filter((entry) => entry.conversationId === conversationId);
	}

	get held(): number {
		return this.entries.filter((entry) => entry.error).length;
	}

	async add(entry: Entry): Promise<void> {
		this.entries = [...this.entries, entry];
		this.#owner.changed();
		await this.#keep(entry);
		this.#deliver(entry);
	}

	/* Puts `entry` in the place of `old`, and sends it. */
	async replace(old: Entry, entry: Entry): Promise<void> {
		this.entries = this.entries.map((one) => (one.id === old.id ? entry : one));
		this.#owner.changed();
		await this.#keep(entry);
		if (entry.id !== old.id) await this.#db?.dropEntry(old.id);
		this.#deliver(entry);
	}

	drop(id: string): void {
		this.entries = this.entries.filter((entry) => entry.id !== id);
		void this.#db?.dropEntry(id);
		this.#owner.changed();
	}

	/* After a (re)connect: everything that waits and was not refused. */
	flush(): void {
		this.#inFlight.clear();
		for (const entry of this.entries) {
			if (!entry.error) this.#deliver(entry);
		}
	}

	async #keep(entry: Entry): Promise<void> {
		try {
			await this.#db?.putEntry(entry);
		} catch {
			this.#owner.tell("This browser refuses to store more; what is not sent yet is lost if the page closes.");
		}
	}

	#deliver(entry: Entry): void {
		if (!this.#owner.isUp() || this.#inFlight.has(entry.id)) return;
		this.#inFlight.add(entry.id);
		this.#owner
			.ask(entry.frame)
			.then((answer) => {
				this.#inFlight.delete(entry.id);
				return this.#owner.delivered(entry, answer);
			})
			.then(() => this.#owner.changed())
			.catch((error: WireError) => this.#refused(entry, error));
	}

	#refused(entry: Entry, error: WireError): void {
		if (error.code === "link_down") return;
		this.#inFlight.delete(entry.id);
		if (entry.frame.type === "message:delete" && error.code === "not_found") {
			this.drop(entry.id);
		} else if (error.retryable) {
			this.#owner.tell(`Not sent yet: ${error.message}.`);
			const again = () => {
				if (this.entries.includes(entry)) this.#deliver(entry);
			};
			setTimeout(again, Math.max(RESEND_MS, error.retryAfterMs));
		} else {
			const held: Entry = { ...entry, error: refusal(error) };
			this.entries = this.entries.map((one) => (one.id === entry.id ? held : one));
			void this.#keep(held);
		}
		this.#owner.changed();
	}
}
