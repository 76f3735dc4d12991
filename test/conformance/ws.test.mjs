// RFC 6455 and RFC 7692 against the daemon's own HTTP server and frame layer (echo_server, see there).
//
// Every case of ws_cases.mjs on a connection of its own; then what cases cannot say: memory of a flood, pings to a peer
// that does not read, and the control: a server with a planted fault must turn the fail-fast cases red.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {after, before, describe, test} from 'node:test';
import {cases, handshakes, offers, LIMIT} from './ws_cases.mjs';
import {OP, Peer, close, frame, ping, text} from './ws_wire.mjs';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');
const places = process.env.ROOST_BIN ? [path.dirname(process.env.ROOST_BIN)]
	: ['release', 'debug', 'plain'].map(p => path.join(root, 'build', p, 'bin'));
const program = places.map(p => path.join(p, 'echo_server')).find(p => fs.existsSync(p));

async function start(...args) {
	assert.ok(program, `no echo_server in ${places}`);
	// Where the sanitizer is in, it must not keep what was freed: memory is measured here.
	const env = {...process.env, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=1`};
	const child = spawn(program, args, {stdio: ['pipe', 'pipe', 'inherit'], env});
	const port = await new Promise((ok, no) => {
		child.stdout.once('data', d => ok(Number(d)));
		child.once('exit', c => no(new Error(`echo_server ended with ${c}`)));
	});
	const stop = () => new Promise(f => {
		child.once('exit', (code, signal) => f(signal ?? code));
		child.stdin.end();
	});
	const stats = async () => (await fetch(`http://127.0.0.1:${port}/stats`)).json();
	return {port, stop, stats, pid: child.pid};
}

// A server for one test.
const withServer = (args, f) => async () => {
	const server = await start(...args);
	try {
		await f(server);
	} finally {
		assert.equal(await server.stop(), 0);
	}
};

async function run(c, port, patience_ms = 5000) {
	const peer = new Peer(port, patience_ms);
	try {
		const head = await peer.open(c.deflate ? {'Sec-WebSocket-Extensions': 'permessage-deflate'} : {});
		assert.equal(head.status, 101);
		assert.equal(head.headers['sec-websocket-extensions'] !== undefined, !!c.deflate);
		await peer.write(c.send, c.chop);
		const isClosed = c.expect.at(-1)?.close !== undefined;
		await peer.until(() => peer.got.length >= c.expect.length);
		if (!isClosed) await peer.write(close(1000));
		const want = isClosed ? c.expect : [...c.expect, {close: 1000}];
		await peer.until(() => peer.closed);
		await peer.until(() => peer.ended).catch(() => {});
		assert.ok(peer.ended, 'the server ends the connection after the close');
		assert.equal(peer.failure, undefined);
		assert.equal(peer.got.length, want.length);
		want.forEach((w, i) => {
			const g = peer.got[i];
			if (w.close !== undefined) {
				assert.equal(g.close, w.close);
			} else {
				assert.equal(g.op, w.op);
				assert.ok(w.data.equals(g.data), 'other data');
				if (w.packed !== undefined) assert.equal(g.packed, c.deflate ? w.packed : false);
			}
		});
	} finally {
		peer.destroy();
	}
}

describe('WebSocket conformance', {concurrency: 8}, () => {
	let plain, packed;
	before(async () => { [plain, packed] = await Promise.all([start(), start('--deflate')]); });
	after(async () => {
		assert.deepEqual(await Promise.all([plain.stats(), packed.stats()]), [{unfinishedBytes: 0}, {unfinishedBytes: 0}]);
		assert.deepEqual(await Promise.all([plain.stop(), packed.stop()]), [0, 0]);
	});

	test('there are at least 250 cases', () => assert.ok(cases.length >= 250, `${cases.length}`));
	for (const c of cases) test(c.name, () => run(c, (c.deflate ? packed : plain).port));

	for (const [offer, isOn] of offers)
		test(`the offer "${offer}" is ${isOn ? 'taken' : 'declined'}`, async () => {
			const peer = new Peer(packed.port);
			const head = await peer.open({'Sec-WebSocket-Extensions': offer});
			peer.destroy();
			assert.equal(head.status, 101);
			assert.equal(head.headers['sec-websocket-extensions'],
				isOn ? 'permessage-deflate; server_no_context_takeover; client_no_context_takeover' : undefined);
		});

	for (const [name, headers, line, status] of handshakes)
		test(`a handshake with ${name} is answered with ${status}`, async () => {
			const peer = new Peer(plain.port);
			const head = await peer.open(headers, line);
			peer.destroy();
			assert.equal(head.status, status);
			if (status !== 101) return;
			const sum = crypto.createHash('sha1').update(peer.key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
			assert.equal(head.headers['sec-websocket-accept'], sum);
		});
});

describe('WebSocket floods', () => {
	test('one-byte fragments cost at most 1.25 times their bytes', withServer([], async server => {
		const peer = new Peer(server.port);
		await peer.open();
		const n = 200000;
		const first = text('a', {fin: false}), next = frame(OP.cont, 'a', {fin: false});
		await peer.write(Buffer.concat([first, ...Array(n - 1).fill(next)]));
		await peer.write(ping('all there?'));
		await peer.until(() => peer.got.length > 0);
		const {unfinishedBytes} = await server.stats();
		assert.ok(unfinishedBytes >= n && unfinishedBytes <= 1.25 * n, `${unfinishedBytes} bytes for ${n}`);
		await peer.write(frame(OP.cont, 'b'));
		await peer.until(() => peer.got.length > 1);
		assert.equal(peer.got[1].data.length, n + 1);
		assert.equal((await server.stats()).unfinishedBytes, 0);
		peer.destroy();
	}));

	test('unfinished messages of all connections together have a limit', withServer(['--unfinished', String(3 << 20)], async server => {
		const peers = await Promise.all([...Array(6)].map(async () => {
			const peer = new Peer(server.port);
			await peer.open();
			await peer.write(text(Buffer.alloc(LIMIT - 100, 0x61), {fin: false}));
			await peer.write(ping(''));
			await peer.until(() => peer.got.length > 0);
			return peer;
		}));
		assert.ok((await server.stats()).unfinishedBytes <= 3 << 20);
		const refused = peers.filter(p => p.got[0].close !== undefined);
		assert.ok(refused.length >= 3 && refused.every(p => p.got[0].close === 1013));
		peers.forEach(p => p.destroy());
	}));

	test('a flood of pings from a peer that does not read costs little memory', withServer([], async server => {
		const peer = new Peer(server.port);
		await peer.open();
		const before = rss(server.pid);
		peer.socket.pause();
		const burst = Buffer.concat(Array(20000).fill(ping('0123456789'.repeat(12))));
		for (let i = 0; i < 20; i++) peer.socket.write(burst);
		while (peer.socket.writableLength > 0) await new Promise(f => setTimeout(f, 20));
		assert.ok(rss(server.pid) - before < 8 << 20, `${before} → ${rss(server.pid)}`);
		peer.destroy();
	}));
});

function rss(pid) {
	return Number(/RssAnon:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) << 10;
}

test('control: a server that checks text late turns the fail-fast cases red', withServer(['--late-utf8'], async server => {
	const fast = cases.filter(c => c.failFast);
	assert.ok(fast.length >= 40);
	const results = await Promise.allSettled(fast.map(c => run(c, server.port, 500)));
	assert.equal(results.filter(r => r.status === 'fulfilled').length, 0);
	const rest = cases.filter(c => !c.failFast && !c.deflate && /invalid text/.test(c.name));
	await Promise.all(rest.map(c => run(c, server.port)));
}));
