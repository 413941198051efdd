/** A log of what callers attempted, written by the process that decided it, in the form that `sluice audit` reads. */
import { InvalidOptionError } from "../core/errors.js";
import { hiding } from "../core/identity.js";
import { checkName } from "../core/key.js";
import {
  byDefault,
  checkFunction,
  checkNumber,
  aCount,
  filled,
  optional,
  optionReader,
} from "../core/options.js";
import { InWords, withoutText } from "../core/shown.js";
import type { Pipeline } from "../limiter/pipeline.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { hearRequests, meetOf } from "../policies/met-rules.js";
import type { PolicySet } from "../policies/policy-set.js";
import type { Store } from "../stores/store.js";
import { AttemptLines, nameOfStore } from "./attempt-lines.js";
import { checkClear, type ClearEntries } from "./clear-entries.js";
import { LogFile } from "./log-file.js";
import type { QueuedLine } from "./line-queue.js";
import { lineOfRequests } from "./request-lines.js";

/** Options of `AttemptLog`. */
export interface AttemptLogOptions {
  /** The path to write to; one process writes to a file. Lines are appended to it. */
  readonly file: string;
  /** The share of keys that are logged: 0 to 1, default 1. A key is in or out as a whole, in all processes alike. */
  readonly sample?: number | undefined;
  /** A file of about this many bytes is put aside: 1,000 to 1e12, default 64,000,000. */
  readonly maxFileBytes?: number | undefined;
  /** How many files are kept, with the one that is written: 1 to 1,000, default 5. */
  readonly files?: number | undefined;
  /** The most memory of lines that wait to be written, in bytes: 1,000 to 1e9, default 4,000,000. */
  readonly maxQueueBytes?: number | undefined;
  /**
   * Entries of requests to a PolicySet whose values may be read in the log, by name; true: all. The others are hashed as
   * keys are. For `sluice simulate`: patterns with `*`, costs out of entries, overrides with `*` and rollouts need their
   * entries here. Default none.
   */
  readonly clear?: readonly string[] | true | undefined;
  /** Called once when the file cannot be written, until it can again; default: a process warning. */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** How a limiter is logged. */
export interface LoggedLimiterOptions {
  /**
   * What the log calls the limiter: 1 to 64 characters of A-Z a-z 0-9 . _ -; default its namespace. Limiters of one name
   * are audited as one, so those on different stores need different names.
   */
  readonly name?: string | undefined;
}

export const LOGGED_OPTIONS = optionReader<LoggedLimiterOptions>()({ name: optional(checkName) });

const OPTIONS = optionReader<AttemptLogOptions>()({
  file: filled("a path"),
  sample: byDefault(1, checkShare),
  maxFileBytes: byDefault(64e6, aCount(1000, 1e12)),
  files: byDefault(5, aCount(1, 1000)),
  maxQueueBytes: byDefault(4e6, aCount(1000, 1e9)),
  clear: checkClear,
  onError: byDefault(warn, checkFunction),
});

function checkShare(option: string, value: unknown): number {
  const share = checkNumber(option, value);
  if (share >= 0 && share <= 1) return share;
  throw new InvalidOptionError(option, share, "a share from 0 to 1");
}

/**
 * Logs every attempt of limiters as a line of JSON: what was asked of which key, by its hash and never as it is, and what
 * was decided by which policies. `sluice audit` reads the files of all processes together and proves that the limits
 * held. Writing never delays or breaks a call: lines wait in bounded memory, and what had to be dropped is counted and
 * said in the log.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { auditLogs } from "sluice/audit";
 * import { AttemptLog } from "sluice/log";
 * import { createReadStream, mkdtempSync } from "node:fs";
 * const file = `${mkdtempSync("/tmp/attempts-")}/limits.jsonl`;
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 2, period: "1h" }) });
 * const log = new AttemptLog({ file });
 * log.add(limiter);
 * for (let call = 0; call < 3; call++) await limiter.consume("user:42");
 * await log.close();
 * const { report } = await auditLogs([{ name: file, open: () => createReadStream(file) }]);
 * console.log(report.passed); // true
 */
export class AttemptLog implements AsyncDisposable {
  readonly #file: LogFile;
  readonly #lines: AttemptLines;
  readonly #clear: ClearEntries;
  /** Whether all keys are logged: of a request, one key would be in and another out. */
  readonly #isWhole: boolean;
  readonly #ends = new Set<() => void>();
  /** The store of each name. */
  readonly #stores = new Map<string, Store>();
  /** The names under which each limiter is logged now. */
  readonly #logged = new WeakMap<object, Set<string>>();
  #closed: Promise<void> | undefined;

  constructor(options: AttemptLogOptions) {
    const { file: path, sample, clear, onError, ...sizes } = OPTIONS.read(options);
    this.#clear = clear;
    this.#isWhole = sample === 1;
    this.#lines = new AttemptLines(sample);
    this.#file = new LogFile({
      ...sizes,
      path,
      sample,
      onTrouble: (error) => {
        try {
          onError(error);
        } catch {
          // A hook that throws must not break what it is called about.
        }
      },
    });
  }

  /** Lines that were dropped since the beginning: the queue was full, or the file could not be written. */
  get dropped(): number {
    return this.#file.queue.dropped;
  }

  /** Bytes of lines that are not written yet. */
  get queuedBytes(): number {
    return this.#file.queue.bytes;
  }

  /**
   * Logs a limiter, or the rules of a set, until the function that it returns is called, or the log is closed. Of a set
   * the requests are logged too, unless `sample` leaves keys out: by them `sluice simulate` tells which other rules a
   * request would meet.
   *
   * @throws InvalidOptionError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { AttemptLog } from "sluice/log";
   * import { mkdtempSync, readFileSync } from "node:fs";
   * const file = `${mkdtempSync("/tmp/attempts-")}/limits.jsonl`;
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 2, period: "1h" }) });
   * const log = new AttemptLog({ file });
   * const end = log.add(limiter);
   * await limiter.consume("user:42");
   * end();
   * await log.close();
   * console.log(readFileSync(file, "utf8").includes('"allowed":true')); // true
   */
  add(limiter: RateLimiter | PolicySet, options: LoggedLimiterOptions = {}): () => void {
    LOGGED_OPTIONS.known(options);
    const pipeline = loggedPipeline(limiter);
    const { name: given = pipeline.name } = options;
    const name = checkName("name", given);
    const { store } = pipeline;
    if ((this.#stores.get(name) ?? store) !== store) {
      const allowed = "another name: a limiter on another store is logged under this one";
      throw new InvalidOptionError("name", name, allowed);
    }
    if (this.#closed !== undefined) throw new InvalidOptionError("log", undefined, "an open log");
    const logged = this.#logged.get(limiter) ?? new Set();
    if (logged.has(name)) {
      const allowed =
        "another limiter: the log already has this one under this name, and logs each call once";
      throw new InvalidOptionError("limiter", new InWords(`"${name}", again`), allowed);
    }
    this.#stores.set(name, store);
    this.#logged.set(limiter, logged.add(name));
    const ends = this.#listen(limiter, pipeline, name);
    const end = (): void => {
      if (!this.#ends.delete(end)) return;
      for (const each of ends) each();
      logged.delete(name);
    };
    this.#ends.add(end);
    return end;
  }

  /**
   * Writes what is left. Never rejects: what cannot be written is reported as trouble is.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { AttemptLog } from "sluice/log";
   * import { mkdtempSync, readFileSync } from "node:fs";
   * const file = `${mkdtempSync("/tmp/attempts-")}/limits.jsonl`;
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 2, period: "1h" }) });
   * const log = new AttemptLog({ file });
   * log.add(limiter);
   * await limiter.consume("user:42");
   * await log.close();
   * console.log(readFileSync(file, "utf8").length > 0); // true
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    for (const end of this.#ends) end();
    await this.#file.close();
  }

  #listen(
    limiter: RateLimiter | PolicySet,
    { store, identify }: Pipeline,
    name: string,
  ): readonly (() => void)[] {
    const { events } = limiter;
    const { external, events: storeEvents } = store;
    const storeName = external ? undefined : nameOfStore(store);
    const ids = hiding(identify);
    const ofSet = this.#isWhole && meetOf(limiter) !== undefined;
    const whose = { ids, limiter: name, store: storeName, ofSet, clear: this.#clear };
    const ends = [
      events.on("decision", (event) => {
        this.#add(this.#lines.decided(event, whose));
      }),
      events.on("adjusted", (event) => {
        this.#add(this.#lines.adjusted(event, whose));
      }),
    ];
    if (ofSet) {
      ends.push(hearRequests(limiter, (heard) => this.#add(lineOfRequests(heard, whose))));
    }
    if (storeName !== undefined && storeEvents !== undefined) {
      const evicted = storeEvents.on("eviction", () => {
        this.#file.queue.addEvictions(storeName, 1);
        this.#file.schedule();
      });
      ends.push(evicted);
    }
    return ends;
  }

  #add(line: QueuedLine | undefined): void {
    if (line === undefined) return;
    this.#file.queue.add(line);
    this.#file.schedule();
  }
}

/** What the limiter behind it is. @throws InvalidOptionError */
export function loggedPipeline(limiter: RateLimiter | PolicySet): Pipeline {
  const isSet = meetOf(limiter) !== undefined;
  const pipeline = pipelineOf(isSet ? (limiter as PolicySet).limiters[0] : limiter);
  if (pipeline !== undefined) return pipeline;
  throw new InvalidOptionError("limiter", withoutText(limiter), "a RateLimiter or a PolicySet");
}

function warn({ message }: Error): void {
  process.emitWarning(
    `the attempt log cannot be written: ${message}. Until then, dropped lines are counted. ` +
      "To handle this yourself, pass { onError }.",
    { type: "SluiceWarning", code: "SLUICE_LOG" },
  );
}
