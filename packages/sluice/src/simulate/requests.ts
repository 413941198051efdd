/** The requests of sets of rules, as logs have them: asked again, all or nothing, and counted on the key that decides. */
import type { RequestsKey } from "../audit/line-fields.js";
import type { LogRecord } from "../audit/record.js";
import type { LoggedRequest } from "../audit/request-record.js";
import type { AskedRule } from "./limits.js";
import type { Replayed, ReplayStore, Verdict } from "./replay-store.js";

/** What a set was asked at once. */
export interface AskedOfSet {
  readonly limiter: string;
  readonly isSecret: boolean;
  readonly requests: readonly LoggedRequest[];
}

export function requestsOf({ key }: LogRecord): AskedOfSet {
  const [limiter, isSecret, requests] = JSON.parse(key) as RequestsKey;
  return { limiter, isSecret, requests };
}

/** What the rules of all requests say, together. */
export function askRequests(
  store: ReplayStore,
  { requests, isSecret }: AskedOfSet,
  record: LogRecord,
): Replayed {
  const all = requests.flatMap((request) => store.rulesOf(request, isSecret, record.atUs));
  return store.askRules(all, record);
}

/** What came back, or was taken as a penalty. */
export function changeByRequests(
  store: ReplayStore,
  { requests, isSecret }: AskedOfSet,
  record: LogRecord,
): void {
  for (const request of requests) {
    const { after } = request;
    const rules = store.rulesOf(request, isSecret, record.atUs);
    const settled =
      after && store.rulesOf({ ...request, ...after }, isSecret, record.atUs).filter(isCharged);
    for (const rule of rules.filter(isCharged)) {
      // What a rule on trial did not take, it does not get back.
      if (request.met[rule.name] === 0) continue;
      const actual = settled?.find(({ name }) => name === rule.name)?.cost;
      const spare = rule.cost - (settled === undefined ? 0 : (actual ?? rule.cost));
      if (spare >= 0) store.changeRules([{ ...rule, cost: spare }], record);
      else store.changeRules([{ ...rule, cost: -spare }], { ...record, verb: "penalize" });
    }
  }
}

function isCharged(rule: AskedRule): rule is AskedRule & { readonly cost: number } {
  return rule.cost !== undefined;
}

/** Of what rules said, the word of the one that counts: who denies, else the first. */
export function decidingOf(after: Replayed, before: Replayed | undefined): Verdict | undefined {
  const denying = ({ verdicts }: Replayed): Verdict | undefined =>
    verdicts.find(({ asked, denies }) => denies && asked.votes);
  const denied = denying(after) ?? (before && denying(before));
  return denied ?? after.verdicts[0] ?? before?.verdicts[0];
}

/** Whether several rules were asked, when it was logged or now; a candidate counts for its rule. */
export function isOfSeveral({ requests }: AskedOfSet, { verdicts }: Replayed): boolean {
  if (requests.some(({ met }) => Object.keys(met).length > 1)) return true;
  return verdicts.filter(({ asked }) => asked.ofRule === undefined).length > 1;
}

/** The rule that denied when it was logged. */
export function deniedInRequests({ requests }: AskedOfSet, record: LogRecord): readonly string[] {
  if (record.allowed || record.decider === undefined) return [];
  const name = requests.flatMap(({ met }) => Object.keys(met))[record.decider];
  return name === undefined ? [] : [name];
}

/** A request that meets no rule has no key. */
const NO_KEY = "none";

/** Numbers of the keys that rules make of requests, behind those of the keys in the logs. */
export class RequestKeys {
  readonly #first: number;
  readonly #numbers = new Map<string, Map<string, number>>();
  readonly #keys: { readonly limiter: string; readonly key: string }[] = [];

  constructor(first: number) {
    this.#first = first;
  }

  numberOf(limiter: string, id = NO_KEY): number {
    let numbers = this.#numbers.get(limiter);
    if (numbers === undefined) {
      numbers = new Map();
      this.#numbers.set(limiter, numbers);
    }
    let number = numbers.get(id);
    if (number === undefined) {
      number = this.#first + this.#keys.push({ limiter, key: id }) - 1;
      numbers.set(id, number);
    }
    return number;
  }

  of(number: number): { readonly limiter: string; readonly key: string } {
    return this.#keys[number - this.#first] as { limiter: string; key: string };
  }
}
