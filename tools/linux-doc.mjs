// Writes the tables of docs/linux.md: kernel function, where it is here, what differs. The words around the tables
// stay as they are. Taken from the `Linux:` and `Differs:` lines of the doc comments.
//
//   node tools/linux-doc.mjs
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { filesBelow } from "./files.mjs";
import { root } from "./pnpm.mjs";

const PACKAGES = ["kernel", "mm", "uio", "fs"];
const PAGE = join(root, "docs/linux.md");

/** What a doc comment says after a label, up to the next label. */
function said(comment, label) {
  const text = comment.replace(/^\/\*\*|\*\/$/g, "").replace(/^[ \t]*\*[ \t]?/gm, "");
  const match = new RegExp(`\\b${label}:([\\s\\S]*?)(?=\\n\\s*(?:Context|Returns|Linux|Differs|Throws):|$)`).exec(text);
  return match?.[1].replace(/\s+/g, " ").trim() ?? "";
}

/** The kernel's names in a `Linux:` line: functions and structs, else the words before the first comma. */
function kernelNames(text) {
  const names = text.match(/\bstruct \w+|\b[a-z_]\w*\([A-Z_]*\)/g);
  return names ?? [text.split(/[,;]|\. /)[0].trim()];
}

/** Every declaration of a file that says what it is in Linux. */
function* declarations(path) {
  const source = ts.createSourceFile(path, readFileSync(join(root, path), "utf8"), ts.ScriptTarget.Latest, true);
  const found = [];
  visit(source);
  yield* found;

  function visit(node) {
    const comment = node.jsDoc?.at(-1)?.getText() ?? "";
    const named = ts.isVariableStatement(node) ? node.declarationList.declarations[0] : node;
    const isMember = ts.isPropertySignature(node) || ts.isPropertyDeclaration(node);
    if (comment.includes("Linux:") && named.name !== undefined && !isMember) {
      const linux = said(comment, "Linux");
      found.push({ path, name: named.name.getText(), kernel: kernelNames(linux), differs: said(comment, "Differs") });
    }
    ts.forEachChild(node, visit);
  }
}

function table(name) {
  const folder = `packages/${name}/src`;
  const files = [...filesBelow(join(root, folder))].filter((file) => /^(?!.*\.test)(?!testing\/).*\.ts$/.test(file));
  const rows = ["| Linux | here | differs |", "| --- | --- | --- |"];
  const notes = [];
  for (const file of files.sort()) {
    for (const { name, kernel, differs } of declarations(`${folder}/${file}`)) {
      if (differs !== "") notes.push(differs);
      const note = differs === "" ? "" : `${notes.length}`;
      rows.push(`| ${kernel.map((each) => `\`${each}\``).join(", ")} | \`${file}\` \`${name}\` | ${note} |`);
    }
  }
  return [...rows, "", ...notes.map((note, i) => `${i + 1}. ${note[0].toUpperCase()}${note.slice(1)}`)]
    .join("\n")
    .trimEnd();
}

let page = readFileSync(PAGE, "utf8");
for (const name of PACKAGES) {
  const heading = new RegExp(`(^## packages/${name}\\n[\\s\\S]*?)^\\| Linux[\\s\\S]*?(?=^## |$(?![\\s\\S]))`, "m");
  if (!heading.test(page)) throw new Error(`docs/linux.md has no table under "## packages/${name}"`);
  page = page.replace(heading, (_, words) => `${words}${table(name)}\n\n`);
}
page = `${page.trimEnd()}\n`;
writeFileSync(PAGE, page);
// Tables are padded as the formatter wants them.
const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
execFileSync(process.execPath, [biome, "format", "--write", PAGE], { stdio: "inherit" });
