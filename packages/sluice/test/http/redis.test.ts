/** Every adapter does the same with its limits in Redis. */
import { afterAll, beforeAll, describe, test } from "vitest";
import { RedisStore } from "../../src/stores/redis/index.js";
import { httpConformance } from "../../src/testing/index.js";
import { clients, type TestClient } from "../support/clients.js";
import { subjects } from "./subjects/index.js";

let connection: TestClient;
beforeAll(async () => {
  connection = await clients.ioredis();
});
afterAll(() => connection.close());

describe.concurrent.each(subjects)("$name", (subject) => {
  const createStore = (): RedisStore => new RedisStore({ client: connection.client });
  for (const { name, run } of httpConformance({ subject, createStore })) test(name, run);
});
