/** What is Request and Response's own: bodies that end, fields that cannot be changed, answers that are thrown. */
import { afterEach, describe, expect, test } from "vitest";
import { type WebOptions, rateLimit } from "../../src/adapters/web.js";
import { clientAddress, type Outcome } from "../../src/http/index.js";
import { fixedWindow, type MemoryStore, RateLimiter, Semaphore } from "../../src/index.js";
import { eventually } from "../support/eventually.js";

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

function limiterOf(limit: number): RateLimiter<MemoryStore> {
  const limiter = new RateLimiter({ policy: fixedWindow({ limit, window: "1h" }) });
  ends.push(() => limiter.close());
  return limiter;
}

const URL_OF = "https://example.org/";
const request = (init?: RequestInit): Request => new Request(URL_OF, init);
const at = { address: "192.0.2.7" };

/** Limits that note each outcome; a request costs 3, and 1 after all. */
function noting(limiter = limiterOf(10)): {
  readonly limiter: RateLimiter<MemoryStore>;
  readonly outcomes: Outcome[];
  readonly options: WebOptions;
} {
  const outcomes: Outcome[] = [];
  const settle = (outcome: Outcome): number => {
    outcomes.push(outcome);
    return 1;
  };
  return {
    limiter,
    outcomes,
    options: { charge: () => ({ limiter, key: "k", cost: 3, settle }) },
  };
}

/** A body of two pieces, the second of which comes when it is asked for. */
function twoPieces(second: () => string): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let pieces = 0;
  return new ReadableStream(
    {
      pull: (controller) => {
        pieces += 1;
        controller.enqueue(encoder.encode(pieces === 1 ? "first" : second()));
        if (pieces === 2) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

describe("an answer", () => {
  test("has the fields, and is the handler's own object where it can be", async () => {
    const { limit } = rateLimit(limiterOf(2));
    const own = new Response("hello");
    const response = await limit(request(), () => own, at);
    expect(response).toBe(own);
    expect(response.headers.get("RateLimit")).toMatch(/^"fixed-window";r=1;t=\d+$/);
    expect(response.headers.get("RateLimit-Policy")).toBe('"fixed-window";q=2;w=3600');
  });

  test("whose fields cannot be changed is copied, with everything it had", async () => {
    const { limit } = rateLimit(limiterOf(9));
    const redirect = await limit(
      request(),
      () => Response.redirect("https://example.org/a", 303),
      at,
    );
    expect(redirect.status).toBe(303);
    expect(redirect.headers.get("location")).toBe("https://example.org/a");
    expect(redirect.headers.get("RateLimit")).toContain("r=8");
    const fetched = await limit(request(), () => fetch("data:text/plain,hello"), at);
    expect(await fetched.text()).toBe("hello");
    expect(fetched.headers.get("content-type")).toBe("text/plain");
    expect(fetched.headers.get("RateLimit")).toContain("r=7");
  });

  test("keeps each of its cookies when it is copied", async () => {
    const { options } = noting();
    const headers = new Headers([
      ["Set-Cookie", "a=1"],
      ["Set-Cookie", "b=2"],
    ]);
    const response = await rateLimit(options).limit(
      request(),
      () => new Response("x", { headers }),
    );
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    await response.text();
  });

  test("that is an error of fetch is passed on as it is", async () => {
    const { limit } = rateLimit(limiterOf(9));
    const failed = Response.error();
    expect(await limit(request(), () => failed, at)).toBe(failed);
  });

  test("that is none, as of a connection that became a socket, is passed on and settled", async () => {
    const { outcomes, options } = noting();
    const response = await rateLimit(options).limit(request(), () => undefined);
    expect(response).toBeUndefined();
    expect(outcomes).toEqual([{ status: 101, aborted: false }]);
  });

  test("has its list fields behind those of an inner limit", async () => {
    const inner = rateLimit(limiterOf(5));
    const outer = rateLimit({
      charge: () => ({
        limiter: new RateLimiter({
          policy: fixedWindow({ name: "outer", limit: 7, window: "1h" }),
        }),
        key: "k",
      }),
    });
    const ask = request();
    const response = await outer.limit(ask, () => inner.limit(ask, () => new Response("x"), at));
    expect(response.headers.get("RateLimit-Policy")).toBe(
      '"fixed-window";q=5;w=3600, "outer";q=7;w=3600',
    );
  });

  test("shows its fields to scripts of other origins, where the handler lets them read it", async () => {
    const headers = { "Access-Control-Allow-Origin": "*" };
    const { limit } = rateLimit(limiterOf(2));
    const response = await limit(request(), () => new Response("x", { headers }), at);
    expect(response.headers.get("Access-Control-Expose-Headers")).toBe(
      "RateLimit-Policy, RateLimit",
    );
  });
});

describe("a refusal", () => {
  test("shows its fields to a script of another origin, though what lets it comes later", async () => {
    const limiter = limiterOf(1);
    limiter.consumeSync("k");
    const { limit } = rateLimit({ charge: () => ({ limiter, key: "k" }) });
    const asked = request({ headers: { Origin: "https://example.com" } });
    const { headers } = await limit(asked, () => new Response("hello"));
    expect(headers.get("Access-Control-Expose-Headers")).toBe(
      "RateLimit-Policy, RateLimit, Retry-After",
    );
    expect(headers.has("Access-Control-Allow-Origin")).toBe(false);
  });

  test("is a problem body, and the handler is not called", async () => {
    const { limited } = rateLimit({
      charge: () => ({ limiter, key: "k" }),
    });
    const limiter = limiterOf(1);
    let calls = 0;
    const handler = limited((_request: Request) => {
      calls += 1;
      return new Response("hello");
    });
    await handler(request());
    const refused = await handler(request());
    expect(calls).toBe(1);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("content-type")).toBe("application/problem+json");
    expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(0);
    expect(refused.headers.get("Cache-Control")).toBe("no-store");
    expect(await refused.json()).toMatchObject({ status: 429, title: "Quota exceeded" });
  });

  test("is the user's own answer, with the fields in it", async () => {
    const limiter = limiterOf(1);
    limiter.consumeSync("k");
    const { limit } = rateLimit({
      charge: () => ({ limiter, key: "k" }),
      onDenied: async (asked, { status }) =>
        Response.redirect(`${asked.url}?refused=${status}`, 302),
    });
    const refused = await limit(request(), () => new Response("hello"));
    expect(refused.headers.get("location")).toBe(`${URL_OF}?refused=429`);
    expect(refused.headers.has("Retry-After")).toBe(true);
  });
});

describe("an address", () => {
  test("is the connection's, as the caller says it", async () => {
    const limiter = limiterOf(9);
    await rateLimit(limiter).limit(request(), () => new Response("x"), at);
    expect((await limiter.peek("192.0.2.7")).remaining).toBe(8);
  });

  test("is the one before the proxies that are trusted", async () => {
    const limiter = limiterOf(9);
    const { limit } = rateLimit({
      charge: (_request, { address }) => ({ limiter, key: address }),
      address: clientAddress({ trust: 1 }),
    });
    const headers = { "x-forwarded-for": "203.0.113.66, 198.51.100.7" };
    await limit(request({ headers }), () => new Response("x"), at);
    expect((await limiter.peek("198.51.100.7")).remaining).toBe(8);
  });

  test("is a field's value, by the option alone", async () => {
    const limiter = limiterOf(9);
    const { limited } = rateLimit({
      charge: (_request, { address }) => ({ limiter, key: address }),
      address: ({ headers }) => headers.get("cf-connecting-ip") ?? undefined,
    });
    const handler = limited(() => new Response("x"));
    await handler(request({ headers: { "cf-connecting-ip": "198.51.100.8" } }));
    expect((await limiter.peek("198.51.100.8")).remaining).toBe(8);
  });

  test("that nobody says is an error, not a limit that all share", async () => {
    const handler = rateLimit(limiterOf(9)).limited(() => new Response("x"));
    await expect(handler(request())).rejects.toThrow(/charge\.key/);
  });
});

describe("what is settled", () => {
  test("is so when the body has been read, not when the answer is there", async () => {
    const { limiter, outcomes, options } = noting();
    const response = await rateLimit(options).limit(
      request(),
      () =>
        new Response(
          twoPieces(() => "last"),
          { status: 201 },
        ),
    );
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    expect(outcomes).toEqual([]);
    await reader.read();
    expect((await reader.read()).done).toBe(true);
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 201, aborted: false }]);
    });
    await eventually(async () => {
      expect((await limiter.peek("k")).remaining).toBe(9);
    });
  });

  test("is aborted when the body is cancelled", async () => {
    const { outcomes, options } = noting();
    const response = await rateLimit(options).limit(
      request(),
      () => new Response(twoPieces(() => "last")),
    );
    await response.body?.cancel();
    expect(outcomes).toEqual([{ status: 200, aborted: true }]);
  });

  test("is aborted when the client leaves, though nobody cancels the body", async () => {
    const { outcomes, options } = noting();
    const controller = new AbortController();
    const response = await rateLimit(options).limit(
      request({ signal: controller.signal }),
      () => new Response(twoPieces(() => "last")),
    );
    controller.abort();
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: true }]);
    });
    await response.text();
    expect(outcomes).toHaveLength(1);
  });

  test("has the status of the handler, where the client left before it was known", async () => {
    const { outcomes, options } = noting();
    const controller = new AbortController();
    await rateLimit(options).limit(request({ signal: controller.signal }), () => {
      controller.abort();
      return new Response("wrong password", { status: 401 });
    });
    expect(outcomes).toEqual([{ status: 401, aborted: true }]);
  });

  test("has the error of a body that failed", async () => {
    const { outcomes, options } = noting();
    const error = new Error("disk");
    const response = await rateLimit(options).limit(
      request(),
      () =>
        new Response(
          twoPieces(() => {
            throw error;
          }),
        ),
    );
    await expect(response.text()).rejects.toThrow("disk");
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 200, aborted: false, error }]);
    });
  });

  test.each([
    ["HEAD", (): Response => new Response("unread")],
    ["GET", (): Response => new Response(null, { status: 204 })],
  ])("is so at once where no body follows: %s", async (method, handler) => {
    const { outcomes, options } = noting();
    const response = await rateLimit(options).limit(request({ method }), handler);
    expect(outcomes).toEqual([{ status: response.status, aborted: false }]);
  });

  test("keeps the runtime awake until it is", async () => {
    const { limiter, options } = noting();
    const awake: Promise<unknown>[] = [];
    const { limit } = rateLimit(options);
    const response = await limit(request(), () => new Response("x"), {
      waitUntil: (promise) => awake.push(promise),
    });
    await response.text();
    await eventually(() => {
      expect(awake).toHaveLength(1);
    });
    await Promise.all(awake);
    expect((await limiter.peek("k")).remaining).toBe(9);
  });

  test("has what the handler threw, which is thrown on", async () => {
    const { outcomes, options } = noting();
    const error = Object.assign(new Error("no"), { status: 403 });
    const answered = rateLimit(options).limit(request(), () => {
      throw error;
    });
    await expect(answered).rejects.toBe(error);
    expect(outcomes).toEqual([{ status: 403, aborted: false, error }]);
  });

  test("has the status of an answer that was thrown, which gets the fields", async () => {
    const { outcomes, options } = noting();
    const thrown = new Response("", { status: 404 });
    const answered = rateLimit(options).limit(request(), () => {
      // oxlint-disable-next-line typescript/only-throw-error
      throw thrown;
    });
    await expect(answered).rejects.toBe(thrown);
    expect(outcomes).toMatchObject([{ status: 404, aborted: false }]);
    expect(thrown.headers.get("RateLimit")).toContain("r=7");
  });

  test("is an error of the handler's where the body was read before", async () => {
    const { outcomes, options } = noting();
    const response = new Response("x");
    await response.text();
    await expect(rateLimit(options).limit(request(), () => response)).rejects.toThrow(TypeError);
    expect(outcomes).toMatchObject([{ status: 500 }]);
  });

  test("releases the permit of a semaphore with the body's end", async () => {
    const semaphore = new Semaphore({ limit: 1 });
    ends.push(() => semaphore.close());
    const { limit } = rateLimit(semaphore);
    const first = await limit(request(), () => new Response(twoPieces(() => "last")), at);
    expect((await limit(request(), () => new Response("x"), at)).status).toBe(429);
    expect(await first.text()).toBe("firstlast");
    await eventually(async () => {
      const again = await limit(request(), () => new Response("x"), at);
      await again.text();
      expect(again.status).toBe(200);
    });
  });
});

describe("types", () => {
  class NextLikeRequest extends Request {
    readonly nextUrl = new URL(this.url);
  }

  test("of a handler and its further arguments are kept", async () => {
    const limiter = limiterOf(5);
    const { limited } = rateLimit<NextLikeRequest>({
      charge: ({ nextUrl }) => ({ limiter, key: nextUrl.pathname }),
    });
    type Handler = (
      asked: NextLikeRequest,
      context: { params: Promise<{ id: string }> },
    ) => Promise<Response>;
    const GET: Handler = limited(
      async (asked: NextLikeRequest, { params }: { params: Promise<{ id: string }> }) =>
        Response.json({ id: (await params).id, path: asked.nextUrl.pathname }),
    );
    const params = Promise.resolve({ id: "7" });
    const response = await GET(new NextLikeRequest(`${URL_OF}items/7`), { params });
    expect(await response.json()).toEqual({ id: "7", path: "/items/7" });
    expect((await limiter.peek("/items/7")).remaining).toBe(4);
  });
});
