/** What a limiter that was dropped without `close` leaves to others: the names that it had. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { HeldStore } from "../../test/support/held-store.js";
import { eventually } from "../../test/support/eventually.js";
import {
  InvalidOptionError,
  MemoryStore,
  type Policy,
  RateLimiter,
  type Store,
  tokenBucket,
} from "../index.js";
import { ManualClock, PureStore } from "../testing/index.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const named = (name: string, limit: number): Policy => tokenBucket({ name, limit, period: "1s" });
const five = [named("a", 5), named("b", 5)];
const make = (store: Store, limit: number): RateLimiter =>
  new RateLimiter({ policy: [named("a", limit), named("b", limit)], store });

/** Without a variable that would keep them. */
const dropped: Readonly<Record<string, (store: Store) => void>> = {
  "that was never asked": (store) => void make(store, 5),
  "of two that shared the names": (store) => void [make(store, 5), make(store, 5)],
  "whose names a function chose": (store) => {
    void new RateLimiter({ policy: () => five, store }).peek("k");
  },
};

describe.each<[string, () => Store]>([
  ["the pure kernels", () => new PureStore(new ManualClock())],
  ["memory", () => new MemoryStore()],
  ["a store outside the process", () => new HeldStore()],
])("on %s", (_, makeStore) => {
  test.each(Object.entries(dropped))("the names of a limiter %s are free", async (_name, drop) => {
    const store = makeStore();
    drop(store);
    // What was asked of it must not wait, or it would be kept.
    (store as Partial<HeldStore>).settleAll?.();
    await eventually(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
      expect(() => make(store, 6)).not.toThrow();
    });
  });

  test("those of one that somebody keeps are not, also where another holder was dropped", async () => {
    const store = makeStore();
    const kept = make(store, 5);
    const other = new WeakRef(make(store, 5));
    await eventually(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
      expect(other.deref()).toBeUndefined();
    });
    expect(() => make(store, 6)).toThrow(InvalidOptionError);
    await kept.close();
    expect(() => make(store, 6)).not.toThrow();
  });
});
