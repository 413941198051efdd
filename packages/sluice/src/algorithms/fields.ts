/** Options of policies as the command line takes them. */

/** One option. Algorithms may have one in common: the same option with the same help. */
export interface PolicyField {
  /** The option without its dashes. */
  readonly option: string;
  /** What the policy calls it. */
  readonly field: string;
  /** How its value is read. */
  readonly kind: "number" | "duration" | "text";
  /** What stands for its value in the help. */
  readonly value: string;
  /** What the help says of it. */
  readonly help: string;
  /** What it is where it is left out, if that differs between the algorithms that have it. */
  readonly otherwise?: string | undefined;
  /** True where nearly all algorithms have it: the help does not name them. */
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

/** What a bucket holds where it may be left out. */
export function burstField(otherwise: string): PolicyField {
  return { option: "burst", field: "burst", ...UNITS, help: "units at once", otherwise };
}

/** What a bucket holds where it must be given. */
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
