/** Publishes the events of limiters, semaphores and stores on the channels of node:diagnostics_channel. */
import { channel, tracingChannel } from "node:diagnostics_channel";
import { InvalidOptionError, StoreTimeoutError, StoreUnavailableError } from "../core/errors.js";
import { hiding, type Identify } from "../core/identity.js";
import { byDefault, checkBoolean, checkList, optionReader } from "../core/options.js";
import { checkName } from "../core/key.js";
import { hasField, withoutText } from "../core/shown.js";
import type { EventMap, EventName, Events, Listener } from "../events/events.js";
import type { RuleChange, RulesReloaded } from "../events/rule-events.js";
import type { Pipeline } from "../limiter/pipeline.js";
import { pipelineOf } from "../limiter/limiter-class.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { meetOf } from "../policies/met-rules.js";
import type { PolicySet } from "../policies/policy-set.js";
import { quotaOfSemaphore } from "../semaphore/semaphore-class.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import type { Store } from "../stores/store.js";
import {
  type AcquireContext,
  CHANNELS,
  type DecisionMessage,
  type OverrideMessage,
  type PoliciesMessage,
  type RulesMessage,
  type ShownKey,
  type StoreCallContext,
  type StoreOutageMessage,
  type StoreRecoveryMessage,
} from "./channels.js";
import { Spans } from "./spans.js";

/** Options of `publish`. */
export interface PublishOptions {
  /** Whether messages show keys, and the texts of slots, as callers gave them; default false. */
  readonly exposeKeys?: boolean | undefined;
  /** Whether messages show the hashes of keys, as stores and logs have them; default false. */
  readonly exposeIds?: boolean | undefined;
  /** What messages call the stores: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "store". */
  readonly store?: string | undefined;
}

const OPTIONS = optionReader<PublishOptions>()({
  exposeKeys: byDefault(false, checkBoolean),
  exposeIds: byDefault(false, checkBoolean),
  store: byDefault("store", checkName),
});

/** What has something to publish. */
export type Publisher = RateLimiter | Semaphore | PolicySet | Store;

type Settings = Required<{ [K in keyof PublishOptions]: NonNullable<PublishOptions[K]> }>;

/** A source of messages: one, however many calls of `publish` name it. */
interface Publication {
  /** Those of every call that is not ended, the earliest first. */
  readonly settings: Set<Settings>;
  readonly end: () => void;
}

const decisions = channel(CHANNELS.decision);
const outages = channel(CHANNELS.storeOutage);
const recoveries = channel(CHANNELS.storeRecovery);
const policyChanges = channel(CHANNELS.policies);
const ruleChanges = channel(CHANNELS.rules);
const ruleReloads = channel(CHANNELS.rulesReload);
const overrideChanges = channel(CHANNELS.override);
const storeCalls = tracingChannel<string, StoreCallContext>(CHANNELS.storeCall);
const acquisitions = tracingChannel<string, AcquireContext>(CHANNELS.acquire);

const publications = new WeakMap<object, Publication>();

/**
 * Publishes what happens in limiters, semaphores and stores on the channels of `CHANNELS`, until the function that it
 * returns is called. The stores of limiters and semaphores are published with them. Without subscribers of a channel its
 * messages are not made, and an event costs only the check for subscribers; a later subscriber gets them from then on.
 *
 * Each source is published once, however many calls name it, until all of these are ended. It then shows keys if any
 * of them said so, and the name of a store is that of the first.
 *
 * @throws InvalidOptionError
 * @example
 * import { subscribe } from "node:diagnostics_channel";
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { CHANNELS, type DecisionMessage, publish } from "sluice/diagnostics";
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
 * const end = publish([limiter]);
 * subscribe(CHANNELS.decision, (message) => {
 *   const { limiter: name, policy, decision, key } = message as DecisionMessage;
 *   console.log(name, policy, decision.allowed, key); // sluice token-bucket true undefined
 * });
 * await limiter.consume("user:42");
 * end();
 * await limiter.consume("user:42");
 */
export function publish(
  publishers: readonly Publisher[],
  options: PublishOptions = {},
): () => void {
  const settings = OPTIONS.read(options);
  checkList("publishers", publishers);
  const sources = new Map<object, StartPublication>();
  for (const [i, publisher] of publishers.entries()) {
    for (const [source, start] of sourcesOf(publisher, `publishers[${i}]`)) {
      sources.set(source, start);
    }
  }
  const ends = [...sources].map(([source, start]) => begin(source, start, settings));
  return () => {
    for (const end of ends) end();
  };
}

type StartPublication = (all: ReadonlySet<Settings>) => () => void;

function begin(source: object, start: StartPublication, settings: Settings): () => void {
  let publication = publications.get(source);
  if (publication === undefined) {
    const all = new Set<Settings>();
    publication = { settings: all, end: start(all) };
    publications.set(source, publication);
  }
  // Two calls may bring equal settings, and each ends its own alone.
  const own = { ...settings };
  publication.settings.add(own);
  return () => {
    if (!publication.settings.delete(own) || publication.settings.size > 0) return;
    publications.delete(source);
    publication.end();
  };
}

/** What is published for a publisher: itself, and the store that it asks. */
function sourcesOf(publisher: unknown, option: string): [object, StartPublication][] {
  if (typeof publisher === "object" && publisher !== null) {
    const limiter = pipelineOf(publisher);
    if (limiter !== undefined) {
      const { events, store } = limiter;
      const identify = hiding(limiter.identify);
      const idOf = identify === limiter.identify ? (id: string): string => id : identify;
      const start: StartPublication = (all) => {
        const endLimiter = publishLimiter(events, keysShownBy(identify, all));
        const endOverrides = publishOverrides(events, idOf, all);
        return () => {
          endLimiter();
          endOverrides();
        };
      };
      return [[publisher, start], ...storesOf(store)];
    }
    if (meetOf(publisher) !== undefined) {
      const { events, store, limiters } = publisher as PolicySet;
      // Each limiter behind it makes ids alike.
      const identify = hiding((pipelineOf(limiters[0]) as Pipeline).identify);
      const start: StartPublication = (all) =>
        publishRules(events, keysShownBy(identify, all), all);
      return [[publisher, start], ...storesOf(store)];
    }
    const quota = quotaOfSemaphore(publisher);
    if (quota !== undefined) {
      const { events, store } = publisher as Semaphore;
      const identify = hiding(quota.identify);
      const start: StartPublication = (all) => publishWaits(events, keysShownBy(identify, all));
      return [[publisher, start], ...storesOf(store)];
    }
    const stores = hasField(publisher, "submit") ? storesOf(publisher as Store) : [];
    if (stores.length > 0) return stores;
  }
  throw new InvalidOptionError(
    option,
    withoutText(publisher),
    "a RateLimiter, a Semaphore, a PolicySet, or a store with events",
  );
}

function storesOf(store: Store): [object, StartPublication][] {
  const { events } = store;
  if (events === undefined) return [];
  return [[store, (all) => publishStore(events, () => nameIn(all))]];
}

function nameIn(all: ReadonlySet<Settings>): string {
  const [first] = all;
  return first?.store ?? "store";
}

function exposesKeysIn(all: ReadonlySet<Settings>): boolean {
  for (const { exposeKeys } of all) if (exposeKeys) return true;
  return false;
}

function exposesIdsIn(all: ReadonlySet<Settings>): boolean {
  for (const { exposeIds } of all) if (exposeIds) return true;
  return false;
}

type ShowKey = (key: string, slot: string | undefined) => ShownKey;

function keysShownBy(identify: Identify, all: ReadonlySet<Settings>): ShowKey {
  return (key, slot) => {
    return {
      ...(exposesKeysIn(all) && { key, ...(slot !== undefined && { slot }) }),
      ...(exposesIdsIn(all) && { id: identify(key, slot) }),
    };
  };
}

/** Listeners that end together. */
class Listening {
  readonly #events: Events;
  readonly #ends: (() => void)[] = [];

  constructor(events: Events) {
    this.#events = events;
  }

  on<K extends EventName>(name: K, listener: Listener<K>, isWanted: () => boolean): void {
    this.#ends.push(this.#events.on(name, listener, isWanted));
  }

  readonly end = (): void => {
    for (const end of this.#ends) end();
  };
}

function publishLimiter(events: Events, shown: ShowKey): () => void {
  const listening = new Listening(events);
  listening.on(
    "decision",
    ({ limiter, verb, key, slot, cost, decision, durationMs }) => {
      const { policy } = decision;
      const message = { limiter, policy, verb, cost, decision, durationMs, ...shown(key, slot) };
      decisions.publish(message satisfies DecisionMessage);
    },
    () => decisions.hasSubscribers,
  );
  listening.on(
    "policies",
    ({ limiter, policies }) => {
      policyChanges.publish({ limiter, policies } satisfies PoliciesMessage);
    },
    () => policyChanges.hasSubscribers,
  );
  const endWaits = publishWaits(events, shown);
  return () => {
    listening.end();
    endWaits();
  };
}

/** What holds for single keys, by their ids as the store has them. */
function publishOverrides(
  events: Events,
  idOf: (id: string) => string,
  all: ReadonlySet<Settings>,
): () => void {
  const listening = new Listening(events);
  listening.on(
    "override",
    ({ id, ...change }) => {
      const message = { ...change, ...(exposesIdsIn(all) && { id: idOf(id) }) };
      overrideChanges.publish(message satisfies OverrideMessage);
    },
    () => overrideChanges.hasSubscribers,
  );
  return listening.end;
}

/** What a set reports about its document, and its rules about their decisions. */
function publishRules(events: Events, shown: ShowKey, all: ReadonlySet<Settings>): () => void {
  const listening = new Listening(events);
  listening.on(
    "rules",
    (changed) => {
      const changes = exposesKeysIn(all) ? changed.changes : changed.changes.map(withoutKey);
      ruleChanges.publish({ ...changed, changes } satisfies RulesMessage);
    },
    () => ruleChanges.hasSubscribers,
  );
  listening.on(
    "reload",
    (reload) => {
      ruleReloads.publish(reload satisfies RulesReloaded);
    },
    () => ruleReloads.hasSubscribers,
  );
  const endDecisions = publishLimiter(events, shown);
  return () => {
    listening.end();
    endDecisions();
  };
}

/** A document names overrides by rule and key, with a blank between. */
function withoutKey(change: RuleChange): RuleChange {
  if (change.part !== "override") return change;
  const { part, name, before, after } = change;
  const shown = (side: unknown): unknown => (side === undefined ? undefined : {});
  return { part, name: name.split(" ", 1)[0] ?? "", before: shown(before), after: shown(after) };
}

function publishWaits(events: Events, shown: ShowKey): () => void {
  const listening = new Listening(events);
  const waits = new Spans<AcquireContext>(acquisitions);
  listening.on(
    "waitBegun",
    ({ wait, caller, key, slot, cost }) => {
      waits.begin(wait, { caller, cost, ...shown(key, slot) });
    },
    waits.isBeginWanted,
  );
  listening.on(
    "waitEnded",
    ({ wait, outcome, waitedMs, lateMs, error }) => {
      const ending = { outcome, waitedMs, lateMs };
      waits.end(wait, outcome === "failed" ? { ...ending, error } : ending);
    },
    waits.isEndWanted,
  );
  return listening.end;
}

function publishStore(events: Events, name: () => string): () => void {
  const listening = new Listening(events);
  listening.on(
    "failure",
    (failure) => {
      if (isOutage(failure)) outages.publish(outageMessage(name(), failure));
    },
    () => outages.hasSubscribers,
  );
  listening.on(
    "recovery",
    ({ outageMs, unanswered, ...outage }) => {
      const message = { ...outageMessage(name(), outage), outageMs, unanswered };
      recoveries.publish(message satisfies StoreRecoveryMessage);
    },
    () => recoveries.hasSubscribers,
  );
  const calls = new Spans<StoreCallContext>(storeCalls);
  listening.on(
    "batchBegun",
    ({ batch, size, keys, verb, part }) => {
      calls.begin(batch, { store: name(), part, verb, calls: size, keys });
    },
    calls.isBeginWanted,
  );
  listening.on(
    "batch",
    ({ batch, durationMs, error }) => {
      calls.end(batch, error === undefined ? { durationMs } : { durationMs, error });
    },
    calls.isEndWanted,
  );
  return listening.end;
}

type Outage = Pick<EventMap["failure"], "error" | "part">;

function outageMessage(store: string, { part = "", error }: Outage): StoreOutageMessage {
  return { store, part, error };
}

/** A store also reports what its listeners throw. */
function isOutage({ error }: Outage): boolean {
  return error instanceof StoreUnavailableError || error instanceof StoreTimeoutError;
}
