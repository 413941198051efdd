/**
 * A count and the end of its window: one kernel for fixed and calendar windows, which differ only in
 * where a window that opens now ends. Twin: kernel.lua. Maths: README.md.
 */
import {
  FRESH,
  type Kernel,
  MAX_USED,
  NEED_CALENDAR,
  type Params,
  READY,
  type State,
} from "../kernel.js";
import { consumeFromWindow, type EndOf } from "./fast.js";

export interface WindowState extends State {
  count: number;
  /** End of the open window; 0 = none is open. */
  endUs: number;
}

function advance(s: WindowState, _p: Params, nowUs: number): void {
  if (nowUs >= s.endUs || s.count === 0) {
    s.count = 0;
    s.endUs = 0;
  }
}

function available(s: WindowState, p: Params): number {
  return p.capacity - s.count;
}

function timeUntil(s: WindowState, _p: Params, _amount: number, nowUs: number): number {
  return s.endUs - nowUs;
}

function giveBack(s: WindowState, _p: Params, amount: number): void {
  s.count = Math.max(0, s.count - amount);
}

function timeToFull(s: WindowState, _p: Params, nowUs: number): number {
  return s.count === 0 ? 0 : s.endUs - nowUs;
}

function clear(s: WindowState): void {
  s.count = 0;
  s.endUs = 0;
  s.lastUs = 0;
  s.blockedUntilUs = 0;
  s.reservations = undefined;
  s.expiryMs = 0;
}

/** The kernel of windows that end where `endOf` says. */
export function windowKernel<P extends Params>(
  tag: string,
  endOf: EndOf<P>,
  numbers: (p: P) => readonly number[],
): Kernel<P, WindowState> {
  return {
    tag,
    fresh: () => ({ count: 0, endUs: 0, ...FRESH }),
    clear,
    advance,
    available,
    timeUntil,
    ready: (s, p, nowUs) => (s.count > 0 || endOf(p, nowUs) > 0 ? READY : NEED_CALENDAR),
    take(s, p, amount, nowUs) {
      if (s.count === 0) s.endUs = endOf(p, nowUs);
      s.count = Math.min(s.count + amount, MAX_USED);
    },
    giveBack,
    timeToFull,
    // The fast path answers with the time until the window ends, which is the same for all its calls.
    timeToFullAt: (_p, _available, untilEndUs) => untilEndUs,
    copy: (s) => ({ ...s }),
    numbers,
    isOneValue: true,
    row: {
      width: 2,
      load(s, row, at) {
        s.count = row[at] as number;
        s.endUs = row[at + 1] as number;
      },
      save(s, row, at) {
        row[at] = s.count;
        row[at + 1] = s.endUs;
      },
    },
    consumeRow: consumeFromWindow(endOf),
  };
}

export interface FixedWindowParams extends Params {
  readonly window: number;
  /** Whether the first hit opens a window; else windows are multiples of their length. */
  readonly first: boolean;
}

export const fixedWindowKernel = windowKernel<FixedWindowParams>(
  "f",
  (p, nowUs) => (p.first ? nowUs + p.window : (Math.floor(nowUs / p.window) + 1) * p.window),
  (p) => [p.capacity, p.window, p.first ? 1 : 0],
);
