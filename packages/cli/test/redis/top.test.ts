/** `sluice top` on a real Redis, on a terminal and elsewhere. */
import { randomUUID } from "node:crypto";
import { stripVTControlCharacters } from "node:util";
import { fixedWindow, RateLimiter, Semaphore } from "sluice";
import { RedisStore } from "sluice/redis";
import { report, type Reporter } from "sluice/report";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually } from "../../../sluice/test/support/eventually.js";
import { run } from "../../src/run.js";
import { type FakeOptions, fakeProcess } from "../io.js";

const name = `top-${randomUUID().slice(0, 8)}`;
const ESCAPE = "\u001b";

let store: RedisStore;
let limiter: RateLimiter;
let reporter: Reporter;
beforeAll(async () => {
  store = await RedisStore.connect(inject("redisUrl"));
  const policy = fixedWindow({ name: "login", limit: 10, window: "1h" });
  // A stricter one beside it, on trial.
  const trial = fixedWindow({ name: "trial", limit: 4, window: "1h", enforce: false });
  limiter = new RateLimiter({ policy: [policy, trial], store, namespace: name, timeout: "30s" });
  const jobs = { store, limit: 3, name: "jobs", namespace: name } as const;
  const semaphore = new Semaphore({ ...jobs, timeout: "60s" });
  reporter = report({ store, name, limiters: [limiter], semaphores: [semaphore], every: "100ms" });
  for (let i = 0; i < 40; i++) await limiter.consume(`user:${i % 2}`);
  await reporter.flush();
});
afterAll(async () => {
  await reporter.end();
  await store.close();
});

function start(argv: readonly string[], options: FakeOptions = {}) {
  const url = inject("redisUrl").replace("//", "//default:hunter2@");
  const process = fakeProcess({ env: { SLUICE_REDIS_URL: url, LANG: "C.UTF-8" }, ...options });
  return { process, code: run(["top", "--name", name, ...argv], process.io) };
}

describe("elsewhere than on a terminal", () => {
  test("prints once, without control sequences", async () => {
    const { process, code } = start(["--once"]);
    expect(await code).toBe(0);
    const text = process.stdout();
    expect(text).not.toContain(ESCAPE);
    expect(text).toMatch(new RegExp(`^Sluice ${name} .*1 process .* UTC\n`));
    expect(text).toMatch(/denied .*\(50 %\)/);
    const row = (policy: string): string =>
      new RegExp(`${name}/${policy} .*`).exec(text)?.[0] ?? "";
    expect(row("login")).toMatch(/ 50 %/);
    // It denies nothing, so it is in no total; what it would deny is its share.
    expect(row("trial")).toMatch(/^\S+ \(no vote\) +\S+ +0 +80 %/);
    expect(text).toMatch(/  shadow 0\/s/);
    expect(text).toContain(`${name}:jobs~semaphore`);
    const ids = [...text.matchAll(/^([\w-]{22}) {2}\S+ +(\d+)/gm)].map(([, , count]) => count);
    expect(ids).toEqual(["10", "10"]);
    expect(text).not.toContain("user:");
    expect(text).not.toContain("hunter2");
    expect(process.stderr()).toBe("");
  });

  test("prints as JSON what was reported, with rates", async () => {
    const { process, code } = start(["--once", "--json"]);
    expect(await code).toBe(0);
    const [line, rest] = process.stdout().split("\n");
    expect(rest).toBe("");
    expect(JSON.parse(line ?? "")).toMatchObject({
      limiters: [
        {
          limiter: name,
          asked: 40,
          policies: [{ policy: "login", denied: 20 }],
          shadows: [{ policy: "trial", asked: 40, allowed: 8, shadowDenied: 32 }],
        },
      ],
      rates: [
        { limiter: name, policy: "login", votes: true },
        { limiter: name, policy: "trial", votes: false },
      ],
      processes: [{ state: "reporting" }],
      gaps: [],
    });
  });

  test("prints each time below the last until Ctrl-C", async () => {
    const { process, code } = start(["--json", "--every", "100ms"]);
    await eventually(() => {
      expect(process.stdout().split("\n").length).toBeGreaterThan(3);
    });
    process.interrupt();
    expect(await code).toBe(0);
    for (const line of process.stdout().trim().split("\n")) {
      expect(JSON.parse(line)).toMatchObject({ limiters: [{ asked: 40 }] });
    }
    expect(process.hasKeyboard()).toBe(false);
  });

  test("says where nobody reports", async () => {
    const { process, code } = start(["--once", "--name", "nobody"]);
    expect(await code).toBe(0);
    expect(process.stdout()).toContain("nothing was decided in the last two minutes");
  });
});

describe("on a terminal", () => {
  const live = { isTTY: true } as const;

  test.each(["q", "\u0003"])("draws anew until %j, and gives the screen back", async (key) => {
    const { process, code } = start(["--every", "100ms"], live);
    await eventually(() => {
      expect(process.stdout().split(`${ESCAPE}[H`).length).toBeGreaterThan(3);
    });
    expect(process.hasKeyboard()).toBe(true);
    process.press("x");
    process.press(key);
    expect(await code).toBe(0);
    const text = process.stdout();
    expect(text.startsWith(`${ESCAPE}[?1049h${ESCAPE}[?25l`)).toBe(true);
    expect(text.endsWith(`${ESCAPE}[?25h${ESCAPE}[?1049l`)).toBe(true);
    expect(process.hasKeyboard()).toBe(false);
  });

  test.each([
    [40, 30],
    [60, 9],
    [60, 30],
    [80, 30],
    [140, 9],
    [200, 30],
  ])("fits %i columns, and %i rows", async (columns, rows) => {
    const { process, code } = start([], { ...live, columns, rows });
    await eventually(() => {
      expect(process.stdout()).toContain("asked/s");
    });
    process.press("q");
    await code;
    const [, frame = ""] = process.stdout().split(`${ESCAPE}[H`);
    const lines = stripVTControlCharacters(frame).split("\r\n");
    expect(lines.length).toBeLessThanOrEqual(rows);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    expect(lines.some((line) => line.includes("denials"))).toBe(rows === 30);
  });

  test("speaks ASCII where the locale does", async () => {
    const env = { SLUICE_REDIS_URL: inject("redisUrl"), LC_ALL: "C" };
    const { process, code } = start([], { ...live, columns: 140, env });
    await eventually(() => {
      expect(process.stdout()).toContain("login");
    });
    process.press("q");
    await code;
    expect(
      process
        .stdout()
        .split("")
        .filter((sign) => sign > "~"),
    ).toEqual([]);
  });
});

test.each([
  [["extra"], "top takes no arguments"],
  [["--every", "1ms"], "--every is at least 100 ms"],
  [["--every", "soon"], "is not a duration"],
  [["--name", "a b"], "--name is 1 to 64 characters"],
])("refuses %j", async (argv, message) => {
  const { process, code } = start(argv);
  expect(await code).toBe(2);
  expect(process.stderr()).toContain(message);
});

test("never shows the URL's password, wherever it fails", async () => {
  const url = inject("redisUrl").replace("//", "//nobody:hunter2@");
  const { process, code } = start(["--once"], { env: { SLUICE_REDIS_URL: url } });
  expect(await code).toBe(1);
  expect(process.stdout() + process.stderr()).not.toContain("hunter2");
});
