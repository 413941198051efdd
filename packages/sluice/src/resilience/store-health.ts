/**
 * What a limiter knows of the health of its store: for each part that fails, a breaker and the outage
 * under way. A part that does not fail has no entry: a healthy store costs next to nothing, and the map stays bounded.
 */
import { monotonicMs } from "../core/clock.js";
import { CrossSlotError, InvalidOptionError, StoreUnavailableError } from "../core/errors.js";
import type { StoreResult, Store, StoreCall } from "../stores/store.js";
import { Breaker, type BreakerSettings, DEFAULT_PROBE_EVERY_MS } from "./breaker.js";
import type { ErrorEvent, HookRunner } from "../events/hooks.js";
import { type Instead, Outage } from "./outage.js";

/** A call on its way to the store: what was known when it began. */
export interface Attempt {
  /** The part of the store that decides it; "" = all of it, or unknown. */
  readonly part: string;
  /** Failures of the store before it. */
  readonly failuresBefore: number;
  /** The open breaker that let it through. */
  readonly probed: Breaker | undefined;
}

/** A part of the store that failed, and has not yet answered for a while without a failure. */
interface Trouble {
  /** A new one when the store answers: a probe of the one before says nothing of what came since. */
  breaker: Breaker | undefined;
  readonly outage: Outage;
  /** When the store first answered a call that began after the last failure; undefined until then. */
  answeredAtMs: number | undefined;
  /** The number of the last failure, and what failed. */
  lastFailure: number;
  lastCall: StoreCall;
  /** What calls get while the breaker is open: one for all until the next failure. */
  refusal: StoreUnavailableError | undefined;
  lastError: Error;
}

/** Of a call that began while all was well. */
const UNTROUBLED: Attempt = Object.freeze({ part: "", failuresBefore: 0, probed: undefined });

export class StoreHealth {
  readonly #store: Store;
  readonly #breaker: BreakerSettings | undefined;
  readonly #hooks: HookRunner;
  readonly #hasParts: boolean;
  /** How long a part has to answer without a failure until its outage is over. */
  readonly #quietMs: number;
  readonly #troubles = new Map<string, Trouble>();
  /** Which outage an error belongs to, for those who answer its call. */
  readonly #outages = new WeakMap<Error, Outage>();
  #failures = 0;

  constructor(store: Store, breaker: BreakerSettings | undefined, hooks: HookRunner) {
    this.#store = store;
    this.#breaker = breaker;
    this.#hooks = hooks;
    this.#hasParts = store.partOf !== undefined;
    this.#quietMs = breaker?.probeEveryMs ?? DEFAULT_PROBE_EVERY_MS;
  }

  /** What `ended` is to be told with; or, past an open breaker, the error to answer with. */
  begin(call: StoreCall): Attempt | StoreUnavailableError {
    if (this.#troubles.size === 0 && !this.#hasParts) return UNTROUBLED;
    const part = this.#partOf(call);
    const trouble = this.#troubles.get(part);
    const admission = trouble?.breaker?.admit(monotonicMs()) ?? "pass";
    if (trouble !== undefined && admission === "refuse") return this.#refusal(trouble, part);
    const probed = admission === "probe" ? trouble?.breaker : undefined;
    return { part, failuresBefore: this.#failures, probed };
  }

  /** As `begin`, for a call that another limiter asks for this one too: its breaker decides. */
  follow(call: StoreCall): Attempt {
    return { part: this.#partOf(call), failuresBefore: this.#failures, probed: undefined };
  }

  /** The breaker of the limiter that was to ask for this one too refused the call. */
  refused(call: StoreCall, refusal: Error): void {
    const part = this.#partOf(call);
    const trouble = this.#underWay(part) ?? this.#note(part, call, refusal);
    trouble.answeredAtMs = undefined;
    this.#outages.set(refusal, trouble.outage);
  }

  /** `outcome` is undefined for a call that its caller gave up. */
  ended(attempt: Attempt, call: StoreCall, outcome: StoreResult | Error | undefined): void {
    const verdict = evidenceOf(outcome);
    if (verdict === "works") this.#worked(attempt);
    else if (verdict === "fails") this.#failed(attempt, call, outcome as Error);
    else attempt.probed?.dropped(true);
  }

  /** One more request that got something else in place of an answer; of no outage if it was no failure. */
  count(error: Error, instead: Instead): void {
    this.#outages.get(error)?.count(instead);
  }

  /**
   * How to tell of a failure, from when its call begins to be answered: the first call of an outage tells
   * for all of them, and a failure that is not the store's is always told.
   */
  teller(error: Error): (event: ErrorEvent) => void {
    const outage = this.#outages.get(error);
    if (outage === undefined) {
      return (event) => {
        this.#hooks.failed(event);
      };
    }
    if (!outage.claim()) return () => {};
    return (event) => {
      outage.tell(event);
    };
  }

  /**
   * Some calls of an outage may succeed: denials of a server that refuses writes, or what passes between
   * losses. So an outage is over only when the store has answered for a while and not failed. There is no
   * timer for that: the next call that ends finds out.
   */
  #worked({ part, failuresBefore, probed }: Attempt): void {
    if (this.#troubles.size === 0) return;
    const nowMs = monotonicMs();
    const own = this.#troubles.get(part)?.breaker;
    own?.succeeded(probed === own);
    for (const [troubled, trouble] of this.#troubles) {
      if (failuresBefore < trouble.lastFailure) continue;
      // A dead node may never be asked again: what now answers in its place ends its outage.
      if (troubled !== part && this.#partOf(trouble.lastCall) !== part) continue;
      if (trouble.answeredAtMs === undefined) this.#answered(trouble, nowMs);
      else this.#endIfOver(troubled, trouble, nowMs);
    }
  }

  /** Calls are asked again from now on; only the end of the outage waits. */
  #answered(trouble: Trouble, nowMs: number): void {
    trouble.answeredAtMs = nowMs;
    trouble.breaker = this.#breaker && new Breaker(this.#breaker);
  }

  #endIfOver(part: string, { outage, answeredAtMs }: Trouble, nowMs: number): void {
    if (answeredAtMs === undefined || nowMs - answeredAtMs < this.#quietMs) return;
    this.#troubles.delete(part);
    outage.end(answeredAtMs);
  }

  #failed({ part, probed }: Attempt, call: StoreCall, error: Error): void {
    const trouble = this.#note(part, call, error);
    trouble.breaker?.failed(probed === trouble.breaker, monotonicMs());
    this.#outages.set(error, trouble.outage);
  }

  /** The trouble of a part, unless it was over before now. */
  #underWay(part: string): Trouble | undefined {
    const trouble = this.#troubles.get(part);
    if (trouble !== undefined) this.#endIfOver(part, trouble, monotonicMs());
    // Whoever was told of an end may have asked, and have met the next trouble.
    return this.#troubles.get(part);
  }

  #partOf(call: StoreCall): string {
    return this.#store.partOf?.(call) ?? "";
  }

  #note(part: string, call: StoreCall, error: Error): Trouble {
    let trouble = this.#underWay(part);
    this.#failures += 1;
    const news = {
      lastFailure: this.#failures,
      lastCall: call,
      lastError: error,
      refusal: undefined,
      answeredAtMs: undefined,
    };
    if (trouble === undefined) {
      const breaker = this.#breaker && new Breaker(this.#breaker);
      trouble = { breaker, outage: new Outage(this.#hooks, part), ...news };
      this.#troubles.set(part, trouble);
    }
    return Object.assign(trouble, news);
  }

  #refusal(trouble: Trouble, part: string): StoreUnavailableError {
    if (trouble.refusal === undefined) {
      trouble.refusal = refusalBy(trouble, part);
      this.#outages.set(trouble.refusal, trouble.outage);
    }
    return trouble.refusal;
  }
}

/** What an outcome tells of the store. */
function evidenceOf(outcome: StoreResult | Error | undefined): "works" | "fails" | "nothing" {
  if (outcome === undefined || outcome instanceof CrossSlotError) return "nothing";
  if (!(outcome instanceof Error)) return "works";
  // It looked, and refused this one call.
  if (outcome instanceof InvalidOptionError) return "works";
  return outcome instanceof StoreUnavailableError && outcome.ofKey ? "works" : "fails";
}

function refusalBy({ breaker, lastError }: Trouble, part: string): StoreUnavailableError {
  const { failures, probeEveryMs } = (breaker as Breaker).settings;
  return new StoreUnavailableError(
    `the breaker${part === "" ? "" : ` of ${part}`} is open: after ${failures} failures in a row ` +
      `one call every ${probeEveryMs} ms asks the store`,
    { cause: lastError },
  );
}
