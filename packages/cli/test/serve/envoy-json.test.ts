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
