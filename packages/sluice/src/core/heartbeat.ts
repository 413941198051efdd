/**
 * By how much the event loop of this process was late, so that a wait for an answer does not count that time against the
 * other side. A timer measures it, and only while a call waits, or did a moment ago.
 */
import { monotonicMs, startTimer, type Timer } from "./clock.js";

const BEAT_MS = 20;
/** The machine's timers count whole milliseconds: so much says nothing. */
const GRAIN_MS = 2;
/** A loop that was late by so much at once may have left an answer unread. */
const STALL_MS = 50;
/** How many beats go on after the last wait, since an answer may come after the wait for it. */
const LAST_BEATS = 50;

/** Its fields are plain ones, since every call reads and writes them. */
export class Heartbeat {
  /** How many wait. A wait that begins adds one and, if the heartbeat is not running, calls `start`. */
  waiting = 0;
  /** By how much the loop was late at all beats together. */
  sumMs = 0;
  /** When the next beat is due; Infinity while none is. */
  dueMs = Number.POSITIVE_INFINITY;
  /** The last moment at which the loop may not have run: it stalled, or was not measured. */
  #unsureMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  /** Consecutive beats without a wait. */
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
    // A wait keeps the process alive with its own timer.
    this.#timer.unref();
  }
}
