/** Says what a policy is and what it promises, in the words of its algorithm. */
import type { Policy } from "../algorithms/registry.js";
import { toolsOf } from "../algorithms/toolbox.js";
import type { Wording } from "../algorithms/wording.js";

const numbers = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
const spans = new Intl.NumberFormat("en-US", { maximumFractionDigits: 6 });

const UNITS = [
  ["d", 86_400e3],
  ["h", 3600e3],
  ["min", 60e3],
  ["s", 1e3],
  ["ms", 1],
] as const;

/** 20000 as "20,000", and 90000 ms as "1.5 min". */
const PLAIN: Wording = {
  number: (value) => numbers.format(value),
  span(ms) {
    const [unit, unitMs] = UNITS.find(([, each]) => ms >= each) ?? ["ms", 1];
    return `${spans.format(Number((ms / unitMs).toPrecision(12)))} ${unit}`;
  },
};

/**
 * A policy in a line of English: its algorithm, its name, its terms.
 *
 * @param wording how numbers and lengths of time are written; default "20,000" and "1.5 min"
 * @throws InvalidOptionError for what is no policy
 * @example
 * import { tokenBucket } from "sluice";
 * import { describePolicy } from "sluice/describe";
 * const policy = tokenBucket({ limit: 10, period: "1s", name: "api" });
 * console.log(describePolicy(policy)); // token-bucket "api": 10 per 1 s, burst 10
 */
export function describePolicy(policy: Policy, wording: Wording = PLAIN): string {
  return `${policy.algorithm} "${policy.name}": ${toolsOf(policy).describe(policy, wording)}`;
}

/**
 * What a policy promises, which `sluice/audit` proves: the most units it admits, over which intervals.
 *
 * @param wording as for `describePolicy`
 * @throws InvalidOptionError for what is no policy
 * @example
 * import { slidingLog } from "sluice";
 * import { describeBound } from "sluice/describe";
 * console.log(describeBound(slidingLog({ limit: 5, window: "15m" }))); // ≤ 5 in any 15 min
 */
export function describeBound(policy: Policy, wording: Wording = PLAIN): string {
  const bound = toolsOf(policy).bound(policy);
  const { number, span } = wording;
  if (bound.kind === "none") return "no bound";
  const limit = number(bound.limit);
  switch (bound.kind) {
    case "rate": {
      const periods = `D / ${span(bound.period)}`;
      const given = bound.refill === "interval" ? `⌈${periods}⌉` : periods;
      return `≤ ${number(bound.burst)} + ${limit}·${given} in every interval of length D`;
    }
    case "windows":
      return `≤ ${limit} in every ${bound.name(wording)}`;
    case "any-window":
      return `${bound.fewer ? "<" : "≤"} ${limit} in any ${span(bound.window)}`;
  }
}
