/** The store that many processes share: every decision is one script call on the server's clock. */
import { randomBytes } from "node:crypto";
import type { Kernel } from "../../algorithms/kernel.js";
import { type Clock, systemClock } from "../../core/clock.js";
import { InvalidOptionError, StoreUnavailableError } from "../../core/errors.js";
import { checkOptions } from "../../core/options.js";
import { scriptFor } from "../../lua/compose.js";
import { Claims } from "../claims.js";
import type { Answer, Space, Store, StoreCall } from "../store.js";
import { type RedisClientLike, type RunScript, scriptRunner } from "./client.js";
import { type Connection, type ConnectOptions, connect } from "./connect.js";
import { type DecodedBatch, decodeBatch, encodeBatch } from "./wire.js";

export interface RedisStoreOptions {
  /** A connected client of redis, ioredis, iovalkey, valkey-glide, Upstash or Bun; or a function that runs a script. */
  readonly client: RedisClientLike;
  /** For tests and simulation: decides instead of the server's clock. */
  readonly clock?: Clock;
}

/** A calendar's table is off at most twice: once for the clock, once for a boundary passed meanwhile. */
const CALENDAR_TRIPS = 3;
const NONCE_BYTES = 9;

/**
 * Keeps state in Redis 6.2 or later, Valkey, or a Cluster of either.
 *
 * @throws InvalidOptionError
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { RedisStore } from "sluice/redis";
 * const store = await RedisStore.connect("redis://localhost:6379");
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }), store });
 * console.log((await limiter.consume("user:42")).allowed); // true
 * await store.close();
 */
export class RedisStore implements Store {
  readonly external = true;
  readonly #run: RunScript;
  readonly #clock: Clock | undefined;
  readonly #claims = new Claims();
  readonly #spaces = new Map<string, Space>();
  #connection: Connection | undefined;
  /** How far the server's clock is ahead of this process's: a guess that only calendars use. */
  #serverAheadUs = 0;

  constructor(options: RedisStoreOptions) {
    checkOptions("options", options, ["client", "clock"]);
    this.#run = scriptRunner(options.client);
    this.#clock = options.clock;
    if (options.clock !== undefined && typeof options.clock.nowUs !== "function") {
      throw new InvalidOptionError("clock", options.clock, "an object with nowUs() and sleep()");
    }
  }

  /**
   * Connects with whichever of `redis` and `ioredis` is installed.
   * @throws InvalidOptionError if the URL is none, or neither package is there.
   */
  static async connect(url: string, options: ConnectOptions = {}): Promise<RedisStore> {
    const connection = await connect(url, options);
    const store = new RedisStore({ client: connection.client });
    store.#connection = connection;
    return store;
  }

  open(name: string, _kernel: Kernel): Space {
    let space = this.#spaces.get(name);
    if (space === undefined) {
      space = { name };
      this.#spaces.set(name, space);
    }
    return space;
  }

  claim(space: string, fingerprint: string): void {
    this.#claims.take(space, fingerprint);
  }

  release(space: string, fingerprint: string): void {
    this.#claims.release(space, fingerprint);
  }

  async execute(calls: readonly StoreCall[]): Promise<readonly (Answer | Error)[]> {
    const results = new Array<Answer | Error>(calls.length);
    let pending = calls.map((_, i) => i);
    let guessUs = this.#clock?.nowUs() ?? systemClock.nowUs() + this.#serverAheadUs;
    for (let trip = 0; pending.length > 0; trip++) {
      const batch = pending.map((i) => calls[i] as StoreCall);
      for (const { seats } of batch) for (const { rule } of seats) rule.refresh?.(guessUs);
      const { rawUs, outcomes } = await this.#send(batch);
      if (this.#clock === undefined) this.#serverAheadUs = rawUs - systemClock.nowUs();
      const again: number[] = [];
      outcomes.forEach((outcome, k) => {
        const i = pending[k] as number;
        if ("needsCalendarAtUs" in outcome) {
          guessUs = outcome.needsCalendarAtUs;
          if (trip < CALENDAR_TRIPS) again.push(i);
          else results[i] = new StoreUnavailableError("the server's clock outran the calendar");
        } else {
          results[i] = outcome;
        }
      });
      pending = again;
    }
    return results;
  }

  /** Ends what the store itself opened; a client that was passed in stays as it is. */
  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.close();
  }

  /** One script call, or one after another where keys do not fit in one. */
  async #send(calls: readonly StoreCall[]): Promise<DecodedBatch> {
    const { size, kernels, keys, args } = encodeBatch(calls, this.#clock?.nowUs(), nonce);
    const { sha, source } = scriptFor(kernels);
    const reply = decodeBatch(calls.slice(0, size), await this.#run(sha, source, keys, args));
    if (size === calls.length) return reply;
    const rest = await this.#send(calls.slice(size));
    return { rawUs: rest.rawUs, outcomes: [...reply.outcomes, ...rest.outcomes] };
  }
}

function nonce(): string {
  return randomBytes(NONCE_BYTES).toString("base64url");
}
