import type { Server as HttpServer } from "node:http";
import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { createAdaptorServer } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { Hono, type Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { stream } from "hono/streaming";
import { type HonoLimitOptions, rateLimit } from "../../../src/adapters/hono.js";
import type { HttpOptions } from "../../../src/http/index.js";
import type { HttpSubject, SubjectOptions } from "../../../src/testing/http/subject.js";
import { listenHttp, listenHttp2, SLOW_MS } from "./listen.js";

const address = (c: Context): string | undefined => getConnInfo(c).remote.address;

/** Hono does not say whom a request comes from: what is asked for an address is told here. */
function withAddress(options: HttpOptions<unknown>): HonoLimitOptions {
  const { address: given = (_raw, call) => call.address } = options;
  return {
    ...(options as HonoLimitOptions),
    address: (c, call) =>
      given(c, {
        method: call.method,
        address: address(c),
        header: (name) => call.header(name),
      }),
  };
}

function application(options: SubjectOptions): Hono {
  const app = new Hono();
  app.use("/cors", async (c, next) => {
    c.header("Access-Control-Allow-Origin", "*");
    await next();
  });
  app.use("charge" in options ? rateLimit(withAddress(options)) : rateLimit(options, { address }));
  for (const path of ["/", "/cors"]) app.get(path, (c) => c.text("ok"));
  app.get("/unauthorized", (c) => c.text("", 401));
  app.get("/teapot", () => {
    throw new HTTPException(418);
  });
  app.get("/boom", () => {
    throw new Error("boom");
  });
  // Else Hono prints every error.
  app.onError((error, c) =>
    error instanceof HTTPException ? error.getResponse() : c.text("Internal Server Error", 500),
  );
  app.get("/slow", async (c) => {
    await sleep(SLOW_MS);
    return c.text("ok");
  });
  app.get("/stream", (c) => {
    c.header("Content-Type", "text/plain");
    return stream(c, async (body) => {
      await body.write("first");
      await body.sleep(SLOW_MS);
      await body.write("last");
    });
  });
  return app;
}

export const hono: HttpSubject = {
  name: "hono",
  start: async (options) =>
    listenHttp(createAdaptorServer({ fetch: application(options).fetch }) as HttpServer),
  startHttp2: async (options) => {
    const { fetch } = application(options);
    const server = createAdaptorServer({ fetch, createServer: createHttp2Server });
    return listenHttp2(server as Http2Server);
  },
};
