// The page and frames that are rare or hostile. A real daemon serves it; frames are slipped into its socket on the way.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { Browser, pairing, until } from "./setup.mjs";
import { Daemon } from "../lib/roost.mjs";

let daemon;
let browser;
let page;
let socket; // the page's newest connection, as the daemon's end
let sent = []; // frames the page sent since the test began
const silenced = new Set(); // types the daemon never hears; the test answers for it

before(async () => {
	daemon = await Daemon.start();
	browser = await Browser.start(daemon);
	const context = await browser.profile();
	await context.routeWebSocket(/devices\/socket/, (route) => {
		const server = route.connectToServer();
		socket = route;
		route.onMessage((data) => {
			const frame = JSON.parse(data);
			sent.push(frame);
			if (!silenced.has(frame.type)) server.send(data);
		});
	});
	page = await context.newPage();
	const { link } = await pairing(daemon);
	await page.goto(link);
	await page.getByRole("button", { name: "Pair", exact: true }).click();
	await page.locator('main[data-link="up"]').waitFor();
	for (const type of ["session:join", "session:leave", "session:typing", "message:attach", "request:stop", "device:ack"])
		silenced.add(type);
});

after(async () => {
	await browser?.close();
	await daemon?.remove();
});

beforeEach(() => {
	sent = [];
});

const push = (frame) => socket.send(JSON.stringify(frame));
const asked = (type) => until(() => sent.find((frame) => frame.type === type), Boolean, `${type} from the page`);

function record(type, name, fields) {
	const origin = { at: new Date().toISOString(), userId: "u", deviceId: "d" };
	return { type, name, changeTag: "t", created: origin, modified: origin, deleted: false, fields };
}

function changes(...records) {
	push({ type: "session:changes", records, cursor: "test", more: false });
}

// A conversation with one question whose answer is running, open on the page.
async function runningConversation(id) {
	const request = { conversationId: id, messageId: `${id}-q`, replyId: `${id}-a`, state: "claimed", attempt: 1 };
	changes(
		record("Conversation", id, { title: `about ${id}`, currentSessionId: `${id}-s` }),
		record("Message", `${id}-q`, {
			conversationId: id,
			sessionId: `${id}-s`,
			ord: 1,
			role: "user",
			text: "well?",
		}),
		record("Request", `${id}-r`, request),
	);
	await page.evaluate((hash) => (location.hash = hash), `c=${id}`);
	const join = await asked("session:join");
	assert.equal(join.conversationId, id);
	const running = [{ requestId: `${id}-r`, attempt: 1, messageId: `${id}-a`, offset: 0 }];
	push({ type: "session:state", re: join.id, session: { name: `${id}-s` }, running });
	return {
		request,
		delta: (attempt, offset, text, kind = "text") =>
			push({ type: "message:delta", requestId: `${id}-r`, messageId: `${id}-a`, attempt, offset, text, kind }),
	};
}

const running = () => page.locator("article.running .body");
const showsRunning = (text) =>
	until(
		() => running().innerText(),
		(now) => now === text,
		`"${text}" running`,
	);

describe("hostile text", () => {
	const corpus = [
		"<script>window.pwned = 1</script>",
		'<img src="http://127.0.0.2:9/i.png" onerror="window.pwned = 1">',
		"<svg/onload=window.pwned=1>",
		'<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>',
		"<math><mtext><table><mglyph><style><img src=x onerror=window.pwned=1>",
		'<style>@import "http://127.0.0.2:9/s.css";</style>',
		'<link rel="stylesheet" href="http://127.0.0.2:9/s.css">',
		'<meta http-equiv="refresh" content="0;url=http://127.0.0.2:9/">',
		'<form action="http://127.0.0.2:9/"><input autofocus onfocus="window.pwned=1"></form>',
		"![pixel](http://127.0.0.2:9/pixel.png)",
		"[click](javascript:window.pwned=1) [click](JAVASCRIPT:window.pwned=1) [click](data:text/html,<script>1</script>)",
		'[quote](https://x.org/"onmouseover="window.pwned=1) [title](https://x.org "\\"onclick=window.pwned=1")',
		"<a href=javascript:window.pwned=1>x</a> <javascript:window.pwned=1> &#106;avascript:window.pwned=1",
		'```"><img src=x onerror=window.pwned=1>\n</code></pre><script>window.pwned=1</script>\n```',
		"| <img src=x onerror=window.pwned=1> | b |\n|---|---|\n| <script>window.pwned=1</script> | c |",
		"| a |\n|---|\n| ![x](http://127.0.0.2:9/t.png) |",
		"# <u onclick=window.pwned=1>x</u>\n> <b onmouseover=window.pwned=1>\n- <details open ontoggle=window.pwned=1>",
		"\u202Egnp.exe \u0000 \uFEFF \uD83D",
	];

	test("in messages, titles, names and running text is only text", async () => {
		const { delta } = await runningConversation("hostile");
		const all = corpus.join("\n\n");
		const fields = (ord, role, text) => ({
			conversationId: "hostile",
			sessionId: "s",
			ord,
			role,
			text,
			status: "complete",
		});
		changes(
			record("Conversation", "hostile", { title: corpus[1] }),
			record("Device", "d", { name: corpus[1], platform: "web" }),
			...corpus.map((text, i) =>
				record("Message", `bad-${i}`, fields(10 + i, i % 2 ? "user" : "assistant", text)),
			),
			record("Message", "bad-all", { ...fields(90, "assistant", all), model: corpus[1] }),
		);
		delta(1, 0, all);
		await page.locator('[data-message="bad-all"]').waitFor();
		await running().waitFor();
		await page.waitForTimeout(300);
		assert.equal(await page.evaluate(() => window.pwned), undefined);
		const thread = page.locator(".messages");
		for (const tag of ["script", "img", "svg", "iframe", "style", "link", "form", "input", "math"]) {
			assert.equal(await thread.locator(tag).count(), 0, `<${tag}> made from text`);
		}
		const links = await thread
			.locator("a")
			.evaluateAll((found) =>
				found.map((one) => ({
					scheme: one.protocol,
					rel: one.rel,
					names: one.getAttributeNames().sort().join(),
				})),
			);
		assert.ok(links.length > 0);
		for (const one of links) {
			assert.match(one.scheme, /^https?:$/);
			assert.equal(one.rel, "noopener noreferrer");
			assert.equal(one.names, "href,rel,target,title");
		}
		assert.deepEqual(browser.foreign, []);
		assert.deepEqual(browser.complaints, []);
	});

	test("the control: markup that is not made inert is noticed", async () => {
		await page.evaluate(() => {
			const image = new Image();
			image.src = "http://127.0.0.2:9/control.png";
			document.querySelector(".messages").append(image);
		});
		await until(
			() => browser.complaints.length + browser.foreign.length,
			(count) => count > 0,
			"a complaint",
		);
		await page.locator(".messages img").evaluate((image) => image.remove());
		browser.foreign.length = 0;
		browser.complaints.length = 0;
	});
});

describe("streams", () => {
	test("a gap is asked for again and shown without a hole", async () => {
		const { delta } = await runningConversation("gap");
		delta(1, 0, "one ");
		delta(1, 8, "three");
		const attach = await asked("message:attach");
		assert.deepEqual([attach.attempt, attach.kind, attach.offset], [1, "text", 4]);
		assert.equal((await running().innerText()).trim(), "one");
		delta(1, 4, "two three");
		await showsRunning("one two three");
	});

	test("a reset drops the partial text and attaches from the beginning", async () => {
		const { delta } = await runningConversation("reset");
		delta(1, 0, "partial text");
		await showsRunning("partial text");
		push({ type: "message:reset", requestId: "reset-r", attempt: 1 });
		const attach = await asked("message:attach");
		assert.deepEqual([attach.requestId, attach.attempt, attach.offset], ["reset-r", 1, 0]);
		assert.equal(await running().count(), 0);
		delta(1, 0, "partial text and more");
		await showsRunning("partial text and more");
	});

	test("a newer attempt starts anew; what the older one still says is dropped", async () => {
		const { delta } = await runningConversation("attempts");
		delta(1, 0, "first try, cut in the mid");
		await showsRunning("first try, cut in the mid");
		delta(2, 0, "second");
		delta(1, 25, "dle");
		delta(2, 6, " try");
		await showsRunning("second try");
	});

	test("an attach that is answered with a newer attempt follows it", async () => {
		const { delta } = await runningConversation("superseded");
		delta(1, 0, "old");
		push({ type: "message:reset", requestId: "superseded-r", attempt: 1 });
		const first = await asked("message:attach");
		sent = [];
		push({
			type: "error",
			re: first.id,
			code: "attempt_superseded",
			message: "newer",
			retryable: false,
			attempt: 3,
		});
		assert.equal((await asked("message:attach")).attempt, 3);
		delta(3, 0, "third");
		await showsRunning("third");
	});

	test("the message replaces its stream, and a late delta does not bring it back", async () => {
		const { request, delta } = await runningConversation("late");
		delta(1, 0, "nearly");
		await showsRunning("nearly");
		const fields = {
			conversationId: "late",
			sessionId: "late-s",
			ord: 2,
			role: "assistant",
			text: "nearly done",
		};
		changes(
			record("Message", "late-a", { ...fields, status: "complete", requestId: "late-r", attempt: 1 }),
			record("Request", "late-r", { ...request, state: "done" }),
		);
		await running().waitFor({ state: "detached" });
		delta(1, 6, " done");
		await page.waitForTimeout(200);
		assert.equal(await running().count(), 0);
		assert.deepEqual(await page.locator("article .body").allInnerTexts(), ["well?", "nearly done"]);
	});

	test("thinking is there, folded", async () => {
		const { delta } = await runningConversation("thinking");
		delta(1, 0, "let me see", "thinking");
		delta(1, 0, "42");
		await showsRunning("42");
		const thinking = page.locator("details.thinking");
		assert.equal(await thinking.getAttribute("open"), null);
		await thinking.locator("summary").click();
		await thinking.getByText("let me see").waitFor();
	});
});

describe("a request", () => {
	test("that waits for another try says when, and can be stopped", async () => {
		await runningConversation("waits");
		const error = { code: "provider_busy", message: "the provider is limiting or overloaded" };
		const nextTryAt = new Date(Date.now() + 30_000).toISOString();
		push({ type: "request:state", requestId: "waits-r", state: "retrying", attempt: 1, error, nextTryAt });
		await page.getByText(/Trying again in \d+ s \(attempt 2\): the provider is limiting or overloaded/).waitFor();
		await page.getByLabel("Message", { exact: true }).press("Escape");
		assert.equal((await asked("request:stop")).requestId, "waits-r");
		await page.getByText("Stopping").waitFor();
	});

	test("that waits for a limit says for which and until when, and is looked at again when that has come", async () => {
		const { request } = await runningConversation("paced");
		silenced.add("request:get");
		const state = { type: "request:state", requestId: "paced-r", state: "queued", attempt: 1, provider: "openai" };
		const soon = (ms) => new Date(Date.now() + ms).toISOString();
		push({ ...state, pacing: { untilAt: soon(1500), why: "requests" } });
		changes(record("Request", "paced-r", { ...request, state: "queued" })); // the record says less, and may come later
		await page.getByText(/Waiting: openai takes no more requests this minute; next try in \d s/).waitFor();
		const { id, requestId } = await asked("request:get");
		assert.equal(requestId, "paced-r");
		push({ ...state, re: id, pacing: { untilAt: soon(300_000), why: "circuit" } });
		await page.getByText("Waiting: openai does not work and is left alone; next try in 5 min").waitFor();
		push({ ...state, state: "claimed" });
		await page.getByText("Waiting for the model").waitFor();
	});

	test("that is tried again says why and who is asked now; the answer says what its model was not given", async () => {
		const { request } = await runningConversation("again");
		const now = { ...request, model: "a:first", servingModel: "b:second" };
		const error = { code: "provider_busy", message: "come back later" };
		const attempts = [{ attempt: 1, error: { ...error, class: "overloaded" } }];
		const nextTryAt = new Date(Date.now() + 30_000).toISOString();
		changes(record("Request", "again-r", { ...now, state: "retrying", error, nextTryAt, attempts }));
		const why = /Trying again in \d+ s \(attempt 2: overloaded\), b:second instead of a:first: come back later/;
		await page.getByText(why).waitFor();
		const context = { leftOut: 12, tokens: 9, room: 8, summarised: false };
		const cost = { ticks: 12_000_000, reported: false };
		const answer = { conversationId: "again", ord: 2, role: "assistant", text: "done", status: "complete" };
		changes(
			record("Message", "again-a", { ...answer, requestId: "again-r", attempt: 2, model: "b:second" }),
			record("Request", "again-r", {
				...now,
				state: "done",
				attempt: 2,
				cost,
				attempts: [...attempts, { attempt: 2, context }],
			}),
		);
		const footer = page.locator('[data-message="again-a"] footer');
		for (const text of ["b:second", "instead of a:first", "12 older messages did not fit", "about $0.0012"])
			await footer.getByText(text, { exact: true }).waitFor();
	});

	test("that failed stays under its question with a way to try again", async () => {
		const { request } = await runningConversation("failed");
		const error = { code: "provider_error", message: "the provider reported an error" };
		const next = { conversationId: "failed", sessionId: "failed-s", ord: 5, role: "user", text: "next question" };
		changes(
			record("Request", "failed-r", { ...request, state: "failed", error }),
			record("Message", "failed-n", next),
		);
		await page.getByText("No answer: the provider reported an error").waitFor();
		const order = await page.locator("article").evaluateAll((all) => all.map((one) => one.className));
		assert.deepEqual(order, ["user", "assistant running", "user"]);
		silenced.add("request:retry");
		await page.getByRole("button", { name: "Try again" }).click();
		assert.equal((await asked("request:retry")).requestId, "failed-r");
	});
});

describe("a question of an agent", () => {
	const question = (id, fields = {}) =>
		record("Permission", `${id}-p`, {
			requestId: `${id}-r`,
			conversationId: id,
			attempt: 1,
			tool: "Bash",
			input: { command: "true" },
			askedAt: new Date().toISOString(),
			expiresAt: new Date(Date.now() + 100_000).toISOString(),
			state: "open",
			...fields,
		});
	const card = () => page.locator(".question");

	test("is text only, and hides nothing: no markup, no turned order, no characters that are not seen", async () => {
		await runningConversation("asks");
		const tool = "<img src=x onerror=window.pwned=1>\u202Etxt";
		const input = { command: "<script>window.pwned=1</script>", "\u200B": "a\u2066b\u0007\u{E0041}\u3164" };
		changes(question("asks", { tool, input }));
		await card().waitFor();
		const text = await card().locator("pre").innerText();
		assert.ok(text.includes('"command": "<script>window.pwned=1</script>"'), text);
		assert.ok(text.includes(String.raw`"\u{200b}": "a\u{2066}b\u0007\u{e0041}\u{3164}"`), text);
		assert.ok((await card().innerText()).includes(String.raw`onerror=window.pwned=1>\u{202e}txt`));
		assert.equal(await page.evaluate(() => window.pwned), undefined);
		assert.equal(await page.locator(".messages img, .messages script").count(), 0);
	});

	test("that is long is folded, says how much is not seen, and is shown whole when asked to", async () => {
		const content = Array.from({ length: 300 }, (_, n) => `line ${n}`).join("\n") + "; rm -rf /";
		await runningConversation("long");
		changes(question("long", { tool: "Write", input: { lines: content.split("\n") } }));
		const more = card().getByRole("button", { name: /^Show all: \d+ more characters$/ });
		await more.waitFor();
		const folded = await card().locator("pre").innerText();
		assert.ok(folded.includes("line 1") && !folded.includes("rm -rf"));
		const hidden = Number(/\d+/.exec(await more.innerText())[0]);
		assert.equal(await more.getAttribute("aria-expanded"), "false");
		await more.click();
		const whole = await card().locator("pre").innerText();
		assert.ok(whole.includes("rm -rf /"));
		assert.equal(whole.length, folded.length - 1 + hidden);
		await card().getByRole("button", { name: "Show less" }).click();
	});

	test("is not answered by a tap that was meant for what stood there before", async () => {
		await runningConversation("hasty");
		silenced.add("permission:answer");
		changes(question("hasty"));
		await card().waitFor();
		await card().getByRole("button", { name: "Allow" }).dispatchEvent("click");
		await card().getByRole("button", { name: "Allow Bash", disabled: false }).click();
		assert.deepEqual(sent.filter((frame) => frame.type === "permission:answer").length, 1);
	});

	test("that was answered elsewhere meanwhile says by whom and how", async () => {
		await runningConversation("late");
		changes(record("Device", "tablet", { name: "Ann's tablet" }), question("late"));
		await card().getByRole("button", { name: "Allow Bash", disabled: false }).click();
		const { id, permissionId, allow } = await asked("permission:answer");
		assert.deepEqual([permissionId, allow], ["late-p", true]);
		await card().getByRole("button", { name: "Refuse Bash", disabled: true }).waitFor();
		const answered = question("late", { state: "denied", by: "tablet", answeredAt: new Date().toISOString() });
		const message = "the question is not open any more: it was denied";
		push({ type: "error", re: id, code: "already_answered", message, retryable: false, record: answered });
		await page.locator(".answered summary").getByText(/Bash: refused on Ann's tablet/).waitFor();
		await page.getByRole("status").filter({ hasText: "it was denied" }).waitFor();
		assert.equal(await card().count(), 0);
		await page.getByRole("button", { name: "Dismiss" }).click();
	});
});

describe("refusals", () => {
	async function refuse(text, error) {
		silenced.add("message:send");
		sent = [];
		await page.getByLabel("Message", { exact: true }).fill(text);
		await page.getByLabel("Message", { exact: true }).press("Enter");
		const frame = await asked("message:send");
		sent = [];
		push({ type: "error", re: frame.id, retryable: false, ...error });
		return frame;
	}

	test("a duplicate is kept and sent anyway when the person says so", async () => {
		await runningConversation("refused");
		const first = await refuse("say it twice", { code: "duplicate_message", message: "another device sent it" });
		await page.getByText("Not sent: another device sent it").waitFor();
		await page.getByRole("button", { name: "Send anyway" }).click();
		const again = await asked("message:send");
		assert.deepEqual([again.messageId, again.text, again.force], [first.messageId, "say it twice", true]);
		push({
			type: "message:ack",
			re: again.id,
			messageId: again.messageId,
			duplicate: false,
			changeTag: "t",
			ord: 2,
		});
		await page.locator(`article.user:not(.pending):not(.refused)[data-message="${again.messageId}"]`).waitFor();
	});

	test("a passing refusal is tried again by itself", async () => {
		const first = await refuse("the disk is full just now", {
			code: "storage_full",
			message: "the disk is full",
			retryable: true,
		});
		const again = await asked("message:send");
		assert.equal(again.messageId, first.messageId);
		push({
			type: "message:ack",
			re: again.id,
			messageId: again.messageId,
			duplicate: false,
			changeTag: "t",
			ord: 3,
		});
		await page.locator(`article.user:not(.pending)[data-message="${again.messageId}"]`).waitFor();
		await page.getByRole("button", { name: "Dismiss" }).click();
	});

	test("an unknown frame and an odd record harm nothing", async () => {
		push({ type: "weather:report", sun: true });
		changes(record("Unheard", "of", { any: { thing: [1, 2] } }), {
			...record("Message", "gone", {}),
			deleted: true,
		});
		await page.getByText("well?").waitFor();
		assert.deepEqual(browser.complaints, []);
	});
});

describe("typing", () => {
	test("where it decides who drives, it is said once a second and not by the driver", async () => {
		const primary = { deviceId: "other", term: 1 };
		changes(
			record("Conversation", "types", {
				title: "types",
				currentSessionId: "types-s",
				settings: { primary: "followsTyping" },
			}),
		);
		await page.evaluate(() => (location.hash = "c=types"));
		const join = await asked("session:join");
		push({ type: "session:state", re: join.id, session: { name: "types-s" }, primary, running: [] });
		await page.getByRole("button", { name: "another device drives" }).waitFor();
		const said = () => sent.filter((frame) => frame.type === "session:typing");
		const type = (text) =>
			page.getByLabel("Message", { exact: true }).evaluate((field, letters) => {
				for (const letter of letters) {
					field.value += letter;
					field.dispatchEvent(new InputEvent("input", { bubbles: true }));
				}
			}, text);
		await type("hello");
		await until(said, (frames) => frames.length > 0, "session:typing");
		assert.deepEqual(said(), [{ type: "session:typing", sessionId: "types-s" }]);
		await page.waitForTimeout(1000);
		const { deviceId } = await (await page.request.get(`${daemon.url}/api/v1/me`)).json();
		push({ type: "device:primary", sessionId: "types-s", deviceId, term: 2 });
		await page.getByRole("button", { name: "This device drives" }).waitFor();
		await type(" again");
		await page.waitForTimeout(200);
		assert.equal(said().length, 1);
		await page.getByLabel("Message", { exact: true }).fill("");
	});
});

describe("the feed and the credential", () => {
	test("an expired cursor drops everything and syncs from none", async () => {
		silenced.clear();
		push({ type: "error", code: "cursor_expired", message: "sync again from none", retryable: false });
		const hello = await asked("device:hello");
		assert.equal(hello.cursor, undefined);
		await page.locator('main[data-link="up"]').waitFor();
		await until(
			() => page.getByText("about thinking").count(),
			(count) => count === 0,
			"old records gone",
		);
	});

	test("a revoked device is back at the pairing screen", async () => {
		await socket.close({ code: 4003, reason: "revoked" });
		await page.getByRole("heading", { name: "Pair this device" }).waitFor();
		await page.getByText("This device was removed").waitFor();
	});
});
