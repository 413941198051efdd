/** A slot of a real Cluster on its way from one master to another, key by key. */
import { slotOf } from "../../src/stores/redis/slot.js";
import type { ClusterNode, TestCluster } from "./cluster.js";

export interface SlotMove {
  /** The keys that have not moved yet. */
  keys(): Promise<readonly string[]>;
  carry(key: string): Promise<unknown>;
  announce(): Promise<unknown>;
  /** Only now does the slot belong to its new master. */
  end(): Promise<void>;
  /** How often a node said that the keys of a script are not in one place. */
  tryAgains(): Promise<number>;
}

/**
 * Begins to move `slot` to another master, as `redis-cli --cluster reshard` does. `halfway`: the new master is not told
 * before `announce`, and sends back whom the old one sends to it.
 */
export async function beginMove(
  cluster: TestCluster,
  slot: number,
  { halfway = false } = {},
): Promise<SlotMove> {
  const from = cluster.masterOf(slot);
  const to = cluster.masters.find((node) => node !== from) as ClusterNode;
  const announce = (): Promise<unknown> =>
    to.command("CLUSTER", "SETSLOT", String(slot), "IMPORTING", from.id);
  if (!halfway) await announce();
  await from.command("CLUSTER", "SETSLOT", String(slot), "MIGRATING", to.id);
  return {
    announce,
    keys: async () =>
      (await from.command("CLUSTER", "GETKEYSINSLOT", String(slot), "100")) as string[],
    carry: (key) => from.command("MIGRATE", "127.0.0.1", String(to.port), key, "0", "5000"),
    end: async () => {
      const others = cluster.masters.filter((node) => node !== to);
      for (const node of [to, ...others]) {
        await node.command("CLUSTER", "SETSLOT", String(slot), "NODE", to.id);
      }
    },
    tryAgains: async () => {
      const stats = await Promise.all([from, to].map((node) => node.command("INFO", "errorstats")));
      return stats
        .map((text) => Number(/errorstat_TRYAGAIN:count=(\d+)/.exec(String(text))?.[1] ?? 0))
        .reduce((sum, count) => sum + count);
    },
  };
}

/** So many identities that share `slot`. */
export function identitiesIn(slot: number, count: number): readonly string[] {
  const found: string[] = [];
  for (let i = 0; found.length < count; i++) if (slotOf(`id:${i}`) === slot) found.push(`id:${i}`);
  return found;
}
