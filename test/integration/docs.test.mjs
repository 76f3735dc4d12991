// docs/protocol.md says what is true: its examples are run against a daemon in the order they stand, and its tables are
// compared with the sources and with /metrics. A fault planted in a copy of the page must be found.
//
// An example is a fenced block, by the words behind its fence:
//   json send      a frame to send                         json answer     what it is answered with
//   json push      a frame that comes by itself            http            a request: line, headers, empty line, body
//   json STATUS, text STATUS                               what that is answered with
//   text events    the first event of a stream
// Two values agree when they have the same shape: the same members, the same words and truths, the same small numbers; of
// ids, times, cursors, tags, tokens and codes the kind counts, and that an id stands for one thing on the whole page.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { Daemon, Device, ask, root, until } from "../lib/roost.mjs";

const source = (path) => readFile(join(root, path), "utf8");
let page, sources;
before(async () => {
	page = await source("docs/protocol.md");
	sources = {};
	for (const path of [
		"src/base/err.h",
		"src/base/limits.h",
		"src/net/ws_frame.h",
		"src/provider/local.c",
		"src/record/record.h",
		"src/relay/request.c",
		"src/server/api.c",
		"src/server/call.c",
		"src/server/operator.c",
		"src/server/server.h",
		"src/store/index.c",
		"src/store/query.c",
	])
		sources[path] = await source(path);
});

// ---- tables --------------------------------------------------------------------------------------------------------

// The rows of the table whose header begins so, as lists of cells without their backticks.
function table(text, header) {
	const lines = text.split("\n");
	const at = lines.findIndex((line) => line.startsWith(header));
	assert.ok(at >= 0, `no table ${header}`);
	const rows = [];
	for (let i = at + 2; lines[i]?.startsWith("|"); i++)
		rows.push(lines[i].split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", "")));
	return rows;
}

const rowsOf = (text, pattern, make) => [...text.matchAll(pattern)].map(([, ...found]) => make(...found));
const section = (text, from, to) => text.slice(text.indexOf(from), text.indexOf(to, text.indexOf(from)));
const number = (text) => {
	const [, digits, shift] = /^(\d+)(?:LL)?(?: << (\d+))?$/.exec(text.trim());
	return String(BigInt(digits) << BigInt(shift ?? 0));
};
const words = (list) => list.split(",").map((word) => word.trim()).filter(Boolean).join(", ");
const yes = (truth) => (truth ? "yes" : "no");

function routeRows(api) {
	return rowsOf(api, /\{"([A-Z]+)", "(\/api[^"]*)", (NULL|"\w+"), \w+, (\w+)\}/g, (method, path, arg, verb) => ({
		method,
		path: path.replace("*", `{${arg.replaceAll('"', "")}}`),
		verb,
	}));
}

// What each table holds and what it should hold, as lists of rows.
const tables = {
	"error codes": (text, from) => [
		table(text, "| code | HTTP |"),
		rowsOf(
			from["src/base/err.h"],
			/X\(\w+,\s*"(\w+)",\s*(\d+),\s*\d+,\s*(\w+),\s*"((?:[^"\\]|\\.)*)"\)/g,
			(code, status, retry, says) => [code, status, yes(retry === "true"), says],
		).filter(([code]) => code !== "ok"),
	],
	limits: (text, from) => [
		table(text, "| limit | default |"),
		rowsOf(
			from["src/base/limits.h"],
			/X\(\w+,\s*"(\w+)",\s*([^,]+),\s*([^,]+),\s*([^,]+),\s*"(\w+)",\s*"([^"]*)"\)/g,
			(key, value, least, most, unit, what) => [key, number(value), number(least), number(most), unit, what],
		),
	],
	frames: (text, from) => [
		table(text, "| frame | answer |").map(([frame, , path]) => [frame, path]).sort(),
		[
			["device:hello", "–"],
			...rowsOf(from["src/server/call.c"], /\{"([a-z:]+)", (verb_\w+)\}/g, (frame, verb) => {
				const route = routeRows(from["src/server/api.c"]).find((row) => row.verb === verb);
				if (frame === "message:attach") return [frame, "GET /api/v1/requests/{requestId}/stream"];
				return [frame, route ? `${route.method} ${route.path}` : "–"];
			}),
		].sort(),
	],
	"sections of frames": (text, from) => [
		[...text.matchAll(/^### (\w+:\w+)$/gm)].map(([, name]) => name).filter((name) => tableOfFrames(text).includes(name)).sort(),
		["device:hello", ...rowsOf(from["src/server/call.c"], /\{"(\w+:\w+)", verb_\w+\}/g, (frame) => frame)].sort(),
	],
	routes: (text, from) => [
		table(text, "| method | path | |").map(([method, path]) => [method, path]),
		routeRows(from["src/server/api.c"]).map(({ method, path }) => [method, path]),
	],
	"operator's routes": (text, from) => [
		table(text, "| method | path | body |").map(([method, path]) => [method, path]),
		rowsOf(from["src/server/operator.c"], /\{"([A-Z]+)", "([^"]+)", ask_\w+\}/g, (method, path) => [method, path]),
	],
	"record types": (text, from) => [
		table(text, "| type | fields a device may set |"),
		rowsOf(from["src/record/record.h"], /X\(RT_\w+,\s*\d+, "(\w+)",\s*"([^"]*)",\s*([^)]*)\)/g, (name, fields, rights) => {
			const may = (right) => yes(rights.includes("RIGHT_ALL") || rights.includes(right));
			const list = fields === "*" ? "all" : fields === "" ? "none" : words(fields);
			return [name, list, may("RIGHT_CREATE"), may("RIGHT_DELETE"), may("RIGHT_REVIVE")];
		}),
	],
	"indexed fields": (text, from) => [
		table(text, "| type | fields a query may use").slice(0, -1),
		rowsOf(from["src/store/index.c"], /\{RT_(\w+), "([^"]*)"\}/g, (name, fields) => [
			name.toLowerCase().replace(/(?:^|_)(\w)/g, (_, first) => first.toUpperCase()),
			name === "MESSAGE" ? "conversationId, ord" : words(fields),
		]),
	],
	"query operators": (text, from) => [
		table(text, "| op | value |").flatMap(([ops]) => ops.split(", ")),
		rowsOf(from["src/store/query.c"], /\[Q_\w+\] = "(\w+)"/g, (op) => op),
	],
	"request states": (text, from) => [
		table(text, "| state | open |").map(([state]) => state).sort(),
		rowsOf(section(from["src/relay/request.c"], "state_names[]", ";"), /STR_INIT\("(\w+)"\)/g, (state) => state)
			.concat("streaming")
			.sort(),
	],
	"close codes": (text, from) => [
		table(text, "| code | why |").map(([code]) => code),
		[
			...rowsOf(from["src/net/ws_frame.h"], /WS_CODE_\w+ = (\d+)/g, (code) => code).filter((code) => code !== "1005"),
			...rowsOf(from["src/server/server.h"], /#define CLOSE_\w+ (\d+)/g, (code) => code),
		],
	],
	"faults of local:test": (text, from) => [
		table(text, "| parameter | default |").find(([name]) => name === "error")[2].replace("go wrong: ", "").split(", "),
		rowsOf(section(from["src/provider/local.c"], "local_faults[]", "};"), /\{"(\w+)",/g, (name) => name),
	],
};

const tableOfFrames = (text) => table(text, "| frame | answer |").map(([frame]) => frame);

function compareMetrics(text, exposition) {
	const kinds = new Map(rowsOf(exposition, /^# TYPE (\S+) (\S+)$/gm, (name, kind) => [name, kind]));
	const said = rowsOf(exposition, /^# HELP (\S+) (.*)$/gm, (name, help) => [name, kinds.get(name), help]);
	assert.ok(said.length > 5);
	assert.deepEqual(table(text, "| metric | kind |"), said);
}

// One fault for each table: what stands on the page, and what is put there.
const faults = {
	"error codes": ["| `conflict` | 409 | no |", "| `conflict` | 409 | yes |"],
	limits: ["| `textBytes` | 524288 |", "| `textBytes` | 524289 |"],
	frames: ["| `request:get` | `request:state` | `GET ", "| `request:get` | `request:state` | `POST "],
	"sections of frames": ["### session:leave", "### session:left"],
	routes: ["| POST | `/api/v1/unpair` |", "| GET | `/api/v1/unpair` |"],
	"operator's routes": ["| GET | `doctor` |", "| GET | `physician` |"],
	"record types": ["| `Device` | `name`, `settings` |", "| `Device` | `name` |"],
	"indexed fields": ["| `Device` | `platform`, ", "| `Device` | "],
	"query operators": ["| `beginsWith` |", "| `endsWith` |"],
	"request states": ["| `retrying` | yes |", "| `waiting` | yes |"],
	"close codes": ["| 4003 |", "| 4004 |"],
	"faults of local:test": ["`refused`, `hang`", "`refused`"],
};

describe("the page agrees with the sources:", () => {
	for (const [name, rows] of Object.entries(tables)) {
		test(name, () => {
			const [written, meant] = rows(page, sources);
			assert.ok(meant.length > 3, "the source was not understood");
			assert.deepEqual(written, meant);
		});
		test(`${name}, and a fault there is found`, () => {
			const [from, to] = faults[name];
			assert.equal(page.split(from).length, 2, `${from} stands once`);
			const [written, meant] = rows(page.replace(from, to), sources);
			assert.notDeepEqual(written, meant);
		});
	}
});

// ---- shapes --------------------------------------------------------------------------------------------------------

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const KINDS = [
	/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, // time
	/^1\.[0-9a-f]{16}\.[0-9a-z]+$/, // cursor of the feed
	/^q1\.[0-9a-f]{16}\.[01]\.\d+\.[irs][0-9a-f]*$/, // cursor of a query
	/^rst_[A-Za-z0-9_-]{43}$/, // token
	/^[2-9A-Z]{4}-[2-9A-Z]{4}$/, // pairing code
	/^http:\/\/127\.0\.0\.1:\d+(\/#pair=[2-9A-Z]{4}-[2-9A-Z]{4})?$/,
	/^[+-]?[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f-]{36}$/, // stamp of an edit
];
const CURSOR = KINDS[1], CODE = KINDS[4];
const TAG = /^t[0-9a-z]+$/;
const FREE = ["version", "dataDir"]; // texts of one machine
const MAY_MISS = ["retryAfterMs"]; // 0 when it is not known, or left out
const COUNTED = ["re", "ord", "attempt", "offset", "size", "received", "stopped", "protocol"];
const TIMES = ["queued", "claimed", "connected", "firstToken", "done"]; // each when it has happened

// What an id on the page stands for in this run.
class Ids {
	#actual = new Map();
	#used = new Map();

	stands(written, actual) {
		if (!this.#actual.has(written) && !this.#used.has(actual)) {
			this.#actual.set(written, actual);
			this.#used.set(actual, written);
		}
		return this.#actual.get(written) === actual;
	}

	// The page's text with this run's ids; an id that is new stands for itself.
	put(text) {
		return text.replace(UUID, (id) => {
			this.stands(id, this.#actual.get(id) ?? id);
			return this.#actual.get(id);
		});
	}
}

function sameText(written, actual, key, ids) {
	if (FREE.includes(key)) return true;
	if (key === "changeTag") return TAG.test(actual);
	const kind = KINDS.find((pattern) => pattern.test(written));
	if (kind) return kind.test(actual);
	const here = written.match(UUID) ?? [], there = actual.match(UUID) ?? [];
	if (here.length !== there.length || written.replace(UUID, "") !== actual.replace(UUID, "")) return false;
	return here.every((id, i) => ids.stands(id, there[i]));
}

// Where the two have not the same shape, or undefined. `free`: names of texts that may be any.
function difference(written, actual, ids, key = "", free = []) {
	const here = JSON.stringify(actual)?.slice(0, 200);
	if (Array.isArray(written)) {
		const isEmpty = written.length === 0;
		if (!Array.isArray(actual) || actual.length < written.length || (isEmpty && actual.length > 0)) return `${key} is ${here}`;
		for (let i = 0; i < written.length; i++) {
			const inside = difference(written[i], actual[i], ids, `${key}[${i}]`, free);
			if (inside) return inside;
		}
		return undefined;
	}
	if (typeof written !== typeof actual || (written === null) !== (actual === null))
		return `${key} is ${here}, not ${JSON.stringify(written)}`;
	const last = key.split(".").at(-1);
	if (written !== null && typeof written === "object") {
		if (Array.isArray(actual)) return `${key} is ${here}`;
		for (const name of new Set([...Object.keys(written), ...Object.keys(actual)])) {
			if (name in written && name in actual) {
				const inside = difference(written[name], actual[name], ids, `${key}.${name}`, free);
				if (inside) return inside;
			} else if (!MAY_MISS.includes(name) && !(last === "times" && TIMES.includes(name))) {
				return `${key}.${name} is ${name in actual ? `not on the page: ${JSON.stringify(actual[name])}` : "not there"}`;
			}
		}
		return undefined;
	}
	const same =
		typeof written === "string"
			? free.includes(last) || sameText(written, actual, last, ids)
			: typeof written === "boolean" || COUNTED.includes(last)
				? written === actual
				: true;
	return same ? undefined : `${key} is ${here}, not ${JSON.stringify(written)}`;
}

// ---- examples ------------------------------------------------------------------------------------------------------

function examples(text) {
	const found = [];
	for (const match of text.matchAll(/^```(\w+) ?(.*)\n([\s\S]*?)\n```$/gm)) {
		const line = text.slice(0, match.index).split("\n").length;
		found.push({ language: match[1], tag: match[2], body: match[3], where: `docs/protocol.md:${line}` });
	}
	return found;
}

// Runs the examples of a page on a daemon of its own.
class Session {
	ids = new Ids();
	count = { send: 0, answer: 0, push: 0, http: 0 };

	constructor(daemon) {
		this.daemon = daemon;
	}

	// A frame or body of the page with what this run has in the place of codes, cursors, tags and ids.
	async fill(value) {
		const fresh = async (v, key, owner) => {
			if (Array.isArray(v)) return Promise.all(v.map((item) => fresh(item)));
			if (v !== null && typeof v === "object") {
				const out = {};
				for (const [name, inside] of Object.entries(v)) out[name] = await fresh(inside, name, v);
				return out;
			}
			if (typeof v !== "string") return v;
			if (key === "code" && CODE.test(v)) return (await this.daemon.code()).code;
			if (CURSOR.test(v)) return this.newestCursor();
			if (key === "changeTag") return this.tagOf(owner.type, this.ids.put(owner.name));
			return this.ids.put(v);
		};
		return fresh(value);
	}

	async newestCursor() {
		let cursor, more = true;
		while (more) ({ cursor, more } = await this.device.call("session:sync", cursor ? { cursor } : {}));
		return cursor;
	}

	async tagOf(type, name) {
		const filter = [{ field: "name", op: "eq", value: name }];
		const { records } = await this.device.call("record:query", { recordType: type, filter });
		return records[0].changeTag;
	}

	async connect(token) {
		const deviceId = token.deviceId;
		this.device = await Device.connect(this.daemon, { ...token, deviceId }, { hello: false });
	}

	// A frame as it stands on the page; its answer is the frame with its `re`, or the next error without one.
	async send(frame) {
		const { id } = frame;
		const from = this.device.frames.length;
		if (frame.type === "message:attach") this.device.streams.clear(); // it is sent again from an offset
		this.device.socket.send(JSON.stringify(frame));
		return this.device.until(
			() => this.device.frames.slice(from).find((f) => (id === undefined ? f.type === "error" && f.re === undefined : f.re === id)),
			`an answer to ${JSON.stringify(frame)}`,
		);
	}

	async expect(written, get, free, again) {
		let wrong;
		await until(
			async () => {
				wrong = difference(written, await get(), this.ids, "", free);
				return !wrong || !again;
			},
			"the answer",
			5000,
		).catch(() => {});
		assert.equal(wrong, undefined);
	}

	async frame(example, answer) {
		const frame = await this.fill(JSON.parse(example.body));
		this.count.send++;
		const first = await this.send(frame);
		if (!answer) {
			assert.notEqual(first.type, "error", first.message);
			return;
		}
		this.count.answer++;
		const written = JSON.parse(answer.body);
		const isQuestion = ["request:get", "record:query"].includes(frame.type) && written.type !== "error";
		let reply = first;
		const get = async () => {
			const now = reply ?? (await this.send(frame));
			reply = undefined;
			return now;
		};
		await this.expect(written, get, written.type === "message:delta" ? ["text"] : [], isQuestion);
	}

	async push(example) {
		this.count.push++;
		const written = JSON.parse(example.body);
		const free = written.type === "message:delta" ? ["text"] : [];
		let nearest = "nothing of that type";
		await this.device
			.until(
				() =>
					this.device.frames.some((frame) => {
						if (frame.type !== written.type || frame.re !== undefined) return false;
						const wrong = difference(written, frame, this.ids, "", free);
						if (wrong) nearest = wrong;
						return !wrong;
					}),
				`a ${written.type}`,
				5000,
			)
			.catch((error) => assert.fail(`${error.message}; the last one: ${nearest}`));
	}

	async http(example, answer) {
		this.count.http++;
		const [head, ...rest] = example.body.split("\n\n");
		const [line, ...fields] = head.split("\n");
		const [method, target] = line.split(" ");
		const headers = Object.fromEntries(fields.map((field) => field.split(": ")).map(([name, value]) => [name.toLowerCase(), value]));
		let body = rest.length > 0 ? rest.join("\n\n") : undefined;
		if (headers["content-type"] === "application/json") body = JSON.stringify(await this.fill(JSON.parse(body)));
		let path = this.ids.put(target);
		if (/cursor=1\./.test(path)) path = path.replace(/cursor=[^&]*/, `cursor=${await this.newestCursor()}`);
		const where = path.startsWith("/api/v1/operator/")
			? { socketPath: join(this.daemon.data, "roost.sock") }
			: { port: this.daemon.port, token: this.credential?.token };
		if (answer.tag === "events") {
			await this.events(path, answer);
			return;
		}
		const get = () => ask(method, path, { ...where, headers, body });
		if (answer.language === "text") {
			const got = await get();
			assert.equal(got.status, Number(answer.tag));
			if (!path.includes("/stream")) assert.equal(got.text.trim(), answer.body);
			else assert.ok(got.text.length > 0);
			return;
		}
		const written = JSON.parse(answer.body);
		const json = async () => {
			const got = await get();
			assert.equal(got.status, Number(answer.tag), got.text);
			if (path === "/api/v1/pair" && got.status === 200) this.credential = got.json;
			return got.json;
		};
		await this.expect(written, json, [], method === "GET");
	}

	async events(path, answer) {
		const text = await new Promise((done, failed) => {
			const headers = { authorization: `Bearer ${this.credential.token}` };
			const options = { host: "127.0.0.1", port: this.daemon.port, path, agent: false, headers };
			const request = http.get(options, (stream) => {
				let got = "";
				stream.on("data", (piece) => {
					got += piece;
					if (!got.includes("\n\n")) return;
					request.destroy();
					done(got);
				});
				stream.on("error", () => {});
			});
			request.on("error", failed);
			request.setTimeout(5000, () => request.destroy(new Error("no event in 5 s")));
		});
		const parse = (event) => Object.fromEntries(event.split("\n\n")[0].split("\n").map((line) => /^(\w+): (.*)$/.exec(line).slice(1)));
		const written = parse(answer.body), got = parse(text);
		const open = ({ data, ...fields }) => ({ ...fields, data: { ...JSON.parse(data), records: [], more: true } });
		assert.equal(difference(open(written), open(got), this.ids), undefined);
	}

	async run(list) {
		for (let i = 0; i < list.length; i++) {
			const example = list[i], next = list[i + 1];
			try {
				if (example.tag === "send") {
					if (!this.device) await this.connect(this.credential);
					await this.frame(example, next?.tag === "answer" ? next : undefined);
				} else if (example.tag === "push") {
					await this.push(example);
				} else if (example.language === "http") {
					await this.http(example, next);
				}
			} catch (error) {
				error.message = `${example.where}: ${error.message}`;
				throw error;
			}
		}
		return this.count;
	}
}

async function runPage(text, upTo = Infinity) {
	const daemon = await Daemon.start();
	try {
		return await new Session(daemon).run(examples(text).slice(0, upTo));
	} finally {
		await daemon.remove();
	}
}

describe("the page's examples", () => {
	test("are what the daemon answers", async () => {
		const count = await runPage(page);
		const blocks = examples(page);
		assert.equal(count.send, blocks.filter(({ tag }) => tag === "send").length);
		assert.equal(count.http, blocks.filter(({ language }) => language === "http").length);
		assert.ok(count.send > 20 && count.push > 4 && count.http > 20, JSON.stringify(count));
	});

	test("each stand in a block that the test knows", () => {
		for (const { language, tag, where } of examples(page))
			assert.match(`${language} ${tag}`, /^(json (send|answer|push|\d{3})|http |text (\d{3}|events))$/, where);
		assert.equal(page.match(/^```/gm).length, 2 * examples(page).length);
	});

	test("that are wrong are found", async () => {
		const plant = async (from, to) => {
			assert.equal(page.split(from).length, 2, `${from} stands once`);
			await assert.rejects(runPage(page.replace(from, to), 12), /docs\/protocol\.md:\d+/);
		};
		await plant('{"type": "pong", "re": 1}', '{"type": "pong", "re": 1, "extra": true}');
		await plant('"serverTime": "2026-01-02T03:04:05.678Z",\n', "");
		await plant('"retryable": false\n\t}\n}\n```\n\nThe token', '"retryable": true\n\t}\n}\n```\n\nThe token');
	});

	test("name every frame that a device may send", () => {
		const sent = new Set(examples(page).filter(({ tag }) => tag === "send").map(({ body }) => JSON.parse(body).type));
		for (const frame of tableOfFrames(page)) assert.ok(sent.has(frame), `${frame} has no example`);
	});
});

test("the page's metrics are those of /metrics, and a wrong one is found", async () => {
	const daemon = await Daemon.start();
	try {
		const { text } = await daemon.http("GET", "/metrics");
		compareMetrics(page, text);
		assert.throws(() => compareMetrics(page.replace("| `roost_requests_open` | gauge |", "| `roost_requests_open` | counter |"), text));
		assert.throws(() => compareMetrics(page.replace(/^\| `roost_sent_bytes`.*\n/m, ""), text));
	} finally {
		await daemon.remove();
	}
});
