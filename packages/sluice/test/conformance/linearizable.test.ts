/**
 * Concurrent calls through Redis are linearizable: there is an order of them, true to who came before whom,
 * in which the pure kernels give everybody the very decision that he got.
 */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VERBS } from "../../src/algorithms/decide.js";
import { ruleOf } from "../../src/algorithms/rule.js";
import { fixedWindow, RateLimiter, slidingLog, type Store } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import type { StoreResult, Done, StoreCall, Debit } from "../../src/stores/store.js";
import { ManualClock, PureStore } from "../../src/testing/index.js";
import { clients, type TestClient } from "../support/clients.js";
import { type Happened, type Plan, POISONED, type Stage } from "../support/concurrent.js";
import { runs } from "../support/runs.js";
import { linePlans, plans } from "./concurrent-plans.js";
import { explain } from "./explain.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const RUNS = runs(200);

const KINDS = ["ioredis", "node-redis"] as const;
const connections = new Map<string, TestClient>();
/** Writes behind the limiters' backs. */
let outsider: TestClient;
beforeAll(async () => {
  for (const kind of KINDS) connections.set(kind, await clients[kind]());
  outsider = await clients.ioredis();
});
afterAll(async () => {
  for (const { close } of [...connections.values(), outsider]) await close();
});

const connection = (kind: string): TestClient => connections.get(kind) as TestClient;

let plays = 0;
const ownNamespace = (): string => `linearizable.${process.pid}.${seed}.${++plays}`;

const expectLinearizable = (
  plan: Plan,
  stage: Omit<Stage, "namespace">,
): Promise<readonly Happened[]> => explain(plan, { ...stage, namespace: ownNamespace() });

/** Batches of all sizes: of one, of a few, and as large as they come. */
const batching = fc.record({
  maxBatch: fc.constantFrom(1, 3, 256),
  maxInFlight: fc.constantFrom(1, 2, 3),
});

describe.each(KINDS)(`through %s (SLUICE_SEED=${seed})`, (kind) => {
  test("concurrent calls have an order that explains every decision", async () => {
    const run = fc.asyncProperty(plans(), batching, async (plan, options) => {
      const clock = new ManualClock();
      const store = new RedisStore({ client: connection(kind).client, clock, ...options });
      await expectLinearizable(plan, { store, clock });
    });
    await fc.assert(run, { seed, numRuns: RUNS });
  });

  test("and on the server's own clock", async () => {
    const run = fc.asyncProperty(plans(), batching, async (plan, options) => {
      const store = new RedisStore({ client: connection(kind).client, ...options });
      await expectLinearizable(plan, { store });
    });
    await fc.assert(run, { seed, numRuns: RUNS });
  });

  test("promised starts, and what is given back of them, have an order too", async () => {
    const seen = { waits: 0, refusals: 0, gifts: 0, keepings: 0 };
    const run = fc.asyncProperty(linePlans(), batching, async (plan, options) => {
      const clock = new ManualClock();
      const store = new RedisStore({ client: connection(kind).client, clock, ...options });
      const history = await expectLinearizable(plan, { store, clock });
      for (const { again, outcome } of history) {
        if (typeof again === "function") continue;
        const { receipt, granted } = outcome as StoreResult;
        if (again.verb === VERBS.cancel) seen[granted > 0 ? "gifts" : "keepings"] += 1;
        if (again.verb !== VERBS.reserve) continue;
        if (receipt === undefined) seen.refusals += 1;
        else if (receipt.delayUs > 0) seen.waits += 1;
      }
    });
    // Gifts are few: one in six or seven plans has one.
    const count = runs(200, 100);
    await fc.assert(run, { seed, numRuns: count });
    expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(count / 40);
  });

  test("a key that is overwritten meanwhile fails its own calls and no others", async () => {
    let failed = 0;
    const values = fc.constantFrom(...Object.values(SOMETHING_ELSE));
    const run = fc.asyncProperty(plans(["poison"]), values, async (plan, write) => {
      const clock = new ManualClock();
      const store = new RedisStore({ client: connection(kind).client, clock });
      const history = await expectLinearizable(plan, { store, clock, poison: write });
      failed += history.filter(({ outcome }) => isDeepStrictEqual(outcome, POISONED)).length;
    });
    await fc.assert(run, { seed, numRuns: RUNS });
    expect(failed).toBeGreaterThan(0);
  });

  test("keys that hold something else fail their own calls of a large batch, and stay as they are", async () => {
    const namespace = ownNamespace();
    const store = new RedisStore({ client: connection(kind).client });
    const policy = [
      fixedWindow({ name: "count", limit: 9, window: "365d", align: "first" }),
      slidingLog({ name: "log", limit: 9, window: "365d" }),
    ];
    const options = { policy, store, namespace, identity: "plain", timeout: "30s" } as const;
    await using limiter = new RateLimiter({
      ...options,
      onStoreFailure: "throw",
      denyCache: false,
    });
    const poisons = Object.values(SOMETHING_ELSE).flatMap((write) =>
      policy.map((own) => ({
        keyspace: `${namespace}:${own.name}~${ruleOf(own).kernel.tag}`,
        write,
      })),
    );
    for (const [i, { keyspace, write }] of poisons.entries()) await write(`${keyspace}:{bad ${i}}`);
    const held = async (): Promise<unknown[]> =>
      Promise.all(
        poisons.map(({ keyspace }, i) => outsider.command("TYPE", `${keyspace}:{bad ${i}}`)),
      );
    const before = await held();

    const good = Array.from({ length: 100 }, (_, i) => `good ${i}`);
    const keys = good.flatMap((key, i) => (i < poisons.length ? [`bad ${i}`, key] : [key]));
    const outcomes = await Promise.allSettled(
      [...keys, ...keys].map(async (key) => (await limiter.consume(key)).remaining),
    );
    outcomes.forEach((outcome, i) => {
      const key = keys[i % keys.length];
      if (key?.startsWith("good")) {
        expect(outcome).toEqual({ status: "fulfilled", value: i < keys.length ? 8 : 7 });
      } else {
        const reason = expect.objectContaining({ code: "STORE_UNAVAILABLE" }) as Error;
        expect(outcome).toEqual({ status: "rejected", reason });
      }
    });
    expect(await held()).toEqual(before);
  });

  test("calls awaited one after another keep their order while others crowd the batches", async () => {
    const limit = 100;
    const store = new RedisStore({ client: connection(kind).client });
    const policy = fixedWindow({ limit, window: "365d", align: "first" });
    await using limiter = new RateLimiter({
      policy,
      store,
      namespace: ownNamespace(),
      timeout: "30s",
      onStoreFailure: "throw",
      denyCache: false,
    });
    const done = new AbortController();
    const crowd = Array.from({ length: 500 }, async (_, i) => {
      for (let left = limit - 1; !done.signal.aborted && left >= 0; left--) {
        expect((await limiter.consume(`crowd ${i}`)).remaining).toBe(left);
      }
    });
    const remaining: number[] = [];
    for (let i = 0; i < 20; i++) {
      remaining.push((await limiter.consume("k")).remaining);
      remaining.push((await limiter.penalize("k", 3)).remaining);
      remaining.push((await limiter.peek("k")).remaining);
      remaining.push((await limiter.refund("k", 2)).remaining);
    }
    done.abort();
    await Promise.all(crowd);
    const rounds = Array.from({ length: 20 }, (_, i) => limit - 2 * i);
    expect(remaining).toEqual(rounds.flatMap((left) => [left - 1, left - 4, left - 4, left - 2]));
  });
});

/** In one go, so that no limiter finds the key gone in between. */
async function overwrite(key: string, ...command: readonly string[]): Promise<void> {
  const script = "redis.call('DEL', KEYS[1]); return redis.call(unpack(ARGV))";
  await outsider.command("EVAL", script, "1", key, ...command);
}

/** What may be found under a key that Sluice did not write. */
const SOMETHING_ELSE: Readonly<Record<string, (key: string) => Promise<void>>> = {
  "a list": (key) => overwrite(key, "LPUSH", key, "x"),
  "a sorted set": (key) => overwrite(key, "ZADD", key, "1", "x"),
  "a hash": (key) => overwrite(key, "HSET", key, "m", "x"),
  "a string of a format that nobody knows": (key) => overwrite(key, "SET", key, "\u007fx"),
};

/** Batches of a tick decided by the pure kernels, and wrong. */
const FAULTS: Readonly<Record<string, (pure: PureStore, calls: readonly Submitted[]) => void>> = {
  "forgets what half of the calls did": (pure, calls) => {
    for (const [i, [call, done]] of calls.entries()) {
      const before = pure.snapshot();
      pure.submit(call, done);
      if (i % 2 === 1) pure.restore(before);
    }
  },
  "decides all calls of a batch from one state": (pure, calls) => {
    const before = pure.snapshot();
    for (const [call, done] of calls) {
      pure.restore(before);
      pure.submit(call, done);
    }
  },
  "does a call twice": (pure, calls) => {
    for (const [call, done] of calls) {
      pure.submit(call, () => {});
      pure.submit(call, done);
    }
  },
  "decides what came last first": (pure, calls) => {
    for (const [call, done] of calls.toReversed()) pure.submit(call, done);
  },
  "mixes up whose answer is whose": (pure, calls) => {
    const answers: Parameters<Done>[0][] = [];
    for (const [call] of calls) pure.submit(call, (answer) => answers.push(answer));
    calls.forEach(([, done], i) => {
      done(answers[(i + 1) % calls.length] as Parameters<Done>[0]);
    });
  },
};

/** The same for reservations, each wrong in what a cancel gives back. */
const LINE_FAULTS: typeof FAULTS = {
  "cancels twice": (pure, calls) => {
    for (const [call, done] of calls) {
      if (call.verb === VERBS.cancel) pure.submit(call, () => {});
      pure.submit(call, done);
    }
  },
  "gives back what later reservations count on": (pure, calls) => {
    for (const [call, done] of calls) {
      const { keyspace, id } = call.debits[0] as Debit;
      const line = pure.snapshot().get(`${keyspace.name}:{${id}}`)?.state.reservations;
      // As if this one were the last in line.
      const receipt = call.receipt && { ...call.receipt, ...(line && { sold: line.sold }) };
      pure.submit({ ...call, ...(receipt && { receipt }) }, done);
    }
  },
  "gives back what has started": (pure, calls) => {
    for (const [call, done] of calls) {
      const { keyspace, id } = call.debits[0] as Debit;
      const line = pure.snapshot().get(`${keyspace.name}:{${id}}`)?.state.reservations;
      // Of a line that is over, as if it had opened just now.
      const opened = line === undefined && { openedUs: pure.clock.nowUs(), sold: 0 };
      const receipt = call.receipt && {
        ...call.receipt,
        readyAtUs: Number.POSITIVE_INFINITY,
        ...opened,
      };
      pure.submit({ ...call, ...(receipt && { receipt }) }, done);
    }
  },
  "promises everybody the same start": (pure, calls) => {
    for (const [call, done] of calls) {
      const before = pure.snapshot();
      pure.submit(call, done);
      if (call.verb === VERBS.reserve) pure.restore(before);
    }
  },
};

type Submitted = readonly [call: StoreCall, done: Done];

/** A store that collects the calls of a turn, as one that batches does, and hands them to `decide`. */
function collecting(pure: PureStore, decide: (calls: readonly Submitted[]) => void): Store {
  let waiting: Submitted[] = [];
  return {
    external: true,
    open: (name, kernel) => pure.open(name, kernel),
    claim: () => {},
    release: () => {},
    submit: (call, done) => {
      if (waiting.push([call, done]) > 1) return;
      setImmediate(() => {
        const calls = waiting;
        waiting = [];
        decide(calls);
      });
    },
    close: async () => {},
  };
}

describe("a store in this process", () => {
  /** Whether random plans show that `decide` is wrong. */
  const isCaught = async (
    decide: (pure: PureStore, calls: readonly Submitted[]) => void,
    from = plans(),
  ): Promise<boolean> => {
    const run = fc.asyncProperty(from, async (plan) => {
      const clock = new ManualClock();
      const pure = new PureStore(clock);
      await expectLinearizable(plan, {
        clock,
        store: collecting(pure, (calls) => decide(pure, calls)),
      });
    });
    // It ends at the first that shows it: so many never fail to.
    return (await fc.check(run, { seed, numRuns: runs(200, 200), endOnFailure: true })).failed;
  };

  test("passes if it is right", async () => {
    const decideInOrder = (pure: PureStore, calls: readonly Submitted[]): void => {
      for (const [call, done] of calls) pure.submit(call, done);
    };
    expect(await isCaught(decideInOrder)).toBe(false);
    expect(await isCaught(decideInOrder, linePlans())).toBe(false);
  });

  test.each(Object.entries(FAULTS))("is caught if it %s", async (_, decide) => {
    expect(await isCaught(decide)).toBe(true);
  });

  test.each(Object.entries(LINE_FAULTS))("is caught if it %s", async (_, decide) => {
    expect(await isCaught(decide, linePlans())).toBe(true);
  });
});
