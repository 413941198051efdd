/** Counts attempts by the time at which they were made. */

/** Attempts of one span of time. */
export interface TimelineStep {
  /** Its beginning, in µs since 1970. */
  readonly fromUs: number;
  /** Calls that the other limits allow. */
  readonly allowed: number;
  /** Calls that the other limits deny. */
  readonly denied: number;
  /** Calls that were allowed and would be denied. */
  readonly newlyDenied: number;
  /** Calls that were denied and would be allowed. */
  readonly newlyAllowed: number;
}

const MINUTE_US = 60e6;
const HOUR_US = 3600e6;
const DAY_US = 24 * HOUR_US;
/** More than this many steps are longer ones. */
const MOST_STEPS = 10_000;
/** Shorter logs are shown in shorter steps. */
const STEPS: readonly (readonly [below: number, stepUs: number])[] = [
  [1e6, 10e3],
  [MINUTE_US / 2, 100e3],
  [10 * MINUTE_US, 1e6],
  [DAY_US, MINUTE_US],
  [MOST_STEPS * HOUR_US, HOUR_US],
];

const ALLOWED = 0;
const DENIED = 1;
const NEWLY_DENIED = 2;
const NEWLY_ALLOWED = 3;
const WIDTH = 4;

/** Hour by hour: in shorter steps if the log is shorter than a day, by the day or more if it is very long. */
export class Timeline {
  /** The length of a step, in µs. */
  readonly stepUs: number;
  readonly #fromUs: number;
  readonly #counts: Uint32Array;

  /** Between the first and the last attempt. */
  constructor(fromUs: number, toUs: number) {
    const stepUs = stepOf(toUs - fromUs);
    this.stepUs = stepUs;
    this.#fromUs = Math.floor(fromUs / stepUs) * stepUs;
    this.#counts = new Uint32Array((Math.floor((toUs - this.#fromUs) / stepUs) + 1) * WIDTH);
  }

  add(atUs: number, wasDenied: boolean, isDenied: boolean): void {
    const at = Math.floor((atUs - this.#fromUs) / this.stepUs) * WIDTH;
    this.#increase(at + (isDenied ? DENIED : ALLOWED));
    if (wasDenied !== isDenied) this.#increase(at + (isDenied ? NEWLY_DENIED : NEWLY_ALLOWED));
  }

  get steps(): readonly TimelineStep[] {
    return Array.from({ length: this.#counts.length / WIDTH }, (_, step) => {
      const count = (field: number): number => this.#counts[step * WIDTH + field] as number;
      return {
        fromUs: this.#fromUs + step * this.stepUs,
        allowed: count(ALLOWED),
        denied: count(DENIED),
        newlyDenied: count(NEWLY_DENIED),
        newlyAllowed: count(NEWLY_ALLOWED),
      };
    });
  }

  #increase(at: number): void {
    this.#counts[at] = (this.#counts[at] as number) + 1;
  }
}

function stepOf(spanUs: number): number {
  const [, stepUs] = STEPS.find(([below]) => spanUs < below) ?? [];
  return stepUs ?? DAY_US * Math.ceil(spanUs / DAY_US / MOST_STEPS);
}
