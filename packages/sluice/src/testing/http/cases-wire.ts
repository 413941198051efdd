/** On the wire: methods, connections that carry many requests, HTTP/2. */
import assert from "node:assert/strict";
import { constants } from "node:http2";
import { hasLeft, type HttpCase, isProblem, quota, saysNothing, timeless } from "./http-case.js";
import { eventually, inTime } from "./patience.js";
import { Outcomes } from "./stage.js";

const methods: readonly HttpCase[] = [
  {
    name: "charges HEAD, and denies it without a body",
    needs: "head",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(2));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const connection = await site.connect();
      connection.send({ path: "/", method: "HEAD" });
      const allowed = await connection.answer("HEAD");
      assert.equal(allowed.status, 200);
      assert.equal(timeless(allowed)["ratelimit"], '"quota";r=1;t=');
      connection.send({ path: "/" });
      assert.equal((await connection.answer()).body, "ok");
      connection.send({ path: "/", method: "HEAD" });
      const denied = await connection.answer("HEAD");
      assert.equal(denied.status, 429);
      assert.equal(timeless(denied)["retry-after"], "some");
      // A body would be at the beginning of the next answer.
      connection.send({ path: "/" });
      isProblem(await connection.answer(), 429, "quota-exceeded");
    },
  },
  {
    name: "lets preflights pass free of charge",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const fields = { Origin: "https://example.org", "Access-Control-Request-Method": "GET" };
      for (let i = 0; i < 3; i++) {
        const answer = await site.ask({ path: "/", method: "OPTIONS", fields });
        assert.notEqual(answer.status, 429);
        saysNothing(answer);
      }
      await hasLeft(limiter, "k", 1);
    },
  },
  {
    name: "charges OPTIONS that are no preflight",
    needs: "options",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const answer = await site.ask({ path: "/", method: "OPTIONS" });
      assert.notEqual(answer.status, 429);
      await hasLeft(limiter, "k", 0);
      assert.equal((await site.ask({ path: "/", method: "OPTIONS" })).status, 429);
    },
  },
];

const connections: readonly HttpCase[] = [
  {
    name: "answers many requests of one connection, denied ones too",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(2));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const connection = await site.connect();
      for (const status of [200, 200, 429, 429]) {
        connection.send({ path: "/" });
        assert.equal((await connection.answer()).status, status);
      }
      assert.equal(connection.isEnded, false);
    },
  },
  {
    name: "answers requests that come at once on one connection, in order",
    needs: "pipelining",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(3));
      const { all, settle } = new Outcomes();
      const site = await stage.serve({ charge: () => ({ limiter, key: "k", settle }) });
      const connection = await site.connect();
      const paths = ["/", "/slow", "/", "/", "/"];
      connection.send(...paths.map((path) => ({ path })));
      const seen: unknown[] = [];
      for (const _ of paths) {
        const answer = await connection.answer();
        seen.push([answer.status, timeless(answer)["ratelimit"]]);
      }
      assert.deepEqual(seen, [
        [200, '"quota";r=2;t='],
        [200, '"quota";r=1;t='],
        [200, '"quota";r=0;t='],
        [429, '"quota";r=0;t='],
        [429, '"quota";r=0;t='],
      ]);
      await eventually(() => assert.equal(all.length, 3));
      assert.ok(all.every(({ aborted }) => !aborted));
    },
  },
];

const http2: readonly HttpCase[] = [
  {
    name: "over HTTP/2 states limits and refuses by a problem body",
    protocol: "HTTP/2",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const client = await stage.serveHttp2({ charge: () => ({ limiter, key: "k" }) });
      const allowed = await client.ask({ path: "/" });
      assert.deepEqual([allowed.status, allowed.body], [200, "ok"]);
      const policy = { "ratelimit-policy": '"quota";q=1;w=3600' };
      assert.deepEqual(timeless(allowed), { ...policy, ratelimit: '"quota";r=0;t=' });
      const denied = await client.ask({ path: "/" });
      isProblem(denied, 429, "quota-exceeded");
      assert.equal(timeless(denied)["retry-after"], "some");
      const head = await client.ask({ path: "/", method: "HEAD" });
      assert.deepEqual([head.status, head.body], [429, ""]);
    },
  },
  {
    name: "over HTTP/2 settles once where the client resets a stream of which it let no body come",
    protocol: "HTTP/2",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(100));
      const { all, settle } = new Outcomes();
      const client = await stage.serveHttp2({ charge: () => ({ limiter, key: "k", settle }) }, 0);
      const stream = client.begin({ path: "/stream" });
      await client.head(stream);
      // Node then keeps the stream for good, and tells nobody that it is closed.
      stream.close(constants.NGHTTP2_NO_ERROR);
      await eventually(() => assert.equal(all.length, 1));
      await hasLeft(limiter, "k", 99);
      assert.equal(all.length, 1);
    },
  },
  ...[constants.NGHTTP2_CANCEL, constants.NGHTTP2_NO_ERROR].map(
    (code): HttpCase => ({
      name: `over HTTP/2 settles once, as aborted, where the client resets its stream with the code ${code}`,
      protocol: "HTTP/2",
      needs: "aborts",
      run: async (stage) => {
        const limiter = await stage.limiter(quota(100));
        const { all, settle } = new Outcomes(({ aborted }) => (aborted ? 7 : 0));
        const client = await stage.serveHttp2({ charge: () => ({ limiter, key: "k", settle }) });
        await inTime("no stream that was reset was reported as such", async () => {
          all.length = 0;
          const stream = client.begin({ path: "/stream" });
          await client.head(stream);
          stream.close(code);
          await eventually(() => assert.equal(all.length, 1));
          return all[0]?.aborted === true;
        });
        await hasLeft(limiter, "k", 93);
        await client.ask({ path: "/" });
        await eventually(() => assert.equal(all.length, 2));
        assert.equal(all[1]?.aborted, false);
      },
    }),
  ),
];

export const wireCases: readonly HttpCase[] = [...methods, ...connections, ...http2];
