// Puts the figures of build/bench/spine.json into the table of docs/benchmarks.md: node bench/report.mjs

import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(fileURLToPath(import.meta.url), "../..");
const page = join(root, "docs/benchmarks.md");
const rows = JSON.parse(readFileSync(join(root, "build/bench/spine.json"), "utf8"));

const cells = rows.map((r) => [r.figure, `${r.value} ${r.unit}`, `${r.bar} ${r.unit}`, r.met ? "met" : "**not met**",
	`${r.reference.value} (${r.reference.name})`]);
const lines = [["figure", "value", "bar", "", "reference, same run"], ["---", "---", "---", "---", "---"], ...cells];
const memory = Math.round(totalmem() / 2 ** 30);
const machine = `${cpus().length} × ${cpus()[0].model.trim()}, ${memory} GiB, Linux ${release().split("-")[0]}`;
const table = `${machine}.\n\n${lines.map((line) => `| ${line.map((cell) => cell.trim()).join(" | ")} |`).join("\n")}`;

const text = readFileSync(page, "utf8");
const marked = /(<!-- figures -->\n)[^]*?(\n<!-- end of figures -->)/;
if (!marked.test(text)) throw new Error(`${page} has no place for the figures`);
writeFileSync(page, text.replace(marked, (_, from, to) => `${from}${table}${to}`));
console.log(`${rows.length} figures into ${page}`);
