/**
 * What the deny cache refuses, the store would refuse too, at that very moment: over random policies, calls of
 * every verb, and latencies both ways, as long as no other process gives quota back. If one does, a refusal
 * may be stale, but by no more than maxAge.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  fixedWindow,
  gcra,
  type Policy,
  RateLimiter,
  type Keyspace,
  type Store,
  type StoreCall,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import type { Kernel } from "../../src/algorithms/kernel.js";
import type { StoreResult, Done } from "../../src/stores/store.js";
import { PureStore } from "../../src/testing/index.js";
import { modelTime } from "../support/model-time.js";
import { runs } from "../support/runs.js";

const MAX_AGE_MS = 1000;

/** A store far away: calls arrive and answers return one by one, when the test says so. */
class FarStore implements Store {
  readonly external = true;
  readonly #pure: PureStore;
  readonly #sent: { call: StoreCall; done: Done }[] = [];
  readonly #decided: { outcome: StoreResult | Error; done: Done }[] = [];
  sent = 0;

  constructor(pure: PureStore) {
    this.#pure = pure;
  }

  open(name: string, kernel: Kernel): Keyspace {
    return this.#pure.open(name, kernel);
  }

  claim(): void {}

  release(): void {}

  submit(call: StoreCall, done: Done): void {
    this.sent += 1;
    this.#sent.push({ call, done });
  }

  /** The next call arrives; false if none is on its way. */
  decide(): boolean {
    const next = this.#sent.shift();
    if (next === undefined) return false;
    this.#pure.submit(next.call, (outcome) => this.#decided.push({ outcome, done: next.done }));
    return true;
  }

  /** The next answer arrives. */
  answer(): boolean {
    const next = this.#decided.shift();
    next?.done(next.outcome);
    return next !== undefined;
  }

  async close(): Promise<void> {}
}

const two = (one: Policy, other: Policy): readonly Policy[] => [
  { ...one, name: "one" },
  { ...other, name: "other" },
];
const bucket = tokenBucket({ limit: 10, period: "2s" });
const window = fixedWindow({ limit: 6, window: "3s", align: "first" });

/** The limiter's own policies, and those that some calls bring instead. */
const POLICIES: Readonly<Record<string, readonly [readonly Policy[], readonly Policy[]]>> = {
  bucket: [[bucket], [tokenBucket({ limit: 100, period: "2s", burst: 10 })]],
  "bucket by intervals": [
    [tokenBucket({ limit: 3, period: "700ms", refill: "interval" })],
    [tokenBucket({ limit: 5, period: "300ms", refill: "interval" })],
  ],
  gcra: [[gcra({ limit: 3, period: "1s" })], [gcra({ limit: 30, period: "1s" })]],
  "fixed window": [[window], [fixedWindow({ limit: 9, window: "1s", align: "first" })]],
  "window of the clock": [
    [fixedWindow({ limit: 3, window: "700ms" })],
    [fixedWindow({ limit: 9, window: "1s" })],
  ],
  "sliding window": [
    [slidingWindow({ limit: 4, window: "600ms" })],
    [slidingWindow({ limit: 8, window: "200ms" })],
  ],
  "sliding log": [
    [slidingLog({ limit: 4, window: "600ms" })],
    [slidingLog({ limit: 8, window: "200ms" })],
  ],
  "two policies": [
    two(bucket, window),
    two(tokenBucket({ limit: 100, period: "2s", burst: 10 }), window),
  ],
};

const OWN = ["consume", "consumeUpTo", "refund", "penalize", "block", "unblock", "reset"] as const;
const FOREIGN = ["consume", "penalize"] as const;
const GIVING_BACK = ["refund", "unblock", "reset"] as const;

type Event =
  | { readonly type: "pass"; readonly ms: number }
  | { readonly type: "arrive" }
  | { readonly type: "return" }
  | { readonly type: "settle" }
  | { readonly type: "consume"; readonly cost: number; readonly variant: 0 | 1 }
  | { readonly type: "own"; readonly verb: (typeof OWN)[number]; readonly amount: number }
  | {
      readonly type: "foreign";
      readonly verb: (typeof FOREIGN)[number] | (typeof GIVING_BACK)[number];
      readonly amount: number;
    };

function events(
  foreign: readonly (Event & { type: "foreign" })["verb"][],
  foreignWeight: number,
): fc.Arbitrary<Event[]> {
  const amount = fc.constantFrom(0, 0.5, 1, 1, 2, 3, 10, 20);
  return fc.array(
    fc.oneof(
      {
        weight: 10,
        arbitrary: fc.record({
          type: fc.constant("consume" as const),
          cost: amount,
          variant: fc.constantFrom(...([0, 0, 0, 0, 0, 0, 0, 0, 0, 1] as const)),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          type: fc.constant("pass" as const),
          // Whole µs, with a taste for the edges.
          ms: fc.oneof(
            fc.integer({ min: 0, max: 300_000 }).map((us) => us / 1e3),
            fc.constantFrom(0, 0.001, 1, 33.333, 99.999, 100, 499.999, 999.999),
          ),
        }),
      },
      {
        weight: 8,
        arbitrary: fc.record({
          type: fc.constantFrom(...(["arrive", "return", "settle", "settle"] as const)),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          type: fc.constant("own" as const),
          verb: fc.constantFrom(...OWN),
          amount,
        }),
      },
      {
        weight: foreignWeight,
        arbitrary: fc.record({
          type: fc.constant("foreign" as const),
          verb: fc.constantFrom(...foreign),
          amount,
        }),
      },
    ),
    { minLength: 1, maxLength: 60, size: "max" },
  );
}

interface Refusal {
  /** Whether the store would have admitted the call. */
  readonly wrong: boolean;
  /** Time since another process gave something back; Infinity if none ever did. */
  readonly sinceGiftMs: number;
}

/** Plays the events; what the deny cache refused. */
async function refusals(
  [own, variant]: readonly [readonly Policy[], readonly Policy[]],
  trace: readonly Event[],
  blockFor: number | undefined,
): Promise<Refusal[]> {
  const { clock, pass, restore } = modelTime();
  const pure = new PureStore(clock);
  const store = new FarStore(pure);
  const choices = [own, variant].map((some) => (some.length === 1 ? (some[0] as Policy) : some));
  const shared = { policy: own, identity: "plain" } as const;
  // No deadline passes in a time that stands still.
  const limiter = new RateLimiter({
    ...shared,
    store,
    onStoreFailure: "throw",
    ...(blockFor !== undefined && { blockFor }),
  });
  const elsewhere = new RateLimiter({ ...shared, store: pure });
  const found: Refusal[] = [];
  const pending: Promise<unknown>[] = [];
  let giftAtUs = Number.NEGATIVE_INFINITY;
  try {
    for (const event of trace) {
      if (event.type === "pass") pass(event.ms);
      else if (event.type === "arrive") store.decide();
      else if (event.type === "return") store.answer();
      else if (event.type === "settle") while (store.decide() || store.answer());
      else if (event.type === "foreign") {
        if (event.verb === "unblock" || event.verb === "reset") await elsewhere[event.verb]("k");
        else if (event.verb === "consume") elsewhere.consumeSync("k", { cost: event.amount });
        else await elsewhere[event.verb]("k", event.amount);
        if (GIVING_BACK.some((verb) => verb === event.verb)) giftAtUs = clock.nowUs();
      } else if (event.type === "own") pending.push(adjust(limiter, event.verb, event.amount));
      else {
        const policy = choices[event.variant] as Policy | readonly Policy[];
        const before = store.sent;
        const answer = limiter.consume("k", {
          cost: event.cost,
          ...(event.variant === 1 && { policy }),
        });
        pending.push(answer);
        if (store.sent === before) {
          const peeked = await elsewhere.peek("k", { cost: event.cost, policy });
          found.push({ wrong: peeked.allowed, sinceGiftMs: (clock.nowUs() - giftAtUs) / 1e3 });
          const { source, retryAfterMs } = await answer;
          expect(source).toBe("deny-cache");
          expect(retryAfterMs).toBeGreaterThan(0);
        }
      }
      // Whoever was answered goes on before the next event.
      await new Promise((resolve) => setImmediate(resolve));
    }
    while (store.decide() || store.answer());
    await Promise.all(pending);
  } finally {
    restore();
    await limiter.close();
  }
  return found;
}

async function adjust(
  limiter: RateLimiter,
  verb: (typeof OWN)[number],
  amount: number,
): Promise<void> {
  if (verb === "block") await limiter.block("k", 1 + amount * 100);
  else if (verb === "unblock" || verb === "reset") await limiter[verb]("k");
  else if (verb === "consume") await limiter.consume("k", { cost: amount });
  else if (verb === "consumeUpTo") await limiter.consumeUpTo("k", { cost: Math.ceil(amount) || 1 });
  else await limiter[verb]("k", amount);
}

const blocks = fc.option(fc.constantFrom(50, 600, 5000), { nil: undefined, freq: 3 });

describe.each(Object.entries(POLICIES))("%s", (_, policies) => {
  test("what is refused here, the store would refuse, if no other process gives back", async () => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(events(FOREIGN, 1), blocks, async (trace, blockFor) => {
        const found = await refusals(policies, trace, blockFor);
        refused += found.length;
        expect(found.filter(({ wrong }) => wrong)).toEqual([]);
      }),
      { numRuns: runs(250) },
    );
    expect(refused).toBeGreaterThan(runs(50));
  });

  test("if one does, a refusal is stale by maxAge at most", async () => {
    let stale = 0;
    await fc.assert(
      fc.asyncProperty(events([...FOREIGN, ...GIVING_BACK], 4), blocks, async (trace, blockFor) => {
        const wrong = (await refusals(policies, trace, blockFor)).filter((each) => each.wrong);
        stale += wrong.length;
        for (const { sinceGiftMs } of wrong) expect(sinceGiftMs).toBeLessThan(MAX_AGE_MS);
      }),
      // One in ten or twenty of these traces has such a refusal.
      { numRuns: runs(250, 250) },
    );
    expect(stale).toBeGreaterThan(0);
  });
});
