/** Checks of values with their positions: each gives the checked value, or reports and gives undefined. */
import { InvalidOptionError } from "../core/errors.js";
import { HIDDEN, withoutText } from "../core/shown.js";
import { nearest } from "../core/slips.js";
import { below, type Problems } from "./problems.js";
import type { MapNode, SourceNode } from "./source-node.js";

export type Check<T> = (node: SourceNode, path: string, problems: Problems) => T | undefined;

/** A field of an object. */
export interface CheckedField<T> {
  readonly check: Check<T>;
  readonly isRequired?: boolean;
}

/** A value as errors show it: in words if it is a list or an object. */
export function shownOf(node: SourceNode): unknown {
  if (node.kind === "scalar") return node.value;
  return withoutText(node.kind === "list" ? [] : {});
}

/** An object with these fields alone; what is absent stays absent. */
export function fields<T extends object>(
  table: {
    readonly [K in keyof T]-?: CheckedField<T[K]>;
  },
): Check<T> {
  const known = Object.keys(table);
  const all = Object.entries<CheckedField<unknown>>(table);
  return (node, path, problems) => {
    if (node.kind !== "map") {
      problems.refuse(node, path, withoutShort(node), `an object with ${known.join(", ")}`);
      return undefined;
    }
    const before = problems.count;
    refuseOthers(node, path, known, problems);
    const checked: Record<string, unknown> = {};
    for (const [name, { check, isRequired }] of all) {
      const entry = node.entries.get(name);
      if (entry !== undefined) checked[name] = check(entry, below(path, name), problems);
      else if (isRequired === true) {
        problems.add(node.line, below(path, name), `${below(path, name)} is missing`);
      }
    }
    return problems.count > before ? undefined : (Object.freeze(checked) as T);
  };
}

/** What is no object is shown only by its kind: it may be anything. */
function withoutShort(node: SourceNode): unknown {
  return node.kind === "scalar" ? withoutText(node.value) : shownOf(node);
}

/** Reports the names that are not among the known ones. */
export function refuseOthers(
  { entries }: MapNode,
  path: string,
  known: readonly string[],
  problems: Problems,
): void {
  for (const [name, entry] of entries) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    const hint = near === undefined ? undefined : `did you mean ${near}?`;
    const allowed = `only these fields: ${known.join(", ")}`;
    problems.refuse(entry, below(path, name), HIDDEN, allowed, hint);
  }
}

/** A list, each of whose items is checked; `what` names them. */
export function list<T>(
  check: Check<T>,
  what: string,
  most: number,
  least = 0,
): Check<readonly T[]> {
  return (node, path, problems) => {
    if (node.kind !== "list") {
      problems.refuse(node, path, shownOf(node), `a list of ${what}`);
      return undefined;
    }
    const count = node.items.length;
    if (count < least || count > most) {
      problems.refuse(node, path, count, `${least} to ${most} ${what}`);
      return undefined;
    }
    const before = problems.count;
    const items = node.items.map((item, i) => check(item, `${path}[${i}]`, problems));
    return problems.count > before ? undefined : Object.freeze(items as T[]);
  };
}

/** An object by names that are free. */
export function byName<T>(
  check: (name: string) => Check<T>,
  what: string,
  most: number,
): Check<Readonly<Record<string, T>>> {
  return (node, path, problems) => {
    if (node.kind !== "map") {
      problems.refuse(node, path, withoutShort(node), `an object of ${what} by name`);
      return undefined;
    }
    if (node.entries.size > most) {
      problems.refuse(node, path, node.entries.size, `at most ${most} ${what}`);
      return undefined;
    }
    const before = problems.count;
    const checked = [...node.entries].map(
      ([name, entry]) => [name, check(name)(entry, below(path, name), problems)] as const,
    );
    // Own properties even for names such as __proto__.
    return problems.count > before
      ? undefined
      : (Object.freeze(Object.fromEntries(checked)) as Readonly<Record<string, T>>);
  };
}

/** One of a few words. */
export function choice<const T extends string>(...words: readonly T[]): Check<T> {
  const allowed = words.map((word) => `"${word}"`).join(" or ");
  return (node, path, problems) => {
    const value = node.kind === "scalar" ? node.value : undefined;
    if (words.includes(value as T)) return value as T;
    const near = typeof value === "string" ? nearest(value, words) : undefined;
    const hint = near === undefined ? undefined : `did you mean "${near}"?`;
    problems.refuse(node, path, shownOf(node), allowed, hint);
    return undefined;
  };
}

/** A check that a scalar passes a test. */
export function scalar<T>(
  isAllowed: (value: unknown) => value is T,
  allowed: string,
  hintFor?: (value: unknown) => string | undefined,
): Check<T> {
  return (node, path, problems) => {
    if (node.kind === "scalar" && isAllowed(node.value)) return node.value;
    const hint = node.kind === "scalar" ? hintFor?.(node.value) : undefined;
    problems.refuse(node, path, shownOf(node), allowed, hint);
    return undefined;
  };
}

/** A text whose length is in a range, in characters. */
export function text(least: number, most: number): Check<string> {
  return scalar(
    (value): value is string =>
      typeof value === "string" && value.length >= least && value.length <= most,
    `a text of ${least} to ${most} characters`,
    inQuotes,
  );
}

/** For a number or true or false instead of a text: YAML reads unquoted values so. */
export function inQuotes(value: unknown): string | undefined {
  return typeof value === "number" || typeof value === "boolean"
    ? `put it in quotes: "${value}"`
    : undefined;
}

/** A number in a range; a whole one if `isWhole`. */
export function number(least: number, most: number, isWhole = false): Check<number> {
  return scalar(
    (value): value is number =>
      typeof value === "number" &&
      value >= least &&
      value <= most &&
      (!isWhole || Number.isInteger(value)),
    `a ${isWhole ? "whole " : ""}number from ${least} to ${most}`,
    (value) =>
      typeof value === "string" && value !== "" && Number.isFinite(Number(value))
        ? `leave out the quotes: ${value}`
        : undefined,
  );
}

/** What a check of the library's own says of a value; its errors name the path. */
export function checkedBy(
  node: SourceNode,
  problems: Problems,
  path: string,
  check: () => void,
): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error;
    const name = error.option.startsWith(`${path}.`) ? error.option.slice(path.length + 1) : "";
    const entry = node.kind === "map" ? node.entries.get(name) : undefined;
    problems.add((entry ?? node).line, error.option, withMonths(error));
  }
}

/** A duration cannot be a month: months differ. */
function withMonths({ message, value, option }: InvalidOptionError): string {
  if (!/\.(?:period|window)$/.test(option) || typeof value !== "string") return message;
  const unit = /(week|month|year)/i.exec(value)?.[1]?.toLowerCase();
  if (unit === undefined) return message;
  const days = unit === "week" ? ' such as "7d"' : "";
  return `${message}; write days${days}, or for calendar ${unit}s use algorithm "calendar-window"`;
}
