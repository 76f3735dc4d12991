// The cases, made by rule rather than by hand. A case is
//
//   name      what it proves
//   send      bytes after the handshake (sent at once), or an async function of the peer
//   chop      send in pieces of so many bytes
//   expect    what must come back, in order: text('…'), binary('…'), pong('…'), closed(code)
//   deflate   offer permessage-deflate, on the server that has it
//
// A case that does not expect to be closed ends with our own close(1000), which must be answered alike.
import {OP, binary, close, deflate, fragments, frame, ping, pong, text} from './ws_wire.mjs';

export const LIMIT = 1 << 20; // the server's frameBytes
const t = (s, packed = false) => ({op: OP.text, data: Buffer.from(s), packed});
const b = (s, packed = false) => ({op: OP.binary, data: Buffer.from(s), packed});
const p = s => ({op: OP.pong, data: Buffer.from(s)});
const closed = code => ({close: code});
const fill = n => Buffer.from('The quick brown fox jumps over the lazy dog; '.repeat(Math.ceil(n / 45)).slice(0, n));
const hex = buf => Buffer.from(buf).toString('hex');

const cases = [];
const add = (name, send, expect, more = {}) => cases.push({name, send, expect, ...more});

// ---- sizes: every form of the length, at its edges, whole and in pieces
for (const n of [0, 1, 2, 124, 125, 126, 127, 128, 1000, 65535, 65536, 65537, LIMIT]) {
	for (const [kind, make, want] of [['text', text, t], ['binary', binary, b]]) {
		const data = fill(n);
		add(`${kind} of ${n} bytes is echoed`, make(data), [want(data)]);
		add(`${kind} of ${n} bytes in pieces is echoed`, make(data), [want(data)], {chop: n < 2000 ? 1 : 9973});
	}
}
for (const mask of [0, 0xffffffff, 0x00ff00ff, 0x01020304, 0x80000000])
	for (const n of [1, 7, 8, 9, 63]) add(`mask ${mask.toString(16)} over ${n} bytes`, text(fill(n), {mask}), [t(fill(n))]);

// ---- pings and pongs
for (const n of [0, 1, 124, 125]) {
	add(`ping of ${n} bytes is answered`, ping(fill(n)), [p(fill(n))]);
	add(`ping of ${n} bytes, byte by byte, is answered`, ping(fill(n)), [p(fill(n))], {chop: 1});
	add(`unasked pong of ${n} bytes is ignored`, Buffer.concat([pong(fill(n)), ping('x')]), [p('x')]);
}
add('ping of 126 bytes is refused', ping(fill(126)), [closed(1002)]);
add('ping that declares 64 KiB is refused at its length', frame(OP.ping, '', {len: 65536}).subarray(0, 2), [closed(1002)]);
const ten = [...Array(10).keys()].map(i => `ping ${i}`);
add('ten pings are answered in order', Buffer.concat(ten.map(s => ping(s))), ten.map(p));
add('ten pings, byte by byte, are answered in order', Buffer.concat(ten.map(s => ping(s))), ten.map(p), {chop: 1});
add('a fragmented ping is refused', ping('x', {fin: false}), [closed(1002)]);
add('a fragmented pong is refused', pong('x', {fin: false}), [closed(1002)]);
add('a fragmented close is refused', close(1000, '', {fin: false}), [closed(1002)]);

// ---- reserved bits and opcodes
for (let rsv = 1; rsv < 8; rsv++)
	for (const [name, op] of [['text', OP.text], ['binary', OP.binary], ['ping', OP.ping], ['pong', OP.pong], ['close', OP.close]]) {
		add(`reserved bits ${rsv} in a ${name} are refused`, frame(op, op === OP.close ? '' : 'x', {rsv}), [closed(1002)]);
		if (rsv !== 4 || op > 2)
			add(`reserved bits ${rsv} in a ${name} are refused with deflate`,
				frame(op, op === OP.close ? '' : 'x', {rsv}), [closed(1002)], {deflate: true});
	}
for (const op of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
	add(`opcode ${op} is refused`, frame(op, ''), [closed(1002)]);
	add(`opcode ${op} is refused at its first byte`, frame(op, 'x'.repeat(200)).subarray(0, 1), [closed(1002)]);
	add(`opcode ${op} after a message is refused`, Buffer.concat([text('first'), frame(op, 'x')]), [t('first'), closed(1002)]);
}

// ---- masks and lengths
add('an unmasked text is refused', text('x', {mask: null}), [closed(1002)]);
add('an unmasked ping is refused', ping('x', {mask: null}), [closed(1002)]);
add('an unmasked frame is refused at its second byte', text(fill(500), {mask: null}).subarray(0, 2), [closed(1002)]);
for (const [n, form] of [[0, 16], [1, 16], [125, 16], [0, 64], [125, 64], [126, 64], [65535, 64]])
	add(`a length of ${n} in ${form} bits is refused`, text(fill(n), {form}), [closed(1002)]);
add('a length of 2^63 is refused', Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), [closed(1002)]);
add('a length of 2^64 - 1 is refused', Buffer.from([0x81, 0xff, ...Array(8).fill(0xff)]), [closed(1002)]);
add('a length of 2^63 - 1 is too big', Buffer.from([0x81, 0xff, 0x7f, ...Array(7).fill(0xff)]), [closed(1009)]);
for (const make of [text, binary])
	add('one byte above the limit is refused before its payload', make('', {len: LIMIT + 1, form: 64}).subarray(0, 10), [closed(1009)]);
add('a fragment that passes the limit is refused before its payload',
	Buffer.concat([text(fill(LIMIT - 10), {fin: false}), frame(OP.cont, '', {len: 11}).subarray(0, 2)]), [closed(1009)]);
add('fragments that reach the limit are echoed',
	fragments(OP.text, [fill(LIMIT - 10), fill(10)]), [t(Buffer.concat([fill(LIMIT - 10), fill(10)]))]);

// ---- fragmentation
const cuts = [[1, 4], [0, 5], [5, 0], [0, 0, 5], [2, 0, 3], [1, 1, 1, 1, 1]];
for (const cut of cuts)
	for (const [kind, op, want] of [['text', OP.text, t], ['binary', OP.binary, b]]) {
		let at = 0;
		const pieces = cut.map(n => 'hello'.slice(at, at += n));
		add(`${kind} in fragments of ${cut} is echoed`, fragments(op, pieces), [want('hello')]);
		add(`${kind} in fragments of ${cut}, byte by byte, is echoed`, fragments(op, pieces), [want('hello')], {chop: 1});
	}
for (const n of [0, 5, 125])
	for (const chop of [0, 1])
		add(`a ping of ${n} bytes between fragments${chop ? ', byte by byte' : ''}, is answered first`,
			Buffer.concat([text('ab', {fin: false}), ping(fill(n)), frame(OP.cont, 'cd', {fin: false}), pong('?'), ping('2'), frame(OP.cont, 'ef')]),
			[p(fill(n)), p('2'), t('abcdef')], {chop});
add('empty fragments make an empty message', fragments(OP.text, ['', '', '']), [t('')]);
add('a continuation without a message is refused', frame(OP.cont, 'x'), [closed(1002)]);
add('an unfinished continuation without a message is refused', frame(OP.cont, 'x', {fin: false}), [closed(1002)]);
add('a continuation after a whole message is refused', Buffer.concat([text('a'), frame(OP.cont, 'b')]), [t('a'), closed(1002)]);
for (const op of [OP.text, OP.binary])
	add(`a new message (${op}) inside another is refused`, Buffer.concat([text('a', {fin: false}), frame(op, 'b')]), [closed(1002)]);
for (let rsv = 1; rsv < 8; rsv++)
	add(`reserved bits ${rsv} in a continuation are refused`,
		Buffer.concat([text('a', {fin: false}), frame(OP.cont, 'b', {rsv})]), [closed(1002)], {deflate: rsv === 4});
add('two messages in one write are echoed in order',
	Buffer.concat([text('one'), binary('two'), text('three')]), [t('one'), b('two'), t('three')]);
add('a thousand one-byte fragments are one message', fragments(OP.text, [...fill(1000)].map(c => Buffer.from([c]))), [t(fill(1000))]);

// ---- UTF-8
const good = ['κόσμε', '\u0000', '\u007f', '\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\uffff', '\ufffd', '\ufeff',
	'\u{10000}', '\u{1f600}', '\u{10ffff}', '\u{1fffe}', 'ä'.repeat(300), '日本語'.repeat(99), 'a\u{1f468}\u200d\u{1f469}b'];
const bad = ['80', 'bf', 'c0', 'c080', 'c1bf', 'c2', 'c220', 'c2c2', 'dfc0', 'e0', 'e080', 'e08080', 'e09fbf', 'e1', 'e180', 'e18020',
	'e2c2a2', 'eda080', 'edafbf', 'edb080', 'edbfbf', 'eda080edb080', 'ef', 'efbf', 'f0', 'f080', 'f0808080', 'f08fbfbf', 'f0908020',
	'f18080', 'f48fbf', 'f4908080', 'f5', 'f5808080', 'f7bfbfbf', 'f8', 'f888808080', 'fc8480808080', 'fe', 'ff', 'fefeffff',
	'cebae1bdb9cf83cebcceb5eda080656469746564'];

// The index of the first byte that no valid text could have there; the length when only the end is missing.
export function firstBad(bytes) {
	let need = 0, lo = 0x80, hi = 0xbf;
	for (let i = 0; i < bytes.length; i++) {
		const c = bytes[i];
		if (need) {
			if (c < lo || c > hi) return i;
			need--;
			[lo, hi] = [0x80, 0xbf];
		} else if (c >= 0x80) {
			if (c < 0xc2 || c > 0xf4) return i;
			need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
			if (c === 0xe0) lo = 0xa0;
			if (c === 0xed) hi = 0x9f;
			if (c === 0xf0) lo = 0x90;
			if (c === 0xf4) hi = 0x8f;
		}
	}
	return bytes.length;
}

for (const s of good) {
	const bytes = Buffer.from(s), name = hex(bytes.subarray(0, 12));
	add(`valid text ${name} is echoed`, text(bytes), [t(bytes)]);
	add(`valid text ${name} in one-byte fragments is echoed`, fragments(OP.text, [...bytes].map(c => Buffer.from([c]))), [t(bytes)]);
	add(`valid text ${name}, byte by byte, is echoed`, text(bytes), [t(bytes)], {chop: 1});
}
for (const h of bad) {
	const bytes = Buffer.concat([Buffer.from('ok'), Buffer.from(h, 'hex')]);
	const at = firstBad(bytes);
	add(`invalid text ${h} is refused`, text(bytes), [closed(1007)]);
	add(`invalid text ${h} in one-byte fragments is refused`, fragments(OP.text, [...bytes].map(c => Buffer.from([c]))), [closed(1007)]);
	add(`invalid text ${h} as binary is echoed`, binary(bytes), [b(bytes)]);
	if (at === bytes.length) continue; // only its end is missing
	// The rest of the frame, of the message, never comes: the bad byte alone must do it.
	add(`invalid text ${h} is refused at its bad byte, mid-frame`,
		text(Buffer.concat([bytes, fill(500)])).subarray(0, 8 + at + 1), [closed(1007)], {failFast: true});
	add(`invalid text ${h} is refused at its bad byte, mid-message`,
		Buffer.concat([text(bytes.subarray(0, at), {fin: false}), ping('still here'), frame(OP.cont, bytes.subarray(at, at + 1), {fin: false})]),
		[p('still here'), closed(1007)], {failFast: true});
}

// ---- closing
for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4001, 4999]) {
	add(`close ${code} is echoed`, close(code), [closed(code)]);
	add(`close ${code} with a reason is echoed`, close(code, 'because'), [closed(code)]);
}
for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535])
	add(`close ${code} is refused`, close(code, 'x'), [closed(1002)]);
add('close without a code is echoed', close(), [closed(1005)]);
add('close of one byte is refused', frame(OP.close, 'x'), [closed(1002)]);
add('close with a reason of 123 bytes is echoed', close(1000, fill(123)), [closed(1000)]);
add('close with a reason of 124 bytes is refused', close(1000, fill(124)), [closed(1002)]);
for (const h of ['80', 'c0', 'e282', 'eda080', 'ff'])
	add(`close with the invalid reason ${h} is refused`, close(1000, Buffer.from(h, 'hex')), [closed(1007)]);
add('close, byte by byte, is echoed', close(1000, 'bye'), [closed(1000)], {chop: 1});
add('close inside a message is echoed', Buffer.concat([text('a', {fin: false}), close(1000)]), [closed(1000)]);
add('what follows a close is ignored', Buffer.concat([close(1000), text('late'), ping('late'), close(1001)]), [closed(1000)]);
add('garbage after a close is ignored', Buffer.concat([close(1000), Buffer.alloc(300, 0xff)]), [closed(1000)]);
add('a message before the close is echoed first', Buffer.concat([text('last'), close(1000)]), [t('last'), closed(1000)]);

// ---- permessage-deflate
const noise = Buffer.from([...Array(4000)].map((_, i) => 33 + (i * i * 7 + i * 13) % 90));
for (const n of [0, 1, 100, 255, 256, 257, 1000, 65535, 65536, LIMIT]) {
	const data = fill(n);
	add(`compressed text of ${n} bytes is echoed`, text(deflate(data), {rsv: 4}), [t(data, n >= 256)], {deflate: true});
	add(`compressed binary of ${n} bytes in pieces is echoed`,
		binary(deflate(data), {rsv: 4}), [b(data, n >= 256)], {deflate: true, chop: 501});
	add(`uncompressed text of ${n} bytes is taken too`, text(data), [t(data, n >= 256)], {deflate: true});
}
add('noise is echoed', text(deflate(noise), {rsv: 4}), [t(noise, true)], {deflate: true});
add('a compressed message in fragments is echoed',
	fragments(OP.text, [...deflate(fill(3000))].map(c => Buffer.from([c])), {rsv: 4}), [t(fill(3000), true)], {deflate: true});
add('a ping inside a compressed message is answered', (() => {
	const d = deflate(fill(900));
	return Buffer.concat([text(d.subarray(0, 9), {rsv: 4, fin: false}), ping('x'), frame(OP.cont, d.subarray(9))]);
})(), [p('x'), t(fill(900), true)], {deflate: true});
add('a message that ends with a final block is echoed',
	text(Buffer.concat([deflate(fill(600), {final: true}), Buffer.from([0])]), {rsv: 4}),
	[t(fill(600), true)], {deflate: true});
add('compressed and plain messages mix', Buffer.concat([text(deflate('one'), {rsv: 4}), text('two'), text(deflate('three'), {rsv: 4})]),
	[t('one'), t('two'), t('three')], {deflate: true});
add('corrupt compressed data is refused', text(Buffer.from('ffffffffffff', 'hex'), {rsv: 4}), [closed(1007)], {deflate: true});
add('cut compressed data is refused',
	text(Buffer.concat([deflate(fill(5000)).subarray(0, 20), Buffer.from([0xff, 0xff])]), {rsv: 4}), [closed(1007)], {deflate: true});
for (const h of ['ff', 'c080', 'eda080', 'e282'])
	add(`compressed invalid text ${h} is refused`, text(deflate(Buffer.from(h, 'hex')), {rsv: 4}), [closed(1007)], {deflate: true});
add('a bomb is refused', text(deflate(Buffer.alloc(64 << 20, 0x61)), {rsv: 4}), [closed(1009)], {deflate: true});
add('one byte above the limit, compressed, is refused', text(deflate(fill(LIMIT + 1)), {rsv: 4}), [closed(1009)], {deflate: true});
add('a reserved bit in a continuation of a compressed message is refused',
	Buffer.concat([text(deflate('a'), {rsv: 4, fin: false}), frame(OP.cont, 'b', {rsv: 4})]), [closed(1002)], {deflate: true});

export {cases};

// ---- offers: header value(s) → whether deflate is on
export const offers = [
	['permessage-deflate', true],
	['PerMessage-Deflate', true],
	['permessage-deflate; client_max_window_bits', true],
	['permessage-deflate; client_max_window_bits=10', true],
	['permessage-deflate; client_max_window_bits="15"', true],
	['permessage-deflate; server_no_context_takeover; client_no_context_takeover', true],
	['permessage-deflate; server_max_window_bits=15', true],
	['permessage-deflate; server_max_window_bits=10', false],
	['permessage-deflate; server_max_window_bits=10, permessage-deflate', true],
	['permessage-deflate; server_max_window_bits', false],
	['permessage-deflate; server_max_window_bits=16', false],
	['permessage-deflate; client_max_window_bits=7', false],
	['permessage-deflate; client_max_window_bits=08', false],
	['permessage-deflate; client_max_window_bits=x', false],
	['permessage-deflate; server_no_context_takeover=1', false],
	['permessage-deflate; server_no_context_takeover; server_no_context_takeover', false],
	['permessage-deflate; unknown', false],
	['permessage-deflate;', false],
	['permessage-deflate-2', false],
	['x-webkit-deflate-frame', false],
	['x-other, permessage-deflate', true],
	['', false],
];

// ---- handshakes: [name, headers, start line, status]
export const handshakes = [
	['a plain one', {}, undefined, 101],
	['a lower-case upgrade', {Upgrade: 'WebSocket', Connection: 'keep-alive, upgrade'}, undefined, 101],
	['no version', {'Sec-WebSocket-Version': null}, undefined, 426],
	['version 8', {'Sec-WebSocket-Version': '8'}, undefined, 426],
	['no Upgrade', {Upgrade: null}, undefined, 426],
	['another Upgrade', {Upgrade: 'h2c'}, undefined, 426],
	['no Connection', {Connection: 'keep-alive'}, undefined, 426],
	['no key', {'Sec-WebSocket-Key': null}, undefined, 400],
	['a short key', {'Sec-WebSocket-Key': 'abcd'}, undefined, 400],
	['a key that is not base64', {'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j!!=='}, undefined, 400],
	['two keys', {'Sec-WebSocket-Key': ['dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZQ==']}, undefined, 400],
	['a POST', {}, 'POST /echo HTTP/1.1', 426],
	['HTTP/1.0', {}, 'GET /echo HTTP/1.0', 426],
	['a body', {'Content-Length': '5'}, undefined, 400],
	['no Host', {Host: null}, undefined, 400],
	['a foreign Host', {Host: 'rebound.example'}, undefined, 421],
	['a foreign Origin', {Origin: 'http://evil.example'}, undefined, 403],
	['the null Origin', {Origin: 'null'}, undefined, 403],
	['another address', {}, 'GET /other HTTP/1.1', 404],
];
