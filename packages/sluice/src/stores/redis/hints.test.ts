/** Hints of a client that receives messages when the test says so. */
import { expect, test } from "vitest";
import { settle } from "../../../test/support/watch.js";
import { Hints } from "./hints.js";

const nothing = (): void => {};

test("a watch of a channel that is received already gets one hint at once", async () => {
  const client = {
    on: nothing,
    removeListener: nothing,
    sSubscribe: async () => {},
    sUnsubscribe: async () => {},
  };
  const hints = new Hints({ client: () => client, subscriber: client, sharded: true });
  const told: string[] = [];
  const watch = (name: string) => hints.watch("c", () => void told.push(name));
  const first = watch("first");
  await settle();
  expect(told).toEqual(["first"]);

  const second = watch("second");
  // A watch that has ended hears nothing.
  watch("third").end();
  expect(told).toEqual(["first"]);
  await settle();
  expect(told).toEqual(["first", "second"]);

  first.end();
  second.end();
  hints.subscriber.close();
});
