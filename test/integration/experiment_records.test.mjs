// Experiments as records: `roost run` beside a daemon, and the devices of the user whose experiments they are.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { promisify } from "node:util";
import { Daemon, Device, program, root, scratch, until } from "../lib/roost.mjs";

const CANARY = "canaryquetzal";
const LOOK_MS = 200;
const SLOW_MS = 20_000; // many builds may share the machine

let daemon;
let output;
let home;

const env = () => ({
	PATH: process.env.PATH,
	HOME: home,
	XDG_RUNTIME_DIR: join(home, "run"),
	ROOST_OUTPUT_DIR: output,
	UV_USE_IO_URING: "0",
});

async function roost(args) {
	return promisify(execFile)(program, args, { env: env(), timeout: 60_000, maxBuffer: 1 << 28 }).then(
		({ stdout }) => ({ code: 0, stdout }),
		(error) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
	);
}

// A run in the background: {id, pid, dir}. A conversation of it takes minutes unless it is stopped.
async function run(name, more = "params: {tokens: 10, tokensPerSecond: 200}\nmax_turns: 1000") {
	const spec = join(home, `${name}.yaml`);
	await writeFile(spec, `name: ${name}\nagent_a: local:test\nagent_b: local:test\nprompt: ${name} prompt\n${more}\n`);
	const { code, stderr } = await roost(["run", spec, "--quiet"]);
	assert.equal(code, 0, stderr);
	return until(
		async () => JSON.parse((await roost(["experiment", "list", "--json"])).stdout).find((e) => e.dir.includes(`/${name}_`)),
		"its directory and manifest",
		SLOW_MS,
	);
}

const config = (more = "") => `${more}labOutput: ${output}\nlimits:\n  experimentLookMs: ${LOOK_MS}\n`;

async function serve(more = "") {
	daemon = await Daemon.start({ config: config(more) });
	return daemon;
}

const record = (device, { id }) => device.records.get(`Experiment/${id}`);
const fields = (device, e) => record(device, e)?.fields;
const becomes = (device, e, wanted, what) =>
	device.until(() => fields(device, e) && wanted(fields(device, e)) && fields(device, e), what, SLOW_MS);
const manifest = async ({ dir }) => JSON.parse(await readFile(join(dir, "manifest.json"), "utf8"));
const events = async ({ dir }, id) =>
	(await readFile(join(dir, `events_${id}.jsonl`), "utf8"))
		.split("\n")
		.filter(Boolean)
		.map((line) => JSON.parse(line));

// The names in a table of docs/protocol.md, but for those that are not expected.
async function documented(header, not = []) {
	const page = await readFile(join(root, "docs/protocol.md"), "utf8");
	const rows = page.slice(page.indexOf("### Experiments")).split(header)[1].split("\n").slice(2);
	const cells = rows.slice(0, rows.indexOf("")).map((row) => row.split("|")[1].matchAll(/`(\w+)`/g));
	return cells.flatMap((names) => [...names].map(([, name]) => name)).filter((name) => !not.includes(name)).sort();
}

// An experiment's directory made by hand.
async function put(base, text) {
	const dir = join(output, base);
	await mkdir(dir);
	if (text !== undefined) await writeFile(join(dir, "manifest.json"), text);
	return { dir, id: `experiment_${base.slice(-8)}` };
}

beforeEach(async () => {
	home = await scratch("home");
	output = join(home, "out");
	await mkdir(output);
	await mkdir(join(home, "run"));
});

afterEach(async () => {
	await roost(["stop", "--all", "--now", "--wait", "5"]);
	await daemon?.remove();
	daemon = undefined;
	await rm(home, { recursive: true, force: true });
});

describe("an experiment", () => {
	it("appears on a device, is seen going on, and ends there as in its manifest", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("seen", "params: {tokens: 10, tokensPerSecond: 100}\nmax_turns: 12\nrepetitions: 2\nmax_parallel: 2");
		const first = await becomes(device, e, (f) => f.status === "running" && f.live.length === 2, "two that run");
		assert.deepEqual(first.models, ["local:test", "local:test"]);
		assert.deepEqual([first.name, first.experimentId, first.redacted], ["seen", e.id, false]);
		assert.ok(Number.isFinite(Date.parse(first.startedAt)) && first.endedAt === undefined && first.error === undefined);
		const turns = new Set();
		await becomes(device, e, (f) => turns.add(f.turns).size > 2, "turns that are counted");
		const said = await becomes(device, e, (f) => f.live.some((l) => l.last && l.turn > 0), "a last message");
		const live = said.live.find((l) => l.last);
		assert.equal(live.maxTurns, 12);
		const texts = (await events(e, live.conversationId)).filter((v) => v.event_type === "MessageCompleteEvent");
		assert.ok(texts.some((v) => v.agent_id === live.last.agent && v.message.content === live.last.text));
		const end = await becomes(device, e, (f) => f.status === "completed", "the end");
		const m = await manifest(e);
		assert.deepEqual(end.conversations, { total: 2, completed: 2, failed: 0, interrupted: 0, running: 0 });
		assert.deepEqual([end.turns, end.maxTurns, end.live], [24, 12, []]);
		assert.equal(end.tokens.prompt, m.token_usage.prompt_tokens);
		assert.equal(end.tokens.completion, m.token_usage.completion_tokens);
		assert.deepEqual(end.cost, { ticks: m.token_usage.cost_ticks, reported: m.token_usage.reported_ticks, partial: true });
		assert.ok(end.convergence > 0 && end.convergence <= 1);
		assert.ok(Date.parse(end.endedAt) >= Date.parse(end.startedAt));
		assert.equal(record(device, e).created.deviceId, "", "the daemon made it");
		assert.deepEqual([...new Set(Object.keys({ ...said, ...end }))].sort(), await documented("| field | type | |", ["error", "gone"]));
		assert.deepEqual(Object.keys(live).sort(), (await documented("| member of `live` | type | |")).filter((name) => name in live));
	});

	it("that was over before anybody looked is there all the same; those of before are not", async () => {
		const old = await put("old_0000000a", JSON.stringify({ experiment_id: "experiment_0000000a", name: "old", status: "completed" }));
		await promisify(execFile)("touch", ["-d", "1 hour ago", old.dir]);
		await serve();
		const device = await daemon.device();
		const e = await run("quick", "max_turns: 2");
		await becomes(device, e, (f) => f.status === "completed" && f.turns === 2, "its end");
		assert.equal(record(device, old), undefined);
	});

	it("shows the first 2,000 characters of a long message", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("long", "params: {tokens: 1500, tokensPerSecond: 10000}\nmax_turns: 1000");
		const f = await becomes(device, e, (v) => v.live[0]?.last, "a long message");
		const { conversationId, last } = f.live[0];
		assert.equal([...last.text].length, 2000);
		const whole = (await events(e, conversationId)).filter((v) => v.event_type === "MessageCompleteEvent");
		assert.ok(whole.some((v) => v.message.content.startsWith(last.text) && v.message.content.length > 2000));
	});

	it("that does not change is not saved again", async () => {
		await serve();
		const device = await daemon.device();
		const still = await run("still");
		await becomes(device, still, (f) => f.status === "running", "the one");
		await device.call("experiment:pause", { experimentId: still.id });
		await becomes(device, still, (f) => f.status === "paused" && f.turns > 0, "its pause");
		const busy = await run("busy");
		const seen = new Set();
		const changes = (n, what) => becomes(device, busy, () => seen.add(record(device, busy).changeTag).size >= n, what);
		await changes(4, "looks after the last message of the one");
		const { changeTag } = record(device, still);
		await changes(10, "more looks");
		assert.equal(record(device, still).changeTag, changeTag);
	});

	it("whose directory goes is marked as gone, and unmarked when it comes back", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("moved", "max_turns: 1");
		await becomes(device, e, (f) => f.status === "completed", "its end");
		await rename(e.dir, join(home, "elsewhere"));
		await becomes(device, e, (f) => f.gone === true, "the mark");
		await rename(join(home, "elsewhere"), e.dir);
		await becomes(device, e, (f) => f.gone === undefined, "no mark");
		await daemon.restart({});
		await rm(e.dir, { recursive: true });
		const again = await Device.connect(daemon, device);
		const f = await becomes(again, e, (v) => v.gone === true, "the mark after a restart");
		assert.equal(f.status, "completed");
	});

	it("that runs when its directory goes is interrupted", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("removed");
		await becomes(device, e, (f) => f.status === "running", "the run");
		process.kill(e.pid, "SIGKILL");
		await rm(e.dir, { recursive: true });
		const f = await becomes(device, e, (v) => v.gone === true, "the mark");
		assert.deepEqual([f.status, f.live], ["interrupted", []]);
	});
});

describe("a device", () => {
	it("stops an experiment", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("stopped", "params: {tokens: 10, tokensPerSecond: 200}\nmax_turns: 1000\nrepetitions: 2");
		const { live } = await becomes(device, e, (f) => f.live.length > 0 && f.turns > 0, "the run");
		const ack = await device.call("experiment:stop", { experimentId: e.id });
		assert.deepEqual([ack.type, ack.experimentId], ["experiment:ack", e.id]);
		const end = await becomes(device, e, (f) => f.status === "interrupted", "its end");
		assert.deepEqual(end.live, []);
		assert.equal((await manifest(e)).status, "interrupted");
		assert.equal((await events(e, live[0].conversationId)).at(-1).event_type, "ConversationEndEvent");
		await assert.rejects(device.call("experiment:stop", { experimentId: e.id }), { code: "bad_state" });
		await assert.rejects(device.call("experiment:stop", { experimentId: "experiment_00000000" }), { code: "not_found" });
		await assert.rejects(device.call("experiment:stop", {}), { code: "bad_field" });
		await assert.rejects(device.call("experiment:stop", { experimentId: "../../etc" }), { code: "not_found" });
		const resumed = await roost(["run", "--resume", e.id, "--quiet"]);
		assert.equal(resumed.code, 0, resumed.stderr);
		await becomes(device, e, (f) => f.status === "running" && f.endedAt === undefined, "its going on");
	});

	it("pauses one and lets it go on over HTTP", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("paused");
		await becomes(device, e, (f) => f.status === "running", "the run");
		const post = (verb, id = e.id) =>
			daemon.http("POST", `/api/v1/experiments/${id}/${verb}`, { token: device.token, body: {} });
		assert.deepEqual((await post("pause")).json, { type: "experiment:ack", experimentId: e.id });
		await becomes(device, e, (f) => f.status === "paused", "its pause");
		assert.equal((await post("resume")).status, 200);
		await becomes(device, e, (f) => f.status === "running", "its going on");
		assert.equal((await post("stop")).status, 200);
		await becomes(device, e, (f) => f.status === "interrupted", "its end");
		assert.equal((await post("stop")).status, 409);
		assert.equal((await post("stop", "experiment_00000000")).status, 404);
		assert.equal((await daemon.http("POST", `/api/v1/experiments/${e.id}/stop`, { body: {} })).status, 401);
	});

	it("writes no record of one", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("kept", "max_turns: 1");
		await becomes(device, e, (f) => f.status === "completed", "its end");
		const save = (more) =>
			device.call("record:save", { records: [{ type: "Experiment", name: e.id, changeTag: record(device, e).changeTag, ...more }] });
		for (const more of [{ fields: { status: "failed" } }, { fields: { gone: true } }, { delete: true, deleted: true }]) {
			const { results } = await save(more);
			assert.equal((results[0].error ?? results[0]).code, "forbidden", JSON.stringify(results));
		}
		assert.equal(record(device, e).fields.status, "completed");
		const filter = [{ field: "status", op: "eq", value: "completed" }];
		const { records } = await device.call("record:query", { recordType: "Experiment", filter });
		assert.deepEqual(records.map((r) => r.name), [e.id]);
	});
});

describe("of several users", () => {
	const users = async () => {
		for (const name of ["ann", "bob"]) await daemon.operator("POST", "users", { name });
		return [await daemon.device({ user: "ann" }), await daemon.device({ user: "bob" })];
	};

	it("the one that labUser names sees and stops them, and no other", async () => {
		await serve("labUser: bob\n");
		const [ann, bob] = await users();
		const e = await run("hers");
		await becomes(bob, e, (f) => f.turns > 1, "the run");
		for (const verb of ["stop", "pause", "resume"])
			await assert.rejects(ann.call(`experiment:${verb}`, { experimentId: e.id }), { code: "not_found" });
		await bob.call("experiment:stop", { experimentId: e.id });
		await becomes(bob, e, (f) => f.status === "interrupted", "its end");
		assert.equal(record(ann, e), undefined);
		const { records } = await ann.call("record:query", { recordType: "Experiment" });
		assert.deepEqual(records, []);
	});

	it("none sees them when no word says whose they are, which is said once", async () => {
		await serve();
		const [ann, bob] = await users();
		const e = await run("whose");
		await until(() => /labUser/.test(daemon.errors), "the word", SLOW_MS);
		const turns = async () => Object.values((await manifest(e)).conversations)[0].total_turns;
		const from = await turns();
		await until(async () => (await turns()) > from + 5, "more news", SLOW_MS);
		assert.equal(daemon.errors.match(/labUser/g).length, 1);
		assert.deepEqual([record(ann, e), record(bob, e)], [undefined, undefined]);
		await assert.rejects(ann.call("experiment:stop", { experimentId: e.id }), { code: "not_found" });
	});
});

describe("after a death", () => {
	it("of the run it is interrupted", async () => {
		await serve();
		const device = await daemon.device();
		const e = await run("killed");
		await becomes(device, e, (f) => f.turns > 0, "the run");
		process.kill(e.pid, "SIGKILL");
		const f = await becomes(device, e, (v) => v.status === "interrupted", "its end");
		assert.deepEqual(f.conversations, { total: 1, completed: 0, failed: 0, interrupted: 1, running: 0 });
		assert.deepEqual(f.live, []);
		assert.ok(Number.isFinite(Date.parse(f.endedAt)));
		await assert.rejects(device.call("experiment:stop", { experimentId: e.id }), { code: "bad_state" });
	});

	it("of the daemon it is followed on, and what ended meanwhile has ended", async () => {
		await serve();
		const device = await daemon.device();
		const [on, off, shot] = [await run("goes-on"), await run("ends"), await run("is-shot")];
		for (const e of [on, off, shot]) await becomes(device, e, (f) => f.turns > 0, "the run");
		const { turns } = fields(device, on);
		await daemon.kill();
		await roost(["stop", off.id, "--wait", "20"]);
		process.kill(shot.pid, "SIGKILL");
		for (const { dir } of [off, shot]) await promisify(execFile)("touch", ["-d", "1 hour ago", dir]); // it was long ago
		await daemon.restart({});
		const again = await Device.connect(daemon, device);
		await becomes(again, off, (f) => f.status === "interrupted", "the stopped one's end");
		await becomes(again, shot, (f) => f.status === "interrupted", "the killed one's end");
		await becomes(again, on, (f) => f.status === "running" && f.turns > turns + 2, "the third one's going on");
		await again.call("experiment:stop", { experimentId: on.id });
		await becomes(again, on, (f) => f.status === "interrupted", "its end");
	});
});

describe("what may not be seen", () => {
	it("of a redacted experiment does not reach the store", async () => {
		await serve();
		const device = await daemon.device();
		const more = `params: {tokens: 10, tokensPerSecond: 200}\nmax_turns: 1000\nredact: mask-pii\nprompt_tag: ${CANARY} tag`;
		const e = await run(`${CANARY}-name`, more);
		const f = await becomes(device, e, (v) => v.live.length > 0 && v.turns > 3, "the run");
		assert.deepEqual([f.redacted, f.name, f.live[0].last], [true, e.id, undefined]);
		assert.ok(f.live[0].turn > 0);
		await device.call("experiment:stop", { experimentId: e.id });
		await becomes(device, e, (v) => v.status === "interrupted", "its end");
		const open = await run(`${CANARY}-open`); // what the search below must find
		await becomes(device, open, (v) => v.live[0]?.last, "the other one");
		await daemon.stop();
		const bytes = [];
		for (const name of await readdir(daemon.data))
			if (name.startsWith("roost.db")) bytes.push(await readFile(join(daemon.data, name), "latin1"));
		assert.ok(bytes.join("").includes(`${CANARY}-open`));
		assert.ok(!bytes.join("").includes(`${CANARY}-name`) && !bytes.join("").includes(`${CANARY} tag`));
	});
});

describe("a hostile manifest", () => {
	const big = "x".repeat(3 << 20);
	const row = (more) => JSON.stringify({ status: "running", total_conversations: 1, ...more });
	const cases = {
		garbage: "\u0000\u0001{[",
		empty: "",
		list: "[]",
		"an unknown status": row({ status: "\u001b[2J" }),
		"a name of megabytes": row({ status: "completed", name: big, error: big, agents: [big, big] }),
		"figures that overflow": row({
			status: "completed",
			token_usage: { prompt_tokens: 2 ** 53, cost_ticks: -5 },
			config: { max_turns: 1e18 },
			conversations: Object.fromEntries([...Array(9).keys()].map((i) =>
				[`conv_0000000${i}`, { status: "running", total_turns: 9007199254740991, convergence: 1e308 }])),
		}).replaceAll("9007199254740991", "9223372036854775807"),
		"conversations that are paths": row({ status: "completed", conversations: { "../../../etc/x": { status: "running" } } }),
		"one that is too large": " ".repeat(17 << 20),
		"a hundred thousand conversations": row({
			status: "completed",
			conversations: Object.fromEntries([...Array(100_000).keys()].map((i) => [i, {}])),
		}),
	};

	it("does no harm, and what can be told of it is told", async () => {
		await serve();
		const device = await daemon.device();
		const good = await run("good");
		const made = {};
		let n = 16;
		for (const [name, text] of Object.entries(cases)) made[name] = await put(`h_000000${(n++).toString(16)}`, text);
		const fifo = await put("h_000000f0");
		await promisify(execFile)("mkfifo", [join(fifo.dir, "manifest.json")]);
		const link = await put("h_000000f1");
		await symlink("/dev/zero", join(link.dir, "manifest.json"));
		const last = await run("last", "max_turns: 1");
		await becomes(device, last, (f) => f.status === "completed", "one that came later");
		const { turns } = await becomes(device, good, (f) => f.turns > 0, "the good one");
		await becomes(device, good, (f) => f.turns > turns + 2, "its going on");
		const named = await becomes(device, made["a name of megabytes"], (f) => f.status === "completed", "the long name");
		assert.deepEqual([named.name.length, named.error.length, named.models[0].length], [200, 299, 200]);
		const wide = await becomes(device, made["figures that overflow"], (f) => f.status === "completed", "the figures");
		assert.deepEqual([wide.conversations.running, wide.cost.ticks, wide.live], [9, 0, []]);
		await becomes(device, made["conversations that are paths"], (f) => f.status === "completed", "the paths");
		const large = made["one that is too large"];
		await becomes(device, large, (f) => /experimentBytes/.test(f.error) && f.name === large.id, "the large one");
		for (const name of ["garbage", "empty", "list", "an unknown status", "a hundred thousand conversations"])
			await becomes(device, made[name], (f) => f.status === "interrupted" && /cannot be read/.test(f.error), name);
		assert.deepEqual([fifo, link].map((e) => fields(device, e)?.status), ["interrupted", "interrupted"]);
		assert.ok(daemon.running);
	});
});
