/** The options that say which store a command talks to. */
import type { Store } from "sluice";
import type { Io } from "../terminal/terminal.js";
import { type OptionTable, type OptionValues, UsageError } from "./options.js";

/** The store of the keys, for every command that reads or writes one. */
export const STORE_OPTIONS = {
  redis: {
    type: "string",
    value: "URL",
    help: "Redis or Valkey, such as redis://user:password@host:6379/0 (or rediss: for TLS); else SLUICE_REDIS_URL.",
  },
  cluster: { type: "boolean", help: "The URL is a node of a Cluster." },
  namespace: {
    type: "string",
    value: "NAME",
    help: 'The first part of every key in the store (default "sluice").',
  },
} as const satisfies OptionTable;

type StoreValues = OptionValues<typeof STORE_OPTIONS>;

/** The store outside this process that the options name, if they name one. */
export function redisUrl(values: Pick<StoreValues, "redis">, env: Io["env"]): string | undefined {
  const url = values.redis ?? env["SLUICE_REDIS_URL"];
  if (url === "" && values.redis !== undefined) {
    throw new UsageError("--redis needs a URL, such as redis://127.0.0.1:6379");
  }
  return url === "" ? undefined : url;
}

/** As `redisUrl`, for commands that make no sense on the memory of a process that has just begun. */
export function requiredRedisUrl(values: Pick<StoreValues, "redis">, env: Io["env"]): string {
  const url = redisUrl(values, env);
  if (url !== undefined) return url;
  throw new UsageError(
    "a store outside this process is needed: keys in memory exist only in the process that counts them." +
      "\nGive --redis URL or set SLUICE_REDIS_URL",
  );
}

/** Connects; the client is loaded only here, because a store in memory needs none. */
export async function connect(url: string, values: Pick<StoreValues, "cluster">): Promise<Store> {
  const { RedisStore } = await import("sluice/redis");
  return RedisStore.connect(url, { cluster: values.cluster });
}
