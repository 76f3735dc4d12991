// Which models can be asked, what a name means, and what happens with one that nobody serves: seen from a device and from
// the command line.

import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Daemon, newId, scratch } from "../lib/roost.mjs";
import { startFake } from "../fake/provider.mjs";

const provider = (name, baseUrl, more = "") =>
	`  - name: ${name}\n    baseUrl: ${baseUrl}\n    allowPrivate: true\n${more}`;
const configOf = (...providers) => `providers:\n${providers.join("")}`;

// Sends and gives the Request's fields when it is over.
async function ask(device, request) {
	const { requestId } = await device.call("message:send", { messageId: newId(), conversationId: newId(), text: "well?", request });
	return (await device.finished(requestId)).fields;
}

async function refused(device, model) {
	try {
		await device.call("message:send", { messageId: newId(), conversationId: newId(), text: "well?", request: { model } });
	} catch (error) {
		return error;
	}
	throw new Error(`${model} was taken`);
}

async function modelsFor(daemon, device) {
	const { models } = (await daemon.http("GET", "/api/v1/models", { token: device.token })).json;
	assert.deepEqual((await device.call("model:list")).models, models);
	return { models };
}

async function idsOf(daemon) {
	return (await daemon.operator("GET", "models")).models.map(({ id }) => id);
}

describe("a provider with an address and nothing else", () => {
	let fake, daemon, device;
	before(async () => {
		fake = await startFake({ models: ["nomic-embed-text-v1.5", "qwen3-8b", "answer"] });
		daemon = await Daemon.start({ config: configOf(provider("studio", fake.url("openai"))) });
		device = await daemon.device();
	});
	after(async () => {
		await daemon.remove();
		await fake.close();
	});

	test("answers a request that names no model, with the first one it lists that is for conversations", async () => {
		const fields = await ask(device, {});
		assert.deepEqual([fields.state, fields.model, fields.modelAsked], ["done", "studio:qwen3-8b", undefined]);
		assert.equal(fake.calls.at(-1).body.model, "qwen3-8b");
	});

	test("has its models found by id, without its name, and by family", async () => {
		for (const [asked, by] of [
			["studio:qwen3-8b", undefined],
			["qwen3-8b", "id"],
			["qwen", "family"],
			["studio:Qwen", "family"],
		]) {
			const fields = await ask(device, { model: asked });
			assert.deepEqual([fields.state, fields.model, fields.modelBy], ["done", "studio:qwen3-8b", by]);
			assert.equal(fields.modelAsked, by && asked);
		}
	});

	test("refuses what it does not list and names what is near", async () => {
		const error = await refused(device, "studio:qwen3-7b");
		assert.equal(error.code, "model_unknown");
		assert.match(error.message, /did you mean studio:qwen3-8b\?/);
		assert.match((await refused(device, "whatever-it-is")).message, /GET \/api\/v1\/models lists them/);
	});

	test("is asked again when somebody names a model that nobody serves, but not all the time", async () => {
		const before = fake.listings;
		for (let i = 0; i < 5; i++) assert.equal((await refused(device, "brand-new-9")).code, "model_unknown");
		assert.ok(fake.listings - before <= 1);
	});

	test("is asked again by roost models --live, and a model it got meanwhile can be asked", async () => {
		fake.models = ["answer", "brand-new-9"];
		const { stdout } = await daemon.cli("models", "--live", "--json");
		const ids = JSON.parse(stdout).models.map(({ id }) => id);
		assert.deepEqual(ids, ["local:test", "local:silent", "studio:answer", "studio:brand-new-9"]);
		assert.equal((await ask(device, { model: "brand-new-9" })).state, "done");
		assert.equal((await refused(device, "qwen")).code, "model_unknown");
	});

	test("tells devices and the command line the same of its models", async () => {
		const { models } = (await modelsFor(daemon, device));
		const shown = (await daemon.operator("GET", "models")).models;
		assert.deepEqual(
			shown.map(({ configured, chat, ...rest }) => rest),
			models,
		);
		const { default: isDefault, window, price, can, status } = models.find(({ id }) => id === "studio:answer");
		assert.deepEqual({ isDefault, window, price, can, status }, { isDefault: true, window: null, price: null, can: [], status: "active" });
	});
});

describe("Ollama with its address alone", () => {
	test("answers with the first model it has, and needs no tag for the latest", async () => {
		const asked = [];
		const server = createServer(async (req, res) => {
			if (req.url === "/api/tags") {
				const models = [
					{ name: "all-minilm:latest", details: { family: "bert" } },
					{ name: "qwen3:0.6b", details: { family: "qwen3" } },
					{ name: "llama3.2:latest", details: { family: "llama" } },
				];
				res.end(JSON.stringify({ models }));
				return;
			}
			const pieces = [];
			for await (const piece of req) pieces.push(piece);
			asked.push([req.url, JSON.parse(Buffer.concat(pieces)).model]);
			res.end(
				'{"message":{"role":"assistant","content":"hello"},"done":false}\n' +
					'{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n',
			);
		}).listen(0, "127.0.0.1");
		await once(server, "listening");
		const url = `http://127.0.0.1:${server.address().port}`;
		const daemon = await Daemon.start({ config: configOf(provider("ollama", url, "    dialect: ollama\n")) });
		try {
			const device = await daemon.device();
			assert.deepEqual([(await ask(device, {})).model, asked[0]], ["ollama:qwen3:0.6b", ["/api/chat", "qwen3:0.6b"]]);
			const latest = await ask(device, { model: "ollama:llama3.2" });
			assert.deepEqual([latest.model, latest.modelBy], ["ollama:llama3.2:latest", "id"]);
			assert.equal((await ask(device, { model: "llama" })).model, "ollama:llama3.2:latest");
			assert.equal((await ask(device, { model: "qwen3:0.6b" })).model, "ollama:qwen3:0.6b");
			const { models } = await modelsFor(daemon, device);
			const qwen = models.find(({ id }) => id === "ollama:qwen3:0.6b");
			assert.deepEqual([qwen.title, qwen.window], ["Qwen 3 0.6B", 32768]); // the built-in table knows it
		} finally {
			await daemon.remove();
			server.closeAllConnections();
			server.close();
		}
	});
});

describe("an address on the command line and nothing else", () => {
	for (const [name, dialect, path] of [["ollama", "ollama", "/api/chat"], ["lmstudio", "openai", "/v1/chat/completions"]])
		test(`is enough for an answer from ${name}`, async () => {
			const fake = await startFake({ models: ["nomic-embed-text", "llama3.2:latest"] });
			const daemon = await Daemon.start({ args: ["--provider", `${name}=http://127.0.0.1:${fake.port}`] });
			try {
				const { stdout } = await daemon.cli("chat", "well?");
				assert.match(stdout, /pigeons come home/);
				const [{ url, dialect: spoken, body }] = fake.calls;
				assert.deepEqual([url.pathname, spoken, body.model], [path, dialect, "llama3.2:latest"]);
				assert.equal((await ask(await daemon.device(), {})).state, "done");
			} finally {
				await daemon.remove();
				await fake.close();
			}
		});
});

describe("a provider whose list comes in pages", () => {
	const ids = Array.from({ length: 7 }, (_, i) => `m-${i}`);
	const start = async (models, dialect, more = "") => {
		const fake = await startFake({ models, pageSize: 3 });
		const config = configOf(provider("paged", fake.url(dialect), `    dialect: ${dialect}\n`)) + more;
		return { fake, daemon: await Daemon.start({ config }) };
	};
	const listed = async (daemon) => {
		const { models, providers } = JSON.parse((await daemon.cli("models", "--live", "--json")).stdout);
		return { models: models.map(({ id }) => id).filter((id) => id.startsWith("paged:")), told: providers.at(-1) };
	};

	for (const dialect of ["anthropic", "gemini"]) {
		test(`${dialect}: is read to the end`, async () => {
			const { fake, daemon } = await start(ids, dialect);
			try {
				const { models, told } = await listed(daemon);
				assert.deepEqual([models, told.error], [ids.map((id) => `paged:${id}`), null]);
				const before = fake.listings;
				await listed(daemon);
				assert.equal(fake.listings - before, 3);
				const device = await daemon.device();
				assert.equal((await ask(device, { model: "m-6" })).state, "done");
			} finally {
				await daemon.remove();
				await fake.close();
			}
		});

		test(`${dialect}: is cut when it has no end, and the owner is told`, async () => {
			const { fake, daemon } = await start("endless", dialect, "limits:\n  listingPages: 5\n");
			try {
				const { models, told } = await listed(daemon);
				assert.deepEqual(models, Array.from({ length: 10 }, (_, i) => `paged:more-${i}`));
				assert.match(told.error, /^its list has more pages than listingPages \(5\) allows$/);
				assert.match(daemon.errors, /paged did not tell all its models: its list has more pages/);
				const before = fake.listings;
				await listed(daemon);
				assert.equal(fake.listings - before, 5);
			} finally {
				await daemon.remove();
				await fake.close();
			}
		});
	}
});

describe("a provider that does not list its models", () => {
	let fake, daemon, device;
	before(async () => {
		fake = await startFake();
		daemon = await Daemon.start({ config: configOf(provider("fake", fake.url("openai")), provider("down", "http://127.0.0.1:1/v1")) });
		device = await daemon.device();
	});
	after(async () => {
		await daemon.remove();
		await fake.close();
	});

	test("is given any model that carries its name", async () => {
		assert.equal((await ask(device, { model: "fake:answer?tokens=3" })).model, "fake:answer?tokens=3");
		assert.equal((await refused(device, "answer")).code, "model_unknown");
	});

	test("leaves a request without a model without an answer, and says why", async () => {
		const error = await refused(device, undefined);
		assert.equal(error.code, "model_unknown");
		assert.match(error.message, /fake did not tell its: the answer has status 404/);
	});

	test("is told to the owner with the reason", async () => {
		const { providers } = await daemon.operator("GET", "models?live=1");
		const [, first, second] = providers;
		assert.equal(first.error, "the answer has status 404");
		assert.ok(second.error.length > 0);
		assert.equal(first.listedAt, null);
		const { stdout } = await daemon.cli("models");
		assert.match(stdout, /fake did not tell its models: the answer has status 404/);
	});

	test("that comes up later is found by the next one who needs it", async () => {
		fake.models = ["late-1"];
		await daemon.operator("GET", "models?live=1");
		const fields = await ask(device, {});
		assert.equal(fields.model, "fake:late-1");
	});
});

describe("listings that are wrong", () => {
	const deep = `{"data":[${"[".repeat(100)}`;
	const bodies = ["", "<html>", '{"data":{}}', deep, "x".repeat(5 << 20), '{"data":[{"id":"a b"},{"id":"../x y"}]}'];
	test("leave the daemon as it was", async () => {
		let body = "";
		const server = createServer((_, res) => res.end(body)).listen(0, "127.0.0.1");
		await once(server, "listening");
		const daemon = await Daemon.start({ config: configOf(provider("odd", `http://127.0.0.1:${server.address().port}/v1`)) });
		try {
			for (body of bodies) await daemon.operator("GET", "models?live=1");
			assert.deepEqual(await idsOf(daemon), ["local:test", "local:silent"]);
		} finally {
			await daemon.remove();
			server.closeAllConnections();
			server.close();
		}
	});

	test("and silent ones do not keep the daemon from starting, working and stopping", async () => {
		const server = createServer(() => {}).listen(0, "127.0.0.1");
		await once(server, "listening");
		const daemon = await Daemon.start({ config: configOf(provider("mute", `http://127.0.0.1:${server.address().port}/v1`)) });
		const device = await daemon.device();
		assert.equal((await ask(device, { model: "local:test" })).state, "done");
		const waiting = refused(device, undefined);
		await device.call("ping"); // so that the daemon has read the message before
		await daemon.kill("SIGTERM");
		assert.equal((await waiting).code, "model_unknown");
		await daemon.remove();
		server.closeAllConnections();
		server.close();
	});
});

describe("a provider with a list in the configuration", () => {
	test("serves that, is never asked for another, and its first model is the default", async () => {
		const fake = await startFake({ models: ["other"] });
		const daemon = await Daemon.start({ config: configOf(provider("fake", fake.url("openai"), "    models: [answer, thinking]\n")) });
		try {
			const device = await daemon.device();
			assert.equal((await ask(device, {})).model, "fake:answer");
			assert.equal((await refused(device, "fake:other")).code, "model_unknown");
			await daemon.operator("GET", "models?live=1");
			assert.equal(fake.listings, 0);
		} finally {
			await daemon.remove();
			await fake.close();
		}
	});
});

describe("the rule for a model that nobody serves", () => {
	let fake, daemon, device;
	before(async () => {
		fake = await startFake({ models: ["answer", "plain"] });
		daemon = await Daemon.start({
			config:
				'defaultModel: answer\nmodelFallback: ["gone -> plain", "lost -> nowhere", default]\n' +
				configOf(provider("fake", fake.url("openai"))),
		});
		device = await daemon.device();
	});
	after(async () => {
		await daemon.remove();
		await fake.close();
	});

	test("is used in order, and the request says what was asked", async () => {
		for (const [asked, model] of [
			["gone", "fake:plain"],
			["fake:never-was", "fake:answer"],
		]) {
			const fields = await ask(device, { model: asked });
			assert.deepEqual([fields.state, fields.model, fields.modelAsked, fields.modelBy], ["done", model, asked, "fallback"]);
		}
	});

	test("does not lead further when it leads nowhere", async () => {
		assert.equal((await refused(device, "lost")).code, "model_unknown");
	});

	test("is not used for a model that is there", async () => {
		assert.equal((await ask(device, { model: "fake:plain" })).modelBy, undefined);
	});

	test("keeps a request at the model it was resolved to, over a restart and a change of what is listed", async () => {
		const conversationId = newId();
		const model = "gone";
		const { requestId } = await device.call("message:send", { messageId: newId(), conversationId, text: "well?", request: { model } });
		fake.models = ["answer"];
		await daemon.restart();
		device = await daemon.device();
		const done = await device.finished(requestId);
		assert.deepEqual([done.fields.model, done.fields.modelAsked], ["fake:plain", "gone"]);
	});

	test("that is none is refused when the daemon starts", async () => {
		await assert.rejects(Daemon.start({ config: "modelFallback: [something]\n" }));
	});
});

describe("the person's models.json", () => {
	test("adds models and names, and says what they refuse", async () => {
		const fake = await startFake({ models: ["answer"] });
		const data = await scratch();
		const own = (entry) => writeFile(join(data, "models.json"), JSON.stringify({ models: [entry] }));
		const prices = [{ from: "2026-01-01", input: 5, output: 10 }];
		await own({ id: "fake:answer", aliases: ["mine"], window: 4096, cannot: ["sampling"], prices });
		const daemon = await Daemon.start({ data, config: configOf(provider("fake", fake.url("openai"))) });
		try {
			const device = await daemon.device();
			const fields = await ask(device, { model: "mine" });
			assert.deepEqual([fields.model, fields.modelBy], ["fake:answer", "alias"]);
			assert.equal(fields.usage.costTicks, 7 * 50_000 + 8 * 100_000); // what the fake counts, at $5 and $10
			const { models } = (await modelsFor(daemon, device));
			const mine = models.find(({ id }) => id === "fake:answer");
			assert.deepEqual([mine.window, mine.price.input, mine.aliases], [4096, 5, ["mine"]]);
			await assert.rejects(ask(device, { model: "mine", params: { temperature: 1 } }), (error) =>
				error.code === "bad_field" && /^params.temperature: fake:answer does not take it/.test(error.message));
			assert.equal(fake.calls.length, 1);
		} finally {
			await daemon.remove();
			await fake.close();
		}
	});

	test("that is wrong keeps the daemon from starting and says where", async () => {
		const data = await scratch();
		await writeFile(join(data, "models.json"), '{"models":[{"id":"a:b","windw":1}]}');
		await assert.rejects(Daemon.start({ data }));
	});
});

describe("roost models without a daemon", () => {
	test("shows what is built in, and says that asking needs one", async () => {
		const daemon = await Daemon.start();
		await daemon.kill();
		const { stdout } = await daemon.cli("models", "--all", "--json");
		const { models } = JSON.parse(stdout);
		const opus = models.find(({ id }) => id === "anthropic:claude-opus-4.7");
		assert.deepEqual([opus.window, opus.price.input, opus.configured], [1_000_000, 5, false]);
		assert.ok(models.find(({ id }) => id === "local:test").configured);
		const live = await daemon.cli("models", "--live").catch((error) => error);
		assert.match(live.stderr, /asked by a daemon only/);
		await daemon.remove();
	});
});
