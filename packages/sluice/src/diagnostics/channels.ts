/** The channels of node:diagnostics_channel that Sluice publishes on, and what each message holds. */
import type { VerbName } from "../algorithms/decide.js";
import type { Decision } from "../core/decision.js";
import type { OverrideChanged } from "../events/changes.js";
import type { Unanswered, WaitEnded } from "../events/events.js";
import type { RulesChanged, RulesReloaded } from "../events/rule-events.js";

/**
 * The names of the channels. `storeCall` and `acquire` are tracing channels: pass these names to `tracingChannel`, or
 * subscribe to `tracing:sluice:acquire:start` and the like.
 */
export const CHANNELS = Object.freeze({
  /** Each decision of a limiter: a DecisionMessage. */
  decision: "sluice:decision",
  /** The first failure of an outage of a store: a StoreOutageMessage. */
  storeOutage: "sluice:store:outage",
  /** The end of an outage of a store: a StoreRecoveryMessage. */
  storeRecovery: "sluice:store:recovery",
  /** What a limiter decides by is new, or has new options: a PoliciesMessage. */
  policies: "sluice:policies",
  /** A PolicySet decides by another document, or its switch was thrown: a RulesMessage. */
  rules: "sluice:rules",
  /** A PolicySet has found its source changed, or in trouble: a RulesReloaded. */
  rulesReload: "sluice:rules:reload",
  /** What holds for one key of a limiter has changed: an OverrideMessage. */
  override: "sluice:override",
  /** Tracing: each time a store sends calls to its server. Its context is a StoreCallContext. */
  storeCall: "sluice:store:call",
  /** Tracing: each wait for quota or for a permit. Its context is an AcquireContext. */
  acquire: "sluice:acquire",
} as const);

/** The key of a message, if `publish` was asked to show it. */
export interface ShownKey {
  /** The key as the caller gave it; only with `exposeKeys`. */
  readonly key?: string | undefined;
  /** The text of the key's slot, if it was given one; only with `exposeKeys`. */
  readonly slot?: string | undefined;
  /** The key's hash, as stores and logs have it; only with `exposeIds`. */
  readonly id?: string | undefined;
}

/** What `sluice:decision` publishes. */
export interface DecisionMessage extends ShownKey {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** The name of the policy that decided. */
  readonly policy: string;
  /** What was asked. */
  readonly verb: VerbName;
  /** Units. */
  readonly cost: number;
  /** In shadow mode what the limiter would have answered. */
  readonly decision: Decision;
  /** Milliseconds from the call to the answer; 0 for answers that did not leave the process. */
  readonly durationMs: number;
}

/** What `sluice:store:outage` publishes. */
export interface StoreOutageMessage {
  /** The store, by the name that `publish` was given. */
  readonly store: string;
  /** The part of it that failed: a Cluster node's "host:port", else "". */
  readonly part: string;
  /** The first failure. */
  readonly error: unknown;
}

/** What `sluice:store:recovery` publishes. */
export interface StoreRecoveryMessage extends StoreOutageMessage {
  /** Milliseconds from the first failure to the first answer after the last one. */
  readonly outageMs: number;
  /** Calls that the store did not answer during it: all, and by what they got instead. */
  readonly unanswered: Unanswered;
}

/** What `sluice:policies` publishes. */
export interface PoliciesMessage {
  /** The limiter's namespace. */
  readonly limiter: string;
  /** The names of the policies that are new, or have new options. */
  readonly policies: readonly string[];
}

/** What `sluice:rules` publishes. Without `exposeKeys`, changes of overrides say only of which rule they are. */
export type RulesMessage = RulesChanged;

/** What `sluice:override` publishes. The `id` is there only with `exposeIds`, and is a hash also if the store has plain ids. */
export type OverrideMessage = Omit<OverrideChanged, "id"> & Pick<ShownKey, "id">;

/** The context of `sluice:store:call`: one object from `start` to `asyncEnd`. */
export interface StoreCallContext {
  /** The store, by the name that `publish` was given. */
  readonly store: string;
  /** The part of it that is asked: a Cluster node's "host:port", else "". */
  readonly part: string;
  /** What the calls do; "mixed" if not all do the same. */
  readonly verb: VerbName | "mixed";
  /** How many calls of limiters are sent together. */
  readonly calls: number;
  /** How many keys of the store they are about. */
  readonly keys: number;
  /** From `error` and `asyncEnd` on: milliseconds from sending to the answer. */
  readonly durationMs?: number | undefined;
  /** Why there is no answer, if there is none; then `error` is published before `asyncEnd`. */
  readonly error?: unknown;
}

/** The context of `sluice:acquire`: one object from `start` to `asyncEnd`. */
export interface AcquireContext extends ShownKey {
  /** The limiter's namespace, or the semaphore's keyspace. */
  readonly caller: string;
  /** Units, or the permit's weight. */
  readonly cost: number;
  /** From `error` and `asyncEnd` on. A refusal is no error. */
  readonly outcome?: WaitEnded["outcome"] | undefined;
  /** From `error` and `asyncEnd` on: milliseconds from the call to its end. */
  readonly waitedMs?: number | undefined;
  /** From `error` and `asyncEnd` on: how much later than promised the work may start, in milliseconds. */
  readonly lateMs?: number | undefined;
  /** Why it failed, if the outcome is "failed"; then `error` is published before `asyncEnd`. */
  readonly error?: unknown;
}

/** What is published on each channel; on the tracing channels, the context. */
export interface ChannelMessages {
  /** A call was decided. */
  readonly "sluice:decision": DecisionMessage;
  /** A store began to fail. */
  readonly "sluice:store:outage": StoreOutageMessage;
  /** An outage ended. */
  readonly "sluice:store:recovery": StoreRecoveryMessage;
  /** A limiter decides by other policies. */
  readonly "sluice:policies": PoliciesMessage;
  /** The rules of a policy set changed. */
  readonly "sluice:rules": RulesMessage;
  /** A policy set looked at its source. */
  readonly "sluice:rules:reload": RulesReloaded;
  /** An override was set or removed, or ended. */
  readonly "sluice:override": OverrideMessage;
  /** A round trip to a store. */
  readonly "sluice:store:call": StoreCallContext;
  /** A wait for quota or a permit. */
  readonly "sluice:acquire": AcquireContext;
}
