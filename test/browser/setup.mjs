// What the browser tests stand on: pages in headless Chromium, and what a person does on them.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { root } from "../lib/roost.mjs";

export const pictures = join(root, "build/test/browser"); // screenshots, to be looked at

// A pairing link, from the program itself.
export async function pairing(daemon) {
	const { stdout, stderr } = await daemon.cli("pair", "--json");
	if (!stdout) throw new Error(`roost pair said nothing: ${stderr}`);
	return JSON.parse(stdout);
}

// A context's line to the daemon, which can be cut: what is open ends, and nothing gets through until it is mended.
class Line {
	#open = new Set();
	#isCut = false;

	static async lay(context) {
		const line = new Line();
		await context.routeWebSocket(/devices\/socket/, (route) => {
			if (line.#isCut) {
				void route.close();
				return;
			}
			const server = route.connectToServer();
			const ends = { route, server };
			line.#open.add(ends);
			route.onClose((code, reason) => {
				line.#open.delete(ends);
				void server.close({ code, reason });
			});
		});
		return line;
	}

	async cut(page) {
		this.#isCut = true;
		for (const { route, server } of this.#open) await Promise.all([route.close(), server.close()]);
		this.#open.clear();
		await page.locator('main[data-link="down"]').waitFor();
	}

	async mend(page) {
		this.#isCut = false;
		await page.evaluate(() => dispatchEvent(new Event("online")));
		await page.locator('main[data-link="up"]').waitFor();
	}
}

// A browser whose every page is watched: what it asked for elsewhere and what it complained about.
export class Browser {
	foreign = []; // addresses not on the daemon
	complaints = []; // errors of scripts, refusals of the content policy

	static async start(daemon) {
		const browser = new Browser();
		await mkdir(pictures, { recursive: true });
		browser.daemon = daemon;
		browser.chromium = await chromium.launch({
			executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
			args: [
				"--headless",
				"--no-sandbox",
				"--disable-gpu",
				"--disable-quic",
				"--no-first-run",
				"--disable-background-networking",
				"--disable-component-update",
				"--disable-sync",
			],
		});
		return browser;
	}

	// A browser profile of its own, that is: a device of its own.
	async profile(options = {}) {
		const context = await this.chromium.newContext({ viewport: { width: 1200, height: 800 }, ...options });
		context.on("request", (request) => {
			const url = new URL(request.url());
			if (url.host !== `127.0.0.1:${this.daemon.port}` && url.protocol !== "blob:")
				this.foreign.push(request.url());
		});
		context.on("weberror", (error) => this.complaints.push(String(error.error().stack)));
		context.on("console", (message) => {
			const isRefusedFetch = message.text().startsWith("Failed to load resource");
			const isLostLink = message.text().includes("WebSocket connection");
			if (message.type() === "error" && !isRefusedFetch && !isLostLink) this.complaints.push(message.text());
		});
		context.setDefaultTimeout(10_000);
		return context;
	}

	// A page of a new device, paired through a link, with `params` given along with its requests. Its `line` can be cut.
	async device({ name, params, ...options }) {
		const context = await this.profile(options);
		const line = await Line.lay(context);
		const page = Object.assign(await context.newPage(), { line });
		const { link } = await pairing(this.daemon);
		await page.goto(link);
		await page.getByLabel("Name of this device").fill(name);
		await page.getByRole("button", { name: "Pair", exact: true }).click();
		await page.locator('main[data-link="up"]').waitFor();
		if (params) await setParams(page, params);
		return page;
	}

	async close() {
		await this.chromium.close();
	}
}

// Sets the request parameters the way a person does.
export async function setParams(page, params) {
	await page.evaluate(() => {
		location.hash = "settings";
	});
	await page.locator("textarea[name=params]").fill(JSON.stringify(params));
	await page.evaluate(() => {
		location.hash = "";
	});
	await page.locator("main.at-list").waitFor();
}

export async function say(page, text) {
	await page.getByLabel("Message", { exact: true }).fill(text);
	await page.getByLabel("Message", { exact: true }).press("Enter");
}

// Begins a conversation with one message, sent to local:test.
export async function begin(page, text) {
	await page.getByRole("button", { name: "New", exact: true }).first().click();
	const picker = page.getByLabel("Model");
	await picker.locator('option[value="local:test"]').waitFor({ state: "attached" });
	await picker.selectOption("local:test");
	await say(page, text);
}

// Presses the button `name`, and then `inSheet`, one after the other, in the sheet that it opens.
export async function press(page, name, ...inSheet) {
	await page.getByRole("button", { name }).click();
	for (const one of inSheet) await page.getByRole("dialog").getByRole("button", { name: one }).click();
}

export async function openConversation(page, title) {
	await page.getByRole("navigation").getByRole("link", { name: title }).click();
}

// Waits until `read` gives something that `test` accepts, and returns it.
export async function until(read, test, what, limitMs = 10_000) {
	const end = Date.now() + limitMs;
	for (;;) {
		const value = await read();
		if (test(value)) return value;
		if (Date.now() > end) throw new Error(`${what}: still ${JSON.stringify(value)} after ${limitMs} ms`);
		await new Promise((wake) => setTimeout(wake, 25));
	}
}
