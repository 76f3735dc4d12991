// A provider that speaks every dialect and does what a script says, well or badly.
//
//     const fake = await startFake();
//     fake.url("anthropic")                       // what goes into that dialect's baseUrl
//     fake.script({ text: ["a", "b"] })           // what every call gets from now on …
//     fake.script({ error: "rate" }, {})          // … or the first one this, those after it that
//     fake.calls                                  // one per request: {dialect, model, headers, body, phase, closedAt, …}
//     fake.of("anthropic:any?tokens=9")           // those of one model
//     fake.keep({ error: "rate" })                // a name for a model that gets this script, whoever asks for it
//     fake.connections                            // one per connection: {openedAt, closedAt, calls}
//     await fake.close()
//
// The dialect is seen from the path. A call whose model has a query ("any?tokens=9&fault=reset&at=middle") brings its own
// script; numbers are read as such. Another process sets a script by PUT /fake/script (a JSON object or a list of them),
// reads calls by GET /fake/calls, and forgets them by DELETE /fake/calls; run by itself the program prints {"port":N} and
// serves until its standard input ends. What a script may say, with what it says by itself:
//
//     text       ["pigeons ", …]   pieces of the answer; `tokens` N makes that many, 8 by itself
//     thinking   []                pieces of what was thought before it; or N
//     tools      []                {id, name, arguments}
//     usage      counted           {input, output, thinking, cacheRead, cacheWrite}; null says nothing
//     finish     "stop"            see dialects.mjs
//     whole      false             an answer that does not stream, though that was asked for
//     bytes      0                 bytes in each write, 0: an event
//     rate       0                 tokens a second, 0: at once
//     delayMs    0                 before the first token; with keepAliveMs the dialect's keep-alives meanwhile
//     headers    {}                more of the answer's; `limits` {requests: [limit, left], tokens: […]} by the dialect
//     error      none              an error by its kind: rate, overloaded, server, timeout, auth, quota, model, context,
//                                  invalid; with `status`, `message`; `storm` N: of the first N calls of this model only
//     fault, at  none              one of `faults` below, at "head" (before it), "first" (before the first token),
//                                  "middle", "end" (before the dialect says that it is complete) or "after" that; of the
//                                  fault "error" the `kind`, of "redirect" the `location`
//
// A request that a vendor's own server would refuse (no key when `keys` names one, no version, a parameter that must not
// be) gets that server's 400 or 401, so a test of a good answer is one of a good request too.

import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createListener } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { dialects } from "./dialects.mjs";

const words = ["pigeons ", "come ", "home ", "– ", "always ", "über ", "the ", "river. "];
export const textOf = (tokens) => pieces(tokens).join("");
const pieces = (n) => (Array.isArray(n) ? n : Array.from({ length: n }, (_, i) => words[i % words.length]));

const defaults = { tokens: 8, thinking: [], tools: [], finish: "stop", bytes: 0, rate: 0, delayMs: 0, headers: {}, at: "middle" };

// One answer under way. What it writes goes nowhere once the peer is gone.
class Answer {
	constructor(call, dialect, res, script) {
		this.call = call;
		this.dialect = dialect;
		this.res = res;
		const s = { ...defaults, ...script };
		s.text = pieces(s.text ?? s.tokens);
		s.thinking = pieces(s.thinking);
		if (s.usage === undefined) s.usage = { input: 7, output: s.text.length + s.thinking.length, thinking: s.thinking.length };
		this.script = s;
		this.writer = dialect.writer(call, s);
	}
	get gone() {
		return this.call.closedAt !== undefined;
	}
	head(status = this.script.status ?? 200, type = this.dialect.type, headers = {}) {
		const { limits, headers: more } = this.script;
		this.res.writeHead(status, { "Content-Type": type, ...(limits ? this.dialect.limits(limits) : {}), ...more, ...headers });
		this.res.flushHeaders();
		this.call.phase = "head";
	}
	// Bytes of the body, in writes of `bytes`; waits when the socket takes no more.
	async write(data) {
		const all = Buffer.from(data), step = this.script.bytes || all.length;
		for (let i = 0; i < all.length && !this.gone; i += step) {
			const room = this.res.write(all.subarray(i, i + step));
			if (!room) await Promise.race([once(this.res, "drain"), this.call.closed]);
			else if (step < all.length) await new Promise(setImmediate);
		}
	}
	// Bytes past what HTTP wants.
	raw(data) {
		this.res.socket?.write(data);
	}
	async json(status, body, headers) {
		this.head(status, "application/json", headers);
		await this.write(JSON.stringify(body));
		this.res.end();
	}
	error(kind, { status, message = `this is ${kind}` } = {}) {
		const error = this.dialect.error(kind, message);
		return this.json(status ?? error.status, error.body);
	}
	async fails(at) {
		if (this.script.fault === undefined || this.script.at !== at || this.gone) return false;
		if (at !== "head") await new Promise(setImmediate); // what was written is on its way first
		await faults[this.script.fault](this);
		return true;
	}
	async wait() {
		const { delayMs, keepAliveMs } = this.script, end = performance.now() + delayMs;
		while (!this.gone && performance.now() < end) {
			if (keepAliveMs) await this.write(this.dialect.keepAlive);
			await sleep(Math.min(keepAliveMs ?? delayMs, Math.max(1, end - performance.now())));
		}
	}
	// The answer as the script has it, until a fault takes over.
	async run() {
		const { script: s, writer } = this;
		if (s.error !== undefined) return this.error(s.error, s);
		if (await this.fails("head")) return;
		if (s.whole || !this.dialect.streams(this.call)) return this.json(200, writer.whole(s));
		this.head();
		await this.write(writer.open());
		await this.wait();
		if (await this.fails("first")) return;
		for (const text of s.thinking) await this.write(writer.thinking(text));
		const half = s.text.length >> 1;
		for (let i = 0; i < s.text.length && !this.gone; i++) {
			if (i === half && (await this.fails("middle"))) return;
			await this.write(writer.text(s.text[i]));
			this.call.phase = "streaming";
			this.call.tokens = i + 1;
			if (s.rate) await sleep(1000 / s.rate);
		}
		for (const tool of s.tools) await this.write(writer.tool(tool));
		if (await this.fails("end")) return;
		await this.write(writer.finish(s.tools.length && s.finish === "stop" ? "tool_calls" : s.finish, s.usage));
		if (await this.fails("after")) return;
		if (!this.gone) this.res.end();
	}
}

// Everything a provider and the way to it can do wrong. Before the head a connection may hang or break; the rest is for
// any phase that a body has.
export const faults = {
	stall: (a) => a.call.closed,
	async drip(a) {
		for (; !a.gone; await sleep(5)) await a.write(a.dialect.keepAlive);
	},
	reset: (a) => a.res.socket?.resetAndDestroy(), // what the peer has not read by then is lost to it
	cut: (a) => a.res.socket?.end(), // a chunked body without its last chunk
	early: (a) => a.res.end(), // as HTTP wants it, and yet not the end
	async half(a) {
		const event = a.writer.text("cut off");
		await a.write(event.slice(0, event.length >> 1));
		a.res.end();
	},
	async error(a) {
		await a.write(a.dialect.errorInside(a.script.kind ?? "server", "ran out of memory"));
		a.res.end();
	},
	async notJson(a) {
		await a.write(a.dialect.name === "ollama" ? "{not json\n" : "data: {not json\n\n");
		a.res.end();
	},
	async badUtf8(a) {
		const [before, after] = a.writer.text("a|b").split("|");
		await a.write(Buffer.concat([Buffer.from(before), Buffer.from([0xff, 0xc3]), Buffer.from(after)]));
		await a.write(a.writer.finish("stop", a.script.usage));
		a.res.end();
	},
	// What none of its versions has yet: events, members, types.
	async unknown(a) {
		const news = { type: "from.the.future", object: "new", candidates: [], choices: [], done: false, deep: [[{ a: 1 }]] };
		await a.write(a.dialect.name === "ollama" ? `${JSON.stringify(news)}\n`
			: `event: from.the.future\nid: 7\nretry: 1\ndata: ${JSON.stringify(news)}\n\n`);
		await a.write(a.writer.text("a") + a.writer.finish("stop", a.script.usage));
		a.res.end();
	},
	async endless(a) {
		const event = a.writer.text("and on ".repeat(100));
		for (; !a.gone; await new Promise(setImmediate)) await a.write(event);
	},
	// Ten gigabytes, unless somebody closes: of what is no text, and of one event that does not end.
	async flood(a) {
		const much = a.dialect.keepAlive.repeat(1 + 65536 / a.dialect.keepAlive.length);
		for (let sent = 0; sent < 10e9 && !a.gone; sent += much.length, await new Promise(setImmediate))
			await a.write(much);
	},
	async longEvent(a) {
		await a.write(a.writer.text("|").split("|")[0]);
		const much = "x".repeat(65536);
		for (let sent = 0; sent < 10e9 && !a.gone; sent += much.length, await new Promise(setImmediate))
			await a.write(much);
	},
	badChunk(a) {
		a.raw(a.res.headersSent ? "zz\r\nnonsense\r\n" : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
		return a.call.closed;
	},
	hugeHead(a) {
		a.raw("HTTP/1.1 200 OK\r\n" + "X-Pad: 0123456789\r\n".repeat(20_000) + "\r\n");
		return a.call.closed;
	},
	error200: (a) => a.json(200, a.dialect.error(a.script.kind ?? "server", "out of order").body),
	empty: (a) => a.json(200, {}),
	async nothing(a) {
		a.head();
		a.res.end();
	},
	async page(a) {
		a.head(200, "text/html");
		a.res.end("<!doctype html><title>Log in</title>");
	},
	async redirect(a) {
		a.head(302, "text/plain", { Location: a.script.location ?? "/elsewhere" });
		a.res.end();
	},
	async wrongType(a) {
		a.head(200, "text/html; charset=latin1");
		await a.write(a.writer.open() + a.script.text.map((t) => a.writer.text(t)).join("") +
			a.writer.finish("stop", a.script.usage));
		a.res.end();
	},
};

// "name?key=value&…" as [name, script], or [name] when it brings none.
function parseModel(model) {
	const [name, query] = String(model ?? "").split("?");
	if (query === undefined) return [name];
	const number = /^-?\d+(\.\d+)?$/;
	return [name, Object.fromEntries([...new URLSearchParams(query)].map(([k, v]) => [k, number.test(v) ? Number(v) : v]))];
}

async function bodyOf(req) {
	const parts = [];
	for await (const part of req) parts.push(part);
	const raw = Buffer.concat(parts).toString();
	try {
		return { raw, body: JSON.parse(raw) };
	} catch {
		return { raw };
	}
}

class Fake {
	calls = [];
	connections = [];
	listings = 0; // how often a list of models was asked for
	#script = [{}];
	#storms = new Map(); // calls so far, by model
	#kept = new Map(); // scripts by name

	constructor({ host, keys, models, pageSize }) {
		Object.assign(this, { host, keys, models, pageSize });
		this.server = createServer((req, res) => this.#take(req, res).catch((error) => {
			if (!res.socket?.destroyed) console.error(error);
		}));
		this.server.keepAliveTimeout = 60_000;
		this.server.on("connection", (socket) => this.#count(this.connections, socket));
		this.server.on("clientError", (_, socket) => socket.destroy());
		// Takes connections and says nothing: to whoever wants TLS it is a handshake that hangs.
		this.silent = { connections: [] };
		this.silent.server = createListener((socket) => {
			this.#count(this.silent.connections, socket);
			socket.resume(); // a close is seen by those only who read
		});
	}

	#count(list, socket) {
		const connection = { openedAt: performance.now(), calls: 0 };
		socket.roost = connection;
		list.push(connection);
		socket.on("error", () => {});
		connection.closed = new Promise((done) => socket.once("close", done)).then(() => (connection.closedAt = performance.now()));
	}

	async listen(port) {
		this.server.listen(port, this.host);
		this.silent.server.listen(0, this.host);
		await Promise.all([once(this.server, "listening"), once(this.silent.server, "listening")]);
		this.port = this.server.address().port;
		this.silent.port = this.silent.server.address().port;
		return this;
	}

	url(dialect) {
		return `http://${this.host}:${this.port}${dialects[dialect].base}`;
	}

	// A name that a model may have to get this script, for what must not stand in a name itself.
	keep(script) {
		const name = `kept-${this.#kept.size}`;
		this.#kept.set(name, script);
		return name;
	}

	// The calls of one model, "dialect:name?query" as it was asked for.
	of(model) {
		return this.calls.filter(({ dialect, asked }) => `${dialect}:${asked}` === model);
	}

	// What the next calls get, in turn; the last one goes on for ever.
	script(...steps) {
		this.#script = steps.length ? steps : [{}];
		this.#storms.clear();
	}

	async #control(req, res) {
		if (req.method === "PUT") this.script(...[(await bodyOf(req)).body].flat());
		if (req.method === "DELETE") this.calls.length = 0;
		res.setHeader("Content-Type", "application/json");
		res.end(JSON.stringify({ calls: this.calls, connections: this.connections }));
	}

	#list(url, headers, res) {
		this.listings++;
		if (this.models === undefined) return void res.writeHead(404).end();
		const dialect = url.pathname.startsWith("/v1beta") ? "gemini" : url.pathname.startsWith("/api/") ? "ollama"
			: headers["anthropic-version"] ? "anthropic" : "openai";
		res.setHeader("Content-Type", "application/json");
		const { ids, next } = this.#page(url.searchParams.get("after_id") ?? url.searchParams.get("pageToken"));
		res.end(JSON.stringify(dialects[dialect].models(ids, next)));
	}

	// The models behind that one, and the last of them when there are more. Without end there is always one more.
	#page(after) {
		const { models, pageSize } = this;
		if (models === "endless") {
			const from = after ? Number(after.slice(5)) + 1 : 0, ids = [`more-${from}`, `more-${from + 1}`];
			return { ids, next: ids[1] };
		}
		const from = after ? models.indexOf(after) + 1 : 0, ids = models.slice(from, from + (pageSize ?? models.length));
		return { ids, next: from + ids.length < models.length ? ids.at(-1) : undefined };
	}

	#call(req, url, dialect, said) {
		const named = dialect.path.exec(url.pathname)?.[1];
		const asked = named ? decodeURIComponent(named) : said.body?.model;
		const [model, own = this.#kept.get(asked)] = parseModel(asked);
		const call = { id: this.calls.length + 1, at: performance.now(), dialect: dialect.name, asked, model, method: req.method,
			url, headers: req.headers, phase: "asked", tokens: 0, done: false, ...said };
		const { roost: connection } = req.socket;
		connection.calls++;
		call.closed = connection.closed.then(() => call.done || (call.closedAt ??= connection.closedAt));
		this.calls.push(call);
		return { call, own };
	}

	// An error that lasts for the first calls of a model only.
	#stormy(script, call) {
		if (script.storm === undefined) return script;
		const key = `${call.dialect}/${script.id ?? call.model}`, n = (this.#storms.get(key) ?? 0) + 1;
		this.#storms.set(key, n);
		return n <= script.storm ? script : { ...script, error: undefined, status: undefined, headers: {}, fault: undefined };
	}

	async #take(req, res) {
		const url = new URL(req.url, "http://fake");
		if (url.pathname.startsWith("/fake/")) return this.#control(req, res);
		if (req.method === "GET") return this.#list(url, req.headers, res);
		const dialect = Object.values(dialects).find(({ path }) => path.test(url.pathname));
		const said = await bodyOf(req).catch(() => undefined); // gone before it had said what
		if (said === undefined) return;
		if (!dialect) return void res.writeHead(404).end("no such path");
		const { call, own } = this.#call(req, url, dialect, said);
		const script = this.#stormy(own ?? (this.#script.length > 1 ? this.#script.shift() : this.#script[0]), call);
		res.once("finish", () => (call.done = true));
		const answer = new Answer(call, dialect, res, script);
		const key = this.keys?.[dialect.name];
		if (key !== undefined && dialect.key(req.headers) !== key) return answer.error("auth");
		const wrong = said.body === undefined ? "not JSON" : dialect.wrong(call);
		if (wrong) return answer.error("invalid", { message: wrong });
		await answer.run();
	}

	async close() {
		this.server.closeAllConnections();
		this.server.close();
		this.silent.server.close();
		await once(this.server, "close");
	}
}

// keys: {dialect: key} that is asked for; models: ids that are listed, else no list is served and any name goes; pageSize:
// of the lists that come in pages, else they are one. Of "endless" models there is always another page.
export const startFake = ({ host = "127.0.0.1", port = 0, keys, models, pageSize } = {}) =>
	new Fake({ host, keys, models, pageSize }).listen(port);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const fake = await startFake();
	console.log(JSON.stringify({ port: fake.port, silentPort: fake.silent.port }));
	process.stdin.resume();
	process.stdin.once("end", () => process.exit(0));
}
