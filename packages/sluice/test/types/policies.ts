/** What policies look like to the compiler. */
import {
  calendarWindow,
  type CalendarWindowPolicy,
  type Duration,
  fixedWindow,
  type FixedWindowPolicy,
  gcra,
  type GcraPolicy,
  leakyBucket,
  type LeakyBucketPolicy,
  parsePolicy,
  type Policy,
  RateLimiter,
  slidingLog,
  type SlidingLogPolicy,
  slidingWindow,
  type SlidingWindowPolicy,
  tokenBucket,
  type TokenBucketPolicy,
  unlimited,
  type UnlimitedPolicy,
} from "../../src/index.js";
import { type Equal, expectType } from "./expect-type.js";

export function everyMakerMakesAPolicy(): readonly Policy[] {
  return [
    tokenBucket({ limit: 1, period: "1s", burst: 5, refill: "interval", name: "a" }),
    unlimited({ name: "h" }),
    gcra({ limit: 1, period: 1000, burst: 5, name: "b" }),
    leakyBucket({ limit: 1, period: "1m30s", capacity: 5, name: "c" }),
    fixedWindow({ limit: 1, window: "250ms", align: "first", name: "d" }),
    calendarWindow({
      limit: 1,
      unit: "week",
      timeZone: "Europe/Berlin",
      weekStartsOn: "sunday",
      name: "e",
    }),
    slidingWindow({ limit: 1, window: "1h", name: "f" }),
    slidingLog({ limit: 1, window: "1d", name: "g" }),
    parsePolicy(JSON.parse("{}")),
  ];
}

expectType<
  Equal<
    Policy,
    | TokenBucketPolicy
    | GcraPolicy
    | LeakyBucketPolicy
    | FixedWindowPolicy
    | CalendarWindowPolicy
    | SlidingWindowPolicy
    | SlidingLogPolicy
    | UnlimitedPolicy
  >
>(true);

/** A switch over the algorithms is exhaustive, and knows each one's fields. */
export function sizeOf(policy: Policy): number {
  switch (policy.algorithm) {
    case "token-bucket":
      expectType<"continuous" | "interval">(policy.refill);
      return policy.burst;
    case "gcra":
      return policy.burst;
    case "leaky-bucket":
      return policy.capacity;
    case "fixed-window":
      expectType<"clock" | "first">(policy.align);
      return policy.limit;
    case "calendar-window":
      expectType<string>(policy.timeZone);
      return policy.limit;
    case "sliding-window":
    case "sliding-log":
      expectType<number>(policy.window);
      return policy.limit;
    case "unlimited":
      return Number.POSITIVE_INFINITY;
  }
}

export function policiesCannotBeChanged(policy: TokenBucketPolicy): void {
  // @ts-expect-error: read-only
  policy.limit = 5;
  // @ts-expect-error: of the bucket, not of the window
  void policy.window;
}

export function optionsAreChecked(): void {
  // @ts-expect-error: no period
  tokenBucket({ limit: 1 });
  // @ts-expect-error: no limit
  slidingLog({ window: "1s" });
  // @ts-expect-error: no capacity
  leakyBucket({ limit: 1, period: "1s" });
  // @ts-expect-error: a number of units
  gcra({ limit: "1", period: "1s" });
  // @ts-expect-error: no such refill
  tokenBucket({ limit: 1, period: "1s", refill: "sometimes" });
  // @ts-expect-error: no such unit
  calendarWindow({ limit: 1, unit: "decade" });
  // @ts-expect-error: a window has a length, a bucket a period
  fixedWindow({ limit: 1, period: "1s" });
  // @ts-expect-error: not a policy
  new RateLimiter({ policy: { limit: 1, period: "1s" } });
  new RateLimiter({
    policy: (key) =>
      key === "vip" ? gcra({ limit: 9, period: 1 }) : [slidingLog({ limit: 1, window: 1 })],
  });
  expectType<Duration>("1h30m");
  expectType<Duration>(0.25);
  // @ts-expect-error: neither a number nor text
  expectType<Duration>(true);
}
