/**
 * Batches that Redis refuses as a whole, in a way which proves that nothing was done: they are sent again in parts,
 * so that no call fails because of another. Nothing is sent again after any other failure. The store enters this file
 * only after a failure, and while calls are sent apart because of one.
 */
import { monotonicMs, startTimer } from "../../core/clock.js";
import { CrossSlotError, SluiceError, StoreUnavailableError } from "../../core/errors.js";
import type { StoreCall } from "../store.js";
import { notSent, type SendBatch, type Sending, type SettleCall } from "./batcher.js";
import type { RefusalReason } from "./clients/client.js";
import { refusalWordedByClient } from "./clients/index.js";
import { givesBack } from "./batch.js";

/** What all calls of a batch have in common, as flags: the slot, the keyspaces, and the keys, which imply both. */
type Common = number;
const SLOT = 1;
const KEYSPACES = 2;
const KEYS = 4 | SLOT | KEYSPACES;

interface Refusal {
  /** The server's own words; a client may have others. */
  readonly says: RegExp;
  /** What calls must have in common for the refusal to be about each of them. */
  readonly common: Common;
  /** Makes the error for a call that is refused on its own; without it, the call is retried until it is served. */
  readonly errorOf?: (refusal: Error, call: StoreCall) => Error;
}

/** Some clients say first who failed. */
const BY = /^(?:[\w ]+: (?:- )?)?/.source;

const SPLIT_REFUSALS: Readonly<Record<RefusalReason, Refusal>> = {
  /**
   * While a slot moves to another node, a script is served only by a node that has all of its keys: calls on one key always
   * are, those on several once their keys are on one node.
   */
  movingSlot: {
    says: /^TRYAGAIN /,
    common: KEYS,
  },
  /** From a Cluster, by a client that does not say that it talks to one. */
  severalSlots: {
    says: new RegExp(`${BY}CROSSSLOT\\b`),
    common: SLOT,
    errorOf: (cause) => new CrossSlotError({ cause }),
  },
  /**
   * Since 7.2 servers say it in other words if a script meets the key. A command that this user may not run fails for every
   * call.
   */
  unreachableKey: {
    says: new RegExp(
      `${BY}(?:NOPERM|ERR ACL failure in script:)[^[]* access (?:a key|one of the keys|the '.*' key)`,
    ),
    common: KEYSPACES,
    errorOf: (cause, { debits }) => {
      const keyspaces = debits.map(({ keyspace }) => keyspace.name).join(", ");
      const message = `the user may not access a key of ${keyspaces}: ${cause.message}`;
      return new StoreUnavailableError(message, { ofKey: true, cause });
    },
  },
};
const ALL_REFUSALS = Object.values(SPLIT_REFUSALS);

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 50;
/** For how long after a refusal calls are sent apart from the start. */
const APART_MS = 1000;
/** A client that retried many times before it passed on the refusal must not do so often. */
const APART_PER_LOST_MS = 10;

/** Whether what was sent failed because its slot is moving, so that it may be sent again. */
export function failedByMovingSlot(failure: unknown): boolean {
  return failure instanceof Error && refusalIn(failure) === SPLIT_REFUSALS.movingSlot;
}

/** Whether Redis refused what was sent as a whole, so that its parts may be sent again. */
export function isRefused(failure: unknown): boolean {
  return failure instanceof Error && refusalIn(failure) !== undefined;
}

/** Waits until it is worth trying again, longer each time. */
export function growingPause(): () => Promise<void> {
  let nextMs = FIRST_PAUSE_MS;
  return () => {
    const ms = nextMs;
    nextMs = Math.min(2 * ms, LONGEST_PAUSE_MS);
    return new Promise((resolve) => {
      startTimer(ms, resolve);
    });
  };
}

export interface SplitRetryOptions {
  readonly send: SendBatch;
  /** The slots of a call's keys, each once. */
  readonly slotsOf: (call: StoreCall) => readonly number[];
  /** Whether the client is known to be a Cluster's. */
  readonly isCluster: boolean;
}

/** Calls on their way, and how to settle each by its place. */
interface SentBatch {
  readonly slot: number | undefined;
  readonly calls: readonly StoreCall[];
  readonly settle: SettleCall;
}

/** Calls that were refused for one reason: their places, and the last error that said so. */
interface RefusedCalls {
  readonly refusal: Refusal;
  readonly places: number[];
  error: Error;
}

/** Takes the outcomes of a batch instead of its own `settle`. */
export interface RefusalSorter {
  /** Settles the call, unless it was refused and will be sent again. */
  readonly settle: SettleCall;
  /** To be called once all calls came to something: sends again what was refused. */
  readonly sendAgain: () => Promise<void>;
}

export class SplitRetry {
  /**
   * Slots whose calls are sent apart for now, `undefined` for batches of no certain slot. The store sends a batch
   * through this class while there are any.
   */
  readonly apart = new Map<
    number | undefined,
    { readonly common: Common; readonly untilMs: number }
  >();
  /** Whether calls belong together by slot, as known from the beginning or learnt from a refusal. */
  isCluster: boolean;
  readonly #options: SplitRetryOptions;

  constructor(options: SplitRetryOptions) {
    this.#options = options;
    this.isCluster = options.isCluster;
  }

  /**
   * Sends calls, of one slot or, without it, of any. Settles every call that it sends, those that wait for
   * their keys to meet after it resolves.
   */
  send(slot: number | undefined, calls: readonly StoreCall[], settle: SettleCall): Sending {
    const common = commonOf(slot);
    const wanted = common | this.#wanted(slot);
    if (wanted !== common) {
      const places = calls.map((_, i) => i);
      return { left: [], settled: this.#sendApart({ slot, calls, settle }, places, wanted) };
    }
    const sorter = this.sorterOf(slot, calls, settle, monotonicMs());
    const { left, settled } = this.#options.send(calls, sorter.settle);
    return { left, settled: settled.then(sorter.sendAgain) };
  }

  /** For a batch that was sent at `sentMs` without this class, and in which something failed. */
  sorterOf(
    slot: number | undefined,
    calls: readonly StoreCall[],
    settle: SettleCall,
    sentMs: number,
  ): RefusalSorter {
    const refused: RefusedCalls[] = [];
    return {
      settle: settleUnlessRefused(settle, refused),
      sendAgain: () => this.#again({ slot, calls, settle }, refused, commonOf(slot), sentMs),
    };
  }

  #wanted(slot: number | undefined): Common {
    const nowMs = monotonicMs();
    for (const [each, { untilMs }] of this.apart) if (nowMs >= untilMs) this.apart.delete(each);
    return (this.isCluster ? SLOT : 0) | (this.apart.get(slot)?.common ?? 0);
  }

  /** Sends calls in groups that have so much in common. */
  async #sendApart(batch: SentBatch, places: readonly number[], common: Common): Promise<void> {
    await Promise.all(
      this.#groups(batch, places, common).map(async (group) => {
        const sentMs = monotonicMs();
        await this.#again(batch, await this.#try(batch, group), common, sentMs);
      }),
    );
  }

  /** Goes on with what was refused among calls that have so much in common. */
  async #again(
    batch: SentBatch,
    refused: readonly RefusedCalls[],
    common: Common,
    sentMs: number,
  ): Promise<void> {
    for (const part of refused) {
      const finer = common | part.refusal.common;
      if (finer !== common) {
        this.#remember(batch.slot, part.refusal, monotonicMs() - sentMs);
        await this.#sendApart(batch, part.places, finer);
      } else if (!settleRefused(batch, part)) {
        // Not awaited: a wait for one slot must not hold back the batches of all others.
        void this.#persist(batch, part.places);
      }
    }
  }

  #remember(slot: number | undefined, { common }: Refusal, lostMs: number): void {
    if (common === SLOT) {
      this.isCluster = true;
      return;
    }
    const untilMs = monotonicMs() + Math.max(APART_MS, APART_PER_LOST_MS * lostMs);
    this.apart.set(slot, { common: common | (this.apart.get(slot)?.common ?? 0), untilMs });
  }

  /** Sends these calls; what was refused is not settled, but returned. */
  async #try(
    { calls, settle }: SentBatch,
    places: readonly number[],
  ): Promise<readonly RefusedCalls[]> {
    const refused: RefusedCalls[] = [];
    const sort = settleUnlessRefused(settle, refused);
    for (let rest = places; rest.length > 0; ) {
      const sent = rest;
      const { left, settled } = this.#options.send(
        sent.map((i) => calls[i] as StoreCall),
        (k, outcome) => {
          sort(sent[k] as number, outcome);
        },
      );
      rest = left.map((k) => sent[k] as number);
      await settled;
    }
    return refused;
  }

  async #persist(batch: SentBatch, places: readonly number[]): Promise<void> {
    let waiting = places;
    for (const pause = growingPause(); ; ) {
      // A slot on the move is no fault of the server's: until they are sent again, these calls wait here.
      for (const i of waiting) (batch.calls[i] as StoreCall).handOver = undefined;
      await pause();
      waiting = waiting.filter((i) => {
        if (batch.calls[i]?.abandoned !== true) return true;
        batch.settle(i, notSent());
        return false;
      });
      if (waiting.length === 0) return;
      const refused = await this.#try(batch, waiting);
      waiting = refused
        .filter((part) => !settleRefused(batch, part))
        .flatMap((part) => part.places);
    }
  }

  /** Groups of calls that have so much in common, each in order of arrival. */
  #groups(
    { slot, calls }: SentBatch,
    places: readonly number[],
    common: Common,
  ): readonly number[][] {
    const groups = new Map<string, number[]>();
    for (const i of places) {
      const call = calls[i] as StoreCall;
      const slots = slot === undefined && (common & SLOT) !== 0 ? this.#options.slotsOf(call) : [];
      const name = `${slots.join()} ${common === KEYS ? keysOf(call, i) : keyspacesOf(call, common)}`;
      const group = groups.get(name);
      if (group === undefined) groups.set(name, [i]);
      else group.push(i);
    }
    return [...groups.values()];
  }
}

function commonOf(slot: number | undefined): Common {
  return slot === undefined ? 0 : SLOT;
}

function keysOf(call: StoreCall, i: number): string {
  const own = givesBack(call) ? `${i}` : "";
  return call.debits.map(({ keyspace, id }) => `${keyspace.name}:{${id}}`).join("\n") + own;
}

function keyspacesOf({ debits }: StoreCall, common: Common): string {
  return (common & KEYSPACES) === 0 ? "" : debits.map(({ keyspace }) => keyspace.name).join("\n");
}

/** Settles calls, but gathers those that were refused. */
function settleUnlessRefused(settle: SettleCall, refused: RefusedCalls[]): SettleCall {
  return (i, outcome) => {
    const error = outcome instanceof Error ? outcome : undefined;
    const refusal = error && refusalIn(error);
    if (error === undefined || refusal === undefined) {
      settle(i, outcome);
      return;
    }
    const part = refused.find((each) => each.refusal === refusal);
    if (part === undefined) refused.push({ refusal, places: [i], error });
    else {
      part.places.push(i);
      part.error = error;
    }
  };
}

function refusalIn(error: Error): Refusal | undefined {
  // Sluice's own errors are about one call alone.
  if (error instanceof SluiceError) return undefined;
  const saidByServer = ALL_REFUSALS.find(({ says }) => says.test(error.message));
  if (saidByServer !== undefined) return saidByServer;
  const reason = refusalWordedByClient(error);
  return reason && SPLIT_REFUSALS[reason];
}

/** False for calls that are to be tried again. */
function settleRefused(
  { calls, settle }: SentBatch,
  { refusal, places, error }: RefusedCalls,
): boolean {
  if (refusal.errorOf === undefined) return false;
  for (const i of places) settle(i, refusal.errorOf(error, calls[i] as StoreCall));
  return true;
}
