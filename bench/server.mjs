/** The Redis server of a section, and what it tells about itself. */
import { Redis } from "ioredis";
import { startRedis } from "../scripts/redis-server.mjs";

/** @typedef {{ url: string, admin: Redis }} Server */

const SAMPLED_KEYS = 500;

/**
 * Runs `use` with a new server.
 * @template R
 * @param {(server: Server) => Promise<R>} use
 */
export async function withServer(use) {
  const redis = await startRedis();
  const admin = new Redis(redis.url);
  try {
    return { server: await describe(admin), result: await use({ url: redis.url, admin }) };
  } finally {
    admin.disconnect();
    await redis.stop();
  }
}

/** @param {Redis} admin */
async function describe(admin) {
  const info = await admin.info("server");
  const field = (/** @type {string} */ name) => new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1];
  const valkey = field("valkey_version");
  return valkey === undefined ? `Redis ${field("redis_version")}` : `Valkey ${valkey}`;
}

/**
 * Mean of a sample of the keys that the last contender left; 0 if it wrote none.
 * @param {Redis} admin
 */
export async function bytesPerKey(admin) {
  const sizes = [];
  for (let i = 0; i < SAMPLED_KEYS; i++) {
    const key = await admin.randomkey();
    // Expired between the two commands: not a size.
    const bytes = key === null ? null : await admin.memory("USAGE", key, "SAMPLES", 0);
    if (bytes !== null) sizes.push(bytes);
  }
  return sizes.reduce((sum, bytes) => sum + bytes, 0) / Math.max(1, sizes.length);
}

/** Commands that are ours, not a contender's. */
const OURS = /^(info|config|ping)/;
const SCRIPTS = /^(eval|evalsha)$/;

/** @typedef {{ commandsUs: number, scriptsUs: number, cpuUs: number }} ServerTime */

/**
 * What the server has spent since it started: in all commands and in scripts, by its own count, and
 * altogether, with reading, parsing and writing.
 * @param {{ info(section: string): Promise<string> }} client
 * @returns {Promise<ServerTime>}
 */
export async function serverTime(client) {
  const time = { commandsUs: 0, scriptsUs: 0, cpuUs: 0 };
  const stats = await client.info("commandstats");
  for (const [, name = "", us] of stats.matchAll(/^cmdstat_([^:]+):calls=\d+,usec=(\d+)/gm)) {
    if (OURS.test(name)) continue;
    time.commandsUs += Number(us);
    if (SCRIPTS.test(name)) time.scriptsUs += Number(us);
  }
  const cpu = await client.info("cpu");
  for (const [, seconds] of cpu.matchAll(/^used_cpu_(?:user|sys):([\d.]+)/gm)) {
    time.cpuUs += Number(seconds) * 1e6;
  }
  return time;
}

/**
 * What was spent between two looks.
 * @param {ServerTime} before
 * @param {ServerTime} after
 */
export function serverTimeBetween(before, after) {
  const scriptsUs = after.scriptsUs - before.scriptsUs;
  return {
    // Scripts have the commands that they call in their time, and those count once more separately.
    commandUs: scriptsUs > 0 ? scriptsUs : after.commandsUs - before.commandsUs,
    cpuUs: after.cpuUs - before.cpuUs,
  };
}
