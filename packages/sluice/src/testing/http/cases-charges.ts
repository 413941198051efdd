/** What a request is charged: nothing, one limit, several, and what charge functions get wrong. */
import assert from "node:assert/strict";
import { by, type Charges } from "../../http/charge.js";
import type { HttpCall } from "../../http/call.js";
import { clientAddress } from "../../http/address.js";
import { GoneStore } from "./gone-store.js";
import { hasLeft, type HttpCase, isProblem, quota, saysNothing, timeless } from "./http-case.js";

const NOTHING: readonly Charges[] = [undefined, null, false, "", 0, [], [false, null, undefined]];

const amounts: readonly HttpCase[] = [
  {
    name: "takes what a request costs",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(10));
      const site = await stage.serve({ charge: () => ({ limiter, key: "k", cost: 3 }) });
      const answer = await site.get("/");
      assert.equal(timeless(answer)["ratelimit"], '"quota";r=7;t=');
      await hasLeft(limiter, "k", 7);
    },
  },
  {
    name: "lets pass what is charged nothing, and says nothing",
    run: async (stage) => {
      const left = [...NOTHING];
      const site = await stage.serve({ charge: () => left.shift() });
      for (const _ of NOTHING) {
        const answer = await site.get("/");
        assert.deepEqual([answer.status, answer.body], [200, "ok"]);
        saysNothing(answer);
      }
    },
  },
  {
    name: "waits for a charge function that promises",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const site = await stage.serve({ charge: async () => ({ limiter, key: "k" }) });
      const answers = [await site.get("/"), await site.get("/")];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 429],
      );
    },
  },
  {
    name: "a limiter alone charges the address of the connection",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(2));
      const site = await stage.serve(limiter);
      assert.equal(timeless(await site.get("/"))["ratelimit"], '"quota";r=1;t=');
      await hasLeft(limiter, "127.0.0.1", 1);
    },
  },
  {
    name: "says nothing of a shadow, also once it is used up",
    run: async (stage) => {
      const shadow = await stage.limiter(quota(1), { enforce: false });
      const site = await stage.serve({ charge: () => ({ limiter: shadow, key: "k" }) });
      for (let i = 0; i < 3; i++) {
        const answer = await site.get("/");
        assert.equal(answer.status, 200);
        saysNothing(answer);
      }
      await hasLeft(shadow, "k", 0);
    },
  },
];

const several: readonly HttpCase[] = [
  {
    name: "asks several limiters in one round trip, and states them side by side",
    run: async (stage) => {
      const store = new GoneStore();
      store.isGone = false;
      const a = stage.limiterOn(store, quota(5, "a"));
      const b = stage.limiterOn(store, quota(7, "b"));
      const site = await stage.serve({
        charge: () => [{ limiter: a, key: "x" }, false, { limiter: b, key: "y", cost: 2 }],
      });
      const answer = await site.get("/");
      assert.equal(store.calls, 1);
      assert.deepEqual(timeless(answer), {
        "ratelimit-policy": '"a";q=5;w=3600, "b";q=7;w=3600',
        ratelimit: '"a";r=4;t=, "b";r=5;t=',
      });
    },
  },
  {
    name: "leaves the first limiter as it was where the second refuses",
    run: async (stage) => {
      const first = await stage.limiter(quota(5, "first"));
      const second = await stage.limiter(quota(1, "second"));
      const site = await stage.serve({
        charge: () => [
          { limiter: first, key: "x" },
          { limiter: second, key: "y" },
        ],
      });
      assert.equal((await site.get("/")).status, 200);
      const answer = await site.get("/");
      const problem = isProblem(answer, 429, "quota-exceeded");
      assert.deepEqual((problem as Record<string, unknown>)["violated-policies"], ["second"]);
      await hasLeft(first, "x", 4);
    },
  },
  {
    name: "leaves limiters as they were where a semaphore has no permit",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const semaphore = await stage.semaphore("slots", 1);
      const permit = await semaphore.acquire("k");
      stage.atEnd(() => permit.release());
      const site = await stage.serve({
        charge: () => [
          { limiter: semaphore, key: "k" },
          { limiter, key: "k" },
        ],
      });
      const answer = await site.get("/");
      isProblem(answer, 429, "quota-exceeded");
      const { "ratelimit-policy": policies = "", ratelimit = "" } = timeless(answer);
      assert.ok(policies.includes('"slots";q=1;qu="concurrent-requests"'), policies);
      assert.ok(ratelimit.includes('"slots";r=0'), ratelimit);
      assert.equal(answer.field("retry-after"), "1");
      await hasLeft(limiter, "k", 5);
      await permit.release();
      assert.equal((await site.get("/")).status, 200);
    },
  },
];

const mistakes: readonly HttpCase[] = [
  {
    name: "refuses two limiters of one name, and charges neither",
    run: async (stage) => {
      const a = await stage.limiter(quota(5));
      const b = await stage.limiter(quota(5));
      const site = await stage.serve({
        charge: () => [
          { limiter: a, key: "x" },
          { limiter: b, key: "y" },
        ],
      });
      assert.equal((await site.get("/")).status, 500);
      await hasLeft(a, "x", 5);
      await hasLeft(b, "y", 5);
    },
  },
  ...Object.entries({
    "a missing key": (): string | undefined => undefined,
    "a charge function that throws": (): string => {
      throw new Error("no such plan");
    },
    "a charge function that rejects": (): Promise<string> =>
      Promise.reject(new Error("no such plan")),
  }).map(
    ([what, keyOf]): HttpCase => ({
      name: `takes ${what} for an error of the application, and charges nobody`,
      run: async (stage) => {
        const limiter = await stage.limiter(quota(5));
        const other = await stage.limiter(quota(5, "other"));
        const charge = (): Charges | Promise<Charges> => {
          const key = keyOf();
          const chargesOf = (known: string | undefined): Charges => [
            { limiter: other, key: "k" },
            { limiter, key: known },
          ];
          return key instanceof Promise ? key.then(chargesOf) : chargesOf(key);
        };
        const site = await stage.serve({ charge });
        const answer = await site.get("/");
        assert.equal(answer.status, 500);
        saysNothing(answer);
        await hasLeft(other, "k", 5);
      },
    }),
  ),
  {
    name: "answers 400 to a request whose key is no text",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(5));
      const keys: unknown[] = [42, {}, ["a"], null, true];
      const left = [...keys];
      const site = await stage.serve({ charge: () => ({ limiter, key: left.shift() as string }) });
      for (const _ of keys) isProblem(await site.get("/"), 400, "about:blank");
      assert.equal((await site.get("/")).status, 500);
    },
  },
  {
    name: "hands what onDenied throws to the framework, and goes on",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(1));
      const seen: unknown[] = [];
      const site = await stage.serve({
        charge: () => ({ limiter, key: "k" }),
        onDenied: (_raw, { status, reason }) => {
          seen.push([status, reason]);
          throw new Error("no such page");
        },
      });
      await site.get("/");
      for (let i = 0; i < 2; i++) assert.equal((await site.get("/")).status, 500);
      const denial = [429, "quota"];
      assert.deepEqual(seen, [denial, denial]);
    },
  },
];

/** The address that a case makes up. */
const madeUp = (_raw: unknown, call: HttpCall): string | undefined => call.header("x-test-address");

const FORWARDED = [
  "x-forwarded-for",
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "cf-connecting-ip",
  "true-client-ip",
];

const addresses: readonly HttpCase[] = [
  {
    name: "is not moved by what a client says its address is",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(FORWARDED.length));
      const site = await stage.serve(limiter);
      for (const [i, name] of FORWARDED.entries()) {
        const value = name === "forwarded" ? "for=203.0.113.9" : `203.0.113.${i}, 198.51.100.${i}`;
        assert.equal((await site.get("/", { [name]: value })).status, 200);
      }
      for (const name of FORWARDED) {
        const value = name === "forwarded" ? "for=203.0.113.99" : "203.0.113.99";
        assert.equal((await site.get("/", { [name]: value })).status, 429, name);
      }
    },
  },
  {
    name: "behind a proxy takes its word, and not what the client wrote before",
    run: async (stage) => {
      const limiter = await stage.limiter(quota(2));
      const address = clientAddress({ trust: 1 });
      const site = await stage.serve({
        charge: (_raw, call) => ({ limiter, key: call.address }),
        address,
      });
      const from = async (field: string): Promise<number> =>
        (await site.get("/", { "X-Forwarded-For": field })).status;
      assert.equal(await from("198.51.100.7"), 200);
      assert.equal(await from("203.0.113.1, 198.51.100.7"), 200);
      assert.equal(await from("203.0.113.2,198.51.100.7"), 429);
      assert.equal(await from("198.51.100.7, 203.0.113.3"), 200);
      await hasLeft(limiter, "198.51.100.7", 0);
    },
  },
  ...(
    [
      ["IPv4 written as IPv6", ["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"], "192.0.2.8"],
      ["the neighbours in an IPv6 /64", ["2001:db8::1", "2001:db8:0:0:ff::2"], "2001:db8:0:1::1"],
    ] as const
  ).map(
    ([what, same, other]): HttpCase => ({
      name: `counts ${what} as one client`,
      run: async (stage) => {
        const limiter = await stage.limiter(quota(same.length));
        const site = await stage.serve({ charge: by.address(limiter), address: madeUp });
        const from = async (address: string): Promise<number> =>
          (await site.get("/", { "x-test-address": address })).status;
        for (const address of same) assert.equal(await from(address), 200, address);
        for (const address of same) assert.equal(await from(address), 429, address);
        assert.equal(await from(other), 200, other);
      },
    }),
  ),
];

export const chargeCases: readonly HttpCase[] = [...amounts, ...several, ...mistakes, ...addresses];
