/** A real Cluster of three masters on free ports of the loopback. */
import { Redis } from "ioredis";
import { vi } from "vitest";
import { startRedis } from "../../scripts/redis-server.mjs";

export interface TestCluster {
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

const SLOTS = 16_384;
const NODES = 3;

export async function startCluster(): Promise<TestCluster> {
  const servers = await Promise.all(
    Array.from({ length: NODES }, () => startRedis({ args: ["--cluster-enabled", "yes"] })),
  );
  const ports = servers.map(({ port }) => port);
  const nodes = servers.map(({ url }) => new Redis(url));
  const share = Math.ceil(SLOTS / NODES);
  await Promise.all(
    nodes.map((node, i) => {
      const first = i * share;
      const length = Math.min(SLOTS, first + share) - first;
      return node.cluster("ADDSLOTS", ...Array.from({ length }, (_, k) => first + k));
    }),
  );
  for (const port of ports) await nodes[0]?.cluster("MEET", "127.0.0.1", port);
  await vi.waitFor(
    async () => {
      for (const node of nodes) {
        const info = await node.cluster("INFO");
        if (!/cluster_state:ok[^]*cluster_known_nodes:3/.test(info)) throw new Error(info);
      }
    },
    { timeout: 30_000 },
  );
  for (const node of nodes) node.disconnect();
  return {
    ports,
    stop: async () => void (await Promise.all(servers.map((server) => server.stop()))),
  };
}
