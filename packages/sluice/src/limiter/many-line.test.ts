/** However many calls of `consumeMany` come at once, no more goes to a store than it answers in time. */
import { expect, onTestFinished, test } from "vitest";
import { fixedWindow } from "../index.js";
import { PolicySet } from "../policies/index.js";
import type { Done, Store, StoreCall } from "../stores/store.js";
import { ManualClock } from "../testing/manual-clock.js";
import { PureStore } from "../testing/pure-store.js";
import { inLine, MANY_DEBITS } from "./many-line.js";
import { RateLimiter } from "./rate-limiter.js";

/** A store outside the process, in a turn of the loop; and the most debits that it had under way. */
function storeOutside(): { readonly store: Store; readonly most: () => number } {
  const inner = new PureStore(new ManualClock());
  let underWay = 0;
  let most = 0;
  const submit = ({ debits, ...call }: StoreCall, done: Done): void => {
    underWay += debits.length;
    most = Math.max(most, underWay);
    setImmediate(() => {
      underWay -= debits.length;
      inner.submit({ ...call, debits }, done);
    });
  };
  const others = new Map<string | symbol, unknown>([
    ["submit", submit],
    ["external", true],
    ["executeSync", undefined],
  ]);
  const store = new Proxy<Store>(inner, {
    has: (_, name) => name !== "executeSync" && name in inner,
    get(_, name) {
      if (others.has(name)) return others.get(name);
      const value: unknown = Reflect.get(inner, name, inner);
      return typeof value === "function" ? (value.bind(inner) as unknown) : value;
    },
  });
  return { store, most: () => most };
}

const policy = fixedWindow({ limit: 2500, window: "1h" });

test("many calls of a limiter at once", async () => {
  const { store, most } = storeOutside();
  const limiter = new RateLimiter({ store, policy });
  onTestFinished(() => limiter.close());
  const requests = Array.from({ length: 1000 }, () => ({ key: "ann" }));
  const calls = await Promise.all([1, 2, 3].map(() => limiter.consumeMany(requests)));
  const passed = calls.flat().filter(({ allowed }) => allowed);
  expect([calls.flat().length, passed.length]).toEqual([3000, 2500]);
  expect(calls.flat().every(({ source }) => source === "store")).toBe(true);
  expect(most()).toBe(MANY_DEBITS);
});

test("many calls of a set of rules at once", async () => {
  const { store, most } = storeOutside();
  const rules = new PolicySet({
    store,
    source: { rules: [{ name: "api", key: ["user"], policy }] },
  });
  onTestFinished(() => rules.close());
  const requests = Array.from({ length: 1000 }, () => ({ entries: { user: "ann" } }));
  const calls = await Promise.all([1, 2, 3].map(() => rules.consumeMany(requests)));
  const decisions = calls.flatMap((call) => call.decisions);
  expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(2500);
  expect(decisions.every(({ source }) => source === "store")).toBe(true);
  expect(most()).toBe(MANY_DEBITS);
});

test("who does not fit waits for those before, in the order of their coming, and alone where it is too much", async () => {
  const { store } = storeOutside();
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const begin = (name: string, debits: number): Promise<void> =>
    inLine(
      store,
      debits,
      (hasWaited) =>
        new Promise((resolve, reject) => {
          begun.push(hasWaited ? `${name} waited` : name);
          ends.set(name, (error) => (error === undefined ? resolve() : reject(error)));
        }),
    );
  const all = [begin("a", 400), begin("b", 300), begin("large", 2000), begin("c", 1)];
  const other = inLine(storeOutside().store, 700, (hasWaited) => hasWaited);
  expect(await other).toBe(false);
  await expect.poll(() => begun).toEqual(["a", "b"]);
  ends.get("b")?.();
  await all[1];
  expect(begun).toEqual(["a", "b"]);
  ends.get("a")?.(new Error("lost"));
  await expect(all[0]).rejects.toThrow("lost");
  await expect.poll(() => begun).toEqual(["a", "b", "large waited"]);
  ends.get("large")?.();
  await expect.poll(() => begun).toEqual(["a", "b", "large waited", "c waited"]);
  ends.get("c")?.();
  await all[3];
  const last = begin("d", MANY_DEBITS);
  await expect.poll(() => begun.at(-1)).toBe("d");
  ends.get("d")?.();
  await last;
});
