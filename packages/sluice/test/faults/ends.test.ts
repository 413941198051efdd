/** A process that goes through an outage answers every call and then ends by itself: nothing holds it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { runNode } from "../support/processes.js";

/** 10,000 calls, of which the store does not see many: it hangs, then refuses, then hangs again. */
const PROGRAM = `
import { setTimeout as sleep } from "node:timers/promises";
import { RateLimiter, tokenBucket } from "./dist/index.js";
import { ManualClock, PureStore } from "./dist/testing/index.js";

let begun = 0;
const pure = new PureStore(new ManualClock());
const store = {
  external: true,
  open: (...args) => pure.open(...args),
  claim() {},
  release() {},
  submit(call, done) {
    if (begun > 2000 && begun < 8000) {
      if (begun > 4000 && begun < 6000) setImmediate(() => done(new Error("LOADING")));
      return;
    }
    setImmediate(() => pure.submit(call, done));
  },
  close: async () => {},
};
const errors = [];
const recoveries = [];
const limiter = new RateLimiter({
  policy: tokenBucket({ limit: 1e6, period: "1h" }),
  store,
  timeout: 1000,
  breaker: { probeEvery: 50 },
  onStoreFailure: "open",
  hooks: {
    onError: ({ error }) => errors.push(String(error)),
    onRecovery: ({ unanswered }) => recoveries.push(unanswered),
  },
});

const sources = {};
const call = async () => {
  begun += 1;
  const { source } = await limiter.consume("key:" + (begun % 50));
  sources[source] = (sources[source] ?? 0) + 1;
  await sleep(1);
  return source;
};
await Promise.all(
  Array.from({ length: 100 }, async () => {
    while (begun < 10_000) await call();
  }),
);
while ((await call()) !== "store");
while (recoveries.length === 0) await call();
process.on("beforeExit", () => {
  console.log(JSON.stringify({ begun, sources, errors, recoveries }));
});
`;

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage([]);
});
afterAll(() => {
  built.remove();
});

interface Report {
  readonly begun: number;
  readonly sources: Readonly<Record<string, number>>;
  readonly errors: readonly string[];
  readonly recoveries: readonly unknown[];
}

test("10,000 calls over an outage leave nothing behind, and the counts add up", async () => {
  const file = join(built.directory, "outage.mjs");
  writeFileSync(file, PROGRAM);
  const { code, stdout, stderr } = await runNode(file);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const { begun, sources, errors, recoveries } = JSON.parse(stdout) as Report;
  const { store = 0, "fail-open": failOpen = 0, ...others } = sources;
  expect(others).toEqual({});
  expect(failOpen).toBeGreaterThan(4000);
  expect(store + failOpen).toBe(begun);
  expect(errors).toEqual([
    expect.stringContaining("StoreTimeoutError: the store did not answer within 1000 ms"),
  ]);
  expect(recoveries).toEqual([
    {
      total: failOpen,
      busy: expect.any(Number) as unknown,
      local: 0,
      failOpen,
      failClosed: 0,
      fallback: 0,
      thrown: 0,
    },
  ]);
});
