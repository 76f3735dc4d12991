// record:save and record:query through the public API: every save policy, batches, tombstones, queries, cursors, and every
// error they can give.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Daemon, newId } from "../lib/roost.mjs";

let daemon, a, b;
before(async () => {
	daemon = await Daemon.start();
	[a, b] = [await daemon.device(), await daemon.device()];
});
after(() => daemon.remove());

// Saves records of type Project, or as they say, and gives the results.
async function save(records, { policy = "ifUnchanged", atomic = false, device = a } = {}) {
	const list = [records].flat().map((record) => ({ type: "Project", ...record }));
	return (await device.call("record:save", { records: list, policy, atomic })).results;
}

// What was saved, without the stamps the daemon keeps beside it.
const unstamped = ({ fields: { stamps, ...fields } }) => fields;

const errorOf = (result) => result.error?.code ?? result.code;

async function saved(record, options) {
	const [result] = await save(record, options);
	assert.equal(errorOf(result), undefined, JSON.stringify(result));
	return result.record ?? result;
}

async function query(fields) {
	return a.call("record:query", { recordType: "Project", ...fields });
}

describe("record:save, ifUnchanged", () => {
	test("makes a record, and replaces all its fields under its tag", async () => {
		const name = newId();
		const first = await saved({ name, fields: { title: "one", path: "/x" } });
		assert.equal(first.created.deviceId, a.deviceId);
		const second = await saved({ name, changeTag: first.changeTag, fields: { title: "two" } }, { device: b });
		assert.deepEqual(unstamped(second), { title: "two" });
		assert.notEqual(second.changeTag, first.changeTag);
		assert.equal(second.created.deviceId, a.deviceId);
		assert.equal(second.modified.deviceId, b.deviceId);
	});

	test("refuses an older tag, no tag, and gives the server's record back", async () => {
		const name = newId();
		const first = await saved({ name, fields: { title: "one" } });
		const second = await saved({ name, changeTag: first.changeTag, fields: { title: "two" } });
		for (const changeTag of [first.changeTag, undefined]) {
			const [result] = await save({ name, ...(changeTag ? { changeTag } : {}), fields: { title: "three" } });
			assert.equal(errorOf(result), "conflict");
			const server = result.serverRecord ?? result.error.serverRecord;
			assert.deepEqual([server.changeTag, server.fields.title], [second.changeTag, "two"]);
		}
	});

	test("reaches the other device and spares the one that saved", async () => {
		const name = newId();
		await saved({ name, fields: { title: "for all" } });
		await b.until(() => b.record("Project", name)?.fields.title === "for all", "the record");
		assert.equal(a.record("Project", name), undefined);
	});
});

describe("record:save, changedKeys", () => {
	test("sets the given fields, removes those given as null, leaves the others, needs no tag", async () => {
		const name = newId();
		await saved({ name, fields: { title: "one", path: "/x", settings: { deep: [1, { a: 1e3 }] } } }, { policy: "changedKeys" });
		const second = await saved({ name, fields: { title: "two", path: null } }, { policy: "changedKeys" });
		assert.deepEqual(unstamped(second), { title: "two", settings: { deep: [1, { a: 1000 }] } });
	});

	test("keeps what it does not know: the digits of numbers, the characters of strings", async () => {
		const name = newId();
		const odd = '{"title":"t","n":1.0,"big":12345678901234567890123,"e":1E2,"s":"\\u0041\\/"}';
		const frame = (fields) =>
			`{"type":"record:save","policy":"changedKeys","records":[{"type":"Project","name":"${name}","fields":${fields}}]}`;
		for (const body of [frame(odd), frame('{"title":"new"}')]) {
			const answer = await daemon.http("POST", "/api/v1/records/save", { token: a.token, body });
			assert.equal(answer.status, 200, answer.text);
		}
		const page = await daemon.http("GET", "/api/v1/changes", { token: a.token });
		for (const piece of ['"n":1.0', '"big":12345678901234567890123', '"e":1E2', '"s":"A/"', '"title":"new"'])
			assert.ok(page.text.includes(piece), `${piece} was changed on the way`);
	});
});

describe("record:save, allKeys", () => {
	test("replaces everything, whatever the tag", async () => {
		const name = newId();
		await saved({ name, fields: { title: "one", path: "/x" } });
		const second = await saved({ name, changeTag: "t1", fields: { path: "/y" } }, { policy: "allKeys" });
		assert.deepEqual(unstamped(second), { path: "/y" });
	});
});

describe("a deletion", () => {
	test("leaves a tombstone that every device is told of; its name can be used again", async () => {
		const name = newId();
		const first = await saved({ name, fields: { title: "gone soon" } });
		await saved({ name, changeTag: first.changeTag, deleted: true });
		const stone = await b.until(() => b.record("Project", name)?.deleted && b.record("Project", name), "the tombstone");
		assert.deepEqual(stone.fields, {});
		const again = await saved({ name, fields: { title: "back" } }, { policy: "allKeys" });
		assert.equal(again.deleted, false);
	});

	test("under an older tag is a conflict", async () => {
		const name = newId();
		const first = await saved({ name, fields: { title: "one" } });
		await saved({ name, changeTag: first.changeTag, fields: { title: "two" } });
		const [result] = await save({ name, changeTag: first.changeTag, deleted: true });
		assert.equal(errorOf(result), "conflict");
	});
});

describe("a batch", () => {
	test("that is not atomic saves what it can", async () => {
		const [good, bad] = [newId(), newId()];
		await saved({ name: bad, fields: { title: "there" } });
		const results = await save([{ name: good, fields: { title: "new" } }, { name: bad, fields: { title: "no tag" } }]);
		assert.deepEqual(results.map(errorOf), [undefined, "conflict"]);
		await b.until(() => b.record("Project", good), "the good one");
	});

	test("that is atomic saves all or nothing, and says which one was to blame", async () => {
		const [good, bad] = [newId(), newId()];
		await saved({ name: bad, fields: { title: "there" } });
		const batch = [{ name: good, fields: { title: "new" } }, { name: bad, fields: { title: "no tag" } }];
		const results = await save(batch, { atomic: true });
		assert.deepEqual(results.map(errorOf), ["atomic_failed", "conflict"]);
		const { records } = await query({ filter: [{ field: "name", op: "eq", value: good }] });
		assert.deepEqual(records, []);
		const both = await save([{ name: good, fields: {} }, { name: newId(), fields: {} }], { atomic: true });
		assert.deepEqual(both.map(errorOf), [undefined, undefined]);
	});

	test("over the limit is refused whole", async () => {
		const records = Array.from({ length: a.welcome.limits.batchRecords + 1 }, () => ({ name: newId(), fields: {} }));
		await assert.rejects(save(records), (error) => {
			assert.equal(error.code, "bad_field");
			assert.match(error.message, /batchRecords/);
			return true;
		});
	});
});

describe("types the daemon manages", () => {
	test("refuse what would break them", async () => {
		const ack = await a.send({ text: "managed", conversationId: newId() });
		await b.until(() => b.record("Message", ack.messageId), "the message");
		const message = b.record("Message", ack.messageId);
		const attempts = [
			{ type: "Message", name: ack.messageId, fields: { text: "other" } },
			{ type: "Message", name: ack.messageId, fields: { ord: 9 } },
			{ type: "Message", name: newId(), fields: { text: "made by save" } },
			{ type: "Session", name: message.fields.sessionId, fields: { state: "killed" } },
			{ type: "Request", name: newId(), fields: {} },
			{ type: "Device", name: a.deviceId, fields: { platform: "other" } },
		];
		for (const record of attempts) {
			const [result] = await save(record, { policy: "changedKeys" });
			assert.equal(errorOf(result), "forbidden", JSON.stringify(record));
		}
		await saved({ type: "Message", name: ack.messageId, fields: { tags: ["kept"] } }, { policy: "changedKeys" });
		await saved({ type: "Conversation", name: message.fields.conversationId, fields: { title: "renamed" } }, { policy: "changedKeys" });
	});

	test("an application's own type is anybody's", async () => {
		const record = await saved({ type: "RecipeBook", name: "soups-1", fields: { pages: 12 } });
		assert.equal(record.type, "RecipeBook");
		await b.until(() => b.record("RecipeBook", "soups-1"), "the record");
	});
});

describe("what record:save refuses", () => {
	const cases = [
		["a policy that is none", { policy: "always", records: [{ type: "Project", name: "x", fields: {} }] }],
		["records that are no list", { policy: "allKeys", records: {} }],
		["no records at all", { policy: "allKeys" }],
		["a record that is no object", { policy: "allKeys", records: [1] }],
	];
	for (const [what, fields] of cases)
		test(what, async () => {
			await assert.rejects(a.call("record:save", fields), (error) => error.code === "bad_field");
		});

	const one = [
		["a name with a slash", { type: "Project", name: "a/b", fields: {} }],
		["a name that is too long", { type: "Project", name: "x".repeat(256), fields: {} }],
		["fields that are no object", { type: "Project", name: "x", fields: [] }],
		["a type that is no name", { type: "a b", name: "x", fields: {} }],
		["a tag that is none", { type: "Project", name: "x", changeTag: 7, fields: {} }],
	];
	for (const [what, record] of one)
		test(what, async () => {
			const failed = await a.call("record:save", { policy: "ifUnchanged", records: [record] }).then(
				({ results }) => errorOf(results[0]),
				(error) => error.code,
			);
			assert.equal(failed, "bad_field");
		});
});

describe("record:query", () => {
	const group = `group-${newId()}`;
	before(async () => {
		const titles = ["delta", "alpha", "charlie", "bravo", "echo"];
		await save(titles.map((title, i) => ({ name: `${group}-${i}`, fields: { title, state: group } })));
		await save({ type: "Thing", name: `${group}-t`, fields: { title: "a thing", weight: 3 } });
		await save({ type: "Thing", name: `${group}-u`, fields: { title: "b thing", weight: 11 } });
	});
	const ours = { field: "state", op: "eq", value: group };
	const titlesOf = async (fields) => (await query(fields)).records.map((record) => record.fields.title);

	test("filters by equality, order, set and beginning", async () => {
		const sort = [{ field: "title", ascending: true }];
		const by = (op, value) => titlesOf({ filter: [ours, { field: "title", op, value }], sort });
		assert.deepEqual(await by("eq", "bravo"), ["bravo"]);
		assert.deepEqual(await by("ne", "bravo"), ["alpha", "charlie", "delta", "echo"]);
		assert.deepEqual(await by("lt", "charlie"), ["alpha", "bravo"]);
		assert.deepEqual(await by("le", "charlie"), ["alpha", "bravo", "charlie"]);
		assert.deepEqual(await by("gt", "charlie"), ["delta", "echo"]);
		assert.deepEqual(await by("ge", "delta"), ["delta", "echo"]);
		assert.deepEqual(await by("in", ["echo", "alpha", "nothing"]), ["alpha", "echo"]);
		assert.deepEqual(await by("beginsWith", "ch"), ["charlie"]);
		assert.deepEqual(await by("beginsWith", "%"), []);
	});

	test("sorts both ways, and numbers as numbers", async () => {
		assert.deepEqual(await titlesOf({ filter: [ours], sort: [{ field: "title", ascending: false }] }), [
			"echo", "delta", "charlie", "bravo", "alpha",
		]);
		const { records } = await a.call("record:query", {
			recordType: "Thing",
			filter: [{ field: "weight", op: "ge", value: 3 }],
			sort: [{ field: "weight", ascending: true }],
		});
		assert.deepEqual(records.map((record) => record.fields.weight), [3, 11]);
	});

	test("pages with a cursor that belongs to its query", async () => {
		const fields = { filter: [ours], sort: [{ field: "title", ascending: true }], limit: 2 };
		const titles = [];
		let page = await query(fields);
		const first = page.cursor;
		for (;;) {
			assert.ok(page.records.length <= 2);
			titles.push(...page.records.map((record) => record.fields.title));
			if (!page.cursor) break;
			page = await query({ ...fields, cursor: page.cursor });
		}
		assert.deepEqual(titles, ["alpha", "bravo", "charlie", "delta", "echo"]);
		await assert.rejects(query({ limit: 2, cursor: first }), (error) => error.code === "bad_field");
	});

	test("refuses what is not indexed or not a query", async () => {
		const bad = [
			{ filter: [{ field: "path", op: "eq", value: "/x" }] },
			{ filter: [{ field: "title", op: "like", value: "x" }] },
			{ filter: [{ field: "title", op: "in", value: "x" }] },
			{ filter: [{ field: "title' or 1=1 --", op: "eq", value: "x" }] },
			{ filter: { field: "title" } },
			{ sort: [{ field: "path" }] },
			{ limit: -1 },
			{ cursor: "nonsense" },
		];
		for (const fields of bad)
			await assert.rejects(query(fields), (error) => error.code === "bad_field", JSON.stringify(fields));
		await assert.rejects(query({ filter: [{ field: "path", op: "eq", value: "/x" }] }), /title/);
	});

	test("of a type that nobody has used finds nothing", async () => {
		const { records, cursor } = await query({ recordType: "NeverHeardOf" });
		assert.deepEqual([records, cursor ?? ""], [[], ""]);
	});
});
