import { describe, test } from "vitest";
import { caseTables, playCase } from "../testing/case-tables.js";
import { ManualClock } from "../testing/manual-clock.js";
import { PureStore } from "../testing/pure-store.js";

describe.each(Object.entries(caseTables))("%s", (_table, cases) => {
  test.each(cases)("$name", async (example) => {
    const clock = new ManualClock();
    await playCase(new PureStore(clock), clock, "cases", example);
  });
});
