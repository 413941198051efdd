import type { Server } from "node:http";
import { Readable } from "node:stream";
import {
  Controller,
  Get,
  Header,
  HttpCode,
  HttpException,
  type INestApplication,
  Module,
  type ModuleMetadata,
  StreamableFile,
} from "@nestjs/common";
import { APP_GUARD, NestFactory } from "@nestjs/core";
import { ExpressAdapter } from "@nestjs/platform-express";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import {
  type NestModuleOptions,
  RateLimitGuard,
  RateLimitModule,
} from "../../../src/adapters/nest.js";
import type { HttpSubject, SubjectOptions, Weakness } from "../../../src/testing/http/subject.js";
import { listenHttp, SLOW_MS } from "./listen.js";

/** A class of a test, with its decorators: their syntax needs a compiler of its own. */
export function decorated<C extends new (...args: never[]) => object>(
  target: C,
  decorators: readonly ClassDecorator[],
  methods: Readonly<Record<string, readonly MethodDecorator[]>> = {},
): C {
  const prototype: object = target.prototype as object;
  for (const [name, of] of Object.entries(methods)) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
    if (descriptor === undefined) throw new Error(`no method ${name}`);
    for (const decorate of of.toReversed()) decorate(prototype, name, descriptor);
  }
  for (const decorate of decorators.toReversed()) decorate(target);
  return target;
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class Application {
  root(): string {
    return "ok";
  }

  unauthorized(): string {
    return "";
  }

  teapot(): never {
    throw new HttpException("teapot", 418);
  }

  boom(): never {
    throw new Error("boom");
  }

  async slow(): Promise<string> {
    await after(SLOW_MS);
    return "ok";
  }

  stream(): StreamableFile {
    async function* pieces(): AsyncGenerator<string> {
      yield "first";
      await after(SLOW_MS);
      yield "last";
    }
    return new StreamableFile(Readable.from(pieces()), { type: "text/plain" });
  }
}

const text = Header("Content-Type", "text/plain");

const controller = decorated(Application, [Controller()], {
  root: [Get(["/", "/cors"]), text],
  unauthorized: [Get("/unauthorized"), HttpCode(401)],
  teapot: [Get("/teapot")],
  boom: [Get("/boom")],
  slow: [Get("/slow"), text],
  stream: [Get("/stream")],
});

export function moduleOf(metadata: ModuleMetadata): new () => object {
  // oxlint-disable-next-line typescript/no-extraneous-class
  return decorated(class {}, [Module(metadata)]);
}

/** A module with the limits before every handler. */
export function moduleWith(
  options: Parameters<typeof RateLimitModule.forRoot>[0],
  controllers: readonly (new (...args: never[]) => object)[],
): new () => object {
  const imports = [RateLimitModule.forRoot(options)];
  const providers = [{ provide: APP_GUARD, useClass: RateLimitGuard }];
  return moduleOf({ imports, providers, controllers: [...controllers] });
}

/** What Nest calls before its guards, on both platforms. */
function allowOrigin(
  request: { readonly url?: string; readonly originalUrl?: string },
  response: { setHeader(name: string, value: string): unknown },
  next: () => void,
): void {
  if ((request.originalUrl ?? request.url) === "/cors") {
    response.setHeader("Access-Control-Allow-Origin", "*");
  }
  next();
}

const PLATFORMS = {
  express: () => new ExpressAdapter(),
  fastify: () => new FastifyAdapter(),
};

/** Starts an application of Nest on a free port. */
export async function listenNest(
  platform: keyof typeof PLATFORMS,
  module: new () => object,
  prepare: (app: INestApplication) => unknown = () => undefined,
): Promise<{ readonly url: string; readonly app: INestApplication; close(): Promise<void> }> {
  const app = await NestFactory.create(module, PLATFORMS[platform](), { logger: false });
  prepare(app);
  await app.init();
  const adapter: { getInstance(): { ready?(): PromiseLike<unknown> } } = app.getHttpAdapter();
  await adapter.getInstance().ready?.();
  const server = app.getHttpServer() as Server;
  const { url } = await listenHttp(server);
  return {
    url,
    app,
    close: async () => {
      server.closeAllConnections();
      await app.close();
    },
  };
}

function subjectOf(
  platform: keyof typeof PLATFORMS,
  weaknesses: Partial<Record<Weakness, string>>,
): HttpSubject {
  return {
    name: `nest on ${platform}`,
    start: async (options: SubjectOptions) => {
      const module = moduleWith(options as NestModuleOptions, [controller]);
      return listenNest(platform, module, (app) => app.use(allowOrigin));
    },
    weaknesses,
  };
}

const notFound = "Guards belong to handlers: Nest answers what no route matches without them.";
const options =
  "Nest has a handler for OPTIONS only where one is declared, and guards belong to handlers.";
const charset = "The platform adds it to every body that it writes as JSON.";

const errors = "Guards run before handlers, and get no error of theirs.";

export const nestExpress = subjectOf("express", { notFound, options, charset, errors });
export const nestFastify = subjectOf("fastify", { notFound, options, charset, errors });
