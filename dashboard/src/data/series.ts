/** The seconds of the last quarter of an hour: put together from answers, added up, and summed for a table. */
import type { Counts, Second } from "../../../packages/cli/src/dashboard/wire.js";

export const WINDOW_MS = 15 * 60_000;
/** Longer than a span between two looks, as a rule. */
const SPAN_MS = 2000;

const COUNTED = ["asked", "allowed", "denied", "near", "withoutStore", "shadowDenied"] as const;

/** What was had, then what came: a second that comes again replaces itself. What is older than the window goes. */
export function mergeSeconds(
  had: readonly Second[],
  came: {
    readonly isContinued: boolean;
    readonly seconds: readonly Second[];
    readonly nowMs: number;
  },
): readonly Second[] {
  const from = came.nowMs - WINDOW_MS;
  const first = came.seconds[0]?.fromMs ?? Number.POSITIVE_INFINITY;
  const kept = came.isContinued ? had.filter(({ fromMs }) => fromMs < first) : [];
  return [...kept, ...came.seconds].filter(({ fromMs, spanMs }) => fromMs + spanMs > from);
}

/** The shortest of 2, 5 and 15 minutes that holds all that was asked: ms. */
export function windowOf(seconds: readonly Second[]): number {
  const first = seconds.findIndex(({ asked }) => asked > 0);
  if (first === -1) return WINDOW_MS;
  const spanMs = lengthOf(seconds.slice(first));
  return [120_000, 300_000].find((each) => spanMs <= each) ?? WINDOW_MS;
}

/** How much time was counted, at most the window: ms. A span begins before the window or ends a moment short of it. */
export function coveredMs(seconds: readonly Second[]): number {
  const spanMs = lengthOf(seconds);
  return spanMs > WINDOW_MS - SPAN_MS ? WINDOW_MS : spanMs;
}

/** From the first to the end of the last: ms. */
function lengthOf(seconds: readonly Second[]): number {
  const [first, last] = [seconds[0], seconds.at(-1)];
  return first === undefined || last === undefined ? 0 : last.fromMs + last.spanMs - first.fromMs;
}

/** All counts together. */
export function sumOf(seconds: readonly Counts[]): Counts {
  const sum = { asked: 0, allowed: 0, denied: 0, near: 0, withoutStore: 0, shadowDenied: 0 };
  for (const second of seconds) for (const name of COUNTED) sum[name] += second[name];
  return sum;
}

/** What was counted in the last `windowMs`, a second; and in how many ms: fewer if there are no more. */
export function meanOf(
  seconds: readonly Second[],
  windowMs: number,
): { readonly perSecond: Counts; readonly spanMs: number } {
  const last = seconds.at(-1);
  const from = last === undefined ? 0 : last.fromMs + last.spanMs - windowMs;
  // The last one in any case, though it be longer than the window.
  const within = seconds.filter((second) => second.fromMs >= from || second === last);
  const first = within[0];
  const spanMs =
    first === undefined || last === undefined ? 0 : last.fromMs + last.spanMs - first.fromMs;
  const perSecond = { ...sumOf(within) };
  for (const name of COUNTED) perSecond[name] /= Math.max(spanMs, 1) / 1000;
  return { perSecond, spanMs };
}

/** By whole minutes, the newest first: what the table beside the chart has. */
export function minutesOf(seconds: readonly Second[]): readonly Second[] {
  const minutes = new Map<number, Second[]>();
  for (const second of seconds) {
    const minute = Math.floor(second.fromMs / 60_000) * 60_000;
    const within = minutes.get(minute);
    if (within === undefined) minutes.set(minute, [second]);
    else within.push(second);
  }
  return [...minutes]
    .map(([fromMs, within]) => ({ fromMs, spanMs: 60_000, ...sumOf(within) }))
    .toReversed();
}
