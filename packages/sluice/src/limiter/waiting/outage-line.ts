/**
 * Calls that wait while a part of their store is away: each until its own time comes, and all until the part is back. One
 * timer serves them all, and one call at a time probes the store.
 */
import { onAbort } from "../../core/abort.js";
import { setAlarm } from "../../core/alarm.js";
import { type Clock, monotonicUs, systemClock } from "../../core/clock.js";
import type { Store } from "../../stores/store.js";

/** From one question whether the store is back to the next: it doubles up to the longest. */
const FIRST_QUESTION_US = 50e3;
const LONGEST_QUESTION_US = 1e6;

export interface Absence {
  /** Until the time comes for which the caller waits, whether or not the store is back. */
  readonly delayMs: number;
  readonly signal: AbortSignal | undefined;
  /** Asks the store; never rejects. */
  readonly isBack: () => Promise<boolean>;
  /** The store is back: gives up what the caller holds in this process, at once. */
  readonly leave: () => void;
}

interface Waiter extends Absence {
  readonly dueAtUs: number;
  readonly end: (how: "due" | "back") => void;
}

const linesOf = new WeakMap<Store, Map<string, OutageLine>>();

/** The line of the calls that a part of the store decides; "" is all of it. */
export function outageLineOf(store: Store, part: string): OutageLine {
  const lines = linesOf.get(store) ?? new Map<string, OutageLine>();
  linesOf.set(store, lines);
  const line = lines.get(part) ?? new OutageLine(store.clock ?? systemClock);
  lines.set(part, line);
  return line;
}

export class OutageLine {
  readonly #clock: Clock;
  /** In the order in which they came. */
  readonly #waiters = new Set<Waiter>();
  /** In the order in which their times come; some may have left. */
  #byTime: Waiter[] = [];
  #isAsking = false;
  #everyUs = FIRST_QUESTION_US;
  #askAtUs = 0;
  #backAtUs = Number.NEGATIVE_INFINITY;
  #alarmAtUs = Number.POSITIVE_INFINITY;
  #endAlarm: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Waits until the caller's time comes, or the store is back; rejects when the signal aborts. */
  wait(absence: Absence): Promise<"due" | "back"> {
    const { signal, delayMs } = absence;
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      if (delayMs <= 0) {
        resolve("due");
        return;
      }
      const nowUs = monotonicUs(this.#clock);
      const waiter: Waiter = {
        ...absence,
        dueAtUs: nowUs + delayMs * 1e3,
        end: (how) => {
          endWatch?.();
          resolve(how);
        },
      };
      const endWatch =
        signal &&
        onAbort(signal, () => {
          this.#waiters.delete(waiter);
          this.#schedule();
          reject(signal.reason as Error);
        });
      this.#add(waiter, nowUs);
    });
  }

  #add(waiter: Waiter, nowUs: number): void {
    if (this.#waiters.size === 0) {
      // A store that answers questions and nothing else, such as one that is full, must not be asked by all at each.
      if (nowUs - this.#backAtUs > 2 * this.#everyUs) this.#everyUs = FIRST_QUESTION_US;
      this.#askAtUs = nowUs + this.#everyUs;
    }
    this.#waiters.add(waiter);
    let at = this.#byTime.length;
    while (at > 0 && (this.#byTime[at - 1] as Waiter).dueAtUs > waiter.dueAtUs) at -= 1;
    this.#byTime.splice(at, 0, waiter);
    this.#schedule();
  }

  /** Sets the one alarm: for the next whose time comes, or the next question. */
  #schedule(): void {
    const gone = this.#byTime.findIndex((each) => this.#waiters.has(each));
    this.#byTime.splice(0, gone < 0 ? this.#byTime.length : gone);
    const dueAtUs = this.#byTime[0]?.dueAtUs ?? Number.POSITIVE_INFINITY;
    const isEmpty = this.#waiters.size === 0;
    const askAtUs = isEmpty || this.#isAsking ? Number.POSITIVE_INFINITY : this.#askAtUs;
    const nextUs = Math.min(dueAtUs, askAtUs);
    if (nextUs === this.#alarmAtUs) return;
    this.#endAlarm();
    this.#alarmAtUs = nextUs;
    const ms = Math.max(0, nextUs - monotonicUs(this.#clock)) / 1e3;
    this.#endAlarm = setAlarm(this.#clock, ms, true, () => {
      this.#alarmAtUs = Number.POSITIVE_INFINITY;
      this.#ring();
    });
  }

  #ring(): void {
    const nowUs = monotonicUs(this.#clock);
    for (;;) {
      const [first] = this.#byTime;
      if (first === undefined || first.dueAtUs > nowUs) break;
      this.#byTime.shift();
      if (this.#waiters.delete(first)) first.end("due");
    }
    const [oldest] = this.#waiters;
    if (oldest !== undefined && !this.#isAsking && this.#askAtUs <= nowUs) void this.#ask(oldest);
    this.#schedule();
  }

  async #ask(oldest: Waiter): Promise<void> {
    this.#isAsking = true;
    const isBack = await oldest.isBack();
    this.#isAsking = false;
    const nowUs = monotonicUs(this.#clock);
    this.#everyUs = Math.min(2 * this.#everyUs, LONGEST_QUESTION_US);
    this.#askAtUs = nowUs + this.#everyUs;
    if (isBack) this.#end(nowUs);
    this.#schedule();
  }

  /** All leave. The last gives up its position first, so that all of it comes back; the first asks the store first. */
  #end(nowUs: number): void {
    const all = [...this.#waiters];
    this.#waiters.clear();
    this.#byTime = [];
    this.#backAtUs = nowUs;
    for (const waiter of all.toReversed()) waiter.leave();
    for (const waiter of all) waiter.end("back");
  }
}
