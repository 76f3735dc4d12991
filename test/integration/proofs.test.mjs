// docs/sync.md names, for every line of the checklists, the tests and figures that prove it. Here it is held to that: each
// of them exists under that name.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { before, describe, test } from "node:test";
import { root } from "../lib/roost.mjs";

const NAMES = [
	[/\.test\.mjs$/, /\b(?:test|it)\(\s*(["'`])((?:\\.|(?!\1).)*)\1/g],
	[/^test_\w+\.c$/, /^static void ()(\w+)\(void \*\*/gm],
	[/^sync\.mjs$/, /\brow\(\s*(["'`])((?:\\.|(?!\1).)*)\1/g],
];

let page;
const patterns = new Map(); // file → what its tests are called

before(async () => {
	page = await readFile(join(root, "docs/sync.md"), "utf8");
	for (const place of ["test", "bench"])
		for (const path of await readdir(join(root, place), { recursive: true })) {
			const rule = NAMES.find(([file]) => file.test(basename(path)));
			if (!rule) continue;
			const text = await readFile(join(root, place, path), "utf8");
			const found = [...text.matchAll(rule[1])].map(([, , name]) => pattern(name)).filter(Boolean);
			patterns.set(place === "bench" ? `bench/${path}` : basename(path), found);
		}
});

// What a name may be when it is run: ${…} is anything. One that is hardly more than that is nobody's name.
function pattern(name) {
	const given = name.split(/\$\{[^}]*\}/);
	if (given.length > 1 && given.join("").length < 12) return undefined;
	const parts = given.map((part) => part.replace(/\\(.)/g, "$1").replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
	return new RegExp(`^${parts.join(".+")}$`);
}

// The lines of the section's tables: {line, proofs: [[file, name], …]}.
function lines(text) {
	const section = text.slice(text.indexOf("\n## What proves it\n"));
	const rows = section.split("\n").filter((row) => row.startsWith("|") && !/^\| line \||^\|---/.test(row));
	return rows.map((row) => {
		const [line, proofs] = row.split("|").slice(1, -1).map((cell) => cell.trim());
		return { line, proofs: proofs.split("<br>").map((proof) => /^`([^`]+)`: (.+)$/.exec(proof)?.slice(1) ?? [proof, ""]) };
	});
}

const missing = (text) =>
	lines(text).flatMap(({ line, proofs }) =>
		proofs.filter(([file, name]) => !patterns.get(file)?.some((one) => one.test(name))).map(([file, name]) => `${line}: ${file}: ${name}`));

describe("what docs/sync.md says proves it", () => {
	test("is there, for every line", () => {
		assert.ok(lines(page).length >= 40, `${lines(page).length} lines`);
		assert.deepEqual(missing(page), []);
	});

	test("is missed when it is not", () => {
		const names = ["airplane mode: 50 messages", "a_wish_is_durable_before", "visible on 9 others, p99", "seeds keep every promise"];
		for (const name of names) {
			assert.ok(page.includes(name));
			assert.notDeepEqual(missing(page.replace(name, `${name} of old`)), [], name);
		}
	});
});
