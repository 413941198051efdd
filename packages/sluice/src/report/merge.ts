/** Merges what processes wrote in some minutes into one view. */
import type { DecisionReason, DecisionSource } from "../core/decision.js";
import { type DecisionOutcome, WITHOUT_STORE } from "../limiter/stats.js";
import { MINUTE_MS } from "../stores/report-store.js";
import { idsFromText } from "./id-text.js";
import { lineFromText } from "./line.js";
import { mergeIds } from "./merge-ids.js";
import type { ListedIds } from "./denied-ids.js";
import { gapsOf, processOf, type Written } from "./processes.js";
import {
  addNumbers,
  cellOf,
  decisionsIn,
  isAsOfNow,
  type Kind,
  type Numbers,
  numbersFromText,
  UNITS,
  unitsOf,
} from "./tally.js";
import type {
  LimiterReport,
  MinuteReport,
  PolicyReport,
  ReportedSums,
  Reports,
  SemaphoreReport,
  ShadowReport,
} from "./view.js";

/** The table of a minute. */
export interface ReadMinute {
  readonly minute: number;
  readonly fields: ReadonlyMap<string, string>;
}

/** What one process wrote in one minute. */
interface ProcessMinute {
  readonly written: Written;
  readonly groups: ReadonlyMap<string, Numbers>;
  readonly ids: ReadonlyMap<string, ListedIds>;
}

/** The view of minutes that follow each other, the oldest first. */
export function mergeReports(minutes: readonly ReadMinute[], nowMs: number): Reports {
  const fromMs = (minutes[0]?.minute ?? 0) * MINUTE_MS;
  const read = minutes.map(({ minute, fields }) => ({ minute, ...processesIn(fields) }));
  const byProcess = new Map<string, ProcessMinute[]>();
  for (const { processes } of read) {
    for (const [process, each] of processes) {
      byProcess.set(process, [...(byProcess.get(process) ?? []), each]);
    }
  }
  const processes = [...byProcess].map(([process, all]) =>
    processOf(process, (all.at(-1) as ProcessMinute).written, nowMs),
  );
  const live = new Set(
    processes.filter(({ state }) => state === "reporting").map(({ process }) => process),
  );
  const sums = new Map<string, Numbers>();
  // Minute by minute: of settings the latest counts.
  for (const { processes: ofMinute } of read) {
    for (const [process, each] of ofMinute) {
      const counts = live.has(process) && each === byProcess.get(process)?.at(-1);
      addGroups(sums, each.groups, counts);
    }
  }
  const all = [...byProcess.values()].flat();
  const earliestMs = all.reduce(
    (least, { written }) => Math.min(least, written.line.fromMs),
    Number.POSITIVE_INFINITY,
  );
  const firstMs = Math.max(fromMs, earliestMs);
  const seconds = Math.max(1, (nowMs - firstMs) / 1000);
  return {
    nowMs,
    fromMs,
    processes,
    limiters: limitersIn(sums, all, seconds),
    semaphores: semaphoresIn(sums),
    minutes: read.map((each) => minuteOf(each.minute, [...each.processes.values()])),
    gaps: [...byProcess].flatMap(([process, written]) =>
      gapsOf(
        process,
        written.map((each) => each.written),
        fromMs,
      ),
    ),
    unreadable: read.reduce((sum, each) => sum + each.unreadable, 0),
  };
}

function processesIn(fields: ReadonlyMap<string, string>): {
  readonly processes: ReadonlyMap<string, ProcessMinute>;
  readonly unreadable: number;
} {
  const groups = new Map<string, Map<string, Numbers>>();
  const ids = new Map<string, Map<string, ListedIds>>();
  const processes = new Map<string, ProcessMinute>();
  let unreadable = 0;
  for (const [field, text] of fields) {
    const at = field.indexOf(":");
    if (at < 0) continue;
    const process = field.slice(0, at);
    const group = field.slice(at + 1);
    if (group.startsWith("t:")) unreadable += put(ids, process, group, idsFromText(text));
    else unreadable += put(groups, process, group, numbersFromText(text));
  }
  for (const [process, text] of fields) {
    if (process.includes(":")) continue;
    const line = lineFromText(text);
    if (line === undefined) {
      unreadable += 1;
      continue;
    }
    const own = groups.get(process) ?? new Map<string, Numbers>();
    const written = { line, decisions: decisionsIn(own) };
    processes.set(process, { written, groups: own, ids: ids.get(process) ?? new Map() });
  }
  return { processes, unreadable };
}

/** Puts what was read; answers how much was not readable. */
function put<T>(
  all: Map<string, Map<string, T>>,
  process: string,
  group: string,
  value: T | undefined,
): number {
  if (value === undefined) return 1;
  const own = all.get(process) ?? new Map<string, T>();
  all.set(process, own.set(group, value));
  return 0;
}

/** Current values count only if `isNow`. */
function addGroups(
  sums: Map<string, Numbers>,
  groups: ReadonlyMap<string, Numbers>,
  isNow: boolean,
): void {
  for (const [group, numbers] of groups) {
    const sum = sums.get(group) ?? new Map<string, number>();
    sums.set(group, sum);
    const counted = [...numbers].filter(
      ([name]) => isNow || !isAsOfNow(name) || !/held|waiting/.test(name),
    );
    // A 0 is not written, and may follow a 1.
    if (numbers.has("@limit")) sum.delete("@shadow");
    addNumbers(sum, new Map(counted));
  }
}

function limitersIn(
  sums: ReadonlyMap<string, Numbers>,
  all: readonly ProcessMinute[],
  seconds: number,
): LimiterReport[] {
  const limiters = new Map<string, { policies: PolicyReport[]; shadows: ShadowReport[] }>();
  for (const [group, numbers] of sums) {
    const [kind, limiter = "", policy = ""] = group.split(":");
    if (kind !== "w" && kind !== "l" && kind !== "b") continue;
    const own = limiters.get(limiter) ?? { policies: [], shadows: [] };
    limiters.set(limiter, own);
    if (kind === "b") own.shadows.push(policyCounts(policy, numbers, seconds));
    if (kind !== "l") continue;
    const listed = all.map(({ ids }) => ids.get(`t:${limiter}:${policy}`));
    const ids = mergeIds(listed.filter((each) => each !== undefined));
    own.policies.push({ ...policyCounts(policy, numbers, seconds), ...ids });
  }
  return [...limiters].map(([limiter, { policies, shadows }]) => ({
    ...limiterReport(limiter, policies, sums.get(`w:${limiter}`) ?? new Map(), seconds),
    shadows,
  }));
}

function policyCounts(policy: string, numbers: Numbers, seconds: number): ShadowReport {
  const decisions = [...numbers].flatMap(([name, count]) => {
    const cell = cellOf(name);
    if (cell === undefined) return [];
    return {
      policy,
      outcome: cell.outcome as DecisionOutcome,
      reason: cell.reason as DecisionReason,
      source: cell.source as DecisionSource,
      count,
      units: unitsOf(numbers.get(`${name}.${UNITS}`) ?? 0),
    };
  });
  const units = (outcome: DecisionOutcome): number =>
    unitsOf(
      [...numbers]
        .filter(([name]) => name.startsWith(`${outcome}.`) && name.endsWith(`.${UNITS}`))
        .reduce((sum, [, value]) => sum + value, 0),
    );
  const sums = sumsOf(numbers);
  return {
    policy,
    ...sums,
    limit: numbers.get("@limit"),
    windowMs: numbers.get("@window"),
    mode: numbers.get("@shadow") === 1 ? "shadow" : "enforce",
    units: {
      allowed: units("allowed"),
      denied: units("denied"),
      shadowDenied: units("shadow-denied"),
    },
    decisions,
    perSecond: scaled(sums, seconds),
  };
}

function limiterReport(
  limiter: string,
  policies: readonly PolicyReport[],
  numbers: Numbers,
  seconds: number,
): Omit<LimiterReport, "shadows"> {
  const of = (name: string): number => numbers.get(name) ?? 0;
  const sums = added(policies);
  return {
    limiter,
    ...sums,
    aborted: of("aborted"),
    failed: of("failed"),
    waits: {
      waiting: of("@waiting"),
      started: of("waits.started"),
      refused: of("waits.refused"),
      failed: of("waits.failed"),
    },
    prefetch: {
      taken: unitsOf(of("prefetch.taken")),
      spent: unitsOf(of("prefetch.spent")),
      returned: unitsOf(of("prefetch.returned")),
      lost: unitsOf(of("prefetch.lost")),
      held: unitsOf(of("@prefetch.held")),
    },
    perSecond: scaled(sums, seconds),
    policies,
  };
}

function semaphoresIn(sums: ReadonlyMap<string, Numbers>): SemaphoreReport[] {
  return [...sums]
    .filter(([group]) => group.startsWith("s:"))
    .map(([group, numbers]) => ({
      semaphore: group.slice(2),
      limit: numbers.get("@limit"),
      held: numbers.get("@held") ?? 0,
      waiting: numbers.get("@waiting") ?? 0,
      granted: numbers.get("granted") ?? 0,
      lost: numbers.get("lost") ?? 0,
    }));
}

function minuteOf(minute: number, processes: readonly ProcessMinute[]): MinuteReport {
  const sums = new Map<string, Numbers>();
  for (const { groups } of processes) addGroups(sums, groups, false);
  const of = (kind: Kind): MinuteReport["policies"] =>
    [...sums]
      .filter(([group]) => group.startsWith(`${kind}:`))
      .map(([group, numbers]) => {
        const [, limiter = "", policy = ""] = group.split(":");
        return { limiter, policy, ...sumsOf(numbers) };
      });
  return { fromMs: minute * MINUTE_MS, policies: of("l"), shadows: of("b") };
}

function sumsOf(numbers: Numbers): ReportedSums {
  const by = { allowed: 0, denied: 0, "shadow-denied": 0 };
  let withoutStore = 0;
  for (const [name, count] of numbers) {
    const cell = cellOf(name);
    if (cell === undefined) continue;
    by[cell.outcome as DecisionOutcome] += count;
    if (WITHOUT_STORE.has(cell.source as DecisionSource)) withoutStore += count;
  }
  const { allowed, denied, "shadow-denied": shadowDenied } = by;
  const asked = allowed + denied + shadowDenied;
  const nearLimit = numbers.get("near") ?? 0;
  return { asked, allowed, denied, shadowDenied, withoutStore, nearLimit };
}

/** The sums of several. */
function added(all: readonly ReportedSums[]): ReportedSums {
  return sumsBy((name) => all.reduce((sum, each) => sum + each[name], 0));
}

function scaled(sums: ReportedSums, seconds: number): ReportedSums {
  return sumsBy((name) => sums[name] / seconds);
}

function sumsBy(value: (name: keyof ReportedSums) => number): ReportedSums {
  return {
    asked: value("asked"),
    allowed: value("allowed"),
    denied: value("denied"),
    shadowDenied: value("shadowDenied"),
    withoutStore: value("withoutStore"),
    nearLimit: value("nearLimit"),
  };
}
