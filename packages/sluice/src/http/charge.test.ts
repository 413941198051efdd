/** Which charges, and which options of a gate, are none. */
import { describe, expect, test } from "vitest";
import { enter, gateOf, left } from "../../test/support/gates.js";
import { InvalidOptionError } from "../core/errors.js";
import { RateLimiter, Semaphore, tokenBucket } from "../index.js";
import { type Charge, createGate, type HttpOptions } from "./index.js";

describe("a charge that is none", () => {
  const limiter = new RateLimiter({ policy: tokenBucket({ limit: 5, period: "1h" }) });
  const slots = new Semaphore({ limit: 5 });

  test.each<[string, unknown]>([
    ["charge", "k"],
    ["charge", 7],
    ["charge", limiter],
    ["charge", new Map()],
    ["charge.limiter", {}],
    ["charge.limiter", { limiter: {}, key: "k" }],
    ["charge.key", { limiter, key: undefined }],
    ["charge.key", { limiter }],
    ["charge.cost", { limiter, key: "k", cost: -1 }],
    ["charge.cost", { limiter, key: "k", cost: Number.NaN }],
    ["charge.cost", { limiter: slots, key: "k", cost: 0.5 }],
    ["charge.settle", { limiter, key: "k", settle: 1 }],
    ["charge.settle", { limiter: slots, key: "k", settle: () => 1 }],
    ["charge.maxWait", { limiter, key: "k", maxWait: "soon" }],
    ["charge.show", { limiter, key: "k", show: "no" }],
    ["charge.when", { limiter, key: "k", when: true }],
    ["charge[0]", [Promise.resolve()]],
    ["charge[1].key", [{ limiter, key: "k" }, { limiter }]],
    ["charge[2].cost", [false, { limiter, key: "k" }, { limiter, key: "k", cost: "2" }]],
  ])("is an error that names %s", async (option, charge) => {
    const gate = gateOf(charge as Charge);
    await expect(async () => enter(gate)).rejects.toMatchObject({
      name: "InvalidOptionError",
      option,
    });
    expect(await left(limiter, "k")).toBe(5);
  });

  test.each<[string, Partial<HttpOptions<object>>]>([
    ["charge", { charge: "user" as never }],
    ["fields", { fields: "draft-8" as never }],
    ["onDenied", { onDenied: 429 as never }],
    ["address", { address: "x-real-ip" as never }],
    ["maxWaiting", { maxWaiting: -1 }],
    ["keyGenerator", { keyGenerator: () => "k" } as never],
  ])("of a gate is an error that names %s", (option, options) => {
    const make = () => createGate({ charge: () => undefined, ...options });
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(option);
  });
});
