/** Watches a breaker from outside, as callers see it: who is refused at once, who is let through, and when. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { RateLimiter, type Store, StoreUnavailableError, tokenBucket } from "../../../src/index.js";
import { eventually } from "../../support/eventually.js";
import { startLagProbe } from "./lag.js";

const TIMEOUT_MS = 1000;
const PROBE_EVERY_MS = 200;
const FAILURES = 5;
/** Callers rest so long after they were answered. */
const PAUSE_MS = 5;

interface Asked {
  readonly startMs: number;
  readonly endMs: number;
  /** Refused = by the open breaker; failed = by the store, or by the deadline. */
  readonly answer: "store" | "refused" | "failed";
}

interface BreakerWatch {
  /** Asks until the store decides. */
  readonly answered: (key?: string) => Promise<void>;
  /** From the beginning of a fault on: the breaker opens within the stated time. */
  readonly opens: (key?: string) => Promise<void>;
  /** Asks for a while, ends the fault, and asks until the store decides: within the stated time. */
  readonly closes: (endFault: () => unknown, key?: string) => Promise<void>;
}

export function watchBreaker(store: Store): BreakerWatch {
  const limiter = new RateLimiter({
    policy: tokenBucket({ limit: 1e6, period: "1h" }),
    store,
    identity: "plain",
    timeout: TIMEOUT_MS,
    onStoreFailure: "throw",
    breaker: { failures: FAILURES, probeEvery: PROBE_EVERY_MS },
    // Else an outage is a warning of the process.
    hooks: { onError: () => {} },
  });
  const lag = startLagProbe();
  onTestFinished(async () => {
    await lag.stop();
    await limiter.close();
  });

  const ask = async (key: string): Promise<Asked> => {
    const startMs = performance.now();
    const answer = await limiter.consume(key).then(
      () => "store" as const,
      (error: unknown) => (isRefusal(error) ? "refused" : "failed"),
    );
    const endMs = performance.now();
    return { startMs, endMs, answer };
  };
  /** As many callers at once as open the breaker, if nobody answers them. */
  const round = async (key: string): Promise<readonly Asked[]> => {
    const asked = await Promise.all(Array.from({ length: FAILURES }, () => ask(key)));
    await sleep(PAUSE_MS);
    for (const { startMs, endMs } of asked) {
      expect(endMs - startMs).toBeLessThanOrEqual(2 * TIMEOUT_MS + lag.lateMs(startMs, endMs));
    }
    return asked;
  };
  const answersOf = (asked: readonly Asked[]) => asked.map(({ answer }) => answer);

  return {
    answered: async (key = "k") => {
      await eventually(async () => {
        expect((await ask(key)).answer).toBe("store");
      }, PAUSE_MS);
    },

    opens: async (key = "k") => {
      // So many failures, which end together: within what `round` allows.
      expect(answersOf(await round(key))).toEqual(Array(FAILURES).fill("failed"));
      // One of the next may be the first probe.
      const next = answersOf(await round(key)).filter((answer) => answer === "refused");
      expect(next.length).toBeGreaterThanOrEqual(FAILURES - 1);
    },

    closes: async (endFault, key = "k") => {
      const probes: Asked[] = [];
      const isOver = new AbortController();
      const end = (async () => {
        // The interval between probes has grown by then.
        await sleep(3 * PROBE_EVERY_MS);
        await endFault();
        isOver.abort();
      })();
      await eventually(async () => {
        probes.push(...(await round(key)).filter(({ answer }) => answer !== "refused"));
        expect(probes.at(-1)?.answer).toBe("store");
      }, 0);
      await end;
      // Whoever comes after the answer is let through; that one of them runs out of time opens nothing.
      expect(answersOf(await round(key))).not.toContain("refused");
      // The next probe goes `probeEvery` after the last one, or when that has ended; and the first answer is the end.
      const alone = probes.slice(0, probes.findIndex(({ answer }) => answer === "store") + 1);
      for (const [i, { startMs }] of alone.entries()) {
        const before = alone[i - 1];
        if (before === undefined) continue;
        const dueMs = Math.max(before.startMs + PROBE_EVERY_MS, before.endMs);
        const lateMs = 2 * PAUSE_MS + lag.lateMs(before.startMs, startMs);
        expect(startMs - dueMs).toBeLessThanOrEqual(lateMs);
      }
    },
  };
}

function isRefusal(error: unknown): boolean {
  return error instanceof StoreUnavailableError && error.message.includes("the breaker");
}
