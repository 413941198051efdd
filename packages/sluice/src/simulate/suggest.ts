/** Finds the least limit that leaves nearly all keys alone. */
import { consumeOne, decide, VERBS, type CallResult, type Verb } from "../algorithms/decide.js";
import type { DebitState } from "../algorithms/debit.js";
import { READY } from "../algorithms/kernel.js";
import { parsePolicy, type Policy } from "../algorithms/registry.js";
import { type Rule, ruleOf } from "../algorithms/rule.js";
import { Column } from "../audit/columns.js";
import type { LogRecord } from "../audit/record.js";
import { MAX_UNITS, UNIT } from "../core/amount.js";
import { whenSettled } from "../core/clock.js";
import { InvalidOptionError } from "../core/errors.js";
import { checkNumber, optionReader } from "../core/options.js";
import { type AskedRule, type Limits, REPLAY_OPTIONS, replayable } from "./limits.js";
import { decidedBy, type LoggedAttempts, readOf } from "./logged-attempts.js";
import { requestsOf } from "./requests.js";
import { attemptsIn, isAttempt, isBlocked, isByRequest } from "./simulate.js";

/** Options of `suggestLimits`. */
export interface SuggestOptions {
  /** The rules whose limits are looked for. */
  readonly limits: Limits;
  /** The share of keys, in percent, of which every attempt is to be allowed: above 0, at most 100. */
  readonly percent: number;
  /** Only attempts of this limiter; default all. */
  readonly limiter?: string | undefined;
  /** Called now and then with how many rules are done, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const OPTIONS = optionReader<SuggestOptions>()({
  ...REPLAY_OPTIONS,
  percent(option, value) {
    const percent = checkNumber(option, value);
    if (percent > 0 && percent <= 100) return percent;
    throw new InvalidOptionError(option, percent, "above 0, at most 100");
  },
});

/** The least limit of a rule, all else as it is. */
export interface Suggestion {
  /** The rule's name. */
  readonly rule: string;
  /** The rule's policy with that limit; undefined if even the largest touches too many keys. */
  readonly policy: Policy | undefined;
  /** Keys that the rule applies to, without those that have an override. */
  readonly keys: number;
  /** Of these, those with at least one attempt that it would deny; by its present limit, and by the suggested one. */
  readonly keysTouchedNow: number;
  /** Keys that the limit would deny something. */
  readonly keysTouched: number;
}

/**
 * For each rule, the least whole limit under which at most `100 - percent` in a hundred of its keys have an attempt
 * denied. A key of which nothing is denied is one of which a larger limit denies nothing either, so the limit is found by
 * bisection. The period or window stays; what a bucket holds keeps its ratio to the limit; and every attempt is
 * taken to reach the rule, whatever other rules say.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { headerLine, recordLine } from "sluice/audit";
 * import { limitsOf, readLoggedAttempts, suggestLimits } from "sluice/simulate";
 * const policy = tokenBucket({ limit: 2, period: "1h" });
 * const limiter = new RateLimiter({ policy });
 * let text = headerLine([policy]);
 * for (let call = 0; call < 3; call++) text += recordLine({ key: "k", cost: 1 }, await limiter.consume("k"));
 * const source = { name: "a.jsonl", open: () => (async function* () { yield new TextEncoder().encode(text); })() };
 * const log = await readLoggedAttempts([source]);
 * const [suggestion] = await suggestLimits(log, { limits: limitsOf([policy]), percent: 100 });
 * console.log(suggestion?.keysTouchedNow, suggestion?.keysTouched); // 1 0
 */
export async function suggestLimits(
  log: LoggedAttempts,
  options: SuggestOptions,
): Promise<readonly Suggestion[]> {
  OPTIONS.read(options);
  const { percent, onProgress } = options;
  const rules = await collect(log, options);
  const suggestions: Suggestion[] = [];
  let done = 0;
  for (const [rule, asked] of rules) {
    onProgress?.(done, rules.size);
    done += 1;
    // Other work in the process gets a turn between rules.
    await whenSettled();
    if ("limit" in asked.policy) suggestions.push(suggest(rule, asked, percent));
  }
  return suggestions;
}

/** What a rule was asked, each key's attempts in a row. */
interface Asked {
  readonly policy: Policy;
  readonly ids: Map<string, number>;
  readonly key: Column;
  readonly atUs: Column;
  readonly verb: Column;
  readonly cost: Column;
  readonly maxWaitUs: Column;
}

const ATTEMPTS_A_TURN = 5000;

async function collect(
  logs: LoggedAttempts,
  { limits, limiter }: SuggestOptions,
): Promise<ReadonlyMap<string, Asked>> {
  const log = readOf(logs);
  const { records } = log;
  const asking = replayable(limits);
  const { rows, asked: askedRows } = attemptsIn(log, limiter, isByRequest(limits));
  const asked = new Map<string, Asked>();
  for (let i = 0; i < rows.length; i++) {
    if (i % ATTEMPTS_A_TURN === 0) await whenSettled();
    const row = rows[i] as number;
    const record = records.at(row) as LogRecord;
    // A block is no limit; and who would have got units that were given back is not known.
    if (!isAttempt(record) || isBlocked(record)) continue;
    const attempt = { key: records.keyNumber(row), record, under: decidedBy(log, record) };
    for (const each of asking.rulesFor(attempt)) {
      if (each.override !== undefined) continue;
      add(asked, each, record);
    }
  }
  for (let i = 0; i < askedRows.length; i++) {
    if (i % ATTEMPTS_A_TURN === 0) await whenSettled();
    const record = log.asked.at(askedRows[i] as number) as LogRecord;
    if (!isAttempt(record) || isBlocked(record)) continue;
    const { requests, isSecret } = requestsOf(record);
    for (const request of requests) {
      for (const each of asking.rulesForRequest?.(request, isSecret, record.atUs) ?? []) {
        if (each.override === undefined && each.refuses !== true) add(asked, each, record);
      }
    }
  }
  return asked;
}

function add(
  all: Map<string, Asked>,
  { name, rule: { policy }, id, cost: own }: AskedRule,
  { atUs, verb, cost, maxWaitUs }: LogRecord,
): void {
  let asked = all.get(name);
  if (asked === undefined) {
    const columns = { key: new Column(), atUs: new Column(), verb: new Column() };
    asked = { policy, ids: new Map(), ...columns, cost: new Column(), maxWaitUs: new Column() };
    all.set(name, asked);
  }
  let key = asked.ids.get(id);
  if (key === undefined) {
    key = asked.ids.size;
    asked.ids.set(id, key);
  }
  asked.key.push(key);
  asked.atUs.push(atUs);
  asked.verb.push(VERBS[verb]);
  asked.cost.push(own ?? Math.round(cost * UNIT));
  asked.maxWaitUs.push(maxWaitUs ?? 0);
}

function suggest(rule: string, asked: Asked, percent: number): Suggestion {
  const attempts = new AttemptsByKey(asked);
  const { keys } = attempts;
  const most = Math.floor((keys * (100 - percent)) / 100 + ROUNDING);
  const all = Uint32Array.from({ length: keys }, (_, key) => key);
  const count = (of: Policy): number => countOf(attempts.denied(of, all));
  const policy = leastLimit(asked.policy, all, most, (of, among) => attempts.denied(of, among));
  const keysTouchedNow = count(asked.policy);
  const keysTouched = policy === undefined ? keysTouchedNow : count(policy);
  return { rule, policy, keys, keysTouchedNow, keysTouched };
}

/** 100 - 99.9 is a little less than a tenth. */
const ROUNDING = 1e-9;

function countOf(flags: Uint8Array): number {
  return flags.reduce((sum, flag) => sum + flag, 0);
}

/**
 * Doubles the limit until few enough keys are touched, and bisects. Each question is asked only of keys whose answer is
 * not known from a smaller limit that left them alone, or a larger one that did not.
 */
function leastLimit(
  policy: Policy,
  keys: Uint32Array,
  most: number,
  denied: (policy: Policy, among: Uint32Array) => Uint8Array,
): Policy | undefined {
  let open = keys;
  /** Keys that even the upper limit touches. */
  let beyond = 0;
  let low = 0;
  let high: number | undefined;
  let best: Policy | undefined;
  while (high === undefined || high - low > 1) {
    const limit = high === undefined ? Math.max(1, low * 2) : Math.floor((low + high) / 2);
    const tried = withLimit(policy, limit);
    if (tried === undefined) {
      high = limit;
      continue;
    }
    const answers = denied(tried, open);
    const count = countOf(answers);
    const isEnough = beyond + count <= most;
    if (isEnough) {
      high = limit;
      best = tried;
      beyond += count;
    } else low = limit;
    open = open.filter((_, i) => (answers[i] === 0) === isEnough);
  }
  return best;
}

/** The same policy with another limit, and a bucket of the same ratio to it; undefined if the algorithm takes no such limit. */
export function withLimit(policy: Policy, limit: number): Policy | undefined {
  const { limit: before, burst, capacity } = policy as Policy & Partial<Record<Scaled, number>>;
  const scaled = (size: number): number =>
    before === undefined || before === 0
      ? Math.max(limit, 1)
      : Math.max(0.001, Math.round((size / before) * limit * UNIT) / UNIT);
  if (limit > MAX_UNITS) return undefined;
  try {
    return parsePolicy({
      ...policy,
      limit,
      ...(burst !== undefined && { burst: scaled(burst) }),
      ...(capacity !== undefined && { capacity: scaled(capacity) }),
    });
  } catch (error) {
    if (error instanceof InvalidOptionError) return undefined;
    throw error;
  }
}

type Scaled = "limit" | "burst" | "capacity";

/** Attempts in typed arrays, those of a key side by side in the order of time. */
class AttemptsByKey {
  readonly keys: number;
  readonly #ends: Uint32Array;
  readonly #asked: Asked;
  readonly #rows: Uint32Array;

  constructor(asked: Asked) {
    const { key, ids } = asked;
    this.#asked = asked;
    this.keys = ids.size;
    const sizes = new Uint32Array(this.keys);
    for (let row = 0; row < key.length; row++) sizes[key.get(row)] = at(sizes, key.get(row)) + 1;
    this.#ends = new Uint32Array(this.keys);
    sizes.forEach((size, i) => {
      this.#ends[i] = size + (this.#ends[i - 1] ?? 0);
    });
    this.#rows = new Uint32Array(key.length);
    for (let row = 0; row < key.length; row++) {
      const own = key.get(row);
      this.#rows[at(this.#ends, own) - at(sizes, own)] = row;
      sizes[own] = at(sizes, own) - 1;
    }
  }

  /** Of each of these keys, 1 if an attempt is denied under the policy. */
  denied(policy: Policy, among: Uint32Array): Uint8Array {
    const decider = new KeyDecider(ruleOf(policy));
    return Uint8Array.from(among, (key) => Number(this.#isDenied(key, decider)));
  }

  #isDenied(key: number, decider: KeyDecider): boolean {
    const { atUs, verb, cost, maxWaitUs } = this.#asked;
    decider.begin();
    for (let i = this.#ends[key - 1] ?? 0; i < at(this.#ends, key); i++) {
      const row = at(this.#rows, i);
      const call = { verb: verb.get(row) as Verb, blockUs: 0, maxWaitUs: maxWaitUs.get(row) };
      if (!decider.allows(call, cost.get(row), atUs.get(row))) return true;
    }
    return false;
  }
}

function at(array: Uint32Array, index: number): number {
  return array[index] as number;
}

/** One policy on one key after another. */
class KeyDecider {
  readonly #rule: Rule;
  readonly #debits: readonly [DebitState];
  readonly #result: CallResult = {
    readiness: READY,
    nowUs: 0,
    granted: 0,
    changed: false,
    receipt: undefined,
  };

  constructor(rule: Rule) {
    const { kernel, params } = rule;
    this.#rule = rule;
    const times = { rawUs: 0, nowUs: 0, waitUs: 0, resetUs: 0 };
    const amounts = { cost: 0, asked: 0, reason: 0, available: 0 };
    this.#debits = [{ kernel, params, state: kernel.fresh(), ...times, ...amounts }];
  }

  begin(): void {
    this.#rule.kernel.clear(this.#debits[0].state);
  }

  allows(
    call: { readonly verb: Verb; readonly blockUs: number; readonly maxWaitUs: number },
    cost: number,
    atUs: number,
  ): boolean {
    const [debit] = this.#debits;
    this.#rule.refresh?.(atUs);
    debit.params = this.#rule.params;
    debit.rawUs = atUs;
    debit.nowUs = atUs;
    debit.cost = cost;
    if (call.verb === VERBS.consume) consumeOne(debit, atUs, 0, this.#result);
    else decide(call, this.#debits, 1, atUs, this.#result);
    return debit.reason === 0;
  }
}
