// A device on libroost is killed where its N-th system call would begin, for every N of a life that pairs, connects,
// writes, edits and ends. Whatever N is: each message that roost_send took reaches the daemon, once.
//
// `./dev test` takes a seeded sample of the Ns, with --all it takes all of them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { NativeDevice } from "../lib/device.mjs";
import { all, Daemon, Device, faultsProgram, newId, scratch, seeded, tool, until } from "../lib/roost.mjs";

const SAMPLE = 150;
const SIDE_BY_SIDE = 3;
const SEED = Number(process.env.ROOST_TEST_SEED ?? 1);
const faultsDevice = join(dirname(faultsProgram), "device");

describe("an outbox whose process is killed at any system call", () => {
	let daemon, dir, reader;
	before(async () => {
		dir = await scratch("outbox");
		daemon = await Daemon.start();
		reader = await Device.connect(daemon, await daemon.pair());
	});
	after(async () => {
		await reader.close();
		await daemon.remove();
		await rm(dir, { recursive: true, force: true });
	});

	const code = async () => (await daemon.code()).code;
	const quiet = { ASAN_OPTIONS: "detect_leaks=0" }; // which a traced process cannot do

	// The life, up to where it gets: text of each message taken, by its id.
	async function live(device, conversation, taken) {
		const write = async (text) => taken.set(await device.send(conversation, text), text);
		await write("before there is a connection");
		await device.line(/^online/);
		for (let i = 0; i < 3; i++) await write(`number ${i}`);
		const [last] = [...taken.keys()].slice(-1);
		const [, answer] = await device.tell(`edit ${last} changed`);
		if (answer === "done") taken.set(last, "changed");
		await device.tell(`title ${conversation} of kills`);
		await device.line(/^idle/);
		await device.quit();
	}

	// Returns how many system calls there were.
	async function killAt(n, { bin, env = {} } = {}) {
		const file = join(dir, `${newId()}.db`);
		const count = `${file}-count`;
		const taken = new Map();
		const conversation = newId();
		const traced = { file, url: daemon.url, code: await code(), bin, env: { ...env, ...quiet } };
		const device = new NativeDevice({ ...traced, wrap: [tool("tracer"), "kill", String(n), count] });
		const failure = await live(device, conversation, taken).catch((error) => error);
		if (failure && n === 0) throw failure;
		await device.kill();
		for (const line of device.lines) {
			// Taken just before the end: the test did not get to note it.
			const [, id] = /^taken (\S+)/.exec(line) ?? [];
			if (id && !taken.has(id)) taken.set(id, undefined);
		}
		const again = new NativeDevice({ file, url: daemon.url, code: await code(), bin, env: quiet });
		try {
			await again.line(/^online/);
			const arrived = () => [...taken.keys()].every((id) => reader.record("Message", id));
			await until(arrived, `${taken.size} messages that were taken`, 3000);
			await again.line(/^idle/);
			const mine = reader.all("Message").filter((r) => r.fields.conversationId === conversation);
			assert.ok(mine.length - taken.size <= 1, `${mine.length} messages of ${taken.size} that were taken`);
			const texts = [...taken].filter(([, text]) => text && text !== "changed");
			for (const [id, text] of texts) assert.match(reader.record("Message", id).fields.text, new RegExp(`^(${text}|changed)$`));
			for (const [id, text] of taken)
				if (text === "changed") await until(() => reader.record("Message", id).fields.text === text, "an edit that was taken");
			assert.equal(await again.quit(), 0, again.errors);
		} finally {
			await again.kill();
		}
		const calls = existsSync(count) ? Number(await readFile(count, "utf8")) : 0;
		for (const suffix of ["", "-wal", "-lock", "-count"]) await rm(file + suffix, { force: true });
		return calls;
	}

	test("loses nothing and doubles nothing", async (t) => {
		const calls = await killAt(0);
		assert.ok(calls > 150, `the life has only ${calls} system calls`);
		const random = seeded(SEED);
		const span = Math.max(1, Math.floor(calls / SAMPLE));
		const points = all
			? Array.from({ length: calls }, (_, i) => i + 1)
			: Array.from({ length: SAMPLE }, (_, i) => 1 + Math.floor((i * calls) / SAMPLE) + random(span));
		const failures = [];
		const next = points.values();
		await Promise.all(
			Array.from({ length: SIDE_BY_SIDE }, async () => {
				for (const n of next) await killAt(n).catch((error) => failures.push(`call ${n}: ${error.message}`));
			}),
		);
		t.diagnostic(`${points.length} of ${calls} system calls`);
		assert.deepEqual(failures.slice(0, 5), [], `${failures.length} of ${points.length} kills`);
	});

	const skip = !existsSync(faultsDevice) && `${faultsDevice} is not built`;
	test("is noticed when messages are sent before they are kept", { skip }, async () => {
		const planted = { bin: faultsDevice, env: { ROOST_TEST_EARLY_SEND: "1" } };
		const calls = await killAt(0, planted);
		const random = seeded(SEED);
		for (let i = 0; i < 100; i++) {
			const error = await killAt(Math.floor(calls / 3) + random(Math.floor((2 * calls) / 3)), planted).catch((failure) => failure);
			if (error instanceof Error && /messages that were taken/.test(error.message)) return;
		}
		assert.fail("100 kills found nothing");
	});
});
