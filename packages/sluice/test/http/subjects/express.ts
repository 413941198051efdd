import { createServer } from "node:http";
import express5 from "express";
import express4 from "express-4";
import { rateLimit } from "../../../src/adapters/express.js";
import type { HttpSubject } from "../../../src/testing/http/subject.js";
import { listenHttp, SLOW_MS } from "./listen.js";

function subjectOf(name: string, express: typeof express5): HttpSubject {
  return {
    name,
    start: async (options) => {
      const app = express();
      // Elsewhere it prints every error.
      app.set("env", "test");
      app.use("/cors", (_request, response, next) => {
        response.set("Access-Control-Allow-Origin", "*");
        next();
      });
      app.use(rateLimit(options));
      app.get(["/", "/cors"], (_request, response) => {
        response.type("text/plain").send("ok");
      });
      app.get("/unauthorized", (_request, response) => {
        response.sendStatus(401);
      });
      app.get("/teapot", (_request, _response, next) => {
        next(Object.assign(new Error("teapot"), { status: 418 }));
      });
      app.get("/boom", () => {
        throw new Error("boom");
      });
      app.get("/slow", (_request, response) => {
        setTimeout(() => response.type("text/plain").send("ok"), SLOW_MS);
      });
      app.get("/stream", (_request, response) => {
        response.type("text/plain").write("first");
        setTimeout(() => response.end("last"), SLOW_MS);
      });
      return listenHttp(createServer(app));
    },
    weaknesses: {
      errors: "Express takes errors to its error handlers, past all other middleware.",
    },
  };
}

export const express = subjectOf("express 5", express5);
export const expressBefore = subjectOf("express 4", express4);
