/** The calls to a store and their outcomes, in numbers. They belong to the store: all of its users add to them. */
import { ClosedError, SluiceError, StoreTimeoutError } from "../core/errors.js";
import {
  BATCH_BOUNDS,
  DURATION_BOUNDS_MS,
  Histogram,
  type HistogramStats,
} from "../core/histogram.js";

/** Failures of one kind. */
export interface StoreErrorCount {
  /** The error's code, such as "STORE_TIMEOUT"; "OTHER" beyond 32 kinds. */
  readonly code: string;
  /** How the server began its own error, such as "NOPERM"; "" if its error has no such beginning. */
  readonly server: string;
  /** How often it came. */
  readonly count: number;
}

/** What was asked of a store since it was made, by this process. A store inside the process is not asked by calls. */
export interface StoreStats {
  /** Calls of limiters and semaphores that were asked. */
  readonly calls: {
    /** Answered in time. */
    readonly answered: number;
    /** Answered with an error, or not in time; what an open breaker refused is among them. */
    readonly failed: number;
    /** Given up by their callers, who aborted them. */
    readonly aborted: number;
    /** Under way now. */
    readonly pending: number;
  };
  /** The calls that failed, by what was said. */
  readonly errors: readonly StoreErrorCount[];
  /** Milliseconds of each round trip of a script: answered, or failed. Calls that go together share one. */
  readonly tripMs: { readonly ok: HistogramStats; readonly error: HistogramStats };
  /** Calls of limiters per script. */
  readonly batchCalls: HistogramStats;
  /** Parts of the store, such as a Cluster node's "host:port", that some breaker does not ask now; "" = all of it. */
  readonly openParts: readonly string[];
  /** Those of `openParts` whose breaker is half-open: a call finds out at this moment whether the part works again. */
  readonly probedParts: readonly string[];
}

/** More kinds of errors than this are one: servers may put anything into their first word. */
const MOST_KINDS = 32;
const OTHERS = "OTHER";

/** What a store counts since it was made. */
export class StoreCounts {
  /** Calls that were asked, those included that an open breaker held back. */
  asked = 0;
  /** Calls that were answered. */
  answered = 0;
  /** Calls that were given up. */
  aborted = 0;
  #failed = 0;
  readonly #errors = new Map<string, { code: string; server: string; count: number }>();
  /** Lengths of round trips in milliseconds: of those that were answered, and of those that failed. */
  readonly tripMs = {
    ok: new Histogram(DURATION_BOUNDS_MS),
    error: new Histogram(DURATION_BOUNDS_MS),
  };
  /** Calls per batch. */
  readonly batchCalls = new Histogram(BATCH_BOUNDS);
  /** Returns the parts whose breaker is open; set by the limiters and semaphores that watch the store. */
  openParts: () => readonly string[] = () => [];
  /** Returns those of them whose breaker is half-open; set together with `openParts`. */
  probedParts: () => readonly string[] = () => [];

  /** A call that an open breaker did not let through. */
  refused(error: Error): void {
    this.asked += 1;
    this.failed(error);
  }

  /** A call that failed. */
  failed(error: Error): void {
    this.#failed += 1;
    const code = error instanceof SluiceError ? error.code : OTHERS;
    const server = serverWord(error);
    const kind = `${code} ${server}`;
    const known = this.#errors.get(kind);
    if (known !== undefined) known.count += 1;
    else if (this.#errors.size < MOST_KINDS) this.#errors.set(kind, { code, server, count: 1 });
    else this.#other();
  }

  #other(): void {
    const others = this.#errors.get(OTHERS) ?? { code: OTHERS, server: "", count: 0 };
    others.count += 1;
    this.#errors.set(OTHERS, others);
  }

  /** The numbers by now. */
  stats(): StoreStats {
    const { asked, answered, aborted } = this;
    const failed = this.#failed;
    const pending = asked - answered - failed - aborted;
    return {
      calls: { answered, failed, aborted, pending },
      errors: [...this.#errors.values()].map((each) => ({ ...each })),
      tripMs: { ok: this.tripMs.ok.stats(), error: this.tripMs.error.stats() },
      batchCalls: this.batchCalls.stats(),
      openParts: this.openParts(),
      probedParts: this.probedParts(),
    };
  }
}

/** Redis begins its errors with a word in capitals; what follows may hold keys, and is never shown. */
function serverWord(error: Error): string {
  if (error instanceof StoreTimeoutError || error instanceof ClosedError) return "";
  const { cause } = error;
  const said = cause instanceof Error ? cause.message : "";
  return /^[A-Z]{2,20}(?= )/.exec(said)?.[0] ?? "";
}
