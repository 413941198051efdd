/** What a charge function knows of its framework's request, without a cast. Checked by the compiler alone. */
import { fastify } from "fastify";
import { Hono } from "hono";
import { createFactory } from "hono/factory";
import Koa from "koa";
import { rateLimit as fastifyRateLimit } from "../../src/adapters/fastify.js";
import { rateLimit as honoRateLimit } from "../../src/adapters/hono.js";
import { rateLimit as koaRateLimit } from "../../src/adapters/koa.js";
import type { RateLimiter } from "../../src/index.js";
import { expectType } from "./expect-type.js";

declare const limiter: RateLimiter;

interface User {
  readonly id: string;
}

declare module "fastify" {
  interface FastifyRequest {
    user: User;
  }
}

export async function fastifyKnowsItsRequest(): Promise<void> {
  const app = fastify();
  await app.register(fastifyRateLimit, { limiter });
  await app.register(fastifyRateLimit, {
    hook: "preHandler",
    charge: (request) => {
      expectType<User>(request.user);
      return { limiter, key: request.user.id };
    },
    onDenied: (request, denial, reply) =>
      reply.header("x-user", request.user.id).send({ error: denial.reason }),
    prefix: "/api",
  });
  app.get("/", { config: { rateLimit: false } }, () => "ok");
  app.get("/typed", { config: { rateLimit: { limiter } } }, () => "ok");
  app.get(
    "/route",
    { config: { rateLimit: { charge: ({ user }) => [{ limiter, key: user.id }] } } },
    () => "ok",
  );
  // @ts-expect-error: no such option
  await app.register(fastifyRateLimit, { limits: limiter });
  // @ts-expect-error: no such hook
  app.get("/hook", { config: { rateLimit: { limiter, hook: "onSend" } } }, () => "ok");

  const http2 = fastify({ http2: true, logger: true });
  await http2.register(fastifyRateLimit, { limiter });
}

export function koaKnowsItsState(): void {
  interface State {
    user: User;
  }
  const app = new Koa<State, { traceId: string }>();
  app.use(koaRateLimit(limiter));
  app.use(
    koaRateLimit<State, { traceId: string }>({
      charge: (ctx) => {
        expectType<User>(ctx.state.user);
        expectType<string>(ctx.traceId);
        return { limiter, key: ctx.state.user.id };
      },
      onDenied: (ctx, denial) => {
        ctx.body = { error: denial.reason, user: ctx.state.user.id };
      },
    }),
  );
  app.use(
    koaRateLimit({
      charge: (ctx: Koa.ParameterizedContext<State>) => ({ limiter, key: ctx.state.user.id }),
    }),
  );
  const plain = new Koa();
  plain.use(koaRateLimit({ charge: (ctx) => ({ limiter, key: ctx.ip }) }));
  app.use(
    koaRateLimit<State>({
      // @ts-expect-error: a user is no key
      charge: (ctx) => ({ limiter, key: ctx.state.user }),
    }),
  );
}

export function honoKnowsItsVariables(): void {
  interface Types {
    Variables: { user: User };
    Bindings: { KEY: string };
  }
  const app = new Hono<Types>();
  app.use(honoRateLimit(limiter, { address: (c) => c.req.header("cf-connecting-ip") }));
  app.use(
    honoRateLimit<Types>({
      charge: (c) => {
        expectType<User>(c.get("user"));
        expectType<User>(c.var.user);
        expectType<string>(c.env.KEY);
        return { limiter, key: c.get("user").id };
      },
      onDenied: (c, denial) => c.json({ error: denial.reason, user: c.var.user.id }, denial.status),
    }),
  );
  app.post(
    "/login",
    honoRateLimit<Types>({ charge: (c) => ({ limiter, key: c.var.user.id }) }),
    (c) => c.text("ok"),
  );
  app.use(
    "/api/*",
    honoRateLimit<Types>({
      // @ts-expect-error: no such variable
      charge: (c) => ({ limiter, key: c.get("nobody").id }),
    }),
  );
  // @ts-expect-error: who is charged?
  app.use(honoRateLimit(limiter));
  // @ts-expect-error: an answer is a Response
  app.use(honoRateLimit({ charge: () => null, onDenied: () => "no" }));
  app.use(honoRateLimit({ charge: () => null, onDenied: (c) => Promise.resolve(c.text("no")) }));
  const factory = createFactory<Types>();
  factory.createHandlers(
    honoRateLimit<Types>({ charge: (c) => ({ limiter, key: c.var.user.id }) }),
  );
}
