// Conversations as anybody sees them who runs `roost run` and reads its files: turns and events, what each agent is shown,
// limits, failures, convergence, specs, many conversations at once. @tsan
//
// The providers are scripted: what they were asked is what these tests look at.

import assert from "node:assert/strict";
import { chmod, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startFake } from "../fake/provider.mjs";
import { isAlive, Lab, of, said, sha256, Speaker, texts, wrongLine, wrongWith } from "../lib/lab.mjs";
import { until } from "../lib/roost.mjs";

const TEST = ["-a", "local:test", "-b", "local:test", "-p", "tides"];
const VOICES = ["-a", "voice:m", "-b", "voice:n", "-p", "tides", "--convergence-threshold", "none"];
const types = (events) => events.map((e) => e.event_type);

let lab, speaker, answer;
before(async () => {
	speaker = await Speaker.start((call) => (answer ?? said)(call));
	lab = await Lab.make("lab", { config: speaker.config() });
});
after(async () => {
	await speaker.close();
	await lab.remove();
});

// A run whose provider answers by `how`, and what it was asked.
async function spoken(args, how, options) {
	const from = speaker.calls.length;
	answer = how;
	try {
		const result = await lab.run(args, options);
		return { ...result, calls: speaker.calls.slice(from) };
	} finally {
		answer = undefined;
	}
}

// What a request was, from the log alone: the view of the agent whose MessageRequestEvent this is.
function rebuilt(events, request) {
	const me = request.agent_id;
	const start = of(events, "ConversationStartEvent")[0];
	const system = of(events, "SystemPromptEvent").find((e) => e.agent_id === me)?.prompt;
	const prompt = start.prompt_tag && start.initial_prompt ? `${start.prompt_tag} ${start.initial_prompt}` : start.initial_prompt;
	const said = [{ role: "user", content: prompt }];
	for (const e of events.slice(0, events.indexOf(request))) {
		if (e.event_type === "PromptInjectedEvent" && e.agent_id === me) said.push({ role: "user", content: e.prompt });
		if (e.event_type === "MessageCompleteEvent")
			said.push({ role: e.agent_id === me ? "assistant" : "user", content: e.message.content });
	}
	assert.equal(said.length, request.history_length);
	const left = said.slice(request.history_dropped);
	return system ? [{ role: "system", content: system }, ...left] : left;
}

describe("a conversation", () => {
	it("of 3 turns is 3 TurnComplete, 6 MessageComplete, max_turns_reached, total_turns 3", async () => {
		const { code, conversations, manifest, dir } = await lab.run([...TEST, "-t", "3"]);
		assert.equal(code, 0);
		const [events] = conversations;
		assert.equal(of(events, "TurnCompleteEvent").length, 3);
		assert.equal(of(events, "MessageCompleteEvent").length, 6);
		const [end] = of(events, "ConversationEndEvent");
		assert.deepEqual([end.status, end.reason, end.total_turns, end.error], ["completed", "max_turns_reached", 3, null]);
		assert.equal(manifest.status, "completed");
		assert.equal(manifest.completed_conversations, 1);
		assert.equal(Object.values(manifest.conversations)[0].total_turns, 3);
		const names = (await readdir(dir)).sort();
		assert.deepEqual(names.filter((name) => /^events_conv_[0-9a-f]{8}\.jsonl$/.test(name)).length, 1);
		for (const name of ["manifest.json", "spec.yaml"]) assert.ok(names.includes(name), name);
	});

	it("is told in one order, and every line is as the schema says", async () => {
		const { conversations: [events], stdout } = await spoken([...VOICES, "-t", "2", "--choose-names"], (call) =>
			call.n % 2 ? "Call me Zed, if you like. I am." : "I am called nothing yet.");
		const turn = (names) => ["TurnStartEvent", "MessageRequestEvent", "MessageCompleteEvent", ...names, "TokenUsageEvent",
			"MessageRequestEvent", "MessageCompleteEvent"];
		const expected = [...["SystemPromptEvent", "SystemPromptEvent", "ConversationStartEvent"], ...turn([]), "TokenUsageEvent",
			"TurnCompleteEvent", ...turn([]), "TokenUsageEvent", "TurnCompleteEvent", "ConversationEndEvent"];
		assert.deepEqual(types(events).filter((type) => type !== "NameChosenEvent"), expected);
		for (const e of events) assert.equal(wrongLine(e), undefined, JSON.stringify(e));
		assert.deepEqual(events.map((e) => e.seq), events.map((_, i) => i + 1));
		const shown = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
		for (const e of shown) assert.equal(wrongLine(e), undefined, JSON.stringify(e));
		assert.deepEqual(types(shown).filter((type) => type !== "MessageChunkEvent"), [...types(events), "ExperimentCompleteEvent"]);
	});

	it("that is wrong by the schema is noticed", () => {
		const good = { conversation_id: "c", turn_number: 1, timestamp: "2026-01-02T03:04:05.678901+00:00", event_type: "TurnStartEvent",
			experiment_id: "e", seq: 1, sum: "00000000" };
		assert.equal(wrongLine(good), undefined);
		for (const bad of [{ turn_number: "1" }, { timestamp: "2026" }, { more: 1 }, { seq: -1 }, { event_type: "Turn" }, { sum: "x" }])
			assert.notEqual(wrongLine({ ...good, ...bad }), undefined, JSON.stringify(bad));
		assert.notEqual(wrongWith("x", { minProperties: 1 }), undefined, "a rule that is not known");
	});

	it("has each text once, and TurnComplete names its lines and their hashes", async () => {
		const { conversations: [events], dir } = await spoken([...VOICES, "-t", "3"]);
		const lines = (await readFile(join(dir, (await readdir(dir)).find((name) => name.startsWith("events_"))), "utf8"));
		for (const text of texts(events)) assert.equal(lines.split(text).length, 2, "a text stands in more than one line");
		for (const e of of(events, "TurnCompleteEvent"))
			for (const { seq, sha256: hash } of Object.values(e.turn)) assert.equal(sha256(events[seq - 1].message.content), hash);
	});

	it("of 200 turns of a kilobyte takes at most 2 MB, and as much for the last turn as for the first", async () => {
		const kilobyte = "pigeons ".repeat(128);
		const { code, conversations: [events], dir } = await spoken([...VOICES, "-t", "200"], (call) => `${call.n} ${kilobyte}`);
		assert.equal(code, 0);
		const [file] = (await readdir(dir)).filter((name) => name.startsWith("events_"));
		const text = await readFile(join(dir, file), "utf8");
		assert.equal(of(events, "MessageCompleteEvent").length, 400);
		assert.ok(text.length <= 2e6, `${text.length} bytes`);
		const ends = text.split("\n").reduce((all, line) => (all.push(all.at(-1) + line.length + 1), all), [0]);
		const bytes = of(events, "TurnCompleteEvent").map((e) => ends[e.seq]).map((end, i, all) => end - (all[i - 1] ?? 0));
		assert.ok(bytes.at(-1) <= bytes[1] * 1.1, `${bytes[1]} bytes of turn 1, ${bytes.at(-1)} of the last`);
	});
});

describe("what an agent is shown", () => {
	const awareness = `name: doubt
base: none
prompts:
  0:
    agent_a: Only A knows of lanterns.
    agent_b: Only B knows of embers.
  2:
    agent_b: B alone may mention winter now.
`;

	it("is its own system prompt, its messages as assistant, injections once, and the tag; the log rebuilds it byte for byte", async () => {
		const file = await lab.spec(awareness, "doubt.yaml");
		const { code, calls, conversations: [events], stderr } = await spoken([...VOICES, "-t", "4", "-w", file, "--prompt-tag", "[KEEPER]"]);
		assert.equal(code, 0, stderr);
		assert.equal(calls.length, 8);
		const requests = of(events, "MessageRequestEvent");
		for (const [i, call] of calls.entries()) {
			const isA = i % 2 === 0;
			assert.match(call.system, isA ? /lanterns/ : /embers/);
			assert.doesNotMatch(call.raw, isA ? /embers|mention winter now/ : /lanterns/);
			assert.equal(call.messages[0].content, "[KEEPER] tides");
			assert.deepEqual(rebuilt(events, requests[i]), call.body.messages);
			const view = call.body.messages.map((m) => `${m.role}\0${m.content}\0`).join("");
			assert.equal(requests[i].history_sha256, sha256(view), "the hash of the view");
			const injected = call.messages.filter((m) => m.content.includes("mention winter")).length;
			assert.equal(injected, !isA && i >= 5 ? 1 : 0, `call ${i}`);
		}
		assert.equal(calls[5].messages.at(-1).content, "B alone may mention winter now.");
		assert.deepEqual(of(events, "PromptInjectedEvent").map((e) => [e.agent_id, e.turn_number]), [["agent_b", 2]]);
	});

	it("has no tag when that is empty, [HUMAN] by itself, and [Begin] without a prompt", async () => {
		const first = async (args) => (await spoken(["-a", "voice:m", "-b", "voice:n", "-t", "1", ...args])).calls[0].messages[0].content;
		assert.equal(await first(["-p", "tides"]), "[HUMAN] tides");
		assert.equal(await first(["-p", "tides", "--prompt-tag", ""]), "tides");
		assert.match(await first([]), /\[Begin\]$/);
	});

	it("names both models, each from its own side, with research awareness", async () => {
		const { calls } = await spoken([...VOICES, "-t", "1", "-w", "research"]);
		const [a, b] = calls.map((call) => call.system);
		assert.notEqual(a, b);
		assert.ok(a.indexOf("voice:m") < a.indexOf("voice:n"), a);
		assert.ok(b.indexOf("voice:n") < b.indexOf("voice:m"), b);
	});

	it("is used: a name that it gives itself is its name from then on", async () => {
		const { conversations: [events], calls } = await spoken([...VOICES, "-t", "2", "--choose-names"], (call) =>
			call.model === "m" ? "Call me Zed." : "I have no wish for a name.");
		const [chosen] = of(events, "NameChosenEvent");
		assert.deepEqual([chosen.agent_id, chosen.chosen_name], ["agent_a", "Zed"]);
		assert.match(calls[0].system, /name/i);
		assert.equal(of(events, "NameChosenEvent").length, 1);
	});

	it("is asked with its own temperature, and 0 is one", async () => {
		const { calls, conversations: [events] } = await spoken([...VOICES, "-t", "1", "--temperature", "0.9", "--temp-b", "0"]);
		assert.deepEqual(calls.map((call) => call.body.temperature), [0.9, 0]);
		assert.deepEqual(of(events, "MessageRequestEvent").map((e) => e.temperature), [0.9, 0]);
		const [start] = of(events, "ConversationStartEvent");
		assert.deepEqual([start.temperature_a, start.temperature_b], [0.9, 0]);
		const { calls: plain } = await spoken([...VOICES, "-t", "1"]);
		for (const call of plain) assert.ok(!("temperature" in call.body));
	});

	it("is given a seed of each message when the experiment has one, the same for the same experiment", async () => {
		const seeds = async (...more) => (await spoken([...VOICES, "-t", "2", "-r", "2", ...more])).calls.map((call) => call.body.seed);
		const nine = await seeds("--seed", "9");
		assert.equal(new Set(nine).size, 8);
		assert.ok(nine.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31));
		assert.deepEqual(await seeds("--seed", "9"), nine);
		assert.notDeepEqual(await seeds("--seed", "10"), nine);
		assert.deepEqual(await seeds(), Array(8).fill(undefined));
	});

	it("thinks when it is told to, within its budget, with room beside it; the other does not", async () => {
		const fake = await startFake();
		const own = await Lab.make("think", { config: `providers:\n  - name: thinker\n    dialect: anthropic\n    baseUrl: ${
			fake.url("anthropic")}\n    allowPrivate: true\n` });
		try {
			fake.script({ thinking: ["hmm ", "well "], text: ["So ", "be it."] });
			const { code, stderr, conversations } = await own.run(["-a", "thinker:m", "-b", "thinker:n", "-t", "1", "-p", "x", "--think-a",
				"--think-budget-a", "20000", "--convergence-threshold", "none"]);
			assert.equal(code, 0, stderr);
			const [a, b] = fake.calls.map((call) => call.body);
			assert.equal(a.thinking.budget_tokens, 20000);
			assert.ok(a.max_tokens > 20000, `${a.max_tokens}`);
			assert.ok(b.thinking === undefined || b.thinking.type === "disabled", JSON.stringify(b.thinking));
			const thought = of(conversations[0], "ThinkingCompleteEvent");
			assert.equal(thought[0].thinking_content, "hmm well ");
			assert.equal(thought[0].agent_id, "agent_a");
			assert.doesNotMatch(b.messages.map((m) => JSON.stringify(m)).join(), /hmm/);
		} finally {
			await fake.close();
			await own.remove();
		}
	});
});

describe("an error", () => {
	it("that stays ends the conversation as failed: no text of ours, no text of a half answer, a status", async () => {
		const { code, conversations: [events], manifest, calls } = await spoken([...VOICES, "-t", "3"], (call) =>
			call.messages.length > 2 ? { status: 400, error: "invalid", message: "the canary sang" } : said(call));
		assert.equal(code, 69);
		assert.equal(calls.length, 3);
		assert.equal(of(events, "MessageCompleteEvent").length, 2);
		const [end] = of(events, "ConversationEndEvent");
		assert.deepEqual([end.status, end.reason, end.total_turns], ["failed", "api_error", 1]);
		assert.equal(manifest.status, "failed");
		assert.equal(manifest.failed_conversations, 1);
		assert.equal(of(events, "APIErrorEvent").length, 1);
		for (const text of texts(events)) assert.doesNotMatch(text, /error|canary/i);
	});

	it("that passes is tried again, and nothing of the failed attempts is in any text", async () => {
		const { code, conversations: [events], manifest } = await spoken([...VOICES, "-t", "2"], (call) =>
			call.n % 3 === 0 ? { status: 500 } : said(call));
		assert.equal(code, 0);
		assert.equal(of(events, "MessageCompleteEvent").length, 4);
		assert.ok(of(events, "APIErrorEvent").length >= 1);
		assert.ok(of(events, "APIErrorEvent").every((e) => e.retryable && e.next_try_ms !== null));
		assert.equal(manifest.status, "completed");
	});

	it("of one conversation leaves the others alone: completed_with_failures, and a status", async () => {
		let n = 0;
		const { code, manifest, conversations } = await spoken([...VOICES, "-t", "2", "-r", "4", "--max-parallel", "4"], (call) =>
			call.messages.length === 1 && n++ === 1 ? { status: 401, error: "auth" } : said(call));
		assert.equal(code, 69);
		assert.equal(manifest.status, "completed_with_failures");
		assert.deepEqual([manifest.completed_conversations, manifest.failed_conversations], [3, 1]);
		const statuses = Object.values(manifest.conversations).map((c) => c.status).sort();
		assert.deepEqual(statuses, ["completed", "completed", "completed", "failed"]);
		for (const events of conversations) assert.equal(of(events, "ConversationEndEvent").length, 1);
	});

	it("before anything is asked has a sentence and a status of its kind", async () => {
		const rows = [
			[["-a", "nobody:m", "-b", "local:test"], 65, /nobody/],
			[["-a", "local:test"], 64, /agent_b has no model.*local:test/],
			[["-a", "local:test", "-b", "local:test", "-t", "0"], 64, /turns/],
			[["-a", "local:test", "-b", "local:test", "--convergence-action", "explode"], 64, /stop, pause, notify, warn/],
			[["-a", "claude", "-b", "local:test"], undefined, /ANTHROPIC_API_KEY|key/],
			[["--resume", "nobody"], 66, /nobody/],
			[["nowhere.yaml"], undefined, /nowhere\.yaml/],
		];
		for (const [args, status, sentence] of rows) {
			const { code, stderr } = await lab.roost(["run", "--json", ...args]);
			assert.notEqual(code, 0, args.join(" "));
			if (status !== undefined) assert.equal(code, status, `${args.join(" ")}: ${stderr}`);
			assert.match(stderr, sentence, args.join(" "));
		}
	});
});

describe("a window that is full", () => {
	const small = { models: [{ id: "voice:m", window: 700, maxOutput: 100 }, { id: "voice:n", window: 700, maxOutput: 100 }] };
	const long = (call) => `${"word ".repeat(60)}${call.n}.`;
	let own, voice;
	before(async () => {
		voice = await Speaker.start(long);
		own = await Lab.make("window", { config: voice.config() });
		await mkdir(join(own.home, "data/roost"), { recursive: true, mode: 0o700 });
		await writeFile(join(own.home, "data/roost/models.json"), JSON.stringify(small));
	});
	after(async () => {
		await voice.close();
		await own.remove();
	});

	it("ends the conversation as context_limit_reached when nothing may be left out", async () => {
		const { code, conversations: [events], stderr } = await own.run([...VOICES, "-t", "40"]);
		const [end] = of(events, "ConversationEndEvent");
		assert.equal(end.reason, "context_limit_reached", stderr);
		assert.equal(of(events, "ContextLimitEvent").length, 1);
		assert.equal(of(events, "ContextTruncationEvent").length, 0);
		assert.equal(end.total_turns, of(events, "TurnCompleteEvent").length);
		assert.ok(end.total_turns < 40);
		assert.equal(code === 0, end.status === "completed", `${code} ${end.status}`);
	});

	it("leaves out the oldest with --allow-truncation, tells so, and the log still says what was asked", async () => {
		const from = voice.calls.length;
		const { code, conversations: [events], stderr } = await own.run([...VOICES, "-t", "12", "--allow-truncation"]);
		assert.equal(code, 0, stderr);
		const calls = voice.calls.slice(from), requests = of(events, "MessageRequestEvent");
		const cut = of(events, "ContextTruncationEvent");
		assert.ok(cut.length > 0);
		for (const [i, call] of calls.entries()) {
			assert.deepEqual(rebuilt(events, requests[i]), call.body.messages, `request ${i}`);
			assert.ok(call.system.length > 0);
			if (i > 0) assert.equal(call.messages.at(-1).content, texts(events)[i - 1]);
		}
		for (const e of cut) {
			assert.equal(e.messages_dropped, e.original_message_count - e.truncated_message_count);
			assert.ok(e.messages_dropped > 0);
		}
		assert.equal(requests.filter((e) => e.history_dropped > 0).length, cut.length);
	});
});

describe("conversations at once", () => {
	it("are one after another by default, and --max-parallel N at once: their files are pure, their statuses right", async () => {
		const most = (calls) => {
			const marks = calls.flatMap((c) => [[c.began, 1], [c.ended, -1]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
			let now = 0, peak = 0;
			for (const [, step] of marks) peak = Math.max(peak, (now += step));
			return peak;
		};
		// A barrier and no clock: the first eight calls are answered when all eight are there.
		const args = [...VOICES, "-t", "3", "-r", "8"];
		const one = await spoken(args);
		assert.equal(one.code, 0);
		assert.equal(most(one.calls), 1);
		let together, there = 0;
		const all = new Promise((done) => (together = done));
		const eight = await spoken([...args, "--max-parallel", "8"], async (call) => {
			if (++there >= 8) together();
			await all;
			return said(call);
		});
		assert.equal(eight.code, 0);
		assert.equal(most(eight.calls), 8);
		assert.equal(eight.manifest.config.max_parallel, 8);
		assert.deepEqual(Object.values(eight.manifest.conversations).map((c) => c.status), Array(8).fill("completed"));
		assert.equal(new Set(Object.keys(eight.manifest.conversations)).size, 8);
		for (const [i, id] of Object.keys(eight.manifest.conversations).entries()) {
			assert.ok(eight.conversations[i].every((e) => e.conversation_id === id), "another conversation's line");
			assert.deepEqual(eight.conversations[i].map((e) => e.seq), eight.conversations[i].map((_, n) => n + 1));
		}
		assert.deepEqual(eight.conversations.map(texts), one.conversations.map(texts));
	});

	it("32 of 5 turns at once, with nothing between two answers: all are whole", async () => {
		const { code, manifest, conversations, stderr } = await lab.run([...TEST, "-t", "5", "-r", "64", "--max-parallel", "32"]);
		assert.equal(code, 0, stderr);
		assert.equal(manifest.completed_conversations, 64);
		for (const events of conversations) {
			assert.equal(events.at(-1).total_turns, 5);
			assert.equal(of(events, "MessageCompleteEvent").length, 10);
		}
	});

	it("1000 of them: the counts are right and no two are the same", async () => {
		const { code, manifest, dir, stderr } = await lab.run([...TEST, "-t", "1", "-r", "1000", "--max-parallel", "20"]);
		assert.equal(code, 0, stderr);
		assert.equal(manifest.total_conversations, 1000);
		assert.equal(manifest.completed_conversations, 1000);
		assert.equal(manifest.running_conversations, 0);
		assert.equal((await readdir(dir)).filter((name) => name.startsWith("events_")).length, 1000);
		assert.equal(new Set((await lab.look(dir)).conversations.map((events) => texts(events).join())).size, 1000);
	});

	it("share one limit, which the configuration changes, and an event tells of the wait", async () => {
		const limited = (n) => speaker.config(["voice"], { provider: `    requestsPerMinute: ${n}\n` });
		try {
			// No more than the limit may go within the first minute; the rest waits, so it is stopped then.
			for (const limit of [6, 11]) {
				await lab.configure(limited(limit));
				const from = speaker.calls.length;
				const child = lab.start(["run", "--json", ...VOICES, "-t", "5", "-r", "16", "--max-parallel", "16", "-n", `limit-${limit}`]);
				const dir = await lab.untilManifest((m) => m.name === `limit-${limit}`, "the experiment");
				await until(async () => (await lab.look(dir)).conversations.flat().filter((e) => e.event_type === "RateLimitPaceEvent").length > 0
					&& speaker.calls.length - from >= limit, "a wait", 60_000);
				await lab.fine(["stop", `limit-${limit}`]);
				await child.ended;
				assert.equal(speaker.calls.length - from, limit);
				const { conversations, status } = await lab.look(dir);
				assert.equal(status, "interrupted");
				const pace = of(conversations.flat(), "RateLimitPaceEvent")[0];
				assert.equal(pace.reason, "requests");
				assert.ok(pace.wait_time > 0 && pace.wait_time <= 62, `${pace.wait_time} s`);
			}
		} finally {
			await lab.configure(speaker.config());
		}
	});
});

describe("a spec", () => {
	it("runs from its beginning to its end, and says the same as options", async () => {
		const spec = await lab.spec(`agent_a: voice:m
agent_b: voice:n
prompt: tides
max_turns: 2
repetitions: 2
temperature_a: 0.5
convergence_threshold: none
choose_names: true
name: one
seed: 9
`);
		const one = await spoken([spec]);
		const two = await spoken([...VOICES, "-t", "2", "-r", "2", "--temp-a", "0.5", "--choose-names", "-n", "two", "--seed", "9"]);
		assert.equal(one.code, 0, one.stderr);
		assert.deepEqual({ ...one.manifest.config, name: "" }, { ...two.manifest.config, name: "" });
		assert.deepEqual(one.conversations.map(texts), two.conversations.map(texts));
		assert.deepEqual(one.calls.map((c) => c.key), two.calls.map((c) => c.key));
		// What was kept of it runs as the same.
		const again = await spoken([join(one.dir, "spec.yaml"), "-n", "three"]);
		assert.deepEqual(again.conversations.map(texts), one.conversations.map(texts));
	});

	it("of a matrix is an experiment for each combination", async () => {
		const before = (await lab.dirs()).length;
		const spec = await lab.spec("agent_a: local:test\nagent_b: local:test\nmax_turns: 1\n" +
			"matrix:\n  prompt: [one, two]\n  temperature: [0, 1, 2]\n");
		await lab.fine(["run", "--json", spec]);
		assert.equal((await lab.dirs()).length - before, 6);
	});

	it("with an unknown key is refused with its line and the nearest key; so are tags and bombs", async () => {
		const rows = [["agent_a: local:test\nagent_b: local:test\nmax_turn: 3\n", /:3\b.*max_turn.*max_turns/s],
			["agent_a: !!python/object local:test\n", /:1\b/], ["a: &a [1]\nb: [*a, *a]\n", /:1\b/], ["agent_a: [\n", /:[12]\b/]];
		for (const [yaml, sentence] of rows) {
			const { code, stderr } = await lab.roost(["run", "--json", await lab.spec(yaml)]);
			assert.equal(code, 78, stderr);
			assert.match(stderr, sentence);
		}
	});

	it("is checked by --dry-run, which asks nobody and makes nothing", async () => {
		const before = await lab.dirs(), asked = speaker.calls.length;
		const said = await lab.fine(["run", "--dry-run", ...VOICES, "-t", "7"]);
		assert.match(said, /max_turns: 7/);
		assert.deepEqual(await lab.dirs(), before);
		assert.equal(speaker.calls.length, asked);
	});

	it("of a meditation has a silent partner", async () => {
		const { conversations: [events], calls, code } = await spoken(["-a", "voice:m", "--meditation", "-t", "3"]);
		assert.equal(code, 0);
		assert.equal(calls.length, 3);
		const silent = of(events, "MessageCompleteEvent").filter((e) => e.agent_id === "agent_b");
		assert.deepEqual(texts(silent), ["…", "…", "…"]);
	});
});

describe("convergence", () => {
	// Alike from turn 2 on.
	const alike = (call) => (call.messages.length < 4 ? said(call) : "We agree on everything, my friend. Truly so.");
	const run = (action, more = []) => spoken(["-a", "voice:m", "-b", "voice:n", "-p", "x", "-t", "8", "--convergence-threshold", "0.9",
		...(action ? ["--convergence-action", action] : []), ...more], alike);

	it("stop ends the conversation at the turn in which the score reached the threshold", async () => {
		for (const action of [undefined, "stop"]) {
			const { conversations: [events], code } = await run(action);
			assert.equal(code, 0);
			const [reached] = of(events, "ConvergenceReachedEvent"), [end] = of(events, "ConversationEndEvent");
			assert.deepEqual([end.reason, end.status, end.total_turns], ["high_convergence", "completed", reached.turn_number + 1]);
			assert.ok(end.total_turns < 8);
			assert.ok(of(events, "TurnCompleteEvent").at(-1).convergence_score >= 0.9);
			assert.ok(of(events, "TurnCompleteEvent").slice(0, -1).every((e) => e.convergence_score < 0.9));
		}
	});

	it("warn and continue go on to the last turn, and the event names the action", async () => {
		for (const action of ["warn", "continue"]) {
			const { conversations: [events], code } = await run(action);
			assert.equal(code, 0);
			assert.equal(events.at(-1).total_turns, 8);
			assert.equal(events.at(-1).reason, "max_turns_reached");
			assert.deepEqual(of(events, "ConvergenceReachedEvent").map((e) => e.action), [action]);
		}
	});

	it("notify shows a notification and goes on", async () => {
		const bin = join(lab.home, "bin"), heard = join(lab.home, "heard");
		await mkdir(bin, { recursive: true });
		await writeFile(join(bin, "notify-send"), `#!/bin/sh\nprintf '%s\\n' "$@" >>'${heard}'\n`);
		await chmod(join(bin, "notify-send"), 0o755);
		const args = ["-a", "voice:m", "-b", "voice:n", "-p", "x", "-t", "5", "--convergence-threshold", "0.9",
			"--convergence-action", "notify", "-n", "noticed", "--notify"];
		const { conversations: [events] } = await spoken(args, alike, { env: { PATH: `${bin}:${process.env.PATH}`, DISPLAY: ":9" } });
		assert.equal(events.at(-1).total_turns, 5);
		const both = (all) => /converged/.test(all) && /completed/.test(all) && all;
		const text = await until(() => readFile(heard, "utf8").then(both, () => ""), "both notifications");
		assert.match(text, /noticed/);
	});

	it("pause waits for a person, and goes on where it was when it is told to", async () => {
		answer = alike;
		const from = speaker.calls.length;
		const child = lab.start(["run", "--json", "-a", "voice:m", "-b", "voice:n", "-p", "x", "-t", "8", "--convergence-threshold", "0.9",
			"--convergence-action", "pause", "-n", "waits"]);
		try {
			const dir = await lab.untilManifest((m) => m.name === "waits", "the experiment");
			await until(async () => of((await lab.look(dir)).conversations[0], "ConversationPausedEvent").length === 1, "the pause", 60_000);
			const asked = speaker.calls.length - from;
			const { conversations: [paused] } = await lab.look(dir);
			assert.equal(paused.at(-1).event_type, "ConversationPausedEvent");
			assert.ok(await isAlive(child.pid));
			await lab.fine(["pause", "--resume", "waits"]);
			assert.equal((await child.ended).code, 0);
			const { conversations: [events], manifest } = await lab.look(dir);
			assert.equal(events.at(-1).total_turns, 8);
			assert.ok(of(events, "ConversationResumedEvent").length >= 1);
			assert.deepEqual(events.slice(0, paused.length), paused, "the history is as it was");
			assert.equal(speaker.calls.length - from, 16);
			assert.ok(asked < 16);
			assert.equal(manifest.status, "completed");
		} finally {
			answer = undefined;
			child.kill("SIGKILL");
		}
	});

	it("has profiles that make a difference, and the threshold none", async () => {
		const scores = [];
		for (const profile of ["balanced", "structural", "semantic", "strict"]) {
			const { conversations: [events] } = await spoken([...VOICES, "-t", "2", "--convergence-profile", profile]);
			scores.push(of(events, "TurnCompleteEvent")[1].convergence.raw);
		}
		assert.equal(new Set(scores).size, 4, scores.join());
		const { conversations: [events] } = await spoken([...VOICES, "-t", "6"], alike);
		assert.equal(events.at(-1).total_turns, 6);
	});
});

describe("an end that somebody wants", () => {
	// A message of which half is out until it is let go.
	after(() => (answer = undefined));
	async function midMessage(name, args = []) {
		let release, reached;
		const hold = new Promise((done) => (release = done)), there = new Promise((done) => (reached = done));
		const from = speaker.calls.length;
		answer = (call) => (call.n - from < 3 ? said(call) : (reached(), { text: "half of it, the other half", hold }));
		const child = lab.start(["run", "--json", ...VOICES, "-t", "6", "-n", name, ...args]);
		await there;
		const dir = (await lab.dirs()).find((d) => d.includes(`/${name}_`));
		await until(async () => texts((await lab.look(dir)).conversations[0]).length === 3, "three messages");
		return { child, dir, release, done: release };
	}

	it("roost stop in the middle of a message cuts it: interrupted, the finished turns stay, the half is no message", async () => {
		const { child, dir, done } = await midMessage("stopped");
		await lab.fine(["stop", "stopped"]);
		const { code } = await child.ended;
		answer = undefined;
		done();
		assert.equal(code, 143);
		const { manifest, conversations: [events] } = await lab.look(dir);
		assert.equal(manifest.status, "interrupted");
		assert.equal(manifest.interrupted_conversations, 1);
		assert.deepEqual(types(events).slice(-2), ["MessageCutEvent", "ConversationEndEvent"]);
		assert.deepEqual([events.at(-1).status, events.at(-1).total_turns], ["interrupted", 1]);
		assert.equal(of(events, "InterruptRequestEvent").length, 1);
		assert.equal(texts(events).length, 3);
		assert.ok(texts(events).every((text) => !text.includes("half")));
		assert.ok(!(await isAlive(child.pid)));
		const { code: again } = await lab.roost(["run", "--json", "--resume", "stopped"]);
		assert.equal(again, 0);
		assert.equal((await lab.look(dir)).conversations[0].at(-1).total_turns, 6);
	});

	it("one Ctrl-C finishes the message in flight, a second cuts it", async () => {
		const once = await midMessage("once");
		once.child.kill("SIGINT");
		await until(async () => of((await lab.look(once.dir)).conversations[0], "InterruptRequestEvent").length === 1, "the interrupt");
		assert.ok(await isAlive(once.child.pid));
		answer = undefined;
		once.done();
		assert.equal((await once.child.ended).code, 130);
		const finished = (await lab.look(once.dir)).conversations[0];
		assert.equal(texts(finished).at(-1), "half of it, the other half");
		assert.equal(of(finished, "MessageCutEvent").length, 0);
		assert.equal(finished.at(-1).status, "interrupted");

		const twice = await midMessage("twice");
		twice.child.kill("SIGINT");
		await until(async () => of((await lab.look(twice.dir)).conversations[0], "InterruptRequestEvent").length === 1, "the interrupt");
		twice.child.kill("SIGINT");
		assert.equal((await twice.child.ended).code, 130);
		answer = undefined;
		twice.done();
		const cut = (await lab.look(twice.dir)).conversations[0];
		assert.equal(of(cut, "MessageCutEvent").length, 1);
		assert.equal(texts(cut).length, 3);
	});

	it("of the reader of what it shows ends it too", async () => {
		const { child, dir, done } = await midMessage("unread");
		let later;
		const never = new Promise((end) => (later = end));
		answer = (call) => ({ text: said(call), hold: never }); // it does not come to its own end
		done();
		child.stdout.destroy(); // what it shows from now on goes nowhere
		const { code } = await child.ended;
		later();
		answer = undefined;
		assert.equal(code, 141);
		assert.equal((await lab.look(dir)).status, "interrupted");
	});
});
