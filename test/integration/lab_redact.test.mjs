// With --redact nothing that was said, asked or named is in any file, however the run ends: everything that could tell is a
// word that is found nowhere else, and every file there is is searched for it.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isAlive, Lab, of, sha256, Speaker, texts } from "../lib/lab.mjs";
import { until } from "../lib/roost.mjs";

const KEY = "sk-canary-key-0123456789abcdef";
const WORDS = { prompt: "prmptcanary", tag: "tagcanary", name: "namecanary", system: "systcanary", injected: "injcanary",
	text: "textcanary", chosen: "Zedcanary", error: "errcanary" };
const all = [...Object.values(WORDS), KEY, "canary"];

// Answers as said by n, half of them with a name; one attempt fails with words that repeat what was asked.
let failing;
const answer = (call) => {
	if (failing?.(call)) return { status: failing.status ?? 500, message: `you said ${WORDS.error} ${call.messages.at(-1).content}` };
	return `Call me ${WORDS.chosen}. ${WORDS.text} number ${call.messages.length}, and more of it: river, stone, tide!`;
};

let lab, speaker, keyFile, args;
before(async () => {
	speaker = await Speaker.start(answer);
	lab = await Lab.make("redact");
	keyFile = join(lab.home, "key");
	await writeFile(keyFile, `${KEY}\n`, { mode: 0o600 });
	await lab.configure(speaker.config(["voice"], { provider: `    keyFile: ${keyFile}\n` }));
	const awareness = await lab.spec(`name: one\nbase: none\nprompts:\n  0:\n    both: ${WORDS.system} be kind\n  1:\n    agent_b: ${
		WORDS.injected} now\n`, "awareness.yaml");
	args = ["-a", "voice:m", "-b", "voice:n", "-p", `${WORDS.prompt} tides`, "--prompt-tag", `[${WORDS.tag}]`, "-w", awareness,
		"--choose-names", "-t", "3", "--seed", "4", "--convergence-threshold", "none"];
});
after(async () => {
	await speaker.close();
	await lab.remove();
});

// Where in any file any of these words is, but for the person's own ones.
async function found(words = all) {
	const own = [keyFile, join(lab.home, "awareness.yaml"), join(lab.home, "config/roost/roost.yaml")];
	const hits = [];
	for (const [path, bytes] of await lab.files()) {
		if (own.includes(path)) continue;
		const text = bytes.toString("latin1") + path;
		for (const word of words) {
			const shapes = [word, JSON.stringify(word).slice(1, -1), Buffer.from(word).toString("base64").replace(/=+$/, "").slice(0, -1)];
			for (const shape of shapes) if (text.toLowerCase().includes(shape.toLowerCase())) hits.push(`${shape} in ${path}`);
		}
	}
	return hits;
}

describe("a run whose texts are not kept", () => {
	let plain;
	const runs = {};
	for (const how of ["hash", "drop"])
		it(`(${how}) has no text, name, prompt, system prompt, injection, error or key in any file or path`, async () => {
			failing = Object.assign((call) => call.n % 5 === 4, { status: 500 });
			const run = await lab.run([...args, `--redact=${how}`, "-n", WORDS.name]);
			failing = undefined;
			assert.equal(run.code, 0, run.stderr);
			assert.deepEqual(await found(), []);
			runs[how] = run;
			assert.equal(run.manifest.redacted, true);
			assert.equal(of(run.conversations[0], "MessageCompleteEvent").length, 6);
			assert.ok(of(run.conversations[0], "APIErrorEvent").length >= 1);
		});

	it("has no text when it fails for good, in the background too, nor in what that prints", async () => {
		failing = Object.assign((call) => call.messages.length > 3, { status: 400 });
		const failed = await lab.run([...args, "--redact", "-n", WORDS.name]);
		assert.equal(failed.code, 69);
		assert.equal(failed.status, "failed");
		assert.deepEqual(await found(), []);
		const before = new Set(await lab.dirs());
		await lab.fine(["run", ...args, "--redact=drop", "--quiet", "-n", WORDS.name]);
		const dir = (await lab.dirs()).find((d) => !before.has(d));
		await until(async () => (await lab.look(dir)).status === "failed", "the failure in the background", 60_000);
		failing = undefined;
		assert.deepEqual(await found(), []);
	});

	it("has none when it was killed or stopped in the middle of a message, and refuses to be resumed by the reason's name", async () => {
		for (const [how, signal] of [["hash", "SIGKILL"], ["drop", "SIGKILL"], ["hash", "SIGTERM"], ["drop", "SIGTERM"]]) {
			let release, reached;
			const hold = new Promise((done) => (release = done)), there = new Promise((done) => (reached = done));
			speaker.answer = (call) => (call.messages.length > 4 ? (reached(), { text: answer(call), hold }) : answer(call));
			const before = new Set(await lab.dirs());
			const child = lab.start(["run", "--json", ...args, `--redact=${how}`, "-n", WORDS.name]);
			await there;
			child.kill(signal);
			await child.ended;
			release();
			speaker.answer = answer;
			assert.ok(!(await isAlive(child.pid)));
			assert.deepEqual(await found(), []);
			const dir = (await lab.dirs()).find((d) => !before.has(d));
			const id = JSON.parse(await readFile(join(dir, "manifest.json"), "utf8")).experiment_id;
			const { code, stderr } = await lab.roost(["run", "--resume", id]);
			assert.equal(code, 65);
			assert.match(stderr, /redact/);
			assert.deepEqual(await found(), []);
		}
	});

	it("measures what the unredacted run measures, and hash tells the texts' own hashes", async () => {
		plain = await lab.run([...args, "-n", "plain"]);
		assert.equal(plain.code, 0, plain.stderr);
		const masked = await lab.run([...args, "-n", "masked", "--redact=mask-pii"]);
		const score = (run) => of(run.conversations[0], "TurnCompleteEvent").map((e) => [e.convergence_score, e.convergence]);
		const usage = (run) => of(run.conversations[0], "TokenUsageEvent").filter((e) => e.completion_tokens > 0)
			.map((e) => [e.agent_id, e.prompt_tokens, e.completion_tokens]);
		const measures = (run) => of(run.conversations[0], "TurnCompleteEvent").map((e) => e.metrics);
		for (const how of ["hash", "drop"]) {
			assert.deepEqual(score(runs[how]), score(plain), how);
			assert.deepEqual(usage(runs[how]), usage(plain), how);
			assert.deepEqual(measures(runs[how]), measures(masked), how);
			const sizes = of(runs[how].conversations[0], "MessageCompleteEvent").map((e) => [e.message.content.chars, e.message.content.bytes]);
			assert.deepEqual(sizes, texts(plain.conversations[0]).map((text) => [[...text].length, Buffer.byteLength(text)]));
		}
		const own = texts(plain.conversations[0]);
		for (const [turn, m] of measures(masked).entries())
			for (const [i, agent] of ["agent_a", "agent_b"].entries()) {
				assert.equal(m[agent].message_length, [...own[2 * turn + i]].length);
				assert.equal(m[agent].exclamation_count, 1);
				assert.ok(m[agent].word_count > 10);
			}
		const hashes = of(runs.hash.conversations[0], "MessageCompleteEvent").map((e) => e.message.content.sha256);
		assert.deepEqual(hashes, own.map(sha256));
		assert.doesNotMatch(JSON.stringify(runs.drop.conversations), /"(history_)?sha256":"/);
		assert.notDeepEqual(await found([WORDS.text]), [], "the search finds a text that is there");
	});
});

describe("a run whose texts are masked", () => {
	it("has the texts, without addresses, numbers and keys of people in them", async () => {
		const secret = { mail: "jane.doe@example.org", phone: "+49 170 5551234", ip: "203.0.113.77",
			key: "sk-abcdefghijklmnopqrstuvwx0123456789ABCDEF" };
		speaker.answer = () => `Write to ${secret.mail}, call ${secret.phone}, use ${secret.key} at ${secret.ip}; tides do.`;
		const run = await lab.run(["-a", "voice:m", "-b", "voice:n", "-p", `my mail is ${secret.mail}`, "-t", "1", "--redact=mask-pii",
			"-n", "pii"]);
		speaker.answer = answer;
		assert.equal(run.code, 0, run.stderr);
		for (const text of texts(run.conversations[0])) assert.match(text, /^Write to .*tides do\.$/);
		for (const value of Object.values(secret))
			for (const [path, bytes] of await lab.files(run.dir)) assert.ok(!bytes.includes(value), `${value} in ${path}`);
	});
});
