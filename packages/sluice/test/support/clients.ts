/** Real clients of every kind on a real server, behind one face. */
import { Redis } from "ioredis";
import { inject } from "vitest";
import type { RedisClientLike, RunScript } from "../../src/stores/redis/index.js";
import { startUpstashBridge } from "./upstash-bridge.js";

/** A client under test and what ends it. */
export interface TestClient {
  readonly client: RedisClientLike;
  /** Any command, for looking behind the store. */
  readonly command: (...args: string[]) => Promise<unknown>;
  readonly close: () => Promise<void>;
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

const openIoRedis = (to: ConnectTo): Redis => new Redis({ ...address(to), ...login(to) });

async function openUpstash(to: ConnectTo, enableAutoPipelining: boolean): Promise<TestClient> {
  const { Redis: Upstash } = await import("@upstash/redis");
  const behind = openIoRedis(to);
  const { url, token, close } = await startUpstashBridge(behind);
  const client = new Upstash({
    url,
    token,
    enableAutoPipelining,
    enableTelemetry: false,
    retry: false,
  });
  return {
    client,
    command: (name, ...args) => behind.call(name, ...args),
    close: async () => {
      await close();
      await behind.quit();
    },
  };
}

/** By default, GLIDE gives up a command after 250 ms, and a connection after 2 s. A busy machine may take longer. */
export const patientGlide = {
  requestTimeout: 60_000,
  advancedConfiguration: { connectionTimeout: 60_000 },
};

export const clients = {
  ioredis: async (to = {}) => {
    const client = openIoRedis(to);
    return {
      client,
      command: (name, ...args) => client.call(name, ...args),
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
      close: async () => {
        await client.close();
      },
    };
  },
  iovalkey: async (to = {}) => {
    const { Redis: Valkey } = await import("iovalkey");
    const client = new Valkey({ ...address(to), ...login(to) });
    return {
      client,
      command: (name, ...args) => client.call(name, ...args),
      close: async () => void (await client.quit()),
    };
  },
  "valkey-glide": async (to = {}) => {
    const { GlideClient, Logger } = await import("@valkey/valkey-glide");
    // It would print every error that a test provokes.
    Logger.setLoggerConfig("off");
    const { username, password } = to;
    const client = await GlideClient.createClient({
      addresses: [address(to)],
      ...patientGlide,
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
  upstash: (to = {}) => openUpstash(to, true),
  "upstash without pipelines": (to = {}) => openUpstash(to, false),
  /** Bun's own client has just this: its runtime is not Node's, so ioredis stands in behind it. */
  "Bun's send": async (to = {}) => {
    const client = openIoRedis(to);
    return {
      client: { send: (command: string, args: string[]) => client.call(command, ...args) },
      command: (name, ...args) => client.call(name, ...args),
      close: async () => void (await client.quit()),
    };
  },
  "a function": async (to = {}) => {
    const client = openIoRedis(to);
    const run: RunScript = (_sha, source, keys, args) =>
      client.eval(source, keys.length, ...keys, ...args);
    return {
      client: run,
      command: (name, ...args) => client.call(name, ...args),
      close: async () => void (await client.quit()),
    };
  },
} as const satisfies Readonly<Record<string, OpenClient>>;
