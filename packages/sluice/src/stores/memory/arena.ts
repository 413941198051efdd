/**
 * States as rows of doubles, in chunks: 48 bytes a key, no object a key for the garbage collector to walk. A row holds what
 * every state has, then what the kernel's row layout says. What few keys have is stored outside the rows: blocks, lines,
 * and the states of kernels that need more than a row.
 */
import type { DebitState } from "../../algorithms/decide.js";
import {
  type Kernel,
  type Reservations,
  ROW_EXPIRY,
  ROW_KERNEL,
  ROW_LAST,
  type State,
} from "../../algorithms/kernel.js";
import type { Keyspace } from "../store.js";
import { ExpiryRing, type SlotLinks } from "./expiry-ring.js";

/** A debit with the position of its state. */
export interface RowDebit extends DebitState {
  /** What its key is kept as. */
  id: string;
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
  /** What its keys take. */
  bytes: number;
  /** Keys that may be dropped if the store is full, by when they expire. */
  readonly open: ExpiryRing;
  /** Keys that are blocked or in debt, by when that ends. */
  readonly held: ExpiryRing;
  /** States of calls with one debit are read into this one, decided on, and written back. */
  readonly lone: readonly [RowDebit];
}

export function tableOf(name: string, kernel: Kernel, links: SlotLinks): Table {
  return {
    name,
    kernel,
    slots: new Map(),
    byWallClock: false,
    bytes: 0,
    open: new ExpiryRing(links),
    held: new ExpiryRing(links),
    lone: [rowDebit(kernel)],
  };
}

export function rowDebit(kernel: Kernel): RowDebit {
  return {
    kernel,
    params: NO_PARAMS,
    state: kernel.fresh(),
    id: "",
    slot: NO_SLOT,
    storedExpiryMs: 0,
    rawUs: 0,
    nowUs: 0,
    cost: 0,
    asked: 0,
    reason: 0,
    available: 0,
    waitUs: 0,
    resetUs: 0,
  };
}

/** What a key has outside its row. */
interface Beside {
  /** The state, if the kernel has no row layout. */
  state: State | undefined;
  blockedUntilUs: number;
  /** Until then the key is not dropped if others can be, by the clock that decided it; 0 = it may go. */
  heldUntilUs: number;
  reservations: Reservations | undefined;
  bytes: number;
}

export const NO_SLOT = -1;
const NO_PARAMS = Object.freeze({ capacity: 0 });

/** What all keys of a store may take, and what they do. */
export interface Budget {
  readonly maxBytes: number;
  usedBytes: number;
}

const ROW = 6;

const CHUNK_BITS = 12;
const CHUNK_ROWS = 1 << CHUNK_BITS;

/**
 * Bytes of a key: its row, its links, its entries in two lists and in a Map that has just grown, and the header of its id.
 * Each is counted at its worst, so that a store never takes more than it says.
 */
const ROW_BYTES = 176;
const BYTES_PER_CHARACTER = 2;
/** An entry of `#beside`, in a Map that has just grown. */
const BESIDE_BYTES = 160;
const RESERVATIONS_BYTES = 64;

export class Arena {
  readonly #budget: Budget;
  readonly #chunks: Float64Array[] = [];
  readonly #ids: string[] = [];
  readonly #tables: (Table | undefined)[] = [];
  readonly #beside = new Map<number, Beside>();
  readonly #free: number[] = [];

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** Rows in use. */
  get size(): number {
    return this.#ids.length - this.#free.length;
  }

  /** Bytes of a row with this id, without what is outside the row. */
  static rowBytes(id: string): number {
    return ROW_BYTES + id.length * BYTES_PER_CHARACTER;
  }

  /** Bytes of a state outside its row. */
  static besideBytes(state: State, kernel: Kernel, isHeld: boolean): number {
    const { blockedUntilUs, reservations } = state;
    const isBare = kernel.row !== undefined && blockedUntilUs === 0 && reservations === undefined;
    if (isBare && !isHeld) return 0;
    const ofState = kernel.besideBytes?.(state) ?? 0;
    return BESIDE_BYTES + ofState + (reservations === undefined ? 0 : RESERVATIONS_BYTES);
  }

  /** The same of a row as it was last saved. */
  besideBytesOf(slot: number): number {
    return this.#besideOf(slot)?.bytes ?? 0;
  }

  /** A row for a new key; `load` must not be called before `save`. */
  allocate(table: Table, id: string): number {
    const slot = this.#free.pop() ?? this.#ids.length;
    if (slot >> CHUNK_BITS >= this.#chunks.length) {
      this.#chunks.push(new Float64Array(CHUNK_ROWS * ROW));
    }
    this.#row(slot)[this.#offset(slot) + ROW_EXPIRY] = 0;
    const kept = ownCopy(id);
    this.#ids[slot] = kept;
    this.#tables[slot] = table;
    table.slots.set(kept, slot);
    this.#count(table, Arena.rowBytes(id));
    return slot;
  }

  free(slot: number): void {
    const table = this.tableOf(slot);
    const id = this.#ids[slot] as string;
    this.#count(table, -Arena.rowBytes(id) - this.besideBytesOf(slot));
    table.slots.delete(id);
    this.#ids[slot] = "";
    this.#tables[slot] = undefined;
    this.#beside.delete(slot);
    this.#free.push(slot);
  }

  /** With `apart` the state shares nothing with the stored one: what is decided on it may come to nothing. */
  load(slot: number, state: State, kernel: Kernel, apart = false): void {
    const row = this.#row(slot);
    const at = this.#offset(slot);
    const beside = this.#besideOf(slot);
    if (kernel.row !== undefined) kernel.row.load(state, row, at + ROW_KERNEL);
    else {
      const stored = beside?.state as State;
      Object.assign(state, apart ? kernel.copy(stored) : stored);
    }
    state.expiryMs = Math.abs(row[at + ROW_EXPIRY] as number);
    state.lastUs = row[at + ROW_LAST] as number;
    state.blockedUntilUs = beside === undefined ? 0 : beside.blockedUntilUs;
    state.reservations = beside?.reservations;
  }

  /**
   * Decides a consume of the usual kind on the row itself; false if it is of another kind, and nothing has changed. See
   * `consumeRow` of kernels.
   */
  consumeRow(debit: RowDebit): boolean {
    const { slot, kernel, params, cost, rawUs } = debit;
    if (kernel.consumeRow === undefined || this.#besideOf(slot) !== undefined) return false;
    return kernel.consumeRow(this.#row(slot), this.#offset(slot), params, cost, rawUs, debit);
  }

  save(slot: number, state: State, kernel: Kernel, heldUntilUs: number): void {
    const row = this.#row(slot);
    const at = this.#offset(slot);
    const isHeld = heldUntilUs > 0;
    row[at + ROW_EXPIRY] = isHeld ? -state.expiryMs : state.expiryMs;
    row[at + ROW_LAST] = state.lastUs;
    if (kernel.row !== undefined) kernel.row.save(state, row, at + ROW_KERNEL);
    const bytes = Arena.besideBytes(state, kernel, isHeld);
    if (bytes === 0 && this.#beside.size === 0) return;
    this.#saveBeside(slot, state, kernel, heldUntilUs, bytes);
  }

  /** Whose row it is. */
  keyOf(slot: number): { readonly keyspace: string; readonly id: string } {
    return { keyspace: this.#tables[slot]?.name ?? "", id: this.#ids[slot] ?? "" };
  }

  tableOf(slot: number): Table {
    return this.#tables[slot] as Table;
  }

  expiresAtUs(slot: number): number {
    return Math.abs(this.#row(slot)[this.#offset(slot) + ROW_EXPIRY] as number) * 1e3;
  }

  /** Whether the key was blocked or in debt when it was last saved: evicting it would set an offender free. */
  isHeld(slot: number): boolean {
    return (this.#row(slot)[this.#offset(slot) + ROW_EXPIRY] as number) < 0;
  }

  /** Until when it is: a time of the past once that is over. */
  heldUntilUs(slot: number): number {
    return this.#besideOf(slot)?.heldUntilUs ?? 0;
  }

  /** The key may be dropped from now on. */
  letGo(slot: number): void {
    const row = this.#row(slot);
    const at = this.#offset(slot) + ROW_EXPIRY;
    row[at] = Math.abs(row[at] as number);
  }

  #saveBeside(
    slot: number,
    state: State,
    kernel: Kernel,
    heldUntilUs: number,
    bytes: number,
  ): void {
    const before = this.#beside.get(slot);
    this.#count(this.tableOf(slot), bytes - (before?.bytes ?? 0));
    if (bytes === 0) {
      this.#beside.delete(slot);
      return;
    }
    const { blockedUntilUs, reservations } = state;
    const kept = kernel.row === undefined ? { ...state } : undefined;
    this.#beside.set(slot, { state: kept, blockedUntilUs, heldUntilUs, reservations, bytes });
  }

  #besideOf(slot: number): Beside | undefined {
    return this.#beside.size === 0 ? undefined : this.#beside.get(slot);
  }

  #count(table: Table, bytes: number): void {
    table.bytes += bytes;
    this.#budget.usedBytes += bytes;
  }

  #row(slot: number): Float64Array {
    return this.#chunks[slot >> CHUNK_BITS] as Float64Array;
  }

  #offset(slot: number): number {
    return (slot & (CHUNK_ROWS - 1)) * ROW;
  }
}

/** Shorter strings are never views of others. */
const SHORTEST_VIEW = 13;

/**
 * The id alone: one that was cut out of a longer text would keep all of that text. Joined from two parts, since engines
 * copy those to one flat text: V8 takes twice as long to look up a view, in a Map, as all else that finds a row.
 */
function ownCopy(id: string): string {
  return id.length < SHORTEST_VIEW ? id : [id.charAt(0), id.slice(1)].join("");
}
