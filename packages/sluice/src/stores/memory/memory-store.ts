/** The store inside this process: synchronous, bounded, swept as it is used. */
import { consumeOne, decide, type CallResult, REASON, VERBS } from "../../algorithms/decide.js";
import { LOG_FULL, NEED_CALENDAR, READY } from "../../algorithms/kernel.js";
import { logFullError } from "../../algorithms/rule.js";
import { Closing } from "../../core/closing.js";
import { checkClock, type Clock, ElapsedClock } from "../../core/clock.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { digestOf } from "../../core/identity.js";
import { byDefault, aCount, optional, optionReader } from "../../core/options.js";
import { Events } from "../../events/events.js";
import { KeyspaceRegistry } from "../keyspaces.js";
import {
  type StoreResult,
  type Done,
  type StoreCall,
  type Debit,
  submitSync,
  type SyncStore,
} from "../store.js";
import {
  Arena,
  type Budget,
  NO_SLOT,
  type RowDebit,
  rowDebit,
  type Table,
  tableOf,
} from "./arena.js";
import { SlotLinks } from "./expiry-ring.js";
import type { SyncSemaphoreStore } from "../semaphore-store.js";
import { MemorySemaphores } from "./memory-semaphores.js";
import { Retention } from "./retention.js";
import { RefundMarks } from "./refund-marks.js";

/** Options of `MemoryStore`. */
export interface MemoryStoreOptions {
  /** Default: the machine's clocks; see docs/testing.md. */
  readonly clock?: Clock | undefined;
  /** Keys kept at most, 1 to 16,777,216; default 1,000,000. */
  readonly maxKeys?: number | undefined;
  /** Bytes that the keys may take, 1,024 to 2^40; default 256 MB. Each key is counted at the most that it can take. */
  readonly maxBytes?: number | undefined;
}

const OPTIONS = optionReader<MemoryStoreOptions>()({
  clock: optional(checkClock),
  maxKeys: byDefault(1_000_000, aCount(1, 2 ** 24)),
  maxBytes: byDefault(256 * 2 ** 20, aCount(1024, 2 ** 40)),
});
/** A longer id is kept as its digest, which is longer than this too: so it is no other key's id. */
const LONGEST_ID = 64;
/** What the states of one debit may grow by in one call. */
const GROWTH_BYTES = 1024;
const NO_DEBITS: readonly RowDebit[] = [];

/** What a store in memory holds, in numbers. */
export interface MemoryStats {
  /** Keys of limiters, expired ones that were not yet swept included. */
  readonly keys: number;
  /** What is held, in bytes, each key counted at the most that it can take; semaphores included. */
  readonly bytes: number;
  /** Keys that were dropped alive since the start because the store was full: their quota was forgotten. */
  readonly evictions: number;
}

/**
 * Keeps all state in this process, within `maxKeys` and `maxBytes`. No timer.
 *
 * @throws InvalidOptionError
 * @example
 * import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
 * const store = new MemoryStore({ maxKeys: 10_000 });
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1s" }), store });
 * console.log(limiter.consumeSync("ip:192.0.2.1").remaining); // 4
 * console.log(store.size); // 1
 */
export class MemoryStore extends KeyspaceRegistry implements SyncStore {
  /** Always false: it is inside the process. */
  readonly external = false;
  /** Evictions, for listeners. */
  readonly events = new Events();
  /** The clock by which it decides. */
  readonly clock: Clock;
  /** The most keys that it holds. */
  readonly maxKeys: number;
  /** The most memory that it takes, in bytes. */
  readonly maxBytes: number;
  /** Keeps the state of this store's semaphores. */
  readonly semaphores: SyncSemaphoreStore;
  readonly #closing = new Closing("store");
  /** Fires when the store is closed, with a ClosedError. */
  readonly closed = this.#closing.signal;
  readonly #budget: Budget;
  readonly #arena: Arena;
  readonly #retention: Retention;
  readonly #answer: CallResult & { debits: readonly RowDebit[] } = {
    readiness: READY,
    nowUs: 0,
    granted: 0,
    changed: false,
    receipt: undefined,
    debits: [],
  };
  #evictions = 0;
  readonly #marks = new RefundMarks();

  /** @throws InvalidOptionError */
  constructor(options: MemoryStoreOptions = {}) {
    const links = new SlotLinks();
    super((name, kernel) => {
      const table = tableOf(name, kernel, links);
      this.#retention.tables.push(table);
      return table;
    });
    const { clock = new ElapsedClock(), maxKeys, maxBytes } = OPTIONS.read(options);
    this.clock = clock;
    this.maxKeys = maxKeys;
    this.maxBytes = maxBytes;
    this.#budget = { maxBytes: this.maxBytes, usedBytes: 0 };
    this.#arena = new Arena(this.#budget);
    this.#retention = new Retention({
      arena: this.#arena,
      maxKeys: this.maxKeys,
      budget: this.#budget,
      machine: clock instanceof ElapsedClock ? clock : undefined,
      evicted: (key) => {
        this.#evictions += 1;
        this.events.to.eviction?.(key);
      },
    });
    this.semaphores = new MemorySemaphores({
      clock: this.clock,
      maxKeys: this.maxKeys,
      closing: this.#closing,
      budget: this.#budget,
      makeRoom: (bytes) => {
        this.#begin();
        this.#retention.sweepAll();
        return this.#retention.makeRoom(undefined, 0, bytes);
      },
    });
  }

  /** Keys of limiters held, expired ones that were not yet swept included. */
  get size(): number {
    return this.#arena.size;
  }

  /** What is held, in bytes, each key counted at the most that it can take; semaphores included. */
  get bytes(): number {
    return this.#budget.usedBytes;
  }

  /** Keys that were dropped alive because the store was full: their quota was forgotten. */
  get evictions(): number {
    return this.#evictions;
  }

  /**
   * How much is held now, and how much was dropped; see docs/watch.md.
   *
   * @throws nothing
   * @example
   * import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
   * const store = new MemoryStore();
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * limiter.consumeSync("k");
   * console.log(store.stats().keys, store.stats().evictions); // 1 0
   */
  stats(): MemoryStats {
    return { keys: this.size, bytes: this.bytes, evictions: this.evictions };
  }

  /**
   * Decides a call at once. The result is good until the next call.
   *
   * @throws ClosedError once the store is closed
   * @throws StoreUnavailableError with code "STORE_FULL" if there is no room for a state
   */
  executeSync(call: StoreCall): StoreResult {
    if (this.#closing.isClosed) throw this.#closing.error();
    const rawUs = this.#begin();
    if (call.nonce !== undefined && this.#marks.isDone(call, rawUs)) {
      const debits = call.debits.map((debit) => ({ ...debit, cost: 0 }));
      return this.executeSync({ ...call, verb: VERBS.peek, debits, nonce: undefined });
    }
    const answer = this.#answer;
    this.#decide(call, rawUs);
    // Only after the clock went far back: the decision's time is that of the last change.
    if (answer.readiness === NEED_CALENDAR) this.#decide(call, rawUs, answer.debits);
    if (answer.readiness === LOG_FULL) throw logFullError(call.debits);
    if (answer.changed) this.#save(call.debits, answer.debits);
    return answer;
  }

  /** Decides a call; `done` gets the result before it returns. */
  submit(call: StoreCall, done: Done): void {
    submitSync(this, call, done);
  }

  /**
   * Ends all waits, and every later call, with a ClosedError. There is nothing else to end: the store has no timers and
   * no connections.
   *
   * @throws nothing
   * @example
   * import { MemoryStore, RateLimiter, tokenBucket } from "sluice";
   * const store = new MemoryStore();
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * limiter.consumeSync("k");
   * await store.close();
   * console.log(limiter.closed.aborted); // true
   */
  close(): Promise<void> {
    return this.#closing.end(async () => {});
  }

  /** Reads the clock. */
  #begin(): number {
    const rawUs = this.clock.nowUs();
    this.#retention.begin(rawUs);
    return rawUs;
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
      this.#find(debit, asked, rawUs, before[0]?.nowUs);
      if (verb === VERBS.consume && this.#consumeRow(debit, asked, call.blockUs)) return;
      this.#load(debit, 1);
      if (verb === VERBS.consume) consumeOne(debit, debit.rawUs, call.blockUs, answer);
      else decide(call, lone, 1, debit.rawUs, answer);
      return;
    }
    answer.debits = debits.map((asked, i) => {
      const debit = rowDebit(asked.rule.kernel);
      this.#find(debit, asked, rawUs, before[i]?.nowUs);
      this.#load(debit, debits.length);
      return debit;
    });
    decide(call, answer.debits, debits.length, answer.debits[0]?.rawUs ?? rawUs, answer);
  }

  /** Reads the call's debit, and the position of its key's state, into a debit of the same kernel. */
  #find(
    debit: RowDebit,
    { rule, keyspace, id, cost }: Debit,
    elapsedUs: number,
    calendarUs: number | undefined,
  ): void {
    const rawUs = rule.byWallClock ? this.#retention.wallUs : elapsedUs;
    if (rule.refresh !== undefined) rule.refresh(calendarUs ?? rawUs);
    debit.id = id.length <= LONGEST_ID ? id : digestOf(id);
    debit.slot = (keyspace as Table).slots.get(debit.id) ?? NO_SLOT;
    debit.params = rule.params;
    debit.rawUs = rawUs;
    debit.cost = cost;
  }

  /** Decides a lone consume of the usual kind on its stored row; false if it is of another kind. */
  #consumeRow(debit: RowDebit, { rule, keyspace }: Debit, blockUs: number): boolean {
    const { slot, rawUs } = debit;
    if (slot === NO_SLOT || (keyspace as Table).byWallClock !== rule.byWallClock) return false;
    const expiresAtUs = this.#arena.expiresAtUs(slot);
    if (!this.#arena.consumeRow(debit)) return false;
    const isAdmitted = debit.reason === REASON.ok;
    if (!isAdmitted && blockUs > 0) return false;
    // A later time is found out when the earlier one has come, so that a hot key costs nothing here.
    if (this.#arena.expiresAtUs(slot) < expiresAtUs) {
      this.#retention.unplace(slot);
      this.#retention.place(slot);
    }
    debit.nowUs = rawUs;
    const answer = this.#answer;
    answer.readiness = READY;
    answer.nowUs = rawUs;
    answer.granted = isAdmitted ? debit.cost : 0;
    answer.receipt = undefined;
    // What changed is kept already.
    answer.changed = false;
    return true;
  }

  /** Reads the state of a debit that was found. */
  #load(debit: RowDebit, count: number): void {
    const { slot, kernel, state } = debit;
    if (slot === NO_SLOT) kernel.clear(state);
    else {
      // If room is short, the decision may not be saved, so what is kept outside the row must not be changed.
      const apart = kernel.row === undefined && !this.#retention.fits(count, count * GROWTH_BYTES);
      this.#arena.load(slot, state, kernel, apart);
    }
    debit.storedExpiryMs = state.expiryMs;
  }

  /** Saves all states or none. */
  #save(asked: readonly Debit[], debits: readonly RowDebit[]): void {
    let keys = 0;
    let bytes = 0;
    for (let i = 0; i < debits.length; i++) {
      const debit = debits[i] as RowDebit;
      if (debit.resetUs === 0) continue;
      if (debit.slot === NO_SLOT) keys += 1;
      bytes += this.#growth(debit);
    }
    if ((keys > 0 || bytes > 0) && !this.#retention.fits(keys, bytes)) {
      this.#makeRoom(asked, debits);
    }
    for (let i = 0; i < debits.length; i++) {
      this.#saveOne(debits[i] as RowDebit, asked[i] as Debit);
    }
  }

  /** How many more bytes a debit's state takes than before. */
  #growth({ id, state, kernel, slot, available, rawUs }: RowDebit): number {
    const isHeld = heldUntilUs(state.expiryMs, state.blockedUntilUs, available, rawUs) > 0;
    const beside = Arena.besideBytes(state, kernel, isHeld);
    return slot === NO_SLOT
      ? Arena.rowBytes(id) + beside
      : beside - this.#arena.besideBytesOf(slot);
  }

  /** Gives each new key a row; if there is none for one of them, takes back those of the others. */
  #makeRoom(asked: readonly Debit[], debits: readonly RowDebit[]): void {
    this.#retention.sweepAll();
    const added: number[] = [];
    let pending = 0;
    for (let i = 0; i < debits.length; i++) {
      const debit = debits[i] as RowDebit;
      const table = (asked[i] as Debit).keyspace as Table;
      // The sweep may have freed it, and another debit of the same key may have got one.
      debit.slot = table.slots.get(debit.id) ?? NO_SLOT;
      if (debit.resetUs === 0) continue;
      const isNew = debit.slot === NO_SLOT;
      const bytes = this.#growth(debit);
      if (!this.#retention.makeRoom(table, isNew ? 1 : 0, bytes + pending, debits)) {
        for (const slot of added) this.#arena.free(slot);
        throw new StoreUnavailableError(
          `the store is full: of its ${this.size} keys, ${this.bytes} bytes, none may be dropped to make room for this ` +
            "key; see maxKeys and maxBytes",
          { code: "STORE_FULL", ofKey: true },
        );
      }
      pending += bytes;
      if (!isNew) continue;
      debit.slot = this.#arena.allocate(table, debit.id);
      pending -= Arena.rowBytes(debit.id);
      added.push(debit.slot);
    }
    for (const slot of added) this.#retention.place(slot);
  }

  #saveOne(debit: RowDebit, { keyspace, rule }: Debit): void {
    const { state, kernel, resetUs, available, rawUs } = debit;
    const table = keyspace as Table;
    table.byWallClock = rule.byWallClock;
    if (resetUs === 0) {
      if (debit.slot !== NO_SLOT) this.#retention.drop(debit.slot);
      return;
    }
    const until = heldUntilUs(state.expiryMs, state.blockedUntilUs, available, rawUs);
    if (debit.slot === NO_SLOT) {
      debit.slot = this.#arena.allocate(table, debit.id);
      this.#arena.save(debit.slot, state, kernel, until);
      this.#retention.place(debit.slot);
      return;
    }
    const { slot } = debit;
    // A later time is found out when the earlier one has come, so that a hot key costs nothing here.
    const moves =
      until > 0 ||
      this.#arena.isHeld(slot) ||
      state.expiryMs < debit.storedExpiryMs ||
      debit.storedExpiryMs === 0;
    if (moves) this.#retention.unplace(slot);
    this.#arena.save(slot, state, kernel, until);
    if (moves) this.#retention.place(slot);
  }
}

/** Until when a key may not be dropped for others: blocked, or in debt; 0 = it may. */
function heldUntilUs(
  expiryMs: number,
  blockedUntilUs: number,
  available: number,
  rawUs: number,
): number {
  if (available < 0) return expiryMs * 1e3;
  return blockedUntilUs > rawUs ? blockedUntilUs : 0;
}
