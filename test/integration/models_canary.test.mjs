// Keys, each with a name that is seen wherever it turns up: after a run with every kind of error they are in the places
// they came from and on the wire to their own origin, and nowhere else.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { atOnce, names, newId, startHouse } from "../fake/house.mjs";
import { startFake } from "../fake/provider.mjs";
import { program, scratch } from "../lib/roost.mjs";

const keys = Object.fromEntries(names.map((name) => [name, `canary-${name}-${randomBytes(12).toString("hex")}`]));
const canaries = Object.entries(keys);
// What finds them: as they are, and as whoever encodes things would write them.
const found = (bytes) => canaries.filter(([, key]) => [key, Buffer.from(key).toString("base64").slice(0, -3), encodeURIComponent(key),
	Buffer.from(key).toString("hex")].some((form) => bytes.includes(form))).map(([name]) => name);

let house, elsewhere, device, data, output = "";
const frames = [];

async function storeKey(name, key, url) {
	const child = spawn(program, ["keys", "set", name, "--data", data, "--for", url], { stdio: ["pipe", "ignore", "inherit"] });
	child.stdin.end(`${key}\n`);
	assert.deepEqual((await once(child, "exit"))[0], 0);
}

// Each key from another of the places that a key may come from.
async function hide(fake, name, dir) {
	const file = join(dir, `${name}.key`);
	if (name === "anthropic") {
		await rm(file);
		return { keyEnv: "CANARY_KEY" };
	}
	if (name === "gemini") {
		await storeKey(name, keys[name], fake.url(name));
		await rm(file);
		return {};
	}
	if (name === "ollama") {
		await mkdir(`${data}.credentials`, { mode: 0o700 });
		await rename(file, join(`${data}.credentials`, "ollama.key"));
		return {};
	}
	return { keyFile: file };
}

const scripts = (key, name) => [
	{},
	{ tokens: 50, bytes: 1 },
	...["auth", "rate", "server", "model", "invalid", "quota"].map((error) => ({ error, message: `your key ${key} is no good` })),
	{ error: "auth", status: 401, message: `Incorrect API key provided: ${key}. Bearer ${key}` },
	{ fault: "error", message: key },
	...["cut", "half", "notJson", "page", "badChunk", "redirect", "hugeHead"].map((fault) => ({ fault,
		at: ["page", "redirect", "hugeHead"].includes(fault) ? "head" : "middle", location: `http://127.0.0.1:${elsewhere.port}/${name}` })),
	{ error: "server", headers: { "x-request-id": key, "retry-after": key } },
];

before(async () => {
	data = await scratch("canary");
	elsewhere = await startFake();
	house = await startHouse({
		keys, hide, data, more: "logLevel: debug\n",
		limits: { attempts: 2, retryHorizonMs: 200, firstTokenMs: 2000 },
		env: { CANARY_KEY: keys.anthropic, CREDENTIALS_DIRECTORY: `${data}.credentials` },
	});
	house.daemon.child.stderr.on("data", (text) => (output += text));
	house.daemon.child.stdout.on("data", (text) => (output += text));
	device = await house.daemon.device();
	device.tap = (frame) => frames.push(JSON.stringify(frame));
	for (const [name, key] of canaries)
		await atOnce(scripts(key, name), 8, (script) =>
			device.converse({ text: "well?", conversationId: newId(), model: `${name}:${house.fake.keep(script)}` }, 30_000));
});
after(async () => {
	await house?.close();
	await elsewhere?.close();
	await rm(`${data}.credentials`, { recursive: true, force: true });
});

test("each key reached its own origin, in its own header", () => {
	for (const [name, key] of canaries) {
		const calls = house.fake.calls.filter(({ dialect }) => dialect === name);
		assert.ok(calls.length > 15);
		for (const { headers } of calls) assert.ok(Object.values(headers).some((value) => value.endsWith(key)), name);
	}
});

test("and no other: no other provider, no address that a redirect named, no URL, no body", () => {
	for (const { dialect, headers, raw, url } of house.fake.calls) {
		assert.deepEqual(found(JSON.stringify(headers)), [dialect]);
		assert.deepEqual(found(raw), []);
		assert.deepEqual(found(url.href), []);
	}
	assert.equal(elsewhere.connections.length, 0);
});

test("no key is in what devices were sent", async () => {
	assert.ok(frames.length > 300, `${frames.length} frames`);
	assert.deepEqual(found(frames.join("\n")), []);
	for (const path of ["/api/v1/models", "/metrics", "/healthz"]) {
		const { text } = await house.daemon.http("GET", path, { token: device.token });
		assert.deepEqual(found(text), [], path);
	}
	for (const { fields } of device.all("Request"))
		if (fields.error?.message.includes("your key")) return; // and yet the provider's words are there
	assert.fail("no error says what the provider said");
});

test("nor in what the program says: output, status, models, keys, its configuration", async () => {
	assert.deepEqual(found(output + house.daemon.errors), []);
	const says = [["status", "--json"], ["models", "--json"], ["models", "--live"], ["keys", "list", "--json"], ["keys", "check", "--json"],
		["log"], ["queue"], ["doctor"]];
	for (const args of says) {
		const { stdout, stderr } = await house.daemon.cli(...args);
		assert.deepEqual(found(stdout + stderr), [], args.join(" "));
	}
});

async function filesOf(dir) {
	const all = await readdir(dir, { withFileTypes: true, recursive: true });
	return all.filter((file) => file.isFile()).map((file) => join(file.parentPath ?? file.path, file.name));
}

test("nor in any file of the data directory but the one it was stored in", async () => {
	const files = await filesOf(data);
	assert.ok(files.some((file) => file.endsWith("roost.db")) && files.some((file) => file.includes("journal/")));
	const where = {};
	for (const file of files) for (const name of found(await readFile(file))) (where[name] ??= []).push(file.slice(data.length));
	assert.deepEqual(where, { gemini: ["/keys/gemini"] });
});

test("nor in the arguments and the environment of the daemon and its children; it leaves no core", async () => {
	const { pid } = house.daemon.child;
	const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "")).split(" ").filter(Boolean);
	for (const id of [pid, ...children]) {
		assert.deepEqual(found(await readFile(`/proc/${id}/cmdline`)), []);
		// A process that is not to be dumped hides its environment from everybody but root.
		const environ = await readFile(`/proc/${id}/environ`).catch((error) => (error.code === "EACCES" ? "" : Promise.reject(error)));
		assert.deepEqual(found(environ), []);
	}
	assert.match(await readFile(`/proc/${pid}/limits`, "utf8"), /Max core file size +0 +0 /);
});

test("what looks for them finds one where it is", async () => {
	assert.deepEqual(found(await readFile(join(house.dir, "openai.key"))), ["openai"]);
	assert.deepEqual(found(`{"error":"${Buffer.from(keys.ollama).toString("base64")}"}`), ["ollama"]);
});
