// Random load from ten devices while the daemon is killed again and again; then the whole history is checked by
// history.mjs, whose own test shows that it can fail.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { all, Daemon, Device, newId, scratch, seeded, sleep } from "../lib/roost.mjs";
import { startFake } from "../fake/provider.mjs";
import { check } from "./history.mjs";

const SEED = Number(process.env.ROOST_TEST_SEED ?? 1);
const DEVICES = 10;
const CONVERSATIONS = 4; // shared by all
const SECONDS = all ? 90 : 15;
const KILL_EVERY_MS = [500, 2500];

// A device that loses its connection all the time and does not care: it keeps what is not acked and sends it again.
class Person {
	constructor(name, device, history) {
		Object.assign(this, { name, device, history, connection: 0, outbox: new Map() });
		device.tap = (frame) => this.note(frame);
	}

	note(frame) {
		const { name: device, connection } = this;
		if (frame.type === "session:changes") this.history.push({ kind: "told", device, records: frame.records });
		if (frame.type === "message:delta") {
			const { requestId, attempt, offset, text, kind: stream = "text" } = frame;
			this.history.push({ kind: "shown", device, connection, requestId, attempt, stream, offset, text });
		}
	}

	async connect() {
		this.connection++;
		await this.device.open();
		await this.device.hello();
		for (const conversationId of this.conversations) await this.device.call("session:join", { conversationId });
		for (const message of this.outbox.values()) await this.send(message);
	}

	async send(message) {
		this.outbox.set(message.messageId, message);
		const { messageId, duplicate, requestId } = await this.device.send(message);
		this.outbox.delete(messageId);
		this.history.push({ kind: "acked", device: this.name, messageId, duplicate, requestId });
		return requestId;
	}

	async act(random) {
		const conversationId = this.conversations[random(this.conversations.length)];
		const messageId = newId();
		const answer = random(10) < 4;
		const text = `<${messageId}> ${"word ".repeat(random(40))}`;
		const message = { messageId, conversationId, text, ...(answer ? { model: "fake:answer?tokens=10&rate=250" } : {}) };
		this.history.push({ kind: "sent", device: this.name, messageId, conversationId, text, answer });
		const requestId = await this.send(message);
		if (requestId && random(6) === 0)
			await this.device.call("request:stop", { requestId }).catch((error) => error.code === "bad_state" || Promise.reject(error));
		if (random(25) === 0) await this.device.terminate();
		await sleep(random(120));
	}

	// Until `isOver`: acts, and connects again whenever that fails.
	async live(isOver, random) {
		while (!isOver() || this.outbox.size > 0) {
			try {
				if (this.device.closed) await this.connect();
				else if (isOver()) for (const message of this.outbox.values()) await this.send(message);
				else await this.act(random);
			} catch (error) {
				const isOfTheNet = error.syscall || error.code === "ECONNRESET"; // a kill in the middle of an upgrade has no syscall
				if (error.code && typeof error.code === "string" && !error.retryable && !isOfTheNet) throw error;
				if (!this.device.closed) await this.device.terminate();
				await sleep(20 + random(60));
			}
		}
	}
}

describe("ten devices and a daemon that is killed", () => {
	test("keep a history without a fault", { timeout: (SECONDS + 120) * 1000 }, async (t) => {
		const random = seeded(SEED);
		const history = [];
		const provider = await startFake();
		const config =
			`providers:\n  - name: fake\n    dialect: openai\n    baseUrl: ${provider.url("openai")}\n    allowPrivate: true\n` +
			"limits:\n  attempts: 60\n  backoffMs: 20\n  backoffMaxMs: 200\n";
		const daemon = await Daemon.start({ config });
		t.after(async () => {
			await daemon.remove();
			await provider.close();
		});
		const conversations = Array.from({ length: CONVERSATIONS }, () => newId());
		const people = [];
		for (let i = 0; i < DEVICES; i++) {
			const device = new Device();
			Object.assign(device, { daemon, ...(await daemon.pair()), closed: { code: 0 } });
			const person = new Person(`device-${i}`, device, history);
			person.conversations = conversations.slice(i % 2);
			people.push(person);
		}

		let over = false;
		const port = daemon.port;
		const lives = people.map((person) => person.live(() => over, random));
		const end = Date.now() + SECONDS * 1000;
		let kills = 0;
		while (Date.now() < end) {
			await Promise.race([sleep(KILL_EVERY_MS[0] + random(KILL_EVERY_MS[1] - KILL_EVERY_MS[0])), ...lives]);
			await daemon.kill();
			await daemon.restart({ port });
			kills++;
		}
		over = true;
		await Promise.all(lives);

		const reader = await Device.connect(daemon, await daemon.pair());
		const open = () => reader.all("Request").filter((r) => !["done", "failed", "stopped"].includes(r.fields.state));
		const acked = new Set(history.filter((event) => event.kind === "acked").map((event) => event.messageId));
		await reader.until(
			() => [...acked].every((id) => reader.record("Message", id)) && open().length === 0,
			"every request to end",
			60_000,
		);
		for (const { body } of provider.calls) {
			const asked = body.messages.findLast(({ role }) => role === "user").content;
			history.push({ kind: "called", messageId: /^<([0-9a-f-]{36})>/.exec(asked)[1] });
		}
		history.push({ kind: "final", records: [...reader.records.values()] });
		const count = (kind) => history.filter((event) => event.kind === kind).length;
		t.diagnostic(
			`${kills} kills, ${count("sent")} sent, ${count("acked")} acks, ${count("told")} pushes, ${count("shown")} deltas, ` +
				`${count("called")} provider calls`,
		);
		const violations = check(history);
		if (violations.length > 0) {
			const file = join(await scratch("history"), "history.json");
			await writeFile(file, JSON.stringify(history));
			t.diagnostic(`the history is in ${file}`);
		}
		assert.deepEqual(violations.slice(0, 5), [], `${violations.length} violations`);
		assert.ok(count("shown") > 500 && count("called") > 50, "the load was too small to mean anything");
	});
});
