/* Ids the page makes: UUIDv7, so that names made one after another lie side by side in the store. Made with
 * getRandomValues because crypto.randomUUID does not exist on a page served without TLS. */

export function uuid7(nowMs: number = Date.now()): string {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	for (let i = 0, shift = 40; i < 6; i++, shift -= 8) bytes[i] = Math.floor(nowMs / 2 ** shift) % 256;
	bytes[6] = 0x70 | (bytes[6]! & 0x0f);
	bytes[8] = 0x80 | (bytes[8]! & 0x3f);
	const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
	return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/* A first guess at what to call this device; the person can change it before pairing. */
export function deviceGuess(agent: string): string {
	const browsers: [RegExp, string][] = [
		[/Edg\//, "Edge"],
		[/Firefox\//, "Firefox"],
		[/Chrome\//, "Chrome"],
		[/Safari\//, "Safari"],
	];
	const systems: [RegExp, string][] = [
		[/iPhone/, "iPhone"],
		[/iPad/, "iPad"],
		[/Android/, "Android"],
		[/Mac OS/, "Mac"],
		[/Windows/, "Windows"],
		[/Linux/, "Linux"],
	];
	const find = (table: [RegExp, string][]) => table.find(([pattern]) => pattern.test(agent))?.[1];
	return `${find(browsers) ?? "Browser"} on ${find(systems) ?? "a computer"}`;
}
