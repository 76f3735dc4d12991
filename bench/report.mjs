// Puts the figures of build/bench/NAME.json into their table in docs/benchmarks.md: node bench/report.mjs [NAME…]
// Without a name: of every benchmark that has been measured as a whole.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(fileURLToPath(import.meta.url), "../..");
const page = join(root, "docs/benchmarks.md");
const file = (name) => join(root, `build/bench/${name}.json`);
const names = process.argv.length > 2 ? process.argv.slice(2) : ["spine", "sync", "models", "lab"].filter((name) => existsSync(file(name)));

const memory = Math.round(totalmem() / 2 ** 30);
const machine = `${cpus().length} × ${cpus()[0].model.trim()}, ${memory} GiB, Linux ${release().split("-")[0]}`;

function tableOf(rows) {
	const cells = rows.map((r) => [r.figure, `${r.value} ${r.unit}`, r.bar === null ? "" : `${r.bar} ${r.unit}`,
		r.bar === null ? "" : r.met ? "met" : "**not met**", `${r.reference.value} (${r.reference.name})`]);
	const lines = [["figure", "value", "bar", "", "reference, same run"], ["---", "---", "---", "---", "---"], ...cells];
	return `${machine}.\n\n${lines.map((line) => `| ${line.map((cell) => cell.trim()).join(" | ")} |`).join("\n")}`;
}

for (const name of names) {
	const text = readFileSync(page, "utf8");
	const marked = new RegExp(`(<!-- figures: ${name} -->\\n)[^]*?(\\n?<!-- end of figures -->)`);
	if (!marked.test(text)) throw new Error(`${page} has no place for the figures of ${name}`);
	const rows = JSON.parse(readFileSync(file(name), "utf8"));
	writeFileSync(page, text.replace(marked, (_, from) => `${from}${tableOf(rows)}\n<!-- end of figures -->`));
	console.log(`${rows.length} figures of ${name} into ${page}`);
}
