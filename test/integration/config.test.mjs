// The configuration and specs from the command line: `roost config`, `roost dimensions`, and what a dry run makes of the
// examples.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { program, root, scratch } from "../lib/roost.mjs";

let home;
before(async () => {
	home = await scratch("config");
});
after(() => rm(home, { recursive: true, force: true }));

function roost(args, env = {}) {
	return new Promise((done) => {
		const child = execFile(
			program,
			args,
			{ env: { PATH: process.env.PATH, HOME: home, ...env }, timeout: 20_000, cwd: root, maxBuffer: 1 << 26 },
			(error, stdout, stderr) => done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
		);
		child.stdin.end();
	});
}
const path = () => join(home, ".config/roost/roost.yaml");
async function file(text, name = "own.yaml") {
	await writeFile(join(home, name), text);
	return join(home, name);
}

describe("roost config", () => {
	it("prints every key with what it is, and what it prints is fine", async () => {
		const { code, stdout } = await roost(["config"]);
		assert.equal(code, 0);
		const keys = stdout.split("\n").filter((line) => /^\w+:/.test(line));
		for (const key of ["data", "listen", "defaultModel", "labTurns", "labAwareness", "providers", "limits"])
			assert.ok(keys.some((line) => line.startsWith(`${key}:`)), key);
		stdout.split("\n").forEach((line, i, lines) => /^\s*\w+: /.test(line) && assert.match(lines[i - 1], /^\s*# /, line));
		const checked = await roost(["config", "--check", await file(stdout)]);
		assert.deepEqual([checked.code, checked.stderr], [0, ""]);
	});

	it("is what docs/operations.md shows", async () => {
		const { stdout } = await roost(["config"], { HOME: "/home/you" });
		const page = await readFile(join(root, "docs/operations.md"), "utf8");
		assert.ok(page.includes(`\`\`\`yaml\n${stdout}\`\`\``));
	});

	it("tells where the file is, wherever that is", async () => {
		assert.equal((await roost(["config", "--path"])).stdout, `${path()}\n`);
		assert.equal((await roost(["config", "--path"], { XDG_CONFIG_HOME: "/x" })).stdout, "/x/roost/roost.yaml\n");
	});

	it("makes the file once, replaces it only by force, and leaves nothing else behind", async () => {
		const example = (await roost(["config"])).stdout;
		assert.equal((await roost(["config", "--write"])).code, 0);
		assert.equal(await readFile(path(), "utf8"), example);
		assert.equal((await stat(path())).mode & 0o777, 0o600);
		await writeFile(path(), "labTurns: 3\n");
		const again = await roost(["config", "--write"]);
		assert.equal(again.code, 65);
		assert.match(again.stderr, /roost\.yaml exists; --force replaces it/);
		assert.equal(await readFile(path(), "utf8"), "labTurns: 3\n");
		assert.equal((await roost(["config", "--write", "--force"])).code, 0);
		assert.equal(await readFile(path(), "utf8"), example);
		assert.deepEqual(await readdir(join(home, ".config/roost")), ["roost.yaml"]);
	});

	it("says what keeps it from writing", async () => {
		const { code, stderr } = await roost(["config", "--write", "/proc/nothing/roost.yaml"]);
		assert.equal(code, 73);
		assert.match(stderr, /\/proc\/nothing\/roost\.yaml: /);
	});

	for (const [text, says] of [
		["labTurnz: 1\n", /own\.yaml:1: there is no key "labTurnz"; did you mean labTurns/],
		["journal: true\nlabTurns: 0\n", /own\.yaml:2: labTurns is "0"; it must be a whole number from 1 to 100000/],
		["labThreshold: 2\n", /labThreshold is "2"; it must be a number from 0 to 1, or none/],
		["labAction: explode\n", /labAction is "explode"; it must be one of stop, pause, notify, warn, continue/],
		["labRedact: some\n", /it must be one of off, hash, drop, mask-pii/],
		["labWeights: [1, 1, 1, 1, 1]\n", /own\.yaml:1: labWeights: /],
		["labWeights: [1]\n", /labWeights must be a list of five numbers/],
		["labProfile: custom\n", /needs convergence_weights/],
		["labAwareness: basik\n", /did you mean basic/],
		["labAwareness: none.yaml\n", /none\.yaml: No such file/],
		["listen:\n  - 0.0.0.0:1\n", /beyond loopback/],
		["data: {\n", /own\.yaml/],
	])
		it(`refuses ${JSON.stringify(text)} with 78`, async () => {
			const { code, stderr, stdout } = await roost(["config", "--check", await file(text)]);
			assert.deepEqual([code, stdout], [78, ""]);
			assert.match(stderr, says);
		});

	it("finds an awareness file beside the configuration", async () => {
		await file("prompts: {0: {both: x}}\n", "told.yaml");
		const { code, stderr } = await roost(["config", "--check", await file("labAwareness: told.yaml\n")]);
		assert.deepEqual([code, stderr], [0, ""]);
	});

	it("says that nothing is there, and refuses what is named and not there", async () => {
		const none = await roost(["config", "--check"], { HOME: join(home, "nobody") });
		assert.equal(none.code, 0);
		assert.match(none.stdout, /the defaults hold/);
		assert.equal((await roost(["config", "--check", join(home, "none.yaml")])).code, 78);
	});

	it("takes one thing to do", async () => {
		for (const args of [["--check", "--write"], ["--force"], ["x.yaml"], ["--path", "x.yaml"]])
			assert.equal((await roost(["config", ...args])).code, 64, args.join(" "));
	});
});

describe("roost dimensions", () => {
	it("lists fragments by their groups, with their texts in JSON", async () => {
		const list = JSON.parse((await roost(["dimensions", "--json"])).stdout);
		assert.equal(new Set(list.map(({ name }) => name)).size, list.length);
		assert.ok(list.every(({ group, name, what, text }) => group && name && what && text));
		const { stdout } = await roost(["dimensions"]);
		for (const { name, what } of list) assert.ok(stdout.includes(name) && stdout.includes(what));
		const presets = JSON.parse((await roost(["dimensions", "--awareness", "--json"])).stdout);
		assert.deepEqual(presets.map(({ name }) => name), ["none", "basic", "firm", "research", "backrooms"]);
	});
});

describe("specs in a dry run", () => {
	const dry = (...args) => roost(["run", "--dry-run", "--data", join(home, "data"), ...args]);

	it("takes every example, and what it prints is the same spec", async () => {
		const dir = join(root, "examples/experiments");
		const names = (await readdir(dir)).filter((name) => name.endsWith(".yaml"));
		assert.ok(names.length >= 5);
		for (const name of names) {
			const first = await dry(join(dir, name));
			assert.deepEqual([first.code, first.stderr], [0, ""], name);
			const again = await dry(await file(first.stdout, "printed.yaml"));
			assert.equal(again.stdout, first.stdout, name);
		}
	});

	it("means the same by a file and by options", async () => {
		const spec = await file(
			"agent_a: local:test\nagent_b: local:silent\nturns: 3\ntemperature: 1\ntemperature_b: 0.25\nprompt: 'a: b'\n" +
				"dimensions: [peers, calm]\nawareness_b: firm\nchoose_names: true\nconvergence_threshold: 0.8\nredact: hash\n",
		);
		const options = ("-a local:test -b local:silent -t 3 --temp-b 0.25 --temperature 1 --dimensions peers:calm " +
			"--awareness-b firm --choose-names --convergence-threshold 0.8 --redact -p").split(" ");
		const [one, other] = [await dry(spec), await dry(...options, "a: b")];
		assert.deepEqual([one.code, one.stderr], [0, ""]);
		assert.equal(other.stdout, one.stdout);
		const over = await dry(spec, "-t", "4");
		assert.equal(over.stdout, one.stdout.replace("max_turns: 3", "max_turns: 4"));
	});

	it("takes the configuration's defaults", async () => {
		const config = await file("labTurns: 9\nlabPromptTag: ''\nlabRedact: drop\n", "roost.yaml");
		const { stdout } = await dry("-a", "local:test", "-b", "local:test", "--config", config);
		assert.match(stdout, /^max_turns: 9$/m);
		assert.match(stdout, /^prompt_tag: ""$/m);
		assert.match(stdout, /^redact: "drop"$/m);
	});

	it("refuses what is wrong with its line and status 78", async () => {
		const { code, stderr, stdout } = await dry(await file("name: x\nturnz: 3\n"));
		assert.deepEqual([code, stdout], [78, ""]);
		assert.match(stderr, /own\.yaml:2: unknown key "turnz"; did you mean turns\?/);
		assert.equal((await dry(join(home, "nothing.yaml"))).code, 78);
		assert.equal((await dry("-t", "0")).code, 64);
	});
});
