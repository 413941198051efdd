/** The example crawler keeps within what it was told, and gets every page all the same. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { type Ended, startNode } from "../support/processes.js";

const AGENT = "sluice-crawler";
const AT_ONCE = 5;
const A_SECOND = 10;
const SECOND_US = 1e6;
const watch = fileURLToPath(new URL("crawler-watch.mjs", import.meta.url));

/** What was seen of a crawl from outside. */
interface Crawl extends Ended {
  /** When the limiter let a call start. */
  readonly startsUs: readonly number[];
  /** When a request came to the site, refused ones included. */
  readonly arrivalsUs: readonly number[];
  readonly mostUnderWay: number;
}

let built: BuiltPackage;

/** Runs the example as users have it: the package under its name, the example beside it. */
async function crawl(change: (main: string) => string = (main) => main): Promise<Crawl> {
  const home = mkdtempSync(join(built.directory, "crawler-"));
  cpSync("examples/crawler", home, { recursive: true });
  const main = join(home, "main.mjs");
  writeFileSync(main, change(readFileSync(main, "utf8")));
  const log = join(home, "watch.json");
  const env = { WATCH_DIST: join(built.directory, "dist"), WATCH_LOG: log, WATCH_AGENT: AGENT };
  const ended = await startNode(["--import", watch, main], env).ended;
  const seen = JSON.parse(readFileSync(log, "utf8")) as Omit<Crawl, keyof Ended>;
  return { ...ended, ...seen };
}

/** Without one of its limits, in the same words otherwise. */
const without =
  (limit: string) =>
  (main: string): string => {
    const text = "limitFetch({ limiter, semaphore,";
    expect(main).toContain(text);
    return main.replace(text, text.replace(` ${limit},`, ""));
  };

/** How many requests the site refused, of how many, as the crawler says. */
function refusals({ stdout }: Crawl): { readonly refused: number; readonly requests: number } {
  const [, refused, requests] =
    /(\d+) of (\d+) requests refused, and tried again/.exec(stdout) ?? [];
  return { refused: Number(refused), requests: Number(requests) };
}

const ascending = (times: readonly number[]): number[] => times.toSorted((a, b) => a - b);

/** The most of any second; times ascend. */
function mostInASecond(times: readonly number[]): number {
  const counts = times.map(
    (from) => times.filter((at) => at >= from && at < from + SECOND_US).length,
  );
  return Math.max(0, ...counts);
}

let polite: Crawl;
let unlimited: Crawl;
let crowding: Crawl;
beforeAll(async () => {
  built = await buildPackage([]);
  const installed = join(built.directory, "node_modules", "sluice");
  mkdirSync(installed);
  cpSync("packages/sluice/package.json", join(installed, "package.json"));
  symlinkSync(join(built.directory, "dist"), join(installed, "dist"), "dir");
  [polite, unlimited, crowding] = await Promise.all([
    crawl(),
    crawl(without("limiter")),
    crawl(without("semaphore")),
  ]);
  // A busy machine may be so slow that the second is over for which somebody else has used the site up.
  for (let more = 5; more > 0 && refusals(polite).refused === 0; more--) polite = await crawl();
});
afterAll(() => {
  built.remove();
});

describe("the crawler", () => {
  test("gets all 40 pages, and says what the site saw", () => {
    expect(polite).toMatchObject({ code: 0, stderr: "" });
    expect(polite.stdout).toMatch(/^crawled 40 pages in /);
    const [, mostAtOnce, inASecond] =
      /at most (\d+) at once and (\d+) in a second/.exec(polite.stdout) ?? [];
    expect(Number(mostAtOnce)).toBe(polite.mostUnderWay);
    expect(Number(inASecond)).toBeLessThanOrEqual(polite.arrivalsUs.length);
  });

  test("has as many requests under way as it may have at once, and never more", () => {
    expect(polite.mostUnderWay).toBe(AT_ONCE);
  });

  test("is told starts of which no second has more than 10", () => {
    const most = mostInASecond(ascending(polite.startsUs));
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(A_SECOND);
  });

  test("sends nothing before a start that it was told", () => {
    const starts = ascending(polite.startsUs);
    const arrivals = ascending(polite.arrivalsUs);
    expect(starts.length).toBeGreaterThanOrEqual(arrivals.length);
    // The first so many were sent by so many starts, at the least.
    const early = arrivals.filter((atUs, i) => atUs < (starts[i] as number));
    expect(early).toEqual([]);
  });

  test("meets the site's 429, seldom, and tries again", () => {
    const { refused, requests } = refusals(polite);
    expect(requests).toBe(polite.arrivalsUs.length);
    expect(requests).toBe(40 + refused);
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(10);
  });
});

describe("what is measured would show", () => {
  test("a crawler without the limiter", () => {
    expect(unlimited.startsUs).toEqual([]);
    expect(mostInASecond(ascending(unlimited.arrivalsUs))).toBeGreaterThan(A_SECOND);
  });

  test("a crawler without the semaphore", () => {
    expect(crowding.mostUnderWay).toBeGreaterThan(AT_ONCE);
  });
});
