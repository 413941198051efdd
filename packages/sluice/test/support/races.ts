/** What races need: a Redis, the command line as it is installed, and files for logs. */
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createClient } from "redis";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { buildProgram } from "./built.js";

export interface Races {
  readonly redisUrl: string;
  /** The program `sluice`. */
  readonly cli: string;
  /** The library that it runs on, for programs of a test's own. */
  readonly dist: string;
  /** The path of a file that is not there yet. */
  readonly newFile: () => string;
  /** Keys must be fresh for an audit. */
  readonly forgetKeys: () => Promise<void>;
  readonly end: () => Promise<void>;
}

export async function startRaces(): Promise<Races> {
  const [redis, built] = await Promise.all([startRedis(), buildProgram(["redis"])]);
  const client = createClient({ url: redis.url });
  await client.connect();
  let files = 0;
  return {
    redisUrl: redis.url,
    cli: built.cli,
    dist: join(built.directory, "dist"),
    newFile: () => {
      files += 1;
      return join(built.directory, `log-${files}.jsonl`);
    },
    forgetKeys: async () => void (await client.flushAll()),
    end: async () => {
      client.destroy();
      await redis.stop();
      built.remove();
    },
  };
}

/** As `cat` does. */
export async function concatenate(files: readonly string[], to: string): Promise<string> {
  for (const file of files) {
    await pipeline(createReadStream(file), createWriteStream(to, { flags: "a" }));
  }
  return to;
}
