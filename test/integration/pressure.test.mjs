// More than the disk can take: who sends too fast is not read for a while, and loses nothing; the daemon's queue stays
// bounded.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Daemon, newId, sleep } from "../lib/roost.mjs";

// What waited at the most while `send` sent more than the disk takes.
async function flood(daemon, send) {
	let most = 0, over = false;
	const watching = (async () => {
		while (!over) {
			const { text } = await daemon.http("GET", "/metrics");
			most = Math.max(most, Number(/^roost_store_queue_bytes (\d+)$/m.exec(text)[1]));
		}
	})();
	// Much of it is in the socket's buffers already when the daemon gets to read.
	daemon.child.kill("SIGSTOP");
	const sent = send();
	await sleep(300);
	daemon.child.kill("SIGCONT");
	const outcomes = await Promise.all(sent);
	over = true;
	await watching;
	return { most, outcomes };
}

test("a device that writes faster than the disk is slowed down, not refused", async (t) => {
	const daemon = await Daemon.start({ config: "limits:\n  writerQueueBytes: 1048576\n" });
	t.after(() => daemon.remove());
	const device = await daemon.device();
	t.after(() => device.close());
	const conversationId = newId();
	const text = "x".repeat(200_000);
	const { most, outcomes } = await flood(daemon, () =>
		Array.from({ length: 150 }, (_, i) =>
			device.send({ text: `${i} ${text}`, conversationId }).then((ack) => ack.ord, (error) => error.code),
		),
	);
	assert.deepEqual(outcomes.filter((ord) => typeof ord !== "number"), []);
	assert.deepEqual(outcomes, outcomes.map((_, i) => i + 1), "in the order they were sent");
	assert.ok(most < 2 * 1048576, `${most} bytes waited`);
	// And a second device finds everything as ever.
	assert.equal((await device.send({ text: "after", conversationId })).ord, 151);
});

test("records that are saved count with what they hold", async (t) => {
	// The answers hold what was saved; that this test's own process reads them late is not the question here.
	const daemon = await Daemon.start({ config: "limits:\n  writerQueueBytes: 1048576\n  deviceQueueBytes: 67108864\n" });
	t.after(() => daemon.remove());
	const device = await daemon.device();
	t.after(() => device.close());
	const fields = { text: "x".repeat(200_000) };
	const save = (i) => device.call("record:save", { records: [{ type: "Note", name: `n${i}`, fields }] });
	const { most, outcomes } = await flood(daemon, () => Array.from({ length: 150 }, (_, i) => save(i)));
	assert.deepEqual(outcomes.map(({ results }) => results[0].error), outcomes.map(() => undefined));
	assert.ok(most > 200_000 && most < 2 * 1048576, `${most} bytes waited`);
});
