/** What is Fastify's own: scopes, options of routes, hooks, and how it answers. */
import { once } from "node:events";
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { describe, expect, test, vi } from "vitest";
import { rateLimit } from "../../src/adapters/fastify.js";
import type { Outcome } from "../../src/http/index.js";
import { fixedWindow, InvalidOptionError, RateLimiter } from "../../src/index.js";
import { eventually } from "../support/eventually.js";
import { ask, open, type RawAnswer } from "./raw.js";
import { distantLimiterOf, ends, limiterOf } from "./limiters.js";
import { listenHttp } from "./subjects/listen.js";

declare module "fastify" {
  interface FastifyRequest {
    login?: string;
  }
}

/** Serves `app`, and asks it for `lines` one after the other. */
async function asked(app: FastifyInstance, ...lines: string[]): Promise<readonly RawAnswer[]> {
  const url = await served(app);
  const answers: RawAnswer[] = [];
  for (const line of lines) answers.push(await ask(url, line));
  return answers;
}

async function served(app: FastifyInstance): Promise<string> {
  await app.ready();
  const running = await listenHttp(app.server);
  ends.push(() => running.close());
  return running.url;
}

const leftOf = (answers: readonly RawAnswer[]): readonly unknown[] =>
  answers.map((answer) => answer.field("ratelimit")?.replaceAll(/;t=\d+/g, ""));

const statusOf = (answers: readonly RawAnswer[]): readonly number[] =>
  answers.map(({ status }) => status);

test("a denial is a problem, byte for byte", async () => {
  const app = fastify();
  await app.register(rateLimit, { limiter: limiterOf(1) });
  app.get("/", () => "ok");
  const [, denied, head] = await asked(app, "GET /", "GET /", "HEAD /");
  const body =
    '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",' +
    '"title":"Quota exceeded","status":429,"violated-policies":["all"]}';
  for (const answer of [denied, head]) {
    expect(answer?.status).toBe(429);
    const names = ["content-type", "content-length", "cache-control", "ratelimit-policy"];
    expect(names.map((name) => answer?.field(name))).toEqual([
      "application/problem+json",
      String(body.length),
      "no-store",
      '"all";q=1;w=3600',
    ]);
    expect(answer?.field("ratelimit")).toMatch(/^"all";r=0;t=\d+$/);
    expect(answer?.field("retry-after")).toMatch(/^\d+$/);
  }
  expect(denied?.body).toBe(body);
  expect(head?.body).toBe("");
});

describe("the scope", () => {
  test("is that which registers it, its children, and what no route matches", async () => {
    const app = fastify();
    app.get("/before", () => "ok");
    void app.register((child, _options, done) => {
      child.get("/child", () => "ok");
      done();
    });
    await app.register(rateLimit, { limiter: limiterOf(10) });
    app.get("/after", () => "ok");
    const lines = ["/before", "/after", "/missing"].map((path) => `GET ${path}`);
    const answers = await asked(app, ...lines, "HEAD /after", "OPTIONS /after");
    expect(leftOf(answers)).toEqual([9, 8, 7, 6, 5].map((left) => `"all";r=${left}`));
    expect(statusOf(answers)).toEqual([200, 200, 404, 200, 404]);
  });

  test("of a child is the child alone", async () => {
    const app = fastify();
    app.get("/outside", () => "ok");
    await app.register(
      async (child) => {
        await child.register(rateLimit, { limiter: limiterOf(10) });
        child.get("/inside", () => "ok");
      },
      { prefix: "/api" },
    );
    const answers = await asked(app, "GET /outside", "GET /missing", "GET /api/inside");
    expect(leftOf(answers)).toEqual([undefined, undefined, '"all";r=9']);
  });

  test("of two plugins has both limits, one behind the other", async () => {
    const app = fastify();
    await app.register(rateLimit, { limiter: limiterOf(10) });
    await app.register(async (child) => {
      await child.register(rateLimit, { limiter: limiterOf(5, "inner") });
      child.get("/", () => "ok");
    });
    app.get("/outer", () => "ok");
    const answers = await asked(app, "GET /", "GET /outer");
    expect(leftOf(answers)).toEqual(['"all";r=9, "inner";r=4', '"all";r=8']);
    expect(answers[0]?.field("ratelimit-policy")).toBe('"all";q=10;w=3600, "inner";q=5;w=3600');
  });
});

describe("a route's own options", () => {
  test("stand in place of the plugin's, or say that there are none", async () => {
    const app = fastify();
    await app.register(rateLimit, { limiter: limiterOf(10) });
    const strict = { limiter: limiterOf(1, "strict") };
    app.get("/strict", { config: { rateLimit: strict } }, () => "ok");
    app.get("/free", { config: { rateLimit: false } }, () => "ok");
    app.get("/usual", () => "ok");
    const lines = ["/strict", "/free", "/usual", "/strict"].map((path) => `GET ${path}`);
    const answers = await asked(app, ...lines);
    expect(leftOf(answers)).toEqual(['"strict";r=0', undefined, '"all";r=9', '"strict";r=0']);
    expect(statusOf(answers)).toEqual([200, 200, 200, 429]);
  });

  test("are not looked for where no route says anything", async () => {
    const app = fastify();
    let reads = 0;
    app.addHook("onRequest", (request, _reply, next) => {
      const { routeOptions } = request;
      Object.defineProperty(request, "routeOptions", {
        get: () => {
          reads += 1;
          return routeOptions;
        },
      });
      next();
    });
    await app.register(rateLimit, { limiter: limiterOf(10) });
    app.get("/", () => "ok");
    await asked(app, "GET /", "GET /missing");
    expect(reads).toBe(0);
    const other = fastify();
    await other.register(rateLimit, { limiter: limiterOf(10) });
    await other.register((child, _options, next) => {
      child.get("/free", { config: { rateLimit: false } }, () => "ok");
      next();
    });
    expect(leftOf(await asked(other, "GET /free"))).toEqual([undefined]);
  });

  test("hold for routes from before the plugin too, and for HEAD", async () => {
    const app = fastify();
    app.get("/", { config: { rateLimit: { limiter: limiterOf(2, "own") } } }, () => "ok");
    await app.register(rateLimit);
    app.get("/other", () => "ok");
    const answers = await asked(app, "GET /", "HEAD /", "GET /", "GET /other");
    expect(statusOf(answers)).toEqual([200, 200, 429, 200]);
    expect(leftOf(answers).at(-1)).toBeUndefined();
  });

  test("leave the plugin's where they have none", async () => {
    const app = fastify();
    const limiter = limiterOf(1);
    await app.register(rateLimit, {
      fields: "draft-06",
      onDenied: (request) => ({ sorry: request.url }),
      charge: () => ({ limiter, key: "plugin" }),
    });
    const own = { charge: () => ({ limiter, key: "route" }) };
    app.get("/own", { config: { rateLimit: own } }, () => "ok");
    app.get("/fields", { config: { rateLimit: { fields: "draft-11" } } }, () => "ok");
    app.get("/usual", () => "ok");
    const lines = ["/own", "/own", "/fields", "/usual"].map((path) => `GET ${path}`);
    const [first, second, third, fourth] = await asked(app, ...lines);
    expect(first?.field("ratelimit-remaining")).toBe("0");
    expect([second?.status, second?.body]).toEqual([429, '{"sorry":"/own"}']);
    expect([third?.status, third?.field("ratelimit-remaining")]).toEqual([200, undefined]);
    expect([fourth?.status, fourth?.body]).toEqual([429, '{"sorry":"/usual"}']);
  });

  test("are charged once where two plugins see the route", async () => {
    const app = fastify();
    await app.register(rateLimit, { limiter: limiterOf(10) });
    await app.register(async (child) => {
      await child.register(rateLimit, { limiter: limiterOf(5, "inner") });
      child.get("/", { config: { rateLimit: { limiter: limiterOf(3, "own") } } }, () => "ok");
    });
    expect(leftOf(await asked(app, "GET /"))).toEqual(['"own";r=2']);
  });

  test.each<[string, object]>([
    ["config.rateLimit.limiters", { limiters: [] }],
    ["hook", { hook: "onSend" }],
    ["limiter", { limiter: {} }],
    [
      "limiter",
      {
        limiter: new RateLimiter({ policy: fixedWindow({ limit: 1, window: 1 }) }),
        charge: () => null,
      },
    ],
    ["fields", { fields: "draft-99" }],
    ["charge", { charge: "everybody" }],
  ])("with a wrong %s are refused with the route", async (option, wrong) => {
    const app = fastify();
    await app.register(rateLimit);
    const error = await Promise.resolve()
      .then(() => app.get("/", { config: { rateLimit: wrong } }, () => "ok"))
      .then(() => app.ready())
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ option });
  });
});

test("a plugin with wrong options is not registered", async () => {
  await expect(fastify().register(rateLimit, { max: 100 } as object)).rejects.toThrow(
    InvalidOptionError,
  );
});

describe("the hook preHandler", () => {
  test("charges by the body, and by whom authentication found", async () => {
    const app = fastify();
    const limiter = limiterOf(1);
    app.addHook("preHandler", (request, _reply, done) => {
      request.login = (request.body as { user: string }).user;
      done();
    });
    await app.register(rateLimit, {
      hook: "preHandler",
      charge: ({ login }) => ({ limiter, key: login }),
    });
    app.post("/", () => "ok");
    const url = await served(app);
    const json = { "Content-Type": "application/json" };
    const statuses = [];
    for (const user of ["ann", "bob", "ann"]) {
      statuses.push((await ask(url, "POST /", json, JSON.stringify({ user }))).status);
    }
    expect(statuses).toEqual([200, 200, 429]);
  });

  test("may be that of one route, whose plugin has the other", async () => {
    const app = fastify();
    const limiter = limiterOf(1);
    await app.register(rateLimit, { charge: () => ({ limiter, key: "all" }) });
    const own = {
      hook: "preHandler",
      charge: ({ body }: { body: unknown }) => ({ limiter, key: JSON.stringify(body) }),
    } as const;
    app.post("/", { config: { rateLimit: own } }, () => "ok");
    const url = await served(app);
    const json = { "Content-Type": "application/json" };
    const statuses = [];
    for (const body of ["[1]", "[2]", "[1]"]) {
      statuses.push((await ask(url, "POST /", json, body)).status);
    }
    expect(statuses).toEqual([200, 200, 429]);
  });
});

const nothing = undefined as unknown as Error;

describe.each([
  ["at once", limiterOf],
  ["later", distantLimiterOf],
])("of a store that answers %s", (_, make) => {
  test("limits hold", async () => {
    const app = fastify();
    const handled = vi.fn(() => "ok");
    await app.register(rateLimit, { limiter: make(2) });
    app.get("/", handled);
    const answers = await asked(app, "GET /", "GET /", "GET /");
    expect(statusOf(answers)).toEqual([200, 200, 429]);
    expect(handled).toHaveBeenCalledTimes(2);
  });

  test.each<[string, (answer: string) => unknown]>([
    ["at once", (answer) => answer],
    ["later", (answer) => Promise.resolve(answer)],
  ])("what onDenied returns %s is the answer", async (_when, returned) => {
    const app = fastify();
    await app.register(rateLimit, {
      limiter: make(1),
      onDenied: (request, { reason }) => returned(`${request.method} ${reason}`),
    });
    app.get("/", () => "ok");
    const [, denied] = await asked(app, "GET /", "GET /");
    expect([denied?.status, denied?.body]).toEqual([429, "GET quota"]);
    expect(denied?.field("ratelimit")).toMatch(/^"all";r=0/);
  });

  test("onDenied may answer by the reply", async () => {
    const app = fastify();
    await app.register(rateLimit, {
      limiter: make(0),
      onDenied: async (_request, _denial, reply) => reply.code(503).send("later"),
    });
    app.get("/", () => "ok");
    const [denied] = await asked(app, "GET /");
    expect([denied?.status, denied?.body]).toEqual([503, "later"]);
  });

  test.each<[string, () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("no plan");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no plan"))],
    ["rejects with nothing", () => Promise.reject(nothing)],
  ])("onDenied or a charge function that %s is an error of the request", async (_how, fails) => {
    const app = fastify();
    const handled = vi.fn(() => "ok");
    app.setErrorHandler((error, _request, reply) =>
      // Fastify itself would answer with the status that it has.
      reply.code(reply.statusCode + 300).send(error instanceof Error ? "an Error" : "something"),
    );
    await app.register(rateLimit, { limiter: make(0), onDenied: fails });
    app.get("/", handled);
    app.get("/charge", { config: { rateLimit: { charge: fails as never } } }, handled);
    const answers = await asked(app, "GET /", "GET /charge");
    expect(answers.map(({ body, status }) => [status, body])).toEqual([
      [500, "an Error"],
      [500, "an Error"],
    ]);
    expect(handled).not.toHaveBeenCalled();
  });
});

test("what was answered while the limits were asked stays as it is", async () => {
  const app = fastify();
  const limiter = limiterOf(0);
  const onDenied = vi.fn<() => void>();
  const replies = new WeakMap<FastifyRequest, FastifyReply>();
  app.addHook("onRequest", (request, reply, done) => {
    replies.set(request, reply);
    done();
  });
  await app.register(rateLimit, {
    onDenied,
    charge: async (request) => {
      const reply = replies.get(request) as FastifyReply;
      await once(reply.code(503).send("too slow").raw, "finish");
      return { limiter, key: "k" };
    },
  });
  app.get("/", () => "ok");
  const [answer] = await asked(app, "GET /");
  expect([answer?.status, answer?.body]).toEqual([503, "too slow"]);
  expect(onDenied).not.toHaveBeenCalled();
});

test("an outcome is reported once, also where the client leaves", async () => {
  const app = fastify();
  const limiter = limiterOf(10);
  const outcomes: Outcome[] = [];
  const settle = (outcome: Outcome): number => {
    outcomes.push(outcome);
    return 0;
  };
  await app.register(rateLimit, { charge: () => ({ limiter, key: "k", settle }) });
  app.get("/", () => "ok");
  app.get("/boom", () => {
    throw new Error("boom");
  });
  app.get("/hangs", (_request, reply) => {
    reply.raw.write("first");
    reply.hijack();
  });
  const url = await served(app);
  await ask(url, "GET /");
  const boom = await ask(url, "GET /boom");
  expect(boom.field("ratelimit")).toMatch(/^"all";r=9/);
  const socket = open(url, "GET /hangs");
  socket.once("data", () => socket.destroy());
  await eventually(() => {
    expect(outcomes).toEqual([
      { status: 200, aborted: false },
      { status: 500, aborted: false, error: expect.objectContaining({ message: "boom" }) as Error },
      { status: 200, aborted: true },
    ]);
  });
  await eventually(async () => {
    expect((await limiter.peek("k")).remaining).toBe(10);
  });
});

describe("the setting trustProxy", () => {
  test.each<[string, boolean | string | string[], readonly string[]]>([
    ["everybody", true, ["SLUICE_HTTP_PERMISSIVE_TRUST_PROXY"]],
    ["nobody", false, ["SLUICE_HTTP_UNTRUSTED_FORWARDED_FOR"]],
    ["this machine", "loopback", []],
    ["this network", ["127.0.0.0/8"], []],
  ])("that believes %s", async (_, trustProxy, codes) => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    ends.push(() => warned.mockRestore());
    const app = fastify({ trustProxy });
    await app.register(rateLimit, { limiter: limiterOf(10) });
    app.get("/", () => "ok");
    const url = await served(app);
    const left = [];
    for (const forged of ["203.0.113.1", "203.0.113.2"]) {
      const answer = await ask(url, "GET /", { "X-Forwarded-For": `${forged}, 198.51.100.9` });
      left.push(...leftOf([answer]));
    }
    expect(left).toEqual(
      trustProxy === true ? ['"all";r=9', '"all";r=9'] : ['"all";r=9', '"all";r=8'],
    );
    const said = warned.mock.calls.map(([, options]) => (options as { code?: string }).code);
    expect(said).toEqual(codes);
    for (const [message] of warned.mock.calls) {
      expect(message).toContain('fastify({ trustProxy: "10.0.0.0/8" })');
    }
  });
});
