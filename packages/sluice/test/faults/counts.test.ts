/** The counts of processes under load, through outages, are what their callers saw. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LimiterStats, StoreStats } from "../../src/index.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startKeeper } from "../support/servers.js";

const WORKER = fileURLToPath(new URL("./support/counting-worker.mjs", import.meta.url));
const PROCESSES = 4;
const ROUNDS = 60;

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["ioredis", "redis"]);
});
afterAll(() => {
  built.remove();
});

interface Book {
  readonly limiter: string;
  readonly allowed: number;
  readonly denied: number;
  readonly shadowDenied: number;
  readonly withoutStore: number;
  readonly aborted: number;
  readonly failed: number;
  readonly units: number;
}

interface Told {
  readonly books: readonly Book[];
  readonly stats: readonly Book[];
  readonly sources: readonly string[];
  readonly prefetch: LimiterStats["prefetch"];
  readonly calls: StoreStats["calls"];
}

test("four processes count each of their calls once, whatever came of it", async (context) => {
  const { onTestFinished } = context;
  const redis = await startKeeper(context);
  const workers = Array.from({ length: PROCESSES }, () => {
    const child = spawn(process.execPath, [WORKER, `${built.directory}/dist`, redis.url]);
    onTestFinished(() => void child.kill("SIGKILL"));
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    const lines: AsyncIterator<string, undefined> = createInterface(child.stdout)[
      Symbol.asyncIterator
    ]();
    const nextLine = async (): Promise<string> => {
      const { value } = await lines.next();
      if (value === undefined) throw new Error(`the worker ended: ${errors}`);
      return value;
    };
    const run = async (): Promise<void> => {
      child.stdin.write(`${ROUNDS}\n`);
      expect(await nextLine()).toBe("done");
    };
    const end = async (): Promise<Told> => {
      const closed = once(child, "close");
      child.stdin.end();
      const told = JSON.parse(await nextLine()) as Told;
      await closed;
      expect(errors).toBe("");
      return told;
    };
    return { run, end };
  });
  const all = (): Promise<unknown> => Promise.all(workers.map(({ run }) => run()));
  await all();
  await redis.kill();
  await all();
  await redis.restart();
  await all();
  redis.suspend();
  await all();
  redis.resume();
  await all();
  const told = await Promise.all(workers.map(({ end }) => end()));

  for (const { books, stats, prefetch, calls } of told) {
    expect(stats).toEqual(books);
    for (const { limiter, allowed, denied, shadowDenied, aborted, failed } of stats) {
      const sum = allowed + denied + shadowDenied + aborted + failed;
      expect([limiter, sum]).toEqual([limiter, 5 * ROUNDS * 2]);
    }
    expect(calls.pending).toBe(0);
    const { taken, spent, returned, lost, held } = prefetch;
    expect([held, taken >= spent, taken >= returned + lost]).toEqual([0, true, true]);
  }
  // Nothing above says much unless each of these came about.
  const happened = (what: keyof Book): number =>
    told.flatMap(({ stats }) => stats).reduce((sum, each) => sum + Number(each[what]), 0);
  for (const what of [
    "allowed",
    "denied",
    "shadowDenied",
    "withoutStore",
    "aborted",
    "failed",
  ] as const) {
    expect([what, happened(what) > 0]).toEqual([what, true]);
  }
  const sources = new Set(told.flatMap((each) => each.sources));
  for (const source of ["store", "prefetch", "local", "fail-open", "fail-closed"]) {
    expect(sources).toContain(source);
  }
});
