import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  costOf,
  kinds,
  moveUs,
  policies,
  starts,
  steps,
} from "../../test/properties/arbitraries.js";
import { runs } from "../../test/support/runs.js";
import { VERBS, type VerbName } from "./decide.js";
import { ruleOf } from "./rule.js";
import { type States, step } from "./step.js";

const verbs = Object.keys(VERBS) as VerbName[];
const BLOCK_US = 2_500_000;
const MIN_SLACK_US = 1e6;

const BLOCKS: ReadonlySet<VerbName> = new Set([
  "block",
  "extendBlock",
  "clearBlock",
  "clearExtendBlock",
]);

describe("a step", () => {
  test.for(kinds)(
    "leaves the states it was given as they were, and keeps what it makes as long as it counts: %s",
    (kind) => {
      const traces = steps(verbs, 30);
      fc.assert(
        fc.property(
          policies[kind]("p"),
          policies[kind]("p"),
          starts,
          traces,
          (a, b, start, trace) => {
            let states: States = [undefined];
            let nowUs = start;
            let lastMoveUs = start;
            for (const { verb, variant, ...rest } of trace) {
              const policy = variant === 0 ? a : b;
              nowUs = Math.max(
                lastMoveUs - 1e9,
                nowUs + moveUs({ verb, variant, ...rest }, policy),
              );
              lastMoveUs = Math.max(lastMoveUs, nowUs);
              const cost = Math.round(costOf({ verb, variant, ...rest }, policy) * 1000);
              const call = {
                verb: VERBS[verb],
                cost,
                nowUs,
                blockUs: BLOCKS.has(verb) ? BLOCK_US : 0,
                maxWaitUs: 0,
              };
              const before = picture(states);
              const after = step([ruleOf(policy)], states, call);
              expect(picture(states)).toBe(before);
              expect(picture(step([ruleOf(policy)], states, call))).toBe(picture(after));
              if (after.states !== states) expectKept(after, nowUs);
              else expect(["block", "unblock", "reset"]).not.toContain(verb);
              if (verb === "peek" || cost === 0) expectOnlyVerbsThatNeedNoCost(verb, after, states);
              states = after.states;
            }
          },
        ),
        { numRuns: runs(150) },
      );
    },
  );
});

/** Everything in it, the hits of a log included. */
function picture(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (key !== "hits") return inner;
    const { first, next } = { first: 0, next: 64 };
    const log = inner as { at(seq: number): number; sum(seq: number): number };
    return Array.from({ length: next - first }, (_, seq) => [log.at(seq), log.sum(seq)]);
  });
}

/** need ≤ time to live ≤ need + max(1 s, need), on the raw clock, blocks and debts included. */
function expectKept({ states, debits }: ReturnType<typeof step>, nowUs: number): void {
  const resetUs = debits[0]?.resetUs ?? 0;
  const state = states[0];
  if (state === undefined) {
    expect(resetUs).toBe(0);
    return;
  }
  // If the clock went back, the time of the last change counts until the clock reaches it again.
  const needUs = Math.max(resetUs, state.lastUs - nowUs);
  const livesUs = state.expiryMs * 1e3 - nowUs;
  expect(livesUs).toBeGreaterThanOrEqual(needUs);
  expect(livesUs).toBeLessThanOrEqual(needUs + Math.max(MIN_SLACK_US, needUs));
  expect(Number.isSafeInteger(state.expiryMs)).toBe(true);
}

const NEEDS_NO_COST: ReadonlySet<VerbName> = new Set([
  ...BLOCKS,
  "unblock",
  "reset",
  "consumeUpTo",
]);

function expectOnlyVerbsThatNeedNoCost(
  verb: VerbName,
  after: ReturnType<typeof step>,
  before: States,
): void {
  if (NEEDS_NO_COST.has(verb)) return;
  expect(after.states).toBe(before);
}
