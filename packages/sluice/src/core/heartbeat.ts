/**
 * By how much the event loop of this process was late: whoever waits for an answer must not take that time for the
 * other side's. It is measured by a timer, and only while somebody waits, or did a moment ago.
 */
import { monotonicMs, startTimer, type Timer } from "./clock.js";

const BEAT_MS = 20;
/** The machine's timers count whole milliseconds: so much says nothing. */
const GRAIN_MS = 2;
/** A loop that was late by so much at once may have left an answer unread. */
const STALL_MS = 50;
/** It goes on for so many beats after the last wait, since an answer may come after the wait for it. */
const LAST_BEATS = 50;

/** Its fields are plain ones, since every call reads and writes them. */
export class Heartbeat {
  /** How many wait: whoever begins to adds one and, where it does not beat yet, calls `start`. */
  waiting = 0;
  /** By how much the loop was late at all beats together. */
  sumMs = 0;
  /** When the next beat is due; Infinity while none is. */
  dueMs = Number.POSITIVE_INFINITY;
  /** The last moment of which it is not known that the loop ran: a stall, or nobody measured. */
  #unsureMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  /** Beats in a row at which nobody waited. */
  #idleBeats = 0;

  start(): void {
    this.#beat(monotonicMs());
  }

  /** Whether the loop may have stood still for a while since then. */
  mayHaveStalledSince(sinceMs: number, nowMs: number): boolean {
    return this.#unsureMs >= sinceMs || nowMs - this.dueMs >= STALL_MS || this.#timer === undefined;
  }

  #beat(nowMs: number): void {
    this.dueMs = nowMs + BEAT_MS;
    this.#timer = startTimer(BEAT_MS, () => {
      const beatMs = monotonicMs();
      const lateMs = beatMs - this.dueMs;
      if (lateMs >= GRAIN_MS) this.sumMs += lateMs;
      if (lateMs >= STALL_MS) this.#unsureMs = beatMs;
      this.#idleBeats = this.waiting > 0 ? 0 : this.#idleBeats + 1;
      if (this.#idleBeats < LAST_BEATS) {
        this.#beat(beatMs);
        return;
      }
      this.#timer = undefined;
      this.#idleBeats = 0;
      this.dueMs = Number.POSITIVE_INFINITY;
      this.#unsureMs = beatMs;
    });
    // Whoever waits keeps the process alive by a timer of their own.
    this.#timer.unref();
  }
}
