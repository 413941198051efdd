/** Random requests to a PolicySet, several at a time, and an exact model of what they come to. */
import { expect } from "vitest";
import type { Random } from "../../src/core/random.js";
import type { Store } from "../../src/index.js";
import {
  type PoliciesDocument,
  type PolicyRule,
  PolicySet,
  type RulesDecision,
  type RulesRequestOfMany,
} from "../../src/policies/index.js";

const USERS = ["a", "b", "c"];
const TEAMS = ["x", "y"];

/** How often what came about: a property in which it never does shows nothing. */
export interface Met {
  allowed: number;
  denied: number;
  spared: number;
  refunded: number;
  givenBack: number;
}

/** What a request is charged by one rule. */
interface Charge {
  readonly account: string;
  readonly limit: number;
  readonly candidate: number | undefined;
  readonly cost: number;
  readonly isShadow: boolean;
  readonly verdict: "decide" | "deny" | "exempt";
}

/** Of the longest window there is, so that nothing comes back by itself. */
function windowOf(limit: number): PolicyRule["policy"] {
  return { algorithm: "fixed-window", limit, window: "366d", align: "first" };
}

export function randomDocument(random: Random): PoliciesDocument {
  const rules = ["one", "two", "three"].map((name): PolicyRule => {
    const cost = random.pick([undefined, random.int(0, 3), { from: "tokens", default: 2 }]);
    return {
      name,
      key: random.pick([["user"], ["team"], ["user", "team"], []]),
      policy: windowOf(random.int(3, 25)),
      mode: random.chance(0.25) ? "shadow" : "enforce",
      ...(random.chance(0.3) && { candidate: { policy: windowOf(random.int(1, 15)) } }),
      ...(random.chance(0.3) && { onMissing: "deny" as const }),
      ...(cost !== undefined && { cost }),
    };
  });
  const keyed = rules.filter(({ key = [] }) => key.length === 1);
  const overrides = keyed.map(({ name, key = [] }) => ({
    rule: name,
    key: `${key[0]}=${key[0] === "user" ? random.pick(USERS) : random.pick(TEAMS)}`,
    ...random.pick([
      { mode: "deny" as const },
      { mode: "exempt" as const },
      { policy: { limit: 9 } },
    ]),
  }));
  return { rules, overrides: random.chance(0.5) ? overrides : [] };
}

export function randomRequest(random: Random): RulesRequestOfMany {
  const entries: Record<string, string | number> = {};
  if (random.chance(0.9)) entries["user"] = random.pick(USERS);
  if (random.chance(0.9)) entries["team"] = random.pick(TEAMS);
  if (random.chance(0.3)) entries["tokens"] = random.int(0, 4);
  return { entries, ...(random.chance(0.5) && { cost: random.int(0, 4) }) };
}

/** Written anew, without a line of what it is a model of. */
class RulesModel {
  readonly #document: PoliciesDocument;
  readonly #used = new Map<string, number>();

  constructor(document: PoliciesDocument) {
    this.#document = document;
  }

  charges({ entries, cost: own = 1 }: RulesRequestOfMany): readonly Charge[] {
    const { rules, overrides = [] } = this.#document;
    return rules.flatMap((rule): Charge[] => {
      const { name, key = [], policy, candidate, mode, onMissing, cost } = rule;
      const limits = { limit: limitOf(policy), candidate: candidate && limitOf(candidate.policy) };
      const isShadow = mode === "shadow";
      const units = typeof cost === "number" ? cost : costOf(cost, entries, own);
      const base = { ...limits, cost: units, isShadow };
      if (key.some((entry) => entries[entry] === undefined)) {
        return onMissing === "deny" ? [{ ...base, account: "", verdict: "deny" }] : [];
      }
      const identity = key.map((entry) => `${entry}=${entries[entry]}`).join(",") || "all";
      const account = `${name} ${identity}`;
      const override = overrides.find((each) => each.rule === name && each.key === identity);
      if (override?.mode !== undefined) return [{ ...base, account, verdict: override.mode }];
      const changed = override === undefined ? {} : { limit: 9, candidate: candidate && 9 };
      return [{ ...base, ...changed, account, verdict: "decide" }];
    });
  }

  left({ account, limit }: Charge): number {
    return Math.max(0, limit - this.#of(account));
  }

  leftBeside({ account, candidate }: Charge): number | undefined {
    return candidate && Math.max(0, candidate - this.#of(`${account} candidate`));
  }

  /** All requests or none; what rules on trial take, they take in any case. */
  takeTogether(requests: readonly (readonly Charge[])[]): readonly boolean[] {
    const charges = requests.flat();
    const sums = new Map<string, number>();
    for (const charge of charges.filter(isAsked)) {
      sums.set(charge.account, (sums.get(charge.account) ?? 0) + charge.cost);
    }
    const isDenied = charges.some((each) => !each.isShadow && each.verdict === "deny");
    const fits = (each: Charge): boolean =>
      !isAsked(each) || this.#of(each.account) + (sums.get(each.account) ?? 0) <= each.limit;
    // Where an override denies, the others are not asked: they say that they would pass.
    const verdicts = requests.map(
      (own) =>
        own.every((each) => each.isShadow || each.verdict !== "deny") &&
        (isDenied || own.every(fits)),
    );
    if (verdicts.every(Boolean)) {
      for (const { account, cost } of charges.filter(isAsked)) this.#add(account, cost);
    }
    this.#tryOut(charges);
    return verdicts;
  }

  /** By each charge as it says; a rule on trial only where it took by itself. */
  giveBack(charges: readonly Charge[], decision: RulesDecision | undefined): void {
    charges.forEach(({ verdict, account, cost }, i) => {
      const answer = decision?.rules[i]?.decision;
      if (verdict !== "decide") return;
      if (answer === undefined || answer.reason === "ok") this.#add(account, -cost);
      const beside = answer?.shadow?.[0]?.reason ?? "ok";
      if (answer === undefined || beside === "ok") this.#add(`${account} candidate`, -cost);
    });
  }

  #tryOut(charges: readonly Charge[]): void {
    for (const { verdict, isShadow, account, limit, candidate = 0, cost } of charges) {
      if (verdict !== "decide") continue;
      if (isShadow && this.#of(account) + cost <= limit) this.#add(account, cost);
      const beside = `${account} candidate`;
      if (this.#of(beside) + cost <= candidate) this.#add(beside, cost);
    }
  }

  #of(account: string): number {
    return this.#used.get(account) ?? 0;
  }

  #add(account: string, units: number): void {
    this.#used.set(account, Math.max(0, this.#of(account) + units));
  }
}

const isAsked = ({ isShadow, verdict }: Charge): boolean => !isShadow && verdict === "decide";

function limitOf(policy: object): number {
  return (policy as { limit: number }).limit;
}

function costOf(
  cost: { readonly default?: number | undefined } | undefined,
  entries: RulesRequestOfMany["entries"],
  own: number,
): number {
  if (cost === undefined) return own;
  return Number(entries["tokens"] ?? cost.default);
}

/** One document and some dozen calls, each compared with the model, and every balance after it. */
export async function playRules(
  random: Random,
  store: Store,
  namespace: string,
  met: Met,
): Promise<void> {
  const document = randomDocument(random);
  const rules = new PolicySet({
    source: document,
    store,
    namespace: namespace.replaceAll(" ", "-"),
    timeout: "30s",
  });
  const model = new RulesModel(document);
  const taken: { decision: RulesDecision; charges: readonly Charge[]; wasSpared: boolean }[] = [];
  for (let step = 0; step < 12; step++) {
    const requests = Array.from({ length: random.int(1, 4) }, () => randomRequest(random));
    const charges = requests.map((each) => model.charges(each));
    const atomic = random.chance(0.6);
    const expected = atomic
      ? model.takeTogether(charges)
      : charges.flatMap((each) => model.takeTogether([each]));
    const { allowed, decisions } = await rules.consumeMany(requests, { atomic });
    const at = `${namespace}, step ${step}, atomic ${atomic}: ${JSON.stringify({ requests, document })}`;
    expect(
      decisions.map((each) => each.allowed),
      at,
    ).toEqual(expected);
    expect(allowed, at).toBe(expected.every(Boolean));
    decisions.forEach((decision, i) => {
      met.allowed += Number(decision.allowed);
      met.denied += Number(!decision.allowed);
      const wasSpared = decision.allowed && atomic && !allowed;
      met.spared += Number(wasSpared);
      taken.push({ decision, charges: charges[i] ?? [], wasSpared });
    });
    if (random.chance(0.4)) {
      const [{ decision, charges: own, wasSpared }] = taken.splice(
        random.int(0, taken.length - 1),
        1,
      ) as [(typeof taken)[number]];
      await rules.refund(decision);
      if (decision.allowed && !wasSpared) model.giveBack(own, decision);
      met.refunded += 1;
    }
    if (random.chance(0.2)) {
      const request = randomRequest(random);
      await rules.giveBack(request);
      model.giveBack(model.charges(request), undefined);
      met.givenBack += 1;
    }
    for (const request of requests) {
      const own = model.charges(request);
      const now = (await rules.peek(request)).rules;
      own.forEach((charge, i) => {
        if (charge.verdict !== "decide") return;
        expect(now[i]?.decision.remaining, at).toBe(model.left(charge));
        const beside = now[i]?.decision.shadow?.[0]?.remaining;
        expect(beside, at).toBe(model.leftBeside(charge));
      });
    }
  }
  await rules.close();
}
