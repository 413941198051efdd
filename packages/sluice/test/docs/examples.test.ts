/** Every `@example` of the sources runs and prints what it says. */
import { readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { checkTypes, docstringSnippets, runSnippet } from "../support/snippets.js";

const sources = readdirSync("packages/sluice/src", { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
  .map((file) => `packages/sluice/src/${file}`);
const examples = sources.flatMap(docstringSnippets);

describe("examples", () => {
  // Time stands still, so that what an example prints does not hang on how fast this machine is.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date", "performance"] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  test.each(examples)("$name runs and prints what it says", async (example) => {
    await runSnippet(example);
  });
});

test("every public maker, class and function has an example", () => {
  const documented = [
    "tokenBucket",
    "gcra",
    "leakyBucket",
    "fixedWindow",
    "calendarWindow",
    "slidingWindow",
    "slidingLog",
    "parsePolicy",
    "RateLimiter",
    "consumeAtomic",
    "Semaphore",
    "MemoryStore",
    "RedisStore",
    "ManualClock",
    "PureStore",
    "storeConformance",
    "auditLogs",
    "simulate",
    "describePolicy",
    "describeBound",
    "describeAlgorithms",
    "durationMs",
    "systemClock",
    "publish",
    "AttemptLog",
    "parseRateLimit",
    "waitMsOf",
    "formatRateLimit",
    "formatRateLimitPolicy",
    "formatRetryAfter",
    "rateLimitFields",
    "limitFetch",
    "limitInterceptor",
    "limited",
  ];
  const code = examples.map((example) => example.code).join("\n");
  for (const name of documented) expect(code).toMatch(new RegExp(`\\b${name}\\(|${name}\\.`));
  expect(examples.length).toBeGreaterThanOrEqual(documented.length);
});

test("the examples have the right types", async () => {
  await checkTypes(examples);
});
