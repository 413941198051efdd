/**
 * When to stop asking a store that fails. A state machine without timers: its caller counts what is evidence against the
 * store, and passes the time. Once open it stays open: when the store decides something, a new breaker replaces it.
 */
import { type Duration, MIN_PERIOD_US } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { byDefault, aCount, milliseconds, optionReader } from "../core/options.js";
import { withoutText } from "../core/shown.js";

/** When calls stop asking a store that fails, and how it is found out whether it works again. */
export interface BreakerOptions {
  /** Failures in a row after which the store is no longer asked, 1 to 1,000,000; default 5. */
  readonly failures?: number | undefined;
  /**
   * From the start of one probe to the next, 1 ms to 1 h; default 1 s. The first goes after 50 ms at most, and the
   * interval doubles until it is this long.
   */
  readonly probeEvery?: Duration | undefined;
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

const OPTIONS = optionReader<BreakerOptions>()({
  failures: byDefault(DEFAULT_FAILURES, aCount(1, MAX_FAILURES)),
  probeEvery: byDefault(DEFAULT_PROBE_EVERY_MS, milliseconds(MIN_PERIOD_US, MAX_PROBE_EVERY_US)),
});

/** Undefined for no breaker. */
export function checkBreaker(option: string, given: unknown = {}): BreakerSettings | undefined {
  if (given === false) return undefined;
  if (typeof given !== "object" || given === null) {
    throw new InvalidOptionError(option, withoutText(given), "false or { failures, probeEvery }");
  }
  const { failures, probeEvery } = OPTIONS.read(given, option);
  return { failures, probeEveryMs: probeEvery };
}

/** The first probe goes so soon: most outages are short. */
const FIRST_PROBE_MS = 50;

/** What a call may do: go to the store, go there as the probe, or not go. */
export type Admission = "pass" | "probe" | "refuse";

export class Breaker {
  readonly settings: BreakerSettings;
  #isOpen = false;
  #isProbing = false;
  /** When the next probe may start, if open. */
  #probeAtMs = 0;
  /** From its start to that of the one after. */
  #intervalMs = 0;

  constructor(settings: BreakerSettings) {
    this.settings = settings;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether it is half-open: a call is finding out whether the store works again. */
  get isProbing(): boolean {
    return this.#isOpen && this.#isProbing;
  }

  /** Asked once for every call. Who gets "probe" must tell how the probe ended. */
  admit(nowMs: number): Admission {
    if (!this.#isOpen) return "pass";
    if (this.#isProbing || nowMs < this.#probeAtMs) return "refuse";
    this.#isProbing = true;
    this.#intervalMs = Math.min(2 * this.#intervalMs, this.settings.probeEveryMs);
    this.#probeAtMs = nowMs + this.#intervalMs;
    return "probe";
  }

  /** `failures` consecutive failures count against the store; true if that opens the breaker. */
  failed(failures: number, nowMs: number): boolean {
    if (this.#isOpen || failures < this.settings.failures) return false;
    this.#isOpen = true;
    this.#intervalMs = Math.min(FIRST_PROBE_MS, this.settings.probeEveryMs);
    this.#probeAtMs = nowMs + this.#intervalMs;
    return true;
  }

  /** The probe failed, or said nothing of the store. */
  probeEnded(): void {
    this.#isProbing = false;
  }

  /** The probe never left this process: the next call is the probe instead. */
  passTurn(nowMs: number): void {
    this.#isProbing = false;
    this.#probeAtMs = nowMs;
  }
}
