/**
 * A server that means harm, against limitFetch and limitInterceptor: whatever it answers, tries are bounded, no body is
 * sent twice that cannot be, no POST is repeated that may have been done, and permits come back.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Agent } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import { limitFetch } from "../../src/outgoing/fetch.js";
import type { OutgoingOptions } from "../../src/outgoing/options.js";
import { limitInterceptor } from "../../src/outgoing/undici.js";
import type { Dispatch } from "../../src/outgoing/undici-types.js";
import { eventually } from "../support/eventually.js";
import { runs } from "../support/runs.js";
import { FakeLimiter, FakeSemaphore, IDLE_CONTROLLER } from "./fakes.js";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** What the server does with one request. */
type Malice = (request: IncomingMessage, response: ServerResponse) => void;

interface Hostile {
  readonly url: string;
  /** How often each path was asked for, and with which bodies. */
  readonly bodies: ReadonlyMap<string, readonly string[]>;
}

async function serve(act: Malice): Promise<Hostile> {
  const bodies = new Map<string, string[]>();
  const sockets = new Set<Socket>();
  const server: Server = createServer((request, response) => {
    const { url = "" } = request;
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      bodies.set(url, [...(bodies.get(url) ?? []), Buffer.concat(chunks).toString()]);
      act(request, response);
    });
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies };
}

const refusing =
  (status: number, headers: Record<string, string>): Malice =>
  (_, response) =>
    response.writeHead(status, headers).end("no");

const elsewhere: { url: string } = { url: "" };
const MALICE: readonly (readonly [what: string, act: Malice])[] = [
  ["Retry-After: 1e12", refusing(429, { "retry-after": "1e12" })],
  ["Retry-After: 1000000000000", refusing(503, { "retry-after": "1000000000000" })],
  ["Retry-After: 0 without end", refusing(429, { "retry-after": "0" })],
  ["a Retry-After of 8,000 digits", refusing(429, { "retry-after": "9".repeat(8000) })],
  ["a Retry-After that says nothing", refusing(429, { "retry-after": "soon, later, never" })],
  [
    "a reset in the year 9999",
    refusing(429, { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9999-12-31T23:59:59Z" }),
  ],
  [
    "a Date of long ago",
    refusing(429, {
      date: "Thu, 01 Jan 1970 00:00:00 GMT",
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset": "1795219200",
    }),
  ],
  ["errors without end", refusing(500, {})],
  ["no answer but an end", (request) => request.socket.destroy()],
  ["half a head", (request) => request.socket.end("HTTP/1.1 429 Too")],
  ["a head that is none", (request) => request.socket.end("nonsense\r\n\r\n")],
  [
    "a body that breaks off",
    (request, response) => {
      response
        .writeHead(200, { "content-length": "1000" })
        .write("half", () => request.socket.destroy());
    },
  ],
  [
    "a refusal whose body breaks off",
    (request, response) => {
      response
        .writeHead(429, { "retry-after": "0", "content-length": "1000" })
        .write("half", () => request.socket.destroy());
    },
  ],
  [
    "a refusal whose body never ends",
    (_, response) => {
      response.writeHead(429, { "retry-after": "0" }).write("no");
    },
  ],
  [
    "a refusal whose body is too large",
    (_, response) => {
      response.writeHead(503, { "retry-after": "0" }).end("x".repeat(1_000_000));
    },
  ],
  [
    "a redirect to another origin",
    (_, response) => {
      response.writeHead(302, { location: `${elsewhere.url}/`, "retry-after": "3600" }).end();
    },
  ],
];

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: string | ReadableStream | undefined;
  /** Whether the answer's body is read to its end; else it is cancelled. */
  readonly isRead?: boolean;
}
type Send = (origin: string, call: Call) => Promise<number>;

const SENDERS: readonly (readonly [string, (options: OutgoingOptions) => Send])[] = [
  [
    "limitFetch",
    (options) => {
      const limited = limitFetch(options);
      return async (origin, { method, path, body, isRead }) => {
        const init = { method, body, duplex: "half" } as RequestInit;
        const response = await limited(`${origin}${path}`, init);
        await (isRead === true ? response.text() : response.body?.cancel());
        return response.status;
      };
    },
  ],
  [
    "limitInterceptor",
    (options) => {
      const agent = new Agent();
      closers.push(() => agent.destroy());
      const client = agent.compose(limitInterceptor(options));
      return async (origin, { method, path, body, isRead }) => {
        const sent = typeof body === "object" ? (body as never) : (body ?? null);
        const request = { origin, path, method: method as "GET", body: sent };
        const answer = await client.request(request);
        if (isRead === true) await answer.body.text();
        else answer.body.on("error", () => {}).destroy();
        return answer.statusCode;
      };
    },
  ],
];

const ATTEMPTS = 2;
const CALLS: readonly Call[] = [
  { method: "GET", path: "/get", body: undefined },
  { method: "PUT", path: "/put", body: "put" },
  { method: "POST", path: "/post", body: "post" },
  { method: "PUT", path: "/stream", body: undefined },
];

describe.each(SENDERS)("%s", (_, sender) => {
  test.each(MALICE)("%s", async (what, act) => {
    const stranger = await serve(refusing(429, { "retry-after": "3600" }));
    elsewhere.url = stranger.url;
    const server = await serve(act);
    const semaphore = new FakeSemaphore(2);
    const limiter = new FakeLimiter();
    const send = sender({
      semaphore,
      limiter,
      maxPause: "1ms",
      retries: { attempts: ATTEMPTS, baseDelay: "1ms", maxDelay: "5ms" },
    });
    const endings = await Promise.allSettled(
      CALLS.map((call) => {
        const body = call.path === "/stream" ? new Blob(["stream"]).stream() : call.body;
        return send(server.url, { ...call, body, isRead: !what.includes("never ends") });
      }),
    );
    expect(endings).toHaveLength(CALLS.length);
    const times = (path: string): number => server.bodies.get(path)?.length ?? 0;
    for (const { path } of CALLS) expect([path, times(path) <= ATTEMPTS + 1]).toEqual([path, true]);
    expect(server.bodies.get("/stream")).toEqual(["stream"]);
    expect(new Set(server.bodies.get("/put"))).toEqual(new Set(["put"]));
    const isRefusal = /^(?:Retry-After|a Retry-After|a refusal|a reset|a Date)/.test(what);
    if (!isRefusal) expect(server.bodies.get("/post")).toEqual(["post"]);
    await eventually(() => expect(semaphore).toMatchObject({ held: 0, waiting: 0 }));
    const pauses = limiter.blocked.map(([, ms]) => Number(ms));
    expect(Math.max(0, ...pauses)).toBeLessThanOrEqual(1);
    const own = limiter.blocked.filter(([key]) => key === server.url);
    if (what.startsWith("a redirect")) expect(own).toEqual([]);
  });
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Node's own count, when all that can go has gone: what is watched for its end goes only between turns. */
async function heapMb(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let i = 0; i < 4; i += 1) {
    await turn();
    collect();
  }
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** Redirects lead to ever new origins, each of which asks for an hour. */
const ORIGINS = runs(60_000);
const MOST_MB = 16;

test(`limitFetch keeps nothing of ${ORIGINS} origins that ask for a pause`, async () => {
  let n = 0;
  const limited = limitFetch({
    limiter: { acquire: async () => {} },
    semaphore: new FakeSemaphore(1),
    retries: { attempts: 1 },
    fetch: async () => {
      n += 1;
      const refusal = new Response("no", { status: 429, headers: { "retry-after": "3600" } });
      return Object.defineProperty(refusal, "url", { value: `https://evil-${n}.invalid/` });
    },
  });
  const call = async (): Promise<void> => {
    await (await limited("https://a.invalid/")).text();
    if (n % 100 === 0) await turn();
  };
  for (let i = 0; i < ORIGINS / 4; i += 1) await call();
  const beforeMb = await heapMb();
  for (let i = 0; i < (ORIGINS * 3) / 4; i += 1) await call();
  expect(n).toBe(ORIGINS);
  expect((await heapMb()) - beforeMb).toBeLessThan(MOST_MB);
});

test(`limitInterceptor keeps nothing of ${ORIGINS} origins that ask for a pause`, async () => {
  let sent = 0;
  const dispatch: Dispatch = (_, handler) => {
    sent += 1;
    handler.onRequestStart?.(IDLE_CONTROLLER, {});
    handler.onResponseStart?.(IDLE_CONTROLLER, 429, { "retry-after": "3600" });
    handler.onResponseEnd?.(IDLE_CONTROLLER, {});
    return true;
  };
  const semaphore = new FakeSemaphore(1);
  const limiter = { acquire: async () => {} };
  const limited = limitInterceptor({ limiter, semaphore, retries: { attempts: 1 } })(dispatch);
  const call = (n: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = { origin: `https://evil-${n}.invalid`, path: "/", method: "GET" };
      limited(request, {
        onRequestStart() {},
        onResponseEnd: () => resolve(),
        onResponseError: (_, error) => reject(error),
      });
    });
  const callAll = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i += 1) {
      await call(i);
      if (i % 100 === 0) await turn();
    }
  };
  await callAll(0, ORIGINS / 4);
  const beforeMb = await heapMb();
  await callAll(ORIGINS / 4, ORIGINS);
  expect([sent, semaphore.held]).toEqual([ORIGINS, 0]);
  expect((await heapMb()) - beforeMb).toBeLessThan(MOST_MB);
});
