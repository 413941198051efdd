/** Replays logged attempts under other limits, and compares the answers. */
import type { VerbName } from "../algorithms/decide.js";
import { rowsByTime } from "../audit/columns.js";
import { LogError } from "../audit/log.js";
import { type LogRecord, TAKING_VERBS } from "../audit/record.js";
import { isSampled } from "../audit/sample.js";
import { whenSettled } from "../core/clock.js";
import { type Comparison, CountsByKey, type KeyCounts } from "./counts.js";
import { type Limits, type LoggedAttempt, replayable } from "./limits.js";
import {
  decidedBy,
  idOf,
  type LoggedAttempts,
  type ReadAttempts,
  readOf,
} from "./logged-attempts.js";
import { ReplayStore } from "./replay-store.js";
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
  /** What the logs say is missing. */
  readonly failedCalls: number;
  /** Lines that the writers could not keep. */
  readonly lost: number;
  /** Logs that end without a last line. */
  readonly incomplete: number;
}

const ASKING: ReadonlySet<VerbName> = new Set(TAKING_VERBS);
/** Others in the process get their turn after so many. */
const ATTEMPTS_A_TURN = 2000;
const DEFAULT_TOP = 10;

/**
 * Replays the attempts of each key in the order of the store's time. Callers who were denied made the same attempts: whether they would
 * have come back later or sooner, no log can tell.
 *
 * @throws LogError where there is no attempt.
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
  const { rows: byTime, fromUs, toUs } = attemptsIn(log, options.limiter);
  // No key's attempts change what another's come to, so the state of one key at a time is enough.
  const rows = rowsByKey(byTime, records.keys, (row) => records.keyNumber(row));
  const simulation = new Simulation(log, options, fromUs, toUs);
  for (let i = 0; i < rows.length; i++) {
    if (i % ATTEMPTS_A_TURN === 0) {
      options.onProgress?.(i, rows.length);
      await whenSettled();
    }
    const row = rows[i] as number;
    const record = records.at(row) as LogRecord;
    const key = records.keyNumber(row);
    if (i > 0 && key !== records.keyNumber(rows[i - 1] as number)) simulation.endKey();
    simulation.hear({ key, record, under: decidedBy(log, record) });
  }
  return simulation.report(fromUs, toUs);
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
  readonly fromUs: number;
  readonly toUs: number;
}

/** @throws LogError where there is no attempt. */
export function attemptsIn(log: ReadAttempts, limiter: string | undefined): AttemptRows {
  const { records, sample, files } = log;
  let fromUs = Number.POSITIVE_INFINITY;
  let toUs = Number.NEGATIVE_INFINITY;
  const { rows } = rowsByTime(records, (record) => {
    // A key that only some of the processes logged is not whole.
    if (sample < 1 && !isSampled(idOf(record.key), sample)) return undefined;
    if (limiter !== undefined && limiterOf(log, record) !== limiter) return undefined;
    if (ASKING.has(record.verb)) {
      fromUs = Math.min(fromUs, record.atUs);
      toUs = Math.max(toUs, record.atUs);
    }
    return record.atUs;
  });
  if (fromUs <= toUs) return { rows, fromUs, toUs };
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
  #unlimited = 0;
  #blocked = 0;
  #withoutStore = 0;

  constructor(log: ReadAttempts, options: SimulationOptions, fromUs: number, toUs: number) {
    const { limits, against, top = DEFAULT_TOP } = options;
    this.#log = log;
    this.#after = new ReplayStore(replayable(limits));
    this.#before =
      against === undefined ? undefined : new ReplayStore(replayable(against, "against"));
    this.#all = new CountsByKey(log.records.keys);
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
    this.#withoutStore += Number(record.source !== "store");
    if (record.reason === "blocked") {
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

  /** The next attempt is another key's. */
  endKey(): void {
    this.#after.endKey();
    this.#before?.endKey();
  }

  report(fromUs: number, toUs: number): SimulationReport {
    const { files, sample, records, failedCalls, lost, incomplete } = this.#log;
    const keys = this.#all.changed(this.#top).map(({ key, ...counts }) => {
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
