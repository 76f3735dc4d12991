// The page's pure modules, bundled and called directly: markdown, running answers, records, the joined session, stamps,
// ids, why a request waits.

import assert from "node:assert/strict";
import { build } from "esbuild";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

async function load(name) {
	const { outputFiles } = await build({
		entryPoints: [fileURLToPath(new URL(`../../web/src/${name}.ts`, import.meta.url))],
		bundle: true,
		write: false,
		format: "esm",
		logLevel: "silent",
	});
	return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

let markdown;
let streams;
let records;
let ids;
let room;
let stamps;
let why;

before(async () => {
	[markdown, streams, records, ids, room, stamps, why] = await Promise.all(
		["markdown", "streams", "records", "ids", "room", "stamps", "why"].map(load),
	);
});

// A tree in one line: blocks and spans as name(children), text in quotes.
function show(node) {
	if (typeof node === "string") return JSON.stringify(node);
	if (Array.isArray(node)) return node.map(show).join(" ");
	const { kind, children, items, text } = node;
	if (kind === "code" || kind === "rule" || kind === "break") return text === undefined ? kind : `${kind}(${text})`;
	if (kind === "paragraph" || kind === "heading") return `${kind[0]}(${show(markdown.inline(text))})`;
	if (kind === "list") return `${node.start ?? "ul"}[${items.map(show).join(" | ")}]`;
	if (kind === "link") return `link<${node.href}>(${show(children)})`;
	if (kind === "table")
		return `table(${node.head.join(",")} / ${node.rows.map((row) => row.join(",")).join(" / ")})`;
	return `${kind}(${show(children)})`;
}

const shown = (text) => show(markdown.parse(text).map((piece) => piece.block));

describe("markdown", () => {
	const cases = [
		["two\nlines", 'p("two" break "lines")'],
		["a\n\nb", 'p("a") p("b")'],
		["## Title", 'h("Title")'],
		["---", "rule"],
		["**b** *i* _i_ ~~d~~", 'p(strong("b") " " em("i") " " em("i") " " del("d"))'],
		["***both***", 'p(strong(em("both")))'],
		["**b *i* b**", 'p(strong("b " em("i") " b"))'],
		["snake_case_name and 2 * 3 * 4", 'p("snake_case_name and 2 * 3 * 4")'],
		["**open", 'p("**" "open")'],
		["`a*b*` ``x`y``", 'p(code(a*b*) " " code(x`y))'],
		["`open", 'p("`open")'],
		["\\*not\\* it", 'p("*not* it")'],
		["```c\nint x;\n\n```\nafter", 'code(int x;\n) p("after")'],
		["```\nstill open", "code(still open)"],
		["- a\n- b\n  - c\n- d", 'ul[p("a") | p("b") ul[p("c")] | p("d")]'],
		["3. a\n4. b", '3[p("a") | p("b")]'],
		["1. a\n\n   b\n2. c", '1[p("a") p("b") | p("c")]'],
		["- a\n\ntext", 'ul[p("a")] p("text")'],
		["> q\n> r", 'quote(p("q" break "r"))'],
		["| a | b |\n|---|:-:|\n| 1 | 2 |", "table(a,b / 1,2)"],
		["[t](https://x.org/a)", 'p(link<https://x.org/a>("t"))'],
		["see https://x.org/a_(b), ok", 'p("see " link<https://x.org/a_(b)>("https://x.org/a_(b)") ", ok")'],
		["<b>no</b>", 'p("<b>no</b>")'],
	];
	for (const [source, tree] of cases) {
		test(JSON.stringify(source), () => assert.equal(shown(source), tree));
	}

	test("only http and https become links", () => {
		const bad = [
			"javascript:alert(1)",
			"JaVaScRiPt:alert(1)",
			"java\tscript:alert(1)",
			"data:text/html,<script>alert(1)</script>",
			"vbscript:x",
			"file:///etc/passwd",
			"//evil.example/x",
			"blob:x",
			" https//x",
		];
		for (const address of bad) assert.doesNotMatch(shown(`[x](${address})`), /link</, address);
	});

	test("an image is a link, nothing that loads", () => {
		assert.equal(shown("![alt](https://x.org/i.png)"), 'p(link<https://x.org/i.png>("alt"))');
	});

	test("every beginning of a text is itself a text", () => {
		const text =
			"# T\n\n1. **a** `b`\n   - [c](https://d.e/f)\n\n> q\n\n```js\nx\n```\n\n| a | b |\n|--|--|\n| 1 | 2 |\n";
		for (let end = 0; end <= text.length; end++) assert.doesNotThrow(() => shown(text.slice(0, end)));
	});

	test("hostile nesting and repetition take no time", () => {
		const n = 20_000;
		const hostile = [
			"*",
			"_",
			"**a ",
			"[",
			"![",
			"](",
			"`",
			"> ",
			"- ",
			"1. ",
			"|",
			"~~",
			"[a](",
			"<",
			"\\",
			"a_",
			"``x` ",
		];
		const start = performance.now();
		for (const piece of hostile) shown(piece.repeat(n));
		for (const piece of hostile) shown(`${piece}\n`.repeat(n / 10));
		let runs = "";
		for (let i = 1; i < 400; i++) runs += `${"`".repeat(i)} `;
		shown(runs);
		const tookMs = performance.now() - start;
		assert.ok(tookMs < 5000, `took ${tookMs} ms`);
	});
});

describe("running answers", () => {
	const delta = (attempt, offset, text, kind = "text") => ({ requestId: "r", attempt, offset, text, kind });

	test("deltas in order are appended, offsets count bytes", () => {
		const all = new streams.Streams();
		assert.equal(all.push(delta(1, 0, "grün ")), "appended");
		assert.equal(all.push(delta(1, 6, "🙂")), "appended");
		assert.equal(all.push(delta(1, 10, "!")), "appended");
		assert.equal(all.get("r").text, "grün 🙂!");
	});

	test("a repetition from the beginning adds only what is new", () => {
		const all = new streams.Streams();
		all.push(delta(1, 0, "grün"));
		assert.equal(all.push(delta(1, 0, "grün")), "known");
		assert.equal(all.push(delta(1, 0, "grün und blau")), "appended");
		assert.equal(all.get("r").text, "grün und blau");
	});

	test("a gap is reported and adds nothing", () => {
		const all = new streams.Streams();
		all.push(delta(1, 0, "ab"));
		assert.equal(all.push(delta(1, 5, "zz")), "gap");
		assert.equal(all.get("r").text, "ab");
	});

	test("a newer attempt starts anew, an older one is dropped", () => {
		const all = new streams.Streams();
		all.push(delta(1, 0, "old text"));
		assert.equal(all.push(delta(2, 0, "new")), "appended");
		assert.equal(all.get("r").text, "new");
		assert.equal(all.push(delta(1, 8, " more")), "stale");
		assert.equal(all.get("r").text, "new");
	});

	test("a newer attempt heard in its middle shows nothing of the old one", () => {
		const all = new streams.Streams();
		all.push(delta(1, 0, "old text"));
		assert.equal(all.push(delta(2, 8, "tail")), "gap");
		assert.equal(all.get("r").text, "");
	});

	test("thinking and text do not mix", () => {
		const all = new streams.Streams();
		all.push(delta(1, 0, "hm", "thinking"));
		all.push(delta(1, 0, "yes"));
		assert.deepEqual([all.get("r").thinking, all.get("r").text], ["hm", "yes"]);
	});

	test("a reset of an older attempt leaves the newer one alone", () => {
		const all = new streams.Streams();
		all.push(delta(2, 0, "new"));
		assert.equal(all.reset("r", 1), undefined);
		assert.equal(all.get("r").text, "new");
		assert.equal(all.reset("r", 2).text, "");
	});
});

describe("records", () => {
	const record = (type, name, fields, at = "2026-01-01T00:00:00.000Z") => ({
		type,
		name,
		changeTag: "1",
		created: { at, userId: "u", deviceId: "d" },
		modified: { at, userId: "u", deviceId: "d" },
		deleted: false,
		fields,
	});
	const message = (name, ord, more = {}) =>
		record("Message", name, { conversationId: "c", ord, role: "user", text: name, ...more });

	test("messages stand by ord, whatever order they came in", () => {
		const all = new records.Records();
		for (const one of [message("c", 3), message("a", 1), message("b", 2)]) all.apply(one);
		assert.deepEqual(
			all.messages("c").map((one) => one.name),
			["a", "b", "c"],
		);
	});

	test("a changed message replaces itself, a deleted one goes", () => {
		const all = new records.Records();
		all.apply(message("a", 1));
		all.apply(message("a", 1, { text: "edited" }));
		assert.deepEqual(
			all.messages("c").map((one) => one.fields.text),
			["edited"],
		);
		all.apply({ ...message("a", 1), deleted: true, fields: {} });
		assert.equal(all.messages("c").length, 0);
	});

	test("the newest message of a request is its answer", () => {
		const all = new records.Records();
		const answer = (name, ord, attempt) => message(name, ord, { role: "assistant", requestId: "r", attempt });
		all.apply(message("q", 1, { requestId: "r" }));
		all.apply(answer("full", 3, 2));
		all.apply(answer("partial", 2, 1));
		assert.equal(all.answer("r").name, "full");
	});

	test("conversations stand by their newest message", () => {
		const all = new records.Records();
		all.apply(record("Conversation", "c", {}, "2026-01-01T00:00:00.000Z"));
		all.apply(record("Conversation", "d", {}, "2026-01-02T00:00:00.000Z"));
		assert.deepEqual(
			all.conversations().map((one) => one.name),
			["d", "c"],
		);
		all.apply({ ...message("m", 1), created: { at: "2026-01-03T00:00:00.000Z", userId: "u", deviceId: "d" } });
		assert.deepEqual(
			all.conversations().map((one) => one.name),
			["c", "d"],
		);
	});
});

describe("a device's copy", () => {
	const origin = { at: "2026-01-01T00:00:00.000Z", userId: "u", deviceId: "d" };
	const record = (type, name, fields) => ({ type, name, changeTag: "1", created: origin, modified: origin, fields });

	test("a dropped session takes its messages and requests along, and no others", () => {
		const all = new records.Records();
		for (const sessionId of ["old", "new"]) {
			const fields = { conversationId: "c", sessionId, ord: 1, role: "user", text: "" };
			all.apply(record("Message", `m-${sessionId}`, fields));
			all.apply(record("Request", `r-${sessionId}`, fields));
		}
		const dropped = all.dropSession("old");
		assert.deepEqual(
			dropped.map((one) => [one.name, one.deleted]),
			[
				["m-old", true],
				["r-old", true],
			],
		);
		assert.deepEqual(
			all.messages("c").map((one) => one.name),
			["m-new"],
		);
		assert.equal(all.request("r-old"), undefined);
	});

	test("revisions are found by record and field, the newest first, and go with their deletion", () => {
		const all = new records.Records();
		const revision = (name, field, at) => record("Revision", name, { recordName: "m", field, at, value: name });
		for (const one of [revision("a", "text", "1"), revision("b", "text", "2"), revision("c", "title", "3")])
			all.apply(one);
		const names = () => all.revisions("m", "text").map((one) => one.name);
		assert.deepEqual(names(), ["b", "a"]);
		all.apply({ ...revision("b", "text", "2"), deleted: true, fields: {} });
		assert.deepEqual(names(), ["a"]);
	});
});

describe("the joined session", () => {
	const joined = () =>
		new room.Room("c", {
			type: "session:state",
			session: { name: "s" },
			primary: { deviceId: "a", term: 3 },
			lock: null,
			joined: ["a", "b"],
		});

	test("an older term changes nobody", () => {
		const one = joined();
		one.hear({ type: "device:primary", sessionId: "s", deviceId: "b", term: 4 });
		one.hear({ type: "device:primary", sessionId: "s", deviceId: "a", term: 3 });
		assert.deepEqual([one.primary.deviceId, one.primary.term], ["b", 4]);
	});

	test("who comes back stands last", () => {
		const one = joined();
		one.hear({ type: "session:presence", conversationId: "c", joined: ["a", "x"], left: ["a"] });
		assert.deepEqual(one.joined, ["b", "a", "x"]);
	});

	test("frames of another session are not its own", () => {
		const one = joined();
		assert.equal(one.hear({ type: "queue:state", sessionId: "t", waiting: [] }), false);
		assert.equal(one.queue, null);
	});

	test("a lock holds for the others, and until its time", () => {
		const one = joined();
		const expiresAt = "2026-01-01T00:00:10.000Z";
		one.hear({ type: "session:locked", sessionId: "s", deviceId: "a", fence: 1, expiresAt });
		const end = Date.parse(expiresAt);
		assert.equal(one.lockedBy("b", end - 1).deviceId, "a");
		assert.equal(one.lockedBy("a", end - 1), null, "not for its holder");
		assert.equal(one.lockedBy("b", end), null);
		one.hear({ type: "session:unlocked", sessionId: "s" });
		assert.equal(one.lockedBy("b", end - 1), null);
	});
});

describe("stamps", () => {
	test("a stamp is the time, a counter and the device", () => {
		assert.equal(stamps.makeStamp(0x0199f3c2a1b4, "", "d"), "0199f3c2a1b4-0000-d");
	});

	test("a stamp is later than what was seen, whatever the clock says", () => {
		const cases = [
			["0199f3c2a1b4-0000-x", "0199f3c2a1b4-0001-d"],
			["0199f3c2a1b4-00ff-x", "0199f3c2a1b4-0100-d"],
			["0199f3c2ffff-ffff-x", "0199f3c30000-0000-d"],
			["0199f3c2a1b9-0000-x!019affffffff-0000", "0199f3c2a1b9-0001-d"],
			["0199f3c2a1b3-0009-x", "0199f3c2a1b4-0000-d"],
		];
		for (const [seen, expected] of cases) {
			const made = stamps.makeStamp(0x0199f3c2a1b4, seen, "d");
			assert.equal(made, expected);
			assert.ok(made > seen);
		}
	});

	test("the latest in a record is found in registers and in sets", () => {
		const latest = (fields) => stamps.latestStamp({ fields });
		assert.equal(latest({}), "");
		assert.equal(latest({ stamps: { title: "2-d", text: "1-d" } }), "2-d");
		assert.equal(latest({ stamps: { title: "2-d", tags: { a: "+1-d", b: "-3-d" } } }), "3-d");
		assert.equal(latest({ stamp: "4-d", stamps: { title: "2-d" } }), "4-d");
	});
});

test("ids are UUIDv7 and carry their time", () => {
	const id = ids.uuid7(0x0123456789ab);
	assert.match(id, /^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
	assert.notEqual(ids.uuid7(), ids.uuid7());
});

describe("why a request waits", () => {
	const NOW = Date.parse("2026-01-02T03:04:05Z");
	const at = (ms) => new Date(NOW + ms).toISOString();

	test("a limit is named, and what is left of the wait is never told shorter than it is", () => {
		const paced = (kind, ms, who = "openai") => why.paced({ why: kind, untilAt: at(ms) }, who, NOW);
		assert.equal(paced("requests", 11_001), "openai takes no more requests this minute; next try in 12 s");
		assert.equal(paced("input_tokens", 60_000), "openai takes no more tokens in this minute; next try in 60 s");
		assert.equal(paced("circuit", 120_000), "openai does not work and is left alone; next try in 2 min");
		assert.equal(paced("tokens", -5), "openai takes no more tokens this minute; it goes soon");
		assert.equal(paced("unheard_of", 1, ""), "the provider takes no more calls this minute; next try in 1 s");
		assert.deepEqual([119_001, 7_199_000, 7_200_000].map(why.left), ["2 min", "120 min", "2 h"]);
	});

	test("the attempt that comes next is told, with the class of the error when it is known", () => {
		const failed = { attempt: 2, errorClass: "overloaded", nextTryAt: at(7500) };
		assert.equal(why.again(failed, NOW), "Trying again in 8 s (attempt 3: overloaded)");
		assert.equal(why.again({ ...failed, errorClass: "" }, NOW), "Trying again in 8 s (attempt 3)");
		assert.equal(why.again({ ...failed, nextTryAt: at(-1) }, NOW), "Trying again (attempt 3: overloaded)");
	});

	test("who answers instead of whom", () => {
		const served = (fields) => Object.values(why.served(fields));
		assert.deepEqual(served({ model: "a:x" }), ["a:x", ""]);
		assert.deepEqual(served({ model: "a:x", servingModel: "b:y" }), ["b:y", "a:x"]);
		assert.deepEqual(served({ model: "a:x", modelAsked: "gone", modelBy: "fallback" }), ["a:x", "gone"]);
		assert.deepEqual(served({ model: "a:x", modelAsked: "x", modelBy: "alias" }), ["a:x", ""]);
		assert.deepEqual(served({}), ["", ""]);
	});

	test("what did not fit, and what it cost", () => {
		const unfit = (leftOut, more) => why.unfit({ leftOut, summarised: false, ...more });
		assert.equal(unfit(1), "1 older message did not fit");
		assert.equal(unfit(12, { cut: true }), "12 or more older messages did not fit");
		assert.equal(unfit(0, { cut: true }), "older messages did not fit");
		assert.equal(unfit(3, { summarised: true }), "3 older messages given as a summary");
		const price = (ticks, more) => why.price({ ticks, reported: true, ...more });
		assert.equal(price(50_000_000_000), "$5.00");
		assert.equal(price(12_000_000, { reported: false }), "about $0.0012");
		assert.equal(price(12_000_000, { reported: false, partial: true }), "at least $0.0012");
		assert.deepEqual([125_000_000, 1_200_000_000].map((ticks) => price(ticks)), ["$0.0125", "$0.12"]);
		assert.equal(price(1), "less than $0.0001");
		assert.equal(price(0), "");
		assert.equal(why.price(undefined), "");
	});
});
