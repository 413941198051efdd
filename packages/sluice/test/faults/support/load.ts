/**
 * A load that runs through a fault: many callers on a few keys, each answer kept with when, how long and
 * by whom. One more key, the ledger, never runs out: what the server counted on it shows what was
 * counted twice or not at all.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { headerLine, keyId, recordLine } from "../../../src/audit/record.js";
import {
  type Decision,
  type DecisionSource,
  type ErrorEvent,
  fixedWindow,
  type Hooks,
  type Policy,
  RateLimiter,
  type RateLimiterOptions,
  type RecoveryEvent,
  type Store,
  tokenBucket,
} from "../../../src/index.js";
import { eventually } from "../../support/eventually.js";
import { type LagProbe, startLagProbe } from "./lag.js";

export interface LoadAnswer {
  readonly key: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly decision: Decision;
}

export interface LoadOptions {
  readonly store: Store;
  readonly policies?: readonly Policy[];
  readonly keys?: readonly string[];
  readonly callers?: number;
  readonly timeoutMs?: number;
  /** Default: of its own. */
  readonly namespace?: string;
  readonly breaker?: RateLimiterOptions["breaker"];
}

/** What the hooks were told of outages, each in the order in which it came. */
export interface Notices {
  readonly errors: readonly ErrorEvent[];
  readonly recoveries: readonly RecoveryEvent[];
}

/** Counts of answers by who made them. */
export type Sources = Partial<Record<DecisionSource, number>>;

export interface Load {
  readonly limiter: RateLimiter;
  readonly policies: readonly Policy[];
  readonly keys: readonly string[];
  readonly timeoutMs: number;
  readonly answers: readonly LoadAnswer[];
  /** What callers were thrown. */
  readonly errors: readonly unknown[];
  readonly notices: Notices;
  readonly lag: LagProbe;
  /** Calls begun. */
  readonly begun: number;
  /** Resolves when `count` more calls, begun from now on, were answered by `source`. */
  answered(source: DecisionSource, count: number): Promise<void>;
  /** Resolves when a call begun from now on was answered by the store for every key: after how many ms. */
  recovered(): Promise<number>;
  /** Resolves when no outage is under way. */
  settled(): Promise<void>;
  /** Ends the load when every call is answered. */
  stop(): Promise<void>;
}

/** Runs out and comes back many times in a second. */
const BRISK = tokenBucket({ name: "brisk", limit: 50, period: "1s", burst: 25 });
const LEDGER_UNITS = 1_000_000;
/** Of an algorithm that gives nothing back while the load runs: the window opens with the first call. */
const LEDGER = fixedWindow({ name: "ledger", limit: LEDGER_UNITS, window: "365d", align: "first" });
const LEDGER_KEY = "ledger";

const KEYS = ["key:0", "key:1", "key:2", "key:3", "key:4"];
const CALLERS = 16;
/** Longer than a busy machine stalls: loads are to see no failure but the fault's. */
const TIMEOUT_MS = 1000;
/** Where failures come with an answer, and hardly by the deadline. */
export const PATIENT_MS = 3000;
const PAUSE_MS = 5;

let loads = 0;

/** The options of every limiter under a fault. */
function optionsOf(
  { store, policies = [BRISK], namespace, breaker }: LoadOptions,
  timeoutMs: number,
  hooks: Hooks,
): RateLimiterOptions & { readonly store: Store } {
  loads += 1;
  return {
    store,
    policy: (key) => (key === LEDGER_KEY ? LEDGER : policies),
    namespace: namespace ?? `load.${process.pid}.${loads}`,
    identity: "plain",
    timeout: timeoutMs,
    onStoreFailure: "closed",
    // A refusal remembered says nothing of the store.
    denyCache: false,
    hooks,
    ...(breaker === undefined ? {} : { breaker }),
  };
}

export function startLoad(options: LoadOptions): Load {
  const { policies = [BRISK], callers = CALLERS, timeoutMs = TIMEOUT_MS } = options;
  const keys = [...(options.keys ?? KEYS), LEDGER_KEY];
  const told: { errors: ErrorEvent[]; recoveries: RecoveryEvent[] } = {
    errors: [],
    recoveries: [],
  };
  const hooks: Hooks = {
    onError: (event) => told.errors.push(event),
    onRecovery: (event) => told.recoveries.push(event),
  };
  const limiter = new RateLimiter(optionsOf(options, timeoutMs, hooks));
  const lag = startLagProbe();
  const answers: LoadAnswer[] = [];
  const errors: unknown[] = [];
  let begun = 0;
  const over = new AbortController();

  const call = async (first: number): Promise<void> => {
    for (let i = first; !over.signal.aborted; i++) {
      const key = keys[i % keys.length] as string;
      const startMs = performance.now();
      begun += 1;
      try {
        const decision = await limiter.consume(key);
        answers.push({ key, startMs, endMs: performance.now(), decision });
      } catch (error) {
        errors.push(error);
      }
      await sleep(PAUSE_MS);
    }
  };
  const all = Promise.all(Array.from({ length: callers }, (_, i) => call(i)));

  /** Looks at the answers of calls begun from now on, each once, until `isEnough` says so. */
  const until = async (isEnough: (answer: LoadAnswer) => boolean): Promise<void> => {
    const fromMs = performance.now();
    let next = answers.length;
    let found = false;
    await eventually(() => {
      for (; next < answers.length && !found; next++) {
        const answer = answers[next] as LoadAnswer;
        found = answer.startMs >= fromMs && isEnough(answer);
      }
      if (!found) throw new Error(`still waiting; since then ${format(countBySource(answers))}`);
    }, 5);
  };

  return {
    limiter,
    policies,
    keys,
    timeoutMs,
    answers,
    errors,
    notices: told,
    lag,
    get begun() {
      return begun;
    },
    answered: async (source, count) => {
      let seen = 0;
      await until(({ decision }) => decision.source === source && ++seen >= count);
    },
    recovered: async () => {
      const fromMs = performance.now();
      const missing = new Set(keys);
      let atMs = fromMs;
      await until(({ key, endMs, decision }) => {
        if (decision.source === "store") missing.delete(key);
        atMs = endMs;
        return missing.size === 0;
      });
      return atMs - fromMs;
    },
    settled: async () => {
      await eventually(() => {
        expect(told.recoveries.length).toBe(told.errors.length);
      }, 5);
    },
    stop: async () => {
      over.abort();
      await all;
      await lag.stop();
    },
  };
}

export function countBySource(answers: readonly LoadAnswer[]): Sources {
  const counts: Sources = {};
  for (const { decision } of answers) {
    counts[decision.source] = (counts[decision.source] ?? 0) + 1;
  }
  return counts;
}

export function format(counts: Sources): string {
  return Object.entries(counts)
    .map(([source, count]) => `${count} ${source}`)
    .join(", ");
}

/** The answers that came later than the deadline allows, in line and sent, and the event loop. */
export function lateAnswers({ answers, timeoutMs, lag }: Load): readonly string[] {
  return answers
    .filter(({ startMs, endMs }) => endMs - startMs > 2 * timeoutMs + lag.lateMs(startMs, endMs))
    .map(({ key, startMs, endMs, decision }) => {
      const allowedMs = 2 * timeoutMs + lag.lateMs(startMs, endMs);
      return `${key} by ${decision.source}: ${endMs - startMs} ms, allowed ${allowedMs} ms`;
    });
}

/** Units of the ledger: what callers were told they got, what may have been taken for no answer, what the server says. */
export interface Ledger {
  readonly granted: number;
  readonly unanswered: number;
  readonly counted: number;
}

/** The server is asked for so long as it needs. */
export async function readLedger({ limiter, answers }: Load): Promise<Ledger> {
  const mine = answers.filter(({ key }) => key === LEDGER_KEY);
  const granted = mine.filter(({ decision }) => decision.source === "store").length;
  const { remaining } = await eventually(async () => {
    const decision = await limiter.peek(LEDGER_KEY);
    expect(decision.source).toBe("store");
    return decision;
  });
  return { granted, unanswered: mine.length - granted, counted: LEDGER_UNITS - remaining };
}

/** The log of a load, as `sluice exercise` writes it, without the ledger. */
export function logOf(policies: readonly Policy[], answers: readonly LoadAnswer[]): string {
  const lines = answers
    .filter(({ key }) => key !== LEDGER_KEY)
    .map(({ key, decision }) => recordLine({ key: keyId(key), cost: 1 }, decision));
  return headerLine(policies) + lines.join("");
}

/** Runs `work` on files with these contents. */
export async function withFiles<T>(
  contents: readonly string[],
  work: (files: readonly string[]) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-faults-"));
  try {
    const files = contents.map((content, i) => {
      const file = join(directory, `log-${i}.jsonl`);
      writeFileSync(file, content);
      return file;
    });
    return await work(files);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
