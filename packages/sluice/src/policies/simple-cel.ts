/** Reads the simplest conditions of CEL, the expression language of Limitador: comparisons of one entry with texts. */
import { literal } from "./import-rules.js";

/** What a condition asks of an entry: to be one of these, or not to be this. */
export interface SimpleCondition {
  readonly entry: string;
  readonly is?: readonly string[];
  readonly not?: string;
}

const LONGEST = 1024;
const TEXT = String.raw`(?:"([^"\\]*)"|'([^'\\]*)')`;
const ENTRY = String.raw`(?:descriptors\[0\](?:\[(?:"([^"\\]*)"|'([^'\\]*)')\]|\.([A-Za-z_]\w*))|([A-Za-z_][\w.]*))`;
const COMPARED = new RegExp(String.raw`^${ENTRY} *(==|!=) *(?:${TEXT}|([\w./-]+))$`);
const TURNED = new RegExp(String.raw`^${TEXT} *(==|!=) *${ENTRY}$`);
const AMONG = new RegExp(String.raw`^${ENTRY} +in +\[([^\]]*)\]$`);
const CALLED = new RegExp(String.raw`^${ENTRY}\.(startsWith|endsWith|contains)\(${TEXT}\)$`);
const ONLY_ENTRY = new RegExp(`^${ENTRY}$`);
/** Texts in quotes, or a character outside of them. */
const PIECES = /"[^"]*"|'[^']*'|&&|[^"'&]+|[\s\S]/g;

const firstOf = (...texts: readonly (string | undefined)[]): string =>
  texts.find((text) => text !== undefined) ?? "";

/** The entry, if an expression is nothing but its name: `user`, `descriptors[0]["user"]`. */
export function entryIn(expression: string): string | undefined {
  const found = expression.length > LONGEST ? null : ONLY_ENTRY.exec(expression.trim());
  return found === null ? undefined : firstOf(...found.slice(1));
}

function conditionIn(term: string): SimpleCondition | undefined {
  const compared = COMPARED.exec(term);
  if (compared !== null) {
    const [, a, b, c, d, operator, e, f, g] = compared;
    return comparison(firstOf(a, b, c, d), operator, firstOf(e, f, g));
  }
  const turned = TURNED.exec(term);
  if (turned !== null) {
    const [, e, f, operator, a, b, c, d] = turned;
    return comparison(firstOf(a, b, c, d), operator, firstOf(e, f));
  }
  const among = AMONG.exec(term);
  if (among !== null) {
    const [, a, b, c, d, list = ""] = among;
    const texts = list.split(",").map((text) => new RegExp(`^ *${TEXT} *$`).exec(text));
    if (texts.includes(null)) return undefined;
    const is = texts.map((found) => literal(firstOf(found?.[1], found?.[2])));
    return { entry: firstOf(a, b, c, d), is };
  }
  const called = CALLED.exec(term);
  if (called === null) return undefined;
  const [, a, b, c, d, verb, e, f] = called;
  const text = literal(firstOf(e, f));
  const before = verb === "startsWith" ? "" : "*";
  return { entry: firstOf(a, b, c, d), is: [before + text + (verb === "endsWith" ? "" : "*")] };
}

function comparison(entry: string, operator: string | undefined, text: string): SimpleCondition {
  return operator === "==" ? { entry, is: [literal(text)] } : { entry, not: literal(text) };
}

/** The conditions that an expression joins with `&&`; undefined if it says more than these can. */
export function simpleConditions(expression: string): readonly SimpleCondition[] | undefined {
  if (expression.length > LONGEST) return undefined;
  const terms = [""];
  for (const [piece] of expression.matchAll(PIECES)) {
    if (piece === "&&") terms.push("");
    else terms.push(`${terms.pop()}${piece}`);
  }
  const conditions = terms.map((term) => conditionIn(term.trim()));
  return conditions.includes(undefined) ? undefined : (conditions as readonly SimpleCondition[]);
}
