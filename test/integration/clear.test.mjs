// session:clear through the public API: who is told, what ends, what a killed session takes (nothing), and what devices
// that come later see of it (nothing).

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, newId, sleep } from "../lib/roost.mjs";

let daemon, a, b;
before(async () => {
	daemon = await Daemon.start();
	[a, b] = [await daemon.device({ name: "phone" }), await daemon.device({ name: "laptop" })];
});
after(() => daemon.remove());

const inConversation = (value) => [{ field: "conversationId", op: "eq", value }];
const set = (device, type, name, fields) => device.call("record:save", { policy: "changedKeys", records: [{ type, name, fields }] });
const clear = (device, fields) => device.call("session:clear", fields);
const cleared = (device, killed) => device.frames.find((f) => f.type === "session:cleared" && f.killedSessionId === killed);

async function begin(device = a, text = "hello", more = {}) {
	const conversationId = newId();
	const ack = await device.send({ conversationId, text, ...more });
	return { conversationId, ...ack };
}

describe("session:clear", () => {
	test("kills the session, opens the next, and every other device is told", async () => {
		const { conversationId, sessionId, messageId } = await begin();
		const answer = await clear(a, { sessionId });
		assert.equal(answer.type, "session:cleared");
		assert.deepEqual([answer.killedSessionId, answer.conversationId], [sessionId, conversationId]);
		assert.notEqual(answer.sessionId, sessionId);
		const told = await b.until(() => cleared(b, sessionId), "session:cleared");
		assert.deepEqual([told.sessionId, told.conversationId], [answer.sessionId, conversationId]);
		for (const device of [a, b]) {
			await device.until(() => device.record("Session", sessionId)?.fields.state === "killed", "the killed session");
			const { fields } = device.record("Session", sessionId);
			assert.deepEqual([fields.killedBy, fields.nextSessionId], [a.deviceId, answer.sessionId]);
			await device.until(() => device.record("Conversation", conversationId)?.fields.currentSessionId === answer.sessionId, "the new session");
			assert.equal(device.record("Session", answer.sessionId).fields.state, "active");
		}
		// Who asked was answered, and is told no second time.
		assert.equal(a.frames.filter((f) => f.type === "session:cleared" && f.killedSessionId === sessionId).length, 1);
		// Nobody's copy is touched.
		assert.equal(b.record("Message", messageId).deleted, false);
		const { records } = await b.call("record:query", { recordType: "Message", filter: inConversation(conversationId) });
		assert.deepEqual(records.map(({ name }) => name), [messageId]);
	});

	test("asked again gives the same answer, and then the session that is newest", async () => {
		const { sessionId } = await begin();
		const first = await clear(a, { sessionId });
		assert.equal((await clear(b, { sessionId })).sessionId, first.sessionId);
		const second = await clear(b, { sessionId: first.sessionId });
		const again = await clear(a, { sessionId });
		assert.deepEqual([again.killedSessionId, again.sessionId], [sessionId, second.sessionId]);
	});

	test("two devices at once clear it once", async () => {
		const { sessionId } = await begin();
		const [one, two] = await Promise.all([clear(a, { sessionId }), clear(b, { sessionId })]);
		assert.equal(one.sessionId, two.sessionId);
	});

	test("a send into the killed session names the newest, also after several clears", async () => {
		const { conversationId, sessionId } = await begin();
		let newest = sessionId;
		for (let i = 0; i < 3; i++) newest = (await clear(b, { sessionId: newest })).sessionId;
		await assert.rejects(a.send({ sessionId, text: "too late" }), (e) => e.code === "session_killed" && e.sessionId === newest);
		assert.equal((await a.send({ conversationId, text: "by conversation" })).sessionId, newest);
		assert.equal((await a.send({ sessionId: newest, text: "by session" })).sessionId, newest);
	});

	test("by conversation, and over HTTP", async () => {
		const { conversationId, sessionId } = await begin();
		const one = await clear(a, { conversationId });
		assert.equal(one.killedSessionId, sessionId);
		const two = await daemon.http("POST", `/api/v1/sessions/${one.sessionId}/clear`, { token: a.token });
		assert.deepEqual([two.status, two.json.killedSessionId], [200, one.sessionId]);
		const three = await daemon.http("POST", `/api/v1/conversations/${conversationId}/clear`, { token: b.token });
		assert.deepEqual([three.status, three.json.killedSessionId], [200, two.json.sessionId]);
		await a.until(() => cleared(a, two.json.sessionId), "the device itself, whose script asked");
	});

	test("of a whole project lists every conversation", async () => {
		const projectId = newId(), made = [];
		await a.call("record:save", { records: [{ type: "Project", name: projectId, fields: { title: "p" } }] });
		for (let i = 0; i < 20; i++) {
			const one = await begin(a, `in the project ${i}`);
			await set(a, "Conversation", one.conversationId, { projectId });
			made.push(one);
		}
		const locked = made[7];
		await b.call("session:join", { conversationId: locked.conversationId });
		await b.call("session:lock", { sessionId: locked.sessionId, ttlMs: 10_000 });
		const answer = await clear(a, { projectId });
		assert.equal(answer.cleared.length, 19);
		assert.equal(answer.refused.length, 1);
		const [{ conversationId, code, holder }] = answer.refused;
		assert.deepEqual([conversationId, code, holder], [locked.conversationId, "session_locked", b.deviceId]);
		for (const { killedSessionId, conversationId: id } of answer.cleared) {
			assert.ok(made.some((one) => one.conversationId === id && one.sessionId === killedSessionId));
			await b.until(() => cleared(b, killedSessionId), "each of them");
		}
		await b.call("session:unlock", { sessionId: locked.sessionId });
		const rest = await daemon.http("POST", `/api/v1/projects/${projectId}/clear`, { token: a.token });
		assert.equal(rest.json.cleared.length, 20);
		await assert.rejects(clear(a, { projectId: newId() }), { code: "not_found" });
	});

	test("while another device holds the lock is refused; the holder may", async () => {
		const { conversationId, sessionId } = await begin();
		for (const device of [a, b]) await device.call("session:join", { conversationId });
		await b.call("session:lock", { sessionId, ttlMs: 10_000 });
		await assert.rejects(clear(a, { sessionId }), (e) => e.code === "session_locked" && e.holder === b.deviceId && e.expiresAt !== undefined);
		const answer = await clear(b, { sessionId });
		await a.send({ sessionId: answer.sessionId, text: "the new one is free" });
	});

	test("keeps the primary, under the next term, for those who joined", async () => {
		const { conversationId, sessionId } = await begin();
		for (const device of [a, b]) await device.call("session:join", { conversationId });
		const was = (await a.call("session:join", { conversationId })).primary;
		assert.equal(was.deviceId, a.deviceId);
		const { sessionId: next } = await clear(b, { sessionId });
		const now = await a.call("session:join", { conversationId });
		assert.equal(now.session.name, next);
		assert.deepEqual(now.primary, { deviceId: a.deviceId, term: was.term + 1 });
		const moved = await a.call("device:primary", { sessionId: next, action: "transfer", toDeviceId: b.deviceId });
		assert.deepEqual([moved.deviceId, moved.term], [b.deviceId, was.term + 2]);
		await a.call("session:leave", { sessionId: next });
	});

	test("names what is wrong with a question", async () => {
		for (const fields of [{}, { sessionId: newId(), conversationId: newId() }, { sessionId: "not a name" }, { projectId: 7 }])
			await assert.rejects(clear(a, fields), { code: "bad_field" });
		await assert.rejects(clear(a, { sessionId: newId() }), { code: "not_found" });
		await assert.rejects(clear(a, { conversationId: newId() }), { code: "not_found" });
		const { sessionId } = await begin();
		await daemon.operator("POST", "users", { name: "stranger" });
		const stranger = await daemon.device({ user: "stranger" });
		await assert.rejects(clear(stranger, { sessionId }), { code: "not_found" });
		await stranger.close();
	});
});

describe("what runs and waits", () => {
	const slow = { model: "local:test", params: { tokens: 4000, tokensPerSecond: 50 } };

	test("is stopped, and the next session answers at once", async () => {
		const conversationId = newId();
		await a.call("session:join", { conversationId });
		const first = await a.send({ conversationId, text: "a long story", ...slow });
		const second = await a.send({ conversationId, text: "and another", ...slow });
		await a.until(() => a.stream(first.requestId).length > 0, "some text");
		const { sessionId } = await clear(b, { conversationId });
		for (const { requestId } of [first, second]) {
			const request = await a.finished(requestId);
			assert.equal(request.fields.state, "stopped");
			assert.equal(a.answers(requestId).length + a.answers(requestId, "interrupted").length, 0);
		}
		const { reply } = await a.converse({ conversationId, text: "short", model: "local:test" });
		assert.equal(reply.fields.sessionId, sessionId);
		assert.ok((await a.kept(first.requestId, 1)).length > 0); // what was said is kept, outside of the conversation
	});

	test("is stopped too when the daemon is killed right after the answer", async () => {
		const house = await Daemon.start();
		const device = await house.device();
		const conversationId = newId();
		await device.call("session:join", { conversationId });
		const list = [];
		for (let i = 0; i < 3; i++) list.push(await device.send({ conversationId, text: `story ${i}`, ...slow }));
		await device.until(() => device.stream(list[0].requestId).length > 0, "some text");
		await clear(device, { conversationId });
		await house.kill();
		await house.restart();
		device.daemon = house;
		await device.open();
		await device.hello();
		for (const { requestId } of list) assert.equal((await device.finished(requestId)).fields.state, "stopped");
		await sleep(300);
		assert.equal(device.all("Message").filter(({ fields }) => fields.role === "assistant").length, 0);
		await house.remove();
	});

	test("cannot be tried again, nor edited", async () => {
		const conversationId = newId();
		const ack = await a.send({ conversationId, text: "fails", model: "local:test", params: { error: "refused" } });
		await a.finished(ack.requestId);
		const { sessionId } = await clear(a, { conversationId });
		const asked = { "request:retry": { requestId: ack.requestId }, "message:edit": { messageId: ack.messageId, text: "changed" } };
		for (const [type, fields] of Object.entries(asked))
			await assert.rejects(a.call(type, fields), (e) => e.code === "session_killed" && e.sessionId === sessionId, type);
	});
});

// Every way there is to read. A late device must never meet `secret`.
describe("a device that is paired after a clear", () => {
	const secret = "the secret word";
	let house, early, conversationId, killed, current, requestId, replyId, goneId, late;

	async function everything(device) {
		const token = device.token, texts = [];
		let cursor, more = true;
		while (more) {
			const page = await device.call("session:sync", { ...(cursor ? { cursor } : {}), limit: 3 });
			({ cursor, more } = page);
			texts.push(JSON.stringify(page));
		}
		for (const recordType of ["Message", "Request", "Revision", "AutoStep"]) {
			const filter = recordType === "Message" ? { filter: inConversation(conversationId) } : {};
			texts.push(JSON.stringify(await device.call("record:query", { recordType, ...filter })));
			texts.push((await house.http("POST", "/api/v1/records/query", { token, body: { recordType, ...filter } })).text);
		}
		texts.push((await house.http("GET", "/api/v1/changes", { token })).text);
		texts.push((await house.http("GET", `/api/v1/requests/${requestId}`, { token })).text);
		texts.push((await house.http("GET", `/api/v1/requests/${requestId}/stream`, { token })).text);
		texts.push(JSON.stringify(await device.call("session:join", { sessionId: killed })));
		texts.push(JSON.stringify(await device.call("message:attach", { requestId, attempt: 1, kind: "text", offset: 0 }).catch((e) => e)));
		texts.push(JSON.stringify(await set(device, "Message", replyId, { tags: ["x"] }).catch((e) => e)));
		texts.push(JSON.stringify(device.frames));
		return texts;
	}

	before(async () => {
		house = await Daemon.start();
		early = await house.device();
		conversationId = newId();
		await early.send({ conversationId, text: "an opening, which titles the conversation" });
		const { ack, reply } = await early.converse({ conversationId, text: secret, model: "local:test" });
		({ requestId } = ack);
		replyId = reply.name;
		killed = ack.sessionId;
		const edited = await early.send({ conversationId, text: secret });
		await early.call("message:edit", { messageId: edited.messageId, text: `${secret}, edited` });
		const gone = await early.send({ conversationId, text: `${secret} 2` });
		await early.call("message:edit", { messageId: gone.messageId, text: `${secret}, edited too` });
		goneId = gone.messageId;
		await early.call("message:delete", { messageId: goneId, base: "" }); // what it was edited to stays as a revision
		current = (await clear(early, { conversationId })).sessionId;
		await early.send({ conversationId, text: "for all" });
		late = await house.device();
	});
	after(() => house.remove());

	test("gets nothing of it on any way, and everything since", async () => {
		await late.until(() => late.all("Message").length > 0, "the new message");
		const texts = await everything(late);
		for (const text of texts) assert.ok(!text.includes(secret), text.slice(0, 2000));
		assert.deepEqual(late.all("Message").map(({ fields }) => fields.text), ["for all"]);
		assert.equal(late.record("Session", killed).fields.state, "killed");
		assert.equal(late.all("Request").length, 0);
	});

	test("while those that were there keep and can read everything", async () => {
		const texts = await everything(early);
		assert.ok(texts.filter((text) => text.includes(secret)).length >= 6);
		assert.ok(early.all("Message").some(({ fields }) => fields.text === secret));
	});

	test("does not hear of it live either, and misses nothing else", async () => {
		const name = early.all("Message").find(({ fields }) => fields.text === secret).name;
		const before = late.frames.length;
		await set(early, "Message", name, { tags: ["kept"] });
		const { messageId } = await early.send({ conversationId, text: "live" });
		await late.until(() => late.record("Message", messageId), "the live message");
		assert.ok(!JSON.stringify(late.frames.slice(before)).includes(secret));
		// One commit with both: it gets the one and not the other.
		const project = newId();
		await early.call("record:save", {
			policy: "changedKeys",
			records: [{ type: "Message", name, fields: { tags: ["kept", "twice"] } }, { type: "Project", name: project, fields: { title: "t" } }],
		});
		await late.until(() => late.record("Project", project), "the project");
		assert.equal(late.record("Message", name), undefined);
		// A text for a message that was deleted becomes a revision now, of what was said before.
		const stamp = `${(Date.now() - 60_000).toString(16).padStart(12, "0")}-0000-${early.deviceId}`;
		await early.call("message:edit", { messageId: goneId, text: `${secret}, typed offline`, base: "", stamp });
		await early.until(() => early.all("Revision").some(({ fields }) => fields.value === `${secret}, typed offline`), "it");
		const { messageId: behind } = await early.send({ conversationId, text: "behind it" });
		await late.until(() => late.record("Message", behind), "what is behind it");
		assert.ok(!JSON.stringify(late.frames.slice(before)).includes(secret));
		// The cursor of what was hidden reaches it too.
		const page = await early.call("session:sync", { cursor: early.cursor });
		await late.until(() => late.cursor === page.cursor, "the cursor");
	});

	test("the same after a restart, and with a clear after that", async () => {
		await house.restart();
		for (const device of [early, late]) {
			await device.open();
			device.records.clear();
			await device.hello({ cursor: null });
		}
		await late.until(() => late.all("Message").length === 3, "its messages");
		assert.ok(!JSON.stringify(late.frames).includes(secret));
		const name = newId();
		await early.until(() => early.all("Message").length >= 4, "its messages");
		const { sessionId } = await clear(late, { conversationId });
		assert.notEqual(sessionId, current);
		const later = await house.device();
		await early.send({ conversationId, messageId: name, text: "third session" });
		await later.until(() => later.record("Message", name), "the message");
		assert.equal(later.all("Message").length, 1);
		await late.until(() => late.record("Message", name), "the message");
		assert.equal(late.all("Message").length, 4);
	});

	test("a device that pairs anew was there before", async () => {
		const again = await house.device({ deviceId: early.deviceId });
		await again.until(() => again.all("Message").some(({ fields }) => fields.text === secret), "what it had");
	});

	test("events for scripts are filtered too", async () => {
		const headers = { authorization: `Bearer ${late.token}` };
		const answer = await fetch(`${house.url}/api/v1/events`, { headers, signal: AbortSignal.timeout(5000) });
		let text = "";
		for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
			text += piece;
			if (text.includes("third session")) break;
		}
		assert.ok(text.includes("third session") && !text.includes(secret));
	});
});
