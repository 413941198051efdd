/** What one process sees of a semaphore that several contend for; the clock is one for all of them. */
import { setTimeout as sleep } from "node:timers/promises";
import { openClient } from "./clients.mjs";
import { semaphoreContenders } from "./contenders/index.mjs";

/**
 * @typedef {object} Job
 * @property {string} contender
 * @property {import("./clients.mjs").ClientKind} client
 * @property {string} url
 * @property {number} limit
 * @property {number} processes that contend
 * @property {number} callers in this process
 * @property {readonly [least: number, most: number]} holdMs
 * @property {number} pauseMs
 * @property {number} ms from when all processes have connected
 */
/**
 * @typedef {object} Seen
 * @property {number} fromUs
 * @property {number} endsAtUs
 * @property {number[]} startsUs
 * @property {number[]} releasesUs
 * @property {number[]} pingsUs how long each took
 */

/** Of the machine: processes can compare it. */
const nowUs = () => Number(process.hrtime.bigint() / 1000n);

/**
 * Every caller acquires a permit, keeps it for a while, pauses, and gets in line again. Just before it releases the permit
 * it sends a PING by the same connection, to compare with.
 * @param {Job} job
 * @returns {Promise<Seen>}
 */
export async function semaphoreLoad(job) {
  const { contender, client: kind, url, limit, callers, holdMs, pauseMs, ms } = job;
  const entry = semaphoreContenders[contender];
  if (entry === undefined) throw new Error(`no such contender: ${contender}`);
  const client = await openClient(kind, url);
  const semaphore = (await entry()).open(client, limit);
  const [least, most] = holdMs;
  await everybody(client, job.processes);
  const fromUs = nowUs();
  const endsAtUs = fromUs + ms * 1e3;
  /** @type {Seen} */
  const seen = { fromUs, endsAtUs, startsUs: [], releasesUs: [], pingsUs: [] };
  const ping = () => (client.kind === "ioredis" ? client.raw.ping() : client.raw.ping());
  const call = async () => {
    while (nowUs() < endsAtUs) {
      const release = await semaphore.acquire();
      seen.startsUs.push(nowUs());
      await sleep(least + Math.random() * (most - least));
      const pingedUs = nowUs();
      await ping();
      const releasedUs = nowUs();
      seen.pingsUs.push(releasedUs - pingedUs);
      seen.releasesUs.push(releasedUs);
      await release();
      await sleep(pauseMs);
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  await semaphore.close();
  await client.close();
  return seen;
}

/**
 * Waits until `processes` processes have come here.
 * @param {import("./clients.mjs").Client} client
 * @param {number} processes
 */
async function everybody({ raw }, processes) {
  await raw.incr("ready");
  while (Number(await raw.get("ready")) < processes) await sleep(5);
}
