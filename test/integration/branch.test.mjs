// roost branch: what the models are given at first in a branch is what they were given at that place of its source; what
// was changed is told and recorded; and a branch stands by itself.

import assert from "node:assert/strict";
import { appendFile, copyFile, mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { eventsOf, Lab, of, said, sha256, Speaker, texts } from "../lib/lab.mjs";

const AWARENESS = `base: research
prompts:
  0: {both: Speak of tides.}
  1: {agent_b: Doubt it.}
  2: {agent_a: Be brief., agent_b: Be kind.}
`;

let lab, speaker, hold;

before(async () => {
	// An agent that is asked for a name says one; everything else is a function of what was asked.
	speaker = await Speaker.start((call) => hold?.(call) ?? { text: /Choose a name/.test(call.system) && call.messages.length < 3 ?
		`Call me ${call.model === "m" ? "Wren" : "Finch"}. ${said(call)}` : said(call) });
	lab = await Lab.make("branch", { config: speaker.config() });
	await writeFile(join(lab.home, "aware.yaml"), AWARENESS);
});
after(async () => {
	await speaker?.close();
	await lab?.remove();
});

const asked = (call) => JSON.stringify([call.model, call.body.messages]); // as it went over the wire
const requests = (events) => of(events, "MessageRequestEvent");
const idOf = (run) => Object.keys(run.manifest.conversations)[0];

// A run of `roost branch` to its end: what it said, the experiment it made and the calls it took.
async function branch(args, options) {
	const from = speaker.calls.length, seen = new Set(await lab.dirs());
	const result = await lab.roost(["branch", ...args, "--json"], options);
	const dir = (await lab.dirs()).find((d) => !seen.has(d));
	return { ...result, calls: speaker.calls.slice(from), dir, ...(dir ? await lab.look(dir) : {}) };
}

async function source(args, yaml) {
	const from = speaker.calls.length;
	const spec = yaml ? [await lab.spec(yaml, `spec-${from}.yaml`)] : [];
	const run = await lab.run([...spec, ...args, "--convergence-threshold", "none"]);
	assert.equal(run.code, 0, run.stderr);
	return { ...run, id: idOf(run), calls: speaker.calls.slice(from) };
}

// The branch's first request is the source's at that turn: on the wire, and by the hashes in both logs.
function sameBeginning(made, from, turn) {
	assert.equal(made.code, 0, made.stderr);
	const [first] = requests(made.conversations[0]);
	const there = requests(from.conversations[0]).find((e) => e.turn_number === turn && e.agent_id === "agent_a");
	assert.equal(first.turn_number, turn);
	assert.equal(first.agent_id, "agent_a");
	assert.equal(first.history_sha256, there.history_sha256);
	assert.equal(first.history_length, there.history_length);
	assert.equal(asked(made.calls[0]), asked(from.calls[from.agents * turn]));
	const told = made.conversations[0].map((e) => e.event_type);
	const [event] = of(made.conversations[0], "ConversationBranchedEvent");
	assert.equal(event.branch_point, turn);
	assert.equal(event.source_conversation_id, from.id);
	assert.equal(event.source_experiment_id, from.manifest.experiment_id);
	assert.equal(event.messages, of(made.conversations[0], "InitialMessageEvent").length);
	assert.ok(told.indexOf("ConversationBranchedEvent") < told.indexOf("TurnStartEvent"));
	return event;
}

describe("a branch in which nothing is changed", () => {
	let whole;
	before(async () => {
		whole = await source(["-a", "voice:m", "-b", "voice:n", "-t", "4", "-p", "tides\u0007 \"é\"\n", "-n", "whole", "--choose-names",
			"-w", join(lab.home, "aware.yaml"), "--temperature", "0.5", "--seed", "7", "--prompt-tag", "[X]"]);
		whole.agents = 2;
		assert.equal(whole.calls.length, 8);
	});

	for (const turn of [0, 1, 2, 3])
		it(`goes on at turn ${turn} with the very request its source made there`, async () => {
			const made = await branch([whole.id, "--turn", String(turn)]);
			const event = sameBeginning(made, whole, turn);
			assert.deepEqual(event.parameter_changes, {});
			assert.equal(made.calls.length, 2 * (4 - turn), "what was said is not asked for again");
			assert.equal(of(made.conversations[0], "ConversationEndEvent")[0].total_turns, 4);
			const start = of(made.conversations[0], "ConversationStartEvent")[0];
			assert.equal(start.agent_a.temperature, 0.5);
			// names, prompts on the way and answers are as they were, to the end
			assert.deepEqual(of(made.conversations[0], "NameChosenEvent").map((e) => e.chosen_name), ["Wren", "Finch"]);
			assert.deepEqual(texts(made.conversations[0]), texts(whole.conversations[0]).slice(2 * turn));
			assert.deepEqual(made.calls.map(asked), whole.calls.slice(2 * turn).map(asked));
		});

	it("takes over all complete turns when none is named, and makes as many again", async () => {
		const made = await branch([whole.id]);
		assert.equal(made.code, 0, made.stderr);
		assert.match(made.stderr, /max_turns: 4 -> 8/);
		assert.equal(requests(made.conversations[0])[0].turn_number, 4);
		assert.equal(made.calls.length, 8);
		assert.equal(made.calls[0].messages.length, 10, "the prompt, eight answers and agent_a's own prompt");
		assert.deepEqual(of(made.conversations[0], "ConversationBranchedEvent")[0].parameter_changes, { max_turns: { from: 4, to: 8 } });
	});

	it("has a name of its own after its source's, a new one each time", async () => {
		const names = (await lab.dirs()).map((d) => d.match(/([^/]*)_\w{8}$/)[1]).filter((n) => n !== "whole").sort();
		assert.deepEqual(names, ["whole-branch", "whole-branch-2", "whole-branch-3", "whole-branch-4", "whole-branch-5"]);
	});

	it("may be branched again, before and behind the place it began at", async () => {
		const first = await branch([whole.id, "--turn", "2", "-n", "grown"]);
		for (const turn of [1, 2, 3]) {
			const made = await branch(["grown", "--turn", String(turn), "-n", `grown-${turn}`]);
			assert.equal(made.code, 0, made.stderr);
			assert.equal(asked(made.calls[0]), asked(whole.calls[2 * turn]));
			const [event] = of(made.conversations[0], "ConversationBranchedEvent");
			assert.equal(event.source_conversation_id, idOf(first));
			assert.equal(event.branch_point, turn);
		}
	});

	it("goes on in the background from the same messages", async () => {
		const from = speaker.calls.length;
		const { code, stderr } = await lab.roost(["branch", whole.id, "--turn", "3", "-n", "hidden", "--quiet"]);
		assert.equal(code, 0, stderr);
		await lab.untilManifest((m) => m.name === "hidden" && m.status === "completed", "the branch in the background");
		assert.deepEqual(speaker.calls.slice(from).map(asked), whole.calls.slice(6).map(asked));
	});

	it("is resumed at the very message after it was killed", async () => {
		let release, reached;
		const stuck = new Promise((done) => (release = done)), there = new Promise((done) => (reached = done));
		const from = speaker.calls.length;
		hold = (call) => (call.n - from < 3 ? undefined : (reached(), { text: said(call), hold: stuck }));
		const child = lab.start(["branch", whole.id, "--turn", "2", "-n", "killed", "--json"]);
		await Promise.race([there, child.ended]);
		child.kill("SIGKILL");
		await child.ended;
		hold = undefined;
		release();
		await lab.fine(["run", "--resume", "killed", "--json"]);
		const dir = (await lab.dirs()).find((d) => d.includes("/killed_"));
		assert.deepEqual(texts((await lab.look(dir)).conversations[0]), texts(whole.conversations[0]).slice(4));
		assert.equal(speaker.calls.length - from, 5);
	});

	it("leaves its source's files as they are", async () => {
		const before = await lab.files(whole.dir);
		await branch([whole.id, "--turn", "3"]);
		assert.deepEqual(await lab.files(whole.dir), before);
	});
});

describe("what is changed in a branch", () => {
	let base;
	before(async () => {
		base = await source(["-a", "voice:m", "-b", "voice:n", "-t", "3", "-p", "rivers", "-n", "base", "--temperature", "0.5"]);
	});

	it("is in effect, told, and recorded as what it was and is", async () => {
		const made = await branch([base.id, "--turn", "2", "-b", "voice:m", "--temp-b", "0.9", "--awareness-a", "firm", "--max-turns", "5",
			"--convergence-profile", "strict", "--convergence-action", "warn", "--seed", "3"]);
		assert.equal(made.code, 0, made.stderr);
		const expected = { agent_b: { from: "voice:n", to: "voice:m" }, max_turns: { from: 3, to: 5 }, temperature_b: { from: 0.5, to: 0.9 },
			awareness_a: { from: "basic", to: "firm" }, convergence_action: { from: "stop", to: "warn" },
			convergence_profile: { from: "balanced", to: "strict" }, seed: { from: null, to: 3 } };
		assert.deepEqual(of(made.conversations[0], "ConversationBranchedEvent")[0].parameter_changes, expected);
		for (const name of Object.keys(expected)) assert.match(made.stderr, new RegExp(`^  ${name}: `, "m"));
		assert.deepEqual(made.calls.map((c) => c.model), ["m", "m", "m", "m", "m", "m"]);
		assert.deepEqual(made.calls.slice(0, 2).map((c) => c.body.temperature), [0.5, 0.9]);
		// what was said stays what it was
		assert.deepEqual(made.calls[0].messages, base.calls[4].messages);
		assert.notEqual(made.calls[0].system, base.calls[4].system);
		const config = made.manifest.config;
		assert.deepEqual([config.branch_from_conversation, config.branch_from_turn], [base.id, 2]);
	});

	it("may be a model, whose key from the environment is still there for the run, in the background too", async () => {
		const own = await Lab.make("branchkey", { config: speaker.config(["voice"], { provider: "    keyEnv: BRANCH_TEST_KEY\n" }) });
		const env = { BRANCH_TEST_KEY: "sk-branch-0123456789" };
		try {
			const made = await own.run(["-a", "voice:m", "-b", "voice:m", "-t", "1", "-p", "x"], { env });
			assert.equal(made.code, 0, made.stderr);
			const from = speaker.calls.length;
			for (const how of [["--json"], ["-q"]])
				await own.fine(["branch", idOf(made), "-b", "voice:n", "-t", "2", ...how], { env });
			await own.untilManifest((m) => m.name.endsWith("-2") && m.status === "completed", "the second branch");
			assert.equal(speaker.calls.length, from + 4);
			for (const call of speaker.calls.slice(from)) assert.equal(call.headers.authorization, `Bearer ${env.BRANCH_TEST_KEY}`);
		} finally {
			await own.remove();
		}
	});

	it("goes over what each agent had when it is said for all, and not over what is said for one", async () => {
		const each = await source(["-a", "voice:m", "-b", "voice:n", "-t", "1", "-n", "each", "--temp-a", "0.1", "--temp-b", "0.2"]);
		const made = await branch([each.id, "--turn", "0", "--temperature", "0.7", "--temp-b", "0.8"]);
		assert.deepEqual(made.calls.map((c) => c.body.temperature), [0.7, 0.8]);
	});

	it("of texts is a length and a hash, and not even that when nothing may be left of them", async () => {
		const aware = join(lab.home, "aware.yaml");
		const made = await branch([base.id, "--turn", "1", "-w", aware]);
		const { from, to } = of(made.conversations[0], "ConversationBranchedEvent")[0].parameter_changes.awareness_a;
		assert.equal(from, "basic");
		assert.deepEqual(Object.keys(to).sort(), ["bytes", "chars", "sha256"]);
		assert.match(to.sha256, /^[0-9a-f]{64}$/);
		const dropped = await branch([base.id, "--turn", "1", "-w", aware, "--redact=drop"]);
		assert.deepEqual(Object.keys(of(dropped.conversations[0], "ConversationBranchedEvent")[0].parameter_changes.awareness_a.to).sort(),
			["bytes", "chars"]);
		for (const [path, bytes] of await lab.files(dropped.dir)) {
			assert.ok(!bytes.includes("rivers") && !bytes.includes("tides") && !bytes.includes("base"), path);
			for (const text of texts(base.conversations[0])) assert.ok(!bytes.includes(text.slice(0, 30)) && !bytes.includes(sha256(text)), path);
		}
	});

	it("may be how often it is repeated", async () => {
		const made = await branch([base.id, "--turn", "2", "--repetitions", "3", "--max-parallel", "3"]);
		assert.equal(made.conversations.length, 3);
		for (const call of made.calls.filter((c) => c.model === "m")) assert.equal(asked(call), asked(base.calls[4]));
	});
});

describe("a branch as a spec", () => {
	let base, path;
	before(async () => {
		base = await source(["-a", "voice:m", "-b", "voice:n", "-t", "2", "-p", "hills", "-n", "hills", "-w", join(lab.home, "aware.yaml")]);
		base.agents = 2;
		path = join(lab.home, "hills.yaml");
	});

	it("is written and not run, for its owner alone, and replaces no file unless it is forced to", async () => {
		const count = (await lab.dirs()).length;
		assert.equal((await branch([base.id, "--turn", "1", "--spec", path])).code, 0);
		assert.equal((await lab.dirs()).length, count);
		assert.equal((await stat(path)).mode & 0o777, 0o600);
		const again = await branch([base.id, "--turn", "1", "--spec", path]);
		assert.equal(again.code, 65);
		assert.match(again.stderr, /hills\.yaml exists; --force replaces it/);
		assert.equal((await branch([base.id, "--turn", "1", "--spec", path, "--force"])).code, 0);
	});

	it("runs as the branch would, also where its source is not", async () => {
		const moved = join(lab.home, "elsewhere");
		await rename(base.dir, moved);
		const from = speaker.calls.length;
		const run = await lab.run([path, "-n", "replayed"]);
		await rename(moved, base.dir);
		sameBeginning({ ...run, calls: speaker.calls.slice(from) }, base, 1);
	});

	it("is run too when that is wanted", async () => {
		const made = await branch([base.id, "--turn", "1", "--spec", join(lab.home, "both.yaml"), "--run"]);
		sameBeginning(made, base, 1);
		assert.match(await readFile(join(lab.home, "both.yaml"), "utf8"), /^branch_from: .*"turn":1/m);
	});

	it("is printed by --dry-run, and nobody is asked", async () => {
		const made = await branch([base.id, "--dry-run"]);
		assert.equal(made.code, 0, made.stderr);
		assert.match(made.stdout, /^initial_messages:$/m);
		assert.equal(made.calls.length, 0);
		assert.equal(made.dir, undefined);
	});
});

describe("the source of a branch", () => {
	it("may have three agents", async () => {
		const three = await source(["-n", "three", "-t", "3", "-p", "woods"], "agents: [voice:m, voice:n, local:silent]\n");
		const made = await branch([three.id, "--turn", "2"]);
		sameBeginning(made, { ...three, agents: 2 }, 2); // the silent one makes no call
		assert.equal(of(made.conversations[0], "InitialMessageEvent").length, 7);
	});

	it("may have been killed in the middle of a turn: the complete ones are taken", async () => {
		let release, reached;
		const stuck = new Promise((done) => (release = done)), there = new Promise((done) => (reached = done));
		const from = speaker.calls.length;
		hold = (call) => (call.n - from < 5 ? undefined : (reached(), { text: said(call), hold: stuck }));
		const child = lab.start(["run", "-a", "voice:m", "-b", "voice:n", "-t", "6", "-n", "cut", "-p", "x", "--json"]);
		await Promise.race([there, child.ended]);
		child.kill("SIGKILL");
		await child.ended;
		hold = undefined;
		release();
		const dir = (await lab.dirs()).find((d) => d.includes("/cut_"));
		const log = join(dir, (await readdir(dir)).find((f) => f.endsWith(".jsonl")));
		await appendFile(log, '{"conversation_id":"torn'); // a line that was not finished
		const made = await branch(["cut"]);
		assert.equal(made.code, 0, made.stderr);
		const [event] = of(made.conversations[0], "ConversationBranchedEvent");
		assert.deepEqual([event.branch_point, event.messages], [2, 5]);
		assert.equal(asked(made.calls[0]), asked(speaker.calls[from + 4]));
		assert.equal(of(made.conversations[0], "ConversationEndEvent")[0].total_turns, 6);
	});

	it("may be running", async () => {
		let release, reached;
		const stuck = new Promise((done) => (release = done)), there = new Promise((done) => (reached = done));
		const from = speaker.calls.length;
		hold = (call) => (call.n - from !== 3 ? undefined : (reached(), { text: said(call), hold: stuck }));
		const child = lab.start(["run", "-a", "voice:m", "-b", "voice:n", "-t", "2", "-n", "live", "-p", "y", "--json"]);
		await Promise.race([there, child.ended]);
		hold = undefined;
		const made = await branch(["live"]);
		assert.equal(made.code, 0, made.stderr);
		assert.equal(of(made.conversations[0], "ConversationBranchedEvent")[0].branch_point, 1);
		assert.equal(asked(made.calls[0]), asked(speaker.calls[from + 2]));
		release();
		assert.equal((await child.ended).code, 0);
	});

	it("may be Pidgin's own, as its files are", async () => {
		const dir = join(lab.output, "old_c81d0b77"), id = "conv_5f0c2a9e";
		const at = "2025-07-14T09:12:02.000001+00:00", naive = "2025-07-14T11:12:02.000001";
		const message = (agent, content) => ({ role: "assistant", content, agent_id: agent, timestamp: naive });
		const agent = (letter, temperature) => ({ id: `agent_${letter}`, model: `voice:${letter === "a" ? "m" : "n"}`,
			display_name: letter.toUpperCase(), model_display_name: letter, temperature, thinking_enabled: false, thinking_budget: null });
		const end = { timestamp: at };
		const complete = (agent_id, content) => ({ conversation_id: id, agent_id, message: message(agent_id, content), prompt_tokens: 3,
			completion_tokens: 4, total_tokens: 7, duration_ms: 8, ...end, event_type: "MessageCompleteEvent", experiment_id: null });
		const turn = (n, a, b) => [
			{ conversation_id: id, turn_number: n, ...end, event_type: "TurnStartEvent", experiment_id: null },
			{ conversation_id: id, agent_id: "agent_a", turn_number: n, conversation_history: [], temperature: 0.7, allow_truncation: false,
				thinking_enabled: false, thinking_budget: null, ...end, event_type: "MessageRequestEvent", experiment_id: null },
			complete("agent_a", a), complete("agent_b", b),
			{ conversation_id: id, turn_number: n, turn: { agent_a_message: message("agent_a", a), agent_b_message: message("agent_b", b) },
				convergence_score: 0.5, ...end, event_type: "TurnCompleteEvent", experiment_id: null }];
		const lines = [
			...["a", "b"].map((l) => ({ conversation_id: id, agent_id: `agent_${l}`, prompt: `You are ${l}.`, agent_display_name: l, ...end,
				event_type: "SystemPromptEvent", experiment_id: null })),
			{ conversation_id: id, agent_a: agent("a", 0.7), agent_b: agent("b", null), experiment_id: "experiment_c81d0b77",
				config: { max_turns: 3 }, agent_a_display_name: "A", agent_b_display_name: "B", agent_a_model: "voice:m", agent_b_model: "voice:n",
				max_turns: 3, initial_prompt: "cafés", temperature_a: null, temperature_b: null, ...end, event_type: "ConversationStartEvent" },
			...turn(0, "one", "two"), ...turn(1, "three", "four"),
			{ conversation_id: id, total_turns: 3, status: "interrupted", experiment_id: null, reason: "whatever it was",
				error: null, duration_ms: 1, ...end, event_type: "ConversationEndEvent" }];
		await mkdir(dir, { recursive: true });
		await writeFile(join(dir, `events_${id}.jsonl`), lines.map((l) => JSON.stringify(l)).join("\n") + "\n");
		await writeFile(join(dir, "manifest.json"), JSON.stringify({ experiment_id: "experiment_c81d0b77", name: "old", status: "interrupted",
			config: { agent_a_model: "voice:m", agent_b_model: "voice:n", max_turns: 3, temperature: null, temperature_a: 0.7,
				temperature_b: null, think: false, think_budget: null, awareness: "basic", convergence_threshold: 0.99,
				convergence_action: "notify", prompt_tag: "[HUMAN]", metadata: null },
			total_conversations: 1, conversations: { [id]: { status: "interrupted", jsonl: `events_${id}.jsonl`, total_turns: 2 } } }));
		const made = await branch([id, "--turn", "1"]);
		assert.equal(made.code, 0, made.stderr);
		assert.deepEqual(made.calls[0].body.messages, [
			{ role: "system", content: "You are a." }, { role: "user", content: "cafés" }, { role: "assistant", content: "one" },
			{ role: "user", content: "two" }]);
		assert.equal(made.calls[1].system, "You are b.");
		assert.equal(made.calls[0].body.temperature, 0.7);
		assert.deepEqual([made.manifest.config.convergence_threshold, made.manifest.config.convergence_action, made.manifest.config.max_turns],
			[0.99, "notify", 3]);
		assert.deepEqual(of(made.conversations[0], "ConversationBranchedEvent")[0].parameter_changes, {});
	});
});

describe("a branch is refused", () => {
	let base, many;
	before(async () => {
		base = await source(["-a", "voice:m", "-b", "voice:n", "-t", "2", "-p", "z", "-n", "plain"]);
		many = await source(["-a", "local:silent", "-b", "local:silent", "-t", "1", "-r", "3", "-n", "many"]);
	});

	const refused = async (args, code, says) => {
		const count = (await lab.dirs()).length;
		const made = await branch(args);
		assert.match(made.stderr, says);
		assert.equal(made.code, code);
		assert.equal((await lab.dirs()).length, count, "an experiment was made");
		assert.equal(made.calls.length, 0);
	};

	it("behind the end, by the turns there are", () =>
		refused([base.id, "--turn", "3"], 64, /--turn is 3, but conv_\w+ has 2 complete turns/));
	it("at what is no turn", () => refused([base.id, "--turn", "-1"], 64, /--turn is "-1"; it must be a whole number from 0/));
	it("with fewer turns than are taken over", () => refused([base.id, "-t", "2"], 64, /counts the 2 turns that are taken over/));
	it("when there is no such conversation", () => refused(["conv_00000000"], 66, /no experiment in .* is "conv_00000000"/));
	it("when the experiment has several", () => refused(["many"], 65, /many has 3 conversations: name one of them, as conv_\w{8}/));
	it("with another beginning", () => refused([base.id, "--prompt", "new"], 64, /--prompt is for a conversation's beginning/));
	it("with values that may not be", () =>
		refused([base.id, "--turn", "1", "--temperature", "9"], 64, /--temperature is "9"; it must be a number from 0 to 2/));
	it("of what was named by a path that leads out", () => refused(["../../etc/passwd"], 66, /no directory|no experiment/));

	it("of one of several conversations only when it is not named", async () => {
		const made = await branch([Object.keys(many.manifest.conversations)[1], "--turn", "1", "-t", "2"]);
		assert.equal(made.code, 0, made.stderr);
	});

	for (const how of ["hash", "drop", "mask-pii"])
		it(`when the texts were redacted (${how}), by that reason`, async () => {
			const { id } = await source(["-a", "voice:m", "-b", "voice:n", "-t", "1", "-p", "z", `--redact=${how}`]);
			await refused([id], 65, /cannot be branched: its texts were redacted \(--redact\)/);
		});

	it("when the manifest of a redacted one is gone too", async () => {
		const { id, dir } = await source(["-a", "voice:m", "-b", "voice:n", "-t", "1", "-p", "z", "--redact"]);
		await rm(join(dir, "manifest.json"));
		await refused([id], 65, /cannot be branched: its texts were redacted \(--redact\)/);
	});

	it("behind a damaged line, by its number, and not before it", async () => {
		const { id, dir } = await source(["-a", "voice:m", "-b", "voice:n", "-t", "3", "-p", "z", "-n", "damaged"]);
		const log = join(dir, `events_${id}.jsonl`);
		const lines = (await readFile(log, "utf8")).split("\n");
		const at = lines.findIndex((l) => l.includes('"MessageCompleteEvent"') && l.includes('"turn_number":1'));
		await copyFile(log, `${log}.kept`);
		lines[at] = lines[at].replace('"role"', '"rule"');
		await writeFile(log, lines.join("\n"));
		await refused([id], 74, new RegExp(`damaged|does not fit`));
		assert.equal((await branch([id, "--turn", "1"])).code, 0);
		assert.equal((await eventsOf(`${log}.kept`)).length, lines.length - 1);
	});
});
