/**
 * The mirror of promise 1: a denial tells the truth. A call refused with retryAfterMs r is refused again at
 * r − 1 ms and admitted at r; a key with resetAfterMs R is full at R and not at R − 1 ms. On the raw clock, for
 * every policy, several at once, with debts, refunds, blocks, clocks that go back, and changed options.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Decision, Policy, PolicyVerdict } from "../../src/index.js";
import { runs } from "../support/runs.js";
import {
  capacityOf,
  costOf,
  type Kind,
  kinds,
  moveUs,
  policies,
  starts,
  type Step,
  steps,
  type LimitedPolicy,
} from "./arbitraries.js";
import { Play } from "./play.js";

const VERBS = [
  "consume",
  "consume",
  "consume",
  "consumeUpTo",
  "peek",
  "penalize",
  "refund",
  "block",
  "unblock",
  "reset",
] as const;
type Verb = (typeof VERBS)[number];

/** The year 2144: a hundred years later times in µs are still exact. */
const LATEST_US = 5.5e15;

/** A limiter's policies, and the options that some calls bring instead. */
type Variants = readonly [readonly Policy[], readonly Policy[]];

const variantsOf = (kind: Kind, name: string): fc.Arbitrary<readonly [Policy, Policy]> =>
  fc.tuple(policies[kind](name), policies[kind](name));

async function playOut(
  variants: Variants,
  start: number,
  trace: readonly Step<Verb>[],
  blockFor?: number,
): Promise<void> {
  const play = new Play(variants[0], start, blockFor === undefined ? {} : { blockFor });
  let last: readonly Policy[] = variants[0];
  for (const step of trace) {
    // The verbs that take no options keep to the limiter's own.
    const takesOptions = ["consume", "consumeUpTo", "peek"].includes(step.verb);
    const chosen = variants[takesOptions ? step.variant : 0];
    const policy = chosen[Math.floor(step.part * chosen.length)] as LimitedPolicy;
    play.move(moveUs(step, policy));
    const cost = costOf(step, policy);
    const answer = await play.ask(step.verb, cost, takesOptions ? chosen : undefined);
    last = chosen;
    if (!("allowed" in answer)) continue;
    const decision = answer as Decision;
    expectConsistent(decision, chosen);
    const retryAtUs = play.clock.nowUs() + decision.retryAfterMs * 1e3;
    if (step.probe && !decision.allowed && retryAtUs < LATEST_US) {
      const asked = { consumeUpTo: 1, refund: 0, penalize: 0 }[step.verb as string] ?? cost;
      // With blockFor a second denial would block anew, so there the early bird only peeks.
      const early = blockFor === undefined ? "consume" : "peek";
      await checkRetry(play, decision.retryAfterMs, early, asked, chosen);
    }
  }
  await checkReset(play, last);
}

/** What holds for every single decision. */
function expectConsistent(decision: Decision, chosen: readonly Policy[]): void {
  const { allowed, reason, retryAfterMs, resetAfterMs, remaining, limit } = decision;
  expect(allowed).toBe(reason === "ok");
  expect(retryAfterMs === 0).toBe(allowed);
  expect(retryAfterMs === Number.POSITIVE_INFINITY).toBe(reason === "too-costly");
  expect(Number.isSafeInteger(resetAfterMs) && resetAfterMs >= 0).toBe(true);
  expect(remaining >= 0 && remaining <= limit).toBe(true);
  expect(chosen.map(({ name }) => name)).toContain(decision.policy);
}

async function checkRetry(
  play: Play,
  retryAfterMs: number,
  early: "consume" | "peek",
  cost: number,
  chosen: readonly Policy[],
): Promise<void> {
  expect(Number.isInteger(retryAfterMs) && retryAfterMs > 0).toBe(true);
  play.move((retryAfterMs - 1) * 1e3);
  expect(await play.decide(early, cost, chosen)).toMatchObject({ allowed: false });
  play.move(1e3);
  expect(await play.decide("peek", cost, chosen)).toMatchObject({ allowed: true });
  expect(await play.decide("consume", cost, chosen)).toMatchObject({ allowed: true });
}

async function checkReset(play: Play, chosen: readonly Policy[]): Promise<void> {
  const verdicts = await eachVerdict(play, 0, chosen);
  const probes = verdicts.flatMap(({ resetAfterMs }, i) =>
    resetAfterMs === 0
      ? [{ atMs: 0, i, full: true }]
      : [
          { atMs: resetAfterMs - 1, i, full: false },
          { atMs: resetAfterMs, i, full: true },
        ],
  );
  let nowMs = 0;
  for (const { atMs, i, full } of probes.sort((a, b) => a.atMs - b.atMs)) {
    play.move((atMs - nowMs) * 1e3);
    nowMs = atMs;
    const capacity = capacityOf(chosen[i] as LimitedPolicy);
    const verdict = (await eachVerdict(play, capacity, chosen))[i] as PolicyVerdict;
    expect(verdict.allowed).toBe(full);
    expect(verdict.resetAfterMs === 0).toBe(full);
    if (full) expect(verdict.remaining).toBe(Math.floor(capacity));
  }
}

/** Each policy's verdict; that of an only one is the decision. */
async function eachVerdict(
  play: Play,
  cost: number,
  chosen: readonly Policy[],
): Promise<readonly PolicyVerdict[]> {
  const decision = await play.decide("peek", cost, chosen);
  return decision.policies ?? [decision];
}

describe("retryAfterMs and resetAfterMs are exact to the millisecond", () => {
  test.for(kinds)("%s", async (kind) => {
    await fc.assert(
      fc.asyncProperty(policies[kind]("p"), starts, steps(VERBS, 30), (policy, start, trace) =>
        playOut([[policy], [policy]], start, trace),
      ),
      { numRuns: runs(250) },
    );
  });

  test.for(kinds)("%s when options change from call to call", async (kind) => {
    await fc.assert(
      fc.asyncProperty(variantsOf(kind, "p"), starts, steps(VERBS, 30), ([a, b], start, trace) =>
        playOut([[a], [b]], start, trace),
      ),
      { numRuns: runs(250) },
    );
  });

  const several = fc
    .array(fc.constantFrom(...kinds), { minLength: 2, maxLength: 3 })
    .chain((chosen) => fc.tuple(...chosen.map((kind, i) => variantsOf(kind, `p${i}`))))
    .map((pairs): Variants => [pairs.map(([a]) => a), pairs.map(([, b]) => b)]);

  test("several policies at once, with changed options", async () => {
    await fc.assert(
      fc.asyncProperty(several, starts, steps(VERBS, 30), (variants, start, trace) =>
        playOut(variants, start, trace),
      ),
      { numRuns: runs(500) },
    );
  });

  test("with blockFor", async () => {
    const blocks = fc.constantFrom(1, 250.001, 5000);
    await fc.assert(fc.asyncProperty(several, starts, steps(VERBS, 30), blocks, playOut), {
      numRuns: runs(300),
    });
  });
});
