/** The store inside this process: synchronous, bounded, swept as it is used. */
import { consumeOne, decide, type CallResult, VERBS } from "../../algorithms/decide.js";
import {
  type Kernel,
  LOG_FULL,
  NEED_CALENDAR,
  type Params,
  READY,
} from "../../algorithms/kernel.js";
import { logFullError } from "../../algorithms/rule.js";
import { Closing } from "../../core/closing.js";
import { checkClock, type Clock, ElapsedClock } from "../../core/clock.js";
import { checkCount, checkOptions } from "../../core/options.js";
import { type Evicted, Events } from "../../events/events.js";
import { KeyspaceRegistry } from "../keyspaces.js";
import {
  type StoreResult,
  type Done,
  type StoreCall,
  type Debit,
  submitSync,
  type SyncStore,
} from "../store.js";
import { Arena, type Table, type RowDebit } from "./arena.js";
import { ExpiryRing } from "./expiry-ring.js";
import { MemorySemaphores } from "./memory-semaphores.js";

export interface MemoryStoreOptions {
  /** Default: the machine's clock. */
  readonly clock?: Clock | undefined;
  /** Keys kept at most; default 1,000,000. When full, expired keys go first, then those nearest their expiry. */
  readonly maxKeys?: number | undefined;
}

const DEFAULT_MAX_KEYS = 1_000_000;
/** Expired keys looked at on each call: more than one, so that sweeping outruns any inflow of keys. */
const SWEPT_PER_CALL = 4;
/** Buckets of the ring walked on each call. */
const STEPS_PER_CALL = 64;
/** Candidates looked at for one eviction. */
const EVICTION_SAMPLE = 16;
/** Rows that a hand looks at, going round, where all candidates are protected. */
const HAND_STEPS = 256;
const NO_SLOT = -1;
const NO_DEBITS: readonly RowDebit[] = [];
const NO_PARAMS: Params = Object.freeze({ capacity: 0 });

/**
 * Keeps all state in this process. About a hundred bytes a key beside the key itself, no timer.
 *
 * @example
 * import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
 * const store = new MemoryStore({ maxKeys: 10_000 });
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1s" }), store });
 * console.log(limiter.consumeSync("ip:192.0.2.1").remaining); // 4
 * console.log(store.size); // 1
 */
export class MemoryStore extends KeyspaceRegistry<Table> implements SyncStore {
  readonly external = false;
  /** Evictions, for whoever listens. */
  readonly events = new Events();
  readonly clock: Clock;
  readonly maxKeys: number;
  readonly semaphores: MemorySemaphores;
  readonly #closing = new Closing("store");
  /** Fires when the store is closed, with a ClosedError. */
  readonly closed = this.#closing.signal;
  readonly #machine: ElapsedClock | undefined;
  /** The wall clock of the running call, by which some policies are decided; `clock` itself where it is a test's. */
  #wallUs = 0;
  readonly #arena = new Arena();
  readonly #ring = new ExpiryRing();
  readonly #answer: CallResult & { debits: readonly RowDebit[] } = {
    readiness: READY,
    nowUs: 0,
    granted: 0,
    changed: false,
    receipt: undefined,
    debits: [],
  };
  #evictions = 0;
  #hand = 0;

  constructor(options: MemoryStoreOptions = {}) {
    super((name, kernel) => ({
      name,
      kernel,
      slots: new Map(),
      lone: [rowDebit(kernel)],
      byWallClock: false,
    }));
    checkOptions("options", options, ["clock", "maxKeys"]);
    const { clock = new ElapsedClock(), maxKeys = DEFAULT_MAX_KEYS } = options;
    this.clock = checkClock(clock);
    this.#machine = clock instanceof ElapsedClock ? clock : undefined;
    this.maxKeys = checkCount("maxKeys", maxKeys, 1, 2 ** 24);
    this.semaphores = new MemorySemaphores(this.clock, this.maxKeys, this.#closing);
  }

  /** Keys of limiters held, expired ones that were not yet swept included. */
  get size(): number {
    return this.#arena.size;
  }

  /** Keys that were dropped alive because the store was full: their quota was forgotten. */
  get evictions(): number {
    return this.#evictions;
  }

  executeSync(call: StoreCall): StoreResult {
    if (this.#closing.isClosed) throw this.#closing.error();
    const rawUs = this.clock.nowUs();
    this.#wallUs = this.#machine === undefined ? rawUs : this.#machine.wallUs;
    if (this.#ring.isBehind(rawUs)) this.#sweep(rawUs);
    const answer = this.#answer;
    this.#decide(call, rawUs);
    // Only after the clock went far back: the decision's time is that of the last change.
    if (answer.readiness === NEED_CALENDAR) this.#decide(call, rawUs, answer.debits);
    if (answer.readiness === LOG_FULL) throw logFullError(call.debits);
    if (answer.changed) {
      const { debits } = answer;
      for (let i = 0; i < debits.length; i++) {
        this.#save(debits[i] as RowDebit, call.debits[i] as Debit, debits.length === 1, rawUs);
      }
    }
    return answer;
  }

  submit(call: StoreCall, done: Done): void {
    submitSync(this, call, done);
  }

  /**
   * Ends all waits with a ClosedError, and so every later call. There is nothing else to end: the store has no timers
   * and no connections.
   */
  close(): Promise<void> {
    return this.#closing.end(async () => {});
  }

  /** `before`: what was decided without the calendar of its time. */
  #decide(call: StoreCall, rawUs: number, before: readonly RowDebit[] = NO_DEBITS): void {
    const { verb, debits } = call;
    const answer = this.#answer;
    if (debits.length === 1) {
      const asked = debits[0] as Debit;
      const { lone } = asked.keyspace as Table;
      const [debit] = lone;
      answer.debits = lone;
      this.#prepare(debit, asked, rawUs, before[0]?.nowUs);
      if (verb === VERBS.consume) consumeOne(debit, debit.rawUs, call.blockUs, answer);
      else decide(call, lone, 1, debit.rawUs, answer);
      return;
    }
    answer.debits = debits.map((asked, i) => {
      const debit = rowDebit(asked.rule.kernel);
      this.#prepare(debit, asked, rawUs, before[i]?.nowUs);
      return debit;
    });
    decide(call, answer.debits, debits.length, answer.debits[0]?.rawUs ?? rawUs, answer);
  }

  /** Reads what the call asks for, and the state of its key, into a debit of the same kernel. */
  #prepare(debit: RowDebit, asked: Debit, elapsedUs: number, calendarUs: number | undefined): void {
    const { rule, keyspace, id, cost } = asked;
    const rawUs = rule.byWallClock ? this.#wallUs : elapsedUs;
    if (rule.refresh !== undefined) rule.refresh(calendarUs ?? rawUs);
    const slot = (keyspace as Table).slots.get(id);
    if (slot === undefined) debit.kernel.clear(debit.state);
    else this.#arena.load(slot, debit.state, debit.kernel);
    debit.params = rule.params;
    debit.rawUs = rawUs;
    debit.cost = cost;
    debit.slot = slot ?? NO_SLOT;
    debit.storedExpiryMs = debit.state.expiryMs;
  }

  #save(debit: RowDebit, asked: Debit, alone: boolean, rawUs: number): void {
    const { state, kernel, resetUs } = debit;
    const { keyspace, id, rule } = asked;
    (keyspace as Table).byWallClock = rule.byWallClock;
    // Saving the debit before this one may have evicted this one's key, and given its slot away.
    if (!alone) debit.slot = (keyspace as Table).slots.get(id) ?? NO_SLOT;
    if (resetUs === 0) {
      if (debit.slot !== NO_SLOT) this.#drop(debit.slot);
      return;
    }
    if (debit.slot === NO_SLOT) {
      if (!this.#makeRoom(rawUs)) {
        // Nothing may go: the new key is the one that is forgotten.
        this.#evicted({ keyspace: keyspace.name, id });
        return;
      }
      debit.slot = this.#arena.allocate(keyspace as Table, id);
      this.#ring.add(debit.slot, state.expiryMs * 1e3 + rawUs - debit.rawUs, rawUs);
    } else if (state.expiryMs < debit.storedExpiryMs) {
      this.#ring.remove(debit.slot);
      this.#ring.add(debit.slot, state.expiryMs * 1e3 + rawUs - debit.rawUs, rawUs);
    }
    this.#arena.save(debit.slot, state, kernel, debit.available < 0);
  }

  #evicted(key: Evicted): void {
    this.#evictions += 1;
    this.events.to.eviction?.(key);
  }

  #drop(slot: number): void {
    this.#ring.remove(slot);
    this.#arena.free(slot);
  }

  /** Frees up to a few expired keys; false when nothing more is due. */
  #sweep(nowUs: number, most = SWEPT_PER_CALL, steps = STEPS_PER_CALL): boolean {
    for (let i = 0; i < most; i++) {
      const slot = this.#ring.takeDue(nowUs, steps);
      if (slot === NO_SLOT) return false;
      const expiresAtUs = this.#expiresAtUs(slot, nowUs);
      if (expiresAtUs <= nowUs) this.#arena.free(slot);
      else this.#ring.add(slot, expiresAtUs, nowUs);
    }
    return true;
  }

  /** Whether there is, or could be made, room for one more key. */
  #makeRoom(nowUs: number): boolean {
    if (this.size < this.maxKeys) return true;
    while (
      this.size >= this.maxKeys &&
      this.#sweep(nowUs, SWEPT_PER_CALL, Number.POSITIVE_INFINITY)
    );
    if (this.size < this.maxKeys) return true;
    const victim = this.#victim(nowUs);
    if (victim === NO_SLOT) return false;
    // What expired within the running second is no loss.
    if (this.#expiresAtUs(victim, nowUs) > nowUs) this.#evicted(this.#arena.keyOf(victim));
    this.#drop(victim);
    return true;
  }

  /** The key nearest its expiry of a few; where none of those may go, any other that may. */
  #victim(nowUs: number): number {
    let victim = NO_SLOT;
    for (const slot of this.#ring.soonest(EVICTION_SAMPLE)) {
      if (!this.#mayGo(slot, nowUs)) continue;
      if (victim === NO_SLOT || this.#expiresAtUs(slot, nowUs) < this.#expiresAtUs(victim, nowUs)) {
        victim = slot;
      }
    }
    for (let step = 0; victim === NO_SLOT && step < HAND_STEPS; step++) {
      this.#hand = (this.#hand + 1) % this.#arena.size;
      if (this.#mayGo(this.#hand, nowUs)) victim = this.#hand;
    }
    return victim;
  }

  /** Neither a blocked or indebted key, nor one of the running call: its policies must not drop each other. */
  #mayGo(slot: number, nowUs: number): boolean {
    for (const debit of this.#answer.debits) if (debit.slot === slot) return false;
    return !this.#arena.isProtected(slot, nowUs - this.#aheadUs(slot, nowUs));
  }

  /** When a state expires, in time that has passed. */
  #expiresAtUs(slot: number, nowUs: number): number {
    return this.#arena.expiresAtUs(slot) + this.#aheadUs(slot, nowUs);
  }

  /** How far time that has passed is ahead of the clock by which a state was decided. */
  #aheadUs(slot: number, nowUs: number): number {
    return this.#arena.isByWallClock(slot) ? nowUs - this.#wallUs : 0;
  }
}

function rowDebit(kernel: Kernel): RowDebit {
  const numbers = {
    rawUs: 0,
    nowUs: 0,
    cost: 0,
    asked: 0,
    reason: 0,
    available: 0,
    waitUs: 0,
    resetUs: 0,
  };
  return {
    kernel,
    params: NO_PARAMS,
    state: kernel.fresh(),
    slot: NO_SLOT,
    storedExpiryMs: 0,
    ...numbers,
  };
}
