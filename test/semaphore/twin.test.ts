/** The script in Redis does on any trace exactly what the pure kernel does, and leaves the same behind. */
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { executeSemaphore, freshState, type SemaphoreState } from "../../src/semaphore/kernel.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { Player, type Step, traces } from "./traces.js";

const START_MS = 1_800_000_000_000;
let redis: Redis;
let keys = 0;

beforeAll(() => {
  redis = new Redis(inject("redisUrl"));
});
afterAll(async () => void (await redis.quit()));

/** All that is stored of a semaphore, as text. */
async function dump(base: string): Promise<unknown> {
  const set = (name: string): Promise<string[]> =>
    redis.zrange(`${base}!${name}`, 0, "-1", "WITHSCORES");
  const members = await redis.hgetall(base);
  return { members, holders: await set("h"), queue: await set("q"), waits: await set("w") };
}

function picture(state: SemaphoreState): unknown {
  const flat = (set: SemaphoreState["queue"]): string[] =>
    [...set].flatMap(({ id, score }) => [id, String(score)]);
  const { limit, counter, held, expiryMs } = state;
  const sizes = [state.holders.size, state.queue.size];
  const numbers = ["1", limit, counter, held, expiryMs, ...sizes];
  const members: Record<string, string> = {};
  if (expiryMs > 0) members["#"] = numbers.join(" ");
  for (const [id, { weight, fence, channel }] of state.members) {
    members[id] = `${weight} ${fence} ${channel}`;
  }
  return {
    members,
    holders: flat(state.holders),
    queue: flat(state.queue),
    waits: flat(state.waits),
  };
}

async function play(steps: readonly Step[]): Promise<void> {
  keys += 1;
  const place = { space: `twin.${process.pid}:semaphore`, id: String(keys) };
  const clock = new ManualClock(START_MS);
  const { semaphores } = new RedisStore({ client: redis, clock, subscriber: false });
  const state = freshState();
  const player = new Player(START_MS * 1e3);
  for (const step of steps) {
    const command = player.commandOf(step);
    clock.set(player.nowUs);
    const expected = executeSemaphore(state, command, player.nowUs, []);
    const actual = await semaphores.execute(place, command);
    expect(actual).toEqual(expected);
    player.learn(command, expected);
  }
  const base = `${place.space}:{${place.id}}`;
  expect(await dump(base)).toEqual(picture(state));
  for (const key of await redis.keys(`${base.replaceAll(/[{}]/g, "?")}*`)) {
    expect(await redis.pttl(key), key).toBeGreaterThan(0);
    await redis.del(key);
  }
}

test("on random traces", async () => {
  await fc.assert(fc.asyncProperty(traces(), play), { numRuns: 300 });
});
