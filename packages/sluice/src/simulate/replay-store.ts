/** Decides logged attempts again, one key after another: by the store in memory, on the log's own clock. */
import { REASON, VERBS, type Verb, type VerbName } from "../algorithms/decide.js";
import { nameInKeys } from "../algorithms/rule.js";
import { UNIT } from "../core/amount.js";
import type { Clock } from "../core/clock.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import type { Debit, DebitResult, Keyspace } from "../stores/store.js";
import type { LogRecord } from "../audit/record.js";
import type { LoggedRequest } from "../audit/request-record.js";
import type { AskedRule, LoggedAttempt, ReplayableLimits } from "./limits.js";

/** What limits say to an attempt. */
export interface Replayed {
  readonly allowed: boolean;
  /** The rules that were asked, and whether each would deny. */
  readonly verdicts: readonly Verdict[];
}

export interface Verdict {
  readonly asked: AskedRule;
  readonly denies: boolean;
}

/** No key may be dropped before its time: its quota would be forgotten. */
const ROOM = { maxKeys: 2 ** 24, maxBytes: 2 ** 40 } as const;

/**
 * Verbs that change a key without asking. A block is none: its length is not in the log. What was denied because of it
 * is not replayed either.
 */
const CHANGES: Readonly<Partial<Record<VerbName, Verb>>> = {
  refund: VERBS.refund,
  penalize: VERBS.penalize,
  reset: VERBS.reset,
  // What it did to the line is not in the log; the units that came back are.
  cancel: VERBS.refund,
  clearBlock: VERBS.reset,
  clearExtendBlock: VERBS.reset,
};

export class ReplayStore {
  readonly #limits: ReplayableLimits;
  readonly #store: MemoryStore;
  #nowUs = 0;
  /** What has a state of the key, by keyspace. */
  readonly #asked = new Map<Keyspace, AskedRule>();

  constructor(limits: ReplayableLimits) {
    this.#limits = limits;
    const clock: Clock = { nowUs: () => this.#nowUs, sleep: () => Promise.resolve() };
    this.#store = new MemoryStore({ clock, ...ROOM });
  }

  /** The rules that a request meets. */
  rulesOf(request: LoggedRequest, isSecret: boolean, atUs: number): readonly AskedRule[] {
    return this.#limits.rulesForRequest?.(request, isSecret, atUs) ?? [];
  }

  /** An attempt; those of its key at earlier times come first. */
  ask(attempt: LoggedAttempt): Replayed {
    return this.askRules(this.#limits.rulesFor(attempt), attempt.record);
  }

  /** All rules that vote decide together; each of the others is asked separately. */
  askRules(all: readonly AskedRule[], { verb, cost, atUs, maxWaitUs = 0 }: LogRecord): Replayed {
    this.#nowUs = atUs;
    const call = { verb: VERBS[verb], cost: Math.round(cost * UNIT), maxWaitUs };
    const verdicts: Verdict[] = [];
    const voting = all.filter(({ votes }) => votes);
    if (voting.some(({ refuses }) => refuses)) {
      // No kernel is asked, and nothing is taken.
      for (const asked of voting) verdicts.push({ asked, denies: asked.refuses === true });
    } else if (voting.length > 0) this.#decide(voting, call, verdicts);
    const allowed = !verdicts.some(({ denies }) => denies);
    for (const asked of all) {
      if (asked.votes) continue;
      if (asked.refuses === true) verdicts.push({ asked, denies: true });
      else this.#decide([asked], call, verdicts);
    }
    return { allowed, verdicts };
  }

  /** What changed the key without being an attempt. */
  change(attempt: LoggedAttempt): void {
    const { record } = attempt;
    const units = record.verb === "cancel" ? record.granted : record.cost;
    this.changeRules(this.#limits.rulesFor(attempt), record, units);
  }

  /** What changed the keys of these rules without being an attempt. */
  changeRules(
    all: readonly AskedRule[],
    { verb, atUs }: Pick<LogRecord, "verb" | "atUs">,
    units = 0,
  ): void {
    const change = CHANGES[verb];
    if (change === undefined) return;
    this.#nowUs = atUs;
    const call = { verb: change, cost: Math.round(units * UNIT), maxWaitUs: 0 };
    for (const asked of all) {
      // What was refused took nothing that could come back.
      if (asked.refuses !== true || verb === "penalize") this.#decide([asked], call, []);
    }
  }

  /** The next attempt is another key's: all states go, so that no more than one key's take memory. */
  endKey(): void {
    for (const [keyspace, { name, rule, id }] of this.#asked) {
      const debit = { name, rule, keyspace, id, cost: 0 };
      this.#store.executeSync({ verb: VERBS.reset, debits: [debit], blockUs: 0, maxWaitUs: 0 });
    }
    this.#asked.clear();
  }

  #decide(
    all: readonly AskedRule[],
    { verb, cost, maxWaitUs }: { verb: Verb; cost: number; maxWaitUs: number },
    verdicts: Verdict[],
  ): void {
    const debits: (Debit & { cost: number })[] = [];
    const places = all.map((asked) => {
      const debit = this.#debitOf(asked, cost);
      const { keyspace, id } = debit;
      // What requests that are decided together charge to one key adds up.
      const at = debits.findIndex((each) => each.keyspace === keyspace && each.id === id);
      if (at < 0) return debits.push(debit) - 1;
      (debits[at] as { cost: number }).cost += debit.cost;
      return at;
    });
    const answer = this.#store.executeSync({ verb, debits, blockUs: 0, maxWaitUs });
    all.forEach((asked, i) => {
      const { reason } = answer.debits[places[i] as number] as DebitResult;
      verdicts.push({ asked, denies: reason !== REASON.ok });
    });
  }

  #debitOf(asked: AskedRule, cost: number): Debit & { cost: number } {
    const { name, rule, id, cost: own } = asked;
    const keyspace = this.#store.open(nameInKeys(name, rule), rule.kernel);
    this.#asked.set(keyspace, asked);
    return { name, rule, keyspace, id, cost: own ?? cost };
  }
}
