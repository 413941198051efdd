import { test } from "vitest";
import { playCase } from "../testing/case-tables.js";
import { ManualClock } from "../testing/manual-clock.js";
import { PureStore } from "../testing/pure-store.js";
import { severalPoliciesCases } from "./cases.js";

test.each(severalPoliciesCases)("$name", async (example) => {
  const clock = new ManualClock();
  await playCase(new PureStore(clock), clock, "cases", example);
});
