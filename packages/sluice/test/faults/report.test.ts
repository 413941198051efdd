/** A report through the death of its Redis. */
import { expect, onTestFinished, test, vi } from "vitest";
import { fixedWindow, RateLimiter } from "../../src/index.js";
import { readReports, report } from "../../src/report/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { eventually } from "../support/eventually.js";
import { startVictim } from "../support/servers.js";

test("a Redis that is killed and forgets loses earlier minutes, by name; nothing else is lost", async () => {
  const server = await startVictim();
  onTestFinished(() => server.stop());
  const clock = new ManualClock();
  const policy = fixedWindow({ limit: 5, window: "1h" });
  const open = async () => {
    const store = new RedisStore({ url: server.url, clock });
    onTestFinished(() => store.close());
    const limiter = new RateLimiter({ policy, store, timeout: "60s", denyCache: false });
    const onError = vi.fn<() => void>();
    const reporter = report({ store, limiters: [limiter], every: "1m", hooks: { onError } });
    onTestFinished(() => reporter.end());
    return { store, limiter, reporter, onError };
  };
  const processes = await Promise.all([open(), open()]);
  const work = async (calls: number): Promise<void> => {
    for (const { limiter } of processes) {
      for (let i = 0; i < calls; i++) await limiter.consume(`k${i % 3}`);
    }
  };
  const flush = async (): Promise<void> => {
    for (const { reporter } of processes) await reporter.flush();
  };
  await work(7);
  await flush();
  clock.advance(60_000);
  await work(11);
  await flush();
  await server.kill();
  await work(13);
  await flush();
  await flush();
  for (const { onError } of processes) expect(onError).toHaveBeenCalledTimes(1);
  await server.restart();
  const [{ store }] = processes;
  // The client finds back by itself.
  const reports = await eventually(async () => {
    await flush();
    const read = await readReports({ store });
    expect(read.processes).toHaveLength(2);
    return read;
  });
  const truth = processes.reduce((sum, { limiter }) => {
    const { allowed, denied } = limiter.stats();
    return sum + allowed + denied;
  }, 0);
  expect(truth).toBe(2 * (7 + 11 + 13));
  // What was reported in the minute of the kill is made good; what was reported before it is lost, and named.
  expect(reports.limiters[0]?.asked).toBe(2 * (11 + 13));
  expect(reports.limiters[0]?.withoutStore).toBe(2 * 13);
  expect(reports.gaps.map(({ kind, decisions }) => [kind, decisions])).toEqual([
    ["lost", 7],
    ["lost", 7],
  ]);
});
