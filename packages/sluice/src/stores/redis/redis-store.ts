/** The store that many processes share: every decision is one script call on the server's clock. */
import type { Rule } from "../../algorithms/rule.js";
import { randomName, randomNames } from "../../core/digest.js";
import { checkClock, type Clock, monotonicMs, systemClock } from "../../core/clock.js";
import { Closing } from "../../core/closing.js";
import { CrossSlotError, StoreUnavailableError } from "../../core/errors.js";
import { unchecked, byDefault, aCount, optional, optionReader } from "../../core/options.js";
import { scriptFor } from "./scripts.js";
import { attempt, Events } from "../../events/events.js";
import { addOutageHooks } from "../../events/hooks.js";
import { batchBegins, isHeardOfBatches } from "../batch-events.js";
import type { DocumentStore } from "../document-store.js";
import { KeyspaceRegistry } from "../keyspaces.js";
import type { OverrideStore } from "../override-store.js";
import type { ReportStore } from "../report-store.js";
import type { SemaphoreStore } from "../semaphore-store.js";
import type { Done, Store, StoreCall } from "../store.js";
import { StoreCounts, type StoreStats } from "../store-counts.js";
import { type Access, accessBy } from "./access.js";
import type { CheckedStore, CheckOptions } from "./check/check-store.js";
import type { StoreFinding } from "./check/finding.js";
import type { RedisStoreOptions } from "./store-options.js";
import { type BatchPart, encodeBatch, verbOf } from "./batch.js";
import {
  Batcher,
  type BatcherOptions,
  handOverNow,
  type SendBatch,
  type Sending,
  type SettleCall,
} from "./batcher.js";
import type { RunScript } from "./clients/client.js";
import { asScriptFailure, promising } from "./clients/index.js";
import type { LazyConnection } from "./lazy-connection.js";
import { LoneCalls } from "./lone-calls.js";
import { CONNECT_OPTIONS, type ConnectOptions } from "./connect.js";
import { Hints } from "./hints.js";
import { RedisDocuments } from "./redis-documents.js";
import { RedisOverrides } from "./redis-overrides.js";
import { RedisReports } from "./redis-reports.js";
import { RedisSemaphores } from "./redis-semaphores.js";
import { type Placement, placementBy, SLOTS, slotOf, tagOfId } from "./slot.js";
import { type RefusalSorter, SplitRetry } from "./split-retry.js";
import { endingWithStore, type RoundTripOptions } from "./round-trips.js";
import { type DecodedCall, decodeBatch } from "./wire.js";

/** A calendar's table is off at most twice: once for the clock, once for a boundary passed in between. */
const CALENDAR_TRIPS = 3;
const STORE_NONCE_BYTES = 9;
const NONE: readonly number[] = [];
const OPTIONS = optionReader<RedisStoreOptions>()({
  ...unchecked("client", "url", "subscriber", "hooks"),
  ...CONNECT_OPTIONS.checks,
  clock: optional(checkClock),
  maxBatch: byDefault(256, aCount(1, 1000)),
  maxInFlight: byDefault(3, aCount(1, 1000)),
  partitions: optional(aCount(1, SLOTS)),
});

/**
 * Keeps state in Redis 6.2 or later, Valkey, or a Cluster of either.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { RedisStore } from "sluice/redis";
 * const store = new RedisStore({ url: "redis://localhost:6379" });
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }), store });
 * console.log((await limiter.consume("user:42")).allowed); // true
 * await store.close();
 */
export class RedisStore extends KeyspaceRegistry implements Store {
  /** Always true: it is outside the process. */
  readonly external = true;
  /** Always true: it says when a call was sent. */
  readonly marksHandOver = true;
  /** The node that decides a call; only with a Cluster's client that shows its nodes. */
  readonly partOf?: ((call: StoreCall) => string) | undefined;
  /** Keeps the state of semaphores. */
  readonly semaphores: SemaphoreStore;
  /** Keeps the reports of processes. */
  readonly reports: ReportStore;
  /** Keeps the overrides of keys. */
  readonly overrides: Required<OverrideStore>;
  /** Keeps published policies. */
  readonly documents: Required<DocumentStore>;
  readonly #hints: Hints;
  /** Batches, and outages met by any of its users; hooks are listeners too. */
  readonly events = new Events();
  /** Numbers since it was made. */
  readonly counts = new StoreCounts();
  readonly #closing = new Closing("store");
  /** Fires when the store is closed, with a ClosedError. */
  readonly closed = this.#closing.signal;
  readonly #run: RunScript;
  readonly #sendsOnce: () => boolean;
  readonly #batching: BatcherOptions;
  readonly #batcher: Batcher;
  readonly #alone: LoneCalls;
  readonly #slotBatchers = new Map<number, Batcher>();
  readonly #splitRetry: SplitRetry;
  /** Undefined for the server's own. */
  readonly clock: Clock | undefined;
  readonly #placement: Placement | undefined;
  readonly #lazy: LazyConnection | undefined;
  readonly #checked: () => CheckedStore;
  /** Names each call that gives back. */
  readonly #nextNonce = randomNames(STORE_NONCE_BYTES);
  /** How far the server's clock is ahead of this process's: a guess that only calendars use. */
  #serverAheadUs = 0;

  constructor(options: RedisStoreOptions) {
    super((name) => ({ name }));
    const { partitions, clock, maxBatch, maxInFlight, hooks } = OPTIONS.read(options);
    addOutageHooks(this.events, hooks);
    this.#placement = partitions === undefined ? undefined : placementBy(partitions);
    const access = accessBy(options, this.#closing);
    const { ask, isCluster, nodeOf, lazy, clientNow } = access;
    this.#sendsOnce = access.sendsOnce;
    this.#lazy = lazy;
    const trips = { closing: this.#closing, events: this.events, counts: this.counts };
    this.#run = endingWithStore(ask, trips);
    if (nodeOf !== undefined) {
      this.partOf = ({ debits }) => nodeOf(this.#slotOf(debits[0]?.id ?? ""));
    }
    this.clock = clock;
    this.#alone = this.#loneCalls(access, trips);
    this.#batching = {
      maxBatch,
      maxInFlight,
      threw: (error) => this.events.to.failure?.({ error, key: "", cost: 0 }),
    };
    this.#splitRetry = new SplitRetry({
      send: (calls, settle) => this.#sendTogether(calls, settle),
      slotsOf: (call) => this.#slotsOf(call),
      isCluster,
    });
    this.#batcher = new Batcher(
      (calls, settle) => this.#send(undefined, calls, settle),
      this.#batching,
      (call, done) => {
        const retry = this.#splitRetry;
        return !retry.isCluster && retry.apart.size === 0 && this.#alone.send(call, done);
      },
    );
    const ownSubscriber = options.subscriber;
    this.#hints = new Hints({ client: clientNow, subscriber: ownSubscriber, sharded: isCluster });
    const { subscriber } = this.#hints;
    this.#checked = () => ({ run: promising(ask), clientNow, isCluster, subscriber });
    this.reports = new RedisReports(this.#run, this.clock);
    this.overrides = new RedisOverrides(this.#run, this.#hints, this.clock);
    this.documents = new RedisDocuments(this.#run, this.#hints, this.clock);
    const shared = { run: this.#run, subscriber, isCluster, clock: this.clock };
    const own = { nodeOf, nonce: randomName(STORE_NONCE_BYTES), batching: this.#batching };
    this.semaphores = new RedisSemaphores({ ...shared, ...own });
  }

  /**
   * Connects with whichever of `redis` and `ioredis` is installed; rejects if that fails.
   * @throws InvalidOptionError if the URL is not valid, or neither package is installed.
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RedisStore } from "sluice/redis";
   * const store = await RedisStore.connect("redis://localhost:6379");
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * console.log((await limiter.consume("k")).remaining); // 2
   * await store.close();
   */
  static async connect(url: string, options: ConnectOptions = {}): Promise<RedisStore> {
    CONNECT_OPTIONS.known(options);
    const store = new RedisStore({ ...options, url });
    await store.#lazy?.open();
    return store;
  }

  /**
   * What was asked of this store by this process, in numbers; see docs/watch.md. No call to the server.
   *
   * @throws nothing, also when it is closed
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RedisStore } from "sluice/redis";
   * const store = new RedisStore({ url: "redis://localhost:6379" });
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }), store });
   * await limiter.consume("user:42");
   * const { calls, tripMs, openParts } = store.stats();
   * console.log(calls.answered, calls.pending, tripMs.ok.count, openParts); // 1 0 1 []
   * await store.close();
   */
  stats(): StoreStats {
    return this.counts.stats();
  }

  /**
   * Checks the servers and the client's options: version, memory and eviction, permissions, clock, round trip, replicas,
   * persistence, messages. Writes nothing, and takes a second or two. Never rejects because of a server: one that cannot
   * be reached is a finding.
   *
   * @throws InvalidOptionError, ClosedError
   * @example
   * import { RedisStore } from "sluice/redis";
   * const store = new RedisStore({ url: "redis://localhost:6379" });
   * const findings = await store.check();
   * console.log(findings.filter(({ severity }) => severity === "error").length); // 0
   * await store.close();
   */
  async check(options: CheckOptions = {}): Promise<readonly StoreFinding[]> {
    this.closed.throwIfAborted();
    const { checkServers } = await import("./check/check-store.js");
    return checkServers(this.#checked(), options);
  }

  #loneCalls({ ask, writesAtOnce }: Access, trips: RoundTripOptions): LoneCalls {
    return new LoneCalls({
      ...trips,
      ask,
      writesAtOnce,
      clock: this.clock,
      placement: this.#placement,
      settle: async (call, outcome, sentMs, settle) => {
        const sorted = this.#sorted(undefined, [call], settle, sentMs);
        sorted.settle(0, await outcome.catch(asScriptFailure));
        await sorted.sendAgain();
      },
    });
  }

  /** Makes the script of a consume over these policies ready, without sending it. */
  prepare(rules: readonly Rule[]): void {
    this.#alone.prepare(rules);
  }

  /** Decides a call on the server; `done` gets the result. */
  submit(call: StoreCall, done: Done): void {
    const lazy = this.#lazy;
    if (lazy === undefined || lazy.client !== undefined) this.#queue(call, done);
    else this.#queueWhenOpen(lazy, call, done);
  }

  #queueWhenOpen(lazy: LazyConnection, call: StoreCall, done: Done): void {
    const failed: Done = (outcome) => attempt(done, outcome, this.#batching.threw);
    lazy.whenOpen(call, () => this.#queue(call, done), failed);
  }

  /** Hands a call that still waits to the client now, with all before it. */
  hurry(call: StoreCall): boolean {
    if (this.#lazy !== undefined && this.#lazy.client === undefined) return false;
    if (!this.#splitRetry.isCluster) this.#batcher.hurry();
    else this.#batcherOf(this.#slotsOf(call)[0] ?? 0).hurry();
    return true;
  }

  #queue(call: StoreCall, done: Done): void {
    if (!this.#splitRetry.isCluster) {
      this.#batcher.add(call, done);
      return;
    }
    const [slot = 0, ...others] = this.#slotsOf(call);
    if (others.length > 0) attempt(done, new CrossSlotError(), this.#batching.threw);
    else this.#batcherOf(slot).add(call, done);
  }

  /**
   * Ends what the store itself opened, not a client that was passed in. Calls under way and all waits end at once with a
   * ClosedError; close limiters and semaphores first if they should give units or permits back.
   *
   * @throws nothing
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RedisStore } from "sluice/redis";
   * const store = await RedisStore.connect("redis://localhost:6379");
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 3, period: "1h" }), store });
   * await store.close();
   * console.log(limiter.closed.aborted); // true
   */
  close(): Promise<void> {
    return this.#closing.end(async () => {
      this.#hints.subscriber.close();
      await this.#lazy?.close();
    });
  }

  /** Whether the debits of a call are in several slots of a Cluster. */
  isSplit(call: StoreCall): boolean {
    return this.#splitRetry.isCluster && this.#slotsOf(call).length > 1;
  }

  #slotsOf({ debits }: StoreCall): readonly number[] {
    return [...new Set(debits.map(({ id }) => this.#slotOf(id)))];
  }

  #slotOf(id: string): number {
    return slotOf(this.#placement === undefined ? tagOfId(id) : this.#placement.tagOf(id));
  }

  /**
   * The keys of a script share a slot, so on a Cluster each slot has its own batcher. Then a node that hangs does not hold
   * back the calls to the others.
   */
  #batcherOf(slot: number): Batcher {
    let batcher = this.#slotBatchers.get(slot);
    if (batcher === undefined) {
      const send: SendBatch = (calls, settle) => this.#send(slot, calls, settle);
      batcher = new Batcher(send, this.#batching);
      this.#slotBatchers.set(slot, batcher);
    }
    return batcher;
  }

  /** Sends calls of one slot or, without it, of any; what is refused as a whole goes again in parts. */
  #send(slot: number | undefined, calls: readonly StoreCall[], settle: SettleCall): Sending {
    const retry = this.#splitRetry;
    // Calls that were queued before the Cluster was recognized may be of several slots.
    const mayBeSplit = retry.apart.size > 0 || (slot === undefined && retry.isCluster);
    if (mayBeSplit) return retry.send(slot, calls, settle);
    const sorted = this.#sorted(slot, calls, settle, monotonicMs());
    const { left, settled } = this.#sendTogether(calls, sorted.settle);
    return { left, settled: settled.then(sorted.sendAgain) };
  }

  /** Takes the outcomes of a batch instead of `settle`, but costs nothing until one is a refusal. */
  #sorted(
    slot: number | undefined,
    calls: readonly StoreCall[],
    settle: SettleCall,
    sentMs: number,
  ): { readonly settle: SettleCall; readonly sendAgain: () => Promise<void> | undefined } {
    let sorter: RefusalSorter | undefined;
    return {
      settle: (i, outcome) => {
        if (!(outcome instanceof Error)) {
          settle(i, outcome);
          return;
        }
        sorter ??= this.#splitRetry.sorterOf(slot, calls, settle, sentMs);
        sorter.settle(i, outcome);
      },
      sendAgain: () => sorter?.sendAgain(),
    };
  }

  /** Sends the first of the calls, as many as may go together, with calendars around `guessUs`. */
  #sendTogether(
    calls: readonly StoreCall[],
    settle: SettleCall,
    guessUs: number = this.clock?.nowUs() ?? systemClock.nowUs() + this.#serverAheadUs,
    misses = 0,
  ): Sending {
    for (const { debits } of calls) for (const { rule } of debits) rule.refresh?.(guessUs);
    const { size, parts } = encodeBatch(
      calls,
      this.#batching.maxBatch,
      this.clock?.nowUs(),
      this.#placement,
      () => (this.#sendsOnce() ? undefined : this.#nextNonce()),
    );
    const left = size === calls.length ? NONE : calls.map((_, i) => i).slice(size);
    const settled = parts.map((part) => this.#settle(part, calls, settle, misses));
    return {
      left,
      settled: settled.length === 1 ? (settled[0] as Promise<void>) : Promise.all(settled),
    };
  }

  /** Sends a part of a batch, and settles its calls. Those whose calendar did not cover the server's time go again. */
  async #settle(
    part: BatchPart,
    all: readonly StoreCall[],
    settle: SettleCall,
    misses: number,
  ): Promise<void> {
    const { places } = part;
    const calls = places?.map((i) => all[i] as StoreCall) ?? all;
    let again: number[] = [];
    try {
      const { rawUs, outcomes } = decodeBatch(calls, await this.#execute(calls, part));
      if (this.clock === undefined) this.#serverAheadUs = rawUs - systemClock.nowUs();
      let guessUs: number | undefined;
      for (let k = 0; k < outcomes.length; k++) {
        const outcome = outcomes[k] as DecodedCall;
        const i = places === undefined ? k : (places[k] as number);
        if ("needsCalendarAtUs" in outcome) {
          guessUs = outcome.needsCalendarAtUs;
          again.push(i);
        } else settle(i, outcome);
      }
      if (again.length > 0 && misses === CALENDAR_TRIPS) {
        throw new StoreUnavailableError("the server's clock outran the calendar");
      }
      while (again.length > 0) {
        const sent = again;
        const { left, settled } = this.#sendTogether(
          sent.map((i) => all[i] as StoreCall),
          (k, outcome) => settle(sent[k] as number, outcome),
          guessUs,
          misses + 1,
        );
        again = left.map((k) => sent[k] as number);
        await settled;
      }
    } catch (error) {
      const failure = asScriptFailure(error);
      const failed = again.length > 0 ? again : (places ?? calls.keys());
      for (const i of failed) settle(i, failure);
    }
  }

  /** Runs the script once. Here every script call begins and ends, so its size, node, duration and error are known here. */
  #execute(calls: readonly StoreCall[], part: BatchPart): Promise<unknown> {
    const { sha, source } = scriptFor(part);
    const { keys, args } = part;
    const ended = this.#batchBegins(calls, keys.length);
    const run = this.#run(sha, source, keys, args);
    const handOver = handOverNow();
    for (const call of calls) call.handOver = handOver;
    this.counts.batchCalls.observe(calls.length);
    if (ended !== undefined) run.then(() => ended(undefined), ended);
    return run;
  }

  /** Notifies the listeners; the returned function notifies them again when the batch ends. Undefined without listeners. */
  #batchBegins(
    calls: readonly StoreCall[],
    keys: number,
  ): ((error: Error | undefined) => void) | undefined {
    if (!isHeardOfBatches(this.events)) return undefined;
    const part = this.partOf?.(calls[0] as StoreCall) ?? "";
    return batchBegins(this.events, { size: calls.length, keys, verb: verbOf(calls), part });
  }
}
