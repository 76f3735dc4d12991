// `roost run` is killed where its N-th system call would begin, for every N of a small experiment, and resumed. Whatever N
// is: the conversations are those of a run that nobody killed, no line is lost, doubled or damaged, no message that was in
// its file is asked for again, and at most the messages in flight are paid for twice.
//
// `./dev test` takes a seeded sample of the Ns, with --all it takes all of them. That a resumption which does not see the
// last message of a file is noticed is proved with files from which it was taken away.

import assert from "node:assert/strict";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { eventsOf, Lab, of, said, Speaker, texts } from "../lib/lab.mjs";
import { all, seeded, tool } from "../lib/roost.mjs";

const SAMPLE = 150;
const SIDE_BY_SIDE = 3; // each mostly waits
const SEED = Number(process.env.ROOST_TEST_SEED ?? 1);
const PARALLEL = 2;
// Few turns, so that all that happens once (the first line, the manifest, the end) is met by many of the kills.
const ARGS = ["-a", "voice:m", "-b", "voice:n", "-t", "3", "-r", "2", "--max-parallel", String(PARALLEL), "--seed", "3", "-p", "tides",
	"--convergence-threshold", "none", "--json"];

let shared;
before(async () => {
	const speaker = await Speaker.start();
	const lab = await Lab.make("labkill", { config: speaker.config() });
	shared = { speaker, lab, reference: await lab.run([...ARGS, "-n", "whole"]) };
	assert.equal(shared.reference.code, 0, shared.reference.stderr);
});
after(async () => {
	await shared?.speaker.close();
	await shared?.lab.remove();
});

// What a resumption must make of whatever there is.
function audit(left, whole, asked) {
	const { reference } = shared;
	assert.equal(whole.status, "completed");
	assert.deepEqual(whole.conversations.map(texts), reference.conversations.map(texts), "texts");
	for (const [i, events] of whole.conversations.entries()) {
		assert.deepEqual(events.map((e) => e.seq), events.map((_, n) => n + 1), "a line is missing or doubled");
		const before = left?.conversations[i] ?? [];
		assert.deepEqual(events.slice(0, before.length), before, "a whole line has changed");
		for (const type of ["ConversationStartEvent", "SystemPromptEvent", "TurnStartEvent", "TurnCompleteEvent", "MessageCompleteEvent"])
			assert.equal(of(events, type).length, of(reference.conversations[i], type).length, `${type}s`);
		const end = of(events, "ConversationEndEvent");
		assert.equal(end.at(-1), events.at(-1));
		assert.equal(end.at(-1).total_turns, 3);
	}
	const had = left === undefined ? 0 : left.conversations.flatMap(texts).length;
	assert.equal(asked, 12 - had, "messages that were in their files were asked for again");
	const usage = whole.conversations.flatMap((events) => of(events, "TokenUsageEvent"));
	const sum = usage.reduce((n, e) => n + e.prompt_tokens + e.completion_tokens, 0);
	assert.equal(whole.manifest.token_usage.total_tokens, sum, "tokens in the manifest");
	const { total_tokens } = reference.manifest.token_usage;
	assert.ok(sum >= total_tokens, "what was spent is not told");
}

// One life with a speaker of its own, killed at its N-th call (0: none). Returns how many calls there were.
async function killAt(n, { tamper } = {}) {
	const speaker = await Speaker.start(said);
	const lab = await Lab.make("labkill", { config: speaker.config() });
	const count = join(lab.home, "count");
	try {
		const wrap = [tool("tracer"), "kill", String(n), count];
		const { code, stderr } = await lab.roost(["run", ...ARGS, "-n", "life"], { wrap, env: { ASAN_OPTIONS: "detect_leaks=0" } });
		if (n === 0) assert.equal(code, 0, stderr);
		const calls = Number(await readFile(count, "utf8"));
		const [dir] = await lab.dirs();
		const made = dir === undefined ? [] : await readdir(dir);
		// Killed before it had begun: nobody was asked for anything, so there is nothing to be resumed.
		if (!made.includes("manifest.json")) {
			assert.equal(speaker.calls.length, 0);
			assert.deepEqual(made.filter((name) => name.endsWith(".jsonl")), []);
			return calls;
		}
		if (tamper) await tamper(dir);
		const left = await lab.look(dir);
		const asked = speaker.calls.length;
		const again = await lab.roost(["run", "--json", "--resume", "life"]);
		assert.equal(again.code, 0, again.stderr);
		audit(left, await lab.look(dir), speaker.calls.length - asked);
		assert.ok(speaker.calls.length <= 12 + PARALLEL, `${speaker.calls.length} messages were paid for, of 12`);
		return calls;
	} finally {
		await speaker.close();
		await lab.remove();
	}
}

describe("an experiment killed at any system call", () => {
	test("is resumed as if it had not been", async (t) => {
		const calls = await killAt(0);
		assert.ok(calls > 300, `the run has only ${calls} system calls`);
		const random = seeded(SEED);
		const points = all ? Array.from({ length: calls }, (_, i) => i + 1)
			: Array.from({ length: SAMPLE }, (_, i) => 1 + Math.floor((i * calls) / SAMPLE) + random(Math.max(1, Math.floor(calls / SAMPLE))));
		const failures = [], next = points.values();
		await Promise.all(Array.from({ length: SIDE_BY_SIDE }, async () => {
			for (const n of next) await killAt(n).catch((error) => failures.push(`call ${n}: ${error.message}`));
		}));
		t.diagnostic(`${points.length} of ${calls} system calls`);
		assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${points.length} kills`);
	});

	// A resumption that did not see the last message would go on from a file that ends before it.
	test("is noticed when a resumption does not see the last message", async () => {
		let taken = 0;
		const tamper = async (dir) => {
			for (const name of (await readdir(dir)).filter((file) => file.startsWith("events_"))) {
				const events = await eventsOf(join(dir, name));
				const at = events.findLastIndex((e) => e.event_type === "MessageCompleteEvent");
				if (at < 0) continue;
				const lines = (await readFile(join(dir, name), "utf8")).split("\n");
				await writeFile(join(dir, name), lines.slice(0, at).map((line) => `${line}\n`).join(""));
				taken++;
			}
		};
		const calls = await killAt(0), random = seeded(SEED + 1);
		for (let i = 0; i < 60; i++) {
			const n = Math.floor(calls / 2) + random(Math.floor(calls / 2)); // before that it only starts
			const error = await killAt(n, { tamper }).catch((failure) => failure);
			if (taken && /messages were paid for, of 12/.test(error?.message)) return;
		}
		assert.fail(`${taken} messages were taken away, and nothing was noticed`);
	});
});
