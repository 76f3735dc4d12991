// Every dialect × everything a provider can do wrong × the phase in which it does: what becomes of the request, after how
// many attempts, under which error, and what is kept of the attempt's text. All through the real daemon.
//
// A row says what must come of it; a dialect that must differ says so in `but`. What differs from the table is printed as
// one, all of it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asked, atOnce, names, newId, startHouse } from "../fake/house.mjs";
import { textOf } from "../fake/provider.mjs";
import { until } from "../lib/roost.mjs";

const limits = {
	attempts: 3,
	backoffMaxMs: 100,
	retryHorizonMs: 1500,
	answerBytes: 100_000,
	providerBodyBytes: 8 << 20,
	openRequests: 1000,
};
// For what ends by a deadline: no other answer has to be quick.
const hasty = { ...limits, retryHorizonMs: 20_000, firstTokenMs: 700, streamIdleMs: 700 };

let house, device, hastyHouse, hastyDevice, nowhere;
before(async () => {
	[house, hastyHouse] = await Promise.all([startHouse({ limits }), startHouse({ limits: hasty })]);
	nowhere = await startHouse({ limits, url: () => "http://127.0.0.1:1" });
	[device, hastyDevice] = await Promise.all([house.daemon.device(), hastyHouse.daemon.device()]);
});
after(() => Promise.all([house.close(), hastyHouse.close(), nowhere.close()]));

// What came of it: "done", or "failed CODE"; the attempts, "many" for those that a storm was ridden out with; the text of
// the reply, or what is kept of the last attempt.
const good = { end: "done", attempts: 1, text: textOf(8) };
const fails = (code, attempts = 3) => ({ end: `failed ${code}`, attempts });
const HALF = textOf(4), ALL = textOf(8);
const kept = { head: "", first: "", middle: HALF, end: ALL, after: ALL };

// Good answers, oddly brought.
const odd = [
	[{}, good],
	[{ bytes: 1 }, good],
	[{ bytes: 2 }, good],
	[{ bytes: 3 }, good],
	[{ bytes: 7 }, good],
	[{ bytes: 64 }, good],
	[{ whole: 1 }, good],
	[{ tokens: 300, bytes: 997 }, { ...good, text: textOf(300) }],
	[{ delayMs: 200, keepAliveMs: 5 }, good],
	[{ fault: "wrongType", at: "head" }, good],
	[{ fault: "unknown", at: "first" }, { ...good, text: "a" }],
	[{ fault: "unknown", at: "middle" }, { ...good, text: `${HALF}a` }],
	[{ fault: "badUtf8", at: "middle" }, { ...good, text: `${HALF}a\ufffd\ufffdb` }],
	[{ finish: "length" }, good],
	// What came after the provider said that it is complete.
	...["cut", "early"].map((fault) => [{ fault, at: "after" }, good]),
];

const anyPhase = ["first", "middle", "end"];
const inAll = (fault, phases, result) => phases.map((at) => [{ fault, at }, { ...result, text: kept[at] }]);
const late = [
	...inAll("stall", ["head", ...anyPhase], fails("provider_timeout")),
	...inAll("drip", anyPhase, fails("provider_timeout")),
	...["stall", "drip"].map((fault) => [{ fault, at: "after" }, good]),
];
const bad = [
	...inAll("reset", ["head", ...anyPhase], { ...fails("provider_interrupted"), lossy: true }),
	...inAll("cut", ["head", ...anyPhase], fails("provider_interrupted")),
	...inAll("early", anyPhase, fails("provider_interrupted")),
	...inAll("half", anyPhase, fails("provider_interrupted")),
	...inAll("notJson", anyPhase, fails("provider_interrupted")),
	...inAll("badChunk", ["head", ...anyPhase], fails("provider_interrupted")),
	...inAll("error", anyPhase, fails("provider_error")),
	...inAll("hugeHead", ["head"], fails("provider_too_much", 1)),
	...inAll("error200", ["head"], fails("provider_error")),
	...inAll("nothing", ["head"], fails("provider_interrupted")),
	...inAll("page", ["head"], fails("provider_error")),
	...inAll("redirect", ["head"], fails("provider_refused", 1)),
	// A line of JSON is a line of its stream to Ollama; to the others it is an answer that did not stream.
	[{ fault: "empty", at: "head" }, { ...fails("provider_error"), text: "" },
		{ ollama: { ...fails("provider_interrupted"), text: "" } }],
	// Nothing at all, said in full.
	[{ tokens: 0 }, { ...fails("provider_error"), text: "" }],
	[{ tokens: 0, finish: "length" }, { ...fails("provider_refused", 1), text: "" }],
];

// Too much. Only text is bounded by the answer's limit; what is none by that of the body, or of an event.
const tooMuch = [
	[{ fault: "endless" }, fails("provider_too_much", 1)],
	[{ fault: "flood", at: "first" }, { ...fails("provider_too_much", 1), text: "" }],
	[{ fault: "flood", at: "middle" }, { ...fails("provider_too_much", 1), text: HALF }],
	[{ fault: "longEvent", at: "middle" }, { ...fails("provider_too_much", 1), text: HALF }],
];

// Inside a stream Ollama's errors are a text without a kind.
const inside = [
	["overloaded", fails("provider_busy", "many")],
	["rate", fails("provider_busy", "many")],
	["auth", fails("provider_refused", 1)],
	["quota", fails("provider_refused", 1)],
	["context", fails("provider_refused", 1)],
].map(([kind, result]) => [{ fault: "error", at: "middle", kind }, { ...result, text: HALF },
	{ ollama: { ...fails("provider_error"), text: HALF },
		// These dialects have no word for it but "invalid", which inside an answer says nothing.
		...(kind === "context" ? { anthropic: { ...fails("provider_refused|provider_error", "any"), text: HALF },
			gemini: { ...fails("provider_refused|provider_error", "any"), text: HALF } } : {}) }]);

const statuses = [
	["rate", fails("provider_busy", "many")],
	["overloaded", fails("provider_busy", "many")],
	["server", fails("provider_error")],
	["timeout", fails("provider_timeout")],
	["auth", fails("provider_refused", 1)],
	["quota", fails("provider_refused", 1)],
	["model", fails("provider_refused", 1)],
	["context", fails("provider_refused", 1)],
	["invalid", fails("provider_refused", 1)],
].map(([error, result]) => [{ error }, { ...result, text: "" }]);

const storms = [
	[{ error: "overloaded", storm: 5 }, { ...good, attempts: 6 }],
	[{ error: "rate", storm: 5 }, { ...good, attempts: 6 }],
	[{ error: "server", storm: 2 }, { ...good, attempts: 3 }],
	[{ fault: "reset", at: "head", storm: 2 }, { ...good, attempts: 3 }],
	[{ fault: "cut", at: "middle", storm: 1 }, { ...good, attempts: 2 }],
	[{ fault: "error", at: "end", storm: 1 }, { ...good, attempts: 2 }],
];

async function run(dialect, script, { fake }, device) {
	const model = asked(dialect, script);
	const { request } = await device.converse({ text: "well?", conversationId: newId(), model }, 60_000);
	const { state, error, attempt, attempts } = request.fields;
	const replies = device.answers(request.name);
	const calls = fake.of(model);
	const text = state === "done" ? replies[0]?.fields.text : await device.kept(request.name, attempt);
	return {
		end: state === "done" ? "done" : `${state} ${error.code}`,
		attempts: attempt,
		text,
		// What is true of every cell: one reply or none, one call for each attempt, all of them in the timeline.
		replies: replies.length === (state === "done" ? 1 : 0) ? "" : `${replies.length} replies`,
		calls: calls.length === attempt ? "" : `${calls.length} calls`,
		timeline: attempts.length === Math.min(attempt, 16) ? "" : `${attempts.length} in the timeline`,
		message: state === "done" || error.message.length > 10 ? "" : `says only "${error.message}"`,
	};
}

function differs(is, want) {
	const wrong = [];
	if (!want.end.split("|").some((end, i) => is.end === (i ? `failed ${end}` : end))) wrong.push(is.end);
	const { attempts } = want;
	if (attempts === "many" ? is.attempts < 2 : attempts !== "any" && is.attempts !== attempts) wrong.push(`${is.attempts} attempts`);
	const same = want.lossy ? want.text.startsWith(is.text) : is.text === want.text;
	if (want.text !== undefined && !same) wrong.push(`text ${JSON.stringify(is.text)?.slice(0, 60)}`);
	return [...wrong, is.replies, is.calls, is.timeline, is.message].filter(Boolean);
}

async function check(dialect, rows, { n = 24, at = house, by = device } = {}) {
	const cells = await atOnce(rows, n, async ([script, all, but]) => {
		const want = but?.[dialect] ?? all;
		const is = await run(dialect, script, at, by).catch((error) => ({ end: error.message }));
		return { script, want, wrong: differs(is, want) };
	});
	const table = cells.filter(({ wrong }) => wrong.length).map(({ script, want, wrong }) =>
		`${dialect.padEnd(17)}${new URLSearchParams(script).toString().padEnd(36)}` +
		`${`${want.end}, ${want.attempts}`.padEnd(40)}${wrong.join("; ")}`);
	assert.equal(table.length, 0, `\n${"dialect".padEnd(17)}${"script".padEnd(36)}${"expected".padEnd(40)}got\n${table.join("\n")}\n`);
}

for (const dialect of names)
	describe(dialect, () => {
		test("a good answer, however it is brought, is the reply after one attempt", () => check(dialect, odd));
		test("what breaks in any phase ends in one clear error, and the text until then is kept", () => check(dialect, bad));
		test("silence in any phase ends at its deadline, keep-alives or not; after the end it does no harm", () =>
			check(dialect, late, { at: hastyHouse, by: hastyDevice }));
		test("nobody there is an error of its own", async () => {
			const device = await nowhere.daemon.device();
			const { request } = await device.converse({ text: "well?", conversationId: newId(), model: `${dialect}:m` });
			const { state, attempt, error } = request.fields;
			assert.deepEqual([state, attempt, error.code], ["failed", 3, "provider_unreachable"]);
		});
		test("what never ends is closed at a limit, without another attempt", async () => {
			await check(dialect, tooMuch, { n: 1 });
			await until(() => house.fake.calls.every((call) => call.done || call.closedAt !== undefined), "every call to be over");
		});
		test("an error inside an answer means what its kind means", () => check(dialect, inside));
		test("a status means what its dialect says it means", () => check(dialect, statuses));
		test("a storm is ridden out, and the reply is of one attempt alone", () => check(dialect, storms));

		test("what it says about trying again is heeded", async () => {
			const rows = [[{ error: "server" }, "x-should-retry", "false", 1], [{ error: "invalid" }, "x-should-retry", "true", 3]];
			for (const [script, header, value, attempts] of rows) {
				house.fake.script({ ...script, headers: { [header]: value } });
				const { request } = await device.converse({ text: "well?", conversationId: newId(), model: `${dialect}:scripted` });
				assert.equal(request.fields.attempt, attempts, header);
			}
			house.fake.script();
		});

		test("a wait it asks for is kept, in either header; one beyond the horizon fails at once", async () => {
			for (const [headers, ms] of [[{ "retry-after-ms": "150" }, 150], [{ "retry-after": "0.2" }, 200]]) {
				house.fake.script({ error: "rate", headers }, {});
				const from = house.fake.calls.length;
				const { request } = await device.converse({ text: "well?", conversationId: newId(), model: `${dialect}:scripted` });
				assert.equal(request.fields.state, "done");
				const [one, two] = house.fake.calls.slice(from);
				assert.ok(two.at - one.at >= ms - 1, `${two.at - one.at} ms`);
			}
			house.fake.script({ error: "rate", headers: { "retry-after": "3600" } });
			const { request } = await device.converse({ text: "well?", conversationId: newId(), model: `${dialect}:scripted` });
			assert.deepEqual([request.fields.state, request.fields.attempt], ["failed", 1]);
			house.fake.script();
		});

		test("a tool's call is a part of the reply", async () => {
			house.fake.script({ tools: [{ id: "call_7", name: "look", arguments: { where: "sky", n: 2 } }], bytes: 5 });
			const { reply } = await device.converse({ text: "well?", conversationId: newId(), model: `${dialect}:scripted` });
			house.fake.script();
			assert.equal(reply.fields.finishReason, "tool_calls");
			const part = reply.fields.parts?.find(({ type }) => type === "tool_call");
			assert.deepEqual([part?.id, part?.name, part?.arguments], ["call_7", "look", { where: "sky", n: 2 }]);
		});

		test("thinking is a stream of its own, usage what it said", async () => {
			const usage = { input: 90, output: 20, thinking: dialect === "ollama" ? 0 : 12, cacheRead: dialect === "ollama" ? 0 : 30 };
			house.fake.script({ text: ["ü", "ber"], thinking: ["let me ", "see"], usage, bytes: 5, rate: 100 });
			const conversationId = newId();
			await device.call("session:join", { conversationId });
			const { request, reply } = await device.converse({ text: "well?", conversationId, model: `${dialect}:scripted` });
			house.fake.script();
			assert.equal(reply.fields.text, "über");
			assert.equal(device.stream(request.name, 1, "thinking"), "let me see");
			const { inputTokens, outputTokens, thinkingTokens = 0, cacheReadTokens = 0, estimated } = request.fields.usage;
			assert.deepEqual({ input: inputTokens, output: outputTokens, thinking: thinkingTokens, cacheRead: cacheReadTokens }, usage);
			assert.equal(estimated, false);
		});

		test("usage that it does not tell is estimated and says so; lies are bounded", async () => {
			house.fake.script({ usage: null });
			const untold = await device.converse({ text: "well?", conversationId: newId(), model: `${dialect}:scripted` });
			assert.equal(untold.request.fields.usage.estimated, true);
			assert.ok(untold.request.fields.usage.outputTokens > 0);
			house.fake.script({ usage: { input: 9e15, output: 9e15, thinking: 0 } }, { usage: { input: -5, output: -5, thinking: 0 } });
			for (let i = 0; i < 2; i++) {
				const { request } = await device.converse({ text: "well?", conversationId: newId(), model: `${dialect}:scripted` });
				assert.equal(request.fields.state, "done");
				for (const n of [request.fields.usage.inputTokens, request.fields.usage.outputTokens])
					assert.ok(n >= 0 && n <= 2 ** 53, `${n} tokens`);
			}
			house.fake.script();
		});
	});

describe("what the head of an answer tells of limits", () => {
	for (const dialect of ["openai", "openai-responses", "anthropic"])
		test(`is heeded: with no request left, the next one waits and says why: ${dialect}`, async () => {
			const own = await startHouse({ limits });
			try {
				const device = await own.daemon.device();
				const send = () => device.send({ text: "well?", conversationId: newId(), model: `${dialect}:m` });
				own.fake.script({ limits: { requests: [60, 0], tokens: [100_000, 90_000], resetMs: 60_000 } });
				await device.finished((await send()).requestId);
				const { requestId } = await send();
				const state = await until(async () => {
					const told = await device.call("request:get", { requestId });
					return told.pacing && told;
				}, "the wait to be told");
				assert.deepEqual([state.state, state.pacing.why], ["queued", "requests"]);
				assert.equal(own.fake.calls.length, 1);
				await device.call("request:stop", { requestId });
				assert.equal((await device.finished(requestId)).fields.state, "stopped");
			} finally {
				await own.close();
			}
		});
});

test("the table tells what differs from it", () =>
	assert.rejects(check("openai", [[{}, good], [{ tokens: 3 }, { ...fails("provider_error"), text: "" }]]),
		/openai +tokens=3 +failed provider_error, 3 +done; 1 attempts; text "pigeons come home "/));
