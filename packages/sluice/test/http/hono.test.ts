/** What is Hono's own: addresses, answers made by hand, and the ends of bodies; on a server, and on none. */
import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { HTTPException } from "hono/http-exception";
import { stream } from "hono/streaming";
import { describe, expect, test, vi } from "vitest";
import { rateLimit } from "../../src/adapters/hono.js";
import { by, clientAddress, type Outcome } from "../../src/http/index.js";
import { InvalidOptionError, Semaphore } from "../../src/index.js";
import { eventually } from "../support/eventually.js";
import { ask, open } from "./raw.js";
import { distantLimiterOf, ends, limiterOf } from "./limiters.js";
import { listenHttp } from "./subjects/listen.js";

const address = (): string => "192.0.2.7";

/** Keeps the outcomes of requests, and refunds each. */
function watched(): { outcomes: Outcome[]; settle: (outcome: Outcome) => number } {
  const outcomes: Outcome[] = [];
  return {
    outcomes,
    settle: (outcome) => {
      outcomes.push(outcome);
      return 0;
    },
  };
}

async function served(app: Hono): Promise<string> {
  const server = createAdaptorServer({ fetch: app.fetch });
  const running = await listenHttp(server as Server);
  ends.push(() => running.close());
  return running.url;
}

const left = (response: Response): string | undefined =>
  response.headers.get("RateLimit")?.replaceAll(/;t=\d+/g, "");

describe.each([
  ["at once", limiterOf],
  ["later", distantLimiterOf],
])("of a store that answers %s", (_, make) => {
  test("a denial is a problem, byte for byte, and nothing behind runs", async () => {
    const app = new Hono();
    const handled = vi.fn((c: Context) => c.text("ok"));
    app.use(rateLimit(make(1), { address: (c: Context) => getConnInfo(c).remote.address }));
    app.get("/", handled);
    const url = await served(app);
    const [allowed, denied, head] = [await ask(url), await ask(url), await ask(url, "HEAD /")];
    expect([allowed.status, allowed.body]).toEqual([200, "ok"]);
    const body =
      '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",' +
      '"title":"Quota exceeded","status":429,"violated-policies":["all"]}';
    for (const answer of [denied, head]) {
      const names = ["content-type", "cache-control", "ratelimit-policy"];
      expect([answer.status, ...names.map((name) => answer.field(name))]).toEqual([
        429,
        "application/problem+json",
        "no-store",
        '"all";q=1;w=3600',
      ]);
      expect(answer.field("ratelimit")).toMatch(/^"all";r=0;t=\d+$/);
    }
    expect(denied.field("content-length")).toBe(String(body.length));
    expect([denied.body, head.body]).toEqual([body, ""]);
    expect(handled).toHaveBeenCalledTimes(1);
  });

  test("what the charge function throws goes to onError", async () => {
    const app = new Hono();
    app.use(
      rateLimit({
        charge: async () => {
          await make(1).consume("k");
          throw new Error("no plan");
        },
      }),
    );
    app.get("/", (c) => c.text("ok"));
    app.onError((error, c) => c.text(error.message, 500));
    const response = await app.request("/");
    expect([response.status, await response.text()]).toEqual([500, "no plan"]);
  });
});

test("a limiter alone needs to be told of addresses", () => {
  const limiter = limiterOf(1);
  const alone = rateLimit as (first: unknown, second?: unknown) => unknown;
  for (const options of [undefined, {}, { address: undefined }]) {
    expect(() => alone(limiter, options)).toThrow(InvalidOptionError);
  }
  expect(() => alone(limiter, { address, charge: () => null })).toThrow(/charge/);
  expect(() => alone(limiter, { address: "1.2.3.4" })).toThrow(/address/);
  expect(() => alone({ limiter })).toThrow(InvalidOptionError);
});

test("an address that nobody knows is an error, not a limit that all share", async () => {
  const app = new Hono();
  app.use(rateLimit({ charge: by.address(limiterOf(10)) }));
  const errors: unknown[] = [];
  app.onError((error, c) => {
    errors.push(error);
    return c.text("", 500);
  });
  expect((await app.request("/")).status).toBe(500);
  expect(errors).toEqual([expect.objectContaining({ option: "charge.key" })]);
});

test("behind proxies the address is what they say of the connection", async () => {
  const app = new Hono();
  const addresses: unknown[] = [];
  app.use(
    rateLimit({
      address: clientAddress({
        trust: ["10.0.0.0/8"],
        connection: (c: Context) => c.req.query("from"),
      }),
      charge: (_c, call) => {
        addresses.push(call.address);
        return null;
      },
    }),
  );
  const headers = { "X-Forwarded-For": "203.0.113.66, 198.51.100.7" };
  await app.request("/?from=10.0.0.2", { headers });
  await app.request("/?from=192.0.2.7", { headers });
  expect(addresses).toEqual(["198.51.100.7", "192.0.2.7"]);
});

test("the charge function knows the variables, and onDenied makes the answer", async () => {
  interface Types {
    Variables: { user: string };
  }
  const app = new Hono<Types>();
  const limiter = limiterOf(1);
  app.use(async (c, next) => {
    c.set("user", c.req.header("x-user") ?? "");
    await next();
  });
  app.use(
    rateLimit<Types>({
      charge: (c) => ({ limiter, key: c.var.user }),
      onDenied: (c, { reason, status }) => Response.json({ user: c.var.user, reason }, { status }),
    }),
  );
  app.get("/", (c) => c.text("ok"));
  const answers = [];
  for (const user of ["ann", "bob", "ann"]) {
    const response = await app.request("/", { headers: { "X-User": user } });
    answers.push([response.status, left(response), await response.text()]);
  }
  expect(answers).toEqual([
    [200, '"all";r=0', "ok"],
    [200, '"all";r=0', "ok"],
    [429, '"all";r=0', '{"user":"ann","reason":"quota"}'],
  ]);
});

describe("fields are in every answer", () => {
  test.each<[string, (c: Context) => Response | Promise<Response>, number]>([
    ["that the context makes", (c) => c.json({}), 200],
    ["that is made by hand", () => new Response("ok"), 200],
    ["that cannot be changed", () => Response.redirect("http://localhost/", 302), 302],
    ["of an error", () => Promise.reject(new Error("boom")), 500],
    [
      "of an error that makes one",
      () => Promise.reject(new HTTPException(401, { res: new Response("no", { status: 401 }) })),
      401,
    ],
    ["where nothing is found", async (c) => c.notFound(), 404],
  ])("%s", async (_, handler, status) => {
    const app = new Hono();
    app.onError((error, c) =>
      error instanceof HTTPException ? error.getResponse() : c.text("", 500),
    );
    app.use(rateLimit(limiterOf(5), { address }));
    app.use(rateLimit(limiterOf(3, "inner"), { address }));
    app.get("/", handler);
    const response = await app.request("/");
    expect(response.status).toBe(status);
    // A list of what has names: the order says nothing.
    const lists = [left(response), response.headers.get("RateLimit-Policy")];
    expect(lists.map((list) => list?.split(", ").toSorted())).toEqual([
      ['"all";r=4', '"inner";r=2'],
      ['"all";q=5;w=3600', '"inner";q=3;w=3600'],
    ]);
  });

  test("that has some of its own already, as from a server behind", async () => {
    const app = new Hono();
    app.use(rateLimit(limiterOf(5), { address }));
    app.get("/", () => new Response("ok", { headers: { RateLimit: '"upstream";r=1' } }));
    expect(left(await app.request("/"))).toBe('"upstream";r=1, "all";r=4');
  });

  test("where no route matches", async () => {
    const app = new Hono();
    app.use(rateLimit(limiterOf(5), { address }));
    const response = await app.request("/missing");
    expect([response.status, left(response)]).toEqual([404, '"all";r=4']);
  });

  test.each<[string, (app: Hono) => unknown]>([
    ["set before", (app) => app.use(cors())],
    [
      "set after",
      (app) =>
        app.use(async (c, next) => {
          await next();
          c.header("Access-Control-Allow-Origin", "*");
        }),
    ],
  ])("and scripts of other origins may read them, with CORS %s", async (when, allow) => {
    const app = new Hono();
    if (when === "set before") allow(app);
    app.use(rateLimit(limiterOf(1), { address }));
    if (when !== "set before") allow(app);
    app.get("/", () => new Response("ok"));
    const allowed = await app.request("/");
    expect(allowed.headers.get("Access-Control-Expose-Headers")).toBe(
      "RateLimit-Policy, RateLimit",
    );
    if (when !== "set before") return;
    const denied = await app.request("/");
    expect([denied.status, denied.headers.get("Access-Control-Expose-Headers")]).toEqual([
      429,
      "RateLimit-Policy, RateLimit, Retry-After",
    ]);
  });

  test("and of older forms, where a handler has set its own, that is kept", async () => {
    const app = new Hono();
    app.use(rateLimit({ address, charge: by.address(limiterOf(5)), fields: "x-ratelimit" }));
    app.get("/", (c) => c.text("ok", 200, { "X-RateLimit-Limit": "1000" }));
    const { headers } = await app.request("/");
    expect(["Limit", "Remaining"].map((name) => headers.get(`X-RateLimit-${name}`))).toEqual([
      "1000",
      "4",
    ]);
  });
});

describe("a request ends", () => {
  /** A limit whose requests are watched. */
  function application(): { app: Hono; outcomes: Outcome[] } {
    const { outcomes, settle } = watched();
    const limiter = limiterOf(10);
    const app = new Hono();
    app.use(rateLimit({ charge: () => ({ limiter, key: "k", settle }) }));
    return { app, outcomes };
  }

  /** A body whose end is in the test's hands. */
  function slowBody(): { body: ReadableStream<Uint8Array>; end: () => void; fail: () => void } {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start: (given) => {
        controller = given;
        given.enqueue(new TextEncoder().encode("first"));
      },
    });
    return {
      body,
      end: () => controller.close(),
      fail: () => controller.error(new Error("lost")),
    };
  }

  test("when its body has been read, and not before", async () => {
    const { app, outcomes } = application();
    const { body, end } = slowBody();
    app.get("/", (c) => c.body(body, 201));
    const response = await app.request("/");
    expect([response.status, left(response), outcomes]).toEqual([201, '"all";r=9', []]);
    end();
    expect(await response.text()).toBe("first");
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 201, aborted: false }]);
    });
  });

  test("when its body is cancelled, as aborted", async () => {
    const { app, outcomes } = application();
    app.get("/", (c) => c.body(slowBody().body));
    const response = await app.request("/");
    await response.body?.cancel();
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: true }]);
    });
  });

  test("when its body fails", async () => {
    const { app, outcomes } = application();
    const { body, fail } = slowBody();
    app.get("/", (c) => c.body(body));
    const response = await app.request("/");
    fail();
    await expect(response.text()).rejects.toThrow("lost");
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: false }]);
    });
  });

  test("at once where its answer has none, or it is for HEAD, or an error that is none", async () => {
    const { app, outcomes } = application();
    app.get("/", (c) => c.body(slowBody().body));
    const text = "text" as unknown as Error;
    app.get("/none", (c) => c.body(null, 204));
    app.get("/throws", () => Promise.reject(text));
    expect((await app.request("/none")).status).toBe(204);
    expect((await app.request("/", { method: "HEAD" })).status).toBe(200);
    await expect(app.request("/throws")).rejects.toBe("text");
    expect(outcomes).toEqual([
      { status: 204, aborted: false },
      { status: 200, aborted: false },
      { status: 500, aborted: false, error: "text" },
    ]);
  });

  test("with the error that its handler threw", async () => {
    const { app, outcomes } = application();
    const boom = new Error("boom");
    app.onError((_error, c) => c.text("no", 500));
    app.get("/", () => Promise.reject(boom));
    await (await app.request("/")).text();
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 500, aborted: false, error: boom }]);
    });
  });

  test("with the fields that others set, cookies too", async () => {
    const { app } = application();
    app.get("/", (c) => {
      c.header("Set-Cookie", "a=1", { append: true });
      c.header("Set-Cookie", "b=2", { append: true });
      return c.text("ok", 200, { "X-Other": "yes" });
    });
    const { headers } = await app.request("/");
    expect(headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect([headers.get("x-other"), headers.get("content-type")]).toEqual([
      "yes",
      "text/plain; charset=UTF-8",
    ]);
  });

  test("as does what another middleware answers in its place", async () => {
    const { outcomes, settle } = watched();
    const limiter = limiterOf(10);
    const app = new Hono();
    app.use(etag());
    app.use(rateLimit({ charge: () => ({ limiter, key: "k", settle }) }));
    app.get("/", (c) => c.text("ok"));
    const { headers } = await app.request("/");
    const fresh = { "If-None-Match": headers.get("ETag") ?? "" };
    expect((await app.request("/", { headers: fresh })).status).toBe(304);
    await eventually(() => {
      expect(outcomes.map(({ status }) => status)).toEqual([200, 200]);
    });
  });

  test("on a server when its client leaves, in the midst of a body or before it", async () => {
    const { app, outcomes } = application();
    let came = (): void => undefined;
    let go = (): void => undefined;
    const gone = new Promise<void>((resolve) => (go = resolve));
    app.get("/stream", (c) =>
      stream(c, async (body) => {
        await body.write("first");
        await new Promise<void>((resolve) => {
          body.onAbort(resolve);
        });
      }),
    );
    app.get("/slow", async (c) => {
      came();
      await gone;
      return c.text("ok");
    });
    const url = await served(app);
    const streaming = open(url, "GET /stream");
    streaming.once("data", () => streaming.destroy());
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: true }]);
    });
    const seen = new Promise<void>((resolve) => (came = resolve));
    const slow = open(url, "GET /slow");
    await seen;
    slow.destroy();
    await eventually(() => {
      go();
      expect(outcomes).toHaveLength(2);
    });
    expect(outcomes[1]?.status).toBe(200);
  });
});

test("a permit is held until the body has ended", async () => {
  const semaphore = new Semaphore({ limit: 1 });
  ends.push(() => semaphore.close());
  const app = new Hono();
  app.use(rateLimit(semaphore, { address }));
  app.get("/", (c) => stream(c, async (body) => void (await body.write("first"))));
  const first = await app.request("/");
  expect((await app.request("/")).status).toBe(429);
  await first.text();
  await eventually(async () => {
    const response = await app.request("/");
    await response.text();
    expect(response.status).toBe(200);
  });
});

test("a client that waits in line and leaves is refused, and nothing behind runs", async () => {
  const limiter = limiterOf(1);
  await limiter.consume("k");
  const app = new Hono();
  const handled = vi.fn((c: Context) => c.text("ok"));
  app.use(rateLimit({ charge: () => ({ limiter, key: "k", maxWait: "2h" }) }));
  app.get("/", handled);
  const controller = new AbortController();
  const answered = app.request("/", { signal: controller.signal });
  controller.abort();
  expect((await answered).status).toBe(429);
  expect(handled).not.toHaveBeenCalled();
});
