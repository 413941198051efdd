/** Envoy's messages as bytes are what protobuf's own library for JavaScript makes of them, and what is none of them is refused. */
import { fileURLToPath } from "node:url";
import { loadSync } from "@grpc/proto-loader";
import { expect, test } from "vitest";
import { Random } from "../../../../sluice/test/support/random.js";
import { runs } from "../../../../sluice/test/support/runs.js";
import type { RlsAnswer, RlsRequest } from "../rls/index.js";
import { RLS_UNITS, RlsRequestError } from "../rls/index.js";
import { readRls, writeRls } from "./rls-codec.js";

const definitions = loadSync(fileURLToPath(new URL("../../../proto/rls.proto", import.meta.url)), {
  longs: Number,
  enums: String,
  defaults: true,
});

interface Serialized {
  readonly requestSerialize: (message: object) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}
const { ShouldRateLimit } = definitions[
  "envoy.service.ratelimit.v3.RateLimitService"
] as unknown as {
  readonly ShouldRateLimit: Serialized;
};

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const TEXTS = ["", "a", "user", "é", "\u{1f600}", "\u{fffd}", "x".repeat(200), "\0"];

function randomRequest(random: Random): RlsRequest {
  return {
    domain: random.pick(TEXTS),
    hitsAddend: random.pick([0, 1, 127, 128, 2 ** 31, 2 ** 32 - 1]),
    descriptors: Array.from({ length: random.int(0, 4) }, () => ({
      entries: Array.from({ length: random.int(0, 4) }, () => {
        return { key: random.pick(TEXTS), value: random.pick(TEXTS) };
      }),
      limit: random.chance(0.5)
        ? undefined
        : { requestsPerUnit: random.int(0, 2 ** 32 - 1), unit: random.pick(RLS_UNITS) },
      hitsAddend: random.pick([undefined, 0, 1, 300, 2 ** 53]),
      isNegativeHits: random.chance(0.5),
    })),
  };
}

/** As proto-loader wants it. */
function messageOf({ domain, descriptors, hitsAddend }: RlsRequest): object {
  return {
    domain,
    hitsAddend,
    descriptors: descriptors.map(({ hitsAddend: value, ...others }) => {
      return { ...others, ...(value !== undefined && { hitsAddend: { value } }) };
    }),
  };
}

test(`reads what protobufjs writes, seed ${seed}`, () => {
  const random = new Random(seed);
  for (let run = 0; run < runs(2000, 200); run++) {
    const request = randomRequest(random);
    expect(readRls(ShouldRateLimit.requestSerialize(messageOf(request)))).toEqual(request);
  }
});

test(`writes what protobufjs reads, seed ${seed}`, () => {
  const random = new Random(seed);
  const text = (): string => random.pick(TEXTS);
  const code = () => random.pick(["OK", "OVER_LIMIT"] as const);
  for (let run = 0; run < runs(2000, 200); run++) {
    const statuses = Array.from({ length: random.int(0, 12) }, () => ({
      code: code(),
      currentLimit: random.pick([
        undefined,
        { requestsPerUnit: random.int(0, 2 ** 32 - 1), unit: random.pick(RLS_UNITS), name: text() },
      ]),
      limitRemaining: random.pick([0, 1, 2 ** 32 - 1]),
      resetAfterMs: random.pick([undefined, 0, 1, 1000, 1001, 31_536_000_000, 2 ** 52]),
    }));
    const answer: RlsAnswer = {
      overallCode: code(),
      statuses,
      responseHeaders: Array.from({ length: random.int(0, 3) }, () => [text(), text()] as const),
      rawBody: text(),
      metadata: random.pick([undefined, { policy: text(), shadow: [text(), text()], none: [] }]),
    };
    expect(ShouldRateLimit.responseDeserialize(writeRls(answer))).toEqual(readBack(answer));
  }
});

/** What proto-loader makes of an answer. */
function readBack({
  overallCode,
  statuses,
  responseHeaders,
  rawBody,
  metadata,
}: RlsAnswer): object {
  return {
    overallCode,
    statuses: statuses.map(({ code, currentLimit = null, limitRemaining, resetAfterMs: ms }) => {
      const durationUntilReset =
        ms === undefined ? null : { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
      return { code, currentLimit, limitRemaining, durationUntilReset };
    }),
    responseHeadersToAdd: responseHeaders.map(([key, value]) => {
      return { key, value, rawValue: Buffer.of() };
    }),
    requestHeadersToAdd: [],
    rawBody: Buffer.from(rawBody),
    dynamicMetadata: metadata === undefined ? null : { fields: expect.anything() as unknown },
  };
}

const NOT_A_REQUEST = "the bytes are no RateLimitRequest";

test.each([
  ["a text that is cut short", "0a05 6162"],
  ["a length beyond the message around it", "1204 0a05 6162 6364 65"],
  ["a length that is no length", "0aff ffff ffff ffff ffff 01"],
  ["a number of eleven bytes", "18ff ffff ffff ffff ffff ff01"],
  ["a number that has no end", "18ff"],
  ["a field of number 0", "0001"],
  ["a type that there is not", "0e01"],
  ["the end of a group that never began", "0c"],
  ["a group that never ends", "23 2801"],
  ["a group that another ends", "23 2c"],
  ["groups in groups in groups", "23".repeat(20) + "24".repeat(20)],
  ["a text that is no UTF-8", "0a02 61ff"],
  ["half a character", "0a03 eda080"],
  ["four bytes of which two are there", "25 0102"],
])("refuses %s", (_, hex) => {
  const answer = readRls(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  expect(answer).toBeInstanceOf(RlsRequestError);
  expect((answer as Error).message).toBe(NOT_A_REQUEST);
});

const EDGE = { domain: "edge", descriptors: [], hitsAddend: 0 };
const NO_LIMIT = { entries: [], limit: undefined, hitsAddend: undefined, isNegativeHits: false };

test.each([
  [
    "fields that nobody knows",
    "0a0465646765 2801 3205aabbccddee 3d01020304 410102030405060708",
    EDGE,
  ],
  ["a group that nobody knows", "23 2801 2b2c 24 0a0465646765", EDGE],
  ["a known field of another type", "0801 0a0465646765 1a00", EDGE],
  ["the last of two values", "0a0161 0a0465646765 1805 1800", EDGE],
  [
    "the lower 32 bits of a longer number",
    "0a0465646765 18858080801 0".replaceAll(" ", ""),
    { ...EDGE, hitsAddend: 5 },
  ],
  [
    "a unit without a name",
    "1206 1204 0803 1063",
    {
      ...EDGE,
      domain: "",
      descriptors: [{ ...NO_LIMIT, limit: { requestsPerUnit: 3, unit: "UNKNOWN" } }],
    },
  ],
  [
    "a limit in two parts as one",
    "1208 1202 0803 1202 1002",
    {
      ...EDGE,
      domain: "",
      descriptors: [{ ...NO_LIMIT, limit: { requestsPerUnit: 3, unit: "MINUTE" } }],
    },
  ],
  [
    "hits of none as 0",
    "1202 1a00",
    { ...EDGE, domain: "", descriptors: [{ ...NO_LIMIT, hitsAddend: 0 }] },
  ],
])("reads %s", (_, hex, request) => {
  expect(readRls(Buffer.from(hex.replaceAll(" ", ""), "hex"))).toEqual(request);
});
