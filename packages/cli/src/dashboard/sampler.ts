/** Looks at the reports once a second for all pages together, as long as one is open. */
import timers from "node:timers";
import { type Store, systemClock } from "sluice";
import { readReports, type Reporter, type Reports } from "sluice/report";
import { monotonicMs } from "../clock.js";
import { withinTime } from "../within-time.js";
import { type Deltas, deltasOfMinute, LastMinute, MinuteDifferences, sumOf } from "./count-sums.js";
import { SecondRing } from "./second-ring.js";

export interface SamplerOptions {
  readonly store: Store;
  /** Of the report. */
  readonly name: string;
  /** Of this process, which is to have written when the reports are read; undefined if that is another one's job. */
  readonly reporter: Reporter | undefined;
  /** Called with each look, in time or not. */
  readonly onLook: () => void;
}

const EVERY_MS = 1000;
/** After this long without a request, all pages are closed or hidden. */
const IDLE_MS = 15_000;
/** A store that does not answer is not waited for. */
const PATIENCE_MS = 2000;
const MOST_READS = 3;
/** This minute, and the one before, in which counts may still come. */
const MINUTES = 2;
const HISTORY_MINUTES = 15;

export class Sampler {
  readonly #options: SamplerOptions;
  #timer: NodeJS.Timeout | undefined;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  /** Reads that were given up, and may yet end. */
  #reads = 0;
  #seconds = new SecondRing(systemClock.nowUs() / 1e3);
  #differences = new MinuteDifferences();
  #lastMinute = new LastMinute();
  #rates: Deltas = new Map();
  #reports: Reports | undefined;
  #isBegun = false;
  #stale: { readonly sinceMs: number; readonly why: string } | undefined;
  /** What to add to this machine's clock for the store's: ms. */
  #aheadMs = 0;

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** What was read last. */
  get reports(): Reports | undefined {
    return this.#reports;
  }

  get seconds(): SecondRing {
    return this.#seconds;
  }

  /** A second, over the last minute. */
  get rates(): Deltas {
    return this.#rates;
  }

  get stale(): { readonly sinceMs: number; readonly why: string } | undefined {
    return this.#stale;
  }

  /** The store's clock, as far as it is known: ms since the epoch. */
  nowMs(): number {
    return Math.round(systemClock.nowUs() / 1e3 + this.#aheadMs);
  }

  /** A page asks: resolves when there is something to show, or it is not to be waited for. Never rejects. */
  async wanted(): Promise<void> {
    this.#askedAtMs = monotonicMs();
    if (this.#timer === undefined) {
      this.#timer = timers.setInterval(() => {
        this.#tick();
      }, EVERY_MS);
      this.#timer.unref();
      this.#isBegun = false;
      await this.#look();
    } else if (!this.#isBegun) await this.#looking;
  }

  close(): void {
    timers.clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    if (monotonicMs() - this.#askedAtMs > IDLE_MS) this.close();
    else void this.#look();
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    try {
      const isBegun = this.#isBegun;
      const reports = await this.#readInTime(isBegun ? MINUTES : HISTORY_MINUTES);
      if (isBegun) this.#take(reports);
      else this.#begin(reports);
      this.#stale = undefined;
    } catch (error) {
      this.#stale ??= { sinceMs: this.nowMs(), why: whyOf(error) };
    }
    this.#options.onLook();
  }

  async #readInTime(minutes: number): Promise<Reports> {
    const { store, name, reporter } = this.#options;
    if (this.#reads >= MOST_READS) throw new Error("no answer");
    this.#reads += 1;
    const read = async (): Promise<Reports> => {
      try {
        await reporter?.flush();
        return await readReports({ store, name, minutes });
      } finally {
        this.#reads -= 1;
      }
    };
    return withinTime(read(), PATIENCE_MS);
  }

  /** Begins with the minutes that are there. */
  #begin(reports: Reports): void {
    const { minutes } = reports;
    this.#heard(reports);
    this.#seconds = new SecondRing(systemClock.nowUs() / 1e3);
    this.#differences = new MinuteDifferences();
    this.#lastMinute = new LastMinute();
    this.#differences.add(reports);
    const first = minutes.findIndex((each) => each.policies.length + each.shadows.length > 0);
    for (const minute of first < 0 ? [] : minutes.slice(first)) {
      const { fromMs, spanMs } = spanOf(minute.fromMs, reports);
      if (spanMs < 1) continue;
      const deltas = deltasOfMinute(minute);
      this.#seconds.add({ fromMs, spanMs, ...sumOf(deltas) });
      this.#lastMinute.add(spanMs, deltas);
    }
    this.#rates = this.#lastMinute.rates();
    this.#isBegun = true;
  }

  #take(reports: Reports): void {
    const fromMs = Math.round(this.#reports?.nowMs ?? reports.nowMs);
    const spanMs = Math.round(reports.nowMs) - fromMs;
    // The store's clock was set back, or minutes have passed which were not read: it starts again.
    if (spanMs < 0 || spanMs > (MINUTES - 1) * 60_000) {
      this.#isBegun = false;
      return;
    }
    this.#heard(reports);
    const deltas = this.#differences.add(reports);
    this.#seconds.add({ fromMs, spanMs: Math.max(1, spanMs), ...sumOf(deltas) });
    this.#lastMinute.add(spanMs, deltas);
    this.#rates = this.#lastMinute.rates();
  }

  #heard(reports: Reports): void {
    this.#reports = reports;
    this.#aheadMs = reports.nowMs - systemClock.nowUs() / 1e3;
  }
}

/** For how long a minute was counted: until now at most, and from when the first process began, if it is within. */
function spanOf(
  minuteMs: number,
  { nowMs, processes }: Reports,
): { readonly fromMs: number; readonly spanMs: number } {
  const toMs = Math.min(minuteMs + 60_000, Math.round(nowMs));
  const beganMs = Math.floor(Math.min(...processes.map((each) => each.beganMs)));
  const fromMs = beganMs > minuteMs && beganMs < toMs ? beganMs : minuteMs;
  return { fromMs, spanMs: toMs - fromMs };
}

/** Nothing of addresses, keys or passwords. */
function whyOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown };
  return code === "CLOSED" ? "the store was closed" : "the store does not answer";
}
