/** Whatever client the user has: the conformance suite through each. */
import { afterAll, beforeAll, describe, it } from "vitest";
import type { Clock } from "../../src/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { storeConformance } from "../../src/testing/index.js";
import { clients, type TestClient } from "../support/clients.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** ioredis and node-redis have the whole suite, in test/conformance. */
const TRACES = {
  iovalkey: 50,
  "valkey-glide": 50,
  // Each call is an HTTP request.
  upstash: 20,
  "upstash without pipelines": 20,
  "Bun's send": 50,
  "a function": 50,
} as const;

for (const [name, traces] of Object.entries(TRACES)) {
  describe(`through ${name} (SLUICE_SEED=${seed})`, () => {
    let connection: TestClient;
    beforeAll(async () => {
      connection = await clients[name as keyof typeof TRACES]();
    });
    afterAll(() => connection.close());

    const createStore = (clock: Clock): RedisStore =>
      new RedisStore({ client: connection.client, clock });
    for (const { name: title, run } of storeConformance({
      createStore,
      seed,
      traces: runs(traces),
    })) {
      it(title, run);
    }
  });
}
