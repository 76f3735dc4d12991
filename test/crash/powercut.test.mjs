// The power is cut at any moment: nothing that was acknowledged or shown is lost, nothing is doubled when the devices
// come back, and nothing is corrupt. Twice the same run with a planted fault, which must be noticed.
//
// A daemon runs under `tracer record` while devices keep it busy; `powercut check` replays what reached the disk.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { all, Daemon, Device, faultsProgram, newId, program, scratch, seeded, tool } from "../lib/roost.mjs";

const run = promisify(execFile);
const STATES = all ? 24_000 : 2_500; // some come out equal; at least 20,000 and 2,000 must differ
const DISTINCT = all ? 20_000 : 2_000;
const CONTROL_STATES = 400;
const STARTS = all ? 60 : 20; // states that a real daemon is started on
const SEED = Number(process.env.ROOST_TEST_SEED ?? 1);
const DEVICES = 5;

async function upload(daemon, token, random) {
	const body = randomBytes(1 + random(20_000));
	const path = `/api/v1/assets/${createHash("sha256").update(body).digest("hex")}`;
	const answer = await daemon.http("PUT", path, { token, body, headers: { "content-type": "application/octet-stream" } });
	assert.equal(answer.status, 201, answer.text);
}

// Keeps a daemon busy: plain messages in bursts, answers that stream, records that change,
// attachments. Returns what was sent and
// by whom.
async function keepBusy(daemon, rounds) {
	const random = seeded(SEED);
	const sent = [];
	const devices = [];
	for (let i = 0; i < DEVICES; i++) devices.push(await daemon.device());
	const watcher = devices[0];
	const conversations = devices.map(() => newId());

	function send(device, conversationId, answer) {
		const messageId = newId();
		const text = `${messageId} ${"lorem ipsum ".repeat(random(30))}`;
		sent.push({ messageId, conversationId, text, answer });
		return device.send({
			messageId,
			conversationId,
			text,
			...(answer ? { model: "local:test", params: { tokens: 4 + random(20), tokensPerSecond: 400 } } : {}),
		});
	}

	await Promise.all(conversations.map((conversationId, i) => send(devices[i], conversationId, false)));
	for (const conversationId of conversations) await watcher.call("session:join", { conversationId });
	await Promise.all(
		devices.map(async (device, i) => {
			for (let round = 0; round < rounds; round++) {
				const burst = [];
				for (let k = random(4); k >= 0; k--) burst.push(send(device, conversations[i], k === 0));
				const acks = await Promise.all(burst);
				const asked = acks.find((ack) => ack.requestId) ?? {};
				if (round % 3 === 1) await upload(daemon, device.token, random);
				if (round % 4 === 0)
					await device.call("record:save", {
						policy: "changedKeys",
						records: [{ type: "Project", name: `project-${i}`, fields: { title: `round ${round}` } }],
					});
				if (round % 3 === 0 && asked.requestId) await device.finished(asked.requestId);
				if (round % 5 === 1) await device.call("request:stop", { requestId: asked.requestId }).catch(() => {});
			}
		}),
	);
	for (const device of devices) await device.close();
	return { sent, credentials: devices.map(({ token, deviceId, userId }) => ({ token, deviceId, userId })) };
}

// A recorded run: {dir, log, sent, credentials}.
async function record({ bin = program, env = {}, rounds }) {
	const dir = await scratch("powercut");
	const data = join(dir, "data");
	const log = join(dir, "log");
	await mkdir(data);
	const quiet = { ASAN_OPTIONS: "detect_leaks=0" }; // which a traced process cannot do
	const daemon = await Daemon.start({ data, bin, env: { ...env, ...quiet }, wrap: [tool("tracer"), "record", log, data] });
	try {
		const busy = await keepBusy(daemon, rounds);
		assert.equal(await daemon.stop(), 0, daemon.errors);
		const sentFile = join(dir, "sent");
		await writeFile(sentFile, busy.sent.map((m) => `${JSON.stringify(m)}\n`).join(""));
		return { dir, log, sentFile, ...busy };
	} finally {
		if (daemon.running) await daemon.kill();
	}
}

async function check({ dir, log, sentFile }, states) {
	const args = ["check", log, sentFile, String(states), String(SEED), dir];
	const { stdout } = await run(tool("powercut"), args, { maxBuffer: 1 << 20 });
	return JSON.parse(stdout);
}

describe("a power cut", () => {
	let trace;
	before(async () => (trace = await record({ rounds: all ? 24 : 14 })));
	after(() => trace && rm(trace.dir, { recursive: true, force: true }));

	test(`leaves ${DISTINCT} different states, and each keeps every promise`, async (t) => {
		const found = await check(trace, STATES);
		t.diagnostic(JSON.stringify(found));
		assert.ok(found.acks >= trace.sent.length, "the recording has fewer acks than messages");
		assert.ok(found.deltas > 100 && found.pushed > 100 && found.tokens >= DEVICES && found.assets > 5, "the recording shows too little");
		for (const fault of ["corrupt", "lostAcks", "lostShown", "duplicates"])
			assert.equal(found[fault], 0, `${fault}: ${found.examples.join("; ")}`);
		assert.ok(found.distinct >= DISTINCT, `only ${found.distinct} of ${found.states} states differ`);
	});

	test(`leaves states that a daemon starts on, where devices send again and nothing is doubled`, async () => {
		for (let i = 0; i < STARTS; i++) {
			const data = join(trace.dir, "start");
			await mkdir(data);
			const index = Math.floor((i * STATES) / STARTS);
			const args = ["make", trace.log, trace.sentFile, String(index), String(SEED), data];
			const { stdout } = await run(tool("powercut"), args, { maxBuffer: 1 << 24 });
			await comesBack(data, JSON.parse(stdout));
			await rm(data, { recursive: true });
		}
	});

	async function comesBack(data, promised) {
		const daemon = await Daemon.start({ data });
		try {
			const known = trace.credentials.find(({ token }) => promised.tokens.includes(token));
			if (!known) return;
			const device = await Device.connect(daemon, known);
			const acked = new Set(promised.acked);
			const acks = await Promise.all(
				trace.sent.map(({ messageId, conversationId, text, answer }) =>
					device.send({ messageId, conversationId, text, ...(answer ? { model: "local:test" } : {}) }),
				),
			);
			for (const ack of acks) if (acked.has(ack.messageId)) assert.ok(ack.duplicate, `${ack.messageId} was lost`);
			const reader = await Device.connect(daemon, await daemon.pair()); // the sender is spared what it made
			const people = () => reader.all("Message").filter((m) => m.fields.role === "user");
			const asked = trace.sent.filter((m) => m.answer).length;
			const ended = () => reader.all("Request").filter((r) => ["done", "failed", "stopped"].includes(r.fields.state));
			await reader.until(() => people().length >= trace.sent.length && ended().length >= asked, "all to be answered", 30_000);
			assert.equal(people().length, trace.sent.length);
			assert.equal(reader.all("Request").length, asked);
			const replies = reader.all("Message").filter((m) => m.fields.role === "assistant" && m.fields.status === "complete");
			const answered = replies.map((m) => m.fields.requestId);
			assert.equal(new Set(answered).size, answered.length, "a request has two replies");
			await device.close();
		} finally {
			await daemon.kill();
		}
	}
});

describe("the power-cut test itself", { skip: !existsSync(faultsProgram) && `${faultsProgram} is not built` }, () => {
	const controls = [
		["a store that does not sync each commit", { ROOST_TEST_WEAK_SYNC: "1" }],
		["an ack that leaves before the commit", { ROOST_TEST_EARLY_ACK: "1" }],
	];
	for (const [what, env] of controls)
		test(`notices ${what}`, async (t) => {
			const trace = await record({ bin: faultsProgram, env, rounds: 6 });
			const found = await check(trace, CONTROL_STATES);
			t.diagnostic(JSON.stringify(found));
			await rm(trace.dir, { recursive: true, force: true });
			assert.ok(found.lostAcks > 0, "the planted fault was not noticed");
			assert.equal(found.corrupt, 0, "this fault loses, it does not corrupt");
		});
});
