/**
 * All callers of one process that wait for one key: who waits, what the store says of each, who gets a permit.
 * When they ask the store is up to the poller; whether a notification is enough is up to the notifications.
 */
import {
  type CommandEntry,
  type EntryAnswer,
  type Notification,
  OUTCOME,
  SEMAPHORE_VERBS,
  type SemaphoreAnswer,
  type SemaphoreVerb,
} from "../algorithms/semaphore/kernel.js";
import { onAbort } from "../core/abort.js";
import { setAlarm } from "../core/alarm.js";
import { InvalidOptionError, MaxWaitExceededError, mayPass } from "../core/errors.js";
import { pauseMsAfter } from "../core/pause.js";
import type { NotificationListener } from "../stores/semaphore-store.js";
import type { Caller, CallerKey } from "./caller.js";
import { Notifications } from "./notifications.js";
import type { HeldPermit } from "./permit.js";
import { type Moment, momentOf, type PermitGrant, TRUSTED_SHARE } from "./permit-grant.js";
import { Poller } from "./poller.js";
import { chunksOf, Waiter, type WaitRequest } from "./waiter.js";

export interface WaitQueueOptions {
  readonly key: CallerKey;
  readonly caller: Caller;
  /** Makes the permit as soon as the grant is known: only the permit renews it. */
  readonly hold: (grant: PermitGrant) => HeldPermit;
}

/** A command that was sent: which, and when. */
interface SentCommand extends Moment {
  readonly verb: SemaphoreVerb;
}

/** The most that a notification takes; if a waiter's permit is older, its notification was lost. */
const NOTIFICATION_TAKES_US = 100e3;

export class WaitQueue implements NotificationListener {
  /** The first part of the ids of all waiters; no other queue has it. */
  owner = "";
  readonly #key: CallerKey;
  readonly #caller: Caller;
  readonly #hold: (grant: PermitGrant) => HeldPermit;
  readonly #notifications: Notifications;
  readonly #poller: Poller;
  /** In the order in which they got in line, as far as this process knows. */
  readonly #waiters = new Map<string, Waiter>();
  #acquisitions = 0;

  constructor({ key, caller, hold }: WaitQueueOptions) {
    const { store, terms } = caller;
    this.#key = key;
    this.#caller = caller;
    this.#hold = hold;
    this.#notifications = new Notifications(key, store, terms);
    this.#poller = new Poller({
      clock: store.clock,
      terms,
      isNotified: () => this.#notifications.isLive,
      ask: () => this.#askFirst(),
      renew: () => this.#renewAll(),
    });
  }

  /** Gets the next waiters' ids ready, while nobody waits: what comes late for those before is for nobody. */
  begin(owner: string): void {
    this.owner = owner;
    this.#acquisitions = 0;
  }

  /** Whether nobody waits. */
  get isEmpty(): boolean {
    return this.#waiters.size === 0;
  }

  /** Waits for a permit. `ended` hears of the end just before the caller does, with what it failed with. */
  acquire(request: WaitRequest, ended?: (error: Error | undefined) => void): Promise<HeldPermit> {
    return this.#begin(request, ended) as Promise<HeldPermit>;
  }

  /** The same now or never: undefined if there is none. */
  tryAcquire(weight: number, signal?: AbortSignal): Promise<HeldPermit | undefined> {
    return this.#begin({ weight, maxWaitMs: 0, signal });
  }

  #begin(
    { weight, maxWaitMs, signal }: WaitRequest,
    ended?: (error: Error | undefined) => void,
  ): Promise<HeldPermit | undefined> {
    this.#acquisitions += 1;
    const id = `${this.owner}.${this.#acquisitions.toString(36)}`;
    const waits = maxWaitMs > 0;
    const alarmMs = waits ? maxWaitMs : Number.POSITIVE_INFINITY;
    return new Promise((resolve, reject) => {
      const waiter = new Waiter(id, weight, (outcome) => {
        endWatch?.();
        cancelMaxWait();
        waiter.endPause();
        this.#remove(waiter);
        const failure = outcome !== undefined && "reason" in outcome ? outcome.reason : undefined;
        ended?.(failure);
        if (failure !== undefined) reject(failure);
        else resolve(outcome as HeldPermit | undefined);
      });
      const cancelMaxWait = setAlarm(this.#caller.store.clock, alarmMs, true, () => {
        if (waiter.wasInLine || waiter.failure === undefined) {
          void this.#giveUp(waiter, this.maxWaitExceeded(maxWaitMs));
        } else void this.#giveUp(waiter, waiter.failure, false);
      });
      const endWatch =
        signal &&
        onAbort(signal, () => {
          void this.#giveUp(waiter, signal.reason as Error);
        });
      this.#waiters.set(id, waiter);
      void this.#enter(waiter, waits ? SEMAPHORE_VERBS.acquire : SEMAPHORE_VERBS.tryAcquire);
    });
  }

  /** A permit at once, from a store inside the process; undefined if none is free. */
  tryAcquireSync(weight: number): HeldPermit | undefined {
    this.#acquisitions += 1;
    const id = `${this.owner}.${this.#acquisitions.toString(36)}`;
    let permit: HeldPermit | undefined;
    const waiter = new Waiter(id, weight, (outcome) => {
      this.#remove(waiter);
      if (outcome !== undefined && "reason" in outcome) throw outcome.reason;
      permit = outcome;
    });
    this.#waiters.set(id, waiter);
    const sent = this.#send(SEMAPHORE_VERBS.tryAcquire);
    try {
      const answer = this.#caller.callSync(this.#key, sent.verb, [{ id, number: weight }]);
      this.#learn([waiter], answer, sent);
    } finally {
      if (!waiter.isDecided) this.#remove(waiter);
    }
    return permit;
  }

  /** The error of a caller that has waited for `maxWaitMs`: it should retry when the first lease may end. */
  maxWaitExceeded(maxWaitMs: number): MaxWaitExceededError {
    const retryAfterMs = Math.ceil(this.#poller.leaseEndsInMs);
    return new MaxWaitExceededError(
      Number.isFinite(retryAfterMs) ? retryAfterMs : 0,
      `no permit of the semaphore became free within ${maxWaitMs} ms`,
    );
  }

  /** Rejects all who wait, and takes them out of the line: all at once, so that it takes one deadline at most. */
  async abandon(makeReason: () => Error): Promise<void> {
    const waiters = [...this.#waiters.values()];
    for (const waiter of waiters) waiter.decide(() => ({ reason: makeReason() }));
    await Promise.all([...chunksOf(waiters)].map((some) => this.#leave(some)));
  }

  notified({ id, fence, untilUs }: Omit<Notification, "channel">): void {
    const waiter = this.#waiters.get(id);
    if (waiter === undefined) return;
    waiter.wasNotified = true;
    const { ticket } = waiter;
    const claim = ticket > 0 ? this.#notifications.claimOf({ fence, untilUs }) : undefined;
    if (claim !== undefined) this.#grant(waiter, { ...claim, ticket });
    else if (waiter.isAsking) waiter.mustAskAgain = true;
    else void this.#ask(waiter);
  }

  live(): void {
    this.#poller.hurry();
    void this.#poller.poll();
  }

  /** The first command of an acquisition; again for one that the store has forgotten. */
  async #enter(waiter: Waiter, verb: SemaphoreVerb): Promise<void> {
    const { id, weight, wasInLine } = waiter;
    waiter.isAsking = true;
    const sent = this.#send(verb);
    const learn = (answer: SemaphoreAnswer): void => {
      this.#learn([waiter], answer, sent);
    };
    try {
      const channel = this.#caller.store.channelOf(this.#key);
      const entry = { id, number: weight };
      learn(await this.#caller.call(this.#key, verb, [entry], { channel, late: learn }));
    } catch (error) {
      if (wasInLine) this.#poller.storeFailed();
      else if (verb === SEMAPHORE_VERBS.acquire && mayPass(error)) this.#enterLater(waiter, error);
      // The store may have given it a permit all the same. By the breaker: a call that it refused must not ask the store to
      // undo it.
      else void this.#giveUp(waiter, error as Error, false);
    }
    this.#asked(waiter);
  }

  /** The store failed before the waiter was in line: it tries again, unless an answer that is late puts it there. */
  #enterLater(waiter: Waiter, failure: Error): void {
    if (waiter.isDecided) return;
    waiter.failures += 1;
    waiter.failure = failure;
    const pauseMs = pauseMsAfter(waiter.failures);
    waiter.endPause = setAlarm(this.#caller.store.clock, pauseMs, true, () => {
      if (!waiter.wasInLine) void this.#enter(waiter, SEMAPHORE_VERBS.acquire);
    });
  }

  /** Confirms a permit that was handed over, or finds out what else became of the waiter; false: the store failed. */
  async #ask(waiter: Waiter): Promise<boolean> {
    waiter.isAsking = true;
    const isAnswered = await this.#renew([waiter]);
    this.#asked(waiter);
    return isAnswered;
  }

  #asked(waiter: Waiter): void {
    waiter.isAsking = false;
    if (!waiter.mustAskAgain) return;
    waiter.mustAskAgain = false;
    if (!waiter.isDecided) void this.#ask(waiter);
  }

  async #renew(waiters: readonly Waiter[]): Promise<boolean> {
    const sent = this.#send(SEMAPHORE_VERBS.renew);
    const entries = waiters.map(({ id }): CommandEntry => ({ id, number: 0 }));
    const learn = (answer: SemaphoreAnswer): void => {
      this.#learn(waiters, answer, sent);
    };
    try {
      const answer = await this.#caller.call(this.#key, sent.verb, entries, { late: learn });
      this.#poller.storeAnswered();
      learn(answer);
      return true;
    } catch {
      this.#poller.storeFailed();
      return false;
    }
  }

  /** Permits are handed over in the order of the line, so the first waiter knows whether there is one for this process. */
  async #askFirst(): Promise<void> {
    for (const waiter of this.#waiters.values()) {
      if (!waiter.wasInLine || waiter.isAsking) continue;
      if (!(await this.#ask(waiter)) || !waiter.isDecided) return;
    }
  }

  async #renewAll(): Promise<void> {
    const waiters = [...this.#waiters.values()].filter(({ wasInLine }) => wasInLine);
    for (const some of chunksOf(waiters)) {
      const undecided = some.filter(({ isDecided }) => !isDecided);
      if (undecided.length > 0 && !(await this.#renew(undecided))) return;
    }
  }

  #learn(waiters: readonly Waiter[], answer: SemaphoreAnswer, sent: SentCommand): void {
    this.#notifications.answered(answer.nowUs, sent);
    this.#poller.learn(answer.nextUs);
    waiters.forEach((waiter, i) => {
      this.#learnOne(waiter, answer.entries[i] as EntryAnswer, answer.nowUs, sent);
    });
    this.#poller.schedule();
  }

  #learnOne(waiter: Waiter, entry: EntryAnswer, nowUs: number, sent: SentCommand): void {
    const { outcome, number } = entry;
    if (waiter.isDecided) this.#leaveIfThere(waiter, outcome);
    else if (outcome === OUTCOME.held) this.#learnHeld(waiter, entry, nowUs, sent);
    else if (outcome === OUTCOME.waiting) this.#line(waiter, number);
    else if (outcome === OUTCOME.busy) waiter.decide(() => undefined);
    else if (outcome === OUTCOME.tooHeavy) {
      const allowed = `at most the semaphore's limit, ${number}`;
      waiter.decide(() => ({ reason: new InvalidOptionError("weight", waiter.weight, allowed) }));
    } else if (waiter.wasInLine) {
      // Its lease ended, a claim was not confirmed in time, or the store lost its memory: to the end of the line.
      waiter.ticket = 0;
      void this.#enter(waiter, SEMAPHORE_VERBS.acquire);
    }
  }

  /** A waiter that gave up while its command was under way would keep its permit until the lease ends. */
  #leaveIfThere(waiter: Waiter, outcome: number): void {
    const isThere = outcome === OUTCOME.held || outcome === OUTCOME.waiting;
    if (isThere && !waiter.isGranted) void this.#leave([waiter]);
  }

  #learnHeld(waiter: Waiter, entry: EntryAnswer, nowUs: number, sent: SentCommand): void {
    const { number: fence, untilUs } = entry;
    const { ticket, wasNotified } = waiter;
    // A fence is at least the time at which it was given.
    const isOld = fence < nowUs - NOTIFICATION_TAKES_US;
    if (ticket > 0 && !wasNotified && isOld) this.#notifications.missed();
    // Without a line the fence is the ticket. An older fence belongs to a permit that had been handed over to a waiter
    // whose ticket was lost with an answer.
    const isNew = sent.verb !== SEMAPHORE_VERBS.renew && fence >= nowUs;
    this.#grant(waiter, {
      ticket: ticket === 0 && isNew ? fence : ticket,
      fence,
      untilUs,
      atUs: nowUs,
      sent,
      trustedMs: (this.#caller.terms.leaseUs / 1e3) * TRUSTED_SHARE,
      isClaim: false,
    });
  }

  #grant(waiter: Waiter, got: Omit<PermitGrant, "key" | "id" | "weight">): void {
    const { id, weight } = waiter;
    this.#poller.hurry();
    waiter.decide(() => {
      waiter.isGranted = true;
      return this.#hold({ key: this.#key, id, weight, ...got });
    });
  }

  #line(waiter: Waiter, ticket: number): void {
    if (waiter.ticket === ticket) return;
    waiter.ticket = ticket;
    waiter.wasInLine = true;
    // Behind all who are in line already.
    this.#waiters.delete(waiter.id);
    this.#waiters.set(waiter.id, waiter);
    if (this.#notifications.isListening) return;
    this.#notifications.listen(this);
    this.#poller.start();
  }

  /** Decides for an error, and takes the waiter out of the line. */
  async #giveUp(waiter: Waiter, reason: Error, always = true): Promise<void> {
    if (waiter.isDecided) return;
    waiter.decide(() => ({ reason }));
    await this.#leave([waiter], always);
  }

  /** Past an open breaker: an unwanted permit would stay taken until its lease ends. */
  #leave(waiters: readonly Waiter[], always = true): Promise<void> {
    const ids = waiters.map(({ id }) => id);
    return this.#caller.leave(this.#key, ids, always);
  }

  #remove(waiter: Waiter): void {
    this.#waiters.delete(waiter.id);
    if (this.#waiters.size > 0) return;
    this.#poller.stop();
    this.#notifications.end();
  }

  #send(verb: SemaphoreVerb): SentCommand {
    return { ...momentOf(this.#caller.store.clock), verb };
  }
}
