// roost chat in a real terminal (tmux): what a person sees and does.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { startFake } from "../fake/provider.mjs";
import { Daemon, newId, program, root, scratch, sleep, until } from "../lib/roost.mjs";

const WINDOW = "limits:\n  duplicateMs: 60000\n"; // the same words from two devices: however slow this machine is

const server = `roost-test-${process.pid}`;
let home;
let daemon;
let fake;
let terminals = 0;

// An agent that asks, a provider that allows one request a minute, one that fails, and one that answers instead and has a
// model with a small window and a price.
function providers() {
	const agent = [process.execPath, join(root, "test/integration/fake_agent.mjs"), "--input-format", "stream-json", "--model", "{model}"];
	const remote = (name, more) => `  - name: ${name}
    dialect: openai
    baseUrl: ${fake.url("openai")}
    allowPrivate: true
${more}`;
	return `defaultModel: local:test
providers:
  - name: agent
    dialect: exec
    command: ${JSON.stringify(agent)}
    env: [FAKE_AGENT_LOG]
${remote("limited", "    requestsPerMinute: 1\n")}${remote("broken", "")}${remote("other", "")}`;
}

function tmux(...args) {
	return execFileSync("tmux", ["-L", server, "-f", "/dev/null", ...args], { encoding: "utf8", stdio: "pipe" });
}

class Terminal {
	// Runs `roost chat` in a terminal of its own. When it ends, "left with STATUS" stands on the screen.
	constructor(args = [], { width = 80, height = 24, term } = {}) {
		this.name = `t${terminals++}`;
		this.modes = join(home, `${this.name}.stty`);
		const quoted = ["chat", "--data", daemon.data, ...args].map((a) => `'${a}'`).join(" ");
		const script = [
			"trap : INT", // Ctrl-C is the program's
			`stty -g >${this.modes}`,
			`${term ? `TERM=${term} ` : ""}${program} ${quoted}`,
			'echo "left with $?"',
			`stty -g >>${this.modes}`,
			"exec sleep 600",
		].join("; ");
		const size = ["-x", String(width), "-y", String(height)];
		tmux("new-session", "-d", "-s", this.name, ...size, "-e", `HOME=${home}`, "sh", "-c", script);
	}

	keys(...keys) {
		tmux("send-keys", "-t", this.name, ...keys);
	}

	type(text) {
		tmux("send-keys", "-t", this.name, "-l", text);
	}

	line(text) {
		this.type(text);
		this.keys("Enter");
	}

	// The line is taken, which is to say on disk: the next can be typed.
	async took(text) {
		await this.sees(new RegExp(`> ${text}\\n(.*\\n)*> *$`));
	}

	// The first word of the answer to a line.
	async answers(text) {
		await this.sees(new RegExp(`> ${text}\\n[^>(\\s]`));
	}

	// All that is and was on the screen; lines that the terminal wrapped are joined.
	text() {
		return tmux("capture-pane", "-p", "-J", "-S", "-1000", "-t", this.name).replace(/[ \n]+$/, "");
	}

	async sees(what, ms = 8000) {
		const found = () => (what instanceof RegExp ? what.test(this.text()) : this.text().includes(what));
		await until(found, `${what} on the screen:\n${this.text()}`, ms).catch(() => {
			throw new Error(`no ${what} on the screen:\n${this.text()}`);
		});
	}

	// To the process in the terminal.
	signal(name) {
		const shell = tmux("list-panes", "-t", this.name, "-F", "#{pane_pid}").trim();
		process.kill(Number(execFileSync("pgrep", ["-P", shell], { encoding: "utf8" })), name);
	}

	async kill() {
		this.signal("SIGKILL");
		await this.sees("left with 137");
	}

	async left(status) {
		await this.sees(`left with ${status}`);
		const [begun, ended] = await until(async () => {
			const lines = (await readFile(this.modes, "utf8")).trim().split("\n");
			return lines.length === 2 && lines;
		}, "the terminal's modes");
		assert.equal(ended, begun, "the terminal was not put back");
	}
}

const slow = (tokens, rate) => ["--param", `tokens=${tokens}`, "--param", `tokensPerSecond=${rate}`];
const squeezed = (text) => text.replace(/\s+/g, "");
const isRunning = async () => (await daemon.operator("GET", "status")).requests.running > 0;

// The terminals that the daemon sees.
async function online() {
	const { devices } = await daemon.operator("GET", "devices");
	return devices.filter((d) => d.online && !d.revoked && d.platform === "terminal");
}

before(async () => {
	home = await scratch("home");
	fake = await startFake();
	const log = join(home, "agent.log");
	await writeFile(log, "");
	const data = await scratch();
	const small = { id: "other:small", window: 400, maxOutput: 100, prices: [{ from: "2026-01-01", input: 500, output: 0 }] };
	await writeFile(join(data, "models.json"), JSON.stringify({ models: [small] }));
	daemon = await Daemon.start({ data, config: WINDOW + providers(), env: { FAKE_AGENT_LOG: log } });
	tmux("new-session", "-d", "-s", "keep", "sleep", "600");
});

// Nothing of a test reaches the next: its terminals are gone, for the daemon too.
afterEach(async () => {
	const names = tmux("list-sessions", "-F", "#S").trim().split("\n");
	for (const name of names) if (name !== "keep") tmux("kill-session", "-t", name);
	if (!daemon.running) await daemon.restart();
	daemon.child.kill("SIGCONT");
	await until(async () => (await online()).length === 0, "the terminals to be gone");
});

after(async () => {
	tmux("kill-server");
	await daemon?.remove();
	await fake?.close();
	await rm(home, { recursive: true, force: true });
});

// The texts of a conversation's messages, in order.
async function messages(device, conversationId) {
	const { records } = await device.call("record:query", {
		recordType: "Message",
		filter: [{ field: "conversationId", op: "eq", value: conversationId }],
		sort: [{ field: "ord", ascending: true }],
	});
	return records.map((r) => r.fields.text);
}

// The conversation with this message, once the daemon has it. Each test says words of its own.
function conversationWith(device, text) {
	const find = () => device.all("Message").find((r) => r.fields.text === text)?.fields.conversationId;
	return device.until(find, `a conversation with ${text}`);
}

describe("a person in a terminal", () => {
	it("sees the answer stream in above the line that is being typed", async () => {
		const phone = await daemon.device();
		const t = new Terminal(["-c", "new", ...slow(1000, 40)], { width: 37 });
		await t.sees(/^>/m);
		t.line("tell me");
		await t.answers("tell me");
		t.type("half a li");
		await t.sees("> half a li");
		const before = t.text().length;
		await until(() => t.text().length > before + 40, "more of the answer above what is typed");
		t.type("ne");
		const conversationId = await conversationWith(phone, "tell me");
		const [{ requestId }] = (await phone.call("session:join", { conversationId })).running;
		await phone.call("request:stop", { requestId });
		const [, answer] = await until(async () => {
			const all = await messages(phone, conversationId);
			return all.length === 2 && all;
		}, "the committed answer");
		await t.sees(/\(stopped\)\n> half a line$/);
		assert.equal(squeezed(t.text()), squeezed(`> tell me ${answer} (stopped) > half a line`));
		t.keys("C-c"); // nothing runs: the line is dropped
		await t.sees(/\n>$/);
		t.keys("C-d");
		await t.left(0);
	});

	it("stops the answer with Ctrl-C and leaves with a second one", async () => {
		const t = new Terminal(["-c", "new", ...slow(1000, 40)]);
		await t.sees(/^>/m);
		t.line("go on for ever");
		await t.answers("go on for ever");
		t.keys("C-c");
		await t.sees("(stopped)");
		await until(async () => !(await isRunning()), "the answer to stop");
		t.keys("C-c");
		await t.left(0);
	});

	it("stops an answer of which it does not know yet", async () => {
		const t = new Terminal(["-c", "new", ...slow(1000, 40)]);
		await until(async () => (await online()).length === 1, "the terminal to be online");
		daemon.child.kill("SIGSTOP");
		t.line("never mind");
		await t.took("never mind");
		await sleep(100); // on disk it is; that it has left is not shown. If it has not, it is dropped, which is as good
		t.keys("C-c");
		daemon.child.kill("SIGCONT");
		await t.sees(/\(stopped\)|\(dropped; it was not sent\)/);
		await until(async () => !(await isRunning()), "the answer to stop");
		t.keys("C-d");
		await t.left(0);
	});

	it("takes back with Ctrl-C what was not sent yet", async () => {
		const t = new Terminal(["-c", "new", ...slow(1, 0)]);
		await t.sees(/^>/m);
		t.line("the first one");
		await t.answers("the first one");
		await daemon.kill();
		await t.sees("connecting again");
		t.line("second thoughts");
		await t.took("second thoughts");
		t.keys("C-c");
		await t.sees("(dropped; it was not sent)");
		await daemon.restart();
		await t.sees("(connected again)", 15_000);
		const phone = await daemon.device();
		t.line("the third one");
		const texts = await messages(phone, await conversationWith(phone, "the third one"));
		assert.ok(texts.includes("the first one"));
		assert.ok(!texts.includes("second thoughts"));
	});

	it("asks again with /retry", async () => {
		const t = new Terminal(["-c", "new", ...slow(1000, 40)]);
		await t.sees(/^>/m);
		t.line("once more");
		await t.answers("once more");
		t.keys("C-c");
		await t.sees("(stopped)");
		t.line("/retry");
		await t.answers("/retry");
		t.keys("C-c");
		await t.sees(/\(stopped\)\n(.*\n)*\(stopped\)/);
		await until(async () => !(await isRunning()), "the second attempt to end");
		t.keys("C-d");
		await t.left(0);
	});

	it("sees what another device says, by its name, with nothing in it that a terminal would obey", async () => {
		const phone = await daemon.device({ name: "Ann's phone" });
		const t = new Terminal(["-c", "new", ...slow(2, 0)]);
		await t.sees(/^>/m);
		t.line("hello there");
		await t.answers("hello there");
		const conversationId = await conversationWith(phone, "hello there");
		await until(async () => !(await isRunning()), "the answer to end");
		t.type("typing");
		await phone.send({ text: "up\u001b[2J\u001b]0;x\u0007\u009b31mhere 日本語\nline two", conversationId });
		await t.sees("Ann's phone> up[2J]0;x31mhere 日本語\nline two\n> typing");
		const question = { text: "and you?", conversationId, model: "local:test", params: { tokens: 6 } };
		const { reply } = await phone.converse(question);
		await t.sees(`Ann's phone> and you?\n${reply.fields.text}\n> typing`);
		phone.close?.();
	});

	it("edits with arrow keys and history", async () => {
		const phone = await daemon.device();
		const t = new Terminal(["-c", "new", ...slow(1, 0)]);
		await t.sees(/^>/m);
		t.line("a firzt");
		await t.answers("a firzt");
		t.keys("Up");
		await t.sees(/> a firzt$/);
		t.keys("Left", "BSpace", "s", "Enter");
		await conversationWith(phone, "a first");
		t.line("two \\");
		t.line("lines");
		await conversationWith(phone, "two \nlines");
	});

	it("goes between conversations", async () => {
		const phone = await daemon.device();
		const t = new Terminal(["-c", "new", ...slow(1, 0)]);
		await t.sees(/^>/m);
		t.line("first topic");
		await t.answers("first topic");
		t.line("/new");
		t.line("second topic");
		await t.answers("second topic");
		t.line("/list");
		await t.sees(/1 {2}.* second topic\n +2 {2}.* first topic/);
		t.line("/open 2");
		await t.sees(/first topic \(.*\)\n> first topic/);
		t.line("back again");
		const back = await conversationWith(phone, "back again");
		assert.equal(back, await conversationWith(phone, "first topic"));
		t.line("/open 77");
		await t.sees("/open wants a number");
		t.line("/frob");
		await t.sees("there is no /frob");
		t.line("/help");
		await t.sees("/retry");
		t.line("//slash");
		assert.equal(await conversationWith(phone, "/slash"), back);
		t.line("/quit");
		await t.left(0);
	});

	it("keeps what is said while the daemon is away, and sends it once", async () => {
		const t = new Terminal(["-c", "new", ...slow(200, 60)]);
		await t.sees(/^>/m);
		t.line("before");
		await t.answers("before");
		await daemon.kill();
		await t.sees("connecting again");
		t.line("meanwhile");
		await daemon.restart();
		await t.sees("(connected again)", 15_000);
		const phone = await daemon.device();
		const conversation = await conversationWith(phone, "before");
		const texts = await until(
			async () => {
				const all = await messages(phone, conversation);
				return all.length === 4 && all;
			},
			"both answers",
			20_000,
		);
		assert.deepEqual(texts.filter((text) => text === "meanwhile" || text === "before").sort(), ["before", "meanwhile"]);
		const [last] = texts.slice(-1);
		await t.sees(/> $|>$/);
		await until(() => squeezed(t.text()).includes(squeezed(last)), "the last answer on the screen");
		t.keys("C-d");
		await t.left(0);
	});

	it("follows a change of the window's size", async () => {
		const phone = await daemon.device({ name: "p" });
		const t = new Terminal(["-c", "new", ...slow(60, 40)], { width: 60 });
		await t.sees(/^>/m);
		t.line("wide then narrow");
		await t.answers("wide then narrow");
		t.type("typed");
		await t.sees(/> typed$/);
		tmux("resize-window", "-t", t.name, "-x", "33", "-y", "24");
		await until(async () => !(await isRunning()), "the answer to end");
		await t.sees(/> typed$/);
		const conversationId = await conversationWith(phone, "wide then narrow");
		await phone.send({ text: "x".repeat(33), conversationId });
		await t.sees(/p> x{30,}/);
		await t.sees(/> typed$/);
	});

	it("opens a conversation that it does not know yet, however long the daemon takes to tell of it", async () => {
		const phone = await daemon.device();
		const known = new Terminal(["-c", "new"]);
		await until(async () => (await online()).length === 1, "the terminal to be paired");
		known.keys("C-d");
		await known.left(0);
		const conversationId = newId();
		await phone.send({ text: "of which no terminal knows", conversationId });
		daemon.child.kill("SIGSTOP");
		const t = new Terminal(["-c", conversationId]);
		await sleep(3500); // longer than a terminal waits before it shows what it knows
		daemon.child.kill("SIGCONT");
		await t.sees("> of which no terminal knows");
		t.keys("C-d");
		await t.left(0);
	});

	it("comes back as it was after Ctrl-Z", async () => {
		const t = new Terminal();
		tmux("respawn-pane", "-k", "-t", t.name, "-e", `HOME=${home}`, "-e", "PS1=shell: ", "bash", "--norc");
		t.line(`${program} chat --data ${daemon.data} -c new -p tokens=1`);
		await t.sees(/^> *$/m);
		t.type("par");
		await t.sees(/> par$/);
		t.keys("C-z");
		await t.sees("Stopped");
		t.line("fg");
		await t.sees(/> par$/);
		t.type("tly");
		await t.sees(/> partly$/);
		t.keys("C-c");
		await t.sees(/\n>$/);
		t.keys("C-d");
		await t.sees(/shell:$/);
	});

	it("leaves with 77 when its device is revoked", async () => {
		const t = new Terminal(["-c", "new"]);
		await t.sees(/^>/m);
		const { deviceId } = await until(async () => (await online())[0], "the terminal to be online");
		await daemon.operator("POST", "devices/revoke", { deviceId });
		await t.sees("no longer paired");
		await t.left(77);
	});

	it("has no colour with NO_COLOR, and works on a dumb terminal", async () => {
		const t = new Terminal(["-c", "new", ...slow(5, 0)], { term: "dumb" });
		t.line("plain");
		await t.sees(/plain\n\S+( \S+){4}/);
		t.keys("C-d");
		await t.left(0);
	});
});

describe("a terminal in step with other devices", () => {
	// A terminal in a new conversation with one short answer, and its id.
	async function begun(phone, text, options) {
		const t = new Terminal(["-c", "new", ...slow(1, 0)], options);
		await t.sees(/^>/m);
		t.line(text);
		await t.answers(text);
		return { t, conversationId: await conversationWith(phone, text) };
	}

	it("keeps what is typed without a daemon, over the end of the program, and sends it once", async () => {
		const phone = await daemon.device();
		const { t, conversationId } = await begun(phone, "with a daemon");
		await daemon.kill();
		await t.sees("connecting again");
		t.line("before the kill");
		await t.took("before the kill");
		await t.kill();
		const second = new Terminal(slow(1, 0));
		await second.sees("no daemon answers");
		await second.sees("> before the kill\n(not sent yet)");
		second.line("after the kill");
		second.keys("C-d");
		await second.sees("2 not sent yet");
		await second.left(0);
		await daemon.restart();
		const third = new Terminal(slow(1, 0));
		const witness = await daemon.device();
		const texts = await until(
			async () => {
				const all = await messages(witness, conversationId);
				return all.length >= 6 && all;
			},
			"all messages and answers",
			15_000,
		);
		for (const text of ["with a daemon", "before the kill", "after the kill"])
			assert.equal(texts.filter((other) => other === text).length, 1, `${text} in ${texts.join()}`);
		assert.ok(texts.indexOf("before the kill") < texts.indexOf("after the kill"));
		third.keys("C-d");
		await third.left(0);
	});

	it("clears the conversation, for all of them", async () => {
		const phone = await daemon.device();
		const { t, conversationId } = await begun(phone, "to be cleared");
		const { session } = await phone.call("session:join", { conversationId });
		t.line("/clear");
		await t.sees("(cleared: the model begins anew)");
		const told = await phone.until(() => phone.frames.find((f) => f.type === "session:cleared"), "the clear");
		assert.equal(told.killedSessionId, session.name);
		await phone.call("session:clear", { conversationId });
		await t.sees("(cleared by another device: the model begins anew)");
		t.line("/new");
		t.line("/clear");
		await t.sees("has not begun yet");
	});

	it("holds back what another device has just said, and lets the person decide", async () => {
		const phone = await daemon.device({ name: "Ann's phone" });
		const { t, conversationId } = await begun(phone, "some talk");
		await phone.send({ text: "same words", conversationId });
		t.line("same words");
		await t.sees("not sent:");
		t.line("/held");
		await t.sees(/1 .*same words/);
		t.line("/send 1");
		const count = async () => (await messages(phone, conversationId)).filter((text) => text === "same words").length;
		await until(async () => (await count()) === 2, "the message that was sent all the same");
		await phone.send({ text: "others too", conversationId });
		t.line("others too");
		await t.sees(/not sent:.*\n(.*\n)*.*not sent:/);
		t.line("/drop");
		await t.sees("(dropped; it was not sent)");
		t.line("/held");
		await t.sees("nothing is held back");
	});

	it("holds back what was meant for a session that is over, and sends it to the next", async () => {
		const phone = await daemon.device();
		const { t, conversationId } = await begun(phone, "the old session");
		await daemon.kill();
		await t.sees("connecting again");
		t.line("meant for the old one");
		await t.took("meant for the old one");
		await t.kill();
		await daemon.restart();
		const other = await daemon.device();
		const { sessionId } = await other.call("session:clear", { conversationId });
		const again = new Terminal(slow(1, 0));
		await again.sees("not sent:", 15_000);
		again.line("/held");
		await again.sees(/1 .*meant for the old one/);
		again.line("/send");
		const found = await until(async () => {
			const { records } = await other.call("record:query", { recordType: "Message" });
			return records.find((r) => r.fields.text === "meant for the old one");
		}, "the message");
		assert.equal(found.fields.sessionId, sessionId);
	});

	it("tells who drives when that changes, and drives when asked to", async () => {
		const phone = await daemon.device({ name: "Ann's phone" });
		const { t, conversationId } = await begun(phone, "who drives");
		const { session } = await phone.call("session:join", { conversationId });
		t.line("/drive");
		await t.sees("this terminal drives");
		await phone.call("device:primary", { sessionId: session.name, action: "request", take: true });
		await t.sees("(Ann's phone drives)");
		t.line("/drive");
		await t.sees("(this terminal drives)");
		t.keys("C-d");
		await t.left(0);
	});

	it("shows a text that was changed and says that one was deleted", async () => {
		const phone = await daemon.device({ name: "Ann's phone" });
		const { t, conversationId } = await begun(phone, "a talk");
		const { messageId } = await phone.send({ text: "frist", conversationId });
		await t.sees("Ann's phone> frist");
		await phone.call("message:edit", { messageId, text: "first" });
		await t.sees("(changed:)\nAnn's phone> first");
		await phone.call("message:delete", { messageId });
		await t.sees("(a message was deleted)");
	});

	it("shows whole, and once, what was asked and answered while it was away", async () => {
		const { t, conversationId } = await begun(await daemon.device(), "before going away");
		t.signal("SIGSTOP");
		await daemon.kill();
		await daemon.restart();
		const phone = await daemon.device({ name: "Ann's phone" });
		const question = { text: "and meanwhile?", conversationId, model: "local:test", params: { tokens: 6 } };
		const { reply } = await phone.converse(question);
		t.signal("SIGCONT");
		await t.sees(`Ann's phone> and meanwhile?\n${reply.fields.text}`, 15_000);
		await phone.send({ text: "is that all?", conversationId });
		await t.sees("Ann's phone> is that all?");
		assert.equal(t.text().split(reply.fields.text).length, 2, "the answer is shown twice");
	});

	it("leaves nothing behind when it is killed, whichever terminal comes next", async () => {
		const first = new Terminal(["-c", "new", ...slow(1, 0)]);
		await first.sees(/^>/m);
		const second = new Terminal(["-c", "new", ...slow(1, 0)]);
		await second.sees(/^>/m);
		await until(async () => (await online()).length === 2, "both to be online");
		await daemon.kill();
		await second.sees("connecting again");
		second.line("from the one that was killed");
		await second.took("from the one that was killed");
		await second.kill();
		first.keys("C-d");
		await first.left(0);
		await daemon.restart();
		const phone = await daemon.device();
		const third = new Terminal(["-c", "new"]);
		const has = async () => {
			const { records } = await phone.call("record:query", { recordType: "Message" });
			return records.some((r) => r.fields.text === "from the one that was killed");
		};
		await until(has, "the message");
		third.keys("C-d");
		await third.left(0);
	});

	it("is a device of its own beside another terminal, and shows what that one says", async () => {
		const phone = await daemon.device();
		const { t, conversationId } = await begun(phone, "one of two");
		const other = new Terminal(["-c", conversationId, ...slow(1, 0)]);
		await other.sees("> one of two");
		other.line("from the other");
		await t.sees(/terminal( \d+)?> from the other\n\S+/);
		await other.kill();
		t.line("/quit");
		await t.left(0);
	});
});

describe("a question of an agent", () => {
	const INPUT = '{\n  "path": "a.txt",\n  "content": "hi\\u0007"\n}';
	const open = (device, conversationId) =>
		device.until(
			() => device.all("Permission").find((p) => p.fields.conversationId === conversationId && p.fields.state === "open"),
			"a question",
		);
	const answer = (device, { name }, allow) => device.call("permission:answer", { permissionId: name, allow });
	const count = (text, what) => text.split(what).length - 1;

	it("is shown with all that it would do, and y allows it", async () => {
		const t = new Terminal(["-c", "new", "-m", "agent:ask"]);
		await t.sees(/^>/m);
		t.line("write a file");
		await t.sees(`agent:ask asks whether it may use Write:\n${INPUT}\nmay it? y or n`);
		await t.sees(/it is refused at \d\d:\d\d:\d\d\n\[y\/n\] >$/);
		t.line("y");
		await t.sees(/\(Write: allowed here\)\nallow \{"path":"a.txt".*\n(.*\n)*>$/);
		assert.equal(count(t.text(), "asks whether"), 1);
		t.keys("C-d");
		await t.left(0);
	});

	it("is refused with n, and with /refuse, which tells the agent why", async () => {
		const t = new Terminal(["-c", "new", "-m", "agent:ask"]);
		await t.sees(/^>/m);
		t.line("/refuse");
		await t.sees("no question is open");
		t.line("first");
		await t.sees("may it?");
		t.line("n");
		await t.sees("(Write: refused here)");
		await t.sees(/\ndeny .*\n(.*\n)*>$/);
		t.line("second");
		await t.sees(/\[y\/n\] >$/);
		t.line("/refuse not on a Friday");
		await t.sees('deny "not on a Friday"');
	});

	it("is answered on another device, and a line that was begun for it is for nothing else", async () => {
		const phone = await daemon.device({ name: "Ann's phone" });
		const t = new Terminal(["-c", "new", "-m", "agent:ask_twice"]);
		await t.sees(/^>/m);
		t.line("both of them");
		const conversationId = await conversationWith(phone, "both of them");
		await t.sees("(another question waits behind this one)");
		assert.equal(count(t.text(), "may it?"), 1, "one at a time");
		const shown = Number(/"n": (\d)/.exec(t.text())[1]);
		t.type("y");
		await t.sees(/\[y\/n\] > y$/);
		const first = (p) => p.fields.conversationId === conversationId && p.fields.input.n === shown;
		await answer(phone, await phone.until(() => phone.all("Permission").find(first), "the question on the phone"), false);
		await t.sees("(Write: refused by Ann's phone)");
		await t.sees(new RegExp(`"n": ${3 - shown}\\n\\}\\nmay it\\?`));
		t.keys("Enter");
		await t.sees("that question is over; nothing was answered");
		assert.ok(await open(phone, conversationId), "the other is open still");
		t.line("y");
		await t.sees("(Write: allowed here)");
		await t.sees(shown === 1 ? "deny allow" : "allow deny");
		assert.deepEqual((await messages(phone, conversationId)).length, 2, "no y became a message");
	});

	it("is there for who opens the conversation, told to who has another open, and over when it is stopped", async () => {
		const phone = await daemon.device({ name: "Ann's phone" });
		const conversationId = newId();
		const t = new Terminal(["-c", "new", ...slow(1, 0)]);
		await t.sees(/^>/m);
		const { requestId } = await phone.send({ text: "asked elsewhere", conversationId, model: "agent:ask" });
		await t.sees("(an agent asks something in: asked elsewhere; /list and /open take you there)");
		t.line("y");
		await conversationWith(phone, "y"); // of the conversation that is open nothing was asked
		t.line(`/open ${conversationId}`);
		await t.sees(`${INPUT}\nmay it?`);
		await phone.call("request:stop", { requestId });
		await t.sees("(Write: nobody answered)");
		await t.sees(/\n>$/);
	});

	it("is left alone by what was typed before it came", async () => {
		const phone = await daemon.device();
		const t = new Terminal(["-c", "new", ...slow(1, 0)]);
		await t.sees(/^>/m);
		t.line("before the question");
		const conversationId = await conversationWith(phone, "before the question");
		t.type("y");
		await t.sees(/> y$/);
		await phone.send({ text: "go", conversationId, model: "agent:ask" });
		await t.sees(/\[y\/n\] > y$/);
		t.keys("Enter");
		await conversationWith(phone, "y");
		assert.ok(await open(phone, conversationId));
		t.keys("C-c"); // the request is stopped
		await t.sees("(Write: nobody answered)");
	});

	it("is told to a script on stderr, where nobody can answer it, and the answer alone is on stdout", async () => {
		const phone = await daemon.device({ name: "Ann's phone" });
		const said = daemon.cli("chat", "--model", "agent:ask", "from a script");
		await answer(phone, await open(phone, await conversationWith(phone, "from a script")), true);
		const { code, stdout, stderr } = await said;
		assert.equal(code, 0);
		assert.equal(stdout, 'allow {"path":"a.txt","content":"hi\\u0007"}\n');
		assert.match(stderr, /agent:ask asks whether it may use Write:\n\{"path":"a.txt","content":"hi\\u0007"\}\n/);
		assert.match(stderr, /another device can answer that; it is refused at \d\d:\d\d:\d\d\n/);
		assert.match(stderr, /\(Write: allowed by Ann's phone\)/);
	});
});

describe("why there is no answer yet", () => {
	const PACED = /\(waiting: limited takes no more requests this minute; next try in \d+ s\)/;

	it("a limit a minute is told once, to a person and on stderr", async () => {
		const t = new Terminal(["-c", "new", "-m", "limited:fake?tokens=2"]);
		await t.sees(/^>/m);
		t.line("the first");
		await t.answers("the first");
		t.line("the second");
		await t.sees(PACED);
		t.keys("C-c");
		await t.sees("(stopped)");
		assert.equal(t.text().split("waiting: limited").length, 2);
		const piped = new Terminal(["-m", "limited:fake?tokens=2", "of", "a", "script"]);
		await piped.sees(PACED);
		piped.keys("C-c");
		await piped.left(130);
	});

	it("another try is told with its number; another model with whom it stands in for; then who answered", async () => {
		const phone = await daemon.device();
		const conversationId = newId();
		const t = new Terminal(["-c", "new", ...slow(1, 0)]);
		await t.sees(/^>/m);
		await phone.send({ text: "to be opened", conversationId });
		await until(() => /> $|>$/.test(t.text()), "the line");
		t.line(`/open ${conversationId}`);
		await t.sees("> to be opened");
		const [model, other] = ["broken:fake?error=server&id=1", "other:fake?tokens=3&id=2"];
		await phone.send({ text: "well?", conversationId, request: { model, fallback: [other] } });
		await t.sees(/; trying again in \d+\.\d s, attempt 2\)/, 20_000);
		await t.sees(/other:fake\S* instead of broken:fake/, 60_000);
		await t.sees(/\(other:fake\S* answered instead of broken:fake/);
	});

	it("what the model was not given is told with the answer, to a person also what it cost", async () => {
		const phone = await daemon.device();
		const conversationId = newId();
		for (const word of ["coo ", "peck "]) await phone.send({ text: word.repeat(400), conversationId });
		const { code, stdout, stderr } = await daemon.cli("chat", "-c", conversationId, "-m", "other:small", "what was that?");
		assert.deepEqual([code, stderr], [0, "roost chat: (2 older messages did not fit)\n"]);
		const t = new Terminal(["-c", conversationId, "-m", "other:small"]);
		await t.sees(stdout.trim());
		t.line("and now?");
		await t.sees(/\((\d older messages did not fit; )?about \$0\.0035\)/);
	});

	it("a script is told of another try", async () => {
		const params = ["error=cut", "failAfter=2", "failTimes=1", "tokens=4"].flatMap((param) => ["-p", param]);
		const { code, stderr } = await daemon.cli("chat", "-m", "local:test", ...params, "once more");
		assert.equal(code, 0);
		assert.match(stderr, /params\.error "cut"\); trying again in \d+\.\d s, attempt 2\)/);
	});
});

describe("one message on a terminal", () => {
	it("streams its answer to the screen and ends", async () => {
		const t = new Terminal([...slow(30, 60), "in", "one", "go"]);
		await t.sees(/\S+ \S+/);
		await t.left(0);
		assert.equal(t.text().split("left with")[0].trim().split(/\s+/).length, 30);
	});
});
