// What is left of an experiment when its process is killed, its disk is full or its files are cut, and that `roost run
// --resume` makes of it what it would have been. The provider counts: what was finished is never asked for again.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFile, copyFile, mkdir, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { eventsOf, isThere, Lab, of, said, Speaker, texts } from "../lib/lab.mjs";
import { all, seeded, until } from "../lib/roost.mjs";

const finished = (conversations) => new Set(conversations.flatMap((events) => of(events, "MessageCompleteEvent")
	.map((e) => `${e.conversation_id} ${e.turn_number} ${e.agent_id}`)));

// What holds of every file of events, however its writers ended.
function sound(events) {
	assert.deepEqual(events.map((e) => e.seq), events.map((_, i) => i + 1), "a line is missing or doubled");
	const messages = of(events, "MessageCompleteEvent").map((e) => `${e.turn_number} ${e.agent_id}`);
	assert.equal(new Set(messages).size, messages.length, "a message stands twice");
	const turns = of(events, "TurnCompleteEvent").map((e) => e.turn_number);
	assert.deepEqual(turns, turns.map((_, i) => i), "turns are not in order");
	const last = events.at(-1);
	assert.equal(last.event_type, "ConversationEndEvent");
	return last;
}

// The manifest says of tokens what the lines say.
function sums({ manifest, conversations }) {
	const usage = conversations.flatMap((events) => of(events, "TokenUsageEvent"));
	const sum = (name) => usage.reduce((n, e) => n + e[name], 0);
	assert.equal(manifest.token_usage.prompt_tokens, sum("prompt_tokens"));
	assert.equal(manifest.token_usage.completion_tokens, sum("completion_tokens"));
}

describe("an experiment whose process is killed", () => {
	let lab, speaker, release, hold, reference;
	const args = ["-a", "voice:m", "-b", "voice:n", "-t", "4", "-r", "3", "--max-parallel", "2", "--seed", "11", "-p", "tides",
		"--convergence-threshold", "none", "--choose-names"];

	before(async () => {
		speaker = await Speaker.start((call) => (hold ? hold(call) : undefined) ?? { text: said(call) });
		lab = await Lab.make("resume", { config: speaker.config() });
		reference = await lab.run([...args, "-n", "whole"]);
		assert.equal(reference.code, 0, reference.stderr);
		assert.equal(speaker.calls.length, 24);
	});
	after(async () => {
		release?.();
		await speaker.close();
		await lab.remove();
	});

	// Runs until call number `nth` is being answered (its text half out), kills it, and returns what is left.
	async function killedAt(nth, name) {
		const from = speaker.calls.length;
		const stuck = new Promise((done) => (release = done));
		let reached;
		const there = new Promise((done) => (reached = done));
		hold = (call) => {
			if (call.n - from < nth) return undefined;
			reached();
			return { text: said(call), hold: stuck };
		};
		const child = lab.start(["run", "--json", ...args, "-n", name]);
		await there;
		const dir = (await lab.dirs()).find((d) => d.includes(`/${name}_`));
		// What was answered is in the files before anything else is asked of the same conversation; the other may be writing.
		await until(async () => finished((await lab.look(dir)).conversations).size >= nth - 1, "the finished messages", 30_000);
		child.kill("SIGKILL");
		await child.ended;
		hold = undefined;
		release();
		return { from, dir, left: await lab.look(dir) };
	}

	for (const nth of [0, 1, 2, 7, 13, 23])
		it(`goes on at the very message when that was number ${nth + 1}: the same texts, nothing twice, nothing asked again`, async () => {
			const { from, dir, left } = await killedAt(nth, `kill-${nth}`);
			assert.ok(["running", "created"].includes(left.status), left.status);
			const before = finished(left.conversations), asked = speaker.calls.length;
			const inFiles = left.conversations.flatMap(texts);
			const { code, stderr } = await lab.roost(["run", "--json", "--resume", `kill-${nth}`]);
			assert.equal(code, 0, stderr);
			const whole = await lab.look(dir);
			assert.equal(whole.status, "completed");
			assert.deepEqual(whole.conversations.map(texts), reference.conversations.map(texts));
			for (const events of whole.conversations) assert.equal(sound(events).total_turns, 4);
			for (const one of before) assert.ok(finished(whole.conversations).has(one), `${one} is lost`);
			// The conversations may ask the same; of each question so many are asked as there is no answer to in the files.
			const count = (list, text) => list.filter((one) => one === text).length;
			const again = speaker.calls.slice(asked).map(said);
			for (const text of new Set(again))
				assert.equal(count(again, text), count(reference.conversations.flatMap(texts), text) - count(inFiles, text),
					"messages that were finished were asked for again");
			assert.equal(again.length, 24 - before.size);
			assert.ok(speaker.calls.length - from <= 24 + 2, "more than the messages in flight was paid twice");
			const begun = left.conversations.filter((e) => of(e, "ConversationStartEvent").length && !of(e, "ConversationEndEvent").length);
			assert.equal(whole.conversations.flatMap((e) => of(e, "ConversationResumedEvent")).length, begun.length);
			sums(whole);
		});

	it("changes nothing when it is resumed once it is complete, and asks nobody", async () => {
		const asked = speaker.calls.length;
		const files = await lab.files(reference.dir);
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", "whole"]);
		assert.equal(code, 0, stderr);
		assert.equal(speaker.calls.length, asked);
		for (const [path, bytes] of files)
			if (path.endsWith(".jsonl")) assert.deepEqual(await readFile(path), bytes, `${path} has changed`);
		assert.equal((await lab.look(reference.dir)).status, "completed");
	});

	it("survives being killed again while it is resumed", async () => {
		const { dir } = await killedAt(9, "twice");
		for (const more of [3, 2]) {
			const from = speaker.calls.length;
			const stuck = new Promise((done) => (release = done));
			let reached;
			const there = new Promise((done) => (reached = done));
			hold = (call) => {
				if (call.n - from < more) return undefined;
				reached();
				return { text: said(call), hold: stuck };
			};
			const child = lab.start(["run", "--json", "--resume", "twice"]);
			await there;
			child.kill("SIGKILL");
			await child.ended;
			hold = undefined;
			release();
		}
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", "twice"]);
		assert.equal(code, 0, stderr);
		const whole = await lab.look(dir);
		assert.deepEqual(whole.conversations.map(texts), reference.conversations.map(texts));
		for (const events of whole.conversations) sound(events);
		sums(whole);
	});

	it("can be resumed by its name, the beginning of its id, and one of its conversations, and only once at a time", async () => {
		const { dir, left } = await killedAt(5, "names");
		const stuck = new Promise((done) => (release = done));
		let reached;
		const there = new Promise((done) => (reached = done));
		hold = (call) => (reached(), { text: said(call), hold: stuck });
		const child = lab.start(["run", "--json", "--resume", Object.keys(left.manifest.conversations)[1]]);
		await there;
		const second = await lab.roost(["run", "--json", "--resume", left.manifest.experiment_id.slice(0, 17)]);
		assert.equal(second.code, 73, second.stderr);
		assert.match(second.stderr, new RegExp(`${child.pid}`));
		hold = undefined;
		release();
		assert.equal((await child.ended).code, 0);
		assert.deepEqual((await lab.look(dir)).conversations.map(texts), reference.conversations.map(texts));
	});

	it("refuses what would change the experiment, by the option's name", async () => {
		for (const [option, ...value] of [["--turns", "9"], ["--agent-a", "local:test"], ["--prompt", "x"], ["--temp-b", "1"], ["--seed", "1"],
			["--redact=drop"]]) {
			const { code, stderr } = await lab.roost(["run", "--resume", "whole", option, ...value]);
			assert.equal(code, 64, `${option}: ${stderr}`);
			assert.ok(stderr.includes(option.split("=")[0]), stderr);
		}
	});
});

describe("event files that were cut or damaged", () => {
	let lab, speaker, reference, file;
	before(async () => {
		speaker = await Speaker.start();
		lab = await Lab.make("cut", { config: speaker.config() });
		reference = await lab.run(["-a", "voice:m", "-b", "voice:n", "-t", "2", "--seed", "5", "-p", "ö tides", "-n", "cut",
			"--convergence-threshold", "none"]);
		assert.equal(reference.code, 0, reference.stderr);
		file = join(reference.dir, Object.values(reference.manifest.conversations)[0].jsonl);
		await copyFile(file, join(lab.home, "whole"));
		await copyFile(join(reference.dir, "manifest.json"), join(lab.home, "manifest"));
	});
	after(async () => {
		await speaker.close();
		await lab.remove();
	});

	async function cutAt(bytes, put = "") {
		await copyFile(join(lab.home, "whole"), file);
		await copyFile(join(lab.home, "manifest"), join(reference.dir, "manifest.json"));
		await truncate(file, bytes);
		if (put) await appendFile(file, put);
		await rm(`${file}.torn`, { force: true });
	}

	it("at any byte: what is whole is kept, what is torn is put aside, and the rest is asked for", async (t) => {
		const whole = await readFile(join(lab.home, "whole"));
		const random = seeded(3), ends = [...whole.keys()].filter((i) => whole[i] === 10);
		const points = all ? [...whole.keys()]
			: [0, 1, ...ends.flatMap((i) => [i, i + 1]), ...Array.from({ length: 40 }, () => random(whole.length))];
		t.diagnostic(`${points.length} of ${whole.length} bytes`);
		for (const at of points) {
			await cutAt(at);
			const kept = await eventsOf(file);
			const asked = speaker.calls.length;
			const { code, stderr } = await lab.roost(["run", "--json", "--resume", "cut"]);
			assert.equal(code, 0, `cut at ${at}: ${stderr}`);
			const events = await eventsOf(file);
			sound(events);
			assert.deepEqual(texts(events), reference.conversations.flatMap(texts), `cut at ${at}`);
			assert.deepEqual(events.slice(0, kept.length), kept, `cut at ${at}: lines that were whole have changed`);
			assert.equal(speaker.calls.length - asked, 4 - of(kept, "MessageCompleteEvent").length, `cut at ${at}`);
			const torn = at - whole.subarray(0, at).lastIndexOf(10) - 1;
			assert.equal(await isThere(`${file}.torn`), torn > 0, `cut at ${at}: ${torn} torn bytes`);
			if (torn > 0) assert.deepEqual(await readFile(`${file}.torn`), whole.subarray(at - torn, at));
		}
	});

	it("with bytes of something else behind the last line: they are put aside", async () => {
		const whole = await readFile(join(lab.home, "whole"));
		const at = whole.indexOf(10, whole.length >> 1) + 1;
		await cutAt(at, "\0\0\0\0\0\0");
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", "cut"]);
		assert.equal(code, 0, stderr);
		assert.deepEqual(texts(await eventsOf(file)), reference.conversations.flatMap(texts));
	});

	it("in the middle: a resumption refuses, names the line, and leaves the file as it is", async () => {
		const whole = await readFile(join(lab.home, "whole"), "utf8");
		const lines = whole.split("\n");
		lines[5] = lines[5].replace('"turn_number":0', '"turn_number":7');
		assert.notEqual(lines.join("\n"), whole);
		await cutAt(0, lines.join("\n"));
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", "cut"]);
		assert.equal(code, 74, stderr);
		assert.match(stderr, /line 6\b/);
		assert.equal(await readFile(file, "utf8"), lines.join("\n"));
	});
});

describe("a disk that is full", () => {
	const args = ["-a", "voice:m", "-b", "voice:n", "-t", "12", "--seed", "5", "-p", "tides", "--convergence-threshold", "none"];
	let lab, speaker, reference;
	before(async () => {
		speaker = await Speaker.start();
		lab = await Lab.make("full", { config: speaker.config() });
		reference = await lab.run([...args, "-n", "roomy"]);
		assert.equal(reference.code, 0, reference.stderr);
	});
	after(async () => {
		await speaker.close();
		await lab.remove();
	});

	it("ends the run with a sentence and status 73; with room again it is resumed and nothing is missing", async () => {
		// No file may be larger than 8 KiB, which the events' is before its end and the manifest never.
		const tight = ["prlimit", "--fsize=8192", "--"];
		const { code, stderr, dir, status, conversations } = await lab.run([...args, "-n", "tight"], { wrap: tight });
		assert.equal(code, 73, stderr);
		assert.match(stderr, /events_conv_[0-9a-f]{8}\.jsonl/);
		assert.notEqual(status, "completed");
		const before = of(conversations[0], "MessageCompleteEvent").length;
		assert.ok(before > 0 && before < 24, `${before} messages`);
		const { code: again, stderr: why } = await lab.roost(["run", "--json", "--resume", "tight"]);
		assert.equal(again, 0, why);
		const whole = await lab.look(dir);
		assert.equal(whole.status, "completed");
		assert.deepEqual(texts(whole.conversations[0]), texts(reference.conversations[0]));
		sound(whole.conversations[0]);
	});

	it("as a small file system is, manifest and all: the same, and the manifest can still be read", async (t) => {
		const dir = join(lab.home, "small");
		await mkdir(dir);
		try {
			execFileSync("mount", ["-t", "tmpfs", "-o", "size=40k", "tmpfs", dir], { stdio: "pipe" });
		} catch {
			return t.skip("nothing can be mounted here");
		}
		try {
			const { code, stderr } = await lab.roost(["run", "--json", ...args, "-t", "40", "-n", "small", "-o", dir]);
			assert.equal(code, 73, stderr);
			const [name] = (await readdir(dir)).filter((entry) => entry.startsWith("small_"));
			JSON.parse(await readFile(join(dir, name, "manifest.json"), "utf8"));
			execFileSync("mount", ["-o", "remount,size=10m", dir]);
			const { code: again, stderr: why } = await lab.roost(["run", "--json", "-o", dir, "--resume", "small"]);
			assert.equal(again, 0, why);
			const whole = await lab.look(join(dir, name));
			assert.equal(whole.status, "completed");
			assert.equal(sound(whole.conversations[0]).total_turns, 40);
			assert.deepEqual(texts(whole.conversations[0]).slice(0, 24), texts(reference.conversations[0]));
		} finally {
			execFileSync("umount", [dir]);
		}
		return undefined;
	});

	it("before the first byte: a sentence, status 73 and no question asked", async () => {
		const asked = speaker.calls.length;
		const { code, stderr } = await lab.roost(["run", "--json", ...args, "-n", "none"], { wrap: ["prlimit", "--fsize=0", "--"] });
		assert.equal(code, 73, stderr);
		assert.match(stderr, /\/none_[0-9a-f]{8}.* cannot be written/);
		assert.equal(speaker.calls.length, asked);
	});

	it("of which the directory cannot be written to: a sentence with its path, and a status", async () => {
		const file = join(lab.home, "a-file");
		await writeFile(file, "");
		const { code, stderr } = await lab.roost(["run", "--json", ...args, "--output", join(file, "out")]);
		assert.ok([73, 74].includes(code), `${code} ${stderr}`);
		assert.ok(stderr.includes(file), stderr);
	});
});
