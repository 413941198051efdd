/** sluice/fastify: limits as a plugin of Fastify 5, with options for a whole scope and for each route. */
import type {
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  HookHandlerDoneFunction,
} from "fastify";
import { InvalidOptionError } from "../core/errors.js";
import { unchecked, checkChoice, optionReader } from "../core/options.js";
import { withoutText } from "../core/shown.js";
import { type AnswerFields, PROBLEM_TYPE, writeFields } from "../http/answer.js";
import { by } from "../http/charge.js";
import { chargeableOf, type Limit } from "../http/chargeable.js";
import { defaultBody, type Denial } from "../http/denial.js";
import { createGate, HTTP_OPTIONS, type HttpOptions } from "../http/gate.js";
import type { Pass } from "../http/pass.js";
import { FASTIFY_TRUST, trustOf } from "./fastify-trust.js";
import { fieldKey, NodeCall, onOutcome, passing } from "./node-call.js";

export type * from "../http/index.js";

/**
 * Of the plugin, for all routes of its scope; or of one route, as `config.rateLimit`. What `onDenied` returns is sent with
 * the status of the denial, unless it answers by the reply that it gets.
 */
export interface FastifyLimitOptions
  extends Partial<HttpOptions<FastifyRequest, [reply: FastifyReply]>> {
  /** Charges the client's address to this one; instead of `charge`. */
  readonly limiter?: Limit | undefined;
  /**
   * When a request is charged: before anything is read of it, or once its body and the authenticated user are known.
   * Default "onRequest".
   */
  readonly hook?: "onRequest" | "preHandler" | undefined;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /**
     * What requests of this route are charged, instead of what plugins of sluice/fastify say, whose options apply if they
     * are not given here. false: nothing.
     */
    rateLimit?: FastifyLimitOptions | false | undefined;
  }
}

/** The gate checks the rest. */
const OPTIONS = optionReader<FastifyLimitOptions>()({
  ...HTTP_OPTIONS.checks,
  ...unchecked("limiter", "hook"),
});
/** With what Fastify takes for itself of the options of a plugin. */
const REGISTER_OPTIONS = optionReader<
  FastifyLimitOptions & Record<"prefix" | "logLevel" | "logSerializers", unknown>
>()({
  ...OPTIONS.checks,
  ...unchecked("prefix", "logLevel", "logSerializers"),
});

/** Limits of a route, or of all routes without their own. */
interface Limits {
  readonly hook: "onRequest" | "preHandler";
  enter(request: FastifyRequest, reply: FastifyReply, go: HookHandlerDoneFunction): void;
}

/** As Fastify prints a server that has none. */
const NO_ROUTES = "(empty tree)";

/** What the handlers of requests threw, or answered with. */
const thrown = new WeakMap<FastifyRequest, Error>();

/** Requests that are charged by the options of their route: if several plugins see one, it is the first one's. */
const ofRoutes = new WeakSet<FastifyRequest>();

/**
 * A plugin that lets requests pass as far as their limits allow, and answers the others with 429. It covers the scope in
 * which it is registered, and what no route matches. Without `limiter` and `charge` it covers routes with a
 * `config.rateLimit` alone.
 *
 * Clients are distinguished by `request.ip`: tell Fastify by `trustProxy` which proxies are in front of this server. If a
 * store cannot be asked, and `onStoreFailure` does not let the request pass, that is a denial with 503; errors of the
 * charge function go to the error handler.
 *
 * @throws InvalidOptionError, also for the options of a route
 * @example
 * import { RateLimiter, tokenBucket } from "sluice";
 * import { rateLimit } from "sluice/fastify";
 * import { fastify } from "fastify";
 * const app = fastify();
 * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 100, period: "1m" }) });
 * await app.register(rateLimit, { limiter });
 * app.get("/", () => "hello");
 * app.get("/health", { config: { rateLimit: false } }, () => "ok");
 * console.log((await app.inject("/")).headers["ratelimit"]); // "token-bucket";r=99;t=1
 */
export const rateLimit: FastifyPluginAsync<FastifyLimitOptions> = Object.assign(
  (async (instance, options) => {
    REGISTER_OPTIONS.known(options);
    const shared = pick(options);
    const general = limitsOf(shared);
    const known = new WeakMap<FastifyLimitOptions, Limits>();
    const limitsOfRoute = (own: FastifyLimitOptions): Limits => {
      let limits = known.get(own);
      if (limits === undefined) {
        OPTIONS.known(own, "config.rateLimit");
        known.set(own, (limits = limitsOf({ ...shared, ...pick(own) })));
      }
      return limits;
    };
    // What routes from before this plugin say shows in their requests alone.
    let mayRoutesSay = instance.printRoutes() !== NO_ROUTES;
    const limitsFor = (request: FastifyRequest): Limits | undefined => {
      // Fastify makes a new one at each read.
      const own = mayRoutesSay ? request.routeOptions.config.rateLimit : undefined;
      if (own === undefined) return general;
      if (own === false || ofRoutes.has(request)) return undefined;
      ofRoutes.add(request);
      return limitsOfRoute(own);
    };
    const later = new WeakMap<FastifyRequest, Limits>();

    // A mistyped option of a route fails before the server runs.
    instance.addHook("onRoute", ({ config }) => {
      if (config?.rateLimit) limitsOfRoute(config.rateLimit);
      mayRoutesSay ||= config?.rateLimit !== undefined;
    });
    instance.addHook("onError", (request, _reply, error, next) => {
      thrown.set(request, error);
      next();
    });
    instance.addHook("onRequest", (request, reply, next) => {
      const limits = limitsFor(request);
      if (limits?.hook === "onRequest") {
        limits.enter(request, reply, next);
        return;
      }
      if (limits !== undefined) later.set(request, limits);
      next();
    });
    instance.addHook("preHandler", (request, reply, next) => {
      const limits = later.get(request);
      if (limits === undefined) next();
      else limits.enter(request, reply, next);
    });
  }) satisfies FastifyPluginAsync<FastifyLimitOptions>,
  {
    // As fastify-plugin does: its hooks apply to the scope that registers it, not to a new scope.
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "sluice",
    [Symbol.for("plugin-meta")]: { name: "sluice", fastify: "5.x" },
  },
);

type GivenOptions = Partial<Omit<FastifyLimitOptions, "limiter">>;

/** What is given, without what is undefined; a limiter as what charges it. */
function pick(options: FastifyLimitOptions): GivenOptions {
  const { limiter } = options;
  const given = Object.keys(OPTIONS.checks)
    .filter((name) => name !== "limiter")
    .flatMap((name) => {
      const value = options[name as keyof FastifyLimitOptions];
      return value === undefined ? [] : [[name, value]];
    });
  if (limiter === undefined) return Object.fromEntries(given) as GivenOptions;
  if (options.charge !== undefined || chargeableOf(limiter) === undefined) {
    const allowed = "a RateLimiter, a Semaphore or a PolicySet, or in its place charge";
    throw new InvalidOptionError("limiter", withoutText(limiter), allowed);
  }
  return { ...Object.fromEntries(given), charge: by.address(limiter) } as GivenOptions;
}

function limitsOf({ hook = "onRequest", ...given }: GivenOptions): Limits {
  const options = { charge: () => undefined, ...given };
  const gate = createGate<FastifyRequest, [FastifyReply]>(options);
  const { onDenied = sendProblem } = given;
  const pass = (
    { fields, denial, settle }: Pass,
    request: FastifyRequest,
    reply: FastifyReply,
  ): boolean | Promise<boolean> => {
    writeFields(fields, fieldsOfReply(reply));
    if (settle !== undefined) {
      onOutcome(reply.raw, (outcome) => {
        const error = thrown.get(request);
        return settle(error === undefined ? outcome : { ...outcome, error });
      });
    }
    if (denial === undefined) return true;
    // A timeout of the application may have answered while the store was asked.
    return !reply.sent && refuse(request, denial, reply);
  };
  const refuse = (
    request: FastifyRequest,
    denial: Denial,
    reply: FastifyReply,
  ): false | Promise<false> => {
    const { statusCode } = reply;
    const failed = (error: unknown): never => {
      // Fastify takes the status of the reply for that of the error.
      reply.code(statusCode);
      throw error;
    };
    try {
      const answer = onDenied(request, denial, reply.code(denial.status));
      if (!(answer instanceof Promise)) return send(answer, reply);
      return answer.then((known) => send(known, reply), failed);
    } catch (error) {
      return failed(error);
    }
  };
  const ask = (request: FastifyRequest, reply: FastifyReply): boolean | Promise<boolean> => {
    const passed = gate.enter(request, new FastifyCall(request, reply));
    return passed instanceof Promise
      ? passed.then((known) => pass(known, request, reply))
      : pass(passed, request, reply);
  };
  return {
    hook: checkChoice("hook", hook, ["onRequest", "preHandler"]),
    enter(request, reply, go) {
      passing(ask, request, reply, go, go);
    },
  };
}

/** Answers by what `onDenied` returned, unless it has answered itself; the request does not go on. */
function send(answer: unknown, reply: FastifyReply): false {
  if (answer !== undefined && answer !== reply && !reply.sent) reply.send(answer);
  return false;
}

/** As bytes, to whose type Fastify adds no charset. */
function sendProblem(_request: unknown, denial: Denial, reply: FastifyReply): unknown {
  return reply.header("Content-Type", PROBLEM_TYPE).send(Buffer.from(defaultBody(denial)));
}

function fieldsOfReply(reply: FastifyReply): AnswerFields {
  return {
    get: (name) => {
      const value = reply.getHeader(fieldKey(name));
      return Array.isArray(value) ? value.join(", ") : value?.toString();
    },
    set: (name, value) => {
      reply.header(fieldKey(name), value);
    },
  };
}

class FastifyCall extends NodeCall {
  readonly #request: FastifyRequest;

  constructor(request: FastifyRequest, reply: FastifyReply) {
    super(request.raw, reply.raw);
    this.#request = request;
  }

  override get address(): string | undefined {
    return this.#request.ip;
  }

  override trust(): "everybody" | "nobody" | "some" {
    return trustOf(this.#request);
  }

  override get trustSetting(): string {
    return FASTIFY_TRUST;
  }
}
