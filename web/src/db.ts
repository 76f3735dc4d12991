/* The device's own copy, in IndexedDB: records, the cursor they belong to, and the outbox.
 *
 * What always holds: a cursor is written in the same transaction as the records it covers, so after a crash the copy is
 * a true state of the feed; and what a person did is in the outbox before it is first sent. One database per user, so
 * that text of one never shows to another. Where the browser refuses a database (private windows) the page works from
 * memory. */

import type { Frame, WireRecord } from "./wire";

/* Why the daemon refused an entry; it waits for the person. The members of the error that a person is told. */
export interface Refusal {
	code: string;
	message: string;
	deviceId?: string; // of duplicate_message: who sent it first
	ageMs?: number;
	holder?: string; // of session_locked
	expiresAt?: string;
	sessionId?: string; // of session_killed: the session of now
}

/* Something of this device that the daemon has not got yet: a message, an edit, a deletion, a change of a record. */
export interface Entry {
	id: string; // a message's own; else made for the entry
	conversationId: string; // or the project that it is about
	at: string; // RFC 3339; when the person did it
	frame: Frame; // what is sent, the same every time
	error?: Refusal;
}

/* What stood in the outbox of version 1, which knew only messages. */
interface Draft {
	messageId: string;
	conversationId: string;
	text: string;
	request: object;
	at: string;
	isForced?: boolean;
	error?: Refusal;
}

function fromDraft({ messageId, conversationId, text, request, at, isForced, error }: Draft): Entry {
	const frame: Frame = { type: "message:send", messageId, conversationId, text, request };
	if (isForced) frame.force = true;
	return error ? { id: messageId, conversationId, at, frame, error } : { id: messageId, conversationId, at, frame };
}

const VERSION = 2;

function upgrade(idb: IDBDatabase, transaction: IDBTransaction, from: number): void {
	if (from < 1) {
		idb.createObjectStore("records");
		idb.createObjectStore("meta");
		idb.createObjectStore("outbox", { keyPath: "id" });
		return;
	}
	const drafts = transaction.objectStore("outbox").getAll() as IDBRequest<Draft[]>;
	drafts.onsuccess = () => {
		idb.deleteObjectStore("outbox");
		const outbox = idb.createObjectStore("outbox", { keyPath: "id" });
		for (const draft of drafts.result) outbox.put(fromDraft(draft));
	};
}

function done(transaction: IDBTransaction): Promise<void> {
	return new Promise((resolve, reject) => {
		transaction.oncomplete = () => resolve();
		transaction.onabort = () => reject(transaction.error);
		transaction.onerror = () => reject(transaction.error);
	});
}

function result<T>(request: IDBRequest<T>): Promise<T> {
	return new Promise((resolve, reject) => {
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
}

export class Db {
	#idb: IDBDatabase | null;

	private constructor(idb: IDBDatabase | null) {
		this.#idb = idb;
	}

	static async open(userId: string): Promise<Db> {
		try {
			const request = indexedDB.open(`roost-${userId}`, VERSION);
			request.onupgradeneeded = (event) => upgrade(request.result, request.transaction!, event.oldVersion);
			const isBlocked = new Promise<never>((_, reject) => {
				request.onblocked = () => reject(new Error("an older page holds the database"));
			});
			const idb = await Promise.race([result(request), isBlocked]);
			idb.onversionchange = () => idb.close();
			return new Db(idb);
		} catch {
			return new Db(null);
		}
	}

	close(): void {
		this.#idb?.close();
		this.#idb = null;
	}

	async load(): Promise<{ records: WireRecord[]; cursor: string | null; outbox: Entry[] }> {
		if (!this.#idb) return { records: [], cursor: null, outbox: [] };
		const transaction = this.#idb.transaction(["records", "meta", "outbox"], "readonly");
		const [records, cursor, outbox] = await Promise.all([
			result(transaction.objectStore("records").getAll() as IDBRequest<WireRecord[]>),
			result(transaction.objectStore("meta").get("cursor") as IDBRequest<string | undefined>),
			result(transaction.objectStore("outbox").getAll() as IDBRequest<Entry[]>),
		]);
		outbox.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
		return { records, cursor: cursor ?? null, outbox };
	}

	/* Runs `work` as one transaction, and waits for its end. */
	async #write(
		names: string[],
		work: (store: (name: string) => IDBObjectStore) => void,
		durability?: IDBTransactionDurability,
	): Promise<void> {
		if (!this.#idb) return;
		const transaction = this.#idb.transaction(names, "readwrite", { durability });
		work((name) => transaction.objectStore(name));
		await done(transaction);
	}

	/* Stores one step of the feed. `cursor` null leaves the stored one as it is. */
	apply(records: WireRecord[], cursor: string | null): Promise<void> {
		return this.#write(["records", "meta"], (store) => {
			for (const record of records) {
				const key = [record.type, record.name];
				if (record.deleted) store("records").delete(key);
				else store("records").put(record, key);
			}
			if (cursor !== null) store("meta").put(cursor, "cursor");
		});
	}

	/* Drops every record and the cursor; the outbox stays, for nothing typed is lost by a resync. */
	forget(): Promise<void> {
		return this.#write(["records", "meta"], (store) => {
			store("records").clear();
			store("meta").clear();
		});
	}

	putEntry(entry: Entry): Promise<void> {
		return this.#write(["outbox"], (store) => store("outbox").put(entry), "strict");
	}

	dropEntry(id: string): Promise<void> {
		return this.#write(["outbox"], (store) => store("outbox").delete(id));
	}
}
