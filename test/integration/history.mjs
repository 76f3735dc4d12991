// Checks a history: what devices sent, were told and shown while a daemon was killed again and again, what the provider
// counted, and what was there in the end. Every rule is one pass over the events, so a check costs time in proportion to
// the history.
//
// An event is a plain object, in the order in which it happened to its device:
//   {kind: "sent", device, messageId, conversationId, text, answer}    a message:send left the device
//   {kind: "acked", device, messageId, duplicate, requestId}           its ack arrived
//   {kind: "told", device, records}                                    a session:changes arrived
//   {kind: "shown", device, connection, requestId, attempt, stream, offset, text}   a message:delta arrived
//   {kind: "called", messageId}                                        the provider was asked to answer that message
//   {kind: "final", records}                                           everything there is, read from the beginning

const isMessage = (r) => r.type === "Message" && !r.deleted;
const isAnswer = (r) => isMessage(r) && r.fields.role === "assistant";
const isReply = (r) => isAnswer(r) && r.fields.status === "complete"; // others keep what was left of an attempt

// What the rules look things up in.
function index(events) {
	const at = { sent: new Map(), final: new Map(), conversations: new Map() };
	for (const event of events) {
		if (event.kind === "sent") at.sent.set(event.messageId, event);
		if (event.kind !== "final") continue;
		for (const record of event.records) {
			at.final.set(`${record.type}/${record.name}`, record);
			if (!isMessage(record)) continue;
			const { conversationId, ord } = record.fields;
			if (!at.conversations.has(conversationId)) at.conversations.set(conversationId, []);
			at.conversations.get(conversationId).push({ ord, name: record.name });
		}
	}
	for (const list of at.conversations.values()) list.sort((a, b) => a.ord - b.ord);
	return at;
}

export const rules = {
	// A message is new once: one ack at most says so, and only for what was sent.
	acksAreUnique(events, at, say) {
		const fresh = new Set();
		for (const { kind, messageId, duplicate } of events) {
			if (kind !== "acked") continue;
			if (!at.sent.has(messageId)) say(`${messageId} was acked and never sent`);
			if (!duplicate && fresh.has(messageId)) say(`${messageId} was new twice`);
			if (!duplicate) fresh.add(messageId);
		}
	},

	// What was acked is there in the end, with the text that was sent, and its request with it.
	acksAreKept(events, at, say) {
		for (const { kind, messageId, requestId } of events) {
			if (kind !== "acked") continue;
			const kept = at.final.get(`Message/${messageId}`);
			if (!kept || kept.deleted) say(`${messageId} was acked and is gone`);
			else if (kept.fields.text !== at.sent.get(messageId)?.text) say(`${messageId} has another text than was sent`);
			if (requestId && !at.final.has(`Request/${requestId}`)) say(`request ${requestId} was acked and is gone`);
		}
	},

	// Nothing is there that no person sent and no request asked for.
	nothingIsInvented(_, at, say) {
		for (const record of at.final.values()) {
			if (isMessage(record) && record.fields.role === "user" && !at.sent.has(record.name)) say(`${record.name} was never sent`);
			if (isAnswer(record) && !at.final.has(`Request/${record.fields.requestId}`)) say(`reply ${record.name} answers nothing`);
		}
	},

	// A message's place is given once: every device was told the same, and a conversation's places are 1, 2, 3, …
	orderIsEqual(events, at, say) {
		for (const event of events) {
			if (event.kind !== "told") continue;
			for (const record of event.records.filter(isMessage)) {
				const kept = at.final.get(`Message/${record.name}`);
				if (kept && kept.fields.ord !== record.fields.ord)
					say(`${event.device} was told ${record.name} is at ${record.fields.ord}, it is at ${kept.fields.ord}`);
			}
		}
		for (const [conversationId, list] of at.conversations)
			list.forEach(({ ord }, i) => ord === i + 1 || say(`conversation ${conversationId} has ${ord} at place ${i + 1}`));
	},

	// What a device knows of a conversation has no hole: told of place n, it was told of all before it, or sent them.
	prefixesHaveNoGap(events, at, say) {
		const known = new Map(); // device → conversation → {names, next: index of the first it does not know}
		const of = (device, conversationId) => {
			if (!known.has(device)) known.set(device, new Map());
			const mine = known.get(device);
			if (!mine.has(conversationId)) mine.set(conversationId, { names: new Set(), next: 0 });
			return mine.get(conversationId);
		};
		for (const event of events) {
			if (event.kind === "sent") of(event.device, event.conversationId).names.add(event.messageId);
			if (event.kind !== "told") continue;
			const messages = event.records.filter(isMessage);
			for (const { name, fields } of messages) of(event.device, fields.conversationId).names.add(name);
			for (const { name, fields } of messages) {
				const list = at.conversations.get(fields.conversationId) ?? [];
				const view = of(event.device, fields.conversationId);
				while (view.next < list.length && view.names.has(list[view.next].name)) view.next++;
				if (view.next < fields.ord && view.next < list.length)
					say(`${event.device} was told ${name} at ${fields.ord} and does not know place ${view.next + 1}`);
			}
		}
	},

	// A request has at most one reply, the one it names; exactly one when it is done; and nobody was ever told another.
	oneReplyPerRequest(events, at, say) {
		const replies = new Map();
		const note = (record) => {
			const { requestId } = record.fields;
			if (replies.has(requestId) && replies.get(requestId) !== record.name)
				say(`request ${requestId} has the replies ${replies.get(requestId)} and ${record.name}`);
			replies.set(requestId, record.name);
		};
		for (const event of events) if (event.kind === "told" || event.kind === "final") event.records.filter(isReply).forEach(note);
		for (const record of at.final.values()) {
			if (record.type !== "Request") continue;
			const reply = replies.get(record.name);
			if (record.fields.state === "done" && !reply) say(`request ${record.name} is done and has no reply`);
			if (reply && !at.final.has(`Message/${reply}`)) say(`reply ${reply} was told and is gone`);
			if (reply && record.fields.replyId !== reply) say(`request ${record.name} names another reply than it has`);
		}
	},

	// Every request has ended.
	requestsEnd(_, at, say) {
		for (const record of at.final.values())
			if (record.type === "Request" && !["done", "failed", "stopped"].includes(record.fields.state))
				say(`request ${record.name} is still ${record.fields.state}`);
	},

	// The fencing number only grows, and what is kept is of the greatest one anybody saw.
	fencesGrow(events, at, say) {
		const seen = new Map(); // device + request → attempt of its last record
		for (const event of events) {
			if (event.kind === "shown") {
				const kept = at.final.get(`Request/${event.requestId}`);
				if (kept && kept.fields.attempt < event.attempt)
					say(`text of attempt ${event.attempt} of ${event.requestId} was shown, the last is ${kept.fields.attempt}`);
			}
			if (event.kind !== "told") continue;
			for (const record of event.records) {
				if (record.type !== "Request") continue;
				const key = `${event.device} ${record.name}`;
				if ((seen.get(key) ?? 0) > record.fields.attempt) say(`request ${record.name} went back to attempt ${record.fields.attempt}`);
				seen.set(key, record.fields.attempt);
				const kept = at.final.get(`Request/${record.name}`);
				if (kept && kept.fields.attempt < record.fields.attempt) say(`request ${record.name} lost attempt ${record.fields.attempt}`);
			}
		}
	},

	// Every call the provider counted is an attempt on the record, and what is done was asked for.
	callsAreAttempts(events, at, say) {
		const calls = new Map();
		for (const { kind, messageId } of events) if (kind === "called") calls.set(messageId, (calls.get(messageId) ?? 0) + 1);
		const byMessage = new Map();
		for (const r of at.final.values()) if (r.type === "Request") byMessage.set(r.fields.messageId, r);
		for (const [messageId, n] of calls) {
			const attempts = byMessage.get(messageId)?.fields.attempt ?? 0;
			if (n > attempts) say(`the provider was called ${n} times for ${messageId}, ${attempts} attempts are on the record`);
		}
		for (const [messageId, r] of byMessage)
			if (r.fields.state === "done" && !calls.has(messageId)) say(`request ${r.name} is done and the provider was never called`);
	},

	// On one connection a stream has no gap and no repeat; all devices were shown the same text; and what was shown of
	// the last attempt is what the reply says.
	streamsAreGapFree(events, at, say) {
		const ends = new Map(); // device, connection, stream → bytes
		const texts = new Map(); // stream → the longest text anybody was shown, as bytes
		for (const event of events) {
			if (event.kind !== "shown") continue;
			const stream = `${event.requestId}/${event.attempt}/${event.stream}`;
			const key = `${event.device} ${event.connection} ${stream}`;
			const bytes = Buffer.from(event.text);
			if (event.offset !== (ends.get(key) ?? 0)) say(`${key}: offset ${event.offset} after ${ends.get(key) ?? 0} bytes`);
			ends.set(key, event.offset + bytes.length);
			const text = texts.get(stream) ?? { parts: [], length: 0 };
			texts.set(stream, text);
			compare(stream, text, event.offset, bytes, say);
		}
		for (const [stream, { parts }] of texts) {
			const [requestId, attempt, name] = stream.split("/");
			const request = at.final.get(`Request/${requestId}`);
			if (name !== "text" || request?.fields.state !== "done" || request.fields.attempt !== Number(attempt)) continue;
			const reply = Buffer.from(at.final.get(`Message/${request.fields.replyId}`)?.fields.text ?? "");
			const shown = Buffer.concat(parts.map((part) => part.bytes));
			if (!reply.subarray(0, shown.length).equals(shown)) say(`${stream}: the reply is not the text that was shown`);
		}
	},
};

// Adds bytes at an offset to what is known of a stream; what is known already must be the same. Parts are whole
// deltas, found by their offset, because devices are mostly shown the same pieces.
function compare(stream, text, offset, bytes, say) {
	if (offset === text.length) {
		text.parts.push({ offset, bytes });
		text.length += bytes.length;
		return;
	}
	if (offset > text.length) {
		say(`${stream}: text at ${offset} where nobody was shown more than ${text.length} bytes`);
		return;
	}
	let lo = 0;
	for (let hi = text.parts.length - 1; lo < hi; ) {
		const mid = (lo + hi + 1) >> 1;
		if (text.parts[mid].offset <= offset) lo = mid;
		else hi = mid - 1;
	}
	let rest = bytes;
	for (let at = offset; rest.length > 0 && lo < text.parts.length; lo++) {
		const part = text.parts[lo];
		const piece = part.bytes.subarray(at - part.offset, at - part.offset + rest.length);
		if (!rest.subarray(0, piece.length).equals(piece)) say(`${stream}: two texts at ${at}`);
		at += piece.length;
		rest = rest.subarray(piece.length);
	}
	if (rest.length > 0) compare(stream, text, text.length, rest, say);
}

// The violations: [{rule, what}].
export function check(events) {
	const found = [];
	const at = index(events);
	for (const [rule, run] of Object.entries(rules)) run(events, at, (what) => found.push({ rule, what }));
	return found;
}
