// A stop, whatever the dialect and the phase: the provider sees its connection close, nothing is asked of it afterwards,
// and what the session does next is not harmed. How soon it sees the close is measured by `./dev bench models`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { asked, atOnce, names, newId, startHouse } from "../fake/house.mjs";
import { textOf } from "../fake/provider.mjs";
import { all, seeded, sleep, until } from "../lib/roost.mjs";

const begin = async (device, model, conversationId = newId()) => device.send({ text: "stop this", conversationId, model });
const stop = (device, requestId) => device.call("request:stop", { requestId });

async function isStopped(device, requestId) {
	assert.equal((await device.finished(requestId)).fields.state, "stopped");
	assert.equal(device.answers(requestId).length, 0, "a stopped request has no complete reply");
}

describe("a stop closes the provider's connection", () => {
	let house, device;
	before(async () => {
		house = await startHouse({ limits: { answerBytes: 64 << 20, providerBodyBytes: 1 << 30 } });
		device = await house.daemon.device();
	});
	after(() => house.close());

	const phases = [
		["before the head", { fault: "stall", at: "head" }, (call) => call.phase === "asked"],
		["before the first token", { fault: "stall", at: "first" }, (call) => call.phase === "head"],
		["while keep-alives come", { fault: "drip", at: "first" }, (call) => call.phase === "head"],
		["in the middle", { fault: "stall", at: "middle" }, (call) => call.tokens === 4],
		["at full speed", { fault: "endless" }, (call) => call.tokens === 4],
	];
	for (const dialect of names)
		for (const [phase, script, ready] of phases)
			test(`${dialect}, ${phase}`, async () => {
				const model = asked(dialect, script);
				const { requestId } = await begin(device, model);
				const call = await until(() => house.fake.of(model).find(ready), phase);
				await stop(device, requestId);
				await call.closed;
				assert.equal(call.done, false);
				await isStopped(device, requestId);
				assert.equal(house.fake.of(model).length, 1);
			});

	test("of one answer only: another one of the same provider goes on", async () => {
		for (const dialect of names) {
			const [one, other] = [asked(dialect, { rate: 50, tokens: 1000 }), asked(dialect, { rate: 100, tokens: 20 })];
			const stopped = await begin(device, one), going = await begin(device, other);
			await until(() => house.fake.of(one)[0]?.tokens > 2 && house.fake.of(other)[0]?.tokens > 2, "both to stream");
			await stop(device, stopped.requestId);
			await house.fake.of(one)[0].closed;
			await isStopped(device, stopped.requestId);
			await device.finished(going.requestId);
			assert.equal(device.answers(going.requestId)[0].fields.text, textOf(20), dialect);
		}
	});
});

describe("a stop while it connects", () => {
	let house, device;
	before(async () => {
		// TLS that is never answered: to the client that is connecting, and whoever listens can see it go.
		house = await startHouse({ url: (fake, name) => `https://127.0.0.1:${fake.silent.port}/${name}` });
		device = await house.daemon.device();
	});
	after(() => house.close());

	for (const dialect of names)
		test(`closes the half-made connection: ${dialect}`, async () => {
			const { connections } = house.fake.silent;
			const n = connections.length;
			const { requestId } = await begin(device, asked(dialect));
			const connection = await until(() => connections[n], "a connection");
			await stop(device, requestId);
			await connection.closed;
			await isStopped(device, requestId);
			assert.equal(connections.length, n + 1);
		});

	// They are 200 KB and take 20 ms to read, in which a stop, and everybody else, would wait.
	test("the authorities' certificates are read once, not for every connection", async (t) => {
		const { connections } = house.fake.silent;
		const bytesRead = async () => Number(/^rchar: (\d+)/.exec(await readFile(`/proc/${house.daemon.child.pid}/io`, "utf8"))[1]);
		if (await bytesRead().catch(() => undefined) === undefined) return t.skip("only root may see what the daemon reads");
		const n = connections.length, before = await bytesRead();
		for (let i = 0; i < 4; i++) {
			const { requestId } = await begin(device, asked("openai"));
			const connection = await until(() => connections[n + i], "a connection");
			await stop(device, requestId);
			await connection.closed;
			await isStopped(device, requestId);
		}
		const bytes = (await bytesRead()) - before;
		assert.ok(bytes < 150_000, `${bytes} bytes read`);
	});
});

describe("a stop before there is a call", () => {
	let house, device;
	before(async () => {
		house = await startHouse({ provider: { concurrency: 1 } });
		device = await house.daemon.device();
	});
	after(() => house.close());

	for (const dialect of names) {
		test(`while it is queued: no connection is ever opened: ${dialect}`, async () => {
			const [holding, waiting, next] = [asked(dialect, { fault: "stall" }), asked(dialect), asked(dialect)];
			const held = await begin(device, holding);
			await until(() => house.fake.of(holding)[0]?.tokens === 4, "the slot to be taken");
			const opened = house.fake.connections.length;
			const queued = await begin(device, waiting);
			await stop(device, queued.requestId);
			await isStopped(device, queued.requestId);
			assert.equal(house.fake.connections.length, opened);
			// The slot goes on to whoever comes next, and never to what was stopped.
			await stop(device, held.requestId);
			const { requestId } = await begin(device, next);
			assert.equal((await device.finished(requestId)).fields.state, "done");
			assert.equal(house.fake.of(waiting).length, 0);
		});

		test(`while it waits to try again: it is not tried again: ${dialect}`, async () => {
			const conversationId = newId();
			house.fake.script({ error: "overloaded", headers: { "retry-after": "30" } }, {});
			const { requestId } = await begin(device, `${dialect}:scripted`, conversationId);
			await device.until(() => device.record("Request", requestId)?.fields.state === "retrying", "the wait");
			const calls = house.fake.calls.length;
			await stop(device, requestId);
			await isStopped(device, requestId);
			assert.equal(house.fake.calls.length, calls);
			// Its place in the session is free: the next message is answered now.
			const model = asked(dialect);
			const { request } = await device.converse({ text: "and this", conversationId, model });
			assert.equal(request.fields.state, "done");
			assert.equal(house.fake.calls.length, calls + 1);
		});
	}
});

// What a device was told of a conversation, so that a long run does not search in all of it.
function forget(device, conversationId) {
	for (const [key, record] of device.records) if (record.fields?.conversationId === conversationId) device.records.delete(key);
	device.frames.length = 0;
}

// A stop that arrives as the answer ends: one of the two wins, wholly. The turn after it must be as if nothing had been.
describe("a stop that races the end of an answer", () => {
	const ROUNDS = all ? 10_000 : 2000, CONVERSATIONS = 64, DEVICES = 8;

	test(`${ROUNDS} rounds: the request is done or stopped, and the next turn is whole`, async () => {
		const house = await startHouse({ limits: { openRequests: 1000 } });
		try {
			const devices = await atOnce(Array.from({ length: DEVICES }, (_, i) => `racer${i}`), DEVICES, async (user) => {
				await house.daemon.operator("POST", "users", { name: user });
				return house.daemon.device({ user });
			});
			const pick = seeded(11), outcomes = { done: 0, stopped: 0 };
			await atOnce(Array.from({ length: CONVERSATIONS }, (_, i) => i), CONVERSATIONS, async (i) => {
				const device = devices[i % DEVICES], conversationId = newId(), dialect = names[i % names.length];
				for (let round = 0; round < ROUNDS / CONVERSATIONS; round++) {
					const { requestId } = await begin(device, `${dialect}:quick?tokens=4`, conversationId);
					const moment = pick(4);
					if (moment === 1) await new Promise(setImmediate);
					if (moment === 2) await sleep(pick(4));
					if (moment === 3) await device.until(() => device.record("Request", requestId)?.fields.lastStarted, "a claim");
					await stop(device, requestId);
					const { state } = (await device.finished(requestId)).fields;
					outcomes[state]++;
					const [raced, ...more] = device.answers(requestId);
					assert.equal(more.length, 0);
					assert.equal(raced?.fields.text, state === "done" ? textOf(4) : undefined, state);
					const { request } = await device.converse({ text: "next", conversationId, model: `${dialect}:quick?tokens=5` });
					assert.deepEqual([request.fields.state, request.fields.attempt], ["done", 1]);
					const replies = device.answers(request.name);
					assert.deepEqual(replies.map(({ fields }) => fields.text), [textOf(5)]);
					forget(device, conversationId);
				}
			});
			const judged = outcomes.done + outcomes.stopped;
			assert.ok(judged >= ROUNDS && outcomes.done > 0 && outcomes.stopped > 0, JSON.stringify(outcomes));
			const status = await house.daemon.operator("GET", "status");
			assert.equal(status.requests.open, 0);
			await until(() => house.fake.calls.every((call) => call.done || call.closedAt !== undefined), "every call to be over");
		} finally {
			await house.close();
		}
	});
});
