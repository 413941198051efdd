/** The example servers, started and called as their users would: by the package under its name. */
import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { type Running, startNode } from "../support/processes.js";

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage([
    "express",
    "fastify",
    "koa",
    "hono",
    "@hono",
    "@nestjs",
    "graphql-yoga",
  ]);
  const installed = join(built.directory, "node_modules", "sluice");
  mkdirSync(installed);
  cpSync("packages/sluice/package.json", join(installed, "package.json"));
  symlinkSync(join(built.directory, "dist"), join(installed, "dist"), "dir");
});
afterAll(() => {
  built.remove();
});

interface Server {
  readonly url: string;
  readonly running: Running;
}

/** Starts an example, which ends with the tests around it at the latest. */
function serverOf(name: string): () => Server {
  let server: Server | undefined;
  beforeAll(async () => {
    const home = mkdtempSync(join(built.directory, `${name}-`));
    cpSync(`examples/http/${name}`, home, { recursive: true });
    const running = startNode([join(home, "main.mjs")], { PORT: "0" });
    const stdout = running.child.stdout as NonNullable<typeof running.child.stdout>;
    const said = await Promise.race([once(stdout, "data"), running.ended]);
    const text = String(Array.isArray(said) ? said[0] : "");
    const url = /listening on (http:\S+)/.exec(text)?.[1] ?? "";
    server = { url, running };
    if (url === "") running.child.kill();
    if (url === "") throw new Error((await running.ended).stderr);
  });
  afterAll(async () => {
    server?.running.child.kill();
    await server?.running.ended;
  });
  return () => server as Server;
}

function testEnd(server: () => Server): void {
  test("ends when it is asked to", async () => {
    const { running } = server();
    running.child.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
  });
}

interface Answer {
  readonly status: number;
  readonly limit: string | null;
  readonly body: string;
}

const ADDRESS = expect.stringMatching(/^"address";r=\d+;t=\d+$/) as string;

describe.each([
  ["express", ADDRESS],
  ["fastify", ADDRESS],
  ["koa", ADDRESS],
  ["hono", ADDRESS],
  ["node", ADDRESS],
  ["web", ADDRESS],
  // Its guards belong to handlers.
  ["nest", null],
])("the server with %s", (name, limitOfMissing) => {
  const server = serverOf(name);

  async function ask(path: string, login?: string): Promise<Answer> {
    const response = await fetch(`${server().url}${path}`, {
      method: login === undefined ? "GET" : "POST",
      headers: {
        connection: "close",
        ...(login !== undefined && { authorization: `Basic ${btoa(login)}` }),
      },
    });
    const limit = response.headers.get("ratelimit");
    return { status: response.status, limit, body: await response.text() };
  }

  test("counts addresses, and what leads nowhere, but no health checks", async () => {
    expect(await ask("/")).toMatchObject({
      status: 200,
      body: "hello\n",
      limit: ADDRESS,
    });
    expect(await ask("/health")).toEqual({ status: 200, body: "ok\n", limit: null });
    expect(await ask("/missing")).toMatchObject({ status: 404, limit: limitOfMissing });
  });

  test("lets three logins fail, then blocks the name, and no other", async () => {
    const logins = [];
    for (const login of ["ann:secret", "ann:1", "ann:2", "ann:3", "ann:secret", "bob:secret"]) {
      logins.push(await ask("/login", login));
    }
    expect(logins.map(({ status }) => status)).toEqual([204, 401, 401, 401, 429, 204]);
    expect(logins.map(({ limit }) => limit?.includes("failures"))).not.toContain(true);
    expect(JSON.parse(logins[4]?.body ?? "")).toMatchObject({ status: 429 });
  });

  testEnd(server);
});

describe("the server with graphql", () => {
  const server = serverOf("graphql");

  async function ask(query: string): Promise<Answer> {
    const response = await fetch(`${server().url}/graphql`, {
      method: "POST",
      headers: { connection: "close", "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    const limit = response.headers.get("ratelimit");
    return { status: response.status, limit, body: await response.text() };
  }

  test("counts fields, aliases too, and searches by a limit of their own", async () => {
    expect(await ask("{ a: hello b: hello c: hello }")).toMatchObject({
      status: 200,
      limit: expect.stringMatching(/^"fields";r=99\d;t=1$/) as string,
    });
    const search = '{ a: find(text: "a") b: find(text: "b") }';
    expect(await ask(search)).toEqual({
      status: 200,
      limit: expect.stringMatching(/^"fields";r=99\d;t=1, "search";r=0;t=\d+$/) as string,
      body: '{"data":{"a":[],"b":[]}}',
    });
    const refused = await ask(search);
    expect(refused.status).toBe(429);
    expect(JSON.parse(refused.body)).toMatchObject({
      errors: [{ message: "Quota exceeded", extensions: { code: "RATE_LIMITED" } }],
    });
    expect(await ask("{ hello }")).toMatchObject({
      status: 200,
      body: '{"data":{"hello":"hello"}}',
    });
  });

  testEnd(server);
});
