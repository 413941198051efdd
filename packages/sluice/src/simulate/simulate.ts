/** Replays logged attempts under other limits, and compares the answers. */
import type { VerbName } from "../algorithms/decide.js";
import { rowsByTime } from "../audit/columns.js";
import { LogError } from "../audit/log.js";
import { type LogRecord, TAKING_VERBS } from "../audit/record.js";
import { Records } from "../audit/records.js";
import { isSampled } from "../audit/sample.js";
import { whenSettled } from "../core/clock.js";
import { type Comparison, CountsByKey, type KeyCounts } from "./counts.js";
import { aCount, optional, optionReader, unchecked } from "../core/options.js";
import { REPLAY_OPTIONS, type Limits, type LoggedAttempt, replayable } from "./limits.js";
import {
  decidedBy,
  idOf,
  type LoggedAttempts,
  type ReadAttempts,
  readOf,
} from "./logged-attempts.js";
import { ReplayStore } from "./replay-store.js";
import {
  askRequests,
  changeByRequests,
  decidingOf,
  deniedInRequests,
  RequestKeys,
  isOfSeveral,
  requestsOf,
} from "./requests.js";
import { Timeline, type TimelineStep } from "./timeline.js";

/** Options of `simulate`. */
export interface SimulationOptions {
  /** What the attempts are replayed under. */
  readonly limits: Limits;
  /** What that is compared with; default: what was answered, as the log says. */
  readonly against?: Limits | undefined;
  /** Only attempts of this limiter; default all. */
  readonly limiter?: string | undefined;
  /** How many keys are listed; default 10. */
  readonly top?: number | undefined;
  /** Called now and then with how many attempts are done, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What one rule says to the attempts that it applies to. */
export interface RuleComparison extends Comparison {
  /** The rule's name. */
  readonly rule: string;
  /** Whether its denial denies the attempt. */
  readonly votes: boolean;
}

/** How the attempts on one key came out. */
export interface ComparedKey extends Omit<KeyCounts, "key"> {
  /** The limiter of the key. */
  readonly limiter: string;
  /** The key's id, as logged. */
  readonly key: string;
}

/** What the limits change. */
export interface SimulationReport {
  /** The logs that were read. */
  readonly files: readonly string[];
  /** The share of keys that is in the logs: all counts are of these. */
  readonly sample: number;
  /** The first and the last attempt, in µs since 1970. */
  readonly fromUs: number;
  /** The end of what the logs cover, by the store's clock, in µs since the epoch. */
  readonly toUs: number;
  /** All keys together. */
  readonly all: Comparison;
  /** The same by rule. */
  readonly rules: readonly RuleComparison[];
  /** Keys with an attempt that came out otherwise, by their ids; those with most newly denied ones first. */
  readonly keys: readonly ComparedKey[];
  /** The length of a step of the timeline, in µs. */
  readonly stepUs: number;
  /** The same by time. */
  readonly timeline: readonly TimelineStep[];
  /** Attempts that no rule applies to. */
  readonly unlimited: number;
  /** Attempts on blocked keys, which are not replayed: a block is no limit. */
  readonly blocked: number;
  /** Attempts that the store did not answer, replayed at the time that their process knew. */
  readonly withoutStore: number;
  /** Partial grants and reservations of several rules: a set asked each by itself, the replay asks all together. */
  readonly askedApart: number;
  /** Resets and unblocks of a key of a set's rule, which are not replayed. */
  readonly keysChanged: number;
  /** What the logs say is missing. */
  readonly failedCalls: number;
  /** Lines that the writers could not keep. */
  readonly lost: number;
  /** Logs that end without a last line. */
  readonly incomplete: number;
}

const OPTIONS = optionReader<SimulationOptions>()({
  ...REPLAY_OPTIONS,
  ...unchecked("against"),
  top: optional(aCount(0, 1e6)),
});

const ASKING: ReadonlySet<VerbName> = new Set(TAKING_VERBS);
/** What changes a key of a rule without a request. */
const CHANGING: ReadonlySet<VerbName> = new Set([
  "reset",
  "unblock",
  "clearBlock",
  "clearExtendBlock",
]);
/** What a set asks each rule by itself. */
const ASKED_APART: ReadonlySet<VerbName> = new Set(["consumeUpTo", "reserve"]);
/** After this many attempts, other work in the process gets its turn. */
const ATTEMPTS_A_TURN = 2000;
const DEFAULT_TOP = 10;

/**
 * Replays the attempts of each key in the order of the store's time. Callers who were denied made the same attempts: whether they would
 * have come back later or sooner, no log can tell.
 *
 * @throws LogError if there is no attempt.
 * @example
 * import { RateLimiter, slidingLog } from "sluice";
 * import { headerLine, keyId, recordLine } from "sluice/audit";
 * import { limitsOf, readLoggedAttempts, simulate } from "sluice/simulate";
 *
 * const policy = slidingLog({ limit: 3, window: "1h" });
 * const limiter = new RateLimiter({ policy });
 * const lines = [headerLine([policy])];
 * for (let call = 0; call < 5; call += 1) {
 *   lines.push(recordLine({ key: keyId("user:42"), cost: 1 }, await limiter.consume("user:42")));
 * }
 * const source = { name: "a.jsonl", open: async function* () { yield lines.join(""); } };
 * const log = await readLoggedAttempts([source]);
 * const { all } = await simulate(log, { limits: limitsOf([slidingLog({ limit: 2, window: "1h" })]) });
 * console.log(all.deniedBefore, all.newlyDenied); // 2 1
 */
export async function simulate(
  logs: LoggedAttempts,
  options: SimulationOptions,
): Promise<SimulationReport> {
  const log = readOf(logs);
  const { records } = log;
  OPTIONS.read(options);
  const { limits, against, limiter } = options;
  const byRequest = [limits, against].every((each) => each === undefined || isByRequest(each));
  const { rows: byTime, fromUs, toUs, asked, keysChanged } = attemptsIn(log, limiter, byRequest);
  // No key's attempts change what another's come to, so the state of one key at a time is enough.
  const rows = rowsByKey(byTime, records.keys, (row) => records.keyNumber(row));
  const total = rows.length + asked.length;
  const simulation = new Simulation(log, options, fromUs, toUs);
  for (let i = 0; i < rows.length; i++) {
    if (i % ATTEMPTS_A_TURN === 0) {
      options.onProgress?.(i, total);
      await whenSettled();
    }
    const row = rows[i] as number;
    const record = records.at(row) as LogRecord;
    const key = records.keyNumber(row);
    if (i > 0 && key !== records.keyNumber(rows[i - 1] as number)) simulation.endKey();
    simulation.hear({ key, record, under: decidedBy(log, record) });
  }
  simulation.endKey();
  // Rules tie the keys of requests together: all are played in the order of time.
  for (let i = 0; i < asked.length; i++) {
    if (i % ATTEMPTS_A_TURN === 0) {
      options.onProgress?.(rows.length + i, total);
      await whenSettled();
    }
    simulation.hearRequests(log.asked.at(asked[i] as number) as LogRecord);
  }
  return simulation.report(fromUs, toUs, keysChanged);
}

/** The rows of each key side by side, in the order that they had. */
function rowsByKey(rows: Uint32Array, keys: number, keyOf: (row: number) => number): Uint32Array {
  const places = new Uint32Array(keys + 1);
  for (const row of rows) places[keyOf(row) + 1] = (places[keyOf(row) + 1] as number) + 1;
  for (let key = 1; key <= keys; key++) {
    places[key] = (places[key] as number) + (places[key - 1] as number);
  }
  const sorted = new Uint32Array(rows.length);
  for (const row of rows) {
    const key = keyOf(row);
    sorted[places[key] as number] = row;
    places[key] = (places[key] as number) + 1;
  }
  return sorted;
}

/** Rows in the order of time, and the first and last time of an attempt. */
export interface AttemptRows {
  readonly rows: Uint32Array;
  /** The rows of requests to sets of rules, if those are replayed. */
  readonly asked: Uint32Array;
  readonly fromUs: number;
  readonly toUs: number;
  /** Resets and unblocks that only rows of keys have, where requests are replayed. */
  readonly keysChanged: number;
}

/** Whether limits say which rules a request meets. */
export function isByRequest(limits: Limits): boolean {
  return replayable(limits).rulesForRequest !== undefined;
}

/** @throws LogError if there is no attempt. */
export function attemptsIn(
  log: ReadAttempts,
  limiter: string | undefined,
  byRequest: boolean,
): AttemptRows {
  const { records, sample, files, rules } = log;
  let fromUs = Number.POSITIVE_INFINITY;
  let toUs = Number.NEGATIVE_INFINITY;
  let keysChanged = 0;
  const timeOf = (record: LogRecord, of: string): number | undefined => {
    if (limiter !== undefined && of !== limiter) return undefined;
    if (isAttempt(record)) {
      fromUs = Math.min(fromUs, record.atUs);
      toUs = Math.max(toUs, record.atUs);
    }
    return record.atUs;
  };
  const { rows } = rowsByTime(records, (record) => {
    // A key that only some of the processes logged is not whole.
    if (sample < 1 && !isSampled(idOf(record.key), sample)) return undefined;
    const of = limiterOf(log, record);
    const isOfRequest = record.rule !== undefined && rules[record.rule]?.ofSet === true;
    if (!byRequest || !isOfRequest) return timeOf(record, of);
    keysChanged += Number(CHANGING.has(record.verb) && (limiter ?? of) === of);
    return undefined;
  });
  const asked = byRequest ? log.asked : new Records();
  const { rows: askedRows } = rowsByTime(asked, (record) =>
    timeOf(record, limiter === undefined ? "" : requestsOf(record).limiter),
  );
  if (fromUs <= toUs) return { rows, fromUs, toUs, asked: askedRows, keysChanged };
  const where = limiter === undefined ? "" : ` of limiter "${limiter}"`;
  throw new LogError(`${files.join(", ")}: there is no attempt${where} to replay`);
}

function limiterOf(log: ReadAttempts, record: LogRecord): string {
  const under = decidedBy(log, record);
  return under?.limiter ?? placeIn(record.key);
}

/** The limiter of a key whose rule is not known. */
function placeIn(key: string): string {
  return key.slice(0, Math.max(0, key.lastIndexOf("/")));
}

/** Whether the record is an attempt, and not another change of its key. */
export function isAttempt({ verb }: LogRecord): boolean {
  return ASKING.has(verb);
}

/** Whether an override answered it, or there was no rule: no store was asked. */
function isByRule({ source }: LogRecord): boolean {
  return source === "override" || source === "rules";
}

/** A block is no limit; what an override denies is replayed by the overrides. */
export function isBlocked(record: LogRecord): boolean {
  return record.reason === "blocked" && !isByRule(record);
}

/** Counts of one rule. */
interface RuleCounts {
  readonly votes: boolean;
  readonly counts: CountsByKey;
}

class Simulation {
  readonly #log: ReadAttempts;
  readonly #after: ReplayStore;
  readonly #before: ReplayStore | undefined;
  readonly #all: CountsByKey;
  readonly #rules = new Map<string, RuleCounts>();
  readonly #timeline: Timeline;
  readonly #top: number;
  readonly #requestKeys: RequestKeys;
  #unlimited = 0;
  #blocked = 0;
  #withoutStore = 0;
  #askedApart = 0;

  constructor(log: ReadAttempts, options: SimulationOptions, fromUs: number, toUs: number) {
    const { limits, against, top = DEFAULT_TOP } = options;
    this.#log = log;
    this.#after = new ReplayStore(replayable(limits));
    this.#before =
      against === undefined ? undefined : new ReplayStore(replayable(against, "against"));
    this.#all = new CountsByKey(log.records.keys);
    this.#requestKeys = new RequestKeys(log.records.keys);
    this.#timeline = new Timeline(fromUs, toUs);
    this.#top = top;
  }

  hear(attempt: LoggedAttempt): void {
    const { key, record } = attempt;
    if (!isAttempt(record)) {
      this.#after.change(attempt);
      this.#before?.change(attempt);
      return;
    }
    this.#withoutStore += Number(record.source !== "store" && !isByRule(record));
    if (isBlocked(record)) {
      this.#blocked += 1;
      return;
    }
    const before = this.#before?.ask(attempt);
    const after = this.#after.ask(attempt);
    const wasDenied = !(before?.allowed ?? record.allowed);
    this.#unlimited += Number(after.verdicts.length === 0);
    this.#all.add(key, wasDenied, !after.allowed);
    this.#timeline.add(record.atUs, wasDenied, !after.allowed);
    const deniedBy = before === undefined ? deniedIn(attempt) : new Set<string>();
    for (const { asked, denies } of before?.verdicts ?? []) if (denies) deniedBy.add(asked.name);
    for (const { asked, denies } of after.verdicts) {
      this.#countsOf(asked.name, asked.votes).add(key, deniedBy.has(asked.name), denies);
    }
  }

  /** What a set of rules was asked at once. */
  hearRequests(record: LogRecord): void {
    const asked = requestsOf(record);
    if (!isAttempt(record)) {
      changeByRequests(this.#after, asked, record);
      if (this.#before !== undefined) changeByRequests(this.#before, asked, record);
      return;
    }
    this.#withoutStore += Number(record.source !== "store" && !isByRule(record));
    if (isBlocked(record)) {
      this.#blocked += 1;
      return;
    }
    const before = this.#before && askRequests(this.#before, asked, record);
    const after = askRequests(this.#after, asked, record);
    const wasDenied = !(before?.allowed ?? record.allowed);
    this.#unlimited += Number(after.verdicts.length === 0);
    if (ASKED_APART.has(record.verb) && isOfSeveral(asked, after)) this.#askedApart += 1;
    const { limiter } = asked;
    const deciding = decidingOf(after, before);
    const key = this.#requestKeys.numberOf(limiter, deciding?.asked.id);
    this.#all.add(key, wasDenied, !after.allowed);
    this.#timeline.add(record.atUs, wasDenied, !after.allowed);
    const denied = before?.verdicts.filter(({ denies }) => denies).map((each) => each.asked.name);
    const deniedBy = new Set(denied ?? deniedInRequests(asked, record));
    for (const { asked: rule, denies } of after.verdicts) {
      const own = this.#requestKeys.numberOf(limiter, rule.id);
      this.#countsOf(rule.name, rule.votes).add(own, deniedBy.has(rule.name), denies);
    }
  }

  /** The next attempt is another key's. */
  endKey(): void {
    this.#after.endKey();
    this.#before?.endKey();
  }

  report(fromUs: number, toUs: number, keysChanged: number): SimulationReport {
    const { files, sample, records, failedCalls, lost, incomplete } = this.#log;
    const keys = this.#all.changed(this.#top).map(({ key, ...counts }) => {
      if (key >= records.keys) return { ...this.#requestKeys.of(key), ...counts };
      const text = records.keyOf(key);
      const limiter = text.slice(0, Math.max(0, text.lastIndexOf(" ")));
      return { limiter, key: idOf(text), ...counts };
    });
    const rules = [...this.#rules].map(([rule, { votes, counts }]) => ({
      rule,
      votes,
      ...counts.comparison,
    }));
    const all = this.#all.comparison;
    if (all.attempts === 0) {
      throw new LogError(`${files.join(", ")}: every attempt was made on a blocked key`);
    }
    return {
      files,
      sample,
      fromUs,
      toUs,
      all,
      rules,
      keys,
      stepUs: this.#timeline.stepUs,
      timeline: this.#timeline.steps,
      unlimited: this.#unlimited,
      blocked: this.#blocked,
      withoutStore: this.#withoutStore,
      askedApart: this.#askedApart,
      keysChanged,
      failedCalls,
      lost,
      incomplete,
    };
  }

  #countsOf(rule: string, votes: boolean): CountsByKey {
    let known = this.#rules.get(rule);
    if (known === undefined) {
      known = { votes, counts: new CountsByKey(this.#log.records.keys) };
      this.#rules.set(rule, known);
    }
    return known.counts;
  }
}

/** The policy that denied an attempt, by name, as far as the log says it. */
function deniedIn({ record, under }: LoggedAttempt): Set<string> {
  if (record.allowed || under === undefined) return new Set();
  const { policies } = under;
  const policy = policies.length === 1 ? policies[0] : policies[record.decider ?? policies.length];
  return new Set(policy === undefined ? [] : [policy.name]);
}
