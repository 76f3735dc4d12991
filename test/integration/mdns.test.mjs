// Being found on the local network: a network of its own (a namespace with one pair of virtual cards), a D-Bus and an Avahi
// in it, and the daemon. Where the machine cannot make one, the tests say so and are skipped.

import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { Daemon, program, scratch, until } from "../lib/roost.mjs";

const run = promisify(execFile);
const works = (command, ...args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;

const NETWORK = `
	mount -t tmpfs tmpfs /run && mkdir -p /run/avahi-daemon &&
	ip link set lo up && ip link add va type veth peer name vb &&
	ip addr add 10.99.0.1/24 dev va && ip link set va up && ip link set vb up`;
const reason = !works("unshare", "-nm", "--propagation", "private", "sh", "-c", NETWORK)
	? "this machine (or user) cannot make a network of its own: unshare, ip, veth"
	: !works("dbus-daemon", "--version") || !works("avahi-daemon", "--version")
		? "dbus-daemon or avahi-daemon is not installed"
		: false;

const BUS = (dir) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
	<type>session</type>
	<listen>unix:path=${dir}/bus</listen>
	<auth>EXTERNAL</auth>
	<policy context="default">
		<allow user="*"/><allow own="*"/><allow eavesdrop="true"/><allow send_destination="*" eavesdrop="true"/>
	</policy>
</busconfig>
`;
const AVAHI = "[server]\nhost-name=nest\nuse-ipv6=no\nenable-dbus=yes\n[publish]\npublish-workstation=no\n";

describe("on a network of its own", { skip: reason }, () => {
	let dir, holder, inside, bus, avahi, daemon;
	const startAvahi = () => {
		const options = ["-f", `${dir}/avahi.conf`, "--no-drop-root", "--no-chroot", "--no-rlimits"];
		avahi = spawn(inside[0], [...inside.slice(1), "avahi-daemon", ...options], { stdio: "ignore" });
	};
	const end = async (child) => {
		if (!child || child.exitCode !== null || child.signalCode !== null) return;
		const gone = new Promise((done) => child.once("exit", done));
		child.kill();
		await gone;
	};
	// Through the daemon's own command line, in that network: {code, stdout, stderr}.
	const discover = async (...args) => {
		try {
			const { stdout, stderr } = await run(inside[0], [...inside.slice(1), program, "discover", ...args], { env });
			return { code: 0, stdout, stderr };
		} catch ({ code, stdout, stderr }) {
			return { code, stdout, stderr };
		}
	};
	const found = async () => {
		const { stdout } = await discover("--json", "--timeout", "800");
		return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
	};
	const events = async (type) => {
		const text = await readFile(join(daemon.data, "journal/current.jsonl"), "utf8");
		return text.split("\n").filter(Boolean).map((line) => JSON.parse(line)).filter(({ event }) => event === type);
	};
	const start = (config, listen = "10.99.0.1:0") =>
		Daemon.start({ wrap: inside, env, config: `trustProxy: true\n${config}`, args: ["--listen", listen] });
	let env;

	before(async () => {
		dir = await scratch("mdns");
		env = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${dir}/bus` };
		await writeFile(`${dir}/bus.conf`, BUS(dir));
		await writeFile(`${dir}/avahi.conf`, AVAHI);
		const script = `${NETWORK} && echo ready && exec sleep 600`;
		holder = spawn("unshare", ["-nm", "--propagation", "private", "sh", "-c", script], { stdio: ["ignore", "pipe", "ignore"] });
		await new Promise((done) => holder.stdout.once("data", done));
		inside = ["nsenter", "-t", String(holder.pid), "-n", "-m", "--", "env", `DBUS_SYSTEM_BUS_ADDRESS=unix:path=${dir}/bus`];
		const options = [`--config-file=${dir}/bus.conf`, "--nofork", "--nopidfile"];
		bus = spawn(inside[0], [...inside.slice(1), "dbus-daemon", ...options], { stdio: "ignore" });
		await until(() => existsSync(`${dir}/bus`), "the bus");
		startAvahi();
		await until(async () => (await discover("--timeout", "1")).code === 0, "Avahi", 20_000);
	});
	after(async () => {
		await daemon?.remove();
		for (const child of [avahi, bus, holder]) await end(child);
		await rm(dir, { recursive: true, force: true });
	});

	test("a daemon beyond loopback is found, with what a device must know of it, until it ends", async () => {
		daemon = await start("");
		await until(async () => (await events("mdns.published")).length > 0, "it to be published", 15_000);
		const list = await until(async () => ((await found()).length > 0 ? found() : undefined), "it to be found", 15_000);
		const one = list.find(({ address }) => address === "10.99.0.1");
		assert.ok(one, JSON.stringify(list));
		const version = (await readFile(new URL("../../VERSION", import.meta.url), "utf8")).trim();
		const [{ port }] = await events("mdns.published");
		assert.deepEqual(one, {
			name: "Roost on nest",
			url: `http://10.99.0.1:${port}`,
			host: "nest.local",
			address: "10.99.0.1",
			port,
			tls: false,
			version,
			protocol: 1,
			path: "/api/v1",
		});
		const { code, stdout } = await discover("--timeout", "800");
		assert.equal(code, 0);
		assert.match(stdout, new RegExp(`^http://10\\.99\\.0\\.1:${port}  Roost on nest  `, "m"));
	});

	test("Avahi may end and come back; that it was gone is told once", async () => {
		await end(avahi);
		await until(async () => (await events("mdns.unavailable")).length > 0, "its end to be noticed", 15_000);
		const answer = await discover("--timeout", "300");
		assert.equal(answer.code, 69);
		assert.match(answer.stderr, /Avahi/);
		startAvahi();
		await until(async () => (await events("mdns.published")).length === 2, "it to be published again", 30_000);
		assert.equal((await events("mdns.unavailable")).length, 1);
		assert.ok((await found()).length > 0);
	});

	test("a daemon that ends is not found any more", async () => {
		await daemon.stop();
		await until(async () => (await found()).length === 0, "it to be gone", 15_000);
		const { code, stderr } = await discover("--timeout", "300");
		assert.equal(code, 0);
		assert.match(stderr, /no daemon shows itself/);
		await daemon.remove();
	});

	for (const [what, config, listen] of [
		["with mdns: false is not shown", "mdns: false\n", "10.99.0.1:0"],
		["on loopback is not shown", "", "127.0.0.2:0"],
	])
		test(`a daemon ${what}`, async () => {
			daemon = await start(config, listen);
			assert.deepEqual(await found(), []);
			assert.deepEqual(await events("mdns.published"), []);
			assert.deepEqual(await events("mdns.unavailable"), []);
			await daemon.remove();
		});
});

test("discover refuses a time that is none", async () => {
	for (const bad of ["0", "soon", "60001"])
		await assert.rejects(run(program, ["discover", "--timeout", bad]), (error) => error.code === 64 && /--timeout/.test(error.stderr));
});
