/** Envoy's POST /json. */
import { expect, test } from "vitest";
import { startService } from "../support/service.js";

const document = {
  rules: [
    {
      name: "api",
      match: { domain: "edge" },
      key: ["user"],
      policy: { algorithm: "fixed-window", limit: 1, window: "1h", align: "first" } as const,
    },
  ],
};

test("answers in proto3 JSON: 200, then 429; and refuses what is no request", async () => {
  const { ask } = await startService(document);
  const asked = { domain: "edge", descriptors: [{ entries: [{ key: "user", value: "ann" }] }] };
  const first = await ask("/json", asked);
  expect(first).toMatchObject({ status: 200, body: { overallCode: "OK" } });
  expect(first.body["statuses"]).toMatchObject([{ code: "OK", currentLimit: { name: "api" } }]);
  const second = await ask("/json", asked);
  expect(second).toMatchObject({ status: 429, body: { overallCode: "OVER_LIMIT" } });
  for (const wrong of [{}, { domain: "edge" }, { domain: "edge", descriptors: 7 }]) {
    expect((await ask("/json", wrong)).body).toMatchObject({ reason: "invalid-request" });
  }
});

const window = (limit: number, length = "1h") =>
  ({ algorithm: "fixed-window", limit, window: length, align: "first" }) as const;
const several = {
  rules: [
    { name: "hour", key: ["user"], policy: window(9) },
    { name: "day", key: ["user"], policy: window(4, "1d") },
    { name: "org", key: ["org"], policy: window(1, "1d") },
    { name: "ip", key: ["ip"], policy: window(1) },
  ],
};
const one = (key: string, value: string, more: object = {}): object => ({
  entries: [{ key, value }],
  ...more,
});

test("descriptors are decided together, or each by itself where that is set, as over gRPC", async () => {
  const asked = { domain: "edge", descriptors: [one("user", "ann"), one("org", "o")] };
  for (const [grpcEach, left] of [
    [false, 3],
    [true, 2],
  ] as const) {
    const { ask } = await startService(several, { grpcEach });
    await ask("/json", asked);
    expect((await ask("/json", asked)).status).toBe(429);
    const { body } = await ask("/v1/peek", { rule: "day", key: "ann", cost: 0 });
    expect(body).toMatchObject({ remaining: left });
  }
});

test("what is given back leaves as much as the rule with least left has", async () => {
  const { ask } = await startService(several);
  await ask("/json", { domain: "edge", descriptors: [one("user", "ann", { hitsAddend: 3 })] });
  const back = one("user", "ann", { hitsAddend: 2, isNegativeHits: true });
  const { body } = await ask("/json", { domain: "edge", descriptors: [back] });
  expect(body["statuses"]).toMatchObject([
    { code: "OK", currentLimit: { name: "day" }, limitRemaining: 3 },
  ]);
});

test("of several that are denied, the metadata name the one that waits longest", async () => {
  const { ask } = await startService(several);
  const both = [one("ip", "1"), one("org", "o")];
  for (const descriptors of [both, both.toReversed()]) {
    await ask("/json", { domain: "edge", descriptors });
    const { body } = await ask("/json", { domain: "edge", descriptors });
    expect(body["dynamicMetadata"]).toMatchObject({ policy: "org", reason: "quota" });
  }
});
