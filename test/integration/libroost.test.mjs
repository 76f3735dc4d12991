// libroost from outside: its examples against a real daemon, devices that lose the net, the daemon, their process or all
// their memory, and what the built library shows of itself.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile, rm, stat } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { NativeDevice } from "../lib/device.mjs";
import { all, Daemon, Device, newId, program, root, scratch, tool, until } from "../lib/roost.mjs";

const run = promisify(execFile);
const library = join(dirname(program), "../lib/libroost.so");
const archive = join(dirname(program), "../lib/libroost.a");

describe("libroost", () => {
	let daemon, dir, files = 0;
	const file = () => join(dir, `device-${files++}.db`);
	const code = async () => (await daemon.code()).code;
	const device = async (options = {}) => new NativeDevice({ file: file(), url: daemon.url, code: await code(), ...options });
	before(async () => {
		dir = await scratch("libroost");
		daemon = await Daemon.start();
	});
	after(async () => {
		await daemon.remove();
		await rm(dir, { recursive: true, force: true });
	});

	test("passes the two-device scenario from Python", async () => {
		const { stdout } = await run("python3", [join(root, "examples/two_devices.py"), daemon.url, await code(), await code()], {
			env: { ...process.env, LIBROOST: library },
			timeout: 60_000,
		});
		for (const step of ["B sees what A sent", "A sees what B changed", "B sees what A wrote offline"])
			assert.match(stdout, new RegExp(`${step}: \\d`));
	});

	for (const kind of ["shared", "static"])
		test(`answers from C, linked with the ${kind} library`, async () => {
			const db = file();
			const first = await run(tool(`roost_example_${kind}`), [db, daemon.url, await code(), "say something"], { timeout: 30_000 });
			assert.ok(first.stdout.length > 20, first.stdout + first.stderr);
			const again = await run(tool(`roost_example_${kind}`), [db, daemon.url, "", "and again"], { timeout: 30_000 });
			assert.ok(again.stdout.length > 20, "the credential was not kept");
		});

	test("shows roost_ names and no others", async () => {
		for (const [path, options] of [[library, ["-D"]], [archive, ["-g"]]]) {
			const { stdout } = await run("nm", [...options, "--defined-only", path]);
			const names = [...stdout.matchAll(/^[0-9a-f]+ [B-Zb-z] ([^@\n]+)/gm)].map((match) => match[1]);
			assert.ok(names.length > 30, `${path} shows ${names.length} names`);
			assert.deepEqual(names.filter((name) => !name.startsWith("roost_")), []);
			const header = await readFile(join(root, "include/roost.h"), "utf8");
			const declared = new Set([...header.matchAll(/^ROOST_API [^;]*?(roost_[a-z_]+)\(/gms)].map((match) => match[1]));
			assert.deepEqual(names.filter((name) => !declared.has(name)), [], "not in roost.h");
			assert.deepEqual([...declared].filter((name) => !names.includes(name)), [], "only in roost.h");
		}
	});

	test("keeps its file to itself", async () => {
		const db = file();
		const first = new NativeDevice({ file: db, url: daemon.url, code: await code() });
		await first.line(/^online/);
		assert.equal((await stat(db)).mode & 0o777, 0o600);
		const second = new NativeDevice({ file: db, url: daemon.url });
		const [status] = await second.exited;
		assert.equal(status, 1);
		assert.match(second.errors, new RegExp(`already_running: .*${db} is open in process ${first.child.pid}`));
		await first.kill();
		const third = new NativeDevice({ file: db, url: daemon.url });
		await third.line(/^online/);
		assert.equal(await third.quit(), 0);
	});

	test("writes in airplane mode, and everything arrives in order when the net is back", async () => {
		const [a, b] = [await device(), await device()];
		const conversation = newId();
		await a.line(/^online/);
		await b.line(/^online/);
		const first = await a.send(conversation, "before the flight");
		await until(() => b.texts.has(first), "the first message on B");
		await a.tell("stop");
		await a.line(/^offline/);
		const flown = [];
		for (let i = 0; i < 20; i++) flown.push(await a.send(conversation, `in the air ${i}`));
		await a.tell(`edit ${flown[3]} changed in the air`);
		const landed = await b.send(conversation, "from the ground");
		await a.tell("start");
		await until(() => flown.every((id) => b.texts.has(id)) && a.texts.has(landed), "everything on both");
		assert.equal(b.texts.get(flown[3]), "changed in the air");
		const heard = [...b.texts.keys()].filter((id) => flown.includes(id));
		assert.deepEqual(heard, flown);
		for (const each of [a, b]) {
			assert.equal((await each.tell(`list ${conversation}`))[2], "22");
			assert.equal(await each.quit(), 0);
		}
	});

	test("goes on where it was killed in the middle of a sync", async () => {
		const writer = await Device.connect(daemon, await daemon.pair());
		const conversationId = newId();
		const sent = [];
		for (let i = 0; i < 600; i++) sent.push(writer.send({ messageId: newId(), conversationId, text: `number ${i}` }));
		await Promise.all(sent);
		const db = file();
		let a = new NativeDevice({ file: db, url: daemon.url, code: await code() });
		await a.line(/^text/);
		await a.kill();
		for (let i = 0; i < 5; i++) {
			a = new NativeDevice({ file: db, url: daemon.url });
			await a.line(/^device/);
			await new Promise((done) => setTimeout(done, 5 * i));
			await a.kill();
		}
		a = new NativeDevice({ file: db, url: daemon.url });
		await a.line(/^idle/);
		await until(async () => (await a.tell(`list ${conversationId}`))[2] === "600", "all messages");
		assert.equal(await a.quit(), 0);
		await writer.close();
	});

	test("does not drive what only the process before it had joined, when that was killed and the daemon has not noticed", async (t) => {
		const held = []; // the daemon's ends of connections, whose other ends may be gone
		const between = createServer((near) => {
			const far = connect(daemon.port, "127.0.0.1");
			held.push(far);
			near.on("error", () => {});
			far.on("error", () => {});
			near.on("data", (bytes) => far.write(bytes));
			far.on("data", (bytes) => near.write(bytes));
			far.on("close", () => near.destroy());
		}).listen(0, "127.0.0.1");
		t.after(() => {
			for (const far of held) far.destroy();
			between.close();
		});
		await once(between, "listening");
		const url = `http://127.0.0.1:${between.address().port}`;
		const [db, conversationId] = [file(), newId()];
		const other = await Device.connect(daemon, await daemon.pair());
		t.after(() => other.close());
		const { sessionId } = await other.send({ text: "who drives?", conversationId });
		const before = new NativeDevice({ file: db, url, code: await code() });
		t.after(() => before.kill());
		const [, id] = await before.line(/^device (\S+)/);
		await before.line(/^online/);
		await before.must(`join ${conversationId}`);
		await before.line(new RegExp(`^primary ${conversationId} ${id} `));
		assert.equal((await other.call("session:join", { conversationId })).primary.deviceId, id);
		await before.kill();
		const next = new NativeDevice({ file: db, url });
		t.after(() => next.kill());
		await next.line(/^online/);
		const isTold = () => other.frames.some((f) => f.type === "device:primary" && f.sessionId === sessionId && f.deviceId === other.deviceId);
		await other.until(isTold, "the next primary");
		assert.deepEqual((await other.call("session:join", { conversationId })).joined, [other.deviceId]);
		assert.equal(await next.quit(), 0);
	});

	test("outlives its daemon", async () => {
		const [a, b] = [await device(), await device()];
		const conversation = newId();
		await a.line(/^online/);
		await b.line(/^online/);
		const { port } = daemon;
		await daemon.kill();
		await a.line(/^offline/);
		const alone = await a.send(conversation, "nobody is there");
		await daemon.restart({ port });
		await until(() => b.texts.get(alone) === "nobody is there", "what was written without a daemon", 20_000);
		for (const each of [a, b]) assert.equal(await each.quit(), 0);
	});

	test("is told when it is revoked, and does not come back", async () => {
		const a = await device();
		const [, id] = await a.line(/^device (\S+)/);
		await a.line(/^online/);
		const { token } = await daemon.pair();
		const answer = await daemon.http("POST", `/api/v1/devices/${id}/revoke`, { token, body: {} });
		assert.equal(answer.status, 200, answer.text);
		await a.line(/^stopped unauthorized/);
		assert.equal(await a.quit(), 0);
	});

	test("says what is wrong with a pairing code", async () => {
		const a = new NativeDevice({ file: file(), url: daemon.url, code: "AAAA-AAAA" });
		await a.line(/^paired pairing_invalid/);
		assert.equal(await a.quit(), 0);
	});

	// One allocation in so many fails; with ROOST_TEST_ALL each of them does.
	for (const [mode, what] of [["once", "one allocation fails"], ["all", "all allocations fail from one on"]])
		test(`loses nothing and never crashes when ${what}`, { timeout: 1_200_000 }, async (t) => {
			const nomem = tool("nomem");
			const place = await scratch("nomem");
			const torture = async (from, to, step) => {
				const lives = Math.floor((to - from) / step) + 1;
				const codes = [];
				for (let i = 0; i < 2 * lives; i++) codes.push(await code());
				const child = run(nomem, [daemon.url, place, mode, from, to, step].map(String), { maxBuffer: 1 << 24 });
				child.child.stdin.end(`${codes.join("\n")}\n`);
				return (await child).stdout;
			};
			const measured = await torture(0, 0, 1).catch((error) => error);
			if (measured.code === 77) return t.skip("the sanitizers have malloc for themselves");
			const allocations = Number(/(\d+) allocations/.exec(measured)[1]);
			const step = all ? 1 : Math.ceil(allocations / 40);
			const out = await torture(1, allocations, step);
			t.diagnostic(`${out.trim().split("\n").length} of ${allocations} allocations`);
			await rm(place, { recursive: true, force: true });
		});

	test("has an example in its guide that is the one built here", async () => {
		const guide = await readFile(join(root, "docs/libroost.md"), "utf8");
		const [, shown] = /```c\n(.*?)```/s.exec(guide);
		assert.equal(shown, await readFile(join(root, "examples/roost_example.c"), "utf8"));
		assert.ok(existsSync(library));
	});
});
