// A daemon whose providers are the fake one, once for each dialect and under that dialect's name.

import { Daemon, newId, scratch } from "../lib/roost.mjs";
import { dialects } from "./dialects.mjs";
import { startFake } from "./provider.mjs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

export const names = Object.keys(dialects);

const yaml = (object, indent) => Object.entries(object).map(([key, value]) => `${indent}${key}: ${value}\n`).join("");

// limits: of the configuration; keys: {dialect: key} that the fake asks for, and which go into files of `dir` named
// DIALECT.key; hide: a function of (fake, dialect, dir) that gives the provider's members in place of keyFile; url: one of
// (fake, dialect) that gives another baseUrl; provider: more members of every provider; more: lines of the configuration;
// the rest goes to Daemon.start.
export async function startHouse({ limits = {}, keys = {}, hide, url, models, provider = {}, more = "", ...options } = {}) {
	const fake = await startFake({ keys, models });
	const dir = await scratch("models");
	let providers = "";
	for (const name of names) {
		const row = { name, dialect: name, baseUrl: url?.(fake, name) ?? fake.url(name), allowPrivate: true, ...provider };
		if (keys[name]) {
			await writeFile(join(dir, `${name}.key`), `${keys[name]}\n`, { mode: 0o600 });
			Object.assign(row, (await hide?.(fake, name, dir)) ?? { keyFile: join(dir, `${name}.key`) });
		}
		providers += `  - ${yaml(row, "    ").trimStart()}`;
	}
	const all = { backoffMs: 5, backoffMaxMs: 10, circuitFailures: 1000, ...limits };
	const config = `${more}limits:\n${yaml(all, "  ")}providers:\n${providers}`;
	const daemon = await Daemon.start({ config, ...options });
	return {
		fake,
		daemon,
		dir,
		async close() {
			await daemon.remove();
			await fake.close();
			await rm(dir, { recursive: true, force: true });
		},
	};
}

// A script as a model's name, which a dialect's provider brings along to the fake one: asked(…) of "anthropic" and
// {tokens: 9} is "anthropic:fake?tokens=9&id=…". The id makes it unlike any other call's.
let nth = 0;
export function asked(dialect, script = {}) {
	return `${dialect}:fake?${new URLSearchParams({ ...script, id: ++nth })}`;
}

// Runs `work` on every item, so many at once.
export async function atOnce(items, n, work) {
	const rest = [...items.entries()], results = [];
	await Promise.all(Array.from({ length: n }, async () => {
		for (let next; (next = rest.shift()); ) results[next[0]] = await work(next[1], next[0]);
	}));
	return results;
}

export { newId };
