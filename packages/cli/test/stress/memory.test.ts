/** Logs of any length are audited in a heap of a few megabytes. */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildProgram, type BuiltProgram } from "../../../sluice/test/support/built.js";
import { runNode } from "../../../sluice/test/support/processes.js";
import { START_US } from "../../../sluice/test/support/records.js";

/** Objects of so many records would need two to four times the heap. */
const LINES = 300_000;
const HEAP_MB = 48;

let built: BuiltProgram;
beforeAll(async () => {
  built = await buildProgram([]);
});
afterAll(() => {
  built.remove();
});

const header = (policy: object): object => ({ sluice: 1, policy });
const hit = (i: number, key: string): object => ({
  atUs: START_US + i * 1001,
  key,
  cost: 1,
  allowed: true,
  granted: 1,
  remaining: 8,
  retryAfterMs: 0,
  resetAfterMs: 1,
  reason: "ok",
  source: "store",
});
const bucket = { algorithm: "token-bucket", name: "b", limit: 9, period: 1, burst: 9 };

const LOGS: readonly (readonly [of: string, head: object, lines: (i: number) => object])[] = [
  ["one key", header(bucket), (i) => hit(i, "hot")],
  [
    "a bucket by intervals",
    header({ ...bucket, refill: "interval" }),
    // A phase of its own each, which the bound must tell apart.
    (i) => ({ ...hit(i, "hot"), atUs: START_US + i * 1001 }),
  ],
  [
    "a semaphore",
    { sluice: 1, semaphore: { limit: 2 } },
    (i) => {
      const fence = START_US + Math.floor(i / 3) * 10;
      if (i % 3 === 1) return { releasing: fence, key: "k" };
      if (i % 3 === 2) return { released: fence, key: "k", atUs: fence + 5 };
      return {
        granted: fence,
        key: "k",
        ticket: fence,
        weight: 1,
        untilUs: fence + 1e6,
        atUs: fence,
      };
    },
  ],
  ["keys of their own", header(bucket), (i) => hit(i, `key-${i % 100_000}`)],
];

test.each(LOGS)("of %s", async (of, head, lines) => {
  const file = join(built.directory, `${of}.jsonl`);
  const out = createWriteStream(file);
  out.write(`${JSON.stringify(head)}\n`);
  for (let i = 0; i < LINES; ) {
    let text = "";
    for (const end = Math.min(LINES, i + 1000); i < end; i++) {
      text += `${JSON.stringify(lines(i))}\n`;
    }
    if (!out.write(text)) await once(out, "drain");
  }
  out.end();
  await once(out, "finish");
  const heap = `--max-old-space-size=${HEAP_MB}`;
  const { code, stdout, stderr } = await runNode(heap, built.cli, "audit", file);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain(of === "a semaphore" ? "100,000 grants" : "300,000 decisions");
  expect(stdout).toMatch(/PASSED\n$/);
});
