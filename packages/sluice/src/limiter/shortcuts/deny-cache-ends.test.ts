import { describe, expect, test } from "vitest";
import { drain, policy, type Setup, setUp } from "../../../test/support/outside-limiter.js";
import type { OutsideStore } from "../../../test/support/outside-store.js";
import { RateLimiter, tokenBucket } from "../../index.js";

describe("other options", () => {
  const wider = tokenBucket({ limit: 20, period: "10s" });

  test("of one call miss, and end what was remembered under the limiter's own", async () => {
    const { limiter, asked } = setUp();
    await drain(limiter);
    expect(await limiter.consume("k", { policy: wider })).toMatchObject({
      source: "store",
      allowed: true,
    });
    expect((await limiter.consume("k")).source).toBe("store");
    expect(asked()).toBe(4);
  });

  test("of one call are remembered as well as the limiter's own", async () => {
    const { limiter } = setUp();
    await limiter.consume("k", { cost: 20, policy: wider });
    await limiter.consume("k", { policy: wider });
    expect((await limiter.consume("k", { policy: wider })).source).toBe("deny-cache");
    // The same options in another value.
    const same = tokenBucket({ limit: 20, period: "10s" });
    expect((await limiter.consume("k", { policy: same })).source).toBe("deny-cache");
    expect((await limiter.consume("k")).source).toBe("store");
  });

  test("of one call keep a denial from being remembered that was asked for before", async () => {
    const { limiter, store, pass } = setUp();
    await limiter.consume("k", { cost: 10 });
    pass(100);
    const submit = store.submit.bind(store);
    const answer = slow(store);
    const late = limiter.consume("k", { cost: 5 });
    store.submit = submit;
    const faster = tokenBucket({ limit: 1000, period: "10s", burst: 10 });
    expect((await limiter.consume("k", { policy: faster })).allowed).toBe(true);
    answer();
    expect((await late).allowed).toBe(false);
    expect(await limiter.consume("k", { cost: 5 })).toMatchObject({ allowed: true });
  });

  test("that admit a smaller cost end the denial of a larger one", async () => {
    let limit = 10;
    const { limiter, pass } = setUp({
      policy: () => tokenBucket({ name: "plan", limit, period: "10s", burst: 10 }),
    });
    await limiter.consume("k", { cost: 10 });
    pass(100);
    expect((await limiter.consume("k", { cost: 5 })).allowed).toBe(false);
    limit = 1000;
    expect((await limiter.consume("k")).allowed).toBe(true);
    limit = 10;
    expect(await limiter.consume("k", { cost: 5 })).toMatchObject({ allowed: true });
  });

  test("that a policy function gives to the key miss", async () => {
    let limit = 10;
    const { limiter } = setUp({
      policy: () => tokenBucket({ name: "plan", limit, period: "10s" }),
    });
    await drain(limiter);
    expect((await limiter.consume("k")).source).toBe("deny-cache");
    limit = 20;
    expect(await limiter.consume("k")).toMatchObject({ source: "store", allowed: true });
    limit = 10;
    expect((await limiter.consume("k")).source).toBe("store");
  });

  test("under which another verb lets quota drain end it too", async () => {
    let period = "10s";
    const { limiter, pass } = setUp({
      policy: () => tokenBucket({ name: "plan", limit: 10, period }),
    });
    await drain(limiter, "k", 10);
    pass(100);
    period = "1s";
    await limiter.consumeUpTo("k", { cost: 1 });
    period = "10s";
    expect((await limiter.consume("k", { cost: 10 })).source).toBe("store");
  });
});

test("a start that is given back ends the denials of its key", async () => {
  const { limiter } = setUp();
  await limiter.consume("k", { cost: 10 });
  const reservation = await limiter.reserve("k", { cost: 5 });
  expect((await limiter.consume("k")).allowed).toBe(false);
  expect((await limiter.consume("k")).source).toBe("deny-cache");
  expect(reservation.allowed && (await reservation.cancel())).toBe(true);
  expect((await limiter.consume("k")).source).toBe("store");
});

/** From now on calls do not arrive at the store until told to. */
function held(store: OutsideStore): () => void {
  const submit = store.submit.bind(store);
  const waiting: (() => void)[] = [];
  store.submit = (call, done) => {
    waiting.push(() => {
      submit(call, done);
    });
  };
  return () => {
    for (const go of waiting.splice(0)) go();
  };
}

/** From now on calls arrive, but are not answered until told to. */
function slow(store: OutsideStore): () => void {
  const submit = store.submit.bind(store);
  const waiting: (() => void)[] = [];
  store.submit = (call, done) => {
    submit(call, (outcome) => {
      waiting.push(() => {
        done(outcome);
      });
    });
  };
  return () => {
    for (const go of waiting.splice(0)) go();
  };
}

/** The verbs that may end a denial early. */
const CLEARING = {
  refund: (limiter) => limiter.refund("k", 10),
  reset: (limiter) => limiter.reset("k"),
  unblock: (limiter) => limiter.unblock("k"),
  "a shorter block": (limiter) => limiter.block("k", 1),
} as const satisfies Record<string, (limiter: RateLimiter) => Promise<unknown>>;

describe.each(Object.entries(CLEARING))("%s", (name, clear) => {
  /** Denied for 5 s at least, until the verb ends that. */
  async function denied(setup: Setup): Promise<void> {
    const { limiter } = setup;
    if (name === "refund" || name === "reset") await limiter.consume("k", { cost: 10 });
    else await limiter.block("k", "5s");
    expect((await limiter.consume("k", { cost: 5 })).source).toBe("store");
    expect((await limiter.consume("k", { cost: 5 })).source).toBe("deny-cache");
  }

  test("makes the limiter ask again", async () => {
    const setup = setUp();
    await denied(setup);
    await clear(setup.limiter);
    setup.pass(1);
    const decision = await setup.limiter.consume("k", { cost: 5 });
    expect(decision).toMatchObject({ source: "store", allowed: true });
  });

  test("does so through any limiter of the store", async () => {
    const setup = setUp();
    const other = new RateLimiter({ policy, store: setup.store, denyCache: false });
    await denied(setup);
    await clear(other);
    setup.pass(1);
    expect((await setup.limiter.consume("k", { cost: 5 })).allowed).toBe(true);
  });

  test("clears when it is called, and when it has been answered", async () => {
    const setup = setUp();
    await denied(setup);
    const { limiter, store } = setup;
    const submit = store.submit.bind(store);
    const overtaken = held(store);
    const clearing = clear(limiter);
    store.submit = submit;
    // Sent after it, but decided before it.
    expect((await limiter.consume("k", { cost: 5 })).source).toBe("store");
    expect((await limiter.consume("k", { cost: 5 })).source).toBe("deny-cache");
    overtaken();
    await clearing;
    setup.pass(1);
    expect((await limiter.consume("k", { cost: 5 })).allowed).toBe(true);
  });

  test("keeps a denial from being remembered that was asked for before it", async () => {
    const setup = setUp();
    const { limiter, store } = setup;
    await denied(setup);
    setup.pass(600);
    const submit = store.submit.bind(store);
    const answer = slow(store);
    // Asks ahead; its answer is late.
    const late = limiter.consume("k", { cost: 5 });
    store.submit = submit;
    await clear(limiter);
    answer();
    expect((await late).allowed).toBe(false);
    setup.pass(1);
    expect(await limiter.consume("k", { cost: 5 })).toMatchObject({
      source: "store",
      allowed: true,
    });
  });
});
