/** The entries of requests whose values a log may hold. */
import { InvalidOptionError } from "../core/errors.js";
import { withoutText } from "../core/shown.js";

/** Their names; true: all of them. */
export type ClearEntries = ReadonlySet<string> | true;

/** @throws InvalidOptionError */
export function checkClear(option: string, value: unknown): ClearEntries {
  if (value === true) return value;
  const names = value === undefined ? [] : value;
  const isList = Array.isArray(names) && names.every((name) => typeof name === "string");
  if (isList) return new Set<string>(names as readonly string[]);
  throw new InvalidOptionError(option, withoutText(value), "a list of names of entries, or true");
}
