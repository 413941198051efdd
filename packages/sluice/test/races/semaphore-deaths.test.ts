/** Processes that are killed, stopped, or end, while they hold a permit or wait for one. */
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { auditSemaphore } from "../../src/audit/semaphore-audit.js";
import { readSemaphoreLogs } from "../../src/audit/semaphore-log.js";
import { systemClock } from "../../src/core/clock.js";
import { Semaphore } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { type Running, startNode } from "../support/processes.js";
import { runs } from "../support/runs.js";
import { watchServer } from "../support/server-watch.js";
import { writeFenced } from "./fenced.mjs";
import { idlenessOf } from "./idle.js";

const worker = fileURLToPath(new URL("./semaphore-worker.mjs", import.meta.url));
/** Enough for every kind of death. */
const SECONDS = runs(30, 30);
const WORKERS = 5;
/** So many are at it at any time: where none is, places are idle for no fault of the store's. */
const ALWAYS_AT_IT = 2;
const LEASE_MS = 1000;
/** How long a permit that was handed over is kept for a waiter who does not confirm. */
const CLAIM_MS = LEASE_MS / 4;

let redis: Awaited<ReturnType<typeof startRedis>>;
let built: BuiltPackage;
beforeAll(async () => {
  [redis, built] = await Promise.all([startRedis(), buildPackage(["redis"])]);
});
afterAll(async () => {
  await redis.stop();
  built.remove();
});

interface Task {
  readonly key?: string;
  readonly leaseMs?: number;
  readonly log?: string;
  readonly url?: string;
}

interface Contender extends Running {
  /** The file. */
  readonly log: string;
  /** When it was killed, by this machine's clock, which is the server's too. */
  killedUs: number;
}

const start = (task: string, { key = "hot", leaseMs = LEASE_MS, log = "", url }: Task): Running =>
  startNode([worker, built.directory, task, url ?? redis.url, `${leaseMs}ms`, key, log]);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Hears every permit that the store hands over, to the living and to the dead: by fence. */
async function hearHandOvers(url: string): Promise<{
  readonly fences: ReadonlySet<number>;
  readonly end: () => Promise<void>;
}> {
  const [listener, client] = [new Redis(url), new Redis(url)];
  const fences = new Set<number>();
  let ended = (): void => {};
  listener.on("pmessage", (_pattern: string, _channel: string, message: string) => {
    const fence = Number(message.split(" ")[1]);
    if (message === "end") ended();
    else if (fence > 0) fences.add(fence);
  });
  await listener.psubscribe("sluice:wake:*");
  return {
    fences,
    end: async () => {
      // Comes after all that was published before.
      await new Promise<void>((resolve) => {
        ended = resolve;
        void client.publish("sluice:wake:end", "end");
      });
      listener.disconnect();
      client.disconnect();
    },
  };
}

// They mostly wait.
describe.concurrent("a process", () => {
  test(`is killed as it holds or waits, again and again for ${SECONDS} s: no permit is given twice, or lost for longer than its lease`, async ({
    onTestFinished,
  }) => {
    const server = await startRedis();
    const handOvers = await hearHandOvers(server.url);
    const watch = await watchServer(server.url);
    const begun: Contender[] = [];
    const begin = (): Contender => {
      const log = `${built.directory}/deaths-${begun.length}.jsonl`;
      const contender = { ...start("contend", { log, url: server.url }), log, killedUs: 0 };
      begun.push(contender);
      return contender;
    };
    onTestFinished(async () => {
      for (const { child } of begun) child.kill("SIGKILL");
      await server.stop();
    });
    const alive = new Set(Array.from({ length: WORKERS }, begin));
    while ((await thoseAtIt(alive)).length < WORKERS) await sleep(10);
    const ends = performance.now() + SECONDS * 1000;
    let kills = 0;
    // A busy machine starts few in that time: until of both kinds of death there is one.
    while (performance.now() < ends || !(await hasBoth(begun, handOvers.fences))) {
      await sleep(300 + Math.random() * 500);
      // One that is still starting neither holds nor waits.
      const atIt = await thoseAtIt(alive);
      if (atIt.length <= ALWAYS_AT_IT) continue;
      const victim = atIt[Math.floor(Math.random() * atIt.length)] as Contender;
      kill(victim);
      kills += 1;
      alive.delete(victim);
      alive.add(begin());
    }
    // Then the permits of the last of them must come back.
    await sleep(LEASE_MS * 3);
    const endedUs = systemClock.nowUs();
    for (const contender of alive) kill(contender);
    let stalledMs = 0;
    for (const { child, ended } of begun) {
      const { stderr, stdout } = await ended;
      for (const [, ms] of stdout.matchAll(/^stalled ([\d.]+)$/gm)) {
        stalledMs = Math.max(stalledMs, Number(ms));
      }
      // Nobody died of anything else.
      expect({ signal: child.signalCode, stderr }).toEqual({
        signal: "SIGKILL",
        stderr: "",
      });
    }
    await handOvers.end();
    const serverLateMs = await watch.end();

    // The reader refuses a fence that was given twice.
    const sources = (await thoseAtIt(begun)).map(({ log: name }) => {
      return { name, open: () => createReadStream(name) };
    });
    const log = await readSemaphoreLogs(sources);
    const report = auditSemaphore(log);
    expect(report).toMatchObject({ passed: true, keys: [{ most: 2 }] });
    const unreleased = report.keys[0]?.unreleased ?? 0;
    expect(unreleased).toBeGreaterThan(0);

    const killedUs = new Map(begun.map((contender) => [contender.log, contender.killedUs]));
    const known = new Set([...log.holds].map(({ fence }) => fence));
    const toDead = [...handOvers.fences].filter((fence) => !known.has(fence));
    const idleness = idlenessOf(
      [
        // A permit of a killed holder counts as taken until its lease ends, as it must, though nobody may have heard of
        // its renewal; and one that was handed to a killed waiter until its claim should.
        ...[...log.holds].map(({ fence, releasedAtUs, place }) => ({
          fromUs: fence,
          toUs:
            releasedAtUs ??
            (killedUs.get(place.slice(0, place.lastIndexOf(":"))) ?? 0) + LEASE_MS * 1e3,
        })),
        ...toDead.map((fence) => ({ fromUs: fence, toUs: fence + CLAIM_MS * 1e3 })),
      ],
      log.limit,
      endedUs,
    );
    const longestMs = idleness.longestUs / 1e3;
    process.stdout.write(
      `semaphore under ${kills} kills: ${report.grants} grants, ${unreleased} to holders and ${toDead.length} to waiters who were killed; ` +
        `not all permits taken for ${longestMs.toFixed(1)} ms at most, ${(idleness.totalUs / 1e3).toFixed(0)} ms in all\n`,
    );
    expect(toDead.length).toBeGreaterThan(0);
    // A busy machine may keep the processes from asking, and the server from answering.
    expect(longestMs).toBeLessThan(LEASE_MS + stalledMs + serverLateMs);
  });

  test("that was stopped as it held finds when it goes on that its permit is lost, and changes nothing any more", async (context) => {
    const key = "stopped";
    // It must not be lost before the process is stopped.
    const leaseMs = 8 * LEASE_MS;
    const semaphore = ours(context, leaseMs);
    const client = createClient({ url: redis.url });
    await client.connect();
    context.onTestFinished(() => client.close());
    const { child, ended } = start("stopped", { key, leaseMs });
    const said = await new Promise<string>((resolve) => {
      let text = "";
      child.stdout?.on("data", (more: string) => {
        text += more;
        if (text.includes("wrote first true\n")) resolve(text);
      });
    });
    const fence = BigInt(/^held (\d+)$/m.exec(said)?.[1] ?? 0);
    child.kill("SIGSTOP");
    const permit = await semaphore.acquire(key);
    expect(permit.fencingToken).toBeGreaterThan(fence);
    expect(await writeFenced(client, key, permit.fencingToken, "second")).toBe(true);
    child.kill("SIGCONT");
    const { code, stdout, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [, , told, ...later] = stdout.split("\n");
    expect(told).toBe("told that it is lost");
    expect(later).toEqual(["lost true LEASE_LOST", "wrote late false", "released", ""]);
    expect(await client.hGet(`document of ${key}`, "text")).toBe("second");
    expect(await semaphore.inspect(key)).toMatchObject({ held: 1 });
    expect(permit.lost.aborted).toBe(false);
    await permit.release();
  });

  test("that ends while it waits is passed over, within less than a lease", async (context) => {
    const key = "exit";
    // A place in line lasts five eighths of it without being renewed.
    const leaseMs = 24 * LEASE_MS;
    const semaphore = ours(context, leaseMs);
    const permit = await semaphore.acquire(key);
    const { code } = await start("exit", { key, leaseMs }).ended;
    expect(code).toBe(0);
    expect(await semaphore.inspect(key)).toMatchObject({ held: 1, waiting: 1 });
    const waiting = semaphore.acquire(key);
    const releasedUs = systemClock.nowUs();
    await permit.release();
    const next = await waiting;
    expect(Number(next.fencingToken) - releasedUs).toBeLessThan(leaseMs * 1e3);
    await next.release();
    expect(await semaphore.inspect(key)).toMatchObject({ held: 0, waiting: 0 });
  });

  test("with nothing else to do waits for a place, but does not live to renew one", async () => {
    const { code, stdout, stderr } = await start("wait", { url: "" }).ended;
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: "MaxWaitExceededError\n",
      stderr: "",
    });
  });
});

/** What a log says of a fence. */
const fencesIn = (text: string, what: "granted" | "released"): readonly number[] =>
  [...text.matchAll(new RegExp(`"${what}":(\\d+)`, "g"))].map(([, fence]) => Number(fence));

/** Whether a holder was killed, and a waiter who had been handed a place. */
async function hasBoth(
  contenders: readonly Contender[],
  handOvers: ReadonlySet<number>,
): Promise<boolean> {
  // Of a place that was handed over later, who is alive may not have heard yet.
  const fences = [...handOvers].filter((fence) => fence < systemClock.nowUs() - LEASE_MS * 2e3);
  const texts = await Promise.all(
    contenders.map(async ({ log, killedUs }) => ({
      isDead: killedUs > 0,
      text: await readFile(log, "utf8").catch(() => ""),
    })),
  );
  const granted = new Set(texts.flatMap(({ text }) => fencesIn(text, "granted")));
  const wasHolderKilled = texts.some(({ isDead, text }) => {
    const released = new Set(fencesIn(text, "released"));
    return isDead && fencesIn(text, "granted").some((fence) => !released.has(fence));
  });
  return wasHolderKilled && fences.some((fence) => !granted.has(fence));
}

function kill(contender: Contender): void {
  contender.child.kill("SIGKILL");
  contender.killedUs = systemClock.nowUs();
}

/** Those that have got to their first place. */
async function thoseAtIt(contenders: Iterable<Contender>): Promise<readonly Contender[]> {
  const found = [...contenders].map(async (contender) => {
    const text = await readFile(contender.log, "utf8").catch(() => "");
    return text.includes('"granted"') ? [contender] : [];
  });
  return (await Promise.all(found)).flat();
}

/** A semaphore in this process, on the keys of the others. */
function ours({ onTestFinished }: TestContext, leaseMs: number): Semaphore {
  const client = new Redis(redis.url);
  const store = new RedisStore({ client });
  const semaphore = new Semaphore({ limit: 1, leaseDuration: leaseMs, timeout: "5s", store });
  onTestFinished(async () => {
    await semaphore.close();
    await store.close();
    await client.quit();
  });
  return semaphore;
}
