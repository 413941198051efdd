/**
 * Every algorithm, in the order in which they are listed to users. Adding one is its folder and a line here; the
 * folder's tools.ts, like its twin in Lua, is found by `npm run generate`.
 */
import { calendarWindowAlgorithm } from "./calendar-window/policy.js";
import { fixedWindowAlgorithm } from "./fixed-window/policy.js";
import { gcraAlgorithm } from "./gcra/policy.js";
import { leakyBucketAlgorithm } from "./leaky-bucket/policy.js";
import { slidingLogAlgorithm } from "./sliding-log/policy.js";
import { slidingWindowAlgorithm } from "./sliding-window/policy.js";
import { tokenBucketAlgorithm } from "./token-bucket/policy.js";

export const algorithms = [
  tokenBucketAlgorithm,
  gcraAlgorithm,
  leakyBucketAlgorithm,
  fixedWindowAlgorithm,
  calendarWindowAlgorithm,
  slidingWindowAlgorithm,
  slidingLogAlgorithm,
] as const;
