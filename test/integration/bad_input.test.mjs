// Bad input gets a clear answer and harms nobody: after each of these the same connection, the other devices and the
// daemon go on as if nothing had happened.

import assert from "node:assert/strict";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { Daemon, Device, newId, sleep, until } from "../lib/roost.mjs";

let daemon, device;
before(async () => {
	daemon = await Daemon.start({ config: "limits:\n  frameBytes: 65536\n  pairingMs: 1500\n  pairingTries: 5\n" });
	await daemon.operator("POST", "users", { name: "ann" });
	await daemon.operator("POST", "users", { name: "mallory" });
	device = await daemon.device({ user: "ann" });
});
after(() => daemon.remove());

async function stillFine() {
	assert.equal((await device.call("ping")).type, "pong");
	assert.ok(daemon.running, daemon.errors);
}

describe("a frame that is not one", () => {
	const nested = (depth) => `{"type":"ping","x":${"[".repeat(depth)}${"]".repeat(depth)}}`;
	const cases = [
		["is not JSON", "hello", "bad_json"],
		["is empty", "", "bad_json"],
		["ends early", '{"type":"ping"', "bad_json"],
		["goes on after its end", '{"type":"ping"} {}', "bad_json"],
		["names a key twice", '{"type":"ping","id":1,"id":2}', "bad_json"],
		["names a key twice, spelled differently", '{"type":"ping","\\u0074ype":"device:list"}', "bad_json"],
		["is nested too deep", nested(70), "bad_json"],
		["is nested absurdly deep", nested(30_000), "bad_json"],
		["has half a surrogate pair", '{"type":"ping","x":"\\ud800"}', "bad_json"],
		["has a number that is none", '{"type":"ping","x":NaN}', "bad_json"],
		["has a number that is too large", '{"type":"ping","x":1e999}', "bad_json"],
		["is a list", '["type","ping"]', "bad_frame"],
		["is a string", '"ping"', "bad_frame"],
		["is null", "null", "bad_frame"],
		["has no type", "{}", "bad_frame"],
		["has a type that is a number", '{"type":7}', "bad_frame"],
		["has a type nobody knows", '{"type":"message:explode"}', "unknown_type"],
		["has a type with control characters", '{"type":"\\u001b[2J"}', "unknown_type"],
		["has a long type of two-byte characters", `{"type":"x${"é".repeat(200)}"}`, "unknown_type"],
		["has an id that is an object", '{"type":"ping","id":{}}', "bad_field"],
		["has an id that is too long", `{"type":"ping","id":"${"x".repeat(100)}"}`, "bad_field"],
	];
	for (const [what, text, code] of cases)
		test(`because it ${what}`, async () => {
			const error = await device.raw(text);
			assert.equal(error.code, code);
			assert.equal(error.retryable, false);
			assert.ok(error.message.length > 5 && !/[\x00-\x1f\x7f\ufffd]/.test(error.message), error.message);
			await stillFine();
		});

	test("closes the connection with 1007 when it is not UTF-8, 1003 when it is binary, 1009 when it is too large", async () => {
		for (const [data, options, code] of [
			[Buffer.from([0x22, 0xff, 0x22]), { binary: false }, 1007],
			[Buffer.from("{}"), { binary: true }, 1003],
			["x".repeat(65_537), {}, 1009],
		]) {
			const one = await daemon.device({ user: "ann" });
			one.socket.send(data, options);
			assert.equal((await one.gone).code, code);
		}
		await stillFine();
	});
});

describe("a verb with a field of the wrong type", () => {
	const id = newId();
	const text = ["text", 7, [], {}, null, true];
	const verbs = {
		"message:send": {
			good: { messageId: id, conversationId: id, text: "x" },
			bad: {
				messageId: [7, null, "", "a/b", "x".repeat(256), {}],
				conversationId: [7, "", "a b", []],
				text: text.slice(1),
				request: ["x", 7, []],
				parts: [{}, "x", 7],
				auto: ["yes", 1],
			},
		},
		"message:attach": {
			good: { requestId: id, attempt: 1, kind: "text", offset: 0 },
			bad: { requestId: [7, null, {}], attempt: ["1", 1.5, -1], offset: ["0", -1, 0.5], kind: [7, "smell"] },
		},
		"session:join": { good: { conversationId: id }, bad: { conversationId: [7, [], {}] } },
		"session:leave": { good: { sessionId: id }, bad: { sessionId: [7, []] } },
		"session:sync": { good: {}, bad: { cursor: [7, {}, "x"], limit: ["1", 0, -1, 1.5, 1e9] } },
		"request:stop": { good: { requestId: id }, bad: { requestId: [7, {}] } },
		"request:retry": { good: { requestId: id }, bad: { requestId: [7, {}] } },
		"record:save": {
			good: { policy: "allKeys", records: [{ type: "Project", name: id, fields: {} }] },
			bad: { policy: [7, "x"], records: [7, {}, [7], []], atomic: ["x", 1], zone: [7, "a b"] },
		},
		"record:query": { good: { recordType: "Project" }, bad: { recordType: [7, null], filter: [7, {}], sort: [7, {}], limit: ["1", -1] } },
		"device:ack": { good: {}, bad: { cursor: [7, {}, "x"] } },
		"device:get": { good: {}, bad: { deviceId: [7, null, {}, "a/b"] } },
		"device:revoke": { good: {}, bad: { deviceId: [7, null, {}, "a/b"] } },
		"device:primary": {
			good: { sessionId: id, action: "request" },
			bad: { sessionId: [7, null, "a/b", []], action: [7, null, "conquer"], take: ["yes", 1], toDeviceId: [7, {}] },
		},
		"session:lock": { good: { sessionId: id }, bad: { sessionId: [7, null, "a/b"], ttlMs: ["1", 0, -1, 0.5], waitMs: ["1", -1, {}] } },
		"session:unlock": { good: { sessionId: id }, bad: { sessionId: [7, null, "a/b"], fence: ["1", 0, -1] } },
		"session:typing": { good: {}, bad: { sessionId: [7, null, "a/b"] } },
	};
	for (const [type, { good, bad }] of Object.entries(verbs))
		test(`${type} names the field`, async () => {
			for (const [field, values] of Object.entries(bad))
				for (const value of values)
					await assert.rejects(
						device.call(type, { ...good, [field]: value }),
						(error) => {
							assert.equal(error.code, "bad_field", `${field} = ${JSON.stringify(value)}: ${error.message}`);
							assert.ok(error.message.includes(field.replace(/s$/, "")), `${field}: ${error.message}`);
							return true;
						},
						`${type} with ${field} = ${JSON.stringify(value)}`,
					);
			await stillFine();
		});
});

describe("another user's objects", () => {
	test("look exactly like objects that do not exist", async () => {
		const mallory = await daemon.device({ user: "mallory" });
		const conversationId = newId();
		const { ack, reply } = await device.converse({
			text: "private",
			conversationId,
			model: "local:test",
			params: { tokens: 3 },
		});
		const sessionId = reply.fields.sessionId;
		const absent = newId();
		const same = async (verb, fields) => {
			const outcome = async (value) => {
				const answer = await mallory.call(verb, fields(value)).catch((error) => ({ ...error, message: error.message }));
				const { re, records, ...rest } = answer;
				return JSON.stringify({ ...rest, records: records?.length }).replaceAll(value, "ID");
			};
			return [verb, await outcome(absent), outcome];
		};
		for (const [mine, verb, fields] of [
			[ack.requestId, "request:stop", (v) => ({ requestId: v })],
			[ack.requestId, "request:retry", (v) => ({ requestId: v })],
			[ack.requestId, "message:attach", (v) => ({ requestId: v, attempt: 1, kind: "text", offset: 0 })],
			[sessionId, "session:join", (v) => ({ sessionId: v })],
			[sessionId, "message:send", (v) => ({ sessionId: v, messageId: newId(), text: "x" })],
			[sessionId, "session:leave", (v) => ({ sessionId: v })],
			[sessionId, "session:lock", (v) => ({ sessionId: v, waitMs: 100 })],
			[sessionId, "session:unlock", (v) => ({ sessionId: v })],
			[sessionId, "session:typing", (v) => ({ sessionId: v })],
			[sessionId, "device:primary", (v) => ({ sessionId: v, action: "request", take: true })],
			[device.deviceId, "device:get", (v) => ({ deviceId: v })],
			[device.deviceId, "device:revoke", (v) => ({ deviceId: v })],
			[conversationId, "session:join", (v) => ({ conversationId: v })],
			[conversationId, "record:query", (v) => ({ recordType: "Message", filter: [{ field: "conversationId", op: "eq", value: v }] })],
			[ack.messageId, "record:query", (v) => ({ recordType: "Message", filter: [{ field: "name", op: "eq", value: v }] })],
		]) {
			const [, nothing, outcome] = await same(verb, fields);
			assert.equal(await outcome(mine), nothing, `${verb} tells the two apart`);
		}
		const [request, none] = await Promise.all(
			[ack.requestId, absent].map((id) => daemon.http("GET", `/api/v1/requests/${id}`, { token: mallory.token })),
		);
		assert.equal(request.status, 404);
		assert.equal(request.text.replaceAll(ack.requestId, "ID"), none.text.replaceAll(absent, "ID"));
		await sleep(50);
		assert.deepEqual(mallory.all("Message"), []);
		assert.deepEqual([...mallory.streams], []);
		await mallory.close();
	});

	test("with the same ids are two different things", async () => {
		const mallory = await daemon.device({ user: "mallory" });
		const slow = { model: "local:test", params: { tokens: 40, tokensPerSecond: 60 } };
		const message = { messageId: newId(), conversationId: newId(), text: "mine", ...slow };
		const mine = await device.send(message);
		const theirs = await mallory.send({ ...message, text: "also mine" });
		assert.deepEqual([mine.duplicate, theirs.duplicate], [false, false]);
		await mallory.call("request:stop", { requestId: theirs.requestId });
		assert.equal((await mallory.finished(theirs.requestId)).fields.state, "stopped");
		assert.equal((await device.finished(mine.requestId)).fields.state, "done");
		await mallory.close();
	});
});

describe("a credential", () => {
	const upgrade = (headers, path = "/api/v1/devices/socket") =>
		daemon.http("GET", path, {
			headers: {
				connection: "Upgrade",
				upgrade: "websocket",
				"sec-websocket-version": "13",
				"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
				"sec-websocket-protocol": "roost.v1",
				...headers,
			},
		});

	test("that is missing, wrong or in the URL opens nothing", async () => {
		const bearer = { authorization: `Bearer ${device.token}` };
		assert.equal((await upgrade({})).status, 401);
		assert.equal((await upgrade({ authorization: "Bearer nonsense" })).status, 401);
		assert.equal((await upgrade({ authorization: `Bearer rst_${"A".repeat(43)}` })).status, 401);
		assert.equal((await upgrade({ authorization: `Basic ${device.token}` })).status, 401);
		assert.equal((await upgrade({}, `/api/v1/devices/socket?token=${device.token}`)).status, 401);
		assert.equal((await upgrade({ ...bearer, origin: "http://evil.example" })).status, 403);
		assert.equal((await upgrade({ ...bearer, host: "evil.example" })).status, 421);
		assert.equal((await upgrade({ cookie: `roost=${device.token}` })).status, 401, "a cookie without an Origin");
	});

	test("that is revoked closes the live connection within a second, and opens nothing again", async () => {
		const lost = await daemon.device({ user: "ann" });
		const began = Date.now();
		await daemon.operator("POST", "devices/revoke", { user: "ann", deviceId: lost.deviceId });
		assert.equal((await lost.gone).code, 4003);
		assert.ok(Date.now() - began < 1000);
		await assert.rejects(Device.connect(daemon, lost), (error) => error.status === 401);
		assert.equal((await daemon.http("GET", "/api/v1/changes", { token: lost.token })).status, 401);
	});

	test("of a disabled user closes its connections and opens nothing until the user is enabled", async () => {
		await daemon.operator("POST", "users", { name: "resting" });
		const resting = await daemon.device({ user: "resting" });
		await daemon.operator("POST", "users/disable", { user: "resting", disabled: true });
		await resting.gone;
		await assert.rejects(Device.connect(daemon, resting), (error) => [401, 403].includes(error.status));
		await daemon.operator("POST", "users/disable", { user: "resting", disabled: false });
		await (await Device.connect(daemon, resting)).close();
	});
});

describe("a pairing code", () => {
	const pair = (code) =>
		daemon.http("POST", "/api/v1/pair", { body: { code, deviceId: newId(), name: "x", platform: "test" } });

	test("works once", async () => {
		const { code } = await daemon.code("ann");
		assert.equal((await pair(code)).status, 200);
		const again = await pair(code);
		assert.deepEqual([again.status, again.json.error.code], [403, "pairing_invalid"]);
	});

	test("works however a person types it", async () => {
		const { code } = await daemon.code("ann");
		assert.equal((await pair(` ${code.toLowerCase().replaceAll("-", " ")} `)).status, 200);
	});

	test("expires", async () => {
		const { code, expiresAt } = await daemon.code("ann");
		await until(() => Date.now() > Date.parse(expiresAt) + 50, "the code to expire");
		assert.equal((await pair(code)).status, 403);
	});

	test("cannot be guessed: wrong ones are counted and then refused, the right one too", async () => {
		const fresh = await Daemon.start({ config: "limits:\n  pairingTries: 5\n" });
		const guess = (code) =>
			fresh.http("POST", "/api/v1/pair", { body: { code, deviceId: newId(), name: "x", platform: "test" } });
		const answers = [];
		for (let i = 0; i < 8; i++) answers.push((await guess(`AAAA-AAA${"BCDEFGHJ"[i]}`)).status);
		assert.deepEqual(answers, [403, 403, 403, 403, 403, 429, 429, 429]);
		const { code } = await fresh.code();
		const refused = await guess(code);
		assert.deepEqual([refused.status, refused.json.error.code], [429, "rate_limited"]);
		assert.ok(refused.json.error.retryAfterMs > 0);
		await fresh.remove();
	});

	test("with a body that is wrong is refused clearly", async () => {
		for (const [body, status] of [
			["{", 400],
			["[]", 400],
			[{}, 400],
			[{ code: 7, deviceId: "d" }, 400],
			[{ code: "AAAA-AAAA", deviceId: "a/b" }, 400],
		])
			assert.equal((await daemon.http("POST", "/api/v1/pair", { body })).status, status, JSON.stringify(body));
		const form = await daemon.http("POST", "/api/v1/pair", {
			body: "code=x",
			headers: { "content-type": "application/x-www-form-urlencoded" },
		});
		assert.equal(form.status, 415);
	});
});

describe("bytes that are no protocol at all", () => {
	test("are refused, and the next connection is served", async () => {
		for (const bytes of ["\0\0\0\0", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "GET", "A".repeat(100_000), "\r\n".repeat(50_000)]) {
			const socket = net.connect(daemon.port, "127.0.0.1");
			socket.on("error", () => {});
			socket.resume();
			socket.end(Buffer.from(bytes, "latin1"));
			await new Promise((done) => socket.on("close", done));
		}
		await stillFine();
		assert.equal((await daemon.http("GET", "/healthz")).status, 200);
	});
});
