/**
 * What several processes with prefetches admit together: over any span the policy's bound and one size for each,
 * whatever they spend, give back, drop or return, in any order. And nothing is lost: when all have closed,
 * the store has what an equal number of plain calls would have left, however late its answers came.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { VERBS } from "../../src/algorithms/decide.js";
import { fixedWindow, type Policy, RateLimiter, slidingLog, tokenBucket } from "../../src/index.js";
import type { Done, StoreCall } from "../../src/stores/store.js";
import { modelTime } from "../support/model-time.js";
import { OutsideStore } from "../support/outside-store.js";
import { runs } from "../support/runs.js";

const PROCESSES = 3;
const KEY = "k";

type Event =
  | { readonly type: "pass"; readonly ms: number }
  | { readonly type: "consume"; readonly by: number; readonly cost: number; readonly times: number }
  | { readonly type: "penalize"; readonly by: number }
  | { readonly type: "block"; readonly by: number }
  | { readonly type: "unblock"; readonly by: number }
  | { readonly type: "settle" };

const by = fc.nat({ max: PROCESSES - 1 });
const events = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        type: fc.constant("consume" as const),
        by,
        cost: fc.constantFrom(1, 1, 1, 2, 5, 0.5),
        times: fc.constantFrom(1, 1, 2, 7, 20),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant("pass" as const),
        ms: fc.constantFrom(1, 10, 100, 400, 999, 1000, 2500),
      }),
    },
    { weight: 3, arbitrary: fc.record({ type: fc.constant("settle" as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constantFrom("penalize", "block", "unblock"), by }),
    },
  ),
  { minLength: 1, maxLength: 50, size: "max" },
) as fc.Arbitrary<Event[]>;

/** Policies with what they admit in a span of `ms` at most. */
const BOUNDS: Readonly<Record<string, readonly [Policy, (ms: number) => number]>> = {
  bucket: [tokenBucket({ limit: 10, period: "1s", burst: 20 }), (ms) => 20 + ms / 100],
  "fixed window": [
    fixedWindow({ limit: 15, window: "1s" }),
    (ms) => 15 * (Math.floor(ms / 1000) + 2),
  ],
  "sliding log": [slidingLog({ limit: 15, window: "1s" }), (ms) => 15 * Math.ceil((ms + 1) / 1000)],
};

test.each(Object.entries(BOUNDS))(
  "%s: any span admits its bound and the prefetches",
  async (_, row) => {
    const [policy, bound] = row;
    const count = runs(150, 50);
    let prefetched = 0;
    await fc.assert(
      fc.asyncProperty(
        events,
        fc.constantFrom(1, 3, 10),
        fc.constantFrom(50, 1000, 5000),
        async (trace, size, ttl) => {
          const { clock, pass, restore } = modelTime();
          const store = new OutsideStore(clock);
          const limiters = Array.from(
            { length: PROCESSES },
            () =>
              new RateLimiter({ policy, store, prefetch: { size, ttl }, onStoreFailure: "throw" }),
          );
          const admitted: { readonly atMs: number; readonly cost: number }[] = [];
          const pending: Promise<unknown>[] = [];
          try {
            for (const event of trace) {
              if (event.type === "pass") {
                await Promise.all(pending.splice(0));
                pass(event.ms);
              } else if (event.type === "settle") await Promise.all(pending.splice(0));
              else {
                const limiter = limiters[event.by] as RateLimiter;
                if (event.type === "penalize") pending.push(limiter.penalize(KEY, 1));
                else if (event.type === "block") pending.push(limiter.block(KEY, 300));
                else if (event.type === "unblock") pending.push(limiter.unblock(KEY));
                else {
                  const { cost } = event;
                  const atMs = clock.nowUs() / 1e3;
                  for (let i = 0; i < event.times; i++) {
                    const consuming = limiter.consume(KEY, { cost }).then(({ allowed, source }) => {
                      if (allowed) admitted.push({ atMs, cost });
                      if (source === "prefetch") prefetched += 1;
                    });
                    pending.push(consuming);
                  }
                }
              }
            }
            await Promise.all(pending);
            for (const [i, first] of admitted.entries()) {
              let total = 0;
              for (const { atMs, cost } of admitted.slice(i)) {
                total += cost;
                expect(total).toBeLessThanOrEqual(bound(atMs - first.atMs) + PROCESSES * size);
              }
            }
          } finally {
            restore();
            await Promise.all(limiters.map((limiter) => limiter.close()));
          }
        },
      ),
      { numRuns: count },
    );
    expect(prefetched).toBeGreaterThan(count);
  },
);

test("nothing is lost or made: after close the store has what was not used", async () => {
  const policy = fixedWindow({ limit: 1000, window: "365d", align: "first" });
  const timeless = events.map((trace) => trace.filter(({ type }) => type !== "pass"));
  await fc.assert(
    fc.asyncProperty(timeless, fc.constantFrom(1, 3, 10), async (trace, size) => {
      const store = new OutsideStore();
      const limiters = Array.from(
        { length: PROCESSES },
        () => new RateLimiter({ policy, store, prefetch: { size, ttl: "1h" }, timeout: "30s" }),
      );
      let used = 0;
      const pending: Promise<unknown>[] = [];
      for (const event of trace) {
        if (event.type === "settle") await Promise.all(pending.splice(0));
        else if (event.type === "consume") {
          const { cost } = event;
          const limiter = limiters[event.by] as RateLimiter;
          for (let i = 0; i < event.times; i++) {
            const consuming = limiter.consume(KEY, { cost }).then(({ allowed }) => {
              if (allowed) used += cost;
            });
            pending.push(consuming);
          }
        } else if (event.type === "penalize") {
          pending.push((limiters[event.by] as RateLimiter).penalize(KEY, 1));
          used += 1;
        }
      }
      await Promise.all([...pending, ...limiters.map((limiter) => limiter.close())]);
      const { remaining } = await new RateLimiter({ policy, store }).peek(KEY);
      expect(remaining).toBe(Math.max(0, Math.floor(1000 - used)));
    }),
    { numRuns: runs(200) },
  );
});

/** Decides at once, and answers when it is told to. */
class LateStore extends OutsideStore {
  isLate = true;
  /** Debits decided and not answered, and the most there were. */
  debits = 0;
  mostDebits = 0;
  readonly #answers: (() => void)[] = [];

  override submit(call: StoreCall, done: Done): void {
    const isDebit = call.verb === VERBS.consumeUpTo;
    if (isDebit) this.debits += 1;
    this.mostDebits = Math.max(this.mostDebits, this.debits);
    this.pure.submit(call, (outcome) => {
      this.#answers.push(() => {
        if (isDebit) this.debits -= 1;
        done(outcome);
      });
    });
    if (!this.isLate) queueMicrotask(() => this.answer(Number.POSITIVE_INFINITY));
  }

  /** Answers so many of the oldest calls. */
  answer(count: number): void {
    for (const answer of this.#answers.splice(0, count)) answer();
  }
}

test("nothing is lost or made, however late the store answers", async () => {
  const policy = fixedWindow({ limit: 1000, window: "365d", align: "first" });
  let late = 0;
  await fc.assert(
    fc.asyncProperty(
      events,
      fc.constantFrom(1, 3, 10),
      fc.constantFrom(1, 100, 1000),
      fc.constantFrom(1, 2, 5),
      async (trace, size, ttl, answers) => {
        const { clock, pass, restore } = modelTime();
        const store = new LateStore(clock);
        // A deadline that is never met: what is given up is lost, as is tested elsewhere.
        const options = {
          prefetch: { size, ttl },
          timeout: "1h",
          onStoreFailure: "throw",
        } as const;
        const limiters = Array.from(
          { length: PROCESSES },
          () => new RateLimiter({ policy, store, ...options }),
        );
        let used = 0;
        const pending: Promise<unknown>[] = [];
        try {
          for (const event of trace) {
            if (event.type === "pass") pass(event.ms);
            else if (event.type === "settle") store.answer(answers);
            else if (event.type === "consume") {
              const { cost } = event;
              const limiter = limiters[event.by] as RateLimiter;
              for (let i = 0; i < event.times; i++) {
                const sentAtMs = performance.now();
                const consuming = limiter.consume(KEY, { cost }).then(({ allowed, source }) => {
                  if (allowed) used += cost;
                  if (source === "prefetch" && performance.now() - sentAtMs >= ttl) late += 1;
                });
                pending.push(consuming);
              }
            } else if (event.type === "penalize") {
              pending.push((limiters[event.by] as RateLimiter).penalize(KEY, 1));
              used += 1;
            }
            await new Promise((resolve) => setImmediate(resolve));
          }
          store.isLate = false;
          store.answer(Number.POSITIVE_INFINITY);
          await Promise.all([...pending, ...limiters.map((limiter) => limiter.close())]);
          const { remaining } = await new RateLimiter({ policy, store }).peek(KEY);
          expect(remaining).toBe(Math.max(0, Math.floor(1000 - used)));
          expect(store.mostDebits).toBeLessThanOrEqual(PROCESSES);
        } finally {
          restore();
        }
      },
    ),
    { numRuns: runs(200) },
  );
  expect(late).toBeGreaterThan(runs(200));
});
