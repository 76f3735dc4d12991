// What a request is for when it does not say: presets, a conversation's defaults, a user's, and which of them counts. What
// is wrong is refused before anything is stored.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asked, newId, startHouse } from "../fake/house.mjs";
import { Device } from "../lib/roost.mjs";

let house, phone, laptop;
before(async () => {
	house = await startHouse({ more: "defaultModel: local:test\n" });
	[phone, laptop] = [await house.daemon.device({ name: "phone" }), await house.daemon.device({ name: "laptop" })];
});
after(() => house.close());

async function save(type, name, fields, device = phone) {
	const record = fields === null ? { type, name, deleted: true } : { type, name, fields };
	const { results } = await device.call("record:save", { policy: "changedKeys", records: [record] });
	assert.equal(results[0].error, undefined, JSON.stringify(results[0]));
}
const preset = (name, fields, device) => save("Preset", name, fields, device);
async function conversation(defaults, conversationId = newId()) {
	await save("Conversation", conversationId, { title: "t", defaults });
	return conversationId;
}
const send = (request, conversationId = newId(), device = phone, messageId = newId()) =>
	device.call("message:send", { messageId, conversationId, text: "well?", request });
// The Request's fields and the call that came of it.
async function ask(request, conversationId, device = phone) {
	const { requestId } = await send(request, conversationId, device);
	const { fields } = await device.finished(requestId);
	return { fields, call: house.fake.of(fields.model)[0]?.body };
}
const refusal = (promise) => promise.then(() => assert.fail("it was taken"), (error) => error);

describe("the layers", () => {
	test("request before conversation before preset before user before daemon, each parameter by itself", async () => {
		const user = await house.daemon.device({ user: (await house.daemon.operator("POST", "users", { name: "lay" })).name });
		const name = newId(), model = asked("openai");
		await preset("default", { model: asked("openai"), params: { temperature: 0.1, topP: 0.1, seed: 1, maxTokens: 1, zebra: 1 } }, user);
		await preset(name, { model: asked("openai"), params: { temperature: 0.2, topP: 0.2, seed: 2, maxTokens: 2 } }, user);
		const conversationId = newId();
		const defaults = { preset: name, model, params: { temperature: 0.3, topP: 0.3, seed: 3 } };
		await save("Conversation", conversationId, { title: "t", defaults }, user);
		const { fields, call } = await ask({ params: { temperature: 0.4, topP: 0.4 } }, conversationId, user);
		assert.deepEqual(fields.params, { temperature: 0.4, topP: 0.4, seed: 3, maxTokens: 2, zebra: 1 });
		assert.deepEqual([fields.state, fields.model, fields.preset], ["done", model, name]);
		assert.deepEqual([call.temperature, call.top_p, call.seed, call.max_tokens, call.zebra], [0.4, 0.4, 3, 2, 1]);
		const bare = await ask({ model: "local:test" }, newId(), user);
		assert.deepEqual([bare.fields.model, bare.fields.params.temperature], ["local:test", 0.1]);
	});

	test("a request's own preset goes before its conversation's", async () => {
		const [one, two] = [newId(), newId()];
		await preset(one, { model: asked("openai"), params: { seed: 1 } });
		await preset(two, { model: asked("openai"), params: { topK: 2 } });
		const { fields } = await ask({ preset: two }, await conversation({ preset: one }));
		assert.deepEqual([fields.preset, fields.params], [two, { topK: 2 }]);
	});

	test("null takes a parameter away, under either of its names, and what nobody gives is absent", async () => {
		const conversationId = await conversation({ model: asked("openai"), params: { max_tokens: 5, temperature: 0, topK: null } });
		const { fields, call } = await ask({ params: { maxTokens: null } }, conversationId);
		assert.deepEqual(fields.params, { temperature: 0 });
		assert.deepEqual(["max_tokens" in call, call.temperature, "top_k" in call], [false, 0, false]);
		assert.equal((await ask({ params: { temperature: null, max_tokens: null } }, conversationId)).fields.params, undefined);
	});

	test("a preset's systemPrompt is its system prompt, unless its params have one", async () => {
		const [one, both] = [newId(), newId()];
		await preset(one, { title: "Brief", systemPrompt: "Be brief." });
		await preset(both, { systemPrompt: "no", params: { system: "Be long." } });
		const { call } = await ask({ preset: one, model: asked("openai") });
		assert.deepEqual(call.messages[0], { role: "system", content: "Be brief." });
		assert.equal((await ask({ preset: both, model: asked("openai") })).fields.params.system, "Be long.");
		const { fields } = await ask({ preset: one, model: asked("openai"), params: { system: null } });
		assert.equal(fields.params, undefined);
	});

	test("a retry asks for what was asked first, whatever became of the defaults", async () => {
		const name = newId(), model = asked("openai", { status: 400 });
		await preset(name, { model, params: { seed: 7 } });
		const { requestId } = await send({ preset: name });
		const first = (await phone.finished(requestId)).fields;
		assert.equal(first.state, "failed");
		await preset(name, { params: { seed: 8 } });
		await phone.call("request:retry", { requestId });
		await phone.until(() => phone.record("Request", requestId).fields.attempts?.length === 2, "the second attempt");
		const { fields } = phone.record("Request", requestId);
		assert.deepEqual([fields.model, fields.params], [model, { seed: 7 }]);
		assert.deepEqual(house.fake.of(model).map(({ body }) => body.seed), [7, 7]);
	});

	test("another user's preset of the same name is another preset", async () => {
		const name = newId();
		await preset(name, { model: "local:test" });
		const other = await house.daemon.device({ user: (await house.daemon.operator("POST", "users", { name: "pam" })).name });
		assert.equal((await refusal(send({ preset: name }, newId(), other))).code, "not_found");
	});
});

describe("what is wrong", () => {
	// Refused, and nothing of it is left: the same id may be sent again.
	async function refused(request, code, pattern, conversationId = newId()) {
		const messageId = newId();
		const error = await refusal(send(request, conversationId, phone, messageId));
		assert.equal(error.code, code, error.message);
		assert.match(error.message, pattern);
		const ack = await send({ model: "local:test" }, newId(), phone, messageId);
		assert.equal(ack.duplicate, false);
	}

	test("a wrong parameter is refused before the message is accepted", async () => {
		await refused({ model: asked("openai"), params: { temperature: 3 } }, "bad_field", /^params\.temperature must be/);
		await refused({ model: asked("openai"), params: { max_tokens: 3, maxTokens: 4 } }, "bad_field", /are the same; give one/);
		for (const dialect of ["openai", "openai-responses", "anthropic", "gemini", "ollama"])
			await refused({ model: asked(dialect), params: { thinking: "on", thinkingBudget: 0 } }, "bad_field",
				/^params\.thinking is on, but params\.thinkingBudget is 0; give one/);
	});

	test("a preset that is not there is refused, also one that was deleted or is the conversation's", async () => {
		const name = newId();
		await refused({ preset: name }, "not_found", /there is no preset/);
		await refused({ preset: "no name" }, "not_found", /there is no preset "no name"/);
		await preset(name, { model: "local:test" });
		assert.equal((await ask({ preset: name })).fields.state, "done");
		await preset(name, null, laptop);
		await refused({ preset: name }, "not_found", /there is no preset/);
		await refused({}, "not_found", /there is no preset/, await conversation({ preset: name }));
	});

	test("a mistake in a layer is told with the layer's name", async () => {
		const name = newId();
		await preset(name, { model: asked("openai"), params: { seed: "x" } });
		await refused({ preset: name }, "bad_field", /^the preset "\S+": params\.seed must be/);
		await preset(name, { params: 5 });
		await refused({ preset: name }, "bad_field", /^the preset .*"params" must be an object/);
		await preset(name, { params: null, model: "openai-nobody:x" });
		await refused({ preset: name }, "model_unknown", /^the preset .*no provider serves/);
		await refused({}, "bad_field", /^the conversation's defaults: "model" must be a string/, await conversation({ model: 5 }));
		const [long, longer] = [newId(), newId()];
		await preset(long, { params: { system: "x".repeat(140_000) } });
		await refused({ preset: long, params: { zebra: "x".repeat(140_000) } }, "too_large", /with its defaults .* paramsBytes allows 262144/);
	});

	test("params may have paramsBytes, which is enough for a hundred tools", async () => {
		const schema = { type: "object", properties: Object.fromEntries(Array.from({ length: 12 }, (_, i) =>
			[`member_${i}`, { type: "string", description: "what it is and when it is wanted ".repeat(2) }])) };
		const tools = Array.from({ length: 128 }, (_, i) => ({ name: `tool_${i}`, description: "does a thing", parameters: schema }));
		const size = JSON.stringify({ tools }).length;
		assert.ok(size > 150_000 && size < 262_144, `${size}`);
		const { fields, call } = await ask({ model: asked("openai"), params: { tools } });
		assert.deepEqual([fields.state, call.tools.length, call.tools[127].function], ["done", 128, tools[127]]);
		await refused({ model: asked("openai"), params: { zebra: "x".repeat(262_144) } }, "too_large", /paramsBytes allows 262144/);
	});

	test("what a fallback model is known to refuse is refused by its name before the message is accepted", async () => {
		const model = asked("anthropic"), fallback = ["gemini:any", "openai:o3-mini"], calls = house.fake.calls.length;
		const ofIt = (rest) => new RegExp(`^the fallback model openai:o3-mini: ${rest}`);
		await refused({ model, fallback, params: { temperature: 0.5 } }, "bad_field", ofIt("params\\.temperature"));
		await refused({ model, fallback, params: { maxTokens: 200_000 } }, "bad_field", ofIt("params\\.maxTokens is 200000"));
		const mine = await conversation({ params: { thinkingBudget: 2000 } });
		await refused({ model, fallback }, "bad_field", ofIt("params\\.thinkingBudget"), mine);
		assert.equal(house.fake.calls.filter(({ model }) => model !== "local:test").length, calls);
		assert.equal((await ask({ model, fallback, params: { maxTokens: 2000 } })).fields.state, "done");
	});

	test("a message that was accepted gets its ack again after its preset is gone", async () => {
		const name = newId(), messageId = newId(), conversationId = newId();
		await preset(name, { model: "local:test" });
		const first = await send({ preset: name }, conversationId, phone, messageId);
		await preset(name, null);
		const again = await send({ preset: name }, conversationId, phone, messageId);
		assert.deepEqual([again.duplicate, again.changeTag], [true, first.changeTag]);
	});
});

describe("in step", () => {
	test("a preset saved on one device is there on the other, which may send by it at once", async () => {
		const name = newId();
		await preset(name, { title: "Both", model: "local:test", params: { tokens: 3 } });
		await laptop.until(() => laptop.record("Preset", name)?.fields.title === "Both", "the preset");
		assert.deepEqual((await ask({ preset: name }, newId(), laptop)).fields.params, { tokens: 3 });
	});

	test("a conversation's defaults changed offline on two devices merge by field", async () => {
		const conversationId = await conversation({ preset: "old", model: "local:silent", params: { tokens: 1 } });
		const hex = (n) => n.toString(16).padStart(12, "0"), now = Date.now();
		const merge = (device, at, defaults) => device.call("record:save", { policy: "merge",
			records: [{ type: "Conversation", name: conversationId, fields: { defaults }, stamp: `${hex(now + at)}-0000-${device.deviceId}`,
				base: {} }] });
		// Neither has heard of the other; what is sent first was written last.
		await merge(laptop, 2, { model: "local:test" });
		await merge(phone, 1, { params: { tokens: 4 }, preset: null });
		const { fields } = await ask({}, conversationId);
		assert.deepEqual([fields.model, fields.params, fields.preset], ["local:test", { tokens: 4 }, undefined]);
		const record = await phone.until(() => phone.record("Conversation", conversationId), "the conversation");
		assert.deepEqual(record.fields.defaults, { model: "local:test", params: { tokens: 4 } });
	});

	test("defaults are kept over a restart", async () => {
		const name = newId();
		await preset(name, { model: "local:test", params: { tokens: 2 } });
		const conversationId = await conversation({ preset: name });
		await house.daemon.restart();
		phone = await Device.connect(house.daemon, phone);
		laptop = await Device.connect(house.daemon, laptop);
		assert.deepEqual((await ask({}, conversationId)).fields.params, { tokens: 2 });
	});
});
