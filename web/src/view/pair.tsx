/* The first screen of a device nobody knows yet: a code, a name, one button. A link that carries a code fills it in;
 * pairing still takes a person's tap, so that no page elsewhere can pair this browser by a link alone. */

import type { VNode } from "preact";
import { useState } from "./hooks";
import type { Home } from "../home";
import { sentence } from "../wire";

export function Pair({ home, code: given }: { home: Home; code: string }): VNode {
	const [code, setCode] = useState(given);
	const [name, setName] = useState(home.deviceName);
	const [isBusy, setBusy] = useState(false);
	const [error, setError] = useState("");

	const submit = async (event: Event) => {
		event.preventDefault();
		setBusy(true);
		setError("");
		try {
			await home.pair(code.trim(), name.trim());
		} catch (failure) {
			setError(
				failure instanceof TypeError ? "The daemon does not answer." : sentence((failure as Error).message),
			);
			setBusy(false);
		}
	};

	return (
		<main class="pair">
			<img src="icon.svg" alt="" width="56" height="56" />
			<h1>Pair this device</h1>
			<p>
				Run <code>roost pair</code> on the machine Roost lives on and enter the code it shows.
			</p>
			{home.notice && <p class="note">{home.notice}</p>}
			<form onSubmit={submit}>
				<label>
					Code
					<input
						name="code"
						value={code}
						onInput={(event) => setCode(event.currentTarget.value)}
						autoFocus={given === ""}
						autocomplete="one-time-code"
						autocapitalize="characters"
						spellcheck={false}
						required
					/>
				</label>
				<label>
					Name of this device
					<input
						name="name"
						value={name}
						onInput={(event) => setName(event.currentTarget.value)}
						maxLength={80}
						autocomplete="off"
						required
					/>
				</label>
				<p role="alert" class="error">
					{error}
				</p>
				<button type="submit" class="primary" disabled={isBusy}>
					{isBusy ? "Pairing…" : "Pair"}
				</button>
			</form>
		</main>
	);
}
