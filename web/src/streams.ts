/* Running answers, as they arrive.
 *
 * A stream is (request, attempt, kind): append-only text with offsets in UTF-8 bytes from 0. The rules kept here, and
 * nowhere else:
 *
 *   1. A delta that starts where the text ends is appended.
 *   2. A delta that starts earlier repeats what is known (after a reconnect the daemon tells an answer from its
 *      beginning); only the part behind the end is appended.
 *   3. A delta that starts later leaves a gap: nothing is appended, and the caller attaches again from the end.
 *   4. A newer attempt starts from nothing; an older attempt's deltas are dropped. Two attempts are never spliced.
 *
 * Pure: no timers, no sockets. */

import type { Delta, StreamKind } from "./wire";

export interface Stream {
	requestId: string;
	attempt: number;
	text: string;
	thinking: string;
	bytes: { text: number; thinking: number };
	isAttaching: { text: boolean; thinking: boolean }; // a message:attach is on its way; do not ask twice
}

export type DeltaVerdict = "appended" | "known" | "stale" | "gap";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Streams {
	#streams = new Map<string, Stream>();

	get(requestId: string): Stream | undefined {
		return this.#streams.get(requestId);
	}

	drop(requestId: string): void {
		this.#streams.delete(requestId);
	}

	/* A message with what `attempt` said has arrived: streams up to that attempt have done their work. */
	settle(requestId: string, attempt: number): void {
		if ((this.#streams.get(requestId)?.attempt ?? Infinity) <= attempt) this.#streams.delete(requestId);
	}

	clear(): void {
		this.#streams.clear();
	}

	/* The requests that have a stream. */
	requests(): string[] {
		return [...this.#streams.keys()];
	}

	/* Makes the stream of `attempt`, empty, unless a stream of this or a newer attempt exists. */
	open(requestId: string, attempt: number): Stream {
		let stream = this.#streams.get(requestId);
		if (!stream || stream.attempt < attempt) {
			stream = {
				requestId,
				attempt,
				text: "",
				thinking: "",
				bytes: { text: 0, thinking: 0 },
				isAttaching: { text: false, thinking: false },
			};
			this.#streams.set(requestId, stream);
		}
		return stream;
	}

	/* After message:reset: forgets the partial text of `attempt` (and of older ones) and returns the empty stream to
	 * attach to, or undefined when a newer attempt is already running. */
	reset(requestId: string, attempt: number): Stream | undefined {
		const old = this.#streams.get(requestId);
		if (old && old.attempt > attempt) return undefined;
		this.#streams.delete(requestId);
		return this.open(requestId, attempt);
	}

	push(delta: Delta): DeltaVerdict {
		const known = this.#streams.get(delta.requestId);
		if (known && known.attempt > delta.attempt) return "stale";
		const stream = this.open(delta.requestId, delta.attempt);
		const kind: StreamKind = delta.kind === "thinking" ? "thinking" : "text";
		const end = stream.bytes[kind];
		if (delta.offset > end) return "gap";
		const bytes = encoder.encode(delta.text);
		const skip = end - delta.offset;
		if (skip >= bytes.length) return "known";
		stream[kind] += skip === 0 ? delta.text : decoder.decode(bytes.subarray(skip));
		stream.bytes[kind] = delta.offset + bytes.length;
		stream.isAttaching[kind] = false;
		return "appended";
	}
}
