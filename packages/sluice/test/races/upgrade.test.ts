/**
 * A rolling upgrade: processes of a release and of the present build at the same keys, at the same time. Whatever
 * one of them writes the other reads as it was meant, or the audit of all they saw would not pass.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  buildCommit,
  type Entries,
  entriesOf,
  packageDirectory,
} from "../../../../scripts/build-commit.mjs";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { auditFiles } from "../../src/audit/audit.js";
import { headerLine, keyId, recordLine } from "../../src/audit/record.js";
import { auditSemaphore } from "../../src/audit/semaphore-audit.js";
import { readSemaphoreLogs } from "../../src/audit/semaphore-log.js";
import { semaphoreHeaderLine } from "../../src/audit/semaphore-record.js";
import {
  calendarWindow,
  type Decision,
  fixedWindow,
  gcra,
  leakyBucket,
  type Policy,
  slidingLog,
  slidingWindow,
  tokenBucket,
} from "../../src/index.js";
import { type GoldenKeys, PACES, readGolden, startRecorder } from "../golden/recorder.js";
import { scenarios } from "../golden/scenarios.js";
import type { Library } from "../golden/world.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import type { Asked, Job, Start, Verb } from "./upgrade-worker.mjs";

/** The last commit before the internals were written anew. */
const RELEASE = "f74f3ab4b3a3d8ed2575bc2c5c314eadca5d48b1";
const WORKER = fileURLToPath(new URL("./upgrade-worker.mjs", import.meta.url));
/** Of the release and of the present build by turns. */
const PROCESSES = 4;
const CALLERS = 8;
const CALLS = 60;

let release: Entries;
let present: Entries;
let built: BuiltPackage;
let redis: Awaited<ReturnType<typeof startRedis>>;
let files = 0;
beforeAll(async () => {
  release = buildCommit(RELEASE);
  built = await buildPackage([]);
  present = entriesOf(packageDirectory, built.directory);
  redis = await startRedis();
});
afterAll(async () => {
  for (const worker of workers) await worker.end();
  await redis?.stop();
  built?.remove();
});

type Task = Omit<Job, "key" | "index" | "processes"> & {
  readonly processes?: number;
};

async function forgetKeys(): Promise<void> {
  const client = createClient({ url: redis.url });
  await client.connect();
  await client.flushAll();
  await client.close();
}

interface Worker {
  /** What it saw, as JSON. */
  perform(job: Job): Promise<string>;
  end(): Promise<void>;
  kill(): void;
}

/** Of the release and of the present build by turns. They stay from one test to the next, since to start is work. */
const workers: Worker[] = [];
let underWay = 0;
// Where one failed, the others may wait for it.
afterEach(() => {
  if (underWay > 0) for (const worker of workers.splice(0)) worker.kill();
  underWay = 0;
});

function startWorker(start: Start): Worker {
  const child = spawn(process.execPath, [WORKER, JSON.stringify(start)], { stdio: "pipe" });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // That it has ended is said below.
  child.stdin.on("error", () => {});
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const closed = once(child, "close");
  const end = async (): Promise<void> => {
    child.stdin.end();
    const [code] = (await closed) as [number | null];
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  };
  return {
    async perform(job) {
      child.stdin.write(`${JSON.stringify(job)}\n`);
      const answer: IteratorResult<string, unknown> = await answers.next();
      if (answer.done !== true) return answer.value;
      await end();
      throw new Error("a process ended before it answered");
    },
    end,
    kill: () => child.kill("SIGKILL"),
  };
}

async function perform<T>(job: Job): Promise<T> {
  const build = job.index % 2 === 0 ? release : present;
  workers[job.index] ??= startWorker({ build, url: redis.url });
  underWay += 1;
  const seen = await (workers[job.index] as Worker).perform(job);
  underWay -= 1;
  return JSON.parse(seen) as T;
}

/** What each process saw, of the release first and then by turns. */
function together<T>(task: Task): Promise<T[]> {
  const { processes = PROCESSES } = task;
  return Promise.all(
    Array.from({ length: processes }, (_, index) =>
      perform<T>({ ...task, key: "hot", index, processes }),
    ),
  );
}

/** What either build finds when all is over. */
function peeks(policy: Policy): Promise<Decision[]> {
  return Promise.all(
    [0, 1].map((index) =>
      perform<Decision>({ task: "peek", policy, key: "hot", index, processes: 1, calls: 0 }),
    ),
  );
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

async function logFile(lines: string): Promise<string> {
  files += 1;
  const file = `${built.directory}/upgrade-${files}.jsonl`;
  await writeFile(file, lines);
  return file;
}

const TAKES: readonly Verb[] = ["consume", "consumeUpTo", "reserve"];
/** Where a start can be promised ahead. */
const WAITS: readonly Verb[] = [...TAKES, "acquire"];

const POLICIES: readonly (readonly [string, readonly Verb[], Policy | readonly Policy[]])[] = [
  ["a token bucket", WAITS, tokenBucket({ limit: 3001, period: "1s", burst: 100 })],
  [
    "a token bucket by intervals",
    TAKES,
    tokenBucket({ limit: 150, period: 50, burst: 300, refill: "interval" }),
  ],
  [
    "a token bucket of a long period",
    TAKES,
    tokenBucket({ limit: 86_400_007, period: "1d", burst: 50 }),
  ],
  ["gcra", WAITS, gcra({ limit: 2999, period: "1s", burst: 7 })],
  ["a leaky bucket", WAITS, leakyBucket({ limit: 3000, period: "997ms", capacity: 200 })],
  ["a fixed window by the clock", TAKES, fixedWindow({ limit: 150, window: 50 })],
  [
    "a fixed window from the first hit",
    TAKES,
    fixedWindow({ limit: 150, window: 50, align: "first" }),
  ],
  [
    "a calendar window",
    TAKES,
    calendarWindow({ limit: 1500, unit: "year", timeZone: "Asia/Kathmandu" }),
  ],
  ["a sliding window", TAKES, slidingWindow({ limit: 300, window: 100 })],
  ["a sliding log", TAKES, slidingLog({ limit: 300, window: 100 })],
  [
    "two policies",
    TAKES,
    [
      tokenBucket({ name: "burst", limit: 3000, period: "1s", burst: 200 }),
      slidingLog({ name: "peak", limit: 400, window: 100 }),
    ],
  ],
  [
    "two buckets in line",
    WAITS,
    [
      tokenBucket({ name: "second", limit: 3000, period: "1s", burst: 20 }),
      tokenBucket({ name: "day", limit: 200_000_000, period: "1d", burst: 90 }),
    ],
  ],
];

describe(`${PROCESSES} processes of the release and of the present build`, () => {
  test.each(POLICIES)(
    "keep the bound of %s, and every decision is the kernel's",
    async (...each) => {
      const [, verbs, policy] = each;
      await forgetKeys();
      const seen = await together<Asked[]>({ task: "taken", calls: CALLS, policy, verbs });
      const policies = Array.isArray(policy) ? (policy as readonly Policy[]) : [policy as Policy];
      const logs = await Promise.all(
        seen.map((asked, index) => {
          const own = index % 2 === 0 ? asked.map((one) => asReleased(one, policies)) : asked;
          return logFile(headerLine(policies) + own.map(lineOf).join(""));
        }),
      );
      const records = seen.flat().length;
      const report = await auditFiles(logs);
      const [key] = report.keys;
      expect(key?.replay.mismatch).toBeUndefined();
      expect(report).toMatchObject({
        passed: true,
        tally: { records, unaudited: {} },
        keys: [{ replay: { matches: true, replayed: records } }],
      });
      expect(report.tally.granted).toBeGreaterThan(0);
      expect(meetings(seen.map((asked) => asked.map(({ decision }) => decision)))).toBeGreaterThan(
        0,
      );
    },
  );

  test("lose and double no unit that is given back", async () => {
    const units = 1_000_000;
    const policy = fixedWindow({ limit: units, window: "365d", align: "first" });
    await forgetKeys();
    const inUse = sumOf(await together<number>({ task: "ledger", calls: CALLS, policy }));
    for (const { remaining } of await peeks(policy)) expect(remaining).toBe(units - inUse);
  });

  test("lose and double no unit that is taken ahead", async () => {
    const units = 1_000_000;
    const policy = fixedWindow({ limit: units, window: "365d", align: "first" });
    await forgetKeys();
    const inUse = sumOf(await together<number>({ task: "ahead", calls: CALLS, policy }));
    expect(inUse).toBe(PROCESSES * CALLERS * CALLS);
    for (const { remaining } of await peeks(policy)) expect(remaining).toBe(units - inUse);
  });

  test.each([
    ["a token bucket", tokenBucket({ limit: 1, period: "1h", burst: 5 })],
    ["a token bucket of a long period", tokenBucket({ limit: 7, period: "7d", burst: 5 })],
  ])("lose no place in the line of %s, and give back what is cancelled", async (...each) => {
    const [, policy] = each;
    await forgetKeys();
    interface Line {
      readonly kept: number;
      readonly givenBack: readonly boolean[];
    }
    const saw = await together<Line>({ task: "line", calls: 20, policy });
    expect(saw.flatMap(({ givenBack }) => givenBack)).toEqual(new Array(2 * PROCESSES).fill(true));
    const kept = sumOf(saw.map((own) => own.kept));
    const unitMs = policy.period / policy.limit;
    for (const { retryAfterMs } of await peeks(policy)) {
      // Whoever comes now waits for all of them, but for what came back since the first took its place.
      const unitsMs = (kept + 1 - policy.burst) * unitMs;
      expect(retryAfterMs).toBeLessThanOrEqual(unitsMs);
      expect(retryAfterMs).toBeGreaterThan(unitsMs - unitMs / 2);
    }
  });

  test("deny while another has blocked the key, and no longer", async () => {
    interface Spans {
      readonly seen: readonly { readonly atUs: number; readonly reason: string }[];
      readonly blocks: readonly { readonly fromUs: number; readonly toUs: number }[];
      readonly free: readonly { readonly fromUs: number; readonly toUs: number }[];
    }
    const policy = tokenBucket({ limit: 1_000_000, period: "1s", burst: 1_000_000 });
    await forgetKeys();
    const saw = await together<Spans>({ task: "block", calls: 5, policy });
    const seen = saw.flatMap((own) => own.seen);
    const reasonsIn = (spans: Spans["blocks"]): readonly string[] =>
      seen
        .filter(({ atUs }) => spans.some(({ fromUs, toUs }) => fromUs <= atUs && atUs <= toUs))
        .map(({ reason }) => reason);
    const blocked = reasonsIn(saw.flatMap(({ blocks }) => blocks));
    const free = reasonsIn(saw.flatMap((own) => own.free));
    expect(blocked.length).toBeGreaterThan(0);
    expect(free.length).toBeGreaterThan(0);
    expect(new Set(blocked)).toEqual(new Set(["blocked"]));
    expect(new Set(free)).toEqual(new Set(["ok"]));
  });

  test("never hold more of a semaphore at once than its limit", async () => {
    interface Held {
      readonly fence: number;
      readonly weight: number;
      readonly untilUs: number;
      readonly heldUntilUs: number;
      readonly isLost: boolean;
    }
    const limit = 5;
    await forgetKeys();
    const seen = await together<Held[]>({ task: "hold", calls: 25, limit });
    const key = keyId("hot");
    const lines = seen.flat().map(({ fence, weight, untilUs, heldUntilUs, isLost }) => {
      // A permit tells no ticket; that the order of the line is kept is seen in the next test.
      const granted = { key, granted: fence, ticket: 0, weight, atUs: fence, untilUs };
      // Of one that was lost, as it is when the machine stalls, nothing is certain.
      const until = isLost ? fence : Math.max(fence, heldUntilUs);
      const released = { key, released: fence, atUs: until };
      return `${JSON.stringify(granted)}\n${JSON.stringify(released)}\n`;
    });
    const name = await logFile(semaphoreHeaderLine(limit) + lines.join(""));
    const log = await readSemaphoreLogs([{ name, open: () => createReadStream(name) }]);
    const grants = PROCESSES * CALLERS * 25;
    expect(auditSemaphore(log)).toMatchObject({ passed: true, grants, keys: [{ most: limit }] });
  });

  test("stand in one line for a semaphore, and wake each other", async () => {
    await forgetKeys();
    const fences = await together<number>({ task: "queue", calls: 1, processes: 6 });
    expect(fences).toEqual([...fences].sort((a, b) => a - b));
    expect(new Set(fences).size).toBe(fences.length);
  });
});

test("the golden bytes are those of the release", async () => {
  const [core, { RedisStore }, { ManualClock }] = (await Promise.all(
    [release.core, release.redis, release.testing].map(
      (path) => import(/* @vite-ignore */ pathToFileURL(path).href),
    ),
  )) as [Library["core"], Pick<Library, "RedisStore">, Pick<Library, "ManualClock">];
  const recorder = await startRecorder({ core, RedisStore, ManualClock });
  try {
    const golden = readGolden();
    for (const [name, scenario] of Object.entries(scenarios)) {
      for (const pace of PACES) {
        const expected = asOfRelease(golden[name]?.[pace] ?? {});
        expect(await recorder.observe(scenario, pace, expected), name).toEqual(expected);
      }
    }
  } finally {
    await recorder.end();
  }
});

/** What the release leaves of the last reservation that is cancelled, in the remainder: this build leaves nothing. */
function asOfRelease(keys: GoldenKeys): GoldenKeys {
  const text = JSON.stringify(keys);
  const left = text.replaceAll("02cc07000000002a01", "02cc07000000002b01");
  return JSON.parse(left) as GoldenKeys;
}

/** On refills by interval the release promises no start: its calls reserve for now, or not at all. */
function asReleased(asked: Asked, policies: readonly Policy[]): Asked {
  const isByInterval = policies.some(
    (policy) => "refill" in policy && policy.refill === "interval",
  );
  return isByInterval && asked.verb === "reserve" ? { ...asked, maxWaitUs: 0 } : asked;
}

/** The line of one answer in a log. */
function lineOf({ verb, cost, maxWaitUs, decision, granted, readyAtUs }: Asked): string {
  const asked = verb === "acquire" ? "reserve" : verb;
  return recordLine(
    { key: keyId("hot"), cost, verb: asked, maxWaitUs },
    { ...decision, ...(granted !== undefined && { granted }), readyAtUs },
  );
}

/** How often a decision of one build came right after one of the other. */
function meetings(decisions: readonly (readonly Decision[])[]): number {
  const builds = decisions
    .flatMap((own, index) => own.map(({ decidedAtUs }) => ({ decidedAtUs, build: index % 2 })))
    .sort((a, b) => a.decidedAtUs - b.decidedAtUs)
    .map(({ build }) => build);
  return builds.filter((build, i) => i > 0 && build !== builds[i - 1]).length;
}
