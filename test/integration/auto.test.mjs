// Automatic runs end to end: real devices drive a run against local:test, hand it over, are paused and stopped by others,
// and the daemon dies in the middle. Whatever happens, a run of 20 has exactly 20 automatic messages.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, newId, sleep } from "../lib/roost.mjs";

const MODEL = { model: "local:test", params: { tokens: 3 } };

let daemon;
before(async () => {
	daemon = await Daemon.start();
});
after(() => daemon.remove());

// A device that drives: whenever it is primary and the newest answer has not been followed, it sends.
class Driver {
	asked = new Map(); // answer id → message id: the same answer is always followed by the same message
	refused = [];
	sends = 0;

	constructor(device, conversationId) {
		Object.assign(this, { device, conversationId });
		device.tap = (frame) => {
			if (frame.type === "device:primary" && frame.sessionId === this.sessionId) this.primary = frame;
			queueMicrotask(() => this.look());
		};
	}

	async join() {
		const state = await this.device.call("session:join", { conversationId: this.conversationId });
		this.sessionId = state.session?.name ?? this.sessionId;
		this.primary = state.primary;
		this.look();
	}

	get run() {
		return this.device.record("Session", this.sessionId)?.fields.auto;
	}

	newestAnswer() {
		const messages = this.device
			.all("Message")
			.filter(({ fields }) => fields.conversationId === this.conversationId)
			.sort((a, b) => b.fields.ord - a.fields.ord);
		const newest = messages[0];
		return newest?.fields.role === "assistant" && newest.fields.status === "complete" ? newest : undefined;
	}

	look() {
		const answer = this.newestAnswer();
		if (this.idle || this.device.closed || this.primary?.deviceId !== this.device.deviceId) return;
		if (!answer || this.run?.state !== "running" || answer.fields.ord <= (this.run.answeredOrd ?? 0)) return;
		const { term } = this.primary;
		if (this.asked.get(answer.name)?.term === term) return;
		const messageId = this.asked.get(answer.name)?.messageId ?? newId();
		this.asked.set(answer.name, { term, messageId });
		this.sends++;
		const wish = { messageId, sessionId: this.sessionId, parent: answer.name, auto: true, term, request: MODEL };
		this.device.call("message:send", { ...wish, text: `go on, ${this.sends}` }).catch((error) => this.refused.push(error));
	}
}

// Those that the device was told of; a device is not told of its own.
const automatic = (device, conversationId) =>
	device.all("Message").filter(({ fields }) => fields.conversationId === conversationId && fields.auto === true);

async function stored(device, conversationId) {
	const { records } = await device.call("record:query", {
		recordType: "Message",
		filter: [{ field: "conversationId", op: "eq", value: conversationId }],
		sort: [{ field: "ord", ascending: true }],
		limit: 200,
	});
	return records.filter(({ fields }) => fields.auto === true);
}

// A conversation with one message of a person and its answer, and devices that have joined it, the first of them primary.
async function begin(n, options = {}) {
	const conversationId = newId();
	const devices = [];
	for (let i = 0; i < n; i++) devices.push(await daemon.device(options));
	const drivers = devices.map((device) => new Driver(device, conversationId));
	const { ack } = await devices[0].converse({ text: "begin", conversationId, ...MODEL });
	for (const driver of drivers) {
		driver.sessionId = ack.sessionId;
		await driver.join();
	}
	await drivers[0].device.until(() => drivers[0].primary?.deviceId === devices[0].deviceId, "the first to be primary");
	return { conversationId, sessionId: ack.sessionId, devices, drivers };
}

const close = (devices) => Promise.all(devices.filter((d) => !d.closed).map((d) => d.close()));

async function trail(device, sessionId) {
	const { records } = await device.call("record:query", {
		recordType: "AutoStep",
		filter: [{ field: "sessionId", op: "eq", value: sessionId }],
		sort: [{ field: "n", ascending: true }],
		limit: 100,
	});
	return records.map(({ fields }) => fields);
}

// What must hold after a run of 20, however it went.
async function expectTwenty({ conversationId, sessionId }, device) {
	await device.until(() => device.record("Session", sessionId)?.fields.auto?.state === "stopped", "the run to end", 60_000);
	const { auto } = device.record("Session", sessionId).fields;
	assert.equal(auto.reason, "message_limit");
	assert.equal(auto.sent, 20);
	await sleep(200); // one more would have come by now
	const sent = await stored(device, conversationId);
	assert.equal(sent.length, 20);
	assert.equal(new Set(sent.map(({ fields }) => fields.parent)).size, 20, "each answer was followed once");
	const steps = await trail(device, sessionId);
	assert.deepEqual(steps.map(({ n }) => n), steps.map((_, i) => i + 1));
	assert.deepEqual(
		steps.filter(({ action }) => action === "sent").map(({ messageId }) => messageId),
		sent.map(({ name }) => name),
	);
	assert.equal(steps.at(-1).action, "stopped");
	return steps;
}

describe("a run of 20 messages", () => {
	test("has exactly 20, and the last one ends it", async () => {
		const world = await begin(1);
		const { devices: [one], sessionId } = world;
		await one.call("auto:start", { sessionId, mode: "messages" });
		const steps = await expectTwenty(world, one);
		assert.equal(steps.length, 22);
		assert.ok(one.frames.some((f) => f.type === "auto:state" && f.state === "stopped" && f.sent === 20 && f.re === undefined));
		await close(world.devices);
	});

	test("has exactly 20 when its primary is lost at round 7", async () => {
		const world = await begin(3);
		const { devices: [one, two, three], drivers, sessionId, conversationId } = world;
		await three.call("auto:start", { sessionId, mode: "messages" });
		await two.until(() => automatic(two, conversationId).length >= 7, "round 7", 30_000);
		one.socket.terminate();
		const steps = await expectTwenty(world, two);
		const over = steps.filter(({ action }) => action === "handed_over");
		assert.deepEqual(over.map(({ deviceId }) => deviceId), [two.deviceId]);
		assert.ok(over[0].term > steps[0].term);
		assert.ok(drivers[0].sends >= 7 && drivers[1].sends > 0 && drivers[2].sends === 0);
		assert.equal(drivers[1].refused.filter(({ code }) => code !== "already_answered").length, 0);
		await close(world.devices);
	});

	test("has exactly 20 when the daemon is killed at round 11", async () => {
		const world = await begin(2);
		const { devices: [one, two], drivers, sessionId, conversationId } = world;
		await two.call("auto:start", { sessionId, mode: "messages" });
		await two.until(() => automatic(two, conversationId).length >= 11, "round 11", 30_000);
		await daemon.kill();
		await Promise.all([one.gone, two.gone]);
		await daemon.restart();
		for (const driver of drivers) {
			// What was on its way when the daemon died is sent again, under the same id and the term that holds now.
			driver.asked = new Map([...driver.asked].map(([answer, { messageId }]) => [answer, { messageId, term: -1 }]));
			await driver.device.open();
			await driver.device.hello();
			await driver.join();
		}
		await expectTwenty(world, two);
		await close(world.devices);
	});
});

describe("a run is steered", () => {
	test("by any device of its user: pause, resume, stop", async () => {
		const { devices, drivers: [driver], sessionId, conversationId } = await begin(2);
		const [one, two] = devices;
		await one.call("auto:start", { sessionId, mode: "messages", limits: { maxMessages: 100 } });
		await two.until(() => automatic(two, conversationId).length >= 2, "two rounds");
		const paused = await two.call("auto:pause", { sessionId });
		assert.equal(paused.state, "paused");
		assert.equal(paused.reason, "manual");
		await one.until(() => one.frames.some((f) => f.type === "auto:state" && f.state === "paused"), "the driver to be told");
		await sleep(300);
		assert.equal(automatic(two, conversationId).length, paused.sent);
		assert.deepEqual(driver.refused.filter(({ code }) => code !== "auto_stopped"), []);
		const resumed = await two.call("auto:resume", { sessionId });
		assert.equal(resumed.state, "running");
		assert.equal(resumed.reason, undefined);
		driver.asked.clear();
		driver.look();
		await two.until(() => automatic(two, conversationId).length >= paused.sent + 2, "two more rounds");
		const stopped = await daemon.http("POST", `/api/v1/sessions/${sessionId}/auto/stop`, { token: two.token });
		assert.equal(stopped.status, 200);
		assert.equal(stopped.json.state, "stopped");
		await sleep(300);
		assert.equal(automatic(two, conversationId).length, stopped.json.sent);
		const actions = (await trail(two, sessionId)).map(({ action }) => action).filter((action) => action !== "sent");
		assert.deepEqual(actions, ["started", "paused", "resumed", "stopped"]);
		await close(devices);
	});

	test("over HTTP, with a body", async () => {
		const { devices, drivers: [driver], sessionId } = await begin(1);
		const { token } = devices[0];
		driver.idle = true;
		const at = `/api/v1/sessions/${sessionId}/auto`;
		assert.equal((await daemon.http("GET", at, { token })).json.state, "none");
		const body = { mode: "hybrid", limits: { maxMessages: 5, maxMs: 60_000, priority: "all" }, params: { model: true } };
		const started = await daemon.http("POST", `${at}/start`, { token, body });
		assert.equal(started.status, 200, started.text);
		assert.deepEqual(started.json.limits, body.limits);
		assert.deepEqual(started.json.params, body.params);
		const paused = await daemon.http("POST", `${at}/pause`, { token, body: { reason: "stuck", sessionId: newId() } });
		assert.equal(paused.json.reason, "stuck");
		assert.equal(paused.json.sessionId, sessionId);
		assert.equal((await daemon.http("GET", at, { token })).json.state, "paused");
		assert.equal((await daemon.http("POST", `${at}/resume`, { token })).json.state, "running");
		assert.equal((await daemon.http("POST", `${at}/start`, { token, body })).status, 409);
		await close(devices);
	});

	test("by its clock: the daemon ends it and tells everybody", async () => {
		const { devices, drivers: [driver], sessionId } = await begin(2);
		driver.idle = true;
		await devices[0].call("auto:start", { sessionId, mode: "time", limits: { maxMs: 1200 } });
		const told = (device) => device.frames.find((f) => f.type === "auto:state" && f.state === "stopped");
		for (const device of devices) await device.until(() => told(device), "the end to be told", 5000);
		assert.equal(told(devices[1]).reason, "time_limit");
		assert.ok(told(devices[1]).elapsedMs >= 1200);
		await close(devices);
	});

	test("by its clock, also after the daemon was restarted", async () => {
		const { devices: [one], drivers: [driver], sessionId } = await begin(1);
		driver.idle = true;
		await one.call("auto:start", { sessionId, mode: "time", limits: { maxMs: 2500 } });
		await daemon.restart();
		await one.gone;
		await one.open();
		await one.hello();
		await driver.join();
		await one.until(() => one.frames.some((f) => f.type === "auto:state" && f.state === "stopped"), "the end to be told", 8000);
		const { auto } = one.record("Session", sessionId).fields;
		assert.equal(auto.reason, "time_limit");
		assert.ok(auto.elapsedMs >= 2500 && auto.elapsedMs < 8000, String(auto.elapsedMs));
		await close([one]);
	});
});

describe("an automatic message is refused", () => {
	let world, one, two, wish;
	before(async () => {
		world = await begin(2);
		[one, two] = world.devices;
		for (const driver of world.drivers) driver.idle = true;
		const [driver] = world.drivers;
		wish = (more) => {
			const { term } = driver.primary;
			const parent = more.parent ?? driver.newestAnswer().name;
			return { messageId: newId(), sessionId: world.sessionId, text: "x", auto: true, term, ...more, parent };
		};
	});
	after(() => close(world.devices));
	const refused = async (device, more, code) => {
		const error = await device.call("message:send", wish(more)).then(
			() => assert.fail("it was taken"),
			(e) => e,
		);
		assert.equal(error.code, code, error.message);
		return error;
	};

	test("without a run", async () => {
		assert.equal((await refused(one, {}, "auto_stopped")).state, "none");
	});

	test("while the run is paused, and after it was stopped, with where it stands", async () => {
		await one.call("auto:start", { sessionId: world.sessionId });
		await two.call("auto:pause", { sessionId: world.sessionId, reason: "low_confidence" });
		const error = await refused(one, {}, "auto_stopped");
		assert.deepEqual([error.state, error.reason, error.sent], ["paused", "low_confidence", 0]);
		await two.call("auto:stop", { sessionId: world.sessionId });
		assert.equal((await refused(one, {}, "auto_stopped")).reason, "manual");
	});

	test("of a device that is not primary, or of an old term", async () => {
		await one.call("auto:start", { sessionId: world.sessionId });
		const { term } = world.drivers[0].primary;
		assert.equal((await refused(two, {}, "not_primary")).deviceId, one.deviceId);
		assert.equal((await refused(one, { term: term - 1 }, "not_primary")).term, term);
	});

	test("that follows what was followed; and one sent again counts once", async () => {
		const message = wish({});
		const first = await one.call("message:send", message);
		assert.equal(first.duplicate, false);
		assert.equal((await one.call("message:send", message)).duplicate, true);
		assert.equal((await refused(one, { parent: message.parent }, "already_answered")).messageId, message.messageId);
		const state = await one.call("auto:state", { sessionId: world.sessionId });
		assert.equal(state.sent, 1);
		assert.equal(state.lastMessageId, message.messageId);
	});

	test("when a person was quicker", async () => {
		const { reply } = await two.converse({ text: "another question", conversationId: world.conversationId, ...MODEL });
		const parent = reply.name;
		const mine = await two.send({ text: "I say it myself", conversationId: world.conversationId });
		assert.equal((await refused(one, { parent }, "already_answered")).messageId, mine.messageId);
	});

	test("and a driver of an old term does not stop its successor's run", async () => {
		const { term } = world.drivers[0].primary;
		const asked = { sessionId: world.sessionId, reason: "stuck" };
		await assert.rejects(two.call("auto:stop", { ...asked, term }), { code: "not_primary", deviceId: one.deviceId, term });
		await assert.rejects(one.call("auto:pause", { ...asked, term: term - 1 }), { code: "not_primary" });
		assert.equal((await one.call("auto:stop", { ...asked, term })).reason, "stuck");
	});
});

describe("what is asked wrongly is refused by name", () => {
	let one, sessionId, devices;
	before(async () => {
		({ devices, sessionId } = await begin(1));
		[one] = devices;
	});
	after(() => close(devices));
	const cases = [
		["auto:start", { mode: "for ever" }, "bad_field", /smart_stop/],
		["auto:start", { limits: { maxMessages: 0 } }, "bad_field", /maxMessages/],
		["auto:start", { limits: { maxMessages: 1001 } }, "too_large", /autoMessages allows 1000/],
		["auto:start", { limits: { maxMs: 86_400_001 } }, "too_large", /autoMs allows 86400000/],
		["auto:start", { limits: { priority: "all" } }, "bad_field", /hybrid/],
		["auto:start", { limits: 3 }, "bad_field", /limits/],
		["auto:start", { params: { text: "x".repeat(16_384) } }, "too_large", /autoParamsBytes allows 16384/],
		["auto:start", { sessionId: "of nobody" }, "bad_field", /sessionId/],
		["auto:start", { sessionId: newId() }, "not_found", /no session/],
		["auto:pause", { reason: "cleared" }, "bad_field", /reason/],
		["auto:pause", {}, "auto_stopped", /no automatic run/],
		["auto:resume", {}, "auto_stopped", /no automatic run/],
		["auto:stop", {}, "auto_stopped", /no automatic run/],
	];
	for (const [type, fields, code, message] of cases)
		test(`${type} ${JSON.stringify(fields).slice(0, 60)}`, () =>
			assert.rejects(one.call(type, { sessionId, ...fields }), (error) => error.code === code && message.test(error.message)));
});

test("clearing the session ends its run", async () => {
	const { devices, sessionId, drivers } = await begin(2);
	drivers[0].idle = true;
	await devices[0].call("auto:start", { sessionId });
	await devices[1].call("session:clear", { sessionId });
	await devices[0].until(() => devices[0].record("Session", sessionId)?.fields.auto?.state === "stopped", "the run to end");
	assert.equal(devices[0].record("Session", sessionId).fields.auto.reason, "cleared");
	assert.equal((await trail(devices[0], sessionId)).at(-1).reason, "cleared");
	await assert.rejects(devices[0].call("auto:start", { sessionId }), { code: "session_killed" });
	await close(devices);
});

test("another user's session is not there", async () => {
	const { devices, sessionId } = await begin(1);
	await daemon.operator("POST", "users", { name: "eve" });
	const eve = await daemon.device({ user: "eve" });
	for (const type of ["auto:start", "auto:pause", "auto:resume", "auto:stop", "auto:state"])
		await assert.rejects(eve.call(type, { sessionId }), { code: "not_found" });
	await close([...devices, eve]);
});
