/**
 * States as rows of doubles, in chunks: some 64 bytes a key, no object a key for the garbage collector
 * to walk. A row holds what every state has, then what the kernel's row layout says. Kernels whose
 * state is more than a row keep an object beside it.
 */
import type { Kernel, State } from "../../algorithms/kernel.js";
import type { Space } from "../store.js";

/** The keys of one space. */
export interface Table extends Space {
  readonly kernel: Kernel;
  readonly slots: Map<string, number>;
  /** States are read into this one, decided on, and written back. */
  readonly scratch: State;
}

const ROW = 8;
const EXPIRES = 0;
const LAST = 1;
const BLOCKED = 2;
const INDEBTED = 3;
const KERNEL = 4;

const CHUNK_BITS = 9;
const CHUNK_ROWS = 1 << CHUNK_BITS;

export class Arena {
  readonly #chunks: Float64Array[] = [];
  readonly #ids: string[] = [];
  readonly #tables: (Table | undefined)[] = [];
  readonly #objects = new Map<number, State>();
  readonly #free: number[] = [];

  /** Rows in use. */
  get size(): number {
    return this.#ids.length - this.#free.length;
  }

  /** A row for a new key; `load` must not be called before `save`. */
  allocate(table: Table, id: string): number {
    const slot = this.#free.pop() ?? this.#ids.length;
    if (slot >> CHUNK_BITS >= this.#chunks.length)
      this.#chunks.push(new Float64Array(CHUNK_ROWS * ROW));
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
    this.#free.push(slot);
  }

  load(slot: number, state: State, kernel: Kernel): void {
    const row = this.#row(slot);
    const at = this.#offset(slot);
    if (kernel.row === undefined) Object.assign(state, this.#objects.get(slot));
    else kernel.row.load(state, row, at + KERNEL);
    state.lastUs = row[at + LAST] as number;
    state.blockedUntilUs = row[at + BLOCKED] as number;
    state.expiryMs = row[at + EXPIRES] as number;
  }

  save(slot: number, state: State, kernel: Kernel, indebted: boolean): void {
    const row = this.#row(slot);
    const at = this.#offset(slot);
    row[at + EXPIRES] = state.expiryMs;
    row[at + LAST] = state.lastUs;
    row[at + BLOCKED] = state.blockedUntilUs;
    row[at + INDEBTED] = indebted ? 1 : 0;
    if (kernel.row === undefined) this.#objects.set(slot, { ...state });
    else kernel.row.save(state, row, at + KERNEL);
  }

  expiresAtUs(slot: number): number {
    return (this.#row(slot)[this.#offset(slot) + EXPIRES] as number) * 1e3;
  }

  /** Whether the key is blocked or in debt: evicting it would set an offender free. */
  isProtected(slot: number, nowUs: number): boolean {
    const row = this.#row(slot);
    const at = this.#offset(slot);
    return row[at + INDEBTED] === 1 || (row[at + BLOCKED] as number) > nowUs;
  }

  #row(slot: number): Float64Array {
    return this.#chunks[slot >> CHUNK_BITS] as Float64Array;
  }

  #offset(slot: number): number {
    return (slot & (CHUNK_ROWS - 1)) * ROW;
  }
}
