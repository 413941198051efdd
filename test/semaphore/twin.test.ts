/** The script in Redis does on any trace exactly what the pure kernel does, wakes the same, and leaves the same behind. */
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import {
  executeSemaphore,
  freshState,
  type SemaphoreState,
  type Wake,
} from "../../src/semaphore/kernel.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { Player, type Step, traces } from "./traces.js";

const START_MS = 1_800_000_000_000;
const CHANNELS = `twin.${process.pid}.`;
let redis: Redis;
let listener: Redis;
let keys = 0;

beforeAll(async () => {
  redis = new Redis(inject("redisUrl"));
  listener = new Redis(inject("redisUrl"));
  listener.on("pmessage", (_, channel: string, text: string) => heard.push({ channel, text }));
  await listener.psubscribe(`${CHANNELS}*`);
});
afterAll(() => Promise.all([redis.quit(), listener.quit()]));

interface Message {
  readonly channel: string;
  readonly text: string;
}

/** What was published since the last trace. */
let heard: Message[] = [];

async function hear(): Promise<Message[]> {
  const end = { channel: `${CHANNELS}end`, text: String(keys) };
  await redis.publish(end.channel, end.text);
  await vi.waitFor(() => expect(heard.at(-1)).toEqual(end), { interval: 1, timeout: 30_000 });
  const messages = heard.slice(0, -1);
  heard = [];
  return messages;
}

const messageOf = ({ channel, id, fence, untilUs }: Wake): Message => ({
  channel,
  text: `${id} ${fence} ${untilUs}`,
});

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
  heard = [];
  const place = { space: `twin.${process.pid}:semaphore`, id: String(keys) };
  const clock = new ManualClock(START_MS);
  const { semaphores } = new RedisStore({ client: redis, clock, subscriber: false });
  const state = freshState();
  const player = new Player(START_MS * 1e3, CHANNELS);
  const wakes: Wake[] = [];
  for (const step of steps) {
    const command = player.commandOf(step);
    clock.set(player.nowUs);
    const expected = executeSemaphore(state, command, player.nowUs, wakes);
    const actual = await semaphores.execute(place, command);
    expect(actual).toEqual(expected);
    player.learn(command, expected);
  }
  expect(await hear()).toEqual(wakes.map(messageOf));
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
