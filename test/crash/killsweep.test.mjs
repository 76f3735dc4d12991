// The daemon is killed where its N-th system call would begin, for every N of a scenario that pairs, sends, claims,
// streams, completes, stops and restarts. Whatever N is: what was acked is kept, every request ends with one reply or one
// clear end, sending again doubles nothing, and streams can be read.
//
// `./dev test` takes a seeded sample of the Ns, with --all it takes all of them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { all, Daemon, Device, faultsProgram, newId, program, scratch, seeded, sleep, tool } from "../lib/roost.mjs";

const SAMPLE = 400;
const SIDE_BY_SIDE = 3; // each mostly waits
const SEED = Number(process.env.ROOST_TEST_SEED ?? 1);

// What the device knows however the daemon ends: what it sent, what was acked, what it was shown.
class Ledger {
	sent = []; // {messageId, conversationId, text, model, params}
	acked = new Map(); // message id → ack
	shown = new Map(); // "requestId/attempt" → text
}

const messages = () => {
	const [first, second] = [newId(), newId()];
	return {
		plain: { messageId: newId(), conversationId: first, text: "no answer wanted" },
		quick: { messageId: newId(), conversationId: first, text: "a quick one", model: "local:test", params: { tokens: 5 } },
		slow: {
			messageId: newId(),
			conversationId: second,
			text: "a slow one",
			model: "local:test",
			params: { tokens: 400, tokensPerSecond: 200 },
		},
		queued: { messageId: newId(), conversationId: second, text: "behind it", model: "local:test", params: { tokens: 5 } },
	};
};

async function send(device, ledger, message) {
	if (!ledger.sent.includes(message)) ledger.sent.push(message);
	const ack = await device.send(message);
	const before = ledger.acked.get(message.messageId);
	if (before) assert.ok(ack.duplicate, `${message.messageId} was acked before and is new now`);
	ledger.acked.set(message.messageId, ack);
	return ack;
}

// One life of a person's device, up to where the daemon lets it get. Throws when the connection ends.
async function scenario(daemon, ledger, m) {
	ledger.credential = await daemon.pair({ deviceId: ledger.deviceId });
	const device = await Device.connect(daemon, ledger.credential);
	ledger.device = device;
	await send(device, ledger, m.plain);
	const quick = await send(device, ledger, m.quick);
	await device.call("session:join", { conversationId: m.quick.conversationId });
	await device.finished(quick.requestId);
	const slow = await send(device, ledger, m.slow);
	await device.call("session:join", { conversationId: m.slow.conversationId });
	await send(device, ledger, m.queued);
	await device.until(() => device.stream(slow.requestId).length > 50, "text of the slow answer");
	await device.call("request:stop", { requestId: slow.requestId });
	await device.finished(slow.requestId);
	await device.close();
	await daemon.stop(); // the tracer passes it on: closing is part of the sweep
}

// After the daemon is up again the device sends everything once more, and another one, which knows nothing, looks.
async function audit(daemon, ledger, m) {
	ledger.credential ??= await daemon.pair({ deviceId: ledger.deviceId });
	const device = await Device.connect(daemon, ledger.credential);
	const reader = await Device.connect(daemon, await daemon.pair());
	const everything = Object.values(m);
	const acks = [];
	for (const message of everything) acks.push(await send(device, ledger, message));
	const requests = acks.filter((ack) => ack.requestId).map((ack) => ack.requestId);
	assert.equal(requests.length, everything.filter((message) => message.model).length);
	const [, slow] = requests; // it would take two seconds, and in most lives it was told to stop
	if (slow) await device.call("request:stop", { requestId: slow }).catch((error) => assert.equal(error.code, "bad_state"));
	for (const requestId of requests) {
		const request = await reader.finished(requestId);
		const replies = reader.answers(requestId);
		assert.ok(replies.length <= 1, `request ${requestId} has ${replies.length} replies`);
		if (request.fields.state === "done") assert.equal(replies[0]?.name, request.fields.replyId, "done without a reply");
		else assert.equal(requestId, slow, `a request ended as ${request.fields.state}`);
	}
	const people = reader.all("Message").filter((r) => r.fields.role === "user");
	assert.deepEqual(people.map((r) => r.name).sort(), everything.map((message) => message.messageId).sort());
	for (const message of everything) assert.equal(reader.record("Message", message.messageId).fields.text, message.text);
	for (const conversationId of new Set(everything.map((message) => message.conversationId))) {
		const ords = reader.all("Message").filter((r) => r.fields.conversationId === conversationId).map((r) => r.fields.ord);
		ords.sort((a, b) => a - b);
		assert.deepEqual(ords, ords.map((_, i) => i + 1), "places in a conversation have a gap");
	}
	for (const [key, text] of ledger.shown) {
		const [requestId, attempt] = key.split("/");
		const kept = await device.kept(requestId, attempt);
		assert.ok(kept.startsWith(text), `${text.length} characters of ${key} were shown, ${kept.length} are kept`);
	}
	await device.close();
	await reader.close();
}

// One kill at N (0: none). Returns how many system calls there were.
async function killAt(n, dir, { bin = program, env = {}, life = scenario, m = messages() } = {}) {
	const data = join(dir, `data-${n}`);
	const count = join(dir, `count-${n}`);
	const ledger = new Ledger();
	ledger.deviceId = newId();
	await mkdir(data);
	let daemon, failure;
	try {
		const wrap = [tool("tracer"), "kill", String(n), count];
		const quiet = { ASAN_OPTIONS: "detect_leaks=0" }; // which a traced process cannot do
		daemon = await Daemon.start({ data, wrap, bin, env: { ...env, ...quiet } });
		await life(daemon, ledger, m);
	} catch (error) {
		failure = error;
	}
	const ended = !daemon || (await Promise.race([daemon.exited.then(() => true), sleep(5000).then(() => !daemon.running)]));
	if (daemon?.running) await daemon.kill();
	if (failure && (n === 0 || !ended)) throw failure;
	for (const [key, stream] of ledger.device?.streams ?? []) {
		const [requestId, attempt] = key.split("/");
		ledger.shown.set(`${requestId}/${attempt}`, stream.text);
	}
	const again = await Daemon.start({ data, bin });
	try {
		await audit(again, ledger, m);
		assert.equal(await again.stop(), 0, again.errors);
	} finally {
		await again.remove();
	}
	const calls = Number(await readFile(count, "utf8"));
	await rm(count);
	return calls;
}

describe("a kill at any system call", () => {
	let dir;
	before(async () => (dir = await scratch("killsweep")));
	after(() => rm(dir, { recursive: true, force: true }));

	test("loses nothing and doubles nothing", async (t) => {
		const calls = await killAt(0, dir);
		assert.ok(calls > 500, `the scenario has only ${calls} system calls`);
		const random = seeded(SEED);
		const points = all
			? Array.from({ length: calls }, (_, i) => i + 1)
			: Array.from({ length: SAMPLE }, (_, i) => 1 + Math.floor((i * calls) / SAMPLE) + random(Math.max(1, Math.floor(calls / SAMPLE))));
		const failures = [];
		const next = points.values();
		await Promise.all(
			Array.from({ length: SIDE_BY_SIDE }, async () => {
				for (const n of next) await killAt(n, dir).catch((error) => failures.push(`call ${n}: ${error.message}`));
			}),
		);
		t.diagnostic(`${points.length} of ${calls} system calls`);
		assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${points.length} kills`);
	});

	test("is noticed when acks leave before the commit", { skip: !existsSync(faultsProgram) && `${faultsProgram} is not built` }, async () => {
		const conversationId = newId();
		const planted = {
			bin: faultsProgram,
			env: { ROOST_TEST_EARLY_ACK: "1" },
			async life(daemon, ledger, m) {
				ledger.credential = await daemon.pair({ deviceId: ledger.deviceId });
				ledger.device = await Device.connect(daemon, ledger.credential);
				for (const message of Object.values(m)) await send(ledger.device, ledger, message);
				await daemon.stop();
			},
		};
		const plain = () => Array.from({ length: 30 }, (_, i) => ({ messageId: newId(), conversationId, text: `number ${i}` }));
		const calls = await killAt(0, dir, { ...planted, m: plain() });
		const random = seeded(SEED);
		for (let i = 0; i < 200; i++) {
			const n = Math.floor(calls / 2) + random(Math.floor(calls / 2)); // before that it only starts
			const error = await killAt(n, dir, { ...planted, m: plain() }).catch((failure) => failure);
			if (error instanceof assert.AssertionError && /acked before and is new now/.test(error.message)) return;
		}
		assert.fail("200 kills found nothing");
	});
});
