/**
 * When to stop asking a store that fails. A state machine without timers: its caller says what happened
 * and what time it is.
 *
 * closed --(`failures` in a row)--> open --(a probe succeeds)--> closed
 */
import { type Duration, MIN_PERIOD_US, toMicroseconds } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkCount, checkOptions } from "../core/options.js";
import { withoutText } from "../core/shown.js";

export interface BreakerOptions {
  /** Failures in a row after which the store is no longer asked, 1 to 1,000,000; default 5. */
  readonly failures?: number;
  /** From the start of one probe to the next, 1 ms to 1 h; default 1 s. */
  readonly probeEvery?: Duration;
}

/** The option with its defaults, checked. */
export interface BreakerSettings {
  readonly failures: number;
  readonly probeEveryMs: number;
}

const DEFAULT_FAILURES = 5;
const MAX_FAILURES = 1e6;
export const DEFAULT_PROBE_EVERY_MS = 1e3;
const MAX_PROBE_EVERY_US = 3600e6;

/** Undefined for no breaker. */
export function checkBreaker(option: unknown = {}): BreakerSettings | undefined {
  if (option === false) return undefined;
  if (typeof option !== "object" || option === null) {
    throw new InvalidOptionError(
      "breaker",
      withoutText(option),
      "false or { failures, probeEvery }",
    );
  }
  const settings = checkOptions("breaker", option, ["failures", "probeEvery"]);
  const { failures = DEFAULT_FAILURES, probeEvery = DEFAULT_PROBE_EVERY_MS } = settings;
  return {
    failures: checkCount("breaker.failures", failures, 1, MAX_FAILURES),
    probeEveryMs:
      toMicroseconds("breaker.probeEvery", probeEvery, MIN_PERIOD_US, MAX_PROBE_EVERY_US) / 1e3,
  };
}

/** What a call may do: go to the store, go there as the probe, or not go. */
export type Admission = "pass" | "probe" | "refuse";

export class Breaker {
  readonly settings: BreakerSettings;
  #failuresInARow = 0;
  #isOpen = false;
  #isProbing = false;
  /** When the next probe may start, if open. */
  #probeAtMs = 0;

  constructor(settings: BreakerSettings) {
    this.settings = settings;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Asked once for every call. Who gets "probe" must tell how the probe ended. */
  admit(nowMs: number): Admission {
    if (!this.#isOpen) return "pass";
    if (this.#isProbing || nowMs < this.#probeAtMs) return "refuse";
    this.#isProbing = true;
    this.#probeAtMs = nowMs + this.settings.probeEveryMs;
    return "probe";
  }

  /** While open only the probe counts: what was under way before says nothing of the store as it is now. */
  succeeded(isProbe: boolean): void {
    if (this.#isOpen && !isProbe) return;
    this.#isOpen = false;
    this.#isProbing = false;
    this.#failuresInARow = 0;
  }

  failed(isProbe: boolean, nowMs: number): void {
    if (this.#isOpen) {
      if (isProbe) this.#isProbing = false;
      return;
    }
    this.#failuresInARow += 1;
    if (this.#failuresInARow < this.settings.failures) return;
    this.#isOpen = true;
    this.#probeAtMs = nowMs + this.settings.probeEveryMs;
  }

  /** A call that ended without telling anything of the store, as when its caller gave it up. */
  dropped(isProbe: boolean): void {
    if (isProbe) this.#isProbing = false;
  }
}
