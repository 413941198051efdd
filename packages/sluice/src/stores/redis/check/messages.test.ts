import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Subscriber } from "../subscriber.js";
import { checkMessages } from "./messages.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const scratch = { key: "sluice:check:{x}", channel: "sluice:check:{x}!" };

/** A subscriber to which the server says no more than this. */
function subscriberThat({ goesLive }: { readonly goesLive: boolean }) {
  const ended = vi.fn<() => void>();
  const subscriber = {
    canSubscribe: true,
    subscribe: (_: string, live: () => void) => {
      if (goesLive) live();
      return { end: ended };
    },
  } as unknown as Subscriber;
  return { subscriber, ended };
}

test.each([
  [true, /did not arrive/],
  [false, /No channel could be subscribed to/],
])("what never arrives is found (subscribed: %s)", async (goesLive, text) => {
  const { subscriber, ended } = subscriberThat({ goesLive });
  const run = vi.fn(async () => 0);
  const found = checkMessages({ run, isCluster: false, subscriber }, scratch);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await found).toMatchObject({ id: "messages", severity: "warning" });
  expect((await found).text).toMatch(text);
  expect(run).toHaveBeenCalledTimes(goesLive ? 1 : 0);
  expect(ended).toHaveBeenCalledTimes(1);
});

test("a client that cannot subscribe is found", async () => {
  const subscriber = new Subscriber({ client: () => ({}), subscriber: false, sharded: false });
  const found = await checkMessages({ run: async () => 0, isCluster: false, subscriber }, scratch);
  expect(found).toMatchObject({ id: "messages", severity: "note" });
});
