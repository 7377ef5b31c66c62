// Finds calls that compile and are wrong:
//
//   lost generator    a generator that is called but that nothing runs; it was meant to be `yield*`ed
//   lost result       an errno, or a count of bytes not done, that nobody looks at
//   eager debug text  a template literal in a debug() call, which is built even when nobody listens
//
// A result that is rightly ignored says so: `ignoreResult(expression, "why")`.
//
//   node tools/check-calls.mjs [tsconfig.json]
import { relative, resolve } from "node:path";
import ts from "typescript";
import { positionOf } from "./call-position.mjs";
import {
  isAlwaysGenerator,
  isVoid,
  mayHoldGenerator,
  membersOf,
  takesEverything,
  unitsThatMatter,
  yieldsToRunLoop,
} from "./call-types.mjs";

const { SyntaxKind } = ts;

const IGNORE = 'use the result, or write ignoreResult(..., "why")';

const ITERATED = "is iterated, so the run loop never sees what it waits for";

const WRONG = {
  discarded: "is called, but nothing runs it",
  yielded: "is yielded as a value, but nothing runs it",
  condition: "is a generator, which is always true",
  operand: "is a generator, not its result",
  text: "is a generator, not its result",
  other: "is a generator, not its result",
};

const program = programOf(resolve(process.argv[2] ?? "tsconfig.json"));
const checker = program.getTypeChecker();
const problems = [];

for (const name of program.getRootFileNames()) {
  if (!name.endsWith(".d.ts")) visit(program.getSourceFile(name));
}
for (const problem of problems) console.log(problem);
if (problems.length > 0) {
  console.log(`\n${problems.length} wrong call${problems.length === 1 ? "" : "s"}`);
  process.exitCode = 1;
}

function programOf(path) {
  const { config, error } = ts.readConfigFile(path, ts.sys.readFile);
  if (error !== undefined) throw new Error(ts.flattenDiagnosticMessageText(error.messageText, "\n"));
  const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, resolve(path, ".."));
  return ts.createProgram(fileNames, options);
}

function visit(node) {
  switch (node.kind) {
    case SyntaxKind.CallExpression:
      checkDebug(node);
      checkGeneratorCall(node);
      checkResult(node);
      break;
    case SyntaxKind.YieldExpression:
    case SyntaxKind.AwaitExpression:
      checkGeneratorValue(node);
      checkResult(node);
      break;
    case SyntaxKind.Identifier:
    case SyntaxKind.PropertyAccessExpression:
    case SyntaxKind.ElementAccessExpression:
      checkGeneratorValue(node);
      checkCallback(node);
      break;
  }
  ts.forEachChild(node, visit);
}

/** The result of a call that gives a generator must go somewhere that runs it or keeps it. */
function checkGeneratorCall(call) {
  const type = checker.getTypeAtLocation(call);
  if (!mayHoldGenerator(checker, type)) return;
  const position = positionOf(call);
  const wrong = wrongUseOf(type, position);
  if (wrong !== null) report(call, `${nameOf(call)} ${wrong}`, `write "yield* ${nameOf(call)}"`);
}

/** A generator in a variable is fine; using it as if it were its result is not. */
function checkGeneratorValue(node) {
  const position = positionOf(node);
  if (!["discarded", "condition", "operand", "text"].includes(position.is)) return;
  // The compiler rejects a comparison with anything that is not a generator.
  if (isComparison(position.node)) return;
  const type = checker.getTypeAtLocation(node);
  if (isAlwaysGenerator(checker, type)) {
    report(node, `${node.getText()} ${WRONG[position.is]}`, `write "yield* ${node.getText()}"`);
  }
}

function checkResult(node) {
  const position = positionOf(node);
  if (!isDiscarded(position)) return;
  const units = unitsThatMatter(checker, checker.getTypeAtLocation(node));
  if (units.length === 0) return;
  const what = units.map((unit) => (unit === "Errno" ? "an errno" : "a count of bytes not done")).join(" or ");
  report(node, `${nameOf(node)} may return ${what}, and nobody looks at it`, IGNORE);
}

/** A function passed by name to somebody who does not look at what it returns. */
function checkCallback(node) {
  if (positionOf(node).is !== "argument") return;
  const wanted = checker.getContextualType(node)?.getCallSignatures()[0]?.getReturnType();
  if (wanted === undefined || !isVoid(checker, wanted)) return;
  const returned = checker.getTypeAtLocation(node).getCallSignatures()[0]?.getReturnType();
  if (returned === undefined) return;
  if (mayHoldGenerator(checker, returned)) {
    report(node, `${node.getText()} will be called, but nothing runs it`, 'loop, and write "yield*"');
  } else if (unitsThatMatter(checker, returned).length > 0) {
    report(node, `nobody looks at what ${node.getText()} returns`, IGNORE);
  }
}

function checkDebug(call) {
  const callee = membersOf(checker, checker.getTypeAtLocation(call.expression));
  if (!callee.some((type) => type.symbol?.name === "Debugger")) return;
  const template = call.arguments.find(ts.isTemplateExpression);
  if (template !== undefined) {
    report(template, "the text is built even when nobody listens", 'write debug("... %d ...", value)');
  }
}

/** Returns: what is wrong with a generator in this position, or null. */
function wrongUseOf(type, position) {
  switch (position.is) {
    case "delegated":
    case "stored":
    case "member":
      return null;
    case "returned":
      return isDiscarded(position) || returnsToNobody(position.node) ? WRONG.discarded : null;
    case "iterated":
      return yieldsToRunLoop(checker, type) ? ITERATED : null;
    case "argument":
      return wrongArgument(type, position);
    default:
      return WRONG[position.is];
  }
}

function wrongArgument(type, { node: call, child }) {
  const parameter = parameterFor(call, child);
  // What hands its argument through is judged by what becomes of its result.
  if (parameter.own && mayHoldGenerator(checker, checker.getTypeAtLocation(call))) return null;
  if (parameter.own || takesEverything(parameter.type)) return "is passed as a plain value, but nothing runs it";
  const iterates = membersOf(checker, parameter.type).some((wanted) => wanted.symbol?.name === "Iterable");
  return iterates && yieldsToRunLoop(checker, type) ? ITERATED : null;
}

/** The declared type of the parameter that an argument goes to; `own`: a type parameter of the call itself. */
function parameterFor(call, argument) {
  const parameters = checker.getResolvedSignature(call)?.declaration?.parameters ?? [];
  const parameter = parameters[Math.min(call.arguments.indexOf(argument), parameters.length - 1)];
  if (parameter === undefined) return { type: checker.getContextualType(argument) ?? checker.getAnyType(), own: false };
  const declared = checker.getTypeAtLocation(parameter);
  const type = parameter.dotDotDotToken === undefined ? declared : (declared.getNumberIndexType() ?? declared);
  const own = type.isTypeParameter() && type.symbol.declarations?.some(({ parent }) => parent === parameter.parent);
  return { type, own: own === true };
}

function isDiscarded(position) {
  if (position.is !== "returned") return position.is === "discarded";
  const wanted = returnTypeAskedFor(functionAround(position.node));
  return wanted !== undefined && isVoid(checker, wanted);
}

/** Is the generator returned by a generator, or by a callback whose caller expects nothing in particular? */
function returnsToNobody(node) {
  const around = functionAround(node);
  if (around.asteriskToken !== undefined) return true;
  const wanted = returnTypeAskedFor(around);
  return wanted !== undefined && takesEverything(wanted);
}

/** What the place where a function expression stands wants it to return. */
function returnTypeAskedFor(around) {
  if (!ts.isArrowFunction(around) && !ts.isFunctionExpression(around)) return undefined;
  return checker.getContextualType(around)?.getCallSignatures()[0]?.getReturnType();
}

function functionAround(node) {
  return ts.isArrowFunction(node) ? node : ts.findAncestor(node, ts.isFunctionLike);
}

function isComparison({ operatorToken }) {
  return [SyntaxKind.EqualsEqualsEqualsToken, SyntaxKind.ExclamationEqualsEqualsToken].includes(operatorToken?.kind);
}

/** `mutexLock(...)` */
function nameOf(node) {
  if (ts.isYieldExpression(node) || ts.isAwaitExpression(node)) return nameOf(node.expression);
  return ts.isCallExpression(node) ? `${node.expression.getText()}(...)` : node.getText();
}

function report(node, what, instead) {
  const source = node.getSourceFile();
  const { line, character } = source.getLineAndCharacterOfPosition(node.getStart());
  const path = relative(process.cwd(), source.fileName);
  problems.push(`${path}:${line + 1}:${character + 1}  ${what}: ${instead}`);
}
