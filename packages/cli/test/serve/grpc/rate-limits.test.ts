/** Envoy's own client, and bytes made by hand for the fields that it lacks, get right answers. */
import type { PoliciesDocument } from "sluice/policies";
import { beforeEach, describe, expect, test } from "vitest";
import {
  type Answer,
  descriptorBytes,
  requestBytes,
  RlsClient,
  type Started,
  startGrpc,
} from "../../support/grpc.js";

const fixed = (limit: number, window: string) =>
  ({ algorithm: "fixed-window", limit, window }) as const;

const document: PoliciesDocument = {
  rules: [
    {
      name: "user",
      match: { domain: "edge" },
      key: ["user"],
      exact: true,
      policy: fixed(10, "1m"),
    },
    {
      name: "hourly",
      match: { domain: "edge", kind: "hourly" },
      key: ["id"],
      policy: fixed(5, "1h"),
    },
    {
      name: "daily",
      match: { domain: "edge", kind: "daily" },
      key: ["id"],
      policy: fixed(7, "1d"),
    },
    {
      name: "weekly",
      match: { domain: "edge", kind: "weekly" },
      key: ["id"],
      policy: fixed(7, "7d"),
    },
    {
      name: "monthly",
      match: { domain: "edge", kind: "monthly" },
      key: ["id"],
      policy: { algorithm: "calendar-window", limit: 100, unit: "month" },
    },
    {
      name: "yearly",
      match: { domain: "edge", kind: "yearly" },
      key: ["id"],
      policy: { algorithm: "calendar-window", limit: 100, unit: "year" },
    },
    { name: "odd", match: { domain: "edge", kind: "odd" }, key: ["id"], policy: fixed(3, "15m") },
    {
      name: "bucket",
      match: { domain: "edge", kind: "bucket" },
      key: ["id"],
      policy: { algorithm: "token-bucket", limit: 60, period: "1m" },
    },
    {
      name: "free",
      match: { domain: "edge", kind: "free" },
      key: ["id"],
      policy: { algorithm: "unlimited" },
    },
    { name: "none", match: { domain: "edge", kind: "none" }, key: ["id"], policy: fixed(0, "1m") },
    { name: "big", match: { domain: "edge", kind: "big" }, key: ["id"], policy: fixed(1e9, "1m") },
    {
      name: "open",
      match: { domain: "edge", kind: "open" },
      key: ["id"],
      allowOverride: true,
      policy: fixed(4, "1m"),
    },
    {
      name: "trial",
      match: { domain: "edge", kind: "trial" },
      key: ["id"],
      mode: "shadow",
      policy: fixed(2, "1m"),
    },
    {
      name: "beside",
      match: { domain: "edge", kind: "beside" },
      key: ["id"],
      policy: fixed(9, "1m"),
      candidate: { policy: fixed(1, "1m") },
    },
    {
      name: "twice",
      match: { domain: "edge", kind: "twice" },
      key: ["x", "x#2"],
      policy: fixed(1, "1m"),
    },
    {
      name: "priced",
      match: { domain: "edge", kind: "priced" },
      key: ["id"],
      cost: 5,
      policy: fixed(12, "1m"),
    },
    { name: "both1", match: { domain: "edge", kind: "both" }, key: ["id"], policy: fixed(8, "1m") },
    {
      name: "both2",
      match: { domain: "edge", kind: "both" },
      key: ["org"],
      policy: fixed(3, "1h"),
    },
    { name: "api", match: { domain: "other" }, key: ["user"], policy: fixed(1, "1m") },
  ],
  overrides: [
    { rule: "user", key: "user=evil", mode: "deny" },
    { rule: "user", key: "user=probe", mode: "exempt" },
    { rule: "user", key: "user=vip", policy: { limit: 50 } },
  ],
};

type Entries = Readonly<Record<string, string>>;

const entriesOf = (entries: Entries) =>
  Object.entries(entries).map(([key, value]) => ({ key, value }));

/** A request by Envoy's definitions. */
const ask = (all: readonly Entries[], more: object = {}) => ({
  domain: "edge",
  descriptors: all.map((entries) => ({ entries: entriesOf(entries) })),
  ...more,
});

let started: Started;
let client: RlsClient;

async function send(request: object | Buffer): Promise<Answer> {
  const called = Buffer.isBuffer(request) ? await client.bytes(request) : await client.ask(request);
  expect(called.details).toBe("");
  return called.answer as Answer;
}

/** Each status in short: its code, what remains, and in how many seconds that is reset. */
const short = ({ statuses }: Answer) =>
  statuses.map(({ code, limitRemaining, durationUntilReset }) => [
    code,
    limitRemaining,
    durationUntilReset === null
      ? undefined
      : durationUntilReset.seconds + durationUntilReset.nanos / 1e9,
  ]);

/** `[requests, unit, name]`. */
const limitOf = ({ statuses }: Answer, at = 0) => {
  const { requestsPerUnit, unit, name } = statuses[at]?.currentLimit ?? {};
  return requestsPerUnit === undefined ? undefined : [requestsPerUnit, unit, name];
};

const fieldsOf = ({ responseHeadersToAdd }: Answer) =>
  Object.fromEntries(responseHeadersToAdd.map(({ key, value }) => [key.toLowerCase(), value]));

const metadataOf = ({ dynamicMetadata }: Answer): unknown => {
  if (dynamicMetadata === null) return undefined;
  const { policy, reason, source, shadow } = dynamicMetadata.fields;
  const textOf = (value: unknown) => (value as { stringValue: string }).stringValue;
  const { listValue } = shadow as { listValue: { values: readonly unknown[] } };
  return [textOf(policy), textOf(reason), textOf(source), listValue.values.map(textOf)];
};

beforeEach(async () => {
  started = await startGrpc(document);
  client = new RlsClient(started.address);
});

/** A descriptor with fields that Envoy's copy on npm lacks. */
const bytesOf = (...descriptors: Parameters<typeof descriptorBytes>[]) =>
  requestBytes(
    "edge",
    descriptors.map((each) => descriptorBytes(...each)),
  );

describe("statuses", () => {
  test("the first hit of ten a minute", async () => {
    const answer = await send(ask([{ user: "ann" }]));
    expect(answer.overallCode).toBe("OK");
    expect(short(answer)).toEqual([["OK", 9, 50]]);
    expect(limitOf(answer)).toEqual([10, "MINUTE", "user"]);
  });

  test("the last hit, and the one behind it", async () => {
    await send(ask([{ user: "ann" }], { hitsAddend: 9 }));
    expect(short(await send(ask([{ user: "ann" }])))).toEqual([["OK", 0, 50]]);
    const denied = await send(ask([{ user: "ann" }]));
    expect(denied.overallCode).toBe("OVER_LIMIT");
    expect(short(denied)).toEqual([["OVER_LIMIT", 0, 50]]);
  });

  test("what is left is the true number, also where more was asked for", async () => {
    await send(ask([{ user: "ann" }], { hitsAddend: 7 }));
    expect(short(await send(ask([{ user: "ann" }], { hitsAddend: 4 })))).toEqual([
      ["OVER_LIMIT", 3, 50],
    ]);
  });

  test("the next window starts afresh", async () => {
    await send(ask([{ user: "ann" }], { hitsAddend: 10 }));
    started.clock.advance(50_000);
    expect(short(await send(ask([{ user: "ann" }])))).toEqual([["OK", 9, 60]]);
  });

  test.each([
    ["hourly", [5, "HOUR", "hourly"], 3590],
    ["daily", [7, "DAY", "daily"], 57_590],
    ["monthly", [100, "MONTH", "monthly"], 1_439_990],
    ["yearly", [100, "YEAR", "yearly"], 30_297_590],
    ["odd", [3, "UNKNOWN", "odd"], 890],
    ["bucket", [60, "MINUTE", "bucket"], 1],
  ] as const)("the unit of a rule by the %s", async (kind, limit, resets) => {
    const answer = await send(ask([{ kind, id: "1" }]));
    expect(limitOf(answer)).toEqual(limit);
    expect(short(answer)[0]?.[2]).toBe(resets);
  });

  test("a week, which Envoy's copy on npm knows by its number alone", async () => {
    const answer = await send(ask([{ kind: "weekly", id: "1" }]));
    expect(limitOf(answer)).toEqual([7, 7, "weekly"]);
  });

  test("no rule is met: OK, without a limit, fields or metadata", async () => {
    const answer = await send(ask([{ nobody: "1" }]));
    expect(answer.overallCode).toBe("OK");
    expect(short(answer)).toEqual([["OK", 0, undefined]]);
    expect(limitOf(answer)).toBeUndefined();
    expect([fieldsOf(answer), metadataOf(answer)]).toEqual([{}, undefined]);
  });

  test("unlimited: OK, and as much left as 32 bits hold", async () => {
    const answer = await send(ask([{ kind: "free", id: "1" }], { hitsAddend: 4_000_000_000 }));
    expect(short(answer)).toEqual([["OK", 4_294_967_295, undefined]]);
    expect(limitOf(answer)).toBeUndefined();
  });

  test("a limit of nothing denies", async () => {
    const answer = await send(ask([{ kind: "none", id: "1" }]));
    expect(short(answer)[0]?.slice(0, 2)).toEqual(["OVER_LIMIT", 0]);
    expect(fieldsOf(answer)).not.toHaveProperty("retry-after");
  });

  test("a thousand million is a limit like others", async () => {
    const answer = await send(ask([{ kind: "big", id: "1" }]));
    expect(short(answer)[0]?.[1]).toBe(999_999_999);
    expect(limitOf(answer)?.[0]).toBe(1_000_000_000);
  });

  test("an operator's overrides deny, exempt and raise", async () => {
    const denied = await send(ask([{ user: "evil" }]));
    expect(short(denied)).toEqual([["OVER_LIMIT", 0, undefined]]);
    expect(metadataOf(denied)).toEqual(["user", "blocked", "override", []]);
    expect((await send(ask([{ user: "probe" }], { hitsAddend: 99 }))).overallCode).toBe("OK");
    const raised = await send(ask([{ user: "vip" }]));
    expect(limitOf(raised)).toEqual([50, "MINUTE", "user"]);
  });

  test("a domain is an entry, and each has its own rules", async () => {
    const other = { domain: "other" };
    expect(limitOf(await send(ask([{ user: "ann" }], other)))).toEqual([1, "MINUTE", "api"]);
    expect((await send(ask([{ user: "ann" }], other))).overallCode).toBe("OVER_LIMIT");
    expect((await send(ask([{ user: "ann" }]))).overallCode).toBe("OK");
    expect(limitOf(await send(ask([{ user: "ann" }], { domain: "third" })))).toBeUndefined();
  });

  test("of two rules that a descriptor meets the one with least left tells", async () => {
    const answer = await send(ask([{ kind: "both", id: "1", org: "o" }]));
    expect(limitOf(answer)).toEqual([3, "HOUR", "both2"]);
    expect(short(answer)[0]?.[1]).toBe(2);
  });
});

describe("descriptors", () => {
  test("one status each, in their order", async () => {
    const answer = await send(ask([{ kind: "hourly", id: "1" }, { nobody: "1" }, { user: "ann" }]));
    expect(short(answer).map(([code, left]) => [code, left])).toEqual([
      ["OK", 4],
      ["OK", 0],
      ["OK", 9],
    ]);
  });

  test("all together by default: one that is denied keeps the others from being charged", async () => {
    await send(ask([{ kind: "hourly", id: "1" }], { hitsAddend: 5 }));
    const answer = await send(ask([{ user: "ann" }, { kind: "hourly", id: "1" }]));
    expect(answer.overallCode).toBe("OVER_LIMIT");
    expect(answer.statuses.map(({ code }) => code)).toEqual(["OK", "OVER_LIMIT"]);
    expect(short(await send(ask([{ user: "ann" }])))[0]?.[1]).toBe(9);
  });

  test("each for itself where that is asked for, as in Envoy's own service", async () => {
    const each = await startGrpc(document, { atomic: false });
    client = new RlsClient(each.address);
    await send(ask([{ kind: "hourly", id: "1" }], { hitsAddend: 5 }));
    const answer = await send(ask([{ user: "ann" }, { kind: "hourly", id: "1" }]));
    expect(answer.statuses.map(({ code }) => code)).toEqual(["OK", "OVER_LIMIT"]);
    expect(short(await send(ask([{ user: "ann" }])))[0]?.[1]).toBe(8);
  });

  test("twice the same adds up", async () => {
    const twice = [{ user: "ann" }, { user: "ann" }];
    expect(short(await send(ask(twice, { hitsAddend: 5 }))).map(([, left]) => left)).toEqual([
      0, 0,
    ]);
    const answer = await send(ask([{ user: "ben" }, { user: "ben" }], { hitsAddend: 6 }));
    expect(answer.statuses.map(({ code }) => code)).toEqual(["OVER_LIMIT", "OVER_LIMIT"]);
    expect(short(await send(ask([{ user: "ben" }])))[0]?.[1]).toBe(9);
  });

  test("a key that stands there twice keeps both values", async () => {
    const entries = (a: string, b: string) => [
      { key: "kind", value: "twice" },
      { key: "x", value: a },
      { key: "x", value: b },
    ];
    const codeOf = async (a: string, b: string) =>
      (await send({ domain: "edge", descriptors: [{ entries: entries(a, b) }] })).overallCode;
    expect(await codeOf("1", "2")).toBe("OK");
    expect(await codeOf("1", "2")).toBe("OVER_LIMIT");
    expect(await codeOf("2", "1")).toBe("OK");
    expect(await codeOf("1", "3")).toBe("OK");
  });

  test("a key of any name is a name like others", async () => {
    for (const key of ["__proto__", "constructor", "domain", "", "toString"]) {
      const entries = [
        { key: "user", value: "ann" },
        { key, value: "x" },
      ];
      // The rule asks for no other entries.
      const answer = await send({ domain: "edge", descriptors: [{ entries }] });
      expect([key, limitOf(answer)]).toEqual([key, undefined]);
    }
  });
});

describe("hits", () => {
  test("0 of a request stands for 1", async () => {
    expect(short(await send(ask([{ user: "ann" }], { hitsAddend: 0 })))[0]?.[1]).toBe(9);
  });

  test("of a descriptor go before those of the request", async () => {
    const descriptors = [
      descriptorBytes({ user: "ann" }, { hits: 3 }),
      descriptorBytes({ user: "ben" }),
    ];
    const answer = await send(requestBytes("edge", descriptors, 2));
    expect(short(answer).map(([, left]) => left)).toEqual([7, 8]);
  });

  test("0 of a descriptor asks and takes nothing", async () => {
    const asking = bytesOf([{ user: "ann" }, { hits: 0 }]);
    expect(short(await send(asking))).toEqual([["OK", 10, 0]]);
    await send(ask([{ user: "ann" }], { hitsAddend: 9 }));
    expect(short(await send(asking))).toEqual([["OK", 1, 50]]);
    await send(ask([{ user: "ann" }]));
    expect((await send(asking)).overallCode).toBe("OVER_LIMIT");
    expect(short(await send(asking))).toEqual([["OVER_LIMIT", 0, 50]]);
  });

  test("where one that asks would be denied, the others take nothing", async () => {
    await send(ask([{ kind: "hourly", id: "1" }], { hitsAddend: 5 }));
    const mixed = bytesOf(
      [{ user: "ann" }, { hits: 4 }],
      [{ kind: "hourly", id: "1" }, { hits: 0 }],
    );
    const answer = await send(mixed);
    expect(answer.statuses.map(({ code }) => code)).toEqual(["OK", "OVER_LIMIT"]);
    expect(short(await send(ask([{ user: "ann" }])))[0]?.[1]).toBe(9);
  });

  test("more than any limit are denied by it", async () => {
    const answer = await send(bytesOf([{ user: "ann" }, { hits: 2n ** 64n - 1n }]));
    expect(answer.overallCode).toBe("OVER_LIMIT");
    expect(short(await send(ask([{ user: "ann" }])))[0]?.[1]).toBe(9);
  });

  test("are the rule's where it has a cost of its own", async () => {
    expect(short(await send(ask([{ kind: "priced", id: "1" }], { hitsAddend: 9 })))[0]?.[1]).toBe(
      7,
    );
  });

  test("are given back where they are negative, and no more than were taken", async () => {
    await send(ask([{ user: "ann" }], { hitsAddend: 8 }));
    const back = (hits: number) => bytesOf([{ user: "ann" }, { hits, isNegative: true }]);
    const answer = await send(back(3));
    expect(short(answer)).toEqual([["OK", 5, 50]]);
    expect(limitOf(answer)).toEqual([10, "MINUTE", "user"]);
    expect(short(await send(back(100)))[0]?.slice(0, 2)).toEqual(["OK", 10]);
    expect(short(await send(ask([{ user: "ann" }])))[0]?.[1]).toBe(9);
  });

  test("are given back by one, where nothing is said of how many", async () => {
    await send(ask([{ user: "ann" }], { hitsAddend: 8 }));
    expect(short(await send(bytesOf([{ user: "ann" }, { isNegative: true }])))[0]?.[1]).toBe(3);
  });

  test("are given back first, and though another descriptor is denied", async () => {
    await send(ask([{ user: "ann" }], { hitsAddend: 10 }));
    await send(ask([{ kind: "hourly", id: "1" }], { hitsAddend: 5 }));
    const both = bytesOf(
      [{ user: "ann" }, { hits: 2 }],
      [{ user: "ann" }, { hits: 3, isNegative: true }],
    );
    const answer = await send(both);
    expect(short(answer).map(([code]) => code)).toEqual(["OK", "OK"]);
    expect(short(answer)[0]?.[1]).toBe(1);
    const denied = await send(
      bytesOf([{ kind: "hourly", id: "1" }], [{ user: "ann" }, { hits: 4, isNegative: true }]),
    );
    expect(short(denied).map(([code]) => code)).toEqual(["OVER_LIMIT", "OK"]);
    expect(short(denied)[1]?.[1]).toBe(5);
  });
});

describe("a limit that a descriptor brings", () => {
  const withLimit = (per: number, unit: number, id = "1", kind = "open") =>
    bytesOf([{ kind, id }, { limit: { per, unit } }]);

  test("decides where the rule allows that", async () => {
    const answer = await send(withLimit(100, 2));
    expect(limitOf(answer)).toEqual([100, "MINUTE", "open"]);
    expect(short(answer)).toEqual([["OK", 99, 50]]);
  });

  test("by Envoy's own definitions too", async () => {
    const entries = entriesOf({ kind: "open", id: "1" });
    const limit = { requestsPerUnit: 2, unit: "HOUR" };
    const answer = await send({ domain: "edge", descriptors: [{ entries, limit }] });
    expect(limitOf(answer)).toEqual([2, "HOUR", "open"]);
  });

  test.each([
    [1, "SECOND"],
    [3, "HOUR"],
    [4, "DAY"],
    [5, "MONTH"],
    [6, "YEAR"],
    [7, 7],
  ] as const)("with the unit %i", async (unit, shown) => {
    expect(limitOf(await send(withLimit(3, unit)))).toEqual([3, shown, "open"]);
  });

  test("counts for nothing elsewhere", async () => {
    expect(limitOf(await send(withLimit(100, 2, "1", "hourly")))).toEqual([5, "HOUR", "hourly"]);
  });

  test("and has no unit is refused", async () => {
    const called = await client.bytes(withLimit(100, 0));
    expect(called).toMatchObject({ code: 3, details: "the unit of a limit is unknown" });
    expect((await client.bytes(withLimit(100, 77))).code).toBe(3);
  });
});

describe("on trial", () => {
  test("a rule in shadow denies nothing, and the metadata name it", async () => {
    await send(ask([{ kind: "trial", id: "1" }], { hitsAddend: 2 }));
    const answer = await send(ask([{ kind: "trial", id: "1" }]));
    expect(answer.overallCode).toBe("OK");
    expect(short(answer)[0]?.slice(0, 2)).toEqual(["OK", 0]);
    expect(metadataOf(answer)).toEqual(["trial", "quota", "store", ["trial"]]);
    expect(answer.rawBody).toHaveLength(0);
  });

  test("a candidate denies nothing, and the metadata name it", async () => {
    await send(ask([{ kind: "beside", id: "1" }]));
    const answer = await send(ask([{ kind: "beside", id: "1" }]));
    expect(short(answer)[0]?.slice(0, 2)).toEqual(["OK", 7]);
    expect(metadataOf(answer)).toEqual(["beside", "ok", "store", ["beside.candidate"]]);
  });
});

describe("for the client of the proxy", () => {
  test("fields of draft 11, and what decided as metadata", async () => {
    const answer = await send(ask([{ user: "ann" }]));
    expect(fieldsOf(answer)).toEqual({
      "ratelimit-policy": '"user";q=10;w=60',
      ratelimit: '"user";r=9;t=50',
    });
    expect(metadataOf(answer)).toEqual(["user", "ok", "store", []]);
    expect(answer.rawBody).toHaveLength(0);
  });

  test("a denial has Retry-After and a problem", async () => {
    await send(ask([{ user: "ann" }], { hitsAddend: 10 }));
    const answer = await send(ask([{ user: "ann" }]));
    expect(fieldsOf(answer)).toMatchObject({
      "retry-after": "50",
      "content-type": "application/problem+json",
    });
    expect(JSON.parse(answer.rawBody.toString())).toEqual({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      title: "Quota exceeded",
      status: 429,
      "violated-policies": ["user"],
    });
    expect(metadataOf(answer)).toEqual(["user", "quota", "store", []]);
  });

  test("fields of several descriptors list each rule once", async () => {
    const answer = await send(ask([{ user: "ann" }, { kind: "hourly", id: "1" }, { user: "ben" }]));
    expect(fieldsOf(answer).ratelimit).toBe('"user";r=9;t=50, "hourly";r=4;t=3590');
  });
});

describe("what is no request is INVALID_ARGUMENT", () => {
  test.each([
    ["no domain", { domain: "", descriptors: [{ entries: [] }] }, "domain is empty"],
    ["no descriptors", { domain: "edge", descriptors: [] }, "descriptors are empty"],
    [
      "too many descriptors",
      ask(Array.from({ length: 1001 }, () => ({ user: "a" }))),
      "descriptors are more than 1000",
    ],
    [
      "too many entries",
      {
        domain: "edge",
        descriptors: [{ entries: Array.from({ length: 65 }, () => ({ key: "a", value: "b" })) }],
      },
      "entries of a descriptor are more than 64",
    ],
  ])("%s", async (_, request, details) => {
    expect(await client.ask(request)).toEqual({ code: 3, details });
  });

  test("bytes that are no message", async () => {
    const called = await client.bytes(Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]));
    expect(called).toMatchObject({ code: 3, details: "the bytes are no RateLimitRequest" });
  });

  test("more charges than a store takes together", async () => {
    const pairs = Array.from({ length: 501 }, (_, i) => ({ kind: "both", id: `${i}`, org: "o" }));
    const called = await client.ask(ask(pairs));
    expect(called.code).toBe(3);
    expect(called.details).toContain("at most 1000 policies together");
  });
});
