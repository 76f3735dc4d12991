// Parameters of a request on their way to each provider: what is given arrives under the provider's own name, zero and
// false included; what is not given is not sent; what the API has no word for is refused by name before any call.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { asked, atOnce, names, newId, startHouse } from "../fake/house.mjs";
import { seeded } from "../lib/roost.mjs";

let house, device;
before(async () => {
	house = await startHouse({ limits: { openRequests: 1000 } });
	device = await house.daemon.device();
});
after(() => house.close());

// ---- what must become of each ---------------------------------------------------------------------------------------

const REFUSED = Symbol("refused");
const NOWHERE = undefined; // taken, and nothing to send
const no = [() => NOWHERE, () => REFUSED];
// [where it is in the body, what must be there for a value]
const at = (path, map = (v) => v) => [(body) => path.split(".").reduce((o, key) => o?.[key], body), map];
const list = (v) => [v].flat();
const first = (body) => (body.messages[0].role === "system" ? body.messages[0].content : undefined);
const text = (v) => v || undefined;
const choice = (of) => (v) => ["auto", "none", "required"].includes(v) ? of[v] ?? v : of.name(v);
const words = (map) => (v) => map[v];
const level = { minimal: "MINIMAL", low: "LOW", medium: "MEDIUM", high: "HIGH" };

const table = {
	openai: {
		system: [first, text],
		maxTokens: at("max_tokens"),
		temperature: at("temperature"),
		topP: at("top_p"),
		topK: at("top_k"),
		seed: at("seed"),
		stop: at("stop"),
		frequencyPenalty: at("frequency_penalty"),
		presencePenalty: at("presence_penalty"),
		thinking: at("reasoning_effort", words({ off: "none" })),
		thinkingBudget: no,
		effort: at("reasoning_effort"),
		schema: at("response_format.json_schema.schema"),
		tools: at("tools", (v) => v.map((f) => ({ type: "function", function: f }))),
		toolChoice: at("tool_choice", choice({ name: (name) => ({ type: "function", function: { name } }) })),
		zebra: at("zebra"),
	},
	"openai-responses": {
		system: at("instructions", text),
		maxTokens: at("max_output_tokens"),
		temperature: at("temperature"),
		topP: at("top_p"),
		topK: no,
		seed: no,
		stop: no,
		frequencyPenalty: no,
		presencePenalty: no,
		thinking: at("reasoning", words({ off: { effort: "none" }, on: { summary: "auto" }, adaptive: { summary: "auto" } })),
		thinkingBudget: no,
		effort: at("reasoning.effort"),
		schema: at("text.format.schema"),
		tools: at("tools", (v) => v.map((f) => ({ type: "function", ...f, strict: false }))),
		toolChoice: at("tool_choice", choice({ name: (name) => ({ type: "function", name }) })),
		zebra: at("zebra"),
	},
	anthropic: {
		system: at("system", text),
		maxTokens: at("max_tokens"),
		temperature: at("temperature"),
		topP: at("top_p"),
		topK: at("top_k"),
		seed: no,
		stop: at("stop_sequences", list),
		frequencyPenalty: no,
		presencePenalty: no,
		thinking: at("thinking.type", words({ off: "disabled", on: "enabled", adaptive: "adaptive" })),
		thinkingBudget: at("thinking.budget_tokens", (v) => (v < 1024 ? REFUSED : v)),
		effort: [(b) => b.output_config?.effort ?? (b.thinking?.type === "disabled" ? "none" : undefined),
			(v) => (v === "minimal" ? REFUSED : v)],
		schema: at("output_config.format.schema"),
		tools: at("tools", (v) => v.map(({ parameters, ...f }) => ({ ...f, input_schema: parameters }))),
		toolChoice: at("tool_choice", choice({ auto: { type: "auto" }, none: { type: "none" }, required: { type: "any" },
			name: (name) => ({ type: "tool", name }) })),
		zebra: at("zebra"),
	},
	gemini: {
		system: at("systemInstruction", (v) => (v ? { parts: [{ text: v }] } : undefined)),
		maxTokens: at("generationConfig.maxOutputTokens"),
		temperature: at("generationConfig.temperature"),
		topP: at("generationConfig.topP"),
		topK: at("generationConfig.topK"),
		seed: at("generationConfig.seed"),
		stop: at("generationConfig.stopSequences", list),
		frequencyPenalty: at("generationConfig.frequencyPenalty"),
		presencePenalty: at("generationConfig.presencePenalty"),
		thinking: [({ generationConfig: { thinkingConfig: c } }) => c &&
			(c.includeThoughts ? (c.thinkingBudget === -1 ? "adaptive" : "on") : c.thinkingBudget === 0 ? "off" : "?"), (v) => v],
		thinkingBudget: at("generationConfig.thinkingConfig.thinkingBudget"),
		effort: [({ generationConfig: { thinkingConfig: c } }) => c && (c.thinkingLevel ?? (c.thinkingBudget === 0 ? "none" : "?")),
			(v) => (v === "none" ? v : level[v] ?? REFUSED)],
		schema: at("generationConfig.responseJsonSchema"),
		tools: at("tools", (v) => [{ functionDeclarations:
			v.map(({ parameters, ...f }) => ({ ...f, parametersJsonSchema: parameters })) }]),
		toolChoice: at("toolConfig.functionCallingConfig", choice({ auto: { mode: "AUTO" }, none: { mode: "NONE" },
			required: { mode: "ANY" }, name: (name) => ({ mode: "ANY", allowedFunctionNames: [name] }) })),
		zebra: at("generationConfig.zebra"),
	},
	ollama: {
		system: [first, text],
		maxTokens: at("options.num_predict"),
		temperature: at("options.temperature"),
		topP: at("options.top_p"),
		topK: at("options.top_k"),
		seed: at("options.seed"),
		stop: at("options.stop", list),
		frequencyPenalty: at("options.frequency_penalty"),
		presencePenalty: at("options.presence_penalty"),
		thinking: at("think", words({ off: false, on: true, adaptive: true })),
		thinkingBudget: no,
		effort: at("think", (v) => ({ none: false, minimal: REFUSED, xhigh: REFUSED })[v] ?? v),
		schema: at("format"),
		tools: at("tools", (v) => v.map((f) => ({ type: "function", function: f }))),
		toolChoice: [() => NOWHERE, (v) => (["auto", "none"].includes(v) ? NOWHERE : REFUSED)],
		zebra: at("options.zebra"),
	},
};

const schema = { type: "object", properties: { a: { type: "integer", minimum: 0 } }, required: ["a"] };
const tool = { name: "look", description: "looks", parameters: schema };
// Zero, false, empty and the ends of the range among them.
const values = {
	system: ["be brief", "", "über «\"\\\n»"],
	maxTokens: [1, 8192],
	temperature: [0, 0.7, 2],
	topP: [0, 0.5, 1],
	topK: [0, 40],
	seed: [0, -1, 42],
	stop: [["a", "b"], "one", ["\n\n"]],
	frequencyPenalty: [0, -2, 1.5],
	presencePenalty: [0, 2],
	thinking: ["off", "on", "adaptive"],
	thinkingBudget: [0, 2048],
	effort: ["none", "minimal", "low", "medium", "high", "xhigh", "max"],
	schema: [schema, {}],
	tools: [[tool], [tool, { ...tool, name: "go_there-2" }]],
	toolChoice: ["auto", "none", "required", "look"],
	zebra: [0, false, "", { deep: [null] }],
};
const trio = ["thinking", "thinkingBudget", "effort"]; // several ways to say how to think: they may contradict

// Asks with these parameters: {body, headers} of the call, or {refused}: the sentence.
async function send(dialect, params) {
	const model = asked(dialect);
	let error, request;
	try {
		({ request } = await device.converse({ text: "well?", conversationId: newId(), model, params }));
		if (request.fields.state !== "done") ({ error } = request.fields);
	} catch (thrown) {
		error = thrown;
	}
	const calls = house.fake.of(model);
	if (error === undefined) return calls[0];
	assert.equal(error.code, "bad_field", error.message);
	assert.equal(calls.length, 0, `refused (${error.message}), but asked all the same`);
	return { refused: error.message };
}

function expectArrived(dialect, params, { body }) {
	for (const [name, [get, map]] of Object.entries(table[dialect])) {
		const given = params[name] !== undefined && params[name] !== null;
		if (!given && trio.includes(name) && trio.some((other) => params[other] !== undefined)) continue;
		if (!given && name === "maxTokens" && dialect === "anthropic") continue; // has to be there
		if (given && name === "thinking" && params.effort !== undefined) continue; // share one place
		if (name === "tools" && dialect === "ollama" && params.toolChoice === "none") continue; // none is offered
		const want = given ? map(params[name]) : undefined;
		assert.deepEqual(get(body), want, `${name}: ${JSON.stringify(params[name])} among ${JSON.stringify(params)}`);
	}
	assert.ok(!JSON.stringify(body).includes('"context"'));
}

for (const dialect of names)
	describe(dialect, () => {
		test("each parameter alone arrives, whatever its value, or is refused by its name", async () => {
			const cases = Object.entries(values).flatMap(([name, all]) => all.map((value) => [name, value]));
			await atOnce(cases, 16, async ([name, value]) => {
				const params = name === "toolChoice" ? { tools: [tool], [name]: value }
					: name === "thinkingBudget" ? { maxTokens: 8192, [name]: value } : { [name]: value };
				const call = await send(dialect, params);
				const [, map] = table[dialect][name];
				if (map(value) === REFUSED) assert.match(call.refused ?? "it was sent", new RegExp(`params\\.${name}\\b`));
				else assert.equal(call.refused, undefined, `${name}: ${JSON.stringify(value)}`);
				if (!call.refused) expectArrived(dialect, params, call);
			});
		});

		test("none is sent that was not given, nor one that is null", async () => {
			const bare = await send(dialect), nulls = await send(dialect, Object.fromEntries(Object.keys(values)
				.filter((name) => name !== "zebra").map((name) => [name, null])));
			const without = ({ body: { model, ...body } }) => body;
			assert.deepEqual(without(nulls), without(bare));
			expectArrived(dialect, {}, bare);
		});

		test("any combination arrives whole, or is refused by the name of one that was given", async () => {
			const pick = seeded(7);
			const cases = Array.from({ length: 80 }, () => {
				const params = { context: "drop" };
				for (const [name, all] of Object.entries(values)) {
					// What the API refuses anyway stays rare, or nothing else would be seen.
					const possible = all.filter((value) => table[dialect][name][1](value) !== REFUSED);
					if (pick(2)) continue;
					if (pick(50) === 0) params[name] = pick(2) ? null : all[pick(all.length)];
					else if (possible.length) params[name] = possible[pick(possible.length)];
				}
				if (params.maxTokens === 1 && trio.some((name) => params[name] !== undefined)) params.maxTokens = 8192;
				return params;
			});
			let arrived = 0;
			await atOnce(cases, 16, async (params) => {
				const call = await send(dialect, params);
				if (call.refused) {
					const named = Object.keys(params).filter((name) => new RegExp(`\\b${name}\\b`).test(call.refused));
					assert.ok(named.length > 0, `${call.refused}, of ${JSON.stringify(params)}`);
					const culprit = named.some((name) => trio.includes(name) || table[dialect][name][1](params[name]) === REFUSED);
					assert.ok(culprit, `${call.refused}, of ${JSON.stringify(params)}`);
				} else {
					arrived++;
					expectArrived(dialect, params, call);
				}
			});
			assert.ok(arrived > 30, `${arrived} of ${cases.length} arrived`);
		});

		test("what Roost sets itself cannot be given, and a value out of its range is refused by name", async () => {
			for (const params of [{ model: "other" }, { maxTokens: 0 }, { temperature: 3 }, { topP: "1" }, { stop: [] }, { seed: 0.5 },
				{ effort: "huge" }, { thinking: 1 }, { tools: [{ name: "no spaces" }] }, { schema: [] }, { context: "forget" }]) {
				const [name] = Object.keys(params);
				assert.match((await send(dialect, params)).refused ?? "it was sent", new RegExp(`params\\.${name}\\b`));
			}
		});
	});

test("sampling chooses the older version of Anthropic's API, everything else the newer one", async () => {
	for (const [params, version] of [[{}, "2026-10-21"], [{ effort: "low", stop: "x" }, "2026-10-21"], [{ temperature: 0 }, "2023-06-01"],
		[{ topP: 0 }, "2023-06-01"], [{ topK: 0 }, "2023-06-01"]]) {
		const { headers } = await send("anthropic", params);
		assert.equal(headers["anthropic-version"], version, JSON.stringify(params));
	}
});

test("what looks at a body sees what is missing, wrong, or was not asked for", () => {
	const body = { messages: [{ role: "user", content: "x" }], temperature: 0 };
	expectArrived("openai", { temperature: 0 }, { body });
	for (const params of [{ temperature: 1 }, { temperature: 0, seed: 0 }, {}])
		assert.throws(() => expectArrived("openai", params, { body }), assert.AssertionError);
});
