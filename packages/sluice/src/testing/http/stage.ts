/** What a case of the suite plays on: limiters on a store, a server with the adapter, and clients of it. */
import assert from "node:assert/strict";
import { fixedWindow } from "../../algorithms/fixed-window/policy.js";
import type { Policy } from "../../algorithms/registry.js";
import { systemClock } from "../../core/clock.js";
import type { HttpOutcome } from "../../http/call.js";
import { RateLimiter } from "../../limiter/rate-limiter.js";
import type { RateLimiterOptions } from "../../limiter/options.js";
import { Semaphore } from "../../semaphore/semaphore.js";
import { MemoryStore } from "../../stores/memory/memory-store.js";
import type { Store } from "../../stores/store.js";
import { ManualClock } from "../manual-clock.js";
import { Http2Client } from "./http2-client.js";
import { eventually } from "./patience.js";
import { type RawAnswer, RawConnection, type RawRequest } from "./raw-connection.js";
import type { HttpSubject, RunningServer, SubjectOptions } from "./subject.js";

/** No deadline of the suite's own limiters is its subject, and its outages need no warning. */
const QUIET = { timeout: "30s", hooks: { onError: () => undefined } } as const;

let stages = 0;

export class Stage {
  readonly #subject: HttpSubject;
  readonly #createStore: () => Store | Promise<Store>;
  readonly #namespace: string;
  readonly #ends: (() => unknown)[] = [];
  #store: Store | undefined;

  constructor(subject: HttpSubject, createStore: () => Store | Promise<Store>) {
    this.#subject = subject;
    this.#createStore = createStore;
    stages += 1;
    this.#namespace = `http.${process.pid}.${systemClock.nowUs().toString(36)}.${stages}`;
  }

  /** A limiter on the store under test. */
  async limiter(policy: Policy, options: RateLimiterOptions = {}): Promise<RateLimiter> {
    return this.limiterOn(await this.#openStore(), policy, options);
  }

  /** A limiter on any store, which the case may look into. */
  limiterOn(store: Store, policy: Policy, options: RateLimiterOptions = {}): RateLimiter {
    const limiter = new RateLimiter({
      ...QUIET,
      ...options,
      policy,
      store,
      namespace: this.#namespace,
    });
    this.#ends.push(() => limiter.close());
    return limiter;
  }

  /** A limiter whose time stands still, so that all of its fields are known. */
  exact(policy: Policy): { readonly limiter: RateLimiter; readonly clock: ManualClock } {
    const clock = new ManualClock();
    return { limiter: this.limiterOn(new MemoryStore({ clock }), policy), clock };
  }

  /** A semaphore on the store under test. */
  async semaphore(name: string, limit: number): Promise<Semaphore> {
    const store = await this.#openStore();
    const namespace = this.#namespace;
    const semaphore = new Semaphore({ ...QUIET, name, limit, store, namespace });
    this.#ends.push(() => semaphore.close());
    return semaphore;
  }

  /** Serves the application over HTTP/1.1. */
  async serve(options: SubjectOptions): Promise<Site> {
    return this.#site(await this.#subject.start(options));
  }

  /** Serves the application over HTTP/2, to a client with this window. */
  async serveHttp2(options: SubjectOptions, window?: number): Promise<Http2Client> {
    const server = await this.#subject.startHttp2?.(options);
    assert.ok(server, "the subject has no HTTP/2");
    this.#ends.push(() => server.close());
    const client = new Http2Client(server.url, window);
    this.#ends.push(() => client.close());
    return client;
  }

  #site(server: RunningServer): Site {
    this.#ends.push(() => server.close());
    const site = new Site(server.url);
    this.#ends.push(() => site.leave());
    return site;
  }

  /** Calls `work` once the case is over. */
  atEnd(work: () => unknown): void {
    this.#ends.push(work);
  }

  /** Ends all that the case began, the last first. */
  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).toReversed()) await end();
    await this.#store?.close();
  }

  async #openStore(): Promise<Store> {
    this.#store ??= await this.#createStore();
    return this.#store;
  }
}

/** A server, and connections to it. */
export class Site {
  readonly #url: string;
  readonly #connections: RawConnection[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  async connect(): Promise<RawConnection> {
    const connection = await RawConnection.open(this.#url);
    this.#connections.push(connection);
    return connection;
  }

  /** Sends a request on a new connection, and waits for the answer. */
  async ask(request: RawRequest): Promise<RawAnswer> {
    const connection = await this.connect();
    connection.send(request);
    const answer = await connection.answer(request.method);
    connection.leave();
    return answer;
  }

  /** GET, on a new connection. */
  get(path: string, fields?: RawRequest["fields"]): Promise<RawAnswer> {
    return this.ask({ path, fields });
  }

  /** Closes all connections. */
  leave(): void {
    for (const connection of this.#connections.splice(0)) connection.leave();
  }
}

/** The outcome of a request for this path, as its charge is settled by it. */
export async function settledAs(stage: Stage, path: string): Promise<HttpOutcome | undefined> {
  const limiter = await stage.limiter(fixedWindow({ name: "quota", limit: 5, window: "1h" }));
  const { all, settle } = new Outcomes();
  const site = await stage.serve({ charge: () => ({ limiter, key: "k", settle }) });
  await site.get(path);
  await eventually(() => assert.equal(all.length, 1));
  return all[0];
}

/** The outcomes that a charge got, one for each request, and what they cost. */
export class Outcomes {
  readonly all: HttpOutcome[] = [];
  readonly #costOf: (outcome: HttpOutcome) => number;

  constructor(costOf: (outcome: HttpOutcome) => number = () => 1) {
    this.#costOf = costOf;
  }

  readonly settle = (outcome: HttpOutcome): number => {
    this.all.push(outcome);
    return this.#costOf(outcome);
  };
}
