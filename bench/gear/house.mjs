// What a benchmark in bench/*.mjs stands on: the daemon under test, the fake provider, peers, the C programs, and
// devices that may connect. Everything is started on ports the kernel chooses and in directories of its own in
// build/bench, and ended by cleanUp(), whatever happened.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const roost = process.env.ROOST_BIN ?? join(root, "build/release/bin/roost");
export const out = join(root, "build/bench");
mkdirSync(out, { recursive: true });
const tmp = mkdtempSync(join(out, "run-"));
const READY_MS = 60_000;

const living = new Set();
let ndirs = 0;

export function directory() {
	const path = join(tmp, String(++ndirs));
	mkdirSync(path, { mode: 0o700 });
	return path;
}

export async function cleanUp() {
	for (const child of living) child.kill("SIGKILL");
	rmSync(tmp, { recursive: true, force: true });
}

export function median(values) {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Times how long a server takes from its start until it says that it listens.
export async function timeToListen(start) {
	const begun = performance.now();
	const server = await start();
	return { server, ms: performance.now() - begun };
}

function begin(path, args) {
	const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"] });
	child.said = "";
	child.stderr.on("data", (text) => (child.said = (child.said + text).slice(-4000)));
	child.stdin.on("error", () => {});
	child.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	child.ended = new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("exit", (code, signal) => resolve(code ?? signal));
	});
	child.ended.catch(() => {});
	living.add(child);
	child.ended.finally(() => living.delete(child)).catch(() => {});
	return child;
}

// The first line that is what `wanted` takes it for, as `wanted` gives it back.
async function hear(child, wanted) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => reject(new Error(`${child.spawnfile} says nothing`)), READY_MS);
	});
	try {
		for (;;) {
			const { value, done } = await Promise.race([child.lines.next(), late]);
			if (done) throw new Error(`${child.spawnfile} ended (${await child.ended}): ${child.said}`);
			const found = wanted(value);
			if (found) return found;
		}
	} finally {
		clearTimeout(timer);
	}
}

const binary = (name) => join(dirname(roost), `bench_${name}`);
const flags = (args) => Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);

// Runs one of the programs beside this file's directory to its end and returns what it printed.
export async function program(name, args) {
	const child = begin(binary(name), flags(args));
	let text = "";
	for await (const line of child.lines) text += line;
	const code = await child.ended;
	if (code !== 0) throw new Error(`bench_${name} ${flags(args).join(" ")}\n  ended with ${code}: ${child.said.trim()}`);
	return JSON.parse(text);
}

// Runs the simulator until so many operations were done; its figures.
export async function simulate(operations) {
	const child = begin(join(dirname(roost), "sim"), flags({ seeds: "1..1", operations }).concat("--figures"));
	const figures = await hear(child, (line) => line.startsWith("{") && JSON.parse(line));
	await child.ended;
	return figures;
}

// A program that is driven line by line: say() writes one, hear() waits for one.
export function driven(name, args) {
	const child = begin(binary(name), flags(args));
	return {
		say: (line) => child.stdin.write(`${line}\n`),
		hear: (line) => hear(child, (text) => text === line),
		result: () => hear(child, (text) => text.startsWith("{") && JSON.parse(text)),
		ended: child.ended,
	};
}

// A server that prints {"port":…} and serves until its standard input ends.
async function serverOf(path, args) {
	const child = begin(path, args);
	const ports = await hear(child, (line) => JSON.parse(line));
	return { ...ports, pid: child.pid, stop: () => (child.stdin.end(), child.ended) };
}
export const fakeProvider = () => serverOf(binary("fake_provider"), []);
// A bad link to a port of this machine.
export const badLink = (port) => serverOf(binary("bad_link"), ["--port", String(port)]);
export const peer = (name) => serverOf(process.execPath, [join(root, "bench/peers", `${name}.mjs`)]);

// The daemon's side of the fake provider: three names for it. `single` has one slot, `deaf` is never reached.
export function providersYaml(provider) {
	const one = (name, port, concurrency) =>
		`  - name: ${name}\n    dialect: openai\n    baseUrl: http://127.0.0.1:${port}/v1\n` +
		`    concurrency: ${concurrency}\n    allowPrivate: true\n`;
	return "providers:\n" + one("fake", provider.port, 2048) + one("single", provider.port, 1) +
		one("deaf", provider.deafPort, 64);
}

export class Daemon {
	// Starts `roost serve` on the directory and waits until it listens.
	static async start(dir, yaml = "") {
		const daemon = new Daemon();
		const config = join(tmp, `${++ndirs}.yaml`);
		writeFileSync(config, yaml || "logLevel: warn\n", { mode: 0o600 });
		daemon.dir = dir;
		daemon.child = begin(roost, ["serve", "--data", dir, "--listen", "127.0.0.1:0", "--config", config]);
		const [, port] = await hear(daemon.child, (line) => /http:\/\/127\.0\.0\.1:(\d+)/.exec(line));
		daemon.port = Number(port);
		daemon.pid = daemon.child.pid;
		(async () => { for await (const line of daemon.child.lines) void line; })();
		for (const end = Date.now() + READY_MS; !(await daemon.isReady()); )
			if (Date.now() > end) throw new Error("the daemon does not become ready");
		return daemon;
	}

	async isReady() {
		const response = await fetch(`http://127.0.0.1:${this.port}/readyz`);
		await response.arrayBuffer();
		return response.status === 200;
	}

	// Asks as the operator, over the socket in the data directory.
	async operator(method, path, body) {
		const call = request({ socketPath: join(this.dir, "roost.sock"), method, path: `/api/v1/operator/${path}`,
			headers: body ? { "Content-Type": "application/json" } : {} });
		call.end(body ? JSON.stringify(body) : undefined);
		const [response] = await once(call, "response");
		let text = "";
		for await (const piece of response.setEncoding("utf8")) text += piece;
		if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${text}`);
		return JSON.parse(text);
	}

	// Makes users with some devices each and returns the file that names them, as the C programs read it.
	async devices(prefix, nusers, perUser) {
		const lines = [];
		for (let u = 0; u < nusers; u++) {
			const user = `${prefix}${u}`;
			await this.operator("POST", "users", { name: user });
			const ids = Array.from({ length: perUser }, (_, i) => `${user}.${i}`);
			while (ids.length) {
				const some = ids.splice(0, 32);
				const made = await Promise.all(some.map((deviceId) =>
					this.operator("POST", "chat-device", { user, deviceId, name: deviceId })));
				some.forEach((deviceId, i) => lines.push(`${user} ${deviceId} ${made[i].token}\n`));
			}
		}
		const file = join(tmp, `${++ndirs}.devices`);
		writeFileSync(file, lines.join(""), { mode: 0o600 });
		return file;
	}

	async stop() {
		this.child.kill("SIGTERM");
		const code = await this.child.ended;
		if (code !== 0) throw new Error(`the daemon ended with ${code}: ${this.child.said}`);
	}
}

// Runs with a daemon of its own, on an empty directory.
export async function withDaemon(yaml, run) {
	const daemon = await Daemon.start(directory(), yaml);
	try {
		return await run(daemon);
	} finally {
		await daemon.stop();
	}
}
