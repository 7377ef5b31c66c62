// Finds text that ties the repository to one machine, one network or one person's day: addresses, host names,
// paths of a machine, and registries in the lock file. Prints each with its place.
//
//   node tools/check-text.mjs [folder]
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { filesBelow } from "./files.mjs";

// Each is written so that it does not match its own text.
const FORBIDDEN = [
  { pattern: /[a-z][a-z+.-]*:\/\/[^\s"'`<>)]+/gi, what: "an address" },
  // A scope of a package may look like a host name.
  { pattern: /(?<![@\w.-])(?:[a-z0-9-]+\.)+(?:com|org|net|internal|localdomain)\b/gi, what: "a host name" },
  { pattern: /\blocalhost\b/gi, what: "a host name" },
  { pattern: /[\w.+-]+@(?:[a-z0-9-]+\.)+(?:com|org|net)\b/gi, what: "a mail address" },
  { pattern: /(?<![\w.])\/(?:work|root|home|Users)\/[\w.-]*/g, what: "a path of one machine" },
  { pattern: /\.\.\/shared\b/g, what: "a path outside the repository" },
  { pattern: /\b[A-Z]:\\{1,2}\w/g, what: "a path of one machine" },
  { pattern: /\btarball:/g, what: "a tarball", only: /(^|\/)pnpm-lock\.yaml$/ },
  { pattern: /\b(?:registry|_auth\w*)\s*=/g, what: "a registry", only: /(^|\/)\.npmrc$/ },
  { pattern: /\bissue ?#?\d+/gi, what: "an issue number" },
];

/** What is allowed to look like an address: names of formats, not places. */
const ALLOWED = [/^http:\/\/www\.w3\.org\/\d{4}\//, /^www\.w3\.org$/, /^node:/];

const folder = process.argv[2] ?? ".";
let found = 0;
for (const file of filesBelow(folder)) {
  const text = readFileSync(join(folder, file), "utf8");
  if (text.includes("\0")) continue;
  for (const { pattern, what, only = /./ } of FORBIDDEN) {
    if (!only.test(file)) continue;
    for (const match of text.matchAll(pattern)) {
      if (ALLOWED.some((allowed) => allowed.test(match[0]))) continue;
      const line = text.slice(0, match.index).split("\n").length;
      console.log(`${file}:${line}  ${what}: ${match[0]}`);
      found++;
    }
  }
}
if (found > 0) {
  console.log(`\n${found} place${found === 1 ? "" : "s"} that would not be true on another machine`);
  process.exitCode = 1;
}
