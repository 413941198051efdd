/** A master, a replica, and three Sentinels that agree on which is which. */
import { expect } from "vitest";
import { startRedis } from "../../../../../scripts/redis-server.mjs";
import { eventually } from "../../support/eventually.js";
import { commandTo, startVictim, type Victim } from "../../support/servers.js";
import type { SentinelAddress } from "./drivers.js";

export interface Watched extends SentinelAddress {
  readonly master: Victim;
  readonly replica: Victim;
  /** The port of the master that the Sentinels name. */
  masterPort(): Promise<number>;
  stop(): Promise<void>;
}

const NAME = "limits";
const SENTINELS = 3;
const QUORUM = 2;
/** A master that is silent for so long is down. */
const DOWN_AFTER_MS = 3000;

export interface SentinelOptions {
  /** What the master is started with. */
  readonly masterArgs?: readonly string[];
  /** Opens a port that leads to the master's, by which its replica and the Sentinels know it. */
  readonly behind?: (port: number) => Promise<number>;
  /** Default: 3,000. */
  readonly downAfterMs?: number;
}

export async function startSentinels(options: SentinelOptions = {}): Promise<Watched> {
  const { masterArgs = [], behind, downAfterMs = DOWN_AFTER_MS } = options;
  const master = await startVictim({ args: ["--repl-diskless-sync-delay", "0", ...masterArgs] });
  const masterPort = (await behind?.(master.port)) ?? master.port;
  if (masterPort !== master.port) {
    await master.command("CONFIG", "SET", "replica-announce-port", String(masterPort));
  }
  const replicaOf = ["--replicaof", "127.0.0.1", String(masterPort)];
  const replica = await startVictim({ args: replicaOf });
  const config = [
    `sentinel monitor ${NAME} 127.0.0.1 ${masterPort} ${QUORUM}`,
    `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${NAME} 3000`,
  ].join("\n");
  const sentinels = await Promise.all(
    Array.from({ length: SENTINELS }, () => startRedis({ config, args: ["--sentinel"] })),
  );
  const ports = sentinels.map(({ port }) => port);
  // They say hello, look and correct what they see more often: from Redis 7 on, else it takes some seconds.
  const haste = ["PUBLISH-PERIOD", "300", "INFO-PERIOD", "1000"];
  for (const port of ports) await commandTo(port, ["SENTINEL", "DEBUG", ...haste]).catch(() => {});

  /** Everything that a Sentinel knows of the master, by name. */
  const known = async (port: number): Promise<Map<string, string>> => {
    const flat = (await commandTo(port, ["SENTINEL", "MASTER", NAME])) as string[];
    return new Map(
      Array.from({ length: flat.length / 2 }, (_, i) => [
        flat[2 * i] as string,
        flat[2 * i + 1] as string,
      ]),
    );
  };
  await eventually(async () => {
    const replication = String(await replica.command("INFO", "replication"));
    expect(replication).toMatch(/master_link_status:up/);
    for (const port of ports) {
      const facts = await known(port);
      const seen = [facts.get("num-slaves"), facts.get("num-other-sentinels"), facts.get("flags")];
      expect(seen).toEqual(["1", String(SENTINELS - 1), "master"]);
    }
  });
  return {
    name: NAME,
    ports,
    master,
    replica,
    masterPort: async () => Number((await known(ports[0] as number)).get("port")),
    stop: async () => {
      await Promise.all([...sentinels, master, replica].map((server) => server.stop()));
    },
  };
}
