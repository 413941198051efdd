/** What a process has counted, as numbers by name; and how they are stored. */
import type { DecisionCount, LimiterStats } from "../limiter/stats.js";
import type { SemaphoreStats } from "../semaphore/counts.js";
import type { PolicyNames } from "./policy-names.js";

/**
 * Numbers by their names. Those that begin with "@" are as of now; all others only grow. Units are in thousandths, whole
 * numbers, so that sums and differences are exact.
 */
export type Numbers = Map<string, number>;

/** By group: one policy of a limiter that decided ("l"), one without a vote ("b"), a limiter ("w"), a semaphore ("s"). */
export type ReportTally = ReadonlyMap<string, Numbers>;

/** What a group is about. "b" are the verdicts of a policy beside those that decided; "t" the ids that a policy denied most. */
export type Kind = "l" | "b" | "w" | "s" | "t";

/** What the numbers of a decision's cell are called; and the units. */
export interface CellNames {
  readonly outcome: string;
  readonly reason: string;
  readonly source: string;
}

export const UNITS = "units";
const AS_OF_NOW = "@";
const THOUSANDTHS = 1000;
const FORMAT = "1";

export function reportGroup(kind: Kind, ...names: readonly string[]): string {
  return [kind, ...names].join(":");
}

/** Limiters of one name count as one, and so do semaphores. */
export function tallyOf(
  limiters: readonly LimiterStats[],
  semaphores: readonly SemaphoreStats[],
  names: PolicyNames,
): ReportTally {
  const tally = new Map<string, Numbers>();
  for (const stats of limiters) {
    addPolicies(tally, stats, names);
    const { limiter, aborted, failed, waits, prefetch } = stats;
    const { started, refused, failed: ended } = waits.waitedMs;
    add(numbersIn(tally, reportGroup("w", limiter)), {
      aborted,
      failed,
      "waits.started": started.count,
      "waits.refused": refused.count,
      "waits.failed": ended.count,
      "prefetch.taken": thousandths(prefetch.taken),
      "prefetch.spent": thousandths(prefetch.spent),
      "prefetch.returned": thousandths(prefetch.returned),
      "prefetch.lost": thousandths(prefetch.lost),
      "@prefetch.held": thousandths(prefetch.held),
      "@waiting": waits.waiting,
    });
  }
  for (const { semaphore, limit, held, granted, lost, waits } of semaphores) {
    const numbers = numbersIn(tally, reportGroup("s", semaphore));
    add(numbers, { granted, lost, "@held": held, "@waiting": waits.waiting });
    numbers.set("@limit", limit);
  }
  return tally;
}

function addPolicies(tally: Map<string, Numbers>, stats: LimiterStats, names: PolicyNames): void {
  const { limiter, decisions, shadows, policies } = stats;
  const groupFor = (kind: Kind, policy: string): string =>
    reportGroup(kind, limiter, names.of(limiter, policy));
  const addCells = (kind: Kind, cells: readonly DecisionCount[]): void => {
    for (const { policy, outcome, reason, source, count, units } of cells) {
      const cell = `${outcome}.${reason}.${source}`;
      const numbers = numbersIn(tally, groupFor(kind, policy));
      add(numbers, { [cell]: count, [`${cell}.${UNITS}`]: thousandths(units) });
    }
  };
  addCells("l", decisions);
  addCells("b", shadows);
  for (const { policy, limit, windowMs, mode, nearLimit } of policies) {
    const numbers = numbersIn(tally, groupFor("l", policy));
    add(numbers, { near: nearLimit });
    const beside = mode === "shadow" ? tally.get(groupFor("b", policy)) : undefined;
    for (const each of beside === undefined ? [numbers] : [numbers, beside]) {
      if (limit !== undefined) each.set("@limit", limit);
      if (windowMs !== undefined) each.set("@window", windowMs);
      each.set("@shadow", mode === "shadow" ? 1 : 0);
    }
  }
}

/** By how much the numbers have grown; what is as of now stays as it is. Only groups of which there is something to say. */
export function growth(now: ReportTally, before: ReportTally): ReportTally {
  const grown = new Map<string, Numbers>();
  for (const [group, numbers] of now) {
    const known = before.get(group);
    const growths: Numbers = new Map();
    let says = false;
    for (const [name, value] of numbers) {
      const isNow = isAsOfNow(name);
      const by = isNow ? value : value - (known?.get(name) ?? 0);
      if (by === 0) continue;
      growths.set(name, by);
      says ||= !isNow || !/^[lb]:/.test(group);
    }
    if (says) grown.set(group, growths);
  }
  return grown;
}

/** Adds `numbers` to `sums`; of the limits of policies and semaphores the last counts. */
export function addNumbers(sums: Numbers, numbers: ReadonlyMap<string, number>): void {
  for (const [name, value] of numbers) {
    sums.set(name, isSetting(name) ? value : (sums.get(name) ?? 0) + value);
  }
}

/** Whether a number is as of now, and no sum over time. */
export function isAsOfNow(name: string): boolean {
  return name.startsWith(AS_OF_NOW);
}

/** Whether it is the same in all processes. */
function isSetting(name: string): boolean {
  return name === "@limit" || name === "@window" || name === "@shadow";
}

/** The outcome, reason and source of a number of decisions; undefined for any other number. */
export function cellOf(name: string): CellNames | undefined {
  const [outcome = "", reason, source, more] = name.split(".");
  if (reason === undefined || source === undefined || more !== undefined) return undefined;
  return { outcome, reason, source };
}

/** How many decisions a tally is about. */
export function decisionsIn(tally: ReportTally): number {
  let sum = 0;
  for (const [group, numbers] of tally) {
    if (!group.startsWith("l:")) continue;
    for (const [name, value] of numbers) if (cellOf(name) !== undefined) sum += value;
  }
  return sum;
}

/** "1 name=value name=value". */
export function numbersToText(numbers: ReadonlyMap<string, number>): string {
  return [FORMAT, ...[...numbers].map(([name, value]) => `${name}=${value}`)].join(" ");
}

/** Undefined if its format is unknown. */
export function numbersFromText(text: string): Numbers | undefined {
  const [format, ...words] = text.split(" ");
  if (format !== FORMAT) return undefined;
  const numbers: Numbers = new Map();
  for (const word of words) {
    const at = word.lastIndexOf("=");
    const value = Number(word.slice(at + 1));
    if (at < 1 || !Number.isFinite(value)) return undefined;
    numbers.set(word.slice(0, at), value);
  }
  return numbers;
}

export function unitsOf(inThousandths: number): number {
  return inThousandths / THOUSANDTHS;
}

function thousandths(units: number): number {
  return Math.round(units * THOUSANDTHS);
}

function numbersIn(tally: Map<string, Numbers>, group: string): Numbers {
  const known = tally.get(group);
  if (known !== undefined) return known;
  const numbers: Numbers = new Map();
  tally.set(group, numbers);
  return numbers;
}

function add(numbers: Numbers, more: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(more)) {
    numbers.set(name, (numbers.get(name) ?? 0) + value);
  }
}
