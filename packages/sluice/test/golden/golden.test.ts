/** Every stored byte, key name and time to live is what the golden file says; README.md tells when that may change. */
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as core from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import {
  type Golden,
  goldenFile,
  type GoldenKeys,
  PACES,
  readGolden,
  type Recorder,
  startRecorder,
} from "./recorder.js";
import { type Pace, scenarios } from "./scenarios.js";

const regenerates = process.env["SLUICE_REGENERATE_GOLDEN"] === "for a new format version";

let recorder: Recorder;
beforeAll(async () => {
  recorder = await startRecorder({ core, RedisStore, ManualClock });
});
afterAll(() => recorder.end());

const AFTER: Readonly<Record<Pace, string>> = {
  lone: "calls one after another",
  burst: "calls in one tick",
};

if (regenerates) {
  test("the golden file is written anew", { timeout: 600_000 }, async () => {
    const golden: Record<string, Record<Pace, GoldenKeys>> = {};
    for (const [name, scenario] of Object.entries(scenarios)) {
      golden[name] = {
        lone: await recorder.record(scenario, "lone"),
        burst: await recorder.record(scenario, "burst"),
      };
    }
    writeFileSync(goldenFile, `${JSON.stringify(golden satisfies Golden, null, 2)}\n`);
  });
} else {
  const golden = readGolden();

  test("the golden file has every scenario", () => {
    expect(Object.keys(golden)).toEqual(Object.keys(scenarios));
  });

  describe.each(Object.entries(scenarios))("%s", (name, scenario) => {
    test.each(PACES.map((pace) => [AFTER[pace], pace] as const))(
      "stores the same bytes, names and times to live after %s",
      async (_, pace) => {
        const expected = golden[name]?.[pace] ?? {};
        expect(await recorder.observe(scenario, pace, expected)).toEqual(expected);
      },
    );
  });
}
