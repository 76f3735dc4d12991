/* The device's own copy, in IndexedDB: records, the cursor they belong to, and the outbox.
 *
 * What always holds: a cursor is written in the same transaction as the records it covers, so after a crash the copy is
 * a true state of the feed; and a message is in the outbox before it is first sent. One database per user, so that text
 * of one never shows to another. Where the browser refuses a database (private windows) the page works from memory. */

import type { WireRecord } from "./wire";

export interface Draft {
	messageId: string;
	conversationId: string;
	text: string;
	request: { model?: string; params?: Record<string, unknown> }; // what is asked of the model
	at: string; // RFC 3339; when the person pressed send
	isForced?: boolean; // "send anyway" after the daemon asked about a duplicate
	error?: { code: string; message: string }; // why it was refused; it waits for the person
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
			const request = indexedDB.open(`roost-${userId}`, 1);
			request.onupgradeneeded = () => {
				request.result.createObjectStore("records");
				request.result.createObjectStore("meta");
				request.result.createObjectStore("outbox", { keyPath: "messageId" });
			};
			return new Db(await result(request));
		} catch {
			return new Db(null);
		}
	}

	close(): void {
		this.#idb?.close();
		this.#idb = null;
	}

	async load(): Promise<{ records: WireRecord[]; cursor: string | null; outbox: Draft[] }> {
		if (!this.#idb) return { records: [], cursor: null, outbox: [] };
		const transaction = this.#idb.transaction(["records", "meta", "outbox"], "readonly");
		const [records, cursor, outbox] = await Promise.all([
			result(transaction.objectStore("records").getAll() as IDBRequest<WireRecord[]>),
			result(transaction.objectStore("meta").get("cursor") as IDBRequest<string | undefined>),
			result(transaction.objectStore("outbox").getAll() as IDBRequest<Draft[]>),
		]);
		outbox.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
		return { records, cursor: cursor ?? null, outbox };
	}

	/* Stores one step of the feed. `cursor` null leaves the stored one as it is. */
	async apply(records: WireRecord[], cursor: string | null): Promise<void> {
		if (!this.#idb) return;
		const transaction = this.#idb.transaction(["records", "meta"], "readwrite");
		const store = transaction.objectStore("records");
		for (const record of records) {
			const key = [record.type, record.name];
			if (record.deleted) store.delete(key);
			else store.put(record, key);
		}
		if (cursor !== null) transaction.objectStore("meta").put(cursor, "cursor");
		await done(transaction);
	}

	/* Drops every record and the cursor; the outbox stays, for nothing typed is lost by a resync. */
	async forget(): Promise<void> {
		if (!this.#idb) return;
		const transaction = this.#idb.transaction(["records", "meta"], "readwrite");
		transaction.objectStore("records").clear();
		transaction.objectStore("meta").clear();
		await done(transaction);
	}

	async putDraft(draft: Draft): Promise<void> {
		if (!this.#idb) return;
		const transaction = this.#idb.transaction("outbox", "readwrite", { durability: "strict" });
		transaction.objectStore("outbox").put(draft);
		await done(transaction);
	}

	async dropDraft(messageId: string): Promise<void> {
		if (!this.#idb) return;
		const transaction = this.#idb.transaction("outbox", "readwrite");
		transaction.objectStore("outbox").delete(messageId);
		await done(transaction);
	}
}
