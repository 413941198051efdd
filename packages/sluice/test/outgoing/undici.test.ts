/** limitInterceptor in undici's own dispatcher over real connections, under its request() and under fetch. */
import { once } from "node:events";
import { Readable } from "node:stream";
import { Agent, Client, fetch as fetchOfUndici } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import type { OutgoingOptions } from "../../src/outgoing/options.js";
import { limitInterceptor } from "../../src/outgoing/undici.js";
import type { Dispatch, Handler } from "../../src/outgoing/undici-types.js";
import { eventually } from "../support/eventually.js";
import { FakeLimiter, FakeSemaphore } from "./fakes.js";
import { type Script, serve } from "./server.js";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function start(options: OutgoingOptions, ...scripts: readonly Script[]) {
  const server = await serve(...scripts);
  const agent = new Agent();
  const client = agent.compose(limitInterceptor(options));
  closers.push(
    () => server.close(),
    () => agent.destroy(),
  );
  return { server, client, get: { origin: server.url, path: "/", method: "GET" } as const };
}

const slowDown = (seconds: number, more: Script = {}): Script => ({
  status: 429,
  headers: { "retry-after": String(seconds) },
  ...more,
});
const quick = { baseDelay: "1ms" } as const;

describe("request()", () => {
  test("waits for quota and a permit, which it holds until the body is done", async () => {
    const limiter = new FakeLimiter();
    const semaphore = new FakeSemaphore(1);
    const { server, client, get } = await start({ limiter, semaphore, cost: 2 }, { body: "hi" });
    const response = await client.request(get);
    expect(response.statusCode).toBe(200);
    expect(await response.body.text()).toBe("hi");
    expect(limiter.acquired).toEqual([{ key: server.url, cost: 2 }]);
    await eventually(() => expect(semaphore.held).toBe(0));
  });

  test("never has more under way than there are permits", async () => {
    const semaphore = new FakeSemaphore(2);
    const { server, client, get } = await start({ semaphore });
    const bodies = await Promise.all(
      Array.from({ length: 12 }, async () => (await client.request(get)).body.text()),
    );
    expect(bodies).toEqual(new Array(12).fill("ok"));
    expect(server.load.peak).toBeLessThanOrEqual(2);
    expect(semaphore).toMatchObject({ held: 0, peak: 2, grants: 12 });
  });

  test("is tried again after a refusal, body and all, as if nothing had been", async () => {
    const semaphore = new FakeSemaphore(1);
    const big = "x".repeat(200_000);
    const { server, client, get } = await start(
      { semaphore, retries: quick },
      slowDown(0, { body: big }),
      slowDown(0),
    );
    const response = await client.request({ ...get, method: "POST", body: "again" });
    expect([response.statusCode, await response.body.text()]).toEqual([200, "ok"]);
    expect(server.arrivals.map(({ body }) => body)).toEqual(["again", "again", "again"]);
    expect(semaphore).toMatchObject({ held: 0, grants: 3 });
  });

  test("is not tried again with a body that is a stream", async () => {
    const { server, client, get } = await start({ retries: quick }, slowDown(0));
    const body = Readable.from(["once"]);
    const response = await client.request({ ...get, method: "POST", body });
    expect([response.statusCode, await response.body.text()]).toEqual([429, "ok"]);
    expect(server.arrivals.map((arrival) => arrival.body)).toEqual(["once"]);
  });

  test("does not read a refusal's body without end", async () => {
    const endless: Script = {
      act: (_, answer) => answer.writeHead(429, { "retry-after": "0" }).write("x".repeat(200_000)),
    };
    const { client, get } = await start({ retries: quick }, endless);
    const response = await client.request(get);
    expect([response.statusCode, await response.body.text()]).toEqual([200, "ok"]);
  });

  test("does not wait for a refusal's body that stops half-way, and ends it", async () => {
    const semaphore = new FakeSemaphore(1);
    const stuck: Script = {
      act: (_, answer) => answer.writeHead(429, { "retry-after": "0" }).write("x"),
    };
    const { server, client, get } = await start({ semaphore, retries: quick }, stuck, stuck);
    const response = await client.request(get);
    expect([response.statusCode, await response.body.text()]).toEqual([200, "ok"]);
    expect(semaphore).toMatchObject({ grants: 3 });
    await eventually(() => expect([server.load.now, semaphore.held]).toEqual([0, 0]));
  });

  test("stays aborted where that happens while a refusal's body comes", async () => {
    const started: Script = {
      act: (_, answer) => answer.writeHead(429, { "retry-after": "20" }).write("x"),
    };
    const { server, client, get } = await start({ retries: quick }, started);
    const abort = new AbortController();
    const call = client.request({ ...get, signal: abort.signal });
    await eventually(() => expect(server.load.now).toBe(1));
    abort.abort();
    await expect(call).rejects.toThrow(/abort/i);
    expect(server.arrivals).toHaveLength(1);
    await eventually(() => expect(server.load.now).toBe(0));
  });

  test("gets the last answer when the tries are used up", async () => {
    const { client, get } = await start(
      { retries: { ...quick, attempts: 1 } },
      slowDown(0),
      slowDown(0, { body: "enough" }),
    );
    const response = await client.request(get);
    expect([response.statusCode, await response.body.text()]).toEqual([429, "enough"]);
  });

  test("is tried again after a broken connection where that is safe", async () => {
    const breaks: Script = { act: (request) => request.socket.destroy() };
    const semaphore = new FakeSemaphore(1);
    const options = { semaphore, retries: quick };
    const { server, client, get } = await start(options, breaks, {}, breaks);
    expect((await client.request(get)).statusCode).toBe(200);
    await expect(client.request({ ...get, method: "POST", body: "x" })).rejects.toThrow(
      /closed|reset|hang up/i,
    );
    expect(server.arrivals).toHaveLength(3);
    await eventually(() => expect(semaphore.held).toBe(0));
  });

  test("makes later calls wait, and other processes, as the answer asks", async () => {
    const limiter = new FakeLimiter();
    const { server, client, get } = await start(
      { limiter, retries: false, maxWait: "1s" },
      { headers: { ratelimit: '"a";r=0;t=30' } },
    );
    await (await client.request(get)).body.text();
    expect(limiter.blocked).toEqual([[server.url, 30_000, { keepLonger: true }]]);
    await expect(client.request(get)).rejects.toMatchObject({ code: "MAX_WAIT_EXCEEDED" });
    expect(server.arrivals).toHaveLength(1);
  });

  test("is aborted while it waits in line, before its try, and while it backs off", async () => {
    const semaphore = new FakeSemaphore(1);
    let finish = (): void => {};
    const unfinished: Script = {
      act: (_, answer) => {
        answer.writeHead(200, { connection: "close" }).write("and");
        finish = () => answer.end();
      },
    };
    const { server, client, get } = await start({ semaphore }, unfinished, slowDown(20));
    const first = await client.request(get);
    const inLine = new AbortController();
    const waiting = client.request({ ...get, signal: inLine.signal });
    await eventually(() => expect(semaphore.waiting).toBe(1));
    inLine.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
    expect(semaphore.waiting).toBe(0);
    await expect(client.request({ ...get, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    finish();
    await first.body.text();

    const backingOff = new AbortController();
    const refused = client.request({ ...get, signal: backingOff.signal });
    await eventually(() => expect(server.arrivals).toHaveLength(2));
    await eventually(() => expect(semaphore.held).toBe(0));
    backingOff.abort();
    await expect(refused).rejects.toThrow(/abort/i);
  });

  test("gives its permit back when the caller destroys the body", async () => {
    const semaphore = new FakeSemaphore(1);
    const { client, get } = await start(
      { semaphore },
      { act: (_, response) => response.writeHead(200).write("and so on") },
    );
    const { body } = await client.request(get);
    body.on("error", () => {});
    body.destroy();
    await eventually(() => expect(semaphore.held).toBe(0));
  });
});

describe("a permit does not stay with a request that ends oddly", () => {
  const noLuck = (): number => {
    throw new Error("no luck");
  };

  test.each<[string, Script]>([
    ["a refusal", slowDown(0)],
    ["a broken connection", { act: (request) => request.socket.destroy() }],
  ])("random throws after %s", async (_, script) => {
    const semaphore = new FakeSemaphore(1);
    const { client, get } = await start({ semaphore, random: noLuck }, script);
    await expect(client.request(get)).rejects.toThrow("no luck");
    expect(semaphore).toMatchObject({ held: 0, grants: 1 });
  });

  test.each(["onResponseStart", "onResponseData", "onResponseEnd"] as const)(
    "the caller's %s throws",
    async (callback) => {
      const semaphore = new FakeSemaphore(1);
      const { client, get } = await start({ semaphore, retries: quick });
      const error = await new Promise<Error>((resolve) => {
        client.dispatch(get, {
          onRequestStart() {},
          onResponseError: (_, caught) => resolve(caught),
          [callback]() {
            throw new Error("not my day");
          },
        });
      });
      expect(error.message).toBe("not my day");
      expect(semaphore).toMatchObject({ held: 0, grants: 1 });
    },
  );

  test("an upgraded connection holds its permit until it closes", async () => {
    const semaphore = new FakeSemaphore(1);
    const { server, client, get } = await start({ semaphore });
    server.onUpgrade((socket) => {
      socket.write("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
      socket.pipe(socket);
    });
    const { socket } = await client.upgrade({ ...get, protocol: "echo" });
    expect(semaphore.held).toBe(1);
    socket.write("hello");
    const [echoed] = (await once(socket, "data")) as [Buffer];
    expect([echoed.toString(), semaphore.held]).toEqual(["hello", 1]);
    socket.destroy();
    await eventually(() => expect(semaphore.held).toBe(0));
  });
});

describe("requests of a Client, which name no origin", () => {
  test("have the key that they are given", async () => {
    const limiter = new FakeLimiter();
    const { server } = await start({});
    const single = new Client(server.url);
    closers.push(() => single.destroy());
    const client = single.compose(limitInterceptor({ limiter, key: ({ url }) => url.pathname }));
    const { body } = await client.request({ path: "/a?b", method: "GET" });
    expect(await body.text()).toBe("ok");
    expect(limiter.acquired).toEqual([{ key: "/a" }]);
  });
});

/** Node's own fetch is that of another undici, and takes undici 7's dispatcher all the same. */
describe.each<[string, typeof fetchOfUndici]>([
  ["undici's fetch", fetchOfUndici],
  ["the global fetch", fetch as unknown as typeof fetchOfUndici],
])("%s", (_name, get) => {
  test("through the dispatcher is limited and tried again alike", async () => {
    const limiter = new FakeLimiter();
    const semaphore = new FakeSemaphore(1);
    const { server, client } = await start({ limiter, semaphore, retries: quick }, slowDown(0));
    const response = await get(server.url, { dispatcher: client });
    expect([response.status, await response.text()]).toEqual([200, "ok"]);
    expect(limiter.acquired).toHaveLength(2);
    await eventually(() => expect(semaphore.held).toBe(0));
  });

  test("reads a body bigger than its buffers, however slowly", async () => {
    const body = "0123456789".repeat(100_000);
    const { server, client } = await start({ retries: quick }, slowDown(0), { body });
    const response = await get(server.url, { dispatcher: client });
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += (chunk as Uint8Array).byteLength;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(length).toBe(body.length);
  });

  test("with a streamed body is not tried again", async () => {
    const { server, client } = await start({ retries: quick }, slowDown(0));
    const body = new Blob(["x"]).stream();
    const init = { method: "POST", body, duplex: "half", dispatcher: client } as const;
    expect((await get(server.url, init)).status).toBe(429);
    expect(server.arrivals).toHaveLength(1);
  });

  test("that is aborted while the body comes gives its permit back", async () => {
    const semaphore = new FakeSemaphore(1);
    const endless: Script = { act: (_, answer) => answer.writeHead(200).write("and so on") };
    const { server, client } = await start({ semaphore }, endless);
    const abort = new AbortController();
    const response = await get(server.url, { dispatcher: client, signal: abort.signal });
    expect(semaphore.held).toBe(1);
    abort.abort();
    await expect(response.text()).rejects.toThrow(/abort/i);
    await eventually(() => expect(semaphore.held).toBe(0));
  });
});

describe("misuse", () => {
  const never: Dispatch = () => {
    throw new Error("sent");
  };

  test("a request without an origin needs a key", async () => {
    const error = await new Promise<Error>((resolve) => {
      const handler: Handler = { onRequestStart() {}, onResponseError: (_, e) => resolve(e) };
      limitInterceptor()(never)({ path: "/", method: "GET" }, handler);
    });
    expect(error).toMatchObject({ code: "INVALID_OPTION", option: "key" });
  });

  test("what dispatch throws reaches the handler, and the permit goes back", async () => {
    const semaphore = new FakeSemaphore(1);
    const error = await new Promise<Error>((resolve) => {
      const handler: Handler = { onRequestStart() {}, onResponseError: (_, e) => resolve(e) };
      limitInterceptor({ semaphore, key: "k" })(never)({ path: "/", method: "GET" }, handler);
    });
    expect(error.message).toBe("sent");
    expect(semaphore).toMatchObject({ held: 0, grants: 1 });
  });

  test("handlers of undici 6 are refused, and so are bad options", () => {
    const old = { onConnect() {} } as Handler;
    expect(() => limitInterceptor()(never)({ path: "/", method: "GET" }, old)).toThrow("undici 7");
    expect(() => limitInterceptor({ maxWait: -1 })).toThrow("maxWait");
  });

  test("undici takes what it makes for a dispatch", () => {
    expect(limitInterceptor()(never)).toHaveLength(2);
  });
});
