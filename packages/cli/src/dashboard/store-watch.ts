/** What this process sees of its stores: rates and latencies of the last minute, breakers, and outages from and to. */
import { type HistogramStats, MemoryStore, type Store, type Unanswered } from "sluice";
import type { Outage, StoreState } from "./wire.js";

/** What a store outside the process counts: `stats()` of a RedisStore or a RemoteStore. */
interface Counted {
  readonly calls: {
    readonly answered: number;
    readonly failed: number;
    readonly aborted: number;
  };
  readonly tripMs: { readonly ok: HistogramStats };
  readonly batchCalls: HistogramStats;
  readonly openParts: readonly string[];
  readonly probedParts: readonly string[];
}

interface Sample {
  readonly atMs: number;
  readonly stats: Counted;
}

const KEPT_MS = 60_000;
const MOST_OUTAGES = 20;
const MOST_PARTS = 100;

const ANSWERS = {
  local: "local",
  failOpen: "open",
  failClosed: "closed",
  fallback: "fallback",
  thrown: "throw",
} as const satisfies Partial<Record<keyof Unanswered, string>>;

interface Met {
  readonly part: string;
  readonly fromMs: number;
  toMs: number | undefined;
  calls: number | undefined;
  answered: string | undefined;
}

export class StoreWatch {
  readonly #store: Store;
  readonly #nowMs: () => number;
  readonly #answersNow: () => string;
  readonly #ends: readonly (() => void)[];
  readonly #parts = new Set<string>();
  /** The oldest first. */
  readonly #outages: Met[] = [];
  #samples: Sample[] = [];

  /** `answersNow` says how callers are answered while the store is away. */
  constructor(store: Store, nowMs: () => number, answersNow: () => string) {
    this.#store = store;
    this.#nowMs = nowMs;
    this.#answersNow = answersNow;
    const { events } = store;
    this.#ends =
      events === undefined
        ? []
        : [
            events.on("failure", ({ error, part = "" }) => {
              if (isOutage(error)) this.#began(part);
            }),
            events.on("recovery", ({ part = "", outageMs, unanswered }) => {
              this.#ended(part, outageMs, unanswered);
            }),
          ];
  }

  /** Takes the counts of now; to be called about once a second. */
  look(): void {
    const stats = countedBy(this.#store);
    if (stats === undefined) return;
    const atMs = this.#nowMs();
    for (const part of stats.openParts) this.#notePart(part);
    const last = this.#samples.at(-1);
    // After a pause nothing can be said of the last minute.
    if (last !== undefined && (atMs < last.atMs || atMs - last.atMs > KEPT_MS)) this.#samples = [];
    this.#samples.push({ atMs, stats });
    while ((this.#samples[1]?.atMs ?? atMs) <= atMs - KEPT_MS) this.#samples.shift();
  }

  state(): StoreState {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    const { openParts = [], probedParts = [] } = last?.stats ?? {};
    const isIn = (parts: readonly string[], part: string): boolean =>
      parts.includes(part) || parts.includes("");
    const parts = this.#parts.size === 0 ? [""] : [...this.#parts];
    return {
      name: storeName(this.#store),
      memory: this.#store instanceof MemoryStore ? this.#store.stats() : undefined,
      parts: parts.map((part) => ({
        part: part === "" ? "store" : part,
        breaker: isIn(probedParts, part) ? "half-open" : isIn(openParts, part) ? "open" : "closed",
      })),
      ...ratesOf(first, last),
      outages: this.#outages.toReversed().map((each): Outage => {
        const { fromMs, toMs, calls, answered = this.#answersNow() } = each;
        return { fromMs, toMs, answered, calls };
      }),
    };
  }

  close(): void {
    for (const end of this.#ends) end();
  }

  #notePart(part: string): void {
    if (this.#parts.size < MOST_PARTS) this.#parts.add(part);
  }

  #began(part: string): void {
    this.#notePart(part);
    if (this.#outages.some((each) => each.part === part && each.toMs === undefined)) return;
    const fromMs = this.#nowMs();
    this.#outages.push({ part, fromMs, toMs: undefined, calls: undefined, answered: undefined });
    if (this.#outages.length > MOST_OUTAGES) this.#outages.shift();
  }

  #ended(part: string, outageMs: number, unanswered: Unanswered): void {
    const met = this.#outages.findLast((each) => each.part === part && each.toMs === undefined);
    if (met === undefined) return;
    met.toMs = met.fromMs + Math.round(outageMs);
    met.calls = unanswered.total;
    const answers = Object.entries(ANSWERS) as [keyof typeof ANSWERS, string][];
    const given = answers.filter(([name]) => unanswered[name] > 0).map(([, word]) => word);
    met.answered = given.length === 0 ? this.#answersNow() : given.join(", ");
  }
}

/** A listener that throws is a failure too, and no outage. */
function isOutage(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === "STORE_TIMEOUT" || code === "STORE_UNAVAILABLE" || code === "STORE_FULL";
}

/** A short name for the page: "redis", "memory". */
export function storeName(store: Store): string {
  if (store instanceof MemoryStore) return "memory";
  return store.constructor.name.replace(/Store$/, "").toLowerCase() || "store";
}

function countedBy(store: Store): Counted | undefined {
  if (!store.external || !("stats" in store) || typeof store.stats !== "function") return undefined;
  return (store.stats as () => Counted)();
}

type Rates = Pick<
  StoreState,
  "callsPerSecond" | "batchMean" | "p50Ms" | "p99Ms" | "errorsPerSecond"
>;

function ratesOf(first: Sample | undefined, last: Sample | undefined): Rates {
  if (first === undefined || last === undefined) {
    return {
      callsPerSecond: undefined,
      batchMean: undefined,
      p50Ms: undefined,
      p99Ms: undefined,
      errorsPerSecond: 0,
    };
  }
  const seconds = Math.max(1, (last.atMs - first.atMs) / 1000);
  const [was, is] = [first.stats, last.stats];
  const failed = is.calls.failed - was.calls.failed;
  const calls =
    is.calls.answered - was.calls.answered + failed + is.calls.aborted - was.calls.aborted;
  const trips = lessOf(is.tripMs.ok, was.tripMs.ok);
  const batches = lessOf(is.batchCalls, was.batchCalls);
  return {
    callsPerSecond: calls / seconds,
    batchMean: batches.count === 0 ? undefined : batches.sum / batches.count,
    p50Ms: quantileOf(trips, 0.5),
    p99Ms: quantileOf(trips, 0.99),
    errorsPerSecond: failed / seconds,
  };
}

function lessOf(is: HistogramStats, was: HistogramStats): HistogramStats {
  return {
    bounds: is.bounds,
    counts: is.counts.map((count, i) => count - (was.counts[i] ?? 0)),
    count: is.count - was.count,
    sum: is.sum - was.sum,
  };
}

/** As Prometheus does it: in proportion within a bucket, the highest bound beyond all. */
function quantileOf({ bounds, counts, count }: HistogramStats, share: number): number | undefined {
  if (count <= 0) return undefined;
  const rank = share * count;
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    const own = counts[i] ?? 0;
    if (below + own >= rank && own > 0) {
      const from = i === 0 ? 0 : (bounds[i - 1] as number);
      return from + ((bounds[i] as number) - from) * ((rank - below) / own);
    }
    below += own;
  }
  return bounds.at(-1);
}
