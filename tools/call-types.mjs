// Questions about types that the call check asks: is it a generator, whose run loop wants what it yields,
// does it carry an errno or a count of bytes not done?
import ts from "typescript";

/** The alternatives of a type; a type parameter stands for its constraint. */
export function membersOf(checker, type) {
  if (type.isUnion()) return type.types.flatMap((member) => membersOf(checker, member));
  const bound = type.isTypeParameter() ? checker.getBaseConstraintOfType(type) : undefined;
  return bound === undefined || bound === type ? [type] : membersOf(checker, bound);
}

function isGenerator(type) {
  const name = type.symbol?.name;
  return name === "Generator" || name === "AsyncGenerator";
}

/** Can a value of this type be a generator, or an array of them? */
export function mayHoldGenerator(checker, type) {
  return withElements(checker, type).some(isGenerator);
}

/** Is a value of this type always a generator? */
export function isAlwaysGenerator(checker, type) {
  return membersOf(checker, type).every(isGenerator);
}

/** Does this generator yield to the run loop? Others yield plain data, and iterating them is right. */
export function yieldsToRunLoop(checker, type) {
  const forRunLoop = (yielded) =>
    yielded.isTypeParameter() ||
    ["WaitChannel", "Faulting"].includes(yielded.symbol?.name) ||
    (yielded.isClassOrInterface() && checker.getBaseTypes(yielded).some(forRunLoop));
  return membersOf(checker, type)
    .filter(isGenerator)
    .map((generator) => checker.getTypeArguments(generator)[0])
    .some((yielded) => (yielded.isUnion() ? yielded.types : [yielded]).some(forRunLoop));
}

/** Names of the units that must not be dropped and that a value of this type (or its elements) may carry. */
export function unitsThatMatter(checker, type) {
  const units = withElements(checker, type).map((member) => unitOf(checker, member));
  return ["Errno", "Uncopied"].filter((unit) => units.includes(unit));
}

/** The `Name` of `Unit<Name>`, which the brand's unique symbol holds. */
function unitOf(checker, type) {
  if (!type.isIntersection()) return undefined;
  const brand = type.getProperties().find((property) => property.escapedName.startsWith("__@unit@"));
  const unit = brand === undefined ? undefined : checker.getTypeOfSymbol(brand);
  return unit?.isStringLiteral() ? unit.value : undefined;
}

function withElements(checker, type) {
  return membersOf(checker, type).flatMap((member) =>
    checker.isArrayType(member)
      ? checker.getTypeArguments(member).flatMap((element) => membersOf(checker, element))
      : [member],
  );
}

/** Does a value of this type vanish: `void`, or a promise of it? */
export function isVoid(checker, type) {
  return membersOf(checker, type).every(
    (member) =>
      (member.flags & (ts.TypeFlags.Void | ts.TypeFlags.Undefined)) !== 0 ||
      (/^Promise(Like)?$/.test(member.symbol?.name ?? "") && isVoid(checker, checker.getTypeArguments(member)[0])),
  );
}

/** Does this type take everything, so that a generator fits by accident? */
export function takesEverything(type) {
  if ((type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.NonPrimitive)) !== 0) return true;
  return (type.flags & ts.TypeFlags.Object) !== 0 && type.getProperties().length === 0 && type.symbol?.name !== "Array";
}
