// What becomes of the value of an expression, told by where it stands. Parentheses, casts, branches and the
// right-hand sides of `,`, `&&`, `||` and `??` hand their value on, so the answer is that of the whole.
import ts from "typescript";

const { SyntaxKind } = ts;

/**
 * Returns `{ is, node, child }`: `node` is the syntax that decides, `child` the part of it that holds the value.
 *
 *   discarded   nobody looks at it             condition   only its truth matters
 *   delegated   `yield*`                       operand     arithmetic or comparison
 *   yielded     `yield`                        text        part of a template
 *   returned    result of a function           iterated    `for of`, spread, array pattern
 *   stored      variable, property, element    member      a property of it is taken
 *   argument    of a call                      other
 */
export function positionOf(expression) {
  let child = expression;
  for (let node = child.parent; ; child = node, node = node.parent) {
    if (handsOn(node, child)) continue;
    return { is: classify(node, child), node, child };
  }
}

function handsOn(node, child) {
  switch (node.kind) {
    case SyntaxKind.ParenthesizedExpression:
    case SyntaxKind.AsExpression:
    case SyntaxKind.SatisfiesExpression:
    case SyntaxKind.NonNullExpression:
      return true;
    case SyntaxKind.ConditionalExpression:
      return node.condition !== child;
    case SyntaxKind.BinaryExpression:
      if (node.operatorToken.kind === SyntaxKind.QuestionQuestionToken) return true;
      return node.right === child && [SyntaxKind.CommaToken, ...LOGICAL].includes(node.operatorToken.kind);
    default:
      return false;
  }
}

const LOGICAL = [SyntaxKind.AmpersandAmpersandToken, SyntaxKind.BarBarToken];

function classify(node, child) {
  switch (node.kind) {
    case SyntaxKind.ExpressionStatement:
    case SyntaxKind.VoidExpression:
      return "discarded";
    case SyntaxKind.YieldExpression:
      return node.asteriskToken === undefined ? "yielded" : "delegated";
    case SyntaxKind.ReturnStatement:
    case SyntaxKind.ArrowFunction:
      return "returned";
    case SyntaxKind.VariableDeclaration:
    case SyntaxKind.BindingElement:
    case SyntaxKind.Parameter:
      return ts.isArrayBindingPattern(node.name) ? "iterated" : "stored";
    case SyntaxKind.PropertyDeclaration:
    case SyntaxKind.PropertyAssignment:
    case SyntaxKind.ShorthandPropertyAssignment:
    case SyntaxKind.ArrayLiteralExpression:
      return "stored";
    case SyntaxKind.CallExpression:
    case SyntaxKind.NewExpression:
      return node.expression === child ? "other" : "argument";
    case SyntaxKind.PropertyAccessExpression:
      return "member";
    case SyntaxKind.ElementAccessExpression:
      return node.expression === child ? "member" : "other";
    case SyntaxKind.SpreadElement:
      return "iterated";
    case SyntaxKind.ForOfStatement:
      return node.expression === child ? "iterated" : "other";
    case SyntaxKind.TemplateSpan:
      return "text";
    case SyntaxKind.IfStatement:
    case SyntaxKind.WhileStatement:
    case SyntaxKind.DoStatement:
    case SyntaxKind.ConditionalExpression:
      return "condition";
    case SyntaxKind.ForStatement:
      return node.condition === child ? "condition" : "discarded";
    case SyntaxKind.PrefixUnaryExpression:
      return node.operator === SyntaxKind.ExclamationToken ? "condition" : "operand";
    case SyntaxKind.BinaryExpression:
      return binary(node, child);
    default:
      return "other";
  }
}

function binary({ operatorToken: { kind }, left }, child) {
  if (kind === SyntaxKind.CommaToken) return "discarded";
  if (LOGICAL.includes(kind)) return "condition";
  const assigns = kind >= SyntaxKind.FirstAssignment && kind <= SyntaxKind.LastAssignment;
  if (!assigns) return "operand";
  if (left === child) return "other";
  const keeps = [
    SyntaxKind.EqualsToken,
    SyntaxKind.QuestionQuestionEqualsToken,
    SyntaxKind.BarBarEqualsToken,
    SyntaxKind.AmpersandAmpersandEqualsToken,
  ];
  return keeps.includes(kind) ? "stored" : "operand";
}
