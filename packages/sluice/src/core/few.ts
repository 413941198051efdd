/**
 * Things that come and go with each call or batch, in lists. They are no sets: V8 gives a set through which many things
 * pass new tables again and again, and each old table keeps the next one, with all that was in it, alive until the next major
 * collection. Meanwhile each minor one has to copy that.
 */
import type { Closing } from "./closing.js";

/** A list of what is under way: what is in it when `closing` ends is called then. */
export function endedBy({ listeners }: Pick<Closing, "listeners">): (() => void)[] {
  const underWay: (() => void)[] = [];
  listeners.add(() => {
    for (const end of underWay.splice(0)) end();
  });
  return underWay;
}

/** Many things, each at a place of its own, which it tells when it goes. */
export class Places<T> {
  readonly #items: (T | undefined)[] = [];
  readonly #free: number[] = [];

  /** Where `item` is from now on. */
  take(item: T): number {
    const place = this.#free.pop() ?? this.#items.length;
    this.#items[place] = item;
    return place;
  }

  /** For a place that was taken, once. */
  leave(place: number): void {
    this.#items[place] = undefined;
    this.#free.push(place);
  }

  /** All that are there, in no order. */
  all(): T[] {
    return this.#items.filter((item) => item !== undefined);
  }
}

/** Takes an item out of a short list, if it is there. */
export function removeFrom<T>(list: T[], item: T): void {
  const place = list.indexOf(item);
  if (place >= 0) list.splice(place, 1);
}
