/** What token bucket, GCRA and leaky bucket share on the way from options to the kernel. */
import { MAX_UNITS, UNIT } from "../../core/amount.js";
import { CENTURY_US } from "../../core/duration.js";
import { InvalidOptionError } from "../../core/errors.js";
import { mulDiv } from "../../core/mul-div.js";
import type { Compiled } from "../kernel.js";
import {
  bucketKernel,
  type BucketMode,
  type BucketParams,
  bucketParams,
  type BucketState,
} from "./kernel.js";

/** Refuses a bucket that would take more than a hundred years to fill. */
export function checkFillTime(
  option: string,
  limit: number,
  periodMs: number,
  capacity: number,
): void {
  const most = mulDiv(CENTURY_US, Math.round(limit * UNIT), Math.round(periodMs * 1e3)) / UNIT;
  if (capacity > most) {
    throw new InvalidOptionError(
      option,
      capacity,
      `at most ${Math.min(MAX_UNITS, most)}, which is what refills in 100 years`,
    );
  }
}

export function compileBucket(
  limit: number,
  periodMs: number,
  capacity: number,
  mode: BucketMode = "continuous",
): Compiled {
  const params = bucketParams(
    Math.round(limit * UNIT),
    Math.round(periodMs * 1e3),
    Math.round(capacity * UNIT),
    mode,
  );
  return { kernel: bucketKernel, params, windowMs: fillTimeMs(params, periodMs) };
}

/** Of an empty bucket. One that never fills stays empty: its period is the window of its limit. */
function fillTimeMs(params: BucketParams, periodMs: number): number {
  if (params.capacity === 0) return Math.ceil(periodMs);
  return Math.ceil(bucketKernel.timeToFull(emptied(params), params, 0) / 1e3);
}

const emptied = ({ capacity, per }: BucketParams): BucketState => ({
  ...bucketKernel.fresh(),
  used: capacity,
  per,
});
