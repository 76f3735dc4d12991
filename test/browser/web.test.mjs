// The web page against the real daemon, in headless Chromium: what a person sees and does.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { join } from "node:path";
import { begin, Browser, openConversation, pairing, pictures, say, setParams, until } from "./setup.mjs";
import { Daemon } from "../lib/roost.mjs";

const SLOW = { tokens: 2000, tokensPerSecond: 40 }; // an answer that does not end by itself within a test
const BRIEF = { tokens: 30, tokensPerSecond: 60 };

let daemon;
let browser;
let desk;
let phone;

const running = (page) => page.locator("article.running .body");
const answers = (page) => page.locator("article.assistant:not(.running)");

before(async () => {
	daemon = await Daemon.start();
	browser = await Browser.start(daemon);
	desk = await browser.device({ name: "Desk" });
	phone = await browser.device({
		name: "Phone",
		viewport: { width: 360, height: 740 },
		deviceScaleFactor: 2,
		isMobile: true,
		hasTouch: true,
	});
});

after(async () => {
	await browser?.close();
	await daemon?.remove();
});

describe("pairing", () => {
	test("a wrong code is refused in words and the screen stays", async () => {
		const context = await browser.profile();
		const page = await context.newPage();
		await page.goto(daemon.url);
		await page.getByLabel("Code").fill("WRONG-CODE");
		await page.getByRole("button", { name: "Pair", exact: true }).click();
		await page.getByRole("alert").filter({ hasText: "roost pair" }).waitFor();
		assert.equal(await page.getByLabel("Code").inputValue(), "WRONG-CODE");
		await context.close();
	});

	test("the code leaves the address and no script can read the credential", async () => {
		assert.equal(new URL(desk.url()).hash, "");
		const kept = await desk.evaluate(() => document.cookie + JSON.stringify(localStorage));
		assert.doesNotMatch(kept, /token|roost=/i);
		const cookies = await desk.context().cookies();
		const cookie = cookies.find((one) => one.name === "roost");
		assert.equal(cookie?.httpOnly, true);
		assert.equal(cookie?.sameSite, "Strict");
	});

	test("a link alone pairs nothing: it takes a tap", async () => {
		const context = await browser.profile();
		const page = await context.newPage();
		const { link, code } = await pairing(daemon);
		await page.goto(link);
		await until(
			() => page.getByLabel("Code").inputValue(),
			(value) => value === code,
			"code filled in from the link",
		);
		assert.deepEqual(await context.cookies(), []);
		await context.close();
	});

	test("a device that unpairs sees the pairing screen and keeps nothing", async () => {
		const page = await browser.device({ name: "Guest", params: BRIEF });
		await begin(page, "a guest was here");
		await answers(page).waitFor();
		await page.goto(`${daemon.url}/#settings`);
		await page.getByRole("button", { name: "Unpair this device" }).click();
		await page.getByRole("button", { name: "Unpair", exact: true }).click();
		await page.getByRole("heading", { name: "Pair this device" }).waitFor();
		assert.equal((await page.request.get(`${daemon.url}/api/v1/me`)).status(), 401);
		const stored = await page.evaluate(async () => {
			const counts = [];
			for (const { name } of await indexedDB.databases()) {
				const db = await new Promise((got) => {
					const request = indexedDB.open(name);
					request.onsuccess = () => got(request.result);
				});
				const request = db.transaction("records").objectStore("records").count();
				counts.push(await new Promise((got) => (request.onsuccess = () => got(request.result))));
			}
			return counts;
		});
		assert.deepEqual(stored, [0]);
		await page.context().close();
	});
});

describe("a conversation", () => {
	test("an answer is seen streaming on a second device while the first still gets it", async () => {
		await setParams(desk, SLOW);
		await begin(desk, "stream to both of us");
		await running(desk).waitFor();
		await openConversation(phone, "stream to both of us");
		await running(phone).waitFor();
		const early = await running(phone).innerText();
		await until(
			() => running(phone).innerText(),
			(text) => text.length > early.length + 20,
			"text grows on the phone",
		);
		const [onDesk, onPhone] = [await running(desk).innerText(), await running(phone).innerText()];
		const shorter = Math.min(onDesk.length, onPhone.length) - 1;
		assert.equal(onPhone.slice(0, shorter), onDesk.slice(0, shorter));
		await phone.getByText("Desk", { exact: true }).waitFor();
		await phone.screenshot({ path: join(pictures, "phone-streaming.png") });
		await desk.screenshot({ path: join(pictures, "desk-streaming.png") });
	});

	test("stop on one device ends the answer on both and keeps its text", async () => {
		const before = await running(desk).innerText();
		await phone.getByRole("button", { name: "Stop" }).first().click();
		for (const page of [phone, desk]) {
			await running(page).waitFor({ state: "detached" });
			const kept = answers(page).last();
			await kept.getByText("Stopped").waitFor();
			assert.ok((await kept.locator(".body").innerText()).startsWith(before.slice(0, 40)));
		}
		const length = (await answers(desk).last().innerText()).length;
		await desk.waitForTimeout(300);
		assert.equal((await answers(desk).last().innerText()).length, length);
	});

	test("a stopped answer can be tried again, and the new one does not continue the old", async () => {
		const partial = await answers(desk).last().locator(".body").innerText();
		await answers(desk).last().getByRole("button", { name: "Try again" }).click();
		await running(desk).waitFor();
		const text = await running(desk).innerText();
		assert.ok(text.length < partial.length || text.startsWith(partial.slice(0, 20)));
		assert.equal(await answers(desk).last().locator(".body").innerText(), partial);
		await desk.getByLabel("Message", { exact: true }).press("Escape");
		await running(desk).waitFor({ state: "detached" });
	});

	test("a message from one device appears on the other by itself, in the same order", async () => {
		await setParams(desk, BRIEF);
		await begin(desk, "first line\nsecond line");
		await answers(desk).waitFor();
		await phone.goto(`${daemon.url}/#`);
		await openConversation(phone, "first line");
		await answers(phone).waitFor();
		await say(desk, "and one more");
		await until(
			() => answers(phone).count(),
			(count) => count === 2,
			"second answer on the phone",
		);
		const texts = (page) => page.locator("article .body").allInnerTexts();
		await until(
			() => answers(desk).count(),
			(count) => count === 2,
			"second answer on the desk",
		);
		assert.deepEqual(await texts(phone), await texts(desk));
		assert.equal((await texts(phone)).length, 4);
	});

	test("a reload shows it all again", async () => {
		const texts = await desk.locator("article .body").allInnerTexts();
		await desk.reload();
		await until(
			() => desk.locator("article .body").allInnerTexts(),
			(now) => now.length === texts.length,
			"reloaded",
		);
		assert.deepEqual(await desk.locator("article .body").allInnerTexts(), texts);
	});

	test("Shift+Enter breaks the line instead of sending", async () => {
		const field = desk.getByLabel("Message", { exact: true });
		await field.fill("one");
		await field.press("Shift+Enter");
		assert.equal(await field.inputValue(), "one\n");
		await field.fill("");
	});
});

describe("the daemon goes away", () => {
	test("what is written meanwhile is sent once when it is back", async () => {
		await setParams(desk, BRIEF);
		await begin(desk, "before the outage");
		await answers(desk).waitFor();
		await daemon.kill();
		await desk.getByRole("status").filter({ hasText: "Offline" }).waitFor();
		await say(desk, "written while it was down");
		await desk.getByText("Waiting to be sent").waitFor();
		await desk.reload();
		await desk.getByText("Waiting to be sent").waitFor();
		assert.equal(await desk.locator("article.user").count(), 2);
		await daemon.restart({ port: daemon.port });
		await until(
			() => answers(desk).count(),
			(count) => count === 2,
			"answered after the outage",
			40_000,
		);
		assert.equal(await desk.getByText("written while it was down").count(), 1);
		await phone.goto(`${daemon.url}/#`);
		await openConversation(phone, "before the outage");
		await until(
			() => phone.locator("article.user").count(),
			(count) => count === 2,
			"both messages on the phone",
			40_000,
		);
	});

	test("an answer that runs when it is killed ends as one answer", async () => {
		await setParams(desk, { tokens: 60, tokensPerSecond: 30 });
		await begin(desk, "killed in the middle");
		await until(
			() => running(desk).innerText(),
			(text) => text.length > 40,
			"some text",
		);
		await daemon.kill();
		await daemon.restart({ port: daemon.port });
		await until(
			() => answers(desk).count(),
			(count) => count === 1,
			"answered after the kill",
			40_000,
		);
		await running(desk).waitFor({ state: "detached" });
		assert.equal(await desk.locator("article").count(), 2);
	});
});

describe("one browser, two tabs", () => {
	test("the older tab says so and can take the connection back", async () => {
		const second = await desk.context().newPage();
		await second.goto(daemon.url);
		await second.locator('main[data-link="up"]').waitFor();
		await desk.getByRole("status").filter({ hasText: "another tab" }).waitFor();
		await desk.getByRole("button", { name: "Use it here" }).click();
		await desk.locator('main[data-link="up"]').waitFor();
		await second.getByRole("status").filter({ hasText: "another tab" }).waitFor();
		await second.close();
	});
});

describe("a phone", () => {
	for (const [name, hash] of [
		["the list", ""],
		["settings", "settings"],
	]) {
		test(`${name} fits 360 pixels`, async () => {
			await phone.goto(`${daemon.url}/#${hash}`);
			await phone.locator("main.app").waitFor();
			assert.ok((await phone.evaluate(() => document.documentElement.scrollWidth)) <= 360);
			await phone.screenshot({ path: join(pictures, `phone-${hash || "list"}.png`) });
		});
	}

	test("a conversation fits 360 pixels and its buttons fit a thumb", async () => {
		await phone.goto(`${daemon.url}/#`);
		await openConversation(phone, "first line");
		await answers(phone).first().waitFor();
		assert.ok((await phone.evaluate(() => document.documentElement.scrollWidth)) <= 360);
		const sizes = await phone
			.locator(".composer button, .composer select, header button:visible")
			.evaluateAll((all) => all.map((one) => one.getBoundingClientRect().height));
		for (const height of sizes) assert.ok(height >= 44, `a control is ${height} px high`);
		await phone.screenshot({ path: join(pictures, "phone-conversation.png") });
		await phone.getByRole("button", { name: "Back to the list" }).click();
		await phone.getByRole("navigation").waitFor();
	});
});

test("nothing was asked of any other host, and no script or policy complained", () => {
	assert.deepEqual(browser.foreign, []);
	assert.deepEqual(browser.complaints, []);
});
