// Questions of a command-line agent on the page: seen and answered from every device, with a thumb, a keyboard or a screen
// reader; and why a request waits, from a daemon that really holds it back.

import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Browser, openConversation, pictures, say, until } from "./setup.mjs";
import { startFake } from "../fake/provider.mjs";
import { Daemon, root, scratch } from "../lib/roost.mjs";

const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const agent = join(root, "test/integration/fake_agent.mjs");

let dir;
let fake;
let daemon;
let browser;
let desk;
let phone;

const card = (page) => page.locator(".question");
const line = (page) => page.locator(".answered summary");
const answers = (page) => page.locator("article.assistant:not(.running) .body");

before(async () => {
	dir = await scratch("questions");
	fake = await startFake();
	const log = join(dir, "log");
	await writeFile(log, "");
	const command = [process.execPath, agent, "--input-format", "stream-json", "--model", "{model}"];
	const limited = `baseUrl: ${fake.url("openai")}\n    allowPrivate: true\n    requestsPerMinute: 1\n    models: [fake]`;
	const config = `providers:
  - name: agent
    dialect: exec
    command: ${JSON.stringify(command)}
    env: [FAKE_AGENT_LOG]
    models: [ask, ask_twice, take_back]
  - name: limited
    dialect: openai
    ${limited}
`;
	daemon = await Daemon.start({ config, env: { FAKE_AGENT_LOG: log } });
	browser = await Browser.start(daemon);
	desk = await browser.device({ name: "Desk", viewport: { width: 1280, height: 800 } });
	phone = await browser.device({ name: "Phone", ...PHONE });
});

after(async () => {
	await browser?.close();
	await daemon?.remove();
	await fake?.close();
	await rm(dir, { recursive: true, force: true });
});

// Begins a conversation with this model on the desk.
async function begin(model, text) {
	await desk.getByRole("button", { name: "New", exact: true }).first().click();
	const picker = desk.getByLabel("Model");
	await picker.locator(`option[value="${model}"]`).waitFor({ state: "attached" });
	await picker.selectOption(model);
	await say(desk, text);
}

// The same, open on both, with a question on both.
async function asked(model, text) {
	await begin(model, text);
	await card(desk).first().waitFor();
	await phone.goto(`${daemon.url}/#`);
	await phone.getByRole("navigation").getByRole("link", { name: text }).getByText("asks you").waitFor();
	await openConversation(phone, text);
	await card(phone).first().waitFor();
}

const button = (page, name) => page.getByRole("button", { name, disabled: false });

describe("a question", () => {
	test("stands on every device with who asks, for what, all of the input, and how long there is", async () => {
		await asked("agent:ask", "write a file");
		for (const page of [desk, phone]) {
			await card(page).getByText("agent:ask asks whether it may use Write").waitFor();
			assert.equal(await card(page).locator("pre").innerText(), '{\n  "path": "a.txt",\n  "content": "hi\\u0007"\n}');
			const timer = page.getByRole("timer");
			const seconds = async () => Number(/Refused in (\d+) s/.exec(await timer.innerText())?.[1] ?? 120);
			const first = await seconds();
			await until(seconds, (now) => now < first && now > 0, "the time that is left");
			const heard = page.getByRole("alert").filter({ hasText: "agent:ask asks whether it may use Write" });
			await heard.waitFor({ state: "attached" });
		}
		assert.ok((await phone.evaluate(() => document.documentElement.scrollWidth)) <= 360);
		await phone.locator(".running .state").getByText("Waiting for your answer").waitFor();
		for (const one of await card(phone).locator(".row button").all())
			assert.ok((await one.boundingBox()).height >= 44, "a button fits a thumb");
		await phone.screenshot({ path: join(pictures, "phone-question.png") });
		await desk.screenshot({ path: join(pictures, "desk-question.png") });
	});

	test("vanishes everywhere when one device allows it; a line says which, and what was allowed", async () => {
		await button(phone, "Allow Write").tap();
		await line(phone).getByText(/^Write: allowed on this device, /).waitFor();
		await line(desk).getByText(/^Write: allowed on Phone, /).waitFor();
		for (const page of [desk, phone]) {
			assert.equal(await card(page).count(), 0);
			await answers(page).getByText('allow {"path":"a.txt"').waitFor();
		}
		await line(desk).click();
		await desk.locator(".answered pre").getByText('"path": "a.txt"').waitFor();
		const order = await desk
			.locator(".user, .answered, .assistant")
			.evaluateAll((all) => all.map((one) => one.className));
		assert.deepEqual(order, ["user", "answered", "assistant"]);
		await desk.screenshot({ path: join(pictures, "desk-answered.png") });
		await phone.screenshot({ path: join(pictures, "phone-answered.png") });
		await phone.goto(`${daemon.url}/#`);
		const link = phone.getByRole("navigation").getByRole("link", { name: "write a file" });
		await until(() => link.getByText("asks you").count(), (count) => count === 0, "no mark in the list");
	});

	test("is refused from the keyboard, and the focus is not lost", async () => {
		await asked("agent:ask", "refuse this");
		await button(desk, "Refuse Write").waitFor();
		await desk.locator(".messages").focus();
		const focused = () => desk.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? "");
		for (let n = 0; n < 12 && (await focused()) !== "Refuse Write"; n++) await desk.keyboard.press("Tab");
		assert.equal(await focused(), "Refuse Write");
		await desk.keyboard.press("Enter");
		await line(desk).getByText(/^Write: refused on this device/).waitFor();
		await line(phone).getByText(/^Write: refused on Desk/).waitFor();
		await answers(desk).getByText("deny").waitFor();
		assert.equal(await desk.evaluate(() => document.activeElement?.className), "messages");
	});

	test("stands beside another; each has its own answer", async () => {
		await asked("agent:ask_twice", "two at once");
		await until(() => card(phone).count(), (count) => count === 2, "both questions");
		await phone.screenshot({ path: join(pictures, "phone-two-questions.png") });
		const second = card(phone).filter({ hasText: '"n": 2' });
		await second.getByRole("button", { name: "Allow Write", disabled: false }).tap();
		await until(() => card(desk).count(), (count) => count === 1, "one question left on the desk");
		await button(desk, "Refuse Write").click();
		await answers(phone).getByText("deny allow").waitFor();
	});

	test("that is taken back becomes a line by itself", async () => {
		await begin("agent:take_back", "never mind");
		await answers(desk).getByText("never mind").waitFor();
		await line(desk).getByText(/^Write: not answered/).waitFor();
		assert.equal(await card(desk).count(), 0);
	});

	test("can't be answered without the connection, and says so; it can when that is back", async () => {
		await asked("agent:ask", "offline question");
		await desk.line.cut(desk);
		await card(desk).getByText("Needs the connection").waitFor();
		await desk.getByRole("button", { name: "Allow Write", disabled: true }).waitFor();
		await desk.line.mend(desk);
		await button(desk, "Allow Write").click();
		await line(phone).getByText(/^Write: allowed on Desk/).waitFor();
	});

	test("is stopped with its request", async () => {
		await asked("agent:ask", "stop it all");
		await desk.getByRole("button", { name: "Stop", exact: true }).first().click();
		for (const page of [desk, phone]) {
			await line(page).getByText(/^Write: not answered/).waitFor();
			assert.equal(await card(page).count(), 0);
		}
	});
});

describe("a request that is held back", () => {
	test("says that its provider's limit is reached and when it goes, also after a reload", async () => {
		await begin("limited:fake", "first within the minute");
		await answers(desk).first().waitFor();
		await begin("limited:fake", "second within the minute");
		const why = /Waiting: limited takes no more requests this minute; next try in \d+ s/;
		await desk.getByText(why).waitFor();
		await desk.screenshot({ path: join(pictures, "desk-paced.png") });
		await desk.reload();
		await desk.getByText(why).waitFor();
		await phone.goto(`${daemon.url}/#`);
		await openConversation(phone, "second within the minute");
		await phone.getByText(why).waitFor();
		assert.ok((await phone.evaluate(() => document.documentElement.scrollWidth)) <= 360);
		await phone.screenshot({ path: join(pictures, "phone-paced.png") });
		await desk.getByRole("button", { name: "Stop", exact: true }).first().click();
		await desk.getByText("Stopped").waitFor();
	});
});

test("nothing was asked of any other host, and no script or policy complained", () => {
	assert.deepEqual(browser.foreign, []);
	assert.deepEqual(browser.complaints, []);
});
