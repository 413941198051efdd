/**
 * The wire between the store and its script, as the heads of scripts/*.lua describe it: calls become keys and arguments, and the
 * reply becomes what each call came to. Both sides of the format change together.
 */
import { REASON, VERBS } from "../../algorithms/decide.js";
import { type Kernel, LOG_FULL, READY, type ReservationReceipt } from "../../algorithms/kernel.js";
import { logFullError, type Rule } from "../../algorithms/rule.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { keyNameOf } from "../../core/identity.js";
import type { BatchKind } from "./scripts.js";
import type { Debit, DebitResult, StoreCall, StoreResult } from "../store.js";
import type { Placement } from "./slot.js";

export interface EncodedBatch {
  /** How many of the calls went in: the first so many. */
  readonly size: number;
  readonly kind: BatchKind;
  readonly kernels: ReadonlySet<Kernel>;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/** Calls that differ in their keys alone, as the script reads them. */
interface CallGroup {
  readonly call: StoreCall;
  /** Index of the first call's first key, from 1. */
  readonly first: number;
  /** Keys from one call to the next; 0 = all on the same. */
  stride: number;
  calls: number;
  /** Index of the mark of what gives back; 0 = none. */
  readonly mark: number;
}

/**
 * Puts as many of `calls` as one script call can take into its keys and arguments; at least one, and no more
 * than there are `maxDebits` for, since that is what takes the server's time.
 * `nowUs` is the injected clock's time, undefined for the server's own; `placement` is undefined without partitions, and
 * a nonce where no client sends a call again: then what gives back needs no mark.
 */
export function encodeBatch(
  calls: readonly StoreCall[],
  maxDebits: number,
  nowUs: number | undefined,
  placement: Placement | undefined,
  nonce: () => string | undefined,
): EncodedBatch {
  const keys: string[] = [];
  const places = new Map<string, KeyPlace>();
  const groups: CallGroup[] = [];
  let last: CallGroup | undefined;
  let [size, debits] = [0, 0];
  let kind: BatchKind = "consume";
  for (const call of calls) {
    debits += call.debits.length;
    if (size > 0 && debits > maxDebits) break;
    if (last !== undefined && isRepeat(last, call)) {
      last.calls += 1;
      size += 1;
      continue;
    }
    const first = keyPlaceOf(call, keys, places, placement);
    if (first === 0) break;
    if (last === undefined || !joins(last, call, first)) {
      const end = first + call.debits.length - 1;
      const mark = givesBack(call) ? markOf(keys, end, nonce()) : 0;
      last = { call, first, stride: 0, calls: 1, mark };
      groups.push(last);
    }
    if (!isPlainConsume(call)) kind = "any";
    size += 1;
  }
  const rules = new Map<Rule, number>();
  const body: string[] = [];
  for (const group of groups) encodeGroup(group, kind, rules, body);
  const args = [nowUs === undefined ? "" : String(nowUs), String(rules.size)];
  const kernels = new Set<Kernel>();
  for (const rule of rules.keys()) {
    args.push(...policyHeadOf(rule));
    kernels.add(rule.kernel);
  }
  return { size, kind, kernels, keys, args: args.concat(body) };
}

/** Adds the key by which a call, whose last key is at `last`, is known to have been done: its index; 0 without a nonce. */
function markOf(keys: string[], last: number, nonce: string | undefined): number {
  return nonce === undefined ? 0 : keys.push(`${keys[last - 1] as string}!${nonce}`);
}

/** Calls that must not be done twice. Where a client may send them again, they have one more key, of their own. */
export function givesBack({ verb }: Pick<StoreCall, "verb">): boolean {
  return verb === VERBS.refund || verb === VERBS.cancel;
}

function isPlainConsume({ verb, debits }: StoreCall): boolean {
  const isLone = verb === VERBS.consume && debits.length === 1;
  return isLone && debits[0]?.rule.kernel.isOneValue === true;
}

function nameOf({ keyspace, id }: Debit, placement: Placement | undefined): string {
  if (placement === undefined) return keyNameOf(keyspace.name, id);
  return `${keyspace.name}:${placement.endOf(id)}`;
}

/** A key of the batch, by its index from 1, and the call that brought it. */
interface KeyPlace {
  readonly index: number;
  readonly debits: readonly Debit[];
}

/**
 * Index of the first of a call's keys, which follow each other. A call on keys of earlier calls shares
 * their place only if it has the same keys under the same options, for the script reads a state once, and
 * a call that changes nothing still brings it to its own time and options. Any other waits for the next
 * batch: 0.
 */
function keyPlaceOf(
  call: StoreCall,
  keys: string[],
  places: Map<string, KeyPlace>,
  placement: Placement | undefined,
): number {
  const { debits } = call;
  const names = debits.map((debit) => nameOf(debit, placement));
  const place = places.get(names[0] as string);
  if (place === undefined) {
    if (names.some((name) => places.has(name))) return 0;
    const first = keys.length + 1;
    names.forEach((name, i) => places.set(name, { index: first + i, debits }));
    keys.push(...names);
    return first;
  }
  if (place.debits.length !== debits.length) return 0;
  const isSame = debits.every(({ rule }, i) => {
    const before = place.debits[i] as Debit;
    return (
      places.get(names[i] as string)?.index === place.index + i &&
      rule.fingerprint === before.rule.fingerprint
    );
  });
  return isSame ? place.index : 0;
}

/** Whether `call` is the group's first once more, on the same keys, which are not made again to find out. */
function isRepeat(group: CallGroup, call: StoreCall): boolean {
  if (group.stride !== 0 || !isAlike(group.call, call)) return false;
  return call.debits.every((debit, i) => {
    const before = group.call.debits[i] as Debit;
    return debit.id === before.id && debit.keyspace === before.keyspace;
  });
}

/** Whether calls differ in their keys alone. */
function isAlike(a: StoreCall, b: StoreCall): boolean {
  if (a.verb !== b.verb || givesBack(a) || durationUsOf(a) !== durationUsOf(b)) return false;
  if (a.debits.length !== b.debits.length) return false;
  for (let i = 0; i < a.debits.length; i++) {
    const ours = a.debits[i] as Debit;
    const theirs = b.debits[i] as Debit;
    if (ours.rule !== theirs.rule || ours.cost !== theirs.cost) return false;
  }
  return true;
}

/** Takes `call` into the group if it is one more of the same kind. */
function joins(group: CallGroup, call: StoreCall, first: number): boolean {
  if (!isAlike(group.call, call)) return false;
  const stride = group.calls === 1 ? first - group.first : group.stride;
  if (stride !== 0 && stride !== call.debits.length) return false;
  if (first !== group.first + stride * group.calls) return false;
  group.stride = stride;
  group.calls += 1;
  return true;
}

/** A call has one duration at most: of the block, or of the longest wait. */
function durationUsOf({ verb, blockUs, maxWaitUs }: StoreCall): number {
  return verb === VERBS.reserve ? maxWaitUs : blockUs;
}

function encodeGroup(
  { call, first, stride, calls, mark }: CallGroup,
  kind: BatchKind,
  rules: Map<Rule, number>,
  body: string[],
): void {
  const { verb, debits, receipt } = call;
  body.push(String(durationUsOf(call)), String(first), String(stride), String(calls));
  if (kind === "any") body.push(String(verb), String(debits.length));
  for (const { rule, cost } of debits) {
    let index = rules.get(rule);
    if (index === undefined) {
      index = rules.size + 1;
      rules.set(rule, index);
    }
    body.push(String(index), String(cost));
  }
  if (givesBack(call)) body.push(String(mark));
  if (receipt !== undefined) {
    body.push(String(receipt.readyAtUs), String(receipt.openedUs), String(receipt.sold));
    for (const { extra, endedUs } of receipt.charges) body.push(String(extra), String(endedUs));
  }
}

const policyHeads = new WeakMap<Rule, readonly string[]>();

/** A policy's tag and numbers, with their count, as text; only calendars change theirs. */
function policyHeadOf(rule: Rule): readonly string[] {
  let head = policyHeads.get(rule);
  if (head === undefined) {
    const numbers = rule.kernel.numbers(rule.params);
    head = [rule.kernel.tag, String(numbers.length), ...numbers.map(String)];
    if (rule.refresh === undefined) policyHeads.set(rule, head);
  }
  return head;
}

/** After the readiness codes of the kernels: errors that only a store can meet. */
export const WRONG_TYPE = 3;
export const WRONG_FORMAT = 4;
/** Also there: a run of consumes that are alike. @lua */
export const RUN = 5;

/** A flag beside a readiness code: the time of the decision follows. @lua */
export const TIME_FOLLOWS = 8;
/** A flag: reasons and waits follow. @lua */
export const REASONS_FOLLOW = 16;
/** A flag: how often this answer repeats follows. @lua */
export const REPEATS_FOLLOW = 32;
/** n times this: n admitted calls follow, without a flag. @lua */
export const PLAIN = 64;

/** One call's part of the reply; `needsCalendarAtUs` is the time that the table sent did not cover. */
export type DecodedCall = StoreResult | Error | { readonly needsCalendarAtUs: number };

export interface DecodedBatch {
  /** The clock that decided, unraised. */
  readonly rawUs: number;
  readonly outcomes: readonly DecodedCall[];
}

export function decodeBatch(calls: readonly StoreCall[], reply: unknown): DecodedBatch {
  if (!Array.isArray(reply)) throw new StoreUnavailableError("the script's reply is not an array");
  const reader = new ReplyReader(numbersOf(reply));
  const outcomes = calls.map((call) => reader.outcome(call));
  if (!reader.isDone()) {
    throw new StoreUnavailableError("the script's reply does not fit the calls");
  }
  return { rawUs: reader.rawUs, outcomes };
}

/** How the calls after the last head of the reply are written. */
type ReplyForm = "plain" | "run" | "repeat";

/** Reads the reply call by call. */
class ReplyReader {
  readonly rawUs: number;
  readonly #numbers: readonly number[];
  #at = 0;
  #form: ReplyForm = "plain";
  /** How many more calls the last head covers. */
  #left = 0;
  /** After the last call of a run, and what the resets of all its calls follow from. */
  #available = 0;
  #rest = 0;
  #last: DecodedCall | undefined;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
    this.rawUs = this.next();
  }

  next(): number {
    return this.#numbers[this.#at++] as number;
  }

  /** Whether all of the reply was read, and no more than that. */
  isDone(): boolean {
    return this.#left === 0 && this.#at === this.#numbers.length;
  }

  outcome(call: StoreCall): DecodedCall {
    if (this.#left === 0) this.#begin(call);
    else this.#left -= 1;
    if (this.#form === "plain") return admitted(call, this.rawUs, this.next(), this.next());
    if (this.#form === "run") return this.#ofRun(call);
    return this.#last as DecodedCall;
  }

  #begin(call: StoreCall): void {
    const head = this.next();
    if (head >= PLAIN) {
      this.#form = "plain";
      this.#left = head / PLAIN - 1;
    } else if (head === RUN) {
      this.#form = "run";
      this.#left = this.next() - 1;
      this.#available = this.next();
      this.#rest = this.next();
    } else {
      this.#form = "repeat";
      this.#last = readOutcome(this, head, call);
      if ((head & REPEATS_FOLLOW) !== 0) this.#left = this.next();
    }
  }

  /** Each call of a run takes as much as the next one has less; its kernel knows when its key is full again. */
  #ofRun(call: StoreCall): DecodedCall {
    const { cost, rule } = call.debits[0] as Debit;
    const available = this.#available + this.#left * cost;
    const resetUs = rule.kernel.timeToFullAt?.(rule.params, available, this.#rest);
    if (resetUs !== undefined) return admitted(call, this.rawUs, available, resetUs);
    throw new StoreUnavailableError("the script's reply does not fit the calls");
  }
}

/** The answer to a consume on one debit that is admitted. */
function admitted(call: StoreCall, nowUs: number, available: number, resetUs: number): StoreResult {
  const { cost } = call.debits[0] as Debit;
  return { nowUs, granted: cost, debits: [{ reason: REASON.ok, available, waitUs: 0, resetUs }] };
}

function readOutcome(reader: ReplyReader, head: number, call: StoreCall): DecodedCall {
  const { rawUs } = reader;
  const readiness = head % TIME_FOLLOWS;
  const nowUs = (head & TIME_FOLLOWS) === 0 ? rawUs : reader.next();
  if (readiness !== READY) return errorFor(readiness, call, nowUs);
  return readResult(reader, call, (head & REASONS_FOLLOW) !== 0, nowUs, rawUs);
}

function readResult(
  reader: ReplyReader,
  { verb, debits }: StoreCall,
  isDenied: boolean,
  nowUs: number,
  rawUs: number,
): StoreResult {
  let granted = 0;
  let receipt: ReservationReceipt | undefined;
  if (verb === VERBS.consumeUpTo || givesBack({ verb })) granted = reader.next();
  else if (verb === VERBS.reserve && !isDenied) {
    granted = leastCost(debits);
    receipt = readReceipt(reader, debits.length, nowUs, rawUs);
  }
  if (verb === VERBS.consume && !isDenied) granted = leastCost(debits);
  const answers = debits.map((): DebitResult => {
    const available = reader.next();
    const resetUs = reader.next();
    if (!isDenied) return { reason: REASON.ok, available, waitUs: 0, resetUs };
    return { reason: reader.next(), available, waitUs: reader.next(), resetUs };
  });
  return { nowUs, granted, debits: answers, ...(receipt !== undefined && { receipt }) };
}

function readReceipt(
  reader: ReplyReader,
  debits: number,
  nowUs: number,
  rawUs: number,
): ReservationReceipt {
  const waitUs = reader.next();
  const delayUs = waitUs > 0 ? waitUs + nowUs - rawUs : 0;
  const place = { openedUs: reader.next(), sold: reader.next() };
  const charges = Array.from({ length: debits }, () => {
    return { extra: reader.next(), endedUs: reader.next() };
  });
  return { readyAtUs: nowUs + waitUs, delayUs, ...place, charges };
}

function leastCost(debits: readonly Debit[]): number {
  return debits.reduce((least, { cost }) => Math.min(least, cost), Number.POSITIVE_INFINITY);
}

/** Some clients return integers as text, or as bigint. */
function numbersOf(reply: readonly unknown[]): readonly number[] {
  if (reply.every((item) => typeof item === "number")) return reply;
  const numbers = reply.map(Number);
  if (numbers.some(Number.isNaN)) {
    throw new StoreUnavailableError("the script's reply is not of numbers");
  }
  return numbers;
}

function errorFor(readiness: number, call: StoreCall, nowUs: number): DecodedCall {
  if (readiness === LOG_FULL) return logFullError(call.debits);
  const keyspaces = call.debits.map(({ keyspace }) => keyspace.name).join(", ");
  if (readiness === WRONG_TYPE) {
    return new StoreUnavailableError(
      `a key of ${keyspaces} holds a value of another type, not written by Sluice`,
      { ofKey: true },
    );
  }
  if (readiness === WRONG_FORMAT) {
    return new StoreUnavailableError(
      `a key of ${keyspaces} holds a state of a format that this version does not know`,
      { ofKey: true },
    );
  }
  return { needsCalendarAtUs: nowUs };
}
