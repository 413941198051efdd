/** Real clients of every kind on a real server, behind one face. */
import { inject } from "vitest";
import type { RedisClientLike } from "../../src/stores/redis/index.js";

/** A client under test and what ends it. */
export interface TestClient {
  readonly client: RedisClientLike;
  /** Any command, for looking behind the store. */
  command(...args: string[]): Promise<unknown>;
  close(): Promise<void>;
}

export interface ConnectTo {
  readonly url?: string;
  readonly username?: string;
  readonly password?: string;
}

type OpenClient = (to?: ConnectTo) => Promise<TestClient>;

const address = (to: ConnectTo): { host: string; port: number } => {
  const url = new URL(to.url ?? inject("redisUrl"));
  return { host: url.hostname, port: Number(url.port) };
};

const login = ({ username, password }: ConnectTo): { username?: string; password?: string } => ({
  ...(username !== undefined && { username }),
  ...(password !== undefined && { password }),
});

export const clients: Readonly<
  Record<"ioredis" | "node-redis" | "iovalkey" | "valkey-glide", OpenClient>
> = {
  ioredis: async (to = {}) => {
    const { Redis } = await import("ioredis");
    const client = new Redis({ ...address(to), ...login(to) });
    return {
      client,
      command: (name, ...args) => client.call(name as string, ...args),
      close: async () => void (await client.quit()),
    };
  },
  "node-redis": async (to = {}) => {
    const { createClient } = await import("redis");
    const client = createClient({ socket: address(to), ...login(to) });
    client.on("error", () => {});
    await client.connect();
    return {
      client,
      command: (...args) => client.sendCommand(args),
      close: async () => void (await client.close()),
    };
  },
  iovalkey: async (to = {}) => {
    const { Redis } = await import("iovalkey");
    const client = new Redis({ ...address(to), ...login(to) });
    return {
      client,
      command: (name, ...args) => client.call(name as string, ...args),
      close: async () => void (await client.quit()),
    };
  },
  "valkey-glide": async (to = {}) => {
    const { GlideClient } = await import("@valkey/valkey-glide");
    const { username, password } = to;
    const client = await GlideClient.createClient({
      addresses: [address(to)],
      ...(password !== undefined && {
        credentials: { ...(username !== undefined && { username }), password },
      }),
    });
    return {
      client,
      command: (...args) => client.customCommand(args),
      close: async () => {
        client.close();
      },
    };
  },
};
