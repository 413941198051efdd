/**
 * Whether what concurrent callers were told could have come from one after another: the search of Wing and
 * Gong, with Lowe's memory of dead ends. An order counts if it keeps what really came first, and if a
 * sequential model, asked in that order, gives everybody the answer that he got.
 */

/** One call of a history. Moments are numbers in the order of events, no two the same. */
export interface Interval {
  readonly begin: number;
  readonly end: number;
  /** Calls of one client on one key keep the order in which it made them, even those it made without waiting. */
  readonly client: number;
  /** What the call is about; undefined = everything. */
  readonly keys?: readonly string[] | undefined;
  /** The clock that decided, where it is known: it never goes back along the order. */
  readonly atUs?: number | undefined;
  /** Whether it was decided at a time that nobody was told, which later calls may show. */
  readonly isUntold?: boolean;
}

/** The sequential object, able to go back to where it was. */
export interface Model<C, S> {
  /** Does the call; whether its answer is the one that was observed. */
  admits(call: C): Promise<boolean>;
  save(): S;
  restore(state: S): void;
  /** The same text for the same state. */
  describe(state: S): string;
}

export interface Linearization<C> {
  readonly found: boolean;
  /** All calls in an order that explains them or, where there is none, the most that any order explains. */
  readonly order: readonly C[];
}

/** Finds an order of `history`, which is sorted by `begin`, that `model` explains. */
export async function linearize<C extends Interval, S>(
  history: readonly C[],
  model: Model<C, S>,
): Promise<Linearization<C>> {
  const deadEnds = new Set<string>();
  const order: C[] = [];
  let longest: readonly C[] = [];

  const extend = async (left: readonly C[]): Promise<boolean> => {
    if (left.length === 0) return true;
    const here = model.save();
    const place = `${left.map(({ begin }) => begin).join()} ${model.describe(here)}`;
    if (deadEnds.has(place)) return false;
    for (const next of left) {
      if (left.some((other) => precedes(other, next))) continue;
      for (const atUs of timesOf(next, left)) {
        if (await model.admits({ ...next, atUs })) {
          order.push(next);
          if (order.length > longest.length) longest = [...order];
          if (await extend(left.filter((call) => call !== next))) return true;
          order.pop();
        }
        model.restore(here);
      }
    }
    deadEnds.add(place);
    return false;
  };

  const found = await extend(history);
  return { found, order: longest };
}

/** When the call may have been decided: as it was told, else as the call before it or with one that is to come. */
function timesOf(call: Interval, left: readonly Interval[]): Iterable<number | undefined> {
  if (call.isUntold !== true) return [call.atUs];
  return new Set([undefined, ...left.map(({ atUs }) => atUs)]);
}

function precedes(a: Interval, b: Interval): boolean {
  if (a.end < b.begin) return true;
  if (a.client === b.client && a.begin < b.begin && shareKeys(a, b)) return true;
  return a.atUs !== undefined && b.atUs !== undefined && a.atUs < b.atUs;
}

function shareKeys({ keys: ours }: Interval, { keys: theirs }: Interval): boolean {
  return ours === undefined || theirs === undefined || ours.some((key) => theirs.includes(key));
}
