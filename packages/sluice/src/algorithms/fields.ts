/** Options of policies as the command line takes them. */

/** One option. Algorithms may have one in common: the same option with the same help. */
export interface PolicyField {
  /** The option without its dashes. */
  readonly option: string;
  /** What the policy calls it. */
  readonly field: string;
  /** How its value is read. */
  readonly kind: "number" | "duration" | "text";
  /** The placeholder for its value in the help. */
  readonly value: string;
  /** What the help says of it. */
  readonly help: string;
  /** Its value if it is left out, for a field whose default differs between algorithms. */
  readonly otherwise?: string | undefined;
  /** True if nearly all algorithms have it: the help does not name them. */
  readonly common?: true | undefined;
}

const UNITS = { kind: "number", value: "N" } as const;

export const LIMIT: PolicyField = {
  option: "limit",
  field: "limit",
  ...UNITS,
  help: "Units a period or window.",
  common: true,
};

export const PERIOD: PolicyField = {
  option: "period",
  field: "period",
  kind: "duration",
  value: "TIME",
  help: 'The period, or the length of a window: "250ms", "1s", "1h30m".',
  common: true,
};

/** The command line says --period for every length of time. */
export const WINDOW: PolicyField = { ...PERIOD, field: "window" };

/** The capacity of a bucket, for algorithms that have a default for it. */
export function burstField(otherwise: string): PolicyField {
  return { option: "burst", field: "burst", ...UNITS, help: "units at once", otherwise };
}

/** The capacity of a bucket, for algorithms that require it. */
export const CAPACITY: PolicyField = {
  option: "capacity",
  field: "capacity",
  ...UNITS,
  help: "units the bucket holds (required)",
};

/** One of a few words, or a name. */
export function textField(
  option: string,
  value: string,
  help: string,
  field = option,
): PolicyField {
  return { option, field, kind: "text", value, help };
}
