/** A request to a limiter, as plain data: all that is needed to decide it, here or on a fallback. */
import type { Verb } from "../algorithms/decide.js";
import type { Decision, DecisionSource, PolicyVerdict } from "../core/decision.js";
import type { Keyed } from "../core/key.js";
import type { StoreCall, StoreResult } from "../stores/store.js";
import type { BoundPolicies } from "./bound-policies.js";

export interface LimiterRequest extends Keyed {
  readonly verb: Verb;
  /** Names the key as the store sees it, if its text is not known; `key` is the same text then. */
  readonly id?: string | undefined;
  /** Units. */
  readonly cost: number;
  /** Policies of this call instead of the limiter's. */
  readonly policy?: unknown;
  /** Whether its cost will be settled: its denial starts no block. */
  readonly settle?: boolean | undefined;
  /** The longest wait that reserve takes. */
  readonly maxWaitUs?: number;
  /** Of reserve on behalf of acquire: the number of its wait. */
  readonly wait?: number;
  /** How long block and extendBlock block. */
  readonly blockUs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How the units were taken that the call gives back; undefined = go wherever calls go now. */
  readonly of?: DecisionSource | undefined;
  /** What the call gives back to policies without a vote, or takes from them: units by name; undefined = of all its cost. */
  readonly ofShadows?: ReadonlyMap<string, number> | undefined;
  /** Of refund: identifies it, for callers that may send it again. */
  readonly nonce?: string | undefined;
  /** What policies without a vote have said already, on behalf of the same wait: they are not asked again. */
  readonly shadow?: readonly PolicyVerdict[] | undefined;
  /** true: policies without a vote are left out. */
  readonly votersAlone?: boolean;
}

/** What a request comes to: the decision, and what some verbs have beside it. */
export interface LimiterAnswer extends Decision {
  /** Of consumeUpTo: whole units. */
  readonly granted?: number;
  /** Of refund: units that came back. */
  readonly refunded?: number;
  /** Of reserve: what it takes to wait for the start, and to give it back. */
  readonly reserved?: Reserved;
}

export interface Reserved {
  readonly call: StoreCall;
  /** Undefined if the store did not answer. */
  readonly result: StoreResult | undefined;
  /** Whether a start could be promised ahead: then a refusal for lack of quota is final. */
  readonly canReserve: boolean;
  /** false in shadow mode, which never waits. */
  readonly enforce: boolean;
  /** Gives the start back: whether anything came back. Never rejects. */
  readonly cancel: () => Promise<boolean>;
}

/** Who took the units of a decision with this source; undefined if they were not counted. */
export function takerOf(source: DecisionSource): "store" | "local" | "fallback" | undefined {
  return TAKERS[source];
}

const TAKERS = {
  store: "store",
  prefetch: "store",
  local: "local",
  fallback: "fallback",
  "deny-cache": undefined,
  "fail-open": undefined,
  "fail-closed": undefined,
  override: undefined,
  rules: undefined,
} as const satisfies Readonly<Record<DecisionSource, string | undefined>>;

/** Whether a decision was made in this process, by the limiter's own policies. */
export function isDecidedHere(source: DecisionSource): boolean {
  return source === "local" || source === "deny-cache";
}

export function isSource(value: unknown): value is DecisionSource {
  return typeof value === "string" && Object.hasOwn(TAKERS, value);
}

/** Answers requests: a fallback limiter, as the limiter that uses it sees it. */
export interface RequestRunner {
  run(request: LimiterRequest): Promise<LimiterAnswer>;
}

/** A request with what was made of it, ready for the store. */
export interface PreparedRequest {
  readonly request: LimiterRequest;
  readonly bound: BoundPolicies;
  /** What policies without a vote said, once they have. */
  readonly shadow?: readonly PolicyVerdict[] | undefined;
  readonly call: StoreCall;
  /** How many clears of denials there had been, by which later ones are known; undefined if its denial is not remembered. */
  readonly clears: number | undefined;
  /** Of reserve: whether a start can be promised ahead. */
  readonly canReserve: boolean;
  /** When it was prepared, on the monotonic clock: its deadline counts from then. */
  readonly atMs: number;
}
