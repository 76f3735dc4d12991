/* Stamps: the order of edits, "<12 hex: wall ms>-<4 hex: counter>-<device id>", compared as text.
 *
 * A new stamp is the wall time or, when something later was seen already, that and a step more; so an edit is later
 * than every edit its maker had seen, whatever the clocks say. The daemon makes its own in the same way. */

import type { WireRecord } from "./wire";

const COUNTER_MAX = 0xffff;

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");

export function makeStamp(nowMs: number, last: string, deviceId: string): string {
	const seen = /^([0-9a-f]{12})-([0-9a-f]{4})-/.exec(last);
	let ms = nowMs;
	let counter = 0;
	if (seen && parseInt(seen[1]!, 16) >= nowMs) {
		ms = parseInt(seen[1]!, 16);
		counter = parseInt(seen[2]!, 16) + 1;
		if (counter > COUNTER_MAX) {
			ms++;
			counter = 0;
		}
	}
	return `${hex(ms, 12)}-${hex(counter, 4)}-${deviceId}`;
}

/* The latest stamp in a record, "" when there is none. That of a set's element has a sign before it. */
export function latestStamp(record: WireRecord): string {
	let latest = typeof record.fields.stamp === "string" ? record.fields.stamp : "";
	const see = (stamp: unknown) => {
		if (typeof stamp === "string" && stamp > latest) latest = stamp;
	};
	for (const one of Object.values(record.fields.stamps ?? {})) {
		if (typeof one === "string") see(one);
		else for (const signed of Object.values(one ?? {})) see(String(signed).slice(1));
	}
	return latest;
}

/* The stamp of a field as it stands in a record: what an edit of it names as its base. */
export function stampOf(record: { fields: { stamps?: object } } | undefined, field: string): string {
	const stamp = (record?.fields.stamps as Record<string, unknown> | undefined)?.[field];
	return typeof stamp === "string" ? stamp : "";
}
