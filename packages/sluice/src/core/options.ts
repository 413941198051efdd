/** Checks that every entry point shares: is it an object, are all its names known? */
import { InvalidOptionError } from "./errors.js";
import { HIDDEN, withoutText } from "./shown.js";
import { meantOption, nearest } from "./slips.js";

/** The own properties of `value`, after checking that it is an object with only the `known` names. */
export function checkOptions(
  option: string,
  value: unknown,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const hint = passHint(value, known);
    throw new InvalidOptionError(option, withoutText(value), "an object", { hint });
  }
  if (isOfOtherKind(value)) {
    const hint = passHint(value, known);
    throw new InvalidOptionError(option, withoutText(value), "an object of options", { hint });
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) throw unknownName(option, name, value, known);
  }
  return value as Record<string, unknown>;
}

/** A promise, a signal, a Map: without properties of their own they would pass for no options at all. */
function isOfOtherKind(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return false;
  return Object.prototype.toString.call(value) !== "[object Object]";
}

/** Never shows the value: it may be a secret under a name that is not quite right. */
function unknownName(
  option: string,
  name: string,
  value: object,
  known: readonly string[],
): InvalidOptionError {
  const hint = passHint(value, known);
  // Not options at all: the names of a client's own fields would help nobody.
  if (hint !== undefined) {
    return new InvalidOptionError(option, withoutText(value), "an object of options", { hint });
  }
  const near = nearest(name, known);
  return new InvalidOptionError(
    option === "options" ? name : `${option}.${name}`,
    HIDDEN,
    `only these options: ${known.join(", ")}`,
    { hint: near === undefined ? undefined : `did you mean ${near}?` },
  );
}

function passHint(value: unknown, known: readonly string[]): string | undefined {
  const name = meantOption(value, known);
  if (name === undefined) return undefined;
  const shown = typeof value === "number" || typeof value === "boolean" ? `: ${value}` : "";
  return `pass { ${name}${shown} }`;
}

/** One of a fixed set of words. */
export function checkChoice<const T extends string>(
  option: string,
  value: unknown,
  choices: readonly T[],
): T {
  if (choices.includes(value as T)) return value as T;
  const near = typeof value === "string" ? nearest(value, choices) : undefined;
  const hint = near === undefined ? {} : { hint: `did you mean "${near}"?` };
  const allowed = choices.map((choice) => `"${choice}"`).join(" or ");
  throw new InvalidOptionError(option, value, allowed, hint);
}

/** A whole number within a range. */
export function checkCount(
  option: string,
  value: unknown,
  minimum: number,
  maximum: number,
): number {
  if (Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum) {
    return value as number;
  }
  throw new InvalidOptionError(option, value, `a whole number from ${minimum} to ${maximum}`);
}

/** A function. */
export function checkFunction(option: string, value: unknown): void {
  if (typeof value === "function") return;
  throw new InvalidOptionError(option, withoutText(value), "a function");
}

/** An array. */
export function checkList(option: string, value: unknown): void {
  if (Array.isArray(value)) return;
  throw new InvalidOptionError(option, withoutText(value), "an array");
}

/** true or false. */
export function checkBoolean(option: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new InvalidOptionError(option, value, "true or false");
}

/** An object, whatever is in it. */
export function checkObject(option: string, value: unknown): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw new InvalidOptionError(option, withoutText(value), "an object");
}

/** A number that is one. */
export function checkNumber(option: string, value: unknown): number {
  if (Number.isFinite(value)) return value as number;
  throw new InvalidOptionError(option, value, "a finite number");
}
