#!/usr/bin/env node
// Devices in step: how soon they know of each other, what is refused, what a crowd costs.
//
//     ./dev bench sync                     all of them; prints the table, writes build/bench/sync.json
//     node bench/sync.mjs live lead        some groups only; writes build/bench/sync.part.json
//
// The programs are in C beside this file. What each figure means and how to read it is in docs/benchmarks.md.

import { Daemon, badLink, directory, driven, peer, program, simulate, withDaemon } from "./gear/house.mjs";
import { measure, middle, row, times } from "./gear/table.mjs";

const ROUNDS = 3;
const HEARTBEAT_MS = 1000; // in the rounds that wait for it; the default is measured once
const heartbeat = (ms) => `limits:\n  heartbeatMs: ${ms}\n`;

// A message on one device, visible on nine others.
async function live() {
	await withDaemon("", async (daemon) => {
		const node = await peer("ws_forward");
		const devices = await daemon.devices("live", 1, 10);
		const all = await times(ROUNDS, async () => ({
			ours: await program("fanout", { port: daemon.port, pid: daemon.pid, devices, rounds: 300 }),
			theirs: await program("fanout", { port: node.port, pid: node.pid, devices, rounds: 300 }),
		}));
		await node.stop();
		row("message on one device → visible on 9 others, p99", middle(all, (r) => r.ours.last.p99), "ms", 10,
			["Node ws server, forwards from memory", middle(all, (r) => r.theirs.last.p99)],
			{ p50: middle(all, (r) => r.ours.last.p50), all });
	});
}

// The same over a bad link: 200 ms late, stalls of a second, resets.
async function link() {
	await withDaemon("", async (daemon) => {
		const proxy = await badLink(daemon.port);
		const devices = await daemon.devices("link", 1, 10);
		const ours = await program("link", { port: daemon.port, "proxy-port": proxy.port, devices, seconds: 60 });
		await proxy.stop();
		row("the same over a bad link (200 ms, stalls of 1 s, resets), p99", ours.seen.p99, "ms", 2000,
			["the link's own delay", 200], ours);
		row("messages lost or repeated over the bad link", ours.lost + ours.repeated, "messages", 0,
			["reconnects", ours.reconnects], ours);
	});
}

// Who drives: handed over, lost, frozen.
async function lead() {
	await withDaemon(heartbeat(HEARTBEAT_MS), async (daemon) => {
		const devices = await daemon.devices("lead", 1, 3);
		const run = (how, rounds) => program("lead", { port: daemon.port, devices, how, rounds });
		const sync = (await program("disk", { dir: directory() })).sync;
		const transfer = await run("transfer", 300), lost = await run("lost", 200), silent = await run("silent", 8);
		row("manual transfer, asked → both know, p99", transfer.known.p99, "ms", 20, ["this disk's fdatasync, p99", sync.p99],
			transfer);
		row("primary's socket lost → next primary knows, p99", lost.known.p99, "ms", 50,
			["this disk's fdatasync, p99", sync.p99], lost);
		row(`silent death → next primary knows, heartbeat ${HEARTBEAT_MS} ms, longest`, silent.known.max, "ms",
			HEARTBEAT_MS + 1000, ["heartbeat, ms", HEARTBEAT_MS], silent);
	});
	await withDaemon("", async (daemon) => {
		const silent = await program("lead", { port: daemon.port, devices: await daemon.devices("silent", 1, 3),
			how: "silent", rounds: 3 });
		row("silent death → next primary knows, as configured by default, longest", silent.known.max, "ms", 5000,
			["heartbeat, ms", 4000], silent);
	});
}

// A hundred devices say the same at the same moment.
async function twins() {
	await withDaemon("", async (daemon) => {
		const ours = await program("twins", { port: daemon.port, devices: await daemon.devices("twins", 1, 100),
			rounds: 10_000 });
		const each = ours.devices - 1;
		row("duplicates rejected, 100 devices, same text, 10,000 rounds", 100 * (1 - ours.missed / (each * ours.rounds)), "%",
			100, ["messages judged per second", ours.perSecond], ours, { atLeast: true });
		row("messages taken for duplicates wrongly", ours.wrong, "messages", 0, ["rounds", ours.rounds], ours);
	});
}

// What the check itself costs: in memory, and against the ids of a large store.
async function duplicates() {
	const ours = await program("duplicates", { dir: directory(), ids: 10_000_000 });
	row("duplicate checks per second, warm", ours.warmPerSecond, "checks/s", 300_000,
		["SHA-256 of the same texts alone", ours.shaPerSecond], ours, { atLeast: true });
	row("message ids looked up per second among 10 M, warm", ours.idsWarmPerSecond, "ids/s", null,
		["cold", ours.idsColdPerSecond], ours);
	row("memory held by the duplicate check at 10 M ids", ours.heldBytes / 1e6, "MB", 64,
		["store on disk, MB", ours.storeBytes / 1e6], ours);
}

// Edits on many devices, offline, killed, cut off: the simulator, which sees every byte a person typed.
async function converge() {
	const ours = await simulate(100_000);
	row("operations of which every device converged", 100 * ours.converged / ours.seeds, "%", 100,
		["operations", ours.operations], ours, { atLeast: true });
	row("bytes typed by a person that were lost in conflicts", ours.lostBytes, "bytes", 0, ["bytes typed", ours.typedBytes],
		ours);
}

// A thousand devices of one user in one session.
async function crowd() {
	await withDaemon("", async (daemon) => {
		const node = await peer("ws_forward");
		const devices = await daemon.devices("crowd", 1, 1000);
		const ours = await program("crowd", { port: daemon.port, devices });
		const theirs = await program("fanout", { port: node.port, pid: node.pid, devices, rounds: 100 });
		await node.stop();
		row("join of a session with up to 1,000 devices, p99", ours.join.p99, "ms", 20, ["p50", ours.join.p50], ours);
		row("message → the last of 1,000 joined devices, p99", ours.last.p99, "ms", 25,
			["Node ws server, forwards from memory", theirs.last.p99], ours);
	});
}

// Everybody comes back at once.
async function herd() {
	const dir = directory();
	let daemon = await Daemon.start(dir);
	const devices = await daemon.devices("herd", 50, 101);
	const one = driven("herd", { port: daemon.port, devices, missed: 20 });
	await one.hear("ready");
	await daemon.stop();
	daemon = await Daemon.start(dir);
	one.say(daemon.port);
	const ours = await one.result();
	await daemon.stop();
	row("5,000 devices back after a restart → all caught up", ours.seconds, "s", 5,
		["messages each had missed", 20], ours);
	row("messages repeated to them", ours.repeated, "messages", 0, ["messages they were owed", ours.devices * 20], ours);
}

await measure("sync", { live, link, lead, twins, duplicates, converge, crowd, herd });
