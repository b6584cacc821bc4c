// Bundles what pages are styled and moved by into a folder: files named by their content, each beside its
// gzip, a manifest that leads from plain names to them, and the licences of everything that went in.
//
//   node build.mjs OUTPUT-FOLDER

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const output = process.argv[2];
if (!output) {
  console.error("Say where to: node build.mjs FOLDER");
  process.exit(2);
}

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });

// For a package that states this licence and leaves out its words.
const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
IN THE SOFTWARE.
`;

const manifest = {};
const packages = new Set();

const entries = ["app.css", "app.js", "charts.js"];
const result = await build({
  absWorkingDir: here,
  entryPoints: entries,
  outdir: output,
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome111", "firefox115", "safari16.4"],
  loader: { ".svg": "dataurl" },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

for (const [path, made] of Object.entries(result.metafile.outputs)) {
  if (!made.entryPoint) continue;
  manifest[basename(made.entryPoint)] = basename(path);
}
for (const path of Object.keys(result.metafile.inputs)) {
  const parts = path.split("/");
  const at = parts.lastIndexOf("node_modules");
  if (at < 0) continue;
  const scoped = parts[at + 1].startsWith("@");
  packages.add(parts.slice(at + 1, at + (scoped ? 3 : 2)).join("/"));
}

// One picture that holds every icon; pages show one by its id.
const names = JSON.parse(readFileSync(join(here, "icons.json"), "utf8"));
const symbols = names.map((name) => {
  const style = name.endsWith("-filled") ? "filled" : "outline";
  const file = join(modules, "@tabler/icons/icons", style, `${name.replace(/-filled$/, "")}.svg`);
  const svg = readFileSync(file, "utf8");
  const body = svg
    .slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"))
    .replace(/\s+/g, " ")
    .trim();
  const paint = style === "filled" ? 'fill="currentColor"' : 'fill="none" stroke="currentColor"';
  return `<symbol id="${name}" viewBox="0 0 24 24" ${paint}>${body}</symbol>`;
});
packages.add("@tabler/icons");
put("icons.svg", `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>`);
put("favicon.svg", readFileSync(join(here, "favicon.svg")));

writeFileSync(join(output, "LICENSES.txt"), licences());
writeFileSync(join(output, "manifest.json"), JSON.stringify(manifest, null, 1) + "\n");
for (const name of readdirSync(output)) {
  if (/\.(css|js|svg)$/.test(name)) {
    writeFileSync(join(output, `${name}.gz`), gzipSync(readFileSync(join(output, name)), { level: 9 }));
  }
}

function put(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8).toUpperCase();
  const [stem, ending] = name.split(".");
  manifest[name] = `${stem}-${hash}.${ending}`;
  writeFileSync(join(output, manifest[name]), content);
}

// @popperjs is no part of it: Tabler's script is not bundled. What Tabler's style is made of is Bootstrap,
// whose notice stands at the head of its file.
function licences() {
  const parts = ["The files in this folder contain, whole or in part, the following packages.\n"];
  for (const name of [...packages].sort()) {
    const folder = join(modules, ...name.split("/"));
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const texts = readdirSync(folder, { withFileTypes: true })
      .filter((file) => file.isFile() && /^(licen[cs]e|copyright|notice|copying)/i.test(file.name))
      .map((file) => file.name);
    parts.push(`\n${"=".repeat(80)}\n${name} ${about.version} (${about.license})\n${"=".repeat(80)}\n`);
    if (texts.length === 0) {
      parts.push(`Copyright ${copyright(about)}.\n\n${about.license === "MIT" ? MIT : ""}`);
    }
    for (const file of texts) parts.push(readFileSync(join(folder, file), "utf8").trim() + "\n");
  }
  return parts.join("\n");
}

function copyright(about) {
  const author = typeof about.author === "string" ? about.author : (about.author?.name ?? "its authors");
  return author;
}
