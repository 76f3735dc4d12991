// Devices in step, as a person sees it: two pages and a program against the real daemon. What is promised is in
// docs/sync.md; here is whether a person is told, and can do it with a thumb or with a keyboard.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { join } from "node:path";
import { begin, Browser, openConversation, pictures, press, say, setParams, until } from "./setup.mjs";
import { Daemon, newId } from "../lib/roost.mjs";

const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const BRIEF = { tokens: 5, thinking: 0 };
const SLOW = { tokens: 4, delayMs: 60_000 };
const HOSTILE = "<img src=x onerror=window.pwned=1>"; // what the program is called

let daemon;
let browser;
let desk;
let phone;
let program; // a device without a page

const message = (page, text) => page.locator("article.user").filter({ hasText: text });
const answers = (page) => page.locator("article.assistant:not(.running)");
const sheet = (page) => page.getByRole("dialog");
const drives = (page, who) => page.getByRole("button", { name: `${who} drives` }).waitFor();
const field = (page) => page.getByLabel("Message", { exact: true });
const notice = (page, text) => page.getByRole("status").filter({ hasText: text });

before(async () => {
	daemon = await Daemon.start();
	browser = await Browser.start(daemon);
	desk = await browser.device({ name: "Desk", params: BRIEF });
	phone = await browser.device({ name: "Phone", params: BRIEF, ...PHONE });
	program = await daemon.device({ name: HOSTILE });
});

after(async () => {
	await browser?.close();
	await daemon?.remove();
});

async function onPhone(title) {
	await phone.goto(`${daemon.url}/#`);
	await openConversation(phone, title);
}

// A conversation of the desk with one message and its answer, open on both pages; the desk drives.
async function together(title) {
	await begin(desk, title);
	await answers(desk).waitFor();
	await onPhone(title);
	await answers(phone).waitFor();
	await drives(desk, "This device");
	await drives(phone, "Desk");
}

async function sessionOf(title) {
	const at = () => program.all("Conversation").find((one) => one.fields.title === title);
	await program.until(at, `the conversation ${title}`);
	const conversationId = at().name;
	return { conversationId, sessionId: at().fields.currentSessionId };
}

async function act(page, text, ...names) {
	await message(page, text).getByRole("button", { name: "Message actions" }).click();
	for (const name of names) await sheet(page).getByRole("button", { name }).click();
}

async function edit(page, text, to) {
	await act(page, text, "Edit");
	await sheet(page).getByLabel("Text").fill(to);
	await press(page, "Save");
}

// What a person would complain about on a phone: a page to be pushed sideways, a control without a name.
async function fits(page, name) {
	await page.screenshot({ path: join(pictures, `sync-${name}.png`) });
	const width = page.viewportSize().width;
	assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${name} is too wide`);
	const overflowing = await page.locator("dialog[open], .strips, .composer, .page").evaluateAll((all) =>
		all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.className),
	);
	assert.deepEqual(overflowing, [], `${name} scrolls sideways inside`);
	const nameless = await page.locator("button:visible, input:visible, textarea:visible, select:visible").evaluateAll(
		(all) =>
			all
				.filter((one) => !(one.ariaLabel || one.labels?.length || (one.tagName === "BUTTON" && one.innerText.trim())))
				.map((one) => one.outerHTML),
	);
	assert.deepEqual(nameless, [], `${name} has controls without a name`);
}

describe("who drives", () => {
	test("the first device to open a conversation drives, and each page says who", async () => {
		await together("who drives this");
	});

	test("a tap takes over, and the other page knows", async () => {
		await press(phone, "Desk drives");
		await fits(phone, "driver");
		await press(phone, "Drive from here");
		await drives(phone, "This device");
		await drives(desk, "Phone");
	});

	test("a tap hands over to a device that has it open", async () => {
		await press(phone, "This device drives", "Hand over to Desk");
		await drives(desk, "This device");
		await drives(phone, "Desk");
	});

	test("typing changes nothing unless the conversation says so, and then it takes over", async () => {
		await field(phone).fill("a");
		await phone.waitForTimeout(400);
		await drives(desk, "This device");
		await press(desk, "Conversation menu");
		await desk.getByRole("switch", { name: "The device I type on drives" }).click();
		await press(desk, "Close");
		await sessionOf("who drives this");
		await until(
			async () => {
				await field(phone).fill("ab");
				await field(phone).fill("abc");
				await phone.waitForTimeout(300);
				return phone.getByRole("button", { name: "This device drives" }).count();
			},
			(count) => count === 1,
			"the phone drives",
		);
		await drives(desk, "Phone");
		await field(phone).fill("");
		await press(phone, "Conversation menu");
		await phone.getByRole("switch", { name: "The device I type on drives", checked: true }).waitFor();
		await fits(phone, "menu");
		await press(phone, "Close");
	});

	test("a device that leaves is followed by the other without a tap", async () => {
		await press(phone, "Back to the list");
		await drives(desk, "This device");
	});
});

describe("clearing", () => {
	test("the device that cleared is empty, the other keeps its copy and says who cleared", async () => {
		await together("clear me");
		await press(phone, "Conversation menu", "New session");
		await fits(phone, "clear");
		await press(phone, "Start a new session");
		await until(
			() => phone.locator("article").count(),
			(count) => count === 0,
			"nothing on the phone",
		);
		await desk.getByText("Cleared on Phone").waitFor();
		assert.equal(await desk.locator("article").count(), 2);
		await phone.reload();
		await phone.locator('main[data-link="up"]').waitFor();
		await phone.waitForTimeout(300);
		assert.equal(await phone.locator("article").count(), 0, "nor after a reload");
	});

	test("what is said next is in the new session, behind the line, on both", async () => {
		await say(desk, "a new beginning");
		await message(phone, "a new beginning").waitFor();
		await until(
			() => answers(desk).count(),
			(count) => count === 2,
			"answered",
		);
		const kinds = await desk
			.locator(".messages article, .messages .cleared")
			.evaluateAll((all) => all.map((one) => one.className));
		assert.deepEqual(kinds, ["user", "assistant", "cleared", "user", "assistant"]);
		await desk.screenshot({ path: join(pictures, "sync-cleared-desk.png") });
	});

	test("a message for a cleared session waits for the person, who sends it to the new one", async () => {
		await answers(phone).waitFor();
		await phone.line.cut(phone);
		await say(phone, "meant for the old session");
		await edit(phone, "a new beginning", "an edit for the old session");
		await press(desk, "Conversation menu", "New session", "Start a new session");
		await until(
			() => desk.locator("article").count(),
			(count) => count === 0,
			"nothing on the desk",
		);
		await phone.line.mend(phone);
		await message(phone, "meant for the old session").getByText("Not sent: the session was cleared").waitFor();
		await message(phone, "an edit for the old session").getByText("Edit not saved").waitFor();
		await phone.waitForTimeout(300);
		assert.equal(await desk.locator("article").count(), 0, "nothing went anywhere by itself");
		await fits(phone, "killed");
		await message(phone, "an edit for").getByRole("button", { name: "Discard" }).click();
		await message(phone, "meant for").getByRole("button", { name: "Send to the new session" }).click();
		await message(desk, "meant for the old session").waitFor();
		await message(phone, "an edit for").waitFor({ state: "detached" });
		await phone.locator("article.refused").waitFor({ state: "detached" });
	});
});

describe("the same words from two devices", () => {
	test("the second is held, the first is told, and either end of it is the person's", async () => {
		await together("twice or not");
		await say(desk, "buy bread");
		await message(phone, "buy bread").waitFor();
		await say(phone, "buy bread");
		await phone.getByText(/Not sent: Desk sent the same \d\.\d s before/).waitFor();
		await notice(desk, "Phone sent the same").waitFor();
		await fits(phone, "duplicate");
		await press(phone, "Send anyway");
		for (const page of [desk, phone]) {
			await until(
				() => message(page, "buy bread").count(),
				(count) => count === 2,
				"both on both",
			);
		}
		await phone.locator("article.refused").waitFor({ state: "detached" });
		await say(desk, "buy milk");
		await message(phone, "buy milk").waitFor();
		await say(phone, "buy milk");
		await press(phone, "Discard");
		await phone.locator("article.refused").waitFor({ state: "detached" });
		assert.equal(await message(phone, "buy milk").count(), 1);
		assert.equal(await message(desk, "buy milk").count(), 1);
	});
});

describe("edits", () => {
	test("an edit is seen on the other device, marked, and can be taken back", async () => {
		await together("diner at seven");
		await edit(desk, "diner at seven", "dinner at seven");
		await message(phone, "dinner at seven").getByText("edited").waitFor();
		await act(phone, "dinner at seven", "History");
		await sheet(phone).getByText("diner at seven").waitFor();
		await fits(phone, "history");
		await press(phone, "Restore");
		await message(desk, "diner at seven").waitFor();
	});

	test("two edits that knew nothing of each other: both pages show one, and say so", async () => {
		await phone.line.cut(phone);
		await edit(phone, "diner at seven", "dinner at eight");
		await message(phone, "dinner at eight").getByText("Edit not sent yet").waitFor();
		await fits(phone, "edit-offline");
		await phone.waitForTimeout(5); // so that the desk's is the later one
		await edit(desk, "diner at seven", "dinner at seven, bring wine");
		await message(desk, "bring wine").getByText("edited").waitFor();
		await phone.line.mend(phone);
		await message(phone, "bring wine").getByText("edited on two devices").waitFor();
		await message(desk, "bring wine").getByText("edited on two devices").waitFor();
		await notice(phone, "the history has yours").waitFor();
		await notice(desk, "the history has both").waitFor();
		for (const page of [desk, phone]) await press(page, "Dismiss");
		await act(desk, "bring wine", "History");
		const lost = sheet(desk).getByRole("listitem").filter({ hasText: "dinner at eight" });
		await lost.getByText("Phone").waitFor();
		await lost.getByRole("button", { name: "Restore" }).click();
		await message(phone, "dinner at eight").waitFor();
	});

	test("a message deleted on one device is gone on both", async () => {
		await act(phone, "dinner at eight", "Delete");
		await press(phone, "Delete for everybody");
		for (const page of [phone, desk]) await message(page, "dinner").waitFor({ state: "detached" });
	});

	test("a rename, a pin and an archive made apart all hold", async () => {
		await phone.line.cut(phone);
		await press(phone, "Conversation menu", "Rename");
		await fits(phone, "rename");
		await sheet(phone).getByLabel("Title").fill("what we eat");
		await press(phone, "Save");
		await phone.getByRole("heading", { name: "what we eat" }).waitFor();
		await press(desk, "Conversation menu", "Pin");
		await phone.line.mend(phone);
		await desk.getByRole("heading", { name: "what we eat" }).waitFor();
		await press(desk, "Conversation menu", "Archive");
		const archive = desk.getByRole("navigation").locator("details");
		await archive.getByText("what we eat").waitFor({ state: "attached" });
		await phone.goto(`${daemon.url}/#`);
		await phone.getByText("Archived (1)").click();
		await phone.getByRole("link", { name: /what we eat.*pinned/ }).waitFor();
		await fits(phone, "archive");
	});

	test("a title's history has the one before", async () => {
		await phone.getByRole("link", { name: "what we eat" }).click();
		await press(phone, "Conversation menu", "Rename");
		await sheet(phone).getByText("diner at seven").waitFor();
		await press(phone, "Restore");
		await desk.getByRole("heading", { name: "diner at seven" }).waitFor();
	});
});

describe("the queue", () => {
	test("two that wait are said on both, and can be put first, removed, held and cleared", async () => {
		await together("a queue");
		await setParams(desk, SLOW);
		await openConversation(desk, "a queue");
		for (const text of ["first", "second", "third", "fourth"]) {
			await say(desk, text);
			await message(phone, text).waitFor();
		}
		await phone.getByRole("button", { name: "3 waiting" }).waitFor();
		await press(phone, "Pause the queue");
		await desk.getByRole("button", { name: "3 waiting, paused" }).click();
		const waiting = async (page) => (await sheet(page).locator("li > span").allInnerTexts()).slice(1);
		assert.deepEqual(await waiting(desk), ["second", "third", "fourth"]);
		await press(phone, "3 waiting, paused", "Earlier: third");
		await until(() => waiting(desk), (now) => now.join() === "third,second,fourth", "the third is first");
		await fits(phone, "queue");
		await press(desk, "Remove: second");
		await until(() => waiting(phone), (now) => now.join() === "third,fourth", "the second is gone");
		await press(desk, "Close");
		await press(phone, "Close");
		await fits(phone, "queue-line");
		await press(phone, "Clear the queue");
		await desk.getByRole("button", { name: "0 waiting, paused" }).waitFor();
		await press(desk, "Resume the queue");
		await phone.getByRole("group", { name: "Queue" }).waitFor({ state: "detached" });
	});

	test("Escape closes a sheet and does not stop the answer under it", async () => {
		const answering = desk.locator('article.running[data-state="claimed"]');
		await answering.waitFor();
		await press(desk, "Conversation menu");
		await desk.keyboard.press("Escape");
		await sheet(desk).waitFor({ state: "detached" });
		await desk.waitForTimeout(300);
		assert.equal(await answering.count(), 1);
		await desk.keyboard.press("Escape");
		await answering.waitFor({ state: "detached" });
		await setParams(desk, BRIEF);
	});
});

describe("an automatic run", () => {
	let sessionId;
	let conversationId;

	test("says who drives it and how far it is, with a name that is only text", async () => {
		conversationId = newId();
		await program.send({ conversationId, text: "run by itself" });
		const state = await program.call("session:join", { conversationId });
		sessionId = state.session.name;
		await onPhone("run by itself");
		await drives(phone, HOSTILE);
		await program.call("auto:start", { sessionId, mode: "messages", limits: { maxMessages: 5 } });
		await phone.getByText(`Automatic run by ${HOSTILE}, 0 of 5`).waitFor();
		const { term } = state.primary;
		await program.send({ conversationId, sessionId, text: "go on", auto: true, term });
		await phone.getByText("1 of 5").waitFor();
		await message(phone, "go on").getByText("automatic").waitFor();
		await fits(phone, "auto");
		assert.equal(await phone.evaluate(() => window.pwned), undefined);
		assert.equal(await phone.locator("main img").count(), 0);
	});

	test("is paused, taken up and ended from the page", async () => {
		const newest = () => program.frames.findLast((one) => one.type === "auto:state");
		const state = (name) => program.until(() => newest()?.state === name, name);
		await press(phone, "Pause the run");
		await state("paused");
		await phone.getByText("paused: by hand").waitFor();
		await press(phone, "Resume the run");
		await state("running");
		await press(phone, `${HOSTILE} drives`, "Drive from here");
		await phone.getByText("waits for a device that can drive it").waitFor();
		await press(phone, "Hand over");
		await sheet(phone).getByRole("button", { name: `Hand over to ${HOSTILE}` }).click();
		await drives(phone, HOSTILE);
		await press(phone, "End the run");
		await state("stopped");
		await phone.getByRole("group", { name: "Automatic run" }).waitFor({ state: "detached" });
	});

	test("is begun on the page with its limits, which then tells how it stands and how it ended", async () => {
		await press(phone, "Conversation menu", "Automatic run");
		await sheet(phone).getByText("1 of 5; stopped: by hand").waitFor();
		await sheet(phone).getByLabel("It ends when").selectOption({ label: "its messages are sent" });
		await sheet(phone).getByLabel("Messages, at most").fill("1");
		await sheet(phone).getByLabel("Minutes, at most").fill("7");
		await fits(phone, "auto-start");
		await press(phone, "Start");
		await phone.getByText(`Automatic run by ${HOSTILE}, 0 of 1`).waitFor();
		const begun = program.frames.findLast((one) => one.type === "auto:state");
		assert.deepEqual([begun.mode, begun.limits.maxMessages, begun.limits.maxMs], ["messages", 1, 420_000]);
		await press(phone, "Conversation menu", "Automatic run");
		await sheet(phone).getByText("0 of 1.").waitFor();
		await fits(phone, "auto-sheet");
		const { term } = begun.primary;
		const { messageId } = await program.send({ conversationId, sessionId, text: "the last one", auto: true, term });
		assert.ok(messageId);
		await sheet(phone).getByText("1 of 1; stopped: all its messages are sent").waitFor();
		await press(phone, "Close");
	});

	test("that the daemon does not begin is said in words", async () => {
		await press(phone, "Conversation menu", "Automatic run");
		await sheet(phone).getByLabel("Messages, at most").fill("100000000");
		await press(phone, "Start");
		await notice(phone, /autoMessages|maxMessages/).waitFor();
		await press(phone, "Dismiss");
	});

	test("a lock of another device stops the composer, which says who and until when", async () => {
		await field(phone).fill("may I?");
		await program.call("session:lock", { sessionId });
		await phone.getByText(/holds this session until \d/).waitFor();
		assert.equal(await phone.getByRole("button", { name: "Send", exact: true }).isDisabled(), true);
		await field(phone).press("Enter");
		assert.equal(await field(phone).inputValue(), "may I?");
		await fits(phone, "lock");
		await program.call("session:unlock", { sessionId });
		await phone.getByText("holds this session").waitFor({ state: "detached" });
		await field(phone).press("Enter");
		await message(phone, "may I?").waitFor();
	});
});

describe("the lock of a session", () => {
	const lockedFor = (page, text) => page.getByRole("button", { name: text }).waitFor();

	test("is taken and freed from the page, and each page says who has it", async () => {
		await together("only I write");
		await press(desk, "This device drives", "Let only this device write");
		await lockedFor(desk, "locked by this device");
		await lockedFor(phone, "locked by Desk");
		await phone.getByText(/Desk holds this session until \d/).waitFor();
		await fits(phone, "locked");
		await press(phone, "locked by Desk");
		await sheet(phone).getByText(/Desk alone may write, until \d/).waitFor();
		assert.equal(await sheet(phone).getByRole("button", { name: /write/ }).count(), 0, "it is not this one's to free");
		await fits(phone, "lock-sheet");
		await press(phone, "Close");
		await say(desk, "the holder may");
		await message(phone, "the holder may").waitFor();
		await press(desk, "locked by this device", "Let every device write");
		await phone.getByText("holds this session").waitFor({ state: "detached" });
		await say(phone, "now everybody may");
		await message(desk, "now everybody may").waitFor();
	});

	test("outlives its lease while the page is open, and not the page's connection", async () => {
		const own = await Daemon.start({ config: "limits:\n  lockMs: 4000\n" });
		const other = await Browser.start(own);
		try {
			const page = await other.device({ name: "Desk", params: BRIEF });
			const watcher = await own.device();
			await begin(page, "for longer than a lease");
			await answers(page).waitFor();
			const conversationId = watcher.all("Conversation")[0].name;
			await watcher.call("session:join", { conversationId });
			await press(page, "This device drives", "Let only this device write");
			const told = (type) => watcher.frames.filter((one) => one.type === type);
			await watcher.until(() => told("session:locked").length >= 4, "three renewals");
			assert.equal(new Set(told("session:locked").map((one) => one.fence)).size, 1, "it is one lock");
			assert.equal(told("session:unlocked").length, 0);
			await page.line.cut(page);
			await watcher.until(() => told("session:unlocked").length === 1, "the lock to be free");
			await page.line.mend(page);
			await page.getByText("locked by").waitFor({ state: "detached" });
		} finally {
			await other.close();
			await own.remove();
		}
	});
});

describe("projects", () => {
	const project = (page, title) => page.getByRole("listitem").filter({ has: page.locator("summary", { hasText: title }) });
	const open = async (page) => {
		await page.goto(`${daemon.url}/#`);
		await page.getByRole("button", { name: "Projects" }).click();
	};

	async function make(page, title) {
		await page.getByLabel("Title of a new project").fill(title);
		await press(page, "Create");
		await project(page, title).waitFor();
	}

	test("one is made on a device, and a conversation put into it is in it on the other", async () => {
		await together("what the loft costs");
		await open(phone);
		await fits(phone, "projects-none");
		await make(phone, "Loft");
		await press(desk, "Conversation menu", "Project", "Loft");
		await project(phone, "Loft").getByText("1 conversation").waitFor();
		await project(phone, "Loft").locator("summary").click();
		await project(phone, "Loft").getByRole("link", { name: "what the loft costs" }).waitFor();
		await fits(phone, "projects");
	});

	test("one is made, renamed and filled without a daemon, and all of it arrives", async () => {
		await phone.line.cut(phone);
		await make(phone, "Gardn");
		await project(phone, "Gardn").locator("summary").click();
		await project(phone, "Gardn").getByRole("button", { name: "Rename" }).click();
		await project(phone, "Gardn").getByLabel("Title", { exact: true }).fill("Garden");
		await press(phone, "Save");
		await project(phone, "Garden").waitFor();
		assert.equal(await project(phone, "Garden").getByRole("button", { name: "New sessions" }).isDisabled(), true);
		await project(phone, "Garden").getByText("need the connection").waitFor();
		await phone.reload();
		await project(phone, "Garden").waitFor();
		await phone.goto(`${daemon.url}/#`);
		await openConversation(phone, "what the loft costs");
		await press(phone, "Conversation menu", "Project", "Garden");
		await phone.line.mend(phone);
		await open(desk);
		await project(desk, "Garden").getByText("1 conversation").waitFor();
		await project(desk, "Loft").getByText("0 conversations").waitFor();
	});

	test("one is archived and taken out again", async () => {
		await project(desk, "Loft").locator("summary").click();
		await project(desk, "Loft").getByRole("button", { name: "Archive" }).click();
		const archive = desk.locator(".page").getByText("Archived (1)");
		await archive.click();
		await project(desk, "Loft").locator("summary").click();
		await desk.screenshot({ path: join(pictures, "sync-projects-desk.png") });
		await project(desk, "Loft").getByRole("button", { name: "Take out of the archive" }).click();
		await archive.waitFor({ state: "detached" });
	});

	test("all conversations of one get new sessions, but those that are locked, and the page says which", async () => {
		const { conversationId } = await sessionOf("what the loft costs");
		const other = newId();
		const { sessionId } = await program.send({ conversationId: other, text: "the other of two" });
		const projectId = program.all("Project").find((one) => one.fields.title === "Garden").name;
		await program.call("record:save", {
			policy: "merge",
			records: [{ type: "Conversation", name: other, fields: { projectId } }],
		});
		await project(desk, "Garden").getByText("2 conversations").waitFor();
		const { session } = await program.call("session:join", { conversationId });
		await program.call("session:lock", { sessionId: session.name });
		await project(desk, "Garden").locator("summary").click();
		await project(desk, "Garden").getByRole("button", { name: "New sessions" }).click();
		await desk.screenshot({ path: join(pictures, "sync-project-clear-desk.png") });
		await press(desk, "Start new sessions");
		await notice(desk, "holds a lock; not cleared: what the loft costs").waitFor();
		const state = (id) => program.record("Conversation", id).fields.currentSessionId;
		await program.until(() => state(other) !== sessionId, "the other's new session");
		assert.equal(state(conversationId), session.name);
		await program.call("session:leave", { conversationId });
		await press(desk, "Dismiss");
	});
});

describe("devices", () => {
	const entry = (page, name) => page.getByRole("listitem").filter({ hasText: name });

	test("are listed with where they are and what they drive, live", async () => {
		await phone.goto(`${daemon.url}/#settings`);
		await press(phone, "All devices");
		await entry(phone, "Phone").getByText("this device").waitFor();
		await entry(phone, "Desk").getByText("online").waitFor();
		await entry(phone, HOSTILE).getByText("drives 1 session").waitFor();
		await desk.line.cut(desk);
		await entry(phone, "Desk").getByText("last seen").waitFor();
		await desk.line.mend(desk);
		await entry(phone, "Desk").getByText("online").waitFor();
		await fits(phone, "devices");
	});

	test("another one is locked out after a question", async () => {
		const one = entry(phone, HOSTILE);
		await one.getByRole("button", { name: `Revoke ${HOSTILE}` }).click();
		await fits(phone, "revoke");
		await one.getByRole("button", { name: "Lock it out" }).click();
		assert.equal((await program.gone).code, 4003);
		await one.waitFor({ state: "detached" });
		assert.equal(await entry(phone, "Phone").getByRole("button").count(), 0, "not this one");
	});
});

describe("offline", () => {
	test("the page says so, counts what waits, and says when it is in step again", async () => {
		await together("on a plane");
		await phone.line.cut(phone);
		await notice(phone, "Offline").waitFor();
		await say(phone, "written above the clouds");
		await act(phone, "on a plane", "Edit");
		await sheet(phone).getByLabel("Text").fill("on a plane to Rome");
		await press(phone, "Save");
		await notice(phone, /Offline · 2 to be sent · synced \d/).waitFor();
		assert.equal(await phone.getByRole("button", { name: "Conversation menu" }).isEnabled(), true);
		await press(phone, "Conversation menu");
		for (const name of ["New session", "Queue", "Automatic run"])
			assert.equal(await sheet(phone).getByRole("button", { name }).isDisabled(), true, name);
		await sheet(phone).getByText("new sessions need the connection").waitFor();
		await press(phone, "Close");
		await fits(phone, "offline");
		await phone.reload();
		await notice(phone, /Offline · 2 to be sent/).waitFor();
		await message(phone, "on a plane to Rome").waitFor();
		await phone.line.mend(phone);
		await message(desk, "written above the clouds").waitFor();
		await message(desk, "on a plane to Rome").waitFor();
		await press(phone, "Back to the list");
		await phone.getByText(/^Synced \d/).waitFor();
		await fits(phone, "list");
	});
});

test("what an older page left in its outbox is sent by this one", async () => {
	const page = await browser.device({ name: "Old" });
	await page.goto(`${daemon.url}/icon.svg`); // of the same origin, and without the page's script
	const draft = {
		messageId: newId(),
		conversationId: newId(),
		text: "left by the older page",
		request: {},
		at: new Date().toISOString(),
	};
	await page.evaluate(async (left) => {
		const done = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
		const [{ name }] = await indexedDB.databases();
		await done(indexedDB.deleteDatabase(name));
		const opening = indexedDB.open(name, 1);
		opening.onupgradeneeded = () => {
			opening.result.createObjectStore("records");
			opening.result.createObjectStore("meta");
			opening.result.createObjectStore("outbox", { keyPath: "messageId" });
		};
		const idb = await done(opening);
		await done(idb.transaction("outbox", "readwrite").objectStore("outbox").put(left));
		idb.close();
	}, draft);
	await page.goto(daemon.url);
	await desk.getByRole("navigation").getByRole("link", { name: draft.text }).waitFor();
	await page.context().close();
});

test("everything can be reached and left with the keyboard", async () => {
	await openConversation(desk, "on a plane");
	await drives(desk, "This device");
	const focused = () =>
		desk.evaluate(() => {
			const one = document.activeElement;
			return one === document.body ? "" : (one.getAttribute("aria-label") ?? one.innerText);
		});
	const tabTo = async (name) => {
		for (let i = 0; i < 60; i++) {
			if ((await focused()).includes(name)) return;
			await desk.keyboard.press("Tab");
		}
		assert.fail(`Tab does not come to ${name}`);
	};
	await desk.locator("body").click({ position: { x: 5, y: 5 } });
	await tabTo("This device drives");
	await desk.keyboard.press("Enter");
	await sheet(desk).waitFor();
	assert.match(await focused(), /Who drives/);
	await desk.keyboard.press("Escape");
	await sheet(desk).waitFor({ state: "detached" });
	assert.match(await focused(), /This device drives/, "the focus is back");
	await tabTo("Conversation menu");
	await tabTo("Message actions");
	await desk.keyboard.press("Enter");
	await tabTo("Edit");
	await desk.keyboard.press("Enter");
	await desk.getByLabel("Text").waitFor();
	assert.match(await focused(), /Edit/);
	await desk.keyboard.press("Escape");
	await sheet(desk).waitFor({ state: "detached" });
});

test("nothing was asked of any other host, and no script or policy complained", () => {
	assert.deepEqual(browser.foreign, []);
	assert.deepEqual(browser.complaints, []);
});
