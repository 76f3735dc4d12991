// A session's queue as its devices and its owner see and control it: order, pause, removal, dead letters, news, and that
// all of it outlives the daemon.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, Device, newId, sleep, until } from "../lib/roost.mjs";

const QUICK = { model: "local:test", params: { tokens: 2 } };
const LONG = { model: "local:test", params: { tokens: 2, delayMs: 60_000 } };
const REFUSED = { model: "local:test", params: { error: "refused" } };
const failsWith = (code) => (error) => error.code === code || assert.fail(`${error.code}: ${error.message}`);
const ids = (list) => list.map(({ requestId }) => requestId);

let daemon;
before(async () => (daemon = await Daemon.start()));
after(() => daemon.remove());

// Sends with a class.
function send(device, conversationId, text, { model, params }, priority) {
	const request = { model, params, ...(priority === undefined ? {} : { priority }) };
	return device.call("message:send", { messageId: newId(), conversationId, text, request });
}

// A device that has joined a conversation in which something runs, and the session.
async function busy(t, { name = "one", on = daemon } = {}) {
	const device = await on.device({ name });
	t.after(() => device.close().catch(() => {}));
	const conversationId = newId();
	const first = await send(device, conversationId, "runs", LONG);
	await device.call("session:join", { conversationId });
	return { device, conversationId, sessionId: first.sessionId, first };
}

// The whole order in which requests of the conversation were begun, from their records.
const begun = (device, acks) =>
	acks
		.map(({ requestId }) => device.record("Request", requestId).fields)
		.sort((a, b) => (a.lastStarted < b.lastStarted ? -1 : 1));

describe("status", () => {
	test("should provide queue status, and add messages with different priorities", async (t) => {
		const { device, conversationId, sessionId, first } = await busy(t);
		const low = await send(device, conversationId, "low", QUICK, 2);
		const normal = await send(device, conversationId, "normal", QUICK);
		const high = await send(device, conversationId, "high", QUICK, 0);
		const high2 = await send(device, conversationId, "high2", QUICK, 0);
		const state = await device.call("queue:list", { sessionId });
		assert.equal(state.type, "queue:state");
		assert.equal(state.sessionId, sessionId);
		assert.equal(state.paused, false);
		assert.deepEqual(ids(state.running), [first.requestId]);
		assert.deepEqual(ids(state.waiting), ids([high, high2, normal, low]));
		assert.deepEqual(state.waiting.map(({ priority }) => priority), [0, 0, 1, 2]);
		const [entry] = state.waiting;
		assert.equal(entry.messageId, high.messageId);
		assert.equal(entry.deviceId, device.deviceId);
		assert.equal(entry.state, "queued");
		assert.equal(entry.attempt, 0);
		assert.match(entry.queuedAt, /^\d{4}-/);
		assert.deepEqual(state.dead, []);
		await device.call("request:stop", { requestId: first.requestId });
		const acks = [high, high2, normal, low];
		for (const ack of acks) await device.finished(ack.requestId);
		assert.deepEqual(
			begun(device, acks).map(({ messageId }) => messageId),
			acks.map(({ messageId }) => messageId),
		);
	});

	test("should handle empty queue status", async (t) => {
		const device = await daemon.device();
		t.after(() => device.close());
		const { sessionId } = await device.send({ text: "no answer wanted", conversationId: newId() });
		const { paused, running, waiting, dead } = await device.call("queue:list", { sessionId });
		assert.deepEqual({ paused, running, waiting, dead }, { paused: false, running: [], waiting: [], dead: [] });
	});

	test("should return 404 for a non-existent session, also another user's, for every verb", async (t) => {
		const shared = await Daemon.start();
		t.after(() => shared.remove());
		const { sessionId, first } = await busy(t, { on: shared });
		await shared.operator("POST", "users", { name: "other" });
		const stranger = await shared.device({ user: "other" });
		const more = { requestId: first.requestId, priority: 1 };
		for (const verb of ["list", "pause", "resume", "clear", "remove", "reorder"]) {
			await assert.rejects(stranger.call(`queue:${verb}`, { sessionId, ...more }), failsWith("not_found"));
			await assert.rejects(stranger.call(`queue:${verb}`, { sessionId: newId(), ...more }), failsWith("not_found"));
		}
		const { status, json } = await shared.http("GET", `/api/v1/sessions/${sessionId}/queue`, { token: stranger.token });
		assert.equal(status, 404);
		assert.equal(json.error.code, "not_found");
	});
});

describe("pause and resume", () => {
	test("should pause and resume queue: what runs goes on, what waits waits, also what is sent then", async (t) => {
		const device = await daemon.device();
		t.after(() => device.close());
		const conversationId = newId();
		const slow = { model: "local:test", params: { tokens: 3, delayMs: 300 } };
		const first = await send(device, conversationId, "runs", slow);
		const second = await send(device, conversationId, "waits", QUICK);
		const { sessionId } = first;
		assert.equal((await device.call("queue:pause", { sessionId })).paused, true);
		assert.equal((await device.finished(first.requestId)).fields.state, "done");
		const third = await send(device, conversationId, "sent into it", QUICK);
		await sleep(300);
		const state = await device.call("queue:list", { sessionId });
		assert.deepEqual(ids(state.waiting), ids([second, third]));
		assert.deepEqual(state.running, []);
		assert.equal(device.record("Session", sessionId).fields.queuePaused, true);
		assert.equal((await device.call("queue:resume", { sessionId })).paused, false);
		for (const ack of [second, third]) assert.equal((await device.finished(ack.requestId)).fields.state, "done");
		assert.equal(device.record("Session", sessionId).fields.queuePaused, undefined);
	});

	test("is told to the other joined device live, and to nobody who has not joined", async (t) => {
		const { device, conversationId, sessionId } = await busy(t);
		const joined = await daemon.device(), outside = await daemon.device();
		t.after(() => Promise.all([joined.close(), outside.close()]));
		await joined.call("session:join", { conversationId });
		const told = (on, paused) =>
			on.until(() => on.frames.find((f) => f.type === "queue:state" && f.re === undefined && f.paused === paused), `paused ${paused}`);
		await device.call("queue:pause", { sessionId });
		assert.equal((await told(joined, true)).sessionId, sessionId);
		await joined.call("queue:resume", { sessionId });
		await told(device, false);
		await outside.call("ping");
		assert.equal(outside.frames.find((f) => f.type === "queue:state"), undefined);
	});

	test("of one session leaves others alone, and sessions run in parallel", async (t) => {
		const a = await busy(t, { name: "a" });
		await a.device.call("queue:pause", { sessionId: a.sessionId });
		const { request } = await a.device.converse({ text: "elsewhere", conversationId: newId(), ...QUICK });
		assert.equal(request.fields.state, "done");
	});

	test("keeps one that backs off until it is resumed", async (t) => {
		const device = await daemon.device();
		t.after(() => device.close());
		const conversationId = newId();
		const flaky = { model: "local:test", params: { tokens: 2, error: "cut", failTimes: 1 } };
		const ack = await send(device, conversationId, "once more", flaky);
		await device.until(() => device.record("Request", ack.requestId)?.fields.state === "retrying", "the backoff");
		await device.call("queue:pause", { sessionId: ack.sessionId });
		await sleep(1500);
		const { waiting } = await device.call("queue:list", { sessionId: ack.sessionId });
		assert.deepEqual(ids(waiting), [ack.requestId]);
		await device.call("queue:resume", { sessionId: ack.sessionId });
		assert.equal((await device.finished(ack.requestId)).fields.attempt, 2);
	});
});

describe("clear and remove", () => {
	test("should clear all queued messages, not what runs, and keep what people wrote", async (t) => {
		const { device, conversationId, sessionId, first } = await busy(t);
		const acks = [];
		for (const text of ["one", "two", "three"]) acks.push(await send(device, conversationId, text, QUICK));
		const state = await device.call("queue:clear", { sessionId });
		assert.deepEqual(state.waiting, []);
		assert.deepEqual(ids(state.running), [first.requestId]);
		for (const ack of acks) {
			assert.equal((await device.finished(ack.requestId)).fields.state, "stopped");
			const filter = [{ field: "name", op: "eq", value: ack.messageId }];
			const { records } = await device.call("record:query", { recordType: "Message", filter });
			assert.equal(records[0].deleted, false);
		}
		assert.equal((await device.call("request:get", { requestId: first.requestId })).state, "claimed");
		// And again, of an empty queue; this time with what runs.
		await device.call("queue:clear", { sessionId, running: true });
		assert.equal((await device.finished(first.requestId)).fields.state, "stopped");
		// A stopped one is not lost: it can be asked again.
		await device.call("request:retry", { requestId: acks[1].requestId });
		await device.until(() => device.record("Request", acks[1].requestId).fields.state === "done", "the retried one");
	});

	test("should remove one that waits, and refuse what runs, is over or is elsewhere", async (t) => {
		const { device, conversationId, sessionId, first } = await busy(t);
		const a = await send(device, conversationId, "a", QUICK), b = await send(device, conversationId, "b", QUICK);
		const remove = (requestId) => device.call("queue:remove", { sessionId, requestId });
		assert.deepEqual(ids((await remove(a.requestId)).waiting), [b.requestId]);
		await assert.rejects(remove(a.requestId), failsWith("bad_state"));
		await assert.rejects(remove(first.requestId), failsWith("bad_state"));
		await assert.rejects(remove(newId()), failsWith("not_found"));
		const elsewhere = await busy(t);
		await assert.rejects(remove(elsewhere.first.requestId), failsWith("not_found"));
		assert.equal((await device.finished(a.requestId)).fields.state, "stopped");
	});
});

describe("priority", () => {
	test("should update message priority while another runs, and should return 400 for invalid priority", async (t) => {
		const { device, conversationId, sessionId, first } = await busy(t);
		const acks = [];
		for (const text of ["one", "two", "three"]) acks.push(await send(device, conversationId, text, QUICK));
		const [one, two, three] = acks;
		const move = (requestId, priority) => device.call("queue:reorder", { sessionId, requestId, priority });
		assert.deepEqual(ids((await move(three.requestId, 0)).waiting), ids([three, one, two]));
		assert.deepEqual(ids((await move(one.requestId, 2)).waiting), ids([three, two, one]));
		for (const wrong of [3, -1, 1.5, "high", null]) await assert.rejects(move(two.requestId, wrong), failsWith("bad_field"));
		await assert.rejects(move(first.requestId, 0), failsWith("bad_state"));
		await assert.rejects(move(newId(), 0), failsWith("not_found"));
		await assert.rejects(send(device, conversationId, "x", QUICK, 7), failsWith("bad_field"));
		await device.call("request:stop", { requestId: first.requestId });
		for (const ack of acks) await device.finished(ack.requestId);
		assert.deepEqual(
			begun(device, acks).map(({ messageId }) => messageId),
			[three, two, one].map(({ messageId }) => messageId),
		);
	});
});

describe("dead letters", () => {
	test("should include dead letter messages newest first, and a retry takes one out", async (t) => {
		const device = await daemon.device();
		t.after(() => device.close());
		const conversationId = newId();
		const a = await send(device, conversationId, "a", REFUSED);
		const b = await send(device, conversationId, "b", REFUSED);
		for (const ack of [a, b]) assert.equal((await device.finished(ack.requestId)).fields.state, "failed");
		const { sessionId } = a;
		const { dead } = await device.call("queue:list", { sessionId });
		assert.deepEqual(ids(dead), ids([b, a]));
		assert.equal(dead[0].state, "failed");
		assert.equal(dead[0].error.code, "provider_refused");
		assert.equal(dead[0].attempt, 1);
		assert.match(dead[0].lastCompleted, /^\d{4}-/);
		await device.call("queue:pause", { sessionId });
		await device.call("request:retry", { requestId: a.requestId });
		const state = await device.call("queue:list", { sessionId });
		assert.deepEqual(ids(state.dead), [b.requestId]);
		assert.deepEqual(ids(state.waiting), [a.requestId]);
	});
});

describe("news", () => {
	test("of sends and completions come to joined devices that asked, at most five times a second", async (t) => {
		const { device, conversationId, sessionId } = await busy(t);
		const watching = await daemon.device(), joined = await daemon.device();
		t.after(() => Promise.all([watching.close(), joined.close()]));
		for (const each of [watching, joined]) await each.call("session:join", { conversationId });
		await watching.call("queue:list", { sessionId });
		const pushes = (on) => on.frames.filter((f) => f.type === "queue:state" && f.re === undefined);
		const began = Date.now();
		for (let i = 0; i < 60; i++) await send(device, conversationId, `n${i}`, QUICK);
		await watching.until(() => pushes(watching).at(-1)?.waiting.length === 60, "all sixty in the queue");
		await device.call("request:stop", { conversationId });
		await watching.until(() => pushes(watching).at(-1).waiting.length === 0, "an empty queue");
		const most = 2 + (Date.now() - began) / 200;
		assert.ok(pushes(watching).length <= most, `${pushes(watching).length} pushes, at most ${most}`);
		assert.equal(pushes(joined).length, 0);
	});
});

describe("a queue that is watched", () => {
	test("is forgotten when the last device that asked leaves or is lost", async (t) => {
		const { conversationId, sessionId } = await busy(t);
		const one = await daemon.device(), two = await daemon.device(), joined = await daemon.device();
		t.after(() => Promise.all([one.close(), two.close(), joined.close()]));
		const watched = async () =>
			Number(/^roost_queues_watched (\d+)$/m.exec((await daemon.http("GET", "/metrics")).text)[1]);
		const before = await watched();
		for (const each of [one, two, joined]) await each.call("session:join", { conversationId });
		for (const each of [one, two]) await each.call("queue:list", { sessionId });
		assert.equal(await watched(), before + 1);
		await one.call("session:leave", { sessionId });
		assert.equal(await watched(), before + 1);
		await two.close();
		await until(async () => (await watched()) === before, "the last one's end");
		await one.call("session:join", { conversationId });
		await one.call("queue:list", { sessionId });
		assert.equal(await watched(), before + 1);
	});
});

describe("over HTTP", () => {
	test("every verb has its twin", async (t) => {
		const { device, conversationId, sessionId, first } = await busy(t);
		const a = await send(device, conversationId, "a", QUICK), b = await send(device, conversationId, "b", QUICK);
		const ask = async (method, verb, body) => {
			const path = `/api/v1/sessions/${sessionId}/queue${verb}`;
			const { status, json } = await daemon.http(method, path, { token: device.token, body });
			assert.equal(status, 200, JSON.stringify(json));
			assert.equal(json.type, "queue:state");
			return json;
		};
		assert.deepEqual(ids((await ask("GET", "")).running), [first.requestId]);
		assert.equal((await ask("POST", "/pause")).paused, true);
		// The device is joined, and was not the one who asked here.
		await device.until(() => device.frames.some((f) => f.type === "queue:state" && f.paused), "the news");
		assert.equal((await ask("POST", "/resume")).paused, false);
		const moved = await ask("POST", "/reorder", { requestId: b.requestId, priority: 0 });
		assert.deepEqual(ids(moved.waiting), ids([b, a]));
		assert.deepEqual(ids((await ask("POST", "/remove", { requestId: b.requestId })).waiting), [a.requestId]);
		assert.deepEqual((await ask("POST", "/clear")).waiting, []);
		const path = `/api/v1/sessions/${sessionId}/queue/reorder`;
		const bad = await daemon.http("POST", path, { token: device.token, body: { requestId: a.requestId } });
		assert.equal(bad.status, 400);
	});

	test("should provide global queue metrics", async (t) => {
		const { device, conversationId, sessionId } = await busy(t);
		await device.call("queue:pause", { sessionId });
		await send(device, conversationId, "held", QUICK);
		const { text } = await daemon.http("GET", "/metrics");
		const metric = (name) => Number(new RegExp(`^roost_${name} (\\d+)$`, "m").exec(text)[1]);
		assert.ok(metric("requests_running") >= 1);
		assert.ok(metric("requests_waiting") >= 1);
		assert.ok(metric("requests_held") >= 1);
		assert.ok(metric("requests_open") >= metric("requests_running") + metric("requests_waiting"));
	});
});

describe("load", () => {
	test("1,000 messages from 10 devices to one session: one order, none lost", async (t) => {
		const DEVICES = 10, EACH = 100;
		const devices = await Promise.all(Array.from({ length: DEVICES }, () => daemon.device()));
		t.after(() => Promise.all(devices.map((device) => device.close())));
		const conversationId = newId();
		await devices[0].send({ text: "the first makes the session", conversationId });
		const sent = await Promise.all(
			devices.map(async (device, d) => {
				const acks = [];
				for (let i = 0; i < EACH; i++) acks.push(await device.send({ text: `d${d} m${i}`, conversationId }));
				return acks;
			}),
		);
		const ords = sent.flat().map(({ ord }) => ord);
		assert.equal(new Set(ords).size, DEVICES * EACH);
		assert.equal(Math.max(...ords), DEVICES * EACH + 1);
		for (const acks of sent) assert.ok(acks.every(({ ord }, i) => i === 0 || ord > acks[i - 1].ord), "each device's own order");
		// The order by place is the same wherever one looks. (A device is spared its own messages.)
		const order = (device) =>
			device.all("Message").filter(({ fields }) => fields.conversationId === conversationId)
				.sort((a, b) => a.fields.ord - b.fields.ord);
		for (const device of devices)
			await device.until(() => order(device).length >= (DEVICES - 1) * EACH, "all of the others'", 30_000);
		const byOrd = new Map(sent.flat().map(({ ord, messageId }) => [ord, messageId]));
		for (const device of devices)
			for (const { name, fields } of order(device))
				if (fields.ord > 1) assert.equal(byOrd.get(fields.ord), name);
	});

	test("200 requests from 10 devices are answered one at a time, in the order of their messages", async (t) => {
		const devices = await Promise.all(Array.from({ length: 10 }, () => daemon.device()));
		t.after(() => Promise.all(devices.map((device) => device.close())));
		const conversationId = newId();
		const acks = (
			await Promise.all(
				devices.map(async (device) => {
					const mine = [];
					for (let i = 0; i < 20; i++) mine.push(await send(device, conversationId, `${device.deviceId} ${i}`, QUICK));
					return mine;
				}),
			)
		).flat();
		const [watcher] = devices;
		for (const { requestId } of acks)
			assert.equal((await watcher.finished(requestId, 60_000)).fields.state, "done");
		acks.sort((a, b) => a.ord - b.ord);
		const replies = acks.map(({ requestId }) => watcher.answers(requestId));
		assert.ok(replies.every((list) => list.length === 1), "one reply each");
		const places = replies.map(([reply]) => reply.fields.ord);
		assert.ok(places.every((ord, i) => i === 0 || ord > places[i - 1]), "replies in the order of the messages");
	});

	test("overflow is refused by the limit's name, and never hangs", async (t) => {
		const small = await Daemon.start({ config: "limits:\n  openRequests: 3\n" });
		t.after(() => small.remove());
		const { device, conversationId, sessionId } = await busy(t, { on: small });
		await device.call("queue:pause", { sessionId });
		await send(device, conversationId, "two", QUICK);
		await send(device, conversationId, "three", QUICK);
		await assert.rejects(send(device, conversationId, "four", QUICK), (error) => {
			assert.match(error.message, /openRequests \(3\)/);
			return failsWith("too_many")(error);
		});
	});
});

describe("the daemon is killed", () => {
	test("and queue, order, classes and pause are as before, nothing lost or doubled", async (t) => {
		const mortal = await Daemon.start();
		t.after(() => mortal.remove());
		const { device, conversationId, sessionId, first } = await busy(t, { on: mortal });
		const low = await send(device, conversationId, "low", QUICK, 2);
		const one = await send(device, conversationId, "one", QUICK);
		const two = await send(device, conversationId, "two", QUICK);
		const high = await send(device, conversationId, "high", QUICK, 0);
		await device.call("queue:reorder", { sessionId, requestId: two.requestId, priority: 0 });
		await device.call("queue:pause", { sessionId });
		const order = ids([two, high, first, one, low]);
		for (let i = 0; i < 2; i++) {
			await mortal.kill();
			await mortal.restart();
			const again = await Device.connect(mortal, device);
			let state;
			await until(async () => {
				state = await again.call("queue:list", { sessionId });
				return state.waiting.length === 5;
			}, "the interrupted one to be queued again");
			assert.equal(state.paused, true);
			assert.deepEqual(ids(state.waiting), order);
			assert.deepEqual(state.waiting.map(({ priority }) => priority), [0, 0, 1, 1, 2]);
			await again.close();
		}
		const last = await Device.connect(mortal, device);
		t.after(() => last.close());
		// What was interrupted would take a minute; it is not what this is about.
		await last.call("queue:remove", { sessionId, requestId: first.requestId });
		await last.call("queue:resume", { sessionId });
		for (const ack of [two, high, one, low]) {
			assert.equal((await last.finished(ack.requestId)).fields.state, "done");
			assert.equal(last.answers(ack.requestId).length, 1);
		}
		assert.deepEqual(
			begun(last, [two, high, one, low]).map(({ messageId }) => messageId),
			[two, high, one, low].map(({ messageId }) => messageId),
		);
	});

	test("in the middle of pausing, clearing and sending, and what was answered holds", async (t) => {
		const mortal = await Daemon.start();
		t.after(() => mortal.remove());
		const { device, conversationId, sessionId } = await busy(t, { on: mortal });
		await device.call("queue:pause", { sessionId });
		const acks = [], removed = [];
		const working = (async () => {
			for (let i = 0; ; i++) {
				acks.push(await send(device, conversationId, `m${i}`, QUICK, i % 3));
				if (i % 4 !== 3) continue;
				const { requestId } = acks[i - 1];
				await device.call("queue:remove", { sessionId, requestId });
				removed.push(requestId);
			}
		})().catch(() => {});
		await until(() => acks.length > 20, "some work");
		await mortal.kill();
		await working;
		await mortal.restart();
		const again = await Device.connect(mortal, device);
		t.after(() => again.close());
		const { paused, waiting } = await again.call("queue:list", { sessionId });
		assert.equal(paused, true);
		const there = new Set(ids(waiting));
		assert.equal(there.size, waiting.length, "none twice");
		const unsure = acks.at(-2).requestId; // its removal may have been on its way
		for (const { requestId } of acks)
			if (!removed.includes(requestId) && requestId !== unsure) assert.ok(there.has(requestId), "kept");
		for (const requestId of removed) assert.ok(!there.has(requestId), "removed for good");
		assert.deepEqual(waiting.map(({ priority }) => priority), waiting.map(({ priority }) => priority).sort());
		assert.equal((await mortal.cli("doctor")).code, 0);
	});
});

describe("roost queue", () => {
	test("lists the sessions with something in their queue, and one session in its order", async (t) => {
		const { device, conversationId, sessionId, first } = await busy(t);
		const waits = await send(device, conversationId, "waits", QUICK, 2);
		const all = await daemon.cli("queue", "--json");
		assert.equal(all.code, 0, all.stderr);
		const row = JSON.parse(all.stdout).queues.find((queue) => queue.sessionId === sessionId);
		assert.deepEqual(
			{ running: row.running, waiting: row.waiting, dead: row.dead, paused: row.paused, conversationId: row.conversationId },
			{ running: 1, waiting: 1, dead: 0, paused: false, conversationId },
		);
		assert.ok((await daemon.cli("queue")).stdout.includes(sessionId));
		const { stdout } = await daemon.cli("queue", conversationId);
		assert.ok(stdout.indexOf(first.requestId) > 0 && stdout.indexOf(first.requestId) < stdout.indexOf(waits.requestId));
	});

	test("pauses, resumes, moves, removes and clears, and devices see it", async (t) => {
		const { device, conversationId, sessionId, first } = await busy(t);
		const a = await send(device, conversationId, "a", QUICK), b = await send(device, conversationId, "b", QUICK);
		const cli = async (...args) => {
			const { code, stdout, stderr } = await daemon.cli("queue", sessionId, "--json", ...args);
			assert.equal(code, 0, stderr);
			return JSON.parse(stdout);
		};
		assert.equal((await cli("--pause")).paused, true);
		await device.until(() => device.frames.some((f) => f.type === "queue:state" && f.paused), "the news");
		assert.deepEqual(ids((await cli("--priority", `${b.requestId}=0`)).waiting), ids([b, a]));
		assert.deepEqual(ids((await cli("--remove", a.requestId)).waiting), [b.requestId]);
		assert.equal((await cli("--resume")).paused, false);
		assert.deepEqual((await cli("--clear", "--running")).waiting, []);
		assert.equal((await device.finished(first.requestId)).fields.state, "stopped");
	});

	test("says what is wrong, with an exit status for it", async () => {
		const status = async (...args) => (await daemon.cli("queue", ...args)).code;
		assert.equal(await status(newId()), 66);
		assert.equal(await status(newId(), "--pause", "--clear"), 64);
		assert.equal(await status("--pause"), 64);
		assert.equal(await status(newId(), "--priority", "x=9"), 64);
		assert.equal(await status(newId(), "--running"), 64);
		const { stdout } = await daemon.cli("queue", "--help");
		assert.match(stdout, /--priority/);
	});
});
