/** The service as a process of the built program: under faults, hostile callers and load, and beside others on one Redis. */
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Decision, RateLimiter, tokenBucket } from "sluice";
import { auditLogs, headerLine, keyId, recordLine } from "sluice/audit";
import { RedisStore } from "sluice/redis";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import { type BuiltProgram, buildProgram } from "../../../sluice/test/support/built.js";
import { eventually } from "../../../sluice/test/support/eventually.js";
import { type Running, startNode } from "../../../sluice/test/support/processes.js";
import { runs } from "../../../sluice/test/support/runs.js";
import { startVictim } from "../../../sluice/test/support/servers.js";
import { type Ask, askerOf, startService, temporaryFolder } from "../support/service.js";

const LIMIT = 300;
const document = {
  rules: [
    {
      name: "api",
      key: ["user"],
      policy: { algorithm: "token-bucket", limit: LIMIT, period: "1000h" } as const,
    },
  ],
};

let built: BuiltProgram;

beforeAll(async () => {
  built = await buildProgram(["ioredis", "yaml"]);
});

afterAll(() => {
  built.remove();
});

interface Program extends Running {
  readonly ask: Ask;
  readonly port: number;
}

/** A process of the program, once it says where it listens. */
async function startProgram(
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const policies = join(temporaryFolder(), "policies.json");
  writeFileSync(policies, JSON.stringify(document));
  const all = ["--policies", policies, "--listen", "127.0.0.1:0", ...flags];
  const running = startNode([built.cli, "serve", ...all], env);
  onTestFinished(async () => {
    running.child.kill("SIGKILL");
    await running.ended;
  });
  let log = "";
  running.child.stdout?.on("data", (text: string) => {
    log += text;
  });
  const address = await eventually(() => {
    const found = /"address":"(http:[^"]+)"/.exec(log)?.[1];
    if (found === undefined) throw new Error(`it does not listen: ${log}`);
    return found;
  });
  return { ...running, ask: askerOf(address), port: Number(new URL(address).port) };
}

/** The blocks of shell on docs/service.md: what starts the service, and what asks it. */
const [STARTS = "", ASKS = ""] = [
  ...readFileSync(new URL("../../../../docs/service.md", import.meta.url), "utf8").matchAll(
    /```sh\n([^]*?)```/g,
  ),
].map(([, code]) => code);

test("the commands of the page do what it says", async ({ skip }) => {
  if (spawnSync("curl", ["--version"]).status !== 0) skip("curl is not installed");
  const [npx, port] = ["npx --package @sluice/cli sluice", "127.0.0.1:8088"];
  expect([STARTS.includes(npx), ASKS.match(/^curl /gm)?.length]).toEqual([true, 3]);
  const start = STARTS.trim().replace(npx, `exec "${process.execPath}" "${built.cli}"`);
  const child = spawn("sh", ["-c", `${start} --listen 127.0.0.1:0`], { cwd: temporaryFolder() });
  const ended = once(child, "close");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  let log = "";
  child.stdout.on("data", (chunk: Buffer) => (log += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
  const address = await eventually(() => {
    const found = /"address":"http:\/\/([^"]+)"/.exec(log)?.[1];
    if (found === undefined) throw new Error(`it does not listen: ${log}`);
    return found;
  });
  const asked = ASKS.trim().replaceAll(port, address).split("\n");
  const [consumed, explained, openapi] = await Promise.all(
    asked.map(async (command) => {
      const { stdout } = await promisify(execFile)("sh", ["-c", command]);
      return JSON.parse(stdout) as unknown;
    }),
  );
  expect(consumed).toMatchObject({ allowed: true, rule: "api", limit: 100 });
  expect(explained).toMatchObject({ rules: [{ rule: "api", unmet: [] }] });
  expect(openapi).toMatchObject({ openapi: "3.1.0" });
});

test("drains under load: all that was taken is answered, and no connection is reset", async () => {
  const program = await startProgram(["--drain-delay", "8s"]);
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => {
    agent.destroy();
  });
  const balancer = { isReady: true, isEnding: false };
  const counts = { answered: 0, afterwards: 0, failed: [] as string[] };
  const caller = async (): Promise<void> => {
    // As behind a balancer, which sends nothing more when it sees that the service goes.
    while (balancer.isReady) {
      try {
        const { status } = await program.ask("/v1/consume", { rule: "api", key: "a" }, { agent });
        if (status === 200 || status === 429) counts.answered += 1;
        else counts.failed.push(`status ${status}`);
        if (balancer.isEnding) counts.afterwards += 1;
      } catch (error) {
        counts.failed.push(String(error));
      }
    }
  };
  const callers = Promise.all(Array.from({ length: 32 }, caller));
  await eventually(() => expect(counts.answered).toBeGreaterThan(1000));
  program.child.kill("SIGTERM");
  balancer.isEnding = true;
  await eventually(async () => {
    expect((await program.ask("/readyz")).status).toBe(503);
  }, 200);
  await eventually(() => expect(counts.afterwards).toBeGreaterThan(100));
  balancer.isReady = false;
  await callers;
  expect(counts.failed).toEqual([]);
  const { code, stdout } = await program.ended;
  expect([code, stdout.includes('"message":"ended"')]).toEqual([0, true]);
});

test("hostile callers get what they deserve, others an answer, and memory stays as it is", async () => {
  const token = "gateway-0123456789abcdef";
  const flags = ["--request-timeout", "2s", "--drain-delay", "0"];
  const program = await startProgram(flags, { SLUICE_TOKENS: `gateway decide ${token}` });
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const sockets: Socket[] = [];
  onTestFinished(() => {
    agent.destroy();
    for (const socket of sockets) socket.destroy();
  });
  const idle = await Promise.all(Array.from({ length: 2000 }, () => opened(program.port, sockets)));
  expect(idle).toHaveLength(2000);
  const statuses = new Map<string, number>();
  const send = async (what: string, body: unknown, bearer = token): Promise<void> => {
    const headers = { authorization: `Bearer ${bearer}`, "content-type": "application/json" };
    const { status } = await program.ask("/v1/consume", body, { agent, headers });
    statuses.set(`${what} ${status}`, (statuses.get(`${what} ${status}`) ?? 0) + 1);
  };
  const attack = async (): Promise<void> => {
    await inTurns(runs(10_000), (i) =>
      send("token", { rule: "api", key: "a" }, `wrong-${i}-0123456789`),
    );
    await inTurns(runs(1000), () => send("json", '{"rule":"api","key":'));
    await inTurns(runs(100), () => send("long", "x".repeat(300_000)));
    await inTurns(runs(10_000), (i) => send("fuzz", fuzzed(i)));
  };
  await attack();
  const before = residentBytes(program);
  await attack();
  expect(residentBytes(program) - before).toBeLessThan(64 * 2 ** 20);
  const slow = await Promise.all(Array.from({ length: 50 }, () => opened(program.port, sockets)));
  const late = slow.map(async (socket) => {
    const head = `Authorization: Bearer ${token}\r\nContent-Length: 99\r\n\r\n`;
    socket.write(`POST /v1/consume HTTP/1.1\r\nHost: a\r\n${head}{`);
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await new Promise((resolve) => socket.once("close", resolve));
    return text.slice(0, 12);
  });
  await send("after", { rule: "api", key: "b" });
  expect(new Set(await Promise.all(late))).toEqual(new Set(["HTTP/1.1 408"]));
  expect(statuses.get("token 401")).toBe(2 * runs(10_000));
  expect(statuses.get("json 400")).toBe(2 * runs(1000));
  expect(statuses.get("long 413")).toBe(2 * runs(100));
  expect(statuses.get("after 200")).toBe(1);
  const fuzz = [...statuses.keys()].filter((each) => each.startsWith("fuzz"));
  expect(fuzz.every((each) => /^fuzz (?:200|400|404|429)$/.test(each))).toBe(true);
});

test("two services and a library on one Redis keep one bound, as the audit of their answers shows", async () => {
  const flags = [
    "--redis",
    inject("redisUrl"),
    "--namespace",
    `bound-${Date.now()}`,
    "--store-timeout",
    "30s",
  ];
  const services = await Promise.all([startProgram(flags), startProgram(flags)]);
  const policy = tokenBucket({ name: "api", limit: LIMIT, period: "1000h" });
  const store = await RedisStore.connect(inject("redisUrl"));
  const namespace = flags[3] as string;
  const limiter = new RateLimiter({ policy, store, namespace, timeout: "30s", denyCache: false });
  onTestFinished(async () => {
    await limiter.close();
    await store.close();
  });
  const logs = [headerLine([policy]), headerLine([policy]), headerLine([policy])];
  let allowed = 0;
  const record = (place: number, decision: Decision): void => {
    allowed += Number(decision.allowed);
    logs[place] += recordLine({ key: keyId("user=ann"), cost: 1 }, decision);
  };
  await inTurns(3 * LIMIT, async (i) => {
    if (i % 3 === 2) {
      record(2, await limiter.consume("user=ann"));
      return;
    }
    const service = services[i % 3] as Program;
    const { body } = await service.ask("/v1/consume?denied=200", { rule: "api", key: "ann" });
    const [rule] = body["rules"] as unknown as { decision: Decision }[];
    if (rule !== undefined) record(i % 3, rule.decision);
  });
  expect(allowed).toBe(LIMIT);
  const files = logs.map((log, i) => ({ name: `log ${i}`, open: () => textOf(log) }));
  const { report } = await auditLogs(files);
  expect(report).toMatchObject({ passed: true });
});

test("Redis is killed and comes back: answers go on, and the store decides again", async () => {
  const victim = await startVictim();
  onTestFinished(() => victim.stop());
  const { ask, lines } = await startService(document, { redis: victim.url, storeTimeout: "500ms" });
  const source = async (): Promise<unknown> =>
    (await ask("/v1/consume", { rule: "api", key: "ann" })).body["source"];
  await eventually(async () => expect(await source()).toBe("store"));
  await victim.kill();
  await eventually(async () => expect(await source()).toBe("local"));
  expect((await ask("/readyz")).body).toMatchObject({ notes: ["store unreachable"] });
  await victim.restart();
  await eventually(async () => expect(await source()).toBe("store"));
  await eventually(async () => {
    expect((await ask("/readyz")).body).toMatchObject({ status: "ready", notes: [] });
  });
  expect(lines.join("")).toContain("store fails");
  // An outage is over when the store has answered for a while.
  await eventually(async () => {
    await source();
    expect(lines.join("")).toContain("store is back");
  });
});

async function* textOf(text: string): AsyncGenerator<string> {
  await sleep(0);
  yield text;
}

function opened(port: number, sockets: Socket[]): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    sockets.push(socket);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

/** Calls `each` so often, 16 at a time. */
async function inTurns(count: number, each: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await each(next++);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

const GOOD = '{"rule":"api","key":"fuzz","cost":1,"entries":{"a":"b"}}';

/** A body with a few bytes of it changed, cut or doubled; `i` says which. */
function fuzzed(i: number): Buffer {
  const bytes = [...Buffer.from(GOOD)];
  let seed = (i * 2_654_435_761 + 12_345) >>> 0;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let change = 0; change <= random(4); change++) {
    const at = random(bytes.length);
    const kind = random(3);
    if (kind === 0) bytes[at] = random(256);
    else if (kind === 1) bytes.splice(at, random(8));
    else bytes.splice(at, 0, ...bytes.slice(at, at + random(16)));
  }
  return Buffer.from(bytes);
}

/** Of a process on Linux, all that it has in memory; elsewhere 0, and nothing is compared. */
function residentBytes({ child }: Running): number {
  if (process.platform !== "linux") return 0;
  return Number(readFileSync(`/proc/${child.pid}/statm`, "utf8").split(" ")[1]) * 4096;
}
