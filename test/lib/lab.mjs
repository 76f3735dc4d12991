// What the tests of the lab stand on: a home of one's own in which `roost run` makes experiments, their files as they are
// read by anybody, and providers whose every answer is a function of what they were asked.

import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { dialects } from "../fake/dialects.mjs";
import { program, root, scratch, sleep, until } from "./roost.mjs";

const RUN_MS = 120_000; // many builds may share the machine

export const sha256 = (text) => createHash("sha256").update(text).digest("hex");
export const of = (events, type) => events.filter((e) => e.event_type === type);
export const texts = (events) => of(events, "MessageCompleteEvent").map((e) => e.message.content);

// A directory that stands for a person's: files, data, outputs and marks of running experiments are all in it.
export class Lab {
	static async make(name = "lab", { config = "", bin = program } = {}) {
		const lab = new Lab();
		lab.bin = bin;
		lab.home = await scratch(name);
		lab.output = join(lab.home, "out");
		for (const dir of ["run", "config/roost", "data", "state", "cache", "tmp"])
			await mkdir(join(lab.home, dir), { recursive: true, mode: 0o700 });
		await lab.configure(config);
		return lab;
	}

	async configure(yaml) {
		await writeFile(join(this.home, "config/roost/roost.yaml"), yaml || "logLevel: warn\n", { mode: 0o600 });
	}

	env(more = {}) {
		const at = (dir) => join(this.home, dir);
		return { PATH: process.env.PATH, HOME: this.home, TMPDIR: at("tmp"), XDG_CONFIG_HOME: at("config"), XDG_DATA_HOME: at("data"),
			XDG_STATE_HOME: at("state"), XDG_CACHE_HOME: at("cache"), XDG_RUNTIME_DIR: at("run"), ROOST_OUTPUT_DIR: this.output,
			UV_USE_IO_URING: "0", TSAN_OPTIONS: process.env.TSAN_OPTIONS ?? "", ...more };
	}

	// A command to its end: {code, stdout, stderr}; code is a signal's name when one ended it.
	roost(args, { env, input = "", wrap = [] } = {}) {
		const [file, ...before] = [...wrap, this.bin];
		return new Promise((done) => {
			const child = execFile(file, [...before, ...args], { env: this.env(env), timeout: RUN_MS, maxBuffer: 1 << 28 },
				(error, stdout, stderr) => done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }));
			child.stdin.on("error", () => {});
			child.stdin.end(input);
		});
	}

	async fine(args, options) {
		const { code, stdout, stderr } = await this.roost(args, options);
		if (code !== 0) throw new Error(`roost ${args.join(" ")}: ${code}\n${stderr}`);
		return stdout;
	}

	// A command that goes on. `ended` gives {code, stdout, stderr}.
	start(args, { env, wrap = [] } = {}) {
		const [file, ...before] = [...wrap, this.bin];
		const child = spawn(file, [...before, ...args], { env: this.env(env), stdio: ["ignore", "pipe", "pipe"] });
		const said = { stdout: "", stderr: "" };
		for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (said[name] += text));
		child.ended = once(child, "close").then(([code, signal]) => ({ code: code ?? signal, ...said }));
		return child;
	}

	// A run in the foreground with its events as JSON, and the experiment it made.
	async run(args, options) {
		const before = new Set(await this.dirs());
		const result = await this.roost(["run", "--json", ...args], options);
		const dir = (await this.dirs()).find((d) => !before.has(d));
		return { ...result, dir, ...(dir ? await this.look(dir) : {}) };
	}

	async spec(yaml, name = "spec.yaml") {
		const path = join(this.home, name);
		await writeFile(path, yaml);
		return path;
	}

	// The experiments' directories.
	async dirs() {
		const names = await readdir(this.output).catch(() => []);
		return names.filter((name) => !name.startsWith(".")).sort().map((name) => join(this.output, name));
	}

	// What anybody can read of an experiment: its manifest, and each conversation's events in the manifest's order.
	async look(dir) {
		const manifest = JSON.parse(await readFile(join(dir, "manifest.json"), "utf8"));
		const conversations = [];
		for (const { jsonl } of Object.values(manifest.conversations)) conversations.push(await eventsOf(join(dir, jsonl)));
		return { dir, manifest, conversations, status: manifest.status };
	}

	// Waits until an experiment's manifest is as `wanted` says.
	async untilManifest(wanted, what, ms = RUN_MS) {
		return until(async () => {
			for (const dir of await this.dirs()) {
				const text = await readFile(join(dir, "manifest.json"), "utf8").catch(() => undefined);
				if (text !== undefined && wanted(JSON.parse(text))) return dir;
			}
			return undefined;
		}, what, ms);
	}

	// Every file there is, at any depth: [path, bytes].
	async files(dir = this.home) {
		const all = [];
		for (const e of await readdir(dir, { withFileTypes: true })) {
			const path = join(dir, e.name);
			if (e.isDirectory()) all.push(...(await this.files(path)));
			else if (e.isFile()) all.push([path, await readFile(path)]);
		}
		return all;
	}

	async remove() {
		await this.roost(["stop", "--all", "--now", "--wait", "5"]); // what a failed test left
		await rm(this.home, { recursive: true, force: true });
	}
}

// The whole lines of an event file; a torn end is left out, as a reader may meet one at any time.
export async function eventsOf(path) {
	const text = await readFile(path, "utf8").catch((error) => {
		if (error.code === "ENOENT") return "";
		throw error;
	});
	return text.split("\n").slice(0, -1).filter(Boolean).map((line) => JSON.parse(line));
}

// A process that has ended may wait for whoever adopted it.
export const isAlive = (pid) =>
	readFile(`/proc/${pid}/stat`, "latin1").then((text) => !/^[ZX]/.test(text.slice(text.lastIndexOf(")") + 2)), () => false);

export const isThere = (path) => stat(path).then(() => true, () => false);

// A provider of OpenAI's chat completions whose answers are a function of what it was asked. `answer` gets a call and gives
// its text, or {text, delayMs, hold, status, error, message, headers, usage, finish}; `hold` is a promise that it waits for in the
// middle of the text. A call has {n, model, body, raw, system, messages, key, began, ended}; `key` is the same for two
// calls that ask for the same.
export class Speaker {
	static async start(answer = said) {
		const speaker = new Speaker();
		Object.assign(speaker, { answer, calls: [] });
		speaker.server = createServer((req, res) => speaker.#take(req, res).catch(() => res.destroy()));
		speaker.server.listen(0, "127.0.0.1");
		await once(speaker.server, "listening");
		speaker.url = `http://127.0.0.1:${speaker.server.address().port}/v1`;
		return speaker;
	}

	// Lines of a configuration: providers of these names, all at this one.
	config(names = ["voice"], { provider = "", limits = "", more = "" } = {}) {
		const one = (name) => `  - name: ${name}\n    dialect: openai\n    baseUrl: ${this.url}\n    allowPrivate: true\n` +
			`    models: [m, n]\n${provider}`;
		return `${more}limits:\n  backoffMs: 5\n  backoffMaxMs: 20\n${limits}providers:\n${names.map(one).join("")}`;
	}

	async #take(req, res) {
		if (req.method !== "POST") return void res.writeHead(404).end();
		const parts = [];
		for await (const part of req) parts.push(part);
		const raw = Buffer.concat(parts).toString();
		const body = JSON.parse(raw);
		const { stream, stream_options, ...asked } = body;
		const call = { n: this.calls.length, id: this.calls.length, began: performance.now(), ended: undefined, raw, body,
			model: body.model, system: body.messages.filter((m) => m.role === "system").map((m) => m.content).join("\n"),
			messages: body.messages.filter((m) => m.role !== "system"), headers: req.headers, key: sha256(JSON.stringify(asked)) };
		this.calls.push(call);
		res.once("close", () => (call.ended = performance.now()));
		const given = await this.answer(call);
		await this.#give(call, res, typeof given === "string" ? { text: given } : given);
	}

	async #give(call, res, given) {
		const { text = "", delayMs = 0, hold, status, error = "server", message = "it failed", headers = {}, usage, finish = "stop" } = given;
		if (delayMs) await sleep(delayMs);
		if (status) {
			res.writeHead(status, { "Content-Type": "application/json", ...headers });
			res.end(JSON.stringify({ ...dialects.openai.error(error, message).body }));
			return;
		}
		const w = dialects.openai.writer(call);
		const middle = text.length >> 1;
		res.writeHead(200, { "Content-Type": dialects.openai.type, ...headers });
		res.write(w.open() + w.text(text.slice(0, middle)));
		if (hold) await hold;
		res.end(w.text(text.slice(middle)) + w.finish(finish, usage ?? { input: call.raw.length >> 2, output: 1 + (text.length >> 2) }));
	}

	async close() {
		this.server.closeAllConnections();
		this.server.close();
		await once(this.server, "close");
	}
}

// Words by what was asked, so that another question gets another answer, and the same one the same.
const nouns = ["tide", "river", "feather", "lantern", "valley", "harbour", "stone", "letter", "garden", "bridge", "cloud", "ember",
	"forest", "mirror", "thread", "winter"];
export function said(call) {
	return `${[...call.key.slice(0, 24)].map((c) => nouns[Number.parseInt(c, 16)]).join(" ")} ${call.key.slice(0, 8)}.`;
}

// Whether a value is what docs/events.schema.json says of its event type; the first thing that is wrong, or undefined. It
// knows of JSON Schema what that file uses, and takes anything else in it for a mistake.
export const schema = JSON.parse(readFileSync(join(root, "docs/events.schema.json"), "utf8"));
const known = new Set(["$ref", "type", "const", "pattern", "properties", "required", "additionalProperties", "oneOf", "anyOf", "minimum",
	"description", "enum", "items", "$schema", "$defs", "$comment", "title"]);
const kindOf = (v) => v === null ? "null" : Array.isArray(v) ? "array" : Number.isInteger(v) ? "integer" : typeof v;

export function wrongWith(value, rule = schema, at = "") {
	for (const key of Object.keys(rule)) if (!known.has(key)) return `${at}: the schema says ${key}`;
	if (rule.$ref) return wrongWith(value, schema.$defs[rule.$ref.replace("#/$defs/", "")], at);
	const types = rule.type === undefined ? [] : [rule.type].flat();
	const kind = kindOf(value);
	if (types.length && !types.includes(kind) && !(kind === "integer" && types.includes("number"))) return `${at} is ${kind}, not ${types}`;
	if ("const" in rule && value !== rule.const) return `${at} is ${value}, not ${rule.const}`;
	if (rule.enum && !rule.enum.includes(value)) return `${at} is ${value}`;
	if (rule.pattern && typeof value === "string" && !new RegExp(rule.pattern, "u").test(value)) return `${at} is ${value}`;
	if (rule.minimum !== undefined && typeof value === "number" && value < rule.minimum) return `${at} is ${value}`;
	const fits = (rule.oneOf ?? rule.anyOf ?? []).map((one) => wrongWith(value, one, at));
	if (fits.length && fits.every(Boolean)) return fits.find((w) => !/, not /.test(w)) ?? fits[0];
	if (kind !== "object") return undefined;
	for (const name of rule.required ?? []) if (!(name in value)) return `${at}.${name} is missing`;
	for (const [name, member] of Object.entries(value)) {
		const own = rule.properties?.[name];
		if (!own && rule.additionalProperties === false) return `${at}.${name} is not in the schema`;
		const wrong = own && wrongWith(member, own, `${at}.${name}`);
		if (wrong) return wrong;
	}
	return undefined;
}
export const wrongLine = (event) => schema.$defs[event.event_type] === undefined ? `no event is called ${event.event_type}`
	: wrongWith(event, schema.$defs[event.event_type], event.event_type);
