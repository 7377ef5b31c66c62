// Does the table in README say what the recordings' tests found? `npx vitest run test/conformance -u` writes both.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

type Row = readonly [theme: string, count: number, results: number, protocol: number, memory: number];

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const folder = new URL("results/", import.meta.url);
const kernels = readdirSync(folder)
  .map((name) => name.replace(/\.jsonl$/, ""))
  .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));

function rowsOf(kernel: string): Row[] {
  const text = readFileSync(new URL(`${kernel}.jsonl`, folder), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** One line a theme, one column a kernel: equal in results, protocol and memory, of so many. */
function table(): string {
  const byKernel = kernels.map((kernel) => new Map(rowsOf(kernel).map((row) => [row[0], row])));
  const themes = [...new Set(byKernel.flatMap((rows) => [...rows.keys()]))].sort();
  const cell = (row: Row | undefined): string => {
    if (row === undefined) return "";
    const [, count, ...equal] = row;
    return equal.every((one) => one === count) ? String(count) : `${equal.join(", ")} of ${count}`;
  };
  const total = byKernel.map((rows) =>
    [...rows.values()].reduce<Row>(
      (sum, row) => ["all", sum[1] + row[1], sum[2] + row[2], sum[3] + row[3], sum[4] + row[4]],
      ["all", 0, 0, 0, 0],
    ),
  );
  const lines = [
    ["theme", ...kernels],
    ...themes.map((theme) => [theme, ...byKernel.map((rows) => cell(rows.get(theme)))]),
    ["**all**", ...total.map((row) => `**${cell(row)}**`)],
  ];
  // As the formatter leaves it: columns as wide as their widest cell.
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  lines.splice(
    1,
    0,
    widths.map((width) => "-".repeat(width)),
  );
  return lines.map((line) => `| ${line.map((text, i) => text.padEnd(widths[i])).join(" | ")} |`).join("\n");
}

const START = "<!-- conformance: written by the conformance tests -->";
const END = "<!-- end of conformance -->";

test("README shows the table", async () => {
  expect(readme).toContain(START);
  const [before, rest] = readme.split(START);
  const after = rest.includes(END) ? rest.slice(rest.indexOf(END)) : `${END}${rest}`;
  await expect(`${before}${START}\n\n${table()}\n\n${after}`).toMatchFileSnapshot("../../README.md");
});
