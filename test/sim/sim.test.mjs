// Whole systems under a seed each: the daemon's own code and many devices, with a simulated clock, network, disk and
// crashes, see test/sim/plan.h. A seed that fails prints how to see it again.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { describe, test } from "node:test";
import { all, tool } from "../lib/roost.mjs";

const SEEDS = all ? 60_000 : 2_400;
const STEPS = 120;
const LONG_SEEDS = all ? 1_000 : 60;
const LONG_STEPS = 1_500;

// Runs the simulator; the answer says how it ended and what it printed.
function sim(from, to, ...more) {
	const args = ["--seeds", `${from}..${to}`, ...more.map(String)];
	return new Promise((done) => {
		execFile(tool("sim"), args, { maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
			done({ status: error === null ? 0 : error.code, stdout, stderr });
		});
	});
}

// The seeds from..to, shared between as many processes as there are processors.
async function shared(from, to, ...more) {
	const parts = availableParallelism();
	const each = Math.ceil((to - from + 1) / parts);
	const runs = [];
	for (let first = from; first <= to; first += each) runs.push(sim(first, Math.min(to, first + each - 1), ...more));
	return Promise.all(runs);
}

function assertClean(runs) {
	for (const { status, stdout, stderr } of runs) assert.equal(status, 0, `${stdout.slice(-20_000)}${stderr}`);
}

describe("the simulator", { timeout: all ? 7_000_000 : 550_000 }, () => {
	test(`${SEEDS} seeds keep every promise`, async () => assertClean(await shared(1, SEEDS, "--steps", STEPS)));

	test(`${LONG_SEEDS} long ones too`, async () =>
		assertClean(await shared(1_000_001, 1_000_000 + LONG_SEEDS, "--steps", LONG_STEPS)));

	test("a seed is the same run, event for event, whatever ran before it", async () => {
		const whole = await sim(1, 12, "--hash");
		assert.equal(whole.status, 0, whole.stdout);
		const lines = whole.stdout.trim().split("\n").slice(0, -1);
		assert.equal(lines.length, 12);
		assert.equal(new Set(lines.map((line) => / hash (\w+)/.exec(line)[1])).size, 12);
		for (const seed of [3, 12]) assert.equal((await sim(seed, seed, "--hash")).stdout.split("\n")[0], lines[seed - 1]);
		const [a, b] = await Promise.all([sim(5, 5, "--trace"), sim(5, 5, "--trace")]);
		assert.ok(a.stdout.length > 10_000);
		assert.equal(a.stdout, b.stdout);
	});

	// The controls: a fault that is planted must be noticed, by the promise it breaks.
	const controls = [
		["early-ack", /nothing acknowledged is lost|the same everywhere|one content|its ack for ever|starts and stops cleanly/],
		["no-dedup", /what is stored is what somebody typed|first ack is its ack for ever/],
		["no-fence", /an attempt that is over ends nothing/],
		// From 16 on: in seed 15 two primaries answer each other until simulated time runs out, which takes minutes.
		["no-term", /an automatic message comes from the term's primary/, 90, 16],
		["lost-page", /nothing acknowledged is lost, on any device/],
		["kept-seat", /where devices are joined, one is primary/, 400],
		["no-run", /each step of a run follows|a run only counts up|an answer is followed once/],
		["open-door", /who was revoked does not come back|everybody converges/],
	];
	for (const [plant, promise, last = 150, first = 1] of controls) {
		test(`a planted fault is noticed: ${plant}`, async () => {
			const { status, stdout } = await sim(first, last, "--plant", plant);
			assert.equal(status, 1, `${plant} was not noticed`);
			assert.match(stdout, promise);
			assert.match(stdout, /again: \.\/dev sim --seeds (\d+)\.\.\1 /);
		});
	}

	test("nothing of the real world is in it", async () => {
		const { stdout } = await new Promise((done) => {
			execFile("ldd", [tool("sim")], (error, out) => done({ stdout: error === null ? out : String(error) }));
		});
		assert.doesNotMatch(stdout, /libuv/);
	});
});
