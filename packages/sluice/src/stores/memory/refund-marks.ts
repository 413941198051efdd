/** Which refunds were done, for callers that send one again: each is known for a minute, as in Redis. */
import type { Debit, StoreCall } from "../store.js";

const KEPT_US = 60e6;
/** More refunds a minute are not known again, the oldest ones first. */
const MOST_MARKS = 100_000;

export class RefundMarks {
  /** By when each is forgotten, the first one first. */
  readonly #untilUs = new Map<string, number>();

  /** Whether the refund was done before; from now on it was. */
  isDone({ debits, nonce }: StoreCall, nowUs: number): boolean {
    for (const [mark, untilUs] of this.#untilUs) {
      if (untilUs > nowUs && this.#untilUs.size < MOST_MARKS) break;
      this.#untilUs.delete(mark);
    }
    const { keyspace, id } = debits.at(-1) as Debit;
    const mark = `${keyspace.name}:${id}!${nonce}`;
    if (this.#untilUs.has(mark)) return true;
    this.#untilUs.set(mark, nowUs + KEPT_US);
    return false;
  }
}
