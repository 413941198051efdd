/** limitFetch against real servers: turns, pauses, retries, permits, aborts. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, test, vi } from "vitest";
import { MaxWaitExceededError } from "../../src/core/errors.js";
import { limitFetch, type LimitFetchOptions } from "../../src/outgoing/fetch.js";
import { ManualClock } from "../../src/testing/manual-clock.js";
import { eventually } from "../support/eventually.js";
import { FakeLimiter, FakeSemaphore } from "./fakes.js";
import { type Script, type ScriptedServer, serve } from "./server.js";

const servers: ScriptedServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(...scripts: readonly Script[]): Promise<ScriptedServer> {
  const server = await serve(...scripts);
  servers.push(server);
  return server;
}

/** Knows how many wait for it. */
class WatchedClock extends ManualClock {
  sleepers = 0;

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleepers += 1;
    try {
      await super.sleep(ms, signal);
    } finally {
      this.sleepers -= 1;
    }
  }
}

/** Moves the clock on until `work` is done, while it waits for the clock and not for a server; how many ms that took. */
async function advancing<T>(clock: WatchedClock, work: Promise<T>): Promise<[T, number]> {
  const startUs = clock.nowUs();
  const state = { isDone: false };
  const watched = work.finally(() => {
    state.isDone = true;
  });
  watched.catch(() => {});
  while (!state.isDone) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!state.isDone && clock.sleepers > 0) clock.advance(10);
  }
  return [await watched, (clock.nowUs() - startUs) / 1e3];
}

const quick = { baseDelay: "1ms" } as const;
const slowDown = (seconds: number, more: Script = {}): Script => ({
  status: 429,
  headers: { "retry-after": String(seconds) },
  ...more,
});

describe("waiting for a turn", () => {
  test("takes quota and a permit of the origin before the request is sent", async () => {
    const server = await start();
    const limiter = new FakeLimiter();
    const semaphore = new FakeSemaphore(2);
    let holds = 0;
    limiter.before = async () => {
      holds = semaphore.held;
      expect(server.arrivals).toHaveLength(0);
    };
    const response = await limitFetch({ limiter, semaphore })(`${server.url}/a?b`);
    expect(limiter.acquired).toEqual([{ key: server.url }]);
    expect(holds).toBe(1);
    expect(await response.text()).toBe("ok");
    expect(response.url).toBe(`${server.url}/a?b`);
    expect(response).toMatchObject({ redirected: false, type: "basic", status: 200, ok: true });
  });

  test("by a key and a cost made from the request", async () => {
    const server = await start();
    const limiter = new FakeLimiter();
    const limited = limitFetch({
      limiter,
      key: ({ url, method, headers }) => `${method} ${url.pathname} ${headers.get("x-user")}`,
      cost: ({ url }) => Number(url.searchParams.get("n")),
      maxWait: "1s",
    });
    const request = new Request(`${server.url}/p?n=3`, {
      method: "put",
      headers: { "x-user": "u" },
    });
    await (await limited(request)).text();
    expect(limiter.acquired).toMatchObject([{ key: "PUT /p u", cost: 3 }]);
    expect(limiter.acquired[0]?.maxWait).toBeLessThanOrEqual(1000);
  });

  test("never has more under way than there are permits", async () => {
    const server = await start();
    const semaphore = new FakeSemaphore(3);
    const limited = limitFetch({ semaphore });
    const texts = await Promise.all(
      Array.from({ length: 20 }, async () => (await limited(server.url)).text()),
    );
    expect(texts).toEqual(new Array(20).fill("ok"));
    expect(semaphore.peak).toBe(3);
    expect(server.load.peak).toBeLessThanOrEqual(3);
    expect(semaphore).toMatchObject({ held: 0, grants: 20, waiting: 0 });
  });

  test("gives the permit back where quota is refused", async () => {
    const server = await start();
    const limiter = new FakeLimiter();
    limiter.before = () => Promise.reject(new MaxWaitExceededError(5));
    const semaphore = new FakeSemaphore(1);
    await expect(limitFetch({ limiter, semaphore })(server.url)).rejects.toThrow(
      MaxWaitExceededError,
    );
    expect(semaphore.held).toBe(0);
    expect(server.arrivals).toHaveLength(0);
  });
});

describe("the permit is given back", () => {
  const semaphore = new FakeSemaphore(1);
  const limited = limitFetch({ semaphore, retries: false });
  afterEach(() => {
    expect(semaphore.held).toBe(0);
  });

  test("when the body has been read, not before", async () => {
    const server = await start();
    const response = await limited(server.url);
    expect(semaphore.held).toBe(1);
    await response.arrayBuffer();
  });

  test("when the body is cancelled", async () => {
    const server = await start({ body: "x".repeat(1e6) });
    const response = await limited(server.url);
    await response.body?.cancel();
  });

  test("at once where there is no body", async () => {
    const server = await start({ status: 204, body: "" }, {});
    expect((await limited(server.url)).status).toBe(204);
    expect(semaphore.held).toBe(0);
    expect((await limited(server.url, { method: "HEAD" })).body).toBeNull();
  });

  test("when the connection breaks before or within the answer", async () => {
    const server = await start(
      { act: (request) => request.socket.destroy() },
      {
        act: (request, response) => {
          response.writeHead(200, { "content-length": "10" });
          response.write("half", () => request.socket.destroy());
        },
      },
    );
    await expect(limited(server.url)).rejects.toThrow(TypeError);
    expect(semaphore.held).toBe(0);
    const response = await limited(server.url);
    await expect(response.text()).rejects.toThrow(TypeError);
  });

  test("when the caller aborts while the body comes, though nobody reads it", async () => {
    const server = await start({ act: (_, response) => response.writeHead(200).write("and") });
    const abort = new AbortController();
    const response = await limited(server.url, { signal: abort.signal });
    expect(semaphore.held).toBe(1);
    abort.abort();
    await expect(response.text()).rejects.toThrow(/abort/i);
  });

  test("when the answer is forgotten", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const server = await start({ body: "x".repeat(1e6) });
    await (async () => void (await limited(server.url)))();
    expect(semaphore.held).toBe(1);
    await eventually(() => {
      collect();
      expect(semaphore.held).toBe(0);
    }, 20);
  });

  test.each<[string, LimitFetchOptions, RegExp]>([
    [
      "fetch throws before it makes a promise",
      {
        fetch: () => {
          throw new Error("no promise");
        },
      },
      /no promise/,
    ],
    [
      "fetch hands over a body that somebody else reads",
      {
        fetch: async () => {
          const response = new Response("locked");
          response.body?.getReader();
          return response;
        },
      },
      /locked/,
    ],
    [
      "the answer is one that no Response can be made of",
      { fetch: async () => Object.defineProperty(new Response("x"), "status", { value: 304 }) },
      /null body status|status code 304/i,
    ],
    [
      "random throws after a refusal",
      {
        fetch: async () => new Response("no", { status: 429 }),
        retries: {},
        random: () => {
          throw new Error("no luck");
        },
      },
      /no luck/,
    ],
    [
      "random throws after a broken connection",
      {
        fetch: () => Promise.reject(new TypeError("fetch failed")),
        retries: {},
        random: () => {
          throw new Error("no luck");
        },
      },
      /no luck/,
    ],
  ])("when %s", async (_, options, reason) => {
    const own = new FakeSemaphore(1);
    const call = limitFetch({ semaphore: own, retries: false, ...options })("http://a.invalid/");
    await expect(call).rejects.toThrow(reason);
    expect(own).toMatchObject({ held: 0, grants: 1 });
  });

  test("when an answer cannot be wrapped, whose body is then cancelled", async () => {
    const cancelled = vi.fn();
    const body = new ReadableStream({ cancel: cancelled });
    const answer = Object.defineProperty(new Response(body), "status", { value: 304 });
    const own = new FakeSemaphore(1);
    const limit = limitFetch({ semaphore: own, fetch: async () => answer });
    await expect(limit("http://a.invalid/")).rejects.toThrow(/null body status|status code 304/i);
    expect(own.held).toBe(0);
    expect(cancelled).toHaveBeenCalledTimes(1);
  });

  test("though giving it back throws, or telling others of a pause does", async () => {
    const odd = {
      acquire: async () => ({
        release: () => {
          throw new Error("not async");
        },
      }),
    };
    const deaf = {
      acquire: async () => {},
      block: () => {
        throw new Error("not async");
      },
    };
    const server = await start(slowDown(1));
    const options = { semaphore: odd, limiter: deaf, retries: false } as const;
    const response = await limitFetch(options)(server.url);
    expect([response.status, await response.text()]).toEqual([429, "ok"]);
  });

  test("once, with a body that was cloned", async () => {
    const server = await start({ body: "twice" });
    const response = await limited(server.url);
    const copy = response.clone();
    expect([await response.text(), await copy.text()]).toEqual(["twice", "twice"]);
  });
});

describe("obeying answers", () => {
  test("later calls of the key wait as long as Retry-After says, others do not", async () => {
    const server = await start(slowDown(2));
    const clock = new WatchedClock();
    const limited = limitFetch({ clock, retries: false, key: ({ url }) => url.pathname });
    expect((await limited(`${server.url}/a`)).status).toBe(429);
    const [, otherMs] = await advancing(clock, limited(`${server.url}/b`));
    expect(otherMs).toBeLessThan(100);
    const [second, ms] = await advancing(clock, limited(`${server.url}/a`));
    expect(second.status).toBe(200);
    expect(otherMs + ms).toBeGreaterThanOrEqual(2000);
    expect(otherMs + ms).toBeLessThan(2100);
  });

  test.each<[string, Script, number]>([
    ["RateLimit with nothing left", { headers: { ratelimit: '"a";r=0;t=3' } }, 3000],
    ["RateLimit with something left", { headers: { ratelimit: '"a";r=1;t=3' } }, 0],
    [
      "Retry-After before RateLimit",
      slowDown(1, { headers: { "retry-after": "1", ratelimit: '"a";r=0;t=9' } }),
      1000,
    ],
    ["X-RateLimit", { headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2" } }, 2000],
    ["503 with Retry-After", { status: 503, headers: { "retry-after": "2" } }, 2000],
    [
      "Retry-After of a redirect, which is not about limits",
      { headers: { "retry-after": "5" } },
      0,
    ],
    ["nonsense", { status: 429, headers: { "retry-after": "soon", ratelimit: "r=0" } }, 1000],
    ["429 that says nothing", { status: 429 }, 1000],
    ["503 that says nothing, which may come from a gateway", { status: 503 }, 0],
    ["503 with nonsense", { status: 503, headers: { "retry-after": "later" } }, 1000],
    ["403 with Retry-After", { status: 403, headers: { "retry-after": "20" } }, 20_000],
    ["403 with nonsense", { status: 403, headers: { "retry-after": "" } }, 1000],
    ["403 that says nothing, as without a permission", { status: 403 }, 0],
    ["500 with Retry-After", { status: 500, headers: { "retry-after": "5" } }, 0],
  ])("%s", async (_, script, waitMs) => {
    const server = await start(script);
    const clock = new WatchedClock();
    const limited = limitFetch({ clock, retries: false });
    await (await limited(server.url)).text();
    const [response, ms] = await advancing(clock, limited(server.url));
    expect(response.status).toBe(200);
    expect(ms).toBeGreaterThanOrEqual(waitMs);
    expect(ms).toBeLessThan(waitMs + 100);
  });

  test("other processes are told through the limiter, only of what is new", async () => {
    const server = await start(slowDown(2), slowDown(1), slowDown(5));
    const limiter = new FakeLimiter();
    const limited = limitFetch({ limiter, retries: false, clock: new WatchedClock() });
    const calls = [limited(server.url), limited(server.url), limited(server.url)];
    await Promise.all(calls);
    expect(limiter.blocked.map(([key]) => key)).toEqual(limiter.blocked.map(() => server.url));
    expect(limiter.blocked.at(-1)).toEqual([server.url, 5000, { keepLonger: true }]);
    const lengths = limiter.blocked.map(([, ms]) => Number(ms));
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  });

  test.each<[string, LimitFetchOptions]>([
    ["obey: false", { obey: false }],
    ["share: false", { share: false }],
  ])("%s tells nobody", async (_, options) => {
    const server = await start(slowDown(60));
    const limiter = new FakeLimiter();
    await limitFetch({ limiter, retries: false, ...options })(server.url);
    expect(limiter.blocked).toEqual([]);
  });

  test("no answer makes others wait longer than maxPause", async () => {
    const server = await start(slowDown(999_999));
    const clock = new WatchedClock();
    const limiter = new FakeLimiter();
    const limited = limitFetch({ clock, limiter, retries: false, maxPause: "3s" });
    await limited(server.url);
    expect(limiter.blocked).toEqual([[server.url, 3000, { keepLonger: true }]]);
    const [, ms] = await advancing(clock, limited(server.url));
    expect(ms).toBeLessThan(3100);
  });

  test("a pause longer than maxWait is an error at once, and nothing is taken", async () => {
    const server = await start(slowDown(60));
    const limiter = new FakeLimiter();
    const clock = new ManualClock();
    const limited = limitFetch({ limiter, retries: false, maxWait: "10s", clock });
    await limited(server.url);
    await expect(limited(server.url)).rejects.toMatchObject({
      code: "MAX_WAIT_EXCEEDED",
      retryAfterMs: 60_000,
    });
    expect(limiter.acquired).toHaveLength(1);
  });

  test("who waited for quota while a pause began queues again when it is over", async () => {
    const server = await start(slowDown(1));
    const clock = new WatchedClock();
    const limiter = new FakeLimiter();
    const limited = limitFetch({ clock, limiter, retries: false });
    let open = (): void => {};
    limiter.before = () => new Promise((resolve) => (open = resolve));
    const waiting = limited(server.url);
    await eventually(() => expect(limiter.acquired).toHaveLength(1));
    limiter.before = async () => {};
    expect((await limited(server.url)).status).toBe(429);
    open();
    const [response, ms] = await advancing(clock, waiting);
    expect(response.status).toBe(200);
    expect(ms).toBeGreaterThanOrEqual(1000);
    expect(limiter.acquired).toHaveLength(3);
  });
});

describe("retries", () => {
  test("come after Retry-After and jitter, each with quota of its own", async () => {
    const server = await start(slowDown(1), slowDown(1));
    const clock = new WatchedClock();
    const limiter = new FakeLimiter();
    const semaphore = new FakeSemaphore(1);
    const random = () => 0.5;
    const limited = limitFetch({ clock, random, limiter, semaphore });
    const [response, ms] = await advancing(
      clock,
      limited(server.url, { method: "POST", body: "b" }),
    );
    expect(response.status).toBe(200);
    expect(server.arrivals.map(({ body }) => body)).toEqual(["b", "b", "b"]);
    // 1 s + 125 ms, then 1 s + 250 ms.
    expect(ms).toBeGreaterThanOrEqual(2375);
    expect(ms).toBeLessThan(2600);
    expect(limiter.acquired).toHaveLength(3);
    expect(semaphore).toMatchObject({ grants: 3, peak: 1, held: 1 });
    await response.text();
    expect(semaphore.held).toBe(0);
  });

  test("end with the last answer", async () => {
    const server = await start(slowDown(0), slowDown(0), slowDown(0, { body: "enough" }));
    const response = await limitFetch({ retries: quick })(server.url);
    expect([response.status, await response.text()]).toEqual([429, "enough"]);
    expect(server.arrivals).toHaveLength(3);
  });

  test("follow a broken connection where the method is idempotent", async () => {
    const breaks: Script = { act: (request) => request.socket.destroy() };
    const server = await start(breaks, breaks, {}, breaks);
    const limited = limitFetch({ retries: quick });
    expect(await (await limited(server.url)).text()).toBe("ok");
    await expect(limited(server.url, { method: "POST", body: "x" })).rejects.toThrow(TypeError);
    expect(server.arrivals).toHaveLength(4);
  });

  // Some frameworks bring a browser's types along, which do not know it.
  const duplex: object = { duplex: "half" };
  test.each<[string, RequestInit]>([["a stream", { body: new Blob(["x"]).stream(), ...duplex }]])(
    "are not made with %s for a body",
    async (_, init) => {
      const server = await start(slowDown(0));
      const response = await limitFetch({ retries: quick })(server.url, {
        method: "POST",
        ...init,
      });
      expect(response.status).toBe(429);
      expect(server.arrivals).toHaveLength(1);
    },
  );

  test("are made for a Request without a body, not for one with", async () => {
    const server = await start(slowDown(0), {}, slowDown(0));
    const limited = limitFetch({ retries: quick });
    expect((await limited(new Request(server.url))).status).toBe(200);
    const post = new Request(server.url, { method: "POST", body: "x" });
    expect((await limited(post)).status).toBe(429);
    expect(server.arrivals).toHaveLength(3);
  });

  test("are not made where the wait would pass maxWait or maxDelay", async () => {
    const server = await start(slowDown(5), slowDown(31));
    expect((await limitFetch({ maxWait: "4s" })(server.url)).status).toBe(429);
    expect((await limitFetch()(server.url)).status).toBe(429);
    expect(server.arrivals).toHaveLength(2);
  });

  test("stop when the caller aborts", async () => {
    const server = await start(slowDown(20));
    const abort = new AbortController();
    const call = limitFetch()(server.url, { signal: abort.signal });
    await eventually(() => expect(server.arrivals).toHaveLength(1));
    abort.abort(new Error("changed my mind"));
    await expect(call).rejects.toThrow(/changed my mind/);
  });
});

describe("aborts", () => {
  test("before anything: nothing is taken or sent", async () => {
    const server = await start();
    const limiter = new FakeLimiter();
    const limited = limitFetch({ limiter });
    await expect(limited(server.url, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    const request = new Request(server.url, { signal: AbortSignal.abort() });
    await expect(limited(request)).rejects.toThrow(/abort/i);
    expect(limiter.acquired).toEqual([]);
    expect(server.arrivals).toEqual([]);
  });

  test("while it waits in line: its place is free again", async () => {
    const server = await start();
    const semaphore = new FakeSemaphore(1);
    const limited = limitFetch({ semaphore });
    const first = await limited(server.url);
    const abort = new AbortController();
    const second = limited(server.url, { signal: abort.signal });
    await eventually(() => expect(semaphore.waiting).toBe(1));
    abort.abort();
    await expect(second).rejects.toThrow(/abort/i);
    await first.text();
    expect(semaphore).toMatchObject({ held: 0, waiting: 0 });
  });

  test("in the tick of the grant: the permit goes back and nothing is sent", async () => {
    const server = await start();
    const abort = new AbortController();
    const limiter = new FakeLimiter();
    limiter.before = async () => abort.abort();
    const semaphore = new FakeSemaphore(1);
    const send = vi.fn(async () => new Response("sent all the same"));
    const limited = limitFetch({ limiter, semaphore, fetch: send });
    await expect(limited(server.url, { signal: abort.signal })).rejects.toThrow(/abort/i);
    expect(semaphore.held).toBe(0);
    expect(send).not.toHaveBeenCalled();
  });
});

test.each<[string, object]>([
  ["limiter", { limiter: {} }],
  ["semaphore", { semaphore: 5 }],
  ["key", { key: "" }],
  ["cost", { cost: -1 }],
  ["maxWait", { maxWait: "later" }],
  ["retries.attempts", { retries: { attempts: 101 } }],
  ["retries.tries", { retries: { tries: 1 } }],
  ["maxPause", { maxPause: -1 }],
  ["obey", { obey: "yes" }],
  ["clock", { clock: {} }],
  ["fetch", { fetch: 1 }],
  ["keys", { keys: "k" }],
])("a bad %s is refused", (option, options) => {
  expect(() => limitFetch(options)).toThrow(
    expect.objectContaining({ name: "InvalidOptionError", option }) as Error,
  );
});
