/** Every store gives the pure kernels' answers; SLUICE_SEED repeats a run. */
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Clock, MemoryStore } from "../../src/index.js";
import type { RemoteStore } from "../../src/remote/index.js";
import { RedisStore } from "../../src/stores/redis/index.js";
import { storeConformance } from "../../src/testing/index.js";
import { clients, type TestClient } from "../support/clients.js";
import { startStoreService, type StoreService } from "../support/store-service.js";
import { runs } from "../support/runs.js";

const seed = Number(process.env["SLUICE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const traces = runs(1000, 200);

describe(`stores conform (SLUICE_SEED=${seed})`, () => {
  describe("memory", () => {
    for (const { name, run } of storeConformance({
      createStore: (clock) => new MemoryStore({ clock }),
      seed,
      traces,
    })) {
      it(name, run);
    }
  });

  describe("a service over memory, through RemoteStore", () => {
    let service: StoreService;
    beforeAll(async () => {
      service = await startStoreService();
    });
    afterAll(() => service.close());
    const createStore = (clock: Clock): RemoteStore =>
      service.remote(new MemoryStore({ clock }), { clock });
    for (const { name, run } of storeConformance({ createStore, seed, traces: runs(300, 60) })) {
      it(name, run);
    }
  });

  for (const name of ["ioredis", "node-redis"] as const) {
    describe(`Redis through ${name}`, () => {
      let connection: TestClient;
      beforeAll(async () => {
        connection = await clients[name]();
      });
      afterAll(() => connection.close());
      const createStore = (clock: Clock): RedisStore =>
        new RedisStore({ client: connection.client, clock });
      for (const { name: title, run } of storeConformance({ createStore, seed, traces })) {
        it(title, run);
      }
    });
  }

  describe("a service over Redis, through RemoteStore", () => {
    let connection: TestClient;
    let service: StoreService;
    beforeAll(async () => {
      connection = await clients.ioredis();
      service = await startStoreService();
    });
    afterAll(async () => {
      await service.close();
      await connection.close();
    });
    const createStore = (clock: Clock): RemoteStore =>
      service.remote(new RedisStore({ client: connection.client, clock }), { clock });
    for (const { name, run } of storeConformance({ createStore, seed, traces: runs(100, 20) })) {
      it(name, run);
    }
  });
});
