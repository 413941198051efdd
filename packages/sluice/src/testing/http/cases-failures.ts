/** Without the store: what a limiter says then is what the client gets, and never an error of the framework. */
import assert from "node:assert/strict";
import { GoneStore } from "./gone-store.js";
import { type HttpCase, isProblem, limitFields, quota, saysNothing } from "./http-case.js";
import { eventually } from "./patience.js";

const REFUSING = ["closed", "throw"] as const;

export const failureCases: readonly HttpCase[] = [
  {
    name: "with the store gone and open, lets requests pass and says nothing",
    run: async (stage) => {
      const limiter = stage.limiterOn(new GoneStore(), quota(1), { onStoreFailure: "open" });
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      for (let i = 0; i < 3; i++) {
        const answer = await site.get("/");
        assert.equal(answer.status, 200);
        saysNothing(answer);
      }
    },
  },
  ...REFUSING.map(
    (onStoreFailure): HttpCase => ({
      name: `with the store gone and ${onStoreFailure}, refuses with 503`,
      run: async (stage) => {
        const limiter = stage.limiterOn(new GoneStore(), quota(1), { onStoreFailure });
        const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
        const answer = await site.get("/");
        isProblem(answer, 503, "temporary-reduced-capacity");
        assert.deepEqual(limitFields(answer), { "retry-after": "1" });
        assert.equal(answer.field("cache-control"), "no-store");
      },
    }),
  ),
  {
    name: "with the store gone and local, counts by itself and says only when to return",
    run: async (stage) => {
      const limiter = stage.limiterOn(new GoneStore(), quota(2), { onStoreFailure: "local" });
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      for (let i = 0; i < 2; i++) {
        const answer = await site.get("/");
        assert.equal(answer.status, 200);
        saysNothing(answer);
      }
      const denied = await site.get("/");
      isProblem(denied, 429, "quota-exceeded");
      const { "retry-after": wait = "", ...others } = limitFields(denied);
      assert.match(wait, /^[1-9]\d*$/);
      assert.deepEqual(others, {});
    },
  },
  {
    name: "with the store gone, has each limiter of a request answer as it was told",
    run: async (stage) => {
      const store = new GoneStore();
      const open = stage.limiterOn(store, quota(5, "reads"), { onStoreFailure: "open" });
      const closed = stage.limiterOn(store, quota(5, "logins"), { onStoreFailure: "closed" });
      const site = await stage.serve({
        charge: (_raw, call) => [
          { limiter: open, key: "k" },
          call.header("x-test-login") === "1" && { limiter: closed, key: "k" },
        ],
      });
      assert.equal((await site.get("/")).status, 200);
      isProblem(await site.get("/", { "x-test-login": "1" }), 503, "temporary-reduced-capacity");
    },
  },
  {
    name: "goes on where the store is gone when a request is to be settled",
    run: async (stage) => {
      const store = new GoneStore();
      store.isGone = false;
      const errors: unknown[] = [];
      const limiter = stage.limiterOn(store, quota(5), {
        onStoreFailure: "open",
        breaker: false,
        hooks: { onError: ({ error }) => errors.push(error) },
      });
      const site = await stage.serve({
        charge: () => {
          return { limiter, key: "k", settle: () => 0 };
        },
      });
      const connection = await site.connect();
      connection.send({ path: "/stream" });
      await connection.until("first");
      store.isGone = true;
      await connection.answer();
      await eventually(() => assert.ok(errors.length > 0));
      assert.equal((await site.get("/")).status, 200);
    },
  },
];
