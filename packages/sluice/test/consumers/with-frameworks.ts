import assert from "node:assert/strict";
import { createServer } from "node:http";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { RateLimiter, tokenBucket } from "sluice";
import { rateLimit as limitExpress } from "sluice/express";
import { rateLimit as limitFastify } from "sluice/fastify";
import { rateLimit as limitHono } from "sluice/hono";
import { by, type Charge, clientAddress, createGate, type Outcome } from "sluice/http";
import { rateLimit as limitKoa } from "sluice/koa";
import { rateLimit as limitNode } from "sluice/node";

const limiter = new RateLimiter({
  policy: tokenBucket({ name: "burst", limit: 100, period: "1m" }),
});
const settle = ({ status }: Outcome): number => (status === 401 ? 1 : 0);

const app = express();
app.use(limitExpress(limiter));
app.post(
  "/login",
  limitExpress({ charge: (request) => [{ limiter, key: request.ip, settle, show: false }] }),
  (_request, response) => {
    response.sendStatus(200);
  },
);

const server = fastify();
await server.register(limitFastify, {
  charge: (request) => ({ limiter, key: request.ip, cost: 2 }),
});
server.get("/", { config: { rateLimit: false } }, () => "ok");
assert.equal((await server.inject("/")).statusCode, 200);
await server.close();

const koa = new Koa<{ user: string }>();
koa.use(limitKoa({ charge: (ctx): Charge => ({ limiter, key: ctx.ip }) }));

const hono = new Hono<{ Variables: { user: string } }>();
hono.use(async (c, next) => {
  c.set("user", "ann");
  await next();
});
hono.use(
  limitHono<{ Variables: { user: string } }>({ charge: (c) => ({ limiter, key: c.get("user") }) }),
);
hono.get("/", (c) => c.text("ok"));
assert.match((await hono.request("/")).headers.get("RateLimit") ?? "", /^"burst";r=99/);

const limited = limitNode({ charge: by.header(limiter, "x-api-key") });
createServer(limited((_request, response) => response.end("ok")));

const gate = createGate<{ user: string }>({
  charge: ({ user }) => ({ limiter, key: user }),
  address: clientAddress({ trust: 1 }),
});
const call = { method: "GET", address: "192.0.2.1", header: () => undefined };
assert.equal((await gate.enter({ user: "bob" }, call)).denial, undefined);
