/** A million attempts are replayed in a heap of a few dozen megabytes. */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildProgram, type BuiltProgram } from "../../../sluice/test/support/built.js";
import { runNode } from "../../../sluice/test/support/processes.js";
import { START_US } from "../../../sluice/test/support/records.js";

const ATTEMPTS = 1_000_000;
const KEYS = 50_000;
/** Objects of so many attempts would need ten times as much. */
const HEAP_MB = 64;

let built: BuiltProgram;
beforeAll(async () => {
  built = await buildProgram([]);
});
afterAll(() => {
  built.remove();
});

test("by sluice simulate, with a suggestion", async () => {
  const file = join(built.directory, "attempts.jsonl");
  const out = createWriteStream(file);
  const policy = { algorithm: "token-bucket", name: "api", limit: 30, period: "1m" };
  out.write(`{"sluice":1,"attempts":{"session":"s","part":1,"sample":1}}\n`);
  out.write(`${JSON.stringify({ rule: 1, limiter: "edge", policy })}\n`);
  for (let i = 0; i < ATTEMPTS; ) {
    let text = "";
    for (const end = Math.min(ATTEMPTS, i + 1000); i < end; i++) {
      // Each key 20 times in an hour, and every 50th of them in the same minute.
      const key = i % KEYS;
      const turn = Math.floor(i / KEYS);
      const atUs = START_US + (key % 50 === 0 ? turn * 1e6 : turn * 180e6) + key;
      text += `{"atUs":${atUs},"key":"key-${key}","cost":1,"allowed":true,"granted":1,"remaining":9,"retryAfterMs":0,"resetAfterMs":1,"reason":"ok","source":"store","rule":1,"limiter":"edge","policy":"api"}\n`;
    }
    if (!out.write(text)) await once(out, "drain");
  }
  out.end('{"end":"s"}\n');
  await once(out, "finish");
  const options = [
    "--policy",
    "token-bucket:name=api,limit=10,period=1m",
    "--suggest",
    "99",
    "--json",
  ];
  const heap = `--max-old-space-size=${HEAP_MB}`;
  const { code, stdout, stderr } = await runNode(heap, built.cli, "simulate", file, ...options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  // A bucket of 10 that gets 10 a minute back denies 7 of 20 calls a second apart.
  expect(JSON.parse(stdout)).toMatchObject({
    all: {
      attempts: ATTEMPTS,
      keys: KEYS,
      deniedBefore: 0,
      newlyDenied: 7000,
      keysDeniedAfter: 1000,
    },
    suggestions: { rules: [{ keys: KEYS, policy: { limit: 16 } }] },
  });
});
