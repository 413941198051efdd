/** The script's arguments and reply; see lua/main.lua for both. */
import { STANDING, VERBS } from "../../algorithms/decide.js";
import { type Kernel, LOG_FULL, READY } from "../../algorithms/kernel.js";
import type { Rule } from "../../algorithms/rule.js";
import { StoreUnavailableError } from "../../core/errors.js";
import { logFullError } from "../refusals.js";
import type { Answer, SeatAnswer, StoreCall, StoreSeat } from "../store.js";

/** Errors that only a store can meet, after the readiness codes of the kernels. */
const WRONG_TYPE = 3;
const WRONG_FORMAT = 4;

/** Flags beside the readiness of a call in the reply. */
const TIME_FOLLOWS = 8;
const STANDINGS_FOLLOW = 16;

/** No call is added beyond so many keys: Lua can pass on some 8,000 values at once. */
const MAX_KEYS = 4000;

export interface Batch {
  /** How many of the calls went in: the first so many. */
  readonly size: number;
  readonly kernels: ReadonlySet<Kernel>;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/** Calls that differ in their keys alone, as the script reads them. */
interface Group {
  readonly call: StoreCall;
  /** Index of the first call's first key, from 1. */
  readonly first: number;
  /** Keys from one call to the next; 0 = all on the same. */
  stride: number;
  calls: number;
}

/**
 * Puts as many of `calls` as one script call can take into its keys and arguments; at least one.
 * `nowUs` is the injected clock's time, undefined for the server's own.
 */
export function encodeBatch(
  calls: readonly StoreCall[],
  nowUs: number | undefined,
  nonce: () => string,
): Batch {
  const keys: string[] = [];
  const placed = new Map<string, Place>();
  const groups: Group[] = [];
  let size = 0;
  for (const call of calls) {
    if (keys.length >= MAX_KEYS) break;
    const first = placeKeys(call, keys, placed);
    if (first === undefined) break;
    const last = groups.at(-1);
    if (last === undefined || !joins(last, call, first)) {
      groups.push({ call, first, stride: 0, calls: 1 });
    }
    if (call.verb === VERBS.refund) keys.push(`${keys.at(-1) as string}!${nonce()}`);
    size += 1;
  }
  const rules = new Map<Rule, number>();
  const body: string[] = [];
  for (const group of groups) encodeGroup(group, rules, body);
  const args = [nowUs === undefined ? "" : String(nowUs), String(rules.size)];
  for (const rule of rules.keys()) args.push(...headOf(rule));
  return {
    size,
    kernels: new Set([...rules.keys()].map(({ kernel }) => kernel)),
    keys,
    args: args.concat(body),
  };
}

/** A key of the batch, by its index, and the call that brought it. */
interface Place {
  readonly index: number;
  readonly seats: readonly StoreSeat[];
}

/**
 * Index of the first of a call's keys, which follow each other. A call on keys of earlier calls shares
 * their place only if it has the same keys under the same options, for the script reads a state once, and
 * a call that changes nothing still brings it to its own time and options. Any other waits for the next batch.
 */
function placeKeys(
  { verb, seats }: StoreCall,
  keys: string[],
  placed: Map<string, Place>,
): number | undefined {
  const names = seats.map(({ space, id }) => `${space.name}:{${id}}`);
  const known = names.map((name) => placed.get(name));
  if (known.every((place) => place === undefined)) {
    const first = keys.length + 1;
    names.forEach((name, i) => {
      keys.push(name);
      placed.set(name, { index: first + i, seats });
    });
    return first;
  }
  const place = known[0];
  // The mark of a refund stands behind its keys, where those of an earlier call have no room for it.
  if (place === undefined || verb === VERBS.refund) return undefined;
  const isSame =
    place.seats.length === seats.length &&
    seats.every(({ rule }, i) => {
      const before = (place.seats[i] as StoreSeat).rule;
      return known[i]?.index === place.index + i && rule.fingerprint === before.fingerprint;
    });
  return isSame ? place.index : undefined;
}

/** Takes `call` into the group if it is one more of the same. */
function joins(group: Group, call: StoreCall, first: number): boolean {
  const { verb, seats, extraUs } = group.call;
  if (call.verb !== verb || verb === VERBS.refund || call.extraUs !== extraUs) return false;
  if (call.seats.length !== seats.length) return false;
  for (let i = 0; i < seats.length; i++) {
    const ours = seats[i] as StoreSeat;
    const theirs = call.seats[i] as StoreSeat;
    if (ours.rule !== theirs.rule || ours.cost !== theirs.cost) return false;
  }
  const stride = group.calls === 1 ? first - group.first : group.stride;
  if (stride !== 0 && stride !== seats.length) return false;
  if (first !== group.first + stride * group.calls) return false;
  group.stride = stride;
  group.calls += 1;
  return true;
}

function encodeGroup(
  { call, first, stride, calls }: Group,
  rules: Map<Rule, number>,
  body: string[],
): void {
  const { verb, extraUs, seats } = call;
  body.push(
    String(verb),
    String(extraUs),
    String(first),
    String(stride),
    String(calls),
    String(seats.length),
  );
  for (const { rule, cost } of seats) {
    let index = rules.get(rule);
    if (index === undefined) {
      index = rules.size + 1;
      rules.set(rule, index);
    }
    body.push(String(index), String(cost));
  }
}

const heads = new WeakMap<Rule, readonly string[]>();

/** A policy's tag and numbers as text; only calendars change theirs. */
function headOf(rule: Rule): readonly string[] {
  let head = heads.get(rule);
  if (head === undefined) {
    head = [rule.kernel.tag, ...rule.kernel.numbers(rule.params).map(String)];
    if (rule.refresh === undefined) heads.set(rule, head);
  }
  return head;
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
  const numbers = numbersOf(reply);
  const rawUs = numbers[0] as number;
  let at = 1;
  const outcomes = calls.map((call): Outcome => {
    const { verb, seats } = call;
    const head = numbers[at++] as number;
    const readiness = head % TIME_FOLLOWS;
    const nowUs = (head & TIME_FOLLOWS) === 0 ? rawUs : (numbers[at++] as number);
    if (readiness !== READY) return refusal(readiness, call, nowUs);
    const isDenied = (head & STANDINGS_FOLLOW) !== 0;
    let granted = 0;
    if (verb === VERBS.consumeUpTo) granted = numbers[at++] as number;
    else if (verb === VERBS.consume && !isDenied) granted = leastCost(seats);
    const answers = seats.map((): SeatAnswer => {
      const room = numbers[at++] as number;
      const resetUs = numbers[at++] as number;
      if (!isDenied) return { standing: STANDING.ok, room, waitUs: 0, resetUs };
      const standing = numbers[at++] as number;
      return { standing, room, waitUs: numbers[at++] as number, resetUs };
    });
    return { nowUs, granted, seats: answers };
  });
  if (at !== numbers.length) {
    throw new StoreUnavailableError("the script's reply does not fit the calls");
  }
  return { rawUs, outcomes };
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
    );
  }
  if (readiness === WRONG_FORMAT) {
    return new StoreUnavailableError(
      `a key of ${spaces} holds a state of a format that this version does not know`,
    );
  }
  return { needsCalendarAtUs: nowUs };
}
