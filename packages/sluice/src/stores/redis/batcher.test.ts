import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { VERBS } from "../../algorithms/decide.js";
import { atEndOfTick } from "../../core/clock.js";
import type { StoreResult, Done, StoreCall } from "../store.js";
import { eventually } from "../../../test/support/eventually.js";
import { Batcher, type SendBatch } from "./batcher.js";

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

/** A batcher that sends a lone call without a batch, and all that it sent. */
function sendingAlone(maxInFlight = 3): {
  readonly batcher: Batcher;
  readonly alone: { readonly sentCall: StoreCall; readonly done: Done }[];
  readonly sent: (readonly StoreCall[])[];
} {
  const alone: { sentCall: StoreCall; done: Done }[] = [];
  const sent: (readonly StoreCall[])[] = [];
  const send: SendBatch = (calls) => {
    sent.push(calls);
    return { left: [], settled: new Promise(() => {}) };
  };
  const options = { maxBatch: 1000, maxInFlight, threw };
  const batcher = new Batcher(
    send,
    options,
    (sentCall, done) => alone.push({ sentCall, done }) > 0,
  );
  return { batcher, alone, sent };
}

test("a call that finds nothing under way, and stays alone in its tick, goes alone", async () => {
  const { batcher, alone, sent } = sendingAlone();
  const [first, second, third] = [call(), call(), call()];
  batcher.add(first, () => {});
  await eventually(() => expect(alone.map(({ sentCall }) => sentCall)).toEqual([first]));
  // The first one is under way.
  batcher.add(second, () => {});
  await eventually(() => expect(sent).toEqual([[second]]));
  batcher.add(third, () => {});
  await eventually(() => expect(sent).toEqual([[second], [third]]));
  expect(alone).toHaveLength(1);
});

test("calls of one tick are one batch, and none of them goes alone", async () => {
  const { batcher, alone, sent } = sendingAlone();
  const burst = Array.from({ length: 256 }, call);
  batcher.add(burst[0] as StoreCall, () => {});
  await Promise.resolve();
  for (const each of burst.slice(1)) batcher.add(each, () => {});
  await eventually(() => expect(sent).not.toEqual([]));
  // The rest of an idle store's equal shares goes in the next turns.
  await eventually(() => expect(sent.flat()).toEqual(burst));
  expect(alone).toEqual([]);
});

test("who went alone is no longer under way once answered", async () => {
  const { batcher, alone } = sendingAlone();
  const done = vi.fn<Done>();
  batcher.add(call(), done);
  await eventually(() => expect(alone).toHaveLength(1));
  alone[0]?.done(ANSWER);
  expect(done.mock.calls).toEqual([[ANSWER]]);
  batcher.add(call(), () => {});
  await eventually(() => expect(alone).toHaveLength(2));
});

test("what an answer gives up in its tick is not sent behind it", async () => {
  const alone: Done[] = [];
  const sent = vi.fn<SendBatch>(() => ({ left: [], settled: new Promise(() => {}) }));
  const options = { maxBatch: 1000, maxInFlight: 1, threw };
  const batcher = new Batcher(sent, options, (_, done) => alone.push(done) > 0);
  const waits = call();
  const told = vi.fn<Done>();
  batcher.add(call(), () => {
    // As a breaker that opens refuses what waits.
    atEndOfTick(() => (waits.abandoned = true));
  });
  await eventually(() => expect(alone).toHaveLength(1));
  batcher.add(waits, told);
  alone[0]?.(ANSWER);
  await eventually(() => expect(told).toHaveBeenCalledOnce());
  expect(sent).not.toHaveBeenCalled();
});

test("a call goes with others while one that nobody waits for any more has no answer", async () => {
  const { batcher, alone, sent } = sendingAlone(1);
  const [first, second] = [call(), call()];
  batcher.add(first, () => {});
  await eventually(() => expect(alone).toHaveLength(1));
  first.abandoned = true;
  // It no longer holds others back; its answer may yet come, and is to come before theirs.
  batcher.add(second, () => {});
  await eventually(() => expect(sent).toEqual([[second]]));
  expect(alone).toHaveLength(1);
});

test("what has had no answer for a second holds nobody back, whether it went alone or with others", async () => {
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  onTestFinished(() => now.mockRestore());
  const together = oneAtATime();
  const lone = sendingAlone(1);
  const addAt = (ms: number): void => {
    now.mockReturnValue(ms);
    for (const { batcher } of [together, lone]) batcher.add(call(), () => {});
  };
  addAt(0);
  await eventually(() => expect([together.sent, lone.alone]).toMatchObject([[{}], [{}]]));
  addAt(999);
  await new Promise(setImmediate);
  expect([together.sent, lone.sent]).toMatchObject([[{}], []]);
  addAt(1000);
  await eventually(() => expect(together.sent.map(({ calls }) => calls.length)).toEqual([1, 2]));
  await eventually(() => expect(lone.sent.map((calls) => calls.length)).toEqual([2]));
  expect(lone.alone).toHaveLength(1);
});

test("what must go goes whatever is under way, with all before it, and what comes later waits", async () => {
  const { batcher, sent } = oneAtATime();
  batcher.add(call(), () => {});
  await eventually(() => expect(sent).toHaveLength(1));
  const before = Array.from({ length: 150 }, call);
  for (const each of before) batcher.add(each, () => {});
  batcher.hurry();
  const later = call();
  batcher.add(later, () => {});
  await eventually(() => expect(sent.slice(1).flatMap(({ calls }) => calls).length).toBe(151));
  const last = call();
  batcher.add(last, () => {});
  await new Promise(setImmediate);
  expect(sent.slice(1).flatMap(({ calls }) => calls)).toEqual([...before, later]);
  for (const { answer } of sent) answer();
  await eventually(() => expect(sent.at(-1)?.calls).toEqual([last]));
});

test("what does not fit in with the others still goes", async () => {
  const sent: (readonly StoreCall[])[] = [];
  const batcher = new Batcher(
    (calls) => {
      sent.push(calls.slice(0, 1));
      return { left: calls.map((_, i) => i).slice(1), settled: new Promise(() => {}) };
    },
    { maxBatch: 100, maxInFlight: 1, threw },
  );
  for (let i = 0; i < 4; i++) batcher.add(call(), () => {});
  await eventually(() => expect(sent).toHaveLength(1));
  batcher.hurry();
  await eventually(() => expect(sent).toHaveLength(4));
});

test("hurrying nothing lets nothing pass later", async () => {
  const { batcher, sent } = oneAtATime();
  batcher.hurry();
  batcher.add(call(), () => {});
  await eventually(() => expect(sent).toHaveLength(1));
  batcher.add(call(), () => {});
  await new Promise(setImmediate);
  expect(sent).toHaveLength(1);
  sent[0]?.answer();
  await eventually(() => expect(sent).toHaveLength(2));
});

test("what went alone lets nothing pass later", async () => {
  const { batcher, alone, sent } = sendingAlone(1);
  batcher.add(call(), () => {});
  batcher.hurry();
  await eventually(() => expect(alone).toHaveLength(1));
  batcher.add(call(), () => {});
  await new Promise(setImmediate);
  expect(sent).toHaveLength(0);
});
