/** Says what a policy is and what it promises, in the words of its algorithm. */
import type { Policy } from "../algorithms/registry.js";
import { toolsOf } from "../algorithms/toolbox.js";
import type { Wording } from "../algorithms/wording.js";
import { formatNumber, formatSpan } from "./format.js";

const WORDING: Wording = { number: formatNumber, span: (ms) => formatSpan(ms * 1000, 12) };

/** A policy in a line: `token-bucket "default": 10 per 1 s, burst 10`. */
export function describePolicy(policy: Policy): string {
  return `${policy.algorithm} "${policy.name}": ${toolsOf(policy).describe(policy, WORDING)}`;
}

/** What the policy promises, as the audit proves it. */
export function describeBound(policy: Policy): string {
  const bound = toolsOf(policy).bound(policy);
  const { number, span } = WORDING;
  if (bound.kind === "none") return "no bound";
  const limit = number(bound.limit);
  switch (bound.kind) {
    case "rate": {
      const periods = `D / ${span(bound.period)}`;
      const given = bound.refill === "interval" ? `⌈${periods}⌉` : periods;
      return `≤ ${number(bound.burst)} + ${limit}·${given} in every interval of length D`;
    }
    case "windows":
      return `≤ ${limit} in every ${bound.name(WORDING)}`;
    case "any-window":
      return `${bound.fewer ? "<" : "≤"} ${limit} in any ${span(bound.window)}`;
  }
}
