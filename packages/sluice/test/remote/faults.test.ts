/** A service that is killed, hangs, is slow, starts again, refuses, or answers nonsense: nothing is counted twice, or lost in silence. */
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import {
  fixedWindow,
  MemoryStore,
  RateLimiter,
  type RateLimiterOptions,
  Semaphore,
  StoreTimeoutError,
  StoreUnavailableError,
} from "../../src/index.js";
import { RemoteStore, type RemoteStoreOptions } from "../../src/remote/index.js";
import { eventually } from "../support/eventually.js";
import { HeldStore } from "../support/held-store.js";
import { inLine } from "../support/semaphores.js";
import { STORE_TOKEN, startStoreService, type StoreService } from "../support/store-service.js";

const policy = fixedWindow({ limit: 100, window: "1h", align: "first" });

function storeAt(port: number, options: Partial<RemoteStoreOptions> = {}): RemoteStore {
  const url = `http://127.0.0.1:${port}/0`;
  const store = new RemoteStore({ url, token: STORE_TOKEN, requestTimeout: "60s", ...options });
  onTestFinished(() => store.close());
  return store;
}

function limiterOn(store: RemoteStore, options: Partial<RateLimiterOptions> = {}): RateLimiter {
  const limiter = new RateLimiter({
    policy,
    timeout: "60s",
    onStoreFailure: "throw",
    denyCache: false,
    breaker: false,
    ...options,
    store,
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

/** Ends with the test, however it ends. */
async function serviceAt(port = 0): Promise<StoreService> {
  const service = await startStoreService(port);
  onTestFinished(async () => {
    if (service.server.listening) await service.close();
  });
  return service;
}

/** A server that does with each request, by its turn, what `react` says. */
async function rawServer(
  react: (socket: Socket, turn: number) => void,
  sockets: Set<Socket> = new Set(),
): Promise<number> {
  let turn = 0;
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk) => {
      if (!chunk.toString("latin1").startsWith("POST")) return;
      turn += 1;
      react(socket, turn);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return (server.address() as AddressInfo).port;
}

const ANSWER = '{"v":1,"calls":[[1764230400000000,1000,0,99000,0,1000000,null]],"errors":[]}';
const http = (body: string, more = ""): string =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${more}\r\n${body}`;

test("killed with calls under way: they fail, none is sent again, and the next service answers", async () => {
  const service = await serviceAt();
  const held = new HeldStore();
  service.mount(held);
  const onRecovery = vi.fn();
  const store = storeAt(service.port, { hooks: { onError: () => {}, onRecovery } });
  const limiter = limiterOn(store, { breaker: { failures: 1, probeEvery: "10ms" } });
  const underWay = [limiter.consume("a"), limiter.consume("b")];
  await eventually(() => expect(held.held).toHaveLength(2));
  await service.close();
  for (const { status, reason } of (await Promise.allSettled(
    underWay,
  )) as PromiseRejectedResult[]) {
    expect(status).toBe("rejected");
    expect(reason).toBeInstanceOf(StoreUnavailableError);
    expect(String(reason)).toContain("ended before the answer");
  }
  await expect(limiter.consume("a")).rejects.toThrow(StoreUnavailableError);
  const next = await serviceAt(service.port);
  next.mount(new MemoryStore());
  // All of its state is lost: the quota is full.
  await eventually(async () => expect((await limiter.consume("a")).remaining).toBe(99));
  await eventually(async () => {
    await limiter.consume("b");
    expect(onRecovery).toHaveBeenCalledTimes(1);
  });
  expect(held.held).toHaveLength(2);
});

test("away: the limiter decides locally, and says so", async () => {
  const service = await serviceAt();
  await service.close();
  const onError = vi.fn();
  const store = storeAt(service.port, { hooks: { onError } });
  const limiter = limiterOn(store, { onStoreFailure: "local", breaker: undefined });
  expect(await limiter.consume("k")).toMatchObject({ allowed: true, source: "local" });
  expect(onError).toHaveBeenCalledTimes(1);
  expect(store.stats()).toMatchObject({ calls: { failed: 1 }, openParts: [] });
});

test("hung: deadlines end calls, the breaker opens, and what comes late closes it again", async () => {
  const service = await serviceAt();
  const held = new HeldStore();
  service.mount(held);
  const store = storeAt(service.port, { hooks: { onError: () => {} } });
  const limiter = limiterOn(store, {
    timeout: "40ms",
    breaker: { failures: 2, probeEvery: "20ms" },
  });
  const failures: unknown[] = [];
  await eventually(async () => {
    // One of two may be a probe, however late it is.
    const two = await Promise.allSettled([limiter.consume("k"), limiter.consume("k")]);
    failures.push(...two.map((each) => each.status === "rejected" && (each.reason as unknown)));
    expect(failures.some((each) => each instanceof StoreUnavailableError)).toBe(true);
  });
  expect(failures[0]).toBeInstanceOf(StoreTimeoutError);
  expect(failures[0]).toMatchObject({ sent: true, busy: false });
  const answering = setInterval(() => held.settleAll(), 5);
  onTestFinished(() => clearInterval(answering));
  await eventually(async () => expect((await limiter.consume("k")).allowed).toBe(true), 25);
});

test("hung: a request is given up after its time, and the next one goes by another connection", async () => {
  const sockets = new Set<Socket>();
  const port = await rawServer((socket, turn) => {
    if (turn > 1) socket.write(http(ANSWER));
  }, sockets);
  const store = storeAt(port, { requestTimeout: "50ms", hooks: { onError: () => {} } });
  const limiter = limiterOn(store);
  await expect(limiter.consume("k")).rejects.toThrow(/did not answer within 50 ms$/);
  await eventually(() => expect(sockets.size).toBe(0));
  expect((await limiter.consume("k")).remaining).toBe(99);
});

test("slow: what comes meanwhile waits in line, and goes in one request", async () => {
  const service = await serviceAt();
  const held = new HeldStore();
  service.mount(held);
  const store = storeAt(service.port);
  const limiter = limiterOn(store);
  const sizes: number[] = [];
  store.events.on("batch", ({ size }) => sizes.push(size));
  const first = limiter.consume("a");
  await eventually(() => expect(held.held).toHaveLength(1));
  const others = Array.from({ length: 30 }, (_, i) => limiter.consume(`${i}`));
  held.settleAll();
  await first;
  await eventually(() => expect(held.held).toHaveLength(30));
  held.settleAll();
  await Promise.all(others);
  await eventually(() => expect(sizes).toEqual([1, 30]));
});

test("of 10,000 calls at once as many pass as the limit says", async () => {
  const service = await serviceAt();
  service.mount(new MemoryStore());
  const stores = [storeAt(service.port), storeAt(service.port)];
  const limiters = stores.map((store) => limiterOn(store));
  const asked = Array.from({ length: 10_000 }, (_, i) => {
    return (limiters[i % 2] as RateLimiter).consume(`k${i % 10}`);
  });
  const decisions = await Promise.all(asked);
  expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(1000);
  expect(service.requests()).toBeLessThan(200);
});

describe("a kept connection", () => {
  test("that was closed after an answer is not used again", async () => {
    const sockets = new Set<Socket>();
    const kept = http(ANSWER, "keep-alive: timeout=5\r\n");
    const port = await rawServer((socket) => socket.end(kept), sockets);
    const limiter = limiterOn(storeAt(port));
    for (let i = 0; i < 5; i++) {
      expect((await limiter.consume("k")).remaining).toBe(99);
      // Both sides know of its end.
      await eventually(() => expect(sockets.size).toBe(0), 1);
    }
  });

  test("that is closed just as a request comes fails that request, and it is not sent again", async () => {
    let turns = 0;
    const port = await rawServer((socket, turn) => {
      turns = turn;
      if (turn === 2) socket.destroy();
      else socket.write(http(ANSWER));
    });
    const limiter = limiterOn(storeAt(port));
    await limiter.consume("k");
    await expect(limiter.consume("k")).rejects.toThrow("ended before the answer");
    expect(turns).toBe(2);
    expect((await limiter.consume("k")).allowed).toBe(true);
    expect(turns).toBe(3);
  });

  test("that is unused for long is closed from here", async () => {
    const server = createHttpServer((request, response) => {
      request.resume().on("end", () => response.end(ANSWER));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const open = (): Promise<number> =>
      new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
    server.keepAliveTimeout = 600_000;
    const { port } = server.address() as AddressInfo;
    const limiter = limiterOn(storeAt(port, { idleTimeout: "100ms" }));
    await limiter.consume("k");
    await eventually(async () => expect(await open()).toBe(0));
    server.close();
    await once(server, "close");
  });
});

describe("an answer", () => {
  test.each([
    [
      "of another version",
      'HTTP/1.1 400 No\r\ncontent-length: 16\r\n\r\n{"versions":[2]}',
      "speaks version 2",
    ],
    ["of no decision service", http("<html>"), "is not a decision service"],
    [
      "that is cut off",
      "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
      "ended before the answer",
    ],
    ["for fewer calls", http('{"v":1,"calls":[]}'), "does not fit the calls"],
    [
      "with texts for numbers",
      http('{"v":1,"calls":[["1","2","3","4","5","6",null]]}'),
      "cannot be read",
    ],
    ["without calls", http('{"v":1}'), "cannot be read"],
    [
      "that is too long a request's",
      "HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n",
      "maxBodyBytes",
    ],
    ["of a busy service", "HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n", "status 429"],
    ["of nobody", "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", "there is no /v1/store"],
    ["of a proxy", "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "status 502"],
  ])("%s says so", async (_, text, words) => {
    const port = await rawServer((socket) => socket.end(text));
    const error: unknown = await limiterOn(storeAt(port))
      .consume("k")
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StoreUnavailableError);
    const { message, cause } = error as Error;
    expect(`${message} ${String(cause)}`).toContain(words);
    expect(error).toMatchObject({ busy: words === "status 429", ofKey: words === "maxBodyBytes" });
  });

  test("to a wrong token names no token", async () => {
    const service = await serviceAt();
    service.mount(new MemoryStore());
    const store = storeAt(service.port, { token: () => "a-secret-that-is-wrong" });
    const error: unknown = await limiterOn(store)
      .consume("k")
      .catch((reason: unknown) => reason);
    expect(String(error)).toContain("status 401: it does not know the token");
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("secret");
  });
});

test("a service that starts again has lost permits, and those who wait get in line anew", async () => {
  const service = await serviceAt();
  service.mount(new MemoryStore());
  const store = storeAt(service.port, { hooks: { onError: () => {} } });
  const semaphore = new Semaphore({ limit: 1, store, timeout: "60s", leaseDuration: "600ms" });
  onTestFinished(() => semaphore.close());
  const permit = await semaphore.acquire("k");
  const waiting = semaphore.acquire("k");
  await inLine(semaphore, 1);
  await service.close();
  const next = await serviceAt(service.port);
  next.mount(new MemoryStore());
  await (await waiting).release();
  await eventually(() => expect(permit.lost.aborted).toBe(true));
});

test("closed with calls, waits and notices under way: all end, and nothing is left", async () => {
  const service = await serviceAt();
  const held = new HeldStore();
  service.mount(held);
  const store = storeAt(service.port);
  const limiter = limiterOn(store);
  const underWay = limiter.consume("k").catch((error: unknown) => error);
  const watch = store.documents.watch("n", () => {});
  await eventually(() => expect(held.held).toHaveLength(1));
  await eventually(() => expect(service.requests()).toBe(3));
  const queued = limiter.consume("j").catch((error: unknown) => error);
  await store.close();
  expect([await underWay, await queued]).toMatchObject([{ code: "CLOSED" }, { code: "CLOSED" }]);
  watch.end();
  await expect(store.overrides.read("n", "")).rejects.toMatchObject({ code: "CLOSED" });
  const open = (): Promise<number> =>
    new Promise((resolve) => service.server.getConnections((_, count) => resolve(count)));
  await eventually(async () => expect(await open()).toBe(0));
});
