// A WebSocket spoken by hand: frames as bytes, right or wrong, over a plain socket. The reader of the server's frames is
// strict: whatever RFC 6455 forbids a server is an error here.
import net from 'node:net';
import crypto from 'node:crypto';
import zlib from 'node:zlib';

export const OP = {cont: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10};

// One frame. `len` declares another length than the payload has; `form` (7, 16, 64) forces a length's form.
export function frame(op, payload = '', {fin = true, rsv = 0, mask = 0x37fa213d, len, form} = {}) {
	const data = Buffer.from(payload);
	const n = len ?? data.length;
	form ??= n < 126 ? 7 : n < 65536 ? 16 : 64;
	const head = Buffer.alloc(2 + (form === 16 ? 2 : form === 64 ? 8 : 0) + (mask === null ? 0 : 4));
	head[0] = (fin ? 0x80 : 0) | (rsv << 4) | op;
	head[1] = (mask === null ? 0 : 0x80) | (form === 7 ? n : form === 16 ? 126 : 127);
	if (form === 16) head.writeUInt16BE(n, 2);
	if (form === 64) head.writeBigUInt64BE(BigInt(n), 2);
	if (mask === null) return Buffer.concat([head, data]);
	head.writeUInt32BE(mask >>> 0, head.length - 4);
	const masked = Buffer.from(data);
	for (let i = 0; i < masked.length; i++) masked[i] ^= head[head.length - 4 + (i & 3)];
	return Buffer.concat([head, masked]);
}

export const text = (s, o) => frame(OP.text, s, o);
export const binary = (s, o) => frame(OP.binary, s, o);
export const ping = (s, o) => frame(OP.ping, s, o);
export const pong = (s, o) => frame(OP.pong, s, o);
export const close = (code, reason = '', o) => {
	if (code === undefined) return frame(OP.close, '', o);
	const b = Buffer.alloc(2);
	b.writeUInt16BE(code);
	return frame(OP.close, Buffer.concat([b, Buffer.from(reason)]), o);
};

// A message in the given pieces.
export const fragments = (op, pieces, o = {}) =>
	Buffer.concat(pieces.map((p, i) => frame(i ? OP.cont : op, p, {...o, rsv: i ? 0 : o.rsv, fin: i === pieces.length - 1})));

export function deflate(payload, {final = false} = {}) {
	const raw = zlib.deflateRawSync(payload, final ? {} : {finishFlush: zlib.constants.Z_SYNC_FLUSH});
	return final ? raw : raw.subarray(0, raw.length - 4);
}

const inflate = payload => zlib.inflateRawSync(Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]),
	{finishFlush: zlib.constants.Z_SYNC_FLUSH});

export class Peer {
	constructor(port, patience_ms = 5000) {
		this.port = port;
		this.patience_ms = patience_ms; // how long the server may take for anything
		this.got = []; // {op, data, packed} and {close, reason}
		this.in = Buffer.alloc(0);
		this.ended = false;
		this.waiters = [];
	}

	// Sends a handshake and resolves to {status, headers}. `lines` replaces headers by name; null leaves one out.
	async open(lines = {}, start = 'GET /echo HTTP/1.1') {
		this.key = crypto.randomBytes(16).toString('base64');
		const headers = {
			Host: `127.0.0.1:${this.port}`, Upgrade: 'websocket', Connection: 'Upgrade',
			'Sec-WebSocket-Key': this.key, 'Sec-WebSocket-Version': '13', ...lines,
		};
		const all = Object.entries(headers).filter(([, v]) => v !== null)
			.flatMap(([k, v]) => [v].flat().map(x => `${k}: ${x}\r\n`));
		this.socket = net.connect(this.port, '127.0.0.1');
		this.socket.setNoDelay(true);
		this.socket.on('error', e => { this.error = e; this.end(); });
		this.socket.on('data', d => { this.in = Buffer.concat([this.in, d]); this.read(); });
		this.socket.on('end', () => this.end());
		this.socket.on('close', () => this.end());
		this.socket.write(`${start}\r\n${all.join('')}\r\n`);
		await this.until(() => this.head);
		return this.head;
	}

	end() {
		this.ended = true;
		this.wake();
	}

	wake() {
		const w = this.waiters;
		this.waiters = [];
		for (const f of w) f();
	}

	async until(condition) {
		const limit = Date.now() + this.patience_ms;
		while (!condition()) {
			if (this.failure) throw this.failure;
			if (this.ended) throw new Error('the server closed the socket');
			const left = limit - Date.now();
			if (left <= 0) throw new Error('the server did nothing');
			await new Promise(f => {
				this.waiters.push(f);
				setTimeout(f, left).unref();
			});
		}
	}

	read() {
		try {
			if (!this.head) this.readHead();
			if (this.head?.status === 101) while (this.readFrame());
		} catch (e) {
			this.failure = e;
		}
		this.wake();
	}

	readHead() {
		const end = this.in.indexOf('\r\n\r\n');
		if (end < 0) return;
		const [status, ...lines] = this.in.subarray(0, end).toString('latin1').split('\r\n');
		const headers = Object.fromEntries(lines.map(l => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]));
		this.head = {status: Number(status.split(' ')[1]), headers};
		this.in = this.in.subarray(end + 4);
	}

	readFrame() {
		const b = this.in;
		if (b.length < 2) return false;
		const op = b[0] & 15, rsv = b[0] >> 4 & 7, fin = b[0] >> 7;
		let n = b[1] & 127, at = 2;
		if (b[1] & 128) throw new Error('a masked frame from the server');
		if (n === 126) {
			if (b.length < 4) return false;
			n = b.readUInt16BE(2);
			at = 4;
			if (n < 126) throw new Error('a length not in its shortest form');
		} else if (n === 127) {
			if (b.length < 10) return false;
			n = Number(b.readBigUInt64BE(2));
			at = 10;
			if (n < 65536) throw new Error('a length not in its shortest form');
		}
		if (b.length < at + n) return false;
		if (this.closed) throw new Error('a frame after the close frame');
		if (!fin) throw new Error('this server does not fragment');
		if (rsv & 3 || (rsv && op > 2)) throw new Error('reserved bits from the server');
		if (op > 7 && n > 125) throw new Error('a control frame that is too long');
		let data = Buffer.from(b.subarray(at, at + n));
		this.in = b.subarray(at + n);
		if (rsv) data = inflate(data);
		if (op === OP.close) this.closed = {close: n ? data.readUInt16BE(0) : 1005, reason: data.subarray(2).toString()};
		this.got.push(op === OP.close ? this.closed : {op, data, packed: rsv === 4});
		return true;
	}

	// Writes, in pieces of `chop` bytes when given.
	async write(bytes, chop = 0) {
		chop ||= bytes.length;
		for (let i = 0; i < bytes.length && !this.ended; i += chop) {
			this.socket.write(bytes.subarray(i, i + chop));
			await new Promise(setImmediate);
		}
	}

	destroy() {
		this.socket?.destroy();
	}
}
