/** Decisions a second, from one reading of the reports to a later one. */
import type { ReportedSums, Reports, ShadowReport } from "sluice/report";

/** One policy with its rates, a second. */
export interface PolicyRates {
  readonly limiter: string;
  readonly policy: string;
  /** Whether it decides; else its rates are what it says beside those that do. */
  readonly votes: boolean;
  readonly rates: ReportedSums;
  /** Asked a second, the latest last. */
  readonly history: readonly number[];
}

/** By minute, by limiter and policy. */
type Sums = ReadonlyMap<number, ReadonlyMap<string, ReportedSums>>;

interface Reading {
  readonly nowMs: number;
  readonly sums: Sums;
}

/** Rates are over this time, since processes report at different times. */
const SPAN_MS = 5000;
const MOST_READINGS = 600;
const MOST_HISTORY = 60;

export class TopRates {
  readonly #readings: Reading[] = [];
  readonly #history = new Map<string, number[]>();

  /** The rates up to these reports; of the first ones, those that they say themselves. */
  add(reports: Reports): readonly PolicyRates[] {
    const reading = { nowMs: reports.nowMs, sums: sumsIn(reports) };
    const before = this.#before(reading.nowMs, reports.fromMs);
    this.#readings.push(reading);
    const rates = reports.limiters.flatMap(({ limiter, policies, shadows }) => {
      const ratesIn = (all: readonly ShadowReport[], votes: boolean) =>
        all.map(({ policy, perSecond }) => {
          const name = nameOf(limiter, policy, votes);
          const own = before === undefined ? perSecond : ratesOf(name, before, reading);
          return { limiter, policy, votes, rates: own };
        });
      return [...ratesIn(policies, true), ...ratesIn(shadows, false)];
    });
    return rates.map((each) => ({ ...each, history: this.#noted(each) }));
  }

  /** The latest reading that is long enough ago, else the first one. Those before it are of no use any more. */
  #before(nowMs: number, fromMs: number): Reading | undefined {
    const readings = this.#readings;
    // What happened since one that is older than these reports is not all in them.
    while (readings[0] !== undefined && readings[0].nowMs < fromMs) readings.shift();
    while (readings.length > MOST_READINGS || isOldEnough(readings[1], nowMs)) readings.shift();
    return readings[0];
  }

  #noted({ limiter, policy, votes, rates }: Omit<PolicyRates, "history">): readonly number[] {
    const name = nameOf(limiter, policy, votes);
    const history = [...(this.#history.get(name) ?? []), rates.asked].slice(-MOST_HISTORY);
    this.#history.set(name, history);
    return history;
  }
}

function isOldEnough(reading: Reading | undefined, nowMs: number): boolean {
  return reading !== undefined && nowMs - reading.nowMs >= SPAN_MS;
}

/** A minute that is in no later reading has nothing to say; one that began since had nothing in it. */
function ratesOf(name: string, before: Reading, after: Reading): ReportedSums {
  const seconds = Math.max(0.001, (after.nowMs - before.nowMs) / 1000);
  const rate = (of: keyof ReportedSums): number => {
    let grown = 0;
    for (const [minute, sums] of after.sums) {
      grown += (sums.get(name)?.[of] ?? 0) - (before.sums.get(minute)?.get(name)?.[of] ?? 0);
    }
    // What a server forgot is no call that was taken back.
    return Math.max(0, grown) / seconds;
  };
  return {
    asked: rate("asked"),
    allowed: rate("allowed"),
    denied: rate("denied"),
    shadowDenied: rate("shadowDenied"),
    withoutStore: rate("withoutStore"),
    nearLimit: rate("nearLimit"),
  };
}

function sumsIn({ minutes }: Reports): Sums {
  return new Map(
    minutes.map(({ fromMs, policies, shadows }) => [
      fromMs,
      new Map([
        ...policies.map((sums) => [nameOf(sums.limiter, sums.policy, true), sums] as const),
        ...shadows.map((sums) => [nameOf(sums.limiter, sums.policy, false), sums] as const),
      ]),
    ]),
  );
}

function nameOf(limiter: string, policy: string, votes: boolean): string {
  return `${votes ? "" : "beside "}${limiter}:${policy}`;
}
