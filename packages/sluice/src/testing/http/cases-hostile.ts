/** Requests that mean no good: none of them is a server error, and the server goes on. */
import assert from "node:assert/strict";
import { by } from "../../http/charge.js";
import { hasLeft, type HttpCase, isProblem, quota, timeless } from "./http-case.js";
import { eventually } from "./patience.js";
import { Outcomes, type Site } from "./stage.js";

const BROKEN_KEYS: readonly string[] = [
  "",
  "\ud800",
  "a\udc00",
  "\0",
  "{}",
  "{a}",
  "__proto__",
  "constructor",
  "\r\nSet-Cookie: a=b",
  "k".repeat(5000),
  "\u{1f600}".repeat(2000),
];

const WRONG_LOGINS = 10;

export const hostileCases: readonly HttpCase[] = [
  {
    name: "takes any text for a key, each for one of its own",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(2));
      for (const round of ["first", "second", "third"]) {
        const left = [...BROKEN_KEYS];
        const site = await stage.serve({ charge: () => ({ limiter, key: left.shift() }) });
        for (const key of BROKEN_KEYS) {
          const { status } = await site.get("/");
          assert.equal(status, round === "third" ? 429 : 200, JSON.stringify(key.slice(0, 20)));
        }
      }
    },
  },
  {
    name: "takes whatever a client sends for its key",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(2));
      const site = await stage.serve({ charge: by.header(limiter, "X-Api-Key") });
      const values = [
        "a".repeat(5000),
        `${"a".repeat(4999)}b`,
        "\xff\xfe\x80",
        "",
        '"; r=9',
        "%00",
      ];
      for (const value of values) {
        const statuses: number[] = [];
        for (let i = 0; i < 3; i++) {
          statuses.push((await site.get("/", { "X-Api-Key": value })).status);
        }
        assert.deepEqual(statuses, [200, 200, 429], JSON.stringify(value.slice(0, 20)));
      }
    },
  },
  {
    name: "outlives floods of fields",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const many = Array.from({ length: 1000 }, (_, i) => [`x-${i}`, "a"]);
      const long = Array.from({ length: 500 }, (_, i) => [`x-${i}`, "a".repeat(100)]);
      for (const fields of [many, long]) {
        const { status } = await site.get(
          "/",
          Object.fromEntries(fields) as Record<string, string>,
        );
        assert.ok(status < 500, `status ${status}`);
      }
      assert.equal((await site.get("/")).status, 200);
    },
  },
  {
    name: "refuses without waiting for a body that does not come",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      await site.get("/");
      const fields = { "Content-Length": "1000000" };
      const slow = Array.from({ length: 20 }, async () => {
        const connection = await site.connect();
        connection.send({ path: "/", fields });
        connection.write("a");
        return (await connection.answer()).status;
      });
      assert.deepEqual(new Set(await Promise.all(slow)), new Set([429]));
      assert.equal((await site.get("/")).status, 429);
    },
  },
  {
    name: "lets no more wrong logins pass at once than the limit",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(3));
      const { settle } = new Outcomes(({ status }) => (status === 401 ? 1 : 0));
      const site = await stage.serve({ charge: () => ({ limiter, key: "ann", settle }) });
      const statuses = await allAtOnce(site, "/unauthorized");
      assert.equal(statuses.filter((status) => status === 401).length, 3);
      assert.equal(statuses.filter((status) => status === 429).length, WRONG_LOGINS - 3);
      await hasLeft(limiter, "ann", 0);
    },
  },
  {
    name: "bans nobody for right logins, however many come at once",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(3), { blockFor: "1h" });
      const { settle } = new Outcomes(({ status }) => (status === 401 ? 1 : 0));
      const site = await stage.serve({ charge: () => ({ limiter, key: "ann", settle }) });
      await allAtOnce(site, "/");
      await hasLeft(limiter, "ann", 3);
      const answer = await site.get("/");
      assert.equal(answer.status, 200, answer.body);
    },
  },
  {
    name: "bans whoever fails too often, also with the right password then",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(3), { blockFor: "1h" });
      const { settle } = new Outcomes(({ status }) => (status === 401 ? 1 : 0));
      const site = await stage.serve({
        charge: (_raw, call) => ({ limiter, key: call.header("x-test-user"), settle }),
      });
      const login = async (user: string, path: string): Promise<number> =>
        (await site.get(path, { "x-test-user": user })).status;
      for (let i = 0; i < 3; i++) assert.equal(await login("ann", "/unauthorized"), 401);
      await eventually(async () => assert.equal((await limiter.peek("ann")).remaining, 0));
      assert.equal(await login("ann", "/"), 429);
      assert.equal(await login("bob", "/"), 200);
    },
  },
  {
    name: "says nothing in its fields that a client wrote",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const site = await stage.serve({ charge: by.header(limiter, "x-api-key") });
      const answer = await site.get("/", { "x-api-key": 'a";r=999' });
      assert.deepEqual(timeless(answer), {
        "ratelimit-policy": '"quota";q=5;w=3600',
        ratelimit: '"quota";r=4;t=',
      });
    },
  },
  {
    name: "answers the next request after one that it refused for what it is",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const keys: unknown[] = [42, "k"];
      const site = await stage.serve({ charge: () => ({ limiter, key: keys.shift() as string }) });
      const connection = await site.connect();
      connection.send({ path: "/" });
      isProblem(await connection.answer(), 400, "about:blank");
      connection.send({ path: "/" });
      assert.equal((await connection.answer()).status, 200);
    },
  },
];

async function allAtOnce(site: Site, path: string): Promise<readonly number[]> {
  const answers = Array.from({ length: WRONG_LOGINS }, async () => (await site.get(path)).status);
  return Promise.all(answers);
}
