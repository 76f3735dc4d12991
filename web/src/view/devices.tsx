/* The devices of this user: which are there, which were last seen when, what they drive; and the way to lock one
 * out. */

import type { VNode } from "preact";
import { Ask, Page, Quiet } from "./controls";
import { useEffect, useState } from "./hooks";
import { count, shortTime } from "./words";
import type { Home } from "../home";
import type { DeviceState } from "../wire";

function Entry({ home, device }: { home: Home; device: DeviceState }): VNode {
	const [isAsking, setAsking] = useState(false);
	const { deviceId, platform, online, lastSeen, primaryOf } = device;
	const name = home.nameOf(deviceId);
	const isHere = deviceId === home.deviceId;
	return (
		<li>
			<span>
				<b>{name}</b>
				<small>
					{platform}
					{" · "}
					{isHere ? "this device" : online ? "online" : `last seen ${shortTime(lastSeen)}`}
					{primaryOf.length > 0 && ` · drives ${count(primaryOf.length, "session", "sessions")}`}
				</small>
			</span>
			{!isHere && !isAsking && (
				<Quiet aria-label={`Revoke ${name}`} disabled={home.link !== "up"} onClick={() => setAsking(true)}>
					Revoke
				</Quiet>
			)}
			{isAsking && (
				<div role="group" aria-label={`Revoke ${name}`}>
					<Ask
						text="It is locked out at once and must be paired again. What it had stored stays on it."
						yes="Lock it out"
						isDanger
						onYes={() => void home.revoke(deviceId)}
						onNo={() => setAsking(false)}
					/>
				</div>
			)}
		</li>
	);
}

export function Devices({ home }: { home: Home }): VNode {
	useEffect(() => void home.loadDevices(), []);
	const seen = (device: DeviceState) => (device.online ? "9" : device.lastSeen); // later than any time
	const devices = [...home.devices].sort((a, b) => (seen(a) < seen(b) ? 1 : -1));
	return (
		<Page title="Devices">
			{devices.length === 0 && <p>The devices are known when the daemon answers.</p>}
			<ul class="devices">
				{devices.map((device) => (
					<Entry key={device.deviceId} home={home} device={device} />
				))}
			</ul>
			<p>
				<small>
					Run <code>roost pair</code> where the daemon lives to add one.
				</small>
			</p>
		</Page>
	);
}
