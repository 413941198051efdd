/** Processes that decide by themselves while their Redis is away: what they admit together, over several outages. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, type TestContext } from "vitest";
import { checkBound } from "../../src/audit/bound.js";
import { type DecisionSource, fixedWindow, type Policy, tokenBucket } from "../../src/index.js";
import { record } from "../support/records.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startKeeper, type Victim } from "../support/servers.js";
import { driverNames } from "./support/drivers.js";
import { say } from "./support/through-fault.js";

const WORKER = fileURLToPath(new URL("./support/outage-worker.mjs", import.meta.url));

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["ioredis", "redis"]);
});
afterAll(() => {
  built.remove();
});

/** What a worker tells of each call. */
export interface Answer {
  readonly key: string;
  /** The number of the task in which it began. */
  readonly task: number;
  readonly allowed: boolean;
  readonly source: DecisionSource;
  readonly retryAfterMs: number;
  readonly decidedAtUs: number;
  /** By the monotonic clock of its process. */
  readonly startMs: number;
  readonly endMs: number;
}

interface Told {
  readonly answers: readonly Answer[];
  readonly aborted: number;
}

interface Worker {
  /** Resolves when the task is done. */
  run(task: string): Promise<void>;
  /** What all calls came to. */
  end(): Promise<Told>;
}

interface WorkerOptions {
  readonly url: string;
  readonly driver: string;
  /** By their keys. */
  readonly policies: Readonly<Record<string, Policy>>;
  readonly timeoutMs: number;
}

function startWorker({ onTestFinished }: TestContext, options: WorkerOptions): Worker {
  const { url, driver, policies, timeoutMs } = options;
  const args = [`${built.directory}/dist`, url, driver, JSON.stringify(policies), `${timeoutMs}`];
  const child = spawn(process.execPath, [WORKER, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const input = createInterface(child.stdout);
  const lines: AsyncIterator<string, undefined> = input[Symbol.asyncIterator]();
  const closed = once(child, "close");
  const nextLine = async (): Promise<string> => {
    const { value } = await lines.next();
    if (value === undefined) throw new Error(`the worker ended: ${errors}`);
    return value;
  };
  return {
    run: async (task) => {
      child.stdin.write(`${task}\n`);
      expect(await nextLine()).toBe("done");
    },
    end: async () => {
      child.stdin.end();
      const told = JSON.parse(await nextLine()) as Told;
      await closed;
      expect(errors).toBe("");
      return told;
    },
  };
}

type Fault = readonly [begin: (victim: Victim) => unknown, end: (victim: Victim) => unknown];

const KILLED: Fault = [(victim) => victim.kill(), (victim) => victim.restart()];
const SILENT: Fault = [
  (victim) => {
    victim.suspend();
  },
  (victim) => {
    victim.resume();
  },
];

type Which = Partial<Pick<Answer, "key" | "source" | "allowed">>;

const select = (answers: readonly Answer[], { key, source, allowed }: Which): Answer[] =>
  answers.filter(
    (each) =>
      (key ?? each.key) === each.key &&
      (source ?? each.source) === each.source &&
      (allowed ?? each.allowed) === each.allowed,
  );

/** Holds what these answers admitted against the bound of a policy. */
function expectBound(policy: Policy, answers: readonly Answer[]): void {
  const admitted = select(answers, { allowed: true });
  const records = admitted.map(({ decidedAtUs }) => record({ atUs: decidedAtUs, granted: 1 }));
  expect(checkBound(policy, records)).toMatchObject({ holds: true });
}

const LIMIT = 60;
const PROCESSES = 4;

test.concurrent(`${PROCESSES} processes, three outages in one window`, async (context) => {
  const shared = tokenBucket({ limit: LIMIT, period: "1h" });
  const policies = {
    shared,
    "used up": tokenBucket({ limit: 5, period: "10h" }),
    "briefly used up": fixedWindow({ limit: 5, window: "3s", align: "first" }),
  };
  const victim = await startKeeper(context);
  const { url } = victim;
  const workers = Array.from({ length: PROCESSES }, (_, i) => {
    const driver = driverNames[i % driverNames.length] as string;
    return startWorker(context, { url, driver, policies, timeoutMs: 500 });
  });
  const all = async (...tasks: readonly string[]): Promise<void> => {
    for (const task of tasks) await Promise.all(workers.map((worker) => worker.run(task)));
  };
  const away = async ([begin, end]: Fault, ...tasks: readonly string[]): Promise<void> => {
    await begin(victim);
    await all("away", ...tasks);
    await end(victim);
    await all("well");
  };

  await all("well", "spend", "useUp", "useUpBriefly");
  await away(KILLED, "ask", "wait");
  await all("spend");
  await away(SILENT, "ask");
  await all("spend");
  await away(KILLED, "ask");
  await all("ask");
  const told = await Promise.all(workers.map((worker) => worker.end()));

  const every = told.flatMap(({ answers }) => answers);
  const ofShared = select(every, { key: "shared" });
  const byStore = select(ofShared, { source: "store" });
  expect(select(byStore, { allowed: true }).length).toBeGreaterThan(0);
  expectBound(shared, byStore);
  for (const { answers } of told) {
    const local = select(answers, { key: "shared", source: "local" });
    // All of the bound was used, and asked for again in each outage.
    expect(select(local, { allowed: true }).length).toBeGreaterThanOrEqual(LIMIT);
    expect(new Set(local.map(({ task }) => task)).size).toBeGreaterThanOrEqual(3);
    expectBound(shared, local);
    expectDenied(select(answers, { key: "used up" }));
    expectDenied(select(answers, { key: "briefly used up" }));
  }
  expectBound(tokenBucket({ limit: (1 + PROCESSES) * LIMIT, period: "1h" }), ofShared);
  const count = (which: Which): number => select(ofShared, { allowed: true, ...which }).length;
  say(`admitted of ${LIMIT}: ${count({ source: "store" })} by the store, ${count({})} in all`);
});

/** What the store denied stays denied until the wait that it named is over, and somebody asked meanwhile. */
function expectDenied(answers: readonly Answer[]): void {
  const first = answers.findIndex(({ allowed, source }) => !allowed && source === "store");
  const { startMs = Number.NaN, retryAfterMs = 0 } = answers[first] ?? {};
  const later = answers.slice(first + 1);
  expect(select(later, { source: "deny-cache" }).length).toBeGreaterThan(0);
  // Waits are whole milliseconds, rounded up.
  const over = startMs + retryAfterMs - 1;
  expect(later.filter(({ allowed, endMs }) => allowed && endMs < over)).toEqual([]);
}

const OUTAGES = 20;
const OUTAGE_MS = 300;

/** Callers ask for more in a few outages. */
const MANY = 200;

test.concurrent(`${OUTAGES} outages of ${OUTAGE_MS} ms in one window, half of the callers aborting`, async (context) => {
  const shared = fixedWindow({ limit: MANY, window: "1h", align: "first" });
  const victim = await startKeeper(context);
  const options = { url: victim.url, driver: "ioredis", policies: { shared }, timeoutMs: 100 };
  const worker = startWorker(context, options);
  await worker.run("well");
  for (let i = 0; i < OUTAGES; i++) {
    const [begin, end] = i % 2 === 0 ? KILLED : SILENT;
    await begin(victim);
    await worker.run("press");
    await sleep(OUTAGE_MS);
    await worker.run("local");
    await worker.run("release");
    await end(victim);
    await worker.run("well");
  }
  const { answers, aborted } = await worker.end();
  const local = select(answers, { source: "local" });
  const outages = new Set(local.map(({ task }) => task)).size;
  expect(outages).toBeGreaterThanOrEqual(OUTAGES);
  expect(aborted).toBeGreaterThan(0);
  expect(select(local, { allowed: true })).toHaveLength(MANY);
  expectBound(shared, local);
  expectBound(shared, select(answers, { source: "store" }));
  say(`${local.length} decided locally in ${outages} outages, ${aborted} aborted`);
});
