/** A permit that is held: it renews its lease until it is released, and counts as lost before the lease ends. */
import { setAlarm } from "../core/alarm.js";
import { inNextTurn, monotonicMs, monotonicUs } from "../core/clock.js";
import { LeaseLostError } from "../core/errors.js";
import type { Places } from "../core/few.js";
import type { PermitChanged } from "../events/events.js";
import { OUTCOME, SEMAPHORE_VERBS } from "../algorithms/semaphore/kernel.js";
import type { Caller } from "./caller.js";
import { type Moment, momentOf, msSince, type PermitGrant, TRUSTED_SHARE } from "./permit-grant.js";

/**
 * The right to run, at the given weight, until it is released. `await using permit = await semaphore.acquire(key)` releases
 * it at the end of the block.
 */
export interface Permit extends AsyncDisposable {
  /** Strictly increasing per key: the guarded resource can refuse a token lower than one it has seen. */
  readonly fencingToken: bigint;
  /** The lease ends then unless it is renewed, by the store's clock: integer µs since the Unix epoch. */
  readonly expiresAtUs: number;
  /** Fires, with a LeaseLostError, when the lease can no longer be trusted. */
  readonly lost: AbortSignal;
  /**
   * Gives the permit to the next in line. A second call does nothing more, nor does a call for a lost permit.
   * @throws StoreUnavailableError, StoreTimeoutError: the permit then ends with its lease, `lost` fires before that, and
   * the call can be repeated
   */
  release(): Promise<void>;
}

/** A permit that another holds. */
export interface LentGrant {
  /** The key's id. */
  readonly key: string;
  readonly id: string;
  readonly fence: number;
  readonly expiresAtUs: number;
  readonly leaseMs: number;
}

/** The lease is renewed after this part of it: two renewals may fail before it is lost. */
const RENEWED_AFTER = 1 / 3;
/** How often the clocks are checked in a lease. */
const LOOKS_PER_LEASE = 30;

export class HeldPermit implements Permit {
  readonly fencingToken: bigint;
  readonly #grant: PermitGrant;
  readonly #caller: Caller;
  readonly #held: Places<HeldPermit>;
  readonly #place: number;
  /** Made at the first read of `lost`, because it is the costliest part of a permit and few read it. */
  #controller: AbortController | undefined;
  /** Why the lease can no longer be trusted; undefined while it can. */
  #lostBy: LeaseLostError | undefined;
  readonly #leaseMs: number;
  /** When the last answered command was sent, and how long its answer can be trusted from then on. */
  #sent: Moment;
  #trustedMs: number;
  #untilUs: number;
  #renewAtMs: number;
  #isRenewing = false;
  /** Whether its release was requested: then it is not renewed any more. */
  #isGivenUp = false;
  readonly #beganMs = monotonicMs();
  /** Whether it was counted as held no more. */
  #hasEnded = false;
  #cancelAlarm: () => void = () => {};
  #release: Promise<void> | undefined;

  /** It is among `held` until it ends. */
  constructor(grant: PermitGrant, caller: Caller, held: Places<HeldPermit>) {
    this.#grant = grant;
    this.#caller = caller;
    this.#held = held;
    this.#place = held.take(this);
    this.fencingToken = BigInt(grant.fence);
    this.#leaseMs = caller.terms.leaseUs / 1e3;
    this.#sent = grant.sent;
    this.#untilUs = grant.untilUs;
    this.#trustedMs = grant.trustedMs;
    // A claim becomes a lease by its first renewal.
    this.#renewAtMs = grant.isClaim ? 0 : grant.sent.monotonicMs + this.#leaseMs * RENEWED_AFTER;
    caller.counts.begun(grant.weight);
    this.#emit("granted", grant.atUs);
    // The holder begins before the claim is confirmed: to send a command first would double the hand-over's time here.
    if (grant.isClaim) inNextTurn(() => this.#tick());
    else this.#tick();
  }

  get expiresAtUs(): number {
    return this.#untilUs;
  }

  get lost(): AbortSignal {
    // After a process was stopped, its holder may look before its timers run, and must not find a stale permit good.
    this.#look();
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#lostBy !== undefined) this.#controller.abort(this.#lostBy);
    }
    return this.#controller.signal;
  }

  release(): Promise<void> {
    // Its process may have been stopped: a caller that releases an ended permit should learn that it had ended.
    if (this.#release === undefined) this.#look();
    this.#release ??= this.#sendRelease();
    return this.#release;
  }

  /** As `release`, but never rejects: if the store fails, the permit ends with its lease. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch(() => {});
  }

  /** Declares the permit lost for `reason`, and releases it. */
  async revoke(reason: string): Promise<void> {
    if (this.#release === undefined) this.#lose(reason);
    await this[Symbol.asyncDispose]();
  }

  /**
   * Confirms the permit, and leaves it from then on to the holder of its ticket.
   *
   * @throws LeaseLostError; StoreUnavailableError, StoreTimeoutError: then it is renewed here as before
   */
  async lend(): Promise<LentGrant> {
    this.#look();
    if (!this.#isHeld()) throw this.#lostBy ?? new LeaseLostError("the permit was released");
    const { key, id, fence } = this.#grant;
    // No renewal of this process may come after those of the new holder.
    this.#isGivenUp = true;
    try {
      const entry = { id, number: fence };
      const answer = await this.#caller.call(key, SEMAPHORE_VERBS.renew, [entry]);
      const renewed = answer.entries[0];
      if (renewed?.outcome !== OUTCOME.held) {
        this.#lose("the store no longer knows the permit");
        throw this.#lostBy as unknown as LeaseLostError;
      }
      this.#emit("renewed", answer.nowUs, renewed.untilUs);
      this.#release = Promise.resolve();
      this.#end();
      return { key: key.id, id, fence, expiresAtUs: renewed.untilUs, leaseMs: this.#leaseMs };
    } catch (error) {
      this.#isGivenUp = false;
      throw error;
    }
  }

  async #sendRelease(): Promise<void> {
    this.#isGivenUp = true;
    this.#cancelAlarm();
    const { key, id, fence } = this.#grant;
    this.#emit("releasing", 0);
    try {
      const entry = { id, number: fence };
      const answer = await this.#caller.call(key, SEMAPHORE_VERBS.release, [entry]);
      if (answer.entries[0]?.outcome === OUTCOME.released) {
        this.#emit("released", answer.nowUs);
      }
    } catch (error) {
      this.#release = undefined;
      // It may still be held, until its lease ends: without a tick `lost` would never fire.
      this.#tick();
      throw error;
    }
    this.#end();
  }

  #emit(change: PermitChanged["change"], atUs: number, untilUs = this.#untilUs): void {
    const { permit } = this.#caller.events.to;
    if (permit === undefined) return;
    const { key, fence, weight, ticket } = this.#grant;
    permit({
      semaphore: key.keyspace,
      change,
      key: key.key,
      id: key.id,
      fence,
      weight,
      ticket,
      atUs,
      untilUs,
    });
  }

  #end(): void {
    this.#cancelAlarm();
    this.#cancelAlarm = () => {};
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { key, fence, weight } = this.#grant;
    const { counts, events } = this.#caller;
    const heldMs = monotonicMs() - this.#beganMs;
    counts.ended(weight, heldMs);
    const semaphore = key.keyspace;
    events.to.permitEnded?.({ semaphore, key: key.key, id: key.id, fence, weight, heldMs });
    this.#held.leave(this.#place);
  }

  /** Whether it is neither lost nor released. */
  #isHeld(): boolean {
    return this.#release === undefined && this.#lostBy === undefined;
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
    this.#caller.counts.lost += 1;
    this.#lostBy = new LeaseLostError(message);
    this.#controller?.abort(this.#lostBy);
    this.#emit("lost", 0);
  }

  #tick(): void {
    this.#look();
    if (!this.#isHeld()) return;
    const { clock } = this.#caller.store;
    const nowMs = monotonicUs(clock) / 1e3;
    const isDue = nowMs >= this.#renewAtMs && !this.#isRenewing && !this.#isGivenUp;
    if (isDue) void this.#renew();
    // A process that has nothing else to do must be able to end.
    this.#cancelAlarm = setAlarm(clock, this.#leaseMs / LOOKS_PER_LEASE, false, () => {
      this.#tick();
    });
  }

  async #renew(): Promise<void> {
    this.#isRenewing = true;
    const { key, id, fence } = this.#grant;
    const sent = momentOf(this.#caller.store.clock);
    try {
      const entry = { id, number: fence };
      const answer = await this.#caller.call(key, SEMAPHORE_VERBS.renew, [entry]);
      const renewed = answer.entries[0];
      if (renewed?.outcome === OUTCOME.held) {
        this.#emit("renewed", answer.nowUs, renewed.untilUs);
        if (!this.#isHeld()) return;
        this.#sent = sent;
        this.#trustedMs = this.#leaseMs * TRUSTED_SHARE;
        this.#untilUs = renewed.untilUs;
        this.#renewAtMs = sent.monotonicMs + this.#leaseMs * RENEWED_AFTER;
      } else if (this.#isHeld()) this.#lose("the store no longer knows the permit");
    } catch {
      // The next tick tries again, until the lease is over.
    } finally {
      this.#isRenewing = false;
    }
  }
}
