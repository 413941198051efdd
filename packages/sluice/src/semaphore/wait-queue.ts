/**
 * All that one process waits for on one key. Waiters are notified by the store, or ask where it cannot wake them;
 * all of them renew their places in line together; and when somebody's lease may have ended, the first asks.
 */
import { onAbort } from "../core/abort.js";
import { setAlarm } from "../core/alarm.js";
import { monotonicUs } from "../core/clock.js";
import { InvalidOptionError, MaxWaitExceededError } from "../core/errors.js";
import type { Caller } from "./caller.js";
import {
  type CommandEntry,
  type EntryAnswer,
  OUTCOME,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreVerb,
  type Notification,
} from "../algorithms/semaphore/kernel.js";
import { type Grant, type HeldPermit, type Moment, msSince, TRUSTED_FOR } from "./permit.js";
import type { Listening, SemaphoreKey, NotificationListener } from "../stores/semaphore-store.js";

export interface WaitRequest {
  readonly weight: number;
  /** 0 = now or never. */
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

export interface WaitQueueOptions {
  /** The first part of the ids of all waiters; nobody else has it. */
  readonly owner: string;
  readonly key: SemaphoreKey;
  readonly caller: Caller;
  /** Makes the permit, in the moment in which the grant is known: from then on it is looked after. */
  readonly hold: (grant: Grant) => HeldPermit;
  /** Nobody waits any more. */
  readonly ended: () => void;
}

/** One acquisition that is not decided yet. */
interface Waiter {
  readonly id: string;
  readonly weight: number;
  /** Its place in line; 0 where that is not known. */
  ticket: number;
  /** Whether it ever was in line: from then on it waits, also while the store fails. */
  wasInLine: boolean;
  /** Whether a command about it is under way. */
  isAsking: boolean;
  /** Woken while it was. */
  isNotified: boolean;
  /** Whether it was ever notified. */
  wasNotified: boolean;
  /** Undefined once it is decided. */
  decide: ((outcome: Settlement) => void) | undefined;
}

/** A permit; undefined where there is no place now; or why there is none at all. */
type Settlement = HeldPermit | undefined | { readonly reason: Error };

/** When a command was sent, and which. */
interface Asked extends Moment {
  readonly verb: SemaphoreVerb;
}

/** Waiters in one command: more would hold the server for too long. */
const TOLD_TOGETHER = 200;
/** Between two questions where nobody is notified: each half as long again as the one before. */
const FIRST_POLL_MS = 10;
const LONGEST_POLL_MS = 1000;
const POLL_GROWTH = 1.5;
/** At most, from the store to the waiter; if it takes longer, the waiter had better ask. */
const HINT_TAKES_US = 100e3;
/** A lease is over only after its last microsecond. */
const PAST_MS = 1;

export class WaitQueue implements NotificationListener {
  readonly owner: string;
  readonly #key: SemaphoreKey;
  readonly #caller: Caller;
  readonly #hold: (grant: Grant) => HeldPermit;
  readonly #ended: () => void;
  readonly #monotonicMs: () => number;
  readonly #longestPollMs: number;
  /** In the order in which they got in line, as far as this process knows. */
  readonly #waiters = new Map<string, Waiter>();
  /** Whose place a permit now holds: a second answer about it changes nothing. */
  readonly #granted = new WeakSet<Waiter>();
  #acquisitions = 0;
  #listening: Listening | undefined;
  /** The store's clock in its last answer, and when the command was sent. */
  #heard: { readonly atUs: number; readonly sent: Moment } | undefined;
  #pollMs = FIRST_POLL_MS;
  #isPolling = false;
  #isFailing = false;
  #renewAtMs = 0;
  /** When the first lease of a holder may end. */
  #nextAtMs = Number.POSITIVE_INFINITY;
  #cancelAlarm: () => void = () => {};

  constructor({ owner, key, caller, hold, ended }: WaitQueueOptions) {
    this.owner = owner;
    this.#key = key;
    this.#caller = caller;
    this.#hold = hold;
    this.#ended = ended;
    this.#monotonicMs = () => monotonicUs(caller.store.clock) / 1e3;
    // Often enough to confirm every claim.
    this.#longestPollMs = Math.min(LONGEST_POLL_MS, caller.terms.claimUs / 2e3);
  }

  /** Waits for a place; undefined where there is none now and `maxWaitMs` is 0. */
  acquire({ weight, maxWaitMs, signal }: WaitRequest): Promise<HeldPermit | undefined> {
    this.#acquisitions += 1;
    const id = `${this.owner}.${this.#acquisitions.toString(36)}`;
    const waits = maxWaitMs > 0;
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        id,
        weight,
        ticket: 0,
        wasInLine: false,
        isAsking: false,
        isNotified: false,
        wasNotified: false,
        decide: (outcome) => {
          waiter.decide = undefined;
          endWatch?.();
          cancelMaxWait();
          this.#remove(waiter);
          if (outcome !== undefined && "reason" in outcome) reject(outcome.reason);
          else resolve(outcome);
        },
      };
      const { clock } = this.#caller.store;
      const cancelMaxWait = setAlarm(
        clock,
        waits ? maxWaitMs : Number.POSITIVE_INFINITY,
        true,
        () => {
          void this.#giveUp(waiter, this.maxWaitExceeded(maxWaitMs));
        },
      );
      const endWatch =
        signal &&
        onAbort(signal, () => {
          void this.#giveUp(waiter, signal.reason as Error);
        });
      this.#waiters.set(id, waiter);
      void this.#enter(waiter, waits);
    });
  }

  /** The error of whoever has waited for `maxWaitMs`: a hint at when the first of the leases may end. */
  maxWaitExceeded(maxWaitMs: number): MaxWaitExceededError {
    const retryAfterMs = Math.ceil(Math.max(0, this.#nextAtMs - this.#monotonicMs()));
    return new MaxWaitExceededError(
      Number.isFinite(retryAfterMs) ? retryAfterMs : 0,
      `no place in the semaphore became free within ${maxWaitMs} ms`,
    );
  }

  /** Rejects all who wait, and takes them out of the line. */
  async abandon(reason: Error): Promise<void> {
    const waiters = [...this.#waiters.values()];
    for (const { decide } of waiters) decide?.({ reason });
    for (const some of chunksOf(waiters)) {
      await this.#caller.leave(
        this.#key,
        some.map(({ id }) => id),
      );
    }
  }

  notified({ id, fence, untilUs }: Omit<Notification, "channel">): void {
    const waiter = this.#waiters.get(id);
    if (waiter === undefined) return;
    waiter.wasNotified = true;
    const heard = this.#heard;
    if (fence > 0 && waiter.ticket > 0 && heard !== undefined) {
      // The store read its clock after the command was sent, so by now it shows no more than this. The place is
      // claimed until later: the caller may begin, while the permit confirms. A claim that seems to last longer
      // than any is by another clock, of the new server after a failover: then how long it lasts must be asked.
      const sent = this.#now();
      const { claimUs } = this.#caller.terms;
      const atMostUs = heard.atUs + msSince(heard.sent, this.#caller.store.clock) * 1e3;
      const leftUs = untilUs - atMostUs;
      const trustedMs = (leftUs - claimUs * (1 - TRUSTED_FOR)) / 1e3;
      if (trustedMs > 0 && leftUs <= claimUs) {
        const { ticket } = waiter;
        const { atUs } = heard;
        this.#grant(waiter, { ticket, fence, untilUs, atUs, sent, trustedMs, isClaim: true });
        return;
      }
    }
    if (waiter.isAsking) waiter.isNotified = true;
    else void this.#ask(waiter);
  }

  live(): void {
    this.#pollMs = FIRST_POLL_MS;
    void this.#poll();
  }

  /** The first command of an acquisition; again for one that the store has forgotten. */
  async #enter(waiter: Waiter, waits: boolean): Promise<void> {
    const verb = waits ? SEMAPHORE_VERBS.acquire : SEMAPHORE_VERBS.tryAcquire;
    const isFirst = !waiter.wasInLine;
    waiter.isAsking = true;
    const asked = this.#asks(verb);
    try {
      const answer = await this.#caller.call(
        this.#key,
        verb,
        [{ id: waiter.id, number: waiter.weight }],
        {
          channel: this.#caller.store.channelOf(this.#key),
          late: (late) => {
            this.#learn([waiter], late, asked);
          },
        },
      );
      this.#learn([waiter], answer, asked);
    } catch (error) {
      // It may hold or be in line all the same.
      if (isFirst) void this.#giveUp(waiter, error as Error);
      else this.#fail();
    }
    this.#asked(waiter);
  }

  /** Confirms a place that was handed over, or finds out what else became of the waiter. */
  async #ask(waiter: Waiter): Promise<boolean> {
    waiter.isAsking = true;
    const wasNotified = await this.#renew([waiter]);
    this.#asked(waiter);
    return wasNotified;
  }

  #asked(waiter: Waiter): void {
    waiter.isAsking = false;
    if (!waiter.isNotified) return;
    waiter.isNotified = false;
    if (waiter.decide !== undefined) void this.#ask(waiter);
  }

  async #renew(waiters: readonly Waiter[]): Promise<boolean> {
    const asked = this.#asks(SEMAPHORE_VERBS.renew);
    const entries = waiters.map(({ id }): CommandEntry => ({ id, number: 0 }));
    try {
      const late = (answer: SemaphoreAnswer): void => {
        this.#learn(waiters, answer, asked);
      };
      const answer = await this.#caller.call(this.#key, asked.verb, entries, { late });
      this.#isFailing = false;
      this.#learn(waiters, answer, asked);
      return true;
    } catch {
      this.#fail();
      return false;
    }
  }

  #learn(waiters: readonly Waiter[], answer: SemaphoreAnswer, asked: Asked): void {
    this.#heard = { atUs: answer.nowUs, sent: asked };
    this.#nextAtMs =
      answer.nextUs < 0
        ? Number.POSITIVE_INFINITY
        : this.#monotonicMs() + answer.nextUs / 1e3 + PAST_MS;
    waiters.forEach((waiter, i) => {
      this.#learnOne(waiter, answer.entries[i] as EntryAnswer, answer, asked);
    });
    this.#schedule();
  }

  #learnOne(waiter: Waiter, entry: EntryAnswer, { nowUs }: SemaphoreAnswer, asked: Asked): void {
    const { outcome, number, untilUs } = entry;
    const { id, weight, decide } = waiter;
    if (decide === undefined) {
      // Given up while the command was under way.
      const isThere = outcome === OUTCOME.held || outcome === OUTCOME.waiting;
      if (isThere && !this.#granted.has(waiter)) void this.#caller.leave(this.#key, [id]);
    } else if (outcome === OUTCOME.held) {
      // A fence is at least the time at which it was given.
      const isLate = number < nowUs - HINT_TAKES_US;
      if (waiter.ticket > 0 && !waiter.wasNotified && isLate) this.#listening?.missed();
      // Without a line the fence is the ticket; but an older fence is of a place that was handed over meanwhile, to
      // a waiter of whose ticket the answer was lost.
      const isNew = asked.verb !== SEMAPHORE_VERBS.renew && number >= nowUs;
      this.#grant(waiter, {
        ticket: waiter.ticket === 0 && isNew ? number : waiter.ticket,
        fence: number,
        untilUs,
        atUs: nowUs,
        sent: asked,
        trustedMs: (this.#caller.terms.leaseUs / 1e3) * TRUSTED_FOR,
        isClaim: false,
      });
    } else if (outcome === OUTCOME.waiting) {
      if (waiter.ticket !== number) this.#line(waiter, number);
    } else if (outcome === OUTCOME.busy) {
      decide(undefined);
    } else if (outcome === OUTCOME.tooHeavy) {
      const allowed = `at most the semaphore's limit, ${number}`;
      decide({ reason: new InvalidOptionError("weight", weight, allowed) });
    } else if (waiter.wasInLine) {
      // Its lease ended, a claim was not confirmed in time, or the store lost its memory: to the end of the line.
      waiter.ticket = 0;
      void this.#enter(waiter, true);
    }
  }

  #grant(waiter: Waiter, got: Omit<Grant, "key" | "id" | "weight">): void {
    const { id, weight, decide } = waiter;
    if (decide === undefined) return;
    this.#granted.add(waiter);
    this.#pollMs = FIRST_POLL_MS;
    // Decided: an abort from within comes too late.
    waiter.decide = undefined;
    decide(this.#hold({ key: this.#key, id, weight, ...got }));
  }

  #line(waiter: Waiter, ticket: number): void {
    waiter.ticket = ticket;
    waiter.wasInLine = true;
    this.#waiters.delete(waiter.id);
    this.#waiters.set(waiter.id, waiter);
    if (this.#listening !== undefined) return;
    this.#renewAtMs = this.#monotonicMs() + this.#renewEveryMs;
    this.#listening = this.#caller.store.listen(this.#key, this);
  }

  /** Decides for an error, and takes the waiter out of the line. */
  async #giveUp(waiter: Waiter, reason: Error): Promise<void> {
    const { decide } = waiter;
    if (decide === undefined) return;
    decide({ reason });
    await this.#caller.leave(this.#key, [waiter.id]);
  }

  #remove(waiter: Waiter): void {
    this.#waiters.delete(waiter.id);
    if (this.#waiters.size > 0) return;
    this.#cancelAlarm();
    this.#listening?.end();
    this.#listening = undefined;
    this.#ended();
  }

  #fail(): void {
    this.#isFailing = true;
    this.#schedule();
  }

  get #renewEveryMs(): number {
    return this.#caller.terms.waitUs / 3e3;
  }

  /** Sets the alarm to whatever is due first. */
  #schedule(): void {
    this.#cancelAlarm();
    if (this.#listening === undefined || this.#isPolling) return;
    const nowMs = this.#monotonicMs();
    const isNotified = this.#listening.isLive() && !this.#isFailing;
    const pollInMs = isNotified ? this.#nextAtMs - nowMs : this.#pollMs * (0.5 + Math.random());
    const inMs = Math.max(0, Math.min(pollInMs, this.#renewAtMs - nowMs));
    // A caller waits for this: the process must go on.
    this.#cancelAlarm = setAlarm(this.#caller.store.clock, inMs, true, () => void this.#poll());
  }

  async #poll(): Promise<void> {
    if (this.#isPolling || this.#listening === undefined) return;
    this.#isPolling = true;
    this.#cancelAlarm();
    this.#pollMs = Math.min(this.#pollMs * POLL_GROWTH, this.#longestPollMs);
    // Unless an answer says otherwise.
    this.#nextAtMs = this.#monotonicMs() + this.#pollMs;
    try {
      if (this.#monotonicMs() >= this.#renewAtMs) await this.#renewAll();
      else await this.#pollFirst();
    } finally {
      this.#isPolling = false;
      this.#schedule();
    }
  }

  /** Places are handed over in the order of the line, so the first knows whether there is any for this process. */
  async #pollFirst(): Promise<void> {
    for (const waiter of this.#waiters.values()) {
      if (!waiter.wasInLine || waiter.isAsking) continue;
      if (!(await this.#ask(waiter)) || waiter.decide !== undefined) return;
    }
  }

  async #renewAll(): Promise<void> {
    this.#renewAtMs = this.#monotonicMs() + this.#renewEveryMs;
    const waiters = [...this.#waiters.values()].filter(({ wasInLine }) => wasInLine);
    for (const some of chunksOf(waiters)) {
      const undecided = some.filter(({ decide }) => decide !== undefined);
      if (undecided.length > 0 && !(await this.#renew(undecided))) return;
    }
  }

  #asks(verb: SemaphoreVerb): Asked {
    return { ...this.#now(), verb };
  }

  #now(): Moment {
    return { monotonicMs: this.#monotonicMs(), wallUs: this.#caller.store.clock.nowUs() };
  }
}

function* chunksOf(waiters: readonly Waiter[]): Generator<readonly Waiter[]> {
  for (let first = 0; first < waiters.length; first += TOLD_TOGETHER) {
    yield waiters.slice(first, first + TOLD_TOGETHER);
  }
}
