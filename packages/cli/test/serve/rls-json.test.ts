/** Envoy's messages in proto3 JSON, against the JSON that its own definitions make. */
import { PolicySet } from "sluice/policies";
import { MemoryStore } from "sluice";
import { ManualClock } from "sluice/testing";
import { expect, onTestFinished, test } from "vitest";
import { decideRls, readRlsJson, rlsJson } from "../../src/serve/rls/index.js";

const ann = { entries: [{ key: "user", value: "ann" }] };

async function answered(body: unknown): Promise<unknown> {
  const policy = { algorithm: "fixed-window", limit: 2, window: "1m" } as const;
  const store = new MemoryStore({ clock: new ManualClock(1_800_000_010_500) });
  const rules = new PolicySet({
    source: { rules: [{ name: "user", match: { domain: "edge" }, key: ["user"], policy }] },
    store,
  });
  onTestFinished(() => rules.close());
  return rlsJson(await decideRls(rules, readRlsJson(body), true));
}

test("an answer has the names of proto3 JSON, and no defaults", async () => {
  expect(await answered({ domain: "edge", descriptors: [ann] })).toEqual({
    overallCode: "OK",
    statuses: [
      {
        code: "OK",
        currentLimit: { requestsPerUnit: 2, unit: "MINUTE", name: "user" },
        limitRemaining: 1,
        durationUntilReset: "49.500s",
      },
    ],
    responseHeadersToAdd: [
      { key: "RateLimit-Policy", value: '"user";q=2;w=60' },
      { key: "RateLimit", value: '"user";r=1;t=50' },
    ],
    dynamicMetadata: { policy: "user", reason: "ok", source: "store", shadow: [] },
  });
});

test("a denial has a body in base64", async () => {
  const answer = await answered({ domain: "edge", descriptors: [ann], hitsAddend: 3 });
  const { overallCode, statuses, rawBody } = answer as Record<string, unknown>;
  expect([overallCode, statuses]).toMatchObject(["OVER_LIMIT", [{ limitRemaining: 2 }]]);
  expect(JSON.parse(Buffer.from(rawBody as string, "base64").toString())).toHaveProperty("type");
});

test("fields may have their names of the .proto, numbers may be texts, and null is nothing", () => {
  expect(
    readRlsJson({
      domain: "edge",
      hits_addend: "7",
      descriptors: [
        {
          entries: [{ key: "user", value: "ann" }, { key: "empty" }],
          limit: { requests_per_unit: 5, unit: 2 },
          hits_addend: "18446744073709551615",
          isNegativeHits: true,
        },
        { entries: null, limit: { requestsPerUnit: "6", unit: "WEEK" }, hitsAddend: 0 },
      ],
    }),
  ).toEqual({
    domain: "edge",
    hitsAddend: 7,
    descriptors: [
      {
        entries: [
          { key: "user", value: "ann" },
          { key: "empty", value: "" },
        ],
        limit: { requestsPerUnit: 5, unit: "MINUTE" },
        hitsAddend: 2 ** 64,
        isNegativeHits: true,
      },
      {
        entries: [],
        limit: { requestsPerUnit: 6, unit: "WEEK" },
        hitsAddend: 0,
        isNegativeHits: false,
      },
    ],
  });
  expect(readRlsJson({})).toEqual({ domain: "", descriptors: [], hitsAddend: 0 });
});

test.each([
  [null, "the request must be an object"],
  [[], "the request must be an object"],
  [{ domain: 5 }, "domain must be a text"],
  [
    { domains: "x" },
    "the request must be an object with domain, descriptors, hitsAddend, each once",
  ],
  [{ hitsAddend: 1, hits_addend: 1 }, "each once"],
  [{ hitsAddend: -1 }, "hitsAddend must be a whole number of 32 bits"],
  [{ hitsAddend: 1.5 }, "a whole number of 32 bits"],
  [{ hitsAddend: 2 ** 32 }, "a whole number of 32 bits"],
  [{ hitsAddend: "0x1" }, "a whole number of 32 bits"],
  [{ descriptors: {} }, "descriptors must be a list"],
  [{ descriptors: [7] }, "descriptors[0] must be an object"],
  [{ descriptors: [{ isNegativeHits: "yes" }] }, "isNegativeHits must be true or false"],
  [{ descriptors: [{ limit: { unit: "FORTNIGHT" } }] }, "unit must be one of UNKNOWN, SECOND"],
  [{ descriptors: [{ entries: [{ key: {} }] }] }, "key must be a text"],
])("%j is refused: %s", (body, words) => {
  expect(() => readRlsJson(body)).toThrow(words);
});
