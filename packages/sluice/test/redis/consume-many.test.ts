/** Several requests to a set of rules on Redis come to what an exact model says, together and each for itself. */
import { randomUUID } from "node:crypto";
import { expect, inject, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { playRules } from "../support/rules-model.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

test(`every answer and every balance is the model's, seed ${seed}`, async () => {
  const met = { allowed: 0, denied: 0, spared: 0, refunded: 0, givenBack: 0 };
  const store = await RedisStore.connect(inject("redisUrl"));
  const namespace = `many-${randomUUID()}`;
  for (let run = 0; run < runs(40, 10); run++) {
    await playRules(new Random(seed + run), store, `${namespace} ${run}`, met);
  }
  await store.close();
  expect(Object.values(met).every((count) => count > 0)).toBe(true);
});
