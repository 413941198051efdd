import { createClient, createCluster } from "redis";
import { RedisStore } from "sluice/redis";

const url = process.env["REDIS_URL"] ?? "";
const client = createClient({ url });
const subscriber = client.duplicate();
await client.connect();
await new RedisStore({ client, subscriber }).close();
await client.disconnect();

export const onCluster = (): RedisStore =>
  new RedisStore({ client: createCluster({ rootNodes: [{ url }] }), partitions: 64 });
