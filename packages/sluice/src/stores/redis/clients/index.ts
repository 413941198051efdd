/** The clients that Sluice knows, and how one is recognized. */
import { InvalidOptionError, StoreUnavailableError } from "../../../core/errors.js";
import { withoutText } from "../../../core/shown.js";
import { withoutCommand } from "./bare-error.js";
import { bun, type BunLike } from "./bun.js";
import type {
  AskScript,
  ClientAdapter,
  RefusalReason,
  RunScript,
  SubscriptionAdapter,
} from "./client.js";
import { glide, type GlideLike } from "./glide.js";
import { ioredis, type IoRedisLike } from "./ioredis.js";
import { nodeRedis, type NodeRedisLike } from "./node-redis.js";
import type { ConnectablePackage } from "./own-connection.js";
import { rawFunction } from "./raw-function.js";
import { upstash, type UpstashLike } from "./upstash.js";

/** Any of the clients that Sluice knows, or a function of one's own. */
export type RedisClientLike =
  | NodeRedisLike
  | IoRedisLike
  | UpstashLike
  | GlideLike
  | BunLike
  | RunScript;

/** In the order of detection, because some clients have the methods of a later one too. */
const CLIENTS: readonly ClientAdapter[] = [glide, nodeRedis, ioredis, upstash, bun, rawFunction];

/** The packages that a RedisStore can open a connection with, the preferred one first. */
export const connectablePackages: readonly ConnectablePackage[] = CLIENTS.flatMap(
  ({ connectable }) => connectable ?? [],
);

/** @throws InvalidOptionError if no client has this shape. */
export function adapterOf(client: unknown): ClientAdapter {
  const adapter = CLIENTS.find((each) => each.fits(client));
  if (adapter !== undefined) return adapter;
  throw new InvalidOptionError(
    "client",
    withoutText(client),
    "a client of redis, ioredis, iovalkey, @valkey/valkey-glide, @upstash/redis or Bun, " +
      "or a function (sha, source, keys, args) => Promise",
  );
}

/** How to run scripts through `client`. */
export function scriptRunner(client: object): RunScript {
  return promising(adapterOf(client).runnerOf(client));
}

/** The same with a promise. */
export function promising(ask: AskScript): RunScript {
  return (...script) =>
    new Promise((resolve, reject) => {
      ask(...script, resolve, reject);
    });
}

/** How `client` subscribes; undefined for one that cannot. */
export function subscriptionsOf(client: unknown): SubscriptionAdapter | undefined {
  for (const { subscriptions } of CLIENTS) if (subscriptions?.fits(client)) return subscriptions;
  return undefined;
}

/** The refusal that any of the clients words in its own way. A raw function may pass on the error of any. */
export function refusalWordedByClient(error: Error): RefusalReason | undefined {
  for (const adapter of CLIENTS) {
    const reason = adapter.refusalIn?.(error);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** A script's failure or, if the client's queue was full, an error that says so: the script never reached the server. */
export function asScriptFailure(error: unknown): Error {
  if (!(error instanceof Error)) return new StoreUnavailableError(String(error));
  if (!CLIENTS.some((adapter) => adapter.saysQueueIsFull?.(error) === true)) {
    return withoutCommand(error);
  }
  const message = `the client has as many commands under way as it takes: ${error.message}`;
  return new StoreUnavailableError(message, { busy: true, cause: error });
}
