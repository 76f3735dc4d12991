// The verbs' HTTP twins, for scripts: the same meanings, the same errors, proper status codes; the event stream; and
// attachments by hash.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, Device, newId, until } from "../lib/roost.mjs";

const LOCAL = { model: "local:test", params: { tokens: 10 } };
const SLOW = { model: "local:test", params: { tokens: 900, tokensPerSecond: 60 } };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let daemon, credential, token;
before(async () => {
	daemon = await Daemon.start({ config: "limits:\n  assetBytes: 300000\n  assetKeepMs: 1000\n" });
	credential = await daemon.pair();
	({ token } = credential);
});
after(() => daemon.remove());

const get = (path, options = {}) => daemon.http("GET", path, { token, ...options });
const post = (path, body, options = {}) => daemon.http("POST", path, { token, body, ...options });

async function sendAndWait(text, request = LOCAL) {
	const sent = await post("/api/v1/messages", { messageId: newId(), conversationId: newId(), text, request });
	assert.equal(sent.status, 200, sent.text);
	const { requestId } = sent.json;
	const state = () => get(`/api/v1/requests/${requestId}`).then(({ json }) => json.state === "done" && json);
	return { ...sent.json, state: await until(state, "the answer") };
}

describe("a script", () => {
	test("learns who it is, which models there are and which devices", async () => {
		const me = await get("/api/v1/me");
		assert.deepEqual([me.json.userId, me.json.deviceId], [credential.userId, credential.deviceId]);
		assert.ok((await get("/api/v1/models")).json.models.some(({ id }) => id === "local:test"));
		assert.ok((await get("/api/v1/devices")).json.devices.some(({ deviceId }) => deviceId === credential.deviceId));
	});

	test("sends, waits, reads the answer and its stream from any offset", async () => {
		const { requestId, state } = await sendAndWait("hello");
		const reply = (await get("/api/v1/changes")).json.records.find(({ name }) => name === state.replyId);
		const whole = await get(`/api/v1/requests/${requestId}/stream`);
		assert.equal(whole.text, reply.fields.text);
		const rest = await get(`/api/v1/requests/${requestId}/stream?offset=7`);
		assert.equal(rest.text, Buffer.from(whole.text).subarray(7).toString());
	});

	test("follows an answer that has not begun: the one before it in the conversation is under way", async () => {
		const conversationId = newId();
		const send = (request) =>
			post("/api/v1/messages", { messageId: newId(), conversationId, text: "well?", request: { model: "local:test", ...request } });
		const first = (await send({ params: { delayMs: 60000 } })).json;
		const second = (await send({ params: { tokens: 5 } })).json;
		assert.equal((await get(`/api/v1/requests/${second.requestId}`)).json.state, "queued");
		const following = get(`/api/v1/requests/${second.requestId}/stream`);
		assert.equal((await get(`/api/v1/requests/${second.requestId}`)).json.state, "queued");
		await post(`/api/v1/requests/${first.requestId}/stop`);
		const { text } = await following;
		const { replyId } = (await get(`/api/v1/requests/${second.requestId}`)).json;
		const reply = (await get("/api/v1/changes")).json.records.find(({ name }) => name === replyId);
		assert.ok(text.length > 0);
		assert.equal(text, reply.fields.text);
	});

	test("stops a running answer and tries it again", async () => {
		const body = { messageId: newId(), conversationId: newId(), text: "long", request: SLOW };
		const { requestId } = (await post("/api/v1/messages", body)).json;
		const stopped = await post(`/api/v1/requests/${requestId}/stop`);
		assert.deepEqual([stopped.status, stopped.json.state], [200, "stopped"]);
		assert.equal((await post(`/api/v1/requests/${requestId}/retry`)).status, 200);
		assert.equal((await post(`/api/v1/requests/${requestId}/retry`)).json.error.code, "bad_state");
		assert.equal((await post(`/api/v1/requests/${requestId}/stop`)).status, 200);
	});

	test("follows by cursor, and a poll that waits ends with the change", async () => {
		let page = (await get("/api/v1/changes?limit=200")).json;
		while (page.more) page = (await get(`/api/v1/changes?limit=200&cursor=${page.cursor}`)).json;
		const quiet = await get(`/api/v1/changes?cursor=${page.cursor}&wait=50`);
		assert.deepEqual(quiet.json.records, []);
		const waiting = get(`/api/v1/changes?cursor=${page.cursor}&wait=10000`);
		const other = await daemon.device();
		const ack = await other.send({ text: "news", conversationId: newId() });
		const seen = (await waiting).json;
		let records = seen.records;
		while (!records.some(({ name }) => name === ack.messageId))
			records = (await get(`/api/v1/changes?cursor=${seen.cursor}&wait=5000`)).json.records;
		await other.close();
	});

	test("gets the errors a device gets, with their status", async () => {
		for (const [method, path, body, status, code] of [
			["GET", "/api/v1/nothing", undefined, 404, "not_found"],
			["DELETE", "/api/v1/messages", undefined, 405, "method_not_allowed"],
			["GET", `/api/v1/requests/${newId()}`, undefined, 404, "not_found"],
			["POST", "/api/v1/messages", "{", 400, "bad_json"],
			["POST", "/api/v1/messages", "[]", 400, "bad_frame"],
			["POST", "/api/v1/messages", { text: "x" }, 400, "bad_field"],
			["POST", "/api/v1/messages", '{"text":"a","text":"b"}', 400, "bad_json"],
			["GET", "/api/v1/changes?cursor=x", undefined, 400, "bad_field"],
			["GET", "/api/v1/changes?limit=x", undefined, 400, "bad_field"],
		]) {
			const answer = await daemon.http(method, path, { token, body });
			assert.deepEqual([answer.status, answer.json?.error.code], [status, code], `${method} ${path}`);
		}
		const form = await post("/api/v1/messages", "a=b", { headers: { "content-type": "application/x-www-form-urlencoded" } });
		assert.deepEqual([form.status, form.json.error.code], [415, "bad_media_type"]);
		assert.equal((await daemon.http("GET", "/api/v1/changes")).status, 401);
		assert.equal((await get("/api/v1/operator/status")).status, 404, "the operator's routes are on the Unix socket only");
	});

	test("that unpairs itself is a stranger", async () => {
		const leaving = await daemon.pair();
		assert.equal((await daemon.http("POST", "/api/v1/unpair", { token: leaving.token, body: {} })).status, 200);
		assert.equal((await daemon.http("GET", "/api/v1/me", { token: leaving.token })).status, 401);
	});
});

describe("the event stream", () => {
	// Collects events until `enough`; gives them and closes.
	function events(lastId, enough) {
		return new Promise((done, failed) => {
			const headers = { authorization: `Bearer ${token}`, ...(lastId ? { "last-event-id": lastId } : {}) };
			const request = http.get({ host: "127.0.0.1", port: daemon.port, path: "/api/v1/events", headers, agent: false }, (answer) => {
				let text = "";
				const list = [];
				assert.match(answer.headers["content-type"], /^text\/event-stream/);
				answer.on("data", (part) => {
					text += part;
					const blocks = text.split("\n\n");
					text = blocks.pop();
					for (const block of blocks) {
						const event = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s)));
						if (event.data) list.push({ id: event.id, ...JSON.parse(event.data) });
					}
					if (!enough(list.flatMap(({ records }) => records))) return;
					request.destroy();
					done(list);
				});
			});
			request.on("error", (error) => error.code === "ECONNRESET" || failed(error));
			setTimeout(() => failed(new Error("the events did not come")), 10_000).unref();
		});
	}

	test("tells everything once, and with Last-Event-ID what was missed", async () => {
		const first = await sendAndWait("one");
		const told = await events(undefined, (records) => records.some(({ name }) => name === first.state.replyId));
		const second = await sendAndWait("two");
		const missed = await events(told.at(-1).id, (records) => records.some(({ name }) => name === second.state.replyId));
		const names = missed.flatMap(({ records }) => records.map(({ name }) => name));
		assert.ok(names.includes(second.messageId));
		assert.ok(!names.includes(first.messageId), "what was told came again");
	});
});

describe("an attachment", () => {
	const bytes = randomBytes(200_000);
	const path = `/api/v1/assets/${sha256(bytes)}`;
	const put = (to, body, headers = {}, as = token) =>
		daemon.http("PUT", to, { token: as, body, headers: { "content-type": "application/octet-stream", ...headers } });

	test("is kept under its hash, and read back whole or in part", async () => {
		assert.equal((await get(path)).status, 404);
		const stored = await put(path, bytes);
		assert.ok([200, 201].includes(stored.status), stored.text);
		const whole = await get(path);
		assert.deepEqual(whole.bytes, bytes);
		const part = await get(path, { headers: { range: "bytes=100-199" } });
		assert.equal(part.status, 206);
		assert.deepEqual(part.bytes, bytes.subarray(100, 200));
		const head = await daemon.http("HEAD", path, { token });
		assert.deepEqual([head.status, head.headers["content-length"]], [200, "200000"]);
	});

	test("is stored once, whoever sends it again", async () => {
		assert.ok((await put(path, bytes)).status < 300);
		const files = await readdir(join(daemon.data, "assets"), { recursive: true });
		assert.equal(files.filter((name) => name.endsWith(sha256(bytes))).length, 1);
	});

	test("with other bytes than its name says is refused and leaves nothing", async () => {
		const other = `/api/v1/assets/${sha256("something else")}`;
		const refused = await put(other, bytes);
		assert.ok(refused.status >= 400 && refused.status < 500, String(refused.status));
		assert.equal((await get(other)).status, 404);
	});

	test("over the limit is refused, and so is a name that is no hash", async () => {
		const large = randomBytes(300_001);
		const refused = await put(`/api/v1/assets/${sha256(large)}`, large).catch((error) => error);
		assert.ok(refused.status === 413 || refused.code === "EPIPE" || refused.code === "ECONNRESET", String(refused.status));
		for (const name of ["x", "..%2f..%2froost.db", "A".repeat(64)]) {
			const { status } = await put(`/api/v1/assets/${name}`, "x");
			assert.ok(status >= 400 && status < 500, name);
		}
	});

	test("that broke off is continued", async () => {
		const resumed = randomBytes(1000);
		const to = `/api/v1/assets/${sha256(resumed)}`;
		const first = await put(to, resumed.subarray(0, 400), { "content-range": "bytes 0-399/1000" });
		assert.equal(first.status, 202);
		const hole = await put(to, resumed.subarray(500), { "content-range": "bytes 500-999/1000" });
		assert.ok(hole.status >= 400 && hole.status < 500);
		const second = await put(to, resumed.subarray(400), { "content-range": "bytes 400-999/1000" });
		assert.ok(second.status === 200 || second.status === 201, second.text);
		assert.deepEqual((await get(to)).bytes, resumed);
	});

	test("of another user is as absent as one that is not there", async () => {
		await daemon.operator("POST", "users", { name: "other" });
		const other = await daemon.pair({ user: "other" });
		assert.equal((await daemon.http("GET", path, { token: other.token })).status, 404);
	});

	test("is named by a message's part, and only when it was uploaded", async () => {
		const device = await Device.connect(daemon, credential);
		const part = (hash) => ({ text: "see", conversationId: newId(), parts: [{ type: "file", sha256: hash, name: "a.bin" }] });
		assert.equal((await device.send(part(sha256(bytes)))).duplicate, false);
		await assert.rejects(device.send(part(sha256("never sent"))), (error) => error.code === "not_found");
		await device.close();
	});

	test("that nobody refers to is collected, one that is referred to stays", async () => {
		const lonely = randomBytes(100);
		const to = `/api/v1/assets/${sha256(lonely)}`;
		assert.ok((await put(to, lonely)).status < 300);
		await until(async () => (await get(to)).status === 404, "its collection", 30_000);
		assert.equal((await get(path)).status, 200);
	});
});

describe("what is open", () => {
	test("tells the truth about the daemon and nothing else", async () => {
		for (const path of ["/healthz", "/readyz"]) assert.equal((await daemon.http("GET", path)).status, 200);
		const metrics = await daemon.http("GET", "/metrics");
		assert.match(metrics.text, /^# TYPE /m);
		assert.match(metrics.text, /# EOF\n$/);
		assert.ok(!metrics.text.includes(credential.userId));
	});
});
