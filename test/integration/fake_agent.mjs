// A command-line agent that speaks stream-json and misbehaves on demand. What it does is chosen by --model:
//
//     node fake_agent.mjs --input-format stream-json --output-format stream-json --model ask
//
// It knows the sessions it began in its working directory. How it was started and what it was told goes to the file
// $FAKE_AGENT_LOG, a JSON object a line.

import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const argument = (name) => {
	const at = process.argv.indexOf(name);
	return at < 0 ? undefined : process.argv[at + 1];
};
const note = (what) => appendFileSync(process.env.FAKE_AGENT_LOG, `${JSON.stringify({ pid: process.pid, ...what })}\n`);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const stat = readFileSync("/proc/self/stat", "latin1").replace(/^.*\) /, "").split(" ");
note({
	started: process.argv.slice(2),
	env: process.env,
	cwd: process.cwd(),
	group: Number(stat[2]),
	session: Number(stat[3]),
});

const resumed = argument("--resume");
const sessionId = resumed ?? `s-${process.pid}`;
const file = `session-${sessionId}`;
const event = (inner) => say({ type: "stream_event", session_id: sessionId, parent_tool_use_id: null, event: inner });
const piece = (text) => event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
const message = (content, more = {}) => say({ type: "assistant", session_id: sessionId, message: { role: "assistant", content, ...more } });
const result = (more = {}) =>
	say({
		type: "result",
		subtype: "success",
		is_error: false,
		session_id: sessionId,
		result: "the result",
		stop_reason: "end_turn",
		total_cost_usd: 0.0125,
		usage: { input_tokens: 7, cache_read_input_tokens: 100, cache_creation_input_tokens: 3, output_tokens: 9 },
		...more,
	});

// What is asked of a person: {behavior, …}, or undefined when it was taken back.
const answers = new Map();
function ask(id, input) {
	say({ type: "control_request", request_id: id, request: { subtype: "can_use_tool", tool_name: "Write", input } });
	return new Promise((done) => answers.set(id, done));
}

function startChild() {
	const child = spawn("sh", ["-c", "trap '' TERM; echo up; while :; do sleep 1; done"], { stdio: ["ignore", "pipe", "ignore"] });
	return new Promise((done) => child.stdout.once("data", () => done(child.pid)));
}

const behaviours = {
	async stream() {
		event({ type: "message_start", message: { id: "m1" } });
		event({ type: "content_block_start", index: 0, content_block: { type: "thinking" } });
		event({ type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "let me see" } });
		event({ type: "content_block_start", index: 1, content_block: { type: "text", text: "" } });
		piece("Hello ");
		piece("there");
		message([{ type: "text", text: "Hello there" }], { id: "m1" });
		message([{ type: "tool_use", id: "t1", name: "Read", input: {} }], { id: "m1" });
		say({ type: "user", message: { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "secret" }] } });
		say({ type: "assistant", parent_tool_use_id: "t1", message: { content: [{ type: "text", text: "from a sub-agent" }] } });
		message([{ type: "text", text: "Done." }], { id: "m2" });
		result();
	},
	async odd() {
		process.stdout.write("Welcome!\n\n{not json\n");
		say({ type: "nobody_knows", x: 1 });
		say(["a", "list"]);
		message([{ type: "text", text: "odd" }], { error: "rate_limit" });
		result();
	},
	async quiet() {
		result({ result: "only a result" });
	},
	async working() {
		message([{ type: "tool_use", id: "t1", name: "Bash", input: {} }]);
		await sleep(2500);
		say({ type: "user", message: { content: [{ type: "tool_result", tool_use_id: "t1" }] } });
		piece("worked");
		result();
	},
	async silent() {
		piece("hm");
		await sleep(60_000);
	},
	async fail() {
		process.stderr.write(`Error: the disk of the agent \x1b[31mis full\x1b[0m, ${process.env.FAKE_SECRET}\nat line 1\n`);
		process.exit(3);
	},
	async cut() {
		piece("half");
		process.exit(0);
	},
	async suicide() {
		process.kill(process.pid, "SIGKILL");
		await sleep(10_000);
	},
	async turns() {
		piece("so far");
		result({ subtype: "error_max_turns", is_error: true, result: undefined });
		process.exitCode = 1;
	},
	async broken() {
		result({ subtype: "error_during_execution", is_error: true, result: undefined, errors: ["the tool exploded"] });
		process.exitCode = 1;
	},
	async overloaded() {
		result({ is_error: true, result: "API Error: 401 no such key", api_error_status: 401 });
		process.exitCode = 1;
	},
	async lingers() {
		process.on("SIGTERM", () => {});
		note({ child: await startChild() });
		piece("said it all");
		result();
		await sleep(60_000);
	},
	async leaves() {
		note({ child: await startChild() });
		piece("gone");
		result();
		process.exit(0);
	},
	async family() {
		process.on("SIGTERM", () => note({ sigterm: true }));
		note({ child: await startChild() });
		note({ child: await startChild() });
		piece("running");
		await sleep(60_000);
	},
	async ask() {
		const input = { path: "a.txt", content: "hi\u0007" };
		const answer = await ask("q1", input);
		note({ answer });
		piece(`${answer.behavior} ${JSON.stringify(answer.updatedInput ?? answer.message)}`);
		result();
	},
	async ask_twice() {
		const [one, two] = await Promise.all([ask("q1", { n: 1 }), ask("q2", { n: 2 })]);
		piece(`${one.behavior} ${two.behavior}`);
		result();
	},
	async ask_too_much() {
		const answer = await ask("q1", { content: "x".repeat(100_000) });
		piece(answer.behavior);
		result();
	},
	async ask_deep() {
		let input = {};
		for (let i = 0; i < 57; i++) input = { input };
		const answer = await ask("q1", input);
		piece(answer.behavior);
		result();
	},
	async ask_other() {
		say({ type: "control_request", request_id: "h1", request: { subtype: "hook_callback", callback_id: "x" } });
		const answer = await new Promise((done) => answers.set("h1", done));
		piece(`refused: ${answer}`);
		result();
	},
	async take_back() {
		void ask("q1", { n: 1 });
		await sleep(300);
		say({ type: "control_cancel_request", request_id: "q1" });
		piece("never mind");
		result();
	},
};

let begun = false;
async function begin(text) {
	if (begun) return;
	begun = true;
	note({ text });
	if (resumed && !existsSync(file)) {
		process.stderr.write(`No conversation found with session ID: ${resumed}\n`);
		process.exit(1);
	}
	writeFileSync(file, text);
	say({ type: "system", subtype: "init", session_id: sessionId, tools: [] });
	await behaviours[argument("--model")]();
}

if (argument("--input-format") === "stream-json") {
	for await (const line of createInterface(process.stdin)) {
		const given = JSON.parse(line);
		if (given.type === "user") void begin(given.message.content.map((part) => part.text ?? `<${part.type}>`).join("|"));
		else if (given.type === "control_response")
			answers.get(given.response.request_id)?.(given.response.response ?? given.response.error);
	}
} else {
	let text = "";
	for await (const data of process.stdin) text += data;
	await begin(text);
}
