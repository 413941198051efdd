/** Calls of limiters: read as a whole, decided by the store, and answered run by run. */
import { FOREVER_US, VERBS } from "../../algorithms/decide.js";
import { MAX_DEBITS, type Rule } from "../../algorithms/rule.js";
import { CENTURY_US } from "../../core/duration.js";
import type { ReservationReceipt } from "../../algorithms/kernel.js";
import type { Debit, Outcome, Store, StoreCall, StoreResult } from "../../stores/store.js";
import { receiptLength, receiptNumbers, receiptOf } from "../receipts.js";
import { type AnswerColumn, columnOf, MOST_CALLS, type Placed, SHAPE_NUMBERS } from "../wire.js";
import { type ErrorFrame, errorFrame } from "../wire-errors.js";
import { BadRequest, readId, readList, readName, readString, readWhole } from "./bad-request.js";
import type { KnownRules } from "./known-rules.js";

/** A call to be decided, or why it cannot be. */
export interface ReadCall {
  readonly call: StoreCall;
  readonly error: Error | undefined;
}

/** Calls that were written together, and are answered together. */
export interface ReadRun {
  readonly debits: number;
  readonly calls: readonly ReadCall[];
}

/** 1e9 units for each of a call's debits, which may be on one key. */
const MOST_COST = 1e12 * MAX_DEBITS;
const MOST_DEBITS = 10_000;

const verbs: ReadonlySet<unknown> = new Set(Object.values(VERBS));

/** Reads the calls of a request. @throws BadRequest */
export function readRuns(
  frame: Readonly<Record<string, unknown>>,
  known: KnownRules,
): readonly ReadRun[] {
  const policies = readList("policies", frame["policies"], MOST_CALLS);
  const rules = policies.map((policy, i) => known.ruleOf(`policies[${i}]`, policy));
  const names = readList("keyspaces", frame["keyspaces"], MOST_CALLS);
  const keyspaces = names.map((name, i) => readName(`keyspaces[${i}]`, name));
  const tables: CallTables = { rules, keyspaces, known, calls: 0, debits: 0 };
  return readList("calls", frame["calls"], MOST_CALLS).map((run, i) => {
    return readRun(`calls[${i}]`, run, tables);
  });
}

interface CallTables {
  readonly rules: readonly (Rule | Error)[];
  readonly keyspaces: readonly string[];
  readonly known: KnownRules;
  calls: number;
  debits: number;
}

function readRun(what: string, frame: unknown, tables: CallTables): ReadRun {
  const [verb, block, maxWait, shape, texts, given] = readList(what, frame, 6);
  if (!verbs.has(verb)) throw new BadRequest(`${what}[0] must be the number of a verb`);
  const blockUs = readWhole(`${what}[1]`, block, 0, FOREVER_US);
  const maxWaitUs = readWhole(`${what}[2]`, maxWait, 0, CENTURY_US);
  const parts = readShape(`${what}[3]`, shape, tables);
  const ids = readList(`${what}[4]`, texts, MOST_DEBITS);
  const count = ids.length / parts.length;
  if (count < 1 || !Number.isInteger(count)) {
    throw new BadRequest(`${what}[4] must have an id for each debit of each call`);
  }
  tables.calls += count;
  tables.debits += ids.length;
  if (tables.calls > MOST_CALLS || tables.debits > MOST_DEBITS) {
    throw new BadRequest(`at most ${MOST_CALLS} calls and ${MOST_DEBITS} debits go together`);
  }
  const nonce = verb === VERBS.refund ? readNonce(`${what}[5]`, given, count) : undefined;
  const own = nonce === undefined ? given : undefined;
  const receipt = readReceipt(what, verb, own, parts.length, count);
  const error = parts.find((part) => part.error !== undefined)?.error;
  const calls = Array.from({ length: count }, (_, k): ReadCall => {
    const debits = parts.map(({ debit }, i): Debit => {
      const at = k * parts.length + i;
      return { ...debit, id: readId(`${what}[4][${at}]`, ids[at]) };
    });
    const call = { verb: verb as StoreCall["verb"], debits, blockUs, maxWaitUs };
    const more = {
      ...(receipt !== undefined && { receipt }),
      ...(nonce !== undefined && { nonce }),
    };
    return { call: { ...call, ...more }, error };
  });
  return { debits: parts.length, calls };
}

interface ReadPart {
  readonly debit: Debit;
  readonly error: Error | undefined;
}

function readShape(what: string, frame: unknown, tables: CallTables): readonly ReadPart[] {
  const numbers = readList(what, frame, MAX_DEBITS * SHAPE_NUMBERS);
  if (numbers.length === 0 || numbers.length % SHAPE_NUMBERS !== 0) {
    throw new BadRequest(`${what} must have ${SHAPE_NUMBERS} numbers for each debit`);
  }
  const parts: ReadPart[] = [];
  for (let at = 0; at < numbers.length; at += SHAPE_NUMBERS) {
    const [policy, space, amount] = numbers.slice(at, at + SHAPE_NUMBERS);
    const { rules, keyspaces, known } = tables;
    const rule = rules[readWhole(what, policy, 0, rules.length - 1)] as Rule | Error;
    const name = keyspaces[readWhole(what, space, 0, keyspaces.length - 1)] as string;
    const cost = readWhole(what, amount, 0, MOST_COST);
    const keyspace = rule instanceof Error ? rule : known.keyspaceOf(name, rule);
    const error = keyspace instanceof Error ? keyspace : undefined;
    const debit = { name: "", rule, keyspace, id: "", cost } as Debit;
    parts.push({ debit, error });
  }
  return parts;
}

/** Identifies a refund that may be sent again. */
function readNonce(what: string, text: unknown, count: number): string | undefined {
  if (text === undefined) return undefined;
  const nonce = readString(what, text, 64, 1);
  if (count === 1 && /^[\w.-]+$/.test(nonce)) return nonce;
  throw new BadRequest(`${what} must be the nonce of one refund, of A-Z a-z 0-9 . _ -`);
}

function readReceipt(
  what: string,
  verb: unknown,
  frame: unknown,
  debits: number,
  count: number,
): ReservationReceipt | undefined {
  const isCancel = verb === VERBS.cancel;
  if (!isCancel && frame === undefined) return undefined;
  if (!isCancel || count !== 1) {
    throw new BadRequest(`${what}[5] is of one call that cancels`);
  }
  const length = receiptLength(debits);
  const numbers = readList(`${what}[5]`, frame, length);
  if (numbers.length !== length) throw new BadRequest(`${what}[5] must have ${length} numbers`);
  return receiptOf(numbers.map((number) => readWhole(`${what}[5]`, number, 0, FOREVER_US)));
}

/** Has the store decide the calls. `settle` gets what became of each, once, by its index. */
export function submitAll(
  store: Store,
  runs: readonly ReadRun[],
  settle: (place: number, outcome: Outcome) => void,
): void {
  let place = 0;
  for (const { calls } of runs) {
    for (const { call, error } of calls) {
      const own = place;
      place += 1;
      if (error !== undefined) settle(own, error);
      else store.submit(call, (outcome) => settle(own, outcome));
    }
  }
}

/** The part of an answer that is about calls. */
export interface CallsFrame {
  readonly calls: readonly (readonly AnswerColumn[])[];
  readonly errors: readonly Placed<ErrorFrame>[];
  readonly receipts: readonly Placed<readonly number[]>[];
}

export function callsFrame(runs: readonly ReadRun[], outcomes: readonly Outcome[]): CallsFrame {
  const errors: Placed<ErrorFrame>[] = [];
  const receipts: Placed<readonly number[]>[] = [];
  let place = 0;
  const calls = runs.map(({ debits, calls: { length } }) => {
    const results: (StoreResult | undefined)[] = [];
    for (let k = 0; k < length; k++, place++) {
      const outcome = outcomes[place] as Outcome;
      if (outcome instanceof Error) errors.push([place, errorFrame(outcome)]);
      else if (outcome.receipt !== undefined) {
        receipts.push([place, receiptNumbers(outcome.receipt)]);
      }
      results.push(outcome instanceof Error ? undefined : outcome);
    }
    return columnsOf(results, debits);
  });
  return { calls, errors, receipts };
}

/** The numbers of a failed call are zeros. */
function columnsOf(results: readonly (StoreResult | undefined)[], debits: number): AnswerColumn[] {
  const columns = [
    columnOf(results.map((result) => result?.nowUs ?? 0)),
    columnOf(results.map((result) => result?.granted ?? 0)),
  ];
  for (let i = 0; i < debits; i++) {
    const of = results.map((result) => result?.debits[i]);
    columns.push(
      columnOf(of.map((debit) => debit?.reason ?? 0)),
      columnOf(of.map((debit) => debit?.available ?? 0)),
      columnOf(of.map((debit) => debit?.waitUs ?? 0)),
      columnOf(of.map((debit) => debit?.resetUs ?? 0)),
      columnOf(of.map((debit, k) => ownTime(debit?.nowUs, results[k]?.nowUs))),
    );
  }
  return columns;
}

/** A debit's time if it is not the call's. */
function ownTime(own: number | undefined, call: number | undefined): number | null {
  return own === undefined || own === call ? null : own;
}
