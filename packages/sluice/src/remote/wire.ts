/**
 * The format of POST /v1/store, as docs/remote.md describes it: what both sides know. It is JSON, in which every whole
 * number below 2^53 survives as it is, and so does any text.
 */
import type { SemaphoreVerb } from "../algorithms/semaphore/kernel.js";

/** A request says which version it is, and is answered in that one or refused as a whole. */
export const STORE_PROTOCOL = 1;

/** Calls of limiters in one request at most. */
export const MOST_CALLS = 1000;
/** Entries of one command of a semaphore at most. */
export const MOST_ENTRIES = 1000;

/** Of each debit of a run: the indices of its policy and its keyspace in the request's lists, and its cost in thousandths. */
export const SHAPE_NUMBERS = 3;

/** One command of a semaphore. */
export type CommandFrame = readonly [
  keyspace: string,
  id: string,
  verb: SemaphoreVerb,
  limit: number,
  leaseUs: number,
  claimUs: number,
  waitUs: number,
  /** 1 if a waiter that gets in line wants to be notified. */
  notify: 0 | 1,
  /** For how long the store may try again while a Cluster moves the key. */
  withinMs: number,
  /** Ids and numbers by turns. */
  entries: readonly (string | number)[],
];

/** Its answer: an error's frame, or these numbers, and three for each entry. */
export type CommandAnswer = readonly [
  nowUs: number,
  nextUs: number,
  limit: number,
  held: number,
  waiting: number,
  entries: readonly number[],
];

/** One question to what a store has besides: its name, and its arguments. */
export type AskFrame = readonly [name: string, ...args: readonly unknown[]];

/** What a process wants to hear, or no more. */
export type NoticeChange =
  | readonly ["listen", keyspace: string, id: string, owner: string]
  /** A notice did not arrive. */
  | readonly ["missed", owner: string]
  | readonly ["end", owner: string]
  | readonly ["watch", document: string]
  | readonly ["unwatch", document: string];

/** Waits for notices. It may come twice, late, or after a later one. */
export interface NoticesRequest {
  /** Names the process, and its requests since it was last forgotten. */
  readonly session: string;
  /** Grows with each request of the session: one that comes after a later one is answered at once, with nothing. */
  readonly turn: number;
  /** All notices up to this number have arrived. */
  readonly ack: number;
  /** The number of the first change; that of a session's first is 1. */
  readonly from: number;
  readonly changes: readonly NoticeChange[];
}

/** What a process is told. */
export type Notice =
  /** A waiter was handed a permit, or should ask why not. */
  | readonly ["wake", id: string, fence: number, untilUs: number]
  /** The owner's notices arrive from now on; earlier ones may have been missed. */
  | readonly ["live", owner: string]
  /** They do not, until it is live again. */
  | readonly ["quiet", owner: string]
  | readonly ["document", name: string];

/** "forgotten": the service knows nothing of what the session watches. */
export type NoticesAnswer =
  | "forgotten"
  | {
      /** The number of the last change that was made. */
      readonly applied: number;
      /** The number of the last notice. */
      readonly last: number;
      readonly notices: readonly Notice[];
    };

/** Columns of an answer's run: the time and what was granted, and behind them, for each debit, its columns. */
export const RUN_COLUMNS = 2;
export const DEBIT_COLUMNS = 5;

/** One number for all calls of a run, or one for each; null if there is none. */
export type AnswerColumn = number | null | readonly (number | null)[];

/** A part of an answer that not all calls or commands have: the index of its call or command, and the part. */
export type Placed<T> = readonly [place: number, value: T];

/** All numbers of a list as one, if they are the same. */
export function columnOf(values: readonly (number | null)[]): AnswerColumn {
  const [first = null] = values;
  for (const value of values) if (value !== first) return values;
  return first;
}
