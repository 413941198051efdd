/** The script in Redis does on any trace exactly what the pure kernel does, notifications the same, and leaves the same behind. */
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { executeSemaphore, type Notification } from "../../src/algorithms/semaphore/kernel.js";
import { freshState, type SemaphoreState } from "../../src/algorithms/semaphore/state.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { keyNameOf } from "../../src/core/identity.js";
import { ManualClock } from "../../src/testing/index.js";
import { eventually } from "../support/eventually.js";
import { runs } from "../support/runs.js";
import { Player, type Step, traces } from "./traces.js";

const START_MS = 1_800_000_000_000;
const CHANNELS = `twin.${process.pid}.`;
/** Of scores, for each kind of number: see semaphore.lua. */
const BAND = 2 ** 52;
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
  await eventually(() => expect(heard.at(-1)).toEqual(end), 1);
  const messages = heard.slice(0, -1);
  heard = [];
  return messages;
}

const messageOf = ({ channel, id, fence, untilUs }: Notification): Message => ({
  channel,
  text: `${id} ${fence} ${untilUs}`,
});

/** All that is stored of a semaphore, as the kernel has it. */
async function dump(key: string): Promise<unknown> {
  const flat = await redis.zrange(key, 0, "-1", "WITHSCORES");
  const sets: Record<string, [number, string][]> = {
    queue: [],
    waits: [],
    holders: [],
    fences: [],
  };
  const told: Record<string, string> = {};
  let state = "";
  for (let i = 0; i < flat.length; i += 2) {
    const [text = "", score] = flat.slice(i, i + 2);
    if (score === "-inf") {
      state += text;
      continue;
    }
    const band = Math.floor(Number(score) / BAND);
    const name = ["queue", "waits", "holders", "fences"][band + 2] ?? "";
    const number = Number(score) - band * BAND;
    if (!text.startsWith("d")) sets[name]?.push([number, text]);
    else told[`${name} ${number}`] = text;
  }
  return { state, sets, told };
}

function picture(state: SemaphoreState): unknown {
  const { limit, counter, held, expiryMs, holders, queue, waits, members } = state;
  const numbers = ["#1", limit, counter, held, expiryMs, holders.size, queue.size];
  const all = (set: SemaphoreState["queue"], mark: string): [number, string][] =>
    [...set].map(({ id, score }) => [score, mark + id]);
  const fences: [number, string][] = [];
  const told: Record<string, string> = {};
  for (const [id, { weight, fence, channel }] of members) {
    if (fence > 0) fences.push([fence, `t${id}`]);
    const place = fence > 0 ? `fences ${fence}` : `queue ${queue.score(id)}`;
    told[place] = `d${weight} ${id} ${channel}`;
  }
  return {
    state: expiryMs > 0 ? numbers.join(" ") : "",
    sets: {
      queue: all(queue, "t"),
      waits: all(waits, "e"),
      holders: all(holders, "e"),
      fences: fences.sort(([a], [b]) => a - b),
    },
    told,
  };
}

async function play(steps: readonly Step[]): Promise<void> {
  keys += 1;
  heard = [];
  const place = { keyspace: `twin.${process.pid}:semaphore`, id: String(keys) };
  const clock = new ManualClock(START_MS);
  const { semaphores } = new RedisStore({ client: redis, clock, subscriber: false });
  const state = freshState();
  const player = new Player(START_MS * 1e3, CHANNELS);
  const notifications: Notification[] = [];
  for (const step of steps) {
    const command = player.commandOf(step);
    clock.set(player.nowUs);
    const expected = executeSemaphore(state, command, player.nowUs, notifications);
    const actual = await semaphores.execute(place, command, 0);
    expect(actual).toEqual(expected);
    player.learn(command, expected);
  }
  expect(await hear()).toEqual(notifications.map(messageOf));
  const key = keyNameOf(place.keyspace, place.id);
  expect(await dump(key)).toEqual(picture(state));
  if (state.expiryMs > 0) expect(await redis.pttl(key)).toBeGreaterThan(0);
  expect(await redis.del(key)).toBe(state.expiryMs > 0 ? 1 : 0);
}

test("on random traces", async () => {
  await fc.assert(fc.asyncProperty(traces(), play), { numRuns: runs(300) });
});
