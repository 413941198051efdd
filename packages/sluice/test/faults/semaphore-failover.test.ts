/** Semaphores with holders and waiters whose master dies, on a Cluster and behind Sentinels. */
import { setImmediate as inNextTurn } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Permit, Semaphore } from "../../src/index.js";
import { type RedisClientLike, RedisStore } from "../../src/stores/redis/index.js";
import { slotOf } from "../../src/stores/redis/slot.js";
import { startCluster } from "../support/cluster.js";
import { eventually } from "../support/eventually.js";
import {
  expectAsking,
  expectWoken,
  type HandOff,
  handOff,
  noteAsks,
} from "../support/hand-offs.js";
import type { Victim } from "../support/servers.js";
import { driverNames, drivers } from "./support/drivers.js";
import { startSentinels } from "./support/sentinel.js";

const NAME = "failing";
/** What the clients are on the servers, so that taking channels from them leaves the Sentinels theirs. */
const LOGIN = { username: "waiter", password: "of-this-test" };

function semaphoreOn(
  client: RedisClientLike,
  options: { name?: string; subscriber?: false; leaseDuration?: string } = {},
): Semaphore {
  const { subscriber, ...rest } = options;
  const store = new RedisStore({ client, ...(subscriber === false && { subscriber }) });
  const semaphore = new Semaphore({
    limit: 1,
    identity: "plain",
    name: NAME,
    timeout: "1s",
    ...rest,
    store,
  });
  onTestFinished(async () => {
    await semaphore.close();
    await store.close();
  });
  return semaphore;
}

interface Watch {
  readonly round: () => Promise<HandOff>;
  /** Until all clients are served. */
  readonly served: () => Promise<void>;
}

/** Hand-offs through one client, beside those of another. */
async function watch(open: () => Promise<RedisClientLike>): Promise<Watch> {
  const [client, other] = [await open(), await open()];
  const watched = { asking: noteAsks(client), semaphore: semaphoreOn(client) };
  const control = {
    asking: noteAsks(other),
    semaphore: semaphoreOn(other, { name: "control", subscriber: false }),
  };
  const spectator = semaphoreOn(await open(), { subscriber: false });
  return {
    round: () => handOff(watched, spectator, control),
    served: async () => {
      for (const semaphore of [watched.semaphore, control.semaphore, spectator]) {
        await eventually(() => semaphore.inspect("k"));
      }
    },
  };
}

/** Until the replica has all that the master has now: Redis replicates with a delay. */
async function replicated(master: Victim): Promise<void> {
  const info = async (pattern: RegExp): Promise<number> =>
    Number(pattern.exec(String(await master.command("INFO", "replication")))?.[1]);
  const written = await info(/master_repl_offset:(\d+)/);
  await eventually(async () =>
    expect(await info(/slave0:.*offset=(\d+)/)).toBeGreaterThanOrEqual(written),
  );
}

/** Each client finds the new master in its own time. */
function giveUp(permit: Permit): Promise<void> {
  return eventually(() => permit.release());
}

/**
 * A holder, two waiters and a death. Who holds goes on holding, for the replica knew of it, and both waiters get their
 * turns, one after the other; not always in order, for a client that finds the new master late may have lost its place.
 */
async function survive(
  open: () => Promise<RedisClientLike>,
  kill: () => Promise<void>,
): Promise<void> {
  const [one, other] = [semaphoreOn(await open()), semaphoreOn(await open())];
  const permit = await one.acquire("k");
  const fences = [permit.fencingToken];
  let holders = 1;
  const take = async (semaphore: Semaphore): Promise<void> => {
    const got = await semaphore.acquire("k");
    fences.push(got.fencingToken);
    holders += 1;
    expect(holders).toBe(1);
    await inNextTurn();
    holders -= 1;
    await giveUp(got);
  };
  const waiting = (count: number): Promise<void> =>
    eventually(async () =>
      expect(await one.inspect("k")).toMatchObject({ held: 1, waiting: count }),
    );
  const turns = Promise.all([other, one].map(take));
  turns.catch(() => {});
  await waiting(2);
  await kill();
  await eventually(async () => expect(await one.inspect("k").catch(() => "down")).toBe("down"));
  // Nobody is let in before the holder leaves.
  await waiting(2);
  expect(permit.lost.aborted).toBe(false);
  expect(fences).toHaveLength(1);
  holders -= 1;
  await giveUp(permit);
  await turns;
  expect(fences).toHaveLength(3);
  expect(fences).toEqual([...fences].sort((a, b) => (a < b ? -1 : 1)));
  // A client that sends again what was under way may bring an acquisition behind its own release: that permit is
  // nobody's, and ends with its lease.
  await eventually(async () =>
    expect(await one.inspect("k")).toEqual({ limit: 1, held: 0, waiting: 0 }),
  );
}

describe.each(driverNames)("through %s", (name) => {
  test("a Cluster's master killed", async () => {
    const cluster = await startCluster({ replicas: true, nodeTimeoutMs: 2500 });
    onTestFinished(() => cluster.stop());
    const master = cluster.masterOf(slotOf("k"));
    const open = (): Promise<RedisClientLike> => drivers[name].clusterClient(cluster.ports);
    const { round, served } = await watch(open);
    await expectWoken(round);
    await survive(open, async () => {
      await replicated(master);
      await master.kill();
    });
    await served();
    await expectWoken(round);
  });

  // node-redis finds a new master late on a busy machine, by one in six of these tests: too often for every run.
  const isSteady = name === "ioredis" || process.env["SLUICE_ALL_FAULTS"] !== undefined;
  if (!isSteady) {
    process.stdout.write(`semaphores behind Sentinels, ${name}: by SLUICE_ALL_FAULTS=1\n`);
  }
  test.runIf(isSteady)(
    "behind Sentinels, the subscriber cut off and the master killed",
    { retry: 2 },
    async () => {
      const sentinels = await startSentinels();
      onTestFinished(() => sentinels.stop());
      const { master, replica } = sentinels;
      const setUser = async (...rules: readonly string[]): Promise<void> => {
        for (const server of [master, replica]) {
          await server.command("ACL", "SETUSER", LOGIN.username, ...rules);
        }
      };
      await setUser("on", `>${LOGIN.password}`, "~*", "&*", "+@all");
      const open = (): Promise<RedisClientLike> =>
        drivers[name].sentinelClient({ ...sentinels, login: LOGIN });
      const { round, served } = await watch(open);
      await expectWoken(round);

      // Ends the connections on which it listens; those of the Sentinels, which are another's, stay.
      await setUser("resetchannels");
      await expectAsking(round);
      await setUser("allchannels");
      await expectWoken(round);

      await survive(open, async () => {
        // A busy machine can make Sentinels change masters by themselves.
        const isFirst = (await sentinels.masterPort()) === master.port;
        const victim = isFirst ? master : replica;
        await replicated(victim);
        await victim.kill();
      });
      await served();
      await expectWoken(round);
    },
  );
});
