// A benchmark's table: rows of figures, each beside its bar and a reference from the same run; groups that can be
// measured by name; printed, and written as JSON.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanUp, median, out } from "./house.mjs";

const rows = [];
const round = (value) => Number(value.toPrecision(4));

// One figure. `bar` is a number that `value` must not pass, upwards or (atLeast) downwards; null: the value is only told.
export function row(figure, value, unit, bar, reference, details = {}, { atLeast = false } = {}) {
	const met = bar === null || (atLeast ? value >= bar : value <= bar);
	const [name, other] = reference;
	rows.push({ figure, value: round(value), unit, bar: bar === null ? null : round(bar), met,
		reference: { name, value: round(other) }, details });
}

export async function times(n, run) {
	const all = [];
	for (let i = 0; i < n; i++) all.push(await run(i));
	return all;
}
export const middle = (all, get) => median(all.map(get));

function print() {
	const lines = [["figure", "value", "bar", "", "reference"], ...rows.map((r) => [r.figure, `${r.value} ${r.unit}`,
		r.bar === null ? "" : `${r.bar} ${r.unit}`, r.bar === null ? "" : r.met ? "met" : "NOT MET",
		`${r.reference.value}  ${r.reference.name}`])];
	const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
	for (const line of lines) console.log(line.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd());
	const judged = rows.filter((r) => r.bar !== null);
	console.log(`${judged.filter((r) => r.met).length} of ${judged.length} figures meet their bar`);
}

// Measures the groups named on the command line, or all: build/bench/NAME.json has the rows, NAME.part.json those of some
// groups only.
export async function measure(bench, groups) {
	const wanted = process.argv.slice(2);
	const unknown = wanted.find((name) => !groups[name]);
	if (unknown) {
		console.error(`no group ${unknown}; there are: ${Object.keys(groups).join(" ")}`);
		process.exit(64);
	}
	const failures = [];
	for (const name of wanted.length ? wanted : Object.keys(groups)) {
		process.stderr.write(`${name} … `);
		const begun = Date.now();
		try {
			await groups[name]();
			process.stderr.write(`${((Date.now() - begun) / 1000).toFixed(1)} s\n`);
		} catch (error) {
			failures.push(name);
			process.stderr.write(`failed: ${error.message}\n`);
		}
	}
	await cleanUp();
	print();
	writeFileSync(join(out, `${bench}${wanted.length ? ".part" : ""}.json`), JSON.stringify(rows, null, "\t") + "\n");
	if (failures.length) {
		console.error(`could not be measured: ${failures.join(" ")}`);
		process.exitCode = 1;
	}
}
