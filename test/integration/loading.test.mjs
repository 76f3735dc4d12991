// What is loaded when: libcurl by the first HTTP request, not with the program. A file that is no library stands in its
// place, so that whoever loads it fails.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { program, scratch } from "../lib/roost.mjs";

let home;

function roost(...args) {
	const env = { PATH: process.env.PATH, HOME: home, LD_LIBRARY_PATH: home };
	return new Promise((done) => {
		execFile(program, args, { env, timeout: 20_000 }, (error, stdout, stderr) =>
			done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr }));
	});
}

before(async () => {
	home = await scratch("home");
	await writeFile(join(home, "libcurl.so.4"), "");
});

describe("without a libcurl that can be loaded", () => {
	for (const args of [["--help"], ["run", "--help"], ["version"], ["completion", "bash"]])
		it(`roost ${args.join(" ")} works as ever`, async () => {
			const { code, stdout, stderr } = await roost(...args);
			assert.equal(stderr, "");
			assert.equal(code, 0);
			assert.notEqual(stdout, "");
		});

	it("roost version --json has no version of it", async () => {
		const { code, stdout } = await roost("version", "--json");
		assert.equal(code, 0);
		assert.equal(JSON.parse(stdout).libraries.curl, null);
	});

	for (const command of ["status", "serve"])
		it(`roost ${command} names the library and its package, and ends with 69`, async () => {
			const { code, stderr } = await roost(command, "--data", join(home, "data"));
			assert.match(stderr, /^roost( status)?: HTTP requests need libcurl\.so\.4 \(Debian's package libcurl4\): .*libcurl\.so\.4/m);
			assert.equal(code, 69);
		});
});
