// The feed as devices live with it: what a reconnect brings, what a slow device does to the others, and how far each one
// has come, also after a restart.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, newId, sleep } from "../lib/roost.mjs";

let daemon;
before(async () => (daemon = await Daemon.start()));
after(() => daemon.remove());

const byName = (frames) => frames.filter((f) => f.type === "session:changes" && f.re === undefined).flatMap((f) => f.records);

describe("session:changes", () => {
	test("reach every other device once, and the author never", async () => {
		const [a, b, c] = [await daemon.device(), await daemon.device(), await daemon.device()];
		const conversationId = newId(), ids = [];
		for (let i = 0; i < 50; i++) ids.push((await a.send({ conversationId, text: `n ${i}` })).messageId);
		for (const device of [b, c]) {
			await device.until(() => device.record("Message", ids.at(-1)), "the last one");
			const seen = byName(device.frames).filter(({ type }) => type === "Message").map(({ name }) => name);
			assert.deepEqual(seen, ids, "in order, once each");
		}
		await sleep(50);
		assert.equal(byName(a.frames).filter(({ type }) => type === "Message").length, 0);
		for (const device of [a, b, c]) await device.close();
	});

	test("a reconnect from the cursor brings exactly what was missed: no gap, no repeat", async () => {
		const [a, b] = [await daemon.device(), await daemon.device()];
		const conversationId = newId(), ids = [], got = [];
		const keep = (frame) => {
			if (frame.type === "session:changes") got.push(...frame.records.filter(({ type }) => type === "Message").map(({ name }) => name));
		};
		b.tap = keep;
		for (let round = 0; round < 20; round++) {
			for (let i = 0; i < 10; i++) ids.push((await a.send({ conversationId, text: `${round} ${i}` })).messageId);
			if (round % 2 === 0) await b.terminate(); // in the middle of it
			else {
				await b.open();
				await b.hello();
				if (round % 4 === 1) await b.until(() => b.record("Message", ids.at(-1)), "all of it");
			}
		}
		if (b.closed) {
			await b.open();
			await b.hello();
		}
		await b.until(() => b.record("Message", ids.at(-1)), "the last one");
		assert.deepEqual(got.filter((name) => ids.includes(name)), ids);
		await a.close();
		await b.close();
	});

	test("a slow reader does not delay nine others, and gets everything in the end", async () => {
		const sender = await daemon.device(), others = [];
		for (let i = 0; i < 9; i++) others.push(await daemon.device());
		const slow = await daemon.device();
		slow.socket.pause();
		const conversationId = newId(), text = "x".repeat(60_000), late = [];
		for (let i = 0; i < 100; i++) {
			const begun = performance.now();
			const { messageId } = await sender.send({ conversationId, text: `${i} ${text}` });
			await Promise.all(others.map((device) => device.until(() => device.record("Message", messageId), "the message")));
			late.push(performance.now() - begun);
		}
		late.sort((x, y) => x - y);
		assert.ok(late[50] < 250, `the median device waited ${late[50]} ms`); // 9 × 60 kB parsed here each time
		assert.equal(slow.all("Message").length, 0);
		slow.socket.resume();
		const here = ({ fields }) => fields.conversationId === conversationId;
		await slow.until(() => slow.all("Message").filter(here).length === 100, "everything", 30_000);
		for (const device of [sender, slow, ...others]) await device.close();
	});
});

describe("device:ack", () => {
	const listed = async (asker, deviceId) => (await asker.call("device:list")).devices.find((d) => d.deviceId === deviceId);

	test("moves what device:list says of a device", async () => {
		const [a, b] = [await daemon.device(), await daemon.device()];
		assert.equal((await listed(a, b.deviceId)).syncedAt, undefined);
		const conversationId = newId();
		for (let i = 0; i < 5; i++) await a.send({ conversationId, text: `${i}` });
		await b.until(() => b.all("Message").filter(({ fields }) => fields.conversationId === conversationId).length === 5, "the messages");
		await b.call("device:ack", { cursor: b.cursor });
		const state = await listed(a, b.deviceId);
		assert.equal(state.behind, 0);
		assert.match(state.syncedAt, /^20/);
		for (let i = 0; i < 3; i++) await a.send({ conversationId, text: `more ${i}` });
		assert.equal((await listed(a, b.deviceId)).behind, 3);
		await a.close();
		await b.close();
	});

	test("an older cursor takes nothing back, a foreign one is refused", async () => {
		const a = await daemon.device();
		const conversationId = newId();
		await a.send({ conversationId, text: "one" });
		const newestCursor = async () => {
			let cursor, more = true;
			while (more) ({ cursor, more } = await a.call("session:sync", cursor ? { cursor } : {}));
			return cursor;
		};
		const cursor = await newestCursor();
		await a.send({ conversationId, text: "two" });
		const newest = await newestCursor();
		await a.call("device:ack", { cursor: newest });
		await a.call("device:ack", { cursor });
		assert.equal((await listed(a, a.deviceId)).behind, 0);
		await assert.rejects(a.call("device:ack", { cursor: "1.0123456789abcdef.1" }), { code: "cursor_expired" });
		await assert.rejects(a.call("device:ack", { cursor: "nonsense" }), { code: "bad_field" });
		await a.close();
	});

	test("is no commit, and the leaving device's is", async () => {
		const house = await Daemon.start();
		const [a, b] = [await house.device(), await house.device()];
		await a.send({ conversationId: newId(), text: "one" });
		await b.until(() => b.all("Message").length === 1, "the message");
		await sleep(100);
		const { store: had } = await house.operator("GET", "status");
		for (let i = 0; i < 200; i++) await b.call("device:ack", { cursor: b.cursor });
		assert.equal((await house.operator("GET", "status")).store.commands, had.commands);
		assert.equal(a.record("SyncState", b.deviceId), undefined);
		await b.close();
		const state = await a.until(() => a.record("SyncState", b.deviceId), "its SyncState");
		assert.deepEqual(
			[state.fields.deviceId, state.fields.cursor, state.fields.status, state.fields.pending],
			[b.deviceId, b.cursor, "synced", 0],
		);
		assert.equal(state.modified.deviceId, b.deviceId);
		await house.remove();
	});

	test("survives a restart: who was how far is known", async () => {
		const house = await Daemon.start();
		const [a, b, c] = [await house.device(), await house.device(), await house.device()];
		const conversationId = newId();
		await a.send({ conversationId, text: "one" });
		for (const device of [b, c]) await device.until(() => device.all("Message").length === 1, "the message");
		for (const device of [b, c]) await device.call("device:ack", { cursor: device.cursor });
		await c.close(); // written as it leaves; b's as the daemon stops
		const before = await listed(a, b.deviceId);
		await house.restart();
		await a.open();
		await a.hello();
		for (const { deviceId } of [b, c]) assert.equal((await listed(a, deviceId)).behind, 0);
		assert.equal((await listed(a, b.deviceId)).syncedAt, before.syncedAt);
		await a.send({ conversationId, text: "two" });
		await a.send({ conversationId, text: "three" });
		for (const { deviceId } of [b, c]) assert.equal((await listed(a, deviceId)).behind, 2);
		await house.remove();
	});

	test("a hello with a cursor says the same as an ack", async () => {
		const [a, b] = [await daemon.device(), await daemon.device()];
		const { messageId } = await a.send({ conversationId: newId(), text: "one" });
		await b.until(() => b.record("Message", messageId), "the message");
		await b.terminate();
		await b.open();
		await b.hello();
		assert.equal((await listed(a, b.deviceId)).behind, 0);
		await a.close();
		await b.close();
	});

	test("what a device says of itself stays, and a revoked device leaves none", async () => {
		const [a, b, c] = [await daemon.device(), await daemon.device(), await daemon.device()];
		await a.send({ conversationId: newId(), text: "one" });
		await b.until(() => b.all("Message").length > 0, "the message");
		await b.call("device:ack", { cursor: b.cursor });
		await b.terminate();
		await a.until(() => a.record("SyncState", b.deviceId), "its SyncState");
		await b.open();
		await b.hello();
		const fields = { status: "failed", pending: 3, lastError: "no network" };
		const { results } = await b.call("record:save", { policy: "changedKeys", records: [{ type: "SyncState", name: b.deviceId, fields }] });
		assert.deepEqual([results[0].record.fields.status, results[0].record.fields.pending], ["failed", 3]);
		const { messageId } = await a.send({ conversationId: newId(), text: "two" });
		await b.until(() => b.record("Message", messageId), "the message");
		const { cursor } = b;
		await b.call("device:ack", { cursor });
		await b.close();
		await a.until(() => a.record("SyncState", b.deviceId).fields.cursor === cursor, "its newer SyncState");
		assert.equal(a.record("SyncState", b.deviceId).fields.lastError, "no network");
		await a.call("device:revoke", { deviceId: b.deviceId });
		await c.until(() => c.record("SyncState", b.deviceId)?.deleted, "its tombstone");
		await a.close();
		await c.close();
	});
});
