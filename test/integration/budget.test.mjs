// What calls cost, to the tick: on the Request, in what a user spent, over restarts; and budgets that end it.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { asked, newId, startHouse } from "../fake/house.mjs";
import { Device } from "../lib/roost.mjs";

const USD = 10_000_000_000; // ticks
const MILLION = 1_000_000;
const today = () => new Date().toISOString().slice(0, 10);
const refusal = (promise) => promise.then(() => assert.fail("it was taken"), (error) => error);

// A house whose models cost $5 a million tokens of input and $10 of output. The prices are by name: scripts are kept ones.
const prices = [{ from: "2026-01-01", input: 5, output: 10 }];
const scripts = {
	big: { tokens: 1, usage: { input: MILLION, output: 0, thinking: 0 } },
	small: { tokens: 1, usage: { input: 1000, output: 100, thinking: 0 } },
	silent: { tokens: 4, usage: null },
	cut: { tokens: 8, usage: { input: 1000, output: 10, thinking: 0 }, fault: "cut" },
	slow: { tokens: 400, rate: 20 },
	stalls: { tokens: 80, fault: "stall", at: "end", usage: { input: 1000, output: 2000, thinking: 0 } },
	mute: { tokens: 8, fault: "stall", at: "first" },
	floods: { fault: "endless", at: "middle" },
};
async function priced({ dialect = "openai", ...options } = {}) {
	const house = await startHouse(options);
	const ids = Object.fromEntries(Object.entries(scripts).map(([name, script]) => [name, `${dialect}:${house.fake.keep(script)}`]));
	const models = Object.values(ids).map((id) => ({ id, prices }));
	await writeFile(join(house.daemon.data, "models.json"), JSON.stringify({ models }));
	await house.daemon.restart();
	const user = async (name) => house.daemon.device({ user: (await house.daemon.operator("POST", "users", { name })).name });
	return { ...house, ids, user };
}
const send = (device, model, conversationId = newId()) =>
	device.call("message:send", { messageId: newId(), conversationId, text: "well?", request: { model } });
async function ask(device, model) {
	const { requestId } = await send(device, model);
	return (await device.finished(requestId)).fields;
}
async function rows(device) {
	const { records } = await device.call("record:query", { zone: "usage", recordType: "Spend" });
	return records.flatMap(({ name, fields }) => fields.rows.map((row) => ({ day: name, ...row })));
}

describe("what a call costs", () => {
	let house, device;
	before(async () => {
		house = await priced();
		device = await house.daemon.device();
	});
	after(() => house.close());

	test("a million tokens at $5 a million cost $5.00, on the Request and in what the user spent, also after kill -9", async () => {
		const user = await house.user("exact");
		const fields = await ask(user, house.ids.big);
		assert.deepEqual([fields.state, fields.cost], ["done", { ticks: 5 * USD, reported: false }]);
		assert.deepEqual([fields.usage.inputTokens, fields.usage.estimated, fields.usage.costTicks], [MILLION, false, 5 * USD]);
		assert.equal(fields.attempts[0].usage.costTicks, 5 * USD);
		await house.daemon.kill();
		await house.daemon.restart();
		const again = await Device.connect(house.daemon, user);
		const [row, ...more] = await rows(again);
		assert.deepEqual(more, []);
		assert.deepEqual([row.day, row.provider, row.model, row.estimated], [today(), "openai", house.ids.big.slice(7), false]);
		assert.deepEqual([row.calls, row.inputTokens, row.costTicks, row.billedTicks, row.unpriced], [1, MILLION, 5 * USD, 0, 0]);
		device = await Device.connect(house.daemon, device);
		await ask(again, house.ids.big);
		assert.deepEqual((await rows(again)).map((r) => [r.calls, r.costTicks]), [[2, 10 * USD]]);
	});

	test("two users are told apart, and neither sees the other's", async () => {
		const [ann, bob] = [await house.user("ann"), await house.user("bob")];
		await Promise.all([ask(ann, house.ids.small), ask(ann, house.ids.small), ask(bob, house.ids.small)]);
		const one = 1000 * 50_000 + 100 * 100_000;
		assert.deepEqual((await rows(ann)).map((r) => r.costTicks), [2 * one]);
		assert.deepEqual((await rows(bob)).map((r) => r.costTicks), [one]);
	});

	test("counted and estimated tokens stand apart; what has no price is not taken for free", async () => {
		const user = await house.user("eve");
		const known = await ask(user, house.ids.small), guessed = await ask(user, house.ids.silent);
		const unknown = await ask(user, asked("openai"));
		assert.deepEqual([known, guessed, unknown].map(({ usage }) => usage.estimated), [false, true, false]);
		assert.ok(guessed.cost.ticks > 0);
		assert.equal(unknown.cost, undefined);
		const all = await rows(user);
		assert.deepEqual(all.map((r) => [r.estimated, r.unpriced]), [[false, 0], [true, 0], [false, 1]]);
		assert.equal(all[2].costTicks, 0);
	});

	test("a failed attempt's tokens count, and a request's cost is that of all its attempts", async () => {
		const user = await house.user("fay");
		const fields = await ask(user, house.ids.cut);
		assert.equal(fields.state, "failed");
		assert.ok(fields.attempts.length > 1);
		const each = fields.attempts.map(({ usage }) => usage.costTicks);
		assert.ok(each.every((ticks) => ticks > 0), JSON.stringify(fields.attempts));
		assert.equal(fields.cost.ticks, each.reduce((a, b) => a + b));
		assert.equal((await rows(user)).reduce((sum, row) => sum + row.costTicks, 0), fields.cost.ticks);
	});

	test("an answer that is stopped has cost what it had used", async () => {
		const user = await house.user("gus");
		const conversationId = newId(), { requestId } = await send(user, house.ids.slow, conversationId);
		await user.call("session:join", { conversationId });
		await user.until(() => user.stream(requestId).length > 0, "text");
		await user.call("request:stop", { requestId });
		const { fields } = await user.finished(requestId);
		assert.deepEqual([fields.state, fields.usage.estimated], ["stopped", true]);
		assert.ok(fields.cost.ticks > 0);
		assert.equal((await rows(user))[0].costTicks, fields.cost.ticks);
	});

	test("what streamed before kill -9 is charged, with what was asked, and marked as estimated", async () => {
		const user = await house.user("jan");
		const conversationId = newId(), { requestId } = await send(user, house.ids.slow, conversationId);
		await user.call("session:join", { conversationId });
		await user.until(() => user.stream(requestId).length > 40, "text");
		await house.daemon.kill();
		await house.daemon.restart();
		const again = await Device.connect(house.daemon, user);
		await again.call("session:join", { conversationId });
		await again.until(() => again.stream(requestId, 2).length > 0, "text of the second attempt");
		await again.call("request:stop", { requestId });
		const { fields } = await again.finished(requestId), [lost, stopped] = fields.attempts;
		assert.deepEqual([lost.outcome, lost.usage.estimated, stopped.outcome], ["interrupted", true, "stopped"]);
		// "well?" with its marks, and a token for about every four of the bytes that were said
		assert.ok(lost.usage.inputTokens >= 5 && lost.usage.inputTokens < 20, JSON.stringify(lost.usage));
		assert.ok(lost.usage.outputTokens > 10 && lost.usage.outputTokens < lost.bytes / 2, JSON.stringify(lost));
		assert.equal(lost.usage.costTicks, lost.usage.inputTokens * 50_000 + lost.usage.outputTokens * 100_000);
		assert.equal(fields.cost.ticks, lost.usage.costTicks + stopped.usage.costTicks);
		const [row, ...more] = await rows(again);
		assert.deepEqual([more.length, row.calls, row.estimated, row.costTicks], [0, 2, true, fields.cost.ticks]);
		device = await Device.connect(house.daemon, device);
	});

	test("no device can write what was spent", async () => {
		const user = await house.user("hal");
		await ask(user, house.ids.small);
		for (const record of [{ type: "Spend", name: today(), fields: { rows: [] } }, { type: "Budget", name: "day", fields: { ticks: USD } }]) {
			const { results } = await user.call("record:save", { zone: "usage", policy: "allKeys", records: [record] });
			assert.equal(results[0].error.code, "forbidden", JSON.stringify(results[0]));
		}
	});

	test("what is spent is entered although the user has no zone left to make", async () => {
		const user = await house.user("ida");
		for (let i = 0; i < 64; i++)
			await user.call("record:save", { zone: `z${i}`, records: [{ type: "note", name: "n", fields: {} }] }).catch(() => {});
		assert.equal((await ask(user, house.ids.small)).state, "done");
		assert.equal((await rows(user)).length, 1);
	});
});

describe("a call that a limit cuts", () => {
	for (const dialect of ["openai", "anthropic", "gemini"])
		test(`${dialect}: has cost what was asked and what it said, as far as nobody counted it`, async () => {
			const house = await priced({ dialect, limits: { streamIdleMs: 300, firstTokenMs: 300, answerBytes: 4096, attempts: 1 } });
			try {
				const device = await house.daemon.device();
				for (const [name, code, least, most] of [["stalls", "provider_timeout", 80, 300],
					["mute", "provider_timeout", 0, 1], ["floods", "provider_too_much", 800, 2000]]) {
					const user = await house.user(name), fields = await ask(user, house.ids[name]);
					assert.deepEqual([fields.state, fields.error.code], ["failed", code]);
					const { usage } = fields.attempts[0], { inputTokens, outputTokens, estimated } = usage;
					assert.ok(inputTokens > 0 && outputTokens >= least && outputTokens <= most, `${name}: ${JSON.stringify(usage)}`);
					assert.equal(estimated, name !== "mute" || dialect !== "anthropic"); // which tells what it was asked at once
					assert.equal(fields.cost.ticks, inputTokens * 50_000 + outputTokens * 100_000);
					assert.deepEqual((await rows(user)).map((row) => [row.costTicks, row.estimated]), [[fields.cost.ticks, estimated]]);
				}
				assert.equal((await ask(device, house.ids.small)).state, "done");
			} finally {
				await house.close();
			}
		});
});

describe("a budget", () => {
	let house;
	before(async () => (house = await priced({ more: "userBudget: 10.00/day\n", provider: { budget: "1000.00/day" } })));
	after(() => house.close());

	test("lets calls begin until it is spent, then refuses the message before any call and says until when", async () => {
		const user = await house.user("max"), other = await house.user("ned");
		await ask(user, house.ids.big);
		await ask(user, house.ids.big);
		const calls = house.fake.calls.length;
		const error = await refusal(send(user, house.ids.small));
		const midnight = new Date(Date.parse(`${today()}T00:00:00Z`) + 86_400_000).toISOString();
		assert.deepEqual([error.code, error.retryable, error.limitTicks, error.spentTicks, error.renewsAt],
			["budget_spent", false, 10 * USD, 10 * USD, midnight]);
		assert.match(error.message, /\$10\.00 a day, is spent \(\$10\.00\); it renews at /);
		assert.equal(house.fake.calls.length, calls);
		assert.equal((await ask(other, house.ids.small)).state, "done");
		await user.call("message:send", { messageId: newId(), conversationId: newId(), text: "only a note" });
	});

	test("is the operator's to set for one user, and holds over a restart", async () => {
		let user = await house.user("oda");
		await house.daemon.operator("POST", "budget", { user: "oda", budget: "5.00/day" });
		await ask(user, house.ids.big);
		assert.equal((await refusal(send(user, house.ids.small))).limitTicks, 5 * USD);
		await house.daemon.kill();
		await house.daemon.restart();
		user = await Device.connect(house.daemon, user);
		assert.equal((await refusal(send(user, house.ids.small))).limitTicks, 5 * USD);
		const set = await house.daemon.cli("budget", "oda", "5.01/day");
		assert.equal(set.code, 0, set.stderr);
		assert.equal((await ask(user, house.ids.small)).state, "done");
		assert.match((await house.daemon.cli("budget")).stdout, /^oda +\$5\.01 +\$5\.006 *$/m);
		await house.daemon.cli("budget", "oda", "default");
		assert.match((await house.daemon.cli("budget")).stdout, /^oda +\$10\.00 /m);
	});

	test("that is spent while a request waits fails it with the same code, and no call is made", async () => {
		const user = await house.user("pia"), conversationId = newId();
		await ask(user, house.ids.big);
		const first = await send(user, house.ids.slow, conversationId);
		await user.call("session:join", { conversationId });
		await user.until(() => user.stream(first.requestId).length > 0, "text");
		const second = await send(user, house.ids.small, conversationId);
		await ask(user, house.ids.big);
		await user.call("request:stop", { requestId: first.requestId });
		const { fields } = await user.finished(second.requestId);
		assert.deepEqual([fields.state, fields.error.code, fields.attempt], ["failed", "budget_spent", 0]);
	});

	test("of a provider's key is for all users together", async () => {
		const small = await priced({ provider: { budget: "5/day" } });
		try {
			const [a, b] = [await small.user("a"), await small.user("b")];
			await ask(a, small.ids.big);
			const error = await refusal(send(b, small.ids.small));
			assert.deepEqual([error.code, error.provider, error.spentTicks], ["budget_spent", "openai", 5 * USD]);
			assert.equal((await ask(b, "local:test")).state, "done");
		} finally {
			await small.close();
		}
	});

	test("that is no amount is refused by name", async () => {
		const error = await refusal(house.daemon.operator("POST", "budget", { user: "oda", budget: "a lot" }));
		assert.deepEqual([error.code, /"a lot"/.test(error.message)], ["bad_field", true]);
		assert.equal((await refusal(house.daemon.operator("POST", "budget", { user: "nobody", budget: "1" }))).code, "not_found");
	});
});

test("roost usage prints what was spent by user, provider, model and day", async () => {
	const house = await priced();
	try {
		const [ann, bob] = [await house.user("ann"), await house.user("bob")];
		await ask(ann, house.ids.big);
		await ask(bob, house.ids.small);
		const { stdout, stderr } = await house.daemon.cli("usage");
		assert.equal(stderr, "");
		assert.match(stdout, new RegExp(`^${today()} +ann +openai:\\S+ +1 +1000000 +0 +\\$5\\.00`, "m"));
		assert.match(stdout, new RegExp(`^${today()} +bob +openai:\\S+ +1 +1000 +100 +\\$0\\.006`, "m"));
		const { usage } = JSON.parse((await house.daemon.cli("usage", "--user", "bob", "--day", today(), "--json")).stdout);
		assert.deepEqual(usage.map(({ user, costTicks }) => [user, costTicks]), [["bob", 60_000_000]]);
		assert.deepEqual(JSON.parse((await house.daemon.cli("usage", "--day", "2026-01-01", "--json")).stdout).usage, []);
		assert.equal((await house.daemon.cli("usage", "--user", "nobody")).code, 66);
		assert.notEqual((await house.daemon.cli("usage", "--day", "yesterday")).code, 0);
	} finally {
		await house.close();
	}
});
