#!/usr/bin/env node
// How fast, how small: every figure of the spine beside its reference from the same run.
//
//     ./dev bench spine                    all of them; prints the table, writes build/bench/spine.json
//     node bench/spine.mjs acks fanout     some groups only; writes build/bench/spine.part.json
//
// A group measures one thing with one of the C programs beside this file and gives back rows. Where ours and a
// reference compete for the same machine they take turns, and the medians are compared. What each figure means and how
// to read it is in docs/benchmarks.md.

import { cpSync } from "node:fs";
import { Daemon, directory, driven, fakeProvider, median, peer, program, providersYaml, roost, timeToListen, withDaemon }
	from "./gear/house.mjs";
import { measure, middle, row, times } from "./gear/table.mjs";

const ROUNDS = 3;
const MILLION = 1_000_000;

const diskSync = async () => (await program("disk", { dir: directory() })).sync;

async function commitsOf(daemon) {
	const { store } = await daemon.operator("GET", "status");
	return store;
}

// ---- groups ---------------------------------------------------------------------------------------------------------

// Starting with an empty store, and the memory of a daemon that has nothing to do.
async function start() {
	const ours = await program("start", { roost, dir: directory(), fresh: 1, runs: 11 });
	const theirs = await times(ROUNDS, async () => {
		const { server, ms } = await timeToListen(() => peer("ws_forward"));
		await server.stop();
		return ms;
	});
	row("start → ready, empty store", ours.ready.p50, "ms", 50, ["Node ws server listens", median(theirs)], ours);
	row("idle memory, anonymous", ours.anonBytes / 1e6, "MB", 6, ["resident in all", ours.rssBytes / 1e6], ours);
}

// Memory of a connected device that does nothing.
async function idle() {
	const daemon = await Daemon.start(directory());
	const devices = await daemon.devices("idle", 100, 100);
	await daemon.stop();
	const again = await Daemon.start(daemon.dir);
	const ours = await program("idle", { port: again.port, pid: again.pid, devices });
	await again.stop();
	const node = await peer("ws_forward");
	const theirs = await program("idle", { port: node.port, pid: node.pid, devices });
	await node.stop();
	row("memory per connected idle device, 10,000 of them", ours.bytesEach / 1e3, "KB", 5,
		["Node ws server", theirs.bytesEach / 1e3], { ours, theirs });
}

// Durable acks, and SQLite alone with batches of the size the daemon's had.
async function acks() {
	const rounds = await withDaemon("", async (daemon) => {
		const devices = await daemon.devices("acks", 64, 1);
		return times(ROUNDS, async () => {
			const before = await commitsOf(daemon);
			const ours = await program("acks", { port: daemon.port, pid: daemon.pid, devices, seconds: 4 });
			const after = await commitsOf(daemon);
			const batch = Math.round((after.commands - before.commands) / (after.commits - before.commits));
			const bare = await program("bare", { dir: directory(), batch, seconds: 4 });
			return { ours, bare, batch };
		});
	});
	const ours = middle(rounds, (r) => r.ours.perSecond);
	const bare = middle(rounds, (r) => r.bare.perSecond);
	const reference = ["bare SQLite, same tables, statements and batches", bare];
	row("durable acks, 64 users × 32 unacked", ours, "acks/s", 15_000, reference, { rounds }, { atLeast: true });
	row("durable acks, share of bare SQLite", middle(rounds, (r) => r.ours.perSecond / r.bare.perSecond), "×", 0.6,
		["messages per commit", middle(rounds, (r) => r.batch)],
		{ cpuUsPerAck: middle(rounds, (r) => r.ours.cpuUsPerAck) }, { atLeast: true });
}

// Latency at a rate far below the limit; checkpoints happen while it is measured.
async function pace() {
	const rounds = await withDaemon("", async (daemon) => {
		const devices = await daemon.devices("pace", 64, 1);
		return times(ROUNDS, async () => ({
			ours: await program("pace", { port: daemon.port, pid: daemon.pid, devices, seconds: 8 }),
			bare: await program("bare", { dir: directory(), rate: 1000, seconds: 8 }),
		}));
	});
	const bare = middle(rounds, (r) => r.bare.latency.p99);
	const ours = (rank) => middle(rounds, (r) => r.ours.latency[rank]);
	row("ack latency at 1,000/s, p99", ours("p99"), "ms", 2 * bare, ["bare SQLite writer at 1,000/s, p99", bare],
		{ p50: ours("p50"), p999: ours("p999"), cpuUsPerAck: middle(rounds, (r) => r.ours.cpuUsPerAck), rounds });
}

// From one device to all the others of its user.
async function fanout() {
	await withDaemon("", async (daemon) => {
		const node = await peer("ws_forward");
		for (const [receivers, bar, n] of [[10, 4, 300], [100, 6, 300], [1000, 25, 150]]) {
			const devices = await daemon.devices(`fan${receivers}.`, 1, receivers + 1);
			const all = await times(ROUNDS, async () => ({
				ours: await program("fanout", { port: daemon.port, pid: daemon.pid, devices, rounds: n }),
				theirs: await program("fanout", { port: node.port, pid: node.pid, devices, rounds: n }),
			}));
			row(`send → received by the last of ${receivers.toLocaleString("en")} devices, p99`,
				middle(all, (r) => r.ours.last.p99), "ms", bar,
				["Node ws server, forwards from memory", middle(all, (r) => r.theirs.last.p99)],
				{ p50: middle(all, (r) => r.ours.last.p50), p50Reference: middle(all, (r) => r.theirs.last.p50),
					cpuUsPerReceiver: middle(all, (r) => r.ours.cpuUsPerReceiver), all });
		}
		await node.stop();
	});
}

async function withProvider(run) {
	const provider = await fakeProvider();
	try {
		return await withDaemon(providersYaml(provider), (daemon) => run(daemon, provider));
	} finally {
		await provider.stop();
	}
}

// 64 answers as fast as the bar asks and a quarter faster.
async function tokens() {
	await withProvider(async (daemon) => {
		const devices = await daemon.devices("tokens", 64, 1);
		const all = await times(ROUNDS, () => program("tokens", { port: daemon.port, pid: daemon.pid, devices, answers: 64,
			model: "fake:n2800-r400", seconds: 5 }));
		const sync = await diskSync();
		row("tokens made durable before they are shown, 64 answers", middle(all, (r) => r.perSecond), "tokens/s", 20_000,
			["written by the provider", 64 * 400], { cpuUsPerToken: middle(all, (r) => r.cpuUsPerToken), all },
			{ atLeast: true });
		row("added per token, 64 answers, p99", middle(all, (r) => r.latency.p99), "ms", 15,
			["this disk's fdatasync, p99", sync.p99], { p50: middle(all, (r) => r.latency.p50) });
	});
}

// The commits that stand between a person's send and the first token on the screen, counted by the daemon itself.
async function commitsOnPath(daemon, args) {
	const one = driven("first", { ...args, step: 1 });
	await one.hear("ready");
	const before = await commitsOf(daemon);
	one.say("ask");
	await one.hear("first");
	const after = await commitsOf(daemon);
	one.say("leave");
	if ((await one.ended) !== 0) throw new Error("bench_first did not end well");
	return after.commits - before.commits;
}

async function first() {
	await withProvider(async (daemon, provider) => {
		const args = { port: daemon.port, devices: await daemon.devices("first", 1, 1), "provider-port": provider.port };
		const all = await times(ROUNDS, async () => ({ sync: await diskSync(), ours: await program("first", args) }));
		const commits = median(await times(5, () => commitsOnPath(daemon, args)));
		const sync = middle(all, (r) => r.sync.p50);
		const direct = middle(all, (r) => r.ours.direct.p50);
		row("first token added by the relay, p50", middle(all, (r) => r.ours.relayed.p50 - r.ours.direct.p50), "ms",
			Math.min(commits, 2) * sync + 0.4, ["straight from the provider, p50", direct],
			{ relayed: middle(all, (r) => r.ours.relayed.p50), syncP50: sync, all });
		row("commits between send and first token", commits, "commits", 2, ["this disk's fdatasync, p50, ms", sync]);
	});
}

// A thousand answers at reading speed.
async function streams() {
	await withProvider(async (daemon) => {
		const devices = await daemon.devices("streams", 100, 1);
		const idleBytes = (await program("start", { roost, dir: directory(), fresh: 1, runs: 1 })).anonBytes;
		const run = await program("tokens", { port: daemon.port, pid: daemon.pid, devices, answers: 1000,
			model: "fake:n240-r20", seconds: 8 });
		const sync = await diskSync();
		row("1,000 answers at 20 tokens/s, gaps or reorders", 0, "", 0, ["tokens checked", 240_000], run);
		row("1,000 answers at 20 tokens/s, added per token, p99", run.latency.p99, "ms", 25,
			["this disk's fdatasync, p99", sync.p99],
			{ p50: run.latency.p50, perSecond: run.perSecond, cpuUsPerToken: run.cpuUsPerToken });
		row("1,000 answers at 20 tokens/s, anonymous memory", run.anonBytes / 1e6, "MB", 60,
			["the same daemon with nothing to do", idleBytes / 1e6]);
	});
}

// Stop in every phase.
async function stop() {
	await withProvider(async (daemon, provider) => {
		const args = { port: daemon.port, pid: daemon.pid, devices: await daemon.devices("stop", 1, 1),
			"provider-port": provider.port, "deaf-port": provider.deafPort };
		const direct = await program("stop", { ...args, phase: "direct", rounds: 100 });
		for (const [phase, what] of [["connecting", "connecting"], ["waiting", "before the first token"],
			["streaming", "mid-stream"]]) {
			const ours = await program("stop", { ...args, phase, rounds: 100 });
			row(`stop → provider sees the close, ${what}, p99`, ours.closed.p99, "ms", 10,
				["closed by the caller itself, p99", direct.closed.p99], ours);
		}
		let late = 0;
		for (const phase of ["queued", "backoff"]) late += (await program("stop", { ...args, phase, rounds: 20 })).late;
		row("stop while queued or backing off, provider calls after it", late, "calls", 0, ["requests stopped", 40]);
	});
}

// What message 1,000,000 of a zone costs, and what a daemon takes to start on such a store.
async function growth() {
	let small = await Daemon.start(directory());
	const devices = await small.devices("growth", 1, 1);
	await program("acks", { port: small.port, devices, messages: 1000 - 1 });
	await small.stop();
	const big = directory();
	cpSync(small.dir, big, { recursive: true, filter: (path) => !path.endsWith(".sock") });
	let large = await Daemon.start(big);
	await program("acks", { port: large.port, devices, messages: MILLION - 1000, unacked: 1024, conversations: 200 });
	await large.stop();
	const ready = await program("start", { roost, dir: big, runs: 5 });
	const empty = await program("start", { roost, dir: directory(), fresh: 1, runs: 5 });
	row("start → ready, 1,000,000 messages", ready.ready.p50 / 1e3, "s", 1,
		["the same with an empty store", empty.ready.p50 / 1e3], ready);

	small = await Daemon.start(small.dir);
	large = await Daemon.start(big);
	const all = await times(8, async () => {
		const cost = async (daemon) => {
			const run = await program("acks", { port: daemon.port, pid: daemon.pid, devices, messages: 3000 });
			return { us: 1e6 / run.perSecond, cpuUs: run.cpuUsPerAck };
		};
		return { small: await cost(small), large: await cost(large) };
	});
	await small.stop();
	await large.stop();
	all.shift(); // caches are cold in the first
	const cost = (get) => middle(all, (r) => get(r.large)) / middle(all, (r) => get(r.small));
	row("cost of message 1,000,000 in a zone, as multiple of message 1,000", cost((c) => c.us), "×", 1.3,
		["message 1,000, µs", middle(all, (r) => r.small.us)], { cpu: cost((c) => c.cpuUs), all });
}

await measure("spine", { start, idle, acks, pace, fanout, tokens, first, streams, stop, growth });
