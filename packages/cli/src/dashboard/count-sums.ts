/** What reports add up to, by rule: sums that grow, and by how much they have grown since the last look. */
import type { MinuteSums, ReportedSums, Reports } from "sluice/report";
import type { Counts } from "./wire.js";

type Sums = { -readonly [K in keyof Counts]: number };

/** Of one rule in one look. */
export interface RuleDelta extends Sums {
  /** Of its candidate: would have been denied. */
  candidateDenied: number;
}

/** By limiter and rule. */
export type Deltas = ReadonlyMap<string, RuleDelta>;

/** More rules than these count as one: their names are the documents' of all processes. */
const MOST_RULES = 2000;
const OTHERS = "other";
const CANDIDATE = ".candidate";

function noCounts(): Sums {
  return { asked: 0, allowed: 0, denied: 0, near: 0, withoutStore: 0, shadowDenied: 0 };
}

function noDelta(): RuleDelta {
  return { ...noCounts(), candidateDenied: 0 };
}

/** Names a rule of a limiter in one text: a limiter's name has no blank. */
export function ruleName(limiter: string, rule: string): string {
  return `${limiter} ${rule}`;
}

function addCounts(to: Sums, counts: Counts): void {
  to.asked += counts.asked;
  to.allowed += counts.allowed;
  to.denied += counts.denied;
  to.near += counts.near;
  to.withoutStore += counts.withoutStore;
  to.shadowDenied += counts.shadowDenied;
}

/** Of all rules together. */
export function sumOf(deltas: Deltas): Counts {
  const sum = noCounts();
  for (const delta of deltas.values()) addCounts(sum, delta);
  return sum;
}

/** The minutes as they were at the last look: each count is in one difference. */
export class MinuteDifferences {
  /** By minute, then by what is counted. */
  #last = new Map<number, ReadonlyMap<string, ReportedSums>>();

  /** What has come since the last look; at the first one nothing, since it came before. */
  add({ minutes }: Reports): Deltas {
    const deltas = new Map<string, RuleDelta>();
    const now = new Map<number, ReadonlyMap<string, ReportedSums>>();
    const isFirst = this.#last.size === 0;
    for (const { fromMs, policies, shadows } of minutes) {
      const before = this.#last.get(fromMs);
      const sums = new Map<string, ReportedSums>();
      now.set(fromMs, sums);
      const take = (each: MinuteSums, isBeside: boolean): void => {
        const name = ruleName(each.limiter, each.policy);
        const place = isBeside ? `beside ${name}` : name;
        sums.set(place, each);
        addGrowth(deltas, each, before?.get(place), isBeside);
      };
      for (const each of policies) take(each, false);
      for (const each of shadows) take(each, true);
    }
    this.#last = now;
    return isFirst ? new Map() : deltas;
  }
}

/** What a minute holds, by rule. */
export function deltasOfMinute({
  policies,
  shadows,
}: Pick<Reports["minutes"][number], "policies" | "shadows">): Deltas {
  const deltas = new Map<string, RuleDelta>();
  for (const each of policies) addGrowth(deltas, each, undefined, false);
  for (const each of shadows) addGrowth(deltas, each, undefined, true);
  return deltas;
}

/** Sums of a minute that a server has lost are less than before: what is there then is new. */
function addGrowth(
  deltas: Map<string, RuleDelta>,
  sums: MinuteSums,
  before: ReportedSums | undefined,
  isBeside: boolean,
): void {
  const isLost = before !== undefined && before.asked > sums.asked;
  const by = (name: keyof ReportedSums): number =>
    sums[name] - (isLost ? 0 : (before?.[name] ?? 0));
  const isCandidate = isBeside && sums.policy.endsWith(CANDIDATE);
  const rule = isCandidate ? sums.policy.slice(0, -CANDIDATE.length) : sums.policy;
  const shadowDenied = by("shadowDenied");
  if (by("asked") === 0) return;
  const delta = deltaOf(deltas, ruleName(sums.limiter, rule));
  delta.shadowDenied += shadowDenied;
  if (isCandidate) {
    delta.candidateDenied += shadowDenied;
    return;
  }
  delta.asked += by("asked");
  delta.allowed += by("allowed");
  delta.denied += by("denied");
  delta.near += by("nearLimit");
  delta.withoutStore += by("withoutStore");
}

function deltaOf(deltas: Map<string, RuleDelta>, name: string): RuleDelta {
  const isRoom = deltas.size < MOST_RULES || deltas.has(name);
  const place = isRoom ? name : ruleName(OTHERS, OTHERS);
  const delta = deltas.get(place) ?? noDelta();
  deltas.set(place, delta);
  return delta;
}

/** The counts of the last minute, by rule. */
export class LastMinute {
  readonly #samples: { readonly spanMs: number; readonly deltas: Deltas }[] = [];
  #spanMs = 0;

  add(spanMs: number, deltas: Deltas): void {
    this.#samples.push({ spanMs, deltas });
    this.#spanMs += spanMs;
    let [first] = this.#samples;
    while (first !== undefined && this.#spanMs - first.spanMs >= 60_000) {
      this.#spanMs -= first.spanMs;
      this.#samples.shift();
      [first] = this.#samples;
    }
  }

  /** A second, by limiter and rule. */
  rates(): Deltas {
    const sums = new Map<string, RuleDelta>();
    for (const { deltas } of this.#samples) {
      for (const [name, delta] of deltas) {
        const sum = deltaOf(sums, name);
        addCounts(sum, delta);
        sum.candidateDenied += delta.candidateDenied;
      }
    }
    const seconds = Math.max(1, this.#spanMs / 1000);
    for (const sum of sums.values()) {
      for (const count of Object.keys(sum) as (keyof RuleDelta)[]) sum[count] /= seconds;
    }
    return sums;
  }
}
