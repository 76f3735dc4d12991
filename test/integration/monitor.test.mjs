// roost monitor in a real terminal (tmux): what a person sees and does; and without one.
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { Daemon, program, scratch, until } from "../lib/roost.mjs";

const server = `roost-monitor-${process.pid}`;
const HOSTILE = "\u001b[31mred\u001b]0;owned\u0007\u009b2J\u202etxt\u200b\r\u0008";
let home;
let output;
let runtime;
let terminals = 0;

const environment = () => ({ PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: runtime, ROOST_OUTPUT_DIR: output });

function tmux(...args) {
	return execFileSync("tmux", ["-L", server, "-f", "/dev/null", ...args], { encoding: "utf8", stdio: "pipe" });
}

class Terminal {
	constructor(args = [], { width = 120, height = 30, env = {} } = {}) {
		this.name = `t${terminals++}`;
		this.modes = join(home, `${this.name}.stty`);
		const set = Object.entries({ ...environment(), ...env }).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
		const term = env.TERM === undefined ? "" : `TERM='${env.TERM}' `;
		const line = [program, "monitor", ...args].map((a) => `'${a}'`).join(" ");
		const script = ["trap : INT", `stty -g >${this.modes}`, term + line, 'echo "left with $?"', `stty -g >>${this.modes}`, "exec sleep 600"];
		tmux("new-session", "-d", "-s", this.name, "-x", `${width}`, "-y", `${height}`, ...set, "sh", "-c", script.join("; "));
	}

	keys(...keys) {
		tmux("send-keys", "-t", this.name, ...keys);
	}

	type(text) {
		tmux("send-keys", "-t", this.name, "-l", text);
	}

	resize(width, height) {
		tmux("resize-window", "-t", this.name, "-x", `${width}`, "-y", `${height}`);
	}

	text(...flags) {
		return tmux("capture-pane", "-p", ...flags, "-t", this.name);
	}

	lines() {
		return this.text().replace(/\n$/, "").split("\n");
	}

	async sees(what, ms = 10_000) {
		const found = () => (what instanceof RegExp ? what.test(this.text()) : this.text().includes(what));
		await until(found, `${what}`, ms).catch(() => {
			throw new Error(`no ${what} on the screen:\n${this.text()}`);
		});
	}

	async seesNot(what) {
		const gone = () => !(what instanceof RegExp ? what.test(this.text()) : this.text().includes(what));
		await until(gone, `${what}`).catch(() => {
			throw new Error(`${what} is on the screen:\n${this.text()}`);
		});
	}

	signal(name) {
		const shell = tmux("list-panes", "-t", this.name, "-F", "#{pane_pid}").trim();
		process.kill(Number(execFileSync("pgrep", ["-P", shell], { encoding: "utf8" })), name);
	}

	// The terminal is as it was.
	async left(status) {
		await this.sees(`left with ${status}`);
		const [begun, ended] = await until(async () => {
			const lines = (await readFile(this.modes, "utf8")).trim().split("\n");
			return lines.length === 2 && lines;
		}, "the terminal's modes");
		assert.equal(ended, begun, "the terminal was not put back");
		assert.equal(tmux("display-message", "-p", "-t", this.name, "#{alternate_on} #{cursor_flag}").trim(), "0 1");
	}
}

function roost(args, { env = {} } = {}) {
	return new Promise((done) => {
		const child = execFile(program, args, { env: { ...environment(), ...env }, timeout: 30_000 }, (error, stdout, stderr) =>
			done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
		);
		child.stdin.end();
	});
}

// An experiment that is over, made by hand; the later ones are older.
async function put(base, { state = "completed", name = base.slice(0, -9), age = 0, conversation = {}, ...more } = {}) {
	const dir = join(output, base);
	const at = new Date(Date.now() - age * 60_000);
	const conversations = { conv_00000001: { status: state, total_turns: 3, convergence: 0.85, ...conversation } };
	await mkdir(dir);
	const manifest = {
		experiment_id: `experiment_${base.slice(-8)}`, name, config: { max_turns: 5 }, total_conversations: 1, status: state,
		conversations, started_at: at.toISOString(), completed_at: at.toISOString(), agents: ["local:test", "local:test"], ...more,
	};
	await writeFile(join(dir, "manifest.json"), JSON.stringify(manifest));
	await utimes(dir, at, at);
	return dir;
}

const slow = (name, more = "") => `name: ${name}
agent_a: local:test
agent_b: local:test
prompt: Hello
max_turns: 1000
repetitions: 3
max_parallel: 2
params: {tokens: 20, tokensPerSecond: 100}
${more}`;

// Runs in the background until somebody ends it.
async function start(name, spec = slow(name), args = []) {
	const file = join(home, `${name}.yaml`);
	await writeFile(file, spec);
	const { code, stderr } = await roost(["run", file, "--quiet", ...args]);
	assert.equal(code, 0, stderr);
}

const status = async (name) => JSON.parse((await roost(["experiment", "status", name, "--json"])).stdout).status;

before(async () => {
	home = await scratch("home");
	runtime = await scratch("runtime");
	tmux("new-session", "-d", "-s", "keep", "sleep", "600");
});

beforeEach(async () => {
	output = await scratch("experiments");
});

afterEach(async () => {
	for (const name of tmux("list-sessions", "-F", "#S").trim().split("\n")) if (name !== "keep") tmux("kill-session", "-t", name);
	await roost(["stop", "--all", "--output", output, "--now", "--wait", "5"]);
	await rm(output, { recursive: true, force: true });
});

after(async () => {
	tmux("kill-server");
	for (const dir of [home, runtime]) await rm(dir, { recursive: true, force: true });
});

describe("the monitor's screen", () => {
	it("shows what runs as it goes, its conversations and their messages, and leaves the terminal as it was", async () => {
		await put("old-one_00000001");
		await start("bold-heron");
		const t = new Terminal();
		await t.sees(/▸[0-9a-f]{8} +bold-heron +running/);
		await t.sees(/old-one +completed/);
		await t.sees(/conv_[0-9a-f]{8} +running +[1-9]\d*\/1000 +[●◆▲] 0\.\d\d +local:test, local:test/);
		await t.sees(/1 running · 0\/3 done · ETA \d/);
		await t.sees(/[1-9]\S* tokens\/min, [1-9]\S* messages\/min/, 20_000);
		t.keys("Enter", "Enter");
		await t.sees(/Messages · conv_[0-9a-f]{8} of bold-heron/);
		await t.sees(/agent_a  \d\d:\d\d:\d\d\n  \S/);
		const before = t.text();
		await until(() => t.text() !== before, "new messages");
		t.keys("Home");
		await t.sees("scrolled up");
		t.keys("Escape");
		await t.sees("Experiments 2");
		t.keys("q");
		await t.left(0);
		assert.equal(await status("bold-heron"), "running");
	});

	it("stops a run after a yes and not before", async () => {
		await start("bold-heron");
		const t = new Terminal();
		await t.sees(/bold-heron +running/);
		t.keys("s");
		await t.sees("stop bold-heron? y/N");
		t.keys("Enter");
		await t.sees("nothing was stopped");
		t.keys("p");
		await t.sees(/bold-heron +paused/);
		assert.equal(await status("bold-heron"), "paused");
		t.keys("p");
		await t.sees(/bold-heron +running/);
		t.keys("s");
		await t.sees("y/N");
		t.keys("y");
		await t.sees(/bold-heron +interrupted/);
		await t.sees(/conv_[0-9a-f]{8} +interrupted/);
		assert.equal(await status("bold-heron"), "interrupted");
		t.keys("s");
		await t.sees("does not run");
	});

	it("tells the errors of what runs and what became of them", async () => {
		const spec = slow("lost").replace("agent_b: local:test", "agent_b: dead:model");
		await start("lost", spec, ["--provider", "dead=http://127.0.0.1:9/v1"]);
		const t = new Terminal([], { width: 160 });
		await t.sees(/\d\d:\d\d:\d\d +conv_[0-9a-f]{8} +dead +\S+ +(retrying|open|failed) +\S/);
	});

	it("shows one that was killed as killed", async () => {
		await start("bold-heron");
		const t = new Terminal();
		await t.sees(/bold-heron +running/);
		const { pid } = JSON.parse((await roost(["experiment", "status", "bold-heron", "--json"])).stdout);
		process.kill(pid, "SIGKILL");
		await t.sees(/bold-heron +killed/);
		await t.sees("0 running");
	});

	it("goes with the size of the terminal, from 40x10 to 200x60 and back", async () => {
		for (let i = 0; i < 80; i++) await put(`e${i}_000000${(16 + i).toString(16)}`, { age: i });
		const t = new Terminal([], { width: 40, height: 10 });
		await t.sees(/▸e0 +completed +1\/1/);
		assert.equal(t.lines().length, 10);
		assert.match(t.lines()[9], /q quit/);
		t.resize(200, 60);
		await t.sees("Recent errors");
		await t.sees(/conv_00000001 +completed +3\/5 +▲ 0\.85/);
		await until(() => /q quit/.test(t.lines()[59]), "the keys in the last line");
		t.resize(40, 10);
		await t.seesNot("Recent errors");
		await until(() => /q quit/.test(t.lines()[9]), "the keys in the last line");
		t.keys("End");
		await t.sees(/▸e79 /);
		t.keys("PPage", "k");
		await t.seesNot(/▸e79 /);
		t.keys("Tab");
		await t.sees("conv_00000001");
		t.resize(1, 1);
		t.resize(80, 24);
		await t.sees(/Experiments 7\d-7\d of 80/);
		t.keys("q");
		await t.left(0);
	});

	it("filters by text and by status", async () => {
		await put("alpha_00000001");
		await put("beta_00000002", { state: "failed", age: 1, error: "no key" });
		await put("gr\u00fcn_00000003".replace("\u00fc", "u"), { name: "gr\u00fcn 你好", age: 2 });
		const t = new Terminal();
		await t.sees(/beta \(no key\) +failed/);
		t.type("/GR\u00dcN".replace("\u00dc", "\u00fc"));
		await t.seesNot("alpha");
		await t.sees("grün 你好");
		t.keys("Enter");
		await t.sees("· /GRüN");
		t.keys("Escape");
		await t.sees("alpha");
		t.keys("f", "f", "f");
		await t.sees("· failed");
		await t.seesNot("alpha");
		await t.sees("beta");
		t.keys("?");
		await t.sees("any key closes this");
		t.keys("x");
		await t.sees("beta");
	});

	it("obeys nothing that a name, an error or a message says", async () => {
		const said = { role: "assistant", content: `${HOSTILE}after`, agent_id: "agent_a", timestamp: new Date().toISOString() };
		const failed = { state: "failed", conversation: { error: `${HOSTILE}why` }, error: HOSTILE };
		const dir = await put("odd_00000001", { name: `odd ${HOSTILE}name`, ...failed });
		const event = { conversation_id: "conv_00000001", agent_id: "agent_a", message: said, turn_number: 0, timestamp: said.timestamp };
		await writeFile(join(dir, "events_conv_00000001.jsonl"), `${JSON.stringify({ ...event, event_type: "MessageCompleteEvent" })}\n`);
		await put("broken_00000002", { name: "x" });
		await writeFile(join(output, "broken_00000002", "manifest.json"), `{"status": "${HOSTILE}`);
		const t = new Terminal([], { width: 160 });
		await t.sees("odd [31mred]0;owned2Jtxt");
		await t.sees(/broken \(.* unreadable/);
		if (!/▸\S+ +odd/.test(t.text())) t.keys("j");
		await t.sees(/▸\S+ +odd/);
		t.keys("Enter", "Enter");
		await t.sees(/2Jtxt *after/);
		assert.match(t.lines()[0], /^roost monitor/);
		assert.equal(tmux("display-message", "-p", "-t", t.name, "#{pane_title}").includes("owned"), false);
		const plain = await roost(["monitor"]);
		assert.equal(plain.code, 0);
		assert.doesNotMatch(plain.stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
	});

	it("shows the queues of a daemon, and goes on when there is none any more", async () => {
		const daemon = await Daemon.start();
		try {
			const t = new Terminal(["--data", daemon.data], { width: 160, height: 40 });
			await t.sees("relay: 0 running, 0 waiting");
			await t.sees(/Relay queues .*\n.*nothing waits/s);
			await daemon.stop();
			await t.sees("no daemon");
			await t.seesNot("Relay queues");
			t.keys("q");
			await t.left(0);
		} finally {
			await daemon.remove();
		}
	});

	it("is not held up by a daemon that does not answer", async () => {
		const daemon = await Daemon.start();
		try {
			await put("alpha_00000001");
			daemon.child.kill("SIGSTOP");
			const t = new Terminal(["--data", daemon.data]);
			await t.sees("alpha");
			t.keys("?");
			await t.sees("any key closes this");
			t.keys("x", "q");
			await t.left(0);
		} finally {
			daemon.child.kill("SIGCONT");
			await daemon.remove();
		}
	});

	it("says that there is nothing, and finds what comes", async () => {
		await rm(output, { recursive: true });
		const t = new Terminal();
		await t.sees(`there is no directory ${output} yet`);
		await mkdir(output);
		await t.sees("start one with: roost run");
		await put("alpha_00000001");
		await t.sees(/alpha +completed/);
		await rm(join(output, "alpha_00000001"), { recursive: true });
		await t.seesNot("alpha");
	});

	it("ends with a signal's status and puts the terminal back", async () => {
		const t = new Terminal();
		await t.sees("q quit");
		t.keys("C-c");
		await t.left(130);
		const other = new Terminal();
		await other.sees("q quit");
		other.signal("SIGTERM");
		await other.left(143);
	});
});

describe("without a terminal to draw on", () => {
	it("prints one snapshot and ends with 0", async () => {
		await put("alpha_00000001");
		await put("beta_00000002", { state: "failed", age: 1 });
		const plain = await roost(["monitor"]);
		assert.equal(plain.code, 0);
		assert.match(plain.stdout, /^0 running · 2 experiments · 2\/2 conversations · 1 failed .* no daemon\n\nID +NAME +STATUS/);
		assert.match(plain.stdout, /\n00000001 +alpha +completed +1\/1 +3 /);
		for (const env of [{ TERM: "dumb" }, { TERM: "" }, { TERM: "no-such-terminal" }]) {
			const t = new Terminal([], { env });
			await t.sees(/\n00000001 +alpha +completed/);
			await t.left(0);
		}
		const once = new Terminal(["--once"]);
		await once.sees("left with 0");
		await once.sees(/00000002 +beta +failed/);
	});

	it("prints JSON", async () => {
		await put("alpha_00000001");
		await put("beta_00000002");
		await writeFile(join(output, "beta_00000002", "manifest.json"), "{");
		const { code, stdout } = await roost(["monitor", "--json"]);
		const all = JSON.parse(stdout);
		assert.equal(code, 0);
		assert.deepEqual(all.experiments.map((e) => [e.name, e.status]).sort(), [["alpha", "completed"], ["beta", "unreadable"]]);
		assert.equal(all.relay, null);
		assert.equal(all.done, 1);
	});

	it("has nothing to say of an output that is missing, and that is no error", async () => {
		await rm(output, { recursive: true });
		const { code, stdout } = await roost(["monitor"]);
		assert.equal(code, 0);
		assert.match(stdout, /there is no directory/);
		assert.equal((await roost(["monitor", "surplus"])).code, 64);
	});
});
