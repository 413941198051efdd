/** What a handler has under way at once, and what becomes of calls that wait too long or meet a store that is closed. */
import { expect, onTestFinished, test, vi } from "vitest";
import { ClosedError, MemoryStore } from "../../src/index.js";
import { type RemoteStore, type StoreHandler, storeHandler } from "../../src/remote/index.js";
import { assumedHandOver } from "../../src/stores/hand-over.js";
import { eventually } from "../support/eventually.js";
import { HeldStore } from "../support/held-store.js";
import { startStoreService } from "../support/store-service.js";

const policies = [{ algorithm: "gcra", name: "p", limit: 5, period: 1000, burst: 5 }];

/** Asks to consume a unit of each id. */
function asked(handler: StoreHandler, ids: readonly string[], within = 60_000) {
  const calls = [[1, 0, 0, [0, 0, 1000], ids]];
  const frame = { v: 1, within, policies, keyspaces: ["n:p"], calls };
  return handler.handle(Buffer.from(JSON.stringify(frame)));
}

test("as many calls as may wait are taken, one more is refused, and room comes back", async () => {
  const store = new HeldStore();
  const handler = storeHandler(store, { maxPending: 2 });
  const two = asked(handler, ["a", "b"]);
  expect(handler.pending).toBe(2);
  expect((await asked(handler, ["c"])).status).toBe(429);
  store.settleAll();
  expect((await two).status).toBe(200);
  expect(handler.pending).toBe(0);
  const one = asked(handler, ["c"]);
  store.settleAll();
  expect((await one).status).toBe(200);
});

test("calls that wait too long are given up, and each says whether the store had sent it", async () => {
  const store = Object.assign(new HeldStore(), { marksHandOver: true });
  const handler = storeHandler(store);
  const answer = asked(handler, ["sent", "waiting"], 20);
  const [sent, waiting] = store.held.map(({ call }) => call);
  if (sent !== undefined) sent.handOver = assumedHandOver(0);
  const { errors } = JSON.parse((await answer).body) as { errors: readonly unknown[] };
  expect(errors).toEqual([
    [0, expect.objectContaining({ code: "STORE_TIMEOUT", timeoutMs: 20, sent: true })],
    [1, expect.objectContaining({ code: "STORE_TIMEOUT", timeoutMs: 20, sent: false })],
  ]);
  expect([sent?.abandoned, waiting?.abandoned]).toEqual([true, true]);
  // They count until the store has answered: else a store that hangs would be asked ever more.
  expect(handler.pending).toBe(2);
  store.settleAll();
  expect(handler.pending).toBe(0);
});

test("a store that is closed is a service that stops: its clients' own stores are not closed", async () => {
  const store = new HeldStore();
  const handler = storeHandler(store);
  const answer = asked(handler, ["a"]);
  store.settleAll(new ClosedError("store"));
  const { errors } = JSON.parse((await answer).body) as { errors: readonly unknown[] };
  expect(errors).toEqual([
    [0, { code: "STORE_UNAVAILABLE", message: "the service is being stopped" }],
  ]);
});

const WATCH = ["watch", "n"];

/** Waits for the notices of session s. */
async function waited(handler: StoreHandler, turn: number, more: object = {}): Promise<unknown> {
  const notices = { session: "s", turn, ack: 0, from: 1, changes: [WATCH], ...more };
  const answer = await handler.handle(
    Buffer.from(JSON.stringify({ v: 1, within: 60_000, notices })),
  );
  return (JSON.parse(answer.body) as { notices: unknown }).notices;
}

test("of notices that are confirmed in part, the others come again", async () => {
  const handler = storeHandler(new MemoryStore());
  onTestFinished(() => handler.close());
  const changes = [WATCH, ["watch", "m"], ["watch", "o"]];
  const three = [
    ["document", "n"],
    ["document", "m"],
    ["document", "o"],
  ];
  expect(await waited(handler, 1, { changes })).toEqual({ applied: 3, last: 3, notices: three });
  expect(await waited(handler, 2, { ack: 1, from: 4, changes: [] })).toEqual({
    applied: 3,
    last: 3,
    notices: three.slice(1),
  });
});

test("a process that does not fetch its notices is forgotten, and so is one that has gone", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const handler = storeHandler(new MemoryStore());
  onTestFinished(() => handler.close());
  await waited(handler, 1);
  for (let version = 0; version < 10_000; version++) {
    const ask = ["documents.publish", "n", "text", "digest", null, null, version, 0];
    await handler.handle(Buffer.from(JSON.stringify({ v: 1, ask })));
  }
  expect(await waited(handler, 2, { from: 2, changes: [] })).toBe("forgotten");

  await waited(handler, 1);
  vi.advanceTimersByTime(29_000);
  expect(await waited(handler, 2, { from: 2, changes: [] })).toMatchObject({ last: 1 });
  vi.advanceTimersByTime(30_000);
  expect(await waited(handler, 3, { from: 2, changes: [] })).toBe("forgotten");
});

test("a process may wait for 10,000 things, and 10,000 processes may wait", async () => {
  const handler = storeHandler(new MemoryStore());
  onTestFinished(() => handler.close());
  const listens = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => ["listen", "n:s", `k${from + i}`, `o${from + i}`]);
  const watching = { changes: listens(1, 9999) };
  expect(await waited(handler, 1, watching)).toMatchObject({ applied: 9999 });
  const one = { from: 10_000, ack: 9999, changes: listens(10_000, 1) };
  expect(await waited(handler, 2, one)).toMatchObject({ applied: 10_000 });
  const more = { from: 10_001, ack: 10_000, changes: listens(10_001, 1) };
  expect(await waited(handler, 3, more)).toBe("forgotten");

  const answers = await Promise.all(
    Array.from({ length: 10_001 }, (_, i) => waited(handler, 1, { session: `s${i}` })),
  );
  expect(answers.filter((each) => each === "forgotten")).toHaveLength(1);
});

test("a listener knows whether notices come: not while the service hears nothing, nor while it is away", async () => {
  const store = new MemoryStore();
  let isHeard = true;
  const { semaphores } = store;
  const listen = semaphores.listen.bind(semaphores);
  semaphores.listen = (key, listener) => {
    const listening = listen(key, listener);
    return { ...listening, isLive: () => isHeard && listening.isLive() };
  };
  const service = await startStoreService();
  const remote: RemoteStore = service.remote(store);
  onTestFinished(() => remote.close());
  const listener = { owner: "o", notified: () => {}, live: () => {} };
  const listening = remote.semaphores.listen({ keyspace: "n:s", id: "k" }, listener);
  await eventually(() => expect(listening.isLive()).toBe(true));
  isHeard = false;
  await eventually(() => expect(listening.isLive()).toBe(false));
  isHeard = true;
  await eventually(() => expect(listening.isLive()).toBe(true));
  await service.close();
  await eventually(() => expect(listening.isLive()).toBe(false));
  listening.end();
});
