/** The semaphore on memory, where time is the test's. */
import { inspect } from "node:util";
import { describe, expect, it, onTestFinished, test, vi } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  ClosedError,
  InvalidOptionError,
  LeaseLostError,
  MaxWaitExceededError,
  MemoryStore,
  type Permit,
  Semaphore,
  type SemaphoreOptions,
  type SemaphoreStore,
  StoreUnavailableError,
} from "../index.js";
import { auditSemaphore } from "../audit/semaphore-audit.js";
import { readSemaphoreLogs } from "../audit/semaphore-log.js";
import { permitLog, semaphoreHeaderLine } from "../audit/semaphore-record.js";
import { ManualClock } from "../testing/index.js";
import { SEMAPHORE_VERBS, type SemaphoreVerb } from "../algorithms/semaphore/kernel.js";

interface Bench {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly semaphore: Semaphore<MemoryStore>;
}

function bench(options: Omit<SemaphoreOptions, "store">): Bench {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const semaphore = new Semaphore({ ...options, store });
  onTestFinished(() => semaphore.close());
  return { clock, store, semaphore };
}

/** Whatever was begun has been done. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What `promise` rejects with; "nothing" if it does not. */
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "nothing",
    (reason: unknown) => reason,
  );

/** Moves the clock in steps that leave the semaphore time to renew. */
async function advance(clock: ManualClock, ms: number, stepMs = 250): Promise<void> {
  for (let left = ms; left > 0; left -= stepMs) {
    clock.advance(Math.min(stepMs, left));
    await settled();
  }
}

interface HeldBack {
  readonly clock: ManualClock;
  readonly semaphore: Semaphore;
  /** Delivers the wake-ups, or only the last; their times by a clock that is ahead by so much. */
  readonly deliver: (which?: "all" | "last", aheadUs?: number) => void;
  /** How many commands were executed. */
  readonly calls: () => number;
  /** The verb of which commands fail. */
  failing: SemaphoreVerb | undefined;
  /** The verb of which commands are executed, but the answers are lost. */
  losing: SemaphoreVerb | undefined;
}

/** A semaphore of one permit whose store notifies and fails when the test says so. */
function heldBack(): HeldBack {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const inner = store.semaphores;
  const notifications: ((aheadUs: number) => void)[] = [];
  let calls = 0;
  const semaphores: SemaphoreStore = {
    clock,
    execute: (place, command) => {
      if (command.verb === made.failing) return Promise.reject(new Error("the store is away"));
      calls += 1;
      const answer = inner.execute(place, command);
      if (command.verb !== made.losing) return answer;
      return answer.then(() => Promise.reject(new Error("the connection is cut")));
    },
    channelOf: () => inner.channelOf(),
    listen: (place, listener) =>
      inner.listen(place, {
        owner: listener.owner,
        notified: (wake) => {
          notifications.push((aheadUs) => {
            listener.notified({ ...wake, untilUs: wake.untilUs + aheadUs });
          });
        },
        live: () => {
          listener.live();
        },
      }),
  };
  Object.defineProperty(store, "semaphores", { value: semaphores });
  const made: HeldBack = {
    clock,
    semaphore: new Semaphore({ limit: 1, leaseDuration: "30s", store }),
    deliver: (which = "all", aheadUs = 0) => {
      for (const wake of notifications.splice(which === "all" ? 0 : -1)) wake(aheadUs);
    },
    calls: () => calls,
    failing: undefined,
    losing: undefined,
  };
  onTestFinished(() => made.semaphore.close());
  return made;
}

describe("acquire", () => {
  it("gives at most `limit` permits, then makes wait, first come first served", async () => {
    const { semaphore } = bench({ limit: 2 });
    const first = await semaphore.acquire("k");
    const second = await semaphore.acquire("k");
    const order: string[] = [];
    const waiting = ["a", "b", "c"].map(async (name) => {
      const permit = await semaphore.acquire("k");
      order.push(name);
      return permit;
    });
    await settled();
    expect(order).toEqual([]);
    expect(await semaphore.inspect("k")).toEqual({ limit: 2, held: 2, waiting: 3 });

    await second.release();
    await settled();
    expect(order).toEqual(["a"]);
    await first.release();
    await (await (waiting[0] as Promise<Permit>)).release();
    await Promise.all(waiting);
    expect(order).toEqual(["a", "b", "c"]);
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
    expect((await (waiting[2] as Promise<Permit>)).fencingToken).toBeGreaterThan(
      second.fencingToken,
    );
  });

  it("counts weights, and lets nobody pass a heavy one", async () => {
    const { semaphore } = bench({ limit: 3 });
    const light = await semaphore.acquire("k", { weight: 1 });
    const heavy = semaphore.acquire("k", { weight: 3 });
    const later = semaphore.acquire("k", { weight: 1 });
    await settled();
    expect(await semaphore.inspect("k")).toEqual({ limit: 3, held: 1, waiting: 2 });
    await light.release();
    await (await heavy).release();
    await (await later).release();
    expect(await semaphore.inspect("k")).toEqual({ limit: 3, held: 0, waiting: 0 });
  });

  it("tells keys, names and namespaces apart", async () => {
    const { semaphore, store } = bench({ limit: 1 });
    const others = [{ name: "other" }, { namespace: "other" }].map(
      (each) => new Semaphore({ limit: 1, store, ...each }),
    );
    await semaphore.acquire("k");
    expect(await semaphore.tryAcquire("k")).toBeUndefined();
    expect(await semaphore.tryAcquire("l")).toBeDefined();
    for (const other of others) {
      expect(await other.tryAcquire("k")).toBeDefined();
      await other.close();
    }
  });

  it("with maxWait 0 rejects at once, and says when the first lease may end", async () => {
    const { semaphore, clock } = bench({ limit: 1, leaseDuration: "10s" });
    await semaphore.acquire("k");
    clock.advance(2000);
    const refused = semaphore.acquire("k", { maxWait: 0 });
    await expect(refused).rejects.toThrow(MaxWaitExceededError);
    await expect(refused).rejects.toMatchObject({ code: "MAX_WAIT_EXCEEDED", retryAfterMs: 8001 });
    expect(await semaphore.inspect("k")).toMatchObject({ held: 1, waiting: 0 });
  });

  it.each(["before", "after"])(
    "hands over a permit that is released in the tick in which another waits for it, %s it does",
    async (order) => {
      const { semaphore } = bench({ limit: 1 });
      const first = await semaphore.acquire("k");
      const released = order === "before" ? first.release() : undefined;
      const second = semaphore.acquire("k", { maxWait: "1h" });
      await (released ?? first.release());
      // Time stands still: a waiter that missed the hand-over would not ask again.
      await settled();
      await settled();
      expect(await Promise.race([second, settled().then(() => "nothing")])).toHaveProperty(
        "fencingToken",
      );
      await (await second).release();
    },
  );

  it("gives up after maxWait, and leaves the line", async () => {
    const { semaphore, clock } = bench({ limit: 1 });
    const permit = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k", { maxWait: "1s" });
    const refused = failureOf(waiting);
    await settled();
    await advance(clock, 999);
    expect(await semaphore.inspect("k")).toMatchObject({ waiting: 1 });
    await advance(clock, 1);
    expect(await refused).toBeInstanceOf(MaxWaitExceededError);
    expect(await semaphore.inspect("k")).toMatchObject({ held: 1, waiting: 0 });
    await permit.release();
  });

  it("rejects with the reason of a signal that is already aborted, and asks nothing", async () => {
    const { semaphore, store } = bench({ limit: 1 });
    for (const reason of [new Error("no longer"), "a text"]) {
      await expect(semaphore.acquire("k", { signal: AbortSignal.abort(reason) })).rejects.toBe(
        reason,
      );
    }
    expect(store.semaphores.size).toBe(0);
  });

  it.each([new Error("no longer"), "a text"])(
    "rejects with the reason %s of a signal that aborts while it waits",
    async (reason) => {
      const { semaphore, store } = bench({ limit: 1 });
      const permit = await semaphore.acquire("k");
      const controller = new AbortController();
      const waiting = semaphore.acquire("k", { signal: controller.signal });
      const refused = failureOf(waiting);
      await settled();
      controller.abort(reason);
      expect(await refused).toBe(reason);
      expect(await semaphore.inspect("k")).toEqual({ limit: 1, held: 1, waiting: 0 });
      await permit.release();
      expect(store.semaphores.size).toBe(0);
    },
  );

  it("leaks nothing, and is either a permit or a rejection, when the signal aborts around the grant", async () => {
    const { semaphore, store } = bench({ limit: 1 });
    // Aborts a number of turns of the microtask queue after the release that hands over.
    const outcomes = new Set<string>();
    for (let turns = 0; turns < 20; turns++) {
      const permit = await semaphore.acquire("k");
      const controller = new AbortController();
      const waiting = semaphore.acquire("k", { signal: controller.signal }).then(
        (next) => next,
        (reason: unknown) => reason,
      );
      await settled();
      const released = permit.release();
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      controller.abort("too late?");
      const outcome = await waiting;
      await released;
      await settled();
      if (outcome === "too late?") outcomes.add("rejected");
      else {
        outcomes.add("granted");
        expect((await semaphore.inspect("k")).held).toBe(1);
        await (outcome as Permit).release();
      }
      expect(await semaphore.inspect("k")).toEqual({ limit: 1, held: 0, waiting: 0 });
      expect(store.semaphores.size).toBe(0);
    }
    expect([...outcomes].sort()).toEqual(["granted", "rejected"]);
  });

  it("takes over from a holder whose lease ended without anybody saying so", async () => {
    const { semaphore, store, clock } = bench({ limit: 1, leaseDuration: "10s" });
    const place = { keyspace: "sluice:semaphore", id: "k" };
    const terms = { leaseUs: 10e6, claimUs: 2e6, waitUs: 5e6 };
    const entries = [{ id: "dead.1", number: 1 }];
    await store.semaphores.execute(place, { verb: 1, limit: 1, terms, channel: "", entries });
    const waiting = semaphore.acquire("k");
    await settled();
    await advance(clock, 9999);
    expect(await semaphore.inspect("k")).toMatchObject({ held: 1, waiting: 1 });
    await advance(clock, 2);
    const permit = await waiting;
    await settled();
    expect(permit.expiresAtUs).toBe(clock.nowUs() + 10e6);
    await permit.release();
  });
});

describe("a permit", () => {
  it("is renewed at a third of its lease, for as long as it is held", async () => {
    const { semaphore, clock } = bench({ limit: 1, leaseDuration: "30s" });
    const permit = await semaphore.acquire("k");
    const beganUs = clock.nowUs();
    expect(permit.expiresAtUs).toBe(beganUs + 30e6);
    await advance(clock, 9999);
    expect(permit.expiresAtUs).toBe(beganUs + 30e6);
    await advance(clock, 1001);
    expect(permit.expiresAtUs).toBeGreaterThanOrEqual(beganUs + 40e6);
    await advance(clock, 300_000);
    expect(permit.lost.aborted).toBe(false);
    expect(await semaphore.tryAcquire("k")).toBeUndefined();
    await permit.release();
    expect(await semaphore.tryAcquire("k")).toBeDefined();
  });

  it("is lost at nine tenths of the lease if it was not renewed, even to who looks before any timer ran", async () => {
    const { semaphore, clock } = bench({ limit: 1, leaseDuration: "10s" });
    const permit = await semaphore.acquire("k");
    const { lost } = permit;
    // As a process that is stopped: time passes, and nothing runs.
    clock.set(clock.nowUs() + 9e6 - 1);
    expect(permit.lost.aborted).toBe(false);
    clock.set(clock.nowUs() + 1);
    expect(permit.lost.aborted).toBe(true);
    expect(permit.lost).toBe(lost);
    expect(lost.reason).toBeInstanceOf(LeaseLostError);
    expect(lost.reason).toMatchObject({ code: "LEASE_LOST" });
  });

  it("once lost changes nothing by its late release", async () => {
    const { semaphore, clock } = bench({ limit: 1, leaseDuration: "10s" });
    const stopped = await semaphore.acquire("k");
    clock.set(clock.nowUs() + 10e6);
    const next = await semaphore.acquire("k");
    expect(next.fencingToken).toBeGreaterThan(stopped.fencingToken);
    expect(stopped.lost.aborted).toBe(true);
    await stopped.release();
    expect(await semaphore.inspect("k")).toMatchObject({ held: 1 });
    expect(await semaphore.tryAcquire("k")).toBeUndefined();
    await next.release();
  });

  it("is released once, whatever is asked how often", async () => {
    const { semaphore } = bench({ limit: 2 });
    const [first, second] = [await semaphore.acquire("k"), await semaphore.acquire("k")];
    await Promise.all([first.release(), first.release()]);
    await first.release();
    await first[Symbol.asyncDispose]();
    expect(await semaphore.inspect("k")).toMatchObject({ held: 1 });
    expect(first.lost.aborted).toBe(false);
    await second.release();
  });

  it("whose release fails is not renewed any more, and lost when its lease may end", async () => {
    const held = heldBack();
    const { clock, semaphore } = held;
    const permit = await semaphore.acquire("k");
    const lost = vi.fn<() => void>();
    permit.lost.addEventListener("abort", lost);
    await advance(clock, 5000);
    held.failing = SEMAPHORE_VERBS.release;
    await expect(permit.release()).rejects.toThrow(StoreUnavailableError);
    const before = held.calls();
    await advance(clock, 21_750);
    expect(lost).not.toHaveBeenCalled();
    await advance(clock, 1250, 50);
    expect(lost).toHaveBeenCalledOnce();
    expect(held.calls()).toBe(before);
    expect(permit.lost.reason).toBeInstanceOf(LeaseLostError);
  });

  it("whose release fails may be released again, and is not lost then", async () => {
    const held = heldBack();
    const { clock, semaphore } = held;
    const permit = await semaphore.acquire("k");
    held.failing = SEMAPHORE_VERBS.release;
    await expect(permit.release()).rejects.toThrow(StoreUnavailableError);
    held.failing = undefined;
    await permit.release();
    expect(await semaphore.inspect("k")).toMatchObject({ held: 0 });
    await advance(clock, 60_000);
    expect(permit.lost.aborted).toBe(false);
  });

  it("whose release failed is given back by close", async () => {
    const held = heldBack();
    const { semaphore } = held;
    const permit = await semaphore.acquire("k");
    held.failing = SEMAPHORE_VERBS.release;
    await expect(permit.release()).rejects.toThrow(StoreUnavailableError);
    held.failing = undefined;
    const before = held.calls();
    await semaphore.close();
    expect(held.calls()).toBe(before + 1);
    expect(permit.lost.aborted).toBe(true);
  });

  it("ends with its block", async () => {
    const { semaphore } = bench({ limit: 1 });
    {
      await using permit = await semaphore.acquire("k");
      expect(permit.lost.aborted).toBe(false);
      expect(await semaphore.inspect("k")).toMatchObject({ held: 1 });
    }
    expect(await semaphore.inspect("k")).toMatchObject({ held: 0 });
  });

  it("of a semaphore whose clock stands still has a fence of its own all the same", async () => {
    const { semaphore, store } = bench({ limit: 1 });
    let last = 0n;
    for (let i = 0; i < 5; i++) {
      const permit = await semaphore.acquire(i % 2 === 0 ? "k" : "l");
      expect(permit.fencingToken).toBeGreaterThan(last);
      last = permit.fencingToken;
      await permit.release();
      expect(store.semaphores.size).toBe(0);
    }
  });
});

describe("a waiter that is notified", () => {
  it("begins at once while its claim surely holds, and confirms it meanwhile", async () => {
    const { clock, semaphore, deliver, calls } = heldBack();
    const first = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await settled();
    await first.release();
    clock.advance(1700);
    const before = calls();
    deliver();
    const permit = await waiting;
    expect(calls()).toBe(before);
    expect(permit.expiresAtUs).toBe(clock.nowUs() + 300_000);
    expect(permit.fencingToken).toBeGreaterThan(first.fencingToken);
    await settled();
    expect(permit.expiresAtUs).toBe(clock.nowUs() + 30e6);
    await permit.release();
  });

  it("asks first where its claim may have ended, and gets in line again if it has", async () => {
    const { clock, semaphore, deliver } = heldBack();
    const first = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await settled();
    await first.release();
    clock.set(clock.nowUs() + 2.5e6);
    const other = await semaphore.tryAcquire("k");
    expect(other).toBeDefined();
    deliver();
    await settled();
    expect(await semaphore.inspect("k")).toMatchObject({ held: 1, waiting: 1 });
    await other?.release();
    deliver();
    const permit = await waiting;
    expect(permit.fencingToken).toBeGreaterThan(other?.fencingToken ?? 0n);
    await permit.release();
  });

  it("asks first where its claim would last longer than any: then another server's clock set its end", async () => {
    const { clock, semaphore, deliver, calls } = heldBack();
    const first = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await settled();
    await first.release();
    const before = calls();
    deliver("all", 10e6);
    const permit = await waiting;
    expect(calls()).toBe(before + 1);
    expect(permit.expiresAtUs).toBe(clock.nowUs() + 30e6);
    await permit.release();
  });

  it("has a new ticket where its claim ended and it got in line again, or got a permit at once", async () => {
    const { clock, semaphore, deliver } = heldBack();
    let log = semaphoreHeaderLine(1);
    semaphore.events.on(
      "permit",
      permitLog("k", (line) => {
        log += line;
      }),
    );
    const first = await semaphore.acquire("k");
    const early = semaphore.acquire("k");
    await settled();
    clock.advance(1);
    const late = semaphore.acquire("k");
    await settled();
    await first.release();
    // The hint comes too late: the claim is over, and the other one's turn.
    clock.set(clock.nowUs() + 2.5e6);
    await semaphore.inspect("k");
    deliver("last");
    const second = await late;
    clock.advance(1);
    await second.release();
    deliver();
    const third = await early;
    await third.release();
    expect(third.fencingToken).toBeGreaterThan(second.fencingToken);
    const report = auditSemaphore(
      await readSemaphoreLogs([
        {
          name: "log",
          async *open() {
            yield log;
          },
        },
      ]),
    );
    expect(report).toMatchObject({ passed: true, grants: 3 });
  });

  it("does not make up a ticket where the answer that told it was lost", async () => {
    const held = heldBack();
    const { clock, semaphore } = held;
    const tickets: number[] = [];
    semaphore.events.on("permit", ({ change, ticket }) => {
      if (change === "granted") tickets.push(ticket);
    });
    const first = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await settled();
    await first.release();
    clock.set(clock.nowUs() + 2.5e6);
    const other = await semaphore.tryAcquire("k");
    held.losing = SEMAPHORE_VERBS.acquire;
    held.deliver();
    await settled();
    held.losing = undefined;
    expect(await semaphore.inspect("k")).toMatchObject({ held: 1, waiting: 1 });
    await other?.release();
    held.deliver();
    const permit = await waiting;
    expect(tickets).toEqual([Number(first.fencingToken), Number(other?.fencingToken), 0]);
    await permit.release();
  });

  it("trusts its claim no longer than that lasts, if it is not confirmed", async () => {
    const { clock, semaphore, deliver } = heldBack();
    const first = await semaphore.acquire("k");
    const waiting = semaphore.acquire("k");
    await settled();
    await first.release();
    deliver();
    const permit = await waiting;
    expect(permit.lost.aborted).toBe(false);
    // As a process that is stopped before it could confirm.
    clock.set(clock.nowUs() + 1.8e6);
    expect(permit.lost.aborted).toBe(true);
    await permit.release();
  });
});

describe("withPermit", () => {
  it("answers what the function does, and releases", async () => {
    const { semaphore } = bench({ limit: 1 });
    expect(await semaphore.withPermit("k", async (permit) => permit.fencingToken > 0n)).toBe(true);
    expect(await semaphore.inspect("k")).toMatchObject({ held: 0 });
  });

  it("passes on what the function throws, and releases", async () => {
    const { semaphore } = bench({ limit: 1 });
    const failing = semaphore.withPermit("k", () => {
      throw new RangeError("mine");
    });
    await expect(failing).rejects.toThrow(RangeError);
    expect(await semaphore.inspect("k")).toMatchObject({ held: 0 });
  });

  it("waits no longer than it may", async () => {
    const { semaphore } = bench({ limit: 1 });
    await semaphore.acquire("k");
    const run = vi.fn<() => void>();
    await expect(semaphore.withPermit("k", run, { maxWait: 0 })).rejects.toThrow(
      MaxWaitExceededError,
    );
    expect(run).not.toHaveBeenCalled();
  });
});

describe("setLimit", () => {
  it("holds for the key alone, lets more in at once, and revokes nothing", async () => {
    const { semaphore } = bench({ limit: 1 });
    const first = await semaphore.acquire("k");
    const second = semaphore.acquire("k");
    await settled();
    await semaphore.setLimit("k", 2);
    await second;
    await semaphore.setLimit("k", 1);
    expect(await semaphore.inspect("k")).toEqual({ limit: 1, held: 2, waiting: 0 });
    await first.release();
    expect(await semaphore.tryAcquire("k")).toBeUndefined();
    await (await second).release();
    expect(await semaphore.inspect("l")).toEqual({ limit: 1, held: 0, waiting: 0 });
    expect(await semaphore.tryAcquire("k")).toBeDefined();
  });

  it("turns away a waiter that can no longer fit, and lets the next one through", async () => {
    const { semaphore } = bench({ limit: 3 });
    const holder = await semaphore.acquire("k", { weight: 3 });
    const heavy = semaphore.acquire("k", { weight: 3 });
    const light = semaphore.acquire("k");
    const refused = failureOf(heavy);
    await settled();
    await semaphore.setLimit("k", 2);
    expect(await refused).toMatchObject({
      code: "INVALID_OPTION",
      option: "weight",
      value: 3,
      allowed: "at most the semaphore's limit, 2",
    });
    await holder.release();
    await (await light).release();
    await expect(semaphore.acquire("k", { weight: 3 })).rejects.toThrow(InvalidOptionError);
  });
});

describe("close", () => {
  it("rejects who waits, gives back what is held, and tells both", async () => {
    const { semaphore, store } = bench({ limit: 1 });
    const permit = await semaphore.acquire("k");
    const refused = failureOf(semaphore.acquire("k"));
    await settled();
    await semaphore.close();
    expect(await refused).toBeInstanceOf(ClosedError);
    expect(permit.lost.reason).toBeInstanceOf(LeaseLostError);
    expect(store.semaphores.size).toBe(0);
    await expect(semaphore.acquire("k")).rejects.toThrow("the semaphore is closed");
    await permit.release();
    await semaphore.close();
  });
});

describe.each([
  ["at once", false],
  ["from the one before", true],
])("close around the moment in which a caller gets its permit %s", (_, waits) => {
  it("gives it back, and rejects or tells", async () => {
    const outcomes = new Set<string>();
    for (let turns = 0; turns < 20; turns++) {
      const clock = new ManualClock();
      const store = new MemoryStore({ clock });
      const [semaphore, other] = [
        new Semaphore({ limit: 1, store }),
        new Semaphore({ limit: 1, store }),
      ];
      const before = waits ? await other.acquire("k") : undefined;
      const acquired = semaphore.acquire("k").then(
        (permit) => permit,
        (reason: unknown) => reason,
      );
      if (waits) await settled();
      const released = before?.release();
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      await semaphore.close();
      expect(await other.inspect("k")).toMatchObject({ held: 0, waiting: 0 });
      const outcome = await acquired;
      await released;
      if (outcome instanceof ClosedError) outcomes.add("rejected");
      else {
        outcomes.add("lost");
        expect((outcome as Permit).lost.aborted).toBe(true);
        await (outcome as Permit).release();
      }
      await other.close();
      expect(store.semaphores.size).toBe(0);
    }
    expect([...outcomes].sort()).toEqual(["lost", "rejected"]);
  });
});

describe("a semaphore refuses", () => {
  const store = new MemoryStore();
  const make = (options: object) => (): unknown => new Semaphore(options as SemaphoreOptions);

  test.each([
    ["no limit", {}, "limit"],
    ["a limit of 0", { limit: 0 }, "limit"],
    ["half a permit", { limit: 1.5 }, "limit"],
    ["a lease too short", { limit: 1, leaseDuration: 99 }, "leaseDuration"],
    ["a lease too long", { limit: 1, leaseDuration: "25h" }, "leaseDuration"],
    ["a name that is none", { limit: 1, name: "a b" }, "name"],
    ["a namespace that is none", { limit: 1, namespace: "" }, "namespace"],
    ["what is no store", { limit: 1, store: {} }, "store"],
    ["a timeout of nothing", { limit: 1, timeout: 0 }, "timeout"],
    ["an unknown option", { limit: 1, lease: 5 }, "lease"],
    ["a store that holds no semaphores", { limit: 1, store: new OutsideStore() }, "store"],
  ])("%s", (_, options, option) => {
    expect(make(options)).toThrow(InvalidOptionError);
    expect(make(options)).toThrow(expect.objectContaining({ option }));
  });

  it("another limit under the name of one that is in use", async () => {
    const first = new Semaphore({ limit: 1, store, name: "shared" });
    const same = new Semaphore({ limit: 1, store, name: "shared", leaseDuration: "1m" });
    expect(make({ limit: 2, store, name: "shared" })).toThrow(
      expect.objectContaining({ option: "limit", value: 2 }),
    );
    await first.close();
    await same.close();
    await new Semaphore({ limit: 2, store, name: "shared" }).close();
  });

  test.each<[string, string, object, string]>([
    ["a key that is none", "", {}, "key"],
    ["a weight of 0", "k", { weight: 0 }, "weight"],
    ["a weight above the limit", "k", { weight: 3 }, "weight"],
    ["a wait that is none", "k", { maxWait: "soon" }, "maxWait"],
    ["an unknown option", "k", { wait: 1 }, "wait"],
  ])("%s", async (_, key, options, option) => {
    const { semaphore, store: own } = bench({ limit: 2 });
    const refused = semaphore.acquire(key, options);
    await expect(refused).rejects.toThrow(InvalidOptionError);
    await expect(refused).rejects.toMatchObject({ option });
    expect(own.semaphores.size).toBe(0);
  });
});

test("memory is bounded by maxKeys: limits that nobody uses go first, then new keys are refused", async () => {
  const store = new MemoryStore({ maxKeys: 3 });
  const semaphore = new Semaphore({ limit: 1, store });
  for (let i = 0; i < 100; i++) await semaphore.setLimit(`limited:${i}`, 2);
  expect(store.semaphores.size).toBe(3);
  const permits = await Promise.all(["a", "b", "c"].map((key) => semaphore.acquire(key)));
  await expect(semaphore.acquire("d")).rejects.toThrow("the store is full");
  await permits[0]?.release();
  await semaphore.acquire("d");
  await semaphore.close();
  expect(store.semaphores.size).toBe(0);
});

test("is a class under its own name, which can be extended", async () => {
  class Uploads extends Semaphore {
    upload(): Promise<Permit> {
      return this.acquire("uploads");
    }
  }
  expect(Semaphore.name).toBe("Semaphore");
  expect(inspect(new Semaphore({ limit: 1 }))).toMatch(/^Semaphore \{/);
  const uploads = new Uploads({ limit: 1 });
  expect(inspect(uploads)).toMatch(/^Uploads \{/);
  expect(uploads).toBeInstanceOf(Semaphore);
  await (await uploads.upload()).release();
  await uploads.close();
});
