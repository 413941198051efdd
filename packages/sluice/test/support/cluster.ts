/** A real Cluster of three masters, with a replica each if asked for, on free ports of the loopback. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "./eventually.js";
import { startVictim, type Victim } from "./servers.js";

export interface ClusterNode extends Victim {
  /** What the other nodes call it. */
  readonly id: string;
}

export interface TestCluster {
  /** Of the masters. */
  readonly ports: readonly number[];
  readonly masters: readonly ClusterNode[];
  /** By the index of their master; none unless asked for. */
  readonly replicas: readonly ClusterNode[];
  /** The master that was given the slot in the beginning. */
  masterOf(slot: number): ClusterNode;
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** A replica for each master. */
  readonly replicas?: boolean;
  /** A node that is silent for so long is taken for dead. */
  readonly nodeTimeoutMs?: number;
  /** The slots of the living are served while those of a dead master wait for its replica; default true. */
  readonly partial?: boolean;
}

const SLOTS = 16_384;
const MASTERS = 3;
const SHARE = Math.ceil(SLOTS / MASTERS);

export async function startCluster({
  replicas = false,
  nodeTimeoutMs = 15_000,
  partial = true,
}: ClusterOptions = {}): Promise<TestCluster> {
  const args = ["--cluster-enabled", "yes", "--cluster-node-timeout", String(nodeTimeoutMs)];
  const coverage = ["--cluster-require-full-coverage", partial ? "no" : "yes"];
  // A replica takes over however long this machine kept it from hearing of its master.
  const willing = ["--cluster-replica-validity-factor", "0"];
  const directory = mkdtempSync(join(tmpdir(), "sluice-cluster-"));
  const victims = await Promise.all(
    Array.from({ length: replicas ? 2 * MASTERS : MASTERS }, (_, i) => {
      // Who is killed and comes back knows from there who it was.
      const file = ["--cluster-config-file", join(directory, `nodes-${i}.conf`)];
      return startVictim({ args: [...args, ...file, ...coverage, ...willing] });
    }),
  );
  const clients = victims.map(({ url }) => new Redis(url));
  const nodes = await Promise.all(
    victims.map(
      async (victim, i): Promise<ClusterNode> => ({
        ...victim,
        id: String(await clients[i]?.cluster("MYID")),
      }),
    ),
  );
  const masters = nodes.slice(0, MASTERS);
  await Promise.all(
    masters.map(async (_, i) => {
      const first = i * SHARE;
      const length = Math.min(SLOTS, first + SHARE) - first;
      await clients[i]?.cluster("ADDSLOTS", ...Array.from({ length }, (__, k) => first + k));
    }),
  );
  for (const { port } of nodes) await clients[0]?.cluster("MEET", "127.0.0.1", port);
  // Where part of the slots may be served without the others, "ok" says nothing of those.
  const known = new RegExp(
    `cluster_state:ok[^]*cluster_slots_assigned:${SLOTS}\\b[^]*cluster_known_nodes:${nodes.length}\\b`,
  );
  await allSay(clients, (client) => client.cluster("INFO"), known);
  const followers = clients.slice(MASTERS);
  for (const [i, client] of followers.entries()) {
    await client.cluster("REPLICATE", (masters[i] as ClusterNode).id);
  }
  await allSay(followers, (client) => client.info("replication"), /master_link_status:up/);
  for (const client of clients) client.disconnect();
  return {
    ports: masters.map(({ port }) => port),
    masters,
    replicas: nodes.slice(MASTERS),
    masterOf: (slot) => masters[Math.floor(slot / SHARE)] as ClusterNode,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
      rmSync(directory, { recursive: true });
    },
  };
}

/** Waits until every node answers so. */
async function allSay(
  clients: readonly Redis[],
  ask: (client: Redis) => Promise<unknown>,
  answer: RegExp,
): Promise<void> {
  await eventually(async () => {
    for (const client of clients) {
      const said = String(await ask(client));
      if (!answer.test(said)) throw new Error(said);
    }
  });
}
