/** Limits of operations, on Yoga, on Envelop alone, and on Apollo, over sockets where there are some. */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { ApolloServer, type ApolloServerPlugin, HeaderMap } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { envelop, useEngine, useSchema, type Plugin as EnvelopPlugin } from "@envelop/core";
import type * as Graphql from "graphql";
import { createSchema, createYoga, type Plugin as YogaPlugin } from "graphql-yoga";
import { afterEach, describe, expect, test } from "vitest";
import {
  apolloRateLimit,
  type GraphqlOptions,
  rateLimitDirective,
  useRateLimit,
} from "../../src/adapters/graphql.js";
import type { Outcome } from "../../src/http/index.js";
import {
  fixedWindow,
  InvalidOptionError,
  MemoryStore,
  RateLimiter,
  Semaphore,
} from "../../src/index.js";
import { PolicySet } from "../../src/policies/index.js";
import { eventually } from "../support/eventually.js";
import { listenHttp } from "./subjects/listen.js";

// The one that the servers import: this file would get another copy of it.
const graphql = createRequire(import.meta.url)("graphql") as typeof Graphql;

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

function limiterOf(limit: number, name = "a", store = new MemoryStore()): RateLimiter<MemoryStore> {
  const limiter = new RateLimiter({
    store,
    policy: fixedWindow({ name, limit, window: "1h", align: "first" }),
  });
  ends.push(() => limiter.close());
  return limiter;
}

async function isFree(semaphore: Semaphore): Promise<boolean> {
  const permit = await semaphore.tryAcquire("k");
  await permit?.release();
  return permit !== undefined;
}

const typeDefs = /* GraphQL */ `
  ${rateLimitDirective}
  interface Named { name: String }
  type User implements Named { name: String @rateLimit(limiter: "mail", cost: 3), friends: [User] }
  type Query {
    plain: Int
    boom: Int
    me: User
    named: Named
    search(text: String): [User] @rateLimit(limiter: "search", cost: 5)
    both: Int @rateLimit(limiter: "search") @rateLimit(limiter: "mail", cost: 1)
  }
  type Mutation { login(password: String): Boolean }
  type Subscription { ticks: Int }
`;

interface Answers {
  ticks(): AsyncIterable<{ ticks: number }>;
}

async function* twoTicks(): AsyncGenerator<{ ticks: number }> {
  yield { ticks: 1 };
  yield { ticks: 2 };
}

const resolvers = (answers: Partial<Answers> = {}) => ({
  Query: {
    plain: () => 1,
    boom: () => {
      throw new Error("boom");
    },
    me: () => ({ name: "ann", friends: [] }),
    search: () => [],
  },
  Named: { __resolveType: () => "User" },
  Mutation: {
    login: (_: unknown, { password }: { password: string }) => {
      if (password === "right") return true;
      throw new graphql.GraphQLError("no", { extensions: { http: { status: 401 } } });
    },
  },
  Subscription: { ticks: { subscribe: answers.ticks ?? twoTicks } },
});

const schema = (answers?: Partial<Answers>): Graphql.GraphQLSchema =>
  createSchema({ typeDefs, resolvers: resolvers(answers) });

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly data?: unknown;
    readonly errors?: readonly { message: string; extensions?: Record<string, unknown> }[];
  };
}

type Ask = (query: string | readonly string[], variables?: object) => Promise<Asked>;

function asking(url: string, headers: object = {}): Ask {
  return async (query, variables) => {
    const one = (text: string): object => ({ query: text, variables });
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(typeof query === "string" ? one(query) : query.map(one)),
    });
    const body = (await response.json()) as Asked["body"];
    return { status: response.status, headers: response.headers, body };
  };
}

async function yogaWith(
  options: Parameters<typeof useRateLimit>[0],
  more: readonly YogaPlugin[] = [],
  answers?: Partial<Answers>,
): Promise<Ask & { url: string }> {
  const yoga = createYoga({
    schema: schema(answers),
    plugins: [useRateLimit(options), ...more],
    batching: true,
    logging: false,
  });
  // oxlint-disable-next-line typescript/no-misused-promises
  const server = await listenHttp(createServer(yoga));
  ends.push(() => server.close());
  const url = `${server.url}/graphql`;
  return Object.assign(asking(url), { url });
}

async function apolloWith(
  options: Parameters<typeof apolloRateLimit>[0],
  more: readonly ApolloServerPlugin[] = [],
): Promise<Ask> {
  const server = new ApolloServer({
    typeDefs,
    resolvers: resolvers(),
    plugins: [apolloRateLimit(options), ...more],
    allowBatchedHttpRequests: true,
    stopOnTerminationSignals: false,
    includeStacktraceInErrorResponses: false,
  });
  const { url } = await startStandaloneServer(server, {
    listen: { port: 0, host: "127.0.0.1" },
    context: async ({ req }) => ({ req }),
  });
  ends.push(() => server.stop());
  return asking(url);
}

const servers: readonly [string, (options: GraphqlOptions | RateLimiter) => Promise<Ask>][] = [
  ["Yoga", yogaWith],
  ["Apollo", apolloWith],
];

describe.each(servers)("an operation on %s", (_, serve) => {
  test("is charged before it is executed, and its answer has the fields", async () => {
    const limiter = limiterOf(2);
    const ask = await serve(limiter);
    const { status, headers, body } = await ask("{ plain }");
    expect([status, body]).toEqual([200, { data: { plain: 1 } }]);
    expect(headers.get("RateLimit-Policy")).toBe('"a";q=2;w=3600');
    expect(headers.get("RateLimit")).toMatch(/^"a";r=1;t=\d+$/);
    expect((await limiter.peek("127.0.0.1")).remaining).toBe(1);
  });

  test("is refused with 429, the fields, and an error with a code", async () => {
    const limiter = limiterOf(1);
    const ask = await serve(limiter);
    await ask("{ plain }");
    const { status, headers, body } = await ask("{ plain }");
    expect(status).toBe(429);
    expect(headers.get("RateLimit-Policy")).toBe('"a";q=1;w=3600');
    expect(Number(headers.get("Retry-After"))).toBeGreaterThan(3000);
    expect(headers.get("Cache-Control")).toContain("no-store");
    expect(body.data).toBeUndefined();
    expect(body.errors).toEqual([
      {
        message: "Quota exceeded",
        extensions: { code: "RATE_LIMITED", retryAfterMs: expect.any(Number) as unknown },
      },
    ]);
  });

  test("takes a PolicySet, and charges the rules that are met, each charge by its own entries", async () => {
    const bucket = (limit: number) => ({ algorithm: "token-bucket", limit, period: "1h" }) as const;
    const rules = new PolicySet({
      source: {
        rules: [
          { name: "user", key: ["user"], policy: bucket(10) },
          { name: "org", key: ["org"], policy: bucket(4), candidate: { policy: bucket(1) } },
          { name: "seen", mode: "shadow", policy: bucket(0) },
        ],
      },
    });
    ends.push(() => rules.close());
    const ask = await serve({
      charge: ({ cost }) => [
        { limiter: rules, entries: { user: "ann" }, cost },
        { limiter: rules, entries: { org: "acme" }, cost },
      ],
    });
    const first = await ask("{ a: plain b: plain c: plain }");
    expect(first.status).toBe(200);
    expect(first.headers.get("RateLimit-Policy")).toMatch(/^"user";q=10;w=3600, "org";q=4;w=3600$/);
    const refused = await ask("{ a: plain b: plain }");
    expect(refused.status).toBe(429);
    expect(refused.body.errors?.[0]?.extensions).toMatchObject({ code: "RATE_LIMITED" });
    const left = async (entries: Record<string, string>): Promise<unknown> =>
      (await rules.peek({ entries })).rules[0]?.decision.remaining;
    // All or nothing: the user did not pay for what the organisation could not.
    expect([await left({ user: "ann" }), await left({ org: "acme" })]).toEqual([7, 1]);
  });

  test("that is charged one key in two slots is charged both", async () => {
    const limiter = limiterOf(3);
    const ask = await serve({
      charge: () => [
        { limiter, key: "k", slot: "a" },
        { limiter, key: "k", slot: "b", cost: 2, show: false },
      ],
    });
    expect((await ask("{ plain }")).status).toBe(200);
    expect((await limiter.peek("k", { slot: "a" })).remaining).toBe(2);
    expect((await limiter.peek("k", { slot: "b" })).remaining).toBe(1);
  });

  test("costs a field more for an alias, in one decision", async () => {
    const limiter = limiterOf(10);
    const ask = await serve({ charge: ({ cost }) => ({ limiter, key: "k", cost }) });
    expect((await ask("{ a: plain b: plain c: plain }")).status).toBe(200);
    expect((await limiter.peek("k")).remaining).toBe(7);
    // Not one of the eight is executed.
    const aliases = Array.from({ length: 8 }, (__, i) => `a${i}: plain`).join(" ");
    expect((await ask(`{ ${aliases} }`)).status).toBe(429);
    expect((await limiter.peek("k")).remaining).toBe(7);
  });

  test("pays for its fields with @rateLimit to the limiters they name, all or nothing", async () => {
    const store = new MemoryStore();
    const search = limiterOf(20, "search", store);
    const mail = limiterOf(4, "mail", store);
    const ask = await serve({ limiters: { search, mail }, key: () => "k" });
    expect((await ask("{ a: search { name } b: search { __typename } both plain }")).status).toBe(
      200,
    );
    expect((await search.peek("k")).remaining).toBe(9);
    expect((await mail.peek("k")).remaining).toBe(0);
    expect((await ask("{ search { name } }")).status).toBe(429);
    expect((await search.peek("k")).remaining).toBe(9);
    const { status, headers } = await ask("{ plain }");
    expect([status, headers.has("RateLimit")]).toEqual([200, false]);
  });

  test("pays once for all that one limiter is charged for a key", async () => {
    const limiter = limiterOf(10);
    const ask = await serve({
      charge: () => ({ limiter, key: "k" }),
      limiters: { search: limiter, mail: limiter },
      key: () => "k",
    });
    expect((await ask("{ both }")).status).toBe(200);
    expect((await limiter.peek("k")).remaining).toBe(7);
  });

  test("pays as each of a batch does", async () => {
    const limiter = limiterOf(2);
    const ask = await serve({ charge: () => ({ limiter, key: "k" }) });
    const { headers, body } = await ask(["{ plain }", "{ plain }", "{ plain }"]);
    const results = body as unknown as readonly Asked["body"][];
    expect(results.filter(({ data }) => data)).toHaveLength(2);
    expect(results.flatMap(({ errors = [] }) => errors)).toMatchObject([
      { extensions: { code: "RATE_LIMITED" } },
    ]);
    // One of each, not of each operation one.
    expect(headers.get("RateLimit-Policy")).toBe('"a";q=2;w=3600');
    expect(headers.has("Retry-After")).toBe(true);
  });

  test("is settled by its outcome, once", async () => {
    const outcomes: Outcome[] = [];
    const limiter = limiterOf(3);
    const ask = await serve({
      charge: () => ({
        limiter,
        key: "k",
        settle: (outcome) => {
          outcomes.push(outcome);
          return outcome.status === 401 ? 1 : 0;
        },
      }),
    });
    await ask('mutation { login(password: "right") }');
    await eventually(async () => {
      expect((await limiter.peek("k")).remaining).toBe(3);
    });
    await ask('mutation { login(password: "wrong") }');
    await eventually(() => {
      expect(outcomes).toMatchObject([
        { status: 200, aborted: false },
        { status: 401, aborted: false, error: { message: "no" } },
      ]);
    });
    expect((await limiter.peek("k")).remaining).toBe(2);
  });

  test("holds the permit of a semaphore until it has ended", async () => {
    const semaphore = new Semaphore({ limit: 1 });
    ends.push(() => semaphore.close());
    const ask = await serve({ charge: () => ({ limiter: semaphore, key: "k" }) });
    for (const query of ["{ plain }", "{ boom }", "{ plain }"]) {
      await eventually(async () => {
        expect((await ask(query)).status).toBe(200);
      });
    }
  });

  test("that is not valid is the server's business, and free", async () => {
    const limiter = limiterOf(5);
    const ask = await serve(limiter);
    expect((await ask("{ nothing }")).body.errors).toHaveLength(1);
    expect((await limiter.peek("127.0.0.1")).remaining).toBe(5);
  });

  test("has the error that onDenied makes", async () => {
    const limiter = limiterOf(1);
    limiter.consumeSync("k");
    const ask = await serve({
      charge: () => ({ limiter, key: "k" }),
      onDenied: ({ operation }, { reason }) =>
        new graphql.GraphQLError(`${operation.operation}: ${reason}`, {
          extensions: { code: "SLOW_DOWN" },
        }),
    });
    expect((await ask("{ plain }")).body.errors).toMatchObject([
      { message: "query: quota", extensions: { code: "SLOW_DOWN" } },
    ]);
  });

  test("sees what the request says of its caller", async () => {
    const limiter = limiterOf(5);
    const ask = await serve({
      charge: ({ variables }, call) => ({
        limiter,
        key: `${call.method} ${call.header("content-type")} ${String(variables["text"])}`,
      }),
    });
    await ask("query ($text: String) { search(text: $text) { __typename } }", { text: "x" });
    expect((await limiter.peek("POST application/json x")).remaining).toBe(4);
  });
});

describe("a schema that names a limiter which is not there", () => {
  const options = { limiters: { search: limiterOf(1) } };

  test("keeps Yoga from answering, and Apollo from starting", async () => {
    expect(() => createYoga({ schema: schema(), plugins: [useRateLimit(options)] })).toThrow(
      /mail.*"search"/s,
    );
    await expect(apolloWith(options)).rejects.toThrow(/mail.*"search"/s);
  });
});

describe("options", () => {
  test.each<[string, unknown, RegExp]>([
    ["nothing to charge", {}, /charge/],
    ["an unknown name", { chrage: () => null }, /did you mean charge/],
    ["a cost that is none", { charge: () => null, costs: { "Query.a": -1 } }, /costs\.Query\.a/],
    ["a limiter that is none", { limiters: { a: 1 } }, /limiters\.a/],
    ["a key that is no function", { limiters: {}, key: "k" }, /key/],
    ["an onDenied that is no function", { charge: () => null, onDenied: 1 }, /onDenied/],
  ])("are checked at once: %s", (_, options, message) => {
    for (const make of [useRateLimit, apolloRateLimit]) {
      const making = (): unknown => make(options as GraphqlOptions);
      expect(making).toThrow(InvalidOptionError);
      expect(making).toThrow(message);
    }
  });
});

describe("a subscription", () => {
  const readAll = async (url: string): Promise<string> => {
    const headers = { accept: "text/event-stream" };
    const response = await fetch(`${url}?query=subscription{ticks}`, { headers });
    return response.text();
  };

  test("holds its permit until its last event", async () => {
    const semaphore = new Semaphore({ limit: 1 });
    ends.push(() => semaphore.close());
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    async function* ticks(): AsyncGenerator<{ ticks: number }> {
      yield { ticks: 1 };
      await ended;
    }
    const options = { charge: () => ({ limiter: semaphore, key: "k" }) };
    const ask = await yogaWith(options, [], { ticks });
    const first = readAll(ask.url);
    await eventually(async () => {
      expect(await isFree(semaphore)).toBe(false);
    });
    expect((await ask("{ plain }")).status).toBe(429);
    end();
    expect(await first).toContain('"ticks":1');
    await eventually(async () => {
      expect((await ask("{ plain }")).status).toBe(200);
    });
  });

  test("gives its permit back when its client leaves, or its source fails", async () => {
    const semaphore = new Semaphore({ limit: 1 });
    ends.push(() => semaphore.close());
    let isFailing = false;
    async function* ticks(): AsyncGenerator<{ ticks: number }> {
      yield { ticks: 1 };
      if (isFailing) throw new Error("source");
      await new Promise(() => undefined);
    }
    const ask = await yogaWith({ charge: () => ({ limiter: semaphore, key: "k" }) }, [], { ticks });
    const controller = new AbortController();
    const headers = { accept: "text/event-stream" };
    const { signal } = controller;
    const response = await fetch(`${ask.url}?query=subscription{ticks}`, { headers, signal });
    await response.body?.getReader().read();
    controller.abort();
    isFailing = true;
    await eventually(async () => {
      expect(await readAll(ask.url)).toContain('"ticks":1');
    });
    await eventually(async () => {
      expect((await ask("{ plain }")).status).toBe(200);
    });
  });
});

/** A server that is made with Envelop alone. */
function executing(plugin: EnvelopPlugin): (args: object) => Promise<unknown> {
  const getEnveloped = envelop({ plugins: [useEngine(graphql), useSchema(schema()), plugin] });
  const made: {
    readonly parse: (query: string) => Graphql.DocumentNode;
    readonly execute: (args: Graphql.ExecutionArgs) => unknown;
    readonly schema: Graphql.GraphQLSchema;
  } = getEnveloped({});
  const document = made.parse("{ plain }");
  return async (args) => made.execute({ schema: made.schema, document, contextValue: {}, ...args });
}

describe("two plugins", () => {
  test.each(servers.map(([name]) => name))(
    "state their limits side by side on %s",
    async (name) => {
      const [first, second] = [limiterOf(10, "first"), limiterOf(5, "second")];
      const more = { charge: () => ({ limiter: second, key: "k" }) };
      const ask =
        name === "Yoga"
          ? await yogaWith(first, [useRateLimit(more)])
          : await apolloWith(first, [apolloRateLimit(more)]);
      const { headers } = await ask("{ plain }");
      expect(headers.get("RateLimit-Policy")?.split(", ").toSorted()).toEqual([
        '"first";q=10;w=3600',
        '"second";q=5;w=3600',
      ]);
      const batch = await ask(["{ plain }", "{ plain }"]);
      // What the last operation left, once for each limit.
      const stated = batch.headers.get("RateLimit")?.replaceAll(/;t=\d+/g, "");
      expect(stated?.split(", ").toSorted()).toEqual(['"first";r=7', '"second";r=2']);
    },
  );
});

describe("what others do", () => {
  function heldBy(): { readonly semaphore: Semaphore; readonly options: GraphqlOptions } {
    const semaphore = new Semaphore({ limit: 1 });
    ends.push(() => semaphore.close());
    return { semaphore, options: { charge: () => ({ limiter: semaphore, key: "k" }) } };
  }

  const free = async (semaphore: Semaphore): Promise<void> => {
    await eventually(async () => {
      expect(await isFree(semaphore)).toBe(true);
    });
  };

  test("a plugin that answers in place of execution has the place given back", async () => {
    const { semaphore, options } = heldBy();
    const cached: YogaPlugin = {
      onExecute: ({ setResultAndStopExecution }) => {
        setResultAndStopExecution({ data: { plain: 7 } });
      },
    };
    const ask = await yogaWith(options, [cached]);
    expect((await ask("{ plain }")).body).toEqual({ data: { plain: 7 } });
    await free(semaphore);
  });

  test("a plugin that fails after the charge has the permit given back", async () => {
    const { semaphore, options } = heldBy();
    const broken: YogaPlugin = {
      onExecute: () => {
        throw new Error("broken");
      },
    };
    const ask = await yogaWith(options, [broken]);
    expect((await ask("{ plain }")).body.errors).toHaveLength(1);
    await free(semaphore);
  });

  test("a plugin of Apollo that fails meanwhile has the charge settled all the same", async () => {
    const outcomes: Outcome[] = [];
    const limiter = limiterOf(1);
    let go: () => void = () => undefined;
    const going = new Promise<void>((resolve) => {
      go = resolve;
    });
    const slow: GraphqlOptions = {
      charge: async () => {
        await going;
        const settle = (outcome: Outcome): number => outcomes.push(outcome) - 1;
        return { limiter, key: "k", settle };
      },
    };
    const broken: ApolloServerPlugin = {
      requestDidStart: async () => ({
        didResolveOperation: async () => {
          throw new Error("broken");
        },
      }),
    };
    const ask = await apolloWith(slow, [broken]);
    expect((await ask("{ plain }")).body.errors).toHaveLength(1);
    go();
    await eventually(() => {
      expect(outcomes).toEqual([{ status: 500, aborted: false }]);
    });
  });

  test("an execution that throws has the permit given back, on Envelop alone", async () => {
    const { semaphore, options } = heldBy();
    const execute = executing(useRateLimit(options));
    expect(await execute({})).toMatchObject({ data: { plain: 1 } });
    await free(semaphore);
    await expect(execute({ variableValues: "no object" })).rejects.toThrow(/[Vv]ariables/);
    await free(semaphore);
  });

  test("an error on Envelop alone has the fields in its extensions", async () => {
    const limiter = limiterOf(1);
    limiter.consumeSync("k");
    const execute = executing(useRateLimit({ charge: () => ({ limiter, key: "k" }) }));
    const result = await execute({});
    expect(result).toMatchObject({
      errors: [
        {
          extensions: {
            code: "RATE_LIMITED",
            http: { status: 429, headers: { "retry-after": expect.any(String) as unknown } },
          },
        },
      ],
    });
  });
});

test("types of the servers' own plugins are met, and the context has the type that is named", () => {
  interface Context {
    readonly user: { readonly id: string };
  }
  const limiter = limiterOf(1);
  const options: GraphqlOptions<Context> = {
    charge: ({ context }) => ({ limiter, key: context.user.id }),
  };
  const yoga: YogaPlugin<Context> = useRateLimit<Context>(options);
  const withEnvelop: EnvelopPlugin<Context & Record<string, unknown>> =
    useRateLimit<Context>(options);
  const apollo: ApolloServerPlugin<Context> = apolloRateLimit<Context>(options);
  expect([yoga, withEnvelop, apollo].map((plugin) => typeof plugin)).toEqual(
    Array.from({ length: 3 }, () => "object"),
  );
  expect(new HeaderMap()).toBeInstanceOf(Map);
});
