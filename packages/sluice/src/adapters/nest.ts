/**
 * sluice/nest: limits as a guard of Nest, for HTTP, GraphQL and WebSockets.
 *
 * Imports @nestjs/common when it runs, as no other adapter does its framework: Nest's own filters and those of its users
 * tell a refusal from a crash by `instanceof HttpException`, and answer 500 to what only looks like one.
 */
import {
  type CanActivate,
  type CustomDecorator,
  type DynamicModule,
  type ExecutionContext,
  type FactoryProvider,
  HttpException,
  Inject,
  type ModuleMetadata,
  SetMetadata,
} from "@nestjs/common";
import { InvalidOptionError } from "../core/errors.js";
import { checkFunction, optional, optionReader } from "../core/options.js";
import { writeFields } from "../http/answer.js";
import type { HttpCall } from "../http/call.js";
import { by, type Charges } from "../http/charge.js";
import { chargeableOf, type Limit } from "../http/chargeable.js";
import type { Denial } from "../http/denial.js";
import { createGate, type Gate, HTTP_OPTIONS, type HttpOptions } from "../http/gate.js";
import type { Pass } from "../http/pass.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import type { Semaphore } from "../semaphore/semaphore.js";
import { type Described, describe } from "./nest-context.js";
import { checkLimiters, limiterNamed, type NamedLimiters } from "./named-limiters.js";
import { onOutcome } from "./node-call.js";

export type * from "../http/index.js";
export type { NamedLimiters } from "./named-limiters.js";

/** A limiter of the module's option `limiters`, by its name. Throws if there is none. */
export type NamedLimiter = (name: string) => RateLimiter | Semaphore;

/** As of every adapter, but for what a handler alone says. */
export interface NestOptions extends Omit<HttpOptions<ExecutionContext>, "charge" | "onDenied"> {
  /** What a call of a handler is charged. `limiter` finds the module's limiters by name. */
  readonly charge: (
    context: ExecutionContext,
    call: HttpCall,
    limiter: NamedLimiter,
  ) => Charges | Promise<Charges>;
  /** Makes, or throws, the error that says no; default: a `RateLimitException`, or a `WsException` of it. */
  readonly onDenied?:
    | ((context: ExecutionContext, denial: Denial) => Error | Promise<Error>)
    | undefined;
}

/** Options of `RateLimitModule.forRoot`. */
export interface NestModuleOptions extends Omit<NestOptions, "charge"> {
  /** What handlers without a decorator are charged; default: nothing. */
  readonly charge?: NestOptions["charge"] | undefined;
  /** For decorators, which cannot get injected limiters. */
  readonly limiters?: NamedLimiters | undefined;
}

const OPTIONS = optionReader<NestModuleOptions>()({
  ...HTTP_OPTIONS.checks,
  charge: optional(checkFunction),
  limiters: (_option, limiters) => checkLimiters(limiters as NamedLimiters | undefined),
});

/** Options of `RateLimitModule.forRootAsync`. */
export interface NestModuleAsyncOptions
  extends Pick<ModuleMetadata, "imports">,
    Pick<FactoryProvider, "inject"> {
  /** Makes the limiter, or the options, from what `inject` names. */
  readonly useFactory: (
    // As Nest has it: what is injected is known to the function alone.
    // oxlint-disable-next-line typescript/no-explicit-any
    ...injected: any[]
  ) => Limit | NestModuleOptions | Promise<Limit | NestModuleOptions>;
}

const METADATA = "sluice:rate-limit";

/** What a decorator says; false if there is no limit. */
export type Said = false | Partial<NestOptions>;

/**
 * The limits of a handler, or of all handlers of a class, instead of the module's. Options that are not given here, such as
 * `onDenied`, are the module's.
 *
 * @param options what a call is charged; a limiter, or its name among the module's `limiters`, charges addresses
 * @throws InvalidOptionError
 */
export function RateLimit(options: string | Limit | NestOptions): CustomDecorator {
  return SetMetadata(METADATA, saidBy(options));
}

/** No limits for a handler, or for all handlers of a class. */
export function SkipRateLimit(): CustomDecorator {
  return SetMetadata(METADATA, false);
}

function saidBy(options: string | Limit | NestOptions): Said {
  if (typeof options === "string") {
    return { charge: (context, call, limiter) => by.address(limiter(options))(context, call) };
  }
  if (chargeableOf(options) !== undefined) {
    return { charge: by.address(options as Limit) };
  }
  // Now, so that a mistake throws at the declaration of the class.
  createGate(options as HttpOptions<ExecutionContext, never>);
  return options as NestOptions;
}

/** Says no to HTTP and GraphQL: a problem body, or an error with the code RATE_LIMITED. */
export class RateLimitException extends HttpException {
  /** What was denied, and for how long. */
  readonly denial: Denial;
  /** Of the error in a GraphQL result. */
  readonly extensions: Readonly<Record<string, unknown>>;

  constructor(denial: Denial) {
    super(denial.problem, denial.status);
    this.denial = denial;
    this.message = denial.problem.title;
    this.extensions = { code: "RATE_LIMITED", http: { status: denial.status } };
  }
}

/** What the guards of a module share: a gate for each thing that decorators say. */
export class RateLimitGates {
  readonly #options: NestModuleOptions;
  readonly #limiters: ReadonlyMap<string, RateLimiter | Semaphore>;
  readonly #gates = new WeakMap<object, Gate<ExecutionContext>>();

  constructor(options: Limit | NestModuleOptions) {
    if (chargeableOf(options) === undefined) {
      this.#options = OPTIONS.known(options);
    } else {
      this.#options = { charge: by.address(options as Limit) };
    }
    const { limiters, charge, onDenied } = this.#options;
    this.#limiters = checkLimiters(limiters);
    if (charge !== undefined) checkFunction("charge", charge);
    if (onDenied !== undefined) checkFunction("onDenied", onDenied);
    // Now, so that a mistake shows when the server starts.
    this.#gateOf({ ...this.#options, charge: this.#options.charge ?? (() => null) });
  }

  /** undefined if nothing is charged. */
  of(said: Said | undefined): Gate<ExecutionContext> | undefined {
    if (said === false) return undefined;
    const key = said ?? this.#options;
    const known = this.#gates.get(key);
    if (known !== undefined) return known;
    const { charge } = { ...this.#options, ...said };
    if (charge === undefined) return undefined;
    const gate = this.#gateOf({ ...this.#options, ...said, charge });
    this.#gates.set(key, gate);
    return gate;
  }

  #gateOf({ charge, fields, address, maxWaiting }: NestOptions): Gate<ExecutionContext> {
    const limiter: NamedLimiter = (name) => limiterNamed(this.#limiters, name);
    return createGate<ExecutionContext>({
      fields,
      address,
      maxWaiting,
      charge: (context, call) => charge(context, call, limiter),
    });
  }

  /** The error that the guard throws for a denial. */
  async errorOf(said: Said | undefined, context: ExecutionContext, denial: Denial): Promise<Error> {
    const { onDenied } = { ...this.#options, ...said };
    if (onDenied !== undefined) return onDenied(context, denial);
    if (context.getType() !== "ws") return new RateLimitException(denial);
    const WsException = await wsException();
    return new WsException({ ...denial.problem, retryAfterMs: denial.retryAfterMs });
  }
}

type ErrorClass = new (error: object) => Error;

/** Of a package that only servers of sockets have: there gateways answer "Internal server error" to any other error. */
async function wsException(): Promise<ErrorClass> {
  const name = "@nestjs/websockets";
  const module = (await import(name)) as { readonly WsException: ErrorClass };
  return module.WsException;
}

/**
 * Asks the limits before a handler is called; for the provider `APP_GUARD`, or for `@UseGuards`. Guards see no request that
 * no route matches.
 */
export class RateLimitGuard implements CanActivate {
  readonly #gates: RateLimitGates;

  static {
    Inject(RateLimitGates)(this, undefined, 0);
  }

  constructor(gates: RateLimitGates) {
    this.#gates = gates;
  }

  /** Nest calls it before each handler. */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const said = saidOf(context.getHandler()) ?? saidOf(context.getClass());
    const gate = this.#gates.of(said);
    if (gate === undefined) return true;
    const described = describe(context);
    const pass = await gate.enter(context, described.call);
    const { answer } = described;
    if (answer !== undefined) writeFields(pass.fields, answer);
    if (pass.denial !== undefined) {
      answer?.beforeProblem();
      throw await this.#gates.errorOf(said, context, pass.denial);
    }
    await report(pass, described);
    return true;
  }
}

function saidOf(target: object): Said | undefined {
  return Reflect.getMetadata(METADATA, target) as Said | undefined;
}

/** A guard hears nothing of what comes after it, but for the answer of HTTP. */
async function report({ settle }: Pass, { response }: Described): Promise<void> {
  if (settle === undefined) return;
  if (response !== undefined) {
    onOutcome(response, settle);
    return;
  }
  await settle({ status: 500, aborted: true });
  throw new InvalidOptionError(
    "charge",
    "settle or a Semaphore",
    "no settle and no Semaphore for a call without an HTTP answer, because a guard does not learn when it ends",
  );
}

/**
 * Provides what `RateLimitGuard` asks, everywhere in the application. Nest makes it: import what `forRoot` or
 * `forRootAsync` returns.
 */
// oxlint-disable-next-line typescript/no-extraneous-class
export class RateLimitModule {
  /**
   * The module for options that are known at once.
   *
   * @param options what handlers are charged, unless a decorator says otherwise; a limiter alone charges addresses
   * @throws InvalidOptionError
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RateLimitModule } from "sluice/nest";
   * const limiter = new RateLimiter({ policy: tokenBucket({ limit: 10, period: "1s" }) });
   * const appModule = { imports: [RateLimitModule.forRoot(limiter)] }; // @Module(appModule) class AppModule {}
   * console.log(appModule.imports[0]?.global); // true
   */
  static forRoot(options: Limit | NestModuleOptions): DynamicModule {
    const gates = new RateLimitGates(options);
    return moduleOf({ provide: RateLimitGates, useFactory: () => gates });
  }

  /**
   * The module for options that are made from what is injected, such as a configuration service.
   *
   * @throws nothing; an InvalidOptionError of the options rejects the start of the application
   * @example
   * import { RateLimiter, tokenBucket } from "sluice";
   * import { RateLimitModule } from "sluice/nest";
   * const rateLimits = RateLimitModule.forRootAsync({
   *   inject: ["LIMIT"],
   *   useFactory: async (limit: number) => new RateLimiter({ policy: tokenBucket({ limit, period: "1s" }) }),
   * });
   * console.log(rateLimits.module === RateLimitModule); // true
   */
  static forRootAsync({ imports, inject, useFactory }: NestModuleAsyncOptions): DynamicModule {
    const provider: FactoryProvider<RateLimitGates> = {
      provide: RateLimitGates,
      useFactory: async (...injected: readonly unknown[]) =>
        new RateLimitGates(await useFactory(...injected)),
      ...(inject !== undefined && { inject }),
    };
    return moduleOf(provider, imports);
  }
}

function moduleOf(
  gates: FactoryProvider<RateLimitGates>,
  imports: ModuleMetadata["imports"] = [],
): DynamicModule {
  return {
    module: RateLimitModule,
    global: true,
    imports,
    providers: [gates],
    exports: [RateLimitGates],
  };
}
