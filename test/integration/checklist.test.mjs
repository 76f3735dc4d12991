// What a person with a phone, a tablet and a laptop would try by hand, done by real processes: each device is a program on
// libroost with a file of its own (test/crash/device.c), and the daemon is the one that is shipped. Nothing here is timed;
// the figures are `./dev bench sync`.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import net from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { NativeDevice } from "../lib/device.mjs";
import { all, Daemon, Device, newId, program, scratch, seeded, sleep, until } from "../lib/roost.mjs";

const SEED = Number(process.env.ROOST_TEST_SEED ?? 1);
const WAIT_MS = 60_000; // for what takes milliseconds when the machine has nothing else to do
const RECORDS = all ? 20_000 : 4_000;
const CROWD = 12;
const CROWD_SECONDS = all ? 60 : 8;

let daemon, dir;
const tokens = new Map(); // by user: a script's
let files = 0;
const code = async (user) => (await daemon.code(user)).code;

before(async () => {
	dir = await scratch("checklist");
	daemon = await Daemon.start();
	await person("me");
});
after(async () => {
	await daemon?.remove();
	await rm(dir, { recursive: true, force: true });
});

// Somebody whose feed is their own.
async function person(name) {
	if (name !== "me") await daemon.operator("POST", "users", { name });
	tokens.set(name, (await daemon.pair({ user: name })).token);
	return name;
}

// Every record of a type that has this value in a field, as a script reads them.
async function query(recordType, field, value, { user = "me", sort } = {}) {
	const records = [];
	for (let cursor; ; ) {
		const body = { recordType, filter: [{ field, op: "eq", value }], limit: 200 };
		if (sort) body.sort = [{ field: sort }];
		if (cursor) body.cursor = cursor;
		const { json } = await daemon.http("POST", "/api/v1/records/query", { token: tokens.get(user), body });
		assert.ok(json.records, JSON.stringify(json));
		records.push(...json.records);
		({ cursor } = json);
		if (!cursor) return records;
	}
}

// A new device, connected.
async function device({ user = "me", url = daemon.url } = {}) {
	const one = new NativeDevice({ file: join(dir, `device-${files++}.db`), url, code: await code(user) });
	[, one.id] = await one.line(/^device (\S+)/, 0, WAIT_MS);
	await one.line(/^online/, 0, WAIT_MS);
	return one;
}

// A device whose process ended, started again.
async function again({ file }, { url = daemon.url } = {}) {
	const one = new NativeDevice({ file, url });
	[, one.id] = await one.line(/^device (\S+)/, 0, WAIT_MS);
	return one;
}

const quit = (...devices) => Promise.all(devices.map(async (one) => assert.equal(await one.quit(), 0, one.errors)));

async function has(one, id, text) {
	const there = () => one.texts.has(id) && (text === undefined || one.texts.get(id) === text);
	await until(there, `${text ?? id} on device ${one.id}; it has ${one.texts.get(id)}`, WAIT_MS);
}

async function sit(one, conversation) {
	const from = one.lines.length;
	await one.must(`join ${conversation}`);
	await one.line(/^joined/, from, WAIT_MS);
}

const isPrimary = (one, conversation) => until(async () => (await one.seat(conversation)).mine, `${one.id} to be primary`, WAIT_MS);

async function offline(one) {
	const from = one.lines.length;
	await one.must("stop");
	await one.line(/^offline/, from, WAIT_MS);
}

// The messages of a conversation, in their order.
const stored = (conversation, user) => query("Message", "conversationId", conversation, { user, sort: "ord" });

// Waits until every device shows what the daemon has, the same records in the same order; returns those.
async function agree(devices, conversation, user) {
	const line = ({ ord, id, device, role, text }) => `${ord} ${id} ${device} ${role} ${text}`;
	const records = await stored(conversation, user);
	const meant = records.map(({ name: id, fields: { ord, role, text }, created }) =>
		line({ ord, id, device: created.deviceId || "-", role, text }));
	assert.deepEqual(records.map(({ fields }) => fields.ord), records.map((_, i) => i + 1), "places without a gap");
	for (const one of devices) {
		let views;
		const same = async () => (views = (await one.show(conversation)).map(line)).join("\n") === meant.join("\n");
		await until(same, "the same everywhere", WAIT_MS).catch(() => assert.deepEqual(views, meant, `what device ${one.id} shows`));
	}
	return records;
}

const inOrder = (records, ids) => assert.deepEqual(records.map(({ name }) => name).filter((name) => ids.includes(name)), ids);
const history = async (name) => JSON.parse((await daemon.cli("history", "--json", name)).stdout).revisions;

describe("basic sync", () => {
	test("what the phone sends is on the tablet, and what the tablet sends is on the phone, as the person's own", async () => {
		const [phone, tablet] = [await device(), await device()];
		const conversation = newId();
		const there = await phone.send(conversation, "from the phone");
		await has(tablet, there, "from the phone");
		const back = await tablet.send(conversation, "from the tablet");
		await has(phone, back, "from the tablet");
		await agree([phone, tablet], conversation);
		for (const one of [phone, tablet])
			assert.deepEqual((await one.show(conversation)).map(({ id, role, device }) => [id, role, device]), [
				[there, "user", phone.id],
				[back, "user", tablet.id],
			]);
		await quit(phone, tablet);
	});

	test("a conversation begun on the phone is continued on the tablet and finished in a terminal", async () => {
		const [phone, tablet] = [await device(), await device()];
		const conversation = newId();
		const question = await phone.must(`ask ${conversation} begun on the phone`);
		const replies = (one) => until(async () => (await one.show(conversation)).at(-1)?.role === "assistant", "a reply", WAIT_MS);
		await has(tablet, question);
		await replies(tablet);
		await tablet.must(`ask ${conversation} continued on the tablet`);
		await until(async () => (await phone.show(conversation)).length === 4, "both replies", WAIT_MS);
		const args = ["chat", "--data", daemon.data, "--user", "me", "-c", conversation, "-p", "tokens=3", "finished in a terminal"];
		const { stdout } = await promisify(execFile)(program, args, { env: { PATH: process.env.PATH, HOME: dir } });
		const records = await until(async () => {
			const now = await stored(conversation);
			return now.length === 6 && now;
		}, "the last reply", WAIT_MS);
		assert.equal(records[5].fields.text, stdout.trim());
		assert.equal(new Set(records.map(({ fields }) => fields.sessionId)).size, 1, "one session throughout");
		await agree([phone, tablet], conversation);
		await quit(phone, tablet);
	});

	test("three devices that write at once show one order", async () => {
		const devices = [await device(), await device(), await device()];
		const conversation = newId();
		const sent = await Promise.all(devices.map(async (one, n) => {
			const ids = [];
			for (let i = 0; i < 20; i++) ids.push(await one.send(conversation, `${n} says ${i}`));
			return ids;
		}));
		await Promise.all(devices.flatMap((one, n) => sent.flatMap((ids, m) => (m === n ? [] : [has(one, ids.at(-1))]))));
		const records = await agree(devices, conversation);
		assert.equal(records.length, 60);
		for (const ids of sent) inOrder(records, ids);
		await quit(...devices);
	});
});

describe("auto-response coordination", () => {
	const ROUNDS = 8;

	// The devices are asked for the words of each message, so the test says how fast the run goes.
	async function asked(one, n) {
		await until(() => one.lines.filter((line) => line.startsWith("asked")).length >= n, `device ${one.id} to be asked`, WAIT_MS);
		return one.lines.filter((line) => line.startsWith("asked"))[n - 1].split(" ")[2];
	}

	async function begin(...devices) {
		const conversation = newId();
		await devices[0].must(`ask ${conversation} begin`);
		for (const one of devices) {
			await until(async () => (await one.show(conversation)).length === 2, "the first reply", WAIT_MS);
			await sit(one, conversation);
			await one.must(`drive ${conversation}`);
		}
		const [{ fields }] = await stored(conversation);
		const { code, frame } = await devices[0].call("auto:start", {
			sessionId: fields.sessionId,
			mode: "messages",
			limits: { maxMessages: ROUNDS },
			params: { model: true, request: { model: "local:test", params: { tokens: 3 } } },
		});
		assert.equal(code, "ok");
		assert.equal(frame.primary.deviceId, devices[0].id);
		return { conversation, sessionId: fields.sessionId };
	}

	// Ends the run on this device, and checks that each answer was followed once, by whoever drove then.
	async function finish(one, rounds, { conversation, sessionId }, drivers) {
		for (let i = 1; i <= rounds; i++) await one.must(`say ${conversation} ${await asked(one, i)} word ${i} of ${one.id}`);
		const isOver = async () => {
			const steps = (await query("AutoStep", "sessionId", sessionId, { sort: "n" })).map(({ fields }) => fields);
			return steps.at(-1).action === "stopped" && steps;
		};
		const steps = await until(isOver, "the run to end", WAIT_MS);
		assert.equal(steps.at(-1).reason, "message_limit");
		assert.deepEqual(steps.filter(({ action }) => action === "sent").map(({ deviceId }) => deviceId), drivers);
		const full = async () => (await stored(conversation)).length === 2 + 2 * ROUNDS;
		await until(full, "the last reply", WAIT_MS);
		const records = (await stored(conversation)).filter(({ fields }) => fields.auto);
		assert.equal(records.length, ROUNDS);
		assert.equal(new Set(records.map(({ fields }) => fields.parent)).size, ROUNDS, "each answer was followed once");
	}

	test("the device it is enabled on answers, the other does not; handed over, it is the other way round", async () => {
		const [a, b] = [await device(), await device()];
		const run = await begin(a, b);
		const { conversation } = run;
		for (let i = 1; i <= 3; i++) await a.must(`say ${conversation} ${await asked(a, i)} word ${i} of ${a.id}`);
		const open = await asked(a, 4);
		assert.ok(!b.lines.some((line) => line.startsWith("asked")), "B was to say something");
		const from = a.lines.length;
		await a.must(`hand ${conversation} ${b.id}`);
		await a.line(/^answer ok/, from, WAIT_MS);
		await isPrimary(b, conversation);
		await until(async () => !(await a.seat(conversation)).mine, "A to stand down", WAIT_MS);
		assert.equal(await asked(b, 1), open, "B goes on with the answer that A had not followed");
		await a.must(`say ${conversation} ${open} too late`);
		await finish(b, ROUNDS - 3, run, [a.id, a.id, a.id, ...Array(ROUNDS - 3).fill(b.id)]);
		assert.equal(a.lines.filter((line) => line.startsWith("asked")).length, 4);
		await agree([a, b], conversation);
		await quit(a, b);
	});

	test("when the device that drives is killed, the next one goes on with the same count", async () => {
		const [a, b, c] = [await device(), await device(), await device()];
		const run = await begin(a, b, c);
		for (let i = 1; i <= 2; i++) await a.must(`say ${run.conversation} ${await asked(a, i)} word ${i} of ${a.id}`);
		await asked(a, 3);
		await a.kill();
		await isPrimary(b, run.conversation);
		await finish(b, ROUNDS - 2, run, [a.id, a.id, ...Array(ROUNDS - 2).fill(b.id)]);
		assert.ok(!c.lines.some((line) => line.startsWith("asked")));
		await agree([b, c], run.conversation);
		await quit(b, c);
	});

	test("the only device is killed and started again: the run goes on with the same count", async () => {
		const a = await device();
		const run = await begin(a);
		for (let i = 1; i <= 2; i++) await a.must(`say ${run.conversation} ${await asked(a, i)} word ${i} of ${a.id}`);
		const open = await asked(a, 3);
		await a.kill();
		const back = await again(a);
		await sit(back, run.conversation);
		await back.must(`drive ${run.conversation}`);
		await until(async () => (await asked(back, 1)) === open, "it to look at what was there before", WAIT_MS);
		await finish(back, ROUNDS - 2, run, Array(ROUNDS).fill(a.id));
		await agree([back], run.conversation);
		await quit(back);
	});

	test("who has not joined, or has left, drives nothing", async () => {
		const [a, b] = [await device(), await device()];
		const [, what, why] = await b.tell(`drive ${newId()}`);
		assert.deepEqual([what, /join/.test(why)], ["refused", true]);
		const run = await begin(a, b);
		await a.must(`say ${run.conversation} ${await asked(a, 1)} one`);
		await asked(a, 2);
		await b.must(`leave ${run.conversation}`);
		await a.must(`leave ${run.conversation}`);
		await sit(b, run.conversation);
		await isPrimary(b, run.conversation);
		await a.must(`say ${run.conversation} ${await asked(a, 2)} two`);
		await sleep(300); // what would come has come
		assert.equal((await stored(run.conversation)).filter(({ fields }) => fields.auto).length, 1);
		assert.ok(!b.lines.some((line) => line.startsWith("asked")));
		await quit(a, b);
	});

	test("of three devices the next in line drives, and one that comes back does not disturb it", async () => {
		const [a, b, c] = [await device(), await device(), await device()];
		const conversation = newId();
		await has(b, await a.send(conversation, "who drives?"));
		for (const one of [a, b, c]) await sit(one, conversation);
		await isPrimary(a, conversation);
		await a.kill();
		await isPrimary(b, conversation);
		const back = await again(a);
		await sit(back, conversation);
		assert.deepEqual(await back.seat(conversation), { ...(await b.seat(conversation)), mine: false });
		await b.kill();
		await isPrimary(c, conversation);
		await until(async () => (await back.seat(conversation)).primary === c.id, "A to know", WAIT_MS);
		assert.equal((await back.seat(conversation)).mine, false);
		await quit(back, c);
	});
});

describe("conflict resolution", () => {
	test("one message edited on two devices at once: the same text everywhere, and nothing typed is lost", async () => {
		const [a, b, c] = [await device(), await device(), await device()];
		const conversation = newId();
		const ids = [];
		for (let i = 0; i < 10; i++) ids.push(await a.send(conversation, `base ${i}`));
		await has(b, ids.at(-1));
		await Promise.all(ids.flatMap((id, i) => [a.must(`edit ${id} ${i} on A`), b.must(`edit ${id} ${i} on B`)]));
		const known = async (i) => {
			const { fields } = (await stored(conversation))[i];
			return [fields.text, ...(await history(ids[i])).map(({ value }) => value)].sort();
		};
		for (let i = 0; i < ids.length; i++) {
			const both = async () => (await known(i)).length === 3;
			await until(both, `both edits of message ${i}`, WAIT_MS);
			assert.deepEqual(await known(i), [`${i} on A`, `${i} on B`, `base ${i}`]);
		}
		await agree([a, b, c], conversation);
		await quit(a, b, c);
	});

	for (const first of ["the earlier", "the later"])
		test(`one message edited on two devices that are offline: the later edit wins when ${first} one arrives first`, async () => {
			const [a, b, c] = [await device(), await device(), await device()];
			const conversation = newId();
			const id = await c.send(conversation, "dinner at 7");
			await has(a, id);
			await has(b, id);
			await offline(a);
			await offline(b);
			await a.must(`edit ${id} dinner at 8`);
			await sleep(20);
			await b.must(`edit ${id} bring wine`);
			assert.equal((await a.show(conversation))[0].text, "dinner at 8");
			assert.equal((await b.show(conversation))[0].text, "bring wine");
			const order = first === "the earlier" ? [a, b] : [b, a];
			for (const one of order) {
				const from = one.lines.length;
				await one.must("start");
				await one.line(/^there/, from, WAIT_MS);
			}
			const [record] = await agree([a, b, c], conversation);
			assert.equal(record.fields.text, "bring wine");
			assert.deepEqual((await history(id)).map(({ value, conflict }) => [value, conflict]).sort(), [
				["dinner at 7", false],
				["dinner at 8", true],
			]);
			await order[1].line(/^conflict \S+ (mine|theirs)/, 0, WAIT_MS);
			assert.equal((await order[1].status()).conflicted, 1);
			const lost = (await history(id)).find(({ conflict }) => conflict);
			assert.equal((await daemon.cli("history", "--restore", lost.revision)).code, 0);
			await has(a, id, "dinner at 8");
			await agree([a, b, c], conversation);
			await quit(a, b, c);
		});

	test("two devices rename a conversation offline while a third writes in it: one title, and the other is kept", async () => {
		const [a, b, c] = [await device(), await device(), await device()];
		const conversation = newId();
		const id = await c.send(conversation, "nameless");
		await has(a, id);
		await has(b, id);
		await offline(a);
		await offline(b);
		await a.must(`title ${conversation} Pigeons`);
		await sleep(20);
		await b.must(`title ${conversation} Doves`);
		const more = await c.send(conversation, "more");
		for (const one of [b, a]) await one.must("start");
		await has(a, more);
		const titles = async () => (await history(conversation)).filter(({ field }) => field === "title").map(({ value }) => value);
		await until(async () => (await titles()).includes("Pigeons"), "the other title", WAIT_MS);
		const [{ fields }] = await query("Conversation", "name", conversation);
		assert.equal(fields.title, "Doves");
		await agree([a, b, c], conversation);
		await quit(a, b, c);
	});
});

describe("clearing", () => {
	test("the other device keeps its copy, and what it typed into the cleared session waits for its person", async () => {
		const [a, b] = [await device(), await device()];
		const conversation = newId();
		const old = await a.send(conversation, "of the old session");
		await has(b, old);
		await offline(b);
		const typed = await b.send(conversation, "typed on the train");
		await a.must(`clear ${conversation}`);
		await until(async () => (await a.status()).pending === 0, "the clear", WAIT_MS);
		await b.must("start");
		const [, entry] = await b.line(new RegExp(`^held ${typed} session_killed (\\d+)`), 0, WAIT_MS);
		assert.ok((await b.show(conversation)).some(({ id }) => id === old), "B has lost its copy");
		assert.ok(!(await stored(conversation)).some(({ name }) => name === typed), "it was rerouted");
		await b.must(`resolve ${entry} 1`);
		await has(a, typed, "typed on the train");
		const records = await stored(conversation);
		const session = (id) => records.find(({ name }) => name === id)?.fields.sessionId;
		assert.ok(session(typed));
		assert.notEqual(session(typed), session(old));
		await quit(a, b);
	});
});

describe("what causes a sync", () => {
	const synced = async (one, n, why) => {
		await until(async () => (await one.status()).syncs >= n, why, WAIT_MS);
		await sleep(600);
		assert.equal((await one.status()).syncs, n, why);
	};

	test("the start, coming to the front, a nudge, something sent, received, and another session: one sync each", async () => {
		const user = await person("triggers");
		const [a, b] = [await device({ user }), await device({ user })];
		const conversation = newId();
		await has(b, await a.send(conversation, "first"));
		await sleep(1000); // until it has come to rest
		let { syncs } = await b.status();
		await b.must("front 1");
		await synced(b, ++syncs, "foreground");
		await b.must("nudge");
		await synced(b, ++syncs, "a nudge");
		await b.send(conversation, "sent");
		await synced(b, ++syncs, "sent");
		await has(b, await a.send(conversation, "received"));
		await synced(b, ++syncs, "received");
		await a.must(`clear ${conversation}`);
		await b.line(/^cleared/, 0, WAIT_MS);
		await synced(b, ++syncs, "another session");
		await b.kill();
		const c = await again(b);
		await c.line(/^online/, 0, WAIT_MS);
		await synced(c, 1, "the start");
		await offline(c);
		await c.must("front 0");
		await c.must("front 1");
		await synced(c, 1, "offline there is none");
		await quit(a, c);
	});

	test("30 seconds in front without anything else", { timeout: 120_000 }, async () => {
		const one = await device({ user: await person("patient") });
		await one.must("front 1");
		await synced(one, 2, "the start and coming to the front");
		await until(async () => (await one.status()).syncs > 2, "a sync", 90_000);
		assert.equal((await one.status()).syncs, 3);
		await quit(one);
	});
});

// Between a device and the daemon. What `pass` does with the bytes of either direction is the way's quality.
async function way(pass) {
	const sockets = new Set();
	const server = net.createServer((near) => {
		const far = net.connect(daemon.port, "127.0.0.1");
		for (const [from, to] of [[near, far], [far, near]]) {
			sockets.add(from);
			from.on("error", () => {});
			from.on("close", () => {
				sockets.delete(from);
				to.destroy();
			});
			pass(from, to);
		}
	});
	await new Promise((done) => server.listen(0, "127.0.0.1", done));
	const cut = () => {
		for (const socket of sockets) socket.destroy();
	};
	const close = () => {
		cut();
		server.close();
	};
	return { url: `http://127.0.0.1:${server.address().port}`, sockets, cut, close };
}

// So slow that a device can be killed in the middle of thousands of records, however fast the machine is.
async function drip(from, to) {
	try {
		for await (const bytes of from)
			for (let i = 0; i < bytes.length; i += 8192) {
				to.write(bytes.subarray(i, i + 8192));
				await sleep(3);
			}
	} catch {
		to.destroy();
	}
}

describe("edge cases", () => {
	test("airplane mode: 50 messages written offline arrive once and in order", async () => {
		const [a, b] = [await device(), await device()];
		const conversation = newId();
		await has(b, await a.send(conversation, "boarding"));
		await offline(a);
		const flown = [];
		for (let i = 0; i < 50; i++) flown.push(await a.send(conversation, `in the air ${i}`));
		const ground = [];
		for (let i = 0; i < 5; i++) ground.push(await b.send(conversation, `on the ground ${i}`));
		assert.equal((await a.status()).pending, 50);
		await a.must("start");
		await has(b, flown.at(-1));
		await has(a, ground.at(-1));
		const records = await agree([a, b], conversation);
		assert.equal(records.length, 56);
		inOrder(records, flown);
		inOrder(records, ground);
		await quit(a, b);
	});

	test("a connection that is cut again and again: everything arrives once and in order", async (t) => {
		const random = seeded(SEED);
		const bad = await way((from, to) => from.pipe(to));
		t.after(() => bad.close());
		let [cuts, over] = [0, false];
		const cutting = (async () => {
			for (; !over; await sleep(20 + random(150))) {
				if (bad.sockets.size > 0) cuts++;
				bad.cut();
			}
		})();
		const [b, conversation] = [await device(), newId()];
		const a = new NativeDevice({ file: join(dir, `device-${files++}.db`), url: bad.url, code: await code("me") });
		const sent = { a: [], b: [] };
		for (let i = 0; i < 100 || cuts < 20; i++) {
			sent.a.push(await a.send(conversation, `over the bad way ${i}`));
			sent.b.push(await b.send(conversation, `over the good way ${i}`));
			await sleep(20);
		}
		over = true;
		await cutting;
		await has(b, sent.a.at(-1));
		await has(a, sent.b.at(-1));
		const records = await agree([a, b], conversation);
		assert.equal(records.length, sent.a.length + sent.b.length);
		for (const ids of Object.values(sent)) inOrder(records, ids);
		t.diagnostic(`${cuts} cuts, ${records.length} messages`);
		await quit(a, b);
	});

	test("a device killed in the middle of a sync of thousands of records goes on where it was", async (t) => {
		const random = seeded(SEED);
		const user = await person("archivist");
		const writer = await Device.connect(daemon, await daemon.pair({ user }));
		const conversation = newId();
		for (let i = 0; i < RECORDS; i += 500) {
			const batch = Array.from({ length: 500 }, (_, j) => writer.send({ conversationId: conversation, text: `number ${i + j}` }));
			await Promise.all(batch);
		}
		const slow = await way(drip);
		t.after(() => slow.close());
		let one = await device({ user, url: slow.url });
		await one.line(/^text/, 0, WAIT_MS);
		const own = [];
		const seen = new Map();
		let [kills, early] = [0, 0];
		for (; kills < 25; kills++) {
			own.push(await one.send(conversation, `written in life ${kills}`));
			await sleep(random(30));
			await one.kill();
			for (const id of one.texts.keys()) seen.set(id, (seen.get(id) ?? 0) + 1);
			if (seen.size < RECORDS) early++;
			one = await again(one, { url: slow.url });
		}
		await one.line(/^idle/, 0, WAIT_MS);
		await until(async () => (await one.must(`list ${conversation}`)) === String(RECORDS + own.length), "all records", WAIT_MS);
		const records = await agree([one], conversation, user);
		inOrder(records, own);
		t.diagnostic(`${early} of ${kills} kills in the middle`);
		assert.ok(early > 2, "the sync was too quick to be killed");
		await writer.close();
		await quit(one);
	});

	test("the daemon is killed and restarted while devices write: nothing is lost or doubled, and the primary stays", async (t) => {
		const devices = [await device(), await device(), await device()];
		const conversation = newId();
		await has(devices[1], await devices[0].send(conversation, "before"));
		for (const one of devices) await sit(one, conversation);
		await isPrimary(devices[0], conversation);
		let over = false;
		const sent = Promise.all(devices.map(async (one, n) => {
			const ids = [];
			for (let i = 0; !over; i++) {
				ids.push(await one.send(conversation, `${n} says ${i}`));
				await sleep(10);
			}
			return ids;
		}));
		const { port } = daemon;
		for (const signal of ["SIGKILL", "SIGTERM", "SIGKILL"]) {
			await sleep(300);
			await daemon.kill(signal);
			await sleep(100);
			await daemon.restart({ port });
			const settled = async () => (await Promise.all(devices.map((one) => one.status()))).every(({ pending }) => pending < 50);
			await until(settled, "the devices to be back", WAIT_MS);
		}
		over = true;
		const ids = await sent;
		for (const one of devices) await until(async () => (await one.status()).pending === 0, "an empty outbox", WAIT_MS);
		const records = await agree(devices, conversation);
		assert.equal(records.length, 1 + ids.flat().length);
		for (const list of ids) inOrder(records, list);
		t.diagnostic(`${records.length} messages`);
		const seats = async () => Promise.all(devices.map((one) => one.seat(conversation)));
		await until(async () => (await seats()).filter(({ mine }) => mine).length === 1, "one primary", WAIT_MS);
		await until(async () => new Set((await seats()).map(({ primary, term }) => `${primary} ${term}`)).size === 1, "one truth", WAIT_MS);
		await quit(...devices);
	});
});

// One of the crowd: it writes, is killed, loses the net, joins, leaves and takes over, as the dice say.
class Reveller {
	taken = []; // messages that were taken, in their order
	lives = 1;

	constructor(one, number, conversation) {
		Object.assign(this, { one, number, conversation, words: 0 });
	}

	async write() {
		const text = `${this.number} writes ${this.words++}`;
		this.taken.push(await this.one.send(this.conversation, text));
	}

	async die() {
		const written = this.one.lines.length;
		await this.one.kill();
		assert.ok(this.one.lines.length >= written);
		this.one = await again(this.one);
		this.lives++;
		await this.one.must(`join ${this.conversation}`);
	}

	async nap(random) {
		await this.one.must("stop");
		await sleep(random(150));
		await this.one.must("start");
	}

	async act(random) {
		const dice = random(100);
		if (dice < 70) await this.write();
		else if (dice < 80) await this.die();
		else if (dice < 88) await this.nap(random);
		else if (dice < 94) await this.one.tell(`take ${this.conversation}`); // refused when it is offline
		else {
			await this.one.must(`leave ${this.conversation}`);
			await this.one.must(`join ${this.conversation}`);
		}
		await sleep(random(60));
	}
}

const patience = { timeout: (CROWD_SECONDS + 200) * 1000 };
test(`${CROWD} devices that come, go, die and write: the same everywhere, nothing lost or doubled, one primary`, patience, async (t) => {
	const random = seeded(SEED);
	const user = await person("crowd");
	const conversation = newId();
	const crowd = [];
	for (let i = 0; i < CROWD; i++) crowd.push(new Reveller(await device({ user }), i, conversation));
	for (const { one } of crowd) await one.must(`join ${conversation}`);
	let over = false;
	const lives = crowd.map(async (each) => {
		while (!over) await each.act(random);
	});
	const { port } = daemon;
	await Promise.race([sleep(CROWD_SECONDS * 500), ...lives]);
	await daemon.kill();
	await daemon.restart({ port });
	await Promise.race([sleep(CROWD_SECONDS * 500), ...lives]);
	over = true;
	await Promise.all(lives);

	const devices = crowd.map(({ one }) => one);
	for (const one of devices) await until(async () => (await one.status()).pending === 0, "an empty outbox", WAIT_MS);
	const records = await agree(devices, conversation, user);
	const names = new Set(records.map(({ name }) => name));
	for (const { taken } of crowd) {
		assert.deepEqual(taken.filter((id) => !names.has(id)), [], "taken and lost");
		inOrder(records, taken);
	}
	assert.equal(records.length, crowd.reduce((sum, { words }) => sum + words, 0), "as many as were written");
	assert.equal(new Set(records.map(({ fields }) => fields.text)).size, records.length, "each once");
	const seats = () => Promise.all(devices.map((one) => one.seat(conversation)));
	await until(async () => new Set((await seats()).map(({ primary, term }) => `${primary} ${term}`)).size === 1, "one truth", WAIT_MS);
	const [{ primary }] = await seats();
	const mine = (await seats()).map(({ mine: is }, i) => is && devices[i].id).filter(Boolean);
	assert.deepEqual(mine, [primary], "the primary knows that it is, and nobody else thinks so");
	t.diagnostic(`${records.length} messages, ${crowd.reduce((sum, each) => sum + each.lives - 1, 0)} kills`);
	await quit(...devices);
});
