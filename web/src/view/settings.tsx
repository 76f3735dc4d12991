/* This device's settings: what goes along with every request, and the way out. */

import type { VNode } from "preact";
import { Ask, Page } from "./controls";
import { useState } from "./hooks";
import { parseParams, type Home } from "../home";
import { go } from "../route";

export function Settings({ home }: { home: Home }): VNode {
	const [params, setParams] = useState(home.paramsText);
	const [isAsking, setAsking] = useState(false);
	const [error, setError] = useState("");
	const isValid = params.trim() === "" || parseParams(params) !== null;

	const unpair = async () => {
		try {
			await home.unpair();
		} catch {
			setError("The daemon does not answer; this device is still paired.");
		}
	};

	return (
		<Page title="Settings">
			<h3>This device</h3>
			<p>
				{home.deviceName} <small>
					<code>{home.deviceId}</code>
				</small>
			</p>
			{isAsking ? (
				<Ask
					text={`Everything stored in this browser is deleted${
						home.writer.outbox.entries.length > 0 ? ", except what was not sent yet" : ""
					}. The conversations stay with the daemon.`}
					yes="Unpair"
					isDanger
					onYes={() => void unpair()}
					onNo={() => setAsking(false)}
				/>
			) : (
				<button type="button" onClick={() => setAsking(true)}>
					Unpair this device
				</button>
			)}
			<p role="alert" class="error">
				{error}
			</p>
			<button type="button" onClick={() => go({ screen: "devices" })}>
				All devices
			</button>
			<h3>Request parameters</h3>
			<label>
				A JSON object given to the model with every request from this device, for example{" "}
				<code>{'{"temperature": 0.7}'}</code>. Empty for the model's own.
				<textarea
					name="params"
					rows={4}
					spellcheck={false}
					value={params}
					aria-invalid={!isValid}
					onInput={(event) => {
						const text = event.currentTarget.value;
						setParams(text);
						if (text.trim() === "" || parseParams(text) !== null) home.paramsText = text;
					}}
				/>
			</label>
			<p role="alert" class="error">
				{isValid ? "" : "This is not a JSON object; the last valid one stays in use."}
			</p>
		</Page>
	);
}
