/** Whatever is missing from a log of attempts but what gave units back, the audit refutes nothing; what is planted, it refutes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runs } from "../../test/support/runs.js";
import { everyAlgorithmsTools, toolsOf } from "../algorithms/toolbox.js";
import { type AttemptAuditReport, auditLogs } from "../audit/index.js";
import { Random } from "../core/random.js";
import { MemoryStore, type Policy, RateLimiter } from "../index.js";
import { ManualClock } from "../testing/index.js";
import { AttemptLog } from "./index.js";

let directory = "";
let files = 0;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-log-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

async function audited(text: string): Promise<AttemptAuditReport> {
  const open = async function* () {
    yield text;
  };
  const { of, report } = await auditLogs([{ name: "log", open }]);
  if (of !== "attempts") throw new Error(`a log of ${of}`);
  return report;
}

interface Play {
  readonly policies: Policy[];
  readonly seed: number;
  readonly givesBack: boolean;
}

/** Calls on a few keys, mostly at the pace of the policies, often several at one instant. */
async function play({ policies, seed, givesBack }: Play): Promise<string[]> {
  const random = new Random(seed);
  const clock = new ManualClock(1_767_225_600_000);
  files += 1;
  const file = join(directory, `${files}.jsonl`);
  const blockFor = random.next() < 0.2 ? { blockFor: 50 } : {};
  const store = new MemoryStore({ clock });
  const limiter = new RateLimiter({ policy: policies, store, ...blockFor });
  const log = new AttemptLog({ file });
  log.add(limiter);
  const spanMs = Math.max(1, ...policies.map((policy) => toolsOf(policy).spanMs(policy)));
  const limit = Math.min(...policies.map((policy) => ("limit" in policy ? policy.limit : 10)));
  const cost = (): number => Math.ceil(random.next() * Math.min(limit, 1e6) * 300) / 1000;
  for (let call = 0; call < 60; call++) {
    if (random.next() < 0.6) clock.advance(Math.ceil((random.next() * spanMs) / 8));
    const key = random.pick(["a", "b"]);
    const verb = random.next();
    if (verb < 0.55) await limiter.consume(key, { cost: cost() });
    else if (verb < 0.65) await limiter.consumeUpTo(key, { cost: Math.max(1, Math.ceil(cost())) });
    else if (verb < 0.7) await limiter.penalize(key, cost());
    else if (verb < 0.75) await limiter.block(key, Math.ceil(random.next() * 50));
    else if (verb < 0.8) await limiter.reserve(key, { cost: cost(), maxWait: spanMs });
    else if (!givesBack) await limiter.unblock(key);
    else if (verb < 0.9) await limiter.refund(key, cost());
    else if (verb < 0.92) await limiter.reset(key);
    else if (verb < 0.96) await limiter.settle(key, { reserved: cost(), actual: cost() });
    else {
      const reservation = await limiter.reserve(key, { cost: cost() });
      if (reservation.allowed && random.next() < 0.7) await reservation.cancel();
    }
  }
  await log.close();
  await limiter.close();
  await store.close();
  return readFileSync(file, "utf8").trimEnd().split("\n");
}

const GIVES_BACK = /"verb":"(?:refund|cancel|reset)"/;

/** Every algorithm alone, and two together. */
function policiesOf(seed: number): Policy[] {
  const random = new Random(seed);
  const tools = everyAlgorithmsTools.filter(({ algorithm }) => algorithm.id !== "unlimited");
  const one = (name: string): Policy => random.pick(tools).randomPolicy(random, name) as Policy;
  return random.next() < 0.6 ? [one("one")] : [one("one"), one("two")];
}

const count = runs(400);

describe("a log of attempts", () => {
  test("that is whole is never refuted, and mostly replayed to the last number", async () => {
    let [matched, decisions] = [0, 0];
    for (let seed = 1; seed <= count; seed++) {
      const policies = policiesOf(seed);
      const lines = await play({ policies, seed, givesBack: seed % 2 === 0 });
      const report = await audited(lines.join("\n"));
      expect(
        report.keys.filter(({ passed }) => !passed),
        `seed ${seed}`,
      ).toEqual([]);
      expect(report).toMatchObject({ incomplete: 0, lost: 0, torn: 0, sample: 1 });
      matched += report.matched;
      decisions += report.matched + report.stricter + report.unclear;
    }
    expect(matched / decisions).toBeGreaterThan(0.5);
  });

  test("that lacks any calls but those that gave units back is not refuted either", async () => {
    for (let seed = 1; seed <= count; seed++) {
      const random = new Random(seed + 1e6);
      const policies = policiesOf(seed);
      const lines = await play({ policies, seed, givesBack: seed % 2 === 0 });
      const share = random.next();
      const kept = lines.filter(
        (line) => !line.includes('"atUs"') || GIVES_BACK.test(line) || random.next() < share,
      );
      if (!kept.some((line) => line.includes('"allowed"'))) continue;
      const report = await audited(
        [...kept.slice(0, -1), '{"lost":1,"gaveBack":[]}', ""].join("\n"),
      );
      expect(
        report.keys.filter(({ passed }) => !passed),
        `seed ${seed}`,
      ).toEqual([]);
    }
  });

  test("is refuted where more was admitted than the kernel can, if nothing is missing", async () => {
    let planted = 0;
    let noticed = 0;
    for (let seed = 1; seed <= count; seed++) {
      const policies = policiesOf(seed);
      const lines = await play({ policies, seed, givesBack: seed % 4 === 0 });
      const denial = lines.findIndex((line) => /"allowed":false.*"reason":"quota"/.test(line));
      if (denial < 0 || lines[denial]?.includes('"verb"') === true) continue;
      const { cost } = JSON.parse(lines[denial] as string) as { cost: number };
      lines[denial] = (lines[denial] as string)
        .replace('"allowed":false', '"allowed":true')
        .replace('"granted":0', `"granted":${cost}`)
        .replace('"reason":"quota"', '"reason":"ok"');
      planted += 1;
      noticed += Number(!(await audited(lines.join("\n"))).passed);
    }
    expect(planted).toBeGreaterThan(count / 4);
    expect(noticed / planted).toBeGreaterThan(0.8);
  });
});
