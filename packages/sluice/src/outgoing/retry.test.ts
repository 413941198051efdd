/** Which requests are tried again, and when. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { retryDelayMs } from "./retry.js";

const SETTINGS = {
  attempts: 2,
  baseDelayMs: 100,
  maxDelayMs: 1000,
  statuses: new Set([408, 425, 429, 500, 502, 503, 504]),
};
const half = () => 0.5;

describe("a request is tried again", () => {
  const plain = { hasRetryAfter: false, waitMs: 0 };

  test.each<[number | undefined, boolean, string, boolean]>([
    [undefined, false, "GET", true],
    [undefined, false, "POST", false],
    [429, false, "POST", true],
    [429, true, "PATCH", true],
    [503, false, "GET", true],
    [503, false, "POST", false],
    [503, true, "POST", true],
    [500, false, "PUT", true],
    [502, false, "DELETE", true],
    [504, false, "POST", false],
    [408, false, "HEAD", true],
    [425, false, "OPTIONS", true],
    [501, false, "GET", false],
    [404, false, "GET", false],
    [403, true, "GET", false],
    [200, false, "GET", false],
    [301, true, "GET", false],
  ])("after status %s (Retry-After: %s) to a %s: %s", (status, hasRetryAfter, method, expected) => {
    const delay = retryDelayMs(SETTINGS, 0, method, { ...plain, status, hasRetryAfter }, half);
    expect(delay !== undefined).toBe(expected);
  });

  test("a bounded number of times", () => {
    const tries = [0, 1, 2, 3].map((attempt) =>
      retryDelayMs(SETTINGS, attempt, "GET", { ...plain, status: 429 }, half),
    );
    expect(tries).toEqual([50, 100, undefined, undefined]);
  });

  test("not where the server asks for longer than maxDelay", () => {
    const after = (waitMs: number) =>
      retryDelayMs(SETTINGS, 0, "GET", { status: 429, hasRetryAfter: true, waitMs }, half);
    expect(after(1000)).toBe(1050);
    expect(after(1001)).toBeUndefined();
  });

  test("never before the server asks, and within full jitter of it", () => {
    const attempt = fc.integer({ min: 0, max: 99 });
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    const wait = fc.integer({ min: 0, max: 1000 });
    fc.assert(
      fc.property(attempt, random, wait, (n, chance, waitMs) => {
        const settings = { ...SETTINGS, attempts: 100 };
        const outcome = { status: 429, hasRetryAfter: waitMs > 0, waitMs };
        const delay = retryDelayMs(settings, n, "GET", outcome, () => chance) ?? Number.NaN;
        expect(delay).toBeGreaterThanOrEqual(waitMs);
        expect(delay).toBeLessThanOrEqual(waitMs + Math.min(1000, 100 * 2 ** n));
      }),
      { numRuns: runs(100) },
    );
  });
});
