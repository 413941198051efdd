/** Calls of limiters as a request, and its answer as what became of each: the side of the library. */
import type { Rule } from "../algorithms/rule.js";
import { StoreUnavailableError } from "../core/errors.js";
import type { DebitResult, Outcome, StoreCall, StoreResult } from "../stores/store.js";
import { receiptNumbers, receiptOf } from "./receipts.js";
import {
  type AnswerColumn,
  DEBIT_COLUMNS,
  type Placed,
  RUN_COLUMNS,
  STORE_PROTOCOL,
} from "./wire.js";
import { errorOf } from "./wire-errors.js";

/** Calls that were put into a request, counted from the first. */
export interface EncodedCalls {
  readonly body: string;
  readonly size: number;
  /** How many calls each run has. */
  readonly runs: readonly number[];
}

/** A run that is being filled. */
interface OpenRun {
  readonly call: StoreCall;
  readonly frame: readonly unknown[];
  readonly ids: string[];
  size: number;
}

/** The most bytes that JSON writes for a character of an id. */
const BYTES_A_CHARACTER = 6;
/** What a call takes beside the texts of its debits, at most. */
const CALL_BYTES = 200;
const DEBIT_BYTES = 60;

const policyTexts = new WeakMap<Rule, string>();

/** Puts as many of the calls as fit into a request of `maxBytes`, one at least. */
export function encodeCalls(
  calls: readonly StoreCall[],
  maxBytes: number,
  withinMs: number,
): EncodedCalls {
  const tables = new Tables();
  const runs: OpenRun[] = [];
  let [size, bytes] = [0, 0];
  for (const call of calls) {
    bytes += CALL_BYTES + tables.bytesOf(call);
    if (size > 0 && bytes > maxBytes) break;
    const last = runs.at(-1);
    if (last !== undefined && isAlike(last.call, call)) {
      last.size += 1;
      for (const { id } of call.debits) last.ids.push(id);
    } else runs.push(runOf(call, tables));
    size += 1;
  }
  const frames = JSON.stringify(runs.map(({ frame }) => frame));
  const keyspaces = JSON.stringify(tables.keyspaceNames);
  const head = `{"v":${STORE_PROTOCOL},"within":${withinMs}`;
  const body = `${head},"policies":[${tables.policies.join()}],"keyspaces":${keyspaces},"calls":${frames}}`;
  return { body, size, runs: runs.map((run) => run.size) };
}

function runOf(call: StoreCall, tables: Tables): OpenRun {
  const { verb, blockUs, maxWaitUs, debits, receipt, nonce } = call;
  const shape: number[] = [];
  const ids: string[] = [];
  for (const { rule, keyspace, id, cost } of debits) {
    shape.push(tables.placeOfPolicy(rule), tables.placeOfKeyspace(keyspace.name), cost);
    ids.push(id);
  }
  const frame: unknown[] = [verb, blockUs, maxWaitUs, shape, ids];
  if (receipt !== undefined) frame.push(receiptNumbers(receipt));
  else if (nonce !== undefined) frame.push(nonce);
  return { call, frame, ids, size: 1 };
}

/** Whether the calls differ in their ids alone. */
function isAlike(one: StoreCall, other: StoreCall): boolean {
  const { debits } = one;
  if (one.verb !== other.verb || debits.length !== other.debits.length) return false;
  if (one.blockUs !== other.blockUs || one.maxWaitUs !== other.maxWaitUs) return false;
  if (one.receipt !== undefined || other.receipt !== undefined) return false;
  if (one.nonce !== undefined || other.nonce !== undefined) return false;
  return debits.every(({ rule, keyspace, cost }, i) => {
    const debit = other.debits[i];
    return debit?.rule === rule && debit.keyspace === keyspace && debit.cost === cost;
  });
}

/** The policies and keyspaces of a request, each written once. */
class Tables {
  readonly policies: string[] = [];
  readonly keyspaceNames: string[] = [];
  readonly #policies = new Map<Rule, number>();
  readonly #keyspaces = new Map<string, number>();

  /** How many bytes more a request takes with this call, at most. */
  bytesOf({ debits, receipt }: StoreCall): number {
    let bytes = receipt === undefined ? 0 : DEBIT_BYTES * (debits.length + 2);
    for (const { rule, keyspace, id } of debits) {
      let characters = id.length;
      if (!this.#policies.has(rule)) characters += policyText(rule).length;
      if (!this.#keyspaces.has(keyspace.name)) characters += keyspace.name.length;
      bytes += DEBIT_BYTES + characters * BYTES_A_CHARACTER;
    }
    return bytes;
  }

  placeOfPolicy(rule: Rule): number {
    let place = this.#policies.get(rule);
    if (place === undefined) {
      place = this.policies.push(policyText(rule)) - 1;
      this.#policies.set(rule, place);
    }
    return place;
  }

  placeOfKeyspace(name: string): number {
    let place = this.#keyspaces.get(name);
    if (place === undefined) {
      place = this.keyspaceNames.push(name) - 1;
      this.#keyspaces.set(name, place);
    }
    return place;
  }
}

function policyText(rule: Rule): string {
  let text = policyTexts.get(rule);
  if (text === undefined) {
    text = JSON.stringify(rule.policy);
    policyTexts.set(rule, text);
  }
  return text;
}

/** What a request of calls is answered with. */
interface CallsAnswer {
  readonly calls: readonly (readonly AnswerColumn[])[];
  readonly errors?: readonly Placed<unknown>[];
  readonly receipts?: readonly Placed<readonly number[]>[];
}

/**
 * What became of each of the calls that went in.
 * @throws StoreUnavailableError if the answer does not fit the calls.
 */
export function decodeOutcomes(
  calls: readonly StoreCall[],
  runs: readonly number[],
  answer: unknown,
): readonly Outcome[] {
  const { calls: columns, errors = [], receipts = [] } = answer as CallsAnswer;
  if (!Array.isArray(columns) || columns.length !== runs.length) throw unfit();
  const outcomes: Outcome[] = [];
  const failed = new Map(errors.map(([place, frame]) => [place, errorOf(frame)]));
  const reserved = new Map(receipts);
  let place = 0;
  (columns as CallsAnswer["calls"]).forEach((of, run) => {
    for (let k = 0; k < (runs[run] as number); k++, place++) {
      const error = failed.get(place);
      if (error !== undefined) outcomes.push(error);
      else outcomes.push(resultOf(of, k, calls[place] as StoreCall, reserved.get(place)));
    }
  });
  return outcomes;
}

function resultOf(
  columns: readonly AnswerColumn[],
  k: number,
  { debits }: StoreCall,
  receipt: readonly number[] | undefined,
): StoreResult {
  if (columns.length !== RUN_COLUMNS + DEBIT_COLUMNS * debits.length) throw unfit();
  const nowUs = numberIn(columns[0], k);
  const granted = numberIn(columns[1], k);
  const results: DebitResult[] = [];
  for (let at = RUN_COLUMNS; at < columns.length; at += DEBIT_COLUMNS) {
    const debit: DebitResult = {
      reason: numberIn(columns[at], k),
      available: numberIn(columns[at + 1], k),
      waitUs: numberIn(columns[at + 2], k),
      resetUs: numberIn(columns[at + 3], k),
    };
    const own = valueIn(columns[at + 4], k);
    results.push(own === null ? debit : { ...debit, nowUs: numberIn(columns[at + 4], k) });
  }
  const result = { nowUs, granted, debits: results };
  return receipt === undefined ? result : { ...result, receipt: receiptOf(receipt) };
}

function valueIn(column: AnswerColumn | undefined, k: number): unknown {
  return Array.isArray(column) ? column[k] : column;
}

function numberIn(column: AnswerColumn | undefined, k: number): number {
  const value = valueIn(column, k);
  if (typeof value === "number") return value;
  throw unfit();
}

function unfit(): StoreUnavailableError {
  return new StoreUnavailableError("the service's answer does not fit the calls");
}
