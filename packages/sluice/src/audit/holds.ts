/** The permits in a semaphore's logs, in columns. */
import { Column, NONE, orUndefined, type Rows } from "./columns.js";

/** One permit that was held, as far as the logs tell. */
export interface Hold {
  /** The key that is held. */
  readonly key: string;
  /** The permit's fencing token. */
  readonly fence: number;
  /** The number of the waiter in line. */
  readonly ticket: number;
  /** How much of the limit it took. */
  readonly weight: number;
  /** When its lease ends, as it was last logged: µs since the epoch. */
  readonly untilUs: number;
  /** The last moment at which it was certainly held: µs since the epoch, by the store's clock. */
  readonly surelyUs: number;
  /** A release was sent; it may have been done. */
  readonly isReleasing: boolean;
  /** When it was released, by the store's clock, in µs; undefined if it was not. */
  readonly releasedAtUs: number | undefined;
  /** File and line of the grant. */
  readonly place: string;
}

/** What a later line of the log may change. */
export type HoldChanges = Partial<
  Pick<Hold, "untilUs" | "surelyUs" | "isReleasing" | "releasedAtUs">
>;

type Field = Exclude<keyof Hold, "place"> | "file" | "line";

export class Holds implements Rows<Hold>, Iterable<Hold> {
  readonly files: string[] = [];
  readonly keys: string[] = [];
  readonly #columns: Readonly<Record<Field, Column>> = {
    key: new Column(),
    fence: new Column(),
    ticket: new Column(),
    weight: new Column(),
    untilUs: new Column(),
    surelyUs: new Column(),
    isReleasing: new Column(),
    releasedAtUs: new Column(),
    file: new Column(),
    line: new Column(),
  };
  /** The number of each key, and its rows by fence. */
  readonly #known = new Map<string, { number: number; rows: Map<number, number> }>();

  get length(): number {
    return this.#columns.fence.length;
  }

  /** The row of a permit. */
  find(key: string, fence: number): number | undefined {
    return this.#known.get(key)?.rows.get(fence);
  }

  /** Of the last of `files`. */
  push(
    hold: Pick<Hold, "key" | "fence" | "ticket" | "weight" | "untilUs" | "surelyUs">,
    line: number,
  ): void {
    const { key, ...numbers } = hold;
    let known = this.#known.get(key);
    if (known === undefined) {
      known = { number: this.keys.push(key) - 1, rows: new Map() };
      this.#known.set(key, known);
    }
    known.rows.set(numbers.fence, this.length);
    const columns = this.#columns;
    columns.key.push(known.number);
    columns.fence.push(numbers.fence);
    columns.ticket.push(numbers.ticket);
    columns.weight.push(numbers.weight);
    columns.untilUs.push(numbers.untilUs);
    columns.surelyUs.push(numbers.surelyUs);
    columns.isReleasing.push(0);
    columns.releasedAtUs.push(NONE);
    columns.file.push(this.files.length - 1);
    columns.line.push(line);
  }

  change(row: number, changes: HoldChanges): void {
    for (const [field, value] of Object.entries(changes)) {
      this.#columns[field as keyof HoldChanges].set(row, Number(value));
    }
  }

  keyNumber(row: number): number {
    return this.#columns.key.get(row);
  }

  place(row: number): string {
    return `${this.files[this.#columns.file.get(row)] ?? ""}:${this.#columns.line.get(row)}`;
  }

  at(row: number): Hold | undefined {
    if (row >= this.length) return undefined;
    const columns = this.#columns;
    return {
      key: this.keys[this.keyNumber(row)] as string,
      fence: columns.fence.get(row),
      ticket: columns.ticket.get(row),
      weight: columns.weight.get(row),
      untilUs: columns.untilUs.get(row),
      surelyUs: columns.surelyUs.get(row),
      isReleasing: columns.isReleasing.get(row) === 1,
      releasedAtUs: orUndefined(columns.releasedAtUs.get(row)),
      place: this.place(row),
    };
  }

  *[Symbol.iterator](): Generator<Hold> {
    for (let row = 0; row < this.length; row++) yield this.at(row) as Hold;
  }
}
