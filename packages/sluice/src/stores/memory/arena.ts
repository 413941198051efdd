/**
 * States as rows of doubles, in chunks: 48 bytes a key, no object a key for the garbage collector to
 * walk. A row holds what every state has, then what the kernel's row layout says. What few keys have
 * stands beside the rows: blocks, lines, and the states of kernels that need more than a row.
 */
import type { DebitState } from "../../algorithms/decide.js";
import type { Kernel, Reservations, State } from "../../algorithms/kernel.js";
import type { Keyspace } from "../store.js";

/** A debit with the place of its state. */
export interface RowDebit extends DebitState {
  slot: number;
  /** The state's expiry before the call. */
  storedExpiryMs: number;
}

/** The keys of one keyspace. */
export interface Table extends Keyspace {
  readonly kernel: Kernel;
  readonly slots: Map<string, number>;
  /** Whether its states were last decided by the wall clock; else by the time that has passed. */
  byWallClock: boolean;
  /** States of calls with one debit are read into this one, decided on, and written back. */
  readonly lone: readonly [RowDebit];
}

const ROW = 6;
/** The expiry in ms, negative for a key in debt. */
const EXPIRES = 0;
const LAST = 1;
const KERNEL = 2;

const CHUNK_BITS = 12;
const CHUNK_ROWS = 1 << CHUNK_BITS;

export class Arena {
  readonly #chunks: Float64Array[] = [];
  readonly #ids: string[] = [];
  readonly #tables: (Table | undefined)[] = [];
  readonly #objects = new Map<number, State>();
  readonly #blockedUntilUs = new Map<number, number>();
  readonly #reservations = new Map<number, Reservations>();
  readonly #free: number[] = [];

  /** Rows in use. */
  get size(): number {
    return this.#ids.length - this.#free.length;
  }

  /** A row for a new key; `load` must not be called before `save`. */
  allocate(table: Table, id: string): number {
    const slot = this.#free.pop() ?? this.#ids.length;
    if (slot >> CHUNK_BITS >= this.#chunks.length) {
      this.#chunks.push(new Float64Array(CHUNK_ROWS * ROW));
    }
    this.#ids[slot] = id;
    this.#tables[slot] = table;
    table.slots.set(id, slot);
    return slot;
  }

  free(slot: number): void {
    this.#tables[slot]?.slots.delete(this.#ids[slot] as string);
    this.#ids[slot] = "";
    this.#tables[slot] = undefined;
    this.#objects.delete(slot);
    this.#blockedUntilUs.delete(slot);
    this.#reservations.delete(slot);
    this.#free.push(slot);
  }

  load(slot: number, state: State, kernel: Kernel): void {
    const row = this.#row(slot);
    const at = this.#offset(slot);
    if (kernel.row === undefined) Object.assign(state, this.#objects.get(slot));
    else kernel.row.load(state, row, at + KERNEL);
    state.expiryMs = Math.abs(row[at + EXPIRES] as number);
    state.lastUs = row[at + LAST] as number;
    state.blockedUntilUs = this.#blockedUntil(slot);
    state.reservations = this.#reservations.size === 0 ? undefined : this.#reservations.get(slot);
  }

  save(slot: number, state: State, kernel: Kernel, indebted: boolean): void {
    const row = this.#row(slot);
    const at = this.#offset(slot);
    if (kernel.row === undefined) this.#objects.set(slot, { ...state });
    else kernel.row.save(state, row, at + KERNEL);
    row[at + EXPIRES] = indebted ? -state.expiryMs : state.expiryMs;
    row[at + LAST] = state.lastUs;
    if (state.blockedUntilUs > 0) this.#blockedUntilUs.set(slot, state.blockedUntilUs);
    else if (this.#blockedUntilUs.size > 0) this.#blockedUntilUs.delete(slot);
    if (state.reservations !== undefined) this.#reservations.set(slot, state.reservations);
    else if (this.#reservations.size > 0) this.#reservations.delete(slot);
  }

  /** Whose row it is. */
  keyOf(slot: number): { readonly keyspace: string; readonly id: string } {
    return { keyspace: this.#tables[slot]?.name ?? "", id: this.#ids[slot] ?? "" };
  }

  isByWallClock(slot: number): boolean {
    return this.#tables[slot]?.byWallClock === true;
  }

  expiresAtUs(slot: number): number {
    return Math.abs(this.#row(slot)[this.#offset(slot) + EXPIRES] as number) * 1e3;
  }

  /** Whether the key lives and is blocked or in debt: evicting it would set an offender free. */
  isProtected(slot: number, nowUs: number): boolean {
    if (this.expiresAtUs(slot) <= nowUs) return false;
    const indebted = (this.#row(slot)[this.#offset(slot) + EXPIRES] as number) < 0;
    return indebted || this.#blockedUntil(slot) > nowUs;
  }

  #blockedUntil(slot: number): number {
    return this.#blockedUntilUs.size === 0 ? 0 : (this.#blockedUntilUs.get(slot) ?? 0);
  }

  #row(slot: number): Float64Array {
    return this.#chunks[slot >> CHUNK_BITS] as Float64Array;
  }

  #offset(slot: number): number {
    return (slot & (CHUNK_ROWS - 1)) * ROW;
  }
}
