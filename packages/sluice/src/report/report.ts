/** Reports what the limiters and semaphores of this process count, so that any process can read what all of them did. */
import { startTimer, type Timer } from "../core/clock.js";
import type { Duration } from "../core/duration.js";
import { ClosedError, InvalidOptionError } from "../core/errors.js";
import { hiding } from "../core/identity.js";
import { checkName } from "../core/key.js";
import {
  byDefault,
  checkFunction,
  checkList,
  aCount,
  milliseconds,
  optional,
  optionReader,
} from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { attempt } from "../events/events.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import type { Pipeline } from "../limiter/pipeline.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { meetOf } from "../policies/met-rules.js";
import type { PolicySet } from "../policies/policy-set.js";
import { quotaOfSemaphore } from "../semaphore/semaphore-class.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import { checkStore, type Store } from "../stores/store.js";
import { DeniedIds, type DenyingSource } from "./denied-ids.js";
import { reportsOf } from "./minutes-in-memory.js";
import { PolicyNames } from "./policy-names.js";
import { ReportWriter } from "./report-writer.js";
import { tallyOf } from "./tally.js";

/** Options of `report`. */
export interface ReportOptions {
  /** What keeps the report: a RedisStore shares it among processes, any other store keeps it in this one. */
  readonly store: Store;
  /**
   * Whose decisions are counted, from this call on: those of one namespace as one. Of a set the policies are its rules, and
   * the limiters behind it are not listed separately.
   */
  readonly limiters: readonly (RateLimiter | PolicySet)[];
  /** Whose permits are counted, from this call on; default none. */
  readonly semaphores?: readonly Semaphore[] | undefined;
  /** How often it is written: 100 ms to a minute; default "1s". */
  readonly every?: Duration | undefined;
  /** Ids that are counted by their denials, a policy: 1 to 1,000; default 100. A process writes ten times as many at most. */
  readonly top?: number | undefined;
  /** Whose reports belong together, and the first part of their keys: as a namespace; default "sluice". */
  readonly name?: string | undefined;
  /** Called if the store does not take the report. */
  readonly hooks?: ReportHooks | undefined;
}

/** Hooks of `report`. */
export interface ReportHooks {
  /** The store did not take the report: called once until it takes one again. */
  readonly onError?: ((event: { readonly error: unknown }) => unknown) | undefined;
}

/** A report that is under way. */
export interface Reporter extends AsyncDisposable {
  /** Writes now what was counted since the last time; resolves when the store has it, or did not take it. Never rejects. */
  flush(): Promise<void>;
  /** Writes for the last time, and ends. Call it before the store is closed. Never rejects. */
  end(): Promise<void>;
}

const LEAST_EVERY_US = 100e3;
const MOST_EVERY_US = 60e6;
const MOST_TOP = 1000;

const HOOKS = optionReader<ReportHooks>()({ onError: optional(checkFunction) });
const OPTIONS = optionReader<ReportOptions>()({
  store: checkStore,
  limiters: checkList,
  semaphores: byDefault([], checkList),
  every: byDefault("1s", milliseconds(LEAST_EVERY_US, MOST_EVERY_US)),
  top: byDefault(100, aCount(1, MOST_TOP)),
  name: byDefault("sluice", checkName),
  hooks: byDefault({}, (option, hooks) => HOOKS.read(hooks, option)),
});

/**
 * Adds what the limiters and semaphores of this process count from now on to one table a minute in the store, with the ids
 * that each policy denied most. `readReports` and `sluice top` read what all processes added. Minutes are kept for an hour.
 *
 * Each count is added once. While the store is away counts are kept, and added when it is back. A limiter belongs into one
 * report of a name; limiters of one namespace count as one. Its timer does not keep the process alive.
 *
 * @throws InvalidOptionError
 * @example
 * import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
 * import { readReports, report } from "sluice/report";
 * const store = new MemoryStore();
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }), store });
 * const reporter = report({ store, limiters: [limiter], every: "1s" });
 * for (let i = 0; i < 3; i++) await limiter.consume("user:42");
 * await reporter.end();
 * const { limiters } = await readReports({ store });
 * console.log(limiters[0]?.asked, limiters[0]?.denied); // 3 2
 */
export function report(options: ReportOptions): Reporter {
  const { store, limiters, semaphores, every: everyMs, top, name, hooks } = OPTIONS.read(options);
  const counted = [...new Set(limiters)];
  const sources = counted.map((limiter, i) => denyingSource(limiter, `limiters[${i}]`));
  for (const [i, semaphore] of semaphores.entries()) checkSemaphore(`semaphores[${i}]`, semaphore);
  const { onError } = hooks;
  const held = [...new Set(semaphores)];
  const policies = new PolicyNames();
  const denied = new DeniedIds(sources, top, policies);
  const writer = new ReportWriter({
    store: reportsOf(store),
    clock: store.clock,
    name,
    everyMs,
    source: {
      tally: () =>
        tallyOf(
          counted.map((limiter) => limiter.stats()),
          held.map((semaphore) => semaphore.stats()),
          policies,
        ),
      listIds: () => denied.list(),
      beginMinute: () => {
        denied.beginMinute();
      },
    },
  });
  return new Reporting({ writer, denied, everyMs, onError });
}

/** @throws InvalidOptionError */
function denyingSource(limiter: unknown, option: string): DenyingSource {
  const isSet = meetOf(limiter) !== undefined;
  const behind = (): readonly unknown[] => (isSet ? (limiter as PolicySet).limiters : [limiter]);
  const pipelines = (): readonly Pipeline[] => behind().flatMap((each) => pipelineOf(each) ?? []);
  const [pipeline] = pipelines();
  if (pipeline === undefined) {
    throw new InvalidOptionError(option, withoutText(limiter), "a RateLimiter or a PolicySet");
  }
  return {
    name: pipeline.name,
    events: isSet ? (limiter as PolicySet).events : pipeline.events,
    isKnown: (policy) => pipelines().some(({ counts }) => counts.policies().has(policy)),
    idOf: hiding(pipeline.identify),
  };
}

function checkSemaphore(option: string, semaphore: unknown): void {
  const isOne =
    typeof semaphore === "object" &&
    semaphore !== null &&
    quotaOfSemaphore(semaphore) !== undefined;
  if (!isOne) throw new InvalidOptionError(option, withoutText(semaphore), "a Semaphore");
}

interface ReportingParts {
  readonly writer: ReportWriter;
  readonly denied: DeniedIds;
  readonly everyMs: number;
  readonly onError: ReportHooks["onError"];
}

/** Writes at times, never two at a time. */
class Reporting implements Reporter {
  readonly #parts: ReportingParts;
  #timer: Timer | undefined;
  /** Settles when what is being written, and what waits for it, is done. */
  #written: Promise<void> = Promise.resolve();
  #isWriting = false;
  #isFailing = false;
  #ended: Promise<void> | undefined;

  constructor(parts: ReportingParts) {
    this.#parts = parts;
    this.#arm();
  }

  flush(): Promise<void> {
    return this.#ended ?? this.#write(false);
  }

  end(): Promise<void> {
    this.#ended ??= this.#write(true).then(() => {
      this.#stop();
    });
    this.#timer?.cancel();
    return this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  #arm(): void {
    this.#timer = startTimer(this.#parts.everyMs, () => {
      this.#arm();
      if (!this.#isWriting) void this.#write(false);
    });
    this.#timer.unref();
  }

  #stop(): void {
    this.#timer?.cancel();
    this.#parts.denied.end();
  }

  #write(isLast: boolean): Promise<void> {
    this.#written = this.#written.then(() => this.#writeNow(isLast));
    return this.#written;
  }

  async #writeNow(isLast: boolean): Promise<void> {
    this.#isWriting = true;
    try {
      await this.#parts.writer.write(isLast);
      this.#isFailing = false;
    } catch (error) {
      const { onError } = this.#parts;
      if (!this.#isFailing && onError !== undefined) attempt(onError, { error }, () => {});
      this.#isFailing = true;
      // A store that was closed takes nothing any more.
      if (error instanceof ClosedError) this.#stop();
    } finally {
      this.#isWriting = false;
    }
  }
}
