/** How long permits stayed free while somebody waited for one. */

/** That a permit was taken, from and to a moment of the server's clock in µs. */
export interface Occupation {
  readonly fromUs: number;
  readonly toUs: number;
}

export interface Idleness {
  /** The longest time without a break in which not all permits were taken. */
  readonly longestUs: number;
  /** Permit × time, all of it. */
  readonly totalUs: number;
}

/**
 * From the first moment at which all `limit` permits were taken until `endUs`. Permits have no names: one that is
 * lost while the others change hands is lost for as long as never all of them are taken.
 */
export function idlenessOf(
  occupations: readonly Occupation[],
  limit: number,
  endUs: number,
): Idleness {
  const changes = occupations.flatMap(({ fromUs, toUs }) =>
    // A fence may be a few µs past the grant where several came in one.
    [
      { atUs: fromUs, by: 1 },
      { atUs: Math.max(fromUs, toUs), by: -1 },
    ],
  );
  changes.sort((a, b) => a.atUs - b.atUs || a.by - b.by);
  let taken = 0;
  let atUs = 0;
  /** Undefined before all were taken for the first time. */
  let fullAtUs: number | undefined;
  let longestUs = 0;
  let totalUs = 0;
  for (const change of [...changes, { atUs: endUs, by: 0 }]) {
    const untilUs = Math.min(change.atUs, endUs);
    if (fullAtUs !== undefined && untilUs > atUs) {
      if (taken >= limit) fullAtUs = untilUs;
      else totalUs += (limit - taken) * (untilUs - atUs);
      longestUs = Math.max(longestUs, untilUs - fullAtUs);
    }
    taken += change.by;
    atUs = untilUs;
    if (fullAtUs === undefined && taken >= limit) fullAtUs = atUs;
  }
  return { longestUs, totalUs };
}
