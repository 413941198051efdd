/** A network that delays, cuts, swallows or throttles, under load, and a server that knows nothing of it. */
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { RateLimiter, StoreTimeoutError, tokenBucket } from "../../src/index.js";
import { startVictim } from "../support/servers.js";
import { driverNames, drivers } from "./support/drivers.js";
import { type Direction, type Proxy, startProxy } from "./support/proxy.js";
import { throughFault } from "./support/through-fault.js";

describe.each(driverNames)("through %s", (name) => {
  let proxy: Proxy;
  beforeEach(async () => {
    const server = await startVictim();
    onTestFinished(() => server.stop());
    proxy = await startProxy(server.port);
    onTestFinished(() => proxy.stop());
  });
  const open = () => drivers[name].server(proxy.port);
  /** Through a client that leaves deadlines to the limiter. */
  const openPatiently = () => drivers[name].server(proxy.port, 30_000);

  test.each<[Direction, number]>([
    ["requests", 100],
    ["replies", 10],
  ])("a connection cut in the middle of a batch's %s", async (direction, bytes) => {
    const title = `connection cut in ${direction}, ${name}`;
    const cuts = 5;
    const options = { store: await open(), callers: 64 };
    await throughFault(title, options, async (load) => {
      for (let i = 1; i <= cuts; i++) {
        proxy.cutAfter(direction, bytes);
        await expect.poll(() => proxy.cuts).toBe(i);
        // The next cut mostly comes so soon that all are one outage.
        if (i < cuts) await load.recovered();
      }
      return load.recovered();
    });
  });

  test.each<[Direction, number, number]>([
    ["requests", 100, 0],
    ["replies", 3, 1],
  ])("a call cut off in its %s is not sent again", async (direction, bytes, counted) => {
    await using limiter = new RateLimiter({
      store: await open(),
      policy: tokenBucket({ limit: 100, period: "365d" }),
      timeout: "30s",
      onStoreFailure: "closed",
    });
    const left = async (): Promise<number | undefined> => {
      const { source, remaining } = await limiter.peek("k");
      return source === "store" ? remaining : undefined;
    };
    expect(await left()).toBe(100);
    for (let i = 1; i <= 5; i++) {
      proxy.cutAfter(direction, bytes);
      expect((await limiter.consume("k")).source).toBe("fail-closed");
      await expect.poll(left).toBe(100 - i * counted);
    }
  });

  test("4 s more latency, where calls have one", async () => {
    const title = `4 s latency, 1 s timeout, ${name}`;
    await throughFault(title, { store: await openPatiently(), timeoutMs: 1000 }, async (load) => {
      proxy.delay(4000);
      await load.answered("fail-closed", 200);
      proxy.heal();
      return load.recovered();
    });
  });

  test("the same without a breaker: each call has its own second, and no more", async () => {
    const title = `4 s latency, 1 s timeout, no breaker, ${name}`;
    const options = { store: await openPatiently(), timeoutMs: 1000, breaker: false } as const;
    await throughFault(title, options, async (load) => {
      proxy.delay(4000);
      await load.answered("fail-closed", 96);
      const failed = load.answers.filter(({ decision }) => decision.source === "fail-closed");
      // First, for it tells why a call was answered sooner.
      expect(load.notices.errors[0]?.error).toBeInstanceOf(StoreTimeoutError);
      expect(failed.filter(({ startMs, endMs }) => endMs - startMs < 1000)).toEqual([]);
      proxy.heal();
      return load.recovered();
    });
  });

  test("connections that stay open and carry nothing are left by the client, also as they begin", async () => {
    await throughFault(`half-open, ${name}`, { store: await open() }, async (load) => {
      proxy.strand(1);
      await load.answered("fail-closed", 200);
      return load.recovered();
    });
  });

  test("a line of 400 bytes a second", async () => {
    await throughFault(
      `throttled, ${name}`,
      { store: await open(), timeoutMs: 1000 },
      async (load) => {
        proxy.throttle(400);
        await load.answered("fail-closed", 100);
        proxy.heal();
        return load.recovered();
      },
    );
  });
});
