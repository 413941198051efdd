import { algorithmIds, type Policy } from "../algorithms/registry.js";
import { parsePolicies } from "../audit/log.js";
import { InvalidOptionError } from "../core/errors.js";
import {
  durationOption,
  numberOption,
  type OptionTable,
  type OptionValues,
  UsageError,
} from "./options.js";

type Algorithm = Policy["algorithm"];

/** The policy, in parts or whole, for every command that needs one. */
export const POLICY_OPTIONS = {
  algorithm: {
    type: "string",
    value: "NAME",
    help: `${algorithmIds.join(", ")} (default token-bucket).`,
  },
  limit: { type: "string", value: "N", help: "Units a period or window." },
  period: {
    type: "string",
    value: "TIME",
    help: 'The period, or the length of a window: "250ms", "1s", "1h30m".',
  },
  burst: {
    type: "string",
    value: "N",
    help: "token-bucket, gcra: units at once (default: the limit; gcra: 1).",
  },
  capacity: {
    type: "string",
    value: "N",
    help: "leaky-bucket: units the bucket holds (required).",
  },
  refill: { type: "string", value: "HOW", help: "token-bucket: continuous (default) or interval." },
  align: { type: "string", value: "HOW", help: "fixed-window: clock (default) or first." },
  unit: {
    type: "string",
    value: "UNIT",
    help: "calendar-window: minute, hour, day, week, month or year.",
  },
  "time-zone": {
    type: "string",
    value: "ZONE",
    help: "calendar-window: an IANA zone (default UTC).",
  },
  "week-starts-on": {
    type: "string",
    value: "DAY",
    help: "calendar-window: a day's name (default monday).",
  },
  name: {
    type: "string",
    value: "NAME",
    help: "The policy's name, part of its key in the store (default: the algorithm's).",
  },
  policy: {
    type: "string",
    value: "JSON",
    help: "The policy as JSON, or an array of them, instead of the options above.",
  },
} as const satisfies OptionTable;

type PolicyValues = OptionValues<typeof POLICY_OPTIONS>;
type PartName = Exclude<keyof PolicyValues, "policy" | "algorithm">;

interface Part {
  /** What the policy calls it. */
  readonly field: string;
  /** The algorithms that have it; all of them where it is left out. */
  readonly of?: readonly Algorithm[];
  readonly number?: true;
}

const BUCKETS: readonly Algorithm[] = ["token-bucket", "gcra", "leaky-bucket"];
const WINDOWS: readonly Algorithm[] = ["fixed-window", "sliding-window", "sliding-log"];

const PARTS: Readonly<Record<PartName, Part>> = {
  limit: { field: "limit", number: true },
  period: { field: "period", of: [...BUCKETS, ...WINDOWS] },
  burst: { field: "burst", of: ["token-bucket", "gcra"], number: true },
  capacity: { field: "capacity", of: ["leaky-bucket"], number: true },
  refill: { field: "refill", of: ["token-bucket"] },
  align: { field: "align", of: ["fixed-window"] },
  unit: { field: "unit", of: ["calendar-window"] },
  "time-zone": { field: "timeZone", of: ["calendar-window"] },
  "week-starts-on": { field: "weekStartsOn", of: ["calendar-window"] },
  name: { field: "name" },
};

/** What the command takes where the options are silent. */
export type PolicyDefaults = Partial<Record<"limit" | "period", string>>;

/** The policies that the options describe, or a UsageError in the options' own words. */
export function policiesFrom(
  values: PolicyValues,
  defaults: PolicyDefaults = {},
): readonly Policy[] {
  return values.policy === undefined
    ? [policyFromParts(values, defaults)]
    : policiesFromJson(values);
}

/** Policies from the text of `--policy` alone. */
export function policiesFromText(text: string): readonly Policy[] {
  return checked(parseJson(text), (option) => `--policy: ${option}`);
}

function policiesFromJson(values: PolicyValues): readonly Policy[] {
  const part = partNames().find((name) => values[name] !== undefined);
  const extra = values.algorithm === undefined ? part : "algorithm";
  if (extra !== undefined) throw new UsageError(`--${extra} and --policy exclude each other`);
  return policiesFromText(values.policy ?? "");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(
      `--policy is not JSON: ${JSON.stringify(text)}; quote it for the shell: --policy '{"algorithm":…}'`,
    );
  }
}

function policyFromParts(values: PolicyValues, defaults: PolicyDefaults): Policy {
  const algorithm = algorithmOf(values.algorithm ?? "token-bucket");
  const given = partNames().filter((name) => values[name] !== undefined);
  for (const name of given) {
    const { of } = PARTS[name];
    if (of?.includes(algorithm) === false) {
      throw new UsageError(`--${name} is for ${of.join(", ")}; the algorithm is ${algorithm}`);
    }
  }
  const fields: Record<string, unknown> = { algorithm };
  for (const name of partNames()) {
    if (PARTS[name].of?.includes(algorithm) === false) continue;
    const text = values[name] ?? defaultOf(name, defaults);
    if (text === undefined) continue;
    fields[fieldOf(name, algorithm)] = valueOf(name, text);
  }
  const [policy] = checked(fields, (field) => `--${optionOf(field)}`);
  if (policy === undefined) throw new UsageError("a policy is needed");
  return policy;
}

/** A bare number in --period is in milliseconds, as in every duration of the command line. */
function valueOf(name: PartName, text: string): string | number {
  if (PARTS[name].number === true) return numberOption(name, text, { min: 0 });
  return name === "period" ? durationOption(name, text) : text;
}

function partNames(): PartName[] {
  return Object.keys(PARTS) as PartName[];
}

function defaultOf(name: PartName, defaults: PolicyDefaults): string | undefined {
  return name === "limit" || name === "period" ? defaults[name] : undefined;
}

function algorithmOf(text: string): Algorithm {
  if (algorithmIds.includes(text)) return text as Algorithm;
  throw new UsageError(
    `--algorithm ${JSON.stringify(text)} is not one of ${algorithmIds.join(", ")}`,
  );
}

/** The command line says --period for every length of time; a window's policy calls it `window`. */
function fieldOf(name: PartName, algorithm: Algorithm): string {
  return name === "period" && WINDOWS.includes(algorithm) ? "window" : PARTS[name].field;
}

function optionOf(field: string): string {
  if (field === "window") return "period";
  return partNames().find((name) => PARTS[name].field === field) ?? field;
}

/** Lets the library check the policy, and turns what it refuses into a UsageError. */
function checked(value: unknown, nameOf: (option: string) => string): readonly Policy[] {
  try {
    return parsePolicies(value);
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error;
    const field = error.option.split(".").at(-1) ?? error.option;
    if (error.value === undefined) {
      throw new UsageError(`${nameOf(field)} is missing; expected ${error.allowed}`);
    }
    throw new UsageError(
      `${nameOf(field)} ${JSON.stringify(error.value)}: expected ${error.allowed}`,
    );
  }
}
