/* A sheet: what a menu, a question or a list is shown in. A modal dialog at the lower edge of a phone and in the middle
 * of a larger screen; the browser keeps the focus in it, closes it on Escape, and gives the focus back. */

import type { ComponentChildren, VNode } from "preact";
import { useLayoutEffect, useRef } from "./hooks";

export function Sheet(props: { title: string; onClose: () => void; children: ComponentChildren }): VNode {
	const { title, onClose, children } = props;
	const dialog = useRef<HTMLDialogElement>(null);
	const close = () => dialog.current?.close();

	/* Whoever opens another part of the sheet is taken to its beginning. */
	useLayoutEffect(() => {
		if (!dialog.current!.open) dialog.current!.showModal();
		dialog.current!.querySelector<HTMLElement>("[data-focus]")?.focus();
	}, [title]);

	return (
		<dialog
			class="sheet"
			ref={dialog}
			aria-label={title}
			onClose={onClose}
			onClick={(event) => event.target === dialog.current && close()}
		>
			<div>
				<header>
					<h3 tabIndex={-1} data-focus>
						{title}
					</h3>
					<button type="button" class="quiet" aria-label="Close" onClick={close}>
						×
					</button>
				</header>
				{children}
			</div>
		</dialog>
	);
}

/* True while a sheet is open: keys are for it, not for what lies under it. */
export function hasSheet(): boolean {
	return document.querySelector("dialog[open]") !== null;
}
