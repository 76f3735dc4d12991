// What is asked of a run from outside, and when it comes late, early or twice.

import assert from "node:assert/strict";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isThere, Lab, of } from "../lib/lab.mjs";
import { until } from "../lib/roost.mjs";

const quick = ["-a", "local:test", "-b", "local:test", "-t", "2"];
const spec = (name, more = "") => `name: ${name}\nagent_a: local:test\nagent_b: local:test\nmax_turns: 1\n${more}\n`;

describe("a run", () => {
	let lab;
	before(async () => {
		lab = await Lab.make("asked");
	});
	after(() => lab.remove());

	it("of several specs begins none after Ctrl-C, also when the one that ran was complete by then", async () => {
		const file = await lab.spec(`${spec("first", "params: {delayMs: 600}")}---\n${spec("second")}`);
		const child = lab.start(["run", "--json", file]);
		let seen = "";
		child.stdout.on("data", (text) => (seen += text));
		await until(() => seen.split("MessageRequestEvent").length === 3, "the last message's request");
		child.kill("SIGINT");
		assert.equal((await child.ended).code, 130);
		const [dir, ...others] = await lab.dirs();
		assert.deepEqual(others, []);
		assert.equal((await lab.look(dir)).status, "completed");
		await rm(dir, { recursive: true });
	});

	it("that was complete when Ctrl-C came has the status of a complete one", async () => {
		const child = lab.start(["run", "--json", await lab.spec(spec("alone", "params: {delayMs: 600}"))]);
		let seen = "";
		child.stdout.on("data", (text) => (seen += text));
		await until(() => seen.split("MessageRequestEvent").length === 3, "the last message's request");
		child.kill("SIGINT");
		assert.equal((await child.ended).code, 0);
	});

	it("that was killed before it had a manifest begins when it is resumed", async () => {
		const { dir } = await lab.run([...quick, "-n", "unbegun"]);
		for (const name of await readdir(dir)) if (name !== "spec.yaml") await rm(join(dir, name));
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", "unbegun"]);
		assert.equal(code, 0, stderr);
		const { status, conversations } = await lab.look(dir);
		assert.equal(status, "completed");
		assert.equal(of(conversations[0], "MessageCompleteEvent").length, 4);
		assert.ok(!(await isThere(join(dir, "spec.yaml.new"))));
	});

	it("whose manifest is gone but whose events are not is not begun again", async () => {
		const { dir } = await lab.run([...quick, "-n", "gone"]);
		await rm(join(dir, "manifest.json"));
		const files = await readdir(dir);
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", dir]);
		assert.notEqual(code, 0);
		assert.match(stderr, /manifest\.json/);
		assert.deepEqual(await readdir(dir), files);
	});

	it("keeps what an awareness file said when that is gone", async () => {
		const file = join(lab.home, "aware.yaml");
		await writeFile(file, "prompts:\n  1:\n    agent_a: look closer\n");
		const first = lab.start(["run", "--json", await lab.spec(spec("aware", `awareness_a: ${file}\nparams: {delayMs: 300}\n`)
			.replace("max_turns: 1", "max_turns: 2"))]);
		const dir = await lab.untilManifest((m) => m.name === "aware" && Object.values(m.conversations)[0].messages > 0, "a message");
		first.kill("SIGTERM");
		assert.equal((await first.ended).code, 143);
		await rm(file);
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", "aware"]);
		assert.equal(code, 0, stderr);
		const { conversations } = await lab.look(dir);
		assert.deepEqual(of(conversations[0], "PromptInjectedEvent").map((e) => e.prompt), ["look closer"]);
	});

	it("that is damaged in one conversation completes the others when it is resumed, and says which line", async () => {
		const { dir, manifest } = await lab.run([...quick, "-r", "3", "-n", "damaged"]);
		const files = Object.values(manifest.conversations).map((c) => join(dir, c.jsonl));
		const whole = await readFile(files[0], "utf8");
		await writeFile(files[0], whole.replace('"turn_number":0', '"turn_number":9'));
		await writeFile(files[2], (await readFile(files[2], "utf8")).slice(0, -900));
		const { code, stderr } = await lab.roost(["run", "--json", "--resume", "damaged"]);
		assert.equal(code, 74, stderr);
		assert.match(stderr, /line \d+ is damaged/);
		const looked = await lab.look(dir);
		assert.equal(looked.status, "completed_with_failures");
		assert.deepEqual(Object.values(looked.manifest.conversations).map((c) => c.status), ["failed", "completed", "completed"]);
		await writeFile(files[0], whole);
		assert.equal((await lab.roost(["run", "--json", "--resume", "damaged"])).code, 0);
		assert.equal((await lab.look(dir)).status, "completed");
	});

	it("in the background whose texts are not kept does not repeat what a provider said of its failure", async () => {
		const { createServer } = await import("node:http");
		const server = createServer((req, res) => {
			res.writeHead(400, { "Content-Type": "application/json" });
			res.end('{"error":{"message":"cannot answer: my canary prompt","type":"invalid_request_error"}}');
		});
		await new Promise((done) => server.listen(0, "127.0.0.1", done));
		await lab.configure(`providers:\n  - name: rude\n    dialect: openai\n    baseUrl: http://127.0.0.1:${server.address().port}/v1\n` +
			"    allowPrivate: true\n    models: [m]\n");
		await lab.fine(["run", "-a", "rude:m", "-b", "rude:m", "--redact=drop", "-p", "my canary prompt", "-q"]);
		const dir = await lab.untilManifest((m) => m.redacted && m.status === "failed", "its end");
		for (const [path, bytes] of await lab.files(dir)) assert.ok(!bytes.includes("canary"), `${path}: ${bytes}`);
		assert.match(await readFile(join(dir, "experiment.log"), "utf8"), /^roost run: the provider refused the request$/m);
		server.close();
		server.closeAllConnections();
	});
});
