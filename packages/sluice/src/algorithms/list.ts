/**
 * Every algorithm, in the order in which they are listed to users. Adding one is its folder and a line here, and an
 * export from index.ts for users; `npm run generate` finds the folder's tools.ts and Lua, and writes generated.ts files.
 */
import { calendarWindowAlgorithm } from "./calendar-window/policy.js";
import { fixedWindowAlgorithm } from "./fixed-window/policy.js";
import { gcraAlgorithm } from "./gcra/policy.js";
import { leakyBucketAlgorithm } from "./leaky-bucket/policy.js";
import { slidingLogAlgorithm } from "./sliding-log/policy.js";
import { slidingWindowAlgorithm } from "./sliding-window/policy.js";
import { tokenBucketAlgorithm } from "./token-bucket/policy.js";
import { unlimitedAlgorithm } from "./unlimited/policy.js";

export const algorithms = [
  tokenBucketAlgorithm,
  gcraAlgorithm,
  leakyBucketAlgorithm,
  fixedWindowAlgorithm,
  calendarWindowAlgorithm,
  slidingWindowAlgorithm,
  slidingLogAlgorithm,
  unlimitedAlgorithm,
] as const;
