// The fake provider, read by the vendors' own clients: what they accept is what their servers send. So a dialect that
// reads the fake one's streams reads the real one's.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startFake, textOf } from "../fake/provider.mjs";

const TOO_OLD = Number(process.versions.node.split(".")[0]) < 20 && "the vendors' clients want a newer Node";
const keys = { openai: "sk-o", "openai-responses": "sk-o", anthropic: "sk-a", gemini: "sk-g" };
const tool = { id: "call_7", name: "look", arguments: { where: "sky", deep: [{ n: 2 }] } };
const full = { thinking: ["let me ", "see"], tools: [tool], usage: { input: 90, output: 20, thinking: 12, cacheRead: 30 }, bytes: 5 };
const prompt = [{ role: "user", content: "well?" }];

let fake;
before(async () => {
	fake = await startFake({ keys, models: ["m-1", "m-2"] });
});
after(() => fake.close());

const collect = async (stream) => {
	const all = [];
	for await (const piece of stream) all.push(piece);
	return all;
};
// The client's classes of errors, by kind: [kind, class, status].
async function refuses(call, kinds, where = {}) {
	for (const [error, type, status] of kinds) {
		fake.script({ error, ...where });
		await assert.rejects(call(), (thrown) => {
			assert.equal(thrown.constructor.name, type, `${error}: ${thrown}`);
			assert.equal(thrown.status ?? thrown.status_code, status);
			assert.match(thrown.message, new RegExp(`this is ${error}`));
			return true;
		});
	}
	fake.script();
}

describe("openai", { skip: TOO_OLD }, () => {
	let client, other;
	before(async () => {
		const { default: OpenAI } = await import("openai");
		const options = { baseURL: fake.url("openai"), maxRetries: 0 };
		client = new OpenAI({ ...options, apiKey: keys.openai });
		other = new OpenAI({ ...options, apiKey: "wrong" });
	});
	const kinds = [["rate", "RateLimitError", 429], ["quota", "RateLimitError", 429], ["server", "InternalServerError", 500],
		["overloaded", "InternalServerError", 503], ["model", "NotFoundError", 404], ["invalid", "BadRequestError", 400],
		["context", "BadRequestError", 400]];
	const chat = (more) => client.chat.completions.create({ model: "m", messages: prompt, stream: true, ...more });

	test("reads a chat completion: thinking, text, a tool's call, usage", async () => {
		fake.script(full);
		const whole = await client.chat.completions.stream({ model: "m", messages: prompt, stream_options: { include_usage: true } })
			.finalChatCompletion();
		const { message, finish_reason: reason } = whole.choices[0];
		assert.deepEqual([message.content, reason], [textOf(8), "tool_calls"]);
		assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), tool.arguments);
		assert.deepEqual([whole.usage.prompt_tokens, whole.usage.completion_tokens], [90, 20]);
		assert.equal(whole.usage.completion_tokens_details.reasoning_tokens, 12);
		const chunks = await collect(await chat());
		assert.equal(chunks.map((c) => c.choices[0]?.delta.reasoning_content ?? "").join(""), "let me see");
		assert.ok(chunks.every(({ usage }) => usage === undefined), "usage comes only when it is asked for");
		const { choices } = await client.chat.completions.create({ model: "m", messages: prompt });
		assert.equal(choices[0].message.content, textOf(8));
	});

	test("reads a response: summary, text, a tool's call, usage", async () => {
		fake.script(full);
		const events = [];
		const stream = client.responses.stream({ model: "m", input: "well?" }).on("event", (event) => events.push(event));
		const whole = await stream.finalResponse();
		assert.deepEqual([whole.status, whole.output_text], ["completed", textOf(8)]);
		assert.deepEqual(whole.output.map(({ type }) => type), ["reasoning", "message", "function_call"]);
		assert.equal(whole.output[0].summary[0].text, "let me see");
		assert.deepEqual(JSON.parse(whole.output[2].arguments), tool.arguments);
		assert.deepEqual([whole.usage.input_tokens, whole.usage.output_tokens], [90, 20]);
		assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
		fake.script({ finish: "length" });
		const cut = await client.responses.stream({ model: "m", input: "well?" }).finalResponse();
		assert.deepEqual([cut.status, cut.incomplete_details.reason], ["incomplete", "max_output_tokens"]);
		fake.script({});
		assert.equal((await client.responses.create({ model: "m", input: "well?" })).output_text, textOf(8));
	});

	test("takes each error for what it is, before a stream and in it", async () => {
		await refuses(() => chat(), kinds);
		await refuses(() => client.responses.create({ model: "m", input: "x", stream: true }), kinds);
		await assert.rejects(other.chat.completions.create({ model: "m", messages: prompt }), { name: "Error", status: 401 });
		fake.script({ fault: "error", kind: "server" });
		await assert.rejects(chat().then(collect), /ran out of memory/);
		await assert.rejects(client.responses.create({ model: "m", input: "x", stream: true }).then(collect), /ran out of memory/);
		fake.script();
	});

	test("lists its models", async () => {
		assert.deepEqual((await collect(await client.models.list())).map(({ id }) => id), ["m-1", "m-2"]);
	});
});

describe("anthropic", { skip: TOO_OLD }, () => {
	let client, other;
	before(async () => {
		const { default: Anthropic } = await import("@anthropic-ai/sdk");
		const options = { baseURL: fake.url("anthropic"), maxRetries: 0 };
		client = new Anthropic({ ...options, apiKey: keys.anthropic });
		other = new Anthropic({ ...options, apiKey: "wrong" });
	});
	const ask = (more) => ({ model: "m", max_tokens: 100, messages: prompt, ...more });

	test("reads a message: thinking and its signature, text, a tool's call, usage", async () => {
		fake.script(full);
		const whole = await client.messages.stream(ask()).finalMessage();
		assert.deepEqual(whole.content.map(({ type }) => type), ["thinking", "text", "tool_use"]);
		const [thinking, text, call] = whole.content;
		assert.deepEqual([thinking.thinking, text.text], ["let me see", textOf(8)]);
		assert.ok(thinking.signature.length > 0);
		assert.deepEqual([call.id, call.name, call.input], [tool.id, tool.name, tool.arguments]);
		assert.equal(whole.stop_reason, "tool_use");
		const { usage } = whole;
		assert.deepEqual([usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens], [60, 30, 20]);
		assert.equal((await client.messages.create(ask())).content[1].text, textOf(8));
	});

	test("takes each error for what it is, before a stream and in it", async () => {
		await refuses(() => client.messages.create(ask({ stream: true })), [["rate", "RateLimitError", 429],
			["overloaded", "OverloadedError", 529], ["server", "InternalServerError", 500], ["model", "NotFoundError", 404],
			["invalid", "BadRequestError", 400]]);
		await assert.rejects(other.messages.create(ask()), { status: 401 });
		fake.script({ fault: "error", kind: "overloaded" });
		await assert.rejects(client.messages.stream(ask()).finalMessage(), /ran out of memory/);
		fake.script({ fault: "early" });
		await assert.rejects(client.messages.stream(ask()).finalMessage());
		fake.script();
	});

	test("is refused what the newer version refuses", async () => {
		const headers = { "anthropic-version": "2026-10-21" };
		await assert.rejects(client.messages.create(ask({ temperature: 1 }), { headers }), { status: 400 });
		await client.messages.create(ask({ temperature: 1 }), { headers: { "anthropic-version": "2023-06-01" } });
	});

	test("lists its models", async () => {
		assert.deepEqual((await collect(client.models.list())).map(({ id }) => id), ["m-1", "m-2"]);
	});
});

describe("google", { skip: TOO_OLD }, () => {
	let client, other;
	before(async () => {
		const { GoogleGenAI } = await import("@google/genai");
		const httpOptions = { baseUrl: `http://127.0.0.1:${fake.port}`, apiVersion: "v1beta", retryOptions: { attempts: 1 } };
		client = new GoogleGenAI({ apiKey: keys.gemini, httpOptions });
		other = new GoogleGenAI({ apiKey: "wrong", httpOptions });
	});
	const ask = (of = client) => of.models.generateContentStream({ model: "m", contents: "well?" });

	test("reads generated content: thoughts, text, a function's call, usage", async () => {
		fake.script(full);
		const chunks = await collect(await ask());
		const parts = chunks.flatMap((chunk) => chunk.candidates[0].content.parts);
		const said = (thought) => parts.filter((p) => p.text && Boolean(p.thought) === thought).map((p) => p.text).join("");
		assert.deepEqual([said(true), said(false)], ["let me see", textOf(8)]);
		assert.deepEqual(chunks.flatMap((chunk) => chunk.functionCalls ?? []), [{ id: tool.id, name: tool.name, args: tool.arguments }]);
		const { finishReason } = chunks.at(-1).candidates[0], { usageMetadata: usage } = chunks.at(-1);
		assert.deepEqual([finishReason, usage.promptTokenCount, usage.candidatesTokenCount, usage.thoughtsTokenCount],
			["STOP", 90, 8, 12]);
		assert.equal((await client.models.generateContent({ model: "m", contents: "well?" })).text, textOf(8));
	});

	test("takes each error for what it is, before a stream and in it", async () => {
		await refuses(() => ask(), [["rate", "ApiError", 429], ["overloaded", "ApiError", 503], ["server", "ApiError", 500],
			["model", "ApiError", 404], ["invalid", "ApiError", 400]]);
		await assert.rejects(ask(other), { status: 403 });
		fake.script({ fault: "reset" });
		await assert.rejects(ask().then(collect));
		fake.script();
	});

	test("lists its models", async () => {
		assert.deepEqual((await collect(await client.models.list())).map(({ name }) => name), ["models/m-1", "models/m-2"]);
	});
});

describe("ollama", { skip: TOO_OLD }, () => {
	let client;
	before(async () => {
		const { Ollama } = await import("ollama");
		client = new Ollama({ host: fake.url("ollama") });
	});
	const ask = () => client.chat({ model: "m", messages: prompt, stream: true });

	test("reads a chat: thinking, text, a tool's call, counts", async () => {
		fake.script(full);
		const lines = await collect(await ask());
		assert.equal(lines.map(({ message }) => message.thinking ?? "").join(""), "let me see");
		assert.equal(lines.map(({ message }) => message.content).join(""), textOf(8));
		const [call] = lines.flatMap(({ message }) => message.tool_calls ?? []);
		assert.deepEqual([call.function.name, call.function.arguments], [tool.name, tool.arguments]);
		const last = lines.at(-1);
		assert.deepEqual([last.done, last.done_reason, last.prompt_eval_count, last.eval_count], [true, "stop", 90, 20]);
		assert.equal((await client.chat({ model: "m", messages: prompt })).message.content, textOf(8));
	});

	test("takes each error for what it is, before a stream and in it", async () => {
		await refuses(ask, [["overloaded", "ResponseError", 503], ["model", "ResponseError", 404], ["server", "ResponseError", 500]]);
		fake.script({ fault: "error" });
		await assert.rejects(ask().then(collect), /ran out of memory/);
		fake.script({ fault: "early" });
		await assert.rejects(ask().then(collect), /Did not receive done/);
		fake.script();
	});

	test("lists its models", async () => {
		assert.deepEqual((await client.list()).models.map(({ name }) => name), ["m-1", "m-2"]);
	});
});
