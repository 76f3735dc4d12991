// Completion in the shells themselves. What Tab offers for a line is asked of bash, zsh and fish; a shell that is not
// installed is skipped and said to be. And what the documents tell people to type is what the commands take.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { program, root, scratch } from "../lib/roost.mjs";

let home, output, env;
const run = (file, args, options = {}) => spawnSync(file, args, { env, cwd: home, encoding: "utf8", timeout: 60_000, ...options });

before(async () => {
	home = await scratch("completion");
	output = join(home, "out");
	await mkdir(join(home, "bin"));
	await symlink(program, join(home, "bin/roost"));
	env = { PATH: `${join(home, "bin")}:${process.env.PATH}`, HOME: home, ROOST_OUTPUT_DIR: output, TERM: "dumb", LC_ALL: "C.UTF-8" };
	for (const [name, conversation] of [["alpha_0000000a", "conv_0a0a0a0a"], ["alder_0000000b", "conv_0b0b0b0b"], ["same_0000000c", "conv_0c"],
		["same_0000000d", "conv_0d"], ["$(touch ran)_0000000e", "$(touch ran)"], ["`touch ran`_0000000f", "conv_;touch ran"]]) {
		await mkdir(join(output, name), { recursive: true });
		await writeFile(join(output, name, `events_${conversation}.jsonl`), "");
	}
	await mkdir(join(home, "folder"));
	await writeFile(join(home, "file.yaml"), "");
	for (const shell of ["bash", "zsh", "fish"])
		await writeFile(join(home, `completion.${shell}`), execFileSync(program, ["completion", shell], { env }));
});
after(() => rm(home, { recursive: true, force: true }));

// What each shell offers for the words of a line, the last of which is being typed.
const shells = {
	bash(words) {
		const script = `source ${home}/completion.bash
			COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _roost; printf '%s\\n' "\${COMPREPLY[@]}"`;
		const pieces = words.flatMap((w) => (w ? w.split(/(?<=^--[a-z-]+)(=)/).filter(Boolean) : w)); // as readline has them
		const { stdout, stderr } = run("bash", ["-c", script, "bash", ...pieces]);
		assert.equal(stderr, "");
		return stdout.split("\n").filter(Boolean);
	},
	zsh(words) {
		// A terminal of its own, in which every match is printed as it is added.
		const script = `zmodload zsh/zpty
			zpty z zsh -f -i
			zpty -w z "source ${home}/tell.zsh"
			zpty -r -m z ready '*READY*'
			zpty -w -n z $'${words.join(" ").replaceAll("'", "\\'")}\\t'
			zpty -r -m z got '*DONE*'
			print -r -- "$got"`;
		const { stdout, stderr } = run("zsh", ["-f", "-c", script]);
		assert.equal(stderr, "");
		return [...stdout.matchAll(/<<(.*?)>>/g)].map(([, word]) => word);
	},
	fish(words) {
		const script = `source ${home}/completion.fish; complete -C ${JSON.stringify(words.join(" "))}`;
		const { stdout, stderr } = run("fish", ["--no-config", "-c", script]);
		assert.equal(stderr, "");
		return stdout.split("\n").filter(Boolean).map((line) => line.split("\t")[0].replace(/^--[a-z-]+=(?=.)/, ""));
	},
};

const TELL = (dir) => `PROMPT= RPROMPT=
	zle_bracketed_paste=()
	autoload -Uz compinit; compinit -u -D
	source ${dir}/completion.zsh
	bindkey '^I' complete-word
	compadd() {
		local -a hits
		local i
		if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return $?; fi
		builtin compadd -A hits "$@"
		for i in $hits; do print -rn -- "<<$i>>"; done
		builtin compadd "$@"
	}
	finished() { print -rn -- "DO""NE"; }
	comppostfuncs=(finished)
	print READ""Y`;

const isThere = (shell) => spawnSync(shell, ["-c", "true"]).status === 0;

for (const [shell, offers] of Object.entries(shells))
	describe(`${shell}`, { skip: isThere(shell) ? false : `${shell} is not installed` }, () => {
		before(() => writeFile(join(home, "tell.zsh"), TELL(home)));

		it("takes the script without a complaint", () => {
			assert.equal(run(shell, ["-n", join(home, `completion.${shell}`)]).stderr, "");
		});

		for (const [what, words, some, none = []] of [
			["commands", ["roost", "st"], ["status", "stop"], ["run"]],
			["options", ["roost", "run", "--conv"], ["--convergence-action", "--convergence-profile"], ["--agent-a"]],
			["options behind others", ["roost", "branch", "--turn", "3", "--ma"], ["--max-turns", "--max-parallel"]],
			["only options that help tells of", ["roost", "run", "--i"], [], ["--in"]],
			["actions", ["roost", "run", "--convergence-action", ""], ["stop", "pause", "notify", "warn", "continue"], ["strict"]],
			["profiles", ["roost", "branch", "--convergence-profile", "s"], ["structural", "semantic", "strict"], ["balanced"]],
			["presets, and files", ["roost", "run", "--awareness-b", "f"], ["firm", "file.yaml"], ["basic"]],
			["presets behind a letter", ["roost", "run", "-w", "b"], ["basic", "backrooms"]],
			["how to redact", ["roost", "run", "--redact="], ["hash", "drop", "mask-pii", "off"]],
			["no value of an option that may stand alone behind it", ["roost", "run", "--redact", "--mo"], [], ["mask-pii"]],
			["dimensions", ["roost", "run", "--dimensions", "ph"], ["philosophy"]],
			["subcommands", ["roost", "experiment", "s"], ["show", "status"], ["list"]],
			["a command's name for its help", ["roost", "help", "br"], ["branch"]],
			["directories and no files", ["roost", "run", "--output", "f"], ["folder"], ["file.yaml"]],
			["files", ["roost", "run", "--config", "fi"], ["file.yaml"]],
			["experiments", ["roost", "stop", "al"], ["alpha", "alder"], ["same"]],
			["experiments behind a subcommand", ["roost", "experiment", "show", "alp"], ["alpha"]],
			["experiments for an option", ["roost", "run", "--resume", "ald"], ["alder"]],
			["experiments whose name says not which by their ids", ["roost", "stop", "experiment_"],
				["experiment_0000000c", "experiment_0000000d", "experiment_0000000e", "experiment_0000000f"], ["experiment_0000000a"]],
			["conversations", ["roost", "branch", "conv_0a"], ["conv_0a0a0a0a"], ["conv_0b0b0b0b"]],
			["the shells", ["roost", "completion", ""], ["bash", "zsh", "fish"]],
		])
			it(`is offered ${what}`, () => {
				const plain = offers(words).map((word) => word.replace(/[=/ ]$/, ""));
				for (const word of some) assert.ok(plain.includes(word), `${word} is not in: ${plain.join(" ")}`);
				for (const word of none) assert.ok(!plain.includes(word), `${word} is offered`);
			});

		it("runs nothing that a name says", async () => {
			for (const words of [["roost", "stop", ""], ["roost", "branch", ""], ["roost", "branch", "conv_"], ["roost", "run", "--resume", ""]])
				for (const word of offers(words)) assert.doesNotMatch(word, /touch/);
			assert.ok(!(await readdir(home)).includes("ran"));
		});
	});

describe("the names that are completed", () => {
	it("are 64 and a reason for what has none", () => {
		const { status, stderr } = run(program, ["completion", "--names=users"]);
		assert.equal(status, 64);
		assert.match(stderr, /must be experiments or conversations/);
	});
	it("are none where there is no experiment", () => {
		const { status, stdout } = run(program, ["completion", "--names=experiments"], { env: { ...env, ROOST_OUTPUT_DIR: join(home, "none") } });
		assert.deepEqual([status, stdout], [0, ""]);
	});
});

// ---- documents -----------------------------------------------------------------------------------------------------

const helpOf = (command) => execFileSync(program, [command, "--help"], { env, encoding: "utf8" });
const optionsOf = (help) =>
	new Set([...help.matchAll(/^ {2}(?:(-\w), | {4})(--[a-z-]+)/gm)].flatMap(([, letter, name]) => (letter ? [letter, name] : [name])));

// Lines of `roost COMMAND …` in a page, as code or in a block, with the options in them.
function typed(text) {
	const spans = [...text.matchAll(/`(roost [^`\n]+)`/g)].map(([, code]) => code);
	const blocks = [...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].flatMap(([, code]) => code.replaceAll("\\\n", " ").split("\n"));
	return [...spans, ...blocks].flatMap((line) => {
		const found = /(?:^|[\s(])roost ([a-z]+)\b([^|;#>)]*)/.exec(line);
		if (!found) return [];
		const options = found[2].replace(/"[^"]*"|'[^']*'/g, "").match(/(?<=\s)--?[a-zA-Z][\w-]*/g) ?? [];
		return [{ line, command: found[1], options }];
	});
}

const wrong = (text, known) => typed(text).flatMap(({ line, command, options }) => {
	if (!known.has(command)) return [`${line}: no command ${command}`];
	return options.filter((o) => !known.get(command).has(o) && o !== "--help" && o !== "-h").map((o) => `${line}: no option ${o}`);
});

describe("the documents", () => {
	let known, pages;
	before(async () => {
		const overview = execFileSync(program, ["help"], { env, encoding: "utf8" });
		const commands = [...overview.matchAll(/^ {2}([a-z]+) {2,}\w/gm)].map(([, name]) => name);
		assert.ok(commands.length > 20);
		known = new Map(commands.map((command) => [command, optionsOf(helpOf(command))]));
		const names = (await readdir(join(root, "docs"), { recursive: true })).filter((n) => n.endsWith(".md")).map((n) => `docs/${n}`);
		pages = new Map(await Promise.all(["README.md", ...names].map(async (n) => [n, await readFile(join(root, n), "utf8")])));
	});

	it("tell people to type only commands and options that there are", () => {
		const faults = [...pages].flatMap(([name, text]) => wrong(text, known).map((fault) => `${name}: ${fault}`));
		assert.deepEqual(faults, []);
		assert.ok([...pages.values()].flatMap(typed).length > 60);
	});

	it("would be found wrong in an option, a letter or a command that is none", () => {
		for (const line of ["`roost run --agent-c x`", "```\nroost branch conv_1 -z\n```", "`roost brunch`"])
			assert.equal(wrong(line, known).length, 1, line);
	});
});
