// Edits from several devices, online and off: what merges, what wins, what is kept as a revision, what is deleted, and
// that nothing a person typed is lost. With it projects, read marks, hiding, restoring, and who wrote what.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Daemon, Device, newId } from "../lib/roost.mjs";

let daemon, a, b, c;
before(async () => {
	daemon = await Daemon.start();
	[a, b, c] = [await daemon.device({ name: "phone" }), await daemon.device({ name: "laptop" }), await daemon.device({ name: "desk" })];
});
after(() => daemon.remove());

const hex = (n, digits) => n.toString(16).padStart(digits, "0");
// A device's stamp; `ms` counts from a minute ago, so that later tests' clocks never run backwards.
const start = Date.now() - 60_000;
const stamp = (device, ms, counter = 0) => `${hex(start + ms, 12)}-${hex(counter, 4)}-${device.deviceId}`;

async function merge(device, record) {
	const { results } = await device.call("record:save", { policy: "merge", records: [record] });
	assert.equal(results[0].error, undefined, JSON.stringify(results[0]));
	return results[0];
}
const save = async (device, record, policy = "changedKeys") =>
	(await device.call("record:save", { policy, records: [record] })).results[0];

async function revisions(id, device = a) {
	const { records } = await device.call("record:query", {
		recordType: "Revision",
		filter: [{ field: "recordName", op: "eq", value: id }],
	});
	return records.sort((x, y) => (x.fields.stamp < y.fields.stamp ? -1 : 1));
}
const values = async (id) => (await revisions(id)).map(({ fields }) => fields.value);

async function message(text, device = a, more = {}) {
	const ids = { messageId: newId(), conversationId: newId() };
	const ack = await device.send({ ...ids, text, ...more });
	return { ...ids, ack };
}
const told = (device, type, name, condition) =>
	device.until(() => device.record(type, name) && condition(device.record(type, name)) && device.record(type, name), `${type} ${name}`);
const refusal = async (promise) => promise.then(() => assert.fail("it was not refused"), (error) => error);

describe("message:edit", () => {
	test("changes the text on every device and keeps what was there before", async () => {
		const { messageId, conversationId } = await message("Helo");
		const ack = await b.call("message:edit", { messageId, text: "Hello" });
		assert.equal(ack.type, "message:ack");
		assert.equal(ack.messageId, messageId);
		assert.equal(ack.record.changeTag, ack.changeTag);
		assert.equal(ack.conflicts, undefined);
		for (const device of [a, c]) {
			const { fields } = await told(device, "Message", messageId, ({ fields }) => fields.text === "Hello");
			assert.equal(fields.revisions, 1);
			assert.ok(Math.abs(Date.parse(fields.editedAt) - Date.now()) < 10_000);
			assert.equal(fields.role, "user");
		}
		const [first] = await revisions(messageId);
		const { replacedBy, at, ...fields } = first.fields;
		assert.deepEqual(fields, {
			recordType: "Message",
			recordName: messageId,
			conversationId,
			field: "text",
			value: "Helo",
			stamp: "",
			deviceId: a.deviceId,
			conflict: false,
		});
		assert.equal(replacedBy.length, 1);
		// Whoever edited is told of the revision too: it is the daemon's.
		await told(b, "Revision", first.name, () => true);
	});

	test("leaves the first ack as it was: the same id is still the same message", async () => {
		const { messageId, conversationId, ack } = await message("original");
		await a.call("message:edit", { messageId, text: "other" });
		const again = await a.send({ messageId, conversationId, text: "original" });
		assert.deepEqual([again.duplicate, again.changeTag, again.ord], [true, ack.changeTag, ack.ord]);
		assert.equal((await refusal(a.send({ messageId, conversationId, text: "other" }))).code, "message_id_reused");
	});

	test("under a change tag is refused when the message changed, with both versions", async () => {
		const { messageId, ack } = await message("one");
		const second = await b.call("message:edit", { messageId, changeTag: ack.changeTag, text: "two" });
		const error = await refusal(a.call("message:edit", { messageId, changeTag: ack.changeTag, text: "three" }));
		assert.equal(error.code, "conflict");
		assert.equal(error.serverRecord.fields.text, "two");
		assert.equal(error.serverRecord.changeTag, second.changeTag);
		assert.equal(error.merged.fields.text, "three");
		assert.deepEqual(await values(messageId), ["one"]);
		await a.call("message:edit", { messageId, changeTag: second.changeTag, text: "three" });
		assert.deepEqual(await values(messageId), ["one", "two"]);
	});

	test("of two devices that were offline: the later one wins, the other is a revision, in either order", async () => {
		for (const order of [[0, 1], [1, 0]]) {
			const { messageId } = await message("base");
			const edits = [
				[a, { messageId, text: "from the phone", base: "", stamp: stamp(a, 1000) }],
				[b, { messageId, text: "from the laptop", base: "", stamp: stamp(b, 2000) }],
			];
			const answers = [];
			for (const i of order) answers[i] = await edits[i][0].call("message:edit", edits[i][1]);
			assert.equal(answers[1].record.fields.text, "from the laptop");
			const [lost] = answers[order[1]].conflicts;
			const loser = (await revisions(messageId)).find(({ fields }) => fields.conflict);
			assert.deepEqual([lost.field, lost.kept, lost.revision], ["text", order[1] === 1 ? "ours" : "theirs", loser.name]);
			assert.equal(answers[order[0]].conflicts, undefined);
			assert.deepEqual([loser.fields.value, loser.fields.deviceId], ["from the phone", a.deviceId]);
			assert.deepEqual(await values(messageId), ["base", "from the phone"]);
			const { fields } = await told(c, "Message", messageId, ({ fields }) => fields.revisions === 2);
			assert.equal(fields.text, "from the laptop");
			assert.equal(fields.editedAt, new Date(start + 2000).toISOString());
		}
	});

	test("sent again after its ack was lost changes nothing", async () => {
		const { messageId } = await message("x");
		const edit = { messageId, text: "y", base: "", stamp: stamp(a, 1000) };
		const first = await a.call("message:edit", edit);
		const again = await a.call("message:edit", edit);
		assert.equal(again.changeTag, first.changeTag);
		await b.call("message:edit", { messageId, text: "z", base: edit.stamp, stamp: stamp(b, 3000) });
		const late = await a.call("message:edit", edit);
		assert.equal(late.record.fields.text, "z");
		assert.equal(late.conflicts, undefined); // its text was seen when it was replaced
		assert.equal(late.record.fields.revisions, 2);
		assert.deepEqual(await values(messageId), ["x", "y"]);
		assert.equal((await refusal(a.call("message:edit", { ...edit, text: "other" }))).code, "bad_field");
	});

	test("a clock a year ahead wins once, and then no more", async () => {
		const { messageId } = await message("0");
		const ahead = stamp(a, 366 * 86_400_000);
		const first = await a.call("message:edit", { messageId, text: "from the future", base: "", stamp: ahead });
		const taken = first.record.fields.stamps.text;
		assert.ok(taken.includes("!") && Number.parseInt(taken.slice(0, 12), 16) <= Date.now() + 60_000 + 1000);
		const again = await a.call("message:edit", { messageId, text: "from the future", base: "", stamp: ahead });
		assert.equal(again.changeTag, first.changeTag);
		// The skewed device goes on from its own stamp, the other from the one it was told.
		const more = await a.call("message:edit", { messageId, text: "again", base: ahead, stamp: stamp(a, 366 * 86_400_000, 1) });
		assert.equal(more.record.fields.text, "again");
		assert.equal(more.conflicts, undefined);
		const now = more.record.fields.stamps.text;
		const last = await b.call("message:edit", { messageId, text: "now", base: now, stamp: `${now.slice(0, 12)}-0009-${b.deviceId}` });
		assert.equal(last.record.fields.text, "now");
		assert.deepEqual((await values(messageId)).sort(), ["0", "again", "from the future"]);
	});

	test("of a reply, and while its request runs", async () => {
		const conversationId = newId();
		const running = await a.send({ conversationId, text: "slow", model: "local:test", params: { tokens: 20, tokensPerSecond: 40 } });
		await a.call("message:edit", { messageId: running.messageId, text: "slowly" });
		const request = await a.finished(running.requestId);
		assert.equal(request.fields.state, "done");
		const { replyId } = request.fields;
		await a.call("message:edit", { messageId: replyId, text: "corrected" });
		const { fields } = await told(b, "Message", replyId, ({ fields }) => fields.text === "corrected");
		assert.equal(fields.role, "assistant");
		assert.equal((await revisions(replyId))[0].fields.deviceId, "");
	});

	test("what is wrong is named", async () => {
		const { messageId } = await message("text");
		const cases = [
			[{ messageId: newId(), text: "x" }, "not_found", /no message/],
			[{ messageId }, "bad_field", /"text"/],
			[{ messageId, text: "" }, "bad_field", /delete it instead/],
			[{ messageId, text: "x".repeat(daemon.textBytes ?? 524_289) }, "too_large", /textBytes/],
			[{ messageId, text: "x", stamp: "now" }, "bad_field", /is no stamp/],
			[{ messageId, text: "x", stamp: stamp(b, 1) }, "bad_field", /this device's id/],
			[{ messageId, text: "x", stamp: stamp(a, 1), base: stamp(a, 2) }, "bad_field", /not older/],
			[{ messageId, text: "x", stamp: stamp(a, 1), base: "x" }, "bad_field", /"text" is no stamp/],
			[{ messageId, text: "x", changeTag: "x" }, "bad_field", /no change tag/],
		];
		for (const [frame, code, says] of cases) {
			const error = await refusal(a.call("message:edit", frame));
			assert.equal(error.code, code, JSON.stringify(frame).slice(0, 200));
			assert.match(error.message, says);
		}
		await daemon.operator("POST", "users", { name: `eve${Date.now()}` }).then(async ({ name }) => {
			const eve = await daemon.device({ user: name });
			assert.equal((await refusal(eve.call("message:edit", { messageId, text: "x" }))).code, "not_found");
			assert.equal((await refusal(eve.call("message:delete", { messageId }))).code, "not_found");
		});
		assert.deepEqual(await values(messageId), []);
	});

	test("of a cleared session is refused, deleting is not", async () => {
		const { messageId, conversationId, ack } = await message("before the clear");
		const cleared = await a.call("session:clear", { sessionId: ack.sessionId });
		const error = await refusal(b.call("message:edit", { messageId, text: "after", base: "", stamp: stamp(b, 1000) }));
		assert.deepEqual([error.code, error.sessionId], ["session_killed", cleared.sessionId]);
		assert.equal((await b.call("message:delete", { messageId })).record.deleted, true);
		assert.equal((await a.send({ conversationId, text: "new" })).sessionId, cleared.sessionId);
	});

	test("over HTTP it is the same", async () => {
		const { messageId } = await message("by a script");
		const path = `/api/v1/messages/${messageId}`;
		const edited = await daemon.http("POST", `${path}/edit`, { token: a.token, body: { text: "better" } });
		assert.equal(edited.status, 200, edited.text);
		assert.equal(edited.json.record.fields.text, "better");
		const gone = await daemon.http("POST", `${path}/delete`, { token: a.token, body: {} });
		assert.equal(gone.json.record.deleted, true);
		const late = await daemon.http("POST", `${path}/edit`, { token: a.token, body: { text: "late" } });
		assert.equal(late.status, 404);
	});
});

describe("message:delete", () => {
	test("removes the message and its history everywhere; its id is taken for ever", async () => {
		const { messageId, conversationId, ack } = await message("secret");
		await b.call("message:edit", { messageId, text: "still secret" });
		const [old] = await revisions(messageId);
		const gone = await a.call("message:delete", { messageId });
		assert.equal(gone.record.deleted, true);
		assert.equal(gone.conflicts, undefined);
		for (const device of [b, c]) {
			await told(device, "Message", messageId, ({ deleted }) => deleted);
			await told(device, "Revision", old.name, ({ deleted }) => deleted);
		}
		assert.deepEqual(await values(messageId), []);
		const again = await a.send({ messageId, conversationId, text: "secret" });
		assert.deepEqual([again.duplicate, again.changeTag], [true, ack.changeTag]);
		assert.equal((await a.call("message:delete", { messageId })).changeTag, gone.changeTag);
	});

	test("an edit it had not seen is kept, whichever comes first, and a repeat of a seen one is not", async () => {
		for (const editFirst of [true, false]) {
			const { messageId } = await message("draft");
			const seen = { messageId, text: "seen", base: "", stamp: stamp(a, 1000) };
			await a.call("message:edit", seen);
			const edit = () => b.call("message:edit", { messageId, text: "typed on a plane", base: "", stamp: stamp(b, 500) });
			const remove = () => a.call("message:delete", { messageId, base: seen.stamp, stamp: stamp(a, 2000) });
			const edited = editFirst ? await edit() : undefined;
			await remove();
			const late = edited ?? (await edit());
			const [kept, ...others] = await revisions(messageId);
			assert.deepEqual([kept.fields.value, kept.fields.conflict, others.length], ["typed on a plane", true, 0]);
			assert.equal(late.conflicts[0].revision, kept.name);
			assert.equal(late.conflicts[0].kept, "theirs");
			if (!editFirst) assert.equal(late.conflicts[0].deleted, true);
			await a.call("message:edit", seen); // its ack was lost
			await remove();
			await edit();
			assert.deepEqual(await values(messageId), ["typed on a plane"]);
		}
	});

	test("under a change tag is refused when the message changed", async () => {
		const { messageId, ack } = await message("one");
		await b.call("message:edit", { messageId, text: "two" });
		const error = await refusal(a.call("message:delete", { messageId, changeTag: ack.changeTag }));
		assert.deepEqual([error.code, error.serverRecord.fields.text, error.merged], ["conflict", "two", undefined]);
		await a.call("message:delete", { messageId, changeTag: error.serverRecord.changeTag });
		assert.deepEqual(await values(messageId), []);
	});

	test("stops the request it asked", async () => {
		const conversationId = newId();
		const asked = await a.send({ conversationId, text: "never ends", model: "local:test", params: { error: "hang" } });
		const waiting = await a.send({ conversationId, text: "and this waits", model: "local:test" });
		await a.call("message:delete", { messageId: waiting.messageId });
		assert.equal((await a.finished(waiting.requestId)).fields.state, "stopped");
		await a.call("message:delete", { messageId: asked.messageId });
		assert.equal((await a.finished(asked.requestId)).fields.state, "stopped");
	});

	test("lets go of its attachments", async () => {
		const bytes = Buffer.from(newId());
		const sha256 = createHash("sha256").update(bytes).digest("hex");
		const put = await daemon.http("PUT", `/api/v1/assets/${sha256}`, { token: a.token, body: bytes });
		assert.ok(put.status < 300, put.text);
		const { messageId } = await message("see this", a, { parts: [{ type: "image", sha256 }] });
		await a.call("message:edit", { messageId, text: "" }); // the attachment is left
		await a.call("message:delete", { messageId });
		assert.equal((await daemon.cli("doctor")).code, 0);
	});
});

describe("record:save, merge", () => {
	const project = async () => {
		const name = newId();
		await save(a, { type: "Project", name, fields: { title: "P", path: "/p", tags: ["old"], settings: { font: 10, lang: "de" } } });
		return name;
	};

	test("different fields of one record merge without a conflict", async () => {
		const name = await project();
		const one = await merge(a, { type: "Project", name, stamp: stamp(a, 1000), base: {}, fields: { title: "Phone" } });
		const two = await merge(b, { type: "Project", name, stamp: stamp(b, 900), base: {}, fields: { path: "/q", settings: { font: 12 } } });
		await merge(c, { type: "Project", name, stamp: stamp(c, 800), base: {}, fields: { settings: { lang: "fr" } } });
		assert.deepEqual([one.conflicts, two.conflicts], [undefined, undefined]);
		const { fields } = await told(a, "Project", name, ({ fields }) => fields.settings.lang === "fr");
		assert.deepEqual([fields.title, fields.path, fields.settings], ["Phone", "/q", { font: 12, lang: "fr" }]);
	});

	test("the same field: the later wins, the other is told and kept", async () => {
		const name = await project();
		await merge(b, { type: "Project", name, stamp: stamp(b, 2000), base: {}, fields: { title: "Laptop", settings: { font: 20 } } });
		const fields = { title: "Phone", settings: { font: 30 } };
		const { record, conflicts } = await merge(a, { type: "Project", name, stamp: stamp(a, 1000), base: {}, fields });
		assert.deepEqual([record.fields.title, record.fields.settings.font], ["Laptop", 20]);
		assert.deepEqual(conflicts.map(({ field, kept }) => [field, kept]), [["title", "theirs"], ["settings.font", "theirs"]]);
		assert.deepEqual((await values(name)).sort(), ["P", "Phone", 10, 30].sort());
	});

	test("tags, read marks and hiding merge as sets", async () => {
		const { messageId } = await message("read me");
		const save = (device, ms, fields) => merge(device, { type: "Message", name: messageId, stamp: stamp(device, ms), fields });
		await save(a, 1000, { readBy: { add: [a.deviceId] }, tags: { add: ["x", "y"] } });
		await save(b, 900, { readBy: { add: [b.deviceId] }, tags: { add: ["y"] }, hiddenBy: { add: [b.deviceId] } });
		await save(c, 1100, { readBy: [c.deviceId], tags: { remove: ["x"], add: ["z"] } });
		const { record, conflicts } = await save(b, 950, { tags: { add: ["x"] } }); // older than the removal
		assert.equal(conflicts, undefined);
		assert.deepEqual(record.fields.readBy, [a.deviceId, b.deviceId, c.deviceId].sort());
		assert.deepEqual(record.fields.tags, ["y", "z"]);
		// Hidden on one device only; the message is there for all.
		assert.deepEqual(record.fields.hiddenBy, [b.deviceId]);
		const { fields } = await told(a, "Message", messageId, ({ fields }) => fields.tags?.includes("z"));
		assert.deepEqual([fields.text, fields.hiddenBy], ["read me", [b.deviceId]]);
		assert.deepEqual(await values(messageId), []);
		assert.equal((await save(b, 1200, { hiddenBy: { remove: [b.deviceId] } })).record.fields.hiddenBy.length, 0);
	});

	test("old clients and new ones meet: a save without a stamp is an edit of now that saw all", async () => {
		const name = await project();
		await save(b, { type: "Project", name, fields: { title: "By a script", tags: ["new"], settings: { font: 1 } } });
		const fields = { title: "Earlier", tags: { add: ["late"], remove: ["new"] }, settings: { lang: "it" } };
		const late = await merge(a, { type: "Project", name, stamp: stamp(a, 1000), base: {}, fields });
		assert.equal(late.record.fields.title, "By a script");
		assert.deepEqual(late.record.fields.tags, ["late", "new"]);
		assert.deepEqual(late.record.fields.settings, { font: 1 }); // the script took lang away, later
		assert.deepEqual(await values(name), ["P", "Earlier", "it"]);
		const old = await save(b, { type: "Project", name, fields: { title: "Again" } }, "allKeys");
		assert.deepEqual(Object.keys(old.record.fields).sort(), ["stamps", "title"]);
		assert.deepEqual((await values(name)).sort(), ["By a script", "Earlier", "P", "it"]);
		// Nobody writes the stamps themselves.
		const forged = await save(b, { type: "Project", name, fields: { title: "Last", stamps: { title: "ffffffffffff-0000-x" } } }, "allKeys");
		assert.equal(forged.record.fields.title, "Last");
		assert.ok(!JSON.stringify(forged.record.fields).includes("ffffffffffff"));
	});

	test("makes a record once, however often it arrives", async () => {
		const name = newId();
		const make = { type: "Project", name, stamp: stamp(a, 1000), fields: { title: "New", tags: ["t"] } };
		const first = await merge(a, make);
		await merge(b, { type: "Project", name, stamp: stamp(b, 2000), base: { title: stamp(a, 1000) }, fields: { title: "Newer" } });
		const again = await merge(a, make);
		assert.equal(again.record.fields.title, "Newer");
		assert.equal(again.conflicts, undefined);
		assert.deepEqual(first.record.fields.tags, ["t"]);
		assert.deepEqual(await values(name), ["New"]);
	});

	test("deletion wins over edits; what it had not seen is kept; nothing revives it", async () => {
		const name = await project();
		await merge(b, { type: "Project", name, stamp: stamp(b, 1000), base: {}, fields: { title: "Unseen" } });
		const gone = await merge(a, { type: "Project", name, deleted: true, stamp: stamp(a, 2000), base: {} });
		assert.equal(gone.record.deleted, true);
		assert.deepEqual(gone.conflicts.map(({ field, kept }) => [field, kept]), [["title", "ours"]]);
		const late = await merge(c, { type: "Project", name, stamp: stamp(c, 3000), base: {}, fields: { title: "Late", tags: { add: ["q"] } } });
		assert.equal(late.record.deleted, true);
		assert.deepEqual(late.conflicts.map(({ kept, deleted }) => [kept, deleted]), [["theirs", true]]);
		assert.deepEqual(await values(name), ["Unseen", "Late"]);
	});

	test("types of an application's own merge too, and are left alone until they do", async () => {
		const type = "Note", name = newId();
		const first = await save(a, { type, name, fields: { body: "1", n: 1 } });
		const second = await save(a, { type, name, fields: { n: 2 } });
		assert.deepEqual([first.record.fields, second.record.fields], [{ body: "1", n: 1 }, { body: "1", n: 2 }]);
		await merge(a, { type, name, stamp: stamp(a, 1000), fields: { body: "2" } });
		const { record, conflicts } = await merge(b, { type, name, stamp: stamp(b, 900), fields: { body: "3" } });
		assert.equal(record.fields.body, "2");
		assert.equal(conflicts[0].kept, "theirs");
		assert.deepEqual(await values(name), ["1", "3"]);
	});

	test("what does not fit is refused, and the rest of the batch is not", async () => {
		const name = await project();
		const { results } = await a.call("record:save", {
			policy: "merge",
			records: [
				{ type: "Project", name, stamp: stamp(a, 1000), fields: { tags: [1] } },
				{ type: "Project", name, stamp: stamp(b, 1000), fields: { title: "x" } },
				{ type: "Project", name, stamp: stamp(a, 1000), base: { title: stamp(a, 1000) }, fields: { title: "x" } },
				{ type: "Session", name, stamp: stamp(a, 1000), fields: { state: "killed" } },
				{ type: "Project", name, stamp: stamp(a, 1000), fields: { title: "good" } },
			],
		});
		assert.deepEqual(results.map(({ error }) => error?.code), ["bad_field", "bad_field", "bad_field", "forbidden", undefined]);
	});
});

describe("projects", () => {
	test("are made, renamed, archived and deleted, on every device; their conversations stay", async () => {
		const name = newId();
		await save(a, { type: "Project", name, fields: { title: "Nest", path: "/nest", state: "active" } });
		const { conversationId } = await message("in it");
		await save(a, { type: "Conversation", name: conversationId, fields: { projectId: name } });
		await save(b, { type: "Project", name, fields: { title: "Loft" } });
		await save(c, { type: "Project", name, fields: { state: "archived" } });
		const { fields } = await told(a, "Project", name, ({ fields }) => fields.state === "archived");
		assert.deepEqual([fields.title, fields.path], ["Loft", "/nest"]);
		const found = await b.call("record:query", { recordType: "Project", filter: [{ field: "state", op: "eq", value: "archived" }] });
		assert.ok(found.records.some((record) => record.name === name));
		await save(b, { type: "Project", name, deleted: true });
		await told(c, "Project", name, ({ deleted }) => deleted);
		const left = await b.call("record:query", { recordType: "Conversation", filter: [{ field: "projectId", op: "eq", value: name }] });
		assert.deepEqual(left.records.map((record) => record.name), [conversationId]);
	});
});

describe("roost history", () => {
	test("lists what was replaced, newest first, and puts it back", async () => {
		const { messageId, conversationId } = await message("first line\nsecond line");
		await a.call("message:edit", { messageId, text: "phone", base: "", stamp: stamp(a, 1000) });
		await b.call("message:edit", { messageId, text: "laptop", base: "", stamp: stamp(b, 2000) });
		await save(b, { type: "Conversation", name: conversationId, fields: { title: "Renamed" } });
		const list = JSON.parse((await daemon.cli("history", "--json", conversationId)).stdout).revisions;
		assert.deepEqual(list.map(({ recordType, value, conflict }) => [recordType, value, conflict]).sort(), [
			["Conversation", "first line", false],
			["Message", "first line\nsecond line", false],
			["Message", "phone", true],
		]);
		const own = JSON.parse((await daemon.cli("history", "--json", messageId)).stdout).revisions;
		assert.deepEqual(own.map(({ value, deviceName }) => `${deviceName}: ${value}`).sort(), [
			"phone: first line\nsecond line",
			"phone: phone",
		]);
		assert.ok(own[0].at >= own[1].at);
		const shown = await daemon.cli("history", messageId);
		assert.equal(shown.code, 0, shown.stderr);
		assert.match(shown.stdout, /conflict/);
		assert.match(shown.stdout, /first line/);
		assert.doesNotMatch(shown.stdout, /second line/);

		const restored = await daemon.cli("history", "--restore", own.find(({ value }) => value === "phone").revision);
		assert.equal(restored.code, 0, restored.stderr);
		const { fields } = await told(c, "Message", messageId, ({ fields }) => fields.text === "phone");
		assert.equal(fields.revisions, 3);
		assert.deepEqual((await values(messageId)).sort(), ["first line\nsecond line", "laptop", "phone"]);
		const title = list.find(({ recordType }) => recordType === "Conversation");
		assert.equal((await daemon.cli("history", "--restore", title.revision)).code, 0);
		await told(c, "Conversation", conversationId, ({ fields }) => fields.title === "first line");
	});

	test("puts back a setting and a deleted project, and says why a deleted message stays deleted", async () => {
		const name = newId();
		await save(a, { type: "Project", name, fields: { title: "P", settings: { font: 10 } } });
		await merge(a, { type: "Project", name, stamp: stamp(a, 1000), fields: { settings: { font: 11 } } });
		const [font] = await revisions(name);
		assert.equal((await daemon.cli("history", "--restore", font.name)).code, 0);
		await told(a, "Project", name, ({ fields }) => fields.settings.font === 10);
		await save(a, { type: "Project", name, deleted: true });
		await merge(b, { type: "Project", name, stamp: stamp(b, 5000), fields: { title: "Not gone" } });
		const [title] = await revisions(name);
		assert.equal((await daemon.cli("history", "--restore", title.name)).code, 0);
		const back = await told(a, "Project", name, ({ deleted }) => !deleted);
		assert.equal(back.fields.title, "Not gone");
		const { messageId } = await message("m");
		await a.call("message:delete", { messageId, base: "", stamp: stamp(a, 1) });
		await b.call("message:edit", { messageId, text: "late", base: "", stamp: stamp(b, 2) });
		const [late] = await revisions(messageId);
		const refused = await daemon.cli("history", "--restore", late.name);
		assert.notEqual(refused.code, 0);
		assert.match(refused.stderr, /was deleted/);
		const nothing = await daemon.cli("history", newId());
		assert.notEqual(nothing.code, 0);
		assert.match(nothing.stderr, /nothing/);
		assert.notEqual((await daemon.cli("history", "--restore", newId())).code, 0);
		assert.equal((await daemon.cli("history")).code, 64);
	});
});

describe("who wrote it", () => {
	test("shows on every device, survives edits, a restart, a backup and its restore; doctor stays content", async () => {
		const { messageId } = await message("mine", a);
		await b.call("message:edit", { messageId, text: "mine, mended" });
		const check = (record) => {
			assert.equal(record.created.deviceId, a.deviceId);
			assert.equal(record.created.userId, a.userId);
			assert.equal(record.fields.role, "user");
			assert.equal(record.modified.deviceId, b.deviceId);
			assert.equal(record.fields.text, "mine, mended");
		};
		for (const device of [a, c]) check(await told(device, "Message", messageId, ({ fields }) => fields.revisions === 1));
		await daemon.restart();
		const later = await Device.connect(daemon, c, {});
		check(await told(later, "Message", messageId, () => true));
		assert.deepEqual((await revisions(messageId, later)).map(({ fields }) => fields.value), ["mine"]);
		const doctor = await daemon.cli("doctor");
		assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
		const path = `${daemon.data}/kept.db`;
		assert.equal((await daemon.cli("backup", path)).code, 0);
		await later.call("message:delete", { messageId });
		await daemon.stop();
		const restored = await daemon.cli("restore", path);
		assert.equal(restored.code, 0, restored.stderr);
		await daemon.restart();
		const back = await Device.connect(daemon, c, { cursor: undefined });
		check(await told(back, "Message", messageId, ({ deleted }) => !deleted));
		assert.equal((await daemon.cli("doctor")).code, 0);
	});
});
