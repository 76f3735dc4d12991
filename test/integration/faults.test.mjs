// The machine misbehaves: a second daemon, a directory that cannot be written, a full disk, a failing disk, a clock that
// jumps, descriptors that run out, and parts of the daemon itself that freeze. Each time: a clear word, nothing lost,
// nothing falsely acknowledged, and on it goes when the fault is gone.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { Daemon, Device, faultsProgram, newId, root, scratch, sleep, until } from "../lib/roost.mjs";

const run = promisify(execFile);
const LOCAL = { model: "local:test", params: { tokens: 8 } };
const isRoot = process.getuid() === 0;

describe("a second daemon on the same directory", () => {
	test("exits 73 at once and names the first", async () => {
		const first = await Daemon.start();
		const began = Date.now();
		await assert.rejects(Daemon.start({ data: first.data }), (error) => {
			assert.equal(error.code, 73);
			assert.match(error.message, new RegExp(`\\b${first.child.pid}\\b`));
			return true;
		});
		assert.ok(Date.now() - began < 2000);
		await first.device();
		await first.remove();
	});

	test("starts when the first was killed", async () => {
		const first = await Daemon.start();
		await first.kill();
		await first.restart();
		await first.remove();
	});
});

describe("a directory that cannot be written", () => {
	test("is named, with exit 73", async () => {
		const dir = await scratch("readonly");
		const data = join(dir, "data");
		await mkdir(data);
		await chmod(dir, 0o755);
		await chmod(data, 0o555);
		// root may write anywhere, so there it tries without its capabilities; it still reads what is below /root
		const wrap = isRoot ? ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] : [];
		await assert.rejects(Daemon.start({ data, wrap }), (error) => {
			assert.equal(error.code, 73, error.message);
			assert.ok(error.message.includes(data), error.message);
			return true;
		});
		await rm(dir, { recursive: true });
	});
});

describe("a full disk", () => {
	const dir = join("/tmp", `roost-full-${process.pid}`);
	let reason = isRoot ? "" : "only root can mount a small disk";
	if (isRoot)
		try {
			execFileSync("mkdir", ["-p", dir]);
			execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", dir]);
		} catch (error) {
			reason = `no small disk can be mounted: ${error.message}`;
		}

	test("acks nothing, says storage_full, reads and stops, and goes on when there is space", { skip: reason || false }, async (t) => {
		t.after(async () => {
			await run("umount", [dir]);
			await rm(dir, { recursive: true });
		});
		const daemon = await Daemon.start({ data: join(dir, "data") });
		t.after(() => daemon.running && daemon.kill());
		const device = await daemon.device();
		const conversationId = newId();
		const slow = await device.send({
			text: "runs while the disk fills",
			conversationId,
			model: "local:test",
			params: { tokens: 2000, tokensPerSecond: 50 },
		});
		await device.call("session:join", { conversationId });
		await device.until(() => device.stream(slow.requestId).length > 10, "some text");

		const filler = join(dir, "filler");
		await run("dd", ["if=/dev/zero", `of=${filler}`, "bs=64k", "count=200"]).catch(() => {});
		const acked = [];
		let refusals = 0;
		await until(
			async () => {
				const message = { messageId: newId(), conversationId: newId(), text: "x".repeat(20_000) };
				await device.send(message).then(
					() => acked.push(message),
					(error) => {
						assert.equal(error.code, "storage_full");
						assert.equal(error.retryable, true);
						refusals++;
					},
				);
				return refusals >= 20;
			},
			"the disk to be full",
			20_000,
		);
		assert.ok((await device.call("session:sync", { limit: 5 })).records.length > 0, "reading stopped");
		assert.equal((await daemon.http("GET", "/healthz")).status, 200);
		await device.call("request:stop", { requestId: slow.requestId }).catch((error) => assert.equal(error.code, "storage_full"));
		const stoppedAt = device.stream(slow.requestId).length;
		await sleep(300);
		assert.ok(device.stream(slow.requestId).length <= stoppedAt + 200, "the answer goes on after the stop");

		await rm(filler);
		const after = { messageId: newId(), conversationId, text: "there is space again", ...LOCAL };
		await until(() => device.send(after).then(() => true, (error) => error.code !== "storage_full" && Promise.reject(error)), "space");
		assert.equal((await device.finished(slow.requestId)).fields.state, "stopped");
		const reader = await Device.connect(daemon, await daemon.pair());
		await reader.until(() => reader.record("Message", after.messageId), "the message after");
		for (const { messageId } of acked) assert.ok(reader.record("Message", messageId), `${messageId} was acked and is gone`);
		assert.equal(reader.all("Message").filter((m) => m.fields.text.startsWith("xxx")).length, acked.length);
		assert.equal(await daemon.stop(), 0, daemon.errors);
	});
});

describe("a disk that fails", { skip: !existsSync("/usr/bin/strace") && "strace is not installed" }, () => {
	for (const call of ["fdatasync", "pwrite64"])
		test(`in ${call}: nothing is acked after it, and the daemon ends with a message and no second try`, async () => {
			const daemon = await Daemon.start();
			const device = await daemon.device();
			const conversationId = newId();
			await device.send({ text: "before", conversationId });
			const dir = await scratch("strace");
			const log = join(dir, "log");
			const args = ["-f", "-qq", "-p", String(daemon.child.pid), "-e", "trace=fdatasync,fsync,pwrite64", "-o", log];
			const tracer = execFile("strace", [...args, "-e", `inject=${call}:error=EIO`]);
			await until(() => existsSync(log), "strace to attach");
			await sleep(200);
			const message = { messageId: newId(), conversationId, text: "during" };
			await assert.rejects(device.send(message), (error) => error.code !== "storage_full");
			const [code] = await daemon.exited;
			assert.equal(code, 74, daemon.errors);
			assert.match(daemon.errors, /disk|I\/O|fsync|write/i);
			await new Promise((done) => (tracer.exitCode === null ? tracer.on("exit", done) : done()));
			const tries = (await run("grep", ["-c", `${call}.*EIO`, log])).stdout.trim();
			if (call === "fdatasync") assert.equal(tries, "1", "an fsync was tried again");
			await daemon.restart();
			const again = await Device.connect(daemon, device, { cursor: undefined });
			const ack = await again.send(message);
			assert.equal(typeof ack.duplicate, "boolean");
			await daemon.remove();
			await rm(dir, { recursive: true });
		});
});

describe("a clock that jumps", () => {
	for (const [what, seconds] of [["forward", 86_400], ["back", -86_400]])
		test(`a day ${what}: answers go on, order stays, nobody is thrown out`, async () => {
			const dir = await scratch("clock");
			const shim = join(dir, "clock_shift.so");
			const file = join(dir, "shift");
			await run("cc", ["-shared", "-fPIC", "-O1", "-o", shim, join(root, "test/lib/clock_shift.c")]);
			await writeFile(file, "0");
			const env = { LD_PRELOAD: shim, CLOCK_SHIFT_FILE: file };
			const daemon = await Daemon.start({ env });
			const device = await daemon.device();
			const conversationId = newId();
			const running = await device.send({
				text: "across the jump",
				conversationId,
				model: "local:test",
				params: { tokens: 60, tokensPerSecond: 60 },
			});
			const waiting = await device.send({ text: "behind it", conversationId, ...LOCAL });
			await device.call("session:join", { conversationId });
			await device.until(() => device.stream(running.requestId).length > 10, "some text");
			await writeFile(file, String(seconds));
			const { serverTime } = await Device.connect(daemon, await daemon.pair()).then((d) => d.welcome);
			assert.ok(Math.abs(Date.parse(serverTime) - Date.now() - seconds * 1000) < 60_000, "the clock did not jump");
			assert.equal((await device.finished(running.requestId)).fields.state, "done");
			assert.equal((await device.finished(waiting.requestId)).fields.state, "done");
			assert.equal(device.record("Request", running.requestId).fields.attempt, 1, "the jump cost an attempt");
			const later = await device.converse({ text: "after the jump", conversationId, ...LOCAL });
			assert.equal(later.request.fields.state, "done");
			await daemon.restart({ env });
			const again = await Device.connect(daemon, device, { cursor: undefined });
			const last = await again.converse({ text: "after a restart", conversationId, ...LOCAL });
			assert.equal(last.request.fields.state, "done");
			const reader = await Device.connect(daemon, await daemon.pair());
			await reader.until(() => reader.record("Message", last.reply.name), "everything");
			const ords = reader.all("Message").map((m) => m.fields.ord).sort((x, y) => x - y);
			assert.deepEqual(ords, [1, 2, 3, 4, 5, 6, 7, 8]);
			assert.equal(reader.record("Message", last.reply.name).fields.ord, 8);
			await daemon.remove();
			await rm(dir, { recursive: true });
		});
});

describe("file descriptors that run out", () => {
	test("do not stop who is connected, do not spin, and are used again when they are free", async () => {
		const daemon = await Daemon.start({ wrap: ["prlimit", "--nofile=64:64"] });
		const device = await daemon.device();
		const sockets = Array.from({ length: 150 }, () => net.connect(daemon.port, "127.0.0.1").on("error", () => {}));
		await sleep(300);
		const cpu = async () => {
			const stat = (await run("cat", [`/proc/${daemon.child.pid}/stat`])).stdout.split(") ")[1].split(" ");
			return Number(stat[11]) + Number(stat[12]); // ticks of 10 ms
		};
		const before = await cpu();
		await sleep(1000);
		assert.ok((await cpu()) - before < 30, "the daemon spins while it has no descriptor left");
		const { request } = await device.converse({ text: "still here", conversationId: newId(), ...LOCAL });
		assert.equal(request.fields.state, "done");
		for (const socket of sockets) socket.destroy();
		await until(() => daemon.http("GET", "/healthz").then((answer) => answer.status === 200, () => false), "new connections", 3000);
		await (await daemon.device()).close();
		assert.equal(await daemon.stop(), 0, daemon.errors);
		await daemon.remove();
	});
});

// Nobody but the sweep or the watchdog can help here, so each takes about as long as those wait.
describe("a part that freezes", { skip: !existsSync(faultsProgram) && `${faultsProgram} is not built`, concurrency: true }, () => {
	const config = "limits:\n  connectMs: 300\n  firstTokenMs: 300\n  streamIdleMs: 1000\n";
	const quick = { model: "local:test", params: { tokens: 8 } };
	const slow = { model: "local:test", params: { tokens: 60, tokensPerSecond: 2.5 } };
	const cases = [
		["a nudge", "nudge", quick, "request.found", 5_000],
		["a nudge and the sweep", "nudge,sweep", quick, "watchdog.sweep", 30_000],
		["a worker", "worker", quick, "watchdog.worker", 40_000],
		["a stream", "stream", slow, "watchdog.stream", 40_000],
	];
	for (const [what, freeze, request, event, ms] of cases)
		test(`${what}: what was asked is answered all the same, and the journal says why`, async (t) => {
			const daemon = await Daemon.start({ bin: faultsProgram, env: { ROOST_TEST_FREEZE: freeze }, config });
			t.after(() => daemon.remove());
			const device = await daemon.device();
			const conversationId = newId();
			await device.call("session:join", { conversationId });
			const { requestId } = await device.send({ text: "still there?", conversationId, ...request });
			const attempt = 2; // the first was lost
			if (request === slow) {
				await device.until(() => device.stream(requestId), "its text", ms);
				assert.equal(device.record("Request", requestId).fields.state, "claimed", "it was only shown when it was done");
				await device.call("request:stop", { requestId });
			} else {
				const record = await device.finished(requestId, ms);
				assert.deepEqual([record.fields.state, record.fields.attempt], ["done", attempt]);
				assert.equal(device.stream(requestId, attempt), device.answers(requestId)[0].fields.text);
			}
			const log = await until(async () => (await daemon.cli("log", "--json")).stdout.includes(`"${event}"`), `${event} in the journal`);
			assert.ok(log);
		});
});

describe("a daemon killed in the middle of an answer", () => {
	test("keeps the text that was shown, begins a new attempt as a new stream, and splices nothing", async () => {
		const daemon = await Daemon.start();
		const device = await daemon.device();
		const conversationId = newId();
		const { requestId } = await device.send({
			text: "long",
			conversationId,
			model: "local:test",
			params: { tokens: 120, tokensPerSecond: 60 },
		});
		await device.call("session:join", { conversationId });
		await device.until(() => device.stream(requestId).length > 60, "some text");
		await daemon.kill();
		const shown = device.stream(requestId);
		await daemon.restart();
		const again = await Device.connect(daemon, device, { cursor: device.cursor });
		await again.call("session:join", { conversationId });
		const request = await again.finished(requestId);
		assert.deepEqual([request.fields.state, request.fields.attempt], ["done", 2]);
		const reply = again.record("Message", request.fields.replyId);
		assert.equal(again.stream(requestId, 2), reply.fields.text);
		assert.ok((await again.kept(requestId, 1)).startsWith(shown));
		assert.equal(again.answers(requestId).length, 1);
		await daemon.remove();
	});
});

describe("stored data that was damaged", () => {
	test("is found by doctor, and never served as truth", async () => {
		const daemon = await Daemon.start();
		const device = await daemon.device();
		const marker = "a sentence that will be damaged on the disk";
		for (let i = 0; i < 20; i++) await device.send({ text: `${marker} ${i}`, conversationId: newId() });
		assert.equal(await daemon.stop(), 0, daemon.errors);
		assert.equal((await daemon.cli("doctor")).code, 0);
		const file = join(daemon.data, "roost.db");
		const bytes = await readFile(file);
		const at = bytes.indexOf(`${marker} 7`);
		assert.ok(at > 0, "the message is not where the test looks for it");
		bytes[at] ^= 1;
		await writeFile(file, bytes);
		const doctor = await daemon.cli("doctor");
		assert.notEqual(doctor.code, 0);
		assert.match(doctor.stdout + doctor.stderr, /Message|record|checksum/i);
		await daemon.restart().catch(() => {});
		if (daemon.running) {
			const reader = await Device.connect(daemon, device, { cursor: undefined }).catch(() => undefined);
			await sleep(300);
			for (const message of reader?.all("Message") ?? []) assert.ok(message.fields.text.startsWith(marker), message.fields.text);
		}
		await daemon.remove();
	});
});
