// Experiments as files and processes: listing and showing them, those in the background, stopping, pausing, killing and
// cleaning up. Nothing here needs a daemon.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmod, lstat, mkdir, readFile, readdir, readlink, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { program, scratch, until } from "../lib/roost.mjs";

const SECRET = "sk-canary-0123456789abcdef";
const PROMPT = "canary prompt";

let home;
let output;
let runtime;
const outputs = [];

function roost(args, { env = {}, timeout = 40_000, input } = {}) {
	return new Promise((done) => {
		const child = execFile(
			program,
			args,
			{
				env: { PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: runtime, ROOST_OUTPUT_DIR: output, ...env },
				timeout,
				maxBuffer: 1 << 26,
			},
			(error, stdout, stderr) => done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
		);
		child.stdin.on("error", () => {});
		child.stdin.end(input ?? "");
	});
}

async function fine(args, options) {
	const { code, stdout, stderr } = await roost(args, options);
	assert.equal(code, 0, stderr);
	return stdout;
}

const json = async (args, options) => JSON.parse(await fine([...args, "--json"], options));

// A conversation takes minutes unless it is stopped.
const slow = (name, more = "") => `name: ${name}
agent_a: local:test
agent_b: local:test
prompt: ${PROMPT}
max_turns: 1000
repetitions: 3
max_parallel: 2
params: {tokens: 20, tokensPerSecond: 200}
${more}`;

async function start(name, options = {}) {
	const spec = join(home, `${name}.yaml`);
	await writeFile(spec, slow(name, options.more));
	await fine(["run", spec, "--quiet"], options);
	return (await json(["experiment", "list", "--running"], options)).find((e) => e.name === name);
}

const status = async (name) => JSON.parse((await roost(["experiment", "status", name, "--json"])).stdout);
const exists = (path) => lstat(path).then(
	() => true,
	() => false,
);
// A process that has ended may wait for whoever adopted it.
const isAlive = (pid) =>
	readFile(`/proc/${pid}/stat`, "latin1").then(
		(stat) => !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2)),
		() => false,
	);
const ended = (pid) => until(async () => !(await isAlive(pid)), "the process's end");
const events = async (dir) => {
	const all = [];
	for (const file of await readdir(dir))
		if (/^events_.*\.jsonl$/.test(file))
			all.push(
				(await readFile(join(dir, file), "utf8"))
					.split("\n")
					.slice(0, -1) // the last one may be half written
					.map((line) => JSON.parse(line)),
			);
	return all;
};
const turns = async (dir) => (await events(dir)).flat().filter((e) => e.event_type === "TurnCompleteEvent").length;

// An experiment that ended `days` ago, made by hand.
async function put(base, state, days = 0, bytes = 100, more = {}) {
	const dir = join(output, base);
	const at = new Date(Date.now() - days * 86_400_000);
	const count = (s) => (state === s ? 1 : 0);
	await mkdir(dir);
	await writeFile(
		join(dir, "manifest.json"),
		JSON.stringify({
			experiment_id: `experiment_${base.slice(-8)}`,
			name: base.slice(0, -9),
			created_at: at.toISOString(),
			config: { agent_a_model: "local:test", agent_b_model: "local:test" },
			total_conversations: 1,
			status: state,
			conversations: { conv_00000001: { status: state, total_turns: 3 } },
			started_at: at.toISOString(),
			completed_conversations: count("completed"),
			failed_conversations: count("failed"),
			running_conversations: count("running"),
			completed_at: at.toISOString(),
			...more,
		}),
	);
	await writeFile(join(dir, "events_conv_00000001.jsonl"), "x".repeat(bytes));
	await utimes(dir, at, at);
	return dir;
}

before(async () => {
	home = await scratch("home");
	runtime = await scratch("runtime");
});

async function freshOutput(name = "experiments") {
	outputs.push((output = await scratch(name)));
}

beforeEach(() => freshOutput());

after(async () => {
	await roost(["stop", "--all", "--now", "--wait", "5"]); // what a failed test left
	for (const dir of [home, runtime, ...outputs]) await rm(dir, { recursive: true, force: true });
});

describe("experiments that there are", () => {
	it("are listed with the newest first, limited, and as JSON", async () => {
		for (let i = 0; i < 25; i++) await put(`e${i}_000000${(16 + i).toString(16)}`, "completed", i);
		const text = await fine(["experiment", "list"]);
		const lines = text.trimEnd().split("\n");
		assert.match(lines[0], /^ID +NAME +STATUS +DONE +TOKENS +COST +STARTED +TOOK$/);
		assert.match(lines[1], /^00000010 +e0 +completed +1\/1 /);
		assert.equal(lines.length, 22);
		assert.match(lines[21], /^5 more/);
		assert.equal((await fine(["experiment", "list", "--all"])).trimEnd().split("\n").length, 26);
		const list = await json(["experiment", "list", "--limit", "2"]);
		assert.deepEqual(
			list.map((e) => [e.name, e.status, e.conversations, e.completed, e.killed]),
			[
				["e0", "completed", 1, 1, false],
				["e1", "completed", 1, 1, false],
			],
		);
	});

	it("are none where there is no directory", async () => {
		output = join(output, "nowhere");
		assert.deepEqual(await json(["experiment", "list"]), []);
		assert.deepEqual(await json(["experiment", "list", "--running"]), []);
		assert.match(await fine(["stop", "--all"]), /nothing runs/);
	});

	it("are shown as interrupted when their process was killed", async () => {
		await put("gone_0000000a", "running");
		assert.match(await fine(["experiment", "list"]), /gone +interrupted \(killed\)/);
		const { code, stdout } = await roost(["experiment", "status", "gone"]);
		assert.equal(code, 75);
		assert.match(stdout, /interrupted \(killed\)/);
		const { code: stop, stderr } = await roost(["stop", "gone"]);
		assert.equal(stop, 65);
		assert.match(stderr, /does not run: it is interrupted \(killed\)/);
	});

	it("tell by the exit status how they went", async () => {
		const rows = [
			["completed", 0],
			["created", 0],
			["completed_with_failures", 69],
			["failed", 69],
			["interrupted", 75],
		];
		for (const [i, [state, expected]] of rows.entries()) {
			await put(`s_0000000${i}`, state);
			assert.equal((await roost(["experiment", "status", `0000000${i}`])).code, expected, state);
		}
		assert.equal((await roost(["experiment", "status", "nobody"])).code, 66);
		const { code, stderr } = await roost(["experiment", "status", "s"]);
		assert.equal(code, 65);
		assert.match(stderr, /may be s_00000004, s_0000000/);
	});

	it("are shown without anything that a terminal would obey", async () => {
		const bad = "\u001b]0;owned\u0007\u001b[2J\u009b31m";
		await put("hostile_0000000a", "failed", 0, 1, {
			name: bad,
			error: bad,
			config: { agent_a_model: bad, prompt: bad, [bad]: bad },
			conversations: { [`conv_${bad}`]: { status: bad, error: bad, reason: bad, token_usage: { agent_a: { model: bad } } } },
		});
		for (const args of [["list"], ["show", "0000000a"], ["status", "0000000a"]]) {
			const { stdout, stderr } = await roost(["experiment", ...args]);
			assert.doesNotMatch(stdout + stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
			assert.match(stdout, /\[2J|0000000a/);
		}
		const shown = await json(["experiment", "show", "0000000a"]);
		assert.equal(shown.manifest.name, bad);
		assert.equal(shown.experiment.name, bad);
	});

	it("say so when a manifest cannot be read", async () => {
		await mkdir(join(output, "torn_0000000a"));
		await writeFile(join(output, "torn_0000000a", "manifest.json"), '{"experiment_id":');
		assert.match(await fine(["experiment", "list"]), /torn +unreadable/);
		const { code, stderr } = await roost(["experiment", "show", "torn"]);
		assert.equal(code, 65);
		assert.match(stderr, /JSON/i);
	});

	it("are shown in full", async () => {
		await fine(["run", "-a", "local:test", "-b", "local:test", "-t", "2", "-r", "2", "-p", PROMPT, "-n", "whole", "--quiet"]);
		await until(async () => (await status("whole")).status === "completed", "the run's end", 30_000);
		const text = await fine(["experiment", "show", "whole"]);
		assert.match(text, /^experiment +whole\nid +experiment_[0-9a-f]{8}\n/);
		assert.match(text, new RegExp(`custom_prompt: ${PROMPT}`));
		assert.equal([...text.matchAll(/^conv_[0-9a-f]{8} +completed +2 +4 .*max_turns_reached/gm)].length, 2);
		const { experiment, manifest } = await json(["experiment", "show", "whole"]);
		assert.equal(experiment.completed, 2);
		const one = Object.values(manifest.conversations)[0];
		assert.equal(one.total_turns, 2);
		const lines = (await readFile(join(experiment.dir, one.jsonl), "utf8")).trimEnd().split("\n").length;
		assert.equal(one.last_line, lines);
		const usage = (await events(experiment.dir)).flat().filter((e) => e.event_type === "TokenUsageEvent");
		assert.equal(
			experiment.promptTokens + experiment.completionTokens,
			usage.reduce((sum, e) => sum + e.prompt_tokens + e.completion_tokens, 0),
		);
	});
});

describe("an experiment in the background", () => {
	it("begins within a second, with neither spec nor key in its arguments or its environment", async () => {
		const env = { OPENAI_API_KEY: SECRET };
		const begun = Date.now();
		const e = await start("quiet-one", { env });
		assert.ok(Date.now() - begun < 2000, "two commands took two seconds"); // run, and the list of those that run
		const [line, environment] = await Promise.all(
			["cmdline", "environ"].map((file) => readFile(`/proc/${e.pid}/${file}`, "latin1")),
		);
		assert.deepEqual(line.split("\0").slice(0, 4), ["roost", "run", "--in", e.id]);
		for (const text of [line, environment]) assert.ok(!text.includes(SECRET) && !text.includes("canary"));
		const stat = await readFile(`/proc/${e.pid}/stat`, "latin1");
		const [, , , session, tty] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
		assert.equal(session, e.pid, "a session of its own");
		assert.equal(tty, 0, "no terminal");
		assert.equal(await readlink(`/proc/${e.pid}/fd/0`), "/dev/null");
		assert.equal(await readlink(`/proc/${e.pid}/fd/1`), join(e.dir, "experiment.log"));
		for (const file of await readdir(e.dir)) {
			assert.equal((await lstat(join(e.dir, file))).mode & 0o077, 0, `others can read ${file}`);
			assert.ok(!(await readFile(join(e.dir, file), "latin1")).includes(SECRET), file);
		}
		await fine(["stop", "quiet-one"]);
	});

	it("goes on when the terminal hangs up", async () => {
		const e = await start("hung-up");
		process.kill(e.pid, "SIGHUP");
		const before = await turns(e.dir);
		await until(async () => (await turns(e.dir)) > before + 1, "turns after the hang-up");
		await fine(["stop", e.id]);
	});

	it("leaves none of its command's pipes open", async () => {
		const spec = join(home, "piped.yaml");
		await writeFile(spec, slow("piped"));
		// sh waits for the end of what it reads: of descriptor 9 too
		const child = execFile("sh", ["-c", `exec 9>&1; "$0" run "$1" --quiet`, program, spec], {
			env: { PATH: process.env.PATH, HOME: home, ROOST_OUTPUT_DIR: output },
			timeout: 20_000,
		});
		const [code] = await once(child, "close");
		assert.equal(code, 0);
		await fine(["stop", "piped"]);
	});

	it("says why it cannot begin, with the status that belongs to it", async () => {
		const args = ["run", "-a", "local:test", "-b", "local:test", "--quiet", "-n", "taken"];
		await fine([...args, "-t", "1"]);
		const { code, stderr } = await roost(args);
		assert.equal(code, 65);
		assert.match(stderr, /an experiment named "taken"/);
		const { code: unknown, stderr: why } = await roost(["run", "--in", "experiment_00000000"]);
		assert.equal(unknown, 64);
		assert.match(why, /only roost itself/);
	});
});

describe("stop", () => {
	it("ends an experiment by any of its names, and every conversation that was begun has its end", async () => {
		for (const way of [(e) => e.id, (e) => e.id.slice(-8), (e) => e.id.slice(-8, -3), (e) => e.name, (e) => e.dir]) {
			const e = await start("stopped");
			await until(async () => (await turns(e.dir)) > 0, "a turn");
			const said = await fine(["stop", way(e)]);
			assert.match(said, /stopped .*has stopped: interrupted, 0 of 3 conversations complete, 2 interrupted/);
			await ended(e.pid);
			const all = await events(e.dir);
			assert.equal(all.length, 2);
			for (const conversation of all) {
				const last = conversation.at(-1);
				assert.equal(last.event_type, "ConversationEndEvent");
				assert.equal(last.status, "interrupted");
			}
			const s = await status(e.id);
			assert.equal(s.status, "interrupted");
			assert.equal(s.killed, false);
			await rm(e.dir, { recursive: true });
		}
	});

	it("finds an experiment by the id of one of its conversations", async () => {
		const e = await start("by-talk");
		const file = await until(async () => (await readdir(e.dir)).find((f) => f.startsWith("events_")), "a conversation");
		await fine(["stop", file.slice("events_".length, -".jsonl".length)]);
		await ended(e.pid);
	});

	it("--all ends all, also in another output, and nothing when nothing runs", async () => {
		const one = await start("all-one");
		const two = await start("all-two");
		const elsewhere = output;
		await freshOutput();
		const three = await start("all-three");
		const ends = await json(["stop", "--all", "--output", output]);
		assert.deepEqual(
			ends.map((e) => [e.name, e.stopped, e.status]),
			[["all-three", true, "interrupted"]],
		);
		assert.ok((await isAlive(one.pid)) && (await isAlive(two.pid)));
		const rest = await json(["stop", "--all"]);
		assert.deepEqual(rest.map((e) => e.name).sort(), ["all-one", "all-two"]);
		for (const e of [one, two, three]) await ended(e.pid);
		assert.deepEqual(await json(["stop", "--all"]), []);
		assert.deepEqual(await readdir(join(elsewhere, ".running")), []);
	});

	it("--finish lets the messages in flight be finished", async () => {
		const e = await start("finished");
		await until(async () => (await turns(e.dir)) > 0, "a turn");
		await fine(["stop", e.id, "--finish"]);
		const all = (await events(e.dir)).flat();
		const count = (type) => all.filter((x) => x.event_type === type).length;
		assert.equal(count("MessageCutEvent"), 0);
		assert.equal(count("MessageCompleteEvent"), count("MessageRequestEvent"));
	});

	it("--now kills a process that does not end, and nothing that was finished is lost", async () => {
		const e = await start("stuck");
		await until(async () => (await turns(e.dir)) > 0, "a turn");
		process.kill(e.pid, "SIGSTOP");
		const { code, stderr } = await roost(["stop", e.id, "--wait", "1"]);
		assert.equal(code, 75);
		assert.match(stderr, /still runs; --now kills it/);
		const before = await turns(e.dir);
		assert.match(await fine(["stop", e.id, "--wait", "0", "--now"]), /interrupted \(killed\)/);
		await ended(e.pid);
		assert.equal(await turns(e.dir), before);
	});

	it("refuses a line that says nothing or too much", async () => {
		for (const args of [[], ["--all", "x"], ["x", "--now", "--finish"], ["x", "--wait", "soon"]])
			assert.equal((await roost(["stop", ...args])).code, 64, args.join(" "));
		assert.equal((await roost(["stop", "nobody"])).code, 66);
	});
});

describe("pause", () => {
	it("stops asking models until it is resumed", async () => {
		const e = await start("paused");
		await until(async () => (await turns(e.dir)) > 0, "a turn");
		assert.match(await fine(["pause", "paused"]), /pauses/);
		await until(async () => (await status("paused")).status === "paused", "the pause");
		assert.equal((await roost(["experiment", "status", "paused"])).code, 0);
		const quiet = await until(async () => {
			const all = (await events(e.dir)).flat();
			const count = (type) => all.filter((x) => x.event_type === type).length;
			return count("MessageCompleteEvent") === count("MessageRequestEvent") && all.length;
		}, "the messages in flight");
		await new Promise((done) => setTimeout(done, 300)); // in which three messages would have come
		assert.equal((await events(e.dir)).flat().length, quiet);
		assert.match(await fine(["pause", "--resume", "paused"]), /goes on/);
		await until(async () => (await events(e.dir)).flat().length > quiet + 5, "more events");
		assert.equal((await status("paused")).status, "running");
		await fine(["stop", "paused"]);
		assert.equal((await roost(["pause", "paused"])).code, 65);
	});
});

describe("a killed experiment", () => {
	it("holds nothing: it is shown as killed, its marks go, and it can be continued", async () => {
		const e = await start("killed");
		await until(async () => (await turns(e.dir)) > 0, "a turn");
		const marks = [join(output, ".running"), join(runtime, "roost/experiments")];
		for (const dir of marks) assert.equal((await readdir(dir)).length, 1);
		process.kill(e.pid, "SIGKILL");
		await until(async () => (await status("killed")).killed, "that it is seen");
		assert.deepEqual(await json(["experiment", "list", "--running"]), []);
		assert.deepEqual(await readdir(marks[0]), []);
		const before = await turns(e.dir);
		const again = execFile(program, ["run", "--resume", "killed"], {
			env: { PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: runtime, ROOST_OUTPUT_DIR: output },
		});
		await until(async () => (await turns(e.dir)) > before + 2, "turns after the resumption");
		await fine(["stop", "killed"]);
		if (again.exitCode === null) await once(again, "exit");
		assert.equal((await status("killed")).killed, false);
	});
});

describe("cleanup", () => {
	const cleanup = (...args) => json(["cleanup", ...args]);
	const names = (plan) => plan.experiments.map((e) => e.name);

	it("shows what would go, with its bytes, and changes nothing", async () => {
		const old = await put("old_00000001", "completed", 40, 5000);
		await put("new_00000002", "completed", 1, 5000);
		const text = await fine(["cleanup", "--older-than", "30d"]);
		assert.match(text, /^00000001 +old +completed .*5\.\d kB$/m);
		assert.match(text, /1 experiment would be removed, 5\.\d kB \(\d+ bytes\); 1 other stays/);
		assert.match(text, /nothing was changed; --yes does it/);
		const plan = await cleanup("--older-than", "30d");
		const size = 5000 + (await lstat(join(old, "manifest.json"))).size;
		assert.equal(plan.bytes, size);
		assert.equal(plan.dryRun, true);
		assert.ok(await exists(join(old, "events_conv_00000001.jsonl")));
	});

	it("takes by age, size, status, and leaves the newest", async () => {
		await put("a_00000001", "failed", 40, 5000);
		await put("b_00000002", "interrupted", 30, 50);
		await put("c_00000003", "completed", 20, 9000);
		await put("d_00000004", "running", 10, 100); // by nobody
		assert.deepEqual(names(await cleanup("--older-than", "3w")), ["a", "b"]);
		assert.deepEqual(names(await cleanup("--larger-than", "4kB")), ["a", "c"]);
		assert.deepEqual(names(await cleanup("--status", "failed,interrupted")), ["a", "b", "d"]);
		assert.deepEqual(names(await cleanup("--keep", "3")), ["a"]);
		assert.deepEqual(names(await cleanup("--older-than", "1d", "--larger-than", "4kB", "--status", "failed")), ["a"]);
		assert.deepEqual(names(await cleanup("--all")), ["a", "b", "c", "d"]);
	});

	it("removes with --yes, also what an earlier one left, and nothing else", async () => {
		const old = await put("old_00000001", "completed", 40);
		const kept = await put("kept_00000002", "completed", 1);
		const outside = await scratch("outside");
		await writeFile(join(outside, "precious"), "x");
		await symlink(outside, join(old, "link"));
		await symlink(outside, join(output, "link_00000003"));
		await mkdir(join(output, "photos_00000004"));
		await mkdir(join(output, ".gone-half_00000005"));
		await writeFile(join(output, ".gone-half_00000005", "manifest.json"), "{}");
		const text = await fine(["cleanup", "--older-than", "30d", "--yes"]);
		assert.match(text, /1 experiment removed/);
		assert.match(text, /1 directory without a manifest is left alone/);
		assert.deepEqual((await readdir(output)).sort(), [".running", "kept_00000002", "link_00000003", "photos_00000004"]);
		assert.ok(await exists(join(kept, "manifest.json")));
		assert.ok(await exists(join(outside, "precious")));
		await rm(outside, { recursive: true });
	});

	it("never takes one that runs", async () => {
		const e = await start("busy");
		const done = await cleanup("--all", "--yes");
		assert.deepEqual(names(done), []);
		assert.equal(done.running, 1);
		assert.ok(await isAlive(e.pid));
		await fine(["stop", "busy"]);
		assert.deepEqual(names(await cleanup("--all", "--yes")), ["busy"]);
		assert.ok(!(await exists(e.dir)));
	});

	it("has the analysis executable compact the database, with arguments and without a shell", async () => {
		const bin = await scratch("bin");
		const log = join(bin, "log");
		await freshOutput("a $(touch pwned) b");
		const env = { PATH: `${bin}:${process.env.PATH}` };
		await writeFile(join(bin, "roost-analyze"), `#!/bin/sh\nprintf '%s\\n' "$@" > '${log}'\nprintf x > "$2"\n`);
		await chmod(join(bin, "roost-analyze"), 0o755);
		assert.match(await fine(["cleanup", "--all"], { env }), /no database to compact/);
		await writeFile(join(output, "experiments.duckdb"), "x".repeat(5000));
		assert.match(await fine(["cleanup", "--all"], { env }), /5\.0 kB\) would be compacted/);
		assert.ok(!(await exists(log)));
		assert.match(await fine(["cleanup", "--all", "--yes"], { env }), /compacted: 1 B, before 5\.0 kB/);
		assert.equal(await readFile(log, "utf8"), `compact\n${join(output, "experiments.duckdb")}\n`);
		await writeFile(join(bin, "roost-analyze"), "#!/bin/sh\nexit 7\n");
		const { code, stderr } = await roost(["cleanup", "--all", "--yes"], { env });
		assert.equal(code, 70);
		assert.match(stderr, /could not compact .*status 7/);
		await rm(bin, { recursive: true });
	});

	it("refuses a line without a condition, and a condition that it does not understand", async () => {
		const lines = [
			[],
			["--yes"],
			["--all", "--keep", "3"],
			["--older-than", "30"],
			["--older-than", "d"],
			["--older-than", "99999999999999999999d"],
			["--older-than", "9223372036854775807w"],
			["--larger-than", "-5MB"],
			["--larger-than", "5 parsecs"],
			["--keep", "some"],
			["--status", "running"],
			["--status", "failed,"],
		];
		const dir = await put("safe_00000001", "completed", 100);
		for (const args of lines) assert.equal((await roost(["cleanup", ...args])).code, 64, args.join(" "));
		assert.ok(await exists(join(dir, "manifest.json")));
	});
});
