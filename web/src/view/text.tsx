/* A model's text on the screen: the markdown tree as nodes. Text only ever becomes text nodes. */

import { Fragment, type ComponentChildren, type VNode } from "preact";
import { memo, useState } from "./hooks";
import { inline, parse, type Block, type Inline, type Piece } from "../markdown";

function Spans({ nodes }: { nodes: Inline[] }): VNode {
	return <>{nodes.map(span)}</>;
}

function span(node: Inline): ComponentChildren {
	if (typeof node === "string") return node;
	if (node.kind === "break") return <br />;
	if (node.kind === "code") return <code>{node.text}</code>;
	const inside = <Spans nodes={node.children} />;
	if (node.kind === "link") {
		return (
			<a href={node.href} target="_blank" rel="noopener noreferrer" title={node.href}>
				{inside}
			</a>
		);
	}
	const Tag = node.kind;
	return <Tag>{inside}</Tag>;
}

function Line({ text }: { text: string }): VNode {
	return <Spans nodes={inline(text)} />;
}

function Code({ lang, text }: { lang: string; text: string }): VNode {
	const [isCopied, setCopied] = useState(false);
	const copy = () => {
		void navigator.clipboard?.writeText(text).then(() => {
			setCopied(true);
			setTimeout(() => setCopied(false), 1500);
		});
	};
	return (
		<figure class="code">
			<figcaption>
				<span>{lang}</span>
				{navigator.clipboard && (
					<button type="button" class="quiet" onClick={copy}>
						{isCopied ? "Copied" : "Copy"}
					</button>
				)}
			</figcaption>
			<pre tabIndex={0}>
				<code dir="ltr">{text}</code>
			</pre>
		</figure>
	);
}

function Table({ head, rows }: { head: string[]; rows: string[][] }): VNode {
	return (
		<div class="table" tabIndex={0}>
			<table>
				<thead>
					<tr>
						{head.map((cell) => (
							<th scope="col">
								<Line text={cell} />
							</th>
						))}
					</tr>
				</thead>
				<tbody>
					{rows.map((row) => (
						<tr>
							{row.map((cell) => (
								<td>
									<Line text={cell} />
								</td>
							))}
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}

/* Headings in an answer stand below the page's own two levels. */
function Heading({ level, text }: { level: number; text: string }): VNode {
	const line = <Line text={text} />;
	if (level === 1) return <h3>{line}</h3>;
	if (level === 2) return <h4>{line}</h4>;
	return <h5>{line}</h5>;
}

function List({ start, items }: { start: number | null; items: Block[][] }): VNode {
	const children = items.map((blocks) => (
		<li>
			{blocks.map((block) =>
				block.kind === "paragraph" ? (
					<p>
						<Line text={block.text} />
					</p>
				) : (
					render(block)
				),
			)}
		</li>
	));
	return start === null ? <ul>{children}</ul> : <ol start={start}>{children}</ol>;
}

function render(block: Block): VNode {
	switch (block.kind) {
		case "paragraph":
			return (
				<p dir="auto">
					<Line text={block.text} />
				</p>
			);
		case "heading":
			return <Heading level={block.level} text={block.text} />;
		case "code":
			return <Code lang={block.lang} text={block.text} />;
		case "quote":
			return <blockquote>{block.children.map(render)}</blockquote>;
		case "list":
			return <List start={block.start} items={block.items} />;
		case "table":
			return <Table head={block.head} rows={block.rows} />;
		case "rule":
			return <hr />;
	}
}

/* Drawn again only when its source changed: of an answer that is still arriving, the last piece. */
const PieceView = memo(
	({ piece }: { piece: Piece }) => render(piece.block),
	(a, b) => a.piece.source === b.piece.source,
);

export const Markdown = memo(
	({ text }: { text: string }) => (
		<Fragment>
			{parse(text).map((piece, i) => (
				<PieceView key={i} piece={piece} />
			))}
		</Fragment>
	),
	(a, b) => a.text === b.text,
);
