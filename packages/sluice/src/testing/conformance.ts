/**
 * The conformance suite of stores: whatever decides must answer what every algorithm's worked examples
 * say and, step by step on random traces, exactly what the pure kernels answer; and nothing once it is closed. It knows
 * no test runner: each case is a name and a function that throws.
 */
import { isDeepStrictEqual } from "node:util";
import { type Clock, systemClock } from "../core/clock.js";
import {
  byDefault,
  checkBoolean,
  checkFunction,
  aCount,
  optional,
  optionReader,
} from "../core/options.js";
import type { Store } from "../stores/store.js";
import { caseTables, playCase } from "./case-tables.js";
import { checkClosing } from "./closing-case.js";
import { ManualClock } from "./manual-clock.js";
import { PureStore } from "./pure-store.js";
import { makeTrace, type Trace } from "./trace.js";
import { TracePlayer } from "./trace-player.js";

/** A case of the suite. */
export interface ConformanceCase {
  /** What the case shows, in words. */
  readonly name: string;
  /** Throws if the store differs, with the seed and the shortest trace found that shows it. */
  readonly run: () => Promise<void>;
}

/** Options of `storeConformance`. */
export interface StoreConformanceOptions {
  /** A store that decides by `clock`. Called once a case; keys of a case are its own. */
  createStore(clock: Clock): Store | Promise<Store>;
  /**
   * false for a store whose calls span no identities but those in one slot, such as a Cluster: ids that begin with the same
   * text in braces, and the id that is that text. Default true.
   */
  readonly atomicAcrossKeys?: boolean | undefined;
  /** Random traces; default 1000. */
  readonly traces?: number | undefined;
  /** Steps of each; default 50. */
  readonly steps?: number | undefined;
  /** Default: random. The name of each case tells it. */
  readonly seed?: number | undefined;
  /** Traces a case; default 100. */
  readonly tracesPerCase?: number | undefined;
}

const MOST_TRACES = 1e9;
const CONFORMANCE_OPTIONS = optionReader<StoreConformanceOptions>()({
  createStore: checkFunction,
  atomicAcrossKeys: byDefault(true, checkBoolean),
  traces: byDefault(1000, aCount(0, MOST_TRACES)),
  steps: byDefault(50, aCount(1, MOST_TRACES)),
  seed: optional(aCount(0, 2 ** 32)),
  tracesPerCase: byDefault(100, aCount(1, MOST_TRACES)),
});

/**
 * The cases that a store must pass.
 *
 * @throws InvalidOptionError
 * @example
 * import { MemoryStore } from "sluice";
 * import { storeConformance } from "sluice/testing";
 * const cases = storeConformance({ createStore: (clock) => new MemoryStore({ clock }), traces: 5 });
 * for (const { run } of cases) await run(); // in a test runner: test(name, run)
 */
export function storeConformance(options: StoreConformanceOptions): readonly ConformanceCase[] {
  const checked = CONFORMANCE_OPTIONS.read(options);
  const { traces, steps, tracesPerCase, seed = Math.floor(Math.random() * 2 ** 31) } = checked;
  const count = Math.ceil(traces / tracesPerCase);
  const random = Array.from({ length: count }, (_, i) => {
    const first = seed + i * tracesPerCase;
    const last = Math.min(seed + traces, first + tracesPerCase) - 1;
    return {
      name: `answers as the pure kernels do on traces ${first} to ${last}`,
      run: () => checkTraces(options, first, last, steps),
    };
  });
  const closing = {
    name: "a closed store settles what is under way, and decides nothing more",
    run: async () => checkClosing(await options.createStore(new ManualClock()), ownNamespace()),
  };
  return [...tableCases(options), closing, ...random];
}

function tableCases(options: StoreConformanceOptions): ConformanceCase[] {
  return Object.entries(caseTables).flatMap(([table, examples]) =>
    examples.map((example) => ({
      name: `${table}: ${example.name}`,
      run: async (): Promise<void> => {
        const clock = new ManualClock();
        const store = await options.createStore(clock);
        try {
          await playCase(store, clock, ownNamespace(), example);
        } finally {
          await store.close();
        }
      },
    })),
  );
}

async function checkTraces(
  options: StoreConformanceOptions,
  first: number,
  last: number,
  steps: number,
): Promise<void> {
  const clock = new ManualClock();
  const store = await options.createStore(clock);
  try {
    for (let seed = first; seed <= last; seed++) {
      const trace = {
        ...makeTrace(seed, steps),
        atomicAcrossKeys: options.atomicAcrossKeys ?? true,
      };
      const difference = await firstDifference(store, clock, trace);
      if (difference !== undefined) throw new Error(await report(store, clock, trace, difference));
    }
  } finally {
    await store.close();
  }
}

/** The first difference of two answers. */
export interface Difference {
  readonly step: number;
  readonly expected: unknown;
  readonly actual: unknown;
}

let runs = 0;

/** Keys of one's own for each play, and a namespace too, since options differ from one to the next. */
function ownNamespace(): string {
  runs += 1;
  return `conformance.${process.pid}.${systemClock.nowUs().toString(36)}.${runs}`;
}

/** Plays a trace on the store and on the pure kernels side by side. */
async function firstDifference(
  store: Store,
  clock: ManualClock,
  trace: Trace,
): Promise<Difference | undefined> {
  const pure = new PureStore(clock);
  const namespace = ownNamespace();
  await using subject = new TracePlayer(store, namespace, trace);
  await using model = new TracePlayer(pure, namespace, trace);
  clock.set(trace.startMs * 1e3);
  for (const [i, step] of trace.steps.entries()) {
    clock.set(reachable(pure, clock.nowUs(), clock.nowUs() + step.advanceUs));
    const expected = await model.perform(step);
    const actual = await subject.perform(step);
    if (!isDeepStrictEqual(actual, expected)) return { step: i, expected, actual };
  }
  return undefined;
}

/** Not back over an expiry: a store may forget there what the kernels still know, see docs/architecture.md. */
export function reachable(pure: PureStore, fromUs: number, toUs: number): number {
  let nowUs = toUs;
  for (const { expiresAtUs } of pure.lifetimes().values()) {
    if (expiresAtUs <= fromUs && expiresAtUs > nowUs) nowUs = expiresAtUs;
  }
  return nowUs;
}

/** Drops steps as long as what is left still shows a difference. */
async function shrink(store: Store, clock: ManualClock, trace: Trace): Promise<Trace> {
  let shortest = trace;
  for (let size = Math.ceil(trace.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < shortest.steps.length; ) {
      const steps = [...shortest.steps.slice(0, at), ...shortest.steps.slice(at + size)];
      const shorter = { ...shortest, steps };
      if ((await firstDifference(store, clock, shorter)) === undefined) at += size;
      else shortest = shorter;
    }
  }
  return shortest;
}

async function report(
  store: Store,
  clock: ManualClock,
  trace: Trace,
  found: Difference,
): Promise<string> {
  const upTo = { ...trace, steps: trace.steps.slice(0, found.step + 1) };
  const shortest = await shrink(store, clock, upTo);
  const difference = (await firstDifference(store, clock, shortest)) ?? found;
  return [
    `seed ${trace.seed}: the store differs from the pure kernels at step ${difference.step}`,
    `policies ${JSON.stringify(shortest.variants)}, start ${shortest.startMs}, blockFor ${shortest.blockForMs}`,
    ...shortest.steps.map((step) => JSON.stringify(step)),
    `expected ${JSON.stringify(difference.expected)}`,
    `actual   ${JSON.stringify(difference.actual)}`,
  ].join("\n");
}
