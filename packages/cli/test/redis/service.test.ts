/** A service that follows a document which is published in a real Redis. */
import { randomUUID } from "node:crypto";
import { PublishedPolicies, type PoliciesDocument } from "sluice/policies";
import { RedisStore } from "sluice/redis";
import { expect, inject, onTestFinished, test } from "vitest";
import { startService } from "../support/service.js";

const documentOf = (limit: number): PoliciesDocument => ({
  rules: [
    { name: "api", key: ["user"], policy: { algorithm: "token-bucket", limit, period: "1h" } },
  ],
});

test("follows what is published, and what is published again", async () => {
  const redis = inject("redisUrl");
  const name = randomUUID();
  const store = new RedisStore({ url: redis });
  onTestFinished(() => store.close());
  const published = new PublishedPolicies({ store, name });
  const first = await published.publish(documentOf(5), { expected: 0 });
  const flags = { policies: undefined, published: name, redis, namespace: name };
  const { service, ask } = await startService(documentOf(1), flags);
  expect(await ask("/v1/consume", { rule: "api", key: "ann" })).toMatchObject({
    status: 200,
    body: { limit: 5, remaining: 4 },
  });
  await published.publish(documentOf(2), { expected: first });
  await expect.poll(() => service.rules.version).toBe(first + 1);
  expect(await ask("/v1/peek", { rule: "api", key: "ben" })).toMatchObject({ body: { limit: 2 } });
});

test.each([
  [{ published: "sluice" }, "--policies and --published are given"],
  [{ policies: undefined, published: "sluice" }, "--published goes with --redis URL"],
  [{ policies: undefined }, "--policies FILE is missing"],
])("refuses %j", async (flags, why) => {
  await expect(startService(documentOf(1), flags)).rejects.toThrow(why);
});
