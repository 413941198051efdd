import { describe, expect, test, vi } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  type Decision,
  type DecisionEvent,
  type ErrorEvent,
  type Hooks,
  MemoryStore,
  RateLimiter,
  tokenBucket,
  unlimited,
} from "../index.js";
import { ManualClock } from "../testing/index.js";

const policy = tokenBucket({ limit: 10, period: "1h" });

function limiterWith(hooks: Hooks, enforce = true): RateLimiter<MemoryStore> {
  return new RateLimiter({
    policy,
    hooks,
    enforce,
    store: new MemoryStore({ clock: new ManualClock() }),
  });
}

/** Hooks that only write down what they are told. */
function listeners() {
  return {
    onAllowed: vi.fn<(event: DecisionEvent) => void>(),
    onDenied: vi.fn<(event: DecisionEvent) => void>(),
    onNearLimit: vi.fn<(event: DecisionEvent) => void>(),
    onError: vi.fn<(event: ErrorEvent) => void>(),
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("hooks", () => {
  test("are told the key as given, the cost and the decision", () => {
    const hooks = listeners();
    const limiter = limiterWith(hooks);
    const allowed = limiter.consumeSync("user:42", { cost: 2.5 });
    const denied = limiter.consumeSync("user:42", { cost: 9 });
    const [key, cost] = ["user:42", 2.5];
    expect(hooks.onAllowed.mock.calls).toEqual([[{ key, cost, decision: allowed }]]);
    expect(hooks.onDenied.mock.calls).toEqual([[{ key, cost: 9, decision: denied }]]);
    expect(hooks.onError).not.toHaveBeenCalled();
  });

  test("are told by every verb that asks for quota, and by no other", async () => {
    const hooks = listeners();
    const limiter = limiterWith(hooks);
    limiter.consumeSync("k");
    await limiter.consume("k");
    await limiter.consumeUpTo("k", { cost: 2 });
    await limiter.consumeMany([{ key: "k" }, { key: "k", cost: 100 }]);
    expect(hooks.onAllowed.mock.calls.map(([{ cost }]) => cost)).toEqual([1, 1, 2, 1]);
    expect(hooks.onDenied.mock.calls.map(([{ cost }]) => cost)).toEqual([100]);
    await limiter.peek("k");
    await limiter.refund("k", 1);
    await limiter.penalize("k", 50);
    await limiter.block("k", "1s");
    await limiter.unblock("k");
    await limiter.reset("k");
    expect(hooks.onAllowed).toHaveBeenCalledTimes(4);
    expect(hooks.onDenied).toHaveBeenCalledTimes(1);
  });

  test("are told what shadow mode would have denied, as a denial", () => {
    const hooks = listeners();
    const limiter = limiterWith(hooks, false);
    expect(limiter.consumeSync("k", { cost: 99 }).allowed).toBe(true);
    expect(hooks.onAllowed).not.toHaveBeenCalled();
    expect(hooks.onDenied.mock.calls[0]?.[0].decision).toMatchObject({
      allowed: false,
      reason: "too-costly",
      retryAfterMs: Number.POSITIVE_INFINITY,
    });
  });

  test("may call the limiter themselves", () => {
    const seen: number[] = [];
    const limiter: RateLimiter<MemoryStore> = limiterWith({
      onAllowed: ({ decision }) => {
        seen.push(decision.remaining);
        if (decision.remaining > 7) limiter.consumeSync("k");
      },
    });
    expect(limiter.consumeSync("k").remaining).toBe(9);
    expect(seen).toEqual([9, 8, 7]);
  });
});

describe("onNearLimit", () => {
  test("is told when a tenth of the limit or less is left after an allowed call", () => {
    const hooks = listeners();
    const limiter = limiterWith(hooks);
    limiter.consumeSync("k", { cost: 8 });
    expect(hooks.onNearLimit).not.toHaveBeenCalled();
    limiter.consumeSync("k");
    limiter.consumeSync("k");
    limiter.consumeSync("k");
    expect(hooks.onNearLimit.mock.calls.map(([{ decision }]) => decision.remaining)).toEqual([
      1, 0,
    ]);
  });

  test("is never told where there is no limit", () => {
    const hooks = listeners();
    new RateLimiter({ policy: unlimited(), hooks }).consumeSync("k");
    expect(hooks.onAllowed).toHaveBeenCalledOnce();
    expect(hooks.onNearLimit).not.toHaveBeenCalled();
  });

  test("does not get a shadowed denial", () => {
    const hooks = listeners();
    limiterWith(hooks, false).consumeSync("k", { cost: 11 });
    expect(hooks.onNearLimit).not.toHaveBeenCalled();
  });

  test("is not told when the store was not asked", async () => {
    const hooks = listeners();
    const store = new OutsideStore();
    store.behaviour = "fails";
    await new RateLimiter({ policy, store, hooks }).consume("k");
    expect(hooks.onAllowed).toHaveBeenCalledOnce();
    expect(hooks.onNearLimit).not.toHaveBeenCalled();
  });
});

describe("a hook that fails", () => {
  const boom = new Error("boom");

  test("by throwing is reported to onError, and changes nothing", () => {
    const onError = vi.fn<(event: ErrorEvent) => void>();
    const fail = (): never => {
      throw boom;
    };
    const limiter = limiterWith({ onAllowed: fail, onDenied: fail, onNearLimit: fail, onError });
    const allowed = limiter.consumeSync("k", { cost: 10 });
    const denied = limiter.consumeSync("k");
    expect([allowed.allowed, denied.allowed]).toEqual([true, false]);
    expect(onError.mock.calls.map(([event]) => event)).toEqual([
      { key: "k", cost: 10, decision: allowed, error: boom },
      { key: "k", cost: 10, decision: allowed, error: boom },
      { key: "k", cost: 1, decision: denied, error: boom },
    ]);
  });

  test("by rejecting is reported to onError", async () => {
    const onError = vi.fn<(event: ErrorEvent) => void>();
    const limiter = limiterWith({ onAllowed: () => Promise.reject(boom), onError });
    const decision = limiter.consumeSync("k");
    expect(onError).not.toHaveBeenCalled();
    await turn();
    expect(onError.mock.calls).toEqual([[{ key: "k", cost: 1, decision, error: boom }]]);
  });

  test("by rejecting in a promise of another library is reported to onError", async () => {
    const onError = vi.fn<(event: ErrorEvent) => void>();
    const thenable = {
      // oxlint-disable-next-line unicorn/no-thenable
      then: (_: unknown, reject: (reason: unknown) => void): void => {
        reject(boom);
      },
    };
    limiterWith({ onAllowed: () => thenable, onError }).consumeSync("k");
    await turn();
    expect(onError).toHaveBeenCalledOnce();
  });

  test("does not keep the other hooks from being called", () => {
    const onNearLimit = vi.fn();
    limiterWith({
      onAllowed: () => {
        throw boom;
      },
      onNearLimit,
    }).consumeSync("k", { cost: 10 });
    expect(onNearLimit).toHaveBeenCalledOnce();
  });

  test("is nobody's business where there is no onError", async () => {
    const limiter = limiterWith({
      onAllowed: () => {
        throw boom;
      },
      onNearLimit: () => Promise.reject(boom),
    });
    expect(limiter.consumeSync("k", { cost: 10 }).allowed).toBe(true);
    await turn();
  });

  test("as onError itself is swallowed, whether it throws or rejects", async () => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    for (const onError of [
      (): never => {
        throw boom;
      },
      (): Promise<never> => Promise.reject(boom),
    ]) {
      const limiter = new RateLimiter({
        policy,
        store,
        onStoreFailure: "open",
        hooks: { onError },
      });
      expect(await limiter.consume("k")).toMatchObject({ allowed: true, source: "fail-open" });
      await turn();
    }
  });

  test("never delays a decision", async () => {
    const decision: Decision = await limiterWith({
      onAllowed: () => new Promise(() => {}),
    }).consume("k");
    expect(decision.allowed).toBe(true);
  });
});

test.each([
  ["the store's", "answers"],
  ["the failure policy's", "fails"],
] as const)("hooks of reserve get %s decision, and nothing that comes after it", async (_, how) => {
  const store = new OutsideStore();
  store.behaviour = how;
  const events: DecisionEvent[] = [];
  const hooks = { onAllowed: (event: DecisionEvent) => events.push(event) };
  const limiter = new RateLimiter({ policy, hooks, store });
  const { decision } = await limiter.reserve("k");
  expect(events).toEqual([{ key: "k", cost: 1, decision }]);
});
