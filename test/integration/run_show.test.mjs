// What `roost run` shows: in a real terminal (tmux), and where there is none; what it tells a desktop; and what it offers to
// do about Ollama.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { dialects } from "../fake/dialects.mjs";
import { isAlive, Lab, Speaker } from "../lib/lab.mjs";
import { program, until } from "../lib/roost.mjs";

const server = `roost-show-${process.pid}`;
const VOICES = ["-a", "voice:m", "-b", "voice:n", "-p", "tides", "--convergence-threshold", "none"];
let lab;
let speaker;
let answer;
let terminals = 0;

function tmux(...args) {
	return execFileSync("tmux", ["-L", server, "-f", "/dev/null", ...args], { encoding: "utf8", stdio: "pipe" });
}

// Runs `roost ARGS` in a terminal of its own. When it ends, "left with STATUS" stands on the screen.
class Terminal {
	constructor(args, { width = 80, height = 40, env = {} } = {}) {
		this.name = `t${terminals++}`;
		this.modes = join(lab.home, `${this.name}.modes`);
		const set = Object.entries(lab.env(env)).map(([name, value]) => `${name}=${value}`);
		const line = ["env", ...set, program, ...args].map((a) => `'${a}'`).join(" ");
		const state = `(stty -g; sed -n s/flags:.//p /proc/$$/fdinfo/0) >>${this.modes}`;
		const script = ["trap : INT", state, line, 'echo "left with $?"', state, "trap '' INT; exec sleep 600"];
		tmux("new-session", "-d", "-s", this.name, "-x", `${width}`, "-y", `${height}`, "sh", "-c", script.join("; "));
	}

	keys(...keys) {
		tmux("send-keys", "-t", this.name, ...keys);
	}

	resize(width, height) {
		tmux("resize-window", "-t", this.name, "-x", `${width}`, "-y", `${height}`);
	}

	// All that is and was on the screen, or with "-e" with its colours; lines that the terminal wrapped are joined.
	text(...flags) {
		return tmux("capture-pane", "-p", "-J", "-S", "-2000", ...flags, "-t", this.name).replace(/ +$/gm, "").replace(/\n+$/, "");
	}

	async sees(what, ms = 15_000) {
		const found = () => (what instanceof RegExp ? what.test(this.text()) : this.text().includes(what));
		await until(found, `${what}`, ms).catch(() => {
			throw new Error(`no ${what} on the screen:\n${this.text()}`);
		});
	}

	// It has ended, and the terminal's modes, the open file's among them, are what they were.
	async left(status) {
		await this.sees(`left with ${status}`);
		const states = await until(async () => {
			const lines = (await readFile(this.modes, "utf8")).trim().split("\n");
			return lines.length === 4 && lines;
		}, "the terminal's modes");
		assert.deepEqual(states.slice(2), states.slice(0, 2), "the terminal was not put back");
	}
}

// What is written in the bubbles, line after line.
const inBubbles = (text) => [...text.matchAll(/│ (.*?) *(?:│|$)/gm)].map((m) => m[1].trim()).join(" ");
const held = () => {
	let release;
	const hold = new Promise((done) => (release = done));
	return { hold, release };
};

before(async () => {
	speaker = await Speaker.start((call) => answer(call));
	lab = await Lab.make("show", { config: speaker.config() });
	tmux("new-session", "-d", "-s", "keep", "sleep", "600");
});
afterEach(() => {
	const names = tmux("list-sessions", "-F", "#S").trim().split("\n");
	for (const name of names) if (name !== "keep") tmux("kill-session", "-t", name);
});
after(async () => {
	tmux("kill-server");
	await speaker.close();
	await lab.remove();
});

describe("roost run in a terminal", () => {
	it("shows text as it comes in a bubble, with a bar below it, and leaves neither half done", async () => {
		const { hold, release } = held();
		answer = (call) => call.model === "n" ? { text: "The second half of this comes late enough to be waited for.", hold } : "First.";
		const t = new Terminal(["run", ...VOICES, "-t", "1"]);
		await t.sees(/│ The second half of[^]*\n▕░+▏ 0 % · turn 1\/1/);
		assert.match(t.text(), /^╭─ voice:m[^\n]*\n│ First\. +│\n╰─+╯\n {10,}╭─ voice:n /m);
		release();
		await t.left(0);
		assert.match(inBubbles(t.text()), /\[HUMAN\] tides First\. The second half of this comes late enough to be waited for\./);
		assert.match(t.text(), /turn 1 of 1 · convergence 0\.\d\d/);
		assert.match(t.text(), /: completed, 1 of 1 conversation\n1 turn, \d+ tokens/);
		assert.doesNotMatch(t.text(), /▕/);
	});

	it("takes a first Ctrl-C for the end of the message and a second for the end of everything", async () => {
		const { hold, release } = held();
		answer = () => ({ text: "Half of this is here and the other half of it is not.", hold });
		const t = new Terminal(["run", ...VOICES]);
		await t.sees("│ Half of this is here");
		t.keys("C-c");
		await t.sees("finishing the message in flight; Ctrl-C again cuts it");
		t.keys("C-c");
		await t.left(130);
		release();
		assert.match(t.text(), /│ Half of this is here[^]*╰─+╯\n· somebody wants it to stop\n· voice:m was cut here\n/);
		assert.match(t.text(), /\n· interrupted after 0 turns/);
		assert.match(t.text(), /to go on: roost run --resume experiment_[0-9a-f]{8}\n/);
		assert.doesNotMatch(t.text(), /finishing|▕/);
	});

	it("shows a failure, and the command's own sentence below everything else", async () => {
		answer = () => ({ status: 401, error: "auth", message: "the key is wrong" });
		const t = new Terminal(["run", ...VOICES], { width: 120 });
		await t.left(69);
		assert.match(t.text(), /: failed, 0 of 1 conversation\n[^]*roost run: [^\n]*\n(?:[^\n]*\n)?left with 69$/);
	});

	it("loses no word when the terminal's width changes while text comes", async () => {
		const words = Array.from({ length: 60 }, (_, i) => `word${i}`).join(" ");
		const { hold, release } = held();
		answer = (call) => call.model === "m" ? { text: words, hold } : "Done.";
		const t = new Terminal(["run", ...VOICES, "-t", "1"], { width: 100 });
		await t.sees("word27");
		t.resize(60, 40);
		await until(() => tmux("display", "-p", "-t", t.name, "#{pane_width}").trim() === "60", "the width");
		release();
		await t.left(0);
		assert.ok(inBubbles(t.text()).replace(/\s+/g, "").includes(words.replace(/\s+/g, "")), t.text());
	});

	it("has no colour with NO_COLOR, and no cursor to move on a dumb terminal", async () => {
		answer = () => "**Bold** words.";
		const plain = new Terminal(["run", ...VOICES, "-t", "1"], { env: { NO_COLOR: "1" } });
		await plain.left(0);
		assert.equal(plain.text("-e").includes("\u001b["), false);
		assert.match(plain.text(), /│ \*\*Bold\*\* words\. +│/);
		const dumb = new Terminal(["run", ...VOICES, "-t", "1"], { env: { TERM: "dumb" } });
		await dumb.left(0);
		assert.match(dumb.text(), /^voice:m:\n\*\*Bold\*\* words\.\n/m);
		assert.doesNotMatch(dumb.text(), /[│▕]/);
		const coloured = new Terminal(["run", ...VOICES, "-t", "1"]);
		await coloured.left(0);
		assert.match(coloured.text("-e"), /\u001b\[1m\S*Bold/);
		assert.match(coloured.text(), /│ Bold words\. +│/);
	});

	it("goes on after a pause when Enter is pressed", async () => {
		answer = () => "The same words.";
		const t = new Terminal(["run", "-a", "voice:m", "-b", "voice:n", "-p", "x", "-t", "2", "--convergence-threshold", "0.5",
			"--convergence-action", "pause"]);
		await t.sees("· paused; Enter goes on");
		t.keys("Enter");
		await t.left(0);
		assert.match(t.text(), /it goes on with turn 2/);
		assert.doesNotMatch(t.text(), /▕/);
	});
});

describe("roost run without a terminal", () => {
	it("writes plain text for people, and an event a line with --tail and --json", async () => {
		answer = () => "Some \u001b[2Jwords.";
		const chat = await lab.roost(["run", ...VOICES, "-t", "1"]);
		assert.equal(chat.code, 0);
		assert.match(chat.stdout, /^voice:m:\nSome \[2Jwords\.\n\nvoice:n:\nSome/m);
		const tail = await lab.roost(["run", ...VOICES, "-t", "1", "--tail"]);
		assert.match(tail.stdout, /^\[\d\d:\d\d:\d\d\.\d{3}\] ← MessageComplete agent_a turn 1 tokens \d+ took .* "Some \[2Jwords\."$/m);
		for (const { stdout } of [chat, tail]) assert.equal(stdout.includes("\u001b"), false);
		const json = await lab.roost(["run", ...VOICES, "-t", "1", "--json"]);
		const types = json.stdout.trim().split("\n").map((line) => JSON.parse(line).event_type);
		assert.equal(types.filter((type) => type === "MessageCompleteEvent").length, 2);
		assert.equal(types.at(-1), "ExperimentCompleteEvent");
	});
});

// A program that keeps its arguments, a line each, in a file of its name.
async function fakeProgram(name, more = "") {
	const bin = join(lab.home, "bin");
	await mkdir(bin, { recursive: true });
	await writeFile(join(bin, name), `#!/bin/sh\nfor a; do printf '%s\\n' "$a"; done >>"$HOME/${name}.said"\n${more}\n`, { mode: 0o755 });
	return { PATH: `${bin}:${process.env.PATH}` };
}
const toldTo = (name) => readFile(join(lab.home, `${name}.said`), "utf8").catch(() => "");

describe("a notification", () => {
	it("comes at the end, in the background too", async () => {
		answer = () => "Words.";
		const env = await fakeProgram("notify-send");
		await lab.roost(["run", ...VOICES, "-t", "1", "--name", "no-word"], { env });
		await lab.roost(["run", ...VOICES, "-t", "1", "--name", "in-front", "--notify"], { env });
		await until(async () => /in-front\ncompleted, 1 of 1 conversations?\n/.test(await toldTo("notify-send")), "a notification");
		await lab.fine(["run", ...VOICES, "-t", "1", "--name", "behind", "--notify", "-q"], { env });
		await until(async () => /behind\ncompleted, 1 of 1 conversations?\n/.test(await toldTo("notify-send")), "a notification");
		assert.doesNotMatch(await toldTo("notify-send"), /no-word/);
	});
});

// An Ollama that has the models in `has`.
async function fakeOllama(has) {
	const ollama = createServer((req, res) => {
		req.resume();
		if (req.url === "/api/tags") return void res.end(JSON.stringify({ models: has().map((name) => ({ name, model: name })) }));
		const w = dialects.ollama.writer({ body: { model: "x" } });
		res.writeHead(200, { "Content-Type": dialects.ollama.type });
		res.end(w.open() + w.text("Local words.") + w.finish("stop", { input: 3, output: 2 }));
	});
	ollama.listen(0, "127.0.0.1");
	await once(ollama, "listening");
	return { url: `http://127.0.0.1:${ollama.address().port}`, close: () => (ollama.closeAllConnections(), ollama.close()) };
}

describe("Ollama", () => {
	const run = (url) => ["run", "-a", "ollama:qwen3:0.6b", "-b", "local:test", "-t", "1", "-p", "x", "--provider", `ollama=${url}`];
	let models = [];
	let ollama;
	let env;
	before(async () => {
		ollama = await fakeOllama(() => models);
		env = await fakeProgram("ollama", 'printf "%s\\n" "$OLLAMA_HOST" >>"$HOME/ollama.said"; [ ! -e "$HOME/fails" ] || exit 3');
	});
	after(() => ollama.close());
	afterEach(() => (models = []));

	it("is told to fetch a model after a yes, with arguments and no shell, and that is logged", async () => {
		const t = new Terminal(run(ollama.url), { env });
		await t.sees(/does not have qwen3:0\.6b\n {2}ollama pull qwen3:0\.6b\nRun this command\? \[y\/N\]/);
		assert.equal(await toldTo("ollama"), "");
		models = ["qwen3:0.6b"]; // as it is when the command has run
		t.keys("y", "Enter");
		await t.left(0);
		assert.equal(await toldTo("ollama"), `pull\nqwen3:0.6b\n${new URL(ollama.url).host}\n`);
		assert.match(inBubbles(t.text()), /Local words\./);
		const log = (await lab.files()).find(([path]) => path.endsWith("/ollama.log"));
		assert.match(log[1].toString(), /^\S+ ollama pull qwen3:0\.6b: exit status 0\n$/);
	});

	it("is left alone after anything but a yes", async () => {
		const before = await toldTo("ollama");
		const t = new Terminal(run(ollama.url), { env });
		await t.sees("[y/N]");
		t.keys("Enter");
		await t.left(65);
		assert.match(t.text().replace(/\n/g, ""), /does not have qwen3:0\.6b; run: ollama pull qwen3:0\.6b/);
		assert.equal(await toldTo("ollama"), before);
	});

	it("is only spoken of where nobody can be asked", async () => {
		const before = await toldTo("ollama");
		const absent = await lab.roost(run(ollama.url), { env });
		assert.equal(absent.code, 65);
		assert.match(absent.stderr, /does not have qwen3:0\.6b; run: ollama pull qwen3:0\.6b\n/);
		const down = await lab.roost(run("http://127.0.0.1:9"), { env });
		assert.equal(down.code, 65);
		assert.match(down.stderr, /no Ollama answers at 127\.0\.0\.1:9; run: ollama serve\n/);
		const none = await lab.roost(run("http://127.0.0.1:9"), { env: { PATH: "/nonexistent" } });
		assert.match(none.stderr, /there is no program ollama; it can be had at ollama\.com\n/);
		assert.equal(await toldTo("ollama"), before);
	});

	it("says how the command failed", async () => {
		await writeFile(join(lab.home, "fails"), "");
		const t = new Terminal(run(ollama.url), { env });
		await t.sees("[y/N]");
		t.keys("y", "Enter");
		await t.left(69);
		assert.match(t.text(), /roost run: ollama pull qwen3:0\.6b: exit status 3/);
	});

	it("is started after a yes, and goes on when the run has ended", async () => {
		const reserved = createServer().listen(0, "127.0.0.1");
		await once(reserved, "listening");
		const { port } = reserved.address();
		reserved.close();
		await once(reserved, "close");
		const script = join(lab.home, "served.mjs");
		await writeFile(script, `import { createServer } from "node:http";
import { writeFileSync } from "node:fs";
const words = JSON.stringify({ model: "x", message: { role: "assistant", content: "Served." }, done: true, done_reason: "stop" });
const list = JSON.stringify({ models: [{ name: "qwen3:0.6b", model: "qwen3:0.6b" }] });
createServer((req, res) => { req.resume(); res.end(req.url === "/api/tags" ? list : words + "\\n"); })
	.listen(Number(process.env.OLLAMA_HOST.split(":")[1]), "127.0.0.1");
writeFileSync(process.env.HOME + "/served.pid", String(process.pid));
`);
		const own = await fakeProgram("ollama", `exec '${process.execPath}' '${script}'`);
		const t = new Terminal(run(`http://127.0.0.1:${port}`), { env: own, width: 120 });
		await t.sees(/no Ollama answers at 127\.0\.0\.1:\d+\n {2}ollama serve\nRun this command\? \[y\/N\]/);
		t.keys("y", "Enter");
		await t.left(0);
		const pid = Number(await readFile(join(lab.home, "served.pid"), "utf8"));
		try {
			assert.match(t.text(), new RegExp(`ollama serve runs as pid ${pid}; it goes on when this ends`));
			assert.match(inBubbles(t.text()), /Served\./);
			assert.ok(await isAlive(pid));
		} finally {
			process.kill(pid);
		}
	});
});
