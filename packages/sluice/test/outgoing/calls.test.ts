/** What limitFetch and limitInterceptor send, to whom a pause belongs, and when permits come back. */
import { runInNewContext } from "node:vm";
import { Agent, fetch as fetchOfUndici, interceptors } from "undici";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { Semaphore } from "../../src/index.js";
import { limitFetch } from "../../src/outgoing/fetch.js";
import type { OutgoingOptions } from "../../src/outgoing/options.js";
import { limitInterceptor } from "../../src/outgoing/undici.js";
import { eventually } from "../support/eventually.js";
import { FakeLimiter, FakeSemaphore } from "./fakes.js";
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

function agentWith(options: OutgoingOptions, redirects = false): Agent {
  const agent = new Agent();
  closers.push(() => agent.destroy());
  const inner = redirects ? [interceptors.redirect({ maxRedirections: 3 })] : [];
  return agent.compose(...inner, limitInterceptor(options)) as Agent;
}

/** What the server got, sorted. */
const bodiesAt = ({ arrivals }: ScriptedServer): readonly string[] =>
  arrivals.map(({ body }) => body).toSorted();

const refusal: Script = { status: 429, headers: { "retry-after": "0" } };
const quick = { baseDelay: "1ms" } as const;

describe("what was passed at the call is sent, on every try", () => {
  test("though the URL changes while the call waits", async () => {
    const server = await start(refusal);
    const limiter = new FakeLimiter();
    const url = new URL(`${server.url}/?p=1`);
    const call = limitFetch({ limiter, retries: quick })(url);
    url.searchParams.set("p", "2");
    expect((await call).url).toBe(`${server.url}/?p=1`);
    expect(server.arrivals.map((arrival) => arrival.url)).toEqual(["/?p=1", "/?p=1"]);
  });

  test("though a loop uses one object for all its calls", async () => {
    const server = await start(refusal, refusal, refusal);
    const limited = limitFetch({ semaphore: new FakeSemaphore(1), retries: quick });
    const init: RequestInit = { method: "POST" };
    const calls = ["a", "b", "c"].map((body) => {
      init.body = body;
      return limited(server.url, init);
    });
    for (const call of calls) await (await call).text();
    expect(bodiesAt(server)).toEqual(["a", "a", "b", "b", "c", "c"]);
  });

  test("though a loop uses one object for all its requests through undici", async () => {
    const server = await start(refusal, refusal, refusal);
    const client = agentWith({ semaphore: new FakeSemaphore(1), retries: quick });
    const options = { origin: server.url, path: "/", method: "POST" as const, body: "" };
    const calls = ["a", "b", "c"].map((body) => {
      options.body = body;
      return client.request(options);
    });
    for (const call of calls) await (await call).body.text();
    expect(bodiesAt(server)).toEqual(["a", "a", "b", "b", "c", "c"]);
  });

  test("with headers that can be read once", async () => {
    const seen: unknown[] = [];
    const look: Script = {
      act: (request, response) => {
        seen.push(request.headers["x-user"]);
        response.writeHead(429, { "retry-after": "0", connection: "close" }).end();
      },
    };
    const headers = (): Iterable<[string, string]> => new Map([["x-user", "ann"]]).entries();
    const key = ({ headers: given }: { headers: Headers }): string => given.get("x-user") ?? "";
    const limiter = new FakeLimiter();
    const server = await start(look, look, {}, look, look, {});
    const options = { limiter, key, retries: quick };
    expect((await limitFetch(options)(server.url, { headers: headers() as never })).status).toBe(
      200,
    );
    const { statusCode, body } = await agentWith(options).request({
      origin: server.url,
      path: "/",
      method: "GET",
      headers: headers(),
    });
    expect([statusCode, await body.text()]).toEqual([200, "ok"]);
    expect(seen).toEqual(["ann", "ann", "ann", "ann"]);
    expect(limiter.acquired.map((asked) => asked.key)).toEqual(new Array(6).fill("ann"));
  });

  test("through the dispatcher that is given, with a Request too", async () => {
    const server = await start(refusal, {}, refusal);
    const limiter = new FakeLimiter();
    const dispatcher = agentWith({ limiter, retries: false });
    const limited = limitFetch({ retries: quick });
    for (const input of [server.url, new Request(server.url)]) {
      expect((await limited(input, { dispatcher } as object)).status).toBe(200);
    }
    expect(limiter.acquired).toHaveLength(4);
  });
});

describe("an error", () => {
  test("of the caller's own is met once, and takes one unit", async () => {
    const limiter = new FakeLimiter();
    const semaphore = new FakeSemaphore(1);
    let sent = 0;
    const send: typeof fetch = (...given) => {
      sent += 1;
      return fetch(...given);
    };
    const limited = limitFetch({ limiter, semaphore, fetch: send, retries: quick });
    const mistake = limited("http://a.invalid/", { method: "GET", body: "x" });
    await expect(mistake).rejects.toThrow(/body/);
    expect([sent, limiter.acquired.length, semaphore.held]).toEqual([1, 1, 0]);
  });

  test("of the network is tried again, whichever realm it comes from", async () => {
    let sent = 0;
    const send = async (): Promise<Response> => {
      sent += 1;
      if (sent > 1) return new Response("ok");
      throw runInNewContext(`new TypeError("fetch failed")`);
    };
    const limited = limitFetch({ fetch: send, retries: quick });
    expect(await (await limited("http://a.invalid/")).text()).toBe("ok");
    expect(sent).toBe(2);
  });
});

describe("a refusal's body is not waited for", () => {
  test("where the fetch keeps a clone", async () => {
    const server = await start({ ...refusal, body: "no" });
    const kept: Response[] = [];
    const semaphore = new FakeSemaphore(1);
    const limited = limitFetch({
      semaphore,
      retries: quick,
      fetch: async (...given) => {
        const response = await fetch(...given);
        kept.push(response.clone());
        return response;
      },
    });
    expect(await (await limited(server.url)).text()).toBe("ok");
    expect(semaphore).toMatchObject({ held: 0, grants: 2 });
    expect(await Promise.all(kept.map((response) => response.text()))).toEqual(["no", "ok"]);
  });

  test.each<[string, unknown]>([
    ["is a stream of Node's", { on: () => {} }],
    [
      "throws when it is cancelled",
      {
        cancel: () => {
          throw new Error("not now");
        },
      },
    ],
    ["rejects when it is cancelled", { cancel: () => Promise.reject(new Error("not now")) }],
    ["is never done with being cancelled", { cancel: () => new Promise(() => {}) }],
  ])("where it %s", async (_, body) => {
    const answers = [Object.defineProperty(new Response("", refusal), "body", { value: body })];
    const semaphore = new FakeSemaphore(1);
    const send = async (): Promise<Response> => answers.pop() ?? new Response("ok");
    const limited = limitFetch({ semaphore, retries: quick, fetch: send });
    expect(await (await limited("http://a.invalid/")).text()).toBe("ok");
    expect(semaphore).toMatchObject({ held: 0, grants: 2 });
  });
});

describe("a pause belongs to the origin that asked for it", () => {
  type Send = (url: string) => Promise<number>;
  const ways: [string, (options: OutgoingOptions) => Send][] = [
    [
      "limitFetch",
      (options) => {
        const limited = limitFetch(options);
        return async (url) => (await limited(url)).status;
      },
    ],
    [
      "undici's fetch",
      (options) => {
        const dispatcher = agentWith(options);
        return async (url) => (await fetchOfUndici(url, { dispatcher })).status;
      },
    ],
    [
      "undici's redirects below the interceptor",
      (options) => {
        const client = agentWith(options, true);
        return async (url) => {
          const { origin, pathname: path } = new URL(url);
          const { statusCode, body } = await client.request({ origin, path, method: "GET" });
          await body.dump();
          return statusCode;
        };
      },
    ],
  ];

  async function redirected(options: OutgoingOptions, way: (options: OutgoingOptions) => Send) {
    const evil = await start({ status: 429, headers: { "retry-after": "3600" } });
    const server = await start({ status: 302, headers: { location: `${evil.url}/trap` } });
    const limiter = new FakeLimiter();
    const send = way({ limiter, retries: false, maxWait: "1s", ...options });
    expect(await send(`${server.url}/`)).toBe(429);
    return { server, evil, limiter, send };
  }

  test.each(ways)("%s: not to the one that redirected", async (_, way) => {
    const { server, evil, limiter, send } = await redirected({}, way);
    expect(limiter.blocked).toEqual([[evil.url, 3_600_000, { keepLonger: true }]]);
    expect(await send(`${server.url}/`)).toBe(200);
    const error: unknown = await send(`${evil.url}/`).catch((caught: unknown) => caught);
    const { cause = error } = error as Error;
    expect(cause).toMatchObject({ code: "MAX_WAIT_EXCEEDED" });
  });

  test.each(ways.filter(([name]) => name !== "undici's fetch"))(
    "%s: to nobody where both have the same key",
    async (_, way) => {
      const { server, limiter, send } = await redirected({ key: "all" }, way);
      expect(limiter.blocked).toEqual([]);
      expect(await send(`${server.url}/`)).toBe(200);
    },
  );

  test("by a key made from the address that answered", async () => {
    const [[, way] = []] = ways;
    const key: OutgoingOptions["key"] = ({ url, headers }) => `${url.pathname} ${headers.get("a")}`;
    const { limiter } = await redirected({ key }, way as never);
    expect(limiter.acquired).toEqual([{ key: "/ null", maxWait: expect.any(Number) as number }]);
    expect(limiter.blocked).toEqual([["/trap null", 3_600_000, { keepLonger: true }]]);
  });

  test("of an answer that was redirected within its origin, as ever", async () => {
    const server = await start(
      { status: 302, headers: { location: "/b" } },
      { status: 429, headers: { "retry-after": "60" } },
    );
    const limiter = new FakeLimiter();
    await limitFetch({ limiter, retries: false, key: "all" })(server.url);
    expect(limiter.blocked).toEqual([["all", 60_000, { keepLonger: true }]]);
  });
});

describe("statuses", () => {
  const answer = (status: number, retryAfter?: string): Script => ({
    status,
    ...(retryAfter !== undefined && { headers: { "retry-after": retryAfter } }),
  });

  test("403 with Retry-After pauses and is not tried again", async () => {
    const server = await start(answer(403, "20"));
    const limiter = new FakeLimiter();
    expect((await limitFetch({ limiter, retries: quick })(server.url)).status).toBe(403);
    expect(limiter.blocked).toEqual([[server.url, 20_000, { keepLonger: true }]]);
    expect(server.arrivals).toHaveLength(1);
  });

  test("that pause and that are tried again can be chosen", async () => {
    const server = await start(answer(403, "0"), answer(520, "0"), {}, answer(429, "60"));
    const limiter = new FakeLimiter();
    const retries = { ...quick, statuses: [403, 520] };
    const limited = limitFetch({ limiter, retries, pauseStatuses: [520] });
    expect((await limited(server.url, { method: "PUT" })).status).toBe(200);
    expect((await limited(server.url)).status).toBe(429);
    expect(limiter.blocked).toEqual([]);
    expect(server.arrivals).toHaveLength(4);
  });

  test("that are chosen make no POST safe, but a refusal does", async () => {
    const server = await start(answer(500, "0"), answer(403), answer(403, "0"), {});
    const retries = { ...quick, statuses: [403, 500] };
    const limited = limitFetch({ retries, pauseStatuses: [403, 500] });
    const statuses = [];
    for (const body of ["a", "b", "c"]) {
      statuses.push((await limited(server.url, { method: "POST", body })).status);
    }
    expect(statuses).toEqual([500, 403, 200]);
    expect(server.arrivals.map(({ body }) => body)).toEqual(["a", "b", "c", "c"]);
  });

  test.each([
    ["pauseStatuses", { pauseStatuses: 429 }],
    ["pauseStatuses[1]", { pauseStatuses: [429, "503"] }],
    ["retries.statuses[0]", { retries: { statuses: [1000] } }],
    ["retries.statuses", { retries: { statuses: new Set([429]) } }],
    ["releaseAt", { releaseAt: "head" }],
  ])("a bad %s is refused", (option, options) => {
    expect(() => limitFetch(options as object)).toThrow(
      expect.objectContaining({ name: "InvalidOptionError", option }) as Error,
    );
  });
});

describe("a Semaphore in the place of a limiter", () => {
  function semaphoreOf(limit: number): Semaphore {
    const semaphore = new Semaphore({ limit });
    closers.push(() => semaphore.close());
    return semaphore;
  }

  test("is released when the call ends, however it ends", async () => {
    const server = await start(
      refusal,
      { status: 204, body: "" },
      { act: (request) => request.socket.destroy() },
      { body: "read" },
      { body: "cancelled" },
    );
    const limited = limitFetch({ limiter: semaphoreOf(1), retries: quick });
    expect((await limited(server.url)).status).toBe(204);
    await expect(limited(server.url, { method: "POST" })).rejects.toThrow(TypeError);
    expect(await (await limited(server.url)).text()).toBe("read");
    await (await limited(server.url)).body?.cancel();
    expect(await (await limited(server.url)).text()).toBe("ok");
  });

  test("is released by the interceptor too", async () => {
    const server = await start(refusal, { act: (request) => request.socket.destroy() });
    const client = agentWith({ limiter: semaphoreOf(1), retries: quick });
    const get = { origin: server.url, path: "/", method: "GET" } as const;
    for (const _ of [1, 2, 3]) {
      const { statusCode, body } = await client.request(get);
      expect([statusCode, await body.text()]).toEqual([200, "ok"]);
    }
  });

  test("is not held through a pause that began while the call was in line", async () => {
    const server = await start();
    const limiter = new FakeLimiter();
    let held = 0;
    const acquire = async (): Promise<{ release: () => Promise<void> }> => {
      held += 1;
      return {
        release: async () => {
          held -= 1;
        },
      };
    };
    let open = (): void => {};
    const turns = [new Promise<void>((resolve) => (open = resolve))];
    const waiting = limitFetch({
      limiter: {
        acquire: async () => {
          await turns.pop();
          return acquire();
        },
      },
      fetch: async (...given) => {
        limiter.acquired.push({ key: "sent" });
        return held === 1 && limiter.acquired.length === 1
          ? new Response(null, { status: 429, headers: { "retry-after": "3600" } })
          : fetch(...given);
      },
      retries: false,
      maxWait: "10s",
    });
    const first = waiting(server.url);
    await eventually(() => expect(turns).toHaveLength(0));
    expect((await waiting(server.url)).status).toBe(429);
    open();
    await expect(first).rejects.toMatchObject({ code: "MAX_WAIT_EXCEEDED" });
    expect(held).toBe(0);
  });

  /** With five permits that are held until the bodies are read, nobody reads before the sixth call has one. */
  test("of five serves six calls whose bodies are read later, if it is released at the headers", async () => {
    const server = await start();
    const urls = Array.from({ length: 6 }, (_, i) => `${server.url}/${i}`);
    const limited = limitFetch({ semaphore: semaphoreOf(5), releaseAt: "headers" });
    const responses = await Promise.all(urls.map((url) => limited(url)));
    expect(await Promise.all(responses.map((response) => response.text()))).toEqual(
      new Array(6).fill("ok"),
    );
    const client = agentWith({ limiter: semaphoreOf(5), releaseAt: "headers" });
    const begun: Script = { act: (_, response) => response.writeHead(200).write("and so on") };
    const endless = await start(begun, begun, begun, begun, begun, begun);
    const get = { origin: endless.url, path: "/", method: "GET" } as const;
    const answers = await Promise.all(urls.map(() => client.request(get)));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(new Array(6).fill(200));
    for (const { body } of answers) body.on("error", () => {}).destroy();
  });
});

test("a clone of an answer has its address, and a clone of that", async () => {
  const server = await start({ status: 302, headers: { location: "/b" } }, { body: "b" });
  const response = await limitFetch()(`${server.url}/a`);
  const expected = { url: `${server.url}/b`, redirected: true, type: "basic", status: 200 };
  const copies = [response.clone()];
  copies.push((copies[0] as Response).clone());
  for (const copy of [response, ...copies]) {
    expect(copy).toMatchObject(expected);
    expect(copy).toBeInstanceOf(Response);
    expect(await copy.text()).toBe("b");
  }
});

test("a clone of a clone has it too where a framework has put a Response of its own in place", async () => {
  const Native = Response;
  // As that of @hono/node-server: it clones what it made, into what it did not make.
  class Framed extends Native {
    readonly #framed = true;
    override clone(): Response {
      if (!this.#framed) throw new TypeError("not its own");
      return super.clone();
    }
  }
  const server = await start({ body: "b" });
  const url = `${server.url}/b`;
  vi.stubGlobal("Response", Framed);
  onTestFinished(() => void vi.unstubAllGlobals());
  const response = await limitFetch()(url);
  expect(response).toBeInstanceOf(Framed);
  const copy = response.clone().clone();
  expect([copy.url, await copy.text()]).toEqual([url, "b"]);
});
