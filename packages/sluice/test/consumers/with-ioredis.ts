import { Cluster, Redis } from "ioredis";
import { RedisStore } from "sluice/redis";

const client = new Redis(process.env["REDIS_URL"] ?? "");
const subscriber = client.duplicate();
await new RedisStore({ client, subscriber }).close();
client.disconnect();
subscriber.disconnect();

export const onCluster = (): RedisStore =>
  new RedisStore({ client: new Cluster([{ host: "node-1", port: 6379 }]), partitions: 64 });
