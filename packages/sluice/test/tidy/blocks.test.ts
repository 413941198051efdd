/**
 * Every block of code on the pages runs, or the table below says why it does not. pages.test.ts and readme.test.ts run the
 * `ts` blocks, console.test.ts the `console` blocks with the files that blocks before them name.
 */
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { expect, test } from "vitest";
import { packedPages } from "../../../../scripts/pages-to-pack.mjs";
import { type Block, blocksOf, namesFile } from "../support/blocks.js";

const SHOWN = "a form, or what was printed: nothing to run";
const CLONE = "typed in a clone: .ci/run does the same in steps of its own";
const ELSEWHERE = "needs a registry, a container engine, a cluster or a framework's own compiler";
const LONG = "takes minutes, or never ends";

const PROXIES = "packages/cli/test/stress/proxies/proxies.test.ts";
const CLIENTS = "packages/cli/test/serve/clients.test.ts";
const ACL = "packages/sluice/test/redis/acl.test.ts";

/** Page, language and how many blocks; the test that runs them, or why none does. */
const OTHERS: readonly (readonly [page: string, language: string, count: number, how: string])[] = [
  ["README.md", "sh", 5, CLONE],
  ["README.md", "", 1, SHOWN],
  ["docs/architecture.md", "", 1, SHOWN],
  ["docs/behind-a-proxy.md", "yaml", 1, PROXIES],
  ["docs/behind-a-proxy.md", "nginx", 1, PROXIES],
  ["docs/behind-a-proxy.md", "caddyfile", 1, PROXIES],
  ["docs/behind-a-proxy.md", "haproxy", 1, PROXIES],
  ["docs/behind-a-proxy.md", "lua", 2, PROXIES],
  ["docs/behind-a-proxy.md", "apache", 1, PROXIES],
  ["docs/command-line.md", "sh", 5, LONG],
  ["docs/command-line.md", "", 10, SHOWN],
  ["docs/command-line.md", "json", 1, SHOWN],
  ["docs/frameworks/graphql.md", "json", 1, SHOWN],
  ["docs/frameworks/nest.md", "typescript", 2, ELSEWHERE],
  ["docs/dashboard.md", "sh", 1, ELSEWHERE],
  ["docs/getting-started.md", "sh", 2, ELSEWHERE],
  ["docs/performance.md", "sh", 2, LONG],
  ["docs/policies.md", "yaml", 2, "packages/sluice/src/policies/policies.test.ts"],
  ["docs/redis.md", "", 4, ACL],
  ["docs/redis.md", "sh", 1, ELSEWHERE],
  ["docs/remote.md", "json", 1, SHOWN],
  ["docs/runtimes.md", "sh", 3, "scripts/check-consumers.mjs"],
  ["docs/semaphore.md", "", 1, ACL],
  ["docs/semaphore.md", "sh", 1, LONG],
  ["docs/service-clients.md", "python", 1, CLIENTS],
  ["docs/service-clients.md", "go", 1, CLIENTS],
  ["docs/service-container.md", "", 2, ELSEWHERE],
  ["docs/service-container.md", "yaml", 1, "packages/cli/test/container/compose.test.ts"],
  ["docs/service-grpc.md", "sh", 1, LONG],
  ["docs/service-grpc.md", "yaml", 1, ELSEWHERE],
  ["docs/service.md", "sh", 2, LONG],
  ["docs/service.md", "", 1, SHOWN],
  ["docs/watch.md", "sh", 1, LONG],
  ["docs/watch.md", "json", 1, SHOWN],
];

const isRun = (block: Block): boolean =>
  namesFile(block) ||
  (block.language === "ts" && ["", "continued"].includes(block.more)) ||
  (block.language === "console" && /^(?:exit \d)?$/.test(block.more));

const others = packedPages()
  .flatMap(blocksOf)
  .filter((block) => !isRun(block));

test("every block of code runs, or stands in the table of those that do not", () => {
  const counts = new Map<string, number>();
  for (const { page, language } of others) {
    const name = `${page} ${language}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const listed = OTHERS.map(([page, language, count]) => [`${page} ${language}`, count] as const);
  expect(counts, "list new blocks in OTHERS, or make them run").toEqual(new Map(listed));
});

test("what the table says to run a page's blocks names the page", () => {
  for (const [page, , , how] of OTHERS.filter(([, , , text]) =>
    /^(?:packages|scripts)\//.test(text),
  )) {
    expect(existsSync(how), how).toBe(true);
    expect(readFileSync(how, "utf8"), how).toContain(basename(page));
  }
});

test("no block that only shows something is more than it says", () => {
  const json = others.filter(({ language }) => language === "json");
  for (const { text } of json) {
    const values = text.trim().startsWith('{ "') ? [text] : linesOfValues(text);
    for (const value of values) expect(() => JSON.parse(value) as unknown).not.toThrow();
  }
  expect(json.length).toBeGreaterThan(3);
});

/** One JSON value a line; a line that begins with a space goes on. */
function linesOfValues(text: string): readonly string[] {
  return text.trim().split(/\n(?! )/);
}
