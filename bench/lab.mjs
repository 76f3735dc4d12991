#!/usr/bin/env node
// The lab: what an event costs, a conversation, ten thousand of them, and how much of the ideal is left when they wait for
// a provider together.
//
//     ./dev bench lab                      all of it; prints the table, writes build/bench/lab.json
//     node bench/lab.mjs batch size        some groups only; writes build/bench/lab.part.json
//
// What each figure means and how to read it is in docs/benchmarks.md.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { directory, fakeProvider, program, roost } from "./gear/house.mjs";
import { measure, middle, row, times } from "./gear/table.mjs";

const ROUNDS = 3;

// A home of its own for one command after another.
function home() {
	const dir = directory();
	for (const name of ["run", "config", "data"]) mkdirSync(join(dir, name), { mode: 0o700 });
	const env = { PATH: process.env.PATH, HOME: dir, TERM: "xterm-256color", XDG_RUNTIME_DIR: join(dir, "run"),
		XDG_CONFIG_HOME: join(dir, "config"), XDG_DATA_HOME: join(dir, "data"), ROOST_OUTPUT_DIR: join(dir, "out") };
	return { dir, env, out: join(dir, "out") };
}

const TICK_MS = 1000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

// What a process has used so far, as long as it is there.
function usage(pid) {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
		const [utime, stime] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13).map(Number);
		const [, peak] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
		return { cpuMs: (utime + stime) * TICK_MS, peakMB: Number(peak) / 1024 };
	} catch {
		return undefined;
	}
}

// `roost run` to its end: {seconds, cpuSeconds, peakMB}. It is looked at every few ms, so the last few are not in the sums.
async function run(at, args) {
	const begun = performance.now();
	const child = spawn(roost, ["run", ...args], { env: at.env, stdio: ["ignore", "ignore", "pipe"] });
	let said = "", last = { cpuMs: 0, peakMB: 0 };
	child.stderr.on("data", (text) => (said = (said + text).slice(-2000)));
	const timer = setInterval(() => {
		const now = usage(child.pid);
		if (now && now.peakMB > 0) last = now;
	}, 20);
	const code = await new Promise((done) => child.on("close", (status, signal) => done(status ?? signal)));
	clearInterval(timer);
	if (code !== 0) throw new Error(`roost run ${args.join(" ")}: ${code} ${said}`);
	return { seconds: (performance.now() - begun) / 1000, cpuSeconds: last.cpuMs / 1000, peakMB: last.peakMB };
}

async function events() {
	const all = await times(ROUNDS, () => program("events", { dir: directory(), seconds: 3 }));
	const plain = middle(all, (r) => r.write.perSecond);
	row("events of 1 kB written, buffered", middle(all, (r) => r.buffered.perSecond), "/s", 300_000,
		["the same bytes, a write(2) each", plain], all, { atLeast: true });
	row("events of 1 kB written, each group synced", middle(all, (r) => r.synced.perSecond), "/s", 20_000,
		["events in a group", middle(all, (r) => r.synced.group)], all, { atLeast: true });
}

async function manifest() {
	const all = await times(ROUNDS, () => program("manifest", { dir: directory(), seconds: 2 }));
	row("cost of an event with 10,000 conversations in the manifest, of that with 1", middle(all, (r) => r.lineRatio), "×", 1.2,
		["ns an event with 1", middle(all, (r) => r.lineNsOne)], all);
}

async function batch() {
	const all = [];
	for (let i = 0; i < ROUNDS; i++) {
		const at = home();
		const one = await run(at, ["-a", "local:test", "-b", "local:test", "-p", "tides", "-t", "10", "-r", "10000", "--max-parallel", "256",
			await specOf(at, "display_mode: none\n")]);
		const [dir] = readdirSync(at.out).filter((name) => !name.startsWith("."));
		const { completed_conversations: done } = JSON.parse(readFileSync(join(at.out, dir, "manifest.json"), "utf8"));
		if (done !== 10_000) throw new Error(`${done} of 10,000 conversations are complete`);
		all.push(one);
		execFileSync("rm", ["-rf", at.dir]);
	}
	const cores = middle(all, (r) => r.cpuSeconds / r.seconds);
	row("10,000 conversations of 10 turns, local:test", middle(all, (r) => r.seconds), "s", 20,
		["cores in use meanwhile", cores], all);
	row("memory of that at its peak", middle(all, (r) => r.peakMB), "MB", 150,
		["its processor seconds", middle(all, (r) => r.cpuSeconds)], all);
}

let nspecs = 0;
function specOf(at, yaml) {
	const path = join(at.dir, `spec-${++nspecs}.yaml`);
	writeFileSync(path, yaml);
	return path;
}

async function convergence() {
	const all = await times(ROUNDS, () => program("convergence", { turns: 1000, bytes: 1000 }));
	row("live convergence of a turn, at turn 1,000", middle(all, (r) => r.scoreUs), "µs", 50,
		["in the first turns", middle(all, (r) => r.scoreUsFirst)], all);
	row("all measures of a turn's messages, at turn 1,000", middle(all, (r) => r.metricsUs), "µs", null,
		["in the first turns", middle(all, (r) => r.metricsUsFirst)], all);
}

// A home whose one provider is the fake one.
async function withProvider(work) {
	const provider = await fakeProvider();
	const at = home();
	mkdirSync(join(at.dir, "config/roost"));
	writeFileSync(join(at.dir, "config/roost/roost.yaml"), `providers:\n  - name: fake\n    dialect: openai\n    baseUrl: http://127.0.0.1:${
		provider.port}/v1\n    allowPrivate: true\n    concurrency: 2048\n    models: [n4-d100, n64]\n`, { mode: 0o600 });
	try {
		return await work(at);
	} finally {
		await provider.stop();
	}
}

// Messages that take the provider 100 ms each, one after another in a conversation.
async function parallel() {
	const [repetitions, turns, atOnce, replyS] = [256, 10, 64, 0.1];
	const talk = ["-a", "fake:n4-d100", "-b", "fake:n4-d100", "-p", "tides", "--convergence-threshold", "none", "-t", String(turns)];
	const all = await times(ROUNDS, () => withProvider(async (at) => {
		const spec = specOf(at, "display_mode: none\n");
		const one = await run(at, [...talk, spec]);
		const many = await run(at, [...talk, "-r", String(repetitions), "--max-parallel", String(atOnce), spec]);
		const alone = (turns * 2 * replyS) / one.seconds;
		return { alone, share: ((repetitions / atOnce) * turns * 2 * replyS) / many.seconds, one, many };
	}));
	row("64 conversations at once, a provider that takes 100 ms a message: share of the ideal", middle(all, (r) => r.share), "×", 0.95,
		["one conversation alone, its start and end in it", middle(all, (r) => r.alone)], all, { atLeast: true });
}

async function size() {
	await withProvider(async (at) => {
		await run(at, ["-a", "fake:n64", "-b", "fake:n64", "-p", "tides", "--convergence-threshold", "none", "-t", "200",
			specOf(at, "display_mode: none\n")]);
		const [dir] = readdirSync(at.out).filter((name) => !name.startsWith("."));
		const file = readdirSync(join(at.out, dir)).find((name) => name.startsWith("events_"));
		const bytes = statSync(join(at.out, dir, file)).size;
		const said = readFileSync(join(at.out, dir, file), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line))
			.reduce((n, e) => n + (e.event_type === "MessageCompleteEvent" ? Buffer.byteLength(e.message.content) : 0), 0);
		row("event file of 200 turns of 1 kB messages", bytes / 1e6, "MB", 2, ["of that, what was said", said / 1e6], { bytes, said });
	});
}

function timed(args, env) {
	const begun = performance.now();
	execFileSync(roost, args, { env, stdio: "ignore" });
	return performance.now() - begun;
}

const MONITORED = 10_000;
function manyExperiments(at) {
	for (let i = 0; i < MONITORED; i++) {
		const id = i.toString(16).padStart(8, "0"), dir = join(at.out, `e${i}_${id}`);
		mkdirSync(dir, { recursive: true });
		writeFileSync(join(dir, "manifest.json"), JSON.stringify({ experiment_id: `experiment_${id}`, name: `e${i}`,
			created_at: "2026-01-02T03:04:05.000Z", config: { agent_a_model: "local:test", agent_b_model: "local:test", max_turns: 3 },
			total_conversations: 1, status: "completed", conversations: { [`conv_${id}`]: { status: "completed", total_turns: 3 } },
			started_at: "2026-01-02T03:04:05.000Z", completed_conversations: 1, failed_conversations: 0, running_conversations: 0,
			completed_at: "2026-01-02T03:05:05.000Z" }));
	}
}

// From the start of `roost monitor` on a terminal of its own to the first screen that shows an experiment.
function firstFrame(at) {
	const begun = performance.now();
	const child = spawn("script", ["-qfec", `stty rows 40 cols 120; exec '${roost}' monitor`, "/dev/null"],
		{ env: at.env, stdio: ["pipe", "pipe", "ignore"] });
	return new Promise((done, failed) => {
		let text = "", ms;
		child.stdout.setEncoding("utf8").on("data", (piece) => {
			text += piece;
			if (ms !== undefined || !/\be\d{1,4}\b/.test(text)) return;
			ms = performance.now() - begun;
			child.stdin.write("q");
		});
		child.stdin.on("error", () => {});
		const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
		child.on("close", () => {
			clearTimeout(timer);
			if (ms === undefined) failed(new Error(`no frame with an experiment came: ${JSON.stringify(text.slice(0, 300))}`));
			else done(ms);
		});
	});
}

async function start() {
	const at = home();
	const nothing = () => {
		const begun = performance.now();
		execFileSync("true", { stdio: "ignore" });
		return performance.now() - begun;
	};
	for (let i = 0; i < 3; i++) timed(["--help"], at.env);
	const all = await times(30, () => ({ help: timed(["--help"], at.env), run: timed(["run", "--help"], at.env), nothing: nothing() }));
	row("roost --help", middle(all, (r) => r.help), "ms", 10, ["true(1)", middle(all, (r) => r.nothing)], all);
	manyExperiments(at);
	const frames = await times(7, () => firstFrame(at));
	const bare = await times(7, () => {
		const begun = performance.now();
		execFileSync("script", ["-qfec", "stty rows 40 cols 120; exec true", "/dev/null"], { stdio: "ignore" });
		return performance.now() - begun;
	});
	row("roost monitor, its first frame with 10,000 experiments on disk", middle(frames, (ms) => ms), "ms", 100,
		["a terminal and true(1)", middle(bare, (ms) => ms)], frames);
	const quiet = await times(7, () => timed(["run", "-q", "-a", "local:test", "-b", "local:test", "-t", "1"], at.env));
	row("roost run -q, until it returns, beside 10,000 experiments", middle(quiet, (ms) => ms), "ms", 1000,
		["true(1)", middle(all, (r) => r.nothing)], quiet);
}

// What starts programs goes first: a process that has held much takes longer to start another.
await measure("lab", { start, events, manifest, batch, convergence, parallel, size });
