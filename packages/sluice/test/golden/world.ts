/**
 * A library on a Redis of its own, under a clock that only scenarios move. It sees every script call go by: that is
 * how it learns which texts are random, and to what time to live each key was set.
 */
import type { Redis } from "ioredis";
import { vi } from "vitest";
import type * as Core from "../../src/index.js";
import type { RedisStore, RedisStoreOptions } from "../../src/stores/redis/index.js";
import type { ManualClock } from "../../src/testing/index.js";

/** What scenarios use of a build: its public exports alone, so that any build can be asked. */
export interface Library {
  readonly core: Pick<
    typeof Core,
    | "calendarWindow"
    | "consumeAtomic"
    | "fixedWindow"
    | "gcra"
    | "leakyBucket"
    | "RateLimiter"
    | "Semaphore"
    | "slidingLog"
    | "slidingWindow"
    | "tokenBucket"
  >;
  readonly RedisStore: typeof RedisStore;
  readonly ManualClock: typeof ManualClock;
}

/** What one key holds, as text and numbers. */
export interface StoredKey {
  readonly type: string;
  /** A string's bytes; a hash's, by field; a sorted set's scores, by member. */
  readonly value: string | Readonly<Record<string, string>>;
  /** As it was last set: at least and at most so many ms, by the server's clock around the script. */
  readonly ttlMs: readonly [least: number, most: number];
}

export type Stored = Readonly<Record<string, StoredKey>>;

/** A moment with a fraction of a millisecond, so that no byte of a time is zero by chance. */
const START_MS = 1_893_456_789_012.345;
const NEVER_EXPIRES = -1;

/** What makes the key unique that marks a refund or a cancel as done. */
const MARK = /^(.*!)[\w-]{12}$/s;
/** Where other random texts stand among the arguments of scripts. */
const RANDOM: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["owner", /^([\w-]{12})[0-9a-z]+\.[0-9a-z]+$/],
  ["store", /^sluice:wake:([\w-]{12})$/],
];

export class World {
  readonly core: Library["core"];
  readonly clock: ManualClock;
  readonly #library: Library;
  readonly #redis: Redis;
  readonly #store: RedisStore;
  readonly #ends: (() => Promise<unknown>)[] = [];
  readonly #ttls = new Map<string, StoredKey["ttlMs"]>();
  /** Random texts and what stands for them, in the order in which they were sent. */
  readonly #names = new Map<string, string>();

  constructor(library: Library, redis: Redis) {
    this.core = library.core;
    this.clock = new library.ManualClock(START_MS);
    this.#library = library;
    this.#redis = redis;
    this.#store = this.#open({ subscriber: false });
  }

  /** Every answer is the store's. */
  limiter(
    options: Omit<Core.RateLimiterOptions, "store">,
    store: Pick<RedisStoreOptions, "partitions"> = {},
  ): Core.RateLimiter {
    const limiter = new this.core.RateLimiter({
      timeout: "30s",
      onStoreFailure: "throw",
      denyCache: false,
      ...options,
      store: store.partitions === undefined ? this.#store : this.#open(store),
    });
    this.#ends.push(() => limiter.close());
    return limiter;
  }

  /**
   * Of a process of its own. One that does not hear is not told of what it gets: as long as the clock stands it
   * does not ask either, so what was handed to it stays a claim.
   */
  semaphore(options: Omit<Core.SemaphoreOptions, "store">, hears: boolean): Core.Semaphore {
    let store: RedisStore;
    if (hears) {
      const subscriber = this.#redis.duplicate();
      store = this.#open({ subscriber });
      this.#ends.push(async () => {
        await store.close();
        subscriber.disconnect();
      });
    } else {
      store = this.#open({ subscriber: false });
    }
    const semaphore = new this.core.Semaphore({ timeout: "30s", ...options, store });
    this.#ends.push(() => semaphore.close());
    return semaphore;
  }

  /** Waits, in real time, until it is so. */
  async until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
    await vi.waitFor(
      async () => {
        if (!(await isSo())) throw new Error(`still waiting until ${what}`);
      },
      { timeout: 300_000, interval: 2 },
    );
  }

  /** All that there is in Redis, under its own names but for what is random. */
  async read(): Promise<Stored> {
    const keys = (await this.#redis.keys("*")).sort();
    const stored: Record<string, StoredKey> = {};
    const marks = new Map<string, number>();
    for (const key of keys) {
      const marked = MARK.exec(key)?.[1];
      const mark = (marks.get(marked ?? "") ?? 0) + 1;
      if (marked !== undefined) marks.set(marked, mark);
      const name = marked === undefined ? key : `${marked}<mark ${mark}>`;
      const type = await this.#redis.type(key);
      const ttlMs = this.#ttls.get(key) ?? [NEVER_EXPIRES, NEVER_EXPIRES];
      stored[name] = { type, value: await this.#valueOf(key, type), ttlMs };
    }
    return stored;
  }

  async end(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }

  #open(options: Omit<RedisStoreOptions, "client" | "clock">): RedisStore {
    return new this.#library.RedisStore({ client: this.#run, clock: this.clock, ...options });
  }

  /** The script between two looks at its keys' expiries and at the server's clock, all in one go. */
  readonly #run = async (
    _sha: string,
    source: string,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown> => {
    for (const text of args) this.#learn(text);
    const multi = this.#redis.multi().time();
    for (const key of keys) multi.pexpiretime(key);
    multi.eval(source, keys.length, ...keys, ...args);
    for (const key of keys) multi.pexpiretime(key);
    const replies = (await multi.time().exec()) ?? [];
    const failure = replies.find(([error]) => error !== null)?.[0];
    if (failure) throw failure;
    const values = replies.map(([, value]) => value);
    const [fromMs, toMs] = [values[0], values.at(-1)].map((time) => {
      const [seconds = 0, us = 0] = (time as string[]).map(Number);
      return seconds * 1e3 + Math.floor(us / 1e3);
    }) as [number, number];
    keys.forEach((key, i) => {
      const before = values[1 + i];
      const after = values[2 + keys.length + i] as number;
      if (after < 0) this.#ttls.delete(key);
      else if (after !== before) this.#ttls.set(key, [after - toMs, after - fromMs]);
    });
    return values[1 + keys.length];
  };

  #learn(text: string): void {
    for (const [name, pattern] of RANDOM) {
      const random = pattern.exec(text)?.[1];
      if (random === undefined || this.#names.has(random)) continue;
      const known = [...this.#names.values()].filter((other) => other.startsWith(`<${name}`));
      this.#names.set(random, `<${name} ${known.length + 1}>`);
    }
  }

  #named(text: string): string {
    let named = text;
    for (const [random, name] of this.#names) named = named.replaceAll(random, name);
    return named;
  }

  async #valueOf(key: string, type: string): Promise<StoredKey["value"]> {
    if (type === "string") return ((await this.#redis.getBuffer(key)) as Buffer).toString("hex");
    if (type === "hash") {
      const fields = Object.entries(await this.#redis.hgetallBuffer(key)).sort(byFirst);
      return Object.fromEntries(fields.map(([field, value]) => [field, value.toString("hex")]));
    }
    if (type !== "zset") throw new Error(`${key} is a ${type}`);
    const flat = await this.#redis.zrange(key, "0", "-1", "WITHSCORES");
    const members: (readonly [member: string, score: string])[] = [];
    for (let i = 0; i < flat.length; i += 2) {
      members.push([this.#named(flat[i] as string), scoreOf(flat[i + 1] as string)]);
    }
    return Object.fromEntries(members.sort(byFirst));
  }
}

/** Servers write the same number in more than one way. */
function scoreOf(text: string): string {
  return text.endsWith("inf") ? text : String(BigInt(Number(text)));
}

function byFirst(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : Number(a[0] > b[0]);
}
