/** What adapters on Node's own servers must know of how requests end, and how their users answer denials. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import { connect, type Socket } from "node:net";
import createApplication, { type ErrorRequestHandler } from "express";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type ExpressOptions, rateLimit as limitExpress } from "../../src/adapters/express.js";
import { rateLimit } from "../../src/adapters/node.js";
import type { Outcome } from "../../src/http/index.js";
import { fixedWindow, type MemoryStore, RateLimiter, Semaphore } from "../../src/index.js";
import type { RunningServer } from "../../src/testing/http/subject.js";
import { eventually } from "../support/eventually.js";
import { listenHttp, listenHttp2 } from "./subjects/listen.js";

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

function limiterOf(limit: number): RateLimiter<MemoryStore> {
  const limiter = new RateLimiter({ policy: fixedWindow({ limit, window: "1h" }) });
  ends.push(() => limiter.close());
  return limiter;
}

/** Denies the key k. */
function usedUp(): RateLimiter {
  const limiter = limiterOf(1);
  limiter.consumeSync("k");
  return limiter;
}

async function running(server: Promise<RunningServer>): Promise<string> {
  const started = await server;
  ends.push(() => started.close());
  return started.url;
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((made) => {
    resolve = made;
  });
  return { promise, resolve: (value) => resolve(value) };
}

/** Keeps what it is told, and settles by it. */
function watched(): {
  readonly outcomes: Outcome[];
  readonly settle: (outcome: Outcome) => number;
} {
  const outcomes: Outcome[] = [];
  return {
    outcomes,
    settle: (outcome) => {
      outcomes.push(outcome);
      return outcome.aborted ? 5 : 1;
    },
  };
}

describe("over HTTP/1.1", () => {
  function send(url: string): Socket {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    ends.push(() => socket.destroy());
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return socket;
  }

  test("a client that leaves while the limits are asked has its request settled as aborted", async () => {
    const limiter = limiterOf(10);
    const { outcomes, settle } = watched();
    const asked = deferred<ServerResponse>();
    const left = deferred<undefined>();
    const gone: unknown[] = [];
    const limited = rateLimit({
      charge: async (request, call) => {
        asked.resolve((request as IncomingMessage & { res: ServerResponse }).res);
        await left.promise;
        gone.push(call.gone?.().aborted);
        return { limiter, key: "k", settle };
      },
    });
    const handler = limited((_request, response) => response.end("ok"));
    const url = await running(
      listenHttp(
        createServer((request, response) => {
          void handler(Object.assign(request, { res: response }), response);
        }),
      ),
    );
    const socket = send(url);
    const response = await asked.promise;
    const closed = once(response, "close");
    socket.destroy();
    await closed;
    left.resolve(undefined);
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: true }]);
    });
    expect(gone).toEqual([true]);
    await eventually(async () => {
      expect((await limiter.peek("k")).remaining).toBe(5);
    });
  });

  test.each(["limiter", "semaphore"])(
    "a client that waits in line of a %s and leaves is refused, not an error",
    async (kind) => {
      const semaphore = new Semaphore({ limit: 1 });
      ends.push(() => semaphore.close());
      const permit = await semaphore.acquire("k");
      ends.push(() => permit.release());
      const limiter = kind === "limiter" ? usedUp() : semaphore;
      const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
      ends.push(() => warned.mockRestore());
      const handled = vi.fn<() => void>();
      const denials: unknown[] = [];
      const limited = rateLimit({
        charge: () => ({ limiter, key: "k", maxWait: "2h" }),
        onDenied: (_request, { reason }) => denials.push(reason),
      });
      const handler = limited(handled);
      const ended = deferred<unknown>();
      const url = await running(
        listenHttp(
          createServer((request, response) => {
            ended.resolve(handler(request, response));
            setImmediate(() => socket.destroy());
          }),
        ),
      );
      const socket = send(url);
      await ended.promise;
      expect(denials).toEqual([kind === "limiter" ? "quota" : "concurrency"]);
      expect(handled).not.toHaveBeenCalled();
      expect(warned).not.toHaveBeenCalled();
    },
  );

  test("a failure is a warning and 500, and the process goes on", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    ends.push(() => warned.mockRestore());
    const failure = new Error("no such plan");
    const limited = rateLimit({
      charge: () => {
        throw failure;
      },
    });
    const handler = limited((_request, response) => response.end("ok"));
    const url = await running(listenHttp(createServer((q, s) => void handler(q, s))));
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([500, "Internal Server Error"]);
    expect(warned.mock.calls).toEqual([[failure]]);
  });

  test.each(["at once", "later"])(
    "what the handler throws is its own, where limits are asked %s",
    async (when) => {
      const limiter = limiterOf(10);
      const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
      ends.push(() => warned.mockRestore());
      const limited = rateLimit({
        charge: () => {
          const charge = { limiter, key: "k" };
          return when === "at once" ? charge : Promise.resolve(charge);
        },
      });
      const failure = new Error("of the handler");
      const handler = limited(async () => {
        await Promise.resolve();
        throw failure;
      });
      const thrown = deferred<unknown>();
      const url = await running(
        listenHttp(
          createServer((request, response) => {
            const work = handler(request, response) as Promise<unknown>;
            work.catch((error: unknown) => {
              thrown.resolve(error);
              response.writeHead(418).end();
            });
          }),
        ),
      );
      expect((await fetch(url)).status).toBe(418);
      expect(await thrown.promise).toBe(failure);
      expect(warned).not.toHaveBeenCalled();
    },
  );

  test("what was answered while the limits were asked stays as it is", async () => {
    const limiter = limiterOf(0);
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    ends.push(() => warned.mockRestore());
    const answered = deferred<undefined>();
    const limited = rateLimit({
      charge: async () => {
        await answered.promise;
        return { limiter, key: "k" };
      },
    });
    const handled = vi.fn<() => void>();
    const handler = limited(handled);
    const passed: unknown[] = [];
    const url = await running(
      listenHttp(
        createServer((request, response) => {
          passed.push(handler(request, response));
          response.writeHead(503).end("too slow");
          answered.resolve(undefined);
        }),
      ),
    );
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([503, "too slow"]);
    await Promise.all(passed);
    expect(handled).not.toHaveBeenCalled();
    expect(warned).not.toHaveBeenCalled();
  });

  test("onDenied answers by the response", async () => {
    const limiter = usedUp();
    const limited = rateLimit({
      charge: () => ({ limiter, key: "k" }),
      onDenied: (request, { status, reason }, response) =>
        response.writeHead(status, { "x-reason": reason }).end(`${request.method} later`),
    });
    const handler = limited((_request, response) => response.end("ok"));
    const url = await running(listenHttp(createServer((q, s) => void handler(q, s))));
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([429, "GET later"]);
    expect(response.headers.get("x-reason")).toBe("quota");
    expect(response.headers.get("ratelimit")).toMatch(/^"fixed-window";r=0;t=\d+$/);
  });
});

describe("over HTTP/2", () => {
  /** More than a client lets come before it reads. */
  const BLOCKED = Buffer.alloc(10_000_000);

  interface Exchange {
    readonly session: ClientHttp2Session;
    readonly socket: Socket;
    readonly stream: ClientHttp2Stream;
  }

  function send(url: string, method = "GET"): Exchange {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    const session = connectHttp2(url, { createConnection: () => socket });
    session.on("error", () => undefined);
    const stream = session.request({ ":path": "/", ":method": method });
    stream.on("error", () => undefined);
    ends.push(() => session.destroy());
    return { session, socket, stream };
  }

  test.each([
    ["resets the stream", ({ stream }: Exchange) => stream.close(constants.NGHTTP2_CANCEL)],
    [
      "resets the stream as if nothing were wrong",
      ({ stream }: Exchange) => stream.close(constants.NGHTTP2_NO_ERROR),
    ],
    ["closes the connection", ({ socket }: Exchange) => socket.destroy()],
  ])("a client that %s is settled once, as aborted", async (_, leave) => {
    for (const when of ["before the answer", "in the midst of it"]) {
      const limiter = limiterOf(10);
      const { outcomes, settle } = watched();
      const limited = rateLimit<Http2ServerRequest, Http2ServerResponse>({
        charge: () => ({ limiter, key: "k", settle }),
      });
      const handler = limited((_request, response) => {
        if (when !== "before the answer") response.write("first");
        response.once("close", () => response.end("last"));
        exchange.stream.emit("handled");
      });
      const url = await running(listenHttp2(createHttp2Server((q, s) => void handler(q, s))));
      const exchange = send(url);
      await once(exchange.stream, when === "before the answer" ? "handled" : "response");
      leave(exchange);
      await eventually(() => {
        expect(outcomes, when).toEqual([{ status: 200, aborted: true }]);
      });
    }
  });

  test("an answer that is cut short after its end is settled as aborted", async () => {
    const limiter = limiterOf(10);
    const { outcomes, settle } = watched();
    const limited = rateLimit<Http2ServerRequest, Http2ServerResponse>({
      charge: () => ({ limiter, key: "k", settle }),
    });
    const handler = limited((_request, response) => response.end(Buffer.alloc(10_000_000)));
    const url = await running(listenHttp2(createHttp2Server((q, s) => void handler(q, s))));
    const { stream } = send(url);
    await once(stream, "response");
    stream.close(constants.NGHTTP2_CANCEL);
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: true }]);
    });
  });

  test.each([
    ["has not ended", true, (response: Http2ServerResponse) => response.write(BLOCKED)],
    // That the client had what it wanted is not known to be wrong.
    ["has ended", false, (response: Http2ServerResponse) => response.end(BLOCKED)],
  ])(
    "a client that resets with the code 0 what waits for its window, and %s, is settled",
    async (_, aborted, write) => {
      const limiter = limiterOf(10);
      const { outcomes, settle } = watched();
      const limited = rateLimit<Http2ServerRequest, Http2ServerResponse>({
        charge: () => ({ limiter, key: "k", settle }),
      });
      const handler = limited((_request, response) => write(response));
      const url = await running(listenHttp2(createHttp2Server((q, s) => void handler(q, s))));
      const { stream } = send(url);
      await once(stream, "response");
      stream.close(constants.NGHTTP2_NO_ERROR);
      await eventually(() => {
        expect(outcomes).toEqual([{ status: 200, aborted }]);
      });
    },
  );

  test("an answer before the rest of a body that nobody reads is settled", async () => {
    const limiter = limiterOf(10);
    const { outcomes, settle } = watched();
    const gone: AbortSignal[] = [];
    const limited = rateLimit<Http2ServerRequest, Http2ServerResponse>({
      charge: (_, call) => {
        gone.push(call.gone?.() ?? AbortSignal.any([]));
        return { limiter, key: "k", settle };
      },
    });
    // As parsers of bodies do with one that is too large.
    const handler = limited((request, response) => {
      request.once("data", () => {
        request.pause();
        response.writeHead(413).end();
      });
    });
    const url = await running(listenHttp2(createHttp2Server((q, s) => void handler(q, s))));
    const { stream } = send(url, "POST");
    stream.resume().end(Buffer.alloc(40_000));
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 413, aborted: false }]);
    });
    expect(gone.map(({ aborted }) => aborted)).toEqual([true]);
  });

  test("an answer that arrives is settled as such", async () => {
    const limiter = limiterOf(10);
    const { outcomes, settle } = watched();
    const limited = rateLimit<Http2ServerRequest, Http2ServerResponse>({
      charge: () => ({ limiter, key: "k", settle }),
    });
    const handler = limited((_request, response) => response.writeHead(404).end("nothing"));
    const url = await running(listenHttp2(createHttp2Server((q, s) => void handler(q, s))));
    const { stream } = send(url);
    stream.resume();
    await once(stream, "close");
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 404, aborted: false }]);
    });
  });

  test("a client that leaves while the limits are asked has its request settled as aborted", async () => {
    const limiter = limiterOf(10);
    const { outcomes, settle } = watched();
    const asked = deferred<Http2ServerRequest>();
    const left = deferred<undefined>();
    const gone: unknown[] = [];
    const limited = rateLimit<Http2ServerRequest, Http2ServerResponse>({
      charge: async (request, call) => {
        asked.resolve(request);
        await left.promise;
        gone.push(call.gone?.().aborted);
        return { limiter, key: "k", settle };
      },
    });
    const handler = limited((_request, response) => response.end("ok"));
    const url = await running(listenHttp2(createHttp2Server((q, s) => void handler(q, s))));
    const { socket } = send(url);
    const { stream } = await asked.promise;
    const closed = once(stream, "close").catch(() => undefined);
    socket.destroy();
    await closed;
    left.resolve(undefined);
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: true }]);
    });
    expect(gone).toEqual([true]);
  });
});

describe("Express", () => {
  async function serve(options: ExpressOptions, failed?: ErrorRequestHandler): Promise<string> {
    const app = createApplication();
    app.set("env", "test");
    app.use(limitExpress(options));
    app.get("/", (_request, response) => void response.send("ok"));
    if (failed !== undefined) app.use(failed);
    return running(listenHttp(createServer(app)));
  }

  test("onDenied answers by the response", async () => {
    const limiter = usedUp();
    const url = await serve({
      charge: () => ({ limiter, key: "k" }),
      onDenied: (request, { status, problem }, response) => {
        response.status(status).json({ error: problem.title, path: request.path });
      },
    });
    const response = await fetch(url);
    expect([response.status, await response.json()]).toEqual([
      429,
      { error: "Quota exceeded", path: "/" },
    ]);
    expect(response.headers.get("retry-after")).toMatch(/^\d+$/);
  });

  test.each([
    [
      "at once",
      (denied: Error) => () => {
        throw denied;
      },
    ],
    [
      "later",
      (denied: Error) => async () => {
        await Promise.resolve();
        throw denied;
      },
    ],
  ])("what onDenied throws %s goes to the error handlers", async (_, throwing) => {
    const limiter = limiterOf(0);
    const error = new Error("denied");
    const url = await serve(
      { charge: () => ({ limiter, key: "k" }), onDenied: throwing(error) },
      (known, _request, response, _next) => {
        response.status(429).send(known === error ? "by the error handler" : "another error");
      },
    );
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([429, "by the error handler"]);
  });

  test.each([undefined, null, 0, "", "route", "router"])(
    "a charge function that throws %j lets nothing pass",
    async (thrown) => {
      for (const charge of [
        () => {
          throw thrown as unknown as Error;
        },
        async (): Promise<never> => {
          await Promise.resolve();
          throw thrown as unknown as Error;
        },
      ]) {
        const url = await serve({ charge }, (_error, _request, response, _next) => {
          response.status(500).send("failed");
        });
        expect((await fetch(url)).status).toBe(500);
      }
    },
  );

  test("mounted on the application and on a router, it charges a request once", async () => {
    const limiter = limiterOf(10);
    const limits = limitExpress({ charge: () => ({ limiter, key: "k" }) });
    const app = createApplication();
    const router = createApplication.Router();
    router.use(limits);
    router.get("/", (_request, response) => void response.send("ok"));
    app.use(limits);
    app.use("/deep", router);
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    ends.push(() => warned.mockRestore());
    const url = await running(listenHttp(createServer(app)));
    for (let i = 0; i < 2; i++) expect((await fetch(`${url}/deep`)).status).toBe(200);
    expect((await limiter.peek("k")).remaining).toBe(8);
    expect(warned.mock.calls.map(([, options]) => options)).toEqual([
      expect.objectContaining({ code: "SLUICE_HTTP_CHARGED_TWICE" }),
    ]);
  });

  test("two of them charge a request twice, settle it once each, and their fields stand side by side", async () => {
    const [first, second] = [watched(), watched()];
    const app = createApplication();
    for (const [name, { settle }] of Object.entries({ first, second })) {
      const limiter = new RateLimiter({ policy: fixedWindow({ name, limit: 10, window: "1h" }) });
      ends.push(() => limiter.close());
      app.use(limitExpress({ charge: () => ({ limiter, key: "k", settle }) }));
    }
    app.get("/", (_request, response) => void response.send("ok"));
    const response = await fetch(await running(listenHttp(createServer(app))));
    expect(response.headers.get("ratelimit-policy")).toBe(
      '"first";q=10;w=3600, "second";q=10;w=3600',
    );
    expect(response.headers.get("ratelimit")).toMatch(/^"first";r=9;t=\d+, "second";r=9;t=\d+$/);
    await response.text();
    await eventually(() => {
      expect([first.outcomes, second.outcomes]).toEqual([
        [{ status: 200, aborted: false }],
        [{ status: 200, aborted: false }],
      ]);
    });
  });

  test.each([
    [false, "nobody"],
    [0, "nobody"],
    [1, "some"],
    ["loopback", "some"],
    [true, "everybody"],
  ] as const)("with trust proxy %o it trusts %s", async (setting, trusted) => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    ends.push(() => warned.mockRestore());
    const limiter = limiterOf(10);
    const trusts: unknown[] = [];
    const app = createApplication();
    app.set("trust proxy", setting);
    app.use(
      limitExpress({
        charge: (_request, call) => {
          trusts.push(call.trust?.(), call.trustSetting);
          return { limiter, key: "k" };
        },
      }),
    );
    await fetch(await running(listenHttp(createServer(app))));
    expect(trusts).toEqual([trusted, 'app.set("trust proxy", 1) for one of yours']);
  });
});
