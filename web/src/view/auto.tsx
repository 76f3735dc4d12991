/* The automatic run of a session: one line while there is one, and a sheet to begin, watch, hold and end it. The page
 * cannot drive a run: when it is primary, it says so and offers to hand over. */

import type { VNode } from "preact";
import { Quiet } from "./controls";
import { useState } from "./hooks";
import type { PartProps, Shown } from "./sheets";
import { live } from "./strip";
import type { Home } from "../home";
import type { Auto } from "../wire";

/* Why a run stands still, for a person. */
const REASON_TEXT: { [reason: string]: string } = {
	manual: "by hand",
	message_limit: "all its messages are sent",
	time_limit: "its time is over",
	completion: "the answer says that it is done",
	error: "errors",
	showstopper: "needs a person",
	stuck: "the answers repeat themselves",
	low_confidence: "nothing to say",
	cleared: "the session was cleared",
};

const MODE_TEXT = {
	smart_stop: "the work is done or stuck",
	until_completion: "an answer says that it is done",
	messages: "its messages are sent",
	time: "its time is over",
	hybrid: "its messages or its time are over",
};

const MINUTE_MS = 60_000;

const isOn = (auto: Auto | null | undefined) => auto?.state === "running" || auto?.state === "paused";

/* "3 of 20; paused: by hand" */
function progress({ state, sent, limits, reason }: Auto): string {
	const why = state === "running" ? "" : `; ${state}: ${REASON_TEXT[reason ?? ""] ?? reason}`;
	return `${sent} of ${limits.maxMessages}${why}`;
}

/* Hold or take up, and end. */
function Buttons({ home, auto }: { home: Home; auto: Auto }): VNode {
	const verb = auto.state === "running" ? "Pause" : "Resume";
	return (
		<>
			<Quiet aria-label={`${verb} the run`} onClick={() => void home.inSession(`auto:${verb.toLowerCase()}`)}>
				{verb}
			</Quiet>
			<Quiet class="quiet danger" aria-label="End the run" onClick={() => void home.inSession("auto:stop")}>
				End
			</Quiet>
		</>
	);
}

export function AutoLine({ home, show }: { home: Home; show: (sheet: Shown) => void }): VNode | null {
	const room = live(home);
	const auto = room?.auto;
	if (!room || !auto || !isOn(auto)) return null;
	const { deviceId } = room.primary;
	const isHere = deviceId === home.deviceId;
	const waits = isHere && auto.state === "running";
	return (
		<div class="strip" role="group" aria-label="Automatic run">
			<span>
				Automatic run{deviceId !== null && !isHere && ` by ${home.nameOf(deviceId)}`}, {progress(auto)}
				{waits && "; waits for a device that can drive it"}
			</span>
			{waits && <Quiet onClick={() => show({ what: "driver" })}>Hand over</Quiet>}
			<Buttons home={home} auto={auto} />
		</div>
	);
}

function Amount(props: { label: string; value: string; onValue: (value: string) => void }): VNode {
	const { label, value, onValue } = props;
	return (
		<label>
			{label}
			<input
				type="number"
				inputMode="numeric"
				min="1"
				step="1"
				value={value}
				onInput={(event) => onValue(event.currentTarget.value)}
			/>
		</label>
	);
}

/* A limit that is left empty is the mode's own. */
function Start({ home, close }: PartProps): VNode {
	const [mode, setMode] = useState<string>("smart_stop");
	const [messages, setMessages] = useState("20");
	const [minutes, setMinutes] = useState("30");
	const start = (event: Event) => {
		const limits: { maxMessages?: number; maxMs?: number } = {};
		event.preventDefault();
		if (messages !== "") limits.maxMessages = Number(messages);
		if (minutes !== "") limits.maxMs = Number(minutes) * MINUTE_MS;
		void home.inSession("auto:start", { mode, limits });
		close();
	};
	return (
		<form onSubmit={start}>
			<label>
				It ends when
				<select value={mode} onChange={(event) => setMode(event.currentTarget.value)}>
					{Object.entries(MODE_TEXT).map(([one, text]) => (
						<option key={one} value={one}>
							{text}
						</option>
					))}
				</select>
			</label>
			<Amount label="Messages, at most" value={messages} onValue={setMessages} />
			<Amount label="Minutes, at most" value={minutes} onValue={setMinutes} />
			<div class="row">
				<button type="submit" class="primary">
					Start
				</button>
			</div>
		</form>
	);
}

export function AutoSheet(props: PartProps): VNode {
	const { home } = props;
	const auto = live(home)?.auto;
	if (!auto) return <p>Nothing is known of runs while offline.</p>;
	return (
		<>
			<p>
				{auto.state !== "none" && <b>{progress(auto)}. </b>}
				After each answer the device that drives sends the next message by itself. It must be one that can: not this
				page.
			</p>
			{isOn(auto) ? (
				<div class="row">
					<Buttons home={home} auto={auto} />
				</div>
			) : (
				<Start {...props} />
			)}
		</>
	);
}
