// The device protocol as a device sees it: every verb, its answer, what it pushes to others, and that a second device, a
// second connection and a second life of the daemon all see the same.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, Device, newId } from "../lib/roost.mjs";

const LOCAL = { model: "local:test", params: { tokens: 12 } };
const SLOW = { model: "local:test", params: { tokens: 600, tokensPerSecond: 60 } };

const failsWith = (code) => (error) => {
	assert.equal(error.code, code, error.message);
	assert.equal(typeof error.message, "string");
	assert.equal(typeof error.retryable, "boolean");
	return true;
};

let daemon;
before(async () => (daemon = await Daemon.start()));
after(() => daemon.remove());

// Two devices of the user; closed when the test ends.
async function pairOf(t) {
	const devices = [await daemon.device({ name: "first" }), await daemon.device({ name: "second" })];
	t.after(() => Promise.all(devices.map((device) => device.close())));
	return devices;
}

test("a user pairs devicesPerUser devices and no more; one of them can be paired anew, one that went makes room", async () => {
	const one = await Daemon.start({ config: "limits:\n  devicesPerUser: 2\n" });
	try {
		const [first, second] = [await one.pair(), await one.pair()];
		await assert.rejects(one.pair(), failsWith("too_many"));
		assert.notEqual((await one.pair({ deviceId: first.deviceId })).token, first.token);
		await one.operator("POST", "devices/revoke", { deviceId: second.deviceId });
		await one.pair();
		await assert.rejects(one.pair(), failsWith("too_many"));
	} finally {
		await one.remove();
	}
});

test("of a device that was paired anew only the credential it has now is online", async () => {
	const one = await Daemon.start();
	try {
		const { deviceId } = await one.pair();
		const now = await one.device({ deviceId });
		const { devices } = await one.operator("GET", "devices");
		const rows = devices.filter((row) => row.deviceId === deviceId).map(({ revoked, online }) => ({ revoked, online }));
		assert.equal(now.welcome.deviceId, deviceId);
		assert.deepEqual(
			rows.sort((x, y) => x.revoked - y.revoked),
			[{ revoked: false, online: true }, { revoked: true, online: false }],
		);
	} finally {
		await one.remove();
	}
});

describe("device:hello", () => {
	test("is answered with who and where one is", async (t) => {
		const [a] = await pairOf(t);
		const { deviceId, userId, cursor, serverTime, devices, limits } = a.welcome;
		assert.equal(deviceId, a.deviceId);
		assert.equal(userId, a.userId);
		assert.equal(typeof cursor, "string");
		assert.match(serverTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
		assert.ok(devices.some((device) => device.deviceId === a.deviceId));
		assert.ok(limits.frameBytes >= 4096 && limits.textBytes > 0);
	});

	test("tells the limits that a device can keep to, as they are configured", async () => {
		const config = "limits:\n  lockMs: 1234\n  heartbeatMs: 2345\n  unansweredCalls: 77\n  autoMessages: 55\n";
		const one = await Daemon.start({ config });
		try {
			const { limits } = (await one.device()).welcome;
			assert.deepEqual(limits, {
				frameBytes: 1_048_576,
				textBytes: 524_288,
				recordBytes: 786_432,
				assetBytes: 67_108_864,
				batchRecords: 200,
				pageRecords: 200,
				joinedSessions: 64,
				unansweredCalls: 77,
				pingMs: 30_000,
				heartbeatMs: 2345,
				lockMs: 1234,
				autoMessages: 55,
				autoMs: 86_400_000,
				autoParamsBytes: 16_384,
			});
		} finally {
			await one.remove();
		}
	});

	// Two devices that have joined two conversations; the first is primary of both and holds both locks.
	async function joinedTwice(t) {
		const [a, b] = await pairOf(t);
		const places = [];
		for (const text of ["kept", "left"]) {
			const conversationId = newId();
			const { sessionId } = await a.send({ text, conversationId });
			for (const device of [a, b]) await device.call("session:join", { conversationId });
			await a.call("session:lock", { sessionId });
			places.push({ conversationId, sessionId });
		}
		return { a, b, places };
	}
	const again = async (t, device, more) => {
		const next = await Device.connect(daemon, device, { hello: false });
		t.after(() => next.close());
		return [next, next.call("device:hello", { deviceId: device.deviceId, protocol: 1, ...more })];
	};
	const seen = async (device, { conversationId }) => {
		const { primary, lock, joined } = await device.call("session:join", { conversationId });
		return [primary.deviceId, lock?.deviceId ?? null, joined];
	};

	test("that comes late, on a connection older than the device's present one, closes that one and no other", async (t) => {
		const now = await daemon.device();
		const [old, late] = [await Device.connect(daemon, now, { hello: false }), await Device.connect(daemon, now, { hello: false })];
		t.after(() => Promise.all([old, late].map((device) => device.close())));
		await late.call("device:hello", { deviceId: now.deviceId, protocol: 1 });
		assert.equal((await now.gone).code, 4001);
		old.call("device:hello", { deviceId: now.deviceId, protocol: 1 }).catch(() => {});
		assert.equal((await old.gone).code, 4001);
		assert.ok((await late.call("ping", {})) !== undefined);
	});

	test("of a second connection leaves what it does not name any more, and keeps the rest", async (t) => {
		const { a, b, places: [kept, left] } = await joinedTwice(t);
		const [next, welcome] = await again(t, a, { joined: [kept.conversationId, newId()] });
		await welcome;
		assert.equal((await a.gone).code, 4001);
		const isPrimary = (f) => f.type === "device:primary" && f.sessionId === left.sessionId && f.deviceId === b.deviceId;
		await b.until(() => b.frames.some(isPrimary), "the next primary");
		assert.deepEqual(await seen(b, left), [b.deviceId, null, [b.deviceId]]);
		assert.deepEqual(await seen(b, kept), [a.deviceId, a.deviceId, [a.deviceId, b.deviceId]]);
		await assert.rejects(next.call("session:leave", { conversationId: left.conversationId }), failsWith("not_found"));
		assert.ok(!b.frames.some((f) => f.type === "session:presence" && f.left.length > 0 && f.conversationId === kept.conversationId));
	});

	test("of a second connection that names nothing leaves everything, and one that says nothing about it leaves nothing", async (t) => {
		const { a, b, places } = await joinedTwice(t);
		const both = [a.deviceId, a.deviceId, [a.deviceId, b.deviceId]];
		const [first, welcome] = await again(t, a, {});
		await welcome;
		for (const place of places) assert.deepEqual(await seen(b, place), both);
		const [second, welcomed] = await again(t, first, { joined: null });
		await welcomed;
		for (const place of places) assert.deepEqual(await seen(b, place), both);
		const [, last] = await again(t, second, { joined: [] });
		await last;
		for (const place of places) assert.deepEqual(await seen(b, place), [b.deviceId, null, [b.deviceId]]);
	});

	test("with wrong places or more than joinedSessions is refused, and the first connection keeps its seats", async (t) => {
		const { a, b, places } = await joinedTwice(t);
		const tooMany = Array.from({ length: 65 }, newId);
		for (const joined of ["x", {}, [7], ["not a name"], [""], tooMany]) {
			const [next, answer] = await again(t, a, { joined });
			await assert.rejects(answer, failsWith(joined === tooMany ? "too_many" : "bad_field"));
			await next.close();
		}
		for (const place of places) assert.deepEqual(await seen(b, place), [a.deviceId, a.deviceId, [a.deviceId, b.deviceId]]);
		assert.equal(a.closed, undefined);
	});

	test("must be the first frame, with this credential's device, in protocol 1", async () => {
		const credential = await daemon.pair();
		const device = await Device.connect(daemon, credential, { hello: false });
		await assert.rejects(device.call("session:sync", {}), failsWith("bad_state"));
		const hello = { deviceId: credential.deviceId, platform: "test", name: "x", appVersion: "1", protocol: 1 };
		await assert.rejects(device.call("device:hello", { ...hello, deviceId: newId() }), failsWith("forbidden"));
		await assert.rejects(device.call("device:hello", { ...hello, protocol: 2 }), failsWith("bad_field"));
		await assert.rejects(device.call("device:hello", { ...hello, cursor: "nonsense" }), failsWith("bad_field"));
		assert.equal((await device.call("device:hello", hello)).type, "device:welcome");
		await assert.rejects(device.call("device:hello", hello), failsWith("bad_state"));
		await device.close();
	});

	test("on a second connection replaces the first, which loses nothing", async () => {
		const first = await daemon.device();
		const conversationId = newId();
		const { requestId } = await first.send({ text: "go on", conversationId, ...SLOW });
		await first.call("session:join", { conversationId });
		await first.until(() => first.stream(requestId).length > 5, "some text");
		const second = await Device.connect(daemon, first);
		assert.equal((await first.gone).code, 4001);
		await second.until(() => [...second.streams.keys()].some((key) => key.startsWith(requestId)), "text without joining again");
		await second.call("request:stop", { requestId });
		await second.close();
	});

	test("with a cursor goes on from there, without one begins at the beginning", async () => {
		const credential = await daemon.pair();
		const conversationId = newId();
		const writer = await daemon.device();
		const before = await writer.send({ text: "before", conversationId });
		const first = await Device.connect(daemon, credential);
		await first.until(() => first.record("Message", before.messageId), "the first message");
		await first.close();
		const missed = await writer.send({ text: "missed", conversationId });
		const again = await Device.connect(daemon, credential, { cursor: first.cursor });
		await again.until(() => again.record("Message", missed.messageId), "the missed message");
		assert.equal(again.record("Message", before.messageId), undefined);
		await again.close();
		const fresh = await Device.connect(daemon, credential);
		await fresh.until(() => fresh.record("Message", missed.messageId) && fresh.record("Message", before.messageId), "both");
		await fresh.close();
		await writer.close();
	});
});

describe("device:list", () => {
	test("names every device of the user and who is online; changes are pushed", async (t) => {
		const [a] = await pairOf(t);
		const other = await daemon.device({ name: "comes and goes" });
		const find = (list) => list.devices.find((device) => device.deviceId === other.deviceId);
		const online = find(await a.call("device:list"));
		assert.equal(online.name, "comes and goes");
		assert.equal(online.platform, "test");
		assert.equal(online.online, true);
		await other.close();
		await a.until(
			() => a.frames.some((f) => f.type === "device:changed" && find(f)?.online === false),
			"the news that it left",
		);
		assert.equal(find(await a.call("device:list")).online, false);
	});
});

describe("ping", () => {
	test("is answered, also before hello", async () => {
		const device = await Device.connect(daemon, await daemon.pair(), { hello: false });
		assert.equal((await device.call("ping")).type, "pong");
		await device.close();
	});
});

describe("message:send", () => {
	test("makes conversation and session, keeps the message, and tells the other device", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		const ack = await a.send({ text: "Hello 🐦\nsecond line", conversationId });
		assert.equal(ack.type, "message:ack");
		assert.equal(ack.duplicate, false);
		assert.equal(typeof ack.changeTag, "string");
		const message = await b.until(() => b.record("Message", ack.messageId), "the message");
		assert.deepEqual(
			{ role: message.fields.role, text: message.fields.text, ord: message.fields.ord },
			{ role: "user", text: "Hello 🐦\nsecond line", ord: 1 },
		);
		assert.equal(message.created.deviceId, a.deviceId);
		assert.equal(message.created.userId, a.userId);
		assert.equal(message.changeTag, ack.changeTag);
		const conversation = b.record("Conversation", conversationId);
		assert.equal(conversation.fields.title, "Hello 🐦");
		const session = b.record("Session", conversation.fields.currentSessionId);
		assert.equal(session.fields.conversationId, conversationId);
		assert.equal(session.fields.state, "active");
		assert.equal(message.fields.sessionId, session.name);
	});

	test("spares the sender its own message and nothing else", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		const { ack } = await a.converse({ text: "hi", conversationId, ...LOCAL });
		await b.until(() => b.record("Message", ack.messageId), "it on the other device");
		assert.equal(a.record("Message", ack.messageId), undefined);
		assert.ok(a.all("Message").some((m) => m.fields.requestId === ack.requestId && m.fields.role === "assistant"));
	});

	test("of the same id and content is answered as a duplicate, for ever", async (t) => {
		const [a, b] = await pairOf(t);
		const message = { messageId: newId(), conversationId: newId(), text: "once", ...LOCAL };
		const { ack: first } = await a.converse(message);
		const again = await a.send(message);
		assert.deepEqual(
			[again.duplicate, again.changeTag, again.requestId],
			[true, first.changeTag, first.requestId],
			"the first ack again",
		);
		const other = await b.send(message);
		assert.equal(other.duplicate, true);
		await b.until(() => b.record("Request", first.requestId)?.fields.state === "done", "the request");
		assert.equal(b.all("Message").filter((m) => m.fields.conversationId === message.conversationId).length, 2);
	});

	test("of the same id and other content is refused and changes nothing", async (t) => {
		const [a, b] = await pairOf(t);
		const message = { messageId: newId(), conversationId: newId(), text: "the first" };
		await a.send(message);
		for (const other of [{ text: "another" }, { conversationId: newId() }, { ...LOCAL }])
			await assert.rejects(a.send({ ...message, ...other }), failsWith("message_id_reused"));
		const answer = await daemon.http("POST", "/api/v1/messages", { token: a.token, body: { ...message, text: "another" } });
		assert.equal(answer.status, 409);
		assert.equal(answer.json.error.code, "message_id_reused");
		const kept = await b.until(() => b.record("Message", message.messageId), "the message");
		assert.equal(kept.fields.text, "the first");
	});

	test("keeps order: places count from 1 without a gap, whoever sends", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		const sends = Array.from({ length: 60 }, (_, i) => (i % 2 ? a : b).send({ text: `number ${i}`, conversationId }));
		const acks = await Promise.all(sends);
		const watcher = await daemon.device();
		await watcher.until(() => acks.every((ack) => watcher.record("Message", ack.messageId)), "all of them");
		const ords = acks.map((ack) => watcher.record("Message", ack.messageId).fields.ord).sort((x, y) => x - y);
		assert.deepEqual(ords, ords.map((_, i) => i + 1));
		for (const parity of [0, 1]) {
			const mine = acks.filter((_, i) => i % 2 === parity).map((ack) => watcher.record("Message", ack.messageId).fields.ord);
			assert.deepEqual(mine, [...mine].sort((x, y) => x - y), "one device's messages are in the order it sent them");
		}
		await watcher.close();
	});

	test("goes by session as well as by conversation, and says when there is no such session", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		await a.send({ text: "one", conversationId });
		await b.until(() => b.record("Conversation", conversationId), "the conversation");
		const sessionId = b.record("Conversation", conversationId).fields.currentSessionId;
		const ack = await b.send({ text: "two", sessionId });
		const message = await a.until(() => a.record("Message", ack.messageId), "the second");
		assert.equal(message.fields.conversationId, conversationId);
		assert.equal(message.fields.ord, 2);
		await assert.rejects(a.send({ text: "three", sessionId: newId() }), failsWith("not_found"));
	});

	test("over the limit is refused, and the error quotes the limit", async (t) => {
		const [a] = await pairOf(t);
		const text = "x".repeat(a.welcome.limits.textBytes + 1);
		await assert.rejects(a.send({ text, conversationId: newId() }), (error) => {
			assert.equal(error.code, "too_large");
			assert.match(error.message, /textBytes/);
			return true;
		});
	});
});

describe("a request", () => {
	test("streams to every joined device, and the reply is the text that was streamed", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		await a.send({ text: "first", conversationId });
		for (const device of [a, b]) {
			const state = await device.call("session:join", { conversationId });
			assert.equal(state.type, "session:state");
			assert.deepEqual(state.running, []);
		}
		const { ack, request, reply } = await a.converse({ text: "tell me", conversationId, ...LOCAL });
		assert.equal(request.fields.state, "done");
		assert.equal(request.fields.attempt, 1);
		assert.equal(request.fields.needsResponse ?? false, false);
		assert.equal(request.fields.isGenerating ?? false, false);
		assert.ok(reply.fields.text.length > 10);
		assert.equal(reply.fields.status, "complete");
		assert.equal(a.stream(ack.requestId), reply.fields.text);
		await b.until(() => b.stream(ack.requestId) === reply.fields.text, "the same text");
		const states = b.frames.filter((f) => f.type === "request:state" && f.requestId === ack.requestId).map((f) => f.state);
		assert.equal(states.at(-1), "done");
		const { times } = b.states.get(ack.requestId);
		for (const [x, y] of [["queued", "claimed"], ["claimed", "firstToken"], ["firstToken", "done"]])
			assert.ok(times[x] <= times[y], `${x} ${times[x]} is after ${y} ${times[y]}`);
	});

	test("that runs is shown from its beginning to a device that joins late", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		const { requestId } = await a.send({ text: "slowly", conversationId, ...SLOW });
		await a.call("session:join", { conversationId });
		await a.until(() => a.stream(requestId).length > 40, "some text");
		const state = await b.call("session:join", { conversationId });
		const [running] = state.running;
		assert.equal(running.requestId, requestId);
		assert.equal(running.attempt, 1);
		await b.until(() => b.stream(requestId).length > 60, "the text");
		assert.ok(a.stream(requestId).startsWith(b.stream(requestId).slice(0, 40)));
		await b.call("session:leave", { conversationId, sessionId: state.session?.name });
		const left = b.stream(requestId).length;
		await a.until(() => a.stream(requestId).length > left + 40, "more text for who stayed");
		assert.ok(b.stream(requestId).length < left + 30, "a device that left is shown more");
		await a.call("request:stop", { requestId });
	});

	test("can be attached to from any offset, in bytes", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		const { ack, reply } = await a.converse({ text: "attach", conversationId, ...LOCAL });
		const whole = Buffer.from(reply.fields.text);
		const key = `${ack.requestId}/1/text`;
		const starts = [...whole.keys()].filter((at) => (whole[at] & 0xc0) !== 0x80); // of characters
		for (const offset of [0, starts[1], starts[starts.length >> 1], whole.length]) {
			b.attach({ requestId: ack.requestId, offset });
			await b.until(() => Buffer.byteLength(b.streams.get(key)?.text ?? "") >= whole.length - offset, "the rest");
			assert.equal(b.stream(ack.requestId), whole.subarray(offset).toString());
		}
		for (const [fields, code] of [
			[{ attempt: 2 }, "attempt_superseded"],
			[{ attempt: 1, offset: -1 }, "bad_field"],
			[{ attempt: 1, kind: "smell" }, "bad_field"],
		])
			await assert.rejects(b.call("message:attach", { requestId: ack.requestId, offset: 0, kind: "text", ...fields }), failsWith(code));
	});

	test("is stopped in the middle, and keeps what there was as an interrupted message", async (t) => {
		const [a, b] = await pairOf(t);
		const conversationId = newId();
		const { requestId } = await a.send({ text: "stop me", conversationId, ...SLOW });
		await a.call("session:join", { conversationId });
		await a.until(() => a.stream(requestId).length > 20, "some text");
		const state = await b.call("request:stop", { requestId });
		assert.equal(state.type, "request:state");
		assert.equal(state.state, "stopped");
		const request = await a.finished(requestId);
		assert.equal(request.fields.state, "stopped");
		const [left] = a.answers(requestId, "interrupted");
		assert.ok(left.fields.text.startsWith(a.stream(requestId)));
		assert.deepEqual(a.answers(requestId), []);
	});

	test("is stopped while it waits behind another, and never runs", async (t) => {
		const [a] = await pairOf(t);
		const conversationId = newId();
		const running = await a.send({ text: "first", conversationId, ...SLOW });
		const waiting = await a.send({ text: "second", conversationId, ...LOCAL });
		await a.call("request:stop", { requestId: waiting.requestId });
		const request = await a.finished(waiting.requestId);
		assert.equal(request.fields.state, "stopped");
		assert.equal(request.fields.attempt, 0);
		await a.call("request:stop", { requestId: running.requestId });
		await a.finished(running.requestId);
	});

	test("is stopped by saving stopRequested on its record, too", async (t) => {
		const [a] = await pairOf(t);
		const conversationId = newId();
		const { requestId } = await a.send({ text: "by record", conversationId, ...SLOW });
		await a.call("record:save", {
			policy: "changedKeys",
			records: [{ type: "Request", name: requestId, fields: { stopRequested: true } }],
		});
		assert.equal((await a.finished(requestId)).fields.state, "stopped");
	});

	test("runs one at a time in a conversation and side by side in two", async (t) => {
		const [a] = await pairOf(t);
		const [one, two] = [newId(), newId()];
		const first = await a.send({ text: "1", conversationId: one, ...SLOW });
		const second = await a.send({ text: "2", conversationId: one, ...LOCAL });
		const elsewhere = await a.converse({ text: "3", conversationId: two, ...LOCAL });
		assert.equal(elsewhere.request.fields.state, "done");
		assert.notEqual(a.record("Request", second.requestId)?.fields.state, "done");
		await a.call("request:stop", { requestId: first.requestId });
		assert.equal((await a.finished(second.requestId)).fields.state, "done");
	});

	test("that was stopped is retried as a new attempt", async (t) => {
		const [a] = await pairOf(t);
		const conversationId = newId();
		const { requestId } = await a.send({
			text: "again",
			conversationId,
			model: "local:test",
			params: { tokens: 40, tokensPerSecond: 40 },
		});
		await a.call("session:join", { conversationId });
		await a.until(() => a.stream(requestId).length > 5, "some text");
		await a.call("request:stop", { requestId });
		await a.finished(requestId);
		const shown = a.stream(requestId);
		await a.call("request:retry", { requestId });
		const request = await a.until(() => {
			const record = a.record("Request", requestId);
			return record.fields.state === "done" && record;
		}, "the second attempt");
		assert.equal(request.fields.attempt, 2);
		const replies = a.answers(requestId);
		assert.equal(replies.length, 1);
		assert.equal(replies[0].name, request.fields.replyId);
		assert.equal(a.stream(requestId, 2), replies[0].fields.text);
		assert.ok((await a.kept(requestId, 1)).startsWith(shown));
		await assert.rejects(a.call("request:retry", { requestId }), failsWith("bad_state"));
	});

	test("for a model nobody serves fails with a clear error", async (t) => {
		const [a] = await pairOf(t);
		await a.send({ text: "x", conversationId: newId(), model: "no:such" }).then(
			async ({ requestId }) => {
				const request = await a.finished(requestId);
				assert.equal(request.fields.state, "failed");
				assert.equal(request.fields.error.code, "model_unknown");
			},
			(error) => assert.equal(error.code, "model_unknown"),
		);
	});
});

describe("session:sync", () => {
	test("pages through everything in feed order, and the last cursor has nothing after it", async (t) => {
		const [a] = await pairOf(t);
		const reader = await Device.connect(daemon, await daemon.pair());
		const seen = new Map();
		let cursor;
		for (let more = true; more; ) {
			const page = await a.call("session:sync", { ...(cursor ? { cursor } : {}), limit: 7 });
			assert.equal(page.type, "session:changes");
			for (const record of page.records) {
				const key = `${record.type}/${record.name}`;
				assert.ok(!seen.has(key), `${key} came twice`);
				seen.set(key, record);
			}
			({ cursor, more } = page);
		}
		assert.ok(seen.size > 20);
		const last = await a.call("session:sync", { cursor, limit: 7 });
		assert.deepEqual([last.records, last.more], [[], false]);
		await reader.close();
	});

	test("refuses a cursor of another store and one that is none", async (t) => {
		const [a] = await pairOf(t);
		const page = await a.call("session:sync", { limit: 1 });
		const other = page.cursor.replace(/\.([0-9a-f])/, (_, digit) => `.${digit === "0" ? "1" : "0"}`);
		await assert.rejects(a.call("session:sync", { cursor: other }), failsWith("cursor_expired"));
		await assert.rejects(a.call("session:sync", { cursor: "?" }), failsWith("bad_field"));
		await assert.rejects(a.call("session:sync", { limit: 0 }), failsWith("bad_field"));
	});
});

describe("a restart of the daemon", () => {
	test("keeps every record, every ack and every cursor", async () => {
		const own = await Daemon.start();
		const device = await own.device();
		const conversationId = newId();
		const message = { messageId: newId(), conversationId, text: "kept", ...LOCAL };
		const { ack, reply } = await device.converse(message);
		await device.until(() => device.cursor, "a cursor");
		assert.equal(await own.stop(), 0, own.errors);
		assert.equal((await device.gone).code, 1001);
		await own.restart();
		const again = await Device.connect(own, device, { cursor: device.cursor });
		assert.deepEqual(again.all("Message"), [], "a record came again");
		assert.equal((await again.send(message)).duplicate, true);
		const fresh = await Device.connect(own, await own.pair());
		await fresh.until(() => fresh.record("Message", reply.name) && fresh.record("Message", ack.messageId), "both messages");
		assert.equal(fresh.record("Message", reply.name).fields.text, reply.fields.text);
		await own.remove();
	});
});
