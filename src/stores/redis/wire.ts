/** The script's arguments and reply; see lua/main.lua for both. */
import { VERBS } from "../../algorithms/decide.js";
import { type Kernel, LOG_FULL, READY } from "../../algorithms/kernel.js";
import type { Rule } from "../../algorithms/rule.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { logFullError } from "../refusals.js";
import type { Answer, SeatAnswer, StoreCall } from "../store.js";

/** Errors that only a store can meet, after the readiness codes of the kernels. */
const WRONG_TYPE = 3;
const WRONG_FORMAT = 4;

/** Numbers of the reply for a call and for a seat. */
const CALL_WIDTH = 3;
const SEAT_WIDTH = 4;

export interface Batch {
  readonly kernels: ReadonlySet<Kernel>;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/** `nowUs` is the injected clock's time, undefined for the server's own. */
export function encodeBatch(
  calls: readonly StoreCall[],
  nowUs: number | undefined,
  nonce: () => string,
): Batch {
  const rules = new Map<Rule, number>();
  const keys: string[] = [];
  const body: (string | number)[] = [];
  for (const { verb, seats, extraUs } of calls) {
    body.push(verb, extraUs, seats.length);
    for (const { rule, space, id, cost } of seats) {
      let index = rules.get(rule);
      if (index === undefined) {
        index = rules.size + 1;
        rules.set(rule, index);
      }
      keys.push(`${space.name}:{${id}}`);
      body.push(index, cost);
    }
    if (verb === VERBS.refund) keys.push(`${keys.at(-1) as string}!${nonce()}`);
  }
  const head: (string | number)[] = [nowUs ?? "", rules.size];
  for (const { kernel, params } of rules.keys()) head.push(kernel.tag, ...kernel.numbers(params));
  return {
    kernels: new Set([...rules.keys()].map(({ kernel }) => kernel)),
    keys,
    args: [...head, ...body].map(String),
  };
}

/** One call's part of the reply; `needsCalendar` is the time that the table sent did not cover. */
export type Outcome = Answer | Error | { readonly needsCalendarAtUs: number };

export interface DecodedBatch {
  /** The clock that decided, unraised. */
  readonly rawUs: number;
  readonly outcomes: readonly Outcome[];
}

export function decodeBatch(calls: readonly StoreCall[], reply: unknown): DecodedBatch {
  if (!Array.isArray(reply)) throw new StoreUnavailableError("the script's reply is not an array");
  // Some clients return integers as text, or as bigint.
  const numbers = reply.map(Number);
  let at = 1;
  const outcomes = calls.map((call): Outcome => {
    const readiness = numbers[at] as number;
    const nowUs = numbers[at + 1] as number;
    const granted = numbers[at + 2] as number;
    at += CALL_WIDTH;
    if (readiness !== READY) return refusal(readiness, call, nowUs);
    const seats = call.seats.map((): SeatAnswer => {
      const [standing, room, waitUs, resetUs] = numbers.slice(at, at + SEAT_WIDTH) as [
        number,
        number,
        number,
        number,
      ];
      at += SEAT_WIDTH;
      return { standing, room, waitUs, resetUs };
    });
    return { nowUs, granted, seats };
  });
  if (at !== numbers.length || numbers.some(Number.isNaN)) {
    throw new StoreUnavailableError("the script's reply does not fit the calls");
  }
  return { rawUs: numbers[0] as number, outcomes };
}

function refusal(readiness: number, call: StoreCall, nowUs: number): Outcome {
  if (readiness === LOG_FULL) return logFullError();
  const spaces = call.seats.map(({ space }) => space.name).join(", ");
  if (readiness === WRONG_TYPE) {
    return new StoreUnavailableError(
      `a key of ${spaces} holds a value of another type, not written by Sluice`,
    );
  }
  if (readiness === WRONG_FORMAT) {
    return new StoreUnavailableError(
      `a key of ${spaces} holds a state of a format that this version does not know`,
    );
  }
  return { needsCalendarAtUs: nowUs };
}
