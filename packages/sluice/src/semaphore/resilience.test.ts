import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, test, vi } from "vitest";
import {
  type ErrorEvent,
  MemoryStore,
  type PermitChanged,
  RateLimiter,
  type RecoveryEvent,
  Semaphore,
  type SemaphoreOptions,
  type Store,
  tokenBucket,
} from "../index.js";
import type { SemaphoreStore } from "../stores/semaphore-store.js";
import { ManualClock } from "../testing/index.js";

const lost = new Error("connection lost");
const QUIET_MS = 1000;

/** A store as if outside the process, whose semaphores fail while `isDown`. */
class FailingStore extends MemoryStore implements Store {
  override readonly external = true as unknown as false;
  isDown = false;
  hangs = false;
  /** Lets commands through that hang, oldest first. */
  readonly late: (() => void)[] = [];
  asked = 0;
  override readonly semaphores: MemoryStore["semaphores"];

  constructor() {
    super({ clock: new ManualClock() });
    const inner = new MemoryStore({ clock: this.clock }).semaphores;
    const execute: SemaphoreStore["execute"] = async (...args) => {
      this.asked += 1;
      if (this.isDown) throw lost;
      if (this.hangs) await new Promise<void>((resolve) => this.late.push(resolve));
      return inner.execute(args[0], args[1]);
    };
    this.semaphores = new Proxy(inner, {
      get: (target, name) => {
        if (name === "execute") return execute;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  }
}

function start(options: Partial<SemaphoreOptions> = {}) {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const store = new FailingStore();
  const onError = vi.fn<(event: ErrorEvent) => void>();
  const onRecovery = vi.fn<(event: RecoveryEvent) => void>();
  const hooks = { onError, onRecovery };
  const semaphore = new Semaphore({ limit: 2, identity: "plain", hooks, ...options, store });
  const close = async (): Promise<void> => {
    store.isDown = false;
    await semaphore.close();
    await vi.advanceTimersByTimeAsync(60_000);
    vi.useRealTimers();
  };
  return { store, semaphore, onError, onRecovery, close };
}

describe("a semaphore on a store that fails", () => {
  test("reports an outage once when it begins and once when it is over, with counts", async () => {
    const { store, semaphore, onError, onRecovery, close } = start();
    store.isDown = true;
    for (let i = 0; i < 3; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    expect(onError).toHaveBeenCalledExactlyOnceWith({
      error: expect.objectContaining({ cause: lost }) as unknown,
      key: "k",
      cost: 0,
    });
    store.isDown = false;
    for (let i = 0; i < 2; i++) {
      await semaphore.inspect("k");
      await vi.advanceTimersByTimeAsync(QUIET_MS);
    }
    await semaphore.inspect("k");
    expect(onRecovery).toHaveBeenCalledOnce();
    expect(onRecovery.mock.calls[0]?.[0].unanswered).toMatchObject({ total: 3, thrown: 3 });
    await close();
  });

  test("stops asking after five failures in a row, and asks again by a probe", async () => {
    const { store, semaphore, close } = start();
    store.isDown = true;
    for (let i = 0; i < 5; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    const before = store.asked;
    await expect(semaphore.acquire("k", { maxWait: 0 })).rejects.toThrow("the breaker is open");
    expect(store.asked).toBe(before);
    store.isDown = false;
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    expect((await semaphore.inspect("k")).held).toBe(0);
    await (await semaphore.acquire("k")).release();
    await close();
  });

  test("releases what is held past an open breaker", async () => {
    const { store, semaphore, close } = start();
    const permit = await semaphore.acquire("k");
    store.isDown = true;
    for (let i = 0; i < 5; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    store.isDown = false;
    await permit.release();
    expect((await semaphore.inspect("k")).held).toBe(0);
    await close();
  });

  test("renews what is held past an open breaker", async () => {
    const { store, semaphore, close } = start({ leaseDuration: 300 });
    const permit = await semaphore.acquire("k");
    store.isDown = true;
    for (let i = 0; i < 5; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    store.isDown = false;
    // Before the breaker's first probe.
    for (let i = 0; i < 60; i++) {
      (store.clock as ManualClock).advance(10);
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(permit.lost.aborted).toBe(false);
    await permit.release();
    await close();
  });

  test("gives back a permit whose grant came late, past an open breaker", async () => {
    const { store, semaphore, close, onError } = start();
    store.hangs = true;
    await Promise.all([
      expect(semaphore.acquire("k", { weight: 2, maxWait: 0 })).rejects.toThrow("250 ms"),
      vi.advanceTimersByTimeAsync(250),
    ]);
    expect(onError.mock.calls[0]?.[0]).toMatchObject({ key: "k", cost: 2 });
    store.hangs = false;
    store.isDown = true;
    for (let i = 0; i < 5; i++) await semaphore.inspect("k").catch(() => {});
    store.isDown = false;
    // The grant alone: the release that followed it at once is lost.
    store.late[0]?.();
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    expect((await semaphore.inspect("k")).held).toBe(0);
    await close();
  });

  test("takes a waiter that gives up out of the line past an open breaker", async () => {
    const { store, semaphore, close } = start({ limit: 1 });
    await semaphore.acquire("k");
    const controller = new AbortController();
    const waiting = semaphore.acquire("k", { signal: controller.signal });
    await vi.waitFor(async () => expect((await semaphore.inspect("k")).waiting).toBe(1));
    store.isDown = true;
    for (let i = 0; i < 5; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    store.isDown = false;
    controller.abort("gone");
    await expect(waiting).rejects.toBe("gone");
    await vi.advanceTimersByTimeAsync(QUIET_MS);
    expect((await semaphore.inspect("k")).waiting).toBe(0);
    await close();
  });

  test("is asked again, with pauses, until it lets a caller who waits get in line", async () => {
    const { store, semaphore, close } = start({ breaker: false });
    store.isDown = true;
    const waiting = semaphore.acquire("k");
    for (let ms = 0; ms < 10_000; ms += 50) {
      (store.clock as ManualClock).advance(50);
      await vi.advanceTimersByTimeAsync(50);
    }
    expect(store.asked).toBeGreaterThan(8);
    expect(store.asked).toBeLessThan(30);
    store.isDown = false;
    for (let ms = 0; ms < 1000; ms += 50) {
      (store.clock as ManualClock).advance(50);
      await vi.advanceTimersByTimeAsync(50);
    }
    await (await waiting).release();
    await close();
  });

  test("grants by an answer that is late, to a caller who still waits", async () => {
    const { store, semaphore, close } = start();
    store.hangs = true;
    const waiting = semaphore.acquire("k", { maxWait: "5s" });
    await vi.advanceTimersByTimeAsync(260);
    expect(store.asked).toBe(1);
    store.hangs = false;
    store.late.shift()?.();
    await (await waiting).release();
    await close();
  });

  test("is asked until maxWait is over, and then its error is the caller's", async () => {
    const { store, semaphore, close } = start({ breaker: false });
    store.isDown = true;
    const waiting = semaphore.acquire("k", { maxWait: 300 }).catch((error: unknown) => error);
    for (let ms = 0; ms < 300; ms += 10) {
      (store.clock as ManualClock).advance(10);
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(await waiting).toMatchObject({ code: "STORE_UNAVAILABLE", cause: lost });
    // Four attempts, and one command that takes it out of a line which it may be in.
    expect(store.asked).toBeLessThan(9);
    await close();
  });

  test("asks nothing to undo a call that the breaker refused", async () => {
    const { store, semaphore, close } = start();
    store.isDown = true;
    for (let i = 0; i < 5; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    const before = store.asked;
    await expect(semaphore.tryAcquire("k")).rejects.toThrow("the breaker is open");
    await vi.advanceTimersByTimeAsync(0);
    expect(store.asked).toBe(before);
    await close();
  });

  test("reports what was not answered in time in the context of its caller", async () => {
    const context = new AsyncLocalStorage<string>();
    const seen: [string, string | undefined][] = [];
    const onError = ({ key }: ErrorEvent) => seen.push([key, context.getStore()]);
    const { store, semaphore, close } = start({ hooks: { onError } });
    const other = new Semaphore({ limit: 1, store, name: "other", identity: "plain" });
    store.hangs = true;
    // The first call starts the timer of all.
    const unheard = context.run("alice", () => other.inspect("a"));
    const first = context.run("bob", () => semaphore.inspect("b").catch(() => {}));
    await Promise.all([
      expect(unheard).rejects.toThrow("250 ms"),
      vi.advanceTimersByTimeAsync(250),
      first,
    ]);
    expect(seen).toEqual([["b", "bob"]]);
    store.hangs = false;
    await other.close();
    await close();
  });

  test("asks each time without a breaker", async () => {
    const { store, semaphore, close } = start({ breaker: false });
    store.isDown = true;
    for (let i = 0; i < 9; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    expect(store.asked).toBe(9);
    await close();
  });

  test("shares what it learns with the limiters of its store", async () => {
    const { store, semaphore, close } = start();
    const policy = tokenBucket({ limit: 9, period: "1h" });
    const limiter = new RateLimiter({ policy, store, onStoreFailure: "open" });
    store.isDown = true;
    for (let i = 0; i < 5; i++) await expect(semaphore.inspect("k")).rejects.toThrow("lost");
    // A limiter of this store asks it synchronously, so only its peek shows the breaker.
    expect((await limiter.peek("k")).source).toBe("fail-open");
    await limiter.close();
    await close();
  });
});

test.each([
  ["hooks.onAllowed", { hooks: { onAllowed: () => {} } }],
  ["hooks.onError", { hooks: { onError: 1 } }],
  ["breaker", { breaker: true }],
])("a semaphore refuses %s", (option, wrong) => {
  const options = { limit: 1, ...wrong } as unknown as SemaphoreOptions;
  expect(() => new Semaphore(options)).toThrow(option);
});

test("a permit's events tell its life", async () => {
  const semaphore = new Semaphore({ limit: 1, identity: "plain" });
  const heard: PermitChanged[] = [];
  semaphore.events.on("permit", (event) => heard.push(event));
  const waits: string[] = [];
  semaphore.events.on("waitBegun", ({ key, cost }) => waits.push(`${key} ${cost}`));
  semaphore.events.on("waitEnded", ({ outcome }) => waits.push(outcome));
  const permit = await semaphore.acquire("k");
  await expect(semaphore.acquire("k", { maxWait: 1 })).rejects.toThrow("within 1 ms");
  await permit.release();
  await semaphore.acquire("k");
  await semaphore.close();
  expect(heard.map(({ change }) => change)).toEqual([
    "granted",
    "releasing",
    "released",
    "granted",
    "lost",
    "releasing",
    "released",
  ]);
  expect(heard[0]).toMatchObject({ semaphore: "sluice:semaphore", key: "k", weight: 1 });
  expect(waits).toEqual(["k 1", "started", "k 1", "refused", "k 1", "started"]);
});

test("a permit whose lease is over before its answer is read has ended at once, and once", async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const { semaphores } = store;
  const execute = semaphores.executeSync.bind(semaphores);
  const semaphore = new Semaphore({ limit: 1, store, leaseDuration: "1s" });
  const spy = vi.spyOn(semaphores, "executeSync").mockImplementationOnce((...args) => {
    const answer = execute(...args);
    clock.advance(5000);
    return answer;
  });
  const permit = semaphore.tryAcquireSync("k");
  expect(spy).toHaveBeenCalledTimes(1);
  expect(permit?.lost.aborted).toBe(true);
  expect(semaphore.stats()).toMatchObject({ held: 0, lost: 1 });
  await semaphore.close();
  expect(semaphore.stats()).toMatchObject({ held: 0, lost: 1 });
});
