/** If no hook listens, the process warns once per outage. */
import { createClient } from "redis";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { OutsideStore } from "../../test/support/outside-store.js";
import { Events } from "../events/events.js";
import { RateLimiter, tokenBucket } from "../index.js";
import { RedisStore } from "../stores/redis/index.js";

const policy = tokenBucket({ limit: 10, period: "1h" });
let warn = vi.spyOn(process, "emitWarning");

beforeEach(() => {
  warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
});
afterEach(() => {
  warn.mockRestore();
});

function brokenStore() {
  const store = Object.assign(new OutsideStore(), { events: new Events() });
  store.behaviour = "fails";
  return store;
}

test("once an outage of all limiters of the store", async () => {
  const store = brokenStore();
  const limiters = ["a", "b"].map((namespace) => new RateLimiter({ policy, store, namespace }));
  for (let i = 0; i < 10; i++) for (const each of limiters) await each.consume("k");
  expect(warn).toHaveBeenCalledOnce();
  expect(warn.mock.calls[0]?.[0]).toMatch(/^the store failed: connection lost\. Until/);
  expect(warn.mock.calls[0]?.[1]).toEqual({ type: "SluiceWarning", code: "SLUICE_OUTAGE" });
});

test("of a store without events too", async () => {
  const store = new OutsideStore();
  store.behaviour = "fails";
  const limiter = new RateLimiter({ policy, store });
  for (let i = 0; i < 10; i++) await limiter.consume("k");
  expect(warn).toHaveBeenCalledOnce();
});

test("not where a hook of the limiter or of the store listens", async () => {
  const store = brokenStore();
  const heard = new RateLimiter({ policy, store, hooks: { onError: () => {} } });
  for (let i = 0; i < 10; i++) await heard.consume("k");
  const other = brokenStore();
  other.events.on("failure", () => {});
  await new RateLimiter({ policy, store: other }).consume("k");
  expect(warn).not.toHaveBeenCalled();
});

test("a client that was never connected: what to do", async () => {
  const store = new RedisStore({ client: createClient({ url: "redis://127.0.0.1:1" }) });
  const limiter = new RateLimiter({ policy, store });
  expect(await limiter.consume("k")).toMatchObject({ source: "local", remaining: 9 });
  expect(warn).toHaveBeenCalledOnce();
  expect(warn.mock.calls[0]?.[0]).toContain("await client.connect()");
});
