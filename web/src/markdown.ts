/* The markdown a model writes, as a tree. Screens turn the tree into nodes; no HTML is ever made from it.
 *
 * Known: paragraphs, headings, rules, fenced code, lists, quotes, tables; code spans, bold, italic, strike-through,
 * links and bare addresses (http and https only). Everything else, HTML included, is text. An image becomes a link, so
 * that nothing in an answer makes the browser load anything.
 *
 * Any input is answered in near-linear time: nesting is bounded (BLOCK_DEPTH, INLINE_DEPTH; deeper markers are text),
 * code spans remember which closing run does not exist, and no expression used here can backtrack over a line twice.
 * A text that is still arriving is a valid text: an open fence runs to the end. */

export type Inline =
	| string
	| { kind: "code"; text: string }
	| { kind: "break" }
	| { kind: "strong" | "em" | "del"; children: Inline[] }
	| { kind: "link"; href: string; children: Inline[] };

export type Block =
	| { kind: "paragraph"; text: string }
	| { kind: "heading"; level: number; text: string }
	| { kind: "code"; lang: string; text: string }
	| { kind: "quote"; children: Block[] }
	| { kind: "list"; start: number | null; items: Block[][] }
	| { kind: "table"; head: string[]; rows: string[][] }
	| { kind: "rule" };

const BLOCK_DEPTH = 8;
const INLINE_DEPTH = 8;
const HREF_CHARS = 4096;

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const TABLE_LINE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

function indentOf(line: string): number {
	let n = 0;
	while (line[n] === " ") n++;
	return n;
}

function isBlank(line: string): boolean {
	return line.trim() === "";
}

/* Whether a line ends a paragraph before it. */
function startsBlock(line: string): boolean {
	return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

/* A block and the source it was made from; equal sources make equal blocks. */
export interface Piece {
	source: string;
	block: Block;
}

export function parse(text: string): Piece[] {
	const lines = text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n");
	return new Parser(lines, 0).pieces();
}

class Parser {
	#at = 0;
	#lines: string[];
	#depth: number;

	constructor(lines: string[], depth: number) {
		this.#lines = lines;
		this.#depth = depth;
	}

	pieces(): Piece[] {
		const pieces: Piece[] = [];
		while (this.#at < this.#lines.length) {
			if (isBlank(this.#lines[this.#at]!)) {
				this.#at++;
				continue;
			}
			const from = this.#at;
			const block = this.#block();
			pieces.push({ source: this.#lines.slice(from, this.#at).join("\n"), block });
		}
		return pieces;
	}

	#inner(lines: string[]): Block[] {
		return new Parser(lines, this.#depth + 1).pieces().map((piece) => piece.block);
	}

	#block(): Block {
		const line = this.#lines[this.#at]!;
		const fence = FENCE.exec(line);
		if (fence) return this.#code(fence[1]!, fence[2]!, indentOf(line));
		const heading = HEADING.exec(line);
		if (heading) {
			this.#at++;
			return { kind: "heading", level: heading[1]!.length, text: heading[2]!.trim() };
		}
		if (RULE.test(line)) {
			this.#at++;
			return { kind: "rule" };
		}
		if (this.#depth < BLOCK_DEPTH) {
			if (QUOTE.test(line)) return this.#quote();
			if (ITEM.test(line)) return this.#list();
		}
		const next = this.#lines[this.#at + 1];
		if (line.includes("|") && next !== undefined && next.includes("|") && TABLE_LINE.test(next))
			return this.#table();
		return this.#paragraph();
	}

	#code(fence: string, lang: string, indent: number): Block {
		const body: string[] = [];
		for (this.#at++; this.#at < this.#lines.length; this.#at++) {
			const line = this.#lines[this.#at]!;
			const trimmed = line.trim();
			if (trimmed.length >= fence.length && trimmed === fence[0]!.repeat(trimmed.length)) {
				this.#at++;
				break;
			}
			body.push(line.slice(Math.min(indent, indentOf(line))));
		}
		return { kind: "code", lang, text: body.join("\n") };
	}

	#quote(): Block {
		const body: string[] = [];
		for (; this.#at < this.#lines.length && QUOTE.test(this.#lines[this.#at]!); this.#at++) {
			body.push(this.#lines[this.#at]!.replace(QUOTE, ""));
		}
		return { kind: "quote", children: this.#inner(body) };
	}

	/* An item's lines are its first, every deeper line after it, and plain lines that go on with its paragraph. */
	#list(): Block {
		const first = ITEM.exec(this.#lines[this.#at]!)!;
		const indent = first[1]!.length;
		const isOrdered = /\d/.test(first[2]!);
		const items: string[][] = [];
		while (this.#at < this.#lines.length) {
			const line = this.#lines[this.#at]!;
			const item = ITEM.exec(line);
			const inside = indentOf(line) > indent;
			if (isBlank(line)) {
				if (!this.#continuesList(indent, isOrdered)) break;
				items[items.length - 1]!.push("");
			} else if (inside && items.length > 0) {
				items[items.length - 1]!.push(line.slice(Math.min(indentOf(line), this.#content(items, first))));
			} else if (item && /\d/.test(item[2]!) === isOrdered && !RULE.test(line)) {
				items.push([line.slice(item[0].length)]);
			} else if (
				startsBlock(line) ||
				this.#lines[this.#at - 1] === undefined ||
				isBlank(this.#lines[this.#at - 1]!)
			) {
				break;
			} else {
				items[items.length - 1]!.push(line);
			}
			this.#at++;
		}
		const start = isOrdered ? parseInt(first[2]!, 10) : null;
		return { kind: "list", start, items: items.map((body) => this.#inner(body)) };
	}

	/* How far an item's text stands in; deeper lines lose at most this much. */
	#content(items: string[][], first: RegExpExecArray): number {
		return items.length > 0 ? first[0].trimEnd().length + 1 : first[0].length;
	}

	/* At a blank line: whether the next line with text still belongs to the list. */
	#continuesList(indent: number, isOrdered: boolean): boolean {
		let next = this.#at;
		while (next < this.#lines.length && isBlank(this.#lines[next]!)) next++;
		const line = this.#lines[next];
		if (line === undefined) return false;
		if (indentOf(line) > indent) return true;
		const item = ITEM.exec(line);
		return item !== null && !RULE.test(line) && /\d/.test(item[2]!) === isOrdered;
	}

	#table(): Block {
		const head = cells(this.#lines[this.#at]!);
		const rows: string[][] = [];
		for (this.#at += 2; this.#at < this.#lines.length && this.#lines[this.#at]!.includes("|"); this.#at++) {
			const row = cells(this.#lines[this.#at]!).slice(0, head.length);
			while (row.length < head.length) row.push("");
			rows.push(row);
		}
		return { kind: "table", head, rows };
	}

	#paragraph(): Block {
		const body = [this.#lines[this.#at++]!.trim()];
		while (this.#at < this.#lines.length) {
			const line = this.#lines[this.#at]!;
			if (isBlank(line) || startsBlock(line)) break;
			body.push(line.trim());
			this.#at++;
		}
		return { kind: "paragraph", text: body.join("\n") };
	}
}

function cells(line: string): string[] {
	const parts: string[] = [];
	let cell = "";
	const row = line.trim();
	for (let i = 0; i < row.length; i++) {
		if (row[i] === "\\" && row[i + 1] === "|") cell += row[++i];
		else if (row[i] === "|") {
			if (i > 0) parts.push(cell.trim());
			cell = "";
		} else cell += row[i];
	}
	if (cell.trim() !== "" || !row.endsWith("|")) parts.push(cell.trim());
	return parts;
}

/* The address if it is one a person may be sent to, else null. */
export function safeHref(address: string): string | null {
	if (!/^https?:\/\//i.test(address)) return null;
	try {
		const url = new URL(address);
		return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
	} catch {
		return null;
	}
}

/* What is open at one place of a line: the marker that opened it and what has been read since. */
interface Frame {
	marker: string;
	children: Inline[];
}

const KINDS: { [marker: string]: "strong" | "em" | "del" } = {
	"**": "strong",
	__: "strong",
	"*": "em",
	_: "em",
	"~~": "del",
};

const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}_]/u;

export function inline(text: string): Inline[] {
	return new InlineParser(text).run();
}

class InlineParser {
	#at = 0;
	#plain = "";
	#frames: Frame[] = [{ marker: "", children: [] }];
	#missingRuns = new Set<number>(); // lengths of backtick runs that do not come again

	#text: string;

	constructor(text: string) {
		this.#text = text;
	}

	run(): Inline[] {
		while (this.#at < this.#text.length) this.#step();
		while (this.#frames.length > 1) this.#flatten();
		this.#flush();
		return this.#frames[0]!.children;
	}

	#step(): void {
		const c = this.#text[this.#at]!;
		const next = this.#text[this.#at + 1] ?? "";
		if (c === "\n") {
			this.#add({ kind: "break" });
			this.#at++;
		} else if (c === "\\" && PUNCTUATION.test(next)) {
			this.#plain += next;
			this.#at += 2;
		} else if (c === "`") this.#codeSpan();
		else if (c === "*" || c === "_" || (c === "~" && next === "~")) this.#emphasis(c);
		else if (c === "!" && next === "[") this.#openLink("![");
		else if (c === "[") this.#openLink("[");
		else if (c === "]") this.#closeLink();
		else if (c === "h" && this.#startsAddress()) this.#address();
		else {
			this.#plain += c;
			this.#at++;
		}
	}

	#flush(): void {
		if (this.#plain !== "") this.#top().children.push(this.#plain);
		this.#plain = "";
	}

	#add(node: Inline): void {
		this.#flush();
		this.#top().children.push(node);
	}

	#top(): Frame {
		return this.#frames[this.#frames.length - 1]!;
	}

	#isOpen(marker: string): boolean {
		return this.#frames.some((frame) => frame.marker === marker);
	}

	#push(marker: string): void {
		this.#flush();
		this.#frames.push({ marker, children: [] });
	}

	/* The topmost frame was never closed: its marker is text. */
	#flatten(): void {
		this.#flush();
		const frame = this.#frames.pop()!;
		const into = this.#top().children;
		into.push(frame.marker);
		for (const child of frame.children) into.push(child);
	}

	#close(marker: string): Frame {
		while (this.#top().marker !== marker) this.#flatten();
		this.#flush();
		return this.#frames.pop()!;
	}

	#runLength(from: number): number {
		let n = 1;
		while (this.#text[from + n] === this.#text[from]) n++;
		return n;
	}

	#codeSpan(): void {
		const n = this.#runLength(this.#at);
		const from = this.#at + n;
		let end = this.#missingRuns.has(n) ? -1 : this.#text.indexOf("`", from);
		while (end >= 0) {
			const found = this.#runLength(end);
			if (found === n) break;
			end = this.#text.indexOf("`", end + found);
		}
		if (end < 0) {
			this.#missingRuns.add(n);
			this.#plain += this.#text.slice(this.#at, from);
			this.#at = from;
			return;
		}
		let text = this.#text.slice(from, end).replace(/\n/g, " ");
		if (text.length > 2 && text.startsWith(" ") && text.endsWith(" ")) text = text.slice(1, -1);
		this.#add({ kind: "code", text });
		this.#at = end + n;
	}

	#emphasis(c: string): void {
		const n = this.#runLength(this.#at);
		const before = this.#text[this.#at - 1] ?? " ";
		const after = this.#text[this.#at + n] ?? " ";
		let canOpen = !/\s/.test(after);
		let canClose = !/\s/.test(before);
		if (c === "_") {
			canOpen = canOpen && !WORD.test(before);
			canClose = canClose && !WORD.test(after);
		}
		this.#at += n;
		for (let left = n; left > 0;) {
			const marker = this.#marker(c, left, canOpen, canClose);
			if (marker === null) {
				this.#plain += c.repeat(left);
				return;
			}
			left -= marker.length;
		}
	}

	/* Opens or closes with one marker out of a run of `left` characters; null when the rest is text. */
	#marker(c: string, left: number, canOpen: boolean, canClose: boolean): string | null {
		const sizes = c === "~" ? [2] : [2, 1];
		const fitting = sizes.filter((size) => size <= left).map((size) => c.repeat(size));
		if (canClose) {
			const open =
				fitting.find((one) => one === this.#top().marker) ?? fitting.find((one) => this.#isOpen(one));
			if (open !== undefined) {
				const frame = this.#close(open);
				this.#add({ kind: KINDS[open]!, children: frame.children });
				return open;
			}
		}
		const marker = fitting[0];
		if (!canOpen || marker === undefined || this.#frames.length > INLINE_DEPTH) return null;
		this.#push(marker);
		return marker;
	}

	#openLink(marker: string): void {
		if (this.#isOpen("[") || this.#isOpen("![") || this.#frames.length > INLINE_DEPTH) this.#plain += marker;
		else this.#push(marker);
		this.#at += marker.length;
	}

	#closeLink(): void {
		const marker = this.#isOpen("[") ? "[" : this.#isOpen("![") ? "![" : null;
		const target = marker === null ? null : this.#target(this.#at + 1);
		if (marker === null || target === null) {
			if (marker !== null) {
				while (this.#isOpen(marker)) this.#flatten();
			}
			this.#plain += "]";
			this.#at++;
			return;
		}
		const frame = this.#close(marker);
		const children = frame.children.length > 0 ? frame.children : [target.href];
		this.#add({ kind: "link", href: target.href, children });
		this.#at = target.end;
	}

	/* The "(address)" or "(address "title")" at `from`, when it is complete and the address is a safe one. */
	#target(from: number): { href: string; end: number } | null {
		if (this.#text[from] !== "(") return null;
		const limit = Math.min(this.#text.length, from + HREF_CHARS);
		let nesting = 0;
		let end = from + 1;
		for (; end < limit; end++) {
			const c = this.#text[end]!;
			if (c === "\n") return null;
			if (c === "(") nesting++;
			else if (c === ")" && nesting-- === 0) break;
		}
		if (end >= limit) return null;
		const inside = this.#text.slice(from + 1, end).trim();
		const space = inside.search(/\s/);
		const address = (space < 0 ? inside : inside.slice(0, space)).replace(/^<|>$/g, "");
		const href = safeHref(address);
		return href === null ? null : { href, end: end + 1 };
	}

	#startsAddress(): boolean {
		if (!this.#text.startsWith("http://", this.#at) && !this.#text.startsWith("https://", this.#at)) return false;
		return !WORD.test(this.#text[this.#at - 1] ?? " ") && !this.#isOpen("[") && !this.#isOpen("![");
	}

	#address(): void {
		let end = this.#at;
		while (end < this.#text.length && !/[\s<>"`]/.test(this.#text[end]!)) end++;
		while (/[.,;:!?'*_~\]]/.test(this.#text[end - 1]!)) end--;
		if (this.#text[end - 1] === ")" && !this.#text.slice(this.#at, end).includes("(")) end--;
		const shown = this.#text.slice(this.#at, end);
		const href = safeHref(shown);
		if (href === null) this.#plain += shown;
		else this.#add({ kind: "link", href, children: [shown] });
		this.#at = end;
	}
}
