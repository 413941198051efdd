/**
 * Which keys stay in memory. Those that have expired go, a few at each call. If the store is full, others go early, and
 * each keyspace keeps its share, so that a flood of one costs the others nothing.
 */
import type { ElapsedClock } from "../../core/clock.js";
import type { Evicted } from "../../events/events.js";
import { type Arena, type Budget, NO_SLOT, type RowDebit, type Table } from "./arena.js";
import type { ExpiryRing } from "./expiry-ring.js";

/** Expired keys looked at on each call: more than one, so that sweeping outruns any inflow of keys. */
const SWEPT_PER_CALL = 4;
/** Buckets of a ring walked on each call. */
const STEPS_PER_CALL = 64;
/** Rings looked at on each call. */
const RINGS_PER_CALL = 16;
/** Candidates looked at for one eviction. */
const EVICTION_SAMPLE = 16;
/** How many times candidates that expire later than their bucket in the ring are moved to the right one. */
const RELOCATIONS = 64;
const SECOND_US = 1e6;

/** What is short: slots for keys, or bytes. */
interface Shortage {
  readonly needed: number;
  readonly limit: number;
  readonly heldBy: (table: Table) => number;
}

export interface RetentionOptions {
  readonly arena: Arena;
  readonly maxKeys: number;
  readonly budget: Budget;
  /** The machine's clocks, if the store goes by them; undefined if a test's clock is all there is. */
  readonly machine: ElapsedClock | undefined;
  /** Called with each key that is dropped alive. */
  readonly evicted: (key: Evicted) => void;
}

export class Retention {
  readonly maxKeys: number;
  readonly tables: Table[] = [];
  readonly #arena: Arena;
  readonly #budget: Budget;
  readonly #evicted: (key: Evicted) => void;
  /** The machine's clocks, if the store goes by them. */
  readonly #machine: ElapsedClock | undefined;
  /** The time that has passed: in a typed array, because V8 would allocate a heap number for a field at each call. */
  readonly #time = new Float64Array(1);
  #sweepAtUs = 0;
  /** The ring to be swept next, and how many before it have been swept since the last whole round. */
  #ring = 0;
  #clean = 0;
  /** The second for which those before it are clean. */
  #sweptSecond = 0;

  constructor({ arena, maxKeys, budget, machine, evicted }: RetentionOptions) {
    this.#arena = arena;
    this.maxKeys = maxKeys;
    this.#budget = budget;
    this.#machine = machine;
    this.#evicted = evicted;
  }

  /** A call begins, at the time that has passed. */
  begin(nowUs: number): void {
    this.#time[0] = nowUs;
    if (nowUs >= this.#sweepAtUs || nowUs < this.#sweepAtUs - 2 * SECOND_US) this.#sweep();
  }

  /** The wall clock of the running call, by which some policies are decided; a test's clock if that is the store's. */
  get wallUs(): number {
    return this.#machine === undefined ? this.#nowUs : this.#machine.wallUs;
  }

  get #nowUs(): number {
    return this.#time[0] as number;
  }

  /** Whether as many more keys and bytes fit without anything having to go. */
  fits(keys: number, bytes: number): boolean {
    return (
      this.#arena.size + keys <= this.maxKeys &&
      this.#budget.usedBytes + bytes <= this.#budget.maxBytes
    );
  }

  /** Puts a saved row into the ring, in which it is found when it expires. */
  place(slot: number): void {
    const table = this.#arena.tableOf(slot);
    if (this.#arena.isHeld(slot)) table.held.add(slot, this.#heldUntilUs(slot), this.#nowUs);
    else table.open.add(slot, this.#expiresAtUs(slot), this.#nowUs);
  }

  /** Before a placed row is saved or freed in another place. */
  unplace(slot: number): void {
    const table = this.#arena.tableOf(slot);
    (this.#arena.isHeld(slot) ? table.held : table.open).remove(slot);
  }

  drop(slot: number): void {
    this.unplace(slot);
    this.#arena.free(slot);
  }

  /** Frees all that has expired. */
  sweepAll(): void {
    for (const table of this.tables) {
      for (const ring of [table.held, table.open]) {
        let found = true;
        while (found) found = this.#sweepRing(table, ring, Number.POSITIVE_INFINITY);
      }
    }
  }

  /**
   * Makes room for `keys` more keys of a keyspace and `bytes` more: drops the key nearest its expiry of the keyspace that
   * holds most. A keyspace below its share takes even a held one of those above theirs. Never drops what the running
   * call works on. False if there is no room to be made; what has expired must have been swept.
   */
  makeRoom(
    table: Table | undefined,
    keys: number,
    bytes: number,
    own: readonly RowDebit[] = [],
  ): boolean {
    for (;;) {
      const shortage = this.#shortage(keys, bytes);
      if (shortage === undefined) return true;
      const victim = this.#victim(table, shortage, own);
      if (victim === NO_SLOT) return false;
      // What expired within the running second is no loss.
      if (this.#expiresAtUs(victim) > this.#nowUs) this.#evicted(this.#arena.keyOf(victim));
      this.drop(victim);
    }
  }

  #shortage(keys: number, bytes: number): Shortage | undefined {
    const { maxBytes, usedBytes } = this.#budget;
    if (this.#arena.size + keys > this.maxKeys) {
      return { needed: keys, limit: this.maxKeys, heldBy: (table) => table.slots.size };
    }
    if (usedBytes + bytes <= maxBytes) return undefined;
    return { needed: bytes, limit: maxBytes, heldBy: (table) => table.bytes };
  }

  #victim(
    table: Table | undefined,
    { needed, limit, heldBy }: Shortage,
    own: readonly RowDebit[],
  ): number {
    const inUse = this.tables.filter((each) => each === table || each.slots.size > 0);
    for (const each of inUse) {
      const expired = this.#expiredNow(each, own);
      if (expired !== NO_SLOT) return expired;
    }
    // Semaphores are like one more keyspace.
    const share = limit / (inUse.length + (table === undefined ? 1 : 0));
    const mine = table === undefined ? 0 : heldBy(table);
    const isBelow = mine === 0 || mine + needed <= share;
    const above = inUse
      .filter((each) => each !== table && heldBy(each) > share)
      .concat(table === undefined || isBelow ? [] : table)
      .sort((a, b) => heldBy(b) - heldBy(a));
    for (const each of above) {
      const victim = this.#nearest(each, each.open, own);
      if (victim !== NO_SLOT) return victim;
      const ended = this.#nearest(each, each.held, own);
      if (ended !== NO_SLOT && this.#heldUntilUs(ended) <= this.#nowUs) return ended;
    }
    for (const each of isBelow && table !== undefined ? above : []) {
      const victim = this.#nearest(each, each.held, own);
      if (victim !== NO_SLOT) return victim;
    }
    return table === undefined || !isBelow ? NO_SLOT : this.#nearest(table, table.open, own);
  }

  /** A key that expired within the running second, which is swept when that is over. */
  #expiredNow(table: Table, own: readonly RowDebit[]): number {
    if (table.open.soonestEndUs() > this.#nowUs + SECOND_US) return NO_SLOT;
    const nearest = this.#nearest(table, table.open, own);
    return nearest !== NO_SLOT && this.#expiresAtUs(nearest) <= this.#nowUs ? nearest : NO_SLOT;
  }

  /** The key of a ring that expires first, to a second; if that is far away, the first of a sample. */
  #nearest(table: Table, ring: ExpiryRing, own: readonly RowDebit[]): number {
    const timeOf = (slot: number): number =>
      ring === table.held ? this.#heldUntilUs(slot) : this.#expiresAtUs(slot);
    for (let relocation = 0; ; relocation++) {
      const slots = [...ring.soonest(EVICTION_SAMPLE + own.length)];
      let nearest = NO_SLOT;
      for (const slot of slots) {
        if (own.some((debit) => debit.slot === slot)) continue;
        if (nearest === NO_SLOT || timeOf(slot) < timeOf(nearest)) nearest = slot;
      }
      if (nearest === NO_SLOT || slots.length === ring.size) return nearest;
      const endUs = ring.soonestEndUs();
      if (timeOf(nearest) < endUs || relocation === RELOCATIONS) return nearest;
      for (const slot of slots) {
        ring.remove(slot);
        ring.add(slot, timeOf(slot), this.#nowUs);
      }
    }
  }

  /** Frees a few expired keys; each call goes on at the point where the last one stopped. */
  #sweep(): void {
    const rings = this.tables.length * 2;
    const second = Math.floor(this.#nowUs / SECOND_US);
    // What was clean when a round began may have expired keys since.
    if (second !== this.#sweptSecond) this.#clean = 0;
    this.#sweptSecond = second;
    let left = SWEPT_PER_CALL;
    for (let i = 0; i < RINGS_PER_CALL && this.#clean < rings; i++) {
      const table = this.tables[this.#ring >> 1] as Table;
      const ring = this.#ring % 2 === 0 ? table.open : table.held;
      while (left > 0 && this.#sweepRing(table, ring, STEPS_PER_CALL)) left -= 1;
      if (left === 0 || ring.isBehind(this.#nowUs)) return;
      this.#ring = (this.#ring + 1) % rings;
      this.#clean += 1;
    }
    if (this.#clean < rings) return;
    this.#clean = 0;
    this.#sweepAtUs = (second + 1) * SECOND_US;
  }

  /** Frees or moves one key of a ring whose time has come; false if there is none. */
  #sweepRing(table: Table, ring: ExpiryRing, steps: number): boolean {
    const slot = ring.takeDue(this.#nowUs, steps);
    if (slot === NO_SLOT) return false;
    if (this.#expiresAtUs(slot) <= this.#nowUs) this.#arena.free(slot);
    else {
      if (ring === table.held && this.#heldUntilUs(slot) <= this.#nowUs) this.#arena.letGo(slot);
      this.place(slot);
    }
    return true;
  }

  /** When a state expires, in time that has passed. */
  #expiresAtUs(slot: number): number {
    return this.#arena.expiresAtUs(slot) + this.#aheadUs(slot);
  }

  #heldUntilUs(slot: number): number {
    return this.#arena.heldUntilUs(slot) + this.#aheadUs(slot);
  }

  /** How far time that has passed is ahead of the clock by which a state was decided. */
  #aheadUs(slot: number): number {
    return this.#arena.tableOf(slot).byWallClock ? this.#nowUs - this.wallUs : 0;
  }
}
