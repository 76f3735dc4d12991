// The content net: the same text from another device of the same user within a few seconds is a duplicate, and nothing
// else is.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { all, Daemon, newId, sleep } from "../lib/roost.mjs";

const WINDOW = 5000;
let daemon, a, b;
before(async () => {
	daemon = await Daemon.start();
	[a, b] = [await daemon.device({ name: "phone" }), await daemon.device({ name: "laptop" })];
});
after(() => daemon.remove());

// The error a send is refused with, or its ack.
async function attempt(device, message) {
	try {
		return await device.send(message);
	} catch (error) {
		if (!error.code) throw error;
		return error;
	}
}

async function refused(device, message, original) {
	const error = await attempt(device, message);
	assert.equal(error.code, "duplicate_message", JSON.stringify(error));
	if (original) assert.equal(error.messageId, original);
	return error;
}

async function accepted(device, message) {
	const ack = await attempt(device, message);
	assert.equal(ack.type, "message:ack", `${ack.code}`);
	assert.equal(ack.duplicate, false);
	return ack;
}

async function upload(device, bytes) {
	const sha256 = createHash("sha256").update(bytes).digest("hex");
	const headers = { "content-type": "application/octet-stream" };
	const answer = await daemon.http("PUT", `/api/v1/assets/${sha256}`, { token: device.token, body: bytes, headers });
	assert.ok(answer.status < 300, answer.text);
	return sha256;
}

describe("another device says the same:", () => {
	test("it is refused with the original's id, device and age, and both devices are told", async () => {
		const conversationId = newId();
		const first = await accepted(a, { conversationId, text: "deploy it" });
		await sleep(20);
		const error = await refused(b, { conversationId, text: "deploy it" }, first.messageId);
		assert.equal(error.deviceId, a.deviceId);
		assert.ok(error.ageMs >= 20 && error.ageMs < WINDOW, `${error.ageMs}`);
		assert.equal(error.retryable, false);
		const told = await a.until(() => a.frames.find((f) => f.type === "message:duplicate" && f.messageId === first.messageId));
		assert.deepEqual([told.sessionId, told.deviceId, told.ageMs], [first.sessionId, b.deviceId, error.ageMs]);
		assert.ok(!b.frames.some((f) => f.type === "message:duplicate" && f.messageId === first.messageId));
	});

	test("the refused message was not stored, and its id is still free", async () => {
		const conversationId = newId(), messageId = newId();
		await accepted(a, { conversationId, text: "once" });
		await refused(b, { conversationId, messageId, text: "once" });
		const again = await accepted(b, { conversationId, messageId, text: "something else" });
		assert.equal(again.ord, 2);
	});

	test("with force it is sent after all", async () => {
		const conversationId = newId(), messageId = newId();
		await accepted(a, { conversationId, text: "really" });
		await refused(b, { conversationId, messageId, text: "really" });
		const ack = await accepted(b, { conversationId, messageId, text: "really", force: true });
		assert.equal(ack.ord, 2);
		// Both said it and meant it: both may say it again, a third device may not.
		await accepted(a, { conversationId, text: "really" });
		await accepted(b, { conversationId, text: "really" });
		const c = await daemon.device();
		await refused(c, { conversationId, text: "really" });
		await c.close();
	});

	test("a retry of an accepted message gets its ack, not a refusal", async () => {
		const conversationId = newId(), messageId = newId();
		await accepted(a, { conversationId, messageId, text: "retry me" });
		const ack = await a.send({ conversationId, messageId, text: "retry me" });
		assert.equal(ack.duplicate, true);
		const fromB = await b.send({ conversationId, messageId, text: "retry me" });
		assert.equal(fromB.duplicate, true); // the id is what counts
	});

	test("over HTTP it is refused in the same way", async () => {
		const conversationId = newId();
		const first = await accepted(a, { conversationId, text: "from a script" });
		const body = { messageId: newId(), conversationId, text: "from a script" };
		const answer = await daemon.http("POST", "/api/v1/messages", { token: b.token, body });
		assert.equal(answer.status, 409);
		assert.equal(answer.json.error.code, "duplicate_message");
		assert.equal(answer.json.error.messageId, first.messageId);
	});

	test("a trailing space does not defeat it", async () => {
		const conversationId = newId();
		const first = await accepted(a, { conversationId, text: "yes" });
		await refused(b, { conversationId, text: "yes " }, first.messageId);
		await refused(b, { conversationId, text: "\n yes\u00a0" }, first.messageId);
	});

	test("composed and decomposed Unicode is the same text", async () => {
		const conversationId = newId();
		const first = await accepted(a, { conversationId, text: "caf\u00e9" });
		await refused(b, { conversationId, text: "cafe\u0301" }, first.messageId);
	});

	test("the same attachment under another name is the same", async () => {
		const conversationId = newId(), sha256 = await upload(a, Buffer.from("picture"));
		await accepted(a, { conversationId, text: "look", parts: [{ sha256, name: "a.png" }] });
		await refused(b, { conversationId, text: "look", parts: [{ sha256, name: "b.png", mimeType: "image/png" }] });
	});

	test("concurrent sends: one is accepted", async () => {
		for (let round = 0; round < 50; round++) {
			const conversationId = newId(), text = `at once ${round}`;
			const [one, two] = await Promise.all([attempt(a, { conversationId, text }), attempt(b, { conversationId, text })]);
			assert.deepEqual([one.type, two.type].sort(), ["error", "message:ack"], JSON.stringify([one, two]));
		}
	});
});

describe("never refused:", () => {
	test("one device saying yes twice", async () => {
		const conversationId = newId();
		for (let i = 0; i < 5; i++) await accepted(a, { conversationId, text: "yes" });
	});

	test("another user's identical text in a conversation of the same id", async () => {
		await daemon.operator("POST", "users", { name: "other" });
		const other = await daemon.device({ user: "other" });
		const conversationId = newId();
		await accepted(a, { conversationId, text: "hello" });
		await accepted(other, { conversationId, text: "hello" });
		await other.close();
	});

	test("the same text in another session or another conversation", async () => {
		const conversationId = newId();
		await accepted(a, { conversationId, text: "start over" });
		await a.call("session:clear", { conversationId });
		await accepted(b, { conversationId, text: "start over" });
		await accepted(b, { conversationId: newId(), text: "start over" });
	});

	test("the same text in the session that follows a clear", async () => {
		const conversationId = newId();
		const { sessionId } = await accepted(a, { conversationId, text: "once more" });
		await a.call("session:clear", { sessionId });
		await accepted(b, { conversationId, text: "once more" });
	});

	test("other text, other case, other inner white space", async () => {
		const conversationId = newId();
		await accepted(a, { conversationId, text: "go on" });
		for (const text of ["go on!", "Go on", "go  on", "go\non"]) await accepted(b, { conversationId, text });
	});

	test("attachments of equal name and size with other bytes", async () => {
		const conversationId = newId();
		const [one, two] = [await upload(a, Buffer.from("bytes1")), await upload(a, Buffer.from("bytes2"))];
		await accepted(a, { conversationId, text: "see", parts: [{ sha256: one, name: "x", size: 6 }] });
		await accepted(b, { conversationId, text: "see", parts: [{ sha256: two, name: "x", size: 6 }] });
		await accepted(b, { conversationId, text: "see" });
	});

	test("an empty message: it is refused as one, by each device", async () => {
		const conversationId = newId();
		for (const device of [a, b]) assert.equal((await attempt(device, { conversationId, text: "" })).code, "bad_field");
	});

	test("a retry after the first one's request failed", async () => {
		const conversationId = newId(), model = "local:test";
		const ack = await accepted(a, { conversationId, text: "will fail", model, params: { error: "refused" } });
		await a.finished(ack.requestId);
		assert.equal(a.record("Request", ack.requestId).fields.state, "failed");
		await accepted(b, { conversationId, text: "will fail", model });
	});

	test("a retry after the first send itself was refused", async () => {
		const conversationId = newId(), text = "with a missing attachment";
		const bad = await attempt(a, { conversationId, text, parts: [{ sha256: "0".repeat(64) }] });
		assert.equal(bad.code, "not_found");
		const sha256 = await upload(a, Buffer.alloc(1));
		await accepted(b, { conversationId, text, parts: [{ sha256 }] });
	});
});

describe("the window", () => {
	let short, c, d;
	const duplicateMs = 400;
	before(async () => {
		short = await Daemon.start({ config: `limits:\n  duplicateMs: ${duplicateMs}\n` });
		[c, d] = [await short.device(), await short.device()];
	});
	after(() => short.remove());

	test("ends, and then the new sender is the original", async () => {
		const conversationId = newId(), text = "tick";
		await accepted(c, { conversationId, text });
		await sleep(duplicateMs + 50);
		const second = await accepted(d, { conversationId, text });
		await refused(c, { conversationId, text }, second.messageId);
	});

	test("begins anew when the original's device says it again", async () => {
		const conversationId = newId(), text = "tock";
		await accepted(c, { conversationId, text });
		await sleep(duplicateMs * 0.7);
		const again = await accepted(c, { conversationId, text });
		await sleep(duplicateMs * 0.5);
		await refused(d, { conversationId, text }, again.messageId);
	});

	test("is not left open by a restart of the daemon", async () => {
		const data = short.data;
		await short.stop();
		const long = await Daemon.start({ data, config: `limits:\n  duplicateMs: 60000\n` });
		const reconnect = async () => {
			for (const device of [c, d]) {
				device.daemon = long;
				await device.open();
				await device.hello({ cursor: null });
			}
		};
		await reconnect();
		const conversationId = newId();
		const first = await accepted(c, { conversationId, text: "before the restart" });
		for (let i = 0; i < 20; i++) await accepted(c, { conversationId, text: `filler ${i}` });
		await long.kill();
		await long.restart();
		await reconnect();
		await refused(d, { conversationId, text: "before the restart " }, first.messageId);
		await accepted(c, { conversationId, text: "before the restart" });
		await accepted(d, { conversationId, text: "filler", force: true });
		await long.stop();
		await short.run({ ...short.options, data });
	});

	test("of 0 is none", async () => {
		const off = await Daemon.start({ config: "limits:\n  duplicateMs: 0\n" });
		const [e, f] = [await off.device(), await off.device()];
		const conversationId = newId();
		await accepted(e, { conversationId, text: "same" });
		await accepted(f, { conversationId, text: "same" });
		await off.remove();
	});
});

test("100 devices, the same text: each round one is accepted, 99 are duplicates, none falsely", async () => {
	const house = await Daemon.start();
	const devices = [];
	for (let i = 0; i < 100; i++) devices.push(await house.device());
	const rounds = all ? 10_000 : 40;
	const conversationIds = Array.from({ length: 10 }, newId);
	for (let round = 0; round < rounds; round++) {
		const conversationId = conversationIds[round % 10], text = `round ${round}`;
		const answers = await Promise.all(devices.map((device) => attempt(device, { conversationId, text })));
		const accepted = answers.filter((answer) => answer.type === "message:ack");
		assert.equal(accepted.length, 1, `round ${round}`);
		const [{ messageId }] = accepted;
		assert.equal(answers.filter((answer) => answer.code === "duplicate_message" && answer.messageId === messageId).length, 99);
		for (const device of devices) device.frames.length = 0;
	}
	const { text: metrics } = await house.http("GET", "/metrics");
	assert.match(metrics, new RegExp(`^roost_duplicates_refused_total ${99 * rounds}$`, "m"));
	await house.remove();
});
