/** The example servers, started and called as their users would: by the package under its name. */
import { cpSync, mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BuiltPackage, buildPackage } from "../support/built.js";
import { type Running, startNode } from "../support/processes.js";

let built: BuiltPackage;
beforeAll(async () => {
  built = await buildPackage(["fastify", "koa", "hono", "@hono"]);
  const installed = join(built.directory, "node_modules", "sluice");
  mkdirSync(installed);
  cpSync("packages/sluice/package.json", join(installed, "package.json"));
  symlinkSync(join(built.directory, "dist"), join(installed, "dist"), "dir");
});
afterAll(() => {
  built.remove();
});

interface Answer {
  readonly status: number;
  readonly limit: string | null;
  readonly body: string;
}

describe.each(["fastify", "koa", "hono", "web"])("the server with %s", (name) => {
  let running: Running;
  let url = "";
  beforeAll(async () => {
    const home = mkdtempSync(join(built.directory, `${name}-`));
    cpSync(`examples/http/${name}`, home, { recursive: true });
    running = startNode([join(home, "main.mjs")], { PORT: "0" });
    const stdout = running.child.stdout as NonNullable<typeof running.child.stdout>;
    const said = await Promise.race([once(stdout, "data"), running.ended]);
    url = /listening on (http:\S+)/.exec(String(Array.isArray(said) ? said[0] : ""))?.[1] ?? "";
    if (url === "") running.child.kill();
    if (url === "") throw new Error((await running.ended).stderr);
  });
  afterAll(async () => {
    running.child.kill();
    await running.ended;
  });

  async function ask(path: string, login?: string): Promise<Answer> {
    const response = await fetch(`${url}${path}`, {
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
      limit: expect.stringMatching(/^"address";r=\d+;t=\d+$/) as string,
    });
    expect(await ask("/health")).toEqual({ status: 200, body: "ok\n", limit: null });
    expect(await ask("/missing")).toMatchObject({
      status: 404,
      limit: expect.stringMatching(/^"address";r=\d+;t=\d+$/) as string,
    });
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

  test("ends when it is asked to", async () => {
    running.child.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
  });
});
