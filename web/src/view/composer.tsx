/* Where a person writes: Enter sends, Shift+Enter breaks the line, Esc stops the answer. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "./hooks";
import { hasSheet } from "./sheet";
import { exactTime } from "./words";
import type { Home, RequestView } from "../home";

const ROWS = 8; // the field grows to this many lines, then scrolls

export function Composer(props: { home: Home; id: string; running: RequestView[]; onSent: () => void }): VNode {
	const { home, id, running, onSent } = props;
	const key = `roost.draft.${id}`;
	const [text, setText] = useState(() => sessionStorage.getItem(key) ?? "");
	const field = useRef<HTMLTextAreaElement>(null);
	const problem = home.refusal(text);
	const hasText = text.trim() !== "";
	const lock = home.link === "up" ? (home.room?.lockedBy(home.deviceId, Date.now()) ?? null) : null;
	const canSend = hasText && problem === "" && lock === null;

	useEffect(() => {
		if (matchMedia("(hover: hover)").matches) field.current?.focus();
	}, []);

	const change = (value: string) => {
		setText(value);
		if (value !== "") home.typed();
		if (value === "") sessionStorage.removeItem(key);
		else sessionStorage.setItem(key, value);
	};
	const send = () => {
		if (!canSend) return;
		void home.writer.send(id, text);
		change("");
		onSent();
		field.current?.focus();
	};
	const stop = () => {
		for (const view of running) void home.stop(view.requestId);
	};
	const onKeyDown = (event: KeyboardEvent) => {
		if (event.isComposing) return;
		if (event.key === "Enter" && !event.shiftKey) {
			event.preventDefault();
			send();
		}
	};
	useEffect(() => {
		const onEscape = (event: KeyboardEvent) => {
			if (event.key === "Escape" && !event.isComposing && !hasSheet()) stop();
		};
		addEventListener("keydown", onEscape);
		return () => removeEventListener("keydown", onEscape);
	});

	return (
		<form
			class="composer"
			onSubmit={(event) => {
				event.preventDefault();
				send();
			}}
		>
			{problem && (
				<p role="alert" class="error">
					{problem}
				</p>
			)}
			{lock && (
				<p role="status" class="note">
					{home.nameOf(lock.deviceId)} holds this session until {exactTime(lock.expiresAt)}.
				</p>
			)}
			<textarea
				ref={field}
				value={text}
				rows={Math.min(ROWS, text.split("\n").length)}
				placeholder="Write a message"
				aria-label="Message"
				enterkeyhint="send"
				dir="auto"
				onInput={(event) => change(event.currentTarget.value)}
				onKeyDown={onKeyDown}
			/>
			<div class="row">
				<ModelPicker home={home} id={id} />
				{running.length > 0 && !hasText ? (
					<button type="button" class="primary stop" onClick={stop}>
						Stop
					</button>
				) : (
					<button type="submit" class="primary" disabled={!canSend}>
						Send
					</button>
				)}
			</div>
		</form>
	);
}

function ModelPicker({ home, id }: { home: Home; id: string }): VNode {
	const chosen = home.modelFor(id);
	return (
		<select
			aria-label="Model"
			value={chosen ?? ""}
			disabled={home.models.length === 0}
			onChange={(event) => home.chooseModel(event.currentTarget.value)}
		>
			{home.models.length === 0 && <option value="">No models</option>}
			{home.models.map((model) => (
				<option key={model.id} value={model.id}>
					{model.id}
				</option>
			))}
		</select>
	);
}
