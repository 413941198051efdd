/**
 * Which node of a Cluster decides on a slot, as the client knows it. Read anew for each call, from the
 * table that the client keeps up to date itself.
 */

/** Address of a slot's master, "host:port"; "" if the client does not know it. */
export type NodeOf = (slot: number) => string;

/** ioredis and iovalkey: addresses by slot, the master's first. */
interface IoRedisCluster {
  readonly isCluster?: unknown;
  readonly slots?: readonly (readonly string[] | undefined)[];
}
/** node-redis. */
interface NodeRedisCluster {
  readonly nodeByAddress?: unknown;
  readonly slots?: readonly ({ readonly master: { readonly address: string } } | undefined)[];
}

/** Undefined for a client that is none of a Cluster, or does not show its table. */
export function nodesOf(client: unknown): NodeOf | undefined {
  if (typeof client !== "object" || client === null) return undefined;
  if ((client as IoRedisCluster).isCluster === true) {
    const { slots } = client as IoRedisCluster;
    if (!Array.isArray(slots)) return undefined;
    return (slot) => (client as IoRedisCluster).slots?.[slot]?.[0] ?? "";
  }
  if ((client as NodeRedisCluster).nodeByAddress !== undefined) {
    return (slot) => (client as NodeRedisCluster).slots?.[slot]?.master.address ?? "";
  }
  return undefined;
}
