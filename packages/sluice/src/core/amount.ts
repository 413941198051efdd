/** Amounts: callers speak of units, the kernels count integer thousandths of a unit. */
import { InvalidOptionError } from "./errors.js";
import { grouped } from "./shown.js";
import { meantNumber } from "./slips.js";

/** Thousandths in a unit. */
export const UNIT = 1000;
/** The largest limit, burst, capacity or cost, in units. */
export const MAX_UNITS = 1e9;

const TOLERANCE = 1e-9;

/**
 * Units to integer thousandths. A value that is not a whole thousandth (within 1e-9, so that
 * `0.1 + 0.2` passes) is refused rather than rounded: rounding would break exactness silently.
 */
export function toThousandths(
  option: string,
  units: unknown,
  minimum = 0,
  maximum = MAX_UNITS,
): number {
  if (typeof units === "number" && units >= minimum && units <= maximum) {
    const thousandths = Math.round(units * UNIT);
    if (Math.abs(units - thousandths / UNIT) <= TOLERANCE) return thousandths;
  }
  throw new InvalidOptionError(
    option,
    units,
    `a number of units from ${grouped(minimum)} to ${grouped(maximum)} in whole thousandths`,
    { hint: meantNumber(units, (meant) => meant >= minimum && meant <= maximum) },
  );
}
