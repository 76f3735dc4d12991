/* Where the page is, kept in the address's fragment: it never reaches the daemon, and the back button works. */

export type Route = { screen: "list" | "settings" | "devices" | "projects" } | { screen: "thread"; id: string };

/* A fragment's escaped part; one that is not well escaped is nothing. */
function unescaped(text: string): string {
	try {
		return decodeURIComponent(text);
	} catch {
		return "";
	}
}

export function route(): Route {
	const hash = location.hash.slice(1);
	if (hash === "settings" || hash === "devices" || hash === "projects") return { screen: hash };
	const id = hash.startsWith("c=") ? unescaped(hash.slice(2)) : "";
	if (id !== "") return { screen: "thread", id };
	return { screen: "list" };
}

export function go(to: Route): void {
	location.hash =
		to.screen === "thread" ? `c=${encodeURIComponent(to.id)}` : to.screen === "list" ? "" : to.screen;
}

/* Takes a pairing code out of the address, so that it stays in no history. */
export function takePairingCode(): string {
	if (!location.hash.startsWith("#pair=")) return "";
	const code = unescaped(location.hash.slice(6));
	history.replaceState(null, "", location.pathname);
	return code;
}
