/**
 * Hears that the store handed permits over. A waiter may begin by a notification alone, without a round trip, if its claim
 * can be trusted.
 */
import type { Notification, Terms } from "../algorithms/semaphore/kernel.js";
import type {
  Listening,
  NotificationListener,
  SemaphoreKey,
  SemaphoreStore,
} from "../stores/semaphore-store.js";
import {
  type Moment,
  momentOf,
  msBetween,
  type PermitGrant,
  TRUSTED_SHARE,
} from "./permit-grant.js";

export type TrustedClaim = Omit<PermitGrant, "key" | "id" | "weight" | "ticket">;

export class Notifications {
  readonly #key: SemaphoreKey;
  readonly #store: SemaphoreStore;
  readonly #terms: Terms;
  #listening: Listening | undefined;
  /** The store's clock in its last answer, and when that command was sent. */
  #lastAnswer: { readonly atUs: number; readonly sent: Moment } | undefined;

  constructor(key: SemaphoreKey, store: SemaphoreStore, terms: Terms) {
    this.#key = key;
    this.#store = store;
    this.#terms = terms;
  }

  get isListening(): boolean {
    return this.#listening !== undefined;
  }

  /** Whether notifications arrive, as far as is known. */
  get isLive(): boolean {
    return this.#listening?.isLive() ?? false;
  }

  listen(listener: NotificationListener): void {
    this.#listening = this.#store.listen(this.#key, listener);
  }

  end(): void {
    this.#listening?.end();
    this.#listening = undefined;
  }

  /** A waiter found that it holds, and was not notified of it. */
  missed(): void {
    this.#listening?.missed();
  }

  /** The store answered the command that was sent at `sent`, at `atUs` by its own clock. */
  answered(atUs: number, sent: Moment): void {
    this.#lastAnswer = { atUs, sent };
  }

  /** The claim of a notification; undefined if it cannot be trusted, so that its waiter must ask. */
  claimOf({ fence, untilUs }: Pick<Notification, "fence" | "untilUs">): TrustedClaim | undefined {
    if (!(fence > 0) || this.#lastAnswer === undefined) return undefined;
    const { atUs, sent: answeredSince } = this.#lastAnswer;
    const { claimUs } = this.#terms;
    const sent = momentOf(this.#store.clock);
    // The store read its clock after that command was sent, so its clock now shows this at most. The permit is claimed for
    // longer than that, so the caller may begin while its permit confirms the claim.
    const atMostUs = atUs + msBetween(answeredSince, sent) * 1e3;
    const leftUs = untilUs - atMostUs;
    const trustedMs = (leftUs - claimUs * (1 - TRUSTED_SHARE)) / 1e3;
    // A claim that seems to last longer than any is by another clock: that of the new server, after a failover.
    if (trustedMs <= 0 || leftUs > claimUs) return undefined;
    return { fence, untilUs, atUs, sent, trustedMs, isClaim: true };
  }
}
