// A device on libroost, as its own process: test/crash/device.c, told on stdin, heard on stdout.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { tool, until } from "./roost.mjs";

export class NativeDevice {
	lines = [];
	texts = new Map(); // message id → text, as this device last heard it

	// Options: file, url, code, wrap (a command in front), bin, env.
	constructor({ file, url, code = "-", wrap = [], bin = tool("device"), env = {} }) {
		const command = [...wrap, bin, file, url, code];
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

	// Waits for a line that comes after those looked at before it, and returns what its pattern caught.
	async line(pattern, from = 0, ms) {
		const found = () => {
			for (const line of this.lines.slice(from)) {
				const match = pattern.exec(line);
				if (match) return match;
			}
			if (!this.running) throw new Error(`the device ended: ${this.errors}`);
		};
		return until(found, `${pattern} of ${this.lines.slice(-5).join(" | ")}`, ms);
	}

	// One command; the line that answers it.
	async tell(command) {
		const from = this.lines.length;
		this.child.stdin.write(`${command}\n`);
		return this.line(/^(taken|done|list|refused) ?(.*)$/, from);
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
