/** A real server that faults can be done to: killed, suspended, and started again on the same port. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { TestContext } from "vitest";
import { type RedisOptions, startRedis } from "../../../../scripts/redis-server.mjs";

export interface Victim {
  readonly port: number;
  readonly url: string;
  /** SIGKILL: nothing is saved, nobody is told. */
  kill(): Promise<void>;
  /** After `kill`: on the same port, with other options if need be. */
  restart(options?: RedisOptions): Promise<void>;
  /** SIGSTOP: connections stay open and are accepted, nothing is answered. */
  suspend(): void;
  /** SIGCONT. */
  resume(): void;
  /** Any command, through a connection of its own. */
  command(...command: readonly [string, ...string[]]): Promise<unknown>;
  stop(): Promise<void>;
}

/** Commands that cause or end a fault must get through to a server that refuses others. */
export async function commandTo(
  port: number,
  [name, ...args]: readonly [string, ...string[]],
): Promise<unknown> {
  const client = new Redis(port, "127.0.0.1", {
    enableReadyCheck: false,
    retryStrategy: null,
    lazyConnect: true,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    return await client.call(name, ...args);
  } finally {
    client.disconnect();
  }
}

export async function startVictim(options: RedisOptions = {}): Promise<Victim> {
  let server = await startRedis(options);
  const { port, url } = server;
  return {
    port,
    url,
    kill: async () => {
      process.kill(server.pid, "SIGKILL");
      await server.stop();
    },
    restart: async (other = {}) => {
      server = await startRedis({ ...options, ...other, port });
    },
    suspend: () => {
      process.kill(server.pid, "SIGSTOP");
    },
    resume: () => {
      process.kill(server.pid, "SIGCONT");
    },
    command: (...command) => commandTo(port, command),
    stop: () => server.stop(),
  };
}

/** A Redis that knows after a kill what it knew before, for one test. */
export async function startKeeper({ onTestFinished }: TestContext): Promise<Victim> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-kept-"));
  onTestFinished(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const kept = ["--dir", directory, "--appendonly", "yes", "--appendfsync", "always"];
  const victim = await startVictim({ args: kept });
  onTestFinished(() => victim.stop());
  return victim;
}
