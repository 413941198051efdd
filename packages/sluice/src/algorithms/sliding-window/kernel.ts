/**
 * The sliding window: the running window's count, plus the one before it weighted by how much of it
 * a window that ends now still covers. Twin: kernel.lua. Maths: README.md.
 */
import { mulDiv, remainder } from "../../core/mul-div.js";
import { FRESH, type Kernel, MAX_USED, type State } from "../kernel.js";
import { consumeFromSlidingWindow, type SlidingWindowParams } from "./fast.js";

export interface SlidingWindowState extends State {
  previous: number;
  current: number;
  /** End and length of the running window; it runs to its end even if the policy's length changes. */
  endUs: number;
  widthUs: number;
}

const isFresh = (s: SlidingWindowState): boolean => s.previous === 0 && s.current === 0;

function advance(s: SlidingWindowState, p: SlidingWindowParams, nowUs: number): void {
  if (!isFresh(s) && nowUs >= s.endUs) {
    const passed = Math.floor((nowUs - s.endUs) / p.window);
    s.previous = passed === 0 ? s.current : 0;
    s.current = 0;
    s.endUs += (passed + 1) * p.window;
    s.widthUs = p.window;
  }
  if (isFresh(s)) {
    s.endUs = (Math.floor(nowUs / p.window) + 1) * p.window;
    s.widthUs = p.window;
  }
}

/** The previous window's share, rounded up: against the caller, by less than a thousandth. */
function weighted(s: SlidingWindowState, nowUs: number): number {
  const share = mulDiv(s.previous, s.endUs - nowUs, s.widthUs);
  return (remainder[0] as number) > 0 ? share + 1 : share;
}

function available(s: SlidingWindowState, p: SlidingWindowParams, nowUs: number): number {
  return p.capacity - s.current - weighted(s, nowUs);
}

/** Time into a window of `width` at which a count of `previous` has faded to `target` or less. */
function fadeTime(previous: number, target: number, width: number): number {
  return previous <= target ? 0 : width - mulDiv(target, width, previous);
}

function timeUntil(
  s: SlidingWindowState,
  p: SlidingWindowParams,
  amount: number,
  nowUs: number,
): number {
  const target = p.capacity - s.current - amount;
  if (target >= 0) return s.endUs - s.widthUs + fadeTime(s.previous, target, s.widthUs) - nowUs;
  return s.endUs + fadeTime(s.current, p.capacity - amount, p.window) - nowUs;
}

function take(s: SlidingWindowState, _p: SlidingWindowParams, amount: number): void {
  s.current = Math.min(s.current + amount, MAX_USED);
}

/** The newest first: what stays in the current window fades later, so nothing comes back too early. */
function giveBack(s: SlidingWindowState, _p: SlidingWindowParams, amount: number): void {
  const older = Math.max(0, amount - s.current);
  s.current = Math.max(0, s.current - amount);
  s.previous = Math.max(0, s.previous - older);
}

function timeToFull(s: SlidingWindowState, p: SlidingWindowParams, nowUs: number): number {
  if (s.current > 0) return s.endUs + p.window - nowUs;
  return s.previous > 0 ? s.endUs - nowUs : 0;
}

function clear(s: SlidingWindowState): void {
  s.previous = 0;
  s.current = 0;
  s.endUs = 0;
  s.widthUs = 0;
  s.lastUs = 0;
  s.blockedUntilUs = 0;
  s.reservations = undefined;
  s.expiryMs = 0;
}

export const slidingWindowKernel: Kernel<SlidingWindowParams, SlidingWindowState> = {
  tag: "s",
  fresh: () => ({ previous: 0, current: 0, endUs: 0, widthUs: 0, ...FRESH }),
  clear,
  advance,
  available,
  timeUntil,
  take,
  giveBack,
  timeToFull,
  // The fast path answers with the time until the last unit has faded, which is the same for all its calls.
  timeToFullAt: (_p, _available, untilFadedUs) => untilFadedUs,
  copy: (s) => ({ ...s }),
  numbers: (p) => [p.capacity, p.window],
  isOneValue: true,
  row: {
    width: 4,
    load(s, row, at) {
      s.previous = row[at] as number;
      s.current = row[at + 1] as number;
      s.endUs = row[at + 2] as number;
      s.widthUs = row[at + 3] as number;
    },
    save(s, row, at) {
      row[at] = s.previous;
      row[at + 1] = s.current;
      row[at + 2] = s.endUs;
      row[at + 3] = s.widthUs;
    },
  },
  consumeRow: consumeFromSlidingWindow,
};
