import type { Policy } from "../algorithms/registry.js";
import { formatNumber, formatSpan } from "./format.js";

/** A policy in a line: `token-bucket "default": 10 per 1 s, burst 10`. */
export function describePolicy(policy: Policy): string {
  return `${policy.algorithm} "${policy.name}": ${termsOf(policy)}`;
}

function termsOf(policy: Policy): string {
  const limit = formatNumber(policy.limit);
  switch (policy.algorithm) {
    case "token-bucket": {
      const refill = policy.refill === "interval" ? ", refilled all at once" : "";
      return `${limit} per ${span(policy.period)}, burst ${formatNumber(policy.burst)}${refill}`;
    }
    case "gcra":
      return `${limit} per ${span(policy.period)}, burst ${formatNumber(policy.burst)}`;
    case "leaky-bucket":
      return `leaks ${limit} per ${span(policy.period)}, capacity ${formatNumber(policy.capacity)}`;
    case "fixed-window": {
      const opening = policy.align === "first" ? "opened by the first hit" : "aligned to the clock";
      return `${limit} in each window of ${span(policy.window)}, ${opening}`;
    }
    case "calendar-window": {
      const week = policy.unit === "week" ? `, weeks from ${policy.weekStartsOn}` : "";
      return `${limit} in each calendar ${policy.unit}, ${policy.timeZone}${week}`;
    }
    case "sliding-window":
      return `${limit} per sliding window of ${span(policy.window)}, estimated by two counts`;
    case "sliding-log":
      return `${limit} in any ${span(policy.window)}`;
  }
}

/** What the policy promises, as the audit proves it. */
export function describeBound(policy: Policy): string {
  const limit = formatNumber(policy.limit);
  switch (policy.algorithm) {
    case "token-bucket": {
      const burst = formatNumber(policy.burst);
      return policy.refill === "interval"
        ? `≤ ${burst} + ${limit}·⌈D / ${span(policy.period)}⌉ in every interval of length D`
        : `≤ ${burst} + ${limit}·D / ${span(policy.period)} in every interval of length D`;
    }
    case "gcra":
      return `≤ ${formatNumber(policy.burst)} + ${limit}·D / ${span(policy.period)} in every interval of length D`;
    case "leaky-bucket":
      return `≤ ${formatNumber(policy.capacity)} + ${limit}·D / ${span(policy.period)} in every interval of length D`;
    case "fixed-window":
      return `≤ ${limit} in every window of ${span(policy.window)}`;
    case "calendar-window":
      return `≤ ${limit} in every calendar ${policy.unit} (${policy.timeZone})`;
    case "sliding-window":
      return `< ${formatNumber(2 * policy.limit)} in any ${span(policy.window)}`;
    case "sliding-log":
      return `≤ ${limit} in any ${span(policy.window)}`;
  }
}

function span(ms: number): string {
  return formatSpan(ms * 1000, 12);
}
