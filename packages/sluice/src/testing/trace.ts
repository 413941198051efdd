/** Random traces: what a store is asked, step by step, made from a seed. */
import type { Policy } from "../algorithms/registry.js";
import { everyAlgorithmsTools, toolsOf } from "../algorithms/toolbox.js";
import type { AlgorithmTools } from "../algorithms/tools.js";
import { Random } from "../core/random.js";

export type TraceVerb =
  | "consume"
  | "consumeUpTo"
  | "consumeMany"
  | "consumeAtomic"
  | "peek"
  | "reserve"
  | "cancel"
  | "refund"
  | "penalize"
  | "block"
  | "unblock"
  | "reset";

export interface TraceStep {
  /** How far the clock moves before the call; negative = back. */
  readonly advanceUs: number;
  readonly verb: TraceVerb;
  readonly key: string;
  /** The slot that the key is given. */
  readonly slot?: string | undefined;
  /** Units. */
  readonly cost: number;
  /** Length of a block. */
  readonly durationMs: number;
  /** Whether it leaves longer ones as they are. */
  readonly keepLonger?: boolean | undefined;
  /** Whether it forgets what is in use. */
  readonly reset?: boolean | undefined;
  /** The longest wait of a reserve; Infinity = any. */
  readonly maxWaitMs: number;
  /** Which reservation a cancel is about, counted back from the newest. */
  readonly back: number;
  /** The variant of the policies that this call uses. */
  readonly variant: number;
  /** Asked of another limiter, which has this one of the policies alone; undefined: of the one that has all. */
  readonly alone?: number | undefined;
}

export interface Trace {
  readonly seed: number;
  readonly startMs: number;
  /** What a limiter is made with; the other variants change options from call to call. */
  readonly variants: readonly (readonly Policy[])[];
  readonly blockForMs: number;
  /** Whether atomic calls span two keys also if these share no slot, or take the same one twice there. */
  readonly atomicAcrossKeys: boolean;
  readonly steps: readonly TraceStep[];
}

/** How often each verb comes, as weights. */
const VERBS: readonly (readonly [TraceVerb, number])[] = [
  ["consume", 12],
  ["consumeUpTo", 3],
  ["consumeMany", 2],
  ["consumeAtomic", 2],
  ["peek", 3],
  ["reserve", 6],
  ["cancel", 3],
  ["refund", 2],
  ["penalize", 2],
  ["block", 0.7],
  ["unblock", 0.5],
  ["reset", 0.5],
];

/** For traces about those who wait: the line of a key seldom empties. */
const LINE_VERBS: typeof VERBS = [
  ["reserve", 12],
  ["cancel", 6],
  ["refund", 2],
  ["consume", 2],
  ["penalize", 1],
  ["consumeUpTo", 1],
  ["peek", 1],
  ["reset", 0.3],
];

function pickVerb(random: Random, verbs: typeof VERBS): TraceVerb {
  let at = random.next() * verbs.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [verb, weight] of verbs) {
    at -= weight;
    if (at < 0) return verb;
  }
  return "consume";
}

/** What costs and pauses are picked around. */
function limitOf(policy: Policy): number {
  return "limit" in policy ? policy.limit : 1000;
}

function pickAdvanceUs(random: Random, policy: Policy): number {
  const span = toolsOf(policy).spanMs(policy) * 1e3;
  const unit = Math.max(1, Math.min(span, Math.round(span / limitOf(policy))));
  const amount = random.pick([
    0,
    0,
    1,
    random.int(1, 1000),
    Math.round(random.next() * unit),
    unit,
    unit - 1,
    Math.round(random.next() * span),
    span,
    span * 2 + 1,
    -1,
    -Math.round(random.next() * span),
  ]);
  return Math.max(-span, Math.min(amount, 400 * 86_400e6));
}

function pickCost(random: Random, policy: Policy, verb: TraceVerb): number {
  const limit = limitOf(policy);
  const cost = random.pick([
    1,
    1,
    1,
    2,
    0.001,
    1.5,
    limit,
    limit / 2,
    limit * 1.001,
    0,
    random.int(1, 10),
  ]);
  if (verb === "consumeUpTo") return Math.max(1, Math.min(1e9, Math.floor(cost)));
  return Math.min(1e9, Math.floor(cost * 1000 + 1e-6) / 1000);
}

/** Mostly one key; on a Cluster the last shares the first one's slot. */
const KEYS: readonly Pick<TraceStep, "key" | "slot">[] = [
  { key: "a" },
  { key: "a" },
  { key: "a" },
  { key: "a" },
  { key: "b" },
  { key: "\u{1f6b0}" },
  { key: "b", slot: "a" },
];

function canBeWaitedFor(tools: AlgorithmTools): boolean {
  const policy = tools.randomPolicy(new Random(0), "p");
  return tools.algorithm.compile(policy).kernel.reserve !== undefined;
}

/** The trace of a seed: one to three policies with up to three variants of their options. */
export function makeTrace(seed: number, length: number): Trace {
  const random = new Random(seed);
  const inLine = random.chance(0.25);
  const among = inLine ? everyAlgorithmsTools.filter(canBeWaitedFor) : everyAlgorithmsTools;
  const algorithms = Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () => random.pick(among));
  const make = (): Policy[] =>
    algorithms.map((tools, i) => tools.randomPolicy(random, `p${i}`) as Policy);
  const variants = Array.from({ length: random.pick([1, 1, 2, 3]) }, make);
  const steps = Array.from({ length }, (): TraceStep => {
    const variant = random.int(0, variants.length - 1);
    const policy = random.pick(variants[variant] as readonly Policy[]);
    const verb = pickVerb(random, inLine ? LINE_VERBS : VERBS);
    return {
      advanceUs: Math.round(pickAdvanceUs(random, policy) / (inLine ? random.int(1, 10) : 1)),
      verb,
      ...random.pick(KEYS),
      cost: pickCost(random, policy, verb),
      durationMs: random.pick([1, 250.001, 60_000, Number.POSITIVE_INFINITY]),
      keepLonger: random.chance(0.5),
      reset: random.chance(0.3),
      maxWaitMs: random.pick([
        Number.POSITIVE_INFINITY,
        Number.POSITIVE_INFINITY,
        0,
        0.001,
        1000,
        86_400_000,
      ]),
      back: random.pick([0, 0, 1, 2]),
      variant,
      alone: random.chance(0.3) ? random.int(0, algorithms.length - 1) : undefined,
    };
  });
  return {
    seed,
    startMs: random.int(1_700_000_000_000, 1_900_000_000_000),
    variants,
    blockForMs: random.chance(0.2) ? random.pick([1, 5000]) : 0,
    atomicAcrossKeys: true,
    steps,
  };
}
