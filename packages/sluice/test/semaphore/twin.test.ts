/** The script in Redis does on any trace exactly what the pure kernel does, notifications the same, and leaves the same behind. */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import {
  executeSemaphore,
  type Notification,
  SEMAPHORE_VERBS,
  type SemaphoreCommand,
} from "../../src/algorithms/semaphore/kernel.js";
import { freshState, type SemaphoreState } from "../../src/algorithms/semaphore/state.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { keyNameOf } from "../../src/core/identity.js";
import { ManualClock } from "../../src/testing/index.js";
import { eventually } from "../support/eventually.js";
import { runs } from "../support/runs.js";
import { aStep, Player, type Step, traces } from "./traces.js";

const START_MS = 1_800_000_000_000;
const CHANNELS = `twin.${process.pid}.`;
/** Of scores, for each kind of number: see semaphore.lua. */
const BAND = 2 ** 52;
const WEIGHTS: Readonly<Record<string, number>> = { "a.2": 2, "b.1": 2, "c.1": 3 };
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

/** What a group of commands of one tick is to the kernel: one after another, but that releases give back before anybody is handed a place. */
function asExecuted(commands: readonly SemaphoreCommand[]): readonly SemaphoreCommand[] {
  const executed: SemaphoreCommand[] = [];
  for (const command of commands) {
    const { entries, ...terms } = command;
    const last = executed.at(-1);
    const { entries: before = [], ...lastTerms } = last ?? {};
    const isSame = isDeepStrictEqual(terms, lastTerms);
    if (isSame && command.verb === SEMAPHORE_VERBS.release) {
      executed[executed.length - 1] = { ...command, entries: [...before, ...entries] };
    } else executed.push(command);
  }
  return executed;
}

/** As in a semaphore, an acquisition has one weight. */
function withOwnWeights(step: Step): Step {
  const entries = step.entries.map((entry) => ({ ...entry, weight: WEIGHTS[entry.id] ?? 1 }));
  return { ...step, entries };
}

function likeFirst([first]: readonly { readonly step: Step }[], step: Step): Step {
  const { verb, limit, terms, channel } = first?.step ?? step;
  const isAsking = ["setLimit", "inspect"].includes(verb);
  if (isAsking || step.entries.length === 0) return { ...step, limit, terms, channel };
  return { ...step, verb, limit, terms, channel };
}

/** Commands on two keys, each group in one tick. */
async function playTogether(groups: readonly (readonly Step[])[]): Promise<void> {
  keys += 1;
  const keyspace = `twin.${process.pid}:semaphore`;
  const clock = new ManualClock(START_MS);
  const { semaphores } = new RedisStore({ client: redis, clock, subscriber: false });
  const player = new Player(START_MS * 1e3, CHANNELS);
  const sides = ["a", "b"].map((side) => ({ id: `${keys}${side}`, state: freshState() }));
  for (const group of groups) {
    const commands = group.map((step, i) =>
      player.commandOf({ ...step, advanceUs: i === 0 ? step.advanceUs : 0 }),
    );
    clock.set(player.nowUs);
    const expected = sides.map(({ state }) =>
      asExecuted(commands).flatMap(
        (command) => executeSemaphore(state, command, player.nowUs, []).entries,
      ),
    );
    const asked = commands.flatMap((command) =>
      sides.map(({ id }) => semaphores.execute({ keyspace, id }, command, 0)),
    );
    const answers = await Promise.all(asked);
    for (const i of sides.keys()) {
      const own = answers.filter((_, at) => at % sides.length === i);
      expect(own.flatMap(({ entries }) => entries)).toEqual(expected[i]);
      expect(own.map(({ entries }) => entries.length)).toEqual(
        commands.map(({ entries }) => entries.length),
      );
      if (i > 0) continue;
      own.forEach((answer, at) => {
        player.learn(commands[at] as SemaphoreCommand, answer);
      });
    }
  }
  for (const { id, state } of sides) {
    const key = keyNameOf(keyspace, id);
    expect(await dump(key)).toEqual(picture(state));
    await redis.del(key);
  }
}

test("on random traces of which some commands come in one tick", async () => {
  // Most of a group do the same under the same terms, or few would be joined.
  const like = fc.record({ step: aStep, isLike: fc.constantFrom(true, true, true, false) });
  const group = fc
    .array(like, { minLength: 1, maxLength: 8 })
    .map((made) => made.map(({ step, isLike }) => (isLike ? likeFirst(made, step) : step)))
    .map((made) => made.map(withOwnWeights));
  const groups = fc.array(group, { minLength: 1, maxLength: 8 });
  await fc.assert(fc.asyncProperty(groups, playTogether), { numRuns: runs(200) });
});

test("on random traces", async () => {
  await fc.assert(fc.asyncProperty(traces(), play), { numRuns: runs(300) });
});
