// Where the daemon has its keys, whom it tells them, and what becomes of them: against providers on this machine that write
// down everything they are sent.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTls } from "node:https";
import { createServer as createNet } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Daemon, newId, program, scratch, until } from "../lib/roost.mjs";

const KEY = "sk-secret-0123456789-abcdefghij-wxyz";
const run = promisify(execFile);

// A provider whose listing wants a key: 200 for `takes`, else 401; everything it was sent stands in `seen`.
async function provider(takes) {
	const seen = [];
	const server = createServer((req, res) => {
		seen.push({ url: req.url, headers: req.headers });
		const given = req.headers.authorization?.replace("Bearer ", "");
		if (server.sendTo) res.writeHead(307, { Location: server.sendTo + req.url }).end();
		else if (takes !== undefined && given !== takes)
			res.writeHead(401, { "Content-Type": "application/json" })
				.end(JSON.stringify({ error: { message: `no such key: ${given}`, code: "invalid_api_key" } }));
		else
			res.writeHead(200, {
				"Content-Type": "application/json",
				"x-ratelimit-limit-requests": "500",
				"x-ratelimit-remaining-requests": "499",
			}).end(JSON.stringify({ object: "list", data: [{ id: "m", object: "model" }] }));
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const close = () => new Promise((done) => (server.closeAllConnections(), server.close(done)));
	return { seen, server, origin: `http://127.0.0.1:${server.address().port}`, close };
}

// The program, with its standard input and environment given: {code, stdout, stderr}.
async function roost(args, { input = "", env = {} } = {}) {
	const child = spawn(program, args, { env: { PATH: process.env.PATH, HOME: "/nonexistent", ...env } });
	const told = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"]) child[name].on("data", (text) => (told[name] += text));
	child.stdin.on("error", () => {}); // it may not want to read
	child.stdin.end(input);
	const [code] = await once(child, "close");
	return { code, ...told };
}

const configured = (origin, more = "") =>
	`providers:\n  - name: mine\n    dialect: openai\n    baseUrl: ${origin}/v1\n    allowPrivate: true\n${more}`;

async function everyFileBelow(dir) {
	const texts = [];
	for (const entry of await readdir(dir, { recursive: true, withFileTypes: true }))
		if (entry.isFile()) texts.push([entry.name, await readFile(join(entry.parentPath ?? entry.path, entry.name), "latin1")]);
	return texts;
}

describe("a key in the environment", () => {
	let fake, daemon;
	before(async () => {
		fake = await provider(KEY);
		daemon = await Daemon.start({ config: configured(fake.origin, "    keyEnv: MY_KEY\n"), env: { MY_KEY: KEY, OPENAI_API_KEY: KEY } });
	});
	after(async () => {
		await daemon.remove();
		await fake.close();
	});

	test("is used, and gone from the process's environment once the daemon runs", async () => {
		await until(() => fake.seen.length > 0, "the listing");
		assert.equal(fake.seen[0].headers.authorization, `Bearer ${KEY}`);
		const environ = await readFile(`/proc/${daemon.child.pid}/environ`, "latin1");
		assert.match(environ, /MY_KEY=/);
		assert.ok(!environ.includes("sk-"), "the key is still there");
	});

	test("is in no log, no journal, no file, no argument and no answer", async () => {
		const { stdout } = await daemon.cli("keys", "check", "--json");
		assert.ok(!stdout.includes(KEY) && !daemon.errors.includes(KEY));
		assert.ok(!(await readFile(`/proc/${daemon.child.pid}/cmdline`, "latin1")).includes(KEY));
		for (const [name, text] of await everyFileBelow(daemon.data)) assert.ok(!text.includes(KEY), name);
		const [limits] = (await readFile(`/proc/${daemon.child.pid}/limits`, "latin1")).match(/Max core file size.*/);
		assert.match(limits, /size +0 +0 /);
	});

	test("is told by its place and its last characters, with what the provider says of it", async () => {
		const { code, stdout } = await daemon.cli("keys", "check", "--json");
		const { keys } = JSON.parse(stdout);
		assert.equal(code, 0);
		assert.equal(keys.length, 1);
		assert.deepEqual([keys[0].provider, keys[0].from, keys[0].state, keys[0].ends], ["mine", "environment", "valid", "…wxyz"]);
		assert.match(keys[0].where, /environment variable MY_KEY/);
		assert.deepEqual(keys[0].limits, [{ of: "requests", limit: 500, remaining: 499 }]);
	});
});

describe("a check that is under way", () => {
	test("does not keep the daemon from ending", async () => {
		const silent = createServer(() => silent.emit("asked"));
		silent.listen(0, "127.0.0.1");
		await once(silent, "listening");
		const daemon = await Daemon.start({ config: configured(`http://127.0.0.1:${silent.address().port}`, "    models: [m]\n") });
		const asked = once(silent, "asked");
		const answer = daemon.operator("GET", "keys").catch(() => "ended");
		await asked;
		assert.equal(await daemon.stop(), 0, daemon.errors);
		await answer;
		silent.closeAllConnections();
		silent.close();
		await daemon.remove();
	});
});

describe("a stored key", () => {
	let fake, other, data, file;
	before(async () => {
		fake = await provider(KEY);
		other = await provider(KEY);
		data = await scratch();
		file = `${data}.yaml`;
		await writeFile(file, configured(fake.origin));
	});
	after(async () => {
		await rm(data, { recursive: true, force: true });
		await rm(file, { force: true });
		await fake.close();
		await other.close();
	});
	const keys = (...args) => roost(["keys", "--data", data, "--config", file, ...args], { input: `${KEY}\n` });

	test("is read from standard input into a file nobody else can read", async () => {
		const { code, stdout, stderr } = await keys("set", "mine");
		assert.equal(code, 0, stderr);
		assert.ok(!stdout.includes(KEY) && stdout.includes(fake.origin));
		assert.equal((await stat(join(data, "keys/mine"))).mode & 0o7777, 0o600);
		assert.match((await keys()).stdout, new RegExp(`mine +${fake.origin}`));
	});

	test("is checked without a daemon too", async () => {
		const { code, stdout } = await keys("check");
		assert.equal(code, 0);
		assert.match(stdout, /mine +valid +…wxyz .*keys\/mine +499 of 500 requests/);
	});

	test("is not sent to another origin when the address changes, until it is set again", async () => {
		await writeFile(file, configured(other.origin));
		const { code, stdout } = await keys("check");
		assert.equal(code, 77);
		assert.match(stdout, /mine +missing .*run: roost keys set mine/);
		assert.ok(other.seen.length > 0);
		for (const { headers } of other.seen) assert.equal(headers.authorization, undefined);
		assert.equal((await keys("set", "mine")).code, 0);
		assert.equal((await keys("check")).code, 0);
		assert.equal(other.seen.at(-1).headers.authorization, `Bearer ${KEY}`);
	});

	test("is gone when it is removed", async () => {
		assert.equal((await keys("remove", "mine")).code, 0);
		assert.equal((await keys("remove", "mine")).code, 66);
		assert.equal((await keys("check")).code, 77);
	});

	test("for nobody that is known needs an address", async () => {
		const { code, stderr } = await keys("set", "nobody");
		assert.equal(code, 64);
		assert.match(stderr, /--for URL/);
		assert.equal((await keys("set", "nobody", "--for", "https://h.example/v1")).code, 0);
		assert.match((await keys()).stdout, /nobody +https:\/\/h\.example\n?/);
	});

	test("with spaces or nothing in it is refused", async () => {
		for (const input of ["", "\n", "two words\n", "a\nb\n"]) {
			const { code, stderr } = await roost(["keys", "set", "openai", "--data", data], { input });
			assert.equal(code, 64);
			assert.match(stderr, /one line/);
		}
	});
});

describe("a key that the provider refuses", () => {
	test("is an error that says where the key came from and not what it is", async () => {
		const fake = await provider("another");
		const daemon = await Daemon.start({
			config: configured(fake.origin, "    keyEnv: MY_KEY\n    models: [m]\n"),
			env: { MY_KEY: KEY },
		});
		const device = await daemon.device();
		const { request } = await device.converse({ text: "well?", conversationId: newId(), model: "mine:m" });
		assert.equal(request.fields.state, "failed");
		assert.match(request.fields.error.message, /401.*the key came from the environment variable MY_KEY/);
		assert.ok(!JSON.stringify(request).includes(KEY));
		const { code, stdout } = await daemon.cli("keys", "check");
		assert.equal(code, 77);
		assert.ok(!stdout.includes(KEY));
		await daemon.remove();
		await fake.close();
	});

	test("and that is not there is an error that says what to do", async () => {
		const fake = await provider(KEY);
		const daemon = await Daemon.start({ config: configured(fake.origin, "    models: [m]\n") });
		const device = await daemon.device();
		const { request } = await device.converse({ text: "well?", conversationId: newId(), model: "mine:m" });
		assert.match(request.fields.error.message, /there is no key for it: run: roost keys set mine/);
		await daemon.remove();
		await fake.close();
	});
});

describe("a key file that others can read", () => {
	test("stops the start, with what to do", async () => {
		const data = await scratch();
		await mkdir(join(data, "keys"), { mode: 0o700 });
		await writeFile(join(data, "keys/openai"), `${KEY}\nhttps://api.openai.com\n`, { mode: 0o644 });
		const { code, stderr } = await roost(["serve", "--data", data, "--listen", "127.0.0.1:0"]);
		assert.equal(code, 78);
		assert.match(stderr, /chmod 600/);
		assert.ok(!stderr.includes(KEY));
		await rm(data, { recursive: true, force: true });
	});
});

describe("a provider given by its address alone", () => {
	test("answers without any configuration, and the log says what it was taken for", async () => {
		const fake = await provider();
		const daemon = await Daemon.start({ args: ["--provider", `home=${fake.origin}/v1`] });
		assert.match(daemon.errors, /home: by its address it is taken for the kind "compatible"/);
		const { models } = await until(async () => {
			const list = await daemon.operator("GET", "models");
			return list.models.some((m) => m.id === "home:m" && m.default) && list;
		}, "its models");
		assert.ok(models.length > 0);
		await daemon.remove();
		await fake.close();
	});
});

describe("the way to a provider", () => {
	let dir, tls, proxy, asked, tlsSeen;
	before(async () => {
		dir = await scratch();
		await mkdir(join(dir, "d"));
		const pem = join(dir, "cert.pem"), key = join(dir, "key.pem");
		await run("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
			"-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:upstream.invalid,IP:127.0.0.1", "-keyout", key, "-out", pem]);
		tlsSeen = [];
		tls = createTls({ cert: await readFile(pem), key: await readFile(key) }, (req, res) => {
			tlsSeen.push(req.headers);
			res.end("{}");
		});
		tls.listen(0, "127.0.0.1");
		await once(tls, "listening");
		// A proxy that writes down what it is asked, and leads everything to the server above.
		asked = [];
		proxy = createNet((peer) => {
			peer.on("error", () => {});
			peer.once("data", async (head) => {
				asked.push(head.toString("latin1"));
				peer.write("HTTP/1.1 200 OK\r\nX-Proxy: yes\r\n\r\n");
				const { connect } = await import("node:net");
				const up = connect(tls.address().port, "127.0.0.1");
				up.on("error", () => peer.destroy());
				peer.pipe(up).pipe(peer);
			});
		});
		proxy.listen(0, "127.0.0.1");
		await once(proxy, "listening");
	});
	after(async () => {
		tls.closeAllConnections();
		tls.close();
		proxy.close();
		await rm(dir, { recursive: true, force: true });
	});

	async function check(yaml, env = {}) {
		const file = join(dir, "c.yaml");
		await writeFile(file, yaml);
		const { stdout, stderr } = await roost(["keys", "check", "--json", "--data", join(dir, "d"), "--config", file],
			{ env: { MY_KEY: KEY, ...env } });
		assert.ok(stdout, stderr);
		return JSON.parse(stdout).keys[0];
	}
	const at = (url, more = "") =>
		`providers:\n  - name: a\n    dialect: openai\n    baseUrl: ${url}\n    keyEnv: MY_KEY\n    allowPrivate: true\n${more}`;

	test("is not taken when the certificate is nobody's", async () => {
		const { state, error } = await check(at(`https://127.0.0.1:${tls.address().port}/v1`));
		assert.equal(state, "unreachable");
		assert.match(error, /certificate is not trusted/);
		assert.deepEqual(tlsSeen, []);
	});

	test("is not through a proxy that only the environment names", async () => {
		const fake = await provider(KEY);
		const url = `http://127.0.0.1:${proxy.address().port}`;
		const env = Object.fromEntries(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].map((n) => [n, url]));
		const { state } = await check(at(`${fake.origin}/v1`), env);
		assert.equal(state, "valid");
		await check(at(`https://127.0.0.1:${tls.address().port}/v1`), env);
		assert.deepEqual(asked, []);
		await fake.close();
	});

	test("is through a proxy that is configured, which sees neither key nor text, whatever NO_PROXY says", async () => {
		const more = `    proxy: http://127.0.0.1:${proxy.address().port}\n`;
		const { state, error } = await check(at("https://upstream.invalid/v1", more), { NO_PROXY: "*", no_proxy: "*" });
		assert.equal(state, "unreachable");
		assert.match(error, /certificate is not trusted/); // the other end's, through the proxy
		assert.equal(asked.length, 1);
		assert.match(asked[0], /^CONNECT upstream\.invalid:443 /);
		assert.ok(!asked[0].includes(KEY));
		assert.deepEqual(tlsSeen, []);
	});

	test("is not through a proxy for plain http, and a proxy is an address", async () => {
		for (const [url, line] of [
			["http://127.0.0.1:9/v1", "http://127.0.0.1:9"],
			["https://h.example", "ftp://h"],
			["https://h.example", "http://u:p@h"],
		]) {
			const file = join(dir, "c.yaml");
			await writeFile(file, at(url, `    proxy: ${line}\n`));
			const { code, stderr } = await roost(["keys", "check", "--data", join(dir, "d"), "--config", file]);
			assert.equal(code, 78);
			assert.match(stderr, /proxy/);
		}
	});

	for (const dialect of ["openai", "openai-responses", "anthropic", "gemini", "ollama"])
		test(`of ${dialect} does not lead elsewhere: a redirect gets no key`, async () => {
			const thief = await provider(), fake = await provider(KEY);
			fake.server.sendTo = thief.origin;
			const { state } = await check(at(fake.origin).replace("dialect: openai", `dialect: ${dialect}`));
			assert.equal(state, "failed");
			assert.equal(fake.seen.length, 1);
			assert.ok(JSON.stringify(fake.seen).includes(KEY));
			assert.deepEqual(thief.seen, []);
			await thief.close();
			await fake.close();
		});

	test("is refused at the addresses of metadata services, in every spelling", async () => {
		const four = ["169.254.169.254", "2852039166", "0xa9fea9fe"];
		for (const host of [...four, "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "[fe80::1]"]) {
			const { state, error } = await check(at(`http://${host}/v1`));
			assert.equal(state, "unreachable", host);
			assert.match(error, /never connected to/, host);
		}
	});

	test("is refused at loopback without allowPrivate, by name and by address", async () => {
		for (const host of ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1"]) {
			const { error } = await check(at(`https://${host}:${tls.address().port}/v1`).replace("allowPrivate: true", "allowPrivate: false"));
			assert.match(error, /allowPrivate/, host);
		}
		assert.deepEqual(tlsSeen, []);
	});
});
