/** However a document changes, it never admits more than the bound of all its versions together. */
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { MemoryStore } from "../../src/index.js";
import {
  type PoliciesDocument,
  PolicySet,
  type PolicyWithoutName,
} from "../../src/policies/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const SECOND_US = 1e6;

interface Version {
  readonly limit: number;
  readonly burst: number;
}

type Kind = "token-bucket" | "fixed-window";

function documentOf(kind: Kind, { limit, burst }: Version, version: number): PoliciesDocument {
  const policy =
    kind === "token-bucket"
      ? ({ algorithm: kind, limit, period: "1s", burst } as const)
      : ({ algorithm: kind, limit, window: "1s" } as const);
  return { version, rules: [{ name: "api", key: ["user"], policy }] };
}

interface Admission {
  readonly atUs: number;
  readonly cost: number;
}

/** Random calls to two processes' sets on one store, whose documents change at random, each by itself. */
async function play(
  kind: Kind,
  random: Random,
): Promise<{ versions: Version[]; admitted: Admission[] }> {
  const clock = new ManualClock(random.int(0, 1e9));
  const store = new MemoryStore({ clock });
  const versions = Array.from({ length: random.int(2, 4) }, () => {
    const limit = random.int(1, 20);
    return { limit, burst: random.int(1, 30) };
  });
  const first = documentOf(kind, versions[0] as Version, 1);
  const sets = [1, 2].map(() => new PolicySet({ store, source: first }));
  const admitted: Admission[] = [];
  for (let step = 0; step < 80; step++) {
    const rules = random.pick(sets);
    if (random.chance(0.15)) {
      const at = random.int(0, versions.length - 1);
      rules.replace(documentOf(kind, versions[at] as Version, at + 1));
    }
    if (random.chance(0.5)) clock.advance(random.int(0, 400));
    const cost = random.int(1, 4);
    const decision = await rules.consume({ entries: { user: "a" }, cost });
    if (decision.allowed) admitted.push({ atUs: decision.decidedAtUs, cost });
    if (decision.allowed && random.chance(0.1)) {
      await rules.refund(decision);
      admitted.pop();
    }
  }
  await Promise.all(sets.map((rules) => rules.close()));
  await store.close();
  return { versions, admitted };
}

/** By how many units more than the larger capacity and the larger rate was admitted, over the worst interval. */
function excessOfBuckets(versions: readonly Version[], admitted: readonly Admission[]): number {
  const capacity = Math.max(...versions.map(({ burst }) => burst));
  const rate = Math.max(...versions.map(({ limit }) => limit)) / SECOND_US;
  let worst = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < admitted.length; i++) {
    let units = 0;
    for (let j = i; j < admitted.length; j++) {
      units += (admitted[j] as Admission).cost;
      const spanUs = (admitted[j] as Admission).atUs - (admitted[i] as Admission).atUs;
      worst = Math.max(worst, units - capacity - rate * spanUs);
    }
  }
  return worst;
}

function excessOfWindows(versions: readonly Version[], admitted: readonly Admission[]): number {
  const windows = new Map<number, number>();
  for (const { atUs, cost } of admitted) {
    const window = Math.floor(atUs / SECOND_US);
    windows.set(window, (windows.get(window) ?? 0) + cost);
  }
  const limit = Math.max(...versions.map((version) => version.limit));
  return Math.max(0, ...windows.values()) - limit;
}

const ALGORITHMS = ["token-bucket", "gcra", "leaky-bucket", "fixed-window"] as const;

/** A version that differs in anything from others: the algorithm, the rule's name, and what says the limit. */
interface AnyVersion extends Version {
  readonly algorithm: (typeof ALGORITHMS)[number];
  readonly name: string;
  readonly from: "rule" | "plan" | "override";
}

function policyOf({ algorithm, limit, burst }: AnyVersion): PolicyWithoutName {
  if (algorithm === "fixed-window") return { algorithm, limit, window: "1s" };
  if (algorithm === "leaky-bucket") return { algorithm, limit, period: "1s", capacity: burst };
  return { algorithm, limit, period: "1s", burst };
}

function anyDocument(of: AnyVersion, version: number): PoliciesDocument {
  const { name, from } = of;
  const policy = policyOf(of);
  // What replaces it is never met itself.
  const own = from === "rule" ? policy : ({ algorithm: "unlimited" } as const);
  return {
    version,
    rules: [{ name, key: ["user"], policy: own }],
    ...(from === "plan" && { plans: { p: { [name]: policy } } }),
    ...(from === "override" && { overrides: [{ rule: name, key: "user=a", policy }] }),
  };
}

/** A rule's name and the kind of its algorithm are the key: what was admitted on each is held against its own bound. */
const keyOf = ({ name, algorithm }: AnyVersion): string =>
  `${name} ${algorithm === "fixed-window" ? "window" : "bucket"}`;

/** By key, what was admitted on it. */
async function playAny(
  random: Random,
): Promise<{ versions: AnyVersion[]; admitted: Map<string, Admission[]> }> {
  const clock = new ManualClock(random.int(0, 1e9));
  const store = new MemoryStore({ clock });
  const versions = Array.from({ length: random.int(2, 5) }, () => ({
    limit: random.int(1, 20),
    burst: random.int(1, 30),
    algorithm: random.pick(ALGORITHMS),
    name: random.pick(["api", "api", "web"]),
    from: random.pick(["rule", "plan", "override"] as const),
  }));
  const inForce = [0, 0];
  const sets = inForce.map(
    () => new PolicySet({ store, source: anyDocument(versions[0] as AnyVersion, 1) }),
  );
  const admitted = new Map<string, Admission[]>();
  for (let step = 0; step < 80; step++) {
    const process = random.int(0, 1);
    const rules = sets[process] as PolicySet;
    if (random.chance(0.15)) {
      const at = random.int(0, versions.length - 1);
      inForce[process] = at;
      rules.replace(anyDocument(versions[at] as AnyVersion, at + 1));
    }
    if (random.chance(0.5)) clock.advance(random.int(0, 400));
    const cost = random.int(1, 4);
    const decision = await rules.consume({ entries: { user: "a" }, cost, plan: "p" });
    const key = keyOf(versions[inForce[process] as number] as AnyVersion);
    const list = admitted.get(key) ?? [];
    if (decision.allowed) admitted.set(key, [...list, { atUs: decision.decidedAtUs, cost }]);
  }
  await Promise.all(sets.map((rules) => rules.close()));
  await store.close();
  return { versions, admitted };
}

describe(`seed ${seed}`, () => {
  test("whatever versions differ in, a key has the bound of all that decided on it", async () => {
    let keys = 0;
    for (let run = 0; run < runs(200); run++) {
      const { versions, admitted } = await playAny(new Random(seed + run));
      for (const [key, calls] of admitted) {
        const own = versions.filter((version) => keyOf(version) === key);
        const excessOf = key.endsWith("window") ? excessOfWindows : excessOfBuckets;
        expect({ run, key, over: excessOf(own, calls) > 1e-6 }).toEqual({ run, key, over: false });
        keys += 1;
      }
    }
    // Mostly there are several of a run.
    expect(keys).toBeGreaterThan(runs(200));
  });

  test("buckets of several versions admit at most the larger capacity and the larger rate", async () => {
    let denials = 0;
    for (let run = 0; run < runs(300); run++) {
      const { versions, admitted } = await play("token-bucket", new Random(seed + run));
      expect({ run, over: excessOfBuckets(versions, admitted) > 1e-6 }).toEqual({
        run,
        over: false,
      });
      denials += 80 - admitted.length;
    }
    expect(denials).toBeGreaterThan(0);
  });

  test("windows of several versions admit at most the larger limit", async () => {
    for (let run = 0; run < runs(300); run++) {
      const { versions, admitted } = await play("fixed-window", new Random(seed + run));
      expect({ run, over: excessOfWindows(versions, admitted) > 0 }).toEqual({ run, over: false });
    }
  });

  test("the bound of one version alone is not kept, so these would notice", async () => {
    let over = 0;
    for (let run = 0; run < 50; run++) {
      const { versions, admitted } = await play("token-bucket", new Random(seed + run));
      const least = versions.toSorted((a, b) => a.burst + a.limit - b.burst - b.limit).slice(0, 1);
      over += Number(excessOfBuckets(least, admitted) > 0);
    }
    expect(over).toBeGreaterThan(0);
  });
});
