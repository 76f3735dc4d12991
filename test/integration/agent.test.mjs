// Command-line agents as providers: what they are given, what becomes of what they print, how they are stopped, and what
// they may ask people.

import assert from "node:assert/strict";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, newId, root, scratch, until } from "../lib/roost.mjs";

let dir, log, daemon, device;
// Says which descriptors it has and which signals are not as usual.
const shell =
	"cat > /dev/null; ls=$(ls /proc/self/fd | tr '\\n' ' '); signals=$(grep -E 'SigBlk|SigIgn' /proc/self/status | tr -d '\\n\\t'); " +
	"core=$(ulimit -c); printf '{\"type\":\"result\",\"subtype\":\"success\",\"result\":\"%s\"}' \"$ls$signals core:$core\"";
const agent = join(root, "test/integration/fake_agent.mjs");

before(async () => {
	dir = await scratch("agent");
	log = join(dir, "log");
	await writeFile(log, "");
	await writeFile(join(dir, "not-executable"), "#!/bin/sh\n", { mode: 0o644 });
	const lines = ["--input-format", "stream-json"];
	const provider = (name, command, more = "") =>
		`  - name: ${name}\n    dialect: exec\n    command: ${JSON.stringify(command)}\n    env: [FAKE_AGENT_LOG, FAKE_SECRET]\n${more}`;
	const options = ["--output-format", "stream-json", "--system-prompt", "{system}", "--model", "{model}"];
	const limits = { attempts: 2, backoffMs: 10, backoffMaxMs: 20, streamIdleMs: 1500, agentGraceMs: 500, permissionMs: 60_000 };
	const config =
		`limits:\n${Object.entries(limits).map(([key, value]) => `  ${key}: ${value}\n`).join("")}providers:\n` +
		provider("text", [process.execPath, agent, "--model", "{model}"]) +
		provider("agent", [process.execPath, agent, ...lines, ...options]) +
		provider("shell", ["/bin/sh", "-c", shell]) +
		provider("missing", ["no-such-agent", "--model", "{model}"], `    path: ${dir}:/bin\n`) +
		provider("inert", ["not-executable"], `    path: ${dir}\n`);
	daemon = await Daemon.start({ config, env: { FAKE_AGENT_LOG: log, FAKE_SECRET: "hush-0123456789", FAKE_OTHER: "not for agents" } });
	device = await daemon.device();
});
after(async () => {
	await daemon.remove();
	await rm(dir, { recursive: true });
});

const notes = async () => (await readFile(log, "utf8")).split("\n").filter(Boolean).map((line) => JSON.parse(line));
// Runs `work` and gives what agents noted meanwhile.
async function noted(work) {
	const from = (await notes()).length;
	const value = await work();
	return { value, notes: (await notes()).slice(from) };
}
const isAlive = async (pid) => {
	const status = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "gone) X");
	return !/\) [XZ]/.test(status);
};
const allGone = (pids) => until(async () => !(await Promise.all(pids.map(isAlive))).some(Boolean), `${pids} to be gone`);

function ask(model, more = {}) {
	return device.converse({ text: "well?", conversationId: newId(), model: model.includes(":") ? model : `agent:${model}`, ...more });
}
const lastAttempt = (request) => request.fields.attempts.at(-1);

describe("an agent that works", () => {
	test("streams its words, and a whole message is not said again; what sub-agents say is their own affair", async () => {
		const conversationId = newId();
		await device.call("session:join", { conversationId });
		const { request, reply } = await ask("stream", { conversationId });
		assert.equal(request.fields.state, "done");
		assert.equal(reply.fields.text, "Hello there\n\nDone.");
		assert.equal(reply.fields.finishReason, "stop");
		assert.equal(reply.fields.parts, undefined, "its tools are its own");
		assert.equal(device.stream(request.name, 1, "thinking"), "let me see");
		const { inputTokens, outputTokens, cacheReadTokens } = request.fields.usage;
		assert.deepEqual([inputTokens, outputTokens, cacheReadTokens], [110, 9, 100]);
	});

	test("and says only a result has said that", async () => {
		assert.equal((await ask("quiet")).reply.fields.text, "only a result");
	});

	test("and prints other things between its lines is understood", async () => {
		assert.equal((await ask("odd")).reply.fields.text, "odd");
	});

	test("and goes on for long with a tool is not taken for dead", async () => {
		const { request, reply } = await ask("working");
		assert.deepEqual([request.fields.attempt, reply.fields.text], [1, "worked"]);
	});

	test("is told the text on its standard input, never in an argument", async () => {
		const { notes } = await noted(() => ask("text:quiet", { text: "a private matter" }));
		assert.deepEqual(notes[0].started, ["--model", "quiet"]);
		assert.equal(notes[1].text, "a private matter");
	});

	test("gets the system prompt where the command has a place for it, and else first of all", async () => {
		const params = { system: "-- be brief" };
		const placed = await noted(() => ask("quiet", { params }));
		assert.equal(placed.notes[0].started.at(-3), "\n-- be brief");
		assert.equal(placed.notes[1].text, "well?");
		const first = await noted(() => ask("text:quiet", { params }));
		assert.equal(first.notes[1].text, "-- be brief\n\nwell?");
		const none = await noted(() => ask("quiet"));
		assert.ok(!none.notes[0].started.includes("--system-prompt"));
	});

	test("has three descriptors (a fourth is what it looks with), signals as usual, and dumps no core", async () => {
		const { reply } = await ask("shell:x");
		assert.match(reply.fields.text, /^0 1 2 3 SigBlk:0+SigIgn:0+ core:0$/);
	});

	test("runs by itself: a directory, a session, a group and an environment of its own", async () => {
		const { value, notes } = await noted(() => ask("quiet"));
		const [{ env, cwd, group, session, pid }] = notes;
		const names = Object.keys(env).filter((name) => !["HOME", "LANG"].includes(name));
		assert.deepEqual(names.sort(), ["FAKE_AGENT_LOG", "FAKE_SECRET", "PATH", "TERM"]);
		assert.deepEqual([env.TERM, env.FAKE_SECRET, group, session], ["dumb", "hush-0123456789", pid, pid]);
		assert.ok(cwd.startsWith(join(daemon.data, "agents/")), cwd);
		assert.equal((await stat(cwd)).mode & 0o777, 0o700);
		const again = await noted(() => ask("quiet", { conversationId: value.request.fields.conversationId }));
		assert.equal(again.notes[0].cwd, cwd);
		assert.notEqual((await noted(() => ask("quiet"))).notes[0].cwd, cwd);
	});
});

describe("an agent's session", () => {
	const said = ({ notes }) => notes.find((n) => n.text !== undefined).text;
	const resumed = ({ notes }) => notes[0].started.includes("--resume");

	test("is gone on with: the agent is told only what is new", async () => {
		const conversationId = newId();
		const first = await noted(() => ask("quiet", { conversationId, text: "one" }));
		const second = await noted(() => ask("quiet", { conversationId, text: "two" }));
		assert.deepEqual([resumed(first), resumed(second)], [false, true]);
		assert.deepEqual([said(first), said(second)], ["one", "two"]);
		const session = device.all("Session").find((record) => record.fields.conversationId === conversationId);
		assert.deepEqual(session.fields.agentSessions, { agent: `s-${first.notes[0].pid}` });
	});

	test("ends when the session is cleared", async () => {
		const conversationId = newId();
		await ask("quiet", { conversationId, text: "one" });
		await device.call("session:clear", { conversationId });
		const next = await noted(() => ask("quiet", { conversationId, text: "two" }));
		assert.deepEqual([resumed(next), said(next)], [false, "two"]);
	});

	test("is begun anew when somebody else answered meanwhile, with the whole conversation", async () => {
		const conversationId = newId();
		await ask("quiet", { conversationId, text: "one" });
		await ask("local:silent", { conversationId, text: "two" });
		const next = await noted(() => ask("quiet", { conversationId, text: "three" }));
		assert.equal(resumed(next), false);
		for (const part of ["one", "only a result", "two", "…", "three"]) assert.ok(said(next).includes(part), said(next));
	});

	test("that the agent doesn't know any more costs a second start, which the record tells", async () => {
		const conversationId = newId();
		const first = await noted(() => ask("quiet", { conversationId, text: "one" }));
		const { cwd, pid } = first.notes[0];
		await rm(join(cwd, `session-s-${pid}`));
		const next = await noted(() => ask("quiet", { conversationId, text: "two" }));
		const { request, reply } = next.value;
		assert.deepEqual([request.fields.state, request.fields.attempt, reply.fields.text], ["done", 1, "only a result"]);
		assert.equal(lastAttempt(request).agentSessionLost, true);
		const texts = next.notes.filter((n) => n.text !== undefined).map((n) => n.text);
		assert.equal(texts.length, 2);
		assert.equal(texts[0], "two");
		assert.match(texts[1], /one[^]*only a result[^]*two/);
	});
});

describe("an agent that fails", () => {
	const cases = [
		["ends with a status and a reason", "fail", "provider_error", /status 3: Error: the disk of the agent .*is full/, 2],
		["ends without a result", "cut", "provider_interrupted", /ended before/, 2],
		["is killed", "suicide", "provider_error", /signal 9/, 2],
		["falls silent", "silent", "provider_timeout", /streamIdleMs/, 2],
		["used up its turns", "turns", "provider_too_much", /error_max_turns/, 1],
		["fails at its work", "broken", "provider_error", /the tool exploded/, 2],
		["has no key for its model", "overloaded", "provider_refused", /401 no such key/, 1],
		["is not there", "missing:x", "provider_unreachable", /no-such-agent was not found/, 1],
		["is no program", "inert:x", "provider_unreachable", /may be run/, 1],
		["has a model that is an option", "agent:--resume", "provider_refused|bad_field", /begin with "-"/, 1],
	];
	for (const [what, model, code, message, attempts] of cases)
		test(`as it ${what}, is one clear error`, async () => {
			const { request } = await ask(model);
			const { state, attempt, error } = request.fields;
			assert.equal(state, "failed");
			assert.match(error.code, new RegExp(`^(${code})$`));
			assert.match(error.message, message);
			assert.doesNotMatch(error.message, /hush-01/);
			assert.equal(attempt, attempts);
		});

	test("because of a parameter is told so before it runs", async () => {
		const { value, notes } = await noted(() => ask("quiet", { params: { temperature: 1 } }));
		assert.equal(value.request.fields.error.code, "bad_field");
		assert.equal(notes.length, 0);
	});
});

describe("a configuration", () => {
	const cases = [
		["without a command", "dialect: exec", /providers\.a\.command is missing/],
		["with a relative way to the program", "command: [./agent]", /absolute path/],
		["with a path that is relative", "command: [agent]\n    path: /bin:.", /absolute directories/],
		["with a value in the place of a name", "command: [agent]\n    env: [A=b]", /names of variables/],
		["with a control character", 'command: [agent, "a\\u0007"]', /control character/],
	];
	for (const [what, lines, message] of cases)
		test(`${what} is refused at the start`, async () => {
			const config = `providers:\n  - name: a\n    ${lines}\n`;
			await assert.rejects(Daemon.start({ config }), (error) => error.code === 78 && message.test(error.message));
		});
});

describe("stopping", () => {
	const children = (notes) => notes.filter((n) => n.child).map((n) => n.child);

	test("ends the agent and all it started, though they ignore SIGTERM", async () => {
		const { notes } = await noted(async () => {
			const ack = await device.send({ text: "go", conversationId: newId(), model: "agent:family" });
			await device.until(() => device.record("Request", ack.requestId)?.fields.state === "claimed");
			await until(async () => (await readFile(log, "utf8")).match(/"child"/g)?.length >= 2, "the family");
			await device.call("request:stop", { requestId: ack.requestId });
			assert.equal((await device.finished(ack.requestId)).fields.state, "stopped");
		});
		assert.equal(children(notes).length, 2);
		await allGone([notes[0].pid, ...children(notes)]);
		await until(async () => (await readFile(log, "utf8")).includes('"sigterm":true'), "it to have been asked first");
	});

	test("what lingers after its result is ended too, and the reply does not wait for ever", async () => {
		const { value, notes } = await noted(() => ask("lingers"));
		assert.equal(value.reply.fields.text, "said it all");
		assert.equal(children(notes).length, 1);
		await allGone([notes[0].pid, ...children(notes)]);
	});

	test("what an agent leaves behind when it ends is ended, though it ignores SIGTERM", async () => {
		const { value, notes } = await noted(() => ask("leaves"));
		assert.equal(value.reply.fields.text, "gone");
		assert.equal(children(notes).length, 1);
		await allGone(children(notes));
	});

	test("a daemon that is killed takes the agent with it; the next one tries again", async () => {
		const own = await Daemon.start({ ...daemon.options, data: undefined, config: daemon.options.config });
		try {
			const other = await own.device();
			const from = (await notes()).length;
			const ack = await other.send({ text: "go", conversationId: newId(), model: "agent:silent" });
			assert.equal(ack.type, "message:ack");
			const [{ pid }] = await until(async () => {
				const found = (await notes()).slice(from).filter((n) => n.started);
				return found.length > 0 && found;
			}, "the agent");
			await own.kill("SIGKILL");
			await allGone([pid]);
			await own.restart();
			const [{ pid: next }] = await until(async () => {
				const found = (await notes()).slice(from).filter((n) => n.started && n.pid !== pid);
				return found.length > 0 && found;
			}, "the second agent");
			await own.stop();
			await allGone([next]);
		} finally {
			await own.remove();
		}
	});
});

describe("a question", () => {
	let other;
	before(async () => {
		other = await daemon.device();
	});
	const open = (on, conversationId) =>
		on.until(
			() => on.all("Permission").filter((p) => p.fields.conversationId === conversationId && p.fields.state === "open").at(-1),
			"a question",
		);
	const begin = async (model) => {
		const conversationId = newId();
		const ack = await device.send({ text: "go", conversationId, model: `agent:${model}` });
		return { conversationId, requestId: ack.requestId };
	};
	const state = (on, id, wanted) => on.until(() => on.record("Permission", id)?.fields.state === wanted, `${wanted}`);
	const replyOf = async (requestId) => {
		const request = await device.finished(requestId);
		return device.record("Message", request.fields.replyId)?.fields.text;
	};

	test("is a record on every device; the first answer counts and every device sees who gave it", async () => {
		const { conversationId, requestId } = await begin("ask");
		const [here, there] = await Promise.all([open(device, conversationId), open(other, conversationId)]);
		assert.equal(here.name, there.name);
		const { tool, input, askedAt, expiresAt } = there.fields;
		assert.deepEqual([tool, input, there.fields.requestId], ["Write", { path: "a.txt", content: "hi\u0007" }, requestId]);
		assert.equal(Date.parse(expiresAt) - Date.parse(askedAt), 60_000);
		await new Promise((done) => setTimeout(done, 2000)); // longer than streamIdleMs: it is no silence
		const ack = await other.call("permission:answer", { permissionId: there.name, allow: true });
		assert.equal(ack.record.fields.state, "allowed");
		await assert.rejects(device.call("permission:answer", { permissionId: there.name, allow: false }), (error) => {
			assert.deepEqual([error.code, error.record.fields.by], ["already_answered", other.deviceId]);
			return true;
		});
		assert.equal(await replyOf(requestId), `allow ${JSON.stringify({ path: "a.txt", content: "hi\u0007" })}`);
		await Promise.all([state(device, here.name, "allowed"), state(other, here.name, "allowed")]);
	});

	test("that is answered with no comes back with the reason", async () => {
		const { conversationId, requestId } = await begin("ask");
		const { name } = await open(other, conversationId);
		await other.call("permission:answer", { permissionId: name, allow: false, message: "not on a Friday" });
		assert.equal(await replyOf(requestId), 'deny "not on a Friday"');
	});

	test("may stand beside another", async () => {
		const { conversationId, requestId } = await begin("ask_twice");
		const both = await device.until(() => {
			const list = device.all("Permission").filter((p) => p.fields.conversationId === conversationId);
			return list.length === 2 && list;
		});
		for (const p of both) {
			const body = { allow: p.fields.input.n === 2 };
			const answer = await daemon.http("POST", `/api/v1/permissions/${p.name}/answer`, { token: other.token, body });
			assert.equal(answer.status, 200, answer.text);
		}
		assert.equal(await replyOf(requestId), "deny allow");
	});

	test("that can't be shown, or is for something else, is refused at once", async () => {
		assert.equal((await ask("ask_too_much")).reply.fields.text, "deny");
		assert.equal((await ask("ask_deep")).reply.fields.text, "deny");
		assert.equal((await ask("ask_other")).reply.fields.text, "refused: not supported");
	});

	test("is expired by a stop, and by the agent that takes it back", async () => {
		const one = await begin("ask");
		const { name } = await open(device, one.conversationId);
		await device.call("request:stop", { requestId: one.requestId });
		await state(other, name, "expired");
		await assert.rejects(device.call("permission:answer", { permissionId: name, allow: true }), { code: "bad_state" });
		const two = await begin("take_back");
		const second = await open(device, two.conversationId);
		await state(device, second.name, "expired");
		assert.equal(await replyOf(two.requestId), "never mind");
	});

	test("is nobody else's, and takes no nonsense", async () => {
		const { conversationId, requestId } = await begin("ask");
		const { name } = await open(device, conversationId);
		await daemon.operator("POST", "users", { name: "eve" });
		const eve = await daemon.device({ user: "eve" });
		await assert.rejects(eve.call("permission:answer", { permissionId: name, allow: true }), { code: "not_found" });
		for (const bad of [{}, { permissionId: name }, { permissionId: name, allow: "yes" }, { permissionId: 1, allow: true }])
			await assert.rejects(device.call("permission:answer", bad), { code: "bad_field" });
		const long = { permissionId: name, allow: true, message: "x".repeat(5000) };
		await assert.rejects(device.call("permission:answer", long), { code: "too_large" });
		await assert.rejects(device.call("permission:answer", { permissionId: newId(), allow: true }), { code: "not_found" });
		const records = [{ type: "Permission", name, fields: { state: "allowed" } }];
		const saved = await device.call("record:save", { records }).catch((error) => error);
		assert.match(JSON.stringify(saved), /forbidden/);
		await device.call("permission:answer", { permissionId: name, allow: true });
		assert.match(await replyOf(requestId), /^allow/);
	});

	test("that nobody answers is refused after permissionMs; one over a restart is expired", async () => {
		const config = daemon.options.config.replace("permissionMs: 60000", "permissionMs: 400");
		const own = await Daemon.start({ ...daemon.options, data: undefined, config });
		try {
			const mine = await own.device();
			const { request, reply } = await mine.converse({ text: "go", conversationId: newId(), model: "agent:ask" });
			assert.equal(reply.fields.text, 'deny "nobody answered in time"');
			const [p] = mine.all("Permission").filter((record) => record.fields.requestId === request.name);
			await state(mine, p.name, "expired");
			await own.restart({ config: daemon.options.config });
			const again = await own.device();
			const ack = await again.send({ text: "go", conversationId: newId(), model: "agent:ask" });
			const questions = () => again.all("Permission").filter((r) => r.fields.requestId === ack.requestId);
			const asked = await again.until(() => questions()[0]);
			await own.kill("SIGKILL");
			await own.restart({ config: daemon.options.config });
			await again.open();
			await again.hello();
			await state(again, asked.name, "expired");
			const next = await again.until(() => questions().find((r) => r.fields.state === "open"));
			assert.equal(next.fields.attempt, 2);
			await again.call("permission:answer", { permissionId: next.name, allow: true });
			assert.equal((await again.finished(ack.requestId)).fields.state, "done");
		} finally {
			await own.remove();
		}
	});
});
