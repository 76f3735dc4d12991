// Providers that are down, slow, silent, that break off, lie or never end, seen from a device: the request is retried when
// that may help, ends with one reply or one clear error, and the record tells every attempt.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, newId, until } from "../lib/roost.mjs";
import { startFake, textOf } from "./fake_provider.mjs";

let fake, daemon, device;
before(async () => {
	fake = await startFake();
	const limits = {
		attempts: 3,
		backoffMs: 20,
		backoffMaxMs: 50,
		retryHorizonMs: 3500,
		circuitFailures: 1000, // see limits.test.mjs
		connectMs: 1000,
		firstTokenMs: 1000,
		streamIdleMs: 1000,
		answerMs: 8000,
		answerBytes: 200_000,
	};
	const yaml = Object.entries(limits).map(([key, value]) => `  ${key}: ${value}\n`);
	const provider = (name, url) => `  - name: ${name}\n    dialect: openai\n    baseUrl: ${url}\n    allowPrivate: true\n`;
	daemon = await Daemon.start({
		config: `limits:\n${yaml.join("")}providers:\n${provider("fake", fake.baseUrl)}${provider("down", "http://127.0.0.1:1/v1")}`,
	});
	device = await daemon.device();
});
after(async () => {
	await daemon.remove();
	await fake.close();
});

// Sends and gives {request, reply, calls}: calls are those the provider counted.
async function ask(behaviour, ms) {
	const before = fake.calls.length;
	const model = behaviour.includes(":") ? behaviour : `fake:${behaviour}`;
	const { request } = await device.converse({ text: "well?", conversationId: newId(), model }, ms);
	const [reply] = device.answers(request.name);
	assert.equal(device.answers(request.name).length, request.fields.state === "done" ? 1 : 0);
	return { request, fields: request.fields, reply, calls: fake.calls.slice(before) };
}

describe("a provider that works", () => {
	for (const behaviour of ["answer", "plain", "drip"])
		test(`by ${behaviour}: its words are the reply`, async () => {
			const { fields, reply, calls } = await ask(behaviour);
			assert.deepEqual([fields.state, fields.attempt, calls.length], ["done", 1, 1]);
			assert.equal(reply.fields.text, textOf(8));
			assert.equal(fields.usage.outputTokens ?? 8, 8);
		});

	test("and thinks first: what it thought is a stream of its own and not in the reply", async () => {
		const conversationId = newId();
		await device.call("session:join", { conversationId });
		const { request, reply } = await device.converse({ text: "think", conversationId, model: "fake:thinking?rate=50" });
		assert.equal(reply.fields.text, textOf(8));
		assert.match(device.stream(request.name, 1, "thinking"), /let me see/);
	});
});

describe("a provider that fails for good", () => {
	const cases = [
		["is down", "down:model", "provider_unreachable", 3],
		["never says a word", "silent", "provider_timeout", 3],
		["is mute after its head", "mute", "provider_timeout", 3],
		["stops in the middle", "stall", "provider_timeout", 3],
		["breaks off in the middle of a token", "cut", "provider_interrupted", 3],
		["resets the connection", "reset", "provider_unreachable|provider_interrupted", 3],
		["sends 200 and an error", "error200", "provider_error", 3],
		["sends an error in the middle", "streamError", "provider_error", 3],
		["answers 500", "status?status=500", "provider_error", 3],
		["is limiting", "status?status=429", "provider_busy", undefined], // tried for as long as retryHorizonMs
		["refuses", "status?status=400", "provider_refused", 1],
		["wants another key", "status?status=401", "provider_refused", 1],
		["sends a web page", "page", "provider_error|provider_refused", undefined],
		["redirects", "redirect", "provider_error|provider_refused", undefined],
		["cannot count its chunks", "badChunking", "provider_", 3],
	];
	for (const [what, behaviour, code, attempts] of cases)
		test(`because it ${what}`, async () => {
			const { fields, calls } = await ask(behaviour, 30_000);
			assert.equal(fields.state, "failed");
			assert.match(fields.error.code, new RegExp(`^(${code})`));
			assert.ok(fields.error.message.length > 5);
			if (attempts !== undefined) assert.equal(fields.attempt, attempts);
			if (!behaviour.startsWith("down")) assert.equal(calls.length, fields.attempt, "a call that is no attempt, or the reverse");
			assert.equal(fields.attempts.length, Math.min(fields.attempt, 16)); // so many are kept
		});

	test("because it never ends: the answer is cut at its limit", async () => {
		const { fields, calls } = await ask("endless", 30_000);
		assert.equal(fields.state, "failed");
		assert.equal(fields.error.code, "provider_too_much");
		await until(() => calls.every((call) => call.closedAt !== undefined), "its connections to be closed");
	});
});

describe("a provider that recovers", () => {
	test("is asked again, and what was left of the first attempt is not in the reply", async () => {
		fake.behave(["cut", { tokens: 3 }], "answer");
		const { fields, reply, calls } = await ask("anything");
		assert.deepEqual([fields.state, fields.attempt, calls.length], ["done", 2, 2]);
		assert.equal(reply.fields.text, textOf(8));
	});

	test("and named a time is not asked before it", async () => {
		fake.behave(["status", { status: 503, retryAfter: 1 }], "answer");
		const { fields, calls } = await ask("anything");
		assert.deepEqual([fields.state, calls.length], ["done", 2]);
		assert.ok(calls[1].at - calls[0].at >= 990, `asked again after ${Math.round(calls[1].at - calls[0].at)} ms`);
	});
});

describe("a stop", () => {
	for (const [phase, model, ready] of [
		["before the head", "fake:silent", (call) => call.phase === "asked"],
		["before the first token", "fake:mute", (call) => call.phase === "head"],
		["in the middle", "fake:answer?tokens=1000&rate=50", (call) => call.phase === "streaming"],
	])
		test(`${phase} closes the provider's connection at once`, async () => {
			const before = fake.calls.length;
			const { requestId } = await device.send({ text: "stop", conversationId: newId(), model });
			const call = await until(() => fake.calls[before] && ready(fake.calls[before]) && fake.calls[before], phase);
			const asked = performance.now();
			await device.call("request:stop", { requestId });
			await until(() => call.closedAt !== undefined, "the close");
			assert.ok(call.closedAt - asked < 100, `${call.closedAt - asked} ms`);
			assert.equal((await device.finished(requestId)).fields.state, "stopped");
			assert.equal(fake.calls.length, before + 1);
		});

	test("while it waits to try again: the provider is not called any more", async () => {
		fake.behave(["status", { status: 503, retryAfter: 3 }], "answer");
		const before = fake.calls.length;
		const { requestId } = await device.send({ text: "later", conversationId: newId(), model: "fake:anything" });
		await device.until(() => device.record("Request", requestId)?.fields.state === "retrying", "the wait");
		await device.call("request:stop", { requestId });
		assert.equal((await device.finished(requestId)).fields.state, "stopped");
		assert.equal(fake.calls.length, before + 1);
	});
});
