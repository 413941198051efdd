/**
 * The moment at which a store gives calls to its client. Until then they wait in this process, and that says nothing of
 * the server; from then on the client and the server have them. Shared by all calls of a batch.
 */

/**
 * How many hand-overs and decisions there were: the number of the next one in their order. A plain field, since every batch
 * counts.
 */
export const happened = { count: 0 };

/** In this a store notes that a call has been sent. */
export interface HandOver {
  /** Its number among hand-overs and decisions. */
  readonly order: number;
  /** When its clock started; undefined until then. */
  startedAtMs: number | undefined;
  /** Whether one of its calls was decided. */
  isDecided: boolean;
  /** A store that says nothing of hand-overs is assumed to make them at once. */
  readonly isAssumed: boolean;
}

/** The hand-over of a call to a store that does not say when it hands over: `sinceMs`. */
export function assumedHandOver(sinceMs: number): HandOver {
  happened.count += 1;
  return { order: happened.count, startedAtMs: sinceMs, isDecided: false, isAssumed: true };
}

/** What a store is asked, as far as it shows what becomes of it. */
export interface Submitted {
  /** Set once no caller waits for the answer any more: a store that has not handed it over yet may drop it. */
  abandoned?: boolean | undefined;
  /** Set by a store with `marksHandOver`: the last time that it was handed over; undefined while it waits for that. */
  handOver?: HandOver | undefined;
  /** Set if another one was submitted in its place. */
  carrier?: Submitted | undefined;
}

/** Whether no store need go on with it. What must arrive is sent even if its caller has given up. */
export function isDropped({ abandoned, handOver }: Submitted, mustArrive: boolean): boolean {
  return abandoned === true && !(mustArrive && handOver === undefined);
}
