// Writes the files of a directory as one C source: node embed.mjs DIR OUT.c
//
// The table's type and meaning are in src/server/assets.h. A file is kept twice, as it is and gzipped, so that the
// daemon compresses nothing at run time; the gzipped copy is left out where it saves less than a tenth. The output
// is written only when it changes, so that nothing is compiled again for nothing.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES = {
	".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",
	".ico": "image/x-icon",
	".json": "application/json",
	".webmanifest": "application/manifest+json",
	".woff2": "font/woff2",
	".txt": "text/plain; charset=utf-8",
};

const [dir, out] = process.argv.slice(2);
if (!dir || !out) {
	console.error("usage: node embed.mjs DIR OUT.c");
	process.exit(64);
}

function filesBelow(folder, prefix) {
	return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
		const path = `${prefix}/${entry.name}`;
		return entry.isDirectory() ? filesBelow(join(folder, entry.name), path) : [path];
	});
}

function bytes(name, buffer) {
	const rows = [];
	for (let at = 0; at < buffer.length; at += 24) rows.push([...buffer.subarray(at, at + 24)].join(","));
	return `static const unsigned char ${name}[] = {\n${rows.join(",\n") || "0"}};\n`;
}

const paths = filesBelow(dir, "").filter((path) => !path.endsWith(".map")).sort();
const parts = ['#include "server/assets.h"\n'];
const table = [];
paths.forEach((path, i) => {
	const type = TYPES[extname(path)];
	if (!type) throw new Error(`${path}: no content type for this ending; add one to cmake/embed.mjs`);
	const body = readFileSync(join(dir, path));
	const packed = gzipSync(body, { level: 9 });
	const worth = packed.length * 10 < body.length * 9;
	const etag = createHash("sha256").update(body).digest("hex").slice(0, 20);
	parts.push(bytes(`body_${i}`, body));
	if (worth) parts.push(bytes(`gzip_${i}`, packed));
	const gzip = worth ? `gzip_${i}, sizeof(gzip_${i})` : "NULL, 0";
	table.push(`\t{"${path}", "${type}", "\\"${etag}\\"", body_${i}, ${body.length}, ${gzip}},`);
});
parts.push(`const struct asset assets[] = {\n${table.join("\n") || "\t{0}"}\n};`);
parts.push(`const size_t assets_len = ${table.length};\n`);

const text = parts.join("\n");
mkdirSync(dirname(out), { recursive: true });
if (!existsSync(out) || readFileSync(out, "utf8") !== text) writeFileSync(out, text);
