/** Plays scenarios and holds what they leave in Redis to the golden file. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { startRedis } from "../../../../scripts/redis-server.mjs";
import { type Pace, play, type Scenario } from "./scenarios.js";
import { type Library, type Stored, type StoredKey, World } from "./world.js";

/** A key as the file has it. */
export type GoldenKey = Omit<StoredKey, "ttlMs"> & { readonly ttlMs: number | string };
/** By the key's name. */
export type GoldenKeys = Readonly<Record<string, GoldenKey>>;
/** By scenario, and by whether its calls were made one after another or all in one tick. */
export type Golden = Readonly<Record<string, Readonly<Record<Pace, GoldenKeys>>>>;

export const PACES: readonly Pace[] = ["lone", "burst"];
export const goldenFile: string = fileURLToPath(new URL("./golden.json", import.meta.url));

export function readGolden(): Golden {
  return JSON.parse(readFileSync(goldenFile, "utf8")) as Golden;
}

/** A run tells times to live within a millisecond or two; some more, each within another one, tell them exactly. */
const ATTEMPTS = 200;

export interface Recorder {
  /** What is stored; a time to live that the golden one explains is shown as that one. */
  readonly observe: (scenario: Scenario, pace: Pace, golden: GoldenKeys) => Promise<GoldenKeys>;
  /** What is stored, with every time to live known to the millisecond. */
  readonly record: (scenario: Scenario, pace: Pace) => Promise<GoldenKeys>;
  readonly end: () => Promise<void>;
}

/** Records what `library` writes, on a server of its own. */
export async function startRecorder(library: Library): Promise<Recorder> {
  const server = await startRedis();
  const redis = new Redis(server.url);
  const storedBy = async (scenario: Scenario, pace: Pace): Promise<Stored> => {
    await redis.flushall();
    const world = new World(library, redis);
    try {
      await play(world, scenario(world), pace);
      return await world.read();
    } finally {
      await world.end();
    }
  };
  return {
    observe: async (scenario, pace, golden) => {
      const stored = await storedBy(scenario, pace);
      return withTtls(stored, ([least, most], name) => {
        const expected = golden[name]?.ttlMs;
        const isIt = typeof expected === "number" && expected >= least && expected <= most;
        return isIt ? expected : `${least} to ${most}`;
      });
    },
    record: async (scenario, pace) => {
      let stored = await storedBy(scenario, pace);
      for (let i = 1; !isExact(stored); i++) {
        if (i === ATTEMPTS) throw new Error(`${ATTEMPTS} runs did not tell the times to live`);
        stored = narrowed(stored, await storedBy(scenario, pace));
      }
      return withTtls(stored, ([ms]) => ms);
    },
    end: async () => {
      await redis.quit();
      await server.stop();
    },
  };
}

function withTtls(
  stored: Stored,
  ttlOf: (ttlMs: StoredKey["ttlMs"], name: string) => number | string,
): GoldenKeys {
  return Object.fromEntries(
    Object.entries(stored).map(([name, key]) => [name, { ...key, ttlMs: ttlOf(key.ttlMs, name) }]),
  );
}

const isExact = (stored: Stored): boolean =>
  Object.values(stored).every(({ ttlMs: [least, most] }) => least === most);

/** What two runs of a scenario say together. */
function narrowed(stored: Stored, again: Stored): Stored {
  const merged = Object.entries(stored).map(([name, key]) => {
    const other = again[name];
    if (JSON.stringify(other?.value) !== JSON.stringify(key.value)) {
      throw new Error(`${name} was not the same in two runs`);
    }
    const [[least, most], [atLeast, atMost]] = [key.ttlMs, (other as StoredKey).ttlMs];
    const ttlMs: StoredKey["ttlMs"] = [Math.max(least, atLeast), Math.min(most, atMost)];
    return [name, { ...key, ttlMs }] as const;
  });
  return Object.fromEntries(merged);
}
