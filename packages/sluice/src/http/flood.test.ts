/** Clients that go on after their denial: what is known of them is answered at once. */
import { afterAll, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { enter, fieldsIn, gateOf, outcomeOf } from "../../test/support/gates.js";
import { OutsideStore } from "../../test/support/outside-store.js";
import { fixedWindow, RateLimiter, type RateLimiterOptions } from "../index.js";
import type { Pass } from "./index.js";

/** The clock by which denials are remembered: it stands still unless it is set. */
const now = vi.spyOn(performance, "now");
beforeEach(() => void now.mockReturnValue(1e6));
afterAll(() => {
  now.mockRestore();
});

function flooded(options: Partial<RateLimiterOptions> = {}): {
  store: OutsideStore;
  limiter: RateLimiter;
} {
  const store = new OutsideStore();
  const policy = fixedWindow({ name: "w", limit: 1, window: "1h", align: "first" });
  const limiter = new RateLimiter({ policy, store, ...options });
  onTestFinished(() => limiter.close());
  return { store, limiter };
}

test("a denial that is remembered is given at once, and the store is not asked", async () => {
  const onDenied = vi.fn();
  const { store, limiter } = flooded({ hooks: { onDenied } });
  const gate = gateOf({ limiter, key: "k" });
  expect(await outcomeOf(enter(gate))).toBe("pass");
  expect(await outcomeOf(enter(gate))).toBe("429 quota 3600000");
  const asked = store.calls.length;
  const pass = enter(gate);
  expect(pass).not.toBeInstanceOf(Promise);
  const { denial } = pass as Pass;
  expect(denial?.decisions).toMatchObject([{ allowed: false, source: "deny-cache" }]);
  expect(fieldsIn(pass as Pass)).toEqual({
    "RateLimit-Policy": '"w";q=1;w=3600',
    RateLimit: '"w";r=0;t=3600',
    "Retry-After": "3600",
    "Cache-Control": "no-store",
  });
  expect(store.calls).toHaveLength(asked);
  expect(onDenied).toHaveBeenCalledTimes(2);
});

test("without a deny cache each request asks the store", async () => {
  const { store, limiter } = flooded({ denyCache: false });
  const gate = gateOf({ limiter, key: "k" });
  for (let i = 0; i < 3; i++) await enter(gate);
  expect(store.calls).toHaveLength(3);
});

test("one request asks ahead of the others, which are refused at once meanwhile", async () => {
  const { store, limiter } = flooded();
  const gate = gateOf({ limiter, key: "k" });
  for (let i = 0; i < 2; i++) await enter(gate);
  now.mockReturnValue(1e6 + 600);
  const ahead = enter(gate);
  expect(ahead).toBeInstanceOf(Promise);
  expect(enter(gate)).not.toBeInstanceOf(Promise);
  expect(store.calls).toHaveLength(3);
  expect(await outcomeOf(ahead)).toBe("429 quota 3600000");
});

test("a limiter that is closed says nothing it remembers", async () => {
  const { limiter } = flooded();
  const gate = gateOf({ limiter, key: "k" });
  for (let i = 0; i < 2; i++) await enter(gate);
  await limiter.close();
  expect(await outcomeOf(enter(gate))).toBe("503 store 1000");
});
