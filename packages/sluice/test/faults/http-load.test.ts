/** Two servers on one Redis, asked for ten times what they may admit: also while Redis is killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import autocannon, { type Client } from "autocannon";
import { afterAll, beforeAll, expect, test, type TestContext } from "vitest";
import { checkBound } from "../../src/audit/bound.js";
import { type DecisionSource, type Duration, tokenBucket } from "../../src/index.js";
import { record } from "../support/records.js";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { runs } from "../support/runs.js";
import { startKeeper, type Victim } from "../support/servers.js";
import { say } from "./support/through-fault.js";

const SERVER = fileURLToPath(new URL("./support/http-server.mjs", import.meta.url));

const POLICY = tokenBucket({ name: "all", limit: 5, period: "1s", burst: 10 });
const SERVERS = 2;
const ASKED_PER_SERVER = (10 * POLICY.limit) / SERVERS;
const SECONDS = runs(30, 3);

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["express", "ioredis"]);
});
afterAll(() => {
  built.remove();
});

interface Decided {
  readonly atUs: number;
  readonly allowed: boolean;
  readonly source: DecisionSource;
}

interface Server {
  readonly url: string;
  /** What it decided. */
  end(): Promise<readonly Decided[]>;
}

async function startServer(
  { onTestFinished }: TestContext,
  redisUrl: string,
  timeout: Duration,
): Promise<Server> {
  const args = [SERVER, `${built.directory}/dist`, redisUrl, JSON.stringify(POLICY), `${timeout}`];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const closed = once(child, "close");
  const lines: AsyncIterator<string, undefined> = createInterface(child.stdout)[
    Symbol.asyncIterator
  ]();
  const nextLine = async (): Promise<string> => {
    const { value } = await lines.next();
    if (value === undefined) throw new Error("the server ended");
    return value;
  };
  return {
    url: `http://127.0.0.1:${await nextLine()}/`,
    async end() {
      child.stdin.end();
      const decided = JSON.parse(await nextLine()) as readonly Decided[];
      await closed;
      return decided;
    },
  };
}

interface Loaded {
  readonly statuses: Readonly<Record<string, number>>;
  /** Answers that state no limit. */
  readonly unstated: number;
  /** Refusals that do not say when to come back. */
  readonly withoutRetry: number;
}

async function load(url: string): Promise<Loaded> {
  const statuses: Record<string, number> = {};
  let unstated = 0;
  let withoutRetry = 0;
  await autocannon({
    url,
    duration: SECONDS,
    connections: 10,
    overallRate: ASKED_PER_SERVER,
    setupClient: (client: Client) => {
      client.on("headers", ({ statusCode, headers }) => {
        const status = String(statusCode);
        statuses[status] = (statuses[status] ?? 0) + 1;
        const names = new Set(namesIn(headers));
        if (!names.has("ratelimit") || !names.has("ratelimit-policy")) unstated += 1;
        if (status === "429" && !names.has("retry-after")) withoutRetry += 1;
      });
    },
  });
  return { statuses, unstated, withoutRetry };
}

/** autocannon gives names and values in turn. */
function namesIn(headers: unknown): readonly string[] {
  return (headers as readonly string[])
    .filter((_, i) => i % 2 === 0)
    .map((name) => name.toLowerCase());
}

function expectBound(decided: readonly Decided[]): void {
  const admitted = decided.filter(({ allowed }) => allowed);
  const records = admitted.map(({ atUs }) => record({ atUs, granted: 1 }));
  expect(checkBound(POLICY, records)).toMatchObject({ holds: true });
}

/** Whether nobody was refused what there was: by a bucket of one's own, filled as the policy says. */
function expectAllUsed(decided: readonly Decided[]): void {
  const { limit, period, burst } = POLICY;
  let [units, lastUs] = [burst, 0];
  for (const { atUs, allowed } of decided.toSorted(
    (a, b) => a.atUs - b.atUs || Number(b.allowed) - Number(a.allowed),
  )) {
    units = Math.min(burst, units + ((atUs - lastUs) * limit) / (period * 1e3));
    lastUs = atUs;
    if (allowed) units -= 1;
    else expect(units).toBeLessThan(1.001);
  }
}

const bySource = (decided: readonly Decided[], ...sources: DecisionSource[]): readonly Decided[] =>
  decided.filter(({ source }) => sources.includes(source));

async function serve(
  context: TestContext,
  timeout: Duration,
  meanwhile: (victim: Victim) => Promise<void>,
): Promise<{ answers: readonly Loaded[]; decided: readonly (readonly Decided[])[] }> {
  const victim = await startKeeper(context);
  const servers = await Promise.all(
    Array.from({ length: SERVERS }, () => startServer(context, victim.url, timeout)),
  );
  const [answers] = await Promise.all([
    Promise.all(servers.map(({ url }) => load(url))),
    meanwhile(victim),
  ]);
  const decided = await Promise.all(servers.map((server) => server.end()));
  for (const { statuses, withoutRetry } of answers) {
    expect(Object.keys(statuses).sort()).toEqual(["200", "429"]);
    expect(withoutRetry).toBe(0);
  }
  return { answers, decided };
}

test("ten times the limit: what is admitted is within it, and every answer says so", async (context) => {
  // No stall of this machine is to be an outage.
  const { answers, decided } = await serve(context, "60s", async () => {});
  const all = decided.flat();
  expectBound(all);
  expectAllUsed(bySource(all, "store"));
  expect(new Set(all.map(({ source }) => source))).toEqual(new Set(["store", "deny-cache"]));
  expect(answers.map(({ unstated }) => unstated)).toEqual([0, 0]);
  const admitted = all.filter(({ allowed }) => allowed).length;
  say(`${all.length} asked in ${SECONDS} s, ${admitted} admitted, limit ${POLICY.limit} a second`);
});

test("the same while Redis is killed: each server admits no more by itself than the limit", async (context) => {
  const { decided } = await serve(context, "250ms", async (victim) => {
    await sleep((SECONDS * 1e3) / 4);
    await victim.kill();
    await sleep((SECONDS * 1e3) / 4);
    await victim.restart();
  });
  const all = decided.flat();
  expectBound(bySource(all, "store"));
  for (const own of decided) {
    expect(bySource(own, "local").length).toBeGreaterThan(0);
    expectBound(bySource(own, "local"));
  }
  expect(bySource(all, "fail-open", "fail-closed", "fallback")).toEqual([]);
  say(`${bySource(all, "local").length} of ${all.length} decided without Redis`);
});
