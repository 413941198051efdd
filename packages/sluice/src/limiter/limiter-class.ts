/** The limiter as users meet it: each method checks its arguments and sends a request through the pipeline. */
import { type Verb, VERBS } from "../algorithms/decide.js";
import type { Policy } from "../algorithms/registry.js";
import { MAX_UNITS, toThousandths } from "../core/amount.js";
import { Closing } from "../core/closing.js";
import type { Decision } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { InvalidOptionError } from "../core/errors.js";
import { INSPECT, type InspectArguments, inspected } from "../core/inspect.js";
import { checkKey, SLOT_OPTIONS, type SlotOption } from "../core/key.js";
import {
  unchecked,
  byDefault,
  checkBoolean,
  checkCount,
  checkList,
  optionReader,
} from "../core/options.js";
import { rejected } from "../core/promises.js";
import { InWords } from "../core/shown.js";
import type { Override } from "../events/changes.js";
import { Events } from "../events/events.js";
import { MemoryStore } from "../stores/memory/memory-store.js";
import { checkStore, isSyncStore, type Store, type SyncStore } from "../stores/store.js";
import { administer, blockLengthUs } from "./administer.js";
import { assembled } from "./assembly.js";
import {
  type AsyncCallOptions,
  type BlockOptions,
  CALL_OPTIONS,
  type CallOptions,
  type ChangeOptions,
  checkCall,
  checkChange,
  type Grant,
  type KeyedRequest,
  LIMITER_OPTIONS,
  NO_OPTIONS,
  type RateLimiterOptions,
  type RefundOptions,
} from "./options.js";
import { runMany } from "./many.js";
import {
  asRefund,
  blockIfUsedUp,
  type Refund,
  refundRequest,
  type Settlement,
  settleRequest,
} from "./give-back.js";
import type { OverrideOptions } from "./override-options.js";
import type { ListedOverride } from "./overrides.js";
import type { Pipeline } from "./pipeline.js";
import type { PolicyOption } from "./policy-resolver.js";
import { gaveUp } from "./report.js";
import { listOverrides, setOverride } from "./set-override.js";
import { type LimiterStats, limiterStats } from "./stats.js";
import { acquire, type Start } from "./waiting/acquire.js";
import {
  type Reservation,
  reserveOnce,
  type WaitOptions,
  reserveRequest,
} from "./waiting/reserve.js";
import { type WrapOptions, wrapWith } from "./waiting/wrap.js";

const { signal: signalCheck, ...syncCall } = CALL_OPTIONS.checks;
const SYNC_CALL_OPTIONS = optionReader<CallOptions>()({ ...syncCall, settle: checkBoolean });
const CONSUME_OPTIONS = optionReader<AsyncCallOptions>()({
  ...SYNC_CALL_OPTIONS.checks,
  signal: signalCheck,
});
const MANY_OPTIONS = optionReader<Pick<AsyncCallOptions, "signal">>()({ signal: signalCheck });
const KEYED_REQUEST = optionReader<KeyedRequest>()(unchecked("key", "cost", "slot"));
const BLOCK_OPTIONS = optionReader<BlockOptions>()({
  keepLonger: byDefault(false, checkBoolean),
  reset: byDefault(false, checkBoolean),
  ...unchecked("slot"),
});

let pipelineIn: (limiter: object) => Pipeline | undefined;

/** The way of requests through a limiter, for calls over several; undefined if `limiter` is none. */
export function pipelineOf(limiter: unknown): Pipeline | undefined {
  return typeof limiter === "object" && limiter !== null ? pipelineIn(limiter) : undefined;
}

/** What `RateLimiter` in rate-limiter.ts makes. Its members are documented there. */
class RateLimiter<S extends Store = Store> implements AsyncDisposable {
  static {
    pipelineIn = (limiter) => (#pipeline in limiter ? limiter.#pipeline : undefined);
  }

  readonly store: S;
  readonly events: Events;
  readonly #sync: SyncStore | undefined;
  /** The store of consumes that nothing comes before; another with each change of policy. */
  #direct: SyncStore | undefined;
  readonly #ownsStore: boolean;
  readonly #pipeline: Pipeline;
  readonly #closing: Closing;
  readonly closed: AbortSignal;

  constructor(options: RateLimiterOptions<S>) {
    const checked = LIMITER_OPTIONS.read(options);
    const { store = new MemoryStore() } = options;
    this.store = checkStore("store", store) as S;
    this.#sync = isSyncStore(this.store) ? this.store : undefined;
    this.#ownsStore = options.store === undefined;
    this.events = new Events();
    this.#closing = new Closing("limiter", this.store.closed);
    this.closed = this.#closing.signal;
    const { events } = this;
    const closing = this.#closing;
    this.#pipeline = assembled(checked, { store: this.store, events, closing, pipelineOf });
    this.#direct = this.#directStore();
  }

  consume(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    // Not async: the pipeline's promise is the caller's, and one around it costs more than the rest of this method.
    try {
      if (options !== NO_OPTIONS) checkCall(options, CONSUME_OPTIONS);
      const { signal, settle } = options;
      if (settle !== undefined) checkBoolean("settle", settle);
      if (this.#direct === undefined) {
        const { cost = 1, policy, slot } = options;
        return this.#pipeline.run({ verb: VERBS.consume, key, slot, cost, policy, signal, settle });
      }
      if (signal?.aborted === true) {
        const { cost = 1, slot } = options;
        checkKey(key);
        throw gaveUp(this.#pipeline, { verb: VERBS.consume, key, slot, cost, signal });
      }
      return Promise.resolve(this.#pipeline.consumeSync(this.#direct, key, options));
    } catch (error) {
      return rejected(error as Error);
    }
  }

  consumeSync(
    this: RateLimiter<SyncStore>,
    key: string,
    options: CallOptions = NO_OPTIONS,
  ): Decision {
    if (options !== NO_OPTIONS) SYNC_CALL_OPTIONS.known(options);
    if (options.settle !== undefined) checkBoolean("settle", options.settle);
    const store = this.#sync;
    if (store !== undefined) return this.#pipeline.consumeSync(store, key, options);
    const allowed = "a store inside the process for consumeSync";
    throw new InvalidOptionError("store", new InWords("an asynchronous store"), allowed);
  }

  async consumeUpTo(
    key: string,
    options: AsyncCallOptions & { readonly cost: number },
  ): Promise<Grant> {
    checkCall(options, CALL_OPTIONS);
    const { cost, policy, signal, slot } = options;
    checkCount("cost", cost, 1, MAX_UNITS);
    const request = { verb: VERBS.consumeUpTo, key, slot, cost, policy, signal };
    return this.#pipeline.run(request) as Promise<Grant>;
  }

  async consumeMany(
    requests: readonly KeyedRequest[],
    options: { readonly signal?: AbortSignal | undefined } = NO_OPTIONS,
  ): Promise<Decision[]> {
    checkCall(options, MANY_OPTIONS);
    checkList("requests", requests);
    const { signal } = options;
    const asked = requests.map((request, i) => {
      const { key, cost = 1, slot } = KEYED_REQUEST.known(request, `requests[${i}]`);
      return { verb: VERBS.consume, key, slot, cost, signal };
    });
    return runMany(this.#pipeline, asked);
  }

  async peek(key: string, options: AsyncCallOptions = NO_OPTIONS): Promise<Decision> {
    checkCall(options, CALL_OPTIONS);
    const { cost = 1, policy, signal, slot } = options;
    return this.#pipeline.run({ verb: VERBS.peek, key, slot, cost, policy, signal });
  }

  async refund(key: string, amount: number, options: RefundOptions = {}): Promise<Refund> {
    return asRefund(await this.#pipeline.run(refundRequest(key, amount, options)));
  }

  async settle(key: string, settlement: Settlement): Promise<Refund> {
    const answer = await this.#pipeline.run(settleRequest(key, settlement));
    await blockIfUsedUp(this.#pipeline, key, settlement, answer);
    return asRefund(answer);
  }

  async penalize(key: string, amount: number, options: SlotOption = NO_OPTIONS): Promise<Decision> {
    const { slot } = SLOT_OPTIONS.known(options);
    toThousandths("amount", amount);
    return this.#pipeline.run({ verb: VERBS.penalize, key, slot, cost: amount });
  }

  async reserve(key: string, options: WaitOptions = NO_OPTIONS): Promise<Reservation> {
    const request = reserveRequest(key, options);
    const { reservation } = await this.#closing.during(request.signal, (signal) =>
      reserveOnce(this.#pipeline, { ...request, signal }),
    );
    return reservation;
  }

  async acquire(key: string, options: WaitOptions = NO_OPTIONS): Promise<Start> {
    const request = reserveRequest(key, options);
    return this.#closing.during(request.signal, (signal) =>
      acquire(this.#pipeline, { ...request, signal }),
    );
  }

  wrap<A extends unknown[], R>(
    fn: (...args: A) => R,
    options: WrapOptions<A>,
  ): (...args: A) => Promise<Awaited<R>> {
    return wrapWith(this, fn, options);
  }

  async block(key: string, duration: Duration, options: BlockOptions = {}): Promise<void> {
    const blockUs = blockLengthUs("duration", duration);
    const { keepLonger, reset, slot } = BLOCK_OPTIONS.read(options);
    const [plain, keeping] = reset
      ? [VERBS.clearBlock, VERBS.clearExtendBlock]
      : [VERBS.block, VERBS.extendBlock];
    const verb = keepLonger ? keeping : plain;
    await administer(this.#pipeline, { verb, key, slot, cost: 0, blockUs });
  }

  async unblock(key: string, options: SlotOption = NO_OPTIONS): Promise<void> {
    await this.#administer(VERBS.unblock, key, options);
  }

  async reset(key: string, options: SlotOption = NO_OPTIONS): Promise<void> {
    await this.#administer(VERBS.reset, key, options);
  }

  policies(key: string): readonly Policy[] | Promise<readonly Policy[]> {
    this.#closing.throwIfClosed();
    checkKey(key);
    return this.#pipeline.resolver.policies(key);
  }

  setPolicy(policy: PolicyOption, options: ChangeOptions = {}): void {
    this.#pipeline.setPolicy(policy, checkChange(options));
    this.#direct = this.#directStore();
  }

  override(key: string, to: Override | undefined, options: OverrideOptions = {}): Promise<void> {
    return setOverride(this.#pipeline, key, to, options);
  }

  async overrides(): Promise<readonly ListedOverride[]> {
    return listOverrides(this.#pipeline);
  }

  stats(): LimiterStats {
    return limiterStats(this.#pipeline);
  }

  close(): Promise<void> {
    return this.#closing.end(async () => {
      await this.#pipeline.close();
      if (this.#ownsStore) await this.store.close();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [INSPECT](...how: InspectArguments): string {
    const { name: namespace, resolver } = this.#pipeline;
    const policies = resolver.fixedPolicies() ?? resolver.option;
    const fields = { namespace, policies, store: this.store.constructor.name };
    return inspected(this, fields, ["store", "events", "closed"], how);
  }

  #directStore(): SyncStore | undefined {
    const { shortcuts, resolver } = this.#pipeline;
    return shortcuts.prefetch === undefined && typeof resolver.option !== "function"
      ? this.#sync
      : undefined;
  }

  #administer(verb: Verb, key: string, options: SlotOption): Promise<void> {
    const { slot } = SLOT_OPTIONS.known(options);
    return administer(this.#pipeline, { verb, key, slot, cost: 0 });
  }
}

export { RateLimiter as LimiterClass };
