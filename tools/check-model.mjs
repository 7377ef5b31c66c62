// Keeps the model deterministic and its worlds apart: looks in the sources of the model's packages (not in
// tests) for clocks, chance, asynchrony and state that lives outside a world. Reads syntax only.
//
//   node tools/check-model.mjs [folder]
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { filesBelow } from "./files.mjs";

const MODEL = /^packages\/(kernel|mm|uio|fs|explore|scenario)\/src\/.*(?<!\.test|\.test-d)\.ts$/;

/** Files that stand beside the model and belong to the host (worker threads, progress), and why. */
const hostFiles = JSON.parse(readFileSync(new URL("host-files.json", import.meta.url), "utf8"));

const { SyntaxKind } = ts;
const ASYNC = "asynchrony: the model waits by yielding to its run loop";
const CLOCK = "a clock: the model knows only simulated time (world.now)";
const CHANCE = "chance: what a program does not determine is a choice (world.choose)";
const NAMES = {
  Date: CLOCK,
  performance: CLOCK,
  process: "the host: the model must not see the process that it runs in",
  crypto: CHANCE,
  WeakRef: CHANCE,
  FinalizationRegistry: CHANCE,
  Promise: ASYNC,
  setTimeout: ASYNC,
  setInterval: ASYNC,
  setImmediate: ASYNC,
  queueMicrotask: ASYNC,
};
const STATE = "state outside a world: keep it in the World, the Task or an object made for one run";

const folder = process.argv[2] ?? ".";
let found = 0;

for (const file of filesBelow(folder)) {
  if (!MODEL.test(file) || Object.hasOwn(hostFiles, file)) continue;
  const source = ts.createSourceFile(file, readFileSync(join(folder, file), "utf8"), ts.ScriptTarget.Latest, true);
  for (const statement of source.statements) checkState(statement);
  visit(source, declaredIn(source));
}
if (found > 0) process.exitCode = 1;

function visit(node, declared) {
  const name = nameOf(node);
  if (name !== null && !declared.has(name)) report(node, name, NAMES[name] ?? CHANCE);
  const isAsync = node.kind === SyntaxKind.AsyncKeyword || node.kind === SyntaxKind.AwaitKeyword;
  if (isAsync || ts.isAwaitExpression(node)) report(node, isAsync ? node.getText() : "await", ASYNC);
  if (ts.isPropertyDeclaration(node) && has(node, SyntaxKind.StaticKeyword) && !has(node, SyntaxKind.ReadonlyKeyword)) {
    report(node, `static ${node.name.getText()}`, STATE);
  }
  ts.forEachChild(node, (child) => visit(child, declared));
}

/** Names that the file itself gives to something: a parameter called `process` is no clock. */
function declaredIn(source) {
  const names = new Set();
  const collect = (node) => {
    if (ts.isIdentifier(node) && node.parent.name === node && !ts.isPropertyAccessExpression(node.parent)) {
      names.add(node.text);
    }
    ts.forEachChild(node, collect);
  };
  collect(source);
  return names;
}

/** The forbidden thing that this node refers to, or null; a property or a type member of that name is none. */
function nameOf(node) {
  if (ts.isPropertyAccessExpression(node) && node.getText() === "Math.random") return "Math.random";
  if (!ts.isIdentifier(node) || !Object.hasOwn(NAMES, node.text)) return null;
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
    return parent.expression.getText() === "globalThis" ? node.text : null;
  }
  return parent.name === node || parent.propertyName === node ? null : node.text;
}

function checkState(statement) {
  if (!ts.isVariableStatement(statement) || (statement.declarationList.flags & ts.NodeFlags.Const) !== 0) return;
  const names = statement.declarationList.declarations.map(({ name }) => name.getText()).join(", ");
  report(statement, `module-level let ${names}`, STATE);
}

function has(node, kind) {
  return node.modifiers?.some((modifier) => modifier.kind === kind) ?? false;
}

function report(node, what, why) {
  const source = node.getSourceFile();
  const { line, character } = source.getLineAndCharacterOfPosition(node.getStart());
  console.log(`${source.fileName}:${line + 1}:${character + 1}  ${what} is ${why}`);
  found++;
}
