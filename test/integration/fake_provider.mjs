// A provider that speaks OpenAI's chat completions and misbehaves on demand.
//
//     const fake = await startFake();            // http.Server on a port of the kernel's choice
//     fake.baseUrl                               // "http://127.0.0.1:PORT/v1"
//     fake.behave("cut", { tokens: 3 })          // what every following request gets
//     fake.behave(["status", { status: 503 }], "answer")   // the first request this, those after it that
//     fake.models = ["a", "b"]                   // what it lists; without them GET /models is 404
//     fake.calls                                 // [{ body, headers, at, closedAt, phase, done }], one per request
//     await fake.close()
//
// A request may also choose by its model: "fake:cut" or "fake:slow?tokens=9&rate=20" wins over behave().
// Run by itself it prints {"port":N} and serves until its standard input ends.

import { createServer } from "node:http";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const words = ["pigeons ", "come ", "home ", "– ", "always ", "über ", "the ", "river. "];
export const tokenAt = (i) => words[i % words.length];
export const textOf = (tokens) => Array.from({ length: tokens }, (_, i) => tokenAt(i)).join("");

const event = (data) => `data: ${JSON.stringify(data)}\n\n`;
const chunk = (delta, finish = null) =>
	event({ object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] });
const usage = (tokens) =>
	event({ choices: [], usage: { prompt_tokens: 7, completion_tokens: tokens, total_tokens: 7 + tokens } });
const errorBody = (message, extra = {}) =>
	JSON.stringify({ error: { message, type: "server_error", code: null, ...extra } });

// One answer under way: writes until the peer goes.
class Answer {
	constructor(call, res, options) {
		Object.assign(this, { call, res, options: { tokens: 8, rate: 0, delayMs: 0, ...options } });
	}
	get gone() {
		return this.call.closedAt !== undefined;
	}
	head(status = 200, type = "text/event-stream", headers = {}) {
		this.res.writeHead(status, { "Content-Type": type, ...headers });
		this.res.flushHeaders();
		this.call.phase = "head";
	}
	write(text) {
		if (!this.gone) this.res.write(text);
	}
	async tokens(n = this.options.tokens) {
		if (this.options.delayMs > 0) await sleep(this.options.delayMs);
		for (let i = 0; i < n && !this.gone; i++) {
			this.write(chunk({ content: tokenAt(i) }));
			this.call.phase = "streaming";
			if (this.options.rate > 0) await sleep(1000 / this.options.rate);
		}
	}
	async hang() {
		if (!this.gone) await once(this.call.events, "close").catch(() => {});
	}
	finish(reason = "stop") {
		this.write(chunk({}, reason) + usage(this.options.tokens) + "data: [DONE]\n\n");
		if (!this.gone) this.res.end();
	}
	cut() {
		this.res.socket?.destroy();
	}
}

// What a provider can do. Every row is one way to answer, good or bad.
export const behaviours = {
	async answer(a) {
		a.head();
		await a.tokens();
		a.finish();
	},
	async thinking(a) {
		a.head();
		a.write(chunk({ reasoning_content: "let me see " }) + chunk({ reasoning_content: "… well" }));
		await a.tokens();
		a.finish();
	},
	async plain(a) {
		a.head(200, "application/json");
		const message = { role: "assistant", content: textOf(a.options.tokens) };
		a.res.end(JSON.stringify({
			choices: [{ index: 0, message, finish_reason: "stop" }],
			usage: { prompt_tokens: 7, completion_tokens: a.options.tokens },
		}));
	},
	// Silence: before the head, after it, in the middle.
	async silent(a) {
		await a.hang();
	},
	async mute(a) {
		a.head();
		await a.hang();
	},
	async stall(a) {
		a.head();
		await a.tokens();
		await a.hang();
	},
	// The connection breaks: in the middle of an event, or politely but too early.
	async cut(a) {
		a.head();
		await a.tokens();
		a.write('data: {"choices":[{"index":0,"delta":{"content":"brok');
		await sleep(5);
		a.cut();
	},
	async early(a) {
		a.head();
		await a.tokens();
		a.res.end();
	},
	async reset(a) {
		a.res.socket?.resetAndDestroy();
	},
	// Errors: by status, inside a 200, in the middle of a stream.
	async status(a) {
		const { status = 500, retryAfter, message = "something broke", code = null } = a.options;
		a.head(status, "application/json", retryAfter === undefined ? {} : { "Retry-After": String(retryAfter) });
		a.res.end(errorBody(message, { code }));
	},
	async error200(a) {
		a.head(200, "application/json");
		a.res.end(errorBody("out of order"));
	},
	async streamError(a) {
		a.head();
		await a.tokens();
		a.write(`data: ${errorBody("ran out of memory")}\n\n`);
		a.res.end();
	},
	async redirect(a) {
		a.head(302, "text/plain", { Location: a.options.location ?? "/v1/elsewhere" });
		a.res.end();
	},
	async page(a) {
		a.head(200, "text/html");
		a.res.end("<!doctype html><title>Log in</title>");
	},
	// Too much, too slowly, too oddly.
	async endless(a) {
		a.head();
		for (let i = 0; !a.gone; i++) {
			a.write(chunk({ content: tokenAt(i).repeat(100) }));
			await sleep(1);
		}
	},
	async comments(a) {
		a.head();
		await a.tokens();
		for (; !a.gone; await sleep(10)) a.write(": still here\n\n");
	},
	async drip(a) {
		a.head();
		const chunks = Array.from({ length: a.options.tokens }, (_, i) => chunk({ content: tokenAt(i) }));
		const bytes = Buffer.from(chunks.join(""));
		for (let i = 0; i < bytes.length && !a.gone; i++) {
			a.write(bytes.subarray(i, i + 1));
			await sleep(0);
		}
		a.finish();
	},
	async wrongType(a) {
		a.head(200, "text/html");
		await a.tokens();
		a.finish();
	},
	async badUtf8(a) {
		a.head();
		const [before, after] = chunk({ content: "a|b" }).split("|");
		a.write(Buffer.concat([Buffer.from(before), Buffer.from([0xff, 0xc3]), Buffer.from(after)]));
		a.finish();
	},
	async badChunking(a) {
		a.res.socket?.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n");
		await a.hang();
	},
	async hugeHead(a) {
		a.res.socket?.write("HTTP/1.1 200 OK\r\n" + "X-Pad: 0123456789\r\n".repeat(20000) + "\r\n");
		await a.hang();
	},
};

const parseModel = (model) => {
	const [name, query = ""] = String(model).split("?");
	const options = {};
	for (const [key, value] of new URLSearchParams(query)) options[key] = /^[0-9.]+$/.test(value) ? Number(value) : value;
	return name in behaviours ? [name, options] : null;
};

export async function startFake({ host = "127.0.0.1", port = 0, models } = {}) {
	const calls = [];
	const fake = { models, listings: 0 };
	let script = [["answer", {}]];
	const server = createServer(async (req, res) => {
		const pieces = [];
		try {
			for await (const piece of req) pieces.push(piece);
		} catch {
			return; // who asked is gone before it had said what
		}
		if (req.method === "GET" && req.url.endsWith("/models")) {
			fake.listings++;
			res.statusCode = fake.models ? 200 : 404;
			res.end(JSON.stringify({ object: "list", data: (fake.models ?? []).map((id) => ({ id, object: "model" })) }));
			return;
		}
		const events = new EventTarget();
		const { headers, url } = req;
		const call = { at: performance.now(), headers, url, body: null, phase: "asked", done: false, events };
		calls.push(call);
		try {
			call.body = JSON.parse(Buffer.concat(pieces));
		} catch {
			call.body = null;
		}
		const closed = () => {
			call.closedAt ??= performance.now();
			events.dispatchEvent(new Event("close"));
		};
		req.socket.once("close", closed);
		res.once("finish", () => {
			call.done = true;
			req.socket.off("close", closed);
		});
		const [name, options] = parseModel(call.body?.model) ?? (script.length > 1 ? script.shift() : script[0]);
		await behaviours[name](new Answer(call, res, options)).catch((error) => call.closedAt || console.error(error));
	});
	server.keepAliveTimeout = 60_000;
	server.listen(port, host);
	await once(server, "listening");
	return Object.assign(fake, {
		server,
		calls,
		port: server.address().port,
		baseUrl: `http://${host}:${server.address().port}/v1`,
		behave(...steps) {
			if (typeof steps[0] === "string" && typeof steps[1] === "object" && !Array.isArray(steps[1])) steps = [steps];
			script = steps.map((step) => (Array.isArray(step) ? [step[0], step[1] ?? {}] : [step, {}]));
		},
		async close() {
			server.closeAllConnections();
			server.close();
			await once(server, "close");
		},
	});
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const fake = await startFake();
	console.log(JSON.stringify({ port: fake.port }));
	process.stdin.resume();
	process.stdin.once("end", () => process.exit(0));
}
