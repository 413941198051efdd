/**
 * The reply of the script, as the heads of scripts/*.lua describe it: it becomes what each call came to. What they are
 * asked is written by batch.ts; both sides of the format change together.
 */
import { REASON, VERBS } from "../../algorithms/decide.js";
import { LOG_FULL, READY, type ReservationReceipt } from "../../algorithms/kernel.js";
import { logFullError } from "../../algorithms/rule.js";
import { StoreUnavailableError } from "../../core/errors.js";
import type { Debit, DebitResult, StoreCall, StoreResult } from "../store.js";
import { givesBack } from "./batch.js";

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
  const outcomes = new Array<DecodedCall>(calls.length);
  for (let i = 0; i < calls.length; i++) outcomes[i] = reader.outcome(calls[i] as StoreCall);
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
  /** Of a run, for each debit: what is available after the last call, and what the resets of all calls follow from. */
  #run: readonly number[] = [];
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
    if (this.#form === "plain") return readAdmitted(this, call);
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
      this.#run = call.debits.flatMap(() => [this.next(), this.next()]);
    } else {
      this.#form = "repeat";
      this.#last = readOutcome(this, head, call);
      if ((head & REPEATS_FOLLOW) !== 0) this.#left = this.next();
    }
  }

  /** Each call of a run takes as much as the next one has less; its kernel knows when its key is full again. */
  #ofRun({ debits }: StoreCall): StoreResult {
    const results = new Array<DebitResult>(debits.length);
    for (let i = 0; i < debits.length; i++) results[i] = this.#debitOfRun(debits[i] as Debit, i);
    return { nowUs: this.rawUs, granted: leastCost(debits), debits: results };
  }

  #debitOfRun({ cost, rule }: Debit, i: number): DebitResult {
    const available = (this.#run[2 * i] as number) + this.#left * cost;
    const rest = this.#run[2 * i + 1] as number;
    const resetUs = rule.kernel.timeToFullAt?.(rule.params, available, rest);
    if (resetUs !== undefined) return admitted(available, resetUs);
    throw new StoreUnavailableError("the script's reply does not fit the calls");
  }
}

/** A debit that was made. */
function admitted(available: number, resetUs: number): DebitResult {
  return { reason: REASON.ok, available, waitUs: 0, resetUs };
}

/** The answer to a consume that is admitted. */
function readAdmitted(reader: ReplyReader, { debits }: StoreCall): StoreResult {
  const { rawUs: nowUs } = reader;
  if (debits.length === 1) {
    const { cost } = debits[0] as Debit;
    return { nowUs, granted: cost, debits: [admitted(reader.next(), reader.next())] };
  }
  const results = new Array<DebitResult>(debits.length);
  for (let i = 0; i < debits.length; i++) results[i] = admitted(reader.next(), reader.next());
  return { nowUs, granted: leastCost(debits), debits: results };
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

/** What consumes of several debits grant. */
export function leastCost(debits: readonly Debit[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { cost } of debits) if (cost < least) least = cost;
  return least;
}

function isNumber(item: unknown): item is number {
  return typeof item === "number";
}

/** Some clients return integers as text, or as bigint. */
function numbersOf(reply: readonly unknown[]): readonly number[] {
  if (reply.every(isNumber)) return reply;
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
