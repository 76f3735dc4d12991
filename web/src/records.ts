/* The records this device knows, in memory, with the few indexes the screens need.
 *
 * Every change comes in through apply(), in feed order; a record replaces the one of its type and name. Objects are
 * never changed in place, so a screen may compare them by identity. Types the page does not show are kept as well:
 * they cost little, and a later page finds them. */

import type {
	Conversation,
	Device,
	Message,
	Permission,
	Project,
	Request,
	Revision,
	Session,
	WireRecord,
} from "./wire";

interface Thread {
	messages: Message[];
	isSorted: boolean;
}

type Index<R> = Map<string, Map<string, R>>; // what a field says → name → record

/* Puts a record where its `field` says, out of where that of `old` did. */
function file<R>(index: Index<R>, field: string, record: WireRecord, old: WireRecord | undefined): void {
	if (old) index.get(old.fields[field] as string)?.delete(old.name);
	if (record.deleted) return;
	const key = record.fields[field] as string;
	let names = index.get(key);
	if (!names) index.set(key, (names = new Map()));
	names.set(record.name, record as unknown as R);
}

export class Records {
	#types = new Map<string, Map<string, WireRecord>>(); // type → name → record
	#conversationList: Conversation[] | null = null; // sorted, newest first; null: make it again
	#threads = new Map<string, Thread>(); // by conversation
	#answers = new Map<string, Message>(); // request → the newest message an attempt at it left
	#requests: Index<Request> = new Map(); // by conversation
	#revisions: Index<Revision> = new Map(); // by the record whose they are
	#permissions: Index<Permission> = new Map(); // by conversation
	#questions = new Map<string, Permission>(); // the open ones of them

	clear(): void {
		this.#types.clear();
		this.#conversationList = null;
		this.#threads.clear();
		this.#answers.clear();
		this.#requests.clear();
		this.#revisions.clear();
		this.#permissions.clear();
		this.#questions.clear();
	}

	apply(record: WireRecord): void {
		let names = this.#types.get(record.type);
		if (!names) this.#types.set(record.type, (names = new Map()));
		const old = names.get(record.name);
		if (record.deleted) names.delete(record.name);
		else names.set(record.name, record);

		if (record.type === "Message") this.#applyMessage(record as unknown as Message, old as Message | undefined);
		else if (record.type === "Request") file(this.#requests, "conversationId", record, old);
		else if (record.type === "Revision") file(this.#revisions, "recordName", record, old);
		else if (record.type === "Permission") this.#applyPermission(record as unknown as Permission, old);
		else if (record.type === "Conversation") this.#conversationList = null;
	}

	#applyPermission(permission: Permission, old: WireRecord | undefined): void {
		file(this.#permissions, "conversationId", permission as unknown as WireRecord, old);
		if (permission.fields.state === "open" && !permission.deleted) this.#questions.set(permission.name, permission);
		else this.#questions.delete(permission.name);
	}

	#applyMessage(message: Message, old: Message | undefined): void {
		this.#conversationList = null;
		if (old) {
			const messages = this.#threads.get(old.fields.conversationId)?.messages;
			const index = messages?.lastIndexOf(old) ?? -1;
			if (index >= 0) messages!.splice(index, 1);
		}
		if (message.deleted) {
			const requestId = old?.fields.requestId;
			if (requestId && this.#answers.get(requestId) === old) this.#answers.delete(requestId);
			return;
		}
		const { role, requestId } = message.fields;
		const isAnswer = role === "assistant" && requestId != null;
		const id = message.fields.conversationId;
		let thread = this.#threads.get(id);
		if (!thread) this.#threads.set(id, (thread = { messages: [], isSorted: true }));
		const last = thread.messages[thread.messages.length - 1];
		if (last && last.fields.ord > message.fields.ord) thread.isSorted = false;
		thread.messages.push(message);
		if (isAnswer && (this.#answers.get(requestId)?.fields.ord ?? -1) <= message.fields.ord) {
			this.#answers.set(requestId, message);
		}
	}

	/* Drops the messages, requests and questions of a session, and returns them as deleted ones. */
	dropSession(sessionId: string): WireRecord[] {
		const dropped: WireRecord[] = [];
		for (const type of ["Message", "Request", "Permission"]) {
			for (const record of this.#types.get(type)?.values() ?? []) {
				if (record.fields.sessionId === sessionId) dropped.push({ ...record, deleted: true });
			}
		}
		for (const record of dropped) this.apply(record);
		return dropped;
	}

	#get<T>(type: string, name: string): T | undefined {
		return this.#types.get(type)?.get(name) as T | undefined;
	}

	conversation(name: string): Conversation | undefined {
		return this.#get("Conversation", name);
	}

	message(name: string): Message | undefined {
		return this.#get("Message", name);
	}

	request(name: string): Request | undefined {
		return this.#get("Request", name);
	}

	device(name: string): Device | undefined {
		return this.#get("Device", name);
	}

	session(name: string): Session | undefined {
		return this.#get("Session", name);
	}

	project(name: string): Project | undefined {
		return this.#get("Project", name);
	}

	/* The names of all projects. */
	projects(): string[] {
		return [...(this.#types.get("Project")?.keys() ?? [])];
	}

	sessionsOf(conversationId: string): Session[] {
		const sessions = [...(this.#types.get("Session")?.values() ?? [])] as unknown as Session[];
		return sessions.filter((one) => one.fields.conversationId === conversationId);
	}

	/* The values a field of a record had, or might have had; newest first. */
	revisions(recordName: string, field: string): Revision[] {
		const all = [...(this.#revisions.get(recordName)?.values() ?? [])];
		return all.filter((one) => one.fields.field === field).sort((a, b) => (a.fields.at < b.fields.at ? 1 : -1));
	}

	/* The messages of a conversation in the order the daemon gave them. The array is ours; it changes with apply(). */
	messages(conversationId: string): readonly Message[] {
		const thread = this.#threads.get(conversationId);
		if (!thread) return [];
		if (!thread.isSorted) {
			thread.messages.sort((a, b) => a.fields.ord - b.fields.ord);
			thread.isSorted = true;
		}
		return thread.messages;
	}

	lastMessage(conversationId: string): Message | undefined {
		const messages = this.messages(conversationId);
		return messages[messages.length - 1];
	}

	/* The newest message that attempts at a request left: the answer, or how far a stopped or failed one came. */
	answer(requestId: string): Message | undefined {
		return this.#answers.get(requestId);
	}

	requestsOf(conversationId: string): Request[] {
		return [...(this.#requests.get(conversationId)?.values() ?? [])];
	}

	/* What agents asked in a conversation, in that order. */
	permissionsOf(conversationId: string): Permission[] {
		const all = [...(this.#permissions.get(conversationId)?.values() ?? [])];
		return all.sort((a, b) => (a.fields.askedAt < b.fields.askedAt ? -1 : 1));
	}

	/* What waits for an answer, in all conversations. */
	questions(): Permission[] {
		return [...this.#questions.values()];
	}

	/* When something last happened in a conversation, RFC 3339. */
	touchedAt(conversation: Conversation): string {
		const last = this.lastMessage(conversation.name)?.created.at ?? "";
		return last > conversation.created.at ? last : conversation.created.at;
	}

	/* All conversations, the one with the newest message first. */
	conversations(): readonly Conversation[] {
		if (!this.#conversationList) {
			const conversations = (this.#types.get("Conversation")?.values() ?? []) as Iterable<Conversation>;
			const found = Array.from(conversations, (one): [string, Conversation] => [this.touchedAt(one), one]);
			found.sort((a, b) => (a[0] < b[0] ? 1 : a[0] > b[0] ? -1 : 0));
			this.#conversationList = found.map(([, one]) => one);
		}
		return this.#conversationList;
	}
}
