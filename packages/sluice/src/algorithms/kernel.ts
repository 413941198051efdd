/**
 * What an algorithm is to the rest of Sluice: a handful of pure functions on a small state.
 * The verbs (consume, refund, ...) are written once, in decide.ts and its Lua twin, on top of them.
 *
 * Units everywhere: amounts are integer thousandths, times integer µs. `nowUs` never goes back for one
 * state: the caller has raised it to the state's `lastUs`. "Pure" means no clock, no I/O and no
 * randomness; a state is changed in place, because a store that decides millions of times a second
 * should not make millions of objects.
 */
import type { InvalidOptionError } from "../core/errors.js";

/** What every state carries besides its algorithm's own numbers. */
export interface State {
  /** Time of the last change, on the clock that decided it. */
  lastUs: number;
  /** The key is blocked while the store's raw clock is before this. 0 = not blocked. */
  blockedUntilUs: number;
  /**
   * When a store may forget the state, in ms on the raw clock: from then on it counts as fresh, whether or
   * not it was swept, so that garbage collection never shows. 0 = nothing is stored.
   */
  expiryMs: number;
  /** Calls that wait for their start; undefined if none does. Replaced, never changed, because copies of the state share it. */
  reservations: Reservations | undefined;
}

/** What a key remembers of those who were promised a start that is yet to come. */
export interface Reservations {
  /** When the first of them came, or later: tells this line from others of the same key, before and after. */
  readonly openedUs: number;
  /** Thousandths admitted since, less those given back from its end; 0 = no call waits, and the next line is this one. */
  readonly sold: number;
  /** The latest start that was promised. Once it has passed, there is no line. */
  readonly endsUs: number;
}

/** A position in line, as its holder keeps it: all that is needed to give it back. */
export interface ReservationReceipt {
  /** When the reserved work may start, on the clock that decided. */
  readonly readyAtUs: number;
  /** From the decision until then, by the raw clock. */
  readonly delayUs: number;
  /** When the reservation's window opened, by the store's clock. */
  readonly openedUs: number;
  /** What the line had sold, this receipt included; 0 if no call waited, not even this one. */
  readonly sold: number;
  /** What it did to each debit beside taking the cost. */
  readonly charges: readonly ReservationCharge[];
}

/** What cancel undoes beside the cost, so that the last in line leaves no trace. */
export interface ReservationCharge {
  /** What was taken beyond the cost, as `giveBack` takes it: starts are whole µs, or refills. */
  readonly extra: number;
  /** The line's latest start before this one's; 0 if there was no line. */
  readonly endedUs: number;
}

/** The state's part that is the same in every algorithm, for a key never seen. */
export const FRESH: Readonly<State> = Object.freeze({
  lastUs: 0,
  blockedUntilUs: 0,
  expiryMs: 0,
  reservations: undefined,
});

/** What every algorithm's compiled parameters have. */
export interface Params {
  /** What a fresh key can take at once. */
  readonly capacity: number;
  /** How calls wait for quota; undefined if a start cannot be promised ahead. */
  readonly reservations?: ReservationRules | undefined;
}

/** How calls wait in line. */
export interface ReservationRules {
  /** One after another, each when those before it have drained: a strict queue no longer than the capacity. */
  readonly strict: boolean;
  /** Only if no other policy decides with it: refills come in steps, and each bucket has its own times. */
  readonly alone: boolean;
  /** What can be in use, promises included. */
  readonly maximum: number;
}

/** Why a change that the quota allows cannot be made. */
export const READY = 0;
/** The calendar's table does not cover the store's time: send a new one. */
export const NEED_CALENDAR = 1;
/** The log already holds as many hits as it may. */
export const LOG_FULL = 2;
/** Whether a kernel can decide with what it has, as a number. */
export type Readiness = typeof READY | typeof NEED_CALENDAR | typeof LOG_FULL;

/** The pure decision of an algorithm: no clock, no store, integers alone. */
export interface Kernel<P extends Params = Params, S extends State = State> {
  /** One letter: part of the store key and the name of the twin in Lua. */
  readonly tag: string;
  /** The state of a key never seen. */
  fresh(): S;
  /** Makes `s` the state of a key never seen. */
  clear(s: S): void;
  /** Brings the state to `nowUs`. */
  advance(s: S, p: P, nowUs: number): void;
  /** What can be taken now, rounded down to a thousandth; negative while in debt. */
  available(s: S, p: P, nowUs: number): number;
  /** Time until `amount` (0 ≤ amount ≤ capacity, amount > available) fits. */
  timeUntil(s: S, p: P, amount: number, nowUs: number): number;
  /** Asked before `take`; an algorithm that is always ready leaves it out. */
  ready?(s: S, p: P, nowUs: number): Readiness;
  /** Adds `amount` > 0 to what is used, past the capacity if asked to. */
  take(s: S, p: P, amount: number, nowUs: number): void;
  /**
   * Takes `amount` for a start in `delayUs` > 0, in a strict queue if asked to. Returns what it took beyond that, in parts
   * of a thousandth that only the kernel can read. Kernels whose policies can be reserved have this and `levelAt`.
   */
  reserve?(s: S, p: P, amount: number, isQueue: boolean, delayUs: number, nowUs: number): number;
  /** What will be in use at `atUs` ≥ `nowUs`, rounded down to a thousandth; below 0 if it was empty before. */
  levelAt?(s: S, p: P, atUs: number, nowUs: number): number;
  /** Gives `amount` > 0 back, never above full, and what `reserve` took beyond it. */
  giveBack(s: S, p: P, amount: number, extra?: number): void;
  /** Time until the state is the same as a fresh one, 0 if it is. */
  timeToFull(s: S, p: P, nowUs: number): number;
  /**
   * The same after a consume that left `available`. `rest` is the third number that fast.lua returned, which only
   * its kernel can read: a bucket's remainder, the time until a window ends or has faded. Kernels with that file have this.
   */
  timeToFullAt?(p: P, available: number, rest: number): number;
  /** An independent copy. */
  copy(s: S): S;
  /** The parameters as the script reads them. */
  numbers(p: P): readonly number[];
  /**
   * Whether Redis holds the state as one string, which one command reads for a whole batch; else it is of another
   * type, and its kernel reads it itself.
   */
  readonly isOneValue: boolean;
  /** What to tell a caller whose call met LOG_FULL; kernels whose `ready` never says so leave it out. */
  fullError?(): InvalidOptionError;
  /** Bytes in memory of a state that is more than a row; kernels whose states are rows leave it out. */
  besideBytes?(s: S): number;
  /** How memory packs the state in a row of doubles; left out if a state is more than a few numbers. */
  readonly row?: RowLayout<S> | undefined;
  /**
   * Decides the usual consume on the row itself, which begins at `at`: one on a state with nothing beside its row, on a
   * clock that did not go back. False if the call is not of this kind: then nothing has changed. It does what `decide`
   * would, in memory, as fast.lua does in Redis; it is in fast.ts. A denial changes nothing, so a caller that blocks on
   * denials must ask `decide`.
   */
  consumeRow?(
    row: Float64Array,
    at: number,
    p: P,
    cost: number,
    rawUs: number,
    answer: RowAnswer,
  ): boolean;
}

/** Room for the answer of a consume that was decided on its row: a part of a debit. */
export interface RowAnswer {
  /** Admitted, or denied by quota. */
  reason: number;
  /** Thousandths left after the call. */
  available: number;
  /** Until the cost fits; 0 if it does. */
  waitUs: number;
  /** Until the key is as if never seen. */
  resetUs: number;
}

/** Positions in a row: the expiry in ms, negative if the key must be kept; the last change; what its kernel packs there. */
export const ROW_EXPIRY = 0;
export const ROW_LAST = 1;
export const ROW_KERNEL = 2;

/** A state as `width` consecutive doubles, without what every state has. */
export interface RowLayout<S> {
  /** Numbers in a row. */
  readonly width: number;
  /** Reads a state from a row. */
  load(s: S, row: Float64Array, at: number): void;
  /** Writes a state to a row. */
  save(s: S, row: Float64Array, at: number): void;
}

/** A policy made ready to decide with. */
export interface Compiled<P extends Params = Params, S extends State = State> {
  /** What decides. */
  readonly kernel: Kernel<P, S>;
  /** The policy's numbers, as the kernel takes them. */
  readonly params: P;
  /** The window's length, or how long an empty bucket takes to fill: whole ms, rounded up; 0 = there is no limit. */
  readonly windowMs: number;
  /** The same for windows of different lengths. */
  windowMsAt?(nowUs: number): number;
  /**
   * Whether the policy speaks of times of day, so that a store inside the process decides it by the wall clock; left out if
   * only spans of time count.
   */
  readonly byWallClock?: boolean | undefined;
  /** Makes `params` cover `nowUs`: calendars only. */
  refresh?(nowUs: number): void;
}

/** Debts and counts saturate here, so that every sum stays exact: 2^45 thousandths, about 35 thousand million units. */
export const MAX_USED = 2 ** 45;

/** The capacity of a policy without a limit: more than any call can ask for. */
export const UNLIMITED = 2 ** 52;
