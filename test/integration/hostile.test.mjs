// What a device that means harm tries: on its own connection, on the daemon, and above all on other users. It has a
// good credential and keeps to the protocol's form; what it asks for is refused or done, and nobody else notices.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, Device, newId, sleep, until } from "../lib/roost.mjs";

const JOINED = 8, UNANSWERED = 100, ASSET_BYTES = 65_536;
const LIMITS = { joinedSessions: JOINED, unansweredCalls: UNANSWERED, assetBytes: ASSET_BYTES };
const config = `limits:\n${Object.entries(LIMITS).map(([key, value]) => `  ${key}: ${value}\n`).join("")}`;
const FAST = { model: "local:test", params: { tokens: 60, tokensPerSecond: 100 } };
const SLOW = { model: "local:test", params: { tokens: 900, tokensPerSecond: 60 } };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let daemon, ann, mal;
before(async () => {
	daemon = await Daemon.start({ config });
	for (const name of ["ann", "mal"]) await daemon.operator("POST", "users", { name });
	ann = await daemon.device({ user: "ann" });
	mal = await daemon.device({ user: "mal" });
});
after(() => daemon.remove());

async function stillFine(device) {
	assert.equal((await device.call("ping")).type, "pong");
	assert.ok(daemon.running, daemon.errors);
}

const stateOf = async (device, requestId) => (await device.call("request:get", { requestId })).state;
const running = (device, requestId) =>
	until(async () => (await stateOf(device, requestId)) === "claimed", `${requestId} to run`);

// A GET whose answer does not end by itself: what came so far is `text`, and `over` says that it ended.
function open(path, { token }) {
	const answer = { text: "", over: false };
	const end = () => (answer.over = true);
	const request = http.get(
		{ host: "127.0.0.1", port: daemon.port, path, headers: { authorization: `Bearer ${token}` }, agent: false },
		(from) => {
			answer.status = from.statusCode;
			from.on("data", (part) => (answer.text += part));
			from.on("close", end);
			from.on("error", end);
		},
	);
	request.on("error", end);
	answer.destroy = () => request.destroy();
	return answer;
}

// Bytes on a connection of their own: `text` is what came back.
function wire(port = daemon.port) {
	const socket = net.connect(port, "127.0.0.1");
	socket.text = "";
	socket.on("data", (part) => (socket.text += part));
	socket.on("error", () => {});
	return socket;
}

const head = (method, path, { token }, more) =>
	`${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n${more}\r\n\r\n`;

describe("a query", () => {
	const values = (n) => ({ field: "name", op: "in", value: Array.from({ length: n }, (_, i) => `x${i}`) });
	const query = (...filter) => mal.call("record:query", { recordType: "Project", filter });

	test("with more values than a statement can bind is refused", async () => {
		for (const lists of [[128, 128, 128, 128], [128, 128, 128, 20], [128, 128, 1]])
			await assert.rejects(query(...lists.map(values)), { code: "bad_field" }, `${lists}`);
		await stillFine(mal);
	});

	test("with as many as it can bind is answered", async () => {
		assert.deepEqual((await query(values(128), values(128))).records, []);
		await stillFine(mal);
	});
});

describe("an attachment", () => {
	const put = (bytes, { token }, path = sha256(bytes)) =>
		daemon.http("PUT", `/api/v1/assets/${path}`, { token, body: bytes });
	const get = (bytes, { token }) => daemon.http("GET", `/api/v1/assets/${sha256(bytes)}`, { token });

	test("cannot be written over by an upload that was begun before another one ended", async () => {
		const good = Buffer.from("what ann keeps and mal has a copy of");
		const name = `/api/v1/assets/${sha256(good)}`;
		assert.equal((await put(good, ann)).status, 201);
		const slow = wire();
		slow.write(head("PUT", name, mal, `Content-Length: ${good.length}`) + "w");
		const parts = () => readdir(join(daemon.data, "assets/tmp"));
		await until(async () => (await parts()).some((part) => part.endsWith(sha256(good))), "the slow upload");
		const second = await put(good, mal);
		slow.write("EVIL".repeat(20).slice(1, good.length));
		await until(() => slow.text.includes("\r\n\r\n"), "the end of the slow upload");
		assert.match(slow.text, /^HTTP\/1.1 400 /);
		assert.equal((await get(good, ann)).text, good.toString());
		assert.deepEqual([second.status, second.json.error?.code], [429, "too_many"]);
		assert.equal((await put(good, mal)).status, 201, "and when the slow one is gone it goes in");
		assert.equal((await get(good, mal)).text, good.toString());
		slow.destroy();
	});

	test("uploaded twice at once by one person is stored whole", async () => {
		const good = Buffer.from("two devices of one person send the same picture");
		const slow = wire();
		slow.write(head("PUT", `/api/v1/assets/${sha256(good)}`, mal, `Content-Length: ${good.length}`));
		slow.write(good.subarray(0, 10));
		const all = await Promise.all(Array.from({ length: 8 }, () => put(good, mal)));
		for (const { status } of all) assert.ok(status === 201 || status === 429, String(status));
		slow.write(good.subarray(10));
		await until(() => slow.text.includes("\r\n\r\n"), "the end of the slow upload");
		assert.match(slow.text, /^HTTP\/1.1 (201|429) /);
		const statuses = [slow.text.slice("HTTP/1.1 ".length, 12), ...all.map(({ status }) => String(status))];
		assert.ok(statuses.includes("201"), statuses.join());
		assert.equal((await get(good, mal)).text, good.toString());
		slow.destroy();
	});

	test("of no bytes is one too, however its length is told", async () => {
		const nothing = Buffer.alloc(0);
		const name = `/api/v1/assets/${sha256(nothing)}`;
		const ways = { "Content-Length: 0": "", "X-None: 1": "", "Transfer-Encoding: chunked": "0\r\n\r\n" };
		const next = head("GET", "/api/v1/me", mal, "X-None: 1");
		for (const [length, body] of Object.entries(ways))
			for (const [first, then] of [[next, ""], ["", next]]) {
				// With the next request right behind it, and with nothing more to come.
				const socket = wire();
				const has = (text) => until(() => socket.text.includes(text), `${text}${length}`, 2000);
				socket.write(head("PUT", name, mal, length) + body + first);
				await has("HTTP/1.1 201 ");
				socket.write(then);
				await has(mal.deviceId);
				socket.destroy();
			}
		const answer = await get(nothing, mal);
		assert.deepEqual([answer.status, answer.bytes.length], [200, 0]);
		assert.equal((await put(nothing, {})).status, 401);
		assert.equal((await get(nothing, ann)).status, 404);
	});

	test("that says it will be larger than assetBytes is refused with its first piece", async () => {
		const piece = (total, bytes) =>
			daemon.http("PUT", `/api/v1/assets/${"ab".repeat(32)}`, {
				token: mal.token,
				body: bytes,
				headers: { "content-range": `bytes 0-${bytes.length - 1}/${total}` },
			});
		for (const total of [ASSET_BYTES + 1, 9_000_000_000_000]) {
			const answer = await piece(total, Buffer.alloc(60_000));
			assert.deepEqual([answer.status, answer.json.error.code], [413, "too_large"], String(total));
		}
		assert.equal((await piece(ASSET_BYTES, Buffer.alloc(60_000))).status, 202);
	});
});

describe("two users with the same messageId", () => {
	// Both send it, in this order, to the same conversationId; each has joined.
	async function both(first, second, [firstRequest, secondRequest]) {
		const same = { messageId: newId(), conversationId: newId() };
		const ids = [];
		for (const [device, request] of [[first, firstRequest], [second, secondRequest]]) {
			await device.call("session:join", { conversationId: same.conversationId });
			ids.push((await device.send({ ...same, ...request, text: `of ${device.userId}` })).requestId);
		}
		return ids;
	}
	// What a user's own request ended as, with its reply just as it was streamed.
	async function answered(device, requestId) {
		const { fields } = await device.finished(requestId);
		assert.equal(fields.state, "done");
		const { text } = device.record("Message", fields.replyId).fields;
		assert.equal(device.stream(requestId), text);
		return text;
	}
	async function leaveAll(device) {
		const joined = device.frames.filter(({ type }) => type === "session:state");
		for (const conversationId of new Set(joined.map((frame) => frame.conversationId)))
			await device.call("session:leave", { conversationId }).catch(() => {});
	}

	test("see each their own answer, and a follower none but its own", async () => {
		for (const [first, second] of [[ann, mal], [mal, ann]]) {
			const [one, two] = await both(first, second, [FAST, FAST]);
			const follow = (requestId, who) => open(`/api/v1/requests/${requestId}/stream`, who);
			const followers = [follow(one, first), follow(two, second)];
			const texts = [await answered(first, one), await answered(second, two)];
			await until(() => followers.every(({ over }) => over), "the followers' end");
			assert.deepEqual(followers.map(({ text }) => text), texts);
			assert.notEqual(texts[0], texts[1]);
			assert.equal((await daemon.http("GET", `/api/v1/requests/${one}/stream`, second)).status, 404);
			for (const device of [first, second]) await leaveAll(device);
		}
	});

	const stops = {
		"request:stop": (device, requestId) => device.call("request:stop", { requestId }),
		"stopRequested": (device, requestId, more) =>
			device.call("record:save", {
				policy: "changedKeys",
				records: [{ type: "Request", name: requestId, fields: { stopRequested: true } }],
				...more,
			}),
	};
	for (const [how, stop] of Object.entries(stops))
		test(`stop only their own by ${how}`, async () => {
			for (const [first, second] of [[ann, mal], [mal, ann]]) {
				const ids = await both(first, second, first === ann ? [FAST, SLOW] : [SLOW, FAST]);
				const [hers, his] = first === ann ? ids : [ids[1], ids[0]];
				await running(mal, his);
				await stop(mal, his);
				assert.equal((await mal.finished(his)).fields.state, "stopped");
				await answered(ann, hers);
				for (const device of [ann, mal]) await leaveAll(device);
			}
		});

	test("cannot stop the other's by its id", async () => {
		const { requestId } = await ann.send({ text: "x", conversationId: newId(), ...SLOW });
		await running(ann, requestId);
		await assert.rejects(stops["request:stop"](mal, requestId), { code: "not_found" });
		for (const more of [{}, { zone: "app" }]) {
			const { results } = await stops.stopRequested(mal, requestId, more);
			assert.equal(results[0].error.code, "forbidden");
		}
		await stillFine(mal);
		assert.equal(await stateOf(ann, requestId), "claimed");
		assert.equal((await stops["request:stop"](ann, requestId)).state, "stopped");
	});
});

describe("a merge", () => {
	const save = (device, policy, fields, name, more) =>
		device.call("record:save", { policy, records: [{ type: "Conversation", name, fields, ...more }] });

	// Everybody's writes wait behind it.
	test("of tens of thousands of members or elements takes no time that others notice", async () => {
		const N = 40_000;
		const tags = (sign) => Array.from({ length: N }, (_, i) => `${sign}${String(N - i).padStart(6, "0")}`);
		const members = (value) => Object.fromEntries(tags("k").map((key) => [key, value]));
		const reversed = (value) => Object.fromEntries(tags("k").reverse().map((key) => [key, value]));
		const [one, two, three] = [newId(), newId(), newId()];
		await save(mal, "allKeys", { title: "members", settings: members(1) }, one);
		await save(mal, "allKeys", { title: "elements", tags: tags("a") }, two);
		await save(mal, "allKeys", { title: "lists", more: members([]) }, three);
		const began = Date.now();
		for (const [policy, fields, name] of [
			["changedKeys", { settings: reversed(2) }, one],
			["merge", { settings: reversed(3) }, one],
			["changedKeys", { tags: tags("b") }, two],
			["merge", { tags: { add: tags("c") } }, two],
			["merge", reversed([1]), three],
		])
			await save(mal, policy, fields, name);
		assert.ok(Date.now() - began < 10_000, `${Date.now() - began} ms`);
		await stillFine(ann);
	});

	test("that replaces what was replaced long ago does not lengthen its revision for ever", async () => {
		const device = await daemon.device({ user: "mal" });
		const name = newId();
		const stamp = (i) => `${(Date.now() - 100_000 + i).toString(16).padStart(12, "0")}-0000-${device.deviceId}`;
		const first = stamp(0);
		await save(device, "merge", { title: "0" }, name, { stamp: first, base: {} });
		const edits = Array.from({ length: 150 }, (_, i) => ({
			type: "Conversation",
			name,
			stamp: stamp(i + 1),
			base: { title: first },
			fields: { title: String(i + 1) },
		}));
		await device.call("record:save", { policy: "merge", records: edits });
		const filter = [{ field: "recordName", op: "eq", value: name }];
		const { records } = await device.call("record:query", { recordType: "Revision", filter, limit: 200 });
		assert.equal(records.length, 150);
		assert.equal(Math.max(...records.map(({ fields }) => fields.replacedBy.length)), 64);
		assert.equal(records.find(({ fields }) => fields.value === "0").fields.conflict, false);
		await device.close();
	});
});

test("a device that came after a clear can neither edit nor delete what it does not see", async () => {
	const conversationId = newId();
	const { messageId } = await mal.send({ text: "said before", conversationId });
	await mal.call("session:clear", { conversationId });
	const late = await daemon.device({ user: "mal" });
	const absent = newId();
	const told = async (verb, id, more) => {
		const { code, message, sessionId } = await late.call(verb, { messageId: id, ...more }).catch((error) => error);
		return { code, message: message?.replace(id, "it"), sessionId };
	};
	for (const [verb, more] of [["message:edit", { text: "x" }], ["message:delete", {}]]) {
		const answer = await told(verb, messageId, more);
		assert.equal(answer.code, "not_found", verb);
		assert.deepEqual(answer, await told(verb, absent, more), verb);
	}
	assert.equal((await mal.call("message:delete", { messageId })).messageId, messageId, "which others can");
	await late.close();
});

test("params of an automatic run that are as deep as a frame may be are refused or kept", async () => {
	const { sessionId } = await mal.send({ text: "hello", conversationId: newId() });
	for (let depth = 1, params = {}; depth < 64; depth++, params = { params }) {
		const start = mal.call("auto:start", { sessionId, params });
		if (depth > 32) await assert.rejects(start, { code: "bad_field" }, String(depth));
		else assert.deepEqual((await start).params, params);
		if (depth <= 32) await mal.call("auto:stop", { sessionId });
	}
	await stillFine(mal);
});

test("a session's automatic run ends in time though another user runs one in a session of the same id", async () => {
	const conversationId = newId(), began = Date.now();
	const start = async (device, maxMs) => {
		const { sessionId } = await device.send({ text: "hello", conversationId });
		return device.call("auto:start", { sessionId, mode: "time", limits: { maxMs } });
	};
	const first = await start(mal, 3_600_000), second = await start(ann, 1000);
	assert.equal(first.sessionId, second.sessionId);
	await until(
		async () => (await ann.call("auto:state", { sessionId: second.sessionId })).state === "stopped",
		"the end of ann's run",
	);
	assert.ok(Date.now() - began >= 1000);
	assert.equal((await mal.call("auto:stop", { sessionId: first.sessionId })).state, "stopped");
});

test("a message that takes the reply's name gets no more than its name", async () => {
	const conversationId = newId();
	const { requestId } = await mal.send({ text: "x", conversationId, ...FAST });
	const { replyId: wanted } = await mal.call("request:get", { requestId });
	await mal.send({ text: "this is my seat", conversationId, messageId: wanted });
	const { fields } = await mal.finished(requestId);
	assert.deepEqual([fields.state, fields.attempts.length], ["done", 1]);
	assert.notEqual(fields.replyId, wanted);
	assert.equal((await mal.call("request:get", { requestId })).replyId, fields.replyId);
	const { records } = await mal.call("record:query", {
		recordType: "Message",
		filter: [{ field: "conversationId", op: "eq", value: conversationId }],
	});
	const found = Object.fromEntries(records.map((record) => [record.name, record.fields]));
	assert.deepEqual([found[wanted].role, found[wanted].text], ["user", "this is my seat"]);
	assert.deepEqual([found[fields.replyId].role, found[fields.replyId].status], ["assistant", "complete"]);
	assert.equal(await mal.kept(requestId, 1), found[fields.replyId].text);
});

test("revoking a device ends within a second whatever it has open, and nothing of its neighbour's", async () => {
	const [lost, stays] = [await daemon.pair({ user: "ann" }), await daemon.pair({ user: "ann" })];
	const { requestId } = await ann.send({ text: "x", conversationId: newId(), ...SLOW });
	await running(ann, requestId);
	const poll = async ({ token }) => {
		let page = { more: true };
		while (page.more) {
			const from = page.cursor ? `&cursor=${page.cursor}` : "";
			page = (await daemon.http("GET", `/api/v1/changes?limit=200${from}`, { token })).json;
		}
		return `/api/v1/changes?wait=20000&cursor=${page.cursor}`;
	};
	const all = async (who) => ({
		events: open("/api/v1/events", who),
		follower: open(`/api/v1/requests/${requestId}/stream`, who),
		poll: open(await poll(who), who),
	});
	const [its, others] = [await all(lost), await all(stays)];
	const socket = await Device.connect(daemon, lost);
	// That device's coming is itself news: the polls of before it have ended.
	for (const [list, who] of [[its, lost], [others, stays]]) {
		await until(() => list.poll.over, "the poll's end");
		list.poll = open(await poll(who), who);
	}
	await until(() => its.events.text && its.follower.text && others.follower.text, "something to be shown");
	await sleep(100); // for the polls to wait
	await daemon.operator("POST", "devices/revoke", { user: "ann", deviceId: lost.deviceId });
	await until(() => Object.values(its).every(({ over }) => over), "everything to end", 1000);
	assert.equal((await socket.gone).code, 4003);
	assert.equal(its.poll.status, 401);
	assert.deepEqual([others.events.over, others.follower.over], [false, false]);
	await ann.send({ text: "told when it was gone", conversationId: newId() });
	await until(() => others.events.text.includes("told when it was gone"), "the neighbour's event");
	assert.ok(!its.events.text.includes("told when it was gone"));
	for (const one of Object.values(others)) one.destroy();
	await ann.call("request:stop", { requestId });
});

test("an offset inside a character is refused, of an answer that runs and of one that is done", async () => {
	const whole = { ...SLOW, params: { tokens: 400 } };
	const { ack, reply } = await mal.converse({ text: "x", conversationId: newId(), ...whole });
	const runs = await mal.send({ text: "x", conversationId: newId(), ...SLOW });
	mal.attach(runs);
	const inside = (text) => Buffer.from(text).findIndex((byte) => byte >= 0x80 && byte < 0xc0);
	await mal.until(() => inside(mal.stream(runs.requestId)) > 0, "a character of two bytes");
	for (const [{ requestId }, text] of [[ack, reply.fields.text], [runs, mal.stream(runs.requestId)]]) {
		const attach = (offset) => mal.call("message:attach", { requestId, attempt: 1, kind: "text", offset });
		await assert.rejects(attach(inside(text)), { code: "bad_field" });
		const from = inside(text) - 1;
		const delta = await attach(from);
		assert.ok(delta.text.startsWith(Buffer.from(text).subarray(from).toString()));
		await stillFine(mal);
	}
	await mal.call("request:stop", { requestId: runs.requestId });
});

describe("frames sent without waiting", () => {
	const answers = (device, type) => device.frames.filter((frame) => frame.type === type);

	test("join no more than joinedSessions", async () => {
		const device = await daemon.device({ user: "mal" });
		const ids = Array.from({ length: 5 * JOINED }, newId);
		const asked = ids.map((conversationId) => device.call("session:join", { conversationId }));
		const told = await Promise.allSettled(asked);
		const refused = told.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
		assert.equal(told.length - refused.length, JOINED);
		for (const { code, message } of refused) {
			assert.equal(code, "too_many");
			assert.match(message, /joinedSessions/);
		}
		const joined = ids.find((_, i) => told[i].status === "fulfilled");
		await device.call("session:join", { conversationId: joined }); // again is no more
		await device.call("session:leave", { conversationId: joined });
		await device.call("session:join", { conversationId: newId() });
		await device.close();
	});

	// A join reads before it sits down; what is asked here leaves in one piece, so that it is read in one.
	test("take effect in their order: a leave right behind its join", async () => {
		const device = await daemon.device({ user: "mal" });
		const conversationId = newId();
		const { sessionId: killed } = await mal.send({ text: "so that there is a session", conversationId });
		const { sessionId } = await mal.call("session:clear", { conversationId });
		const atOnce = (...frames) => {
			device.socket._socket.cork();
			const asked = frames.map(([type, fields]) => device.call(type, fields));
			device.socket._socket.uncork();
			return Promise.allSettled(asked);
		};
		const isGone = (what) =>
			assert.rejects(device.call("session:leave", { conversationId }), { code: "not_found" }, what);
		const names = [{ conversationId }, { sessionId }, { sessionId: killed }];
		for (const join of names)
			for (const leave of names) {
				const what = `${JSON.stringify(join)} ${JSON.stringify(leave)}`;
				// A session that was cleared is the place only of those who joined it by its name.
				if (leave.sessionId === killed && join !== leave) continue;
				const [joined, left] = await atOnce(["session:join", join], ["session:leave", leave]);
				assert.equal(left.value?.type, "session:left", what);
				assert.ok(joined.reason?.code === "not_joined" || joined.value?.type === "session:state", what);
				await isGone(what);
			}
		// What is behind the leave, and what is elsewhere, goes on.
		const [, left, elsewhere, again] = await atOnce(
			["session:join", { conversationId }],
			["session:leave", { conversationId }],
			["session:join", { conversationId: newId() }],
			["session:join", { sessionId }],
		);
		assert.equal(left.value?.type, "session:left");
		assert.equal(elsewhere.value?.type, "session:state");
		assert.ok(again.value?.joined.includes(device.deviceId));
		// One that was joined already.
		const [, gone] = await atOnce(["session:join", { conversationId }], ["session:leave", { sessionId }]);
		assert.equal(gone.value?.type, "session:left");
		await isGone("joined before");
		// More leaves, of places it may be, than a join remembers.
		const others = Array.from({ length: 40 }, () => ["session:leave", { conversationId: newId() }]);
		await atOnce(["session:join", { sessionId }], ...others);
		await stillFine(device);
		await device.close();
	});

	test("take effect in their order: what is asked of a session right behind its join", async () => {
		const device = await daemon.device({ user: "mal" });
		const second = await daemon.device({ user: "mal" });
		const atOnce = (...frames) => {
			device.socket._socket.cork();
			const asked = frames.map(([type, fields]) => device.call(type, fields));
			device.socket._socket.uncork();
			return Promise.allSettled(asked);
		};
		const said = (told) => told.map(({ value, reason }) => value?.type ?? reason.code);
		const conversationId = newId();
		const { sessionId } = await mal.send({ text: "so that there is a session", conversationId });
		const asks = [
			["session:typing", { sessionId }],
			["device:primary", { sessionId, action: "request" }],
			["session:lock", { sessionId }],
			["session:unlock", { sessionId }],
			["session:lock", { sessionId }],
		];
		const names = asks.map(([type]) => type.replace(/lock$/, "locked"));
		for (const place of [{ conversationId }, { sessionId }]) {
			const told = await atOnce(["session:join", place], ...asks);
			assert.deepEqual(said(told), ["session:state", ...names]);
			assert.equal(told.at(-1).value.deviceId, device.deviceId);
			await device.call("session:leave", place);
		}
		// Of several joins under way it is any.
		const others = Array.from({ length: 3 }, () => ["session:join", { conversationId: newId() }]);
		const among = await atOnce(others[0], ["session:join", { conversationId }], others[1], asks[2], others[2], asks[3]);
		assert.deepEqual(said([among[3], among[5]]), ["session:locked", "session:unlocked"]);
		// A join that fails, or is taken back, leaves them where they were.
		await device.call("session:leave", { conversationId });
		const failed = await atOnce(["session:join", { sessionId: newId() }], ...asks);
		assert.deepEqual(said(failed), ["not_found", ...asks.map(() => "not_joined")]);
		const left = await atOnce(["session:join", { sessionId }], asks[2], ["session:leave", { sessionId }]);
		assert.equal(said(left)[2], "session:left");
		assert.deepEqual(said(await atOnce(asks[2])), ["not_joined"]);
		assert.equal((await mal.call("session:join", { sessionId })).lock, null);
		await mal.call("session:leave", { sessionId });
		// One that goes while it waits takes nothing with it; what it joined is free.
		await second.call("session:join", { sessionId });
		void atOnce(["session:join", { sessionId }], ["session:lock", { sessionId, waitMs: 5000 }]);
		device.socket.terminate();
		await until(async () => !(await second.call("session:join", { sessionId })).joined.includes(device.deviceId), "its going");
		assert.equal((await second.call("session:lock", { sessionId })).deviceId, second.deviceId);
		await second.close();
		await stillFine(mal);
	});

	test("fill one place in the line for a lock, however many they are", async () => {
		const [holder, device, next] = [await daemon.device({ user: "mal" }), await daemon.device({ user: "mal" }), mal];
		const { sessionId } = await holder.send({ text: "x", conversationId: newId() });
		for (const one of [holder, device, next]) await one.call("session:join", { sessionId });
		await holder.call("session:lock", { sessionId });
		const waits = Array.from({ length: UNANSWERED - 10 }, () => device.call("session:lock", { sessionId, waitMs: 20_000 }));
		const told = Promise.allSettled(waits);
		await device.call("ping");
		const mine = next.call("session:lock", { sessionId, waitMs: 20_000 });
		await next.call("ping");
		const again = device.call("session:lock", { sessionId, waitMs: 20_000 }); // it keeps its place
		const codes = (await told).map(({ reason }) => reason?.code);
		assert.deepEqual([...new Set(codes)], ["session_locked"]);
		await holder.call("session:unlock", { sessionId });
		assert.equal((await again).deviceId, device.deviceId);
		await device.call("session:unlock", { sessionId });
		assert.equal((await mine).deviceId, next.deviceId);
		await next.call("session:leave", { sessionId });
		for (const one of [holder, device]) await one.close();
	});

	// Asks for news twice as often at once as is allowed, waits for the refusals, makes news, and waits for the
	// answers. `look` is shown the device between.
	async function askTooMuch(look) {
		const device = await daemon.device({ user: "mal" });
		const { cursor } = await until(async () => {
			const page = await device.call("session:sync", { cursor: device.cursor, waitMs: 100 });
			return page.records.length === 0 && page;
		}, "the feed to be quiet");
		device.frames.length = 0;
		const ids = Array.from({ length: 2 * UNANSWERED }, (_, i) => `wait-${i}`);
		const frame = { type: "session:sync", cursor, waitMs: 60_000 };
		for (const id of ids) device.socket.send(JSON.stringify({ ...frame, id }));
		await device.until(() => answers(device, "error").length >= UNANSWERED, "the refusals");
		look?.(device);
		await mal.send({ text: "news, which ends the waiting", conversationId: newId() });
		const ended = () => answers(device, "session:changes").filter(({ re }) => re?.startsWith?.("wait-"));
		await device.until(() => ended().length >= UNANSWERED, "the waiting frames' answers");
		await stillFine(device);
		await device.close();
		assert.deepEqual([ended().length, answers(device, "error").length], [UNANSWERED, UNANSWERED]);
		return { ids, refused: answers(device, "error"), answered: ended() };
	}

	test("wait for their answers no more than unansweredCalls", async () => {
		const nothingYet = (device) => assert.deepEqual(answers(device, "session:changes"), []);
		const { refused } = await askTooMuch(nothingYet);
		for (const { code, message, retryable } of refused) {
			assert.deepEqual([code, retryable], ["too_many", true]);
			assert.match(message, /unansweredCalls/);
		}
	});

	test("are named in their refusal", async () => {
		const { ids, refused, answered } = await askTooMuch();
		assert.deepEqual([...answered, ...refused].map(({ re }) => re).sort(), ids.sort());
	});
});

test("a body that is not finished when the daemon stops does not disturb its stopping", async () => {
	const one = await Daemon.start({ config });
	try {
		const device = await one.device();
		const socket = wire(one.port);
		socket.write(head("GET", "/metrics", device, "Content-Length: 3") + "a");
		await sleep(100); // for the daemon to have read it
		one.child.kill("SIGTERM");
		await device.gone;
		await sleep(100); // for the store to be closed
		socket.write("bc");
		const [code, signal] = await Promise.race([one.exited, sleep(6000, ["still there"], { ref: false })]);
		assert.deepEqual([code, signal], [0, null], one.errors);
		socket.destroy();
	} finally {
		await one.remove();
	}
});

test("a pairing that is complete only when the daemon stops is refused", async () => {
	const one = await Daemon.start({ config });
	try {
		const device = await one.device();
		const socket = wire(one.port);
		const body = JSON.stringify({ code: (await one.code()).code, deviceId: newId(), name: "late", platform: "test" });
		socket.write(head("POST", "/api/v1/pair", device, `Content-Type: application/json\r\nContent-Length: ${body.length}`));
		socket.write(body.slice(0, -1));
		await sleep(100); // for the daemon to have read it
		one.child.kill("SIGTERM");
		await device.gone;
		await sleep(100); // for the store to be closed
		socket.write("}");
		const [code, signal] = await Promise.race([one.exited, sleep(6000, ["still there"], { ref: false })]);
		assert.deepEqual([code, signal], [0, null], one.errors);
		assert.match(socket.text, /^HTTP\/1\.1 503 .*"shutting_down"/s);
		socket.destroy();
	} finally {
		await one.remove();
	}
});
