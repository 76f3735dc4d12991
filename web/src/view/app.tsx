/* The frame around the screens: which one is shown, and the banner that tells what the link is doing. */

import type { VNode } from "preact";
import { Devices } from "./devices";
import { List, newConversation } from "./list";
import { Pair } from "./pair";
import { Projects } from "./projects";
import { Settings } from "./settings";
import { Thread } from "./thread";
import { syncState } from "./words";
import type { Home } from "../home";
import type { Route } from "../route";

function Banner({ home }: { home: Home }): VNode | null {
	if (home.link === "replaced") {
		return (
			<div class="banner" role="status">
				Roost is open in another tab.{" "}
				<button type="button" onClick={() => home.useHere()}>
					Use it here
				</button>
			</div>
		);
	}
	if (home.link === "down") {
		return (
			<div class="banner" role="status">
				{syncState(home)}. You can go on writing.
			</div>
		);
	}
	if (home.notice) {
		return (
			<div class="banner" role="status">
				{home.notice}{" "}
				<button type="button" onClick={() => home.dismiss()}>
					Dismiss
				</button>
			</div>
		);
	}
	return null;
}

export function App({ home, at, code }: { home: Home; at: Route; code: string }): VNode {
	if (home.phase === "loading") return <main class="pair" aria-busy="true" />;
	if (home.phase === "pairing") return <Pair home={home} code={code} />;
	return (
		<>
			<Banner home={home} />
			<main class={`app at-${at.screen}`} data-link={home.link}>
				<List home={home} />
				{at.screen === "thread" && <Thread home={home} id={at.id} />}
				{at.screen === "settings" && <Settings home={home} />}
				{at.screen === "devices" && <Devices home={home} />}
				{at.screen === "projects" && <Projects home={home} />}
				{at.screen === "list" && (
					<section class="welcome">
						<img src="icon.svg" alt="" width="72" height="72" />
						<button type="button" class="primary" onClick={newConversation}>
							New conversation
						</button>
					</section>
				)}
			</main>
		</>
	);
}
