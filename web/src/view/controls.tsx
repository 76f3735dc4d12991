/* The controls that several screens have. */

import type { ComponentChildren, JSX, VNode } from "preact";
import { useState } from "./hooks";
import { go } from "../route";

/* A button without a frame; what is given goes to the element. */
export function Quiet(props: JSX.HTMLAttributes<HTMLButtonElement> & { disabled?: boolean }): VNode {
	return <button type="button" class="quiet" {...props} />;
}

/* A row of a sheet that does something. */
export function Item(props: { text: string; onClick: () => void; disabled?: boolean; isDanger?: boolean }): VNode {
	const { text, onClick, disabled, isDanger } = props;
	return (
		<Quiet class={isDanger ? "item danger" : "item"} disabled={disabled} onClick={onClick}>
			{text}
		</Quiet>
	);
}

export function Back(): VNode {
	return (
		<Quiet class="quiet back" aria-label="Back to the list" onClick={() => go({ screen: "list" })}>
			‹
		</Quiet>
	);
}

/* A screen beside the list that is no conversation. */
export function Page({ title, children }: { title: string; children: ComponentChildren }): VNode {
	return (
		<section class="settings" aria-label={title}>
			<header>
				<Back />
				<h2>{title}</h2>
			</header>
			<div class="page">{children}</div>
		</section>
	);
}

/* A question before something that cannot be taken back: what it does, the way out, and the way on. */
interface AskProps {
	text: string;
	yes: string;
	isDanger?: boolean;
	onYes: () => void;
	onNo: () => void;
}

export function Ask(props: AskProps): VNode {
	const { text, yes, isDanger, onYes, onNo } = props;
	return (
		<>
			<p>{text}</p>
			<div class="row">
				<button type="button" onClick={onNo}>
					Cancel
				</button>
				<button type="button" class={isDanger ? "danger" : "primary"} onClick={onYes}>
					{yes}
				</button>
			</div>
		</>
	);
}

/* A title to be written, and the button that takes it. */
export function Title(props: { label: string; verb: string; title: string; onTitle: (title: string) => void }): VNode {
	const [title, setTitle] = useState(props.title);
	const text = title.trim();
	return (
		<form
			class="row"
			onSubmit={(event) => {
				event.preventDefault();
				if (text === "") return;
				props.onTitle(text);
				setTitle(props.title);
			}}
		>
			<input
				aria-label={props.label}
				placeholder={props.label}
				value={title}
				maxLength={200}
				dir="auto"
				onInput={(event) => setTitle(event.currentTarget.value)}
			/>
			<button type="submit" class="primary" disabled={text === ""}>
				{props.verb}
			</button>
		</form>
	);
}
