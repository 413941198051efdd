/** A RemoteStore over a store in memory: what goes over the wire, in which order, and how it ends. */
import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { VERBS } from "../../src/algorithms/decide.js";
import { ruleOf } from "../../src/algorithms/rule.js";
import {
  consumeAtomic,
  CrossSlotError,
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  RateLimiter,
  Semaphore,
  slidingLog,
  type Store,
  type StoreCall,
  StoreTimeoutError,
  StoreUnavailableError,
  tokenBucket,
} from "../../src/index.js";
import { PolicySet, PublishedPolicies } from "../../src/policies/index.js";
import { readReports, report } from "../../src/report/index.js";
import type { RemoteStore, RemoteStoreOptions } from "../../src/remote/index.js";
import type { Outcome } from "../../src/stores/store.js";
import { ManualClock } from "../../src/testing/index.js";
import { Player, traces } from "../semaphore/traces.js";
import { eventually } from "../support/eventually.js";
import { HeldStore } from "../support/held-store.js";
import { runs } from "../support/runs.js";
import { inLine } from "../support/semaphores.js";
import { startStoreService, type StoreService } from "../support/store-service.js";

const policy = tokenBucket({ limit: 10, period: "1h" });
const common = { timeout: "60s", onStoreFailure: "throw", denyCache: false } as const;

let service: StoreService;
beforeAll(async () => {
  service = await startStoreService();
});
afterAll(() => service.close());

function remoteOn(store: Store, options: Omit<RemoteStoreOptions, "url"> = {}): RemoteStore {
  const remote = service.remote(store, options);
  onTestFinished(() => remote.close());
  return remote;
}

const call = (id: string, more: Partial<StoreCall> = {}): StoreCall => {
  const rule = ruleOf(policy);
  return {
    verb: VERBS.consume,
    debits: [{ name: "p", rule, keyspace: { name: "n:p~t" }, id, cost: 1000 }],
    blockUs: 0,
    maxWaitUs: 0,
    ...more,
  };
};

const submitted = (store: Store, asked: StoreCall): Promise<Outcome> =>
  new Promise((resolve) => {
    store.submit(asked, resolve);
  });

/** All that an error has to say for itself. */
function shown(error: Outcome | undefined): unknown {
  if (!(error instanceof Error)) return error;
  return [String(error), Object.entries(error)];
}

describe("calls", () => {
  test("of one tick go in one request, and are answered as the store would", async () => {
    const clock = new ManualClock();
    const remote = remoteOn(new MemoryStore({ clock }));
    const direct = new MemoryStore({ clock });
    const ask = (store: Store, identity: "plain"): Promise<unknown[]> => {
      const limiter = new RateLimiter({ ...common, policy, store, identity });
      const six = Array.from({ length: 60 }, (_, i) => limiter.consume(`k${i % 5}`, { cost: 1.5 }));
      return Promise.all([
        ...six,
        limiter.peek("k1"),
        limiter.refund("k1", 2),
        limiter.reset("k2"),
      ]);
    };
    const before = service.requests();
    const answers = await ask(remote, "plain");
    expect(service.requests() - before).toBe(1);
    expect(answers).toEqual(await ask(direct, "plain"));
  });

  test("a refund with a nonce comes back once, also when both are in one request", async () => {
    const clock = new ManualClock();
    const rules = new PolicySet({
      store: remoteOn(new MemoryStore({ clock })),
      source: {
        rules: [
          {
            name: "api",
            key: ["user"],
            policy: { algorithm: "gcra", limit: 9, period: "1h", burst: 9 },
          },
        ],
      },
    });
    onTestFinished(() => rules.close());
    const entries = { user: "ann" };
    await rules.consume({ entries, cost: 6 });
    const back = { entries, cost: 2, nonce: "n-1" };
    const refunds = await Promise.all(
      [back, back, { ...back, nonce: "n-2" }].map((each) => rules.giveBack(each)),
    );
    expect(refunds.map(([refund]) => refund?.refunded)).toEqual([2, 0, 2]);
    expect((await rules.giveBack(back))[0]?.refunded).toBe(0);
  });

  test("on one key are decided in their order, whatever is under way", async () => {
    const remote = remoteOn(new MemoryStore());
    const left: number[] = [];
    const limiter = new RateLimiter({
      ...common,
      store: remote,
      policy: fixedWindow({ limit: 3000, window: "1h", align: "first" }),
    });
    const asked: Promise<unknown>[] = [];
    for (let i = 0; i < 3000; i++) {
      asked.push(limiter.consume("k").then(({ remaining }) => left.push(remaining)));
      if (i % 97 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(asked);
    expect(left).toEqual(Array.from({ length: 3000 }, (_, i) => 2999 - i));
  });

  test("that are more than a request takes go in several, in their order", async () => {
    const remote = remoteOn(new MemoryStore(), { maxBodyBytes: 4096 });
    const sizes: number[] = [];
    remote.events.on("batch", ({ size }) => sizes.push(size));
    const ids = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(200, "x"));
    const outcomes = await Promise.all(ids.map((id) => submitted(remote, call(id))));
    expect(outcomes.every((outcome) => !(outcome instanceof Error))).toBe(true);
    expect(sizes.length).toBeGreaterThan(20);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(100);
  });

  test("keep exact numbers, however large, and any text", async () => {
    const clock = new ManualClock(2 ** 52 / 1e3);
    const remote = remoteOn(new MemoryStore({ clock }));
    const direct = new MemoryStore({ clock });
    const large = tokenBucket({ limit: 1e9, period: "366d" });
    const rule = ruleOf(large);
    for (const [i, id] of ["\u0000", "😀é", '"\\\n', "x".repeat(8000)].entries()) {
      const debits = (store: Store): StoreCall["debits"] => {
        const keyspace = store.open("n:p~t", rule.kernel);
        return [{ name: "p", rule, keyspace, id, cost: 999_999_999_999 - i }];
      };
      const over = await submitted(remote, call(id, { debits: debits(remote) }));
      const own = (await submitted(direct, call(id, { debits: debits(direct) }))) as object;
      expect(own).toMatchObject(over);
      expect(over).toMatchObject({ nowUs: 2 ** 52, granted: 999_999_999_999 - i });
    }
  });

  test("fail one by one, with the errors of the store", async () => {
    const held = new HeldStore();
    const remote = remoteOn(held);
    const errors = [
      new StoreUnavailableError("WRONGTYPE", { ofKey: true, cause: new Error("WRONGTYPE x") }),
      new StoreUnavailableError("busy", { busy: true }),
      new StoreUnavailableError("full", { code: "STORE_FULL", ofKey: true }),
      new StoreTimeoutError(12, { sent: false }),
      new CrossSlotError(),
      new InvalidOptionError("policy.limit", 3, "something else"),
      new Error("OOM no more"),
    ];
    const asked = [
      ...errors.map((_, i) => submitted(remote, call(`${i}`))),
      submitted(remote, call("k")),
    ];
    await eventually(() => expect(held.held).toHaveLength(8));
    for (const { call: one, settle } of held.held) settle(errors[Number(one.debits[0]?.id)]);
    const outcomes = await Promise.all(asked);
    outcomes.slice(0, 6).forEach((outcome, i) => {
      const error = errors[i] as Error;
      expect(outcome).toBeInstanceOf(error.constructor);
      expect(shown(outcome)).toEqual(shown(error));
    });
    expect((outcomes[0] as Error).cause).toEqual(new Error("WRONGTYPE x"));
    expect(outcomes[6]).toMatchObject({ message: "the store failed: OOM no more" });
    expect(outcomes[7]).toMatchObject({ granted: 1000 });
  });

  test("about a policy that the service does not know, or a name of another algorithm, throw", async () => {
    const remote = remoteOn(new MemoryStore());
    const odd = { ...ruleOf(policy), policy: { algorithm: "newer", name: "p" } as never };
    const [debit] = call("k").debits;
    const newer = await submitted(
      remote,
      call("k", { debits: [{ ...debit, rule: odd } as never] }),
    );
    expect(newer).toBeInstanceOf(InvalidOptionError);
    expect(newer).toMatchObject({ option: "policy.algorithm", value: "newer" });
    await submitted(remote, call("k"));
    const log = ruleOf(slidingLog({ limit: 3, window: "1s" }));
    const other = await submitted(
      remote,
      call("k", { debits: [{ ...debit, rule: log } as never] }),
    );
    expect(other).toMatchObject({ code: "INVALID_OPTION", option: "policy.name" });
  });

  test("of one tick that differ in more than their ids keep what they have", async () => {
    const remote = remoteOn(new MemoryStore({ clock: new ManualClock() }));
    const limiter = new RateLimiter({ ...common, policy, store: remote });
    const before = service.requests();
    await Promise.all([
      limiter.block("a", "1s"),
      limiter.block("b", "2s"),
      limiter.block("c", "2s"),
    ]);
    const costs = await Promise.all(
      [1, 2, 2, 3].map((cost, i) => limiter.consume(`${i}`, { cost })),
    );
    const waits = await Promise.all([
      ...["a", "b", "c"].map((key) => limiter.reserve(key, { maxWait: 0 })),
      limiter.reserve("d", { maxWait: "1h" }),
    ]);
    expect(service.requests() - before).toBe(3);
    expect(costs.map(({ remaining }) => remaining)).toEqual([9, 8, 8, 7]);
    expect(waits.map(({ decision }) => decision.retryAfterMs)).toEqual([1000, 2000, 2000, 0]);
  });

  test("that nobody waits for any more are not sent", async () => {
    const held = new HeldStore();
    const remote = remoteOn(held);
    const first = submitted(remote, call("a"));
    await eventually(() => expect(held.held).toHaveLength(1));
    const gone = call("b");
    const second = submitted(remote, gone);
    gone.abandoned = true;
    const third = submitted(remote, call("c"));
    held.settleAll();
    await first;
    await eventually(() => expect(held.held).toHaveLength(1));
    held.settleAll();
    expect(await second).toMatchObject({ code: "STORE_UNAVAILABLE" });
    expect(gone.handOver).toBeUndefined();
    expect(await third).toMatchObject({ granted: 1000 });
  });

  test("over several keys and stores of limiters are one decision", async () => {
    const store = remoteOn(new MemoryStore());
    const one = new RateLimiter({ ...common, namespace: "one", policy, store });
    const two = new RateLimiter({ ...common, namespace: "two", policy, store });
    const both = [
      { limiter: one, key: "a", cost: 6 },
      { limiter: two, key: "b", cost: 6 },
    ];
    expect((await consumeAtomic(both)).allowed).toBe(true);
    expect((await consumeAtomic(both)).allowed).toBe(false);
    expect((await two.peek("b")).remaining).toBe(4);
  });
});

describe("semaphores", () => {
  test("answer on any trace as those of the store", async () => {
    const property = fc.asyncProperty(traces(), async (steps) => {
      const clock = new ManualClock();
      const remote = service.remote(new MemoryStore({ clock }), { clock });
      const direct = new MemoryStore({ clock });
      const player = new Player(clock.nowUs(), "twin.");
      const key = { keyspace: "n:semaphore", id: "k" };
      for (const step of steps) {
        const command = player.commandOf(step);
        clock.set(player.nowUs);
        const expected = direct.semaphores.executeSync(key, command);
        expect(await remote.semaphores.execute(key, command, 0)).toEqual(expected);
        player.learn(command, expected);
      }
      await remote.close();
    });
    await fc.assert(property, { numRuns: runs(40, 10) });
  });

  test("serve who waits in the order of the line, over processes, and notify each", async () => {
    const store = new MemoryStore();
    const remotes = [remoteOn(store), remoteOn(store), remoteOn(store)];
    const semaphores = remotes.map((remote) => {
      const semaphore = new Semaphore({ limit: 1, timeout: "60s", store: remote });
      onTestFinished(() => semaphore.close());
      return semaphore;
    });
    const first = semaphores[0] as Semaphore;
    const permit = await first.acquire("k");
    const order: number[] = [];
    const served: Promise<void>[] = [];
    for (let i = 0; i < 9; i++) {
      const semaphore = semaphores[i % 3] as Semaphore;
      served.push(semaphore.withPermit("k", () => void order.push(i)));
      await inLine(semaphore, i + 1);
    }
    await permit.release();
    await Promise.all(served);
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("of a service that notifies do not ask meanwhile", async () => {
    const store = new MemoryStore();
    const semaphore = new Semaphore({ limit: 1, timeout: "60s", store: remoteOn(store) });
    onTestFinished(() => semaphore.close());
    const executed: number[] = [];
    const execute = store.semaphores.executeSync.bind(store.semaphores);
    store.semaphores.executeSync = (key, command) => {
      executed.push(command.verb);
      return execute(key, command);
    };
    const round = async (): Promise<number> => {
      const permit = await semaphore.acquire("k");
      const waiting = semaphore.acquire("k");
      await inLine(semaphore, 1);
      const before = executed.length;
      void permit.release();
      await (await waiting).release();
      return executed.length - before;
    };
    // The release, the confirmation unless it comes to nothing before, the other release.
    await eventually(async () => expect(await round()).toBeLessThanOrEqual(3));
  });
});

describe("what a store has besides", () => {
  test("overrides are known to all processes", async () => {
    const store = new MemoryStore();
    const limiters = [remoteOn(store), remoteOn(store)].map((remote) => {
      const many = tokenBucket({ limit: 1e6, period: "1h" });
      const limiter = new RateLimiter({ ...common, policy: many, store: remote, overrides: true });
      onTestFinished(() => limiter.close());
      return limiter;
    });
    const [one, other] = limiters as unknown as [RateLimiter, RateLimiter];
    await one.override("k", "deny");
    await eventually(async () => expect((await other.consume("k")).allowed).toBe(false));
    await one.override("k", undefined);
    await eventually(async () => expect((await other.consume("k")).allowed).toBe(true));
  });

  test("overrides end, are counted, and change their version", async () => {
    const clock = new ManualClock();
    const { overrides } = remoteOn(new MemoryStore({ clock }), { clock });
    const write = (id: string, text: string | undefined, untilMs?: number): Promise<boolean> =>
      overrides.write("n", { id, text, untilMs, most: 2 });
    expect(await overrides.read("n", "")).toEqual({
      version: "",
      nowMs: clock.nowUs() / 1e3,
      texts: undefined,
    });
    expect([await write("a", "1", clock.nowUs() / 1e3 + 5), await write("b", "2")]).toEqual([
      true,
      true,
    ]);
    expect([await write("c", "3"), await write("b", "4")]).toEqual([false, true]);
    const { version, texts } = await overrides.read("n", "");
    expect(texts).toEqual(
      new Map([
        ["a", { text: "1", untilMs: clock.nowUs() / 1e3 + 5 }],
        ["b", { text: "4", untilMs: undefined }],
      ]),
    );
    expect((await overrides.read("n", version)).texts).toBeUndefined();
    clock.advance(5);
    expect([await write("c", "3"), await write("b", undefined)]).toEqual([true, true]);
    expect([...((await overrides.read("n", version)).texts?.keys() ?? [])]).toEqual(["c"]);
  });

  test("reports of all processes are one", async () => {
    const store = new MemoryStore();
    for (const remote of [remoteOn(store), remoteOn(store)]) {
      const limiter = new RateLimiter({ ...common, policy, store: remote });
      const reporter = report({ store: remote, limiters: [limiter] });
      for (let i = 0; i < 8; i++) await limiter.consume("k");
      await reporter.end();
    }
    const { limiters } = await readReports({ store: remoteOn(store) });
    expect(limiters).toMatchObject([{ asked: 16, denied: 6 }]);
  });

  test("a set follows what was published at another process, by notice", async () => {
    const store = new MemoryStore();
    const name = `p-${randomUUID()}`;
    const source = new PublishedPolicies({ store: remoteOn(store), name });
    const editor = new PublishedPolicies({ store: remoteOn(store), name });
    const api = (limit: number): object => ({
      rules: [{ name: "api", key: ["user"], policy: { algorithm: "gcra", limit, period: "1h" } }],
    });
    expect(await editor.publish(api(1) as never, { expected: 0, by: "ana" })).toBe(1);
    const set = await PolicySet.open({ source });
    onTestFinished(() => set.close());
    expect(await editor.publish(api(2) as never, { expected: 1, comment: "é\n" })).toBe(2);
    await eventually(() => expect(set.status().version).toBe(2));
    expect(await source.history()).toMatchObject([
      { version: 2, comment: "é\n", by: undefined },
      { version: 1, by: "ana", comment: undefined },
    ]);
    await expect(editor.publish(api(3) as never, { expected: 1 })).rejects.toMatchObject({
      code: "POLICY_CONFLICT",
    });
    expect(await editor.read(7)).toBeUndefined();
  });
});
