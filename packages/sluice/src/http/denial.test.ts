/** The body of a denial, which is put together from texts that are kept. */
import { expect, test } from "vitest";
import { problemBody } from "./answer.js";
import { defaultBody, denialOf, type DenialReason } from "./denial.js";

const REASONS: readonly DenialReason[] = [
  "quota",
  "too-costly",
  "concurrency",
  "blocked",
  "store",
  "key",
];

test.each(REASONS)("a body for the reason %s is its problem as JSON has it", (reason) => {
  for (const violated of [[], ["burst"], ["burst", 'day"\\']]) {
    const denial = denialOf({ reason, retryAfterMs: 1000, decisions: [], violated });
    expect(defaultBody(denial)).toBe(problemBody(denial));
    expect(JSON.parse(defaultBody(denial))).toEqual(denial.problem);
  }
});
