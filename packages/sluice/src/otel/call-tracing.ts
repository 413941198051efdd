/** Calls of one limiter or semaphore in traces: events on their callers' spans, and separate spans. */
import { VERBS } from "../algorithms/decide.js";
import { systemClock } from "../core/clock.js";
import type { Identify } from "../core/identity.js";
import type { Keyed } from "../core/key.js";
import type { CallUndecided } from "../events/endings.js";
import type { DecisionMade, Events, WaitBegun, WaitEnded } from "../events/events.js";
import { WITHOUT_STORE } from "../limiter/stats.js";
import { asksForQuota } from "../limiter/verbs.js";
import type { ActiveSpanLike, OtelAttributes, SpanLike, TracerLike } from "./api-types.js";
import {
  attributesOf,
  COST_ATTRIBUTE,
  decisionAttributes,
  ERROR_TYPE_ATTRIBUTE,
  errorType,
  KEY_ID_ATTRIBUTE,
  LATE_MS_ATTRIBUTE,
  OUTCOME_ATTRIBUTE,
} from "./attributes.js";

/** OpenTelemetry's SpanStatusCode.ERROR. */
const ERROR = 2;
const DECISION = "sluice.decision";
const MAY_START = "sluice.may_start";

/** What one call of `instrument` wants. */
export interface TraceSettings {
  /** The span to which denied and degraded decisions are added as events. */
  readonly trace: ActiveSpanLike | undefined;
  /** What makes spans of calls. */
  readonly tracer: TracerLike | undefined;
  readonly exposeIds: boolean;
}

/** Whose calls are traced. */
export interface TracedCaller {
  readonly kind: "limiter" | "semaphore";
  readonly name: string;
  readonly events: Events;
  /** false in shadow mode. */
  readonly enforce: boolean;
  /** Never shows a key. */
  readonly identify: Identify;
}

/** A call of acquire that is under way. */
interface Waiting {
  readonly span: SpanLike | undefined;
  last: DecisionMade | undefined;
}

export class CallTracing {
  readonly #caller: TracedCaller;
  /** Of every call of `instrument` that names this caller and is not ended, the earliest first. */
  readonly #settings: ReadonlySet<TraceSettings>;
  readonly #waits = new Map<number, Waiting>();
  readonly #ends: readonly (() => void)[];

  constructor(caller: TracedCaller, settings: ReadonlySet<TraceSettings>) {
    this.#caller = caller;
    this.#settings = settings;
    const { events } = caller;
    this.#ends = [
      events.on("decision", (event) => this.#decided(event)),
      events.on(
        "undecided",
        (event) => this.#undecided(event),
        () => this.#tracer !== undefined,
      ),
      events.on("waitBegun", (event) => this.#waitBegan(event)),
      events.on("waitEnded", (event) => this.#waitEnded(event)),
    ];
  }

  /** Spans that are under way end now, as they are. */
  end(): void {
    for (const end of this.#ends) end();
    for (const { span } of this.#waits.values()) span?.end();
    this.#waits.clear();
  }

  get #tracer(): TracerLike | undefined {
    return this.#first("tracer");
  }

  #first<K extends "trace" | "tracer">(what: K): TraceSettings[K] | undefined {
    for (const { [what]: each } of this.#settings) if (each !== undefined) return each;
    return undefined;
  }

  #decided(event: DecisionMade): void {
    const { verb, durationMs, wait } = event;
    if (wait !== undefined) {
      this.#decidedOn(this.#waits.get(wait), event);
      return;
    }
    const tracer = this.#tracer;
    const isNotable = this.#isNotable(event);
    if (tracer === undefined && !isNotable) return;
    const attributes = this.#attributesOf(event);
    if (tracer !== undefined) addPastSpan(tracer, verb, attributes, durationMs);
    if (isNotable) this.#addToActive(attributes);
  }

  /** One of the answers on the way to the start of a call of acquire: if a window is full, there are several. */
  #decidedOn(waiting: Waiting | undefined, event: DecisionMade): void {
    if (waiting === undefined) return;
    waiting.last = event;
    waiting.span?.addEvent(DECISION, this.#attributesOf(event));
  }

  #undecided({ verb, durationMs, wait, error, aborted, ...event }: CallUndecided): void {
    const tracer = this.#tracer;
    // A call of acquire may go on: its own end reports its outcome.
    if (tracer === undefined || wait !== undefined) return;
    const attributes = this.#callAttributes(event);
    addPastSpan(tracer, verb, attributes, durationMs, (span) => fail(span, error, aborted));
  }

  #waitBegan(event: WaitBegun): void {
    const attributes = this.#callAttributes(event);
    const span = this.#tracer?.startSpan("sluice.acquire", { attributes });
    this.#waits.set(event.wait, { span, last: undefined });
  }

  #waitEnded(event: WaitEnded): void {
    const waiting = this.#waits.get(event.wait);
    if (waiting === undefined) return;
    this.#waits.delete(event.wait);
    const { span, last } = waiting;
    const { outcome, lateMs, error, aborted = false } = event;
    const isNotable = last !== undefined && this.#isNotable(last);
    if (span === undefined && !isNotable && outcome !== "refused") return;
    const decided = last === undefined ? {} : this.#attributesOf(last);
    const attributes = { ...this.#callAttributes(event), ...decided };
    if (outcome === "refused" || (outcome === "started" && isNotable)) {
      this.#addToActive(
        outcome === "refused" ? { ...attributes, [OUTCOME_ATTRIBUTE]: outcome } : attributes,
      );
    }
    if (span === undefined) return;
    span.setAttributes({ ...attributes, [OUTCOME_ATTRIBUTE]: outcome });
    if (outcome === "started") span.addEvent(MAY_START, { [LATE_MS_ATTRIBUTE]: lateMs });
    if (outcome === "failed") fail(span, error, aborted);
    span.end();
  }

  /** Whether a reader of the request's trace should see it: it was denied, or decided without the store. */
  #isNotable({ verb, decision: { allowed, source } }: DecisionMade): boolean {
    return asksForQuota(VERBS[verb]) && (!allowed || WITHOUT_STORE.has(source));
  }

  #addToActive(attributes: OtelAttributes): void {
    const active = this.#first("trace")?.getActiveSpan();
    if (active?.isRecording() === true) active.addEvent(DECISION, attributes);
  }

  #attributesOf(event: DecisionMade): OtelAttributes {
    return { ...decisionAttributes(event, this.#caller.enforce), ...this.#idOf(event) };
  }

  #callAttributes(event: Keyed & { readonly cost: number }): OtelAttributes {
    const { kind, name } = this.#caller;
    return {
      ...attributesOf({ [kind]: name }),
      [COST_ATTRIBUTE]: event.cost,
      ...this.#idOf(event),
    };
  }

  #idOf({ key, slot }: Keyed): OtelAttributes {
    for (const { exposeIds } of this.#settings) {
      if (exposeIds) return { [KEY_ID_ATTRIBUTE]: this.#caller.identify(key, slot) };
    }
    return {};
  }
}

/** A span of what is over, which began `durationMs` ago. */
function addPastSpan(
  tracer: TracerLike,
  verb: string,
  attributes: OtelAttributes,
  durationMs: number,
  finish?: (span: SpanLike) => void,
): void {
  // Both by one clock: without a given time a span uses another clock.
  const endMs = systemClock.nowUs() / 1e3;
  const startTime = endMs - durationMs;
  const span = tracer.startSpan(`sluice.${verb}`, { attributes, startTime });
  finish?.(span);
  span.end(endMs);
}

/** What its caller gave up is no error. */
function fail(span: SpanLike, error: unknown, aborted: boolean): void {
  if (aborted) {
    span.setAttributes({ [OUTCOME_ATTRIBUTE]: "aborted" });
    return;
  }
  span.setAttributes({ [OUTCOME_ATTRIBUTE]: "failed", [ERROR_TYPE_ATTRIBUTE]: errorType(error) });
  span.setStatus({ code: ERROR });
}
