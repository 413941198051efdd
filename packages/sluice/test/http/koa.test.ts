/** What is Koa's own: fields that survive errors, whom it believes, and answers by the context. */
import { once } from "node:events";
import { createServer } from "node:http";
import Koa, { type Context, type Next } from "koa";
import { describe, expect, test, vi } from "vitest";
import { rateLimit } from "../../src/adapters/koa.js";
import type { Outcome } from "../../src/http/index.js";
import { eventually } from "../support/eventually.js";
import { ask, open, type RawAnswer } from "./raw.js";
import { distantLimiterOf, ends, limiterOf } from "./limiters.js";
import { listenHttp } from "./subjects/listen.js";

/** How its users tell Koa whom to believe. */
interface Trust {
  readonly proxy?: boolean;
  readonly maxIpsCount?: number;
}

function application(options: Trust = {}): Koa {
  const app: Koa = new Koa<Koa.DefaultState>(options);
  // Else it prints every error.
  app.silent = true;
  return app;
}

async function served(app: Koa): Promise<string> {
  const handle = app.callback();
  const running = await listenHttp(
    createServer((request, response) => void handle(request, response)),
  );
  ends.push(() => running.close());
  return running.url;
}

async function asked(app: Koa, ...lines: string[]): Promise<readonly RawAnswer[]> {
  const url = await served(app);
  const answers: RawAnswer[] = [];
  for (const line of lines) answers.push(await ask(url, line));
  return answers;
}

const withoutReset = (answer: RawAnswer | undefined): string | undefined =>
  answer?.field("ratelimit")?.replaceAll(/;t=\d+/g, "");

const sayOk = (ctx: Context): void => {
  ctx.body = "ok";
};

describe.each([
  ["at once", limiterOf],
  ["later", distantLimiterOf],
])("of a store that answers %s", (_, make) => {
  test("a denial is a problem, byte for byte, and nothing behind runs", async () => {
    const app = application();
    const handled = vi.fn(sayOk);
    app.use(rateLimit(make(1)));
    app.use(handled);
    const [allowed, denied, head] = await asked(app, "GET /", "GET /", "HEAD /");
    expect([allowed?.status, allowed?.body, withoutReset(allowed)]).toEqual([
      200,
      "ok",
      '"all";r=0',
    ]);
    const body =
      '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",' +
      '"title":"Quota exceeded","status":429,"violated-policies":["all"]}';
    for (const answer of [denied, head]) {
      const names = ["content-type", "content-length", "cache-control", "ratelimit-policy"];
      expect([answer?.status, ...names.map((name) => answer?.field(name))]).toEqual([
        429,
        "application/problem+json",
        String(body.length),
        "no-store",
        '"all";q=1;w=3600',
      ]);
    }
    expect([denied?.body, head?.body]).toEqual([body, ""]);
    expect(handled).toHaveBeenCalledTimes(1);
  });
});

test("requests that nothing answers are charged", async () => {
  const app = application();
  app.use(rateLimit(limiterOf(1)));
  const answers = await asked(app, "GET /missing", "GET /missing");
  expect(answers.map(({ status }) => status)).toEqual([404, 429]);
});

test("the charge function knows the state, and onDenied answers by the context", async () => {
  const app = new Koa<{ user: string }>();
  const limiter = limiterOf(1);
  app.use(async (ctx, next) => {
    ctx.state.user = ctx.get("X-User");
    await next();
  });
  app.use(
    rateLimit<{ user: string }>({
      charge: ({ state }) => ({ limiter, key: state.user }),
      onDenied: async (ctx, { reason }) => {
        // Longer than Koa would wait if nobody did.
        await new Promise((resolve) => setImmediate(resolve));
        ctx.body = { user: ctx.state.user, reason };
      },
    }),
  );
  app.use((ctx) => {
    ctx.body = "ok";
  });
  const url = await served(app);
  const answers = [];
  for (const user of ["ann", "bob", "ann"]) {
    answers.push(await ask(url, "GET /", { "X-User": user }));
  }
  expect(answers.map(({ status, body }) => [status, body])).toEqual([
    [200, "ok"],
    [200, "ok"],
    [429, '{"user":"ann","reason":"quota"}'],
  ]);
  expect(answers.map(withoutReset)).toEqual(['"all";r=0', '"all";r=0', '"all";r=0']);
});

describe("where something is thrown", () => {
  const names = ["ratelimit", "ratelimit-policy"] as const;

  test.each<[string, (ctx: Context) => unknown, number]>([
    ["an Error", () => Promise.reject(new Error("boom")), 500],
    ["an error of Koa's", (ctx) => ctx.throw(418, "teapot"), 418],
    [
      "an error with fields",
      (ctx) => ctx.throw(401, { headers: { "WWW-Authenticate": "Basic" } }),
      401,
    ],
  ])("%s: the fields are there, and those of the error", async (_, fails, status) => {
    const app = application();
    app.use(rateLimit(limiterOf(5)));
    app.use((ctx: Context) => fails(ctx));
    const [answer] = await asked(app, "GET /");
    expect([answer?.status, withoutReset(answer)]).toEqual([status, '"all";r=4']);
    expect(answer?.field("ratelimit-policy")).toBe('"all";q=5;w=3600');
    expect(answer?.field("www-authenticate")).toBe(status === 401 ? "Basic" : undefined);
  });

  test("all limits on the way are stated, each once", async () => {
    const app = application();
    app.use(rateLimit(limiterOf(5)));
    app.use(rateLimit(limiterOf(3, "inner")));
    app.use(() => Promise.reject(new Error("boom")));
    const [answer] = await asked(app, "GET /");
    expect([answer?.status, withoutReset(answer)]).toEqual([500, '"all";r=4, "inner";r=2']);
  });

  test("an error that is thrown to many says to each its own limits, and keeps none", async () => {
    const app = application();
    const shared: Error & { headers?: unknown } = new Error("no connection");
    const limiter = limiterOf(5);
    let fail = (): void => undefined;
    const connected = new Promise<void>((_, reject) => (fail = () => reject(shared)));
    let waiting = 0;
    app.use(rateLimit({ charge: (ctx) => ctx.path !== "/free" && { limiter, key: ctx.path } }));
    app.use(async () => {
      waiting += 1;
      if (waiting === 3) fail();
      await connected;
    });
    const url = await served(app);
    await limiter.consume("/b", { cost: 3 });
    const answers = await Promise.all(["/a", "/b", "/free"].map((path) => ask(url, `GET ${path}`)));
    expect(answers.map(({ status }) => status)).toEqual([500, 500, 500]);
    expect(answers.map(withoutReset)).toEqual(['"all";r=4', '"all";r=1', undefined]);
    expect(shared.headers).toBeUndefined();
  });

  test("scripts of other origins may still read them", async () => {
    const app = application();
    app.use(async (ctx: Context, next: Next) => {
      ctx.set("Access-Control-Allow-Origin", "*");
      try {
        await next();
      } catch (error) {
        (error as { headers?: unknown }).headers = { "Access-Control-Allow-Origin": "*" };
        throw error;
      }
    });
    app.use(rateLimit(limiterOf(5)));
    app.use(() => Promise.reject(new Error("boom")));
    const [answer] = await asked(app, "GET /");
    expect(answer?.field("access-control-allow-origin")).toBe("*");
    expect(answer?.field("access-control-expose-headers")).toBe("RateLimit-Policy, RateLimit");
  });

  test("whoever answers errors before gets the error itself, and the fields are sent", async () => {
    const app = application();
    const boom = Object.freeze(new Error("boom"));
    const caught: unknown[] = [];
    app.use(async (ctx: Context, next: Next) => {
      try {
        await next();
      } catch (error) {
        caught.push(error);
        ctx.status = 503;
        ctx.body = "later";
      }
    });
    app.use(rateLimit(limiterOf(5)));
    app.use(() => Promise.reject(boom));
    const [answer] = await asked(app, "GET /");
    expect([answer?.status, answer?.body, withoutReset(answer)]).toEqual([
      503,
      "later",
      '"all";r=4',
    ]);
    expect(caught).toEqual([boom]);
  });

  test.each(["text", Object.freeze(new Error("frozen"))])(
    "%s, which can carry no fields, changes nothing of Koa's answer",
    async (thrown) => {
      const bare = application();
      const limited = application();
      limited.use(rateLimit(limiterOf(5)));
      const onerror = [];
      for (const app of [bare, limited]) {
        app.use(() => Promise.reject(thrown as Error));
        const answers: unknown[] = [];
        Object.assign(app.context, {
          onerror(this: Context, error: unknown) {
            if (answers.length > 0) return;
            answers.push(error);
            this.res.statusCode = 500;
            this.res.end();
          },
        });
        await asked(app, "GET /");
        onerror.push(answers);
      }
      expect(onerror[1]).toEqual(onerror[0]);
    },
  );

  test("nothing, by the charge function: it is an error of the request all the same", async () => {
    const app = application();
    app.use(rateLimit({ charge: () => Promise.reject(undefined as unknown as Error) }));
    app.use(sayOk);
    const [answer] = await asked(app, "GET /");
    expect(answer?.status).toBe(500);
  });

  test("the charge function: it is an error of the request", async () => {
    const app = application();
    const handled = vi.fn(sayOk);
    app.use(
      rateLimit({
        charge: () => {
          throw new Error("no plan");
        },
      }),
    );
    app.use(handled);
    const [answer] = await asked(app, "GET /");
    expect(answer?.status).toBe(500);
    expect(handled).not.toHaveBeenCalled();
  });

  test(`${names.join(" and ")} are those of the request, also for HEAD`, async () => {
    const app = application();
    app.use(rateLimit(limiterOf(5)));
    app.use(() => Promise.reject(new Error("boom")));
    const [answer] = await asked(app, "HEAD /");
    expect(names.map((name) => answer?.field(name) !== undefined)).toEqual([true, true]);
  });
});

test("an outcome is reported once, with the error, also where the client leaves", async () => {
  const app = application();
  const limiter = limiterOf(10);
  const outcomes: Outcome[] = [];
  const boom = new Error("boom");
  app.use(
    rateLimit({
      charge: () => ({
        limiter,
        key: "k",
        settle: (outcome) => {
          outcomes.push(outcome);
          return 0;
        },
      }),
    }),
  );
  app.use(async (ctx: Context) => {
    if (ctx.path === "/boom") throw boom;
    sayOk(ctx);
    if (ctx.path !== "/hangs") return;
    ctx.respond = false;
    ctx.res.write("first");
    await once(ctx.res, "close");
  });
  const url = await served(app);
  await ask(url, "GET /");
  await ask(url, "GET /boom");
  const socket = open(url, "GET /hangs");
  socket.once("data", () => socket.destroy());
  await eventually(() => {
    expect(outcomes).toEqual([
      { status: 200, aborted: false },
      { status: 500, aborted: false, error: boom },
      { status: 200, aborted: true },
    ]);
  });
  await eventually(async () => {
    expect((await limiter.peek("k")).remaining).toBe(10);
  });
});

test("what was answered while the limits were asked stays as it is", async () => {
  const app = application();
  const limiter = limiterOf(0);
  const onDenied = vi.fn<() => void>();
  app.use(
    rateLimit({
      onDenied,
      charge: async ({ res }) => {
        await once(res.writeHead(503, { "Content-Length": 8 }).end("too slow"), "finish");
        return { limiter, key: "k" };
      },
    }),
  );
  const [answer] = await asked(app, "GET /");
  expect([answer?.status, answer?.body]).toEqual([503, "too slow"]);
  expect(onDenied).not.toHaveBeenCalled();
});

describe("whom Koa believes", () => {
  test.each<[string, Trust, readonly string[]]>([
    ["everybody", { proxy: true }, ["SLUICE_HTTP_PERMISSIVE_TRUST_PROXY"]],
    ["nobody", {}, ["SLUICE_HTTP_UNTRUSTED_FORWARDED_FOR"]],
    ["one proxy", { proxy: true, maxIpsCount: 1 }, []],
  ])("%s", async (who, options, codes) => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    ends.push(() => warned.mockRestore());
    const app = application(options);
    app.use(rateLimit(limiterOf(10)));
    app.use(sayOk);
    const url = await served(app);
    const left = [];
    for (const forged of ["203.0.113.1", "203.0.113.2"]) {
      const answer = await ask(url, "GET /", { "X-Forwarded-For": `${forged}, 198.51.100.9` });
      left.push(withoutReset(answer));
    }
    expect(left).toEqual(['"all";r=9', who === "everybody" ? '"all";r=9' : '"all";r=8']);
    const said = warned.mock.calls.map(([, about]) => (about as { code?: string }).code);
    expect(said).toEqual(codes);
    for (const [message] of warned.mock.calls) expect(message).toContain("app.maxIpsCount = 1");
  });

  test("an address that is not known is nobody's", async () => {
    const app = application();
    const addresses: unknown[] = [];
    app.use(async (ctx: Context, next: Next) => {
      // As Koa has it of a socket that is gone.
      ctx.request.ip = "";
      Object.defineProperty(ctx.request.socket, "remoteAddress", { value: undefined });
      await next();
    });
    app.use(
      rateLimit({
        charge: (_ctx, { address }) => {
          addresses.push(address);
          return null;
        },
      }),
    );
    await asked(app, "GET /");
    expect(addresses).toEqual([undefined]);
  });
});
