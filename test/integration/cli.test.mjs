// The commands, as a person or a script runs them: output, --json, exit statuses, with and without a daemon.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { all, Daemon, newId, program, scratch, until } from "../lib/roost.mjs";

let home;
let daemon;

// Runs the program with a home of its own: {code, stdout, stderr}. `input` is its stdin, `env` more of its environment.
function roost(args, { input, env = {}, timeout = 20_000 } = {}) {
	return new Promise((done) => {
		const child = execFile(
			program,
			args,
			{ env: { PATH: process.env.PATH, HOME: home, ...env }, timeout, maxBuffer: 1 << 26 },
			(error, stdout, stderr) => done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }),
		);
		child.stdin.on("error", () => {});
		child.stdin.end(input ?? "");
	});
}

// The same on the daemon's directory.
const on = (command, args = [], options = {}) => roost([command, "--data", daemon.data, ...args], options);

// One message of a device and its whole answer, in a conversation of their own.
const answered = (device, tokens) =>
	device.converse({ text: "hello", conversationId: newId(), model: "local:test", params: { tokens } });

before(async () => {
	home = await scratch("home");
	daemon = await Daemon.start();
});

after(async () => {
	await daemon?.remove();
	await rm(home, { recursive: true, force: true });
});

const commands = (
	"serve pair users devices chat models keys usage budget status queue history log backup restore doctor discover version " +
	"help completion config dimensions run branch stop pause experiment cleanup monitor"
).split(" ");

describe("help", () => {
	it("lists every command, on stderr with status 64 when none is given", async () => {
		const { code, stdout } = await roost(["help"]);
		assert.equal(code, 0);
		for (const command of commands) assert.match(stdout, new RegExp(`^  ${command} +\\w`, "m"));
		const none = await roost([]);
		assert.equal(none.code, 64);
		assert.equal(none.stdout, "");
		assert.equal(none.stderr, stdout);
	});

	for (const command of commands)
		it(`${command} --help has usage, options and an example, and says the same as help ${command}`, async () => {
			const { code, stdout } = await roost([command, "--help"]);
			assert.equal(code, 0);
			assert.match(stdout, new RegExp(`^Usage: roost ${command}`));
			assert.match(stdout, /^Options:\n(.*\n)*.*--help /m);
			assert.match(stdout, /^Example:\n {2}(\S.*roost|roost|source)/m);
			assert.ok(stdout.split("\n").every((line) => [...line].length <= 120), "a line is too long");
			assert.equal((await roost(["help", command])).stdout, stdout);
		});

	it("writes manual pages that groff takes without a warning", async () => {
		const dir = await scratch("man");
		assert.equal((await roost(["help", "--man-all", dir])).code, 0);
		const pages = (await readdir(dir)).sort();
		assert.deepEqual(pages, ["roost.1", ...commands.map((c) => `roost-${c}.1`)].sort());
		for (const page of pages) {
			const text = await readFile(join(dir, page), "utf8");
			assert.match(text, /^\.TH ROOST/);
			assert.match(text, /^\.SH NAME\nroost\S* \\- \w/m);
		}
		await rm(dir, { recursive: true });
		assert.equal((await roost(["help", "--man-all", "/proc/nowhere"])).code, 74);
	});

	it("makes a completion that bash loads and that completes commands, options and subcommands", () => {
		const script = `
			source <(${program} completion)
			try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _roost; echo "\${COMPREPLY[*]}"; }
			try roost sta; try roost pair --js; try roost users di; try roost log --fol`;
		const out = execFileSync("bash", ["-c", script], { encoding: "utf8" });
		assert.equal(out, "status\n--json\ndisable\n--follow\n");
	});
});

describe("a wrong line", () => {
	for (const [args, says] of [
		[["frobnicate"], /no command "frobnicate"\nsee: roost help/],
		[["pair", "--nope"], /roost pair: no option --nope\nsee: roost pair --help/],
		[["status", "-x"], /no option -x/],
		[["pair", "--user"], /option --user needs a value/],
		[["status", "now"], /takes no argument "now"/],
		[["backup"], /expects: FILE/],
		[["users", "frob"], /expects: \[list \| add NAME/],
		[["users", "add"], /add expects one NAME/],
		[["devices", "revoke"], /revoke expects one ID/],
		[["log", "--since", "yesterday"], /--since yesterday is neither a time/],
		[["chat", "--param", "novalue", "hi"], /--param novalue is not KEY=VALUE/],
		[["chat"], /there is no message/],
		[["chat", "--url", "ftp://x", "hi"], /--url ftp:\/\/x is not https/],
		[["chat", "--url", "http://192.0.2.1:80", "hi"], /must be https:\/\/ beyond this machine/],
		[["chat", "--code", "1", "hi"], /--code belongs to --url/],
		[["completion", "tcsh"], /knows bash, zsh and fish, not tcsh/],
		[["pair", "--data", ""], /--data is empty/],
	])
		it(`roost ${args.join(" ")} ends with 64 and says why`, async () => {
			const { code, stdout, stderr } = await roost(args);
			assert.match(stderr, says);
			assert.equal(stdout, "");
			assert.equal(code, 64);
		});

	it("cannot write to the terminal through an error", async () => {
		const { stderr } = await roost(["\u001b[31mred\u0007"]);
		assert.match(stderr, /^roost: there is no command "\[31mred"\n/);
	});
});

describe("without a daemon", () => {
	for (const args of [["pair"], ["users"], ["devices"], ["status"], ["backup", "x"], ["chat", "hi"]])
		it(`roost ${args[0]} says so and ends with 69`, async () => {
			const { code, stderr } = await roost([...args, "--data", join(home, "nobody")]);
			assert.match(stderr, /no daemon answers at .*nobody; start one with: roost serve\n$/);
			assert.equal(code, 69);
		});
});

describe("version", () => {
	it("is one line, or JSON", async () => {
		const plain = await roost(["version"]);
		const json = JSON.parse((await roost(["version", "--json"])).stdout);
		assert.equal(plain.stdout, `roost ${json.version}\n`);
		assert.equal(json.protocol, 1);
		assert.ok(json.libraries.sqlite);
	});

	it("fails with 74 when its output goes nowhere", () => {
		const { status } = spawnSyncFull(["version"]);
		assert.equal(status, 74);
	});
});

function spawnSyncFull(args) {
	try {
		execFileSync("sh", ["-c", '"$0" "$@" >/dev/full', program, ...args], { stdio: "pipe" });
		return { status: 0 };
	} catch (error) {
		return error;
	}
}

describe("pair and devices", () => {
	it("make a code that pairs one device once", async () => {
		const { code, stdout } = await on("pair", ["--json"]);
		assert.equal(code, 0);
		const pairing = JSON.parse(stdout);
		assert.equal(pairing.link, `${daemon.url}/#pair=${pairing.code}`);
		assert.ok(Date.parse(pairing.expiresAt) > Date.now());
		const body = { code: pairing.code, deviceId: "phone-1", name: "phone", platform: "ios" };
		assert.equal((await daemon.http("POST", "/api/v1/pair", { body })).status, 200);
		assert.equal((await daemon.http("POST", "/api/v1/pair", { body })).status, 403);
	});

	it("print for people without escapes into a pipe", async () => {
		const { stdout } = await on("pair");
		assert.match(stdout, /^open {2}http:\/\/127\.0\.0\.1:\d+\/#pair=\S+\nor type the code {2}\S+\n/);
		assert.match(stdout, /\nIt works once, for the next \d+ min/);
		assert.ok(!stdout.includes("\u001b"));
	});

	it("list a device with its state, and revoke it", async () => {
		const phone = await daemon.device({ name: "tablet \u001b[31m" });
		const list = (await on("devices")).stdout;
		assert.match(list, /^NAME +USER +PLATFORM +STATE +LAST SEEN +ID\n/);
		assert.match(list, new RegExp(`online .*${phone.deviceId}`));
		assert.ok(!list.includes("\u001b"));
		assert.equal((await on("devices", ["revoke", phone.deviceId])).code, 0);
		await until(() => phone.closed, "the revoked device's connection to close");
		assert.equal(phone.closed.code, 4003);
		assert.match((await on("devices")).stdout, new RegExp(`revoked .*${phone.deviceId}`));
		assert.equal((await on("devices", ["revoke", "no-such-device"])).code, 66);
	});
});

describe("users", () => {
	it("are added, listed, disabled and enabled", async () => {
		const own = await Daemon.start();
		const on = (command, args = []) => roost([command, "--data", own.data, ...args]);
		assert.equal((await on("users", ["add", "alice"])).code, 0);
		const twice = await on("users", ["add", "alice"]);
		assert.equal(twice.code, 65);
		assert.match(twice.stderr, /alice/);
		const names = async () => JSON.parse((await on("users", ["--json"])).stdout).users.map((u) => [u.name, u.disabled]);
		assert.deepEqual((await names()).find(([n]) => n === "alice"), ["alice", false]);
		assert.equal((await on("users", ["disable", "alice"])).code, 0);
		assert.deepEqual((await names()).find(([n]) => n === "alice"), ["alice", true]);
		assert.match((await on("users")).stdout, /^alice +disabled +\d{4}-/m);
		assert.equal((await on("users", ["enable", "alice"])).code, 0);
		assert.equal((await on("pair", ["--user", "alice", "--json"])).code, 0);
		const nobody = await on("pair", ["--user", "bob"]);
		assert.equal(nobody.code, 66);
		assert.deepEqual(JSON.parse((await on("devices", ["--user", "alice", "--json"])).stdout).devices, []);
		const which = await on("chat", ["hi"]);
		assert.match(which.stderr, /several users; say which one/);
		assert.equal((await on("chat", ["--user", "alice", "--param", "tokens=1", "hi"])).code, 0);
		assert.equal(JSON.parse((await on("devices", ["--user", "alice", "--json"])).stdout).devices.length, 1);
		await own.remove();
	});
});


describe("status", () => {
	it("tells figures to a person and to a script", async () => {
		const json = JSON.parse((await on("status", ["--json"])).stdout);
		assert.equal(json.pid, daemon.child.pid);
		assert.deepEqual(json.listen, [daemon.url]);
		const { stdout } = await on("status");
		assert.match(stdout, new RegExp(`^pid +${json.pid}$`, "m"));
		assert.match(stdout, /^ {2}database +[\d.]+ [kM]?B$/m);
		assert.match(stdout, /^uptime +\d/m);
	});
});

describe("log", () => {
	it("reads, filters and follows the journal", async () => {
		const phone = await daemon.device();
		const first = await answered(phone, 3);
		const mine = await until(async () => {
			const lines = (await on("log", ["--request", first.ack.requestId, "--json"])).stdout.trim().split("\n");
			return lines.length > 3 && lines.map((l) => JSON.parse(l));
		}, "the request's events");
		assert.ok(mine.every((e) => e.requestId === first.ack.requestId));
		assert.ok(mine.some((e) => e.event === "request.done"));
		assert.match((await on("log")).stdout, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} {2}request\.done +requestId=/m);
		assert.equal((await on("log", ["--since", "2100-01-01T00:00:00Z"])).stdout, "");
		assert.notEqual((await on("log", ["--since", "1h"])).stdout, "");

		const follower = spawn(program, ["log", "--data", daemon.data, "--follow", "--json"]);
		let text = "";
		follower.stdout.on("data", (d) => (text += d));
		await until(() => text.includes(first.ack.requestId), "what was there before");
		const second = await answered(phone, 3);
		await until(() => text.includes(second.ack.requestId), "a followed event");
		follower.kill();
		await once(follower, "exit");
		await phone.close?.();
	});

	it("needs no daemon, and says when there is no journal", async () => {
		assert.equal((await roost(["log", "--data", join(home, "nobody")])).code, 66);
	});
});

describe("serve", () => {
	const config = async (text) => {
		const file = join(home, "roost.yaml");
		await writeFile(file, text);
		return file;
	};

	it("prints a configuration that it reads back", async () => {
		const args = ["--data", "/x", "--listen", "127.0.0.1:1", "--listen", "[::1]:2"];
		const printed = await roost(["serve", "--print-config", ...args]);
		assert.equal(printed.code, 0);
		assert.match(printed.stdout, /^listen: \["127.0.0.1:1", "\[::1\]:2"\]$/m);
		const again = await roost(["serve", "--print-config", "--config", await config(printed.stdout)]);
		assert.equal(again.stdout, printed.stdout);
	});

	for (const [text, says] of [
		["listen:\n  - 0.0.0.0:1\n", /beyond loopback/],
		["journal: maybe\n", /roost\.yaml:1: journal is "maybe"/],
		["\n\nlimits:\n  frameByte: 1\n", /roost\.yaml:4?.*did you mean limits\.frameBytes/],
	])
		it(`refuses ${JSON.stringify(text)} with 78`, async () => {
			const { code, stderr } = await roost(["serve", "--config", await config(text), "--data", join(home, "d")]);
			assert.equal(code, 78);
			assert.match(stderr, says);
		});

	it("refuses a configuration file that is not there", async () => {
		assert.equal((await roost(["serve", "--config", join(home, "none.yaml")])).code, 78);
	});

	it("refuses a second daemon on the directory and names the first", async () => {
		const { code, stderr } = await on("serve", ["--listen", "127.0.0.1:0"]);
		assert.equal(code, 73);
		assert.match(stderr, new RegExp(`\\b${daemon.child.pid}\\b`));
	});

	it("finds its data directory in the configuration, as the other commands do", async () => {
		await mkdir(join(home, ".config/roost"), { recursive: true });
		await writeFile(join(home, ".config/roost/roost.yaml"), `data: ${daemon.data}\n`);
		assert.equal((await roost(["status"])).code, 0);
		await rm(join(home, ".config"), { recursive: true });
		assert.equal((await roost(["status"])).code, 69);
	});
});

describe("backup, restore and doctor", () => {
	it("bring back what was there, and make the daemon stay away meanwhile", async () => {
		const phone = await daemon.device();
		const { reply } = await answered(phone, 5);
		const file = join(home, "backup.db");
		const made = JSON.parse((await on("backup", [file, "--json"])).stdout);
		assert.deepEqual(made, { path: file, bytes: (await stat(file)).size });
		assert.notEqual((await on("backup", [file])).code, 0, "an existing file was overwritten");
		const live = await on("doctor", ["--json"]);
		assert.equal(live.code, 0);
		assert.equal(JSON.parse(live.stdout).ok, true);
		assert.equal((await on("restore", [file])).code, 73);

		const later = await answered(phone, 5);
		await daemon.stop();
		const restored = await on("restore", [file]);
		assert.equal(restored.code, 0, restored.stderr);
		assert.match((await on("doctor")).stdout, /^ok /);
		await daemon.restart();
		const token = phone.token;
		const answer = await daemon.http("POST", "/api/v1/records/query", { token, body: { recordType: "Message" } });
		const names = answer.json.records.map((r) => r.name);
		assert.ok(names.includes(reply.name));
		assert.ok(!names.includes(later.reply.name));
	});

	it("doctor finds a flipped byte and ends with 74", async () => {
		await daemon.stop();
		const file = join(daemon.data, "roost.db");
		const bytes = await readFile(file);
		const at = bytes.lastIndexOf("assistant");
		assert.ok(at > 0);
		const spoilt = Buffer.from(bytes);
		spoilt[at] ^= 1;
		await writeFile(file, spoilt);
		const { code, stdout } = await on("doctor");
		assert.equal(code, 74);
		assert.match(stdout, /^bad /m);
		await writeFile(file, bytes);
		await chmod(file, 0o600);
		assert.equal((await on("doctor")).code, 0);
		await daemon.restart();
	});
});

describe("chat in a pipe", () => {
	const state = () => join(home, ".local/state/roost/chat");

	it("prints just the answer, and keeps the credential to itself", async () => {
		const { code, stdout, stderr } = await on("chat", ["--param", "tokens=12"], { input: "hello\n" });
		assert.equal(stderr, "");
		assert.equal(code, 0);
		assert.equal(stdout.trim().split(/\s+/).length, 12);
		assert.ok(stdout.endsWith("\n"));
		const files = await readdir(state());
		assert.ok(files.some((name) => name.endsWith("-1.db")), files.join());
		for (const name of files) assert.equal((await stat(join(state(), name))).mode & 0o777, 0o600, name);
		assert.equal((await stat(state())).mode & 0o777, 0o700);
	});

	it("stays one device over many runs, and is two when two run at once", async () => {
		await on("chat", ["--param", "tokens=1", "a"]);
		const count = async () =>
			JSON.parse((await on("devices", ["--json"])).stdout).devices.filter((d) => d.platform === "terminal").length;
		const one = await count();
		await on("chat", ["--param", "tokens=1", "b"]);
		assert.equal(await count(), one);
		const slow = () => on("chat", ["--param", "tokens=10", "--param", "tokensPerSecond=20", "at once"]);
		const both = await Promise.all([slow(), slow()]);
		assert.deepEqual(both.map((r) => r.code), [0, 0]);
		assert.equal(await count(), Math.max(one, 2));
	});

	it("goes on with a conversation", async () => {
		await on("chat", ["--param", "tokens=1", "one of a kind"]);
		await on("chat", ["--conversation", "last", "--param", "tokens=1", "and another"]);
		const [{ conversationId, title }] = JSON.parse((await on("chat", ["--list", "--json"])).stdout);
		assert.match(title, /one of a kind/);
		assert.equal((await on("chat", ["-c", conversationId, "--param", "tokens=1", "third"])).code, 0);
		assert.match((await on("chat", ["--list"])).stdout, /^ {2}1 .*one of a kind$/m);
		assert.equal((await on("chat", ["-c", "no-such", "hi"])).code, 66);
	});

	it("ends with the failure's own status", async () => {
		const unknown = await on("chat", ["--model", "nobody:nothing", "hi"]);
		assert.equal(unknown.code, 65);
		assert.match(unknown.stderr, /not sent: no provider serves/);
		const large = await on("chat", [], { input: "x".repeat(600_000) });
		assert.equal(large.code, 65);
		assert.match(large.stderr, /textBytes/);
		assert.equal((await on("chat", [], { input: Buffer.from([0x68, 0xff]) })).code, 65);
	});

	it("is stopped by Ctrl-C, with what was said so far and status 130", async () => {
		const args = ["-p", "tokens=500", "-p", "tokensPerSecond=50", "go on"];
		const child = spawn(program, ["chat", "--data", daemon.data, ...args], {
			env: { PATH: process.env.PATH, HOME: home },
			stdio: ["ignore", "pipe", "pipe"],
		});
		let text = "";
		child.stdout.on("data", (d) => (text += d));
		const running = async () => JSON.parse((await on("status", ["--json"])).stdout).requests.running === 1;
		const phone = await daemon.device();
		const asked = () => phone.all("Request").find((r) => r.fields.params?.tokens === 500);
		await phone.until(asked, "the request");
		await phone.call("session:join", { conversationId: asked().fields.conversationId });
		const said = () => phone.stream(asked().name, asked().fields.attempt).split(/\s+/).length;
		await phone.until(() => said() > 10, "some of the answer");
		child.kill("SIGINT");
		const [code] = await once(child, "exit");
		assert.equal(code, 130);
		assert.ok(text.split(/\s+/).length > 3, text);
		assert.ok(!(await running()));
	});

	it("carries one message over a daemon that is killed in the middle, and doubles nothing", async () => {
		const asked = on("chat", ["-p", "tokens=60", "-p", "tokensPerSecond=20", "survive this"]);
		const running = async () => (await daemon.operator("GET", "status")).requests.running === 1;
		await until(running, "the answer to run");
		await daemon.kill();
		await daemon.restart();
		const { code, stdout, stderr } = await asked;
		assert.equal(code, 0, stderr);
		assert.equal(stdout.trim().split(/\s+/).length, 60);
		const phone = await daemon.pair();
		const body = { recordType: "Message", limit: 200 };
		const { json } = await daemon.http("POST", "/api/v1/records/query", { token: phone.token, body });
		assert.equal(json.records.filter((r) => r.fields.text === "survive this").length, 1);
		assert.equal(json.records.filter((r) => r.fields.text === stdout.trimEnd()).length, 1);
	});

	it("leaves nothing behind that a script did not see go wrong", async () => {
		await daemon.stop();
		const { code, stderr } = await on("chat", ["not for later"]);
		assert.equal(code, 69);
		assert.match(stderr, /no daemon answers/);
		await daemon.restart();
		assert.equal((await on("chat", ["-p", "tokens=1", "the one after"])).code, 0);
		const { token } = await daemon.pair();
		const { json } = await daemon.http("POST", "/api/v1/records/query", { token, body: { recordType: "Message", limit: 200 } });
		assert.ok(json.records.some((r) => r.fields.text === "the one after"));
		assert.ok(!json.records.some((r) => r.fields.text === "not for later"));
	});

	it("gives up after a minute in which the daemon did not take its message, and leaves nothing behind", {
		skip: !all && "it takes that minute",
	}, async () => {
		const own = await Daemon.start({ config: "limits:\n  lockMs: 600000\n" });
		const phone = await own.device();
		const conversationId = newId();
		await phone.send({ text: "mine alone", conversationId });
		const { session } = await phone.call("session:join", { conversationId });
		await phone.call("session:lock", { sessionId: session.name });
		const args = ["--data", own.data, "-c", conversationId, "not for later"];
		const { code, stdout, stderr } = await roost(["chat", ...args], { timeout: 90_000 });
		assert.deepEqual([code, stdout], [69, ""]);
		assert.match(stderr, /does not take it yet: .*lock.*\n.*did not take the message for a minute; the message was not sent\n$/);
		await phone.call("session:unlock", { sessionId: session.name });
		assert.equal((await roost(["chat", "--data", own.data, "-p", "tokens=1", "the next"])).code, 0);
		assert.ok(!phone.all("Message").some((r) => r.fields.text === "not for later"));
		await own.remove();
	});

	it("gets a new credential when the old one was revoked", async () => {
		const { devices } = JSON.parse((await on("devices", ["--json"])).stdout);
		const terminals = devices.filter((d) => d.platform === "terminal");
		assert.ok(terminals.length > 0);
		for (const { deviceId } of terminals) await on("devices", ["revoke", deviceId]);
		const { code, stderr } = await on("chat", ["--param", "tokens=1", "again"]);
		assert.equal(code, 0, stderr);
	});

	it("pairs with a daemon over the network once, by a code", async () => {
		const other = { env: { XDG_STATE_HOME: join(home, "elsewhere") } };
		const without = await roost(["chat", "--url", daemon.url, "hi"], other);
		assert.equal(without.code, 77);
		assert.match(without.stderr, /--code/);
		const { code: pairing } = await daemon.code();
		const args = ["--url", daemon.url, "--param", "tokens=2", "hi"];
		assert.equal((await roost(["chat", "--code", pairing, ...args], other)).code, 0);
		assert.equal((await roost(["chat", ...args], other)).code, 0);
		const third = { env: { XDG_STATE_HOME: join(home, "third") } };
		assert.equal((await roost(["chat", "--code", "AAAA-AAAA", ...args], third)).code, 77);
	});
});
