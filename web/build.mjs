// Bundles the page: web/src → web/dist (or the directory named on the command line).
//
// What comes out is everything the daemon embeds: index.html, app.js, style.css, sw.js, icon.svg and
// manifest.webmanifest. No file refers to anything outside this list, so the page works with `default-src 'self'`.

import { build } from "esbuild";
import { copyFile, mkdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const LIMIT_BYTES = 84 * 1024; // app.js, minified; what a phone has to parse before it shows anything

const web = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(web, "dist"));
const version = (await readFile(join(web, "../VERSION"), "utf8")).trim();

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
	entryPoints: { app: join(web, "src/main.tsx"), sw: join(web, "src/sw.ts"), style: join(web, "src/style.css") },
	outdir: out,
	bundle: true,
	minify: true,
	format: "esm",
	target: ["es2022", "chrome100", "firefox100", "safari15"],
	// h(type, properties, child, …) is 2 KB shorter than the form that the types are checked in
	tsconfigRaw: { compilerOptions: { jsx: "react", jsxFactory: "h", jsxFragmentFactory: "Fragment" } },
	inject: [join(web, "src/view/jsx.ts")],
	legalComments: "none",
	charset: "utf8",
	define: { VERSION: JSON.stringify(version) },
	logLevel: "warning",
});
for (const name of ["index.html", "icon.svg", "manifest.webmanifest"]) {
	await copyFile(join(web, "src", name), join(out, name));
}

const { size } = await stat(join(out, "app.js"));
if (size > LIMIT_BYTES) throw new Error(`app.js is ${size} bytes, more than the ${LIMIT_BYTES} a page may have`);
console.log(`web: app.js ${size} bytes`);
