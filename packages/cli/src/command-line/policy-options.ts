/** The options that describe a policy: what all have in common, and each algorithm's own fields. */
import { InvalidOptionError, parsePolicy, type Policy } from "sluice";
import { describeAlgorithms, type PolicyField } from "sluice/describe";
import { valueText } from "../terminal/format.js";
import { durationOption, numberOption, type OptionSpec, UsageError } from "./options.js";
import { didYouMean } from "../did-you-mean.js";

/** An option that takes a value. */
export interface TextSpec extends OptionSpec {
  readonly type: "string";
}

const ALGORITHMS = describeAlgorithms();
const ALGORITHM_IDS = ALGORITHMS.map(({ id }) => id);

/** Every field of an algorithm by its option, with the algorithms that have it. */
const FIELDS = fieldsByOption();

/**
 * The policy, in parts or whole, for every command that needs one. Algorithms may have more parts than the type
 * tells: those are read here alone.
 */
export const POLICY_OPTIONS = {
  algorithm: {
    type: "string",
    value: "NAME",
    help: `${ALGORITHM_IDS.join(", ")} (default token-bucket).`,
  },
  ...(Object.fromEntries([...FIELDS].map(([option, owners]) => [option, specOf(owners)])) as Record<
    "limit" | "period",
    TextSpec
  >),
  name: {
    type: "string",
    value: "NAME",
    help: "The policy's name, part of its key in the store (default: the algorithm's).",
  },
  policy: {
    type: "string",
    value: "JSON",
    help: "The policy as JSON, or an array of them, or as ALGORITHM:OPTION=VALUE,…, instead of the options above.",
  },
} as const;

type PolicyValues = Readonly<Record<keyof typeof POLICY_OPTIONS, string | undefined>>;
type Parts = Readonly<Record<string, string | undefined>>;

interface Owner {
  readonly algorithm: string;
  readonly field: PolicyField;
}

function fieldsByOption(): ReadonlyMap<string, readonly Owner[]> {
  const fields = new Map<string, Owner[]>();
  for (const { id: algorithm, fields: own } of ALGORITHMS) {
    for (const field of own) {
      const owners = fields.get(field.option) ?? [];
      fields.set(field.option, [...owners, { algorithm, field }]);
    }
  }
  return fields;
}

/** Its help names the algorithms that have it, and its default. */
function specOf(owners: readonly Owner[]): TextSpec {
  const [first, ...others] = owners as readonly [Owner, ...Owner[]];
  const { value, help, common, otherwise } = first.field;
  if (common === true) return { type: "string", value, help };
  const names = owners.map(({ algorithm }) => algorithm).join(", ");
  const defaults = others.map(({ algorithm, field }) => `; ${algorithm}: ${field.otherwise ?? ""}`);
  const known = otherwise === undefined ? "" : ` (default: ${otherwise}${defaults.join("")})`;
  return { type: "string", value, help: `${names}: ${help}${known}.` };
}

/** The command's values for options that are not given. */
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
  const [, algorithm, options] = /^([a-z-]+)(?::(.*))?$/s.exec(text) ?? [];
  if (algorithm !== undefined && !JSON_WORDS.has(text)) {
    return [policyFromParts(partsOf(algorithm, options))];
  }
  return checked(parseJson(text), (option) => `--policy: ${option}`);
}

function policiesFromJson(values: PolicyValues): readonly Policy[] {
  const parts: Parts = values;
  const part = partNames().find((name) => parts[name] !== undefined);
  const extra = values.algorithm === undefined ? part : "algorithm";
  if (extra !== undefined) throw new UsageError(`--${extra} and --policy exclude each other`);
  return policiesFromText(values.policy ?? "");
}

/** What is JSON, and looks like the name of an algorithm. */
const JSON_WORDS: ReadonlySet<string> = new Set(["null", "true", "false"]);

/** `limit=50,period=1m` as the options that it abbreviates. */
function partsOf(algorithm: string, options: string | undefined): Parts {
  const parts: Record<string, string> = { algorithm };
  for (const option of options?.split(",") ?? []) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(option) ?? [];
    if (name === undefined || value === undefined) {
      throw new UsageError(
        `--policy ${valueText(option)} is not OPTION=VALUE, as in token-bucket:limit=50,period=1m`,
      );
    }
    if (!partNames().includes(name)) {
      throw new UsageError(
        `--policy has no option ${valueText(name)}${didYouMean(name, partNames())}`,
      );
    }
    parts[name] = value;
  }
  return parts;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(
      `--policy is not JSON: ${valueText(text)}; quote it for the shell: --policy '{"algorithm":…}'`,
    );
  }
}

function policyFromParts(parts: Parts, defaults: PolicyDefaults = {}): Policy {
  const algorithm = checkAlgorithm(parts["algorithm"] ?? "token-bucket");
  const own = new Map<string, PolicyField>();
  for (const [option, owners] of FIELDS) {
    const field = owners.find((owner) => owner.algorithm === algorithm)?.field;
    if (field !== undefined) own.set(option, field);
    else if (parts[option] !== undefined) {
      const names = owners.map((owner) => owner.algorithm).join(", ");
      throw new UsageError(`--${option} is for ${names}; the algorithm is ${algorithm}`);
    }
  }
  const given: Record<string, unknown> = { algorithm };
  for (const [option, field] of own) {
    const text = parts[option] ?? defaultOf(option, defaults);
    if (text !== undefined) given[field.field] = valueOf(field, text);
  }
  if (parts["name"] !== undefined) given["name"] = parts["name"];
  const optionOf = (name: string): string =>
    [...own.values()].find(({ field }) => field === name)?.option ?? name;
  const [policy] = checked(given, (field) => `--${optionOf(field)}`);
  if (policy === undefined) throw new UsageError("a policy is needed");
  return policy;
}

/** A bare number for a duration is in milliseconds, as everywhere on the command line. */
function valueOf({ option, kind }: PolicyField, text: string): string | number {
  if (kind === "number") return numberOption(option, text, { min: 0 });
  return kind === "duration" ? durationOption(option, text) : text;
}

function defaultOf(option: string, defaults: PolicyDefaults): string | undefined {
  return option === "limit" || option === "period" ? defaults[option] : undefined;
}

function partNames(): readonly string[] {
  return [...FIELDS.keys(), "name"];
}

function checkAlgorithm(text: string): string {
  if (ALGORITHM_IDS.includes(text)) return text;
  const near = didYouMean(text, ALGORITHM_IDS);
  throw new UsageError(
    `--algorithm ${valueText(text)} is not one of ${ALGORITHM_IDS.join(", ")}${near}`,
  );
}

/** Lets the library check the policy, and turns what it refuses into a UsageError. */
function checked(value: unknown, nameOf: (option: string) => string): readonly Policy[] {
  try {
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (list.length === 0) throw new UsageError("--policy []: expected at least one policy");
    return list.map((each) => parsePolicy(each));
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error;
    const field = error.option.split(".").at(-1) ?? error.option;
    if (error.value === undefined) {
      throw new UsageError(`${nameOf(field)} is missing; expected ${error.allowed}`);
    }
    throw new UsageError(`${nameOf(field)} ${valueText(error.value)}: expected ${error.allowed}`);
  }
}
