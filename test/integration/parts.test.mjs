// Attachments, tool calls and the context window through the whole path: device, daemon, provider, and back.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { names, newId, startHouse } from "../fake/house.mjs";
import { scratch } from "../lib/roost.mjs";

describe("the parts of a message", () => {
	let house, device;
	before(async () => {
		house = await startHouse();
		device = await house.daemon.device();
	});
	after(() => house.close());

	const upload = async (bytes) => {
		const sha256 = createHash("sha256").update(bytes).digest("hex");
		const put = await house.daemon.http("PUT", `/api/v1/assets/${sha256}`, { token: device.token, body: bytes });
		assert.ok(put.status < 300, `${put.status}`);
		return sha256;
	};
	const send = async (conversationId, model, message) => {
		const request = { model, ...message.request };
		const { requestId } = await device.call("message:send", { messageId: newId(), conversationId, ...message, request });
		return (await device.finished(requestId)).fields;
	};
	const said = (dialect) => JSON.stringify(house.fake.calls.filter((call) => call.dialect === dialect).at(-1).body);

	for (const dialect of names) {
		test(`${dialect}: an image goes out as one, and a text file as text under its name`, async () => {
			const image = await upload(Buffer.from("\x89PNG" + dialect, "latin1")), note = await upload(Buffer.from(`remember ${dialect}`));
			house.fake.script({});
			const fields = await send(newId(), `${dialect}:any`, {
				text: "look",
				parts: [
					{ sha256: image, mediaType: "image/png", name: "a.png" },
					{ sha256: note, mediaType: "text/plain", name: "note.txt" },
					{ type: "place", lat: 1 },
				],
			});
			assert.equal(fields.state, "done", JSON.stringify(fields.error));
			assert.ok(said(dialect).includes(Buffer.from("\x89PNG" + dialect, "latin1").toString("base64")), said(dialect));
			assert.ok(said(dialect).includes(`note.txt:\\nremember ${dialect}`), said(dialect));
			assert.ok(!said(dialect).includes('"lat"'));
		});

		test(`${dialect}: a tool call comes back in the reply's parts, and its result goes out with it`, async () => {
			const conversationId = newId(), tools = [{ name: "add", description: "adds", parameters: { type: "object" } }];
			house.fake.script({ tools: [{ id: "call_1", name: "add", arguments: { a: 1, b: "zwei" } }], text: [], finish: "tool_calls" });
			const first = await send(conversationId, `${dialect}:any`, { text: "1 + 2?", request: { params: { tools } } });
			assert.equal(first.state, "done", JSON.stringify(first.error));
			const reply = await device.record("Message", first.replyId);
			const [call] = reply.fields.parts.filter(({ type }) => type === "tool_call");
			assert.deepEqual([call.name, call.arguments, reply.fields.finishReason], ["add", { a: 1, b: "zwei" }, "tool_calls"]);
			house.fake.script({ text: ["three"] });
			const second = await send(conversationId, `${dialect}:any`, {
				text: "",
				parts: [{ type: "tool_result", id: call.id, name: "add", text: "3 it is" }],
				request: { params: { tools } },
			});
			assert.equal(second.state, "done", JSON.stringify(second.error));
			assert.ok(said(dialect).includes("3 it is") && said(dialect).includes("zwei"), said(dialect));
			assert.equal((await device.record("Message", second.replyId)).fields.text, "three");
		});
	}

	test("an image that the model or a fallback is known to refuse is refused before anything is stored", async () => {
		const sha256 = await upload(Buffer.from("a picture")), calls = house.fake.calls.length;
		const message = { conversationId: newId(), text: "look", parts: [{ sha256, mediaType: "image/png", name: "p.png" }] };
		for (const [request, pattern] of [
			[{ model: "openai:o3-mini" }, /^openai:o3-mini takes no images$/],
			[{ model: "openai:any", fallback: ["gemini:any", "openai:o3-mini"] },
				/^the fallback model openai:o3-mini: openai:o3-mini takes no images$/],
		])
			await assert.rejects(device.call("message:send", { messageId: newId(), ...message, request }),
				(error) => error.code === "bad_field" && pattern.test(error.message));
		assert.equal(house.fake.calls.length, calls);
		assert.equal((await send(newId(), "openai:any", { ...message, request: { fallback: ["openai:o3"] } })).state, "done");
	});

	test("an attachment that was never stored is refused before anything is", async () => {
		const sha256 = "0".repeat(64);
		const message = { messageId: newId(), conversationId: newId(), text: "x", parts: [{ sha256 }], request: { model: "openai:any" } };
		await assert.rejects(device.call("message:send", message), { code: "not_found" });
	});
});

describe("a conversation longer than the model's window", () => {
	const window = 400, long = "pigeon ".repeat(100); // more than a hundred tokens by any estimate
	let house, device, data;
	before(async () => {
		data = await scratch();
		await writeFile(join(data, "models.json"), JSON.stringify({ models: [{ id: "openai:small", window, maxOutput: 100 }] }));
		house = await startHouse({ data, limits: { contextBytes: 4096 } });
		device = await house.daemon.device();
	});
	after(() => house.close());

	const ask = async (conversationId, text, params) => {
		const { requestId } = await device.send({ conversationId, text, model: "openai:small", params });
		return (await device.finished(requestId)).fields;
	};
	const sent = () => house.fake.calls.at(-1).body.messages.map(({ content }) => content);

	test("loses its oldest messages, and the timeline says how many", async () => {
		const conversationId = newId();
		house.fake.script({ text: ["yes"] });
		assert.equal((await ask(conversationId, `first ${long}`)).attempts.at(-1).context, undefined);
		const fields = await ask(conversationId, `second ${long}`);
		assert.equal(fields.state, "done", JSON.stringify(fields.error));
		const { leftOut, tokens, room, summarised } = fields.attempts.at(-1).context;
		assert.deepEqual([leftOut, room, summarised], [2, 300, false]);
		assert.ok(tokens > 100 && tokens <= room, `${tokens}`);
		assert.deepEqual(sent(), [`second ${long}`]);
	});

	test("longer than contextBytes is cut before that, and the timeline says so", async () => {
		const conversationId = newId(), request = { model: "openai:any" };
		house.fake.script({ text: ["yes"] });
		for (const [i, cut] of [[1, undefined], [2, true]]) {
			const { requestId } = await device.call("message:send", { messageId: newId(), conversationId, text: "y".repeat(3000), request });
			const fields = (await device.finished(requestId)).fields;
			assert.deepEqual([fields.state, fields.attempts.at(-1).context?.cut], ["done", cut], `turn ${i}`);
		}
	});

	test("is refused before any call when the request says so", async () => {
		const conversationId = newId();
		house.fake.script({ text: ["yes"] });
		await ask(conversationId, `first ${long}`);
		const before = house.fake.calls.length;
		const fields = await ask(conversationId, `second ${long}`, { context: "refuse" });
		assert.deepEqual([fields.state, fields.error.code, fields.attempts.at(-1).error.class], ["failed", "too_large", "context"]);
		assert.match(fields.error.message, /room for 300/);
		assert.equal(house.fake.calls.length, before);
	});

	test("is summarised by the same model, once, and the summary goes before what stays", async () => {
		const conversationId = newId();
		house.fake.script({ text: ["yes"] });
		await ask(conversationId, `first ${long}`);
		const before = house.fake.calls.length;
		house.fake.script({ text: ["they spoke of pigeons"] }, { text: ["well"] });
		const params = { context: "summarise", maxTokens: 50 };
		const fields = await ask(conversationId, `second ${"dove ".repeat(110)}`, params);
		assert.equal(fields.state, "done", JSON.stringify(fields.error));
		assert.equal(device.record("Message", fields.replyId).fields.text, "well");
		const [summing, answering] = house.fake.calls.slice(before).map(({ body }) => JSON.stringify(body.messages));
		assert.ok(summing.includes("first pigeon") && !summing.includes("second"), summing);
		assert.ok(answering.includes("they spoke of pigeons") && !answering.includes("first pigeon"), answering);
		assert.equal(fields.attempts.at(-1).context.summarised, true);
	});

	test("has its summary counted, or estimated when its provider says nothing", async () => {
		const usage = { input: 7, output: 3, thinking: 0 };
		for (const [told, input, output, estimated] of [
			[{ input: 500, output: 40, thinking: 0 }, [507, 507], [43, 43], false],
			[null, [107, 400], [3 + 40, 3 + 80], true], // what is summarised is more than a hundred tokens
		]) {
			const conversationId = newId();
			house.fake.script({ text: ["yes"] });
			await ask(conversationId, `first ${newId()} ${long}`); // nobody has the summary of this one yet
			house.fake.script({ text: ["they spoke of pigeons ".repeat(8)], usage: told }, { text: ["well"], usage });
			const fields = await ask(conversationId, `second ${"dove ".repeat(110)}`, { context: "summarise", maxTokens: 50 });
			assert.equal(fields.state, "done", JSON.stringify(fields.error));
			const said = fields.usage;
			assert.equal(said.estimated, estimated);
			assert.ok(said.inputTokens >= input[0] && said.inputTokens <= input[1], JSON.stringify(said));
			assert.ok(said.outputTokens >= output[0] && said.outputTokens <= output[1], JSON.stringify(said));
		}
	});
});
