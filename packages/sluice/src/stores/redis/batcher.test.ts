import { beforeEach, expect, test, vi } from "vitest";
import { VERBS } from "../../algorithms/decide.js";
import type { StoreResult, Done, StoreCall } from "../store.js";
import { eventually } from "../../../test/support/eventually.js";
import { Batcher } from "./batcher.js";

const threw = vi.fn<(error: unknown) => void>();
beforeEach(() => void threw.mockClear());

const ANSWER: StoreResult = { nowUs: 0, granted: 1000, debits: [] };

interface Held {
  readonly calls: readonly StoreCall[];
  readonly answer: () => void;
}

/** A batcher with room for one batch under way, and the batches that it sent. */
function oneAtATime(): { readonly batcher: Batcher; readonly sent: Held[] } {
  const sent: Held[] = [];
  const batcher = new Batcher(
    (calls, settle) => {
      const settled = new Promise<void>((resolve) => {
        const answer = (): void => {
          for (const i of calls.keys()) settle(i, ANSWER);
          resolve();
        };
        sent.push({ calls, answer });
      });
      return { left: [], settled };
    },
    { maxBatch: 100, maxInFlight: 1, threw },
  );
  return { batcher, sent };
}

const call = (): StoreCall => ({ verb: VERBS.consume, debits: [], blockUs: 0, maxWaitUs: 0 });

test("a call that nobody waits for any more is not sent, and told so, once", async () => {
  const { batcher, sent } = oneAtATime();
  batcher.add(call(), () => {});
  await eventually(() => expect(sent).toHaveLength(1));
  const [given, wanted] = [call(), call()];
  const [ofGiven, ofWanted] = [vi.fn<Done>(), vi.fn<Done>()];
  batcher.add(given, ofGiven);
  batcher.add(wanted, ofWanted);
  given.abandoned = true;
  sent[0]?.answer();
  await eventually(() => expect(sent).toHaveLength(2));
  expect(sent[1]?.calls).toEqual([wanted]);
  sent[1]?.answer();
  expect(ofWanted.mock.calls).toEqual([[ANSWER]]);
  expect(ofGiven.mock.calls).toEqual([[expect.objectContaining({ code: "STORE_UNAVAILABLE" })]]);
});

test("what is added by one who is told so is sent", async () => {
  const { batcher, sent } = oneAtATime();
  batcher.add(call(), () => {});
  await eventually(() => expect(sent).toHaveLength(1));
  const given = call();
  const instead = call();
  const done = vi.fn<Done>();
  batcher.add(given, () => {
    batcher.add(instead, done);
  });
  given.abandoned = true;
  sent[0]?.answer();
  await eventually(() => expect(sent).toHaveLength(2));
  expect(sent[1]?.calls).toEqual([instead]);
  sent[1]?.answer();
  expect(done.mock.calls).toEqual([[ANSWER]]);
});

test("what one call's done throws, or rejects with, is no failure of the others", async () => {
  const { batcher, sent } = oneAtATime();
  const done = vi.fn<Done>();
  batcher.add(call(), () => {
    throw new Error("thrown");
  });
  batcher.add(call(), async () => Promise.reject(new Error("rejected")));
  batcher.add(call(), done);
  await eventually(() => expect(sent).toHaveLength(1));
  sent[0]?.answer();
  expect(done.mock.calls).toEqual([[ANSWER]]);
  await eventually(() => expect(threw).toHaveBeenCalledTimes(2));
  expect(threw.mock.calls).toEqual([[new Error("thrown")], [new Error("rejected")]]);
});
