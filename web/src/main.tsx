/* Where the page begins. */

import { render } from "preact";
import { Home } from "./home";
import { route, takePairingCode } from "./route";
import { App } from "./view/app";
import { titleOf } from "./view/list";

const root = document.getElementById("root")!;
const home = new Home(draw);
let code = takePairingCode();

function draw(): void {
	const at = route();
	if (home.phase === "ready") code = "";
	document.title = at.screen === "thread" && home.phase === "ready" ? `${titleOf(home, at.id)} · Roost` : "Roost";
	render(<App key={home.phase + code} home={home} at={at} code={code} />, root);
}

function moved(): void {
	code = takePairingCode() || code;
	const at = route();
	home.open(at.screen === "thread" ? at.id : null);
	home.changed();
}

addEventListener("hashchange", moved);
moved();
void home.start();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => undefined);
