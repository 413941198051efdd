/** What came over the wire may be anything: it is answered or refused, never a fault, and leaves nothing behind. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { MemoryStore } from "../../src/index.js";
import { storeHandler } from "../../src/remote/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const policies = [
  { algorithm: "gcra", name: "gcra", limit: 5, period: 1000, burst: 5 },
  { algorithm: "sliding-log", name: "log", limit: 5, window: 1000 },
  { algorithm: "calendar-window", name: "c", limit: 5, unit: "day", timeZone: "Europe/Rome" },
];
const keyspaces = ["n:gcra", "n:log~l", "n:c~c"];
const calls = (verb: number, ...more: unknown[]): object => {
  const run = [verb, 0, 5, [0, 0, 1000, 1, 1, 500], ["a", "b", "c", "d"]];
  return {
    policies,
    keyspaces,
    calls: more.length > 0 ? [[...run.slice(0, 4), ["a", "b"], ...more]] : [run],
  };
};
const terms = [1000, 250, 625];

/** One of each kind that is right. */
const RIGHT: readonly object[] = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13].map((verb) => calls(verb)),
  calls(10, [5, 5, 5, 5, 0, 0, 0, 0]),
  { policies, keyspaces, calls: [[1, 0, 0, [2, 2, 1], ["z"]]] },
  { semaphores: [["n:semaphore", "k", 1, 2, ...terms, 1, 250, ["o.1", 1, "o.2", 2]]] },
  { semaphores: [["n:semaphore", "k", 4, 2, ...terms, 0, 250, ["o.1", 0]]] },
  { semaphores: [["n:semaphore", "k", 5, 9, ...terms, 0, 250, []]] },
  { ask: ["overrides.write", "n", "k", "text", null, 5] },
  { ask: ["overrides.read", "n", ""] },
  { ask: ["reports.write", "n", 5, "p", 1, "1 1 ", [["a", "b"]]] },
  { ask: ["reports.read", "n", 5] },
  { ask: ["reports.now", "n"] },
  { ask: ["documents.head", "n", 5] },
  { ask: ["documents.publish", "n", "text", "digest", "by", null, 0, 0] },
  { ask: ["documents.read", "n", 0] },
  { ask: ["documents.history", "n"] },
  { notices: { session: "s", turn: 1, ack: 0, from: 1, changes: [["listen", "n:s", "k", "o"]] } },
  {
    notices: {
      session: "s",
      turn: 2,
      ack: 9,
      from: 2,
      changes: [
        ["watch", "n"],
        ["end", "o"],
      ],
    },
  },
].map((frame) => ({ v: 1, within: 1000, ...frame }));

const NUMBERS = [-1, 0, 1, 2, 0.5, 1e3, 1e308, -1e308, 2 ** 53, 2 ** 53 + 2, 1e15];
const TEXTS = [
  "",
  "a",
  "\u0000",
  "\ud800",
  "__proto__",
  "n:gcra",
  "x".repeat(9000),
  "é".repeat(4097),
];
const LISTS = [[], [[]], [null], [1, 0, 0, [0, 0, 1], ["a"]]];
const HOSTILE: readonly unknown[] = [null, true, {}, { code: 1 }, ...NUMBERS, ...TEXTS, ...LISTS];

/** A copy with one or a few values in it replaced, dropped, doubled, or put elsewhere. */
function mutated(random: Random, value: unknown): unknown {
  if (random.next() < 0.2) return random.pick(HOSTILE);
  if (Array.isArray(value) && value.length > 0) {
    const at = random.int(0, value.length - 1);
    const change = random.int(0, 5);
    if (change === 0) return value.toSpliced(at, 1);
    if (change === 1) return value.toSpliced(at, 0, value[at]);
    if (change === 2) return value.toSpliced(at, 0, random.pick(HOSTILE));
    return value.with(at, mutated(random, value[at]));
  }
  if (typeof value === "object" && value !== null && Object.keys(value).length > 0) {
    const entries: [string, unknown][] = Object.entries(value);
    const [name, inside] = random.pick(entries);
    if (random.next() < 0.1) return Object.fromEntries(entries.filter(([other]) => other !== name));
    return { ...value, [name]: mutated(random, inside) };
  }
  if (typeof value === "number" && random.next() < 0.5) return value + random.int(-2, 2);
  return random.pick(HOSTILE);
}

/** A byte changed, taken away, put in, or the end cut off. */
function broken(random: Random, bytes: Buffer): Buffer {
  const at = random.int(0, bytes.length - 1);
  const byte = Buffer.from([random.int(0, 255)]);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at + 1)];
  return random.pick([
    () => Buffer.concat([before, byte, after]),
    () => Buffer.concat([before, after]),
    () => Buffer.concat([before, byte, bytes.subarray(at)]),
    () => Buffer.from(before),
  ])();
}

function collect(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

test(`each of many bodies is answered or refused, and memory does not grow (SLUICE_SEED=${seed})`, async () => {
  const random = new Random(seed);
  const store = new MemoryStore({ clock: new ManualClock(), maxKeys: 500 });
  const handler = storeHandler(store, { maxKeyspaces: 50 });
  const gone = AbortSignal.abort();
  const statuses = new Map<number, number>();
  const count = runs(100_000, 10_000);
  const heaps: number[] = [];
  for (let i = 0; i < count; i++) {
    if (i % Math.floor(count / 4) === 0) heaps.push(collect());
    const frame = mutated(random, random.pick(RIGHT));
    let body: Buffer = Buffer.from(JSON.stringify(frame) ?? "");
    if (random.next() < 0.3 && body.length > 0) body = broken(random, body);
    // Whoever waits for notices would wait: nobody does here.
    const { status, body: said } = await handler.handle(body, gone);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    JSON.parse(said);
  }
  expect([...statuses.keys()].filter((status) => status !== 200 && status !== 400)).toEqual([]);
  expect(statuses.get(200)).toBeGreaterThan(count / 20);
  expect(statuses.get(400)).toBeGreaterThan(count / 20);
  await new Promise((resolve) => setImmediate(resolve));
  expect(handler.pending).toBe(0);
  expect(store.size).toBeLessThanOrEqual(500);
  handler.close();
  const [, second = 0, , last = collect()] = heaps;
  expect(last - second).toBeLessThan(8e6);
});

test("what is right is answered", async () => {
  const handler = storeHandler(new MemoryStore());
  for (const frame of RIGHT) {
    const { status, body } = await handler.handle(
      Buffer.from(JSON.stringify(frame)),
      AbortSignal.abort(),
    );
    expect([status, body.slice(0, 200)]).toEqual([200, expect.stringMatching(/^\{"v":1/)]);
  }
  handler.close();
});

test.each([
  ["no JSON", "{", 400, "JSON"],
  ["no UTF-8", Buffer.from([0x22, 0xff, 0x22]), 400, "UTF-8"],
  ["another version", '{"v":2}', 400, "v must be 1"],
  ["too long", " ".repeat(3000), 413, "at most 2048 bytes"],
  ["too many calls", JSON.stringify({ v: 1, ...calls(3) }), 429, "wait for the store already"],
])("%s is refused", async (_, text, status, detail) => {
  const handler = storeHandler(new MemoryStore(), { maxBodyBytes: 2048, maxPending: 1 });
  const answer = await handler.handle(Buffer.from(text as string));
  expect(answer).toMatchObject({ status, contentType: "application/problem+json" });
  expect(JSON.parse(answer.body)).toMatchObject({
    status,
    versions: [1],
    detail: expect.stringContaining(detail) as string,
  });
});
