// A device on libroost, as its own process: test/crash/device.c, told on stdin, heard on stdout.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { tool, until } from "./roost.mjs";

const ANSWER_MS = 60_000; // a process may have to wait for its turn

export class NativeDevice {
	lines = [];
	turn = Promise.resolve(); // when the last command is answered
	texts = new Map(); // message id → text, as this device last heard it

	// Options: file, url, code, wrap (a command in front), bin, env.
	constructor({ file, url, code = "-", wrap = [], bin = tool("device"), env = {} }) {
		const command = [...wrap, bin, file, url, code];
		this.file = file;
		this.child = spawn(command[0], command.slice(1), { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
		this.exited = once(this.child, "exit");
		this.errors = "";
		this.child.stdin.on("error", () => {}); // it was killed
		this.child.stderr.on("data", (text) => (this.errors = (this.errors + text).slice(-4000)));
		createInterface(this.child.stdout).on("line", (line) => {
			this.lines.push(line);
			const [, id, text] = /^text (\S+) ?(.*)$/.exec(line) ?? [];
			if (id) this.texts.set(id, text);
		});
	}

	get running() {
		return this.child.exitCode === null && this.child.signalCode === null;
	}

	// Waits for a line from number `from` on, and returns what its pattern caught.
	async line(pattern, from = 0, ms) {
		let next = from;
		const found = () => {
			while (next < this.lines.length) {
				const match = pattern.exec(this.lines[next++]);
				if (match) return match;
			}
			if (!this.running) throw new Error(`the device ended: ${this.errors}`);
		};
		return until(found, `${pattern}`, ms).catch((error) => {
			throw new Error(`${error.message}; the last lines: ${this.lines.slice(-5).join(" | ")}`);
		});
	}

	// One command at a time; the line that answers it.
	tell(command) {
		const ask = async () => {
			const from = this.lines.length;
			this.child.stdin.write(`${command}\n`);
			return this.line(/^(taken|done|list|refused|status|seat) ?(.*)$/, from, ANSWER_MS);
		};
		const answer = this.turn.then(ask);
		this.turn = answer.catch(() => {});
		return answer;
	}

	// The same, which must not be refused; what comes behind the answer's first word.
	async must(command) {
		const [, what, rest] = await this.tell(command);
		if (what === "refused") throw new Error(`${command}: ${rest}`);
		return rest;
	}

	// A frame, and what the daemon answered: {code, frame}.
	async call(type, members) {
		const from = this.lines.length;
		await this.must(`call ${type} ${JSON.stringify(members)}`);
		const [, code, frame] = await this.line(/^answer (\S+) ?(.*)$/, from);
		return { code, frame: frame ? JSON.parse(frame) : undefined };
	}

	// What it shows of a conversation, in its order: {ord, id, device, role, text}.
	async show(conversation) {
		const from = this.lines.length;
		const n = Number(await this.must(`show ${conversation}`));
		const views = this.lines.slice(from).map((line) => /^view (\d+) (\S+) (\S+) (\S+) (.*)$/.exec(line)).filter(Boolean);
		if (views.length !== n) throw new Error(`${views.length} views of ${n}`);
		return views.map(([, ord, id, device, role, text]) => ({ ord: Number(ord), id, device, role, text }));
	}

	// Who drives the conversation, as it knows: {primary, term, mine}.
	async seat(conversation) {
		const [primary, term, where] = (await this.must(`seat ${conversation}`)).split(" ");
		return { primary, term: Number(term), mine: where === "here" };
	}

	// {syncs, pending, held, conflicted}
	async status() {
		const words = (await this.must("status")).split(" ");
		return Object.fromEntries(words.flatMap((word, i) => (i % 2 === 0 ? [[word, Number(words[i + 1])]] : [])));
	}

	async send(conversation, text) {
		const [, what, id] = await this.tell(`send ${conversation} ${text}`);
		if (what !== "taken") throw new Error(`${what} ${id}`);
		return id;
	}

	async quit() {
		this.child.stdin.end();
		const [code] = await this.exited;
		return code;
	}

	async kill() {
		if (this.running) this.child.kill("SIGKILL");
		await this.exited;
	}
}
