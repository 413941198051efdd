/** One decision over several limiters whose store is away. */
import { expect, test } from "vitest";
import { OutsideStore } from "../../../test/support/outside-store.js";
import { stopTime } from "../../../test/support/model-time.js";
import { consumeAtomic, RateLimiter, type RateLimiterOptions, tokenBucket } from "../../index.js";

function setUp() {
  const { clock, pass } = stopTime();
  const store = new OutsideStore(clock);
  const made = (name: string, limit: number, options: Partial<RateLimiterOptions> = {}) => {
    const policy = tokenBucket({ name, limit, period: "1h" });
    return new RateLimiter({ policy, breaker: false, ...options, store });
  };
  return { store, made, pass };
}

const left = async (limiter: RateLimiter, key = "k"): Promise<number> =>
  (await limiter.peek(key)).remaining;

test("those who decide locally do so together, all or nothing", async () => {
  const { store, made } = setUp();
  const [user, team] = [made("user", 5), made("team", 1)];
  store.behaviour = "fails";
  const both = [
    { limiter: user, key: "k" },
    { limiter: team, key: "k" },
  ];
  expect(await consumeAtomic(both)).toMatchObject({
    allowed: true,
    decisions: [
      { source: "local", remaining: 4 },
      { source: "local", remaining: 0 },
    ],
  });
  expect(await consumeAtomic(both)).toMatchObject({
    allowed: false,
    decisions: [{ allowed: true }, { allowed: false, policy: "team" }],
  });
  expect(await left(user)).toBe(4);
  // Costs of one key add up.
  const twice = await consumeAtomic([
    { limiter: user, key: "k", cost: 2 },
    { limiter: user, key: "k", cost: 3 },
  ]);
  expect(twice.allowed).toBe(false);
  expect(await left(user)).toBe(4);
});

test("what the store denied before is denied to all", async () => {
  const { store, made, pass } = setUp();
  const [user, team] = [made("user", 5), made("team", 1)];
  await team.consume("k");
  expect((await team.consume("k")).allowed).toBe(false);
  // Longer than the deny cache repeats a denial.
  pass(1100);
  store.behaviour = "fails";
  expect(
    await consumeAtomic([
      { limiter: user, key: "k" },
      { limiter: team, key: "k" },
    ]),
  ).toMatchObject({ allowed: false, decisions: [{ source: "local" }, { source: "deny-cache" }] });
  expect(await left(user)).toBe(5);
});

test("one that is closed denies, and nothing is charged; one that is open has no vote", async () => {
  const { store, made } = setUp();
  const user = made("user", 5);
  const closed = made("closed", 5, { onStoreFailure: "closed" });
  const open = made("open", 5, { onStoreFailure: "open" });
  store.behaviour = "fails";
  const ofUser = { limiter: user, key: "k" };
  expect(await consumeAtomic([ofUser, { limiter: closed, key: "k" }])).toMatchObject({
    allowed: false,
    decisions: [{ source: "local" }, { source: "fail-closed" }],
  });
  expect(await left(user)).toBe(5);
  expect(await consumeAtomic([ofUser, { limiter: open, key: "k" }])).toMatchObject({
    allowed: true,
    decisions: [{ source: "local" }, { source: "fail-open" }],
  });
  expect(await left(user)).toBe(4);
});

test("one that throws rejects, and nothing is charged", async () => {
  const { store, made } = setUp();
  const user = made("user", 5);
  const loud = made("loud", 5, { onStoreFailure: "throw" });
  store.behaviour = "fails";
  await expect(
    consumeAtomic([
      { limiter: user, key: "k" },
      { limiter: loud, key: "k" },
    ]),
  ).rejects.toThrow("connection lost");
  expect(await left(user)).toBe(5);
});

test("a fallback is charged only where the others allow, and they only where it does", async () => {
  const { store, made } = setUp();
  const policy = tokenBucket({ limit: 1, period: "1h" });
  const fallback = new RateLimiter({ policy });
  const user = made("user", 2);
  const other = made("other", 9, { onStoreFailure: { fallback } });
  store.behaviour = "fails";
  const both = [
    { limiter: user, key: "k" },
    { limiter: other, key: "k" },
  ];
  expect(
    (await consumeAtomic([both[0] as (typeof both)[0], { limiter: user, key: "l", cost: 3 }]))
      .allowed,
  ).toBe(false);
  expect((await consumeAtomic(both)).allowed).toBe(true);
  expect((await consumeAtomic(both)).allowed).toBe(false);
  expect(await left(user)).toBe(1);
});

test("a denial blocks here, where the limiter says so; events and hooks hear of it once", async () => {
  const { store, made } = setUp();
  const heard: string[] = [];
  const hooks = {
    onDenied: ({ decision }: { decision: { source: string } }) => heard.push(decision.source),
    onError: () => heard.push("error"),
  };
  const user = made("user", 1, { blockFor: "2h", hooks });
  await user.peek("other");
  store.behaviour = "fails";
  await consumeAtomic([{ limiter: user, key: "k" }]);
  await consumeAtomic([{ limiter: user, key: "k" }]);
  expect(await user.peek("k")).toMatchObject({ reason: "blocked", retryAfterMs: 7200e3 });
  expect(heard).toEqual(["error", "local"]);
});

test("a shadow decides for itself", async () => {
  const { store, made } = setUp();
  const [user, shadow] = [made("user", 5), made("shadow", 1, { enforce: false })];
  store.behaviour = "fails";
  const both = [
    { limiter: user, key: "k" },
    { limiter: shadow, key: "k" },
  ];
  await consumeAtomic(both);
  expect(await consumeAtomic(both)).toMatchObject({
    allowed: true,
    decisions: [{ remaining: 3 }, { allowed: true, reason: "quota", source: "local" }],
  });
});

test("atomic: false gives back where units were taken", async () => {
  const { store, made } = setUp();
  const [user, team] = [made("user", 5), made("team", 1)];
  store.behaviour = "fails";
  await team.consume("k");
  const requests = [
    { limiter: user, key: "k" },
    { limiter: team, key: "k" },
  ];
  expect((await consumeAtomic(requests, { atomic: false })).allowed).toBe(false);
  expect(await left(user)).toBe(5);
});
