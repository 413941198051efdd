/**
 * Writes what this process has counted into the minutes of a store, each count once. It writes totals of the minute, which
 * replace what it wrote before: so a write whose answer was lost may be repeated, and one that a server forgot is made good
 * within the minute. A minute is left only when its last write was answered; what is counted until then waits as a
 * difference of totals, and is added to the minute in which the store is back.
 */
import { type Clock, startTimer, systemClock } from "../core/clock.js";
import { randomName } from "../core/digest.js";
import { StoreTimeoutError } from "../core/errors.js";
import { MINUTE_MS, type ReportStore } from "../stores/report-store.js";
import type { ListedIds } from "./denied-ids.js";
import { idsToText } from "./id-text.js";
import { lineToText, type ProcessLine } from "./line.js";
import { decisionsIn, growth, numbersToText, type ReportTally } from "./tally.js";

/** What there is to write. */
export interface ReportSource {
  /** All counts, since whenever. */
  tally(): ReportTally;
  /** The ids that were denied most in this minute: what comes later is of the next time. */
  listIds(): ReadonlyMap<string, ListedIds>;
  /** The minute has ended with what was last listed. */
  beginMinute(): void;
}

export interface ReportWriterOptions {
  readonly store: ReportStore;
  /** Of the store, if it is not the machine's. */
  readonly clock: Clock | undefined;
  readonly name: string;
  readonly everyMs: number;
  readonly source: ReportSource;
}

/** The minute to which counts are added now. */
interface OpenMinute {
  readonly minute: number;
  /** All counts as they were when it was last sent. */
  tally: ReportTally;
  /** What it holds of them. */
  counted: ReportTally;
  line: ProcessLine;
  fields: ReadonlyMap<string, string>;
  /** Fields as the store has them for certain. */
  readonly confirmed: Map<string, string>;
  /** Whether any write of it was answered. */
  isKnown: boolean;
  /** Whether the last write of it was not answered. */
  isInDoubt: boolean;
}

const PROCESS_BYTES = 9;
/** A store that does not answer is asked again after this time. */
const PATIENCE_MS = 5000;

export class ReportWriter {
  readonly #options: ReportWriterOptions;
  #process = randomName(PROCESS_BYTES);
  #turn = 0;
  /** All counts up to the last minute that is over. */
  #base: ReportTally;
  /** Decisions that are in those minutes. */
  #before = 0;
  #beganMs: number | undefined;
  /** Up to when counts are in those minutes. */
  #fromMs = 0;
  /** How far the store's clock is ahead of this process's. */
  #aheadMs = 0;
  #open: OpenMinute | undefined;

  constructor(options: ReportWriterOptions) {
    this.#options = options;
    this.#base = options.source.tally();
  }

  /** Writes what was counted since the last time; rejects if the store does not take it, and nothing is lost then. */
  async write(hasEnded = false): Promise<void> {
    if (this.#beganMs === undefined) await this.#begin();
    const nowMs = this.#nowMs();
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (this.#open !== undefined && this.#open.minute !== minute) {
      await this.#leave(this.#open, minute);
    }
    const open = this.#open ?? openMinute(minute);
    this.#open = open;
    this.#fill(open, nowMs, hasEnded);
    await this.#send(open);
  }

  /** What was counted before the store was first reached counts from then on. */
  async #begin(): Promise<void> {
    const beganMs = await this.#inTime(this.#options.store.nowMs(this.#options.name));
    this.#heard(beganMs);
    this.#beganMs = beganMs;
    this.#fromMs = beganMs;
  }

  #nowMs(): number {
    return ownMs(this.#options.clock) + this.#aheadMs;
  }

  #heard(storeMs: number): void {
    this.#aheadMs = storeMs - ownMs(this.#options.clock);
  }

  /** Makes sure that the store has what was last sent of a minute that is over. */
  async #leave(open: OpenMinute, next: number): Promise<void> {
    if (open.isInDoubt) await this.#send(open);
    this.#before += decisionsIn(open.counted);
    this.#base = open.tally;
    this.#fromMs = open.line.seenMs;
    this.#options.source.beginMinute();
    this.#open = undefined;
    if (next > open.minute) return;
    // The store's clock went back. A minute may come again, and what this process wrote there must stay.
    this.#process = randomName(PROCESS_BYTES);
    this.#before = 0;
    this.#beganMs = this.#nowMs();
    this.#fromMs = this.#beganMs;
  }

  #fill(open: OpenMinute, nowMs: number, hasEnded: boolean): void {
    const { source, everyMs } = this.#options;
    open.tally = source.tally();
    open.counted = growth(open.tally, this.#base);
    open.line = {
      beganMs: this.#beganMs as number,
      fromMs: this.#fromMs,
      seenMs: nowMs,
      before: this.#before,
      everyMs,
      hasEnded,
    };
    const fields = new Map<string, string>();
    const add = (group: string, text: string): void => {
      fields.set(`${this.#process}:${group}`, text);
    };
    for (const [group, numbers] of open.counted) add(group, numbersToText(numbers));
    for (const [group, ids] of source.listIds()) add(group, idsToText(ids));
    open.fields = fields;
  }

  async #send(open: OpenMinute): Promise<void> {
    const { store, name } = this.#options;
    open.isInDoubt = true;
    for (;;) {
      this.#turn += 1;
      const changed = [...open.fields].filter(
        ([field, text]) => open.confirmed.get(field) !== text,
      );
      const { nowMs, wasKnown } = await this.#inTime(
        store.write(
          { name, minute: open.minute },
          {
            process: this.#process,
            turn: this.#turn,
            line: lineToText(this.#turn, open.line),
            fields: new Map(changed),
          },
        ),
      );
      this.#heard(nowMs);
      // A restarted server may have forgotten what it had confirmed.
      const isForgotten = open.isKnown && !wasKnown && changed.length < open.fields.size;
      open.isKnown = true;
      if (!isForgotten) break;
      open.confirmed.clear();
    }
    for (const [field, text] of open.fields) open.confirmed.set(field, text);
    open.isInDoubt = false;
  }

  async #inTime<T>(answer: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof startTimer> | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = startTimer(PATIENCE_MS, () => {
        reject(new StoreTimeoutError(PATIENCE_MS));
      });
      timer.unref();
    });
    try {
      return await Promise.race([answer, tooLong]);
    } finally {
      timer?.cancel();
    }
  }
}

function openMinute(minute: number): OpenMinute {
  const nothing: ReportTally = new Map();
  return {
    minute,
    tally: nothing,
    counted: nothing,
    line: { beganMs: 0, fromMs: 0, seenMs: 0, before: 0, everyMs: 0, hasEnded: false },
    fields: new Map(),
    confirmed: new Map(),
    isKnown: false,
    isInDoubt: false,
  };
}

function ownMs(clock: Clock = systemClock): number {
  return clock.nowUs() / 1e3;
}
