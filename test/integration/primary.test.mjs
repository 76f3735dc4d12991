// Devices of one user in one session, over real sockets: who is primary, how it passes on, who holds the lock, who is
// told, and how fast.

import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NativeDevice } from "../lib/device.mjs";
import { Daemon, Device, newId, scratch, sleep, until } from "../lib/roost.mjs";

const HEARTBEAT_MS = 600;
const GRACE_MS = 1200;
const config = `limits:\n  heartbeatMs: ${HEARTBEAT_MS}\n  primaryGraceMs: ${GRACE_MS}\n  lockMs: 30000\n`;

let daemon, other; // `other` is a device of another user
before(async () => {
	daemon = await Daemon.start({ config });
	await daemon.pair(); // the first user, "me"
	await daemon.operator("POST", "users", { name: "other" });
	other = await daemon.device({ user: "other" });
});
after(() => daemon.remove());

const newDevice = (options = {}) => daemon.device({ user: "me", ...options });

// A conversation with its first message, and what the daemon knows of its session.
async function conversation(device) {
	const conversationId = newId();
	const { sessionId } = await device.send({ text: `hello ${conversationId}`, conversationId });
	return { conversationId, sessionId };
}

const told = (device, type) => device.frames.filter((frame) => frame.type === type && frame.re === undefined);
const lastPrimary = (device, sessionId) =>
	told(device, "device:primary").findLast((frame) => frame.sessionId === sessionId);

// Waits until the device was told that `who` (a Device or null) is primary, and gives the term.
function toldPrimary(device, sessionId, who, ms = 10_000) {
	const id = who?.deviceId ?? null;
	return device.until(
		() => {
			const frame = lastPrimary(device, sessionId);
			return frame?.deviceId === id && frame;
		},
		`${id} to be primary`,
		ms,
	);
}

const refused = (promise, code, more = {}) =>
	assert.rejects(promise, (error) => {
		assert.equal(error.code, code, error.message);
		for (const [key, value] of Object.entries(more)) assert.deepEqual(error[key], value, key);
		return true;
	});

// `n` devices of one user, joined in this order.
async function joined(n, options = {}) {
	const devices = [];
	for (let i = 0; i < n; i++) devices.push(await newDevice(options));
	const { conversationId, sessionId } = await conversation(devices[0]);
	const states = [];
	for (const device of devices) states.push(await device.call("session:join", { conversationId }));
	return { devices, conversationId, sessionId, states };
}

const primary = (device, sessionId, action, more = {}) => device.call("device:primary", { sessionId, action, ...more });

describe("the primary", () => {
	test("is the first device that joins, and its join says so", async () => {
		const { devices: [a, b], sessionId, states } = await joined(2);
		assert.deepEqual(states[0].primary, { deviceId: a.deviceId, term: 1 });
		assert.equal(states[0].session.fields.primaryDeviceId, a.deviceId);
		assert.deepEqual(states[1].primary, { deviceId: a.deviceId, term: 1 });
		assert.deepEqual(states[1].joined, [a.deviceId, b.deviceId]);
		assert.deepEqual(await primary(a, sessionId, "request").then(({ deviceId, term }) => ({ deviceId, term })), states[0].primary);
	});

	test("is chosen among those who joined before the conversation existed", async () => {
		const a = await newDevice();
		const b = await newDevice();
		const conversationId = newId();
		const state = await a.call("session:join", { conversationId });
		assert.deepEqual(state.primary, { deviceId: null, term: 0 });
		await b.call("session:join", { conversationId });
		const { sessionId } = await b.send({ text: "the first message", conversationId });
		await toldPrimary(a, sessionId, a);
		await toldPrimary(b, sessionId, a);
	});

	test("exists: a second device is refused and told who it is", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		await refused(primary(b, sessionId, "request"), "primary_exists", { deviceId: a.deviceId, term: 1 });
	});

	test("is one of ten that race for it, and the nine others name the same holder", async () => {
		const { devices, sessionId } = await joined(11);
		const [first, ...ten] = devices;
		await first.call("session:leave", { sessionId });
		const outcomes = await Promise.allSettled(ten.map((device) => primary(device, sessionId, "request")));
		const winners = outcomes.filter(({ status }) => status === "fulfilled");
		assert.equal(winners.length, 1);
		const holders = outcomes.map(({ value, reason }) => value?.deviceId ?? (assert.equal(reason.code, "primary_exists"), reason.deviceId));
		assert.equal(new Set(holders).size, 1);
		assert.equal(winners[0].value.deviceId, holders[0]);
	});

	test("can be taken over by a person's tap, and every joined device is told", async () => {
		const { devices: [a, b, c], sessionId } = await joined(3);
		const answer = await primary(b, sessionId, "request", { take: true });
		assert.deepEqual([answer.deviceId, answer.term], [b.deviceId, 2]);
		for (const device of [a, b, c]) assert.equal((await toldPrimary(device, sessionId, b)).term, 2);
	});

	test("transfers to a joined device", async () => {
		const { devices: [a, b, c], sessionId } = await joined(3);
		assert.equal((await primary(a, sessionId, "transfer", { toDeviceId: c.deviceId })).deviceId, c.deviceId);
		for (const device of [a, b, c]) await toldPrimary(device, sessionId, c);
	});

	test("transfers nothing for others, and not to who is not there: each refusal says why", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		const idle = await newDevice();
		const offline = await daemon.pair({ user: "me" });
		await refused(primary(b, sessionId, "transfer", { toDeviceId: b.deviceId }), "not_primary", { deviceId: a.deviceId, term: 1 });
		await refused(primary(b, sessionId, "release"), "not_primary", { deviceId: a.deviceId, term: 1 });
		await refused(primary(a, sessionId, "transfer", { toDeviceId: idle.deviceId }), "not_joined");
		await refused(primary(a, sessionId, "transfer", { toDeviceId: offline.deviceId }), "device_offline");
		await refused(primary(a, sessionId, "transfer", { toDeviceId: "nobody" }), "not_found");
		await refused(primary(a, sessionId, "transfer"), "bad_field");
		await refused(primary(a, sessionId, "conquer"), "bad_field");
		await refused(primary(a, "no-such-session", "request"), "not_found");
		await refused(primary(idle, sessionId, "request"), "not_joined");
		assert.equal((await a.call("session:join", { sessionId })).primary.term, 1);
	});

	test("that releases is followed by the next, and by nobody when it is alone", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		assert.equal((await primary(a, sessionId, "release")).deviceId, b.deviceId);
		await a.call("session:leave", { sessionId });
		assert.deepEqual(await primary(b, sessionId, "release").then(({ deviceId, term }) => [deviceId, term]), [null, 3]);
		assert.equal((await primary(b, sessionId, "request")).deviceId, b.deviceId);
	});

	test("that leaves gives it up at once, without being asked", async () => {
		const { devices: [a, b, c], sessionId } = await joined(3);
		await a.call("session:leave", { sessionId });
		assert.equal((await toldPrimary(c, sessionId, b)).term, 2);
		await b.call("session:leave", { sessionId });
		await toldPrimary(c, sessionId, c);
		await c.call("session:leave", { sessionId });
		await c.until(() => c.record("Session", sessionId)?.fields.term === 4, "the record to be cleared");
		assert.equal(c.record("Session", sessionId).fields.primaryDeviceId, undefined);
	});

	test("whose socket is lost is followed within milliseconds", async () => {
		const times = [];
		const rounds = 12;
		for (let i = 0; i < rounds; i++) {
			const { devices: [a, b], sessionId } = await joined(2);
			const from = performance.now();
			a.socket.terminate();
			await toldPrimary(b, sessionId, b);
			times.push(performance.now() - from);
			b.socket.terminate();
		}
		times.sort((x, y) => x - y);
		assert.ok(times[rounds - 2] < 250, `next primary knew after ${times.map((t) => t.toFixed(1))} ms`);
	});

	test("is the same again when it was lost alone and comes back: no term is spent", async () => {
		const { devices: [a], sessionId, conversationId } = await joined(1);
		a.socket.terminate();
		await a.gone;
		await a.open();
		await a.hello();
		assert.deepEqual((await a.call("session:join", { conversationId })).primary, { deviceId: a.deviceId, term: 1 });
		assert.equal(a.record("Session", sessionId).fields.term, 1);
	});

	test("of one session can be primary of others, and the device list names them all", async () => {
		const a = await newDevice();
		const b = await newDevice();
		const ids = [];
		for (let i = 0; i < 3; i++) {
			const { conversationId, sessionId } = await conversation(a);
			await a.call("session:join", { conversationId });
			await b.call("session:join", { conversationId });
			ids.push(sessionId);
		}
		await primary(b, ids[1], "request", { take: true });
		const row = async (who) => (await a.call("device:list")).devices.find(({ deviceId }) => deviceId === who.deviceId);
		assert.deepEqual((await row(a)).primaryOf, [ids[0], ids[2]]);
		assert.deepEqual((await row(b)).primaryOf, [ids[1]]);
		await a.until(() => told(a, "device:changed").some(({ devices }) =>
			devices.some(({ deviceId, primaryOf }) => deviceId === b.deviceId && primaryOf?.includes(ids[1]))), "device:changed with primaryOf");
	});

	test("follows typing only where the setting says so", async () => {
		const { devices: [a, b], sessionId, conversationId } = await joined(2);
		b.socket.send(JSON.stringify({ type: "session:typing", sessionId }));
		await b.send({ text: "typed here", conversationId });
		assert.equal((await a.call("session:join", { conversationId })).primary.deviceId, a.deviceId);
		await a.call("record:save", {
			policy: "changedKeys",
			records: [{ type: "Conversation", name: conversationId, fields: { settings: { primary: "followsTyping" } } }],
		});
		assert.equal((await b.call("session:typing", { sessionId })).sessionId, sessionId);
		await toldPrimary(a, sessionId, b);
		await a.send({ text: "and typed there", conversationId });
		await toldPrimary(b, sessionId, a);
		await refused((await newDevice()).call("session:typing", { sessionId }), "not_joined");
	});

	test("may send automatically under its term; stale terms and secondaries are told who is primary", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		const auto = (device, term) => device.send({ text: `auto ${term} ${newId()}`, sessionId, auto: true, term });
		await refused(auto(b, 1), "not_primary", { deviceId: a.deviceId, term: 1 });
		await refused(auto(a, 2), "not_primary", { deviceId: a.deviceId, term: 1 });
		await primary(b, sessionId, "request", { take: true });
		await refused(auto(a, 1), "not_primary", { deviceId: b.deviceId, term: 2 });
		await refused(auto(b, 2), "auto_stopped"); // it is primary; only no run was started
	});

	test("over plain HTTP, for a device that is connected", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		const path = `/api/v1/sessions/${sessionId}/primary`;
		const no = await daemon.http("POST", path, { token: b.token, body: { action: "request" } });
		assert.equal(no.status, 409);
		assert.equal(no.json.error.code, "primary_exists");
		const yes = await daemon.http("POST", path, { token: a.token, body: { action: "transfer", toDeviceId: b.deviceId } });
		assert.deepEqual([yes.status, yes.json.deviceId, yes.json.term], [200, b.deviceId, 2]);
	});
});

// A device in a process of its own, which can be frozen: prints what it is told, one JSON line a frame.
const frozenClient = fileURLToPath(new URL("../lib/frozen_client.mjs", import.meta.url));
async function processDevice(conversationId) {
	const credential = await daemon.pair({ user: "me" });
	const child = spawn(process.execPath, [frozenClient], {
		stdio: ["ignore", "pipe", "inherit"],
		env: { ...process.env, ROOST_CLIENT: JSON.stringify({ port: daemon.port, conversationId, ...credential }) },
	});
	const frames = [];
	let rest = "";
	child.stdout.on("data", (text) => {
		const lines = (rest + text).split("\n");
		rest = lines.pop();
		frames.push(...lines.map((line) => JSON.parse(line)));
	});
	await until(() => frames.some(({ type }) => type === "session:state"), "the process to join");
	return { child, frames, ...credential };
}

describe("a silent primary", () => {
	test("that is frozen gives way within the heartbeat and a second, and cannot disturb when it thaws", async () => {
		const b = await newDevice();
		const { conversationId, sessionId } = await conversation(b);
		const frozen = await processDevice(conversationId);
		try {
			await b.call("session:join", { conversationId });
			const from = performance.now();
			frozen.child.kill("SIGSTOP");
			await toldPrimary(b, sessionId, b);
			const took = performance.now() - from;
			assert.ok(took >= HEARTBEAT_MS * 0.4 && took <= HEARTBEAT_MS + 1000, `${took} ms`);
			frozen.child.kill("SIGCONT");
			await until(() => frozen.frames.some(({ type, term }) => type === "device:primary" && term === 2), "it to hear of its successor");
			await sleep(2 * HEARTBEAT_MS);
			assert.deepEqual(lastPrimary(b, sessionId).deviceId, b.deviceId);
			const { joined } = await b.call("session:join", { conversationId });
			assert.deepEqual(joined, [b.deviceId, frozen.deviceId]); // at the end of the line
			frozen.child.kill("SIGKILL"); // and its late close takes nothing away
			await until(async () => (await b.call("session:join", { conversationId })).joined.length === 1, "its seat to be free");
			assert.deepEqual((await b.call("session:join", { conversationId })).primary, { deviceId: b.deviceId, term: 2 });
		} finally {
			frozen.child.kill("SIGKILL");
		}
	});

	test("that only answers pings is alive for as long as it likes", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		await sleep(4 * HEARTBEAT_MS);
		assert.equal((await b.call("session:join", { sessionId })).primary.deviceId, a.deviceId);
	});
});

describe("a device that connects twice", () => {
	test("stays primary, joined and online: the late close of the old socket changes nothing", async () => {
		const { devices: [a, b], sessionId, conversationId } = await joined(2);
		await a.call("session:lock", { sessionId });
		const second = await Device.connect(daemon, a, { cursor: a.cursor });
		assert.equal((await a.gone).code, 4001);
		await sleep(100);
		const { devices } = await b.call("device:list");
		assert.equal(devices.find(({ deviceId }) => deviceId === a.deviceId).online, true);
		assert.deepEqual(devices.find(({ deviceId }) => deviceId === a.deviceId).primaryOf, [sessionId]);
		const state = await b.call("session:join", { conversationId });
		assert.deepEqual(state.primary, { deviceId: a.deviceId, term: 1 });
		assert.deepEqual(state.joined, [a.deviceId, b.deviceId]);
		assert.equal(state.lock.deviceId, a.deviceId);
		assert.equal((await primary(second, sessionId, "request")).term, 1);
		assert.equal(told(b, "device:primary").length, 0);
	});
});

describe("identity", () => {
	test("another user can neither see, join, ask for nor be given a session", async () => {
		const { devices: [a], sessionId, conversationId } = await joined(1);
		await refused(other.call("session:join", { sessionId }), "not_found");
		await refused(primary(other, sessionId, "request"), "not_found");
		await refused(primary(other, sessionId, "request", { take: true }), "not_found");
		await refused(other.call("session:lock", { sessionId }), "not_found");
		await refused(other.call("session:unlock", { sessionId }), "not_found");
		await refused(other.call("session:typing", { sessionId }), "not_found");
		await refused(primary(a, sessionId, "transfer", { toDeviceId: other.deviceId }), "not_found");
		await refused(other.call("device:get", { deviceId: a.deviceId }), "not_found");
		await refused(other.call("device:revoke", { deviceId: a.deviceId }), "not_found");
		// The same conversation id is another conversation of another user.
		await other.call("session:join", { conversationId });
		const { devices } = await other.call("device:list");
		assert.deepEqual(devices.map(({ deviceId }) => deviceId), [other.deviceId]);
		const state = await a.call("session:join", { sessionId });
		assert.deepEqual([state.primary, state.joined], [{ deviceId: a.deviceId, term: 1 }, [a.deviceId]]);
	});

	test("nobody can say hello as another device, transfer its primacy or disconnect it", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		const thief = await Device.connect(daemon, await daemon.pair({ user: "me" }), { hello: false });
		await refused(thief.call("device:hello", { deviceId: a.deviceId, protocol: 1 }), "forbidden");
		await thief.close();
		assert.equal((await b.call("session:join", { sessionId })).primary.deviceId, a.deviceId);
		assert.equal(a.closed, undefined);
	});

	test("a hello with wrong or huge members is refused and leaves nothing behind", async () => {
		const credential = await daemon.pair({ user: "me" });
		const device = await Device.connect(daemon, credential, { hello: false });
		const hello = (more) => device.call("device:hello", { deviceId: credential.deviceId, protocol: 1, ...more });
		const long = "x".repeat(201);
		for (const more of [{ deviceId: 7 }, { deviceId: { a: 1 } }, { name: ["x"] }, { platform: 3 }, { name: long }, { appVersion: long }])
			await refused(hello(more), "bad_field");
		const seen = await (await newDevice()).call("device:list");
		assert.equal(seen.devices.find(({ deviceId }) => deviceId === credential.deviceId).online, false);
		await hello({});
	});
});

describe("presence", () => {
	test("joins and leaves are told to those who joined", async () => {
		const { devices: [a, b, c], sessionId, conversationId } = await joined(3);
		await a.until(() => {
			const seen = told(a, "session:presence").flatMap(({ joined }) => joined);
			return [b, c].every(({ deviceId }) => seen.includes(deviceId));
		}, "the joins");
		await b.call("session:leave", { sessionId });
		const frame = await a.until(() => told(a, "session:presence").find(({ left }) => left.includes(b.deviceId)), "the leave");
		assert.deepEqual([frame.conversationId, frame.sessionId, frame.joined], [conversationId, sessionId, []]);
		c.socket.terminate();
		await a.until(() => told(a, "session:presence").some(({ left }) => left.includes(c.deviceId)), "the loss");
	});

	test("one device in detail: what it is, where it sits, what it is primary of", async () => {
		const { devices: [a], sessionId } = await joined(1, { name: "Laptop" });
		const answer = await daemon.http("GET", `/api/v1/devices/${a.deviceId}`, { token: a.token });
		assert.equal(answer.status, 200);
		const { name, platform, appVersion, online, primaryOf, sessions } = answer.json;
		assert.equal(answer.json.type, "device:state");
		assert.deepEqual([name, platform, appVersion, online], ["Laptop", "test", "1", true]);
		assert.deepEqual([primaryOf, sessions], [[sessionId], [sessionId]]);
		assert.ok(answer.json.pairedAt <= answer.json.lastSeen);
		assert.equal((await daemon.http("GET", "/api/v1/devices/nobody", { token: a.token })).status, 404);
	});

	test("each user's list has their own devices, when each was last seen, and what is counted agrees", async () => {
		const [a, b] = [await newDevice(), await newDevice()];
		const counted = async (name) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec((await daemon.http("GET", "/metrics")).text)[1]);
		const online = async (device) => (await device.call("device:list")).devices.filter((one) => one.online).map((one) => one.deviceId);
		const [mine, theirs] = [await online(a), await online(other)];
		assert.deepEqual(mine.filter((id) => theirs.includes(id)), []);
		assert.ok(mine.includes(b.deviceId) && theirs.includes(other.deviceId));
		assert.equal(await counted("roost_devices_online"), mine.length + theirs.length);
		const seen = async () => (await a.call("device:list")).devices.find(({ deviceId }) => deviceId === b.deviceId);
		const before = (await seen()).lastSeen;
		await sleep(20);
		await b.call("ping");
		const after = (await seen()).lastSeen;
		assert.ok(after > before, `${after} after ${before}`);
		await b.close();
		await until(async () => !(await seen()).online, "its leaving");
		assert.equal(await counted("roost_devices_online"), mine.length + theirs.length - 1);
		const changes = await counted("roost_primary_changes_total");
		const { conversationId } = await conversation(a);
		await a.call("session:join", { conversationId });
		assert.equal(await counted("roost_primary_changes_total"), changes + 1);
	});

	test("the operator sees how many are online, and in how many sessions who sits, drives, locks and waits", async () => {
		const one = await Daemon.start({ config });
		try {
			const status = async () => {
				const { devices, sessions } = JSON.parse((await one.cli("status", "--json")).stdout);
				return { devices, sessions };
			};
			const is = async (online, known, joined, withPrimary, locked, waitingForLock) =>
				assert.deepEqual(await status(), {
					devices: { online, known },
					sessions: { joined, withPrimary, locked, waitingForLock },
				});
			await is(0, 0, 0, 0, 0, 0);
			const [a, b] = [await one.device(), await one.device()];
			const mute = await Device.connect(one, await one.pair(), { hello: false });
			await is(2, 3, 0, 0, 0, 0); // it has not said who it is
			const { conversationId, sessionId } = await conversation(a);
			await b.call("session:join", { conversationId: newId() }); // no session yet, so nobody drives
			for (const device of [a, b]) await device.call("session:join", { conversationId });
			await is(2, 3, 2, 1, 0, 0);
			await a.call("session:lock", { sessionId });
			const waits = b.call("session:lock", { sessionId, waitMs: 20_000 });
			await b.call("ping");
			await is(2, 3, 2, 1, 1, 1);
			assert.match((await one.cli("status")).stdout, /^ {2}waiting for lock +1$/m);
			const again = await Device.connect(one, a); // the same device
			await a.gone;
			await is(2, 3, 2, 1, 1, 1);
			await again.call("session:leave", { conversationId });
			await waits;
			await is(2, 3, 2, 1, 1, 0);
			for (const device of [b, mute]) await device.close();
			await until(async () => (await status()).devices.online === 1, "their leaving");
			await is(1, 3, 0, 0, 0, 0);
		} finally {
			await one.remove();
		}
	});

	test("a revoked device is cut off within a second, and its primacy and lock move on", async () => {
		const { devices: [a, b, c], sessionId } = await joined(3);
		await a.call("session:lock", { sessionId });
		const waits = c.call("session:lock", { sessionId, waitMs: 5000 });
		const from = performance.now();
		assert.equal((await b.call("device:revoke", { deviceId: a.deviceId })).deviceId, a.deviceId);
		await toldPrimary(b, sessionId, b);
		assert.equal((await waits).deviceId, c.deviceId);
		assert.equal((await a.gone).code, 4003);
		assert.ok(performance.now() - from < 1000);
		assert.equal((await daemon.http("GET", "/api/v1/me", { token: a.token })).status, 401);
		await refused(primary(b, sessionId, "transfer", { toDeviceId: a.deviceId }), "not_found");
		const over = await daemon.http("POST", `/api/v1/devices/${c.deviceId}/revoke`, { token: b.token });
		assert.equal(over.status, 200);
		assert.equal((await c.gone).code, 4003);
	});
});

describe("the lock", () => {
	test("is held by one device; others are told by whom and until when, and may not send", async () => {
		const { devices: [a, b], sessionId, conversationId } = await joined(2);
		const lock = await b.call("session:lock", { sessionId, ttlMs: 20_000 });
		assert.deepEqual([lock.deviceId, lock.fence], [b.deviceId, 1]);
		const lease = Date.parse(lock.expiresAt) - Date.now();
		assert.ok(lease > 15_000 && lease <= 20_500, `${lease}`);
		await a.until(() => told(a, "session:locked").some(({ fence }) => fence === 1), "the lock to be told");
		await refused(a.call("session:lock", { sessionId }), "session_locked", { holder: b.deviceId });
		await refused(a.send({ text: "not now", conversationId }), "session_locked", { holder: b.deviceId });
		await b.send({ text: "mine", conversationId });
		await refused(a.call("session:unlock", { sessionId }), "not_lock_holder");
		assert.equal((await a.call("session:join", { sessionId })).lock.fence, 1);
		assert.equal((await b.call("session:lock", { sessionId, ttlMs: 25_000 })).fence, 1, "renewed");
		await b.call("session:unlock", { sessionId, fence: 1 });
		await a.until(() => told(a, "session:unlocked").length > 0, "the end to be told");
		await a.send({ text: "now", conversationId });
		assert.equal((await a.call("session:lock", { sessionId })).fence, 2);
	});

	test("passes down a fair line by unlock, leave, disconnect and the end of the lease", async () => {
		const { devices, sessionId } = await joined(5);
		const [a, b, c, d, e] = devices;
		const order = [];
		await a.call("session:lock", { sessionId });
		const wait = async (device, ttlMs) => order.push((await device.call("session:lock", { sessionId, ttlMs, waitMs: 20_000 })).fence);
		const waits = [];
		for (const [device, ttl] of [[b, 20_000], [c, 20_000], [d, 300], [e, 20_000]]) {
			waits.push(wait(device, ttl));
			await device.call("ping");
		}
		await a.call("session:unlock", { sessionId });
		await waits[0];
		await b.call("session:leave", { sessionId });
		await waits[1];
		c.socket.terminate();
		await waits[2];
		await waits[3];
		assert.deepEqual(order, [2, 3, 4, 5]);
	});

	test("keeps edits and deletions of others out, also under an earlier stamp; they go in when it is free", async () => {
		const { devices: [a, b], sessionId, conversationId } = await joined(2);
		const [messageId, other, gone] = [newId(), newId(), newId()];
		for (const id of [messageId, other, gone]) await a.send({ messageId: id, text: "as it was", conversationId });
		await a.call("message:delete", { messageId: gone });
		const lock = await b.call("session:lock", { sessionId });
		const stamp = `${(Date.now() - 60_000).toString(16).padStart(12, "0")}-0000-${a.deviceId}`;
		const writes = [
			["message:edit", { messageId, text: "edited" }],
			["message:edit", { messageId, text: "edited", stamp, base: "" }],
			["message:delete", { messageId: other }],
			["message:delete", { messageId: other, stamp, base: "" }],
		];
		for (const [verb, fields] of writes) {
			const error = await a.call(verb, fields).catch((refusal) => refusal);
			assert.deepEqual([error.code, error.retryable, error.holder], ["session_locked", true, b.deviceId], verb);
			assert.ok(Math.abs(Date.parse(error.expiresAt) - Date.parse(lock.expiresAt)) < 1000);
		}
		for (const id of [messageId, other]) {
			const answer = await daemon.http("POST", `/api/v1/messages/${id}/delete`, { token: a.token, body: {} });
			assert.deepEqual([answer.status, answer.json.error.holder], [423, b.deviceId]);
		}
		const restore = async (device) => {
			const filter = [{ field: "recordName", op: "eq", value: messageId }];
			const { records } = await device.call("record:query", { recordType: "Revision", filter });
			return daemon.operator("POST", "history/restore", { revision: records[0].name });
		};
		// What is deleted already takes a revision as ever, and its holder writes.
		await a.call("message:edit", { messageId: gone, text: "too late", stamp, base: "" });
		assert.equal((await a.call("message:delete", { messageId: gone })).record.deleted, true);
		await b.call("message:edit", { messageId, text: "the holder's" });
		await refused(restore(b), "session_locked");
		// Tags and read marks are no writing.
		const { results } = await a.call("record:save", {
			policy: "merge",
			records: [{ type: "Message", name: messageId, fields: { tags: { add: ["x"] } } }],
		});
		assert.equal(results[0].error, undefined);
		await b.call("session:unlock", { sessionId });
		for (const [verb, fields] of writes.slice(0, 3)) assert.equal((await a.call(verb, fields)).messageId, fields.messageId);
		assert.equal((await restore(a)).record.name, messageId);
	});

	test("leaves what is edited meanwhile in the outbox until it is free", async () => {
		const dir = await scratch("locked");
		const holder = await newDevice();
		const { conversationId, sessionId } = await conversation(holder);
		const messageId = newId();
		await holder.send({ messageId, text: "as it was", conversationId });
		const { code } = await daemon.code("me");
		const native = new NativeDevice({ file: join(dir, "device.db"), url: daemon.url, code });
		const isShown = (text) => holder.record("Message", messageId)?.fields.text === text;
		try {
			await until(() => native.texts.has(messageId), "the device to know it");
			await native.must(`join ${conversationId}`);
			await holder.call("session:join", { conversationId });
			await holder.call("session:lock", { sessionId });
			await native.must(`edit ${messageId} typed while it was locked`);
			// Asked behind the edit, and refused like it.
			for (let i = 0; i < 3; i++)
				assert.equal((await native.call("message:edit", { messageId, text: "no" })).code, "session_locked");
			const { pending, held } = await native.status();
			assert.deepEqual([pending, held], [1, 0]);
			await holder.call("session:unlock", { sessionId });
			await holder.until(() => isShown("typed while it was locked"), "the edit");
			await until(async () => (await native.status()).pending === 0, "the outbox to be empty");
		} finally {
			await native.kill();
			await rm(dir, { recursive: true, force: true });
		}
	});

	test("needs a seat, and a wait ends in time", async () => {
		const { devices: [a, b], sessionId } = await joined(2);
		await refused((await newDevice()).call("session:lock", { sessionId }), "not_joined");
		await a.call("session:lock", { sessionId });
		const from = performance.now();
		await refused(b.call("session:lock", { sessionId, waitMs: 300 }), "session_locked", { holder: a.deviceId });
		assert.ok(performance.now() - from > 280 && performance.now() - from < 2000);
		const over = await daemon.http("POST", `/api/v1/sessions/${sessionId}/unlock`, { token: a.token });
		assert.equal(over.json.type, "session:unlocked");
		assert.equal((await daemon.http("POST", `/api/v1/sessions/${sessionId}/lock`, { token: b.token, body: { ttlMs: 1000 } })).json.fence, 2);
	});
});

describe("after kill -9 and a restart", () => {
	let mine;
	before(async () => (mine = await Daemon.start({ config })));
	after(() => mine.remove());
	const again = async (device) => {
		await device.gone;
		await device.open();
		await device.hello();
	};

	test("the old primary keeps its term if it returns in time, and locks of before are void", async () => {
		const [a, b] = [await mine.device(), await mine.device()];
		const { conversationId, sessionId } = await conversation(a);
		await a.call("session:join", { conversationId });
		await b.call("session:join", { conversationId });
		await a.call("session:lock", { sessionId });
		await mine.kill();
		await mine.restart();
		await again(b);
		const state = await b.call("session:join", { conversationId });
		assert.deepEqual([state.primary, state.lock], [{ deviceId: a.deviceId, term: 1 }, null]);
		await b.send({ text: "no lock is in the way", conversationId });
		await again(a);
		assert.deepEqual((await a.call("session:join", { conversationId })).primary, { deviceId: a.deviceId, term: 1 });
		await sleep(GRACE_MS + 300);
		assert.equal(told(b, "device:primary").filter(({ term }) => term > 1).length, 0);
		assert.equal((await b.call("session:lock", { sessionId })).fence, 2);
	});

	test("the next is elected when the old primary does not return, and it is refused when it does", async () => {
		const [a, b] = [await mine.device(), await mine.device()];
		const { conversationId, sessionId } = await conversation(a);
		await a.call("session:join", { conversationId });
		await b.call("session:join", { conversationId });
		await mine.kill();
		await mine.restart();
		const from = performance.now();
		await again(b);
		await b.call("session:join", { conversationId });
		assert.equal((await toldPrimary(b, sessionId, b)).term, 2);
		assert.ok(performance.now() - from > GRACE_MS / 2, "too early");
		await again(a);
		assert.deepEqual((await a.call("session:join", { conversationId })).primary, { deviceId: b.deviceId, term: 2 });
		await refused(a.send({ text: "stale", sessionId, auto: true, term: 1 }), "not_primary", { deviceId: b.deviceId, term: 2 });
	});

	test("a daemon that is stopped clears nobody", async () => {
		const [a, b] = [await mine.device(), await mine.device()];
		const { conversationId } = await conversation(a);
		await a.call("session:join", { conversationId });
		await b.call("session:join", { conversationId });
		await mine.restart();
		await again(a);
		assert.deepEqual((await a.call("session:join", { conversationId })).primary, { deviceId: a.deviceId, term: 1 });
	});
});
