/** What must compile and what must not; `npm run typecheck` is the test, nothing here runs. */
import {
  type CallOptions,
  consumeAtomic,
  type Decision,
  type Grant,
  type Identity,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  type Store,
  type SyncStore,
  tokenBucket,
} from "../../src/index.js";
import type { RedisStore } from "../../src/stores/redis/index.js";
import { type Equal, expectType } from "./expect-type.js";

const policy = tokenBucket({ limit: 1, period: "1s" });
declare const redis: RedisStore;
declare const either: Store;

export function storesShowInTheLimitersType(): void {
  expectType<RateLimiter<MemoryStore>>(new RateLimiter({ policy }));
  expectType<RateLimiter<MemoryStore>>(new RateLimiter({ policy, store: undefined }));
  expectType<RateLimiter<MemoryStore>>(new RateLimiter({ policy, store: new MemoryStore() }));
  expectType<RateLimiter<RedisStore>>(new RateLimiter({ policy, store: redis }));
  expectType<RateLimiter>(new RateLimiter({ policy, store: either }));
  expectType<Equal<(typeof inMemory)["store"], MemoryStore>>(true);
}

const inMemory = new RateLimiter({ policy });
const onRedis = new RateLimiter({ policy, store: redis });
const onAny: RateLimiter = onRedis;

export function aLimiterIsATypeWithoutArguments(limiter: RateLimiter): readonly RateLimiter[] {
  // Whatever its store, a limiter is a limiter.
  return [limiter, inMemory, onRedis, onAny, new RateLimiter({ policy })];
}

export function synchronousCallsNeedAStoreInsideTheProcess(generic: RateLimiter<SyncStore>): void {
  expectType<Decision>(inMemory.consumeSync("k"));
  expectType<Decision>(generic.consumeSync("k", { cost: 2 }));
  // @ts-expect-error: Redis answers later
  onRedis.consumeSync("k");
  // @ts-expect-error: nobody knows where the store of any limiter is
  onAny.consumeSync("k");
  // @ts-expect-error: a signal has nothing to abort
  inMemory.consumeSync("k", { signal: AbortSignal.timeout(5) });
}

export async function verbsAnswer(): Promise<void> {
  expectType<Decision>(await onRedis.consume("k"));
  expectType<Grant>(await onRedis.consumeUpTo("k", { cost: 5 }));
  expectType<number>((await onRedis.consumeUpTo("k", { cost: 5 })).granted);
  expectType<Decision[]>(await onRedis.consumeMany([{ key: "k" }, { key: "l", cost: 2 }]));
  expectType<Decision>(await onRedis.peek("k", { cost: 3, signal: AbortSignal.timeout(5) }));
  expectType<Decision>(await onRedis.refund("k", 1));
  expectType<Decision>(await onRedis.penalize("k", 1));
  expectType<Promise<void>>(onRedis.block("k", "5m"));
  expectType<Promise<void>>(onRedis.unblock("k"));
  expectType<Promise<void>>(onRedis.reset("k"));
  const { allowed, decisions } = await consumeAtomic([
    { limiter: onRedis, key: "k" },
    { limiter: inMemory, key: "k" },
  ]);
  expectType<boolean>(allowed);
  expectType<readonly Decision[]>(decisions);
  await using limiter = new RateLimiter({ policy });
  expectType<AsyncDisposable>(limiter);
}

export function callsAreChecked(): void {
  // @ts-expect-error: consumeUpTo of how much?
  void onRedis.consumeUpTo("k");
  // @ts-expect-error: consumeUpTo of how much?
  void onRedis.consumeUpTo("k", {});
  // @ts-expect-error: a cost is an option
  void onRedis.consume("k", 5);
  // @ts-expect-error: no such option
  void onRedis.consume("k", { costs: 5 });
  // @ts-expect-error: a key is a string
  void onRedis.consume(42);
  // @ts-expect-error: how much?
  void onRedis.refund("k");
  // @ts-expect-error: for how long?
  void onRedis.block("k");
  // @ts-expect-error: a limiter and a key
  void consumeAtomic([{ limiter: onRedis }]);
  const absent: CallOptions = {};
  void onRedis.consume("k", absent);
}

export function decisionsCannotBeChanged(decision: Decision): void {
  // @ts-expect-error: read-only
  decision.allowed = true;
  // @ts-expect-error: read-only
  decision.remaining = 5;
  // @ts-expect-error: read-only
  decision.policies = [];
  const [first] = decision.policies ?? [];
  // @ts-expect-error: read-only
  if (first !== undefined) first.remaining = 5;
  expectType<Equal<Decision["reason"], "ok" | "quota" | "too-costly" | "blocked" | "store">>(true);
  expectType<
    Equal<
      Decision["source"],
      | "store"
      | "deny-cache"
      | "prefetch"
      | "local"
      | "fail-open"
      | "fail-closed"
      | "fallback"
      | "override"
      | "rules"
    >
  >(true);
}

export function optionsAreChecked(): void {
  // Each call brings its policy.
  new RateLimiter({});
  new RateLimiter({ policy: async (key) => (key === "a" ? [policy] : policy) });
  // @ts-expect-error: promises of policies alone
  new RateLimiter({ policy: async () => 5 });
  // @ts-expect-error: no such option
  new RateLimiter({ policy, limit: 5 });
  // @ts-expect-error: no such failure policy
  new RateLimiter({ policy, onStoreFailure: "allow" });
  // @ts-expect-error: no store
  new RateLimiter({ policy, store: {} });
  // @ts-expect-error: not a boolean
  new RateLimiter({ policy, enforce: "no" });
  // @ts-expect-error: no such identity
  expectType<Identity>("md5");
  new RateLimiter({ policy, onStoreFailure: { fallback: inMemory } });
  new RateLimiter({ policy, onStoreFailure: { fallback: onRedis } });
  new RateLimiter({
    policy: [policy],
    namespace: "api",
    identity: { hmacSecret: new Uint8Array(32) },
    timeout: "1s",
    blockFor: 5000,
    enforce: false,
    hooks: {
      onAllowed: ({ key, cost, decision }) => [key.length, cost, decision.remaining],
      onDenied: async () => {},
      onError: ({ error, decision }) => {
        expectType<unknown>(error);
        expectType<Decision | undefined>(decision);
      },
    },
  });
}

/** As an application would, for its own defaults. */
class Logins extends RateLimiter<RedisStore> {
  readonly #failed = new Set<string>();

  constructor(store: RedisStore) {
    super({ policy, store, namespace: "logins" });
  }

  override async consume(key: string, options?: CallOptions): Promise<Decision> {
    const decision = await super.consume(key, options);
    if (!decision.allowed) this.#failed.add(key);
    return decision;
  }
}

class Plain extends RateLimiter {
  attempt(key: string): Decision {
    return this.consumeSync(key);
  }
}

class Logged<S extends Store = MemoryStore> extends RateLimiter<S> {}

export function limitersCanBeExtended(): readonly RateLimiter[] {
  expectType<RateLimiter<RedisStore>>(new Logins(redis));
  expectType<MemoryStore>(new Plain({ policy }).store);
  expectType<RedisStore>(new Logged({ policy, store: redis }).store);
  expectType<MemoryStore>(new Logged({ policy }).store);
  // @ts-expect-error: an own option of no limiter
  new Plain({ policy, colour: "red" });
  // @ts-expect-error: Redis answers later
  new Logins(redis).consumeSync("k");
  return [new Logins(redis), new Plain({ policy }), new Logged({ policy, store: either })];
}

/** What makes limiters for others keeps the type of their store. */
export function makeOn<S extends Store>(store: S): RateLimiter<S> {
  return new RateLimiter({ policy, store });
}

declare const maybeRedis: RedisStore | undefined;
declare const anyOptions: RateLimiterOptions;

export function aStoreThatMayBeUndefinedMayBeInMemory(): void {
  expectType<RateLimiter<MemoryStore | RedisStore>>(new RateLimiter({ policy, store: maybeRedis }));
  expectType<RateLimiter>(new RateLimiter(anyOptions));
  // @ts-expect-error: it may be in memory
  expectType<RateLimiter<RedisStore>>(new RateLimiter({ policy, store: maybeRedis }));
  // @ts-expect-error: without a store it is in memory
  expectType<RateLimiter<RedisStore>>(new RateLimiter({ policy }));
}
