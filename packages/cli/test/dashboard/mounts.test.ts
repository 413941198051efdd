/** The dashboard as frameworks serve it, at their root and below a path: as its page of the docs says to mount it. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { fastify } from "fastify";
import Koa from "koa";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Dashboard, toNodeHandler } from "../../src/dashboard/index.js";
import { openBoard, RULES } from "../support/board.js";

const ADMIN = "a-token-that-may-do-it-all";

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const served = (listener: RequestListener): Promise<string> => listening(createServer(listener));

/** Each serves the board below `/limits`, and says where that is. */
const MOUNTS: Readonly<Record<string, (board: Dashboard) => Promise<string>>> = {
  "node:http": (board) => {
    const handle = toNodeHandler(board);
    return served((request, response) => void handle(request, response));
  },
  Express: (board) => {
    const app = express();
    const handle = toNodeHandler(board);
    app.use("/limits", (request, response) => void handle(request, response));
    return served((request, response) => void app(request, response));
  },
  "Express, which has read the body": (board) => {
    const app = express();
    const handle = toNodeHandler(board);
    app.use(express.json());
    app.use("/limits", (request, response) => void handle(request, response));
    return served((request, response) => void app(request, response));
  },
  Koa: (board) => {
    const app = new Koa();
    app.use((ctx) => {
      ctx.respond = false;
      return toNodeHandler(board)(ctx.req, ctx.res);
    });
    const handle = app.callback();
    return served((request, response) => void handle(request, response));
  },
  Fastify: async (board) => {
    const app = fastify();
    app.all("/limits/*", (request, reply) => {
      reply.hijack();
      return toNodeHandler(board)(Object.assign(request.raw, { body: request.body }), reply.raw);
    });
    onTestFinished(() => app.close());
    return app.listen({ port: 0, host: "127.0.0.1" });
  },
};

describe.each(Object.entries(MOUNTS))("%s", (name, mount) => {
  test("serves the page, its data, a login and a change", async () => {
    const { board, rules } = openBoard(RULES, { token: { admin: ADMIN } });
    const url = `${await mount(board)}/limits/`;

    const page = await fetch(url);
    expect([page.status, page.headers.get("content-type")]).toEqual([
      200,
      "text/html; charset=utf-8",
    ]);
    expect(Number(page.headers.get("content-length"))).toBe((await page.arrayBuffer()).byteLength);
    expect((await fetch(`${url}api/state`)).status).toBe(401);

    const post = (path: string, body: object, headers: Record<string, string> = {}) =>
      fetch(`${url}api/${path}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "sec-fetch-site": "same-origin",
          ...headers,
        },
        body: JSON.stringify(body),
      });
    const login = await post("login", { token: ADMIN });
    const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
    expect([login.status, cookie]).toEqual([204, expect.stringMatching(/^sluice_session=.{43}$/)]);

    const state = await fetch(`${url}api/state`, { headers: { cookie } });
    expect(await state.json()).toMatchObject({ rules: [{ rule: "api" }, { rule: "login" }] });
    const { next } = (await (await fetch(`${url}api/state`, { headers: { cookie } })).json()) as {
      next: number;
    };
    const since = `${url}api/state?since=${next}`;
    const etag = (await fetch(since, { headers: { cookie } })).headers.get("etag") ?? "";
    const again = await fetch(since, { headers: { cookie, "if-none-match": etag } });
    expect([200, 304]).toContain(again.status);

    expect((await post("mode", { mode: "shadow" }, { cookie })).status).toBe(204);
    expect(rules.status().mode).toBe("shadow");
    const refused = await post("mode", { mode: "off" }, { cookie, "sec-fetch-site": "cross-site" });
    expect([refused.status, rules.status().mode]).toEqual([403, "shadow"]);
    const looked = await post("lookup", { entries: { user: "ann" } }, { cookie });
    expect(await looked.json()).toMatchObject({ rules: [{ rule: "api", now: { limit: 3 } }, {}] });
  });

  // Fastify's route for what is below a path takes no path without its slash.
  test.skipIf(name === "Fastify")("leads to its slash where the path has none", async () => {
    const { board } = openBoard(RULES, { token: { admin: ADMIN } });
    const answer = await fetch(`${await mount(board)}/limits`, { redirect: "manual" });
    const location = answer.headers.get("location") ?? "";
    expect([answer.status, new URL(location, "http://h/limits").pathname]).toEqual([
      308,
      "/limits/",
    ]);
  });
});

test("wrong tokens are counted by the address of the connection", async () => {
  const { board } = openBoard(RULES, { token: { admin: ADMIN } });
  const handle = toNodeHandler(board);
  const url = await served((request, response) => void handle(request, response));
  const logIn = (token: string) =>
    fetch(`${url}/api/login`, {
      method: "POST",
      headers: { "content-type": "application/json", "sec-fetch-site": "same-origin" },
      body: JSON.stringify({ token }),
    });
  for (let i = 0; i < 10; i++) expect((await logIn(`a wrong token, the ${i}th`)).status).toBe(401);
  // A right one too: whoever knows the address of a connection does not look at it.
  expect((await logIn(ADMIN)).status).toBe(429);
});

test("a client that goes while it is answered harms nobody", async () => {
  const { board, rules } = openBoard(RULES, { token: { admin: ADMIN } });
  const handle = toNodeHandler(board);
  let answered = (): void => {};
  const ended = new Promise<void>((resolve) => {
    answered = resolve;
  });
  const url = await served((request, response) => {
    response.destroy();
    void handle(request, response).then(answered);
  });
  await expect(fetch(`${url}/`)).rejects.toThrow("fetch failed");
  await ended;
  expect(rules.status().mode).toBe("enforce");
});
