/* Projects: conversations that belong together. Made, renamed and archived like anything a person writes, online or
 * not; clearing all conversations of one needs the daemon. */

import type { VNode } from "preact";
import { Ask, Page, Quiet, Title } from "./controls";
import { useState } from "./hooks";
import { Links } from "./list";
import { Waiting } from "./message";
import { count } from "./words";
import type { Home } from "../home";
import { uuid7 } from "../ids";
import type { Project } from "../wire";

function Entry({ home, project }: { home: Home; project: Project }): VNode {
	const [asks, setAsks] = useState<"rename" | "clear" | null>(null);
	const { name } = project;
	const { title, state } = project.fields;
	const isArchived = state === "archived";
	const all = home.records.conversations().map((one) => home.writer.conversation(one.name)!);
	const conversations = all.filter((one) => one.fields.projectId === name);
	const n = count(conversations.length, "conversation", "conversations");
	const change = (fields: { title?: string; state?: "active" | "archived" }) => {
		void home.writer.change("Project", name, fields);
		setAsks(null);
	};
	return (
		<li>
			<details>
				<summary>
					<b dir="auto">{title ?? "Without a title"}</b> <small>{n}</small>
				</summary>
				<Links home={home} conversations={conversations} />
				<div class="row" role="group" aria-label={title ?? ""}>
					<Quiet onClick={() => setAsks("rename")}>Rename</Quiet>
					<Quiet onClick={() => change({ state: isArchived ? "active" : "archived" })}>
						{isArchived ? "Take out of the archive" : "Archive"}
					</Quiet>
					<Quiet
						disabled={home.link !== "up" || conversations.length === 0}
						onClick={() => setAsks("clear")}
					>
						New sessions
					</Quiet>
				</div>
				{home.link !== "up" && <small>New sessions need the connection.</small>}
				{asks === "rename" && (
					<Title label="Title" verb="Save" title={title ?? ""} onTitle={(text) => change({ title: text })} />
				)}
				{asks === "clear" && (
					<Ask
						text={`In ${n} running answers are stopped, and the model starts without what was said. This device drops
							its copy.`}
						yes="Start new sessions"
						onNo={() => setAsks(null)}
						onYes={() => {
							void home.clearProject(name);
							setAsks(null);
						}}
					/>
				)}
			</details>
		</li>
	);
}

export function Projects({ home }: { home: Home }): VNode {
	const all = home.writer.projects();
	const list = (state: "active" | "archived") => (
		<ul class="devices">
			{all
				.filter((one) => (one.fields.state ?? "active") === state)
				.map((one) => (
					<Entry key={one.name} home={home} project={one} />
				))}
		</ul>
	);
	const refused = home.writer.projectEntries().filter(({ error }) => error);
	const archived = all.filter((one) => one.fields.state === "archived").length;
	return (
		<Page title="Projects">
			<Title
				label="Title of a new project"
				verb="Create"
				title=""
				onTitle={(title) => void home.writer.change("Project", uuid7(), { title, state: "active" })}
			/>
			{all.length === 0 && <p>A project holds conversations together. A conversation's menu puts it into one.</p>}
			{list("active")}
			{archived > 0 && (
				<details>
					<summary>Archived ({archived})</summary>
					{list("archived")}
				</details>
			)}
			{refused.map((entry) => (
				<Waiting key={entry.id} home={home} entry={entry} />
			))}
		</Page>
	);
}
