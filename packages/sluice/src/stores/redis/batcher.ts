/**
 * Calls that wait together travel together. An idle store sends at the end of the current tick; a busy one collects while a
 * few batches are under way, so that the batch grows with the load and no call waits for a timer. Calls keep the order in
 * which they arrived.
 */
import { atEndOfTick, inNextTurn, monotonicMs } from "../../core/clock.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { removeFrom } from "../../core/few.js";
import { attempt } from "../../events/events.js";
import { type HandOver, happened, type Submitted } from "../hand-over.js";
import type { StoreCall, StoreResult } from "../store.js";

/** What became of calls that were to be sent together. */
export interface Sending {
  /** Indices of calls that did not fit in with the others, in their order: they were not sent. */
  readonly left: readonly number[];
  /** Resolves when all that were sent are settled; never rejects. */
  readonly settled: Promise<unknown>;
}

/** Settles a call of a batch by its place. */
export type SettleCall<Answer = StoreResult> = (i: number, outcome: Answer | Error) => void;

/** Sends calls, at least the first one, and settles each by its place. */
export type SendBatch<Call = StoreCall, Answer = StoreResult> = (
  calls: readonly Call[],
  settle: SettleCall<Answer>,
) => Sending;

/** Sends one call alone and tells `done` its outcome, once and later; false if it cannot, and nothing was done. */
export type SendAlone<Call = StoreCall, Answer = StoreResult> = (
  call: Call,
  done: (outcome: Answer | Error) => void,
) => boolean;

export interface BatcherOptions {
  /** Calls sent together at most. */
  readonly maxBatch: number;
  /** Batches under way at once at most. */
  readonly maxInFlight: number;
  /** Hears what the `done` of a call threw. */
  readonly threw: (error: unknown) => void;
}

/** Takes the outcome of a call. It may return a promise, all the same. */
type TakeOutcome<Answer> = (outcome: Answer | Error) => unknown;

interface SentBatch {
  readonly atMs: number;
  readonly calls: readonly Submitted[];
}

/** Of all that is outstanding, one for the server and one for this process. More would be more to write and to read. */
const SHARES = 2;
/** A batch of fewer calls than this is not worth splitting. */
const MIN_SHARE = 16;
/** A batch without an answer for this long no longer holds others back, nor does one whose callers have all given up. */
const STALLED_MS = 1000;

export class Batcher<Call extends Submitted = StoreCall, Answer = StoreResult> {
  readonly #send: SendBatch<Call, Answer>;
  readonly #options: BatcherOptions;
  /** The calls that wait, and who takes the outcome of each: two lists, which spare an object for each call. */
  readonly #queue: Call[] = [];
  readonly #takers: TakeOutcome<Answer>[] = [];
  /** The batches under way, oldest first. */
  readonly #sent: SentBatch[] = [];
  #sentCalls = 0;
  /** The call that goes alone, while it holds others back: there is one at most. */
  #lone: Call | undefined;
  #loneAtMs = 0;
  /** Who takes its outcome, while it is under way. */
  #loneTaker: TakeOutcome<Answer> | undefined;
  readonly #flushNow = (): void => this.#flush();
  readonly #loneEnded = (outcome: Answer | Error): void => this.#endLone(outcome);
  #scheduled = false;
  /** How many at the head of the queue go whatever is under way. */
  #overdue = 0;
  readonly #alone: SendAlone<Call, Answer> | undefined;

  /** `alone` is for a call that finds nothing under way and stays alone in its tick. */
  constructor(
    send: SendBatch<Call, Answer>,
    options: BatcherOptions,
    alone?: SendAlone<Call, Answer>,
  ) {
    this.#send = send;
    this.#options = options;
    this.#alone = alone;
  }

  add(call: Call, done: TakeOutcome<Answer>): void {
    this.#queue.push(call);
    this.#takers.push(done);
    this.#schedule();
  }

  /** Sends all that wait now, whatever is under way: one of them must be sent, and those before it may be on its key. */
  hurry(): void {
    this.#overdue = this.#queue.length;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0 || !this.#maySend()) return;
    this.#scheduled = true;
    atEndOfTick(this.#flushNow);
  }

  #maySend(): boolean {
    return this.#overdue > 0 || !this.#isBusy();
  }

  #isBusy(): boolean {
    if (!this.#isFull()) return false;
    const sinceMs = monotonicMs() - STALLED_MS;
    if (this.#lone !== undefined && (this.#loneAtMs <= sinceMs || !isWanted(this.#lone))) {
      this.#lone = undefined;
    }
    for (;;) {
      const [oldest] = this.#sent;
      if (oldest === undefined || (oldest.atMs > sinceMs && oldest.calls.some(isWanted))) break;
      this.#sent.shift();
    }
    return this.#isFull();
  }

  #isFull(): boolean {
    return this.#sent.length + (this.#lone === undefined ? 0 : 1) >= this.#options.maxInFlight;
  }

  /**
   * One batch a turn of the event loop: batches that arrive together are answered together, and then the
   * server would wait for this process while this process works.
   */
  #flush(): void {
    this.#scheduled = false;
    if (this.#queue.length === 1 && this.#sentCalls === 0 && this.#sendAlone()) return;
    while (this.#queue.length > 0 && this.#maySend()) {
      if (!this.#sendNext()) continue;
      this.#scheduled = this.#queue.length > 0;
      if (this.#scheduled) inNextTurn(this.#flushNow);
      return;
    }
  }

  /**
   * How many calls go together: half of all that are outstanding, so that while the server works on one batch this
   * process works on another, instead of both waiting for each other in turn.
   */
  #share(): number {
    const { maxBatch, maxInFlight } = this.#options;
    const outstanding = this.#queue.length + this.#sentCalls;
    const equal = Math.ceil(outstanding / Math.min(SHARES, maxInFlight));
    return Math.min(maxBatch, Math.max(MIN_SHARE, equal));
  }

  /** Sends the next batch; false if all callers of its calls have given up. */
  #sendNext(): boolean {
    const share = this.#share();
    let calls: readonly Call[] = this.#queue.splice(0, share);
    let takers: readonly TakeOutcome<Answer>[] = this.#takers.splice(0, share);
    const isOverdue = this.#overdue > 0;
    this.#overdue = Math.max(0, this.#overdue - calls.length);
    if (!calls.every(isWanted)) {
      const [taken, ofTaken] = [calls, takers];
      calls = taken.filter(isWanted);
      takers = ofTaken.filter((_, i) => isWanted(taken[i] as Call));
      // After the calls to send are chosen, since a caller that hears of it may give up others of them.
      this.#drop(ofTaken.filter((_, i) => !isWanted(taken[i] as Call)));
      if (calls.length === 0) return false;
    }
    this.#sendTogether(calls, takers, isOverdue);
    return true;
  }

  #sendTogether(
    calls: readonly Call[],
    takers: readonly TakeOutcome<Answer>[],
    isOverdue: boolean,
  ): void {
    const sent = { atMs: monotonicMs(), calls };
    this.#sent.push(sent);
    const { left, settled } = this.#send(calls, (i, outcome) => {
      this.#answer(takers[i] as TakeOutcome<Answer>, outcome);
    });
    if (left.length > 0) {
      // Ahead of all that came after them, and of every batch that is sent from now on.
      this.#queue.unshift(...left.map((i) => calls[i] as Call));
      this.#takers.unshift(...left.map((i) => takers[i] as TakeOutcome<Answer>));
      if (isOverdue) this.#overdue += left.length;
    }
    const sentCalls = calls.length - left.length;
    this.#sentCalls += sentCalls;
    void settled.finally(() => this.#ended(sent, sentCalls));
  }

  /** Sends the only call there is, if it can go alone; its answer never comes before this returns. */
  #sendAlone(): boolean {
    const call = this.#queue[0] as Call;
    if (this.#alone === undefined || !isWanted(call)) return false;
    const atMs = monotonicMs();
    if (!this.#alone(call, this.#loneEnded)) return false;
    this.#queue.pop();
    this.#overdue = 0;
    this.#lone = call;
    this.#loneAtMs = atMs;
    this.#loneTaker = this.#takers.pop();
    this.#sentCalls += 1;
    return true;
  }

  #endLone(outcome: Answer | Error): void {
    const taker = this.#loneTaker as TakeOutcome<Answer>;
    this.#loneTaker = undefined;
    // In this order: an answer that opens a breaker refuses what waits, before that is sent.
    this.#answer(taker, outcome);
    this.#lone = undefined;
    this.#sentCalls -= 1;
    this.#schedule();
  }

  #ended(sent: SentBatch, calls: number): void {
    removeFrom(this.#sent, sent);
    this.#sentCalls -= calls;
    this.#schedule();
  }

  /** What one call's `done` throws must not be taken for the failure of those that were sent with it. */
  #answer(done: TakeOutcome<Answer>, outcome: Answer | Error): void {
    try {
      const returned = done(outcome);
      if (returned !== undefined) this.#watch(returned, outcome);
    } catch (error) {
      this.#options.threw(error);
    }
  }

  /** By itself: a function that may make closures allocates what they share each time it is called. */
  #watch(returned: unknown, outcome: Answer | Error): void {
    attempt(() => returned, outcome, this.#options.threw);
  }

  /** No caller waits for these outcomes, but the count of calls under way needs them. */
  #drop(takers: readonly TakeOutcome<Answer>[]): void {
    const dropped = notSent();
    for (const taker of takers) this.#answer(taker, dropped);
  }
}

/**
 * The hand-over of a batch that was given to its client just now. Its clock starts in the check phase that comes next:
 * no client has had its turn to write before, if this one of the event loop is a long one.
 */
export function handOverNow(): HandOver {
  happened.count += 1;
  const handOver: HandOver = {
    order: happened.count,
    startedAtMs: undefined,
    isDecided: false,
    isAssumed: false,
  };
  inNextTurn(() => {
    handOver.startedAtMs = monotonicMs();
  });
  return handOver;
}

/** The hand-over to a client that writes at once, at `nowMs`: the server has the call as soon as the client does. */
export function writtenHandOver(nowMs: number): HandOver {
  happened.count += 1;
  return { order: happened.count, startedAtMs: nowMs, isDecided: false, isAssumed: false };
}

function isWanted({ abandoned }: Submitted): boolean {
  return abandoned !== true;
}

/** The outcome for a caller who had stopped waiting by the time the call could be sent. */
export function notSent(): StoreUnavailableError {
  return new StoreUnavailableError(
    "the call was not sent in time, and its caller no longer waited",
  );
}
