// Limits a minute, circuits and fallbacks, seen from a device: who waits is told what for and until when, nobody fails
// because of a wait that ends, and another model answers only when the request allows it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, newId, until } from "../lib/roost.mjs";
import { startFake, textOf } from "../fake/provider.mjs";

let fake, daemon, device;
before(async () => {
	fake = await startFake();
	const provider = (name, url, more = "") =>
		`  - name: ${name}\n    dialect: openai\n    baseUrl: ${url}\n    allowPrivate: true\n${more}`;
	daemon = await Daemon.start({
		config: `limits:
  attempts: 2
  backoffMs: 10
  backoffMaxMs: 20
  circuitFailures: 2
  circuitMs: 600
  retryHorizonMs: 60000
providers:
${provider("fake", fake.url("openai"))}${provider("down", "http://127.0.0.1:1/v1")}${provider(
			"paced",
			fake.url("openai"),
			"    requestsPerMinute: 2\n",
		)}${provider("single", fake.url("openai"), '    modelLimits: ["answer 1 0"]\n')}`,
	});
	device = await daemon.device();
});
after(async () => {
	await daemon.remove();
	await fake.close();
});

const ask = (request) => device.send({ text: "well?", conversationId: newId(), request });
const stateOf = (requestId) => device.call("request:get", { requestId });
const providerNamed = async (name) => (await daemon.operator("GET", "status")).providers.find((p) => p.name === name);

describe("a limit a minute", () => {
	test("lets no more through, says until when the others wait, and a stop ends the wait", async () => {
		const first = [];
		for (let i = 0; i < 2; i++) first.push(await ask({ model: "paced:answer" }));
		for (const { requestId } of first) assert.equal((await device.finished(requestId)).fields.state, "done");
		const calls = fake.calls.length;
		const asked = Date.now();
		const { requestId } = await ask({ model: "paced:answer" });
		const state = await until(async () => {
			const s = await stateOf(requestId);
			return s.pacing && s;
		}, "the wait to be told");
		assert.equal(state.state, "queued");
		assert.equal(state.pacing.why, "requests");
		const wait = Date.parse(state.pacing.untilAt) - asked;
		assert.ok(wait > 30_000 && wait < 62_000, `${wait} ms`);
		assert.equal((await providerNamed("paced")).pacing.why, "requests");
		await device.call("request:stop", { requestId });
		assert.equal((await device.finished(requestId)).fields.state, "stopped");
		assert.equal(fake.calls.length, calls);
	});
});

describe("a limit of one model", () => {
	test("does not hold up the others", async () => {
		const first = await ask({ model: "single:answer" });
		assert.equal((await device.finished(first.requestId)).fields.state, "done");
		const { requestId } = await ask({ model: "single:answer" });
		await until(async () => (await stateOf(requestId)).pacing, "the wait");
		const other = await ask({ model: "single:plain" });
		assert.equal((await device.finished(other.requestId)).fields.state, "done");
		assert.equal((await stateOf(requestId)).state, "queued");
		await device.call("request:stop", { requestId });
	});

	test("that is not written as one stops the start", async () => {
		const config = 'providers:\n  - name: x\n    baseUrl: https://x.invalid/v1\n    modelLimits: ["gpt-5 many"]\n';
		await assert.rejects(Daemon.start({ config }), /modelLimits|gpt-5 many|exit/);
	});
});

describe("a fallback", () => {
	test("answers when the first model cannot, and the record says which attempt was whose", async () => {
		const { requestId } = await ask({ model: "fake:gone?error=model", fallback: ["fake:answer"] });
		const { fields } = await device.finished(requestId);
		assert.deepEqual([fields.state, fields.model, fields.servingModel], ["done", "fake:gone?error=model", "fake:answer"]);
		assert.equal(fields.attempts.length, 2);
		assert.equal(fields.attempts[0].error.class, "model");
		assert.equal(fields.attempts[0].model, undefined);
		assert.equal(fields.attempts[1].model, "fake:answer");
		const [reply] = device.answers(requestId);
		assert.deepEqual([reply.fields.text, reply.fields.model], [textOf(8), "fake:answer"]);
	});

	test("is not looked for when none was named", async () => {
		const { requestId } = await ask({ model: "fake:gone?error=model" });
		assert.equal((await device.finished(requestId)).fields.state, "failed");
	});

	for (const [what, fallback] of [
		["no list", "fake:answer"],
		["too long", Array(5).fill("fake:answer")],
		["not of names", [7]],
		["empty names", [""]],
	])
		test(`that is ${what} is refused`, async () => {
			await assert.rejects(ask({ model: "fake:answer", fallback }), { code: "bad_field" });
		});

	test("that nobody serves is refused by its name", async () => {
		await assert.rejects(ask({ model: "fake:answer", fallback: ["nowhere:x"] }), /nowhere/);
	});
});

describe("a circuit", () => {
	test("opens for a provider that is down; then requests wait, and are told so", async () => {
		const { requestId } = await ask({ model: "down:model" });
		assert.equal((await device.finished(requestId)).fields.state, "failed");
		const seen = await providerNamed("down");
		assert.equal(seen.circuit, "open");
		assert.ok(Date.parse(seen.nextProbeAt) >= Date.parse(seen.troubledSince));
		const next = await ask({ model: "down:model" });
		const state = await stateOf(next.requestId);
		if (state.state === "queued") assert.equal(state.pacing.why, "circuit");
		// The probe is one of its attempts; the one after that ends it.
		assert.equal((await device.finished(next.requestId)).fields.state, "failed");
	});

	test("of another provider stays closed", async () => {
		const { requestId } = await ask({ model: "fake:answer" });
		assert.equal((await device.finished(requestId)).fields.state, "done");
		assert.equal((await providerNamed("fake")).circuit, "closed");
	});

	test("that is open sends a request that allows it to another model", async () => {
		const { requestId } = await ask({ model: "down:model", fallback: ["fake:answer"] });
		const { fields } = await device.finished(requestId);
		assert.deepEqual([fields.state, fields.servingModel], ["done", "fake:answer"]);
	});
});
