/**
 * Lists of a few things that come and go with each call or batch. They are no sets: V8 gives a set through which many things
 * pass new tables again and again, and each old table keeps the next one, with all that was in it, alive until the next major
 * collection. Meanwhile each minor one has to copy that.
 */

/** Takes an item out of a short list, if it is there. */
export function removeFrom<T>(list: T[], item: T): void {
  const place = list.indexOf(item);
  if (place >= 0) list.splice(place, 1);
}
