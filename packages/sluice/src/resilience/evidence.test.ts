/** What counts against a store and what does not, if the store reports when it hands calls to its client. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type HeldCall, HeldStore } from "../../test/support/held-store.js";
import {
  type ErrorEvent,
  RateLimiter,
  type RateLimiterOptions,
  type RecoveryEvent,
  StoreTimeoutError,
  StoreUnavailableError,
  tokenBucket,
} from "../index.js";
import { handOverNow } from "../stores/redis/batcher.js";

// Under a clock that stands still, the next check phase is now.
vi.mock(import("../core/clock.js"), async (original) => ({
  ...(await original()),
  inNextTurn: (task: () => void) => {
    task();
  },
}));

const TIMEOUT_MS = 250;
const QUIET_MS = 1000;
const policy = tokenBucket({ limit: 1000, period: "1h" });

let aheadMs = 0;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const now = performance.now.bind(performance);
  aheadMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now() + aheadMs);
});

afterEach(async () => {
  await vi.advanceTimersByTimeAsync(60_000);
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** The event loop stands still for that long. */
function block(ms: number): void {
  aheadMs += ms;
}

class QueueingStore extends HeldStore {
  readonly marksHandOver = true;

  /** Hands over what waits, as one batch. */
  handOver(): HeldCall[] {
    const handOver = handOverNow();
    const batch = this.held.splice(0);
    for (const { call } of batch) call.handOver = handOver;
    return batch;
  }
}

function start(options: Partial<RateLimiterOptions<QueueingStore>> = {}) {
  const store = new QueueingStore();
  const onError = vi.fn<(event: ErrorEvent) => void>();
  const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
  const limiter = new RateLimiter({
    policy,
    identity: "plain",
    onStoreFailure: "open",
    hooks: { onError, onRecovery },
    ...options,
    store,
  });
  const consume = (count: number, signal?: AbortSignal): Promise<string[]> =>
    Promise.all(
      Array.from({ length: count }, () =>
        limiter.consume("k", { ...(signal && { signal }) }).then(
          ({ source }) => source,
          () => "given up",
        ),
      ),
    );
  /** Whether a call is asked, which is then answered. */
  const isAsked = async (): Promise<boolean> => {
    const answer = consume(1);
    for (const { settle } of store.handOver()) settle();
    return (await answer)[0] === "store";
  };
  const errors = (): unknown[] => onError.mock.calls.map(([{ error }]) => error);
  return { store, limiter, consume, isAsked, errors, onRecovery };
}

describe("calls that were not handed over", () => {
  test("say nothing of the store; they are answered as busy, and counted apart", async () => {
    const { consume, store, isAsked, errors, onRecovery } = start();
    const answers = consume(20);
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    expect(new Set(await answers)).toEqual(new Set(["fail-open"]));
    expect(errors()).toEqual([new StoreTimeoutError(TIMEOUT_MS, { sent: false, busy: true })]);
    store.held.length = 0;
    for (let i = 0; i < 2; i++) {
      expect(await isAsked()).toBe(true);
      await vi.advanceTimersByTimeAsync(QUIET_MS);
    }
    expect(await isAsked()).toBe(true);
    expect(onRecovery.mock.calls[0]?.[0].unanswered).toMatchObject({ total: 20, busy: 20 });
  });

  test.each([
    [100, 100],
    [5000, TIMEOUT_MS],
  ])("are put off once where the event loop was late by %i ms, by %i ms", async (lateMs, byMs) => {
    const { consume, store } = start();
    const answered = vi.fn();
    void consume(1).then(answered);
    block(lateMs);
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS + byMs - 1);
    expect(answered).not.toHaveBeenCalled();
    block(1000);
    await vi.advanceTimersByTimeAsync(1);
    expect(answered).toHaveBeenCalledOnce();
    store.held.length = 0;
  });

  test("are answered at once when the breaker opens", async () => {
    const { consume, store } = start();
    const lost = consume(5);
    store.handOver();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 10);
    const queued = consume(3);
    await vi.advanceTimersByTimeAsync(10);
    expect(await lost).toEqual(Array(5).fill("fail-open"));
    expect(await queued).toEqual(Array(3).fill("fail-open"));
    expect(store.held.map(({ call }) => call.abandoned)).toEqual([true, true, true]);
  });

  test("and that were the probe pass their turn to the next call", async () => {
    const { consume, store, isAsked } = start({ breaker: { failures: 1 } });
    const lost = consume(1);
    store.handOver();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS + 50);
    await lost;
    // Three probes that never leave: the interval would be 400 ms by now.
    for (let i = 0; i < 3; i++) {
      const probe = consume(1);
      expect(store.held.splice(0)).toHaveLength(1);
      await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
      await probe;
    }
    expect(await isAsked()).toBe(true);
  });
});

test("requests of consumeMany wait for those before, and their time counts from then", async () => {
  const { limiter, store, errors } = start();
  const answers = limiter.consumeMany(Array.from({ length: 1000 }, () => ({ key: "k" })));
  const asked: number[] = [];
  while (asked.length < 2) {
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1);
    const batch = store.handOver();
    asked.push(batch.length);
    for (const { settle } of batch) settle();
  }
  expect(asked).toEqual([768, 232]);
  expect(new Set((await answers).map(({ source }) => source))).toEqual(new Set(["store"]));
  expect(errors()).toEqual([]);
});

describe("a batch that was handed over", () => {
  test("and lost counts by each of its calls that is waited for", async () => {
    const { consume, store, isAsked, errors } = start();
    const controller = new AbortController();
    const four = consume(4);
    const given = consume(3, controller.signal);
    store.handOver();
    controller.abort();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    await Promise.all([four, given]);
    expect(errors()).toEqual([new StoreTimeoutError(TIMEOUT_MS, { sent: true, busy: false })]);
    const fifth = consume(1);
    store.handOver();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    await fifth;
    expect(await isAsked()).toBe(false);
  });

  test("counts from when the client could begin", async () => {
    const { consume, store } = start();
    const answer = consume(1);
    await vi.advanceTimersByTimeAsync(200);
    const [sent] = store.handOver();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1);
    sent?.settle();
    expect(await answer).toEqual(["store"]);
  });

  test("says nothing against a store that decided others since", async () => {
    const { consume, store, isAsked, errors } = start();
    const lost = consume(9);
    store.handOver();
    expect(await isAsked()).toBe(true);
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    await lost;
    expect(errors()).toEqual([new StoreTimeoutError(TIMEOUT_MS, { sent: true, busy: true })]);
    expect(await isAsked()).toBe(true);
  });

  test("is not excused by what was decided before", async () => {
    const { consume, store, isAsked } = start();
    expect(await isAsked()).toBe(true);
    const lost = consume(5);
    store.handOver();
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
    await lost;
    expect(await isAsked()).toBe(false);
  });

  test("was not, where the client was full", async () => {
    const { consume, store, isAsked } = start();
    const full = consume(9);
    for (const { settle } of store.handOver()) {
      settle(new StoreUnavailableError("full", { busy: true }));
    }
    expect(await full).toEqual(Array(9).fill("fail-open"));
    expect(await isAsked()).toBe(true);
  });
});

describe("a slow store", () => {
  /** A batch whose decisions come after 300 ms. */
  async function tooLate({ consume, store }: ReturnType<typeof start>): Promise<void> {
    const answer = consume(1);
    const batch = store.handOver();
    await vi.advanceTimersByTimeAsync(300);
    for (const { settle } of batch) settle();
    await answer;
  }

  test("opens the breaker when so many batches in a row are too late, and closes it in time", async () => {
    const started = start();
    for (let i = 0; i < 5; i++) await tooLate(started);
    expect(await started.isAsked()).toBe(false);
    await vi.advanceTimersByTimeAsync(50);
    expect(await started.isAsked()).toBe(true);
    expect(await started.isAsked()).toBe(true);
  });

  // Before the deadline's timer ran, so that the call had not been given up.
  test.each([
    ["waits", "store"],
    ["has gone", "given up"],
  ])(
    "is probed again after an answer that came too late to a probe whose caller %s",
    async (_, ends) => {
      const started = start();
      const { consume, store } = started;
      for (let i = 0; i < 5; i++) await tooLate(started);
      for (let i = 0; i < 3; i++) {
        await vi.advanceTimersByTimeAsync(QUIET_MS);
        const controller = new AbortController();
        const probe = consume(1, controller.signal);
        const batch = store.handOver();
        expect(batch).toHaveLength(1);
        if (ends === "given up") controller.abort();
        await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 10);
        // Too little for a stall, and the timer of the deadline runs late by it.
        block(20);
        for (const { settle } of batch) settle();
        expect(await probe).toEqual([ends]);
      }
      await vi.advanceTimersByTimeAsync(QUIET_MS);
      expect(await started.isAsked()).toBe(true);
    },
  );

  const settleAll = (batch: readonly HeldCall[] = []): void => {
    for (const { settle } of batch) settle();
  };

  test("is none that said nothing for a while, and then answers all at once", async () => {
    const started = start();
    const { consume, store } = started;
    const batches: HeldCall[][] = [];
    for (let i = 0; i < 5; i++) {
      const answer = consume(1);
      batches.push(store.handOver());
      await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
      await answer;
    }
    expect(await started.isAsked()).toBe(false);
    for (const batch of batches) {
      settleAll(batch);
      await vi.advanceTimersByTimeAsync(2);
    }
    expect(await started.isAsked()).toBe(true);
  });

  test("opens the breaker too when the calls between do not wait for it", async () => {
    const started = start();
    const batches: HeldCall[][] = [];
    for (let i = 0; i < 8; i++) {
      await vi.advanceTimersByTimeAsync(100);
      if (i < 5) {
        void started.consume(1);
        batches.push(started.store.handOver());
      }
      if (i >= 3) settleAll(batches[i - 3]);
    }
    expect(await started.isAsked()).toBe(false);
  });

  test("is none that was in time once", async () => {
    const started = start();
    for (let i = 0; i < 4; i++) await tooLate(started);
    expect(await started.isAsked()).toBe(true);
    for (let i = 0; i < 4; i++) await tooLate(started);
    expect(await started.isAsked()).toBe(true);
  });

  test("is none where this process stood still meanwhile", async () => {
    const { consume, store, isAsked } = start();
    for (let i = 0; i < 9; i++) {
      const answer = consume(1);
      const batch = store.handOver();
      await vi.advanceTimersByTimeAsync(60);
      block(400);
      await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
      for (const { settle } of batch) settle();
      await answer;
    }
    expect(await isAsked()).toBe(true);
  });
});
