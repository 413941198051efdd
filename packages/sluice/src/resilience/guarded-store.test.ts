/** What everyone who asks a store has in common: who is kept in memory, who is counted, who hears of what. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import {
  consumeAtomic,
  type ErrorEvent,
  RateLimiter,
  type RateLimiterOptions,
  type RecoveryEvent,
  StoreTimeoutError,
  tokenBucket,
} from "../index.js";
import { Events, type StoreCalled } from "../events/events.js";
import { addOutageHooks } from "../events/hooks.js";

const policy = tokenBucket({ limit: 1000, period: "1h" });
const lost = new Error("connection lost");
/** The breaker's `probeEvery`. */
const QUIET_MS = 1000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});

afterEach(async () => {
  await vi.advanceTimersByTimeAsync(60_000);
  vi.useRealTimers();
});

type Options = Partial<RateLimiterOptions<HeldStore>>;

function limiterOn(store: HeldStore, options: Options = {}): RateLimiter<HeldStore> {
  return new RateLimiter({ policy, identity: "plain", onStoreFailure: "open", ...options, store });
}

/** A call that the store settles so at once; answers how the limiter did. */
async function ask(limiter: RateLimiter<HeldStore>, outcome?: Error): Promise<string> {
  const answer = limiter.consume("k");
  limiter.store.settleAll(outcome);
  return (await answer).source;
}

async function recover(limiter: RateLimiter<HeldStore>): Promise<void> {
  expect(await ask(limiter)).toBe("store");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect(await ask(limiter)).toBe("store");
}

describe("an outage", () => {
  test("keeps no limiter in memory that was dropped while it lasts", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const store = new HeldStore();
    const dropped: WeakRef<object>[] = [];
    for (let i = 0; i < 100; i++) {
      const limiter = limiterOn(store, { hooks: { onError: () => {} }, breaker: false });
      expect(await ask(limiter, lost)).toBe("fail-open");
      await limiter.close();
      // What its listeners see may be much: a request, a tenant.
      dropped.push(new WeakRef(limiter.events));
    }
    // Their deadlines' timers run to the end.
    await vi.advanceTimersByTimeAsync(60_000);
    await vi.waitFor(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
      expect(dropped.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(10);
    });
  });

  test("is over for those who are left when others were dropped", async () => {
    const store = new HeldStore();
    const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
    const limiter = limiterOn(store, { hooks: { onError: () => {}, onRecovery } });
    await ask(limiter, lost);
    await ask(limiterOn(store), lost);
    await recover(limiter);
    expect(onRecovery).toHaveBeenCalledOnce();
  });

  test("counts for the store's own listeners every call that got no answer, whoever asked", async () => {
    const events = new Events();
    const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
    const onError = vi.fn<(event: ErrorEvent) => void>();
    addOutageHooks(events, { onError, onRecovery });
    const store = Object.assign(new HeldStore(), { events });
    const breaker = { failures: 3 };
    const open = limiterOn(store, { breaker });
    const closed = limiterOn(store, { breaker, onStoreFailure: "closed", namespace: "other" });
    await ask(open, lost);
    const both = consumeAtomic([
      { limiter: open, key: "k" },
      { limiter: closed, key: "k" },
    ]);
    store.settleAll(lost);
    await both;
    await ask(closed, lost);
    // The breaker's refusals count too.
    expect(await ask(open)).toBe("fail-open");
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    await recover(open);
    expect(onError).toHaveBeenCalledOnce();
    expect(onRecovery).toHaveBeenCalledOnce();
    expect(onRecovery.mock.calls[0]?.[0].unanswered).toEqual({
      total: 5,
      busy: 0,
      local: 0,
      failOpen: 3,
      failClosed: 2,
      fallback: 0,
      thrown: 0,
    });
  });

  test("is one for the store's own listeners, however long each limiter waits", async () => {
    const events = new Events();
    const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
    const onError = vi.fn<(event: ErrorEvent) => void>();
    addOutageHooks(events, { onError, onRecovery });
    const store = Object.assign(new HeldStore(), { events });
    const hasty = limiterOn(store, { timeout: 5, namespace: "hasty" });
    const patient = limiterOn(store, { timeout: 250, namespace: "patient" });
    await ask(hasty, lost);
    await ask(patient, lost);
    await recover(patient);
    expect(onError).toHaveBeenCalledOnce();
    expect(onRecovery).toHaveBeenCalledOnce();
    expect(onRecovery.mock.calls[0]?.[0].unanswered.total).toBe(2);
  });
});

describe("a breaker", () => {
  test("opens at the failure: its first probe is due that long after it", async () => {
    const limiter = limiterOn(new HeldStore(), { breaker: { failures: 1 } });
    await ask(limiter, lost);
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    expect(await ask(limiter)).toBe("store");
  });

  test("does not count failures from before an answer, also where it is new", async () => {
    const store = new HeldStore();
    const limiter = limiterOn(store, { breaker: { failures: 10 } });
    const early = limiter.consume("k");
    const answer = store.held.shift();
    for (let i = 0; i < 2; i++) await ask(limiter, lost);
    answer?.settle();
    expect((await early).source).toBe("store");
    await ask(limiter, lost);
    const other = limiterOn(store, { breaker: { failures: 3 }, namespace: "other" });
    expect(await ask(other)).toBe("store");
  });

  test("does not count the silence of those who wait for less", async () => {
    const store = new HeldStore();
    const patient = limiterOn(store);
    const hasty = limiterOn(store, { timeout: 5, namespace: "hasty" });
    await ask(patient, lost);
    for (let i = 0; i < 4; i++) {
      const late = hasty.consume("k");
      await vi.advanceTimersByTimeAsync(10);
      expect((await late).source).toBe("fail-open");
    }
    expect(await ask(patient)).toBe("store");
  });
});

test("an answer that cannot be read rejects its own call, and not what the store does", async () => {
  const store = new HeldStore();
  store.submit = (_, done) => {
    queueMicrotask(() => done({ nowUs: 0, granted: 0, debits: [] }));
  };
  await expect(limiterOn(store).consume("k")).rejects.toThrow(TypeError);
});

test("a probe that ends by the store's own deadline is over, and another may follow", async () => {
  const store = new HeldStore();
  const limiter = limiterOn(store, { timeout: 250 });
  for (let i = 0; i < 5; i++) await ask(limiter, lost);
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  // The store itself waits for a shorter time than its limiter would.
  expect(await ask(limiter, new StoreTimeoutError(50))).toBe("fail-open");
  await vi.advanceTimersByTimeAsync(QUIET_MS);
  expect(await ask(limiter)).toBe("store");
});

test("a call that its caller gave up is no call that the store answered", async () => {
  const store = new HeldStore();
  const limiter = limiterOn(store);
  const heard: StoreCalled[] = [];
  limiter.events.on("storeCall", (event) => heard.push(event));
  const controller = new AbortController();
  const reason = new Error("gone");
  const call = limiter.consume("k", { signal: controller.signal });
  controller.abort(reason);
  await expect(call).rejects.toBe(reason);
  expect(heard.map(({ error }) => error)).toEqual([reason]);
});
