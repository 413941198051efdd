/** What must compile and what must not; `npm run typecheck` is the test, nothing here runs. */
import {
  MemoryStore,
  type Permit,
  Semaphore,
  type SemaphoreOptions,
  type Store,
} from "../../src/index.js";
import type { RedisStore } from "../../src/stores/redis/index.js";
import { type Equal, expectType } from "./expect-type.js";

declare const redis: RedisStore;
declare const either: Store;
declare const maybeRedis: RedisStore | undefined;
declare const anyOptions: SemaphoreOptions;

const inMemory = new Semaphore({ limit: 1 });
const onRedis = new Semaphore({ limit: 1, store: redis });

export function storesShowInTheSemaphoresType(): void {
  expectType<Equal<(typeof inMemory)["store"], MemoryStore>>(true);
  expectType<Equal<(typeof onRedis)["store"], RedisStore>>(true);
  expectType<Semaphore<MemoryStore>>(new Semaphore({ limit: 1, store: undefined }));
  expectType<Semaphore<MemoryStore>>(new Semaphore({ limit: 1, store: new MemoryStore() }));
  expectType<Semaphore<MemoryStore | RedisStore>>(new Semaphore({ limit: 1, store: maybeRedis }));
  expectType<Semaphore>(new Semaphore({ limit: 1, store: either }));
  expectType<Semaphore>(new Semaphore(anyOptions));
  // @ts-expect-error: without a store it is in memory
  expectType<Semaphore<RedisStore>>(new Semaphore({ limit: 1 }));
  // @ts-expect-error: it may be in memory
  expectType<Semaphore<RedisStore>>(new Semaphore({ limit: 1, store: maybeRedis }));
  // @ts-expect-error: nobody knows where the store of any semaphore is
  expectType<Semaphore<MemoryStore>>(new Semaphore({ limit: 1, store: either }));
}

export function aSemaphoreIsATypeWithoutArguments(semaphore: Semaphore): readonly Semaphore[] {
  // Whatever its store, a semaphore is a semaphore.
  return [semaphore, inMemory, onRedis, new Semaphore({ limit: 1 })];
}

/** As an application would, for its own defaults. */
class Uploads extends Semaphore<RedisStore> {
  readonly #bucket: string;

  constructor(bucket: string, store: RedisStore) {
    super({ limit: 3, store });
    this.#bucket = bucket;
  }

  upload(): Promise<Permit> {
    return this.acquire(this.#bucket);
  }

  override async close(): Promise<void> {
    await super.close();
  }
}

class Logged<S extends Store = MemoryStore> extends Semaphore<S> {}

class Mine extends Semaphore {}

export async function aSemaphoreCanBeExtended(): Promise<void> {
  const uploads = new Uploads("images", redis);
  expectType<Equal<(typeof uploads)["store"], RedisStore>>(true);
  expectType<Semaphore<RedisStore>>(uploads);
  expectType<Permit>(await uploads.upload());
  expectType<Semaphore>(new Mine({ limit: 1 }));
  expectType<MemoryStore>(new Mine({ limit: 1 }).store);
  expectType<RedisStore>(new Logged({ limit: 1, store: redis }).store);
  const unknown: unknown = uploads;
  if (unknown instanceof Semaphore) expectType<Promise<void>>(unknown.close());
}

export async function verbsAnswer(): Promise<void> {
  expectType<Permit>(await onRedis.acquire("k", { maxWait: "1s" }));
  expectType<Permit | undefined>(await onRedis.tryAcquire("k", { weight: 2 }));
  expectType<number>(await onRedis.withPermit("k", async () => 5));
  await using semaphore = new Semaphore({ limit: 1 });
  expectType<AsyncDisposable>(semaphore);
}

export function optionsAreChecked(): void {
  // @ts-expect-error: no limit
  new Semaphore({});
  // @ts-expect-error: no such option
  new Semaphore({ limit: 1, period: "1s" });
  // @ts-expect-error: no store
  new Semaphore({ limit: 1, store: {} });
}
