/** The options of a semaphore and of its calls, and what they mean once they are checked. */
import type { Terms } from "../algorithms/semaphore/kernel.js";
import type { Duration } from "../core/duration.js";
import { checkSignal } from "../core/abort.js";
import { InvalidOptionError } from "../core/errors.js";
import { type Identify, type Identity, identifyBy } from "../core/identity.js";
import { checkName, type SlotOption } from "../core/key.js";
import {
  unchecked,
  byDefault,
  aCount,
  milliseconds,
  optional,
  optionReader,
} from "../core/options.js";
import { InWords } from "../core/shown.js";
import type { OutageHooks } from "../events/hooks.js";
import { type BreakerOptions, type BreakerSettings, checkBreaker } from "../resilience/breaker.js";
import { checkTimeout } from "../resilience/deadlines.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import type { SemaphoreStore } from "../stores/semaphore-store.js";
import { checkStore, type Store } from "../stores/store.js";

/** Options of `Semaphore`. */
export interface SemaphoreOptions<S extends Store = Store> {
  /** The most weight that may be held at once, 1 to 1e9; setLimit changes it for one key. */
  readonly limit: number;
  /**
   * How long a permit stays with a holder that no longer renews it, because it crashed or was cut off: 100 ms to 1 day,
   * default 30 s.
   */
  readonly leaseDuration?: Duration | undefined;
  /** Default: a new MemoryStore of this semaphore's own. */
  readonly store?: S | undefined;
  /** First part of every store key: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "sluice". */
  readonly namespace?: string | undefined;
  /** Tells the semaphores of one namespace apart: 1 to 64 characters of A-Z a-z 0-9 . _ -; default "semaphore". */
  readonly name?: string | undefined;
  /** How keys become ids in the store; default "sha256" if that is outside the process. */
  readonly identity?: Identity | undefined;
  /** The semaphore's own deadline for a store call, 1 ms to 1 h; default 250 ms. */
  readonly timeout?: Duration | undefined;
  /**
   * When calls stop asking a store outside the process that fails; default as a limiter's. Renewals and releases
   * always ask. false: every call asks, and waits for its own deadline.
   */
  readonly breaker?: false | BreakerOptions | undefined;
  /** Called at the beginning and the end of an outage. Default: none. */
  readonly hooks?: OutageHooks | undefined;
}

/** Options of `tryAcquire`. */
export interface TryAcquireOptions extends SlotOption {
  /** How much of the limit the permit takes, 1 to the limit; default 1. */
  readonly weight?: number | undefined;
}

/** Options of `acquire` and `withPermit`. */
export interface AcquireOptions extends TryAcquireOptions {
  /** The longest wait in line, up to 100 years; 0: only what is free at once. Default: no limit. */
  readonly maxWait?: Duration | undefined;
  /** Its abort ends the wait: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export const TRY_ACQUIRE_OPTIONS = optionReader<TryAcquireOptions>()(unchecked("weight", "slot"));
export const ACQUIRE_OPTIONS = optionReader<AcquireOptions>()({
  ...TRY_ACQUIRE_OPTIONS.checks,
  ...unchecked("maxWait"),
  signal: checkSignal,
});

/** No limit and no weight is more. */
export const MAX_SEMAPHORE_LIMIT = 1e9;

/** What the options come to. */
export interface SemaphoreSettings<S extends Store> {
  readonly limit: number;
  readonly terms: Terms;
  readonly store: S;
  readonly semaphores: SemaphoreStore;
  readonly ownsStore: boolean;
  /** The prefix of the semaphore's keys in the store. */
  readonly keyspace: string;
  readonly identify: Identify;
  readonly timeoutMs: number;
  readonly breaker: BreakerSettings | undefined;
}

export const DEFAULT_NAME = "semaphore";
const MIN_LEASE_US = 100e3;
const MAX_LEASE_US = 86_400e6;
/** A waiter of a store inside this process cannot die without the store, so its position in line needs no renewal. */
const LOCAL_WAIT_US = 86_400e6;

const OPTIONS = optionReader<SemaphoreOptions>()({
  limit: aCount(1, MAX_SEMAPHORE_LIMIT),
  leaseDuration: byDefault("30s", milliseconds(MIN_LEASE_US, MAX_LEASE_US)),
  store: optional(checkStore),
  namespace: byDefault("sluice", checkName),
  name: byDefault(DEFAULT_NAME, checkName),
  ...unchecked("identity", "hooks"),
  timeout: checkTimeout,
  breaker: checkBreaker,
});

/** @throws InvalidOptionError */
export function checkSemaphoreOptions<S extends Store>(
  options: SemaphoreOptions<S>,
): SemaphoreSettings<S> {
  const { limit, leaseDuration: leaseMs, namespace, name, ...given } = OPTIONS.read(options);
  const store = (given.store ?? new MemoryStore()) as S;
  return {
    limit,
    terms: leaseTerms(leaseMs * 1e3, store.external),
    store,
    semaphores: semaphoresOf(store),
    ownsStore: options.store === undefined,
    timeoutMs: given.timeout,
    breaker: given.breaker,
    identify: identifyBy(given.identity, store.external),
    keyspace: keyspaceOf(namespace, name),
  };
}

/** The suffix keeps a semaphore's keys apart from those of a policy of the same name. */
function keyspaceOf(namespace: string, name: string): string {
  const suffix = name === DEFAULT_NAME ? "" : `~${DEFAULT_NAME}`;
  return `${namespace}:${name}${suffix}`;
}

/**
 * A handed-over permit is confirmed within a quarter of the lease, 2 s at most; a waiter leaves the line after two and a
 * half times as long without a sign of life. Together that is less than a lease: a dead waiter never keeps a permit for
 * longer than a dead holder.
 */
function leaseTerms(leaseUs: number, external: boolean): Terms {
  const claimUs = Math.min(2e6, Math.floor(leaseUs / 4));
  return { leaseUs, claimUs, waitUs: external ? Math.floor(claimUs * 2.5) : LOCAL_WAIT_US };
}

function semaphoresOf(store: Store): SemaphoreStore {
  if (store.semaphores !== undefined) return store.semaphores;
  const allowed =
    "a store that holds semaphores, such as new MemoryStore() or new RedisStore({ client })";
  throw new InvalidOptionError("store", new InWords("a store without semaphores"), allowed);
}
