/** One reader for all objects of options: a table says which options there are, what each may be, and its default. */
import { toMicroseconds } from "./duration.js";
import { InvalidOptionError } from "./errors.js";
import { grouped, HIDDEN, withoutText } from "./shown.js";
import { meantBoolean, meantNumber, meantOption, nearest } from "./slips.js";

/** Checks one value, which the caller calls `option`, and answers it as the code uses it. */
export type OptionCheck<R = unknown> = (option: string, value: unknown) => R;

/** What each option of T may be: an option without a check does not compile. */
type Checks<T> = { readonly [K in keyof Required<T>]: OptionCheck };

/** What a check answers that has a default and says nothing of the type. */
export interface Defaulted {
  readonly isDefaulted: never;
}

/** If a check does not state the type, it is the interface's. */
type Value<V, R> = unknown extends R ? V : [R] extends [Defaulted] ? Exclude<V, undefined> : R;

type Checked<T, C> = {
  readonly [K in keyof T]-?: K extends keyof C
    ? C[K] extends OptionCheck<infer R>
      ? Value<T[K], R>
      : never
    : never;
};

/** Reads objects of one kind. */
export interface OptionReader<T, C> {
  /** For readers that have these options too. */
  readonly checks: C;
  /**
   * The options, each checked, with their defaults. Errors name them as the caller wrote them: "every", or "retries.every"
   * if `object` is "retries".
   *
   * @throws InvalidOptionError
   */
  read(given: unknown, object?: string): Checked<T, C>;
  /** Refuses unknown names alone, for calls that have no time for more. @throws InvalidOptionError */
  known(given: unknown, object?: string): T;
}

/** Called twice, since T is named and C is not. */
export function optionReader<T>(): <C extends Checks<T>>(
  checks: C & { readonly [K in Exclude<keyof C, keyof T>]: never },
) => OptionReader<T, C> {
  return (checks) => {
    const table = Object.entries<OptionCheck>(checks);
    const names = Object.keys(checks);
    return {
      checks,
      known: (given, object = "options") => checkOptions(object, given, names) as never,
      read(given, object = "options") {
        const options = checkOptions(object, given, names);
        const prefix = object === "options" ? "" : `${object}.`;
        return Object.fromEntries(
          table.map(([name, check]) => [name, check(prefix + name, options[name])]),
        ) as never;
      },
    };
  };
}

/** As `check` has it, or undefined. */
export function optional<R>(check: OptionCheck<R>): OptionCheck<R | undefined> {
  return (option, value) => (value === undefined ? undefined : check(option, value));
}

/** What `check` returns; the default replaces undefined, and nothing else. */
export function byDefault<R>(
  value: unknown,
  check: OptionCheck<R>,
): OptionCheck<unknown extends R ? Defaulted : R> {
  return (option, given) => check(option, given === undefined ? value : given) as never;
}

/** A number as `check` has it, or a function that says which one. */
export function orFunction(check: OptionCheck): OptionCheck {
  return (option, value) => {
    if (typeof value !== "number") return checkFunction(option, value);
    check(option, value);
    return value;
  };
}

/** What is checked elsewhere. */
export const asGiven: OptionCheck = (_option, value) => value;

/** Options that are checked elsewhere, for a table. */
export function unchecked<const N extends string>(...names: readonly N[]): Record<N, OptionCheck> {
  return Object.fromEntries(names.map((name) => [name, asGiven])) as Record<N, OptionCheck>;
}

/** A whole number within a range. */
export function aCount(minimum: number, maximum: number): OptionCheck<number> {
  return (option, value) => checkCount(option, value, minimum, maximum);
}

/** A duration within a range, as milliseconds. */
export function milliseconds(minimumUs?: number, maximumUs?: number): OptionCheck<number> {
  return (option, value) => toMicroseconds(option, value, minimumUs, maximumUs) / 1e3;
}

/** Text; `allowed` says which. Errors do not show it. */
export function aText(
  allowed: string,
  isGood = (_text: string): boolean => true,
): OptionCheck<string> {
  return (option, value) => {
    if (typeof value === "string" && isGood(value)) return value;
    throw new InvalidOptionError(option, withoutText(value), allowed);
  };
}

/** Text of at most that number of UTF-16 units. */
export function textUpTo(longest: number): OptionCheck<string> {
  return aText(`text of at most ${longest} characters`, ({ length }) => length <= longest);
}

/** Text that is not empty. */
export function filled(allowed: string): OptionCheck<string> {
  return aText(allowed, (given) => given !== "");
}

/** The own properties of `value`, after checking that it is an object with only the `known` names. */
function checkOptions(
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

/** A promise, a signal, a Map: they have no own properties, so they would pass for empty options. */
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
  // Not options at all, so listing the unknown names, the fields of a client, would not help.
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
  const isGood = (number: number): boolean =>
    Number.isInteger(number) && number >= minimum && number <= maximum;
  if (isGood(value as number)) return value as number;
  const allowed = `a whole number from ${grouped(minimum)} to ${grouped(maximum)}`;
  throw new InvalidOptionError(option, value, allowed, { hint: meantNumber(value, isGood) });
}

/** A function. */
export function checkFunction(option: string, value: unknown): unknown {
  if (typeof value === "function") return value;
  throw new InvalidOptionError(option, withoutText(value), "a function");
}

/** An array. */
export function checkList(option: string, value: unknown): unknown {
  if (Array.isArray(value)) return value;
  throw new InvalidOptionError(option, withoutText(value), "an array");
}

/** true or false. */
export function checkBoolean(option: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new InvalidOptionError(option, value, "true or false", { hint: meantBoolean(value) });
}

/** An object, whatever is in it. */
export function checkObject(option: string, value: unknown): unknown {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new InvalidOptionError(option, withoutText(value), "an object");
}

/** A number that is one. */
export function checkNumber(option: string, value: unknown): number {
  if (Number.isFinite(value)) return value as number;
  const hint = meantNumber(value, Number.isFinite);
  throw new InvalidOptionError(option, value, "a finite number", { hint });
}
