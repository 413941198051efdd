/**
 * The port between the limiter and whatever keeps the state. A store decides calls with the kernels,
 * atomically, one after another, on its own clock; it knows nothing of limiters, hashing or failure policy.
 */
import type { Verb } from "../algorithms/decide.js";
import type { ReservationReceipt, Kernel } from "../algorithms/kernel.js";
import type { Events } from "../events/events.js";
import { InvalidOptionError } from "../core/errors.js";
import { hasField, withoutText } from "../core/shown.js";
import type { Clock } from "../core/clock.js";
import type { Rule } from "../algorithms/rule.js";
import type { Submitted } from "./hand-over.js";
import type { DocumentStore } from "./document-store.js";
import type { OverrideStore } from "./override-store.js";
import type { ReportStore } from "./report-store.js";
import type { SemaphoreStore } from "./semaphore-store.js";
import type { StoreCounts } from "./store-counts.js";

/** The keys of one policy name in a store. */
export interface Keyspace {
  /** `<namespace>:<policy name>`, with the algorithm's tag if the name is not the algorithm's id. */
  readonly name: string;
}

/** One policy's part of a call. */
export interface Debit {
  /** The policy's name, as decisions show it. */
  readonly name: string;
  /** The policy, ready to decide with. */
  readonly rule: Rule;
  /** The keyspace of its key. */
  readonly keyspace: Keyspace;
  /**
   * The identity, hashed if the limiter's `identity` says so. One that was given a slot begins with the id of that slot's
   * text in braces, if the state leaves this process.
   */
  readonly id: string;
  /** Thousandths of a unit. */
  readonly cost: number;
}

/** Something to do, all debits or none. */
export interface StoreCall extends Submitted {
  /** What is to be done. */
  readonly verb: Verb;
  /** The parts of the call. */
  debits: readonly Debit[];
  /** How long `block`, `extendBlock` or a denied consume blocks the key: µs; 0 = not at all. */
  readonly blockUs: number;
  /** The longest wait that `reserve` accepts: µs. */
  readonly maxWaitUs: number;
  /** What cancel gives back. */
  readonly receipt?: ReservationReceipt | undefined;
  /**
   * Of refund: what a caller who may ask again knows it by. A store that can does it once within a minute for each key and
   * nonce, and then answers as a peek at cost 0.
   */
  readonly nonce?: string | undefined;
}

/** How one debit came out. */
export interface DebitResult {
  /** The number of the reason. */
  readonly reason: number;
  /** Thousandths left after the call; negative in debt. */
  readonly available: number;
  /** µs until the cost fits; 0 if it does, -1 if it never can. */
  readonly waitUs: number;
  /** µs until the key is as if it had never been used. */
  readonly resetUs: number;
  /** The time of this debit's decision, in a store whose policies go by different clocks. */
  readonly nowUs?: number | undefined;
}

/** What a store answers to a call. */
export interface StoreResult {
  /** The store's clock at the decision: integer µs since the Unix epoch. */
  readonly nowUs: number;
  /** Thousandths taken, or given back by refund and cancel: of several debits the least. */
  readonly granted: number;
  /** The position in line that reserve got. */
  readonly receipt?: ReservationReceipt | undefined;
  /** At least as many as the call had, in its order. */
  readonly debits: readonly DebitResult[];
}

/** What became of a call. */
export type Outcome = StoreResult | Error;

/** Takes what became of a call. */
export type Done = (outcome: Outcome) => void;

/** Who uses a keyspace. */
export interface Claimant {
  /** Held weakly: one that was dropped without a release is gone. */
  readonly holder: object;
  /** Whether users of the keyspace with other options give way to it. */
  readonly replaces: boolean;
}

/** A store of either kind. */
export interface Store {
  /** Whether state leaves this process: identities are then hashed by default. */
  readonly external: boolean;
  /** What happens in the store itself: batches, evictions, and outages met by any of its users. */
  readonly events?: Events | undefined;
  /**
   * What is asked of the store and comes of it, in numbers: `new StoreCounts()`. Its users add to them; the store adds its
   * round trips. Undefined: they are not counted.
   */
  readonly counts?: StoreCounts | undefined;
  /** The clock of waits, if it is not the machine's: a clock of tests. */
  readonly clock?: Clock | undefined;
  /** The keyspace of a policy name; the same one each time. */
  open(name: string, kernel: Kernel): Keyspace;
  /**
   * Notes that `keyspace` is used with these options until `release`.
   * @throws InvalidOptionError if it is in use with others, by a user that is neither gone nor to be replaced.
   */
  claim(keyspace: string, fingerprint: string, by?: Claimant): void;
  /** Ends a claim. */
  release(keyspace: string, fingerprint: string, by?: Claimant): void;
  /**
   * Says that consumes over these policies will come again and again, so that the store may make ready what it decides them
   * with. It makes no call yet.
   */
  prepare?(rules: readonly Rule[]): void;
  /**
   * Decides a call, and calls `done` once, with the answer or the error. Calls on one key are decided in the order in
   * which they are submitted. Never throws.
   */
  submit(call: StoreCall, done: Done): void;
  /**
   * Whether the store sets `handOver` on each call when it hands it to its client, so that the time before is not taken
   * for the server's. Without it, `submit` counts as the hand-over.
   */
  readonly marksHandOver?: boolean | undefined;
  /**
   * Hands a call to its client now that was submitted and still waits, with all before it, however much is under way;
   * whether it can. Used for calls that give back or settle, when their time is over. Never throws.
   */
  hurry?(call: StoreCall): boolean;
  /**
   * For a store of several parts that fail by themselves: the part that decides this call, such as a
   * Cluster node's "host:port"; "" if it does not know. Called before every `submit`; never throws.
   */
  readonly partOf?: ((call: StoreCall) => string) | undefined;
  /** Whether the store knows that it cannot decide on all keys of the call together. Never throws. */
  isSplit?(call: StoreCall): boolean;
  /**
   * Fires when `close` is called. From then on no call is decided: `done` gets a ClosedError, as do calls under way that
   * are not answered any more.
   */
  readonly closed?: AbortSignal | undefined;
  /** Keeps semaphores; a store without it has none. */
  readonly semaphores?: SemaphoreStore | undefined;
  /** Keeps the reports of all processes; without it each process keeps its own. */
  readonly reports?: ReportStore | undefined;
  /** Keeps the overrides of all processes; without it each process keeps its own. */
  readonly overrides?: OverrideStore | undefined;
  /** Keeps published documents; without it they are kept in this process. */
  readonly documents?: DocumentStore | undefined;
  /** Ends the store; later calls fail with a ClosedError. */
  close(): Promise<void>;
}

/** A store inside this process. */
export interface SyncStore extends Store {
  /** The answer is the store's own object, good until its next call. */
  executeSync(call: StoreCall): StoreResult;
}

/** @throws InvalidOptionError */
export function checkStore(option: string, store: unknown): Store {
  const submit: unknown =
    typeof store === "object" && store !== null ? Reflect.get(store, "submit") : undefined;
  if (typeof submit === "function") return store as Store;
  throw new InvalidOptionError(
    option,
    withoutText(store),
    "a store such as new MemoryStore() or new RedisStore({ client })",
    { hint: storeHint(store) },
  );
}

function storeHint(store: unknown): string | undefined {
  if (typeof store === "string") return "pass new RedisStore({ url })";
  return hasField(store, "evalSha") || hasField(store, "evalsha")
    ? "pass new RedisStore({ client })"
    : undefined;
}

export function isSyncStore(store: Store): store is SyncStore {
  return "executeSync" in store;
}

/** What a synchronous store does with `submit`: the answer is copied, since the store's own does not last. */
export function submitSync(store: SyncStore, call: StoreCall, done: Done): void {
  let outcome: StoreResult | Error;
  try {
    const { nowUs, granted, debits, receipt } = store.executeSync(call);
    outcome = {
      nowUs,
      granted,
      debits: debits.slice(0, call.debits.length).map((debit) => ({ ...debit })),
      ...(receipt !== undefined && { receipt }),
    };
  } catch (error) {
    outcome = error instanceof Error ? error : new Error(String(error));
  }
  done(outcome);
}
