// What the black-box tests stand on: a daemon with a directory of its own, people's devices, and waiting on conditions.
//
// ROOST_BIN is the program under test (build/release/bin/roost). Tests that plant faults need a build with
// ROOST_TEST_FAULTS: ROOST_FAULTS_BIN (build/debug/bin/roost). Helper programs written in C, such as tracer, stand beside
// either of them.

import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import WebSocket from "ws";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const program = resolve(process.env.ROOST_BIN ?? join(root, "build/release/bin/roost"));
export const faultsProgram = resolve(process.env.ROOST_FAULTS_BIN ?? join(root, "build/debug/bin/roost"));
export const all = process.env.ROOST_TEST_ALL === "1"; // the whole sweeps, not samples of them
export { sleep };
// Nothing of the person who runs the tests reaches the program; and no system call is hidden from who traces it.
const harmless = Object.entries(process.env).filter(([name]) => !/_API_KEY$|_PROXY$|^CREDENTIALS_DIRECTORY$/i.test(name));
const ownEnv = { ...Object.fromEntries(harmless), XDG_CONFIG_HOME: "/proc/nowhere", XDG_STATE_HOME: "/proc/nowhere", UV_USE_IO_URING: "0" };
const ANSWER_MS = 20_000; // longer than this no verb may take

// A helper program of the test suite.
export function tool(name) {
	const places = [dirname(program), dirname(faultsProgram)].map((dir) => join(dir, name));
	const found = places.find(existsSync);
	if (!found) throw new Error(`${name} is not built: ${places.join(", ")}`);
	return found;
}

export async function scratch(name = "test") {
	return mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), `roost-${name}-`));
}

// Waits until `condition` gives something true, and returns it.
export async function until(condition, what = "a condition", ms = 10_000) {
	const end = Date.now() + ms;
	for (;;) {
		const value = await condition();
		if (value) return value;
		if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
		await sleep(5);
	}
}

// A UUIDv7; `n` makes ids of one test sort in the order they were made.
let lastId = 0;
export function newId() {
	lastId = Math.max(Date.now(), lastId + 1);
	const b = randomBytes(16);
	b.writeUIntBE(lastId, 0, 6);
	b[6] = 0x70 | (b[6] & 0x0f);
	b[8] = 0x80 | (b[8] & 0x3f);
	return b.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// A small seeded generator: the same seed, the same run.
export function seeded(seed) {
	let state = seed >>> 0;
	return (below) => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), state | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
	};
}

// An error the daemon answered, by its code.
export class RoostError extends Error {
	constructor(from) {
		super(`${from.code}: ${from.message}`);
		Object.assign(this, from);
	}
}

// One HTTP exchange. `socketPath` speaks over a Unix socket, with operator rights.
export function ask(method, path, { port, socketPath, token, body, headers = {}, host = "127.0.0.1" } = {}) {
	const raw = typeof body === "string" || Buffer.isBuffer(body) ? body : body === undefined ? undefined : JSON.stringify(body);
	const all = { ...headers };
	if (token) all.authorization = `Bearer ${token}`;
	if (raw !== undefined) {
		all["content-type"] ??= "application/json";
		all["content-length"] = Buffer.byteLength(raw);
	}
	return new Promise((done, failed) => {
		const request = http.request({ method, path, port, host, socketPath, headers: all, agent: false }, (answer) => {
			const parts = [];
			answer.on("data", (part) => parts.push(part));
			answer.on("error", failed);
			answer.on("end", () => {
				const bytes = Buffer.concat(parts);
				let json;
				try {
					json = JSON.parse(bytes);
				} catch {
					json = undefined;
				}
				done({ status: answer.statusCode, headers: answer.headers, bytes, text: bytes.toString(), json });
			});
		});
		request.on("error", failed);
		request.end(raw);
	});
}

export class Daemon {
	// Options: data (a directory; made when absent), bin, args, env, config (YAML text), wrap (a command in front).
	static async start(options = {}) {
		const daemon = new Daemon();
		daemon.options = options;
		daemon.data = options.data ?? (await scratch());
		daemon.bin = options.bin ?? program;
		await daemon.run(options);
		return daemon;
	}

	async run({ args = [], env = {}, config, wrap = [], port = 0, bin = this.bin, startMs = 20_000 } = this.options) {
		const command = [...wrap, bin, "serve", "--data", this.data, "--listen", `127.0.0.1:${port}`, ...args];
		if (config !== undefined) {
			const file = `${this.data}.yaml`;
			await writeFile(file, config);
			command.push("--config", file);
		}
		this.errors = "";
		this.child = spawn(command[0], command.slice(1), {
			stdio: ["ignore", "pipe", "pipe"],
			env: { ...ownEnv, ...env },
		});
		this.exited = once(this.child, "exit");
		this.child.stderr.on("data", (text) => (this.errors = (this.errors + text).slice(-8000)));
		const timer = setTimeout(() => this.child.kill("SIGKILL"), startMs);
		try {
			for await (const line of createInterface(this.child.stdout)) {
				const found = /listening on (https?:\/\/127\.0\.0\.1:(\d+))/.exec(line);
				if (!found) continue;
				[, this.url] = found;
				this.port = Number(found[2]);
				this.child.stdout.resume();
				return;
			}
		} finally {
			clearTimeout(timer);
		}
		const [code, signal] = await this.exited;
		throw Object.assign(new Error(`the daemon ended before it listened: ${code ?? signal}\n${this.errors}`), { code });
	}

	get running() {
		return this.child.exitCode === null && this.child.signalCode === null;
	}

	async kill(signal = "SIGKILL") {
		if (this.running) this.child.kill(signal);
		const [code] = await this.exited;
		return code;
	}

	stop() {
		return this.kill("SIGTERM");
	}

	// On the same data; a new port unless one is asked for.
	async restart(options = {}) {
		if (this.running) await this.stop();
		await this.run({ ...this.options, ...options });
	}

	async remove() {
		if (this.running) await this.kill();
		await rm(this.data, { recursive: true, force: true });
		await rm(`${this.data}.yaml`, { force: true });
	}

	http(method, path, options = {}) {
		return ask(method, path, { port: this.port, ...options });
	}

	// The operator's own API, over the socket in the data directory.
	async operator(method, path, body) {
		const answer = await ask(method, `/api/v1/operator/${path}`, { socketPath: join(this.data, "roost.sock"), body });
		if (answer.status >= 400) throw new RoostError(answer.json?.error ?? { code: String(answer.status), message: answer.text });
		return answer.json;
	}

	code(user) {
		return this.operator("POST", "pair", user ? { user } : {});
	}

	// A new device's credential: {token, userId, deviceId}.
	async pair({ user, name = "test", deviceId = newId() } = {}) {
		const { code } = await this.code(user);
		const answer = await this.http("POST", "/api/v1/pair", { body: { code, deviceId, name, platform: "test" } });
		if (answer.status !== 200) throw new RoostError(answer.json?.error ?? { code: String(answer.status), message: answer.text });
		return { deviceId, ...answer.json };
	}

	async device(options = {}) {
		return Device.connect(this, await this.pair(options), options);
	}

	// A command of the program on this directory: {code, stdout, stderr}.
	async cli(...args) {
		const [command, ...rest] = args;
		try {
			const { stdout, stderr } = await promisify(execFile)(this.bin, [command, "--data", this.data, ...rest], {
				env: { ...ownEnv, XDG_STATE_HOME: join(this.data, "state") }, // where `roost chat` is a device
			});
			return { code: 0, stdout, stderr };
		} catch (error) {
			return { code: error.code, stdout: error.stdout, stderr: error.stderr };
		}
	}
}

// A device on a WebSocket. It keeps what it was told: records by "Type/name", the streams of answers by
// "requestId/attempt/kind", and every frame; it throws when a stream has a gap or repeats itself.
export class Device {
	frames = []; // every frame received, oldest first
	records = new Map();
	streams = new Map();
	states = new Map(); // the last request:state by request
	cursor; // where to go on from
	tap; // called with every frame as it arrives
	#pending = new Map();
	#watchers = new Set();
	#nextId = 1;

	static async connect(daemon, credential, options = {}) {
		const device = new Device();
		const { token, userId, deviceId } = credential;
		Object.assign(device, { daemon, token, userId, deviceId });
		await device.open(options);
		if (options.hello !== false) await device.hello(options);
		return device;
	}

	async open({ headers = {} } = {}) {
		const socket = new WebSocket(`ws://127.0.0.1:${this.daemon.port}/api/v1/devices/socket`, ["roost.v1"], {
			headers: { authorization: `Bearer ${this.token}`, ...headers },
			perMessageDeflate: false,
		});
		this.socket = socket;
		this.closed = undefined;
		socket.on("message", (bytes) => this.socket === socket && this.#receive(JSON.parse(bytes)));
		socket.on("error", () => {});
		this.gone = new Promise((done) => {
			socket.on("close", (code, reason) => {
				if (this.socket === socket) this.#ended({ code, reason: String(reason) });
				done({ code, reason: String(reason) });
			});
		});
		await new Promise((done, failed) => {
			socket.once("open", done);
			socket.once("unexpected-response", (_, answer) => {
				failed(Object.assign(new Error(`HTTP ${answer.statusCode}`), { status: answer.statusCode }));
				socket.terminate();
			});
			socket.once("error", failed);
		});
	}

	async hello({ cursor = this.cursor, name = "test" } = {}) {
		this.streams.clear(); // a new connection tells its streams from their beginning
		this.welcome = await this.call("device:hello", {
			deviceId: this.deviceId,
			platform: "test",
			name,
			appVersion: "1",
			protocol: 1,
			...(cursor ? { cursor } : {}),
		});
		return this.welcome;
	}

	#ended(how) {
		this.closed = how;
		for (const { reject } of this.#pending.values()) reject(Object.assign(new Error(`connection closed: ${how.code}`), how));
		this.#pending.clear();
		this.#look();
	}

	#receive(frame) {
		this.frames.push(frame);
		this.tap?.(frame);
		if (frame.type === "session:changes") {
			for (const record of frame.records) this.records.set(`${record.type}/${record.name}`, record);
			if (frame.cursor) this.cursor = frame.cursor;
		} else if (frame.type === "message:delta") {
			const key = `${frame.requestId}/${frame.attempt}/${frame.kind ?? "text"}`;
			const stream = this.streams.get(key);
			const have = stream === undefined ? frame.offset : Buffer.byteLength(stream.text) + stream.from;
			if (frame.offset !== have) this.fault = `stream ${key}: offset ${frame.offset} after ${have} bytes`;
			if (stream) stream.text += frame.text;
			else this.streams.set(key, { from: frame.offset, text: frame.text });
		} else if (frame.type === "message:reset") {
			for (const key of this.streams.keys()) if (key.startsWith(`${frame.requestId}/`)) this.streams.delete(key);
		} else if (frame.type === "request:state") {
			this.states.set(frame.requestId, frame);
		}
		const waiting = this.#pending.get(frame.re);
		if (waiting) {
			this.#pending.delete(frame.re);
			if (frame.type === "error") waiting.reject(new RoostError(frame));
			else waiting.resolve(frame);
		}
		this.#look();
	}

	#look() {
		for (const watcher of this.#watchers) watcher();
	}

	// Sends a frame and waits for its answer; an error frame is thrown.
	call(type, fields = {}) {
		const id = this.#nextId++;
		return new Promise((resolve, reject) => {
			if (this.closed) {
				reject(new Error(`connection closed: ${this.closed.code}`));
				return;
			}
			const timer = setTimeout(() => reject(new Error(`no answer to ${type} in ${ANSWER_MS} ms`)), ANSWER_MS);
			const settle = (how) => (value) => {
				clearTimeout(timer);
				how(value);
			};
			this.#pending.set(id, { resolve: settle(resolve), reject: settle(reject) });
			this.socket.send(JSON.stringify({ type, id, ...fields }));
		});
	}

	// Text or bytes as they are, and the next error frame that answers no id.
	async raw(data, options) {
		const from = this.frames.length;
		this.socket.send(data, options);
		return this.until(() => this.frames.slice(from).find((f) => f.type === "error"), "an error frame");
	}

	// Waits until `condition` holds; it is looked at after every frame.
	until(condition, what = "a condition", ms = 10_000) {
		return new Promise((resolve, reject) => {
			const look = () => {
				let value;
				try {
					if (this.fault) throw new Error(this.fault);
					value = condition();
					if (!value && this.closed) throw new Error(`connection closed (${this.closed.code}) while waiting for ${what}`);
				} catch (error) {
					finish(reject, error);
					return;
				}
				if (value) finish(resolve, value);
			};
			const timer = setTimeout(() => finish(reject, new Error(`waited ${ms} ms for ${what}`)), ms);
			const finish = (how, value) => {
				clearTimeout(timer);
				this.#watchers.delete(look);
				how(value);
			};
			this.#watchers.add(look);
			look();
		});
	}

	record(type, name) {
		return this.records.get(`${type}/${name}`);
	}

	all(type) {
		return [...this.records.values()].filter((record) => record.type === type && !record.deleted);
	}

	send({ text, conversationId, messageId = newId(), model, params, ...more }) {
		const request = model ? { model, ...(params ? { params } : {}) } : undefined;
		return this.call("message:send", { messageId, conversationId, text, ...(request ? { request } : {}), ...more });
	}

	// Sends and waits for the whole answer: {ack, request, reply} as records.
	async converse(message, ms = 20_000) {
		const ack = await this.send(message);
		const request = await this.finished(ack.requestId, ms);
		const reply = request.fields.replyId ? this.record("Message", request.fields.replyId) : undefined;
		return { ack, request, reply };
	}

	// The request's record once it is done, failed or stopped.
	finished(requestId, ms = 20_000) {
		return this.until(
			() => {
				const request = this.record("Request", requestId);
				return request && ["done", "failed", "stopped"].includes(request.fields.state) && request;
			},
			`request ${requestId} to end`,
			ms,
		);
	}

	// What was shown of a stream on this connection.
	stream(requestId, attempt = 1, kind = "text") {
		return this.streams.get(`${requestId}/${attempt}/${kind}`)?.text ?? "";
	}

	// Asks for a stream from an offset on; what comes is in stream(). Answered only when it is refused.
	attach({ requestId, attempt = 1, kind = "text", offset = 0 }) {
		this.streams.delete(`${requestId}/${attempt}/${kind}`);
		this.socket.send(JSON.stringify({ type: "message:attach", requestId, attempt, kind, offset }));
	}

	// The text that is kept of an attempt that does not run any more.
	async kept(requestId, attempt) {
		const answer = await this.daemon.http("GET", `/api/v1/requests/${requestId}/stream?attempt=${attempt}`, { token: this.token });
		if (answer.status !== 200) throw new RoostError(answer.json.error);
		return answer.text;
	}

	// The messages that came of a request: its reply, and what was left of attempts that did not become one.
	answers(requestId, status = "complete") {
		return this.all("Message").filter(({ fields }) =>
			fields.requestId === requestId && fields.role === "assistant" && fields.status === status);
	}

	async close() {
		this.socket.close();
		await this.gone;
	}

	terminate() {
		this.socket.terminate();
		return this.gone;
	}
}
