/** limitFetch and limitInterceptor with the limiter and the semaphore that they are for, on real connections. */
import { Agent } from "undici";
import { afterEach, describe, expect, test, vi } from "vitest";
import { MemoryStore, RateLimiter, Semaphore, tokenBucket } from "../../src/index.js";
import { limitFetch } from "../../src/outgoing/fetch.js";
import type { OutgoingOptions } from "../../src/outgoing/options.js";
import { limitInterceptor } from "../../src/outgoing/undici.js";
import { ManualClock } from "../../src/testing/index.js";
import { eventually } from "../support/eventually.js";
import { type Script, type ScriptedServer, serve } from "./server.js";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function start(...scripts: readonly Script[]): Promise<ScriptedServer> {
  const server = await serve(...scripts);
  closers.push(() => server.close());
  return server;
}

interface StoreResult {
  readonly status: number;
  text(): Promise<string>;
}

/** What sends requests to the root of a server. */
type Send = (origin: string, signal?: AbortSignal) => Promise<StoreResult>;

const senders: [string, (options: OutgoingOptions) => Send][] = [
  [
    "limitFetch",
    (options) => {
      const limited = limitFetch(options);
      return (origin, signal) => limited(origin, signal === undefined ? {} : { signal });
    },
  ],
  [
    "limitInterceptor",
    (options) => {
      const agent = new Agent();
      closers.push(() => agent.destroy());
      const client = agent.compose(limitInterceptor(options));
      return async (origin, signal) => {
        const request = { origin, path: "/", method: "GET", signal } as const;
        const { statusCode, body } = await client.request(request);
        return { status: statusCode, text: () => body.text() };
      };
    },
  ],
];

const text = async (answer: Promise<StoreResult>): Promise<string> => (await answer).text();

function semaphoreOf(limit: number): Semaphore {
  const semaphore = new Semaphore({ limit });
  closers.push(() => semaphore.close());
  return semaphore;
}

const refusal = (seconds: number): Script => ({
  status: 429,
  headers: { "retry-after": String(seconds) },
});

describe.each(senders)("%s", (_, sender) => {
  test("has as many under way as there are permits, and starts them as far apart as the limit asks", async () => {
    const slow: Script = {
      act: (_request, response) => {
        setTimeout(() => response.writeHead(200, { connection: "close" }).end("ok"), 300);
      },
    };
    const server = await start(...Array.from({ length: 12 }, () => slow));
    const limiter = new RateLimiter({
      policy: tokenBucket({ limit: 100, period: "1s", burst: 1 }),
    });
    const acquire = vi.spyOn(limiter, "acquire");
    const semaphore = semaphoreOf(3);
    const send = sender({ limiter, semaphore, key: "k" });
    const calls = Array.from({ length: 12 }, () => text(send(server.url)));
    expect(await Promise.all(calls)).toEqual(new Array(12).fill("ok"));
    expect(server.load.peak).toBe(3);

    const starts = await Promise.all(
      acquire.mock.results.map(({ value }) => value as ReturnType<RateLimiter["acquire"]>),
    );
    expect(starts).toHaveLength(12);
    const times = starts.map(({ readyAtUs }) => readyAtUs).toSorted((a, b) => a - b);
    const gaps = times.slice(1).map((time, i) => time - (times[i] as number));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(10_000);
    expect(Math.min(...starts.map(({ lateMs }) => lateMs))).toBeGreaterThanOrEqual(0);
    await eventually(async () => {
      expect(await semaphore.inspect("k")).toEqual({ limit: 3, held: 0, waiting: 0 });
    });
  });

  test("tells other processes of a pause, and none of them makes it shorter", async () => {
    let finish = (): void => {};
    const late: Script = {
      act: (_request, response) => {
        finish = () =>
          response.writeHead(429, { connection: "close", "retry-after": "2" }).end("later");
      },
    };
    const server = await start(late, refusal(60));
    const clock = new ManualClock();
    const limiter = new RateLimiter({
      policy: tokenBucket({ limit: 1000, period: "1s" }),
      store: new MemoryStore({ clock }),
    });
    const block = vi.spyOn(limiter, "block");
    const options = { limiter, clock, retries: false, key: "k" } as const;
    // Each has a gate of its own, as processes have.
    const [one, other, third] = [sender(options), sender(options), sender(options)];
    const older = text(other(server.url));
    await eventually(() => expect(server.arrivals).toHaveLength(1));
    expect((await one(server.url)).status).toBe(429);
    finish();
    await older;
    expect(block).toHaveBeenCalledTimes(2);
    await Promise.all(block.mock.results.map(({ value }) => value as Promise<void>));
    expect(await limiter.peek("k")).toMatchObject({ reason: "blocked", retryAfterMs: 60_000 });

    const waiting = third(server.url);
    clock.advance(59_999);
    await new Promise((resolve) => setImmediate(resolve));
    expect(server.arrivals).toHaveLength(2);
    clock.advance(1);
    expect((await waiting).status).toBe(200);
  });

  test("gives its permit back where the limiter's block outlasts maxWait", async () => {
    const server = await start();
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1000, period: "1s" }) });
    await limiter.block("k", "1h");
    const semaphore = semaphoreOf(1);
    const send = sender({ limiter, semaphore, key: "k", maxWait: "1m" });
    await expect(send(server.url)).rejects.toMatchObject({ code: "MAX_WAIT_EXCEEDED" });
    await eventually(async () => expect((await semaphore.inspect("k")).held).toBe(0));
    expect(server.arrivals).toEqual([]);
  });

  test("that is aborted in line gives its permit and its place back", async () => {
    const server = await start();
    const limiter = new RateLimiter({ policy: tokenBucket({ limit: 1, period: "1h" }) });
    const acquire = vi.spyOn(limiter, "acquire");
    const semaphore = semaphoreOf(1);
    const send = sender({ limiter, semaphore, key: "k" });
    expect(await text(send(server.url))).toBe("ok");
    const abort = new AbortController();
    const waiting = send(server.url, abort.signal);
    await eventually(() => expect(acquire).toHaveBeenCalledTimes(2));
    await new Promise((resolve) => setImmediate(resolve));
    abort.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
    await eventually(async () => {
      expect(await semaphore.inspect("k")).toMatchObject({ held: 0, waiting: 0 });
      // One in use, not two: the next would wait an hour, less what has passed.
      const next = await limiter.reserve("k", { maxWait: 0 });
      expect(next.allowed ? 0 : next.retryAfterMs).toBeLessThanOrEqual(3_600_000);
    });
    expect(server.arrivals).toHaveLength(1);
  });

  test("holds its permit while the answer comes, and the next waits for it", async () => {
    let finish = (): void => {};
    const slow: Script = {
      act: (_request, response) => {
        response.writeHead(200, { connection: "close" }).write("first");
        finish = () => response.end();
      },
    };
    const server = await start(slow);
    const semaphore = semaphoreOf(1);
    const send = sender({ semaphore, key: "k" });
    const first = await send(server.url);
    const second = text(send(server.url));
    await eventually(async () => {
      expect(await semaphore.inspect("k")).toMatchObject({ held: 1, waiting: 1 });
    });
    expect(server.arrivals).toHaveLength(1);
    finish();
    expect([await first.text(), await second]).toEqual(["first", "ok"]);
  });
});
