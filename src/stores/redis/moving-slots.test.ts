import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { VERBS } from "../../algorithms/decide.js";
import { ruleOf } from "../../algorithms/rule.js";
import { tokenBucket } from "../../index.js";
import type { Answer, StoreCall } from "../store.js";
import { MovingSlots } from "./moving-slots.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const rule = ruleOf(tokenBucket({ limit: 10, period: "1s" }));
const call = (id: string, verb: StoreCall["verb"] = VERBS.consume): StoreCall => ({
  verb,
  extraUs: 0,
  seats: [{ name: "p", rule, space: { name: "s:p" }, id, cost: 1000 }],
});
const answer: Answer = { nowUs: 1, granted: 1000, seats: [] };
const SLOT = 7;

/** What was sent, as the identities of each batch; `fails` says which batches are answered by an error. */
function slots(fails: (ids: string) => string | Error | undefined) {
  const sent: string[] = [];
  const outcomes = new Map<number, Answer | string>();
  const moving = new MovingSlots((calls, settle) => {
    const ids = calls.map(({ seats }) => seats[0]?.id).join("");
    sent.push(ids);
    const error = fails(ids);
    const outcome = typeof error === "string" ? new Error(error) : (error ?? answer);
    calls.forEach((_, i) => settle(i, outcome));
    return { left: [], settled: Promise.resolve() };
  });
  return {
    sent,
    outcomes,
    send: (calls: readonly StoreCall[]) =>
      moving.send(SLOT, calls, (i, outcome) => {
        expect(outcomes.has(i)).toBe(false);
        outcomes.set(i, outcome instanceof Error ? outcome.message : outcome);
      }).settled,
  };
}

const TRY_AGAIN = "TRYAGAIN Multiple keys request during rehashing of slot";
const [a, b] = [call("a"), call("b")];

test("a batch goes as it is while the slot stands still", async () => {
  const { sent, outcomes, send } = slots(() => undefined);
  await send([a, b, a]);
  expect(sent).toEqual(["aba"]);
  expect(outcomes.size).toBe(3);
});

test.each([
  TRY_AGAIN,
  `Too many Cluster redirections. Last error: ReplyError: ${TRY_AGAIN}`,
  "Too many Cluster redirections. Last error: ReplyError: MOVED 7 127.0.0.1:6379",
  new Error("Too many Cluster redirections", { cause: new Error("ASK 7 127.0.0.1:6379") }),
])("a batch is taken apart by keys on %s, and so are the next ones for a while", async (error) => {
  const { sent, outcomes, send } = slots((ids) => (/ab|ba/.test(ids) ? error : undefined));
  await send([a, b, a]);
  expect(sent).toEqual(["aba", "aa", "b"]);
  expect([...outcomes.values()]).toEqual([answer, answer, answer]);
  outcomes.clear();
  await send([b, a]);
  expect(sent.slice(3)).toEqual(["b", "a"]);
  outcomes.clear();
  await vi.advanceTimersByTimeAsync(1001);
  await send([a]);
  await vi.advanceTimersByTimeAsync(1001);
  outcomes.clear();
  await send([a, call("c")]);
  expect(sent.at(-1)).toBe("ac");
});

test("a refund goes apart from the other calls on its key", async () => {
  const { sent, send } = slots((ids) => (ids.length > 2 ? TRY_AGAIN : undefined));
  await send([a, call("a", VERBS.refund), a]);
  expect(sent).toEqual(["aaa", "aa", "a"]);
});

test("what cannot be served yet is tried again, without being waited for, until it can", async () => {
  let isSplit = true;
  const { sent, outcomes, send } = slots(() => (isSplit ? TRY_AGAIN : undefined));
  await send([a]);
  expect(outcomes.size).toBe(0);
  await vi.advanceTimersByTimeAsync(100);
  expect(sent.length).toBeGreaterThan(3);
  expect(sent.length).toBeLessThan(10);
  isSplit = false;
  await vi.advanceTimersByTimeAsync(50);
  expect([...outcomes.values()]).toEqual([answer]);
  const { length } = sent;
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent.length).toBe(length);
});

test("what nobody waits for any more is not tried again", async () => {
  const { sent, outcomes, send } = slots(() => TRY_AGAIN);
  const given = call("g");
  await send([given]);
  given.abandoned = true;
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent).toEqual(["g", "g"]);
  expect(outcomes.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test.each([
  "Connection is closed.",
  "READONLY You can't write against a read only replica.",
  "CLUSTERDOWN The cluster is down",
  "ERR unknown key {TRYAGAIN it}",
  "Too many Cluster redirections. Last error: Error: Connection is closed.",
])("nothing is sent twice after %s", async (error) => {
  const { sent, outcomes, send } = slots(() => error);
  await send([a, b]);
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent).toEqual(["ab"]);
  expect([...outcomes.values()]).toEqual([error, error]);
});
