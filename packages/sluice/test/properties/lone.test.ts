/**
 * Calls that go alone against the same calls by the way of batches: under any options, whatever the client comes to, the
 * callers get the same, the counts are the same, and the listeners hear the same.
 */
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { READY } from "../../src/algorithms/kernel.js";
import { REASON } from "../../src/algorithms/debit.js";
import { whenSettled } from "../../src/core/clock.js";
import {
  type Decision,
  fixedWindow,
  RateLimiter,
  type RateLimiterOptions,
  SluiceError,
  tokenBucket,
} from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { PLAIN, REASONS_FOLLOW, TIME_FOLLOWS, WRONG_TYPE } from "../../src/stores/redis/wire.js";
import { runs } from "../support/runs.js";

const policies = [
  tokenBucket({ name: "first", limit: 100, period: "1h", burst: 5 }),
  fixedWindow({ name: "second", limit: 5, window: "1h" }),
] as const;
const START_MS = 1.7e12;

/** What one script call of `calls` alike comes to, which consume on keys of their own, from `debits` policies each. */
type Reply = (calls: number, debits: number, nowUs: number) => unknown;

/** `of` for each call, and `each` for each of its debits. */
function repeated(
  calls: number,
  of: readonly number[],
  debits: number,
  each: readonly number[],
): readonly number[] {
  const one = [...of, ...Array.from({ length: debits }, () => each).flat()];
  return Array.from({ length: calls }, () => one).flat();
}

const admits = (calls: number, debits: number, nowUs: number): readonly number[] => [
  nowUs,
  PLAIN * calls,
  ...repeated(calls, [], debits, [4000, 36e6]),
];
const ENDINGS = {
  admits,
  "admits in text": (...asked) => admits(...asked).map(String),
  "admits in bigints": (...asked) => admits(...asked).map(BigInt),
  "admits at the limit": (calls, debits, nowUs) => [
    nowUs,
    PLAIN * calls,
    ...repeated(calls, [], debits, [0, 180e6]),
  ],
  denies: (calls, debits, nowUs) => [
    nowUs,
    ...repeated(calls, [READY + REASONS_FOLLOW], debits, [200, 180e6, REASON.quota, 29e6]),
  ],
  "denies on a clock that went back": (calls, debits, nowUs) => [
    nowUs,
    ...repeated(calls, [READY + TIME_FOLLOWS + REASONS_FOLLOW, nowUs + 5000], debits, [
      200,
      180e6,
      REASON.blocked,
      7e6,
    ]),
  ],
  "finds another type": (calls, _, nowUs) => [nowUs, ...repeated(calls, [WRONG_TYPE], 0, [])],
  "replies nonsense": () => ["a", "b", "c", "d"],
  "replies too little": (_, __, nowUs) => [nowUs, PLAIN, 4000],
  "replies no array": () => "OK",
  fails: () => new Error("OOM command not allowed"),
  "may not": () => new Error("NOPERM No permissions to access a key"),
  "fails in words": () => "down",
} satisfies Readonly<Record<string, Reply>>;
type Ending = keyof typeof ENDINGS;
const FAILURES: ReadonlySet<Ending> = new Set(["fails", "may not", "fails in words"]);

type Step =
  | { readonly does: "calls"; readonly keys: readonly string[]; readonly cost: number }
  | { readonly does: "answers"; readonly which: number; readonly ending: Ending }
  | { readonly does: "waits"; readonly ms: number }
  | { readonly does: "throws at once" | "closes" };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        does: fc.constant("calls" as const),
        // Mostly one: then it goes alone, unless others are under way.
        keys: fc.oneof(
          { weight: 4, arbitrary: fc.constantFrom("a", "b").map((key) => [key]) },
          fc.constant(["c", "d", "e"]),
        ),
        cost: fc.constantFrom(1, 1, 1, 2.5),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        does: fc.constant("answers" as const),
        which: fc.nat({ max: 3 }),
        ending: fc.oneof(
          { weight: 2, arbitrary: fc.constant("admits" as const) },
          fc.constantFrom(...(Object.keys(ENDINGS) as Ending[])),
        ),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        does: fc.constant("waits" as const),
        ms: fc.constantFrom(1, 15, 60, 400),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ does: "throws at once" as const }) },
  ),
  { maxLength: 40, size: "max" },
);

interface Settings {
  readonly debits: number;
  readonly limiter: Partial<RateLimiterOptions>;
  readonly hears: readonly ("storeCall" | "denial" | "decision" | "failure" | "roundTrip")[];
  readonly closes: boolean;
}

const settings: fc.Arbitrary<Settings> = fc.record({
  debits: fc.constantFrom(1, 2),
  limiter: fc.record({
    denyCache: fc.constantFrom(undefined, false),
    enforce: fc.constantFrom(true, true, false),
    blockFor: fc.constantFrom(undefined, "1m"),
    onStoreFailure: fc.constantFrom("open", "closed", "throw", "local"),
    breaker: fc.constantFrom(undefined, false, { failures: 2, probeEvery: 100 }),
    timeout: fc.constantFrom(50, 250),
    identity: fc.constantFrom("sha256", "plain"),
  }) as fc.Arbitrary<Partial<RateLimiterOptions>>,
  hears: fc.subarray(["storeCall", "denial", "decision", "failure", "roundTrip"] as const),
  closes: fc.boolean(),
});

interface Run {
  readonly calls: number;
  readonly end: (ending: Ending) => void;
}

beforeEach(() => {
  vi.spyOn(process, "emitWarning").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const asText = (value: unknown): string => JSON.stringify(value);
const inWords = (outcome: Decision | Error): unknown => {
  if (!(outcome instanceof Error)) {
    // What this process decides is timed by its own clock, which goes on from run to run.
    return outcome.source === "store" ? outcome : { ...outcome, decidedAtUs: 0 };
  }
  return `${outcome instanceof SluiceError ? outcome.code : outcome.name}: ${outcome.message}`;
};

/** What everybody gets and hears, in order. */
async function transcriptOf(
  { debits, limiter: options, hears, closes }: Settings,
  trace: readonly Step[],
  way: "alone" | "in batches",
): Promise<readonly unknown[]> {
  vi.useFakeTimers({
    now: START_MS,
    toFake: ["setTimeout", "clearTimeout", "performance", "Date"],
  });
  const said: unknown[] = [];
  const underWay: Run[] = [];
  let throws = false;
  const store = new RedisStore({
    client: (_sha, _source, keys) => {
      if (throws) {
        throws = false;
        throw new Error("thrown");
      }
      return new Promise((resolve, reject: (reason: Error) => void) => {
        const end = (ending: Ending): void => {
          const outcome: unknown = (ENDINGS[ending] as Reply)(
            keys.length / debits,
            debits,
            Date.now() * 1e3,
          );
          if (FAILURES.has(ending)) reject(outcome as Error);
          else resolve(outcome);
        };
        underWay.push({ calls: keys.length, end });
      });
    },
  });
  // Who listens to batches is told of each: they go the way of batches. So do calls that may be aborted.
  if (way === "in batches") store.events.on("batch", () => {});
  const signal = way === "in batches" ? new AbortController().signal : undefined;
  const limiter = new RateLimiter({ policy: policies.slice(0, debits), store, ...options });
  for (const event of hears) {
    const events = event === "roundTrip" ? store.events : limiter.events;
    events.on(event, (heard) => {
      const error = "error" in heard && heard.error instanceof Error ? heard.error : undefined;
      said.push([event, error === undefined ? "" : inWords(error)]);
    });
  }
  let asked = 0;
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 4; i++) await whenSettled();
  };
  const doing: Readonly<Record<Step["does"], (step: never) => unknown>> = {
    calls: ({ keys, cost }: Step & { does: "calls" }) => {
      for (const key of keys) {
        const call = ++asked;
        limiter.consume(key, { cost, signal }).then(
          (decision) => said.push([call, inWords(decision)]),
          (error: unknown) => said.push([call, inWords(error as Error)]),
        );
      }
    },
    answers: ({ which, ending }: Step & { does: "answers" }) => {
      underWay.splice(which % Math.max(1, underWay.length), 1)[0]?.end(ending);
    },
    waits: ({ ms }: Step & { does: "waits" }) => vi.advanceTimersByTimeAsync(ms),
    "throws at once": () => (throws = true),
    closes: () => store.close(),
  };
  for (const step of [...trace, ...(closes ? [{ does: "closes" as const }] : [])]) {
    const before = said.length;
    await doing[step.does](step as never);
    await settle();
    // Whose wait ends first with the store is nobody's business.
    if (step.does === "closes") said.push(said.splice(before).map(asText).sort());
    said.push(step.does);
  }
  for (const run of underWay.splice(0)) {
    run.end("admits");
    await settle();
  }
  await vi.advanceTimersByTimeAsync(5000);
  await settle();
  const { tripMs, ...rest } = store.stats();
  const trips = [tripMs.ok.count, tripMs.error.count];
  said.push({ limiter: limiter.stats(), store: rest, trips });
  await limiter.close();
  await store.close();
  vi.useRealTimers();
  return said;
}

test("a call that goes alone comes to the same, and counts and sounds the same, as in a batch", async () => {
  await fc.assert(
    fc.asyncProperty(settings, steps, async (how, trace) => {
      const batched = await transcriptOf(how, trace, "in batches");
      const alone = await transcriptOf(how, trace, "alone");
      expect(alone).toEqual(batched);
    }),
    { numRuns: runs(80, 20) },
  );
});
