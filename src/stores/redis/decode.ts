/** From the script's reply, as lua/open.lua describes it, to what became of each call. */
import { STANDING, VERBS } from "../../algorithms/decide.js";
import { type Booking, LOG_FULL, READY } from "../../algorithms/kernel.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { logFullError } from "../refusals.js";
import type { Answer, SeatAnswer, StoreCall, StoreSeat } from "../store.js";

/** Errors that only a store can meet, after the readiness codes of the kernels. */
const WRONG_TYPE = 3;
const WRONG_FORMAT = 4;

/** Flags beside the readiness of a call. */
const TIME_FOLLOWS = 8;
const STANDINGS_FOLLOW = 16;
const REPEATS_FOLLOW = 32;

/** One call's part of the reply; `needsCalendarAtUs` is the time that the table sent did not cover. */
export type Outcome = Answer | Error | { readonly needsCalendarAtUs: number };

export interface DecodedBatch {
  /** The clock that decided, unraised. */
  readonly rawUs: number;
  readonly outcomes: readonly Outcome[];
}

export function decodeBatch(calls: readonly StoreCall[], reply: unknown): DecodedBatch {
  if (!Array.isArray(reply)) throw new StoreUnavailableError("the script's reply is not an array");
  const reader: Reader = { numbers: numbersOf(reply), at: 0, repeats: 0 };
  const rawUs = next(reader);
  let outcome: Outcome | undefined;
  const outcomes = calls.map((call) => {
    if (outcome === undefined || reader.repeats === 0) outcome = readOutcome(reader, call, rawUs);
    else reader.repeats -= 1;
    return outcome;
  });
  if (reader.at !== reader.numbers.length) {
    throw new StoreUnavailableError("the script's reply does not fit the calls");
  }
  return { rawUs, outcomes };
}

/** A place in the reply. */
interface Reader {
  readonly numbers: readonly number[];
  at: number;
  /** How many of the calls that follow got what the last one did. */
  repeats: number;
}

function next(reader: Reader): number {
  return reader.numbers[reader.at++] as number;
}

function readOutcome(reader: Reader, call: StoreCall, rawUs: number): Outcome {
  const head = next(reader);
  const readiness = head % TIME_FOLLOWS;
  const nowUs = (head & TIME_FOLLOWS) === 0 ? rawUs : next(reader);
  const outcome =
    readiness === READY
      ? readAnswer(reader, call, (head & STANDINGS_FOLLOW) !== 0, nowUs, rawUs)
      : refusal(readiness, call, nowUs);
  if ((head & REPEATS_FOLLOW) !== 0) reader.repeats = next(reader);
  return outcome;
}

function readAnswer(
  reader: Reader,
  { verb, seats }: StoreCall,
  isDenied: boolean,
  nowUs: number,
  rawUs: number,
): Answer {
  let granted = 0;
  let booking: Booking | undefined;
  if (verb === VERBS.consumeUpTo || verb === VERBS.cancel) granted = next(reader);
  else if (verb === VERBS.reserve && !isDenied) {
    granted = leastCost(seats);
    booking = readBooking(reader, nowUs, rawUs);
  }
  if (verb === VERBS.consume && !isDenied) granted = leastCost(seats);
  const answers = seats.map((): SeatAnswer => {
    const room = next(reader);
    const resetUs = next(reader);
    if (!isDenied) return { standing: STANDING.ok, room, waitUs: 0, resetUs };
    return { standing: next(reader), room, waitUs: next(reader), resetUs };
  });
  return { nowUs, granted, seats: answers, ...(booking !== undefined && { booking }) };
}

function readBooking(reader: Reader, nowUs: number, rawUs: number): Booking {
  const waitUs = next(reader);
  const delayUs = waitUs > 0 ? waitUs + nowUs - rawUs : 0;
  return { readyAtUs: nowUs + waitUs, delayUs, openedUs: next(reader), sold: next(reader) };
}

function leastCost(seats: readonly StoreSeat[]): number {
  return seats.reduce((least, { cost }) => Math.min(least, cost), Number.POSITIVE_INFINITY);
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

function refusal(readiness: number, call: StoreCall, nowUs: number): Outcome {
  if (readiness === LOG_FULL) return logFullError();
  const spaces = call.seats.map(({ space }) => space.name).join(", ");
  if (readiness === WRONG_TYPE) {
    return new StoreUnavailableError(
      `a key of ${spaces} holds a value of another type, not written by Sluice`,
      { ofKey: true },
    );
  }
  if (readiness === WRONG_FORMAT) {
    return new StoreUnavailableError(
      `a key of ${spaces} holds a state of a format that this version does not know`,
      { ofKey: true },
    );
  }
  return { needsCalendarAtUs: nowUs };
}
