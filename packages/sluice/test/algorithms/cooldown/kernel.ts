/** What was admitted since the key last rested for a whole period. Maths: README.md. */
import {
  FRESH,
  type Kernel,
  MAX_USED,
  type Params,
  type State,
} from "../../../src/algorithms/kernel.js";

export interface CooldownParams extends Params {
  readonly period: number;
}

export interface CooldownState extends State {
  used: number;
  /** When the key has rested; of no meaning while nothing is used. */
  restedUs: number;
}

export const cooldownKernel: Kernel<CooldownParams, CooldownState> = {
  tag: "z",
  isOneValue: false,
  fresh: () => ({ used: 0, restedUs: 0, ...FRESH }),
  clear: (s) => void Object.assign(s, { used: 0, restedUs: 0, ...FRESH }),
  advance(s, _p, nowUs) {
    if (nowUs >= s.restedUs) s.used = 0;
  },
  available: (s, p) => p.capacity - s.used,
  timeUntil: (s, _p, _amount, nowUs) => s.restedUs - nowUs,
  take(s, p, amount, nowUs) {
    s.used = Math.min(s.used + amount, MAX_USED);
    s.restedUs = nowUs + p.period;
  },
  giveBack(s, _p, amount) {
    s.used = Math.max(0, s.used - amount);
  },
  timeToFull: (s, _p, nowUs) => (s.used === 0 ? 0 : s.restedUs - nowUs),
  copy: (s) => ({ ...s }),
  numbers: (p) => [p.capacity, p.period],
};
