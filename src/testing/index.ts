/** sluice/testing: a manual clock, and the conformance suite for stores of one's own. */
export {
  type ConformanceCase,
  storeConformance,
  type StoreConformanceOptions,
} from "./conformance.js";
export { ManualClock } from "./manual-clock.js";
export { PureStore } from "./pure-store.js";
