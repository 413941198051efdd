/** A store that asks a decision service: the library works behind it as on the store that the service has. */
import { checkClock, type Clock } from "../core/clock.js";
import { Closing } from "../core/closing.js";
import { StoreUnavailableError } from "../core/errors.js";
import { unchecked, byDefault, aCount, optional, optionReader } from "../core/options.js";
import { Events } from "../events/events.js";
import { addOutageHooks, type OutageHooks } from "../events/hooks.js";
import { batchBegins, isHeardOfBatches } from "../stores/batch-events.js";
import type { DocumentStore } from "../stores/document-store.js";
import { KeyspaceRegistry } from "../stores/keyspaces.js";
import type { OverrideStore } from "../stores/override-store.js";
import type { ReportStore } from "../stores/report-store.js";
import type { SemaphoreStore } from "../stores/semaphore-store.js";
import { verbOf } from "../stores/redis/batch.js";
import { Batcher, handOverNow, type Sending, type SettleCall } from "../stores/redis/batcher.js";
import type { Done, Outcome, Store, StoreCall } from "../stores/store.js";
import { StoreCounts, type StoreStats } from "../stores/store-counts.js";
import { decodeOutcomes, encodeCalls } from "./call-frames.js";
import { Requests } from "./requests.js";
import { Notices } from "./notices.js";
import { asking, RemoteDocuments, RemoteOverrides, RemoteReports } from "./remote-asks.js";
import { RemoteSemaphores } from "./remote-semaphores.js";
import { type RemoteTarget, type RemoteTargetOptions, TARGET, targetOf } from "./target.js";
import { MOST_CALLS } from "./wire.js";

/** Options of `RemoteStore`. */
export interface RemoteStoreOptions extends RemoteTargetOptions {
  /** Calls in one request at most, 1 to 1,000; default 256. */
  readonly maxBatch?: number | undefined;
  /** Called for the store's outages, once for all of its limiters and semaphores. */
  readonly hooks?: OutageHooks | undefined;
  /** For tests: what waits go by. Decisions go by the clock of the service. */
  readonly clock?: Clock | undefined;
}

const OPTIONS = optionReader<RemoteStoreOptions>()({
  ...TARGET.checks,
  maxBatch: byDefault(256, aCount(1, MOST_CALLS)),
  ...unchecked("hooks"),
  clock: optional(checkClock),
});

/**
 * Asks a decision service, `POST /v1/store`, instead of a store of its own: see docs/remote.md. All calls of a tick, and
 * all that come while a request is under way, are sent in one request; one is under way at a time, so that calls on a key
 * keep their order. A request is never sent twice.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { RemoteStore } from "sluice/remote";
 * const store = new RemoteStore({ url: "http://127.0.0.1:8088", token: "a-token-with-scope-store" });
 * const policy = tokenBucket({ limit: 100, period: "1m" });
 * const limiter = new RateLimiter({ policy, store, onStoreFailure: "open" });
 * console.log((await limiter.consume("user:42")).allowed); // true
 * await limiter.close();
 * await store.close();
 */
export class RemoteStore extends KeyspaceRegistry implements Store {
  /** Always true: it is outside the process. */
  readonly external = true;
  /** Always true: it says when a call was sent. */
  readonly marksHandOver = true;
  /** Requests, and outages met by any of its users; hooks are listeners too. */
  readonly events = new Events();
  /** Numbers since it was made. */
  readonly counts = new StoreCounts();
  readonly #closing = new Closing("store");
  /** Fires when the store is closed, with a ClosedError. */
  readonly closed = this.#closing.signal;
  /** Undefined for the machine's own. */
  readonly clock: Clock | undefined;
  /** Keeps the state of semaphores. */
  readonly semaphores: SemaphoreStore;
  /** Keeps the reports of processes. */
  readonly reports: ReportStore;
  /** Keeps the overrides of keys. */
  readonly overrides: OverrideStore;
  /** Keeps published policies. */
  readonly documents: Required<DocumentStore>;
  readonly #target: RemoteTarget;
  readonly #requests: Requests;
  readonly #notices: Notices;
  readonly #batcher: Batcher;

  constructor(options: RemoteStoreOptions) {
    super((name) => ({ name }));
    const { maxBatch, clock, hooks, ...target } = OPTIONS.read(options);
    addOutageHooks(this.events, hooks);
    this.clock = clock;
    this.#target = targetOf(target);
    const { events, counts } = this;
    this.#requests = new Requests({
      target: this.#target,
      closing: this.#closing,
      events,
      counts,
    });
    const batching = {
      maxBatch,
      maxInFlight: 1,
      threw: (error: unknown): void => this.events.to.failure?.({ error, key: "", cost: 0 }),
    };
    this.#batcher = new Batcher((calls, settle) => this.#send(calls, settle), batching);
    const { requestTimeoutMs } = this.#target;
    const requests = this.#requests;
    this.#notices = new Notices(requests);
    const notices = this.#notices;
    this.semaphores = new RemoteSemaphores({
      requests,
      notices,
      clock,
      batching,
      requestTimeoutMs,
    });
    const ask = asking(requests, requestTimeoutMs);
    this.overrides = new RemoteOverrides(ask);
    this.reports = new RemoteReports(ask);
    this.documents = new RemoteDocuments(ask, notices);
  }

  /** Asks the service to decide a call; `done` gets what it answers. */
  submit(call: StoreCall, done: Done): void {
    this.#batcher.add(call, done);
  }

  /** Asks the service for a call that still waits now, and for all before it. */
  hurry(): boolean {
    this.#batcher.hurry();
    return true;
  }

  /**
   * What was asked of the service by this process, in numbers; see docs/watch.md. No call to the service.
   *
   * @throws nothing, also when it is closed
   * @example
   * import { RemoteStore } from "sluice/remote";
   * const store = new RemoteStore({ url: "http://127.0.0.1:8088" });
   * console.log(store.stats().calls.answered); // 0
   * await store.close();
   */
  stats(): StoreStats {
    return this.counts.stats();
  }

  /**
   * Ends all waits and all requests with a ClosedError, and closes the connections. The service goes on.
   *
   * @throws nothing
   * @example
   * import { RemoteStore } from "sluice/remote";
   * const store = new RemoteStore({ url: "http://127.0.0.1:8088" });
   * await store.close();
   * console.log(store.closed.aborted); // true
   */
  close(): Promise<void> {
    return this.#closing.end(async () => {
      this.#notices.close();
      this.#requests.close();
    });
  }

  /** Sends the first of the calls, as many as fit into a request. */
  #send(calls: readonly StoreCall[], settle: SettleCall): Sending {
    const { maxBodyBytes, requestTimeoutMs } = this.#target;
    const { body, size, runs } = encodeCalls(calls, maxBodyBytes, requestTimeoutMs);
    const sent = calls.slice(0, size);
    const ended = this.#batchBegins(sent);
    const answer = this.#requests.post(body);
    const handOver = handOverNow();
    for (const call of sent) call.handOver = handOver;
    this.counts.batchCalls.observe(size);
    const settled = answer.then(
      (said) => {
        ended?.(undefined);
        outcomesOf(sent, runs, said).forEach((outcome, i) => settle(i, outcome));
      },
      (failure: unknown) => {
        const error = failure as Error;
        ended?.(error);
        sent.forEach((_, i) => settle(i, error));
      },
    );
    return { left: calls.map((_, i) => i).slice(size), settled };
  }

  /** Notifies the listeners; the returned function notifies them again when the request ends. Undefined without listeners. */
  #batchBegins(calls: readonly StoreCall[]): ((error: Error | undefined) => void) | undefined {
    if (!isHeardOfBatches(this.events)) return undefined;
    const keys = new Set<string>();
    for (const { debits } of calls) {
      for (const { keyspace, id } of debits) keys.add(`${keyspace.name}\n${id}`);
    }
    const [size, verb] = [calls.length, verbOf(calls)];
    return batchBegins(this.events, { size, keys: keys.size, verb, part: "" });
  }
}

/** Whatever an answer holds, each call has one outcome. */
function outcomesOf(
  calls: readonly StoreCall[],
  runs: readonly number[],
  said: unknown,
): readonly Outcome[] {
  try {
    return decodeOutcomes(calls, runs, said);
  } catch (cause) {
    const unreadable = new StoreUnavailableError("the service's answer cannot be read", { cause });
    return calls.map(() => unreadable);
  }
}
