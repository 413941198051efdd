/** What is made of a request before the store is asked. Everything that can be wrong with a request is found here. */
import { VERBS } from "../algorithms/decide.js";
import { toThousandths } from "../core/amount.js";
import { monotonicMs } from "../core/clock.js";
import type { Identify } from "../core/identity.js";
import { checkKey } from "../core/key.js";
import type { Debit, StoreCall } from "../stores/store.js";
import type { BoundPolicy, PolicyResolver } from "./policy-resolver.js";
import type { LimiterRequest } from "./request.js";
import type { DenialContext } from "./shortcuts/deny-cache.js";
import type { Shortcuts } from "./shortcuts/shortcuts.js";

/** A request with what was made of it, ready for the store. */
export interface PreparedRequest {
  readonly request: LimiterRequest;
  readonly bound: readonly BoundPolicy[];
  readonly call: StoreCall;
  /** What a denial of it would be remembered with, where denials are. */
  readonly denial: DenialContext | undefined;
  /** Of reserve: whether a start can be promised ahead. */
  readonly canReserve: boolean;
  /** When it was prepared, on the monotonic clock: its deadline counts from then. */
  readonly atMs: number;
}

export interface PreparationOptions {
  readonly resolver: PolicyResolver;
  readonly identify: Identify;
  readonly shortcuts: Shortcuts;
  readonly blockForUs: number;
}

export class Preparation {
  readonly #options: PreparationOptions;

  constructor(options: PreparationOptions) {
    this.#options = options;
  }

  /** `blockForUs` is how long a denied consume blocks, if not what the option says. */
  prepare(
    request: LimiterRequest,
    blockForUs?: number,
  ): PreparedRequest | Promise<PreparedRequest> {
    const { key, cost, policy, signal } = request;
    checkKey(key);
    const thousandths = toThousandths("cost", cost);
    const bound = this.#options.resolver.resolve(key, policy, signal);
    const prepare = (known: readonly BoundPolicy[]): PreparedRequest =>
      this.prepareChecked(request, thousandths, known, blockForUs);
    return bound instanceof Promise ? bound.then(prepare) : prepare(bound);
  }

  /** The same, where the key was checked and the policies are known. */
  prepareChecked(
    request: LimiterRequest,
    thousandths: number,
    bound: readonly BoundPolicy[],
    blockForUs = this.#options.blockForUs,
  ): PreparedRequest {
    const { resolver, identify, shortcuts } = this.#options;
    const { verb, key, policy } = request;
    const id = identify(key);
    const debits = bound.map(({ name, rule, keyspace }): Debit => {
      return { name, rule, keyspace, id, cost: thousandths };
    });
    const blocksUs = request.settle === true ? 0 : blockForUs;
    const blockUs = verb === VERBS.consume ? blocksUs : (request.blockUs ?? 0);
    const canReserve = verb === VERBS.reserve && resolver.canReserve(bound);
    const maxWaitUs = canReserve ? (request.maxWaitUs ?? 0) : 0;
    // With room for what the store sets: an object that grows costs as much as a second one.
    const call: StoreCall = { verb, debits, blockUs, maxWaitUs, handOver: undefined };
    const atMs = monotonicMs();
    // What this process admitted by itself is given back to it alone: the store is not asked.
    const isAsked = request.of !== "local";
    const denial = isAsked
      ? shortcuts.before(key, call, bound, policy !== undefined, atMs)
      : undefined;
    return { request, bound, call, denial, canReserve, atMs };
  }
}
