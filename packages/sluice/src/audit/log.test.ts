import { describe, expect, test } from "vitest";
import { gcra, MemoryStore, parsePolicy, RateLimiter } from "../index.js";
import { ManualClock } from "../testing/manual-clock.js";
import { type Log, LogError, readLogs } from "./log.js";
import { failedCallLine, headerLine, keyId, recordLine } from "./record.js";

const POLICY = gcra({ limit: 10, period: "1s" });
const HEADER = headerLine([POLICY]);
const PLAIN = {
  atUs: 1_800_000_000_000_000,
  key: "k",
  cost: 1,
  allowed: true,
  granted: 1,
  remaining: 0,
  retryAfterMs: 0,
  resetAfterMs: 100,
  reason: "ok",
  source: "store",
};

/** A line of a record, with some fields changed, or left out where undefined. */
function line(changes: Record<string, unknown> = {}): string {
  return `${JSON.stringify({ ...PLAIN, ...changes })}\n`;
}

/** Reads texts as if they were the files a.jsonl, b.jsonl, ... */
function read(...texts: string[]): Promise<Log> {
  return readLogs(texts.map((text, index) => source(`${"abc"[index]}.jsonl`, [text])));
}

function source(name: string, chunks: readonly (string | Uint8Array)[]) {
  return {
    name,
    async *open() {
      yield* chunks;
    },
  };
}

describe("a log that was written", () => {
  test("reads back as it was decided", async () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter({ policy: POLICY, store: new MemoryStore({ clock }) });
    const key = keyId("user:42");
    const decisions = [limiter.consumeSync("user:42"), limiter.consumeSync("user:42", { cost: 5 })];
    const call = { failed: "STORE_TIMEOUT", key, cost: 2.5 };
    const text =
      HEADER +
      decisions
        .map((decision, i) => recordLine({ key, cost: i === 0 ? 1 : 5 }, decision))
        .join("") +
      failedCallLine(call);
    const log = await read(text);
    expect(log).toMatchObject({ files: ["a.jsonl"], policies: [POLICY], failedCalls: 1 });
    expect([...log.records]).toEqual([
      {
        atUs: clock.nowUs(),
        readyAtUs: undefined,
        key,
        verb: "consume",
        cost: 1,
        allowed: true,
        granted: 1,
        remaining: 0,
        retryAfterMs: 0,
        resetAfterMs: 100,
        reason: "ok",
        source: "store",
        file: 0,
        line: 2,
      },
      expect.objectContaining({
        cost: 5,
        allowed: false,
        granted: 0,
        retryAfterMs: Infinity,
        line: 3,
      }),
    ]);
  });

  test("holds no key, only its id", () => {
    expect(keyId("user:42")).toMatch(/^[\w-]{22}$/);
  });

  test.each([
    ["half a character", "a\ud800"],
    ["nothing", ""],
    ["too much", "x".repeat(4097)],
  ])("has no id for what no limiter takes as a key: %s", (_, key) => {
    expect(() => keyId(key)).toThrow("a well-formed string of 1 to 4096 bytes");
  });

  test("may be concatenated with others of its policy", async () => {
    const one = HEADER + line();
    const log = await read(one + one, one);
    expect([...log.records].map(({ file, line: number }) => [file, number])).toEqual([
      [0, 2],
      [0, 4],
      [1, 2],
    ]);
  });

  test("may hold several policies, ends of line of Windows and empty lines", async () => {
    const policies = [
      gcra({ name: "a", limit: 1, period: "1s" }),
      gcra({ name: "b", limit: 2, period: "1s" }),
    ];
    const log = await read(`${headerLine(policies).trimEnd()}\r\n\r\n${line().trimEnd()}\r\n`);
    expect(log.policies).toEqual(policies);
    expect(log.records).toHaveLength(1);
  });

  test("may arrive in any pieces, bytes of one character apart", async () => {
    const bytes = new TextEncoder().encode(HEADER + line({ key: "ключ→🔑" }));
    const log = await readLogs([
      source(
        "a.jsonl",
        Array.from(bytes, (byte) => Uint8Array.of(byte)),
      ),
    ]);
    expect([...log.records]).toEqual([expect.objectContaining({ key: "ключ→🔑", line: 2 })]);
  });

  test("may be audited against another policy", async () => {
    const other = parsePolicy({ algorithm: "gcra", limit: 5, period: "1s" });
    const log = await readLogs([source("a.jsonl", [line(), HEADER, line()])], [other]);
    expect(log.policies).toEqual([other]);
    expect(log.records).toHaveLength(2);
  });
});

describe("a log that cannot be read says where and why", () => {
  const cases: [title: string, texts: string[], message: RegExp][] = [
    ["nothing in it", [""], /^a\.jsonl: empty/],
    ["a record before the header", [line()], /^a\.jsonl:1: a log begins with its header/],
    [
      "a line cut short",
      [HEADER + line().slice(0, 30)],
      /^a\.jsonl:2: not a line of JSON \(cut short\?\): "\{/,
    ],
    [
      "a line that is no object",
      [`${HEADER}[1]\n`],
      /^a\.jsonl:2: a line is one JSON object, not "\[1\]"/,
    ],
    ["a header of another format", ['{"sluice":2}\n'], /^a\.jsonl:1: log format 2 is not known/],
    [
      "a header without a policy",
      ['{"sluice":1}\n'],
      /^a\.jsonl:1: the header's policy is not valid/,
    ],
    [
      "a header with a wrong policy",
      ['{"sluice":1,"policy":{"algorithm":"gcra","limit":-1,"period":"1s"}}\n'],
      /^a\.jsonl:1: the header's policy is not valid: policy\.limit: -1/,
    ],
    [
      "two policies",
      [HEADER + line(), headerLine([gcra({ limit: 11, period: "1s" })])],
      /^b\.jsonl:1: the policy differs from the one at a\.jsonl:1/,
    ],
    ["no time", [HEADER + line({ atUs: undefined })], /^a\.jsonl:2: the record has no "atUs"/],
    [
      "a time in part of a µs",
      [HEADER + line({ atUs: 1.5 })],
      /^a\.jsonl:2: "atUs" is 1\.5; expected whole micro/,
    ],
    ["a text for a number", [HEADER + line({ granted: "1" })], /"granted" is "1"; expected units/],
    [
      "less than a thousandth",
      [HEADER + line({ cost: 0.0001 })],
      /"cost" is 0\.0001; expected units/,
    ],
    [
      "a word for a truth",
      [HEADER + line({ allowed: "yes" })],
      /"allowed" is "yes"; expected true or false/,
    ],
    [
      "an unknown reason",
      [HEADER + line({ reason: "mood" })],
      /"reason" is "mood"; expected one of ok, quota/,
    ],
    [
      "an unknown source",
      [HEADER + line({ source: "cache" })],
      /"source" is "cache"; expected one of store/,
    ],
    [
      "an unknown verb",
      [HEADER + line({ verb: "refund" })],
      /"verb" is "refund"; expected one of consume/,
    ],
    [
      "a negative wait",
      [HEADER + line({ retryAfterMs: -1 })],
      /"retryAfterMs" is -1; expected whole milli/,
    ],
    ["an empty key", [HEADER + line({ key: "" })], /"key" is ""; expected a text/],
    ["a line without end", [HEADER + "x".repeat(2 ** 20 + 1)], /^a\.jsonl:2: a line is longer/],
  ];
  for (const [title, texts, message] of cases) {
    test(`for ${title}`, async () => {
      await expect(read(...texts)).rejects.toThrow(LogError);
      await expect(read(...texts)).rejects.toThrow(message);
    });
  }

  test("for a file that is not there", async () => {
    const missing = {
      name: "a.jsonl",
      async *open() {
        yield await Promise.reject<string>(new Error("ENOENT"));
      },
    };
    await expect(readLogs([missing])).rejects.toThrow(/^a\.jsonl: cannot be read: ENOENT/);
  });

  test("without letting the file steer the terminal", async () => {
    const error: unknown = await read(`${HEADER}\u001b[2J{\n`).catch((thrown: unknown) => thrown);
    expect(String(error)).not.toContain("\u001b");
  });
});
