/** Checks that every entry point shares: is it an object, are all its names known? */
import { InvalidOptionError } from "./errors.js";

/** The own properties of `value`, after checking that it is an object with only the `known` names. */
export function checkOptions(
  option: string,
  value: unknown,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidOptionError(option, value, "an object");
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      throw new InvalidOptionError(
        option === "options" ? name : `${option}.${name}`,
        (value as Record<string, unknown>)[name],
        `only these options: ${known.join(", ")}`,
      );
    }
  }
  return value as Record<string, unknown>;
}

/** One of a fixed set of words. */
export function checkChoice<const T extends string>(
  option: string,
  value: unknown,
  choices: readonly T[],
): T {
  if (choices.includes(value as T)) return value as T;
  throw new InvalidOptionError(option, value, choices.map((choice) => `"${choice}"`).join(" or "));
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
  if (typeof value !== "function") throw new InvalidOptionError(option, value, "a function");
}

/** An array. */
export function checkList(option: string, value: unknown): void {
  if (!Array.isArray(value)) throw new InvalidOptionError(option, value, "an array");
}

/** true or false. */
export function checkBoolean(option: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new InvalidOptionError(option, value, "true or false");
}
