/**
 * Four processes under load follow a document that is published meanwhile: through a change down and up, a push during which
 * the server is killed, a wrong clock, and a fleet of which a half has not heard yet.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test, type TestContext } from "vitest";
import { auditLogs, headerLine } from "../../src/audit/index.js";
import { tokenBucket } from "../../src/index.js";
import { type PoliciesDocument, PublishedPolicies } from "../../src/policies/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { startKeeper, type Victim } from "../support/servers.js";

const WORKER = fileURLToPath(new URL("policies-worker.mjs", import.meta.url));
const PROCESSES = 4;
const POLL_MS = 1000;

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["redis", "@redis", "cluster-key-slot"]);
});
afterAll(() => {
  built.remove();
});

const api = (limit: number, more: Partial<PoliciesDocument> = {}): PoliciesDocument => {
  const policy = { algorithm: "token-bucket", limit, period: "1s" } as const;
  return { ...more, rules: [{ name: "api", key: ["user"], policy }] };
};

interface Said {
  readonly begun: number;
  readonly answered: number;
  readonly sources: Readonly<Record<string, number>>;
  readonly switches: readonly { readonly version: number; readonly atUs: number }[];
  readonly reloads: readonly string[];
  readonly stale: string | undefined;
  readonly version: number;
  readonly spans: readonly [number, { readonly firstUs: number; readonly lastUs: number }][];
  readonly loopDelayMs: number;
  readonly longestTripMs: number;
}

interface Worker {
  readonly child: ChildProcess;
  readonly file: string;
  /** Resolves when it has said this line. */
  readonly said: (line: string) => Promise<void>;
  /** Ends its input, and hears what it saw. */
  end(): Promise<Said>;
}

let files = 0;

function startWorker(url: string, name: string, more: object): Worker {
  files += 1;
  const file = join(built.directory, `policies-${files}.jsonl`);
  const job = { dist: join(built.directory, "dist"), url, name, file, ...more };
  const child = spawn(process.execPath, [WORKER, JSON.stringify(job)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  const said = async (line: string): Promise<void> => {
    while (!`\n${text}`.includes(`\n${line}\n`)) {
      if (child.exitCode !== null) throw new Error(`a worker ended, and had not said "${line}"`);
      await Promise.race([once(child.stdout, "data"), once(child, "close")]);
    }
  };
  return {
    child,
    file,
    said,
    end: async () => {
      const closed = once(child, "close");
      child.stdin.end();
      expect(await closed).toEqual([0, null]);
      return JSON.parse(text.split("\n").at(-2) ?? "") as Said;
    },
  };
}

interface Fleet {
  readonly keeper: Victim;
  readonly published: PublishedPolicies;
  readonly workers: readonly Worker[];
  /** Resolves when each of them has said this line. */
  readonly allSaid: (line: string) => Promise<unknown>;
  /** By the server's clock, µs. */
  readonly nowUs: () => Promise<number>;
}

/** Processes that work by version 1; every second one has to ask for news. */
async function startFleet(
  context: TestContext,
  limit: number,
  more: readonly object[] = Array.from({ length: PROCESSES }, () => ({})),
): Promise<Fleet> {
  const keeper = await startKeeper(context);
  const store = await eventually(() => RedisStore.connect(keeper.url));
  onTestFinished(() => store.close());
  const published = new PublishedPolicies({ store, name: "edge" });
  await published.publish(api(limit), { expected: 0 });
  const workers = more.map((each, i) =>
    startWorker(keeper.url, "edge", { hears: i % 2 === 0, ...each }),
  );
  const allSaid = (line: string): Promise<unknown> =>
    Promise.all(workers.map(({ said }) => said(line)));
  await allSaid("begun");
  const nowUs = async (): Promise<number> => (await store.documents.head("edge", 0)).nowUs;
  return { keeper, published, workers, allSaid, nowUs };
}

/** To let all be at work for so long. */
const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** Whether the admissions of all logs, or of a part of their lines, are within the bound. */
async function isWithin(
  limit: number,
  workers: readonly Worker[],
  part: (line: { readonly decidedAtUs: number }) => boolean = () => true,
): Promise<boolean> {
  const header = headerLine([tokenBucket({ name: "api", limit, period: "1s" })]);
  const sources = workers.map(({ file }) => ({
    name: file,
    async *open() {
      yield header;
      for await (const line of linesOf(file)) {
        const { atUs } = JSON.parse(line) as { readonly atUs?: number };
        if (atUs !== undefined && part({ decidedAtUs: atUs })) yield `${line}\n`;
      }
    },
  }));
  const audit = await auditLogs(sources);
  if (audit.of !== "limiter") throw new Error("no log of a limiter");
  return audit.report.keys.every(({ bounds }) => bounds.every(({ holds }) => holds));
}

async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of createReadStream(file, "utf8")) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

// Limits of which the slowest machine asks for more.
test("four processes change 4 to 2 to 8 within a poll, lose no decision and keep the mixed bound", async (context) => {
  const { published, workers, allSaid } = await startFleet(context, 4);
  await pause(300);
  for (const [i, limit] of [2, 8].entries()) {
    await published.publish(api(limit), { expected: i + 1 });
    await allSaid(`by ${i + 2}`);
    await pause(2500);
  }
  const history = await published.history();
  const publishedAtUs = new Map(history.map(({ version, atMs }) => [version, atMs * 1e3]));
  const said = await Promise.all(workers.map((worker) => worker.end()));
  for (const { begun, answered, sources, switches, reloads, loopDelayMs, longestTripMs } of said) {
    expect(answered).toBe(begun);
    expect(sources).toEqual({ store: begun });
    expect(switches.map(({ version }) => version)).toEqual([2, 3]);
    expect(reloads).toEqual(["applied", "applied"]);
    for (const { version, atUs } of switches) {
      const tookMs = (atUs - (publishedAtUs.get(version) ?? 0)) / 1e3;
      // A poll asks for the version, and then for the text; each may wait for the loop and for the server.
      expect(tookMs).toBeLessThan(POLL_MS + 3 * (loopDelayMs + longestTripMs));
    }
  }
  expect(await isWithin(8, workers)).toBe(true);
  expect(await isWithin(4, workers)).toBe(false);
  // Where all are at 2, no more than that is admitted, whatever was in use.
  const spanOf = (version: number, which: "firstUs" | "lastUs"): number[] =>
    said.flatMap(({ spans }) =>
      spans.filter(([each]) => each === version).map(([, span]) => span[which]),
    );
  const from = Math.max(...spanOf(1, "lastUs"));
  const to = Math.min(...spanOf(3, "firstUs"));
  expect(to - from).toBeGreaterThan(500_000);
  const isBetween = ({ decidedAtUs }: { decidedAtUs: number }): boolean =>
    decidedAtUs > from && decidedAtUs < to;
  expect(await isWithin(2, workers, isBetween)).toBe(true);
});

const HOUR_MS = 3_600_000;

/** What a fleet with wrong clocks saw of a version that was published so long before it was to be active. */
async function seeActivated(
  context: TestContext,
  leadMs: number,
): Promise<{ workers: readonly Worker[]; said: readonly Said[]; activeUs: number }> {
  const wrong = [{}, { aheadMs: HOUR_MS }, { aheadMs: -HOUR_MS }, {}];
  const { published, workers, allSaid, nowUs } = await startFleet(context, 100, wrong);
  const fromUs = (await nowUs()) + leadMs * 1e3;
  const activeFrom = new Date(Math.ceil(fromUs / 1e6) * 1e3).toISOString();
  await published.publish(api(50, { activeFrom }), { expected: 1 });
  await allSaid("by 2");
  await pause(1000);
  const said = await Promise.all(workers.map((worker) => worker.end()));
  return { workers, said, activeUs: Date.parse(activeFrom) * 1e3 };
}

test("activeFrom switches all processes at one moment of the store's clock, whatever their own say", async (context) => {
  let leadMs = 2500;
  let seen = await seeActivated(context, leadMs);
  // On a busy machine one of them may have heard of it when it was active already.
  while (leadMs < 60_000 && seen.said.some(({ reloads }) => !reloads.includes("scheduled"))) {
    leadMs *= 3;
    seen = await seeActivated(context, leadMs);
  }
  const { workers, said, activeUs } = seen;
  for (const { switches, spans, loopDelayMs, longestTripMs, reloads } of said) {
    expect(reloads).toEqual(["scheduled", "applied"]);
    expect(switches).toMatchObject([{ version: 2 }]);
    const early = activeUs - (switches[0]?.atUs ?? 0);
    expect(early).toBeLessThanOrEqual(0);
    // What was asked before is decided after, by as much as the way to the server takes.
    const slackUs = (loopDelayMs + longestTripMs) * 1e3 + 5000;
    for (const [version, { firstUs, lastUs }] of spans) {
      if (version === 1) expect(lastUs).toBeLessThan(activeUs + slackUs);
      else expect(firstUs).toBeGreaterThan(activeUs - slackUs);
    }
  }
  expect(await isWithin(100, workers)).toBe(true);
});

test("a server that is killed while a document is pushed has it or has it not, and so has the fleet", async (context) => {
  const hasty = Array.from({ length: PROCESSES }, () => ({ timeout: "2s" }));
  const { keeper, published, workers, allSaid } = await startFleet(context, 100, hasty);
  const pushed = published.publish(api(50), { expected: 1 }).then(
    () => "published",
    () => "failed",
  );
  await keeper.kill();
  await Promise.all([allSaid("local"), allSaid("reload failed")]);
  await keeper.restart();
  await pushed;
  const version = await eventually(() => published.version());
  expect([1, 2]).toContain(version);
  await published.publish(api(60), { expected: version });
  await allSaid(`by ${version + 1}`);
  const said = await Promise.all(workers.map((worker) => worker.end()));
  for (const { begun, answered, sources, reloads, version: last, stale } of said) {
    expect(answered).toBe(begun);
    expect(sources["local"]).toBeGreaterThan(0);
    expect(last).toBe(version + 1);
    expect(stale).toBeUndefined();
    expect(reloads.filter((outcome) => outcome === "failed").length).toBeGreaterThan(0);
  }
  // What the store decided is within the bound, local decisions apart.
  expect(await isWithin(100, workers)).toBe(true);
});

test("a server that loses all it has under load takes no document from anybody, and the next push is above what was lost", async (context) => {
  const { keeper, published, workers, allSaid } = await startFleet(context, 100);
  for (let version = 1; version < 4; version++) {
    await published.publish(api(100), { expected: version });
  }
  await allSaid("by 4");
  await keeper.command("FLUSHALL");
  await allSaid("reload lost");
  // Another editor, who never saw the fourth, begins anew.
  const store = await eventually(() => RedisStore.connect(keeper.url));
  onTestFinished(() => store.close());
  const stranger = new PublishedPolicies({ store, name: "edge" });
  expect(await stranger.version()).toBe(0);
  expect(await stranger.read()).toBeUndefined();
  await expect(stranger.publish(api(60), { expected: 4 })).rejects.toMatchObject({ version: 0 });
  expect(await stranger.publish(api(60), { expected: 0 })).toBe(5);
  await allSaid("by 5");
  const said = await Promise.all(workers.map((worker) => worker.end()));
  for (const { begun, answered, sources, reloads, version, stale } of said) {
    expect(answered).toBe(begun);
    expect(sources).toEqual({ store: begun });
    expect(reloads).toContain("lost");
    expect(reloads.at(-1)).toBe("applied");
    expect([version, stale]).toEqual([5, undefined]);
  }
});

test("half a fleet that cannot hear of a version decides by the old one, and both keep the mixed bound", async (context) => {
  const { published, workers } = await startFleet(
    context,
    100,
    [{}, {}, { every: "1h" }, { every: "1h" }].map((each, i) => ({ ...each, hears: i < 2 })),
  );
  await published.publish(api(20), { expected: 1 });
  await Promise.all(workers.slice(0, 2).map((worker) => worker.said("by 2")));
  await pause(1000);
  const said = await Promise.all(workers.map((worker) => worker.end()));
  expect(said.map(({ version }) => version)).toEqual([2, 2, 1, 1]);
  expect(said.every(({ begun, answered }) => begun === answered)).toBe(true);
  expect(await isWithin(100, workers)).toBe(true);
});

async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch {
      await pause(50);
    }
  }
}
