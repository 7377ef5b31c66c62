// Does the call check find calls that compile and do nothing, and leave right code alone?
// Each case is one file of a fixture tree; the check runs once over all of them, with the real kernel's types.
import { join } from "node:path";
import { expect, test } from "vitest";
import { fixtureTree, root } from "./fixture-tree.ts";

interface Case {
  readonly desc: string;
  readonly code: string;
  /** Words of the one finding; absent where the code is right. */
  readonly want?: string;
}

const lost = "nothing runs it";
const dropped = "nobody looks at it";
const value = "not its result";

const cases: readonly Case[] = [
  // A generator that nothing runs.
  { desc: "as a statement", code: "function* f(t: Task) { sleepy(t); yield* nap(t); }", want: lost },
  { desc: "in a plain function", code: "function f(t: Task) { faulty(t); }", want: lost },
  { desc: "in void", code: "function f(t: Task) { void sleepy(t); }", want: lost },
  { desc: "behind &&", code: "function f(t: Task) { t.alive && sleepy(t); }", want: lost },
  { desc: "in a branch", code: "function f(t: Task) { t.alive ? sleepy(t) : 0; }", want: lost },
  { desc: "left of a comma", code: "function f(t: Task) { return (sleepy(t), 1); }", want: lost },
  { desc: "as an optional call", code: "function f(t: Task, g?: typeof nap) { g?.(t); }", want: lost },
  { desc: "in forEach", code: "function f(ts: Task[]) { ts.forEach((t) => sleepy(t)); }", want: lost },
  { desc: "by name in forEach", code: "function f(ts: Task[]) { ts.forEach(sleepy); }", want: lost },
  { desc: "in an expiring timer", code: "function f(t: Task) { t.world.after(1, () => nap(t)); }", want: lost },
  { desc: "in a dropped map", code: "function f(ts: Task[]) { ts.map((t) => nap(t)); }", want: lost },
  { desc: "yield without star", code: "function* f(t: Task) { yield sleepy(t); }", want: "yielded as a value" },
  { desc: "returned by a generator", code: "function* f(t: Task) { yield* nap(t); return nap(t); }", want: lost },
  { desc: "yield* of its result", code: "function* f(g: () => MaySleep<Nap>) { yield* g(); }", want: lost },
  { desc: "as a condition", code: "function f(t: Task) { if (sleepy(t)) return 1; return 2; }", want: "always true" },
  { desc: "negated", code: "function f(t: Task) { return !sleepy(t); }", want: "always true" },
  { desc: "left of &&", code: "function f(t: Task) { return sleepy(t) && 1; }", want: "always true" },
  {
    desc: "a variable as a condition",
    code: "function f(t: Task) { const r = nap(t); return r ? 1 : 2; }",
    want: "always",
  },
  { desc: "in a template", code: "function f(t: Task) { return `${sleepy(t)}`; }", want: value },
  { desc: "a variable in a template", code: "function f(t: Task) { const r = nap(t); return `${r}`; }", want: value },
  { desc: "in arithmetic", code: "function f(t: Task) { return `x` + sleepy(t); }", want: value },
  { desc: "thrown", code: "function f(t: Task) { throw sleepy(t); }", want: value },
  { desc: "awaited", code: "async function f(t: Task) { return await sleepy(t); }", want: value },
  { desc: "passed as any value", code: "function f(t: Task) { console.log(sleepy(t)); }", want: "a plain value" },
  {
    desc: "passed as unknown",
    code: "function f(t: Task, g: (x: unknown) => void) { g(nap(t)); }",
    want: "a plain value",
  },
  { desc: "passed as any T", code: "function f(t: Task, g: <T>(x: T) => T[][]) { g(nap(t)); }", want: "a plain value" },
  { desc: "iterated", code: "function f(t: Task) { for (const x of sleepy(t)) x.isReady(t); }", want: "is iterated" },
  { desc: "awaited together", code: "function f(t: Task) { return Promise.all(sleepy(t)); }", want: "is iterated" },
  { desc: "made an array", code: "function f(t: Task) { return Array.from(sleepy(t)); }", want: "is iterated" },
  { desc: "spread", code: "function f(t: Task) { return [...faulty(t)]; }", want: "is iterated" },

  // A generator on its way to somebody who runs it.
  { desc: "delegated", code: "function* f(t: Task) { yield* nap(t); return yield* copy(t); }" },
  { desc: "delegated in a condition", code: "function* f(t: Task) { if ((yield* copy(t)) > 0) yield* nap(t); }" },
  {
    desc: "returned by a function",
    code: "function f(t: Task): MaySleep<Errno> { return t.alive ? sleepy(t) : sleepy(t); }",
  },
  { desc: "a variable", code: "function* f(t: Task) { const r = nap(t); yield* r; }" },
  {
    desc: "a property",
    code: "class C { body: Nap | null = null; f(t: Task) { this.body = nap(t); this.body ??= nap(t); } }",
  },
  { desc: "an argument", code: "function f(t: Task) { t.world.start(t, nap(t)); return t.world.runSync(t, nap(t)); }" },
  { desc: "pushed", code: "function f(t: Task, a: Nap[]) { a.push(nap(t)); }" },
  { desc: "handed through", code: "function* f(t: Task, id: <T>(x: T) => T) { yield* id(nap(t)); }" },
  { desc: "a task body", code: "function f(w: World) { w.spawn('a', (t) => sleepy(t)); }" },
  { desc: "an array of them", code: "function f(ts: Task[]) { return ts.map((t) => nap(t)); }" },
  { desc: "run by hand", code: "function f(t: Task) { return nap(t).next().done; }" },
  { desc: "may be absent", code: "function f(r: Nap | null) { return r ? 1 : r === null; }" },
  {
    desc: "a generator of data",
    code: "function f(w: World) { for (const e of w.trace!.events()) e.seq; return [...data(), ...Array.from(data()), ...new Set(data())]; }",
  },

  // A result that nobody looks at.
  { desc: "status dropped", code: "function f(t: Task) { status(t); }", want: `errno, and ${dropped}` },
  { desc: "ssize dropped", code: "function f(g: () => Ssize) { g(); }", want: dropped },
  { desc: "uncopied dropped", code: "function f(g: () => Uncopied) { g(); }", want: `bytes not done, and ${dropped}` },
  { desc: "either dropped", code: "function f(g: () => Errno | Uncopied) { g(); }", want: "errno or a count" },
  { desc: "yield* dropped", code: "function* f(t: Task) { yield* copy(t); }", want: dropped },
  { desc: "void", code: "function* f(t: Task) { void (yield* copy(t)); }", want: dropped },
  { desc: "dropped behind &&", code: "function f(t: Task) { t.alive && status(t); }", want: dropped },
  { desc: "dropped in a loop head", code: "function f(t: Task) { for (; t.alive; status(t)) t.pid; }", want: dropped },
  { desc: "dropped in forEach", code: "function f(ts: Task[]) { ts.forEach((t) => status(t)); }", want: dropped },
  {
    desc: "dropped block body",
    code: "function f(ts: Task[]) { ts.forEach((t) => { return status(t); }); }",
    want: dropped,
  },
  { desc: "dropped awaited", code: "async function f(g: () => Promise<Status>) { await g(); }", want: dropped },
  { desc: "dropped generic", code: "function f<T extends Ssize>(g: () => T) { g(); }", want: dropped },

  // A result that somebody looks at, or that says why not.
  { desc: "tested", code: "function f(t: Task) { if (status(t) !== 0) return status(t); return 0; }" },
  { desc: "assigned", code: "function f(t: Task) { let r: Status = 0; r = status(t); r ||= status(t); return r; }" },
  { desc: "ignored with a reason", code: "function* f(t: Task) { ignoreResult(yield* copy(t), 'a probe'); }" },
  { desc: "bytes done", code: "function f(g: () => Bytes) { g(); }" },
  { desc: "kept by name", code: "function f(ts: Task[]) { return ts.map(status); }" },
  { desc: "no result", code: "function f(t: Task) { bugOn(!t.alive, 'dead'); }" },

  // Text that is built for nobody.
  { desc: "template in debug", code: "function f(t: Task) { log(`pid ${t.pid}`); }", want: "even when nobody listens" },
  { desc: "template in debug, if on", code: "function f(t: Task) { on?.(`pid ${t.pid}`); }", want: "even when nobody" },
  { desc: "format in debug", code: "function f(t: Task) { log('pid %d', t.pid); on?.('pid %d', t.pid); }" },
];

const prelude = `
import createDebug from "debug";
import { bugOn, type Bytes, err, EFAULT, type Errno, ignoreResult, type MayFault, type MaySleep, PREEMPT, type Ssize,
  type Status, type Task, type Uncopied, uncopied, USER_FAULT, type World } from "@faultline/kernel";
type Nap = MaySleep<void>;
const log = createDebug("x");
const on = log.enabled ? log : undefined;
function* nap(_: Task): Nap { yield PREEMPT; }
function* sleepy(_: Task): MaySleep<Errno> { yield PREEMPT; return err(EFAULT); }
function* faulty(_: Task): MayFault<Errno> { yield USER_FAULT; return err(EFAULT); }
function* copy(_: Task): MayFault<Uncopied> { yield USER_FAULT; return uncopied(0); }
function* data(): Generator<string, void, void> { yield ""; }
function status(_: Task): Status { return 0; }
`;

test("each wrong call is found where it stands, and right ones are not", () => {
  const tree = fixtureTree({
    "package.json": JSON.stringify({ type: "module" }),
    "tsconfig.json": JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: {
        noUnusedLocals: false,
        isolatedDeclarations: false,
        declaration: false,
        typeRoots: [join(root, "node_modules/@types")],
        paths: {
          "@faultline/kernel": [join(root, "packages/kernel/src/index.ts")],
          debug: [join(root, "node_modules/@types/debug")],
        },
      },
      include: ["*.ts"],
    }),
    ...Object.fromEntries(cases.map(({ code }, index) => [`${index}.ts`, `${prelude}export ${code}\n`])),
  });
  // Code that does not compile would show nothing.
  expect(tree.run("node_modules/typescript/bin/tsc", "-p", ".").lines).toEqual([]);

  const { status, lines } = tree.run("tools/check-calls.mjs");
  const line = prelude.split("\n").length;
  const found = cases.map((_, index) => lines.filter((each) => each.startsWith(`${index}.ts:${line}:`)).join("\n"));
  expect(cases.map(({ desc }, index) => [desc, found[index]])).toEqual(
    cases.map(({ desc, want }) => [desc, want === undefined ? "" : expect.stringContaining(want)]),
  );
  const wrong = cases.filter(({ want }) => want !== undefined).length;
  expect([status, lines.length, lines.at(-1)]).toEqual([1, wrong + 1, `${wrong} wrong calls`]);
});
