/** The three that decide a usual consume agree: the pure kernels, the row in memory, fast.lua in Redis. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MemoryStore, RateLimiter } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { reachable } from "../../src/testing/conformance.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";
import {
  costOf,
  type Kind,
  type LimitedPolicy,
  moveUs,
  policies,
  steps,
} from "../properties/arbitraries.js";
import { clients, type TestClient } from "../support/clients.js";
import { runs } from "../support/runs.js";

/** What fast paths store: fields in the order of the format that format.lua has under this name. */
const BUCKET = ["bucket", "SHORT", "used remainder per lastUs expiryMs"] as const;
const WINDOW = ["fixed-window", "SHORT", "count endUs lastUs expiryMs"] as const;
const FADING = [
  "sliding-window",
  "VALUE",
  "previous current endUs widthUs lastUs blockedUntilUs expiryMs",
] as const;

type Packed = typeof BUCKET | typeof WINDOW | typeof FADING;

/** Each under its algorithm's own name, so that no tag is part of the key. */
const KINDS: readonly (readonly [Kind, name: string, Packed])[] = [
  ["tokenBucket", "token-bucket", BUCKET],
  ["gcra", "gcra", BUCKET],
  ["leakyBucket", "leaky-bucket", BUCKET],
  ["fixedWindow of the clock", "fixed-window", WINDOW],
  ["fixedWindow of the first hit", "fixed-window", WINDOW],
  ["calendarWindow", "calendar-window", WINDOW],
  ["slidingWindow", "sliding-window", FADING],
];

let connection: TestClient;
beforeAll(async () => {
  connection = await clients.ioredis();
});
afterAll(() => connection.close());

/** Widths in bytes of a format such as '<BI6I3', without the first byte. */
function widthsOf(folder: string, format: string): readonly number[] {
  const file = new URL(`../../src/algorithms/${folder}/format.lua`, import.meta.url);
  const [, text = ""] =
    new RegExp(`^local ${format} = '<B([I\\d]+)'`, "m").exec(readFileSync(file, "utf8")) ?? [];
  return text.split("I").slice(1).map(Number);
}

/** The numbers of a stored value; undefined where it has another format. */
function unpack(
  value: Buffer,
  [folder, format, fields]: Packed,
): Readonly<Record<string, number>> | undefined {
  const widths = widthsOf(folder, format);
  if (value.length !== widths.reduce((sum, width) => sum + width, 1)) return undefined;
  let at = 1;
  const numbers = widths.map((width) => {
    at += width;
    // Node reads six bytes at most; the seventh stays below 2^53.
    const low = Math.min(width, 6);
    const high = width > low ? value.readUIntLE(at - 1, 1) : 0;
    return value.readUIntLE(at - width, low) + high * 2 ** 48;
  });
  return Object.fromEntries(fields.split(" ").map((field, i) => [field, numbers[i] as number]));
}

const VERBS = [...Array<"consume">(8).fill("consume"), "penalize", "refund"] as const;

let plays = 0;

/** Plays a trace on one key in three stores; how many states in Redis had the format of fast paths. */
async function playThreeTimes(
  variants: readonly LimitedPolicy[],
  startUs: number,
  trace: Parameters<typeof costOf>[0][],
  packed: Packed,
): Promise<number> {
  const [policy] = variants as [LimitedPolicy];
  const clock = new ManualClock();
  clock.set(startUs);
  const pure = new PureStore(clock);
  const redis = connection.client as Redis;
  const namespace = `fast.${process.pid}.${startUs}.${plays++}`;
  const limiters = [
    pure,
    new MemoryStore({ clock }),
    new RedisStore({ client: connection.client, clock }),
  ].map((store) => {
    const strict = { denyCache: false, onStoreFailure: "throw", timeout: "30s" } as const;
    return new RateLimiter({ ...strict, policy, store, namespace, identity: "plain" });
  });
  let compared = 0;
  for (const each of trace) {
    const chosen = variants[each.variant] as LimitedPolicy;
    clock.set(reachable(pure, clock.nowUs(), Math.max(0, clock.nowUs() + moveUs(each, chosen))));
    const cost = costOf(each, chosen);
    const ask = (limiter: RateLimiter): Promise<unknown> => {
      const verb = each.verb as (typeof VERBS)[number];
      if (verb === "consume") return limiter.consume("k", { cost, policy: chosen });
      return limiter[verb]("k", cost);
    };
    const [expected, ...others] = await Promise.all(limiters.map(ask));
    expect(others).toEqual([expected, expected]);
    const [kept] = pure.snapshot().values();
    const value = await redis.getBuffer(`${namespace}:${policy.name}:{k}`);
    const stored = value === null ? undefined : unpack(value, packed);
    if (kept === undefined || stored === undefined) continue;
    expect(kept.state).toMatchObject(stored);
    compared += 1;
  }
  await Promise.all(limiters.map((limiter) => limiter.close()));
  return compared;
}

describe("the kernels, memory and Redis decide usual consumes alike, and keep the same", () => {
  test.for(KINDS)("%s", async ([kind, name, packed]) => {
    let compared = 0;
    // From 2030 on: what expires then is alive on the server.
    const starts = fc.integer({ min: 1_893_456_000_000_000, max: 2_000_000_000_000_000 });
    const variants = fc.tuple(policies[kind](name), policies[kind](name));
    await fc.assert(
      fc.asyncProperty(variants, starts, steps(VERBS, 25), async (each, start, trace) => {
        compared += await playThreeTimes(each, start, trace, packed);
      }),
      { numRuns: runs(60, 12) },
    );
    expect(compared).toBeGreaterThan(0);
  });
});
