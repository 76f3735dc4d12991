// The history checker must be able to fail: a sound history passes, and the same history with one violation planted is
// flagged by the rule that forbids it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { check, rules } from "./history.mjs";

// Two devices, three messages, one answered at its second attempt; device b was away and catches up.
function sound() {
	const message = (name, ord, fields) => ({ type: "Message", name, fields: { conversationId: "c", ord, role: "user", ...fields } });
	const request = (attempt, state) => ({ type: "Request", name: "q", fields: { messageId: "m1", replyId: "r", attempt, state } });
	const m1 = message("m1", 1, { text: "one" });
	const m2 = message("m2", 2, { text: "two" });
	const m3 = message("m3", 3, { text: "three" });
	const reply = message("r", 4, { role: "assistant", status: "complete", requestId: "q", text: "häppy end" });
	const shown = (device, connection, attempt, offset, text) => ({
		kind: "shown",
		device,
		connection,
		requestId: "q",
		attempt,
		stream: "text",
		offset,
		text,
	});
	return [
		{ kind: "sent", device: "a", messageId: "m1", conversationId: "c", text: "one", answer: true },
		{ kind: "acked", device: "a", messageId: "m1", duplicate: false, requestId: "q" },
		{ kind: "told", device: "a", records: [request(1, "claimed")] },
		{ kind: "called", messageId: "m1" },
		shown("a", 1, 1, 0, "häp"),
		{ kind: "sent", device: "b", messageId: "m2", conversationId: "c", text: "two" },
		{ kind: "acked", device: "b", messageId: "m2", duplicate: false },
		{ kind: "told", device: "a", records: [m2] },
		{ kind: "sent", device: "a", messageId: "m3", conversationId: "c", text: "three" },
		{ kind: "acked", device: "a", messageId: "m3", duplicate: true },
		{ kind: "called", messageId: "m1" },
		shown("a", 2, 2, 0, "häp"),
		shown("a", 2, 2, 4, "py"),
		shown("b", 2, 2, 0, "häppy"),
		shown("b", 2, 2, 6, " end"),
		shown("a", 2, 2, 6, " end"),
		{ kind: "told", device: "a", records: [reply, request(2, "done")] },
		{ kind: "told", device: "b", records: [m1, m3, reply, request(2, "done")] },
		{ kind: "final", records: [m1, m2, m3, reply, request(2, "done")] },
	];
}

const find = (events, kind, n = 0) => events.filter((event) => event.kind === kind)[n];
const final = (events, name) => find(events, "final").records.find((record) => record.name === name);
const drop = (events, event) => events.splice(events.indexOf(event), 1);
const dropFinal = (events, name) => {
	const { records } = find(events, "final");
	records.splice(records.findIndex((record) => record.name === name), 1);
};
const own = (events, event, record, fields) => {
	const copy = structuredClone(record);
	Object.assign(copy.fields, fields);
	event.records[event.records.indexOf(record)] = copy;
};

const planted = {
	acksAreUnique: [
		["a message that was new twice", (e) => e.splice(2, 0, { ...e[1] })],
		["an ack for what nobody sent", (e) => e.splice(2, 0, { ...e[1], messageId: "m9" })],
	],
	acksAreKept: [
		["a lost message", (e) => dropFinal(e, "m2")],
		["a changed text", (e) => (final(e, "m2").fields.text = "tow")],
		["a lost request", (e) => dropFinal(e, "q")],
	],
	nothingIsInvented: [
		["a message nobody sent", (e) => drop(e, find(e, "sent", 1))],
		["a reply to nothing", (e) => dropFinal(e, "q")],
	],
	orderIsEqual: [
		["a device that was told another place", (e) => own(e, find(e, "told", 1), find(e, "told", 1).records[0], { ord: 3 })],
		["one place twice", (e) => (final(e, "m3").fields.ord = 2)],
		["a hole", (e) => (final(e, "r").fields.ord = 5)],
	],
	prefixesHaveNoGap: [["a message that was skipped", (e) => find(e, "told", 3).records.shift()]],
	oneReplyPerRequest: [
		["two replies", (e) => find(e, "final").records.push({ ...final(e, "r"), name: "r2" })],
		["a reply that only a device saw", (e) => find(e, "told", 0).records.push({ ...final(e, "r"), name: "r2" })],
		["done without a reply", (e) => {
			dropFinal(e, "r");
			for (const event of e) if (event.kind === "told") event.records = event.records.filter(({ name }) => name !== "r");
		}],
		["a reply that is gone", (e) => dropFinal(e, "r")],
		["a request that names another reply", (e) => (final(e, "q").fields.replyId = "r2")],
	],
	requestsEnd: [["a request that never ended", (e) => (final(e, "q").fields.state = "retrying")]],
	fencesGrow: [
		["an attempt that went back", (e) =>
			find(e, "told", 3).records.push({ ...final(e, "q"), fields: { ...final(e, "q").fields, attempt: 1 } })],
		["text of an attempt that is not on the record", (e) => (find(e, "shown", 4).attempt = 3)],
		["a reply of a lower attempt than was told", (e) => own(e, find(e, "told", 2), find(e, "told", 2).records[1], { attempt: 7 })],
	],
	callsAreAttempts: [
		["a call that is no attempt", (e) => e.splice(3, 0, { ...e[3] })],
		["an answer without a call", (e) => {
			drop(e, find(e, "called"));
			drop(e, find(e, "called"));
		}],
	],
	streamsAreGapFree: [
		["a gap", (e) => drop(e, find(e, "shown", 2))],
		["a repeat", (e) => e.splice(e.indexOf(find(e, "shown", 2)), 0, find(e, "shown", 2))],
		["two devices shown different texts", (e) => (find(e, "shown", 3).text = "hüppy")],
		["a reply other than was shown", (e) => (final(e, "r").fields.text = "häppy and")],
	],
};

describe("the history checker", () => {
	test("takes a sound history", () => assert.deepEqual(check(sound()), []));

	for (const [rule, faults] of Object.entries(planted))
		for (const [what, plant] of faults)
			test(`${rule} flags ${what}`, () => {
				const events = sound();
				plant(events);
				const found = check(events).map((violation) => violation.rule);
				assert.ok(found.includes(rule), `flagged only by: ${found.join(", ")}`);
			});

	test("has a planted fault for every rule", () => assert.deepEqual(Object.keys(planted).sort(), Object.keys(rules).sort()));

	test("looks at each event a fixed number of times, however long the history", () => {
		let looks;
		const counted = (list) =>
			new Proxy(list, {
				get: (target, key) => {
					looks += typeof key === "string" && /^\d+$/.test(key);
					return Reflect.get(target, key);
				},
			});
		const count = (n) => {
			const events = [];
			const records = [];
			for (let i = 1; i <= n; i++) {
				const fields = { conversationId: "c", ord: i, role: "user", text: `text ${i}` };
				const record = { type: "Message", name: `m${i}`, fields };
				records.push(record);
				events.push({ kind: "sent", device: "a", messageId: record.name, ...fields });
				events.push({ kind: "acked", device: "a", messageId: record.name });
				events.push({ kind: "told", device: "b", records: [record] });
			}
			events.push({ kind: "final", records: counted(records) });
			looks = 0;
			assert.deepEqual(check(counted(events)), []);
			return looks / events.length;
		};
		const few = count(100);
		assert.ok(few > 1, `${few} looks at an event`);
		assert.ok(count(1_000) <= few + 1, `${few} looks at each of 100 events, ${count(1_000)} at each of 1,000`);
	});
});
