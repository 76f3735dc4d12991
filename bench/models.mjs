#!/usr/bin/env node
// The models: how fast each dialect is read, what a streamed token and a stream cost, how soon a stop is felt.
//
//     ./dev bench models                   all of them; prints the table, writes build/bench/models.json
//     node bench/models.mjs parse stop     some groups only; writes build/bench/models.part.json
//
// The programs are in C beside this file; what they read is what the tests' provider says (test/fake/dialects.mjs). What
// each figure means and how to read it is in docs/benchmarks.md.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { dialects } from "../test/fake/dialects.mjs";
import { directory, driven, program, withDaemon } from "./gear/house.mjs";
import { measure, middle, row, times } from "./gear/table.mjs";

const ROUNDS = 3;
const names = Object.keys(dialects);
const usage = { input: 7, output: 9, thinking: 0 };

// An answer of so many tokens as a dialect sends it; without its end, only so far.
function answerOf(name, tokens, { end = true } = {}) {
	const writer = dialects[name].writer({ id: 1, model: "m-1", body: { model: "m-1", stream: true,
		stream_options: { include_usage: true } } }, { usage });
	return writer.open() + tokens.map((token) => writer.text(token)).join("") + (end ? writer.finish("stop", usage) : "");
}

const dir = directory();
function file(name, text) {
	const path = join(dir, name);
	writeFileSync(path, text);
	return path;
}

const words = ["The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", ".", " Über", " 日本", "\n\n", " \"no\""];
const tokensOf = (n) => Array.from({ length: n }, (_, i) => words[i % words.length]);

// A captured answer, read again and again on one core.
async function parse() {
	const tokens = tokensOf(20_000);
	const all = {};
	for (const dialect of names) {
		const stream = file(`${dialect}.long`, answerOf(dialect, tokens));
		all[dialect] = await times(ROUNDS, () => program("parse", { dialect, stream, seconds: 1 }));
	}
	for (const dialect of names)
		row(`${dialect}: stream → deltas, JSON and all`, middle(all[dialect], (r) => r.deltasMBs), "MB/s", 500,
			["memchr for its line ends", middle(all[dialect], (r) => r.memchrMBs)], all[dialect], { atLeast: true });
	for (const dialect of names)
		row(`${dialect}: framing alone`, middle(all[dialect], (r) => r.framingMBs), "MB/s", 2000,
			["memchr for its line ends", middle(all[dialect], (r) => r.memchrMBs)], all[dialect], { atLeast: true });
}

function streamArgs(dialect, tokens) {
	const said = tokensOf(tokens);
	return { dialect, stream: file(`${dialect}.stream`, answerOf(dialect, said)), text: file(`${dialect}.text`, said.join("")) };
}

// A token's way from the socket to its delta, each one woken up for; and what waking up and reading costs by itself.
async function tokens() {
	const bare = [];
	for (const dialect of names) {
		const args = { ...streamArgs(dialect, 350), streams: 64, rate: 100, seconds: 2 };
		const all = await times(ROUNDS, async () => ({
			ours: await program("streams", { ...args, how: "ours" }),
			curl: await program("streams", { ...args, how: "curl" }),
			bare: await program("streams", { ...args, how: "bare" }),
		}));
		bare.push(...all);
		row(`${dialect}: processor time per streamed token, transport and dialect`, middle(all, (r) => r.ours.cpuUsPerToken),
			"µs", 10, ["libcurl alone", middle(all, (r) => r.curl.cpuUsPerToken)], all);
	}
	row("of that, being woken up and one recv, which no reader is below", middle(bare, (r) => r.bare.cpuUsPerToken), "µs", null,
		["libcurl alone", middle(bare, (r) => r.curl.cpuUsPerToken)], bare);
}

// A thousand answers at once on one thread.
async function many() {
	const all = [];
	const args = (dialect) => ({ ...streamArgs(dialect, 160), streams: 1000, rate: 20, seconds: 2 });
	for (const dialect of names) all.push({ dialect, ...(await program("streams", args(dialect))) });
	const curl = await program("streams", { ...args(names[0]), how: "curl" });
	const worst = all.reduce((a, b) => (a.bytesEach > b.bytesEach ? a : b));
	row(`memory of each of 1,000 streams, the largest dialect (${worst.dialect})`, worst.bytesEach / 1e3, "KB", 40,
		["libcurl alone", curl.bytesEach / 1e3], all);
	row("1,000 streams at once in each dialect, not whole", all.reduce((n, r) => n + r.streams - r.ended, 0), "streams", 0,
		["tokens compared", all.reduce((n, r) => n + r.tokens, 0)], all);
}

// From a device's stop to the provider, the daemon between them.
const phases = { connecting: "connecting", head: "before the head", first: "before the first token", streaming: "mid-stream" };
async function stop() {
	const tokens = [0, 1, 2].map((i) => `000000000 ${String(i).padStart(5, "0")} `);
	for (const dialect of names) file(dialect, answerOf(dialect, tokens, { end: false }));
	const one = driven("cutoff", { dir, rounds: 100 });
	const { port, silentPort } = await one.result();
	const provider = (name, dialect, url) =>
		`  - name: ${name}\n    dialect: ${dialect}\n    baseUrl: ${url}\n    allowPrivate: true\n    models: [m]\n`;
	const yaml = `providers:\n${names.map((name) => provider(name, name, `http://127.0.0.1:${port}${dialects[name].base}`) +
		provider(`tls-${name}`, name, `https://127.0.0.1:${silentPort}${dialects[name].base}`)).join("")}`;
	await withDaemon(yaml, async (daemon) => {
		const devices = await daemon.devices("stop", 1, 1);
		const run = (dialect, phase) => (one.say(`${daemon.port} ${devices} ${dialect} ${phase}`), one.result());
		const direct = await run(names[0], "direct");
		for (const [phase, title] of Object.entries(phases)) {
			const all = [];
			for (const dialect of names) all.push(await run(dialect, phase));
			const worst = all.reduce((a, b) => (a.closed.p99 > b.closed.p99 ? a : b));
			row(`stop → provider sees the close, ${title}, p99 of the slowest dialect (${worst.dialect})`, worst.closed.p99, "ms", 10,
				["closed by the caller itself, p99", direct.closed.p99], all);
		}
	});
	one.say("end");
	await one.ended;
}

// Who may go next, and who may try again, with ten thousand waiting.
async function limits() {
	const all = await times(ROUNDS, () => program("limits", { waiting: 10_000 }));
	row("limiter's decision, 10,000 waiting", middle(all, (r) => r.decisionNs) / 1e3, "µs", 1,
		["a question to a full account", middle(all, (r) => r.askNs) / 1e3], all);
	row("retry decision, 10,000 waiting", middle(all, (r) => r.retryNs) / 1e3, "µs", 1,
		["its random number alone", middle(all, (r) => r.drawNs) / 1e3], all);
}

await measure("models", { parse, tokens, many, stop, limits });
