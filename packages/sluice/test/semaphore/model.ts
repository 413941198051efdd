/**
 * A semaphore as one would write it without thought of cost: two lists, filtered anew with each command. Shares
 * nothing with the kernel but the shapes of commands and answers.
 */
import type {
  EntryAnswer,
  SemaphoreAnswer,
  SemaphoreCommand,
} from "../../src/algorithms/semaphore/kernel.js";

interface Holder {
  readonly id: string;
  readonly weight: number;
  readonly fence: number;
  readonly untilUs: number;
}

interface Waiter {
  readonly id: string;
  readonly weight: number;
  readonly ticket: number;
  readonly untilUs: number;
}

const [GONE, WAITING, HELD, BUSY, TOO_HEAVY, RELEASED] = [0, 1, 2, 3, 4, 5] as const;
const ACQUIRE = 1;
const TRY_ACQUIRE = 2;
const RENEW = 3;
const RELEASE = 4;
const SET_LIMIT = 5;
const REVOKE = 7;
const HOLDERS = 8;
const WAITERS = 9;

export class SemaphoreModel {
  holders: Holder[] = [];
  /** In the order of their tickets. */
  waiters: Waiter[] = [];
  #storedLimit: number | undefined;
  #last = 0;

  execute(command: SemaphoreCommand, nowUs: number): SemaphoreAnswer {
    const { verb, terms, entries } = command;
    this.holders = this.holders.filter(({ untilUs }) => untilUs > nowUs);
    this.waiters = this.waiters.filter(({ untilUs }) => untilUs > nowUs);
    if (verb === SET_LIMIT) this.#storedLimit = command.limit;
    const limit = this.#storedLimit ?? command.limit;
    const answers: EntryAnswer[] = [];
    const say = (outcome: number, number = 0, untilUs = 0): void => {
      answers.push({ outcome, number, untilUs });
    };

    for (const { id, number: fence } of verb === RELEASE ? entries : []) {
      const isHeld = this.holders.some((each) => each.id === id && [0, each.fence].includes(fence));
      const waits = fence === 0 && this.waiters.some((each) => each.id === id);
      if (isHeld || waits) this.#remove(id);
      say(isHeld || waits ? RELEASED : GONE);
    }

    for (const { number } of verb === REVOKE ? entries : []) {
      const holder = this.holders.find(({ fence }) => fence === number);
      if (holder !== undefined) this.#remove(holder.id);
      say(holder === undefined ? GONE : RELEASED);
    }

    for (let head = this.waiters[0]; head !== undefined; head = this.waiters[0]) {
      if (this.held >= limit && verb !== SET_LIMIT) break;
      if (head.weight <= limit && this.held + head.weight > limit) break;
      this.#remove(head.id);
      if (head.weight <= limit) this.#hold(head.id, head.weight, nowUs, nowUs + terms.claimUs);
    }

    if (verb === HOLDERS || verb === WAITERS) {
      const all =
        verb === HOLDERS
          ? this.holders.map(({ weight, fence, untilUs }) => [weight, fence, untilUs] as const)
          : this.waiters.map(({ weight, ticket }) => [weight, ticket, 0] as const);
      const behind = all.filter(([, number]) => number > (entries[0]?.number ?? 0));
      behind.sort(([, a], [, b]) => a - b);
      for (const [i] of entries.entries()) say(...(behind[i] ?? ([0, 0, 0] as const)));
    }

    for (const { id, number } of verb <= RENEW ? entries : []) {
      const holder = this.holders.find((each) => each.id === id);
      const waiter = this.waiters.find((each) => each.id === id);
      const asks = verb === ACQUIRE || verb === TRY_ACQUIRE;
      if (holder !== undefined && (asks || number === 0 || number === holder.fence)) {
        const untilUs = nowUs + terms.leaseUs;
        this.holders = this.holders.map((each) => (each === holder ? { ...each, untilUs } : each));
        say(HELD, holder.fence, untilUs);
      } else if (verb === RENEW && (waiter === undefined || number > 0)) say(GONE);
      else if ((asks ? number : (waiter?.weight ?? 0)) > limit) {
        this.#remove(id);
        say(TOO_HEAVY, limit);
      } else if (waiter !== undefined) {
        const untilUs = nowUs + terms.waitUs;
        this.waiters = this.waiters.map((each) => (each === waiter ? { ...each, untilUs } : each));
        say(WAITING, waiter.ticket);
      } else if (this.waiters.length === 0 && this.held + number <= limit) {
        const fence = this.#hold(id, number, nowUs, nowUs + terms.leaseUs);
        say(HELD, fence, nowUs + terms.leaseUs);
      } else if (verb === TRY_ACQUIRE) say(BUSY);
      else {
        const ticket = this.#next(nowUs);
        this.waiters.push({ id, weight: number, ticket, untilUs: nowUs + terms.waitUs });
        say(WAITING, ticket);
      }
    }

    const ends = this.holders.map(({ untilUs }) => untilUs - nowUs);
    return {
      nowUs,
      nextUs: ends.length === 0 ? -1 : Math.min(...ends),
      limit,
      held: this.held,
      waiting: this.waiters.length,
      entries: answers,
    };
  }

  get held(): number {
    return this.holders.reduce((sum, { weight }) => sum + weight, 0);
  }

  #remove(id: string): void {
    this.holders = this.holders.filter((each) => each.id !== id);
    this.waiters = this.waiters.filter((each) => each.id !== id);
  }

  #hold(id: string, weight: number, nowUs: number, untilUs: number): number {
    const fence = this.#next(nowUs);
    this.holders.push({ id, weight, fence, untilUs });
    return fence;
  }

  #next(nowUs: number): number {
    this.#last = Math.max(this.#last + 1, nowUs);
    return this.#last;
  }
}
