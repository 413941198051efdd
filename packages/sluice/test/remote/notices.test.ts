/** Requests that wait for notices may be lost, doubled, late and out of order: no notice is lost for that, and none waits for good. */
import { expect, onTestFinished, test } from "vitest";
import { MemoryStore } from "../../src/index.js";
import { type StoreHandler, storeHandler } from "../../src/remote/index.js";

function handlerOn(store = new MemoryStore()): StoreHandler {
  const handler = storeHandler(store);
  onTestFinished(() => {
    handler.close();
  });
  return handler;
}

interface Waits {
  readonly turn: number;
  readonly ack?: number;
  readonly from?: number;
  readonly changes?: readonly unknown[];
}

/** What a session is told. */
async function waited(
  handler: StoreHandler,
  { turn, ack = 0, from = 1, changes = [] }: Waits,
  signal?: AbortSignal,
): Promise<unknown> {
  const notices = { session: "s", turn, ack, from, changes };
  const body = JSON.stringify({ v: 1, within: 60_000, notices });
  const answer = await handler.handle(Buffer.from(body), signal);
  return (JSON.parse(answer.body) as { notices: unknown }).notices;
}

const WATCH = ["watch", "n"];
const CHANGED = ["document", "n"];

function publish(handler: StoreHandler, expected: number): Promise<unknown> {
  const ask = ["documents.publish", "n", "text", "digest", null, null, expected, 0];
  return handler.handle(Buffer.from(JSON.stringify({ v: 1, ask })));
}

test("a notice comes again until it is confirmed", async () => {
  const handler = handlerOn();
  const first = { applied: 1, last: 1, notices: [CHANGED] };
  expect(await waited(handler, { turn: 1, changes: [WATCH] })).toEqual(first);
  expect(await waited(handler, { turn: 2, changes: [WATCH] })).toEqual(first);
  const next = waited(handler, { turn: 3, ack: 1, from: 2 });
  await publish(handler, 0);
  expect(await next).toEqual({ applied: 1, last: 2, notices: [CHANGED] });
});

test("a later request takes the place of one that waits, and an earlier one never does", async () => {
  const handler = handlerOn();
  await waited(handler, { turn: 1, changes: [WATCH] });
  const second = waited(handler, { turn: 2, ack: 1, from: 2 });
  const fourth = waited(handler, { turn: 4, ack: 1, from: 2, changes: [["watch", "m"]] });
  expect(await second).toEqual({ applied: 2, last: 2, notices: [["document", "m"]] });
  expect(await fourth).toEqual({ applied: 2, last: 2, notices: [["document", "m"]] });
  const fifth = waited(handler, { turn: 5, ack: 2, from: 3 });
  expect(await waited(handler, { turn: 3, ack: 1, from: 2 })).toEqual({
    applied: 2,
    last: 1,
    notices: [],
  });
  await publish(handler, 0);
  expect(await fifth).toEqual({ applied: 2, last: 3, notices: [CHANGED] });
});

test("changes that are lost, or of a session that is not known, begin it anew", async () => {
  const handler = handlerOn();
  expect(await waited(handler, { turn: 7, from: 3 })).toBe("forgotten");
  await waited(handler, { turn: 1, changes: [WATCH] });
  expect(await waited(handler, { turn: 2, from: 3, changes: [WATCH] })).toBe("forgotten");
  expect(await waited(handler, { turn: 1, changes: [WATCH] })).toMatchObject({ last: 1 });
});

test("nobody waits at a handler that was closed, nor for a client that has gone", async () => {
  const handler = handlerOn();
  await waited(handler, { turn: 1, changes: [WATCH] });
  const gone = new AbortController();
  const left = waited(handler, { turn: 2, ack: 1, from: 2 }, gone.signal);
  gone.abort();
  expect(await left).toEqual({ applied: 1, last: 1, notices: [] });
  const waiting = waited(handler, { turn: 3, ack: 1, from: 2 });
  handler.close();
  expect(await waiting).toBe("forgotten");
  expect(await waited(handler, { turn: 1, changes: [WATCH] })).toBe("forgotten");
  const call = await handler.handle(Buffer.from('{"v":1,"ask":["reports.now","n"]}'));
  expect(call.status).toBe(200);
});
