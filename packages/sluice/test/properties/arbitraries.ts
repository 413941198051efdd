/** Random policies and calls for the property tests: rates that do not divide, extremes, clocks that go back. */
import fc from "fast-check";
import {
  calendarWindow,
  fixedWindow,
  gcra,
  leakyBucket,
  type Policy,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";

/** A policy with a limit: there is nothing to find out about the others. */
export type LimitedPolicy = Exclude<Policy, { algorithm: "unlimited" }>;

const CENTURY_MS = 36_525 * 86_400_000;
const DAY_MS = 86_400_000;

interface Rate {
  /** Units. */
  readonly limit: number;
  readonly spanMs: number;
}

const NASTY: readonly Rate[] = [
  { limit: 3, spanMs: 1000 },
  { limit: 7, spanMs: 60_000 },
  { limit: 1e6, spanMs: 1000 },
  { limit: 1, spanMs: 31 * DAY_MS },
  { limit: 0.001, spanMs: 10_000 },
  { limit: 0.007, spanMs: 366 * DAY_MS },
  { limit: 2.345, spanMs: 777.777 },
  { limit: 13, spanMs: 1234.567 },
  { limit: 1e9, spanMs: 1 },
  { limit: 999_999_999.999, spanMs: 366 * DAY_MS },
  { limit: 10, spanMs: 1000 },
];

const thousandths = (minimum: number, maximum: number): fc.Arbitrary<number> =>
  fc.integer({ min: minimum, max: maximum }).map((count) => count / 1000);

const rates: fc.Arbitrary<Rate> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...NASTY) },
  {
    weight: 1,
    arbitrary: fc.record({
      limit: thousandths(1, 50_000),
      spanMs: thousandths(1000, 100_000_000),
    }),
  },
);

/** A bucket's rate and size; a size above what a century fills is refused, a quarter of that is not. */
const buckets = fc
  .tuple(rates, fc.constantFrom(1, 0.5, 2, 3.7), fc.constantFrom("times", "units"))
  .map(([{ limit, spanMs }, factor, of]) => {
    const wished = of === "times" ? limit * factor : factor;
    const most = Math.min(1e9, ((CENTURY_MS / spanMs) * limit) / 4);
    return { limit, period: spanMs, size: toWhole(Math.min(wished, most)) };
  });

/** Units rounded down to a thousandth, and at least one. */
function toWhole(units: number): number {
  return Math.max(1, Math.floor(units * 1000 + 1e-6)) / 1000;
}

export type Kind =
  | "tokenBucket"
  | "tokenBucket by interval"
  | "gcra"
  | "leakyBucket"
  | "fixedWindow of the clock"
  | "fixedWindow of the first hit"
  | "calendarWindow"
  | "slidingWindow"
  | "slidingLog";

/** A policy of each kind under the given name. */
export const policies: Readonly<Record<Kind, (name: string) => fc.Arbitrary<LimitedPolicy>>> = {
  tokenBucket: (name) =>
    buckets.map(({ limit, period, size }) => tokenBucket({ name, limit, period, burst: size })),
  "tokenBucket by interval": (name) =>
    buckets.map(({ limit, period, size }) =>
      tokenBucket({ name, limit, period, burst: size, refill: "interval" }),
    ),
  gcra: (name) =>
    buckets.map(({ limit, period, size }) => gcra({ name, limit, period, burst: size })),
  leakyBucket: (name) =>
    buckets.map(({ limit, period, size }) => leakyBucket({ name, limit, period, capacity: size })),
  "fixedWindow of the clock": (name) =>
    rates.map(({ limit, spanMs }) => fixedWindow({ name, limit, window: spanMs })),
  "fixedWindow of the first hit": (name) =>
    rates.map(({ limit, spanMs }) => fixedWindow({ name, limit, window: spanMs, align: "first" })),
  calendarWindow: (name) =>
    fc
      .record({
        limit: fc.constantFrom(1, 3, 7.5, 0.001, 1e9),
        unit: fc.constantFrom("minute", "hour", "day", "week", "month", "year"),
        timeZone: fc.constantFrom("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"),
        weekStartsOn: fc.constantFrom("monday", "sunday"),
      })
      .map((options) => calendarWindow({ name, ...options })),
  slidingWindow: (name) =>
    rates.map(({ limit, spanMs }) => slidingWindow({ name, limit, window: spanMs })),
  slidingLog: (name) =>
    rates.map(({ limit, spanMs }) =>
      slidingLog({ name, limit: Math.min(limit, 10_000), window: spanMs }),
    ),
};

export const kinds = Object.keys(policies) as readonly Kind[];

/** One policy, or a set of up to three. */
export const policySets: fc.Arbitrary<LimitedPolicy[]> = fc
  .array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 3 })
  .chain((chosen) =>
    fc.tuple(...chosen.map((kind, i) => policies[kind](["first", "second", "third"][i] as string))),
  );

/** What a fresh key of the policy can take. */
export function capacityOf(policy: LimitedPolicy): number {
  if (policy.algorithm === "leaky-bucket") return policy.capacity;
  return "burst" in policy ? policy.burst : policy.limit;
}

/** The µs in which the policy's quota comes back. */
export function spanUs(policy: LimitedPolicy): number {
  if ("period" in policy) return Math.round(policy.period * 1e3);
  if ("window" in policy) return Math.round(policy.window * 1e3);
  const days = { minute: 1 / 1440, hour: 1 / 24, day: 1, week: 7, month: 30, year: 365 };
  return Math.round(days[policy.unit] * DAY_MS * 1e3);
}

/** A step of a trace, in terms that fit any policy, so that it can be shrunk. */
export interface Step<V extends string> {
  readonly verb: V;
  readonly move: (typeof MOVES)[number];
  readonly price: (typeof PRICES)[number];
  /** In [0, 1): how much of the move's or price's range. */
  readonly part: number;
  /** Which of the policy's variants the call uses. */
  readonly variant: 0 | 1;
  /** Whether to follow up on the answer. */
  readonly probe: boolean;
}

const MOVES = [
  "stay",
  "µs",
  "unit",
  "near unit",
  "some",
  "span",
  "far",
  "back",
  "back a µs",
] as const;
const PRICES = ["one", "thousandth", "part", "whole", "too much", "nothing", "few"] as const;

export function steps<const V extends string>(
  verbs: readonly V[],
  maxLength: number,
): fc.Arbitrary<Step<V>[]> {
  return fc.array(
    fc.record({
      verb: fc.constantFrom(...verbs),
      move: fc.oneof(
        { weight: 6, arbitrary: fc.constantFrom(...MOVES) },
        { weight: 4, arbitrary: fc.constantFrom("stay" as const, "unit" as const) },
      ),
      price: fc.oneof(
        { weight: 6, arbitrary: fc.constantFrom(...PRICES) },
        { weight: 4, arbitrary: fc.constantFrom("one" as const, "part" as const) },
      ),
      part: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      variant: fc.constantFrom(0 as const, 1 as const),
      probe: fc.boolean(),
    }),
    { minLength: 1, maxLength, size: "max" },
  ) as fc.Arbitrary<Step<V>[]>;
}

/** How far a step moves the clock. */
export function moveUs({ move, part }: Step<string>, policy: LimitedPolicy): number {
  const span = spanUs(policy);
  const unit = Math.max(1, Math.round(span / policy.limit));
  const far = Math.min(2 * span + 1, 400 * DAY_MS * 1e3);
  switch (move) {
    case "stay":
      return 0;
    case "µs":
      return 1 + Math.floor(part * 1000);
    case "unit":
      return Math.min(far, unit);
    case "near unit":
      return Math.min(far, Math.floor(part * 2 * unit));
    case "some":
      return Math.floor((part * span) / 4);
    case "span":
      return Math.floor(part * span);
    case "far":
      return Math.floor(part * far);
    case "back":
      return -Math.floor(part * span);
    case "back a µs":
      return -1;
  }
}

/** What a step costs, in units. */
export function costOf({ price, part, verb }: Step<string>, policy: LimitedPolicy): number {
  const capacity = capacityOf(policy);
  const cost = {
    one: 1,
    thousandth: 0.001,
    part: part * capacity,
    whole: capacity,
    "too much": capacity * 1.01 + 0.001,
    nothing: 0,
    few: Math.floor(part * 10),
  }[price];
  if (verb === "consumeUpTo") return Math.max(1, Math.min(1e9, Math.floor(cost)));
  return Math.min(1e9, Math.floor(cost * 1000 + 1e-6) / 1000);
}

/** Beginnings on no border of anything. */
export const starts: fc.Arbitrary<number> = fc.integer({
  min: 1_700_000_000_000_000,
  max: 1_900_000_000_000_000,
});
