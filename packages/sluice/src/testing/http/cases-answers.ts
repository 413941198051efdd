/** What an answer says: of a request that passes, and of one that is refused. */
import assert from "node:assert/strict";
import { fixedWindow } from "../../algorithms/fixed-window/policy.js";
import {
  type HttpCase,
  isProblem,
  limitFields,
  quota,
  saysNothing,
  timeless,
  TYPES,
} from "./http-case.js";

const minute = (limit: number, name = "quota"): ReturnType<typeof fixedWindow> =>
  fixedWindow({ name, limit, window: "1m", align: "first" });

const allowedAndDenied: readonly HttpCase[] = [
  {
    name: "lets a request pass and states its limit, byte for byte",
    run: async (stage) => {
      const { limiter, clock } = stage.exact(minute(3));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const first = await site.get("/");
      assert.deepEqual([first.status, first.body], [200, "ok"]);
      assert.deepEqual(limitFields(first), {
        "ratelimit-policy": '"quota";q=3;w=60',
        ratelimit: '"quota";r=2;t=60',
      });
      clock.advance(59_001);
      assert.deepEqual(limitFields(await site.get("/")), {
        "ratelimit-policy": '"quota";q=3;w=60',
        ratelimit: '"quota";r=1;t=1',
      });
    },
  },
  {
    name: "refuses a request with 429 and a problem body, byte for byte",
    run: async (stage) => {
      const { limiter, clock } = stage.exact(minute(1));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      await site.get("/");
      clock.advance(500);
      const answer = await site.get("/unauthorized");
      assert.equal(answer.status, 429);
      assert.deepEqual(limitFields(answer), {
        "ratelimit-policy": '"quota";q=1;w=60',
        ratelimit: '"quota";r=0;t=60',
        "retry-after": "60",
      });
      assert.equal(answer.field("cache-control"), "no-store");
      assert.equal(
        answer.body,
        `{"type":"${TYPES}quota-exceeded","title":"Quota exceeded","status":429,"violated-policies":["quota"]}`,
      );
    },
  },
  {
    name: "never has a client return too early: Retry-After is rounded up",
    run: async (stage) => {
      const policy = fixedWindow({ name: "quota", limit: 1, window: "1500ms", align: "first" });
      const { limiter, clock } = stage.exact(policy);
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      await site.get("/");
      const waits: unknown[] = [];
      for (const ms of [0, 1, 498, 1, 1, 998]) {
        clock.advance(ms);
        waits.push((await site.get("/")).field("retry-after"));
      }
      assert.deepEqual(waits, ["2", "2", "2", "1", "1", "1"]);
    },
  },
  {
    name: "says application/problem+json and no more",
    needs: "charset",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      await site.get("/");
      const answer = await site.get("/");
      assert.equal(answer.field("content-type"), "application/problem+json");
    },
  },
  {
    name: "with fields: false says only Retry-After, on denials",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const charge = (): object => ({ limiter, key: "k" });
      const site = await stage.serve({ charge: charge as never, fields: false });
      saysNothing(await site.get("/"));
      assert.deepEqual(timeless(await site.get("/")), { "retry-after": "some" });
    },
  },
  {
    name: "writes older forms where they are asked for",
    run: async (stage) => {
      const { limiter } = stage.exact(minute(3));
      const fields = ["draft-06", "x-ratelimit"] as const;
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }), fields });
      const { "x-ratelimit-reset": reset, ...others } = limitFields(await site.get("/"));
      assert.match(reset ?? "", /^\d{10}$/);
      assert.deepEqual(others, {
        "ratelimit-policy": "3;w=60",
        "ratelimit-limit": "3",
        "ratelimit-remaining": "2",
        "ratelimit-reset": "60",
        "x-ratelimit-limit": "3",
        "x-ratelimit-remaining": "2",
      });
    },
  },
];

const reasons: readonly HttpCase[] = [
  {
    name: "says of a blocked key that nothing is left",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(3));
      await limiter.block("k", "1h");
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const answer = await site.get("/");
      isProblem(answer, 429, "abnormal-usage-detected");
      assert.deepEqual(timeless(answer), {
        "ratelimit-policy": '"quota";q=3;w=3600',
        ratelimit: '"quota";r=0;t=',
        "retry-after": "some",
      });
    },
  },
  {
    name: "gives a request that costs more than the quota no Retry-After",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(3));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k", cost: 4 }) });
      const answer = await site.get("/");
      isProblem(answer, 429, "quota-exceeded");
      assert.equal(answer.field("retry-after"), undefined);
    },
  },
  {
    name: "says nothing of a limiter that is not to be shown",
    run: async (stage) => {
      const shown = await stage.limiter(quota(10, "address"));
      const hidden = await stage.limiter(quota(1, "login"));
      const site = await stage.serve({
        charge: () => [
          { limiter: shown, key: "k" },
          { limiter: hidden, key: "ann", show: false },
        ],
      });
      const allowed = {
        "ratelimit-policy": '"address";q=10;w=3600',
        ratelimit: '"address";r=9;t=',
      };
      assert.deepEqual(timeless(await site.get("/")), allowed);
      const answer = await site.get("/");
      const problem = isProblem(answer, 429, "quota-exceeded") as object;
      assert.equal("violated-policies" in problem, false);
      assert.equal(`${answer.fields.join("\n")}\n${answer.body}`.includes("login"), false);
    },
  },
];

const throughOthers: readonly HttpCase[] = [
  ...(["/boom", "/teapot"] as const).map(
    (path): HttpCase => ({
      name: `keeps the fields of an answer to ${path}, whose handler throws`,
      needs: "fieldsOnThrow",
      run: async (stage) => {
        const limiter = await stage.limiter(quota(3));
        const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
        const answer = await site.get(path);
        assert.equal(answer.status, path === "/boom" ? 500 : 418);
        assert.deepEqual(timeless(answer), {
          "ratelimit-policy": '"quota";q=3;w=3600',
          ratelimit: '"quota";r=2;t=',
        });
      },
    }),
  ),
  {
    name: "charges a request that no route matches",
    needs: "notFound",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const answer = await site.get("/missing");
      assert.equal(answer.status, 404);
      assert.deepEqual(timeless(answer), {
        "ratelimit-policy": '"quota";q=1;w=3600',
        ratelimit: '"quota";r=0;t=',
      });
      assert.equal((await site.get("/missing")).status, 429);
    },
  },
  {
    name: "shows its fields to scripts of other origins",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k" }) });
      const exposed = async (): Promise<readonly string[]> => {
        // As a browser asks for a script.
        const answer = await site.get("/cors", { origin: "https://example.com" });
        assert.equal(answer.field("access-control-allow-origin"), "*");
        const names = answer.field("access-control-expose-headers") ?? "";
        return names.toLowerCase().split(", ").toSorted();
      };
      assert.deepEqual(await exposed(), ["ratelimit", "ratelimit-policy"]);
      assert.deepEqual(await exposed(), ["ratelimit", "ratelimit-policy", "retry-after"]);
      const other = await site.get("/");
      assert.equal(other.field("access-control-expose-headers"), undefined);
    },
  },
];

export const answerCases: readonly HttpCase[] = [...allowedAndDenied, ...reasons, ...throughOthers];
