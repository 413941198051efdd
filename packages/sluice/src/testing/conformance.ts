/**
 * The conformance suite of stores: whatever decides must answer what every algorithm's worked examples
 * say and, step by step on random traces, exactly what the pure kernels answer. It knows no test runner:
 * each case is a name and a function that throws.
 */
import { isDeepStrictEqual } from "node:util";
import type { Policy } from "../algorithms/registry.js";
import { type Clock, systemClock } from "../core/clock.js";
import { consumeAtomic } from "../limiter/consume-atomic.js";
import { RateLimiter } from "../limiter/rate-limiter.js";
import type { Granted } from "../limiter/waiting/reserve.js";
import type { Store } from "../stores/store.js";
import { caseTables, playCase } from "./case-tables.js";
import { ManualClock } from "./manual-clock.js";
import { PureStore } from "./pure-store.js";
import { makeTrace, type Trace, type TraceStep } from "./trace.js";

/** A case of the suite. */
export interface ConformanceCase {
  readonly name: string;
  /** Throws where the store differs, with the seed and the shortest trace found that shows it. */
  readonly run: () => Promise<void>;
}

export interface StoreConformanceOptions {
  /** A store that decides by `clock`. Called once a case; keys of a case are its own. */
  createStore(clock: Clock): Store | Promise<Store>;
  /** false for a store whose calls cannot span identities, such as a Cluster; default true. */
  readonly atomicAcrossKeys?: boolean;
  /** Random traces; default 1000. */
  readonly traces?: number;
  /** Steps of each; default 50. */
  readonly steps?: number;
  /** Default: random. The name of each case tells it. */
  readonly seed?: number;
  /** Traces a case; default 100. */
  readonly tracesPerCase?: number;
}

/**
 * The cases that a store must pass.
 *
 * @example
 * import { MemoryStore } from "sluice";
 * import { storeConformance } from "sluice/testing";
 * const cases = storeConformance({ createStore: (clock) => new MemoryStore({ clock }), traces: 5 });
 * for (const { run } of cases) await run(); // in a test runner: test(name, run)
 */
export function storeConformance(options: StoreConformanceOptions): readonly ConformanceCase[] {
  const { traces = 1000, steps = 50, tracesPerCase = 100 } = options;
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 31);
  const count = Math.ceil(traces / tracesPerCase);
  const random = Array.from({ length: count }, (_, i) => {
    const first = seed + i * tracesPerCase;
    const last = Math.min(seed + traces, first + tracesPerCase) - 1;
    return {
      name: `answers as the pure kernels do on traces ${first} to ${last}`,
      run: () => checkTraces(options, first, last, steps),
    };
  });
  return [...tableCases(options), ...random];
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

/** Where two answers first differ. */
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
  await using subject = play(store, namespace, trace);
  await using model = play(pure, namespace, trace);
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

/** A trace's limiters at work. */
export interface Player extends AsyncDisposable {
  /** The verb's answer, or `{ error }`; the clock is the caller's. */
  perform(step: TraceStep): Promise<unknown>;
}

/** Makes the limiters of a trace on `store`. */
export function play(
  store: Store,
  namespace: string,
  { variants, blockForMs, atomicAcrossKeys }: Trace,
): Player {
  const base = variants[0] as readonly Policy[];
  const limiterOf = (policy: readonly Policy[]): RateLimiter =>
    new RateLimiter({
      store,
      namespace,
      ...(blockForMs > 0 && { blockFor: blockForMs }),
      policy,
      onStoreFailure: "throw",
      // Every answer must be the store's own, at the time of a clock that only the store knows.
      denyCache: false,
      timeout: "30s",
    });
  const all = limiterOf(base);
  const held: Granted[] = [];
  const performOn = async (limiter: RateLimiter, step: TraceStep): Promise<unknown> => {
    const { verb, key, cost, durationMs, keepLonger = false, variant, alone } = step;
    const options = variants[variant] as readonly Policy[];
    const chosen = alone === undefined ? options : options.slice(alone, alone + 1);
    const policy = chosen.length === 1 ? (chosen[0] as Policy) : chosen;
    switch (verb) {
      case "consume":
      case "consumeUpTo":
      case "peek":
        return limiter[verb](key, { cost, policy });
      case "reserve": {
        const reservation = await limiter.reserve(key, { cost, maxWait: step.maxWaitMs });
        if (!reservation.allowed) return reservation;
        held.push(reservation);
        const { delayMs, readyAtUs, decision } = reservation;
        return { delayMs, readyAtUs, decision };
      }
      case "cancel":
        return held.splice(-1 - step.back, 1)[0]?.cancel();
      case "consumeMany":
        return limiter.consumeMany([{ key, cost }, { key: "b" }, { key }]);
      case "consumeAtomic":
        return consumeAtomic([
          { limiter, key, cost },
          { limiter, key: atomicAcrossKeys ? "b" : key, cost: 1 },
        ]);
      case "refund":
      case "penalize":
        return limiter[verb](key, cost);
      case "block":
        return limiter.block(key, durationMs, { keepLonger });
      case "unblock":
      case "reset":
        return limiter[verb](key);
    }
  };
  const perform = async (step: TraceStep): Promise<unknown> => {
    const { alone } = step;
    if (alone === undefined) return performOn(all, step);
    // Gone again when the others wait in line: as if in another process, which they know nothing of.
    const limiter = limiterOf(base.slice(alone, alone + 1));
    try {
      return await performOn(limiter, step);
    } finally {
      await limiter.close();
    }
  };
  return {
    perform: (step) => perform(step).catch((error: unknown) => ({ error: String(error) })),
    [Symbol.asyncDispose]: () => all.close(),
  };
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
