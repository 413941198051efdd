/**
 * The sliding log: every admitted hit with a running sum, so that "how much was admitted since" is one
 * subtraction and "when does this much leave" one binary search. Exact. Twin: kernel.lua. Maths: README.md.
 */
import { InvalidOptionError } from "../../core/errors.js";
import { FRESH, type Kernel, LOG_FULL, type Params, READY, type State } from "../kernel.js";
import { ArrayHitLog, type HitLog } from "./hits.js";

export interface SlidingLogParams extends Params {
  readonly window: number;
}

export interface SlidingLogState extends State {
  /** Hits are stored from `first`; those from `head` up to `next` are still in the window. */
  first: number;
  head: number;
  next: number;
  /** What the hits from `head` on sum up to, less what was given back. */
  live: number;
  /** Running sum of everything ever admitted, modulo SUM_MODULUS. */
  total: number;
  /** The longest window that the hits were admitted under, and until when it rules. */
  windowUs: number;
  windowUntilUs: number;
  hits: HitLog;
}

/** The most hits that are stored for a key. */
export const MAX_HITS = 10_000;
/** Hits forgotten in one call, so that no call pays for many. */
const MAX_PRUNED = 100;
/** Debt saturates here: a thousand million units. */
const MAX_LIVE = 2 ** 40;
/** Sums wrap here: far above what one window can hold, and a sum of two is still exact. */
const SUM_MODULUS = 2 ** 52;

/** Bytes of a log without its hits, and of a hit in arrays that have just grown. */
const STATE_BYTES = 512;
const HIT_BYTES = 32;

/** What was admitted after the hit whose running sum is `sum`. */
function since(s: SlidingLogState, sum: number): number {
  const units = s.total - sum;
  return units < 0 ? units + SUM_MODULUS : units;
}

/** The first hit from `s.head` for which `holds`, which is false and then true; `s.next` if none. */
function search(s: SlidingLogState, holds: (seq: number) => boolean): number {
  let low = s.head;
  let step = 1;
  // Galloping from the head: usually none or few hits have left.
  while (low + step <= s.next && !holds(low + step - 1)) {
    low += step;
    step *= 2;
  }
  let high = Math.min(low + step - 1, s.next);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function advance(s: SlidingLogState, p: SlidingLogParams, nowUs: number): void {
  if (p.window > s.windowUs || nowUs >= s.windowUntilUs) s.windowUs = p.window;
  const leftUs = nowUs - s.windowUs;
  const head = search(s, (seq) => s.hits.at(seq) > leftUs);
  if (head > s.head) {
    s.live = Math.min(s.live, since(s, s.hits.sum(head - 1)));
    s.head = head;
  }
}

/** When a hit of `atUs` leaves: a window longer than the policy's rules only until `windowUntilUs`. */
function leavesUs(s: SlidingLogState, p: SlidingLogParams, atUs: number): number {
  const leftUs = atUs + s.windowUs;
  return leftUs <= s.windowUntilUs ? leftUs : Math.max(s.windowUntilUs, atUs + p.window);
}

function available(s: SlidingLogState, p: SlidingLogParams): number {
  return p.capacity - s.live;
}

function timeUntil(s: SlidingLogState, p: SlidingLogParams, amount: number, nowUs: number): number {
  const last = search(s, (seq) => since(s, s.hits.sum(seq)) <= p.capacity - amount);
  return leavesUs(s, p, s.hits.at(last)) - nowUs;
}

/** Whether the newest hit can carry one more: calls of the same µs are one hit. */
const isNewest = (s: SlidingLogState, nowUs: number): boolean =>
  s.next > s.head && s.hits.at(s.next - 1) === nowUs;

function ready(
  s: SlidingLogState,
  _p: SlidingLogParams,
  nowUs: number,
): typeof READY | typeof LOG_FULL {
  return s.next - s.head < MAX_HITS || isNewest(s, nowUs) ? READY : LOG_FULL;
}

function take(s: SlidingLogState, p: SlidingLogParams, amount: number, nowUs: number): void {
  const taken = Math.min(amount, MAX_LIVE - s.live);
  s.live += taken;
  s.total = (s.total + taken) % SUM_MODULUS;
  const seq = isNewest(s, nowUs) ? s.next - 1 : s.next;
  s.hits.set(seq, nowUs, s.total);
  s.next = seq + 1;
  if (p.window >= s.windowUs) s.windowUntilUs = nowUs + p.window;
  prune(s);
}

function prune(s: SlidingLogState): void {
  const to = Math.min(s.head, s.first + MAX_PRUNED);
  if (to > s.first) s.hits.drop(s.first, to);
  s.first = to;
}

/** The oldest first: the newest stay longest in the window, so nothing comes back too early. */
function giveBack(s: SlidingLogState, _p: SlidingLogParams, amount: number): void {
  s.live = Math.max(0, s.live - amount);
}

function timeToFull(s: SlidingLogState, p: SlidingLogParams, nowUs: number): number {
  return s.live === 0 ? 0 : leavesUs(s, p, s.hits.at(s.next - 1)) - nowUs;
}

const fresh = (): SlidingLogState => ({
  first: 0,
  head: 0,
  next: 0,
  live: 0,
  total: 0,
  windowUs: 0,
  windowUntilUs: 0,
  hits: new ArrayHitLog(),
  ...FRESH,
});

export const slidingLogKernel: Kernel<SlidingLogParams, SlidingLogState> = {
  tag: "l",
  fresh,
  clear: (s) => void Object.assign(s, fresh()),
  advance,
  available,
  timeUntil,
  ready,
  take,
  giveBack,
  timeToFull,
  copy: (s) => ({ ...s, hits: s.hits.copy() }),
  numbers: (p) => [p.capacity, p.window],
  isOneValue: false,
  besideBytes: (s) => STATE_BYTES + s.hits.stored * HIT_BYTES,
  fullError: () =>
    new InvalidOptionError(
      "cost",
      "one more hit",
      `at most ${MAX_HITS} stored hits a key; use slidingWindow or a bucket for more, smaller ones`,
    ),
};
