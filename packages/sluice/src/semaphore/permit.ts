/** A place that is held: renewed as long as nobody releases it, and given up for lost before its lease ends. */
import { setAlarm } from "../core/alarm.js";
import { type Clock, inNextTurn, monotonicUs } from "../core/clock.js";
import { LeaseLostError } from "../core/errors.js";
import type { Caller } from "./caller.js";
import { OUTCOME, SEMAPHORE_VERBS } from "../algorithms/semaphore/kernel.js";
import type { SemaphoreKey } from "../stores/semaphore-store.js";

/** A place in a semaphore. `await using permit = await semaphore.acquire(key)` releases it at the end of the block. */
export interface Permit extends AsyncDisposable {
  /** Strictly increasing per key: what is guarded can refuse a lower one than it has seen. */
  readonly fencingToken: bigint;
  /** When the lease ends unless it is renewed, by the store's clock: integer µs since the Unix epoch. */
  readonly expiresAtUs: number;
  /** Fires, with a LeaseLostError, when the lease can no longer be trusted. */
  readonly lost: AbortSignal;
  /**
   * Gives the place to the next in line; again: nothing more. Once the place is lost, nothing.
   * @throws StoreUnavailableError, StoreTimeoutError; then the place ends with its lease, before which `lost` fires,
   * and one may try again
   */
  release(): Promise<void>;
}

/** How a place was got. */
export interface Grant {
  readonly key: SemaphoreKey;
  readonly id: string;
  readonly weight: number;
  /** Its place in line; the fence itself where there was no line; 0 where this process never learned it. */
  readonly ticket: number;
  readonly fence: number;
  readonly untilUs: number;
  /** The store's clock when it answered. */
  readonly atUs: number;
  /** From when on it can be trusted, and for how long. */
  readonly sent: Moment;
  readonly trustedMs: number;
  /** Whether the place is only a claim so far, which ends at `untilUs`. */
  readonly isClaim: boolean;
}

/** When a command was sent, by both clocks of this process. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallUs: number;
}

/**
 * What has passed since, by the clock that went further: the monotonic one stands while the machine sleeps, and the
 * wall clock can be set back.
 */
export function msSince({ monotonicMs, wallUs }: Moment, clock: Clock): number {
  return Math.max(monotonicUs(clock) / 1e3 - monotonicMs, (clock.nowUs() - wallUs) / 1e3);
}

/** Is told of everything that the store said of a permit. */
export interface PermitObserver {
  granted?(grant: Grant): void;
  renewed?(grant: Grant, atUs: number, untilUs: number): void;
  releasing?(grant: Grant): void;
  released?(grant: Grant, atUs: number): void;
  lost?(grant: Grant): void;
}

/** Parts of the lease: when it is renewed, when it is no longer trusted, how often the clocks are looked at. */
const RENEWED_AFTER = 1 / 3;
export const TRUSTED_FOR = 0.9;
const LOOKS = 30;

export class HeldPermit implements Permit {
  readonly fencingToken: bigint;
  readonly #grant: Grant;
  readonly #caller: Caller;
  readonly #observer: PermitObserver;
  readonly #ended: (permit: HeldPermit) => void;
  readonly #lost = new AbortController();
  readonly #monotonicMs: () => number;
  readonly #leaseMs: number;
  /** When a command was sent that the store has answered, and how long from then on its answer can be trusted. */
  #sent: Moment;
  #trustedMs: number;
  #untilUs: number;
  #renewAtMs: number;
  #isRenewing = false;
  /** Whether anybody asked for its release, so that it is not renewed any more. */
  #isGivenUp = false;
  #cancelAlarm: () => void = () => {};
  #release: Promise<void> | undefined;

  constructor(
    grant: Grant,
    caller: Caller,
    observer: PermitObserver,
    ended: (permit: HeldPermit) => void,
  ) {
    this.#grant = grant;
    this.#caller = caller;
    this.#observer = observer;
    this.#ended = ended;
    this.fencingToken = BigInt(grant.fence);
    this.#monotonicMs = () => monotonicUs(caller.store.clock) / 1e3;
    this.#leaseMs = caller.terms.leaseUs / 1e3;
    this.#sent = grant.sent;
    this.#untilUs = grant.untilUs;
    this.#trustedMs = grant.trustedMs;
    // A claim becomes a lease by its first renewal.
    this.#renewAtMs = grant.isClaim ? 0 : grant.sent.monotonicMs + this.#leaseMs * RENEWED_AFTER;
    observer.granted?.(grant);
    // The holder begins first: sending a command takes as long as the rest of the hand-over in this process.
    if (grant.isClaim) inNextTurn(() => this.#tick());
    else this.#tick();
  }

  get expiresAtUs(): number {
    return this.#untilUs;
  }

  get lost(): AbortSignal {
    // A process that was stopped may look before its timers run.
    this.#look();
    return this.#lost.signal;
  }

  release(): Promise<void> {
    this.#release ??= this.#sendRelease();
    return this.#release;
  }

  /** As `release`, but a failure of the store is not told: the place then ends with its lease. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(() => {});
  }

  /** Gives the permit up for `reason`, and its place back. */
  async revoke(reason: string): Promise<void> {
    if (this.#release === undefined) this.#lose(reason);
    await this[Symbol.asyncDispose]();
  }

  async #sendRelease(): Promise<void> {
    this.#isGivenUp = true;
    this.#cancelAlarm();
    const { key, id, fence } = this.#grant;
    this.#observer.releasing?.(this.#grant);
    try {
      const entry = { id, number: fence };
      const answer = await this.#caller.call(key, SEMAPHORE_VERBS.release, [entry]);
      if (answer.entries[0]?.outcome === OUTCOME.released) {
        this.#observer.released?.(this.#grant, answer.nowUs);
      }
    } catch (error) {
      this.#release = undefined;
      // It may be held still, until its lease ends: then `lost` is to fire as for any other.
      this.#tick();
      throw error;
    }
    this.#end();
  }

  #end(): void {
    this.#cancelAlarm();
    this.#cancelAlarm = () => {};
    this.#ended(this);
  }

  /** Whether the permit is still to be looked after. */
  #isHeld(): boolean {
    return this.#release === undefined && !this.#lost.signal.aborted;
  }

  #look(): void {
    if (!this.#isHeld()) return;
    const passedMs = msSince(this.#sent, this.#caller.store.clock);
    if (passedMs >= this.#trustedMs) {
      this.#lose(`the lease was not renewed for ${Math.floor(passedMs)} ms`);
    }
  }

  #lose(message: string): void {
    this.#end();
    this.#lost.abort(new LeaseLostError(message));
    this.#observer.lost?.(this.#grant);
  }

  #tick(): void {
    this.#look();
    if (!this.#isHeld()) return;
    const nowMs = this.#monotonicMs();
    const isDue = nowMs >= this.#renewAtMs && !this.#isRenewing && !this.#isGivenUp;
    if (isDue) void this.#renew();
    // Renewing must not keep a process alive that has nothing else to do.
    const { clock } = this.#caller.store;
    this.#cancelAlarm = setAlarm(clock, this.#leaseMs / LOOKS, false, () => {
      this.#tick();
    });
  }

  async #renew(): Promise<void> {
    this.#isRenewing = true;
    const { key, id, fence } = this.#grant;
    const sent = { monotonicMs: this.#monotonicMs(), wallUs: this.#caller.store.clock.nowUs() };
    try {
      const entry = { id, number: fence };
      const answer = await this.#caller.call(key, SEMAPHORE_VERBS.renew, [entry]);
      const renewed = answer.entries[0];
      if (renewed?.outcome === OUTCOME.held) {
        this.#observer.renewed?.(this.#grant, answer.nowUs, renewed.untilUs);
        if (!this.#isHeld()) return;
        this.#sent = sent;
        this.#trustedMs = this.#leaseMs * TRUSTED_FOR;
        this.#untilUs = renewed.untilUs;
        this.#renewAtMs = sent.monotonicMs + this.#leaseMs * RENEWED_AFTER;
      } else if (this.#isHeld()) this.#lose("the store no longer knows the permit");
    } catch {
      // With the next look, until the lease is over.
    } finally {
      this.#isRenewing = false;
    }
  }
}
