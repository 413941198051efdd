import type { Server as HttpServer } from "node:http";
import type { Http2Server } from "node:http2";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { type FastifyInstance, fastify as createFastify, type RawServerBase } from "fastify";
import { rateLimit } from "../../../src/adapters/fastify.js";
import type { HttpSubject, SubjectOptions } from "../../../src/testing/http/subject.js";
import { listenHttp, listenHttp2, SLOW_MS } from "./listen.js";

async function* slowly(): AsyncGenerator<string> {
  yield "first";
  await sleep(SLOW_MS);
  yield "last";
}

/** Serves the application, once `app` is ready. */
async function behindLimits<Server extends RawServerBase>(
  app: FastifyInstance<Server>,
  options: SubjectOptions,
): Promise<Server> {
  app.addHook("onRequest", (request, reply, done) => {
    if (request.url === "/cors") reply.header("Access-Control-Allow-Origin", "*");
    done();
  });
  await app.register(rateLimit, "charge" in options ? options : { limiter: options });
  for (const path of ["/", "/cors"]) app.get(path, (_request, reply) => reply.send("ok"));
  app.get("/unauthorized", (_request, reply) => reply.code(401).send(""));
  app.get("/teapot", () => {
    throw Object.assign(new Error("teapot"), { statusCode: 418 });
  });
  app.get("/boom", () => {
    throw new Error("boom");
  });
  app.get("/slow", async () => {
    await sleep(SLOW_MS);
    return "ok";
  });
  app.get("/stream", (_request, reply) =>
    reply.type("text/plain").send(Readable.from(slowly(), { objectMode: false })),
  );
  await app.ready();
  return app.server;
}

export const fastify: HttpSubject = {
  name: "fastify",
  start: async (options) => listenHttp(await behindLimits<HttpServer>(createFastify(), options)),
  startHttp2: async (options) =>
    listenHttp2(await behindLimits<Http2Server>(createFastify({ http2: true }), options)),
};
