/**
 * Batches that Redis refuses as a whole, in a way which proves that nothing was done: they are sent again in
 * parts, so that no call fails for what is the matter with another. Nothing is sent again after any other failure.
 */
import { monotonicMs, startTimer } from "../../core/clock.js";
import { CrossSlotError, SluiceError, StoreUnavailableError } from "../../core/errors.js";
import { type StoreResult, isAwaited, type StoreCall } from "../store.js";
import { notSent, type SendBatch, type Sending } from "./batcher.js";
import { givesBack } from "./wire.js";

type Settle = (i: number, outcome: StoreResult | Error) => void;

/** What all calls of a batch have in common, as flags: the slot, the keyspaces, and the keys, which imply both. */
type Common = number;
const SLOT = 1;
const KEYSPACES = 2;
const KEYS = 4 | SLOT | KEYSPACES;

interface Refusal {
  readonly says: RegExp;
  /** What calls must have in common for it to be about each of them. */
  readonly common: Common;
  /** What a call that is refused by itself comes to; without it, it is tried again until it is served. */
  readonly outcome?: (refusal: Error, call: StoreCall) => Error;
}

/** Some clients say first who failed. */
const BY = /^(?:[\w ]+: (?:- )?)?/.source;

/**
 * Of a slot that is moving to another node, where a script is served only where all of its keys are: calls
 * on one key always are, those on several once these are in one place. ioredis asks any node in between,
 * so that its last answer may be that of one which has nothing to do with the slot.
 */
const MOVING: Refusal = {
  says: /^(?:TRYAGAIN|Too many Cluster redirections.*(?:TRYAGAIN|ASK|MOVED)) /,
  common: KEYS,
};
/** What node-redis says when it was sent to and fro often enough; the last node's answer is the cause. */
const TO_AND_FRO = "Too many Cluster redirections";

const REFUSALS: readonly Refusal[] = [
  MOVING,
  {
    /** Of a Cluster, by a client that does not tell that it is of one. */
    says: new RegExp(`${BY}(?:CROSSSLOT|CrossSlot)\\b`),
    common: SLOT,
    outcome: (cause) => new CrossSlotError({ cause }),
  },
  {
    /** Of keys out of this user's reach; a command out of its reach has other words, and is everybody's trouble. */
    says: new RegExp(
      `${BY}(?:NOPERM|PermissionDenied)\\b[^[]* access (?:a key|one of the keys)\\b`,
    ),
    common: KEYSPACES,
    outcome: (cause, { debits }) => {
      const keyspaces = debits.map(({ keyspace }) => keyspace.name).join(", ");
      const message = `the user may not access a key of ${keyspaces}: ${cause.message}`;
      return new StoreUnavailableError(message, { ofKey: true, cause });
    },
  },
];

const FIRST_RETRY_MS = 2;
const LONGEST_RETRY_MS = 50;
/** For how long after a refusal calls are sent apart from the start. */
const APART_MS = 1000;
/** A client that tried many times by itself before it told us must not do so often. */
const APART_PER_LOST_MS = 10;

/** Whether what was sent failed because its slot is moving, so that it may be sent again. */
export function isOfMovingSlot(failure: unknown): boolean {
  return failure instanceof Error && refusalIn(failure) === MOVING;
}

/** Waits until it is worth trying again, longer each time. */
export function growingPause(): () => Promise<void> {
  let nextMs = FIRST_RETRY_MS;
  return () => {
    const ms = nextMs;
    nextMs = Math.min(2 * ms, LONGEST_RETRY_MS);
    return new Promise((resolve) => {
      startTimer(ms, resolve);
    });
  };
}

export interface SplitRetryOptions {
  readonly send: SendBatch;
  /** The slots of a call's keys, each once. */
  readonly slotsOf: (call: StoreCall) => readonly number[];
  /** Whether the client is known to be of a Cluster. */
  readonly isCluster: boolean;
}

/** Calls on their way, and how to settle each by its place. */
interface Batch {
  readonly slot: number | undefined;
  readonly calls: readonly StoreCall[];
  readonly settle: Settle;
}

/** Calls that were refused alike: their places, and the last error that said so. */
interface Refused {
  readonly refusal: Refusal;
  readonly places: number[];
  error: Error;
}

export class SplitRetry {
  readonly #options: SplitRetryOptions;
  /** What is sent apart by slot, or for calls of no certain one; as many entries at most as there are slots. */
  readonly #apart = new Map<number | undefined, { common: Common; untilMs: number }>();
  #isCluster: boolean;

  constructor(options: SplitRetryOptions) {
    this.#options = options;
    this.#isCluster = options.isCluster;
  }

  /** Whether calls belong together by slot, as known from the beginning or learnt from a refusal. */
  get isCluster(): boolean {
    return this.#isCluster;
  }

  /**
   * Sends calls, of one slot or, without it, of any. Settles every call that it sends, those that wait for
   * their keys to meet after it resolves.
   */
  send(slot: number | undefined, calls: readonly StoreCall[], settle: Settle): Sending {
    const batch = { slot, calls, settle };
    const places = calls.map((_, i) => i);
    const common = slot === undefined ? 0 : SLOT;
    const wanted = common | this.#wanted(slot);
    if (wanted !== common) return { left: [], settled: this.#sendApart(batch, places, wanted) };
    const sentMs = monotonicMs();
    const refused: Refused[] = [];
    const { left, settled } = this.#options.send(calls, sortOut(places, settle, refused));
    const rest = async (): Promise<void> => {
      await settled;
      await this.#again(batch, refused, common, sentMs);
    };
    return { left, settled: rest() };
  }

  #wanted(slot: number | undefined): Common {
    const always = this.#isCluster ? SLOT : 0;
    const apart = this.#apart.get(slot);
    if (apart === undefined) return always;
    if (monotonicMs() < apart.untilMs) return always | apart.common;
    this.#apart.delete(slot);
    return always;
  }

  /** Sends calls in groups that have so much in common. */
  async #sendApart(batch: Batch, places: readonly number[], common: Common): Promise<void> {
    await Promise.all(
      this.#groups(batch, places, common).map(async (group) => {
        const sentMs = monotonicMs();
        await this.#again(batch, await this.#try(batch, group), common, sentMs);
      }),
    );
  }

  /** Goes on with what was refused among calls that have so much in common. */
  async #again(
    batch: Batch,
    refused: readonly Refused[],
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
      this.#isCluster = true;
      return;
    }
    const untilMs = monotonicMs() + Math.max(APART_MS, APART_PER_LOST_MS * lostMs);
    this.#apart.set(slot, { common: common | (this.#apart.get(slot)?.common ?? 0), untilMs });
  }

  /** Sends these calls; what was refused is not settled, but returned. */
  async #try({ calls, settle }: Batch, places: readonly number[]): Promise<readonly Refused[]> {
    const refused: Refused[] = [];
    for (let rest = places; rest.length > 0; ) {
      const sent = rest;
      const { left, settled } = this.#options.send(
        sent.map((i) => calls[i] as StoreCall),
        sortOut(sent, settle, refused),
      );
      rest = left.map((k) => sent[k] as number);
      await settled;
    }
    return refused;
  }

  async #persist(batch: Batch, places: readonly number[]): Promise<void> {
    let waiting = places;
    for (const pause = growingPause(); ; ) {
      await pause();
      waiting = waiting.filter((i) => {
        if (isAwaited(batch.calls[i] as StoreCall)) return true;
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
  #groups({ slot, calls }: Batch, places: readonly number[], common: Common): readonly number[][] {
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

function keysOf(call: StoreCall, i: number): string {
  const own = givesBack(call) ? `${i}` : "";
  return call.debits.map(({ keyspace, id }) => `${keyspace.name}:{${id}}`).join("\n") + own;
}

function keyspacesOf({ debits }: StoreCall, common: Common): string {
  return (common & KEYSPACES) === 0 ? "" : debits.map(({ keyspace }) => keyspace.name).join("\n");
}

/** Settles the calls of `places`, but for those that were refused. */
function sortOut(places: readonly number[], settle: Settle, refused: Refused[]): Settle {
  return (k, outcome) => {
    const i = places[k] as number;
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
  // Ours tell of one call alone.
  if (error instanceof SluiceError) return undefined;
  if (error.message === TO_AND_FRO && error.cause instanceof Error) return MOVING;
  return REFUSALS.find(({ says }) => says.test(error.message));
}

/** False for calls that are to be tried again. */
function settleRefused({ calls, settle }: Batch, { refusal, places, error }: Refused): boolean {
  if (refusal.outcome === undefined) return false;
  for (const i of places) settle(i, refusal.outcome(error, calls[i] as StoreCall));
  return true;
}
