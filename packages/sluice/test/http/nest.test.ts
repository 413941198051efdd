/** What is Nest's own: decorators, modules, and calls that do not come by HTTP. */
import {
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  Get,
  HttpException,
  type INestApplication,
  Injectable,
  type ArgumentsHost,
  Req,
  Res,
  UseGuards,
} from "@nestjs/common";
import { APP_GUARD, ExternalContextCreator, NestFactory } from "@nestjs/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  type NestOptions,
  RateLimit,
  RateLimitException,
  RateLimitGuard,
  RateLimitModule,
  SkipRateLimit,
} from "../../src/adapters/nest.js";
import type { Outcome } from "../../src/http/index.js";
import { fixedWindow, type MemoryStore, RateLimiter, Semaphore } from "../../src/index.js";
import { eventually } from "../support/eventually.js";
import { decorated, listenNest, moduleOf, moduleWith } from "./subjects/nest.js";

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

function limiterOf(limit: number, name = "a"): RateLimiter<MemoryStore> {
  const limiter = new RateLimiter({ policy: fixedWindow({ name, limit, window: "1h" }) });
  ends.push(() => limiter.close());
  return limiter;
}

type Class = new (...args: never[]) => object;
type ModuleOptions = Parameters<typeof moduleWith>[0];

/** A server of Nest; says what the policies of an answer are called. */
async function serve(
  module: new () => object,
  prepare?: Parameters<typeof listenNest>[2],
): Promise<{ readonly ask: (path: string) => Promise<Response> }> {
  const server = await listenNest("express", module, prepare);
  ends.push(() => server.close());
  return { ask: (path) => fetch(server.url + path) };
}

function policyOf(response: Response): string | undefined {
  return /^"([^"]*)"/.exec(response.headers.get("RateLimit-Policy") ?? "")?.[1];
}

/** Two handlers; the decorators of the class, and of the first of them. */
function controllerWith(of: readonly ClassDecorator[], first: readonly MethodDecorator[]): Class {
  class Two {
    one(): string {
      return "one";
    }
    two(): string {
      return "two";
    }
  }
  return decorated(Two, [Controller(), ...of], {
    one: [Get("one"), ...first],
    two: [Get("two")],
  });
}

describe("a handler is charged", () => {
  const charge = (limiter: RateLimiter | Semaphore): NestOptions => ({
    charge: () => ({ limiter, key: "k" }),
  });

  test("what the module says, where nothing else does", async () => {
    const { ask } = await serve(moduleWith(limiterOf(5, "module"), [controllerWith([], [])]));
    expect(policyOf(await ask("/one"))).toBe("module");
  });

  test("what its class says in place of the module, and the method in place of both", async () => {
    const controller = controllerWith(
      [RateLimit(charge(limiterOf(5, "class")))],
      [RateLimit(charge(limiterOf(5, "method")))],
    );
    const { ask } = await serve(moduleWith(limiterOf(5, "module"), [controller]));
    expect(policyOf(await ask("/one"))).toBe("method");
    expect(policyOf(await ask("/two"))).toBe("class");
  });

  test("nothing where it is skipped, by the method or the class", async () => {
    const limiter = limiterOf(5);
    const byMethod = controllerWith([], [SkipRateLimit()]);
    const { ask } = await serve(moduleWith(limiter, [byMethod]));
    expect(policyOf(await ask("/one"))).toBeUndefined();
    expect(policyOf(await ask("/two"))).toBe("a");
    const byClass = controllerWith([SkipRateLimit()], [RateLimit(charge(limiterOf(5, "method")))]);
    const other = await serve(moduleWith(limiter, [byClass]));
    expect(policyOf(await other.ask("/one"))).toBe("method");
    expect(policyOf(await other.ask("/two"))).toBeUndefined();
  });

  test("what a class above its own says", async () => {
    class Child extends controllerWith([RateLimit(charge(limiterOf(5, "above")))], []) {}
    const { ask } = await serve(moduleWith({}, [decorated(Child, [Controller()])]));
    expect(policyOf(await ask("/two"))).toBe("above");
  });

  test("by a limiter alone, or its name, the client's address", async () => {
    const own = limiterOf(5, "own");
    const named = limiterOf(5, "named");
    const controller = controllerWith([RateLimit("search")], [RateLimit(own)]);
    const { ask } = await serve(moduleWith({ limiters: { search: named } }, [controller]));
    await ask("/one");
    expect((await own.peek("127.0.0.1")).remaining).toBe(4);
    await ask("/two");
    expect((await named.peek("127.0.0.1")).remaining).toBe(4);
  });

  test("by what its charge function finds under a name", async () => {
    const plans = { free: limiterOf(1, "free"), paid: limiterOf(100, "paid") };
    const controller = controllerWith(
      [
        RateLimit({
          charge: (context, call, limiter) => ({
            limiter: limiter(call.header("x-plan") ?? "free"),
            key: context.getClass().name,
          }),
        }),
      ],
      [],
    );
    const server = await listenNest("express", moduleWith({ limiters: plans }, [controller]));
    ends.push(() => server.close());
    const asked = await fetch(`${server.url}/one`, { headers: { "x-plan": "paid" } });
    expect(policyOf(asked)).toBe("paid");
    expect((await plans.paid.peek("Two")).remaining).toBe(99);
    const unknown = await fetch(`${server.url}/one`, { headers: { "x-plan": "gold" } });
    expect(unknown.status).toBe(500);
  });

  test("once, where the guard stands before the application and the class", async () => {
    const limiter = limiterOf(5);
    const controller = controllerWith([UseGuards(RateLimitGuard)], []);
    const { ask } = await serve(moduleWith(limiter, [controller]));
    await ask("/one");
    expect((await limiter.peek("127.0.0.1")).remaining).toBe(4);
  });

  test("by a guard of one class alone", async () => {
    const limiter = limiterOf(5);
    const imports = [RateLimitModule.forRoot(limiter)];
    const controllers = [controllerWith([UseGuards(RateLimitGuard)], [])];
    const { ask } = await serve(moduleOf({ imports, controllers }));
    expect(policyOf(await ask("/one"))).toBe("a");
  });
});

describe("whom the platform believes", () => {
  const believeAll = (app: INestApplication): void => {
    (app.getHttpAdapter().getInstance() as { set(name: string, value: unknown): void }).set(
      "trust proxy",
      true,
    );
  };

  test.each([
    ["express", undefined, "UNTRUSTED_FORWARDED_FOR", 'app.set("trust proxy", 1)'],
    ["express", believeAll, "PERMISSIVE_TRUST_PROXY", 'app.set("trust proxy", 1)'],
    ["fastify", undefined, "UNTRUSTED_FORWARDED_FOR", 'fastify({ trustProxy: "10.0.0.0/8" })'],
  ] as const)("is looked at on %s %#, in its words", async (platform, prepare, code, words) => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    ends.push(() => warned.mockRestore());
    const module = moduleWith(limiterOf(5), [controllerWith([], [])]);
    const server = await listenNest(platform, module, prepare);
    ends.push(() => server.close());
    await fetch(`${server.url}/one`, { headers: { "x-forwarded-for": "198.51.100.9" } });
    expect(warned.mock.calls).toEqual([
      [expect.stringContaining(words), { type: "SluiceWarning", code: `SLUICE_HTTP_${code}` }],
    ]);
  });
});

describe("a mistake shows", () => {
  test.each<[string, ModuleOptions, RegExp]>([
    ["an unknown option", { chrage: () => null } as ModuleOptions, /did you mean charge\?/],
    ["no limiter", { limiters: { a: {} as RateLimiter } }, /limiters\.a/],
  ])("when the module is made: %s", (_, options, message) => {
    expect(() => RateLimitModule.forRoot(options)).toThrow(message);
  });

  test("where a class is decorated", () => {
    expect(() => RateLimit({} as NestOptions)).toThrow(/charge/);
  });

  test("as an error that lists the names there are", async () => {
    const errors: unknown[] = [];
    class Note implements ExceptionFilter {
      catch(error: unknown, host: ArgumentsHost): void {
        errors.push(error);
        host.switchToHttp().getResponse<{ sendStatus(status: number): void }>().sendStatus(500);
      }
    }
    decorated(Note, [Catch()]);
    const controller = controllerWith([RateLimit("serach")], []);
    const module = moduleWith({ limiters: { search: limiterOf(5) } }, [controller]);
    const { ask } = await serve(module, (app) => app.useGlobalFilters(new Note()));
    expect((await ask("/one")).status).toBe(500);
    expect(String(errors[0])).toMatch(/serach.*"search"/s);
  });
});

describe("a refusal", () => {
  function refusing(more: Partial<NestOptions> = {}): new () => object {
    const limiter = limiterOf(1);
    limiter.consumeSync("k");
    return moduleWith({ ...more, charge: () => ({ limiter, key: "k" }) }, [controllerWith([], [])]);
  }

  test("is an HttpException to the filters of users", async () => {
    const seen: unknown[] = [];
    class All implements ExceptionFilter {
      catch(error: unknown, host: ArgumentsHost): void {
        seen.push(error);
        const status = error instanceof HttpException ? error.getStatus() : 500;
        host.switchToHttp().getResponse<{ sendStatus(status: number): void }>().sendStatus(status);
      }
    }
    decorated(All, [Catch()]);
    const { ask } = await serve(refusing(), (app) => app.useGlobalFilters(new All()));
    const response = await ask("/one");
    expect(response.status).toBe(429);
    expect(response.headers.has("Retry-After")).toBe(true);
    expect(seen[0]).toBeInstanceOf(RateLimitException);
    expect(seen[0]).toMatchObject({ denial: { reason: "quota", status: 429 } });
  });

  test("is the error that onDenied makes", async () => {
    const onDenied = (context: ExecutionContext): Error =>
      new HttpException({ slow: context.getHandler().name }, 420);
    const { ask } = await serve(refusing({ onDenied }));
    const response = await ask("/one");
    expect([response.status, await response.json()]).toEqual([420, { slow: "one" }]);
  });

  test("is what onDenied of a decorator makes, which leaves the rest to the module", async () => {
    const limiter = limiterOf(1);
    limiter.consumeSync("k");
    const controller = controllerWith(
      [],
      [
        RateLimit({
          charge: () => ({ limiter, key: "k" }),
          onDenied: async () => new HttpException("own", 420),
        }),
      ],
    );
    const { ask } = await serve(
      moduleWith({ charge: () => ({ limiter, key: "k" }), fields: "draft-06" }, [controller]),
    );
    const [one, two] = [await ask("/one"), await ask("/two")];
    expect([one.status, two.status]).toEqual([420, 429]);
    expect(one.headers.get("RateLimit-Remaining")).toBe("0");
  });
});

describe("options that are made from what is injected", () => {
  test("are those of the application", async () => {
    const limiter = limiterOf(5, "injected");
    class Config {
      readonly limiter = limiter;
    }
    const config = moduleOf({ providers: [decorated(Config, [Injectable()])], exports: [Config] });
    const limits = RateLimitModule.forRootAsync({
      imports: [config],
      inject: [Config],
      useFactory: async (from: Config) => from.limiter,
    });
    const providers = [{ provide: APP_GUARD, useClass: RateLimitGuard }];
    const controllers = [controllerWith([], [])];
    const { ask } = await serve(moduleOf({ imports: [limits], providers, controllers }));
    expect(policyOf(await ask("/one"))).toBe("injected");
  });

  test("are checked before the server starts", async () => {
    const limits = RateLimitModule.forRootAsync({
      useFactory: () => ({ fields: "no" as "draft-06" }),
    });
    const module = moduleOf({ imports: [limits] });
    await expect(
      NestFactory.create(module, { logger: false, abortOnError: false }),
    ).rejects.toThrow(/fields/);
  });
});

describe("a call that did not come by HTTP", () => {
  /** Handlers as @nestjs/graphql and others have Nest make them: its guards run, with arguments of their own. */
  async function handlerOf(
    type: string,
    options: ModuleOptions,
  ): Promise<(...args: unknown[]) => Promise<unknown>> {
    class Resolver {
      find(): string {
        return "found";
      }
    }
    decorated(Resolver, [Injectable()]);
    const module = moduleOf({
      imports: [RateLimitModule.forRoot(options)],
      providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }, Resolver],
    });
    const app = await NestFactory.createApplicationContext(module, { logger: false });
    ends.push(() => app.close());
    const resolver = app.get(Resolver);
    const creator = app.get(ExternalContextCreator);
    // oxlint-disable-next-line typescript/unbound-method
    const { find } = resolver;
    return creator.create(
      resolver,
      find,
      "find",
      undefined,
      undefined,
      undefined,
      undefined,
      { guards: true, filters: false, interceptors: false },
      type,
    ) as (...args: unknown[]) => Promise<unknown>;
  }

  const socket = { remoteAddress: "192.0.2.7" };
  const headers = { "x-user": "ann", "x-list": ["a", "b"] };

  test("but by GraphQL is charged by the request in its context, and refused with a code", async () => {
    const limiter = limiterOf(1);
    const find = await handlerOf("graphql", limiter);
    // As a subscription has it: a request, and no answer.
    const context = { req: { headers, socket } };
    expect(await find({}, {}, context, {})).toBe("found");
    const error: unknown = await find({}, {}, context, {}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HttpException);
    expect(error).toMatchObject({
      message: "Quota exceeded",
      extensions: { code: "RATE_LIMITED", http: { status: 429 } },
    });
    expect((await limiter.peek("192.0.2.7")).remaining).toBe(0);
  });

  test("but by GraphQL writes the fields of the answer in its context, of either platform", async () => {
    const find = await handlerOf("graphql", limiterOf(9));
    for (const platform of ["express", "fastify"] as const) {
      class Bridge {
        async one(request: object, response: object): Promise<unknown> {
          const context = platform === "express" ? { req: request } : { reply: response };
          return find({}, {}, context, {});
        }
      }
      decorated(Bridge, [Controller(), SkipRateLimit()], { one: [Get("one")] });
      Req()(Bridge.prototype, "one", 0);
      Res({ passthrough: true })(Bridge.prototype, "one", 1);
      const server = await listenNest(platform, moduleWith({}, [Bridge]));
      ends.push(() => server.close());
      const response = await fetch(`${server.url}/one`);
      expect([platform, response.status, policyOf(response)]).toEqual([platform, 200, "a"]);
    }
  });

  test.each([
    ["socket.io", { handshake: { address: "192.0.2.7", headers } }],
    ["ws", { _socket: socket }],
  ])("but by a WebSocket of %s is charged by its address", async (_, client) => {
    const limiter = limiterOf(5);
    const find = await handlerOf("ws", limiter);
    expect(await find(client, { text: "hello" })).toBe("found");
    expect((await limiter.peek("192.0.2.7")).remaining).toBe(4);
  });

  test("has the fields of the request that opened a socket", async () => {
    const seen: unknown[] = [];
    const find = await handlerOf("ws", {
      charge: (context, call) => {
        seen.push(context.switchToWs().getData(), call.header("x-user"), call.header("x-list"));
        return null;
      },
    });
    await find({ handshake: { headers } }, "data");
    expect(seen).toEqual(["data", "ann", "a, b"]);
  });

  test("has no address, and may be charged by another key", async () => {
    const limiter = limiterOf(5);
    const find = await handlerOf("rpc", {
      charge: (context) => ({ limiter, key: context.switchToRpc().getData<string>() }),
    });
    expect(await find("ann", {})).toBe("found");
    expect((await limiter.peek("ann")).remaining).toBe(4);
    const byAddress = await handlerOf("rpc", limiter);
    await expect(byAddress("ann", {})).rejects.toThrow(/charge\.key/);
  });

  test("cannot be settled, which is said, and keeps nothing", async () => {
    const outcomes: Outcome[] = [];
    const limiter = limiterOf(5);
    const settle = (outcome: Outcome): number => {
      outcomes.push(outcome);
      return 0;
    };
    const find = await handlerOf("ws", { charge: () => ({ limiter, key: "k", settle }) });
    await expect(find({}, "data")).rejects.toThrow(/no settle and no Semaphore/);
    expect(outcomes).toHaveLength(1);
    await eventually(async () => {
      expect((await limiter.peek("k")).remaining).toBe(5);
    });
    const semaphore = new Semaphore({ limit: 1 });
    ends.push(() => semaphore.close());
    const holding = await handlerOf("ws", { charge: () => ({ limiter: semaphore, key: "k" }) });
    for (let times = 0; times < 2; times++) {
      await expect(holding({}, "data")).rejects.toThrow(/no settle and no Semaphore/);
    }
  });
});
