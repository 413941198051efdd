/** Audits logs of attempts, which hold some of the keys, and of these perhaps not everything. */
import { ruleOf } from "../algorithms/rule.js";
import { toolsOf } from "../algorithms/toolbox.js";
import { type AttemptsRead, type AttemptPolicies, groupOf, stateName } from "./attempts-read.js";
import { GIVING_BACK } from "./attempt-record.js";
import { type AttemptReplay, type Circumstances, replayAttempts } from "./attempt-replay.js";
import { type BoundReport, checkBound } from "./bound.js";
import type { Rows } from "./columns.js";
import { LogError } from "./log.js";
import type { LogRecord } from "./record.js";
import { isSampled } from "./sample.js";
import { type Tally, TallyCounter } from "./tally.js";

/** What the audit found of one key of a limiter. */
export interface AttemptKeyReport {
  /** The limiter of the key. */
  readonly limiter: string;
  /** The key's id, as logged. */
  readonly key: string;
  /** Whether every promise held. */
  readonly passed: boolean;
  /** Decisions, counted. */
  readonly tally: Tally;
  /** One report a policy; none if units were given back or options changed, since no bound is promised then. */
  readonly bounds: readonly BoundReport[];
  /** How its decisions compare with the kernel's. */
  readonly replay: AttemptReplay;
}

/** The verdict on logs of attempts, and what it rests on. */
export interface AttemptAuditReport {
  /** Whether no key is refuted. */
  readonly passed: boolean;
  /** The logs that were read. */
  readonly files: readonly string[];
  /** The limiters of the logs, and what decided in them. */
  readonly rules: readonly AttemptPolicies[];
  /** Decisions, counted. */
  readonly tally: Tally;
  /** Decisions of the store that the replay answers in the same way. */
  readonly matched: number;
  /** Decisions that gave less than the replay would have. */
  readonly stricter: number;
  /** Decisions that the logs do not settle. */
  readonly unclear: number;
  /** Sessions of processes that the logs hold. */
  readonly sessions: number;
  /** How many of them lack their beginning, their end or something between. */
  readonly incomplete: number;
  /** Lines that the logs say are missing. */
  readonly lost: number;
  /** Last lines that were cut short. */
  readonly torn: number;
  /** The share of keys that was audited: the smallest that a session logged. */
  readonly sample: number;
  /** The store's time of the first record: µs since the epoch. */
  readonly fromUs: number;
  /** The store's time of the last record: µs since the epoch. */
  readonly toUs: number;
  /** Keys in all. */
  readonly keyCount: number;
  /** How many of them have a decision that breaks a promise. */
  readonly refutedCount: number;
  /** Refuted keys first, then those with the most records; at most 10,000 of them. */
  readonly keys: readonly AttemptKeyReport[];
}

const MOST_REPORTS = 10_000;

/** @throws LogError if there is nothing to audit. */
export function auditAttempts(log: AttemptsRead): AttemptAuditReport {
  const { records, sample } = log;
  const circumstancesOf = circumstancesIn(log);
  const all = new TallyCounter();
  const counts = { matched: 0, stricter: 0, unclear: 0 };
  const [refuted, passed]: [AttemptKeyReport[], AttemptKeyReport[]] = [[], []];
  let [fromUs, toUs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let [keyCount, refutedCount] = [0, 0];
  for (const { key: text, records: own } of records.byKey()) {
    const space = text.lastIndexOf(" ");
    const [group, key] = [text.slice(0, space), text.slice(space + 1)];
    // A key that only some of the processes logged is not whole.
    if (!isSampled(key, sample)) continue;
    const tally = new TallyCounter();
    for (let row = 0; row < own.length; row++) {
      const record = own.at(row) as LogRecord;
      fromUs = Math.min(fromUs, record.atUs);
      toUs = Math.max(toUs, record.atUs);
      for (const counter of [all, tally]) counter.add(record);
    }
    const report = auditKey(
      { key, group, records: own, tally: tally.tally },
      circumstancesOf(group),
    );
    keyCount += 1;
    refutedCount += Number(!report.passed);
    for (const name of ["matched", "stricter", "unclear"] as const) {
      counts[name] += report.replay[name];
    }
    const reports = report.passed ? passed : refuted;
    if (reports.length < MOST_REPORTS) reports.push(report);
  }
  if (keyCount === 0) throw new LogError(`${log.files.join(", ")}: there is nothing to audit`);
  const { files, rules, sessions, incomplete, lost, torn } = log;
  const keys = [...refuted, ...passed].slice(0, MOST_REPORTS);
  return {
    passed: refutedCount === 0,
    files,
    rules,
    tally: all.tally,
    ...counts,
    sessions,
    incomplete,
    lost,
    torn,
    sample,
    fromUs,
    toUs,
    keyCount,
    refutedCount,
    keys,
  };
}

/** What is known of a limiter's log, beside a key's records. */
interface Known extends Circumstances {
  readonly limiter: string;
  /** Whether nothing that gave units back can be missing. */
  readonly hasBound: boolean;
}

function circumstancesIn(log: AttemptsRead): (group: string) => Known {
  const { rules, doubts, incomplete, lost, torn } = log;
  const isComplete = incomplete + lost + torn === 0;
  const overlapping = overlappingGroups(rules);
  const known = new Map<string, Known>();
  for (const rule of rules) {
    const { limiter, store } = rule;
    const group = groupOf(rule);
    const own = doubts.of(limiter);
    const isForgetful = doubts.forgets(store) || overlapping.has(group) || hasTwoClocks(rule);
    const hasBound = !isForgetful && own.length === 0;
    known.set(group, { limiter, rules, doubts: own, isForgetful, isComplete, hasBound });
  }
  return (group) => {
    const limiter = group.slice(0, group.lastIndexOf("/"));
    return (
      known.get(group) ?? {
        limiter,
        rules,
        doubts: [],
        isForgetful: true,
        isComplete,
        hasBound: false,
      }
    );
  };
}

/** Groups that share a state with another one: what one gives back, the other's records do not show. */
function overlappingGroups(rules: readonly AttemptPolicies[]): ReadonlySet<string> {
  const groups = new Map<string, Set<string>>();
  for (const rule of rules) {
    for (const policy of rule.policies) {
      const state = `${rule.limiter} ${rule.store ?? ""} ${stateName(policy)}`;
      groups.set(state, (groups.get(state) ?? new Set()).add(groupOf(rule)));
    }
  }
  return new Set([...groups.values()].flatMap((each) => (each.size > 1 ? [...each] : [])));
}

/** In memory some policies go by the wall clock and others by the time that has passed: their records have no one order. */
function hasTwoClocks({ store, policies }: AttemptPolicies): boolean {
  return store !== undefined && new Set(policies.map((each) => ruleOf(each).byWallClock)).size > 1;
}

interface KeyRecords {
  readonly key: string;
  readonly group: string;
  readonly records: Rows<LogRecord>;
  readonly tally: Tally;
}

function auditKey({ key, records, tally }: KeyRecords, known: Known): AttemptKeyReport {
  const replay = replayAttempts(records, known);
  const bounds = boundsOf(records, known);
  const passed = replay.violation === undefined && bounds.every(({ holds }) => holds);
  return { limiter: known.limiter, key, passed, tally, bounds, replay };
}

/** If windows begin with a call, only the replay can say in which of them another call was. */
function boundsOf(records: Rows<LogRecord>, { rules, hasBound }: Known): readonly BoundReport[] {
  if (!hasBound) return [];
  const numbers = new Set<number>();
  for (let row = 0; row < records.length; row++) {
    const { rule, source, verb } = records.at(row) as LogRecord;
    if (GIVING_BACK.has(verb)) return [];
    if (source === "store" && rule !== undefined) numbers.add(rule);
  }
  const [number] = numbers;
  if (numbers.size !== 1 || number === undefined) return [];
  const { policies } = rules[number] as AttemptPolicies;
  return policies
    .filter((policy) => toolsOf(policy).isMonotone?.(policy) === true)
    .map((policy) => checkBound(policy, records));
}
