/** The cooldown as a policy. */
import {
  type Algorithm,
  type PolicyBase,
  PolicyReader,
} from "../../../src/algorithms/algorithm.js";
import { cooldownKernel } from "./kernel.js";

export interface CooldownPolicy extends PolicyBase {
  readonly algorithm: "cooldown";
  readonly limit: number;
  /** Milliseconds. */
  readonly period: number;
}

export const cooldownAlgorithm: Algorithm<CooldownPolicy> = {
  id: "cooldown",
  parse(options, path) {
    const read = new PolicyReader("cooldown", options, path, ["limit", "period"]);
    return read.finished({
      algorithm: "cooldown",
      name: read.name("cooldown"),
      limit: read.limit(),
      period: read.period("period"),
    } as const);
  },
  compile({ limit, period }) {
    const params = { capacity: Math.round(limit * 1e3), period: Math.round(period * 1e3) };
    return { kernel: cooldownKernel, params, windowMs: period };
  },
};
