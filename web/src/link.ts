/* The page's one WebSocket: opened, kept open, opened again.
 *
 * States: down (waiting to try again) → opening → up (welcomed) → down …, until stop() or a verdict that trying again
 * cannot change: the credential is gone, or another connection of this device took over.
 *
 * A browser does not tell why an upgrade was refused, so a connection that never opened is followed by one GET of
 * /api/v1/me: 401 means the credential is gone, anything else means try later. Waits double from 0.5 s to 30 s, each
 * drawn at random from its upper half so that many pages do not return in step; coming online or back to the
 * foreground tries at once. A link that is silent for PING_MS is pinged, and closed when nothing comes for PONG_MS. */

import { WireError, type Frame } from "./wire";

const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const OPEN_MS = 10_000;
const PING_MS = 25_000;
const PONG_MS = 10_000;

const CLOSE_REPLACED = 4001;
const CLOSE_REVOKED = 4003;

export interface LinkOwner {
	hello(): Frame; // the first frame of every connection
	welcome(frame: Frame): void;
	frame(frame: Frame): void; // whatever answers nothing that was asked
	down(): void;
	replaced(): void;
	unauthorized(): void;
}

interface Waiting {
	resolve(frame: Frame): void;
	reject(error: WireError): void;
}

export class Link {
	isUp = false;
	#owner: LinkOwner;
	#socket: WebSocket | null = null;
	#isWanted = false;
	#tries = 0;
	#timer = 0; // the one timer: next try, opening deadline, or silence
	#nextId = 1;
	#waiting = new Map<number, Waiting>();

	constructor(owner: LinkOwner) {
		this.#owner = owner;
		const hurry = () => {
			if (!this.#isWanted || document.visibilityState !== "visible") return;
			if (!this.#socket) this.#open();
			else if (this.isUp) this.#probe(this.#socket);
		};
		addEventListener("online", hurry);
		document.addEventListener("visibilitychange", hurry);
		addEventListener("pageshow", hurry);
	}

	start(): void {
		this.#isWanted = true;
		this.#tries = 0;
		if (!this.#socket) this.#open();
	}

	stop(): void {
		this.#isWanted = false;
		this.#close();
	}

	/* Drops this connection and opens another at once. */
	restart(): void {
		this.#close();
		this.start();
	}

	send(frame: Frame): void {
		if (this.isUp) this.#socket!.send(JSON.stringify(frame));
	}

	/* Sends a frame and waits for its answer. Rejects with a WireError: the daemon's, or `link_down`. */
	ask(frame: Frame): Promise<Frame> {
		return new Promise((resolve, reject) => {
			if (!this.isUp) {
				reject(new WireError({ code: "link_down", message: "not connected", retryable: true }));
				return;
			}
			const id = this.#nextId++;
			this.#waiting.set(id, { resolve, reject });
			this.#socket!.send(JSON.stringify({ ...frame, id }));
		});
	}

	#open(): void {
		clearTimeout(this.#timer);
		const scheme = location.protocol === "https:" ? "wss:" : "ws:";
		const socket = new WebSocket(`${scheme}//${location.host}/api/v1/devices/socket`, "roost.v1");
		let hasOpened = false;
		this.#socket = socket;
		this.#timer = window.setTimeout(() => this.#lost(socket), OPEN_MS);
		socket.onopen = () => {
			hasOpened = true;
			socket.send(JSON.stringify(this.#owner.hello()));
		};
		socket.onmessage = (event) => {
			if (this.#socket === socket) this.#received(String(event.data));
		};
		socket.onclose = (event) => {
			if (this.#socket !== socket) return;
			if (event.code === CLOSE_REPLACED) this.#verdict(() => this.#owner.replaced());
			else if (event.code === CLOSE_REVOKED) this.#verdict(() => this.#owner.unauthorized());
			else if (hasOpened) this.#lost(socket);
			else void this.#refused(socket);
		};
	}

	#received(data: string): void {
		this.#listen();
		const frame = JSON.parse(data) as Frame;
		if (frame.type === "pong") return;
		const waiting = frame.re === undefined ? undefined : this.#waiting.get(frame.re);
		if (waiting) {
			this.#waiting.delete(frame.re!);
			if (frame.type === "error") waiting.reject(new WireError(frame));
			else waiting.resolve(frame);
			return;
		}
		if (frame.type === "device:welcome") {
			this.isUp = true;
			this.#tries = 0;
			this.#owner.welcome(frame);
			return;
		}
		this.#owner.frame(frame);
	}

	/* Something was heard: the silence begins anew. */
	#listen(): void {
		clearTimeout(this.#timer);
		const socket = this.#socket!;
		this.#timer = window.setTimeout(() => this.#probe(socket), PING_MS);
	}

	#probe(socket: WebSocket): void {
		clearTimeout(this.#timer);
		if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"ping"}');
		this.#timer = window.setTimeout(() => this.#lost(socket), PONG_MS);
	}

	async #refused(socket: WebSocket): Promise<void> {
		let status = 0;
		try {
			status = (await fetch("/api/v1/me", { cache: "no-store" })).status;
		} catch {
			status = 0;
		}
		if (this.#socket !== socket) return;
		if (status === 401) this.#verdict(() => this.#owner.unauthorized());
		else this.#lost(socket);
	}

	#verdict(tell: () => void): void {
		this.#isWanted = false;
		this.#close();
		tell();
	}

	#lost(socket: WebSocket): void {
		if (this.#socket !== socket) return;
		this.#close();
		if (!this.#isWanted) return;
		const wait = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#tries++);
		this.#timer = window.setTimeout(() => this.#open(), wait / 2 + (Math.random() * wait) / 2);
		this.#owner.down();
	}

	#close(): void {
		clearTimeout(this.#timer);
		const socket = this.#socket;
		this.#socket = null;
		this.isUp = false;
		socket?.close();
		const waiting = [...this.#waiting.values()];
		this.#waiting.clear();
		for (const one of waiting)
			one.reject(new WireError({ code: "link_down", message: "connection lost", retryable: true }));
	}
}
