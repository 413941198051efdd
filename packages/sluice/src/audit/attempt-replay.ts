/**
 * Replays a key's records of a log that may lack some: calls of processes that were killed, of prefetches, of the time
 * before. What is missing took units, so the replayed state has at least as much left as the real one had, and an answer
 * that is more generous than the kernel's is refuted. What gives units back must be in the log; if it may be missing, the
 * key counts as fresh.
 */
import { VERBS } from "../algorithms/decide.js";
import { UNLIMITED } from "../algorithms/kernel.js";
import { type Rule, ruleOf } from "../algorithms/rule.js";
import { type States, step } from "../algorithms/step.js";
import { toolsOf } from "../algorithms/toolbox.js";
import { UNIT } from "../core/amount.js";
import type { AttemptPolicies } from "./attempts-read.js";
import { GIVING_BACK } from "./attempt-record.js";
import { type Rows, rowsByTime } from "./columns.js";
import { type LogRecord, TAKING_VERBS } from "./record.js";
import { Replayer, sameDecision, type LoggedDecision } from "./replayer.js";
import { explainInstant } from "./same-instant.js";

/** What the kernel says of a key's decisions; each is counted once. */
export interface AttemptReplay {
  /** The kernel gives the same answer. */
  readonly matched: number;
  /** It would have given more: units were taken, or the key was blocked, by what the log does not show. */
  readonly stricter: number;
  /** Not judged: it depends on what the log lacks. */
  readonly unclear: number;
  /** The first decision that the policies refute; undefined if none is. */
  readonly violation: Violation | undefined;
}

/** A decision that gave more than the kernel could, whatever the log lacks. */
export interface Violation {
  /** The decision, as it was logged. */
  readonly record: LogRecord;
  /** How many decisions share its microsecond. */
  readonly tied: number;
  /** What the kernel says to it, asked first of them. */
  readonly kernel: LoggedDecision;
}

export interface Circumstances {
  readonly rules: readonly AttemptPolicies[];
  /** Times at which units may have been given back without a record. */
  readonly doubts: readonly { readonly fromUs: number; readonly toUs: number }[];
  /** Whether any time is such a time. */
  readonly isForgetful: boolean;
  /** Whether every session is whole: then nothing of it is missing. */
  readonly isComplete: boolean;
}

/** An adjustment is no decision: what it did to the key is all there is to it. */
const NO_DECISION: ReadonlySet<string> = new Set([
  "block",
  "unblock",
  "extendBlock",
  "reset",
  "cancel",
  "clearBlock",
  "clearExtendBlock",
] satisfies LogRecord["verb"][]);
const TAKING: ReadonlySet<string> = new Set(TAKING_VERBS);
/** More than any cost: what was taken at one instant counts for no more. */
const MOST_THOUSANDTHS = 1e12;

export function replayAttempts(
  records: Rows<LogRecord>,
  circumstances: Circumstances,
): AttemptReplay {
  const { rows, times } = rowsByTime(records, ({ source, atUs }) =>
    source === "store" ? atUs : undefined,
  );
  const judge = new KeyJudge(circumstances);
  for (let start = 0; start < rows.length && judge.violation === undefined; ) {
    const atUs = times[rows[start] as number] as number;
    const tied: LogRecord[] = [];
    for (; start < rows.length && times[rows[start] as number] === atUs; start++) {
      tied.push(records.at(rows[start] as number) as LogRecord);
    }
    judge.hear(tied, atUs);
  }
  const { matched, stricter, unclear, violation } = judge;
  return { matched, stricter, unclear, violation };
}

/** What decides on the key, as long as its options stay the same. */
interface Current {
  readonly number: number | undefined;
  readonly kernel: Replayer;
  readonly rules: readonly Rule[];
  readonly isMonotone: boolean;
}

class KeyJudge {
  matched = 0;
  stricter = 0;
  unclear = 0;
  violation: Violation | undefined;
  readonly #circumstances: Circumstances;
  #current: Current | undefined;
  /** With at least as much left as the key really had. */
  #states: States = [];
  #atUs = Number.NEGATIVE_INFINITY;
  /** Whether everything was the kernel's own since the key was fresh. */
  #isExact = true;

  constructor(circumstances: Circumstances) {
    this.#circumstances = circumstances;
  }

  /** All records of one instant. */
  hear(tied: readonly LogRecord[], atUs: number): void {
    const current = this.#follow(tied);
    if (this.#isDoubtful(this.#atUs, atUs)) this.#forget(current);
    this.#atUs = atUs;
    const decisions = tied.filter(({ verb }) => !NO_DECISION.has(verb));
    const givesBack = tied.some(({ verb }) => NO_DECISION.has(verb) && GIVING_BACK.has(verb));
    // Of several at one instant, the log does not say between which of them units came back.
    const isUnknown =
      current.number === undefined || (tied.length > 1 && this.#isDoubtful(atUs, atUs));
    if (givesBack || isUnknown) {
      this.unclear += decisions.length;
      // What a cancelled start left is not known; after the other verbs the key is fresh.
      this.#forget(current, !isUnknown && tied.length === 1 && tied[0]?.verb !== "cancel");
    } else if (decisions.length > 0) this.#judge(current, decisions, atUs);
  }

  #judge(current: Current, decisions: readonly LogRecord[], atUs: number): void {
    const states = this.#exactly(current, decisions);
    if (states !== undefined) {
      this.#states = states;
      this.matched += decisions.length;
      return;
    }
    const isSure = current.isMonotone || (this.#isExact && this.#circumstances.isComplete);
    this.#isExact = false;
    const tooMuch = isSure ? tooGenerous(current, this.#states, decisions, atUs) : undefined;
    if (tooMuch !== undefined) {
      const kernel = current.kernel.ask(this.#states, tooMuch, atUs).decision;
      this.violation = { record: tooMuch, tied: decisions.length, kernel };
    } else if (current.isMonotone) {
      this.stricter += decisions.length;
      this.#states = afterAll(current, this.#states, decisions, atUs);
    } else {
      this.unclear += decisions.length;
      this.#forget(current);
    }
  }

  /** The states after the records, if the kernel gives all their answers in some order. */
  #exactly({ kernel }: Current, decisions: readonly LogRecord[]): States | undefined {
    const [only] = decisions;
    if (decisions.length === 1 && only !== undefined) {
      const { decision, states } = kernel.ask(this.#states, only, only.atUs);
      return sameDecision(decision, only) ? states : undefined;
    }
    // To search for an order costs much, and fails if units are taken that the log does not show.
    if (!this.#isExact || !decisions.every(({ verb }) => TAKING.has(verb))) return undefined;
    const explained = explainInstant(kernel, this.#states, decisions);
    return explained.mismatch === undefined ? explained.states : undefined;
  }

  /** The rule of all the records; a change of options leaves a key in an unknown state. */
  #follow(tied: readonly LogRecord[]): Current {
    const numbers = new Set(tied.map(({ rule }) => rule));
    const [first] = numbers;
    const number = numbers.size === 1 ? first : undefined;
    if (this.#current !== undefined && this.#current.number === number) return this.#current;
    const isFirst = this.#current === undefined;
    const { policies = [] } = number === undefined ? {} : (this.#circumstances.rules[number] ?? {});
    this.#current = {
      number,
      kernel: new Replayer(policies),
      rules: policies.map((policy) => ruleOf(policy)),
      isMonotone: policies.every((policy) => toolsOf(policy).isMonotone?.(policy) === true),
    };
    this.#forget(this.#current, isFirst);
    return this.#current;
  }

  /** Whether units may have been given back without a record at any time between these. */
  #isDoubtful(sinceUs: number, untilUs: number): boolean {
    const { isForgetful, doubts } = this.#circumstances;
    return isForgetful || doubts.some(({ fromUs, toUs }) => fromUs <= untilUs && toUs >= sinceUs);
  }

  #forget({ kernel }: Current, isFresh = false): void {
    this.#states = kernel.fresh;
    this.#isExact &&= isFresh;
  }
}

/** Thousandths that records took by asking, took in spite of everything, gave back at most, and surely gave back. */
interface Sums {
  readonly asked: number;
  readonly forced: number;
  readonly back: number;
  readonly surelyBack: number;
}

function sumsOf(decisions: readonly LogRecord[]): Sums {
  let [asked, forced, back, surelyBack] = [0, 0, 0, 0];
  for (const { verb, granted, cost } of decisions) {
    if (verb === "penalize") forced += Math.round(cost * UNIT);
    else if (verb === "refund") {
      // What came back is said of the policy that got least of it.
      back += Math.round(cost * UNIT);
      surelyBack += Math.round(granted * UNIT);
    }
    // A reservation may take what comes later.
    else if (verb === "reserve") forced += Math.round(granted * UNIT);
    else asked += Math.round(granted * UNIT);
  }
  return { asked, forced, back, surelyBack };
}

/** A decision that gave more than there was, in whatever order these were made; undefined if none surely did. */
function tooGenerous(
  { kernel, rules }: Current,
  states: States,
  decisions: readonly LogRecord[],
  atUs: number,
): LogRecord | undefined {
  const [only] = decisions;
  if (decisions.length === 1 && only?.verb === "reserve") {
    const { decision } = kernel.ask(states, only, atUs);
    const isTooEarly = (only.readyAtUs ?? atUs) < (decision.readyAtUs ?? atUs);
    return only.allowed && (!decision.allowed || isTooEarly) ? only : undefined;
  }
  const available = availableIn(rules, states, atUs);
  const { asked, back } = sumsOf(decisions);
  const takers = decisions.filter(
    ({ verb, allowed }) => allowed && (verb === "consume" || verb === "consumeUpTo"),
  );
  if (asked > 0 && asked > available + back) return takers.at(-1);
  // The last of them has the least left; which that was, its number tells.
  const lowest = Math.min(...takers.map(({ remaining }) => remaining));
  return takers.find(({ remaining, granted }) => {
    const own = back === 0 && remaining === lowest ? asked : Math.round(granted * UNIT);
    return remaining > 0 && remaining * UNIT > available + back - own;
  });
}

/** Thousandths that the poorest of the policies with a limit has left. */
function availableIn(rules: readonly Rule[], states: States, atUs: number): number {
  const peek = { verb: VERBS.peek, cost: 0, nowUs: atUs, blockUs: 0, maxWaitUs: 0 };
  const { debits } = step(rules, states, peek);
  const limited = debits.filter(({ params }) => params.capacity !== UNLIMITED);
  return Math.min(...limited.map((debit) => debit.available));
}

/** The states after all that the records took and gave back; no more of it than they did. */
function afterAll(
  { kernel, rules }: Current,
  states: States,
  decisions: readonly LogRecord[],
  atUs: number,
): States {
  const { asked, forced, back, surelyBack } = sumsOf(decisions);
  const call = { nowUs: atUs, blockUs: 0, maxWaitUs: 0 };
  const taken = Math.min(asked + forced, MOST_THOUSANDTHS);
  const after = step(rules, states, { ...call, verb: VERBS.penalize, cost: taken });
  if (back === 0) return after.states;
  const given = step(rules, after.states, { ...call, verb: VERBS.refund, cost: back });
  return given.granted < surelyBack ? kernel.fresh : given.states;
}
