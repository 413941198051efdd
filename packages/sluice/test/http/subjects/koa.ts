import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import Koa, { type Context } from "koa";
import { rateLimit } from "../../../src/adapters/koa.js";
import type { HttpSubject, SubjectOptions } from "../../../src/testing/http/subject.js";
import { listenHttp, listenHttp2, SLOW_MS } from "./listen.js";

async function* slowly(): AsyncGenerator<string> {
  yield "first";
  await sleep(SLOW_MS);
  yield "last";
}

function sayOk(ctx: Context): void {
  ctx.body = "ok";
}

const ROUTES: Readonly<Record<string, (ctx: Context) => unknown>> = {
  "/": sayOk,
  "/cors": sayOk,
  "/unauthorized": (ctx) => {
    ctx.status = 401;
  },
  "/teapot": (ctx) => ctx.throw(418),
  "/boom": () => {
    throw new Error("boom");
  },
  "/slow": async (ctx) => {
    await sleep(SLOW_MS);
    sayOk(ctx);
  },
  "/stream": (ctx) => {
    ctx.type = "text/plain";
    ctx.body = Readable.from(slowly(), { objectMode: false });
  },
};

function application(options: SubjectOptions): Koa {
  const app = new Koa();
  // Else it prints every error.
  app.silent = true;
  app.use(async (ctx, next) => {
    if (ctx.path === "/cors") ctx.set("Access-Control-Allow-Origin", "*");
    await next();
  });
  app.use(rateLimit(options));
  app.use(async (ctx) => {
    await ROUTES[ctx.path]?.(ctx);
  });
  return app;
}

export const koa: HttpSubject = {
  name: "koa",
  start: async (options) => {
    const handle = application(options).callback();
    return listenHttp(createServer((request, response) => void handle(request, response)));
  },
  startHttp2: async (options) => {
    const handle = application(options).callback();
    return listenHttp2(createHttp2Server((request, response) => void handle(request, response)));
  },
};
