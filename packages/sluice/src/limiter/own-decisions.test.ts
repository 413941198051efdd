/** A decision belongs to its caller: what others do to theirs changes nothing in it, and what it does changes nothing elsewhere. */
import { describe, expect, test } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import {
  consumeAtomic,
  type Decision,
  fixedWindow,
  type Hooks,
  MemoryStore,
  type PolicyVerdict,
  RateLimiter,
  type Store,
  tokenBucket,
} from "../index.js";
import { ManualClock } from "../testing/index.js";

const policy = [
  tokenBucket({ name: "burst", limit: 1, period: "1h" }),
  fixedWindow({ name: "daily", limit: 5, window: "1d" }),
];

/** Makes nonsense of a decision, of its verdicts too. */
function spoil(decision: Decision): void {
  const spoilt: Partial<Record<keyof Decision, unknown>> = decision;
  for (const verdict of decision.policies ?? []) {
    Object.assign(verdict, { allowed: "spoilt", limit: -5, retryAfterMs: -5 });
  }
  (decision.policies as PolicyVerdict[] | undefined)?.splice(0, 1);
  Object.assign(spoilt, {
    allowed: !decision.allowed,
    limit: -5,
    retryAfterMs: -5,
    reason: "spoilt",
  });
}

const spoiling: Hooks = {
  onAllowed: ({ decision }) => spoil(decision),
  onDenied: ({ decision }) => spoil(decision),
  onNearLimit: ({ decision }) => spoil(decision),
  onError: ({ decision }) => decision && spoil(decision),
};

const stores: Record<string, () => Store> = {
  memory: () => new MemoryStore({ clock: new ManualClock() }),
  outside: () => new OutsideStore(),
  "outside, failing": () => {
    const store = new OutsideStore();
    store.behaviour = "fails";
    return store;
  },
};

/** Everything that answers with a decision. */
const answers: Record<string, (limiter: RateLimiter) => Promise<Decision>> = {
  consume: (limiter) => limiter.consume("k"),
  consumeUpTo: (limiter) => limiter.consumeUpTo("k", { cost: 2 }),
  consumeMany: async (limiter) => (await limiter.consumeMany([{ key: "k" }]))[0] as Decision,
  peek: (limiter) => limiter.peek("k"),
  refund: (limiter) => limiter.refund("k", 1),
  penalize: (limiter) => limiter.penalize("k", 1),
  reserve: async (limiter) => (await limiter.reserve("k", { maxWait: 0 })).decision,
  consumeAtomic: async (limiter) =>
    (await consumeAtomic([{ limiter, key: "k" }])).decisions[0] as Decision,
};

/** What is answered without the store goes by the machine's clock: of times only whether there is one. */
const timeless = (decision: Decision): object =>
  JSON.parse(JSON.stringify(decision), (name, value: unknown) =>
    /(?:AfterMs|AtUs)$/.test(name) ? Math.sign(Number(value)) : value,
  ) as object;

describe.each(Object.entries(stores))("on a store in %s", (_, makeStore) => {
  test.each(Object.entries(answers))("no hook changes the answer of %s", async (__, answer) => {
    // Without the deny cache, which counts down by the machine's clock.
    const options = { policy, denyCache: false } as const;
    const one = new RateLimiter({ ...options, store: makeStore() });
    const other = new RateLimiter({ ...options, store: makeStore(), hooks: spoiling });
    other.events.on("decision", ({ decision }) => spoil(decision));
    for (let call = 0; call < 3; call += 1) {
      expect(timeless(await answer(other))).toEqual(timeless(await answer(one)));
    }
  });

  test("no listener or hook sees what another one did", async () => {
    const seen: (readonly [string, unknown])[] = [];
    const see = (who: string) => (event: { readonly decision?: Decision | undefined }) => {
      if (event.decision === undefined) return;
      seen.push([who, JSON.stringify(timeless(event.decision))]);
      spoil(event.decision);
    };
    const hooks = { onAllowed: see("allowed"), onNearLimit: see("near"), onError: see("error") };
    const limiter = new RateLimiter({ policy, store: makeStore(), hooks });
    limiter.events.on("decision", see("listener"));
    limiter.events.on("failure", see("failure"));
    const decision = JSON.stringify(timeless(await limiter.consume("k")));
    expect(seen.length).toBeGreaterThanOrEqual(3);
    for (const [who, what] of seen) expect([who, what]).toEqual([who, decision]);
  });
});

test("what a caller does to a denial is not what the deny cache tells the others", async () => {
  const limiter = new RateLimiter({ policy, store: new OutsideStore() });
  await limiter.consume("k");
  const first = await limiter.consume("k");
  const { limit, reason, policies } = structuredClone(first);
  expect(first).toMatchObject({ allowed: false, source: "store" });
  spoil(first);
  for (let call = 0; call < 2; call += 1) {
    const again = await limiter.consume("k");
    expect(again).toMatchObject({ allowed: false, source: "deny-cache", limit, reason });
    expect(again.policies?.map((verdict) => [verdict.policy, verdict.limit])).toEqual(
      policies?.map((verdict) => [verdict.policy, verdict.limit]),
    );
    spoil(again);
  }
});

test("requests are read once: a caller who changes them meanwhile changes nothing", async () => {
  const limiter = new RateLimiter({ policy, store: new OutsideStore() });
  const requests = ["a", "b", "c"].map((key) => ({ limiter, key, cost: 1 }));
  const answer = consumeAtomic(requests, { atomic: false });
  requests[1] = { limiter, key: "x", cost: 1 };
  (requests[2] as { cost: number }).cost = -1;
  requests.push({ limiter, key: "y", cost: 1 });
  expect((await answer).decisions.map(({ allowed }) => allowed)).toEqual([true, true, true]);
  expect((await limiter.peek("x")).allowed).toBe(true);
  expect((await limiter.peek("b")).allowed).toBe(false);
});
