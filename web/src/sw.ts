/* The page without the daemon: keeps the page's own few files, and serves them when the network does not. Whatever the
 * daemon can answer it answers; nothing under /api/ is ever touched, so no conversation is stored here. */

/* What is used of a service worker's scope; the library of its types and that of a page's exclude each other. */
interface LifeEvent extends Event {
	waitUntil(promise: Promise<unknown>): void;
}
interface FetchEvent extends Event {
	request: Request;
	respondWith(response: Promise<Response>): void;
}
interface Scope {
	location: Location;
	clients: { claim(): Promise<void> };
	skipWaiting(): Promise<void>;
	addEventListener(type: "install" | "activate", listener: (event: LifeEvent) => void): void;
	addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
}

const worker = self as unknown as Scope;
const CACHE = "roost-page";
const FILES = ["./", "app.js", "style.css", "icon.svg", "manifest.webmanifest"];

worker.addEventListener("install", (event) => {
	event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
	void worker.skipWaiting();
});

worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));

worker.addEventListener("fetch", (event) => {
	const url = new URL(event.request.url);
	const name = url.pathname === "/" ? "./" : url.pathname.slice(1);
	if (event.request.method !== "GET" || url.origin !== worker.location.origin || !FILES.includes(name)) return;
	event.respondWith(answer(event.request, name));
});

async function answer(request: Request, name: string): Promise<Response> {
	const cache = await caches.open(CACHE);
	try {
		const response = await fetch(request);
		if (response.ok) await cache.put(name, response.clone());
		return response;
	} catch (error) {
		const kept = await cache.match(name);
		if (kept) return kept;
		throw error;
	}
}
