/** Semaphores of tests, in stores as other processes would have them. */
import { expect, onTestFinished } from "vitest";
import { Semaphore } from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { clients } from "./clients.js";
import { eventually } from "./eventually.js";

let names = 0;

/** A semaphore of its own, in a store as another process would have. */
export function semaphoreOn(
  client: RedisClientLike,
  name: string,
  options: { subscriber?: object | false; limit?: number; leaseDuration?: string } = {},
): Semaphore<RedisStore> {
  const { subscriber, ...rest } = options;
  const store = new RedisStore({ client, ...(subscriber === undefined ? {} : { subscriber }) });
  const semaphore = new Semaphore({ limit: 1, timeout: "30s", ...rest, name, store });
  onTestFinished(async () => {
    await semaphore.close();
    await store.close();
  });
  return semaphore;
}

/** For keys that no other test has. */
export const newName = (): string => {
  names += 1;
  return `test-${process.pid}-${names}`;
};

/** Until so many wait for the key "k". */
export const inLine = (semaphore: Semaphore, waiting: number): Promise<void> =>
  eventually(async () => expect(await semaphore.inspect("k")).toMatchObject({ waiting }));

/** A client of such a kind on a server of its own; both end with the test. */
export async function clientOnOwnServer(kind: keyof typeof clients) {
  const server = await startRedis();
  const opened = await clients[kind]({ url: server.url });
  onTestFinished(async () => {
    await opened.close();
    await server.stop();
  });
  return { ...opened, server };
}
