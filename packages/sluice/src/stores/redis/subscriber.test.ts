/** Channels of a client that says when, and in which order, it subscribes. */
import { expect, onTestFinished, test, vi } from "vitest";
import { settle } from "../../../test/support/watch.js";
import { Subscriber } from "./subscriber.js";

const nothing = (): void => {};

/** What a Cluster's client of redis is asked; `connected` is called when its connection is there. */
function start(): { subscriber: Subscriber; asked: unknown[][]; connected: () => void } {
  const asked: unknown[][] = [];
  let connected = (): void => {};
  const ready = new Promise<void>((resolve) => {
    connected = resolve;
  });
  const client = {
    on() {},
    removeListener() {},
    async sSubscribe(...args: unknown[]) {
      asked.push(["subscribe", ...args]);
      await ready;
    },
    async sUnsubscribe(...args: unknown[]) {
      asked.push(["unsubscribe", ...args]);
    },
  };
  const subscriber = new Subscriber({ client: () => client, subscriber: client, sharded: true });
  return { subscriber, asked, connected };
}

test("a channel that nobody wants any more when it is subscribed to is left then", async () => {
  const { subscriber, asked, connected } = start();
  subscriber.subscribe("c", nothing, nothing).end();
  expect(asked.map(([verb]) => verb)).toEqual(["subscribe", "unsubscribe"]);
  connected();
  await settle();
  expect(asked.map(([verb]) => verb)).toEqual(["subscribe", "unsubscribe", "unsubscribe"]);
  subscriber.close();
});

test("a channel that is wanted again by then is kept", async () => {
  const { subscriber, asked, connected } = start();
  subscriber.subscribe("c", nothing, nothing).end();
  const again = subscriber.subscribe("c", nothing, nothing);
  connected();
  await settle();
  expect(again.isLive()).toBe(true);
  expect(asked.at(-1)?.[0]).toBe("subscribe");
  subscriber.close();
});

// Without its listener, node-redis takes a channel that is being left for one that is subscribed to.
test("a channel is left by its listener", async () => {
  const { subscriber, asked, connected } = start();
  connected();
  const subscription = subscriber.subscribe("c", nothing, nothing);
  await settle();
  subscription.end();
  const [subscribed, left] = asked;
  expect(left).toEqual(["unsubscribe", "c", subscribed?.[2]]);
  subscriber.close();
});

// As ioredis does on a Cluster's node that it is not connected to yet.
test("a client that never answers a first time is asked again", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const asked: string[] = [];
  const once = (verb: string): Promise<void> => {
    asked.push(verb);
    const isFirst = asked.filter((each) => each === verb).length === 1;
    return isFirst ? new Promise(nothing) : Promise.resolve();
  };
  const client = {
    on() {},
    removeListener() {},
    sSubscribe: () => once("subscribe"),
    sUnsubscribe: () => once("unsubscribe"),
  };
  const subscriber = new Subscriber({ client: () => client, subscriber: client, sharded: true });
  const subscription = subscriber.subscribe("c", nothing, nothing);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked).toEqual(["subscribe", "unsubscribe", "subscribe"]);
  expect(subscription.isLive()).toBe(true);
  subscription.end();
  subscriber.close();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(vi.getTimerCount()).toBe(0);
});
