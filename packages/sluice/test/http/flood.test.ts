/** A hundred thousand clients, each with a limit of its own, at a gate: what a process keeps of them stays the same. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { by, type Charge, type ChargeFunction, createGate } from "../../src/http/index.js";
import { fixedWindow, MemoryStore, RateLimiter } from "../../src/index.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const CLIENTS = 100_000;
/** After so many the store is full, and whatever is made once is made. */
const WARM = 20_000;
const MAX_KEYS = 1000;

/** A tenth of what 100 bytes for each of the other clients would be. */
const FLAT_BYTES = ((CLIENTS - WARM) * 100) / 10;

const ipv4 = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
const store = new MemoryStore({ maxKeys: MAX_KEYS });
const limiterOf = (name: string, limit: number): RateLimiter =>
  new RateLimiter({ store, policy: fixedWindow({ name, limit, window: "1h", align: "first" }) });
const roomy = limiterOf("roomy", 5);
const empty = limiterOf("empty", 0);
const settled = limiterOf("settled", 5);
const user = limiterOf("user", 5);

const together: ChargeFunction<object> = (_raw, { address }): Charge[] => [
  { limiter: roomy, key: address },
  { limiter: user, key: `user of ${address}` },
];

async function heapBytes(): Promise<number> {
  // What is promised is let go of first.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

describe("100,000 clients", () => {
  test.each<[string, (i: number) => string, ChargeFunction<object>, 200 | 429]>([
    ["by IPv4 addresses", ipv4, by.address(roomy), 200],
    ["that are all refused", ipv4, by.address(empty), 429],
    ["by long keys", (i) => `${i} `.padEnd(1000, "x"), by.header(roomy, "x-key"), 200],
    [
      "that are settled",
      ipv4,
      (_, { address: key }) => ({ limiter: settled, key, settle: () => 0 }),
      200,
    ],
    ["of two limits, all or nothing", ipv4, together, 200],
  ])("%s leave no more behind than the first ones", async (_, nameOf, charge, status) => {
    const gate = createGate<object>({ charge });
    const statuses = new Set<number>();
    let after = { bytes: 0, heap: 0 };
    for (let i = 0; i < CLIENTS; i++) {
      if (i === WARM) after = { bytes: store.bytes, heap: await heapBytes() };
      const address = nameOf(i);
      const call = { method: "GET", address, header: () => address };
      const { denial, settle } = await gate.enter({}, call);
      statuses.add(denial?.status ?? 200);
      await settle?.({ status: 200, aborted: false });
    }
    expect([...statuses]).toEqual([status]);
    expect(store.size).toBeLessThanOrEqual(MAX_KEYS);
    // Addresses differ in length.
    expect(store.bytes).toBeLessThan(after.bytes * 1.1);
    expect((await heapBytes()) - after.heap).toBeLessThan(FLAT_BYTES);
  });

  test("of one network share its limit, whatever addresses they take", async () => {
    const limiter = limiterOf("network", 3);
    const gate = createGate<object>({ charge: by.address(limiter) });
    let passed = 0;
    for (let i = 0; i < CLIENTS; i++) {
      const address = `2001:db8:ffff:ffff::${(i >> 16).toString(16)}:${(i & 65_535).toString(16)}`;
      const { denial } = await gate.enter({}, { method: "GET", address, header: () => undefined });
      if (denial === undefined) passed += 1;
    }
    expect(passed).toBe(3);
  });
});
