/** Traces whose calls are not waited for one by one. */
import { expect } from "vitest";
import type { Store } from "../../src/index.js";
import { reachable } from "../../src/testing/conformance.js";
import { TracePlayer } from "../../src/testing/trace-player.js";
import { type ManualClock, PureStore } from "../../src/testing/index.js";
import { Random } from "../../src/core/random.js";
import type { Trace, TraceStep } from "../../src/testing/trace.js";

/** The trace's steps in bursts of one to six that nobody waits between. */
function burstsOf({ seed, steps, variants, atomicAcrossKeys }: Trace): TraceStep[][] {
  const random = new Random(seed);
  // A calendar that has to be sent anew puts a call behind those of its burst, which is allowed.
  const isCalendar = variants.flat().some(({ algorithm }) => algorithm === "calendar-window");
  const left = steps.map((step) =>
    isCalendar ? { ...step, advanceUs: Math.abs(step.advanceUs) } : step,
  );
  const bursts: TraceStep[][] = [];
  while (left.length > 0) {
    const burst = left.splice(0, random.int(1, 6));
    // On several servers the second reservation may be answered first, and then a cancel means the other one.
    const [, second] = burst.flatMap(({ verb }, i) => (verb === "reserve" ? [i] : []));
    if (!atomicAcrossKeys && second !== undefined) left.unshift(...burst.splice(second));
    bursts.push(burst);
  }
  return bursts;
}

/** Expects that each burst is answered as one call after another by the pure kernels. */
export async function playInBursts(
  store: Store,
  clock: ManualClock,
  namespace: string,
  trace: Trace,
): Promise<void> {
  const pure = new PureStore(clock);
  await using model = new TracePlayer(pure, namespace, trace);
  await using subject = new TracePlayer(store, namespace, trace);
  for (const [i, burst] of burstsOf(trace).entries()) {
    const advanceUs = burst[0]?.advanceUs ?? 0;
    clock.set(reachable(pure, clock.nowUs(), clock.nowUs() + advanceUs));
    const expected = await Promise.all(burst.map((step) => model.perform(step)));
    const actual = await Promise.all(burst.map((step) => subject.perform(step)));
    expect(actual, `seed ${trace.seed}, burst ${i}: ${JSON.stringify(burst)}`).toEqual(expected);
  }
}
